/*
 * object.c
 *		Objects in S3. See object.h.
 */
#include "s3/object.h"

#include <openssl/evp.h>

#include "aws/encoding.h"
#include "aws/xml.h"
#include "lib/stringinfo.h"
#include "s3/request.h"

#define HTTP_STATUS_PARTIAL_CONTENT 206
#define HTTP_STATUS_RANGE_NOT_SATISFIABLE 416

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
s3_get_object(const S3Uri *uri, int last_bytes, S3Content *content)
{
	HttpHeader range = {"Range", NULL};
	Reading reading = {last_bytes, content};
	S3Request request = {
		.operation = "GetObject",
		.method = "GET",
		.uri = uri,
		.headers = &range,
		.header_count = last_bytes > 0 ? 1 : 0,
	};

	if (last_bytes > 0)
		range.value = psprintf("bytes=-%d", last_bytes);
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
	HttpHeader header = {"Content-Type", type};
	char *etag = NULL;
	S3Request request = {
		.operation = "PutObject",
		.method = "PUT",
		.uri = uri,
		.headers = &header,
		.header_count = 1,
		.body = bytes,
		.body_length = length,
	};

	s3_request(&request, read_etag, &etag);
	return etag;
}

static void
read_nothing(AwsError *error, const HttpResponse *response, void *context)
{
	(void) error;
	(void) response;
	(void) context;
}

void
s3_delete_object(const S3Uri *uri)
{
	S3Request request = {.operation = "DeleteObject", .method = "DELETE", .uri = uri};

	s3_request(&request, read_nothing, NULL);
}

/* An answer of 200 may have errors in it, one for each key that could not be deleted. */
static void
read_deleted(AwsError *error, const HttpResponse *response, void *context)
{
	XmlWanted wanted[] = {{.path = "DeleteResult/Error/Code"},
						  {.path = "DeleteResult/Error/Message"},
						  {.path = "DeleteResult/Error/Key"}};

	(void) context;
	if (error->sqlstate != 0)
		return;
	if (!xml_read(response->body, response->body_length, wanted, lengthof(wanted)))
		aws_error_invalid_response(error, response, "is not XML");
	else if (wanted[0].text.length > 0)
	{
		error->sqlstate = strcmp(wanted[0].text.data, "AccessDenied") == 0
							  ? ERRCODE_INSUFFICIENT_PRIVILEGE
							  : MAKE_SQLSTATE('S', 'P', '0', '0', '0');
		error->from_service = true;
		error->exception = encoding_from_bytes(wanted[0].text.data, wanted[0].text.length, NULL);
		error->http_status = response->status;
		error->message = psprintf(
			"%s: %s", encoding_from_bytes(wanted[2].text.data, wanted[2].text.length, NULL),
			wanted[1].text.length > 0
				? encoding_from_bytes(wanted[1].text.data, wanted[1].text.length, NULL)
				: error->exception);
	}
	for (int i = 0; i < (int) lengthof(wanted); i++)
		buffer_free(&wanted[i].text);
}

/* Text of XML. What it cannot hold at all is refused: such a key is deleted by itself. */
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

static bool
fits_xml(const char *utf8)
{
	for (; *utf8 != '\0'; utf8++)
	{
		if ((unsigned char) *utf8 < 0x20 && strchr("\t\n\r", *utf8) == NULL)
			return false;
	}
	return true;
}

/* https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html */
void
s3_delete_keys(const char *bucket, const char *const *keys, int count)
{
	const S3Uri uri = {unconstify(char *, bucket), ""};
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
						 .header_count = lengthof(headers)};
	StringInfoData xml;
	int together = 0;

	initStringInfo(&xml);
	appendStringInfoString(&xml, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
								 "<Quiet>true</Quiet>");
	for (int i = 0; i < count; i++)
	{
		const char *utf8 = encoding_to_utf8(keys[i], strlen(keys[i]));

		if (!fits_xml(utf8))
		{
			const S3Uri alone = {unconstify(char *, bucket), unconstify(char *, keys[i])};

			s3_delete_object(&alone);
			continue;
		}
		appendStringInfoString(&xml, "<Object><Key>");
		append_xml(&xml, utf8);
		appendStringInfoString(&xml, "</Key></Object>");
		together++;
	}
	appendStringInfoString(&xml, "</Delete>");
	if (together == 0)
		return;
	/* Every S3 takes MD5, some nothing else; AWS takes either, for those whose OpenSSL has no MD5 (FIPS). */
	if (!EVP_Digest(xml.data, xml.len, hash, &hash_length, EVP_md5(), NULL))
	{
		headers[1].name = "x-amz-checksum-sha256";
		if (!EVP_Digest(xml.data, xml.len, hash, &hash_length, EVP_sha256(), NULL))
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	EVP_EncodeBlock(hash_text, hash, hash_length);
	request.body = xml.data;
	request.body_length = xml.len;
	s3_request(&request, read_deleted, NULL);
}
