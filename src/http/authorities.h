/*
 * authorities.h
 *		The certificate authorities that servers are verified against.
 */
#ifndef ATHENA_CALC_HTTP_AUTHORITIES_H
#define ATHENA_CALC_HTTP_AUTHORITIES_H

#include "compat.h"

#include <curl/curl.h>

/*
 * Tells an easy handle what its servers are verified against: a file, a directory that is hashed as by `openssl rehash`, or with ""
 * what the system trusts. `ca_bundle` must stay as long as the handle, or until this is called again. False where there is no
 * memory; what is no such file is found when a connection is made.
 *
 * What was read of it serves the connections after it for a day, if it is still the one that is told.
 */
extern bool authorities_attach(CURL *easy, const char *ca_bundle);

/* Lets the next connection read them anew: after one that they did not suffice for, since there may be others by now. */
extern void authorities_forget(void);

/* Why a connection that ended by CURLE_SSL_CACERT_BADFILE was the last to; "" where curl says it itself. */
extern const char *authorities_last_problem(void);

#endif
