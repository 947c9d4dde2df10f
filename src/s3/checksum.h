/*
 * checksum.h
 *		Checksums of objects as S3 names them, of bytes that come piece by piece. Plain C; never throws.
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
 */
#ifndef ATHENA_CALC_S3_CHECKSUM_H
#define ATHENA_CALC_S3_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

/* The cheapest to compute first, and of the same price the one that finds more. */
typedef enum ChecksumAlgorithm
{
	CHECKSUM_CRC64NVME,
	CHECKSUM_CRC32C,
	CHECKSUM_CRC32,
	CHECKSUM_SHA1,
	CHECKSUM_SHA256,
	CHECKSUM_ALGORITHMS
} ChecksumAlgorithm;

/* Of what is written: S3 makes that of a whole object from those of its parts, and SDKs send it by default. */
#define CHECKSUM_DEFAULT CHECKSUM_CRC32

/* What the longest checksum, SHA-256's 32 bytes, takes in base64 with its NUL. */
#define CHECKSUM_TEXT_SIZE 45

/* A checksum under way; private. */
typedef struct Checksum
{
	ChecksumAlgorithm algorithm;
	bool failed;
	uint64_t crc;
	EVP_MD_CTX *digest; /* of the SHAs */
} Checksum;

/*
 * Begins a checksum of no bytes yet. The SHAs hold memory of malloc until checksum_finish() or checksum_drop(); CRCs
 * hold none.
 */
extern void checksum_begin(Checksum *checksum, ChecksumAlgorithm algorithm);

extern void checksum_update(Checksum *checksum, const void *bytes, size_t length);

/*
 * Ends it and writes the base64 of all bytes' checksum, as the header has it. False, with "", where OpenSSL could not: no
 * memory, or an algorithm that it is configured to refuse.
 */
extern bool checksum_finish(Checksum *checksum, char text[CHECKSUM_TEXT_SIZE]);

/* Ends it without a result. Does no harm to one that has ended, nor to a Checksum of zeros. */
extern void checksum_drop(Checksum *checksum);

/* "CRC32", as the header x-amz-checksum-algorithm has it. */
extern const char *checksum_name(ChecksumAlgorithm algorithm);

/* "x-amz-checksum-crc32", the header with the value. */
extern const char *checksum_header(ChecksumAlgorithm algorithm);

/* The value of an answer's header (any case), its length in `length`; NULL where there is none. */
typedef const char *(*ChecksumLookup)(const char *name, size_t *length, void *context);

/*
 * Which of the checksums that an answer has to verify: the cheapest that is one of the whole object. Checksums of parts'
 * checksums are none ("COMPOSITE", in x-amz-checksum-type or by a "-" and the number of parts behind the value). Its
 * value, where `lookup` has it, or NULL where there is none.
 */
extern const char *checksum_choose(ChecksumLookup lookup, void *context,
								   ChecksumAlgorithm *algorithm, size_t *length);

#endif
