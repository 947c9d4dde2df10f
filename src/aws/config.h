/*
 * config.h
 *		What is configured about AWS for the current user: the one view of it that a call has.
 *
 * Each option comes from the user mapping and the server chosen by athena_calc.server, else from the setting of
 * its name, else from the server's environment. Keys are an exception: a mapping's, a setting's and the
 * environment's are different sources of credentials, and never mix (credentials.h).
 */
#ifndef ATHENA_CALC_AWS_CONFIG_H
#define ATHENA_CALC_AWS_CONFIG_H

#include "compat.h"

#include "aws/option.h"
#include "aws/server.h"

typedef struct AwsConfig
{
	const char *values[AWS_OPTION_COUNT]; /* "" for what is not configured */
	AwsServer server;

	/* Of the settings alone, whatever server is chosen: a role's parts go together, and a profile that is named is meant. */
	const char *profile;
	const char *role_arn;
	const char *role_arn_or_environment;
	const char *external_id;
} AwsConfig;

/*
 * Fills it in. Its strings are the settings', the environment's and the current memory context's: it is for one
 * call, unless it is copied. Throws what aws_server_get() throws, and 55000 for a variable of the environment that cannot be right.
 */
extern void aws_config_get(AwsConfig *config);

/* Copies what it points to into the current memory context: for what outlasts a statement's settings. */
extern void aws_config_copy(AwsConfig *config);

/* Where an option's value comes from, for people: "setting athena_calc.region". "" for none. */
extern const char *aws_config_origin(const AwsConfig *config, AwsOption option);

/* Whether an option is configured. */
static inline bool
aws_config_has(const AwsConfig *config, AwsOption option)
{
	return config->values[option][0] != '\0';
}

/* Whether an option is configured and says yes. */
static inline bool
aws_config_is_true(const AwsConfig *config, AwsOption option)
{
	return aws_config_has(config, option) && aws_option_is_true(config->values[option]);
}

#endif
