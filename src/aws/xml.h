/*
 * xml.h
 *		The texts of an XML answer's elements, read by expat. Plain C; never throws.
 */
#ifndef ATHENA_CALC_AWS_XML_H
#define ATHENA_CALC_AWS_XML_H

#include <stdbool.h>
#include <stddef.h>

#include "http/buffer.h"

/* An element that is looked for, by its path from the root: "Error/Code". Its first text goes to `text`. */
typedef struct XmlWanted
{
	const char *path;
	ByteBuffer text;
	bool found;
} XmlWanted;

/*
 * Reads a document. False where it is no well-formed XML or declares a document type, which no service
 * does. The caller frees the texts either way.
 */
extern bool xml_read(const char *document, size_t length, XmlWanted *wanted, int count);

#endif
