/*
 * answer.c
 *		What S3 answers with. See answer.h.
 */
#include "s3/answer.h"

#include "aws/encoding.h"

const HttpHeader s3_checksum_wanted = {"x-amz-checksum-mode", "ENABLED"};

/* https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
static const AwsErrorMeaning meanings[] = {
	{"NoSuchKey", NULL, ERRCODE_UNDEFINED_OBJECT, NULL},
	{"NoSuchBucket", NULL, ERRCODE_UNDEFINED_OBJECT, NULL},
	/* Its status is 500, but not within an answer of 200. */
	{"InternalError", NULL, ERRCODE_SYSTEM_ERROR, NULL},
	{NULL, NULL, 0, NULL},
};

static RetryQuota quota;

const AwsService s3_service = {
	.name = "S3",
	.signing_name = "s3",
	.endpoint_option = AWS_OPTION_S3_ENDPOINT_URL,
	.is_s3 = true,
	.error_format = AWS_ERROR_XML,
	.meanings = meanings,
	.quota = &quota,
};

void
s3_answer_ignore(AwsError *error, const HttpResponse *response, void *context)
{
	(void) error;
	(void) response;
	(void) context;
}

bool
s3_answer_read(AwsError *error, const HttpResponse *response, XmlWanted *wanted, int count)
{
	if (!xml_read(response->body, response->body_length, wanted, count))
		aws_error_invalid_response(error, response, "is not XML");
	else if (!wanted[0].found)
		aws_error_invalid_response(error, response, psprintf("is no %s", wanted[0].path));
	return error->sqlstate == 0;
}

static const char *
find_header(const char *name, size_t *length, void *response)
{
	return http_response_header(response, name, length);
}

void
s3_verification_begin(S3Verification *verification, const HttpResponse *response)
{
	ChecksumAlgorithm algorithm;
	size_t length;
	const char *value =
		checksum_choose(find_header, unconstify(HttpResponse *, response), &algorithm, &length);

	if (value == NULL || length >= sizeof(verification->expected))
		return;
	memcpy(verification->expected, value, length);
	verification->expected[length] = '\0';
	checksum_begin(&verification->checksum, algorithm);
	verification->is_due = true;
}

char *
s3_verification_finish(S3Verification *verification)
{
	const char *name = checksum_name(verification->checksum.algorithm);
	const char *expected = verification->expected;
	char computed[CHECKSUM_TEXT_SIZE];

	if (!verification->is_due)
		return NULL;
	verification->is_due = false;
	if (!checksum_finish(&verification->checksum, computed))
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not compute a checksum"),
						errdetail_internal("%s", name)));
	if (strcmp(computed, expected) == 0)
		return NULL;
	return psprintf("what came of the object is not what S3 has: its %s is %s, not %s", name,
					computed, encoding_from_bytes(expected, strlen(expected), NULL));
}

void
s3_verification_drop(S3Verification *verification)
{
	verification->is_due = false;
	checksum_drop(&verification->checksum);
}
