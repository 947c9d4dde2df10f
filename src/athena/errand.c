/*
 * errand.c
 *		What a statement has started at Athena and must not leave behind. See errand.h.
 */
#include "athena/errand.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "settings.h"
#include "storage/ipc.h"
#include "utils/builtins.h"

/* How long the answers are waited for. */
#define PATIENCE_US (5 * INT64CONST(1000000))

static dlist_head errands = DLIST_STATIC_INIT(errands);

/* Learns what a start that had no answer has started. */
static char *
learn_id(const AwsConfig *config, const AthenaOperation *operation, const NullableDatum *arguments)
{
	AthenaRequest request = {.operation = operation, .arguments = arguments};

	athena_request(config, &request, 1);
	if (!request.answered || request.error.sqlstate != 0)
		return NULL;
	return TextDatumGetCString(request.values[0]);
}

static void
append_outcome(StringInfo outcome, const char *what, const char *id, const AthenaRequest *request)
{
	if (outcome->len > 0)
		appendStringInfoChar(outcome, '\n');
	appendStringInfo(outcome, "%s %s: ", what, id);
	if (!request->answered)
		appendStringInfo(outcome,
						 request->attempts > 0 ? "no answer to %s yet" : "%s could not be sent",
						 request->operation->name);
	else if (request->error.sqlstate != 0)
		appendStringInfo(outcome, "%s failed: %s", request->operation->name,
						 request->error.message);
	else if (request->nulls[0])
		appendStringInfo(outcome, "%s succeeded", request->operation->name);
	else
		appendStringInfoString(outcome, TextDatumGetCString(request->values[0]));
}

/*
 * Says what cannot be mended: a start whose answer nobody knows. It may have started nothing.
 */
static void
append_unknown(StringInfo outcome, const AthenaOperation *operation, const NullableDatum *arguments)
{
	if (outcome->len > 0)
		appendStringInfoChar(outcome, '\n');
	if (operation == &operation_start_session)
		appendStringInfoString(outcome, "session: no answer to StartSession, it may have started");
	else
		appendStringInfo(outcome,
						 "calculation: no answer to StartCalculationExecution, it may run in "
						 "session %s",
						 TextDatumGetCString(arguments[START_CALCULATION_SESSION_ID].value));
}

/* Whether a calculation is left running. One in a session of its own goes with that. */
static bool
is_left(const Errand *errand)
{
	return setting_on_cancel == ON_CANCEL_LEAVE && errand->session_id == NULL;
}

/* Sends all that there is to say, at once: the one must not wait for the other's answer. */
static void
carry_out(Errand *errand, StringInfo outcome)
{
	AthenaRequest requests[2];
	NullableDatum arguments[2];
	int count = 0;

	memset(requests, 0, sizeof(requests));
	memset(arguments, 0, sizeof(arguments));
	if (errand->session_sent && errand->session_id == NULL)
		errand->session_id =
			learn_id(errand->config, &operation_start_session, errand->session_start);
	/* A calculation in a session that is terminated ends with it, whatever its ID. */
	if (errand->calculation_sent && errand->calculation_id == NULL && errand->session_id == NULL)
		errand->calculation_id = learn_id(errand->config, &operation_start_calculation_execution,
										  errand->calculation_start);

	if (errand->calculation_sent && errand->calculation_id == NULL && errand->session_id == NULL)
		append_unknown(outcome, &operation_start_calculation_execution, errand->calculation_start);
	if (errand->session_sent && errand->session_id == NULL)
		append_unknown(outcome, &operation_start_session, errand->session_start);
	if (errand->calculation_id != NULL && is_left(errand))
	{
		appendStringInfo(outcome, "calculation %s: left running (athena_calc.on_cancel)",
						 errand->calculation_id);
		errand->calculation_id = NULL;
	}

	if (errand->calculation_id != NULL)
	{
		arguments[count].value = CStringGetTextDatum(errand->calculation_id);
		requests[count].operation = &operation_stop_calculation_execution;
		requests[count].arguments = &arguments[count];
		count++;
	}
	if (errand->session_id != NULL)
	{
		arguments[count].value = CStringGetTextDatum(errand->session_id);
		requests[count].operation = &operation_terminate_session;
		requests[count].arguments = &arguments[count];
		count++;
	}
	if (count > 0)
		athena_request(errand->config, requests, count);

	count = 0;
	if (errand->calculation_id != NULL)
		append_outcome(outcome, "calculation", errand->calculation_id, &requests[count++]);
	if (errand->session_id != NULL)
		append_outcome(outcome, "session", errand->session_id, &requests[count]);
}

char *
errand_carry_out(Errand *errand, bool after_cancel)
{
	MemoryContext before = MemoryContextSwitchTo(errand->context);
	uint32 holds;
	StringInfoData outcome;

	errand_end(errand);
	initStringInfo(&outcome);
	HOLD_INTERRUPTS();
	holds = InterruptHoldoffCount;
	http_hurry(http_now() + PATIENCE_US, after_cancel);
	PG_TRY();
	{
		carry_out(errand, &outcome);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(errand->context);
		error = CopyErrorData();
		FlushErrorState();
		appendStringInfo(&outcome, "%s%s", outcome.len > 0 ? "\n" : "", error->message);
		/* An error lets go of all holds. */
		InterruptHoldoffCount = holds;
	}
	PG_END_TRY();
	http_hurry(0, false);
	RESUME_INTERRUPTS();
	MemoryContextSwitchTo(before);
	return outcome.len > 0 ? outcome.data : NULL;
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
		char *outcome = errand_carry_out(errand, false);

		if (outcome != NULL)
			ereport(LOG, (errmsg("the backend ends while it runs a calculation"),
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
