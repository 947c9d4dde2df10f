/*
 * json_column.h
 *		Values of JSON as a column's text in COPY's text format, by the rules of json_populate_record().
 *
 * Strings are their characters, everything else is as it is written: a number keeps all its digits, an object or an array stays
 * JSON. A json or jsonb column takes strings as JSON, too. An array or a row is made of its parts, which
 * json_to_record() does, and becomes text by the type's output function. One rule is Spark's: strings for bytea, also within
 * arrays and rows, are base64, unless they begin with "\x".
 */
#ifndef ATHENA_CALC_S3_JSON_COLUMN_H
#define ATHENA_CALC_S3_JSON_COLUMN_H

#include "compat.h"

#include "access/tupdesc.h"
#include "aws/json.h"
#include "lib/stringinfo.h"

typedef enum JsonColumnKind
{
	JSON_COLUMN_TEXT,   /* strings are read, all else is taken as it is written */
	JSON_COLUMN_JSON,   /* all is taken as it is written */
	JSON_COLUMN_BINARY, /* strings are decoded */
	JSON_COLUMN_NESTED  /* strings are read, all else is converted */
} JsonColumnKind;

typedef struct JsonColumn
{
	const char *name;
	const char *key; /* the name in UTF-8 */
	size_t key_length;
	JsonColumnKind kind;
	MemoryContext memory; /* what a value takes; empty between values */

	/* Of JSON_COLUMN_NESTED: */
	bool has_binary; /* somewhere in it */
	TupleDesc row;   /* of this column alone */
	FmgrInfo to_row;
	FmgrInfo to_text;
} JsonColumn;

/* Prepares a column in CurrentMemoryContext. The attribute must last as long; `memory` may be many columns'. */
extern void json_column_init(JsonColumn *column, Form_pg_attribute attribute, MemoryContext memory);

/*
 * Appends a value of a checked document, which may be absent, as a field of COPY's text format, in UTF-8. Throws 22P05 for \u0000
 * and 22P02 for half of a surrogate pair in a string, 22023 for what is no base64, and what json_to_record() throws; the
 * column is in the context.
 */
extern void json_column_put(JsonColumn *column, JsonValue value, StringInfo out);

/* Whether a type is bytea, or a domain over it. */
extern bool json_column_is_binary(Oid type);

#endif
