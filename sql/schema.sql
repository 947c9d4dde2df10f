-- CREATE EXTENSION takes a schema that is there only where it is superusers' alone: else somebody could have functions of his own
-- called in place of the extension's.
\set VERBOSITY default
\set SHOW_CONTEXT never
CREATE ROLE regress_athena_calc_squatter;
DROP EXTENSION athena_calc;

-- The schema is what remains; it is a superuser's.
CREATE EXTENSION athena_calc;
DROP EXTENSION athena_calc;

ALTER SCHEMA athena_calc OWNER TO regress_athena_calc_squatter;
CREATE EXTENSION athena_calc;
ALTER SCHEMA athena_calc OWNER TO CURRENT_USER;

GRANT CREATE ON SCHEMA athena_calc TO regress_athena_calc_squatter;
CREATE EXTENSION athena_calc;

SET ROLE regress_athena_calc_squatter;
CREATE FUNCTION athena_calc.copy_from_s3(target text, uri text, columns text[] DEFAULT NULL, format text DEFAULT 'csv')
RETURNS bigint LANGUAGE sql RETURN 1;
RESET ROLE;
REVOKE CREATE ON SCHEMA athena_calc FROM regress_athena_calc_squatter;
CREATE EXTENSION athena_calc;
DROP FUNCTION athena_calc.copy_from_s3(text, text, text[], text);

GRANT CREATE ON SCHEMA athena_calc TO PUBLIC;
CREATE EXTENSION athena_calc;
REVOKE CREATE ON SCHEMA athena_calc FROM PUBLIC;

-- Default privileges may be such that the schema which is made is nobody's alone.
DROP SCHEMA athena_calc;
ALTER DEFAULT PRIVILEGES GRANT CREATE ON SCHEMAS TO regress_athena_calc_squatter;
CREATE EXTENSION athena_calc;
ALTER DEFAULT PRIVILEGES REVOKE CREATE ON SCHEMAS FROM regress_athena_calc_squatter;
CREATE SCHEMA athena_calc;

-- What superusers have put into it, they may.
CREATE FUNCTION athena_calc.of_a_superuser() RETURNS int LANGUAGE sql RETURN 1;
CREATE EXTENSION athena_calc;
DROP FUNCTION athena_calc.of_a_superuser();

DROP ROLE regress_athena_calc_squatter;
