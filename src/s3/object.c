/*
 * object.c
 *		Objects in S3. See object.h.
 */
#include "s3/object.h"

#include "s3/request.h"

#define HTTP_STATUS_PARTIAL_CONTENT 206
#define HTTP_STATUS_RANGE_NOT_SATISFIABLE 416

typedef struct Reading
{
	int last_bytes;
	S3Content *content;
} Reading;

/* Whether a part of an object is its first: "bytes 0-99/100". */
static bool
is_first_part(const HttpResponse *response)
{
	size_t length;
	const char *range = http_response_header(response, "content-range", &length);

	return range != NULL && length > 8 && strncmp(range, "bytes 0-", 8) == 0;
}

static void
read_content(AwsError *error, const HttpResponse *response, void *context)
{
	Reading *reading = context;
	const char *bytes = response->body;
	size_t length = response->body_length;
	S3Content *content = reading->content;

	content->from_start = true;
	/* An empty object has no end to speak of. */
	if (reading->last_bytes > 0 && response->status == HTTP_STATUS_RANGE_NOT_SATISFIABLE)
	{
		memset(error, 0, sizeof(*error));
		length = 0;
	}
	if (error->sqlstate != 0)
		return;
	if (response->status == HTTP_STATUS_PARTIAL_CONTENT)
		content->from_start = is_first_part(response);
	/* A server may send more than it was asked for. */
	if (reading->last_bytes > 0 && length > (size_t) reading->last_bytes)
	{
		bytes += length - reading->last_bytes;
		length = (size_t) reading->last_bytes;
		content->from_start = false;
	}
	content->bytes = MemoryContextAllocExtended(CurrentMemoryContext, length + 1, MCXT_ALLOC_HUGE);
	memcpy(content->bytes, bytes, length);
	content->bytes[length] = '\0';
	content->length = length;
}

void
s3_get_object(const S3Uri *uri, int last_bytes, S3Content *content)
{
	HttpHeader range = {"Range", NULL};
	Reading reading = {last_bytes, content};
	S3Request request = {
		.operation = "GetObject",
		.method = "GET",
		.uri = uri,
		.headers = &range,
		.header_count = last_bytes > 0 ? 1 : 0,
	};

	if (last_bytes > 0)
		range.value = psprintf("bytes=-%d", last_bytes);
	s3_request(&request, read_content, &reading);
}
