/*
 * origin.h
 *		Which servers offer HTTP/2.
 *
 * As streams of one connection, many requests at once need one handshake in place of many. But whether a server offers
 * HTTP/2 shows in its handshake alone, and where it does not, all requests have waited for that in vain. So of the first that are
 * sent to a server one offers HTTP/2 and the others do not wait; what it was answered is remembered, for the cluster where the library
 * is preloaded, for the backend where it is not. What is remembered may be wrong, which costs time and nothing else.
 *
 * Nothing here throws.
 */
#ifndef ATHENA_CALC_HTTP_ORIGIN_H
#define ATHENA_CALC_HTTP_ORIGIN_H

#include "compat.h"

typedef enum OriginProtocol
{
	ORIGIN_UNKNOWN,
	ORIGIN_HTTP1,
	ORIGIN_HTTP2
} OriginProtocol;

/* Asks for the shared memory. Called while libraries are preloaded. */
extern void origin_preload(void);

/* The scheme, host and port of a URL, as a number. */
extern uint32 origin_of(const char *url);

extern OriginProtocol origin_protocol(uint32 origin);
extern void origin_remember(uint32 origin, OriginProtocol protocol);

#endif
