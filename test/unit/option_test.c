/*
 * option_test.c
 *		What can be configured about AWS: the table's rows, and what each option may be.
 */
#include "aws/option.h"

#include <stdlib.h>

#include "tap.h"

/* What is wrong with a value, looked at in a copy of exactly its size, so that a read past its end is caught. */
static const char *
problem_of(AwsOption option, const char *value)
{
	char *copy = strdup(value);
	const char *problem = aws_options[option].problem(copy);

	free(copy);
	return problem;
}

static void
is_good(AwsOption option, const char *value)
{
	const char *problem = problem_of(option, value);

	tap_ok(problem == NULL, "%s may be \"%.100s\"", aws_options[option].name, value);
	if (problem != NULL)
		printf("# it was refused: it %s\n", problem);
}

/* `part` is of what is said against it. */
static void
is_bad(AwsOption option, const char *value, const char *part)
{
	const char *problem = problem_of(option, value);

	tap_ok(problem != NULL && strstr(problem, part) != NULL, "%s may not be \"%.100s\": ... %s ...",
		   aws_options[option].name, value, part);
	if (problem != NULL && strstr(problem, part) == NULL)
		printf("# said was: it %s\n", problem);
}

/* A string of so many of one character; the caller frees it. */
static char *
repeated(const char *begin, char c, size_t length)
{
	size_t first = strlen(begin);
	char *string = malloc(first + length + 1);

	memcpy(string, begin, first);
	memset(string + first, c, length);
	string[first + length] = '\0';
	return string;
}

/* The longest that is allowed, and one more, where `begin` and so many of c are the longest. */
static void
check_longest(AwsOption option, const char *begin, char c, size_t length, const char *part)
{
	char *longest = repeated(begin, c, length);
	char *too_long = repeated(begin, c, length + 1);

	tap_ok(problem_of(option, longest) == NULL, "%s may have %zu bytes", aws_options[option].name,
		   strlen(longest));
	is_bad(option, too_long, part);
	free(longest);
	free(too_long);
}

static bool
is_name(const char *name)
{
	return name[0] != '\0' && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

static void
test_rows(void)
{
	for (int i = 0; i < AWS_OPTION_COUNT; i++)
	{
		const AwsOptionRule *rule = &aws_options[i];
		int flags = rule->flags;

		if (!tap_ok(rule->name != NULL && is_name(rule->name), "row %d has a name", i))
			continue;
		tap_ok(rule->subject != NULL && rule->subject[0] != '\0', "%s has a subject", rule->name);
		tap_ok(rule->problem != NULL, "%s has a rule", rule->name);
		tap_ok(rule->hint == NULL || rule->hint[0] != '\0', "a hint of %s says something",
			   rule->name);
		tap_is_int(aws_option_find(rule->name), i, "%s is found, and is the only one", rule->name);
		tap_ok(!(flags & AWS_OPTION_SECRET) || (flags & AWS_OPTION_NOT_REPEATED),
			   "%s, if it is a secret, is not repeated", rule->name);
		tap_ok(!(flags & AWS_OPTION_FOR_SUPERUSERS) ||
				   (flags & (AWS_OPTION_OF_SERVER | AWS_OPTION_OF_MAPPING)),
			   "%s, if superusers alone may set it, is an option of a server or a mapping",
			   rule->name);
		for (int v = 0; v < AWS_OPTION_VARIABLES && rule->variables[v] != NULL; v++)
			tap_ok(strncmp(rule->variables[v], "AWS_", 4) == 0, "%s is a variable of AWS's",
				   rule->variables[v]);
	}
}

/* The names of the options with these flags and without those, one behind the other. */
static void
is_list(int with, int without, const char *expected, const char *name)
{
	char list[1024] = "";

	for (int i = 0; i < AWS_OPTION_COUNT; i++)
	{
		if ((aws_options[i].flags & with) == with && !(aws_options[i].flags & without))
		{
			strcat(list, list[0] != '\0' ? " " : "");
			strcat(list, aws_options[i].name);
		}
	}
	tap_is_string(list, expected, "%s", name);
}

static void
test_flags(void)
{
	is_list(AWS_OPTION_SECRET, 0, "secret_access_key session_token container_authorization_token",
			"what is never shown");
	is_list(AWS_OPTION_OF_SERVER, AWS_OPTION_FOR_SUPERUSERS, "region work_group",
			"what anybody's server may have");
	is_list(
		AWS_OPTION_OF_SERVER | AWS_OPTION_FOR_SUPERUSERS, 0,
		"endpoint_url s3_endpoint_url sts_endpoint_url use_fips_endpoint use_dualstack_endpoint "
		"ca_bundle credential_provider role_arn role_session_name external_id profile",
		"what a superuser's server may have, too");
	is_list(AWS_OPTION_OF_MAPPING, AWS_OPTION_FOR_SUPERUSERS,
			"access_key_id secret_access_key session_token",
			"what anybody's user mapping may have");
	is_list(AWS_OPTION_OF_MAPPING | AWS_OPTION_FOR_SUPERUSERS, 0,
			"role_arn role_session_name external_id",
			"what it may have with keys, or of a superuser");
	is_list(AWS_OPTION_NOT_REPEATED, 0,
			"access_key_id secret_access_key session_token endpoint_url s3_endpoint_url "
			"sts_endpoint_url container_credentials_full_uri container_authorization_token "
			"ec2_metadata_service_endpoint",
			"what no message repeats");
}

static void
test_variables(void)
{
	static const struct
	{
		AwsOption option;
		const char *variables[AWS_OPTION_VARIABLES];
	} cases[] = {
		{AWS_OPTION_REGION, {"AWS_REGION", "AWS_DEFAULT_REGION"}},
		{AWS_OPTION_PROFILE, {"AWS_PROFILE", "AWS_DEFAULT_PROFILE"}},
		{AWS_OPTION_ENDPOINT_URL, {"AWS_ENDPOINT_URL_ATHENA", "AWS_ENDPOINT_URL"}},
		{AWS_OPTION_S3_ENDPOINT_URL, {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}},
		{AWS_OPTION_STS_ENDPOINT_URL, {"AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"}},
		{AWS_OPTION_CA_BUNDLE, {"AWS_CA_BUNDLE", NULL}},
		/* Keys are a source of credentials: one alone stands in for nothing. */
		{AWS_OPTION_ACCESS_KEY_ID, {NULL, NULL}},
		{AWS_OPTION_SECRET_ACCESS_KEY, {NULL, NULL}},
		{AWS_OPTION_SESSION_TOKEN, {NULL, NULL}},
		/* AWS has none for these. */
		{AWS_OPTION_WORK_GROUP, {NULL, NULL}},
		{AWS_OPTION_CREDENTIAL_PROVIDER, {NULL, NULL}},
		{AWS_OPTION_EXTERNAL_ID, {NULL, NULL}},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		for (int v = 0; v < AWS_OPTION_VARIABLES; v++)
			tap_is_string(aws_options[cases[i].option].variables[v], cases[i].variables[v],
						  "variable %d of %s", v + 1, aws_options[cases[i].option].name);
	}
}

static void
test_keys(void)
{
	is_good(AWS_OPTION_ACCESS_KEY_ID, "AKIAIOSFODNN7EXAMPLE");
	is_good(AWS_OPTION_ACCESS_KEY_ID, "!~");
	is_bad(AWS_OPTION_ACCESS_KEY_ID, "two words", "without spaces");
	is_bad(AWS_OPTION_ACCESS_KEY_ID, "two\r\nlines", "line breaks");
	is_bad(AWS_OPTION_ACCESS_KEY_ID, "caf\xC3\xA9", "ASCII");
	is_bad(AWS_OPTION_ACCESS_KEY_ID, "AK/ID", "slashes");
	is_bad(AWS_OPTION_ACCESS_KEY_ID, "AK,ID", "commas");
	is_bad(AWS_OPTION_ACCESS_KEY_ID, "AK=ID", "equals signs");
	is_bad(AWS_OPTION_ACCESS_KEY_ID, "AKID\x7F", "printable");

	/* A secret is hashed, not sent: only what hints at an accident is refused. */
	is_good(AWS_OPTION_SECRET_ACCESS_KEY, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
	is_good(AWS_OPTION_SECRET_ACCESS_KEY, "two words and caf\xC3\xA9");
	is_bad(AWS_OPTION_SECRET_ACCESS_KEY, "with its line break\n", "line breaks");
	is_bad(AWS_OPTION_SECRET_ACCESS_KEY, "tab\tbed", "control characters");
	is_bad(AWS_OPTION_SECRET_ACCESS_KEY, "\x7F", "control characters");

	is_good(AWS_OPTION_SESSION_TOKEN, "IQoJb3JpZ2luX2VjEN//////////wEaCXVzLWVhc3QtMSJ+==");
	is_bad(AWS_OPTION_SESSION_TOKEN, "two words", "without spaces");
	is_bad(AWS_OPTION_SESSION_TOKEN, "token\n", "line breaks");
	is_bad(AWS_OPTION_SESSION_TOKEN, "\xFF", "ASCII");

	is_good(AWS_OPTION_CONTAINER_AUTHORIZATION_TOKEN, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
	is_bad(AWS_OPTION_CONTAINER_AUTHORIZATION_TOKEN, "a\r\nX-Forged: b", "line breaks");
}

static void
test_places(void)
{
	static const AwsOption endpoints[] = {AWS_OPTION_ENDPOINT_URL, AWS_OPTION_S3_ENDPOINT_URL,
										  AWS_OPTION_STS_ENDPOINT_URL,
										  AWS_OPTION_EC2_METADATA_SERVICE_ENDPOINT};

	is_good(AWS_OPTION_REGION, "us-east-1");
	is_good(AWS_OPTION_REGION, "aws-global");
	is_bad(AWS_OPTION_REGION, "us-east-1.evil.example", "letters, digits and hyphens");
	is_bad(AWS_OPTION_REGION, "us east", "letters, digits and hyphens");
	is_bad(AWS_OPTION_REGION, "-east", "letters, digits and hyphens");
	is_bad(AWS_OPTION_REGION, "us-east-1\n", "letters, digits and hyphens");
	check_longest(AWS_OPTION_REGION, "", 'a', 63, "letters, digits and hyphens");

	for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++)
	{
		is_good(endpoints[i], "http://[fd00:ec2::254]");
		is_good(endpoints[i], "https://host:8443/base/");
		is_bad(endpoints[i], "host:8443", "must begin with https:// or http://");
		is_bad(endpoints[i], "ftp://host", "must begin with https:// or http://");
		is_bad(endpoints[i], "https://user:password@host", "must not name a user");
		is_bad(endpoints[i], "https://host/?a=b", "query");
		is_bad(endpoints[i], "https://host:0", "port");
		is_bad(endpoints[i], "https://", "host");
		is_bad(endpoints[i], "https://host/\r\nX: y", "path");
	}

	is_good(AWS_OPTION_CONTAINER_CREDENTIALS_RELATIVE_URI, "/v2/credentials/b1a2?x=%20");
	is_bad(AWS_OPTION_CONTAINER_CREDENTIALS_RELATIVE_URI, "v2/credentials", "begins with a slash");
	/* Behind "http://169.254.170.2" it would make that the user of another host. */
	is_bad(AWS_OPTION_CONTAINER_CREDENTIALS_RELATIVE_URI, "@evil.example/", "begins with a slash");
	is_bad(AWS_OPTION_CONTAINER_CREDENTIALS_RELATIVE_URI, ":80/", "begins with a slash");
	is_bad(AWS_OPTION_CONTAINER_CREDENTIALS_RELATIVE_URI, "/two words", "path");
	is_bad(AWS_OPTION_CONTAINER_CREDENTIALS_RELATIVE_URI, "/a\r\nX: y", "path");
	is_bad(AWS_OPTION_CONTAINER_CREDENTIALS_RELATIVE_URI, "/a#b", "path");

	is_good(AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI, "http://127.0.0.1:9000/v1/credentials?id=1");
	is_good(AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI, "https://host?id=1");
	is_good(AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI, "http://[fd00:ec2::23]/v1/credentials");
	is_bad(AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI, "/v1/credentials", "must begin with");
	is_bad(AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI, "ftp://host/", "must begin with");
	is_bad(AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI, "xhttp://host/", "must begin with");
	is_bad(AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI, "http://", "host");
	is_bad(AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI, "http:///v1", "host");
	is_bad(AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI, "http://user@host/", "must not name a user");
	is_bad(AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI, "http://host/a#b", "host and perhaps a path");
	is_bad(AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI, "http://host/two words",
		   "host and perhaps a path");
	is_bad(AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI, "http://host/\r\nX: y",
		   "host and perhaps a path");
}

static void
test_long_host(void)
{
	char *uri = repeated("http://", 'a', 5000);

	/* It is copied to where an endpoint's host has its place. */
	is_bad(AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI, uri, "host");
	free(uri);
	uri = repeated("http://host/", 'a', 5000);
	tap_ok(problem_of(AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI, uri) == NULL, "a long path");
	free(uri);
}

static void
test_files(void)
{
	static const AwsOption files[] = {
		AWS_OPTION_CA_BUNDLE,
		AWS_OPTION_WEB_IDENTITY_TOKEN_FILE,
		AWS_OPTION_SHARED_CREDENTIALS_FILE,
		AWS_OPTION_CONFIG_FILE,
		AWS_OPTION_CONTAINER_AUTHORIZATION_TOKEN_FILE,
		AWS_OPTION_PROFILE,
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
	{
		is_good(files[i], "/etc/with a space/caf\xC3\xA9.pem");
		is_bad(files[i], "/etc/a\nb", "line breaks");
		is_bad(files[i], "a\rb", "line breaks");
	}
}

static void
test_names(void)
{
	is_good(AWS_OPTION_WORK_GROUP, "spark.v3_team-1");
	is_bad(AWS_OPTION_WORK_GROUP, "spark group", "letters, digits, dots");
	is_bad(AWS_OPTION_WORK_GROUP, "spark/group", "letters, digits, dots");
	is_bad(AWS_OPTION_WORK_GROUP, "spark\n", "letters, digits, dots");
	is_bad(AWS_OPTION_WORK_GROUP, "caf\xC3\xA9", "letters, digits, dots");
	check_longest(AWS_OPTION_WORK_GROUP, "", 'w', 128, "128");

	is_good(AWS_OPTION_ROLE_ARN, "arn:aws:iam::123456789012:role/etl");
	is_good(AWS_OPTION_ROLE_ARN, "arn:aws-cn:iam::123456789012:role/a/path/etl@x");
	is_bad(AWS_OPTION_ROLE_ARN, "etl", "is an ARN");
	is_bad(AWS_OPTION_ROLE_ARN, "ARN:aws:iam::123456789012:role/etl", "is an ARN");
	is_bad(AWS_OPTION_ROLE_ARN, "arn:aws:iam::123456789012:role/two words", "is an ARN");
	is_bad(AWS_OPTION_ROLE_ARN, "arn:aws:iam::123456789012:role/etl\n", "is an ARN");
	is_bad(AWS_OPTION_ROLE_ARN, "arn:aws:iam::1:role", "is an ARN");
	is_good(AWS_OPTION_ROLE_ARN, "arn:aws:iam::1:role/");
	check_longest(AWS_OPTION_ROLE_ARN, "arn:aws:iam::123456789012:role/", 'r', 2048 - 31,
				  "is an ARN");

	is_good(AWS_OPTION_ROLE_SESSION_NAME, "ab");
	is_good(AWS_OPTION_ROLE_SESSION_NAME, "etl_+=,.@-9");
	is_bad(AWS_OPTION_ROLE_SESSION_NAME, "a", "2 to 64");
	is_bad(AWS_OPTION_ROLE_SESSION_NAME, "two words", "letters, digits");
	is_bad(AWS_OPTION_ROLE_SESSION_NAME, "a/b", "letters, digits");
	is_bad(AWS_OPTION_ROLE_SESSION_NAME, "a:b", "letters, digits");
	check_longest(AWS_OPTION_ROLE_SESSION_NAME, "", 's', 64, "2 to 64");

	is_good(AWS_OPTION_EXTERNAL_ID, "id");
	is_good(AWS_OPTION_EXTERNAL_ID, "a_+=,.@:/-9");
	is_bad(AWS_OPTION_EXTERNAL_ID, "a", "2 to 1224");
	is_bad(AWS_OPTION_EXTERNAL_ID, "a&b=c", "letters, digits");
	is_bad(AWS_OPTION_EXTERNAL_ID, "two words", "letters, digits");
	check_longest(AWS_OPTION_EXTERNAL_ID, "", 'e', 1224, "2 to 1224");
}

static void
test_providers(void)
{
	static const char *const providers[] = {"auto",    "settings",  "environment", "web_identity",
											"profile", "container", "instance"};

	for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++)
	{
		is_good(AWS_OPTION_CREDENTIAL_PROVIDER, providers[i]);
		tap_ok(strstr(problem_of(AWS_OPTION_CREDENTIAL_PROVIDER, "x"), providers[i]) != NULL,
			   "a refusal names %s", providers[i]);
	}
	is_bad(AWS_OPTION_CREDENTIAL_PROVIDER, "Auto", "is auto");
	is_bad(AWS_OPTION_CREDENTIAL_PROVIDER, "auto ", "is auto");
	is_bad(AWS_OPTION_CREDENTIAL_PROVIDER, "sso", "is auto");
	/* A user mapping is chosen by its server alone. */
	is_bad(AWS_OPTION_CREDENTIAL_PROVIDER, "user mapping", "is auto");
}

static void
test_booleans(void)
{
	static const AwsOption booleans[] = {AWS_OPTION_USE_FIPS_ENDPOINT,
										 AWS_OPTION_USE_DUALSTACK_ENDPOINT,
										 AWS_OPTION_EC2_METADATA_DISABLED};
	static const char *const yes[] = {"true", "on", "yes", "1", "TRUE", "True", "oN"};
	static const char *const no[] = {"false", "off", "no", "0", "FALSE", "False", "nO"};
	static const char *const neither[] = {"t", "2", "true ", " true", "enabled", "truefalse", "-1"};

	for (size_t i = 0; i < sizeof(booleans) / sizeof(booleans[0]); i++)
	{
		for (size_t v = 0; v < sizeof(yes) / sizeof(yes[0]); v++)
		{
			is_good(booleans[i], yes[v]);
			is_good(booleans[i], no[v]);
			is_bad(booleans[i], neither[v], "is true or false");
		}
	}
	for (size_t v = 0; v < sizeof(yes) / sizeof(yes[0]); v++)
	{
		tap_ok(aws_option_is_true(yes[v]), "%s says yes", yes[v]);
		tap_ok(!aws_option_is_true(no[v]), "%s says no", no[v]);
	}
	tap_ok(!aws_option_is_true(""), "nothing does not say yes");
}

static void
test_find(void)
{
	static const char *const unknown[] = {
		"",           "regio",   "regions", "Region", "athena_calc.region",
		"AWS_REGION", "region ", "password"};

	tap_is_int(aws_option_find("region"), AWS_OPTION_REGION, "region is found");
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		tap_is_int(aws_option_find(unknown[i]), AWS_OPTION_COUNT, "\"%s\" is none", unknown[i]);
}

int
main(void)
{
	test_rows();
	test_flags();
	test_variables();
	test_keys();
	test_places();
	test_long_host();
	test_files();
	test_names();
	test_providers();
	test_booleans();
	test_find();
	return tap_finish();
}
