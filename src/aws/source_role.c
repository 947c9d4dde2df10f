/*
 * source_role.c
 *		Credentials of a role, from STS: with other credentials, or with a web identity token. See source.h.
 *
 * https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
 * https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
 */
#include "aws/source.h"

#include "aws/resolve.h"
#include "aws/timestamp.h"
#include "aws/xml.h"
#include "lib/stringinfo.h"

#define API_VERSION "2011-06-15"

/* As CloudTrail shows it, where no name is configured. */
#define DEFAULT_SESSION_NAME "athena_calc"

static const AwsErrorMeaning meanings[] = {
	{"InvalidIdentityToken", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 "Check athena_calc.web_identity_token_file: STS does not take the token in it."},
	{"ExpiredTokenException", "Token expired", ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
	 "The web identity token has expired: whoever writes athena_calc.web_identity_token_file must "
	 "write a new one."},
	{"IDPRejectedClaim", NULL, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, NULL},
	{"AccessDenied", NULL, ERRCODE_INSUFFICIENT_PRIVILEGE,
	 "The role's trust policy must allow it, with the external ID if it asks for one, and the "
	 "caller's own policy, too."},
	{"ValidationError", NULL, ERRCODE_INVALID_PARAMETER_VALUE, NULL},
	{"RegionDisabledException", NULL, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, NULL},
	{NULL, NULL, 0, NULL},
};

static RetryQuota quota;

static const AwsService sts = {
	.name = "STS",
	.signing_name = "sts",
	.endpoint_option = AWS_OPTION_STS_ENDPOINT_URL,
	.error_format = AWS_ERROR_QUERY,
	.meanings = meanings,
	.quota = &quota,
};

static void
append_parameter(StringInfo form, const char *name, const char *value)
{
	ByteBuffer encoded = {0};

	if (value[0] == '\0')
		return;
	sigv4_uri_encode(&encoded, value, strlen(value), false);
	if (encoded.failed)
	{
		buffer_free(&encoded);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	appendStringInfo(form, "&%s=%s", name, encoded.data);
	buffer_free(&encoded);
}

/* What an answer is read by. */
typedef struct RoleAnswer
{
	const char *operation;
	FoundCredentials *found;
} RoleAnswer;

static bool
read_json_answer(const char *body, size_t length, const RoleAnswer *answer, const char **problem)
{
	JsonValue document;
	const char *syntax;

	if (!json_check(body, length, &document, &syntax))
	{
		*problem = "is not JSON";
		return false;
	}
	document = json_member(document, psprintf("%sResponse", answer->operation));
	document = json_member(document, psprintf("%sResult", answer->operation));
	if (!source_read_object(json_member(document, "Credentials"), answer->found, problem))
		return false;
	if (answer->found->expiration == 0)
	{
		*problem = "has no time at which its credentials expire";
		source_forget(answer->found);
		return false;
	}
	return true;
}

static bool
read_xml_answer(const char *body, size_t length, const RoleAnswer *answer, const char **problem)
{
	static const char *const names[] = {"AccessKeyId", "SecretAccessKey", "SessionToken",
										"Expiration"};
	XmlWanted wanted[lengthof(names)] = {{0}};
	int64_t expiration;
	bool read;

	for (int i = 0; i < (int) lengthof(names); i++)
		wanted[i].path = psprintf("%sResponse/%sResult/Credentials/%s", answer->operation,
								  answer->operation, names[i]);
	read = xml_read(body, length, wanted, lengthof(wanted));
	if (!read)
		*problem = "is not XML";
	else if (!wanted[3].found || wanted[3].text.length == 0 ||
			 !timestamp_parse(wanted[3].text.data, wanted[3].text.length, &expiration))
	{
		*problem = "has no time at which its credentials expire";
		read = false;
	}
	else
	{
		read = source_take(answer->found, wanted[0].text.data, wanted[1].text.data,
						   wanted[2].text.data, problem);
		answer->found->expiration = expiration / 1000000;
	}
	for (int i = 0; i < (int) lengthof(names); i++)
		buffer_free(&wanted[i].text);
	return read;
}

/* XML, as STS answers unless asked otherwise, or JSON, as what stands in its place may. */
static bool
read_answer(const char *body, size_t length, void *context, const char **problem)
{
	size_t start = 0;

	while (start < length && strchr(" \t\r\n", body[start]) != NULL && body[start] != '\0')
		start++;
	if (start < length && body[start] == '{')
		return read_json_answer(body, length, context, problem);
	return read_xml_answer(body, length, context, problem);
}

static void
assume(const AwsConfig *config, const char *operation, const SourceRole *role,
	   const SigV4Credentials *credentials, const char *token, FoundCredentials *found)
{
	static const HttpHeader headers[] = {
		{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}};
	RoleAnswer answer = {operation, found};
	AwsEndpoint endpoint;
	StringInfoData form;
	AwsCall call = {0};
	bool done;

	aws_resolve_endpoint(config, &sts, &endpoint);
	initStringInfo(&form);
	appendStringInfo(&form, "Action=%s&Version=" API_VERSION, operation);
	append_parameter(&form, "RoleArn", role->arn);
	append_parameter(&form, "RoleSessionName",
					 role->session_name[0] != '\0' ? role->session_name : DEFAULT_SESSION_NAME);
	append_parameter(&form, "DurationSeconds", role->duration_seconds);
	if (token == NULL)
		append_parameter(&form, "ExternalId", role->external_id);
	else
		append_parameter(&form, "WebIdentityToken", token);

	call.service = &sts;
	call.operation = operation;
	call.endpoint = &endpoint;
	call.ca_bundle = config->values[AWS_OPTION_CA_BUNDLE];
	call.method = "POST";
	call.path = psprintf("%s/", endpoint.path);
	call.headers = headers;
	call.header_count = lengthof(headers);
	call.body = form.data;
	call.body_length = form.len;
	call.credentials = credentials;
	call.secret = token;
	done = source_call(&call, read_answer, &answer);
	explicit_bzero(form.data, form.len);
	if (!done)
		source_raise(&call);
}

void
source_role_assume(const AwsConfig *config, const SourceRole *role, const FoundCredentials *base,
				   FoundCredentials *found)
{
	SigV4Credentials credentials = {base->access_key_id, base->secret_access_key,
									base->session_token};

	assume(config, "AssumeRole", role, &credentials, NULL, found);
}

void
source_web_identity_fetch(const AwsConfig *config, const SourceRole *role, const char *token_file,
						  FoundCredentials *found)
{
	size_t length;
	char *token;

	if (token_file[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						errmsg("no AWS credentials: there is no web identity token file"),
						errhint("Set athena_calc.web_identity_token_file, or "
								"AWS_WEB_IDENTITY_TOKEN_FILE where the server is started.")));
	if (role->arn[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						errmsg("no AWS credentials: a web identity token without a role"),
						errhint("Set athena_calc.role_arn, or AWS_ROLE_ARN where the server is "
								"started.")));
	token = source_read_file(token_file, "web identity token file", &length);
	/* It is sent to STS: a file that has not the form of a token stays here. */
	if (length == 0 || strlen(token) != length ||
		aws_options[AWS_OPTION_SESSION_TOKEN].problem(token) != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						errmsg("the web identity token file \"%s\" has no token", token_file),
						errdetail("A token is one line of printable ASCII without spaces.")));
	assume(config, "AssumeRoleWithWebIdentity", role, NULL, token, found);
	source_wipe(token);
}
