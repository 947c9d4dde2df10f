/*
 * list.c
 *		The objects under a prefix. See list.h.
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
 */
#include "s3/list.h"

#include "aws/encoding.h"
#include "aws/sigv4.h"
#include "aws/timestamp.h"
#include "aws/xml.h"
#include "lib/stringinfo.h"
#include "s3/request.h"

/* The parts of an object that are wanted, in the order in which they are collected. */
enum
{
	FIELD_KEY,
	FIELD_SIZE,
	FIELD_LAST_MODIFIED,
	FIELD_ETAG,
	FIELDS
};

/* A page: its objects' fields, each ended by a NUL, which XML has none of. */
typedef struct ListPage
{
	ByteBuffer fields;
	char *next; /* the token of the next page; NULL at the end */
} ListPage;

/* Called by expat: must not throw. */
static bool
collect(XmlWanted *wanted, void *context)
{
	ByteBuffer *fields = context;

	for (int i = 0; i < FIELDS; i++)
	{
		if (wanted[i].text.length > 0)
			buffer_append(fields, wanted[i].text.data, wanted[i].text.length);
		buffer_append(fields, "", 1);
	}
	return !fields->failed;
}

static void
read_page(AwsError *error, const HttpResponse *response, void *context)
{
	ListPage *page = context;
	XmlWanted object[FIELDS] = {
		[FIELD_KEY] = {.path = "ListBucketResult/Contents/Key"},
		[FIELD_SIZE] = {.path = "ListBucketResult/Contents/Size"},
		[FIELD_LAST_MODIFIED] = {.path = "ListBucketResult/Contents/LastModified"},
		[FIELD_ETAG] = {.path = "ListBucketResult/Contents/ETag"}};
	XmlWanted next = {.path = "ListBucketResult/NextContinuationToken"};

	if (error->sqlstate != 0)
		return;
	if (!xml_read_rows(response->body, response->body_length, "ListBucketResult/Contents", object,
					   FIELDS, collect, &page->fields) ||
		!xml_read(response->body, response->body_length, &next, 1))
		aws_error_invalid_response(error, response, "is not the XML of a list");
	else if (next.text.length > 0)
		page->next = pnstrdup(next.text.data, next.text.length);
	for (int i = 0; i < FIELDS; i++)
		buffer_free(&object[i].text);
	buffer_free(&next.text);
}

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
		   : c >= 'A' && c <= 'F' ? c - 'A' + 10
		   : c >= 'a' && c <= 'f' ? c - 'a' + 10
								  : -1;
}

/* A key comes encoded as in a form, for XML cannot hold every character. */
static const char *
decode_key(const char *encoded)
{
	char *key = palloc(strlen(encoded) + 1);
	char *out = key;

	for (const char *p = encoded; *p != '\0'; p++)
	{
		if (*p == '%' && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0)
		{
			*out++ = (char) (hex_digit(p[1]) * 16 + hex_digit(p[2]));
			p += 2;
		}
		else
			*out++ = *p == '+' ? ' ' : *p;
	}
	*out = '\0';
	return encoding_from_bytes(key, (size_t) (out - key), NULL);
}

static void
append_encoded(StringInfo query, const char *name, const char *value)
{
	ByteBuffer encoded = {0};

	sigv4_uri_encode(&encoded, value, strlen(value), false);
	if (encoded.failed)
	{
		buffer_free(&encoded);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	appendStringInfo(query, "&%s=%s", name, encoded.data != NULL ? encoded.data : "");
	buffer_free(&encoded);
}

/* Hands over the objects of a page. False for enough. */
static bool
hand_over(const ListPage *page, S3ListRow row, void *context)
{
	const char *field = page->fields.data;
	const char *end = field + page->fields.length;

	while (field != NULL && field < end)
	{
		const char *texts[FIELDS];
		S3Listed object;
		int64_t modified;

		for (int i = 0; i < FIELDS; i++)
		{
			texts[i] = field;
			field += strlen(field) + 1;
		}
		object.key = decode_key(texts[FIELD_KEY]);
		object.size = strtoll(texts[FIELD_SIZE], NULL, 10);
		object.last_modified = timestamp_parse(texts[FIELD_LAST_MODIFIED],
											   strlen(texts[FIELD_LAST_MODIFIED]), &modified)
								   ? modified
								   : -1;
		object.etag = texts[FIELD_ETAG];
		if (!row(&object, context))
			return false;
	}
	return true;
}

/* Lists a page. The token of the next, in the current memory context; NULL at the end, or for enough. */
static char *
list_page(const S3Request *request, S3ListRow row, void *context)
{
	ListPage *page = palloc0(sizeof(ListPage));

	PG_TRY();
	{
		s3_request(request, read_page, page);
		if (!hand_over(page, row, context))
			page->next = NULL;
	}
	PG_FINALLY();
	{
		buffer_free(&page->fields);
	}
	PG_END_TRY();
	return page->next;
}

void
s3_list(const S3Uri *prefix, S3ListRow row, void *context)
{
	MemoryContext before = CurrentMemoryContext;
	MemoryContext page_context =
		AllocSetContextCreate(before, "athena_calc page", ALLOCSET_DEFAULT_SIZES);
	const S3Uri bucket = {prefix->bucket, ""};
	const char *key = encoding_to_utf8(prefix->key, strlen(prefix->key));
	char *token = NULL;
	char *last = NULL;

	do
	{
		StringInfoData query;
		S3Request request = {.operation = "ListObjectsV2", .method = "GET", .uri = &bucket};

		initStringInfo(&query);
		appendStringInfoString(&query, "list-type=2&encoding-type=url");
		append_encoded(&query, "prefix", key);
		if (token != NULL)
			append_encoded(&query, "continuation-token", token);
		request.query = query.data;

		MemoryContextReset(page_context);
		MemoryContextSwitchTo(page_context);
		token = list_page(&request, row, context);
		MemoryContextSwitchTo(before);
		pfree(query.data);
		if (token != NULL)
			token = pstrdup(token);
		if (token != NULL && last != NULL && strcmp(token, last) == 0)
			ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
							errmsg("S3 ListObjectsV2 failed: the answer has the token that it was "
								   "asked for with")));
		last = token;
	} while (token != NULL);
	MemoryContextDelete(page_context);
}
