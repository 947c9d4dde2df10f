# Many statuses at once.
#
# shellcheck shell=bash disable=SC2154,SC2317

define_case 'connections directory 100' ms floor athena_calc
define_case 'connections file 100' ms floor athena_calc boto3
define_case 'http2 100' ms http1 floor athena_calc
for count in 100 1000; do
	for at_once in 32 100; do
		define_case "batch $count $at_once" ms ideal floor athena_calc boto3 javascript plpython
	done
done
define_case 'throughput 32' us floor athena_calc
define_case 'throughput 100' us floor athena_calc
throughput_calls=20000

# The statement that asks for so many statuses.
batch_of() {
	cat <<-END
		SELECT count(state) FROM athena_calc.batch_get_calculation_execution_status(
		    (SELECT array_agg('7e6f5d4c-aaaa-4bbb-8ccc-' || lpad(i::text, 12, '0')) FROM generate_series(1, $1) i))
	END
}

# New connections, verified against all that a system trusts; the floor has but the one authority.
connections_floor() { floor batch "$athena_url/" "$one_ca" "$2" "$2" | time_and_cpu_ms; }
connections_athena_calc() { connect_athena_calc "$2" "$athena_url" "$(system_authorities "$1")"; }
connections_boto3() { boto3 batch "$athena_url" "$(system_authorities "$1")" "$2" "$2" | time_and_cpu_ms; }

# connect_athena_calc COUNT URL AUTHORITIES
connect_athena_calc() {
	time_statement "
		SET athena_calc.endpoint_url = '$2';
		SET athena_calc.ca_bundle = '$3';
		SET athena_calc.max_concurrency = $1;" "$(batch_of "$1")" | time_and_cpu_ms
}

# A batch finds out whether there is HTTP/2; it is for those that follow.
prepare_http2() { http2_athena_calc 2 >/dev/null; }
http2_http1() { connect_athena_calc "$1" "$athena_url" "$system_file"; }
http2_floor() { floor http2 "$http2_athena_url/" "$one_ca" "$1" "$1" | time_and_cpu_ms; }
http2_athena_calc() { connect_athena_calc "$1" "$http2_athena_url" "$system_file"; }

# What so many take at best, when each takes the endpoint's delay.
batch_ideal() {
	local turns=$((($1 + $2 - 1) / $2))
	echo $((turns * delay_ms))
}

batch_floor() { floor warm "$slow_athena_url/" "$one_ca" "$1" "$2" | time_and_cpu_ms; }

batch_athena_calc() {
	time_statement "
		SET athena_calc.endpoint_url = '$slow_athena_url';
		SET athena_calc.max_concurrency = $2;
		$(batch_of "$2") \\g /dev/null" "$(batch_of "$1")" | time_and_cpu_ms
}

batch_boto3() { boto3 warm "$slow_athena_url" "$one_ca" "$1" "$2" | time_and_cpu_ms; }
batch_javascript() { javascript warm "$slow_athena_url" "$one_ca" "$1" "$2" | time_and_cpu_ms; }

# The CPU time of its threads is not in the backend's own.
batch_plpython() {
	time_statement "SELECT plpython_batch('$slow_athena_url', '$one_ca', $2, $2) \\g /dev/null" \
		"SELECT plpython_batch('$slow_athena_url', '$one_ca', $1, $2)" | scaled 1e3 | cut -d ' ' -f 1
}

# Without delay: microseconds for each of many.
per_call() {
	scaled "$((1000000 / throughput_calls))" | sed 's/ / - /'
}

throughput_floor() { floor warm "$athena_url/" "$one_ca" "$throughput_calls" "$1" | per_call; }

throughput_athena_calc() {
	time_statement "
		SET athena_calc.max_concurrency = $1;
		$(batch_of "$1") \\g /dev/null" "$(batch_of "$throughput_calls")" | per_call
}
