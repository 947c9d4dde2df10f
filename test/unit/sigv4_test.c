/*
 * sigv4_test.c
 *		AWS Signature Version 4: the official cases stage by stage, S3's own way, the kept key, dates
 *		and encoding.
 *
 * Usage: sigv4_test [VECTORS]; VECTORS/sigv4/v4 holds aws-c-auth's signing test suite, a folder a case.
 * sigv4_botocore.py holds the signer against botocore's.
 */
#include "aws/sigv4.h"
#include "aws/timestamp.h"

#include <dirent.h>
#include <stdlib.h>
#include <time.h>

#include "tap.h"
#include "vectors.h"

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define MAX_HEADERS 32

/* The keys of AWS's own examples. */
static const SigV4Credentials example_credentials = {
	.access_key_id = "AKIAIOSFODNN7EXAMPLE",
	.secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};

/* One of the suite's requests: its parts point into the text that was read. */
typedef struct VectorRequest
{
	char *text;
	char *method;
	char *path;
	char *query; /* NULL for none */
	char *body;
	HttpHeader headers[MAX_HEADERS];
	size_t header_count;
} VectorRequest;

/*
 * Takes request.txt apart in place. The path is raw: it may hold spaces, so it goes up to the last of
 * them. A line that begins with a space continues the header before it; its line break counts as white
 * space, which is what is put in its place.
 */
static bool
vector_request_parse(VectorRequest *request)
{
	char *line = request->text;
	char *line_end = strchr(line, '\n');
	char *version;

	if (line_end == NULL)
		return false;
	*line_end = '\0';
	request->method = line;
	request->path = strchr(line, ' ');
	version = strrchr(line, ' ');
	if (request->path == NULL || version == request->path || strcmp(version, " HTTP/1.1") != 0)
		return false;
	*request->path++ = '\0';
	*version = '\0';
	request->query = strchr(request->path, '?');
	if (request->query != NULL)
		*request->query++ = '\0';

	request->header_count = 0;
	for (line = line_end + 1; *line != '\0' && *line != '\n'; line = line_end)
	{
		char *colon;

		line_end = line + strcspn(line, "\n");
		while (line_end[0] == '\n' && line_end[1] == ' ')
		{
			*line_end = ' ';
			line_end += strcspn(line_end, "\n");
		}
		if (*line_end == '\n')
			*line_end++ = '\0';
		colon = strchr(line, ':');
		if (colon == NULL || request->header_count == MAX_HEADERS - 3)
			return false;
		*colon = '\0';
		request->headers[request->header_count++] = (HttpHeader){line, colon + 1};
	}
	request->body = *line == '\n' ? line + 1 : line;
	return true;
}

static void
add_header(VectorRequest *request, const char *name, const char *value)
{
	request->headers[request->header_count++] = (HttpHeader){name, value};
}

static char *
read_expected(const char *directory, const char *name)
{
	size_t length;
	char *text = vectors_read(directory, name, &length);

	return text != NULL ? text : strdup("(no such file)");
}

/* What stands behind "Authorization:" in the signed request. */
static char *
read_authorization(const char *directory)
{
	char *text = read_expected(directory, "header-signed-request.txt");
	char *start = strstr(text, "\nAuthorization:");
	char *authorization;

	if (start == NULL)
		return text;
	start += strlen("\nAuthorization:");
	start[strcspn(start, "\n")] = '\0';
	authorization = strdup(start);
	free(text);
	return authorization;
}

/*
 * Signs one case as the suite's own harness does: the path is encoded once (it is raw), normalized or
 * not as the case says; the payload's hash is that of nothing unless the case signs the body.
 */
static void
test_vector(const char *directory, const char *name)
{
	size_t length = 0;
	char *context_text = vectors_read(directory, "context.json", &length);
	VectorRequest vector = {0};
	JsonValue context = {0};
	JsonValue keys;
	const char *problem;
	char *timestamp;
	char *region;
	char *service;
	char *access_key_id;
	char *secret_access_key;
	char *token;
	char payload_hash[SIGV4_HEX_SIZE];
	int64_t microseconds;
	bool sign_body;

	vector.text = vectors_read(directory, "request.txt", &length);
	if (context_text == NULL || vector.text == NULL ||
		!json_check(context_text, strlen(context_text), &context, &problem) ||
		!vector_request_parse(&vector))
	{
		tap_ok(false, "%s can be read", name);
		free(context_text);
		free(vector.text);
		return;
	}
	keys = json_member(context, "credentials");
	access_key_id = vectors_member_string(keys, "access_key_id");
	secret_access_key = vectors_member_string(keys, "secret_access_key");
	token = vectors_member_string(keys, "token");
	region = vectors_member_string(context, "region");
	service = vectors_member_string(context, "service");
	timestamp = vectors_member_string(context, "timestamp");
	sign_body = vectors_member_is_true(context, "sign_body");

	if (access_key_id == NULL || secret_access_key == NULL || region == NULL || service == NULL ||
		timestamp == NULL || !timestamp_parse(timestamp, strlen(timestamp), &microseconds))
		tap_ok(false, "%s has all it needs", name);
	else
	{
		SigV4Credentials credentials = {access_key_id, secret_access_key, token};
		SigV4Scope scope = {.region = region, .service = service};
		SigV4Signer signer = {0};
		SigV4Request request = {
			.method = vector.method,
			.path = vector.path,
			.query = vector.query,
			.headers = vector.headers,
			.payload_hash = payload_hash,
			.normalize_path = vectors_member_is_true(context, "normalize"),
			.encode_path = true,
		};
		ByteBuffer canonical_request = {0};
		ByteBuffer signed_headers = {0};
		ByteBuffer string_to_sign = {0};
		char signature[SIGV4_HEX_SIZE] = "";
		char *expected;

		sigv4_format_date_time((time_t) (microseconds / 1000000), scope.date_time);
		add_header(&vector, "X-Amz-Date", scope.date_time);
		if (token != NULL && !vectors_member_is_true(context, "omit_session_token"))
			add_header(&vector, "X-Amz-Security-Token", token);
		sigv4_hash(vector.body, sign_body ? strlen(vector.body) : 0, payload_hash);
		if (sign_body)
			add_header(&vector, "x-amz-content-sha256", payload_hash);
		request.header_count = vector.header_count;

		sigv4_canonical_request(&request, &signed_headers, &canonical_request);
		expected = read_expected(directory, "header-canonical-request.txt");
		tap_is_string(canonical_request.data, expected, "%s: canonical request", name);
		free(expected);

		sigv4_string_to_sign(&scope, &canonical_request, &string_to_sign);
		expected = read_expected(directory, "header-string-to-sign.txt");
		tap_is_string(string_to_sign.data, expected, "%s: string to sign", name);
		free(expected);

		sigv4_signature(&signer, &credentials, &scope, &string_to_sign, signature);
		expected = read_expected(directory, "header-signature.txt");
		tap_is_string(signature, expected, "%s: signature", name);
		free(expected);

		expected = read_authorization(directory);
		tap_is_string(sigv4_authorization(&signer, &request, &credentials, &scope), expected,
					  "%s: authorization", name);
		free(expected);

		buffer_free(&canonical_request);
		buffer_free(&signed_headers);
		buffer_free(&string_to_sign);
		sigv4_signer_free(&signer);
	}
	free(access_key_id);
	free(secret_access_key);
	free(token);
	free(region);
	free(service);
	free(timestamp);
	free(context_text);
	free(vector.text);
}

static int
compare_names(const void *left, const void *right)
{
	return strcmp(*(char *const *) left, *(char *const *) right);
}

static void
test_official_cases(const char *vectors)
{
	char directory[4096] = "";
	char *names[256];
	size_t count = 0;
	DIR *folder = NULL;
	struct dirent *entry;

	if (vectors != NULL)
	{
		snprintf(directory, sizeof(directory), "%s/sigv4/v4", vectors);
		folder = opendir(directory);
	}
	if (folder == NULL)
	{
		tap_skip("the official signing cases are not here");
		return;
	}
	while ((entry = readdir(folder)) != NULL && count < sizeof(names) / sizeof(names[0]))
	{
		if (entry->d_name[0] != '.')
			names[count++] = strdup(entry->d_name);
	}
	closedir(folder);
	qsort(names, count, sizeof(names[0]), compare_names);
	for (size_t i = 0; i < count; i++)
	{
		char path[4096 + 256];

		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		test_vector(path, names[i]);
		free(names[i]);
	}
	tap_is_int((int64_t) count, 38, "the suite has 38 cases");
}

/*
 * S3 signs the path as it is sent. The first four are the examples of AWS's documentation:
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
static void
test_s3(void)
{
	static const struct
	{
		const char *name;
		const char *method;
		const char *path;
		const char *query;
		const char *body;
		HttpHeader headers[3];
		size_t header_count;
		const char *signature;
	} cases[] = {
		{"get object",
		 "GET",
		 "/test.txt",
		 NULL,
		 "",
		 {{"Range", "bytes=0-9"}},
		 1,
		 "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
		{"put object",
		 "PUT",
		 "/test%24file.text",
		 NULL,
		 "Welcome to Amazon S3.",
		 {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
		 2,
		 "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
		{"get bucket lifecycle",
		 "GET",
		 "/",
		 "lifecycle",
		 "",
		 {{NULL, NULL}},
		 0,
		 "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
		{"list objects",
		 "GET",
		 "/",
		 "max-keys=2&prefix=J",
		 "",
		 {{NULL, NULL}},
		 0,
		 "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
	};
	SigV4Signer signer = {0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		SigV4Scope scope = {.region = "us-east-1", .service = "s3"};
		char payload_hash[SIGV4_HEX_SIZE];
		HttpHeader headers[MAX_HEADERS];
		SigV4Request request = {
			.method = cases[i].method,
			.path = cases[i].path,
			.query = cases[i].query,
			.headers = headers,
			.header_count = cases[i].header_count,
			.payload_hash = payload_hash,
		};
		const char *authorization;

		sigv4_format_date_time(1369353600, scope.date_time); /* 2013-05-24T00:00:00Z */
		sigv4_hash(cases[i].body, strlen(cases[i].body), payload_hash);
		memcpy(headers, cases[i].headers, sizeof(cases[i].headers));
		headers[request.header_count++] = (HttpHeader){"Host", "examplebucket.s3.amazonaws.com"};
		headers[request.header_count++] = (HttpHeader){"x-amz-content-sha256", payload_hash};
		headers[request.header_count++] = (HttpHeader){"x-amz-date", scope.date_time};
		authorization = sigv4_authorization(&signer, &request, &example_credentials, &scope);
		tap_ok(authorization != NULL && strlen(authorization) > 64, "S3: %s is signed",
			   cases[i].name);
		tap_is_string(authorization + strlen(authorization) - 64, cases[i].signature,
					  "S3: %s has AWS's own signature", cases[i].name);
	}
	sigv4_signer_free(&signer);
}

/* A line of the canonical request, counted from 0: the path is 1, the query 2. */
static char *
canonical_line(const SigV4Request *request, int which)
{
	ByteBuffer canonical_request = {0};
	ByteBuffer signed_headers = {0};
	char *line = NULL;

	if (sigv4_canonical_request(request, &signed_headers, &canonical_request))
	{
		char *p = canonical_request.data;

		for (int i = 0; i < which; i++)
			p += strcspn(p, "\n") + 1;
		line = strndup(p, strcspn(p, "\n"));
	}
	buffer_free(&canonical_request);
	buffer_free(&signed_headers);
	return line;
}

static void
test_paths(void)
{
	/*
	 * A dot segment as the very last one is left out: SDKs drop it with its slash, RFC 3986 keeps the
	 * slash, and no path of ours ends so.
	 */
	static const struct
	{
		const char *path;
		const char *normalized; /* and encoded */
		const char *encoded;    /* only */
	} cases[] = {
		{"", "/", "/"},
		{"/", "/", "/"},
		{"//", "/", "//"},
		{"///", "/", "///"},
		{"/./", "/", "/./"},
		{"/../", "/", "/../"},
		{"/../../", "/", "/../../"},
		{"/a", "/a", "/a"},
		{"/a/", "/a/", "/a/"},
		{"/a//", "/a/", "/a//"},
		{"//a", "/a", "//a"},
		{"/a//b", "/a/b", "/a//b"},
		{"/a/./b", "/a/b", "/a/./b"},
		{"/a/../b", "/b", "/a/../b"},
		{"/a/../b/", "/b/", "/a/../b/"},
		{"/a/b/../../c", "/c", "/a/b/../../c"},
		{"/a/../../../c", "/c", "/a/../../../c"},
		{"/a/b/../", "/a/", "/a/b/../"},
		{"/abc/def/../x", "/abc/x", "/abc/def/../x"},
		{"/...", "/...", "/..."},
		{"/.a/..b/c./d../", "/.a/..b/c./d../", "/.a/..b/c./d../"},
		{"/a b", "/a%20b", "/a%20b"},
		{"/a%20b", "/a%2520b", "/a%2520b"},
		{"/\xE1\x88\xB4", "/%E1%88%B4", "/%E1%88%B4"},
		{"/a%2Fb/%2e%2e/c", "/a%252Fb/%252e%252e/c", "/a%252Fb/%252e%252e/c"},
		{"/A-Z._~", "/A-Z._~", "/A-Z._~"},
		{"/$&+,:;=@!*'()", "/%24%26%2B%2C%3A%3B%3D%40%21%2A%27%28%29",
		 "/%24%26%2B%2C%3A%3B%3D%40%21%2A%27%28%29"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		SigV4Request request = {.method = "GET", .path = cases[i].path, .payload_hash = EMPTY_HASH};
		char *line;

		/* S3: neither. */
		line = canonical_line(&request, 1);
		tap_is_string(line, cases[i].path[0] == '\0' ? "/" : cases[i].path, "path %s as it is",
					  cases[i].path);
		free(line);

		request.encode_path = true;
		line = canonical_line(&request, 1);
		tap_is_string(line, cases[i].encoded, "path %s encoded", cases[i].path);
		free(line);

		request.normalize_path = true;
		line = canonical_line(&request, 1);
		tap_is_string(line, cases[i].normalized, "path %s normalized and encoded", cases[i].path);
		free(line);
	}
}

static void
test_queries(void)
{
	static const struct
	{
		const char *query;
		const char *canonical;
	} cases[] = {
		{NULL, ""},
		{"", ""},
		{"&", ""},
		{"a", "a="},
		{"a=", "a="},
		{"=b", "=b"},
		{"a=b", "a=b"},
		{"a=b&", "a=b"},
		{"&&a=b&&c=d&&", "a=b&c=d"},
		{"b=2&a=1", "a=1&b=2"},
		{"a=2&a=1&a", "a=&a=1&a=2"},
		{"a=1&a=1", "a=1&a=1"},
		{"a=b=c", "a=b%3Dc"},
		{"list-type=2&prefix=a/b", "list-type=2&prefix=a%2Fb"},

		/* Every spelling of one value has one form. */
		{"a=%2f", "a=%2F"},
		{"a=%2F", "a=%2F"},
		{"a=%7E%7e~", "a=~~~"},
		{"%61=%62", "a=b"},
		{"a=b c", "a=b%20c"},
		{"a=b%20c", "a=b%20c"},
		{"a=\xE1\x88\xB4", "a=%E1%88%B4"},
		{"a=%e1%88%b4", "a=%E1%88%B4"},
		{"%E1%88%B4=1&b=2", "%E1%88%B4=1&b=2"},
		{"a=%00b", "a=%00b"},
		{"a%26b=c%3Dd", "a%26b=c%3Dd"},

		/* A plus is a plus, no space. */
		{"a=b+c", "a=b%2Bc"},

		/* A percent sign that begins no escape stands for itself. */
		{"a=%", "a=%25"},
		{"a=%4", "a=%254"},
		{"a=%zz", "a=%25zz"},
		{"a=%4z", "a=%254z"},
		{"a=%%41", "a=%25A"},
		{"a=%4&b=1", "a=%254&b=1"},
		{"%4=1", "%254=1"},

		/* Sorted by the encoded name alone, then by the value: '=' would come behind '-' … */
		{"a-=1&a=2", "a=2&a-=1"},
		{"ab=1&a=2", "a=2&ab=1"},
		{"a=b&a%20=c", "a=b&a%20=c"},
		/* … upper case before lower case, and '%' before all that needs no escape. */
		{"a=1&B=2&_=3&~=4", "B=2&_=3&a=1&~=4"},
		{"0=1&%7B=2", "%7B=2&0=1"},
		{"a=0&a=%7B", "a=%7B&a=0"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		SigV4Request request = {
			.method = "GET",
			.path = "/",
			.query = cases[i].query,
			.payload_hash = EMPTY_HASH,
		};
		char *line = canonical_line(&request, 2);

		tap_is_string(line, cases[i].canonical, "query %s",
					  cases[i].query != NULL ? cases[i].query : "(none)");
		free(line);
	}

	/* More parameters than any buffer's first size. */
	{
		char query[20000];
		char *p = query;
		SigV4Request request = {
			.method = "GET",
			.path = "/",
			.query = query,
			.payload_hash = EMPTY_HASH,
		};
		char *line;
		bool sorted = true;
		int count = 0;
		char last[16] = "";

		for (int i = 0; i < 1000; i++)
			p += sprintf(p, "%sp%03d=%d", i > 0 ? "&" : "", i * 617 % 1000, i);
		line = canonical_line(&request, 2);
		for (char *part = strtok(line, "&"); part != NULL; part = strtok(NULL, "&"))
		{
			char name[16];

			snprintf(name, sizeof(name), "%.*s", (int) strcspn(part, "="), part);
			sorted = sorted && strcmp(last, name) < 0;
			strcpy(last, name);
			count++;
		}
		tap_ok(sorted && count == 1000, "a thousand parameters are all there, sorted");
		free(line);
	}
}

static void
test_headers(void)
{
	/* Given in no order, with white space of every kind that a header may have. */
	static const HttpHeader headers[] = {
		{"Zeta", " \t a  b\t\tc \t"},
		{"alpha", "\"x   y\""},
		{"HOST", "example.com"},
		{"dup", "2"},
		{"X-Amz-Date", "20150830T123600Z"},
		{"Dup", "1"},
		{"dup-", "behind dup"},
		{"DUP", ""},
		{"du", "before dup"},
		{"empty", ""},
		{"blank", " \t "},
		{"dUP", "2"},
		{"a_b", "underscore comes behind a hyphen"},
		{"a-b", "and before a letter"},
		{"AaB", "\xC3\xA4 \xE2\x82\xAC"},
	};
	static const char expected[] =
		"GET\n"
		"/\n"
		"\n"
		"a-b:and before a letter\n"
		"a_b:underscore comes behind a hyphen\n"
		"aab:\xC3\xA4 \xE2\x82\xAC\n"
		"alpha:\"x y\"\n"
		"blank:\n"
		"du:before dup\n"
		"dup:2,1,,2\n"
		"dup-:behind dup\n"
		"empty:\n"
		"host:example.com\n"
		"x-amz-date:20150830T123600Z\n"
		"zeta:a b c\n"
		"\n"
		"a-b;a_b;aab;alpha;blank;du;dup;dup-;empty;host;x-amz-date;zeta\n" EMPTY_HASH;
	HttpHeader many[200];
	char values[200][8];
	SigV4Request request = {
		.method = "GET",
		.path = "/",
		.headers = headers,
		.header_count = sizeof(headers) / sizeof(headers[0]),
		.payload_hash = EMPTY_HASH,
	};
	ByteBuffer canonical_request = {0};
	ByteBuffer signed_headers = {0};
	ByteBuffer in_order = {0};

	sigv4_canonical_request(&request, &signed_headers, &canonical_request);
	tap_is_string(canonical_request.data, expected, "headers are sorted, joined and trimmed");

	/* Values of one name keep their order: a sort that is not stable shows with many of them. */
	buffer_append_string(&in_order, "GET\n/\n\nhost:example.com\nname:");
	for (size_t i = 0; i < 200; i++)
	{
		snprintf(values[i], sizeof(values[i]), "%zu", i * 37 % 200);
		many[i] = (HttpHeader){i % 2 == 0 ? "name" : "NAME", values[i]};
		if (i == 100)
			many[i] = (HttpHeader){"Host", "example.com"};
		else
		{
			buffer_append_string(&in_order, i > 0 ? "," : "");
			buffer_append_string(&in_order, values[i]);
		}
	}
	buffer_append_string(&in_order, "\n\nhost;name\n" EMPTY_HASH);
	request.headers = many;
	request.header_count = 200;
	sigv4_canonical_request(&request, &signed_headers, &canonical_request);
	tap_is_string(canonical_request.data, in_order.data,
				  "200 values keep the order they are sent in");
	tap_is_string(signed_headers.data, "host;name", "and the scratch memory starts anew each time");

	buffer_free(&canonical_request);
	buffer_free(&signed_headers);
	buffer_free(&in_order);
}

/* Signs a small request with a signer; the result is malloc'ed. */
static char *
sign(SigV4Signer *signer, const SigV4Credentials *credentials, const SigV4Scope *scope)
{
	HttpHeader headers[] = {{"Host", "example.com"}, {"X-Amz-Date", scope->date_time}};
	SigV4Request request = {
		.method = "POST",
		.path = "/",
		.headers = headers,
		.header_count = 2,
		.payload_hash = EMPTY_HASH,
		.normalize_path = true,
		.encode_path = true,
	};
	const char *authorization = sigv4_authorization(signer, &request, credentials, scope);

	return authorization != NULL ? strdup(authorization) : NULL;
}

static char *
sign_fresh(const SigV4Credentials *credentials, const SigV4Scope *scope)
{
	SigV4Signer fresh = {0};
	char *authorization = sign(&fresh, credentials, scope);

	sigv4_signer_free(&fresh);
	return authorization;
}

static void
test_kept_key(void)
{
	static const char *const secrets[] = {"secret", "secret2", "secre", ""};
	static const time_t times[] = {1440938160, 1440938161, 1440979199,
								   1440979200}; /* midnight between */
	static const char *const regions[] = {"us-east-1", "us-east-11", "eu-central-1"};
	static const char *const services[] = {"athena", "s3", "1athena"};
	static const SigV4Credentials other = {"AKIDOTHER", "other", NULL};
	static const SigV4Signer zero;
	SigV4Scope scope = {.region = "us-east-1", .service = "athena"};
	SigV4Scope later = scope;
	SigV4Signer signer = {0};
	unsigned char key[SIGV4_HASH_BYTES];
	unsigned int chance = 1;
	bool same = true;
	char *before;
	char *after;
	char *fresh;

	/* One signer for everything in turn, and a new one for each: a key kept too long differs. */
	for (int i = 0; i < 2000; i++)
	{
		SigV4Credentials credentials = {.access_key_id = "AKID"};
		SigV4Scope any;
		char *kept;

		chance = chance * 1103515245 +
				 12345; /* so that the next differs in one, in all, or in nothing */
		credentials.secret_access_key = secrets[(chance >> 16) % 4];
		any.region = regions[(chance >> 19) % 3];
		any.service = services[(chance >> 22) % 3];
		sigv4_format_date_time(times[(chance >> 25) % 4], any.date_time);
		kept = sign(&signer, &credentials, &any);
		fresh = sign_fresh(&credentials, &any);
		same = same && kept != NULL && fresh != NULL && strcmp(kept, fresh) == 0;
		free(kept);
		free(fresh);
	}
	tap_ok(same, "2,000 signatures of one signer are those of 2,000 new ones");

	/* The same day: the key stays and is the one that signs. Spoiling it makes that visible. */
	sigv4_format_date_time(times[0], scope.date_time);
	sigv4_format_date_time(times[2], later.date_time);
	before = sign(&signer, &example_credentials, &scope);
	signer.key[0] ^= 1;
	after = sign(&signer, &example_credentials, &later);
	fresh = sign_fresh(&example_credentials, &later);
	tap_ok(strcmp(after, fresh) != 0, "the key is kept for the day, and not derived again");
	signer.key[0] ^= 1;
	free(after);
	after = sign(&signer, &example_credentials, &later);
	tap_is_string(after, fresh, "it is the day's own");
	free(after);
	free(fresh);

	/* Another secret ends it, also for the same access key and where it comes back. */
	free(sign(&signer, &other, &scope));
	after = sign(&signer, &example_credentials, &scope);
	tap_is_string(after, before, "another secret between has it derived again");
	free(after);

	/* The access key and the token have no part in the key. */
	{
		SigV4Credentials renamed = example_credentials;

		renamed.access_key_id = "AKIDRENAMED";
		renamed.session_token = "token";
		memcpy(key, signer.key, sizeof(key));
		free(sign(&signer, &renamed, &scope));
		tap_ok(memcmp(key, signer.key, sizeof(key)) == 0,
			   "the access key's name does not matter to it");
	}

	sigv4_signer_free(&signer);
	tap_ok(memcmp(&signer, &zero, sizeof(signer)) == 0, "a freed signer holds nothing");
	after = sign(&signer, &example_credentials, &scope);
	tap_is_string(after, before, "and can be used again");
	free(before);
	free(after);
	sigv4_signer_free(&signer);
	sigv4_signer_free(&signer);
	tap_ok(!signer.has_key, "and freed twice");
}

static void
test_dates(void)
{
	static const struct
	{
		int64_t time;
		const char *date_time;
	} cases[] = {
		{0, "19700101T000000Z"},
		{1, "19700101T000001Z"},
		{86399, "19700101T235959Z"},
		{86400, "19700102T000000Z"},
		{946684799, "19991231T235959Z"},
		{951782400, "20000229T000000Z"}, /* a leap year, though divisible by 100 */
		{1440938160, "20150830T123600Z"},
		{1704067199, "20231231T235959Z"},
		{1709251199, "20240229T235959Z"},
		{1709251200, "20240301T000000Z"},
		{1735516800, "20241230T000000Z"}, /* ISO weeks call this 2025 already */
		{2147483647, "20380119T031407Z"},
		{2147483648, "20380119T031408Z"}, /* 32 bits are over */
		{4107542399, "21000228T235959Z"},
		{4107542400, "21000301T000000Z"}, /* no leap year */
		{4294967296, "21060207T062816Z"},
		{253402300799, "99991231T235959Z"},
	};
	static const char *const zones[] = {"UTC0", "XXX-13:30", "XXX12"};

	for (size_t zone = 0; zone < sizeof(zones) / sizeof(zones[0]); zone++)
	{
		/* What the server's time zone is must not matter. */
		setenv("TZ", zones[zone], 1);
		tzset();
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		{
			char date_time[SIGV4_DATE_TIME_SIZE];

			if ((int64_t) (time_t) cases[i].time != cases[i].time)
			{
				tap_skip("time_t has 32 bits");
				continue;
			}
			sigv4_format_date_time((time_t) cases[i].time, date_time);
			tap_is_string(date_time, cases[i].date_time, "%" PRId64 " in time zone %s",
						  cases[i].time, zones[zone]);
		}
	}
	unsetenv("TZ");
	tzset();
	if (sizeof(time_t) > 4)
	{
		char date_time[SIGV4_DATE_TIME_SIZE];

		sigv4_format_date_time((time_t) INT64_C(253402300800), date_time);
		tap_is_string(date_time, "", "the year 10000 is too long");
	}
	else
		tap_skip("time_t has 32 bits");
}

static void
test_encoding(void)
{
	static const char unreserved[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	ByteBuffer out = {0};
	char bytes[256];
	char expected[256 * 3 + 1];

	for (int keep_slash = 0; keep_slash < 2; keep_slash++)
	{
		char *p = expected;
		bool each = true;

		for (int i = 0; i < 256; i++)
		{
			char one[4];

			bytes[i] = (char) i;
			if ((i != 0 && strchr(unreserved, i) != NULL) || (i == '/' && keep_slash))
				snprintf(one, sizeof(one), "%c", i);
			else
				snprintf(one, sizeof(one), "%%%02X", (unsigned int) i);
			buffer_reset(&out);
			each = each && sigv4_uri_encode(&out, &bytes[i], 1, keep_slash) &&
				   strcmp(out.data, one) == 0;
			p += sprintf(p, "%s", one);
		}
		tap_ok(each, "each of the 256 bytes is encoded, %s the slash",
			   keep_slash ? "but not" : "and so is");
		buffer_reset(&out);
		sigv4_uri_encode(&out, bytes, sizeof(bytes), keep_slash);
		tap_is_string(out.data, expected, "and all of them in a row");
	}

	buffer_reset(&out);
	buffer_append_string(&out, "before ");
	tap_ok(sigv4_uri_encode(&out, "", 0, false), "nothing can be encoded");
	sigv4_uri_encode(&out, "a b", 3, false);
	tap_is_string(out.data, "before a%20b", "what is encoded is appended");
	buffer_free(&out);
}

static void
test_hash(void)
{
	char hex[SIGV4_HEX_SIZE];
	char *million = malloc(1000000);

	/* FIPS 180-4's own examples */
	sigv4_hash("", 0, hex);
	tap_is_string(hex, EMPTY_HASH, "the hash of nothing");
	sigv4_hash(NULL, 0, hex);
	tap_is_string(hex, EMPTY_HASH, "also without a pointer to it");
	sigv4_hash("abc", 3, hex);
	tap_is_string(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
				  "the hash of abc");
	memset(million, 'a', 1000000);
	sigv4_hash(million, 1000000, hex);
	tap_is_string(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
				  "the hash of a million times a");
	free(million);
}

/* A long request, then a short one: nothing of the first may be left in the second. */
static void
test_reuse(void)
{
	char *path = malloc(20001);
	SigV4Scope scope = {
		.date_time = "20150830T123600Z", .region = "us-east-1", .service = "athena"};
	HttpHeader headers[] = {{"Host", "example.com"}, {"X-Long", path}};
	SigV4Request large = {
		.method = "POST",
		.path = path,
		.query = path,
		.headers = headers,
		.header_count = 2,
		.payload_hash = EMPTY_HASH,
		.normalize_path = true,
		.encode_path = true,
	};
	SigV4Signer signer = {0};
	char *alone = sign_fresh(&example_credentials, &scope);
	char *behind;

	memset(path, '/', 20000);
	for (int i = 1; i < 20000; i += 3)
		path[i] = (char) 0xC3;
	path[20000] = '\0';
	tap_ok(sigv4_authorization(&signer, &large, &example_credentials, &scope) != NULL,
		   "a request of 20,000 bytes in each part is signed");
	behind = sign(&signer, &example_credentials, &scope);
	tap_is_string(behind, alone, "and leaves nothing behind for the next");
	free(alone);
	free(behind);
	free(path);
	sigv4_signer_free(&signer);
}

int
main(int argc, char **argv)
{
	test_official_cases(argc > 1 ? argv[1] : NULL);
	test_s3();
	test_paths();
	test_queries();
	test_headers();
	test_kept_key();
	test_dates();
	test_encoding();
	test_hash();
	test_reuse();
	return tap_finish();
}
