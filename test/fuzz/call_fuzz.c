/*
 * call_fuzz.c
 *		Calls and their answers: errors of every format, Retry-After, the server's clock, what is tried again. Parts: answers.
 */
#include "fuzz.h"

#include "aws/call.h"

static const AwsErrorMeaning meanings[] = {
	{"InvalidRequestException", "token", ERRCODE_DUPLICATE_OBJECT, "A hint."},
	{"InvalidRequestException", NULL, ERRCODE_INVALID_PARAMETER_VALUE, NULL},
	{NULL, NULL, 0, NULL},
};

static int ended;

static void
take_answer(AwsCall *call, const HttpResponse *response, void *context)
{
	AwsError copy;

	(void) context;
	ended++;
	fuzz_require((call->error.sqlstate == 0) ==
				 (response->outcome == HTTP_ANSWERED && response->status / 100 == 2));
	if (call->error.sqlstate == 0)
		return;
	fuzz_require(call->error.message != NULL);
	aws_error_copy(&copy, &call->error);
	aws_error_is_of_credentials(&copy);
}

void
fuzz(FuzzInput input)
{
	unsigned choice = fuzz_next_number(&input);
	static RetryQuota quota;
	const AwsService service = {
		.name = "Service",
		.signing_name = "service",
		.is_s3 = choice & 4,
		.error_format = (AwsErrorFormat) (choice & 3),
		.error_code_member = choice & 8 ? "AthenaErrorCode" : NULL,
		.error_code_key = "athena_error_code",
		.meanings = meanings,
		.quota = &quota,
	};
	const SigV4Credentials credentials = {"AKIDEXAMPLE", "secret", choice & 16 ? "token" : NULL};
	const AwsEndpoint endpoint = {
		.tls = true, .host = "example.com", .signing_region = "us-east-1"};
	AwsCall call = {.service = &service,
					.operation = "Operation",
					.endpoint = &endpoint,
					.ca_bundle = "",
					.method = "POST",
					.path = "/",
					.body = "{}",
					.body_length = 2,
					.credentials = choice & 32 ? NULL : &credentials};
	AwsCall *calls[] = {&call};

	ended = 0;
	fuzz_answers(input);
	aws_call_send(calls, 1, take_answer, NULL);
	fuzz_require(ended == 1 && call.attempts >= 1 && call.attempts <= 3);
	if (call.error.sqlstate != 0)
		aws_call_raise(&call);
}
