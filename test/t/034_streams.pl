# Transfers that go wrong, under copy_from_s3: what is cut is taken up where it stopped, what is not what S3 has is an error,
# and either all rows are there or none; in memory that does not grow, at a cancel at once.

use strict;
use warnings;

use AthenaCalc::Test;
use IO::Compress::Gzip qw(gzip $GzipError);
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

# What is promised is 50 ms; the machine may be busy with something else.
use constant BOUND_MS => patient(500);

my $athena = AthenaCalc::Test->new();
my $bucket = 'athena-emulator';
my $main   = $athena->session_backend;

$main->query("SET athena_calc.request_timeout = '2s'");
$main->query('CREATE TABLE loaded (id bigint, word text)');

# So many lines, each with its number; their bytes.
sub lines
{
	my ($from, $to) = @_;

	return join '', map { "$_,word number $_\n" } $from .. $to;
}

sub put
{
	my ($key, $bytes) = @_;

	$athena->emulator->put_object("$bucket/$key", $bytes);
	return "s3://$bucket/$key";
}

sub copy_sql { return 'SELECT athena_calc.copy_from_s3($1, $2)' }

# Loads an object into an empty table; the error, with SQLSTATE 00000 for none.
sub load
{
	my ($uri) = @_;

	$main->query('TRUNCATE loaded');
	$athena->clear_log;
	return $main->error(copy_sql(), 'loaded', $uri);
}

sub loaded { return join ' ', @{ ($main->query('SELECT count(*) AS count, coalesce(sum(id), 0) AS sum FROM loaded'))[0] }{qw(count sum)} }
sub ranges { return map { $_->{headers}{range} // $_->{headers}{Range} // '' } $athena->requests('S3.GetObject') }

sub all_loaded
{
	my ($uri, $count, $what) = @_;
	my $error = load($uri);

	is($error->{sqlstate}, '00000', $what) or diag($error->{message}, $error->{detail} // '');
	is(loaded(), $count . ' ' . $count * ($count + 1) / 2, 'with the right rows');
	return;
}

sub none_loaded
{
	my ($uri, $sqlstate, $like, $what) = @_;
	my $error = load($uri);

	is($error->{sqlstate}, $sqlstate, $what);
	like($error->{message}, $like, $error->{message} // '');
	like($error->{context}, qr{object "\Q$uri\E}, 'the object is named');
	is(loaded(), '0 0', 'and no row is there');
	return;
}

# 1. Cut

my $big  = put('streams/big.csv', lines(1, 200_000));
my $zip  = do { gzip(\lines(1, 200_000) => \my $bytes) or die $GzipError; put('streams/big.csv.gz', $bytes) };
my $tiny = put('streams/tiny.csv', lines(1, 30));

all_loaded($big, 200_000, 'a transfer that nobody disturbs');
is_deeply([ ranges() ], [''], 'is one request');

for my $object ([ $big, 200_000 ], [ $zip, 200_000 ])
{
	my ($uri, $count) = @$object;

	$athena->emulator->cut_transfers('streams', 10);
	all_loaded($uri, $count, "$uri, cut ten times at random");
	my ($first, @resumed) = ranges();
	is(scalar @resumed, 10, 'is taken up ten times');
	is($first, '', 'from the beginning first');
	my @at = map { /^bytes=(\d+)-$/ ? $1 : 0 } @resumed;
	is_deeply(\@at, [ sort { $a <=> $b } @at ], 'and then where it stopped');
	$athena->clear_faults;
}

$athena->fault(operation => 'S3.GetObject', cut_body => $_) foreach 100, 1, 50, 1, 1, 200, 3;
all_loaded($tiny, 30, 'a small one, cut again and again');
$athena->fault(operation => 'S3.GetObject', cut_body => 0, times => 2);
all_loaded($tiny, 30, 'cut before the first byte, twice');
$athena->fault(operation => 'S3.GetObject', cut_body => 0, times => undef);
none_loaded($tiny, '08006', qr/GetObject failed/, 'one that never brings a byte is given up');
is(scalar(my @attempts = ranges()), 3, 'after max_attempts');
$athena->clear_faults;

$athena->fault(operation => 'S3.GetObject', cut_body => 5000, stall => \1);
my $since = time;
all_loaded($big, 200_000, 'one that stands still is taken up after request_timeout');
cmp_ok(time - $since, '>', 1.9, sprintf('%.1f s', time - $since));
is(scalar(@attempts = ranges()), 2, 'by one more request');

$athena->fault(operation => 'S3.GetObject', drip_body => { bytes => 20_000, interval => 0.02 });
$since = time;
all_loaded($big, 200_000, 'one that is slow, but comes, may take longer than request_timeout');
cmp_ok(time - $since, '>', 3, sprintf('%.1f s', time - $since));
is_deeply([ ranges() ], [''], 'and is one request');

$athena->fault(operation => 'S3.GetObject', error => 'SlowDown', status => 503, times => 2);
all_loaded($tiny, 30, 'throttled twice');
$athena->fault(operation => 'S3.GetObject', cut_body => 3000);
$athena->fault(operation => 'S3.GetObject', error => 'InternalError', status => 500);
all_loaded($big, 200_000, 'cut, and refused once when it is taken up');

# Nor is it taken up where the object is another by then, and the server does not look at If-Match.
$main->query('TRUNCATE loaded');
$athena->faults({ operation => 'S3.GetObject', cut_body => 500_000 }, { operation => 'S3.GetObject', set_headers => { ETag => '"other"' } });
is($main->error(q{SELECT athena_calc.copy_from_s3('loaded', $1)}, $big)->{sqlstate}, '55000', 'an object with another ETag');
is($main->value('SELECT count(*) FROM loaded'), 0, 'nothing is loaded of it');

# A server that knows no ranges sends all of it again.
$athena->fault(operation => 'S3.GetObject', cut_body => 100_000);
$athena->fault(operation => 'S3.GetObject', status => 200, body => lines(1, 200_000), headers => { 'Content-Type' => 'text/csv' });
all_loaded($big, 200_000, 'cut, and sent from the beginning again');
$athena->fault(operation => 'S3.GetObject', cut_body => 100);
$athena->fault(operation => 'S3.GetObject', status => 200, body => lines(1, 30), headers => { 'Content-Type' => 'text/csv' });
$main->query(q{SET athena_calc.request_timeout = '30s'});
$since = time;
all_loaded($tiny, 30, 'so is a small one, all of which comes at once');
cmp_ok(time - $since, '<', patient(3), 'and nothing is waited for then');
$main->query(q{SET athena_calc.request_timeout = '2s'});
$athena->clear_faults;

# One that sends chunks does not say how long it is.
sub in_chunks
{
	my ($bytes, $end) = @_;

	return encode_base64(sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%s", length $bytes, $bytes, $end), '');
}

$athena->fault(operation => 'S3.GetObject', raw_base64 => in_chunks(lines(1, 10), ''));
all_loaded($tiny, 30, 'chunks that are cut, and taken up by a range');
$athena->fault(operation => 'S3.GetObject', cut_body => 100);
$athena->fault(operation => 'S3.GetObject', raw_base64 => in_chunks(lines(1, 30), "0\r\n\r\n"));
all_loaded($tiny, 30, 'cut, and sent from the beginning in chunks');
$athena->clear_faults;

# 2. Not what S3 has

for my $algorithm (qw(crc32 crc32c crc64nvme sha1 sha256))
{
	my %length = (crc32 => 8, crc32c => 8, crc64nvme => 12, sha1 => 28, sha256 => 44);
	my %none   = map { ("x-amz-checksum-$_" => undef) } grep { $_ ne $algorithm } keys %length;

	$athena->fault(
		operation   => 'S3.GetObject',
		set_headers => { %none, 'x-amz-checksum-type' => 'FULL_OBJECT', "x-amz-checksum-$algorithm" => 'A' x ($length{$algorithm} - 1) . '=' });
	none_loaded($tiny, '08P01', qr/not what S3 has/, "a wrong $algorithm");
}
$athena->fault(operation => 'S3.GetObject', set_headers => { 'x-amz-checksum-type' => 'COMPOSITE', 'x-amz-checksum-crc32' => 'AAAAAA==-3' });
all_loaded($tiny, 30, 'a checksum of parts\' checksums says nothing');

$main->query('SET athena_calc.max_attempts = 2');
$athena->fault(operation => 'S3.GetObject', set_headers => { 'Content-Length' => '100000' }, close => \1, times => undef);
isnt(load($tiny)->{sqlstate}, '00000', 'a length that is too large');
is(loaded(), '0 0', 'brings no row');
$athena->clear_faults;
$main->query('RESET athena_calc.max_attempts');
$athena->fault(operation => 'S3.GetObject', cut_body => 50_000);
$athena->fault(operation => 'S3.GetObject', set_headers => { 'Content-Range' => 'bytes 0-99/200' });
none_loaded($big, '08P01', qr/another range/, 'another range than was asked for');
$athena->clear_faults;

$athena->fault(operation => 'S3.GetObject', cut_body => 100_000);
$athena->emulator->replace_object('big.csv', lines(1, 200_001));
none_loaded($big, '55000', qr/has changed/, 'an object that changes while it is taken up');
$athena->clear_faults;
$athena->emulator->put_object("$bucket/streams/big.csv", lines(1, 200_000));

# In a folder it must be the object that was listed.
put("folder/part-0000$_.csv", lines($_ * 1000 + 1, $_ * 1000 + 1000)) for 0 .. 4;
all_loaded("s3://$bucket/folder/", 5000, 'a folder');
is(scalar(@attempts = ranges()), 5, 'with one request for each object');
# What is wrong with an object ahead is known long before it is told.
$athena->fault(operation => 'S3.GetObject', contains => 'part-00003', status => 206, body => '');
is(load("s3://$bucket/folder/")->{message}, 'S3 GetObject failed: the answer has another range than was asked for', 'an empty answer to what comes later');
$athena->emulator->replace_object('part-00003', lines(1, 7));
none_loaded("s3://$bucket/folder/", '55000', qr/has changed/, 'an object that changes after it was listed');
$athena->emulator->put_object("$bucket/folder/part-00003.csv", lines(3001, 4000));

# 3. The last part of a folder is as bad as the first

put('bad/part-0.csv', lines(1, 100_000));
put('bad/part-1.csv', lines(100_001, 150_000) . "no number,x\n");
my $error = load("s3://$bucket/bad/");
is($error->{sqlstate}, '22P02', 'a bad row at the very end');
like($error->{context}, qr/COPY loaded, line 50001, column id: "no number"/,                   'COPY names the line');
like($error->{context}, qr{object "s3://$bucket/bad/part-1.csv"}, 'and we the object');
is(loaded(), '0 0', 'and no row is there');

# 4. Reading ahead

put("many/part-$_.csv", lines($_, $_)) for 1000 .. 1039;
$athena->fault(operation => 'S3.GetObject', delay => 0.1, times => undef);
$since = time;
is(load("s3://$bucket/many/")->{sqlstate}, '00000', 'forty small objects, each a tenth of a second away');
my $took = time - $since;
is($main->value('SELECT string_agg(id::text, \' \') = $1 FROM loaded', join ' ', 1000 .. 1039), 't', 'in the order of their names');
$main->query('SET athena_calc.max_concurrency = 1');
$since = time;
is(load("s3://$bucket/many/")->{sqlstate}, '00000', 'with max_concurrency = 1');
my $one_by_one = time - $since;
cmp_ok($one_by_one, '>', 3.9, 'there is no reading ahead');
cmp_ok($took, '<', $one_by_one / 2, sprintf('before, there was: they took %.1f s, not %.1f', $took, $one_by_one));
$main->query('RESET athena_calc.max_concurrency');
$athena->clear_faults;

# 5. Canceled and terminated

for my $wait (
	[ 'no answer yet',      hang     => \1 ],
	[ 'in the middle of it', cut_body => 500_000, stall => \1 ],
	[ 'before another try', cut_body => 0 ])
{
	my ($what, %rule) = @$wait;
	my $db = $athena->connect;

	$db->query('SET athena_calc.max_attempts = 10');
	$athena->clear_log;
	$athena->fault(operation => 'S3.GetObject', times => undef, %rule);
	$db->send(copy_sql(), 'loaded', $big);
	$athena->wait_for_requests('S3.GetObject');
	sleep 0.2;
	$since = time;
	$db->cancel;
	$error = $db->finish->{error};
	my $ms = (time - $since) * 1000;
	is($error->{message}, 'canceling statement due to user request', "$what: canceled");
	cmp_ok($ms, '<', BOUND_MS, sprintf('%.1f ms', $ms));
	is($db->value('SELECT 1'), 1, 'the backend goes on');
	$athena->clear_faults;
}

# 6. Other requests meanwhile: a trigger asks Athena, and copies by itself, while the next object is on its way

$main->query('CREATE TABLE copied (id bigint, word text); CREATE TABLE seen (id bigint, state text)');
$main->query(q{
	CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NEW.id % 500 = 0 THEN
			INSERT INTO seen SELECT NEW.id, count(*)::text FROM athena_calc.list_sessions('spark');
			PERFORM athena_calc.copy_from_s3('copied', 's3://} . $bucket . q{/streams/tiny.csv');
			BEGIN
				PERFORM athena_calc.copy_from_s3('copied', 's3://} . $bucket . q{/streams/none.csv');
			EXCEPTION WHEN undefined_object THEN NULL;
			END;
		END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER look BEFORE INSERT ON loaded FOR EACH ROW EXECUTE FUNCTION look()});
all_loaded("s3://$bucket/folder/", 5000, 'a trigger that makes calls of its own');
is($main->value('SELECT count(*) FROM seen'),   10,  'it made them');
is($main->value('SELECT count(*) FROM copied'), 300, 'and its own copies');
$athena->emulator->cut_transfers('folder', 5);
all_loaded("s3://$bucket/folder/", 5000, 'also where transfers are cut');
$athena->clear_faults;
$main->query('DROP TRIGGER look ON loaded');

# A slow trigger: a server may wait, and time that is ours does not count.
$main->query('CREATE FUNCTION dally() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(CASE WHEN NEW.id % 100000 = 0 THEN 2.5 ELSE 0 END); RETURN NEW; END $$');
$main->query('CREATE TRIGGER dally BEFORE INSERT ON loaded FOR EACH ROW WHEN (NEW.id % 100000 = 0) EXECUTE FUNCTION dally()');
all_loaded($big, 200_000, 'a trigger that takes longer than request_timeout');
is_deeply([ ranges() ], [''], 'costs no other request');
$main->query('DROP TRIGGER dally ON loaded');

# But it is no credit for a request that comes after it.
$main->query('CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(5) FROM loaded WHERE id = 2000 AND NOT EXISTS (SELECT FROM loaded WHERE id = 2001); RETURN NULL; END $$');
$main->query('CREATE TRIGGER linger AFTER INSERT ON loaded FOR EACH STATEMENT EXECUTE FUNCTION linger()');
$main->query('SET athena_calc.max_concurrency = 1');
$athena->fault(operation => 'S3.GetObject', contains => 'part-00002', hang => \1);
all_loaded("s3://$bucket/folder/", 5000, 'a request without an answer, after a trigger that took long');
my @made = $athena->requests('S3.GetObject');
my ($unanswered) = grep { $made[$_]{fault} } 0 .. $#made;
$took = $made[ $unanswered + 1 ]{time} - $made[$unanswered]{time};
cmp_ok($took, '<', patient(5), sprintf('is made again after request_timeout (%.1f s), and not five seconds later', $took));
$main->query('RESET athena_calc.max_concurrency');
$main->query('DROP TRIGGER linger ON loaded');
$athena->clear_faults;

# 7. Nothing grows

sub forget_peak
{
	my ($db) = @_;
	open my $file, '>', '/proc/' . $db->pid . '/clear_refs' or return 0;

	return print({$file} "5\n") && close $file;
}

SKIP:
{
	my $db = $athena->connect;
	my $large = put('streams/large.csv', lines(1, 200_000) x 10);
	my %grown;

	$db->query('CREATE TEMP TABLE scratch (id bigint, word text)');
	$db->query(copy_sql(), 'scratch', $big);
	for my $object ([ small => $big ], [ large => $large ])
	{
		$db->query('TRUNCATE scratch');
		skip 'the peak of a process\'s memory cannot be reset here', 2 unless forget_peak($db);
		$db->query(copy_sql(), 'scratch', $object->[1]);
		$grown{ $object->[0] } = $db->peak_memory_kb;
	}
	is($db->value('SELECT count(*) FROM scratch'), 2_000_000, 'ten times as much');
	cmp_ok($grown{large} - $grown{small}, '<', patient(5 * 1024), "takes as much memory: $grown{small} kB, $grown{large} kB");
}

# 8. A disk that is full, as far as a backend can tell: no file may be larger than this (a segment of WAL may be 16 MB)

SKIP:
{
	my $postmaster = (split ' ', PostgreSQL::Test::Utils::slurp_file($athena->node->data_dir . '/postmaster.pid'))[0];

	skip 'there is no prlimit here', 4 if system 'prlimit', "--pid=$postmaster", '--fsize=17000000:unlimited';
	my $db = $athena->connect;
	system 'prlimit', "--pid=$postmaster", '--fsize=unlimited';

	$main->query('TRUNCATE loaded');
	$error = $db->error(copy_sql(), 'loaded', "s3://$bucket/streams/large.csv");
	like($error->{message}, qr/could not (extend|write)/, $error->{message} // 'no error');
	like($error->{context}, qr{line \d+\nobject "s3://$bucket/streams/large.csv"}, 'the line and the object are named');
	is(loaded(), '0 0', 'no row is there');
	is($db->value('SELECT 1'), 1, 'the backend goes on');
}

done_testing();
