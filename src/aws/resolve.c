/*
 * resolve.c
 *		The region and the endpoints of the current user's configuration. See resolve.h.
 */
#include "aws/resolve.h"

#include "aws/source.h"
#include "utils/memutils.h"

/* The endpoint that was found last, and by what: a backend asks for one again and again. */
static AwsEndpointQuery last_query; /* without a service where there is none */
static AwsEndpoint last_endpoint;

const char *
aws_resolve_region(const AwsConfig *config, const char **origin)
{
	const char *region = config->values[AWS_OPTION_REGION];
	const char *found_by;

	if (region[0] != '\0')
	{
		if (origin != NULL)
			*origin = aws_config_origin(config, AWS_OPTION_REGION);
		return region;
	}
	region = source_profile_region(config);
	found_by = "profile";
	if (region == NULL)
	{
		region = source_instance_region(config);
		found_by = "instance";
	}
	if (region == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("no AWS region: \"athena_calc.region\" is not set"),
						errhint("SET athena_calc.region = 'us-east-1', or put it in "
								"postgresql.conf.")));
	if (aws_options[AWS_OPTION_REGION].problem(region) != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the region of the %s is none", found_by),
						errhint("SET athena_calc.region = 'us-east-1', or put it in "
								"postgresql.conf.")));
	if (origin != NULL)
		*origin = found_by;
	return region;
}

void
aws_resolve_endpoint(const AwsConfig *config, const AwsService *service, AwsEndpoint *endpoint)
{
	aws_resolve_endpoint_in(config, service, aws_resolve_region(config, NULL), endpoint);
}

static bool
is_last_query(const AwsEndpointQuery *query)
{
	return last_query.service == query->service && strcmp(last_query.region, query->region) == 0 &&
		   strcmp(last_query.url, query->url) == 0 && last_query.use_fips == query->use_fips &&
		   last_query.use_dualstack == query->use_dualstack;
}

static void
keep_query(const AwsEndpointQuery *query, const AwsEndpoint *endpoint)
{
	char *region = MemoryContextStrdup(TopMemoryContext, query->region);
	char *url = MemoryContextStrdup(TopMemoryContext, query->url);

	if (last_query.service != NULL)
	{
		pfree((char *) last_query.region);
		pfree((char *) last_query.url);
	}
	last_query = *query;
	last_query.region = region;
	last_query.url = url;
	last_endpoint = *endpoint;
}

void
aws_resolve_endpoint_in(const AwsConfig *config, const AwsService *service, const char *region,
						AwsEndpoint *endpoint)
{
	AwsEndpointQuery query = {0};
	const char *problem;

	query.service = service->signing_name;
	query.region = region;
	query.url = config->values[service->endpoint_option];
	query.use_fips = aws_config_is_true(config, AWS_OPTION_USE_FIPS_ENDPOINT);
	query.use_dualstack = aws_config_is_true(config, AWS_OPTION_USE_DUALSTACK_ENDPOINT);
	if (is_last_query(&query))
	{
		*endpoint = last_endpoint;
		return;
	}
	if (!aws_endpoint_resolve(&query, endpoint, &problem))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s has no endpoint: %s", service->name, problem),
				 errhint("Check athena_calc.region, athena_calc.%s, "
						 "athena_calc.use_fips_endpoint and athena_calc.use_dualstack_endpoint.",
						 aws_options[service->endpoint_option].name)));
	keep_query(&query, endpoint);
}
