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

/* The WITH clause of a statement that COPY takes for its query; NULL for any other statement. COPY's own grammar is not asked here. */
static inline WithClause **
copy_query_with(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_SelectStmt:
			return &((SelectStmt *) statement)->withClause;
		case T_InsertStmt:
			return &((InsertStmt *) statement)->withClause;
		case T_UpdateStmt:
			return &((UpdateStmt *) statement)->withClause;
		case T_DeleteStmt:
			return &((DeleteStmt *) statement)->withClause;
#if PG_VERSION_NUM >= 170000
		case T_MergeStmt:
			return &((MergeStmt *) statement)->withClause;
#endif
		default:
			return NULL;
	}
}

#endif
