/*
 * compat.c
 *		What differs between PostgreSQL 14 and 18 and takes more than a line. See compat.h.
 */
#include "compat.h"

#include "storage/ipc.h"

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
