/*
 * config.c
 *		What is configured about AWS for the current user. See config.h.
 */
#include "aws/config.h"

#include <stdlib.h>

#include "settings.h"

/* The environment does not change while the server runs: it is read once for each backend. */
typedef struct EnvironmentValue
{
	const char *variable; /* NULL where none is set */
	const char *value;    /* "" where none is set */
} EnvironmentValue;

static EnvironmentValue environment[AWS_OPTION_COUNT];

static bool
is_endpoint(int option)
{
	return option == AWS_OPTION_ENDPOINT_URL || option == AWS_OPTION_S3_ENDPOINT_URL ||
		   option == AWS_OPTION_STS_ENDPOINT_URL;
}

static void
read_environment(void)
{
	static bool known = false;
	const char *ignore;
	bool ignore_endpoints;

	if (known)
		return;
	/* https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html */
	ignore = getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
	ignore_endpoints = ignore != NULL && aws_option_is_true(ignore);

	for (int i = 0; i < AWS_OPTION_COUNT; i++)
	{
		environment[i] = (EnvironmentValue){NULL, ""};
		for (int v = 0; v < AWS_OPTION_VARIABLES && aws_options[i].variables[v] != NULL; v++)
		{
			const char *value = getenv(aws_options[i].variables[v]);

			/* To AWS's SDKs an empty variable is none. */
			if (value == NULL || value[0] == '\0' || (ignore_endpoints && is_endpoint(i)))
				continue;
			environment[i] = (EnvironmentValue){aws_options[i].variables[v], value};
			break;
		}
	}
	known = true;
}

/* The value of the environment, which nobody has looked at yet. */
static const char *
checked_environment(int option)
{
	const AwsOptionRule *rule = &aws_options[option];
	const char *problem;

	if (environment[option].variable == NULL)
		return "";
	problem = rule->problem(environment[option].value);
	if (problem != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the server's environment variable %s cannot be used",
							   environment[option].variable),
						errdetail("%s %s.", rule->subject, problem),
						errhint("Mend it where the server is started, or set athena_calc.%s.",
								rule->name)));
	return environment[option].value;
}

static const char *
setting_or_environment(AwsOption option)
{
	return setting_options[option][0] != '\0' ? setting_options[option]
											  : checked_environment(option);
}

void
aws_config_get(AwsConfig *config)
{
	read_environment();
	config->server.oid = InvalidOid;
	if (setting_server[0] != '\0')
		aws_server_get(setting_server, &config->server);

	for (int i = 0; i < AWS_OPTION_COUNT; i++)
	{
		if (OidIsValid(config->server.oid))
		{
			const char *value = config->server.mapping[i] != NULL ? config->server.mapping[i]
																  : config->server.options[i];

			if (value != NULL)
			{
				config->values[i] = value;
				continue;
			}
		}
		config->values[i] = setting_or_environment((AwsOption) i);
	}
	config->profile = setting_options[AWS_OPTION_PROFILE];
	config->role_arn = setting_options[AWS_OPTION_ROLE_ARN];
	config->role_arn_or_environment = setting_or_environment(AWS_OPTION_ROLE_ARN);
	config->external_id = setting_options[AWS_OPTION_EXTERNAL_ID];
}

void
aws_config_copy(AwsConfig *config)
{
	for (int i = 0; i < AWS_OPTION_COUNT; i++)
		config->values[i] = pstrdup(config->values[i]);
	config->profile = pstrdup(config->profile);
	config->role_arn = pstrdup(config->role_arn);
	config->role_arn_or_environment = pstrdup(config->role_arn_or_environment);
	config->external_id = pstrdup(config->external_id);
}

const char *
aws_config_origin(const AwsConfig *config, AwsOption option)
{
	if (OidIsValid(config->server.oid) && config->server.mapping[option] != NULL)
		return psprintf("user mapping of server \"%s\"", config->server.name);
	if (OidIsValid(config->server.oid) && config->server.options[option] != NULL)
		return psprintf("server \"%s\"", config->server.name);
	if (setting_options[option][0] != '\0')
		return psprintf("athena_calc.%s", aws_options[option].name);
	if (environment[option].variable != NULL)
		return psprintf("%s of the server's environment", environment[option].variable);
	return "";
}
