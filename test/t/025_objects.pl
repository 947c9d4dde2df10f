# Objects in S3 from SQL: written, read, listed, deleted; what is refused, what goes wrong, and what comes of it.

use strict;
use warnings;
use utf8;

use AthenaCalc::Test;
use Digest::MD5 qw(md5_hex);
use Encode qw(encode);
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my @buckets = qw(my.bucket empty whole many pages elsewhere:eu-west-1);
my $athena  = AthenaCalc::Test->new(emulator => [ map { ('--create-bucket', $_) } @buckets ]);
my $port    = $athena->emulator->port;
my $bucket  = 's3://athena-emulator';

# All that was asked of S3, as in "S3.ListObjectsV2 S3.DeleteObjects".
sub asked { return join ' ', map { $_->{operation} } grep { $_->{service} eq 's3' } $athena->requests }

# The region that a request was signed for.
sub region_of { return $_[0]{headers}{authorization} =~ m{Credential=[^/]+/\d+/([^/]+)/} ? $1 : undef }

# The four functions, each with a call that succeeds as often as it is made.
my %call = (
	ListObjectsV2 => "s3_list_objects('$bucket/calls/')",
	GetObject     => "s3_get_object('$bucket/calls/object')",
	PutObject     => "s3_put_object('$bucket/calls/object', 'again')",
	DeleteObjects => "s3_delete_objects('$bucket/calls/')");
my @operations = sort keys %call;

# 1. Bytes and text

my $all_bytes = join '', map { chr } 0 .. 255;
my $large = join '', map { pack 'N', $_ * 2654435761 % 2**32 } 1 .. 5 * 2**18;
for my $case ([ 'all 256 bytes', $all_bytes ], [ 'nothing', '' ], [ 'a NUL', "\0" ], [ '5 MB', $large ])
{
	my ($name, $bytes) = @$case;
	my $uri = "$bucket/bytes/$name";

	is($athena->put_bytes($uri, $bytes), '"' . md5_hex($bytes) . '"', "$name: the ETag, as S3 says it");
	ok($athena->get_bytes($uri) eq $bytes, 'comes back');
	is($athena->value('SELECT size FROM athena_calc.s3_list_objects($1)', $uri), length $bytes, 'has its size in the list');
}
for my $text ('', 'plain', "größe: 5 €\n", "a\ttab, \\x41, 'quotes' and 😀", 'x' x 100_000)
{
	is($athena->put_text("$bucket/text", $text), '"' . md5_hex(encode('UTF-8', $text)) . '"', printable('text: ' . substr $text, 0, 30));
	is($athena->get_bytes("$bucket/text"), encode('UTF-8', $text), 'is there as UTF-8');
	is($athena->value(q{SELECT convert_from(athena_calc.s3_get_object($1), 'UTF8')}, "$bucket/text"), $text, 'and is text again');
}
$athena->put_text("$bucket/replaced", 'a long text that stood here first');
$athena->put_text("$bucket/replaced", 'short');
is($athena->get_bytes("$bucket/replaced"), 'short', 'an object is replaced as a whole');
my @types = map { $_->{headers}{'content-type'} } grep { $_->{operation} eq 'S3.PutObject' } $athena->requests;
is($types[0], 'application/octet-stream', 'the type of bytes');
is($types[-1], 'text/plain; charset=utf-8', 'and of text');
$athena->query("SELECT athena_calc.s3_put_object('$bucket/unknown', '\\x41')");
is($athena->get_bytes("$bucket/unknown"), '\\x41', 'a literal without a type is text');
$athena->query('BEGIN');
$athena->put_text("$bucket/transaction", 'stays');
$athena->query('ROLLBACK');
is($athena->get_bytes("$bucket/transaction"), 'stays', 'ROLLBACK does not undo it');
$athena->query(q{CREATE TABLE kept (content bytea); ALTER TABLE kept ALTER content SET STORAGE EXTERNAL});
$athena->query('INSERT INTO kept SELECT athena_calc.s3_get_object($1)', "$bucket/bytes/5 MB");
is($athena->value('SELECT athena_calc.s3_put_object($1, content) FROM kept', "$bucket/toasted"),
	'"' . md5_hex($large) . '"', 'a value that is stored out of line');
is($athena->value(q{SELECT athena_calc.s3_put_object($1, substr(content, 1, 3)) FROM kept}, "$bucket/slice"),
	'"' . md5_hex(substr $large, 0, 3) . '"', 'and a slice of it');

# What comes is what S3 has, and S3 has what was sent.
$athena->clear_log;
$athena->put_text("$bucket/checked", '123456789');
is(($athena->requests('S3.PutObject'))[0]{headers}{'x-amz-checksum-crc32'}, 'y/Q5Jg==', 'the checksum that everybody knows');
is($athena->get_bytes("$bucket/checked"), '123456789', 'with it the object is read');
is(($athena->requests('S3.GetObject'))[0]{headers}{'x-amz-checksum-mode'}, 'ENABLED', 'it is asked for');
$athena->fault(operation => 'S3.GetObject', set_headers => { 'x-amz-checksum-crc32' => 'AAAAAA==' });
my $damaged = $athena->call_error('s3_get_object($1)', "$bucket/checked");
is("$damaged->{sqlstate} $damaged->{message}",
	'08P01 S3 GetObject failed: what came of the object is not what S3 has: its CRC32 is y/Q5Jg==, not AAAAAA==', 'another one is an error');

# Other encodings

$athena->query(qq{CREATE DATABASE $_ ENCODING '$_' LOCALE 'C' TEMPLATE template0}) for qw(latin1 sql_ascii euc_jp);
my %in = map { $_ => $athena->connect(dbname => $_) } qw(latin1 sql_ascii euc_jp);
$_->query('CREATE EXTENSION athena_calc') for values %in;
my $latin1 = $in{latin1};
$latin1->query('SELECT athena_calc.s3_put_object($1, $2::text)', "$bucket/latin1/größe", 'größe');
is($athena->get_bytes("$bucket/latin1/größe"), encode('UTF-8', 'größe'), 'text of a LATIN1 database is UTF-8 in S3, and so is the key');
is($latin1->value('SELECT athena_calc.s3_get_object($1)', "$bucket/latin1/größe"),
	'\\x' . unpack('H*', encode('UTF-8', 'größe')), 'what is read is as it is');
is($latin1->value('SELECT uri FROM athena_calc.s3_list_objects($1)', "$bucket/latin1/gr"), "$bucket/latin1/größe", 'the list has the key');
is($latin1->value('SELECT athena_calc.s3_delete_objects($1)', "$bucket/latin1/größe"), 1, 'by which it is deleted');
is_deeply([ $athena->list_uris("$bucket/latin1/") ], [], 'really');
$in{euc_jp}->query('SELECT athena_calc.s3_put_object($1, $2::text)', "$bucket/euc", '日本語');
is($athena->get_bytes("$bucket/euc"), encode('UTF-8', '日本語'), 'text of an EUC_JP database');
is($in{sql_ascii}->error(q{SELECT athena_calc.s3_put_object('s3://athena-emulator/x', convert_from('\xff', 'SQL_ASCII'))})->{sqlstate},
	'22021', 'SQL_ASCII: what is not UTF-8 is refused');
is($in{sql_ascii}->error(qq{SET client_encoding = SQL_ASCII; SELECT athena_calc.s3_get_object(E'$bucket/\\xff')})->{sqlstate},
	'22021', 'in a key, too');

# A key that the database's encoding lacks: never another object in its place.
$athena->put_text("$bucket/lacking/€", 'euro');
$athena->put_text("$bucket/lacking/?", 'question mark');
$athena->put_text("$bucket/lacking/a", 'before them');
my $lacking = $latin1->error('SELECT * FROM athena_calc.s3_list_objects($1)', "$bucket/lacking/");
is($lacking->{sqlstate}, '22P05', 'a key that LATIN1 lacks is an error in a list');
is($lacking->{message}, 'the key "lacking/?" has a character that the encoding LATIN1 lacks', 'which says so');
like($lacking->{hint}, qr/UTF8/, 'and what to do');
is($latin1->value('SELECT count(*) FROM athena_calc.s3_list_objects($1, 2)', "$bucket/lacking/"), 2, 'not of a list that does not come to it');
is($latin1->error('SELECT athena_calc.s3_delete_objects($1)', "$bucket/lacking/")->{sqlstate}, '22P05',
	'and an error where it is to be deleted');
is_deeply([ $athena->list_uris("$bucket/lacking/") ], [ map { "$bucket/lacking/$_" } '?', 'a', '€' ], 'then nothing is');
is($latin1->value('SELECT athena_calc.s3_delete_objects($1)', "$bucket/lacking/?"), 1, 'the one that it is not can be deleted');
is($latin1->value('SELECT athena_calc.s3_delete_objects($1)', "$bucket/lacking/?"), 0, 'once');
$athena->put_text("$bucket/longer€", 'a key that begins as another one');
is($latin1->value('SELECT athena_calc.s3_delete_objects($1)', "$bucket/longer"), 0, 'a longer key is none of those who delete another');
is($in{sql_ascii}->value(q{SELECT encode(uri::bytea, 'hex') FROM athena_calc.s3_list_objects($1) OFFSET 1}, "$bucket/lacking/"),
	unpack('H*', encode('UTF-8', "$bucket/lacking/€")), 'a SQL_ASCII database has the key as it is');
is($athena->delete_objects("$bucket/lacking/"), 2, 'a UTF8 database has all keys');

# EUC_JP has one character for both of these.
$athena->put_text("$bucket/alike/$_", '') for "\x{A6}", "\x{FFE4}";
my $ambiguous = $in{euc_jp}->error('SELECT athena_calc.s3_delete_objects($1)', "$bucket/alike/");
is($ambiguous->{sqlstate}, '22P05', 'a key that would come back as another is none');
is($in{euc_jp}->error('SELECT * FROM athena_calc.s3_list_objects($1)', "$bucket/alike/")->{sqlstate}, '22P05', 'nor is it listed');
is(scalar(my @alike = $athena->list_uris("$bucket/alike/")), 2, 'neither is deleted');

# 2. Keys

my @keys = (
	'a b', 'a+b', 'a%20b', '100%', '%', '%4', '%zz', 'a&b=c', 'what?', 'a#b', 'a;b,c', q{it's "quoted"}, '<key>&amp;]]>', 'a\\b',
	'(a)*[b]{c}!$@:|<>^`~', 'größe/€/😀', 'a//b', '/leading', '//', 'trailing/', '.', '..', '...', './a', 'a/./b', 'a/../b', '../../up',
	' ', '  two  ', "tab\there", "line\nbreak", "return\rhere", "bell\x07", "\x01\x1f", "delete\x7f", "\x{85}", "\x{2028}", 'K' x 1024, '€' x 341);
for my $endpoint ("http://127.0.0.1:$port", "http://s3.localhost:$port")
{
	$athena->with(s3_endpoint_url => $endpoint);
	for my $key (@keys)
	{
		my $name = JSON::PP->new->allow_nonref->ascii->encode(substr $key, 0, 40);
		my $uri = "s3://many/$key";
		my $error = $athena->call_error('s3_put_object($1, $2::text)', $uri, "at $key");

		is($error->{sqlstate}, '00000', "the key $name is written") or diag explain $error;
		is($athena->get_bytes($uri), encode('UTF-8', "at $key"), 'read');
		is(($athena->list_uris($uri, 1))[0], $uri, 'listed');
	}
	my $expected = $athena->value(q{SELECT count(*) FROM athena_calc.s3_list_objects('s3://many')});
	is($expected, scalar @keys, 'each is an object of its own');
	is($athena->value(q{SELECT string_agg(uri, '|' ORDER BY n) FROM athena_calc.s3_list_objects('s3://many') WITH ORDINALITY AS l (uri, s, m, e, n)}),
		join('|', map { "s3://many/$_" } sort { encode('UTF-8', $a) cmp encode('UTF-8', $b) } @keys), 'all are listed in order');
	for my $key (@keys)
	{
		next if $key =~ m{/\z};
		is($athena->delete_objects("s3://many/$key"), 1, 'deleted: ' . JSON::PP->new->allow_nonref->ascii->encode(substr $key, 0, 40));
	}
	is_deeply([ sort($athena->list_uris('s3://many')) ], [ 's3://many///', 's3://many/trailing/' ], 'none but folders is left');
	is($athena->delete_objects("s3://many/$_"), 1, "the object that is called as a folder: $_") for '//', 'trailing/';
	is_deeply([ $athena->list_uris('s3://many') ], [], 'nothing is left');
}
$athena->reconnect;

# All of them as a folder: in one request, but for what XML cannot hold.
$athena->put_text("s3://many/folder/$_", '') for grep { length encode('UTF-8', $_) < 1000 } @keys;
$athena->put_text('s3://many/folder', 'beside it');
$athena->put_text('s3://many/folder.txt', 'beside it');
my $folder = grep { length encode('UTF-8', $_) < 1000 } @keys;
$athena->clear_log;
is($athena->delete_objects('s3://many/folder/'), $folder, 'a folder of such keys is deleted');
is(scalar($athena->requests('S3.DeleteObjects')), 1, 'in one request');
is(scalar($athena->requests('S3.DeleteObject')), 2, 'but for keys that XML cannot hold');
is_deeply([ $athena->list_uris('s3://many') ], [ 's3://many/folder', 's3://many/folder.txt' ], 'what stands beside it is not');
is($athena->delete_objects('s3://many/folder'), 1, 'nor is more than one object deleted without a slash');
is_deeply([ $athena->list_uris('s3://many') ], ['s3://many/folder.txt'], 'the other one is there');
is($athena->delete_objects('s3://many/folder'), 0, 'an absent one is no error, but none');
is($athena->delete_objects('s3://many/fold'), 0, 'nor is what only begins so an object');
is($athena->delete_objects('s3://many/folder.txt/'), 0, 'an object is no folder');
is_deeply([ $athena->list_uris('s3://many') ], ['s3://many/folder.txt'], 'and nothing else was deleted');
$athena->put_text('s3://many/control/' . chr $_, '') for 1, 2;
$athena->clear_log;
is($athena->delete_objects('s3://many/control/'), 2, 'a folder of nothing else than such keys');
is(asked(), 'S3.ListObjectsV2 S3.DeleteObject S3.DeleteObject', 'each by itself');
$athena->query(q{SELECT athena_calc.s3_put_object('s3://many/odd/' || chr(n), '') FROM unnest(ARRAY[65534, 65535]) n});
$athena->put_text('s3://many/odd/' . $_, '') for "\x{10000}", "\x{1F600}\x{FFFD}", "\x{FEFF}";
$athena->clear_log;
is($athena->delete_objects('s3://many/odd/'), 5, 'two more characters that XML cannot hold, and some beside them');
is(asked(), 'S3.ListObjectsV2 S3.DeleteObject S3.DeleteObject S3.DeleteObjects', 'which it can');
is_deeply([ $athena->list_uris('s3://many/odd/') ], [], 'all are gone');

# 3. Lists

is($athena->value(q{SELECT count(athena_calc.s3_put_object('s3://pages/folder/' || i, i::text)) FROM generate_series(1, 2500) i}),
	2500, 'there are 2,500 objects');
$athena->put_text('s3://pages/folder', '');
$athena->put_text('s3://pages/folders', '');
my @sorted = map { "s3://pages/folder/$_" } sort 1 .. 2500;
$athena->clear_log;
is_deeply([ $athena->list_uris('s3://pages/folder/') ], \@sorted, 'all are listed, in the order of their keys');
is(asked(), 'S3.ListObjectsV2 S3.ListObjectsV2 S3.ListObjectsV2', 'in three pages');
for my $case ([ 1, 1 ], [ 999, 1 ], [ 1000, 1 ], [ 1001, 2 ], [ 2000, 2 ], [ 2147483647, 3 ])
{
	my ($max_results, $pages) = @$case;
	my $last = $max_results < 2500 ? $max_results - 1 : 2499;
	my $rest = $max_results < 2500 ? $max_results % 1000 : 0;

	# A rule that changes nothing marks those requests in the log.
	$athena->fault(operation => 'S3.ListObjectsV2', times => undef, set_headers => {}, contains => $rest ? "max-keys=$rest&" : 'max-keys');
	$athena->clear_log;
	is_deeply([ $athena->list_uris('s3://pages/folder/', $max_results) ], [ @sorted[ 0 .. $last ] ], "the first $max_results");
	my @pages = $athena->requests('S3.ListObjectsV2');
	is(scalar @pages, $pages, "in $pages page(s)");
	is(join(' ', map { $_->{fault} ? 'short' : 'full' } @pages), join(' ', ('full') x ($pages - 1), $rest ? 'short' : 'full'),
		'of which the last is asked to be no longer than is wanted');
	$athena->clear_faults;
}
is($athena->value(q{SELECT count(*) FROM athena_calc.s3_list_objects('s3://pages/folder')}), 2502, 'a prefix without a slash');
is_deeply([ $athena->list_uris('s3://pages/folder/12', 3) ], [ map { "s3://pages/folder/$_" } 12, 120, 1200 ], 'the beginning of a name');
is($athena->value(q{SELECT count(*) FROM athena_calc.s3_list_objects($1)}, $_), 2502, "a whole bucket: $_") for 's3://pages', 's3://pages/', 'S3://pages';
is($athena->value(q{SELECT count(*) FROM athena_calc.s3_list_objects($1)}, $_), 0, "nothing: $_")
  for 's3://empty', 's3://empty/', 's3://empty/folder/', 's3://pages/nothing';
$athena->query('SELECT 1 FROM athena_calc.s3_list_objects(\'s3://pages\') LIMIT 1');
is($athena->value(q{SELECT count(*) FROM athena_calc.s3_list_objects('s3://pages') a, athena_calc.s3_list_objects('s3://pages/folders') b}),
	2502, 'twice in a statement');
my $row = $athena->row(q{SELECT *, abs(extract(epoch FROM now() - last_modified)) < 600 AS recent, date_trunc('milliseconds', last_modified) = last_modified AS exact
	FROM athena_calc.s3_list_objects('s3://pages/folder/1234')});
is($row->{uri}, 's3://pages/folder/1234', 'a row: the URI');
is($row->{size}, 4, 'the size');
is($row->{etag}, '"' . md5_hex('1234') . '"', 'the ETag, as s3_put_object gave it');
is($row->{recent}, 't', 'when it was written');
is($row->{exact}, 't', 'in milliseconds');
$athena->fault(operation => 'S3.ListObjectsV2',
	body => '<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>a%2Fb+c%2B</Key><Size>5368709120000</Size><LastModified>2024-02-29T23:59:59.123Z</LastModified>'
	  . '<ETag>&quot;x-1&quot;</ETag></Contents></ListBucketResult>');
is_deeply($athena->row(q{SELECT uri, size, last_modified::text, etag FROM athena_calc.s3_list_objects('s3://pages/a')}),
	{ uri => 's3://pages/a/b c+', size => 5368709120000, last_modified => '2024-02-29 23:59:59.123+00', etag => '"x-1"' }, 'as S3 writes it');
$athena->fault(operation => 'S3.ListObjectsV2', body => '<ListBucketResult><Contents><Key>a%2Fb+c</Key></Contents></ListBucketResult>');
is_deeply([ $athena->list_uris('s3://pages/a') ], ['s3://pages/a%2Fb+c'], 'a server that does not encode keys says so by leaving it out');

# A folder of more objects than a request deletes

$athena->query(q{SELECT athena_calc.s3_delete_objects('s3://pages/folder/2')});
$athena->clear_log;
is($athena->delete_objects('s3://pages/folder/'), 2499, 'a folder of 2,499 objects');
is(asked(), join(' ', ('S3.ListObjectsV2') x 3, ('S3.DeleteObjects') x 3), 'in three requests, once all are listed');
is_deeply([ $athena->list_uris('s3://pages') ], [ 's3://pages/folder', 's3://pages/folders' ], 'what stands beside it is there');
is($athena->delete_objects('s3://pages/folder/'), 0, 'a second time there is nothing');

# Never a whole bucket
$athena->put_text('s3://whole/object', 'kept');
$athena->clear_log;
for my $uri ('s3://whole', 's3://whole/', 'S3://whole/')
{
	my $refused = $athena->call_error('s3_delete_objects($1)', $uri);

	is($refused->{sqlstate}, '22023', "not a whole bucket: $uri");
	like($refused->{hint}, qr/never a whole bucket/, 'says the HINT');
}
is(asked(), '', 'nothing is asked');
is($athena->get_bytes('s3://whole/object'), 'kept', 'nothing is gone');

# 4. What is refused before anything is sent

$athena->clear_log;
my $error;
for my $case (
	[ 's3_list_objects(NULL)',             'uri' ],
	[ 's3_get_object(NULL)',               'uri' ],
	[ 's3_delete_objects(NULL)',           'uri' ],
	[ "s3_put_object(NULL, 'text')",       'uri' ],
	[ 's3_put_object(NULL, NULL::bytea)',  'uri' ],
	[ "s3_put_object('$bucket/x', NULL)",  'content' ],
	[ "s3_put_object('$bucket/x', NULL::bytea)", 'content' ])
{
	my ($function, $argument) = @$case;

	$error = $athena->call_error($function);
	is("$error->{sqlstate} $error->{message}", qq(22004 argument "$argument" must not be NULL), $function);
}
my @no_uris = ('', 'x', 's3', 's3:', 's3:/', 's3://', 's3:///', 's3:///key', 's3://a', 's3://ab/key', 'http://127.0.0.1/key', '/etc/passwd', ' s3://bucket/key',
	's3a://bucket/key', 's3://user@host/key', 's3://bucket:80/key', 's3://buc ket/key', 's3://bucket%2f/key', 's3://bück/key', "s3://bucket\r\nHost: x/key",
	's3://bucket?x/key', 's3://bucket#x/key', 's3://bucket\\/key', 's3://' . 'b' x 256 . '/key', 's3://bucket/' . 'k' x 1025);
for my $uri (@no_uris)
{
	my $name = JSON::PP->new->allow_nonref->ascii->encode(substr $uri, 0, 40);

	is(join(' ', map { $athena->call_sqlstate($_, $uri) } 's3_list_objects($1)', 's3_get_object($1)', q{s3_put_object($1, 'text')}, q{s3_put_object($1, '\x00'::bytea)},
		's3_delete_objects($1)'), join(' ', ('22023') x 5), "no URI: $name");
}
is(join(' ', map { $athena->call_sqlstate($_, 's3://bucket/') } 's3_get_object($1)', q{s3_put_object($1, 'text')}, 's3_delete_objects($1)'),
	'22023 22023 22023', 'a bucket is no object');
$error = $athena->call_error(q{s3_get_object('key')});
is($error->{message}, 'argument "uri" does not name an object', 'the message');
like($error->{hint}, qr{s3://}, 'and the hint');
is($athena->call_sqlstate('s3_list_objects($1, $2)', $bucket, $_), '22023', "max_results $_") for 0, -1, -2147483648;
is($athena->call_sqlstate('s3_get_object($1)', 's3://bucket/' . '€' x 342), '22023', 'a key is measured in bytes');
is(asked(), '', 'nothing was asked for any of these');

# 5. What S3 refuses

for my $operation (@operations)
{
	(my $elsewhere = $call{$operation}) =~ s{//athena-emulator}{//no-such-bucket};

	$error = $athena->call_error($elsewhere);
	is($error->{sqlstate}, '42704', "$operation: no such bucket");
	is_deeply([ detail_keys($error) ], [qw(exception http_status request_id attempts)], 'the keys of DETAIL');
	is(detail_value($error, 'exception'), 'NoSuchBucket', 'the exception');
}
$error = $athena->call_error("s3_get_object('$bucket/nothing')");
is("$error->{sqlstate} $error->{message}", '42704 S3 GetObject failed: The specified key does not exist.', 'no such key');
like($error->{context}, qr{^object "s3://\S+"$}m, 'which is named in CONTEXT');
like($athena->call_error(q{s3_list_objects('s3://no-such-bucket/folder/')})->{context}, qr{^bucket "no-such-bucket"$}m, 'as is a bucket that is listed');
is(detail_value($error, 'exception'), 'NoSuchKey', 'the exception');
$athena->put_text("$bucket/calls/object", 'here');
$athena->query('SET athena_calc.max_attempts = 1');
for my $operation (@operations)
{
	for my $case (
		[ 'AccessDenied',          403, '42501' ],
		[ 'InvalidAccessKeyId',    403, '28000' ],
		[ 'SignatureDoesNotMatch', 403, '28000' ],
		[ 'ExpiredToken',          400, '28000' ],
		[ 'SlowDown',              503, '53400' ],
		[ 'InternalError',         500, '58000' ],
		[ 'InvalidObjectState',    403, 'SP000' ])
	{
		my ($code, $status, $sqlstate) = @$case;

		$athena->fault(operation => "S3.$operation", error => $code, status => $status, message => 'So it is.');
		$error = $athena->call_error($call{$operation});
		is("$error->{sqlstate} $error->{message}", "$sqlstate S3 $operation failed: So it is.", "$operation: $code");
	}
}
$athena->fault(operation => 'S3.ListObjectsV2', error => 'AccessDenied', status => 403);
is($athena->call_sqlstate("s3_delete_objects('$bucket/calls/object')"), '42501', 'who may not list cannot delete');
is($athena->get_bytes("$bucket/calls/object"), 'here', 'all of that has left the object as it is');
$athena->query('RESET athena_calc.max_attempts');
is($athena->with(secret_access_key => 'wrong')->query_error("SELECT athena_calc.$call{$_}")->{sqlstate}, '28000', "$_: a wrong secret") for @operations;
$athena->reconnect;

# Errors in an answer of 200

sub delete_answer
{
	my ($body, %fault) = @_;

	$athena->clear_faults;
	$athena->put_text("$bucket/deleted/$_", '') for 1, 2;
	$athena->fault(operation => 'S3.DeleteObjects', body => $body, %fault);
	my $found = $athena->call_error("s3_delete_objects('$bucket/deleted/')");
	is($athena->value('SELECT 1'), 1, 'the backend lives');
	return $found;
}

my $denied = '<Error><Key>deleted/2</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>';
$error = delete_answer(qq(<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">$denied</DeleteResult>));
is("$error->{sqlstate} $error->{message}", '42501 S3 DeleteObjects failed: deleted/2: Access Denied', 'a key that may not be deleted');
is(detail_value($error, 'exception'), 'AccessDenied', 'the exception');
is(detail_value($error, 'http_status'), 200, 'under 200');
is(delete_answer('<DeleteResult><Deleted><Key>deleted/1</Key></Deleted>' . $denied . '</DeleteResult>')->{sqlstate}, '42501', 'behind one that was');
$error = delete_answer('<DeleteResult><Error><Key>a&lt;b</Key><Code>InternalError</Code><Message>We</Message></Error>' . $denied . '</DeleteResult>');
is("$error->{sqlstate} $error->{message}", '58000 S3 DeleteObjects failed: a<b: We', 'the first of them is told');
is(detail_value($error, 'exception'), 'InternalError', 'with its code');
$error = delete_answer('<DeleteResult><Error><Code>Odd</Code></Error></DeleteResult>');
is($error->{sqlstate}, 'SP000', 'neither key nor message');
like($error->{message}, qr/Odd/, 'then the code is told');
is(delete_answer($_->[1])->{sqlstate}, '08P01', "the answer is $_->[0]")
  for [ 'nothing', '' ], [ 'words', 'Deleted' ], [ 'cut', '<DeleteResult><Error><Code>Acc' ], [ 'JSON', '{}' ],
  [ 'a document type', '<!DOCTYPE DeleteResult [<!ENTITY a "a">]><DeleteResult/>' ];
is(delete_answer($_)->{sqlstate}, '08P01', "the answer is $_")
  for '<html/>', '<ListBucketResult/>', '<DeleteResultX/>', '<a><DeleteResult/></a>', '<Error/>', '<Error><Code/></Error>',
  '<DeleteResult><Error><Key>deleted/1</Key></Error></DeleteResult>', '<DeleteResult><Error/></DeleteResult>';
my $trouble = '<Error><Code>InternalError</Code><Message>We</Message></Error>';
is(delete_answer($trouble)->{sqlstate}, '00000', 'an error in place of the answer that passes');
$error = delete_answer($trouble, times => undef);
is("$error->{sqlstate} $error->{message}", '58000 S3 DeleteObjects failed: We', 'and one that stays');
is(detail_value($error, 'http_status'), 200, 'under 200');
is(detail_value($error, 'attempts'),    3,   'is tried again, as AWS asks for');
$athena->fault(operation => 'S3.ListObjectsV2', body => $trouble);
is($athena->value("SELECT count(*) FROM athena_calc.s3_list_objects('$bucket/deleted/')"), 2, 'so is one in place of a list');
$athena->query('SET athena_calc.max_attempts = 1');
is(delete_answer("<Error><Code>$_->[0]</Code></Error>", times => undef)->{sqlstate}, $_->[1], "$_->[0] under 200")
  for [ 'AccessDenied', '42501' ], [ 'SlowDown', '53400' ], [ 'NoSuchBucket', '42704' ], [ 'ExpiredToken', '28000' ], [ 'Odd', 'SP000' ];
$athena->query('RESET athena_calc.max_attempts');
$error = delete_answer('<DeleteResult><Error><Code>Odd</Code><Message>' . 'm' x 100_000 . '</Message></Error></DeleteResult>');
is(length $error->{message}, 8192 + length 'S3 DeleteObjects failed: ', 'a message is no longer than people read');
$athena->clear_faults;
is($athena->delete_objects("$bucket/deleted/"), 2, 'and then they are deleted');

# What has been deleted before an error

$athena->query('SET athena_calc.max_attempts = 1');
sub put_pages { return $athena->query(q{SELECT count(athena_calc.s3_put_object('s3://pages/midway/' || i, '')) FROM generate_series(1, 2001) i}) }
sub deleted_before
{
	my (%fault) = @_;

	$athena->fault(operation => 'S3.DeleteObjects', skip => 1, %fault);
	my $found = $athena->call_error(q{s3_delete_objects('s3://pages/midway/')});
	$athena->clear_faults;
	return $found;
}
put_pages();
$error = deleted_before(error => 'AccessDenied', status => 403);
is("$error->{sqlstate} " . detail_value($error, 'deleted'), '42501 1000 of 2001', 'the second request is refused');
is_deeply([ detail_keys($error) ], [qw(exception http_status request_id attempts deleted)], 'after the other keys of DETAIL');
is(scalar(my @left = $athena->list_uris('s3://pages/midway/')), 1001, 'so many are left');
put_pages();
$error = deleted_before(body => '<DeleteResult>' . $denied x 3 . '</DeleteResult>');
is("$error->{sqlstate} " . detail_value($error, 'deleted'), '42501 1997 of 2001', 'but for what it says was not');
put_pages();
$error = deleted_before(drop => 'after');
is("$error->{sqlstate} " . detail_value($error, 'deleted'), '08006 1000 of 2001', 'what nobody says does not count');
put_pages();
$athena->clear_log;
$athena->fault(operation => 'S3.DeleteObjects', skip => 1, hang => JSON::PP::true);
$athena->session_backend->send(q{SELECT athena_calc.s3_delete_objects('s3://pages/midway/')});
$athena->wait_for_requests('S3.DeleteObjects', 2);
$athena->session_backend->cancel;
$error = $athena->session_backend->finish->{error};
is("$error->{sqlstate} " . detail_value($error, 'deleted'), '57014 1000 of 2001', 'a cancel tells it, too');
$athena->clear_faults;
$athena->query('RESET athena_calc.max_attempts');
$athena->put_text("s3://pages/midway/\x01", '');
$athena->fault(operation => 'S3.DeleteObject', error => 'AccessDenied', status => 403);
$error = $athena->call_error(q{s3_delete_objects('s3://pages/midway/')});
like(detail_value($error, 'deleted'), qr/^0 of \d+$/, 'one by itself is refused');
$athena->clear_faults;
cmp_ok($athena->delete_objects('s3://pages/midway/'), '>', 0, 'the rest is deleted');
$error = $athena->call_error("s3_delete_objects('s3://no-such-bucket/folder/')");
unlike($error->{detail}, qr/deleted/, 'where nothing was to be deleted yet, nothing is said of it');

# What is too large

$athena->query(q{SET athena_calc.max_response_size = '1MB'});
$error = $athena->call_error("s3_get_object('$bucket/bytes/5 MB')");
is($error->{sqlstate}, '54000', 'an object above the limit');
like($error->{hint}, qr/max_response_size/, 'says the hint');
is($athena->put_bytes("$bucket/bytes/again", $large), '"' . md5_hex($large) . '"', 'which is none of what is written');
$athena->put_bytes("$bucket/bytes/limit", 'x' x 2**20);
is($athena->call_sqlstate("s3_get_object('$bucket/bytes/limit')"), '00000', 'an object of just that size');
$athena->fault(operation => 'S3.ListObjectsV2', body => '<ListBucketResult>' . ' ' x 2**20 . '</ListBucketResult>');
is($athena->call_sqlstate("s3_list_objects('$bucket')"), '54000', 'a page above it');
$athena->query('RESET athena_calc.max_response_size');

# 6. Attempts

for my $operation (@operations)
{
	for my $case (
		[ 'a 500',                         { status => 500, body => '' } ],
		[ 'a 503',                         { error => 'SlowDown', status => 503 } ],
		[ 'a dropped connection',          { drop => 'before' } ],
		[ 'an answer that is lost',        { drop => 'after' } ],
		[ 'a reset',                       { drop => 'after', reset => JSON::PP::true } ],
		[ 'an answer that is cut off',     { cut => 20 } ])
	{
		my ($name, $fault) = @$case;

		$athena->put_text("$bucket/calls/object", 'here');
		$athena->reconnect;
		$athena->clear_log;
		$athena->fault(operation => "S3.$operation", %$fault);
		$error = $athena->call_error($call{$operation});
		is($error->{sqlstate}, '00000', "$operation after $name") or diag explain $error;
		my @requests = $athena->requests("S3.$operation");
		is(scalar @requests, 2, 'with the second attempt');
		is($requests[0]{body}, $requests[1]{body}, 'which is the same');
		ok($requests[1]{authorized}, 'and signed');
	}
	$athena->put_text("$bucket/calls/object", 'here');
	$athena->reconnect;
	$athena->fault(operation => "S3.$operation", status => 500, times => undef, body => '');
	$error = $athena->call_error($call{$operation});
	is($error->{sqlstate}, '58000', "$operation: always a 500");
	is(detail_value($error, 'attempts'), 3, 'after three attempts');
	$athena->clear_faults;
}
$athena->put_text("$bucket/calls/object", 'here');
$athena->reconnect;
$athena->fault(operation => 'S3.PutObject', drop => 'after');
is($athena->put_bytes("$bucket/twice", $large), '"' . md5_hex($large) . '"', '5 MB, written twice');
ok($athena->get_bytes("$bucket/twice") eq $large, 'are there once');

# 7. A bucket of another region

for my $case (
	[ 'PutObject',     q{s3_put_object('s3://elsewhere/folder/object', 'in Ireland')} ],
	[ 'GetObject',     q{s3_get_object('s3://elsewhere/folder/object')} ],
	[ 'ListObjectsV2', q{s3_list_objects('s3://elsewhere')} ],
	[ 'DeleteObject',  q{s3_delete_objects('s3://elsewhere/folder/object')}, 'ListObjectsV2' ],
	[ 'DeleteObjects', q{s3_delete_objects('s3://elsewhere/folder/')}, 'ListObjectsV2' ])
{
	my ($operation, $function, $first) = @$case;

	$athena->reconnect;
	$athena->clear_log;
	is($athena->call_sqlstate($function), '00000', "$operation in another region");
	my @requests = $athena->requests;
	is(scalar(grep { $_->{status} >= 300 } @requests), 1, 'one request goes astray');
	is($requests[0]{operation}, 'S3.' . ($first // $operation), 'the first');
	is(join(' ', map { region_of($_) } @requests), join(' ', 'us-east-1', ('eu-west-1') x (@requests - 1)), 'the others are signed for where it is');
	$athena->query(q{SELECT athena_calc.s3_put_object('s3://elsewhere/folder/object', 'in Ireland')});
	$athena->clear_log;
	is($athena->call_sqlstate($function), '00000', 'the second time');
	is(join(' ', map { int($_->{status} / 100) . ' ' . region_of($_) } $athena->requests), join(' ', ('2 eu-west-1') x (@requests - 1)), 'none does');
	$athena->query(q{SELECT athena_calc.s3_put_object('s3://elsewhere/folder/object', 'in Ireland')});
	$athena->clear_log;
	$athena->get_bytes("$bucket/calls/object");
	is(region_of($athena->requests), 'us-east-1', 'another bucket is where it was');
}
for my $operation (@operations)
{
	$athena->reconnect;
	$athena->clear_log;
	$athena->fault(operation => "S3.$operation", status => 301, times => undef, body => '',
		headers => { Location => 'http://127.0.0.1:1/', 'x-amz-bucket-region' => 'eu-west-1' });
	isnt($athena->call_sqlstate($call{$operation}), '00000', "$operation: a bucket that sends us on and on");
	is(scalar($athena->requests("S3.$operation")), 2, 'is followed once');
	$athena->clear_faults;
	$athena->fault(operation => "S3.$operation", status => 307, body => '', headers => { Location => 'http://127.0.0.1:1/' });
	is($athena->reconnect && $athena->call_sqlstate($call{$operation}), '08P01', 'one that names no region is not');
	$athena->clear_faults;
	$athena->put_text("$bucket/calls/object", 'here');
}

# 8. Where a bucket is: in the path, or in front of the host

for my $case (
	[ "http://127.0.0.1:$port",    'athena-emulator', "127.0.0.1:$port" ],
	[ "http://localhost:$port",    'athena-emulator', "localhost:$port" ],
	[ "http://s3.localhost:$port", 'athena-emulator', "athena-emulator.s3.localhost:$port" ],
	[ "http://s3.localhost:$port", 'my.bucket',       "my.bucket.s3.localhost:$port" ])
{
	my ($endpoint, $name, $host) = @$case;
	my $uri = "s3://$name/style/a key";

	$athena->with(s3_endpoint_url => $endpoint);
	$athena->clear_log;
	$athena->put_text($uri, "in $name");
	is($athena->get_bytes($uri), "in $name", "$name at $endpoint");
	is_deeply([ $athena->list_uris("s3://$name/style/") ], [$uri], 'listed');
	is($athena->delete_objects($uri), 1, 'deleted');
	my @requests = $athena->requests;
	is(scalar @requests, 5, 'in five requests');
	is_deeply([ grep { $_ ne $host } map { $_->{headers}{host} } @requests ], [], "all of them for $host");
	is_deeply([ grep { !$_->{authorized} } @requests ], [], 'signed');
}
my $secure = AthenaCalc::Test->new(name => 'tls', tls => 1, emulator => [ '--create-bucket', 'my.bucket' ]);
$secure->query("SET athena_calc.s3_endpoint_url = 'https://s3.localhost:" . $secure->emulator->port . q('));
for my $name (qw(athena-emulator my.bucket))
{
	$secure->query('SELECT athena_calc.s3_put_object($1, $2::text)', "s3://$name/key", $name);
	is($secure->value(q{SELECT convert_from(athena_calc.s3_get_object($1), 'UTF8')}, "s3://$name/key"), $name, "$name under TLS");
	is($secure->value('SELECT count(*) FROM athena_calc.s3_list_objects($1)', "s3://$name"), 1, 'listed');
	is($secure->value('SELECT athena_calc.s3_delete_objects($1)', "s3://$name/key"), 1, 'deleted');
}
$athena->reconnect;

# 9. Cancel

for my $operation (@operations)
{
	my $db = $athena->connect;
	my $started;

	$athena->put_text("$bucket/calls/object", 'here');
	$athena->clear_log;
	$athena->fault(operation => "S3.$operation", hang => JSON::PP::true, times => undef);
	$db->send("SELECT * FROM athena_calc.$call{$operation}");
	$athena->wait_for_requests("S3.$operation");
	$started = time;
	$db->cancel;
	is($db->finish->{error}{sqlstate}, '57014', "$operation is canceled while S3 hangs");
	cmp_ok(time - $started, '<', patient(2), 'at once');
	$db->query(q{SET statement_timeout = '200ms'});
	is($db->error("SELECT * FROM athena_calc.$call{$operation}")->{sqlstate}, '57014', 'by statement_timeout');
	$athena->clear_faults;
	$db->query('RESET statement_timeout');
	is($db->error("SELECT * FROM athena_calc.$call{$operation}")->{sqlstate}, '00000', 'and the backend goes on');
	$db->close;
}

# A list without an end: pages that always name another one.
my $endless = '<ListBucketResult><Contents><Key>a</Key></Contents><NextContinuationToken>again</NextContinuationToken></ListBucketResult>';
for my $function ("s3_list_objects('$bucket/a')", "s3_delete_objects('$bucket/a/')")
{
	$athena->fault(operation => 'S3.ListObjectsV2', times => undef, body => $endless);
	$athena->query(q{SET statement_timeout = '2s'});
	like($athena->call_sqlstate($function), qr/^(57014|08P01)$/, "$function: pages without an end can be canceled");
	$athena->query('RESET statement_timeout');
	$athena->clear_faults;
}
is($athena->call_sqlstate('s3_list_objects($1, 5)', $bucket), '00000', 'and the backend goes on');

# Empty pages, each of which names another one; as many may come before one that is not.
sub list_page
{
	my ($objects, $next) = @_;

	return { operation => 'S3.ListObjectsV2',
		body => "<ListBucketResult>$objects" . (defined $next ? "<NextContinuationToken>$next</NextContinuationToken>" : '') . '</ListBucketResult>' };
}

$athena->faults(map { list_page('', $_) } 1 .. 2000);
is($athena->call_sqlstate("s3_list_objects('$bucket')"), '08P01', 'empty pages without end');
$athena->clear_faults;
$athena->faults((map { list_page('', $_) } 1 .. 999), list_page('<Contents><Key>last</Key></Contents>'));
is(join(' ', $athena->list_uris($bucket, 5)), "$bucket/last", 'pages before a page with an object');
$athena->clear_faults;

# What has to be kept of a list is, up to a limit: 16 times the largest answer.
$athena->query(q{SET athena_calc.max_response_size = '64kB'; CREATE TABLE endless (line text)});
for my $function ("s3_delete_objects('$bucket/kept/')", "copy_from_s3('endless', '$bucket/kept/')")
{
	$athena->clear_log;
	$athena->faults(map { my $page = $_; list_page(join('', map { "<Contents><Key>kept/$page/$_/" . 'k' x 900 . '</Key><Size>1</Size></Contents>' } 1 .. 60), $page) } 1 .. 30);
	my $error = $athena->call_error($function);
	is($error->{sqlstate}, '54000', "$function: keys without end");
	my $pages = $athena->requests('S3.ListObjectsV2');
	cmp_ok($pages, '>=', 18, 'about 1 MB of them is kept');
	cmp_ok($pages, '<=', 21, 'and no more');
	is(asked(), join(' ', ('S3.ListObjectsV2') x $pages), 'with which nothing is done');
	$athena->clear_faults;
}
$athena->query('RESET athena_calc.max_response_size; DROP TABLE endless');

# 10. Rights

$athena->query('CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA athena_calc TO reader');
my $reader = $athena->connect(user => 'reader');
for my $function (sort(values %call), "s3_put_object('$bucket/x', '\\x00'::bytea)")
{
	is($reader->error("SELECT * FROM athena_calc.$function")->{sqlstate}, '42501', "nobody may call $function");
}
is($athena->value(q{SELECT count(*) FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE p.proname LIKE 's3\_%'
	AND p.pronamespace = 'athena_calc'::regnamespace AND a.grantee = 0}), 0, "nothing is PUBLIC's");
$athena->query('GRANT EXECUTE ON FUNCTION athena_calc.s3_get_object(text) TO reader');
is($reader->error("SELECT athena_calc.s3_get_object('$bucket/calls/object')")->{sqlstate}, '00000', 'who is granted one');
is($reader->error("SELECT athena_calc.s3_put_object('$bucket/calls/object', 'x')")->{sqlstate}, '42501', 'has no other');
is($athena->value(q{SELECT count(*) FROM pg_proc WHERE pronamespace = 'athena_calc'::regnamespace AND proname LIKE 's3\_%'
	AND provolatile = 'v' AND proparallel = 'u'}), 5, 'no parallel worker makes any of these calls, and no plan leaves one out');

# 11. Hostile answers

my $limit_kb = 16 * 1024;
$athena->query(qq{SET athena_calc.max_response_size = '${limit_kb}kB'; SET athena_calc.max_attempts = 1});
my $before = $athena->session_backend->memory_kb;

# What a list is that is answered so: its rows, or the SQLSTATE.
sub list_of
{
	my ($fault) = @_;

	$athena->clear_faults;
	$athena->fault(operation => 'S3.ListObjectsV2', ref $fault ? %$fault : (body_base64 => encode_base64($fault, '')));
	my $result = $athena->session_backend->send("SELECT * FROM athena_calc.s3_list_objects('$bucket/')")->finish;
	$athena->clear_faults;
	# A kept connection that the other side has closed may cost an attempt.
	$athena->query('SET athena_calc.max_attempts = 2');
	is($athena->call_sqlstate("s3_list_objects('$bucket', 1)"), '00000', 'the backend goes on');
	$athena->query('SET athena_calc.max_attempts = 1');
	return $result->{error} ? $result->{error}{sqlstate} : $result->{rows};
}

sub contents { return '<ListBucketResult><EncodingType>url</EncodingType><Contents>' . join('', @_) . '</Contents></ListBucketResult>' }

my $bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
  . join('', map { my $previous = chr(ord($_) - 1); qq(<!ENTITY $_ ") . "&$previous;" x 10 . '">' } 'b' .. 'i')
  . ']><ListBucketResult><Contents><Key>&i;</Key></Contents></ListBucketResult>';
for my $case (
	[ 'nothing',             '' ],
	[ 'words',               'Not Found' ],
	[ 'HTML',                '<html><body><h1>It works</body></html>' ],
	[ 'JSON',                '{"Contents": []}' ],
	[ 'cut XML',             '<ListBucketResult><Contents><Key>a</Key></Contents>' ],
	[ 'a row that is cut',   '<ListBucketResult><Contents><Key>a' ],
	[ 'something behind it', '<ListBucketResult/><ListBucketResult/>' ],
	[ 'an XML bomb',         $bomb ],
	[ 'a document type',     '<!DOCTYPE ListBucketResult SYSTEM "file:///etc/passwd">' . contents('<Key>a</Key>') ],
	[ 'a hundred thousand elements deep', '<ListBucketResult>' . '<a>' x 100_000 ],
	[ 'an unknown entity',   contents('<Key>&what;</Key>') ],
	[ 'invalid UTF-8',       contents("<Key>\xff</Key>") ],
	[ 'NULs',                contents("<Key>\0</Key>") ],
	[ 'NULs, referred to',   contents('<Key>&#0;</Key>') ],
	[ 'a surrogate',         contents('<Key>&#xD800;</Key>') ],
	[ 'of another kind',     '<html/>' ],
	[ 'of a deletion',       '<DeleteResult/>' ],
	[ 'within something',    '<a>' . contents('<Key>a</Key>') . '</a>' ],
	[ 'an error without a code', '<Error/>' ],
	[ 'of bytes that are no text', contents('<Key>%ff%00%c3</Key>') ],
	[ 'of a NUL, encoded',   contents('<Key>a%00b</Key>') ],
	[ 'without a key',       contents('<Size>1</Size>') ],
	[ 'of an empty key',     contents('<Key/><Size>1</Size>') ],
	[ 'of a time of letters', contents('<Key>a</Key><LastModified>yesterday</LastModified>') ],
	[ 'of a month 13',       contents('<Key>a</Key><LastModified>2024-13-01T00:00:00Z</LastModified>') ],
	[ 'bad behind what is good', contents('<Key>a</Key></Contents><Contents><Key>b</Key><Size>x</Size>') ],
	[ 'in another encoding', '<ListBucketResult><EncodingType>base64</EncodingType></ListBucketResult>' ],
	[ 'cut short, with no page behind it', '<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>' ])
{
	my ($name, $body) = @$case;

	is(list_of($body), '08P01', "a list that is $name");
}
is(list_of({ endless => JSON::PP::true }), '54000', 'a list without an end');
is(list_of({ endless => JSON::PP::true, chunked => JSON::PP::true, endless_text => '<Contents><Key>a</Key></Contents>' }), '54000', 'one in chunks');
is(list_of({ cut_body => 20 }), '08006', 'one that breaks off');
for my $case (
	[ 'no objects',        '<ListBucketResult/>', [] ],
	[ 'comments',          '<ListBucketResult><!-- a --><Contents><Key>a<!-- b -->b</Key><Size>1</Size></Contents></ListBucketResult>', ["$bucket/ab", '1'] ],
	[ 'nothing but a key', contents('<Key>a</Key>'), [ "$bucket/a", undef, undef, undef ] ],
	[ 'empty elements',    contents('<Key>a</Key><Size/><LastModified/><ETag/>'), [ "$bucket/a", undef, undef, undef ] ],
	[ 'the largest size',  contents('<Key>a</Key><Size>9223372036854775807</Size>'), [ "$bucket/a", '9223372036854775807' ] ],
	[ 'a time before 1970', contents('<Key>a</Key><LastModified>1969-12-31T23:59:59.999999Z</LastModified>'), [ "$bucket/a", undef, '1969-12-31 23:59:59.999999+00' ] ],
	[ 'CDATA',             contents('<Key><![CDATA[a&b]]></Key>'), ["$bucket/a&b"] ],
	[ 'elements within',   contents('<Key>a<b>c</b></Key>'), ["$bucket/a"] ],
	[ 'two keys',          contents('<Key>a</Key><Key>b</Key>'), ["$bucket/a"] ],
	[ 'percent signs',     contents('<Key>%%4%zz%C3%BC%</Key>'), ["$bucket/%%4%zzü%"] ])
{
	my ($name, $body, $expected) = @$case;
	my $found = list_of($body);

	ok(ref $found, "a list with $name") or diag $found;
	is_deeply([ @{ $found->[0] // [] }[ 0 .. $#$expected ] ], $expected, 'its row') if ref $found;
}
my $huge = list_of('<ListBucketResult>' . join('', map { "<Contents><Key>$_</Key></Contents>" } 1 .. 100_000) . '</ListBucketResult>');
is(ref $huge ? scalar @$huge : $huge, 100_000, 'a page of a hundred thousand objects');
my $long = list_of(contents('<Key>' . 'k' x 1_000_000 . '</Key><ETag>' . 'e' x 1_000_000 . '</ETag>'));
ok(ref $long || $long eq '08P01', 'a key of a million letters');
is(list_of(contents("<Key>a</Key><Size>$_</Size>")), '08P01', "a size of '$_'")
  for '99999999999999999999999', '9223372036854775808', '-5', '+5', '1e9', 'many', '0x10', ' 5', '5 ', '5.0', '-';
is(list_of("<Error><Code>$_->[0]</Code></Error>"), $_->[1], "a list that is $_->[0]")
  for [ 'InternalError', '58000' ], [ 'AccessDenied', '42501' ], [ 'Odd', 'SP000' ];
$error = do
{
	$athena->fault(operation => 'S3.ListObjectsV2', body => '<html/>');
	$athena->call_error("s3_list_objects('$bucket')");
};
is($error->{message}, 'S3 ListObjectsV2 failed: the answer is no ListBucketResult', 'the message');
is_deeply([ detail_keys($error) ], [qw(http_status request_id attempts)], 'and the keys of its DETAIL');
for my $db (@in{qw(latin1 euc_jp)})
{
	$athena->fault(operation => 'S3.ListObjectsV2',
		body_base64 => encode_base64(encode('UTF-8', contents('<Key>a</Key><ETag>"ü"</ETag>')), ''));
	my $state = $db->error("SELECT etag || 'x', length(etag) FROM athena_calc.s3_list_objects('$bucket/')")->{sqlstate};
	$athena->fault(operation => 'S3.ListObjectsV2',
		body_base64 => encode_base64(encode('UTF-8', contents('<Key>a</Key><ETag>"ü"</ETag>')), ''));
	is($state, '00000', 'an ETag that is not ASCII');
	is($db->value("SELECT etag FROM athena_calc.s3_list_objects('$bucket/')"), '"ü"', 'is in the encoding of the database');
	$athena->clear_faults;
}

# An ETag becomes a header of the requests for the object.
is(list_of(contents("<Key>a</Key><ETag>&quot;x&quot;$_</ETag>")), '08P01', 'an ETag with a line break')
  for '&#13;&#10;X-Injected: yes', '&#10;', '&#13;';

# A list names what is to be deleted: nothing outside of the folder.
$athena->put_text("$bucket/precious", 'kept');
$athena->put_text("$bucket/folder/object", '');
for my $body (contents('<Key>precious</Key>'), contents('<Key>folder/object</Key></Contents><Contents><Key>precious</Key>'), contents('<Key>folder</Key>'),
	'<ListBucketResult><Contents><Key>folder%2Fobject</Key></Contents></ListBucketResult>')
{
	$athena->clear_log;
	$athena->fault(operation => 'S3.ListObjectsV2', body => $body);
	is($athena->call_sqlstate("s3_delete_objects('$bucket/folder/')"), '08P01', 'a list with a key that was not asked for');
	is(asked(), 'S3.ListObjectsV2', 'by which nothing is deleted');
}
$athena->fault(operation => 'S3.ListObjectsV2', body => contents('<Key>precious</Key>'));
is($athena->call_sqlstate("s3_list_objects('$bucket/folder/')"), '08P01', 'it is no list');
$athena->fault(operation => 'S3.ListObjectsV2', body => contents('<Key>precious</Key>'));
is($athena->call_sqlstate("s3_delete_objects('$bucket/folder/object')"), '08P01', 'nor one of one object');
is($athena->call_sqlstate("s3_get_object('$bucket/$_')"), '00000', "$_ is there") for 'precious', 'folder/object';
$athena->clear_faults;

# Answers to a put
for my $case (
	[ 'no ETag',         { headers => { ETag => undef }, body => '' }, '08P01' ],
	[ 'ETag of 10,000 letters', { headers => { ETag => 'e' x 10_000 }, body => '' }, '00000|08P01|08006|54000' ],
	[ 'a body',          { headers => { ETag => '"x"' }, body => 'unexpected' }, '00000' ],
	[ 'an error in 200', { body => '<Error><Code>InternalError</Code></Error>' }, '08P01' ])
{
	my ($name, $fault, $sqlstates) = @$case;

	$athena->fault(operation => 'S3.PutObject', %$fault);
	like($athena->call_sqlstate("s3_put_object('$bucket/put', 'x')"), qr/^(?:$sqlstates)$/, "a put that is answered with $name");
	$athena->clear_faults;
}
cmp_ok($athena->session_backend->memory_kb - $before, '<', patient(3 * $limit_kb), 'memory stays within bounds');
$athena->query('RESET athena_calc.max_attempts');

# 12. Many calls in one backend

$athena->reconnect;
$athena->query('SELECT athena_calc.' . $call{$_}) for qw(PutObject GetObject ListObjectsV2);
my @measured = map {
	$athena->value(q{SELECT count(athena_calc.s3_put_object($1, 'x')) + count(athena_calc.s3_get_object($1)) FROM generate_series(1, 300)}, "$bucket/calls/object");
	$athena->value('SELECT count(*) FROM generate_series(1, 100) i, LATERAL athena_calc.s3_list_objects($1 || left(i::text, 0)) o', "$bucket/calls/");
	[ $athena->session_backend->memory_kb, $athena->session_backend->descriptors ]
} 1 .. 3;
cmp_ok($measured[2][0] - $measured[0][0], '<', patient(2048), 'memory does not grow with them');
# But for the set of a socket that is waited for alone, which may be there or not.
cmp_ok($measured[2][1], '<=', $measured[0][1] + 1, 'nor do descriptors');

unlike(PostgreSQL::Test::Utils::slurp_file($athena->node->logfile), qr/XX000|terminated by signal|PANIC|TRAP/, 'nothing bad in the log');

done_testing();
