/*
 * answer.h
 *		What S3 answers with: XML, and checksums of objects.
 */
#ifndef ATHENA_CALC_S3_ANSWER_H
#define ATHENA_CALC_S3_ANSWER_H

#include "compat.h"

#include "aws/error.h"
#include "aws/xml.h"
#include "s3/checksum.h"

extern const AwsService s3_service;

/*
 * Reads an answer of 2xx, whose root element must be that of the first path that is wanted: "ListBucketResult". False, with
 * `error` set, where it is anything else (08P01). The caller frees the texts either way.
 */
extern bool s3_answer_read(AwsError *error, const HttpResponse *response, XmlWanted *wanted,
						   int count);

/* An S3Answer (request.h) of which nothing is wanted. */
extern void s3_answer_ignore(AwsError *error, const HttpResponse *response, void *context);

/* What asks S3 for the checksum of an object that is read. https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html */
extern const HttpHeader s3_checksum_wanted;

/* A whole object's checksum that is to be verified: what S3 says that it is, and what it is so far. */
typedef struct S3Verification
{
	bool is_due; /* whether S3 says any */
	Checksum checksum;
	char expected[CHECKSUM_TEXT_SIZE];
} S3Verification;

/* Begins with the head of an answer that has an object from its beginning. To be ended by one of the two below. */
extern void s3_verification_begin(S3Verification *verification, const HttpResponse *response);

/* Ends it, where it is due. NULL where the bytes are those that S3 has, else the problem, palloc'd. Throws 53200. */
extern char *s3_verification_finish(S3Verification *verification);

/* Ends it without a result, or does nothing to one that has ended. */
extern void s3_verification_drop(S3Verification *verification);

#endif
