/*
 * inflate_test.c
 *		Gzip and zstd inflated: in every piece, cut off anywhere, with any bit wrong, and what memory it takes.
 *
 * zlib and libzstd make the data here; bytes_python.py has it made by Python.
 */
#include "s3/inflate.h"

#include <stdlib.h>

#include <zlib.h>
#include <zstd.h>

#include "bytes_ends.h"
#include "tap.h"

#define MEGABYTE (1024 * 1024)
#define WHOLE SIZE_MAX

/*
 * What is inflated, and how. A run allocates nothing from malloc itself, so that what is left of it afterwards
 * is the tested code's.
 */
typedef struct Inflating
{
	const char *name;
	PieceSource source;
	size_t read_size;  /* of each read() */
	size_t read_count; /* at most so many, where it is not 0 */
	const ByteBuffer *expected;
	size_t length; /* so many bytes came out */
	bool differs;  /* and they were not what was expected, or more */
	bool ended;
} Inflating;

static Inflating
inflating(const char *name, const ByteBuffer *input, const ByteBuffer *expected)
{
	return (Inflating){.name = name,
					   .source = piece_source(input->data, input->length, WHOLE),
					   .read_size = 64 * 1024,
					   .expected = expected};
}

static void
run_inflating(void *argument)
{
	static char buffer[64 * 1024];
	Inflating *run = argument;
	ByteSource *source = inflate_open(&run->source.source, run->name);
	size_t count = 0;
	size_t length;

	while ((run->read_count == 0 || count++ < run->read_count) &&
		   (length = source->read(source, buffer, run->read_size)) > 0)
	{
		run->differs = run->differs || length > run->expected->length - run->length ||
					   memcmp(run->expected->data + run->length, buffer, length) != 0;
		run->length += length;
	}
	run->ended = run->read_count == 0 && source->read(source, buffer, run->read_size) == 0;
}

/* Inflates in a context of its own. Whether it threw. */
static bool
inflate_all(Inflating *run)
{
	bool thrown;

	server_begin_context();
	thrown = server_throws(run_inflating, run);
	server_end_context();
	return thrown;
}

static bool
is_inflated(Inflating run)
{
	return !inflate_all(&run) && run.ended && !run.differs && run.length == run.expected->length;
}

/* Whether it is refused, in this way, and what came before that was right. */
static bool
is_refused(Inflating run, const char *problem)
{
	return inflate_all(&run) && !run.differs &&
		   strcmp(server_error.sqlstate, ERRCODE_BAD_COPY_FILE_FORMAT) == 0 &&
		   strncmp(server_error.message, "could not inflate \"", 19) == 0 &&
		   strstr(server_error.message, problem) != NULL && server_error.hint[0] != '\0' &&
		   server_memory() == 0;
}

/* Appends a member of gzip. */
static void
append_gzip(ByteBuffer *buffer, const char *bytes, size_t length)
{
	z_stream stream = {0};

	deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
	buffer_reserve(buffer, deflateBound(&stream, length) + 32);
	stream.next_in = (Bytef *) bytes;
	stream.avail_in = (uInt) length;
	stream.next_out = (Bytef *) buffer->data + buffer->length;
	stream.avail_out = (uInt) (buffer->capacity - buffer->length);
	deflate(&stream, Z_FINISH);
	buffer->length += stream.total_out;
	deflateEnd(&stream);
}

/* Appends a frame of zstd, with the checksum of its content, and with its size or without. */
static void
append_zstd_frame(ByteBuffer *buffer, const char *bytes, size_t length, bool with_size)
{
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	ZSTD_inBuffer in = {bytes, length, 0};
	ZSTD_outBuffer out;

	ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
	if (with_size)
		ZSTD_CCtx_setPledgedSrcSize(zstd, length);
	/* Less than the whole in the first call, or libzstd knows the size. */
	in.size = length / 2;
	buffer_reserve(buffer, ZSTD_compressBound(length));
	out = (ZSTD_outBuffer){buffer->data + buffer->length, ZSTD_compressBound(length), 0};
	ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_continue);
	in.size = length;
	ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_end);
	buffer->length += out.pos;
	ZSTD_freeCCtx(zstd);
}

static void
append_zstd(ByteBuffer *buffer, const char *bytes, size_t length)
{
	append_zstd_frame(buffer, bytes, length, false);
}

typedef struct Format
{
	const char *name;
	const char *object;
	void (*append)(ByteBuffer *buffer, const char *bytes, size_t length);
	size_t magic;   /* so many bytes tell what it is */
	size_t trailer; /* so many come behind the data */
} Format;

static const Format formats[] = {
	{"gzip", "s3://bucket/x.csv.gz", append_gzip, 2, 8},
	{"zstd", "s3://bucket/x.csv.zst", append_zstd, 4, 4},
};

static ByteBuffer
csv(size_t length)
{
	ByteBuffer bytes = {0};
	uint64_t seed = 1;

	buffer_append_string(&bytes, "");
	while (bytes.length < length)
	{
		seed = seed * UINT64_C(6364136223846793005) + 1;
		buffer_append_char(&bytes, "0123456789,\n"[(seed >> 33) % 12]);
	}
	return bytes;
}

static void
test_round_trips(const Format *format)
{
	static const size_t lengths[] = {0, 1, 100, 65536, 300000};
	static const size_t pieces[] = {1, 2, 5, 1000, WHOLE};
	static const size_t reads[] = {1, 7, 65536};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
	{
		ByteBuffer bytes = csv(lengths[i]);
		ByteBuffer input = {0};
		int wrong = 0;

		format->append(&input, bytes.data, bytes.length);
		for (size_t piece = 0; piece < sizeof(pieces) / sizeof(pieces[0]); piece++)
			for (size_t read = 0; read < sizeof(reads) / sizeof(reads[0]); read++)
			{
				Inflating run = inflating("any name", &input, &bytes);

				run.source.piece = pieces[piece];
				run.read_size = reads[read];
				wrong += !is_inflated(run);
			}
		tap_is_int(wrong, 0, "%s: %zu bytes, given in pieces of 1 byte up, read by 1 byte up",
				   format->name, lengths[i]);
		buffer_free(&input);
		buffer_free(&bytes);
	}
}

/* Several members or frames, empty ones among them. */
static void
test_several(const Format *format)
{
	ByteBuffer bytes = csv(300);
	ByteBuffer input = {0};
	size_t ends[4];
	int wrong_splits = 0;
	int wrong_cuts = 0;
	int changed = 0;
	int accepted = 0;

	format->append(&input, bytes.data, 100);
	ends[0] = input.length;
	format->append(&input, "", 0);
	ends[1] = input.length;
	format->append(&input, bytes.data + 100, 1);
	ends[2] = input.length;
	format->append(&input, bytes.data + 101, 199);
	ends[3] = input.length;

	for (size_t split = 1; split < input.length; split++)
	{
		Inflating run = inflating("any name", &input, &bytes);

		run.source.first = split;
		wrong_splits += !is_inflated(run);
	}
	tap_is_int(wrong_splits, 0,
			   "%s: several, one behind the other, in two pieces, split at each byte",
			   format->name);

	for (size_t length = 1; length < input.length; length++)
	{
		Inflating run = inflating(format->object, &input, &bytes);

		run.source.length = length;
		if (length == ends[0] || length == ends[1] || length == ends[2])
			wrong_cuts += inflate_all(&run) || run.differs || run.length < 100;
		else
			wrong_cuts += !is_refused(run, "it ends too early");
	}
	tap_is_int(wrong_cuts, 0, "%s: cut off at each byte it is refused, except between two",
			   format->name);

	for (size_t bit = 0; bit < input.length * 8; bit++)
	{
		Inflating run = inflating(format->object, &input, &bytes);
		bool thrown;

		input.data[bit / 8] ^= (char) (1 << bit % 8);
		thrown = inflate_all(&run);
		accepted += !thrown;
		/* What does not begin as it should goes through as it is. */
		if (!thrown && bit < format->magic * 8)
			changed += run.length != input.length;
		else if (!thrown)
			changed += run.differs || run.length != bytes.length;
		input.data[bit / 8] ^= (char) (1 << bit % 8);
	}
	tap_is_int(changed, 0, "%s: with any one bit wrong it is refused, or the same comes out of it",
			   format->name);
	/* Gzip's headers have times and the like that nothing depends on. */
	tap_ok(accepted < (int) ends[3] * 8 / 3,
		   "%s: most of these bits are missed (%d of %zu are not)", format->name, accepted,
		   ends[3] * 8);
	buffer_free(&input);
	buffer_free(&bytes);
}

/* More input may be long in coming: what can be had without it must not wait for it. */
static void
test_nothing_is_held_back(const Format *format)
{
	static const size_t reads[] = {1, 100, 65536};
	ByteBuffer bytes = {0};
	ByteBuffer input = {0};

	buffer_reserve(&bytes, 300000);
	memset(bytes.data, 'x', 300000);
	bytes.length = 300000;
	format->append(&input, bytes.data, bytes.length);
	for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++)
	{
		Inflating run = inflating(format->object, &input, &bytes);

		/* Without the checksum at the end, which both have. */
		run.source.length -= format->trailer;
		run.source.fails = true;
		run.read_size = reads[i];
		server_begin_context();
		tap_ok(server_throws(run_inflating, &run) && run.length == bytes.length && !run.differs,
			   "%s: all is read, by %zu, before its checksum is there", format->name, reads[i]);
		server_end_context();
	}
	buffer_free(&input);
	buffer_free(&bytes);
}

static void
test_what_follows(const Format *format)
{
	static const char *const garbage[] = {"\n", "x", "garbage that is long enough to be anything",
										  "\x1F\x8B", "\x28\xB5\x2F\xFD"};
	ByteBuffer bytes = csv(1000);

	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++)
	{
		ByteBuffer input = {0};
		Inflating run;

		format->append(&input, bytes.data, bytes.length);
		buffer_append_string(&input, garbage[i]);
		run = inflating("any name", &input, &bytes);
		tap_ok(is_refused(run, ""), "%s with %zu bytes of garbage behind it: %s", format->name,
			   strlen(garbage[i]), server_error.message);
		run.source.piece = 1;
		tap_ok(is_refused(run, ""), "the same in pieces");
		buffer_free(&input);
	}
	buffer_free(&bytes);
}

static void
test_passing_through(void)
{
	static const struct
	{
		const char *name;
		const char *bytes;
		size_t length;
	} cases[] = {
		{"x.csv", "", 0},
		{"x.csv.gz", "", 0},
		{"x.csv.zst", "", 0},
		{"x.csv", "a", 1},
		{"x.csv.gz", "a", 1},
		{"x.csv.gz", "a,b,c\n", 6},
		{"x.csv.zst", "a,b,c\n", 6},
		{"x.csv", "\x1F", 1},
		{"x.csv.zst", "\x1F", 1},
		{"x.csv", "\x28\xB5\x2F", 3},
		{"x.csv", "\x50\x2A\x4D", 3},
		{"x.csv", "\x60\x2A\x4D\x18", 4},
		{"x.csv", "P\0\0\0", 4},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		ByteBuffer bytes = {0};
		Inflating run;

		buffer_append(&bytes, cases[i].bytes, cases[i].length);
		run = inflating(cases[i].name, &bytes, &bytes);
		tap_ok(is_inflated(run), "%s goes through, %zu bytes", cases[i].name, cases[i].length);
		run.read_size = 1;
		run.source.piece = 1;
		tap_ok(is_inflated(run), "byte by byte, too");
		buffer_free(&bytes);
	}
}

/* Of what goes through, only the first bytes are copied. */
static void
test_straight_reads(void)
{
	ByteBuffer bytes = csv(100000);
	PieceSource source = piece_source(bytes.data, bytes.length, WHOLE);
	ByteSource *inflated;
	char buffer[1000];
	size_t length;

	server_begin_context();
	inflated = inflate_open(&source.source, "x.csv.gz");
	tap_is_int(source.reads, 0, "nothing is read before the first read");
	length = inflated->read(inflated, buffer, sizeof(buffer));
	length += inflated->read(inflated, buffer + length, sizeof(buffer) - length);
	tap_ok(source.last_buffer > buffer && source.last_buffer < buffer + 10,
		   "the reader's own buffer is filled");
	tap_ok(length == sizeof(buffer) && memcmp(buffer, bytes.data, length) == 0, "with the bytes");
	inflated->read(inflated, buffer, sizeof(buffer));
	tap_ok(source.last_buffer == buffer && server_memory_peak() < 2000,
		   "and nothing else holds them");
	server_end_context();
	buffer_free(&bytes);
}

/* https://www.rfc-editor.org/rfc/rfc8878#section-3.1.2 */
static void
test_skippable_frames(void)
{
	static const char skippable[] = "\x50\x2A\x4D\x18\x03\x00\x00\x00xyz";
	static const char other[] = "\x5F\x2A\x4D\x18\x00\x00\x00\x00";
	ByteBuffer bytes = csv(2000);
	ByteBuffer nothing = csv(0);
	ByteBuffer input = {0};
	int wrong = 0;

	buffer_append(&input, skippable, sizeof(skippable) - 1);
	tap_ok(is_inflated(inflating("any name", &input, &nothing)),
		   "zstd: only what is to be skipped");
	buffer_reset(&input);
	buffer_append(&input, other, sizeof(other) - 1);
	tap_ok(is_inflated(inflating("any name", &input, &nothing)), "of either kind");
	append_zstd_frame(&input, bytes.data, 1000, true);
	buffer_append(&input, other, sizeof(other) - 1);
	append_zstd_frame(&input, bytes.data + 1000, 1000, false);
	buffer_append(&input, skippable, sizeof(skippable) - 1);
	tap_ok(is_inflated(inflating("any name", &input, &bytes)),
		   "zstd: frames that are to be skipped");
	for (size_t piece = 1; piece < 40; piece++)
	{
		Inflating run = inflating("any name", &input, &bytes);

		run.source.piece = piece;
		wrong += !is_inflated(run);
	}
	tap_is_int(wrong, 0, "in pieces, too");
	input.length--;
	tap_ok(is_refused(inflating("any name", &input, &bytes), "it ends too early"),
		   "zstd: a cut frame that is to be skipped");
	buffer_free(&input);
	buffer_free(&nothing);
	buffer_free(&bytes);
}

/* A frame by hand: a window of 2^(10 + exponent) bytes and eighths of it, and one raw block, "hi". */
static void
test_windows(void)
{
	static const struct
	{
		int exponent;
		int eighths;
		bool accepted;
	} cases[] = {{0, 0, true}, {17, 0, true}, {17, 1, false}, {18, 0, false}, {31, 7, false}};
	ByteBuffer hi = {0};

	buffer_append_string(&hi, "hi");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char frame[] = "\x28\xB5\x2F\xFD\x00W\x11\x00\x00hi";
		ByteBuffer input = {.data = frame, .length = sizeof(frame) - 1};
		Inflating run = inflating("x", &input, &hi);

		frame[5] = (char) (cases[i].exponent << 3 | cases[i].eighths);
		if (cases[i].accepted)
			tap_ok(is_inflated(run), "a window of 2^%d bytes", 10 + cases[i].exponent);
		else
			tap_ok(is_refused(run, "its window is larger than 128 MB") &&
					   strstr(server_error.hint, "--long=27") != NULL,
				   "no window of 2^%d bytes and %d eighths", 10 + cases[i].exponent,
				   cases[i].eighths);
	}
	buffer_free(&hi);
}

/* Gzip's header with all that it may have (RFC 1952, 2.3), and what it must not. */
static void
test_gzip_headers(void)
{
	static const char full[] = "\x1F\x8B\x08\x1C\x01\x02\x03\x04\x00\x03"
							   "\x04\x00zzzz"
							   "name.csv\0"
							   "comment\0";
	static const char wrong_method[] = "\x1F\x8B\x07\x00\x00\x00\x00\x00\x00\x03xxxxxxxxxx";
	static const char wrong_flags[] = "\x1F\x8B\x08\xE0\x00\x00\x00\x00\x00\x03xxxxxxxxxx";
	ByteBuffer bytes = csv(100);
	ByteBuffer plain = {0};
	ByteBuffer input = {0};

	append_gzip(&plain, bytes.data, bytes.length);
	buffer_append(&input, full, sizeof(full) - 1);
	buffer_append(&input, plain.data + 10, plain.length - 10);
	tap_ok(is_inflated(inflating("x", &input, &bytes)), "gzip: a header with a name and a comment");
	buffer_reset(&input);
	buffer_append(&input, wrong_method, sizeof(wrong_method) - 1);
	tap_ok(is_refused(inflating("x", &input, &bytes), "unknown compression method"),
		   "gzip: another method");
	buffer_reset(&input);
	buffer_append(&input, wrong_flags, sizeof(wrong_flags) - 1);
	tap_ok(is_refused(inflating("x", &input, &bytes), "unknown header flags"),
		   "gzip: flags that nobody knows");
	buffer_free(&input);
	buffer_free(&plain);
	buffer_free(&bytes);
}

/* Much that comes of little, and little that comes of much. */
static void
test_bombs(const Format *format)
{
	ByteBuffer zeros = {0};
	ByteBuffer input = {0};
	Inflating run;
	size_t before;
	size_t after;

	buffer_reserve(&zeros, 200 * MEGABYTE);
	memset(zeros.data, 0, 200 * MEGABYTE);
	zeros.length = 200 * MEGABYTE;
	format->append(&input, zeros.data, zeros.length);
	tap_ok(input.length < MEGABYTE, "%s: 200 MB in %zu bytes", format->name, input.length);
	run = inflating("bomb", &input, &zeros);
	tap_ok(is_inflated(run), "come out again");
	tap_ok(server_memory_peak() < 200000, "in %zu bytes of the context", server_memory_peak());

	/* A read is as long as it wants to be, and so is what it takes. */
	run = inflating("bomb", &input, &zeros);
	run.read_count = 3;
	server_begin_context();
	before = server_malloc();
	run_inflating(&run);
	after = server_malloc();
	tap_ok(run.length == 3 * run.read_size && after - before < 4 * MEGABYTE,
		   "%s: three reads give %zu bytes, and take %zu bytes of malloc", format->name, run.length,
		   after - before);
	server_end_context();
	buffer_free(&zeros);
	buffer_free(&input);

	for (int i = 0; i < 100000; i++)
	{
		static ByteBuffer empty = {0};

		if (empty.length == 0)
			format->append(&empty, "", 0);
		buffer_append(&input, empty.data, empty.length);
		if (i == 99999)
			buffer_free(&empty);
	}
	zeros = csv(0);
	server_interrupt_checks = 0;
	tap_ok(is_inflated(inflating("empty", &input, &zeros)), "%s: 100,000 times nothing",
		   format->name);
	tap_ok(server_interrupt_checks >= (int) (input.length / 65536), "with %d looks at interrupts",
		   server_interrupt_checks);
	buffer_free(&zeros);
	buffer_free(&input);
}

static void
test_memory(const Format *format)
{
	ByteBuffer bytes = csv(300000);
	ByteBuffer input = {0};
	Inflating run;
	size_t before;
	int refused;
	int told = 0;

	format->append(&input, bytes.data, bytes.length);

	/* The first run may leave what is made once. */
	run = inflating("x", &input, &bytes);
	inflate_all(&run);

	before = server_malloc();
	run = inflating("x", &input, &bytes);
	run.read_count = 2;
	server_begin_context();
	run_inflating(&run);
	tap_ok(run.length > 0 && server_memory() > 60000, "%s: memory in the midst of it",
		   format->name);
	server_end_context();
	tap_is_int((int64_t) server_memory(), 0, "nothing is left when the context ends");
	tap_is_int((int64_t) server_malloc(), (int64_t) before, "nor of malloc");

	run = inflating("x", &input, &bytes);
	server_begin_context();
	run_inflating(&run);
	tap_ok(run.ended && server_memory() < 1000 && server_malloc() < before + 2000,
		   "%s: at the end %zu bytes are left of all", format->name, server_memory());
	server_end_context();

	run = inflating("x", &input, &bytes);
	run.source.length /= 2;
	tap_ok(is_refused(run, "it ends too early") && server_malloc() == before,
		   "nothing is left of an error either");

	run = inflating("x", &input, &bytes);
	run.source.length /= 2;
	run.source.fails = true;
	tap_ok(inflate_all(&run) && strcmp(server_error.sqlstate, FAILURE_BELOW) == 0 &&
			   server_malloc() == before,
		   "nor of one below, which passes");

	for (refused = 0;; refused++)
	{
		run = inflating("x", &input, &bytes);
		server_refused_allocation = refused;
		if (!inflate_all(&run))
			break;
		told += strcmp(server_error.sqlstate, ERRCODE_OUT_OF_MEMORY) == 0 && server_memory() == 0 &&
				server_malloc() == before;
	}
	server_refused_allocation = -1;
	tap_ok(refused >= 3 && told == refused,
		   "%s: refused memory %d times, it said so each time and left nothing", format->name,
		   refused);
	buffer_free(&input);
	buffer_free(&bytes);
}

/* What libzstd has from malloc is more than it needs for itself: it must go, end after end. */
static void
test_many_in_one_context(void)
{
	ByteBuffer bytes = csv(3000);
	ByteBuffer input = {0};
	size_t before;

	append_zstd(&input, bytes.data, bytes.length);
	server_begin_context();
	before = server_malloc();
	for (int i = 0; i < 1000; i++)
	{
		Inflating run = inflating("x", &input, &bytes);

		run_inflating(&run);
	}
	tap_ok(server_malloc() < before + MEGABYTE, "1,000 objects in one context take %zu bytes",
		   server_malloc() - before);
	server_end_context();
	buffer_free(&input);
	buffer_free(&bytes);
}

int
main(void)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
	{
		test_round_trips(&formats[i]);
		test_several(&formats[i]);
		test_nothing_is_held_back(&formats[i]);
		test_what_follows(&formats[i]);
		test_bombs(&formats[i]);
		test_memory(&formats[i]);
	}
	test_passing_through();
	test_straight_reads();
	test_skippable_frames();
	test_windows();
	test_gzip_headers();
	test_many_in_one_context();
	return tap_finish();
}
