/*
 * sigv4_driver.c
 *		Signs requests for sigv4_botocore.py: one JSON object a line in, three strings out.
 *
 * A line has method, endpoint (a URL, whose host is signed), path, query (null for none), headers (an
 * array of [name, value]), body, access_key, secret_key, token (null for none), region, service, time
 * (seconds since the epoch) and s3 (sign as S3 does: the path as it is, with the payload's hash as a
 * header); where there is payload_hash, it stands in for the body's own. Out come the canonical request,
 * the string to sign and the Authorization header, a NUL behind each: none of them can hold one.
 *
 * One signer signs them all, so that the key it keeps is put to the test, too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/endpoint.h"
#include "aws/json.h"
#include "aws/sigv4.h"
#include "vectors.h"

#define MAX_HEADERS 64

__attribute__((noreturn)) static void
fail(int line, const char *problem)
{
	fprintf(stderr, "line %d: %s\n", line, problem);
	exit(1);
}

static char *
required_string(JsonValue object, const char *name, int line)
{
	char *string = vectors_member_string(object, name);

	if (string == NULL)
		fail(line, name);
	return string;
}

static void
sign_line(SigV4Signer *signer, const char *text, size_t length, int line)
{
	JsonValue object;
	JsonValue pair;
	JsonCursor pairs;
	const char *problem;
	char *owned[MAX_HEADERS * 2];
	size_t owned_count = 0;
	HttpHeader headers[MAX_HEADERS];
	AwsEndpoint endpoint;
	char payload_hash[SIGV4_HEX_SIZE];
	int64_t seconds;
	SigV4Request request = {.headers = headers};
	SigV4Credentials credentials = {0};
	SigV4Scope scope = {.region = NULL};
	const char *authorization;
	char *body;

#define OWN(string) (owned[owned_count++] = (string))

	if (!json_check(text, length, &object, &problem))
		fail(line, problem);
	if (!aws_endpoint_parse(OWN(required_string(object, "endpoint", line)), &endpoint, &problem))
		fail(line, problem);
	if (json_read_scaled(json_member(object, "time"), 0, false, &seconds) != JSON_READ)
		fail(line, "time");
	sigv4_format_date_time((time_t) seconds, scope.date_time);
	scope.region = OWN(required_string(object, "region", line));
	scope.service = OWN(required_string(object, "service", line));
	credentials.access_key_id = OWN(required_string(object, "access_key", line));
	credentials.secret_access_key = OWN(required_string(object, "secret_key", line));
	credentials.session_token = OWN(vectors_member_string(object, "token"));
	request.method = OWN(required_string(object, "method", line));
	request.path = OWN(required_string(object, "path", line));
	request.query = OWN(vectors_member_string(object, "query"));
	request.payload_hash = OWN(vectors_member_string(object, "payload_hash"));
	body = OWN(required_string(object, "body", line));
	if (request.payload_hash == NULL)
	{
		sigv4_hash(body, strlen(body), payload_hash);
		request.payload_hash = payload_hash;
	}
	request.normalize_path = request.encode_path = !vectors_member_is_true(object, "s3");

	headers[request.header_count++] = (HttpHeader){"Host", endpoint.host};
	headers[request.header_count++] = (HttpHeader){"X-Amz-Date", scope.date_time};
	if (credentials.session_token != NULL)
		headers[request.header_count++] =
			(HttpHeader){"X-Amz-Security-Token", credentials.session_token};
	if (!request.encode_path)
		headers[request.header_count++] =
			(HttpHeader){"x-amz-content-sha256", request.payload_hash};
	pairs = json_cursor(json_member(object, "headers"));
	while (json_next_element(&pairs, &pair))
	{
		JsonCursor parts = json_cursor(pair);
		JsonValue name;
		JsonValue value;

		if (request.header_count == MAX_HEADERS || owned_count + 2 > MAX_HEADERS * 2 ||
			!json_next_element(&parts, &name) || !json_next_element(&parts, &value))
			fail(line, "headers");
		headers[request.header_count].name = OWN(vectors_string(name));
		headers[request.header_count].value = OWN(vectors_string(value));
		request.header_count++;
	}

	authorization = sigv4_authorization(signer, &request, &credentials, &scope);
	if (authorization == NULL)
		fail(line, "out of memory");
	fwrite(signer->canonical_request.data, 1, signer->canonical_request.length + 1, stdout);
	fwrite(signer->string_to_sign.data, 1, signer->string_to_sign.length + 1, stdout);
	fwrite(authorization, 1, strlen(authorization) + 1, stdout);
	for (size_t i = 0; i < owned_count; i++)
		free(owned[i]);
}

int
main(void)
{
	SigV4Signer signer = {0};
	char *text = NULL;
	size_t capacity = 0;
	ssize_t length;

	for (int line = 1; (length = getline(&text, &capacity, stdin)) > 0; line++)
		sign_line(&signer, text, (size_t) length, line);
	free(text);
	sigv4_signer_free(&signer);
	return 0;
}
