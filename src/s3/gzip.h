/*
 * gzip.h
 *		What inflate.c and deflate.c share of zlib: its memory, and its form for gzip.
 */
#ifndef ATHENA_CALC_S3_GZIP_H
#define ATHENA_CALC_S3_GZIP_H

#include "compat.h"

#define ZLIB_CONST
#include <zlib.h>

/* The largest window, with gzip's header and trailer, not zlib's own. */
#define GZIP_WINDOW_BITS (MAX_WBITS + 16)

static inline void *
gzip_allocate(void *context, unsigned int count, unsigned int size)
{
	return MemoryContextAllocExtended(context, (Size) count * size, MCXT_ALLOC_NO_OOM);
}

static inline void
gzip_release(void *context, void *block)
{
	(void) context;
	pfree(block);
}

/* Has a stream, all zeros so far, allocate in a memory context. It says where there is none, and does not throw. */
static inline void
gzip_allocate_in(z_stream *stream, MemoryContext context)
{
	stream->zalloc = gzip_allocate;
	stream->zfree = gzip_release;
	stream->opaque = context;
}

/* Throws what zlib says of the beginning of a stream, unless it is Z_OK. */
static inline void
gzip_check_begun(int result)
{
	if (result == Z_MEM_ERROR)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	if (result != Z_OK)
		elog(ERROR, "zlib could not begin: %s", zError(result));
}

#endif
