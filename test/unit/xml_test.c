/*
 * xml_test.c
 *		XML answers: what is read of them, what is refused, and what XML cannot hold.
 */
#include "aws/xml.h"

#include <stdlib.h>

#include "tap.h"

#define DEEPEST 32
#define LONG_NAME (4 * 1024 * 1024)

/* Reads a copy of exactly the document's size, without a NUL behind it. */
static bool
read_copy(const char *document, XmlWanted *wanted, int count)
{
	size_t length = strlen(document);
	char *copy = malloc(length + 1);
	bool read;

	memcpy(copy, document, length);
	copy = realloc(copy, length > 0 ? length : 1);
	read = xml_read(copy, length, wanted, count);
	free(copy);
	return read;
}

/* The text at a path; "(none)" where there is no such element, "(invalid)" where there is no document. */
static void
check_text(const char *document, const char *path, const char *expected)
{
	XmlWanted wanted = {.path = path};
	const char *found = !read_copy(document, &wanted, 1) ? "(invalid)"
						: !wanted.found                  ? "(none)"
						: wanted.text.length == 0        ? ""
														 : wanted.text.data;

	tap_is_string(found, expected, "%s in %.60s", path, document);
	xml_free(&wanted, 1);
}

static void
test_texts(void)
{
	static const struct
	{
		const char *document;
		const char *path;
		const char *expected;
	} cases[] = {
		{"<a><b>text</b></a>", "a/b", "text"},
		{"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a xmlns=\"http://x/\"><b>text</b></a>\n",
		 "a/b", "text"},
		{"<a><b>1</b><b>2</b></a>", "a/b", "1"},
		{"<a><b/><b>2</b></a>", "a/b", ""},
		{"<a><b></b></a>", "a/b", ""},
		{"<a><b> two  words\n</b></a>", "a/b", " two  words\n"},
		{"<a><b>1<!-- 2 -->3</b></a>", "a/b", "13"},
		{"<a><b>&lt;&amp;&gt;&quot;&apos;&#65;&#x20AC;</b></a>", "a/b", "<&>\"'A\xE2\x82\xAC"},
		{"<a><b><![CDATA[<&]]></b></a>", "a/b", "<&"},
		{"<a><b>1<c>2</c>3</b></a>", "a/b", "1"},
		{"<a><b>1<c>2</c>3</b></a>", "a/b/c", "2"},
		{"<a><c><b>1</b></c></a>", "a/b", "(none)"},
		{"<a><bb>1</bb></a>", "a/b", "(none)"},
		{"<a>b</a>", "a/b", "(none)"},
		{"<a></a>", "a", ""},
		{"<a/>", "a", ""},
		{"<aa/>", "a", "(none)"},
		{"<b><a/></b>", "a", "(none)"},
		{"<b><a/></b>", "b/a", ""},
		{"<A/>", "a", "(none)"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_text(cases[i].document, cases[i].path, cases[i].expected);
}

static void
test_invalid(void)
{
	static const char *const documents[] = {
		"",
		" ",
		"text",
		"{}",
		"<a>",
		"<a><b>1</a></b>",
		"<a/><a/>",
		"<a/>text",
		"<a>&what;</a>",
		"<a>&#0;</a>",
		"<a>&#xD800;</a>",
		"<a>&#xFFFE;</a>",
		"<a>\x01</a>",
		"<a>\xFF</a>",
		"<a>\xC0\xAF</a>",
		"<a>\xED\xA0\x80</a>",
		"<a>\xEF\xBF\xBF</a>",
		"<!DOCTYPE a><a/>",
		"<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
		"<!DOCTYPE a [<!ENTITY b \"b\">]><a>&b;</a>",
	};

	for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++)
		check_text(documents[i], "a", "(invalid)");
}

static void
test_depth(void)
{
	for (int depth = DEEPEST; depth <= DEEPEST + 1; depth++)
	{
		ByteBuffer document = {0};
		XmlWanted wanted = {.path = "a"};

		for (int i = 0; i < depth; i++)
			buffer_append_string(&document, "<a>");
		for (int i = 0; i < depth; i++)
			buffer_append_string(&document, "</a>");
		tap_ok(read_copy(document.data, &wanted, 1) == (depth <= DEEPEST), "%d elements deep",
			   depth);
		xml_free(&wanted, 1);
		buffer_free(&document);
	}
}

/* expat tells of the end of an empty element, too, when it was stopped at its beginning. */
static void
test_depth_of_empty(void)
{
	ByteBuffer document = {0};
	XmlWanted wanted = {.path = "a"};

	for (int i = 0; i < DEEPEST; i++)
		buffer_append_string(&document, "<a>");
	buffer_append_char(&document, '<');
	for (int i = 0; i < LONG_NAME; i++)
		buffer_append_char(&document, 'b');
	buffer_append_string(&document, "/>");
	tap_ok(!read_copy(document.data, &wanted, 1), "an empty element too deep, with a long name");
	xml_free(&wanted, 1);
	buffer_free(&document);
}

/* Writes each row as "key=value;", up to a row whose key is "stop". */
static bool
take(XmlWanted *wanted, void *context)
{
	ByteBuffer *out = context;

	for (int i = 0; i < 2; i++)
	{
		if (wanted[i].text.length > 0)
			buffer_append(out, wanted[i].text.data, wanted[i].text.length);
		else
			buffer_append_string(out, wanted[i].found ? "(empty)" : "(none)");
		buffer_append_char(out, i == 0 ? '=' : ';');
	}
	return strncmp(out->data, "stop", 4) != 0;
}

static void
test_rows(void)
{
	static const struct
	{
		const char *document;
		bool read;
		const char *rows;
	} cases[] = {
		{"<l/>", true, ""},
		{"<l><r><k>1</k><v>a</v></r><r><k>2</k><v>b</v></r></l>", true, "1=a;2=b;"},
		{"<l><r><v>a</v><k>1</k></r></l>", true, "1=a;"},
		{"<l><r><k>1</k></r><r><v>b</v></r><r/><r><k/></r></l>", true,
		 "1=(none);(none)=b;(none)=(none);(empty)=(none);"},
		{"<l><r><k>1</k><k>2</k></r></l>", true, "1=(none);"},
		{"<l><s><r><k>1</k></r></s></l>", true, ""},
		{"<r><k>1</k></r>", true, ""},
		{"<l><r><k>1</k><v>a</v></r><r>", false, "1=a;"},
		{"<l><r><k>stop</k></r><r><k>2</k></r></l>", false, "stop=(none);"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		XmlWanted wanted[] = {{.path = "l/r/k"}, {.path = "l/r/v"}};
		ByteBuffer out = {0};

		buffer_append_string(&out, "");
		tap_ok(xml_read_rows(cases[i].document, strlen(cases[i].document), "l/r", wanted, 2, take,
							 &out) == cases[i].read,
			   "%s is %s", cases[i].document, cases[i].read ? "read" : "refused");
		tap_is_string(out.data, cases[i].rows, "its rows");
		xml_free(wanted, 2);
		buffer_free(&out);
	}
}

/* What xml_can_hold() says must be what a reader of XML says of each character. */
static void
test_characters(void)
{
	int wrong = 0;

	for (unsigned int c = 1; c <= 0x10FFFF; c += c < 0x20000 ? 1 : 0xFF)
	{
		char utf8[5] = {0};
		char document[16];
		XmlWanted wanted = {.path = "a"};

		if (c >= 0xD800 && c <= 0xDFFF)
			continue; /* no characters */
		if (c < 0x80)
			utf8[0] = (char) c;
		else if (c < 0x800)
		{
			utf8[0] = (char) (0xC0 | c >> 6);
			utf8[1] = (char) (0x80 | (c & 0x3F));
		}
		else if (c < 0x10000)
		{
			utf8[0] = (char) (0xE0 | c >> 12);
			utf8[1] = (char) (0x80 | (c >> 6 & 0x3F));
			utf8[2] = (char) (0x80 | (c & 0x3F));
		}
		else
		{
			utf8[0] = (char) (0xF0 | c >> 18);
			utf8[1] = (char) (0x80 | (c >> 12 & 0x3F));
			utf8[2] = (char) (0x80 | (c >> 6 & 0x3F));
			utf8[3] = (char) (0x80 | (c & 0x3F));
		}
		snprintf(document, sizeof(document), "<a>%s</a>", utf8);
		if (c != '<' && c != '&' && xml_can_hold(utf8) != read_copy(document, &wanted, 1))
		{
			printf("# U+%04X\n", c);
			wrong++;
		}
		xml_free(&wanted, 1);
	}
	tap_is_int(wrong, 0, "each character is held, or not, as expat says");
	tap_ok(xml_can_hold(""), "nothing can be held");
	tap_ok(xml_can_hold("a <b> & \t\r\n]]>"), "so can what is escaped");
	tap_ok(!xml_can_hold("a\x01"), "a control character cannot, wherever it stands");
	tap_ok(!xml_can_hold("a\xEF\xBF\xBE"
						 "b"),
		   "nor can U+FFFE");
}

int
main(void)
{
	test_texts();
	test_invalid();
	test_depth();
	test_depth_of_empty();
	test_rows();
	test_characters();
	return tap_finish();
}
