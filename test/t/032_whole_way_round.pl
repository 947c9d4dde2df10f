# The whole way round, with Spark really running: a table to S3, a calculation that reads and writes there, and back into tables.
# All of it is SQL as one would write it: this is an example, too.

use strict;
use warnings;
use utf8;

use AthenaCalc::Test;
use Encode qw(encode);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $python = $ENV{PYTHON} // 'python3';

plan skip_all => 'pyspark is not installed'
  if system(qq{"$python" -c 'import pyspark' >/dev/null 2>&1}) != 0;
plan skip_all => 'there is no Java' if !$ENV{JAVA_HOME} && system('java -version >/dev/null 2>&1') != 0;

my $athena = AthenaCalc::Test->new(emulator => [ '--python', $python ]);
my $begun  = time;

sub took
{
	my ($what) = @_;

	note sprintf '%s: %.1f s', $what, time - $begun;
	$begun = time;
	return;
}

# What must be the same on both sides: how many rows, their sum, and every value of them in their order.
sub sums_of
{
	my ($columns, $table) = @_;

	return $athena->row("SELECT count(*), sum(amount), md5(string_agg(q::text, E'\\n' ORDER BY id)) FROM (SELECT $columns FROM $table) q");
}

# A table with all that makes trouble. What csv loses on its way through Spark is in `note` alone: empty texts, which become NULL,
# and spaces at the ends. Spark writes milliseconds.

$athena->query(<<'SQL');
CREATE TABLE trouble (n int GENERATED ALWAYS AS IDENTITY (START 0 MINVALUE 0), label text);
INSERT INTO trouble (label) VALUES
    ('plain'), (NULL), ('a, b; c'), ('say "hello"'), ('"'), ('""'), ('it''s'), ('back\slash'), ('ends in \'), ('\'), ('\"'), ('"\'), ('\\"'),
    (E'two\nlines'), (E'"first",\n\nthen'), (E'three\r\nlines\rof "it"'), (E'tab\there'), ('größe €, 漢字, 😀'), (U&'line\2028separator'),
    ('#first'), ('\N'), ('NULL'), ('null'), ('\n'), ('{"a": [1, "\u0000"]}'), ('\x41'), ('a=b/c%20d+e&f'), (repeat('long, "', 500));

CREATE TABLE measurement (
    id bigint PRIMARY KEY,
    label text,
    amount numeric(20, 6),
    made_at timestamptz,
    made_on date,
    is_valid boolean,
    ratio double precision,
    note text,
    tags text[],
    payload bytea
);
INSERT INTO measurement
SELECT i, label,
    CASE WHEN i % 11 > 0 THEN (i - 25000) * 1234567.890123 END,
    CASE WHEN i % 13 > 0 THEN timestamptz '1969-12-31 12:00+00' + i * interval '1 day 1.001 seconds' END,
    CASE WHEN i % 17 > 0 THEN date '1900-01-01' + i END,
    CASE WHEN i % 3 > 0 THEN i % 3 = 1 END,
    CASE WHEN i % 19 > 0 THEN i / 7.0 END,
    (ARRAY['', '  spaces at both ends ', E'\ttab, and line break\n', NULL])[i % 4 + 1],
    CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN '{}' ELSE ARRAY[label, '', 'ä"\,{}', i::text] END,
    CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN '\x' ELSE decode(md5(i::text), 'hex') || '\x00ff0a' END
FROM generate_series(1, 50000) AS i JOIN trouble ON n = i % 28;
SQL
my $of_csv = 'id, label, amount, made_at, made_on, is_valid, ratio';
my $csv    = sums_of($of_csv, 'measurement');
my $all    = sums_of('*', 'measurement');

is($csv->{count}, 50_000, 'a table');
is($athena->value('SELECT count(DISTINCT label) FROM measurement'), 27, 'with labels of all kinds');
took('the table');

# To S3: csv in a folder of several objects and in one that is compressed; JSON, which keeps everything. Of PostgreSQL's booleans in
# csv, t and f, Spark makes NULL; as texts they are true and false.

$athena->query(<<'SQL');
SELECT athena_calc.copy_to_s3(
    'SELECT id, label, amount, made_at, made_on, is_valid::text, ratio FROM measurement',
    's3://athena-emulator/round/in/csv/', options => '{"dialect": "spark", "max_object_size": "2MB"}');

SELECT athena_calc.copy_to_s3(
    'SELECT id, label, amount, made_at, made_on, is_valid::text, ratio FROM measurement',
    's3://athena-emulator/round/in/all.csv.gz', options => '{"dialect": "spark"}');

SELECT athena_calc.copy_to_s3(
    'TABLE measurement',
    's3://athena-emulator/round/in/json/', 'json', '{"compression": "gzip", "max_object_size": "2MB"}');
SQL
cmp_ok($athena->value('SELECT count(*) FROM athena_calc.s3_list_objects($1)', "s3://athena-emulator/round/in/$_/"), '>', 1, "$_ went into several objects")
  for qw(csv json);
took('to S3');

# A calculation reads each of them, sums up, and writes it in every way that Spark has and copy_from_s3 reads.

my $code = <<'PYTHON';
import json
from pyspark.sql import functions as f

folder = params["folder"]
columns = ("id long, label string, amount decimal(20, 6), made_at timestamp, made_on date, is_valid boolean, "
           "ratio double")
frames = {
    "csv": spark.read.csv(folder + "in/csv/", schema=columns, header=True, multiLine=True),
    "csv.gz": spark.read.csv(folder + "in/all.csv.gz", schema=columns, header=True, multiLine=True),
    "json": spark.read.json(folder + "in/json/", schema=columns + ", note string, tags array<string>, payload binary"),
}
sums = {name: frame.agg(f.count("*"), f.sum("amount").cast("string"), f.count("label"), f.min("made_at").cast("string")).first()
        for name, frame in frames.items()}

frames["csv"].repartition(4).write.csv(folder + "out/csv/", header=True)
frames["csv"].repartition(2).write.csv(folder + "out/no-header/")
frames["csv.gz"].repartition(3).write.csv(folder + "out/csv.gz/", header=True, compression="gzip")
frames["json"].repartition(4).write.json(folder + "out/json/")
frames["json"].repartition(2).write.json(folder + "out/json.gz/", compression="gzip")
(frames["csv"].withColumn("half", f.col("is_valid")).withColumn("a part", f.concat(f.lit("100%/"), f.col("id") % 3))
    .write.partitionBy("half", "a part").csv(folder + "out/parts/", header=True))
print(json.dumps(sums))
PYTHON

my $sums = decode_json(encode 'UTF-8', $athena->value(<<'SQL', $code));
SELECT athena_calc.calculation_stdout(calculation_execution_id)
FROM athena_calc.run_calculation($1, session_name => 'round', params => '{"folder": "s3://athena-emulator/round/"}')
SQL
my $here = $athena->row(q{SELECT count(label) AS labels, to_char(min(made_at), 'YYYY-MM-DD') AS first FROM measurement});
for my $name ('csv', 'csv.gz', 'json')
{
	my ($count, $sum, $labels, $first) = @{ $sums->{$name} };

	is($count, $csv->{count}, "Spark reads as many rows of $name");
	is($sum, $csv->{sum}, 'with the same sum');
	is($labels, $here->{labels}, 'with as many labels');
	is(substr($first, 0, 10), $here->{first}, 'from the same day on');
}
took('a session and a calculation');

# Back into tables.

for my $case (
	[ 'out/csv/'       => $of_csv, q{options => '{"dialect": "spark"}'} ],
	[ 'out/no-header/' => $of_csv, q{options => '{"dialect": "spark", "header": false}'} ],
	[ 'out/csv.gz/'    => $of_csv, q{options => '{"dialect": "spark"}'} ],
	[ 'out/parts/'     => $of_csv, q{options => '{"dialect": "spark"}'} ],
	[ 'out/json/'      => '*',     q{format => 'json'} ],
	[ 'out/json.gz/'   => '*',     q{format => 'json'} ])
{
	my ($folder, $columns, $arguments) = @$case;
	my $expected = $columns eq '*' ? $all : $csv;

	$athena->query('CREATE TABLE copied (LIKE measurement)');
	is($athena->value("SELECT athena_calc.copy_from_s3('copied', \$1, columns => \$2, $arguments)",
			"s3://athena-emulator/round/$folder", $columns eq '*' ? undef : "{$columns}"),
		50_000, "$folder comes back");
	is_deeply(sums_of($columns, 'copied'), $expected, 'with the same values')
	  || diag($athena->column("SELECT q::text FROM (SELECT $columns FROM copied EXCEPT SELECT $columns FROM measurement ORDER BY id LIMIT 30) q"));
	$athena->query('DROP TABLE copied');
}
took('back into tables');

# All of it as one procedure, as pg_cron would call it: it holds no snapshot while Spark works.

$athena->query(<<'SQL');
CREATE TABLE total (label text, rows bigint, amount numeric);

CREATE PROCEDURE refresh_totals() LANGUAGE plpgsql AS $$
DECLARE
    folder text := 's3://athena-emulator/totals/' || gen_random_uuid() || '/';
    run athena_calc.calculation_execution;
BEGIN
    PERFORM athena_calc.copy_to_s3('SELECT label, amount FROM measurement', folder || 'in/', 'json');

    CALL athena_calc.run($python$
from pyspark.sql import functions as f

rows = spark.read.json(params["folder"] + "in/", schema="label string, amount decimal(20, 6)")
totals = rows.groupBy("label").agg(f.count("*").alias("rows"), f.sum("amount").alias("amount"))
totals.write.json(params["folder"] + "out/", compression="gzip")
$python$, session_name => 'round', params => jsonb_build_object('folder', folder), result => run);

    TRUNCATE total;
    PERFORM athena_calc.copy_from_s3('total', folder || 'out/', format => 'json');
    PERFORM athena_calc.s3_delete_objects(folder);
END $$;
SQL
$athena->query('CALL refresh_totals()');
is($athena->value(<<'SQL'), 0, 'one procedure does it all');
SELECT count(*)
FROM total FULL JOIN (SELECT label, count(*) AS rows, sum(amount) AS amount FROM measurement GROUP BY label) AS expected
    ON total.label IS NOT DISTINCT FROM expected.label AND total.rows = expected.rows AND total.amount = expected.amount
WHERE total.rows IS NULL OR expected.rows IS NULL
SQL
is($athena->value('SELECT count(*) FROM total'), 28, 'all labels are there');
is($athena->value(q{SELECT count(*) FROM athena_calc.s3_list_objects('s3://athena-emulator/totals/')}), 0, 'and S3 is tidy');
took('the procedure');

is_deeply([ $athena->emulator->uploads('athena-emulator') ], [], 'no upload is open');
unlike(PostgreSQL::Test::Utils::slurp_file($athena->node->logfile), qr/XX000|terminated by signal|PANIC|TRAP/, 'nothing bad in the log');

done_testing();
