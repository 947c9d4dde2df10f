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
DO $$
DECLARE
    setting text;
    refused text[] := '{}';
BEGIN
    FOREACH setting IN ARRAY ARRAY['sts_endpoint_url', 'use_fips_endpoint', 'use_dualstack_endpoint',
        'credential_provider', 'role_arn', 'role_session_name', 'external_id', 'web_identity_token_file', 'profile',
        'shared_credentials_file', 'config_file', 'container_credentials_relative_uri',
        'container_credentials_full_uri', 'container_authorization_token', 'container_authorization_token_file',
        'ec2_metadata_service_endpoint', 'ec2_metadata_disabled', 'allow_credential_process']
    LOOP
        BEGIN
            PERFORM set_config('athena_calc.' || setting, '', false);
            RAISE NOTICE '% may be set by anyone', setting;
        EXCEPTION WHEN insufficient_privilege THEN
            refused := refused || setting;
        END;
    END LOOP;
    RAISE NOTICE '% more are refused', cardinality(refused);
END $$;
-- These are the user's own affair.
SET athena_calc.region = 'eu-west-1';
SET athena_calc.work_group = 'spark';
SET athena_calc.request_timeout = '1s';
SET athena_calc.max_poll_interval = '1s';
SET athena_calc.progress = on;
SET athena_calc.on_cancel = leave;
SET athena_calc.server = 'prod';
RESET athena_calc.server;
-- Servers want USAGE on the wrapper.
CREATE SERVER mine FOREIGN DATA WRAPPER athena_calc;
RESET ROLE;

GRANT USAGE ON SCHEMA athena_calc TO regress_athena_calc_user;
SET ROLE regress_athena_calc_user;
SELECT * FROM athena_calc.list_engine_versions();
SELECT athena_calc.invoke('ListEngineVersions');
SELECT * FROM athena_calc.run_calculation('print(1)');
CALL athena_calc.run('print(1)');
-- What is waited for is for everybody to see, as in pg_stat_activity.
SELECT has_table_privilege('athena_calc.activity', 'SELECT') AND has_function_privilege('athena_calc.activity()', 'EXECUTE');
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
