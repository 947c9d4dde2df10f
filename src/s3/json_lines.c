/*
 * json_lines.c
 *		JSON Lines from and to COPY's text format. See json_lines.h for the contract.
 *
 * A line is checked once, from end to end; then each member is only a span of it, and what a column wants is copied. Values go as the
 * text that json_populate_record() would hand to the type's input function, and COPY calls that. What is made of parts, an
 * array or a row, is made by json_to_record() and becomes text by the type's output function.
 */
#include "s3/json_lines.h"

#include "access/htup_details.h"
#include "aws/json.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "nodes/execnodes.h"
#include "nodes/nodeFuncs.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

/* What is asked of the source below at once, at the least. */
#define READ_SIZE 65536

/* How much of a key that nobody knows is shown, in bytes. */
#define MAX_SHOWN_KEY 256

#define BYTE_ORDER_MARK "\xEF\xBB\xBF"

#define LINES_HINT "JSON Lines are one object on each line, as Spark writes them."

/* How the values of a type become text. */
typedef enum ColumnKind
{
	TEXT_COLUMN,   /* strings are read, everything else is taken as it is written */
	JSON_COLUMN,   /* all is taken as it is written */
	BINARY_COLUMN, /* strings are base64 */
	NESTED_COLUMN  /* strings are read, everything else is converted */
} ColumnKind;

typedef struct Column
{
	const char *name;
	const char *key; /* the name in UTF-8 */
	size_t key_length;
	ColumnKind kind;
	int follower;    /* the column whose member came behind this one's the last time */
	JsonValue value; /* the one on this line */

	/* Of a column that is converted: */
	TupleDesc row; /* of this column alone */
	FmgrInfo to_row;
	FmgrInfo to_text;
} Column;

typedef struct JsonLinesSource
{
	ByteSource base;
	ByteSource *below;
	bool ignore_unknown;
	uint64 *line;
	uint64 blank_lines; /* what `line` points to where nobody counts */

	Column *columns;
	int column_count;
	int first; /* the column whose member came first the last time */

	StringInfoData input; /* bytes of JSON, as they came */
	int next;             /* where the next line begins in them */
	bool begun;
	bool ended;

	StringInfoData output; /* the line as COPY wants it */
	int given;             /* how much of it has been read */

	StringInfoData characters; /* of a string with escapes in it */
	MemoryContext value_context;
} JsonLinesSource;

static ColumnKind
column_kind(Oid type)
{
	Oid base = getBaseType(type);

	if (base == JSONOID || base == JSONBOID)
		return JSON_COLUMN;
	if (base == BYTEAOID)
		return BINARY_COLUMN;
	if (type_is_rowtype(base) || OidIsValid(get_element_type(base)))
		return NESTED_COLUMN;
	return TEXT_COLUMN;
}

static void
prepare_column(Column *column, Form_pg_attribute attribute)
{
	Oid output;
	bool is_varlena;

	column->name = NameStr(attribute->attname);
	column->key = pg_server_to_any(column->name, (int) strlen(column->name), PG_UTF8);
	column->key_length = strlen(column->key);
	column->kind = column_kind(attribute->atttypid);
	if (column->kind != NESTED_COLUMN)
		return;
	column->row = CreateTemplateTupleDesc(1);
	TupleDescInitEntry(column->row, 1, column->name, attribute->atttypid, attribute->atttypmod, 0);
	fmgr_info(F_JSON_TO_RECORD, &column->to_row);
	getTypeOutputInfo(attribute->atttypid, &output, &is_varlena);
	fmgr_info(output, &column->to_text);
}

/* Escapes what COPY would take for something else. */
static void
put_text(StringInfo out, const char *p, size_t length)
{
	const char *end = p + length;
	const char *run = p;

	for (; p < end; p++)
	{
		char letter;

		switch (*p)
		{
			case '\\':
				letter = '\\';
				break;
			case '\t':
				letter = 't';
				break;
			case '\n':
				letter = 'n';
				break;
			case '\r':
				letter = 'r';
				break;
			default:
				continue;
		}
		appendBinaryStringInfo(out, run, (int) (p - run));
		appendStringInfoChar(out, '\\');
		appendStringInfoChar(out, letter);
		run = p + 1;
	}
	appendBinaryStringInfo(out, run, (int) (end - run));
}

/* Reads a string with escapes in it, into `lines->characters`. */
static void
read_string(JsonLinesSource *lines, const Column *column, JsonValue value)
{
	StringInfo characters = &lines->characters;
	size_t length;

	resetStringInfo(characters);
	enlargeStringInfo(characters, (int) value.length);
	switch (json_read_string(value, characters->data, &length))
	{
		case JSON_READ:
			break;
		case JSON_HAS_NUL:
			ereport(ERROR, (errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
							errmsg("the member \"%s\" holds \\u0000, which text cannot hold",
								   column->name)));
		default:
			ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
							errmsg("the member \"%s\" holds half of a Unicode surrogate pair",
								   column->name)));
	}
	characters->len = (int) length;
	characters->data[length] = '\0';
}

/* A string that is checked holds no control characters: without a backslash it is what COPY wants. */
static void
put_string(JsonLinesSource *lines, const Column *column, JsonValue value)
{
	if (memchr(value.start, '\\', value.length) == NULL)
		appendBinaryStringInfo(&lines->output, value.start + 1, (int) value.length - 2);
	else
	{
		read_string(lines, column, value);
		put_text(&lines->output, lines->characters.data, lines->characters.len);
	}
}

/* Base64, or PostgreSQL's hexadecimal form: no base64 begins with a backslash. */
static void
put_binary(JsonLinesSource *lines, Column *column, JsonValue value)
{
	StringInfo characters = &lines->characters;
	StringInfo output = &lines->output;
	bytea *binary;
	int digits;

	read_string(lines, column, value);
	if (strncmp(characters->data, "\\x", 2) == 0)
	{
		put_text(output, characters->data, characters->len);
		return;
	}
	binary = DatumGetByteaPP(DirectFunctionCall2(
		binary_decode, PointerGetDatum(cstring_to_text_with_len(characters->data, characters->len)),
		PointerGetDatum(cstring_to_text("base64"))));
	digits = (int) VARSIZE_ANY_EXHDR(binary) * 2;
	appendStringInfoString(output, "\\\\x");
	enlargeStringInfo(output, digits);
	hex_encode(VARDATA_ANY(binary), VARSIZE_ANY_EXHDR(binary), output->data + output->len);
	output->len += digits;
	output->data[output->len] = '\0';
}

/* A value's text must be one that the type reads back, whatever the settings are. */
static char *
output_text(FmgrInfo *to_text, Datum value)
{
	static const struct
	{
		const char *name;
		const char *value;
	} settings[] = {
		{"datestyle", "ISO"}, {"intervalstyle", "postgres"}, {"extra_float_digits", "1"}};
	char *text;
	int level;

	if (DateStyle == USE_ISO_DATES && IntervalStyle == INTSTYLE_POSTGRES && extra_float_digits > 0)
		return OutputFunctionCall(to_text, value);
	level = NewGUCNestLevel();
	for (size_t i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i].name, settings[i].value, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	text = OutputFunctionCall(to_text, value);
	AtEOXact_GUC(true, level);
	return text;
}

/* A row of this column alone, as json_to_record() makes it of {"name": value}. */
static Datum
nested_value(Column *column, JsonValue value, bool *is_null)
{
	LOCAL_FCINFO(call, 1);
	ReturnSetInfo expected = {.type = T_ReturnSetInfo, .expectedDesc = column->row};
	StringInfoData json;
	char *text = pg_any_to_server(value.start, (int) value.length, PG_UTF8);
	HeapTupleData tuple = {0};

	initStringInfo(&json);
	appendStringInfoSpaces(&json, VARHDRSZ);
	appendStringInfoChar(&json, '{');
	escape_json(&json, column->name);
	appendStringInfoChar(&json, ':');
	appendBinaryStringInfo(&json, text,
						   text == value.start ? (int) value.length : (int) strlen(text));
	appendStringInfoChar(&json, '}');
	SET_VARSIZE(json.data, json.len);

	InitFunctionCallInfoData(*call, &column->to_row, 1, InvalidOid, NULL, (Node *) &expected);
	call->args[0].value = PointerGetDatum(json.data);
	call->args[0].isnull = false;
	tuple.t_data = DatumGetHeapTupleHeader(FunctionCallInvoke(call));
	tuple.t_len = HeapTupleHeaderGetDatumLength(tuple.t_data);
	return heap_getattr(&tuple, 1, column->row, is_null);
}

static void
put_nested(JsonLinesSource *lines, Column *column, JsonValue value)
{
	bool is_null;
	Datum datum = nested_value(column, value, &is_null);
	char *text;

	if (is_null)
	{
		appendStringInfoString(&lines->output, "\\N");
		return;
	}
	text = output_text(&column->to_text, datum);
	text = pg_server_to_any(text, (int) strlen(text), PG_UTF8);
	put_text(&lines->output, text, strlen(text));
}

static void
name_column(void *column)
{
	errcontext("column %s", ((Column *) column)->name);
}

/* What calls functions of PostgreSQL's: in memory of the value's own, and with the column's name in errors. */
static void
put_converted(JsonLinesSource *lines, Column *column, JsonValue value,
			  void (*put)(JsonLinesSource *lines, Column *column, JsonValue value))
{
	MemoryContext caller = MemoryContextSwitchTo(lines->value_context);
	ErrorContextCallback context = {
		.previous = error_context_stack, .callback = name_column, .arg = column};

	error_context_stack = &context;
	put(lines, column, value);
	error_context_stack = context.previous;
	MemoryContextSwitchTo(caller);
	MemoryContextReset(lines->value_context);
}

static void
put_value(JsonLinesSource *lines, Column *column)
{
	JsonValue value = column->value;
	JsonType type = json_type(value);

	if (type == JSON_ABSENT || type == JSON_NULL)
		appendBinaryStringInfo(&lines->output, "\\N", 2);
	else if (type == JSON_STRING && column->kind == BINARY_COLUMN)
		put_converted(lines, column, value, put_binary);
	else if (type == JSON_STRING && column->kind != JSON_COLUMN)
		put_string(lines, column, value);
	else if (column->kind == NESTED_COLUMN)
		put_converted(lines, column, value, put_nested);
	else
		put_text(&lines->output, value.start, value.length);
}

/* The column that a member is for, or -1. The members of one line are mostly those of the line before, in the same order. */
static int
find_column(const JsonLinesSource *lines, JsonValue key, int follower)
{
	if (follower < lines->column_count &&
		json_key_is(key, lines->columns[follower].key, lines->columns[follower].key_length))
		return follower;
	for (int i = 0; i < lines->column_count; i++)
	{
		if (json_key_is(key, lines->columns[i].key, lines->columns[i].key_length))
			return i;
	}
	return -1;
}

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

/* Checks a line and finds the columns' values in it. */
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
	for (int i = 0; i < lines->column_count; i++)
		lines->columns[i].value.length = 0;
	cursor = json_cursor(object);
	while (json_next_member(&cursor, &key, &value))
	{
		int found = find_column(lines, key, *follower);

		if (found >= 0)
		{
			lines->columns[found].value = value;
			*follower = found;
			follower = &lines->columns[found].follower;
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
	for (int i = 0; i < lines->column_count; i++)
	{
		if (i > 0)
			appendStringInfoChar(&lines->output, '\t');
		put_value(lines, &lines->columns[i]);
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
	ListCell *cell;

	lines->base.read = read_row;
	lines->below = below;
	lines->ignore_unknown = options->ignore_unknown;
	lines->line = options->line != NULL ? options->line : &lines->blank_lines;
	lines->columns = palloc0(sizeof(Column) * list_length(attnums));
	foreach(cell, attnums) prepare_column(&lines->columns[lines->column_count++],
										  TupleDescAttr(descriptor, lfirst_int(cell) - 1));
	initStringInfo(&lines->input);
	initStringInfo(&lines->output);
	initStringInfo(&lines->characters);
	lines->value_context =
		AllocSetContextCreate(CurrentMemoryContext, "value of a JSON line", ALLOCSET_DEFAULT_SIZES);
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
	StringInfoData wrapper;
	RawStmt *result;
	SelectStmt *rows;
	SelectStmt *named;

	refuse_duplicate_names(columns);

	/* What changes rows may only stand in WITH; what only reads must not, for it would be read as a whole first. */
	initStringInfo(&wrapper);
	appendStringInfo(&wrapper, "%sSELECT pg_catalog.row_to_json(r.*) FROM (SELECT ",
					 is_select ? "" : "WITH q AS (SELECT) ");
	for (int i = 0; i < columns->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(columns, i);
		const char *name = quote_identifier(NameStr(column->attname));

		if (i > 0)
			appendStringInfoString(&wrapper, ", ");
		if (column_kind(column->atttypid) == BINARY_COLUMN)
			appendStringInfo(
				&wrapper,
				"pg_catalog.translate(pg_catalog.encode(q.%s, 'base64'), E'\\n', '') AS %s", name,
				name);
		else
			appendStringInfo(&wrapper, "q.%s", name);
	}
	appendStringInfo(&wrapper, " FROM %s) r", is_select ? "(SELECT) q" : "q");
	result = linitial_node(RawStmt, pg_parse_query(wrapper.data));
	(void) forget_places(result->stmt, NULL);

	rows = castNode(SelectStmt, result->stmt);
	if (is_select)
	{
		SelectStmt *select = castNode(SelectStmt, query->stmt);

		/* WITH may change rows only at the top. */
		rows->withClause = select->withClause;
		select->withClause = NULL;
		named = castNode(SelectStmt, linitial_node(RangeSubselect, rows->fromClause)->subquery);
		linitial_node(RangeSubselect, named->fromClause)->subquery = query->stmt;
	}
	else
		linitial_node(CommonTableExpr, rows->withClause->ctes)->ctequery = query->stmt;
	result->stmt_location = query->stmt_location;
	result->stmt_len = query->stmt_len;
	return result;
}
