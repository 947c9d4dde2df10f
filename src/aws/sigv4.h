/*
 * sigv4.h
 *		AWS Signature Version 4, in plain C and OpenSSL.
 *
 * A request, credentials and a time go in; the Authorization header comes out. The three stages
 * (canonical request, string to sign, signature) are functions of their own, so that each can be held
 * against the official vectors. Nothing here throws, reads a clock or knows PostgreSQL.
 *
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
#ifndef ATHENA_CALC_AWS_SIGV4_H
#define ATHENA_CALC_AWS_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "http/buffer.h"
#include "http/header.h"

#define SIGV4_HASH_BYTES 32
#define SIGV4_HEX_SIZE (2 * SIGV4_HASH_BYTES + 1)
#define SIGV4_DATE_TIME_SIZE sizeof("YYYYMMDDTHHMMSSZ")

/* What is signed. Headers may come in any order and case; all that are given are signed. */
typedef struct SigV4Request
{
	const char *method;
	const char *path;  /* as it is sent, from its '/' on, without the query */
	const char *query; /* as it is sent, without the '?'; NULL for none */
	const HttpHeader *headers;
	size_t header_count;
	const char *payload_hash; /* the body's SHA-256 in hex */
	bool normalize_path;      /* drop empty and dot segments: every service but S3 */
	bool encode_path;         /* percent-encode the path once more: every service but S3 */
} SigV4Request;

typedef struct SigV4Credentials
{
	const char *access_key_id;
	const char *secret_access_key;
	const char *session_token; /* NULL for none; the caller sends and lists its header */
} SigV4Credentials;

typedef struct SigV4Scope
{
	char date_time[SIGV4_DATE_TIME_SIZE]; /* the value of X-Amz-Date */
	const char *region;
	const char *service;
} SigV4Scope;

/*
 * The derived key of the day and scratch memory, kept from one signature to the next. Zero it before
 * its first use; sigv4_signer_free() wipes it.
 */
typedef struct SigV4Signer
{
	ByteBuffer canonical_request;
	ByteBuffer signed_headers;
	ByteBuffer string_to_sign;
	ByteBuffer authorization;
	unsigned char key_identity[SIGV4_HASH_BYTES];
	unsigned char key[SIGV4_HASH_BYTES];
	bool has_key;
} SigV4Signer;

/* The lower-case hex SHA-256 of `length` bytes; false only when there is no memory. */
extern bool sigv4_hash(const void *bytes, size_t length, char hex[SIGV4_HEX_SIZE]);

/* Writes `now` (seconds since the epoch) as X-Amz-Date has it, in UTC; nothing but NULs for a year of more than four digits. */
extern void sigv4_format_date_time(time_t now, char date_time[SIGV4_DATE_TIME_SIZE]);

/* Percent-encodes all but A-Z a-z 0-9 - . _ ~ (and '/', where `keep_slash`), byte by byte. */
extern bool sigv4_uri_encode(ByteBuffer *out, const char *bytes, size_t length, bool keep_slash);

/*
 * The stages. Each empties its `out` first and returns false only when there is no memory.
 */
extern bool sigv4_canonical_request(const SigV4Request *request, ByteBuffer *signed_headers,
									ByteBuffer *out);
extern bool sigv4_string_to_sign(const SigV4Scope *scope, const ByteBuffer *canonical_request,
								 ByteBuffer *out);
extern bool sigv4_signature(SigV4Signer *signer, const SigV4Credentials *credentials,
							const SigV4Scope *scope, const ByteBuffer *string_to_sign,
							char hex[SIGV4_HEX_SIZE]);

/*
 * All three: the value of the Authorization header, which stays the signer's and valid until its next
 * use; NULL when there is no memory.
 */
extern const char *sigv4_authorization(SigV4Signer *signer, const SigV4Request *request,
									   const SigV4Credentials *credentials,
									   const SigV4Scope *scope);

/* Wipes the key and the scratch memory. */
extern void sigv4_signer_free(SigV4Signer *signer);

#endif
