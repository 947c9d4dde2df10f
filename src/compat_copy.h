/*
 * compat_copy.h
 *		COPY (query) TO a function, which differs between PostgreSQL 14 and 18. It belongs to compat.h.
 */
#ifndef ATHENA_CALC_COMPAT_COPY_H
#define ATHENA_CALC_COMPAT_COPY_H

#include "compat.h"

#include "commands/copy.h"

/*
 * COPY (query) TO, with what it writes handed to a function. What is handed over at once is a row in the text formats, or
 * the header line, without its end of line. In the binary format it is a row as well; in front of the first stands the
 * file's header, and the last is the file's trailer. The bytes are valid until the function returns; it may throw.
 *
 * What begin gives is ended with EndCopyTo. A query may copy another one.
 */
typedef void (*CopyTake)(const char *bytes, int length, void *context);

extern CopyToState copy_query_begin(ParseState *state, RawStmt *query, List *options);
extern uint64 copy_query_run(CopyToState copy, CopyTake take, void *context);

/* Whether COPY takes such a statement for its query: its own grammar is not asked here. */
static inline bool
is_copy_query(const Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_SelectStmt:
		case T_InsertStmt:
		case T_UpdateStmt:
		case T_DeleteStmt:
#if PG_VERSION_NUM >= 170000
		case T_MergeStmt:
#endif
			return true;
		default:
			return false;
	}
}

#endif
