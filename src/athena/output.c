/*
 * output.c
 *		What a calculation printed: calculation_stdout and calculation_stderr.
 */
#include "compat.h"

#include "athena/execute.h"
#include "aws/encoding.h"
#include "mb/pg_wchar.h"
#include "s3/object.h"
#include "utils/builtins.h"

/* A character of UTF-8 that was cut in two leaves at most this many bytes of its end. */
#define MAX_CONTINUATION_BYTES 3

static Datum
return_output(FunctionCallInfo fcinfo, const char *member)
{
	AthenaColumn column = {.member = member, .kind = ATHENA_TEXT};
	AthenaOperation operation = operation_get_calculation_execution;
	Datum value;
	bool null;
	int max_bytes = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1);
	S3Uri uri;
	S3Content content;
	char *output;
	int64 replaced;

	if (!PG_ARGISNULL(1) && max_bytes < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"max_bytes\" must be at least 1"),
						errhint("Leave it out, or NULL, for all of the output.")));

	/* No other member is read: a description that the encoding lacks shall not hide the output. */
	operation.columns = &column;
	operation.column_count = 1;
	athena_execute(&operation, fcinfo->args, &value, &null);
	if (null)
		PG_RETURN_NULL();

	if (!s3_uri_parse(TextDatumGetCString(value), &uri))
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
						errmsg("Athena %s failed: the answer has a %s that is no S3 URI",
							   operation.name, member)));
	s3_get_object(&uri, max_bytes, &content);
	if (!content.from_start)
	{
		for (int i = 0; i < MAX_CONTINUATION_BYTES && content.length > 0 &&
						((unsigned char) content.bytes[0] & 0xC0) == 0x80;
			 i++)
		{
			content.bytes++;
			content.length--;
		}
	}
	output = encoding_from_bytes(content.bytes, content.length, &replaced);
	if (replaced > 0)
		ereport(NOTICE,
				(errmsg_plural("%lld character of the output does not fit the encoding %s and "
							   "was replaced",
							   "%lld characters of the output do not fit the encoding %s and "
							   "were replaced",
							   (unsigned long) replaced, (long long) replaced,
							   GetDatabaseEncodingName())));
	PG_RETURN_TEXT_P(cstring_to_text(output));
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
