/*
 * bytes.h
 *		Bytes on their way: where they come from, and where they go.
 *
 * A stage (inflating, JSON Lines to COPY's text) is a source over a source, or a sink over a sink. Whoever makes one says how
 * it ends; its memory is that of the context it was made in.
 */
#ifndef ATHENA_CALC_S3_BYTES_H
#define ATHENA_CALC_S3_BYTES_H

#include "compat.h"

typedef struct ByteSource
{
	/* Puts up to `size` bytes into `buffer`. How many; 0 only at the end. Throws. */
	size_t (*read)(struct ByteSource *source, char *buffer, size_t size);
} ByteSource;

typedef struct ByteSink
{
	/* Takes all of these bytes. Throws. */
	void (*write)(struct ByteSink *sink, const char *bytes, size_t length);
	/* There are no more: what was held back is written, to the sinks below, too. Throws. */
	void (*finish)(struct ByteSink *sink);
} ByteSink;

#endif
