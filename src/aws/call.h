/*
 * call.h
 *		Calls to AWS: signed, sent, tried again where that helps.
 *
 * One call or a thousand go the same way, at once or one by one while the caller does something else. A call is signed anew for each attempt, with the credentials
 * that it is given; the retries, their pauses and the token bucket are those of AWS's standard mode. Where
 * credentials come from is credentials.h's; client.h puts the two together.
 */
#ifndef ATHENA_CALC_AWS_CALL_H
#define ATHENA_CALC_AWS_CALL_H

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
	const char *ca_bundle; /* "" for the system's */
	const char *method;
	const char *path;          /* encoded, from its '/' on */
	const char *query;         /* encoded, without the '?'; NULL for none */
	const HttpHeader *headers; /* the call's own; those of signing and retrying are added */
	int header_count;
	const char *body;
	size_t body_length;
	bool may_hide_error; /* S3's: an answer of 200 may be an error in place of a document */
	bool unsigned_body;  /* S3's: the signature leaves the body out */
	bool is_patient;     /* these two as in an HttpRequest */
	size_t window;
	MemoryContext memory;                /* for what it is made of; NULL for the current context */
	const SigV4Credentials *credentials; /* NULL for a request that nobody signs */
	const char *secret; /* that no message shall repeat, beside the session token; NULL for none */
	int timeout;        /* milliseconds for an attempt; 0 for the settings' */
	int max_attempts;   /* 0 for athena_calc.max_attempts */

	/* Whether it may have been carried out: set with an attempt, taken back with a plain refusal. Or NULL. */
	bool *sent;

	AwsError error; /* what it ended with; error.sqlstate is 0 for success */

	bool uncertain; /* whether an attempt may have been carried out though no answer said so */

	int attempts;   /* how many have left */
	bool in_flight; /* whether the last of them has had no end */

	/* This module's. */
	bool was_sent; /* by an earlier call */
	RetryReason last_retry;
	bool clock_corrected;
	char invocation_id[AWS_UUID_SIZE];
	char payload_hash[SIGV4_HEX_SIZE];
	const char *url;
} AwsCall;

/*
 * Takes the end of a call: an answer of 2xx, or, with call->error set, anything else (`response` is
 * the last attempt's either way, and valid only within). May throw, and may set call->error. A stream that breaks once
 * its answer has begun is an end: what was read of it is its reader's to know.
 */
typedef void (*AwsAnswer)(AwsCall *call, const HttpResponse *response, void *context);

/*
 * Makes `count` calls, up to athena_calc.max_concurrency at once, and hands each to `answer` as it
 * ends. A call that was made before goes on counting its attempts. Throws what http_run() throws.
 */
extern void aws_call_send(AwsCall **calls, int count, AwsAnswer answer, void *context);

/* The same one by one: a run, in the current memory context, with calls that are added to it after a pause in microseconds. See http_begin(). */
typedef struct AwsRun AwsRun;

extern AwsRun *aws_run_begin(int concurrency, AwsAnswer answer, void *context);
extern void aws_run_add(AwsRun *run, AwsCall *call, int64 pause);
extern void aws_run_drive(AwsRun *run, bool wait);
extern void aws_run_end(AwsRun *run);

/* Raises what a call ended with. */
pg_noreturn extern void aws_call_raise(const AwsCall *call);

/* The time by AWS's clock, as far as it is known, in seconds since 1970. */
extern int64 aws_time(void);

/* How far the server's clock is ahead of this machine's, in seconds; false where an answer does not say. */
extern bool aws_read_clock(const HttpResponse *response, int64 *offset);

/* A random UUID (version 4). Throws 58000 when the system has no randomness. */
extern void aws_generate_uuid(char uuid[AWS_UUID_SIZE]);

#endif
