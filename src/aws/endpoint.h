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

typedef struct AwsEndpoint
{
	bool tls;
	char host
		[ENDPOINT_HOST_SIZE]; /* lower case, IPv6 in brackets, the port only where it is not the scheme's */
	char path
		[ENDPOINT_PATH_SIZE]; /* in front of a request's own path; "" or "/…" without a slash at its end */
} AwsEndpoint;

/*
 * Takes an http or https URL apart. False with the reason in `problem`, a constant string that reads
 * behind "it …", where it is no such URL or holds more than scheme, host, port and path.
 */
extern bool aws_endpoint_parse(const char *url, AwsEndpoint *endpoint, const char **problem);

/* Whether a region is one DNS label of letters, digits and hyphens, and so cannot change the host. */
extern bool aws_region_is_valid(const char *region);

/* Whether the endpoint's host is an IPv4 or IPv6 address. */
extern bool aws_endpoint_is_address(const AwsEndpoint *endpoint);

/*
 * The endpoint that AWS has for a service in a region, by the rules of botocore's partitions.json.
 * False where the region is not valid.
 */
extern bool aws_endpoint_of_region(const char *service, const char *region, AwsEndpoint *endpoint);

#endif
