/*
 * settings.h
 *		Every setting of the extension.
 *
 * Settings are read at each call; a value that cannot be right was refused when it was set. Strings are
 * never NULL, "" means not set. They belong to PostgreSQL's settings and may change with the next
 * interrupt: copy what must last.
 *
 * What is about AWS is read through aws/config.h, where servers, user mappings and the environment stand
 * beside the settings.
 */
#ifndef ATHENA_CALC_SETTINGS_H
#define ATHENA_CALC_SETTINGS_H

#include "compat.h"

#include "aws/option.h"

extern char *setting_options[AWS_OPTION_COUNT]; /* "athena_calc.NAME" of aws/option.h */
extern char *setting_server;                    /* the name of a foreign server */
extern bool setting_allow_credential_process;
extern int setting_connect_timeout; /* milliseconds */
extern int setting_request_timeout; /* milliseconds */
extern int setting_max_attempts;
extern int setting_max_concurrency;
extern int setting_max_response_size; /* kilobytes */
extern int setting_max_poll_interval; /* milliseconds */
extern bool setting_progress;

/* How many answers of the largest size may be kept together, of a list or a batch. */
#define MAX_KEPT_ANSWERS 16

static inline bool
setting_may_keep(size_t bytes)
{
	return bytes <= (size_t) setting_max_response_size * 1024 * MAX_KEPT_ANSWERS;
}

typedef enum OnCancel
{
	ON_CANCEL_STOP,
	ON_CANCEL_LEAVE
} OnCancel;

extern int setting_on_cancel; /* an OnCancel */

/* Defines them all. Called once, by _PG_init. */
extern void settings_define(void);

/* Whether the library was loaded by shared_preload_libraries, before any session could look. */
extern bool settings_are_preloaded(void);

/*
 * Throws 28000 when a secret came from where other roles can read it: the configuration file while the
 * library is not preloaded, ALTER ROLE, ALTER DATABASE.
 */
extern void settings_check_secret(AwsOption secret);

#endif
