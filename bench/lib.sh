# What the cases share: how a case is declared, and programs that measure.
#
# A case is its name, a unit, and programs that are measured in turn, the first of which the others are compared to.
# A program is a function <case>_<program>; it gets the case's arguments and prints what it took in that unit: the time, and
# where it has them the 99th percentile and the CPU time, "-" for what it has not. A case with arguments is declared once for
# each set of them. A function prepare_<case>, if there is one, runs once before the first round.
#
# Helpers print seconds; `scaled` turns them into the unit.
#
# shellcheck shell=bash disable=SC2034,SC2154  # variables of and for the other files

declare -a cases=()
declare -A units=() programs=()

# Where in this order a calculation is one of many.
calculation=7e6f5d4c-aaaa-4bbb-8ccc-ddddeeeeffff

# define_case 'NAME ARGUMENTS' UNIT PROGRAM...
define_case() {
	cases+=("$1")
	units[$1]=$2
	programs[$1]=${*:3}
}

# Multiplies the numbers that it reads.
scaled() {
	awk -v "factor=$1" '{ for (i = 1; i <= NF; i++) $i = sprintf("%.4f", $i * factor) } 1'
}

# The floor, on the first core.
floor() {
	"${as_user[@]}" taskset -c 0 "$work/floor" "$@"
}

# A session of psql in a fresh backend on the first core; standard input has the statements, :cpu sets a variable named cpu
# to the CPU seconds so far.
backend() {
	{
		cat <<-'END'
			SELECT pg_backend_pid() AS pid \gset
			\setenv PID :pid
			\! taskset -cp 0 "$PID" >/dev/null
		END
		cat
	} | "${as_client[@]}" psql -qAtX -v ON_ERROR_STOP=1 -F ' ' -d postgres
}

# Runs a statement, without ";", in a fresh backend, after others that prepare it: its time and its CPU time.
# time_statement PREPARATION STATEMENT
time_statement() {
	backend <<-SQL
		$1
		\set before \`cut -d ' ' -f 1 "/proc/\$PID/schedstat"\`
		SELECT clock_timestamp() AS start \gset
		$2 \g /dev/null
		SELECT extract(epoch FROM clock_timestamp() - :'start') AS seconds \gset
		\set after \`cut -d ' ' -f 1 "/proc/\$PID/schedstat"\`
		SELECT :seconds, (:after - :before) / 1e9;
	SQL
}

# Runs a statement likewise: the most memory that the backend had, in bytes, above what it had before.
# peak_of_statement PREPARATION STATEMENT
peak_of_statement() {
	backend <<-SQL
		$1
		\! echo 5 >"/proc/\$PID/clear_refs"
		$2 \g /dev/null
		\! awk '\$1 == "VmHWM:" { print \$2 * 1024 }' "/proc/\$PID/status"
	SQL
}
