/*
 * object.h
 *		Objects in S3.
 */
#ifndef ATHENA_CALC_S3_OBJECT_H
#define ATHENA_CALC_S3_OBJECT_H

#include "compat.h"

#include "s3/uri.h"

typedef struct S3Content
{
	char *bytes; /* palloc'd, NUL-terminated */
	size_t length;
	bool from_start; /* false where something of the object stands before these bytes */
} S3Content;

/*
 * Reads an object, or where `last_bytes` is not 0 only that many bytes at its end, within
 * athena_calc.max_response_size. Raises by the table of errors (42704 where there is none).
 */
extern void s3_get_object(const S3Uri *uri, int last_bytes, S3Content *content);

#endif
