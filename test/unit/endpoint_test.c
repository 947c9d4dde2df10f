/*
 * endpoint_test.c
 *		Where a service answers: URLs taken apart or refused, and AWS's own host names.
 *
 * Usage: endpoint_test [VECTORS]; VECTORS holds botocore/athena-endpoint-tests.json and
 * botocore/partitions.json as botocore has them.
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
		"us-east-1",
		"eusc-de-east-1",
		"x",
		"local",
		"a--b",
		"1",
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", /* 63 */
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
		"[::1]",
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", /* 64 */
	};
	static const struct
	{
		const char *service;
		const char *region;
		const char *host;
	} hosts[] = {
		{"athena", "us-east-1", "athena.us-east-1.amazonaws.com"},
		{"s3", "eu-central-1", "s3.eu-central-1.amazonaws.com"},
		{"sts", "cn-north-1", "sts.cn-north-1.amazonaws.com.cn"},
		{"athena", "us-gov-west-1", "athena.us-gov-west-1.amazonaws.com"},
		{"athena", "eusc-de-east-1", "athena.eusc-de-east-1.amazonaws.eu"},
		{"athena", "us-iso-west-1", "athena.us-iso-west-1.c2s.ic.gov"},
		{"athena", "us-isob-east-1", "athena.us-isob-east-1.sc2s.sgov.gov"},
		{"athena", "eu-isoe-west-1", "athena.eu-isoe-west-1.cloud.adc-e.uk"},
		{"athena", "us-isof-south-1", "athena.us-isof-south-1.csp.hci.ic.gov"},
		/* A region that nobody has heard of yet is one of the largest partition's. */
		{"athena", "xy-new-9", "athena.xy-new-9.amazonaws.com"},
		/* Only the beginning counts, and the whole of it. */
		{"athena", "cnx-north-1", "athena.cnx-north-1.amazonaws.com"},
		{"athena", "us-isox-1", "athena.us-isox-1.amazonaws.com"},
		{"athena", "x-cn-north-1", "athena.x-cn-north-1.amazonaws.com"},
	};

	for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
		tap_ok(aws_region_is_valid(valid[i]), "region \"%s\" is valid", valid[i]);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
	{
		AwsEndpoint endpoint;

		tap_ok(!aws_region_is_valid(refused[i]) &&
				   !aws_endpoint_of_region("athena", refused[i], &endpoint),
			   "region \"%s\" is refused", refused[i]);
	}
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
	{
		AwsEndpoint endpoint;

		memset(&endpoint, 0xAA, sizeof(endpoint));
		tap_ok(aws_endpoint_of_region(hosts[i].service, hosts[i].region, &endpoint) &&
				   endpoint.tls && endpoint.path[0] == '\0',
			   "%s in %s answers at the root, with TLS", hosts[i].service, hosts[i].region);
		tap_is_string(endpoint.host, hosts[i].host, "%s in %s", hosts[i].service, hosts[i].region);
	}
}

/* botocore's own cases, where the URL follows from the region alone. */
static void
test_athena_cases(const char *vectors)
{
	size_t length;
	char *text = vectors_read(vectors, "botocore/athena-endpoint-tests.json", &length);
	JsonValue document = {0};
	JsonValue test_case;
	JsonCursor cursor;
	const char *problem;
	int used = 0;

	if (text == NULL)
	{
		tap_skip("botocore's Athena endpoint cases are not here");
		return;
	}
	tap_ok(json_check(text, length, &document, &problem), "botocore's cases can be read");
	cursor = json_cursor(json_member(document, "testCases"));
	while (json_next_element(&cursor, &test_case))
	{
		JsonValue parameters = json_member(test_case, "params");
		JsonValue expected = json_member(test_case, "expect");
		char *region = vectors_member_string(parameters, "Region");
		char *url = vectors_member_string(json_member(expected, "endpoint"), "url");

		if (region != NULL && url != NULL && json_member(parameters, "Endpoint").length == 0 &&
			!vectors_member_is_true(parameters, "UseFIPS") &&
			!vectors_member_is_true(parameters, "UseDualStack"))
		{
			AwsEndpoint endpoint = {0};
			AwsEndpoint parsed = {0};

			tap_ok(aws_endpoint_of_region("athena", region, &endpoint) &&
					   aws_endpoint_parse(url, &parsed, &problem) &&
					   memcmp(&endpoint, &parsed, sizeof(endpoint)) == 0,
				   "Athena in %s answers at %s", region, url);
			used++;
		}
		free(region);
		free(url);
	}
	tap_ok(used > 0, "botocore's file has such cases (%d)", used);
	free(text);
}

/* Every region of every partition that botocore knows. */
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
		char *suffix = vectors_member_string(json_member(partition, "outputs"), "dnsSuffix");
		JsonCursor regions = json_cursor(json_member(partition, "regions"));
		JsonValue key;
		JsonValue region_value;

		while (json_next_member(&regions, &key, &region_value))
		{
			char *region = vectors_string(key);
			char expected[512];
			AwsEndpoint endpoint = {0};

			/* "aws-cn-global" and the like are names for a partition; nothing answers there. */
			if (strstr(region, "-global") == NULL)
			{
				snprintf(expected, sizeof(expected), "athena.%s.%s", region, suffix);
				aws_endpoint_of_region("athena", region, &endpoint);
				tap_is_string(endpoint.host, expected, "the partition of %s", region);
				used++;
			}
			free(region);
		}
		free(suffix);
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
	test_athena_cases(vectors);
	test_partitions(vectors);
	return tap_finish();
}
