/*
 * uri.h
 *		S3 URIs ("s3://bucket/key"), and where S3 has the object.
 */
#ifndef ATHENA_CALC_S3_URI_H
#define ATHENA_CALC_S3_URI_H

#include "compat.h"

#include "aws/endpoint.h"

/* https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html */
#define S3_MAX_KEY_BYTES 1024
#define S3_MAX_BUCKET_BYTES 255 /* of old buckets; new ones have at most 63 */

typedef struct S3Uri
{
	const char *bucket;
	const char *key; /* as it is, not percent-encoded */
} S3Uri;

/* Takes a URI apart, into memory of the current context. False where it names no object in a bucket. */
extern bool s3_uri_parse(const char *text, S3Uri *uri);

/* The same of a URI that may name a whole bucket, or a prefix of keys: the key may be empty. */
extern bool s3_uri_parse_prefix(const char *text, S3Uri *uri);

/* Whether a key, or another name, ends so: a folder's in "/". */
static inline bool
s3_key_ends_with(const char *key, const char *end)
{
	size_t length = strlen(key);
	size_t end_length = strlen(end);

	return length >= end_length && strcmp(key + length - end_length, end) == 0;
}

/*
 * Where an object is at S3's endpoint, which may get the bucket in front of its host, with the encoded path:
 * virtual-hosted style ("https://bucket.host/key") where the bucket can be a host name, else path style
 * ("https://host/bucket/key").
 */
extern void s3_uri_locate(const S3Uri *uri, AwsEndpoint *endpoint, char **path);

#endif
