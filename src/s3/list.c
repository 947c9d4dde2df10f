/*
 * list.c
 *		The objects under a prefix. See list.h.
 *
 * Within this file keys are UTF-8, as S3 has them.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
 */
#include "s3/list.h"

#include "aws/encoding.h"
#include "aws/sigv4.h"
#include "aws/timestamp.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "s3/answer.h"
#include "settings.h"

#define HTTP_STATUS_FORBIDDEN 403

/* What S3 puts on a page unless it is asked for less. */
#define PAGE_OBJECTS 1000

/* A server that goes on giving pages without an object on them is not listing anything. */
#define MAX_EMPTY_PAGES 1000

/* What a text that is kept of a list takes beside its bytes. By default there is room for some million keys. */
#define KEPT_BESIDE 48

/* The parts of an object that are wanted, in the order in which they are collected. */
enum
{
	FIELD_KEY,
	FIELD_SIZE,
	FIELD_LAST_MODIFIED,
	FIELD_ETAG,
	FIELDS
};

/* What is wanted of a page beside its objects. */
enum
{
	PAGE_ROOT,
	PAGE_IS_TRUNCATED,
	PAGE_NEXT,
	PAGE_ENCODING,
	PAGE_PARTS
};

static const XmlWanted page_parts[PAGE_PARTS] = {
	[PAGE_ROOT] = {.path = "ListBucketResult"},
	[PAGE_IS_TRUNCATED] = {.path = "ListBucketResult/IsTruncated"},
	[PAGE_NEXT] = {.path = "ListBucketResult/NextContinuationToken"},
	[PAGE_ENCODING] = {.path = "ListBucketResult/EncodingType"}};

static const XmlWanted object_fields[FIELDS] = {
	[FIELD_KEY] = {.path = "ListBucketResult/Contents/Key"},
	[FIELD_SIZE] = {.path = "ListBucketResult/Contents/Size"},
	[FIELD_LAST_MODIFIED] = {.path = "ListBucketResult/Contents/LastModified"},
	[FIELD_ETAG] = {.path = "ListBucketResult/Contents/ETag"}};

/* How pages are asked for. */
typedef struct Asking
{
	S3Run *run;       /* NULL for one of each page's own */
	bool *is_refused; /* set where the credentials may not list; NULL where that is an error */
} Asking;

typedef struct ListPage
{
	bool *is_refused;   /* as above */
	const char *prefix; /* that was asked for */
	const char *token;  /* likewise; NULL for the first page */
	XmlWanted parts[PAGE_PARTS];
	XmlWanted object[FIELDS]; /* the one that is being read */
	ByteBuffer fields;        /* its objects' fields, each ended by a NUL, which XML has none of */
	int count;                /* of objects */
	S3Listed *objects;
	char *next; /* the token of the next page; NULL at the end */
} ListPage;

/* Called by expat: must not throw. */
static bool
collect(XmlWanted *wanted, void *context)
{
	ListPage *page = context;

	for (int i = 0; i < FIELDS; i++)
	{
		if (wanted[i].text.length > 0)
			buffer_append(&page->fields, wanted[i].text.data, wanted[i].text.length);
		buffer_append(&page->fields, "", 1);
	}
	page->count++;
	return !page->fields.failed;
}

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
		   : c >= 'A' && c <= 'F' ? c - 'A' + 10
		   : c >= 'a' && c <= 'f' ? c - 'a' + 10
								  : -1;
}

/* Text that was encoded as in a form. NULL where what comes out is no UTF-8, or has a NUL. */
static const char *
decode(const char *encoded)
{
	char *decoded = palloc(strlen(encoded) + 1);
	char *out = decoded;

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
	return pg_encoding_verifymbstr(PG_UTF8, decoded, (int) (out - decoded)) == out - decoded
			   ? decoded
			   : NULL;
}

/* Only digits, and a number that an int8 can hold. */
static bool
parse_size(const char *text, int64 *size)
{
	errno = 0;
	*size = strtoll(text, NULL, 10);
	return errno == 0 && text[strspn(text, "0123456789")] == '\0';
}

/* Reads the fields of an object. What is wrong with them; NULL for nothing. */
static const char *
read_object(const ListPage *page, const char *const *fields, bool is_encoded, S3Listed *object)
{
	const char *size = fields[FIELD_SIZE];
	const char *modified = fields[FIELD_LAST_MODIFIED];
	const char *etag = fields[FIELD_ETAG];
	int64_t time;

	if (fields[FIELD_KEY][0] == '\0')
		return "has an object without a key";
	object->key = is_encoded ? decode(fields[FIELD_KEY]) : pstrdup(fields[FIELD_KEY]);
	if (object->key == NULL)
		return "has a key that is no text";
	if (strncmp(object->key, page->prefix, strlen(page->prefix)) != 0)
		return "has an object that was not asked for";
	object->size = S3_UNKNOWN_SIZE;
	if (size[0] != '\0' && !parse_size(size, &object->size))
		return "has a size that is none";
	object->last_modified = S3_UNKNOWN_TIME;
	if (modified[0] != '\0')
	{
		if (!timestamp_parse(modified, strlen(modified), &time))
			return "has a time that is none";
		object->last_modified = time;
	}
	/* It becomes a header of the requests for the object. */
	if (strpbrk(etag, "\r\n") != NULL)
		return "has an ETag of two lines";
	object->etag = etag[0] != '\0' ? encoding_from_bytes(etag, strlen(etag), NULL) : NULL;
	return NULL;
}

/* Reads all objects of a page, before any of them counts. What is wrong with it; NULL for nothing. */
static const char *
read_objects(ListPage *page, bool is_encoded)
{
	const char *field = page->fields.data;

	page->objects =
		MemoryContextAllocHuge(CurrentMemoryContext, sizeof(S3Listed) * (Size) Max(page->count, 1));
	for (int i = 0; i < page->count; i++)
	{
		const char *fields[FIELDS];
		const char *problem;

		for (int f = 0; f < FIELDS; f++)
		{
			fields[f] = field;
			field += strlen(field) + 1;
		}
		problem = read_object(page, fields, is_encoded, &page->objects[i]);
		if (problem != NULL)
			return problem;
	}
	return NULL;
}

static bool
has_text(const XmlWanted *wanted, const char *text)
{
	return wanted->text.length > 0 && strcmp(wanted->text.data, text) == 0;
}

/* Reads what a page says. What is wrong with it; NULL for nothing. */
static const char *
read_parts(ListPage *page)
{
	const XmlWanted *parts = page->parts;
	const XmlWanted *next = &parts[PAGE_NEXT];
	bool is_encoded = has_text(&parts[PAGE_ENCODING], "url");

	if (parts[PAGE_ENCODING].text.length > 0 && !is_encoded)
		return "has keys in an encoding that was not asked for";
	if (next->text.length > 0)
		page->next = pnstrdup(next->text.data, next->text.length);
	else if (has_text(&parts[PAGE_IS_TRUNCATED], "true"))
		return "is not the last page, and names no other";
	if (page->next != NULL && page->token != NULL && strcmp(page->next, page->token) == 0)
		return "names itself as the next page";
	return read_objects(page, is_encoded);
}

static void
read_page(AwsError *error, const HttpResponse *response, void *context)
{
	ListPage *page = context;
	const char *problem;

	if (page->is_refused != NULL && response->status == HTTP_STATUS_FORBIDDEN &&
		(error->exception == NULL || strcmp(error->exception, "AccessDenied") == 0))
	{
		*page->is_refused = true;
		memset(error, 0, sizeof(*error));
		return;
	}
	if (error->sqlstate != 0 || !s3_answer_read(error, response, page->parts, PAGE_PARTS))
		return;
	if (!xml_read_rows(response->body, response->body_length, "ListBucketResult/Contents",
					   page->object, FIELDS, collect, page))
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	problem = read_parts(page);
	if (problem != NULL)
		aws_error_invalid_response(error, response, problem);
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

/* Asks for a page, in memory of the current context. */
static ListPage *
get_page(const Asking *asking, const char *bucket, const char *prefix, int64 max_objects,
		 const char *token)
{
	const S3Uri uri = {bucket, ""};
	S3Request request = {
		.operation = "ListObjectsV2", .method = "GET", .uri = &uri, .may_hide_error = true};
	ListPage *page = palloc0(sizeof(ListPage));
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfoString(&query, "list-type=2&encoding-type=url");
	if (max_objects < PAGE_OBJECTS)
		appendStringInfo(&query, "&max-keys=%d", (int) max_objects);
	append_encoded(&query, "prefix", prefix);
	if (token != NULL)
		append_encoded(&query, "continuation-token", token);
	request.query = query.data;
	page->is_refused = asking->is_refused;
	page->prefix = prefix;
	page->token = token;
	memcpy(page->parts, page_parts, sizeof(page_parts));
	memcpy(page->object, object_fields, sizeof(object_fields));
	PG_TRY();
	{
		if (asking->run != NULL)
			s3_run_request(asking->run, &request, read_page, page);
		else
			s3_request(&request, read_page, page);
	}
	PG_FINALLY();
	{
		xml_free(page->parts, PAGE_PARTS);
		xml_free(page->object, FIELDS);
		buffer_free(&page->fields);
	}
	PG_END_TRY();
	return page;
}

/* Lists objects, with their keys in UTF-8, page after page. */
static void
list(const Asking *asking, const S3Uri *uri, int64 max_results, S3ListRow row, void *context)
{
	MemoryContext before = CurrentMemoryContext;
	MemoryContext page_context =
		AllocSetContextCreate(before, "athena_calc page", ALLOCSET_DEFAULT_SIZES);
	const char *prefix = encoding_to_utf8(uri->key, strlen(uri->key));
	char *token = NULL;
	int empty_pages = 0;

	do
	{
		const ListPage *page;
		char *next = NULL;

		MemoryContextSwitchTo(page_context);
		page = get_page(asking, uri->bucket, prefix, max_results, token);
		empty_pages = page->count > 0 ? 0 : empty_pages + 1;
		if (empty_pages == MAX_EMPTY_PAGES && page->next != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_PROTOCOL_VIOLATION),
					 errmsg("S3 ListObjectsV2 failed: %d pages in a row have no object, and name "
							"another page",
							MAX_EMPTY_PAGES),
					 errcontext("bucket \"%s\"", uri->bucket)));
		for (int i = 0; i < page->count && max_results > 0; i++, max_results--)
		{
			if (!row(&page->objects[i], context))
				max_results = 1; /* the last */
		}
		MemoryContextSwitchTo(before);
		if (page->next != NULL && max_results > 0)
			next = pstrdup(page->next);
		if (token != NULL)
			pfree(token);
		token = next;
		MemoryContextReset(page_context);
	} while (token != NULL);
	MemoryContextDelete(page_context);
}

typedef struct Conversion
{
	S3ListRow row;
	void *context;
} Conversion;

/*
 * Hands over an object by its key in the database's encoding. That must be the same key on its way back, for by it the object is
 * read, or deleted: some encodings have one character for two of Unicode's.
 */
static bool
convert(const S3Listed *object, void *context)
{
	const Conversion *conversion = context;
	S3Listed converted = *object;
	size_t length = strlen(object->key);

	converted.key = encoding_from_utf8(object->key, length);
	if (converted.key == NULL ||
		strcmp(encoding_to_utf8(converted.key, strlen(converted.key)), object->key) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("the key \"%s\" has a character that the encoding %s lacks",
						encoding_from_bytes(object->key, length, NULL), GetDatabaseEncodingName()),
				 errhint("Use a database whose encoding is UTF8, or a prefix without such "
						 "keys.")));
	return conversion->row(&converted, conversion->context);
}

void
s3_list_first(const S3Uri *prefix, int64 max_results, S3ListRow row, void *context)
{
	const Asking asking = {NULL, NULL};
	Conversion conversion = {row, context};

	list(&asking, prefix, max_results, convert, &conversion);
}

void
s3_list(const S3Uri *prefix, S3ListRow row, void *context)
{
	s3_list_first(prefix, PG_INT64_MAX, row, context);
}

typedef struct Search
{
	const char *key;
	bool found;
} Search;

static bool
compare(const S3Listed *object, void *context)
{
	Search *search = context;

	search->found = strcmp(object->key, search->key) == 0;
	return false;
}

bool
s3_object_exists(const S3Uri *uri, S3Run *run, bool *is_refused)
{
	const Asking asking = {run, is_refused};
	Search search = {encoding_to_utf8(uri->key, strlen(uri->key)), false};

	/* The first key with a prefix is the prefix itself, if it is one. */
	list(&asking, uri, 1, compare, &search);
	return search.found;
}

/* Whether a key below a folder names no data. */
static bool
is_marker(const char *name)
{
	for (;;)
	{
		size_t length = strcspn(name, "/");

		if (name[0] == '.' || (name[0] == '_' && memchr(name, '=', length) == NULL))
			return true;
		if (name[length] == '\0')
			return length == 0; /* "folder/" itself */
		name += length + 1;
	}
}

bool
s3_is_data(const S3Listed *object, const S3Uri *folder)
{
	return object->size != 0 && !is_marker(object->key + strlen(folder->key));
}

char *
s3_keep(S3Kept *kept, const char *text)
{
	kept->bytes += strlen(text) + KEPT_BESIDE;
	if (!setting_may_keep(kept->bytes))
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the list is longer than %d times athena_calc.max_response_size",
							   MAX_KEPT_ANSWERS),
						errhint("Take one folder of it after the other, or raise "
								"athena_calc.max_response_size.")));
	return MemoryContextStrdup(kept->memory, text);
}

void
s3_keys_init(S3Keys *keys)
{
	keys->kept = (S3Kept){.memory = CurrentMemoryContext};
	keys->count = 0;
	keys->capacity = 64;
	keys->keys = palloc(sizeof(char *) * keys->capacity);
}

void
s3_keys_add(S3Keys *keys, const char *key)
{
	if (keys->count == keys->capacity)
	{
		keys->capacity *= 2;
		keys->keys = repalloc_huge(keys->keys, sizeof(char *) * (Size) keys->capacity);
	}
	keys->keys[keys->count++] = s3_keep(&keys->kept, key);
}
