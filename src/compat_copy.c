/*
 * compat_copy.c
 *		COPY (query) TO a function. See compat_copy.h.
 */
#include "compat_copy.h"

#include "tcop/tcopprot.h"

#if PG_VERSION_NUM < 160000
/* libpq.h wants the headers of Kerberos where the server has it. What is needed here is the same without. */
#undef ENABLE_GSS
#include "libpq/libpq.h"
#endif

/* A copy that is under way, and the one in whose query it is. */
typedef struct RunningCopy
{
	struct RunningCopy *outer;
	CopyTake take;
	void *context;
#if PG_VERSION_NUM < 160000
	CommandDest destination;             /* where the server's own words go */
	const PQcommMethods *client_methods; /* and by which methods */
	int line_end;                        /* bytes at the end of a row that are none of it */
#endif
} RunningCopy;

static RunningCopy *running_copy = NULL;

#if PG_VERSION_NUM >= 160000

/* COPY's callback: it is not told for which copy. */
static void
take_data(void *bytes, int length)
{
	running_copy->take(bytes, length, running_copy->context);
}

#else

/*
 * Before 16 COPY has no callback, but tells its client, in messages of the protocol: "H" that rows will come, "d" for each,
 * "c" that these were all. They are caught on their way out; all other messages go to the client, among them notices of the
 * query.
 * https://www.postgresql.org/docs/15/protocol-flow.html#PROTOCOL-COPY
 */
static int
put_message(char type, const char *bytes, size_t length)
{
	switch (type)
	{
		case 'H':
			/* The first byte is 0 for text, and 1 for binary. */
			running_copy->line_end = bytes[0] == 0 ? 1 : 0;
			/* COPY knows now that it has a client. A background worker, which has none, must go on without. */
			whereToSendOutput = running_copy->destination;
			return 0;
		case 'd':
			running_copy->take(bytes, (int) length - running_copy->line_end, running_copy->context);
			return 0;
		case 'c':
			return 0;
		default:
			return running_copy->client_methods->putmessage(type, bytes, length);
	}
}

#endif

CopyToState
copy_query_begin(ParseState *state, RawStmt *query, List *options)
{
#if PG_VERSION_NUM >= 160000
	return BeginCopyTo(state, NULL, query, InvalidOid, NULL, false, take_data, NIL, options);
#else
	return BeginCopyTo(state, NULL, query, InvalidOid, NULL, false, NIL, options);
#endif
}

uint64
copy_query_run(CopyToState copy, CopyTake take, void *context)
{
	RunningCopy running = {.outer = running_copy, .take = take, .context = context};
	uint64 rows = 0;
#if PG_VERSION_NUM < 160000
	const PQcommMethods *methods_before = PqCommMethods;
	PQcommMethods methods;

	running.destination = whereToSendOutput;
	running.client_methods = running.outer != NULL ? running.outer->client_methods : methods_before;
	methods = *running.client_methods;
	methods.putmessage = put_message;
#endif

	PG_TRY();
	{
		running_copy = &running;
#if PG_VERSION_NUM < 160000
		PqCommMethods = &methods;
		whereToSendOutput = DestRemote;
#endif
		rows = DoCopyTo(copy);
	}
	PG_FINALLY();
	{
#if PG_VERSION_NUM < 160000
		whereToSendOutput = running.destination;
		PqCommMethods = methods_before;
#endif
		running_copy = running.outer;
	}
	PG_END_TRY();
	return rows;
}
