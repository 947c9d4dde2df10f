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

static WaitEventSet *wait_set = NULL;
static uint32 wait_event = 0;
static int sockets = -1;	/* the epoll descriptor with curl's sockets */
static int64 curl_due = -1; /* when curl's timer wants to act; -1 for never */

void
http_wait_start(void)
{
	WaitEventSet *set;

	if (wait_set != NULL)
		return;

	if (sockets < 0)
	{
		int reserved = 0;

		while (reserved < HTTP_WAIT_DESCRIPTORS && AcquireExternalFD())
			reserved++;
		if (reserved == HTTP_WAIT_DESCRIPTORS)
			sockets = epoll_create1(EPOLL_CLOEXEC);
		if (sockets < 0)
		{
			while (reserved-- > 0)
				ReleaseExternalFD();
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
							errmsg("no file descriptor is left for a connection"),
							errhint("Raise max_files_per_process.")));
		}
	}

	wait_event = named_wait_event("AthenaCalcHttp");
	set = create_backend_wait_event_set(3);
	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_SOCKET_READABLE, sockets, NULL, NULL);
	if (IsUnderPostmaster)
		AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	wait_set = set;
}

/* curl tells which events of a socket it wants. `known` is what we assigned: not NULL once added. */
static int
socket_callback(CURL *easy, curl_socket_t socket, int what, void *multi, void *known)
{
	struct epoll_event event = {0};

	(void) easy;
	event.data.fd = socket;
	if (what == CURL_POLL_REMOVE)
	{
		epoll_ctl(sockets, EPOLL_CTL_DEL, socket, &event);
		return 0;
	}
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (known == NULL)
		curl_multi_assign((CURLM *) multi, socket, &sockets);
	if (epoll_ctl(sockets, known == NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, socket, &event) == 0)
		return 0;
	return -1; /* curl ends the transfer */
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
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket_callback);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, multi);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer_callback);
}

/*
 * Lets curl act. It may start a thread that resolves a name; the thread inherits the signal mask, and
 * PostgreSQL's signal handlers must run in the main thread alone.
 */
static void
act(CURLM *multi, curl_socket_t socket, int events)
{
	sigset_t all;
	sigset_t before;
	int running;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	curl_multi_socket_action(multi, socket, events, &running);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void
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
		act(multi, events[i].data.fd, what);
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

	if (readable)
		act_on_sockets(multi);
	if (curl_due >= 0 && curl_due <= http_now())
	{
		curl_due = -1;
		act(multi, CURL_SOCKET_TIMEOUT, 0);
	}
}
