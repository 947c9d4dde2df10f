/*
 * uri.h
 *		S3 URIs ("s3://bucket/key"), and where S3 has the object.
 */
#ifndef ATHENA_CALC_S3_URI_H
#define ATHENA_CALC_S3_URI_H

#include "compat.h"

#include "aws/endpoint.h"

typedef struct S3Uri
{
	char *bucket;
	char *key; /* as it is, not percent-encoded */
} S3Uri;

/* Takes a URI apart, into memory of the current context. False where it names no object in a bucket. */
extern bool s3_uri_parse(const char *text, S3Uri *uri);

/*
 * The endpoint and the encoded path of an object, by athena_calc.s3_endpoint_url and athena_calc.region:
 * virtual-hosted style ("https://bucket.host/key") where the bucket can be a host name, else path style
 * ("https://host/bucket/key"). Throws 55000 without a region.
 */
extern void s3_uri_resolve(const S3Uri *uri, AwsEndpoint *endpoint, char **path);

#endif
