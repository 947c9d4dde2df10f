/*
 * profile.h
 *		AWS's shared files, ~/.aws/config and ~/.aws/credentials, read from bytes in memory. Plain C;
 *		never throws.
 *
 * The format is said in https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html, roughly. What
 * that leaves open is read as the AWS CLI reads it, so that a profile means here what it means there:
 *
 * - "key = value" or "key: value", the first of the two counts. Keys know no case; white space around
 *   key and value is none of theirs.
 * - '#' and ';' begin a comment at the start of a line only. Behind a value they are a part of it.
 * - A line indented deeper than its key goes on with the value, behind a line break. A key without a
 *   value that has such lines is a nested block ("s3 ="): neither it nor what is in it is a value.
 * - Where two sections name one profile ([default] and [profile default], or other quotes), the last
 *   one is the profile, whole.
 * - What stands in a section [DEFAULT], in capitals, is in every profile that does not say otherwise.
 *
 * More is allowed than there in two places, for files that other SDKs read: a byte order mark, and a
 * ']' behind a section's name, in a comment for instance. Bytes are bytes: no encoding is checked.
 */
#ifndef ATHENA_CALC_AWS_PROFILE_H
#define ATHENA_CALC_AWS_PROFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "http/buffer.h"

typedef enum ProfileFileKind
{
	PROFILE_CONFIG_FILE,     /* [default] and [profile name]; other sections are no profiles */
	PROFILE_CREDENTIALS_FILE /* [name] */
} ProfileFileKind;

/*
 * Checks a file as a whole. False with a few words on what is wrong in `problem`, a constant string, and
 * the first line that is wrong in `line`, counted from 1, or 0 where it is none's fault: out of memory.
 * Wrong is a line that is neither section, key nor comment, a section or a key that is there twice, and a
 * line without '=' in a nested block, in any section: the AWS CLI refuses the same files.
 *
 * The functions below take any bytes. What they find in a file that did not pass means nothing.
 */
extern bool profile_check(const char *text, size_t length, const char **problem, int *line);

/* Whether the file has that profile. */
extern bool profile_exists(ProfileFileKind kind, const char *text, size_t length,
						   const char *profile);

/*
 * Reads a key's value in a profile; it may be empty, and it may hold line breaks and NULs. `key` is in
 * lower case. False where there is none, and, with `value->failed` set, where there is no memory for it.
 * `value` must be empty or reset; the caller frees it either way.
 */
extern bool profile_find(ProfileFileKind kind, const char *text, size_t length, const char *profile,
						 const char *key, ByteBuffer *value);

/* A command's words, as exec wants them: argv[argc] is NULL. All of it is in one block. */
typedef struct ProfileCommand
{
	char **argv;
	int argc;
	size_t size; /* of the block that argv begins */
} ProfileCommand;

/*
 * Splits a credential_process into words, as a POSIX shell would read quotes and backslashes; nothing is
 * expanded, and no other character has a meaning. False, with nothing to free and a constant string in
 * `problem`, on an open quote, a backslash at the end, a NUL, no word at all, or no memory. What it gave
 * is the caller's, for profile_command_free().
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
 */
extern bool profile_split_command(const char *text, size_t length, ProfileCommand *command,
								  const char **problem);

/* Wipes the words, for an argument may be a secret, and releases them. Nothing on one that is all zero. */
extern void profile_command_free(ProfileCommand *command);

#endif
