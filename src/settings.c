/*
 * settings.c
 *		Every setting of the extension, with what it refuses and what it shows. See settings.h.
 *
 * Secrets: a custom setting is a mere placeholder until the library is loaded, and placeholders are
 * readable by everyone. So where a secret comes from decides whether it may be used. The source that
 * a check hook is told is right even when placeholders are replayed at load; carried in `extra` it
 * survives RESET and ROLLBACK. GUC_SUPERUSER_ONLY would make SHOW fail, and hide nothing from
 * pg_read_all_settings; a show hook that masks hides it from everybody.
 */
#include "settings.h"

#include <limits.h>

#include "aws/endpoint.h"
#include "miscadmin.h"

#define MASK "********"

/* No time-out needs to be longer than a day. */
#define MAX_TIMEOUT_MS (24 * 60 * 60 * 1000)

/* An answer is handed on as one value, which PostgreSQL limits to 1 GB; keep well below. */
#define MIN_RESPONSE_SIZE_KB 1
#define MAX_RESPONSE_SIZE_KB (512 * 1024)

char *setting_access_key_id = NULL;
char *setting_secret_access_key = NULL;
char *setting_session_token = NULL;
char *setting_region = NULL;
char *setting_endpoint_url = NULL;
char *setting_s3_endpoint_url = NULL;
char *setting_ca_bundle = NULL;
char *setting_work_group = NULL;
int setting_connect_timeout = 0;
int setting_request_timeout = 0;
int setting_max_attempts = 0;
int setting_max_concurrency = 0;
int setting_max_response_size = 0;

/* Where the value in force of each secret comes from. */
typedef struct SecretOrigin
{
	GucSource source;
} SecretOrigin;

static GucSource secret_access_key_source = PGC_S_DEFAULT;
static GucSource session_token_source = PGC_S_DEFAULT;

/* Whether the library was loaded by shared_preload_libraries, before any session could look. */
static bool preloaded = false;

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
check_access_key_id(char **value, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	if (is_printable_word(*value) && strpbrk(*value, "/,=") == NULL)
		return true;
	GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
	GUC_check_errmsg("invalid value for parameter \"athena_calc.access_key_id\"");
	GUC_check_errdetail(
		"It must be printable ASCII without spaces, line breaks, slashes, commas or "
		"equals signs.");
	return false;
}

/*
 * What every secret must keep to. Each refusal has a message of its own, because PostgreSQL's would
 * print the value.
 */
static bool
check_secret(const char *name, const char *value, bool valid, const char *rule, void **extra,
			 GucSource source)
{
	SecretOrigin *origin;

	if (strcmp(value, MASK) == 0)
	{
		GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
		GUC_check_errmsg("invalid value for parameter \"%s\"", name);
		GUC_check_errdetail("It is the mask that stands for a secret, not a secret.");
		return false;
	}
	if (!valid)
	{
		GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
		GUC_check_errmsg("invalid value for parameter \"%s\"", name);
		GUC_check_errdetail("%s", rule);
		return false;
	}
	/* ALTER ROLE, ALTER DATABASE and a function's SET clause ask with PGC_S_TEST. */
	if (source == PGC_S_TEST && value[0] != '\0')
	{
		GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
		GUC_check_errmsg("parameter \"%s\" cannot be kept in a catalog", name);
		GUC_check_errdetail(
			"Settings of roles, databases and functions are readable by every role.");
		GUC_check_errhint(
			"Set it in postgresql.conf, with shared_preload_libraries = 'athena_calc', "
			"or with SET in the session.");
		return false;
	}

	origin = allocate_setting_extra(sizeof(SecretOrigin));
	if (origin == NULL)
	{
		GUC_check_errcode(ERRCODE_OUT_OF_MEMORY);
		GUC_check_errmsg("out of memory");
		return false;
	}
	origin->source = source;
	*extra = origin;
	return true;
}

static bool
check_secret_access_key(char **value, void **extra, GucSource source)
{
	return check_secret("athena_calc.secret_access_key", *value, !has_control_character(*value),
						"It must not have line breaks or other control characters.", extra, source);
}

static bool
check_session_token(char **value, void **extra, GucSource source)
{
	return check_secret("athena_calc.session_token", *value, is_printable_word(*value),
						"It must be printable ASCII without spaces or line breaks.", extra, source);
}

static void
assign_secret_access_key(const char *value, void *extra)
{
	(void) value;
	secret_access_key_source = ((SecretOrigin *) extra)->source;
}

static void
assign_session_token(const char *value, void *extra)
{
	(void) value;
	session_token_source = ((SecretOrigin *) extra)->source;
}

static const char *
show_secret_access_key(void)
{
	return setting_secret_access_key[0] != '\0' ? MASK : "";
}

static const char *
show_session_token(void)
{
	return setting_session_token[0] != '\0' ? MASK : "";
}

static bool
check_region(char **value, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	if ((*value)[0] == '\0' || aws_region_is_valid(*value))
		return true;
	GUC_check_errdetail("A region has letters, digits and hyphens only, as in \"us-east-1\".");
	return false;
}

/* The refusal does not repeat the value: there may be a password in it. */
static bool
check_endpoint(const char *name, const char *value)
{
	AwsEndpoint endpoint;
	const char *problem;

	if (value[0] == '\0' || aws_endpoint_parse(value, &endpoint, &problem))
		return true;
	GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
	GUC_check_errmsg("invalid value for parameter \"%s\"", name);
	GUC_check_errdetail("The URL %s.", problem);
	GUC_check_errhint("An endpoint is a scheme, a host and perhaps a port and a path, as in "
					  "\"https://athena.us-east-1.amazonaws.com\".");
	return false;
}

static bool
check_endpoint_url(char **value, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	return check_endpoint("athena_calc.endpoint_url", *value);
}

static bool
check_s3_endpoint_url(char **value, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	return check_endpoint("athena_calc.s3_endpoint_url", *value);
}

static bool
check_ca_bundle(char **value, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	if (!has_control_character(*value))
		return true;
	GUC_check_errdetail("The name of a file or directory has no line breaks.");
	return false;
}

/* https://docs.aws.amazon.com/athena/latest/APIReference/API_StartSession.html */
static bool
check_work_group(char **value, void **extra, GucSource source)
{
	size_t length = strlen(*value);

	(void) extra;
	(void) source;
	if (length <= 128 &&
		strspn(*value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
					   "._-") == length)
		return true;
	GUC_check_errdetail("The name of a work group has up to 128 letters, digits, dots, underscores "
						"and hyphens.");
	return false;
}

/* Throws unless a secret comes from where nobody else could have read it. */
static void
check_secret_source(const char *name, const char *value, GucSource source)
{
	if (value[0] == '\0')
		return;
	switch (source)
	{
		case PGC_S_ENV_VAR:
		case PGC_S_FILE:
		case PGC_S_ARGV:
			if (preloaded)
				return;
			ereport(
				ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("setting \"%s\" cannot be used from the configuration file", name),
				 errdetail("The library is not in shared_preload_libraries, so every role can "
						   "read the setting in a session that has not loaded it."),
				 errhint("Add athena_calc to shared_preload_libraries and restart the server, or "
						 "use SET in the session.")));
			break;
		case PGC_S_GLOBAL:
		case PGC_S_DATABASE:
		case PGC_S_USER:
		case PGC_S_DATABASE_USER:
			ereport(
				ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("setting \"%s\" cannot be used from ALTER ROLE or ALTER DATABASE", name),
				 errdetail("Settings of roles and databases are readable by every role."),
				 errhint("Set it in postgresql.conf, with shared_preload_libraries = "
						 "'athena_calc', or with SET in the session; then change the secret, for "
						 "it was readable.")));
			break;
		default:
			return;
	}
}

void
settings_check_secrets(void)
{
	check_secret_source("athena_calc.secret_access_key", setting_secret_access_key,
						secret_access_key_source);
	check_secret_source("athena_calc.session_token", setting_session_token, session_token_source);
}

static void
define_secret(const char *name, const char *description, char **variable, GucStringCheckHook check,
			  GucStringAssignHook assign, GucShowHook show)
{
	DefineCustomStringVariable(name, description, NULL, variable, "", PGC_SUSET,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE, check, assign, show);
}

static void
define_string(const char *name, const char *description, const char *more, char **variable,
			  GucContext context, GucStringCheckHook check)
{
	DefineCustomStringVariable(name, description, more, variable, "", context, 0, check, NULL,
							   NULL);
}

static void
define_integer(const char *name, const char *description, const char *more, int *variable,
			   int initial, int min, int max, int unit)
{
	DefineCustomIntVariable(name, description, more, variable, initial, min, max, PGC_USERSET, unit,
							NULL, NULL, NULL);
}

void
settings_define(void)
{
	preloaded = process_shared_preload_libraries_in_progress;

	define_string("athena_calc.access_key_id", "AWS access key ID.",
				  "The first part of the credentials that requests are signed with.",
				  &setting_access_key_id, PGC_SUSET, check_access_key_id);
	define_secret("athena_calc.secret_access_key", "AWS secret access key. Always shown masked.",
				  &setting_secret_access_key, check_secret_access_key, assign_secret_access_key,
				  show_secret_access_key);
	define_secret("athena_calc.session_token",
				  "AWS session token of temporary credentials. Always shown masked.",
				  &setting_session_token, check_session_token, assign_session_token,
				  show_session_token);
	define_string("athena_calc.region", "AWS region, as in us-east-1.", NULL, &setting_region,
				  PGC_USERSET, check_region);
	define_string("athena_calc.endpoint_url", "URL of Athena.",
				  "Empty for AWS's own endpoint in the region.", &setting_endpoint_url, PGC_SUSET,
				  check_endpoint_url);
	define_string("athena_calc.s3_endpoint_url", "URL of S3.",
				  "Empty for AWS's own endpoint in the region.", &setting_s3_endpoint_url,
				  PGC_SUSET, check_s3_endpoint_url);
	define_string("athena_calc.ca_bundle",
				  "File or directory of the certificate authorities that are trusted.",
				  "Empty for the system's.", &setting_ca_bundle, PGC_SUSET, check_ca_bundle);
	define_string("athena_calc.work_group", "Work group of functions that are given none.", NULL,
				  &setting_work_group, PGC_USERSET, check_work_group);
	define_integer("athena_calc.connect_timeout", "Longest time to reach a service.",
				   "For the name, the connection and TLS together.", &setting_connect_timeout, 3000,
				   1, MAX_TIMEOUT_MS, GUC_UNIT_MS);
	define_integer("athena_calc.request_timeout", "Longest time for one attempt of a request.",
				   "A call of several attempts may take longer.", &setting_request_timeout, 30000,
				   1, MAX_TIMEOUT_MS, GUC_UNIT_MS);
	define_integer("athena_calc.max_attempts", "How often a request is tried, the first included.",
				   NULL, &setting_max_attempts, 3, 1, 20, 0);
	define_integer("athena_calc.max_concurrency", "Most requests of one call at once.",
				   "A request waits for a file descriptor, it does not fail for want of one.",
				   &setting_max_concurrency, 32, 1, 1000, 0);
	define_integer("athena_calc.max_response_size", "Largest answer that is accepted.",
				   "What is read from S3 as one value is limited by it, too.",
				   &setting_max_response_size, 16 * 1024, MIN_RESPONSE_SIZE_KB,
				   MAX_RESPONSE_SIZE_KB, GUC_UNIT_KB);

	reserve_setting_prefix("athena_calc");
}
