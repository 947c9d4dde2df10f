-- A role may do what it was granted, and never choose where credentials go.
LOAD 'athena_calc';
\set VERBOSITY default
CREATE ROLE regress_athena_calc_user;

SET ROLE regress_athena_calc_user;
SELECT * FROM athena_calc.list_engine_versions();
SET athena_calc.endpoint_url = 'http://127.0.0.1:1';
SET athena_calc.s3_endpoint_url = 'http://127.0.0.1:1';
SET athena_calc.ca_bundle = '/tmp/ca.pem';
SET athena_calc.access_key_id = 'A';
SET athena_calc.secret_access_key = 'B';
SET athena_calc.session_token = 'C';
-- These are the user's own affair.
SET athena_calc.region = 'eu-west-1';
SET athena_calc.work_group = 'spark';
SET athena_calc.request_timeout = '1s';
RESET ROLE;

GRANT USAGE ON SCHEMA athena_calc TO regress_athena_calc_user;
SET ROLE regress_athena_calc_user;
SELECT * FROM athena_calc.list_engine_versions();
SELECT athena_calc.invoke('ListEngineVersions');
RESET ROLE;

-- Granted one function, a role has that one; the empty array asks nobody.
GRANT EXECUTE ON FUNCTION athena_calc.batch_get_calculation_execution(text[]) TO regress_athena_calc_user;
SET ROLE regress_athena_calc_user;
SET athena_calc.region = 'us-east-1';
SELECT count(*) FROM athena_calc.batch_get_calculation_execution('{}');
SELECT athena_calc.terminate_session('s');
RESET ROLE;

GRANT EXECUTE ON ALL ROUTINES IN SCHEMA athena_calc TO regress_athena_calc_user;
SELECT bool_and(has_function_privilege('regress_athena_calc_user', oid, 'EXECUTE'))
  FROM pg_proc WHERE pronamespace = 'athena_calc'::regnamespace;

DROP OWNED BY regress_athena_calc_user;
DROP ROLE regress_athena_calc_user;
RESET ALL;
