/*
 * function.c
 *		Objects in S3 for SQL: s3_list_objects, s3_get_object, s3_put_object, s3_delete_objects.
 */
#include "compat.h"

#include "aws/encoding.h"
#include "s3/list.h"
#include "s3/object.h"
#include "sql.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define COLUMNS 4

#define OBJECT_HINT                                                         \
	"As in 's3://bucket/folder/name.csv'; a key has at most " CppAsString2( \
		S3_MAX_KEY_BYTES) " bytes."
#define DELETE_HINT                                                                               \
	"As in 's3://bucket/folder/name.csv', or 's3://bucket/folder/' for all in it; never a whole " \
	"bucket. A key has at most " CppAsString2(S3_MAX_KEY_BYTES) " bytes."

/* Between PostgreSQL's times and those that count from 1970. */
#define EPOCH_US ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

static void
get_object_uri(FunctionCallInfo fcinfo, const char *hint, S3Uri *uri)
{
	sql_require(fcinfo, 0, "uri");
	if (!s3_uri_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), uri))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"uri\" does not name an object"), errhint("%s", hint)));
}

/* Where a list goes. */
typedef struct ListSink
{
	SqlRows rows;
	const char *bucket;
} ListSink;

static bool
put_object_row(const S3Listed *object, void *context)
{
	ListSink *sink = context;
	Datum values[COLUMNS];
	bool nulls[COLUMNS] = {false};

	values[0] = CStringGetTextDatum(psprintf("s3://%s/%s", sink->bucket, object->key));
	nulls[1] = object->size == S3_UNKNOWN_SIZE;
	values[1] = Int64GetDatum(object->size);
	nulls[2] = object->last_modified == S3_UNKNOWN_TIME;
	values[2] = TimestampTzGetDatum(nulls[2] ? 0 : object->last_modified - EPOCH_US);
	nulls[3] = object->etag == NULL;
	values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(object->etag);
	sql_put_row(values, nulls, &sink->rows);
	return true;
}

/* s3_list_objects(uri text, max_results int) → rows (uri, size, last_modified, etag) */
ATHENA_CALC_FUNCTION(athena_calc_s3_list_objects);
Datum
athena_calc_s3_list_objects(PG_FUNCTION_ARGS)
{
	ListSink sink;
	S3Uri prefix;
	int64 max_results;

	sql_expect_arguments(fcinfo, 2);
	sql_require(fcinfo, 0, "uri");
	if (!s3_uri_parse_prefix(text_to_cstring(PG_GETARG_TEXT_PP(0)), &prefix))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"uri\" is not an S3 URI"),
						errhint("As in 's3://bucket/folder/'; a key has at most " CppAsString2(
							S3_MAX_KEY_BYTES) " bytes.")));
	sink.bucket = prefix.bucket;
	max_results = PG_ARGISNULL(1) ? PG_INT64_MAX : PG_GETARG_INT32(1);
	if (max_results < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"max_results\" must be at least 1"),
						errhint("Leave it out, or NULL, for all.")));
	sql_open_rows(fcinfo, COLUMNS, &sink.rows);
	s3_list_first(&prefix, max_results, put_object_row, &sink);
	return (Datum) 0;
}

/* s3_get_object(uri text) → bytea */
ATHENA_CALC_FUNCTION(athena_calc_s3_get_object);
Datum
athena_calc_s3_get_object(PG_FUNCTION_ARGS)
{
	S3Uri uri;
	S3Content content;
	bytea *result;

	sql_expect_arguments(fcinfo, 1);
	get_object_uri(fcinfo, OBJECT_HINT, &uri);
	s3_get_object(NULL, &uri, 0, &content);
	result = palloc(VARHDRSZ + content.length);
	SET_VARSIZE(result, VARHDRSZ + content.length);
	memcpy(VARDATA(result), content.bytes, content.length);
	PG_RETURN_BYTEA_P(result);
}

/* s3_put_object(uri text, content bytea) → text, the ETag */
ATHENA_CALC_FUNCTION(athena_calc_s3_put_object);
Datum
athena_calc_s3_put_object(PG_FUNCTION_ARGS)
{
	S3Uri uri;
	bytea *content;

	sql_expect_arguments(fcinfo, 2);
	get_object_uri(fcinfo, OBJECT_HINT, &uri);
	sql_require(fcinfo, 1, "content");
	content = PG_GETARG_BYTEA_PP(1);
	PG_RETURN_TEXT_P(cstring_to_text(s3_put_object(
		&uri, VARDATA_ANY(content), VARSIZE_ANY_EXHDR(content), "application/octet-stream")));
}

/* s3_put_object(uri text, content text) → text, the ETag; the object is UTF-8. */
ATHENA_CALC_FUNCTION(athena_calc_s3_put_text);
Datum
athena_calc_s3_put_text(PG_FUNCTION_ARGS)
{
	S3Uri uri;
	text *content;
	char *utf8;

	sql_expect_arguments(fcinfo, 2);
	get_object_uri(fcinfo, OBJECT_HINT, &uri);
	sql_require(fcinfo, 1, "content");
	content = PG_GETARG_TEXT_PP(1);
	utf8 = encoding_to_utf8(VARDATA_ANY(content), VARSIZE_ANY_EXHDR(content));
	PG_RETURN_TEXT_P(cstring_to_text(
		s3_put_object(&uri, utf8, encoding_takes_utf8() ? VARSIZE_ANY_EXHDR(content) : strlen(utf8),
					  "text/plain; charset=utf-8")));
}

static bool
collect_key(const S3Listed *object, void *context)
{
	s3_keys_add(context, object->key);
	return true;
}

/* All objects under a folder; how many. They are collected first, for a list that is being emptied has other pages. */
static int64
delete_folder(const S3Uri *folder)
{
	S3Keys found;

	s3_keys_init(&found);
	s3_list(folder, collect_key, &found);
	s3_delete_keys(folder->bucket, (const char *const *) found.keys, found.count);
	return found.count;
}

/* s3_delete_objects(uri text) → bigint; one object, or all under a folder. */
ATHENA_CALC_FUNCTION(athena_calc_s3_delete_objects);
Datum
athena_calc_s3_delete_objects(PG_FUNCTION_ARGS)
{
	S3Uri uri;

	sql_expect_arguments(fcinfo, 1);
	get_object_uri(fcinfo, DELETE_HINT, &uri);
	if (s3_key_ends_with(uri.key, "/"))
		PG_RETURN_INT64(delete_folder(&uri));
	if (!s3_object_exists(&uri, NULL, NULL))
		PG_RETURN_INT64(0);
	s3_delete_object(&uri);
	PG_RETURN_INT64(1);
}
