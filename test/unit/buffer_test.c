/*
 * buffer_test.c
 *		A growable run of bytes: what is appended stays, and every state can be left again.
 *
 * Out of memory and the wiping of what is released are memory_test.c's.
 */
#include "http/buffer.h"

#include <stdint.h>
#include <stdlib.h>

#include "tap.h"

static void
test_growth(void)
{
	ByteBuffer buffer = {0};
	bool terminated = true;
	bool kept = true;
	bool has_room = true;
	int moves = 0;
	const char *last = NULL;
	const size_t size = 100000;

	for (size_t i = 0; i < size; i++)
	{
		if (!buffer_append_char(&buffer, (char) (i * 31 % 251)))
			break;
		terminated = terminated && buffer.data[buffer.length] == '\0';
		has_room = has_room && buffer.length < buffer.capacity;
		moves += buffer.data != last;
		last = buffer.data;
	}
	tap_is_int((int64_t) buffer.length, (int64_t) size, "single bytes add up");
	for (size_t i = 0; i < buffer.length; i++)
		kept = kept && buffer.data[i] == (char) (i * 31 % 251);
	tap_ok(kept, "growing keeps every byte");
	tap_ok(terminated, "a NUL follows the last byte after each append");
	tap_ok(has_room, "the NUL lies inside the capacity");

	/* Amortized: a buffer that grew by a constant would move thousands of times. */
	tap_ok(moves <= 20, "100,000 single bytes move the buffer at most 20 times (%d)", moves);
	buffer_free(&buffer);
}

static void
test_large_append(void)
{
	ByteBuffer buffer = {0};
	const size_t size = 1 << 20;
	char *large = malloc(size);

	memset(large, 'x', size);
	buffer_append_string(&buffer, "head ");
	tap_ok(buffer_append(&buffer, large, size), "one append much larger than twice the capacity");
	tap_is_int((int64_t) buffer.length, (int64_t) size + 5, "its length counts");
	tap_ok(memcmp(buffer.data, "head ", 5) == 0 && memcmp(buffer.data + 5, large, size) == 0,
		   "its bytes follow those before");
	buffer_free(&buffer);

	/* Around the first allocation, where an off-by-one in the room for the NUL would show. */
	for (size_t length = 250; length < 262; length++)
	{
		ByteBuffer edge = {0};

		buffer_append(&edge, large, length);
		tap_ok(edge.length == length && edge.capacity > length && edge.data[length] == '\0',
			   "a first append of %zu bytes", length);
		buffer_append_char(&edge, 'y');
		tap_ok(edge.length == length + 1 && edge.data[length] == 'y' &&
				   edge.data[length + 1] == '\0',
			   "and one byte more");
		buffer_free(&edge);
	}
	free(large);
}

static void
test_bytes(void)
{
	ByteBuffer buffer = {0};

	tap_ok(buffer.data == NULL, "nothing is allocated before the first append");
	tap_ok(buffer_append(&buffer, NULL, 0), "no bytes at all can be appended to a fresh buffer");
	tap_is_string(buffer.data, "", "which gives it an empty string");
	tap_ok(buffer_append_string(&buffer, ""), "an empty string can be appended");
	tap_is_int((int64_t) buffer.length, 0, "and adds nothing");
	buffer_append_string(&buffer, "abc");
	buffer_append(&buffer, NULL, 0);
	tap_is_bytes(buffer.data, buffer.length, "abc", 3, "zero bytes change nothing");
	buffer_append(&buffer, "\0d\0", 3);
	buffer_append_char(&buffer, '\0');
	buffer_append_string(&buffer, "e\xFF");
	tap_is_bytes(buffer.data, buffer.length, "abc\0d\0\0e\xFF", 9, "NUL is a byte like others");
	tap_ok(!buffer.failed, "nothing failed");
	buffer_free(&buffer);
}

static void
test_reset_and_free(void)
{
	ByteBuffer buffer = {0};
	const char *data;
	size_t capacity;

	buffer_reset(&buffer);
	tap_ok(buffer.data == NULL && buffer.length == 0, "a fresh buffer can be reset");
	for (int i = 0; i < 1000; i++)
		buffer_append_string(&buffer, "0123456789");
	data = buffer.data;
	capacity = buffer.capacity;
	buffer_reset(&buffer);
	tap_is_string(buffer.data, "", "reset empties");
	tap_is_int((int64_t) buffer.length, 0, "reset sets the length to nothing");
	buffer_append_string(&buffer, "short");
	tap_is_bytes(buffer.data, buffer.length, "short", 5, "a reset buffer starts anew");
	tap_is_int(buffer.data[5], 0, "and has its NUL where the new bytes end");
	tap_ok(buffer.data == data && buffer.capacity == capacity, "reset keeps the memory");

	buffer_free(&buffer);
	tap_ok(buffer.data == NULL && buffer.length == 0 && buffer.capacity == 0,
		   "free leaves nothing");
	buffer_free(&buffer);
	tap_ok(buffer.data == NULL, "free may be called twice");
	tap_ok(buffer_append_string(&buffer, "again"), "a freed buffer can be used again");
	tap_is_bytes(buffer.data, buffer.length, "again", 5, "from its beginning");
	buffer_free(&buffer);
}

static void
test_reserve(void)
{
	ByteBuffer buffer = {0};
	const char *data;

	tap_ok(buffer_reserve(&buffer, 0), "room for nothing can be reserved");
	tap_is_int((int64_t) buffer.length, 0, "and adds nothing");
	tap_ok(buffer_reserve(&buffer, 1000) && buffer.capacity > 1000,
		   "room for 1,000 bytes and a NUL");
	data = buffer.data;
	for (int i = 0; i < 1000; i++)
		buffer_append_char(&buffer, 'x');
	tap_ok(buffer.data == data && buffer.length == 1000, "which are appended without a move");
	tap_ok(buffer_reserve(&buffer, 5000) && buffer.capacity > 6000, "room is counted from the end");
	tap_ok(buffer.length == 1000 && strspn(buffer.data, "x") == 1000, "what was there stays");
	buffer_free(&buffer);
}

/* Lengths that no memory can have must not wrap around to ones that it has. */
static void
test_limit(void)
{
	/* Volatile, or the compiler warns of a copy of that size that is never made. */
	static const volatile size_t lengths[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 3, SIZE_MAX / 2,
											  SIZE_MAX / 4};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
	{
		size_t length = lengths[i];
		ByteBuffer buffer = {0};

		buffer_append_string(&buffer, "abc");
		tap_ok(!buffer_append(&buffer, "x", length), "an append of %zu bytes fails", length);
		tap_ok(buffer.failed, "which is remembered");
		tap_is_bytes(buffer.data, buffer.length, "abc", 3, "the buffer is as it was");
		tap_ok(!buffer_append_char(&buffer, 'd') && !buffer_append(&buffer, NULL, 0),
			   "later appends fail too, so that the end of a sequence tells");
		tap_is_bytes(buffer.data, buffer.length, "abc", 3, "and add nothing");
		buffer_reset(&buffer);
		tap_ok(!buffer.failed && buffer_append_char(&buffer, 'd'), "reset forgives");
		tap_is_bytes(buffer.data, buffer.length, "d", 1, "and starts anew");
		buffer_append(&buffer, "x", length);
		buffer_free(&buffer);
		tap_ok(!buffer.failed, "free forgives too");
	}
}

int
main(void)
{
	test_growth();
	test_large_append();
	test_bytes();
	test_reset_and_free();
	test_reserve();
	test_limit();
	return tap_finish();
}
