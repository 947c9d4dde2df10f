/*
 * endpoint.c
 *		Where a service answers. See endpoint.h for the contract.
 */
#include "aws/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LABEL 63

/*
 * The partitions whose names do not end in amazonaws.com, told by how their regions begin.
 * https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json
 */
static const struct
{
	const char *region_prefix;
	const char *dns_suffix;
} partitions[] = {
	{"cn-", "amazonaws.com.cn"},   {"eusc-", "amazonaws.eu"},      {"us-iso-", "c2s.ic.gov"},
	{"us-isob-", "sc2s.sgov.gov"}, {"eu-isoe-", "cloud.adc-e.uk"}, {"us-isof-", "csp.hci.ic.gov"},
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

bool
aws_endpoint_of_region(const char *service, const char *region, AwsEndpoint *endpoint)
{
	const char *suffix = "amazonaws.com";

	memset(endpoint, 0, sizeof(*endpoint));
	if (!aws_region_is_valid(region))
		return false;
	for (size_t i = 0; i < sizeof(partitions) / sizeof(partitions[0]); i++)
	{
		if (strncmp(region, partitions[i].region_prefix, strlen(partitions[i].region_prefix)) == 0)
			suffix = partitions[i].dns_suffix;
	}
	endpoint->tls = true;
	snprintf(endpoint->host, sizeof(endpoint->host), "%s.%s.%s", service, region, suffix);
	lower_case(endpoint->host);
	return true;
}
