/*
 * catch.h
 *		Going on after an error.
 */
#ifndef ATHENA_CALC_AWS_CATCH_H
#define ATHENA_CALC_AWS_CATCH_H

#include "compat.h"

/*
 * Calls a function in a subtransaction. False when it threw, with the error, palloc'd in the current memory
 * context; the function's work in the database is undone then. A canceled query is not caught.
 */
extern bool catch_error(void (*function)(void *), void *argument, ErrorData **error);

#endif
