/*
 * header_fuzz.c
 *		The head of an answer: values by their names, dates, checksums, and date-times of its body. Parts: a head, a text.
 */
#include "fuzz.h"

#include "aws/call.h"
#include "aws/timestamp.h"
#include "s3/checksum.h"

static const char *
find(const char *name, size_t *length, void *response)
{
	return http_response_header(response, name, length);
}

static void
read_head(HttpResponse *response)
{
	static const char *const names[] = {"date", "retry-after", "etag", "x-amz-checksum-crc32"};
	const char *end = response->head + strlen(response->head);
	ChecksumAlgorithm algorithm;
	size_t length;
	int64 offset;

	for (int i = 0; i < (int) lengthof(names); i++)
	{
		const char *value = find(names[i], &length, response);

		if (value == NULL)
			continue;
		fuzz_require(value >= response->head && value + length <= end);
		fuzz_require(memchr(value, '\n', length) == NULL && memchr(value, '\r', length) == NULL);
	}
	aws_read_clock(response, &offset);
	checksum_choose(find, response, &algorithm, &length);
}

void
fuzz(FuzzInput input)
{
	HttpResponse response = {.outcome = HTTP_ANSWERED, .status = 200, .body = ""};
	FuzzInput part;
	int64_t microseconds;

	fuzz_next_part(&input, &part);
	response.head = fuzz_string(part);
	read_head(&response);
	fuzz_next_part(&input, &part);
	http_parse_date(part.data, part.length);
	/* Years have four digits: far from what a count of microseconds can hold. */
	if (timestamp_parse(part.data, part.length, &microseconds))
		fuzz_require(microseconds > -INT64CONST(100000000000000000) &&
					 microseconds < INT64CONST(300000000000000000));
}
