/*
 * checksum_test.c
 *		Checksums against their official values and against the definition, bit by bit; and which one to verify.
 *
 * bytes_python.py holds them against Python's.
 */
#include "s3/checksum.h"

#include <openssl/evp.h>

#include "tap.h"

static const char *
checksum_of(ChecksumAlgorithm algorithm, const void *bytes, size_t length)
{
	static char text[CHECKSUM_TEXT_SIZE];
	Checksum checksum;

	checksum_begin(&checksum, algorithm);
	checksum_update(&checksum, bytes, length);
	return checksum_finish(&checksum, text) ? text : NULL;
}

/* https://reveng.sourceforge.io/crc-catalogue/all.htm (check), FIPS 180-4's examples. */
static void
test_official_values(void)
{
	static const struct
	{
		ChecksumAlgorithm algorithm;
		const char *bytes;
		const char *expected;
	} cases[] = {
		{CHECKSUM_CRC32, "123456789", "y/Q5Jg=="},         /* CBF43926 */
		{CHECKSUM_CRC32C, "123456789", "4waSgw=="},        /* E3069283 */
		{CHECKSUM_CRC64NVME, "123456789", "rosUhgp5mIg="}, /* AE8B14860A799888 */
		{CHECKSUM_SHA1, "abc", "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="},
		{CHECKSUM_SHA256, "abc", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="},
		{CHECKSUM_CRC32, "", "AAAAAA=="},
		{CHECKSUM_CRC32C, "", "AAAAAA=="},
		{CHECKSUM_CRC64NVME, "", "AAAAAAAAAAA="},
		{CHECKSUM_SHA1, "", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="},
		{CHECKSUM_SHA256, "", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const char *got = checksum_of(cases[i].algorithm, cases[i].bytes, strlen(cases[i].bytes));

		tap_is_string(got, cases[i].expected, "%s of \"%s\"", checksum_name(cases[i].algorithm),
					  cases[i].bytes);
	}
}

/* A CRC by its definition. */
static uint64_t
crc_bit_by_bit(uint64_t polynomial, int bits, const unsigned char *bytes, size_t length)
{
	uint64_t ones = UINT64_MAX >> (64 - bits);
	uint64_t crc = ones;

	while (length-- > 0)
	{
		crc ^= *bytes++;
		for (int i = 0; i < 8; i++)
			crc = (crc & 1) != 0 ? crc >> 1 ^ polynomial : crc >> 1;
	}
	return crc ^ ones;
}

static void
test_crcs(void)
{
	static const struct
	{
		ChecksumAlgorithm algorithm;
		uint64_t polynomial;
		int bits;
	} crcs[] = {
		{CHECKSUM_CRC32, 0xEDB88320, 32},
		{CHECKSUM_CRC32C, 0x82F63B78, 32},
		{CHECKSUM_CRC64NVME, UINT64_C(0x9A6C9329AC4BC9B5), 64},
	};
	unsigned char bytes[1200];
	uint64_t seed = 1;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char) ((seed = seed * UINT64_C(6364136223846793005) + 1) >> 56);
	for (int i = 0; i < 3; i++)
	{
		int wrong = 0;
		int wrong_split = 0;
		const char *name = checksum_name(crcs[i].algorithm);

		/* Every length and, with it, every place in memory: tables, folding, and what is left over. */
		for (size_t length = 0; length <= 1000; length++)
		{
			const unsigned char *start = bytes + length % 67;
			uint64_t value = crc_bit_by_bit(crcs[i].polynomial, crcs[i].bits, start, length);
			unsigned char result[8];
			char expected[CHECKSUM_TEXT_SIZE];
			const char *got = checksum_of(crcs[i].algorithm, start, length);

			for (int byte = 0; byte < crcs[i].bits / 8; byte++)
				result[byte] = (unsigned char) (value >> (crcs[i].bits - 8 - 8 * byte));
			EVP_EncodeBlock((unsigned char *) expected, result, crcs[i].bits / 8);
			wrong += got == NULL || strcmp(got, expected) != 0;
		}
		tap_is_int(wrong, 0, "%s of 0 to 1,000 bytes is that of its definition", name);

		for (size_t split = 0; split <= 1000; split++)
		{
			Checksum checksum;
			char text[CHECKSUM_TEXT_SIZE];

			checksum_begin(&checksum, crcs[i].algorithm);
			checksum_update(&checksum, bytes, split);
			checksum_update(&checksum, bytes + split, 1000 - split);
			checksum_finish(&checksum, text);
			wrong_split += strcmp(text, checksum_of(crcs[i].algorithm, bytes, 1000)) != 0;
		}
		tap_is_int(wrong_split, 0, "%s is the same wherever the bytes are split", name);
	}
}

static void
test_two_at_once(void)
{
	Checksum one;
	Checksum other;
	Checksum never_begun = {0};
	char text[CHECKSUM_TEXT_SIZE];

	checksum_begin(&one, CHECKSUM_SHA256);
	checksum_begin(&other, CHECKSUM_SHA256);
	checksum_update(&one, "a", 1);
	checksum_update(&other, "x", 1);
	checksum_update(&one, "bc", 2);
	tap_ok(checksum_finish(&one, text), "a checksum ends while another is under way");
	tap_is_string(
		text, "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", "and they do not know of each other");
	checksum_drop(&one);
	checksum_drop(&other);
	checksum_drop(&other);
	checksum_drop(&never_begun);
	tap_ok(other.digest == NULL, "what is dropped holds nothing, and may be dropped again");
}

typedef struct Answer
{
	const char *headers[12]; /* name and value in turn */
} Answer;

static const char *
look_up(const char *name, size_t *length, void *context)
{
	const Answer *answer = context;

	for (size_t i = 0; i < 12 && answer->headers[i] != NULL; i += 2)
	{
		if (strcmp(answer->headers[i], name) == 0)
		{
			*length = strlen(answer->headers[i + 1]);
			return answer->headers[i + 1];
		}
	}
	return NULL;
}

static void
test_choice(void)
{
	static const struct
	{
		const char *name;
		Answer answer;
		const char *value;
		ChecksumAlgorithm algorithm;
	} cases[] = {
		{"none", {{NULL}}, NULL, 0},
		{"only a type", {{"x-amz-checksum-type", "FULL_OBJECT"}}, NULL, 0},
		{"one", {{"x-amz-checksum-sha1", "c2hhMQ=="}}, "c2hhMQ==", CHECKSUM_SHA1},
		{"one, with its type",
		 {{"x-amz-checksum-crc32", "AAAAAA==", "x-amz-checksum-type", "FULL_OBJECT"}},
		 "AAAAAA==",
		 CHECKSUM_CRC32},
		{"two: the cheaper",
		 {{"x-amz-checksum-sha256", "c2hh", "x-amz-checksum-crc32c", "AAAAAA=="}},
		 "AAAAAA==",
		 CHECKSUM_CRC32C},
		{"two: the longer CRC",
		 {{"x-amz-checksum-crc32", "AAAAAA==", "x-amz-checksum-crc64nvme", "AAAAAAAAAAA="}},
		 "AAAAAAAAAAA=",
		 CHECKSUM_CRC64NVME},
		{"parts' by its type",
		 {{"x-amz-checksum-crc32", "AAAAAA==", "x-amz-checksum-type", "COMPOSITE"}},
		 NULL,
		 0},
		{"parts' by its number of parts", {{"x-amz-checksum-crc32", "AAAAAA==-2"}}, NULL, 0},
		{"parts' and another",
		 {{"x-amz-checksum-crc32", "AAAAAA==-2", "x-amz-checksum-sha256", "c2hh"}},
		 "c2hh",
		 CHECKSUM_SHA256},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		ChecksumAlgorithm algorithm = CHECKSUM_ALGORITHMS;
		size_t length = 0;
		const char *value =
			checksum_choose(look_up, (void *) &cases[i].answer, &algorithm, &length);

		tap_is_bytes(value, length, cases[i].value,
					 cases[i].value != NULL ? strlen(cases[i].value) : length, "checksums: %s",
					 cases[i].name);
		if (cases[i].value != NULL)
			tap_is_string(checksum_name(algorithm), checksum_name(cases[i].algorithm),
						  "it is verified by %s", checksum_name(cases[i].algorithm));
	}
}

int
main(void)
{
	test_official_values();
	test_crcs();
	test_two_at_once();
	test_choice();
	return tap_finish();
}
