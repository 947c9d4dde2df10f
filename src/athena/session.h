/*
 * session.h
 *		Sessions to run in: waited for, found by name, started.
 */
#ifndef ATHENA_CALC_ATHENA_SESSION_H
#define ATHENA_CALC_ATHENA_SESSION_H

#include "athena/poll.h"

/* How a session stands. */
typedef struct SessionRow
{
	NullableDatum id;
	AthenaRequest status;  /* the last answer; answered is false before the first */
	AthenaRequest refusal; /* the last that was none */
	MemoryContext status_memory;
	MemoryContext refusal_memory;
	const char *state; /* "" for none */
} SessionRow;

/*
 * Waits until a session is IDLE, or the time of the poll is up; the row as it then is. Throws SP005 with the reason
 * when the session ends or is degraded, and what Athena refuses.
 */
extern void session_wait(Poll *poll, Datum session_id, SessionRow *row);

/*
 * The arguments of StartSession in `arguments` (START_SESSION_ARGUMENTS of them), with a fresh token. `work_group` and
 * `description` are text, `options` is jsonb: an object of arguments of start_session by name. Throws 22023 for
 * options that are none.
 */
extern void session_start_arguments(NullableDatum *arguments, NullableDatum work_group,
									NullableDatum description, NullableDatum options);

/*
 * Starts a session with such arguments, and gives its ID; waits while Athena throttles, also for want of DPUs. `sent` as in an
 * AwsCall. Throws SP003 when the time is up, and what Athena refuses.
 */
extern char *session_start(Poll *poll, const NullableDatum *arguments, bool *sent);

/*
 * The ID of a session of that name that can be used, or of a new one. Waits until it is IDLE, unless it is BUSY, or
 * until the time is up; a new one that is degraded is terminated. Only one backend of the cluster at a time looks for a session of
 * a name in a region and a work group, but while it pauses and has surely started none. Throws what session_wait() throws.
 */
extern char *session_acquire(Poll *poll, NullableDatum name, NullableDatum work_group,
							 NullableDatum options);

#endif
