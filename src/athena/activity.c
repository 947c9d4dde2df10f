/*
 * activity.c
 *		What the cluster's backends are waiting for at Athena. See activity.h.
 *
 * Each backend writes its own entry and nobody else's. Readers look at a counter before and after, as PostgreSQL does
 * with pg_stat_activity: it is odd while the entry is being written.
 */
#include "athena/activity.h"

#include "access/xact.h"
#include "athena/function.h"
#include "aws/encoding.h"
#include "catalog/pg_authid.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* IDs are far shorter; states too. */
#define MAX_ID 256
#define MAX_STATE 32

#define COLUMNS 7

typedef struct Activity
{
	pg_atomic_uint32 changes;
	int pid; /* 0 where nothing is waited for */
	Oid database;
	Oid role;
	TimestampTz since;
	/* In UTF-8: who looks may be in a database of another encoding. */
	char calculation_id[MAX_ID];
	char session_id[MAX_ID];
	char state[MAX_STATE];
} Activity;

static Activity *activities = NULL;
static int activity_count = 0;
static Activity *mine = NULL;
static SubTransactionId waits_in; /* the subtransaction in which the wait began */

static Size
memory_size(void)
{
	return mul_size(sizeof(Activity), max_backend_count());
}

static void
request_memory(void)
{
	RequestAddinShmemSpace(memory_size());
}

static void
attach_memory(void)
{
	bool found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	activities = ShmemInitStruct("athena_calc activity", memory_size(), &found);
	activity_count = max_backend_count();
	if (!found)
	{
		memset(activities, 0, memory_size());
		for (int i = 0; i < activity_count; i++)
			pg_atomic_init_u32(&activities[i].changes, 0);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
activity_preload(void)
{
	preload_shared_memory(request_memory, attach_memory);
}

static void
begin_change(void)
{
	pg_atomic_write_u32(&mine->changes, pg_atomic_read_u32(&mine->changes) + 1);
	pg_write_barrier();
}

static void
end_change(void)
{
	pg_write_barrier();
	pg_atomic_write_u32(&mine->changes, pg_atomic_read_u32(&mine->changes) + 1);
}

void
activity_end(void)
{
	if (mine == NULL || mine->pid == 0)
		return;
	begin_change();
	mine->pid = 0;
	end_change();
}

static void
end_at_exit(int code, Datum argument)
{
	(void) code;
	(void) argument;
	activity_end();
}

static void
end_at_abort(XactEvent event, void *argument)
{
	(void) argument;
	if (event == XACT_EVENT_ABORT)
		activity_end();
}

/* One that began later is a part of the wait, which may go on without it. */
static void
end_at_subabort(SubXactEvent event, SubTransactionId own, SubTransactionId parent, void *argument)
{
	(void) parent;
	(void) argument;
	if (event == SUBXACT_EVENT_ABORT_SUB && own <= waits_in)
		activity_end();
}

/* Stores a text, or NULL for none, in UTF-8, up to the last character that there is room for. Leaves no memory behind. */
static void
store(char *place, const char *text, int size)
{
	const char *known = text != NULL ? text : "";
	char *utf8 = encoding_to_utf8(known, strlen(known));
	int length = pg_encoding_mbcliplen(PG_UTF8, utf8, (int) strlen(utf8), size - 1);

	memcpy(place, utf8, length);
	place[length] = '\0';
	pfree(utf8);
}

void
activity_wait_for(const char *calculation_id, const char *session_id)
{
	char calculation[MAX_ID];
	char session[MAX_ID];

	if (activities == NULL)
		return;
	store(calculation, calculation_id, MAX_ID);
	store(session, session_id, MAX_ID);
	if (mine == NULL)
	{
		int number = backend_number();

		if (number < 0 || number >= activity_count)
			return;
		mine = &activities[number];
		before_shmem_exit(end_at_exit, 0);
		RegisterXactCallback(end_at_abort, NULL);
		RegisterSubXactCallback(end_at_subabort, NULL);
	}
	waits_in = GetCurrentSubTransactionId();
	if (mine->pid != 0 && strcmp(mine->calculation_id, calculation) == 0 &&
		strcmp(mine->session_id, session) == 0)
		return;
	begin_change();
	mine->pid = MyProcPid;
	mine->database = MyDatabaseId;
	mine->role = GetUserId();
	mine->since = GetCurrentTimestamp();
	strlcpy(mine->calculation_id, calculation, MAX_ID);
	strlcpy(mine->session_id, session, MAX_ID);
	mine->state[0] = '\0';
	end_change();
}

void
activity_set_state(const char *state)
{
	char stored[MAX_STATE];

	if (mine == NULL || mine->pid == 0)
		return;
	store(stored, state, MAX_STATE);
	begin_change();
	strlcpy(mine->state, stored, MAX_STATE);
	end_change();
}

/* A copy of an entry that is whole. False where nothing is waited for. */
static bool
read_activity(const Activity *activity, Activity *copy)
{
	for (;;)
	{
		uint32 before = pg_atomic_read_u32(unconstify(pg_atomic_uint32 *, &activity->changes));

		pg_read_barrier();
		memcpy(copy, activity, sizeof(*copy));
		pg_read_barrier();
		if (before % 2 == 0 &&
			before == pg_atomic_read_u32(unconstify(pg_atomic_uint32 *, &activity->changes)))
			return copy->pid != 0;
		CHECK_FOR_INTERRUPTS();
	}
}

static void
set_text(Datum *values, bool *nulls, int column, const char *value)
{
	nulls[column] = value[0] == '\0';
	values[column] = nulls[column]
						 ? (Datum) 0
						 : CStringGetTextDatum(encoding_from_bytes(value, strlen(value), NULL));
}

/* activity() → rows; what others wait for is for those who may see all statistics, as in pg_stat_activity. */
ATHENA_CALC_FUNCTION(athena_calc_activity);
Datum
athena_calc_activity(PG_FUNCTION_ARGS)
{
	SqlRows sink;
	bool may_read_all = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);

	sql_expect_arguments(fcinfo, 0);
	if (activities == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("athena_calc must be loaded via shared_preload_libraries to know what "
						"others wait for"),
				 errhint("Add athena_calc to shared_preload_libraries and restart the server.")));
	sql_open_rows(fcinfo, COLUMNS, &sink);
	for (int i = 0; i < activity_count; i++)
	{
		Activity copy;
		Datum values[COLUMNS] = {0};
		bool nulls[COLUMNS] = {false};

		if (!read_activity(&activities[i], &copy))
			continue;
		values[0] = Int32GetDatum(copy.pid);
		values[1] = ObjectIdGetDatum(copy.database);
		values[2] = ObjectIdGetDatum(copy.role);
		if (may_read_all || has_privs_of_role(GetUserId(), copy.role))
		{
			set_text(values, nulls, 3, copy.calculation_id);
			set_text(values, nulls, 4, copy.session_id);
			set_text(values, nulls, 5, copy.state);
			values[6] = TimestampTzGetDatum(copy.since);
		}
		else
			memset(nulls + 3, true, sizeof(bool) * 4);
		sql_put_row(values, nulls, &sink);
	}
	return (Datum) 0;
}
