/*
 * profile_driver.c
 *		Reads shared files and commands for profile_botocore.py: requests in, answers out.
 *
 * A request is fields, each a decimal length, a line break and so many bytes. The first is its kind:
 *
 * - "config" or "credentials", then the text of a file, a number of queries, and for each of them a
 *   profile and a key. The answer is "1" or "0", whether the file is well-formed; then for each query
 *   "-" for no profile, "." for no value or "=" and the value.
 * - "command", then its text. The answer is "0" where it is refused, or "1" and its words.
 *
 * An answer is fields as well, the first of which says how many follow.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/profile.h"

typedef struct Field
{
	char *bytes; /* exactly as many, for a sanitizer to see what is read behind them */
	size_t length;
} Field;

__attribute__((noreturn)) static void
fail(const char *problem)
{
	fprintf(stderr, "%s\n", problem);
	exit(1);
}

static bool
read_field(Field *field)
{
	if (scanf("%zu", &field->length) != 1)
		return false;
	if (getchar() != '\n')
		fail("no line break behind a length");
	field->bytes = malloc(field->length > 0 ? field->length : 1);
	if (field->bytes == NULL || fread(field->bytes, 1, field->length, stdin) != field->length)
		fail("a field ends early");
	return true;
}

static char *
read_string(void)
{
	Field field;
	char *string;

	if (!read_field(&field))
		fail("a field is missing");
	string = malloc(field.length + 1);
	memcpy(string, field.bytes, field.length);
	string[field.length] = '\0';
	free(field.bytes);
	return string;
}

static void
write_field(const char *mark, const char *bytes, size_t length)
{
	printf("%zu\n%s", strlen(mark) + length, mark);
	if (length > 0)
		fwrite(bytes, 1, length, stdout);
}

static void
write_number(int number)
{
	char digits[16];

	snprintf(digits, sizeof(digits), "%d", number);
	write_field(digits, NULL, 0);
}

static void
answer_file(ProfileFileKind kind)
{
	Field text;
	char *count_string;
	int count;
	const char *problem;
	int line;

	if (!read_field(&text))
		fail("a file is missing");
	count_string = read_string();
	count = atoi(count_string);
	free(count_string);
	write_number(1 + count);
	write_field(profile_check(text.bytes, text.length, &problem, &line) ? "1" : "0", NULL, 0);
	for (int i = 0; i < count; i++)
	{
		char *profile = read_string();
		char *key = read_string();
		ByteBuffer value = {0};

		if (profile_find(kind, text.bytes, text.length, profile, key, &value))
			write_field("=", value.data, value.length);
		else
			write_field(profile_exists(kind, text.bytes, text.length, profile) ? "." : "-", NULL,
						0);
		buffer_free(&value);
		free(profile);
		free(key);
	}
	free(text.bytes);
}

static void
answer_command(void)
{
	Field text;
	ProfileCommand command;
	const char *problem;

	if (!read_field(&text))
		fail("a command is missing");
	if (profile_split_command(text.bytes, text.length, &command, &problem))
	{
		write_number(1 + command.argc);
		write_field("1", NULL, 0);
		for (int i = 0; i < command.argc; i++)
			write_field("", command.argv[i], strlen(command.argv[i]));
	}
	else
	{
		write_number(1);
		write_field("0", NULL, 0);
	}
	profile_command_free(&command);
	free(text.bytes);
}

int
main(void)
{
	Field kind;

	while (read_field(&kind))
	{
		if (kind.length == 7)
			answer_command();
		else
			answer_file(kind.length == 6 ? PROFILE_CONFIG_FILE : PROFILE_CREDENTIALS_FILE);
		free(kind.bytes);
	}
	return 0;
}
