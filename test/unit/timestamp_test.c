/*
 * timestamp_test.c
 *		Points in time in text: RFC 3339 and what programs write for it, to the microsecond.
 */
#include "aws/timestamp.h"

#include <stdlib.h>

#include "tap.h"

/* Parses a copy of exactly the text's size, without a NUL behind it. */
static bool
parse(const char *text, size_t length, int64_t *microseconds)
{
	char *copy = malloc(length);
	bool valid;

	memcpy(copy, text, length);
	valid = timestamp_parse(copy, length, microseconds);
	free(copy);
	return valid;
}

static void
test_valid(void)
{
	static const struct
	{
		const char *text;
		int64_t microseconds;
	} cases[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"1970-01-01T00:00:01Z", 1000000},
		{"1969-12-31T23:59:59Z", -1000000},
		{"1969-12-31T23:59:59.5Z", -500000},
		{"0001-01-01T00:00:00Z", -62135596800000000},
		{"1900-02-28T23:59:59Z", -2203891201000000},
		{"2000-01-02T20:34:56Z", 946845296000000},
		{"2000-01-02T20:34:56.123Z", 946845296123000},
		{"2000-02-29T00:00:00Z", 951782400000000},
		{"2024-02-29T23:59:59Z", 1709251199000000},
		{"2038-01-19T03:14:08Z", 2147483648000000},
		{"2100-03-01T00:00:00Z", 4107542400000000},
		{"9999-12-31T23:59:59.999999Z", 253402300799999999},

		/* An offset says how far the clock on the wall was ahead. */
		{"2019-12-16T22:48:18-01:00", 1576540098000000},
		{"2019-12-17T00:48:18+01:00", 1576540098000000},
		{"2019-12-16T23:48:18+00:00", 1576540098000000},
		{"2019-12-16T23:48:18-00:00", 1576540098000000},
		{"2019-12-17T05:18:18+05:30", 1576540098000000},
		{"2019-12-16T20:18:18-03:30", 1576540098000000},
		{"2019-12-16T23:48:18.25+00:00", 1576540098250000},
		{"2019-12-17T00:48:18+0100", 1576540098000000},
		{"2019-12-17T05:18:18+0530", 1576540098000000},
		{"2019-12-17T00:48:18+01", 1576540098000000},

		/* A blank for the T, as Python prints a time. */
		{"2019-12-17 00:48:18+01:00", 1576540098000000},
		{"2019-12-16 23:48:18.25Z", 1576540098250000},

		/* Digits behind the microsecond are rounded, by the first of them alone. */
		{"1970-01-01T00:00:00.1Z", 100000},
		{"1970-01-01T00:00:00.000001Z", 1},
		{"1970-01-01T00:00:00.0000004Z", 0},
		{"1970-01-01T00:00:00.0000005Z", 1},
		{"1970-01-01T00:00:00.00000049999Z", 0},
		{"1970-01-01T00:00:00.123456789Z", 123457},
		{"1970-01-01T00:00:00.9999999Z", 1000000},
		{"1970-01-01T00:00:00.00000000000000000000000000000009Z", 0},

		/* RFC 3339 takes lower case; a leap second is the first of the next minute. */
		{"1970-01-01t00:00:00z", 0},
		{"2016-12-31T23:59:60Z", 1483228800000000},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		int64_t microseconds = 0;
		size_t length = strlen(cases[i].text);
		bool prefix_taken = false;

		if (tap_ok(parse(cases[i].text, length, &microseconds), "%s is a time", cases[i].text))
			tap_is_int(microseconds, cases[i].microseconds, "its microseconds");
		for (size_t shorter = 0; shorter < length; shorter++)
		{
			/* An offset may do without its minutes. */
			bool is_whole = shorter > 19 && strchr("+-", cases[i].text[shorter - 3]) != NULL;

			prefix_taken = prefix_taken || parse(cases[i].text, shorter, &microseconds) != is_whole;
		}
		tap_ok(!prefix_taken, "and none of its prefixes is one but at the hours of an offset");
	}
}

static void
test_refused(void)
{
	static const char *const cases[] = {
		"",
		"now",
		"1576540098",
		"2019-12-16",
		"2019-12-16T23:48:18",
		"2019-12-16  23:48:18Z",
		"2019-12-16_23:48:18Z",
		"2019-12-16T23:48Z",
		"2019-12-16T23:48:18.Z",
		"2019-12-16T23:48:18,5Z",
		"2019-12-16T23:48:18Z ",
		" 2019-12-16T23:48:18Z",
		"2019-12-16T23:48:18ZZ",
		"2019-12-16T23:48:18+1",
		"2019-12-16T23:48:18+01:",
		"2019-12-16T23:48:18+010",
		"2019-12-16T23:48:18+01000",
		"2019-12-16T23:48:18+0160",
		"2019-12-16T23:48:18+1:00",
		"2019-12-16T23:48:18+24:00",
		"2019-12-16T23:48:18+01:60",
		"2019-12-16T23:48:18+01:00Z",
		"2019-12-16T23:48:18 Z",
		"2019-00-16T23:48:18Z",
		"2019-13-16T23:48:18Z",
		"2019-12-00T23:48:18Z",
		"2019-12-32T23:48:18Z",
		"2019-11-31T23:48:18Z",
		"2019-02-29T23:48:18Z",
		"2100-02-29T23:48:18Z",
		"2019-12-16T24:00:00Z",
		"2019-12-16T23:60:18Z",
		"2019-12-16T23:48:61Z",
		"19-12-16T23:48:18Z",
		"02019-12-16T23:48:18Z",
		"-019-12-16T23:48:18Z",
		"2019-1-16T23:48:18Z",
		"2019/12/16T23:48:18Z",
		"2019-12-16T-3:48:18Z",
		"2019-12-16T23:48:1xZ",
		"20191216T234818Z",
		"Mon, 16 Dec 2019 23:48:18 GMT",
	};
	int64_t microseconds;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		tap_ok(!parse(cases[i], strlen(cases[i]), &microseconds), "\"%s\" is refused", cases[i]);
	tap_ok(!parse("2019-12-16T23:48:18Z\0", 21, &microseconds), "so is one with a NUL behind it");
}

int
main(void)
{
	test_valid();
	test_refused();
	return tap_finish();
}
