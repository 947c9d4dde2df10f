/*
 * wait.h
 *		Waiting for PostgreSQL's latch and for curl's sockets and timer, in one place.
 *
 * One kept WaitEventSet holds the latch, the postmaster's death and one epoll descriptor, which curl's
 * socket callback keeps in step with its sockets. Waiting costs the same for one socket or a thousand,
 * and less for one that is waited for alone again and again.
 */
#ifndef ATHENA_CALC_HTTP_WAIT_H
#define ATHENA_CALC_HTTP_WAIT_H

#include "compat.h"

#include <curl/curl.h>

/* Makes the set at its first call. Throws 53000 where there is no descriptor for it. */
extern void http_wait_start(void);

/* Connects a new multi handle to the set. */
extern void http_wait_attach(CURLM *multi);

/*
 * Waits until there is something to do, `due` (on http_now()'s clock; -1 for never) has come, or an
 * interrupt is pending, and lets curl act. Throws what CHECK_FOR_INTERRUPTS throws, and 53000 where the
 * system cannot watch another socket, and 53200 where curl cannot go on: then http_wait_is_broken().
 */
extern void http_wait(CURLM *multi, int64 due);

/* The same without waiting. */
extern void http_look(CURLM *multi);

/* Gives back a descriptor that waiting for a multi handle's sockets can do without. False where there is none. */
extern bool http_wait_spare(CURLM *multi);

/* Whether the multi handle that was connected last cannot be used any more. All that is left is to clean it up. */
extern bool http_wait_is_broken(void);

#endif
