/*
 * answer.c
 *		XML that S3 answers with. See answer.h.
 */
#include "s3/answer.h"

/* https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
static const AwsErrorMeaning meanings[] = {
	{"NoSuchKey", NULL, ERRCODE_UNDEFINED_OBJECT, NULL},
	{"NoSuchBucket", NULL, ERRCODE_UNDEFINED_OBJECT, NULL},
	/* Its status is 500, but not within an answer of 200. */
	{"InternalError", NULL, ERRCODE_SYSTEM_ERROR, NULL},
	{NULL, NULL, 0, NULL},
};

const AwsService s3_service = {
	.name = "S3",
	.signing_name = "s3",
	.endpoint_option = AWS_OPTION_S3_ENDPOINT_URL,
	.is_s3 = true,
	.error_format = AWS_ERROR_XML,
	.meanings = meanings,
};

bool
s3_answer_read(AwsError *error, const HttpResponse *response, XmlWanted *wanted, int count)
{
	if (!xml_read(response->body, response->body_length, wanted, count))
		aws_error_invalid_response(error, response, "is not XML");
	else if (!wanted[0].found)
	{
		aws_error_read(error, &s3_service, response);
		if (!error->from_service)
			aws_error_invalid_response(error, response, psprintf("is no %s", wanted[0].path));
	}
	return error->sqlstate == 0;
}
