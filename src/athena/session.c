/*
 * session.c
 *		Sessions to run in: waited for, found by name, started. See session.h.
 */
#include "athena/session.h"

#include "athena/activity.h"
#include "athena/function.h"
#include "aws/encoding.h"
#include "common/hashfn.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#define DEFAULT_MAX_CONCURRENT_DPUS 20

/* Tells our advisory locks from those that users take. */
#define LOCK_CLASS 0x61746865

static bool
is_one_of(const char *state, const char *const *states)
{
	for (; *states != NULL; states++)
	{
		if (strcmp(state, *states) == 0)
			return true;
	}
	return false;
}

/* https://docs.aws.amazon.com/athena/latest/APIReference/API_SessionStatus.html */
static const char *const states_that_end[] = {"TERMINATING", "TERMINATED", "FAILED", "DEGRADED",
											  NULL};

/* `lives_on` is why a session that nobody would use could not be terminated, or NULL. */
static void
raise_ended(const char *id, const SessionRow *row, const char *lives_on)
{
	const char *reason = athena_text(row->status.values, row->status.nulls, SESSION_STATUS_REASON);

	ereport(ERROR,
			(errcode(SQLSTATE_SESSION_ENDED),
			 errmsg("session %s is %s%s%s", id, row->state, reason[0] != '\0' ? ": " : "", reason),
			 lives_on == NULL ? 0 : errdetail("It could not be terminated: %s", lives_on),
			 lives_on == NULL ? errhint("Start another session.")
							  : errhint("Terminate it with athena_calc.terminate_session, or it "
										"costs until its idle time-out.")));
}

/* Asks how a session stands. False, with the row as it was, where it is worth asking again, or was known before. */
static bool
ask(Poll *poll, SessionRow *row)
{
	AthenaRequest request = {.operation = &operation_get_session_status, .arguments = &row->id};

	poll_request(poll, &request, 1);
	if (request.error.sqlstate != 0)
	{
		/* That there was no time for a last answer is less than what was known before. */
		if (request.answered || !row->refusal.answered)
			athena_request_keep(&row->refusal, &request, row->refusal_memory);
		if (poll_forgives(poll, &request.error))
			return false;
		athena_request_raise(&row->refusal);
	}
	athena_request_keep(&row->status, &request, row->status_memory);
	row->state = athena_kept_text(&row->status, SESSION_STATUS_STATE, row->status_memory);
	return true;
}

/* Waits until a session is IDLE, or the time is up. False where it has ended. */
static bool
wait_until_idle(Poll *poll, Datum session_id, SessionRow *row)
{
	const char *id = TextDatumGetCString(session_id);
	const char *reported = NULL;

	memset(row, 0, sizeof(*row));
	row->id.value = session_id;
	row->status_memory =
		AllocSetContextCreate(CurrentMemoryContext, "athena_calc session", ALLOCSET_SMALL_SIZES);
	row->refusal_memory =
		AllocSetContextCreate(CurrentMemoryContext, "athena_calc refusal", ALLOCSET_SMALL_SIZES);
	activity_wait_for(NULL, id);
	for (;;)
	{
		if (ask(poll, row))
		{
			poll_report(poll, "session", id, &reported, row->state);
			activity_set_state(row->state);
			if (is_one_of(row->state, states_that_end))
				return false;
			if (strcmp(row->state, "IDLE") == 0)
				return true;
		}
		if (!poll_pause(poll))
		{
			if (!row->status.answered)
				athena_request_raise(&row->refusal);
			return true;
		}
	}
}

void
session_wait(Poll *poll, Datum session_id, SessionRow *row)
{
	if (!wait_until_idle(poll, session_id, row))
		raise_ended(TextDatumGetCString(session_id), row, NULL);
}

/* numeric_int4() would round, and knows no option's name to raise. */
static bool
is_int(Numeric number)
{
	Datum value = NumericGetDatum(number);
	Datum least = NumericGetDatum(int64_to_numeric(PG_INT32_MIN));
	Datum most = NumericGetDatum(int64_to_numeric(PG_INT32_MAX));

	return DatumGetBool(
			   DirectFunctionCall2(numeric_eq, value, DirectFunctionCall1(numeric_floor, value))) &&
		   DatumGetBool(DirectFunctionCall2(numeric_ge, value, least)) &&
		   DatumGetBool(DirectFunctionCall2(numeric_le, value, most));
}

/* A value of session_options as an argument has it. */
static Datum
option_value(const AthenaArgument *argument, JsonbValue *value)
{
	const char *wanted;

	switch (argument->kind)
	{
		case ATHENA_INT:
			wanted = "a whole number of int's range";
			if (value->type == jbvNumeric && is_int(value->val.numeric))
				return DirectFunctionCall1(numeric_int4, NumericGetDatum(value->val.numeric));
			break;
		case ATHENA_BOOLEAN:
			wanted = "true or false";
			if (value->type == jbvBool)
				return BoolGetDatum(value->val.boolean);
			break;
		case ATHENA_JSONB:
		case ATHENA_TAGS:
			wanted = "an object or an array";
			if (value->type == jbvBinary)
				return JsonbPGetDatum(JsonbValueToJsonb(value));
			break;
		default:
			wanted = "text";
			if (value->type == jbvString)
				return PointerGetDatum(
					cstring_to_text_with_len(value->val.string.val, value->val.string.len));
			break;
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("session option \"%s\" must be %s", argument->name, wanted),
					errhint("Its type is that of the argument of athena_calc.start_session.")));
}

static void
set_option(NullableDatum *arguments, const char *name, JsonbValue *value)
{
	for (int i = 0; i < START_SESSION_ARGUMENTS; i++)
	{
		const AthenaArgument *argument = &operation_start_session.arguments[i];

		if (strcmp(argument->name, name) != 0)
			continue;
		if (i == START_SESSION_TOKEN)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("\"%s\" is no session option", name),
							errhint("A session that is to be found or started gets a token of its "
									"own.")));
		if ((i == START_SESSION_WORK_GROUP || i == START_SESSION_DESCRIPTION) &&
			!arguments[i].isnull)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("session option \"%s\" is given by an argument already", name)));
		arguments[i].isnull = value->type == jbvNull;
		if (!arguments[i].isnull)
			arguments[i].value = option_value(argument, value);
		return;
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("there is no session option \"%s\"", name),
					errhint("The options are the arguments of athena_calc.start_session, by "
							"name.")));
}

void
session_start_arguments(NullableDatum *arguments, NullableDatum work_group,
						NullableDatum description, NullableDatum options)
{
	char token[AWS_UUID_SIZE];

	for (int i = 0; i < START_SESSION_ARGUMENTS; i++)
		arguments[i] = (NullableDatum){.isnull = true};
	arguments[START_SESSION_WORK_GROUP] = work_group;
	arguments[START_SESSION_DESCRIPTION] = description;
	arguments[START_SESSION_MAX_CONCURRENT_DPUS] =
		(NullableDatum){.value = Int32GetDatum(DEFAULT_MAX_CONCURRENT_DPUS)};
	aws_generate_uuid(token);
	arguments[START_SESSION_TOKEN] = (NullableDatum){.value = CStringGetTextDatum(token)};

	if (!options.isnull)
	{
		Jsonb *object = DatumGetJsonbP(options.value);
		JsonbIterator *iterator;
		JsonbIteratorToken step;
		JsonbValue value;

		if (!JB_ROOT_IS_OBJECT(object))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("session_options must be a JSON object")));
		iterator = JsonbIteratorInit(&object->root);
		while ((step = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		{
			char *name;

			if (step != WJB_KEY)
				continue;
			name = pnstrdup(value.val.string.val, value.val.string.len);
			JsonbIteratorNext(&iterator, &value, true);
			set_option(arguments, name, &value);
		}
	}
}

/* The best session of a name so far. */
typedef struct Candidate
{
	const char *name;
	MemoryContext context;
	char *id; /* NULL for none */
	int rank; /* 0 is the best */
} Candidate;

/* In what order sessions are taken; others are passed over. */
static const char *const useful_states[] = {"IDLE", "CREATED", "CREATING", "BUSY"};

static void
consider(Datum *values, bool *nulls, void *context)
{
	Candidate *best = context;
	const char *state;

	if (nulls[FIND_SESSION_ID] || nulls[FIND_SESSION_DESCRIPTION] ||
		strcmp(TextDatumGetCString(values[FIND_SESSION_DESCRIPTION]), best->name) != 0)
		return;
	state = athena_text(values, nulls, FIND_SESSION_STATE);
	for (int i = 0; i < (int) lengthof(useful_states) && (best->id == NULL || i < best->rank); i++)
	{
		if (strcmp(state, useful_states[i]) == 0)
		{
			best->id =
				MemoryContextStrdup(best->context, TextDatumGetCString(values[FIND_SESSION_ID]));
			best->rank = i;
			return;
		}
	}
}

/* Asks for a session once. Its ID; NULL, with the request's error, where it is worth asking again. */
static char *
try_to_start(Poll *poll, AthenaRequest *request)
{
	poll_request(poll, request, 1);
	if (request->error.sqlstate == 0)
		return TextDatumGetCString(request->values[0]);
	if (!poll_forgives(poll, &request->error))
		athena_request_raise(request);
	return NULL;
}

/* Pauses behind a start that is worth another try. `reported` is as in poll_report(). */
static void
pause_before_start(Poll *poll, const AthenaRequest *request, const char **reported)
{
	activity_wait_for(NULL, NULL);
	poll_report(poll, "session", "not started", reported, request->error.message);
	if (!poll_pause(poll))
		poll_raise_timed_out(psprintf("no session could be started: %s", request->error.message));
}

char *
session_start(Poll *poll, const NullableDatum *arguments, bool *sent)
{
	AthenaRequest request = {
		.operation = &operation_start_session, .arguments = arguments, .sent = sent};
	const char *reported = NULL;
	char *id;

	while ((id = try_to_start(poll, &request)) == NULL)
		pause_before_start(poll, &request, &reported);
	return id;
}

/* Waits its turn for what only one backend of the cluster may do at a time. */
static void
lock(Poll *poll, LOCKTAG *tag, const char *name)
{
	bool has_waited = false;
	int64 since = http_now();

	while (LockAcquire(tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		activity_wait_for(NULL, NULL);
		has_waited = true;
		if (!poll_pause(poll))
			poll_raise_timed_out(psprintf("another backend looks for session \"%s\"", name));
	}
	if (!has_waited)
		return;
	/* How Athena fared in the meantime, nobody knows here. */
	if (poll->trouble != 0)
		poll->trouble += http_now() - since;
	poll_hasten(poll);
}

/* The way to a session of a name: what it is looked for and started with, and what came of it. */
typedef struct Acquisition
{
	const char *name;
	const NullableDatum *start; /* the arguments of StartSession */
	NullableDatum list[3];      /* those of ListSessions */
	AthenaRequest last;         /* that has brought no session yet */
	bool was_sent;              /* whether a session may have been started by it all the same */
	const char *reported;       /* as in poll_report() */

	char *id;
	bool is_new;
	bool is_starting; /* it may have to be waited for */
} Acquisition;

/* Looks for the session once, and starts it where there is none. */
static void
find_or_start(Poll *poll, Acquisition *session)
{
	Candidate best = {.name = session->name, .context = CurrentMemoryContext};

	if (!poll_list(poll, &operation_find_session, session->list, consider, &best, &session->last))
	{
		if (!poll_forgives(poll, &session->last.error))
			athena_request_raise(&session->last);
		return;
	}
	session->id = best.id;
	session->is_new = best.id == NULL;
	session->is_starting = session->is_new || strncmp(useful_states[best.rank], "CREAT", 5) == 0;
	if (!session->is_new)
		return;
	session->last = (AthenaRequest){.operation = &operation_start_session,
									.arguments = session->start,
									.sent = &session->was_sent};
	while ((session->id = try_to_start(poll, &session->last)) == NULL && session->was_sent)
		pause_before_start(poll, &session->last, &session->reported);
}

/* Pauses before the session is looked for again. */
static void
pause_before_search(Poll *poll, Acquisition *session)
{
	if (session->last.operation == &operation_start_session)
	{
		pause_before_start(poll, &session->last, &session->reported);
		return;
	}
	activity_wait_for(NULL, NULL);
	if (!poll_pause(poll))
		athena_request_raise(&session->last);
}

/* The same in each database, whatever its encoding. */
static uint32
hash_text(uint32 before, const char *text)
{
	const char *utf8 = encoding_to_utf8(text, strlen(text));

	return hash_combine(before, hash_bytes((const unsigned char *) utf8, (int) strlen(utf8)));
}

/* Looks for the session, and starts it, while nobody else does: two would start two. */
static void
find_or_start_alone(Poll *poll, LOCKTAG *tag, Acquisition *session)
{
	lock(poll, tag, session->name);
	PG_TRY();
	{
		find_or_start(poll, session);
	}
	PG_FINALLY();
	{
		LockRelease(tag, ExclusiveLock, true);
	}
	PG_END_TRY();
}

/*
 * The lock is of the whole cluster, whatever the database, and of all accounts: one has many keys, so nobody knows which it is. That
 * is why it is given up while this one pauses and has no session under way. Trouble with one account keeps nobody from another.
 */
static void
acquire(Poll *poll, const char *work_group, Acquisition *session)
{
	LOCKTAG tag;
	uint32 hash = hash_text(0, poll_region(poll));

	hash = hash_text(hash_text(hash, work_group), session->name);
	SET_LOCKTAG_ADVISORY(tag, InvalidOid, LOCK_CLASS, hash, 2);
	find_or_start_alone(poll, &tag, session);
	while (session->id == NULL)
	{
		pause_before_search(poll, session);
		find_or_start_alone(poll, &tag, session);
	}
}

char *
session_acquire(Poll *poll, NullableDatum name, NullableDatum work_group, NullableDatum options)
{
	NullableDatum arguments[START_SESSION_ARGUMENTS];
	const char *group;
	char *name_text;
	Acquisition *session = palloc0(sizeof(Acquisition));

	if (name.isnull)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"session_name\" must not be NULL")));
	name_text = TextDatumGetCString(name.value);
	if (name_text[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"session_name\" must not be empty")));
	session_start_arguments(arguments, work_group, name, options);
	group = arguments[START_SESSION_WORK_GROUP].isnull
				? poll->config.values[AWS_OPTION_WORK_GROUP]
				: TextDatumGetCString(arguments[START_SESSION_WORK_GROUP].value);
	session->name = name_text;
	session->start = arguments;
	session->list[0] = arguments[START_SESSION_WORK_GROUP];
	session->list[1].isnull = session->list[2].isnull = true;
	acquire(poll, group, session);
	if (session->is_starting)
	{
		NullableDatum id = {.value = CStringGetTextDatum(session->id)};
		SessionRow row;

		if (!wait_until_idle(poll, id.value, &row))
		{
			AthenaRequest request = {.operation = &operation_terminate_session, .arguments = &id};

			/* Nobody would take it, or know it: it would cost until its idle time-out. */
			if (session->is_new && strcmp(row.state, "DEGRADED") == 0)
				poll_request(poll, &request, 1);
			raise_ended(session->id, &row, request.error.message);
		}
	}
	return session->id;
}

/* wait_for_session(session_id text, timeout interval) → session_status */
ATHENA_CALC_FUNCTION(athena_calc_wait_for_session);
Datum
athena_calc_wait_for_session(PG_FUNCTION_ARGS)
{
	Poll poll;
	SessionRow row;

	sql_expect_arguments(fcinfo, 2);
	sql_require(fcinfo, 0, "session_id");
	poll_begin(&poll, fcinfo->args[1]);
	session_wait(&poll, PG_GETARG_DATUM(0), &row);
	activity_end();
	return sql_form_row(fcinfo, row.status.values, row.status.nulls, SESSION_STATUS_COLUMNS);
}

/* acquire_session(session_name text, work_group text, session_options jsonb, timeout interval) → text */
ATHENA_CALC_FUNCTION(athena_calc_acquire_session);
Datum
athena_calc_acquire_session(PG_FUNCTION_ARGS)
{
	Poll poll;
	char *id;

	sql_expect_arguments(fcinfo, 4);
	poll_begin(&poll, fcinfo->args[3]);
	id = session_acquire(&poll, fcinfo->args[0], fcinfo->args[1], fcinfo->args[2]);
	activity_end();
	PG_RETURN_TEXT_P(cstring_to_text(id));
}
