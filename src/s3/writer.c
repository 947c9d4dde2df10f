/*
 * writer.c
 *		Objects written as streams. See writer.h.
 *
 * What is written fills a part; a full one is uploaded while the next is filled. An object that fits into one part is sent
 * as a whole in the end, if it is the only one. All uploads are completed at the end, and until then S3 shows nothing of them.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
 */
#include "s3/writer.h"

#include <time.h>

#include "aws/errand.h"
#include "aws/sigv4.h"
#include "s3/answer.h"
#include "s3/checksum.h"
#include "s3/list.h"
#include "s3/request.h"
#include "settings.h"

#define HTTP_STATUS_BAD_REQUEST 400
#define HTTP_STATUS_FORBIDDEN 403
#define HTTP_STATUS_NOT_FOUND 404
#define HTTP_STATUS_PRECONDITION_FAILED 412
#define HTTP_STATUS_NOT_IMPLEMENTED 501

/*
 * Parts have 8 MB; as an object may have no more than 10,000 of them, each thousand has twice the size of the one before, up
 * to a limit: 3.9 TB in all.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
 */
#define FIRST_PART_BYTES (8 * 1024 * 1024)
#define PARTS_OF_A_SIZE 1000
#define MAX_DOUBLINGS 7

/* A part's memory to begin with: most objects are small. */
#define FIRST_BUFFER_BYTES (64 * 1024)

/* Parts in memory: one is filled, the others are on their way. */
#define MAX_PARTS 4

/* Of how many objects it is told by name that something is left. */
#define MAX_TOLD 10

/* How much may be written, and how long it may take, until the parts on their way are looked after. */
#define BYTES_BETWEEN_LOOKS (64 * 1024)
#define MS_BETWEEN_LOOKS 100

/* What is there under an object's name. */
typedef struct Head
{
	bool exists;
	bool is_absent;           /* said to be; neither where it is not to be seen */
	int64 length;             /* -1 where it is not said */
	char mark[AWS_UUID_SIZE]; /* of the copy that wrote it; "" where none is seen */
} Head;

/* What S3 said of a part. */
typedef struct Uploaded
{
	char *etag;
	char checksum[CHECKSUM_TEXT_SIZE]; /* empty where S3 did not say that it has seen it */
} Uploaded;

/* An object. */
typedef struct Upload
{
	struct Upload *next;
	S3Writer *writer;
	S3Uri uri;
	char *type;
	bool is_new; /* nothing was there under its name */
	uint64 length;
	bool was_asked_for; /* whether an upload was begun, or is being */
	S3Call creation;
	HttpHeader creation_headers[4];
	char *id; /* the upload's, encoded; NULL for none */
	Uploaded *parts;
	int part_count; /* how many have been sent */
	S3Call visible; /* what makes it visible */
	bool is_being_made_visible;
	bool is_visible;
	S3Call undo; /* what takes it back, or looks whether it must be */
	Head head;   /* what was last seen of it */
} Upload;

/* A part. */
typedef struct Part
{
	S3Call call;
	Upload *upload;
	int number; /* from 0 */
	bool is_under_way;
	char *bytes;
	size_t capacity;
	size_t length;
	Checksum checksum;
	char checksum_text[CHECKSUM_TEXT_SIZE];
	HttpHeader header;
	char *query;
} Part;

struct S3Writer
{
	Errand errand; /* first */
	MemoryContext memory;
	char mark[AWS_UUID_SIZE]; /* by which its objects are known from others' */
	bool overwrite;
	S3Run *run;
	Upload *uploads; /* all, in their order */
	Upload **next;   /* where the next one goes */
	Upload *current;
	Part parts[MAX_PARTS];
	int max_parts;
	Part *filling;   /* NULL for none */
	size_t unlooked; /* bytes since the last look after parts */
	int64 looked_at; /* when that was, in milliseconds of coarse_now() */
};

/* What each object is given, to be seen by HEAD: others may write the same, or as much. */
static const char mark_header[] = "x-amz-meta-athena-calc-copy";

static const HttpHeader checksum_algorithm = {"x-amz-checksum-algorithm", "CRC32"};
static const HttpHeader checksum_type = {"x-amz-checksum-type", "FULL_OBJECT"};

/*
 * The last header of what makes an object visible, unless it may replace another.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
 */
static const HttpHeader only_if_new = {"If-None-Match", "*"};

pg_noreturn static void
raise_exists(const S3Uri *uri)
{
	ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
					errmsg("object \"s3://%s/%s\" exists already", uri->bucket, uri->key),
					errhint("The option \"overwrite\" replaces it.")));
}

/* Raises why an object is not visible. */
pg_noreturn static void
raise_unwritten(const Upload *upload)
{
	const AwsCall *call = &upload->visible.call;

	if (call->error.http_status == HTTP_STATUS_PRECONDITION_FAILED ||
		(call->error.http_status == HTTP_STATUS_NOT_IMPLEMENTED && upload->head.exists))
		raise_exists(&upload->uri);
	aws_call_raise(call);
}

/*
 * What is there under an object's name
 */

static void
read_head(AwsError *error, const HttpResponse *response, void *context)
{
	Head *head = context;
	size_t size;
	size_t mark_size;
	const char *length = http_response_header(response, "content-length", &size);
	const char *mark = http_response_header(response, mark_header, &mark_size);

	memset(head, 0, sizeof(*head));
	head->exists = error->sqlstate == 0;
	head->is_absent = response->status == HTTP_STATUS_NOT_FOUND;
	head->length = length != NULL ? strtoll(length, NULL, 10) : -1;
	if (mark != NULL && mark_size < sizeof(head->mark))
		memcpy(head->mark, mark, mark_size);
	/* Refusals (403, and 400 of credentials or the region) have no words here, where there is no body. */
	if (response->status == HTTP_STATUS_NOT_FOUND || response->status == HTTP_STATUS_FORBIDDEN ||
		response->status == HTTP_STATUS_BAD_REQUEST)
		memset(error, 0, sizeof(*error));
}

/* https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html */
static S3Request
head_request(const S3Uri *uri)
{
	return (S3Request){.operation = "HeadObject", .method = "HEAD", .uri = uri};
}

/*
 * Looks at an object or, where that is refused, for it in a list, which says what is wrong: the bucket's region, for one. Who may
 * write need be allowed neither; S3 itself refuses in the end then.
 */
static void
look(S3Writer *writer, const S3Uri *uri, Head *head)
{
	const S3Request request = head_request(uri);
	bool is_refused = false;

	memset(head, 0, sizeof(*head));
	s3_run_request(writer->run, &request, read_head, head);
	if (head->exists || head->is_absent || http_is_given_up())
		return;
	head->exists = s3_object_exists(uri, writer->run, &is_refused);
	head->is_absent = !head->exists && !is_refused;
	head->length = -1;
}

/*
 * Takes what was seen of an object that may be visible: it is the one that was written, or not there, or somebody else's. One of the
 * same length without a mark leaves that open, for an S3 of another make may not keep marks.
 */
static void
judge(Upload *upload)
{
	const Head *head = &upload->head;

	if (head->exists && strcmp(head->mark, upload->writer->mark) == 0)
		upload->is_visible = true;
	else if (head->is_absent || head->mark[0] != '\0' ||
			 (head->exists && head->length >= 0 && head->length != (int64) upload->length))
		upload->is_being_made_visible = false;
}

/* Whether a call that was refused may have been carried out all the same: by an attempt whose answer was lost. */
static bool
may_be_done(const S3Call *call)
{
	const AwsError *error = &call->call.error;

	return call->call.uncertain && call->call.attempts > 1 &&
		   (error->http_status == HTTP_STATUS_PRECONDITION_FAILED ||
			error->http_status == HTTP_STATUS_NOT_FOUND);
}

/* Drives the call that makes an object visible to its end. */
static void
make_visible(S3Writer *writer, Upload *upload)
{
	S3Call *call = &upload->visible;

	s3_run_finish(writer->run, call);
	/* S3s of other makes may not know the condition: it is looked at instead. */
	if (call->call.error.http_status == HTTP_STATUS_NOT_IMPLEMENTED && !writer->overwrite)
	{
		look(writer, &upload->uri, &upload->head);
		upload->is_being_made_visible = upload->head.is_absent;
		if (upload->is_being_made_visible)
		{
			call->request.header_count--;
			s3_run_start(writer->run, call, 0);
			s3_run_finish(writer->run, call);
		}
	}
	if (!upload->is_visible && may_be_done(call))
	{
		look(writer, &upload->uri, &upload->head);
		judge(upload);
	}
}

/*
 * Parts
 */

static size_t
part_bytes(int number)
{
	return (size_t) FIRST_PART_BYTES << Min(number / PARTS_OF_A_SIZE, MAX_DOUBLINGS);
}

static void
read_upload_id(AwsError *error, const HttpResponse *response, void *context)
{
	Upload *upload = context;
	XmlWanted wanted = {.path = "InitiateMultipartUploadResult/UploadId"};
	ByteBuffer encoded = {0};

	if (error->sqlstate != 0)
		return;
	if (s3_answer_read(error, response, &wanted, 1))
	{
		if (wanted.text.length == 0)
			aws_error_invalid_response(error, response, "has no upload ID");
		else if (sigv4_uri_encode(&encoded, wanted.text.data, wanted.text.length, false))
			upload->id = MemoryContextStrdup(upload->writer->memory, encoded.data);
	}
	xml_free(&wanted, 1);
	buffer_free(&encoded);
}

/* https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html */
static void
create_upload(Upload *upload)
{
	S3Writer *writer = upload->writer;
	S3Call *call = &upload->creation;

	upload->creation_headers[0] = (HttpHeader){"Content-Type", upload->type};
	upload->creation_headers[1] = checksum_algorithm;
	upload->creation_headers[2] = checksum_type;
	upload->creation_headers[3] = (HttpHeader){mark_header, writer->mark};
	call->request = (S3Request){
		.operation = "CreateMultipartUpload",
		.method = "POST",
		.uri = &upload->uri,
		.query = "uploads=",
		.headers = upload->creation_headers,
		.header_count = lengthof(upload->creation_headers),
		.may_hide_error = true,
	};
	call->answer = read_upload_id;
	call->context = upload;
	s3_run_start(writer->run, call, 0);
	upload->was_asked_for = true;
	s3_run_finish(writer->run, call);
	if (call->call.error.sqlstate != 0)
		aws_call_raise(&call->call);
	if (upload->id == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	s3_call_release(call);
}

static void
read_part(AwsError *error, const HttpResponse *response, void *context)
{
	Part *part = context;
	Upload *upload = part->upload;
	size_t length;
	const char *etag = http_response_header(response, "etag", &length);
	Uploaded *uploaded = &upload->parts[part->number];

	if (error->sqlstate != 0)
		return;
	/* It goes back as XML. */
	if (etag == NULL || memchr(etag, '<', length) != NULL || memchr(etag, '&', length) != NULL)
	{
		aws_error_invalid_response(error, response, "has no ETag");
		return;
	}
	uploaded->etag = MemoryContextAllocZero(upload->writer->memory, length + 1);
	memcpy(uploaded->etag, etag, length);
	/* S3s of other makes may know no checksums, and nothing of them in XML. */
	if (http_response_header(response, checksum_header(CHECKSUM_DEFAULT), &length) != NULL)
		strlcpy(uploaded->checksum, part->checksum_text, sizeof(uploaded->checksum));
}

/* Ends the checksum of what is in a part. */
static void
finish_checksum(Part *part)
{
	if (!checksum_finish(&part->checksum, part->checksum_text))
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not compute a checksum")));
	part->header = (HttpHeader){checksum_header(CHECKSUM_DEFAULT), part->checksum_text};
}

/* Sends the part that is filled on its way. https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html */
static void
send_part(S3Writer *writer)
{
	Part *part = writer->filling;
	Upload *upload = writer->current;
	MemoryContext before = MemoryContextSwitchTo(writer->memory);
	int count = upload->part_count;

	if (upload->id == NULL)
		create_upload(upload);
	/* Room for a power of two. */
	if (count == 0)
		upload->parts = palloc0(sizeof(Uploaded));
	else if ((count & (count - 1)) == 0)
		upload->parts = repalloc(upload->parts, sizeof(Uploaded) * count * 2);
	memset(&upload->parts[count], 0, sizeof(Uploaded));
	part->number = upload->part_count++;
	part->upload = upload;
	part->query = psprintf("partNumber=%d&uploadId=%s", part->number + 1, upload->id);
	finish_checksum(part);
	part->call.request = (S3Request){
		.operation = "UploadPart",
		.method = "PUT",
		.uri = &upload->uri,
		.query = part->query,
		.headers = &part->header,
		.header_count = 1,
		.body = part->bytes,
		.body_length = part->length,
		.unsigned_body = true,
		.is_patient = true,
	};
	part->call.answer = read_part;
	part->call.context = part;
	part->is_under_way = true;
	writer->filling = NULL;
	s3_run_start(writer->run, &part->call, 0);
	MemoryContextSwitchTo(before);
}

/* Takes what has become of the parts on their way. Whether one has arrived; raises what one has failed with. */
static bool
collect_parts(S3Writer *writer)
{
	bool arrived = false;

	for (int i = 0; i < writer->max_parts; i++)
	{
		Part *part = &writer->parts[i];

		if (!part->is_under_way || !part->call.is_done)
			continue;
		if (part->call.call.error.sqlstate != 0)
			aws_call_raise(&part->call.call);
		part->is_under_way = false;
		s3_call_release(&part->call);
		pfree(part->query);
		arrived = true;
	}
	return arrived;
}

/* A clock to be asked for every row: not as fine as http_now(), but many times as fast. */
static int64
coarse_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Looks after the parts on their way; waits, where `wait`, until something has happened. */
static void
look_after_parts(S3Writer *writer, bool wait)
{
	/* They may have arrived while another request was waited for. */
	bool arrived = collect_parts(writer);

	s3_run_drive(writer->run, wait && !arrived);
	collect_parts(writer);
	writer->unlooked = 0;
	writer->looked_at = coarse_now();
}

static Part *
find_part(S3Writer *writer, bool is_under_way)
{
	for (int i = 0; i < writer->max_parts; i++)
	{
		if (writer->parts[i].is_under_way == is_under_way)
			return &writer->parts[i];
	}
	return NULL;
}

/* Finds a part to fill, if need be when another has arrived. */
static void
begin_part(S3Writer *writer)
{
	Part *part;

	while ((part = find_part(writer, false)) == NULL)
		look_after_parts(writer, true);
	part->length = 0;
	checksum_begin(&part->checksum, CHECKSUM_DEFAULT);
	writer->filling = part;
}

static void
append(S3Writer *writer, const char *bytes, size_t length)
{
	Part *part = writer->filling;

	if (part->length + length > part->capacity)
	{
		size_t limit = part_bytes(writer->current->part_count);
		size_t capacity = Max(part->capacity * 2, FIRST_BUFFER_BYTES);

		while (capacity < part->length + length)
			capacity *= 2;
		capacity = Min(capacity, limit);
		part->bytes = part->bytes == NULL ? MemoryContextAllocHuge(writer->memory, capacity)
										  : repalloc_huge(part->bytes, capacity);
		part->capacity = capacity;
	}
	memcpy(part->bytes + part->length, bytes, length);
	checksum_update(&part->checksum, bytes, length);
	part->length += length;
}

/*
 * Objects
 */

/* An object is complete: what is left of it is its last part. */
static void
end_object(S3Writer *writer)
{
	/* An upload has at least one part, be it empty. */
	if (writer->filling == NULL && writer->current->part_count == 0)
		begin_part(writer);
	if (writer->filling != NULL)
		send_part(writer);
	writer->current = NULL;
}

static void
read_put(AwsError *error, const HttpResponse *response, void *context)
{
	Upload *upload = context;

	(void) response;
	upload->is_visible = error->sqlstate == 0;
}

/* Writes an object as a whole. https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html */
static void
put_object(S3Writer *writer)
{
	Upload *upload = writer->current;
	Part *part;
	HttpHeader headers[4];

	if (writer->filling == NULL)
		begin_part(writer);
	part = writer->filling;
	finish_checksum(part);
	headers[0] = (HttpHeader){"Content-Type", upload->type};
	headers[1] = part->header;
	headers[2] = (HttpHeader){mark_header, writer->mark};
	headers[3] = only_if_new;
	upload->visible.request = (S3Request){
		.operation = "PutObject",
		.method = "PUT",
		.uri = &upload->uri,
		.headers = headers,
		.header_count = lengthof(headers) - (writer->overwrite ? 1 : 0),
		.body = part->length > 0 ? part->bytes : NULL,
		.body_length = part->length,
		.unsigned_body = true,
		.is_patient = true,
	};
	upload->visible.answer = read_put;
	upload->visible.context = upload;
	upload->is_being_made_visible = true;
	s3_run_start(writer->run, &upload->visible, 0);
	make_visible(writer, upload);
	if (!upload->is_visible)
		raise_unwritten(upload);
}

static void
read_completed(AwsError *error, const HttpResponse *response, void *context)
{
	Upload *upload = context;
	XmlWanted wanted = {.path = "CompleteMultipartUploadResult"};

	if (error->sqlstate != 0)
		return;
	upload->is_visible = s3_answer_read(error, response, &wanted, 1);
	xml_free(&wanted, 1);
}

/* https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html */
static void
start_completion(S3Writer *writer, Upload *upload)
{
	StringInfoData xml;

	initStringInfo(&xml);
	appendStringInfoString(&xml, "<CompleteMultipartUpload "
								 "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
	for (int i = 0; i < upload->part_count; i++)
	{
		const Uploaded *part = &upload->parts[i];

		appendStringInfo(&xml, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag>", i + 1,
						 part->etag);
		if (part->checksum[0] != '\0')
			appendStringInfo(&xml, "<ChecksumCRC32>%s</ChecksumCRC32>", part->checksum);
		appendStringInfoString(&xml, "</Part>");
	}
	appendStringInfoString(&xml, "</CompleteMultipartUpload>");
	upload->visible.request = (S3Request){
		.operation = "CompleteMultipartUpload",
		.method = "POST",
		.uri = &upload->uri,
		.query = psprintf("uploadId=%s", upload->id),
		.headers = &only_if_new,
		.header_count = writer->overwrite ? 0 : 1,
		.body = xml.data,
		.body_length = xml.len,
		.may_hide_error = true,
		.is_patient = true, /* S3 sends spaces while it takes its time */
	};
	upload->visible.answer = read_completed;
	upload->visible.context = upload;
	upload->is_being_made_visible = true;
	s3_run_start(writer->run, &upload->visible, 0);
}

static void
complete_uploads(S3Writer *writer)
{
	while (find_part(writer, true) != NULL)
		look_after_parts(writer, true);
	for (Upload *upload = writer->uploads; upload != NULL; upload = upload->next)
		start_completion(writer, upload);
	/* All of them, before one raises an error: what has become of each is known then. */
	for (Upload *upload = writer->uploads; upload != NULL; upload = upload->next)
		make_visible(writer, upload);
	for (Upload *upload = writer->uploads; upload != NULL; upload = upload->next)
	{
		if (!upload->is_visible)
			raise_unwritten(upload);
	}
}

/*
 * Taking back
 */

/* Whether S3 may have carried out a call: it has not refused all of its attempts. A success that cannot be read is one. */
static bool
may_have_happened(const S3Call *call)
{
	const AwsCall *aws = &call->call;

	return !call->is_done || aws->error.http_status / 100 == 2 ||
		   (aws->uncertain &&
			(aws->attempts > 1 || aws->error.http_status != HTTP_STATUS_PRECONDITION_FAILED));
}

/* Whether S3 may show the object now. */
static bool
may_be_visible(const Upload *upload)
{
	return upload->is_being_made_visible &&
		   (upload->is_visible || may_have_happened(&upload->visible));
}

/* Whether what is there was made by this copy alone, and may be deleted. */
static bool
is_ours(const Upload *upload)
{
	return upload->is_new && upload->is_visible;
}

static const char delete_object[] = "DeleteObject";

static void
start_undo(S3Run *run, Upload *upload, const char *operation, const char *query)
{
	memset(&upload->undo, 0, sizeof(upload->undo));
	upload->undo.request = (S3Request){
		.operation = operation, .method = "DELETE", .uri = &upload->uri, .query = query};
	upload->undo.answer = s3_answer_ignore;
	s3_run_start(run, &upload->undo, 0);
}

static void
start_looking(S3Run *run, Upload *upload)
{
	memset(&upload->undo, 0, sizeof(upload->undo));
	upload->undo.request = head_request(&upload->uri);
	upload->undo.answer = read_head;
	upload->undo.context = &upload->head;
	s3_run_start(run, &upload->undo, 0);
}

static void
finish_undoing(const S3Writer *writer, S3Run *run)
{
	for (Upload *upload = writer->uploads; upload != NULL; upload = upload->next)
	{
		if (upload->undo.request.operation != NULL)
			s3_run_finish(run, &upload->undo);
	}
}

/* One that is not there is not left. */
static bool
is_undone(const Upload *upload)
{
	const AwsCall *call = &upload->undo.call;

	return upload->undo.request.operation == NULL ||
		   (upload->undo.is_done &&
			(call->error.sqlstate == 0 || call->error.http_status == HTTP_STATUS_NOT_FOUND));
}

/* Whether what was made visible is there no more. */
static bool
is_deleted(const Upload *upload)
{
	return upload->undo.request.operation == delete_object && is_undone(upload);
}

/* Says what is left of an object. */
static void
append_outcome(const Upload *upload, StringInfo outcome)
{
	StringInfoData left;

	initStringInfo(&left);
	if (!is_undone(upload))
	{
		if (upload->id != NULL)
			appendStringInfo(&left, ", upload %s", upload->id);
		appendStringInfo(&left, ": %s: %s", upload->undo.request.operation,
						 upload->undo.is_done             ? upload->undo.call.error.message
						 : upload->undo.call.attempts > 0 ? "no answer yet"
														  : "could not be sent");
	}
	else if (upload->was_asked_for && upload->id == NULL && may_have_happened(&upload->creation))
		appendStringInfoString(&left,
							   ": no answer to CreateMultipartUpload, an upload may be left");
	else if (upload->id != NULL && !upload->is_visible && upload->undo.request.operation == NULL)
		appendStringInfo(&left, ", upload %s: AbortMultipartUpload: could not be sent", upload->id);
	else if (may_be_visible(upload) && !is_deleted(upload))
		appendStringInfoString(&left, upload->is_visible ? ": has been written"
														 : ": may have been written");
	if (left.len > 0)
		appendStringInfo(outcome, "%sobject \"s3://%s/%s\"%s", outcome->len > 0 ? "\n" : "",
						 upload->uri.bucket, upload->uri.key, left.data);
}

/* What may be visible is looked at: it may be somebody else's. */
static void
look_at_doubtful(const S3Writer *writer, S3Run *run)
{
	for (Upload *upload = writer->uploads; upload != NULL; upload = upload->next)
	{
		if (upload->is_new && may_be_visible(upload) && !upload->is_visible && is_undone(upload))
			start_looking(run, upload);
	}
	finish_undoing(writer, run);
	for (Upload *upload = writer->uploads; upload != NULL; upload = upload->next)
	{
		const S3Call *call = &upload->undo;

		if (call->answer == read_head && call->is_done && call->call.error.sqlstate == 0)
			judge(upload);
	}
}

/*
 * Takes back all that was begun, as far as it can be: uploads first, and then the objects that are visible all the same. One that
 * was written over cannot be had back. All in a run of its own: what was under way is dropped.
 */
static void
take_back(Errand *errand)
{
	S3Writer *writer = (S3Writer *) errand;
	S3Run *run;

	/* An upload without an ID cannot be taken back: its answer is waited for. */
	for (Upload *upload = writer->uploads; upload != NULL; upload = upload->next)
	{
		if (upload->was_asked_for && upload->id == NULL)
			s3_run_finish(writer->run, &upload->creation);
	}
	s3_run_end(writer->run);
	/* What counts for the current user may be something else by now. */
	run = s3_run_begin_like(writer->run, setting_max_concurrency);
	for (Upload *upload = writer->uploads; upload != NULL; upload = upload->next)
	{
		if (upload->id != NULL && !upload->is_visible)
			start_undo(run, upload, "AbortMultipartUpload", psprintf("uploadId=%s", upload->id));
	}
	finish_undoing(writer, run);
	look_at_doubtful(writer, run);
	for (Upload *upload = writer->uploads; upload != NULL; upload = upload->next)
	{
		if (may_be_visible(upload) && is_ours(upload) && is_undone(upload))
			start_undo(run, upload, delete_object, NULL);
	}
	finish_undoing(writer, run);
	s3_run_end(run);
}

/* A folder may have many objects; people, and logs, take the names of a few. */
static void
tell(Errand *errand, StringInfo outcome)
{
	const S3Writer *writer = (const S3Writer *) errand;
	int told = 0;
	int more = 0;

	for (Upload *upload = writer->uploads; upload != NULL; upload = upload->next)
	{
		int length = outcome->len;

		append_outcome(upload, outcome);
		if (outcome->len == length)
			continue;
		if (told < MAX_TOLD)
			told++;
		else
		{
			outcome->data[outcome->len = length] = '\0';
			more++;
		}
	}
	if (more > 0)
		appendStringInfo(outcome, "\nand so %d more", more);
}

/*
 * The writer
 */

S3Writer *
s3_writer_open(bool overwrite)
{
	MemoryContext memory =
		AllocSetContextCreate(CurrentMemoryContext, "athena_calc writer", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(memory);
	S3Writer *writer = palloc0(sizeof(S3Writer));

	writer->memory = memory;
	writer->overwrite = overwrite;
	writer->next = &writer->uploads;
	aws_generate_uuid(writer->mark);
	writer->max_parts = Max(2, Min(MAX_PARTS, setting_max_concurrency + 1));
	writer->run = s3_run_begin(setting_max_concurrency);
	writer->errand.what = "writes to S3";
	writer->errand.carry_out = take_back;
	writer->errand.tell = tell;
	errand_begin(&writer->errand);
	MemoryContextSwitchTo(before);
	return writer;
}

void
s3_writer_begin(S3Writer *writer, const S3Uri *uri, const char *type, bool is_new)
{
	MemoryContext before = MemoryContextSwitchTo(writer->memory);
	Upload *upload = palloc0(sizeof(Upload));

	if (writer->current != NULL)
		end_object(writer);
	upload->writer = writer;
	upload->uri.bucket = pstrdup(uri->bucket);
	upload->uri.key = pstrdup(uri->key);
	upload->type = pstrdup(type);
	upload->is_new = is_new || !writer->overwrite;
	if (!writer->overwrite)
	{
		look(writer, &upload->uri, &upload->head);
		if (upload->head.exists)
			raise_exists(&upload->uri);
	}
	*writer->next = writer->current = upload;
	writer->next = &upload->next;
	MemoryContextSwitchTo(before);
}

void
s3_writer_write(S3Writer *writer, const char *bytes, size_t length)
{
	writer->current->length += length;
	writer->unlooked += length;
	while (length > 0)
	{
		size_t size = part_bytes(writer->current->part_count);
		size_t piece;

		if (writer->filling != NULL && writer->filling->length == size)
			send_part(writer);
		if (writer->filling == NULL)
			begin_part(writer);
		piece = Min(length, part_bytes(writer->current->part_count) - writer->filling->length);
		append(writer, bytes, piece);
		bytes += piece;
		length -= piece;
	}
	if (writer->unlooked >= BYTES_BETWEEN_LOOKS)
		look_after_parts(writer, false);
}

bool
s3_writer_is_neglected(const S3Writer *writer)
{
	return coarse_now() - writer->looked_at >= MS_BETWEEN_LOOKS;
}

void
s3_writer_look(S3Writer *writer)
{
	look_after_parts(writer, false);
}

uint64
s3_writer_length(const S3Writer *writer)
{
	return writer->current->length;
}

void
s3_writer_finish(S3Writer *writer)
{
	MemoryContext before = MemoryContextSwitchTo(writer->memory);

	if (writer->uploads != NULL && writer->uploads->next == NULL &&
		writer->current->part_count == 0)
		put_object(writer);
	else if (writer->current != NULL)
	{
		end_object(writer);
		complete_uploads(writer);
	}
	errand_end(&writer->errand);
	s3_run_end(writer->run);
	MemoryContextSwitchTo(before);
	MemoryContextDelete(writer->memory);
}

void
s3_writer_give_up(S3Writer *writer)
{
	errand_carry_out_and_rethrow(&writer->errand);
}
