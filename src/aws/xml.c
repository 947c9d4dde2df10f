/*
 * xml.c
 *		The texts of an XML answer's elements, read by expat. See xml.h.
 */
#include "aws/xml.h"

#include <string.h>

#include <expat.h>

#define MAX_DEPTH 32

typedef struct XmlReader
{
	XML_Parser parser;
	XmlWanted *wanted;
	int count;
	ByteBuffer path;
	int depth;
	XmlWanted *current;   /* whose text is being read */
	const char *row_path; /* NULL for no rows */
	XmlTake take;
	void *context;
	bool failed;
} XmlReader;

/* Gives up. expat may still tell of the end of an element whose beginning it was told in. */
static void
fail(XmlReader *reader)
{
	reader->failed = true;
	XML_StopParser(reader->parser, XML_FALSE);
}

static void XMLCALL
start_element(void *context, const XML_Char *name, const XML_Char **attributes)
{
	XmlReader *reader = context;

	(void) attributes;
	if (++reader->depth > MAX_DEPTH)
	{
		fail(reader);
		return;
	}
	if (reader->path.length > 0)
		buffer_append_char(&reader->path, '/');
	buffer_append_string(&reader->path, name);
	reader->current = NULL;
	for (int i = 0; i < reader->count && !reader->path.failed; i++)
	{
		XmlWanted *wanted = &reader->wanted[i];

		if (!wanted->found && strcmp(reader->path.data, wanted->path) == 0)
		{
			wanted->found = true;
			reader->current = wanted;
		}
	}
}

static void
end_row(XmlReader *reader)
{
	for (int i = 0; i < reader->count; i++)
		reader->failed = reader->failed || reader->wanted[i].text.failed;
	if (reader->failed || !reader->take(reader->wanted, reader->context))
		fail(reader);
	for (int i = 0; i < reader->count; i++)
	{
		reader->wanted[i].found = false;
		buffer_reset(&reader->wanted[i].text);
	}
}

static void XMLCALL
end_element(void *context, const XML_Char *name)
{
	XmlReader *reader = context;
	size_t length = strlen(name);

	reader->depth--;
	reader->current = NULL;
	if (reader->path.failed || reader->failed)
		return;
	if (reader->row_path != NULL && strcmp(reader->path.data, reader->row_path) == 0)
		end_row(reader);
	reader->path.length -= length < reader->path.length ? length + 1 : length;
	reader->path.data[reader->path.length] = '\0';
}

static void XMLCALL
character_data(void *context, const XML_Char *text, int length)
{
	XmlReader *reader = context;

	if (reader->current != NULL)
		buffer_append(&reader->current->text, text, (size_t) length);
}

/* A document type can define entities that grow without end, or that point elsewhere. */
static void XMLCALL
start_document_type(void *context, const XML_Char *name, const XML_Char *system_id,
					const XML_Char *public_id, int has_internal_subset)
{
	(void) name;
	(void) system_id;
	(void) public_id;
	(void) has_internal_subset;
	fail(context);
}

static bool
read_document(XmlReader *reader, const char *document, size_t length)
{
	bool read;

	reader->parser = XML_ParserCreate(NULL);
	if (reader->parser == NULL)
		return false;
	XML_SetUserData(reader->parser, reader);
	XML_SetElementHandler(reader->parser, start_element, end_element);
	XML_SetCharacterDataHandler(reader->parser, character_data);
	XML_SetStartDoctypeDeclHandler(reader->parser, start_document_type);
	read = XML_Parse(reader->parser, document, (int) length, 1) == XML_STATUS_OK;
	XML_ParserFree(reader->parser);

	read = read && !reader->path.failed && !reader->failed;
	for (int i = 0; i < reader->count; i++)
		read = read && !reader->wanted[i].text.failed;
	buffer_free(&reader->path);
	return read;
}

bool
xml_read(const char *document, size_t length, XmlWanted *wanted, int count)
{
	XmlReader reader = {.wanted = wanted, .count = count};

	return read_document(&reader, document, length);
}

bool
xml_read_rows(const char *document, size_t length, const char *row_path, XmlWanted *wanted,
			  int count, XmlTake take, void *context)
{
	XmlReader reader = {
		.wanted = wanted, .count = count, .row_path = row_path, .take = take, .context = context};

	return read_document(&reader, document, length);
}

void
xml_free(XmlWanted *wanted, int count)
{
	for (int i = 0; i < count; i++)
		buffer_free(&wanted[i].text);
}

bool
xml_can_hold(const char *utf8)
{
	for (; *utf8 != '\0'; utf8++)
	{
		if ((unsigned char) *utf8 < 0x20 && strchr("\t\n\r", *utf8) == NULL)
			return false;
		if (strncmp(utf8, "\xEF\xBF\xBE", 3) == 0 || strncmp(utf8, "\xEF\xBF\xBF", 3) == 0)
			return false; /* U+FFFE and U+FFFF; those of the other planes are allowed */
	}
	return true;
}
