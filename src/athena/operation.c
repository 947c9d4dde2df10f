/*
 * operation.c
 *		The table of operations, each with the SQL functions that stand for it.
 *
 * Members and their limits: https://docs.aws.amazon.com/athena/latest/APIReference/API_Operations.html
 */
#include "athena/operation.h"

#include "athena/code.h"
#include "athena/execute.h"
#include "athena/function.h"
#include "utils/builtins.h"

/* An operation: its arguments and columns are arrays of its own name. The header has those that are not static. */
#define OPERATION(sql_name, aws_name)                     \
	const AthenaOperation operation_##sql_name = {        \
		.name = aws_name,                                 \
		.arguments = sql_name##_arguments,                \
		.argument_count = lengthof(sql_name##_arguments), \
		.columns = sql_name##_columns,                    \
		.column_count = lengthof(sql_name##_columns),     \
	}

/* An operation whose answer is a list of rows. */
#define LIST_OPERATION(sql_name, aws_name, member, size)  \
	const AthenaOperation operation_##sql_name = {        \
		.name = aws_name,                                 \
		.arguments = sql_name##_arguments,                \
		.argument_count = lengthof(sql_name##_arguments), \
		.list = member,                                   \
		.page_size = size,                                \
		.columns = sql_name##_columns,                    \
		.column_count = lengthof(sql_name##_columns),     \
	}

/* The SQL function athena_calc.<sql_name>, which returns what function_<returns> says. */
#define OPERATION_FUNCTION(sql_name, returns, operation)                    \
	ATHENA_CALC_FUNCTION(athena_calc_##sql_name);                           \
	Datum athena_calc_##sql_name(PG_FUNCTION_ARGS)                          \
	{                                                                       \
		sql_expect_arguments(fcinfo, operation_##operation.argument_count); \
		return function_##returns(fcinfo, &operation_##operation);          \
	}                                                                       \
	extern Datum athena_calc_##sql_name(PG_FUNCTION_ARGS)

/* Hints */

static const char *
hint_session_id(const char *value)
{
	if (strpbrk(value, "\r\n()[]{}") != NULL)
		return "The session ID looks like code: perhaps the arguments are swapped.";
	if (strlen(value) == AWS_UUID_SIZE - 1)
		return NULL;
	return "An ID is a UUID. athena_calc.run_calculation and athena_calc.acquire_session find a "
		   "session by its name, with session_name => '...'.";
}

static const char *
hint_state(const char *value)
{
	if (pg_strcasecmp(value, "STOPPED") != 0 && pg_strcasecmp(value, "CANCELLED") != 0)
		return NULL;
	return "Athena's word for this state is CANCELED.";
}

static const char *
hint_token(const char *value)
{
	size_t length = strlen(value);

	if (length >= 32 && length <= 128)
		return NULL;
	return "A client request token has 32 to 128 characters.";
}

/* Tables are easier to read as they are. */
/* clang-format off */

/* Columns that several operations share */

#define STATUS_OF_CALCULATION \
	{"Status.SubmissionDateTime", ATHENA_SECONDS, false}, \
	{"Status.CompletionDateTime", ATHENA_SECONDS, false}, \
	{"Status.State", ATHENA_TEXT, false}, \
	{"Status.StateChangeReason", ATHENA_WORDS, false}

#define STATISTICS_OF_CALCULATION \
	{"Statistics.DpuExecutionInMillis", ATHENA_BIGINT, false}, \
	{"Statistics.Progress", ATHENA_TEXT, false}

#define STATUS_OF_SESSION \
	{"Status.StartDateTime", ATHENA_SECONDS, false}, \
	{"Status.LastModifiedDateTime", ATHENA_SECONDS, false}, \
	{"Status.EndDateTime", ATHENA_SECONDS, false}, \
	{"Status.IdleSinceDateTime", ATHENA_SECONDS, false}, \
	{"Status.State", ATHENA_TEXT, false}, \
	{"Status.StateChangeReason", ATHENA_WORDS, false}

#define CALCULATION_ID_ARGUMENT \
	{"calculation_execution_id", "CalculationExecutionId", ATHENA_TEXT, true, NULL}

#define SESSION_ID_ARGUMENT {"session_id", "SessionId", ATHENA_TEXT, true, hint_session_id}

#define MAX_RESULTS_ARGUMENT {"max_results", NULL, ATHENA_MAX_RESULTS, false, NULL}

/* Calculations */

static const AthenaArgument start_calculation_execution_arguments[] = {
	SESSION_ID_ARGUMENT,
	{"code_block", "CodeBlock", ATHENA_TEXT, true, NULL},
	{"description", "Description", ATHENA_TEXT, false, NULL},
	{"client_request_token", "ClientRequestToken", ATHENA_TOKEN, false, hint_token},
};
static const AthenaColumn start_calculation_execution_columns[] = {
	{"CalculationExecutionId", ATHENA_TEXT, true},
	{"State", ATHENA_TEXT, false},
};
OPERATION(start_calculation_execution, "StartCalculationExecution");

static const AthenaArgument get_calculation_execution_arguments[] = {CALCULATION_ID_ARGUMENT};
static const AthenaColumn get_calculation_execution_columns[] = {
	{"CalculationExecutionId", ATHENA_TEXT, false},
	{"SessionId", ATHENA_TEXT, false},
	{"Description", ATHENA_TEXT, false},
	{"WorkingDirectory", ATHENA_TEXT, false},
	STATUS_OF_CALCULATION,
	STATISTICS_OF_CALCULATION,
	{"Result.StdOutS3Uri", ATHENA_TEXT, false},
	{"Result.StdErrorS3Uri", ATHENA_TEXT, false},
	{"Result.ResultS3Uri", ATHENA_TEXT, false},
	{"Result.ResultType", ATHENA_TEXT, false},
};
OPERATION(get_calculation_execution, "GetCalculationExecution");
OPERATION_FUNCTION(get_calculation_execution, return_row, get_calculation_execution);
OPERATION_FUNCTION(batch_get_calculation_execution, return_batch, get_calculation_execution);

static const AthenaArgument get_calculation_execution_status_arguments[] = {
	CALCULATION_ID_ARGUMENT};
static const AthenaColumn get_calculation_execution_status_columns[] = {
	{"CalculationExecutionId", ATHENA_FROM_REQUEST, false},
	STATUS_OF_CALCULATION,
	STATISTICS_OF_CALCULATION,
};
static OPERATION(get_calculation_execution_status, "GetCalculationExecutionStatus");
OPERATION_FUNCTION(get_calculation_execution_status, return_row, get_calculation_execution_status);
OPERATION_FUNCTION(batch_get_calculation_execution_status, return_batch,
				   get_calculation_execution_status);

static const AthenaArgument get_calculation_execution_code_arguments[] = {CALCULATION_ID_ARGUMENT};
static const AthenaColumn get_calculation_execution_code_columns[] = {
	{"CodeBlock", ATHENA_TEXT, false},
};
static OPERATION(get_calculation_execution_code, "GetCalculationExecutionCode");
OPERATION_FUNCTION(get_calculation_execution_code, return_value, get_calculation_execution_code);

static const AthenaArgument stop_calculation_execution_arguments[] = {CALCULATION_ID_ARGUMENT};
static const AthenaColumn stop_calculation_execution_columns[] = {
	{"State", ATHENA_TEXT, false},
};
OPERATION(stop_calculation_execution, "StopCalculationExecution");
OPERATION_FUNCTION(stop_calculation_execution, return_value, stop_calculation_execution);

static const AthenaArgument list_calculation_executions_arguments[] = {
	SESSION_ID_ARGUMENT,
	{"state_filter", "StateFilter", ATHENA_TEXT, false, hint_state},
	MAX_RESULTS_ARGUMENT,
};
static const AthenaColumn list_calculation_executions_columns[] = {
	{"CalculationExecutionId", ATHENA_TEXT, false},
	{"Description", ATHENA_TEXT, false},
	STATUS_OF_CALCULATION,
};
static LIST_OPERATION(list_calculation_executions, "ListCalculationExecutions", "Calculations", 100);
OPERATION_FUNCTION(list_calculation_executions, return_list, list_calculation_executions);

/* Sessions */

static const AthenaArgument start_session_arguments[] = {
	{"work_group", "WorkGroup", ATHENA_WORK_GROUP, false, NULL},
	{"description", "Description", ATHENA_TEXT, false, NULL},
	{"max_concurrent_dpus", "EngineConfiguration.MaxConcurrentDpus", ATHENA_INT, false, NULL},
	{"coordinator_dpu_size", "EngineConfiguration.CoordinatorDpuSize", ATHENA_INT, false, NULL},
	{"default_executor_dpu_size", "EngineConfiguration.DefaultExecutorDpuSize", ATHENA_INT, false,
	 NULL},
	{"spark_properties", "EngineConfiguration.SparkProperties", ATHENA_JSONB, false, NULL},
	{"additional_configs", "EngineConfiguration.AdditionalConfigs", ATHENA_JSONB, false, NULL},
	{"classifications", "EngineConfiguration.Classifications", ATHENA_JSONB, false, NULL},
	{"session_idle_timeout_in_minutes", "SessionIdleTimeoutInMinutes", ATHENA_INT, false, NULL},
	{"notebook_version", "NotebookVersion", ATHENA_TEXT, false, NULL},
	{"execution_role", "ExecutionRole", ATHENA_TEXT, false, NULL},
	{"monitoring_configuration", "MonitoringConfiguration", ATHENA_JSONB, false, NULL},
	{"tags", "Tags", ATHENA_TAGS, false, NULL},
	{"copy_work_group_tags", "CopyWorkGroupTags", ATHENA_BOOLEAN, false, NULL},
	{"client_request_token", "ClientRequestToken", ATHENA_TOKEN, false, hint_token},
};
static const AthenaColumn start_session_columns[] = {
	{"SessionId", ATHENA_TEXT, true},
	{"State", ATHENA_TEXT, false},
};
OPERATION(start_session, "StartSession");
OPERATION_FUNCTION(start_session, return_one_row_set, start_session);

static const AthenaArgument get_session_arguments[] = {SESSION_ID_ARGUMENT};
static const AthenaColumn get_session_columns[] = {
	{"SessionId", ATHENA_TEXT, false},
	{"Description", ATHENA_TEXT, false},
	{"WorkGroup", ATHENA_TEXT, false},
	{"EngineVersion", ATHENA_TEXT, false},
	{"EngineConfiguration.CoordinatorDpuSize", ATHENA_INT, false},
	{"EngineConfiguration.MaxConcurrentDpus", ATHENA_INT, false},
	{"EngineConfiguration.DefaultExecutorDpuSize", ATHENA_INT, false},
	{"EngineConfiguration.AdditionalConfigs", ATHENA_JSONB, false},
	{"EngineConfiguration.SparkProperties", ATHENA_JSONB, false},
	{"EngineConfiguration.Classifications", ATHENA_JSONB, false},
	{"NotebookVersion", ATHENA_TEXT, false},
	{"SessionConfiguration.ExecutionRole", ATHENA_TEXT, false},
	{"SessionConfiguration.WorkingDirectory", ATHENA_TEXT, false},
	{"SessionConfiguration.IdleTimeoutSeconds", ATHENA_BIGINT, false},
	{"SessionConfiguration.SessionIdleTimeoutInMinutes", ATHENA_INT, false},
	{"SessionConfiguration.EncryptionConfiguration.EncryptionOption", ATHENA_TEXT, false},
	{"SessionConfiguration.EncryptionConfiguration.KmsKey", ATHENA_TEXT, false},
	{"MonitoringConfiguration", ATHENA_JSONB, false},
	STATUS_OF_SESSION,
	{"Statistics.DpuExecutionInMillis", ATHENA_BIGINT, false},
};
static OPERATION(get_session, "GetSession");
OPERATION_FUNCTION(get_session, return_row, get_session);

static const AthenaArgument get_session_status_arguments[] = {SESSION_ID_ARGUMENT};
static const AthenaColumn get_session_status_columns[] = {
	{"SessionId", ATHENA_TEXT, false},
	STATUS_OF_SESSION,
};
OPERATION(get_session_status, "GetSessionStatus");
OPERATION_FUNCTION(get_session_status, return_row, get_session_status);

static const AthenaArgument terminate_session_arguments[] = {SESSION_ID_ARGUMENT};
static const AthenaColumn terminate_session_columns[] = {
	{"State", ATHENA_TEXT, false},
};
OPERATION(terminate_session, "TerminateSession");
OPERATION_FUNCTION(terminate_session, return_value, terminate_session);

static const AthenaArgument list_sessions_arguments[] = {
	{"work_group", "WorkGroup", ATHENA_WORK_GROUP, false, NULL},
	{"state_filter", "StateFilter", ATHENA_TEXT, false, NULL},
	MAX_RESULTS_ARGUMENT,
};
static const AthenaColumn list_sessions_columns[] = {
	{"SessionId", ATHENA_TEXT, false},
	{"Description", ATHENA_TEXT, false},
	{"EngineVersion.SelectedEngineVersion", ATHENA_TEXT, false},
	{"EngineVersion.EffectiveEngineVersion", ATHENA_TEXT, false},
	{"NotebookVersion", ATHENA_TEXT, false},
	STATUS_OF_SESSION,
};
static LIST_OPERATION(list_sessions, "ListSessions", "Sessions", 100);
OPERATION_FUNCTION(list_sessions, return_list, list_sessions);

/* The same for a session that is looked for by its name, whatever others are called. */
#define find_session_arguments list_sessions_arguments
static const AthenaColumn find_session_columns[] = {
	{"SessionId", ATHENA_TEXT, false},
	{"Description", ATHENA_FITTING, false},
	{"Status.State", ATHENA_TEXT, false},
};
LIST_OPERATION(find_session, "ListSessions", "Sessions", 100);

static const AthenaArgument list_executors_arguments[] = {
	SESSION_ID_ARGUMENT,
	{"executor_state_filter", "ExecutorStateFilter", ATHENA_TEXT, false, NULL},
	MAX_RESULTS_ARGUMENT,
};
static const AthenaColumn list_executors_columns[] = {
	{"ExecutorId", ATHENA_TEXT, false},
	{"ExecutorType", ATHENA_TEXT, false},
	{"StartDateTime", ATHENA_MILLIS, false},
	{"TerminationDateTime", ATHENA_MILLIS, false},
	{"ExecutorState", ATHENA_TEXT, false},
	{"ExecutorSize", ATHENA_BIGINT, false},
};
static LIST_OPERATION(list_executors, "ListExecutors", "ExecutorsSummary", 100);
OPERATION_FUNCTION(list_executors, return_list, list_executors);

/* What else there is */

static const AthenaArgument list_notebook_sessions_arguments[] = {
	{"notebook_id", "NotebookId", ATHENA_TEXT, true, NULL},
	MAX_RESULTS_ARGUMENT,
};
static const AthenaColumn list_notebook_sessions_columns[] = {
	{"SessionId", ATHENA_TEXT, false},
	{"CreationTime", ATHENA_SECONDS, false},
};
static LIST_OPERATION(list_notebook_sessions, "ListNotebookSessions", "NotebookSessionsList", 100);
OPERATION_FUNCTION(list_notebook_sessions, return_list, list_notebook_sessions);

static const AthenaArgument list_engine_versions_arguments[] = {MAX_RESULTS_ARGUMENT};
static const AthenaColumn list_engine_versions_columns[] = {
	{"SelectedEngineVersion", ATHENA_TEXT, false},
	{"EffectiveEngineVersion", ATHENA_TEXT, false},
};
static LIST_OPERATION(list_engine_versions, "ListEngineVersions", "EngineVersions", 10);
OPERATION_FUNCTION(list_engine_versions, return_list, list_engine_versions);

static const AthenaArgument list_application_dpu_sizes_arguments[] = {MAX_RESULTS_ARGUMENT};
static const AthenaColumn list_application_dpu_sizes_columns[] = {
	{"ApplicationRuntimeId", ATHENA_TEXT, false},
	{"SupportedDPUSizes", ATHENA_INT_ARRAY, false},
};
static LIST_OPERATION(list_application_dpu_sizes, "ListApplicationDPUSizes", "ApplicationDPUSizes", 100);
OPERATION_FUNCTION(list_application_dpu_sizes, return_list, list_application_dpu_sizes);

/* clang-format on */

/* The one function that takes more than its operation does: what the code is made of. */
ATHENA_CALC_FUNCTION(athena_calc_start_calculation_execution);
Datum
athena_calc_start_calculation_execution(PG_FUNCTION_ARGS)
{
	const int params = START_CALCULATION_ARGUMENTS;
	const int code_s3_uri = START_CALCULATION_ARGUMENTS + 1;
	NullableDatum code;

	sql_expect_arguments(fcinfo, START_CALCULATION_ARGUMENTS + 2);
	sql_require(fcinfo, START_CALCULATION_SESSION_ID, "session_id");
	code = fcinfo->args[START_CALCULATION_CODE_BLOCK];
	fcinfo->args[START_CALCULATION_CODE_BLOCK].value =
		code_prepare(NULL, code, fcinfo->args[params], fcinfo->args[code_s3_uri]);
	fcinfo->args[START_CALCULATION_CODE_BLOCK].isnull = false;
	return function_return_one_row_set(fcinfo, &operation_start_calculation_execution);
}

/* Any operation */

/* An operation's name goes into a header: letters and digits only. */
static void
check_operation_name(const char *name)
{
	size_t length = strlen(name);

	if (length >= 1 && length <= ATHENA_MAX_NAME &&
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == length)
		return;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("an operation's name has letters and digits only"),
					errhint("As AWS writes it: 'GetWorkGroup'.")));
}

ATHENA_CALC_FUNCTION(athena_calc_invoke);
Datum
athena_calc_invoke(PG_FUNCTION_ARGS)
{
	char *operation;
	Jsonb *request;

	sql_expect_arguments(fcinfo, 2);
	for (int i = 0; i < 2; i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not be NULL", i == 0 ? "operation" : "request")));
	}
	operation = text_to_cstring(PG_GETARG_TEXT_PP(0));
	check_operation_name(operation);
	request = PG_GETARG_JSONB_P(1);
	if (!JB_ROOT_IS_OBJECT(request))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"request\" must be a JSON object")));
	return athena_invoke(operation, request);
}
