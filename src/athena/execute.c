/*
 * execute.c
 *		Running an operation: once, page after page, or for many ids at once. See execute.h.
 */
#include "athena/execute.h"

#include "athena/marshal.h"
#include "aws/client.h"
#include "aws/encoding.h"
#include "aws/json.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "settings.h"
#include "utils/builtins.h"

/* A service that goes on giving pages without a row in them is not listing anything. */
#define MAX_EMPTY_PAGES 1000

/* Rows of many requests are kept until the last is there. Athena's have some kB; what is larger than this is bounded together. */
#define LARGE_ANSWER_BYTES 65536

/* clang-format off */
#define IN_STATE(state, sqlstate, hint) \
	{"InvalidRequestException", "Session is in the " state " state", sqlstate, hint}
/* clang-format on */

#define HINT_START_ANOTHER "Start another session: SELECT * FROM athena_calc.start_session(...)."
#define HINT_WAIT_UNTIL_IDLE "Wait until athena_calc.get_session_status says IDLE."
#define HINT_ENGINE \
	"Calculations exist in Spark work groups with the engine \"PySpark engine version 3\"."

/*
 * What Athena's exceptions mean. It tells the states of a session in words alone.
 * https://docs.aws.amazon.com/athena/latest/APIReference/API_StartCalculationExecution.html
 */
static const AwsErrorMeaning meanings[] = {
	IN_STATE("BUSY", SQLSTATE_SESSION_BUSY,
			 "A session runs one calculation at a time: wait until it is IDLE, or use another."),
	IN_STATE("TERMINATING", SQLSTATE_SESSION_ENDED, HINT_START_ANOTHER),
	IN_STATE("TERMINATED", SQLSTATE_SESSION_ENDED, HINT_START_ANOTHER),
	IN_STATE("FAILED", SQLSTATE_SESSION_ENDED, HINT_START_ANOTHER),
	IN_STATE("DEGRADED", SQLSTATE_SESSION_ENDED, HINT_START_ANOTHER),
	IN_STATE("CREATING", ERRCODE_INVALID_PARAMETER_VALUE, HINT_WAIT_UNTIL_IDLE),
	IN_STATE("CREATED", ERRCODE_INVALID_PARAMETER_VALUE, HINT_WAIT_UNTIL_IDLE),
	{"InvalidRequestException", "Session in unhealthy state", SQLSTATE_SESSION_ENDED,
	 HINT_START_ANOTHER},
	{"InvalidRequestException", "Maximum allowed sessions", ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
	 "Terminate sessions that are idle, or ask AWS for a higher quota."},
	{"InvalidRequestException", "EngineVersion is not Spark", ERRCODE_INVALID_PARAMETER_VALUE,
	 HINT_ENGINE},
	{"InvalidRequestException", NULL, ERRCODE_INVALID_PARAMETER_VALUE, NULL},
	{"ValidationException", NULL, ERRCODE_INVALID_PARAMETER_VALUE, NULL},
	{"ResourceNotFoundException", NULL, ERRCODE_UNDEFINED_OBJECT, NULL},
	{"SessionAlreadyExistsException", NULL, ERRCODE_DUPLICATE_OBJECT, NULL},
	{"TooManyRequestsException", "Maximum allowed sessions", ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
	 "Terminate sessions that are idle, or ask AWS for a higher quota."},
	{NULL, NULL, 0, NULL},
};

static RetryQuota quota;

static const AwsService athena = {
	.name = "Athena",
	.signing_name = "athena",
	.endpoint_option = AWS_OPTION_ENDPOINT_URL,
	.error_format = AWS_ERROR_JSON,
	.error_code_member = "AthenaErrorCode",
	.error_code_key = "athena_error_code",
	.meanings = meanings,
	.quota = &quota,
};

static const char token_member[] = "ClientRequestToken";

/* The operations that take one. */
static const char *const operations_with_token[] = {
	"CreateNamedQuery",    "CreateNotebook", "ImportNotebook", "StartCalculationExecution",
	"StartQueryExecution", "StartSession",   "UpdateNotebook", "UpdateNotebookMetadata",
};

static const JsonValue no_token = {NULL, 0};

/* What all calls of one SQL function share. */
typedef struct AthenaTarget
{
	AwsEndpoint endpoint;
	char path[ENDPOINT_PATH_SIZE + 1];
	char target[sizeof("AmazonAthena.") + ATHENA_MAX_NAME];
	HttpHeader headers[2];
} AthenaTarget;

void
athena_resolve_endpoint(const AwsConfig *config, AwsEndpoint *endpoint)
{
	aws_resolve_endpoint(config, &athena, endpoint);
}

static void
find_target(AthenaTarget *target, const AwsConfig *config, const char *operation)
{
	athena_resolve_endpoint(config, &target->endpoint);
	strlcpy(target->path, target->endpoint.path, sizeof(target->path));
	strlcat(target->path, "/", sizeof(target->path));
	strlcpy(target->target, "AmazonAthena.", sizeof(target->target));
	strlcat(target->target, operation, sizeof(target->target));
	target->headers[0] = (HttpHeader){"Content-Type", "application/x-amz-json-1.1"};
	target->headers[1] = (HttpHeader){"X-Amz-Target", target->target};
}

static void
address_call(AwsCall *call, const AthenaTarget *target, const char *operation, const char *body)
{
	call->service = &athena;
	call->operation = operation;
	call->endpoint = &target->endpoint;
	call->method = "POST";
	call->path = target->path;
	call->headers = target->headers;
	call->header_count = lengthof(target->headers);
	call->body = body;
	call->body_length = strlen(body);
}

bool
athena_read_document(AwsCall *call, const HttpResponse *response, JsonValue *document)
{
	const char *problem;

	if (response->body_length == 0)
	{
		*document = (JsonValue){"{}", 2};
		return true;
	}
	if (!json_check(response->body, response->body_length, document, &problem))
		aws_error_invalid_response(&call->error, response, psprintf("is not JSON: %s", problem));
	else if (json_type(*document) != JSON_OBJECT)
		aws_error_invalid_response(&call->error, response, "is not a JSON object");
	else
		return true;
	return false;
}

static void
set_invalid(AwsCall *call, const HttpResponse *response, const MarshalProblem *problem)
{
	aws_error_invalid_response(&call->error, response, problem->text);
	call->error.sqlstate = problem->sqlstate;
}

/* Raises what a call ended with; where Athena refused an argument, with the hint for it. */
pg_noreturn static void
raise_error(AwsCall *call, const AthenaOperation *operation, const NullableDatum *arguments)
{
	/* The last first: what is the matter with an ID, the first one, is said of any that looks odd. */
	for (int i = operation->argument_count - 1; i >= 0; i--)
	{
		const AthenaArgument *argument = &operation->arguments[i];
		const char *hint;

		if (call->error.sqlstate != ERRCODE_INVALID_PARAMETER_VALUE || arguments[i].isnull ||
			argument->hint == NULL)
			continue;
		hint = argument->hint(TextDatumGetCString(arguments[i].value));
		if (hint != NULL)
		{
			call->error.hint = hint;
			break;
		}
	}
	aws_call_raise(call);
}

/* A context for all that a call needs but its result. Returns the one that was current before. */
static MemoryContext
enter_call_context(void)
{
	return MemoryContextSwitchTo(
		AllocSetContextCreate(CurrentMemoryContext, "athena_calc call", ALLOCSET_DEFAULT_SIZES));
}

static void
leave_call_context(MemoryContext before)
{
	MemoryContextDelete(MemoryContextSwitchTo(before));
}

void
athena_execute(const AthenaOperation *operation, const NullableDatum *arguments, Datum *values,
			   bool *nulls)
{
	AwsConfig config;
	AthenaRequest request = {.operation = operation, .arguments = arguments};

	marshal_check_arguments(operation, arguments);
	aws_config_get(&config);
	athena_request(&config, &request, 1);
	if (request.error.sqlstate != 0)
		athena_request_raise(&request);
	memcpy(values, request.values, sizeof(Datum) * operation->column_count);
	memcpy(nulls, request.nulls, sizeof(bool) * operation->column_count);
}

/* Keeps how a call ended, in the current memory context, or that a deadline left it undone. */
static void
keep_outcome(AthenaRequest *request, const AwsCall *call, bool answered)
{
	request->attempts = call->attempts;
	request->answered = answered;
	/* In a pause between attempts, the last one's end is known. */
	if (!answered && (call->in_flight || call->error.sqlstate == 0))
	{
		request->error.sqlstate = ERRCODE_CONNECTION_FAILURE;
		request->error.exception = AWS_TIMEOUT;
		request->error.message = "there was no answer in time";
		return;
	}
	aws_error_copy(&request->error, &call->error);
}

/* A page of a list. */
typedef struct PageCall
{
	AwsCall call; /* first: the client's */
	const AthenaOperation *operation;
	const NullableDatum *arguments;
	AthenaRow row;
	void *context;
	MemoryContext row_context; /* of one row */
	int remaining;             /* how many rows are still wanted */
	int rows;                  /* how many this page had */
	bool answered;             /* false where a deadline left it undone */
	JsonValue next_token;      /* a copy; empty at the end of the list */
	JsonValue last_token;      /* what this page was asked for with */
} PageCall;

static void
read_page(AwsCall *call, const HttpResponse *response, void *context)
{
	PageCall *page = (PageCall *) call;
	JsonValue document;
	JsonValue rows;
	JsonValue row;
	JsonValue token;
	JsonCursor cursor;
	MarshalProblem problem;

	(void) context;
	page->answered = true;
	if (call->error.sqlstate != 0 || !athena_read_document(call, response, &document))
		return;

	rows = json_member(document, page->operation->list);
	if (json_type(rows) != JSON_ARRAY && json_type(rows) != JSON_NULL &&
		json_type(rows) != JSON_ABSENT)
	{
		aws_error_invalid_response(
			&call->error, response,
			psprintf("has a %s of another type than the protocol says", page->operation->list));
		return;
	}
	cursor = json_cursor(rows);
	while (page->remaining > 0 && json_next_element(&cursor, &row))
	{
		Datum values[ATHENA_MAX_COLUMNS];
		bool nulls[ATHENA_MAX_COLUMNS];
		MemoryContext before;
		bool read;

		CHECK_FOR_INTERRUPTS();
		before = MemoryContextSwitchTo(page->row_context);
		read = marshal_row(page->operation, page->arguments, row, values, nulls, &problem);
		if (read)
			page->row(values, nulls, page->context);
		MemoryContextSwitchTo(before);
		if (!read)
		{
			set_invalid(call, response, &problem);
			return;
		}
		MemoryContextReset(page->row_context);
		page->remaining--;
		page->rows++;
	}

	token = json_member(document, "NextToken");
	if (json_type(token) == JSON_STRING && token.length > 2)
	{
		if (token.length == page->last_token.length &&
			memcmp(token.start, page->last_token.start, token.length) == 0)
			aws_error_invalid_response(&call->error, response,
									   "has the NextToken that it was asked for with");
		page->next_token.start = pnstrdup(token.start, token.length);
		page->next_token.length = token.length;
	}
	else if (json_type(token) != JSON_ABSENT && json_type(token) != JSON_NULL &&
			 json_type(token) != JSON_STRING)
		aws_error_invalid_response(&call->error, response,
								   "has a NextToken of another type than the protocol says");
}

/* The value of max_results; as good as none where it is not given. */
static int
wanted_rows(const AthenaOperation *operation, const NullableDatum *arguments)
{
	for (int i = 0; i < operation->argument_count; i++)
	{
		if (operation->arguments[i].kind == ATHENA_MAX_RESULTS && !arguments[i].isnull)
			return DatumGetInt32(arguments[i].value);
	}
	return PG_INT32_MAX;
}

void
athena_execute_list(const AthenaOperation *operation, const NullableDatum *arguments, AthenaRow row,
					void *context)
{
	AwsConfig config;
	AthenaRequest last;

	marshal_check_arguments(operation, arguments);
	aws_config_get(&config);
	if (!athena_list(&config, operation, arguments, row, context, &last))
		athena_request_raise(&last);
}

bool
athena_list(const AwsConfig *config, const AthenaOperation *operation,
			const NullableDatum *arguments, AthenaRow row, void *context, AthenaRequest *last)
{
	MemoryContext before;
	MemoryContext call_context;
	MemoryContext row_context;
	MemoryContext page_context;
	MemoryContext last_page_context;
	AthenaTarget target;
	JsonValue token = no_token;
	int remaining;
	int empty_pages = 0;

	remaining = wanted_rows(operation, arguments);
	before = enter_call_context();
	call_context = CurrentMemoryContext;
	find_target(&target, config, operation->name);
	row_context =
		AllocSetContextCreate(CurrentMemoryContext, "athena_calc row", ALLOCSET_SMALL_SIZES);
	page_context =
		AllocSetContextCreate(CurrentMemoryContext, "athena_calc page", ALLOCSET_DEFAULT_SIZES);
	last_page_context = AllocSetContextCreate(CurrentMemoryContext, "athena_calc last page",
											  ALLOCSET_DEFAULT_SIZES);
	do
	{
		/* Two contexts take turns: the token of one page is needed for the next. */
		MemoryContext swap = last_page_context;
		PageCall page = {.operation = operation,
						 .arguments = arguments,
						 .row = row,
						 .context = context,
						 .row_context = row_context,
						 .remaining = remaining,
						 .last_token = token};

		last_page_context = page_context;
		page_context = swap;
		MemoryContextReset(page_context);
		MemoryContextSwitchTo(page_context);
		address_call(&page.call, &target, operation->name,
					 marshal_request(operation, arguments, config->values[AWS_OPTION_WORK_GROUP],
									 Min(remaining, operation->page_size), token));
		aws_call(config, &page, sizeof(page), 1, read_page, NULL);
		empty_pages = page.rows == 0 ? empty_pages + 1 : 0;
		if (page.call.error.sqlstate == 0 && empty_pages == MAX_EMPTY_PAGES)
		{
			page.call.error.sqlstate = ERRCODE_PROTOCOL_VIOLATION;
			page.call.error.message = psprintf("the last %d pages had no rows", MAX_EMPTY_PAGES);
		}
		MemoryContextSwitchTo(before);
		*last = (AthenaRequest){.operation = operation, .arguments = arguments};
		keep_outcome(last, &page.call, page.answered);
		remaining = page.remaining;
		token = page.next_token;
	} while (last->error.sqlstate == 0 && token.length > 0 && remaining > 0);

	MemoryContextSwitchTo(call_context);
	leave_call_context(before);
	return last->error.sqlstate == 0;
}

/* A request under way. */
typedef struct RequestCall
{
	AwsCall call; /* first: the client's */
	AthenaRequest *request;
	size_t *large_bytes; /* of large answers to all the requests, so far */
} RequestCall;

/* Counts an answer that is kept, and refuses those that are too large together. */
static void
count_answer(RequestCall *call, size_t length)
{
	if (length <= LARGE_ANSWER_BYTES)
		return;
	*call->large_bytes += length;
	if (!setting_may_keep(*call->large_bytes))
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the answers together are longer than %d times "
							   "athena_calc.max_response_size",
							   MAX_KEPT_ANSWERS),
						errhint("Ask for fewer at once, or raise athena_calc.max_response_size.")));
}

/* Keeps the outcome of a request, or raises what concerns them all. */
static void
read_outcome(AwsCall *call, const HttpResponse *response, void *result_context)
{
	AthenaRequest *request = ((RequestCall *) call)->request;
	const AthenaOperation *operation = request->operation;
	JsonValue document;
	MarshalProblem problem;
	MemoryContext before;

	if (call->error.sqlstate == 0 && athena_read_document(call, response, &document))
	{
		count_answer((RequestCall *) call, response->body_length);
		before = MemoryContextSwitchTo(result_context);
		request->values = palloc(sizeof(Datum) * operation->column_count);
		request->nulls = palloc(sizeof(bool) * operation->column_count);
		if (!marshal_row(operation, request->arguments, document, request->values, request->nulls,
						 &problem))
			set_invalid(call, response, &problem);
		MemoryContextSwitchTo(before);
	}
	/* In a hurry each is carried on with, for all that can be said is to be said. */
	if (!http_is_hurried() &&
		(call->error.sqlstate == ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION ||
		 call->error.sqlstate == ERRCODE_OUT_OF_MEMORY))
		aws_call_raise(call);

	before = MemoryContextSwitchTo(result_context);
	keep_outcome(request, call, true);
	MemoryContextSwitchTo(before);
}

void
athena_request(const AwsConfig *config, AthenaRequest *requests, int count)
{
	MemoryContext before = enter_call_context();
	MemoryContext call_context;
	AthenaTarget *target = NULL;
	size_t large_bytes = 0;
	RequestCall *calls = palloc_extended(sizeof(RequestCall) * Max(count, 1), MCXT_ALLOC_HUGE);

	for (int i = 0; i < count; i++)
	{
		AthenaRequest *request = &requests[i];

		CHECK_FOR_INTERRUPTS();
		if (i == 0 || request->operation != requests[i - 1].operation)
		{
			target = palloc(sizeof(AthenaTarget));
			find_target(target, config, request->operation->name);
		}
		calls[i] = (RequestCall){
			.request = request, .large_bytes = &large_bytes, .call = {.sent = request->sent}};
		address_call(&calls[i].call, target, request->operation->name,
					 marshal_request(request->operation, request->arguments,
									 config->values[AWS_OPTION_WORK_GROUP], 0, no_token));
	}
	aws_call(config, calls, sizeof(RequestCall), count, read_outcome, before);
	call_context = MemoryContextSwitchTo(before);
	for (int i = 0; i < count; i++)
	{
		if (!requests[i].answered)
			keep_outcome(&requests[i], &calls[i].call, false);
	}
	MemoryContextDelete(call_context);
}

static void
copy_request(AthenaRequest *copy, const AthenaRequest *request)
{
	const AthenaOperation *operation = request->operation;

	*copy = *request;
	if (request->error.sqlstate != 0)
	{
		aws_error_copy(&copy->error, &request->error);
		return;
	}
	copy->values = palloc(sizeof(Datum) * operation->column_count);
	copy->nulls = palloc(sizeof(bool) * operation->column_count);
	for (int i = 0; i < operation->column_count; i++)
	{
		bool by_value = operation->columns[i].kind == ATHENA_SECONDS ||
						operation->columns[i].kind == ATHENA_BIGINT;

		copy->nulls[i] = request->nulls[i];
		copy->values[i] = request->nulls[i] || by_value
							  ? request->values[i]
							  : PointerGetDatum(PG_DETOAST_DATUM_COPY(request->values[i]));
	}
}

void
athena_request_keep(AthenaRequest *kept, const AthenaRequest *request, MemoryContext memory)
{
	MemoryContext before = MemoryContextSwitchTo(memory);

	MemoryContextReset(memory);
	copy_request(kept, request);
	MemoryContextSwitchTo(before);
}

const char *
athena_kept_text(const AthenaRequest *kept, int column, MemoryContext memory)
{
	MemoryContext before = MemoryContextSwitchTo(memory);
	const char *text = athena_text(kept->values, kept->nulls, column);

	MemoryContextSwitchTo(before);
	return text;
}

void
athena_request_raise(const AthenaRequest *request)
{
	AwsCall call = {0};

	call.service = &athena;
	call.operation = request->operation->name;
	call.error = request->error;
	call.attempts = request->attempts;
	raise_error(&call, request->operation, request->arguments);
}

const char *
athena_text(const Datum *values, const bool *nulls, int column)
{
	return nulls[column] ? "" : TextDatumGetCString(values[column]);
}

void
athena_batch_row(const AthenaRequest *request, Datum *values, bool *nulls)
{
	int columns = request->operation->column_count;
	const AwsError *error = &request->error;

	if (error->sqlstate == 0)
	{
		memcpy(values, request->values, sizeof(Datum) * columns);
		memcpy(nulls, request->nulls, sizeof(bool) * columns);
	}
	else
	{
		memset(nulls, true, sizeof(bool) * columns);
		values[columns] =
			CStringGetTextDatum(error->exception != NULL ? error->exception : AWS_INVALID_RESPONSE);
		values[columns + 1] = CStringGetTextDatum(error->message);
	}
	values[0] = request->arguments[0].value;
	nulls[0] = false;
	nulls[columns] = error->sqlstate == 0;
	nulls[columns + 1] = error->sqlstate == 0;
}

void
athena_execute_batch(const AthenaOperation *operation, const Datum *ids, int count, AthenaRow row,
					 void *context)
{
	MemoryContext before = enter_call_context();
	AwsConfig config;
	AthenaRequest *requests =
		palloc_extended(sizeof(AthenaRequest) * Max(count, 1), MCXT_ALLOC_HUGE);
	NullableDatum *arguments =
		palloc_extended(sizeof(NullableDatum) * Max(count, 1), MCXT_ALLOC_HUGE);

	aws_config_get(&config);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS(); /* the first touch of memory for thousands takes time */
		arguments[i] = (NullableDatum){.value = ids[i]};
		requests[i] = (AthenaRequest){.operation = operation, .arguments = &arguments[i]};
	}
	athena_request(&config, requests, count);
	for (int i = 0; i < count; i++)
	{
		Datum values[ATHENA_MAX_COLUMNS];
		bool nulls[ATHENA_MAX_COLUMNS];

		CHECK_FOR_INTERRUPTS();
		athena_batch_row(&requests[i], values, nulls);
		row(values, nulls, context);
	}
	leave_call_context(before);
}

/* A call of any operation, and where its answer goes. */
typedef struct InvokeCall
{
	AwsCall call; /* first: the client's */
	Datum answer;
} InvokeCall;

static void
read_jsonb(AwsCall *call, const HttpResponse *response, void *result_context)
{
	JsonValue document;
	MarshalProblem problem;

	if (call->error.sqlstate == 0 && athena_read_document(call, response, &document))
	{
		MemoryContext before = MemoryContextSwitchTo(result_context);

		if (!marshal_jsonb(document, "member", &((InvokeCall *) call)->answer, &problem))
			set_invalid(call, response, &problem);
		MemoryContextSwitchTo(before);
	}
}

static bool
takes_token(const char *operation)
{
	for (int i = 0; i < (int) lengthof(operations_with_token); i++)
	{
		if (strcmp(operation, operations_with_token[i]) == 0)
			return true;
	}
	return false;
}

void
athena_call(const AwsConfig *config, const char *operation, const char *request, AwsCall *call,
			AwsAnswer answer, void *context)
{
	AthenaTarget *target = palloc(sizeof(AthenaTarget));

	find_target(target, config, operation);
	address_call(call, target, operation, request);
	aws_call(config, call, sizeof(*call), 1, answer, context);
}

/* Whether a request has a token of its caller's. */
static bool
has_token(const Jsonb *request)
{
	JsonbValue name = {.type = jbvString};
	const JsonbValue *token;

	name.val.string.val = pstrdup(token_member);
	name.val.string.len = strlen(token_member);
	token = findJsonbValueFromContainer(unconstify(JsonbContainer *, &request->root), JB_FOBJECT,
										&name);
	return token != NULL && token->type != jbvNull;
}

Datum
athena_invoke(const char *operation, Jsonb *request)
{
	MemoryContext before = enter_call_context();
	StringInfoData body;
	AwsConfig config;
	InvokeCall call = {0};
	bool needs_token = takes_token(operation) && !has_token(request);

	aws_config_get(&config);
	/* One that is null is none, and a second one of its name might not count. */
	if (needs_token)
		request = DatumGetJsonbP(DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(request),
													 CStringGetTextDatum(token_member)));
	initStringInfo(&body);
	JsonbToCString(&body, &request->root, VARSIZE(request));
	if (needs_token)
	{
		char uuid[AWS_UUID_SIZE];

		aws_generate_uuid(uuid);
		body.data[--body.len] = '\0';
		appendStringInfo(&body, "%s\"%s\":\"%s\"}", body.len > 1 ? "," : "", token_member, uuid);
	}
	athena_call(&config, operation, encoding_to_utf8(body.data, body.len), &call.call, read_jsonb,
				before);
	if (call.call.error.sqlstate != 0)
		aws_call_raise(&call.call);
	leave_call_context(before);
	return call.answer;
}
