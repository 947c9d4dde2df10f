/*
 * network.c
 *		In place of the HTTP engine, of programs, and of what is configured: answers that the input has. See fuzz.h.
 *
 * It holds every request to what the real engine relies on: nothing in a URL or in a header that ends a line.
 */
#include "fuzz.h"

#include "aws/credentials.h"
#include "aws/process.h"
#include "http/descriptor.h"
#include "http/http.h"
#include "nodes/pg_list.h"
#include "settings.h"

/* Settings */

static char no_setting[] = "";

char *setting_options[AWS_OPTION_COUNT] = {[0 ... AWS_OPTION_COUNT - 1] = no_setting};
char *setting_server = no_setting;
bool setting_allow_credential_process = true;
int setting_connect_timeout = 1000;
int setting_request_timeout = 1000;
int setting_max_attempts = 3;
int setting_max_concurrency = 4;
int setting_max_response_size = 1024;

void
settings_check_secret(AwsOption secret)
{
	(void) secret;
}

void
aws_server_get(const char *name, AwsServer *server)
{
	(void) name;
	(void) server;
	fuzz_failed("no server is chosen", __FILE__, __LINE__);
}

/* Credentials of calls that are not about credentials: they expire, and there are others. */

void
credentials_get(const AwsConfig *config, Credentials *credentials)
{
	(void) config;
	*credentials = (Credentials){.keys = {"AKIDEXAMPLE", "secret", "token"}, .refreshable = true};
}

void
credentials_renew(const AwsConfig *config, Credentials *credentials)
{
	credentials_get(config, credentials);
	credentials->keys.session_token = "another";
}

/* Their strings are constants. */
const SigV4Credentials *
credentials_copy_keys(const SigV4Credentials *keys)
{
	SigV4Credentials *copy = palloc(sizeof(SigV4Credentials));

	*copy = *keys;
	return copy;
}

/* Programs */

static FuzzInput process_output;

void
fuzz_process_output(FuzzInput output)
{
	process_output = output;
}

void
process_run(char *const argv[], int timeout_ms, size_t max_bytes, ByteBuffer *output)
{
	fuzz_require(argv[0] != NULL && timeout_ms > 0);
	if (process_output.length > max_bytes)
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION), errmsg("too much")));
	buffer_append(output, process_output.data, process_output.length);
}

/* Answers */

static FuzzInput answers;

void
fuzz_answers(FuzzInput given)
{
	answers = given;
}

/* A line, without its end. */
static FuzzInput
next_line(FuzzInput *rest)
{
	const char *end = memchr(rest->data, '\n', rest->length);
	FuzzInput line = {rest->data, end != NULL ? (size_t) (end - rest->data) : rest->length};
	size_t taken = line.length + (end != NULL ? 1 : 0);

	rest->data += taken;
	rest->length -= taken;
	return line;
}

/* The next answer, in the current memory context. */
static HttpResponse
next_answer(void)
{
	HttpResponse response = {.outcome = HTTP_UNREACHABLE, .problem = "nobody there"};
	FuzzInput part;
	FuzzInput line;
	const char *head;
	char *copy;

	response.head = response.body = "";
	if (!fuzz_next_part(&answers, &part))
		return response;

	line = next_line(&part);
	if (line.length == 2 && line.data[0] == '!' && line.data[1] >= '0' && line.data[1] <= '8')
		response.outcome = (HttpOutcome) (line.data[1] - '0');
	else
		response.outcome = HTTP_ANSWERED;
	if (response.outcome == HTTP_ANSWERED)
	{
		response.problem = "";
		/* curl gives three digits. */
		response.status = 200;
		if (line.length == 3 && line.data[0] >= '1' && line.data[0] <= '9')
			response.status = atoi(fuzz_string(line)) % 1000;
	}

	head = part.data;
	while ((line = next_line(&part)).length > 0)
		;
	response.head = pnstrdup(head, (Size) (line.data - head));
	copy = palloc(part.length + 1);
	memcpy(copy, part.data, part.length);
	copy[part.length] = '\0';
	response.body = copy;
	response.body_length = part.length;
	return response;
}

/* Whether the text can be a line of a request's, or a part of one. */
static bool
is_one_line(const char *text)
{
	return text[strcspn(text, "\r\n")] == '\0';
}

static void
check_request(const HttpRequest *request)
{
	fuzz_require(strncmp(request->url, "http", 4) == 0 &&
				 request->url[strcspn(request->url, " \t\r\n")] == '\0');
	fuzz_require(request->timeout > 0 && request->connect_timeout > 0);
	fuzz_require(request->body_length == 0 || request->body != NULL);
	for (int i = 0; i < request->header_count; i++)
		fuzz_require(is_one_line(request->headers[i].name) &&
					 (request->headers[i].value == NULL || is_one_line(request->headers[i].value)));
}

/* The engine */

struct HttpRun
{
	HttpCaller caller;
	MemoryContext memory;
	List *waiting; /* exchanges that are to be sent */
	List *streams; /* Streams */
};

/* An answer that is read as it comes: half of it at first. */
typedef struct Stream
{
	HttpRun *run;
	HttpExchange *exchange;
	HttpResponse response;
	size_t taken;
	size_t arrived;
} Stream;

static List *
append(const HttpRun *run, List *list, void *member)
{
	MemoryContext before = MemoryContextSwitchTo(run->memory);

	list = lappend(list, member);
	MemoryContextSwitchTo(before);
	return list;
}

static Stream *
stream_of(const HttpExchange *exchange)
{
	return (Stream *) exchange->transfer;
}

/* Sends an exchange, once. Whether it is to be sent again. */
static bool
send_once(HttpRun *run, HttpExchange *exchange)
{
	HttpRequest request = {0};
	HttpResponse response;
	MemoryContext before;
	int64 pause;

	run->caller.prepare(exchange, &request, run->caller.context);
	check_request(&request);
	before = MemoryContextSwitchTo(run->memory);
	response = next_answer();
	MemoryContextSwitchTo(before);
	if (request.window > 0 && response.status / 100 == 2)
	{
		Stream *stream = MemoryContextAlloc(run->memory, sizeof(Stream));

		*stream = (Stream){run, exchange, response, 0, response.body_length / 2};
		exchange->transfer = (struct HttpTransfer *) stream;
		run->streams = append(run, run->streams, stream);
		return false;
	}
	pause = run->caller.finish(exchange, &response, run->caller.context);
	fuzz_require(pause == HTTP_DONE || pause >= 0);
	return pause != HTTP_DONE;
}

void
http_run(HttpExchange **exchanges, int count, int concurrency, const HttpCaller *caller)
{
	HttpRun run = {.caller = *caller, .memory = CurrentMemoryContext};

	fuzz_require(concurrency > 0);
	for (int i = 0; i < count; i++)
	{
		while (send_once(&run, exchanges[i]))
			;
	}
}

HttpRun *
http_begin(int concurrency, const HttpCaller *caller)
{
	HttpRun *run = palloc0(sizeof(HttpRun));

	fuzz_require(concurrency > 0);
	run->caller = *caller;
	run->memory = CurrentMemoryContext;
	return run;
}

void
http_add(HttpRun *run, HttpExchange *exchange, int64 pause)
{
	fuzz_require(pause >= 0);
	exchange->transfer = NULL;
	run->waiting = append(run, run->waiting, exchange);
}

void
http_drive(HttpRun *run, bool wait)
{
	List *waiting = run->waiting;
	List *streams = run->streams;

	/* Who waits without anything under way would wait for ever. */
	fuzz_require(!wait || waiting != NIL || streams != NIL);
	run->waiting = run->streams = NIL;
	for (int i = 0; i < list_length(streams); i++)
	{
		Stream *stream = list_nth(streams, i);
		HttpResponse end = stream->response;

		if (stream->taken < stream->response.body_length)
		{
			if (stream->taken == stream->arrived)
				stream->arrived = stream->response.body_length;
			run->streams = append(run, run->streams, stream);
			continue;
		}
		end.body_length = 0;
		stream->exchange->transfer = NULL;
		run->caller.finish(stream->exchange, &end, run->caller.context);
	}
	for (int i = 0; i < list_length(waiting); i++)
	{
		if (send_once(run, list_nth(waiting, i)))
			run->waiting = append(run, run->waiting, list_nth(waiting, i));
	}
}

void
http_end(HttpRun *run)
{
	run->waiting = run->streams = NIL;
}

bool
http_peek(HttpExchange *exchange, HttpResponse *so_far)
{
	Stream *stream = stream_of(exchange);

	if (stream == NULL)
		return false;
	*so_far = stream->response;
	so_far->body += stream->taken;
	so_far->body_length = stream->arrived - stream->taken;
	return true;
}

void
http_take(HttpExchange *exchange, size_t length)
{
	Stream *stream = stream_of(exchange);

	fuzz_require(length <= stream->arrived - stream->taken);
	stream->taken += length;
}

int
http_time_left(int timeout)
{
	return timeout;
}

bool
http_is_given_up(void)
{
	return false;
}

bool
http_is_hurried(void)
{
	return false;
}

int64
http_now(void)
{
	return 0;
}

void
descriptor_attach(CURL *easy, SocketRefusal *refusal)
{
	(void) easy;
	(void) refusal;
}
