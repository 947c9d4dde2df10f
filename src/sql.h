/*
 * sql.h
 *		What SQL functions share: arguments and rows.
 */
#ifndef ATHENA_CALC_SQL_H
#define ATHENA_CALC_SQL_H

#include "compat.h"

#include "access/tupdesc.h"
#include "utils/tuplestore.h"

/* Where rows of a set go. */
typedef struct SqlRows
{
	Tuplestorestate *rows;
	TupleDesc descriptor;
} SqlRows;

/* Throws 55000: the library is newer or older than the SQL declarations. */
pg_noreturn extern void sql_raise_mismatch(void);

/*
 * Throws 55000 unless SQL declares the function with so many arguments. Every function begins with it: what an older or newer
 * script does not declare is not there to be read.
 */
extern void sql_expect_arguments(FunctionCallInfo fcinfo, int count);

/* Throws 22004 where an argument is NULL. */
extern void sql_require(FunctionCallInfo fcinfo, int argument, const char *name);

/* The elements of an array argument of text. Throws 22004 for NULLs, 2202E for more than one dimension. */
extern int sql_get_ids(FunctionCallInfo fcinfo, int argument, const char *name, Datum **ids);

/* A row of the type that the function returns. Throws 55000 where SQL declares another number of columns. */
extern Datum sql_form_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls, int columns);

/*
 * Makes a set-returning function ready for rows of so many columns, by the rules for the mode "materialize".
 * Throws 55000 where SQL declares others.
 */
extern void sql_open_rows(FunctionCallInfo fcinfo, int columns, SqlRows *sink);

/* Adds a row; `sink` is a SqlRows. */
extern void sql_put_row(Datum *values, bool *nulls, void *sink);

#endif
