/*
 * uri_fuzz.c
 *		URLs of endpoints, regions, S3 URIs, and the rules for all that can be configured. Parts: a URL or URI, a region.
 */
#include "fuzz.h"

#include "aws/endpoint.h"
#include "aws/option.h"
#include "s3/uri.h"

/* Nothing in the parts of an endpoint can end a host, a path or a line. */
static void
check_endpoint(const AwsEndpoint *endpoint)
{
	for (const char *p = endpoint->host; *p != '\0'; p++)
		fuzz_require(*p > ' ' && *p <= '~' && strchr("/?#@\\", *p) == NULL);
	for (const char *p = endpoint->path; *p != '\0'; p++)
		fuzz_require(*p > ' ' && *p <= '~' && strchr("?#", *p) == NULL);
	fuzz_require(endpoint->host[0] != '\0');
	fuzz_require(endpoint->path[0] == '\0' || endpoint->path[0] == '/');
	fuzz_require(endpoint->signing_region[0] == '\0' ||
				 aws_region_is_valid(endpoint->signing_region));
}

/* Put together again, an endpoint is the same. */
static void
parse_url(const char *url)
{
	AwsEndpoint endpoint;
	AwsEndpoint again;
	const char *problem = NULL;

	if (!aws_endpoint_parse(url, &endpoint, &problem))
	{
		fuzz_require(problem != NULL);
		return;
	}
	check_endpoint(&endpoint);
	fuzz_require(aws_endpoint_parse(
		psprintf("%s://%s%s", endpoint.tls ? "https" : "http", endpoint.host, endpoint.path),
		&again, &problem));
	fuzz_require(endpoint.tls == again.tls && strcmp(endpoint.host, again.host) == 0 &&
				 strcmp(endpoint.path, again.path) == 0);
}

static void
resolve(const char *url, const char *region, unsigned choice)
{
	static const char *const services[] = {"athena", "sts", "s3"};
	AwsEndpointQuery query = {.service = services[choice % 3],
							  .region = region,
							  .url = choice & 0x80 ? url : "",
							  .use_fips = choice & 0x40,
							  .use_dualstack = choice & 0x20};
	AwsEndpoint endpoint;
	const char *problem = NULL;

	if (aws_endpoint_resolve(&query, &endpoint, &problem))
		check_endpoint(&endpoint);
	else
		fuzz_require(problem != NULL);
}

static void
parse_s3_uri(const char *text, const char *host)
{
	AwsEndpoint endpoint;
	const char *problem;
	S3Uri uri;
	char *path;

	if (!s3_uri_parse_prefix(text, &uri))
	{
		fuzz_require(!s3_uri_parse(text, &uri));
		return;
	}
	fuzz_require(strcmp(text + 5 + strlen(uri.bucket), uri.key) == 0 ||
				 strcmp(text + 5 + strlen(uri.bucket) + 1, uri.key) == 0);
	fuzz_require(aws_endpoint_parse(host, &endpoint, &problem));
	s3_uri_locate(&uri, &endpoint, &path);
	check_endpoint(&endpoint);
	fuzz_require(path[0] == '/' && path[strcspn(path, " ?#\r\n")] == '\0');
}

void
fuzz(FuzzInput input)
{
	unsigned choice = fuzz_next_number(&input);
	FuzzInput part;
	const char *text;
	const char *region;

	fuzz_next_part(&input, &part);
	text = fuzz_string(part);
	fuzz_next_part(&input, &part);
	region = fuzz_string(part);

	parse_url(text);
	resolve(text, region, choice);
	parse_s3_uri(text, "https://s3.us-east-1.amazonaws.com");
	parse_s3_uri(text, "http://minio:9000/path");
	for (int i = 0; i < AWS_OPTION_COUNT; i++)
		aws_options[i].problem(text);
	aws_option_find(region);
}
