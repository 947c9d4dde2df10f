/*
 * poll.h
 *		Waiting for Athena, which tells nobody anything by itself: how often to ask, and for how long.
 *
 * A pause is a wait for PostgreSQL's latch: a cancel ends it at once. The first is a quarter of a second; they grow to
 * athena_calc.max_poll_interval, each at random a little shorter, so that many waits do not ask all together.
 * https://docs.aws.amazon.com/athena/latest/ug/events-ref-athena.html knows no event for calculations.
 */
#ifndef ATHENA_CALC_ATHENA_POLL_H
#define ATHENA_CALC_ATHENA_POLL_H

#include "athena/execute.h"
#include "datatype/timestamp.h"

typedef struct Poll
{
	AwsConfig config;      /* a copy: it lasts as long as the wait, whatever is set meanwhile */
	int64 begun;           /* on the clock of http_now() */
	int64 deadline;        /* on the same; 0 for never */
	int64 pause;           /* the next, in microseconds */
	int64 trouble;         /* since when every request has failed, on the same; 0 for not */
	bool commits;          /* whether each pause is preceded by a commit */
	MemoryContext memory;  /* where it was begun */
	MemoryContext outcome; /* of its last requests */
} Poll;

/*
 * Begins a wait with the current configuration; `timeout` is an argument of type interval. Memory is of the current context. Throws
 * 22023 for a time below zero, and what aws_config_get() throws.
 */
extern void poll_begin(Poll *poll, NullableDatum timeout);

/*
 * Makes requests within the time that is left, and a little more where next to none is: they are made at least once.
 * See athena_request(), but that their outcomes last until the next ones of the wait: it may be long.
 */
extern void poll_request(Poll *poll, AthenaRequest *requests, int count);

/* The same with a list; see athena_list(). */
extern bool poll_list(Poll *poll, const AthenaOperation *operation, const NullableDatum *arguments,
					  AthenaRow row, void *context, AthenaRequest *last);

/* The region of its requests, within the time that is left: it may have to be asked for. See aws_resolve_region(). */
extern const char *poll_region(const Poll *poll);

/* Begins with short pauses again: what is waited for is about to change. */
extern void poll_hasten(Poll *poll);

/* Ends the transaction of a wait that commits, so that what comes next holds no snapshot and no lock. */
extern void poll_commit(const Poll *poll);

/* Pauses, no longer than the time that is left. False when none is. Throws what CHECK_FOR_INTERRUPTS throws. */
extern bool poll_pause(Poll *poll);

/*
 * Whether a request that failed may be made again after a pause: throttling always, trouble of the service or on the
 * way for a while. What succeeds, or is refused, ends the trouble.
 */
extern bool poll_forgives(Poll *poll, const AwsError *error);

/* Raises that the time is up (SP003), and what was waited for. */
pg_noreturn extern void poll_raise_timed_out(const char *what);

/*
 * Says in a NOTICE that something has another state than before, where athena_calc.progress is on. `before` is kept in the wait's
 * own memory.
 */
extern void poll_report(const Poll *poll, const char *what, const char *id, const char **before,
						const char *state);

#endif
