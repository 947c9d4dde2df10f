/*
 * credentials.h
 *		The credentials that requests are signed with: found, kept, refreshed ahead of their end.
 *
 * The first source that is configured decides, in AWS's order: settings, a profile that is named for the session,
 * environment, web identity, profile, container, instance. One that is configured but broken is an error, never passed over. A role that is
 * configured beside them is then assumed with what was found. A server chosen by athena_calc.server comes before
 * them all: the keys of its user mapping, or what it makes of the server's own credentials.
 *
 * Credentials that expire are kept for the backend, and fetched anew some time before they do, at random so that
 * not all backends ask at once. A fetch that fails is tried again soon; until they expire the old ones serve.
 */
#ifndef ATHENA_CALC_AWS_CREDENTIALS_H
#define ATHENA_CALC_AWS_CREDENTIALS_H

#include "compat.h"

#include "aws/config.h"
#include "aws/sigv4.h"

typedef struct Credentials
{
	SigV4Credentials keys;
	const char *source; /* "settings", "instance, role arn:…": for people */
	int64 expiration;   /* seconds since 1970; 0 for never */
	bool refreshable;   /* whether asking again may bring others */
} Credentials;

/*
 * Fills in the credentials in force. What it points to stays until the next call of this module, or until
 * settings change, which they do not within a call. May call out, with the same waits and limits as any call. Throws 28000 where there are none, where a
 * source is broken, or where a secret comes from where others could read it; what the source's own service refuses,
 * by the table of errors.
 */
extern void credentials_get(const AwsConfig *config, Credentials *credentials);

/* The same after a service has refused those in force: fetches others first. */
extern void credentials_renew(const AwsConfig *config, Credentials *credentials);

/* Copies keys for what outlasts the next call of this module: they are wiped with the current memory context. */
extern const SigV4Credentials *credentials_copy_keys(const SigV4Credentials *keys);

#endif
