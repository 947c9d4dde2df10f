-- Shows how the calculation :calculation stands, twice a second, until it has ended.
SELECT pg_sleep(0.5) \gset
SELECT completion_date_time IS NULL AS running FROM athena_calc.get_calculation_execution_status(:'calculation') \gset
SELECT state, progress, dpu_execution_in_millis, state_change_reason
FROM athena_calc.get_calculation_execution_status(:'calculation');
\if :running
\ir demo-watch.sql
\endif
