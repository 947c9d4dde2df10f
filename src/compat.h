/*
 * compat.h
 *		What differs between PostgreSQL 14 and 18: the only place that knows PG_VERSION_NUM.
 *
 * Everything written for the server includes this file first; it brings postgres.h.
 */
#ifndef ATHENA_CALC_COMPAT_H
#define ATHENA_CALC_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM >= 150000
#include "common/pg_prng.h"
#endif
#include "catalog/pg_foreign_server.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/parse_node.h"
#if PG_VERSION_NUM < 170000
#include "storage/backendid.h"
#else
#include "storage/procnumber.h"
#include "storage/proc.h"
#endif
#if PG_VERSION_NUM < 150000
#include "postmaster/autovacuum.h"
#include "replication/walsender.h"
#endif
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif

/*
 * The library is built with hidden visibility, and PG_FUNCTION_INFO_V1 of PostgreSQL 15 does not undo
 * that. Begin and end stand around what SQL or the server looks up by name.
 */
#define EXPORT_BEGIN _Pragma("GCC visibility push(default)")
#define EXPORT_END _Pragma("GCC visibility pop")

/* Declares a function that SQL calls, and exports it. */
#define ATHENA_CALC_FUNCTION(name) \
	EXPORT_BEGIN                   \
	PG_FUNCTION_INFO_V1(name);     \
	EXPORT_END                     \
	extern Datum name(PG_FUNCTION_ARGS)

/* In front of a function that never returns; before 18 there is another word, behind it. */
#if PG_VERSION_NUM < 180000 && !defined(pg_noreturn)
#define pg_noreturn __attribute__((noreturn))
#endif

/* Throws 42501 unless the user has USAGE on a foreign server. */
static inline void
check_server_usage(Oid server, Oid user, const char *name)
{
#if PG_VERSION_NUM >= 160000
	AclResult result = object_aclcheck(ForeignServerRelationId, server, user, ACL_USAGE);
#else
	AclResult result = pg_foreign_server_aclcheck(server, user, ACL_USAGE);
#endif

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FOREIGN_SERVER, name);
}

/*
 * Throws 42501 unless the user may INSERT into these columns of a relation (a list of their numbers); the relation is the
 * only one of `pstate` then.
 */
extern void check_insert_rights(ParseState *pstate, Relation relation, List *columns);

/* How many backends there may be, and the number of this one, from 0 on. */
static inline int
max_backend_count(void)
{
#if PG_VERSION_NUM >= 150000
	return MaxBackends;
#else
	/* It is not known yet when libraries are preloaded: the sum of its parts. */
	return MaxConnections + autovacuum_max_workers + 1 + max_worker_processes + max_wal_senders;
#endif
}

static inline int
backend_number(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProcNumber;
#else
	return MyBackendId - 1;
#endif
}

/*
 * Has shared memory asked for and attached to, each at its time. Called while libraries are preloaded.
 */
extern void preload_shared_memory(void (*request)(void), void (*attach)(void));

/* A set of wait events that lives as long as the backend. */
static inline WaitEventSet *
create_backend_wait_event_set(int event_count)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, event_count);
#else
	return CreateWaitEventSet(TopMemoryContext, event_count);
#endif
}

/* The wait event `name`, as pg_stat_activity shows it; before 17 all extensions share one. */
static inline uint32
named_wait_event(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	(void) name;
	return PG_WAIT_EXTENSION;
#endif
}

/* Whether a conflict with recovery that was told once more stays pending when the transaction in the way has ended. */
#define RECOVERY_CONFLICT_STAYS (PG_VERSION_NUM < 160000)

/* Whether COPY compares the names in the first row with the columns'. */
#define COPY_HEADER_CAN_MATCH (PG_VERSION_NUM >= 150000)

/* Memory for what a check hook hands to its assign hook; NULL when there is none. PostgreSQL frees it. */
static inline void *
allocate_setting_extra(size_t size)
{
#if PG_VERSION_NUM >= 160000
	return guc_malloc(LOG, size);
#else
	return malloc(size);
#endif
}

/* A random number from [0, 1), good enough to spread retries. */
static inline double
random_fraction(void)
{
#if PG_VERSION_NUM >= 150000
	return pg_prng_double(&pg_global_prng_state);
#else
	return (double) random() / ((double) MAX_RANDOM_VALUE + 1);
#endif
}

/* Refuses settings of this prefix that nobody defined (14 can only warn). */
static inline void
reserve_setting_prefix(const char *prefix)
{
#if PG_VERSION_NUM >= 150000
	MarkGUCPrefixReserved(prefix);
#else
	EmitWarningsOnPlaceholders(prefix);
#endif
}

#endif
