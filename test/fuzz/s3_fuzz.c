/*
 * s3_fuzz.c
 *		What S3 answers: lists, objects, deletions, and where a bucket is. Parts: answers.
 */
#include "fuzz.h"

#include "mb/pg_wchar.h"
#include "s3/list.h"
#include "s3/object.h"
#include "settings.h"

static bool
take_object(const S3Listed *object, void *prefix)
{
	fuzz_require(strncmp(object->key, prefix, strlen(prefix)) == 0 && object->key[0] != '\0');
	fuzz_require(pg_encoding_verifymbstr(PG_UTF8, object->key, (int) strlen(object->key)) ==
				 (int) strlen(object->key));
	fuzz_require(object->size >= S3_UNKNOWN_SIZE);
	return true;
}

void
fuzz(FuzzInput input)
{
	static const char *const keys[] = {"a", "b/\r\n<&>", "c\001"};
	unsigned choice = fuzz_next_number(&input);
	const char *prefix = choice & 8 ? "a" : "";
	S3Uri uri = {"bucket", (char *) prefix};
	S3Content content;

	setting_options[AWS_OPTION_REGION] = "us-east-1";
	fuzz_answers(input);
	switch (choice % 8)
	{
		case 0:
		case 1:
			s3_list(&uri, take_object, (void *) prefix);
			break;
		case 2:
			s3_list_first(&uri, 1, take_object, (void *) prefix);
			break;
		case 3:
			s3_object_exists(&uri, NULL, NULL);
			break;
		case 4:
			s3_get_object(NULL, &uri, choice & 16 ? 10 : 0, &content);
			fuzz_require(content.bytes[content.length] == '\0');
			fuzz_require(!(choice & 16) || content.length <= 10);
			break;
		case 5:
			fuzz_require(s3_put_object(&uri, "abc", 3, "text/plain") != NULL);
			break;
		default:
			s3_delete_keys("bucket", keys, lengthof(keys));
			break;
	}
}
