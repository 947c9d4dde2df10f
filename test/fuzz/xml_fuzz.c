/*
 * xml_fuzz.c
 *		The reader of XML: texts by their paths, and rows.
 */
#include "fuzz.h"

#include "aws/xml.h"
#include "mb/pg_wchar.h"

typedef struct Rows
{
	int count;
	int most; /* that are taken */
} Rows;

/* What XML can hold is UTF-8 without a NUL. */
static void
check_texts(const XmlWanted *wanted, int count)
{
	for (int i = 0; i < count; i++)
	{
		const ByteBuffer *text = &wanted[i].text;

		fuzz_require(wanted[i].found || text->length == 0);
		if (text->length > 0)
			fuzz_require(strlen(text->data) == text->length &&
						 pg_encoding_verifymbstr(PG_UTF8, text->data, (int) text->length) ==
							 (int) text->length);
	}
}

static bool
take(XmlWanted *wanted, void *context)
{
	Rows *rows = context;

	check_texts(wanted, 2);
	return ++rows->count < rows->most;
}

void
fuzz(FuzzInput input)
{
	XmlWanted wanted[] = {{.path = "a"}, {.path = "a/b"}, {.path = "a/b/c"}};
	XmlWanted of_row[] = {{.path = "a/b/c"}, {.path = "a/b"}};
	Rows rows = {0, (int) fuzz_next_number(&input) + 1};

	if (xml_read(input.data, input.length, wanted, lengthof(wanted)))
		check_texts(wanted, lengthof(wanted));
	xml_free(wanted, lengthof(wanted));
	xml_read_rows(input.data, input.length, "a/b", of_row, lengthof(of_row), take, &rows);
	fuzz_require(rows.count <= rows.most);
	xml_free(of_row, lengthof(of_row));

	if (xml_can_hold(fuzz_string(input)))
		xml_can_hold("");
}
