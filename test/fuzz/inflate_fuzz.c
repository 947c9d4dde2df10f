/*
 * inflate_fuzz.c
 *		Gzip and zstd, in pieces of the size that the first byte says.
 */
#include "fuzz.h"

#include "s3/inflate.h"

/* Some bytes may be millions; after these it is the same over and over. */
#define MAX_BYTES (1024 * 1024)

typedef struct Pieces
{
	ByteSource source;
	FuzzInput rest;
	size_t size;
} Pieces;

static size_t
read_piece(ByteSource *source, char *buffer, size_t size)
{
	Pieces *pieces = (Pieces *) source;
	size_t length = Min(Min(size, pieces->size), pieces->rest.length);

	memcpy(buffer, pieces->rest.data, length);
	pieces->rest.data += length;
	pieces->rest.length -= length;
	return length;
}

void
fuzz(FuzzInput input)
{
	static const char *const names[] = {"a.gz", "a.zst", "a"};
	Pieces pieces = {.source.read = read_piece};
	ByteSource *source;
	char buffer[1000];
	size_t total = 0;
	size_t length;

	pieces.size = fuzz_next_number(&input) + 1;
	pieces.rest = input;
	source = inflate_open(&pieces.source, names[pieces.size % 3]);
	while (total < MAX_BYTES && (length = source->read(source, buffer, sizeof(buffer))) > 0)
	{
		fuzz_require(length <= sizeof(buffer));
		total += length;
	}
}
