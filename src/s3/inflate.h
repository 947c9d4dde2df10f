/*
 * inflate.h
 *		Gzip and zstd inflated on the way, in memory that does not grow with the data.
 *
 * What an object is, its first bytes say, not its name: a server or a proxy may have inflated an object named "x.csv.gz"
 * already (Content-Encoding), and then it must go through as it is. The name counts only where there are fewer bytes
 * than those that tell: then they are the beginning of what the name says; and where it says that the object is compressed in a
 * way that is not read, by which Hadoop and others go, too.
 */
#ifndef ATHENA_CALC_S3_INFLATE_H
#define ATHENA_CALC_S3_INFLATE_H

#include "compat.h"

#include "s3/bytes.h"

/*
 * The bytes of `below`, inflated where they are gzip (RFC 1952) or zstd (RFC 8878), else as they are. `name` is the
 * object's, for this and for messages; it is copied. Nothing is read before the first read().
 *
 * Gzip's members and zstd's frames, skippable ones among them, are taken one behind the other, as gzip and zstd do it.
 * It takes some 100 kB, for zstd some 300 kB and the frames' window. All of it is released at the end of the data, and
 * where that is not reached, when the memory context in which this was called is reset or deleted.
 *
 * read() throws 22P04 (bad_copy_file_format) where the data is damaged, ends too early, has something else behind its
 * end, or wants a window of more than 128 MB; 0A000 for what is not read; 53200 without memory; and what `below` throws.
 * After an error it must not be read any more.
 */
extern ByteSource *inflate_open(ByteSource *below, const char *name);

/* The ending of a name that is for a compression which is not read; NULL for none. */
extern const char *inflate_unknown_ending(const char *name);

#endif
