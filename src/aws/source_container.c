/*
 * source_container.c
 *		Credentials of a container's own: ECS and EKS Pod Identity. See source.h.
 *
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
 */
#include "aws/source.h"

#include "settings.h"

#define ECS_ENDPOINT "http://169.254.170.2"
#define TIMEOUT_MS 2000
#define ATTEMPTS 3

static RetryQuota quota;

static const AwsService container = {
	.name = "Container",
	.signing_name = "container",
	.error_format = AWS_ERROR_STATUS,
	.meanings = aws_no_meanings,
	.quota = &quota,
};

bool
source_container_is_configured(const AwsConfig *config)
{
	return aws_config_has(config, AWS_OPTION_CONTAINER_CREDENTIALS_RELATIVE_URI) ||
		   aws_config_has(config, AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI);
}

/* Takes a URI apart at the end of its host. It was checked when it was set. */
static void
split_uri(const char *uri, AwsEndpoint *endpoint, const char **path)
{
	const char *host = strstr(uri, "://") + 3;
	size_t length = (size_t) (host - uri) + strcspn(host, "/?");
	const char *problem;

	*path = uri[length] == '\0'  ? "/"
			: uri[length] == '/' ? uri + length
								 : psprintf("/%s", uri + length);
	if (!aws_endpoint_parse(pnstrdup(uri, length), endpoint, &problem))
		elog(ERROR, "the URI of the container's credentials was not checked");
}

/*
 * Without TLS the answer, and the token that asks for it, may not leave the machine: the addresses of ECS and
 * EKS, and those of the machine itself.
 */
static bool
is_allowed(const AwsEndpoint *endpoint)
{
	static const char *const hosts[] = {"localhost", "[::1]", "169.254.170.2", "169.254.170.23",
										"[fd00:ec2::23]"};
	const char *port = strrchr(endpoint->host, ':');
	size_t length = strlen(endpoint->host);

	if (endpoint->tls)
		return true;
	if (port != NULL && strchr(port, ']') == NULL)
		length = (size_t) (port - endpoint->host);
	for (int i = 0; i < (int) lengthof(hosts); i++)
	{
		if (strlen(hosts[i]) == length && strncmp(endpoint->host, hosts[i], length) == 0)
			return true;
	}
	return aws_endpoint_is_address(endpoint) && strncmp(endpoint->host, "127.", 4) == 0;
}

/* The value of Authorization: the file's, read anew each time, before the setting's. NULL for none. */
static char *
authorization(const AwsConfig *config)
{
	const char *file = config->values[AWS_OPTION_CONTAINER_AUTHORIZATION_TOKEN_FILE];
	size_t length;
	char *token;

	if (file[0] != '\0')
		token = source_read_file(file, "container authorization token file", &length);
	else if (aws_config_has(config, AWS_OPTION_CONTAINER_AUTHORIZATION_TOKEN))
	{
		settings_check_secret(AWS_OPTION_CONTAINER_AUTHORIZATION_TOKEN);
		token = pstrdup(config->values[AWS_OPTION_CONTAINER_AUTHORIZATION_TOKEN]);
	}
	else
		return NULL;
	if (aws_options[AWS_OPTION_CONTAINER_AUTHORIZATION_TOKEN].problem(token) != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						errmsg("the container authorization token has line breaks or other control "
							   "characters")));
	return token;
}

void
source_container_fetch(const AwsConfig *config, FoundCredentials *found)
{
	const char *relative = config->values[AWS_OPTION_CONTAINER_CREDENTIALS_RELATIVE_URI];
	const char *uri = relative[0] != '\0'
						  ? psprintf("%s%s", ECS_ENDPOINT, relative)
						  : config->values[AWS_OPTION_CONTAINER_CREDENTIALS_FULL_URI];
	HttpHeader headers[2] = {{"Accept", "application/json"}};
	AwsEndpoint endpoint;
	AwsCall call = {0};
	char *token;

	if (uri[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("no AWS credentials: no URI of a container's is set"),
				 errhint("ECS and EKS set AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or "
						 "AWS_CONTAINER_CREDENTIALS_FULL_URI where the server is started.")));
	split_uri(uri, &endpoint, &call.path);
	if (!is_allowed(&endpoint))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			 errmsg("the host of the container's credentials is not allowed"),
			 errhint("athena_calc.container_credentials_full_uri begins with https://, or names "
					 "this machine, 169.254.170.2, 169.254.170.23 or [fd00:ec2::23].")));

	token = authorization(config);
	headers[1] = (HttpHeader){"Authorization", token};
	call.service = &container;
	call.operation = "credentials";
	call.endpoint = &endpoint;
	call.ca_bundle = config->values[AWS_OPTION_CA_BUNDLE];
	call.method = "GET";
	call.headers = headers;
	call.header_count = token != NULL ? 2 : 1;
	call.body = "";
	call.timeout = TIMEOUT_MS;
	call.max_attempts = ATTEMPTS;
	if (!source_call(&call, source_read_json, found))
		source_raise(&call);
	source_wipe(token);
}
