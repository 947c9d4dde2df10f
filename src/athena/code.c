/*
 * code.c
 *		The code of a calculation, as it is sent. See code.h.
 */
#include "athena/code.h"

#include "aws/encoding.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "s3/object.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

static char *
read_code(const AwsConfig *config, const char *uri)
{
	S3Uri object;
	S3Content content;
	char *code;

	if (!s3_uri_parse(uri, &object))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"code_s3_uri\" is not the URI of an object"),
						errhint("As in 's3://bucket/jobs/nightly.py'.")));
	s3_get_object(config, &object, 0, &content);
	if (!pg_verify_mbstr(PG_UTF8, content.bytes, (int) content.length, true))
		ereport(ERROR, (errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
						errmsg("the code at \"%s\" is not UTF-8", uri)));
	/* Some editors put a byte order mark in front, which Python takes for a character. */
	if (content.length >= 3 && memcmp(content.bytes, "\xEF\xBB\xBF", 3) == 0)
	{
		content.bytes += 3;
		content.length -= 3;
	}
	code = encoding_from_utf8(content.bytes, content.length);
	if (code == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
						errmsg("the code at \"%s\" has a character that the encoding %s lacks", uri,
							   GetDatabaseEncodingName())));
	return code;
}

/*
 * One line of Python. A string literal in which the backslash and the quote are escaped ends where it should, whatever
 * is in it; JSON has no line breaks of its own, for jsonb writes those of strings as escapes.
 */
static void
append_params(StringInfo code, Jsonb *params)
{
	char *json = JsonbToCString(NULL, &params->root, VARSIZE(params));

	appendStringInfoString(code, "params = __import__(\"json\").loads(\"");
	for (const char *p = json; *p != '\0'; p++)
	{
		if (*p == '\\' || *p == '"')
			appendStringInfoChar(code, '\\');
		appendStringInfoChar(code, *p);
	}
	appendStringInfoString(code, "\")\n");
}

Datum
code_prepare(const AwsConfig *config, NullableDatum code_block, NullableDatum params,
			 NullableDatum code_s3_uri)
{
	StringInfoData code;
	const char *block;

	if (code_block.isnull && code_s3_uri.isnull)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"code_block\" must not be NULL"),
						errhint("Give the code, or with code_s3_uri => 's3://...' where it is.")));
	if (!code_block.isnull && !code_s3_uri.isnull)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("code_block and code_s3_uri exclude each other")));
	if (params.isnull && !code_block.isnull)
		return code_block.value;

	block = !code_block.isnull ? TextDatumGetCString(code_block.value)
							   : read_code(config, TextDatumGetCString(code_s3_uri.value));
	if (params.isnull)
		return CStringGetTextDatum(block);
	if (strncmp(block + strspn(block, " \t\r\n"), "%%", 2) == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("params cannot be given to code that begins with a magic (%%%%)"),
						errhint("A magic must be the first line, and so must be the params.")));
	initStringInfo(&code);
	append_params(&code, DatumGetJsonbP(params.value));
	appendStringInfoString(&code, block);
	return CStringGetTextDatum(code.data);
}
