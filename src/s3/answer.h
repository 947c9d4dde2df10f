/*
 * answer.h
 *		XML that S3 answers with, and what it says there of a failure.
 *
 * Status 200 alone is no success: what began well may fail while the answer is under way, and then S3 sends an error under it.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
 */
#ifndef ATHENA_CALC_S3_ANSWER_H
#define ATHENA_CALC_S3_ANSWER_H

#include "compat.h"

#include "aws/error.h"
#include "aws/xml.h"

extern const AwsService s3_service;

/*
 * Reads an answer of 2xx, whose root element must be that of the first path that is wanted: "ListBucketResult". False, with
 * `error` set, where it is S3's error, by its code, or anything else (08P01). The caller frees the texts either way.
 */
extern bool s3_answer_read(AwsError *error, const HttpResponse *response, XmlWanted *wanted,
						   int count);

#endif
