/*
 * json_test.c
 *		A strict reader of JSON: what is refused, what is taken, and what is read from it.
 *
 * Every document is handed over in malloc'ed memory of exactly its size, without a NUL behind it, and
 * every string is read into memory of exactly the size that json.h asks for: with AddressSanitizer a
 * step too far, in either, is an error.
 */
#include "aws/json.h"

#include <stdlib.h>
#include <time.h>

#include "tap.h"

/* A literal's bytes, NULs inside it included. */
#define BYTES(literal) (literal), (sizeof(literal) - 1)

typedef struct Document
{
	char *text;
	JsonValue value;
	const char *problem;
	bool valid;
} Document;

static Document
document_open(const char *bytes, size_t length)
{
	Document document = {malloc(length), {NULL, 0}, NULL, false};

	if (length > 0)
		memcpy(document.text, bytes, length);
	document.valid = json_check(document.text, length, &document.value, &document.problem);
	return document;
}

static Document
document_open_string(const char *text)
{
	return document_open(text, strlen(text));
}

static void
document_close(Document *document)
{
	free(document->text);
}

/* Reads everything there is below a value, so that a sanitizer sees all of it; returns how many values. */
static int
read_all(JsonValue value)
{
	JsonCursor cursor = json_cursor(value);
	JsonValue key;
	JsonValue member;
	int64_t number;
	bool boolean;
	int count = 1;

	json_check_contents(value);
	switch (json_type(value))
	{
		case JSON_STRING:
		{
			char *string = malloc(value.length);
			size_t length;

			if (json_read_string(value, string, &length) == JSON_READ && length > value.length - 2)
				abort();
			free(string);
			break;
		}
		case JSON_NUMBER:
			json_read_scaled(value, 0, false, &number);
			json_read_scaled(value, 6, true, &number);
			break;
		case JSON_BOOLEAN:
			json_read_boolean(value, &boolean);
			break;
		case JSON_ARRAY:
			while (json_next_element(&cursor, &member))
				count += read_all(member);
			break;
		case JSON_OBJECT:
			while (json_next_member(&cursor, &key, &member))
			{
				json_key_is(key, "name", 4);
				count += read_all(key) + read_all(member);
			}
			break;
		case JSON_NULL:
		case JSON_ABSENT:
			break;
	}
	return count;
}

static void
test_valid(void)
{
	static const struct
	{
		const char *text;
		JsonType type;
		const char *value; /* the span without white space; NULL: the whole text */
	} cases[] = {
		{"{}", JSON_OBJECT, NULL},
		{"[]", JSON_ARRAY, NULL},
		{"\"\"", JSON_STRING, NULL},
		{"null", JSON_NULL, NULL},
		{"true", JSON_BOOLEAN, NULL},
		{"false", JSON_BOOLEAN, NULL},
		{" \t\r\n{ \t\r\n} \t\r\n", JSON_OBJECT, "{ \t\r\n}"},
		{" null ", JSON_NULL, "null"},
		{"\n7\n", JSON_NUMBER, "7"},
		{"[ ]", JSON_ARRAY, NULL},
		{"[[]]", JSON_ARRAY, NULL},
		{"[{}]", JSON_ARRAY, NULL},
		{"[[],{},[{}]]", JSON_ARRAY, NULL},
		{"{\"\":0}", JSON_OBJECT, NULL},
		{"{\"a\":{}}", JSON_OBJECT, NULL},
		{"{\"a\":[]}", JSON_OBJECT, NULL},
		{"{\"a\" : 1 , \"b\" : [ 1 , 2 ] }", JSON_OBJECT, NULL},
		{"{\"a\":1,\"a\":2}", JSON_OBJECT, NULL},
		{"[null,true,false,0,\"\"]", JSON_ARRAY, NULL},
		{"0", JSON_NUMBER, NULL},
		{"-0", JSON_NUMBER, NULL},
		{"10", JSON_NUMBER, NULL},
		{"-1234567890", JSON_NUMBER, NULL},
		{"0.0", JSON_NUMBER, NULL},
		{"0.00100", JSON_NUMBER, NULL},
		{"1e1", JSON_NUMBER, NULL},
		{"1E1", JSON_NUMBER, NULL},
		{"1e+1", JSON_NUMBER, NULL},
		{"1e-1", JSON_NUMBER, NULL},
		{"1e01", JSON_NUMBER, NULL},
		{"0e0", JSON_NUMBER, NULL},
		{"-0.0e-0", JSON_NUMBER, NULL},
		{"1.5E+300", JSON_NUMBER, NULL},
		{"1e999999999999999999999", JSON_NUMBER, NULL},
		{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", JSON_STRING, NULL},
		{"\"\\u0000\\uD800\\udc00\\uFFFF\\uabCD\"", JSON_STRING, NULL},
		{"\"\x7F\"", JSON_STRING, NULL},
		{"\"}]\"", JSON_STRING, NULL},
		{"\" \"", JSON_STRING, NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Document document = document_open_string(cases[i].text);
		const char *value = cases[i].value != NULL ? cases[i].value : cases[i].text;

		if (tap_ok(document.valid, "%s is valid", cases[i].text))
		{
			tap_is_int(json_type(document.value), cases[i].type, "and of its type");
			tap_is_bytes(document.value.start, document.value.length, value, strlen(value),
						 "with the value's own bytes");
			read_all(document.value);
		}
		document_close(&document);
	}
}

static void
test_invalid(void)
{
	static const struct
	{
		const char *text;
		size_t length;
	} cases[] = {
		{BYTES("")},
		{BYTES(" ")},
		{BYTES("\n\t\r ")},
		/* The byte order mark is no white space. */
		{BYTES("\xEF\xBB\xBF{}")},
		{BYTES("\xFE\xFF")},
		{BYTES("\0")},
		{BYTES("{}\0")},
		{BYTES("\v{}")},
		{BYTES("\f{}")},
		{BYTES("\xC2\xA0{}")},

		/* Objects */
		{BYTES("{")},
		{BYTES("{ ")},
		{BYTES("}")},
		{BYTES("{]")},
		{BYTES("{,}")},
		{BYTES("{\"a\"}")},
		{BYTES("{\"a\":}")},
		{BYTES("{\"a\": }")},
		{BYTES("{\"a\":")},
		{BYTES("{\"a\"")},
		{BYTES("{\"a\" ")},
		{BYTES("{\"a\":1")},
		{BYTES("{\"a\":1,")},
		{BYTES("{\"a\":1,}")},
		{BYTES("{\"a\":1,,\"b\":2}")},
		{BYTES("{,\"a\":1}")},
		{BYTES("{\"a\"::1}")},
		{BYTES("{\"a\",1}")},
		{BYTES("{\"a\" 1}")},
		{BYTES("{\"a\":1 \"b\":2}")},
		{BYTES("{\"a\":1]")},
		{BYTES("{\"a\":1}}")},
		{BYTES("{\"a\":1},")},
		{BYTES("{\"a\":,\"b\":1}")},
		{BYTES("{:1}")},
		{BYTES("{a:1}")},
		{BYTES("{'a':1}")},
		{BYTES("{1:1}")},
		{BYTES("{null:1}")},
		{BYTES("{[]:1}")},
		{BYTES("{{}:1}")},
		{BYTES("{{}}")},
		{BYTES("{[]}")},
		{BYTES("{\"a\":{}")},
		{BYTES("{}{}")},
		{BYTES("{} {}")},

		/* Arrays */
		{BYTES("[")},
		{BYTES("[ ")},
		{BYTES("]")},
		{BYTES("[}")},
		{BYTES("[,]")},
		{BYTES("[1")},
		{BYTES("[1,")},
		{BYTES("[1,]")},
		{BYTES("[1 ,]")},
		{BYTES("[,1]")},
		{BYTES("[1,,2]")},
		{BYTES("[1 2]")},
		{BYTES("[1:2]")},
		{BYTES("[\"a\":1]")},
		{BYTES("[1}")},
		{BYTES("[1]]")},
		{BYTES("[[1]")},
		{BYTES("[[1,]]")},
		{BYTES("[[1],]")},
		{BYTES("[{}")},
		{BYTES("[{]}")},
		{BYTES("[][]")},
		{BYTES("[]1")},

		/* Words */
		{BYTES("n")},
		{BYTES("nul")},
		{BYTES("nulll")},
		{BYTES("Null")},
		{BYTES("NULL")},
		{BYTES("tru")},
		{BYTES("truee")},
		{BYTES("True")},
		{BYTES("fals")},
		{BYTES("falsE")},
		{BYTES("nulltrue")},
		{BYTES("[nullnull]")},
		{BYTES("[tru]")},
		{BYTES("undefined")},
		{BYTES("NaN")},
		{BYTES("Infinity")},
		{BYTES("-Infinity")},
		{BYTES("x")},

		/* Numbers */
		{BYTES("-")},
		{BYTES("+1")},
		{BYTES("--1")},
		{BYTES("-a")},
		{BYTES("01")},
		{BYTES("-01")},
		{BYTES("00")},
		{BYTES("00.5")},
		{BYTES(".5")},
		{BYTES("-.5")},
		{BYTES("1.")},
		{BYTES("[1.]")},
		{BYTES("-1.")},
		{BYTES("1.e1")},
		{BYTES("1.x")},
		{BYTES("1..2")},
		{BYTES("1.2.3")},
		{BYTES("1e")},
		{BYTES("1E")},
		{BYTES("1e+")},
		{BYTES("1e-")},
		{BYTES("[1e]")},
		{BYTES("1e+-1")},
		{BYTES("1e1.5")},
		{BYTES("1e1e1")},
		{BYTES("0x10")},
		{BYTES("1_000")},
		{BYTES("1,000")},
		{BYTES("1 000")},
		{BYTES("1a")},
		{BYTES("1-")},
		{BYTES("- 1")},
		{BYTES("1e 1")},
		{BYTES("1\0")},

		/* Strings */
		{BYTES("\"")},
		{BYTES("\"a")},
		{BYTES("'a'")},
		{BYTES("\"a\"b")},
		{BYTES("\"a\"\"b\"")},
		{BYTES("\"\\")},
		{BYTES("\"\\\"")},
		{BYTES("\"\\a\"")},
		{BYTES("\"\\'\"")},
		{BYTES("\"\\0\"")},
		{BYTES("\"\\x41\"")},
		{BYTES("\"\\U0041\"")},
		{BYTES("\"\\ \"")},
		{BYTES("\"\\\n\"")},
		{BYTES("\"\\\0\"")},
		{BYTES("\"\\\xC3\xA4\"")},
		{BYTES("\"\\u\"")},
		{BYTES("\"\\u0\"")},
		{BYTES("\"\\u00\"")},
		{BYTES("\"\\u004\"")},
		{BYTES("\"\\u004")},
		{BYTES("\"\\u0041")},
		{BYTES("\"\\u004g\"")},
		{BYTES("\"\\u-041\"")},
		{BYTES("\"\\u+041\"")},
		{BYTES("\"\\u 041\"")},
		{BYTES("\"\\u00 1\"")},
		{BYTES("\"\\u0x41\"")},
		{BYTES("\"\\u{41}\"")},
		{BYTES("\"\\uD800\\u\"")},
		{BYTES("{\"a\\u00\":1}")},
		{BYTES("{\"a\n\":1}")},

		/* Comments are an extension that this reader does not have. */
		{BYTES("/**/{}")},
		{BYTES("{}//")},
		{BYTES("[1/**/]")},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Document document = document_open(cases[i].text, cases[i].length);

		/* The %s ends at a NUL; the number tells those cases apart. */
		tap_ok(!document.valid && document.problem != NULL && document.problem[0] != '\0',
			   "case %zu, %s, is refused with a reason", i, cases[i].text);
		document_close(&document);
	}
}

/* Where a document is wrong: at the token that is. */
static void
test_places(void)
{
	static const struct
	{
		const char *text;
		ptrdiff_t place;
	} cases[] = {
		{"", 0},
		{"  nul", 2},
		{"1 2", 2},
		{"{\"a\":1,}", 7},
		{"{\"a\":1 2}", 7},
		{"{\"a\" 1}", 5},
		{"{\"a\": \"\\x\"}", 6},
		{"{\"a\": 01}", 7},
		{"{\"a\": [1, ]}", 10},
		{"{\"\\x\": 1}", 1},
		{"[{\"a\":1", 7},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Document document = document_open(cases[i].text, strlen(cases[i].text));

		tap_is_int(document.value.start - document.text, cases[i].place, "where %s is wrong",
				   cases[i].text);
		document_close(&document);
	}
}

static void
test_control_characters(void)
{
	bool refused = true;
	bool taken = true;

	for (int c = 0; c < 0x80; c++)
	{
		char text[] = {'"', 'a', (char) c, 'b', '"'};
		char key[] = {'{', '"', (char) c, '"', ':', '1', '}'};
		Document in_string = document_open(text, sizeof(text));
		Document in_key = document_open(key, sizeof(key));

		if (c < 0x20)
			refused = refused && !in_string.valid && !in_key.valid;
		else if (c != '"' && c != '\\')
			taken = taken && in_string.valid && in_key.valid;
		document_close(&in_string);
		document_close(&in_key);
	}
	tap_ok(refused, "a control character in a string must be escaped, each of the 32");
	tap_ok(taken, "every other ASCII character may stand for itself");
}

static void
test_utf8(void)
{
	static const struct
	{
		const char *bytes;
		size_t length;
		bool valid;
		const char *name;
	} cases[] = {
		{BYTES("\xC2\x80"), true, "U+0080, the first of two bytes"},
		{BYTES("\xDF\xBF"), true, "U+07FF, the last of two bytes"},
		{BYTES("\xE0\xA0\x80"), true, "U+0800, the first of three bytes"},
		{BYTES("\xED\x9F\xBF"), true, "U+D7FF, the last before the surrogates"},
		{BYTES("\xEE\x80\x80"), true, "U+E000, the first behind the surrogates"},
		{BYTES("\xEF\xBF\xBF"), true, "U+FFFF, the last of three bytes"},
		{BYTES("\xF0\x90\x80\x80"), true, "U+10000, the first of four bytes"},
		{BYTES("\xF4\x8F\xBF\xBF"), true, "U+10FFFF, the last of all"},
		{BYTES("\xEF\xBB\xBF"), true, "a byte order mark inside a string"},
		{BYTES("\xC0\x80"), false, "overlong NUL"},
		{BYTES("\xC0\xAF"), false, "overlong slash in two bytes"},
		{BYTES("\xC1\xBF"), false, "overlong U+007F"},
		{BYTES("\xE0\x80\xAF"), false, "overlong slash in three bytes"},
		{BYTES("\xE0\x9F\xBF"), false, "overlong U+07FF"},
		{BYTES("\xF0\x80\x80\xAF"), false, "overlong slash in four bytes"},
		{BYTES("\xF0\x8F\xBF\xBF"), false, "overlong U+FFFF"},
		{BYTES("\xED\xA0\x80"), false, "surrogate U+D800"},
		{BYTES("\xED\xAD\xBF"), false, "surrogate U+DB7F"},
		{BYTES("\xED\xB0\x80"), false, "surrogate U+DC00"},
		{BYTES("\xED\xBF\xBF"), false, "surrogate U+DFFF"},
		{BYTES("\xED\xA0\xBD\xED\xB8\x80"), false, "a pair of surrogates"},
		{BYTES("\xF4\x90\x80\x80"), false, "U+110000"},
		{BYTES("\xF5\x80\x80\x80"), false, "U+140000"},
		{BYTES("\xF8\x88\x80\x80\x80"), false, "five bytes"},
		{BYTES("\xFC\x84\x80\x80\x80\x80"), false, "six bytes"},
		{BYTES("\xFE"), false, "0xFE"},
		{BYTES("\xFF"), false, "0xFF"},
		{BYTES("\x80"), false, "a continuation byte alone"},
		{BYTES("\xBF"), false, "the last continuation byte alone"},
		{BYTES("\xC3"), false, "the first of two bytes alone"},
		{BYTES("\xC3\xC3\xA4"), false, "the first of two bytes twice"},
		{BYTES("\xC3 "), false, "the first of two bytes and a space"},
		{BYTES("\xC3\xA4\xA4"), false, "one continuation byte too many"},
		{BYTES("\xE2\x82"), false, "two of three bytes"},
		{BYTES("\xE2\x82 "), false, "two of three bytes and a space"},
		{BYTES("\xE2 \x82"), false, "three bytes with a space between"},
		{BYTES("\xF0\x9F\x98"), false, "three of four bytes"},
		{BYTES("\xF0\x9F\x98 "), false, "three of four bytes and a space"},
		{BYTES("\xF0\x9F \x98"), false, "four bytes with a space between"},
		{BYTES("\xF0\x9F\x98\xC0"), false, "four bytes whose last is none that continues"},
		{BYTES("\xE9"), false, "Latin-1"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char text[32];
		size_t length = cases[i].length;
		Document document;
		Document open;

		text[0] = '"';
		memcpy(text + 1, cases[i].bytes, length);
		text[length + 1] = '"';
		document = document_open(text, length + 2);
		open = document_open(text, length + 1);
		tap_ok(document.valid == cases[i].valid && !open.valid, "UTF-8: %s is %s", cases[i].name,
			   cases[i].valid ? "valid" : "refused");
		if (document.valid)
			read_all(document.value);
		document_close(&document);
		document_close(&open);

		/* Outside a string none of it has a place. */
		document = document_open(cases[i].bytes, length);
		tap_ok(!document.valid, "and refused outside of a string");
		document_close(&document);
	}
}

/* `depth` times `open`, then `inner`, then `depth` times `close`. */
static Document
nested(const char *open, const char *inner, const char *close, size_t depth)
{
	size_t open_length = strlen(open);
	size_t inner_length = strlen(inner);
	size_t close_length = strlen(close);
	size_t length = depth * (open_length + close_length) + inner_length;
	char *text = malloc(length + 1);
	char *p = text;
	Document document;

	for (size_t i = 0; i < depth; i++, p += open_length)
		memcpy(p, open, open_length);
	memcpy(p, inner, inner_length);
	p += inner_length;
	for (size_t i = 0; i < depth; i++, p += close_length)
		memcpy(p, close, close_length);
	document = document_open(text, length);
	free(text);
	return document;
}

static void
test_nesting(void)
{
	static const struct
	{
		const char *open;
		const char *inner;
		const char *close;
		size_t levels;       /* what one repetition adds */
		size_t inner_levels; /* what stands inside adds */
		const char *name;
	} cases[] = {
		{"[", "[]", "]", 1, 1, "arrays"},
		{"{\"a\":", "{}", "}", 1, 1, "objects"},
		{"[", "0", "]", 1, 0, "arrays around a number"},
		{"[{\"a\":", "[{}]", "}]", 2, 2, "both in turn"},
		{" [ ", "[ 1 , 2 ]", " , 0 ] ", 1, 1, "arrays with something behind"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		size_t most = (JSON_MAX_DEPTH - cases[i].inner_levels) / cases[i].levels;
		Document deepest = nested(cases[i].open, cases[i].inner, cases[i].close, most);
		Document deeper = nested(cases[i].open, cases[i].inner, cases[i].close, most + 1);
		Document absurd = nested(cases[i].open, cases[i].inner, cases[i].close, 1000000);
		Document unclosed = nested(cases[i].open, "", "", 1000000);

		tap_ok(deepest.valid, "%s as deep as allowed are taken", cases[i].name);
		if (deepest.valid)
			tap_ok(read_all(deepest.value) >= JSON_MAX_DEPTH, "and can be read");
		tap_ok(!deeper.valid && strstr(deeper.problem, "deep") != NULL, "a level more is refused");
		tap_ok(!absurd.valid, "a million levels are refused, and do no harm");
		tap_ok(!unclosed.valid, "as when they are never closed");
		document_close(&deepest);
		document_close(&deeper);
		document_close(&absurd);
		document_close(&unclosed);
	}
	tap_is_int(JSON_MAX_DEPTH, 128, "the limit is 128");

	/* Depth is what is open at once, not how many containers there are. */
	{
		size_t count = 100000;
		char *text = malloc(count * 3 + 2);
		char *p = text;
		Document document;

		*p++ = '[';
		for (size_t i = 0; i < count; i++, p += 3)
			memcpy(p, i + 1 < count ? "[]," : "{}]", 3);
		document = document_open(text, (size_t) (p - text));
		tap_ok(document.valid, "100,000 containers side by side are taken");
		tap_is_int(document.valid ? read_all(document.value) : 0, (int64_t) count + 1, "and read");
		document_close(&document);
		free(text);
	}
}

/* Something of everything: the document that the damage below is done to. */
static const char rich[] =
	" {\"Status\" : {\"State\":\"COMPLETED\", \"SubmissionDateTime\":1.700000000123E9,\r\n"
	"\t\"Reason\":null, \"Flags\":[true,false, [ ], {} ,[[-0.5e-3,0,12E+2]]]},\n"
	"\"Text\":\"a\\\"b\\\\c\\/d\\b\\f\\n\\r\\t \\u00e4\\u20AC\\uD83D\\uDE00 \xC3\xA4 \xE2\x82\xAC "
	"\xF0\x9F\x98\x80 }]{[,:\",\"\":\"\", \"\\u0061\":[\"\\u0000\",\"\\uD800\"], \"Size\" :"
	"-9223372036854775808}";

static void
test_damage(void)
{
	const size_t length = sizeof(rich) - 1;
	char text[sizeof(rich)];
	Document document = document_open(rich, length);
	int whole;
	int taken = 0;
	const char *wrong = NULL;
	size_t at;

	tap_ok(document.valid, "the rich document is valid");
	whole = read_all(document.value);
	tap_is_int(whole, 30, "and has 30 keys and values");
	document_close(&document);

	for (at = 0; at < length && wrong == NULL; at++)
	{
		document = document_open(rich, at);
		if (document.valid || document.problem == NULL)
			wrong = "prefix";
		document_close(&document);
	}
	tap_ok(wrong == NULL, "every proper prefix of it is refused");
	if (wrong != NULL)
		printf("# the one of %zu bytes is taken\n", at - 1);

	/* White space in front apart, what lacks its beginning is a value with something behind it. */
	wrong = NULL;
	for (at = 2; at < length && wrong == NULL; at++)
	{
		document = document_open(rich + at, length - at);
		if (document.valid)
			wrong = "suffix";
		document_close(&document);
	}
	tap_ok(wrong == NULL, "every suffix of it is refused");

	/* Neither byte has a place anywhere in JSON. */
	wrong = NULL;
	memcpy(text, rich, length);
	for (at = 0; at < length && wrong == NULL; at++)
	{
		for (int i = 0; i < 2; i++)
		{
			text[at] = i == 0 ? '\0' : (char) 0xFF;
			document = document_open(text, length);
			if (document.valid)
				wrong = "byte";
			document_close(&document);
		}
		text[at] = rich[at];
	}
	tap_ok(wrong == NULL, "0x00 and 0xFF are refused at every place");
	if (wrong != NULL)
		printf("# taken at offset %zu\n", at - 1);

	/* Any other damage is refused, or what was taken can be read from end to end. */
	for (at = 0; at < length; at++)
	{
		for (int byte = 0; byte < 256; byte++)
		{
			text[at] = (char) byte;
			document = document_open(text, length);
			if (document.valid)
				taken += read_all(document.value) > 0;
			document_close(&document);
		}
		text[at] = rich[at];
	}
	tap_ok(taken > (int) length, "every byte changed to any other: refused or safe (%d taken)",
		   taken);

	taken = 0;
	for (at = 0; at < length; at++)
	{
		memcpy(text, rich, at);
		memcpy(text + at, rich + at + 1, length - at - 1);
		document = document_open(text, length - 1);
		if (document.valid)
			taken += read_all(document.value) > 0;
		document_close(&document);
	}
	tap_ok(taken > 0, "every byte left out: refused or safe (%d taken)", taken);
}

static void
test_members(void)
{
	static const char text[] =
		"{\"a\":1, \"b\":\"two\", \"a\":3, \"\\u0063\":4, \"d\\\"\":5, \"\":6, \"e\\u0000\":7,"
		"\"f\\uD800\":8, \"ab\":9, \"\\u0061b\\u0063\":10, \"g\":null, \"nested\":{\"h\":11},"
		"\"\\u00e4\":12, \"\xC3\xB6\":13, \"i\":14, \"\\u0069\":15, \"\\/j\":16}";
	static const struct
	{
		const char *name;
		const char *value; /* NULL: absent */
	} cases
		[] =
			{
				{"a", "3"},                     /* the last one wins */
				{"b", "\"two\""},   {"c", "4"}, /* its key is spelled with an escape */
				{"d\"", "5"},       {"", "6"},
				{"e", NULL}, /* its key goes on behind a NUL */
				{"f", NULL}, /* its key has half a surrogate pair */
				{"ab", "9"},        {"abc", "10"},
				{"g", "null"},      {"h", NULL}, /* only inside */
				{"\xC3\xA4", "12"}, {"\xC3\xB6", "13"},
				{"i", "15"}, /* the last one wins, however it is spelled */
				{"/j", "16"},       {"A", NULL},
				{"B", NULL},        {"nest", NULL},
				{"nestedx", NULL},  {"1", NULL},
			};
	Document document = document_open_string(text);
	JsonValue nested_value;
	JsonValue absent = {NULL, 0};

	tap_ok(document.valid, "an object of many keys is valid");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		JsonValue value = json_member(document.value, cases[i].name);

		if (cases[i].value == NULL)
			tap_is_int(json_type(value), JSON_ABSENT, "member \"%s\" is absent", cases[i].name);
		else
			tap_is_bytes(value.start, value.length, cases[i].value, strlen(cases[i].value),
						 "member \"%s\"", cases[i].name);
	}
	nested_value = json_member(json_member(document.value, "nested"), "h");
	tap_is_bytes(nested_value.start, nested_value.length, "11", 2, "a member of a member");
	tap_is_int(json_type(json_member(json_member(document.value, "a"), "h")), JSON_ABSENT,
			   "a number has no members");
	tap_is_int(json_type(json_member(json_member(document.value, "b"), "two")), JSON_ABSENT,
			   "nor has a string");
	tap_is_int(json_type(json_member(json_member(document.value, "x"), "y")), JSON_ABSENT,
			   "nor has what is absent");
	tap_is_int(json_type(absent), JSON_ABSENT, "nothing is absent");
	document_close(&document);

	document = document_open_string("[\"a\",1]");
	tap_is_int(json_type(json_member(document.value, "a")), JSON_ABSENT, "an array has no members");
	document_close(&document);

	document = document_open_string("{}");
	tap_is_int(json_type(json_member(document.value, "a")), JSON_ABSENT,
			   "an empty object has no members");
	document_close(&document);
}

static void
test_long_keys(void)
{
	char name[257];
	char text[2048];
	char *p = text;
	Document document;
	JsonValue value;

	memset(name, 'k', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	snprintf(text, sizeof(text), "{\"%s\":1}", name);
	document = document_open_string(text);
	value = json_member(document.value, name);
	tap_is_bytes(value.start, value.length, "1", 1, "a long key is found");
	document_close(&document);

	/* Every letter as an escape makes a key six times as long. */
	p += sprintf(p, "{\"");
	for (const char *c = "CalculationExecutionId"; *c != '\0'; c++)
		p += sprintf(p, "\\u%04x", (unsigned int) *c);
	sprintf(p, "\":2}");
	document = document_open_string(text);
	value = json_member(document.value, "CalculationExecutionId");
	tap_is_bytes(value.start, value.length, "2", 1, "a key that is all escapes is found");
	document_close(&document);

	/* One that is longer than any buffer may be there, and is not that of another name. */
	p = text + sprintf(text, "{\"");
	for (int i = 0; i < 200; i++)
		p += sprintf(p, "\\u006b");
	sprintf(p, "\":3}");
	document = document_open_string(text);
	tap_is_int(json_type(json_member(document.value, "k")), JSON_ABSENT,
			   "a long key of escapes does no harm");
	document_close(&document);
}

static void
test_iteration(void)
{
	static const char text[] = " [ 1 , [ 2 , [ 3 ] ] ,{\"a\":[4,{\"b\" : 5}], \"c}\":\"]}\\\"\" } ,"
							   "\"]},\\\\\", [ ], { } ,-1.5e3,null,true , false]  ";
	static const char *const elements[] = {
		"1",           "[ 2 , [ 3 ] ]", "{\"a\":[4,{\"b\" : 5}], \"c}\":\"]}\\\"\" }",
		"\"]},\\\\\"", "[ ]",           "{ }",
		"-1.5e3",      "null",          "true",
		"false",
	};
	static const char *const types[] = {"1", "\"a\"", "null", "true"};
	Document document = document_open_string(text);
	JsonCursor cursor;
	JsonCursor inner;
	JsonValue value;
	JsonValue key;
	JsonValue member;
	size_t count = 0;

	tap_ok(document.valid, "an array of everything is valid");
	cursor = json_cursor(document.value);
	while (json_next_element(&cursor, &value) && count < sizeof(elements) / sizeof(elements[0]))
	{
		tap_is_bytes(value.start, value.length, elements[count], strlen(elements[count]),
					 "element %zu", count);
		if (count == 2)
		{
			inner = json_cursor(value);
			tap_ok(json_next_member(&inner, &key, &member), "the object has a member");
			tap_is_bytes(key.start, key.length, "\"a\"", 3, "its key comes with quotes");
			tap_is_bytes(member.start, member.length, "[4,{\"b\" : 5}]", 13, "and its value whole");
			tap_ok(json_next_member(&inner, &key, &member), "and another");
			tap_ok(json_key_is(key, "c}", 2), "whose key holds a bracket");
			tap_is_bytes(member.start, member.length, "\"]}\\\"\"", 6, "as its value does");
			tap_ok(!json_next_member(&inner, &key, &member), "and no third");
			tap_ok(!json_next_member(&inner, &key, &member), "however often one asks");
		}
		count++;
	}
	tap_is_int((int64_t) count, sizeof(elements) / sizeof(elements[0]), "all elements were there");
	tap_ok(!json_next_element(&cursor, &value), "behind the last there is none");
	document_close(&document);

	/* A quote ends a string where an even number of backslashes stands before it. */
	for (int pairs = 0; pairs < 8; pairs++)
	{
		char nested_text[256];
		char backslashes[32] = "";

		for (int i = 0; i < pairs; i++)
			strcat(backslashes, "\\\\");
		snprintf(nested_text, sizeof(nested_text), "[[\"%s\",\"%s\\\"]\"],{\"%s\":\"\\\"%s\"},1]",
				 backslashes, backslashes, backslashes, backslashes);
		document = document_open_string(nested_text);
		tap_is_int(document.valid ? read_all(document.value) : 0, 8, "%s has 8 keys and values",
				   nested_text);
		document_close(&document);
	}

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
	{
		document = document_open_string(types[i]);
		cursor = json_cursor(document.value);
		tap_ok(!json_next_element(&cursor, &value) && !json_next_member(&cursor, &key, &value),
			   "%s has nothing inside", types[i]);
		document_close(&document);
	}
	cursor = json_cursor((JsonValue){NULL, 0});
	tap_ok(!json_next_element(&cursor, &value), "nor has what is absent");
}

static void
test_strings(void)
{
	static const struct
	{
		const char *text;
		JsonReading reading;
		const char *string;
	} cases[] = {
		{"\"\"", JSON_READ, ""},
		{"\"a\"", JSON_READ, "a"},
		{"\"a b  c\"", JSON_READ, "a b  c"},
		{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", JSON_READ, "\"\\/\b\f\n\r\t"},
		{"\"x\\\"\"", JSON_READ, "x\""},
		{"\"\\\\\"", JSON_READ, "\\"},
		{"\"\\\\u0041\"", JSON_READ, "\\u0041"},
		{"\"\\u0041\"", JSON_READ, "A"},
		{"\"1\\u00412\"", JSON_READ, "1A2"},
		{"\"\\u0001\\u001f\\u007F\"", JSON_READ, "\x01\x1F\x7F"},
		{"\"\\u0080\\u07ff\"", JSON_READ, "\xC2\x80\xDF\xBF"},
		{"\"\\u0800\\uffff\"", JSON_READ, "\xE0\xA0\x80\xEF\xBF\xBF"},
		{"\"\\uD7FF\\uE000\"", JSON_READ, "\xED\x9F\xBF\xEE\x80\x80"},
		{"\"\\u00e4\\u00C4\\u20ac\"", JSON_READ, "\xC3\xA4\xC3\x84\xE2\x82\xAC"},
		{"\"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\"", JSON_READ,
		 "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"},
		{"\"\\uD83D\\uDE00\"", JSON_READ, "\xF0\x9F\x98\x80"},
		{"\"\\ud83d\\ude00!\"", JSON_READ, "\xF0\x9F\x98\x80!"},
		{"\"\\uD800\\uDC00\"", JSON_READ, "\xF0\x90\x80\x80"},
		{"\"\\uD800\\uDFFF\"", JSON_READ, "\xF0\x90\x8F\xBF"},
		{"\"\\uDBFF\\uDC00\"", JSON_READ, "\xF4\x8F\xB0\x80"},
		{"\"\\uDBFF\\uDFFF\"", JSON_READ, "\xF4\x8F\xBF\xBF"},
		{"\"\\uD83D\\uDE00\\uD83D\\uDE01\"", JSON_READ, "\xF0\x9F\x98\x80\xF0\x9F\x98\x81"},
		{"\"\\u0000\"", JSON_HAS_NUL, NULL},
		{"\"a\\u0000b\"", JSON_HAS_NUL, NULL},
		{"\"\\\\u0000\"", JSON_READ, "\\u0000"},
		{"\"\\uD800\"", JSON_HAS_SURROGATE, NULL},
		{"\"\\uD800x\"", JSON_HAS_SURROGATE, NULL},
		{"\"\\uD800xxxxxx\"", JSON_HAS_SURROGATE, NULL},
		{"\"\\uD800\\n\"", JSON_HAS_SURROGATE, NULL},
		{"\"\\uD800\\\\uDC00\"", JSON_HAS_SURROGATE, NULL},
		{"\"\\uD800\\u0041\"", JSON_HAS_SURROGATE, NULL},
		{"\"\\uD800\\uD800\\uDC00\"", JSON_HAS_SURROGATE, NULL},
		{"\"\\uD800\\uDBFF\"", JSON_HAS_SURROGATE, NULL},
		{"\"\\uD800\\uE000\"", JSON_HAS_SURROGATE, NULL},
		{"\"\\uDBFF\"", JSON_HAS_SURROGATE, NULL},
		{"\"\\uDC00\"", JSON_HAS_SURROGATE, NULL},
		{"\"\\uDFFF\"", JSON_HAS_SURROGATE, NULL},
		{"\"\\uDC00\\uD800\"", JSON_HAS_SURROGATE, NULL},
		{"\"\\uD800\\uDC00\\uDC00\"", JSON_HAS_SURROGATE, NULL},
		{"1", JSON_WRONG_TYPE, NULL},
		{"null", JSON_WRONG_TYPE, NULL},
		{"true", JSON_WRONG_TYPE, NULL},
		{"[\"a\"]", JSON_WRONG_TYPE, NULL},
		{"{\"a\":\"b\"}", JSON_WRONG_TYPE, NULL},
	};
	char byte;
	size_t length;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Document document = document_open_string(cases[i].text);
		char *string = malloc(document.value.length);

		length = 0;
		tap_ok(document.valid, "%s is valid", cases[i].text);
		tap_is_int(json_read_string(document.value, string, &length), cases[i].reading,
				   "what reading it as a string says");
		if (cases[i].reading == JSON_READ)
			tap_is_bytes(string, length, cases[i].string, strlen(cases[i].string),
						 "what is read from it");
		free(string);
		document_close(&document);
	}
	tap_is_int(json_read_string((JsonValue){NULL, 0}, &byte, &length), JSON_WRONG_TYPE,
			   "what is absent is no string");
}

static void
test_booleans(void)
{
	static const char *const others[] = {"null", "1", "0", "\"true\"", "[true]", "{}"};
	bool value = false;
	Document document = document_open_string("true");

	tap_ok(json_read_boolean(document.value, &value) == JSON_READ && value, "true is read");
	document_close(&document);
	document = document_open_string("false");
	tap_ok(json_read_boolean(document.value, &value) == JSON_READ && !value, "false is read");
	document_close(&document);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
	{
		document = document_open_string(others[i]);
		tap_is_int(json_read_boolean(document.value, &value), JSON_WRONG_TYPE, "%s is no boolean",
				   others[i]);
		document_close(&document);
	}
	tap_is_int(json_read_boolean((JsonValue){NULL, 0}, &value), JSON_WRONG_TYPE,
			   "nor is what is absent");
}

static void
test_scaled(void)
{
	static const struct
	{
		const char *text;
		int scale;
		bool round;
		JsonReading reading;
		int64_t value;
	} cases[] = {
		{"0", 0, false, JSON_READ, 0},
		{"-0", 0, false, JSON_READ, 0},
		{"-0.0", 6, false, JSON_READ, 0},
		{"1", 0, false, JSON_READ, 1},
		{"-1", 0, false, JSON_READ, -1},
		{"1234567890123456789", 0, false, JSON_READ, 1234567890123456789},
		{"9007199254740993", 0, false, JSON_READ, 9007199254740993}, /* no double holds it */

		/* The limits of 64 bits, to the last digit */
		{"9223372036854775807", 0, false, JSON_READ, INT64_MAX},
		{"9223372036854775808", 0, false, JSON_OUT_OF_RANGE, 0},
		{"9223372036854775810", 0, false, JSON_OUT_OF_RANGE, 0},
		{"-9223372036854775807", 0, false, JSON_READ, -INT64_MAX},
		{"-9223372036854775808", 0, false, JSON_READ, INT64_MIN},
		{"-9223372036854775809", 0, false, JSON_OUT_OF_RANGE, 0},
		{"10000000000000000000", 0, false, JSON_OUT_OF_RANGE, 0},
		{"18446744073709551615", 0, false, JSON_OUT_OF_RANGE, 0},
		{"18446744073709551616", 0, false, JSON_OUT_OF_RANGE, 0},
		{"18446744073709551617", 0, false, JSON_OUT_OF_RANGE, 0},
		{"-18446744073709551617", 0, false, JSON_OUT_OF_RANGE, 0},
		{"92233720368547758070", 0, false, JSON_OUT_OF_RANGE, 0},
		{"922337203685477580.7e1", 0, false, JSON_READ, INT64_MAX},
		{"0.9223372036854775807e19", 0, false, JSON_READ, INT64_MAX},
		{"9223372036854775807000e-3", 0, false, JSON_READ, INT64_MAX},
		{"9223372036854775808000e-3", 0, false, JSON_OUT_OF_RANGE, 0},
		{"-0.9223372036854775808e19", 0, false, JSON_READ, INT64_MIN},
		{"9223372036854.775807", 6, false, JSON_READ, INT64_MAX},
		{"9223372036854.775808", 6, false, JSON_OUT_OF_RANGE, 0},
		{"9223372036855", 6, false, JSON_OUT_OF_RANGE, 0},
		{"9223372036854775807", 3, false, JSON_OUT_OF_RANGE, 0},
		{"9223372036854775.807", 3, false, JSON_READ, INT64_MAX},
		{"-9223372036854775.808", 3, false, JSON_READ, INT64_MIN},

		/* Rounding at the limits */
		{"9223372036854775807.4", 0, true, JSON_READ, INT64_MAX},
		{"9223372036854775807.5", 0, true, JSON_OUT_OF_RANGE, 0},
		{"9223372036854775806.5", 0, true, JSON_READ, INT64_MAX},
		{"-9223372036854775808.4", 0, true, JSON_READ, INT64_MIN},
		{"-9223372036854775808.5", 0, true, JSON_OUT_OF_RANGE, 0},
		{"-9223372036854775807.5", 0, true, JSON_READ, INT64_MIN},

		/* Half away from zero, and once: what is behind the first digit left out has no say */
		{"0.5", 0, true, JSON_READ, 1},
		{"-0.5", 0, true, JSON_READ, -1},
		{"0.4", 0, true, JSON_READ, 0},
		{"0.49999999999999999999999999", 0, true, JSON_READ, 0},
		{"0.45", 0, true, JSON_READ, 0},
		{"0.09", 0, true, JSON_READ, 0},
		{"1.5", 0, true, JSON_READ, 2},
		{"2.5", 0, true, JSON_READ, 3},
		{"-2.5", 0, true, JSON_READ, -3},
		{"-2.4999", 0, true, JSON_READ, -2},
		{"9.5", 0, true, JSON_READ, 10},
		{"99.9", 0, true, JSON_READ, 100},
		{"1.0000000000000000000000000000001", 0, true, JSON_READ, 1},
		{"5e-1", 0, true, JSON_READ, 1},
		{"49e-2", 0, true, JSON_READ, 0},
		{"5e-2", 0, true, JSON_READ, 0},
		{"95e-2", 0, true, JSON_READ, 1},
		{"0.005e2", 0, true, JSON_READ, 1},
		{"-0.005e2", 0, true, JSON_READ, -1},

		/* Without rounding only zeros may be left out */
		{"1.0", 0, false, JSON_READ, 1},
		{"1.00000000000000000000000000", 0, false, JSON_READ, 1},
		{"100e-2", 0, false, JSON_READ, 1},
		{"1.5", 0, false, JSON_OUT_OF_RANGE, 0},
		{"1.0000000000000000000000000000001", 0, false, JSON_OUT_OF_RANGE, 0},
		{"1e-1", 0, false, JSON_OUT_OF_RANGE, 0},
		{"0.1", 0, false, JSON_OUT_OF_RANGE, 0},
		{"1.5", 1, false, JSON_READ, 15},
		{"1.55", 1, false, JSON_OUT_OF_RANGE, 0},

		/* Times, in milliseconds and microseconds */
		{"1700000000", 3, true, JSON_READ, 1700000000000},
		{"1700000000.123", 3, true, JSON_READ, 1700000000123},
		{"1700000000.1234", 3, true, JSON_READ, 1700000000123},
		{"1700000000.1235", 3, true, JSON_READ, 1700000000124},
		{"1.700000000123E9", 3, true, JSON_READ, 1700000000123},
		{"1.700000000123E9", 3, false, JSON_READ, 1700000000123},
		{"1.700000000123456E9", 6, true, JSON_READ, 1700000000123456},
		{"1.700000000123456E9", 6, false, JSON_READ, 1700000000123456},
		{"1.7000000001234564E9", 6, true, JSON_READ, 1700000000123456},
		{"1.7000000001234565E9", 6, true, JSON_READ, 1700000000123457},
		{"1.700000000123456E9", 3, true, JSON_READ, 1700000000123},
		{"1.7E9", 6, true, JSON_READ, 1700000000000000},
		{"1.7e+9", 6, true, JSON_READ, 1700000000000000},
		{"1.7e009", 6, true, JSON_READ, 1700000000000000},
		{"17000000000000000e-7", 6, true, JSON_READ, 1700000000000000},
		{"-1.5", 6, true, JSON_READ, -1500000},
		{"0.000001", 6, true, JSON_READ, 1},
		{"0.0000005", 6, true, JSON_READ, 1},
		{"0.0000004", 6, true, JSON_READ, 0},
		{"946845296.123", 3, true, JSON_READ, 946845296123},

		/* Exponents of any size */
		{"1e18", 0, false, JSON_READ, 1000000000000000000},
		{"9e18", 0, false, JSON_READ, 9000000000000000000},
		{"1e19", 0, false, JSON_OUT_OF_RANGE, 0},
		{"1e12", 6, true, JSON_READ, 1000000000000000000},
		{"1e13", 6, true, JSON_OUT_OF_RANGE, 0},
		{"1e400", 0, true, JSON_OUT_OF_RANGE, 0},
		{"-1e400", 0, true, JSON_OUT_OF_RANGE, 0},
		{"1e-400", 0, true, JSON_READ, 0},
		{"9e-400", 6, true, JSON_READ, 0},
		{"-1e-400", 0, true, JSON_READ, 0},
		{"1e-400", 0, false, JSON_OUT_OF_RANGE, 0},
		{"0e999999999", 0, false, JSON_READ, 0},
		{"0e-999999999", 0, false, JSON_READ, 0},
		{"-0.000e99999999999999999999", 6, true, JSON_READ, 0},
		{"1e2147483648", 0, true, JSON_OUT_OF_RANGE, 0},
		{"1e4294967296", 0, true, JSON_OUT_OF_RANGE, 0},
		{"1e18446744073709551616", 0, true, JSON_OUT_OF_RANGE, 0},
		{"1e99999999999999999999999999", 0, true, JSON_OUT_OF_RANGE, 0},
		{"1e-2147483649", 0, true, JSON_READ, 0},
		{"1e-99999999999999999999999999", 0, true, JSON_READ, 0},
		{"1e000000000000000000000000000001", 0, true, JSON_READ, 10},
		{"0.000000000000000000000000000001e30", 0, false, JSON_READ, 1},
		{"1000000000000000000000000000000e-30", 0, false, JSON_READ, 1},

		{"\"1\"", 0, true, JSON_WRONG_TYPE, 0},
		{"\"NaN\"", 0, true, JSON_WRONG_TYPE, 0},
		{"true", 0, true, JSON_WRONG_TYPE, 0},
		{"null", 0, true, JSON_WRONG_TYPE, 0},
		{"[1]", 0, true, JSON_WRONG_TYPE, 0},
		{"{}", 0, true, JSON_WRONG_TYPE, 0},
	};
	int64_t value;
	clock_t start = clock();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Document document = document_open_string(cases[i].text);
		JsonReading reading =
			json_read_scaled(document.value, cases[i].scale, cases[i].round, &value);

		tap_is_int(reading, cases[i].reading, "%s at scale %d%s", cases[i].text, cases[i].scale,
				   cases[i].round ? ", rounded" : "");
		if (reading == JSON_READ && cases[i].reading == JSON_READ)
			tap_is_int(value, cases[i].value, "its value");
		document_close(&document);
	}
	tap_is_int(json_read_scaled((JsonValue){NULL, 0}, 0, true, &value), JSON_WRONG_TYPE,
			   "what is absent is no number");

	/* The sender of an exponent must not choose how long reading it takes. */
	tap_ok(clock() - start < CLOCKS_PER_SEC, "an exponent of any size costs nothing");
}

/* A number with `count` times `digit` between two strings. */
static Document
long_number(const char *before, char digit, size_t count, const char *behind)
{
	size_t before_length = strlen(before);
	size_t behind_length = strlen(behind);
	char *text = malloc(before_length + count + behind_length);
	Document document;

	memcpy(text, before, before_length);
	memset(text + before_length, digit, count);
	memcpy(text + before_length + count, behind, behind_length);
	document = document_open(text, before_length + count + behind_length);
	free(text);
	return document;
}

static void
test_long_numbers(void)
{
	static const struct
	{
		const char *before;
		char digit;
		const char *behind;
		JsonReading reading;
		int64_t value;
	} cases[] = {
		{"1", '0', "e-1000000", JSON_READ, 1}, {"0.", '0', "1e1000001", JSON_READ, 1},
		{"0.", '9', "", JSON_READ, 1},         {"0.4", '9', "", JSON_READ, 0},
		{"1.", '0', "1", JSON_READ, 1},        {"", '9', "", JSON_OUT_OF_RANGE, 0},
		{"0.", '0', "", JSON_READ, 0},         {"1e", '0', "3", JSON_READ, 1000},
		{"1e", '9', "", JSON_OUT_OF_RANGE, 0}, {"1e-", '9', "", JSON_READ, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Document document = long_number(cases[i].before, cases[i].digit, 1000000, cases[i].behind);
		int64_t value = 0;

		tap_ok(document.valid, "%s, a million times %c, %s is valid", cases[i].before,
			   cases[i].digit, cases[i].behind);
		tap_is_int(json_read_scaled(document.value, 0, true, &value), cases[i].reading,
				   "what reading it as an integer says");
		if (cases[i].reading == JSON_READ)
			tap_is_int(value, cases[i].value, "its value");
		document_close(&document);
	}
}

/* What jsonb cannot hold is found in a whole value at once, keys and depths included. */
static void
test_contents(void)
{
	static const struct
	{
		const char *text;
		JsonReading reading;
	} cases[] = {
		{"{}", JSON_READ},
		{"null", JSON_READ},
		{"\"\"", JSON_READ},
		{"{\"a\":[1,-2.5e3,\"\\u0001\\uD83D\\uDE00\\\\u0000\",true,null,{}]}", JSON_READ},
		{"{\"a\":[1,{\"b\":\"\\u0000\"}]}", JSON_HAS_NUL},
		{"{\"a\\u0000\":1}", JSON_HAS_NUL},
		{"[\"\\\\\",\"\\u0000\"]", JSON_HAS_NUL},
		{"[\"\\uD800\"]", JSON_HAS_SURROGATE},
		{"[\"\\uD800\",\"\\uDC00\"]", JSON_HAS_SURROGATE},
		{"{\"\\uDC00\":1}", JSON_HAS_SURROGATE},
		{"[\"1e99999\",1]", JSON_READ},
		{"1e9999", JSON_READ},
		{"1e-999", JSON_READ},
		{"[1e99999]", JSON_OUT_OF_RANGE},
		{"[1e-99999 ]", JSON_OUT_OF_RANGE},
		{"{\"a\":-1E999999999}", JSON_OUT_OF_RANGE},
	};
	static const struct
	{
		const char *before;
		const char *behind;
	} numbers[] = {{"", ""}, {"0.", ""}, {"[-", "]"}, {"{\"a\":1.", "}"}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Document document = document_open_string(cases[i].text);

		tap_ok(document.valid, "%s is valid", cases[i].text);
		tap_is_int(json_check_contents(document.value), cases[i].reading,
				   "what jsonb would say to it");
		document_close(&document);
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
	{
		Document moderate = long_number(numbers[i].before, '7', 5000, numbers[i].behind);
		Document large = long_number(numbers[i].before, '7', 200000, numbers[i].behind);

		tap_is_int(json_check_contents(moderate.value), JSON_READ, "%s and 5,000 digits are held",
				   numbers[i].before);
		tap_is_int(json_check_contents(large.value), JSON_OUT_OF_RANGE, "200,000 are not");
		document_close(&moderate);
		document_close(&large);
	}
}

/* Escapes of characters beyond ASCII are read; those that JSON needs stay. */
static void
test_reading_escapes(void)
{
	static const struct
	{
		const char *text;
		const char *read;
	} cases[] = {
		{"{\"a\": [\"plain\", 1, null]}", "{\"a\": [\"plain\", 1, null]}"},
		{"\"\\u00e9\\u20AC\"", "\"\xC3\xA9\xE2\x82\xAC\""},
		{"{\"\\u00fc\": \"\\ud83d\\ude00!\"}", "{\"\xC3\xBC\": \"\xF0\x9F\x98\x80!\"}"},
		{"\"\\\"\\\\\\n\\u0022\\u005c\\u000a\\u007f\"",
		 "\"\\\"\\\\\\n\\u0022\\u005c\\u000a\\u007f\""},
		{"\"\\\\u00e9\"", "\"\\\\u00e9\""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Document document = document_open_string(cases[i].text);
		char *out = malloc(document.value.length);
		size_t length = json_read_escapes(document.value, out);

		tap_ok(length == strlen(cases[i].read) && memcmp(out, cases[i].read, length) == 0,
			   "the escapes of %s", cases[i].text);
		free(out);
		document_close(&document);
	}
}

int
main(void)
{
	test_valid();
	test_invalid();
	test_places();
	test_control_characters();
	test_utf8();
	test_nesting();
	test_damage();
	test_members();
	test_long_keys();
	test_iteration();
	test_strings();
	test_booleans();
	test_scaled();
	test_long_numbers();
	test_contents();
	test_reading_escapes();
	return tap_finish();
}
