/*
 * activity.h
 *		What the cluster's backends are waiting for at Athena, for all to see: the view athena_calc.activity.
 *
 * It is in shared memory, and so there only where the library is in shared_preload_libraries; elsewhere the functions
 * here do nothing. An entry ends with its wait, with the backend, or with the transaction or subtransaction in which the
 * wait began, when that fails.
 */
#ifndef ATHENA_CALC_ATHENA_ACTIVITY_H
#define ATHENA_CALC_ATHENA_ACTIVITY_H

#include "compat.h"

/* Asks for the memory. Called by _PG_init while libraries are preloaded. */
extern void activity_preload(void);

/*
 * From now on this backend waits for a calculation or a session (NULL for none, or not known). Where it does so already, the wait goes
 * on. Texts are in the database's encoding, here and below, and cut where they are too long. Throws 22021 for what is no text.
 */
extern void activity_wait_for(const char *calculation_id, const char *session_id);

/* What is waited for has this state. */
extern void activity_set_state(const char *state);

/* It waits no more. */
extern void activity_end(void);

#endif
