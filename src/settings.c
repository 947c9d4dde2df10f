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

#include "miscadmin.h"

#define MASK "********"

/* No time-out needs to be longer than a day. */
#define MAX_TIMEOUT_MS (24 * 60 * 60 * 1000)

/* Asking more often than this is of no use, less often than this nobody would wait for. */
#define MIN_POLL_INTERVAL_MS 50
#define MAX_POLL_INTERVAL_MS (60 * 60 * 1000)

/* An answer is handed on as one value, which PostgreSQL limits to 1 GB; keep well below. */
#define MIN_RESPONSE_SIZE_KB 1
#define MAX_RESPONSE_SIZE_KB (512 * 1024)

char *setting_options[AWS_OPTION_COUNT] = {NULL};
char *setting_server = NULL;
bool setting_allow_credential_process = false;
int setting_connect_timeout = 0;
int setting_request_timeout = 0;
int setting_max_attempts = 0;
int setting_max_concurrency = 0;
int setting_max_response_size = 0;
int setting_max_poll_interval = 0;
bool setting_progress = false;
int setting_on_cancel = ON_CANCEL_STOP;

static const struct config_enum_entry on_cancel_options[] = {
	{"stop", ON_CANCEL_STOP, false}, {"leave", ON_CANCEL_LEAVE, false}, {NULL, 0, false}};

/* Where the value in force of each secret comes from. */
typedef struct SecretOrigin
{
	GucSource source;
} SecretOrigin;

static GucSource secret_sources[AWS_OPTION_COUNT];

static bool preloaded = false;

/* Refuses a value. PostgreSQL's own message would repeat it. */
static bool
refuse(const char *name, bool repeated, const char *detail)
{
	if (!repeated)
	{
		GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
		GUC_check_errmsg("invalid value for parameter \"athena_calc.%s\"", name);
	}
	GUC_check_errdetail("%s", detail);
	return false;
}

static bool
check_option(AwsOption option, const char *value)
{
	const AwsOptionRule *rule = &aws_options[option];
	const char *problem = value[0] != '\0' ? rule->problem(value) : NULL;

	if (problem == NULL)
		return true;
	if (rule->hint != NULL)
		GUC_check_errhint("%s", rule->hint);
	return refuse(rule->name, !(rule->flags & AWS_OPTION_NOT_REPEATED),
				  psprintf("%s %s.", rule->subject, problem));
}

static bool
check_secret(AwsOption option, const char *value, void **extra, GucSource source)
{
	const char *name = aws_options[option].name;
	SecretOrigin *origin;

	if (strcmp(value, MASK) == 0)
		return refuse(name, false, "It is the mask that stands for a secret, not a secret.");
	if (!check_option(option, value))
		return false;
	/* ALTER ROLE, ALTER DATABASE and a function's SET clause ask with PGC_S_TEST. */
	if (source == PGC_S_TEST && value[0] != '\0')
	{
		GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
		GUC_check_errmsg("parameter \"athena_calc.%s\" cannot be kept in a catalog", name);
		GUC_check_errdetail(
			"Settings of roles, databases and functions are readable by every role.");
		GUC_check_errhint(
			"Set it in postgresql.conf, with shared_preload_libraries = 'athena_calc', "
			"or use another source of credentials: see athena_calc.credential_provider.");
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

/* PostgreSQL does not tell a hook whose it is: each option has hooks of its own. */
#define OPTION_HOOK(name, option)                                          \
	static bool check_##name(char **value, void **extra, GucSource source) \
	{                                                                      \
		(void) extra;                                                      \
		(void) source;                                                     \
		return check_option(option, *value);                               \
	}

#define SECRET_HOOKS(name, option)                                         \
	static bool check_##name(char **value, void **extra, GucSource source) \
	{                                                                      \
		return check_secret(option, *value, extra, source);                \
	}                                                                      \
	static void assign_##name(const char *value, void *extra)              \
	{                                                                      \
		(void) value;                                                      \
		secret_sources[option] = ((SecretOrigin *) extra)->source;         \
	}                                                                      \
	static const char *show_##name(void)                                   \
	{                                                                      \
		return setting_options[option][0] != '\0' ? MASK : "";             \
	}

/* clang-format off */
OPTION_HOOK(access_key_id, AWS_OPTION_ACCESS_KEY_ID)
SECRET_HOOKS(secret_access_key, AWS_OPTION_SECRET_ACCESS_KEY)
SECRET_HOOKS(session_token, AWS_OPTION_SESSION_TOKEN)
OPTION_HOOK(region, AWS_OPTION_REGION)
OPTION_HOOK(endpoint_url, AWS_OPTION_ENDPOINT_URL)
OPTION_HOOK(s3_endpoint_url, AWS_OPTION_S3_ENDPOINT_URL)
OPTION_HOOK(sts_endpoint_url, AWS_OPTION_STS_ENDPOINT_URL)
OPTION_HOOK(use_fips_endpoint, AWS_OPTION_USE_FIPS_ENDPOINT)
OPTION_HOOK(use_dualstack_endpoint, AWS_OPTION_USE_DUALSTACK_ENDPOINT)
OPTION_HOOK(ca_bundle, AWS_OPTION_CA_BUNDLE)
OPTION_HOOK(work_group, AWS_OPTION_WORK_GROUP)
OPTION_HOOK(credential_provider, AWS_OPTION_CREDENTIAL_PROVIDER)
OPTION_HOOK(role_arn, AWS_OPTION_ROLE_ARN)
OPTION_HOOK(role_session_name, AWS_OPTION_ROLE_SESSION_NAME)
OPTION_HOOK(external_id, AWS_OPTION_EXTERNAL_ID)
OPTION_HOOK(web_identity_token_file, AWS_OPTION_WEB_IDENTITY_TOKEN_FILE)
OPTION_HOOK(profile, AWS_OPTION_PROFILE)
OPTION_HOOK(shared_credentials_file, AWS_OPTION_SHARED_CREDENTIALS_FILE)
OPTION_HOOK(config_file, AWS_OPTION_CONFIG_FILE)
OPTION_HOOK(container_credentials_relative_uri, AWS_OPTION_CONTAINER_CREDENTIALS_RELATIVE_URI)
OPTION_HOOK(container_credentials_full_uri, AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI)
SECRET_HOOKS(container_authorization_token, AWS_OPTION_CONTAINER_AUTHORIZATION_TOKEN)
OPTION_HOOK(container_authorization_token_file, AWS_OPTION_CONTAINER_AUTHORIZATION_TOKEN_FILE)
OPTION_HOOK(ec2_metadata_service_endpoint, AWS_OPTION_EC2_METADATA_SERVICE_ENDPOINT)
OPTION_HOOK(ec2_metadata_disabled, AWS_OPTION_EC2_METADATA_DISABLED)

#define OPTION(name) check_##name, NULL, NULL
#define SECRET(name) check_##name, assign_##name, show_##name

static const struct OptionSetting
{
	AwsOption option;
	GucContext context;
	const char *initial;
	GucStringCheckHook check;
	GucStringAssignHook assign;
	GucShowHook show;
	const char *description;
	const char *more;
} option_settings[] = {
	{AWS_OPTION_ACCESS_KEY_ID, PGC_SUSET, "", OPTION(access_key_id),
	 "AWS access key ID.",
	 "The first part of the credentials that requests are signed with."},
	{AWS_OPTION_SECRET_ACCESS_KEY, PGC_SUSET, "", SECRET(secret_access_key),
	 "AWS secret access key. Always shown masked.", NULL},
	{AWS_OPTION_SESSION_TOKEN, PGC_SUSET, "", SECRET(session_token),
	 "AWS session token of temporary credentials. Always shown masked.", NULL},
	{AWS_OPTION_REGION, PGC_USERSET, "", OPTION(region),
	 "AWS region, as in us-east-1.",
	 "Empty for that of the server's environment, of the profile, or of the instance."},
	{AWS_OPTION_ENDPOINT_URL, PGC_SUSET, "", OPTION(endpoint_url),
	 "URL of Athena.",
	 "Empty for AWS's own endpoint in the region."},
	{AWS_OPTION_S3_ENDPOINT_URL, PGC_SUSET, "", OPTION(s3_endpoint_url),
	 "URL of S3.",
	 "Empty for AWS's own endpoint in the region."},
	{AWS_OPTION_STS_ENDPOINT_URL, PGC_SUSET, "", OPTION(sts_endpoint_url),
	 "URL of STS, which gives out the credentials of roles.",
	 "Empty for AWS's own endpoint in the region."},
	{AWS_OPTION_USE_FIPS_ENDPOINT, PGC_SUSET, "", OPTION(use_fips_endpoint),
	 "Whether AWS's FIPS endpoints are used.",
	 "Empty for what the server's environment says, or else no."},
	{AWS_OPTION_USE_DUALSTACK_ENDPOINT, PGC_SUSET, "", OPTION(use_dualstack_endpoint),
	 "Whether AWS's endpoints for both IPv4 and IPv6 are used.",
	 "Empty for what the server's environment says, or else no."},
	{AWS_OPTION_CA_BUNDLE, PGC_SUSET, "", OPTION(ca_bundle),
	 "File or directory of the certificate authorities that are trusted.",
	 "Empty for the system's."},
	{AWS_OPTION_WORK_GROUP, PGC_USERSET, "", OPTION(work_group),
	 "Work group of functions that are given none.", NULL},
	{AWS_OPTION_CREDENTIAL_PROVIDER, PGC_SUSET, "auto", OPTION(credential_provider),
	 "Where credentials come from.",
	 "auto takes the first that is configured of settings, profile where one is named, environment, web_identity, "
	 "profile, container and instance."},
	{AWS_OPTION_ROLE_ARN, PGC_SUSET, "", OPTION(role_arn),
	 "Role to assume.",
	 "With web_identity_token_file by that token, else with the credentials found."},
	{AWS_OPTION_ROLE_SESSION_NAME, PGC_SUSET, "", OPTION(role_session_name),
	 "Name of the role's session, as CloudTrail shows it.", NULL},
	{AWS_OPTION_EXTERNAL_ID, PGC_SUSET, "", OPTION(external_id),
	 "External ID that the role's trust policy asks for.", NULL},
	{AWS_OPTION_WEB_IDENTITY_TOKEN_FILE, PGC_SUSET, "", OPTION(web_identity_token_file),
	 "File with the web identity token that role_arn is assumed with.", NULL},
	{AWS_OPTION_PROFILE, PGC_SUSET, "", OPTION(profile),
	 "Profile in the shared AWS files.",
	 "Empty for the profile \"default\"."},
	{AWS_OPTION_SHARED_CREDENTIALS_FILE, PGC_SUSET, "", OPTION(shared_credentials_file),
	 "The shared AWS credentials file.",
	 "Empty for .aws/credentials in the home directory of the server's user."},
	{AWS_OPTION_CONFIG_FILE, PGC_SUSET, "", OPTION(config_file),
	 "The shared AWS config file.",
	 "Empty for .aws/config in the home directory of the server's user."},
	{AWS_OPTION_CONTAINER_CREDENTIALS_RELATIVE_URI, PGC_SUSET, "", OPTION(container_credentials_relative_uri),
	 "Path of a container's credentials at http://169.254.170.2.", NULL},
	{AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI, PGC_SUSET, "", OPTION(container_credentials_full_uri),
	 "URL of a container's credentials.", NULL},
	{AWS_OPTION_CONTAINER_AUTHORIZATION_TOKEN, PGC_SUSET, "", SECRET(container_authorization_token),
	 "Token that the container's credentials are asked for with. Always shown masked.", NULL},
	{AWS_OPTION_CONTAINER_AUTHORIZATION_TOKEN_FILE, PGC_SUSET, "", OPTION(container_authorization_token_file),
	 "File with the token that the container's credentials are asked for with.", NULL},
	{AWS_OPTION_EC2_METADATA_SERVICE_ENDPOINT, PGC_SUSET, "", OPTION(ec2_metadata_service_endpoint),
	 "URL of the instance metadata service.",
	 "Empty for EC2's own, http://169.254.169.254."},
	{AWS_OPTION_EC2_METADATA_DISABLED, PGC_SUSET, "", OPTION(ec2_metadata_disabled),
	 "Whether the instance metadata service is left alone.",
	 "Empty for what the server's environment says, or else no."},
};
/* clang-format on */

void
settings_check_secret(AwsOption secret)
{
	const char *name = aws_options[secret].name;

	if (setting_options[secret][0] == '\0')
		return;
	switch (secret_sources[secret])
	{
		case PGC_S_ENV_VAR:
		case PGC_S_FILE:
		case PGC_S_ARGV:
			if (preloaded)
				return;
			ereport(
				ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("setting \"athena_calc.%s\" cannot be used from the configuration file",
						name),
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
				 errmsg(
					 "setting \"athena_calc.%s\" cannot be used from ALTER ROLE or ALTER DATABASE",
					 name),
				 errdetail("Settings of roles and databases are readable by every role."),
				 errhint("Set it in postgresql.conf, with shared_preload_libraries = "
						 "'athena_calc', or with SET in the session; then change the secret, for "
						 "it was readable.")));
			break;
		default:
			return;
	}
}

bool
settings_are_preloaded(void)
{
	return preloaded;
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

	for (int i = 0; i < (int) lengthof(option_settings); i++)
	{
		const struct OptionSetting *setting = &option_settings[i];
		const AwsOptionRule *rule = &aws_options[setting->option];
		char *name = psprintf("athena_calc.%s", rule->name);

		DefineCustomStringVariable(
			name, setting->description, setting->more, &setting_options[setting->option],
			setting->initial, setting->context,
			rule->flags & AWS_OPTION_SECRET ? GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE : 0,
			setting->check, setting->assign, setting->show);
		pfree(name);
	}
	DefineCustomStringVariable("athena_calc.server",
							   "Foreign server whose options and user mapping are used.",
							   "Empty for none: then the settings count.", &setting_server, "",
							   PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("athena_calc.allow_credential_process",
							 "Whether a profile's credential_process may be run.",
							 "It is a program that runs as the server's user.",
							 &setting_allow_credential_process, false, PGC_SUSET, 0, NULL, NULL,
							 NULL);
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

	define_integer("athena_calc.max_poll_interval", "Longest pause between two polls.",
				   "What waits for Athena asks often at first, then less and less often.",
				   &setting_max_poll_interval, 5000, MIN_POLL_INTERVAL_MS, MAX_POLL_INTERVAL_MS,
				   GUC_UNIT_MS);
	DefineCustomBoolVariable("athena_calc.progress",
							 "Whether a NOTICE tells each change of state while waiting.", NULL,
							 &setting_progress, false, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable(
		"athena_calc.on_cancel", "What becomes of a calculation whose run is canceled.",
		"A session that run_calculation has started for itself is terminated "
		"either way.",
		&setting_on_cancel, ON_CANCEL_STOP, on_cancel_options, PGC_USERSET, 0, NULL, NULL, NULL);

	reserve_setting_prefix("athena_calc");
}
