/*
 * buffer.c
 *		A growable run of bytes from malloc that never throws. See buffer.h.
 */
#include "http/buffer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

bool
buffer_reserve(ByteBuffer *buffer, size_t more)
{
	size_t needed;
	size_t capacity;
	char *data;

	if (buffer->failed || more > SIZE_MAX / 4 - buffer->length - 1)
	{
		buffer->failed = true;
		return false;
	}
	needed = buffer->length + more + 1;
	if (needed <= buffer->capacity)
		return true;

	capacity = buffer->capacity > 0 ? buffer->capacity * 2 : 256;
	if (buffer->limit > 0 && capacity > buffer->limit)
		capacity = buffer->limit;
	if (capacity < needed)
		capacity = needed;

	/* Not realloc: it may leave a copy of a secret behind that nobody wipes. */
	data = malloc(capacity);
	if (data == NULL)
	{
		buffer->failed = true;
		return false;
	}
	if (buffer->data != NULL)
	{
		memcpy(data, buffer->data, buffer->length + 1);
		OPENSSL_cleanse(buffer->data, buffer->capacity);
		free(buffer->data);
	}
	buffer->data = data;
	buffer->capacity = capacity;
	return true;
}

void
buffer_reset(ByteBuffer *buffer)
{
	buffer->length = 0;
	buffer->failed = false;
	if (buffer->data != NULL)
		buffer->data[0] = '\0';
}

void
buffer_free(ByteBuffer *buffer)
{
	if (buffer->data != NULL)
	{
		OPENSSL_cleanse(buffer->data, buffer->capacity);
		free(buffer->data);
	}
	memset(buffer, 0, sizeof(*buffer));
}
