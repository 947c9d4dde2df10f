/*
 * credentials.h
 *		The credentials that requests are signed with.
 */
#ifndef ATHENA_CALC_AWS_CREDENTIALS_H
#define ATHENA_CALC_AWS_CREDENTIALS_H

#include "compat.h"

#include "aws/sigv4.h"

/*
 * Fills in the credentials in force. The strings stay valid until the next interrupt is served. Throws
 * 28000 where there are none, or where they come from where others could read them.
 */
extern void credentials_get(SigV4Credentials *credentials);

#endif
