/*
 * request.c
 *		Requests to S3, to wherever the bucket is. See request.h.
 */
#include "s3/request.h"

#include "aws/credentials.h"
#include "aws/encoding.h"
#include "s3/answer.h"

#define HTTP_STATUS_BAD_REQUEST 400

/* Buckets whose region is remembered; the oldest is forgotten. */
#define MAX_REMEMBERED 16

typedef struct BucketRegion
{
	char bucket[S3_MAX_BUCKET_BYTES + 1];
	char region[ENDPOINT_REGION_SIZE];
} BucketRegion;

static BucketRegion remembered[MAX_REMEMBERED];
static int next_remembered = 0;

struct S3Run
{
	AwsConfig config;
	AwsRun *aws;
	const SigV4Credentials *keys; /* those of the last call; earlier ones may still be in use */
	bool may_renew;
	dlist_head again;     /* calls that are to be made once more */
	MemoryContext memory; /* the run's */
};

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
	/* An answer to HEAD has no body that would name the error. */
	bool is_nameless = !error->from_service && response->status == HTTP_STATUS_BAD_REQUEST;

	if (response->outcome != HTTP_ANSWERED ||
		(response->status / 100 != 3 && !is_nameless &&
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

/* Whether a call is to be made again: where the bucket is, or with other credentials. */
static bool
is_worth_another(const S3Run *run, S3Call *call, const HttpResponse *response)
{
	const char *region = region_of_bucket(&call->call.error, response);

	if (region != NULL)
	{
		bool is_news = strcmp(region, call->call.endpoint->signing_region) != 0;

		remember(call->request.uri->bucket, region);
		if (is_news && !call->was_sent_on)
			return call->was_sent_on = true;
	}
	/* In a hurry a refusal is what came of it: should others not be had either, nobody would learn of what. */
	else if (run->may_renew && !call->was_renewed && !http_is_hurried() &&
			 aws_error_is_of_credentials(&call->call.error))
		return call->was_renewed = call->wants_renewal = true;
	return false;
}

static void
take_answer(AwsCall *aws_call, const HttpResponse *response, void *context)
{
	S3Run *run = context;
	S3Call *call = (S3Call *) aws_call;
	/* An error is raised when its caller comes to it, and whoever drives now has other memory then. */
	MemoryContext before = MemoryContextSwitchTo(aws_call->memory);

	if (aws_call->error.sqlstate != 0 && is_worth_another(run, call, response))
		dlist_push_tail(&run->again, &call->node);
	else
	{
		call->is_done = true;
		call->answer(&aws_call->error, response, call->context);
	}
	MemoryContextSwitchTo(before);
}

static S3Run *
begin_run(const AwsConfig *config, int concurrency)
{
	S3Run *run = palloc0(sizeof(S3Run));

	run->memory = CurrentMemoryContext;
	run->config = *config;
	dlist_init(&run->again);
	run->aws = aws_run_begin(concurrency, take_answer, run);
	return run;
}

S3Run *
s3_run_begin(int concurrency)
{
	AwsConfig config;

	aws_config_get(&config);
	aws_config_copy(&config);
	return begin_run(&config, concurrency);
}

S3Run *
s3_run_begin_like(const S3Run *run, int concurrency)
{
	return begin_run(&run->config, concurrency);
}

static bool
is_same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Sees to it that the run has the credentials of the moment. They are copied: others may be fetched while a call goes on. */
static void
get_keys(S3Run *run, bool renew)
{
	Credentials found;
	MemoryContext before;

	if (renew)
		credentials_renew(&run->config, &found);
	else
		credentials_get(&run->config, &found);
	run->may_renew = found.refreshable;
	if (run->keys != NULL && is_same(run->keys->access_key_id, found.keys.access_key_id) &&
		is_same(run->keys->secret_access_key, found.keys.secret_access_key) &&
		is_same(run->keys->session_token, found.keys.session_token))
		return;
	before = MemoryContextSwitchTo(run->memory);
	run->keys = credentials_copy_keys(&found.keys);
	MemoryContextSwitchTo(before);
}

/* Sends a call to where its bucket is, as far as that is known. What its attempts were before counts. */
static void
start(S3Run *run, S3Call *call, int64 pause)
{
	const S3Request *request = &call->request;
	const BucketRegion *known = find_bucket(request->uri->bucket);
	MemoryContext memory = call->call.memory;
	int attempts = call->call.attempts;
	bool uncertain = call->call.uncertain;
	MemoryContext before;
	AwsEndpoint *endpoint;
	S3Uri utf8;
	char *path;

	if (memory == NULL)
		memory = AllocSetContextCreate(run->memory, "athena_calc call", ALLOCSET_SMALL_SIZES);
	else
		MemoryContextReset(memory);
	before = MemoryContextSwitchTo(memory);
	endpoint = palloc(sizeof(AwsEndpoint));
	aws_resolve_endpoint_in(&run->config, &s3_service,
							known != NULL ? known->region : aws_resolve_region(&run->config, NULL),
							endpoint);
	utf8.bucket = request->uri->bucket;
	utf8.key = encoding_to_utf8(request->uri->key, strlen(request->uri->key));
	s3_uri_locate(&utf8, endpoint, &path);
	MemoryContextSwitchTo(before);

	memset(&call->call, 0, sizeof(call->call));
	call->call.memory = memory;
	call->call.attempts = attempts;
	call->call.uncertain = uncertain;
	call->call.service = &s3_service;
	call->call.operation = request->operation;
	call->call.endpoint = endpoint;
	call->call.ca_bundle = run->config.values[AWS_OPTION_CA_BUNDLE];
	call->call.method = request->method;
	call->call.path = path;
	call->call.query = request->query;
	call->call.headers = request->headers;
	call->call.header_count = request->header_count;
	call->call.body = request->body != NULL ? request->body : "";
	call->call.body_length = request->body_length;
	call->call.may_hide_error = request->may_hide_error;
	call->call.unsigned_body = request->unsigned_body && endpoint->tls;
	call->call.is_patient = request->is_patient;
	call->call.window = request->window;
	call->call.credentials = run->keys;
	call->is_done = false;
	aws_run_add(run->aws, &call->call, pause);
}

void
s3_run_start(S3Run *run, S3Call *call, int64 pause)
{
	call->was_sent_on = call->was_renewed = false;
	call->call.attempts = 0;
	call->call.uncertain = false;
	get_keys(run, false);
	start(run, call, pause);
}

void
s3_run_drive(S3Run *run, bool wait)
{
	aws_run_drive(run->aws, wait);
	while (!dlist_is_empty(&run->again))
	{
		S3Call *call = dlist_container(S3Call, node, dlist_pop_head_node(&run->again));

		/* If this throws, its refusal is what came of it. */
		call->is_done = true;
		get_keys(run, call->wants_renewal);
		call->wants_renewal = false;
		start(run, call, 0);
	}
}

void
s3_run_finish(S3Run *run, const S3Call *call)
{
	while (!call->is_done && !http_is_given_up())
		s3_run_drive(run, true);
}

void
s3_call_release(S3Call *call)
{
	if (call->call.memory != NULL)
		MemoryContextDelete(call->call.memory);
	memset(&call->call, 0, sizeof(call->call));
}

void
s3_run_end(S3Run *run)
{
	aws_run_end(run->aws);
}

/* What s3_request() hands through, into the caller's memory. */
typedef struct Handing
{
	S3Answer answer;
	void *context;
	MemoryContext memory;
} Handing;

static void
hand_answer(AwsError *error, const HttpResponse *response, void *context)
{
	Handing *handing = context;
	MemoryContext before = MemoryContextSwitchTo(handing->memory);

	handing->answer(error, response, handing->context);
	MemoryContextSwitchTo(before);
}

/* Adds to an error what was asked for. */
static void
name_target(void *context)
{
	const S3Uri *uri = context;

	if (uri->key[0] == '\0')
		errcontext("bucket \"%s\"", uri->bucket);
	else
		errcontext("object \"s3://%s/%s\"", uri->bucket, uri->key);
}

pg_noreturn static void
raise_error(const S3Call *call)
{
	ErrorContextCallback callback = {error_context_stack, name_target,
									 unconstify(S3Uri *, call->request.uri)};

	error_context_stack = &callback;
	aws_call_raise(&call->call);
}

void
s3_run_request(S3Run *run, const S3Request *request, S3Answer answer, void *context)
{
	MemoryContext before = CurrentMemoryContext;
	MemoryContext memory =
		AllocSetContextCreate(run->memory, "athena_calc request", ALLOCSET_DEFAULT_SIZES);
	Handing handing = {answer, context, before};
	S3Call *call;

	MemoryContextSwitchTo(memory);
	call = palloc0(sizeof(S3Call));
	call->request = *request;
	call->answer = hand_answer;
	call->context = &handing;
	s3_run_start(run, call, 0);
	s3_run_finish(run, call);
	if (call->call.error.sqlstate != 0)
		raise_error(call);
	MemoryContextSwitchTo(before);
	/* Until it is done, the run knows it. */
	if (call->is_done)
	{
		s3_call_release(call);
		MemoryContextDelete(memory);
	}
}

void
s3_request(const S3Request *request, S3Answer answer, void *context)
{
	MemoryContext before = CurrentMemoryContext;
	MemoryContext memory =
		AllocSetContextCreate(before, "athena_calc call", ALLOCSET_DEFAULT_SIZES);
	S3Run *volatile run;

	MemoryContextSwitchTo(memory);
	run = request->config != NULL ? begin_run(request->config, 1) : s3_run_begin(1);
	PG_TRY();
	{
		MemoryContextSwitchTo(before);
		s3_run_request(run, request, answer, context);
	}
	PG_CATCH();
	{
		s3_run_end(run);
		PG_RE_THROW();
	}
	PG_END_TRY();
	s3_run_end(run);
	MemoryContextDelete(memory);
}
