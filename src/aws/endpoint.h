/*
 * endpoint.h
 *		Where a service answers: URLs that an administrator gives, and AWS's own host names.
 *
 * Plain C; nothing here throws. An endpoint is taken apart once, so that the host that is signed is
 * the host that is sent, to the letter.
 */
#ifndef ATHENA_CALC_AWS_ENDPOINT_H
#define ATHENA_CALC_AWS_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#define ENDPOINT_HOST_SIZE 272
#define ENDPOINT_PATH_SIZE 512
#define ENDPOINT_REGION_SIZE 64 /* one DNS label and its NUL */

typedef struct AwsEndpoint
{
	bool tls;

	/* Lower case, IPv6 in brackets, the port only where it is not the scheme's. */
	char host[ENDPOINT_HOST_SIZE];

	/* In front of a request's own path: "" or "/…" without a slash at its end. */
	char path[ENDPOINT_PATH_SIZE];

	/* What requests are signed for, not always the region asked for; "" where none is known. */
	char signing_region[ENDPOINT_REGION_SIZE];
} AwsEndpoint;

typedef struct AwsEndpointQuery
{
	const char *service; /* "athena", "sts" or "s3" */
	const char *region;  /* "" for none given */
	const char *url;     /* an endpoint of the administrator's choice; NULL or "" for AWS's own */
	bool use_fips;
	bool use_dualstack;
} AwsEndpointQuery;

/*
 * Takes an http or https URL apart. False with the reason in `problem`, a constant string that reads
 * behind "it …", where it is no such URL or holds more than scheme, host, port and path.
 * The signing region is "": a URL does not tell.
 */
extern bool aws_endpoint_parse(const char *url, AwsEndpoint *endpoint, const char **problem);

/* Whether a region is one DNS label of letters, digits and hyphens, and so cannot change the host. */
extern bool aws_region_is_valid(const char *region);

/* Whether the endpoint's host is an IPv4 or IPv6 address. */
extern bool aws_endpoint_is_address(const AwsEndpoint *endpoint);

/*
 * The endpoint of a service by AWS's rules; of S3, without a bucket. False with the reason in
 * `problem`, a constant string that is a sentence without a full stop, where
 *
 * - FIPS or dual-stack is asked for at a custom URL, or the region's partition does not have it;
 * - the region is not one DNS label, or missing: only at a custom URL of Athena or STS it may be, and
 *   then leaves the signing region empty;
 * - the URL is none; aws_endpoint_parse says why.
 *
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-endpoints.html
 */
extern bool aws_endpoint_resolve(const AwsEndpointQuery *query, AwsEndpoint *endpoint,
								 const char **problem);

#endif
