/*
 * xml.h
 *		The texts of an XML answer's elements, read by expat. Plain C; never throws.
 */
#ifndef ATHENA_CALC_AWS_XML_H
#define ATHENA_CALC_AWS_XML_H

#include <stdbool.h>
#include <stddef.h>

#include "http/buffer.h"

/*
 * An element that is looked for, by its path from the root: "Error/Code". The text of the first goes to `text`. The root
 * alone ("Error") tells what kind of document it is.
 */
typedef struct XmlWanted
{
	const char *path;
	ByteBuffer text;
	bool found; /* also where it is empty */
} XmlWanted;

/*
 * Reads a document. False where it is no well-formed XML or declares a document type, which no service
 * does. The caller frees the texts with xml_free() either way.
 */
extern bool xml_read(const char *document, size_t length, XmlWanted *wanted, int count);

/* Frees the texts. */
extern void xml_free(XmlWanted *wanted, int count);

/* Takes a row, whose texts are emptied behind it. False for no memory. Below expat: must not throw. */
typedef bool (*XmlTake)(XmlWanted *wanted, void *context);

/*
 * The same for elements that repeat: `take` is called at the end of each element at `row_path`, with the texts of what
 * is wanted in it. The caller frees the texts.
 */
extern bool xml_read_rows(const char *document, size_t length, const char *row_path,
						  XmlWanted *wanted, int count, XmlTake take, void *context);

/*
 * Whether valid UTF-8 can be the text of an element: XML has no way to write some characters.
 * https://www.w3.org/TR/xml/#charsets
 */
extern bool xml_can_hold(const char *utf8);

#endif
