/*
 * copy_to.c
 *		copy_to_s3: a query's rows, as PostgreSQL's COPY writes them, into an object or a folder of objects.
 *
 * COPY makes the rows; here they are put together to objects, which are cut between rows, each with the header that a file
 * of its own would have. Rows go through a buffer, so that what comes behind it is called for many at once. What is written
 * becomes visible when the query has come to its end, its AFTER triggers included.
 */
#include "compat_copy.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "nodes/pg_list.h"
#include "parser/parser.h"
#include "s3/copy_option.h"
#include "s3/deflate.h"
#include "s3/inflate.h"
#include "s3/json_lines.h"
#include "s3/list.h"
#include "s3/object.h"
#include "s3/writer.h"
#include "sql.h"
#include "utils/builtins.h"

#define BUFFER_SIZE 65536

/* How large the objects of a folder are unless it is said: twice what Spark reads in one task. */
#define DEFAULT_OBJECT_SIZE (INT64CONST(256) * 1024 * 1024)

/* Their names have five digits, by which they are in order. */
#define MAX_OBJECTS 100000

/* The signature, flags, and the length of a header extension that COPY does not write. */
#define BINARY_HEADER_LENGTH 19

/* Instead of the number of a row's columns. */
static const char binary_trailer[] = {'\xff', '\xff'};

/* What formats are called in S3. */
static const struct
{
	const char *extension;
	const char *type;
	const char *utf8_type;
} names[] = {
	[COPY_OPTION_CSV] = {"csv", "text/csv", "text/csv; charset=utf-8"},
	[COPY_OPTION_TEXT] = {"txt", "text/plain", "text/plain; charset=utf-8"},
	[COPY_OPTION_BINARY] = {"bin", "application/octet-stream", "application/octet-stream"},
	[COPY_OPTION_JSON] = {"json", "application/x-ndjson", "application/x-ndjson"},
};

/* The end of the way: the object that is being written. */
typedef struct WriterSink
{
	ByteSink sink;
	S3Writer *writer;
} WriterSink;

typedef struct CopyTo
{
	S3Uri uri;
	CopyOptions options;
	bool folder;
	bool gzip;
	bool overwrite;
	int64 max_object_size;

	MemoryContext object_memory;  /* of the stages of an object */
	MemoryContext scratch_memory; /* of a call of theirs */
	S3Writer *writer;
	WriterSink end;
	ByteSink *sink;
	int objects;         /* begun */
	Bitmapset *former;   /* the numbers of objects that were in the folder before */
	bool has_rows;       /* the object that was begun last */
	bool expects_header; /* it comes before the rows, or with the first one */
	StringInfoData header;

	char *buffer;
	size_t used;
	size_t room; /* how much of the buffer may be used before the object is looked at */
} CopyTo;

/*
 * The way into an object
 */

static void
write_object(ByteSink *sink, const char *bytes, size_t length)
{
	s3_writer_write(((WriterSink *) sink)->writer, bytes, length);
}

static void
finish_object(ByteSink *sink)
{
	(void) sink; /* the writer ends an object when the next begins */
}

/* The key of an object of the folder. */
static char *
object_key(const CopyTo *to, int number)
{
	return psprintf("%spart-%05d.%s%s", to->uri.key, number, names[to->options.format].extension,
					to->gzip ? ".gz" : "");
}

/* The number by which an object of the folder would have that key; -1 for none. */
static int
object_number(const CopyTo *to, const char *key)
{
	size_t length = strlen(to->uri.key) + strlen("part-");
	int number = strlen(key) > length ? atoi(key + length) : -1;
	char *own;

	if (number < 0 || number >= MAX_OBJECTS)
		return -1;
	own = object_key(to, number);
	if (strcmp(key, own) != 0)
		number = -1;
	pfree(own);
	return number;
}

/* Writes at once. COPY calls in the memory of a row, and what is behind the sink need not tidy up after itself. */
static void
write_through(CopyTo *to, const char *bytes, size_t length)
{
	MemoryContext before = MemoryContextSwitchTo(to->scratch_memory);

	to->sink->write(to->sink, bytes, length);
	MemoryContextSwitchTo(before);
	MemoryContextReset(to->scratch_memory);
}

/* Has the uploads go on, in whatever memory COPY calls. */
static void
look(CopyTo *to)
{
	MemoryContext before = MemoryContextSwitchTo(to->scratch_memory);

	s3_writer_look(to->writer);
	MemoryContextSwitchTo(before);
	MemoryContextReset(to->scratch_memory);
}

static void
flush(CopyTo *to)
{
	if (to->used > 0)
		write_through(to, to->buffer, to->used);
	to->used = 0;
}

static void
put(CopyTo *to, const char *bytes, size_t length)
{
	if (length > BUFFER_SIZE - to->used)
		flush(to);
	if (length > BUFFER_SIZE)
	{
		write_through(to, bytes, length);
		to->room = 0;
		return;
	}
	memcpy(to->buffer + to->used, bytes, length);
	to->used += length;
}

static void
begin_object(CopyTo *to)
{
	MemoryContext before = CurrentMemoryContext;
	const char *type = to->options.encoding == PG_UTF8 ? names[to->options.format].utf8_type
													   : names[to->options.format].type;
	S3Uri uri = to->uri;
	bool is_new;

	if (to->objects == MAX_OBJECTS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("more than %d objects in a folder", MAX_OBJECTS),
						errhint("A larger \"max_object_size\" makes fewer.")));
	MemoryContextReset(to->object_memory);
	MemoryContextSwitchTo(to->object_memory);
	if (to->folder)
		uri.key = object_key(to, to->objects);
	to->objects++;
	MemoryContextSwitchTo(to->scratch_memory);
	is_new = to->folder && !bms_is_member(to->objects - 1, to->former);
	/* No Content-Encoding: who reads by the name would inflate what the transfer has inflated already. */
	s3_writer_begin(to->writer, &uri, to->gzip ? "application/gzip" : type, is_new);
	MemoryContextReset(to->scratch_memory);
	MemoryContextSwitchTo(to->object_memory);
	to->end = (WriterSink){{write_object, finish_object}, to->writer};
	to->sink = to->gzip ? deflate_open(&to->end.sink) : &to->end.sink;
	if (to->options.format == COPY_OPTION_JSON)
		to->sink = json_lines_sink(to->sink);
	MemoryContextSwitchTo(before);
	to->has_rows = false;
	to->room = 0;
	put(to, to->header.data, to->header.len);
}

static void
end_object(CopyTo *to)
{
	MemoryContext before;

	if (to->options.format == COPY_OPTION_BINARY)
		put(to, binary_trailer, sizeof(binary_trailer));
	flush(to);
	before = MemoryContextSwitchTo(to->scratch_memory);
	to->sink->finish(to->sink);
	MemoryContextSwitchTo(before);
	MemoryContextReset(to->scratch_memory);
}

/*
 * Before a row that does not fit into the room: looks how long the object is, and begins another one where it would become
 * too long with this row. Compressed, a part of it is still on its way.
 */
static void
make_room(CopyTo *to, size_t length)
{
	flush(to);
	to->room = BUFFER_SIZE;
	if (!to->folder)
		return;
	if (to->has_rows && s3_writer_length(to->writer) + length > (uint64) to->max_object_size)
	{
		end_object(to);
		begin_object(to);
		flush(to);
	}
	to->room = 0;
	if (s3_writer_length(to->writer) < (uint64) to->max_object_size)
		to->room = Min(BUFFER_SIZE, to->max_object_size - s3_writer_length(to->writer));
}

/*
 * Rows, as COPY hands them over
 */

static void
put_row(CopyTo *to, const char *bytes, size_t length)
{
	bool is_line = to->options.format != COPY_OPTION_BINARY;

	if (to->used + length + is_line > to->room)
		make_room(to, length + is_line);
	put(to, bytes, length);
	if (is_line)
		put(to, "\n", 1);
	to->has_rows = true;
	/* A row that fills no buffer may be long in the making. */
	if (s3_writer_is_neglected(to->writer))
		look(to);
}

static void
take(const char *bytes, int length, void *context)
{
	CopyTo *to = context;

	copy_option_check_settings(&to->options);
	if (to->options.format == COPY_OPTION_BINARY)
	{
		if (to->expects_header)
		{
			to->expects_header = false;
			appendBinaryStringInfo(&to->header, bytes, BINARY_HEADER_LENGTH);
			put(to, to->header.data, to->header.len);
			bytes += BINARY_HEADER_LENGTH;
			length -= BINARY_HEADER_LENGTH;
		}
		/* Every object gets its own. */
		if (length == sizeof(binary_trailer) && memcmp(bytes, binary_trailer, length) == 0)
			return;
	}
	else if (to->expects_header)
	{
		to->expects_header = false;
		appendBinaryStringInfo(&to->header, bytes, length);
		appendStringInfoChar(&to->header, '\n');
		put(to, to->header.data, to->header.len);
		return;
	}
	put_row(to, bytes, length);
}

/*
 * What was in the folder before
 */

typedef struct Former
{
	const CopyTo *to;
	S3Keys found;
} Former;

static bool
collect_former(const S3Listed *object, void *context)
{
	Former *former = context;

	/* The folder itself, as consoles make one: an object without content. */
	if (strcmp(object->key, former->to->uri.key) == 0)
		return true;
	if (!former->to->overwrite)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("folder \"s3://%s/%s\" has objects already", former->to->uri.bucket,
							   former->to->uri.key),
						errdetail("One of them is \"%s\".", object->key),
						errhint("The option \"overwrite\" replaces all that is in the folder.")));
	s3_keys_add(&former->found, object->key);
	return true;
}

/* Whether an object of this copy has that key now. */
static bool
is_replaced(const CopyTo *to, const char *key)
{
	int number = object_number(to, key);

	return number >= 0 && number < to->objects;
}

/* Keeps in mind which of its objects this copy would write over. */
static void
remember_former(CopyTo *to, const Former *former)
{
	for (int64 i = 0; i < former->found.count; i++)
	{
		int number = object_number(to, former->found.keys[i]);

		if (number >= 0)
			to->former = bms_add_member(to->former, number);
	}
}

static void
tell_written(void *context)
{
	(void) context;
	errcontext("all rows are written; deleting what was in the folder before");
}

/* Readers would take what is left of an earlier copy for a part of this one. */
static void
delete_former(CopyTo *to, Former *former)
{
	ErrorContextCallback callback = {error_context_stack, tell_written, NULL};
	S3Keys *found = &former->found;
	int64 left = 0;

	error_context_stack = &callback;
	for (int64 i = 0; i < found->count; i++)
	{
		if (!is_replaced(to, found->keys[i]))
			found->keys[left++] = found->keys[i];
	}
	s3_delete_keys(to->uri.bucket, (const char *const *) found->keys, left);
	error_context_stack = callback.previous;
}

/*
 * The query
 */

/* An error's position is one in the query, which is not what the client has sent. */
static void
tell_query(void *context)
{
	const char *query = context;
	int position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(query);
	}
	else
		errcontext("SQL statement \"%s\"", query);
}

pg_noreturn static void
raise_statement(int sqlstate, const char *message)
{
	ereport(ERROR,
			(errcode(sqlstate), errmsg("%s", message),
			 errhint("It takes one SELECT, VALUES or TABLE, or an INSERT, UPDATE or DELETE with "
					 "RETURNING.")));
}

static RawStmt *
parse_query(const char *query)
{
	List *statements = raw_parser(query, RAW_PARSE_DEFAULT);
	RawStmt *statement;

	if (statements == NIL)
		raise_statement(ERRCODE_SYNTAX_ERROR, "there is no query to copy");
	if (list_length(statements) > 1)
		raise_statement(ERRCODE_SYNTAX_ERROR, "only one query can be copied");
	statement = linitial(statements);
	if (copy_query_with(statement->stmt) == NULL)
		raise_statement(ERRCODE_FEATURE_NOT_SUPPORTED, "this kind of statement cannot be copied");
	return statement;
}

static uint64
copy_rows(CopyTo *to, const char *query)
{
	ParseState *state = make_parsestate(NULL);
	ErrorContextCallback callback = {error_context_stack, tell_query, (char *) query};
	Former former = {.to = to};
	RawStmt *statement;
	CopyToState copy;
	uint64 rows;

	error_context_stack = &callback;
	state->p_sourcetext = query;
	statement = parse_query(query);
	if (to->options.format == COPY_OPTION_JSON)
		statement = json_lines_query(statement, query);
	copy = copy_query_begin(state, statement, to->options.copy);
	error_context_stack = callback.previous;

	/* What must fail here shall fail before the query runs. */
	s3_keys_init(&former.found);
	if (to->folder)
		s3_list(&to->uri, collect_former, &former);
	remember_former(to, &former);
	to->writer = s3_writer_open(to->overwrite);
	begin_object(to);

	error_context_stack = &callback;
	rows = copy_query_run(copy, take, to);
	EndCopyTo(copy);
	/* What comes next in the statement sees what a query has changed. */
	CommandCounterIncrement();
	error_context_stack = callback.previous;

	end_object(to);
	s3_writer_finish(to->writer);
	to->writer = NULL;
	delete_former(to, &former);
	return rows;
}

/*
 * The arguments
 */

/* Readers go by the name: what ends in .gz is compressed, and nothing else is. */
static bool
read_compression(const CopyTo *to, const char *compression)
{
	bool gzip = compression != NULL && strcmp(compression, "gzip") == 0;
	bool named = !to->folder && s3_key_ends_with(to->uri.key, ".gz");
	const char *other =
		s3_key_ends_with(to->uri.key, ".zst") ? ".zst" : inflate_unknown_ending(to->uri.key);

	if (compression != NULL && !gzip && strcmp(compression, "none") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"compression\" must be \"gzip\" or \"none\"")));
	if (compression != NULL && !to->folder && gzip != named)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"compression\" does not go with the name of the object"),
				 errhint("Readers go by the name: with gzip, and only then, it ends in \".gz\".")));
	/* A folder's name ends in a slash. */
	if (other != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an object is not written as its name says, which ends in \"%s\"", other),
				 errhint("With gzip, and only then, it ends in \".gz\".")));
	return gzip || named;
}

static void
read_arguments(FunctionCallInfo fcinfo, CopyTo *to)
{
	const char *format = NULL;
	const char *compression = NULL;
	CopyFormatOptions copy;
	const CopyOption own[] = {
		{"overwrite", COPY_VALUE_BOOL, COPY_OPTION_ANY_FORMAT, &to->overwrite},
		{"compression", COPY_VALUE_TEXT, COPY_OPTION_ANY_FORMAT, &compression},
		{"max_object_size", COPY_VALUE_BYTES, COPY_OPTION_ANY_FORMAT, &to->max_object_size},
	};

	sql_require(fcinfo, 0, "query");
	sql_require(fcinfo, 1, "uri");
	if (!s3_uri_parse(text_to_cstring(PG_GETARG_TEXT_PP(1)), &to->uri))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"uri\" names neither an object nor a folder"),
						errhint("As in 's3://bucket/folder/name.csv' or 's3://bucket/folder/'.")));
	to->folder = s3_key_ends_with(to->uri.key, "/");
	if (!PG_ARGISNULL(2))
		format = text_to_cstring(PG_GETARG_TEXT_PP(2));
	copy_option_read(format, PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3), false, own,
					 lengthof(own), &to->options);
	to->gzip = read_compression(to, compression);
	if (to->folder && strlen(object_key(to, 0)) > S3_MAX_KEY_BYTES)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the name of the folder is too long"),
						errdetail("The keys of its objects would be longer than %d bytes.",
								  S3_MAX_KEY_BYTES)));
	if (to->max_object_size != 0 && !to->folder)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"max_object_size\" is for folders"),
						errhint("The URI of a folder ends in \"/\".")));
	if (to->max_object_size == 0)
		to->max_object_size = DEFAULT_OBJECT_SIZE;
	memset(&copy, 0, sizeof(copy));
	ProcessCopyOptions(NULL, &copy, false, to->options.copy);
	to->expects_header = copy.binary || copy.header_line;
}

/* copy_to_s3(query text, uri text, format text, options jsonb) → bigint, the number of rows */
ATHENA_CALC_FUNCTION(athena_calc_copy_to_s3);
Datum
athena_calc_copy_to_s3(PG_FUNCTION_ARGS)
{
	CopyTo *to = palloc0(sizeof(CopyTo));
	uint64 rows = 0;
	int level;

	sql_expect_arguments(fcinfo, 4);
	read_arguments(fcinfo, to);
	to->object_memory =
		AllocSetContextCreate(CurrentMemoryContext, "athena_calc object", ALLOCSET_DEFAULT_SIZES);
	to->scratch_memory =
		AllocSetContextCreate(CurrentMemoryContext, "athena_calc writing", ALLOCSET_DEFAULT_SIZES);
	to->buffer = palloc(BUFFER_SIZE);
	initStringInfo(&to->header);
	level = copy_option_enter_settings(&to->options);
	PG_TRY();
	{
		rows = copy_rows(to, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	}
	PG_CATCH();
	{
		copy_option_leave_settings(level);
		if (to->writer != NULL)
			s3_writer_give_up(to->writer);
		PG_RE_THROW();
	}
	PG_END_TRY();
	copy_option_leave_settings(level);
	PG_RETURN_INT64(rows);
}
