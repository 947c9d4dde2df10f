/*
 * copy_option.c
 *		The arguments `format` and `options` of copy_from_s3 and copy_to_s3. See copy_option.h.
 */
#include "s3/copy_option.h"

#include "commands/copy.h"
#include "common/string.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/numeric.h"

/* In the order of CopyOptionFormat. */
static const char *const format_names[] = {"csv", "text", "binary", "json"};

/*
 * How Spark's csv is read: Spark writes no header unless it is told to, and a first row that is taken for one would be lost without a
 * word.
 */
#define SPARK_HEADER (COPY_HEADER_CAN_MATCH ? "match" : "true")

/* What COPY is told of how columns look; in JSON they look as JSON says. */
static const char *const column_options[] = {
	"delimiter", "null",        "default",    "header",         "quote",
	"escape",    "force_quote", "force_null", "force_not_null", "encoding"};

/* What goes on while the options are read. */
typedef struct Reading
{
	const CopyOption *own;
	int own_count;
	CopyOptions *result;
	bool is_spark;
	bool has_header;
	bool has_escape;
	bool has_encoding;
} Reading;

static CopyOptionFormat
read_format(const char *name)
{
	for (int i = 0; name != NULL && i < (int) lengthof(format_names); i++)
	{
		if (strcmp(name, format_names[i]) == 0)
			return (CopyOptionFormat) i;
	}
	if (name == NULL)
		return COPY_OPTION_CSV;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("there is no format \"%s\"", name),
			 errhint("The formats are csv, text, binary and json. Others, as Parquet, only Spark "
					 "reads and writes.")));
}

pg_noreturn static void
raise_type(const char *name, const char *wanted)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("option \"%s\" must be %s", name, wanted)));
}

pg_noreturn static void
raise_format(const char *name, CopyOptionFormat format)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("option \"%s\" cannot be used with the format %s", name,
						   format_names[format])));
}

static char *
string_value(const JsonbValue *value)
{
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static const char *
text_value(const char *name, const JsonbValue *value)
{
	if (value->type != jbvString)
		raise_type(name, "a string");
	return string_value(value);
}

static char *
number_value(const JsonbValue *value)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
}

static int64
bytes_value(const char *name, const JsonbValue *value)
{
	const char *text = value->type == jbvNumeric ? number_value(value) : text_value(name, value);
	int64 bytes =
		DatumGetInt64(DirectFunctionCall1(pg_size_bytes, PointerGetDatum(cstring_to_text(text))));

	if (bytes < 1)
		raise_type(name, "at least one byte");
	return bytes;
}

static void
read_own(const CopyOption *option, const JsonbValue *value, CopyOptionFormat format)
{
	if ((option->formats & COPY_OPTION_FORMAT(format)) == 0)
		raise_format(option->name, format);
	switch (option->kind)
	{
		case COPY_VALUE_BOOL:
			if (value->type != jbvBool)
				raise_type(option->name, "true or false");
			*(bool *) option->value = value->val.boolean;
			break;
		case COPY_VALUE_TEXT:
			*(const char **) option->value = text_value(option->name, value);
			break;
		case COPY_VALUE_BYTES:
			*(int64 *) option->value = bytes_value(option->name, value);
			break;
	}
}

/* Names of columns, as COPY's grammar has them: a list of strings. */
static Node *
names_node(const char *name, const JsonbValue *value)
{
	List *names = NIL;
	JsonbIterator *iterator = JsonbIteratorInit(value->val.binary.data);
	JsonbIteratorToken step;
	JsonbValue element;

	while ((step = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (step == WJB_BEGIN_OBJECT || (step == WJB_ELEM && element.type != jbvString))
			raise_type(name, "an array of names of columns");
		if (step == WJB_ELEM)
			names = lappend(names, makeString(string_value(&element)));
	}
	return (Node *) names;
}

/* A value as COPY's grammar has it. */
static Node *
option_node(const char *name, const JsonbValue *value)
{
	bool takes_names = strncmp(name, "force_", strlen("force_")) == 0;

	switch (value->type)
	{
		case jbvBool:
			return (Node *) makeString(value->val.boolean ? "true" : "false");
		case jbvNumeric:
		{
			char *text = number_value(value);
			char *end;
			int number;

			errno = 0;
			number = strtoint(text, &end, 10);
			return errno == 0 && *end == '\0' ? (Node *) makeInteger(number)
											  : (Node *) makeFloat(text);
		}
		case jbvString:
			if (takes_names && value->val.string.len == 1 && value->val.string.val[0] == '*')
				return (Node *) makeNode(A_Star);
			return (Node *) makeString(string_value(value));
		default: /* jbvBinary: an array or an object */
			if (!takes_names)
				raise_type(name, "a string, a number, true or false");
			return names_node(name, value);
	}
}

static void
add_copy_option(CopyOptions *options, const char *name, Node *value)
{
	options->copy = lappend(options->copy, makeDefElem(pstrdup(name), value, -1));
}

static void
read_option(const char *name, const JsonbValue *value, Reading *reading)
{
	CopyOptionFormat format = reading->result->format;

	if (value->type == jbvNull)
		return;
	for (int i = 0; i < reading->own_count; i++)
	{
		if (strcmp(name, reading->own[i].name) == 0)
		{
			read_own(&reading->own[i], value, format);
			return;
		}
	}
	if (strcmp(name, "format") == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the format is no option, but an argument of its own"),
						errhint("As in format => 'text'.")));
	if (strcmp(name, "dialect") == 0)
	{
		if (format != COPY_OPTION_CSV)
			raise_format(name, format);
		if (strcmp(text_value(name, value), "spark") != 0)
			raise_type(name, "\"spark\"");
		reading->is_spark = true;
		return;
	}
	for (int i = 0; format == COPY_OPTION_JSON && i < (int) lengthof(column_options); i++)
	{
		if (strcmp(name, column_options[i]) == 0)
			raise_format(name, format);
	}
	if (strcmp(name, "encoding") == 0)
	{
		reading->has_encoding = true;
		reading->result->encoding = pg_char_to_encoding(text_value(name, value));
	}
	reading->has_header |= strcmp(name, "header") == 0;
	reading->has_escape |= strcmp(name, "escape") == 0;
	add_copy_option(reading->result, name, option_node(name, value));
}

static void
read_options(Jsonb *options, Reading *reading)
{
	JsonbIterator *iterator;
	JsonbIteratorToken step;
	JsonbValue value;

	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"options\" must be a JSON object"),
						errhint("As in '{\"header\": true}'.")));
	iterator = JsonbIteratorInit(&options->root);
	while ((step = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char *name;

		if (step != WJB_KEY)
			continue;
		name = string_value(&value);
		JsonbIteratorNext(&iterator, &value, true);
		read_option(name, &value, reading);
	}
}

void
copy_option_read(const char *format, Jsonb *options, bool is_from, const CopyOption *own,
				 int own_count, CopyOptions *result)
{
	Reading reading = {.own = own, .own_count = own_count, .result = result};
	const char *copy_format;

	*result = (CopyOptions){.format = read_format(format), .is_from = is_from, .encoding = PG_UTF8};
	copy_format =
		format_names[result->format == COPY_OPTION_JSON ? COPY_OPTION_TEXT : result->format];
	add_copy_option(result, "format", (Node *) makeString(pstrdup(copy_format)));
	if (options != NULL)
		read_options(options, &reading);
	if (reading.is_spark && !reading.has_header)
		add_copy_option(result, "header", (Node *) makeString(is_from ? SPARK_HEADER : "true"));
	if (reading.is_spark && !reading.has_escape)
		add_copy_option(result, "escape", (Node *) makeString("\\"));
	if (!reading.has_encoding)
		add_copy_option(result, "encoding",
						(Node *) makeString(pstrdup(pg_encoding_to_char(result->encoding))));
	/* COPY would say it, too, but only where there is something to copy. */
	ProcessCopyOptions(NULL, NULL, is_from, result->copy);
}

static void
set_meanwhile(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

int
copy_option_enter_settings(const CopyOptions *options)
{
	int level = NewGUCNestLevel();

	if (options->format == COPY_OPTION_BINARY && pg_get_client_encoding() != options->encoding)
		set_meanwhile("client_encoding", pg_encoding_to_char(options->encoding));
	/* Binary values within arrays and rows are written in this form, which no base64 looks like. What is read may have either. */
	if (options->format == COPY_OPTION_JSON && !options->is_from)
		set_meanwhile("bytea_output", "hex");
	/* A null among an array's elements is one. */
	if (options->format == COPY_OPTION_JSON && options->is_from)
		set_meanwhile("array_nulls", "on");
	return level;
}

void
copy_option_check_settings(const CopyOptions *options)
{
	const char *changed = NULL;

	if (options->format == COPY_OPTION_BINARY && pg_get_client_encoding() != options->encoding)
		changed = "client_encoding";
	else if (options->format == COPY_OPTION_JSON && !options->is_from &&
			 bytea_output != BYTEA_OUTPUT_HEX)
		changed = "bytea_output";
	else if (options->format == COPY_OPTION_JSON && options->is_from && !Array_nulls)
		changed = "array_nulls";
	if (changed != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("\"%s\" was changed while rows were copied", changed),
						errdetail("The format %s depends on it.", format_names[options->format])));
}

void
copy_option_leave_settings(int level)
{
	AtEOXact_GUC(true, level);
}
