/*
 * option.c
 *		What can be configured about AWS. See option.h.
 *
 * The variables of the environment are those of AWS's SDKs:
 * https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
 */
#include "aws/option.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "aws/endpoint.h"

#define LETTERS_AND_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static const char *const words_for_true[] = {"true", "on", "yes", "1"};
static const char *const words_for_false[] = {"false", "off", "no", "0"};

static const char *const providers[] = {"auto",    "settings",  "environment", "web_identity",
										"profile", "container", "instance"};

#define LENGTH_OF(array) (sizeof(array) / sizeof((array)[0]))

static bool
is_one_of(const char *value, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		if (strcasecmp(value, words[i]) == 0)
			return true;
	}
	return false;
}

/* Whether all characters are printable ASCII, without a space: what can stand in a header as one word. */
static bool
is_printable_word(const char *value)
{
	for (; *value != '\0'; value++)
	{
		if (*value <= 0x20 || *value >= 0x7F)
			return false;
	}
	return true;
}

static bool
has_control_character(const char *value)
{
	for (; *value != '\0'; value++)
	{
		if ((unsigned char) *value < 0x20 || *value == 0x7F)
			return true;
	}
	return false;
}

static bool
has_only(const char *value, size_t least, size_t most, const char *characters)
{
	size_t length = strlen(value);

	return length >= least && length <= most && strspn(value, characters) == length;
}

static const char *
access_key_id_problem(const char *value)
{
	if (is_printable_word(value) && strpbrk(value, "/,=") == NULL)
		return NULL;
	return "must be printable ASCII without spaces, line breaks, slashes, commas or equals signs";
}

static const char *
secret_problem(const char *value)
{
	return has_control_character(value) ? "must not have line breaks or other control characters"
										: NULL;
}

static const char *
token_problem(const char *value)
{
	return is_printable_word(value) ? NULL
									: "must be printable ASCII without spaces or line breaks";
}

static const char *
region_problem(const char *value)
{
	/* A host's name has capitals for small letters, but no signature has. */
	return aws_region_is_valid(value) && strpbrk(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == NULL
			   ? NULL
			   : "has small letters, digits and hyphens only, as in \"us-east-1\"";
}

/* The refusal does not repeat the value: there may be a password in it. */
static const char *
endpoint_problem(const char *value)
{
	AwsEndpoint endpoint;
	const char *problem;

	return aws_endpoint_parse(value, &endpoint, &problem) ? NULL : problem;
}

static const char *
boolean_problem(const char *value)
{
	if (is_one_of(value, words_for_true, LENGTH_OF(words_for_true)) ||
		is_one_of(value, words_for_false, LENGTH_OF(words_for_false)))
		return NULL;
	return "is true or false";
}

static const char *
file_problem(const char *value)
{
	return has_control_character(value) ? "has no line breaks" : NULL;
}

/* https://docs.aws.amazon.com/athena/latest/APIReference/API_StartSession.html */
static const char *
work_group_problem(const char *value)
{
	return has_only(value, 0, 128, LETTERS_AND_DIGITS "._-")
			   ? NULL
			   : "has up to 128 letters, digits, dots, underscores and hyphens";
}

static const char *
provider_problem(const char *value)
{
	for (size_t i = 0; i < LENGTH_OF(providers); i++)
	{
		if (strcmp(value, providers[i]) == 0)
			return NULL;
	}
	return "is auto, settings, environment, web_identity, profile, container or instance";
}

/* https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html has these three limits. */
static const char *
role_problem(const char *value)
{
	if (strncmp(value, "arn:", 4) == 0 && strlen(value) >= 20 && strlen(value) <= 2048 &&
		is_printable_word(value))
		return NULL;
	return "is an ARN, as in \"arn:aws:iam::123456789012:role/etl\"";
}

static const char *
role_session_name_problem(const char *value)
{
	return has_only(value, 2, 64, LETTERS_AND_DIGITS "_+=,.@-")
			   ? NULL
			   : "has 2 to 64 letters, digits and characters of _+=,.@-";
}

static const char *
external_id_problem(const char *value)
{
	return has_only(value, 2, 1224, LETTERS_AND_DIGITS "_+=,.@:/-")
			   ? NULL
			   : "has 2 to 1224 letters, digits and characters of _+=,.@:/-";
}

static const char *
relative_uri_problem(const char *value)
{
	return value[0] == '/' && is_printable_word(value) && strchr(value, '#') == NULL
			   ? NULL
			   : "is a path that begins with a slash";
}

/* Scheme and host as those of an endpoint; the path may have a query. Which hosts are allowed is source_container.c's. */
static const char *
full_uri_problem(const char *value)
{
	const char *host = strstr(value, "://");
	char origin[ENDPOINT_HOST_SIZE + 16];
	size_t length;

	if (host == NULL)
		return "must begin with https:// or http://";
	length = (size_t) (host + 3 - value) + strcspn(host + 3, "/?#");
	if (length >= sizeof(origin) || !is_printable_word(value) || strchr(value, '#') != NULL)
		return "must name a host and perhaps a path";
	memcpy(origin, value, length);
	origin[length] = '\0';
	return endpoint_problem(origin);
}

#define ENDPOINT_HINT                                                       \
	"An endpoint is a scheme, a host and perhaps a port and a path, as in " \
	"\"https://athena.us-east-1.amazonaws.com\"."
#define FOR_SUPERUSERS AWS_OPTION_FOR_SUPERUSERS
#define OF_SERVER AWS_OPTION_OF_SERVER
#define OF_MAPPING AWS_OPTION_OF_MAPPING
#define NOT_REPEATED AWS_OPTION_NOT_REPEATED
#define SECRET (AWS_OPTION_SECRET | AWS_OPTION_NOT_REPEATED)

/* clang-format off */
const AwsOptionRule aws_options[AWS_OPTION_COUNT] = {
	[AWS_OPTION_ACCESS_KEY_ID] =
		{"access_key_id", OF_MAPPING | NOT_REPEATED, {NULL}, access_key_id_problem, "It", NULL},
	[AWS_OPTION_SECRET_ACCESS_KEY] =
		{"secret_access_key", OF_MAPPING | SECRET, {NULL}, secret_problem, "It", NULL},
	[AWS_OPTION_SESSION_TOKEN] =
		{"session_token", OF_MAPPING | SECRET, {NULL}, token_problem, "It", NULL},
	[AWS_OPTION_REGION] =
		{"region", OF_SERVER, {"AWS_REGION", "AWS_DEFAULT_REGION"}, region_problem, "A region", NULL},
	[AWS_OPTION_ENDPOINT_URL] =
		{"endpoint_url", OF_SERVER | FOR_SUPERUSERS | NOT_REPEATED,
		 {"AWS_ENDPOINT_URL_ATHENA", "AWS_ENDPOINT_URL"}, endpoint_problem, "The URL", ENDPOINT_HINT},
	[AWS_OPTION_S3_ENDPOINT_URL] =
		{"s3_endpoint_url", OF_SERVER | FOR_SUPERUSERS | NOT_REPEATED,
		 {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}, endpoint_problem, "The URL", ENDPOINT_HINT},
	[AWS_OPTION_STS_ENDPOINT_URL] =
		{"sts_endpoint_url", OF_SERVER | FOR_SUPERUSERS | NOT_REPEATED,
		 {"AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"}, endpoint_problem, "The URL", ENDPOINT_HINT},
	[AWS_OPTION_USE_FIPS_ENDPOINT] =
		{"use_fips_endpoint", OF_SERVER | FOR_SUPERUSERS, {"AWS_USE_FIPS_ENDPOINT"}, boolean_problem, "It", NULL},
	[AWS_OPTION_USE_DUALSTACK_ENDPOINT] =
		{"use_dualstack_endpoint", OF_SERVER | FOR_SUPERUSERS, {"AWS_USE_DUALSTACK_ENDPOINT"},
		 boolean_problem, "It", NULL},
	[AWS_OPTION_CA_BUNDLE] =
		{"ca_bundle", OF_SERVER | FOR_SUPERUSERS, {"AWS_CA_BUNDLE"}, file_problem,
		 "The name of a file or directory", NULL},
	[AWS_OPTION_WORK_GROUP] =
		{"work_group", OF_SERVER, {NULL}, work_group_problem, "The name of a work group", NULL},
	[AWS_OPTION_CREDENTIAL_PROVIDER] =
		{"credential_provider", OF_SERVER | FOR_SUPERUSERS, {NULL}, provider_problem, "A provider", NULL},
	[AWS_OPTION_ROLE_ARN] =
		{"role_arn", OF_SERVER | OF_MAPPING | FOR_SUPERUSERS, {"AWS_ROLE_ARN"}, role_problem, "A role", NULL},
	[AWS_OPTION_ROLE_SESSION_NAME] =
		{"role_session_name", OF_SERVER | OF_MAPPING | FOR_SUPERUSERS, {"AWS_ROLE_SESSION_NAME"}, role_session_name_problem,
		 "The name of a role's session", NULL},
	[AWS_OPTION_EXTERNAL_ID] =
		{"external_id", OF_SERVER | OF_MAPPING | FOR_SUPERUSERS, {NULL}, external_id_problem, "An external ID",
		 NULL},
	[AWS_OPTION_WEB_IDENTITY_TOKEN_FILE] =
		{"web_identity_token_file", 0, {"AWS_WEB_IDENTITY_TOKEN_FILE"}, file_problem, "The name of a file", NULL},
	[AWS_OPTION_PROFILE] =
		{"profile", OF_SERVER | FOR_SUPERUSERS, {"AWS_PROFILE", "AWS_DEFAULT_PROFILE"}, file_problem,
		 "The name of a profile", NULL},
	[AWS_OPTION_SHARED_CREDENTIALS_FILE] =
		{"shared_credentials_file", 0, {"AWS_SHARED_CREDENTIALS_FILE"}, file_problem, "The name of a file", NULL},
	[AWS_OPTION_CONFIG_FILE] =
		{"config_file", 0, {"AWS_CONFIG_FILE"}, file_problem, "The name of a file", NULL},
	[AWS_OPTION_CONTAINER_CREDENTIALS_RELATIVE_URI] =
		{"container_credentials_relative_uri", 0, {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"},
		 relative_uri_problem, "The URI", NULL},
	[AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI] =
		{"container_credentials_full_uri", NOT_REPEATED, {"AWS_CONTAINER_CREDENTIALS_FULL_URI"},
		 full_uri_problem, "The URI", NULL},
	[AWS_OPTION_CONTAINER_AUTHORIZATION_TOKEN] =
		{"container_authorization_token", SECRET, {"AWS_CONTAINER_AUTHORIZATION_TOKEN"}, secret_problem, "It",
		 NULL},
	[AWS_OPTION_CONTAINER_AUTHORIZATION_TOKEN_FILE] =
		{"container_authorization_token_file", 0, {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"}, file_problem,
		 "The name of a file", NULL},
	[AWS_OPTION_EC2_METADATA_SERVICE_ENDPOINT] =
		{"ec2_metadata_service_endpoint", NOT_REPEATED, {"AWS_EC2_METADATA_SERVICE_ENDPOINT"}, endpoint_problem,
		 "The URL", "An endpoint is a scheme, a host and perhaps a port, as in \"http://169.254.169.254\"."},
	[AWS_OPTION_EC2_METADATA_DISABLED] =
		{"ec2_metadata_disabled", 0, {"AWS_EC2_METADATA_DISABLED"}, boolean_problem, "It", NULL},
};
/* clang-format on */

AwsOption
aws_option_find(const char *name)
{
	int option = 0;

	while (option < AWS_OPTION_COUNT && strcmp(aws_options[option].name, name) != 0)
		option++;
	return (AwsOption) option;
}

bool
aws_option_is_true(const char *value)
{
	return is_one_of(value, words_for_true, LENGTH_OF(words_for_true));
}
