/*
 * timestamp.h
 *		Points in time as AWS writes them in text. Plain C.
 */
#ifndef ATHENA_CALC_AWS_TIMESTAMP_H
#define ATHENA_CALC_AWS_TIMESTAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reads a date-time of RFC 3339 ("2019-12-16T23:48:18.5Z", "…+01:00") as microseconds since 1970, UTC; digits beyond the microsecond
 * are rounded. Programs that print credentials write it otherwise, too: a blank for the T, an offset as "+0100" or "+01". False
 * where the text is none, or has no offset.
 */
extern bool timestamp_parse(const char *text, size_t length, int64_t *microseconds);

#endif
