# A query's rows to S3: the bytes that PostgreSQL's COPY writes, cut into objects; whose rights count; what goes wrong, and that
# nothing is left of it.

use strict;
use warnings;
use utf8;

use AthenaCalc::Test;
use Encode qw(decode encode);
use IO::Uncompress::Gunzip qw(gunzip $GunzipError);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $athena = AthenaCalc::Test->new(emulator => [ '--create-bucket', 'elsewhere:eu-west-1' ], conf => "wal_level = logical\nmax_wal_senders = 4\nmax_replication_slots = 4\n");
my $bucket = 's3://athena-emulator';
my $json   = JSON::PP->new->canonical->allow_nonref;
my $file   = PostgreSQL::Test::Utils::tempdir . '/copy';
my $major  = int($athena->value('SHOW server_version_num') / 10_000);

$athena->query($_) for (
	'CREATE TABLE item (id int PRIMARY KEY, name text, price numeric, made timestamptz, tags text[], note json)',
	q{INSERT INTO item SELECT i, 'item ' || i, i * 1.5, '2024-02-29 12:00+00', ARRAY['a', i::text], NULL FROM generate_series(1, 5000) i},
	q{INSERT INTO item VALUES
		(0, NULL, NULL, NULL, NULL, NULL), (-1, '', 'NaN', 'infinity', '{}', '{}'), (-2, 'größe €, 漢字, 😀', -0.00, '-infinity', '{NULL,""}', '[1]'),
		(-3, E'a,b;c|d\te"f"''g\\h', 1e20, NULL, NULL, E'{"a":\n 1}'), (-4, E'line\nbreak\r\n', NULL, NULL, NULL, NULL), (-5, '\.', NULL, NULL, NULL, NULL),
		(-6, '\N', NULL, NULL, NULL, NULL), (-7, 'NULL', NULL, NULL, NULL, NULL)},
	'ANALYZE item');

# A copy: how many rows.
sub copy
{
	my ($query, $uri, $format, %options) = @_;

	return $athena->value('SELECT athena_calc.copy_to_s3($1, $2, $3, $4::jsonb)', $query, $uri, $format, $json->encode(\%options));
}

# What a copy fails with.
sub error_of
{
	my ($query, $uri, $format, %options) = @_;

	return $athena->query_error('SELECT athena_calc.copy_to_s3($1, $2, $3, $4::jsonb)', $query, $uri, $format, $json->encode(\%options));
}

sub sqlstate_of { return error_of(@_)->{sqlstate} }

sub inflated
{
	my ($bytes) = @_;

	gunzip(\$bytes, \my $content) or die $GunzipError;
	return $content;
}

# What PostgreSQL's own COPY makes of it.
sub copied
{
	my ($query, $options) = @_;

	$athena->query("COPY ($query) TO '$file' WITH (ENCODING 'UTF8', $options)");
	return slurp_file($file);
}

# What was written in S3, as operations.
sub written { return join ' ', map { $_->{operation} } grep { $_->{operation} =~ /^S3\.(?:Put|Create|Upload|Complete|Delete|Abort)/ } $athena->requests }

# Nothing is in a folder, and no upload is open.
sub nothing_left
{
	my ($folder, $name) = @_;
	my @opened = $athena->requests('S3.CreateMultipartUpload');
	my @ended  = ($athena->requests('S3.AbortMultipartUpload'), $athena->requests('S3.CompleteMultipartUpload'));

	is_deeply([ $athena->list_uris("$bucket/$folder") ], [], "$name: nothing is there");
	is(scalar @ended, scalar @opened, 'no upload is open');
	is($athena->value('SELECT 6 * 7'), 42, 'and the connection is in step');
	return;
}

# 1. COPY's formats and options: byte for byte what COPY writes

my $all = 'SELECT * FROM item ORDER BY id';
my @cases = (
	[ 'csv',    {},                                         'FORMAT csv' ],
	[ 'csv',    { header => \1 },                           'FORMAT csv, HEADER' ],
	[ 'csv',    { header => \0 },                           'FORMAT csv' ],
	[ 'csv',    { dialect => 'spark' },                     q{FORMAT csv, HEADER, ESCAPE '\\'} ],
	[ 'csv',    { delimiter => ';', null => 'NULL', quote => q{'}, escape => '\\' }, q{FORMAT csv, DELIMITER ';', NULL 'NULL', QUOTE '''', ESCAPE '\\'} ],
	[ 'csv',    { force_quote => [ 'name', 'price' ] },     'FORMAT csv, FORCE_QUOTE (name, price)' ],
	[ 'csv',    { force_quote => '*', header => 'on' },     'FORMAT csv, FORCE_QUOTE *, HEADER' ],
	[ 'text',   {},                                         'FORMAT text' ],
	[ 'text',   { delimiter => '|', null => '' },           q{FORMAT text, DELIMITER '|', NULL ''} ],
	($major >= 15 ? [ 'text', { header => \1 },             'FORMAT text, HEADER' ] : ()),
	[ 'binary', {},                                         'FORMAT binary' ]);
my %queries = (
	'rows of all kinds' => $all,
	'no rows'           => 'SELECT * FROM item WHERE false',
	'one row'           => 'SELECT id, name, price FROM item WHERE id = 7',
	'a wide row'        => q{SELECT repeat('größe, "x" ', 20000) AS name, 1 AS price, repeat(E'\n', 70000) AS c},
	'wide rows'         => q{SELECT i AS name, repeat('x', i * 1000) AS price FROM generate_series(60, 70) i},
	'1000 columns'      => 'SELECT 1 AS name, 2 AS price, ' . join(', ', map { "$_ AS c$_" } 1 .. 998));
my $number = 0;
for my $case (@cases)
{
	my ($format, $options, $with) = @$case;

	for my $name (sort keys %queries)
	{
		my $query = $queries{$name};
		my $uri   = "$bucket/copy/" . $number++;
		my $rows  = copy($query, $uri, $format, %$options);

		is($rows, $athena->value("SELECT count(*) FROM ($query) q"), "$with: $name: the number of rows");
		ok($athena->get_bytes($uri) eq copied($query, $with), 'the bytes that COPY writes');
	}
}

# Columns that have no name of the options above
for my $query ('SELECT', 'SELECT FROM generate_series(1, 3)', q{SELECT ''}, 'SELECT NULL', q{VALUES ('\.'), ('a'), ('')}, 'TABLE item',
	'WITH w AS (SELECT 1 AS n) SELECT * FROM w', "SELECT 1 AS \"größe, €\"\n -- a comment", 'SELECT 1;', '(SELECT 1) UNION ALL (SELECT 2)')
{
	(my $plain = $query) =~ s/;\z//;
	for my $format (qw(csv text binary))
	{
		my $uri = "$bucket/copy/" . $number++;

		copy($query, $uri, $format);
		ok($athena->get_bytes($uri) eq copied("$plain\n", "FORMAT $format"), "$format: " . JSON::PP->new->allow_nonref->ascii->encode($query));
	}
}

# A large one, and what is seen of it meanwhile
my $large = q{SELECT i, md5(i::text), repeat(chr(8364), i % 50) FROM generate_series(1, 100000) i};
is(copy($large, "$bucket/large.csv", 'csv', header => \1), 100_000, 'a hundred thousand rows');
ok($athena->get_bytes("$bucket/large.csv") eq copied($large, 'FORMAT csv, HEADER'), 'the bytes that COPY writes');

# Defaults of SQL
is($athena->value(q{SELECT athena_calc.copy_to_s3('VALUES (1, 2), (3, NULL)', $1)}, "$bucket/defaults"), 2, 'without format and options');
is($athena->get_bytes("$bucket/defaults"), "1,2\n3,\n", 'csv');
is($athena->value(q{SELECT athena_calc.copy_to_s3('VALUES (1)', $1, NULL, NULL)}, "$bucket/nulls"), 1, 'NULL for them');
is($athena->get_bytes("$bucket/nulls"), "1\n", 'are the defaults');

# Types
my %types = (
	csv => 'text/csv; charset=utf-8', text => 'text/plain; charset=utf-8', binary => 'application/octet-stream', json => 'application/x-ndjson');
for my $format (sort keys %types)
{
	$athena->clear_log;
	copy('SELECT 1 AS n', "$bucket/type/$format", $format);
	is(($athena->requests('S3.PutObject'))[-1]{headers}{'content-type'}, $types{$format}, "the type of $format");
	$athena->clear_log;
	copy('SELECT 1 AS n', "$bucket/type/$format.gz", $format);
	is(($athena->requests('S3.PutObject'))[-1]{headers}{'content-type'}, 'application/gzip', 'compressed');
	is(($athena->requests('S3.PutObject'))[-1]{headers}{'content-encoding'}, undef, 'which nobody undoes on the way');
	ok(inflated($athena->get_bytes("$bucket/type/$format.gz")) eq $athena->get_bytes("$bucket/type/$format"), 'it is the same inside');
}
$athena->clear_log;
copy('SELECT 1 AS n', "$bucket/type/latin1", 'csv', encoding => 'LATIN1');
is(($athena->requests('S3.PutObject'))[-1]{headers}{'content-type'}, 'text/csv', 'of csv in another encoding');

# 2. JSON Lines

my $table = q{SELECT id, name, price, made, tags, note FROM item ORDER BY id};
is(copy($table, "$bucket/items.json", 'json'), 5008, 'JSON Lines');
my @expected = $athena->column("SELECT to_jsonb(q) FROM ($table) q");
my @lines = split /\n/, $athena->get_bytes("$bucket/items.json");
is(scalar @lines, scalar @expected, 'a line for each row');
is_deeply([ map { decode_json($_) } @lines ], [ map { decode_json(encode('UTF-8', $_)) } @expected ], 'which is its JSON');
is($athena->get_bytes("$bucket/items.json") =~ tr/\r//, 0, 'in lines of \n alone');
is(copy('SELECT 1 AS n WHERE false', "$bucket/none.json", 'json'), 0, 'no rows');
is($athena->get_bytes("$bucket/none.json"), '', 'are no lines');
is(sqlstate_of('SELECT 1 AS n', "$bucket/refused.json", 'json', header => \1), '22023', 'it has no header');
copy('UPDATE item SET price = 0 WHERE id = 1 RETURNING id, price', "$bucket/returning.json", 'json');
is($athena->get_bytes("$bucket/returning.json"), qq({"id":1,"price":0}\n), 'JSON of what a statement returns');
$athena->query('CREATE TABLE moved (n int); CREATE TABLE q (n int); INSERT INTO q VALUES (1), (2)');
copy('WITH gone AS (DELETE FROM q RETURNING n) INSERT INTO moved SELECT n FROM gone ORDER BY n RETURNING n', "$bucket/moved.json", 'json');
is($athena->get_bytes("$bucket/moved.json"), qq({"n":1}\n{"n":2}\n), 'which may begin with another that changes rows');
is($athena->value('SELECT count(*) FROM moved') . $athena->value('SELECT count(*) FROM q'), '20', 'both were run');
copy('WITH RECURSIVE i AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM i WHERE n < 2) INSERT INTO q SELECT n FROM i UNION ALL SELECT n FROM q RETURNING n',
	"$bucket/recursive.json", 'json');
copy('WITH q AS (UPDATE moved SET n = -n RETURNING n) DELETE FROM q AS r USING q WHERE r.n = -q.n RETURNING r.n AS r, q.n AS q', "$bucket/named.json", 'json');
is($athena->get_bytes("$bucket/recursive.json"), qq({"n":1}\n{"n":2}\n), 'and names its tables and queries as it likes');
is($athena->get_bytes("$bucket/named.json"), qq({"r":1,"q":-1}\n{"r":2,"q":-2}\n), 'also as we do');

# 3. Folders

# Puts the objects of a folder together, and gives their number.
sub objects
{
	my ($folder, $inflate) = @_;

	return map { $inflate ? inflated($athena->get_bytes($_)) : $athena->get_bytes($_) } $athena->list_uris("$bucket/$folder");
}

my $rows = 'SELECT id, name, price FROM item ORDER BY id';
for my $size (1000, '10kB', '1MB')
{
	my ($bytes) = $athena->value('SELECT pg_size_bytes($1::text)', $size);
	my $folder = "folder/$size/";

	is(copy($rows, "$bucket/$folder", 'csv', header => \1, max_object_size => $size), 5008, "a folder of objects of $size");
	my @objects = objects($folder);
	is_deeply([ $athena->list_uris("$bucket/$folder") ], [ map { sprintf "$bucket/${folder}part-%05d.csv", $_ } 0 .. $#objects ], 'their names');
	is((grep { length > $bytes } @objects), 0, 'none is larger');
	cmp_ok(scalar @objects, '<=', 2 + length(copied($rows, 'FORMAT csv, HEADER')) / ($bytes - 100), 'nor are they more than need be');
	is((grep { !/\Aid,name,price\n(?s:.+)\n\z/ } @objects), 0, 'each has the header, and ends with a row');
	ok(join('', map { s/\A.*\n//r } @objects) eq copied($rows, 'FORMAT csv'), 'together they are the rows');
}
copy($rows, "$bucket/folder/plain/", 'text', max_object_size => '10kB');
ok(join('', objects('folder/plain/')) eq copied($rows, 'FORMAT text'), 'text');
like(($athena->list_uris("$bucket/folder/plain/"))[0], qr/part-00000\.txt$/, 'is called .txt');
copy($rows, "$bucket/folder/binary/", 'binary', max_object_size => '10kB');
my @binary = objects('folder/binary/');
cmp_ok(scalar @binary, '>', 5, 'binary');
is((grep { !/\APGCOPY\n\xff\r\n\0\0{8}(?s:.+)\xff\xff\z/ } @binary), 0, 'each object is a file of its own');
ok(join('', map { substr $_, 19, -2 } @binary) eq substr(copied($rows, 'FORMAT binary'), 19, -2), 'together they are the rows');
$athena->query('CREATE TABLE again (id int, name text, price numeric)');
for my $bytes (@binary)
{
	open my $out, '>:raw', $file or die $!;
	print {$out} $bytes;
	close $out or die $!;
	$athena->query("COPY again FROM '$file' WITH (FORMAT binary)");
}
is($athena->value('SELECT count(*) FROM (TABLE again EXCEPT SELECT id, name, price FROM item) q'), 0, 'PostgreSQL reads each of them');
is($athena->value('SELECT count(*) FROM again'), 5008, 'and all of them');
copy($rows, "$bucket/folder/json/", 'json', max_object_size => '10kB');
my @json = objects('folder/json/');
cmp_ok(scalar @json, '>', 5, 'JSON');
is((grep { !/\A(?:\{.*\}\n)+\z/ } @json), 0, 'in whole lines');
like(($athena->list_uris("$bucket/folder/json/"))[0], qr/part-00000\.json$/, 'is called .json');
my $random = q{SELECT i, md5(i::text) || md5((-i)::text) AS x FROM generate_series(1, 50000) i};
copy($random, "$bucket/folder/gzip/", 'csv', header => \1, max_object_size => '300kB', compression => 'gzip');
my @names = $athena->list_uris("$bucket/folder/gzip/");
my @gzip  = objects('folder/gzip/', 1);
is_deeply(\@names, [ map { sprintf "$bucket/folder/gzip/part-%05d.csv.gz", $_ } 0 .. $#gzip ], 'compressed, they are called .csv.gz');
is((grep { !/\Ai,x\n(?s:.+)\n\z/ } @gzip), 0, 'each has the header, and ends with a row');
ok(join('', map { s/\A.*\n//r } @gzip) eq copied($random, 'FORMAT csv'), 'together they are the rows');
my @sizes = $athena->column('SELECT size FROM athena_calc.s3_list_objects($1)', "$bucket/folder/gzip/");
cmp_ok(scalar @sizes, '>', 3, 'there are some');
cmp_ok($_, '<', 600_000, 'about as large as was said') for @sizes;
cmp_ok($_, '>', 150_000, 'and not much smaller') for @sizes[ 0 .. $#sizes - 1 ];

copy('SELECT 1 AS n WHERE false', "$bucket/folder/empty/", 'csv', header => \1);
is_deeply([ $athena->list_uris("$bucket/folder/empty/") ], ["$bucket/folder/empty/part-00000.csv"], 'no rows: one object');
is_deeply([ objects('folder/empty/') ], ["n\n"], 'with the header');
copy(q{SELECT repeat('x', 5000) AS n FROM generate_series(1, 3)}, "$bucket/folder/wide/", 'csv', max_object_size => 1);
is_deeply([ map { length } objects('folder/wide/') ], [ 5001, 5001, 5001 ], 'a row is never cut');
copy(q{SELECT repeat('x', 100000) AS n FROM generate_series(1, 5)}, "$bucket/folder/wider/", 'csv', max_object_size => 250_000);
is_deeply([ map { length } objects('folder/wider/') ], [ 200_002, 200_002, 100_001 ], 'nor one that is larger than the buffer');

copy(q{SELECT repeat('x', CASE i WHEN 2 THEN 300000 ELSE 999 END) AS n FROM generate_series(1, 300) i}, "$bucket/folder/mixed/", 'csv', max_object_size => 200_000);
is_deeply([ map { length } objects('folder/mixed/') ], [ 1000, 300_001, 200_000, 98_000 ], 'behind it another object begins');

# 4. What is there already

copy('VALUES (1)', "$bucket/exists", 'csv');
copy('VALUES (0)', "$bucket/existsnot", 'csv');
my $error = error_of('VALUES (2)', "$bucket/exists", 'csv');
is($error->{sqlstate}, '42710', 'an object that exists');
like($error->{message}, qr{\Q$bucket/exists\E}, 'is named');
like($error->{hint}, qr/overwrite/, 'with what helps');
is($athena->get_bytes("$bucket/exists"), "1\n", 'and stays');
is(copy('VALUES (2)', "$bucket/exists", 'csv', overwrite => \1), 1, 'unless it is to be replaced');
is($athena->get_bytes("$bucket/exists"), "2\n", 'then it is');
is(copy('VALUES (2)', "$bucket/exist", 'csv'), 1, 'the beginning of a name is another name');

$athena->put_text("$bucket/old/", '');
is(copy('VALUES (1)', "$bucket/old/", 'csv'), 1, 'the object that stands for a folder is no object in it');
$error = error_of('VALUES (2)', "$bucket/old/", 'csv');
is($error->{sqlstate}, '42710', 'a folder that has objects');
like($error->{message}, qr{\Q$bucket/old/\E}, 'is named');
like($error->{detail}, qr/part-00000\.csv/, 'with one of them');
$athena->put_text("$bucket/old/$_", 'old') for 'part-00000.csv', 'part-00001.csv', 'part-00002.csv', 'part-00000-1234.csv', 'part-99999.csv', 'below/object', '_SUCCESS';
$athena->put_text("$bucket/old.csv", 'beside');
$athena->clear_log;
is(copy('SELECT id FROM item', "$bucket/old/", 'csv', overwrite => \1, max_object_size => '20kB'), 5008, 'unless it is to be replaced');
is_deeply([ $athena->list_uris("$bucket/old/") ], [ "$bucket/old/", "$bucket/old/part-00000.csv", "$bucket/old/part-00001.csv" ], 'then nothing of before is left');
is(join('', objects('old/')), copied('SELECT id FROM item', 'FORMAT csv'), 'but the rows');
is((split ' ', written())[-1], 'S3.DeleteObjects', 'the rest is deleted last');
is_deeply([ $athena->list_uris("$bucket/old.") ], ["$bucket/old.csv"], 'what stands beside the folder stays');
$athena->clear_log;
is(error_of('SELECT 1/0 FROM item', "$bucket/old/", 'csv', overwrite => \1)->{sqlstate}, '22012', 'a copy that fails');
is(join('', objects('old/')), copied('SELECT id FROM item', 'FORMAT csv'), 'leaves what was there');
unlike(written(), qr/Put|Delete|Complete/, 'untouched');

$athena->fault(operation => 'S3.DeleteObjects', status => 403, error => 'AccessDenied', times => undef);
$error = error_of('VALUES (7)', "$bucket/old/", 'csv', overwrite => \1);
$athena->clear_faults;
is($error->{sqlstate}, '42501', 'what is there may not be deleted');
like($error->{context}, qr/all rows are written/, 'that is said, for all the rest is done');
is($athena->get_bytes("$bucket/old/part-00000.csv"), "7\n", 'the rows are there');

# Those are seen before the query runs
$athena->query('CREATE SEQUENCE ran');
is(sqlstate_of(q{SELECT nextval('ran')}, "$bucket/$_", 'csv'), '42710', "before the query runs: $_") for 'exists', 'old/';
is($athena->value(q{SELECT nextval('ran')}), 1, 'it has not run');

# 5. What is refused

$athena->clear_log;
for my $case (
	[ 'a bucket',             'SELECT 1', 's3://bucket',  'csv', {}, '22023' ],
	[ 'a bucket as a folder', 'SELECT 1', 's3://bucket/', 'csv', {}, '22023' ],
	[ 'a folder whose objects had too long keys', 'SELECT 1', "$bucket/" . 'k' x 1010 . '/', 'csv', {}, '22023' ],
	[ 'no URI',               'SELECT 1', '/tmp/file',    'csv', {}, '22023' ],
	[ 'another format',       'SELECT 1', "$bucket/refused", 'parquet', {}, '22023' ],
	[ 'an unknown option',    'SELECT 1', "$bucket/refused", 'csv', { colour => 'red' }, '42601|22023' ],
	[ 'an option of COPY FROM', 'SELECT 1 AS n', "$bucket/refused", 'csv', { force_null => ['n'] }, '0A000|22023' ],
	[ 'another compression',  'SELECT 1', "$bucket/refused", 'csv', { compression => 'zstd' }, '22023' ],
	[ 'a name that says another compression', 'SELECT 1', "$bucket/refused.csv.zst", 'csv', {}, '22023' ],
	[ 'gzip under a name without .gz', 'SELECT 1', "$bucket/refused.csv", 'csv', { compression => 'gzip' }, '22023' ],
	[ 'none with .gz',        'SELECT 1', "$bucket/refused.gz", 'csv', { compression => 'none' }, '22023' ],
	[ 'a size for one object', 'SELECT 1', "$bucket/refused", 'csv', { max_object_size => 1 }, '22023' ],
	[ 'a size of 0',          'SELECT 1', "$bucket/refused/", 'csv', { max_object_size => 0 }, '22023' ],
	[ 'a delimiter of two',   'SELECT 1', "$bucket/refused", 'csv', { delimiter => '::' }, '0A000' ],
	[ 'a header that matches', 'SELECT 1', "$bucket/refused", 'csv', { header => 'match' }, '22023|0A000|42601' ],
	[ 'no query',             '',         "$bucket/refused", 'csv', {}, '42601' ],
	[ 'blanks',               ' -- x',    "$bucket/refused", 'csv', {}, '42601' ],
	[ 'two queries',          'SELECT 1; SELECT 2', "$bucket/refused", 'csv', {}, '42601' ],
	[ 'an end and another',   'SELECT 1) TO STDOUT; DROP TABLE item; --', "$bucket/refused", 'csv', {}, '42601' ],
	[ 'no SQL',               'SELEC 1',  "$bucket/refused", 'csv', {}, '42601' ],
	[ 'a table alone',        'item',     "$bucket/refused", 'csv', {}, '42601' ],
	[ 'INTO',                 'SELECT 1 AS n INTO other', "$bucket/refused", 'csv', {}, '0A000' ],
	[ 'a statement without rows', 'DELETE FROM item', "$bucket/refused", 'csv', {}, '0A000' ],
	(map { [ "$_", $_, "$bucket/refused", 'csv', {}, '0A000' ] } 'NOTIFY x', 'CREATE TABLE other (n int)', 'COPY item TO STDOUT', 'EXPLAIN SELECT 1',
		'BEGIN', 'CREATE TABLE other AS SELECT 1', 'VACUUM', 'CALL p()', 'DO $$BEGIN END$$', 'SHOW all', 'DECLARE c CURSOR FOR SELECT 1', 'FETCH c', 'EXECUTE p'),
	[ 'a column for quotes that is none', 'SELECT 1 AS n', "$bucket/refused", 'csv', { force_quote => ['m'] }, '42703' ],
	[ 'no such table',        'SELECT * FROM missing', "$bucket/refused", 'csv', {}, '42P01' ])
{
	my ($name, $query, $uri, $format, $options, $sqlstates) = @$case;

	like(sqlstate_of($query, $uri, $format, %$options), qr/^(?:$sqlstates)$/, "refused: $name");
	like(sqlstate_of($query, $uri, 'json', %$options), qr/^(?:$sqlstates)$/, 'for JSON, too') if $format eq 'csv' && !%$options;
}
is($athena->query_error("SELECT athena_calc.copy_to_s3($_)")->{sqlstate}, '22004', "refused: $_") for "NULL, '$bucket/refused'", q{'SELECT 1', NULL};
is(scalar($athena->requests), 0, 'nothing is asked');
is($athena->value('SELECT count(*) FROM item'), 5008, 'nothing is done');

# Where in the query
$error = error_of('SELECT missing FROM item', "$bucket/refused", 'csv');
is($error->{sqlstate}, '42703', 'no such column');
my $psql = $athena->node->psql('postgres', qq{SELECT /* a long way */ athena_calc.copy_to_s3('SELECT missing FROM item', '$bucket/refused')}, stderr => \my $told);
like($told, qr/^LINE 1: SELECT missing FROM item\n {15}\^$/m, 'is shown where it stands in the query');
$error = error_of('SELECT 1/(id - 2) FROM item ORDER BY id', "$bucket/refused", 'csv');
like($error->{context}, qr{SQL statement "SELECT 1/\(id - 2\) FROM item ORDER BY id"}, 'an error while it runs names the query');

# 6. The query fails in the midst of it

my %broken = (
	'at once'       => 'SELECT 1/0',
	'after a while' => 'SELECT 1/(90000 - i), md5(i::text) FROM generate_series(1, 100000) i',
	'at its end'    => q{WITH changed AS (INSERT INTO once VALUES (1), (2) RETURNING n) SELECT n FROM changed});
$athena->query('CREATE TABLE once (n int)');
$athena->query(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused' USING ERRCODE = '22012'; END $$});
$athena->query('CREATE TRIGGER refuse AFTER INSERT ON once FOR EACH STATEMENT EXECUTE FUNCTION refuse()');
for my $name (sort keys %broken)
{
	for my $format (qw(csv binary json))
	{
		for my $uri ("$bucket/broken/object", "$bucket/broken/folder/", "$bucket/broken/object.gz")
		{
			$athena->clear_log;
			is(sqlstate_of($broken{$name}, $uri, $format, ($uri =~ m{/\z} ? (max_object_size => '100kB') : ())), '22012', "$uri, $format: an error $name");
			nothing_left('broken/', "an error $name");
		}
	}
}
$athena->query('BEGIN');
for (1 .. 3)
{
	$athena->query('SAVEPOINT s');
	is(sqlstate_of($broken{'after a while'}, "$bucket/broken/object", 'csv'), '22012', 'in a subtransaction');
	$athena->query('ROLLBACK TO s');
}
is(copy('VALUES (1)', "$bucket/savepoint", 'csv'), 1, 'which is rolled back, and the next one works');
$athena->query('ROLLBACK');
is($athena->get_bytes("$bucket/savepoint"), "1\n", 'ROLLBACK does not undo it');
$athena->query(q{DO $$ BEGIN
	FOR i IN 1 .. 20 LOOP
		BEGIN
			PERFORM athena_calc.copy_to_s3('SELECT 1/(5000 - i) FROM generate_series(1, 10000) i', 's3://athena-emulator/broken/object');
			RAISE 'it has worked';
		EXCEPTION WHEN division_by_zero THEN NULL;
		END;
	END LOOP;
END $$});
nothing_left('broken/', 'errors that are caught');

# What S3 refuses
$athena->clear_log;
$athena->fault(operation => 'S3.PutObject', status => 403, error => 'AccessDenied', times => undef);
is(sqlstate_of('VALUES (1)', "$bucket/denied/object", 'csv'), '42501', 'S3 refuses');
$athena->clear_faults;
nothing_left('denied/', 'refused');
is(sqlstate_of('VALUES (1)', 's3://no-such-bucket/object', 'csv'), '42704', 'no such bucket');

# A cancel
for my $uri ("$bucket/canceled/object", "$bucket/canceled/folder/", "$bucket/canceled/object.gz")
{
	$athena->clear_log;
	$athena->session_backend->send('SELECT athena_calc.copy_to_s3($1, $2)',
		q{SELECT i, md5(i::text), CASE WHEN i > 200000 THEN pg_sleep(0.01) END FROM generate_series(1, 1000000) i}, $uri);
	$athena->wait_until(sub { $athena->node->safe_psql('postgres', 'SELECT tuples_processed > 1000 FROM pg_stat_progress_copy') eq 't' }, 'it runs');
	sleep 0.2;
	my $start = time;
	$athena->session_backend->cancel;
	is($athena->session_backend->finish->{error}{sqlstate}, '57014', "$uri: canceled");
	cmp_ok(time - $start, '<', patient(2), 'at once');
	nothing_left('canceled/', 'canceled');
}
$athena->clear_log;
$athena->session_backend->send('SELECT athena_calc.copy_to_s3($1, $2)', 'SELECT i, CASE WHEN i > 200000 THEN pg_sleep(0.01) END FROM generate_series(1, 1000000) i', "$bucket/canceled/object");
$athena->wait_until(sub { $athena->node->safe_psql('postgres', 'SELECT tuples_processed > 1000 FROM pg_stat_progress_copy') eq 't' }, 'it runs');
$athena->node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $athena->session_backend->pid . ')');
is($athena->session_backend->finish->{error}{sqlstate}, '57P01', 'the backend is ended');
$athena->reconnect;
nothing_left('canceled/', 'ended');
$athena->query(q{SET statement_timeout = '300ms'});
is(sqlstate_of('SELECT pg_sleep(100)', "$bucket/canceled/object", 'csv'), '57014', 'statement_timeout');
$athena->query('RESET statement_timeout');
nothing_left('canceled/', 'timed out');

# 7. What the client is told meanwhile

$athena->query(q{CREATE FUNCTION tell(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
	RAISE NOTICE 'notice %', n; RAISE WARNING 'warning % €', n; RETURN n; END $$});
copy('SELECT tell(i) FROM generate_series(1, 3) i', "$bucket/told", 'csv');
is_deeply([ $athena->notices ], [ map { ("notice $_", "warning $_ €") } 1 .. 3 ], 'what the query tells comes to the client, in order');
is($athena->get_bytes("$bucket/told"), "1\n2\n3\n", 'and is not in the object');
is(sqlstate_of('SELECT tell(i) / (i - 2) FROM generate_series(1, 3) i', "$bucket/told2", 'binary'), '22012', 'and then an error');
is_deeply([ $athena->notices ], [ map { ("notice $_", "warning $_ €") } 1 .. 2 ], 'what was told before it');
is_deeply([ map { $_->{n} } $athena->query(q{SELECT athena_calc.copy_to_s3('SELECT tell(9)', 's3://athena-emulator/told3'); SELECT 5 AS n}) ], [5], 'several statements');
copy(q{SELECT set_config('application_name', 'changed', false), set_config('DateStyle', 'German', false), current_date > '2000-01-01'}, "$bucket/parameters", 'csv');
is($athena->value('SHOW application_name'), 'changed', 'parameters that the client is told of');
$athena->query('RESET application_name; RESET DateStyle');
$athena->query('LISTEN heard');
copy(q{SELECT pg_notify('heard', 'x')}, "$bucket/notify", 'csv');
$athena->query('UNLISTEN heard');
is($athena->value('SELECT 6 * 7'), 42, 'a notification');

# In psql, whose own protocol it is
my ($output, $stderr) = ('', '');
$athena->node->psql('postgres', qq{
	SELECT athena_calc.copy_to_s3('SELECT tell(1)', '$bucket/psql');
	COPY (SELECT athena_calc.copy_to_s3('SELECT tell(2)', '$bucket/psql2')) TO STDOUT;
	COPY (SELECT id, athena_calc.copy_to_s3('SELECT tell(3)', '$bucket/psql-' || id) FROM item WHERE id BETWEEN 1 AND 2) TO STDOUT (FORMAT csv);
	SELECT 'end';}, stdout => \$output, stderr => \$stderr);
is($output, "1\n1\n1,1\n2,1\nend", 'in psql, also within a COPY of its own');
is(() = $stderr =~ /NOTICE:  notice/g, 4, 'with the notices');
is($athena->get_bytes("$bucket/psql-2"), "3\n", 'and the objects');

# 8. Copies within copies

$athena->query(q{CREATE FUNCTION nested(uri text, query text, format text) RETURNS bigint LANGUAGE sql AS $$
	SELECT athena_calc.copy_to_s3(query, uri, format) $$});
for my $format (qw(csv binary json))
{
	my $folder = "$bucket/nested/$format";
	my $middle = "SELECT i, nested('$folder/inner-' || i, 'SELECT tell(7) AS seven', '$format') AS rows FROM generate_series(1, 2) i";

	copy("SELECT 'outer' AS level, tell(1) AS told, nested('$folder/middle', \$q\$$middle\$q\$, '$format') AS rows", "$folder/outer", $format);
	is(scalar(my @told = $athena->notices), 6, "$format: a copy in a copy in a copy tells all");
	is(scalar(my @objects = $athena->list_uris("$bucket/nested/$format/")), 4, 'and writes all');
	ok($athena->get_bytes("$folder/inner-2") eq ($format eq 'json' ? qq({"seven":7}\n) : copied('SELECT 7 AS seven', "FORMAT $format")), 'the innermost');
	ok($athena->get_bytes("$folder/outer") eq ($format eq 'json' ? qq({"level":"outer","told":1,"rows":2}\n) : copied(q{SELECT 'outer', 1, 2::bigint}, "FORMAT $format")), 'the outermost');
}
$athena->clear_log;
is(sqlstate_of(qq{SELECT i, nested('$bucket/nested/broken/' || i, 'SELECT 1/(2 - ' || i || ')', 'csv') FROM generate_series(1, 3) i}, "$bucket/nested/broken/outer", 'csv'),
	'22012', 'an inner one fails');
is_deeply([ $athena->list_uris("$bucket/nested/broken/") ], ["$bucket/nested/broken/1"], 'the outer one is not there');
$athena->query(q{CREATE FUNCTION forgive(uri text, query text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
	RETURN athena_calc.copy_to_s3(query, uri); EXCEPTION WHEN division_by_zero THEN RETURN SQLERRM; END $$});
copy(qq{SELECT i, forgive('$bucket/nested/forgiven/' || i, 'SELECT 1/(2 - ' || i || ')') FROM generate_series(1, 3) i}, "$bucket/nested/forgiven/outer", 'csv');
is($athena->get_bytes("$bucket/nested/forgiven/outer"), "1,1\n2,division by zero\n3,1\n", 'an inner one fails and is forgiven');
is($athena->value('SELECT count(athena_calc.copy_to_s3($$SELECT $$ || id, $1 || id)) FROM item WHERE id > 4900', "$bucket/many/"), 100, 'a copy for each row');
is($athena->get_bytes("$bucket/many/4999"), "4999\n", 'has its own');

# 9. Statements that change data

is(copy('INSERT INTO item (id, name) VALUES (9001, $$new$$), (9002, $$newer$$) RETURNING id, name', "$bucket/insert", 'csv'), 2, 'INSERT with RETURNING');
is($athena->get_bytes("$bucket/insert"), "9001,new\n9002,newer\n", 'its rows');
is(copy('UPDATE item SET name = upper(name) WHERE id > 9000 RETURNING *', "$bucket/update", 'csv', force_quote => '*'), 2, 'UPDATE with RETURNING');
is(copy('DELETE FROM item WHERE id > 9000 RETURNING id', "$bucket/delete", 'csv'), 2, 'DELETE with RETURNING');
my $merge = 'MERGE INTO item USING (VALUES (9005)) v (id) ON item.id = v.id WHEN NOT MATCHED THEN INSERT (id) VALUES (v.id) RETURNING item.id';
is(sqlstate_of($merge, "$bucket/merge", 'csv'), $major >= 17 ? '00000' : '42601', 'MERGE with RETURNING, which 17 has');
is(sqlstate_of($merge =~ s/ RETURNING.*//r, "$bucket/merged", 'csv'), $major >= 15 ? '0A000' : '42601', 'but not without');
$athena->query('DELETE FROM item WHERE id > 9000');
is($athena->value('SELECT count(*) FROM item'), 5008, 'all of them are done');
$athena->query('INSERT INTO item (id) VALUES (9003)');
$athena->query('BEGIN; DELETE FROM item WHERE id = 9003; INSERT INTO item (id) VALUES (9004)');
copy('SELECT id FROM item WHERE id > 9000', "$bucket/own", 'csv');
$athena->query('ROLLBACK');
is($athena->get_bytes("$bucket/own"), "9004\n", 'a copy sees what its transaction has changed');
$athena->query('DELETE FROM item WHERE id > 9000');

# 10. Rights

$athena->query($_) for (
	'CREATE ROLE etl LOGIN', 'GRANT USAGE ON SCHEMA athena_calc TO etl',
	'CREATE TABLE secret (n int)', 'INSERT INTO secret VALUES (1)',
	'CREATE TABLE owned (owner name, n int)', q{INSERT INTO owned VALUES ('etl', 1), ('other', 2)},
	'ALTER TABLE owned ENABLE ROW LEVEL SECURITY', 'CREATE POLICY own ON owned USING (owner = current_user)',
	'GRANT SELECT ON owned TO etl', 'GRANT SELECT (id) ON item TO etl',
	'CREATE FUNCTION lent(uri text) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT athena_calc.copy_to_s3($q$TABLE secret$q$, uri) $$');
my $etl = $athena->connect(user => 'etl');
my $call = q{SELECT athena_calc.copy_to_s3($1, $2)};
is($etl->error($call, 'SELECT 1', "$bucket/etl")->{sqlstate}, '42501', 'nobody may execute it unless it is granted');
$athena->query('GRANT EXECUTE ON FUNCTION athena_calc.copy_to_s3 TO etl');
is($etl->value($call, 'SELECT 1', "$bucket/etl"), 1, 'then it needs no rights on files of the server');
$athena->clear_log;
is($etl->error($call, 'TABLE secret', "$bucket/secret")->{sqlstate}, '42501', 'a table that the caller may not read');
is($etl->error($call, 'SELECT id, name FROM item', "$bucket/secret")->{sqlstate}, '42501', 'a column');
is($etl->error($call, 'DELETE FROM owned RETURNING n', "$bucket/secret")->{sqlstate}, '42501', 'a table that it may not change');
is($etl->error('SELECT athena_calc.copy_to_s3($1, $2, $$json$$)', 'TABLE secret', "$bucket/secret")->{sqlstate}, '42501', 'as JSON');
is(scalar($athena->requests), 0, 'nothing is asked');
is($etl->value($call, 'SELECT count(id) FROM item', "$bucket/column"), 1, 'a column that it may read');
is($etl->value($call, 'TABLE owned', "$bucket/owned"), 1, 'row security');
is($athena->get_bytes("$bucket/owned"), "etl,1\n", 'holds');
is($etl->value('SELECT lent($1)', "$bucket/lent"), 1, 'the rights of a function with SECURITY DEFINER');
$etl->query('SET row_security = off');
is($etl->error($call, 'TABLE owned', "$bucket/owned2")->{sqlstate}, '42501', 'row_security = off');
$etl->close;

# Read-only transactions
$athena->query('BEGIN READ ONLY');
is(copy('TABLE item', "$bucket/readonly", 'csv'), 5008, 'in a read-only transaction');
is(sqlstate_of('DELETE FROM item RETURNING id', "$bucket/readonly2", 'csv'), '25006', 'but not what changes data');
$athena->query('ROLLBACK');
$athena->query('BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE');
is(copy('TABLE item', "$bucket/serializable", 'json'), 5008, 'serializable');
$athena->query('COMMIT');

# 11. Encodings

$athena->query(q{CREATE DATABASE latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0});
my $latin1 = $athena->connect(dbname => 'latin1');
$latin1->query('CREATE EXTENSION athena_calc');
my $word = q{SELECT 'größe £' AS "größe", 1 AS n};
$latin1->query('CREATE FUNCTION word() RETURNS text LANGUAGE sql AS $f$ SELECT $q$' . $word . '$q$::text $f$');
for my $client (qw(UTF8 LATIN1 SQL_ASCII))
{
	$latin1->query("SET client_encoding = $client");
	for my $case (
		[ 'csv',  '{"header": true}', encode('UTF-8', "größe,n\ngröße £,1\n") ],
		[ 'text', '{}', encode('UTF-8', "größe £\t1\n") ],
		[ 'json', '{}', encode('UTF-8', qq({"größe":"größe £","n":1}\n)) ],
		[ 'csv',  '{"encoding": "LATIN1"}', encode('ISO-8859-1', "größe £,1\n") ],
		[ 'csv',  '{"encoding": "LATIN9"}', undef ])
	{
		my ($format, $options, $bytes) = @$case;
		my $uri = "$bucket/encoding/" . $number++;

		if (defined $bytes)
		{
			$latin1->query("SELECT athena_calc.copy_to_s3(word(), '$uri', '$format', '$options')");
			is($athena->get_bytes($uri), $bytes, "LATIN1 to a client with $client: $format $options");
		}
		else
		{
			is($latin1->error("SELECT athena_calc.copy_to_s3(word(), '$uri', '$format', '$options')")->{sqlstate}, '42883', 'no way between these encodings');
		}
	}
	my $uri = "$bucket/encoding/" . $number++;
	$latin1->query("SELECT athena_calc.copy_to_s3(word(), '$uri', 'binary')");
	like($athena->get_bytes($uri), qr/\Q@{[ encode('UTF-8', 'größe £') ]}\E/, 'binary is in UTF-8, too');
	is($latin1->value('SHOW client_encoding'), $client, 'the client has its own again');
}
$latin1->close;
$athena->query('SET client_encoding = LATIN1');
$athena->query("SELECT athena_calc.copy_to_s3('SELECT chr(8364), chr(128512)', '$bucket/euro')");
is($athena->get_bytes("$bucket/euro"), encode('UTF-8', "€,😀\n"), 'what the client could not show');
is(error_of('SELECT chr(8364)', "$bucket/euro1", 'csv', encoding => 'LATIN1')->{sqlstate}, '22P05', 'what the encoding lacks');
$athena->query('RESET client_encoding');

# A setting of the copy's that the query changes in its midst would make two kinds of rows.
$athena->query(q{CREATE FUNCTION with_setting(n int, setting text, value text) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		IF n = 2 THEN PERFORM set_config(setting, value, false); END IF;
		RETURN n;
	END $$});
for my $case ([ 'json', 'bytea_output', 'escape' ], [ 'binary', 'client_encoding', 'LATIN1' ])
{
	my ($format, $setting, $value) = @$case;
	my $query = "SELECT with_setting(i, '$setting', '$value'), ARRAY['größe'::bytea], 'größe' FROM generate_series(1, 3) i";
	my $before = $athena->value("SHOW $setting");
	my $error = error_of($query, "$bucket/two-kinds", $format);

	is("$error->{sqlstate} $error->{message}", qq(55000 "$setting" was changed while rows were copied), "$format: $setting is changed");
	is($athena->value("SHOW $setting"), $before, 'and is what it was');
	is(copy($query, "$bucket/one-kind-$format", 'csv'), 3, 'csv does not depend on it');
	$athena->query("RESET $setting");
}
is(sqlstate_of('TABLE pg_class', "$bucket/two-kinds", 'json', overwrite => JSON::PP::false), '00000', 'nothing is left of it');

# 12. Where there is no client: a worker of logical replication applies a row, whose trigger copies

$athena->query($_) for (
	'CREATE DATABASE subscriber', 'CREATE TABLE event (n int PRIMARY KEY)', 'CREATE PUBLICATION events FOR TABLE event',
	q{SELECT pg_create_logical_replication_slot('events', 'pgoutput')});
my $subscriber = $athena->connect(dbname => 'subscriber');
$subscriber->query($_) for (
	'CREATE EXTENSION athena_calc', 'CREATE TABLE event (n int PRIMARY KEY)', 'CREATE TABLE outcome (n int, backend text, rows bigint, failure text)',
	q{CREATE FUNCTION tell(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'notice %', n; RETURN n; END $$},
	q{CREATE FUNCTION copy_event() RETURNS trigger LANGUAGE plpgsql AS $f$
	DECLARE
		rows bigint;
		backend text := (SELECT backend_type FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid());
	BEGIN
		rows := athena_calc.copy_to_s3(pg_catalog.format('SELECT i, public.tell(i) AS told, 1/(2 - %s) FROM pg_catalog.generate_series(1, 3) i', CASE NEW.n WHEN 4 THEN '$$x$$::int' ELSE NEW.n::text END),
			's3://athena-emulator/worker/' || NEW.n, CASE WHEN NEW.n = 3 THEN 'binary' ELSE 'csv' END);
		INSERT INTO public.outcome VALUES (NEW.n, backend, rows);
		RETURN NULL;
	EXCEPTION WHEN division_by_zero THEN
		INSERT INTO public.outcome VALUES (NEW.n, backend, NULL, SQLERRM);
		RETURN NULL;
	END $f$},
	'CREATE TRIGGER copy_event AFTER INSERT ON event FOR EACH ROW EXECUTE FUNCTION copy_event()',
	'ALTER TABLE event ENABLE ALWAYS TRIGGER copy_event',
	sprintf(q{CREATE SUBSCRIPTION events CONNECTION '%s' PUBLICATION events WITH (create_slot = false, copy_data = false, slot_name = events)},
		$athena->node->connstr('postgres') =~ s/'/''/gr));
$athena->query('INSERT INTO event VALUES (1), (2), (3)');
$athena->wait_until(sub { $subscriber->value('SELECT count(*) FROM outcome') == 3 }, 'the worker has copied');
my @outcomes = $subscriber->query('SELECT * FROM outcome ORDER BY n');
like($outcomes[0]{backend}, qr/logical replication/, 'a worker without a client');
is($outcomes[0]{rows}, 3, 'copies');
is($athena->get_bytes("$bucket/worker/1"), "1,1,1\n2,2,1\n3,3,1\n", 'the rows');
is($outcomes[1]{failure}, 'division by zero', 'and fails');
is($outcomes[2]{rows}, 3, 'and copies again');
like($athena->get_bytes("$bucket/worker/3"), qr/\APGCOPY/, 'in binary');
$athena->query('INSERT INTO event VALUES (4)');
$athena->wait_until(sub { PostgreSQL::Test::Utils::slurp_file($athena->node->logfile) =~ /invalid input syntax for type integer: "x"/ }, 'the worker has failed');
$subscriber->query($_) for 'ALTER TABLE event DISABLE TRIGGER copy_event', 'ALTER SUBSCRIPTION events DISABLE';
is($subscriber->value('SELECT count(*) FROM outcome'), 3, 'an error ends the worker, and nothing else');
$subscriber->query('DROP SUBSCRIPTION events');
$subscriber->close;

# 13. Many copies in one backend

$athena->reconnect;
my @memory;
for my $round (1 .. 3)
{
	copy('TABLE item', "$bucket/repeated/$round/$_.csv.gz", 'csv') for 1 .. 40;
	push @memory, $athena->session_backend->memory_kb;
}
cmp_ok($memory[2] - $memory[1], '<', patient(2048), 'memory does not grow with them');

# 14. A bucket of another region: an answer to HEAD tells it in a header, if at all; a list does in any case

sub asked { return join ' ', map { "$_->{operation} $_->{status}" } $athena->requests }

$athena->reconnect;
$athena->clear_log;
$athena->fault(operation => 'S3.HeadObject', status => 400, body => '', headers => { 'x-amz-bucket-region' => 'eu-west-1' }, times => 1);
is(copy('SELECT 1', 's3://elsewhere/one', 'csv'), 1, 'a bucket of another region');
is(asked(), 'S3.HeadObject 400 S3.HeadObject 404 S3.PutObject 200', 'is found by the first request');
$athena->reconnect;
$athena->clear_log;
$athena->fault(operation => 'S3.HeadObject', status => 400, body => '', times => 1);
is(copy('SELECT 2', 's3://elsewhere/two', 'csv'), 1, 'without the header');
is(asked(), 'S3.HeadObject 400 S3.ListObjectsV2 301 S3.ListObjectsV2 200 S3.PutObject 200', 'by a list');
$athena->reconnect;
$athena->fault(operation => 'S3.HeadObject', status => 400, body => '', times => 1);
is(sqlstate_of('SELECT 3', 's3://elsewhere/two', 'csv'), '42710', 'which sees what is there');

# 15. Checksums of parts, which S3s of other makes may not know (027_other_s3.pl)

$athena->clear_log;
is(copy($large, "$bucket/upload", 'csv'), 100_000, 'an upload in parts');
like(($athena->requests('S3.CompleteMultipartUpload'))[0]{body}, qr/<ChecksumCRC32>/, 'gives the checksums that S3 has seen');

unlike(PostgreSQL::Test::Utils::slurp_file($athena->node->logfile), qr/XX000|terminated by signal|PANIC|TRAP|out of sync/, 'nothing bad in the log');

done_testing();
