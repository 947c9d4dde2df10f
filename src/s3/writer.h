/*
 * writer.h
 *		Objects written as streams, in memory that does not grow with them. Nothing is visible before all of it is there.
 *
 * A small object is one PutObject at the end; a larger one is uploaded in parts, several at once, while more is written.
 */
#ifndef ATHENA_CALC_S3_WRITER_H
#define ATHENA_CALC_S3_WRITER_H

#include "compat.h"

#include "s3/uri.h"

typedef struct S3Writer S3Writer;

/* With `overwrite` objects that exist are replaced; else they are an error (42710), if it can be before anything is written. */
extern S3Writer *s3_writer_open(bool overwrite);

/*
 * Begins an object, which is in S3 under this URI when the writer finishes; the one before is complete. `type` is its
 * Content-Type. Both are copied. `is_new` tells that there was no such object, so that it may be deleted again where the writer gives
 * up; without `overwrite` the writer itself looks.
 */
extern void s3_writer_begin(S3Writer *writer, const S3Uri *uri, const char *type, bool is_new);

/* Appends to the object. Raises by the table of errors. */
extern void s3_writer_write(S3Writer *writer, const char *bytes, size_t length);

/*
 * What is on its way goes on while the object is written, and goes no further where nothing comes: whoever has rows that come slowly
 * asks with each, at next to no cost, whether a tenth of a second has gone without a look, and then has one. A look raises as
 * s3_writer_write() does.
 */
extern bool s3_writer_is_neglected(const S3Writer *writer);
extern void s3_writer_look(S3Writer *writer);

/* Bytes of the object so far. */
extern uint64 s3_writer_length(const S3Writer *writer);

/* All is written: makes the objects visible, and ends the writer. */
extern void s3_writer_finish(S3Writer *writer);

/*
 * To be called in PG_CATCH: ends the writer, takes back what it has begun, and raises the error again, with DETAIL where something could
 * not be taken back. (So does the end of the backend, where nothing is caught.)
 */
pg_noreturn extern void s3_writer_give_up(S3Writer *writer);

#endif
