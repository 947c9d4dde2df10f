/*
 * endpoint_test.c
 *		Where a service answers: URLs taken apart or refused, and AWS's own host names.
 *
 * Usage: endpoint_test [VECTORS]; VECTORS holds botocore/athena-endpoint-tests.json,
 * botocore/sts-endpoint-tests.json and botocore/partitions.json as botocore has them.
 */
#include "aws/endpoint.h"

#include <stdlib.h>

#include "tap.h"
#include "vectors.h"

/* Parses a copy of exactly the URL's size, so that a read past its end is caught, into a dirty struct. */
static bool
parse(const char *url, AwsEndpoint *endpoint, const char **problem)
{
	char *copy = strdup(url);
	bool valid;

	memset(endpoint, 0xAA, sizeof(*endpoint));
	*problem = NULL;
	valid = aws_endpoint_parse(copy, endpoint, problem);
	free(copy);
	return valid;
}

/* The options of a query. */
enum
{
	FIPS = 1,
	DUAL = 2
};

#define LONGEST "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" /* 63 */

static AwsEndpointQuery
make_query(const char *service, const char *region, int options, const char *url)
{
	return (AwsEndpointQuery){.service = service,
							  .region = region,
							  .url = url,
							  .use_fips = (options & FIPS) != 0,
							  .use_dualstack = (options & DUAL) != 0};
}

/* Resolves into a dirty struct. */
static bool
resolve(const AwsEndpointQuery *query, AwsEndpoint *endpoint, const char **problem)
{
	memset(endpoint, 0xAA, sizeof(*endpoint));
	*problem = NULL;
	return aws_endpoint_resolve(query, endpoint, problem);
}

/* The query in words, for a test's name. */
static const char *
describe(const AwsEndpointQuery *query)
{
	static char text[512];

	snprintf(text, sizeof(text), "%s in \"%s\"%s%s%s%s", query->service, query->region,
			 query->use_fips ? ", FIPS" : "", query->use_dualstack ? ", dual-stack" : "",
			 query->url != NULL ? ", at " : "", query->url != NULL ? query->url : "");
	return text;
}

static void
test_valid(void)
{
	static const struct
	{
		const char *url;
		bool tls;
		const char *host;
		const char *path;
	} cases[] = {
		{"https://example.com", true, "example.com", ""},
		{"http://example.com", false, "example.com", ""},
		{"https://example.com/", true, "example.com", ""},
		{"http://localhost", false, "localhost", ""},
		{"https://athena.us-east-1.amazonaws.com", true, "athena.us-east-1.amazonaws.com", ""},
		{"https://a_b-c.1.x", true, "a_b-c.1.x", ""},

		/* The signed host is lower case, whatever was typed. */
		{"https://EXAMPLE.Com", true, "example.com", ""},
		{"http://LOCALHOST:8080/Path", false, "localhost:8080", "/Path"},

		/* A scheme's own port is not part of the Host header; any other is. */
		{"https://example.com:443", true, "example.com", ""},
		{"http://example.com:80", false, "example.com", ""},
		{"https://example.com:80", true, "example.com:80", ""},
		{"http://example.com:443", false, "example.com:443", ""},
		{"http://example.com:1", false, "example.com:1", ""},
		{"http://example.com:65535", false, "example.com:65535", ""},
		{"http://example.com:8080/", false, "example.com:8080", ""},
		{"http://example.com:08080", false, "example.com:8080", ""},
		{"https://example.com:00443", true, "example.com", ""},

		{"http://127.0.0.1", false, "127.0.0.1", ""},
		{"http://127.0.0.1:4566", false, "127.0.0.1:4566", ""},
		{"https://[::1]", true, "[::1]", ""},
		{"https://[::1]/", true, "[::1]", ""},
		{"https://[::1]:443", true, "[::1]", ""},
		{"https://[::1]:8443", true, "[::1]:8443", ""},
		{"http://[fd00:EC2::23]:80/v1", false, "[fd00:ec2::23]", "/v1"},
		{"http://[2001:DB8:0:0:8:800:200C:417A]", false, "[2001:db8:0:0:8:800:200c:417a]", ""},
		{"http://[::ffff:192.0.2.1]:1", false, "[::ffff:192.0.2.1]:1", ""},

		/* A path stays as it is, case included, but for slashes at its end. */
		{"https://example.com/custom", true, "example.com", "/custom"},
		{"https://example.com/custom/", true, "example.com", "/custom"},
		{"https://example.com/A/b-c_d.e~f/%20g", true, "example.com", "/A/b-c_d.e~f/%20g"},
		{"https://example.com/.hidden/a..b/...", true, "example.com", "/.hidden/a..b/..."},
		{"https://example.com:8443/x/y/", true, "example.com:8443", "/x/y"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		AwsEndpoint endpoint;
		const char *problem;

		if (!tap_ok(parse(cases[i].url, &endpoint, &problem), "%s is taken", cases[i].url))
		{
			printf("# it %s\n", problem);
			continue;
		}
		tap_is_int(endpoint.tls, cases[i].tls, "%s: TLS", cases[i].url);
		tap_is_string(endpoint.host, cases[i].host, "%s: host", cases[i].url);
		tap_is_string(endpoint.path, cases[i].path, "%s: path", cases[i].url);
	}
}

static void
test_refused(void)
{
	/* With a word of the reason: an administrator reads it, so it must be the right one. */
	static const struct
	{
		const char *url;
		const char *reason;
	} cases[] = {
		{"", "begin with"},
		{"example.com", "begin with"},
		{"//example.com", "begin with"},
		{"ftp://example.com", "begin with"},
		{"file:///etc/passwd", "begin with"},
		{"httpss://example.com", "begin with"},
		{"https:/example.com", "begin with"},
		{"https:example.com", "begin with"},
		{" https://example.com", "begin with"},
		{"\thttps://example.com", "begin with"},
		{"javascript:https://example.com", "begin with"},

		{"https://user@example.com", "user"},
		{"https://user:secret@example.com", "user"},
		{"https://@example.com", "user"},
		{"https://example.com@169.254.169.254", "user"},
		{"https://example.com:443@169.254.169.254/", "user"},

		{"https://example.com?x=1", "query"},
		{"https://example.com/?x=1", "query"},
		{"https://example.com/a?", "query"},
		{"https://example.com#f", "query"},
		{"https://example.com/#", "query"},

		{"https://", "host"},
		{"https:///path", "host"},
		{"https://:443", "host"},
		{"https://.", "host"},
		{"https://example..com", "host"},
		{"https://.example.com", "host"},
		{"https://example.com.", "host"},
		{"https://exa mple.com", "host"},
		{"https:// example.com", "host"},
		{"https://example.com ", "host"},
		{"https://example.com\n", "host"},
		{"https://example.com\r\nX-Evil: 1", "host"},
		{"https://exa\tmple.com", "host"},
		{"https://ex\xC3\xA4mple.com", "host"},
		{"https://example.com\\evil", "host"},
		{"https://example%2ecom", "host"},
		{"https://exam*ple.com", "host"},
		{"https://example.com,evil.com", "host"},
		{"https://[::1", "host"},
		{"https://::1", "host"},
		{"https://::1]", "host"},
		{"https://[]", "host"},
		{"https://[]:443", "host"},
		{"https://[::g]", "host"},
		{"https://[fe80::1%25eth0]", "host"},
		{"https://[::1].example.com.[::1]", "host"},
		{"https://example.com[::1]", "host"},
		/* Behind the bracket only a colon may follow. */
		{"https://[::1]8443", "host"},
		{"https://[::1]x8443", "host"},
		{"https://[::1]x:8443", "host"},
		{"https://[::1]]:8443", "host"},
		{"https://[::1]x", "host"},

		{"https://example.com:", "port"},
		{"https://example.com:/", "port"},
		{"https://example.com:0", "port"},
		{"https://example.com:00", "port"},
		{"https://example.com:65536", "port"},
		{"https://example.com:99999", "port"},
		{"https://example.com:4294967739", "port"},
		{"https://example.com:18446744073709552059", "port"},
		{"https://example.com:http", "port"},
		{"https://example.com:44x", "port"},
		{"https://example.com:-443", "port"},
		{"https://example.com:+443", "port"},
		{"https://example.com: 443", "port"},
		{"https://example.com:443 ", "port"},
		{"https://example.com:443\n", "port"},
		{"https://example.com:443:443", "port"},
		{"https://[::1]:", "port"},
		{"https://[::1]:0", "port"},
		{"https://[::1]:65536", "port"},

		{"https://example.com/a b", "path"},
		{"https://example.com/a\n", "path"},
		{"https://example.com/a\r\nX-Evil: 1", "path"},
		{"https://example.com/\xC3\xA4", "path"},
		{"https://example.com/a\\b", "path"},
		{"https://example.com/a\"b", "path"},
		{"https://example.com/a@b", "path"},
		{"https://example.com//", "path"},
		{"https://example.com//a", "path"},
		{"https://example.com/a//b", "path"},
		{"https://example.com/../a", "path"},
		{"https://example.com/a/../b", "path"},
		{"https://example.com/a/./b", "path"},
		/* A request's own path follows, so a dot segment at the end would be one in the middle. */
		{"https://example.com/..", "path"},
		{"https://example.com/.", "path"},
		{"https://example.com/a/..", "path"},
		{"https://example.com/a/.", "path"},
		{"https://example.com/a/../", "path"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		AwsEndpoint endpoint;
		const char *problem;
		bool taken = parse(cases[i].url, &endpoint, &problem);

		if (!tap_ok(!taken && problem != NULL && strstr(problem, cases[i].reason) != NULL,
					"%s is refused for its %s", cases[i].url, cases[i].reason))
			printf("# it %s\n", taken ? "is taken" : problem);
	}
}

static void
test_sizes(void)
{
	AwsEndpoint endpoint;
	const char *problem;
	char url[2048];
	char label[65];
	char path[ENDPOINT_PATH_SIZE + 2];
	bool safe = true;

	memset(label, 'x', sizeof(label));
	label[64] = '\0';
	snprintf(url, sizeof(url), "http://%.63s.example.com", label);
	tap_ok(parse(url, &endpoint, &problem), "a label of 63 bytes is taken");
	snprintf(url, sizeof(url), "http://%.64s.example.com", label);
	tap_ok(!parse(url, &endpoint, &problem), "one of 64 bytes is refused");

	/* 3 × 64 + 61 = 253, the most that DNS has. */
	snprintf(url, sizeof(url), "http://%.63s.%.63s.%.63s.%.61s:65535", label, label, label, label);
	tap_ok(parse(url, &endpoint, &problem), "a host of 253 bytes is taken");
	tap_is_int((int64_t) strlen(endpoint.host), 253 + 6, "with its port");
	snprintf(url, sizeof(url), "http://%.63s.%.63s.%.63s.%.62s", label, label, label, label);
	tap_ok(!parse(url, &endpoint, &problem), "a host of 254 bytes is refused");

	/* The path's room, its NUL included. */
	memset(path, 'p', sizeof(path));
	path[0] = '/';
	path[ENDPOINT_PATH_SIZE - 1] = '\0';
	snprintf(url, sizeof(url), "http://example.com%s", path);
	tap_ok(parse(url, &endpoint, &problem), "a path of %d bytes is taken", ENDPOINT_PATH_SIZE - 1);
	tap_is_string(endpoint.path, path, "and kept whole");
	snprintf(url, sizeof(url), "http://example.com%s/", path);
	tap_ok(parse(url, &endpoint, &problem), "a slash at its end needs no room");
	tap_is_string(endpoint.path, path, "and is dropped");
	snprintf(url, sizeof(url), "http://example.com%sp", path);
	tap_ok(!parse(url, &endpoint, &problem), "a path of %d bytes is refused", ENDPOINT_PATH_SIZE);

	/* Brackets hold more than any address; the host's own room is what bounds them. */
	for (size_t length = 200; length < 400; length++)
	{
		char address[512];

		memset(address, ':', sizeof(address));
		snprintf(url, sizeof(url), "http://[%.*s]:65535", (int) length, address);
		if (parse(url, &endpoint, &problem))
			safe = safe && memchr(endpoint.host, '\0', sizeof(endpoint.host)) != NULL &&
				   strlen(endpoint.host) == length + 8;
	}
	tap_ok(safe, "a host in brackets is kept whole or refused at any length");
}

static void
test_addresses(void)
{
	static const struct
	{
		const char *url;
		bool is_address;
	} cases[] = {
		{"http://127.0.0.1", true},
		{"http://127.0.0.1:4566", true},
		{"https://10.0.0.255/path", true},
		{"http://[::1]", true},
		{"http://[::1]:4566", true},
		{"http://localhost", false},
		{"http://localhost:4566", false},
		{"https://example.com", false},
		{"https://1.2.3.4.example.com", false},
		{"https://1.2.3.4x:80", false},
		{"https://athena.us-east-1.amazonaws.com", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		AwsEndpoint endpoint;
		const char *problem;

		tap_ok(parse(cases[i].url, &endpoint, &problem) &&
				   aws_endpoint_is_address(&endpoint) == cases[i].is_address,
			   "%s %s an address", cases[i].url, cases[i].is_address ? "is" : "is not");
	}
}

static void
test_regions(void)
{
	static const char *const valid[] = {
		"us-east-1", "eusc-de-east-1", "x", "local", "a--b", "1", LONGEST,
	};
	/* Each of these would end the label, and could so choose another host for the keys to go to. */
	static const char *const refused[] = {
		"",
		"-us-east-1",
		"us-east-1-",
		"-",
		"us-east-1.",
		"us.east.1",
		"us-east-1.evil.com",
		"us-east-1/",
		"us-east-1/x",
		"us-east-1?",
		"us-east-1#",
		"us-east-1:80",
		"x@evil.com",
		"us_east_1",
		"us-east-1 ",
		" us-east-1",
		"us-east-1\n",
		"us-east-1\r\nX-Evil: 1",
		"us-east-\xC3\xA4",
		"us%2deast",
		"%s%n",
		"cn-north-1.evil.com",
		"aws-global.",
		"us-east-1@evil.com",
		"us-east-1\\evil",
		"dualstack.us-east-1",
		"[::1]",
		LONGEST "x",
	};

	for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
		tap_ok(aws_region_is_valid(valid[i]), "region \"%s\" is valid", valid[i]);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
	{
		static const char *const services[] = {"athena", "sts", "s3"};
		static const char *const urls[] = {NULL, "https://example.com"};
		bool taken = aws_region_is_valid(refused[i]);

		/* At every service and by every way to a host. At a custom URL it would be signed for. */
		for (int choice = 0; choice < 3 * 2 * 8; choice++)
		{
			AwsEndpointQuery query =
				make_query(services[choice / 16], refused[i], choice % 8, urls[choice / 8 % 2]);
			AwsEndpoint endpoint;
			const char *problem;

			/* None at all is not hostile: the services' cases say where it is taken. */
			if (refused[i][0] != '\0' || query.url == NULL)
				taken = taken || resolve(&query, &endpoint, &problem) || problem == NULL;
		}
		tap_ok(!taken, "region \"%s\" is refused everywhere", refused[i]);
	}
}

/* What AWS's cases leave open, by the same rules. */
static void
test_resolve(void)
{
	static const struct
	{
		const char *service;
		const char *region;
		int options;
		const char *custom;
		const char *url;
		const char *signing_region;
	} cases[] = {
		/* S3 says dual-stack in front of the region, and never has another suffix. */
		{"s3", "us-west-2", 0, NULL, "https://s3.us-west-2.amazonaws.com", "us-west-2"},
		{"s3", "us-east-1", 0, NULL, "https://s3.us-east-1.amazonaws.com", "us-east-1"},
		{"s3", "us-west-2", DUAL, NULL, "https://s3.dualstack.us-west-2.amazonaws.com",
		 "us-west-2"},
		{"s3", "us-west-2", FIPS, NULL, "https://s3-fips.us-west-2.amazonaws.com", "us-west-2"},
		{"s3", "us-west-2", FIPS | DUAL, NULL, "https://s3-fips.dualstack.us-west-2.amazonaws.com",
		 "us-west-2"},
		{"s3", "cn-north-1", 0, NULL, "https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1"},
		{"s3", "cn-north-1", DUAL, NULL, "https://s3.dualstack.cn-north-1.amazonaws.com.cn",
		 "cn-north-1"},
		{"s3", "us-gov-west-1", FIPS, NULL, "https://s3-fips.us-gov-west-1.amazonaws.com",
		 "us-gov-west-1"},
		{"s3", "us-iso-east-1", FIPS | DUAL, NULL,
		 "https://s3-fips.dualstack.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"},
		{"s3", "eusc-de-east-1", DUAL, NULL, "https://s3.dualstack.eusc-de-east-1.amazonaws.eu",
		 "eusc-de-east-1"},

		/* S3's global host; where FIPS or dual-stack has none, the region that it stands for. */
		{"s3", "aws-global", 0, NULL, "https://s3.amazonaws.com", "us-east-1"},
		{"s3", "aws-global", DUAL, NULL, "https://s3.dualstack.us-east-1.amazonaws.com",
		 "us-east-1"},
		{"s3", "aws-global", FIPS, NULL, "https://s3-fips.us-east-1.amazonaws.com", "us-east-1"},
		{"s3", "aws-global", FIPS | DUAL, NULL, "https://s3-fips.dualstack.us-east-1.amazonaws.com",
		 "us-east-1"},
		{"s3", "aws-global", 0, "https://example.com", "https://example.com", "us-east-1"},

		/* The rules have these names too. Nothing answers there, but nothing else is asked either. */
		{"athena", "aws-global", 0, NULL, "https://athena.aws-global.amazonaws.com", "us-east-1"},
		{"sts", "aws-global", FIPS | DUAL, NULL, "https://sts-fips.aws-global.api.aws",
		 "us-east-1"},

		/* A region that nobody has heard of yet. */
		{"athena", "xy-new-9", 0, NULL, "https://athena.xy-new-9.amazonaws.com", "xy-new-9"},
		{"athena", "cn-new-42", 0, NULL, "https://athena.cn-new-42.amazonaws.com.cn", "cn-new-42"},
		{"athena", "x", 0, NULL, "https://athena.x.amazonaws.com", "x"},

		/* A partition's pattern is for the whole of a region. */
		{"athena", "cnx-north-1", 0, NULL, "https://athena.cnx-north-1.amazonaws.com",
		 "cnx-north-1"},
		{"athena", "us-isox-1", 0, NULL, "https://athena.us-isox-1.amazonaws.com", "us-isox-1"},
		{"athena", "x-cn-north-1", 0, NULL, "https://athena.x-cn-north-1.amazonaws.com",
		 "x-cn-north-1"},
		{"athena", "cn", 0, NULL, "https://athena.cn.amazonaws.com", "cn"},
		{"athena", "cn-north", 0, NULL, "https://athena.cn-north.amazonaws.com", "cn-north"},
		{"athena", "cn--1", 0, NULL, "https://athena.cn--1.amazonaws.com", "cn--1"},
		{"athena", "cn-north-1x", 0, NULL, "https://athena.cn-north-1x.amazonaws.com",
		 "cn-north-1x"},
		{"athena", "cn-north-east-1", 0, NULL, "https://athena.cn-north-east-1.amazonaws.com",
		 "cn-north-east-1"},
		{"athena", "eusc-xx-east-1", 0, NULL, "https://athena.eusc-xx-east-1.amazonaws.com",
		 "eusc-xx-east-1"},

		/* A host is lower case; what is signed for stays as it was typed. */
		{"athena", "Local", 0, NULL, "https://athena.local.amazonaws.com", "Local"},

		/* The longest region. */
		{"athena", LONGEST, FIPS, NULL, "https://athena-fips." LONGEST ".amazonaws.com", LONGEST},

		/* A URL is taken as it is. */
		{"athena", "local", 0, "http://127.0.0.1:4566/a/", "http://127.0.0.1:4566/a", "local"},
		{"s3", "us-west-2", 0, "http://minio:9000", "http://minio:9000", "us-west-2"},
		{"sts", "aws-global", 0, "https://example.com", "https://example.com", "us-east-1"},
		{"s3", "us-west-2", 0, "", "https://s3.us-west-2.amazonaws.com", "us-west-2"},
	};
	static const struct
	{
		const char *service;
		const char *region;
		int options;
		const char *custom;
		const char *problem;
	} refused[] = {
		{"athena", "", 0, NULL, "the region is missing"},
		{"s3", "", 0, NULL, "the region is missing"},
		{"s3", "", 0, "https://example.com", "the region is missing"},
		{"athena", "us_east_1", 0, NULL, "the region is not a valid DNS name"},
		{"s3", "us.east.1", 0, "https://example.com", "the region is not a valid DNS name"},
		{"s3", "cn-north-1", FIPS, NULL, "the region's partition does not support FIPS"},
		{"s3", "aws-cn-global", FIPS | DUAL, NULL, "the region's partition does not support FIPS"},
		{"s3", "us-west-2", FIPS, "https://example.com",
		 "FIPS and a custom endpoint cannot be combined"},
		{"s3", "us-west-2", DUAL, "https://example.com",
		 "dual-stack and a custom endpoint cannot be combined"},
		{"athena", "us-west-2", 0, "example.com", "the custom endpoint is not a valid URL"},
		{"sts", "", 0, "https://user@example.com", "the custom endpoint is not a valid URL"},
		{"s3", "us-west-2", 0, "https://", "the custom endpoint is not a valid URL"},
		{"ec2", "us-west-2", 0, NULL, "the service has no known endpoints"},
		{"", "us-west-2", 0, "https://example.com", "the service has no known endpoints"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		AwsEndpointQuery query =
			make_query(cases[i].service, cases[i].region, cases[i].options, cases[i].custom);
		const char *name = describe(&query);
		AwsEndpoint endpoint;
		AwsEndpoint expected;
		const char *problem;

		if (!tap_ok(resolve(&query, &endpoint, &problem), "%s has an endpoint", name))
		{
			printf("# %s\n", problem);
			continue;
		}
		tap_ok(parse(cases[i].url, &expected, &problem) && endpoint.tls == expected.tls, "%s: TLS",
			   name);
		tap_is_string(endpoint.host, expected.host, "%s: host", name);
		tap_is_string(endpoint.path, expected.path, "%s: path", name);
		tap_is_string(endpoint.signing_region, cases[i].signing_region, "%s: signed for", name);
	}
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
	{
		AwsEndpointQuery query = make_query(refused[i].service, refused[i].region,
											refused[i].options, refused[i].custom);
		const char *name = describe(&query);
		AwsEndpoint endpoint;
		const char *problem;

		tap_ok(!resolve(&query, &endpoint, &problem), "%s is refused", name);
		tap_is_string(problem, refused[i].problem, "%s: problem", name);
	}
}

/* The next case, but for those of STS's endpoint of old (UseGlobalEndpoint), which nobody can ask for here. */
static bool
next_case(JsonCursor *cases, JsonValue *test_case)
{
	while (json_next_element(cases, test_case))
	{
		if (!vectors_member_is_true(json_member(*test_case, "params"), "UseGlobalEndpoint"))
			return true;
	}
	return false;
}

/* AWS's own cases of a service, as botocore has them. */
static void
test_official_cases(const char *vectors, const char *service)
{
	char file[64];
	char *text;
	size_t length;
	JsonValue document = {0};
	JsonValue test_case;
	JsonCursor cursor;
	const char *problem;
	int used = 0;

	snprintf(file, sizeof(file), "botocore/%s-endpoint-tests.json", service);
	text = vectors_read(vectors, file, &length);
	if (text == NULL)
	{
		tap_skip("AWS's endpoint cases of a service are not here");
		printf("# %s\n", file);
		return;
	}
	tap_ok(json_check(text, length, &document, &problem), "%s can be read", file);
	cursor = json_cursor(json_member(document, "testCases"));
	while (next_case(&cursor, &test_case))
	{
		/* A case without a region, or without any parameters, is one of none given. */
		JsonValue parameters = json_member(test_case, "params");
		JsonValue expected = json_member(test_case, "expect");
		JsonValue expected_endpoint = json_member(expected, "endpoint");
		char *region = vectors_member_string(parameters, "Region");
		char *custom = vectors_member_string(parameters, "Endpoint");
		char *url = vectors_member_string(expected_endpoint, "url");
		char *error = vectors_member_string(expected, "error");
		JsonCursor schemes =
			json_cursor(json_member(json_member(expected_endpoint, "properties"), "authSchemes"));
		JsonValue scheme = {0};
		char *signing_region;
		AwsEndpointQuery query = {
			.service = service,
			.region = region != NULL ? region : "",
			.url = custom,
			.use_fips = vectors_member_is_true(parameters, "UseFIPS"),
			.use_dualstack = vectors_member_is_true(parameters, "UseDualStack"),
		};
		const char *name = describe(&query);
		AwsEndpoint endpoint;
		AwsEndpoint parsed;
		bool resolved = resolve(&query, &endpoint, &problem);

		json_next_element(&schemes, &scheme);
		signing_region = vectors_member_string(scheme, "signingRegion");
		if (error != NULL)
			tap_ok(!resolved && problem != NULL, "%s is refused: %s", name, error);
		else
			/* Where a case names no signing region, it is the region. */
			tap_ok(resolved && url != NULL && parse(url, &parsed, &problem) &&
					   endpoint.tls == parsed.tls && strcmp(endpoint.host, parsed.host) == 0 &&
					   strcmp(endpoint.path, parsed.path) == 0 &&
					   strcmp(endpoint.signing_region,
							  signing_region != NULL ? signing_region : query.region) == 0,
				   "%s is at %s, signed for \"%s\"", name, url != NULL ? url : "(nowhere)",
				   signing_region != NULL ? signing_region : query.region);
		used++;
		free(region);
		free(custom);
		free(url);
		free(error);
		free(signing_region);
	}
	tap_ok(used > 0, "%s has cases (%d)", file, used);
	free(text);
}

/* Every region of every partition that botocore knows, with and without FIPS and dual-stack. */
static void
test_partitions(const char *vectors)
{
	size_t length;
	char *text = vectors_read(vectors, "botocore/partitions.json", &length);
	JsonValue document = {0};
	JsonValue partition;
	JsonCursor partitions;
	const char *problem;
	int used = 0;

	if (text == NULL)
	{
		tap_skip("botocore's partitions are not here");
		return;
	}
	tap_ok(json_check(text, length, &document, &problem), "botocore's partitions can be read");
	partitions = json_cursor(json_member(document, "partitions"));
	while (json_next_element(&partitions, &partition))
	{
		JsonValue outputs = json_member(partition, "outputs");
		bool supports_fips = vectors_member_is_true(outputs, "supportsFIPS");
		bool supports_dual_stack = vectors_member_is_true(outputs, "supportsDualStack");
		char *suffix = vectors_member_string(outputs, "dnsSuffix");
		char *dual_stack_suffix = vectors_member_string(outputs, "dualStackDnsSuffix");
		JsonCursor regions = json_cursor(json_member(partition, "regions"));
		JsonValue key;
		JsonValue region_value;

		while (json_next_member(&regions, &key, &region_value))
		{
			char *region = vectors_string(key);

			for (int options = 0; options <= (FIPS | DUAL); options++)
			{
				AwsEndpointQuery query = make_query("athena", region, options, NULL);
				const char *name = describe(&query);
				char expected[512];
				AwsEndpoint endpoint;

				snprintf(expected, sizeof(expected), "athena%s.%s.%s",
						 query.use_fips ? "-fips" : "", region,
						 query.use_dualstack ? dual_stack_suffix : suffix);
				if ((query.use_fips && !supports_fips) ||
					(query.use_dualstack && !supports_dual_stack))
					tap_ok(!resolve(&query, &endpoint, &problem), "%s is refused", name);
				else if (tap_ok(resolve(&query, &endpoint, &problem), "%s has an endpoint", name))
					tap_is_string(endpoint.host, expected, "%s: host", name);
			}
			free(region);
			used++;
		}
		free(suffix);
		free(dual_stack_suffix);
	}
	tap_ok(used > 0, "botocore's file has regions (%d)", used);
	free(text);
}

int
main(int argc, char **argv)
{
	const char *vectors = argc > 1 ? argv[1] : NULL;

	test_valid();
	test_refused();
	test_sizes();
	test_addresses();
	test_regions();
	test_resolve();
	test_official_cases(vectors, "athena");
	test_official_cases(vectors, "sts");
	test_partitions(vectors);
	return tap_finish();
}
