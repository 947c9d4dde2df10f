/*
 * http.c
 *		The engine: requests in, answers out. See http.h for the contract.
 *
 * The backend has one multi handle, made at the first use (never in the postmaster: what curl and OpenSSL
 * hold does not survive a fork), with curl's connections; and a few transfers, kept for reuse.
 */
#include "http/http.h"

#include <time.h>

#include <curl/curl.h>

#include "http/descriptor.h"
#include "http/transfer.h"
#include "http/wait.h"
#include "miscadmin.h"
#include "storage/ipc.h"

/* Idle transfers that are kept; each holds some 10 kB. Connections are kept apart from them, by curl. */
#define MAX_IDLE_TRANSFERS 128

/* Idle connections that are kept beyond those of a batch: to other services than the batch's. */
#define SPARE_CONNECTIONS 4

/* Signals that follow one another so soon are of one cancel. */
#define SAME_CANCEL_US 100000

typedef struct HttpRun
{
	const HttpCaller *caller;
	HttpExchange **exchanges;
	int count;
	int next;             /* the first that was never sent */
	int remaining;        /* how many are not done */
	int concurrency;      /* how many may be under way at once */
	int under_way;        /* how many are */
	pairingheap *delayed; /* those to be sent again, the soonest first */
} HttpRun;

static CURLM *multi = NULL;
static dlist_head active_transfers = DLIST_STATIC_INIT(active_transfers);
static dlist_head idle_transfers = DLIST_STATIC_INIT(idle_transfers);
static int idle_transfer_count = 0;
static int64 deadline = 0; /* of all runs; 0 for none */
static bool hurried = false;
static int64 same_cancel_until = 0; /* a cancel before this is one that is known */

int64
http_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

const char *
http_libraries(void)
{
	const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);

	return psprintf("libcurl %s, %s", curl->version,
					curl->ssl_version != NULL ? curl->ssl_version : "without TLS");
}

/*
 * At the backend's end: closes the connections in order. What is still under way was cut by FATAL; its
 * sockets end with the process, and curl is not asked to wait for a thread that resolves a name.
 */
static void
close_engine(int code, Datum argument)
{
	(void) code;
	(void) argument;
	if (multi != NULL && dlist_is_empty(&active_transfers))
		curl_multi_cleanup(multi);
	multi = NULL;
}

static void
start_engine(void)
{
	static bool initialized = false;

	if (!initialized)
	{
		CURLcode result = curl_global_init(CURL_GLOBAL_ALL);

		if (result != CURLE_OK)
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not start libcurl"),
							errdetail("%s", curl_easy_strerror(result))));
		on_proc_exit(close_engine, 0);
		initialized = true;
	}
	http_wait_start();
	if (multi == NULL)
	{
		multi = curl_multi_init();
		if (multi == NULL)
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
							errdetail("curl_multi_init failed.")));
		http_wait_attach(multi);
	}
}

/* Closes all idle connections: they may hold the last descriptors. Only while nothing is under way. */
static void
close_idle_connections(void)
{
	Assert(dlist_is_empty(&active_transfers));
	curl_multi_cleanup(multi);
	multi = NULL;
	start_engine();
}

static int
compare_due(const pairingheap_node *a, const pairingheap_node *b, void *unused)
{
	const HttpExchange *left = pairingheap_const_container(HttpExchange, delayed, a);
	const HttpExchange *right = pairingheap_const_container(HttpExchange, delayed, b);

	(void) unused;
	return left->due < right->due ? 1 : left->due > right->due ? -1 : 0;
}

static HttpTransfer *
acquire_transfer(void)
{
	HttpTransfer *transfer;

	if (dlist_is_empty(&idle_transfers))
		transfer = transfer_create();
	else
	{
		transfer = dlist_container(HttpTransfer, node, dlist_pop_head_node(&idle_transfers));
		idle_transfer_count--;
	}
	dlist_push_tail(&active_transfers, &transfer->node);
	return transfer;
}

/* Takes a transfer out of curl's hands; the connection of one that is not complete is closed. */
static void
leave_multi(HttpTransfer *transfer)
{
	if (transfer->multi != NULL)
	{
		curl_multi_remove_handle(transfer->multi, transfer->easy);
		transfer->multi = NULL;
	}
}

static void
release_transfer(HttpTransfer *transfer)
{
	dlist_delete(&transfer->node);
	if (idle_transfer_count < MAX_IDLE_TRANSFERS)
	{
		transfer_clear(transfer);
		dlist_push_head(&idle_transfers, &transfer->node);
		idle_transfer_count++;
	}
	else
		transfer_destroy(transfer);
}

/* Drops what is under way, connections included. */
static void
drop_active_transfers(void)
{
	while (!dlist_is_empty(&active_transfers))
	{
		HttpTransfer *transfer =
			dlist_container(HttpTransfer, node, dlist_pop_head_node(&active_transfers));

		leave_multi(transfer);
		transfer_destroy(transfer);
	}
}

static void
send_exchange(HttpRun *run, HttpExchange *exchange)
{
	HttpTransfer *transfer = acquire_transfer();
	HttpRequest request = {0};
	CURLMcode result;

	transfer->exchange = exchange;
	run->caller->prepare(exchange, &request, run->caller->context);
	transfer_set_request(transfer, &request);
	result = curl_multi_add_handle(multi, transfer->easy);
	if (result != CURLM_OK)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not send a request"),
						errdetail("%s", curl_multi_strerror(result))));
	transfer->multi = multi;
	run->under_way++;
}

static void
delay_exchange(HttpRun *run, HttpExchange *exchange, int64 pause)
{
	exchange->due = http_now() + pause;
	pairingheap_add(run->delayed, &exchange->delayed);
}

/* The exchange that may be sent now, or NULL. */
static HttpExchange *
next_exchange(HttpRun *run)
{
	if (!pairingheap_is_empty(run->delayed))
	{
		HttpExchange *first =
			pairingheap_container(HttpExchange, delayed, pairingheap_first(run->delayed));

		if (first->due <= http_now())
		{
			pairingheap_remove_first(run->delayed);
			return first;
		}
	}
	if (run->next < run->count)
		return run->exchanges[run->next++];
	return NULL;
}

static void
send_due_exchanges(HttpRun *run)
{
	while (run->under_way < run->concurrency)
	{
		HttpExchange *exchange;

		/* Where descriptors are short, those under way go on and the others wait their turn. */
		if (!descriptor_reserve(run->under_way + 1) && run->under_way > 0)
		{
			run->concurrency = run->under_way;
			return;
		}
		exchange = next_exchange(run);
		if (exchange == NULL)
			return;
		send_exchange(run, exchange);
	}
}

/*
 * A connection was refused a descriptor. True when the request may try again: with one more descriptor,
 * when another request is done, or after idle connections to other hosts were closed.
 */
static bool
find_descriptor(HttpRun *run)
{
	/* Refused in spite of a reservation, it was the system that had none: the others must make room. */
	if (descriptor_all_open() && descriptor_reserve(descriptor_open_count() + 1))
		return true;
	if (run->under_way > 0)
	{
		run->concurrency = run->under_way;
		return true;
	}
	if (descriptor_open_count() > 0)
	{
		close_idle_connections();
		return true;
	}
	return false;
}

static void
finish_transfer(HttpRun *run, HttpTransfer *transfer, CURLcode result)
{
	HttpExchange *exchange = transfer->exchange;
	HttpResponse response;
	int64 pause;

	transfer_read_response(transfer, result, &response);
	leave_multi(transfer);
	run->under_way--;

	if (response.outcome == HTTP_NO_DESCRIPTOR)
	{
		dlist_delete(&transfer->node); /* nothing may be active when idle connections are closed */
		transfer_destroy(transfer);
		if (find_descriptor(run))
		{
			delay_exchange(run, exchange, 0);
			return;
		}
		response.problem = "no file descriptor is left for a connection";
		response.head = response.body = "";
		response.body_length = 0;
		transfer = NULL;
	}

	pause = run->caller->finish(exchange, &response, run->caller->context);
	if (transfer != NULL)
		release_transfer(transfer);
	if (pause == HTTP_DONE)
		run->remaining--;
	else
		delay_exchange(run, exchange, pause);
}

static void
finish_done_transfers(HttpRun *run)
{
	CURLMsg *message;
	int queued;

	while ((message = curl_multi_info_read(multi, &queued)) != NULL)
	{
		char *transfer = NULL;
		CURLcode result = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
		finish_transfer(run, (HttpTransfer *) transfer, result);
	}
}

/* Ends the transfers whose sockets were refused, whatever curl thinks of them. */
static void
finish_refused_transfers(HttpRun *run)
{
	dlist_mutable_iter iterator;

	dlist_foreach_modify (iterator, &active_transfers)
	{
		HttpTransfer *transfer = dlist_container(HttpTransfer, node, iterator.cur);

		if (transfer->no_descriptor)
			finish_transfer(run, transfer, CURLE_COULDNT_CONNECT);
	}
}

/* When there is something to send again; -1 for never, or when there is no room for it anyway. */
static int64
next_due(const HttpRun *run)
{
	if (run->under_way >= run->concurrency || pairingheap_is_empty(run->delayed))
		return -1;
	return pairingheap_container(HttpExchange, delayed, pairingheap_first(run->delayed))->due;
}

static void
leave_nothing_under_way(void)
{
	drop_active_transfers();
	descriptor_release_unused();
}

void
http_set_deadline(int64 until)
{
	deadline = until;
}

void
http_hurry(int64 until, bool after_cancel)
{
	if (until != 0)
		leave_nothing_under_way();
	deadline = until;
	hurried = until != 0;
	same_cancel_until = hurried && after_cancel ? http_now() + SAME_CANCEL_US : 0;
}

bool
http_is_hurried(void)
{
	return hurried;
}

int
http_time_left(int timeout)
{
	int64 left = (deadline - http_now()) / 1000;

	return deadline == 0 ? timeout : (int) Max(1, Min(timeout, left));
}

/*
 * One cancel may come as two signals: PostgreSQL sends it to the backend and to its process group. What ends the backend
 * is no reason to say less.
 */
bool
http_hurry_is_over(void)
{
	if (!hurried)
		return false;
	if (QueryCancelPending && http_now() < same_cancel_until)
		QueryCancelPending = false;
	return QueryCancelPending || http_now() >= deadline;
}

/* Whether a run has no time left. */
static bool
is_given_up(void)
{
	return (deadline != 0 && http_now() >= deadline) || http_hurry_is_over();
}

/* When there is something to do whatever the sockets do; -1 for never. */
static int64
next_due_of_all(const HttpRun *run)
{
	int64 due = next_due(run);

	return deadline != 0 && (due < 0 || deadline < due) ? deadline : due;
}

static void
run_to_the_end(HttpRun *run)
{
	PG_TRY();
	{
		while (run->remaining > 0 && !is_given_up())
		{
			send_due_exchanges(run);
			http_wait(multi, next_due_of_all(run));
			finish_done_transfers(run);
			if (descriptor_was_refused())
				finish_refused_transfers(run);
		}
	}
	PG_CATCH();
	{
		leave_nothing_under_way();
		PG_RE_THROW();
	}
	PG_END_TRY();
	leave_nothing_under_way();
}

void
http_run(HttpExchange **exchanges, int count, int concurrency, const HttpCaller *caller)
{
	HttpRun run = {.caller = caller,
				   .exchanges = exchanges,
				   .count = count,
				   .remaining = count,
				   .concurrency = concurrency};

	start_engine();
	/* As many idle connections stay as may be used at once the next time. */
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) concurrency + SPARE_CONNECTIONS);
	run.delayed = pairingheap_allocate(compare_due, NULL);
	run_to_the_end(&run);
	pairingheap_free(run.delayed);
}
