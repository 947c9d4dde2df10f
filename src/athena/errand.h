/*
 * errand.h
 *		What a statement has started at Athena and must not leave behind.
 *
 * However the statement ends early (cancel, time-out, any error, the end of the backend), a calculation is stopped and
 * a session of its own terminated, before the error goes on its way: the requests leave at once, and their answers are
 * waited for at most a few seconds, or until somebody cancels again. A start whose answer is not known is sent once
 * more first, with its token: for that Athena gives the ID of what it has started. What nothing can be done about is a
 * backend that is killed (kill -9, an immediate shutdown, a crash).
 */
#ifndef ATHENA_CALC_ATHENA_ERRAND_H
#define ATHENA_CALC_ATHENA_ERRAND_H

#include "athena/execute.h"
#include "lib/ilist.h"

typedef struct Errand
{
	dlist_node node;
	const AwsConfig *config;
	MemoryContext context; /* lives as long as the errand */

	/* Starts, and whether they were sent and have had no answer, or none that says that nothing was started. */
	const NullableDatum *calculation_start;
	const NullableDatum *session_start;
	bool calculation_sent;
	bool session_sent;

	char *calculation_id; /* that is to be stopped; NULL for none */
	char *session_id;     /* that is to be terminated; NULL for none */
} Errand;

/* Takes it up: from now on the end of the backend carries it out. The caller fills in config and zeroes the rest. */
extern void errand_begin(Errand *errand);

/* Lays it down. Nothing is sent. */
extern void errand_end(Errand *errand);

/*
 * Carries it out and lays it down. What Athena answered about the calculation, in a sentence, palloc'd in the errand's
 * context; NULL where there was nothing to stop. `after_cancel` is whether a canceled query is why. Throws nothing: it is for when something was thrown already.
 */
extern char *errand_carry_out(Errand *errand, bool after_cancel);

#endif
