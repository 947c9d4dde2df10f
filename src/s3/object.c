/*
 * object.c
 *		Objects in S3. See object.h.
 */
#include "s3/object.h"

#include <openssl/evp.h>

#include "aws/encoding.h"
#include "lib/stringinfo.h"
#include "s3/answer.h"
#include "s3/request.h"

#define HTTP_STATUS_PARTIAL_CONTENT 206
#define HTTP_STATUS_RANGE_NOT_SATISFIABLE 416

/* What S3 deletes in one request. */
#define MAX_TOGETHER 1000

typedef struct Reading
{
	int last_bytes;
	S3Content *content;
} Reading;

/* Whether a part of an object is its first: "bytes 0-99/100". */
static bool
is_first_part(const HttpResponse *response)
{
	size_t length;
	const char *range = http_response_header(response, "content-range", &length);

	return range != NULL && length > 8 && strncmp(range, "bytes 0-", 8) == 0;
}

/* Whether a whole object has the checksum that S3 says, if it says any. Sets the error where it has not. */
static bool
is_what_s3_has(AwsError *error, const HttpResponse *response)
{
	S3Verification verification = {0};
	const char *problem;

	s3_verification_begin(&verification, response);
	if (verification.is_due)
		checksum_update(&verification.checksum, response->body, response->body_length);
	problem = s3_verification_finish(&verification);
	if (problem == NULL)
		return true;
	aws_error_invalid_response(error, response, "is damaged");
	error->message = problem;
	return false;
}

static void
read_content(AwsError *error, const HttpResponse *response, void *context)
{
	Reading *reading = context;
	const char *bytes = response->body;
	size_t length = response->body_length;
	S3Content *content = reading->content;

	content->from_start = true;
	/* An empty object has no end to speak of. */
	if (reading->last_bytes > 0 && response->status == HTTP_STATUS_RANGE_NOT_SATISFIABLE)
	{
		memset(error, 0, sizeof(*error));
		length = 0;
	}
	if (error->sqlstate != 0)
		return;
	if (reading->last_bytes == 0 && !is_what_s3_has(error, response))
		return;
	if (response->status == HTTP_STATUS_PARTIAL_CONTENT)
		content->from_start = is_first_part(response);
	/* A server may send more than it was asked for. */
	if (reading->last_bytes > 0 && length > (size_t) reading->last_bytes)
	{
		bytes += length - reading->last_bytes;
		length = (size_t) reading->last_bytes;
		content->from_start = false;
	}
	content->bytes = MemoryContextAllocExtended(CurrentMemoryContext, length + 1, MCXT_ALLOC_HUGE);
	memcpy(content->bytes, bytes, length);
	content->bytes[length] = '\0';
	content->length = length;
}

void
s3_get_object(const AwsConfig *config, const S3Uri *uri, int last_bytes, S3Content *content)
{
	HttpHeader header = s3_checksum_wanted;
	Reading reading = {last_bytes, content};
	S3Request request = {
		.operation = "GetObject",
		.method = "GET",
		.config = config,
		.uri = uri,
		.headers = &header,
		.header_count = 1,
	};

	/* A part has no checksum. */
	if (last_bytes > 0)
		header = (HttpHeader){"Range", psprintf("bytes=-%d", last_bytes)};
	s3_request(&request, read_content, &reading);
}

static void
read_etag(AwsError *error, const HttpResponse *response, void *context)
{
	size_t length;
	const char *etag = http_response_header(response, "etag", &length);

	if (error->sqlstate != 0)
		return;
	if (etag == NULL)
		aws_error_invalid_response(error, response, "has no ETag");
	else
		*(char **) context = encoding_from_bytes(etag, length, NULL);
}

char *
s3_put_object(const S3Uri *uri, const char *bytes, size_t length, const char *type)
{
	char checksum_text[CHECKSUM_TEXT_SIZE];
	const HttpHeader headers[] = {{"Content-Type", type},
								  {checksum_header(CHECKSUM_DEFAULT), checksum_text}};
	Checksum checksum;
	char *etag = NULL;
	S3Request request = {
		.operation = "PutObject",
		.method = "PUT",
		.uri = uri,
		.headers = headers,
		.header_count = lengthof(headers),
		.body = bytes,
		.body_length = length,
	};

	checksum_begin(&checksum, CHECKSUM_DEFAULT);
	checksum_update(&checksum, bytes, length);
	checksum_finish(&checksum, checksum_text);
	s3_request(&request, read_etag, &etag);
	return etag;
}

void
s3_delete_object(const S3Uri *uri)
{
	S3Request request = {.operation = "DeleteObject", .method = "DELETE", .uri = uri};

	s3_request(&request, s3_answer_ignore, NULL);
}

/* Many objects that are being deleted. */
typedef struct Deletion
{
	const char *bucket;
	StringInfoData xml; /* the keys of a request */
	int together;       /* how many they are */
	int64 deleted;      /* so far, as far as S3 has said */
} Deletion;

/* The parts of an error that are wanted, in the order in which they are collected. */
enum
{
	REFUSAL_CODE,
	REFUSAL_MESSAGE,
	REFUSAL_KEY,
	REFUSAL_PARTS
};

/* What S3 did not delete of a request: how many, and the first of them. */
typedef struct Refusals
{
	int count;
	XmlWanted first[REFUSAL_PARTS];
} Refusals;

/* Called by expat: must not throw. */
static bool
collect_refusal(XmlWanted *wanted, void *context)
{
	Refusals *refusals = context;

	if (refusals->count++ > 0)
		return true;
	for (int i = 0; i < REFUSAL_PARTS; i++)
	{
		if (wanted[i].text.length > 0 &&
			!buffer_append(&refusals->first[i].text, wanted[i].text.data, wanted[i].text.length))
			return false;
	}
	return true;
}

static void
read_refusals(AwsError *error, const HttpResponse *response, XmlWanted *wanted, Refusals *refusals)
{
	const XmlWanted *first = refusals->first;
	const ByteBuffer *key = &first[REFUSAL_KEY].text;

	if (!xml_read_rows(response->body, response->body_length, "DeleteResult/Error", wanted,
					   REFUSAL_PARTS, collect_refusal, refusals))
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	if (refusals->count == 0)
		return;
	aws_error_name(error, &s3_service, response, &first[REFUSAL_CODE].text,
				   &first[REFUSAL_MESSAGE].text);
	if (error->from_service && key->length > 0)
		error->message =
			psprintf("%s: %s", encoding_from_bytes(key->data, key->length, NULL), error->message);
}

/* What is read of an answer to a deletion. Its texts are from malloc. */
typedef struct Deleted
{
	XmlWanted root;
	XmlWanted wanted[REFUSAL_PARTS];
	Refusals refusals;
} Deleted;

static void
free_deleted(Deleted *deleted)
{
	xml_free(&deleted->root, 1);
	xml_free(deleted->wanted, REFUSAL_PARTS);
	xml_free(deleted->refusals.first, REFUSAL_PARTS);
}

/* An answer of 200 may have errors in it, one for each key that could not be deleted. */
static void
read_deleted(AwsError *error, const HttpResponse *response, void *context)
{
	Deletion *deletion = context;
	Deleted deleted = {.root = {.path = "DeleteResult"},
					   .wanted = {[REFUSAL_CODE] = {.path = "DeleteResult/Error/Code"},
								  [REFUSAL_MESSAGE] = {.path = "DeleteResult/Error/Message"},
								  [REFUSAL_KEY] = {.path = "DeleteResult/Error/Key"}}};

	if (error->sqlstate != 0)
		return;
	PG_TRY();
	{
		if (s3_answer_read(error, response, &deleted.root, 1))
		{
			read_refusals(error, response, deleted.wanted, &deleted.refusals);
			deletion->deleted += Max(deletion->together - deleted.refusals.count, 0);
		}
	}
	PG_CATCH();
	{
		free_deleted(&deleted);
		PG_RE_THROW();
	}
	PG_END_TRY();
	free_deleted(&deleted);
}

/* Text of XML, which can hold it. */
static void
append_xml(StringInfo xml, const char *utf8)
{
	for (const char *p = utf8; *p != '\0'; p++)
	{
		if (*p == '&')
			appendStringInfoString(xml, "&amp;");
		else if (*p == '<')
			appendStringInfoString(xml, "&lt;");
		else if (*p == '>')
			appendStringInfoString(xml, "&gt;");
		else if (*p == '\r')
			appendStringInfoString(xml, "&#13;");
		else
			appendStringInfoChar(xml, *p);
	}
}

/* https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html */
static void
delete_together(Deletion *deletion)
{
	const S3Uri uri = {deletion->bucket, ""};
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned char hash_text[2 * EVP_MAX_MD_SIZE];
	unsigned int hash_length;
	HttpHeader headers[] = {{"Content-Type", "application/xml"},
							{"Content-MD5", (const char *) hash_text}};
	S3Request request = {.operation = "DeleteObjects",
						 .method = "POST",
						 .uri = &uri,
						 .query = "delete=",
						 .headers = headers,
						 .header_count = lengthof(headers),
						 .may_hide_error = true};

	if (deletion->together == 0)
		return;
	appendStringInfoString(&deletion->xml, "</Delete>");
	/* Every S3 takes MD5, some nothing else; AWS takes either, for those whose OpenSSL has no MD5 (FIPS). */
	if (!EVP_Digest(deletion->xml.data, deletion->xml.len, hash, &hash_length, EVP_md5(), NULL))
	{
		headers[1].name = "x-amz-checksum-sha256";
		if (!EVP_Digest(deletion->xml.data, deletion->xml.len, hash, &hash_length, EVP_sha256(),
						NULL))
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	EVP_EncodeBlock(hash_text, hash, hash_length);
	request.body = deletion->xml.data;
	request.body_length = deletion->xml.len;
	s3_request(&request, read_deleted, deletion);
	deletion->together = 0;
}

static void
add_key(Deletion *deletion, const char *utf8)
{
	if (deletion->together++ == 0)
	{
		resetStringInfo(&deletion->xml);
		appendStringInfoString(&deletion->xml,
							   "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
							   "<Quiet>true</Quiet>");
	}
	appendStringInfoString(&deletion->xml, "<Object><Key>");
	append_xml(&deletion->xml, utf8);
	appendStringInfoString(&deletion->xml, "</Key></Object>");
}

static void
delete_keys(Deletion *deletion, const char *const *keys, int64 count)
{
	for (int64 i = 0; i < count; i++)
	{
		char *utf8 = encoding_to_utf8(keys[i], strlen(keys[i]));

		if (xml_can_hold(utf8))
		{
			add_key(deletion, utf8);
			if (deletion->together == MAX_TOGETHER)
				delete_together(deletion);
		}
		else
		{
			const S3Uri alone = {deletion->bucket, keys[i]};

			s3_delete_object(&alone);
			deletion->deleted++;
		}
		pfree(utf8);
	}
	delete_together(deletion);
}

void
s3_delete_keys(const char *bucket, const char *const *keys, int64 count)
{
	MemoryContext before = CurrentMemoryContext;
	Deletion deletion = {.bucket = bucket};

	initStringInfo(&deletion.xml);
	PG_TRY();
	{
		delete_keys(&deletion, keys, count);
	}
	PG_CATCH();
	{
		ErrorData *error;
		char *so_far;

		MemoryContextSwitchTo(before);
		so_far = psprintf("deleted: " INT64_FORMAT " of " INT64_FORMAT, deletion.deleted, count);
		error = CopyErrorData();
		FlushErrorState();
		error->detail = error->detail != NULL ? psprintf("%s\n%s", error->detail, so_far) : so_far;
		ReThrowError(error);
	}
	PG_END_TRY();
	pfree(deletion.xml.data);
}
