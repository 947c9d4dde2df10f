/*
 * request.h
 *		Requests to S3, to wherever the bucket is.
 *
 * A bucket of another region says so once: the request is made again there, signed for that region, and the region is
 * remembered for the backend. A Location is never followed.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
 */
#ifndef ATHENA_CALC_S3_REQUEST_H
#define ATHENA_CALC_S3_REQUEST_H

#include "compat.h"

#include "aws/client.h"
#include "lib/ilist.h"
#include "s3/uri.h"

typedef struct S3Request
{
	const char *operation; /* in messages */
	const char *method;
	const AwsConfig *config; /* for s3_request(): NULL for the current one */
	const S3Uri *uri;        /* in the database's encoding */
	const char *query;       /* encoded; NULL for none */
	const HttpHeader *headers;
	int header_count;
	const char *body; /* NULL for none */
	size_t body_length;
	bool may_hide_error; /* as in an AwsCall */
	bool unsigned_body; /* TLS alone protects the body, where there is TLS: it need not be hashed */
	bool is_patient;    /* these two as in an HttpRequest */
	size_t window;
} S3Request;

/* Takes an answer, in the memory of the call; response and error as with an AwsAnswer. */
typedef void (*S3Answer)(AwsError *error, const HttpResponse *response, void *context);

/*
 * Makes a request and hands its end to `answer`, in the caller's memory context. Raises what is an error then. Where the time of a
 * hurry is over (http.h), it ends without an answer.
 */
extern void s3_request(const S3Request *request, S3Answer answer, void *context);

/* Requests that go on while their caller does something else, with the configuration of their beginning. */
typedef struct S3Run S3Run;

typedef struct S3Call
{
	AwsCall call;      /* first: the client's */
	S3Request request; /* what it points to lasts until the call is done */
	S3Answer answer;
	void *context;
	bool is_done; /* call.error says how */

	/* The run's. */
	dlist_node node;
	bool was_sent_on; /* to the bucket's region */
	bool was_renewed; /* with other credentials */
	bool wants_renewal;
} S3Call;

/* A run in the current memory context, with up to `concurrency` requests under way at once. */
extern S3Run *s3_run_begin(int concurrency);

/* The same with the configuration of another one, whose memory must stay; it may have ended. */
extern S3Run *s3_run_begin_like(const S3Run *run, int concurrency);

/*
 * Starts a call after a pause in microseconds. The caller has filled in request, answer and context, and zeroed the rest; of a call
 * that was started before, it is done.
 */
extern void s3_run_start(S3Run *run, S3Call *call, int64 pause);

/* Lets all go on; waits, where `wait`, until something has happened. */
extern void s3_run_drive(S3Run *run, bool wait);

/* Drives the run until the call is done, or a hurry is over. */
extern void s3_run_finish(S3Run *run, const S3Call *call);

/* Makes a request within a run, as s3_request() does. */
extern void s3_run_request(S3Run *run, const S3Request *request, S3Answer answer, void *context);

/* Releases what a call that is done is made of. */
extern void s3_call_release(S3Call *call);

/* Drops what is under way. To be called on every path, also after an error. */
extern void s3_run_end(S3Run *run);

#endif
