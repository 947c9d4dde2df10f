/*
 * output.c
 *		What a calculation printed and what came of it: calculation_stdout, calculation_stderr, calculation_result.
 */
#include "compat.h"

#include "athena/execute.h"
#include "aws/catch.h"
#include "aws/encoding.h"
#include "mb/pg_wchar.h"
#include "s3/list.h"
#include "s3/object.h"
#include "sql.h"
#include "utils/builtins.h"

/* A character of UTF-8 that was cut in two leaves at most this many bytes of its end. */
#define MAX_CONTINUATION_BYTES 3

/* Where an output is; NULL while there is none. */
static const char *
get_location(const NullableDatum *arguments, const char *member)
{
	AthenaColumn column = {.member = member, .kind = ATHENA_TEXT};
	AthenaOperation operation = operation_get_calculation_execution;
	Datum value;
	bool null;

	/* No other member is read: a description that the encoding lacks shall not hide the output. */
	operation.columns = &column;
	operation.column_count = 1;
	athena_execute(&operation, arguments, &value, &null);
	return null || VARSIZE_ANY_EXHDR(DatumGetPointer(value)) == 0 ? NULL
																  : TextDatumGetCString(value);
}

static void
raise_no_uri(const char *member)
{
	ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
					errmsg("Athena %s failed: the answer has a %s that is no S3 URI",
						   operation_get_calculation_execution.name, member)));
}

/* What an object holds, as text; what does not fit the encoding is replaced, and told of. */
static Datum
as_text(S3Content *content)
{
	char *output;
	int64 replaced;

	if (!content->from_start)
	{
		for (int i = 0; i < MAX_CONTINUATION_BYTES && content->length > 0 &&
						((unsigned char) content->bytes[0] & 0xC0) == 0x80;
			 i++)
		{
			content->bytes++;
			content->length--;
		}
	}
	output = encoding_from_bytes(content->bytes, content->length, &replaced);
	if (replaced > 0)
		ereport(NOTICE,
				(errmsg_plural("%lld character of the output does not fit the encoding %s and "
							   "was replaced",
							   "%lld characters of the output do not fit the encoding %s and "
							   "were replaced",
							   (unsigned long) replaced, (long long) replaced,
							   GetDatabaseEncodingName())));
	return PointerGetDatum(cstring_to_text(output));
}

static Datum
return_output(FunctionCallInfo fcinfo, const char *member)
{
	int max_bytes;
	const char *location;
	S3Uri uri;
	S3Content content;

	sql_expect_arguments(fcinfo, 2);
	max_bytes = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1);
	if (!PG_ARGISNULL(1) && max_bytes < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"max_bytes\" must be at least 1"),
						errhint("Leave it out, or NULL, for all of the output.")));

	location = get_location(fcinfo->args, member);
	if (location == NULL)
		PG_RETURN_NULL();
	if (!s3_uri_parse(location, &uri))
		raise_no_uri(member);
	s3_get_object(NULL, &uri, max_bytes, &content);
	return as_text(&content);
}

ATHENA_CALC_FUNCTION(athena_calc_calculation_stdout);
Datum
athena_calc_calculation_stdout(PG_FUNCTION_ARGS)
{
	return return_output(fcinfo, "Result.StdOutS3Uri");
}

ATHENA_CALC_FUNCTION(athena_calc_calculation_stderr);
Datum
athena_calc_calculation_stderr(PG_FUNCTION_ARGS)
{
	return return_output(fcinfo, "Result.StdErrorS3Uri");
}

/* The only data object of a folder. */
typedef struct OnlyObject
{
	const S3Uri *folder;
	char *key; /* NULL for none yet */
	bool is_one_of_many;
} OnlyObject;

static bool
consider_object(const S3Listed *object, void *context)
{
	OnlyObject *only = context;

	if (!s3_is_data(object, only->folder))
		return true;
	only->is_one_of_many = only->key != NULL;
	if (!only->is_one_of_many)
		only->key = MemoryContextStrdup(CurTransactionContext, object->key);
	return !only->is_one_of_many;
}

/* Reads the object itself, or says that there is none. */
typedef struct ResultReading
{
	S3Uri uri;
	S3Content content;
} ResultReading;

static void
read_result(void *argument)
{
	ResultReading *reading = argument;

	s3_get_object(NULL, &reading->uri, 0, &reading->content);
}

/* AWS documents a folder; an object has been seen, too. */
static void
find_result(ResultReading *reading, const char *location)
{
	ErrorData *error;
	S3Uri folder = reading->uri;
	OnlyObject only = {&folder, NULL, false};

	if (folder.key[0] != '\0' && !s3_key_ends_with(folder.key, "/"))
	{
		if (catch_error(read_result, reading, &error))
			return;
		if (error->sqlerrcode != ERRCODE_UNDEFINED_OBJECT)
			ReThrowError(error);
		folder.key = psprintf("%s/", folder.key);
	}
	s3_list(&folder, consider_object, &only);
	if (only.key == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("there is no result at \"%s\"", location)));
	if (only.is_one_of_many)
		ereport(ERROR, (errcode(ERRCODE_CARDINALITY_VIOLATION),
						errmsg("there is more than one object at \"%s\"", location)));
	reading->uri.key = only.key;
	read_result(reading);
}

/* calculation_result(calculation_execution_id text) → text; NULL while there is none. */
ATHENA_CALC_FUNCTION(athena_calc_calculation_result);
Datum
athena_calc_calculation_result(PG_FUNCTION_ARGS)
{
	const char *location;
	ResultReading reading;

	sql_expect_arguments(fcinfo, 1);
	location = get_location(fcinfo->args, "Result.ResultS3Uri");
	if (location == NULL)
		PG_RETURN_NULL();
	if (!s3_uri_parse(location, &reading.uri))
		raise_no_uri("Result.ResultS3Uri");
	find_result(&reading, location);
	return as_text(&reading.content);
}
