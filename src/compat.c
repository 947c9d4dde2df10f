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

static shmem_startup_hook_type next_startup_hook = NULL;
static void (*attach_memory)(void) = NULL;

#if PG_VERSION_NUM >= 150000
static shmem_request_hook_type next_request_hook = NULL;
static void (*request_memory)(void) = NULL;

static void
request_hook(void)
{
	if (next_request_hook != NULL)
		next_request_hook();
	request_memory();
}
#endif

static void
startup_hook(void)
{
	if (next_startup_hook != NULL)
		next_startup_hook();
	attach_memory();
}

void
preload_shared_memory(void (*request)(void), void (*attach)(void))
{
#if PG_VERSION_NUM >= 150000
	request_memory = request;
	next_request_hook = shmem_request_hook;
	shmem_request_hook = request_hook;
#else
	request();
#endif
	attach_memory = attach;
	next_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_hook;
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
