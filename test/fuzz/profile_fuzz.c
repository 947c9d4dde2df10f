/*
 * profile_fuzz.c
 *		The shared AWS files, and a command's words.
 */
#include "fuzz.h"

#include "aws/profile.h"

static void
find(ProfileFileKind kind, FuzzInput file, const char *profile, const char *key)
{
	ByteBuffer value = {0};
	bool exists = profile_exists(kind, file.data, file.length, profile);

	/* What has a value is there, or the section [DEFAULT] of all has it. */
	if (profile_find(kind, file.data, file.length, profile, key, &value))
		fuzz_require(exists);
	fuzz_require(!value.failed);
	buffer_free(&value);
}

static void
split(FuzzInput text)
{
	ProfileCommand command = {0};
	const char *problem = NULL;

	if (!profile_split_command(text.data, text.length, &command, &problem))
	{
		fuzz_require(problem != NULL);
		return;
	}
	fuzz_require(command.argc > 0 && command.argv[command.argc] == NULL);
	for (int i = 0; i < command.argc; i++)
		fuzz_require(strlen(command.argv[i]) <= text.length);
	profile_command_free(&command);
}

void
fuzz(FuzzInput input)
{
	static const char *const profiles[] = {"default", "a", "a b"};
	static const char *const keys[] = {"aws_access_key_id", "credential_process", "a"};
	const char *problem = NULL;
	int line = -1;

	if (!profile_check(input.data, input.length, &problem, &line))
		fuzz_require(problem != NULL && line > 0);
	for (int p = 0; p < (int) lengthof(profiles); p++)
	{
		for (int k = 0; k < (int) lengthof(keys); k++)
		{
			find(PROFILE_CONFIG_FILE, input, profiles[p], keys[k]);
			find(PROFILE_CREDENTIALS_FILE, input, profiles[p], keys[k]);
		}
	}
	split(input);
}
