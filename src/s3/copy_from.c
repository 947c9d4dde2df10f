/*
 * copy_from.c
 *		copy_from_s3: objects of S3 into a table, through PostgreSQL's own COPY FROM.
 *
 * Every object is a COPY of its own, in one statement: all rows or none. What COPY raises has the object in its context,
 * below COPY's own line. COPY checks no rights when it is called from C, so all that it checks for SQL is checked here, before
 * anything is sent.
 */
#include "compat.h"

#include "access/table.h"
#include "access/xact.h"
#include "commands/copy.h"
#include "commands/copyfrom_internal.h"
#include "nodes/makefuncs.h"
#include "nodes/value.h"
#include "s3/copy_option.h"
#include "s3/inflate.h"
#include "s3/json_lines.h"
#include "s3/list.h"
#include "s3/reader.h"
#include "s3/uri.h"
#include "sql.h"
#include "storage/lockdefs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

typedef struct CopyFromS3
{
	struct CopyFromS3 *outer;
	S3Uri uri;
	bool is_folder;
	S3Kept kept; /* of a list: the objects' strings */
	S3Object *objects;
	int object_count;
	int object_capacity;
	bool is_empty; /* a folder in which there is nothing, not even a marker */

	ParseState *pstate;
	Relation relation;
	List *columns;
	CopyOptions options;
	bool ignore_unknown;

	S3Reader *reader;
	const S3Object *object; /* that is read */
	ByteSource *source;     /* what COPY gets of it */
	bool is_read;           /* at this moment */
	bool has_begun;         /* something was read of it */
	bool has_ended;
	uint64 rows; /* copied */
} CopyFromS3;

/* COPY gives its callback no argument, and a trigger may copy, too: the innermost copy is the one that reads. */
static CopyFromS3 *innermost = NULL;

static size_t
read_source(CopyFromS3 *copy, char *buffer, size_t size)
{
	size_t length;

	copy->is_read = true;
	length = copy->has_ended ? 0 : copy->source->read(copy->source, buffer, size);
	copy->is_read = false;
	copy->has_begun = true;
	copy->has_ended = length == 0;
	return length;
}

/* COPY's data source: at least so many bytes, fewer at the end. */
static int
feed_copy(void *buffer, int least, int most)
{
	int length = 0;

	/* A row may be long, and COPY looks at interrupts between rows alone. */
	CHECK_FOR_INTERRUPTS();
	copy_option_check_settings(&innermost->options);
	while (length < least)
	{
		int more = (int) read_source(innermost, (char *) buffer + length, (size_t) (most - length));

		if (more == 0)
			break;
		length += more;
	}
	return length;
}

/* Adds to whatever goes wrong which object it was. */
static void
name_object(void *context)
{
	CopyFromS3 *copy = context;

	/* What user code raises has hints of its own. */
	if (copy->is_read && !copy->has_begun && !copy->is_folder &&
		geterrcode() == ERRCODE_UNDEFINED_OBJECT)
		errhint("Check the names. Where it is a folder, the URI ends with \"/\".");
	errcontext("object \"s3://%s/%s\"", copy->uri.bucket, copy->object->key);
}

static void
add_object(CopyFromS3 *copy, const char *key, const char *etag, int64 size)
{
	if (copy->object_count == copy->object_capacity)
	{
		copy->object_capacity = copy->object_capacity == 0 ? 64 : copy->object_capacity * 2;
		copy->objects =
			copy->objects == NULL
				? palloc(sizeof(S3Object) * copy->object_capacity)
				: repalloc_huge(copy->objects, sizeof(S3Object) * (Size) copy->object_capacity);
	}
	copy->objects[copy->object_count++] = (S3Object){key, etag, size};
}

/* A list's row; a list has memory of its own for a page. */
static bool
collect_object(const S3Listed *listed, void *context)
{
	CopyFromS3 *copy = context;

	copy->is_empty = false;
	if (s3_is_data(listed, &copy->uri))
	{
		MemoryContext before = MemoryContextSwitchTo(copy->kept.memory);

		add_object(copy, s3_keep(&copy->kept, listed->key),
				   listed->etag != NULL ? s3_keep(&copy->kept, listed->etag) : NULL,
				   Max(listed->size, 0));
		MemoryContextSwitchTo(before);
	}
	return true;
}

static void
find_objects(CopyFromS3 *copy)
{
	if (!copy->is_folder)
	{
		add_object(copy, copy->uri.key, NULL, 0);
		return;
	}
	copy->is_empty = true;
	copy->kept.memory = CurrentMemoryContext;
	s3_list(&copy->uri, collect_object, copy);
	if (copy->is_empty)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("there is no object under \"s3://%s/%s\"", copy->uri.bucket,
							   copy->uri.key)));
}

/*
 * COPY stops at a line "\." without a word, and rows behind it would be lost. So in text there must be nothing more, neither in
 * COPY's buffers (which are one, unless the encoding is converted) nor in the object. In csv, whose end is marked by nobody,
 * it is a value that should be quoted, and is not by Spark; from 18 on COPY takes it for one. Reading to the end also has
 * the length and the checksum verified.
 */
static void
check_end(CopyFromS3 *copy, CopyFromState state)
{
	bool is_one = state->raw_buf == state->input_buf;
	int buffered = (is_one ? state->raw_buf_len : state->input_buf_len) - state->input_buf_index +
				   (is_one ? 0 : state->raw_buf_len - state->raw_buf_index);
	char byte;

	if (copy->options.format == COPY_OPTION_CSV)
	{
		if (!copy->has_ended)
			ereport(ERROR,
					(errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
					 errmsg("line " UINT64_FORMAT " is \"\\.\", which ends the data before "
							"PostgreSQL 18",
							(uint64) state->cur_lineno),
					 errhint("As a value it must be quoted. The format json has no such line.")));
	}
	else if (buffered > 0 || read_source(copy, &byte, 1) > 0)
		ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
						errmsg("there is more after the end-of-data marker in line " UINT64_FORMAT,
							   (uint64) state->cur_lineno)));
}

static void
copy_object(CopyFromS3 *copy)
{
	CopyFromState state = BeginCopyFrom(copy->pstate, copy->relation, NULL, NULL, false, feed_copy,
										copy->columns, copy->options.copy);

	if (copy->options.format == COPY_OPTION_JSON)
	{
		const JsonLinesOptions json = {copy->ignore_unknown, &state->cur_lineno};

		copy->source = json_lines_source(copy->source, RelationGetDescr(copy->relation),
										 state->attnumlist, &json);
	}
	copy->rows += CopyFrom(state);
	check_end(copy, state);
	EndCopyFrom(state);
	/* What comes next in the statement sees these rows. */
	CommandCounterIncrement();
}

/* Copies the objects one after another; the memory of each is freed with it. */
static void
copy_objects(CopyFromS3 *copy)
{
	MemoryContext before = CurrentMemoryContext;
	MemoryContext memory =
		AllocSetContextCreate(before, "athena_calc object", ALLOCSET_DEFAULT_SIZES);
	ErrorContextCallback callback = {error_context_stack, name_object, copy};

	error_context_stack = &callback;
	for (copy->object = copy->objects; copy->object < copy->objects + copy->object_count;
		 copy->object++)
	{
		copy->has_begun = copy->has_ended = false;
		copy->source = s3_reader_next(copy->reader);
		MemoryContextSwitchTo(memory);
		copy->source = inflate_open(copy->source, copy->object->key);
		copy_object(copy);
		MemoryContextSwitchTo(before);
		MemoryContextReset(memory);
	}
	error_context_stack = callback.previous;
	MemoryContextDelete(memory);
}

/* Does what must be undone again, also after an error. */
static void
copy_all(CopyFromS3 *copy)
{
	int level = copy_option_enter_settings(&copy->options);

	copy->outer = innermost;
	innermost = copy;
	PG_TRY();
	{
		copy->reader = s3_reader_open(copy->uri.bucket, copy->objects, copy->object_count);
		copy_objects(copy);
	}
	PG_FINALLY();
	{
		innermost = copy->outer;
		if (copy->reader != NULL)
			s3_reader_close(copy->reader);
		copy_option_leave_settings(level);
	}
	PG_END_TRY();
}

/* Opens the table, if its rows may be written by the user and now. What COPY checks for SQL, in its order. */
static void
open_target(CopyFromS3 *copy, Oid target)
{
	if (get_rel_relkind(target) == '\0')
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation with OID %u does not exist", target)));
	PreventCommandIfParallelMode("copy_from_s3()");
	PreventCommandDuringRecovery("copy_from_s3()");
	copy->relation = table_open(target, RowExclusiveLock);
	copy->pstate = make_parsestate(NULL);
	check_insert_rights(
		copy->pstate, copy->relation,
		CopyGetAttnums(RelationGetDescr(copy->relation), copy->relation, copy->columns));
	if (check_enable_rls(target, InvalidOid, false) == RLS_ENABLED)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("COPY FROM not supported with row-level security"),
						errhint("Copy into a table without it, and use INSERT from there.")));
	if (!copy->relation->rd_islocaltemp)
		PreventCommandIfReadOnly("copy_from_s3()");
}

static List *
get_columns(FunctionCallInfo fcinfo, int argument)
{
	List *columns = NIL;
	Datum *names;
	int count;

	if (PG_ARGISNULL(argument))
		return NIL;
	count = sql_get_ids(fcinfo, argument, "columns", &names);
	if (count == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"columns\" must not be empty"),
						errhint("Leave it out, or NULL, for all columns.")));
	for (int i = 0; i < count; i++)
		columns = lappend(columns, makeString(TextDatumGetCString(names[i])));
	return columns;
}

/* copy_from_s3(target regclass, uri text, columns text[], format text, options jsonb) → bigint, the rows */
ATHENA_CALC_FUNCTION(athena_calc_copy_from_s3);
Datum
athena_calc_copy_from_s3(PG_FUNCTION_ARGS)
{
	CopyFromS3 *copy = palloc0(sizeof(CopyFromS3));
	const CopyOption own[] = {{"ignore_unknown", COPY_VALUE_BOOL,
							   COPY_OPTION_FORMAT(COPY_OPTION_JSON), &copy->ignore_unknown}};

	sql_expect_arguments(fcinfo, 5);
	sql_require(fcinfo, 0, "target");
	sql_require(fcinfo, 1, "uri");
	if (!s3_uri_parse_prefix(text_to_cstring(PG_GETARG_TEXT_PP(1)), &copy->uri))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"uri\" names neither an object nor a folder"),
						errhint("As in 's3://bucket/folder/name.csv' or 's3://bucket/folder/'.")));
	copy->is_folder = copy->uri.key[0] == '\0' || s3_key_ends_with(copy->uri.key, "/");
	copy->columns = get_columns(fcinfo, 2);
	copy_option_read(PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3)),
					 PG_ARGISNULL(4) ? NULL : PG_GETARG_JSONB_P(4), true, own, lengthof(own),
					 &copy->options);

	open_target(copy, PG_GETARG_OID(0));
	find_objects(copy);
	copy_all(copy);
	table_close(copy->relation, NoLock);
	PG_RETURN_INT64((int64) copy->rows);
}
