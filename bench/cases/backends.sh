# What a backend holds after many calls, and many backends at once.
#
# shellcheck shell=bash disable=SC2154,SC2317

define_case memory kB athena_calc
define_case 'backends 50' us floor athena_calc two_floors
few_calls=1000
many_calls=100000
calls_of_each=1000

# By how much the memory of a backend's own has grown between few calls and many.
memory_athena_calc() {
	backend <<-SQL
		PREPARE calls AS SELECT count(c) FROM (
		    SELECT athena_calc.get_calculation_execution('$calculation') c FROM generate_series(1, \$1) OFFSET 0) x;
		EXECUTE calls($few_calls) \g /dev/null
		\set before \`awk '\$1 == "RssAnon:" { print \$2 }' "/proc/\$PID/status"\`
		EXECUTE calls($((many_calls - few_calls))) \g /dev/null
		\set after \`awk '\$1 == "RssAnon:" { print \$2 }' "/proc/\$PID/status"\`
		SELECT :after - :before;
	SQL
}

# Runs a function in so many processes at once, which begin together at a moment that they are told, after warming calls, and
# print when they have ended and their CPU seconds: the microseconds of the whole for each call, and of CPU.
# run_together COUNT FUNCTION
run_together() {
	local start i
	start=$(($(date +%s) + 3 + $1 / 10))
	for ((i = 0; i < $1; i++)); do
		"$2" "$start" &
	done >"$work/together"
	wait
	awk -v "start=$start" -v "count=$1" -v "calls=$calls_of_each" '
		{ if ($1 > end) end = $1; cpu += $2 }
		END {
			if (NR != count) exit 1
			printf "%.2f - %.2f\n", (end - start) * 1e6 / count / calls, cpu * 1e6 / count / calls
		}' "$work/together" || fail "of $1 programs at once some have failed"
}

loop_floor() { floor loop "$athena_url/" "$one_ca" "$calls_of_each" "$1"; }
backends_floor() { run_together "$1" loop_floor; }
backends_two_floors() { run_together 2 loop_floor; }
backends_athena_calc() { run_together "$1" loop_athena_calc; }

# Every call must succeed, and leave no descriptor behind.
loop_athena_calc() {
	backend <<-SQL
		PREPARE calls AS SELECT count((c).state) FROM (
		    SELECT athena_calc.get_calculation_execution('$calculation') c FROM generate_series(1, \$1) OFFSET 0) x;
		EXECUTE calls(10) \g /dev/null
		SELECT 1 / (clock_timestamp() < to_timestamp($1))::int \g /dev/null
		SELECT pg_sleep(extract(epoch FROM to_timestamp($1) - clock_timestamp())) \g /dev/null
		\set descriptors \`ls "/proc/\$PID/fd" | wc -l\`
		\set before \`cut -d ' ' -f 1 "/proc/\$PID/schedstat"\`
		EXECUTE calls($calls_of_each) \gset
		SELECT extract(epoch FROM clock_timestamp()) AS ended \gset
		\set after \`cut -d ' ' -f 1 "/proc/\$PID/schedstat"\`
		\set descriptors_after \`ls "/proc/\$PID/fd" | wc -l\`
		SELECT 1 / (:count = $calls_of_each AND :descriptors_after <= :descriptors)::int \g /dev/null
		SELECT :ended, (:after - :before) / 1e9;
	SQL
}
