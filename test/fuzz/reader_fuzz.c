/*
 * reader_fuzz.c
 *		Objects read as streams: Content-Range, lengths, ETags, checksums, and what is taken up again. Parts: answers.
 */
#include "fuzz.h"

#include "s3/reader.h"
#include "settings.h"

#define MAX_BYTES (1024 * 1024)

static void
read_all(void *argument)
{
	S3Reader *reader = argument;
	ByteSource *source;
	char buffer[16];
	size_t total = 0;
	size_t length;

	while ((source = s3_reader_next(reader)) != NULL)
	{
		while ((length = source->read(source, buffer, sizeof(buffer))) > 0)
		{
			total += length;
			fuzz_require(length <= sizeof(buffer) && total < MAX_BYTES);
		}
	}
}

void
fuzz(FuzzInput input)
{
	const S3Object objects[] = {{"a", NULL, 0}, {"b", "\"etag\"", 10}};
	S3Reader *reader;
	unsigned choice = fuzz_next_number(&input);

	setting_options[AWS_OPTION_REGION] = "us-east-1";
	fuzz_answers(input);
	reader =
		s3_reader_open("bucket", objects + choice % 2, 1 + (choice & 2) / 2 * (1 - choice % 2));
	fuzz_throws(read_all, reader);
	s3_reader_close(reader);
}
