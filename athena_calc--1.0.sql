/* athena_calc--1.0.sql */

-- complain if the script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION athena_calc" to load this file. \quit

--
-- The schema
--

-- PostgreSQL takes one that is there, whoever it belongs to. Its owner, and who may create in it, could add functions that are
-- called in place of these, by superusers too.
SET LOCAL search_path = pg_catalog, pg_temp;
DO $$
DECLARE
	schema pg_catalog.pg_namespace;
	others oid[];
	problem text;
BEGIN
	SELECT * INTO STRICT schema FROM pg_catalog.pg_namespace WHERE nspname = 'athena_calc';
	SELECT pg_catalog.array_agg(oid) INTO others FROM pg_catalog.pg_roles WHERE NOT rolsuper;
	IF schema.nspowner = ANY (others) THEN
		problem := 'Its owner is no superuser.';
	ELSIF EXISTS (SELECT FROM pg_catalog.aclexplode(schema.nspacl)
	              WHERE privilege_type = 'CREATE' AND (grantee = 0 OR grantee = ANY (others))) THEN
		problem := 'Others than superusers may create in it.';
	ELSIF EXISTS (SELECT FROM pg_catalog.pg_proc WHERE pronamespace = schema.oid AND proowner = ANY (others)) OR
	      EXISTS (SELECT FROM pg_catalog.pg_type WHERE typnamespace = schema.oid AND typowner = ANY (others)) OR
	      EXISTS (SELECT FROM pg_catalog.pg_operator WHERE oprnamespace = schema.oid AND oprowner = ANY (others)) THEN
		problem := 'Something of others than superusers is in it.';
	END IF;
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'schema "athena_calc" cannot be trusted',
			DETAIL = problem,
			HINT = 'Make it a superuser''s in which nobody else may create, or drop it: CREATE EXTENSION makes it, or takes the one that is there.';
	END IF;
END $$;

-- Every function reaches out to AWS, may wait, may cost money: VOLATILE, PARALLEL UNSAFE, expensive to the
-- planner, and executable by nobody until it is granted (at the end of this file).

--
-- Types
--

CREATE TYPE athena_calc.calculation_execution AS (
	calculation_execution_id text,
	session_id text,
	description text,
	working_directory text,
	submission_date_time timestamptz,
	completion_date_time timestamptz,
	state text,
	state_change_reason text,
	dpu_execution_in_millis bigint,
	progress text,
	std_out_s3_uri text,
	std_error_s3_uri text,
	result_s3_uri text,
	result_type text
);
COMMENT ON TYPE athena_calc.calculation_execution IS
	'A calculation: what it is, how it stands, what it has cost, where its output is (GetCalculationExecution).';

CREATE TYPE athena_calc.calculation_execution_status AS (
	calculation_execution_id text,
	submission_date_time timestamptz,
	completion_date_time timestamptz,
	state text,
	state_change_reason text,
	dpu_execution_in_millis bigint,
	progress text
);
COMMENT ON TYPE athena_calc.calculation_execution_status IS
	'How a calculation stands and what it has cost (GetCalculationExecutionStatus).';

CREATE TYPE athena_calc.calculation_summary AS (
	calculation_execution_id text,
	description text,
	submission_date_time timestamptz,
	completion_date_time timestamptz,
	state text,
	state_change_reason text
);
COMMENT ON TYPE athena_calc.calculation_summary IS
	'A calculation in a list (ListCalculationExecutions).';

CREATE TYPE athena_calc.session AS (
	session_id text,
	description text,
	work_group text,
	engine_version text,
	coordinator_dpu_size int,
	max_concurrent_dpus int,
	default_executor_dpu_size int,
	additional_configs jsonb,
	spark_properties jsonb,
	classifications jsonb,
	notebook_version text,
	execution_role text,
	working_directory text,
	idle_timeout_seconds bigint,
	session_idle_timeout_in_minutes int,
	encryption_option text,
	kms_key text,
	monitoring_configuration jsonb,
	start_date_time timestamptz,
	last_modified_date_time timestamptz,
	end_date_time timestamptz,
	idle_since_date_time timestamptz,
	state text,
	state_change_reason text,
	dpu_execution_in_millis bigint
);
COMMENT ON TYPE athena_calc.session IS
	'A session: its configuration, how it stands, what it has cost (GetSession).';

CREATE TYPE athena_calc.session_status AS (
	session_id text,
	start_date_time timestamptz,
	last_modified_date_time timestamptz,
	end_date_time timestamptz,
	idle_since_date_time timestamptz,
	state text,
	state_change_reason text
);
COMMENT ON TYPE athena_calc.session_status IS
	'How a session stands (GetSessionStatus).';

CREATE TYPE athena_calc.session_summary AS (
	session_id text,
	description text,
	selected_engine_version text,
	effective_engine_version text,
	notebook_version text,
	start_date_time timestamptz,
	last_modified_date_time timestamptz,
	end_date_time timestamptz,
	idle_since_date_time timestamptz,
	state text,
	state_change_reason text
);
COMMENT ON TYPE athena_calc.session_summary IS
	'A session in a list (ListSessions).';

CREATE TYPE athena_calc.executor AS (
	executor_id text,
	executor_type text,
	start_date_time timestamptz,
	termination_date_time timestamptz,
	executor_state text,
	executor_size bigint
);
COMMENT ON TYPE athena_calc.executor IS
	'An executor of a session (ListExecutors).';

CREATE TYPE athena_calc.s3_object AS (
	uri text,
	size bigint,
	last_modified timestamptz,
	etag text
);
COMMENT ON TYPE athena_calc.s3_object IS
	'An object in a list (ListObjectsV2).';

--
-- Calculations
--

CREATE FUNCTION athena_calc.start_calculation_execution(
	session_id text,
	code_block text,
	description text DEFAULT NULL,
	client_request_token text DEFAULT NULL,
	params jsonb DEFAULT NULL,
	code_s3_uri text DEFAULT NULL
)
RETURNS TABLE (calculation_execution_id text, state text)
AS 'MODULE_PATHNAME', 'athena_calc_start_calculation_execution'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 1;
COMMENT ON FUNCTION athena_calc.start_calculation_execution(text, text, text, text, jsonb, text) IS
	'Starts a calculation in a session that is IDLE, and gives its ID and its state. Use it in FROM. All attempts of a call send one token, so a lost answer never starts a second calculation; a call is not undone by ROLLBACK. params is a Python variable of the code; code_s3_uri is where the code is, if not in code_block. https://docs.aws.amazon.com/athena/latest/APIReference/API_StartCalculationExecution.html';

CREATE FUNCTION athena_calc.get_calculation_execution(calculation_execution_id text)
RETURNS athena_calc.calculation_execution
AS 'MODULE_PATHNAME', 'athena_calc_get_calculation_execution'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.get_calculation_execution(text) IS
	'A calculation: what it is, how it stands, what it has cost, where its output is. https://docs.aws.amazon.com/athena/latest/APIReference/API_GetCalculationExecution.html';

CREATE FUNCTION athena_calc.get_calculation_execution_status(calculation_execution_id text)
RETURNS athena_calc.calculation_execution_status
AS 'MODULE_PATHNAME', 'athena_calc_get_calculation_execution_status'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.get_calculation_execution_status(text) IS
	'How a calculation stands and what it has cost: the least to ask for. https://docs.aws.amazon.com/athena/latest/APIReference/API_GetCalculationExecutionStatus.html';

CREATE FUNCTION athena_calc.get_calculation_execution_code(calculation_execution_id text)
RETURNS text
AS 'MODULE_PATHNAME', 'athena_calc_get_calculation_execution_code'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.get_calculation_execution_code(text) IS
	'The code of a calculation, as it was sent. https://docs.aws.amazon.com/athena/latest/APIReference/API_GetCalculationExecutionCode.html';

CREATE FUNCTION athena_calc.stop_calculation_execution(calculation_execution_id text)
RETURNS text
AS 'MODULE_PATHNAME', 'athena_calc_stop_calculation_execution'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.stop_calculation_execution(text) IS
	'Asks Athena to stop a calculation, and gives its state as it then is. Best effort: one that cannot be stopped is charged to its end (terminate its session if that matters), and one that has ended stays as it is. AWS speaks of STOPPED; the state is CANCELED. https://docs.aws.amazon.com/athena/latest/APIReference/API_StopCalculationExecution.html';

CREATE FUNCTION athena_calc.list_calculation_executions(
	session_id text,
	state_filter text DEFAULT NULL,
	max_results int DEFAULT NULL
)
RETURNS SETOF athena_calc.calculation_summary
AS 'MODULE_PATHNAME', 'athena_calc_list_calculation_executions'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 100;
COMMENT ON FUNCTION athena_calc.list_calculation_executions(text, text, int) IS
	'The calculations of a session, in one state if state_filter names it. The newest come first; max_results bounds the rows of all pages together. https://docs.aws.amazon.com/athena/latest/APIReference/API_ListCalculationExecutions.html';

CREATE FUNCTION athena_calc.batch_get_calculation_execution(calculation_execution_ids text[])
RETURNS TABLE (
	calculation_execution_id text,
	session_id text,
	description text,
	working_directory text,
	submission_date_time timestamptz,
	completion_date_time timestamptz,
	state text,
	state_change_reason text,
	dpu_execution_in_millis bigint,
	progress text,
	std_out_s3_uri text,
	std_error_s3_uri text,
	result_s3_uri text,
	result_type text,
	error_code text,
	error_message text
)
AS 'MODULE_PATHNAME', 'athena_calc_batch_get_calculation_execution'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 100;
COMMENT ON FUNCTION athena_calc.batch_get_calculation_execution(text[]) IS
	'get_calculation_execution for many IDs, up to athena_calc.max_concurrency requests at once. A row for each ID, in their order; what goes wrong with one stands in its error columns.';

CREATE FUNCTION athena_calc.batch_get_calculation_execution_status(calculation_execution_ids text[])
RETURNS TABLE (
	calculation_execution_id text,
	submission_date_time timestamptz,
	completion_date_time timestamptz,
	state text,
	state_change_reason text,
	dpu_execution_in_millis bigint,
	progress text,
	error_code text,
	error_message text
)
AS 'MODULE_PATHNAME', 'athena_calc_batch_get_calculation_execution_status'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 100;
COMMENT ON FUNCTION athena_calc.batch_get_calculation_execution_status(text[]) IS
	'get_calculation_execution_status for many IDs, by the rules of batch_get_calculation_execution. A row for each ID, in their order; what goes wrong with one stands in its error columns.';

CREATE FUNCTION athena_calc.calculation_stdout(calculation_execution_id text, max_bytes int DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'athena_calc_calculation_stdout'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.calculation_stdout(text, int) IS
	'What a calculation wrote to its standard output. With max_bytes it is the last bytes of it; NULL while there is none. Characters that the database cannot hold are replaced, with a NOTICE.';

CREATE FUNCTION athena_calc.calculation_stderr(calculation_execution_id text, max_bytes int DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'athena_calc_calculation_stderr'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.calculation_stderr(text, int) IS
	'What a calculation wrote to its standard error. With max_bytes it is the last bytes of it; NULL while there is none. Characters that the database cannot hold are replaced, with a NOTICE.';

CREATE FUNCTION athena_calc.calculation_result(calculation_execution_id text)
RETURNS text
AS 'MODULE_PATHNAME', 'athena_calc_calculation_result'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.calculation_result(text) IS
	'What is at result_s3_uri: the object of that name, or else the only data object in that folder. NULL while there is none.';

--
-- Sessions
--

CREATE FUNCTION athena_calc.start_session(
	work_group text DEFAULT NULL,
	description text DEFAULT NULL,
	max_concurrent_dpus int DEFAULT 20,
	coordinator_dpu_size int DEFAULT NULL,
	default_executor_dpu_size int DEFAULT NULL,
	spark_properties jsonb DEFAULT NULL,
	additional_configs jsonb DEFAULT NULL,
	classifications jsonb DEFAULT NULL,
	session_idle_timeout_in_minutes int DEFAULT NULL,
	notebook_version text DEFAULT NULL,
	execution_role text DEFAULT NULL,
	monitoring_configuration jsonb DEFAULT NULL,
	tags jsonb DEFAULT NULL,
	copy_work_group_tags boolean DEFAULT NULL,
	client_request_token text DEFAULT NULL
)
RETURNS TABLE (session_id text, state text)
AS 'MODULE_PATHNAME', 'athena_calc_start_session'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 1;
COMMENT ON FUNCTION athena_calc.start_session(text, text, int, int, int, jsonb, jsonb, jsonb, int, text, text, jsonb, jsonb, boolean, text) IS
	'Starts a session in a Spark work group. One row: its ID and its state. Use it in FROM. Where no work group is named it is athena_calc.work_group. A session costs until it is terminated or has idled for its time-out. https://docs.aws.amazon.com/athena/latest/APIReference/API_StartSession.html';

CREATE FUNCTION athena_calc.get_session(session_id text)
RETURNS athena_calc.session
AS 'MODULE_PATHNAME', 'athena_calc_get_session'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.get_session(text) IS
	'A session: its configuration, its state, its costs. https://docs.aws.amazon.com/athena/latest/APIReference/API_GetSession.html';

CREATE FUNCTION athena_calc.get_session_status(session_id text)
RETURNS athena_calc.session_status
AS 'MODULE_PATHNAME', 'athena_calc_get_session_status'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.get_session_status(text) IS
	'How a session stands: the same as get_session without the configuration and the DPU time. It takes a calculation when it is IDLE. https://docs.aws.amazon.com/athena/latest/APIReference/API_GetSessionStatus.html';

CREATE FUNCTION athena_calc.terminate_session(session_id text)
RETURNS text
AS 'MODULE_PATHNAME', 'athena_calc_terminate_session'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.terminate_session(text) IS
	'Ends a session and gives its state, mostly TERMINATING. Calculations in it are stopped by force and may show as FAILED; a session that has ended stays as it is. https://docs.aws.amazon.com/athena/latest/APIReference/API_TerminateSession.html';

CREATE FUNCTION athena_calc.list_sessions(
	work_group text DEFAULT NULL,
	state_filter text DEFAULT NULL,
	max_results int DEFAULT NULL
)
RETURNS SETOF athena_calc.session_summary
AS 'MODULE_PATHNAME', 'athena_calc_list_sessions'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 100;
COMMENT ON FUNCTION athena_calc.list_sessions(text, text, int) IS
	'The sessions of a work group (NULL: the setting athena_calc.work_group), in one state if state_filter names it. The newest come first; max_results bounds the rows of all pages together. https://docs.aws.amazon.com/athena/latest/APIReference/API_ListSessions.html';

CREATE FUNCTION athena_calc.list_executors(
	session_id text,
	executor_state_filter text DEFAULT NULL,
	max_results int DEFAULT NULL
)
RETURNS SETOF athena_calc.executor
AS 'MODULE_PATHNAME', 'athena_calc_list_executors'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 100;
COMMENT ON FUNCTION athena_calc.list_executors(text, text, int) IS
	'The executors that have joined a session, in one state if executor_state_filter names it (CREATING, CREATED, REGISTERED, TERMINATING, TERMINATED, FAILED). max_results bounds the rows of all pages together. https://docs.aws.amazon.com/athena/latest/APIReference/API_ListExecutors.html';

CREATE FUNCTION athena_calc.list_notebook_sessions(notebook_id text, max_results int DEFAULT NULL)
RETURNS TABLE (session_id text, creation_time timestamptz)
AS 'MODULE_PATHNAME', 'athena_calc_list_notebook_sessions'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION athena_calc.list_notebook_sessions(text, int) IS
	'The active sessions of a notebook, which is named by its UUID. max_results bounds the rows of all pages together. https://docs.aws.amazon.com/athena/latest/APIReference/API_ListNotebookSessions.html';

--
-- What else there is
--

CREATE FUNCTION athena_calc.list_engine_versions(max_results int DEFAULT NULL)
RETURNS TABLE (selected_engine_version text, effective_engine_version text)
AS 'MODULE_PATHNAME', 'athena_calc_list_engine_versions'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION athena_calc.list_engine_versions(int) IS
	'The engine versions that a work group can have; those of Athena for SQL are among them. https://docs.aws.amazon.com/athena/latest/APIReference/API_ListEngineVersions.html';

CREATE FUNCTION athena_calc.list_application_dpu_sizes(max_results int DEFAULT NULL)
RETURNS TABLE (application_runtime_id text, supported_dpu_sizes int[])
AS 'MODULE_PATHNAME', 'athena_calc_list_application_dpu_sizes'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION athena_calc.list_application_dpu_sizes(int) IS
	'The sizes, in DPUs, that application runtimes support. https://docs.aws.amazon.com/athena/latest/APIReference/API_ListApplicationDPUSizes.html';

CREATE FUNCTION athena_calc.invoke(operation text, request jsonb DEFAULT '{}')
RETURNS jsonb
AS 'MODULE_PATHNAME', 'athena_calc_invoke'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.invoke(text, jsonb) IS
	'Sends a request to any operation of Athena and gives its answer. The operation has AWS''s name; request and answer are as AWS writes them. Who may execute it may do whatever the credentials allow. https://docs.aws.amazon.com/athena/latest/APIReference/API_Operations.html';

--
-- Waiting and running
--

CREATE FUNCTION athena_calc.wait_for_session(session_id text, timeout interval DEFAULT NULL)
RETURNS athena_calc.session_status
AS 'MODULE_PATHNAME', 'athena_calc_wait_for_session'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.wait_for_session(text, interval) IS
	'Waits until a session is IDLE, also if it is BUSY now, and gives its row. When the time is up, the row is as it then stands. SP005 with the reason when it ends or is degraded.';

CREATE FUNCTION athena_calc.wait_for_calculation(calculation_execution_id text, timeout interval DEFAULT NULL)
RETURNS athena_calc.calculation_execution
AS 'MODULE_PATHNAME', 'athena_calc_wait_for_calculation'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.wait_for_calculation(text, interval) IS
	'Waits until a calculation has ended, in whatever state, and gives its row. When the time is up, the row is as it then stands.';

CREATE FUNCTION athena_calc.wait_for_calculations(calculation_execution_ids text[], timeout interval DEFAULT NULL)
RETURNS TABLE (
	calculation_execution_id text,
	session_id text,
	description text,
	working_directory text,
	submission_date_time timestamptz,
	completion_date_time timestamptz,
	state text,
	state_change_reason text,
	dpu_execution_in_millis bigint,
	progress text,
	std_out_s3_uri text,
	std_error_s3_uri text,
	result_s3_uri text,
	result_type text,
	error_code text,
	error_message text
)
AS 'MODULE_PATHNAME', 'athena_calc_wait_for_calculations'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 100;
COMMENT ON FUNCTION athena_calc.wait_for_calculations(text[], interval) IS
	'Waits until all these calculations have ended, and gives a row for each, in the order given. They are asked for together. What is wrong with one stands in its error_code and error_message. When the time is up, the rows are as they then stand.';

CREATE FUNCTION athena_calc.acquire_session(
	session_name text,
	work_group text DEFAULT NULL,
	session_options jsonb DEFAULT NULL,
	timeout interval DEFAULT NULL
)
RETURNS text
AS 'MODULE_PATHNAME', 'athena_calc_acquire_session'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.acquire_session(text, text, jsonb, interval) IS
	'The ID of a session to share: one whose description is session_name, in the work group (NULL: the setting athena_calc.work_group), or else a new one with that description. Taken is one that is IDLE, else one that starts (it is waited for), else one that is BUSY. Only one backend at a time looks for a name, so two callers do not start two. session_options are the arguments of start_session by name.';

CREATE FUNCTION athena_calc.run_calculation(
	code_block text DEFAULT NULL,
	session_id text DEFAULT NULL,
	session_name text DEFAULT NULL,
	work_group text DEFAULT NULL,
	description text DEFAULT NULL,
	timeout interval DEFAULT NULL,
	params jsonb DEFAULT NULL,
	session_options jsonb DEFAULT NULL,
	code_s3_uri text DEFAULT NULL
)
RETURNS SETOF athena_calc.calculation_execution
AS 'MODULE_PATHNAME', 'athena_calc_run_calculation'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 1;
COMMENT ON FUNCTION athena_calc.run_calculation(text, text, text, text, text, interval, jsonb, jsonb, text) IS
	'Starts a calculation, waits for its end, and gives its row if it was COMPLETED. It runs in the session given, in one of that name, or in one of its own that is terminated whatever happens. Raises SP001 when it FAILED, SP002 when it was CANCELED, SP003 when the time is up. When the statement ends early it stops the calculation, unless athena_calc.on_cancel is leave. Stopping is best effort: a calculation that cannot be stopped is charged to its end.';

CREATE PROCEDURE athena_calc.run(
	code_block text DEFAULT NULL,
	session_id text DEFAULT NULL,
	session_name text DEFAULT NULL,
	work_group text DEFAULT NULL,
	description text DEFAULT NULL,
	timeout interval DEFAULT NULL,
	params jsonb DEFAULT NULL,
	session_options jsonb DEFAULT NULL,
	code_s3_uri text DEFAULT NULL,
	INOUT result athena_calc.calculation_execution DEFAULT NULL
)
AS 'MODULE_PATHNAME', 'athena_calc_run'
LANGUAGE C;
COMMENT ON PROCEDURE athena_calc.run(text, text, text, text, text, interval, jsonb, jsonb, text, athena_calc.calculation_execution) IS
	'run_calculation as a procedure that commits before each pause. So a long run holds no snapshot and no lock. A statement of its own: in a transaction block, a function or a block with EXCEPTION use run_calculation.';

CREATE FUNCTION athena_calc.activity()
RETURNS TABLE (
	pid int,
	datid oid,
	usesysid oid,
	calculation_execution_id text,
	session_id text,
	state text,
	since timestamptz
)
AS 'MODULE_PATHNAME', 'athena_calc_activity'
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION athena_calc.activity() IS
	'What the backends of this cluster are waiting for at Athena: calculations, sessions to become IDLE, or room for one. What others wait for is shown to members of pg_read_all_stats. It needs shared_preload_libraries.';

CREATE VIEW athena_calc.activity AS
	SELECT a.pid, d.datname, r.rolname AS usename, a.calculation_execution_id, a.session_id, a.state, a.since
	FROM athena_calc.activity() AS a
	LEFT JOIN pg_catalog.pg_database AS d ON d.oid OPERATOR(pg_catalog.=) a.datid
	LEFT JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) a.usesysid;
COMMENT ON VIEW athena_calc.activity IS
	'What the backends of this cluster are waiting for at Athena: calculations, sessions to become IDLE, or room for one.';
GRANT SELECT ON athena_calc.activity TO PUBLIC;

--
-- Objects in S3
--

CREATE FUNCTION athena_calc.s3_list_objects(uri text, max_results int DEFAULT NULL)
RETURNS SETOF athena_calc.s3_object
AS 'MODULE_PATHNAME', 'athena_calc_s3_list_objects'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 100;
COMMENT ON FUNCTION athena_calc.s3_list_objects(text, int) IS
	'The objects whose URIs begin with uri: a folder with a / at its end, the beginning of names without, or a whole bucket (s3://bucket). They come in the order of their keys. https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html';

CREATE FUNCTION athena_calc.s3_get_object(uri text)
RETURNS bytea
AS 'MODULE_PATHNAME', 'athena_calc_s3_get_object'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.s3_get_object(text) IS
	'What an object holds, byte by byte. Its size is bounded by athena_calc.max_response_size. https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html';

CREATE FUNCTION athena_calc.s3_put_object(uri text, content bytea)
RETURNS text
AS 'MODULE_PATHNAME', 'athena_calc_s3_put_object'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.s3_put_object(text, bytea) IS
	'Writes an object, in place of what was there, and gives its ETag, with the quotes that S3 puts around it. It is not undone by ROLLBACK. https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html';

CREATE FUNCTION athena_calc.s3_put_object(uri text, content text)
RETURNS text
AS 'MODULE_PATHNAME', 'athena_calc_s3_put_text'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.s3_put_object(text, text) IS
	'Writes an object, in place of what was there, and gives its ETag, with the quotes that S3 puts around it. Text is written in UTF-8. It is not undone by ROLLBACK. https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html';

CREATE FUNCTION athena_calc.s3_delete_objects(uri text)
RETURNS bigint
AS 'MODULE_PATHNAME', 'athena_calc_s3_delete_objects'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.s3_delete_objects(text) IS
	'Deletes one object, or with a / at the end of uri all objects under that folder, and tells how many. Never a whole bucket. It is not undone by ROLLBACK. https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html';

CREATE FUNCTION athena_calc.copy_to_s3(query text, uri text, format text DEFAULT 'csv', options jsonb DEFAULT '{}')
RETURNS bigint
AS 'MODULE_PATHNAME', 'athena_calc_copy_to_s3'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.copy_to_s3(text, text, text, jsonb) IS
	'Writes the rows of a query to an object, or to the objects of a folder, and tells how many rows. It is a folder with a / at the end of the URI. The format is csv, text, binary or json (JSON Lines). The query runs with the rights of the caller. Options are those of COPY TO, dialect, overwrite, compression and max_object_size. Nothing is visible until all is written; it is not undone by ROLLBACK.';

--
-- Between tables and S3
--

CREATE FUNCTION athena_calc.copy_from_s3(
	target regclass,
	uri text,
	columns text[] DEFAULT NULL,
	format text DEFAULT 'csv',
	options jsonb DEFAULT '{}'
)
RETURNS bigint
AS 'MODULE_PATHNAME', 'athena_calc_copy_from_s3'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION athena_calc.copy_from_s3(regclass, text, text[], text, jsonb) IS
	'Copies an object, or every data object under a folder, into a table, and tells how many rows. It is a folder with a / at the end of the URI. Each object is read by a COPY FROM of its own: all rows of all of them, or none. The format is csv, text, binary or json (JSON Lines); options are those of COPY FROM by name, dialect and ignore_unknown. https://www.postgresql.org/docs/current/sql-copy.html';

--
-- Accounts, and what is wrong with a set-up
--

CREATE FUNCTION athena_calc.validator(options text[], catalog oid)
RETURNS void
AS 'MODULE_PATHNAME', 'athena_calc_validator'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION athena_calc.validator(text[], oid) IS
	'Checks the options of servers and user mappings. PostgreSQL calls it for CREATE and ALTER SERVER and USER MAPPING.';

CREATE FOREIGN DATA WRAPPER athena_calc NO HANDLER VALIDATOR athena_calc.validator;
COMMENT ON FOREIGN DATA WRAPPER athena_calc IS
	'A foreign server is an account, a region or an endpoint by name; a user mapping is whose credentials are used there. athena_calc.server chooses the server. There are no foreign tables.';

CREATE FUNCTION athena_calc.check_setup(work_group text DEFAULT NULL)
RETURNS TABLE ("check" text, ok boolean, detail text)
AS 'MODULE_PATHNAME', 'athena_calc_check_setup'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 13;
COMMENT ON FUNCTION athena_calc.check_setup(text) IS
	'Looks at everything that a call of the current user''s needs, one row each. What is right and what is wrong with libraries, settings, credentials, endpoint, clock and work group; ok is NULL for what could not be checked. It shows no secret and raises no error for what it checks.';

REVOKE ALL ON ALL ROUTINES IN SCHEMA athena_calc FROM PUBLIC;

-- It reaches out to nobody, and tells each role only what it may see, as pg_stat_activity does.
GRANT EXECUTE ON FUNCTION athena_calc.activity() TO PUBLIC;
