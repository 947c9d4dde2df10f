# copy_from_s3: objects into tables by PostgreSQL's own COPY. The formats and their options, whose rights it takes, what is a
# folder's data, what triggers and constraints see of it, and that an error leaves no row.

use strict;
use warnings;
use utf8;

use AthenaCalc::Connection;
use AthenaCalc::Test;
use Encode qw(encode);
use IO::Compress::Gzip qw(gzip $GzipError);
use IPC::Cmd qw(can_run);
use IPC::Run qw(run);
use JSON::PP qw(encode_json);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

# What is promised is 50 ms; the machine may be busy with something else.
use constant BOUND_MS => patient(500);

my $athena = AthenaCalc::Test->new(name => 'primary', conf => "wal_level = replica\nmax_wal_senders = 5\n");
my $bucket = 's3://athena-emulator';
my $main   = $athena->session_backend;
my $version = $athena->value('SHOW server_version_num');

# Writes an object, of bytes or of text that becomes UTF-8; its URI.
sub put_bytes
{
	my ($key, $bytes) = @_;

	$athena->put_bytes("$bucket/$key", $bytes);
	return "$bucket/$key";
}

sub put { my ($key, $text) = @_; return put_bytes($key, encode('UTF-8', $text)) }

# A table made anew; of $main unless another backend is given.
sub table
{
	my ($name, $columns, $db) = @_;

	($db || $main)->query("SET client_min_messages = warning; DROP TABLE IF EXISTS $name CASCADE; CREATE TABLE $name ($columns)");
	return;
}

# A call: the table, the URI, and other arguments by name. How many rows it says.
sub call_of
{
	my ($target, $uri, %arguments) = @_;
	my @names = sort keys %arguments;

	return ('SELECT athena_calc.copy_from_s3(target => $1, uri => $2' . join('', map { ", $names[$_] => \$" . ($_ + 3) } 0 .. $#names) . ')',
		$target, $uri, @arguments{@names});
}
sub copy     { return $main->value(call_of(@_)) }
sub error_of { return $main->error(call_of(@_)) }
sub refused  { return error_of(@_)->{sqlstate} }

sub rows { my ($table, $db) = @_; return join ' ', ($db || $main)->column("SELECT t::text FROM $table t") }
sub count { return $main->value("SELECT count(*) FROM $_[0]") }

# 1. Formats

table('t', 'n int, s text');
is(copy('t', put('a.csv', "1,one\n2,\n3,\"\"\n4,\"a \"\"b\"\", c\nd\"\n")), 4, 'csv, the default: the rows are counted');
is(rows('t'), qq{(1,one) (2,) (3,"") (4,"a ""b"", c\nd")}, 'and right');
is($main->value('SELECT s IS NULL FROM t WHERE n = 2'), 't', 'nothing is NULL');
table('t', 'n int, s text');
is(copy('t', put('a.txt', "1\tone\n2\t\\N\n3\ta\\tb\n"), format => 'text'), 3, 'text');
is(rows('t'), qq{(1,one) (2,) (3,"a\tb")}, 'its rows');
table('t', 'n int, s text');
my $binary = "PGCOPY\n\xff\r\n\0" . pack('NN', 0, 0)
  . join('', map { pack('nNNN/a', 2, 4, $_->[0], encode('UTF-8', $_->[1])) } [ 1, 'größe' ], [ 2, '' ]) . pack('n', 0xffff);
is(copy('t', put_bytes('a.bin', $binary), format => 'binary'), 2, 'binary');
is(rows('t'), '(1,größe) (2,"")', 'its rows');
for my $case ([ '0 bytes', '', 'csv', 0 ], [ '0 bytes', '', 'text', 0 ], [ 'no newline at the end', '7,x', 'csv', 1 ],
	[ 'CRLF', "7,x\r\n8,y\r\n", 'csv', 2 ], [ 'an end-of-data marker', "7\tx\n\\.\n", 'text', 1 ])
{
	my ($name, $content, $format, $count) = @$case;

	is(copy('t', put('case', $content), format => $format), $count, "$format: $name");
}
is(refused('t', put('empty', ''), format => 'binary'), '22P04', 'binary: 0 bytes are no file of COPY');
is(refused('t', put_bytes('a.bin', "$binary rest"), format => 'binary'), '22P04', 'binary: bytes behind the trailer');
is(copy('t', put('null', "1,x\n"), format => undef, options => undef, columns => undef), 1, 'NULLs are the defaults');

# JSON Lines: what they are is in another test; here is that they come from objects, and what COPY does with them.
table('t', 'n int DEFAULT 7, s text');
is(copy('t', put('a.json', qq({"s":"größe\\t\\\\.","n":1}\n\n{"n":2}\n{"s":""}\n{})), format => 'json'), 4, 'json');
is(rows('t'), qq{(1,"größe\t\\\\.") (2,) (,"") (,)}, 'its rows: by name, NULL for what is missing');
table('t', 'n int DEFAULT 7, s text');
is(copy('t', put('b.json', qq({"s":"a"}\n)), format => 'json', columns => '{s}'), 1, 'of some columns');
is(rows('t'), '(7,a)', 'the others have their defaults');
is(refused('t', put('b.json', qq({"s":"a","x":[1]}\n)), format => 'json'), '42703', 'a member that is no column');
is(copy('t', "$bucket/b.json", format => 'json', options => '{"ignore_unknown": true}'), 1, 'may be ignored');
is(copy('t', put('b.json', ''), format => 'json'), 0, 'json: 0 bytes');
table('t', 'n int CHECK (n <> 9), s text');
put('json/1', qq({"n":1}\n) x 3);
for my $case ([ 'no JSON', '{"n":', '22P04' ], [ 'no number', '{"n":"x"}', '22P02' ], [ 'a check', '{"n":9}', '23514' ])
{
	my ($name, $line, $sqlstate) = @$case;
	my $error = error_of('t', put('json/2', qq({"n":1}\n\n\n$line\n{"n":2}\n)), format => 'json');

	is($error->{sqlstate}, $sqlstate, "json: $name");
	like($error->{context}, qr{^COPY t, line 4\b.*\nobject "\Q$bucket\E/json/2"$}, 'and where');
}
is(count('t'), 0, 'there is no row');

# Compressed objects are known by their first bytes, whatever they are called; what is beside its format is an error.
for my $format ([ csv => "1,one\n" x 50_000 ], [ json => qq({"n":1,"s":"one"}\n) x 50_000 ], [ binary => $binary ])
{
	my ($name, $content) = @$format;
	my $count = $name eq 'binary' ? 2 : 50_000;

	gzip(\$content => \my $gzip) or die $GzipError;
	table('t', 'n int, s text');
	is(copy('t', put_bytes("c/$name.gz", $gzip), format => $name), $count, "gzip: $name");
	is(copy('t', put_bytes("c/$name.txt", $gzip), format => $name), $count, 'under another name');
	is(copy('t', put_bytes("c/$name.gz", $content), format => $name), $count, 'and a name that says so of what is none');
	is(count('t'), 3 * $count, 'all rows');
	next if $name eq 'binary';
	my $error = error_of('t', put_bytes("c/broken.gz", substr $gzip, 0, length($gzip) - 9), format => $name);
	is($error->{sqlstate}, '22P04', 'cut off');
	like($error->{context}, qr{^COPY t, line \d.*object "\Q$bucket\E/c/broken.gz"$}s, 'and where');
	is(refused('t', put_bytes("c/broken.gz", "$gzip rest"), format => $name), '22P04', 'with something behind it');
	is(count('t'), 3 * $count, 'leaves no row');
}
SKIP:
{
	skip 'no zstd', 1 if !can_run('zstd');
	run([qw(zstd -q -c)], '<', \("1,one\n" x 3), '>', \my $zstd);
	is(copy('t', put_bytes('c/x.csv.zst', $zstd)), 3, 'zstd');
}

# What Spark writes unless told otherwise
for my $case ([ 'part-0.snappy.parquet', "PAR1\x15\x04\x15\x00PAR1" ], [ 'part-0.orc', "ORC\x0a\x03" ])
{
	my ($name, $content) = @$case;
	my $error = error_of('t', put_bytes("c/$name", $content), format => 'text');

	is($error->{sqlstate}, '0A000', "$name is not taken for text");
	like($error->{hint}, qr/df\.write\.json/, 'the HINT says what to do');
}
is(copy('t', put_bytes('c/PAR1.csv', "1,PAR1\n"), format => 'csv'), 1, 'its mark in text is text');
is(copy('t', put_bytes('c/text.parquet', "1,PAR1\n"), format => 'csv'), 1, 'and so is text of that name');

# COPY would take the rest for nothing, and say so to nobody.
table('t', 'n int, s text');
for my $case ([ 'near', "1\tx\n\\.\n2\ty\n" ], [ 'CRLF', "1\tx\r\n\\.\r\n2\ty\r\n" ], [ 'far', "1\tx\n\\.\n" . "2\ty\n" x 100_000 ],
	[ 'another marker', "1\tx\n\\.\n2\ty\n\\.\n" ])
{
	my ($name, $content) = @$case;
	my $error = error_of('t', put('marker', $content), format => 'text');

	is($error->{sqlstate}, '22P04', "rows behind the end-of-data marker: $name");
	like($error->{message}, qr/in line 2$/, 'and its line');
}
SKIP:
{
	skip 'csv has no end-of-data marker since 18', 5 if $version >= 180000;
	for my $case ([ 'in the midst', "x\n\\.\ny\n" ], [ 'at the end', "x\n\\.\n" ], [ 'in another encoding', "x\n\\.\ny\n", encoding => 'LATIN1' ])
	{
		my ($name, $content, %options) = @$case;
		my $error = error_of('t', put('marker', $content), columns => '{s}', options => encode_json(\%options));

		is($error->{sqlstate}, '22P04', "a csv whose value is no end-of-data marker: $name");
	}
	my $error = error_of('t', put('marker', "x\n\\.\ny\n"), columns => '{s}');
	like($error->{message}, qr/^line 2 is "\\\."/, 'says so');
	like($error->{hint}, qr/quoted/, 'with a hint');
}
is(copy('t', put('marker', qq{x\n"\\."\n\\.y\n"a\n\\.\n"}), columns => '{s}'), 4, 'but quoted, and within a line, it is a value');
$main->query('DELETE FROM t');
is(count('t'), 0, 'nothing is left of any');

# 2. Options

table('t', 'n int, s text');
copy('t', put('o.csv', "N;S\n1;'a''b'\n2;-\n"), options => '{"header": true, "delimiter": ";", "quote": "\'", "null": "-"}');
is(rows('t'), q{(1,a'b) (2,)}, 'header, delimiter, quote and null');
table('t', 'n int, s text');
copy('t', "$bucket/o.csv", options => '{"header": 1, "delimiter": ";", "null": null, "quote": "\'"}');
is(rows('t'), q{(1,a'b) (2,-)}, 'a number where COPY takes it; a JSON null is no option');
table('t', 'n int, s text, u text');
copy('t', put('o.csv', "1,,\"\"\n"), options => '{"force_null": ["u"], "force_not_null": ["s"]}');
is($main->value(q{SELECT s = '' AND u IS NULL FROM t}), 't', 'names of columns');
table('t', 'n int, s text');
copy('t', put('o.csv', "one,1\n"), columns => '{s,n}');
is(rows('t'), '(1,one)', 'columns, in their order');
table('t', q{n int DEFAULT 7, s text, g text GENERATED ALWAYS AS (s || '!') STORED});
copy('t', put('o.csv', "one\n"), columns => '{s}');
is(rows('t'), '(7,one,one!)', 'the others have their defaults');
SKIP:
{
	skip 'since 15', 4 if $version < 150000;
	table('t', 'n int, s text');
	is(copy('t', put('o.csv', "n,s\n1,one\n"), options => '{"header": "match"}'), 1, 'the header may be compared');
	is(refused('t', put('o.csv', "s,n\none,1\n"), options => '{"header": "match"}'), '22P04', 'and must be right');
	like(error_of('t', "$bucket/o.csv", options => '{"header": "match"}')->{context}, qr{object "\Q$bucket\E/o.csv"}, 'of that object');
	is(copy('t', "$bucket/o.csv", columns => '{s,n}', options => '{"header": "match"}'), 1, 'by the columns');
}
SKIP:
{
	skip 'since 16', 1 if $version < 160000;
	table('t', 'n int DEFAULT 5, s text');
	copy('t', put('o.csv', "\\D,one\n"), options => '{"default": "\\\\D"}');
	is(rows('t'), '(5,one)', 'default');
}
SKIP:
{
	skip 'since 17', 1 if $version < 170000;
	table('t', 'n int, s text');
	is(copy('t', put('o.csv', "1,one\nx,two\n3,three\n"), options => '{"on_error": "ignore"}'), 2, 'on_error');
}
table('t', 'n int, s text');
is(copy('t', put('spark.csv', qq{n,s\n1,"a \\"b\\", \\\\c"\n2,\\d\n}), options => '{"dialect": "spark"}'), 2, q{Spark's csv});
is(rows('t'), q{(1,"a ""b"", \\\\c") (2,"\\\\d")}, 'has a header and backslashes');
is(copy('t', put('spark.csv', qq{1,"a \\"b\\""\n}), options => '{"dialect": "spark", "header": false}'), 1, 'unless it is said to have none');
SKIP:
{
	skip 'PostgreSQL 14 knows no header that must match', 2 if $athena->node->pg_version < 15;

	is(refused('t', put('spark.csv', "1,a\n2,b\n"), options => '{"dialect": "spark"}'), '22P04', 'a first row that is no header is not lost');
	is(copy('t', put('spark.csv', "N,other\n1,a\n"), options => '{"dialect": "spark", "header": true}'), 1, 'other names, if it is said');
}
table('t', 'n int, s text');
$main->query('BEGIN; CREATE TABLE frozen (n int, s text)');
put("frozen/$_", "$_,x\n") for 1, 2;
is(copy('frozen', "$bucket/frozen/", options => '{"freeze": true}'), 2, 'freeze, of a folder, in a transaction that made the table');
$main->query('COMMIT');
is(count('frozen'), 2, 'the rows are there');
is(refused('t', "$bucket/a.csv", options => '{"freeze": true}'), '55000', q{but not else, by COPY's rule});

for my $case (
	[ 'no format',             '22023', qr/there is no format "parquet"/,             format => 'parquet' ],
	[ 'one in capitals',       '22023', qr/there is no format "CSV"/,                 format => 'CSV' ],
	[ 'a format in options',   '22023', qr/argument of its own/,                      options => '{"format": "text"}' ],
	[ 'no object',             '22023', qr/must be a JSON object/,                    options => '["header"]' ],
	[ 'an unknown option',     '42601', qr/option "headers" not recognized/,          options => '{"headers": true}' ],
	[ 'a value that is wrong', '42601', qr/header requires/,                          options => '{"header": "maybe"}' ],
	[ 'an array',              '22023', qr/"delimiter" must be a string, a number/,   options => '{"delimiter": [";"]}' ],
	[ 'an object',             '22023', qr/"delimiter" must be a string, a number/,   options => '{"delimiter": {"a": 1}}' ],
	[ 'an object of names',    '22023', qr/"force_null" must be an array of names/,   options => '{"force_null": {"s": true}}' ],
	[ 'numbers for names',     '22023', qr/"force_null" must be an array of names/,   options => '{"force_null": [1]}' ],
	[ 'one name',              '22023', qr/"force_null" must be a list of column/,    options => '{"force_null": "s"}' ],
	[ 'an unknown name',       '42703', qr/column "x".* does not exist|"x" of relation/, options => '{"force_null": ["x"]}' ],
	[ 'a delimiter',           '0A000', qr/delimiter must be a single/,               options => '{"delimiter": "::"}' ],
	[ 'an encoding',           '22023', qr/valid encoding name/,                      options => '{"encoding": "EBCDIC"}' ],
	[ 'a number for it',       '22023', qr/"encoding" must be a string/,              options => '{"encoding": 5}' ],
	[ 'a dialect',             '22023', qr/"dialect" must be "spark"/,                options => '{"dialect": "excel"}' ],
	[ 'a dialect of text',     '22023', qr/"dialect" cannot be used with the format text/, format => 'text', options => '{"dialect": "spark"}' ],
	[ 'a delimiter of binary', '42601', qr/BINARY mode/i,                             format => 'binary', options => '{"delimiter": ";"}' ],
	[ 'a header of json',      '22023', qr/"header" cannot be used with the format json/, format => 'json', options => '{"header": true}' ],
	[ 'ignore_unknown of csv', '22023', qr/"ignore_unknown" cannot be used with the format csv/, options => '{"ignore_unknown": true}' ],
	[ 'a text for it',         '22023', qr/"ignore_unknown" must be true or false/,   format => 'json', options => '{"ignore_unknown": "yes"}' ],
	[ 'no columns',            '22023', qr/"columns" must not be empty/,              columns => '{}' ],
	[ 'a NULL column',         '22004', qr/columns/,                                  columns => '{NULL}' ],
	[ 'columns of a matrix',   '2202E', qr/columns/,                                  columns => '{{n},{s}}' ],
	[ 'an unknown column',     '42703', qr/column "x" of relation "t" does not exist/, columns => '{n,x}' ],
	[ 'a column twice',        '42701', qr/column "n" specified more than once/,      columns => '{n,n}' ])
{
	my ($name, $sqlstate, $message, %arguments) = @$case;
	my $error = error_of('t', "$bucket/a.csv", %arguments);

	is($error->{sqlstate}, $sqlstate, "refused: $name");
	like($error->{message} // '', $message, 'with its message');
}
table('g', q{s text, g text GENERATED ALWAYS AS (s || '!') STORED});
is(refused('g', "$bucket/a.csv", columns => '{g}'), '42P10', 'refused: a generated column');
for my $case ([ 'NULL for the table', undef, "$bucket/a.csv", '22004' ], [ 'NULL for the URI', 't', undef, '22004' ],
	[ 'no URI', 't', 'a.csv', '22023' ], [ 'no table', '99999', "$bucket/a.csv", '42P01' ], [ 'an index', 'pg_class_oid_index', "$bucket/a.csv", '42809' ],
	[ 'a view', 'pg_tables', "$bucket/a.csv", '42809' ], [ 'no object', 't', "$bucket/none", '42704' ],
	[ 'an empty folder', 't', "$bucket/none/", '42704' ], [ 'no bucket', 't', 's3://no-such-bucket/a.csv', '42704' ])
{
	my ($name, $target, $uri, $sqlstate) = @$case;

	is(refused($target, $uri), $sqlstate, "refused: $name");
}
$athena->clear_log;
error_of('t', "$bucket/", options => '{"headers": true}');
is(scalar($athena->requests), 0, 'what is wrong with the arguments is said before anything is sent');
like(error_of('t', "$bucket/none")->{hint}, qr{ends with "/"}, 'who forgets the / is told');

# 3. Folders

put("folder/$_", "$_\n") for qw(b.csv a.csv c/d.csv c=_1/e.csv), 'a b+%.csv', 'é.csv';
put("folder/$_", "no data\n") for qw(_SUCCESS _committed_1 .a.csv.crc _temporary/0/a.csv c/_started .hidden/a.csv c/.spark-staging/x);
put("folder/$_", '') for '', 'c/', 'empty.csv', 'c_$folder$';
put('folder.csv', "not below\n");
table('t', 's text, n int GENERATED ALWAYS AS IDENTITY');
is(copy('t', "$bucket/folder/", columns => '{s}'), 6, 'the data of a folder and of those below');
is(join(' ', $main->column('SELECT s FROM t ORDER BY n')), 'a b+%.csv a.csv b.csv c/d.csv c=_1/e.csv é.csv',
	'in the order of names, without markers');
is(copy('t', "$bucket/folder/c/", columns => '{s}'), 1, 'a folder below');
put("markers/_SUCCESS", '');
is(copy('t', "$bucket/markers/", columns => '{s}'), 0, 'only markers are no rows');
is(copy('t', "$bucket/folder/_SUCCESS", columns => '{s}'), 1, 'an object that is named is read, whatever its name');
put("headers/$_", "s\n$_\n") for 1 .. 3;
table('t', 's text');
is(copy('t', "$bucket/headers/", options => '{"header": true}'), 3, 'every object has a header');
$athena->query(q{CREATE TEMP TABLE many AS SELECT athena_calc.s3_put_object('s3://athena-emulator/many/' || i, i || E'\n') FROM generate_series(1, 1100) i});
is(copy('t', "$bucket/many/"), 1100, 'more objects than a page of the list has');
$athena->fault(operation => 'S3.ListObjectsV2', body => '<ListBucketResult><Contents><Key>x</Key><Size>1</Size></Contents></ListBucketResult>');
is(refused('t', "$bucket/folder/"), '08P01', 'a list of something else');
$athena->clear_faults;

# 4. All rows or none, and what an error says

put("parts/$_", join '', map { "$_,row\n" } 1000 * $_ + 1 .. 1000 * $_ + 1000) for 1 .. 3;
put('parts/4', "4001,row\n4002,row\nbad,row\n");
table('t', 'n int, s text');
my $error = error_of('t', "$bucket/parts/");
is($error->{sqlstate}, '22P02', 'a bad row in the last part');
is($error->{context}, qq{COPY t, line 3, column n: "bad"\nobject "$bucket/parts/4"}, 'object and line are named');
is(count('t'), 0, 'there is no row');
put('parts/4', "4001,row\n2500,again\n");
table('t', 'n int PRIMARY KEY, s text CHECK (s <> \'\')');
$error = error_of('t', "$bucket/parts/");
is($error->{sqlstate}, '23505', 'a key twice');
is($error->{context}, qq{COPY t, line 2\nobject "$bucket/parts/4"}, 'object and line are named');
like(error_of('t', put('o.csv', "1,x\n2,\"\"\n"))->{context}, qr{^COPY t, line 2: "2,""\"\nobject "\Q$bucket\E/o.csv"$}, 'a check');
like(error_of('t', put('o.csv', "1,x\n2\n"))->{context}, qr{^COPY t, line 2: "2"\nobject}, 'a row that is too short');
like(error_of('t', put_bytes('o.csv', "1,x\n2,\xff\n"))->{context}, qr{^COPY t, line 2\nobject}, 'what is no UTF-8');
is(count('t'), 0, 'there is no row');
put('parts/4', "4001,row\n");
is(copy('t', "$bucket/parts/"), 3001, 'and the backend goes on');
$main->query('BEGIN');
is(copy('t', put('o.csv', "1,x\n")), 1, 'in a transaction');
is(count('t'), 3002, 'its next statements see the rows');
$main->query('SAVEPOINT s');
is(refused('t', put('o.csv', "2,x\n1,x\n")), '23505', 'an error');
$main->query('ROLLBACK TO s');
is(count('t'), 3002, 'a savepoint takes it back');
is(copy('t', put('o.csv', "2,x\n")), 1, 'and it goes on');
$main->query('ROLLBACK');
is(count('t'), 3001, 'ROLLBACK undoes it');
is($main->value(q{SELECT count(*) FROM pg_stat_progress_copy}), 0, 'nothing is left in progress');

# 5. Where it is called

table('t', 'n int');
put('one', "1\n");
is(join(',', $main->column(q{SELECT athena_calc.copy_from_s3('t', 's3://athena-emulator/one') FROM generate_series(1, 3)})), '1,1,1', 'thrice in a query');
is(count('t'), 3, 'three rows');
$main->query(q{
	DO $$
	DECLARE
		rows bigint := athena_calc.copy_from_s3('t', 's3://athena-emulator/one');
	BEGIN
		ASSERT rows = 1 AND (SELECT count(*) FROM t) = 4;
		BEGIN
			PERFORM athena_calc.copy_from_s3('t', 's3://athena-emulator/a.csv');
		EXCEPTION WHEN bad_copy_file_format THEN
			PERFORM athena_calc.copy_from_s3('t', 's3://athena-emulator/one');
		END;
		ASSERT (SELECT count(*) FROM t) = 5;
	END $$});
is(count('t'), 5, 'in PL/pgSQL, and in a handler');
$main->query(q{BEGIN; DECLARE c CURSOR FOR SELECT athena_calc.copy_from_s3('t', 's3://athena-emulator/one') FROM generate_series(1, 10)});
$main->query('FETCH 2 FROM c');
is(count('t'), 7, 'a cursor copies as it is fetched from');
$main->query('COMMIT');
$main->query('CREATE TEMP TABLE temporary (n int)');
is(copy('temporary', "$bucket/one"), 1, 'a temporary table');
table('parent', 'n int) PARTITION BY LIST (n');
$main->query('CREATE TABLE first PARTITION OF parent FOR VALUES IN (1); CREATE TABLE rest PARTITION OF parent DEFAULT');
copy('parent', put('o.csv', join '', map { $_ % 2 . "\n" } 1 .. 3000));
is(count('first') . ' ' . count('rest'), '1500 1500', 'a partitioned table');
$main->query(q{CREATE VIEW v AS SELECT n FROM t;
	CREATE FUNCTION to_t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO t VALUES (NEW.n * 10); RETURN NEW; END';
	CREATE TRIGGER i INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION to_t()});
is(copy('v', "$bucket/one"), 1, 'a view with an INSTEAD OF trigger');
is($main->value('SELECT max(n) FROM t'), 10, 'whose trigger has the row');

# 6. Triggers and foreign keys

table('t', 'n int');
table('log', 'what text, n int GENERATED ALWAYS AS IDENTITY');
$main->query(q{
	CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF TG_LEVEL = 'ROW' THEN
			INSERT INTO log VALUES (TG_WHEN || ' row ' || NEW.n);
			RETURN NEW;
		ELSIF TG_WHEN = 'AFTER' THEN
			INSERT INTO log SELECT 'AFTER with ' || count(*) FROM added;
		ELSE
			INSERT INTO log VALUES (TG_WHEN);
		END IF;
		RETURN NULL;
	END $$;
	CREATE TRIGGER a BEFORE INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION log();
	CREATE TRIGGER b BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION log();
	CREATE TRIGGER c AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION log();
	CREATE TRIGGER d AFTER INSERT ON t REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION log()});
put('triggered/1', "1\n2\n");
put('triggered/2', "3\n");
copy('t', "$bucket/triggered/");
is(join(', ', $main->column('SELECT what FROM log ORDER BY n')),
	'BEFORE, BEFORE row 1, BEFORE row 2, AFTER row 1, AFTER row 2, AFTER with 2, BEFORE, BEFORE row 3, AFTER row 3, AFTER with 1',
	'triggers act for each object, with transition tables');

# A trigger that copies itself, one that fails in it, and one that catches that.
table('outside', 'n int');
table('inner_rows', 'n int');
$main->query(q{
	CREATE FUNCTION copy_within() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM athena_calc.copy_from_s3('inner_rows', 's3://athena-emulator/inner/' || NEW.n);
		RETURN NEW;
	EXCEPTION WHEN undefined_object THEN
		RETURN NULL;
	END $$;
	CREATE TRIGGER w BEFORE INSERT ON outside FOR EACH ROW EXECUTE FUNCTION copy_within()});
put("inner/$_", "$_\n" x $_) for 1 .. 3;
put('inner/5', "x\n");
is(copy('outside', put('o.csv', "1\n2\n4\n3\n")), 3, 'a trigger that copies, too, and catches an error of it');
is(rows('outside'), '(1) (2) (3)', 'the rows of the outer one are whole');
is(count('inner_rows'), 6, 'and those of the inner ones');
$error = error_of('outside', put('o.csv', "1\n5\n"));
is($error->{sqlstate}, '22P02', 'an error within');
like($error->{context}, qr{COPY inner_rows, line 1, column n: "x"\nobject "\Q$bucket\E/inner/5"\n.*COPY outside, line 2.*object "\Q$bucket\E/o.csv"}s,
	'has the whole story');
is(copy('outside', put('o.csv', "1\n")), 1, 'and leaves nothing in disorder');

table('customer', 'id int PRIMARY KEY');
table('purchase', 'id int, customer int REFERENCES customer');
put('customers/1', "1\n2\n");
put('purchases/1', "1,1\n2,2\n");
put('purchases/2', "3,3\n");
$error = error_of('purchase', "$bucket/purchases/");
is($error->{sqlstate}, '23503', 'a foreign key');
like($error->{context}, qr{object "\Q$bucket\E/purchases/1"}, 'is checked with its object');
is($main->value(q{SELECT athena_calc.copy_from_s3('customer', 's3://athena-emulator/customers/')
	+ athena_calc.copy_from_s3('purchase', 's3://athena-emulator/purchases/1')}), 4, 'two tables in one query, in their order');
table('node', 'id int PRIMARY KEY, parent int');
$main->query('ALTER TABLE node ADD CONSTRAINT parent FOREIGN KEY (parent) REFERENCES node DEFERRABLE');
put('nodes/1', "1,2\n");
put('nodes/2', "2,1\n");
is(refused('node', "$bucket/nodes/"), '23503', 'rows that refer to those of the next object');
$main->query('BEGIN; SET CONSTRAINTS parent DEFERRED');
is(copy('node', "$bucket/nodes/"), 2, 'with a constraint that is deferred');
$main->query('COMMIT');
is(count('node'), 2, 'are right at the end');

# 7. Rights

table('t', 'n int, s text');
$main->query(q{
	CREATE ROLE loader LOGIN;
	GRANT USAGE ON SCHEMA athena_calc TO loader;
	GRANT EXECUTE ON FUNCTION athena_calc.copy_from_s3 TO loader});
my $loader = $athena->connect(user => 'loader');
my @load   = call_of('t', put('rights', "1,one\n"));
$athena->clear_log;
$error = $loader->error(@load);
is($error->{sqlstate}, '42501', 'without INSERT');
like($error->{message}, qr/permission denied for table t/, q{with PostgreSQL's words});
is(scalar($athena->requests), 0, 'nothing is sent');
$main->query('GRANT INSERT (s) ON t TO loader');
is($loader->error(@load)->{sqlstate}, '42501', 'INSERT on a column is not enough for all');
is($loader->error(call_of('t', put('names', "x\n"), columns => '{n}'))->{sqlstate}, '42501', 'nor for another');
is($loader->value(call_of('t', "$bucket/names", columns => '{s}')), 1, 'but for itself');
$main->query('GRANT INSERT ON t TO loader');
is($loader->value(@load), 1, 'with INSERT, and no other right');
$main->query('CREATE SCHEMA hidden; CREATE TABLE hidden.t (n int); GRANT INSERT ON hidden.t TO loader');
is($loader->error(call_of('hidden.t', "$bucket/one"))->{sqlstate}, '42501', 'a schema without USAGE');
$main->query('REVOKE EXECUTE ON FUNCTION athena_calc.copy_from_s3 FROM loader');
is($loader->error(@load)->{sqlstate}, '42501', 'without EXECUTE');
$main->query('GRANT EXECUTE ON FUNCTION athena_calc.copy_from_s3 TO loader');
is($loader->error(call_of('pg_catalog.pg_class', "$bucket/one"))->{sqlstate}, '42501', 'a catalog');

$main->query('CREATE TABLE mine (n int); ALTER TABLE mine OWNER TO loader; ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
	ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t TO loader WITH CHECK (n < 5)');
$error = $loader->error(@load);
is($error->{sqlstate}, '0A000', 'row-level security');
is($error->{message}, 'COPY FROM not supported with row-level security', q{with COPY's words});
is($loader->value(call_of('mine', "$bucket/one")), 1, 'not for the owner');
$main->query('ALTER TABLE mine FORCE ROW LEVEL SECURITY');
is($loader->error(call_of('mine', "$bucket/one"))->{sqlstate}, '0A000', 'unless forced');
is(copy('t', "$bucket/rights"), 1, 'nor for a superuser');
$loader->query('SET row_security = off');
is($loader->error(@load)->{sqlstate}, '42501', 'row_security = off');
$loader->query('RESET row_security');
$main->query('ALTER TABLE t DISABLE ROW LEVEL SECURITY; REVOKE INSERT ON t FROM loader; REVOKE INSERT (s) ON t FROM loader');
$main->query(q{CREATE FUNCTION load() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
	AS $$ SELECT athena_calc.copy_from_s3('public.t', 's3://athena-emulator/rights') $$});
is($loader->error(@load)->{sqlstate}, '42501', 'INSERT is gone');
is($loader->value('SELECT load()'), 1, 'SECURITY DEFINER: the rights are those of its owner');

$main->query('BEGIN READ ONLY');
is(refused('t', "$bucket/rights"), '25006', 'a read-only transaction');
$main->query('ROLLBACK; BEGIN READ ONLY');
is(copy('temporary', "$bucket/one"), 1, 'a temporary table is no matter then');
$main->query('ROLLBACK');

$athena->node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($athena->node, 'copy', has_streaming => 1);
$standby->start;
$error = AthenaCalc::Connection->new($standby)->error(@load);
is($error->{sqlstate}, '25006', 'a standby');
is($error->{message}, 'cannot execute copy_from_s3() during recovery', 'says so');
$standby->stop;

# 8. Encodings

$athena->query(q{CREATE DATABASE latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0});
my $latin1 = $athena->connect(dbname => 'latin1');
$latin1->query('CREATE EXTENSION athena_calc');
table('t', 's text', $latin1);
is($latin1->value(call_of('t', put('größe/utf8.csv', "größe\n"))), 1, 'UTF-8 into a database of LATIN1');
is($latin1->value(call_of('t', "$bucket/größe/")), 1, 'from a folder whose name has a character of both');
is($latin1->value(call_of('t', put_bytes('latin1.csv', "gr\xf6\xdfe\n"), options => '{"encoding": "LATIN1"}')), 1, 'LATIN1 as well');
is(rows('t', $latin1), '(größe) (größe) (größe)', 'all the same');
$error = $latin1->error(call_of('t', put('euro.csv', "a\n5 €\n")));
is($error->{sqlstate}, '22P05', 'what LATIN1 lacks');
like($error->{context}, qr{^COPY t, line \d.*object "\Q$bucket\E/euro.csv"}s, 'and where');
is($latin1->value(call_of('t', put('größe.json', qq({"s":"größe"}\n)), format => 'json')), 1, 'JSON is UTF-8');
is($latin1->value('SELECT count(*) FROM t WHERE s = $1', 'größe'), 4, 'and is that of the database then');
table('t', 's text');
is(copy('t', "$bucket/latin1.csv", options => '{"encoding": "iso-8859-1"}'), 1, 'LATIN1 into UTF-8');
my $client = $athena->connect;
$client->query(q{SET client_encoding = 'LATIN1'});
put('plain.csv', "größe\n");
is($client->value(call_of('t', "$bucket/plain.csv")), 1, q{the client's encoding does not matter});
put_bytes('plain.bin', "PGCOPY\n\xff\r\n\0" . pack('NN', 0, 0) . pack('nN/a', 1, encode('UTF-8', 'größe')) . pack('n', 0xffff));
is($client->value(call_of('t', "$bucket/plain.bin", format => 'binary')), 1, 'nor for binary');
is($client->value('SHOW client_encoding'), 'LATIN1', 'which it is again then');
put_bytes('latin1.bin', "PGCOPY\n\xff\r\n\0" . pack('NN', 0, 0) . pack('nN/a', 1, "gr\xf6\xdfe") . pack('n', 0xffff));
is(copy('t', "$bucket/latin1.bin", format => 'binary', options => '{"encoding": "LATIN1"}'), 1, 'binary of another encoding');
is($client->error(call_of('t', "$bucket/latin1.bin", format => 'binary'))->{sqlstate}, '22021', 'which must be told');
is($client->value('SHOW client_encoding'), 'LATIN1', 'after an error, too');
is($main->value('SELECT count(DISTINCT s) || max(s) FROM t'), '1größe', 'all the same');

# A setting of the copy's that is changed in its midst would make two kinds of rows.
table('t', 's text');
$main->query(q{
	CREATE FUNCTION set_client_encoding() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM set_config('client_encoding', 'LATIN1', false);
		RETURN NEW;
	END $$;
	CREATE TRIGGER s BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION set_client_encoding()});
put_bytes('two.bin', "PGCOPY\n\xff\r\n\0" . pack('NN', 0, 0) . pack('nN/a', 1, 'a') . pack('nN/a', 1, encode('UTF-8', 'größe')) . pack('n', 0xffff));
$error = error_of('t', "$bucket/two.bin", format => 'binary');
is("$error->{sqlstate} $error->{message}", '55000 "client_encoding" was changed while rows were copied', 'binary in two encodings');
is($main->value('SHOW client_encoding'), 'UTF8', 'which is what it was');
is(copy('t', put('plain.csv', "größe\n")), 1, 'csv does not depend on it');
$main->query('RESET client_encoding');

# What a trigger raises has its own hint, though nothing was read.
table('t', 's text');
$main->query(q{
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		RAISE 'no such thing' USING ERRCODE = 'undefined_object', HINT = 'a hint of mine';
	END $$;
	CREATE TRIGGER r BEFORE INSERT ON t EXECUTE FUNCTION refuse()});
is(error_of('t', "$bucket/plain.csv")->{hint}, 'a hint of mine', q{a trigger's own hint});
table('t', 's text');
like(error_of('t', "$bucket/none")->{hint}, qr{^Check the names\.}, 'the hint where there is no object');

# Other compressions are known by the name.
for my $ending (qw(bz2 deflate lz4 snappy))
{
	$error = error_of('t', put("out.csv.$ending", "a\n"));
	is("$error->{sqlstate} $error->{message}", qq(0A000 an object whose name ends in ".$ending" is not read), $ending);
}
gzip(\"a\n" => \my $renamed) or die $GzipError;
is(copy('t', put_bytes('renamed.csv.bz2', $renamed)), 1, 'but what is gzip is, whatever its name');

# 9. Looking on, and canceling

table('t', 'n int');
$main->query(q{
	CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NEW.n = 2500 THEN PERFORM pg_advisory_lock(1); END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER h BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION hold();
	SELECT pg_advisory_lock(1)});
put('long.csv', join '', map { "$_\n" } 1 .. 3000);
my $other = $athena->connect;
$other->send(call_of('t', "$bucket/long.csv"));
$athena->wait_until(sub { $main->value(q{SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'}) }, 'the trigger');
my $progress = $main->row('SELECT relid::regclass::text AS relation, type, tuples_processed, bytes_processed FROM pg_stat_progress_copy');
is($progress->{relation}, 't', 'pg_stat_progress_copy has its table');
is($progress->{type}, 'CALLBACK', 'its type');
is($progress->{tuples_processed}, 2499, 'the rows so far');
cmp_ok($progress->{bytes_processed}, '>', 0, 'and bytes');
my $start = time;
$other->cancel;
is($other->finish->{error}{sqlstate}, '57014', 'it is canceled');
cmp_ok((time - $start) * 1000, '<', BOUND_MS, 'at once');
is(count('t') . $main->value('SELECT count(*) FROM pg_stat_progress_copy'), '00', 'and nothing is left of it');
$main->query('SELECT pg_advisory_unlock(1)');
is($other->value(call_of('t', "$bucket/long.csv")), 3000, 'the backend goes on');

for my $operation (qw(S3.ListObjectsV2 S3.GetObject))
{
	$athena->fault(operation => $operation, contains => 'triggered', hang => \1);
	$athena->clear_log;
	$other->send(call_of('t', "$bucket/triggered/"));
	$athena->wait_for_requests($operation, 1);
	$start = time;
	$other->cancel;
	is($other->finish->{error}{sqlstate}, '57014', "$operation: canceled");
	cmp_ok((time - $start) * 1000, '<', BOUND_MS, 'at once');
	$athena->clear_faults;
}
is($other->value(call_of('t', "$bucket/triggered/")), 3, 'and it goes on');

# 10. Memory and locks

table('t', 's text');
$athena->query(q{SELECT athena_calc.s3_put_object('s3://athena-emulator/memory/' || i, repeat('x', 10000) || E'\n') FROM generate_series(1, 300) i});
$other->value(call_of('t', "$bucket/memory/")) for 1 .. 2;
my $before = $other->memory_kb;
$other->value(call_of('t', "$bucket/memory/")) for 1 .. 3;
cmp_ok($other->memory_kb - $before, '<', patient(2048), 'memory does not grow with the objects');
$main->query('BEGIN');
copy('t', "$bucket/one");
is($main->value(q{SELECT string_agg(mode, ' ') FROM pg_locks WHERE relation = 't'::regclass AND locktype = 'relation'}), 'RowExclusiveLock',
	'the lock is that of INSERT, to the end of the transaction');
$main->query('ROLLBACK');

# 11. What comes next in the statement sees the rows, as with a function that inserts them

table('t', 's text');
is($main->value(q{WITH loaded AS MATERIALIZED (SELECT athena_calc.copy_from_s3('t', $1) AS rows)
	SELECT rows || ' ' || athena_calc.copy_to_s3('SELECT * FROM t', $2) FROM loaded}, "$bucket/one", "$bucket/copied"), '1 1', 'a copy of what was loaded');
is($main->value(q{SELECT athena_calc.copy_to_s3('INSERT INTO t SELECT i FROM generate_series(1, 10) i RETURNING *', $1) || ' ' ||
	athena_calc.copy_to_s3('SELECT * FROM t', $2)}, "$bucket/copied-1", "$bucket/copied-2"), '10 11', 'and of what a copied query has inserted');

done_testing();
