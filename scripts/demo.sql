-- What scripts/demo runs and shows: psql -e sends these statements and prints them with their rows.

CREATE EXTENSION athena_calc;

-- What was started is kept in a table, as a job of your own would.
CREATE TABLE started (name text PRIMARY KEY, id text NOT NULL, state text);

INSERT INTO started
SELECT 'session', * FROM athena_calc.start_session(description => 'the demo')
RETURNING *;

SELECT id AS session FROM started WHERE name = 'session' \gset
\set awaited IDLE
\ir demo-session.sql

INSERT INTO started
SELECT 'twins', * FROM athena_calc.start_calculation_execution(:'session', $python$
import json, time

def is_prime(n):
    return n > 1 and all(n % d for d in range(2, int(n ** 0.5) + 1))

twins = [(n, n + 2) for n in range(100_000) if is_prime(n) and is_prime(n + 2)]
time.sleep(1)
for first, second in twins[-3:]:
    print(json.dumps({"first": first, "second": second, "product": first * second}))
$python$, description => 'twin primes')
RETURNING *;

SELECT id AS calculation FROM started WHERE name = 'twins' \gset
\ir demo-watch.sql

SELECT * FROM athena_calc.get_calculation_execution(:'calculation') \g (expanded=on)

SELECT athena_calc.calculation_stdout(:'calculation');

-- Lines of JSON are rows.
SELECT twin.*
FROM string_to_table(rtrim(athena_calc.calculation_stdout(:'calculation'), E'\n'), E'\n') AS line,
     jsonb_to_record(line::jsonb) AS twin (first int, second int, product bigint);

-- A session keeps its variables.
INSERT INTO started
SELECT 'count', * FROM athena_calc.start_calculation_execution(:'session', $python$
print(len(twins), "pairs of twin primes below 100,000")
$python$, description => 'uses the first one''s variable')
RETURNING *;

SELECT id AS calculation FROM started WHERE name = 'count' \gset
\ir demo-watch.sql
SELECT athena_calc.calculation_stdout(:'calculation');

-- A long one is stopped.
INSERT INTO started
SELECT 'long', * FROM athena_calc.start_calculation_execution(:'session', $python$
import time
time.sleep(3600)
$python$, description => 'an hour''s sleep')
RETURNING *;

SELECT id AS calculation FROM started WHERE name = 'long' \gset
SELECT state FROM athena_calc.get_calculation_execution_status(:'calculation');
SELECT athena_calc.stop_calculation_execution(:'calculation');
\ir demo-watch.sql
\ir demo-session.sql

-- One fails, and says why.
INSERT INTO started
SELECT 'failing', * FROM athena_calc.start_calculation_execution(:'session', $python$
print(1 / 0)
$python$, description => 'divides by zero')
RETURNING *;

SELECT id AS calculation FROM started WHERE name = 'failing' \gset
\ir demo-watch.sql

SELECT description, state, completion_date_time - submission_date_time AS took
FROM athena_calc.list_calculation_executions(:'session');

-- All together, and one that does not exist: its error stands in its own row.
SELECT state, dpu_execution_in_millis, error_code, error_message
FROM athena_calc.batch_get_calculation_execution_status(
         (SELECT array_agg(id) || text '00000000-0000-0000-0000-000000000000'
          FROM started WHERE name <> 'session'));

SELECT athena_calc.terminate_session(:'session');
\set awaited TERMINATED
\ir demo-session.sql
