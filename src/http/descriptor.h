/*
 * descriptor.h
 *		File descriptors for curl's sockets, counted with PostgreSQL's own.
 *
 * PostgreSQL lets extensions have a share of the backend's descriptors (AcquireExternalFD). They are
 * reserved before curl acts, because reserving may close files of PostgreSQL's and must not happen
 * below a curl callback; the callbacks only count against what is reserved.
 *
 * curl does not tell of every socket that it closes: of one that never got connected it says nothing. So
 * the ones it was given are looked at once more before they count as open.
 */
#ifndef ATHENA_CALC_HTTP_DESCRIPTOR_H
#define ATHENA_CALC_HTTP_DESCRIPTOR_H

#include "compat.h"

#include <sys/types.h>

#include <curl/curl.h>

/* What tells a socket from another that has its number later. */
typedef struct SocketIdentity
{
	dev_t device;
	ino_t inode; /* 0 for none */
} SocketIdentity;

/* Why a socket was not opened. */
typedef enum SocketRefusal
{
	SOCKET_NOT_REFUSED,
	SOCKET_UNRESERVED, /* more are open than were reserved */
	SOCKET_REFUSED     /* by the system */
} SocketRefusal;

/* The identity of a socket; false where the number is no socket's. */
extern bool descriptor_identify(int fd, SocketIdentity *identity);

/* Whether a number is still the socket's. */
extern bool descriptor_is(int fd, SocketIdentity identity);

/* How many sockets are open, idle connections included. */
extern int descriptor_open_count(void);

/* Makes sure of one descriptor for each of `sockets` sockets; false when that many are not to be had. */
extern bool descriptor_reserve(int sockets);

/* Whether a socket was refused since this was asked last. */
extern bool descriptor_was_refused(void);

/* Gives back what is reserved and not open. */
extern void descriptor_release_unused(void);

/*
 * Tells an easy handle to open and close its sockets here. Where none is left, `*refusal` says why, and
 * nothing good comes of the transfer any more: some versions of curl forget about it then.
 */
extern void descriptor_attach(CURL *easy, SocketRefusal *refusal);

#endif
