/*
 * object.c
 *		Objects in S3. See object.h.
 */
#include "s3/object.h"

#include "aws/client.h"
#include "aws/encoding.h"

#define HTTP_STATUS_PARTIAL_CONTENT 206
#define HTTP_STATUS_RANGE_NOT_SATISFIABLE 416

/* https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
static const AwsErrorMeaning meanings[] = {
	{"NoSuchKey", NULL, ERRCODE_UNDEFINED_OBJECT, NULL},
	{"NoSuchBucket", NULL, ERRCODE_UNDEFINED_OBJECT, NULL},
	{NULL, NULL, 0, NULL},
};

static const AwsService s3 = {
	.name = "S3",
	.signing_name = "s3",
	.endpoint_option = AWS_OPTION_S3_ENDPOINT_URL,
	.is_s3 = true,
	.error_format = AWS_ERROR_XML,
	.meanings = meanings,
};

typedef struct GetCall
{
	AwsCall call; /* first: the client's */
	int last_bytes;
	S3Content *content;
	MemoryContext result_context;
} GetCall;

/* Whether a part of an object is its first: "bytes 0-99/100". */
static bool
is_first_part(const HttpResponse *response)
{
	size_t length;
	const char *range = http_response_header(response, "content-range", &length);

	return range != NULL && length > 8 && strncmp(range, "bytes 0-", 8) == 0;
}

static void
read_content(AwsCall *call, const HttpResponse *response, void *context)
{
	GetCall *get = (GetCall *) call;
	const char *bytes = response->body;
	size_t length = response->body_length;

	(void) context;
	get->content->from_start = true;
	/* An empty object has no end to speak of. */
	if (get->last_bytes > 0 && response->status == HTTP_STATUS_RANGE_NOT_SATISFIABLE)
	{
		memset(&call->error, 0, sizeof(call->error));
		length = 0;
	}
	if (call->error.sqlstate != 0)
		return;
	if (response->status == HTTP_STATUS_PARTIAL_CONTENT)
		get->content->from_start = is_first_part(response);
	/* A server may send more than it was asked for. */
	if (get->last_bytes > 0 && length > (size_t) get->last_bytes)
	{
		bytes += length - get->last_bytes;
		length = (size_t) get->last_bytes;
		get->content->from_start = false;
	}
	get->content->bytes =
		MemoryContextAllocExtended(get->result_context, length + 1, MCXT_ALLOC_HUGE);
	memcpy(get->content->bytes, bytes, length);
	get->content->bytes[length] = '\0';
	get->content->length = length;
}

void
s3_get_object(const S3Uri *uri, int last_bytes, S3Content *content)
{
	MemoryContext before = CurrentMemoryContext;
	MemoryContext call_context =
		AllocSetContextCreate(before, "athena_calc call", ALLOCSET_DEFAULT_SIZES);
	AwsConfig config;
	AwsEndpoint endpoint;
	HttpHeader range = {"Range", NULL};
	char *path;
	GetCall get = {.last_bytes = last_bytes, .content = content, .result_context = before};
	S3Uri utf8;

	MemoryContextSwitchTo(call_context);
	utf8.bucket = uri->bucket;
	utf8.key = encoding_to_utf8(uri->key, strlen(uri->key));
	aws_config_get(&config);
	aws_resolve_endpoint(&config, &s3, &endpoint);
	s3_uri_locate(&utf8, &endpoint, &path);
	if (last_bytes > 0)
		range.value = psprintf("bytes=-%d", last_bytes);

	get.call.service = &s3;
	get.call.operation = "GetObject";
	get.call.endpoint = &endpoint;
	get.call.method = "GET";
	get.call.path = path;
	get.call.headers = &range;
	get.call.header_count = last_bytes > 0 ? 1 : 0;
	get.call.body = "";
	aws_call(&config, &get, sizeof(get), 1, read_content, NULL);
	if (get.call.error.sqlstate != 0)
		aws_call_raise(&get.call);
	MemoryContextSwitchTo(before);
	MemoryContextDelete(call_context);
}
