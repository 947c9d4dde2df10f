/*
 * profile_memory_test.c
 *		Shared files and commands when memory runs out, at every allocation there is; and no secret in
 *		what is given back.
 *
 * The allocator below stands in place of malloc and free as the tested code calls them (--wrap).
 */
#include "aws/profile.h"

#include <stdlib.h>

#include "tap.h"

#define SECRET "wJalrXUtnFEMI-EXAMPLE-SECRET"
#define LONG_SECRET SECRET SECRET SECRET SECRET SECRET SECRET SECRET SECRET SECRET SECRET
#define HEADER 16 /* in front of a block: its size */

extern void *__real_malloc(size_t size);
extern void __real_free(void *block);
extern void *__wrap_malloc(size_t size);
extern void __wrap_free(void *block);

static int allocations;     /* since the last reset */
static int refused_at = -1; /* the allocation that fails; all behind it succeed */
static int in_use;
static int leaks; /* freed blocks with the secret in them */

void *
__wrap_malloc(size_t size)
{
	char *block;

	if (allocations++ == refused_at)
		return NULL;
	block = __real_malloc(HEADER + size);
	if (block == NULL)
		abort();
	memcpy(block, &size, sizeof(size));
	memset(block + HEADER, 0xAA, size);
	in_use++;
	return block + HEADER;
}

void
__wrap_free(void *block)
{
	const size_t length = sizeof(SECRET) - 1;
	char *start = block;
	size_t size;

	if (block == NULL)
		return;
	memcpy(&size, start - HEADER, sizeof(size));
	for (size_t i = 0; i + length <= size; i++)
		leaks += memcmp(start + i, SECRET, length) == 0;
	in_use--;
	__real_free(start - HEADER);
}

/* What is tried: true where it succeeded, as it must with memory; *told where a failure was said. */
typedef bool (*Attempt)(bool *told);

/* A value of two lines, the second of which makes the buffer grow. */
static bool
attempt_find(bool *told)
{
	static const char text[] = "[x]\nk = " SECRET "\n  " LONG_SECRET "\n[DEFAULT]\nk = 1\n";
	static const char expected[] = SECRET "\n" LONG_SECRET;
	ByteBuffer value = {0};
	bool found = profile_find(PROFILE_CREDENTIALS_FILE, text, sizeof(text) - 1, "x", "k", &value);

	*told = found ? value.length == sizeof(expected) - 1 &&
						memcmp(value.data, expected, sizeof(expected)) == 0
				  : value.failed;
	buffer_free(&value);
	return found;
}

/* So many keys that what they are kept in grows. */
static bool
attempt_check(bool *told)
{
	static const char text[] = "[x]\na=" SECRET "\nb=1\nc=1\nd=1\ne=1\nf=1\ng=1\nh=1\ni=1\nj=1\n"
							   "k=1\nl=1\nm=1\nn=1\no=1\np=1\nq=1\nr=1\ns=1\nt=1\nu=1\nv=1\n";
	const char *problem = NULL;
	int line = -1;
	bool passed = profile_check(text, sizeof(text) - 1, &problem, &line);

	*told = line == 0 && (passed ? problem == NULL : strcmp(problem, "out of memory") == 0);
	return passed;
}

static bool
attempt_split(bool *told)
{
	static const char text[] = "get --secret '" SECRET "'";
	const char *problem = NULL;
	ProfileCommand command;
	bool split = profile_split_command(text, sizeof(text) - 1, &command, &problem);

	*told = split ? command.argc == 3 && strcmp(command.argv[2], SECRET) == 0
				  : command.argv == NULL && strcmp(problem, "out of memory") == 0;
	profile_command_free(&command);
	return split;
}

static void
test_attempt(const char *what, Attempt attempt, int least)
{
	bool all_told = true;
	bool told;
	int failures = 0;

	leaks = 0;
	for (;; failures++)
	{
		bool succeeded;

		allocations = 0;
		refused_at = failures;
		succeeded = attempt(&told);
		refused_at = -1;
		all_told = all_told && told;
		if (allocations <= failures)
		{
			all_told = all_told && succeeded;
			break;
		}
		all_told = all_told && !succeeded && attempt(&told) && told;
	}
	tap_ok(failures >= least, "%s was refused memory %d times", what, failures);
	tap_ok(all_told, "each time it said so, and went well the next time");
	tap_is_int(leaks, 0, "no released block holds the secret");
	tap_is_int(in_use, 0, "and none is left");
}

int
main(void)
{
	test_attempt("finding a value", attempt_find, 2);
	test_attempt("checking a file", attempt_check, 2);
	test_attempt("splitting a command", attempt_split, 1);
	return tap_finish();
}
