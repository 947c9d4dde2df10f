/*
 * function.c
 *		Operations as SQL functions: arguments in, rows out. See function.h.
 */
#include "athena/function.h"

#include "athena/execute.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

/* A library that is newer or older than the SQL declarations. */
static void
raise_mismatch(void)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("the library and the SQL objects of athena_calc do not match"),
					errhint("Run ALTER EXTENSION athena_calc UPDATE, and restart the server if the "
							"library is preloaded.")));
}

static void
get_arguments(FunctionCallInfo fcinfo, const AthenaOperation *operation, NullableDatum *arguments)
{
	/* A function may take more than its operation, at the end. */
	if (PG_NARGS() < operation->argument_count)
		raise_mismatch();
	memcpy(arguments, fcinfo->args, sizeof(NullableDatum) * operation->argument_count);
}

void
function_require(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"%s\" must not be NULL", name)));
}

/*
 * A row type with a name of its own stands in PostgreSQL's cache of types, which is cheaper to ask than
 * what is needed for a function in general.
 */
Datum
function_form_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls, int columns)
{
	TupleDesc descriptor = lookup_rowtype_tupdesc(get_func_rettype(fcinfo->flinfo->fn_oid), -1);
	Datum row;

	if (descriptor->natts != columns)
		raise_mismatch();
	row = HeapTupleGetDatum(heap_form_tuple(descriptor, values, nulls));
	ReleaseTupleDesc(descriptor);
	return row;
}

Datum
function_return_row(FunctionCallInfo fcinfo, const AthenaOperation *operation)
{
	NullableDatum arguments[ATHENA_MAX_ARGUMENTS];
	Datum values[ATHENA_MAX_COLUMNS];
	bool nulls[ATHENA_MAX_COLUMNS];

	get_arguments(fcinfo, operation, arguments);
	athena_execute(operation, arguments, values, nulls);
	return function_form_row(fcinfo, values, nulls, operation->column_count);
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

void
function_open_sink(FunctionCallInfo fcinfo, int columns, RowSink *sink)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext before;

	if (result == NULL || !IsA(result, ReturnSetInfo) || !(result->allowedModes & SFRM_Materialize))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("set-valued function called in context that cannot accept a set")));

	before = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &sink->descriptor) != TYPEFUNC_COMPOSITE ||
		sink->descriptor->natts != columns)
		raise_mismatch();
	sink->rows =
		tuplestore_begin_heap(result->allowedModes & SFRM_Materialize_Random, false, work_mem);
	result->returnMode = SFRM_Materialize;
	result->setResult = sink->rows;
	result->setDesc = sink->descriptor;
	MemoryContextSwitchTo(before);
}

void
function_put_row(Datum *values, bool *nulls, void *context)
{
	RowSink *sink = context;

	tuplestore_putvalues(sink->rows, sink->descriptor, values, nulls);
}

Datum
function_return_one_row_set(FunctionCallInfo fcinfo, const AthenaOperation *operation)
{
	NullableDatum arguments[ATHENA_MAX_ARGUMENTS];
	Datum values[ATHENA_MAX_COLUMNS];
	bool nulls[ATHENA_MAX_COLUMNS];
	RowSink sink;

	get_arguments(fcinfo, operation, arguments);
	function_open_sink(fcinfo, operation->column_count, &sink);
	athena_execute(operation, arguments, values, nulls);
	function_put_row(values, nulls, &sink);
	return (Datum) 0;
}

Datum
function_return_list(FunctionCallInfo fcinfo, const AthenaOperation *operation)
{
	NullableDatum arguments[ATHENA_MAX_ARGUMENTS];
	RowSink sink;

	get_arguments(fcinfo, operation, arguments);
	function_open_sink(fcinfo, operation->column_count, &sink);
	athena_execute_list(operation, arguments, function_put_row, &sink);
	return (Datum) 0;
}

int
function_get_ids(FunctionCallInfo fcinfo, int argument, const char *name, Datum **ids)
{
	ArrayType *array;
	bool *nulls;
	int count;

	function_require(fcinfo, argument, name);
	array = PG_GETARG_ARRAYTYPE_P(argument);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("argument \"%s\" must have one dimension", name)));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, ids, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("argument \"%s\" must not have NULL elements", name)));
	}
	return count;
}

Datum
function_return_batch(FunctionCallInfo fcinfo, const AthenaOperation *operation)
{
	RowSink sink;
	Datum *ids;
	int count = function_get_ids(fcinfo, 0, psprintf("%ss", operation->arguments[0].name), &ids);

	function_open_sink(fcinfo, operation->column_count + 2, &sink);
	if (count > 0)
		athena_execute_batch(operation, ids, count, function_put_row, &sink);
	return (Datum) 0;
}
