/*
 * source_profile.c
 *		Credentials and region of a profile in the shared AWS files. See source.h.
 *
 * https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html
 */
#include "aws/source.h"

#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aws/encoding.h"
#include "aws/process.h"
#include "aws/profile.h"
#include "nodes/pg_list.h"
#include "settings.h"

#define DEFAULT_PROFILE "default"
#define MAX_PROCESS_OUTPUT (64 * 1024)

/* What of a profile's keys says how to come by credentials; the first two are keys themselves. */
static const char *const credential_keys[] = {
	"aws_access_key_id",  "aws_secret_access_key", "role_arn",      "web_identity_token_file",
	"credential_process", "sso_account_id",        "sso_role_name", "login_session",
};

typedef struct ProfileFile
{
	ProfileFileKind kind;
	const char *path; /* NULL where there is no home directory */
	const char *text;
	size_t length;
} ProfileFile;

/* Both files, and where resolving a profile stands. */
typedef struct Profiles
{
	const AwsConfig *config;
	ProfileFile files[2]; /* the credentials file, whose values come first, and the config file */
	List *visited;        /* names of profiles whose credentials are being looked for */
} Profiles;

/*
 * The home directory of the server's user, "" where there is none. Debian starts servers without HOME; then it is what the system
 * knows, asked for once: that may be a directory of users on another machine.
 */
static const char *
home_directory(void)
{
	static char known[MAXPGPATH];
	static bool asked = false;
	const char *home = getenv("HOME");

	if (home != NULL && home[0] != '\0')
		return home;
	if (!asked)
	{
		const struct passwd *user = getpwuid(geteuid());

		if (user != NULL && strlen(user->pw_dir) < sizeof(known))
			strlcpy(known, user->pw_dir, sizeof(known));
		asked = true;
	}
	return known;
}

/* Where a file is: "~/" is the home directory, as everywhere with AWS. */
static const char *
file_path(const char *configured, const char *name)
{
	const char *home = home_directory();

	if (configured[0] == '\0')
		return home[0] != '\0' ? psprintf("%s/.aws/%s", home, name) : NULL;
	if (strncmp(configured, "~/", 2) == 0 && home[0] != '\0')
		return psprintf("%s/%s", home, configured + 2);
	return configured;
}

static void
locate_files(const AwsConfig *config, Profiles *profiles)
{
	profiles->config = config;
	profiles->visited = NIL;
	memset(profiles->files, 0, sizeof(profiles->files));
	profiles->files[0].kind = PROFILE_CREDENTIALS_FILE;
	profiles->files[0].path =
		file_path(config->values[AWS_OPTION_SHARED_CREDENTIALS_FILE], "credentials");
	profiles->files[1].kind = PROFILE_CONFIG_FILE;
	profiles->files[1].path = file_path(config->values[AWS_OPTION_CONFIG_FILE], "config");
}

static void
read_file(ProfileFile *file, bool required)
{
	struct stat status;
	const char *problem;
	int line;

	file->text = "";
	file->length = 0;
	if (file->path == NULL || (!required && stat(file->path, &status) != 0))
		return;
	file->text = source_read_file(file->path,
								  file->kind == PROFILE_CONFIG_FILE ? "AWS config file"
																	: "shared AWS credentials file",
								  &file->length);
	if (profile_check(file->text, file->length, &problem, &line))
		return;
	if (line == 0)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			 errmsg("the AWS file \"%s\" is not valid: line %d: %s", file->path, line, problem)));
}

/* A file that somebody named must be there; one of the home directory may be. */
static void
open_profiles(const AwsConfig *config, Profiles *profiles)
{
	locate_files(config, profiles);
	read_file(&profiles->files[0], aws_config_has(config, AWS_OPTION_SHARED_CREDENTIALS_FILE));
	read_file(&profiles->files[1], aws_config_has(config, AWS_OPTION_CONFIG_FILE));
}

static void
close_profiles(Profiles *profiles)
{
	for (int i = 0; i < (int) lengthof(profiles->files); i++)
	{
		ProfileFile *file = &profiles->files[i];

		if (file->length > 0)
			explicit_bzero(unconstify(char *, file->text), file->length);
	}
}

static bool
has_profile(const Profiles *profiles, const char *name)
{
	for (int i = 0; i < (int) lengthof(profiles->files); i++)
	{
		const ProfileFile *file = &profiles->files[i];

		if (profile_exists(file->kind, file->text, file->length, name))
			return true;
	}
	return false;
}

/* A value of a profile in one file, palloc'd; NULL where there is none, or an empty one. */
static char *
get_from(const ProfileFile *file, const char *name, const char *key)
{
	ByteBuffer value = {0};
	char *found = NULL;

	profile_find(file->kind, file->text, file->length, name, key, &value);
	if (value.failed)
	{
		buffer_free(&value);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	/* Up to a NUL, which has no place in any value. */
	if (value.length > 0 && value.data[0] != '\0')
		found = pstrdup(value.data);
	buffer_free(&value);
	return found;
}

/* The same in both files: the credentials file's comes first. */
static char *
get(const Profiles *profiles, const char *name, const char *key)
{
	char *found = get_from(&profiles->files[0], name, key);

	return found != NULL ? found : get_from(&profiles->files[1], name, key);
}

static const char *
get_or_empty(const Profiles *profiles, const char *name, const char *key)
{
	const char *value = get(profiles, name, key);

	return value != NULL ? value : "";
}

pg_noreturn static void
raise_profile(const char *name, const char *problem, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
					errmsg("no AWS credentials: profile \"%s\" %s",
						   encoding_from_bytes(name, strlen(name), NULL), problem),
					hint != NULL ? errhint("%s", hint) : 0));
}

/*
 * Keys, all of them out of one file. False where that has none of the profile's. The token has an older name, which boto3
 * takes, too.
 */
static bool
fetch_keys_from(const ProfileFile *file, const char *name, FoundCredentials *found)
{
	char *id = get_from(file, name, "aws_access_key_id");
	char *secret = get_from(file, name, "aws_secret_access_key");
	char *token = get_from(file, name, "aws_session_token");
	const char *problem;

	if (token == NULL)
		token = get_from(file, name, "aws_security_token");
	if (id == NULL && secret == NULL)
		return false;
	if (id == NULL || secret == NULL)
		raise_profile(name,
					  id == NULL ? "has no aws_access_key_id" : "has no aws_secret_access_key",
					  "aws_access_key_id and aws_secret_access_key go together.");
	if (!source_take(found, id, secret, token, &problem))
		raise_profile(name, problem, NULL);
	source_wipe(secret);
	source_wipe(token);
	return true;
}

static bool
fetch_keys(const Profiles *profiles, const char *name, FoundCredentials *found)
{
	return fetch_keys_from(&profiles->files[0], name, found) ||
		   fetch_keys_from(&profiles->files[1], name, found);
}

/* https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html */
static void
fetch_from_process(const char *name, const char *command, FoundCredentials *found)
{
	ProfileCommand words;
	ByteBuffer output = {0};
	JsonValue document;
	const char *problem;
	const char *syntax;
	int64_t version;
	volatile bool read = false;

	if (!setting_allow_credential_process)
		raise_profile(name, "has a credential_process, which is not allowed to run",
					  "It runs as the server's operating system user. A superuser may set "
					  "athena_calc.allow_credential_process = on.");
	if (!profile_split_command(command, strlen(command), &words, &problem))
		raise_profile(name, psprintf("has a credential_process that cannot be run: %s", problem),
					  NULL);
	PG_TRY();
	{
		/* Also while other credentials hold: a program that is ended in its midst is of no use, and may lose what it had. */
		process_run(words.argv, http_time_left(setting_request_timeout), MAX_PROCESS_OUTPUT,
					&output);
		problem = "is not JSON";
		read =
			json_check(output.data != NULL ? output.data : "", output.length, &document, &syntax);
		if (read)
		{
			problem = "has no Version 1";
			read = json_read_scaled(json_member(document, "Version"), 0, false, &version) ==
					   JSON_READ &&
				   version == 1 && source_read_object(document, found, &problem);
		}
	}
	PG_FINALLY();
	{
		profile_command_free(&words);
		buffer_free(&output);
	}
	PG_END_TRY();
	if (!read)
		raise_profile(name,
					  psprintf("has a credential_process whose output %s: see AWS's page on "
							   "process credentials",
							   problem),
					  NULL);
}

/* Whether a profile has one of the first so many keys that say how to come by credentials. */
static bool
has_credential_key(const Profiles *profiles, const char *name, int count)
{
	bool found = false;

	for (int i = 0; !found && i < count; i++)
	{
		char *value = get(profiles, name, credential_keys[i]);

		found = value != NULL;
		source_wipe(value);
	}
	return found;
}

/*
 * What a profile has without a role, in boto3's order; false where that is nothing. A sign-in that takes a browser is what is meant
 * where it is written, and not some older keys beside it.
 */
static bool
fetch_own(const Profiles *profiles, const char *name, FoundCredentials *found)
{
	static const char hint[] = "Use a role: of the instance, of the container, or by role_arn.";
	const char *process = get(profiles, name, "credential_process");

	if (get(profiles, name, "sso_account_id") != NULL ||
		get(profiles, name, "sso_role_name") != NULL)
		raise_profile(
			name, "is one of IAM Identity Center (sso_...), whose sign-in takes a browser", hint);
	if (fetch_keys_from(&profiles->files[0], name, found))
		return true;
	if (get(profiles, name, "login_session") != NULL)
		raise_profile(name, "is one of aws login (login_session), whose sign-in takes a browser",
					  hint);
	if (process == NULL)
		return fetch_keys_from(&profiles->files[1], name, found);
	fetch_from_process(name, process, found);
	return true;
}

static void fetch_profile(Profiles *profiles, const char *name, FoundCredentials *found);

/* What credential_source names. */
static void
fetch_named_source(const Profiles *profiles, const char *name, const char *source,
				   FoundCredentials *found)
{
	const char *problem;

	if (strcmp(source, "Environment") == 0)
		source_environment_fetch(found);
	else if (strcmp(source, "EcsContainer") == 0)
		source_container_fetch(profiles->config, found);
	else if (strcmp(source, "Ec2InstanceMetadata") != 0)
		raise_profile(name, "has a credential_source that is none",
					  "It is Environment, EcsContainer or Ec2InstanceMetadata.");
	else if (!source_instance_fetch(profiles->config, found, &problem))
		raise_profile(name, psprintf("asks for the instance's: %s", problem), NULL);
}

static void
fetch_role(Profiles *profiles, const char *name, const SourceRole *role, FoundCredentials *found)
{
	char *source_profile = get(profiles, name, "source_profile");
	char *credential_source = get(profiles, name, "credential_source");
	FoundCredentials base = {0};

	if (get(profiles, name, "mfa_serial") != NULL)
		raise_profile(name, "asks for a code of a device (mfa_serial), which a server has not",
					  NULL);
	if ((source_profile == NULL) == (credential_source == NULL))
		raise_profile(name, "has a role_arn, but not one of source_profile and credential_source",
					  "Set one of the two.");
	if (credential_source != NULL)
		fetch_named_source(profiles, name, credential_source, &base);
	else if (strcmp(source_profile, name) != 0)
		fetch_profile(profiles, source_profile, &base);
	/* A profile may be its own source, if it has keys. */
	else if (!fetch_keys(profiles, name, &base))
		raise_profile(name, "is its own source_profile, but has no keys", NULL);
	source_role_assume(profiles->config, role, &base, found);
	source_forget(&base);
}

static void
fetch_profile(Profiles *profiles, const char *name, FoundCredentials *found)
{
	SourceRole role;
	const char *token_file;
	bool is_source;
	ListCell *cell;

	foreach(cell, profiles->visited)
	{
		if (strcmp(lfirst(cell), name) == 0)
			raise_profile(name, "leads back to itself by source_profile", NULL);
	}
	profiles->visited = lappend(profiles->visited, pstrdup(name));
	if (!has_profile(profiles, name))
		raise_profile(name, "is in none of the AWS files",
					  psprintf("The files are \"%s\" and \"%s\".",
							   profiles->files[0].path != NULL ? profiles->files[0].path : "",
							   profiles->files[1].path != NULL ? profiles->files[1].path : ""));

	role.arn = get_or_empty(profiles, name, "role_arn");
	role.session_name = get_or_empty(profiles, name, "role_session_name");
	role.external_id = get_or_empty(profiles, name, "external_id");
	role.duration_seconds = get_or_empty(profiles, name, "duration_seconds");
	is_source = list_length(profiles->visited) > 1;
	token_file = get(profiles, name, "web_identity_token_file");

	if (token_file != NULL)
		source_web_identity_fetch(profiles->config, &role, token_file, found);
	/* What another profile names as its source has keys to be used, whatever role it assumes elsewhere. */
	else if (role.arn[0] != '\0' && !(is_source && has_credential_key(profiles, name, 2)))
		fetch_role(profiles, name, &role, found);
	else if (!fetch_own(profiles, name, found))
		raise_profile(name, "says nothing of credentials",
					  "It takes aws_access_key_id and aws_secret_access_key, a role_arn, or a "
					  "credential_process.");
}

static const char *
profile_name(const AwsConfig *config)
{
	return aws_config_has(config, AWS_OPTION_PROFILE) ? config->values[AWS_OPTION_PROFILE]
													  : DEFAULT_PROFILE;
}

void
source_profile_fetch(const AwsConfig *config, FoundCredentials *found)
{
	Profiles profiles;

	open_profiles(config, &profiles);
	fetch_profile(&profiles, profile_name(config), found);
	close_profiles(&profiles);
}

void
source_profile_identity(const AwsConfig *config, ByteBuffer *identity)
{
	Profiles profiles;

	locate_files(config, &profiles);
	buffer_append_string(identity, profile_name(config));
	for (int i = 0; i < (int) lengthof(profiles.files); i++)
	{
		const char *path = profiles.files[i].path;
		struct stat status;

		buffer_append(identity, "", 1);
		if (path == NULL || stat(path, &status) != 0)
			continue;
		buffer_append_string(identity, path);
		buffer_append(identity, "", 1);
		buffer_append(identity, &status.st_ino, sizeof(status.st_ino));
		buffer_append(identity, &status.st_size, sizeof(status.st_size));
		buffer_append(identity, &status.st_mtim, sizeof(status.st_mtim));
		buffer_append(identity, &status.st_ctim, sizeof(status.st_ctim));
	}
}

/* What is asked of the files at each call. */
typedef struct ProfileFacts
{
	char identity[SIGV4_HEX_SIZE]; /* of the files and the profile; "" for none known */
	bool has_credentials;
	char region[64]; /* "" for none */
} ProfileFacts;

/* The files are read anew only when they have changed. */
static const ProfileFacts *
get_facts(const AwsConfig *config)
{
	static ProfileFacts facts = {.identity = ""};
	ByteBuffer identity = {0};
	char hash[SIGV4_HEX_SIZE];
	bool hashed;

	source_profile_identity(config, &identity);
	hashed = !identity.failed && sigv4_hash(identity.data, identity.length, hash);
	buffer_free(&identity);
	if (!hashed)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	if (strcmp(hash, facts.identity) != 0)
	{
		Profiles profiles;
		const char *region;

		facts.identity[0] = '\0';
		open_profiles(config, &profiles);
		region = get_or_empty(&profiles, profile_name(config), "region");
		facts.has_credentials =
			has_credential_key(&profiles, profile_name(config), lengthof(credential_keys));
		close_profiles(&profiles);
		if (strlcpy(facts.region, region, sizeof(facts.region)) >= sizeof(facts.region))
			strlcpy(facts.region, "-", sizeof(facts.region)); /* the caller says that it is none */
		strlcpy(facts.identity, hash, sizeof(facts.identity));
	}
	return &facts;
}

bool
source_profile_is_configured(const AwsConfig *config)
{
	return aws_config_has(config, AWS_OPTION_PROFILE) ||
		   aws_config_has(config, AWS_OPTION_SHARED_CREDENTIALS_FILE) ||
		   get_facts(config)->has_credentials;
}

const char *
source_profile_region(const AwsConfig *config)
{
	const ProfileFacts *facts = get_facts(config);

	return facts->region[0] != '\0' ? facts->region : NULL;
}
