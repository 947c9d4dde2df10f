-- What CREATE EXTENSION makes: every function with a comment, pinned attributes, and for nobody yet (but activity).
\set VERBOSITY terse

SELECT p.proname AS function,
       pg_get_function_result(p.oid) LIKE 'SETOF%' OR pg_get_function_result(p.oid) LIKE 'TABLE%' AS set,
       p.provolatile AS volatile, p.proparallel AS parallel, p.procost AS cost,
       p.proisstrict OR p.prosecdef OR p.proleakproof AS unexpected,
       d.description IS NOT NULL AS comment,
       has_function_privilege('pg_monitor', p.oid, 'EXECUTE') AS anyone_may
  FROM pg_proc p
       LEFT JOIN pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_proc'::regclass
 WHERE p.pronamespace = 'athena_calc'::regnamespace
 ORDER BY p.proname COLLATE "C", 2;

SELECT t.typname AS type, d.description IS NOT NULL AS comment, count(*) AS columns
  FROM pg_type t
       JOIN pg_class c ON c.oid = t.typrelid
       JOIN pg_attribute a ON a.attrelid = c.oid
       LEFT JOIN pg_description d ON d.objoid = t.oid AND d.classoid = 'pg_type'::regclass
 WHERE t.typnamespace = 'athena_calc'::regnamespace AND c.relkind = 'c'
 GROUP BY 1, 2
 ORDER BY t.typname COLLATE "C";

-- Arguments in their order, with their defaults.
SELECT p.proname AS function, pg_get_function_arguments(p.oid) AS arguments
  FROM pg_proc p
 WHERE p.pronamespace = 'athena_calc'::regnamespace AND p.proname ~ '^(start|list|calculation|invoke|check|wait|acquire|run|s3|copy)'
 ORDER BY p.proname COLLATE "C", 2;

-- The view, and what it asks.
SELECT a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type
  FROM pg_attribute a
 WHERE a.attrelid = 'athena_calc.activity'::regclass AND a.attnum > 0
 ORDER BY a.attnum;
SELECT obj_description('athena_calc.activity'::regclass) IS NOT NULL AS comment,
       has_table_privilege('pg_monitor', 'athena_calc.activity', 'SELECT') AS anyone_may,
       pg_get_function_result('athena_calc.activity'::regproc) AS result;

-- Accounts are servers of this wrapper, which makes no foreign tables. Nobody may use it yet.
SELECT w.fdwname AS wrapper, w.fdwhandler::regproc AS handler, w.fdwvalidator::regproc AS validator,
       d.description IS NOT NULL AS comment,
       has_foreign_data_wrapper_privilege('pg_monitor', w.oid, 'USAGE') AS anyone_may
  FROM pg_foreign_data_wrapper w
       LEFT JOIN pg_description d ON d.objoid = w.oid AND d.classoid = 'pg_foreign_data_wrapper'::regclass
 WHERE w.fdwname = 'athena_calc';

-- The schema is fixed.
CREATE SCHEMA elsewhere;
ALTER EXTENSION athena_calc SET SCHEMA elsewhere;
DROP SCHEMA elsewhere;
