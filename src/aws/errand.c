/*
 * errand.c
 *		What is still to be said to a service when a statement ends early. See errand.h.
 */
#include "aws/errand.h"

#include "http/http.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"

/* How long the answers are waited for. */
#define PATIENCE_US (5 * INT64CONST(1000000))

static dlist_head errands = DLIST_STATIC_INIT(errands);

/*
 * Lets go of what an error may have been thrown with, as the abort that follows does first: the lock of a page, of which a row was
 * too long for an index. Others would wait for it as long as answers are waited for here, and not even a cancel would help them.
 */
static void
release_light_locks(void)
{
	LWLockReleaseAll();
	ConditionVariableCancelSleep();
	UnlockBuffers();
}

/*
 * The error that is being handled, which it ends, copied into the current memory context. NULL where there is no memory for that:
 * what is to be done must be done all the same.
 */
static ErrorData *
take_error(void)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData *volatile error = NULL;

	PG_TRY();
	{
		error = CopyErrorData();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
	}
	PG_END_TRY();
	FlushErrorState();
	return error;
}

/*
 * Carries it out and lays it down. Its lines, palloc'd in the errand's context; NULL for none. `after_cancel` is whether a
 * canceled query is why. Throws nothing but for want of memory: it is for when something was thrown already.
 */
static char *
carry_out(Errand *errand, bool after_cancel)
{
	MemoryContext before = MemoryContextSwitchTo(errand->context);
	const char *volatile problem = NULL;
	uint32 holds;
	StringInfoData outcome;

	release_light_locks();
	errand_end(errand);
	HOLD_INTERRUPTS();
	holds = InterruptHoldoffCount;
	http_hurry(http_now() + PATIENCE_US, after_cancel);
	PG_TRY();
	{
		errand->carry_out(errand);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(errand->context);
		error = take_error();
		problem = error != NULL ? error->message : "out of memory";
		/* An error lets go of all holds. */
		InterruptHoldoffCount = holds;
	}
	PG_END_TRY();
	http_hurry(0, false);
	initStringInfo(&outcome);
	errand->tell(errand, &outcome);
	if (problem != NULL)
		appendStringInfo(&outcome, "%s%s", outcome.len > 0 ? "\n" : "", problem);
	RESUME_INTERRUPTS();
	MemoryContextSwitchTo(before);
	return outcome.len > 0 ? outcome.data : NULL;
}

/*
 * A conflict with recovery that came again while answers were waited for would end the backend when it reads the next command, though the
 * transaction that was in the way has ended by then.
 */
static void
absorb_recovery_conflict(void)
{
	MemoryContext before = CurrentMemoryContext;

	if (!RECOVERY_CONFLICT_STAYS || !MyProc->recoveryConflictPending)
		return;
	QueryCancelPending = InterruptPending = true;
	PG_TRY();
	{
		CHECK_FOR_INTERRUPTS();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(before);
		FlushErrorState();
	}
	PG_END_TRY();
}

/* FATAL passes no PG_CATCH: what is still to be done is done here, while the backend can still wait. */
static void
carry_out_all(int code, Datum argument)
{
	(void) code;
	(void) argument;
	while (!dlist_is_empty(&errands))
	{
		Errand *errand = dlist_container(Errand, node, dlist_tail_node(&errands));
		char *outcome = carry_out(errand, false);

		if (outcome != NULL)
			ereport(LOG, (errmsg("the backend ends while it %s", errand->what),
						  errdetail_internal("%s", outcome)));
	}
}

void
errand_begin(Errand *errand)
{
	static bool registered = false;

	if (!registered)
	{
		before_shmem_exit(carry_out_all, 0);
		registered = true;
	}
	errand->context = CurrentMemoryContext;
	dlist_push_tail(&errands, &errand->node);
}

void
errand_end(Errand *errand)
{
	if (errand->node.next != NULL)
		dlist_delete(&errand->node);
	errand->node.next = NULL;
}

void
errand_carry_out_and_rethrow(Errand *errand)
{
	ErrorData *error;
	char *outcome;

	MemoryContextSwitchTo(errand->context);
	error = take_error();
	outcome = carry_out(errand, error != NULL && error->sqlerrcode == ERRCODE_QUERY_CANCELED);
	absorb_recovery_conflict();
	if (error == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						outcome != NULL ? errdetail_internal("%s", outcome) : 0));
	if (outcome != NULL)
		error->detail =
			error->detail != NULL ? psprintf("%s\n%s", error->detail, outcome) : outcome;
	ReThrowError(error);
}
