/*
 * json_lines.c
 *		JSON Lines from and to COPY's text format. See json_lines.h for the contract.
 *
 * A line is checked once, from end to end; then each member is only a span of it, and what a column wants is copied.
 */
#include "s3/json_lines.h"

#include "aws/json.h"
#include "compat_copy.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "nodes/nodeFuncs.h"
#include "s3/json_column.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/plancache.h"

/* What is asked of the source below at once, at the least. */
#define READ_SIZE 65536

/* How much of a key that nobody knows is shown, in bytes. */
#define MAX_SHOWN_KEY 256

#define BYTE_ORDER_MARK "\xEF\xBB\xBF"

/* What a statement's rows are called in a query around it: a name that no table or WITH query of the user has. */
#define ROWS_NAME "\"athena_calc: rows to copy\""

#define LINES_HINT "JSON Lines are one object on each line, as Spark writes them."

/* What there is of a column. */
typedef struct Member
{
	JsonValue value; /* the one on this line */
	int follower;    /* the column whose member came behind this one's the last time */
} Member;

typedef struct JsonLinesSource
{
	ByteSource base;
	ByteSource *below;
	bool ignore_unknown;
	uint64 *line;

	JsonColumns columns;
	Member *members; /* for each column */
	int first;       /* the column whose member came first the last time */

	StringInfoData input; /* bytes of JSON, as they came */
	int next;             /* where the next line begins in them */
	bool begun;
	bool ended;

	StringInfoData output; /* the line as COPY wants it */
	int given;             /* how much of it has been read */
	MemoryContext memory;  /* what a value takes on its way there */
} JsonLinesSource;

pg_noreturn static void
refuse_member(JsonValue key)
{
	char *name = pnstrdup(
		key.start, pg_encoding_mbcliplen(PG_UTF8, key.start, (int) key.length, MAX_SHOWN_KEY));

	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("the member %s is none of the columns to load",
						   pg_any_to_server(name, (int) strlen(name), PG_UTF8)),
					errhint("Name the columns as the members, in the same case; or give the option "
							"{\"ignore_unknown\": true}.")));
}

pg_noreturn static void
refuse_line(const char *line, size_t length, const char *at, const char *problem)
{
	(void) pg_verify_mbstr(PG_UTF8, line, (int) length, false);
	ereport(ERROR,
			(errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
			 errmsg("the line is no JSON object: %s", problem),
			 errdetail("At byte %zu of the line.", (size_t) (at - line) + 1), errhint(LINES_HINT)));
}

/* Checks a line and finds the columns' values in it. The members are mostly those of the line before, in the same order. */
static void
take_line(JsonLinesSource *lines, const char *line, size_t length)
{
	JsonValue object;
	JsonValue key;
	JsonValue value;
	JsonCursor cursor;
	const char *problem;
	int *follower = &lines->first;

	if (!json_check(line, length, &object, &problem))
		refuse_line(line, length, object.start, problem);
	if (json_type(object) != JSON_OBJECT)
		refuse_line(line, length, object.start,
					json_type(object) == JSON_ARRAY ? "it is an array" : "it is a single value");
	for (int i = 0; i < lines->columns.count; i++)
		lines->members[i].value.length = 0;
	cursor = json_cursor(object);
	while (json_next_member(&cursor, &key, &value))
	{
		int found = json_columns_find(&lines->columns, key, *follower);

		CHECK_FOR_INTERRUPTS();
		if (found >= 0)
		{
			lines->members[found].value = value;
			*follower = found;
			follower = &lines->members[found].follower;
		}
		else if (!lines->ignore_unknown)
			refuse_member(key);
	}
}

/* Gets more bytes from below, behind those of the line that is not yet whole. */
static void
fill(JsonLinesSource *lines)
{
	StringInfo input = &lines->input;
	size_t got;

	CHECK_FOR_INTERRUPTS();
	input->len -= lines->next;
	memmove(input->data, input->data + lines->next, (size_t) input->len);
	lines->next = 0;
	if ((Size) input->len >= MaxAllocSize - READ_SIZE)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the line is longer than a value can be"), errhint(LINES_HINT)));
	enlargeStringInfo(input, READ_SIZE);
	got = lines->below->read(lines->below, input->data + input->len,
							 (size_t) (input->maxlen - input->len - 1));
	input->len += (int) got;
	if (got == 0)
		lines->ended = true;
}

/* The next line, without its newline. False at the end. */
static bool
next_line(JsonLinesSource *lines, const char **line, size_t *length)
{
	int scanned = 0;

	for (;;)
	{
		const char *start = lines->input.data + lines->next;
		int size = lines->input.len - lines->next;
		const char *newline = memchr(start + scanned, '\n', (size_t) (size - scanned));

		if (newline != NULL || (lines->ended && size > 0))
		{
			*line = start;
			*length = newline != NULL ? (size_t) (newline - start) : (size_t) size;
			lines->next += (int) *length + (newline != NULL);
			return true;
		}
		if (lines->ended)
			return false;
		scanned = size;
		fill(lines);
	}
}

static bool
is_blank(const char *line, size_t length)
{
	while (length > 0 && (*line == ' ' || *line == '\t' || *line == '\r'))
	{
		line++;
		length--;
	}
	return length == 0;
}

/* Makes the next row's line in `lines->output`. False at the end. */
static bool
next_row(JsonLinesSource *lines)
{
	const char *line;
	size_t length;

	for (;;)
	{
		if (!next_line(lines, &line, &length))
			return false;
		if (!lines->begun && length >= strlen(BYTE_ORDER_MARK) &&
			memcmp(line, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0)
		{
			line += strlen(BYTE_ORDER_MARK);
			length -= strlen(BYTE_ORDER_MARK);
		}
		lines->begun = true;
		if (!is_blank(line, length))
			break;
		(*lines->line)++;
	}
	take_line(lines, line, length);
	resetStringInfo(&lines->output);
	lines->given = 0;
	for (int i = 0; i < lines->columns.count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i > 0)
			appendStringInfoChar(&lines->output, '\t');
		json_column_put(&lines->columns.columns[i], lines->members[i].value, &lines->output,
						lines->memory);
	}
	appendStringInfoChar(&lines->output, '\n');
	return true;
}

static size_t
read_row(ByteSource *source, char *buffer, size_t size)
{
	JsonLinesSource *lines = (JsonLinesSource *) source;
	size_t length;

	if (lines->given == lines->output.len && !next_row(lines))
		return 0;
	length = Min(size, (size_t) (lines->output.len - lines->given));
	memcpy(buffer, lines->output.data + lines->given, length);
	lines->given += (int) length;
	return length;
}

ByteSource *
json_lines_source(ByteSource *below, TupleDesc descriptor, const List *attnums,
				  const JsonLinesOptions *options)
{
	JsonLinesSource *lines = palloc0(sizeof(JsonLinesSource));

	lines->base.read = read_row;
	lines->below = below;
	lines->ignore_unknown = options->ignore_unknown;
	lines->line = options->line;
	json_columns_init(&lines->columns, list_length(attnums));
	for (int i = 0; i < list_length(attnums); i++)
		json_columns_add(&lines->columns, TupleDescAttr(descriptor, list_nth_int(attnums, i) - 1));
	json_columns_sort(&lines->columns);
	lines->members = palloc0(sizeof(Member) * (Size) lines->columns.count);
	initStringInfo(&lines->input);
	initStringInfo(&lines->output);
	lines->memory = AllocSetContextCreate(CurrentMemoryContext, "athena_calc JSON value",
										  ALLOCSET_DEFAULT_SIZES);
	return &lines->base;
}

typedef struct JsonLinesSink
{
	ByteSink base;
	ByteSink *below;
	bool escaped; /* the next byte is the letter of an escape */
	StringInfoData plain;
} JsonLinesSink;

/*
 * COPY escapes backslashes, and control characters, which in JSON are nothing but white space between tokens. So a backslash
 * stands for itself, and everything else becomes a blank.
 */
static void
write_rows(ByteSink *sink, const char *bytes, size_t length)
{
	JsonLinesSink *lines = (JsonLinesSink *) sink;
	const char *end = bytes + length;

	resetStringInfo(&lines->plain);
	while (bytes < end)
	{
		const char *escape;

		CHECK_FOR_INTERRUPTS();
		if (lines->escaped)
		{
			appendStringInfoChar(&lines->plain, *bytes++ == '\\' ? '\\' : ' ');
			lines->escaped = false;
		}
		escape = memchr(bytes, '\\', (size_t) (end - bytes));
		lines->escaped = escape != NULL;
		appendBinaryStringInfo(&lines->plain, bytes,
							   (int) ((escape != NULL ? escape : end) - bytes));
		bytes = escape != NULL ? escape + 1 : end;
	}
	if (lines->plain.len > 0)
		lines->below->write(lines->below, lines->plain.data, (size_t) lines->plain.len);
}

static void
finish_rows(ByteSink *sink)
{
	JsonLinesSink *lines = (JsonLinesSink *) sink;

	lines->below->finish(lines->below);
}

ByteSink *
json_lines_sink(ByteSink *below)
{
	JsonLinesSink *lines = palloc0(sizeof(JsonLinesSink));

	lines->base.write = write_rows;
	lines->base.finish = finish_rows;
	lines->below = below;
	initStringInfo(&lines->plain);
	return &lines->base;
}

/* The columns that a statement gives, in the caller's memory. */
static TupleDesc
describe_query(const char *text)
{
	MemoryContext caller = CurrentMemoryContext;
	SPIPlanPtr plan;
	CachedPlanSource *source;
	TupleDesc columns;

	SPI_connect();
	plan = SPI_prepare(text, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	source = linitial(SPI_plan_get_plan_sources(plan));
	if (source->resultDesc == NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("the query gives no rows")));
	MemoryContextSwitchTo(caller);
	columns = CreateTupleDescCopy(source->resultDesc);
	SPI_finish();
	return columns;
}

static void
refuse_duplicate_names(TupleDesc columns)
{
	for (int i = 1; i < columns->natts; i++)
	{
		const char *name = NameStr(TupleDescAttr(columns, i)->attname);

		for (int j = 0; j < i; j++)
		{
			if (strcmp(name, NameStr(TupleDescAttr(columns, j)->attname)) == 0)
				ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
								errmsg("the query has more than one column \"%s\"", name),
								errhint("In JSON each member of an object has its own name: give "
										"the columns names by AS.")));
		}
	}
}

/* Constants that do not stand in the query's text have no place in it; pg_stat_statements would look for them there. */
static bool
forget_places(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, A_Const))
		((A_Const *) node)->location = -1;
	return raw_expression_tree_walker(node, forget_places, context);
}

RawStmt *
json_lines_query(RawStmt *query, const char *text)
{
	TupleDesc columns = describe_query(text);
	bool is_select = IsA(query->stmt, SelectStmt);
	WithClause **with = copy_query_with(query->stmt);
	StringInfoData wrapper;
	RawStmt *result;
	SelectStmt *rows;
	SelectStmt *named;

	refuse_duplicate_names(columns);

	/* What changes rows may only stand in WITH; what only reads must not, for it would be read as a whole first. */
	initStringInfo(&wrapper);
	appendStringInfo(&wrapper, "%sSELECT pg_catalog.row_to_json(r.*) FROM (SELECT ",
					 is_select ? "" : "WITH " ROWS_NAME " AS (SELECT) ");
	for (int i = 0; i < columns->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(columns, i);
		const char *name = quote_identifier(NameStr(column->attname));

		if (i > 0)
			appendStringInfoString(&wrapper, ", ");
		if (json_column_is_binary(column->atttypid))
			appendStringInfo(
				&wrapper, "pg_catalog.replace(pg_catalog.encode(q.%s, 'base64'), E'\\n', '') AS %s",
				name, name);
		else
			appendStringInfo(&wrapper, "q.%s", name);
	}
	appendStringInfo(&wrapper, " FROM %s q) r", is_select ? "(SELECT)" : ROWS_NAME);
	result = linitial_node(RawStmt, pg_parse_query(wrapper.data));
	(void) forget_places(result->stmt, NULL);

	rows = castNode(SelectStmt, result->stmt);
	if (is_select)
	{
		named = castNode(SelectStmt, linitial_node(RangeSubselect, rows->fromClause)->subquery);
		linitial_node(RangeSubselect, named->fromClause)->subquery = query->stmt;
	}
	else
		linitial_node(CommonTableExpr, rows->withClause->ctes)->ctequery = query->stmt;

	/* WITH may change rows only at the top. */
	if (*with != NULL)
	{
		if (!is_select)
			(*with)->ctes = list_concat((*with)->ctes, rows->withClause->ctes);
		rows->withClause = *with;
		*with = NULL;
	}
	result->stmt_location = query->stmt_location;
	result->stmt_len = query->stmt_len;
	return result;
}
