/*
 * http.h
 *		Requests over HTTP from a backend: one engine for one request or a thousand.
 *
 * http_run() keeps up to `concurrency` requests in flight on the backend's own curl_multi handle and
 * waits for PostgreSQL's latch and curl's sockets in one place, so that a cancel, statement_timeout or
 * a termination takes effect at once, whatever a request is doing. Connections are kept from one
 * statement to the next. Nothing here knows AWS.
 *
 * http_begin() and what follows it are for requests that go on while their caller does something else, and for answers
 * that are read as streams; such runs and others may be nested in one another.
 *
 * Throws: what CHECK_FOR_INTERRUPTS throws, what the callbacks throw, and out of memory; whatever is thrown,
 * requests under way are dropped first. Trouble with a request is never thrown: it is its outcome.
 */
#ifndef ATHENA_CALC_HTTP_HTTP_H
#define ATHENA_CALC_HTTP_HTTP_H

#include "compat.h"
#include "http/header.h"
#include "lib/pairingheap.h"

/* The bytes to send and their limits. Everything pointed to must stay until the answer is there. */
typedef struct HttpRequest
{
	const char *method; /* "GET", "HEAD", "POST", "PUT" or "DELETE" */
	const char *url;    /* without an IPv6 address's zone, which curl before 8.3 would lose */
	const HttpHeader *headers; /* all that are sent but Content-Length; "Host" among them */
	int header_count;
	const char *body; /* of all but GET and HEAD; may be empty */
	size_t body_length;
	int connect_timeout;      /* milliseconds for name, connection and TLS together */
	int timeout;              /* milliseconds for all */
	size_t max_response_size; /* bytes of the answer's body */

	/* The times count only while the run is waited for, and anew with each byte that comes or goes. */
	bool is_patient;

	/* Not 0: a successful answer's body is a stream, without a limit; so many bytes of it are held at once. */
	size_t window;

	const char *ca_bundle; /* a file or a directory; NULL or "" for the system's */
} HttpRequest;

typedef enum HttpOutcome
{
	HTTP_ANSWERED,
	HTTP_UNREACHABLE,   /* no connection: name, network, TLS, or connect_timeout */
	HTTP_UNVERIFIED,    /* the certificate is not one that we trust */
	HTTP_BROKEN,        /* the connection ended before the answer did */
	HTTP_TIMED_OUT,     /* no complete answer within `timeout` */
	HTTP_TOO_LARGE,     /* the body is above max_response_size */
	HTTP_MALFORMED,     /* what came is not HTTP */
	HTTP_NO_DESCRIPTOR, /* the backend has no file descriptor left for even one connection */
	HTTP_NO_MEMORY
} HttpOutcome;

/* What came of a request. All memory is the engine's and valid until the callback returns. */
typedef struct HttpResponse
{
	HttpOutcome outcome;
	const char *problem; /* what went wrong, for people; "" when answered */
	bool was_shared;     /* broken or timed out, perhaps with all that were on its connection */
	int status;          /* 0 when none was read */
	const char *head;    /* the header lines of the last answer, without the status line */
	const char *body;    /* NUL-terminated for convenience; may hold NULs */
	size_t body_length;
} HttpResponse;

/* A request's place in a run. Zeroed by the caller; private to the engine while the run lasts. */
typedef struct HttpExchange
{
	pairingheap_node delayed;
	int64 due;                     /* when it may be sent, on the clock of http_now() */
	struct HttpTransfer *transfer; /* while it is under way */
	bool was_unsent; /* whether its last sending lacked a descriptor, and has not left */
} HttpExchange;

/*
 * What a run asks of its caller. Both are called outside of curl and may throw.
 *
 * prepare: fills in the request, right before each sending (a signature depends on the time).
 * finish: takes the outcome; returns HTTP_DONE, or the pause in microseconds before it is sent again.
 */
#define HTTP_DONE (-1)

typedef struct HttpCaller
{
	void (*prepare)(HttpExchange *exchange, HttpRequest *request, void *context);
	int64 (*finish)(HttpExchange *exchange, const HttpResponse *response, void *context);
	void *context;
} HttpCaller;

/* Sends the requests of `count` exchanges, up to `concurrency` at once, until each is done. */
extern void http_run(HttpExchange **exchanges, int count, int concurrency,
					 const HttpCaller *caller);

/*
 * A run of its own, without an exchange yet, with up to `concurrency` under way at once. It ends with http_end(), or with the
 * current memory context, in which it is. `caller` is copied.
 */
typedef struct HttpRun HttpRun;

extern HttpRun *http_begin(int concurrency, const HttpCaller *caller);

/* Adds an exchange, to be sent after a pause in microseconds. It must stay until it is finished, or the run has ended. */
extern void http_add(HttpRun *run, HttpExchange *exchange, int64 pause);

/*
 * Lets a run go on: sends what is due, finishes what is done. Waits, where `wait`, until something has happened; it need
 * not be what the caller waits for. Without `wait` it only looks.
 */
extern void http_drive(HttpRun *run, bool wait);

/* Drops what is under way. None of the run's exchanges is finished any more, or may be asked for its stream. */
extern void http_end(HttpRun *run);

/*
 * What there is of a stream: once its successful answer has begun, true, with the head and the bytes that came and were not taken,
 * until the run is driven. It is finished, without a body, when all have been taken.
 */
extern bool http_peek(HttpExchange *exchange, HttpResponse *so_far);

/* Takes the first of these bytes. */
extern void http_take(HttpExchange *exchange, size_t length);

/*
 * Until it is called with 0, a run ends at this time, on the clock of http_now(), with what is not done left undone:
 * its exchanges are never finished. Whoever sets it takes it back, also after an error.
 */
extern void http_set_deadline(int64 until);

/*
 * The same for what is still to be said when a statement ends early: a run ends when somebody cancels, too. Where it was
 * a cancel that ended the statement, one that follows it at once is taken for the same. The caller holds interrupts. What an error has
 * left under way is dropped.
 */
extern void http_hurry(int64 until, bool after_cancel);

/* How many milliseconds are left for something of `timeout` milliseconds; at least 1. */
extern int http_time_left(int timeout);

/* Whether runs have no time left. An open run is its caller's to end then. */
extern bool http_is_given_up(void);

/* Closes idle connections, which hold descriptors, for somebody who lacks them. Whether there were any that could be closed. */
extern bool http_spare_descriptors(void);

/* Whether runs are in such a hurry. */
extern bool http_is_hurried(void);

/* The value of a header (any case), its length in `length`; NULL where the answer has none. */
extern const char *http_response_header(const HttpResponse *response, const char *name,
										size_t *length);

/* Seconds since the epoch of a date in a header (RFC 9110, 5.6.7); -1 for what is none. */
extern int64 http_parse_date(const char *date, size_t length);

/* The libraries that speak HTTP and TLS, with their versions. */
extern const char *http_libraries(void);

/* Microseconds on a clock that never goes back. */
extern int64 http_now(void);

#endif
