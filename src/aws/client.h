/*
 * client.h
 *		Calls to AWS: signed, sent, tried again where that helps.
 *
 * One call or a thousand go the same way. A call is signed anew for each attempt, with the credentials
 * in force; the retries, their pauses and the token bucket are those of AWS's standard mode.
 */
#ifndef ATHENA_CALC_AWS_CLIENT_H
#define ATHENA_CALC_AWS_CLIENT_H

#include "compat.h"

#include "aws/endpoint.h"
#include "aws/error.h"
#include "aws/retry.h"
#include "aws/sigv4.h"
#include "http/http.h"

/* Room for "ffffffff-ffff-4fff-bfff-ffffffffffff". */
#define AWS_UUID_SIZE 37

/*
 * One call. The caller zeroes it and fills in the first part; what it points to must last until the
 * call is done.
 */
typedef struct AwsCall
{
	HttpExchange exchange; /* first: the engine's */
	const AwsService *service;
	const char *operation;
	const AwsEndpoint *endpoint;
	const char *region;
	const char *method;
	const char *path;          /* encoded, from its '/' on */
	const char *query;         /* encoded, without the '?'; NULL for none */
	const HttpHeader *headers; /* the call's own; those of signing and retrying are added */
	int header_count;
	const char *body;
	size_t body_length;

	AwsError error; /* what it ended with; error.sqlstate is 0 for success */

	/* The client's. */
	int attempts;
	RetryReason last_retry;
	bool clock_corrected;
	char invocation_id[AWS_UUID_SIZE];
	char payload_hash[SIGV4_HEX_SIZE];
	const char *url;
} AwsCall;

/*
 * Takes the end of a call: an answer of 2xx, or, with call->error set, anything else (`response` is
 * the last attempt's either way, and valid only within). May throw, and may set call->error.
 */
typedef void (*AwsAnswer)(AwsCall *call, const HttpResponse *response, void *context);

/*
 * Makes `count` calls, up to athena_calc.max_concurrency at once, and hands each to `answer` as it
 * ends. `calls` are structures of `stride` bytes that begin with an AwsCall. Throws 28000 without
 * credentials before anything is sent, and what http_run() throws.
 */
extern void aws_call(void *calls, size_t stride, int count, AwsAnswer answer, void *context);

/* Raises what a call ended with. */
pg_noreturn extern void aws_call_raise(const AwsCall *call);

/*
 * The endpoint of a service: `url` where that is not empty, else AWS's own in athena_calc.region.
 * Throws 55000 without a region: it is needed for signing, too.
 */
extern void aws_resolve_endpoint(const char *service, const char *url, AwsEndpoint *endpoint);

/* A random UUID (version 4). Throws 58000 when the system has no randomness. */
extern void aws_generate_uuid(char uuid[AWS_UUID_SIZE]);

#endif
