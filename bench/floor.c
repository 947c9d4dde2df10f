/*
 * floor.c
 *		The floor: the same signed calls with nothing around them but libcurl and kept connections.
 *
 *		floor first URL CA                  the first call of a process
 *		floor calls URL CA CALLS            one call after another: the median, the 99th percentile, the CPU time of a call
 *		floor loop URL CA CALLS START       the same from a moment on: when the last one has ended, both since 1970
 *		floor batch URL CA CALLS AT_ONCE    so many calls at once, on new connections
 *		floor warm URL CA CALLS AT_ONCE     the same on connections that are open
 *		floor http2 URL CA CALLS AT_ONCE    the same as streams of one new connection
 *
 * CA is a file or a hashed directory. All is printed in seconds; where it is not said otherwise, the time and the CPU time.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <time.h>

#include <curl/curl.h>

#include "aws/sigv4.h"

#define BODY "{\"CalculationExecutionId\":\"b2a4c1de-0f43-4a53-8d17-1a2b3c4d5e6f\"}"
#define WARMING_CALLS 200
#define EVENTS_AT_ONCE 64

typedef struct Call
{
	CURL *easy;
	struct curl_slist *headers;
	ByteBuffer body;
} Call;

static const char *url;
static const char *authorities;
static char *host;
static SigV4Signer signer;

/* What curl waits for in a batch. */
static int sockets;
static double due = -1;

static double
seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static int
compare(const void *a, const void *b)
{
	double left = *(const double *) a;
	double right = *(const double *) b;

	return left < right ? -1 : left > right;
}

static size_t
keep(char *bytes, size_t size, size_t count, void *body)
{
	buffer_append(body, bytes, size * count);
	return size * count;
}

static void
check(Call *call, CURLcode result)
{
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	if (result != CURLE_OK || status != 200)
	{
		fprintf(stderr, "floor: %s, status %ld\n", curl_easy_strerror(result), status);
		exit(1);
	}
}

static void
create(Call *call, long http_version)
{
	struct stat status;
	bool is_directory = stat(authorities, &status) == 0 && S_ISDIR(status.st_mode);

	memset(call, 0, sizeof(*call));
	call->easy = curl_easy_init();
	curl_easy_setopt(call->easy, CURLOPT_URL, url);
	curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, BODY);
	curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, keep);
	curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, &call->body);
	curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
	curl_easy_setopt(call->easy, CURLOPT_USERAGENT, "floor/1.0");
	curl_easy_setopt(call->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(call->easy, CURLOPT_HTTP_VERSION, http_version);
	/* A stream of a connection that is being made rather than a connection of its own. */
	curl_easy_setopt(call->easy, CURLOPT_PIPEWAIT, http_version == CURL_HTTP_VERSION_1_1 ? 0L : 1L);
	curl_easy_setopt(call->easy, CURLOPT_CAINFO, is_directory ? NULL : authorities);
	curl_easy_setopt(call->easy, CURLOPT_CAPATH, is_directory ? authorities : NULL);
}

/* Signs a call for this moment. */
static void
sign(Call *call)
{
	SigV4Credentials credentials = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
									NULL};
	SigV4Scope scope = {.region = "us-east-1", .service = "athena"};
	char hash[SIGV4_HEX_SIZE];
	char line[1024];
	HttpHeader signed_headers[] = {
		{"Host", host},
		{"X-Amz-Date", scope.date_time},
		{"amz-sdk-invocation-id", "7e6f5d4c-aaaa-4bbb-8ccc-ddddeeeeffff"},
		{"amz-sdk-request", "attempt=1; max=3"},
		{"Content-Type", "application/x-amz-json-1.1"},
		{"X-Amz-Target", "AmazonAthena.GetCalculationExecution"},
	};
	size_t count = sizeof(signed_headers) / sizeof(signed_headers[0]);
	SigV4Request request = {"POST", "/", NULL, signed_headers, count, hash, true, true};

	sigv4_hash(BODY, strlen(BODY), hash);
	sigv4_format_date_time(time(NULL), scope.date_time);
	curl_slist_free_all(call->headers);
	call->headers = NULL;
	for (size_t i = 0; i < count; i++)
	{
		snprintf(line, sizeof(line), "%s: %s", signed_headers[i].name, signed_headers[i].value);
		call->headers = curl_slist_append(call->headers, line);
	}
	snprintf(line, sizeof(line), "Authorization: %s",
			 sigv4_authorization(&signer, &request, &credentials, &scope));
	call->headers = curl_slist_append(call->headers, line);
	curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
	buffer_reset(&call->body);
}

static void
perform(Call *call)
{
	sign(call);
	check(call, curl_easy_perform(call->easy));
}

/*
 * Many at once
 */

static int
watch_socket(CURL *easy, curl_socket_t socket, int what, void *context, void *known)
{
	struct epoll_event event = {.data.fd = socket};

	(void) easy;
	(void) context;
	(void) known;
	event.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
	if (what == CURL_POLL_REMOVE)
		epoll_ctl(sockets, EPOLL_CTL_DEL, socket, &event);
	else if (epoll_ctl(sockets, EPOLL_CTL_MOD, socket, &event) != 0)
		epoll_ctl(sockets, EPOLL_CTL_ADD, socket, &event);
	return 0;
}

static int
set_timer(CURLM *multi, long milliseconds, void *context)
{
	(void) multi;
	(void) context;
	due = milliseconds < 0 ? -1 : seconds(CLOCK_MONOTONIC) + (double) milliseconds / 1e3;
	return 0;
}

static void
act(CURLM *multi)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	double left = due < 0 ? 1 : due - seconds(CLOCK_MONOTONIC);
	int count = epoll_wait(sockets, events, EVENTS_AT_ONCE, left <= 0 ? 0 : (int) (left * 1e3) + 1);
	int running;

	for (int i = 0; i < count; i++)
	{
		int what = (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
				   (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
				   (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

		curl_multi_socket_action(multi, events[i].data.fd, what, &running);
	}
	if (due >= 0 && due <= seconds(CLOCK_MONOTONIC))
	{
		due = -1;
		curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
}

static void
run_batch(CURLM *multi, Call *calls, int at_once, int count)
{
	int started = 0;
	int ended = 0;

	for (; started < at_once && started < count; started++)
	{
		sign(&calls[started]);
		curl_multi_add_handle(multi, calls[started].easy);
	}
	while (ended < count)
	{
		CURLMsg *message;
		int left;

		act(multi);
		while ((message = curl_multi_info_read(multi, &left)) != NULL)
		{
			CURLcode result = message->data.result;
			Call *call;

			curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &call);
			curl_multi_remove_handle(multi, call->easy);
			check(call, result);
			ended++;
			if (started < count)
			{
				sign(call);
				curl_multi_add_handle(multi, call->easy);
				started++;
			}
		}
	}
}

static void
measure_batch(const char *mode, int count, int at_once)
{
	CURLM *multi = curl_multi_init();
	Call *calls = calloc((size_t) at_once, sizeof(Call));
	bool is_http2 = strcmp(mode, "http2") == 0;
	double start;
	double cpu;

	sockets = epoll_create1(0);
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) at_once);
	for (int i = 0; i < at_once; i++)
		create(&calls[i], is_http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1);
	if (strcmp(mode, "warm") == 0)
		run_batch(multi, calls, at_once, at_once);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	start = seconds(CLOCK_MONOTONIC);
	run_batch(multi, calls, at_once, count);
	printf("%.9f %.9f\n", seconds(CLOCK_MONOTONIC) - start,
		   seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}

/*
 * One after another
 */

static void
measure_calls(int count)
{
	double *times = calloc((size_t) count, sizeof(double));
	double cpu;
	Call call;

	create(&call, CURL_HTTP_VERSION_1_1);
	for (int i = 0; i < WARMING_CALLS; i++)
		perform(&call);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	for (int i = 0; i < count; i++)
	{
		double start = seconds(CLOCK_MONOTONIC);

		perform(&call);
		times[i] = seconds(CLOCK_MONOTONIC) - start;
	}
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	qsort(times, (size_t) count, sizeof(double), compare);
	printf("%.9f %.9f %.9f\n", times[count / 2], times[count * 99 / 100], cpu / count);
}

static void
measure_loop(int count, double start)
{
	struct timespec at = {(time_t) start, (long) ((start - (double) (time_t) start) * 1e9)};
	double cpu;
	Call call;

	create(&call, CURL_HTTP_VERSION_1_1);
	perform(&call);
	if (seconds(CLOCK_REALTIME) > start)
	{
		fprintf(stderr, "floor: the start has passed\n");
		exit(1);
	}
	clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, NULL);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	for (int i = 0; i < count; i++)
		perform(&call);
	printf("%.6f %.9f\n", seconds(CLOCK_REALTIME), seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}

/* curl's own beginning included, that of the process not. */
static void
measure_first(void)
{
	double start = seconds(CLOCK_MONOTONIC);
	double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	Call call;

	curl_global_init(CURL_GLOBAL_ALL);
	create(&call, CURL_HTTP_VERSION_1_1);
	perform(&call);
	printf("%.9f %.9f\n", seconds(CLOCK_MONOTONIC) - start,
		   seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}

int
main(int argc, char **argv)
{
	const char *mode;
	int count;

	if (argc < 4 || (strcmp(argv[1], "first") != 0 && argc < 5))
	{
		fprintf(stderr,
				"usage: floor first|calls|loop|batch|warm|http2 URL CA [CALLS [START|AT_ONCE]]\n");
		return 2;
	}
	mode = argv[1];
	url = argv[2];
	authorities = argv[3];
	count = argc > 4 ? atoi(argv[4]) : 1;
	host = strstr(url, "://") + 3;
	host = strndup(host, strcspn(host, "/"));

	if (strcmp(mode, "first") == 0)
	{
		measure_first();
		return 0;
	}
	curl_global_init(CURL_GLOBAL_ALL);
	if (strcmp(mode, "calls") == 0)
		measure_calls(count);
	else if (strcmp(mode, "loop") == 0)
		measure_loop(count, argc > 5 ? atof(argv[5]) : 0);
	else
		measure_batch(mode, count, argc > 5 ? atoi(argv[5]) : 1);
	return 0;
}
