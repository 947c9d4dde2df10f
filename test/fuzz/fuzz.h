/*
 * fuzz.h
 *		What a fuzzing target has: its input, and what stands in for the server and for the network.
 *
 * A target is a file NAME_fuzz.c with one function, fuzz(). Within it memory contexts, ereport() and PG_TRY() work as in a
 * backend; an error that it lets out is the end of this input, and no finding. server.c stands in for PostgreSQL,
 * network.c for the HTTP engine: requests are answered by what fuzz_answers() was given.
 *
 * Findings are what the sanitizers say, a failed fuzz_require() or Assert(), an error that no user should see (XX000), a
 * message that is no UTF-8, and an input that takes too long or too much memory.
 */
#ifndef ATHENA_CALC_TEST_FUZZ_H
#define ATHENA_CALC_TEST_FUZZ_H

#include "compat.h"

/* Bytes of the input, or of a part of it. Not NUL-terminated. */
typedef struct FuzzInput
{
	const char *data;
	size_t length;
} FuzzInput;

/* The target's own: one input. What it allocates in the current context is freed behind it. */
extern void fuzz(FuzzInput input);

/*
 * Takes the part up to the next line "---", in a block of its own, so that what reads beyond it is seen. False where there
 * are no more.
 */
extern bool fuzz_next_part(FuzzInput *input, FuzzInput *part);

/* Takes the first byte, as a number; 0 where there is none. */
extern unsigned fuzz_next_number(FuzzInput *input);

/* The bytes up to the first NUL as a string. */
extern char *fuzz_string(FuzzInput part);

/* What must hold, whatever the input is. */
#define fuzz_require(condition)                          \
	do                                                   \
	{                                                    \
		if (!(condition))                                \
			fuzz_failed(#condition, __FILE__, __LINE__); \
	} while (0)
pg_noreturn extern void fuzz_failed(const char *what, const char *file, int line);

/* A function of the server's that only code calls which is linked, but never reached. */
#define FUZZ_UNREACHABLE(result, name, ...)               \
	result name(__VA_ARGS__)                              \
	{                                                     \
		fuzz_failed("called " #name, __FILE__, __LINE__); \
	}                                                     \
	extern result name(__VA_ARGS__)

/* Calls a function; whether it threw. */
extern bool fuzz_throws(void (*attempt)(void *argument), void *argument);

/*
 * The answers that requests get from now on, one part each: a line with the status, or with "!" and a digit for an
 * HttpOutcome; lines of headers; an empty line; the body. Who asks for more gets no connection.
 */
extern void fuzz_answers(FuzzInput answers);

/* What a program prints that process_run() runs. */
extern void fuzz_process_output(FuzzInput output);

/* The path of a file with these bytes; of the two that there may be at once, 0 or 1. */
extern const char *fuzz_file(int number, FuzzInput bytes);

#endif
