/*
 * timestamp.c
 *		Points in time as AWS writes them in text. See timestamp.h.
 */
#include "aws/timestamp.h"

/* Reads `digits` digits; -1 where there are fewer. */
static int
read_digits(const char **p, const char *end, int digits)
{
	int number = 0;

	if (end - *p < digits)
		return -1;
	for (; digits > 0; digits--, (*p)++)
	{
		if (**p < '0' || **p > '9')
			return -1;
		number = number * 10 + (**p - '0');
	}
	return number;
}

static bool
read_char(const char **p, const char *end, char upper)
{
	if (*p == end || (**p != upper && **p != (upper | 0x20)))
		return false;
	(*p)++;
	return true;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar: years counted from March, leap day last. */
static int64_t
days_since_epoch(int64_t year, int month, int day)
{
	int64_t years = month > 2 ? year : year - 1;
	int64_t era = (years >= 0 ? years : years - 399) / 400;
	int64_t year_of_era = years - era * 400;
	int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
		   719468;
}

static int
days_of_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return month == 2 && leap ? 29 : days[month - 1];
}

bool
timestamp_parse(const char *text, size_t length, int64_t *microseconds)
{
	const char *p = text;
	const char *end = text + length;
	int year;
	int month = -1;
	int day = -1;
	int hour = -1;
	int minute = -1;
	int second = -1;
	int64_t fraction = 0;
	int offset = 0;

	year = read_digits(&p, end, 4);
	if (year < 0 || !read_char(&p, end, '-') || (month = read_digits(&p, end, 2)) < 1 ||
		month > 12 || !read_char(&p, end, '-') || (day = read_digits(&p, end, 2)) < 1 ||
		day > days_of_month(year, month) || !(read_char(&p, end, 'T') || read_char(&p, end, ' ')) ||
		(hour = read_digits(&p, end, 2)) < 0 || hour > 23 || !read_char(&p, end, ':') ||
		(minute = read_digits(&p, end, 2)) < 0 || minute > 59 || !read_char(&p, end, ':') ||
		(second = read_digits(&p, end, 2)) < 0 || second > 60)
		return false;

	if (p < end && *p == '.')
	{
		int64_t unit = 100000;

		if (++p == end || *p < '0' || *p > '9')
			return false;
		for (bool rounded = false; p < end && *p >= '0' && *p <= '9'; p++)
		{
			if (unit == 0 && !rounded)
			{
				fraction += *p >= '5';
				rounded = true;
			}
			fraction += unit * (*p - '0');
			unit /= 10;
		}
	}

	if (!read_char(&p, end, 'Z'))
	{
		bool west = p < end && *p == '-';
		int hours;
		int minutes = 0;

		if (p == end || (*p != '+' && *p != '-'))
			return false;
		p++;
		hours = read_digits(&p, end, 2);
		if (hours < 0 || hours > 23)
			return false;
		if (read_char(&p, end, ':') || p < end)
			minutes = read_digits(&p, end, 2);
		if (minutes < 0 || minutes > 59)
			return false;
		offset = (hours * 60 + minutes) * (west ? -60 : 60);
	}
	if (p != end)
		return false;

	*microseconds =
		((days_since_epoch(year, month, day) * 24 + hour) * 3600 + minute * 60 + second - offset) *
			1000000 +
		fraction;
	return true;
}
