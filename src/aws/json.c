/*
 * json.c
 *		A strict reader of JSON for answers that nobody vouches for. See json.h for the contract.
 */
#include "aws/json.h"

#include <string.h>

/* PostgreSQL's numeric has 131072 digits before the point and 16383 behind it. */
#define MAX_NUMERIC_DIGITS 10000
#define MAX_NUMERIC_EXPONENT_LENGTH 5 /* "e-999", "e9999": never beyond the above together */

static bool
is_json_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *
skip_space(const char *p, const char *end)
{
	while (p < end && is_json_space(*p))
		p++;
	return p;
}

static int
hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The four digits behind \u, or -1. */
static int
hex4(const char *p, const char *end)
{
	int code = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		int digit = hex_value(p[i]);

		if (digit < 0)
			return -1;
		code = code * 16 + digit;
	}
	return code;
}

/* The length of the UTF-8 sequence at `p`, 0 where it is none (RFC 3629: no overlong, no surrogate). */
static int
utf8_length(const unsigned char *p, const unsigned char *end)
{
	unsigned char first = p[0];
	unsigned char low = 0x80;
	unsigned char high = 0xBF;
	int length;

	if (first < 0x80)
		return 1;
	if (first < 0xC2 || first > 0xF4)
		return 0;
	length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
	if (end - p < length)
		return 0;
	if (first == 0xE0)
		low = 0xA0;
	else if (first == 0xED)
		high = 0x9F;
	else if (first == 0xF0)
		low = 0x90;
	else if (first == 0xF4)
		high = 0x8F;
	if (p[1] < low || p[1] > high)
		return 0;
	for (int i = 2; i < length; i++)
	{
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	}
	return length;
}

/*
 * How many of eight bytes, from the first on, are ASCII that stands for itself in a string: no control character, no
 * quote, no backslash. Each test leaves the high bit of a byte that fails it; a borrow may spoil what is above that byte, which
 * is behind it only where the lowest byte comes first.
 */
static int
plain_bytes(const char *p)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	const uint64_t high = ones * 0x80;
	uint64_t word;
	uint64_t quote;
	uint64_t backslash;
	uint64_t others;

	memcpy(&word, p, sizeof(word));
	quote = word ^ ones * '"';
	backslash = word ^ ones * '\\';
	others = ((word - ones * 0x20) | (quote - ones) | (backslash - ones) | word) & high;
	if (others == 0)
		return 8;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return __builtin_ctzll(others) / 8;
#else
	return 0;
#endif
}

/* Past the string that starts at `p`, or NULL with the problem. */
static const char *
check_string(const char *p, const char *end, const char **problem)
{
	for (p++; p < end;)
	{
		unsigned char c;

		if (end - p >= 8)
		{
			int plain = plain_bytes(p);

			p += plain;
			if (plain == 8)
				continue;
		}
		c = (unsigned char) *p;
		if (c == '"')
			return p + 1;
		if (c == '\\')
		{
			if (end - p < 2)
				break;
			if (p[1] == 'u')
			{
				if (hex4(p + 2, end) < 0)
				{
					*problem = "an escape is malformed";
					return NULL;
				}
				p += 6;
			}
			else if (strchr("\"\\/bfnrt", p[1]) != NULL && p[1] != '\0')
				p += 2;
			else
			{
				*problem = "an escape is malformed";
				return NULL;
			}
		}
		else if (c < 0x20)
		{
			*problem = "a string holds a control character";
			return NULL;
		}
		else if (c < 0x80)
			p++;
		else
		{
			int length = utf8_length((const unsigned char *) p, (const unsigned char *) end);

			if (length == 0)
			{
				*problem = "a string is not valid UTF-8";
				return NULL;
			}
			p += length;
		}
	}
	*problem = "it ends in the middle of a string";
	return NULL;
}

static const char *
check_number(const char *p, const char *end, const char **problem)
{
	*problem = "a number is malformed";
	if (p < end && *p == '-')
		p++;
	if (p == end || !is_digit(*p))
		return NULL;
	if (*p == '0')
		p++;
	else
		while (p < end && is_digit(*p))
			p++;
	if (p < end && *p == '.')
	{
		p++;
		if (p == end || !is_digit(*p))
			return NULL;
		while (p < end && is_digit(*p))
			p++;
	}
	if (p < end && (*p == 'e' || *p == 'E'))
	{
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		if (p == end || !is_digit(*p))
			return NULL;
		while (p < end && is_digit(*p))
			p++;
	}
	return p;
}

static const char *
check_word(const char *p, const char *end, const char **problem)
{
	static const char *const words[] = {"null", "true", "false"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		size_t length = strlen(words[i]);

		if ((size_t) (end - p) >= length && memcmp(p, words[i], length) == 0)
			return p + length;
	}
	*problem = "there is something that is no JSON value";
	return NULL;
}

/*
 * One loop and an array of what is open, in place of recursion: the depth of the stack must not be the
 * sender's to choose.
 */
bool
json_check(const char *text, size_t length, JsonValue *value, const char **problem)
{
	bool in_object[JSON_MAX_DEPTH];
	int depth = 0;
	const char *end = text + length;
	const char *start = skip_space(text, end);
	const char *p = start;
	bool opened = false; /* directly behind a '[' or '{', where the container may close */

	value->start = start;
	if (p == end)
	{
		*problem = "it is empty";
		return false;
	}
	for (;;)
	{
		/* A key first, in an object. */
		value->start = p = skip_space(p, end);
		if (depth > 0 && in_object[depth - 1] && !(opened && p < end && *p == '}'))
		{
			if (p == end || *p != '"')
			{
				*problem = p == end ? "it ends in the middle of an object" : "a key is missing";
				return false;
			}
			p = check_string(p, end, problem);
			if (p == NULL)
				return false;
			value->start = p = skip_space(p, end);
			if (p == end || *p != ':')
			{
				*problem = p == end ? "it ends in the middle of an object" : "a colon is missing";
				return false;
			}
			value->start = p = skip_space(p + 1, end);
			opened = false;
		}

		/* A value, or the end of a container that is empty. */
		if (p == end)
		{
			*problem = "it ends where a value is due";
			return false;
		}
		if (*p == '{' || *p == '[')
		{
			if (depth == JSON_MAX_DEPTH)
			{
				*problem = "it is nested too deeply";
				return false;
			}
			in_object[depth++] = *p++ == '{';
			opened = true;
			continue;
		}
		if (!(opened && depth > 0 && *p == (in_object[depth - 1] ? '}' : ']')))
		{
			if (*p == '"')
				p = check_string(p, end, problem);
			else if (*p == '-' || is_digit(*p))
				p = check_number(p, end, problem);
			else
				p = check_word(p, end, problem);
			if (p == NULL)
				return false;
		}
		opened = false;

		/* What follows a value: the ends of containers, then a comma or the end of it all. */
		for (;;)
		{
			const char *value_end = p;

			value->start = p = skip_space(p, end);
			if (depth == 0)
			{
				if (p != end)
				{
					*problem = "something follows the value";
					return false;
				}
				value->start = start;
				value->length = (size_t) (value_end - start);
				return true;
			}
			if (p == end)
			{
				*problem = "it ends in the middle of an object or array";
				return false;
			}
			if (*p == (in_object[depth - 1] ? '}' : ']'))
			{
				depth--;
				p++;
			}
			else if (*p == ',')
			{
				p++;
				break;
			}
			else
			{
				*problem = "a comma is missing";
				return false;
			}
		}
	}
}

JsonType
json_type(JsonValue value)
{
	if (value.length == 0)
		return JSON_ABSENT;
	switch (value.start[0])
	{
		case 'n':
			return JSON_NULL;
		case 't':
		case 'f':
			return JSON_BOOLEAN;
		case '"':
			return JSON_STRING;
		case '[':
			return JSON_ARRAY;
		case '{':
			return JSON_OBJECT;
		default:
			return JSON_NUMBER;
	}
}

/* Past the string at `p` of a checked document: past the first quote that no backslash escapes. */
static const char *
skip_string(const char *p, const char *end)
{
	const char *start = p + 1;
	const char *quote;

	for (p = start; (quote = memchr(p, '"', (size_t) (end - p))) != NULL; p = quote + 1)
	{
		const char *backslash = quote;

		while (backslash > start && backslash[-1] == '\\')
			backslash--;
		if ((quote - backslash) % 2 == 0)
			return quote + 1;
	}
	return end;
}

/* Past the value at `p` of a checked document, up to `end` at the most. */
static const char *
skip_value(const char *p, const char *end)
{
	int depth = 0;

	while (p < end)
	{
		if (*p == '"')
			p = skip_string(p, end);
		else if (*p == '{' || *p == '[')
		{
			depth++;
			p++;
			continue;
		}
		else if (*p == '}' || *p == ']')
		{
			depth--;
			p++;
		}
		else if (depth > 0)
		{
			p++;
			continue;
		}
		else
		{
			while (p < end && *p != ',' && *p != '}' && *p != ']' && !is_json_space(*p))
				p++;
		}
		if (depth == 0)
			break;
	}
	return p;
}

JsonCursor
json_cursor(JsonValue container)
{
	JsonCursor cursor = {NULL, NULL};
	JsonType type = json_type(container);

	if (type == JSON_OBJECT || type == JSON_ARRAY)
	{
		cursor.end = container.start + container.length - 1;
		cursor.next = skip_space(container.start + 1, cursor.end);
	}
	return cursor;
}

bool
json_next_element(JsonCursor *cursor, JsonValue *value)
{
	const char *p = cursor->next;

	if (p == cursor->end)
		return false;
	value->start = p;
	p = skip_value(p, cursor->end);
	value->length = (size_t) (p - value->start);
	p = skip_space(p, cursor->end);
	if (p < cursor->end)
		p = skip_space(p + 1, cursor->end); /* past the comma */
	cursor->next = p;
	return true;
}

bool
json_next_member(JsonCursor *cursor, JsonValue *key, JsonValue *value)
{
	const char *p = cursor->next;

	if (p == cursor->end)
		return false;
	key->start = p;
	p = skip_string(p, cursor->end);
	key->length = (size_t) (p - key->start);
	p = skip_space(p, cursor->end);
	cursor->next = skip_space(p + 1, cursor->end); /* past the colon */
	return json_next_element(cursor, value);
}

bool
json_key_is(JsonValue key, const char *name, size_t name_length)
{
	char unescaped[6 * 64 + 2]; /* a name of 64 characters, each of them an escape, in quotes */
	size_t length;

	if (key.length == name_length + 2 && memcmp(key.start + 1, name, name_length) == 0)
		return true;

	/* A key may be spelled with escapes; then it is longer than what it says. */
	if (key.length <= name_length + 2 || key.length > sizeof(unescaped) ||
		memchr(key.start, '\\', key.length) == NULL)
		return false;
	return json_read_string(key, unescaped, &length) == JSON_READ && length == name_length &&
		   memcmp(unescaped, name, length) == 0;
}

JsonValue
json_member(JsonValue object, const char *name)
{
	JsonValue found = {NULL, 0};
	JsonValue key;
	JsonValue value;
	JsonCursor cursor = json_cursor(object);
	size_t name_length = strlen(name);

	if (json_type(object) != JSON_OBJECT)
		return found;
	while (json_next_member(&cursor, &key, &value))
	{
		if (json_key_is(key, name, name_length))
			found = value;
	}
	return found;
}

static char *
put_utf8(char *out, unsigned int code)
{
	if (code < 0x80)
		*out++ = (char) code;
	else if (code < 0x800)
	{
		*out++ = (char) (0xC0 | (code >> 6));
		*out++ = (char) (0x80 | (code & 0x3F));
	}
	else if (code < 0x10000)
	{
		*out++ = (char) (0xE0 | (code >> 12));
		*out++ = (char) (0x80 | ((code >> 6) & 0x3F));
		*out++ = (char) (0x80 | (code & 0x3F));
	}
	else
	{
		*out++ = (char) (0xF0 | (code >> 18));
		*out++ = (char) (0x80 | ((code >> 12) & 0x3F));
		*out++ = (char) (0x80 | ((code >> 6) & 0x3F));
		*out++ = (char) (0x80 | (code & 0x3F));
	}
	return out;
}

/*
 * Whether the escapes of a string are characters that text can hold: json_check() has seen that they
 * are well-formed, not what they stand for.
 */
static JsonReading
check_escapes(const char *p, const char *end)
{
	while ((p = memchr(p, '\\', (size_t) (end - p))) != NULL)
	{
		int code = p[1] == 'u' ? hex4(p + 2, end) : -1;

		p += p[1] == 'u' ? 6 : 2;
		if (code == 0)
			return JSON_HAS_NUL;
		if (code >= 0xD800 && code <= 0xDBFF)
		{
			int low = end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? hex4(p + 2, end) : -1;

			if (low < 0xDC00 || low > 0xDFFF)
				return JSON_HAS_SURROGATE;
			p += 6;
		}
		else if (code >= 0xDC00 && code <= 0xDFFF)
			return JSON_HAS_SURROGATE;
	}
	return JSON_READ;
}

/* Writes the character of the escape at `*p`, one that check_escapes() has passed, and steps over it. */
static char *
put_escape(char *out, const char **p, const char *end)
{
	char letter = (*p)[1];
	unsigned int code;

	*p += 2;
	switch (letter)
	{
		case 'b':
			*out++ = '\b';
			return out;
		case 'f':
			*out++ = '\f';
			return out;
		case 'n':
			*out++ = '\n';
			return out;
		case 'r':
			*out++ = '\r';
			return out;
		case 't':
			*out++ = '\t';
			return out;
		case 'u':
			code = (unsigned int) hex4(*p, end);
			*p += 4;
			if (code >= 0xD800 && code <= 0xDBFF)
			{
				unsigned int low = (unsigned int) hex4(*p + 2, end);

				code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
				*p += 6;
			}
			return put_utf8(out, code);
		default: /* a quote, a backslash or a slash stands for itself */
			*out++ = letter;
			return out;
	}
}

/* Copies what stands in front of the next escape, or up to the end, and steps over it. */
static char *
put_plain(char *out, const char **p, const char *end)
{
	const char *escape = memchr(*p, '\\', (size_t) (end - *p));
	size_t length = (size_t) ((escape != NULL ? escape : end) - *p);

	memcpy(out, *p, length);
	*p += length;
	return out + length;
}

JsonReading
json_read_string(JsonValue value, char *out, size_t *length)
{
	const char *p;
	const char *end;
	char *start = out;
	JsonReading reading;

	if (json_type(value) != JSON_STRING)
		return JSON_WRONG_TYPE;
	p = value.start + 1;
	end = value.start + value.length - 1;
	if (memchr(p, '\\', (size_t) (end - p)) == NULL)
	{
		*length = (size_t) (end - p);
		memcpy(out, p, *length);
		return JSON_READ;
	}
	reading = check_escapes(p, end);
	if (reading != JSON_READ)
		return reading;
	while (p < end)
	{
		out = put_plain(out, &p, end);
		if (p < end)
			out = put_escape(out, &p, end);
	}
	*length = (size_t) (out - start);
	return JSON_READ;
}

size_t
json_read_escapes(JsonValue value, char *out)
{
	const char *p = value.start;
	const char *end = value.start + value.length;
	char *start = out;

	/* Outside of strings there are no backslashes. */
	while (p < end)
	{
		out = put_plain(out, &p, end);
		if (p == end)
			break;
		if (p[1] == 'u' && hex4(p + 2, end) >= 0x80)
			out = put_escape(out, &p, end);
		else
		{
			*out++ = *p++;
			*out++ = *p++;
		}
	}
	return (size_t) (out - start);
}

/* Whether a number's digits and exponent are few enough for PostgreSQL's numeric. */
static bool
number_is_moderate(const char *p, const char *end)
{
	const char *exponent = p;

	while (exponent < end && *exponent != 'e' && *exponent != 'E')
		exponent++;
	return exponent - p <= MAX_NUMERIC_DIGITS && end - exponent <= MAX_NUMERIC_EXPONENT_LENGTH;
}

JsonReading
json_check_contents(JsonValue value)
{
	const char *p = value.start;
	const char *end = value.start + value.length;

	while (p < end)
	{
		const char *start = p;

		if (*p == '"')
		{
			JsonReading reading;

			p = skip_string(p, end);
			reading = check_escapes(start + 1, p - 1);
			if (reading != JSON_READ)
				return reading;
		}
		else if (*p == '-' || is_digit(*p))
		{
			while (p < end && *p != ',' && *p != '}' && *p != ']' && !is_json_space(*p))
				p++;
			if (!number_is_moderate(start, p))
				return JSON_OUT_OF_RANGE;
		}
		else
			p++;
	}
	return JSON_READ;
}

JsonReading
json_read_boolean(JsonValue value, bool *out)
{
	if (json_type(value) != JSON_BOOLEAN)
		return JSON_WRONG_TYPE;
	*out = value.start[0] == 't';
	return JSON_READ;
}

JsonReading
json_read_scaled(JsonValue value, int scale, bool round, int64_t *out)
{
	const char *p;
	const char *end;
	const char *digits;
	const char *exponent_at;
	bool negative = false;
	int64_t exponent = 0; /* of ten, for the digits taken as one integer */
	uint64_t result = 0;
	uint64_t limit = INT64_MAX;
	int64_t kept;         /* how many of the digits count */
	int64_t count = 0;    /* how many digits there are */
	int64_t fraction = 0; /* how many of them stand behind the point */
	int64_t seen = 0;
	bool lost = false;

	if (json_type(value) != JSON_NUMBER)
		return JSON_WRONG_TYPE;
	p = value.start;
	end = value.start + value.length;
	if (*p == '-')
	{
		negative = true;
		limit++;
		p++;
	}
	digits = p;
	for (; p < end && *p != 'e' && *p != 'E'; p++)
	{
		if (*p == '.')
			fraction = 1;
		else
		{
			count++;
			if (fraction > 0)
				fraction++;
		}
	}
	if (fraction > 0)
		fraction--;
	exponent_at = p;
	if (p < end)
	{
		bool minus = *++p == '-';

		if (*p == '-' || *p == '+')
			p++;
		for (; p < end; p++)
		{
			if (exponent < INT32_MAX)
				exponent = exponent * 10 + (*p - '0');
		}
		if (minus)
			exponent = -exponent;
	}
	kept = count - fraction + exponent + scale;

	for (p = digits; p < exponent_at; p++)
	{
		unsigned int digit = (unsigned int) (*p - '0');

		if (*p == '.')
			continue;
		if (seen < kept)
		{
			if (result > (limit - digit) / 10)
				return JSON_OUT_OF_RANGE;
			result = result * 10 + digit;
		}
		else
		{
			if (digit != 0)
				lost = true;
			if (seen == kept && round && digit >= 5)
			{
				if (result == limit)
					return JSON_OUT_OF_RANGE;
				result++;
			}
		}
		seen++;
	}
	if (lost && !round)
		return JSON_OUT_OF_RANGE;
	for (; result != 0 && seen < kept; seen++)
	{
		if (result > limit / 10)
			return JSON_OUT_OF_RANGE;
		result *= 10;
	}
	*out = negative ? (int64_t) (0 - result) : (int64_t) result;
	return JSON_READ;
}
