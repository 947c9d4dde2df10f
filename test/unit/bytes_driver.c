/*
 * bytes_driver.c
 *		Inflates, deflates and computes checksums for bytes_python.py.
 *
 * Cases come on standard input: a line "WHAT PIECE LENGTH" and so many bytes, which are given to the tested code in
 * pieces of PIECE bytes. WHAT is "inflate", "deflate" or a checksum's name. Out come a line "ok LENGTH" and so many
 * bytes, or "error LENGTH" and the message.
 */
#include "s3/checksum.h"
#include "s3/deflate.h"
#include "s3/inflate.h"

#include <stdlib.h>

#include "bytes_ends.h"

#include <stdio.h>

typedef struct Case
{
	char what[20];
	size_t piece;
	size_t length;
	char *bytes;
	ByteBuffer result;
} Case;

static void
run_inflate(Case *one)
{
	PieceSource piece = piece_source(one->bytes, one->length, one->piece);
	ByteSource *source = inflate_open(&piece.source, "case");
	char buffer[1000];
	size_t length;

	while ((length = source->read(source, buffer, sizeof(buffer))) > 0)
		buffer_append(&one->result, buffer, length);
}

static void
run_deflate(Case *one)
{
	KeepingSink kept = keeping_sink();
	ByteSink *sink = deflate_open(&kept.sink);

	for (size_t used = 0; used < one->length; used += one->piece)
		sink->write(sink, one->bytes + used, Min(one->piece, one->length - used));
	sink->finish(sink);
	one->result = kept.bytes;
}

static void
run_checksum(Case *one, ChecksumAlgorithm algorithm)
{
	char text[CHECKSUM_TEXT_SIZE];
	Checksum checksum;

	checksum_begin(&checksum, algorithm);
	for (size_t used = 0; used < one->length; used += one->piece)
		checksum_update(&checksum, one->bytes + used, Min(one->piece, one->length - used));
	checksum_finish(&checksum, text);
	buffer_append_string(&one->result, text);
}

static void
run_case(void *argument)
{
	Case *one = argument;

	if (strcmp(one->what, "inflate") == 0)
		run_inflate(one);
	else if (strcmp(one->what, "deflate") == 0)
		run_deflate(one);
	for (int i = 0; i < CHECKSUM_ALGORITHMS; i++)
	{
		if (strcmp(one->what, checksum_name((ChecksumAlgorithm) i)) == 0)
			run_checksum(one, (ChecksumAlgorithm) i);
	}
}

int
main(void)
{
	Case one = {.length = 0};

	while (scanf("%19s %zu %zu", one.what, &one.piece, &one.length) == 3 && getchar() == '\n')
	{
		one.bytes = malloc(one.length + 1);
		if (one.bytes == NULL || fread(one.bytes, 1, one.length, stdin) != one.length)
			return 1;
		server_begin_context();
		if (server_throws(run_case, &one))
			printf("error %zu\n%s", strlen(server_error.message), server_error.message);
		else
		{
			printf("ok %zu\n", one.result.length);
			if (one.result.length > 0)
				fwrite(one.result.data, 1, one.result.length, stdout);
		}
		server_end_context();
		buffer_free(&one.result);
		free(one.bytes);
	}
	return 0;
}
