/*
 * vectors.h
 *		Reading test data: whole files, and strings out of JSON. What is returned is malloc'ed.
 */
#ifndef ATHENA_CALC_TEST_VECTORS_H
#define ATHENA_CALC_TEST_VECTORS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/json.h"

/* The bytes of DIRECTORY/NAME with a NUL behind them; NULL where there is no such file or directory. */
static inline char *
vectors_read(const char *directory, const char *name, size_t *length)
{
	char path[4096];
	char *text = NULL;
	size_t capacity = 0;
	FILE *file;

	if (directory == NULL ||
		(size_t) snprintf(path, sizeof(path), "%s/%s", directory, name) >= sizeof(path))
		return NULL;
	file = fopen(path, "rb");
	if (file == NULL)
		return NULL;
	*length = 0;
	do
	{
		capacity = capacity > 0 ? capacity * 2 : 4096;
		text = realloc(text, capacity);
		if (text == NULL)
			abort();
		*length += fread(text + *length, 1, capacity - 1 - *length, file);
	} while (*length == capacity - 1);
	fclose(file);
	text[*length] = '\0';
	return text;
}

/* The string that `value` is; NULL where it is none. */
static inline char *
vectors_string(JsonValue value)
{
	char *string;
	size_t length;

	if (json_type(value) != JSON_STRING)
		return NULL;
	string = malloc(value.length + 1);
	if (string == NULL)
		abort();
	if (json_read_string(value, string, &length) != JSON_READ)
	{
		free(string);
		return NULL;
	}
	string[length] = '\0';
	return string;
}

/* The string member `name`; NULL where there is none. */
static inline char *
vectors_member_string(JsonValue object, const char *name)
{
	return vectors_string(json_member(object, name));
}

/* Whether the member `name` is true; absent is false. */
static inline bool
vectors_member_is_true(JsonValue object, const char *name)
{
	bool value = false;

	return json_read_boolean(json_member(object, name), &value) == JSON_READ && value;
}

#endif
