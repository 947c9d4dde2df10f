/*
 * json_lines.h
 *		JSON Lines, as Spark writes and reads them: one object on each line, in UTF-8. On both sides stands COPY's text format.
 *
 * https://jsonlines.org, https://spark.apache.org/docs/latest/sql-data-sources-json.html
 */
#ifndef ATHENA_CALC_S3_JSON_LINES_H
#define ATHENA_CALC_S3_JSON_LINES_H

#include "compat.h"

#include "access/tupdesc.h"
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"
#include "s3/bytes.h"

typedef struct JsonLinesOptions
{
	/* Members that are no column are left out; else they are errors. */
	bool ignore_unknown;
	/* The count of the lines of whoever reads, raised by one for each blank line; NULL for none. */
	uint64 *line;
} JsonLinesOptions;

/*
 * Turns one object's JSON Lines into COPY's text format in UTF-8, with its defaults (tab, \N, backslash): one line for each JSON
 * object, its fields the columns `attnums` of `descriptor`, in that order (json_column.h has the rules for values). A member that is
 * not there is NULL; of two with one name the last counts. The descriptor and the source below must last as long as the
 * stage, which is in CurrentMemoryContext and takes the memory of the longest line.
 *
 * A read gives no more than one line, so the reader's count of lines is that of the line that the stage is at: an error here, or
 * later in COPY, has the right one in its context. Blank lines give nothing, and are counted in `options.line`.
 *
 * Throws 22P04 where a line is no JSON object, 22021 where it is no UTF-8, 42703 for a member that is no column, 54000 for a line
 * of a gigabyte, and what json_column_put() throws.
 */
extern ByteSource *json_lines_source(ByteSource *below, TupleDesc descriptor, const List *attnums,
									 const JsonLinesOptions *options);

/*
 * The statement whose only column is each row of `query` as JSON: what COPY is to run in text format, with the encoding UTF8. `query`
 * is the one statement in `text`, as parsed; it becomes a part of the result. Binary columns become base64, as Spark has them.
 *
 * Throws 42701 where two columns have the same name, 0A000 where the query gives no rows, and what its analysis throws.
 */
extern RawStmt *json_lines_query(RawStmt *query, const char *text);

/* Turns COPY's text format, of that one column, into JSON Lines: each row on one line, without COPY's escapes. */
extern ByteSink *json_lines_sink(ByteSink *below);

#endif
