-- Shows how the session :session stands, twice a second, until its state is :awaited.
SELECT state <> :'awaited' AS waiting FROM athena_calc.get_session_status(:'session') \gset
SELECT state, start_date_time, idle_since_date_time, end_date_time
FROM athena_calc.get_session_status(:'session');
\if :waiting
SELECT pg_sleep(0.5) \gset
\ir demo-session.sql
\endif
