-- What each setting refuses, and what it shows.
LOAD 'athena_calc';
\set VERBOSITY default

-- Defaults that a server's configuration does not change.
SELECT name, unit, context, min_val, max_val, boot_val
  FROM pg_settings
 WHERE name LIKE 'athena\_calc.%'
 ORDER BY name COLLATE "C";

-- A region is one label of a host name: it cannot change the host.
SET athena_calc.region = 'us-east-1';
SET athena_calc.region = 'us-east-1.evil.example/';
SET athena_calc.region = 'us east';
SET athena_calc.region = '-east';
SHOW athena_calc.region;

-- An endpoint is scheme, host, port, path. Refusals do not repeat it, there may be a password in it.
SET athena_calc.endpoint_url = 'https://vpce-1.athena.us-east-1.vpce.amazonaws.com';
SET athena_calc.endpoint_url = 'http://[::1]:8080/base/';
SET athena_calc.endpoint_url = 'ftp://host';
SET athena_calc.endpoint_url = 'host:8080';
SET athena_calc.endpoint_url = 'https://user:secret@host';
SET athena_calc.endpoint_url = 'https://host/?query';
SET athena_calc.endpoint_url = 'https://host/#fragment';
SET athena_calc.endpoint_url = 'https://host:99999';
SET athena_calc.endpoint_url = 'https://';
SET athena_calc.endpoint_url = E'https://host/\r\nX: y';
SET athena_calc.s3_endpoint_url = 'https://user@host';
SHOW athena_calc.endpoint_url;

-- Keys are shown masked, and a refused one is not shown at all.
SET athena_calc.secret_access_key = '';
SHOW athena_calc.secret_access_key;
SET athena_calc.access_key_id = 'AKIDEXAMPLE';
SET athena_calc.secret_access_key = 'very/secret';
SET athena_calc.session_token = 'very-secret-token';
SHOW athena_calc.access_key_id;
SHOW athena_calc.secret_access_key;
SELECT current_setting('athena_calc.session_token');
SELECT name FROM pg_settings WHERE name IN ('athena_calc.secret_access_key', 'athena_calc.session_token');
SET athena_calc.access_key_id = E'two\nlines';
SET athena_calc.secret_access_key = E'two\nlines';
SET athena_calc.session_token = 'two words';
SET athena_calc.secret_access_key = '********';
SET athena_calc.session_token = '********';
SET athena_calc.container_authorization_token = 'Bearer very/secret';
SHOW athena_calc.container_authorization_token;
SELECT count(*) FROM pg_settings WHERE name = 'athena_calc.container_authorization_token';
SET athena_calc.container_authorization_token = E'very/secret\r\nX: y';
SET athena_calc.container_authorization_token = '********';
RESET athena_calc.container_authorization_token;
SHOW athena_calc.container_authorization_token;

-- Catalogs are for everyone to read: no secret goes there.
SELECT current_database() AS database \gset
CREATE ROLE regress_athena_calc_keeper;
ALTER ROLE regress_athena_calc_keeper SET athena_calc.secret_access_key = 'very/secret';
ALTER ROLE regress_athena_calc_keeper SET athena_calc.session_token = 'very-secret-token';
ALTER ROLE regress_athena_calc_keeper SET athena_calc.container_authorization_token = 'Bearer very/secret';
ALTER ROLE ALL SET athena_calc.secret_access_key = 'very/secret';
ALTER DATABASE :"database" SET athena_calc.secret_access_key = 'very/secret';
ALTER ROLE regress_athena_calc_keeper IN DATABASE :"database" SET athena_calc.session_token = 'very-secret-token';
ALTER ROLE regress_athena_calc_keeper SET athena_calc.secret_access_key FROM CURRENT;
CREATE FUNCTION pg_temp.keeper() RETURNS int LANGUAGE sql
    SET athena_calc.secret_access_key = 'very/secret' AS 'SELECT 1';
SELECT count(*) FROM pg_db_role_setting WHERE setconfig::text LIKE '%athena\_calc%';
-- What is no secret may be kept, and a wrong value is refused there, too.
ALTER ROLE regress_athena_calc_keeper SET athena_calc.region = 'eu-west-1';
ALTER ROLE regress_athena_calc_keeper SET athena_calc.profile = 'etl';
ALTER ROLE regress_athena_calc_keeper SET athena_calc.server = 'prod';
ALTER ROLE regress_athena_calc_keeper SET athena_calc.region = 'eu west';
ALTER ROLE regress_athena_calc_keeper SET athena_calc.endpoint_url = 'https://user:secret@host';
SELECT unnest(s.setconfig) FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole
 WHERE r.rolname = 'regress_athena_calc_keeper';
DROP ROLE regress_athena_calc_keeper;

SET athena_calc.ca_bundle = E'/etc/ssl\n/x';
SET athena_calc.work_group = 'spark.v3_team-1';
SET athena_calc.work_group = 'spark work group';
SET athena_calc.work_group = 'spark/group';

-- Where credentials come from. Any setting may be empty: then the server's environment counts.
SET athena_calc.credential_provider = 'instance';
SET athena_calc.credential_provider = 'imds';
SET athena_calc.credential_provider = '';
SET athena_calc.role_arn = 'arn:aws:iam::123456789012:role/etl';
SET athena_calc.role_arn = 'etl';
SET athena_calc.role_arn = 'arn:aws:iam::123456789012:role/two words';
SET athena_calc.role_session_name = 'etl@example.com';
SET athena_calc.role_session_name = 'e';
SET athena_calc.role_session_name = 'two words';
SET athena_calc.external_id = 'a:b/c';
SET athena_calc.external_id = 'x';
SET athena_calc.external_id = 'a&b=c';
SET athena_calc.web_identity_token_file = '/var/run/secrets/token';
SET athena_calc.web_identity_token_file = E'/var/run\n/x';
SET athena_calc.profile = 'etl';
SET athena_calc.profile = E'two\nlines';
SET athena_calc.shared_credentials_file = E'/home\n/x';
SET athena_calc.config_file = E'/home\n/x';
SET athena_calc.container_credentials_relative_uri = '/v2/credentials/1?x=y';
SET athena_calc.container_credentials_relative_uri = '@evil.example/';
SET athena_calc.container_credentials_full_uri = 'http://127.0.0.1/v1/credentials?x=y';
SET athena_calc.container_credentials_full_uri = '/v1/credentials';
SET athena_calc.container_credentials_full_uri = 'https://user:secret@host/v1';
SET athena_calc.container_credentials_full_uri = 'https://host/#secret';
SET athena_calc.container_authorization_token_file = E'/var/run\n/x';
SET athena_calc.ec2_metadata_service_endpoint = 'http://[fd00:ec2::254]';
SET athena_calc.ec2_metadata_service_endpoint = 'http://user:secret@host';
SET athena_calc.ec2_metadata_disabled = 'yes';
SET athena_calc.ec2_metadata_disabled = 'maybe';
SET athena_calc.sts_endpoint_url = 'https://sts.us-east-1.amazonaws.com';
SET athena_calc.sts_endpoint_url = 'https://user:secret@host';
SET athena_calc.use_fips_endpoint = 'TRUE';
SET athena_calc.use_fips_endpoint = '2';
SET athena_calc.use_dualstack_endpoint = 'off';
SET athena_calc.use_dualstack_endpoint = 'false ';
SET athena_calc.allow_credential_process = maybe;
SELECT name, setting FROM pg_settings
 WHERE name ~ '^athena_calc\.(cred|role|ext|web|prof|cont|ec2|sts|use|allow)'
 ORDER BY name COLLATE "C";
-- A server is looked up by the call.
SET athena_calc.server = 'none such';
\set VERBOSITY terse
SELECT athena_calc.get_session('s');
\set VERBOSITY default
RESET athena_calc.server;

-- Times and sizes take units, and have limits.
SET athena_calc.connect_timeout = '500ms';
SHOW athena_calc.connect_timeout;
SET athena_calc.request_timeout = '2min';
SHOW athena_calc.request_timeout;
SET athena_calc.max_response_size = '1MB';
SHOW athena_calc.max_response_size;
SET athena_calc.max_poll_interval = '1min';
SHOW athena_calc.max_poll_interval;
SET athena_calc.on_cancel = leave;
SET athena_calc.on_cancel = terminate;
SHOW athena_calc.on_cancel;
SET athena_calc.progress = yes;
SET athena_calc.progress = loud;
SHOW athena_calc.progress;
-- (PostgreSQL's versions differ in how they print the bounds.)
CREATE FUNCTION pg_temp.is_refused(setting text, value text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('athena_calc.' || setting, value, true);
    RETURN false;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN true;
END $$;
SELECT setting, value, pg_temp.is_refused(setting, value)
  FROM (VALUES ('connect_timeout', '0'), ('connect_timeout', '1ms'), ('request_timeout', '0'),
               ('request_timeout', '24h'), ('request_timeout', '25h'), ('max_attempts', '0'), ('max_attempts', '20'),
               ('max_attempts', '21'), ('max_concurrency', '0'), ('max_concurrency', '1000'),
               ('max_concurrency', '1001'), ('max_response_size', '0'), ('max_response_size', '512MB'),
               ('max_response_size', '1GB'),
               ('max_poll_interval', '49ms'), ('max_poll_interval', '50ms'), ('max_poll_interval', '1h'),
               ('max_poll_interval', '61min'), ('max_attempts', 'many')) AS tried (setting, value);

-- A misspelt setting is no setting (14 takes it, and warns when the library is loaded).
DO $$
BEGIN
    PERFORM set_config('athena_calc.endpoint', 'https://host', true);
    IF current_setting('server_version_num')::int >= 150000 THEN
        RAISE NOTICE 'it was taken';
    END IF;
EXCEPTION WHEN invalid_name THEN
    NULL;
END $$;

RESET ALL;
