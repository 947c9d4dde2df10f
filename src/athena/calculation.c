/*
 * calculation.c
 *		Calculations waited for: one, or many together. See calculation.h.
 */
#include "athena/calculation.h"

#include "athena/activity.h"
#include "athena/function.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* https://docs.aws.amazon.com/athena/latest/APIReference/API_CalculationStatus.html */
static const char *const states_that_end[] = {"COMPLETED", "FAILED", "CANCELED"};

WaitedCalculation *
calculations_wait_for(const Datum *ids, int count)
{
	WaitedCalculation *calculations =
		palloc_extended(sizeof(WaitedCalculation) * Max(count, 1), MCXT_ALLOC_HUGE);

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		calculations[i] = (WaitedCalculation){
			.id = {.value = ids[i]},
			.memory = AllocSetContextCreate(CurrentMemoryContext, "athena_calc calculation",
											ALLOCSET_SMALL_SIZES)};
	}
	return calculations;
}

/* Whether an answer is the last: it has ended in whatever state, also in one that is not known here. */
static bool
has_ended(const WaitedCalculation *calculation)
{
	for (int i = 0; i < (int) lengthof(states_that_end); i++)
	{
		if (strcmp(calculation->state, states_that_end[i]) == 0)
			return true;
	}
	return !calculation->last.nulls[CALCULATION_COMPLETION];
}

static void
keep_answer(WaitedCalculation *calculation, const AthenaRequest *request)
{
	athena_request_keep(&calculation->last, request, calculation->memory);
	calculation->last.arguments = &calculation->id;
	calculation->state =
		request->error.sqlstate != 0
			? ""
			: athena_kept_text(&calculation->last, CALCULATION_STATE, calculation->memory);
}

/* What an answer, or none, says of a calculation. */
static void
take_answer(Poll *poll, WaitedCalculation *calculation, const AthenaRequest *request)
{
	if (request->error.sqlstate == 0)
	{
		keep_answer(calculation, request);
		poll_report(poll, "calculation", TextDatumGetCString(calculation->id.value),
					&calculation->reported, calculation->state);
		calculation->ended = has_ended(calculation);
		return;
	}
	calculation->ended = !poll_forgives(poll, &request->error);
	/* What was known before is better than trouble that passes, and trouble than no time for an answer. */
	if (calculation->ended || !calculation->last.answered ||
		(calculation->last.error.sqlstate != 0 && request->answered))
		keep_answer(calculation, request);
}

int
calculations_ask(Poll *poll, WaitedCalculation *calculations, int count)
{
	MemoryContext round =
		AllocSetContextCreate(CurrentMemoryContext, "athena_calc poll", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(round);
	AthenaRequest *requests =
		palloc_extended(sizeof(AthenaRequest) * Max(count, 1), MCXT_ALLOC_HUGE);
	int asked = 0;
	int left = 0;
	int64 since;
	int64 trouble = 0;

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (calculations[i].ended)
			continue;
		requests[asked++] = (AthenaRequest){.operation = &operation_get_calculation_execution,
											.arguments = &calculations[i].id};
	}
	poll_request(poll, requests, asked);

	/* Trouble is counted once for all of them. What one is throttled for does not end the trouble that another has. */
	since = poll->trouble;
	asked = 0;
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (calculations[i].ended)
			continue;
		poll->trouble = since;
		take_answer(poll, &calculations[i], &requests[asked++]);
		if (poll->trouble != 0)
			since = trouble = poll->trouble;
		left += !calculations[i].ended;
	}
	poll->trouble = trouble;
	/* What is to be kept is; answers of thousands shall not stay beside it for a pause. */
	MemoryContextReset(poll->outcome);
	MemoryContextSwitchTo(before);
	MemoryContextDelete(round);
	return left;
}

bool
calculation_wait(Poll *poll, WaitedCalculation *calculation)
{
	do
	{
		bool has_ended = calculations_ask(poll, calculation, 1) == 0;

		if (calculation->last.error.sqlstate == 0)
			activity_set_state(calculation->state);
		if (has_ended)
			return true;
	} while (poll_pause(poll));
	return false;
}

/* wait_for_calculation(calculation_execution_id text, timeout interval) → calculation_execution */
ATHENA_CALC_FUNCTION(athena_calc_wait_for_calculation);
Datum
athena_calc_wait_for_calculation(PG_FUNCTION_ARGS)
{
	Poll poll;
	Datum id;
	WaitedCalculation *calculation;

	sql_expect_arguments(fcinfo, 2);
	sql_require(fcinfo, 0, "calculation_execution_id");
	id = PG_GETARG_DATUM(0);
	poll_begin(&poll, fcinfo->args[1]);
	calculation = calculations_wait_for(&id, 1);
	activity_wait_for(TextDatumGetCString(id), NULL);
	(void) calculation_wait(&poll, calculation);
	activity_end();
	if (calculation->last.error.sqlstate != 0)
		athena_request_raise(&calculation->last);
	return sql_form_row(fcinfo, calculation->last.values, calculation->last.nulls,
						CALCULATION_COLUMNS);
}

/* wait_for_calculations(calculation_execution_ids text[], timeout interval) → rows with error columns */
ATHENA_CALC_FUNCTION(athena_calc_wait_for_calculations);
Datum
athena_calc_wait_for_calculations(PG_FUNCTION_ARGS)
{
	Poll poll;
	Datum *ids;
	int count;
	WaitedCalculation *calculations;
	SqlRows sink;
	int left;

	sql_expect_arguments(fcinfo, 2);
	count = sql_get_ids(fcinfo, 0, "calculation_execution_ids", &ids);
	sql_open_rows(fcinfo, CALCULATION_COLUMNS + 2, &sink);
	poll_begin(&poll, fcinfo->args[1]);
	if (count == 0)
		return (Datum) 0;
	calculations = calculations_wait_for(ids, count);
	activity_wait_for(NULL, NULL);
	while ((left = calculations_ask(&poll, calculations, count)) > 0)
	{
		char progress[64];

		snprintf(progress, sizeof(progress), "%d of %d", count - left, count);
		activity_set_state(progress);
		if (!poll_pause(&poll))
			break;
	}
	activity_end();
	for (int i = 0; i < count; i++)
	{
		Datum values[CALCULATION_COLUMNS + 2];
		bool nulls[CALCULATION_COLUMNS + 2];

		athena_batch_row(&calculations[i].last, values, nulls);
		sql_put_row(values, nulls, &sink);
	}
	return (Datum) 0;
}
