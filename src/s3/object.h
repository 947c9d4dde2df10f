/*
 * object.h
 *		Objects in S3.
 */
#ifndef ATHENA_CALC_S3_OBJECT_H
#define ATHENA_CALC_S3_OBJECT_H

#include "compat.h"

#include "aws/config.h"
#include "s3/uri.h"

typedef struct S3Content
{
	char *bytes; /* palloc'd, NUL-terminated */
	size_t length;
	bool from_start; /* false where something of the object stands before these bytes */
} S3Content;

/*
 * Reads an object, or where `last_bytes` is not 0 only that many bytes at its end, within
 * athena_calc.max_response_size. Raises by the table of errors (42704 where there is none). A whole object is what S3 has, if S3
 * says a checksum of it (08P01). `config` is what it is asked for with, NULL for the current configuration.
 */
extern void s3_get_object(const AwsConfig *config, const S3Uri *uri, int last_bytes,
						  S3Content *content);

/*
 * Writes an object, whatever was there before; its ETag, palloc'd. `type` is its Content-Type. What arrives is what was
 * sent: S3 compares it with the hash that is signed, and with the CRC32 that it keeps for those who read.
 */
extern char *s3_put_object(const S3Uri *uri, const char *bytes, size_t length, const char *type);

/* Deletes an object. It is no error that there is none. */
extern void s3_delete_object(const S3Uri *uri);

/*
 * Deletes these objects of a bucket, as many in a request as S3 takes. Throws for what S3 says of any of them, with how many were
 * deleted so far in the DETAIL: those that S3 has confirmed.
 */
extern void s3_delete_keys(const char *bucket, const char *const *keys, int64 count);

#endif
