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

-- Catalogs are for everyone to read: no secret goes there.
CREATE ROLE regress_athena_calc_keeper;
ALTER ROLE regress_athena_calc_keeper SET athena_calc.secret_access_key = 'very/secret';
ALTER ROLE regress_athena_calc_keeper SET athena_calc.session_token = 'very-secret-token';
ALTER ROLE regress_athena_calc_keeper SET athena_calc.secret_access_key FROM CURRENT;
CREATE FUNCTION pg_temp.keeper() RETURNS int LANGUAGE sql
    SET athena_calc.secret_access_key = 'very/secret' AS 'SELECT 1';
SELECT count(*) FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole
 WHERE r.rolname = 'regress_athena_calc_keeper';
DROP ROLE regress_athena_calc_keeper;

SET athena_calc.ca_bundle = E'/etc/ssl\n/x';
SET athena_calc.work_group = 'spark.v3_team-1';
SET athena_calc.work_group = 'spark work group';
SET athena_calc.work_group = 'spark/group';

-- Times and sizes take units, and have limits.
SET athena_calc.connect_timeout = '500ms';
SHOW athena_calc.connect_timeout;
SET athena_calc.request_timeout = '2min';
SHOW athena_calc.request_timeout;
SET athena_calc.max_response_size = '1MB';
SHOW athena_calc.max_response_size;
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
               ('max_response_size', '1GB'), ('max_attempts', 'many')) AS tried (setting, value);

-- A misspelt setting is no setting.
SET athena_calc.endpoint = 'https://host';

RESET ALL;
