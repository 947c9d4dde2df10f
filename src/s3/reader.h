/*
 * reader.h
 *		Objects of a bucket, read one after another as streams, in memory that does not grow with them.
 *
 * The next objects are asked for while one is read. A transfer that breaks is taken up where it stopped; an object that has
 * changed in the meantime, one that is shorter than S3 said, and one whose checksum is another are errors.
 */
#ifndef ATHENA_CALC_S3_READER_H
#define ATHENA_CALC_S3_READER_H

#include "compat.h"

#include "s3/bytes.h"

typedef struct S3Reader S3Reader;

/* An object to read. */
typedef struct S3Object
{
	const char *key;  /* in the database's encoding */
	const char *etag; /* what it must have; NULL for any */
	int64 size;       /* 0 where it is not known */
} S3Object;

/* Reads these objects of a bucket, in this order. What is given must last until the reader is closed. */
extern S3Reader *s3_reader_open(const char *bucket, const S3Object *objects, int count);

/*
 * Goes to the next object, from its first byte on; NULL after the last. The one before must have been read to its end: its
 * length and checksum are verified before its source gives 0. Reading raises by the table of errors, and 55000 where the object has
 * changed; which object it is, is the caller's to say.
 */
extern ByteSource *s3_reader_next(S3Reader *reader);

/* Drops what is under way. To be called on every path, also after an error. */
extern void s3_reader_close(S3Reader *reader);

#endif
