/*
 * encoding.c
 *		Text between the wire and the database's encoding. See encoding.h.
 */
#include "aws/encoding.h"

#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#define REPLACEMENT_CHARACTER "\xEF\xBF\xBD"
#define PIECE_BYTES 8192
#define MAX_UTF8_BYTES 4 /* of a character */

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

/* The server's conversion from UTF-8; InvalidOid where there is none to be had, or none needed. */
static Oid
conversion_from_utf8(void)
{
	return encoding_takes_utf8() ? InvalidOid
								 : FindDefaultConversionProc(PG_UTF8, GetDatabaseEncoding());
}

/*
 * Appends valid UTF-8 in the database's encoding; how many characters that lacks. Each of them becomes
 * a '?', unless `stop_at_first`.
 */
static int64
append_converted(StringInfo out, Oid proc, const char *utf8, size_t length, bool stop_at_first)
{
	int64 lacking = 0;
	size_t limit = PIECE_BYTES;

	if (encoding_takes_utf8())
	{
		appendBinaryStringInfo(out, utf8, (int) length);
		return 0;
	}
	while (length > 0)
	{
		/* A bounded piece at a time, for the output may be several times as long. */
		char converted[PIECE_BYTES * MAX_CONVERSION_GROWTH + 1];
		int piece = pg_encoding_mbcliplen(PG_UTF8, utf8, (int) Min(length, limit), (int) limit);
		int done = 0;

		if (OidIsValid(proc))
			done = pg_do_encoding_conversion_buf(
				proc, PG_UTF8, GetDatabaseEncoding(), (unsigned char *) utf8, piece,
				(unsigned char *) converted, sizeof(converted), true);
		/* Where one character is lacking more may be: pieces begin small, lest all of one be looked at for each. */
		limit = done < piece ? MAX_UTF8_BYTES : Min(2 * limit, PIECE_BYTES);
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
	return append_converted(&out, conversion_from_utf8(), utf8, length, true) == 0 ? out.data
																				   : NULL;
}

/* Appends what begins in a piece, character by character; how many were replaced. */
static int64
append_doubtful(StringInfo out, Oid proc, const char **bytes, const char *piece_end,
				const char *end)
{
	const char *p = *bytes;
	int64 replaced = 0;

	while (p < piece_end)
	{
		const char *valid = p;
		int size = 0;

		while (p < piece_end && (size = pg_encoding_verifymbchar(PG_UTF8, p, (int) (end - p))) > 0)
			p += size;
		replaced += append_converted(out, proc, valid, (size_t) (p - valid), false);
		if (size > 0)
			continue;
		replaced++;
		appendStringInfoString(out, GetDatabaseEncoding() == PG_UTF8 ? REPLACEMENT_CHARACTER : "?");
		p++;
	}
	*bytes = p;
	return replaced;
}

char *
encoding_from_bytes(const char *bytes, size_t length, int64 *replaced)
{
	const char *start = bytes;
	const char *end = bytes + length;
	Oid proc = conversion_from_utf8();
	StringInfoData out;
	int64 count = 0;

	initStringInfo(&out);
	while (bytes < end)
	{
		int size = (int) Min(end - bytes, PIECE_BYTES);

		/* Messages are short, and nobody waits for them. */
		if (bytes > start)
			CHECK_FOR_INTERRUPTS();
		/* The server verifies many bytes at once, but looks at all of them before it says where the first wrong one is. */
		if (pg_encoding_verifymbstr(PG_UTF8, bytes, size) == size)
		{
			count += append_converted(&out, proc, bytes, (size_t) size, false);
			bytes += size;
		}
		else
			count += append_doubtful(&out, proc, &bytes, bytes + size, end);
	}
	if (replaced != NULL)
		*replaced = count;
	return out.data;
}
