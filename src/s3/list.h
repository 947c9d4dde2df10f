/*
 * list.h
 *		The objects under a prefix.
 */
#ifndef ATHENA_CALC_S3_LIST_H
#define ATHENA_CALC_S3_LIST_H

#include "compat.h"

#include "datatype/timestamp.h"
#include "s3/uri.h"

typedef struct S3Listed
{
	const char *key; /* in the database's encoding, as it is */
	int64 size;
	int64 last_modified; /* microseconds since 1970; -1 where it is not told */
	const char *etag;
} S3Listed;

/* Takes an object, whose strings are valid until it returns. False for enough. */
typedef bool (*S3ListRow)(const S3Listed *object, void *context);

/*
 * Lists the objects whose keys begin with the URI's, in the order of their keys, page after page. Raises by the table
 * of errors.
 */
extern void s3_list(const S3Uri *prefix, S3ListRow row, void *context);

#endif
