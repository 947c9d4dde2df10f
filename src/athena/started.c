/*
 * started.c
 *		What a statement has started at Athena and must not leave behind. See started.h.
 */
#include "athena/started.h"

#include "settings.h"
#include "utils/builtins.h"

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

/* Says what cannot be mended: a start whose answer nobody knows. It may have started nothing. */
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

/* Whether the calculation is left running. One in a session of its own goes with that. */
static bool
is_left(const Started *started)
{
	return started->leaves && started->session_id == NULL;
}

/* Sends all that there is to say, at once: the one must not wait for the other's answer. */
static void
carry_out(Errand *errand)
{
	Started *started = (Started *) errand;
	bool stops;
	bool terminates;

	if (started->session_sent && started->session_id == NULL)
		started->session_id =
			learn_id(started->config, &operation_start_session, started->session_start);
	/* A calculation in a session that is terminated ends with it, whatever its ID. */
	if (started->calculation_sent && started->calculation_id == NULL && started->session_id == NULL)
		started->calculation_id = learn_id(started->config, &operation_start_calculation_execution,
										   started->calculation_start);

	stops = started->calculation_id != NULL && !is_left(started);
	terminates = started->session_id != NULL;
	if (stops)
		started->end_arguments[0].value = CStringGetTextDatum(started->calculation_id);
	if (terminates)
		started->end_arguments[1].value = CStringGetTextDatum(started->session_id);
	if (stops || terminates)
		athena_request(started->config, stops ? &started->ends[0] : &started->ends[1],
					   (int) stops + (int) terminates);
}

/* Says what has become of all that was started. */
static void
tell(Errand *errand, StringInfo outcome)
{
	const Started *started = (const Started *) errand;

	if (started->calculation_sent && started->calculation_id == NULL && started->session_id == NULL)
		append_unknown(outcome, &operation_start_calculation_execution, started->calculation_start);
	if (started->session_sent && started->session_id == NULL)
		append_unknown(outcome, &operation_start_session, started->session_start);
	if (started->calculation_id != NULL && is_left(started))
		appendStringInfo(outcome, "calculation %s: left running (athena_calc.on_cancel)",
						 started->calculation_id);
	else if (started->calculation_id != NULL)
		append_outcome(outcome, "calculation", started->calculation_id, &started->ends[0]);
	if (started->session_id != NULL)
		append_outcome(outcome, "session", started->session_id, &started->ends[1]);
}

void
started_begin(Started *started)
{
	started->errand.what = "runs a calculation";
	started->errand.carry_out = carry_out;
	started->errand.tell = tell;
	started->leaves = setting_on_cancel == ON_CANCEL_LEAVE;
	started->ends[0].operation = &operation_stop_calculation_execution;
	started->ends[1].operation = &operation_terminate_session;
	for (int i = 0; i < (int) lengthof(started->ends); i++)
		started->ends[i].arguments = &started->end_arguments[i];
	errand_begin(&started->errand);
}
