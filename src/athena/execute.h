/*
 * execute.h
 *		Running an operation: once, page after page, or for many ids at once.
 *
 * Results are made in the memory context that is current at the call; everything else of the call goes
 * with it. What Athena refuses and what goes wrong on the way is raised by the table of errors, with
 * hints for the arguments that Athena refused.
 */
#ifndef ATHENA_CALC_ATHENA_EXECUTE_H
#define ATHENA_CALC_ATHENA_EXECUTE_H

#include "athena/operation.h"
#include "aws/client.h"
#include "aws/json.h"
#include "utils/jsonb.h"

/* Runs an operation whose answer is one row; fills in its columns. */
extern void athena_execute(const AthenaOperation *operation, const NullableDatum *arguments,
						   Datum *values, bool *nulls);

/* Takes a row. Its memory is the callee's only until it returns. */
typedef void (*AthenaRow)(Datum *values, bool *nulls, void *context);

/* Runs a list to its end, or to its max_results, and hands over each row. */
extern void athena_execute_list(const AthenaOperation *operation, const NullableDatum *arguments,
								AthenaRow row, void *context);

struct AthenaRequest;

/*
 * The same by a configuration, without an error for what goes wrong with a page: false then, with the outcome of its
 * request in `last`, palloc'd in the current memory context.
 */
extern bool athena_list(const AwsConfig *config, const AthenaOperation *operation,
						const NullableDatum *arguments, AthenaRow row, void *context,
						struct AthenaRequest *last);

/* The text of a column of a row; "" for NULL. */
extern const char *athena_text(const Datum *values, const bool *nulls, int column);

/* Fills in the row that a batch has for a request: its columns, error_code, error_message. */
extern void athena_batch_row(const struct AthenaRequest *request, Datum *values, bool *nulls);

/*
 * Runs an operation that takes one id for each of many, all together. The rows come in the order of the
 * ids, each with two more columns, error_code and error_message: what went wrong with that id. What
 * concerns every id is raised.
 */
extern void athena_execute_batch(const AthenaOperation *operation, const Datum *ids, int count,
								 AthenaRow row, void *context);

/* A session that runs another calculation, and one that takes none any more. */
#define SQLSTATE_SESSION_BUSY MAKE_SQLSTATE('S', 'P', '0', '0', '4')
#define SQLSTATE_SESSION_ENDED MAKE_SQLSTATE('S', 'P', '0', '0', '5')

/* A request whose outcome is not raised. Zeroed by the caller, who fills in the first part. */
typedef struct AthenaRequest
{
	const AthenaOperation *operation;
	const NullableDatum *arguments;
	bool *sent; /* as in an AwsCall */

	/* False where a deadline (http.h) left it undone: its error is that of the attempt before, or a time-out. */
	bool answered;
	AwsError error;
	int attempts;  /* 0 where it was never sent */
	Datum *values; /* one for each column, where there was no error */
	bool *nulls;
} AthenaRequest;

/*
 * Makes these requests, of any operations, all together, by a configuration. Outcomes are palloc'd in the current
 * memory context. Throws what aws_call() and marshal_request() throw, and for what concerns every request: refused
 * credentials and memory.
 */
extern void athena_request(const AwsConfig *config, AthenaRequest *requests, int count);

/* Copies a request with its outcome, but for its arguments, in place of all that was in a memory context. */
extern void athena_request_keep(AthenaRequest *kept, const AthenaRequest *request,
								MemoryContext memory);

/* The text of a column of what was kept, in the same memory; "" for NULL. */
extern const char *athena_kept_text(const AthenaRequest *kept, int column, MemoryContext memory);

/* Raises what a request ended with. */
pg_noreturn extern void athena_request_raise(const AthenaRequest *request);

/*
 * Sends a request, a jsonb object, to any operation and gives its answer as jsonb. A ClientRequestToken is
 * added where the operation takes one and the request has none.
 */
extern Datum athena_invoke(const char *operation, Jsonb *request);

/*
 * Makes one call of any operation by a configuration, with the request as Athena takes it: JSON in UTF-8. What goes
 * wrong at Athena or on the way is in call->error; throws what aws_call() throws. The caller zeroes the call.
 */
extern void athena_call(const AwsConfig *config, const char *operation, const char *request,
						AwsCall *call, AwsAnswer answer, void *context);

/* Athena's endpoint by a configuration. Throws what aws_resolve_endpoint() throws. */
extern void athena_resolve_endpoint(const AwsConfig *config, AwsEndpoint *endpoint);

/* The answer's document; an empty body counts as an empty object. False with the call's error set. */
extern bool athena_read_document(AwsCall *call, const HttpResponse *response, JsonValue *document);

#endif
