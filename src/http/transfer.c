/*
 * transfer.c
 *		One request and its answer on one curl easy handle. See transfer.h.
 */
#include "http/transfer.h"

#include <string.h>
#include <strings.h>

#include "http/authorities.h"
#include "utils/memutils.h"

/* More than any service sends; what goes beyond is an attack on the backend's memory. */
#define MAX_HEAD_BYTES (64 * 1024)

/* From this size on some versions of curl send "Expect: 100-continue". */
#define MIN_EXPECT_BYTES 1024

/* The last second of the year 9999: a year of a header's date has four digits, which curl does not insist on. */
#define LAST_DATE INT64CONST(253402300799)

/* What an idle transfer may keep of an answer's memory for the next. */
#define MAX_KEPT_BODY_BYTES (64 * 1024)

static size_t
header_callback(char *line, size_t size, size_t count, void *context)
{
	HttpTransfer *transfer = context;
	size_t length = size * count;

	/* Each answer starts anew: what an interim one (1xx) said is not about this request's outcome. */
	if (length >= 5 && memcmp(line, "HTTP/", 5) == 0)
	{
		buffer_reset(&transfer->head);
		transfer->head_complete = false;
		return length;
	}
	if (line[0] == '\r' || line[0] == '\n')
	{
		long status = 0;

		transfer->head_complete = true;
		curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
		if (status >= 200 && status < 300)
			transfer->window = transfer->wanted_window;
	}
	if (transfer->head.length + length > MAX_HEAD_BYTES)
	{
		transfer->head_too_large = true;
		return 0;
	}
	return buffer_append(&transfer->head, line, length) ? length : 0;
}

static size_t
write_callback(char *bytes, size_t size, size_t count, void *context)
{
	HttpTransfer *transfer = context;
	size_t length = size * count;

	if (transfer->window > 0)
	{
		/* What was read comes again when the stream is taken up; until then the server has to wait. */
		if (transfer_has_unread(transfer) && transfer->body.length + length > transfer->window)
		{
			transfer->paused = true;
			return CURL_WRITEFUNC_PAUSE;
		}
		return buffer_append(&transfer->body, bytes, length) ? length : 0;
	}
	if (length > transfer->max_response_size - transfer->body.length)
	{
		transfer->too_large = true;
		return 0;
	}
	return buffer_append(&transfer->body, bytes, length) ? length : 0;
}

/*
 * curl asks before it sends. On a kept connection that ends without an answer it would send the request
 * again by itself: the same signature, another request, uncounted. What is tried again is our caller's to say.
 */
#if CURL_AT_LEAST_VERSION(7, 80, 0)
static int
before_request_callback(void *context, char *primary_ip, char *local_ip, int primary_port,
						int local_port)
{
	HttpTransfer *transfer = context;

	(void) primary_ip;
	(void) local_ip;
	(void) primary_port;
	(void) local_port;
	if (transfer->sent)
		return CURL_PREREQFUNC_ABORT;
	transfer->sent = true;
	transfer->last_moved = http_now();
	return CURL_PREREQFUNC_OK;
}
#endif

/* curl tells how far it is, many times a second. */
static int
progress_callback(void *context, curl_off_t download_total, curl_off_t downloaded,
				  curl_off_t upload_total, curl_off_t uploaded)
{
	HttpTransfer *transfer = context;

	(void) download_total;
	(void) upload_total;
	if (downloaded + uploaded != transfer->moved)
	{
		transfer->moved = downloaded + uploaded;
		transfer->last_moved = http_now();
	}
	return 0;
}

static bool
set_certificate_authorities(HttpTransfer *transfer, const char *ca_bundle)
{
	char *copy;

	if (transfer->ca_bundle != NULL && strcmp(transfer->ca_bundle, ca_bundle) == 0)
		return true;
	copy = strdup(ca_bundle);
	if (copy != NULL && !authorities_attach(transfer->easy, copy))
	{
		free(copy);
		copy = NULL;
	}
	free(transfer->ca_bundle);
	transfer->ca_bundle = copy;
	return copy != NULL;
}

/*
 * Tells the URL. One that the request before had is kept as curl has read it: curl would read it anew for each request and print
 * it again, which is 6 % of all that a small request takes.
 * https://curl.se/libcurl/c/CURLOPT_CURLU.html
 */
static bool
set_url(HttpTransfer *transfer, const char *url)
{
	CURLUcode read;

	if (transfer->url_text != NULL && strcmp(transfer->url_text, url) == 0)
		return true;

	free(transfer->url_text);
	transfer->url_text = NULL;
	read = curl_url_set(transfer->url, CURLUPART_URL, url, CURLU_PATH_AS_IS);
	if (read == CURLUE_OUT_OF_MEMORY)
		return false;
	/* The URL itself comes last, for the handle takes it back. What curl cannot read here it refuses, with its reason, there. */
	curl_easy_setopt(transfer->easy, CURLOPT_CURLU, read == CURLUE_OK ? transfer->url : NULL);
	if (curl_easy_setopt(transfer->easy, CURLOPT_URL, url) != CURLE_OK)
		return false;
	if (read == CURLUE_OK)
		transfer->url_text = strdup(url);
	return read != CURLUE_OK || transfer->url_text != NULL;
}

/* One request after another is cheaper with HTTP/1.1. A library without HTTP/2 stays with that. */
static void
set_sharing(HttpTransfer *transfer, HttpSharing sharing)
{
	transfer->sharing = sharing;
	curl_easy_setopt(
		transfer->easy, CURLOPT_HTTP_VERSION,
		(long) (sharing == HTTP_UNSHARED ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS));
	curl_easy_setopt(transfer->easy, CURLOPT_PIPEWAIT, sharing == HTTP_SHARED ? 1L : 0L);
}

/* What holds for every request. False where there is no memory. */
static bool
set_constant_options(HttpTransfer *transfer)
{
	CURL *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, header_callback);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, write_callback);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, progress_callback);
	curl_easy_setopt(easy, CURLOPT_XFERINFODATA, transfer);
#if CURL_AT_LEAST_VERSION(7, 80, 0)
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_request_callback);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
#endif
	descriptor_attach(easy, &transfer->refusal);

	/* SIGALRM is PostgreSQL's. */
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	/* Do not wait for a thread that resolves a name when its answer is no longer wanted. */
#if CURL_AT_LEAST_VERSION(7, 87, 0)
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif

	/* Only what was asked for, from whom it was asked: no redirects, no proxy of the environment. */
#if CURL_AT_LEAST_VERSION(7, 85, 0)
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long) (CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	if (curl_easy_setopt(easy, CURLOPT_PROXY, "") != CURLE_OK ||
		curl_easy_setopt(easy, CURLOPT_NOPROXY, "") != CURLE_OK)
		return false;
	curl_easy_setopt(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);

	set_sharing(transfer, HTTP_UNSHARED);
	curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	/* The path that was signed is the path that is sent, dots and all. */
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	return true;
}

HttpTransfer *
transfer_create(void)
{
	HttpTransfer *transfer = MemoryContextAllocZero(TopMemoryContext, sizeof(HttpTransfer));

	transfer->easy = curl_easy_init();
	transfer->url = curl_url();
	if (transfer->easy == NULL || transfer->url == NULL || !set_constant_options(transfer))
	{
		curl_easy_cleanup(transfer->easy);
		curl_url_cleanup(transfer->url);
		pfree(transfer);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("A request could not be prepared.")));
	}
	return transfer;
}

/* Adds a header; one without a value is one that curl shall not send. */
static bool
add_header(HttpTransfer *transfer, const HttpHeader *header, ByteBuffer *line)
{
	struct curl_slist *headers;

	buffer_reset(line);
	buffer_append_string(line, header->name);
	if (header->value == NULL)
		buffer_append_char(line, ':');
	else if (header->value[0] == '\0')
		buffer_append_char(line, ';'); /* curl's way to say "an empty value" */
	else
	{
		buffer_append_string(line, ": ");
		buffer_append_string(line, header->value);
	}
	if (line->failed)
		return false;
	headers = curl_slist_append(transfer->headers, line->data);
	if (headers == NULL)
		return false;
	transfer->headers = headers;
	return true;
}

static bool
is_head(const HttpRequest *request)
{
	return strcmp(request->method, "HEAD") == 0;
}

static bool
has_body(const HttpRequest *request)
{
	return strcmp(request->method, "GET") != 0 && !is_head(request);
}

/* A line break in a header would be the end of it, and what follows it another header, or another request. */
static void
refuse_line_breaks(const HttpRequest *request)
{
	for (int i = 0; i < request->header_count; i++)
	{
		const char *value = request->headers[i].value;

		if (value != NULL && (strchr(value, '\r') != NULL || strchr(value, '\n') != NULL))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("the header \"%s\" of a request would have a line break",
								   request->headers[i].name)));
	}
}

static bool
add_headers(HttpTransfer *transfer, const HttpRequest *request)
{
	/* curl would wait for a "100 Continue" with a body that is not small, and call a body a form's. */
	const HttpHeader no_expect = {"Expect", NULL};
	const HttpHeader no_type = {"Content-Type", NULL};
	ByteBuffer line = {0};
	bool added = true;
	bool has_type = false;

	for (int i = 0; added && i < request->header_count; i++)
	{
		has_type = has_type || strcasecmp(request->headers[i].name, no_type.name) == 0;
		added = add_header(transfer, &request->headers[i], &line);
	}
	if (added && request->body_length > MIN_EXPECT_BYTES)
		added = add_header(transfer, &no_expect, &line);
	if (added && !has_type && has_body(request))
		added = add_header(transfer, &no_type, &line);
	buffer_free(&line);
	return added;
}

/* The limits of time and size, as far as curl keeps them. */
static void
set_limits(HttpTransfer *transfer, const HttpRequest *request)
{
	CURL *easy = transfer->easy;
	long connect_timeout = request->connect_timeout;
	long timeout = request->timeout;

	transfer->max_response_size = request->max_response_size;
	transfer->body.limit =
		Max(request->max_response_size, request->window + CURL_MAX_WRITE_SIZE) + 1; /* and a NUL */
	transfer->wanted_window = request->window;
	transfer->last_moved = http_now();
	transfer->moved = 0;
	transfer->patience = transfer->connect_patience = 0;
	if (request->is_patient)
	{
		transfer->patience = request->timeout;
		transfer->connect_patience = request->connect_timeout;
		connect_timeout = INT_MAX; /* 0 would be curl's own limit */
		timeout = 0;
	}
	curl_easy_setopt(easy, CURLOPT_NOPROGRESS, request->is_patient ? 0L : 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_timeout);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout);
	/* curl measures by what the head announces, also where no body comes. */
	curl_easy_setopt(
		easy, CURLOPT_MAXFILESIZE_LARGE,
		request->window > 0 || is_head(request) ? 0 : (curl_off_t) request->max_response_size);
}

void
transfer_set_request(HttpTransfer *transfer, const HttpRequest *request, HttpSharing sharing)
{
	CURL *easy = transfer->easy;
	bool set;

	refuse_line_breaks(request);
	transfer->error[0] = '\0';
	set_limits(transfer, request);
	if (sharing != transfer->sharing)
		set_sharing(transfer, sharing);

	set = add_headers(transfer, request);
	set = set && set_url(transfer, request->url);
	if (has_body(request))
	{
		/* To curl any body from memory is a POST's; the method's name goes beside it. */
		curl_easy_setopt(easy, CURLOPT_NOBODY, 0L);
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		set = set && curl_easy_setopt(
						 easy, CURLOPT_CUSTOMREQUEST,
						 strcmp(request->method, "POST") == 0 ? NULL : request->method) == CURLE_OK;
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->body_length);
	}
	else
	{
		curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L); /* also takes back CURLOPT_NOBODY */
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
		if (is_head(request))
			curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	}
	/* A server may send a body with the answer to HEAD all the same, and the next answer would begin with it. */
	curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, is_head(request) ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
	set = set && set_certificate_authorities(transfer,
											 request->ca_bundle != NULL ? request->ca_bundle : "");

	if (!set)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("A request could not be prepared.")));
}

/* Whether the request has left, or begun to. */
static bool
was_sent(const HttpTransfer *transfer)
{
#if CURL_AT_LEAST_VERSION(7, 80, 0)
	return transfer->sent;
#else
	long request_bytes = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &request_bytes);
	return request_bytes > 0;
#endif
}

static HttpOutcome
outcome_of(HttpTransfer *transfer, CURLcode result)
{
	bool sent = was_sent(transfer);

	/* Once it has left, it is for our caller to say whether it is sent again. */
	if (result != CURLE_OK && transfer->refusal != SOCKET_NOT_REFUSED && !sent)
		return HTTP_NO_DESCRIPTOR;
	switch (result)
	{
		case CURLE_OK:
			/* To curl a connection that ends within the head is the end of an empty answer. */
			return transfer->head_complete ? HTTP_ANSWERED : HTTP_BROKEN;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_ISSUER_ERROR:
			return HTTP_UNVERIFIED;
		case CURLE_OPERATION_TIMEDOUT:
			return sent ? HTTP_TIMED_OUT : HTTP_UNREACHABLE;
		case CURLE_FILESIZE_EXCEEDED:
			return HTTP_TOO_LARGE;
		case CURLE_WRITE_ERROR:
			if (transfer->too_large)
				return HTTP_TOO_LARGE;
			return transfer->head_too_large ? HTTP_MALFORMED : HTTP_NO_MEMORY;
#if CURL_AT_LEAST_VERSION(8, 6, 0)
		case CURLE_TOO_LARGE:
#endif
		case CURLE_OUT_OF_MEMORY:
			/* Also curl's word for a header line that is longer than it takes (100 kB). */
			transfer->head_too_large = sent && !transfer->head_complete;
			return transfer->head_too_large ? HTTP_MALFORMED : HTTP_NO_MEMORY;
		case CURLE_WEIRD_SERVER_REPLY:
		case CURLE_UNSUPPORTED_PROTOCOL: /* also a version of HTTP that is none */
		case CURLE_BAD_CONTENT_ENCODING:
			return HTTP_MALFORMED;
		default:
			return sent ? HTTP_BROKEN : HTTP_UNREACHABLE;
	}
}

void
transfer_read_response(HttpTransfer *transfer, CURLcode result, HttpResponse *response)
{
	long status = 0;

	response->outcome = outcome_of(transfer, result);
	response->problem = "";
	response->was_shared = false;
	if (result == CURLE_PEER_FAILED_VERIFICATION)
		authorities_forget();
	if (transfer->head_too_large)
		response->problem = "the head of the answer is too large";
	else if (result == CURLE_OK && response->outcome == HTTP_BROKEN)
		response->problem = "the connection ended within the head of the answer";
	else if (result == CURLE_ABORTED_BY_CALLBACK)
		response->problem = "the connection ended without an answer";
	else if (result == CURLE_SSL_CACERT_BADFILE && authorities_last_problem()[0] != '\0')
		response->problem = authorities_last_problem();
	else if (result != CURLE_OK)
		response->problem =
			transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(result);

	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	response->status = (int) status;
	response->head = transfer->head.data != NULL ? transfer->head.data : "";
	response->body = transfer->body.data != NULL ? transfer->body.data + transfer->taken : "";
	response->body_length = transfer->body.length - transfer->taken;
}

bool
transfer_has_unread(const HttpTransfer *transfer)
{
	return transfer->window > 0 && transfer->taken < transfer->body.length;
}

void
transfer_take(HttpTransfer *transfer, size_t length)
{
	Assert(length <= transfer->body.length - transfer->taken);
	transfer->taken += length;
	if (transfer->taken < transfer->body.length)
		return;
	buffer_reset(&transfer->body);
	transfer->taken = 0;
	if (transfer->paused)
	{
		CURLcode result;

		transfer->paused = false;
		transfer->last_moved = http_now();
		result = curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
		/* Bytes that curl had kept are lost then. */
		if (result != CURLE_OK)
		{
			transfer->done = true;
			transfer->result = result;
		}
	}
}

/* How many milliseconds it may do nothing. */
static int
patience_of(const HttpTransfer *transfer)
{
	return was_sent(transfer) ? transfer->patience : transfer->connect_patience;
}

int64
transfer_patience_ends(const HttpTransfer *transfer)
{
	if (transfer->patience == 0 || transfer->paused || transfer->done)
		return -1;
	return transfer->last_moved + INT64CONST(1000) * patience_of(transfer);
}

void
transfer_time_out(HttpTransfer *transfer)
{
	snprintf(transfer->error, sizeof(transfer->error), "nothing came or went for %d ms",
			 patience_of(transfer));
	transfer->done = true;
	transfer->result = CURLE_OPERATION_TIMEDOUT;
}

void
transfer_clear(HttpTransfer *transfer)
{
	for (struct curl_slist *header = transfer->headers; header != NULL; header = header->next)
		explicit_bzero(header->data, strlen(header->data));
	curl_slist_free_all(transfer->headers);
	transfer->headers = NULL;
	curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, NULL);
	curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDS, NULL);

	buffer_reset(&transfer->head);
	if (transfer->body.capacity > MAX_KEPT_BODY_BYTES)
		buffer_free(&transfer->body);
	else
	{
		/* There may have been credentials in it. */
		if (transfer->body.length > 0)
			explicit_bzero(transfer->body.data, transfer->body.length);
		buffer_reset(&transfer->body);
	}
	transfer->exchange = NULL;
	transfer->run = NULL;
	transfer->window = transfer->wanted_window = transfer->taken = 0;
	transfer->paused = false;
	transfer->done = false;
	transfer->too_large = false;
	transfer->head_too_large = false;
	transfer->head_complete = false;
	transfer->sent = false;
	transfer->refusal = SOCKET_NOT_REFUSED;
}

void
transfer_destroy(HttpTransfer *transfer)
{
	transfer_clear(transfer);
	curl_easy_cleanup(transfer->easy);
	curl_url_cleanup(transfer->url);
	free(transfer->url_text);
	buffer_free(&transfer->head);
	buffer_free(&transfer->body);
	free(transfer->ca_bundle);
	pfree(transfer);
}

const char *
http_response_header(const HttpResponse *response, const char *name, size_t *length)
{
	size_t name_length = strlen(name);

	for (const char *line = response->head; *line != '\0';)
	{
		size_t line_length = strcspn(line, "\r\n");

		if (line_length > name_length && line[name_length] == ':' &&
			strncasecmp(line, name, name_length) == 0)
		{
			const char *value = line + name_length + 1;
			const char *end = line + line_length;

			while (value < end && (*value == ' ' || *value == '\t'))
				value++;
			while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
				end--;
			*length = (size_t) (end - value);
			return value;
		}
		line += line_length;
		line += strspn(line, "\r\n");
	}
	return NULL;
}

int64
http_parse_date(const char *date, size_t length)
{
	char copy[64];
	int64 then;

	if (length >= sizeof(copy))
		return -1;
	memcpy(copy, date, length);
	copy[length] = '\0';
	then = (int64) curl_getdate(copy, NULL);
	return then <= LAST_DATE ? then : -1;
}
