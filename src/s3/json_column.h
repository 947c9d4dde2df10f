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

/* In CurrentMemoryContext; the attribute must last as long. */
extern void json_column_init(JsonColumn *column, Form_pg_attribute attribute);

/* Whether a key of a checked document is the column's name, letter for letter. */
extern bool json_column_is(const JsonColumn *column, JsonValue key);

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
