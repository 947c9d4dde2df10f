/*
 * marshal.h
 *		SQL values into a request's JSON, and an answer's JSON into SQL values, by the table of
 *		operations. Memory comes from the current context.
 */
#ifndef ATHENA_CALC_ATHENA_MARSHAL_H
#define ATHENA_CALC_ATHENA_MARSHAL_H

#include "athena/operation.h"
#include "aws/json.h"

/*
 * Throws 22004, naming the argument, where a required one is NULL; 22023 where max_results is below 1.
 */
extern void marshal_check_arguments(const AthenaOperation *operation,
									const NullableDatum *arguments);

/*
 * The request's JSON, in UTF-8. `work_group`, "" for none, stands in where no argument names one; `page_size`, where above 0, is sent as MaxResults; `next_token`, where not
 * empty, is a JSON string that goes back as it came. Throws 55000 without a work group, 22021 for text
 * that is not valid UTF-8, 22023 for tags that are no object of strings.
 */
extern char *marshal_request(const AthenaOperation *operation, const NullableDatum *arguments,
							 const char *work_group, int page_size, JsonValue next_token);

/* What is wrong with an answer: nothing while `sqlstate` is 0. `text` reads behind "the answer …". */
typedef struct MarshalProblem
{
	int sqlstate;
	const char *text;
} MarshalProblem;

/*
 * Reads a row's columns out of an object. What is absent or null becomes NULL, what is unknown is passed
 * over. False, with the problem, for what the protocol does not allow (08P01) and for a character that
 * the database's encoding lacks (22P05).
 */
extern bool marshal_row(const AthenaOperation *operation, const NullableDatum *arguments,
						JsonValue object, Datum *values, bool *nulls, MarshalProblem *problem);

/* Any JSON value as jsonb, by the same rules. May throw 22P05 for an escape that the encoding lacks. */
extern bool marshal_jsonb(JsonValue value, const char *member, Datum *datum,
						  MarshalProblem *problem);

#endif
