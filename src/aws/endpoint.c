/*
 * endpoint.c
 *		Where a service answers. See endpoint.h for the contract.
 */
#include "aws/endpoint.h"

#include <stdio.h>
#include <string.h>

#define MAX_LABEL (ENDPOINT_REGION_SIZE - 1)

#define GLOBAL_REGION "aws-global"
#define GLOBAL_SIGNING_REGION "us-east-1"

/*
 * A part of AWS with names of its own. A region belongs to the partition whose global region it is, or
 * whose prefix it has with a word, a hyphen and a number behind it, as all regions are named; to "aws",
 * which is the last, where it belongs to no other.
 * https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json
 */
typedef struct Partition
{
	const char *name;
	const char *global_region;
	const char *region_prefix;
	const char *dns_suffix;
	const char *dual_stack_suffix;
	bool supports_fips;
	bool supports_dual_stack;
} Partition;

/* clang-format off */
static const Partition partitions[] = {
	{"aws-cn", "aws-cn-global", "cn-",
	 "amazonaws.com.cn", "api.amazonwebservices.com.cn", true, true},
	{"aws-us-gov", "aws-us-gov-global", "us-gov-",
	 "amazonaws.com", "api.aws", true, true},
	{"aws-eusc", "", "eusc-de-",
	 "amazonaws.eu", "api.amazonwebservices.eu", true, true},
	{"aws-iso", "aws-iso-global", "us-iso-",
	 "c2s.ic.gov", "api.aws.ic.gov", true, true},
	{"aws-iso-b", "aws-iso-b-global", "us-isob-",
	 "sc2s.sgov.gov", "api.aws.scloud", true, true},
	{"aws-iso-e", "aws-iso-e-global", "eu-isoe-",
	 "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", true, true},
	{"aws-iso-f", "aws-iso-f-global", "us-isof-",
	 "csp.hci.ic.gov", "api.aws.hci.ic.gov", true, true},
	{"aws", GLOBAL_REGION, "",
	 "amazonaws.com", "api.aws", true, true},
};
/* clang-format on */

/*
 * What a service does otherwise than the rest.
 * https://docs.aws.amazon.com/general/latest/gr/athena.html
 * https://docs.aws.amazon.com/general/latest/gr/sts.html
 * https://docs.aws.amazon.com/general/latest/gr/s3.html
 */
typedef struct Service
{
	const char *name;
	const char *dual_stack_label; /* before the region, where no suffix says dual-stack */
	const char *without_fips;     /* the partition where it has no FIPS */
	const char *plain_fips;       /* the partition where FIPS has the plain name */
	bool has_global_host;         /* one without a region, for aws-global */
	bool needs_region;            /* at a custom URL too, and a true one in names */
} Service;

static const Service services[] = {
	{.name = "athena"},
	{.name = "sts", .plain_fips = "aws-us-gov", .has_global_host = true},
	{.name = "s3",
	 .dual_stack_label = "dualstack.",
	 .without_fips = "aws-cn",
	 .has_global_host = true,
	 .needs_region = true},
};

static bool
is_alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static void
lower_case(char *host)
{
	for (; *host != '\0'; host++)
	{
		if (*host >= 'A' && *host <= 'Z')
			*host = (char) (*host + ('a' - 'A'));
	}
}

bool
aws_region_is_valid(const char *region)
{
	size_t length = strlen(region);

	if (length == 0 || length > MAX_LABEL || region[0] == '-' || region[length - 1] == '-')
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if (!is_alphanumeric(region[i]) && region[i] != '-')
			return false;
	}
	return true;
}

static bool
parse_ipv6(const char *host, size_t length)
{
	if (length < 4 || host[0] != '[' || host[length - 1] != ']')
		return false;
	for (size_t i = 1; i < length - 1; i++)
	{
		if (strchr("0123456789abcdefABCDEF:.", host[i]) == NULL)
			return false;
	}
	return true;
}

static bool
parse_host_name(const char *host, size_t length)
{
	size_t label = 0;

	if (length == 0 || length > 253)
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if (host[i] == '.')
		{
			if (label == 0)
				return false;
			label = 0;
		}
		else if ((is_alphanumeric(host[i]) || host[i] == '-' || host[i] == '_') &&
				 label < MAX_LABEL)
			label++;
		else
			return false;
	}
	return label > 0;
}

static bool
path_is_valid(const char *path)
{
	const char *last = strrchr(path, '/');

	for (const char *p = path; *p != '\0'; p++)
	{
		if (!is_alphanumeric(*p) && strchr("/-._~%", *p) == NULL)
			return false;
	}

	/* No empty and no dot segment, at the end neither: a request's own path follows there. */
	return strstr(path, "/../") == NULL && strstr(path, "//") == NULL &&
		   strstr(path, "/./") == NULL &&
		   (last == NULL || (strcmp(last, "/.") != 0 && strcmp(last, "/..") != 0));
}

bool
aws_endpoint_parse(const char *url, AwsEndpoint *endpoint, const char **problem)
{
	const char *host;
	size_t authority_length;
	size_t host_length;
	const char *port;
	const char *path;
	size_t path_length;

	memset(endpoint, 0, sizeof(*endpoint));
	if (strncmp(url, "https://", 8) == 0)
	{
		endpoint->tls = true;
		host = url + 8;
	}
	else if (strncmp(url, "http://", 7) == 0)
		host = url + 7;
	else
	{
		*problem = "must begin with https:// or http://";
		return false;
	}

	authority_length = strcspn(host, "/?#");
	path = host + authority_length;
	if (memchr(host, '@', authority_length) != NULL)
	{
		*problem = "must not name a user or a password";
		return false;
	}
	if (strpbrk(path, "?#") != NULL)
	{
		*problem = "must not have a query or a fragment";
		return false;
	}

	host_length = authority_length;
	port = memchr(host, ']', authority_length);
	port = port != NULL ? port + 1 : memchr(host, ':', authority_length);
	if (port != NULL && port < host + authority_length && *port == ':')
		host_length = (size_t) (port - host);
	else
		port = NULL;
	if (host_length >= ENDPOINT_HOST_SIZE - 8 ||
		!(parse_host_name(host, host_length) || parse_ipv6(host, host_length)))
	{
		*problem = "must name a host or an address";
		return false;
	}
	memcpy(endpoint->host, host, host_length);
	lower_case(endpoint->host);

	if (port != NULL)
	{
		long number = 0;
		const char *end = host + authority_length;

		for (port++; port < end && *port >= '0' && *port <= '9' && number <= 65535; port++)
			number = number * 10 + (*port - '0');
		if (port != end || number < 1 || number > 65535)
		{
			*problem = "has a port that is not a number from 1 to 65535";
			return false;
		}
		if (number != (endpoint->tls ? 443 : 80))
			snprintf(endpoint->host + host_length, ENDPOINT_HOST_SIZE - host_length, ":%ld",
					 number);
	}

	path_length = strlen(path);
	while (path_length > 0 && path[path_length - 1] == '/')
		path_length--;
	if (path_length >= ENDPOINT_PATH_SIZE || !path_is_valid(path))
	{
		*problem = "has a path with characters that a path cannot have";
		return false;
	}
	memcpy(endpoint->path, path, path_length);
	return true;
}

bool
aws_endpoint_is_address(const AwsEndpoint *endpoint)
{
	return endpoint->host[0] == '[' ||
		   endpoint->host[strspn(endpoint->host, "0123456789.")] == ':' ||
		   endpoint->host[strspn(endpoint->host, "0123456789.")] == '\0';
}

static bool
belongs_to(const char *region, const Partition *partition)
{
	size_t prefix_length = strlen(partition->region_prefix);
	const char *word;
	const char *number;

	if (strcmp(region, partition->global_region) == 0)
		return true;
	if (strncmp(region, partition->region_prefix, prefix_length) != 0)
		return false;
	word = region + prefix_length;
	number = strchr(word, '-');
	return number != NULL && number > word && number[1] != '\0' &&
		   number[1 + strspn(number + 1, "0123456789")] == '\0';
}

static const Partition *
find_partition(const char *region)
{
	size_t last = sizeof(partitions) / sizeof(partitions[0]) - 1;

	for (size_t i = 0; i < last; i++)
	{
		if (belongs_to(region, &partitions[i]))
			return &partitions[i];
	}
	return &partitions[last];
}

static const Service *
find_service(const char *name)
{
	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
	{
		if (strcmp(name, services[i].name) == 0)
			return &services[i];
	}
	return NULL;
}

/* Whether `name` is the partition's; NULL is no partition's. */
static bool
is_partition(const Partition *partition, const char *name)
{
	return name != NULL && strcmp(partition->name, name) == 0;
}

/* Whether requests for the region go to the service's host without a region. */
static bool
uses_global_host(const Service *service, const AwsEndpointQuery *query)
{
	return service->has_global_host && !query->use_fips && !query->use_dualstack &&
		   strcmp(query->region, GLOBAL_REGION) == 0;
}

/* Why there is no such endpoint; NULL where there is one, if the URL is one. */
static const char *
find_problem(const Service *service, const Partition *partition, const AwsEndpointQuery *query,
			 bool custom)
{
	if (service == NULL)
		return "the service has no known endpoints";
	if (custom && query->use_fips)
		return "FIPS and a custom endpoint cannot be combined";
	if (custom && query->use_dualstack)
		return "dual-stack and a custom endpoint cannot be combined";
	if (query->region[0] == '\0')
		return custom && !service->needs_region ? NULL : "the region is missing";
	if (!aws_region_is_valid(query->region))
		return "the region is not a valid DNS name";
	if (query->use_fips &&
		(!partition->supports_fips || is_partition(partition, service->without_fips)))
		return "the region's partition does not support FIPS";
	if (query->use_dualstack && !partition->supports_dual_stack)
		return "the region's partition does not support dual-stack";
	return NULL;
}

bool
aws_endpoint_resolve(const AwsEndpointQuery *query, AwsEndpoint *endpoint, const char **problem)
{
	const Service *service = find_service(query->service);
	const Partition *partition = find_partition(query->region);
	bool custom = query->url != NULL && query->url[0] != '\0';
	const char *signing_region = query->region;

	memset(endpoint, 0, sizeof(*endpoint));
	*problem = find_problem(service, partition, query, custom);
	if (*problem != NULL)
		return false;
	if (strcmp(query->region, GLOBAL_REGION) == 0)
		signing_region = GLOBAL_SIGNING_REGION;

	if (custom)
	{
		if (!aws_endpoint_parse(query->url, endpoint, problem))
		{
			*problem = "the custom endpoint is not a valid URL";
			return false;
		}
	}
	else if (uses_global_host(service, query))
	{
		signing_region = GLOBAL_SIGNING_REGION;
		endpoint->tls = true;
		snprintf(endpoint->host, sizeof(endpoint->host), "%s.%s", service->name,
				 partition->dns_suffix);
	}
	else
	{
		bool has_label = query->use_dualstack && service->dual_stack_label != NULL;
		bool fips_name = query->use_fips &&
						 (query->use_dualstack || !is_partition(partition, service->plain_fips));

		endpoint->tls = true;
		snprintf(endpoint->host, sizeof(endpoint->host), "%s%s.%s%s.%s", service->name,
				 fips_name ? "-fips" : "", has_label ? service->dual_stack_label : "",
				 service->needs_region ? signing_region : query->region,
				 query->use_dualstack && !has_label ? partition->dual_stack_suffix
													: partition->dns_suffix);
		lower_case(endpoint->host);
	}
	snprintf(endpoint->signing_region, sizeof(endpoint->signing_region), "%s", signing_region);
	return true;
}
