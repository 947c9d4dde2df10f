/*
 * wait.c
 *		Waiting for PostgreSQL's latch and for curl's sockets and timer. See wait.h.
 */
#include "http/wait.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "http/http.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"

#define EVENTS_AT_ONCE 64

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

void
http_wait_start(void)
{
	WaitEventSet *set;

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
	set = create_backend_wait_event_set(3);
	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_SOCKET_READABLE, sockets, NULL, NULL);
	if (IsUnderPostmaster)
		AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	wait_set = set;
}

/*
 * curl tells which events of a socket it wants. `known` is what we assigned: not NULL once it was added.
 * Sockets that curl closes without a word leave epoll by themselves. An error must not be returned from
 * here: curl would take the whole multi handle for dead.
 */
static int
socket_callback(CURL *easy, curl_socket_t socket, int what, void *multi, void *known)
{
	struct epoll_event event = {.data.fd = socket};

	(void) easy;
	if (what == CURL_POLL_REMOVE)
	{
		epoll_ctl(sockets, EPOLL_CTL_DEL, socket, &event);
		return 0;
	}
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		event.events |= EPOLLIN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		event.events |= EPOLLOUT;
	if (known != NULL && epoll_ctl(sockets, EPOLL_CTL_MOD, socket, &event) == 0)
		return 0;
	/* Not known, or closed and opened anew under its old number. */
	if (epoll_ctl(sockets, EPOLL_CTL_ADD, socket, &event) == 0)
		curl_multi_assign((CURLM *) multi, socket, &sockets);
	else if (errno != EEXIST || epoll_ctl(sockets, EPOLL_CTL_MOD, socket, &event) != 0)
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
act_on_sockets(CURLM *multi)
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

/*
 * Lets curl act on its sockets, where there is something to read of them, and on its timer. Whether it had anything to do. It
 * may start a thread that resolves a name; the thread inherits the signal mask, and PostgreSQL's signal handlers
 * must run in the main thread alone.
 */
static bool
act(CURLM *multi, bool on_sockets)
{
	sigset_t all;
	sigset_t before;
	bool acted = false;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (on_sockets)
		acted = act_on_sockets(multi) > 0;
	if (curl_due >= 0 && curl_due <= http_now())
	{
		curl_due = -1;
		act_on(multi, CURL_SOCKET_TIMEOUT, 0);
		acted = true;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return acted;
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
	WaitEvent events[3];
	int count;
	bool readable = false;

	if (curl_due >= 0 && (due < 0 || curl_due < due))
		due = curl_due;
	if (due >= 0)
		timeout = due <= now ? 0 : (long) Min((due - now + 999) / 1000, INT_MAX);

	/* Nothing to wait for when the time has come already: sockets are looked at in the next round. */
	if (timeout != 0)
	{
		count = WaitEventSetWait(wait_set, timeout, events, lengthof(events), wait_event);
		for (int i = 0; i < count; i++)
		{
			if (events[i].events & WL_LATCH_SET)
				ResetLatch(MyLatch);
			if (events[i].events & WL_SOCKET_READABLE)
				readable = true;
		}
	}
	CHECK_FOR_INTERRUPTS();
	act(multi, readable);
	refuse_unwatched();
}

void
http_look(CURLM *multi)
{
	CHECK_FOR_INTERRUPTS();
	/* A socket takes no more than curl's buffer holds at once. */
	for (int i = 0; i < MAX_ROUNDS && act(multi, true); i++)
		;
	refuse_unwatched();
}
