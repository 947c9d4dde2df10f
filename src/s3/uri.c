/*
 * uri.c
 *		S3 URIs, and where S3 has the object. See uri.h.
 */
#include "s3/uri.h"

#include "compat.h"

#include "http/buffer.h"
#include "aws/sigv4.h"

bool
s3_uri_parse(const char *text, S3Uri *uri)
{
	return s3_uri_parse_prefix(text, uri) && uri->key[0] != '\0';
}

bool
s3_uri_parse_prefix(const char *text, S3Uri *uri)
{
	const char *bucket;
	size_t bucket_length;
	const char *key;

	if (pg_strncasecmp(text, "s3://", 5) != 0)
		return false;
	bucket = text + 5;
	bucket_length = strcspn(bucket, "/");
	key = bucket + bucket_length;
	if (bucket_length < 3 || bucket_length > S3_MAX_BUCKET_BYTES ||
		strspn(bucket, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") <
			bucket_length)
		return false;
	if (key[0] == '/')
		key++;
	if (strlen(key) > S3_MAX_KEY_BYTES)
		return false;
	uri->bucket = pnstrdup(bucket, bucket_length);
	uri->key = pstrdup(key);
	return true;
}

/*
 * Whether a bucket can stand in front of a host name. A dot is fine in a name, but not under TLS:
 * the certificate is for one label.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
 */
static bool
is_host_label(const char *bucket, bool tls)
{
	size_t length = strlen(bucket);

	return length <= 63 && strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-") == length &&
		   (!tls || strchr(bucket, '.') == NULL) && strstr(bucket, "..") == NULL &&
		   strchr("-.", bucket[0]) == NULL && strchr("-.", bucket[length - 1]) == NULL;
}

void
s3_uri_locate(const S3Uri *uri, AwsEndpoint *endpoint, char **path)
{
	ByteBuffer encoded = {0};
	const char *key;
	size_t bucket_length = strlen(uri->bucket);
	size_t host_length;
	bool virtual_host;

	/* An address has no subdomains, and neither has a host without a domain ("minio:9000"). */
	host_length = strlen(endpoint->host);
	virtual_host = !aws_endpoint_is_address(endpoint) && strchr(endpoint->host, '.') != NULL &&
				   is_host_label(uri->bucket, endpoint->tls) &&
				   bucket_length + 1 + host_length < sizeof(endpoint->host);
	if (virtual_host)
	{
		memmove(endpoint->host + bucket_length + 1, endpoint->host, host_length + 1);
		memcpy(endpoint->host, uri->bucket, bucket_length);
		endpoint->host[bucket_length] = '.';
	}

	sigv4_uri_encode(&encoded, uri->key, strlen(uri->key), true);
	if (encoded.failed)
	{
		buffer_free(&encoded);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	key = encoded.data != NULL ? encoded.data : "";
	*path = virtual_host ? psprintf("%s/%s", endpoint->path, key)
						 : psprintf("%s/%s/%s", endpoint->path, uri->bucket, key);
	buffer_free(&encoded);
}
