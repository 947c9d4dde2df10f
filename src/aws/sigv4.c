/*
 * sigv4.c
 *		AWS Signature Version 4, in plain C and OpenSSL. See sigv4.h for the contract.
 */
#include "aws/sigv4.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define TERMINATOR "aws4_request"
#define HMAC_BLOCK_BYTES 64
#define DATE_LENGTH 8 /* of YYYYMMDD, the first part of a date-time */

static const char lower_hex[] = "0123456789abcdef";
static const char upper_hex[] = "0123456789ABCDEF";

static char
ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c + ('a' - 'A')) : c;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static void
to_hex(const unsigned char *bytes, size_t length, char *hex)
{
	for (size_t i = 0; i < length; i++)
	{
		*hex++ = lower_hex[bytes[i] >> 4];
		*hex++ = lower_hex[bytes[i] & 15];
	}
	*hex = '\0';
}

/*
 * SHA-256 of two runs of bytes, one behind the other. OpenSSL 3 looks an algorithm up for each use, which
 * takes longer than to hash what is hashed here; one context, kept for the process, has it looked up. False
 * only for want of memory.
 */
static bool
sha256(const void *first, size_t first_length, const void *second, size_t second_length,
	   unsigned char digest[SIGV4_HASH_BYTES])
{
	static EVP_MD_CTX *context = NULL;
	const EVP_MD *unchanged = NULL;
	unsigned char result[SIGV4_HASH_BYTES];

	if (context == NULL)
	{
		context = EVP_MD_CTX_new();
		unchanged = EVP_sha256();
	}
	if (context == NULL)
		return false;
	if (!(EVP_DigestInit_ex(context, unchanged, NULL) &&
		  EVP_DigestUpdate(context, first, first_length) &&
		  EVP_DigestUpdate(context, second, second_length) &&
		  EVP_DigestFinal_ex(context, result, NULL)))
	{
		EVP_MD_CTX_free(context);
		context = NULL;
		return false;
	}
	/* The digest may stand where the bytes stood. */
	memcpy(digest, result, sizeof(result));
	return true;
}

bool
sigv4_hash(const void *bytes, size_t length, char hex[SIGV4_HEX_SIZE])
{
	unsigned char digest[SIGV4_HASH_BYTES];

	if (!sha256(bytes, length, NULL, 0, digest))
		return false;
	to_hex(digest, sizeof(digest), hex);
	return true;
}

void
sigv4_format_date_time(time_t now, char date_time[SIGV4_DATE_TIME_SIZE])
{
	struct tm tm;

	if (gmtime_r(&now, &tm) == NULL ||
		strftime(date_time, SIGV4_DATE_TIME_SIZE, "%Y%m%dT%H%M%SZ", &tm) == 0)
		memset(date_time, 0, SIGV4_DATE_TIME_SIZE);
}

static bool
is_unreserved(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
		   c == '.' || c == '_' || c == '~';
}

bool
sigv4_uri_encode(ByteBuffer *out, const char *bytes, size_t length, bool keep_slash)
{
	for (size_t i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) bytes[i];

		if (is_unreserved(c) || (c == '/' && keep_slash))
			buffer_append_char(out, (char) c);
		else
		{
			char escape[3] = {'%', upper_hex[c >> 4], upper_hex[c & 15]};

			buffer_append(out, escape, sizeof(escape));
		}
	}
	return !out->failed;
}

/*
 * Appends the path without empty and dot segments, and with ".." resolved; a slash at the end stays.
 */
static void
append_normalized_path(ByteBuffer *out, const char *path)
{
	size_t base = out->length;
	bool slash_at_end = false;

	for (const char *segment = path; *segment != '\0';)
	{
		size_t length = strcspn(segment, "/");

		slash_at_end = segment[length] == '/';
		if (length == 2 && segment[0] == '.' && segment[1] == '.')
		{
			while (out->length > base && out->data[out->length - 1] != '/')
				out->length--;
			if (out->length > base)
				out->data[--out->length] = '\0';
		}
		else if (length > 0 && !(length == 1 && segment[0] == '.'))
		{
			buffer_append_char(out, '/');
			buffer_append(out, segment, length);
		}
		segment += length;
		if (*segment == '/')
			segment++;
	}
	if (slash_at_end || out->length == base)
		buffer_append_char(out, '/');
}

static void
append_canonical_path(const SigV4Request *request, ByteBuffer *out)
{
	const char *path = request->path[0] == '\0' ? "/" : request->path;
	ByteBuffer normalized = {0};

	if (request->normalize_path)
	{
		append_normalized_path(&normalized, path);
		if (normalized.failed)
			out->failed = true;
		path = normalized.data;
	}
	if (out->failed)
		;
	else if (request->encode_path)
		sigv4_uri_encode(out, path, strlen(path), true);
	else
		buffer_append_string(out, path);
	buffer_free(&normalized);
}

/* A parameter of the query, its parts decoded and encoded anew, as offsets into one buffer. */
typedef struct QueryParameter
{
	size_t name;
	size_t value;
	const char *strings;
} QueryParameter;

static int
compare_query_parameters(const void *left, const void *right)
{
	const QueryParameter *a = left;
	const QueryParameter *b = right;
	int order = strcmp(a->strings + a->name, b->strings + b->name);

	return order != 0 ? order : strcmp(a->strings + a->value, b->strings + b->value);
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Appends one part of a parameter, NUL-terminated, in the one spelling that is canonical. */
static void
append_recoded(ByteBuffer *out, const char *part, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		char c = part[i];

		if (c == '%' && i + 2 < length && hex_digit(part[i + 1]) >= 0 &&
			hex_digit(part[i + 2]) >= 0)
		{
			c = (char) (hex_digit(part[i + 1]) * 16 + hex_digit(part[i + 2]));
			i += 2;
		}
		sigv4_uri_encode(out, &c, 1, false);
	}
	buffer_append_char(out, '\0');
}

static void
append_canonical_query(const SigV4Request *request, ByteBuffer *out)
{
	ByteBuffer strings = {0};
	QueryParameter *parameters;
	size_t count = 1;
	size_t n = 0;

	if (request->query == NULL || request->query[0] == '\0')
		return;

	for (const char *p = request->query; *p != '\0'; p++)
		count += *p == '&';
	parameters = calloc(count, sizeof(QueryParameter));
	if (parameters == NULL)
	{
		out->failed = true;
		return;
	}

	for (const char *p = request->query; *p != '\0';)
	{
		size_t length = strcspn(p, "&");
		size_t name_length = strcspn(p, "=&");

		if (length > 0)
		{
			parameters[n].name = strings.length;
			append_recoded(&strings, p, name_length);
			parameters[n].value = strings.length;
			append_recoded(&strings, p + name_length + 1,
						   length > name_length ? length - name_length - 1 : 0);
			n++;
		}
		p += length;
		if (*p == '&')
			p++;
	}

	if (strings.failed)
		out->failed = true;
	else
	{
		for (size_t i = 0; i < n; i++)
			parameters[i].strings = strings.data;
		qsort(parameters, n, sizeof(QueryParameter), compare_query_parameters);
		for (size_t i = 0; i < n; i++)
		{
			if (i > 0)
				buffer_append_char(out, '&');
			buffer_append_string(out, strings.data + parameters[i].name);
			buffer_append_char(out, '=');
			buffer_append_string(out, strings.data + parameters[i].value);
		}
	}
	free(parameters);
	buffer_free(&strings);
}

static int
compare_names(const char *a, const char *b)
{
	while (*a != '\0' && ascii_lower(*a) == ascii_lower(*b))
	{
		a++;
		b++;
	}
	return (unsigned char) ascii_lower(*a) - (unsigned char) ascii_lower(*b);
}

/* Appends a value without white space at its ends, and with one space for each run of it inside. */
static void
append_trimmed(ByteBuffer *out, const char *value)
{
	size_t start = out->length;

	while (*value != '\0')
	{
		size_t word = 0;

		while (value[word] != '\0' && !is_space(value[word]))
			word++;
		if (word > 0)
		{
			if (out->length > start)
				buffer_append_char(out, ' ');
			buffer_append(out, value, word);
		}
		value += word;
		while (is_space(*value))
			value++;
	}
}

static void
append_lower(ByteBuffer *out, const char *name)
{
	size_t start = out->length;

	if (!buffer_append_string(out, name))
		return;
	for (char *p = out->data + start; *p != '\0'; p++)
		*p = ascii_lower(*p);
}

/*
 * Appends the header lines to `out` and their names to `signed_headers`. Headers of one name become
 * one line, their values in the order in which they are sent: the sort must be stable, qsort is not.
 */
static void
append_canonical_headers(const SigV4Request *request, ByteBuffer *signed_headers, ByteBuffer *out)
{
	const HttpHeader **sorted = calloc(request->header_count + 1, sizeof(HttpHeader *));

	if (sorted == NULL)
	{
		out->failed = true;
		return;
	}
	for (size_t i = 0; i < request->header_count; i++)
	{
		size_t at = i;

		for (; at > 0 && compare_names(sorted[at - 1]->name, request->headers[i].name) > 0; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = &request->headers[i];
	}
	for (size_t i = 0; i < request->header_count; i++)
	{
		if (i > 0 && compare_names(sorted[i - 1]->name, sorted[i]->name) == 0)
			buffer_append_char(out, ',');
		else
		{
			if (i > 0)
			{
				buffer_append_char(out, '\n');
				buffer_append_char(signed_headers, ';');
			}
			append_lower(out, sorted[i]->name);
			buffer_append_char(out, ':');
			append_lower(signed_headers, sorted[i]->name);
		}
		append_trimmed(out, sorted[i]->value);
	}
	buffer_append_char(out, '\n');
	free(sorted);
}

bool
sigv4_canonical_request(const SigV4Request *request, ByteBuffer *signed_headers, ByteBuffer *out)
{
	buffer_reset(out);
	buffer_reset(signed_headers);

	buffer_append_string(out, request->method);
	buffer_append_char(out, '\n');
	append_canonical_path(request, out);
	buffer_append_char(out, '\n');
	append_canonical_query(request, out);
	buffer_append_char(out, '\n');
	append_canonical_headers(request, signed_headers, out);
	buffer_append_char(out, '\n');
	if (!signed_headers->failed && signed_headers->length > 0)
		buffer_append(out, signed_headers->data, signed_headers->length);
	buffer_append_char(out, '\n');
	buffer_append_string(out, request->payload_hash);
	return !out->failed && !signed_headers->failed;
}

/* Appends DATE/REGION/SERVICE/aws4_request. */
static void
append_scope(const SigV4Scope *scope, ByteBuffer *out)
{
	buffer_append(out, scope->date_time, DATE_LENGTH);
	buffer_append_char(out, '/');
	buffer_append_string(out, scope->region);
	buffer_append_char(out, '/');
	buffer_append_string(out, scope->service);
	buffer_append_string(out, "/" TERMINATOR);
}

bool
sigv4_string_to_sign(const SigV4Scope *scope, const ByteBuffer *canonical_request, ByteBuffer *out)
{
	char hash[SIGV4_HEX_SIZE];

	if (!sigv4_hash(canonical_request->data, canonical_request->length, hash))
		return false;
	buffer_reset(out);
	buffer_append_string(out, ALGORITHM "\n");
	buffer_append_string(out, scope->date_time);
	buffer_append_char(out, '\n');
	append_scope(scope, out);
	buffer_append_char(out, '\n');
	buffer_append_string(out, hash);
	return !out->failed;
}

/* HMAC-SHA-256 (RFC 2104). False only for want of memory. */
static bool
hmac(const void *key, size_t key_length, const void *bytes, size_t length,
	 unsigned char digest[SIGV4_HASH_BYTES])
{
	unsigned char block[HMAC_BLOCK_BYTES] = {0};
	bool done = true;

	if (key_length > sizeof(block))
		done = sha256(key, key_length, NULL, 0, block);
	else
		memcpy(block, key, key_length);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36;
	done = done && sha256(block, sizeof(block), bytes, length, digest);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36 ^ 0x5C;
	done = done && sha256(block, sizeof(block), digest, SIGV4_HASH_BYTES, digest);
	OPENSSL_cleanse(block, sizeof(block));
	return done;
}

/* The key of a day, a region and a service, from the secret with "AWS4" before it. */
static bool
compute_key(const char *secret, size_t secret_length, const SigV4Scope *scope,
			unsigned char key[SIGV4_HASH_BYTES])
{
	unsigned char step[SIGV4_HASH_BYTES];
	bool done = hmac(secret, secret_length, scope->date_time, DATE_LENGTH, step) &&
				hmac(step, sizeof(step), scope->region, strlen(scope->region), step) &&
				hmac(step, sizeof(step), scope->service, strlen(scope->service), step) &&
				hmac(step, sizeof(step), TERMINATOR, strlen(TERMINATOR), key);

	OPENSSL_cleanse(step, sizeof(step));
	return done;
}

/*
 * The key depends on the secret, the day, the region and the service: derived once, it serves for the
 * day. The cache is told apart by a hash over the four, so that no second copy of the secret is kept.
 */
static bool
derive_key(SigV4Signer *signer, const SigV4Credentials *credentials, const SigV4Scope *scope)
{
	ByteBuffer text = {0};
	unsigned char identity[SIGV4_HASH_BYTES];
	size_t secret_length;
	bool done;

	buffer_append_string(&text, "AWS4");
	buffer_append_string(&text, credentials->secret_access_key);
	secret_length = text.length;
	buffer_append_char(&text, '\0');
	append_scope(scope, &text);
	done = !text.failed && sha256(text.data, text.length, NULL, 0, identity);
	if (done && (!signer->has_key || memcmp(identity, signer->key_identity, sizeof(identity)) != 0))
	{
		/* What could not be computed to its end is no key. */
		done = compute_key(text.data, secret_length, scope, signer->key);
		memcpy(signer->key_identity, identity, sizeof(identity));
		signer->has_key = done;
	}
	buffer_free(&text);
	return done;
}

bool
sigv4_signature(SigV4Signer *signer, const SigV4Credentials *credentials, const SigV4Scope *scope,
				const ByteBuffer *string_to_sign, char hex[SIGV4_HEX_SIZE])
{
	unsigned char digest[SIGV4_HASH_BYTES];

	if (!derive_key(signer, credentials, scope))
		return false;
	if (!hmac(signer->key, sizeof(signer->key), string_to_sign->data, string_to_sign->length,
			  digest))
		return false;
	to_hex(digest, sizeof(digest), hex);
	return true;
}

const char *
sigv4_authorization(SigV4Signer *signer, const SigV4Request *request,
					const SigV4Credentials *credentials, const SigV4Scope *scope)
{
	ByteBuffer *out = &signer->authorization;
	char signature[SIGV4_HEX_SIZE];

	if (!sigv4_canonical_request(request, &signer->signed_headers, &signer->canonical_request) ||
		!sigv4_string_to_sign(scope, &signer->canonical_request, &signer->string_to_sign) ||
		!sigv4_signature(signer, credentials, scope, &signer->string_to_sign, signature))
		return NULL;

	buffer_reset(out);
	buffer_append_string(out, ALGORITHM " Credential=");
	buffer_append_string(out, credentials->access_key_id);
	buffer_append_char(out, '/');
	append_scope(scope, out);
	buffer_append_string(out, ", SignedHeaders=");
	buffer_append(out, signer->signed_headers.data, signer->signed_headers.length);
	buffer_append_string(out, ", Signature=");
	buffer_append_string(out, signature);
	return out->failed ? NULL : out->data;
}

void
sigv4_signer_free(SigV4Signer *signer)
{
	buffer_free(&signer->canonical_request);
	buffer_free(&signer->signed_headers);
	buffer_free(&signer->string_to_sign);
	buffer_free(&signer->authorization);
	OPENSSL_cleanse(signer, sizeof(*signer));
	memset(signer, 0, sizeof(*signer));
}
