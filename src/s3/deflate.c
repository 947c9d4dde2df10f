/*
 * deflate.c
 *		Gzip by zlib. See deflate.h.
 */
#include "s3/deflate.h"

#include "s3/gzip.h"

#define OUTPUT_SIZE (64 * 1024)

/* Fast rather than small: at zlib's default, 6, the backend and not the network would be what limits. */
#define LEVEL Z_BEST_SPEED

/* zlib's default for its memory. */
#define MEMORY_LEVEL 8

/* How much is taken between two looks at interrupts. */
#define STEP_SIZE (1024 * 1024)

typedef struct Deflater
{
	ByteSink sink;
	ByteSink *below;
	z_stream gzip;
	unsigned char *output;
} Deflater;

/* Hands on what is ready and makes room. */
static void
write_output(Deflater *deflater)
{
	size_t length = OUTPUT_SIZE - deflater->gzip.avail_out;

	deflater->gzip.next_out = deflater->output;
	deflater->gzip.avail_out = OUTPUT_SIZE;
	if (length > 0)
		deflater->below->write(deflater->below, (const char *) deflater->output, length);
}

static void
write_deflated(ByteSink *sink, const char *bytes, size_t length)
{
	Deflater *deflater = (Deflater *) sink;
	z_stream *gzip = &deflater->gzip;

	while (length > 0)
	{
		size_t step = Min(length, STEP_SIZE);

		CHECK_FOR_INTERRUPTS();
		gzip->next_in = (const Bytef *) bytes;
		gzip->avail_in = (uInt) step;
		while (gzip->avail_in > 0)
		{
			deflate(gzip, Z_NO_FLUSH);
			if (gzip->avail_out == 0)
				write_output(deflater);
		}
		bytes += step;
		length -= step;
	}
}

static void
finish_deflated(ByteSink *sink)
{
	Deflater *deflater = (Deflater *) sink;

	while (deflate(&deflater->gzip, Z_FINISH) != Z_STREAM_END)
		write_output(deflater);
	write_output(deflater);
	deflateEnd(&deflater->gzip);
	pfree(deflater->output);
	deflater->below->finish(deflater->below);
}

ByteSink *
deflate_open(ByteSink *below)
{
	Deflater *deflater = palloc0(sizeof(Deflater));
	z_stream *gzip = &deflater->gzip;

	deflater->sink.write = write_deflated;
	deflater->sink.finish = finish_deflated;
	deflater->below = below;
	gzip_allocate_in(gzip, CurrentMemoryContext);
	gzip_check_begun(
		deflateInit2(gzip, LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS, MEMORY_LEVEL, Z_DEFAULT_STRATEGY));
	deflater->output = palloc(OUTPUT_SIZE);
	gzip->next_out = deflater->output;
	gzip->avail_out = OUTPUT_SIZE;
	return &deflater->sink;
}
