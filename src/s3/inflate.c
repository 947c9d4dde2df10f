/*
 * inflate.c
 *		Gzip by zlib, zstd by libzstd. See inflate.h.
 *
 * zlib allocates with palloc. libzstd has no such choice in what it promises to keep, so what it has from malloc is freed
 * by a callback of the memory context.
 */
#include "s3/inflate.h"

#include "s3/gzip.h"
#include "s3/uri.h"

#include <zstd.h>
#include <zstd_errors.h>

#define INPUT_SIZE (64 * 1024)
#define MAGIC_SIZE 4

/* What zstd's own tool takes unless told otherwise; a decoder may have such a limit (RFC 8878, 3.1.1.1.2). */
#define MAX_WINDOW_LOG 27

/* zlib counts in ints. */
#define MAX_STEP (1024 * 1024 * 1024)

typedef struct Inflater Inflater;

/* Inflates from the input into `buffer`, and keeps `inside`. How many bytes. */
typedef size_t (*InflateStep)(Inflater *inflater, char *buffer, size_t size);

struct Inflater
{
	ByteSource source;
	ByteSource *below;
	char *name;
	MemoryContext context;
	unsigned char head[MAGIC_SIZE]; /* the first bytes, where they are not compressed */
	size_t head_used;
	size_t head_length;
	InflateStep step;
	unsigned char *input;
	size_t input_used;
	size_t input_length;
	bool inside; /* a member or a frame has begun and not ended */
	bool gzip_is_open;
	z_stream gzip;
	ZSTD_DStream *zstd;
	MemoryContextCallback reset;
};

pg_noreturn static void
throw_no_memory(void)
{
	ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

pg_noreturn static void
throw_damaged(const Inflater *inflater, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
			 errmsg("could not inflate \"%s\": %s", inflater->name, problem),
			 errhint("The object is damaged, was not written completely, or has something else "
					 "behind the end of its compressed data.")));
}

/* Begins a member where the one before has ended. */
static size_t
step_gzip(Inflater *inflater, char *buffer, size_t size)
{
	z_stream *gzip = &inflater->gzip;
	size_t available = inflater->input_length - inflater->input_used;
	size_t room = Min(size, MAX_STEP);
	int result;

	if (!inflater->inside)
		inflateReset(gzip);
	gzip->next_in = inflater->input + inflater->input_used;
	gzip->avail_in = (uInt) available;
	gzip->next_out = (Bytef *) buffer;
	gzip->avail_out = (uInt) room;
	result = inflate(gzip, Z_NO_FLUSH);
	inflater->input_used += available - gzip->avail_in;
	if (result == Z_STREAM_END)
		inflater->inside = false;
	else if (result == Z_OK || result == Z_BUF_ERROR) /* the latter: nothing to do */
		inflater->inside = true;
	else if (result == Z_MEM_ERROR)
		throw_no_memory();
	else
		throw_damaged(inflater, gzip->msg != NULL ? gzip->msg : zError(result));
	return room - gzip->avail_out;
}

/* libzstd itself goes from one frame to the next. */
static size_t
step_zstd(Inflater *inflater, char *buffer, size_t size)
{
	ZSTD_inBuffer in = {inflater->input, inflater->input_length, inflater->input_used};
	ZSTD_outBuffer out = {buffer, size, 0};
	size_t result = ZSTD_decompressStream(inflater->zstd, &out, &in);

	inflater->input_used = in.pos;
	if (ZSTD_isError(result))
	{
		switch (ZSTD_getErrorCode(result))
		{
			case ZSTD_error_memory_allocation:
				throw_no_memory();
			case ZSTD_error_frameParameter_windowTooLarge:
				ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
								errmsg("could not inflate \"%s\": its window is larger than %d MB",
									   inflater->name, (1 << MAX_WINDOW_LOG) / (1024 * 1024)),
								errhint("Compress it with --long=%d at most.", MAX_WINDOW_LOG)));
			default:
				throw_damaged(inflater, ZSTD_getErrorName(result));
		}
	}
	inflater->inside = result != 0;
	return out.pos;
}

/* Also a memory context's callback: never throws. */
static void
free_zstd(void *argument)
{
	Inflater *inflater = argument;

	ZSTD_freeDStream(inflater->zstd);
	inflater->zstd = NULL;
}

/* At the end, where all is released but the Inflater itself. */
static size_t
read_nothing(ByteSource *source, char *buffer, size_t size)
{
	(void) source;
	(void) buffer;
	(void) size;
	return 0;
}

static void
close_inflater(Inflater *inflater)
{
	if (inflater->gzip_is_open)
		inflateEnd(&inflater->gzip);
	free_zstd(inflater);
	pfree(inflater->input);
	inflater->source.read = read_nothing;
}

static size_t
read_inflated(ByteSource *source, char *buffer, size_t size)
{
	Inflater *inflater = (Inflater *) source;
	size_t length = 0;

	for (;;)
	{
		/* What is held back comes first: more input may be long in coming. */
		while (length < size && (inflater->inside || inflater->input_used < inflater->input_length))
		{
			size_t more = inflater->step(inflater, buffer + length, size - length);

			length += more;
			if (more == 0 && inflater->input_used == inflater->input_length)
				break;
		}
		if (length > 0)
			return length;

		CHECK_FOR_INTERRUPTS(); /* there may be much that inflates to nothing */
		inflater->input_used = 0;
		inflater->input_length = 0;
		inflater->input_length =
			inflater->below->read(inflater->below, (char *) inflater->input, INPUT_SIZE);
		if (inflater->input_length > 0)
			continue;
		if (inflater->inside)
			throw_damaged(inflater, "it ends too early");
		close_inflater(inflater);
		return 0;
	}
}

static size_t
read_plain(ByteSource *source, char *buffer, size_t size)
{
	Inflater *inflater = (Inflater *) source;
	size_t length = Min(size, inflater->head_length - inflater->head_used);

	if (length == 0)
		return inflater->below->read(inflater->below, buffer, size);
	memcpy(buffer, inflater->head + inflater->head_used, length);
	inflater->head_used += length;
	return length;
}

/* Whether the first bytes are these; where there are too few, as far as there are any, the name decides. */
static bool
begins_with(const Inflater *inflater, const unsigned char *magic, size_t length, const char *suffix)
{
	size_t known = Min(length, inflater->head_length);

	return known > 0 && memcmp(inflater->head, magic, known) == 0 &&
		   (known == length || s3_key_ends_with(inflater->name, suffix));
}

static void
open_gzip(Inflater *inflater)
{
	gzip_allocate_in(&inflater->gzip, inflater->context);
	gzip_check_begun(inflateInit2(&inflater->gzip, GZIP_WINDOW_BITS));
	inflater->gzip_is_open = true;
	inflater->step = step_gzip;
}

static void
open_zstd(Inflater *inflater)
{
	inflater->reset.func = free_zstd;
	inflater->reset.arg = inflater;
	MemoryContextRegisterResetCallback(inflater->context, &inflater->reset);
	inflater->zstd = ZSTD_createDStream();
	if (inflater->zstd == NULL)
		throw_no_memory();
	ZSTD_DCtx_setParameter(inflater->zstd, ZSTD_d_windowLogMax, MAX_WINDOW_LOG);
	inflater->step = step_zstd;
}

const char *
inflate_unknown_ending(const char *name)
{
	static const char *const endings[] = {".bz2", ".deflate", ".lz4", ".snappy"};

	for (int i = 0; i < (int) lengthof(endings); i++)
	{
		if (s3_key_ends_with(name, endings[i]))
			return endings[i];
	}
	return NULL;
}

/* It would be read as text, and perhaps be rows. */
static void
refuse_unknown_compression(const Inflater *inflater)
{
	const char *ending = inflate_unknown_ending(inflater->name);

	if (ending != NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("an object whose name ends in \"%s\" is not read", ending),
						errhint("gzip and zstd are read. If it is not compressed, give it another "
								"name.")));
}

/* What Spark writes unless told otherwise would be read as text, and not be understood. */
static void
refuse_columnar(const Inflater *inflater)
{
	static const unsigned char parquet[] = {'P', 'A', 'R', '1'};
	static const unsigned char orc[] = {'O', 'R', 'C'};
	const char *format = NULL;

	if (s3_key_ends_with(inflater->name, ".parquet") &&
		begins_with(inflater, parquet, sizeof(parquet), ".parquet"))
		format = "Parquet";
	else if (s3_key_ends_with(inflater->name, ".orc") &&
			 begins_with(inflater, orc, sizeof(orc), ".orc"))
		format = "ORC";
	if (format != NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("the object is a file of %s, which only Spark reads", format),
						errhint("Have a calculation write the rows as JSON or csv, as with "
								"df.write.json(...).")));
}

static size_t
read_first(ByteSource *source, char *buffer, size_t size)
{
	static const unsigned char gzip[] = {0x1F, 0x8B};
	static const unsigned char zstd[] = {0x28, 0xB5, 0x2F, 0xFD};
	unsigned char skippable[] = {0x50, 0x2A, 0x4D, 0x18}; /* or any from 0x50 to 0x5F */
	Inflater *inflater = (Inflater *) source;
	unsigned char *head = inflater->head;
	size_t more;

	do
	{
		more = inflater->below->read(inflater->below, (char *) head + inflater->head_length,
									 MAGIC_SIZE - inflater->head_length);
		inflater->head_length += more;
	} while (more > 0 && inflater->head_length < MAGIC_SIZE);

	skippable[0] |= head[0] & 0x0F;
	if (begins_with(inflater, gzip, sizeof(gzip), ".gz"))
		open_gzip(inflater);
	else if (begins_with(inflater, zstd, sizeof(zstd), ".zst") ||
			 begins_with(inflater, skippable, sizeof(skippable), ".zst"))
		open_zstd(inflater);
	else
	{
		refuse_columnar(inflater);
		refuse_unknown_compression(inflater);
		source->read = read_plain;
		return read_plain(source, buffer, size);
	}

	inflater->input = MemoryContextAlloc(inflater->context, INPUT_SIZE);
	memcpy(inflater->input, head, inflater->head_length);
	inflater->input_length = inflater->head_length;
	source->read = read_inflated;
	return read_inflated(source, buffer, size);
}

ByteSource *
inflate_open(ByteSource *below, const char *name)
{
	Inflater *inflater = palloc0(sizeof(Inflater));

	inflater->source.read = read_first;
	inflater->below = below;
	inflater->name = pstrdup(name);
	inflater->context = CurrentMemoryContext;
	return &inflater->source;
}
