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

const char *
calculation_state(const WaitedCalculation *calculation)
{
	const AthenaRequest *last = &calculation->last;

	return last->nulls[CALCULATION_STATE] ? ""
										  : TextDatumGetCString(last->values[CALCULATION_STATE]);
}

/* Whether an answer is the last: it has ended in whatever state, also in one that is not known here. */
static bool
has_ended(const WaitedCalculation *calculation)
{
	const char *state = calculation_state(calculation);

	for (int i = 0; i < (int) lengthof(states_that_end); i++)
	{
		if (strcmp(state, states_that_end[i]) == 0)
			return true;
	}
	return !calculation->last.nulls[CALCULATION_COMPLETION];
}

/* Copies an answer into the calculation's own memory. */
static void
keep_answer(WaitedCalculation *calculation, const AthenaRequest *request)
{
	const AthenaOperation *operation = request->operation;
	MemoryContext before;
	AthenaRequest *last = &calculation->last;

	MemoryContextReset(calculation->memory);
	before = MemoryContextSwitchTo(calculation->memory);
	*last = *request;
	last->arguments = &calculation->id;
	if (request->error.sqlstate == 0)
	{
		last->values = palloc(sizeof(Datum) * operation->column_count);
		last->nulls = palloc(sizeof(bool) * operation->column_count);
		for (int i = 0; i < operation->column_count; i++)
		{
			bool by_value = operation->columns[i].kind == ATHENA_SECONDS ||
							operation->columns[i].kind == ATHENA_BIGINT;

			last->nulls[i] = request->nulls[i];
			last->values[i] = request->nulls[i] || by_value
								  ? request->values[i]
								  : PointerGetDatum(PG_DETOAST_DATUM_COPY(request->values[i]));
		}
	}
	else
		aws_error_copy(&last->error, &request->error);
	MemoryContextSwitchTo(before);
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
	bool forgiven = true;
	bool troubled = false;
	int64 since;

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (calculations[i].ended)
			continue;
		requests[asked++] = (AthenaRequest){.operation = &operation_get_calculation_execution,
											.arguments = &calculations[i].id};
	}
	poll_request(poll, requests, asked);

	/* Trouble is counted once for all of them, and ends when one was answered. */
	for (int i = 0; i < asked; i++)
	{
		if (requests[i].error.sqlstate == 0)
			poll->trouble = 0;
	}
	since = poll->trouble;
	asked = 0;
	for (int i = 0; i < count; i++)
	{
		WaitedCalculation *calculation = &calculations[i];
		const AthenaRequest *request = &requests[asked];

		CHECK_FOR_INTERRUPTS();
		if (calculation->ended)
			continue;
		asked++;
		if (request->error.sqlstate == 0)
		{
			keep_answer(calculation, request);
			MemoryContextSwitchTo(before);
			poll_report("calculation", TextDatumGetCString(calculation->id.value),
						&calculation->reported, calculation_state(calculation));
			MemoryContextSwitchTo(round);
			calculation->ended = has_ended(calculation);
		}
		else
		{
			/* What one is throttled for does not end the trouble that another has. */
			poll->trouble = since;
			forgiven = poll_forgives(poll, &request->error);
			if (poll->trouble != 0)
			{
				since = poll->trouble;
				troubled = true;
			}
			calculation->ended = !forgiven;
			/* What was known before is better than trouble that passes, and trouble than no time for an answer. */
			if (!forgiven || !calculation->last.answered ||
				(calculation->last.error.sqlstate != 0 && request->answered))
				keep_answer(calculation, request);
		}
		left += !calculation->ended;
	}
	poll->trouble = troubled ? since : 0;
	MemoryContextSwitchTo(before);
	MemoryContextDelete(round);
	return left;
}

static const Interval *
get_timeout(FunctionCallInfo fcinfo)
{
	return PG_ARGISNULL(1) ? NULL : PG_GETARG_INTERVAL_P(1);
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
	poll_begin(&poll, get_timeout(fcinfo));
	calculation = calculations_wait_for(&id, 1);
	activity_wait_for(TextDatumGetCString(id), NULL);
	while (calculations_ask(&poll, calculation, 1) > 0)
	{
		if (calculation->last.error.sqlstate == 0)
			activity_set_state(calculation_state(calculation));
		if (!poll_pause(&poll))
			break;
	}
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
	poll_begin(&poll, get_timeout(fcinfo));
	if (count == 0)
		return (Datum) 0;
	calculations = calculations_wait_for(ids, count);
	activity_wait_for(NULL, NULL);
	while ((left = calculations_ask(&poll, calculations, count)) > 0)
	{
		activity_set_state(psprintf("%d of %d", count - left, count));
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
