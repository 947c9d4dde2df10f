/*
 * started.h
 *		What a statement has started at Athena and must not leave behind.
 *
 * However the statement ends early, a calculation is stopped and a session of its own terminated. A start whose answer is not
 * known is sent once more first, with its token: for that Athena gives the ID of what it has started.
 */
#ifndef ATHENA_CALC_ATHENA_STARTED_H
#define ATHENA_CALC_ATHENA_STARTED_H

#include "athena/execute.h"
#include "aws/errand.h"

typedef struct Started
{
	Errand errand; /* first */
	const AwsConfig *config;
	bool leaves; /* athena_calc.on_cancel, as it was in the beginning */

	/* Starts, and whether they were sent and have had no answer, or none that says that nothing was started. */
	const NullableDatum *calculation_start;
	const NullableDatum *session_start;
	bool calculation_sent;
	bool session_sent;

	char *calculation_id; /* that is to be stopped; NULL for none */
	char *session_id;     /* that is to be terminated; NULL for none */

	/* What is said to Athena in the end: the calculation's, and the session's. */
	AthenaRequest ends[2];
	NullableDatum end_arguments[2];
} Started;

/*
 * Takes it up: from now on it is an errand (errand.h), whose outcome is a sentence for each thing that was started. The caller
 * fills in config and zeroes the rest.
 */
extern void started_begin(Started *started);

#endif
