/*
 * floor.c
 *		The floor: the same signed call with nothing around it but libcurl and a kept connection.
 *
 *		floor URL CALLS [CA]
 *
 * Prints the median and the 99th percentile of a call and its CPU time, in microseconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <curl/curl.h>

#include "aws/sigv4.h"

#define BODY "{\"CalculationExecutionId\":\"b2a4c1de-0f43-4a53-8d17-1a2b3c4d5e6f\"}"

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
call(CURL *easy, SigV4Signer *signer, const char *host, ByteBuffer *body)
{
	SigV4Credentials credentials = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
									NULL};
	SigV4Scope scope = {.region = "us-east-1", .service = "athena"};
	char hash[SIGV4_HEX_SIZE];
	char line[1024];
	struct curl_slist *headers = NULL;
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
	CURLcode result;

	sigv4_hash(BODY, strlen(BODY), hash);
	sigv4_format_date_time(time(NULL), scope.date_time);
	for (size_t i = 0; i < count; i++)
	{
		snprintf(line, sizeof(line), "%s: %s", signed_headers[i].name, signed_headers[i].value);
		headers = curl_slist_append(headers, line);
	}
	snprintf(line, sizeof(line), "Authorization: %s",
			 sigv4_authorization(signer, &request, &credentials, &scope));
	headers = curl_slist_append(headers, line);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	buffer_reset(body);
	result = curl_easy_perform(easy);
	curl_slist_free_all(headers);
	if (result != CURLE_OK)
	{
		fprintf(stderr, "floor: %s\n", curl_easy_strerror(result));
		exit(1);
	}
}

int
main(int argc, char **argv)
{
	CURL *easy;
	SigV4Signer signer = {0};
	ByteBuffer body = {0};
	const char *host;
	double *times;
	double cpu;
	int calls;

	if (argc < 3)
	{
		fprintf(stderr, "usage: floor URL CALLS [CA]\n");
		return 2;
	}
	calls = atoi(argv[2]);
	times = calloc((size_t) calls, sizeof(double));
	host = strstr(argv[1], "://") + 3;
	host = strndup(host, strcspn(host, "/"));

	curl_global_init(CURL_GLOBAL_ALL);
	easy = curl_easy_init();
	curl_easy_setopt(easy, CURLOPT_URL, argv[1]);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, BODY);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, &body);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "floor/1.0");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	if (argc > 3)
	{
		curl_easy_setopt(easy, CURLOPT_CAINFO, argv[3]);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}

	for (int i = 0; i < 200; i++)
		call(easy, &signer, host, &body);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	for (int i = 0; i < calls; i++)
	{
		double start = seconds(CLOCK_MONOTONIC);

		call(easy, &signer, host, &body);
		times[i] = seconds(CLOCK_MONOTONIC) - start;
	}
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	qsort(times, (size_t) calls, sizeof(double), compare);
	printf("%.1f %.1f %.1f\n", times[calls / 2] * 1e6, times[calls * 99 / 100] * 1e6,
		   cpu / calls * 1e6);
	return 0;
}
