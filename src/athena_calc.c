/*
 * athena_calc.c
 *		The door: module magic and _PG_init, nothing else.
 */
#include "compat.h"

#include "athena/activity.h"
#include "http/origin.h"
#include "miscadmin.h"
#include "settings.h"

EXPORT_BEGIN
PG_MODULE_MAGIC;
extern void _PG_init(void);
EXPORT_END

/* Defines the settings. What reaches out (curl, OpenSSL) starts at its first use, in the backend. */
void
_PG_init(void)
{
	settings_define();
	if (process_shared_preload_libraries_in_progress)
	{
		activity_preload();
		origin_preload();
	}
}
