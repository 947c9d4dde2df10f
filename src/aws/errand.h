/*
 * errand.h
 *		What is still to be said to a service when a statement ends early.
 *
 * However it ends (cancel, time-out, any error, the end of the backend), what it has begun there and must not leave behind is
 * taken back before the error goes on its way: the requests leave at once, and their answers are waited for at most a few
 * seconds, or until somebody cancels again. What nothing can be done about is a backend that is killed (kill -9, an immediate
 * shutdown, a crash).
 */
#ifndef ATHENA_CALC_AWS_ERRAND_H
#define ATHENA_CALC_AWS_ERRAND_H

#include "compat.h"

#include "lib/ilist.h"
#include "lib/stringinfo.h"

typedef struct Errand Errand;

struct Errand
{
	dlist_node node;
	MemoryContext context; /* lives as long as the errand */
	const char *what;      /* what the statement does, for the log: "runs a calculation" */

	/* Does what is left to be done, in the errand's context. May throw, as where there are no credentials any more. */
	void (*carry_out)(Errand *errand);

	/* Appends lines about what has become of it: to be called after that, however it ended. */
	void (*tell)(Errand *errand, StringInfo outcome);
};

/* Takes it up: from now on the end of the backend carries it out. The caller fills in `what`, carry_out and tell. */
extern void errand_begin(Errand *errand);

/* Lays it down; nothing is sent. One that is not taken up may be laid down, too. */
extern void errand_end(Errand *errand);

/*
 * To be called in PG_CATCH: carries it out, adds its lines to the error's DETAIL, and raises the error again; 53200 where there is
 * no memory to keep that error.
 */
pg_noreturn extern void errand_carry_out_and_rethrow(Errand *errand);

#endif
