/*
 * function.h
 *		Operations as SQL functions: arguments in, rows out.
 */
#ifndef ATHENA_CALC_ATHENA_FUNCTION_H
#define ATHENA_CALC_ATHENA_FUNCTION_H

#include "athena/operation.h"
#include "sql.h"

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
