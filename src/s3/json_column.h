/*
 * json_column.h
 *		Values of JSON as a column's text in COPY's text format, by the rules of json_populate_record().
 *
 * Strings are their characters, everything else is as it is written: a number keeps all its digits, an object or an array stays
 * JSON. A json or jsonb column takes strings as JSON, too. For an array or a row the text is PostgreSQL's literal of it, its
 * parts by the same rules. One rule is Spark's: strings for bytea are base64, unless they begin with "\x".
 * https://www.postgresql.org/docs/current/functions-json.html#FUNCTIONS-JSON-PROCESSING
 */
#ifndef ATHENA_CALC_S3_JSON_COLUMN_H
#define ATHENA_CALC_S3_JSON_COLUMN_H

#include "compat.h"

#include "access/tupdesc.h"
#include "aws/json.h"
#include "lib/stringinfo.h"

/* What a type takes of JSON. */
typedef struct JsonShape JsonShape;

/* A column, or a part of a row. */
typedef struct JsonColumn
{
	const char *name;
	const char *key; /* the name in UTF-8 */
	size_t key_length;
	const JsonShape *shape;
} JsonColumn;

/* Columns that are found by their names: there may be many of them, and a member for each in each line. */
typedef struct JsonColumns
{
	int count;
	JsonColumn *columns;
	JsonColumn **by_key; /* the same, in the order of their keys */
} JsonColumns;

/* In CurrentMemoryContext; the attributes must last as long. First with none, then as many as there is room for. */
extern void json_columns_init(JsonColumns *columns, int room);
extern void json_columns_add(JsonColumns *columns, Form_pg_attribute attribute);

/* When all are there. */
extern void json_columns_sort(JsonColumns *columns);

/* The column that a key of a checked document names, letter for letter, or -1. `likely`, one or beyond all, is looked at first. */
extern int json_columns_find(const JsonColumns *columns, JsonValue key, int likely);

/*
 * Appends a value of a checked document, which may be absent, as a field of COPY's text format, in UTF-8. `memory` is for what
 * that takes; it is emptied. Throws 22P05 for \u0000 and 22P02 for half of a surrogate pair in a string, and 22023 for what
 * is no base64, with the column in the context. What is wrong for the type is found by COPY.
 */
extern void json_column_put(const JsonColumn *column, JsonValue value, StringInfo out,
							MemoryContext memory);

/* Whether a type is bytea, or a domain over it. */
extern bool json_column_is_binary(Oid type);

#endif
