/*
 * memory_test.c
 *		Out of memory at every allocation there is, and no secret in what is given back.
 *
 * The linker puts the allocator below in place of malloc, calloc and free as the tested code calls
 * them (--wrap): it refuses the allocation that it is told to, and looks at each block when it is freed. What OpenSSL cannot
 * do without memory fails likewise.
 */
#include "aws/sigv4.h"
#include "http/buffer.h"

#include <stdlib.h>

#include <openssl/evp.h>

#include "tap.h"

#define SECRET "wJalrXUtnFEMI-EXAMPLE-SECRET"
#define MAX_BLOCKS 256

extern void *__real_malloc(size_t size);
extern void __real_free(void *block);
extern void *__wrap_malloc(size_t size);
extern void *__wrap_calloc(size_t count, size_t size);
extern void __wrap_free(void *block);
extern EVP_MD_CTX *__real_EVP_MD_CTX_new(void);
extern EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void);
extern int __real_EVP_DigestInit_ex(EVP_MD_CTX *context, const EVP_MD *type, ENGINE *engine);
extern int __wrap_EVP_DigestInit_ex(EVP_MD_CTX *context, const EVP_MD *type, ENGINE *engine);

static struct
{
	char *block;
	size_t size;
} blocks[MAX_BLOCKS];

static int allocations;     /* since the last reset */
static int refused_at = -1; /* the allocation that fails; all behind it succeed */
static int leaks;           /* freed blocks with the secret in them */

static bool
holds_secret(const char *block, size_t size)
{
	const size_t length = strlen(SECRET);

	for (size_t i = 0; i + length <= size; i++)
	{
		if (memcmp(block + i, SECRET, length) == 0)
			return true;
	}
	return false;
}

void *
__wrap_malloc(size_t size)
{
	char *block;

	if (allocations++ == refused_at)
		return NULL;
	block = __real_malloc(size);
	for (size_t i = 0; i < MAX_BLOCKS; i++)
	{
		if (blocks[i].block == NULL)
		{
			blocks[i].block = block;
			blocks[i].size = size;
			memset(block, 0xAA, size);
			return block;
		}
	}
	abort();
}

void *
__wrap_calloc(size_t count, size_t size)
{
	void *block = __wrap_malloc(count * size);

	if (block != NULL)
		memset(block, 0, count * size);
	return block;
}

void
__wrap_free(void *block)
{
	for (size_t i = 0; block != NULL && i < MAX_BLOCKS; i++)
	{
		if (blocks[i].block == block)
		{
			leaks += holds_secret(blocks[i].block, blocks[i].size);
			blocks[i].block = NULL;
		}
	}
	__real_free(block);
}

static int digests; /* what OpenSSL was asked for since the last reset */
static int digest_refused_at = -1;

EVP_MD_CTX *
__wrap_EVP_MD_CTX_new(void)
{
	return digests++ == digest_refused_at ? NULL : __real_EVP_MD_CTX_new();
}

int
__wrap_EVP_DigestInit_ex(EVP_MD_CTX *context, const EVP_MD *type, ENGINE *engine)
{
	return digests++ == digest_refused_at ? 0 : __real_EVP_DigestInit_ex(context, type, engine);
}

static int
blocks_in_use(void)
{
	int count = 0;

	for (size_t i = 0; i < MAX_BLOCKS; i++)
		count += blocks[i].block != NULL;
	return count;
}

static void
test_buffer(void)
{
	ByteBuffer buffer = {0};

	allocations = 0;
	refused_at = 0;
	tap_ok(!buffer_append_string(&buffer, "abc") && buffer.failed,
		   "a first append fails without memory");
	tap_ok(buffer.data == NULL && buffer.length == 0, "and leaves the buffer as it was");
	buffer_reset(&buffer);
	tap_ok(buffer_append_string(&buffer, SECRET), "with memory again it succeeds");

	allocations = 0;
	refused_at = 0;
	while (buffer_append_char(&buffer, 'x') && buffer.length < 100000)
		;
	tap_ok(buffer.failed && buffer.length < 100000, "growing fails without memory");
	tap_ok(holds_secret(buffer.data, buffer.length) && buffer.data[buffer.length] == '\0',
		   "and leaves the buffer as it was");
	refused_at = -1;

	/* Through many moves and a reset, each of which leaves old bytes somewhere. */
	leaks = 0;
	buffer_reset(&buffer);
	for (int i = 0; i < 10000; i++)
		buffer_append_string(&buffer, SECRET);
	buffer_reset(&buffer);
	buffer_append_string(&buffer, "short");
	buffer_free(&buffer);
	tap_is_int(leaks, 0, "no released block holds what was in the buffer");
	tap_is_int(blocks_in_use(), 0, "and none is left");
}

static void
test_signing(void)
{
	static const HttpHeader headers[] = {
		{"Host", "example.com"},
		{"X-Amz-Date", "20150830T123600Z"},
	};
	/* A name so long that the last buffer has to grow, too. */
	static const SigV4Credentials credentials = {
		"AKIDAKIDAKIDAKIDAKIDAKIDAKIDAKIDAKIDAKIDAKIDAKIDAKIDAKIDAKIDAKIDAKIDAKIDAKIDAKIDAKIDAKID",
		SECRET, NULL};
	static const SigV4Scope scope = {"20150830T123600Z", "us-east-1", "athena"};
	char long_query[2000];
	SigV4Request request = {
		.method = "GET",
		.path = "/a/../b",
		.query = long_query,
		.headers = headers,
		.header_count = 2,
		.payload_hash = "hash",
		.normalize_path = true,
		.encode_path = true,
	};
	SigV4Signer signer = {0};
	char expected[1024];
	const char *authorization;
	bool told = true;
	bool recovered = true;
	int failures = 0;

	memset(long_query, ' ',
		   sizeof(long_query)); /* three times as long when encoded: buffers must grow */
	memcpy(long_query, "b=1&a=2&c=", 10);
	long_query[sizeof(long_query) - 1] = '\0';

	leaks = 0;
	snprintf(expected, sizeof(expected), "%s",
			 sigv4_authorization(&signer, &request, &credentials, &scope));
	sigv4_signer_free(&signer);

	/* Each allocation fails once, on a new signer and thus with nothing kept. */
	for (int i = 0;; i++)
	{
		allocations = 0;
		refused_at = i;
		authorization = sigv4_authorization(&signer, &request, &credentials, &scope);
		refused_at = -1;
		if (allocations <= i)
		{
			told = told && authorization != NULL;
			sigv4_signer_free(&signer);
			break;
		}
		failures++;
		told = told && authorization == NULL;
		authorization = sigv4_authorization(&signer, &request, &credentials, &scope);
		recovered = recovered && authorization != NULL && strcmp(authorization, expected) == 0;
		sigv4_signer_free(&signer);
	}
	tap_ok(failures >= 8, "signing was refused memory %d times, at each allocation once", failures);
	tap_ok(told, "each time it said so");
	tap_ok(recovered, "and signed as ever the next time");
	tap_is_int(leaks, 0, "no released block holds the secret");
	tap_is_int(blocks_in_use(), 0, "and none is left");
}

/* A signature that could not be computed is none, and no key is kept that was not computed to its end. */
static void
test_hashing(void)
{
	static const HttpHeader headers[] = {{"Host", "example.com"}};
	static const SigV4Credentials credentials = {"AKID", SECRET, NULL};
	static const SigV4Scope scope = {"20150830T123600Z", "us-east-1", "athena"};
	static const SigV4Request request = {.method = "GET",
										 .path = "/",
										 .headers = headers,
										 .header_count = 1,
										 .payload_hash = "hash"};
	SigV4Signer signer = {0};
	char expected[1024];
	char hash[SIGV4_HEX_SIZE];
	const char *authorization;
	bool told = true;
	bool recovered = true;
	int failures = 0;

	snprintf(expected, sizeof(expected), "%s",
			 sigv4_authorization(&signer, &request, &credentials, &scope));
	sigv4_signer_free(&signer);
	for (;; failures++)
	{
		digests = 0;
		digest_refused_at = failures;
		authorization = sigv4_authorization(&signer, &request, &credentials, &scope);
		digest_refused_at = -1;
		if (digests <= failures)
			break;
		told = told && authorization == NULL;
		authorization = sigv4_authorization(&signer, &request, &credentials, &scope);
		recovered = recovered && authorization != NULL && strcmp(authorization, expected) == 0;
		sigv4_signer_free(&signer);
	}
	sigv4_signer_free(&signer);
	tap_ok(failures >= 10, "OpenSSL refused %d times, at each digest once", failures);
	tap_ok(told, "there was no signature then");
	tap_ok(recovered, "and the right one the next time");

	digests = 0;
	digest_refused_at = 0;
	tap_ok(!sigv4_hash("abc", 3, hash), "nor a hash");
	digest_refused_at = -1;
	tap_ok(sigv4_hash("abc", 3, hash) && strncmp(hash, "ba7816bf", 8) == 0,
		   "and the right one, too");
}

int
main(void)
{
	test_buffer();
	test_signing();
	test_hashing();
	return tap_finish();
}
