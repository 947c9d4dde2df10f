# Objects, and tables copied there and back, in S3s that nobody here wrote: OpenStack Swift, which verifies signatures, and moto.

use strict;
use warnings;
use utf8;

use AthenaCalc::OtherS3;
use AthenaCalc::Test;
use Digest::MD5 qw(md5_hex);
use Encode qw(encode);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $athena = AthenaCalc::Test->new;

# What is tried with each of them: subs that get an AthenaCalc::OtherS3, with $athena led to it. Each has buckets of its own.
my @trials = (\&objects, \&keys_of_all_kinds, \&many_objects, \&folders, \&refusals, \&tables, \&tables_at_keys, \&folders_of_tables,
	\&tables_that_fail);

# The four functions, each with a call for an object or a folder.
sub calls
{
	my ($uri) = @_;

	return (
		"s3_list_objects('$uri')", "s3_get_object('$uri')",
		"s3_put_object('$uri', 'x')", "s3_delete_objects('$uri')");
}

# Objects: bytes and text, and what a list says of them.
sub objects
{
	my ($s3) = @_;
	my $large = join '', map { pack 'N', $_ * 2654435761 % 2**32 } 1 .. 5 * 2**18;

	$s3->create_bucket('objects');
	for my $case ([ 'all 256 bytes', join '', map { chr } 0 .. 255 ], [ 'nothing', '' ], [ '5 MB', $large ])
	{
		my ($name, $bytes) = @$case;
		my $uri  = "s3://objects/$name";
		my $etag = '"' . md5_hex($bytes) . '"';

		is($athena->put_bytes($uri, $bytes), $etag, "$name: the ETag");
		ok($athena->get_bytes($uri) eq $bytes, 'comes back');
		my $row = $athena->row('SELECT *, abs(extract(epoch FROM now() - last_modified)) < 600 AS recent FROM athena_calc.s3_list_objects($1)', $uri);
		is($row->{size}, length $bytes, 'the size in the list');
		is($row->{etag}, $etag, 'the ETag there');
		is($row->{recent}, 't', 'and when it was written');
	}
	$athena->put_text('s3://objects/jobs/code.py', "print('größe: 5 €, 😀')\n");
	is($athena->value(q{SELECT convert_from(athena_calc.s3_get_object('s3://objects/jobs/code.py'), 'UTF8')}),
		"print('größe: 5 €, 😀')\n", 'text comes back as text');
	$athena->put_text('s3://objects/jobs/code.py', 'short');
	is($athena->get_bytes('s3://objects/jobs/code.py'), 'short', 'an object is replaced as a whole');
}

my @keys = (
	'a b', 'a+b', 'a=b', 'a%20b', '100%', '%', '%4', '%zz', 'a%2Fb', 'a&b=c', 'what?', 'a?b=c', 'a#b', 'a;b,c', q{it's "quoted"},
	'<key>&amp;]]>', 'a\\b', '(a)*[b]{c}!$@:|<>^`~', 'größe/€/😀', "e\x{301}", 'a//b', '/leading', '//', 'trailing/', '.', '..', '...',
	'./a', 'a/./b', 'a/../b', '../../up', ' ', '  two  ', "tab\there", "line\nbreak", "return\rhere", "bell\x07", "\x01\x1f",
	"delete\x7f", "\x{85}", "\x{2028}", 'K' x 1024, '€' x 341);

# What a server's own fault keeps from it: moto's router knows no line breaks.
my %impossible = (moto => qr/\n/);

# A key as the name of a test.
sub name_of { return JSON::PP->new->allow_nonref->ascii->encode(substr $_[0], 0, 40) }

# Keys, which are part of the path and of what is signed, of XML, and of a list's query.
sub keys_of_all_kinds
{
	my ($s3) = @_;
	my $impossible = $impossible{ $s3->name };
	my @possible = sort { encode('UTF-8', $a) cmp encode('UTF-8', $b) } grep { !$impossible || $_ !~ $impossible } @keys;

	$s3->create_bucket('keys');
	for my $endpoint ($s3->url, $s3->is_strict ? $s3->virtual_url : ())
	{
		$athena->with($s3->settings, s3_endpoint_url => $endpoint);
		for my $key (@possible)
		{
			my ($name, $uri) = (name_of($key), "s3://keys/$key");
			my $error = $athena->call_error('s3_put_object($1, $2::text)', $uri, "at $key");

			is($error->{sqlstate}, '00000', "the key $name is written") or diag explain $error;
			is($athena->get_bytes($uri), encode('UTF-8', "at $key"), 'read');
			is(($athena->list_uris($uri, 1))[0], $uri, 'listed');
		}
		is_deeply([ $athena->list_uris('s3://keys') ], [ map { "s3://keys/$_" } @possible ], "at $endpoint all are listed, in order");
		# Those that end with a slash last: they would take others with them.
		for my $key ((grep { $_ !~ m{/\z} } @possible), (grep { $_ =~ m{/\z} } @possible))
		{
			is($athena->delete_objects("s3://keys/$key"), 1, 'deleted: ' . name_of($key));
		}
		is_deeply([ $athena->list_uris('s3://keys') ], [], 'nothing is left');
	}
	my @short = grep { length encode('UTF-8', $_) < 1000 } @possible;
	$athena->put_text("s3://keys/a folder+/$_", '') for @short;
	$athena->put_text('s3://keys/a folder+', 'beside it');
	is($athena->delete_objects('s3://keys/a folder+/'), scalar @short, 'a folder of such keys is deleted');
	is_deeply([ $athena->list_uris('s3://keys') ], ['s3://keys/a folder+'], 'and nothing else');
}

# More objects than a page of a list has; with ATHENA_CALC_TEST_FULL more than a request deletes, which is 1,000.
sub many_objects
{
	my ($s3) = @_;
	my $page = AthenaCalc::OtherS3::PAGE;
	my $count = $ENV{ATHENA_CALC_TEST_FULL} ? 1050 : 2 * $page + 10;
	my @sorted = map { "s3://many/folder/$_" } sort 1 .. $count;

	$s3->create_bucket('many');
	is($athena->value(q{SELECT count(athena_calc.s3_put_object('s3://many/folder/' || i, i::text)) FROM generate_series(1, $1::int) i}, $count),
		$count, "$count objects are written");
	$athena->put_text("s3://many/$_", 'beside it') for qw(folder folders folder.txt);
	is(() = $s3->request('GET', '/many?list-type=2') =~ m{<Key>}g, $page, 'a page of a list has not all of them');
	is_deeply([ $athena->list_uris('s3://many/folder/') ], \@sorted, 'all are listed, in the order of their keys');
	is_deeply([ $athena->list_uris('s3://many/folder/', $_) ], [ @sorted[ 0 .. $_ - 1 ] ], "the first $_") for 1, $page, $page + 1, $count;
	is($athena->value(q{SELECT count(*) FROM athena_calc.s3_list_objects('s3://many')}), $count + 3, 'the whole bucket');
	is($athena->value(q{SELECT count(*) FROM athena_calc.s3_list_objects('s3://many/folder/10')}), scalar(grep { /^10/ } 1 .. $count),
		'the beginning of a name');
	is($athena->value(q{SELECT sum(size) FROM athena_calc.s3_list_objects('s3://many/folder/')}), length(join '', 1 .. $count), 'their sizes');
	is($athena->delete_objects('s3://many/folder/'), $count, 'the folder is deleted');
	is_deeply([ $athena->list_uris('s3://many') ], [ map { "s3://many/$_" } qw(folder folder.txt folders) ], 'what stands beside it is not');
	is($athena->delete_objects('s3://many/folder/'), 0, 'a second time there is nothing');
}

# Folders, which are but names: empty ones, objects that stand for one, objects in one.
sub folders
{
	my ($s3) = @_;

	$s3->create_bucket('folders');
	is_deeply([ $athena->list_uris($_) ], [], "nothing is in $_") for 's3://folders', 's3://folders/', 's3://folders/empty/';
	is($athena->delete_objects('s3://folders/empty/'), 0, 'nor to be deleted');
	$athena->put_text("s3://folders/$_", '') for 'empty/', 'full/', 'full/_SUCCESS', 'full/a', 'full/sub/', 'full/sub/b';
	is_deeply([ $athena->list_uris('s3://folders/empty/') ], ['s3://folders/empty/'], 'an object that stands for a folder is listed');
	is($athena->get_bytes('s3://folders/empty/'), '', 'read');
	is_deeply([ $athena->list_uris('s3://folders/full/') ], [ map { "s3://folders/full/$_" } '', '_SUCCESS', 'a', 'sub/', 'sub/b' ],
		'all objects below a folder are listed');
	is($athena->delete_objects('s3://folders/full/sub/'), 2, 'a folder in a folder is deleted with what stands for it');
	is($athena->delete_objects('s3://folders/full'), 0, 'a folder is no object');
	is($athena->delete_objects('s3://folders/full/'), 3, 'but deleted as a folder');
	is_deeply([ $athena->list_uris('s3://folders') ], ['s3://folders/empty/'], 'the other one is there');
}

# What is refused, and by which SQLSTATE.
sub refusals
{
	my ($s3) = @_;

	$s3->create_bucket('refusals');
	$athena->put_text('s3://refusals/object', 'kept');
	is($athena->call_sqlstate($_), '42704', "no bucket: $_") for calls('s3://no-such-bucket/object'), calls('s3://no-such-bucket/folder/');
	is($athena->call_sqlstate(q{s3_get_object('s3://refusals/no object')}), '42704', 'no object');
	is($athena->delete_objects('s3://refusals/no object'), 0, 'which is no error where it is to be deleted');
	return unless $s3->is_strict;

	$athena->with($s3->settings, secret_access_key => 'wrong');
	is($athena->call_sqlstate($_), '28000', "a wrong secret key: $_") for calls('s3://refusals/object');
	$athena->with($s3->settings, access_key_id => 'test:nobody');
	is($athena->call_sqlstate($_), '28000', "an unknown access key: $_") for calls('s3://refusals/object');
	$athena->with($s3->settings, region => 'us-west-2');
	is($athena->call_sqlstate($_), '00000', "another region: it says which it is: $_") for calls('s3://refusals/object');
}

# A copy of a query's rows to S3, and from there into the table: how many rows.
sub copy_to
{
	my ($query, $uri, $format, %options) = @_;

	return $athena->value('SELECT athena_calc.copy_to_s3($1, $2, $3, $4::jsonb)', $query, $uri, $format, encode_json(\%options));
}

sub copy_from
{
	my ($uri, $format, %options) = @_;

	$athena->query('TRUNCATE copied');
	return $athena->value(q{SELECT athena_calc.copy_from_s3('copied', $1, NULL, $2, $3::jsonb)}, $uri, $format, encode_json(\%options));
}

# The rows of a query, or those that were copied, as one value.
sub rows_of
{
	my ($query) = @_;

	return $athena->value("SELECT md5(string_agg(q::text, ' ' ORDER BY id)) FROM ($query) q");
}

# What is open of uploads in a bucket, as S3 itself lists it.
sub open_uploads
{
	my ($s3, $bucket) = @_;
	my @uploads = $s3->request('GET', "/$bucket?uploads=") =~ m{<Upload>}g;

	return scalar @uploads;
}

# Rows that take a part and no more; and three parts, the last of which is smaller.
my $small = q{SELECT i AS id, CASE WHEN i % 7 > 0 THEN 'größe, "' || i || E'"\n😀' END AS name FROM generate_series(1, 5000) i};
my $large = q{SELECT i AS id, repeat(md5(i::text), 32) AS name FROM generate_series(1, 22000) i};

# Objects of rows: as a whole and in parts, compressed, over others. Bodies are signed, as there is no TLS.
sub tables
{
	my ($s3) = @_;

	$s3->create_bucket('tables');
	for my $endpoint ($s3->url, $s3->is_strict ? $s3->virtual_url : ())
	{
		my $folder = 's3://tables/' . ($endpoint eq $s3->url ? 'path' : 'virtual');

		$athena->with($s3->settings, s3_endpoint_url => $endpoint);
		for my $case (
			[ $small, 5000,  'small',     'csv', header => \1 ],
			[ $small, 5000,  'small.gz',  'csv' ],
			[ $small, 5000,  'json',      'json' ],
			[ $small, 5000,  'binary',    'binary' ],
			[ 'SELECT 1 AS id WHERE false', 0, 'no rows', 'text' ],
			[ $large, 22000, 'large',     'text' ])
		{
			my ($query, $count, $name, $format, %options) = @$case;
			my $uri = "$folder/$name";

			is(copy_to($query, $uri, $format, %options), $count, "$name goes to $endpoint");
			is(copy_from($uri, $format, %options), $count, 'and comes back');
			is(rows_of('TABLE copied'), rows_of($query), 'the same');
			is($athena->call_sqlstate('copy_to_s3($1, $2)', $query, $uri), '42710', 'not over what is there');
		}
		like(($athena->column('SELECT etag FROM athena_calc.s3_list_objects($1)', "$folder/large"))[0], qr/-3"?\z/, 'the large one went in parts');
		like($athena->get_bytes("$folder/small.gz"), qr/\A\x1f\x8b/, 'what is named .gz is compressed');
		is(copy_to('SELECT 1 AS id', "$folder/$_", 'csv', overwrite => \1), 1, "another is written over $_") for qw(small large);
		is($athena->get_bytes("$folder/$_"), "1\n", 'which is there') for qw(small large);
		is(copy_to($large, "$folder/small", 'csv', overwrite => \1), 22000, 'a large one over a small one');
		is(copy_from("$folder/small", 'csv'), 22000, 'is there');
	}
	is(open_uploads($s3, 'tables'), 0, 'no upload is open');
	return unless $s3->is_strict;

	$athena->with($s3->settings, region => 'us-west-2');
	is($athena->call_sqlstate('copy_to_s3($1, $2)', $large, 's3://tables/virtual/small'), '42710', 'another region: not over what is there');
	$athena->with($s3->settings, region => 'us-west-2');
	is(copy_to($large, 's3://tables/sent on', 'csv'), 22000, 'another region: it says which it is');
	$athena->with($s3->settings, region => 'us-west-2');
	is(copy_from('s3://tables/sent on', 'csv'), 22000, 'also to who reads');
}

# Rows at keys of all kinds; those at the end of which is a slash are folders.
sub tables_at_keys
{
	my ($s3) = @_;
	my $impossible = $impossible{ $s3->name };
	my @possible = grep { $_ !~ m{/\z} && length encode('UTF-8', $_) < 1000 && (!$impossible || $_ !~ $impossible) } @keys;
	# Spark's markers and hidden files: no data.
	my @data = grep { $_ !~ m{(?:\A|/)[._]} } @possible;
	my $folder = 's3://keys-of-tables/a folder+=%';

	$s3->create_bucket('keys-of-tables');
	for my $i (0 .. $#possible)
	{
		my $uri = "$folder/$possible[$i]";

		is(copy_to("SELECT $i AS id, 'x' AS name", $uri, 'csv'), 1, 'the key ' . name_of($possible[$i]) . ' gets a row');
		is(copy_from($uri, 'csv'), 1, 'and gives it');
		is($athena->value('SELECT id FROM copied'), $i, 'the same');
	}
	is(copy_from("$folder/", 'csv'), scalar @data, 'the folder gives those of its data');
	is_deeply([ $athena->column('SELECT id FROM copied ORDER BY ctid') ],
		[ map { my $key = $_; grep { $possible[$_] eq $key } 0 .. $#possible } sort { encode('UTF-8', $a) cmp encode('UTF-8', $b) } @data ],
		'in the order of their keys');
	for my $i (0 .. 2)
	{
		my $sub = "$folder/" . [ 'día=50 %+', 'a+b c', 'e=%3D' ]->[$i] . '/';

		is(copy_to("SELECT $i AS id", $sub, 'json'), 1, 'a folder ' . name_of($sub));
		is(copy_from($sub, 'json'), 1, 'comes back');
		is_deeply([ $athena->list_uris($sub) ], ["${sub}part-00000.json"], 'as one object');
	}
}

# Folders of rows.
sub folders_of_tables
{
	my ($s3) = @_;
	my $folder = 's3://folders-of-tables/out/';
	my @parts;

	$s3->create_bucket('folders-of-tables');
	$athena->put_text('s3://folders-of-tables/out', 'beside it');
	is(copy_to("SELECT id % 3000 AS id, name FROM ($large) q", $folder, 'csv', header => \1, max_object_size => '750kB'), 22000, 'a folder is written');
	@parts = $athena->list_uris($folder);
	cmp_ok(scalar @parts, '>=', 30, scalar @parts . ' objects');
	is($parts[-1], sprintf('%spart-%05d.csv', $folder, $#parts), 'in their order');
	$athena->put_text("${folder}_SUCCESS", '');
	is(copy_from($folder, 'csv', header => \1), 22000, 'all are read');
	is($athena->value(q{SELECT string_agg(md5(name), '' ORDER BY ctid) = (SELECT string_agg(md5(name), '' ORDER BY id) FROM (} . $large . ') q) FROM copied'),
		't', 'in their order');
	is($athena->call_sqlstate('copy_to_s3($1, $2)', $small, $folder), '42710', 'not over what is there');
	is(copy_to($small, $folder, 'json', overwrite => \1, compression => 'gzip', max_object_size => '16kB'), 5000, 'but where it is wanted');
	unlike(join(' ', $athena->list_uris($folder)), qr/\.csv|_SUCCESS/, 'what was there is not there any more');
	is(copy_from($folder, 'json'), 5000, 'all of it is read');
	is(rows_of('TABLE copied'), rows_of($small), 'the same');
	is($athena->get_bytes('s3://folders-of-tables/out'), 'beside it', 'what stands beside it is left');
	is(open_uploads($s3, 'folders-of-tables'), 0, 'no upload is open');
}

# Copies that fail, or are canceled, leave nothing.
sub tables_that_fail
{
	my ($s3) = @_;
	my $backend = $athena->session_backend;

	$s3->create_bucket('failing');
	$athena->put_text('s3://failing/kept', 'kept');
	for my $uri ('s3://failing/object', 's3://failing/kept', 's3://failing/folder/')
	{
		my $bad = "SELECT id / (22000 - id), name FROM ($large) q";
		my $options = encode_json({ overwrite => \1, ($uri =~ m{/\z} ? (max_object_size => '6MB') : ()) });

		is($athena->call_sqlstate(q{copy_to_s3($1, $2, 'csv', $3::jsonb)}, $bad, $uri, $options), '22012', "an error in the last row: $uri");
		is(open_uploads($s3, 'failing'), 0, 'no upload is open');

		$backend->send(q{SELECT athena_calc.copy_to_s3($1, $2, 'csv', $3::jsonb)},
			"SELECT id, name FROM ($large) q WHERE id < 22000 OR pg_sleep(600) IS NULL", $uri, $options);
		$athena->wait_until(sub { open_uploads($s3, 'failing') > 0 }, 'an upload was open');
		pass('an upload is open');
		$backend->cancel;
		is($backend->finish->{error}{sqlstate}, '57014', 'it is canceled');
		is(open_uploads($s3, 'failing'), 0, 'and none is open');
		is_deeply([ $athena->list_uris('s3://failing') ], ['s3://failing/kept'], 'nothing new is there');
		is($athena->get_bytes('s3://failing/kept'), 'kept', 'and what was there is');
	}
	for my $uri ('s3://no-such-bucket/object', 's3://no-such-bucket/folder/')
	{
		is($athena->call_sqlstate('copy_to_s3($1, $2)', $_, $uri), '42704', "no bucket: $uri") for $small, $large;
		is($athena->call_sqlstate(q{copy_from_s3('copied', $1)}, $uri), '42704', 'nor to read from');
	}
	is($athena->call_sqlstate(q{copy_from_s3('copied', 's3://failing/no object')}), '42704', 'no object');
	is($athena->call_sqlstate(q{copy_from_s3('copied', 's3://failing/no folder/')}), '42704', 'no folder');
	return unless $s3->is_strict;

	$athena->with($s3->settings, secret_access_key => 'wrong');
	is($athena->call_sqlstate('copy_to_s3($1, $2)', $_, 's3://failing/object'), '28000', 'a wrong secret key: written') for $small, $large;
	is($athena->call_sqlstate(q{copy_from_s3('copied', $1)}, $_), '28000', "read: $_") for 's3://failing/kept', 's3://failing/folder/';
}

$athena->query('CREATE TABLE copied (id int, name text)');

for my $name (AthenaCalc::OtherS3->names)
{
	my $lack = AthenaCalc::OtherS3->lack($name);

	SKIP:
	{
		skip $lack, 1 if $lack;
		my $begun = time;
		my $s3    = AthenaCalc::OtherS3->new($name);

		note sprintf '%s answers after %.1f s', $name, time - $begun;
		for my $trial (@trials)
		{
			$begun = time;
			$athena->with($s3->settings);
			$trial->($s3);
			note sprintf '%s: %.1f s', $name, time - $begun;
		}
	}
}

unlike(PostgreSQL::Test::Utils::slurp_file($athena->node->logfile), qr/XX000|terminated by signal|PANIC|TRAP/, 'nothing bad in the log');

done_testing();
