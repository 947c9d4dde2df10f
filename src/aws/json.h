/*
 * json.h
 *		A strict reader of JSON (RFC 8259) for answers that nobody vouches for, in plain C.
 *
 * json_check() looks at a document once, from end to end: grammar, UTF-8, nesting. Everything else
 * works on spans of a document that passed, copies nothing and allocates nothing. What JSON allows but a caller
 * may not hold (a NUL character, half a surrogate pair, a number too large) is found when that very
 * value is read, so a member that nobody asked for does no harm.
 */
#ifndef ATHENA_CALC_AWS_JSON_H
#define ATHENA_CALC_AWS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Deeper documents are refused; Athena's own are five levels deep. */
#define JSON_MAX_DEPTH 128

typedef enum JsonType
{
	JSON_ABSENT, /* of an empty span */
	JSON_NULL,
	JSON_BOOLEAN,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
} JsonType;

/* A value inside a checked document, without the white space around it. The document owns the bytes. */
typedef struct JsonValue
{
	const char *start;
	size_t length;
} JsonValue;

/* Where an iteration over an object or an array stands. */
typedef struct JsonCursor
{
	const char *next;
	const char *end;
} JsonCursor;

typedef enum JsonReading
{
	JSON_READ,
	JSON_WRONG_TYPE,
	JSON_HAS_NUL,       /* a string with \u0000 in it */
	JSON_HAS_SURROGATE, /* a string with half a surrogate pair in it */
	JSON_OUT_OF_RANGE
} JsonReading;

/*
 * Checks a document. True with its value in `value`; false with a few words on what is wrong in
 * `problem`, a constant string, and `value->start` at the token that is.
 */
extern bool json_check(const char *text, size_t length, JsonValue *value, const char **problem);

extern JsonType json_type(JsonValue value);

/* Starts an iteration; what is neither an object nor an array has no members. */
extern JsonCursor json_cursor(JsonValue container);

/* The next member of an object (`key` with its quotes, escapes unread) or element of an array. */
extern bool json_next_member(JsonCursor *cursor, JsonValue *key, JsonValue *value);
extern bool json_next_element(JsonCursor *cursor, JsonValue *value);

/* Whether a key, as json_next_member gives it, is `name`. */
extern bool json_key_is(JsonValue key, const char *name, size_t name_length);

/* The last member of that name, as most readers take it; an absent value where there is none. */
extern JsonValue json_member(JsonValue object, const char *name);

/*
 * Writes a string's characters as UTF-8 into `out`, which must have room for `value.length` bytes
 * (escapes only shrink), without a NUL at the end.
 */
extern JsonReading json_read_string(JsonValue value, char *out, size_t *length);

/*
 * Copies a value with the escapes of characters beyond ASCII read, as UTF-8, and everything else as it is.
 * `out` must have room for `value.length` bytes; how many it took. For what json_check_contents() passed.
 */
extern size_t json_read_escapes(JsonValue value, char *out);

/* Reads true or false. */
extern JsonReading json_read_boolean(JsonValue value, bool *out);

/*
 * Reads a number times ten to the power of `scale` as an integer, exactly: no double in between. What is
 * left behind the decimal point is rounded half away from zero where `round` is set, out of range where not.
 */
extern JsonReading json_read_scaled(JsonValue value, int scale, bool round, int64_t *out);

/*
 * Whether jsonb can hold all that is in a value: no NUL character and no half of a surrogate pair in a
 * string, no number beyond PostgreSQL's numeric.
 */
extern JsonReading json_check_contents(JsonValue value);

#endif
