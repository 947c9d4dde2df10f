/*
 * tap.h
 *		The Test Anything Protocol for one program: numbered results and the plan, on standard output.
 *
 * A program calls the checks one after another and returns tap_finish() from main. Names are printf
 * formats; bytes that could be taken for a part of the protocol are escaped. Every check returns
 * whether it held, so that a program can leave out what depends on it.
 */
#ifndef ATHENA_CALC_TEST_TAP_H
#define ATHENA_CALC_TEST_TAP_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int tap_count;
static int tap_failures;

/* Printable ASCII as it is, '#' (which begins a directive) and the rest escaped. */
static inline void
tap_print_escaped(const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) bytes[i];

		if (c == '#' || c == '\\')
			printf("\\%c", c);
		else if (c == '\n')
			printf("\\n");
		else if (c < 0x20 || c >= 0x7F)
			printf("\\x%02X", c);
		else
			putchar(c);
	}
}

__attribute__((format(printf, 4, 0))) static inline bool
tap_report(bool held, const char *file, int line, const char *format, va_list arguments)
{
	char name[512];

	vsnprintf(name, sizeof(name), format, arguments);
	printf("%s %d - ", held ? "ok" : "not ok", ++tap_count);
	tap_print_escaped(name, strlen(name));
	putchar('\n');
	if (!held)
	{
		tap_failures++;
		printf("# failed at %s:%d\n", file, line);
	}
	fflush(stdout); /* what was said must not be lost when a later check crashes */
	return held;
}

static inline void
tap_print_bytes(const char *label, const char *bytes, size_t length)
{
	printf("# %s: ", label);
	if (bytes == NULL)
		printf("(none)");
	else
		tap_print_escaped(bytes, length);
	putchar('\n');
}

__attribute__((format(printf, 4, 5))) static inline bool
tap_ok_at(bool held, const char *file, int line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tap_report(held, file, line, format, arguments);
	va_end(arguments);
	return held;
}

__attribute__((format(printf, 7, 8))) static inline bool
tap_is_bytes_at(const char *got, size_t got_length, const char *expected, size_t expected_length,
				const char *file, int line, const char *format, ...)
{
	va_list arguments;
	bool held = got == NULL || expected == NULL
					? got == expected
					: got_length == expected_length && memcmp(got, expected, got_length) == 0;

	va_start(arguments, format);
	tap_report(held, file, line, format, arguments);
	va_end(arguments);
	if (!held)
	{
		tap_print_bytes("     got", got, got_length);
		tap_print_bytes("expected", expected, expected_length);
	}
	return held;
}

__attribute__((format(printf, 5, 6))) static inline bool
tap_is_int_at(int64_t got, int64_t expected, const char *file, int line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tap_report(got == expected, file, line, format, arguments);
	va_end(arguments);
	if (got != expected)
		printf("#      got: %" PRId64 "\n# expected: %" PRId64 "\n", got, expected);
	return got == expected;
}

static inline size_t
tap_length(const char *string)
{
	return string != NULL ? strlen(string) : 0;
}

/* tap_ok(condition, name ...) */
#define tap_ok(held, ...) tap_ok_at((held), __FILE__, __LINE__, __VA_ARGS__)

/* tap_is_bytes(got, got_length, expected, expected_length, name ...) */
#define tap_is_bytes(got, got_length, expected, expected_length, ...)                       \
	tap_is_bytes_at((got), (got_length), (expected), (expected_length), __FILE__, __LINE__, \
					__VA_ARGS__)

/* tap_is_string(got, expected, name ...); each argument is evaluated twice */
#define tap_is_string(got, expected, ...) \
	tap_is_bytes((got), tap_length(got), (expected), tap_length(expected), __VA_ARGS__)

/* tap_is_int(got, expected, name ...) */
#define tap_is_int(got, expected, ...) \
	tap_is_int_at((got), (expected), __FILE__, __LINE__, __VA_ARGS__)

/* One result that stands for all that cannot be run here. */
static inline void
tap_skip(const char *reason)
{
	printf("ok %d # SKIP %s\n", ++tap_count, reason);
}

/* The plan, and the program's exit status. */
static inline int
tap_finish(void)
{
	printf("1..%d\n", tap_count);
	return tap_failures == 0 ? 0 : 1;
}

#endif
