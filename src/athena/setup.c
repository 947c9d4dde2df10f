/*
 * setup.c
 *		check_setup: what is right and what is wrong with a set-up, one row each.
 *
 * It is for whoever wonders why nothing works, so nothing that it checks is an error: each check runs by itself,
 * and what it throws is its row. What could not be checked is NULL, with why.
 */
#include "athena/execute.h"
#include "athena/function.h"
#include "aws/catch.h"
#include "aws/credentials.h"
#include "aws/encoding.h"
#include "lib/stringinfo.h"
#include "settings.h"
#include "version.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"

/* From here on AWS refuses signatures. */
#define MAX_CLOCK_OFFSET_SECONDS (5 * 60)

/* The one engine that has calculations, by how its name begins. */
#define ENGINE "PySpark engine version"

/* Another one, of which there are sessions, but for other clients. */
#define ENGINE_WITHOUT_CALCULATIONS "Apache Spark version"

typedef enum Verdict
{
	WRONG,
	RIGHT,
	UNKNOWN
} Verdict;

/* What the checks find out for one another. */
typedef struct Setup
{
	SqlRows sink;
	const char *work_group; /* NULL for none */
	AwsConfig config;
	bool configured;
	bool has_region;
	bool has_credentials;
	AwsEndpoint endpoint;

	/* Of the request to Athena. */
	AwsCall call;
	bool answered; /* somebody answered, whatever it was */
	bool has_offset;
	int64 offset;
	bool has_work_group;
	char *state;
	char *engine;
	char *role;
	char *location;

	/* What a check has to say. */
	Verdict verdict;
	const char *detail;
} Setup;

static void
say(Setup *setup, Verdict verdict, const char *detail)
{
	setup->verdict = verdict;
	setup->detail = detail;
}

/* A message, and what to do, as one text. */
static const char *
with_hint(const char *message, const char *hint)
{
	size_t length = strlen(message);

	if (length > 0 && message[length - 1] == '.')
		length--;
	return hint != NULL ? psprintf("%.*s. %s", (int) length, message, hint) : message;
}

/* An error as one line. */
static const char *
error_text(const ErrorData *error)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, error->message);
	if (error->detail != NULL)
	{
		appendStringInfoString(&text, " (");
		for (const char *p = error->detail; *p != '\0'; p++)
		{
			if (*p == '\n')
				appendStringInfoString(&text, "; ");
			else if (*p != '.' || p[1] != '\0')
				appendStringInfoChar(&text, *p);
		}
		appendStringInfoChar(&text, ')');
	}
	return with_hint(text.data, error->hint);
}

/* Runs a check and adds its row. */
static void
check(Setup *setup, const char *name, void (*function)(void *))
{
	Datum values[3];
	bool nulls[3] = {false};
	ErrorData *error;

	say(setup, UNKNOWN, NULL);
	if (!catch_error(function, setup, &error))
		say(setup, WRONG, error_text(error));
	values[0] = CStringGetTextDatum(name);
	values[1] = BoolGetDatum(setup->verdict == RIGHT);
	nulls[1] = setup->verdict == UNKNOWN;
	nulls[2] = setup->detail == NULL;
	values[2] = nulls[2] ? (Datum) 0 : CStringGetTextDatum(setup->detail);
	sql_put_row(values, nulls, &setup->sink);
}

static void
check_library(void *argument)
{
	say(argument, RIGHT, psprintf("athena_calc %s, %s", ATHENA_CALC_VERSION, http_libraries()));
}

static void
check_secrets(void)
{
	for (int i = 0; i < AWS_OPTION_COUNT; i++)
	{
		if (aws_options[i].flags & AWS_OPTION_SECRET)
			settings_check_secret((AwsOption) i);
	}
}

static void
check_preload(void *argument)
{
	check_secrets();
	say(argument, RIGHT,
		settings_are_preloaded()
			? "the library is in shared_preload_libraries"
			: "the library is not in shared_preload_libraries, which secrets in the "
			  "configuration file and athena_calc.activity need");
}

static void
check_configuration(void *argument)
{
	Setup *setup = argument;
	const AwsServer *server = &setup->config.server;

	aws_config_get(&setup->config);
	setup->configured = true;
	if (setup->work_group == NULL && aws_config_has(&setup->config, AWS_OPTION_WORK_GROUP))
		setup->work_group = setup->config.values[AWS_OPTION_WORK_GROUP];
	say(setup, RIGHT,
		!OidIsValid(server->oid)
			? "settings and the server's environment; no server is chosen"
			: psprintf("server \"%s\" of athena_calc.server, with %s", server->name,
					   server->has_mapping ? "a user mapping" : "no user mapping"));
}

static void
check_credentials(void *argument)
{
	Setup *setup = argument;
	Credentials credentials;
	size_t length;

	if (!setup->configured)
	{
		say(setup, UNKNOWN, "not checked: the configuration is wrong");
		return;
	}
	credentials_get(&setup->config, &credentials);
	setup->has_credentials = true;
	length = strlen(credentials.keys.access_key_id);
	say(setup, RIGHT,
		psprintf("%s; access key ...%s; %s", credentials.source,
				 credentials.keys.access_key_id + (length > 4 ? length - 4 : 0),
				 credentials.expiration == 0
					 ? "it does not expire"
					 : psprintf("until %s", timestamptz_to_str(time_t_to_timestamptz(
												(pg_time_t) credentials.expiration)))));
}

static void
check_region(void *argument)
{
	Setup *setup = argument;
	const char *origin;
	const char *region;

	if (!setup->configured)
	{
		say(setup, UNKNOWN, "not checked: the configuration is wrong");
		return;
	}
	region = aws_resolve_region(&setup->config, &origin);
	setup->has_region = true;
	say(setup, RIGHT, psprintf("%s, from %s", region, origin));
}

static void
check_endpoint(void *argument)
{
	Setup *setup = argument;

	if (!setup->has_region)
	{
		say(setup, UNKNOWN, "not checked: there is no region");
		return;
	}
	athena_resolve_endpoint(&setup->config, &setup->endpoint);
	say(setup, RIGHT,
		psprintf("%s://%s%s", setup->endpoint.tls ? "https" : "http", setup->endpoint.host,
				 setup->endpoint.path));
}

/* A string within the work group's configuration; NULL where there is none. */
static char *
string_member(JsonValue object, const char *name)
{
	JsonValue value = json_member(object, name);
	char *text;
	size_t length;

	if (json_type(value) != JSON_STRING)
		return NULL;
	text = palloc(value.length);
	if (json_read_string(value, text, &length) != JSON_READ || length == 0)
		return NULL;
	return encoding_from_bytes(text, length, NULL);
}

static void
take_answer(AwsCall *call, const HttpResponse *response, void *argument)
{
	Setup *setup = argument;
	JsonValue configuration;
	JsonValue engine;
	JsonValue group;

	setup->answered = response->status != 0;
	setup->has_offset = aws_read_clock(response, &setup->offset);
	if (call->error.sqlstate != 0 || !athena_read_document(call, response, &group))
		return;
	group = json_member(group, "WorkGroup");
	configuration = json_member(group, "Configuration");
	engine = json_member(configuration, "EngineVersion");
	setup->has_work_group = json_type(group) == JSON_OBJECT;
	setup->state = string_member(group, "State");
	setup->engine = string_member(engine, "EffectiveEngineVersion");
	if (setup->engine == NULL)
		setup->engine = string_member(engine, "SelectedEngineVersion");
	setup->role = string_member(configuration, "ExecutionRole");
	setup->location =
		string_member(json_member(configuration, "ResultConfiguration"), "OutputLocation");
}

/* The one request: for the work group, or where there is none for what needs none. */
static void
check_connection(void *argument)
{
	Setup *setup = argument;
	const AwsError *error = &setup->call.error;
	StringInfoData request;

	if (!setup->has_credentials || setup->endpoint.host[0] == '\0')
	{
		say(setup, UNKNOWN, "not checked: credentials or the endpoint are missing");
		return;
	}
	initStringInfo(&request);
	if (setup->work_group != NULL)
	{
		appendStringInfoString(&request, "{\"WorkGroup\":");
		escape_json(&request, setup->work_group);
		appendStringInfoChar(&request, '}');
	}
	else
		appendStringInfoString(&request, "{}");
	athena_call(&setup->config, setup->work_group != NULL ? "GetWorkGroup" : "ListEngineVersions",
				encoding_to_utf8(request.data, request.len), &setup->call, take_answer, setup);
	if (!setup->answered)
		say(setup, WRONG, with_hint(error->message, error->hint));
	else if (error->sqlstate == ERRCODE_PROTOCOL_VIOLATION)
		say(setup, WRONG,
			with_hint(error->message, "Whoever answers there does not speak as Athena does: check "
									  "athena_calc.endpoint_url."));
	else
		say(setup, RIGHT,
			setup->endpoint.tls ? "connected, and the certificate is trusted"
								: "connected, without TLS: nothing is protected on the way");
}

static void
check_clock(void *argument)
{
	Setup *setup = argument;
	long long seconds = (long long) (setup->offset < 0 ? -setup->offset : setup->offset);

	if (!setup->has_offset)
		say(setup, UNKNOWN, "not checked: no answer told the time");
	else
		say(setup, seconds < MAX_CLOCK_OFFSET_SECONDS ? RIGHT : WRONG,
			seconds == 0
				? "as AWS's"
				: psprintf("%lld s %s AWS's%s", seconds, setup->offset > 0 ? "behind" : "ahead of",
						   seconds < MAX_CLOCK_OFFSET_SECONDS ? ""
															  : ": mend this machine's clock"));
}

/* Whether a service took the credentials; what they may do is another question. */
static void
check_signature(void *argument)
{
	Setup *setup = argument;
	const AwsError *error = &setup->call.error;

	if (!setup->answered)
		say(setup, UNKNOWN, "not checked: there is no connection");
	else if (error->sqlstate == ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION)
		say(setup, WRONG, with_hint(error->message, error->hint));
	else if (error->sqlstate != 0 && (!error->from_service || error->http_status >= 500 ||
									  error->sqlstate == ERRCODE_CONFIGURATION_LIMIT_EXCEEDED))
		say(setup, UNKNOWN, psprintf("not known: %s", error->message));
	else
		say(setup, RIGHT, "Athena knows the credentials");
}

static void
check_work_group(void *argument)
{
	Setup *setup = argument;
	const AwsError *error = &setup->call.error;

	if (!setup->configured && setup->work_group == NULL)
		say(setup, UNKNOWN, "not checked: the configuration is wrong");
	else if (setup->work_group == NULL)
		say(setup, WRONG, "there is none: name it in the call, or set athena_calc.work_group");
	else if (!setup->answered || error->sqlstate == ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION)
		say(setup, UNKNOWN, "not checked: Athena did not take the request");
	else if (error->sqlstate == ERRCODE_INSUFFICIENT_PRIVILEGE)
		say(setup, UNKNOWN,
			psprintf("not checked: the credentials lack the right athena:GetWorkGroup: %s",
					 error->message));
	else if (error->sqlstate == ERRCODE_INVALID_PARAMETER_VALUE)
		say(setup, WRONG, psprintf("%s: %s", setup->work_group, error->message));
	else if (error->sqlstate != 0)
		say(setup, UNKNOWN, psprintf("not known: %s", error->message));
	else if (!setup->has_work_group)
		say(setup, UNKNOWN, "not known: the answer has no work group");
	else if (setup->state != NULL && strcmp(setup->state, "ENABLED") != 0)
		say(setup, WRONG, psprintf("%s is %s", setup->work_group, setup->state));
	else
		say(setup, RIGHT, setup->work_group);
}

/* Says that a check must be left out, where there is nothing to look at. */
static bool
lacks_work_group(Setup *setup)
{
	if (!setup->has_work_group)
		say(setup, UNKNOWN, "not checked: the work group could not be read");
	return !setup->has_work_group;
}

static void
check_engine(void *argument)
{
	Setup *setup = argument;
	const char *engine = setup->engine;

	if (lacks_work_group(setup))
		return;
	if (engine == NULL)
		say(setup, UNKNOWN, "not known: the work group names no engine");
	else if (strncmp(engine, ENGINE, strlen(ENGINE)) == 0)
		say(setup, RIGHT, engine);
	else if (strncmp(engine, ENGINE_WITHOUT_CALCULATIONS, strlen(ENGINE_WITHOUT_CALCULATIONS)) == 0)
		say(setup, WRONG,
			psprintf("%s has sessions, but no calculations: take a work group with \"" ENGINE
					 " 3\"",
					 engine));
	else
		say(setup, WRONG,
			psprintf("%s is not Spark's: take a work group with \"" ENGINE " 3\"", engine));
}

static void
check_role(void *argument)
{
	Setup *setup = argument;

	if (lacks_work_group(setup))
		return;
	if (setup->role != NULL)
		say(setup, RIGHT, setup->role);
	else
		say(setup, WRONG, "the work group has none: start_session() needs execution_role");
}

static void
check_location(void *argument)
{
	Setup *setup = argument;

	if (lacks_work_group(setup))
		return;
	if (setup->location != NULL)
		say(setup, RIGHT, setup->location);
	else
		say(setup, WRONG, "the work group has none, so calculations have nowhere to write to");
}

/* check_setup(work_group text) → rows (check text, ok boolean, detail text) */
ATHENA_CALC_FUNCTION(athena_calc_check_setup);
Datum
athena_calc_check_setup(PG_FUNCTION_ARGS)
{
	Setup setup = {0};

	sql_expect_arguments(fcinfo, 1);
	sql_open_rows(fcinfo, 3, &setup.sink);
	if (!PG_ARGISNULL(0))
		setup.work_group = text_to_cstring(PG_GETARG_TEXT_PP(0));

	check(&setup, "library", check_library);
	check(&setup, "preload", check_preload);
	check(&setup, "configuration", check_configuration);
	check(&setup, "credentials", check_credentials);
	check(&setup, "region", check_region);
	check(&setup, "endpoint", check_endpoint);
	check(&setup, "connection", check_connection);
	check(&setup, "clock", check_clock);
	check(&setup, "signature", check_signature);
	check(&setup, "work group", check_work_group);
	check(&setup, "engine", check_engine);
	check(&setup, "execution role", check_role);
	check(&setup, "result location", check_location);
	return (Datum) 0;
}
