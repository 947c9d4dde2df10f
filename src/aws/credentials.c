/*
 * credentials.c
 *		The credentials that requests are signed with. See credentials.h.
 */
#include "aws/credentials.h"

#include "access/xact.h"
#include "aws/catch.h"
#include "aws/source.h"
#include "settings.h"
#include "storage/ipc.h"

/* How long before their end credentials are fetched anew: AWS's SDKs begin 15 minutes before. */
#define REFRESH_WINDOW_SECONDS (15 * 60)

/* After a fetch that failed; and how many times as long as that took, for others have to wait for it. */
#define REFRESH_RETRY_SECONDS 30
#define REFRESH_RETRY_TIMES 10

/* What a service gives that has expired already is used all the same, as AWS's SDKs do with EC2's. */
#define STALE_SECONDS (5 * 60)

/* More accounts than one backend works with at a time. */
#define MAX_KEPT 8

typedef enum Source
{
	SOURCE_MAPPING,
	SOURCE_SETTINGS,
	SOURCE_ENVIRONMENT,
	SOURCE_WEB_IDENTITY,
	SOURCE_PROFILE,
	SOURCE_CONTAINER,
	SOURCE_INSTANCE
} Source;

static const char *const source_names[] = {
	[SOURCE_MAPPING] = "user mapping",    [SOURCE_SETTINGS] = "settings",
	[SOURCE_ENVIRONMENT] = "environment", [SOURCE_WEB_IDENTITY] = "web_identity",
	[SOURCE_PROFILE] = "profile",         [SOURCE_CONTAINER] = "container",
	[SOURCE_INSTANCE] = "instance",
};

/* Where credentials are to come from: a source, and perhaps a role that is assumed with what it gives. */
typedef struct Plan
{
	Source source;
	SourceRole web_identity; /* of SOURCE_WEB_IDENTITY */
	SourceRole role;         /* its ARN is "" for none */
	bool is_chosen;          /* named by somebody, not come upon: then silence is an error */
} Plan;

/* Credentials that were fetched, in memory of malloc. */
typedef struct Kept
{
	char identity[SIGV4_HEX_SIZE]; /* of all that decided about them; "" for a free place */
	char version[SIGV4_HEX_SIZE];  /* of the files that they came from; "" for none */
	ByteBuffer memory;             /* the three strings, one behind the other */
	SigV4Credentials keys;
	char source[sizeof("web_identity, role ") + 2048];
	int64 expiration; /* 0 for never */
	int64 refresh;    /* when to ask again */
	uint64 used;      /* the higher, the later */
} Kept;

static Kept kept[MAX_KEPT];
static uint64 uses = 0;

static void
forget(Kept *place)
{
	buffer_free(&place->memory);
	memset(place, 0, sizeof(*place));
}

static void
forget_all(int code, Datum argument)
{
	(void) code;
	(void) argument;
	for (int i = 0; i < MAX_KEPT; i++)
		forget(&kept[i]);
}

static void
raise_missing(const char *option)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			 errmsg("no AWS credentials: \"athena_calc.%s\" is not set", option),
			 errhint("A superuser sets athena_calc.access_key_id and "
					 "athena_calc.secret_access_key (with temporary credentials also "
					 "athena_calc.session_token): in postgresql.conf, with "
					 "shared_preload_libraries = 'athena_calc', or with SET in the session.")));
}

static bool
settings_are_configured(const AwsConfig *config)
{
	return aws_config_has(config, AWS_OPTION_ACCESS_KEY_ID) ||
		   aws_config_has(config, AWS_OPTION_SECRET_ACCESS_KEY);
}

/* The keys of the settings. Where a mapping has keys, nobody asks for them; there are no variables for them. */
static void
get_settings(const AwsConfig *config, SigV4Credentials *keys)
{
	static const AwsOption required[] = {AWS_OPTION_ACCESS_KEY_ID, AWS_OPTION_SECRET_ACCESS_KEY};

	for (int i = 0; i < (int) lengthof(required); i++)
	{
		if (!aws_config_has(config, required[i]))
			raise_missing(aws_options[required[i]].name);
	}
	settings_check_secret(AWS_OPTION_SECRET_ACCESS_KEY);
	settings_check_secret(AWS_OPTION_SESSION_TOKEN);
	keys->access_key_id = config->values[AWS_OPTION_ACCESS_KEY_ID];
	keys->secret_access_key = config->values[AWS_OPTION_SECRET_ACCESS_KEY];
	keys->session_token = config->values[AWS_OPTION_SESSION_TOKEN];
	if (keys->session_token[0] == '\0')
		keys->session_token = NULL;
}

/* The keys of a user mapping; its validator saw to it that there are both. */
static void
get_mapping(const AwsServer *server, SigV4Credentials *keys)
{
	keys->access_key_id = server->mapping[AWS_OPTION_ACCESS_KEY_ID];
	keys->secret_access_key = server->mapping[AWS_OPTION_SECRET_ACCESS_KEY];
	keys->session_token = server->mapping[AWS_OPTION_SESSION_TOKEN];
	if (keys->access_key_id == NULL || keys->secret_access_key == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						errmsg("no AWS credentials: the user mapping of server \"%s\" has half a "
							   "pair of keys",
							   server->name)));
}

static Source
source_of_name(const char *name)
{
	for (int i = SOURCE_SETTINGS; i <= SOURCE_INSTANCE; i++)
	{
		if (strcmp(source_names[i], name) == 0)
			return (Source) i;
	}
	elog(ERROR, "the credential provider was not checked");
}

/*
 * The first source that is configured; the last one may be there without a configuration. Who names a profile for a server, or for
 * the session, means that one and not what the environment has by default; so do AWS's SDKs take a profile that is an argument.
 */
static Source
first_configured(const AwsConfig *config)
{
	if (OidIsValid(config->server.oid) && config->server.options[AWS_OPTION_PROFILE] != NULL)
		return SOURCE_PROFILE;
	if (settings_are_configured(config))
		return SOURCE_SETTINGS;
	if (config->profile[0] != '\0')
		return SOURCE_PROFILE;
	if (source_environment_is_configured())
		return SOURCE_ENVIRONMENT;
	if (aws_config_has(config, AWS_OPTION_WEB_IDENTITY_TOKEN_FILE))
		return SOURCE_WEB_IDENTITY;
	if (source_profile_is_configured(config))
		return SOURCE_PROFILE;
	if (source_container_is_configured(config))
		return SOURCE_CONTAINER;
	return SOURCE_INSTANCE;
}

static const char *
option_of(const char *const *options, AwsOption option)
{
	return options[option] != NULL ? options[option] : "";
}

static SourceRole
role_of(const char *const *options)
{
	return (SourceRole){option_of(options, AWS_OPTION_ROLE_ARN),
						option_of(options, AWS_OPTION_ROLE_SESSION_NAME),
						option_of(options, AWS_OPTION_EXTERNAL_ID), ""};
}

/*
 * The role of the settings. The environment's is that of a web identity token and of no other source, as in AWS's SDKs.
 * The name of its session may be the server's.
 */
static SourceRole
role_of_settings(const AwsConfig *config, Source source)
{
	return (SourceRole){source == SOURCE_WEB_IDENTITY ? config->role_arn_or_environment
													  : config->role_arn,
						config->values[AWS_OPTION_ROLE_SESSION_NAME], config->external_id, ""};
}

/*
 * What a server makes of it. A server that a non-superuser owns never gets the server's own credentials: its
 * owner may map whom he likes. A role's external ID comes from where the role comes from.
 */
static void
plan_for_server(const AwsConfig *config, Plan *plan, bool *has_role)
{
	const AwsServer *server = &config->server;
	SourceRole role = {"", "", "", ""};

	if (aws_server_has_keys(server))
	{
		plan->source = SOURCE_MAPPING;
		plan->is_chosen = true;
	}
	else if (!server->of_superuser)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			 errmsg("no AWS credentials: server \"%s\" has no user mapping with keys for you",
					server->name),
			 errdetail("A server whose owner is no superuser gets credentials from its user "
					   "mappings alone."),
			 errhint(
				 "CREATE USER MAPPING ... OPTIONS (access_key_id ..., secret_access_key ...).")));

	if (server->mapping[AWS_OPTION_ROLE_ARN] != NULL)
		role = role_of(server->mapping);
	else if (server->options[AWS_OPTION_ROLE_ARN] != NULL)
		role = role_of(server->options);
	if (role.session_name[0] == '\0')
		role.session_name = config->values[AWS_OPTION_ROLE_SESSION_NAME];
	plan->role = role;
	*has_role = role.arn[0] != '\0' || plan->source == SOURCE_MAPPING;
}

static void
make_plan(const AwsConfig *config, Plan *plan)
{
	const char *provider = config->values[AWS_OPTION_CREDENTIAL_PROVIDER];
	bool has_role = false;
	bool is_auto = provider[0] == '\0' || strcmp(provider, "auto") == 0;

	memset(plan, 0, sizeof(*plan));
	plan->source = SOURCE_SETTINGS;
	plan->role = (SourceRole){"", "", "", ""};
	if (OidIsValid(config->server.oid))
		plan_for_server(config, plan, &has_role);
	if (plan->source != SOURCE_MAPPING)
	{
		plan->source = is_auto ? first_configured(config) : source_of_name(provider);
		plan->is_chosen = !is_auto;
	}

	/* A role beside a web identity token is the one that the token is for. */
	if (plan->source == SOURCE_WEB_IDENTITY)
		plan->web_identity = role_of_settings(config, plan->source);
	else if (!has_role && !(is_auto && aws_config_has(config, AWS_OPTION_WEB_IDENTITY_TOKEN_FILE)))
		plan->role = role_of_settings(config, plan->source);
}

static void
fetch_source(const AwsConfig *config, const Plan *plan, FoundCredentials *found)
{
	const char *problem;
	SigV4Credentials keys;

	switch (plan->source)
	{
		case SOURCE_MAPPING:
		case SOURCE_SETTINGS:
			if (plan->source == SOURCE_MAPPING)
				get_mapping(&config->server, &keys);
			else
				get_settings(config, &keys);
			if (!source_take(found, keys.access_key_id, keys.secret_access_key, keys.session_token,
							 &problem))
				elog(ERROR, "keys were not checked");
			break;
		case SOURCE_ENVIRONMENT:
			source_environment_fetch(found);
			break;
		case SOURCE_WEB_IDENTITY:
			source_web_identity_fetch(config, &plan->web_identity,
									  config->values[AWS_OPTION_WEB_IDENTITY_TOKEN_FILE], found);
			break;
		case SOURCE_PROFILE:
			source_profile_fetch(config, found);
			break;
		case SOURCE_CONTAINER:
			source_container_fetch(config, found);
			break;
		case SOURCE_INSTANCE:
			if (source_instance_fetch(config, found, &problem))
				break;
			if (plan->is_chosen)
				ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
								errmsg("no AWS credentials: no EC2 instance metadata"),
								errdetail("%s.", problem)));
			ereport(
				ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("no AWS credentials were found"),
				 errdetail("None are configured by settings, environment, web identity, profile or "
						   "container; the EC2 instance metadata cannot be had: %s.",
						   problem),
				 errhint("A superuser sets athena_calc.shared_credentials_file, or "
						 "athena_calc.access_key_id and athena_calc.secret_access_key, or another "
						 "source: see athena_calc.check_setup().")));
	}
}

/* When to ask again for credentials: sooner or later within the window, which is a part of a short life. */
static int64
refresh_time(int64 expiration)
{
	int64 left = expiration - aws_time();
	int64 window = Min(REFRESH_WINDOW_SECONDS, left / 3);

	if (expiration == 0)
		return PG_INT64_MAX;
	if (left <= 0)
		return aws_time() + STALE_SECONDS + (int64) (random_fraction() * STALE_SECONDS);
	return expiration - window + (int64) (random_fraction() * (double) (window / 3));
}

static const char *
keep_string(ByteBuffer *memory, const char *string)
{
	size_t offset = memory->length;

	if (string == NULL)
		return NULL;
	buffer_append(memory, string, strlen(string) + 1);
	return memory->failed ? NULL : memory->data + offset;
}

/* Copies keys into an empty buffer, which wipes them when it is freed. All at once, so that nothing moves. */
static void
keep_keys(ByteBuffer *memory, const SigV4Credentials *found, SigV4Credentials *keys)
{
	size_t needed = strlen(found->access_key_id) + strlen(found->secret_access_key) + 2 +
					(found->session_token != NULL ? strlen(found->session_token) + 1 : 0);

	if (!buffer_reserve(memory, needed))
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	keys->access_key_id = keep_string(memory, found->access_key_id);
	keys->secret_access_key = keep_string(memory, found->secret_access_key);
	keys->session_token = keep_string(memory, found->session_token);
}

/* Puts what was found in a place, whatever was there before. */
static void
keep(Kept *place, const char *identity, const char *version, const Plan *plan,
	 const FoundCredentials *found)
{
	const SigV4Credentials found_keys = {found->access_key_id, found->secret_access_key,
										 found->session_token};
	ByteBuffer memory = {0};
	SigV4Credentials keys;

	/* Before what is there is forgotten: it may throw. */
	keep_keys(&memory, &found_keys, &keys);
	forget(place);
	place->memory = memory;
	place->keys = keys;
	snprintf(place->source, sizeof(place->source), "%s%s%s", source_names[plan->source],
			 plan->role.arn[0] != '\0' ? ", role " : "", plan->role.arn);
	place->expiration = found->expiration;
	place->refresh = refresh_time(found->expiration);
	strlcpy(place->identity, identity, sizeof(place->identity));
	strlcpy(place->version, version, sizeof(place->version));
}

/* A fetch, as catch_error() wants it. */
typedef struct Fetch
{
	const AwsConfig *config;
	const Plan *plan;
	Kept *place;
	const char *identity;
	const char *version;
	bool hasty; /* others still serve */
} Fetch;

static void
fetch(void *argument)
{
	Fetch *job = argument;
	FoundCredentials base = {0};
	FoundCredentials found = {0};

	source_be_hasty(job->hasty);
	fetch_source(job->config, job->plan, &base);
	if (job->plan->role.arn[0] != '\0')
	{
		source_role_assume(job->config, &job->plan->role, &base, &found);
		source_forget(&base);
	}
	else
		found = base;
	keep(job->place, job->identity, job->version, job->plan, &found);
	source_forget(&found);
}

/* What may change without any effect on credentials: anyone may set some of it. */
static bool
is_of_no_account(int option)
{
	return option == AWS_OPTION_REGION || option == AWS_OPTION_WORK_GROUP ||
		   option == AWS_OPTION_ENDPOINT_URL || option == AWS_OPTION_S3_ENDPOINT_URL;
}

static void
finish_hash(ByteBuffer *all, char hash[SIGV4_HEX_SIZE])
{
	bool hashed = !all->failed && sigv4_hash(all->data, all->length, hash);

	buffer_free(all);
	if (!hashed)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

static void
append_role(ByteBuffer *all, const SourceRole *role)
{
	const char *const parts[] = {role->arn, role->session_name, role->external_id};

	for (int i = 0; i < (int) lengthof(parts); i++)
	{
		if (parts[i] != NULL)
			buffer_append_string(all, parts[i]);
		buffer_append(all, "", 1);
	}
}

/* Everything that decides about credentials, as one hash. */
static void
identify(const AwsConfig *config, const Plan *plan, char identity[SIGV4_HEX_SIZE])
{
	ByteBuffer all = {0};

	buffer_append(&all, &plan->source, sizeof(plan->source));
	buffer_append(&all, &config->server.oid, sizeof(config->server.oid));
	append_role(&all, &plan->role);
	append_role(&all, &plan->web_identity);
	for (int i = 0; i < AWS_OPTION_COUNT; i++)
	{
		if (is_of_no_account(i))
			continue;
		buffer_append(&all, config->values[i], strlen(config->values[i]) + 1);
	}
	finish_hash(&all, identity);
}

/* Tells the files as they are from the files as they were. */
static void
identify_version(const AwsConfig *config, const Plan *plan, char version[SIGV4_HEX_SIZE])
{
	ByteBuffer files = {0};

	version[0] = '\0';
	if (plan->source != SOURCE_PROFILE)
		return;
	source_profile_identity(config, &files);
	finish_hash(&files, version);
}

/* The place of what was fetched, or else the one that was not used for the longest time. */
static Kept *
find_place(const char *identity)
{
	Kept *oldest = &kept[0];

	for (int i = 0; i < MAX_KEPT; i++)
	{
		if (strcmp(kept[i].identity, identity) == 0)
			return &kept[i];
		if (kept[i].used < oldest->used)
			oldest = &kept[i];
	}
	forget(oldest);
	return oldest;
}

/* Fetches credentials while others serve: then a failure is no reason to fail. */
static void
refresh(Fetch *job)
{
	Kept *place = job->place;
	int64 begun = http_now();
	ErrorData *error;
	volatile bool fetched = false;

	job->hasty = true;
	/* Before the fetch: whatever becomes of it, the next call does not ask again at once. */
	place->refresh = aws_time() + 1 +
					 (int64) (random_fraction() * REFRESH_RETRY_SECONDS *
							  (place->expiration - aws_time() < REFRESH_RETRY_SECONDS ? 0.1 : 1.0));
	PG_TRY();
	{
		fetched = catch_error(fetch, job, &error);
	}
	PG_FINALLY();
	{
		source_be_hasty(false);
	}
	PG_END_TRY();
	if (!fetched)
	{
		place->refresh = Max(
			place->refresh, Min(place->expiration,
								aws_time() + REFRESH_RETRY_TIMES * (http_now() - begun) / 1000000));
		ereport(LOG, (errmsg("could not refresh AWS credentials, which hold for another %lld s: %s",
							 (long long) (place->expiration - aws_time()), error->message)));
		FreeErrorData(error);
	}
}

static void
get(const AwsConfig *config, Credentials *credentials, bool renew)
{
	static bool registered = false;
	Plan plan;
	char identity[SIGV4_HEX_SIZE];
	char version[SIGV4_HEX_SIZE];
	Kept *place;
	Fetch job = {config, &plan, NULL, identity, version, false};

	make_plan(config, &plan);
	memset(credentials, 0, sizeof(*credentials));
	credentials->source = source_names[plan.source];

	/* Keys that stand there need not be kept. */
	if (plan.role.arn[0] == '\0' &&
		(plan.source == SOURCE_SETTINGS || plan.source == SOURCE_MAPPING))
	{
		if (plan.source == SOURCE_SETTINGS)
			get_settings(config, &credentials->keys);
		else
			get_mapping(&config->server, &credentials->keys);
		return;
	}

	if (!registered)
	{
		on_proc_exit(forget_all, 0);
		registered = true;
	}
	identify(config, &plan, identity);
	identify_version(config, &plan, version);
	place = find_place(identity);
	/* What came from a file that has changed is forgotten, however it ends. */
	if (strcmp(place->version, version) != 0)
		forget(place);
	job.place = place;
	if (place->identity[0] == '\0' || renew ||
		(!http_is_hurried() && place->expiration != 0 && place->expiration <= aws_time() &&
		 place->refresh <= aws_time()))
		fetch(&job);
	/* A failure needs a subtransaction to go on after it, which there is none of while other processes work on the same query. */
	else if (place->refresh <= aws_time() && !http_is_hurried() && !IsInParallelMode())
		refresh(&job);
	place->used = ++uses;

	credentials->keys = place->keys;
	credentials->source = place->source;
	credentials->expiration = place->expiration;
	credentials->refreshable = plan.source != SOURCE_ENVIRONMENT || plan.role.arn[0] != '\0';
}

void
credentials_get(const AwsConfig *config, Credentials *credentials)
{
	get(config, credentials, false);
}

void
credentials_renew(const AwsConfig *config, Credentials *credentials)
{
	get(config, credentials, true);
}

/* Keys that are wiped with a memory context. */
typedef struct Copied
{
	SigV4Credentials keys;
	ByteBuffer memory;
	MemoryContextCallback at_end;
} Copied;

static void
free_copied(void *copied)
{
	buffer_free(&((Copied *) copied)->memory);
}

const SigV4Credentials *
credentials_copy_keys(const SigV4Credentials *keys)
{
	Copied *copied = palloc0(sizeof(Copied));

	copied->at_end.func = free_copied;
	copied->at_end.arg = copied;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &copied->at_end);
	keep_keys(&copied->memory, keys, &copied->keys);
	return &copied->keys;
}
