/*
 * settings.h
 *		Every setting of the extension.
 *
 * Settings are read at each call; a value that cannot be right was refused when it was set. Strings are
 * never NULL, "" means not set. They belong to PostgreSQL's settings and may change with the next
 * interrupt: copy what must last.
 */
#ifndef ATHENA_CALC_SETTINGS_H
#define ATHENA_CALC_SETTINGS_H

#include "compat.h"

extern char *setting_access_key_id;
extern char *setting_secret_access_key;
extern char *setting_session_token;
extern char *setting_region;
extern char *setting_endpoint_url;
extern char *setting_s3_endpoint_url;
extern char *setting_ca_bundle;
extern char *setting_work_group;
extern int setting_connect_timeout; /* milliseconds */
extern int setting_request_timeout; /* milliseconds */
extern int setting_max_attempts;
extern int setting_max_concurrency;
extern int setting_max_response_size; /* kilobytes */

/* Defines them all. Called once, by _PG_init. */
extern void settings_define(void);

/*
 * Throws 28000 when a secret came from where other roles can read it: the configuration file while the
 * library is not preloaded, ALTER ROLE, ALTER DATABASE.
 */
extern void settings_check_secrets(void);

#endif
