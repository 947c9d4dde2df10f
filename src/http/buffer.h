/*
 * buffer.h
 *		A growable run of bytes from malloc that never throws.
 *
 * For code that must not raise PostgreSQL errors: what runs below a curl callback, and plain C that is
 * tested without a server. A failed append (out of memory, or past the limit) leaves the buffer as it
 * was and sets `failed`, so a sequence of appends is checked once, at its end. The buffer owns its
 * memory; buffer_free() wipes and releases it.
 */
#ifndef ATHENA_CALC_HTTP_BUFFER_H
#define ATHENA_CALC_HTTP_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct ByteBuffer
{
	char *data; /* NULL at first; NUL-terminated once something was appended */
	size_t length;
	size_t capacity;
	size_t limit; /* growth by doubling stops here; 0 for nowhere */
	bool failed;
} ByteBuffer;

/* Makes room for `more` bytes and a NUL. False, with `failed` set, when there is no memory. */
extern bool buffer_reserve(ByteBuffer *buffer, size_t more);

/* Appends `length` bytes of `bytes`. False, with `failed` set, when there is no memory. */
static inline bool
buffer_append(ByteBuffer *buffer, const void *bytes, size_t length)
{
	/* Mostly there is room. */
	if ((buffer->failed || length >= buffer->capacity - buffer->length) &&
		!buffer_reserve(buffer, length))
		return false;
	if (length > 0)
		memcpy(buffer->data + buffer->length, bytes, length);
	buffer->length += length;
	buffer->data[buffer->length] = '\0';
	return true;
}

/* Appends a C string. */
static inline bool
buffer_append_string(ByteBuffer *buffer, const char *string)
{
	return buffer_append(buffer, string, strlen(string));
}

/* Appends one byte. */
static inline bool
buffer_append_char(ByteBuffer *buffer, char c)
{
	return buffer_append(buffer, &c, 1);
}

/* Empties the buffer and keeps its memory for the next use. */
extern void buffer_reset(ByteBuffer *buffer);

/* Wipes the bytes and releases the memory; the buffer can be used again. */
extern void buffer_free(ByteBuffer *buffer);

#endif
