/*
 * wait.c
 *		Waiting for PostgreSQL's latch and for curl's sockets and timer. See wait.h.
 */
#include "http/wait.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "http/descriptor.h"
#include "http/http.h"
#include "miscadmin.h"
#include "storage/fd.h"

#define EVENTS_AT_ONCE 64

/* What a set waits for: the latch, the postmaster's death, the sockets in epoll, a lone socket. */
#define MAX_EVENTS 4

/* How often curl may act in one look: the caller has something else to do. */
#define MAX_ROUNDS 256

/* Descriptors that the wait holds for the backend's life: epoll's own, and curl's pair to wake itself. */
#define DESCRIPTORS 3

static WaitEventSet *wait_set = NULL;
static uint32 wait_event = 0;
static int sockets = -1;             /* the epoll descriptor with curl's sockets */
static bool cannot_watch = false;    /* a socket could not be added */
static CURLMcode trouble = CURLM_OK; /* what kept curl from its work */
static int64 curl_due = -1;          /* when curl's timer wants to act; -1 for never */
static int watched_count = 0;        /* how many sockets are in `sockets` */

/*
 * A socket that is waited for alone again and again, as that of one call after another is. It is in a set of its own, beside all
 * that is in `wait_set`, and stays there while curl does not want it: one look instead of two, and nothing to add and remove for
 * each request. It is known by its identity, for its number may be another's by now.
 */
typedef struct LoneSocket
{
	WaitEventSet *set; /* NULL where there is none */
	curl_socket_t socket;
	SocketIdentity identity;
	bool is_wanted; /* whether curl waits for what it brings */
} LoneSocket;

static LoneSocket lone;
static struct epoll_event last_watched; /* what was last added to `sockets`, or changed there */
static curl_socket_t alone_before = CURL_SOCKET_BAD; /* the socket that was last waited for alone */

/* A set of all that every wait is for, and of a lone socket, or CURL_SOCKET_BAD. Throws as the server does, and leaves nothing. */
static WaitEventSet *
create_set(curl_socket_t socket)
{
	WaitEventSet *set = create_backend_wait_event_set(MAX_EVENTS);

	PG_TRY();
	{
		AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
		AddWaitEventToSet(set, WL_SOCKET_READABLE, sockets, NULL, &sockets);
		if (IsUnderPostmaster)
			AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
		if (socket != CURL_SOCKET_BAD)
			AddWaitEventToSet(set, WL_SOCKET_READABLE, socket, NULL, &lone);
	}
	PG_CATCH();
	{
		FreeWaitEventSet(set);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return set;
}

void
http_wait_start(void)
{
	if (wait_set != NULL)
		return;

	if (sockets < 0)
	{
		/* One more than ours: the WaitEventSet takes one, and has no good word for want of it. */
		int reserved = 0;

		while (reserved < DESCRIPTORS + 1 && AcquireExternalFD())
			reserved++;
		if (reserved == DESCRIPTORS + 1)
			sockets = epoll_create1(EPOLL_CLOEXEC);
		if (sockets < 0)
		{
			while (reserved-- > 0)
				ReleaseExternalFD();
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
							errmsg("no file descriptor is left for a connection"),
							errhint("Raise max_files_per_process.")));
		}
		ReleaseExternalFD();
	}

	wait_event = named_wait_event("AthenaCalcHttp");
	wait_set = create_set(CURL_SOCKET_BAD);
}

static void
forget_lone_socket(void)
{
	if (lone.set != NULL)
		FreeWaitEventSet(lone.set);
	memset(&lone, 0, sizeof(lone));
	alone_before = CURL_SOCKET_BAD;
}

/* Puts a socket into `sockets`, or changes what is waited for of it there. False where the system cannot watch another. */
static bool
watch(CURLM *multi, struct epoll_event event, bool is_known)
{
	curl_socket_t socket = event.data.fd;

	if (is_known && epoll_ctl(sockets, EPOLL_CTL_MOD, socket, &event) == 0)
		return true;
	/* Not known, or closed and opened anew under its old number. */
	if (epoll_ctl(sockets, EPOLL_CTL_ADD, socket, &event) != 0 &&
		(errno != EEXIST || epoll_ctl(sockets, EPOLL_CTL_MOD, socket, &event) != 0))
		return false;
	if (!is_known)
		watched_count++;
	curl_multi_assign(multi, socket, &sockets);
	return true;
}

bool
http_wait_spare(CURLM *multi)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = lone.socket};

	if (lone.set == NULL)
		return false;
	if (lone.is_wanted && !watch(multi, event, false))
		return false;
	forget_lone_socket();
	return true;
}

/* Whether there is a descriptor for a set. Where there is none, the server throws and keeps the memory of what it began. */
static bool
has_descriptor_for_set(void)
{
	int spare;

	if (!AcquireExternalFD())
		return false;
	spare = epoll_create1(EPOLL_CLOEXEC);
	if (spare >= 0)
		close(spare);
	ReleaseExternalFD();
	return spare >= 0;
}

/* A set for a lone socket; NULL where there can be none, for the request can do without. */
static WaitEventSet *
create_lone_set(curl_socket_t socket)
{
	WaitEventSet *volatile set = NULL;
	MemoryContext before = CurrentMemoryContext;

	if (!has_descriptor_for_set())
		return NULL;
	PG_TRY();
	{
		set = create_set(socket);
	}
	PG_CATCH();
	{
		/* The system's memory, or what epoll may watch. Nothing of a transaction's was touched. */
		MemoryContextSwitchTo(before);
		FlushErrorState();
	}
	PG_END_TRY();
	return set;
}

/*
 * Takes the socket that was watched last, when it is so the second time in a row and at most one other is watched, by which curl may
 * wake itself. That is not taken, for it is no socket: one eventfd has the identity of all. Nor is a number that curl has closed.
 * Where interrupts are held nothing is made, for an error, though it is caught, would let go of them, and at the backend's end it
 * would be FATAL.
 */
static void
find_lone_socket(CURLM *multi)
{
	curl_socket_t socket = last_watched.data.fd;
	SocketIdentity identity;
	WaitEventSet *set;

	if (watched_count > 2 || last_watched.events != EPOLLIN || lone.is_wanted ||
		InterruptHoldoffCount > 0)
		return;
	if (socket != alone_before)
	{
		alone_before = socket;
		return;
	}
	if (!descriptor_identify(socket, &identity))
		return;
	if (curl_multi_assign(multi, socket, &sockets) != CURLM_OK)
	{
		last_watched.events = 0;
		return;
	}
	set = create_lone_set(socket);
	if (set == NULL)
	{
		alone_before = CURL_SOCKET_BAD;
		return;
	}
	epoll_ctl(sockets, EPOLL_CTL_DEL, socket, &last_watched);
	last_watched.events = 0;
	curl_multi_assign(multi, socket, NULL);
	watched_count--;
	forget_lone_socket();
	lone = (LoneSocket){set, socket, identity, true};
}

/* Whether what curl wants of a socket is settled by the set of the lone one. */
static bool
is_lone_socket(curl_socket_t socket, int what)
{
	if (lone.set == NULL || socket != lone.socket)
		return false;
	lone.is_wanted = what == CURL_POLL_IN && descriptor_is(socket, lone.identity);
	if (lone.is_wanted || what == CURL_POLL_REMOVE)
		return true;
	forget_lone_socket();
	return false;
}

/*
 * curl tells which events of a socket it wants. `known` is what we assigned: not NULL while it is in `sockets`.
 * Sockets that curl closes without a word leave epoll by themselves. An error must not be returned from
 * here: curl would take the whole multi handle for dead.
 */
static int
socket_callback(CURL *easy, curl_socket_t socket, int what, void *multi, void *known)
{
	struct epoll_event event = {.data.fd = socket};

	(void) easy;
	if (is_lone_socket(socket, what))
		return 0;
	if (what == CURL_POLL_REMOVE)
	{
		epoll_ctl(sockets, EPOLL_CTL_DEL, socket, &event);
		if (known != NULL)
			watched_count--;
		if (socket == last_watched.data.fd)
			last_watched.events = 0;
		return 0;
	}
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		event.events |= EPOLLIN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		event.events |= EPOLLOUT;
	if (watch(multi, event, known != NULL))
		last_watched = event;
	else
		cannot_watch = true;
	return 0;
}

static int
timer_callback(CURLM *multi, long timeout_ms, void *unused)
{
	(void) multi;
	(void) unused;
	curl_due = timeout_ms < 0 ? -1 : http_now() + (int64) timeout_ms * 1000;
	return 0;
}

void
http_wait_attach(CURLM *multi)
{
	curl_due = -1;
	trouble = CURLM_OK;
	watched_count = 0;
	forget_lone_socket();
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket_callback);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, multi);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer_callback);
}

bool
http_wait_is_broken(void)
{
	return trouble != CURLM_OK;
}

/*
 * Lets curl act on a socket, or on its timer. Where that fails, which takes want of memory, curl may have forgotten a socket,
 * and 7.88 divides by zero when it is next asked about one.
 */
static void
act_on(CURLM *multi, curl_socket_t socket, int what)
{
	int running;

	if (trouble == CURLM_OK)
		trouble = curl_multi_socket_action(multi, socket, what, &running);
}

static int
act_on_watched_sockets(CURLM *multi)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int count = epoll_wait(sockets, events, EVENTS_AT_ONCE, 0);

	for (int i = 0; i < count; i++)
	{
		int what = 0;

		if (events[i].events & EPOLLIN)
			what |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_ERR;
		act_on(multi, events[i].data.fd, what);
	}
	return count;
}

/* There is something of the lone socket. Of one that nobody wants any more it is its end, and would be seen again and again. */
static int
act_on_lone_socket(CURLM *multi)
{
	if (!lone.is_wanted)
	{
		forget_lone_socket();
		return 0;
	}
	act_on(multi, lone.socket, CURL_CSELECT_IN);
	return 1;
}

static bool
lone_socket_is_ready(void)
{
	struct pollfd socket = {.fd = lone.socket, .events = POLLIN};

	return lone.is_wanted && poll(&socket, 1, 0) > 0;
}

/*
 * Lets curl act on its sockets, where there is something to read of them, and on its timer. Whether it had anything to do. It
 * may start a thread that resolves a name; the thread inherits the signal mask, and PostgreSQL's signal handlers
 * must run in the main thread alone.
 */
static bool
act(CURLM *multi, bool on_watched, bool on_lone)
{
	sigset_t all;
	sigset_t before;
	int acted = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (on_lone)
		acted += act_on_lone_socket(multi);
	if (on_watched)
		acted += act_on_watched_sockets(multi);
	if (curl_due >= 0 && curl_due <= http_now())
	{
		curl_due = -1;
		act_on(multi, CURL_SOCKET_TIMEOUT, 0);
		acted++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return acted > 0;
}

/* A socket that cannot be watched, or that curl has forgotten, would be waited for in vain. */
static void
refuse_unwatched(void)
{
	if (trouble != CURLM_OK)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("%s", curl_multi_strerror(trouble))));
	if (cannot_watch)
	{
		cannot_watch = false;
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
						errmsg("the system cannot watch another socket")));
	}
}

void
http_wait(CURLM *multi, int64 due)
{
	long timeout = -1;
	int64 now = http_now();
	WaitEvent events[MAX_EVENTS];
	int count;
	bool watched_is_ready = false;
	bool lone_is_ready = false;

	if (curl_due >= 0 && (due < 0 || curl_due < due))
		due = curl_due;
	if (due >= 0)
		timeout = due <= now ? 0 : (long) Min((due - now + 999) / 1000, INT_MAX);

	/* Nothing to wait for when the time has come already: sockets are looked at in the next round. */
	if (timeout != 0)
	{
		find_lone_socket(multi);
		count = WaitEventSetWait(lone.set != NULL ? lone.set : wait_set, timeout, events,
								 lengthof(events), wait_event);
		for (int i = 0; i < count; i++)
		{
			if (events[i].events & WL_LATCH_SET)
				ResetLatch(MyLatch);
			watched_is_ready = watched_is_ready || events[i].user_data == &sockets;
			lone_is_ready = lone_is_ready || events[i].user_data == &lone;
		}
	}
	CHECK_FOR_INTERRUPTS();
	act(multi, watched_is_ready, lone_is_ready);
	refuse_unwatched();
}

void
http_look(CURLM *multi)
{
	CHECK_FOR_INTERRUPTS();
	/* A socket takes no more than curl's buffer holds at once. */
	for (int i = 0; i < MAX_ROUNDS && act(multi, true, lone_socket_is_ready()); i++)
		;
	refuse_unwatched();
}
