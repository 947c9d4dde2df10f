# Tables from S3 and to S3, against the server's own files.
#
# shellcheck shell=bash disable=SC2154,SC2317

define_case copy_from s file athena_calc
define_case copy_from_memory MB file athena_calc
define_case copy_to s file athena_calc
define_case copy_to_memory MB file athena_calc
define_case copy_folder ms one_by_one athena_calc

copied_rows=1900000
folder_objects=200
rows_of_each=100
copies_prepared=

prepare_copy_from() { prepare_copies; }
prepare_copy_from_memory() { prepare_copies; }
prepare_copy_to() { prepare_copies; }
prepare_copy_to_memory() { prepare_copies; }
prepare_copy_folder() { prepare_copies; }

# Makes the data: a table of about 200 MB of csv, its rows as an object, a tenth of them, and a folder of small objects.
prepare_copies() {
	local data=$endpoint/s3/bucket
	[ -z "$copies_prepared" ] || return 0
	copies_prepared=yes
	"${as_user[@]}" mkdir "$data/folder"
	backend <<-SQL
		CREATE TABLE orders (id bigint, customer int, amount numeric(12, 2), at timestamptz, status text, note text);
		CREATE TABLE copied (LIKE orders);
		INSERT INTO orders
		SELECT i, i * 7919 % 100000, (i * 31 % 1000000)::numeric / 100, timestamptz '2026-01-01 00:00+00' + i * interval '1 second',
		       (ARRAY['new', 'paid', 'sent', 'returned'])[i % 4 + 1], 'order ' || i || ' of the customer, ' || md5(i::text)
		  FROM generate_series(1::bigint, $copied_rows) i;
		VACUUM ANALYZE orders;
		COPY orders TO '$data/whole.csv' (FORMAT csv);
		COPY (SELECT * FROM orders WHERE id <= $copied_rows / 10) TO '$data/tenth.csv' (FORMAT csv);
		SELECT format('COPY (SELECT * FROM orders WHERE id > %s AND id <= %s) TO %L (FORMAT csv)',
		              i * $rows_of_each, (i + 1) * $rows_of_each, '$data/folder/part-' || to_char(i, 'FM00000') || '.csv')
		  FROM generate_series(0, $folder_objects - 1) i \gexec
	SQL
	list_folder "$data/folder" | "${as_user[@]}" tee "$endpoint/list.xml" >/dev/null
	add_checksums
}

# A folder as S3 lists it.
list_folder() {
	local path
	printf '<ListBucketResult><Name>bucket</Name><Prefix>folder/</Prefix><IsTruncated>false</IsTruncated>'
	for path in "$1"/*; do
		printf '<Contents><Key>folder/%s</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>%s</Size></Contents>' \
			"$(basename "$path")" "$(stat -c %s "$path")"
	done
	printf '</ListBucketResult>'
}

# Both load the same bytes into the same table, which is empty before.
empty_table='TRUNCATE copied; CHECKPOINT;'

load_file() { echo "COPY copied FROM '$endpoint/s3/bucket/$1.csv' (FORMAT csv)"; }
load_athena_calc() { echo "SELECT athena_calc.copy_from_s3('copied', 's3://bucket/$1.csv')"; }
copy_from_file() { time_copy "$empty_table" "$(load_file whole)"; }
copy_from_athena_calc() { time_copy "$empty_table" "$(load_athena_calc whole)"; }

# The same query's rows.
rows() { echo "SELECT * FROM orders WHERE id <= $1"; }
unload_file() { echo "COPY ($(rows "$1")) TO '$work/tmp/unloaded.csv' (FORMAT csv)"; }
unload_athena_calc() { echo "SELECT athena_calc.copy_to_s3('$(rows "$1")', 's3://bucket/written.csv', options => '{\"overwrite\": true}')"; }
copy_to_file() { time_copy '' "$(unload_file "$copied_rows")"; }
copy_to_athena_calc() { time_copy '' "$(unload_athena_calc "$copied_rows")"; }

time_copy() {
	time_statement "$1" "$2" | sed 's/ / - /'
}

# By how much more memory the whole takes than a tenth of it.
copy_from_memory_file() { compare_peaks "$empty_table" "$(load_file tenth)" "$(load_file whole)"; }
copy_from_memory_athena_calc() { compare_peaks "$empty_table" "$(load_athena_calc tenth)" "$(load_athena_calc whole)"; }
copy_to_memory_file() { compare_peaks '' "$(unload_file $((copied_rows / 10)))" "$(unload_file "$copied_rows")"; }
copy_to_memory_athena_calc() { compare_peaks '' "$(unload_athena_calc $((copied_rows / 10)))" "$(unload_athena_calc "$copied_rows")"; }

# compare_peaks PREPARATION STATEMENT STATEMENT
compare_peaks() {
	local tenth whole
	tenth=$(peak_of_statement "$1" "$2")
	whole=$(peak_of_statement "$1" "$3")
	echo "$tenth $whole" | awk '{ printf "%.2f\n", ($2 - $1) / 1e6 }'
}

# Each object has its first byte after the endpoint's delay.
copy_folder_one_by_one() {
	time_folder "SELECT sum(athena_calc.copy_from_s3('copied', 's3://bucket/folder/part-' || to_char(i, 'FM00000') || '.csv'))
		FROM generate_series(0, $folder_objects - 1) i"
}

copy_folder_athena_calc() { time_folder "SELECT athena_calc.copy_from_s3('copied', 's3://bucket/folder/')"; }

time_folder() {
	time_statement "SET athena_calc.s3_endpoint_url = '$slow_s3_url'; $empty_table" "$1" | time_and_cpu_ms
}
