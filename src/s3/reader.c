/*
 * reader.c
 *		Objects of a bucket, read one after another as streams. See reader.h.
 *
 * Each object is one GetObject whose answer is read as it comes. What is ahead waits in its window and in the buffers of its
 * connection, which is all that is held.
 */
#include "s3/reader.h"

#include "s3/answer.h"
#include "s3/request.h"
#include "settings.h"

#define HTTP_STATUS_PARTIAL_CONTENT 206
#define HTTP_STATUS_PRECONDITION_FAILED 412

/* What is held of each object that is under way. */
#define WINDOW_BYTES (256 * 1024)

/*
 * The next objects are asked for while less than this is left of those under way, at most so many of them: small ones do not
 * wait for one another's first byte, and beside a large one no connection lies idle for long.
 */
#define BYTES_AHEAD (4 * 1024 * 1024)
#define MAX_OBJECTS_AHEAD 16

/* An object that is read, or will be next. */
typedef struct Slot
{
	S3Call call;
	MemoryContext memory; /* the reader's */
	S3Uri uri;
	const S3Object *object;
	HttpHeader headers[3];
	char range[64];
	char *etag;     /* what it must have; NULL while that is not known */
	int64 length;   /* -1 while that is not known */
	int64 offset;   /* how much of it was read */
	int64 begun_at; /* the offset at which the attempt under way was sent */
	int64 skip;     /* bytes that were read before, and come again */
	int fruitless;  /* attempts in a row that brought nothing */
	bool is_known;  /* whether a head was read, of any attempt */
	bool has_head;  /* whether the head of the attempt's answer was */
	bool is_complete;
	S3Verification verification;
} Slot;

struct S3Reader
{
	ByteSource source; /* first: of the object that is read */
	MemoryContext memory;
	const char *bucket;
	const S3Object *objects;
	int count;
	int current; /* the object that is read; -1 before the first */
	int started; /* how many are, or were, under way */
	int max_ahead;
	S3Run *run;
	Slot slots[MAX_OBJECTS_AHEAD]; /* object i is in slot i modulo their number */
};

static Slot *
slot_of(S3Reader *reader, int object)
{
	return &reader->slots[object % MAX_OBJECTS_AHEAD];
}

/* A whole number of digits alone, up to `end`; -1 for anything else. */
static int64
read_number(const char *digits, const char *end)
{
	int64 number = 0;

	if (digits == end || end - digits > 18)
		return -1;
	for (; digits < end; digits++)
	{
		if (*digits < '0' || *digits > '9')
			return -1;
		number = number * 10 + (*digits - '0');
	}
	return number;
}

/* Reads "bytes <first>-<last>/<length>". False where it is something else. */
static bool
read_content_range(const HttpResponse *response, int64 *first, int64 *length)
{
	size_t size;
	const char *value = http_response_header(response, "content-range", &size);
	const char *end;
	const char *dash;
	const char *slash;

	if (value == NULL || size < 6 || strncmp(value, "bytes ", 6) != 0)
		return false;
	end = value + size;
	value += 6;
	dash = memchr(value, '-', end - value);
	slash = memchr(value, '/', end - value);
	if (dash == NULL || slash == NULL || dash > slash)
		return false;
	*first = read_number(value, dash);
	*length = read_number(slash + 1, end);
	return *first >= 0 && *length >= 0;
}

/* Makes an error of an object that is another than the one that was begun. */
static void
set_changed(AwsError *error)
{
	memset(error, 0, sizeof(*error));
	error->sqlstate = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	error->message = "the object has changed since it was listed, or while it was read";
	error->hint = "Run the statement again when nothing is written there any more.";
}

/* Takes the head of an answer; where it does not fit what is known of the object, sets the error. */
static void
read_head(Slot *slot, AwsError *error, const HttpResponse *response)
{
	size_t size;
	const char *etag = http_response_header(response, "etag", &size);
	const char *content_length;
	int64 length = -1;

	slot->has_head = true;
	if (etag != NULL && slot->etag != NULL &&
		(strlen(slot->etag) != size || strncmp(slot->etag, etag, size) != 0))
	{
		set_changed(error);
		return;
	}
	if (etag != NULL && slot->etag == NULL)
	{
		slot->etag = MemoryContextAllocZero(slot->memory, size + 1);
		memcpy(slot->etag, etag, size);
	}

	if (response->status == HTTP_STATUS_PARTIAL_CONTENT)
	{
		int64 first;

		if (!read_content_range(response, &first, &length) || first != slot->begun_at)
		{
			aws_error_invalid_response(error, response, "has another range than was asked for");
			return;
		}
	}
	else
	{
		content_length = http_response_header(response, "content-length", &size);
		if (content_length != NULL)
			length = read_number(content_length, content_length + size);
		/* A server that knows no ranges begins at the beginning. */
		slot->skip = slot->begun_at;
	}
	if (!slot->is_known)
	{
		slot->is_known = true;
		slot->length = length;
		s3_verification_begin(&slot->verification, response);
	}
	else if (slot->length < 0)
		slot->length = length; /* an answer in chunks does not say it */
	else if (length >= 0 && length != slot->length)
		set_changed(error);
}

static void
take_end(AwsError *error, const HttpResponse *response, void *context)
{
	Slot *slot = context;

	if (error->sqlstate == 0 && !slot->has_head)
		read_head(slot, error, response);
	else if (error->http_status == HTTP_STATUS_PRECONDITION_FAILED)
		set_changed(error);
}

/* Asks for what of an object was not read yet. */
static void
start_slot(S3Reader *reader, Slot *slot, int64 pause)
{
	S3Request *request = &slot->call.request;

	request->operation = "GetObject";
	request->method = "GET";
	request->uri = &slot->uri;
	request->is_patient = true;
	request->window = WINDOW_BYTES;
	request->headers = slot->headers;
	request->header_count = 0;
	slot->headers[request->header_count++] = s3_checksum_wanted;
	if (slot->etag != NULL)
		slot->headers[request->header_count++] = (HttpHeader){"If-Match", slot->etag};
	if (slot->offset > 0)
	{
		snprintf(slot->range, sizeof(slot->range), "bytes=" INT64_FORMAT "-", slot->offset);
		slot->headers[request->header_count++] = (HttpHeader){"Range", slot->range};
	}
	slot->call.answer = take_end;
	slot->call.context = slot;
	slot->begun_at = slot->offset;
	slot->skip = 0;
	slot->has_head = false;
	s3_run_start(reader->run, &slot->call, pause);
}

/* How much is left of the objects that are under way, as far as their size is known. */
static int64
bytes_ahead(S3Reader *reader)
{
	int64 bytes = 0;

	for (int i = Max(reader->current, 0); i < reader->started; i++)
	{
		const Slot *slot = slot_of(reader, i);
		int64 length = slot->length >= 0 ? slot->length : slot->object->size;

		bytes += Max(0, length - slot->offset);
	}
	return bytes;
}

static void
start_ahead(S3Reader *reader)
{
	while (reader->started < reader->count &&
		   reader->started - Max(reader->current, 0) < reader->max_ahead &&
		   bytes_ahead(reader) < BYTES_AHEAD)
	{
		Slot *slot = slot_of(reader, reader->started);

		memset(slot, 0, sizeof(*slot));
		slot->memory = reader->memory;
		slot->object = &reader->objects[reader->started++];
		slot->uri.bucket = reader->bucket;
		slot->uri.key = slot->object->key;
		slot->etag = unconstify(char *, slot->object->etag);
		slot->length = -1;
		start_slot(reader, slot, 0);
	}
}

/* An attempt has ended before the object: takes it up where it stopped, unless that has brought nothing too often. */
static void
resume(S3Reader *reader, Slot *slot)
{
	int max_attempts = setting_max_attempts;
	int64 pause;

	slot->fruitless = slot->offset > slot->begun_at ? 0 : slot->fruitless + 1;
	if (slot->fruitless >= max_attempts)
		aws_call_raise(&slot->call.call);
	pause = retry_delay(RETRY_TRANSIENT, slot->fruitless + 1, random_fraction(), -1);
	start_slot(reader, slot, pause);
}

pg_noreturn static void
raise_damaged(const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION), errmsg("S3 GetObject failed: %s", problem)));
}

/* All that S3 sends of an object was read: it must be what S3 said it would be. */
static void
complete(Slot *slot)
{
	const char *problem;

	if (slot->length >= 0 && slot->offset != slot->length)
		raise_damaged(psprintf("the object has another length than S3 says: " INT64_FORMAT
							   " bytes came, " INT64_FORMAT " were announced",
							   slot->offset, slot->length));
	problem = s3_verification_finish(&slot->verification);
	if (problem != NULL)
		raise_damaged(problem);
	slot->is_complete = true;
	s3_call_release(&slot->call);
}

/* Whether it was the way, not S3, that ended a successful answer. */
static bool
was_cut(const AwsError *error)
{
	return error->http_status / 100 == 2 && error->exception != NULL &&
		   (strcmp(error->exception, AWS_CONNECTION_FAILURE) == 0 ||
			strcmp(error->exception, AWS_TIMEOUT) == 0);
}

/* What became of an attempt that has ended. */
static void
end_attempt(S3Reader *reader, Slot *slot)
{
	const AwsError *error = &slot->call.call.error;

	if (error->sqlstate == 0)
		complete(slot);
	else if (was_cut(error))
		resume(reader, slot);
	else
		aws_call_raise(&slot->call.call);
}

/* Takes of the bytes that came those that were read before. Whether there were any. */
static bool
skip_bytes(Slot *slot, const HttpResponse *so_far)
{
	size_t length = (size_t) Min(slot->skip, (int64) so_far->body_length);

	if (length == 0)
		return false;
	slot->skip -= length;
	http_take(&slot->call.call.exchange, length);
	return true;
}

/* Takes up to `size` of the bytes that came. 0 where none are there. */
static size_t
take_bytes(Slot *slot, const HttpResponse *so_far, char *buffer, size_t size)
{
	size_t length = Min(so_far->body_length, size);

	if (length == 0)
		return 0;
	memcpy(buffer, so_far->body, length);
	http_take(&slot->call.call.exchange, length);
	slot->offset += length;
	if (slot->verification.is_due)
		checksum_update(&slot->verification.checksum, buffer, length);
	return length;
}

static size_t
read_current(ByteSource *source, char *buffer, size_t size)
{
	S3Reader *reader = (S3Reader *) source;
	Slot *slot = slot_of(reader, reader->current);

	while (!slot->is_complete)
	{
		HttpResponse so_far;

		if (!slot->call.is_done && http_peek(&slot->call.call.exchange, &so_far))
		{
			AwsError error = {0};
			size_t length;

			if (!slot->has_head)
				read_head(slot, &error, &so_far);
			if (error.sqlstate != 0)
				aws_error_raise(&error, &s3_service, slot->call.request.operation,
								slot->call.call.attempts);
			/* Behind what is skipped there may be more, which nothing would wake a wait for. */
			if (skip_bytes(slot, &so_far))
				continue;
			length = take_bytes(slot, &so_far, buffer, size);
			if (length > 0)
				return length;
		}
		if (slot->call.is_done)
			end_attempt(reader, slot);
		else
		{
			start_ahead(reader);
			s3_run_drive(reader->run, true);
		}
	}
	return 0;
}

S3Reader *
s3_reader_open(const char *bucket, const S3Object *objects, int count)
{
	MemoryContext memory =
		AllocSetContextCreate(CurrentMemoryContext, "athena_calc reader", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(memory);
	S3Reader *reader = palloc0(sizeof(S3Reader));

	reader->source.read = read_current;
	reader->memory = memory;
	reader->bucket = bucket;
	reader->objects = objects;
	reader->count = count;
	reader->current = -1;
	reader->max_ahead = Min(MAX_OBJECTS_AHEAD, setting_max_concurrency);
	reader->run = s3_run_begin(reader->max_ahead);
	MemoryContextSwitchTo(before);
	return reader;
}

ByteSource *
s3_reader_next(S3Reader *reader)
{
	Assert(reader->current < 0 || slot_of(reader, reader->current)->is_complete);
	if (reader->current + 1 >= reader->count)
		return NULL;
	reader->current++;
	start_ahead(reader);
	return &reader->source;
}

void
s3_reader_close(S3Reader *reader)
{
	for (int i = 0; i < MAX_OBJECTS_AHEAD; i++)
		s3_verification_drop(&reader->slots[i].verification);
	s3_run_end(reader->run);
	MemoryContextDelete(reader->memory);
}
