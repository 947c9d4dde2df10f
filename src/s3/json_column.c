/*
 * json_column.c
 *		Values of JSON as a column's text. See json_column.h for the contract.
 */
#include "s3/json_column.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "nodes/execnodes.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

bool
json_column_is_binary(Oid type)
{
	return getBaseType(type) == BYTEAOID;
}

/* Whether there are binary values in a type: a type cannot be a part of itself, so this ends. */
static bool
has_binary(Oid type)
{
	Oid base = getBaseType(type);
	Oid element = get_element_type(base);
	bool found = false;
	TupleDesc row;

	if (OidIsValid(element))
		return has_binary(element);
	if (!type_is_rowtype(base))
		return base == BYTEAOID;
	row = lookup_rowtype_tupdesc(base, -1);
	for (int i = 0; i < row->natts && !found; i++)
		found = !TupleDescAttr(row, i)->attisdropped && has_binary(TupleDescAttr(row, i)->atttypid);
	ReleaseTupleDesc(row);
	return found;
}

static JsonColumnKind
kind_of(Oid type)
{
	Oid base = getBaseType(type);

	if (base == JSONOID || base == JSONBOID)
		return JSON_COLUMN_JSON;
	if (base == BYTEAOID)
		return JSON_COLUMN_BINARY;
	if (type_is_rowtype(base) || OidIsValid(get_element_type(base)))
		return JSON_COLUMN_NESTED;
	return JSON_COLUMN_TEXT;
}

void
json_column_init(JsonColumn *column, Form_pg_attribute attribute, MemoryContext memory)
{
	Oid output;
	bool is_varlena;

	column->name = NameStr(attribute->attname);
	column->key = pg_server_to_any(column->name, (int) strlen(column->name), PG_UTF8);
	column->key_length = strlen(column->key);
	column->kind = kind_of(attribute->atttypid);
	column->memory = memory;
	if (column->kind != JSON_COLUMN_NESTED)
		return;
	column->has_binary = has_binary(attribute->atttypid);
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

/* A text that bytea takes: no base64 begins with a backslash. */
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

/*
 * Appends a part of an array's or a row's JSON, its binary values as a text that bytea takes. Without a type it is taken as it is.
 * The parts of an array of many dimensions are arrays with the same elements.
 */
static void
append_part(StringInfo json, JsonValue value, Oid type)
{
	Oid base = OidIsValid(type) ? getBaseType(type) : InvalidOid;
	JsonCursor cursor = json_cursor(value);
	JsonValue part;
	JsonValue key;
	char separator;

	if (!OidIsValid(base))
		appendBinaryStringInfo(json, value.start, (int) value.length);
	else if (json_type(value) == JSON_STRING && base == BYTEAOID)
		escape_json(json, read_binary(value));
	else if (json_type(value) == JSON_ARRAY)
	{
		Oid element = get_element_type(base);

		separator = '[';
		for (; json_next_element(&cursor, &part); separator = ',')
		{
			appendStringInfoChar(json, separator);
			append_part(json, part, OidIsValid(element) ? element : base);
		}
		appendStringInfoString(json, separator == '[' ? "[]" : "]");
	}
	else if (json_type(value) == JSON_OBJECT && type_is_rowtype(base))
	{
		TupleDesc row = lookup_rowtype_tupdesc_copy(base, -1);

		separator = '{';
		for (; json_next_member(&cursor, &key, &part); separator = ',')
		{
			Oid part_type = InvalidOid;

			for (int i = 0; i < row->natts; i++)
			{
				Form_pg_attribute attribute = TupleDescAttr(row, i);
				char *name = pg_server_to_any(NameStr(attribute->attname),
											  (int) strlen(NameStr(attribute->attname)), PG_UTF8);

				if (json_key_is(key, name, strlen(name)))
					part_type = attribute->atttypid;
			}
			appendStringInfoChar(json, separator);
			appendBinaryStringInfo(json, key.start, (int) key.length);
			appendStringInfoChar(json, ':');
			append_part(json, part, part_type);
		}
		appendStringInfoString(json, separator == '{' ? "{}" : "}");
	}
	else
		appendBinaryStringInfo(json, value.start, (int) value.length);
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

/* What json_to_record() makes of {"name": value}. */
static char *
convert_nested(JsonColumn *column, JsonValue value)
{
	LOCAL_FCINFO(call, 1);
	ReturnSetInfo expected = {.type = T_ReturnSetInfo, .expectedDesc = column->row};
	Oid type = TupleDescAttr(column->row, 0)->atttypid;
	HeapTupleData tuple = {0};
	StringInfoData json;
	bool is_null;
	Datum result;
	char *text;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	escape_json(&json, column->key);
	appendStringInfoChar(&json, ':');
	append_part(&json, value, column->has_binary ? type : InvalidOid);
	appendStringInfoChar(&json, '}');

	InitFunctionCallInfoData(*call, &column->to_row, 1, InvalidOid, NULL, (Node *) &expected);
	call->args[0].value = CStringGetTextDatum(pg_any_to_server(json.data, json.len, PG_UTF8));
	call->args[0].isnull = false;
	tuple.t_data = DatumGetHeapTupleHeader(FunctionCallInvoke(call));
	tuple.t_len = HeapTupleHeaderGetDatumLength(tuple.t_data);
	result = heap_getattr(&tuple, 1, column->row, &is_null);
	Assert(!is_null); /* for the value is none */
	text = output_text(&column->to_text, result);
	return pg_server_to_any(text, (int) strlen(text), PG_UTF8);
}

static char *
convert(JsonColumn *column, JsonValue value)
{
	if (json_type(value) != JSON_STRING)
		return convert_nested(column, value);
	if (column->kind == JSON_COLUMN_BINARY)
		return read_binary(value);
	return read_string(value);
}

static void
name_column(void *column)
{
	errcontext("column %s", ((JsonColumn *) column)->name);
}

static void
put_converted(JsonColumn *column, JsonValue value, StringInfo out)
{
	MemoryContext caller = MemoryContextSwitchTo(column->memory);
	ErrorContextCallback context = {error_context_stack, name_column, column};
	char *text;

	error_context_stack = &context;
	text = convert(column, value);
	error_context_stack = context.previous;
	put_text(out, text, strlen(text));
	MemoryContextSwitchTo(caller);
	MemoryContextReset(column->memory);
}

void
json_column_put(JsonColumn *column, JsonValue value, StringInfo out)
{
	JsonType type = json_type(value);

	if (type == JSON_ABSENT || type == JSON_NULL)
		appendBinaryStringInfo(out, "\\N", 2);
	else if (type == JSON_STRING && column->kind != JSON_COLUMN_JSON)
	{
		/* A checked string has no control characters: without a backslash it is what COPY wants. */
		if (column->kind != JSON_COLUMN_BINARY && memchr(value.start, '\\', value.length) == NULL)
			appendBinaryStringInfo(out, value.start + 1, (int) value.length - 2);
		else
			put_converted(column, value, out);
	}
	else if (column->kind == JSON_COLUMN_NESTED)
		put_converted(column, value, out);
	else
		put_text(out, value.start, value.length);
}
