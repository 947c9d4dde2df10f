/*
 * resolve.h
 *		The region and the endpoints of the current user's configuration.
 */
#ifndef ATHENA_CALC_AWS_RESOLVE_H
#define ATHENA_CALC_AWS_RESOLVE_H

#include "compat.h"

#include "aws/config.h"
#include "aws/endpoint.h"
#include "aws/error.h"

/*
 * The region: the configured one, else the profile's, else the instance's. `origin`, where not NULL, says which, for
 * people. Throws 55000 where there is none.
 */
extern const char *aws_resolve_region(const AwsConfig *config, const char **origin);

/*
 * The endpoint of a service: the configured one, else AWS's own in the region. Throws 55000 without a region (it is
 * needed for signing, too), and for what AWS does not have.
 */
extern void aws_resolve_endpoint(const AwsConfig *config, const AwsService *service,
								 AwsEndpoint *endpoint);

/* The same in a region that is known otherwise. */
extern void aws_resolve_endpoint_in(const AwsConfig *config, const AwsService *service,
									const char *region, AwsEndpoint *endpoint);

#endif
