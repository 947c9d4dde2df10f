/*
 * profile.c
 *		AWS's shared files, ~/.aws/config and ~/.aws/credentials. See profile.h.
 *
 * One reader goes through a file line by line and says what each line is; what is asked for is collected
 * from that. The AWS CLI reads with Python's configparser
 * (https://docs.python.org/3/library/configparser.html#supported-ini-file-structure) and makes profiles
 * of its sections.
 */
#include "aws/profile.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#define BYTE_ORDER_MARK "\xEF\xBB\xBF"

/* Its keys are in all profiles, and it is none itself. */
#define COMMON_SECTION "DEFAULT"

/* A part of the file. Nothing is copied. */
typedef struct Span
{
	const char *start;
	size_t length;
} Span;

typedef enum LineKind
{
	LINE_END, /* of the file */
	LINE_BLANK,
	LINE_COMMENT,
	LINE_SECTION,      /* name */
	LINE_KEY,          /* name, value */
	LINE_CONTINUATION, /* value */
	LINE_OUTSIDE,      /* of any section */
	LINE_UNKNOWN,
	LINE_NAMELESS /* a value without a key */
} LineKind;

typedef struct Reader
{
	const char *next;
	const char *end;
	int line;
	size_t indent; /* of the last section or key: what is deeper goes on with it */
	bool in_section;
	bool in_key;
	Span name;
	Span value;
} Reader;

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static char
to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

static Span
trimmed(const char *start, const char *end)
{
	while (start < end && is_space(*start))
		start++;
	while (end > start && is_space(end[-1]))
		end--;
	return (Span){start, (size_t) (end - start)};
}

static bool
span_is(Span span, const char *string)
{
	size_t length = strlen(string);

	return span.length == length && memcmp(span.start, string, length) == 0;
}

static int
compare_spans(Span one, Span other)
{
	int order =
		memcmp(one.start, other.start, one.length < other.length ? one.length : other.length);

	if (order != 0)
		return order;
	return one.length < other.length ? -1 : one.length > other.length;
}

/* Keys know no case. */
static int
compare_keys(Span one, Span other)
{
	for (size_t i = 0; i < one.length && i < other.length; i++)
	{
		unsigned char a = (unsigned char) to_lower(one.start[i]);
		unsigned char b = (unsigned char) to_lower(other.start[i]);

		if (a != b)
			return a < b ? -1 : 1;
	}
	return one.length < other.length ? -1 : one.length > other.length;
}

static void
reader_start(Reader *reader, const char *text, size_t length)
{
	const size_t mark = sizeof(BYTE_ORDER_MARK) - 1;

	memset(reader, 0, sizeof(*reader));
	reader->next = text;
	reader->end = length > 0 ? text + length : text;
	if (length >= mark && memcmp(text, BYTE_ORDER_MARK, mark) == 0)
		reader->next += mark;
}

/* The next line, which ends with LF, CR LF or CR, without its end. */
static bool
next_line(Reader *reader, Span *line)
{
	const char *start = reader->next;
	const char *end = start;

	if (start == reader->end)
		return false;
	while (end < reader->end && *end != '\n' && *end != '\r')
		end++;
	*line = (Span){start, (size_t) (end - start)};
	reader->next = end;
	if (reader->next < reader->end && *reader->next++ == '\r' && reader->next < reader->end &&
		*reader->next == '\n')
		reader->next++;
	if (reader->line < INT_MAX)
		reader->line++;
	return true;
}

/* "[name]", whatever comes behind it. */
static bool
read_section(Span text, Span *name)
{
	const char *close;

	if (text.start[0] != '[')
		return false;
	close = memchr(text.start, ']', text.length);
	if (close == NULL || close == text.start + 1)
		return false;
	*name = (Span){text.start + 1, (size_t) (close - text.start - 1)};
	return true;
}

/* "name = value" or "name: value". */
static bool
read_key(Span text, Span *name, Span *value)
{
	const char *end = text.start + text.length;

	for (const char *c = text.start; c < end; c++)
	{
		if (*c == '=' || *c == ':')
		{
			*name = trimmed(text.start, c);
			*value = trimmed(c + 1, end);
			return true;
		}
	}
	return false;
}

static LineKind
reader_next(Reader *reader)
{
	Span line;
	Span text;
	size_t indent;

	if (!next_line(reader, &line))
		return LINE_END;
	text = trimmed(line.start, line.start + line.length);
	if (text.length == 0)
		return LINE_BLANK;
	if (text.start[0] == '#' || text.start[0] == ';')
		return LINE_COMMENT;

	/* Before anything else: what goes on with a value may look like a section or a key. */
	indent = (size_t) (text.start - line.start);
	if (reader->in_key && indent > reader->indent)
	{
		reader->value = text;
		return LINE_CONTINUATION;
	}
	reader->indent = indent;
	if (read_section(text, &reader->name))
	{
		reader->in_section = true;
		reader->in_key = false;
		return LINE_SECTION;
	}
	if (!reader->in_section)
		return LINE_OUTSIDE;
	if (!read_key(text, &reader->name, &reader->value))
		return LINE_UNKNOWN;
	reader->in_key = true;
	return reader->name.length > 0 ? LINE_KEY : LINE_NAMELESS;
}

/*
 * Words, character by character: those of section names and of commands. The rules are Python's shlex's,
 * which are a POSIX shell's but for this: a backslash inside double quotes is one unless '"' or another
 * backslash comes behind it, and a line break behind a backslash stays.
 */
typedef enum WordStep
{
	WORD_CHARACTER,
	WORD_BREAK, /* a word ends here, perhaps an empty one */
	WORD_FINISH,
	WORD_OPEN_QUOTE,
	WORD_OPEN_ESCAPE
} WordStep;

typedef struct WordReader
{
	const char *next;
	const char *end;
	char quote; /* the one that is open, or NUL */
	bool in_word;
} WordReader;

static WordReader
word_reader(Span text)
{
	return (WordReader){.next = text.start,
						.end = text.length > 0 ? text.start + text.length : text.start};
}

static bool
separates_words(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static WordStep
word_next(WordReader *reader, char *character)
{
	while (reader->next < reader->end)
	{
		char c = *reader->next++;

		if (reader->quote == '\0' && separates_words(c))
		{
			if (reader->in_word)
			{
				reader->in_word = false;
				return WORD_BREAK;
			}
			continue;
		}
		reader->in_word = true;
		if (reader->quote == '\0' ? c == '"' || c == '\'' : c == reader->quote)
		{
			reader->quote = reader->quote == '\0' ? c : '\0';
			continue;
		}
		if (c == '\\' && reader->quote != '\'')
		{
			if (reader->next == reader->end)
				return WORD_OPEN_ESCAPE;
			if (reader->quote == '\0' || *reader->next == '"' || *reader->next == '\\')
				c = *reader->next++;
		}
		*character = c;
		return WORD_CHARACTER;
	}
	if (reader->quote != '\0')
		return WORD_OPEN_QUOTE;
	if (reader->in_word)
	{
		reader->in_word = false;
		return WORD_BREAK;
	}
	return WORD_FINISH;
}

/* Whether the next word is this one. */
static bool
word_is(WordReader *reader, const char *expected)
{
	char c;
	WordStep step;

	while ((step = word_next(reader, &c)) == WORD_CHARACTER)
	{
		if (*expected == '\0' || c != *expected)
			return false;
		expected++;
	}
	return step == WORD_BREAK && *expected == '\0';
}

static bool
names_profile(ProfileFileKind kind, Span section, const char *profile)
{
	const size_t prefix = sizeof("profile") - 1;
	WordReader words = word_reader(section);
	char c;

	if (span_is(section, COMMON_SECTION))
		return false;
	if (kind == PROFILE_CREDENTIALS_FILE)
		return span_is(section, profile);
	if (span_is(section, "default"))
		return strcmp(profile, "default") == 0;
	/* "profile" must begin the section's name as it is, without a space or a quote before it. */
	return section.length > prefix && memcmp(section.start, "profile", prefix) == 0 &&
		   word_is(&words, "profile") && word_is(&words, profile) &&
		   word_next(&words, &c) == WORD_FINISH;
}

bool
profile_exists(ProfileFileKind kind, const char *text, size_t length, const char *profile)
{
	Reader reader;
	LineKind line;

	reader_start(&reader, text, length);
	while ((line = reader_next(&reader)) != LINE_END)
	{
		if (line == LINE_SECTION && names_profile(kind, reader.name, profile))
			return true;
	}
	return false;
}

/* The value that is being read, or was. */
typedef struct Collected
{
	ByteBuffer *value;
	bool found;
	bool nested;   /* it has no value but a block of lines */
	bool open;     /* whether a line may go on with it */
	size_t breaks; /* line breaks to write before more of it: none are at its end */
} Collected;

static void
collect_nothing(Collected *collected)
{
	buffer_reset(collected->value);
	collected->found = collected->nested = collected->open = false;
}

static void
collect(Collected *collected, LineKind line, const Reader *reader, const char *key)
{
	switch (line)
	{
		case LINE_KEY:
			collected->open = compare_keys(reader->name, (Span){(char *) key, strlen(key)}) == 0;
			if (collected->open)
			{
				collect_nothing(collected);
				collected->found = collected->open = true;
				collected->breaks = 1;
				buffer_append(collected->value, reader->value.start, reader->value.length);
			}
			break;
		case LINE_BLANK:
			collected->breaks++;
			break;
		case LINE_CONTINUATION:
			if (!collected->open)
				break;
			if (collected->value->length == 0)
				collected->nested = true;
			if (collected->nested)
				break;
			for (; collected->breaks > 0; collected->breaks--)
				buffer_append_char(collected->value, '\n');
			buffer_append(collected->value, reader->value.start, reader->value.length);
			collected->breaks = 1;
			break;
		case LINE_SECTION:
		case LINE_NAMELESS:
			collected->open = false;
			break;
		default:
			break;
	}
}

bool
profile_find(ProfileFileKind kind, const char *text, size_t length, const char *profile,
			 const char *key, ByteBuffer *value)
{
	Collected collected = {.value = value};
	Reader reader;
	LineKind line;
	bool exists = false;
	bool inside = false;

	reader_start(&reader, text, length);
	while ((line = reader_next(&reader)) != LINE_END)
	{
		if (line == LINE_SECTION)
		{
			inside = names_profile(kind, reader.name, profile);
			if (inside)
				collect_nothing(&collected); /* the last section is the profile, whole */
			exists = exists || inside;
		}
		if (inside)
			collect(&collected, line, &reader, key);
	}

	if (exists && !collected.found && !value->failed)
	{
		inside = false;
		reader_start(&reader, text, length);
		while ((line = reader_next(&reader)) != LINE_END)
		{
			if (line == LINE_SECTION)
				inside = span_is(reader.name, COMMON_SECTION);
			if (inside)
				collect(&collected, line, &reader, key);
		}
	}
	return collected.found && !collected.nested && !value->failed;
}

/* A section or a key as it stands in the file, to find those that are there twice. */
typedef struct Entry
{
	size_t section; /* which one; 0 for sections themselves */
	Span name;
	int line;
} Entry;

/* Those with the same name stand together, in their order in the file. */
static int
compare_entries(const void *one, const void *other)
{
	const Entry *a = one;
	const Entry *b = other;
	int order;

	if (a->section != b->section)
		return a->section < b->section ? -1 : 1;
	order = a->section == 0 ? compare_spans(a->name, b->name) : compare_keys(a->name, b->name);
	return order != 0 ? order : a->line < b->line ? -1 : a->line > b->line;
}

/* Complains of a line, unless one above it is wrong, too. */
static void
complain(int line, const char *what, const char **problem, int *first)
{
	if (*first == 0 || line < *first)
	{
		*first = line;
		*problem = what;
	}
}

/* Sorted, because a file may have many keys, and nobody can interrupt this. */
static void
check_twice(Entry *entries, size_t count, const char **problem, int *line)
{
	if (count < 2)
		return;
	qsort(entries, count, sizeof(Entry), compare_entries);
	for (size_t i = 1; i < count; i++)
	{
		const Entry *entry = &entries[i];

		if (entry->section != entry[-1].section)
			continue;
		if (entry->section == 0 && compare_spans(entry->name, entry[-1].name) == 0)
			complain(entry->line, "a section of this name was there before", problem, line);
		if (entry->section != 0 && compare_keys(entry->name, entry[-1].name) == 0)
			complain(entry->line, "this key was in the section before", problem, line);
	}
}

bool
profile_check(const char *text, size_t length, const char **problem, int *line)
{
	/* Numbers of sections: 0 is no section's, and [DEFAULT] has one, though it may come again. */
	enum
	{
		COMMON_NUMBER = 1
	};
	size_t last_number = COMMON_NUMBER;
	size_t number = 0;
	bool valueless = false; /* the key that lines would go on with */
	ByteBuffer entries = {0};
	Reader reader;
	LineKind kind;

	*problem = NULL;
	*line = 0;
	reader_start(&reader, text, length);
	while ((kind = reader_next(&reader)) != LINE_END && *problem == NULL)
	{
		Entry entry = {.name = reader.name, .line = reader.line};

		switch (kind)
		{
			case LINE_SECTION:
				if (span_is(reader.name, COMMON_SECTION))
				{
					number = COMMON_NUMBER;
					break;
				}
				number = ++last_number;
				buffer_append(&entries, &entry, sizeof(entry));
				break;
			case LINE_KEY:
				entry.section = number;
				valueless = reader.value.length == 0;
				buffer_append(&entries, &entry, sizeof(entry));
				break;
			case LINE_CONTINUATION:
				if (valueless && memchr(reader.value.start, '=', reader.value.length) == NULL)
					complain(reader.line, "a line of a nested block has no \"=\"", problem, line);
				break;
			case LINE_OUTSIDE:
				complain(reader.line, "no section begins before this line", problem, line);
				break;
			case LINE_UNKNOWN:
				complain(reader.line, "this is no section, no key with a value and no comment",
						 problem, line);
				break;
			case LINE_NAMELESS:
				complain(reader.line, "there is no key before the value", problem, line);
				break;
			default:
				break;
		}
	}
	if (entries.failed)
	{
		*problem = "out of memory";
		*line = 0;
	}
	else
		check_twice((Entry *) entries.data, entries.length / sizeof(Entry), problem, line);
	buffer_free(&entries);
	return *problem == NULL;
}

bool
profile_split_command(const char *text, size_t length, ProfileCommand *command,
					  const char **problem)
{
	const Span all = {text, length};
	WordReader words = word_reader(all);
	WordStep step;
	size_t count = 0;
	size_t bytes = 0;
	size_t written = 0;
	char *out;
	char c;

	memset(command, 0, sizeof(*command));
	while ((step = word_next(&words, &c)) == WORD_CHARACTER || step == WORD_BREAK)
	{
		if (step == WORD_CHARACTER && c == '\0')
		{
			*problem = "the command holds a NUL";
			return false;
		}
		count += step == WORD_BREAK;
		bytes++;
	}
	if (step != WORD_FINISH)
	{
		*problem = step == WORD_OPEN_QUOTE ? "a quote is not closed"
										   : "there is nothing behind the backslash at the end";
		return false;
	}
	if (count == 0)
	{
		*problem = "the command is empty";
		return false;
	}

	if (count < INT_MAX && bytes <= SIZE_MAX / 4 && count + 1 <= SIZE_MAX / 4 / sizeof(char *))
	{
		command->size = (count + 1) * sizeof(char *) + bytes;
		command->argv = malloc(command->size);
	}
	if (command->argv == NULL)
	{
		*problem = "out of memory";
		command->size = 0;
		return false;
	}

	out = (char *) (command->argv + count + 1);
	command->argc = (int) count;
	command->argv[0] = out;
	words = word_reader(all);
	while ((step = word_next(&words, &c)) != WORD_FINISH)
	{
		*out++ = step == WORD_CHARACTER ? c : '\0';
		if (step == WORD_BREAK)
			command->argv[++written] = out;
	}
	command->argv[count] = NULL;
	return true;
}

void
profile_command_free(ProfileCommand *command)
{
	if (command->argv != NULL)
	{
		OPENSSL_cleanse(command->argv, command->size);
		free(command->argv);
	}
	memset(command, 0, sizeof(*command));
}
