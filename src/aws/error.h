/*
 * error.h
 *		What a service refused, and what went wrong on the way: read, given a SQLSTATE, reported.
 */
#ifndef ATHENA_CALC_AWS_ERROR_H
#define ATHENA_CALC_AWS_ERROR_H

#include "compat.h"

#include "aws/option.h"
#include "aws/retry.h"
#include "http/buffer.h"
#include "http/http.h"

/* The pseudo exceptions of what never reached or left the service. */
#define AWS_CONNECTION_FAILURE "ConnectionFailure"
#define AWS_TIMEOUT "Timeout"
#define AWS_INVALID_RESPONSE "InvalidResponse"

typedef enum AwsErrorFormat
{
	AWS_ERROR_JSON,  /* awsJson 1.1 */
	AWS_ERROR_XML,   /* S3 */
	AWS_ERROR_QUERY, /* STS: XML, or JSON where that was asked for */
	AWS_ERROR_STATUS /* no AWS service: the status says all */
} AwsErrorFormat;

/*
 * What an exception means in SQL. `words`, where not NULL, must be in the message: some services tell
 * different troubles under one exception. The first row that fits counts.
 */
typedef struct AwsErrorMeaning
{
	const char *exception;
	const char *words;
	int sqlstate;
	const char *hint;
} AwsErrorMeaning;

typedef struct AwsService
{
	const char *name;          /* in messages */
	const char *signing_name;  /* also that of its hosts */
	AwsOption endpoint_option; /* its URL, where another than AWS's own is wanted */
	bool is_s3;                /* signs paths as they are, and the payload's hash in a header */
	AwsErrorFormat error_format;
	const char *error_code_member;   /* of a JSON error, beside its exception; NULL for none */
	const char *error_code_key;      /* and its key in DETAIL */
	const AwsErrorMeaning *meanings; /* ends with an exception of NULL */
	RetryQuota *quota;               /* each its own: the trouble of one is not the others' */
} AwsService;

/* An error of a call; no error while `sqlstate` is 0. Strings are in the database's encoding. */
typedef struct AwsError
{
	int sqlstate;
	const char *exception; /* the service's own, or a pseudo exception; NULL when it named none */
	bool from_service;     /* whether the exception is the service's own */
	const char *error_code;
	const char *message;
	const char *hint;
	int http_status; /* 0 for none */
	const char *request_id;
} AwsError;

/*
 * Reads what came of a request that did not succeed: trouble on the way, or an answer with another
 * status than 2xx. Strings are made in the current memory context.
 */
extern void aws_error_read(AwsError *error, const AwsService *service,
						   const HttpResponse *response);

/*
 * The same of an exception that a service names, with a message or without, in an answer of 2xx: some tell
 * of a failure there. Without an exception it is an answer that the protocol does not allow.
 */
extern void aws_error_name(AwsError *error, const AwsService *service, const HttpResponse *response,
						   const ByteBuffer *exception, const ByteBuffer *message);

/*
 * Puts stars in the place of a secret (NULL for none), which a service may repeat of the request, or of its beginning where a message
 * was cut within it.
 */
extern void aws_error_conceal(AwsError *error, const char *secret);

/* The meanings of a service that has none of its own. */
extern const AwsErrorMeaning aws_no_meanings[];

/* Whether the service refused credentials that others would mend: they have expired, or were withdrawn. */
extern bool aws_error_is_of_credentials(const AwsError *error);

/* Copies an error into the current memory context. */
extern void aws_error_copy(AwsError *copy, const AwsError *error);

/* Makes an error of an answer that the protocol does not allow (08P01). `problem` reads behind "the answer …". */
extern void aws_error_invalid_response(AwsError *error, const HttpResponse *response,
									   const char *problem);

/* Raises it: "<service> <operation> failed: …", with how many attempts were made. */
pg_noreturn extern void aws_error_raise(const AwsError *error, const AwsService *service,
										const char *operation, int attempts);

#endif
