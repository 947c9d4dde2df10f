/*
 * transfer.h
 *		One request and its answer on one curl easy handle.
 *
 * The callbacks that curl runs record what comes in memory from malloc, within the request's limits,
 * and never throw.
 */
#ifndef ATHENA_CALC_HTTP_TRANSFER_H
#define ATHENA_CALC_HTTP_TRANSFER_H

#include "compat.h"

#include <curl/curl.h>

#include "http/buffer.h"
#include "http/descriptor.h"
#include "http/http.h"
#include "lib/ilist.h"

/* Whether a request may have others beside it on its connection, as streams of HTTP/2. */
typedef enum HttpSharing
{
	HTTP_UNSHARED, /* HTTP/1.1 */
	HTTP_OFFERED,  /* HTTP/2 where the server has it */
	HTTP_SHARED /* the same, and it waits for a connection that is being made rather than make one */
} HttpSharing;

typedef struct HttpTransfer
{
	dlist_node node; /* in the engine's list of transfers under way, or of idle ones */
	struct HttpRun *run;
	CURL *easy;
	CURLM *multi; /* the handle that it is part of; NULL for none */
	HttpExchange *exchange;
	CURLU *url;     /* that of the last request, as curl reads it */
	char *url_text; /* the same, from malloc; NULL when there was none, or it is none to curl */
	struct curl_slist *headers;
	ByteBuffer head;
	ByteBuffer body;
	size_t max_response_size;
	size_t window; /* of a stream; 0 where the answer is none, or not yet */
	size_t wanted_window;
	size_t taken; /* how many bytes of `body` the stream's reader has taken */
	bool paused;  /* whether curl was told to keep the stream's bytes */
	bool done;    /* whether curl is, with `result` */
	CURLcode result;
	int patience;         /* milliseconds without a byte; 0 where curl keeps the time */
	int connect_patience; /* until the request is sent */
	int64 last_moved;     /* when the last byte came or went */
	curl_off_t moved;     /* how many bytes have */
	char
		*ca_bundle; /* what the easy handle verifies against, from malloc; NULL when not yet told */
	bool too_large;
	bool head_too_large;
	bool head_complete; /* whether the empty line behind it was seen */
	bool sent;          /* whether its request has left once */
	HttpSharing sharing;
	uint32 origin;         /* of a request that is not unshared */
	SocketRefusal refusal; /* whether it has lacked a descriptor */
	char error[CURL_ERROR_SIZE];
} HttpTransfer;

/* A new transfer, in memory of the backend's life. Throws 53200. */
extern HttpTransfer *transfer_create(void);

/*
 * Prepares the easy handle for a request. Throws 53200, and 22023 for a header with a line break in it, with nothing left to clean up
 * but the transfer.
 */
extern void transfer_set_request(HttpTransfer *transfer, const HttpRequest *request,
								 HttpSharing sharing);

/* What came of it, once curl is done with `result`. */
extern void transfer_read_response(HttpTransfer *transfer, CURLcode result, HttpResponse *response);

/* Whether a stream has bytes that nobody has taken. */
extern bool transfer_has_unread(const HttpTransfer *transfer);

/* Takes bytes of a stream, and lets curl go on with it when all are taken. */
extern void transfer_take(HttpTransfer *transfer, size_t length);

/* When a patient transfer is to be given up, on the clock of http_now(); -1 for never. */
extern int64 transfer_patience_ends(const HttpTransfer *transfer);

/* Gives up a transfer for want of patience: its result is set. */
extern void transfer_time_out(HttpTransfer *transfer);

/* Makes ready for the next request: forgets this one and wipes its headers. The connection stays. */
extern void transfer_clear(HttpTransfer *transfer);

/* Ends it for good, with its connection if it is under way. */
extern void transfer_destroy(HttpTransfer *transfer);

#endif
