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

#include "http/origin.h"
#include "http/transfer.h"
#include "http/wait.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"

/* Idle transfers that are kept; each holds some 10 kB. Connections are kept apart from them, by curl. */
#define MAX_IDLE_TRANSFERS 128

/* Idle connections that are kept beyond those of a batch: to other services than the batch's. */
#define SPARE_CONNECTIONS 4

/* Signals that follow one another so soon are of one cancel. */
#define SAME_CANCEL_US 100000

struct HttpRun
{
	HttpCaller caller;
	HttpExchange **exchanges; /* of http_run(), which are all known from the beginning */
	int count;
	int next;        /* the first that was never sent */
	int remaining;   /* how many are not done */
	int concurrency; /* how many may be under way at once, as far as descriptors go */
	int wanted;      /* how many the caller would have */
	int others;      /* sockets that may be open beside one for each transfer: idle connections */
	int under_way;   /* how many are */
	pairingheap *delayed; /* those to be sent later, the soonest first */
	bool has_offered;     /* whether one of its requests has offered HTTP/2 */
	bool has_lost;        /* whether requests that shared a connection were lost with it */
	bool is_open;         /* whether it goes on while its caller does something else */
	int64 driven;         /* when that was last the case no more */
	MemoryContextCallback at_end;
};

static CURLM *multi = NULL;
static dlist_head active_transfers = DLIST_STATIC_INIT(active_transfers); /* of all runs */
static int active_transfer_count = 0;
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
	/* While something is under way, that has to be given up first: it can only fail. */
	if (multi != NULL && http_wait_is_broken() && dlist_is_empty(&active_transfers))
	{
		curl_multi_cleanup(multi);
		multi = NULL;
	}
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

bool
http_spare_descriptors(void)
{
	if (multi == NULL || active_transfer_count > 0 || descriptor_open_count() == 0)
		return false;
	close_idle_connections();
	descriptor_release_unused();
	return true;
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
	active_transfer_count++;
	return transfer;
}

static void
deactivate(HttpTransfer *transfer)
{
	dlist_delete(&transfer->node);
	active_transfer_count--;
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
	deactivate(transfer);
	if (idle_transfer_count < MAX_IDLE_TRANSFERS)
	{
		transfer_clear(transfer);
		dlist_push_head(&idle_transfers, &transfer->node);
		idle_transfer_count++;
	}
	else
		transfer_destroy(transfer);
}

/* Drops what is under way of a run, connections included; of all that are not open where `run` is NULL. */
static void
drop_transfers(const HttpRun *run)
{
	dlist_mutable_iter iterator;

	dlist_foreach_modify (iterator, &active_transfers)
	{
		HttpTransfer *transfer = dlist_container(HttpTransfer, node, iterator.cur);

		if (run != NULL ? transfer->run != run : transfer->run->is_open)
			continue;
		deactivate(transfer);
		leave_multi(transfer);
		transfer_destroy(transfer);
	}
	if (active_transfer_count == 0)
		descriptor_release_unused();
}

/*
 * How a request is to be sent: one of many may share a connection. Those of open runs stay apart, for a stream that waits for its
 * reader must not hold up others.
 */
static HttpSharing
choose_sharing(HttpRun *run, HttpTransfer *transfer, const char *url)
{
	if (run->is_open || run->count < 2 || run->concurrency < 2 || run->has_lost ||
		strncmp(url, "https:", 6) != 0)
		return HTTP_UNSHARED;
	transfer->origin = origin_of(url);
	switch (origin_protocol(transfer->origin))
	{
		case ORIGIN_HTTP2:
			return HTTP_SHARED;
		case ORIGIN_UNKNOWN:
			if (run->has_offered)
				return HTTP_UNSHARED;
			run->has_offered = true;
			return HTTP_OFFERED;
		default:
			return HTTP_UNSHARED;
	}
}

/*
 * Remembers what came of an offer of HTTP/2. Where requests were lost, they were lost together: what remains of the run is sent by
 * HTTP/1.1, and the next run offers anew.
 */
static void
learn_from(HttpRun *run, HttpTransfer *transfer, HttpResponse *response)
{
	long version = 0;

	if (response->outcome == HTTP_ANSWERED)
	{
		curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_VERSION, &version);
		origin_remember(transfer->origin,
						version == CURL_HTTP_VERSION_2_0 ? ORIGIN_HTTP2 : ORIGIN_HTTP1);
	}
	else if (transfer->sharing == HTTP_SHARED &&
			 (response->outcome == HTTP_BROKEN || response->outcome == HTTP_TIMED_OUT))
	{
		response->was_shared = run->has_lost = true;
		origin_remember(transfer->origin, ORIGIN_UNKNOWN);
	}
}

static void
send_exchange(HttpRun *run, HttpExchange *exchange)
{
	HttpTransfer *transfer = acquire_transfer();
	HttpRequest request = {0};
	CURLMcode result;

	transfer->exchange = exchange;
	transfer->run = run;
	run->caller.prepare(exchange, &request, run->caller.context);
	exchange->was_unsent = false;
	transfer_set_request(transfer, &request, choose_sharing(run, transfer, request.url));
	result = curl_multi_add_handle(multi, transfer->easy);
	if (result != CURLM_OK)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not send a request"),
						errdetail("%s", curl_multi_strerror(result))));
	transfer->multi = multi;
	exchange->transfer = transfer;
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

/* Whether one of the run's transfers will make room by itself: a stream that is paused waits for its reader. */
static bool
will_make_room(const HttpRun *run)
{
	dlist_iter iterator;

	dlist_foreach (iterator, &active_transfers)
	{
		const HttpTransfer *transfer = dlist_container(HttpTransfer, node, iterator.cur);

		if (transfer->run == run && !transfer->paused && !transfer_has_unread(transfer))
			return true;
	}
	return false;
}

static void
send_due_exchanges(HttpRun *run)
{
	while (run->under_way < run->concurrency)
	{
		HttpExchange *exchange;

		/* Where descriptors are short, those under way go on and the others wait their turn. */
		if (!descriptor_reserve(run->others + active_transfer_count + 1) &&
			!descriptor_reserve(active_transfer_count + 1) && will_make_room(run))
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
 * A connection was refused a descriptor. True when the request may try again: with one more descriptor, or that of a set,
 * when another request is done, or after idle connections to other hosts were closed.
 */
static bool
find_descriptor(HttpRun *run, SocketRefusal refusal)
{
	/* More sockets were open than were counted with: a host may have two addresses that are tried at once. */
	if (refusal == SOCKET_UNRESERVED)
	{
		run->others++;
		if (descriptor_reserve(Max(descriptor_open_count(), run->others + active_transfer_count) +
							   1))
			return true;
	}
	if (will_make_room(run))
	{
		run->concurrency = run->under_way;
		return true;
	}
	if (http_wait_spare(multi))
		return true;
	if (active_transfer_count == 0 && descriptor_open_count() > 0)
	{
		close_idle_connections();
		run->others = 0;
		run->concurrency = run->wanted;
		return true;
	}
	return false;
}

static void
finish_transfer(HttpRun *run, HttpTransfer *transfer)
{
	HttpExchange *exchange = transfer->exchange;
	HttpResponse response;
	int64 pause;

	transfer_read_response(transfer, transfer->result, &response);
	if (transfer->sharing != HTTP_UNSHARED)
		learn_from(run, transfer, &response);
	leave_multi(transfer);
	exchange->transfer = NULL;
	run->under_way--;

	if (response.outcome == HTTP_NO_DESCRIPTOR)
	{
		SocketRefusal refusal = transfer->refusal;

		deactivate(transfer); /* nothing may be active when idle connections are closed */
		transfer_destroy(transfer);
		if (find_descriptor(run, refusal))
		{
			exchange->was_unsent = true;
			delay_exchange(run, exchange, 0);
			return;
		}
		response.problem = "no file descriptor is left for a connection";
		response.head = response.body = "";
		response.body_length = 0;
		transfer = NULL;
	}

	pause = run->caller.finish(exchange, &response, run->caller.context);
	if (transfer != NULL)
		release_transfer(transfer);
	if (pause == HTTP_DONE)
		run->remaining--;
	else
		delay_exchange(run, exchange, pause);
}

/* Whether a transfer's exchange can be finished: it is done, and of a stream all is read. */
static bool
can_be_finished(const HttpRun *run, const HttpTransfer *transfer)
{
	return transfer->run == run && transfer->done && !transfer_has_unread(transfer);
}

/* Takes what curl tells: what of this run is done is finished, what of others is noted for them. */
static void
finish_told_transfers(HttpRun *run)
{
	CURLMsg *message;
	int queued;

	while ((message = curl_multi_info_read(multi, &queued)) != NULL)
	{
		char *pointer = NULL;
		HttpTransfer *transfer;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &pointer);
		transfer = (HttpTransfer *) pointer;
		transfer->done = true;
		transfer->result = message->data.result;
		if (can_be_finished(run, transfer))
			finish_transfer(run, transfer);
	}
}

static HttpTransfer *
find_finishable_transfer(const HttpRun *run)
{
	dlist_iter iterator;

	dlist_foreach (iterator, &active_transfers)
	{
		HttpTransfer *transfer = dlist_container(HttpTransfer, node, iterator.cur);

		if (can_be_finished(run, transfer))
			return transfer;
	}
	return NULL;
}

/* Finishes what was noted. Callbacks may run others, and add more: the list is looked through anew after each. */
static void
finish_noted_transfers(HttpRun *run)
{
	HttpTransfer *transfer;

	while ((transfer = find_finishable_transfer(run)) != NULL)
		finish_transfer(run, transfer);
}

/* Notes the transfers whose sockets were refused as done, whatever curl thinks of them. */
static void
note_refused_transfers(void)
{
	dlist_iter iterator;

	dlist_foreach (iterator, &active_transfers)
	{
		HttpTransfer *transfer = dlist_container(HttpTransfer, node, iterator.cur);

		if (transfer->refusal != SOCKET_NOT_REFUSED && !transfer->done)
		{
			transfer->done = true;
			transfer->result = CURLE_COULDNT_CONNECT;
		}
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

void
http_set_deadline(int64 until)
{
	deadline = until;
}

void
http_hurry(int64 until, bool after_cancel)
{
	if (until != 0 && active_transfer_count > 0)
		drop_transfers(NULL);
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
 * Whether somebody has lost patience with what is said in a hurry. One cancel may come as two signals: PostgreSQL sends it to the backend and to its process group. A conflict with recovery comes
 * again and again until the transaction has ended. What ends the backend is no reason to say less.
 */
static bool
hurry_is_over(void)
{
	if (!hurried)
		return false;
	if (QueryCancelPending && (http_now() < same_cancel_until || MyProc->recoveryConflictPending))
		QueryCancelPending = false;
	return QueryCancelPending || http_now() >= deadline;
}

bool
http_is_given_up(void)
{
	return (deadline != 0 && http_now() >= deadline) || hurry_is_over();
}

/* When there is something to do whatever the sockets do; -1 for never. */
static int64
next_due_of_all(const HttpRun *run)
{
	int64 due = next_due(run);

	return deadline != 0 && (due < 0 || deadline < due) ? deadline : due;
}

/* One round. Without `wait` it only looks what there is. */
static void
go_on(HttpRun *run, int64 due, bool wait)
{
	if (wait)
		http_wait(multi, due);
	else
		http_look(multi);
	finish_told_transfers(run);
	if (descriptor_was_refused())
	{
		note_refused_transfers();
		finish_noted_transfers(run);
	}
}

static void
start_run(HttpRun *run, int concurrency, const HttpCaller *caller)
{
	start_engine();
	run->caller = *caller;
	run->concurrency = run->wanted = concurrency;
	run->others = descriptor_open_count();
	/* As many idle connections stay as may be used at once the next time. */
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS,
					  (long) active_transfer_count + concurrency + SPARE_CONNECTIONS);
	run->delayed = pairingheap_allocate(compare_due, NULL);
}

static void
run_to_the_end(HttpRun *run)
{
	PG_TRY();
	{
		while (run->remaining > 0 && !http_is_given_up())
		{
			send_due_exchanges(run);
			go_on(run, next_due_of_all(run), true);
		}
	}
	PG_CATCH();
	{
		drop_transfers(run);
		PG_RE_THROW();
	}
	PG_END_TRY();
	drop_transfers(run);
}

void
http_run(HttpExchange **exchanges, int count, int concurrency, const HttpCaller *caller)
{
	HttpRun run = {.exchanges = exchanges, .count = count, .remaining = count};

	start_run(&run, concurrency, caller);
	run_to_the_end(&run);
	pairingheap_free(run.delayed);
}

static void
end_with_context(void *run)
{
	drop_transfers(run);
}

HttpRun *
http_begin(int concurrency, const HttpCaller *caller)
{
	HttpRun *run = palloc0(sizeof(HttpRun));

	start_run(run, concurrency, caller);
	run->is_open = true;
	run->driven = http_now();
	run->at_end.func = end_with_context;
	run->at_end.arg = run;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &run->at_end);
	return run;
}

void
http_add(HttpRun *run, HttpExchange *exchange, int64 pause)
{
	run->remaining++;
	delay_exchange(run, exchange, pause);
}

/*
 * When the first of the run's patient transfers is to be given up, or -1. Time that the run was not driven for
 * does not count: it is added to what they have, but for what has moved or was begun in the meantime.
 */
static int64
patience_ends(const HttpRun *run)
{
	int64 first = -1;
	int64 now = http_now();
	dlist_iter iterator;

	dlist_foreach (iterator, &active_transfers)
	{
		HttpTransfer *transfer = dlist_container(HttpTransfer, node, iterator.cur);
		int64 end;

		if (transfer->run != run)
			continue;
		transfer->last_moved = Min(now, transfer->last_moved + now - run->driven);
		end = transfer_patience_ends(transfer);
		if (end >= 0 && (first < 0 || end < first))
			first = end;
	}
	return first;
}

static void
give_up_impatiently(const HttpRun *run)
{
	dlist_iter iterator;
	int64 now = http_now();

	dlist_foreach (iterator, &active_transfers)
	{
		HttpTransfer *transfer = dlist_container(HttpTransfer, node, iterator.cur);
		int64 end = transfer_patience_ends(transfer);

		if (transfer->run == run && end >= 0 && end <= now)
			transfer_time_out(transfer);
	}
}

void
http_drive(HttpRun *run, bool wait)
{
	int64 due;
	int64 patience;

	send_due_exchanges(run);
	/* What is there already needs no waiting for, and what has ended nobody would wake. */
	wait = wait && run->remaining > 0 && find_finishable_transfer(run) == NULL;
	due = next_due_of_all(run);
	patience = patience_ends(run);
	if (patience >= 0 && (due < 0 || patience < due))
		due = patience;
	go_on(run, due, wait);
	if (wait)
		give_up_impatiently(run);
	finish_noted_transfers(run);
	run->driven = http_now();
}

void
http_end(HttpRun *run)
{
	drop_transfers(run);
}

bool
http_peek(HttpExchange *exchange, HttpResponse *so_far)
{
	HttpTransfer *transfer = exchange->transfer;

	if (transfer == NULL || transfer->window == 0)
		return false;
	transfer_read_response(transfer, CURLE_OK, so_far);
	return true;
}

void
http_take(HttpExchange *exchange, size_t length)
{
	transfer_take(exchange->transfer, length);
}
