/*
 * deflate.h
 *		Gzip on the way out, in memory that does not grow with the data.
 */
#ifndef ATHENA_CALC_S3_DEFLATE_H
#define ATHENA_CALC_S3_DEFLATE_H

#include "compat.h"

#include "s3/bytes.h"

/*
 * Writes one member of gzip (RFC 1952) to `below`, without a name or a time: the same bytes in, with the same zlib, are
 * the same bytes out. finish() ends the member and then `below`; no bytes at all are an empty member.
 *
 * It takes some 350 kB, which finish() releases, and without it the reset or deletion of the memory context in which
 * this was called. All of it throws 53200 without memory, and what `below` throws.
 */
extern ByteSink *deflate_open(ByteSink *below);

#endif
