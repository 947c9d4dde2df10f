/*
 * function.c
 *		Operations as SQL functions: arguments in, rows out. See function.h.
 */
#include "athena/function.h"

#include "athena/execute.h"

static void
get_arguments(FunctionCallInfo fcinfo, const AthenaOperation *operation, NullableDatum *arguments)
{
	/* A function may take more than its operation, at the end. */
	Assert(PG_NARGS() >= operation->argument_count);
	memcpy(arguments, fcinfo->args, sizeof(NullableDatum) * operation->argument_count);
}

Datum
function_return_row(FunctionCallInfo fcinfo, const AthenaOperation *operation)
{
	NullableDatum arguments[ATHENA_MAX_ARGUMENTS];
	Datum values[ATHENA_MAX_COLUMNS];
	bool nulls[ATHENA_MAX_COLUMNS];

	get_arguments(fcinfo, operation, arguments);
	athena_execute(operation, arguments, values, nulls);
	return sql_form_row(fcinfo, values, nulls, operation->column_count);
}

Datum
function_return_value(FunctionCallInfo fcinfo, const AthenaOperation *operation)
{
	NullableDatum arguments[ATHENA_MAX_ARGUMENTS];
	Datum value;
	bool null;

	get_arguments(fcinfo, operation, arguments);
	athena_execute(operation, arguments, &value, &null);
	if (null)
		PG_RETURN_NULL();
	return value;
}

Datum
function_return_one_row_set(FunctionCallInfo fcinfo, const AthenaOperation *operation)
{
	NullableDatum arguments[ATHENA_MAX_ARGUMENTS];
	Datum values[ATHENA_MAX_COLUMNS];
	bool nulls[ATHENA_MAX_COLUMNS];
	SqlRows sink;

	get_arguments(fcinfo, operation, arguments);
	sql_open_rows(fcinfo, operation->column_count, &sink);
	athena_execute(operation, arguments, values, nulls);
	sql_put_row(values, nulls, &sink);
	return (Datum) 0;
}

Datum
function_return_list(FunctionCallInfo fcinfo, const AthenaOperation *operation)
{
	NullableDatum arguments[ATHENA_MAX_ARGUMENTS];
	SqlRows sink;

	get_arguments(fcinfo, operation, arguments);
	sql_open_rows(fcinfo, operation->column_count, &sink);
	athena_execute_list(operation, arguments, sql_put_row, &sink);
	return (Datum) 0;
}

Datum
function_return_batch(FunctionCallInfo fcinfo, const AthenaOperation *operation)
{
	SqlRows sink;
	Datum *ids;
	int count = sql_get_ids(fcinfo, 0, psprintf("%ss", operation->arguments[0].name), &ids);

	sql_open_rows(fcinfo, operation->column_count + 2, &sink);
	if (count > 0)
		athena_execute_batch(operation, ids, count, sql_put_row, &sink);
	return (Datum) 0;
}
