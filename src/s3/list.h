/*
 * list.h
 *		The objects under a prefix.
 */
#ifndef ATHENA_CALC_S3_LIST_H
#define ATHENA_CALC_S3_LIST_H

#include "compat.h"

#include "s3/request.h"
#include "s3/uri.h"

/* What a list does not tell. */
#define S3_UNKNOWN_SIZE (-1)
#define S3_UNKNOWN_TIME PG_INT64_MIN

typedef struct S3Listed
{
	const char *key; /* in the database's encoding, as it is: it names this object and no other */
	int64 size;      /* bytes, or S3_UNKNOWN_SIZE */
	int64 last_modified; /* microseconds since 1970, or S3_UNKNOWN_TIME */
	const char *etag;    /* in the database's encoding; NULL where it is not told */
} S3Listed;

/* Takes an object, whose strings are valid until it returns, as is the current memory context. False for enough. */
typedef bool (*S3ListRow)(const S3Listed *object, void *context);

/*
 * Lists the objects whose keys begin with the URI's, in the order of their keys' UTF-8, page after page. Raises by the table of
 * errors: 08P01 also where a page names anything else, before an object of it is handed over, and where empty pages have no end;
 * 22P05 for a key that cannot be written in the database's encoding.
 */
extern void s3_list(const S3Uri *prefix, S3ListRow row, void *context);

/* The same, for the first so many objects at most. */
extern void s3_list_first(const S3Uri *prefix, int64 max_results, S3ListRow row, void *context);

/*
 * Whether an object of a folder's list is data: Spark and Hadoop leave empty objects behind, and write and leave out what has a name, or
 * is in a folder with a name, like _SUCCESS, _temporary/ and .part-0.crc. A name with "=" is a partition's folder.
 * https://github.com/apache/spark/blob/master/core/src/main/scala/org/apache/spark/util/HadoopFSUtils.scala
 */
extern bool s3_is_data(const S3Listed *object, const S3Uri *folder);

/* What is kept of a list. Zeroed but for the memory at the beginning. */
typedef struct S3Kept
{
	MemoryContext memory;
	size_t bytes;
} S3Kept;

/* Keeps a copy of a text. Throws 54000 where a list has no end, or one that is too far. */
extern char *s3_keep(S3Kept *kept, const char *text);

/* Keys of a list, where all of them must be known before anything is done with them. */
typedef struct S3Keys
{
	S3Kept kept; /* its memory is also that of the array */
	char **keys;
	int64 count;
	int64 capacity;
} S3Keys;

/* Begins with none, in the current memory context. */
extern void s3_keys_init(S3Keys *keys);

/* Adds a copy of a key. */
extern void s3_keys_add(S3Keys *keys, const char *key);

/*
 * Whether there is an object of this name, by a list, within a run or, where that is NULL, in one of its own. Raises as s3_list(), but
 * for keys of other objects; where `is_refused` is not NULL, credentials that may not list set it, and are no error.
 */
extern bool s3_object_exists(const S3Uri *uri, S3Run *run, bool *is_refused);

#endif
