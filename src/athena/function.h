/*
 * function.h
 *		Operations as SQL functions: arguments in, rows out.
 */
#ifndef ATHENA_CALC_ATHENA_FUNCTION_H
#define ATHENA_CALC_ATHENA_FUNCTION_H

#include "athena/operation.h"
#include "utils/tuplestore.h"

/* Where rows of a set go. */
typedef struct RowSink
{
	Tuplestorestate *rows;
	TupleDesc descriptor;
} RowSink;

/*
 * Makes a set-returning function ready for rows of so many columns, by the rules for the mode "materialize".
 * Throws 55000 where SQL declares others.
 */
extern void function_open_sink(FunctionCallInfo fcinfo, int columns, RowSink *sink);

/* Throws 22004 where an argument is NULL. */
extern void function_require(FunctionCallInfo fcinfo, int argument, const char *name);

/* A row of the type that the function returns. Throws 55000 where SQL declares another number of columns. */
extern Datum function_form_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls, int columns);

/* The elements of an array argument of text. Throws 22004 for NULLs, 2202E for more than one dimension. */
extern int function_get_ids(FunctionCallInfo fcinfo, int argument, const char *name, Datum **ids);

/* Adds a row; `sink` is a RowSink. */
extern void function_put_row(Datum *values, bool *nulls, void *sink);

/* A function that returns one composite value. */
extern Datum function_return_row(FunctionCallInfo fcinfo, const AthenaOperation *operation);

/* A function that returns the only column of an operation. */
extern Datum function_return_value(FunctionCallInfo fcinfo, const AthenaOperation *operation);

/* A set-returning function of exactly one row: so that (f()).* calls what starts something once. */
extern Datum function_return_one_row_set(FunctionCallInfo fcinfo, const AthenaOperation *operation);

/* A set-returning function of all rows of a list. */
extern Datum function_return_list(FunctionCallInfo fcinfo, const AthenaOperation *operation);

/* A set-returning function of a row for each id in an array. */
extern Datum function_return_batch(FunctionCallInfo fcinfo, const AthenaOperation *operation);

#endif
