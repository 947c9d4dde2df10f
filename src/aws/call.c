/*
 * call.c
 *		Calls to AWS: signed, sent, tried again where that helps. See call.h.
 */
#include "aws/call.h"

#include <time.h>

#include "miscadmin.h"
#include "settings.h"
#include "version.h"

#define USER_AGENT "athena_calc/" ATHENA_CALC_VERSION

/* The headers that a request has beyond the call's own. */
#define MAX_ADDED_HEADERS 9

/* What is said in a hurry ends with its time; until then it is said again, sooner than else. */
#define HURRIED_ATTEMPTS 20
#define HURRIED_PAUSE_US 500000

/* From this on a refused signature is the clock's fault; AWS allows five minutes. */
#define CLOCK_SKEW_SECONDS (4 * 60)

#define HTTP_STATUS_INTERNAL_ERROR 500

/* Instead of the hash of a body that the signature leaves out. */
#define UNSIGNED_BODY "UNSIGNED-PAYLOAD"

struct AwsRun
{
	AwsAnswer answer;
	void *context;
	HttpRun *http; /* NULL where all calls are made at once */
};

/* What the backend has learned. */
static SigV4Signer signer;
static int64 clock_offset = 0; /* seconds to add to this machine's clock to get AWS's */

/* Writes 16 random bytes as a UUID of version 4 (RFC 9562). */
static void
format_uuid(unsigned char bytes[16], char uuid[AWS_UUID_SIZE])
{
	static const char hex[] = "0123456789abcdef";
	char *p = uuid;

	bytes[6] = (bytes[6] & 0x0F) | 0x40;
	bytes[8] = (bytes[8] & 0x3F) | 0x80;
	for (int i = 0; i < 16; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[bytes[i] >> 4];
		*p++ = hex[bytes[i] & 15];
	}
	*p = '\0';
}

void
aws_generate_uuid(char uuid[AWS_UUID_SIZE])
{
	unsigned char bytes[16];

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR), errmsg("could not generate a random UUID")));
	format_uuid(bytes, uuid);
}

/* An ID that only tells calls apart in logs: PostgreSQL's fast random numbers will do. */
static void
generate_invocation_id(char uuid[AWS_UUID_SIZE])
{
	unsigned char bytes[16];

	for (int i = 0; i < 16; i += 4)
	{
		uint32 random = (uint32) (random_fraction() * 4294967296.0);

		memcpy(bytes + i, &random, sizeof(random));
	}
	format_uuid(bytes, uuid);
}

int64
aws_time(void)
{
	return (int64) time(NULL) + clock_offset;
}

static int
max_attempts(const AwsCall *call)
{
	if (call->max_attempts > 0)
		return call->max_attempts;
	return http_is_hurried() ? HURRIED_ATTEMPTS : setting_max_attempts;
}

/* Names and values of one attempt's headers; the engine copies them before it returns. */
typedef struct Attempt
{
	SigV4Scope scope;
	char number[32];
	HttpHeader headers[FLEXIBLE_ARRAY_MEMBER];
} Attempt;

pg_noreturn static void
raise_unsigned(void)
{
	ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
					errdetail("A request could not be signed.")));
}

/* Signs a request whose headers are those of `attempt`. The value of Authorization. */
static const char *
sign(const AwsCall *call, const Attempt *attempt, int header_count)
{
	SigV4Request signing = {0};
	const char *authorization;

	signing.method = call->method;
	signing.path = call->path;
	signing.query = call->query;
	signing.headers = attempt->headers;
	signing.header_count = (size_t) header_count;
	signing.payload_hash = call->payload_hash;
	signing.normalize_path = !call->service->is_s3;
	signing.encode_path = !call->service->is_s3;
	authorization = sigv4_authorization(&signer, &signing, call->credentials, &attempt->scope);
	if (authorization == NULL)
		raise_unsigned();
	/* The session token is in it. */
	if (call->credentials->session_token != NULL)
		explicit_bzero(signer.canonical_request.data, signer.canonical_request.length);
	return authorization;
}

/* Memory for what a call is made of. */
static MemoryContext
memory_of(const AwsCall *call)
{
	return call->memory != NULL ? call->memory : CurrentMemoryContext;
}

static void
prepare(HttpExchange *exchange, HttpRequest *request, void *context)
{
	AwsCall *call = (AwsCall *) exchange;
	const SigV4Credentials *credentials = call->credentials;
	Attempt *attempt = MemoryContextAlloc(
		memory_of(call),
		offsetof(Attempt, headers) + sizeof(HttpHeader) * (call->header_count + MAX_ADDED_HEADERS));
	HttpHeader *header = attempt->headers;

	(void) context;
	/* The attempt before was none, for want of a descriptor. */
	if (exchange->was_unsent)
		call->attempts--;
	*header++ = (HttpHeader){"Host", call->endpoint->host};
	if (credentials != NULL)
	{
		sigv4_format_date_time((time_t) aws_time(), attempt->scope.date_time);
		attempt->scope.region = call->endpoint->signing_region;
		attempt->scope.service = call->service->signing_name;
		*header++ = (HttpHeader){"X-Amz-Date", attempt->scope.date_time};
		if (credentials->session_token != NULL)
			*header++ = (HttpHeader){"X-Amz-Security-Token", credentials->session_token};
		if (call->service->is_s3)
			*header++ = (HttpHeader){"x-amz-content-sha256", call->payload_hash};
	}
	snprintf(attempt->number, sizeof(attempt->number), "attempt=%d; max=%d", call->attempts + 1,
			 max_attempts(call));
	*header++ = (HttpHeader){"amz-sdk-invocation-id", call->invocation_id};
	*header++ = (HttpHeader){"amz-sdk-request", attempt->number};
	for (int i = 0; i < call->header_count; i++)
		*header++ = call->headers[i];

	if (credentials != NULL)
	{
		const char *authorization = sign(call, attempt, (int) (header - attempt->headers));

		*header++ = (HttpHeader){"Authorization", authorization};
	}
	/* Not signed: what stands between us and AWS may change it. */
	*header++ = (HttpHeader){"User-Agent", USER_AGENT};

	request->method = call->method;
	request->url = call->url;
	request->headers = attempt->headers;
	request->header_count = (int) (header - attempt->headers);
	request->body = call->body;
	request->body_length = call->body_length;
	request->timeout = call->timeout > 0 ? call->timeout : setting_request_timeout;
	request->connect_timeout = Min(setting_connect_timeout, request->timeout);
	request->max_response_size = (size_t) setting_max_response_size * 1024;
	request->is_patient = call->is_patient;
	request->window = call->window;
	request->ca_bundle = call->ca_bundle;
	call->attempts++;
	call->in_flight = true;
	if (call->sent != NULL)
		*call->sent = true;
}

/* A header that holds a whole number; -1 where it holds none. */
static int64
number_header(const HttpResponse *response, const char *name)
{
	size_t length;
	const char *value = http_response_header(response, name, &length);
	int64 number = 0;

	if (value == NULL || length == 0 || length > 12)
		return -1;
	for (size_t i = 0; i < length; i++)
	{
		if (value[i] < '0' || value[i] > '9')
			return -1;
		number = number * 10 + (value[i] - '0');
	}
	return number;
}

/* How long the server asks us to wait, in milliseconds; -1 where it does not. */
static int64
retry_after(const HttpResponse *response)
{
	int64 wish = number_header(response, "x-amz-retry-after");
	const char *date;
	size_t length;

	if (wish >= 0)
		return wish;
	wish = number_header(response, "retry-after");
	if (wish >= 0)
		return wish * 1000;
	date = http_response_header(response, "retry-after", &length);
	if (date != NULL)
	{
		int64 then = http_parse_date(date, length);

		if (then > 0)
			return Max(0, then - (int64) time(NULL) - clock_offset) * 1000;
	}
	return -1;
}

bool
aws_read_clock(const HttpResponse *response, int64 *offset)
{
	size_t length;
	const char *date = http_response_header(response, "date", &length);
	int64 then = date != NULL ? http_parse_date(date, length) : -1;

	if (then < 0)
		return false;
	*offset = then - (int64) time(NULL);
	return true;
}

/*
 * Whether a refusal is the clock's fault: then the offset is mended, and the call is worth one more
 * attempt. The server's time is in each of its answers.
 */
static bool
correct_clock(AwsCall *call, const HttpResponse *response)
{
	int64 offset;

	if (call->clock_corrected || call->error.exception == NULL ||
		!retry_code_may_be_clock_skew(call->error.exception) || !aws_read_clock(response, &offset))
		return false;
	if (offset > clock_offset - CLOCK_SKEW_SECONDS && offset < clock_offset + CLOCK_SKEW_SECONDS)
		return false;
	clock_offset = offset;
	call->clock_corrected = true;
	return true;
}

static bool
is_success(const HttpResponse *response)
{
	return response->status >= 200 && response->status < 300;
}

/*
 * Whether an answer of 200 is an error all the same. S3 sends spaces first, to keep the connection.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
 */
static bool
hides_error(const AwsCall *call, const HttpResponse *response)
{
	static const char space[] = " \t\r\n";
	const char *document = response->body;

	if (!call->may_hide_error)
		return false;
	document += strspn(document, space);
	if (strncmp(document, "<?xml", 5) == 0)
	{
		document += strcspn(document, ">");
		document += *document == '>';
		document += strspn(document, space);
	}
	return strncmp(document, "<Error", 6) == 0 && strchr("> \t\r\n", document[6]) != NULL;
}

/* Whether a failed attempt is worth another. */
static RetryReason
reason_to_retry(AwsCall *call, const HttpResponse *response)
{
	switch (response->outcome)
	{
		case HTTP_ANSWERED:
			if (correct_clock(call, response))
				return RETRY_CLOCK_SKEW;
			if (!call->error.from_service && response->status < 500 && response->status != 429)
				return RETRY_NEVER;
			return retry_reason(is_success(response) ? HTTP_STATUS_INTERNAL_ERROR
													 : response->status,
								call->error.exception != NULL ? call->error.exception : "");
		case HTTP_UNREACHABLE:
		case HTTP_BROKEN:
		case HTTP_TIMED_OUT:
			return call->window > 0 && is_success(response) ? RETRY_NEVER : RETRY_TRANSIENT;
		default:
			return RETRY_NEVER;
	}
}

/* Whether a failed attempt may have been carried out: it has left, and was not plainly refused. */
static bool
may_have_happened(const AwsCall *call, const HttpResponse *response)
{
	switch (response->outcome)
	{
		case HTTP_UNREACHABLE:
		case HTTP_UNVERIFIED:
		case HTTP_NO_DESCRIPTOR:
			return false;
		case HTTP_ANSWERED:
			return !call->error.from_service || response->status >= 500 || is_success(response);
		default:
			return true;
	}
}

/* Takes out of an error what it repeats of the request that nobody shall see. */
static void
conceal_secrets(AwsCall *call)
{
	MemoryContext before = MemoryContextSwitchTo(memory_of(call));

	if (call->credentials != NULL)
		aws_error_conceal(&call->error, call->credentials->session_token);
	aws_error_conceal(&call->error, call->secret);
	MemoryContextSwitchTo(before);
}

static int64
finish(HttpExchange *exchange, const HttpResponse *response, void *context)
{
	AwsCall *call = (AwsCall *) exchange;
	AwsRun *run = context;
	RetryReason reason;

	call->in_flight = false;
	if (response->outcome == HTTP_ANSWERED && is_success(response) && !hides_error(call, response))
	{
		retry_quota_give(call->service->quota, call->last_retry);
		memset(&call->error, 0, sizeof(call->error));
	}
	else
	{
		MemoryContext before = MemoryContextSwitchTo(memory_of(call));

		aws_error_read(&call->error, call->service, response);
		MemoryContextSwitchTo(before);
		conceal_secrets(call);
		call->uncertain = call->uncertain || may_have_happened(call, response);
		if (call->sent != NULL && !call->uncertain)
			*call->sent = call->was_sent;
		reason = reason_to_retry(call, response);
		/* A lost connection has a price. Where it was shared, not each of its calls has to pay it. */
		if (reason != RETRY_NEVER && call->attempts < max_attempts(call) &&
			(response->was_shared || retry_quota_take(call->service->quota, reason)))
		{
			int64 pause =
				retry_delay(reason, call->attempts, random_fraction(), retry_after(response));

			call->last_retry = response->was_shared ? RETRY_NEVER : reason;
			return http_is_hurried() ? Min(pause, HURRIED_PAUSE_US) : pause;
		}
	}
	run->answer(call, response, run->context);
	/* It may have found an error in an answer of 200. */
	conceal_secrets(call);
	return HTTP_DONE;
}

void
aws_call_raise(const AwsCall *call)
{
	aws_error_raise(&call->error, call->service, call->operation, call->attempts);
}

static const char *
build_url(const AwsCall *call)
{
	const AwsEndpoint *endpoint = call->endpoint;

	return psprintf("%s://%s%s%s%s", endpoint->tls ? "https" : "http", endpoint->host, call->path,
					call->query != NULL ? "?" : "", call->query != NULL ? call->query : "");
}

/* What is the same for all attempts. */
static void
begin(AwsCall *call)
{
	MemoryContext before;

	if (call->url != NULL)
		return;
	if (call->sent != NULL)
		call->was_sent = *call->sent;
	before = MemoryContextSwitchTo(memory_of(call));
	generate_invocation_id(call->invocation_id);
	if (call->unsigned_body)
		strlcpy(call->payload_hash, UNSIGNED_BODY, sizeof(call->payload_hash));
	else if (call->credentials != NULL &&
			 !sigv4_hash(call->body, call->body_length, call->payload_hash))
		raise_unsigned();
	call->url = build_url(call);
	MemoryContextSwitchTo(before);
}

void
aws_call_send(AwsCall **calls, int count, AwsAnswer answer, void *context)
{
	AwsRun run = {answer, context, NULL};
	HttpCaller caller = {prepare, finish, &run};

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS(); /* to hash and address thousands takes time */
		begin(calls[i]);
	}
	/* An exchange is a call's first member. */
	if (count > 0)
		http_run((HttpExchange **) calls, count, setting_max_concurrency, &caller);
}

AwsRun *
aws_run_begin(int concurrency, AwsAnswer answer, void *context)
{
	AwsRun *run = palloc(sizeof(AwsRun));
	HttpCaller caller = {prepare, finish, run};

	run->answer = answer;
	run->context = context;
	run->http = http_begin(concurrency, &caller);
	return run;
}

void
aws_run_add(AwsRun *run, AwsCall *call, int64 pause)
{
	begin(call);
	http_add(run->http, &call->exchange, pause);
}

void
aws_run_drive(AwsRun *run, bool wait)
{
	http_drive(run->http, wait);
}

void
aws_run_end(AwsRun *run)
{
	http_end(run->http);
}
