/*
 * bytes_ends.h
 *		The ends of streams in tests: a source that gives bytes in pieces, and a sink that keeps them.
 */
#ifndef ATHENA_CALC_TEST_BYTES_ENDS_H
#define ATHENA_CALC_TEST_BYTES_ENDS_H

#include "compat.h"
#include "http/buffer.h"
#include "s3/bytes.h"

#define FAILURE_BELOW "58030"

typedef struct PieceSource
{
	ByteSource source;
	const char *bytes;
	size_t length;
	size_t used;
	size_t first; /* at most so many bytes at first, where it is not 0 */
	size_t piece; /* and at most so many each time */
	bool fails;   /* at the end */
	int reads;
	const char *last_buffer; /* that of the last read() */
} PieceSource;

static inline size_t
piece_read(ByteSource *source, char *buffer, size_t size)
{
	PieceSource *piece = (PieceSource *) source;
	size_t length = piece->length - piece->used;

	piece->reads++;
	piece->last_buffer = buffer;
	if (length == 0 && piece->fails)
		ereport(ERROR, (errcode(FAILURE_BELOW), errmsg("could not read")));
	length = Min(length, piece->piece);
	length = Min(length, size);
	if (piece->used < piece->first)
		length = Min(length, piece->first - piece->used);
	if (length > 0)
		memcpy(buffer, piece->bytes + piece->used, length);
	piece->used += length;
	return length;
}

static inline PieceSource
piece_source(const char *bytes, size_t length, size_t piece)
{
	return (PieceSource){.source = {piece_read}, .bytes = bytes, .length = length, .piece = piece};
}

typedef struct KeepingSink
{
	ByteSink sink;
	ByteBuffer bytes; /* the test frees them */
	size_t refused;   /* throws when it would have more than so many, where it is not 0 */
	int finished;
} KeepingSink;

static inline void
keeping_write(ByteSink *sink, const char *bytes, size_t length)
{
	KeepingSink *keeping = (KeepingSink *) sink;

	if (keeping->refused > 0 && keeping->bytes.length + length > keeping->refused)
		ereport(ERROR, (errcode(FAILURE_BELOW), errmsg("could not write")));
	buffer_append(&keeping->bytes, bytes, length);
}

static inline void
keeping_finish(ByteSink *sink)
{
	((KeepingSink *) sink)->finished++;
}

static inline KeepingSink
keeping_sink(void)
{
	return (KeepingSink){.sink = {keeping_write, keeping_finish}};
}

#endif
