/*
 * request.c
 *		Requests to S3, to wherever the bucket is. See request.h.
 */
#include "s3/request.h"

#include "aws/encoding.h"
#include "aws/xml.h"

/* Buckets whose region is remembered; the oldest is forgotten. */
#define MAX_REMEMBERED 16

#define MAX_BUCKET 256

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

typedef struct BucketRegion
{
	char bucket[MAX_BUCKET];
	char region[ENDPOINT_REGION_SIZE];
} BucketRegion;

static BucketRegion remembered[MAX_REMEMBERED];
static int next_remembered = 0;

typedef struct S3Call
{
	AwsCall call; /* first: the client's */
	S3Answer answer;
	void *context;
	MemoryContext memory;
	const char *region; /* that the bucket is in by the answer; NULL where it does not say */
} S3Call;

static BucketRegion *
find_bucket(const char *bucket)
{
	for (int i = 0; i < MAX_REMEMBERED; i++)
	{
		if (strcmp(remembered[i].bucket, bucket) == 0)
			return &remembered[i];
	}
	return NULL;
}

static void
remember(const char *bucket, const char *region)
{
	BucketRegion *place = find_bucket(bucket);

	if (place == NULL)
	{
		place = &remembered[next_remembered];
		next_remembered = (next_remembered + 1) % MAX_REMEMBERED;
	}
	strlcpy(place->bucket, bucket, sizeof(place->bucket));
	strlcpy(place->region, region, sizeof(place->region));
}

/* The region that an answer sends us to: a header's, or the error's. NULL for none. */
static const char *
region_of_bucket(const AwsError *error, const HttpResponse *response)
{
	XmlWanted wanted = {.path = "Error/Region"};
	size_t length;
	const char *header = http_response_header(response, "x-amz-bucket-region", &length);
	const char *region = NULL;

	if (response->outcome != HTTP_ANSWERED ||
		(response->status / 100 != 3 &&
		 (error->exception == NULL ||
		  (strcmp(error->exception, "AuthorizationHeaderMalformed") != 0 &&
		   strcmp(error->exception, "IllegalLocationConstraintException") != 0))))
		return NULL;
	if (header != NULL)
		region = pnstrdup(header, length);
	else if (xml_read(response->body, response->body_length, &wanted, 1) && wanted.text.length > 0)
		region = pnstrdup(wanted.text.data, wanted.text.length);
	buffer_free(&wanted.text);
	/* It becomes part of a host's name. */
	return region != NULL && aws_region_is_valid(region) ? region : NULL;
}

static void
take_answer(AwsCall *call, const HttpResponse *response, void *context)
{
	S3Call *s3_call = (S3Call *) call;
	MemoryContext before;

	(void) context;
	if (call->error.sqlstate != 0)
	{
		s3_call->region = region_of_bucket(&call->error, response);
		/* Not the end, if it is news. */
		if (s3_call->region != NULL && strcmp(s3_call->region, call->endpoint->signing_region) != 0)
			return;
		s3_call->region = NULL;
	}
	before = MemoryContextSwitchTo(s3_call->memory);
	s3_call->answer(&call->error, response, s3_call->context);
	MemoryContextSwitchTo(before);
}

/* Makes the request where the bucket is, as far as that is known. The region it is really in, or NULL when done. */
static const char *
send(const AwsConfig *config, const S3Request *request, const S3Uri *utf8, bool last, S3Call *call)
{
	BucketRegion *known = find_bucket(utf8->bucket);
	AwsEndpoint *endpoint = palloc(sizeof(AwsEndpoint));
	char *path;

	aws_resolve_endpoint_in(
		config, &s3, known != NULL ? known->region : aws_resolve_region(config, NULL), endpoint);
	s3_uri_locate(utf8, endpoint, &path);
	memset(&call->call, 0, sizeof(call->call));
	call->region = NULL;
	call->call.service = &s3;
	call->call.operation = request->operation;
	call->call.endpoint = endpoint;
	call->call.method = request->method;
	call->call.path = path;
	call->call.query = request->query;
	call->call.headers = request->headers;
	call->call.header_count = request->header_count;
	call->call.body = request->body != NULL ? request->body : "";
	call->call.body_length = request->body_length;
	aws_call(config, call, sizeof(*call), 1, take_answer, NULL);
	if (call->region != NULL && !last)
		return call->region;
	if (call->call.error.sqlstate != 0)
		aws_call_raise(&call->call);
	return NULL;
}

void
s3_request(const S3Request *request, S3Answer answer, void *context)
{
	MemoryContext before = CurrentMemoryContext;
	MemoryContext call_context =
		AllocSetContextCreate(before, "athena_calc call", ALLOCSET_DEFAULT_SIZES);
	AwsConfig config;
	S3Call call = {.answer = answer, .context = context, .memory = before};
	S3Uri utf8;
	const char *region;

	MemoryContextSwitchTo(call_context);
	aws_config_get(&config);
	utf8.bucket = request->uri->bucket;
	utf8.key = encoding_to_utf8(request->uri->key, strlen(request->uri->key));
	region = send(&config, request, &utf8, false, &call);
	if (region != NULL)
	{
		remember(utf8.bucket, region);
		send(&config, request, &utf8, true, &call);
	}
	MemoryContextSwitchTo(before);
	MemoryContextDelete(call_context);
}
