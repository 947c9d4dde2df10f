/*
 * calculation.h
 *		Calculations waited for: one, or many together.
 */
#ifndef ATHENA_CALC_ATHENA_CALCULATION_H
#define ATHENA_CALC_ATHENA_CALCULATION_H

#include "athena/poll.h"

/* How a calculation that is waited for stands. */
typedef struct WaitedCalculation
{
	NullableDatum id;
	AthenaRequest
		last; /* its last answer, in memory of its own; answered is false before the first */
	MemoryContext memory; /* of the last answer */
	const char *state;    /* of that, where it is no error; "" for none */
	const char *reported; /* the state last told of */
	bool ended;           /* or it is of no use to ask again */
} WaitedCalculation;

/* Makes ready to wait for these. */
extern WaitedCalculation *calculations_wait_for(const Datum *ids, int count);

/*
 * Asks once for all that have not ended, together. How many have not ended then. What is wrong with one stands in its
 * last answer; throws what concerns them all.
 */
extern int calculations_ask(Poll *poll, WaitedCalculation *calculations, int count);

/* Asks for one until it has ended, which `activity` shows; false where the time is up before. */
extern bool calculation_wait(Poll *poll, WaitedCalculation *calculation);

#endif
