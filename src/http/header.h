/*
 * header.h
 *		A header of a request: a name and a value, neither with a line break.
 */
#ifndef ATHENA_CALC_HTTP_HEADER_H
#define ATHENA_CALC_HTTP_HEADER_H

typedef struct HttpHeader
{
	const char *name;
	const char *value;
} HttpHeader;

#endif
