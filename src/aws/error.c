/*
 * error.c
 *		What a service refused, and what went wrong on the way. See error.h.
 */
#include "aws/error.h"

#include "aws/encoding.h"
#include "aws/json.h"
#include "aws/retry.h"
#include "aws/xml.h"
#include "lib/stringinfo.h"

/* What is shown of a message; services keep theirs far shorter. */
#define MAX_MESSAGE_BYTES 8192
#define MAX_NAME_BYTES 200

/* In the place of what nobody shall see. */
#define CONCEALED "********"

/* The longest value of a request that a message may quote. */
#define MAX_QUOTED_BYTES 256

#define UNKNOWN_CREDENTIALS                                                                   \
	"AWS does not know the access key or the session token: athena_calc.check_setup() tells " \
	"where they come from."
#define WRONG_SIGNATURE                                                                          \
	"Check the secret access key, the region and the server's clock: athena_calc.check_setup() " \
	"tells where they come from."
#define EXPIRED_CREDENTIALS                                                                    \
	"The temporary credentials have expired: where they come from, athena_calc.check_setup() " \
	"tells, there must be new ones."

/* What the exceptions that all services share mean. */
static const AwsErrorMeaning common_meanings[] = {
	{"AccessDeniedException", NULL, ERRCODE_INSUFFICIENT_PRIVILEGE, NULL},
	{"AccessDenied", NULL, ERRCODE_INSUFFICIENT_PRIVILEGE, NULL},
	{"UnrecognizedClientException", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 UNKNOWN_CREDENTIALS},
	{"InvalidClientTokenId", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 UNKNOWN_CREDENTIALS},
	{"InvalidAccessKeyId", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, UNKNOWN_CREDENTIALS},
	{"InvalidSignatureException", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 WRONG_SIGNATURE},
	{"SignatureDoesNotMatch", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, WRONG_SIGNATURE},
	{"IncompleteSignature", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, NULL},
	{"IncompleteSignatureException", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, NULL},
	{"ExpiredToken", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, EXPIRED_CREDENTIALS},
	{"ExpiredTokenException", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 EXPIRED_CREDENTIALS},
	{"RequestExpired", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 "Check the server's clock."},
	{"RequestTimeTooSkewed", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 "Check the server's clock."},
	{"MissingAuthenticationToken", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, NULL},
	{"MissingAuthenticationTokenException", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 NULL},
	{NULL, NULL, 0, NULL},
};

const AwsErrorMeaning aws_no_meanings[] = {{NULL, NULL, 0, NULL}};

/* Text for a message: replaced where it does not fit the database, and no longer than people read. */
static char *
message_text(const char *bytes, size_t length)
{
	return encoding_from_bytes(bytes, Min(length, MAX_MESSAGE_BYTES), NULL);
}

/* Where a text stands for the last time; NULL for nowhere. */
static const char *
find_last(const char *bytes, size_t length, const char *text)
{
	const char *end = bytes + length;
	const char *found = NULL;

	while ((bytes = memmem(bytes, (size_t) (end - bytes), text, strlen(text))) != NULL)
		found = bytes++;
	return found;
}

/*
 * What a service says. It quotes what is wrong ("Value '…' at 'codeBlock' failed to satisfy constraint: …"): of a value that is long,
 * as a code block is, with whatever stands in it, only how long.
 */
static char *
service_words(const char *bytes, size_t length)
{
	static const char before[] = "Value '";
	static const char behind[] = "' at '";
	const char *value = memmem(bytes, length, before, strlen(before));
	const char *end = find_last(bytes, length, behind);

	if (value != NULL)
		value += strlen(before);
	if (value == NULL || end == NULL || end < value + MAX_QUOTED_BYTES)
		return message_text(bytes, length);
	return psprintf("%sof %zu bytes%s", message_text(bytes, (size_t) (value - 1 - bytes)),
					(size_t) (end - value),
					message_text(end + 1, length - (size_t) (end + 1 - bytes)));
}

/*
 * The name of an exception out of what a service sends: what stands before the first colon, and of
 * that what follows the first number sign. NULL where nothing fit to be shown is left.
 * https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html#operation-error-serialization
 */
static char *
exception_name(const char *bytes, size_t length)
{
	const char *colon = memchr(bytes, ':', length);
	const char *hash;

	if (colon != NULL)
		length = (size_t) (colon - bytes);
	hash = memchr(bytes, '#', length);
	if (hash != NULL)
	{
		length -= (size_t) (hash + 1 - bytes);
		bytes = hash + 1;
	}
	if (length == 0 || length > MAX_NAME_BYTES)
		return NULL;
	for (size_t i = 0; i < length; i++)
	{
		if (bytes[i] <= ' ' || bytes[i] > '~')
			return NULL;
	}
	return pnstrdup(bytes, length);
}

/* A string member as raw UTF-8; false where there is none or it cannot be held. */
static bool
json_text(JsonValue object, const char *name, char **text, size_t *length)
{
	JsonValue value = json_member(object, name);

	if (json_type(value) != JSON_STRING)
		return false;
	*text = palloc(value.length);
	return json_read_string(value, *text, length) == JSON_READ;
}

static void
read_json_error(AwsError *error, const AwsService *service, const HttpResponse *response)
{
	static const char *const name_members[] = {"__type", "code"};
	static const char *const message_members[] = {"message", "Message", "errorMessage"};
	JsonValue document;
	const char *problem;
	const char *header;
	size_t length;
	char *text;

	header = http_response_header(response, "x-amzn-errortype", &length);
	if (header != NULL)
		error->exception = exception_name(header, length);

	if (!json_check(response->body, response->body_length, &document, &problem))
		return;
	for (int i = 0; error->exception == NULL && i < (int) lengthof(name_members); i++)
	{
		if (json_text(document, name_members[i], &text, &length))
			error->exception = exception_name(text, length);
	}
	for (int i = 0; error->message == NULL && i < (int) lengthof(message_members); i++)
	{
		if (json_text(document, message_members[i], &text, &length) && length > 0)
			error->message = service_words(text, length);
	}
	if (service->error_code_member != NULL &&
		json_text(document, service->error_code_member, &text, &length))
		error->error_code = message_text(text, Min(length, MAX_NAME_BYTES));
}

static void
take_name(AwsError *error, const ByteBuffer *exception, const ByteBuffer *message)
{
	if (exception->length > 0)
		error->exception = exception_name(exception->data, exception->length);
	if (message->length > 0)
		error->message = service_words(message->data, message->length);
}

/* S3's errors stand alone, STS's in an ErrorResponse. */
static void
read_xml_error(AwsError *error, const HttpResponse *response)
{
	XmlWanted wanted[] = {{.path = "Error/Code"},
						  {.path = "Error/Message"},
						  {.path = "ErrorResponse/Error/Code"},
						  {.path = "ErrorResponse/Error/Message"}};

	if (xml_read(response->body, response->body_length, wanted, lengthof(wanted)))
	{
		for (int i = 0; i < (int) lengthof(wanted); i += 2)
			take_name(error, &wanted[i].text, &wanted[i + 1].text);
	}
	xml_free(wanted, lengthof(wanted));
}

/* STS's errors where it was asked for JSON: {"Error": {"Code": …, "Message": …}}. */
static void
read_query_json_error(AwsError *error, const HttpResponse *response)
{
	JsonValue document;
	const char *problem;
	size_t length;
	char *text;

	if (!json_check(response->body, response->body_length, &document, &problem))
		return;
	document = json_member(document, "Error");
	if (json_text(document, "Code", &text, &length))
		error->exception = exception_name(text, length);
	if (json_text(document, "Message", &text, &length) && length > 0)
		error->message = service_words(text, length);
}

static const AwsErrorMeaning *
find_meaning(const AwsErrorMeaning *meanings, const AwsError *error)
{
	for (; meanings->exception != NULL; meanings++)
	{
		if (strcmp(meanings->exception, error->exception) == 0 &&
			(meanings->words == NULL ||
			 (error->message != NULL && strstr(error->message, meanings->words) != NULL)))
			return meanings;
	}
	return NULL;
}

/* Gives an exception of the service its SQLSTATE and hint. */
static void
classify(AwsError *error, const AwsService *service)
{
	const char *exception = error->exception != NULL ? error->exception : "";
	const AwsErrorMeaning *meaning = NULL;

	if (error->exception != NULL)
	{
		meaning = find_meaning(service->meanings, error);
		if (meaning == NULL)
			meaning = find_meaning(common_meanings, error);
	}
	if (meaning != NULL)
	{
		error->sqlstate = meaning->sqlstate;
		error->hint = meaning->hint;
	}
	else if (retry_reason(error->http_status, exception) == RETRY_THROTTLING)
	{
		error->sqlstate = ERRCODE_CONFIGURATION_LIMIT_EXCEEDED;
		error->hint = "Ask less often, or raise athena_calc.max_attempts.";
	}
	else if (error->http_status >= 500)
		error->sqlstate = ERRCODE_SYSTEM_ERROR;
	else
		error->sqlstate = MAKE_SQLSTATE('S', 'P', '0', '0', '0');
}

static void
read_trouble(AwsError *error, const HttpResponse *response)
{
	error->message = message_text(response->problem, strlen(response->problem));
	error->exception = AWS_CONNECTION_FAILURE;
	switch (response->outcome)
	{
		case HTTP_ANSWERED:
			break;
		case HTTP_UNREACHABLE:
			error->sqlstate = ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION;
			error->hint = "Check the endpoint, the network and athena_calc.connect_timeout.";
			break;
		case HTTP_UNVERIFIED:
			error->sqlstate = ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION;
			error->hint = "Check the endpoint, and the certificate authorities that are trusted "
						  "(athena_calc.ca_bundle, or the system's).";
			break;
		case HTTP_BROKEN:
			error->sqlstate = ERRCODE_CONNECTION_FAILURE;
			break;
		case HTTP_TIMED_OUT:
			error->sqlstate = ERRCODE_CONNECTION_FAILURE;
			error->exception = AWS_TIMEOUT;
			error->hint = "Check the service, or raise athena_calc.request_timeout.";
			break;
		case HTTP_TOO_LARGE:
			error->sqlstate = ERRCODE_PROGRAM_LIMIT_EXCEEDED;
			error->exception = AWS_INVALID_RESPONSE;
			error->message = "the answer is larger than athena_calc.max_response_size";
			error->hint = "Raise athena_calc.max_response_size, or ask for less.";
			break;
		case HTTP_MALFORMED:
			error->sqlstate = ERRCODE_PROTOCOL_VIOLATION;
			error->exception = AWS_INVALID_RESPONSE;
			break;
		case HTTP_NO_DESCRIPTOR:
			error->sqlstate = ERRCODE_INSUFFICIENT_RESOURCES;
			error->hint = "Raise max_files_per_process.";
			break;
		case HTTP_NO_MEMORY:
			error->sqlstate = ERRCODE_OUT_OF_MEMORY;
			break;
	}
}

/* An error that is made of an answer begins with what every answer tells. */
static void
begin(AwsError *error, const HttpResponse *response)
{
	static const char *const id_headers[] = {"x-amzn-requestid", "x-amz-request-id"};

	memset(error, 0, sizeof(*error));
	error->http_status = response->status;
	for (int i = 0; error->request_id == NULL && i < (int) lengthof(id_headers); i++)
	{
		size_t length;
		const char *id = http_response_header(response, id_headers[i], &length);

		if (id != NULL)
			error->request_id = message_text(id, Min(length, MAX_NAME_BYTES));
	}
}

/* Gives what was read of an error its SQLSTATE, and what it lacks. */
static void
conclude(AwsError *error, const AwsService *service, const HttpResponse *response)
{
	const char *signature;

	error->from_service = error->exception != NULL;

	/* Without a name, only a status that speaks for itself is an error of the service. */
	if (error->exception == NULL && response->status < 500 && response->status != 429 &&
		service->error_format != AWS_ERROR_STATUS)
		aws_error_invalid_response(error, response, "is an error that cannot be read");
	else
	{
		classify(error, service);
		/* A refused signature is told with the whole request that was to be signed, session token included. */
		if (error->message != NULL &&
			error->sqlstate == ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION)
			error->message = pnstrdup(error->message, strcspn(error->message, "\r\n"));
		/* A gateway may repeat the request's headers. What follows is no loss. */
		if (error->message != NULL && (signature = strstr(error->message, "Signature=")) != NULL)
			error->message =
				psprintf("%.*s" CONCEALED, (int) (strchr(signature, '=') + 1 - error->message),
						 error->message);
		if (error->message == NULL)
			error->message = error->exception != NULL
								 ? error->exception
								 : psprintf("it answered with HTTP status %d", response->status);
	}
}

void
aws_error_read(AwsError *error, const AwsService *service, const HttpResponse *response)
{
	begin(error, response);
	if (response->outcome != HTTP_ANSWERED)
	{
		read_trouble(error, response);
		return;
	}

	if (response->status >= 300 && response->status < 400)
	{
		aws_error_invalid_response(error, response, "is a redirect, which is not followed");
		return;
	}
	switch (service->error_format)
	{
		case AWS_ERROR_JSON:
			read_json_error(error, service, response);
			break;
		case AWS_ERROR_XML:
			read_xml_error(error, response);
			break;
		case AWS_ERROR_QUERY:
			if (response->body_length > 0 && response->body[0] == '{')
				read_query_json_error(error, response);
			else
				read_xml_error(error, response);
			break;
		case AWS_ERROR_STATUS:
			break;
	}
	conclude(error, service, response);
}

void
aws_error_name(AwsError *error, const AwsService *service, const HttpResponse *response,
			   const ByteBuffer *exception, const ByteBuffer *message)
{
	begin(error, response);
	take_name(error, exception, message);
	conclude(error, service, response);
}

/* How much of a secret's beginning there is at the end of a text, where that was cut; less than this is not worth a star. */
#define MIN_BEGINNING 16

static size_t
beginning_at_end(const char *text, const char *secret)
{
	size_t text_length = strlen(text);

	for (size_t length = Min(text_length, strlen(secret)); length >= MIN_BEGINNING; length--)
	{
		if (memcmp(text + text_length - length, secret, length) == 0)
			return length;
	}
	return 0;
}

/* A copy of a text, with stars in the place of the secret; NULL of none. */
static const char *
conceal(const char *text, const char *secret)
{
	StringInfoData out;
	const char *place;
	size_t cut;

	if (text == NULL)
		return NULL;
	initStringInfo(&out);
	while ((place = strstr(text, secret)) != NULL)
	{
		appendBinaryStringInfo(&out, text, (int) (place - text));
		appendStringInfoString(&out, CONCEALED);
		text = place + strlen(secret);
	}
	cut = beginning_at_end(text, secret);
	appendBinaryStringInfo(&out, text, (int) (strlen(text) - cut));
	if (cut > 0)
		appendStringInfoString(&out, CONCEALED);
	return out.data;
}

void
aws_error_conceal(AwsError *error, const char *secret)
{
	if (secret == NULL || secret[0] == '\0')
		return;
	error->exception = conceal(error->exception, secret);
	error->error_code = conceal(error->error_code, secret);
	error->message = conceal(error->message, secret);
	error->request_id = conceal(error->request_id, secret);
}

static const char *
copy_text(const char *text)
{
	return text != NULL ? pstrdup(text) : NULL;
}

void
aws_error_copy(AwsError *copy, const AwsError *error)
{
	*copy = *error; /* a hint is a constant */
	copy->exception = copy_text(error->exception);
	copy->error_code = copy_text(error->error_code);
	copy->message = copy_text(error->message);
	copy->request_id = copy_text(error->request_id);
}

bool
aws_error_is_of_credentials(const AwsError *error)
{
	static const char *const exceptions[] = {
		"ExpiredToken",         "ExpiredTokenException", "UnrecognizedClientException",
		"InvalidClientTokenId", "InvalidAccessKeyId",
	};

	if (!error->from_service)
		return false;
	for (int i = 0; i < (int) lengthof(exceptions); i++)
	{
		if (strcmp(error->exception, exceptions[i]) == 0)
			return true;
	}
	return false;
}

void
aws_error_invalid_response(AwsError *error, const HttpResponse *response, const char *problem)
{
	begin(error, response);
	error->sqlstate = ERRCODE_PROTOCOL_VIOLATION;
	error->exception = AWS_INVALID_RESPONSE;
	error->message = psprintf("the answer %s", problem);
}

static void
append_detail(StringInfo detail, const char *key, const char *value)
{
	if (value == NULL)
		return;
	if (detail->len > 0)
		appendStringInfoChar(detail, '\n');
	/* A value is one line, lest it look like further keys. */
	appendStringInfo(detail, "%s: %.*s", key, (int) strcspn(value, "\r\n"), value);
}

void
aws_error_raise(const AwsError *error, const AwsService *service, const char *operation,
				int attempts)
{
	StringInfoData detail;

	initStringInfo(&detail);
	if (error->from_service)
		append_detail(&detail, "exception", error->exception);
	append_detail(&detail, service->error_code_key, error->error_code);
	if (error->http_status > 0)
		append_detail(&detail, "http_status", psprintf("%d", error->http_status));
	append_detail(&detail, "request_id", error->request_id);
	append_detail(&detail, "attempts", psprintf("%d", attempts));

	ereport(ERROR, (errcode(error->sqlstate),
					errmsg_internal("%s %s failed: %s", service->name, operation, error->message),
					errdetail_internal("%s", detail.data),
					error->hint != NULL ? errhint("%s", error->hint) : 0));
}
