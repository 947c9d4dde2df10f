/*
 * encoding.h
 *		Text between the wire, which is UTF-8, and the database's encoding.
 *
 * Results are palloc'd in the current memory context and NUL-terminated.
 */
#ifndef ATHENA_CALC_AWS_ENCODING_H
#define ATHENA_CALC_AWS_ENCODING_H

#include "compat.h"

/* Text of the database as UTF-8. Throws 22021 where it is none (a SQL_ASCII database holds anything). */
extern char *encoding_to_utf8(const char *text, size_t length);

/* Whether valid UTF-8 is text of the database as it is. */
extern bool encoding_takes_utf8(void);

/* Valid UTF-8 in the database's encoding; NULL where that lacks a character of it. */
extern char *encoding_from_utf8(const char *utf8, size_t length);

/*
 * Any bytes in the database's encoding; what is not UTF-8, and what the encoding lacks, becomes U+FFFD
 * or '?'. Never throws for what the bytes are; where they are many, a cancel does. `replaced`, where not NULL, tells how many
 * were.
 */
extern char *encoding_from_bytes(const char *bytes, size_t length, int64 *replaced);

#endif
