/*
 * marshal.c
 *		Between SQL values and JSON, by the table of operations. See marshal.h.
 */
#include "athena/marshal.h"

#include "aws/client.h"
#include "aws/encoding.h"
#include "aws/timestamp.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#define MICROSECONDS_1970_TO_2000 \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * USECS_PER_SEC)

void
marshal_check_arguments(const AthenaOperation *operation, const NullableDatum *arguments)
{
	for (int i = 0; i < operation->argument_count; i++)
	{
		const AthenaArgument *argument = &operation->arguments[i];

		if (arguments[i].isnull && argument->required)
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("argument \"%s\" must not be NULL", argument->name)));
		if (!arguments[i].isnull && argument->kind == ATHENA_MAX_RESULTS &&
			DatumGetInt32(arguments[i].value) < 1)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("argument \"%s\" must be at least 1", argument->name),
							errhint("Leave it out, or NULL, for all rows.")));
	}
}

static void
append_tags(StringInfo json, Jsonb *tags)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	bool first = true;

	if (!JB_ROOT_IS_OBJECT(tags))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("tags must be an object of strings"),
						errhint("As in '{\"team\": \"etl\"}'.")));
	appendStringInfoChar(json, '[');
	iterator = JsonbIteratorInit(&tags->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token != WJB_KEY && token != WJB_VALUE)
			continue;
		if (value.type != jbvString)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("tags must be an object of strings"),
							errhint("As in '{\"team\": \"etl\"}'.")));
		if (token == WJB_KEY)
		{
			appendStringInfoString(json, first ? "{\"Key\":" : ",{\"Key\":");
			first = false;
		}
		else
			appendStringInfoString(json, ",\"Value\":");
		escape_json(json, pnstrdup(value.val.string.val, value.val.string.len));
		if (token == WJB_VALUE)
			appendStringInfoChar(json, '}');
	}
	appendStringInfoChar(json, ']');
}

static void
append_argument(StringInfo json, const AthenaArgument *argument, NullableDatum value,
				const char *work_group)
{
	char uuid[AWS_UUID_SIZE];

	switch (argument->kind)
	{
		case ATHENA_TOKEN:
			if (value.isnull)
			{
				aws_generate_uuid(uuid);
				escape_json(json, uuid);
				break;
			}
			escape_json(json, TextDatumGetCString(value.value));
			break;
		case ATHENA_WORK_GROUP:
			if (value.isnull && work_group[0] == '\0')
				ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
								errmsg("no work group: neither the argument \"%s\" nor "
									   "\"athena_calc.work_group\" is set",
									   argument->name),
								errhint("SET athena_calc.work_group, or name the work group in the "
										"call.")));
			escape_json(json, value.isnull ? work_group : TextDatumGetCString(value.value));
			break;
		case ATHENA_INT:
			appendStringInfo(json, "%d", DatumGetInt32(value.value));
			break;
		case ATHENA_BOOLEAN:
			appendStringInfoString(json, DatumGetBool(value.value) ? "true" : "false");
			break;
		case ATHENA_JSONB:
		{
			Jsonb *jsonb = DatumGetJsonbP(value.value);

			JsonbToCString(json, &jsonb->root, VARSIZE(jsonb));
			break;
		}
		case ATHENA_TAGS:
			append_tags(json, DatumGetJsonbP(value.value));
			break;
		default:
			escape_json(json, TextDatumGetCString(value.value));
			break;
	}
}

/* Whether an argument is not sent: NULL without a default, or JSON's null. */
static bool
is_missing(const AthenaArgument *argument, const NullableDatum *value)
{
	JsonbValue scalar;

	switch (argument->kind)
	{
		case ATHENA_TOKEN:
		case ATHENA_WORK_GROUP:
			return false;
		case ATHENA_JSONB:
		case ATHENA_TAGS:
			return value->isnull ||
				   (JsonbExtractScalar(&DatumGetJsonbP(value->value)->root, &scalar) &&
					scalar.type == jbvNull);
		default:
			return value->isnull;
	}
}

/* The beginning of an object's next member. */
static void
append_name(StringInfo json, bool first, const char *name, size_t length)
{
	appendStringInfoString(json, first ? "\"" : ",\"");
	appendBinaryStringInfo(json, name, (int) length);
	appendStringInfoString(json, "\":");
}

char *
marshal_request(const AthenaOperation *operation, const NullableDatum *arguments,
				const char *work_group, int page_size, JsonValue next_token)
{
	StringInfoData json;
	StringInfoData request;
	const char *open = NULL; /* the member whose object is open */
	size_t open_length = 0;
	bool first = true; /* whether the innermost object is empty so far */

	/* Members of one structure stand beside each other in the table. */
	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; i < operation->argument_count; i++)
	{
		const AthenaArgument *argument = &operation->arguments[i];
		const char *name = argument->member;
		const char *dot;

		if (name == NULL)
			continue;
		dot = strchr(name, '.');
		if (open != NULL && (dot == NULL || (size_t) (dot - name) != open_length ||
							 memcmp(name, open, open_length) != 0))
		{
			appendStringInfoChar(&json, '}');
			open = NULL;
			first = false;
		}
		if (dot != NULL)
		{
			/* The structure is there even if nothing in it is: StartSession requires it. */
			if (open == NULL)
			{
				open = name;
				open_length = (size_t) (dot - name);
				append_name(&json, first, open, open_length);
				appendStringInfoChar(&json, '{');
				first = true;
			}
			name = dot + 1;
		}
		if (is_missing(argument, &arguments[i]))
			continue;
		append_name(&json, first, name, strlen(name));
		append_argument(&json, argument, arguments[i], work_group);
		first = false;
	}
	if (open != NULL)
	{
		appendStringInfoChar(&json, '}');
		first = false;
	}
	if (page_size > 0)
	{
		append_name(&json, first, "MaxResults", strlen("MaxResults"));
		appendStringInfo(&json, "%d", page_size);
		first = false;
	}

	/* The token is bytes of the answer, not text of the database: it joins behind the conversion. */
	initStringInfo(&request);
	appendStringInfoString(&request, encoding_to_utf8(json.data, json.len));
	if (next_token.length > 0)
	{
		append_name(&request, first, "NextToken", strlen("NextToken"));
		appendBinaryStringInfo(&request, next_token.start, (int) next_token.length);
	}
	appendStringInfoChar(&request, '}');
	return request.data;
}

/* Names the member that a problem is with. Always false, for callers to return. */
static bool
set_problem(MarshalProblem *problem, const char *member, const char *what)
{
	problem->sqlstate = ERRCODE_PROTOCOL_VIOLATION;
	problem->text = psprintf("has a %s %s", member, what);
	return false;
}

static bool
set_lacking(MarshalProblem *problem, const char *member)
{
	set_problem(problem, member,
				psprintf("with a character that the encoding %s lacks", GetDatabaseEncodingName()));
	problem->sqlstate = ERRCODE_UNTRANSLATABLE_CHARACTER;
	return false;
}

/* Whether a reading went well; else what is wrong with its member. */
static bool
is_read(JsonReading reading, const char *member, MarshalProblem *problem)
{
	switch (reading)
	{
		case JSON_READ:
			return true;
		case JSON_WRONG_TYPE:
			return set_problem(problem, member, "of another type than the protocol says");
		case JSON_HAS_NUL:
			return set_problem(problem, member, "with a NUL character");
		case JSON_HAS_SURROGATE:
			return set_problem(problem, member, "with half a surrogate pair");
		case JSON_OUT_OF_RANGE:
			return set_problem(problem, member, "that is out of range");
	}
	return false;
}

/* Text as its column has it. *null is set where that is how it deals with what the database's encoding lacks. */
static bool
read_text(JsonValue value, const AthenaColumn *column, Datum *datum, bool *null,
		  MarshalProblem *problem)
{
	text *utf8 = palloc(VARHDRSZ + value.length);
	char *converted;
	size_t length;

	if (!is_read(json_read_string(value, VARDATA(utf8), &length), column->member, problem))
		return false;
	SET_VARSIZE(utf8, VARHDRSZ + length);
	*datum = PointerGetDatum(utf8);
	if (encoding_takes_utf8())
		return true;

	if (column->kind == ATHENA_WORDS)
		converted = encoding_from_bytes(VARDATA(utf8), length, NULL);
	else
		converted = encoding_from_utf8(VARDATA(utf8), length);
	if (converted == NULL)
	{
		*null = true;
		return column->kind == ATHENA_FITTING || set_lacking(problem, column->member);
	}
	*datum = CStringGetTextDatum(converted);
	pfree(converted);
	pfree(utf8);
	return true;
}

static JsonReading
read_int(JsonValue value, int32 *number)
{
	int64 wide;
	JsonReading reading = json_read_scaled(value, 0, false, &wide);

	if (reading != JSON_READ)
		return reading;
	if (wide < PG_INT32_MIN || wide > PG_INT32_MAX)
		return JSON_OUT_OF_RANGE;
	*number = (int32) wide;
	return JSON_READ;
}

/*
 * A time is a number of seconds (or milliseconds); a date-time in text is accepted, as other readers
 * of AWS's answers do.
 */
static JsonReading
read_time(JsonValue value, int scale, Datum *datum)
{
	int64 microseconds;
	TimestampTz timestamp;

	if (json_type(value) == JSON_STRING)
	{
		if (!timestamp_parse(value.start + 1, value.length - 2, &microseconds))
			return JSON_WRONG_TYPE;
	}
	else
	{
		JsonReading reading = json_read_scaled(value, scale, true, &microseconds);

		if (reading != JSON_READ)
			return reading;
	}
	if (pg_sub_s64_overflow(microseconds, MICROSECONDS_1970_TO_2000, &timestamp) ||
		!IS_VALID_TIMESTAMP(timestamp))
		return JSON_OUT_OF_RANGE;
	*datum = TimestampTzGetDatum(timestamp);
	return JSON_READ;
}

static JsonReading
read_int_array(JsonValue value, Datum *datum)
{
	JsonCursor cursor = json_cursor(value);
	JsonValue element;
	ArrayBuildState *array;

	if (json_type(value) != JSON_ARRAY)
		return JSON_WRONG_TYPE;
	array = initArrayResult(INT4OID, CurrentMemoryContext, false);
	while (json_next_element(&cursor, &element))
	{
		int32 number = 0;
		bool null = json_type(element) == JSON_NULL;
		JsonReading reading = null ? JSON_READ : read_int(element, &number);

		if (reading != JSON_READ)
			return reading;
		array = accumArrayResult(array, Int32GetDatum(number), null, INT4OID, CurrentMemoryContext);
	}
	*datum = makeArrayResult(array, CurrentMemoryContext);
	return JSON_READ;
}

bool
marshal_jsonb(JsonValue value, const char *member, Datum *datum, MarshalProblem *problem)
{
	char *text;

	if (!is_read(json_check_contents(value), member, problem))
		return false;
	if (GetDatabaseEncoding() != PG_UTF8)
	{
		/* jsonb_in() converts escapes by itself, and where it cannot it fails without a name. */
		char *unescaped = palloc(value.length);

		value.length = json_read_escapes(value, unescaped);
		value.start = unescaped;
	}
	text = encoding_from_utf8(value.start, value.length);
	if (text == NULL)
		return set_lacking(problem, member);
	*datum = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
	return true;
}

static bool
read_column(const AthenaColumn *column, JsonValue value, Datum *datum, bool *null,
			MarshalProblem *problem)
{
	JsonReading reading;
	int32 number = 0;
	int64 wide = 0;

	switch (column->kind)
	{
		case ATHENA_INT:
			reading = read_int(value, &number);
			*datum = Int32GetDatum(number);
			break;
		case ATHENA_BIGINT:
			reading = json_read_scaled(value, 0, false, &wide);
			*datum = Int64GetDatum(wide);
			break;
		case ATHENA_SECONDS:
			reading = read_time(value, 6, datum);
			break;
		case ATHENA_MILLIS:
			reading = read_time(value, 3, datum);
			break;
		case ATHENA_INT_ARRAY:
			reading = read_int_array(value, datum);
			break;
		case ATHENA_JSONB:
			if (json_type(value) == JSON_OBJECT || json_type(value) == JSON_ARRAY)
				return marshal_jsonb(value, column->member, datum, problem);
			reading = JSON_WRONG_TYPE;
			break;
		default:
			return read_text(value, column, datum, null, problem);
	}
	return is_read(reading, column->member, problem);
}

/* The length of the first part of a path, where a key is that part; else 0. */
static size_t
matching_part(JsonValue key, const char *path)
{
	size_t length;

	/* Most keys are told apart by their first letter. */
	if (path[0] != key.start[1] && key.start[1] != '\\')
		return 0;
	length = strcspn(path, ".");
	return json_key_is(key, path, length) ? length : 0;
}

/*
 * The column that a key leads to, or the first of those below it, with the length of what the key is of its path; -1 where there is
 * none. It is looked for from `start` on and around: most members come in the order of the columns.
 */
static int
find_column(JsonValue key, const AthenaColumn *columns, int count, size_t offset, int start,
			size_t *length)
{
	for (int n = 0; n < count; n++)
	{
		int i = start + n < count ? start + n : start + n - count;

		*length = matching_part(key, columns[i].member + offset);
		if (*length > 0 && columns[i].kind != ATHENA_FROM_REQUEST)
			return i;
	}
	return -1;
}

/*
 * Reads the members of one object into the columns whose paths lead there: `count` columns from
 * `columns` on, whose paths share their first `offset` bytes.
 */
static bool
read_members(JsonValue object, const AthenaColumn *columns, int count, size_t offset, Datum *values,
			 bool *nulls, MarshalProblem *problem)
{
	JsonCursor cursor = json_cursor(object);
	JsonValue key;
	JsonValue value;
	int next = 0; /* where the next member's column may be */

	while (json_next_member(&cursor, &key, &value))
	{
		size_t length;
		int i = find_column(key, columns, count, offset, next, &length);
		bool is_column;
		int below = 1;

		if (i < 0)
			continue;
		length += offset;
		/* All columns below this member stand beside each other. */
		is_column = columns[i].member[length] == '\0';
		while (!is_column && i + below < count &&
			   strncmp(columns[i + below].member, columns[i].member, length + 1) == 0)
			below++;
		next = i + below;
		if (json_type(value) == JSON_NULL)
			continue;
		if (is_column)
		{
			nulls[i] = false;
			if (!read_column(&columns[i], value, &values[i], &nulls[i], problem))
				return false;
			continue;
		}
		if (json_type(value) != JSON_OBJECT)
			return is_read(JSON_WRONG_TYPE, pnstrdup(columns[i].member, length), problem);
		if (!read_members(value, &columns[i], below, length + 1, &values[i], &nulls[i], problem))
			return false;
	}
	return true;
}

bool
marshal_row(const AthenaOperation *operation, const NullableDatum *arguments, JsonValue object,
			Datum *values, bool *nulls, MarshalProblem *problem)
{
	problem->sqlstate = 0;
	for (int i = 0; i < operation->column_count; i++)
	{
		bool from_request = operation->columns[i].kind == ATHENA_FROM_REQUEST;

		values[i] = from_request ? arguments[0].value : (Datum) 0;
		nulls[i] = from_request ? arguments[0].isnull : true;
	}
	if (json_type(object) != JSON_OBJECT)
	{
		problem->sqlstate = ERRCODE_PROTOCOL_VIOLATION;
		problem->text = "has something else where an object is due";
		return false;
	}
	if (!read_members(object, operation->columns, operation->column_count, 0, values, nulls,
					  problem))
		return false;
	for (int i = 0; i < operation->column_count; i++)
	{
		if (operation->columns[i].required && nulls[i])
		{
			problem->sqlstate = ERRCODE_PROTOCOL_VIOLATION;
			problem->text = psprintf("has no %s", operation->columns[i].member);
			return false;
		}
	}
	return true;
}
