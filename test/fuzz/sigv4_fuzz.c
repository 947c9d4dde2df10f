/*
 * sigv4_fuzz.c
 *		Signing: a request as it is sent, with lines of headers, and a body.
 */
#include "fuzz.h"

#include "aws/sigv4.h"

#define MAX_HEADERS 16

/* Takes what comes before one of these characters, and the character. */
static char *
take(char **rest, const char *until)
{
	char *taken = *rest;

	*rest += strcspn(*rest, until);
	if (**rest != '\0')
		*(*rest)++ = '\0';
	return taken;
}

/* A request for humans: "GET /path?query HTTP/1.1", lines "Name: value", an empty line, the body. */
static void
read_request(char *text, SigV4Request *request, HttpHeader *headers)
{
	char *line = take(&text, "\n");

	request->method = take(&line, " ");
	request->path = take(&line, "? ");
	request->query = line[0] != '\0' ? take(&line, " ") : NULL;
	request->headers = headers;
	while (request->header_count < MAX_HEADERS && text[0] != '\0' && text[0] != '\n')
	{
		line = take(&text, "\n");
		headers[request->header_count].name = take(&line, ":");
		headers[request->header_count++].value = line;
	}
}

void
fuzz(FuzzInput input)
{
	const SigV4Credentials credentials = {"AKIDEXAMPLE", "secret", NULL};
	SigV4Scope scope = {.region = "us-east-1", .service = "service"};
	HttpHeader headers[MAX_HEADERS];
	SigV4Request request = {0};
	SigV4Signer signer = {0};
	ByteBuffer encoded = {0};
	unsigned choice = fuzz_next_number(&input);
	char hash[SIGV4_HEX_SIZE];
	const char *authorization;

	sigv4_format_date_time(1440938160, scope.date_time);
	sigv4_hash(input.data, input.length, hash);
	request.payload_hash = hash;
	request.normalize_path = choice & 1;
	request.encode_path = choice & 2;
	read_request(fuzz_string(input), &request, headers);

	authorization = sigv4_authorization(&signer, &request, &credentials, &scope);
	fuzz_require(authorization != NULL);
	fuzz_require(strncmp(authorization, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/", 49) ==
				 0);
	sigv4_signer_free(&signer);

	fuzz_require(sigv4_uri_encode(&encoded, input.data, input.length, choice & 4));
	fuzz_require(encoded.length >= input.length && encoded.length <= 3 * input.length);
	buffer_free(&encoded);
}
