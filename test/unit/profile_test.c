/*
 * profile_test.c
 *		AWS's shared files: profiles, values, what is malformed; and commands split into words.
 */
#include "aws/profile.h"

#include <stdlib.h>

#include "tap.h"

#define CONFIG PROFILE_CONFIG_FILE
#define CREDENTIALS PROFILE_CREDENTIALS_FILE

/* A copy of exactly the text's size, without a NUL behind it: reading too far is seen. */
static char *
exact_copy(const char *text, size_t length)
{
	char *copy = malloc(length > 0 ? length : 1);

	memcpy(copy, text, length);
	if (length > 0)
		return copy;
	free(copy);
	return NULL;
}

static bool
find(ProfileFileKind kind, const char *text, size_t length, const char *profile, const char *key,
	 ByteBuffer *value)
{
	char *copy = exact_copy(text, length);
	bool found = profile_find(kind, copy, length, profile, key, value);

	free(copy);
	return found;
}

static bool
exists(ProfileFileKind kind, const char *text, const char *profile)
{
	char *copy = exact_copy(text, strlen(text));
	bool found = profile_exists(kind, copy, strlen(text), profile);

	free(copy);
	return found;
}

static bool
check(const char *text, size_t length, const char **problem, int *line)
{
	char *copy = exact_copy(text, length);
	bool passed = profile_check(copy, length, problem, line);

	free(copy);
	return passed;
}

static void
test_values(void)
{
	static const struct
	{
		const char *what;
		ProfileFileKind kind;
		const char *text;
		const char *profile;
		const char *expected; /* of the key "k"; NULL for none */
	} cases[] = {
		{"an empty file", CONFIG, "", "default", NULL},
		{"the default profile", CONFIG, "[default]\nk = v\n", "default", "v"},
		{"a named profile", CONFIG, "[profile x]\nk = v\n", "x", "v"},
		{"a profile's name as it is, in config", CONFIG, "[x]\nk = v\n", "x", NULL},
		{"the default profile by its long name", CONFIG, "[profile default]\nk = v\n", "default",
		 "v"},
		{"a session", CONFIG, "[sso-session x]\nk = v\n", "x", NULL},
		{"services", CONFIG, "[services x]\nk = v\n", "x", NULL},
		{"a section that only begins with the word", CONFIG, "[profiles x]\nk = v\n", "x", NULL},
		{"the word alone", CONFIG, "[profile]\nk = v\n", "profile", NULL},
		{"a third word", CONFIG, "[profile x y]\nk = v\n", "x", NULL},
		{"a space before the word", CONFIG, "[ profile x]\nk = v\n", "x", NULL},
		{"spaces behind the word", CONFIG, "[profile \t x ]\nk = v\n", "x", "v"},
		{"no space behind the word", CONFIG, "[profilex]\nk = v\n", "x", NULL},
		{"a name in double quotes", CONFIG, "[profile \"a b\"]\nk = v\n", "a b", "v"},
		{"a name in single quotes", CONFIG, "[profile 'a \"b']\nk = v\n", "a \"b", "v"},
		{"a name with a backslash", CONFIG, "[profile a\\ b]\nk = v\n", "a b", "v"},
		{"a part of a name in quotes", CONFIG, "[profile a\" \"b]\nk = v\n", "a b", "v"},
		{"an empty name", CONFIG, "[profile '']\nk = v\n", "", "v"},
		{"a quote that stays open", CONFIG, "[profile 'x]\nk = v\n", "x", NULL},
		{"names know case", CONFIG, "[profile X]\nk = v\n", "x", NULL},
		{"the beginning of a name", CONFIG, "[profile xy]\nk = v\n", "x", NULL},
		{"more than the name", CONFIG, "[profile x]\nk = v\n", "xy", NULL},

		{"a profile of credentials", CREDENTIALS, "[x]\nk = v\n", "x", "v"},
		{"the long name, in credentials", CREDENTIALS, "[profile x]\nk = v\n", "x", NULL},
		{"is a name of its own there", CREDENTIALS, "[profile x]\nk = v\n", "profile x", "v"},
		{"credentials' default", CREDENTIALS, "[default]\nk = v\n", "default", "v"},
		{"spaces in a section's name count", CREDENTIALS, "[ x ]\nk = v\n", "x", NULL},

		{"the second of two profiles", CREDENTIALS, "[x]\nk = 1\n[y]\nk = 2\n", "y", "2"},
		{"the first of two profiles", CREDENTIALS, "[x]\nk = 1\n[y]\nk = 2\n", "x", "1"},
		{"a key that is in the other profile", CREDENTIALS, "[x]\n[y]\nk = 2\n", "x", NULL},
		{"two sections of one profile: the last", CONFIG,
		 "[default]\nk = 1\n[profile default]\nk = 2\n", "default", "2"},
		{"in the other order, too", CONFIG, "[profile default]\nk = 2\n[default]\nk = 1\n",
		 "default", "1"},
		{"the last is the profile, whole", CONFIG, "[default]\nk = 1\n[profile default]\nj = 2\n",
		 "default", NULL},

		{"no white space", CREDENTIALS, "[x]\nk=v", "x", "v"},
		{"much white space", CREDENTIALS, "[x]\nk \t\f\v=\t\f\v v \t\n", "x", "v"},
		{"white space inside", CREDENTIALS, "[x]\nk = v  w\n", "x", "v  w"},
		{"a colon", CREDENTIALS, "[x]\nk: v\n", "x", "v"},
		{"a colon behind the equals sign", CREDENTIALS, "[x]\nk = a:b\n", "x", "a:b"},
		{"an equals sign behind the colon", CREDENTIALS, "[x]\nk : a=b\n", "x", "a=b"},
		{"a value of signs", CREDENTIALS, "[x]\nk = /+=ab/=+==\n", "x", "/+=ab/=+=="},
		{"a key in capitals", CREDENTIALS, "[x]\nK = v\n", "x", "v"},
		{"a longer key", CREDENTIALS, "[x]\nkk = v\n", "x", NULL},
		{"no value", CREDENTIALS, "[x]\nk =\n", "x", ""},
		{"no value at the end of the file", CREDENTIALS, "[x]\nk =", "x", ""},
		{"quotes are a part of a value", CREDENTIALS, "[x]\nk = \"v\"\n", "x", "\"v\""},
		{"so are percent signs", CREDENTIALS, "[x]\nk = %(j)s $HOME\n", "x", "%(j)s $HOME"},
		{"bytes beyond ASCII", CREDENTIALS, "[x]\nk = \xC3\xA9\xFF\n", "x", "\xC3\xA9\xFF"},

		{"comments between", CREDENTIALS, "# a\n[x]\n; b\n#k = 1\n  # c\nk = v\n", "x", "v"},
		{"a hash behind a value", CREDENTIALS, "[x]\nk = v # w\n", "x", "v # w"},
		{"a semicolon behind a value", CREDENTIALS, "[x]\nk = v ; w\n", "x", "v ; w"},
		{"a hash in front of a value", CREDENTIALS, "[x]\nk = #v\n", "x", "#v"},
		{"a comment behind a section", CREDENTIALS, "[x] # y\nk = v\n", "x", "v"},
		{"one with a bracket", CREDENTIALS, "[x] # [y]\nk = v\n", "x", "v"},
		{"something behind a section", CREDENTIALS, "[x]y = z\nk = v\n", "x", "v"},
		{"a bracket in a section's name", CREDENTIALS, "[[x]\nk = v\n", "[x", "v"},

		{"a nested block", CONFIG, "[default]\ns3 =\n  k = 1\n  j = 2\n", "default", NULL},
		{"a key behind a block", CONFIG, "[default]\ns3 =\n  k = 1\nk = v\n", "default", "v"},
		{"a key before a block", CONFIG, "[default]\nk = v\ns3 =\n  k = 1\n", "default", "v"},
		{"a key that has a block", CONFIG, "[default]\nk =\n  a = 1\n", "default", NULL},
		{"a block behind an empty line", CONFIG, "[default]\nk =\n\n  a = 1\n", "default", NULL},
		{"an empty line and no block", CONFIG, "[default]\nk =\n\n\n", "default", ""},
		{"a section in a block", CONFIG, "[default]\ns3 =\n  [profile x] = 1\n  k = 1\n", "x",
		 NULL},
		{"a value that goes on", CONFIG, "[default]\nk = a\n  b\n\tc = d\n", "default",
		 "a\nb\nc = d"},
		{"one with an empty line and a comment", CONFIG, "[default]\nk = a\n\n# b\n  c\n\n",
		 "default", "a\n\nc"},
		{"one that a key ends", CONFIG, "[default]\nk = a\n  b\nj = c\n  d\n", "default", "a\nb"},
		{"an indented key", CONFIG, "[default]\n  k = v\n  j = w\n", "default", "v"},
		{"the one behind an indented key", CONFIG, "[default]\n  j = w\n  k = v\n", "default", "v"},
		{"an indented key and a deeper line", CONFIG, "[default]\n  k = v\n    w\n x = y\n",
		 "default", "v\nw"},
		{"an indented section", CREDENTIALS, "  [x]\nk = v\n", "x", "v"},
		{"an indented section behind a key", CREDENTIALS, "[x]\nk = v\n [y]\nj = w\n", "x",
		 "v\n[y]"},

		{"CR LF", CREDENTIALS, "[x]\r\nk = v\r\n[y]\r\n", "x", "v"},
		{"CR LF and a block", CONFIG, "[default]\r\ns3 =\r\n  k = 1\r\nk = v\r\n  w\r\n", "default",
		 "v\nw"},
		{"CR alone", CREDENTIALS, "[x]\rk = v\r[y]", "x", "v"},
		{"a byte order mark", CREDENTIALS, "\xEF\xBB\xBF[x]\nk = v\n", "x", "v"},
		{"nothing but the mark", CREDENTIALS, "\xEF\xBB\xBF", "x", NULL},
		{"a part of the mark", CREDENTIALS, "\xEF\xBB", "x", NULL},
		{"a section without an end of line", CREDENTIALS, "[x]", "x", NULL},

		{"a common key", CREDENTIALS, "[x]\nj = 1\n[DEFAULT]\nk = v\n", "x", "v"},
		{"a common key, from the first line", CREDENTIALS, "[DEFAULT]\nk = v\n[x]\nj = 1\n", "x",
		 "v"},
		{"a key of the profile's own", CREDENTIALS, "[x]\nk = 1\n[DEFAULT]\nk = v\n", "x", "1"},
		{"an empty one of its own", CREDENTIALS, "[x]\nk =\n[DEFAULT]\nk = v\n", "x", ""},
		{"two common sections", CREDENTIALS, "[x]\n[DEFAULT]\nj = 1\n[DEFAULT]\nk = v\n", "x", "v"},
		{"a common key and no such profile", CREDENTIALS, "[y]\n[DEFAULT]\nk = v\n", "x", NULL},
		{"the common section is no profile", CREDENTIALS, "[DEFAULT]\nk = v\n", "DEFAULT", NULL},
		{"and none of config's either", CONFIG, "[DEFAULT]\nk = v\n", "default", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		size_t length = strlen(cases[i].text);
		const char *problem;
		int line;
		ByteBuffer value = {0};
		bool found = find(cases[i].kind, cases[i].text, length, cases[i].profile, "k", &value);

		tap_is_bytes(found ? value.data : NULL, found ? value.length : 0, cases[i].expected,
					 tap_length(cases[i].expected), "%s", cases[i].what);
		buffer_free(&value);
		if (cases[i].expected != NULL)
			tap_ok(exists(cases[i].kind, cases[i].text, cases[i].profile), "the profile exists");
		if (strcmp(cases[i].what, "a part of the mark") != 0)
			tap_ok(check(cases[i].text, length, &problem, &line), "the file is well-formed");

		/* Any part of it can be read, and nothing behind it is. */
		for (size_t shorter = 0; shorter < length; shorter++)
		{
			check(cases[i].text, shorter, &problem, &line);
			find(cases[i].kind, cases[i].text, shorter, cases[i].profile, "k", &value);
			buffer_free(&value);
		}
	}
}

static void
test_profiles(void)
{
	static const char config[] = "[default]\n[profile a]\n[profile 'b c']\n[d]\n[services e]\n"
								 "[profile \"open]\n[DEFAULT]\n";

	tap_ok(exists(CONFIG, config, "default"), "default exists");
	tap_ok(exists(CONFIG, config, "a"), "so does a profile without keys");
	tap_ok(exists(CONFIG, config, "b c"), "so does one in quotes");
	tap_ok(!exists(CONFIG, config, "'b c'"), "without its quotes");
	tap_ok(!exists(CONFIG, config, "d"), "a section is no profile");
	tap_ok(!exists(CONFIG, config, "e"), "nor are services");
	tap_ok(!exists(CONFIG, config, "open"), "nor what has an open quote");
	tap_ok(!exists(CONFIG, config, "DEFAULT"), "nor the common section");
	tap_ok(!exists(CONFIG, config, ""), "nor nothing");
	tap_ok(exists(CREDENTIALS, config, "d"), "in credentials a section is a profile");
	tap_ok(exists(CREDENTIALS, config, "profile 'b c'"), "and quotes mean nothing");
	tap_ok(!exists(CREDENTIALS, config, "DEFAULT"), "but the common section is none there either");
}

static void
test_any_bytes(void)
{
	static const char with_nul[] = "[x]\nk = a\0b\n\0 = c\n";
	ByteBuffer value = {0};
	const char *problem;
	int line;
	uint32_t state = 1;
	int refused = 0;

	tap_ok(find(CREDENTIALS, with_nul, sizeof(with_nul) - 1, "x", "k", &value), "a NUL in a value");
	tap_is_bytes(value.data, value.length, "a\0b", 3, "is a byte like another");
	tap_ok(check(with_nul, sizeof(with_nul) - 1, &problem, &line), "in a key, too");
	buffer_free(&value);

	for (int round = 0; round < 20000; round++)
	{
		static const char alphabet[] = "[]=:#;\"'\\\n\r \tkx\0\xEF\xBB\xBF"
									   "default"
									   "profile";
		char text[64];
		size_t length = 0;
		ProfileCommand command;

		state = state * 1664525 + 1013904223;
		length = (state >> 16) % (sizeof(text) + 1);
		for (size_t i = 0; i < length; i++)
		{
			state = state * 1664525 + 1013904223;
			text[i] = alphabet[(state >> 16) % (sizeof(alphabet) - 1)];
		}
		refused += !check(text, length, &problem, &line);
		find(round % 2 == 0 ? CONFIG : CREDENTIALS, text, length, "x", "k", &value);
		buffer_free(&value);
		{
			char *copy = exact_copy(text, length);

			if (profile_split_command(copy, length, &command, &problem))
				profile_command_free(&command);
			free(copy);
		}
	}
	tap_ok(refused > 10000, "20000 heaps of bytes are read to their end, and most refused");
}

static void
test_check(void)
{
	static const struct
	{
		const char *text;
		int line; /* 0 for a file that is well-formed */
	} cases[] = {
		{"", 0},
		{"\n\n", 0},
		{"# comment", 0},
		{"  ; comment\n", 0},
		{"[x]", 0},
		{"[x]\n[y]\nk = 1\n", 0},
		{"[x]\nk = 1\n[y]\nk = 1\n", 0},
		{"[x]\nk = 1\n[X]\nk = 1\n", 0},
		{"[x]\nk = 1\n  anything at all\n", 0},
		{"[x]\ns3 =\n  a = 1\n  a = 2\n", 0},
		{"[x]\ns3 =\n  = 1\n", 0},
		{"[x]\ns3 =\n\n  a = 1\n  # b\n", 0},
		{"[DEFAULT]\na = 1\n[DEFAULT]\nb = 1\n", 0},
		{"[default]\n[profile default]\n", 0},
		{"[profile x]\n[profile 'x']\n", 0},

		{"k = v\n", 1},
		{"\n# a\n\nk = v\n[x]\n", 4},
		{"anything\n", 1},
		{"[]\n", 1},
		{"[x\n", 1},
		{"\r\n\r\n[x\r\n", 3},
		{"\r\r[x\r", 3},
		{"\xEF\xBB\xBF\nk = v", 2},
		{"[x]\nk\n", 2},
		{"[x]\nk = v\nk2\n", 3},
		{"[x]\n  k\n", 2},
		{"[x]\n[]\n", 2},
		{"[x]\n[y\n", 2},
		{"[x]\n= v\n", 2},
		{"[x]\n : v\n", 2},
		{"[x]\nk = 1\nk = 2\n", 3},
		{"[x]\nk = 1\nK : 1\n", 3},
		{"[x]\nk = 1\nj = 1\n[y]\nk = 1\nj = 1\nj = 2\nk = 2\n", 7},
		{"[x]\n[y]\n[x]\n", 3},
		{"[DEFAULT]\na = 1\n[x]\na = 1\n[DEFAULT]\na = 1\n", 6},
		{"[x]\ns3 =\n  a\n", 3},
		{"[x]\ns3 =\n  a = 1\n\n  b: 2\n", 5},
		{"[x]\nk = 1\nk = 2\nanything\n", 3},
		{"[x]\nanything\nk = 1\nk = 2\n", 2},
		{"[x]\nk = 1\nk = 2\n[x]\n", 3},
		{"[x]\n[x]\nk = 1\nk = 2\n", 2},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const char *problem = "";
		int line = -1;
		bool passed = check(cases[i].text, strlen(cases[i].text), &problem, &line);

		tap_ok(passed == (cases[i].line == 0), "\"%s\" is %s", cases[i].text,
			   cases[i].line == 0 ? "well-formed" : "malformed");
		tap_is_int(line, cases[i].line, "the line");
		tap_ok((problem == NULL) == passed, "what is wrong is said");
	}
}

/* Looking for keys that are there twice must not take the square of their number. */
static void
test_many_keys(void)
{
	ByteBuffer text = {0};
	ByteBuffer value = {0};
	char key[32];
	const char *problem;
	int line;

	buffer_append_string(&text, "[x]\n");
	for (int i = 0; i < 200000; i++)
	{
		snprintf(key, sizeof(key), "k%d = %d\n", (int) ((i * 7919LL) % 200000), i);
		buffer_append_string(&text, key);
	}
	tap_ok(profile_check(text.data, text.length, &problem, &line), "a file of 200000 keys");
	tap_ok(profile_find(CREDENTIALS, text.data, text.length, "x", "k7919", &value), "one of them");
	tap_is_string(value.data, "1", "its value");
	buffer_append_string(&text, "K4711 = again");
	tap_ok(!profile_check(text.data, text.length, &problem, &line), "one of them twice");
	tap_is_int(line, 200002, "the line");
	buffer_free(&text);
	buffer_free(&value);
}

static void
test_commands(void)
{
	static const struct
	{
		const char *text;
		const char *words; /* each with a '|' behind it; NULL where the command is refused */
	} cases[] = {
		{"a", "a|"},
		{"/opt/bin/get --user helen", "/opt/bin/get|--user|helen|"},
		{"  a \t b\r\nc  ", "a|b|c|"},
		{"\"/opt/my bin/get\" \"a b\"", "/opt/my bin/get|a b|"},
		{"'a \"b\" \\' c", "a \"b\" \\|c|"},
		{"a\\ b c", "a b|c|"},
		{"a\"b c\"'d e'f", "ab cd ef|"},
		{"a '' \"\"", "a|||"},
		{"''", "|"},
		{"\"a\\\"b\\\\c\\d\\$\\'\"", "a\"b\\c\\d\\$\\'|"},
		{"\\\"a\\'\\\\\\n", "\"a'\\n|"},
		{"a\\\nb", "a\nb|"},
		{"\"a\\\nb\"", "a\\\nb|"},
		{"a\n  b", "a|b|"},
		{"a\vb\fc", "a\vb\fc|"},
		{"$HOME `a` $(b) *.c ~ a;b&c >d #e", "$HOME|`a`|$(b)|*.c|~|a;b&c|>d|#e|"},
		{"\xC3\xA9 \xFF", "\xC3\xA9|\xFF|"},

		{"", NULL},
		{" \t\n", NULL},
		{"a 'b", NULL},
		{"a \"b", NULL},
		{"a \"b\\\"", NULL},
		{"a b'", NULL},
		{"a \\", NULL},
		{"a \"b\\", NULL},
	};
	ProfileCommand command;
	const char *problem;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		size_t length = strlen(cases[i].text);
		char *copy = exact_copy(cases[i].text, length);
		bool split;

		problem = NULL;
		split = profile_split_command(copy, length, &command, &problem);
		free(copy);
		tap_ok(split == (cases[i].words != NULL), "\"%s\" is %s", cases[i].text,
			   cases[i].words != NULL ? "split" : "refused");
		if (split)
		{
			ByteBuffer words = {0};
			int count = 0;

			for (; command.argv[count] != NULL; count++)
			{
				buffer_append_string(&words, command.argv[count]);
				buffer_append_char(&words, '|');
			}
			tap_is_string(words.data, cases[i].words, "into its words");
			tap_is_int(command.argc, count, "as many as there are");
			buffer_free(&words);
		}
		else
			tap_ok(problem != NULL && command.argv == NULL, "and why is said");
		profile_command_free(&command);
	}
	tap_ok(!profile_split_command("a\0b", 3, &command, &problem), "a NUL is refused");
	profile_command_free(&command);
	tap_ok(command.argv == NULL, "nothing is freed twice");
}

int
main(void)
{
	test_values();
	test_profiles();
	test_any_bytes();
	test_check();
	test_many_keys();
	test_commands();
	return tap_finish();
}
