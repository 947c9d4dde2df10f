/*
 * json_fuzz.c
 *		The reader of JSON: any bytes; of what it takes for a document, every value is read in every way.
 */
#include "fuzz.h"

#include "aws/json.h"
#include "mb/pg_wchar.h"

static void
read_string(JsonValue value)
{
	char *text = palloc(value.length);
	size_t length = 0;

	if (json_read_string(value, text, &length) != JSON_READ)
		return;
	fuzz_require(length <= value.length);
	fuzz_require(pg_encoding_verifymbstr(PG_UTF8, text, (int) length) == (int) length);
}

static void
read_number(JsonValue value)
{
	static const int scales[] = {0, 3, 6};
	int64_t exact;
	int64_t rounded;

	for (int i = 0; i < (int) lengthof(scales); i++)
	{
		JsonReading reading = json_read_scaled(value, scales[i], false, &exact);

		if (reading == JSON_READ)
			fuzz_require(json_read_scaled(value, scales[i], true, &rounded) == JSON_READ &&
						 rounded == exact);
		else
			json_read_scaled(value, scales[i], true, &rounded);
	}
}

/* What is copied with its escapes read must be a document, too. */
static void
read_contents(JsonValue value)
{
	char *copy = palloc(value.length);
	JsonValue again;
	const char *problem;

	if (json_check_contents(value) != JSON_READ)
		return;
	fuzz_require(json_check(copy, json_read_escapes(value, copy), &again, &problem));
	fuzz_require(json_check_contents(again) == JSON_READ);
}

static void
read_value(JsonValue document, JsonValue value, int depth)
{
	JsonCursor cursor = json_cursor(value);
	JsonValue key;
	JsonValue inner;
	bool boolean;

	fuzz_require(depth <= JSON_MAX_DEPTH && value.length > 0 && value.start >= document.start &&
				 value.start + value.length <= document.start + document.length);
	switch (json_type(value))
	{
		case JSON_ABSENT:
			fuzz_require(false);
			break;
		case JSON_NULL:
			break;
		case JSON_BOOLEAN:
			fuzz_require(json_read_boolean(value, &boolean) == JSON_READ);
			break;
		case JSON_NUMBER:
			read_number(value);
			break;
		case JSON_STRING:
			read_string(value);
			break;
		case JSON_ARRAY:
			while (json_next_element(&cursor, &inner))
				read_value(document, inner, depth + 1);
			break;
		case JSON_OBJECT:
			while (json_next_member(&cursor, &key, &inner))
			{
				read_string(key);
				read_value(document, inner, depth + 1);
				if (json_key_is(key, "a", 1))
					fuzz_require(json_member(value, "a").length > 0);
			}
			break;
	}
}

void
fuzz(FuzzInput input)
{
	JsonValue document;
	const char *problem = NULL;

	if (!json_check(input.data, input.length, &document, &problem))
	{
		fuzz_require(problem != NULL);
		return;
	}
	read_value(document, document, 0);
	read_contents(document);
}
