/*
 * checksum.c
 *		CRCs and SHAs piece by piece. See checksum.h.
 *
 * One engine computes all CRCs. A CRC of 32 bits by the polynomial P is one of 64 bits by P times x^32: as all are
 * reflected (bit 0 is the highest power), the reflected P simply stands in the low half. By tables it takes eight bytes at
 * a time. Processors with a carry-less multiplication fold 64 bytes at a time, after V. Gopal and others, "Fast CRC
 * Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel, 2009.
 */
#include "s3/checksum.h"

#include <string.h>
#include <strings.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_FOLDING
#include <immintrin.h>
#endif

/* Folding is for runs that are worth its beginning and its end. */
#define FOLDED_AT_LEAST 128

typedef struct Crc
{
	uint64_t polynomial; /* reflected */
	int bytes;           /* of the result */
	uint64_t table[8][256];
	uint64_t fold_512[2]; /* for the first and the second half of 16 bytes */
	uint64_t fold_128[2];
	bool ready;
} Crc;

static const struct
{
	const char *name;
	const char *header;
} algorithms[CHECKSUM_ALGORITHMS] = {
	[CHECKSUM_CRC64NVME] = {"CRC64NVME", "x-amz-checksum-crc64nvme"},
	[CHECKSUM_CRC32C] = {"CRC32C", "x-amz-checksum-crc32c"},
	[CHECKSUM_CRC32] = {"CRC32", "x-amz-checksum-crc32"},
	[CHECKSUM_SHA1] = {"SHA1", "x-amz-checksum-sha1"},
	[CHECKSUM_SHA256] = {"SHA256", "x-amz-checksum-sha256"},
};

/*
 * The polynomials: https://reveng.sourceforge.io/crc-catalogue/all.htm has them as CRC-64/NVME, CRC-32/ISCSI and
 * CRC-32/ISO-HDLC. What follows from them is computed when an algorithm is first used.
 */
static Crc crcs[] = {
	[CHECKSUM_CRC64NVME] = {.polynomial = UINT64_C(0x9A6C9329AC4BC9B5), .bytes = 8},
	[CHECKSUM_CRC32C] = {.polynomial = UINT64_C(0x82F63B78), .bytes = 4},
	[CHECKSUM_CRC32] = {.polynomial = UINT64_C(0xEDB88320), .bytes = 4},
};

static bool
is_crc(ChecksumAlgorithm algorithm)
{
	return algorithm < sizeof(crcs) / sizeof(crcs[0]);
}

/* A remainder times x. */
static uint64_t
times_x(uint64_t remainder, uint64_t polynomial)
{
	return (remainder >> 1) ^ ((remainder & 1) != 0 ? polynomial : 0);
}

/* The remainder of x to this power. */
static uint64_t
power_of_x(int power, uint64_t polynomial)
{
	uint64_t remainder = UINT64_C(1) << 63;

	while (power-- > 0)
		remainder = times_x(remainder, polynomial);
	return remainder;
}

static void
prepare_crc(Crc *crc)
{
	for (int byte = 0; byte < 256; byte++)
	{
		uint64_t remainder = (uint64_t) byte;

		for (int i = 0; i < 8; i++)
			remainder = times_x(remainder, crc->polynomial);
		crc->table[0][byte] = remainder;
	}
	for (int i = 1; i < 8; i++)
		for (int byte = 0; byte < 256; byte++)
		{
			uint64_t before = crc->table[i - 1][byte];

			crc->table[i][byte] = (before >> 8) ^ crc->table[0][before & 0xFF];
		}

	/* A product of two reflected numbers has one power of x more than it seems. */
	crc->fold_512[0] = power_of_x(512 + 64 - 1, crc->polynomial);
	crc->fold_512[1] = power_of_x(512 - 1, crc->polynomial);
	crc->fold_128[0] = power_of_x(128 + 64 - 1, crc->polynomial);
	crc->fold_128[1] = power_of_x(128 - 1, crc->polynomial);
	crc->ready = true;
}

static uint64_t
update_by_tables(const Crc *crc, uint64_t value, const unsigned char *bytes, size_t length)
{
	const uint64_t(*table)[256] = crc->table;

	for (; length >= 8; bytes += 8, length -= 8)
	{
		value ^= (uint64_t) bytes[0] | (uint64_t) bytes[1] << 8 | (uint64_t) bytes[2] << 16 |
				 (uint64_t) bytes[3] << 24 | (uint64_t) bytes[4] << 32 | (uint64_t) bytes[5] << 40 |
				 (uint64_t) bytes[6] << 48 | (uint64_t) bytes[7] << 56;
		value = table[7][value & 0xFF] ^ table[6][value >> 8 & 0xFF] ^
				table[5][value >> 16 & 0xFF] ^ table[4][value >> 24 & 0xFF] ^
				table[3][value >> 32 & 0xFF] ^ table[2][value >> 40 & 0xFF] ^
				table[1][value >> 48 & 0xFF] ^ table[0][value >> 56];
	}
	for (; length > 0; bytes++, length--)
		value = (value >> 8) ^ table[0][(value ^ *bytes) & 0xFF];
	return value;
}

#ifdef HAVE_FOLDING
#define FOLDING __attribute__((target("pclmul,sse2")))

/* What stands for `block` further on, by the distance of `factors`, together with what is there. */
FOLDING static inline __m128i
fold(__m128i block, __m128i factors, __m128i there)
{
	return _mm_xor_si128(there, _mm_xor_si128(_mm_clmulepi64_si128(block, factors, 0x00),
											  _mm_clmulepi64_si128(block, factors, 0x11)));
}

/* Takes all that is whole runs of 64 bytes, and at least one. */
FOLDING static uint64_t
update_by_folding(const Crc *crc, uint64_t value, const unsigned char *bytes, size_t length)
{
	const __m128i *blocks = (const __m128i *) bytes;
	const __m128i by_512 = _mm_loadu_si128((const __m128i *) crc->fold_512);
	const __m128i by_128 = _mm_loadu_si128((const __m128i *) crc->fold_128);
	__m128i block[4];
	unsigned char rest[16];

	for (int i = 0; i < 4; i++)
		block[i] = _mm_loadu_si128(blocks + i);
	block[0] = _mm_xor_si128(block[0], _mm_set_epi64x(0, (long long) value));
	for (length -= 64, blocks += 4; length >= 64; length -= 64, blocks += 4)
	{
		block[0] = fold(block[0], by_512, _mm_loadu_si128(blocks));
		block[1] = fold(block[1], by_512, _mm_loadu_si128(blocks + 1));
		block[2] = fold(block[2], by_512, _mm_loadu_si128(blocks + 2));
		block[3] = fold(block[3], by_512, _mm_loadu_si128(blocks + 3));
	}
	for (int i = 1; i < 4; i++)
		block[i] = fold(block[i - 1], by_128, block[i]);

	/* 16 bytes are left that have the same remainder as all. */
	_mm_storeu_si128((__m128i *) rest, block[3]);
	return update_by_tables(crc, 0, rest, sizeof(rest));
}
#endif

static uint64_t
update_crc(const Crc *crc, uint64_t value, const unsigned char *bytes, size_t length)
{
#ifdef HAVE_FOLDING
	if (length >= FOLDED_AT_LEAST && __builtin_cpu_supports("pclmul"))
	{
		size_t folded = length & ~(size_t) 63;

		value = update_by_folding(crc, value, bytes, folded);
		bytes += folded;
		length -= folded;
	}
#endif
	return update_by_tables(crc, value, bytes, length);
}

void
checksum_begin(Checksum *checksum, ChecksumAlgorithm algorithm)
{
	memset(checksum, 0, sizeof(*checksum));
	checksum->algorithm = algorithm;
	if (is_crc(algorithm))
	{
		Crc *crc = &crcs[algorithm];

		if (!crc->ready)
			prepare_crc(crc);
		checksum->crc = UINT64_MAX >> (64 - 8 * crc->bytes);
		return;
	}
	checksum->digest = EVP_MD_CTX_new();
	if (checksum->digest == NULL ||
		EVP_DigestInit_ex(checksum->digest, algorithm == CHECKSUM_SHA1 ? EVP_sha1() : EVP_sha256(),
						  NULL) != 1)
		checksum->failed = true;
}

void
checksum_update(Checksum *checksum, const void *bytes, size_t length)
{
	if (is_crc(checksum->algorithm))
		checksum->crc = update_crc(&crcs[checksum->algorithm], checksum->crc, bytes, length);
	else if (!checksum->failed && EVP_DigestUpdate(checksum->digest, bytes, length) != 1)
		checksum->failed = true;
}

bool
checksum_finish(Checksum *checksum, char text[CHECKSUM_TEXT_SIZE])
{
	unsigned char result[EVP_MAX_MD_SIZE];
	unsigned int length = 0;

	if (is_crc(checksum->algorithm))
	{
		length = (unsigned int) crcs[checksum->algorithm].bytes;
		for (unsigned int i = 0; i < length; i++)
			result[i] = (unsigned char) (~checksum->crc >> 8 * (length - 1 - i));
	}
	else if (!checksum->failed && EVP_DigestFinal_ex(checksum->digest, result, &length) != 1)
		checksum->failed = true;

	if (checksum->failed)
		text[0] = '\0';
	else
		EVP_EncodeBlock((unsigned char *) text, result, (int) length);
	checksum_drop(checksum);
	return !checksum->failed;
}

void
checksum_drop(Checksum *checksum)
{
	EVP_MD_CTX_free(checksum->digest);
	checksum->digest = NULL;
}

const char *
checksum_name(ChecksumAlgorithm algorithm)
{
	return algorithms[algorithm].name;
}

const char *
checksum_header(ChecksumAlgorithm algorithm)
{
	return algorithms[algorithm].header;
}

const char *
checksum_choose(ChecksumLookup lookup, void *context, ChecksumAlgorithm *algorithm, size_t *length)
{
	static const char composite[] = "COMPOSITE";
	const char *type = lookup("x-amz-checksum-type", length, context);

	if (type != NULL && *length == strlen(composite) && strncasecmp(type, composite, *length) == 0)
		return NULL;
	for (int i = 0; i < CHECKSUM_ALGORITHMS; i++)
	{
		const char *value = lookup(checksum_header((ChecksumAlgorithm) i), length, context);

		/* Base64 has no '-'. */
		if (value == NULL || memchr(value, '-', *length) != NULL)
			continue;
		*algorithm = (ChecksumAlgorithm) i;
		return value;
	}
	return NULL;
}
