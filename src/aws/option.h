/*
 * option.h
 *		What can be configured about AWS: one table for settings, servers, user mappings and the environment.
 *
 * An option is a setting "athena_calc.NAME", perhaps a variable of the server's environment that stands in for
 * the empty setting, and perhaps an option of a foreign server or of a user mapping. Whatever it comes from,
 * the same rule says what it may be. Plain C; nothing here throws.
 */
#ifndef ATHENA_CALC_AWS_OPTION_H
#define ATHENA_CALC_AWS_OPTION_H

#include <stdbool.h>

typedef enum AwsOption
{
	AWS_OPTION_ACCESS_KEY_ID,
	AWS_OPTION_SECRET_ACCESS_KEY,
	AWS_OPTION_SESSION_TOKEN,
	AWS_OPTION_REGION,
	AWS_OPTION_ENDPOINT_URL,
	AWS_OPTION_S3_ENDPOINT_URL,
	AWS_OPTION_STS_ENDPOINT_URL,
	AWS_OPTION_USE_FIPS_ENDPOINT,
	AWS_OPTION_USE_DUALSTACK_ENDPOINT,
	AWS_OPTION_CA_BUNDLE,
	AWS_OPTION_WORK_GROUP,
	AWS_OPTION_CREDENTIAL_PROVIDER,
	AWS_OPTION_ROLE_ARN,
	AWS_OPTION_ROLE_SESSION_NAME,
	AWS_OPTION_EXTERNAL_ID,
	AWS_OPTION_WEB_IDENTITY_TOKEN_FILE,
	AWS_OPTION_PROFILE,
	AWS_OPTION_SHARED_CREDENTIALS_FILE,
	AWS_OPTION_CONFIG_FILE,
	AWS_OPTION_CONTAINER_CREDENTIALS_RELATIVE_URI,
	AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI,
	AWS_OPTION_CONTAINER_AUTHORIZATION_TOKEN,
	AWS_OPTION_CONTAINER_AUTHORIZATION_TOKEN_FILE,
	AWS_OPTION_EC2_METADATA_SERVICE_ENDPOINT,
	AWS_OPTION_EC2_METADATA_DISABLED,
	AWS_OPTION_COUNT
} AwsOption;

/* Where an option may stand beside the settings, and who may put it there. */
#define AWS_OPTION_OF_SERVER 1      /* CREATE SERVER */
#define AWS_OPTION_OF_MAPPING 2     /* CREATE USER MAPPING */
#define AWS_OPTION_FOR_SUPERUSERS 4 /* it chooses a host, or whose credentials are used */
#define AWS_OPTION_SECRET 8         /* never shown */
#define AWS_OPTION_NOT_REPEATED \
	16 /* a refused value is not repeated: there may be a secret in it */

#define AWS_OPTION_VARIABLES 2

typedef struct AwsOptionRule
{
	const char *name;
	int flags;
	const char *variables
		[AWS_OPTION_VARIABLES]; /* of the environment; the first that is not empty counts */

	/* What is wrong with a value that is not empty, a constant that reads behind `subject`; NULL for nothing. */
	const char *(*problem)(const char *value);
	const char *subject;
	const char *hint; /* for a refused value; or NULL */
} AwsOptionRule;

extern const AwsOptionRule aws_options[AWS_OPTION_COUNT];

/* The option of that name; AWS_OPTION_COUNT where there is none. */
extern AwsOption aws_option_find(const char *name);

/* Whether an option that is valid says yes. */
extern bool aws_option_is_true(const char *value);

#endif
