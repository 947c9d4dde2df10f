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

/* What the exceptions that all services share mean. */
static const AwsErrorMeaning common_meanings[] = {
	{"AccessDeniedException", NULL, ERRCODE_INSUFFICIENT_PRIVILEGE, NULL},
	{"AccessDenied", NULL, ERRCODE_INSUFFICIENT_PRIVILEGE, NULL},
	{"UnrecognizedClientException", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 "Check athena_calc.access_key_id and athena_calc.session_token: AWS does not know them."},
	{"InvalidClientTokenId", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 "Check athena_calc.access_key_id and athena_calc.session_token: AWS does not know them."},
	{"InvalidAccessKeyId", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 "Check athena_calc.access_key_id and athena_calc.session_token: AWS does not know them."},
	{"InvalidSignatureException", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 "Check athena_calc.secret_access_key and athena_calc.region, and the server's clock."},
	{"SignatureDoesNotMatch", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 "Check athena_calc.secret_access_key and athena_calc.region, and the server's clock."},
	{"IncompleteSignature", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, NULL},
	{"IncompleteSignatureException", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, NULL},
	{"ExpiredToken", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 "The temporary credentials have expired: set new ones."},
	{"ExpiredTokenException", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 "The temporary credentials have expired: set new ones."},
	{"RequestExpired", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 "Check the server's clock."},
	{"RequestTimeTooSkewed", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 "Check the server's clock."},
	{"MissingAuthenticationToken", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, NULL},
	{"MissingAuthenticationTokenException", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 NULL},
	{NULL, NULL, 0, NULL},
};

/* Text for a message: replaced where it does not fit the database, and no longer than people read. */
static char *
message_text(const char *bytes, size_t length)
{
	return encoding_from_bytes(bytes, Min(length, MAX_MESSAGE_BYTES), NULL);
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
			error->message = message_text(text, length);
	}
	if (service->error_code_member != NULL &&
		json_text(document, service->error_code_member, &text, &length))
		error->error_code = message_text(text, Min(length, MAX_NAME_BYTES));
}

static void
read_xml_error(AwsError *error, const HttpResponse *response)
{
	XmlWanted wanted[] = {{.path = "Error/Code"}, {.path = "Error/Message"}};

	if (xml_read(response->body, response->body_length, wanted, lengthof(wanted)))
	{
		if (wanted[0].text.length > 0)
			error->exception = exception_name(wanted[0].text.data, wanted[0].text.length);
		if (wanted[1].text.length > 0)
			error->message = message_text(wanted[1].text.data, wanted[1].text.length);
	}
	for (int i = 0; i < (int) lengthof(wanted); i++)
		buffer_free(&wanted[i].text);
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

void
aws_error_read(AwsError *error, const AwsService *service, const HttpResponse *response)
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
	if (service->error_format == AWS_ERROR_JSON)
		read_json_error(error, service, response);
	else
		read_xml_error(error, response);
	error->from_service = error->exception != NULL;

	/* Without a name, only a status that speaks for itself is an error of the service. */
	if (error->exception == NULL && response->status < 500 && response->status != 429)
		aws_error_invalid_response(error, response, "is an error that cannot be read");
	else
	{
		classify(error, service);
		if (error->message == NULL)
			error->message = error->exception != NULL
								 ? error->exception
								 : psprintf("it answered with HTTP status %d", response->status);
	}
}

void
aws_error_invalid_response(AwsError *error, const HttpResponse *response, const char *problem)
{
	size_t length;
	const char *id = http_response_header(response, "x-amzn-requestid", &length);

	memset(error, 0, sizeof(*error));
	error->sqlstate = ERRCODE_PROTOCOL_VIOLATION;
	error->exception = AWS_INVALID_RESPONSE;
	error->message = psprintf("the answer %s", problem);
	error->http_status = response->status;
	if (id != NULL)
		error->request_id = message_text(id, Min(length, MAX_NAME_BYTES));
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
