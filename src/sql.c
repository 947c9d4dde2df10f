/*
 * sql.c
 *		What SQL functions share: arguments and rows. See sql.h.
 */
#include "sql.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

void
sql_raise_mismatch(void)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("the library and the SQL objects of athena_calc do not match"),
					errhint("Run ALTER EXTENSION athena_calc UPDATE, and restart the server if the "
							"library is preloaded.")));
}

void
sql_expect_arguments(FunctionCallInfo fcinfo, int count)
{
	if (PG_NARGS() != count)
		sql_raise_mismatch();
}

void
sql_require(FunctionCallInfo fcinfo, int argument, const char *name)
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
sql_form_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls, int columns)
{
	TupleDesc descriptor = lookup_rowtype_tupdesc(get_func_rettype(fcinfo->flinfo->fn_oid), -1);
	Datum row;

	if (descriptor->natts != columns)
		sql_raise_mismatch();
	row = HeapTupleGetDatum(heap_form_tuple(descriptor, values, nulls));
	ReleaseTupleDesc(descriptor);
	return row;
}

void
sql_open_rows(FunctionCallInfo fcinfo, int columns, SqlRows *sink)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext before;

	if (result == NULL || !IsA(result, ReturnSetInfo) || !(result->allowedModes & SFRM_Materialize))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("set-valued function called in context that cannot accept a set")));

	before = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &sink->descriptor) != TYPEFUNC_COMPOSITE ||
		sink->descriptor->natts != columns)
		sql_raise_mismatch();
	sink->rows =
		tuplestore_begin_heap(result->allowedModes & SFRM_Materialize_Random, false, work_mem);
	result->returnMode = SFRM_Materialize;
	result->setResult = sink->rows;
	result->setDesc = sink->descriptor;
	MemoryContextSwitchTo(before);
}

void
sql_put_row(Datum *values, bool *nulls, void *context)
{
	SqlRows *sink = context;

	tuplestore_putvalues(sink->rows, sink->descriptor, values, nulls);
}

int
sql_get_ids(FunctionCallInfo fcinfo, int argument, const char *name, Datum **ids)
{
	ArrayType *array;
	bool *nulls;
	int count;

	sql_require(fcinfo, argument, name);
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
