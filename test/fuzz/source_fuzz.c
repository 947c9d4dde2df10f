/*
 * source_fuzz.c
 *		Where credentials come from: containers, instances, roles, files, programs. Parts: the source's file or URI (containers
 *		and profiles), answers.
 */
#include "fuzz.h"

#include "aws/source.h"
#include "settings.h"

static const SourceRole role = {"arn:aws:iam::123456789012:role/etl", "", "an id", "900"};

/* What was found can be sent. */
static void
check_found(const FoundCredentials *found)
{
	fuzz_require(found->access_key_id[0] != '\0' && found->secret_access_key[0] != '\0');
	fuzz_require(aws_options[AWS_OPTION_ACCESS_KEY_ID].problem(found->access_key_id) == NULL);
	fuzz_require(aws_options[AWS_OPTION_SECRET_ACCESS_KEY].problem(found->secret_access_key) ==
				 NULL);
	fuzz_require(found->session_token == NULL ||
				 aws_options[AWS_OPTION_SESSION_TOKEN].problem(found->session_token) == NULL);
}

/* A value that could have been set. */
static void
configure(AwsConfig *config, AwsOption option, const char *value)
{
	if (value[0] != '\0' && aws_options[option].problem(value) == NULL)
		config->values[option] = value;
}

void
fuzz(FuzzInput input)
{
	unsigned choice = fuzz_next_number(&input);
	FoundCredentials base = {"AKIDEXAMPLE", "secret", NULL, 0};
	FoundCredentials found = {0};
	const char *problem = NULL;
	AwsConfig config;
	FuzzInput part;

	aws_config_get(&config);
	config.values[AWS_OPTION_REGION] = "us-east-1";
	config.values[AWS_OPTION_SHARED_CREDENTIALS_FILE] = "/dev/null/none";
	fuzz_answers(input);
	switch (choice % 8)
	{
		case 0:
			fuzz_next_part(&input, &part);
			fuzz_answers(input);
			config.values[AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI] = "https://localhost/a";
			configure(&config, AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI, fuzz_string(part));
			if (choice & 8)
				configure(&config, AWS_OPTION_CONTAINER_CREDENTIALS_RELATIVE_URI,
						  fuzz_string(part));
			if (choice & 16)
				config.values[AWS_OPTION_CONTAINER_AUTHORIZATION_TOKEN_FILE] = fuzz_file(0, part);
			source_container_fetch(&config, &found);
			break;
		case 1:
			if (!source_instance_fetch(&config, &found, &problem))
			{
				fuzz_require(problem != NULL);
				return;
			}
			break;
		case 2:
			source_role_assume(&config, &role, &base, &found);
			break;
		case 3:
			fuzz_next_part(&input, &part);
			fuzz_answers(input);
			source_web_identity_fetch(&config, &role, fuzz_file(0, part), &found);
			break;
		case 4:
		case 5:
		case 6:
			fuzz_next_part(&input, &part);
			fuzz_answers(input);
			fuzz_process_output(input);
			config.values[AWS_OPTION_SHARED_CREDENTIALS_FILE] = fuzz_file(0, part);
			config.values[AWS_OPTION_CONFIG_FILE] =
				fuzz_file(1, choice & 8 ? (FuzzInput){"", 0} : part);
			source_profile_fetch(&config, &found);
			break;
		default:
			/* Known regions are not asked for again, and any error ends it. */
			source_instance_region(&config);
			return;
	}
	check_found(&found);
	source_forget(&found);
}
