# One call after another, and the first one.
#
# shellcheck shell=bash disable=SC2154,SC2317

define_case query us floor athena_calc boto3 javascript plpython pgsql_http
define_case statements us floor athena_calc
define_case 'first directory' ms floor athena_calc
define_case 'first file' ms floor athena_calc boto3 javascript plpython

query_floor() {
	floor calls "$athena_url/" "$one_ca" "$calls" | scaled 1e6
}

# All calls in one statement.
query_athena_calc() {
	backend <<-SQL
		PREPARE calls AS SELECT count(c) FROM (
		    SELECT athena_calc.get_calculation_execution('$calculation') c FROM generate_series(1, \$1) OFFSET 0) x;
		EXECUTE calls(200) \g /dev/null
		\set before \`cut -d ' ' -f 1 "/proc/\$PID/schedstat"\`
		EXECUTE calls($calls) \g /dev/null
		\set after \`cut -d ' ' -f 1 "/proc/\$PID/schedstat"\`
		$(select_figures "$calls" "
		    SELECT array_agg(at) FILTER (WHERE (calculation).state = 'COMPLETED')
		      FROM (SELECT clock_timestamp() AS at, athena_calc.get_calculation_execution('$calculation') AS calculation
		              FROM generate_series(1, $calls) OFFSET 0) called")
	SQL
}

# The statement that prints the figures of so many calls: of the time between the moments of an array, and of the CPU time between
# what psql's variables `before` and `after` have. Gathering the moments counts as the calls', so it is as little work as can be.
# select_figures COUNT QUERY-OF-THE-ARRAY
select_figures() {
	cat <<-SQL
		SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY us), percentile_disc(0.99) WITHIN GROUP (ORDER BY us),
		       round((:after - :before) / 1000.0 / $1, 1)
		  FROM (SELECT extract(epoch FROM at - lag(at) OVER ()) * 1e6 AS us FROM unnest(($2)) at) passed;
	SQL
}

query_boto3() { boto3 query "$athena_url" "$one_ca" "$peer_calls" | scaled 1e6; }
query_javascript() { javascript query "$athena_url" "$one_ca" "$peer_calls" | scaled 1e6; }

query_plpython() {
	time_calls_in_plpgsql "SELECT plpython_call('$athena_url', '$one_ca') INTO result" "$peer_calls"
}

query_pgsql_http() {
	time_calls_in_plpgsql "SELECT content::jsonb -> 'Status' ->> 'State' INTO result FROM pgsql_http_call('$athena_url')" \
		"$peer_calls" "SET http.keepalive = on; SELECT http_set_curlopt('CURLOPT_CAINFO', '$one_ca') \\g /dev/null"
}

statements_floor() { query_floor; }

# A statement for each call, with the executor's start and end, and all columns.
statements_athena_calc() {
	time_calls_in_plpgsql "SELECT * INTO result FROM athena_calc.get_calculation_execution('$calculation')" "$calls"
}

# Times a statement of PL/pgSQL again and again; the CPU time is that of a second time, without the clock.
# time_calls_in_plpgsql STATEMENT TIMES [PREPARATION]
time_calls_in_plpgsql() {
	backend <<-SQL
		${3:-}
		CREATE TEMP TABLE timed (moments timestamptz[]);
		DO \$\$
		DECLARE
		    result record;
		    moments timestamptz[];
		BEGIN
		    FOR i IN 1..50 LOOP
		        $1;
		    END LOOP;
		    FOR i IN 1..$2 LOOP
		        moments[i] := clock_timestamp();
		        $1;
		    END LOOP;
		    INSERT INTO timed VALUES (moments);
		END \$\$;
		\set before \`cut -d ' ' -f 1 "/proc/\$PID/schedstat"\`
		DO \$\$
		DECLARE
		    result record;
		BEGIN
		    FOR i IN 1..$2 LOOP
		        $1;
		    END LOOP;
		END \$\$;
		\set after \`cut -d ' ' -f 1 "/proc/\$PID/schedstat"\`
		$(select_figures "$2" 'SELECT moments FROM timed')
	SQL
}

# The authorities of a system, as it has them: "file" or "directory".
system_authorities() {
	[ "$1" = file ] && echo "$system_file" || echo "$system_directory"
}

# Prints "time - cpu" of "time cpu", in ms.
time_and_cpu_ms() {
	scaled 1e3 | sed 's/ / - /'
}

first_floor() { floor first "$athena_url/" "$(system_authorities "$1")" | time_and_cpu_ms; }

first_athena_calc() {
	time_statement "SET athena_calc.ca_bundle = '$(system_authorities "$1")';" \
		"SELECT state FROM athena_calc.get_calculation_execution('$calculation')" | time_and_cpu_ms
}

# Peers take a file alone.
first_boto3() { boto3 first "$athena_url" "$system_file" | time_and_cpu_ms; }
first_javascript() { javascript first "$athena_url" "$system_file" | time_and_cpu_ms; }

first_plpython() {
	time_statement '' "SELECT plpython_call('$athena_url', '$system_file')" | time_and_cpu_ms
}
