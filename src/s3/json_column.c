/*
 * json_column.c
 *		Values of JSON as a column's text. See json_column.h for the contract.
 *
 * The shape of a type is found once. json_populate_type() would do the same, but is there from PostgreSQL 17 on, and its values would
 * have to be written out for COPY to read them again.
 */
#include "s3/json_column.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

/* A name whose characters are all of them escapes, in quotes; longer keys name no column. */
#define MAX_KEY_BYTES (6 * NAMEDATALEN + 2)

typedef enum ShapeKind
{
	SHAPE_TEXT,
	SHAPE_JSON,
	SHAPE_BINARY,
	SHAPE_ARRAY,
	SHAPE_ROW
} ShapeKind;

struct JsonShape
{
	ShapeKind kind;
	const JsonShape *element; /* of an array */
	char delimiter;           /* between them */
	JsonColumns fields;       /* of a row */
};

static const JsonShape *shape_of(Oid type);

bool
json_column_is_binary(Oid type)
{
	return getBaseType(type) == BYTEAOID;
}

void
json_columns_init(JsonColumns *columns, int room)
{
	columns->count = 0;
	columns->columns = palloc(sizeof(JsonColumn) * (Size) room);
	columns->by_key = palloc(sizeof(JsonColumn *) * (Size) room);
}

void
json_columns_add(JsonColumns *columns, Form_pg_attribute attribute)
{
	JsonColumn *column = &columns->columns[columns->count];

	columns->by_key[columns->count++] = column;
	column->name = NameStr(attribute->attname);
	column->key = pg_server_to_any(column->name, (int) strlen(column->name), PG_UTF8);
	column->key_length = strlen(column->key);
	column->shape = shape_of(attribute->atttypid);
}

/* Shorter keys come first: that is told without looking at them. */
static int
compare_keys(const JsonColumn *a, const JsonColumn *b)
{
	if (a->key_length != b->key_length)
		return a->key_length < b->key_length ? -1 : 1;
	return memcmp(a->key, b->key, a->key_length);
}

static int
compare_columns(const void *a, const void *b)
{
	return compare_keys(*(JsonColumn *const *) a, *(JsonColumn *const *) b);
}

void
json_columns_sort(JsonColumns *columns)
{
	qsort(columns->by_key, (size_t) columns->count, sizeof(JsonColumn *), compare_columns);
}

int
json_columns_find(const JsonColumns *columns, JsonValue key, int likely)
{
	char unescaped[MAX_KEY_BYTES];
	JsonColumn wanted = {.key = key.start + 1, .key_length = key.length - 2};
	const JsonColumn *sought = &wanted;
	JsonColumn *const *found;

	if (memchr(wanted.key, '\\', wanted.key_length) != NULL)
	{
		if (key.length > sizeof(unescaped) ||
			json_read_string(key, unescaped, &wanted.key_length) != JSON_READ)
			return -1;
		wanted.key = unescaped;
	}
	if (likely < columns->count && compare_keys(sought, &columns->columns[likely]) == 0)
		return likely;
	found = bsearch(&sought, columns->by_key, (size_t) columns->count, sizeof(JsonColumn *),
					compare_columns);
	return found != NULL ? (int) (*found - columns->columns) : -1;
}

static void
take_fields(JsonShape *shape, Oid type)
{
	TupleDesc row = lookup_rowtype_tupdesc_copy(type, -1);

	json_columns_init(&shape->fields, row->natts);
	for (int i = 0; i < row->natts; i++)
	{
		if (!TupleDescAttr(row, i)->attisdropped)
			json_columns_add(&shape->fields, TupleDescAttr(row, i));
	}
	json_columns_sort(&shape->fields);
}

/* No type is a part of itself, so this ends. */
static const JsonShape *
shape_of(Oid type)
{
	JsonShape *shape = palloc0(sizeof(JsonShape));
	Oid base = getBaseType(type);
	Oid element = get_element_type(base);

	shape->kind = SHAPE_TEXT;
	if (base == JSONOID || base == JSONBOID)
		shape->kind = SHAPE_JSON;
	else if (base == BYTEAOID)
		shape->kind = SHAPE_BINARY;
	else if (OidIsValid(element) && get_array_type(element) == base) /* int2vector is none */
	{
		int16 length;
		bool by_value;
		char alignment;
		Oid parameter;
		Oid input;

		shape->kind = SHAPE_ARRAY;
		shape->element = shape_of(element);
		get_type_io_data(element, IOFunc_input, &length, &by_value, &alignment, &shape->delimiter,
						 &parameter, &input);
	}
	else if (type_is_rowtype(base))
	{
		shape->kind = SHAPE_ROW;
		take_fields(shape, base);
	}
	return shape;
}

static char *
read_string(JsonValue value)
{
	char *text = palloc(value.length);
	size_t length;

	switch (json_read_string(value, text, &length))
	{
		case JSON_READ:
			break;
		case JSON_HAS_NUL:
			ereport(ERROR, (errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
							errmsg("the string holds \\u0000, which text cannot hold")));
		default:
			ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
							errmsg("the string holds half of a Unicode surrogate pair")));
	}
	text[length] = '\0'; /* in place of a quote */
	return text;
}

/* A text that bytea takes. No base64 begins with a backslash. */
static char *
read_binary(JsonValue value)
{
	char *text = read_string(value);

	if (strncmp(text, "\\x", 2) == 0)
		return text;
	return DatumGetCString(
		DirectFunctionCall1(byteaout, DirectFunctionCall2(binary_decode, CStringGetTextDatum(text),
														  CStringGetTextDatum("base64"))));
}

static char *read_value(const JsonShape *shape, JsonValue value);

/* Appends a part of an array's or a row's literal, which is not null. */
static void
append_part(StringInfo out, const JsonShape *shape, JsonValue value)
{
	JsonType type = json_type(value);

	if (type == JSON_NUMBER || type == JSON_BOOLEAN)
	{
		appendBinaryStringInfo(out, value.start, (int) value.length);
		return;
	}
	appendStringInfoChar(out, '"');
	for (const char *p = read_value(shape, value); *p != '\0'; p++)
	{
		if (*p == '"' || *p == '\\')
			appendStringInfoChar(out, '\\');
		appendStringInfoChar(out, *p);
	}
	appendStringInfoChar(out, '"');
}

/*
 * How many dimensions there are: as many as arrays begin before anything else comes. One more than an array may have is as wrong as
 * any number.
 */
static int
count_dimensions(JsonValue array)
{
	int dimensions = 0;

	for (const char *p = array.start; dimensions <= MAXDIM && strchr("[ \t\r\n", *p) != NULL; p++)
		dimensions += *p == '[';
	return dimensions;
}

/* Whether there is an element in it, at any depth. */
static bool
append_array(StringInfo out, const JsonShape *shape, JsonValue array, int dimensions)
{
	JsonCursor cursor = json_cursor(array);
	JsonValue part;
	bool is_first = true;
	bool has_elements = false;

	appendStringInfoChar(out, '{');
	for (; json_next_element(&cursor, &part); is_first = false)
	{
		CHECK_FOR_INTERRUPTS();
		if (!is_first)
			appendStringInfoChar(out, shape->delimiter);
		if (json_type(part) == JSON_ARRAY && dimensions > 1)
		{
			has_elements |= append_array(out, shape, part, dimensions - 1);
			continue;
		}
		has_elements = true;
		if (json_type(part) == JSON_NULL)
			appendStringInfoString(out, "NULL");
		else
			append_part(out, shape->element, part);
	}
	appendStringInfoChar(out, '}');
	return has_elements;
}

/* Members that are no fields are left out, as json_populate_record() does; of two for the same field the last counts. */
static void
append_row(StringInfo out, const JsonShape *shape, JsonValue object)
{
	const JsonColumns *fields = &shape->fields;
	JsonValue *values = palloc0(sizeof(JsonValue) * (Size) fields->count);
	JsonCursor cursor = json_cursor(object);
	JsonValue key;
	JsonValue value;
	int likely = 0;

	while (json_next_member(&cursor, &key, &value))
	{
		int found = json_columns_find(fields, key, likely);

		CHECK_FOR_INTERRUPTS();
		if (found < 0)
			continue;
		values[found] = value;
		likely = found + 1;
	}
	appendStringInfoChar(out, '(');
	for (int i = 0; i < fields->count; i++)
	{
		JsonType type = json_type(values[i]);

		if (i > 0)
			appendStringInfoChar(out, ',');
		if (type != JSON_ABSENT && type != JSON_NULL)
			append_part(out, fields->columns[i].shape, values[i]);
	}
	appendStringInfoChar(out, ')');
}

/* The text of a value that is not null. */
static char *
read_value(const JsonShape *shape, JsonValue value)
{
	JsonType type = json_type(value);
	StringInfoData literal;

	if (type == JSON_STRING && shape->kind == SHAPE_BINARY)
		return read_binary(value);
	if (type == JSON_STRING && shape->kind != SHAPE_JSON)
		return read_string(value);

	initStringInfo(&literal);
	if (type == JSON_ARRAY && shape->kind == SHAPE_ARRAY)
	{
		/* Without an element there are no dimensions. */
		if (!append_array(&literal, shape, value, count_dimensions(value)))
			return pstrdup("{}");
	}
	else if (type == JSON_OBJECT && shape->kind == SHAPE_ROW)
		append_row(&literal, shape, value);
	else
		appendBinaryStringInfo(&literal, value.start, (int) value.length);
	return literal.data;
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

static void
name_column(void *column)
{
	errcontext("column %s", ((const JsonColumn *) column)->name);
}

static void
put_read(const JsonColumn *column, JsonValue value, StringInfo out, MemoryContext memory)
{
	MemoryContext caller = MemoryContextSwitchTo(memory);
	ErrorContextCallback context = {error_context_stack, name_column, (void *) column};
	char *text;

	error_context_stack = &context;
	text = read_value(column->shape, value);
	error_context_stack = context.previous;
	put_text(out, text, strlen(text));
	MemoryContextSwitchTo(caller);
	MemoryContextReset(memory);
}

void
json_column_put(const JsonColumn *column, JsonValue value, StringInfo out, MemoryContext memory)
{
	ShapeKind kind = column->shape->kind;

	switch (json_type(value))
	{
		case JSON_ABSENT:
		case JSON_NULL:
			appendBinaryStringInfo(out, "\\N", 2);
			return;
		case JSON_STRING:
			/* A checked string has no control characters: without a backslash it is what COPY wants. */
			if (kind == SHAPE_JSON)
				put_text(out, value.start, value.length);
			else if (kind != SHAPE_BINARY && memchr(value.start, '\\', value.length) == NULL)
				appendBinaryStringInfo(out, value.start + 1, (int) value.length - 2);
			else
				put_read(column, value, out, memory);
			return;
		case JSON_ARRAY:
		case JSON_OBJECT:
			if (kind == SHAPE_ARRAY || kind == SHAPE_ROW)
				put_read(column, value, out, memory);
			else
				put_text(out, value.start, value.length);
			return;
		default:
			appendBinaryStringInfo(out, value.start, (int) value.length);
	}
}
