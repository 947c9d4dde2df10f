/*
 * copy_option.h
 *		The arguments `format` and `options` of copy_from_s3 and copy_to_s3.
 *
 * Options are COPY's, by COPY's names, and a few of ours. What COPY has is handed to COPY, which checks it and says what
 * is wrong with it; so a newer server's options are there as well.
 * https://www.postgresql.org/docs/current/sql-copy.html
 */
#ifndef ATHENA_CALC_S3_COPY_OPTION_H
#define ATHENA_CALC_S3_COPY_OPTION_H

#include "compat.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

typedef enum CopyOptionFormat
{
	COPY_OPTION_CSV,
	COPY_OPTION_TEXT,
	COPY_OPTION_BINARY,
	COPY_OPTION_JSON
} CopyOptionFormat;

#define COPY_OPTION_FORMAT(format) (1 << (format))
#define COPY_OPTION_ANY_FORMAT (~0)

typedef enum CopyOptionKind
{
	COPY_VALUE_BOOL,  /* true or false; into a bool */
	COPY_VALUE_TEXT,  /* a string; into a const char * */
	COPY_VALUE_BYTES, /* a number from 1 on, or a string with a unit ("64MB"); into an int64 */
} CopyOptionKind;

/* An option that COPY has not. */
typedef struct CopyOption
{
	const char *name;
	CopyOptionKind kind;
	int formats; /* those it goes with: COPY_OPTION_FORMAT() of each, or COPY_OPTION_ANY_FORMAT */
	void *value; /* where it goes; stays as it is where the option is not given */
} CopyOption;

typedef struct CopyOptions
{
	CopyOptionFormat format;
	bool is_from; /* into a table */
	List *copy;   /* of DefElem, for COPY; its format is text where ours is JSON */
	int encoding; /* of the objects' text: PG_UTF8 unless given */
} CopyOptions;

/*
 * Takes the arguments apart, into memory of the current context; NULLs are the defaults, csv and no options. `own` are the
 * options that one of the two functions has besides COPY's and "dialect", which both have. A JSON null is as if the option
 * were not given. Throws 22023 for what COPY would not understand, and what COPY throws for the rest.
 */
extern void copy_option_read(const char *format, Jsonb *options, bool is_from,
							 const CopyOption *own, int own_count, CopyOptions *result);

/*
 * Settings for the time of the copy. The binary format has text in the client's encoding, whatever the options say:
 * PostgreSQL's functions for types look there. Gives what to end them with, on errors too.
 */
extern int copy_option_enter_settings(const CopyOptions *options);
extern void copy_option_leave_settings(int level);

/* Throws 55000 where the query, a trigger or a function has changed one of them: no two rows shall be of different kinds. */
extern void copy_option_check_settings(const CopyOptions *options);

#endif
