/*
 * poll.c
 *		Waiting for Athena. See poll.h.
 */
#include "athena/poll.h"

#include "aws/resolve.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "settings.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define FIRST_PAUSE_US 250000

/* What a pause is multiplied by to get the next. */
#define GROWTH 1.5

/* A pause is shorter by up to this part of it. */
#define JITTER 0.2

/* How long a last request may take when the time is up. */
#define GRACE_US 1000000

/*
 * Trouble is borne for so many of the longest pauses, or for this part of the time that went well before: work of hours is not lost for
 * an outage of minutes.
 */
#define TROUBLE_PAUSES 4
#define TROUBLE_PART 10

/* A wait of more than this is as good as one without an end. */
#define MAX_TIMEOUT_US (INT64CONST(100) * 365 * USECS_PER_DAY)

static int64
longest_pause(void)
{
	return (int64) setting_max_poll_interval * 1000;
}

/* A time-out in microseconds; a month has 30 days. */
static int64
timeout_us(const Interval *timeout)
{
	double length = (double) timeout->time + (double) timeout->day * (double) USECS_PER_DAY +
					(double) timeout->month * DAYS_PER_MONTH * (double) USECS_PER_DAY;

	if (length < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"timeout\" must not be negative"),
						errhint("Leave it out, or NULL, to wait without an end.")));
	return length > (double) MAX_TIMEOUT_US ? MAX_TIMEOUT_US : (int64) length;
}

void
poll_begin(Poll *poll, NullableDatum timeout)
{
	memset(poll, 0, sizeof(*poll));
	poll->memory = CurrentMemoryContext;
	poll->outcome =
		AllocSetContextCreate(poll->memory, "athena_calc outcome", ALLOCSET_SMALL_SIZES);
	poll->begun = http_now();
	if (!timeout.isnull)
		poll->deadline = poll->begun + timeout_us(DatumGetIntervalP(timeout.value));
	aws_config_get(&poll->config);
	aws_config_copy(&poll->config);
	poll_hasten(poll);
}

/* Bounds what is asked for by the time that is left. */
static void
set_deadline(const Poll *poll)
{
	if (poll->deadline != 0)
		http_set_deadline(Max(poll->deadline, http_now() + GRACE_US));
}

void
poll_request(Poll *poll, AthenaRequest *requests, int count)
{
	MemoryContext before;

	MemoryContextReset(poll->outcome);
	before = MemoryContextSwitchTo(poll->outcome);
	set_deadline(poll);
	PG_TRY();
	{
		athena_request(&poll->config, requests, count);
	}
	PG_FINALLY();
	{
		http_set_deadline(0);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(before);
	for (int i = 0; i < count; i++)
	{
		if (requests[i].error.sqlstate == 0)
			poll->trouble = 0;
	}
}

bool
poll_list(Poll *poll, const AthenaOperation *operation, const NullableDatum *arguments,
		  AthenaRow row, void *context, AthenaRequest *last)
{
	volatile bool listed = false;

	set_deadline(poll);
	PG_TRY();
	{
		listed = athena_list(&poll->config, operation, arguments, row, context, last);
	}
	PG_FINALLY();
	{
		http_set_deadline(0);
	}
	PG_END_TRY();
	if (listed)
		poll->trouble = 0;
	return listed;
}

const char *
poll_region(const Poll *poll)
{
	const char *volatile region = NULL;

	set_deadline(poll);
	PG_TRY();
	{
		region = aws_resolve_region(&poll->config, NULL);
	}
	PG_FINALLY();
	{
		http_set_deadline(0);
	}
	PG_END_TRY();
	return region;
}

void
poll_hasten(Poll *poll)
{
	poll->pause = Min(FIRST_PAUSE_US, longest_pause());
}

/*
 * Ends the transaction, so that the wait holds no snapshot and no lock. What the catalogs were looked at with counts
 * as a snapshot, too.
 */
void
poll_commit(const Poll *poll)
{
	MemoryContext before = CurrentMemoryContext;

	if (!poll->commits)
		return;
	SPI_commit();
	SPI_start_transaction();
	MemoryContextSwitchTo(before);
	InvalidateCatalogSnapshot();
}

bool
poll_pause(Poll *poll)
{
	static uint32 wait_event = 0;
	int64 now = http_now();
	int64 until = now + (int64) ((double) poll->pause * (1 - JITTER * random_fraction()));

	if (poll->deadline != 0 && now >= poll->deadline)
		return false;
	if (poll->deadline != 0 && until > poll->deadline)
		until = poll->deadline;
	poll_commit(poll);
	if (wait_event == 0)
		wait_event = named_wait_event("AthenaCalcPoll");
	for (; now < until; now = http_now())
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 (long) ((until - now + 999) / 1000), wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	poll->pause = Min((int64) ((double) poll->pause * GROWTH), longest_pause());
	return true;
}

bool
poll_forgives(Poll *poll, const AwsError *error)
{
	switch (error->sqlstate)
	{
		case ERRCODE_CONFIGURATION_LIMIT_EXCEEDED:
			/* A quota that is used up is no throttling: it takes somebody to end sessions. */
			if (error->message != NULL && strstr(error->message, "Maximum allowed") != NULL)
				return false;
			/* It asks us to ask less often. */
			poll->trouble = 0;
			poll->pause = longest_pause();
			return true;
		case ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION:
		case ERRCODE_CONNECTION_FAILURE:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_INSUFFICIENT_RESOURCES:
			if (poll->trouble == 0)
				poll->trouble = http_now();
			return http_now() < poll->trouble + Max(TROUBLE_PAUSES * longest_pause(),
													(poll->trouble - poll->begun) / TROUBLE_PART);
		default:
			poll->trouble = 0;
			return false;
	}
}

void
poll_raise_timed_out(const char *what)
{
	ereport(ERROR,
			(errcode(MAKE_SQLSTATE('S', 'P', '0', '0', '3')), errmsg("timed out: %s", what)));
}

void
poll_report(const Poll *poll, const char *what, const char *id, const char **before,
			const char *state)
{
	if (*before != NULL && strcmp(*before, state) == 0)
		return;
	*before = MemoryContextStrdup(poll->memory, state);
	if (setting_progress)
		ereport(NOTICE, (errmsg("%s %s: %s", what, id, state)));
}
