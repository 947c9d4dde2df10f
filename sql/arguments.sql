-- What is wrong is said before anything is sent: there is nobody at this endpoint.
LOAD 'athena_calc';
SET athena_calc.access_key_id = 'AKIDEXAMPLE';
SET athena_calc.secret_access_key = 'secret';
SET athena_calc.session_token = '';
SET athena_calc.region = 'us-east-1';
SET athena_calc.work_group = '';
SET athena_calc.endpoint_url = 'http://127.0.0.1:1';
SET athena_calc.s3_endpoint_url = 'http://127.0.0.1:1';
SET athena_calc.max_attempts = 1;

-- What a statement is refused with.
CREATE FUNCTION pg_temp.refused(statement text) RETURNS TABLE (code text, said text, advice text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, said = MESSAGE_TEXT, advice = PG_EXCEPTION_HINT;
    RETURN NEXT;
END $$;
\x on

SELECT r.* FROM unnest(ARRAY[
    'SELECT * FROM athena_calc.start_calculation_execution(NULL, $py$print(1)$py$)',
    'SELECT athena_calc.get_calculation_execution(NULL)',
    'SELECT athena_calc.get_calculation_execution_status(NULL)',
    'SELECT athena_calc.get_calculation_execution_code(NULL)',
    'SELECT athena_calc.stop_calculation_execution(NULL)',
    'SELECT athena_calc.list_calculation_executions(NULL)',
    'SELECT athena_calc.calculation_stdout(NULL)',
    'SELECT athena_calc.calculation_stderr(NULL)',
    'SELECT athena_calc.calculation_result(NULL)',
    'SELECT athena_calc.get_session(NULL)',
    'SELECT athena_calc.get_session_status(NULL)',
    'SELECT athena_calc.terminate_session(NULL)',
    'SELECT athena_calc.list_executors(NULL)',
    'SELECT athena_calc.list_notebook_sessions(NULL)',
    'SELECT athena_calc.batch_get_calculation_execution(NULL)',
    'SELECT athena_calc.batch_get_calculation_execution_status(ARRAY[''a'', NULL])',
    'SELECT athena_calc.batch_get_calculation_execution(ARRAY[[''a''], [''b'']])',
    'SELECT athena_calc.wait_for_session(NULL)',
    'SELECT athena_calc.wait_for_calculation(NULL)',
    'SELECT athena_calc.wait_for_calculations(NULL)',
    'SELECT athena_calc.wait_for_calculations(ARRAY[''a'', NULL])',
    'SELECT athena_calc.acquire_session(NULL)',
    'SELECT athena_calc.s3_list_objects(NULL)',
    'SELECT athena_calc.s3_get_object(NULL)',
    'SELECT athena_calc.s3_put_object(NULL, ''text'')',
    'SELECT athena_calc.s3_put_object(''s3://bucket/key'', NULL::text)',
    'SELECT athena_calc.s3_put_object(''s3://bucket/key'', NULL::bytea)',
    'SELECT athena_calc.s3_delete_objects(NULL)',
    'SELECT athena_calc.s3_list_objects(''bucket'')',
    'SELECT athena_calc.s3_list_objects(''s3://bucket'', 0)',
    'SELECT athena_calc.s3_get_object(''s3://bucket'')',
    'SELECT athena_calc.s3_delete_objects(''s3://bucket/'')',
    'SELECT athena_calc.copy_from_s3(NULL, ''s3://bucket/key'')',
    'SELECT athena_calc.copy_from_s3(''pg_class'', NULL)',
    'SELECT athena_calc.copy_from_s3(''pg_class'', ''bucket/key'')',
    'SELECT athena_calc.copy_from_s3(''pg_class'', ''s3://bucket/key'', columns => ''{}'')',
    'SELECT athena_calc.copy_from_s3(''pg_class'', ''s3://bucket/key'', format => ''parquet'')',
    'SELECT athena_calc.copy_from_s3(''pg_class'', ''s3://bucket/key'', options => ''[]'')',
    'SELECT athena_calc.invoke(NULL)',
    'SELECT athena_calc.invoke(''GetWorkGroup'', NULL)']) AS statement,
    LATERAL pg_temp.refused(statement) r;

SELECT r.* FROM unnest(ARRAY[
    'SELECT athena_calc.list_calculation_executions(''s'', max_results => 0)',
    'SELECT athena_calc.list_engine_versions(-1)',
    'SELECT athena_calc.calculation_stdout(''c'', 0)',
    'SELECT athena_calc.invoke(''Get Work'')',
    'SELECT athena_calc.invoke(''GetWorkGroup'', ''[]'')',
    'SELECT * FROM athena_calc.start_session(''spark'', tags => ''[1]'')',
    'SELECT * FROM athena_calc.start_session(''spark'', tags => ''{"team": 1}'')']) AS statement,
    LATERAL pg_temp.refused(statement) r;

-- Code, sessions, names and times to wait.
SELECT code, said
  FROM unnest(ARRAY[
    'SELECT * FROM athena_calc.start_calculation_execution(''s'', NULL)',
    'SELECT * FROM athena_calc.start_calculation_execution(''s'', ''a'', code_s3_uri => ''s3://b/c'')',
    'SELECT * FROM athena_calc.start_calculation_execution(''s'', NULL, code_s3_uri => ''b/c'')',
    'SELECT * FROM athena_calc.start_calculation_execution(''s'', ''%%sql'', params => ''{}'')',
    'SELECT * FROM athena_calc.run_calculation()',
    'SELECT * FROM athena_calc.run_calculation(''a'', session_id => ''s'', session_name => ''n'')',
    'SELECT * FROM athena_calc.run_calculation(''a'', session_id => ''s'', work_group => ''w'')',
    'SELECT * FROM athena_calc.run_calculation(''a'', session_id => ''s'', session_options => ''{}'')',
    'SELECT * FROM athena_calc.run_calculation(''a'', timeout => ''-1 s'')',
    'SELECT athena_calc.wait_for_session(''s'', ''-1 s'')',
    'SELECT athena_calc.wait_for_calculation(''c'', ''-1 s'')',
    'SELECT athena_calc.acquire_session('''')',
    'SELECT athena_calc.acquire_session(''n'', session_options => ''[]'')',
    'SELECT athena_calc.acquire_session(''n'', session_options => ''{"engine": "x"}'')',
    'SELECT athena_calc.acquire_session(''n'', session_options => ''{"max_concurrent_dpus": "x"}'')',
    'SELECT athena_calc.acquire_session(''n'', session_options => ''{"description": "x"}'')',
    'CALL athena_calc.run(''a'')']) AS statement,
    LATERAL pg_temp.refused(statement) r;

-- No IDs, no rows, and nobody to ask.
SELECT count(*) FROM athena_calc.batch_get_calculation_execution('{}');
SELECT count(*) FROM athena_calc.wait_for_calculations('{}');

-- What is not set is named, with its setting.
SELECT * FROM pg_temp.refused('SELECT athena_calc.list_sessions()');
SELECT * FROM pg_temp.refused('SELECT * FROM athena_calc.start_session()');
SET athena_calc.region = '';
SELECT * FROM pg_temp.refused('SELECT athena_calc.list_engine_versions()');
SET athena_calc.region = 'us-east-1';
SET athena_calc.secret_access_key = '';
SELECT * FROM pg_temp.refused('SELECT athena_calc.list_engine_versions()');
SET athena_calc.secret_access_key = 'secret';
SET athena_calc.access_key_id = '';
SELECT * FROM pg_temp.refused('SELECT athena_calc.list_engine_versions()');
SET athena_calc.access_key_id = 'AKIDEXAMPLE';

-- Complete settings, and still nobody there.
SELECT code, said ~ '^Athena ListEngineVersions failed: ' AS named, advice
  FROM pg_temp.refused('SELECT athena_calc.list_engine_versions()');
SELECT code FROM pg_temp.refused('SELECT athena_calc.calculation_stdout(''c'')');

-- A batch tells it in the row of each ID.
SELECT calculation_execution_id, state, error_code, error_message IS NOT NULL AS told
  FROM athena_calc.batch_get_calculation_execution_status(ARRAY['a', 'b', 'a']);
RESET ALL;
