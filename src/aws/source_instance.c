/*
 * source_instance.c
 *		Credentials and region of an EC2 instance, from its metadata service. See source.h.
 *
 * Version 2 only: a token is asked for first, with PUT. The first version, which answers anybody who can make the
 * server send a GET, is never spoken.
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
 */
#include "aws/source.h"

#include <stdlib.h>
#include <strings.h>

#define ENDPOINT_IPV4 "http://169.254.169.254"
#define ENDPOINT_IPV6 "http://[fd00:ec2::254]"
#define CREDENTIALS_PATH "/latest/meta-data/iam/security-credentials/"
#define REGION_PATH "/latest/meta-data/placement/region"

/* It answers at once where it is; where it is not, nobody shall wait. */
#define TIMEOUT_MS 1000
#define ATTEMPTS 2

#define TOKEN_SECONDS "21600"

#define MAX_WORD 256

static RetryQuota quota;

static const AwsService metadata = {
	.name = "EC2 metadata",
	.signing_name = "ec2",
	.error_format = AWS_ERROR_STATUS,
	.meanings = aws_no_meanings,
	.quota = &quota,
};

/* A conversation with the service. */
typedef struct Metadata
{
	AwsEndpoint endpoint;
	char *token;
} Metadata;

static const char *
service_url(const AwsConfig *config)
{
	const char *mode;

	if (aws_config_has(config, AWS_OPTION_EC2_METADATA_SERVICE_ENDPOINT))
		return config->values[AWS_OPTION_EC2_METADATA_SERVICE_ENDPOINT];
	mode = getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
	return mode != NULL && strcasecmp(mode, "ipv6") == 0 ? ENDPOINT_IPV6 : ENDPOINT_IPV4;
}

/* A SourceReader of one word on the first line. `context` is a char *. */
static bool
read_word(const char *body, size_t length, void *context, const char **problem)
{
	size_t end = 0;

	while (end < length && body[end] > ' ' && body[end] <= '~')
		end++;
	if (end == 0 || end > MAX_WORD || (end < length && body[end] != '\r' && body[end] != '\n'))
	{
		*problem = "does not begin with a line of one word";
		return false;
	}
	*(char **) context = pnstrdup(body, end);
	return true;
}

static bool
ask(const AwsConfig *config, const Metadata *service, const char *method, const char *path,
	SourceReader read, void *context, AwsCall *call)
{
	HttpHeader *header = palloc(sizeof(HttpHeader));

	memset(call, 0, sizeof(*call));
	if (service->token != NULL)
		*header = (HttpHeader){"X-aws-ec2-metadata-token", service->token};
	else
		*header = (HttpHeader){"X-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS};
	call->service = &metadata;
	call->operation = psprintf("%s %s", method, path);
	call->endpoint = &service->endpoint;
	call->ca_bundle = config->values[AWS_OPTION_CA_BUNDLE];
	call->method = method;
	call->path = psprintf("%s%s", service->endpoint.path, path);
	call->headers = header;
	call->header_count = 1;
	call->body = "";
	call->timeout = TIMEOUT_MS;
	call->max_attempts = ATTEMPTS;
	return source_call(call, read, context);
}

/* Begins a conversation. False, with why, where nobody answers as it would: then this is no instance. */
static bool
open_service(const AwsConfig *config, Metadata *service, const char **problem)
{
	AwsCall call;

	service->token = NULL;
	if (!aws_endpoint_parse(service_url(config), &service->endpoint, problem))
		elog(ERROR, "the URL of the metadata service was not checked");
	if (ask(config, service, "PUT", "/latest/api/token", read_word, &service->token, &call))
		return true;
	*problem = psprintf("%s: %s", service_url(config), call.error.message);
	return false;
}

bool
source_instance_fetch(const AwsConfig *config, FoundCredentials *found, const char **problem)
{
	Metadata service;
	AwsCall call;
	ByteBuffer path = {0};
	char *role;
	bool asked;

	if (aws_config_is_true(config, AWS_OPTION_EC2_METADATA_DISABLED))
	{
		*problem = "it is disabled (athena_calc.ec2_metadata_disabled)";
		return false;
	}
	if (!open_service(config, &service, problem))
		return false;
	if (!ask(config, &service, "GET", CREDENTIALS_PATH, read_word, &role, &call))
	{
		if (call.error.http_status == 404)
			ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
							errmsg("no AWS credentials: the instance has no role"),
							errhint("Attach an instance profile to the EC2 instance.")));
		source_raise(&call);
	}

	buffer_append_string(&path, CREDENTIALS_PATH);
	{
		ByteBuffer encoded = {0};

		sigv4_uri_encode(&encoded, role, strlen(role), false);
		buffer_append_string(&path, encoded.data != NULL ? encoded.data : "");
		path.failed = path.failed || encoded.failed;
		buffer_free(&encoded);
	}
	if (path.failed)
	{
		buffer_free(&path);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	role = pstrdup(path.data);
	buffer_free(&path);
	asked = ask(config, &service, "GET", role, source_read_json, found, &call);
	source_wipe(service.token);
	if (!asked)
		source_raise(&call);
	return true;
}

/* It does not change as long as the instance runs. */
const char *
source_instance_region(const AwsConfig *config)
{
	static char known[64] = "";
	Metadata service;
	AwsCall call;
	const char *problem;
	char *region;

	if (known[0] == '\0')
	{
		if (aws_config_is_true(config, AWS_OPTION_EC2_METADATA_DISABLED) ||
			!open_service(config, &service, &problem))
			return NULL;
		if (!ask(config, &service, "GET", REGION_PATH, read_word, &region, &call))
			source_raise(&call);
		source_wipe(service.token);
		if (!aws_region_is_valid(region))
			return region; /* the caller says so */
		strlcpy(known, region, sizeof(known));
	}
	return known;
}
