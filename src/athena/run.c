/*
 * run.c
 *		run_calculation and CALL run: a calculation from its code to its end, in one statement.
 *
 * What was started is stopped however the statement ends early (started.h). The procedure is the function with a commit
 * before each pause, so that a long run holds back no vacuum.
 */
#include "athena/activity.h"
#include "athena/calculation.h"
#include "athena/code.h"
#include "athena/started.h"
#include "athena/function.h"
#include "athena/session.h"
#include "aws/catch.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "s3/object.h"
#include "aws/encoding.h"
#include "utils/builtins.h"
#include "utils/portal.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

/* How much of what a failed calculation wrote to standard error stands in the error's DETAIL. */
#define STDERR_BYTES 4096

/* How long the termination of a session is tried when all else went well. */
#define END_SESSION_US (60 * INT64CONST(1000000))

/* How many sessions of a name are taken in place of one that has ended since it was found. */
#define MAX_SESSIONS 3

/* By this whoever looks for what a crash of the server left behind finds it. */
#define OWN_SESSION_DESCRIPTION "athena_calc.run_calculation"

#define SQLSTATE_FAILED MAKE_SQLSTATE('S', 'P', '0', '0', '1')
#define SQLSTATE_CANCELED MAKE_SQLSTATE('S', 'P', '0', '0', '2')

/* The arguments of both, in their order. */
enum
{
	RUN_CODE_BLOCK,
	RUN_SESSION_ID,
	RUN_SESSION_NAME,
	RUN_WORK_GROUP,
	RUN_DESCRIPTION,
	RUN_TIMEOUT,
	RUN_PARAMS,
	RUN_SESSION_OPTIONS,
	RUN_CODE_S3_URI,
	RUN_ARGUMENTS
};

typedef struct Run
{
	NullableDatum arguments[RUN_ARGUMENTS]; /* copies that outlive transactions */
	Poll poll;
	Started started;
	NullableDatum start[START_CALCULATION_ARGUMENTS];
	NullableDatum session_start[START_SESSION_ARGUMENTS];
	char *session_id;
	bool own_session;
	WaitedCalculation *calculation;
} Run;

/* Copies the arguments into the current memory context. */
static void
copy_arguments(FunctionCallInfo fcinfo, Run *run)
{
	for (int i = 0; i < RUN_ARGUMENTS; i++)
	{
		run->arguments[i] = fcinfo->args[i];
		if (run->arguments[i].isnull)
			continue;
		if (i == RUN_TIMEOUT)
		{
			Interval *copy = palloc(sizeof(Interval));

			*copy = *DatumGetIntervalP(fcinfo->args[i].value);
			run->arguments[i].value = IntervalPGetDatum(copy);
		}
		else
			run->arguments[i].value = PointerGetDatum(PG_DETOAST_DATUM_COPY(fcinfo->args[i].value));
	}
	if (!run->arguments[RUN_SESSION_ID].isnull)
	{
		if (!run->arguments[RUN_SESSION_NAME].isnull)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("session_id and session_name exclude each other")));
		if (!run->arguments[RUN_WORK_GROUP].isnull)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("session_id and work_group exclude each other"),
							errhint("A session has a work group already.")));
		if (!run->arguments[RUN_SESSION_OPTIONS].isnull)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("session_options are for a session that is started, not for "
								   "one that is given")));
	}
}

/* Whether a session cannot take a calculation yet: it runs another, or is not there yet. */
static bool
is_not_idle(const AthenaRequest *request)
{
	return request->error.sqlstate == SQLSTATE_SESSION_BUSY ||
		   (request->error.sqlstate == ERRCODE_INVALID_PARAMETER_VALUE &&
			strstr(request->error.message, "needs to be IDLE") != NULL);
}

static void
wait_until_idle(Run *run)
{
	SessionRow row;

	session_wait(&run->poll, CStringGetTextDatum(run->session_id), &row);
	if (strcmp(row.state, "IDLE") != 0)
		poll_raise_timed_out(psprintf("session %s is still %s", run->session_id, row.state));
}

/* Starts a session that nobody else knows of, and that is terminated whatever happens. */
static void
start_own_session(Run *run)
{
	NullableDatum description = {.value = CStringGetTextDatum(OWN_SESSION_DESCRIPTION)};

	session_start_arguments(run->session_start, run->arguments[RUN_WORK_GROUP], description,
							run->arguments[RUN_SESSION_OPTIONS]);
	run->started.session_start = run->session_start;
	run->session_id = session_start(&run->poll, run->session_start, &run->started.session_sent);
	run->started.session_id = run->session_id;
	run->started.session_sent = false;
	run->own_session = true;
	poll_hasten(&run->poll);
	wait_until_idle(run);
}

static void
find_session(Run *run)
{
	if (!run->arguments[RUN_SESSION_ID].isnull)
		run->session_id = TextDatumGetCString(run->arguments[RUN_SESSION_ID].value);
	else if (!run->arguments[RUN_SESSION_NAME].isnull)
		run->session_id =
			session_acquire(&run->poll, run->arguments[RUN_SESSION_NAME],
							run->arguments[RUN_WORK_GROUP], run->arguments[RUN_SESSION_OPTIONS]);
	else
		start_own_session(run);
}

/* The start is one in the run's session, under a token of its own. */
static void
address_start(Run *run)
{
	char token[AWS_UUID_SIZE];

	aws_generate_uuid(token);
	run->start[START_CALCULATION_SESSION_ID].value = CStringGetTextDatum(run->session_id);
	run->start[START_CALCULATION_DESCRIPTION] = run->arguments[RUN_DESCRIPTION];
	run->start[START_CALCULATION_TOKEN].value = CStringGetTextDatum(token);
	run->started.calculation_start = run->start;
}

/* Whether a session that was found by its name has ended since, with nothing started in it: there may be another. */
static bool
is_gone(const Run *run, const AthenaRequest *request)
{
	return request->error.sqlstate == SQLSTATE_SESSION_ENDED &&
		   !run->arguments[RUN_SESSION_NAME].isnull && !run->started.calculation_sent;
}

/* Starts the calculation, when its turn has come: a session takes one at a time. */
static void
start_calculation(Run *run)
{
	AthenaRequest request = {.operation = &operation_start_calculation_execution,
							 .arguments = run->start,
							 .sent = &run->started.calculation_sent};
	int sessions_left = MAX_SESSIONS;
	Datum id;

	address_start(run);
	for (;;)
	{
		bool gone;

		poll_request(&run->poll, &request, 1);
		if (request.error.sqlstate == 0)
			break;
		gone = sessions_left > 0 && is_gone(run, &request);
		if (!gone && !is_not_idle(&request) && !poll_forgives(&run->poll, &request.error))
			athena_request_raise(&request);
		/* It may be IDLE again before it is asked, and BUSY with another's again after it. */
		if (!poll_pause(&run->poll))
			poll_raise_timed_out(psprintf("calculation could not be started in session %s: %s",
										  run->session_id, request.error.message));
		if (gone)
		{
			sessions_left--;
			find_session(run);
			address_start(run);
		}
		else if (is_not_idle(&request))
			wait_until_idle(run);
	}
	run->started.calculation_id = TextDatumGetCString(request.values[0]);
	run->started.calculation_sent = false;
	id = CStringGetTextDatum(run->started.calculation_id);
	run->calculation = calculations_wait_for(&id, 1);
	poll_hasten(&run->poll);
}

static void
follow_calculation(Run *run)
{
	activity_wait_for(run->started.calculation_id, run->session_id);
	if (!calculation_wait(&run->poll, run->calculation))
		poll_raise_timed_out(psprintf("calculation %s has not ended", run->started.calculation_id));
	if (run->calculation->last.error.sqlstate != 0)
		athena_request_raise(&run->calculation->last);
	run->started.calculation_id = NULL; /* it has ended: there is nothing to stop */
}

/* The end of standard error. */
typedef struct Stderr
{
	const AwsConfig *config;
	const char *uri;
	char *text;
} Stderr;

static void
read_stderr(void *argument)
{
	Stderr *what = argument;
	S3Uri uri;
	S3Content content;

	if (!s3_uri_parse(what->uri, &uri))
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION), errmsg("it is no S3 URI")));
	s3_get_object(what->config, &uri, STDERR_BYTES, &content);
	what->text = encoding_from_bytes(content.bytes, content.length, NULL);
}

/* Raises how a calculation that was not COMPLETED ended, with all that its user has to know. */
static void
raise_failure(Run *run, const char *state)
{
	const char *id = TextDatumGetCString(run->calculation->id.value);
	const AthenaRequest *last = &run->calculation->last;
	const char *reason = athena_text(last->values, last->nulls, CALCULATION_REASON);
	Stderr standard_error = {&run->poll.config,
							 athena_text(last->values, last->nulls, CALCULATION_STD_ERROR), ""};
	const char *detail;
	const char *ended = "failed";
	int sqlstate = SQLSTATE_FAILED;
	ErrorData *error;

	if (strcmp(state, "CANCELED") == 0)
	{
		ended = "was canceled";
		sqlstate = SQLSTATE_CANCELED;
	}
	else if (strcmp(state, "FAILED") != 0)
		ended = psprintf("ended as %s", state);
	if (standard_error.uri[0] == '\0')
		detail = "Athena gives no standard error of it.";
	else if (!catch_error(read_stderr, &standard_error, &error))
		detail = psprintf("Its standard error at %s could not be read: %s", standard_error.uri,
						  error->message);
	else if (standard_error.text[0] == '\0')
		detail = "Its standard error is empty.";
	else
		detail = standard_error.text;
	ereport(ERROR, (errcode(sqlstate),
					errmsg("calculation %s%s%s", ended, reason[0] != '\0' ? ": " : "", reason),
					errdetail_internal("%s", detail),
					errhint("Calculation %s in session %s%s%s.", id, run->session_id,
							standard_error.uri[0] != '\0' ? ", standard error at " : "",
							standard_error.uri)));
}

/*
 * A session of its own is terminated when all went well, too; there a failure is not the calculation's, and the time
 * for it is not the calculation's either.
 */
static void
end_own_session(Run *run)
{
	NullableDatum argument = {.value = CStringGetTextDatum(run->session_id)};
	AthenaRequest request = {.operation = &operation_terminate_session, .arguments = &argument};

	run->poll.deadline = http_now() + END_SESSION_US;
	poll_hasten(&run->poll);
	do
	{
		poll_request(&run->poll, &request, 1);
		if (request.error.sqlstate == 0)
		{
			run->started.session_id = NULL;
			return;
		}
	} while (poll_forgives(&run->poll, &request.error) && poll_pause(&run->poll));
	run->started.session_id = NULL;
	ereport(WARNING, (errmsg("session %s could not be terminated: %s", run->session_id,
							 request.error.message),
					  errhint("Terminate it with athena_calc.terminate_session, or it costs "
							  "until its idle time-out.")));
}

static void
run_to_the_end(Run *run)
{
	const char *state;

	/* What cannot be committed fails before anything is started. */
	poll_commit(&run->poll);
	run->start[START_CALCULATION_CODE_BLOCK].value =
		code_prepare(&run->poll.config, run->arguments[RUN_CODE_BLOCK], run->arguments[RUN_PARAMS],
					 run->arguments[RUN_CODE_S3_URI]);
	find_session(run);
	start_calculation(run);
	follow_calculation(run);
	state = run->calculation->state;
	if (strcmp(state, "COMPLETED") != 0)
		raise_failure(run, state);
	if (run->own_session)
		end_own_session(run);
	activity_end();
}

/* Runs a calculation with the arguments of a function or procedure; its row is in run->calculation. */
static void
run_calculation(FunctionCallInfo fcinfo, Run *run, bool commits)
{
	memset(run, 0, sizeof(*run));
	copy_arguments(fcinfo, run);
	poll_begin(&run->poll, run->arguments[RUN_TIMEOUT]);
	run->poll.commits = commits;
	run->started.config = &run->poll.config;
	started_begin(&run->started);
	PG_TRY();
	{
		run_to_the_end(run);
	}
	PG_CATCH();
	{
		errand_carry_out_and_rethrow(&run->started.errand);
	}
	PG_END_TRY();
	errand_end(&run->started.errand);
}

/* run_calculation(…) → one row of calculation_execution */
ATHENA_CALC_FUNCTION(athena_calc_run_calculation);
Datum
athena_calc_run_calculation(PG_FUNCTION_ARGS)
{
	SqlRows sink;
	Run *run = palloc(sizeof(Run));

	sql_expect_arguments(fcinfo, RUN_ARGUMENTS);
	sql_open_rows(fcinfo, CALCULATION_COLUMNS, &sink);
	run_calculation(fcinfo, run, false);
	sql_put_row(run->calculation->last.values, run->calculation->last.nulls, &sink);
	return (Datum) 0;
}

static void
check_can_commit(FunctionCallInfo fcinfo)
{
	const CallContext *call = (const CallContext *) fcinfo->context;

	if (call != NULL && IsA(call, CallContext) && !call->atomic && !IsSubTransaction())
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
		 errmsg("athena_calc.run cannot commit here"),
		 errdetail(
			 "It commits before each pause, which it can as a statement of its own only: not in a "
			 "transaction block, a string of several statements, a function, a procedure that is "
			 "SECURITY DEFINER or has SET, or a block with EXCEPTION."),
		 errhint("Use SELECT * FROM athena_calc.run_calculation(...) here.")));
}

/*
 * The only column of the row that CALL gives: a calculation_execution, whose own columns are `row`, to be released. Both are
 * the transaction's.
 */
static TupleDesc
look_up_result(FunctionCallInfo fcinfo, TupleDesc *row)
{
	TupleDesc descriptor;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE ||
		descriptor->natts != 1)
		sql_raise_mismatch();
	*row = lookup_rowtype_tupdesc(TupleDescAttr(descriptor, 0)->atttypid, -1);
	if ((*row)->natts != CALCULATION_COLUMNS)
		sql_raise_mismatch();
	return descriptor;
}

/* No lock was held while it waited: the extension may be gone, and the result with it. */
static void
expect_to_be_there(FunctionCallInfo fcinfo, const Run *run)
{
	if (!SearchSysCacheExists1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid)))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("athena_calc.run was dropped while it ran"),
						errdetail("The calculation has ended."),
						errhint("Calculation %s in session %s.",
								TextDatumGetCString(run->calculation->id.value), run->session_id)));
}

/* CALL run(…, INOUT result calculation_execution) */
ATHENA_CALC_FUNCTION(athena_calc_run);
Datum
athena_calc_run(PG_FUNCTION_ARGS)
{
	MemoryContext before = CurrentMemoryContext;
	MemoryContext context;
	TupleDesc descriptor;
	TupleDesc row;
	Datum value;
	bool null = false;
	Run *run;

	sql_expect_arguments(fcinfo, RUN_ARGUMENTS + 1);
	check_can_commit(fcinfo);
	/* Nothing is started whose row could not be given. */
	look_up_result(fcinfo, &row);
	ReleaseTupleDesc(row);
	/* What lasts longer than a transaction; PortalContext is there as long as CALL is. */
	context = AllocSetContextCreate(PortalContext, "athena_calc run", ALLOCSET_DEFAULT_SIZES);
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect_ext failed");
	MemoryContextSwitchTo(context);
	run = palloc(sizeof(Run));
	run_calculation(fcinfo, run, true);
	SPI_finish();
	MemoryContextSwitchTo(before);

	expect_to_be_there(fcinfo, run);
	descriptor = look_up_result(fcinfo, &row);
	value = HeapTupleGetDatum(
		heap_form_tuple(row, run->calculation->last.values, run->calculation->last.nulls));
	ReleaseTupleDesc(row);
	value = HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), &value, &null));
	MemoryContextDelete(context);
	return value;
}
