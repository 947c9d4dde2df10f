/*
 * marshal_fuzz.c
 *		An answer's JSON into the columns of a row, of every kind, nested and not.
 */
#include "fuzz.h"

#include "athena/marshal.h"
#include "aws/call.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

static const AthenaColumn columns[] = {
	{"", ATHENA_FROM_REQUEST, false},     {"Text", ATHENA_TEXT, true},
	{"Int", ATHENA_INT, false},           {"Big", ATHENA_BIGINT, false},
	{"Json", ATHENA_JSONB, false},        {"Ints", ATHENA_INT_ARRAY, false},
	{"A.Seconds", ATHENA_SECONDS, false}, {"A.Millis", ATHENA_MILLIS, false},
	{"A.B.Text", ATHENA_TEXT, false},     {"A.B.Int", ATHENA_INT, false},
	{"Last", ATHENA_TEXT, false},
};

static const AthenaOperation operation = {
	.name = "Operation",
	.columns = columns,
	.column_count = lengthof(columns),
};

/* Of the server's types: only what hands the values on. */

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
FUZZ_UNREACHABLE(struct varlena *, pg_detoast_datum, struct varlena *datum);
FUZZ_UNREACHABLE(char *, text_to_cstring, const text *string);
FUZZ_UNREACHABLE(void, escape_json, StringInfo json, const char *string);
FUZZ_UNREACHABLE(char *, JsonbToCString, StringInfo out, JsonbContainer *jsonb, int length);
FUZZ_UNREACHABLE(bool, JsonbExtractScalar, JsonbContainer *jsonb, JsonbValue *value);
FUZZ_UNREACHABLE(JsonbIterator *, JsonbIteratorInit, JsonbContainer *jsonb);
FUZZ_UNREACHABLE(JsonbIteratorToken, JsonbIteratorNext, JsonbIterator **iterator, JsonbValue *value,
				 bool skip);
#pragma GCC diagnostic pop

text *
cstring_to_text(const char *string)
{
	text *copy = palloc(VARHDRSZ + strlen(string));

	SET_VARSIZE(copy, VARHDRSZ + strlen(string));
	memcpy(VARDATA(copy), string, strlen(string));
	return copy;
}

Datum
jsonb_in(PG_FUNCTION_ARGS)
{
	char *json = PG_GETARG_CSTRING(0);
	JsonValue document;
	const char *problem;

	fuzz_require(json_check(json, strlen(json), &document, &problem));
	fuzz_require(json_check_contents(document) == JSON_READ);
	return PointerGetDatum(json);
}

Datum
DirectFunctionCall1Coll(PGFunction function, Oid collation, Datum argument)
{
	LOCAL_FCINFO(call, 1);

	memset(call, 0, SizeForFunctionCallInfo(1));
	call->fncollation = collation;
	call->args[0].value = argument;
	return function(call);
}

ArrayBuildState *
initArrayResult(Oid type, MemoryContext memory, bool own_context)
{
	(void) type;
	(void) own_context;
	return MemoryContextAllocZero(memory, sizeof(ArrayBuildState));
}

ArrayBuildState *
accumArrayResult(ArrayBuildState *state, Datum value, bool is_null, Oid type, MemoryContext memory)
{
	(void) value;
	(void) is_null;
	(void) type;
	(void) memory;
	return state;
}

Datum
makeArrayResult(ArrayBuildState *state, MemoryContext memory)
{
	(void) memory;
	return PointerGetDatum(state);
}

static void
check_column(const AthenaColumn *column, Datum value)
{
	switch (column->kind)
	{
		case ATHENA_TEXT:
		{
			text *read = (text *) DatumGetPointer(value);
			int length = VARSIZE(read) - VARHDRSZ;

			fuzz_require(pg_encoding_verifymbstr(PG_UTF8, VARDATA(read), length) == length);
			break;
		}
		case ATHENA_SECONDS:
		case ATHENA_MILLIS:
			fuzz_require(IS_VALID_TIMESTAMP(DatumGetTimestampTz(value)));
			break;
		default:
			break;
	}
}

void
fuzz(FuzzInput input)
{
	const NullableDatum arguments[] = {{.value = (Datum) 0, .isnull = true}};
	Datum values[lengthof(columns)];
	bool nulls[lengthof(columns)];
	JsonValue document;
	MarshalProblem problem;
	const char *syntax;

	if (!json_check(input.data, input.length, &document, &syntax))
		return;
	if (!marshal_row(&operation, arguments, document, values, nulls, &problem))
	{
		fuzz_require(problem.sqlstate != 0 && problem.text != NULL);
		ereport(ERROR, (errcode(problem.sqlstate), errmsg("the answer %s", problem.text)));
	}
	fuzz_require(problem.sqlstate == 0 && !nulls[1]);
	for (int i = 0; i < (int) lengthof(columns); i++)
	{
		if (!nulls[i])
			check_column(&columns[i], values[i]);
	}
}
