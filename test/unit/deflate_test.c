/*
 * deflate_test.c
 *		Bytes deflated as gzip: they are the same again, their memory is released, and errors pass.
 *
 * zlib alone reads them here; bytes_python.py has Python read them.
 */
#include "s3/deflate.h"

#include <stdlib.h>

#include <zlib.h>

#include "bytes_ends.h"
#include "tap.h"

/* One deflating, to its end or, where `write_only`, not. */
typedef struct Deflating
{
	const char *bytes;
	size_t length;
	size_t piece;
	bool write_only;
	KeepingSink kept;
} Deflating;

static void
run_deflating(void *argument)
{
	Deflating *deflating = argument;
	ByteSink *sink = deflate_open(&deflating->kept.sink);

	for (size_t used = 0; used < deflating->length; used += deflating->piece)
		sink->write(sink, deflating->bytes + used, Min(deflating->piece, deflating->length - used));
	if (!deflating->write_only)
		sink->finish(sink);
}

/* Deflates in a context of its own. Whether it threw. The caller frees what was kept. */
static bool
deflate_all(Deflating *deflating)
{
	bool thrown;

	deflating->kept.bytes.length = 0;
	deflating->kept.finished = 0;
	server_begin_context();
	thrown = server_throws(run_deflating, deflating);
	server_end_context();
	return thrown;
}

/* Whether these bytes are one member of gzip that holds exactly those. */
static bool
holds(const ByteBuffer *gzip, const char *bytes, size_t length)
{
	z_stream stream = {0};
	char *inflated = malloc(length + 1);
	bool held;

	stream.next_in = (Bytef *) gzip->data;
	stream.avail_in = (uInt) gzip->length;
	stream.next_out = (Bytef *) inflated;
	stream.avail_out = (uInt) length + 1;
	held = inflateInit2(&stream, MAX_WBITS + 16) == Z_OK &&
		   inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.avail_in == 0 &&
		   stream.total_out == length && (length == 0 || memcmp(inflated, bytes, length) == 0);
	inflateEnd(&stream);
	free(inflated);
	return held;
}

static char *
make_bytes(size_t length, bool random)
{
	char *bytes = malloc(length + 1);
	uint64_t seed = 1;

	for (size_t i = 0; i < length; i++)
	{
		seed = seed * UINT64_C(6364136223846793005) + 1;
		bytes[i] = random ? (char) (seed >> 56) : "0123456789,\n"[(seed >> 33) % 12];
	}
	return bytes;
}

static void
test_round_trips(void)
{
	static const size_t lengths[] = {0, 1, 2, 1000, 65536, 3000000};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		for (int random = 0; random < 2; random++)
		{
			char *bytes = make_bytes(lengths[i], random);
			Deflating whole = {.bytes = bytes, .length = lengths[i], .piece = SIZE_MAX / 2};
			Deflating pieces = {.bytes = bytes, .length = lengths[i], .piece = 7};

			whole.kept = keeping_sink();
			pieces.kept = keeping_sink();
			tap_ok(!deflate_all(&whole) && holds(&whole.kept.bytes, bytes, lengths[i]),
				   "%zu %s bytes at once", lengths[i], random ? "random" : "csv's");
			tap_ok(!deflate_all(&pieces) && holds(&pieces.kept.bytes, bytes, lengths[i]),
				   "the same bytes in small pieces");
			tap_is_int(whole.kept.finished, 1, "what is below is ended once");
			tap_ok(
				whole.kept.bytes.length <= lengths[i] + lengths[i] / 1000 + 30 &&
					(random || lengths[i] < 1000 || whole.kept.bytes.length < lengths[i] * 2 / 3),
				"it is small: %zu", whole.kept.bytes.length);
			buffer_free(&whole.kept.bytes);
			buffer_free(&pieces.kept.bytes);
			free(bytes);
		}
}

static void
test_header(void)
{
	Deflating deflating = {.bytes = "x", .length = 1, .piece = 1, .kept = keeping_sink()};
	char first[64];
	size_t length;

	deflate_all(&deflating);
	length = deflating.kept.bytes.length;
	tap_ok(length < sizeof(first) &&
			   memcmp(deflating.kept.bytes.data, "\x1F\x8B\x08\0\0\0\0\0", 8) == 0,
		   "the header has neither a name nor a time");
	memcpy(first, deflating.kept.bytes.data, length);
	deflate_all(&deflating);
	tap_is_bytes(deflating.kept.bytes.data, deflating.kept.bytes.length, first, length,
				 "the same bytes are the same gzip");
	buffer_free(&deflating.kept.bytes);
}

static void
test_memory(void)
{
	size_t length = 2000000;
	char *bytes = make_bytes(length, false);
	Deflating deflating = {.bytes = bytes, .length = length, .piece = 1000, .kept = keeping_sink()};
	size_t peak;
	int refused;
	int told = 0;

	deflate_all(&deflating);
	peak = server_memory_peak();
	tap_ok(peak > 100000 && peak < 400000, "it takes some 350 kB: %zu", peak);

	deflating.kept.bytes.length = 0;
	server_begin_context();
	run_deflating(&deflating);
	tap_ok(server_memory() < 1000, "its end releases them: %zu", server_memory());
	server_end_context();

	deflating.write_only = true;
	server_begin_context();
	run_deflating(&deflating);
	tap_ok(server_memory() > 100000, "without its end they are there");
	server_end_context();
	tap_is_int((int64_t) server_memory(), 0, "until the context ends");
	deflating.write_only = false;

	/* Each allocation is refused once. */
	for (refused = 0;; refused++)
	{
		server_refused_allocation = refused;
		if (!deflate_all(&deflating))
			break;
		told += strcmp(server_error.sqlstate, ERRCODE_OUT_OF_MEMORY) == 0 && server_memory() == 0;
	}
	server_refused_allocation = -1;
	tap_ok(refused >= 4, "memory was refused %d times", refused);
	tap_is_int(told, refused, "each time it said so and left nothing");
	buffer_free(&deflating.kept.bytes);
	free(bytes);
}

static void
test_errors_and_interrupts(void)
{
	size_t length = 5000000;
	char *bytes = make_bytes(length, true);
	Deflating deflating = {
		.bytes = bytes, .length = length, .piece = length, .kept = keeping_sink()};

	server_interrupt_checks = 0;
	deflate_all(&deflating);
	tap_ok(server_interrupt_checks >= 5, "a large piece looks at interrupts on its way: %d times",
		   server_interrupt_checks);
	for (size_t refused = 1; refused < length; refused += 999999)
	{
		deflating.kept.refused = refused;
		tap_ok(deflate_all(&deflating) && strcmp(server_error.sqlstate, FAILURE_BELOW) == 0 &&
				   deflating.kept.finished == 0,
			   "an error below after %zu bytes passes", refused);
	}
	tap_is_int((int64_t) server_memory(), 0, "and leaves nothing");
	buffer_free(&deflating.kept.bytes);
	free(bytes);
}

int
main(void)
{
	test_round_trips();
	test_header();
	test_memory();
	test_errors_and_interrupts();
	return tap_finish();
}
