/*
 * source.h
 *		Where credentials come from: a file for each source, and what the sources share.
 *
 * A source gives credentials or throws; which source is asked is credentials.h's to say. What is found is palloc'd
 * in the current memory context, for credentials.c to keep and to wipe: source_forget().
 */
#ifndef ATHENA_CALC_AWS_SOURCE_H
#define ATHENA_CALC_AWS_SOURCE_H

#include "compat.h"

#include "aws/call.h"
#include "aws/config.h"
#include "aws/json.h"

typedef struct FoundCredentials
{
	char *access_key_id;
	char *secret_access_key;
	char *session_token; /* NULL for none */
	int64 expiration;    /* seconds since 1970; 0 for never */
} FoundCredentials;

/* A role to assume. */
typedef struct SourceRole
{
	const char *arn;
	const char *session_name;     /* "" for ours */
	const char *external_id;      /* "" for none */
	const char *duration_seconds; /* "" for STS's own */
} SourceRole;

/* environment (source_environment.c): the keys of the server's own. */
extern bool source_environment_is_configured(void);
extern void source_environment_fetch(FoundCredentials *found);

/*
 * profile (source_profile.c): the shared AWS files. They are configured where a profile is named, or where the
 * profile "default" says how to come by credentials. `identity` takes what tells one version of the files from another.
 */
extern bool source_profile_is_configured(const AwsConfig *config);
extern void source_profile_fetch(const AwsConfig *config, FoundCredentials *found);
extern const char *source_profile_region(const AwsConfig *config);
extern void source_profile_identity(const AwsConfig *config, ByteBuffer *identity);

/* web_identity and roles (source_role.c): STS. */
extern void source_role_assume(const AwsConfig *config, const SourceRole *role,
							   const FoundCredentials *base, FoundCredentials *found);
extern void source_web_identity_fetch(const AwsConfig *config, const SourceRole *role,
									  const char *token_file, FoundCredentials *found);

/* container (source_container.c): ECS, EKS Pod Identity. */
extern bool source_container_is_configured(const AwsConfig *config);
extern void source_container_fetch(const AwsConfig *config, FoundCredentials *found);

/*
 * instance (source_instance.c): EC2's metadata service. False, with why in `problem`, where there is none within
 * reach: this machine may be no instance.
 */
extern bool source_instance_fetch(const AwsConfig *config, FoundCredentials *found,
								  const char **problem);
extern const char *source_instance_region(const AwsConfig *config);

/*
 * Shared by the sources (source.c).
 */

/* Takes an answer's body; false with a few words that read behind "the answer …". Called outside of curl. */
typedef bool (*SourceReader)(const char *body, size_t length, void *context, const char **problem);

/*
 * From now on calls are made once, and with a short time-out (or as the settings say again): while credentials still
 * hold, nobody shall wait long for others.
 */
extern void source_be_hasty(bool hasty);

/* Makes one call. False with call->error set, also for an answer that `read` does not take. */
extern bool source_call(AwsCall *call, SourceReader read, void *context);

/* Raises what a call ended with: 28000 where a service that is none of AWS's refused it. */
pg_noreturn extern void source_raise(AwsCall *call);

/*
 * A SourceReader of JSON with credentials that expire: AccessKeyId, SecretAccessKey, Token or SessionToken, Expiration.
 * `context` is a FoundCredentials.
 */
extern bool source_read_json(const char *body, size_t length, void *context, const char **problem);

/* The same, of an object within a document that was checked; they need not expire. */
extern bool source_read_object(JsonValue object, FoundCredentials *found, const char **problem);

/* Takes over credentials as text; false with what is wrong with them. Copies them. */
extern bool source_take(FoundCredentials *found, const char *access_key_id, const char *secret,
						const char *session_token, const char **problem);

/* Reads a small file, without white space at its end; NUL-terminated. Throws 28000 where it cannot be read. */
extern char *source_read_file(const char *path, const char *what, size_t *length);

/* Wipes and frees a string, or what was found. */
extern void source_wipe(char *secret);
extern void source_forget(FoundCredentials *found);

#endif
