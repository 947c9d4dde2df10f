/*
 * source.c
 *		What the sources of credentials share. See source.h.
 */
#include "aws/source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aws/encoding.h"
#include "aws/timestamp.h"
#include "settings.h"
#include "storage/fd.h"

/* Tokens have at most 20,000 characters, and nobody writes profiles of this size. */
#define MAX_FILE_BYTES (1024 * 1024)

/* The longest attempt while credentials still hold. */
#define HASTY_TIMEOUT_MS 2000

/* How much of what a service says of its failure is passed on. */
#define MAX_MESSAGE_BYTES 500

static bool is_hasty = false;

typedef struct Reading
{
	SourceReader read;
	void *context;
	MemoryContext memory;
	bool answered;
} Reading;

static void
read_answer(AwsCall *call, const HttpResponse *response, void *context)
{
	Reading *reading = context;
	const char *problem;

	reading->answered = true;
	if (call->error.sqlstate == 0)
	{
		MemoryContext before = MemoryContextSwitchTo(reading->memory);

		if (!reading->read(response->body, response->body_length, reading->context, &problem))
			aws_error_invalid_response(&call->error, response, problem);
		MemoryContextSwitchTo(before);
	}
}

void
source_be_hasty(bool hasty)
{
	is_hasty = hasty;
}

bool
source_call(AwsCall *call, SourceReader read, void *context)
{
	Reading reading = {read, context, CurrentMemoryContext, false};

	if (is_hasty)
	{
		call->max_attempts = 1;
		call->timeout = http_time_left(
			Min(call->timeout > 0 ? call->timeout : setting_request_timeout, HASTY_TIMEOUT_MS));
	}
	aws_call_send(&call, 1, read_answer, &reading);
	if (!reading.answered)
	{
		call->error.sqlstate = ERRCODE_CONNECTION_FAILURE;
		call->error.exception = AWS_TIMEOUT;
		call->error.message = "there was no time for an answer";
	}
	return call->error.sqlstate == 0;
}

void
source_raise(AwsCall *call)
{
	if (call->service->error_format == AWS_ERROR_STATUS && call->error.http_status >= 400 &&
		call->error.http_status < 500)
		call->error.sqlstate = ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION;
	aws_call_raise(call);
}

bool
source_take(FoundCredentials *found, const char *access_key_id, const char *secret,
			const char *session_token, const char **problem)
{
	if (access_key_id == NULL || access_key_id[0] == '\0' || secret == NULL || secret[0] == '\0')
	{
		*problem = "has no credentials";
		return false;
	}
	if (aws_options[AWS_OPTION_ACCESS_KEY_ID].problem(access_key_id) != NULL ||
		aws_options[AWS_OPTION_SECRET_ACCESS_KEY].problem(secret) != NULL ||
		(session_token != NULL &&
		 aws_options[AWS_OPTION_SESSION_TOKEN].problem(session_token) != NULL))
	{
		*problem = "has credentials with characters that credentials cannot have";
		return false;
	}
	found->access_key_id = pstrdup(access_key_id);
	found->secret_access_key = pstrdup(secret);
	found->session_token =
		session_token != NULL && session_token[0] != '\0' ? pstrdup(session_token) : NULL;
	return true;
}

/* A string member, "" where there is none; NULL for what no string of C can hold. */
static char *
member_text(JsonValue object, const char *name)
{
	JsonValue value = json_member(object, name);
	char *text;
	size_t length;

	if (json_type(value) != JSON_STRING)
		return pstrdup("");
	text = palloc(value.length + 1);
	if (json_read_string(value, text, &length) != JSON_READ)
		return NULL;
	text[length] = '\0';
	return text;
}

/* The same for people: in the database's encoding, and no longer than they read. */
static const char *
message_of(JsonValue object, const char *name)
{
	const char *text = member_text(object, name);

	return text != NULL ? encoding_from_bytes(text, strnlen(text, MAX_MESSAGE_BYTES), NULL) : "";
}

/* Expiration is a date-time, or with STS in JSON seconds since 1970. */
static bool
read_expiration(JsonValue value, int64 *expiration)
{
	int64 number;

	*expiration = 0;
	switch (json_type(value))
	{
		case JSON_ABSENT:
		case JSON_NULL:
			return true;
		case JSON_NUMBER:
			if (json_read_scaled(value, 0, true, &number) != JSON_READ)
				return false;
			*expiration = number;
			return true;
		case JSON_STRING:
			if (value.length == 2)
				return true;
			if (!timestamp_parse(value.start + 1, value.length - 2, &number))
				return false;
			*expiration = number / 1000000;
			return true;
		default:
			return false;
	}
}

bool
source_read_object(JsonValue object, FoundCredentials *found, const char **problem)
{
	char *id = member_text(object, "AccessKeyId");
	char *secret = member_text(object, "SecretAccessKey");
	char *token = member_text(object, "SessionToken");
	bool read;

	/* EC2 and containers call it otherwise. */
	if (token != NULL && token[0] == '\0')
		token = member_text(object, "Token");
	read = token != NULL && source_take(found, id, secret, token, problem);
	if (token == NULL)
		*problem = "has credentials with characters that credentials cannot have";
	if (read && !read_expiration(json_member(object, "Expiration"), &found->expiration))
	{
		*problem = "has an Expiration that is no time";
		source_forget(found);
		read = false;
	}
	source_wipe(secret);
	source_wipe(token);
	return read;
}

bool
source_read_json(const char *body, size_t length, void *context, const char **problem)
{
	JsonValue document;
	FoundCredentials *found = context;
	const char *syntax;
	const char *message;
	const char *code;

	if (!json_check(body, length, &document, &syntax))
	{
		*problem = "is not JSON";
		return false;
	}
	/* EC2 says with status 200 that it could not do it. */
	code = message_of(document, "Code");
	message = message_of(document, "Message");
	if (code[0] != '\0' && strcmp(code, "Success") != 0)
	{
		*problem = psprintf("says %s: %s", code, message);
		return false;
	}
	if (!source_read_object(document, found, problem))
		return false;
	if (found->expiration == 0)
	{
		*problem = "has no time at which its credentials expire";
		source_forget(found);
		return false;
	}
	return true;
}

static void
raise_unreadable(const char *path, const char *what, const char *why)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
					errmsg("could not read the %s \"%s\": %s", what, path, why),
					errhint("It must be a file that the server's operating system user may "
							"read.")));
}

char *
source_read_file(const char *path, const char *what, size_t *length)
{
	/* Opening a pipe would wait for its other end. */
	int file = OpenTransientFile(path, O_RDONLY | O_NONBLOCK | PG_BINARY);
	struct stat status;
	char *bytes;
	ssize_t count = 0;

	if (file < 0)
		raise_unreadable(path, what, strerror(errno));
	if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode))
		raise_unreadable(path, what, "it is not a file");
	if (status.st_size > MAX_FILE_BYTES)
		raise_unreadable(path, what, "it is too large");

	bytes = palloc(status.st_size + 1);
	*length = 0;
	while (*length < (size_t) status.st_size &&
		   (count = read(file, bytes + *length, status.st_size - *length)) > 0)
		*length += (size_t) count;
	if (count < 0)
		raise_unreadable(path, what, strerror(errno));
	CloseTransientFile(file);

	while (*length > 0 && strchr(" \t\r\n", bytes[*length - 1]) != NULL &&
		   bytes[*length - 1] != '\0')
		(*length)--;
	bytes[*length] = '\0';
	return bytes;
}

void
source_wipe(char *secret)
{
	if (secret != NULL)
	{
		explicit_bzero(secret, strlen(secret));
		pfree(secret);
	}
}

void
source_forget(FoundCredentials *found)
{
	source_wipe(found->secret_access_key);
	source_wipe(found->session_token);
	found->secret_access_key = NULL;
	found->session_token = NULL;
}
