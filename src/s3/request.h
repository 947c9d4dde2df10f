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
#include "s3/uri.h"

typedef struct S3Request
{
	const char *operation; /* in messages */
	const char *method;
	const S3Uri *uri;  /* in the database's encoding */
	const char *query; /* encoded; NULL for none */
	const HttpHeader *headers;
	int header_count;
	const char *body; /* NULL for none */
	size_t body_length;
} S3Request;

/* Takes an answer; response and error as with an AwsAnswer. */
typedef void (*S3Answer)(AwsError *error, const HttpResponse *response, void *context);

/* Makes a request and hands its end to `answer`, in the caller's memory context. Raises what is an error then. */
extern void s3_request(const S3Request *request, S3Answer answer, void *context);

#endif
