# JSON Lines: which values become which, both ways; what is no JSON Lines, and where it says so.

use strict;
use warnings;
use utf8;

use AthenaCalc::Test;
use Encode qw(encode);
use IO::Compress::Gzip qw(gzip $GzipError);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $athena = AthenaCalc::Test->new;
my $bucket = 's3://athena-emulator';
my $main   = $athena->session_backend;

sub put
{
	my ($key, $bytes) = @_;

	$athena->put_bytes("$bucket/$key", $bytes);
	return "$bucket/$key";
}

my $load = q{SELECT athena_calc.copy_from_s3($1, $2, format => 'json', options => $3)};

# Loads lines, characters that become UTF-8, into an empty table.
sub load
{
	my ($table, $lines, $options) = @_;

	$main->query("TRUNCATE $table");
	return $main->value($load, $table, put('in.json', encode('UTF-8', $lines)), $options || '{}');
}

sub rows { return join ' ', $main->column("SELECT loaded::text FROM $_[0] loaded") }

sub refused
{
	my ($table, $bytes) = @_;

	return $main->error($load, $table, put('in.json', $bytes), '{}');
}

sub save
{
	my ($query) = @_;

	$main->value(q{SELECT athena_calc.copy_to_s3($1, $2, 'json', '{"overwrite": true}')}, $query, "$bucket/out.json");
	return $athena->get_bytes("$bucket/out.json");
}

sub save_error { return $main->error(q{SELECT athena_calc.copy_to_s3($1, $2, 'json')}, $_[0], "$bucket/never.json") }

$main->query($_) for (
	'CREATE TYPE pair AS (x int, y text)',
	'CREATE TYPE deep AS (p pair, ps pair[], bin bytea, "Ä" json)',
	'CREATE DOMAIN positive AS int[] CHECK (0 < ALL (value))',
	'CREATE DOMAIN document AS jsonb',
	'CREATE TABLE item (a int, b text)');

# 1. Values of Spark's, of each type

my $from = 0;
for my $case (
	[ 'int', '-5', '-5' ],
	[ 'bigint', '9223372036854775807', '9223372036854775807' ],
	[ 'numeric', '123456789012345678901234567890.12345678', '123456789012345678901234567890.12345678' ],
	[ 'numeric', '0E-18', '0.000000000000000000' ],
	[ 'float8', '1.0E-7', '1e-07' ],
	[ 'float8', '"-Infinity"', '-Infinity' ],
	[ 'boolean', 'true', 'true' ],
	[ 'date', '"2024-02-29"', '2024-02-29' ],
	[ 'timestamptz', '"2024-07-01T12:34:56.123-04:00"', '2024-07-01 16:34:56.123+00' ],
	[ 'timestamp', '"2024-07-01T12:34:56.123"', '2024-07-01 12:34:56.123' ],
	[ 'text', '"größe 😀"', 'größe 😀' ],
	[ 'text', '"\u00e4\ud83d\ude00\/\"\\\\"', 'ä😀/"\\' ],
	[ 'text', '"\b\f\n\r\t\u001b\u007f"', "\b\f\n\r\t\e\x7f" ],
	[ 'text', '"\\\\N"', '\\N' ],
	[ 'text', '"\\\\."', '\\.' ],
	[ 'text', '""', '' ],
	[ 'text', '1.10', '1.10' ],
	[ 'text', 'false', 'false' ],
	[ 'text', '{ "a" : [1,	"\t"] }', '{ "a" : [1,	"\t"] }' ],
	[ 'text', 'null', undef ],
	[ 'varchar(3)', '"abc"', 'abc' ],
	[ 'json', '"a\u0062"', '"a\u0062"' ],
	[ 'json', '{ "a" : 1.10 }', '{ "a" : 1.10 }' ],
	[ 'jsonb', '"a"', '"a"' ],
	[ 'jsonb', '[1, {"a": null}]', '[1, {"a": null}]' ],
	[ 'document', '"a"', '"a"' ],
	[ 'jsonb', 'null', undef ],
	[ 'bytea', '"AP9B"', '\\x00ff41' ],
	[ 'bytea', '""', '\\x' ],
	[ 'bytea', '"\\\\x00ff"', '\\x00ff' ],
	[ 'int[]', '[1, null, 3]', '{1,NULL,3}' ],
	[ 'int[]', '[[1,2],[3,4]]', '{{1,2},{3,4}}' ],
	[ 'int[]', '[]', '{}' ],
	[ 'int[]', '[[], []]', '{}' ],
	[ 'int[]', '"{1,2}"', '{1,2}' ],
	[ 'text[]', '["a b", "\"\\\\,{}", "NULL", "", null]', '{"a b","\\"\\\\,{}","NULL","",NULL}' ],
	[ 'text[]', '["a", ["b"], {"c": 1}]', '{a,"[\\"b\\"]","{\\"c\\": 1}"}' ],
	[ 'text[]', '[["a", ["b"]], ["c", 1]]', '{{a,"[\\"b\\"]"},{c,1}}' ],
	[ 'bytea[]', '["AP9B", "\\\\x01"]', '{"\\\\x00ff41","\\\\x01"}' ],
	[ 'jsonb[]', '["a", 1, {"b": "c"}]', '{"\\"a\\"",1,"{\\"b\\": \\"c\\"}"}' ],
	[ 'box[]', '["(2,2),(1,1)", "(4,4),(3,3)"]', '{(2,2),(1,1);(4,4),(3,3)}' ],
	[ 'positive', '[1,2]', '{1,2}' ],
	[ 'pair', '{"y": "a,\"b\"\\\\", "x": 1, "z": 2}', '(1,"a,""b""\\\\")' ],
	[ 'pair', '{"x": 1, "y": "a", "x": 2, "y": null}', '(2,)' ],
	[ 'pair', '{}', '(,)' ],
	[ 'pair', '{"y": ""}', '(,"")' ],
	[ 'pair', '"(1,a)"', '(1,a)' ],
	[ 'pair[]', '[{"x": 1}, null, {"y": "b c"}]', '{"(1,)",NULL,"(,\\"b c\\")"}' ],
	[ 'int2vector', '"1 2"', '1 2' ],
	[ 'deep', '{"p": {"x": 1}, "ps": [{"y": "a"}], "bin": "AP8=", "\u00c4": "ä"}',
		'("(1,)","{""(,a)""}","\\\\x00ff","""ä""")' ])
{
	my ($type, $json, $expected) = @$case;

	$main->query("DROP TABLE IF EXISTS one; CREATE TABLE one (v $type)");
	$main->query(q{SET timezone = 'UTC'});
	load('one', qq({"v":$json}\n));
	is($main->value('SELECT v::text FROM one'), $expected, printable("$type from $json"));

	# What PostgreSQL makes of it is the same, except for base64 and the spelling of a json string.
	next if $json =~ /AP|a\\u0062/ || $type eq 'bytea[]';
	is($main->value('SELECT v::text FROM json_populate_record(NULL::one, $1::json)', qq({"v":$json})), $expected, 'as json_populate_record() has it')
	  unless $type eq 'bytea';
}

# How the user likes to see values does not change what they are.
$main->query(q{SET datestyle = 'SQL, DMY'; SET intervalstyle = iso_8601; SET extra_float_digits = -5});
$main->query('CREATE TABLE styles (t timestamptz[], i interval[], f float8[])');
load('styles', '{"t":["2024-07-01T12:34:56.123-04:00"],"i":["1 day 02:03:04"],"f":[0.30000000000000004]}');
$main->query('RESET datestyle; RESET intervalstyle; RESET extra_float_digits');
is(rows('styles'), '("{""2024-07-01 16:34:56.123+00""}","{""1 day 02:03:04""}",{0.30000000000000004})', 'settings change nothing');

# 2. Members and columns

for my $case (
	[ 'in any order', qq({"b":"x","a":1}\n{"a":2,"b":"y"}), '(1,x) (2,y)' ],
	[ 'missing', qq({}\n{"b":"x"}), '(,) (,x)' ],
	[ 'twice: the last counts', '{"a":1,"b":"x","a":2}', '(2,x)' ],
	[ 'twice, at last null', '{"a":1,"a":null}', '(,)' ],
	[ 'a name with escapes', '{"\u0061":1}', '(1,)' ],
	[ 'white space', "\t{ \"a\" : 1 ,\t\"b\" : \"x\" } \n", '(1,x)' ],
	[ 'CRLF', qq({"a":1}\r\n{"a":2}\r\n), '(1,) (2,)' ],
	[ 'no newline at the end', qq({"a":1}\n{"a":2}), '(1,) (2,)' ],
	[ 'a byte order mark', qq(\x{feff}{"a":1}\n), '(1,)' ],
	[ 'nothing but a byte order mark', "\x{feff}", '' ],
	[ 'blank lines', qq(\n\n{"a":1}\n \t\r\n{"a":2}\n\n\n), '(1,) (2,)' ],
	[ 'a line longer than any buffer', '{"b":"' . 'x' x 200_000 . qq("}\n{"a":1}\n), '(,' . 'x' x 200_000 . ') (1,)' ])
{
	my ($name, $lines, $expected) = @$case;

	load('item', $lines);
	ok(rows('item') eq $expected, $name);
}
is(load('item', qq({"a":1,"c":[{"d":1}],"b":"x","e":null}\n) x 2, '{"ignore_unknown": true}'), 2, 'what is unknown may be ignored');
is(rows('item'), '(1,x) (1,x)', 'and the rest is there');

$main->query('CREATE TABLE wide (' . join(', ', map { 'c' . ($_ * 7 % 100) . ' int' } 0 .. 99) . ')');
load('wide', join "\n", map { my $line = $_; '{' . join(',', map { qq("c$_":$_) } grep { ($_ + $line) % 3 } 0 .. 99) . '}' } 1 .. 20);
is($main->value('SELECT count(*) FROM wide, json_each_text(row_to_json(wide)) WHERE value IS NOT NULL'),
	scalar(map { my $line = $_; grep { ($_ + $line) % 3 } 0 .. 99 } 1 .. 20), 'a hundred columns, in another order, some left out');
is($main->value(q{SELECT count(*) FROM wide, json_each_text(row_to_json(wide)) WHERE key <> 'c' || value}), 0, 'each in its place');

# 3. What is wrong, and where: behind blank lines, which count

$main->query('CREATE TABLE strict (a int PRIMARY KEY, b text, c int CHECK (c < 5), arr int[], bin bytea)');
for my $case (
	[ 'not JSON', '{"a":nul}', '22P04', qr/no JSON object: there is something that is no JSON value/ ],
	[ 'the end of a line within an object', '{"a":2', '22P04', qr/ends in the middle/ ],
	[ 'two objects', '{"a":2} {"a":3}', '22P04', qr/something follows/ ],
	[ 'an array of objects', '[{"a":2},{"a":3}]', '22P04', qr/it is an array/ ],
	[ 'an object of more lines than one', qq({\n"a":2\n}), '22P04', qr/ends in the middle/ ],
	[ 'a single value', '2', '22P04', qr/it is a single value/ ],
	[ 'a control character in a string', qq({"b":"\x01"}), '22P04', qr/control character/ ],
	[ 'a NUL', qq({"a":2}\0), '22021', qr/0x00/ ],
	[ 'deep nesting', '{"b":' . '[' x 1000 . ']' x 1000 . '}', '22P04', qr/nested too deeply/ ],
	[ 'not UTF-8', qq({"b":"\xff"}), '22021', qr/0xff/ ],
	[ 'not UTF-8, in what is left out', qq({"a":2,"\xc3":1}), '22021', qr/0xc3/ ],
	[ 'no such column', '{"a":2,"x\ny":1}', '42703', qr/member "x\\ny" is none/ ],
	[ 'in another case', '{"A":2}', '42703', qr/member "A" is none/ ],
	[ '\u0000', '{"b":"a\u0000"}', '22P05', qr/\\u0000/ ],
	[ 'half a surrogate pair', '{"b":"\ud83d"}', '22P02', qr/surrogate/ ],
	[ 'the other half', '{"b":"\ude00"}', '22P02', qr/surrogate/ ],
	[ 'no number', '{"a":"x"}', '22P02', qr/integer: "x"/, 'column a: "x"' ],
	[ 'a fraction', '{"a":1.5}', '22P02', qr/integer: "1.5"/, 'column a: "1.5"' ],
	[ 'no array', '{"a":2,"arr":5}', '22P02', qr/malformed array/, 'column arr: "5"' ],
	[ 'an array of something else', '{"a":2,"arr":[1,"x"]}', '22P02', qr/integer: "x"/, 'column arr: "{1,"x"}"' ],
	[ 'no base64', '{"a":2,"bin":"AP9B!"}', '22023', qr/base64/ ],
	[ 'a constraint', '{"a":2,"c":7}', '23514', qr/strict_c_check/ ],
	[ 'a key that is there', '{"a":1}', '23505', qr/strict_pkey/ ],
	[ 'NULL', '{"b":"x"}', '23502', qr/null value in column "a"/ ])
{
	my ($name, $line, $sqlstate, $message, $where) = @$case;
	my $error = refused('strict', qq(\n{"a":1}\n\r\n \n$line\n\n{"a":4}\n));

	is($error->{sqlstate}, $sqlstate, $name);
	like($error->{message}, $message, 'it says so');
	like($error->{context}, qr/^COPY strict, line 5\b.*\Q@{[ $where || '' ]}\E/m, 'and where');
	like($error->{hint}, qr/one object on each line/, 'and what it should be') if $sqlstate eq '22P04';
	like($error->{hint}, qr/ignore_unknown/, 'and what can be done') if $sqlstate eq '42703';
}
is(refused('strict', qq({"a":1}\n{"a":2,,}))->{detail}, 'At byte 8 of the line.', 'where in the line');
like(refused('strict', qq({"a":1}\n{"a":2,"bin":"*"}))->{context}, qr/column bin\nCOPY strict, line 2/, 'which column, of what is read before COPY');
is($main->value('SELECT count(*) FROM strict'), 0, 'there are no rows');

# 4. Queries as JSON Lines

for my $case (
	[ 'rows', q{SELECT a, 'x' || a AS b FROM generate_series(1, 2) a ORDER BY a DESC}, qq({"a":2,"b":"x2"}\n{"a":1,"b":"x1"}\n) ],
	[ 'none', 'SELECT 1 AS a WHERE false', '' ],
	[ 'NULL', 'SELECT NULL::int AS a', qq({"a":null}\n) ],
	[ 'characters', q{SELECT E'a\\\\b\t\n\r\b\f"ä😀' AS "n""ame"}, encode('UTF-8', q({"n\"ame":"a\\\\b\t\n\r\b\f\"ä😀"}) . "\n") ],
	[ 'JSON with white space', qq{SELECT '{ "a" :\n\t1,\r\n"b": "\\n\\\\" }'::json AS j}, qq({"j":{ "a" :  1,  "b": "\\n\\\\" }}\n) ],
	[ 'times', q{SELECT date '2024-02-29' AS d, timestamp '2024-07-01 12:34:56.5' AS t}, qq({"d":"2024-02-29","t":"2024-07-01T12:34:56.5"}\n) ],
	[ 'numbers', q{SELECT 1.10 AS n, 'NaN'::float8 AS f, 0.30000000000000004::float8 AS g}, qq({"n":1.10,"f":"NaN","g":0.30000000000000004}\n) ],
	[ 'binary, as Spark has it', q{SELECT '\\x00ff41'::bytea AS b, ''::bytea AS e, NULL::bytea AS n}, qq({"b":"AP9B","e":"","n":null}\n) ],
	[ 'binary of many bytes', q{SELECT decode(repeat('00ff41', 100), 'hex') AS b}, '{"b":"' . 'AP9B' x 100 . qq("}\n) ],
	[ 'names that are ours', 'SELECT 1 AS r, 2 AS q, 3 AS "select"', qq({"r":1,"q":2,"select":3}\n) ],
	[ 'a row', 'SELECT r FROM (VALUES (1)) r(x)', qq({"r":{"x":1}}\n) ],
	[ 'VALUES', 'VALUES (1), (2)', qq({"column1":1}\n{"column1":2}\n) ],
	[ 'a comment at the end', 'SELECT 1 AS a -- one', qq({"a":1}\n) ],
	[ 'INSERT', q{INSERT INTO item VALUES (7, 'seven') RETURNING *}, qq({"a":7,"b":"seven"}\n) ],
	[ 'WITH', 'WITH n AS (SELECT 1 AS a) SELECT * FROM n UNION ALL SELECT 2', qq({"a":1}\n{"a":2}\n) ],
	[ 'WITH that deletes', 'WITH d AS (DELETE FROM item RETURNING *) SELECT a FROM d WHERE a = 7', qq({"a":7}\n) ],
	[ 'no columns', 'SELECT FROM generate_series(1, 2)', "{}\n{}\n" ])
{
	my ($name, $query, $expected) = @$case;

	is(save($query), $expected, $name);
}
for my $query ('SELECT 1 AS a, 2 AS a', 'SELECT 1, 2', 'UPDATE item SET a = a RETURNING a, a')
{
	my $error = save_error($query);

	is($error->{sqlstate}, '42701', "$query: a member has its own name");
	like($error->{hint}, qr/AS/, 'and how it gets one');
}
is(save_error('SELECT 1) r, (SELECT 2')->{sqlstate}, '42601', 'a query does not reach beyond itself');
is(save_error('SELECT * FROM nowhere')->{sqlstate}, '42P01', 'an error of the query');

# 5. There and back

$main->query($_) for (
	'CREATE TABLE origin (i int, n numeric, f float8, t text, ts timestamptz, d date, iv interval, b bytea, j json, jb jsonb, '
	  . 'ia int[], ta text[], ba bytea[], p pair, ps pair[], u uuid, r int4range, bo boolean)',
	q{INSERT INTO origin SELECT i, (i / 7.0)::numeric, 1 / (i + 1.5), string_agg(chr(1 + (i * 37 + c * 101) % 4000), ''),
		timestamptz '2024-01-01' + i * interval '1.000001 h', date '2024-01-01' + i, i * interval '1 min',
		decode(md5(i::text), 'hex'), json_build_array(i, 'a"\\' || chr(10)), jsonb_build_object('k', i), ARRAY[i, NULL],
		ARRAY['a,"\\', chr(10), NULL, ''], ARRAY[decode(md5(i::text), 'hex')], (i, 'x"\\,()')::pair, ARRAY[(i, NULL)::pair],
		md5(i::text)::uuid, int4range(i, i + 5), i % 2 = 0
		FROM generate_series(1, 500) i, generate_series(1, 20) c GROUP BY i},
	'INSERT INTO origin DEFAULT VALUES', 'CREATE TABLE copy (LIKE origin)');
for my $style (q{SET bytea_output = 'hex'}, q{SET bytea_output = 'escape'})
{
	$main->query($style);
	save('TABLE origin');
	$main->query('TRUNCATE copy');
	is($main->value($load, 'copy', "$bucket/out.json", '{}'), 501, "$style: rows come back");
	is($main->value('SELECT count(*) FROM (SELECT o::text FROM origin o EXCEPT ALL SELECT c::text FROM copy c) x'), 0, 'as they were');
}

# 6. Databases of other encodings

$main->query('RESET bytea_output');
$main->query('SET array_nulls = off');
$main->query('CREATE TABLE nulls (a text[])');
load('nulls', '{"a":["x",null,"NULL"]}');
is($main->value('SELECT array_position(a, NULL) FROM nulls'), 2, 'a null among elements is one, whatever array_nulls says');
is($main->value('SHOW array_nulls'), 'off', 'which stays');
$main->query(q{CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN SET array_nulls = off; RETURN NEW; END$$;
	CREATE TRIGGER meddles BEFORE INSERT ON nulls FOR EACH ROW EXECUTE FUNCTION meddle()});
is(refused('nulls', qq({"a":[null]}\n) x 20000)->{message}, '"array_nulls" was changed while rows were copied', 'a trigger that changes it');
$main->query('RESET array_nulls');
for my $encoding ('LATIN1', 'SQL_ASCII')
{
	my $name = lc $encoding;

	$main->query("CREATE DATABASE $name ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
	my $db = $athena->connect(dbname => $name);

	$db->query('CREATE EXTENSION athena_calc; CREATE TABLE t ("größe" text, a text[])');
	put('in.json', encode('UTF-8', qq({"größe":"ü","a":["ü\\t","\\u00fc"]}\n{"gr\\u00f6\\u00dfe":"\\u00e4"}\n)));
	is($db->value($load, 't', "$bucket/in.json", '{}'), 2, "$encoding: rows");
	is(join(' ', $db->column('SELECT t::text FROM t')), qq{(ü,"{""ü\t"",ü}") (ä,)}, 'with their characters');
	$db->value(q{SELECT athena_calc.copy_to_s3('TABLE t', $1, 'json', '{"overwrite": true}')}, "$bucket/out.json");
	is($athena->get_bytes("$bucket/out.json"), encode('UTF-8', qq({"größe":"ü","a":["ü\\t","ü"]}\n{"größe":"ä","a":null}\n)), 'and back, in UTF-8');
	next if $encoding eq 'SQL_ASCII';
	put('in.json', encode('UTF-8', qq({"a":["x"]}\n{"größe":"✓"}\n)));
	is($db->error($load, 't', "$bucket/in.json", '{}')->{sqlstate}, '22P05', 'what it has not is an error');
}

# Many columns: a member is found in whatever order they come, however its key is spelled, and of two the last counts.
my $last = 1599;
$main->query("CREATE TABLE widest (" . join(', ', map { "c$_ int" } 0 .. $last) . ')');
my @order = map { ($_ * 7) % ($last + 1) } 0 .. $last;
is(load('widest', '{' . join(',', map { qq("c$_":$_) } @order) . "}\n{" . join(',', map { sprintf '"\\u0063%d":%d', $_, -$_ } reverse @order) . "}\n{\"c7\":1,\"c7\":2}\n"),
	3, 'lines of a wide table');
is_deeply([ $main->column('SELECT ARRAY[c0, c1, c7, c800, c1599]::text FROM widest') ], [ '{0,1,7,800,1599}', '{0,-1,-7,-800,-1599}', '{NULL,NULL,2,NULL,NULL}' ],
	'each member is in its column');
is($main->value('SELECT count(*) FROM widest, jsonb_each_text(to_jsonb(widest)) AS m (key, value) WHERE c1599 IS NOT NULL AND abs(value::int) = substr(key, 2)::int'), 2 * 1600, 'all of them');
is(load('widest', '{' . join(',', map { sprintf '"\\u0064%d":1', $_ } 1 .. 40_000) . ',"c5":5}', '{"ignore_unknown": true}'), 1, 'and many that nobody knows');
is($main->value('SELECT c5 FROM widest'), 5, 'before one that is');

# An array has six dimensions at most, whatever else there is in it.
$main->query('CREATE TABLE deepest (a int[])');
for my $depth (6, 7, 120)
{
	my $error = refused('deepest', '{"a":' . '[' x $depth . join(',', 1 .. 100_000) . ']' x $depth . '}');

	$depth == 6 ? is($error->{sqlstate}, '00000', 'six dimensions') : like($error->{message}, qr/dimensions \(7\) exceeds the maximum/, "$depth dimensions");
}

# A long line can be canceled at any moment, in what we read of it as in what COPY makes of that: long before all of it is done.
{
	my $length = int 100_000_000 / patient(1);
	my $line = '{"t":"' . 'x' x $length . '"}';
	my $bytes;

	gzip(\$line, \$bytes, -Level => 1) or die $GzipError;
	$athena->emulator->put_object('athena-emulator/long.json.gz', $bytes);
	my $db = $athena->connect;
	$db->query('CREATE UNLOGGED TABLE long (t text); ALTER TABLE long ALTER t SET STORAGE EXTERNAL');
	my $load_long = sub {
		my ($timeout) = @_;

		$db->query('TRUNCATE long; SET statement_timeout = ' . int(1000 * $timeout));
		my $since = time;
		return ($db->error($load, 'long', "$bucket/long.json.gz", '{}')->{sqlstate}, time - $since);
	};
	my ($sqlstate, $whole) = $load_long->(0);
	is($sqlstate, '00000', "a line of $length bytes");
	for my $part (0.25, 0.5)
	{
		my $took;

		# The machine may be busier one time than another.
		for (1 .. 5)
		{
			($sqlstate, $took) = $load_long->($part * $whole);
			last if $sqlstate eq '57014' && $took < ($part + 0.25) * $whole;
			$whole = $took if $sqlstate eq '00000';
		}
		is($sqlstate, '57014', "is canceled at $part of its time");
		cmp_ok($took, '<', ($part + 0.25) * $whole, sprintf('after %.2f s, where all takes %.2f', $took, $whole));
	}
}

done_testing();
