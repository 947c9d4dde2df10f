/*
 * compat.c
 *		What differs between PostgreSQL 14 and 18 and takes more than a line. See compat.h.
 */
#include "compat.h"

#include "access/sysattr.h"
#include "executor/executor.h"
#include "parser/parse_relation.h"
#include "storage/ipc.h"
#include "storage/lockdefs.h"

#define MAX_MEMORIES 2

/* Those who want shared memory. */
static struct
{
	void (*request)(void);
	void (*attach)(void);
} memories[MAX_MEMORIES];
static int memory_count = 0;

static shmem_startup_hook_type next_startup_hook = NULL;

#if PG_VERSION_NUM >= 150000
static shmem_request_hook_type next_request_hook = NULL;

static void
request_hook(void)
{
	if (next_request_hook != NULL)
		next_request_hook();
	for (int i = 0; i < memory_count; i++)
		memories[i].request();
}
#endif

static void
startup_hook(void)
{
	if (next_startup_hook != NULL)
		next_startup_hook();
	for (int i = 0; i < memory_count; i++)
		memories[i].attach();
}

void
preload_shared_memory(void (*request)(void), void (*attach)(void))
{
	Assert(memory_count < MAX_MEMORIES);
	memories[memory_count].request = request;
	memories[memory_count].attach = attach;
	if (memory_count++ == 0)
	{
		next_startup_hook = shmem_startup_hook;
		shmem_startup_hook = startup_hook;
#if PG_VERSION_NUM >= 150000
		next_request_hook = shmem_request_hook;
		shmem_request_hook = request_hook;
#endif
	}
#if PG_VERSION_NUM < 150000
	request();
#endif
}

void
check_insert_rights(ParseState *pstate, Relation relation, List *columns)
{
	ParseNamespaceItem *item =
		addRangeTableEntryForRelation(pstate, relation, RowExclusiveLock, NULL, false, false);
#if PG_VERSION_NUM >= 160000
	RTEPermissionInfo *rights = item->p_perminfo;
#else
	RangeTblEntry *rights = item->p_rte;
#endif
	ListCell *cell;

	rights->requiredPerms = ACL_INSERT;
	foreach(cell, columns) rights->insertedCols =
		bms_add_member(rights->insertedCols, lfirst_int(cell) - FirstLowInvalidHeapAttributeNumber);
#if PG_VERSION_NUM >= 160000
	(void) ExecCheckPermissions(pstate->p_rtable, pstate->p_rteperminfos, true);
#else
	(void) ExecCheckRTPerms(pstate->p_rtable, true);
#endif
}
