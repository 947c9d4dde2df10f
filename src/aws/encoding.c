/*
 * encoding.c
 *		Text between the wire and the database's encoding. See encoding.h.
 */
#include "aws/encoding.h"

#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#define REPLACEMENT_CHARACTER "\xEF\xBF\xBD"
#define PIECE_BYTES 8192

bool
encoding_takes_utf8(void)
{
	return GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII;
}

char *
encoding_to_utf8(const char *text, size_t length)
{
	char *utf8 = pg_server_to_any(text, (int) length, PG_UTF8);

	/* SQL_ASCII promises nothing, and nothing was converted. */
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		pg_verify_mbstr(PG_UTF8, text, (int) length, false);
	return utf8 == text ? pnstrdup(text, length) : utf8;
}

/* How many of the bytes are valid UTF-8 without a NUL. */
static size_t
valid_prefix(const char *bytes, size_t length)
{
	const char *nul = memchr(bytes, '\0', length);
	size_t candidates = nul != NULL ? (size_t) (nul - bytes) : length;

	return (size_t) pg_encoding_verifymbstr(PG_UTF8, bytes, (int) candidates);
}

/*
 * Appends valid UTF-8 in the database's encoding; how many characters that lacks. Each of them becomes
 * a '?', unless `stop_at_first`.
 */
static int64
append_converted(StringInfo out, const char *utf8, size_t length, bool stop_at_first)
{
	Oid proc;
	int64 lacking = 0;

	if (encoding_takes_utf8())
	{
		appendBinaryStringInfo(out, utf8, (int) length);
		return 0;
	}
	proc = FindDefaultConversionProc(PG_UTF8, GetDatabaseEncoding());
	while (length > 0)
	{
		/* A bounded piece at a time, for the output may be several times as long. */
		char converted[PIECE_BYTES * MAX_CONVERSION_GROWTH + 1];
		int piece =
			pg_encoding_mbcliplen(PG_UTF8, utf8, (int) Min(length, PIECE_BYTES), PIECE_BYTES);
		int done = 0;

		if (OidIsValid(proc))
			done = pg_do_encoding_conversion_buf(
				proc, PG_UTF8, GetDatabaseEncoding(), (unsigned char *) utf8, piece,
				(unsigned char *) converted, sizeof(converted), true);
		if (done > 0)
			appendStringInfoString(out, converted);
		else
		{
			lacking++;
			if (stop_at_first)
				break;
			appendStringInfoChar(out, '?');
			done = pg_encoding_mblen(PG_UTF8, utf8);
		}
		utf8 += done;
		length -= (size_t) done;
	}
	return lacking;
}

char *
encoding_from_utf8(const char *utf8, size_t length)
{
	StringInfoData out;

	initStringInfo(&out);
	return append_converted(&out, utf8, length, true) == 0 ? out.data : NULL;
}

char *
encoding_from_bytes(const char *bytes, size_t length, int64 *replaced)
{
	StringInfoData out;
	int64 count = 0;

	initStringInfo(&out);
	while (length > 0)
	{
		size_t valid = valid_prefix(bytes, length);

		if (valid == 0)
		{
			count++;
			if (GetDatabaseEncoding() == PG_UTF8)
				appendStringInfoString(&out, REPLACEMENT_CHARACTER);
			else
				appendStringInfoChar(&out, '?');
			valid = 1;
		}
		else
			count += append_converted(&out, bytes, valid, false);
		bytes += valid;
		length -= valid;
	}
	if (replaced != NULL)
		*replaced = count;
	return out.data;
}
