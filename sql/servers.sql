-- What servers and user mappings may have. Refusals do not repeat a value: it may be a secret.
\set VERBOSITY default
CREATE ROLE regress_athena_calc_owner;
GRANT USAGE ON FOREIGN DATA WRAPPER athena_calc TO regress_athena_calc_owner;

-- A superuser's server may have all of these.
CREATE SERVER regress_prod FOREIGN DATA WRAPPER athena_calc OPTIONS (
    region 'us-east-1', work_group 'spark', endpoint_url 'https://athena.example', s3_endpoint_url 'https://s3.example',
    sts_endpoint_url 'https://sts.example', use_fips_endpoint 'false', use_dualstack_endpoint 'false',
    ca_bundle '/etc/ssl/ca.pem', credential_provider 'profile', profile 'etl',
    role_arn 'arn:aws:iam::123456789012:role/etl', role_session_name 'nightly', external_id 'a:b/c');
CREATE SERVER regress_plain FOREIGN DATA WRAPPER athena_calc;

-- An unknown option, and the ones of the other kind.
ALTER SERVER regress_plain OPTIONS (ADD regions 'us-east-1');
ALTER SERVER regress_plain OPTIONS (ADD access_key_id 'AKIDEXAMPLE');
ALTER SERVER regress_plain OPTIONS (ADD secret_access_key 'very/secret');
ALTER SERVER regress_plain OPTIONS (ADD config_file '/etc/aws');
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_plain OPTIONS (password 'very/secret');
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_plain OPTIONS (region 'us-east-1');
ALTER FOREIGN DATA WRAPPER athena_calc OPTIONS (ADD region 'us-east-1');

-- Values that cannot be right.
ALTER SERVER regress_plain OPTIONS (ADD region 'us east');
ALTER SERVER regress_plain OPTIONS (ADD region '');
ALTER SERVER regress_plain OPTIONS (ADD work_group 'spark/group');
ALTER SERVER regress_plain OPTIONS (ADD endpoint_url 'https://user:secret@host');
ALTER SERVER regress_plain OPTIONS (ADD sts_endpoint_url 'host');
ALTER SERVER regress_plain OPTIONS (ADD use_fips_endpoint 'maybe');
ALTER SERVER regress_plain OPTIONS (ADD credential_provider 'settings and more');
ALTER SERVER regress_plain OPTIONS (ADD role_arn 'etl');
ALTER SERVER regress_plain OPTIONS (ADD role_session_name 'x');
ALTER SERVER regress_plain OPTIONS (ADD external_id 'a&b');
ALTER SERVER regress_plain OPTIONS (ADD profile E'two\nlines');
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_plain
    OPTIONS (access_key_id 'AKIDEXAMPLE', secret_access_key E'very/secret\n');
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_plain
    OPTIONS (access_key_id 'AKID/EXAMPLE', secret_access_key 'very/secret');
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_plain
    OPTIONS (access_key_id 'AKIDEXAMPLE', secret_access_key 'very/secret', session_token 'very secret');

-- What belongs together.
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_plain OPTIONS (access_key_id 'AKIDEXAMPLE');
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_plain OPTIONS (secret_access_key 'very/secret');
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_plain OPTIONS (session_token 'very-secret');
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_plain OPTIONS (external_id 'a:b/c');
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_plain
    OPTIONS (access_key_id 'AKIDEXAMPLE', secret_access_key 'very/secret');
ALTER USER MAPPING FOR CURRENT_USER SERVER regress_plain OPTIONS (DROP secret_access_key);
ALTER USER MAPPING FOR CURRENT_USER SERVER regress_plain OPTIONS (ADD session_token 'very-secret-token');
ALTER USER MAPPING FOR CURRENT_USER SERVER regress_plain OPTIONS (DROP access_key_id, DROP secret_access_key);
ALTER USER MAPPING FOR CURRENT_USER SERVER regress_plain
    OPTIONS (DROP access_key_id, DROP secret_access_key, DROP session_token);
SELECT um.umoptions FROM pg_user_mappings um WHERE um.srvname = 'regress_plain';

-- A role that may make servers does not choose where requests go, or what the server's credentials are used for.
SET ROLE regress_athena_calc_owner;
CREATE SERVER regress_own FOREIGN DATA WRAPPER athena_calc
    OPTIONS (region 'eu-west-1', work_group 'own');
DO $$
DECLARE
    candidate text;
BEGIN
    FOREACH candidate IN ARRAY ARRAY['endpoint_url ''https://evil.example''',
        's3_endpoint_url ''https://evil.example''',
        'sts_endpoint_url ''https://evil.example''', 'ca_bundle ''/tmp/ca.pem''', 'profile ''admin''',
        'role_arn ''arn:aws:iam::123456789012:role/admin''', 'external_id ''id''',
        'role_session_name ''owner''', 'use_fips_endpoint ''true''',
        'use_dualstack_endpoint ''true''', 'credential_provider ''instance''']
    LOOP
        BEGIN
            EXECUTE format('ALTER SERVER regress_own OPTIONS (ADD %s)', candidate);
            RAISE NOTICE 'he may set %', candidate;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE '%', SQLERRM;
        END;
    END LOOP;
END $$;
ALTER SERVER regress_own OPTIONS (ADD endpoint_url 'https://evil.example');
CREATE SERVER regress_other FOREIGN DATA WRAPPER athena_calc OPTIONS (endpoint_url 'https://evil.example');
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_own OPTIONS (role_arn 'arn:aws:iam::123456789012:role/admin');
-- Nor by the servers of others.
ALTER SERVER regress_prod OPTIONS (SET region 'eu-west-1');
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_prod;
-- Whoever brings keys may use them for any role.
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_own
    OPTIONS (access_key_id 'AKIDOWN', secret_access_key 'very/secret',
             role_arn 'arn:aws:iam::123456789012:role/own', role_session_name 'owner', external_id 'id');
ALTER USER MAPPING FOR CURRENT_USER SERVER regress_own OPTIONS (DROP access_key_id, DROP secret_access_key);
RESET ROLE;

-- There are no foreign tables.
CREATE FOREIGN TABLE regress_table (a int) SERVER regress_plain OPTIONS (region 'us-east-1');
CREATE FOREIGN TABLE regress_table (a int) SERVER regress_plain;
SELECT * FROM regress_table;
INSERT INTO regress_table VALUES (1);
IMPORT FOREIGN SCHEMA public FROM SERVER regress_plain INTO public;
DROP FOREIGN TABLE regress_table;

-- The extension stays while there are servers.
\set VERBOSITY terse
DROP EXTENSION athena_calc;
SET client_min_messages = warning;
DROP OWNED BY regress_athena_calc_owner CASCADE;
DROP ROLE regress_athena_calc_owner;
DROP SERVER regress_prod, regress_plain CASCADE;
