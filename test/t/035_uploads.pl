# Uploads, under copy_to_s3: large objects go in parts and are visible at once, whatever goes wrong on the way; how a statement
# that ends early takes back what it has begun; in memory that does not grow.

use strict;
use warnings;

use AthenaCalc::Test;
use Digest::MD5 qw(md5_hex);
use List::Util qw(min);
use Test::More;
use Time::HiRes qw(sleep time);

# What is promised is 50 ms; the machine may be busy with something else.
use constant BOUND_MS => patient(500);

my $role   = 'arn:aws:iam::123456789012:role/writer';
my $athena = AthenaCalc::Test->new(emulator => [ '--sts-role', $role ]);
my $bucket = 'athena-emulator';
my $main   = $athena->session_backend;

$main->query("SET athena_calc.request_timeout = '2s'");

# A query with so many rows of 100 bytes each, line ends included, and what comes of it. Large ones are used again and again.
my $row = q{1000000000 + i || repeat('x', 89)};
my %md5;

sub rows { return "SELECT $row FROM generate_series(1, $_[0]) i" }
sub md5_of_bytes { my ($count) = @_; return $md5{$count} //= md5_hex(map { $_ + 1e9 . ('x' x 89) . "\n" } 1 .. $count) }

sub copy_sql { return 'SELECT athena_calc.copy_to_s3($1, $2)' }

# Copies; the error, with SQLSTATE 00000 for none.
sub copy
{
	my ($count, $key, $options) = @_;

	$athena->clear_log;
	return $main->error('SELECT athena_calc.copy_to_s3($1, $2, options => $3)', rows($count), "s3://$bucket/$key", $options // '{}');
}

sub operations { return map { $_->{operation} =~ /^S3\.(.*)/ ? $1 : () } $athena->requests }
sub how_many { my ($operation) = @_; return scalar grep { $_ eq $operation } operations() }
sub open_uploads { return [ $athena->emulator->uploads($bucket) ] }
sub exists_already { return $main->value('SELECT count(*) FROM athena_calc.s3_list_objects($1)', "s3://$bucket/$_[0]") }

sub is_copied
{
	my ($error, $count, $key, $what) = @_;

	is($error->{sqlstate}, '00000', $what) or diag($error->{message}, $error->{detail} // '');
	is(md5_hex($athena->emulator->get_object("$bucket/$key")), md5_of_bytes($count), 'the object is what was written');
	is_deeply(open_uploads(), [], 'no upload is left');
	$athena->delete_objects("s3://$bucket/$key");
	return;
}

sub is_not_copied
{
	my ($error, $key, $sqlstate, $what) = @_;

	is($error->{sqlstate}, $sqlstate, "$what: " . ($error->{message} // ''));
	is(exists_already($key), 0, 'there is no object');
	is_deeply(open_uploads(), [], 'no upload is left');
	return;
}

# 1. How it is sent

is_copied(copy(10, 'out/small'), 10, 'out/small', 'a small object');
is_copied(copy(0, 'out/empty'), 0, 'out/empty', 'an empty one');
copy(80_000, 'out/8mb');
is_deeply([ operations() ], [ 'HeadObject', 'PutObject' ], 'what fits into a part is one request, after a look');
is_copied(copy(300_000, 'out/large'), 300_000, 'out/large', 'an object of 30 MB');
copy(300_000, 'out/large');
is_deeply([ operations() ], [ 'HeadObject', 'CreateMultipartUpload', ('UploadPart') x 4, 'CompleteMultipartUpload' ], 'has four parts');
my ($log) = grep { $_->{operation} eq 'S3.UploadPart' } $athena->requests;
ok($log->{headers}{'x-amz-checksum-crc32'}, 'each with a checksum');
is(copy(10, 'out/large')->{sqlstate}, '42710', 'an object that exists is not written over');
is_deeply([ operations() ], ['HeadObject'], 'and nothing is sent for it');
is_copied(copy(200_000, 'out/large', '{"overwrite": true}'), 200_000, 'out/large', 'unless that is wanted');

# One that comes into being meanwhile: S3 itself refuses then.
for my $count (10, 200_000)
{
	$athena->fault(operation => 'S3.HeadObject', error => 'NotFound', status => 404);
	$athena->emulator->put_object("$bucket/out/raced", 'mine');
	my $error = copy($count, 'out/raced');
	is($error->{sqlstate}, '42710', 'an object that was not there at first is not written over');
	is($athena->emulator->get_object("$bucket/out/raced"), 'mine', 'it stays as it is');
	is_deeply(open_uploads(), [], 'no upload is left');
	$athena->delete_objects("s3://$bucket/out/raced");
}
# Who may write need not be allowed to look at objects, nor to list them.
my %unseen   = (operation => 'S3.HeadObject', status => 403, headers => { 'Content-Length' => '0' });
my %unlisted = (operation => 'S3.ListObjectsV2', error => 'AccessDenied', status => 403);

$athena->fault(%unseen);
is_copied(copy(10, 'out/unseen'), 10, 'out/unseen', 'who may not look may write');
$athena->faults(\%unseen, \%unlisted);
is_copied(copy(10, 'out/unseen'), 10, 'out/unseen', 'nor list');
$athena->fault(%unseen, status => 400);
is_copied(copy(10, 'out/unsaid'), 10, 'out/unsaid', 'a look that is refused without a word says nothing');
$athena->faults(\%unseen, { %unlisted, error => 'InvalidAccessKeyId' });
is(copy(10, 'out/unsaid')->{sqlstate}, '28000', 'but a list has the word');
is_deeply([ operations() ], [ 'HeadObject', 'ListObjectsV2' ], 'before the query has run');

sub is_theirs
{
	my ($error, $sqlstate, $what) = @_;

	is($error->{sqlstate}, $sqlstate, "$what: " . ($error->{message} // ''));
	unlike($error->{detail} // '', qr/s3:/, 'there is nothing to tell of');
	is($athena->emulator->get_object("$bucket/out/theirs"), 'theirs', 'the other object stays');
	is_deeply(open_uploads(), [], 'no upload is left');
	$athena->clear_faults;
	return;
}

$athena->emulator->put_object("$bucket/out/theirs", 'theirs');
$athena->fault(%unseen);
is_theirs(copy(10, 'out/theirs'), '42710', 'an object that only a list shows');
is(how_many('PutObject'), 0, 'is seen before the query runs');
$athena->faults(\%unseen, \%unlisted);
is_theirs(copy(10, 'out/theirs'), '42710', 'one that nothing shows');

# An S3 that does not know the condition
for my $operation (qw(PutObject CompleteMultipartUpload))
{
	my $count = $operation eq 'PutObject' ? 10 : 200_000;
	my %unknown = (operation => "S3.$operation", error => 'NotImplemented', status => 501);

	$athena->fault(%unknown);
	is_copied(copy($count, 'out/unconditional'), $count, 'out/unconditional', "an S3 whose $operation knows no condition");
	my @conditions = map { $_->{headers}{'if-none-match'} } grep { $_->{operation} eq "S3.$operation" } $athena->requests;
	is_deeply(\@conditions, [ '*', undef ], 'gets it without');

	$athena->faults(\%unknown, { operation => 'S3.HeadObject', error => 'NotFound', status => 404 });
	is_theirs(copy($count, 'out/theirs'), '42710', 'but not where an object has come into being meanwhile');
	is(how_many($operation), 1, 'it is not asked again');
	$athena->faults(\%unknown, { %unseen, times => undef }, { %unlisted, times => undef });
	is_theirs(copy($count, 'out/theirs'), '58000', 'nor where nobody knows');
	is(how_many($operation), 1, 'it is not asked again');
}
$athena->delete_objects("s3://$bucket/out/theirs");

# 2. Parts and answers that are lost

$main->query('SET athena_calc.max_attempts = 6');
$athena->fault(operation => 'S3.UploadPart', drop => 'before', skip => 1);
$athena->fault(operation => 'S3.UploadPart', drop => 'after');
$athena->fault(operation => 'S3.UploadPart', error => 'SlowDown', status => 503);
$athena->fault(operation => 'S3.UploadPart', error => 'InternalError', status => 500);
is_copied(copy(400_000, 'out/parts'), 400_000, 'out/parts', 'parts that are lost are sent again');
is(how_many('UploadPart'), 5 + 4, 'each by itself');
$athena->clear_faults;
$main->query('RESET athena_calc.max_attempts');

$athena->fault(operation => 'S3.UploadPart', hang => \1, skip => 2);
my $since = time;
is_copied(copy(400_000, 'out/hangs'), 400_000, 'out/hangs', 'so is one that gets no answer within request_timeout');
cmp_ok(time - $since, '>', 1.9, sprintf('%.1f s', time - $since));

$athena->fault(operation => 'S3.CompleteMultipartUpload', drop => 'after');
is_copied(copy(200_000, 'out/completed'), 200_000, 'out/completed', 'a completion whose answer is lost was one');
is(how_many('CompleteMultipartUpload'), 2, 'though it was asked for again');
$athena->fault(operation => 'S3.PutObject', drop => 'after');
is_copied(copy(10, 'out/put'), 10, 'out/put', 'so it is with a small object');
for my $may_list (1, 0)
{
	$athena->faults({ operation => 'S3.PutObject', drop => 'after' }, { %unseen, times => undef, skip => 1 });
	$athena->fault(%unlisted, times => undef) unless $may_list;
	my $error = copy(10, 'out/hidden');
	is($error->{sqlstate}, '42710', 'one that nobody may look at is taken for another');
	like($error->{detail} // '', qr{object "s3://$bucket/out/hidden": may have been written}, 'but may be this one');
	$athena->clear_faults;
	$athena->delete_objects("s3://$bucket/out/hidden");
}
$athena->fault(operation => 'S3.CompleteMultipartUpload', error => 'InternalError', status => 200);
is_copied(copy(200_000, 'out/internal'), 200_000, 'out/internal', 'an error that comes as a success is tried again');
$athena->fault(operation => 'S3.CompleteMultipartUpload', error => 'InternalError', status => 200, times => undef);
is_not_copied(copy(200_000, 'out/internal'), 'out/internal', '58000', 'and is an error if it stays');
$athena->clear_faults;
$athena->fault(operation => 'S3.CompleteMultipartUpload', error => 'InternalError', status => 200, apply => \1);
is_copied(copy(200_000, 'out/internal'), 200_000, 'out/internal', 'behind which the completion may have been done');
$athena->fault(operation => 'S3.CompleteMultipartUpload', status => 200, body => '<nothing/>', apply => \1);
is_not_copied(copy(200_000, 'out/unreadable'), 'out/unreadable', '08P01', 'a success that cannot be read is undone');
$athena->fault(operation => 'S3.CompleteMultipartUpload', processing => { spaces => 8, interval => 0.5 });
is_copied(copy(200_000, 'out/slow'), 200_000, 'out/slow', 'a completion that takes longer than request_timeout');
is(how_many('CompleteMultipartUpload'), 1, 'is asked for once');

# Credentials that expire between an attempt whose answer is lost and the next.
{
	my $db = $athena->connect;

	$db->query("SET athena_calc.role_arn = '$role'; SET athena_calc.sts_endpoint_url = '" . $athena->emulator->url . "'");
	$athena->fault(operation => 'S3.PutObject', drop => 'after');
	$athena->fault(operation => 'S3.PutObject', error => 'ExpiredToken', status => 400);
	is_copied($db->error(copy_sql(), rows(10), "s3://$bucket/out/renewed"), 10, 'out/renewed', 'what was done is known with other credentials, too');
}

$athena->fault(operation => 'S3.UploadPart', lose => \1, skip => 1);
is_not_copied(copy(200_000, 'out/lost'), 'out/lost', 'SP000', 'a part that S3 has lost');
$athena->fault(operation => 'S3.UploadPart', set_headers => { ETag => undef });
is_not_copied(copy(200_000, 'out/untagged'), 'out/untagged', '08P01', 'a part without an ETag');
$athena->fault(operation => 'S3.UploadPart', set_headers => { ETag => '"<x>"' });
is_not_copied(copy(200_000, 'out/odd'), 'out/odd', '08P01', 'a part with an ETag that would be XML');
$athena->fault(operation => 'S3.CreateMultipartUpload', status => 200, body => '<InitiateMultipartUploadResult/>');
is_not_copied(copy(200_000, 'out/unnamed'), 'out/unnamed', '08P01', 'an upload without an ID');
$athena->fault(operation => 'S3.UploadPart', error => 'AccessDenied', status => 403, skip => 1);
is_not_copied(copy(400_000, 'out/denied'), 'out/denied', '42501', 'a part that is refused');
$athena->clear_faults;

# 3. Folders: all objects or none

my $folder = '{"max_object_size": "9MB"}';
is(copy(300_000, 'folder/', $folder)->{sqlstate}, '00000', 'a folder of several objects');
is(exists_already('folder/'), 4, 'four of them');
is(how_many('CompleteMultipartUpload'), 4, 'all visible at the end');
my @order = grep { /^(UploadPart|CompleteMultipartUpload)$/ } operations();
is_deeply([ grep { $_ eq 'CompleteMultipartUpload' } @order[ -4 .. -1 ] ], [ ('CompleteMultipartUpload') x 4 ], 'after all parts');
is(md5_hex(map { $athena->emulator->get_object("$bucket/folder/part-0000$_.csv") } 0 .. 3), md5_of_bytes(300_000), 'with all rows in order');
$athena->delete_objects("s3://$bucket/folder/");

$athena->fault(operation => 'S3.CompleteMultipartUpload', error => 'AccessDenied', status => 403, skip => 2, times => undef);
is_not_copied(copy(300_000, 'folder/', $folder), 'folder/', '42501', 'of which the third is refused');
is(how_many('DeleteObject'), 2, 'the two that were complete are deleted');
is(how_many('AbortMultipartUpload'), 2, 'the others are taken back');
$athena->clear_faults;

# Over a folder that has one of the objects already: what was not there before is deleted again, and what is replaced is told.
$athena->emulator->put_object("$bucket/folder/part-00001.csv", 'old');
$athena->fault(operation => 'S3.CompleteMultipartUpload', contains => 'part-00002', error => 'AccessDenied', status => 403, times => undef);
my $refused = copy(300_000, 'folder/', '{"max_object_size": "9MB", "overwrite": true}');
is($refused->{sqlstate}, '42501', 'overwritten, and the third is refused');
is(join(' ', $athena->list_uris("s3://$bucket/folder/")), "s3://$bucket/folder/part-00001.csv", 'no new object is there');
is($refused->{detail} =~ s/^(?!object).*\n//mgr, qq(object "s3://$bucket/folder/part-00001.csv": has been written), 'the one that was replaced is told of');
is_deeply(open_uploads(), [], 'no upload is left');
$athena->delete_objects("s3://$bucket/folder/");
$athena->clear_faults;

# One that is canceled while others are complete already.
{
	my $db = $athena->connect;

	$athena->clear_log;
	$athena->fault(operation => 'S3.CompleteMultipartUpload', contains => 'part-00000', hang => \1);
	$db->send('SELECT athena_calc.copy_to_s3($1, $2, options => $3)', rows(300_000), "s3://$bucket/folder/", $folder);
	$athena->wait_until(sub { exists_already('folder/') == 3 }, 'three of four are visible');
	sleep 0.2;
	$db->cancel;
	is_not_copied($db->finish->{error}, 'folder/', '57014', 'canceled while the first gets no answer');
	$athena->clear_faults;
}

# 4. A statement that ends early

for my $phase (
	# Behind the first part, which has 83,887 rows, they are so slow that they fill no buffer for a minute.
	[ 'while rows are made', "SELECT $row, CASE WHEN i > 85000 THEN pg_sleep(0.1) END FROM generate_series(1, 300000) i", 'UploadPart' ],
	[ 'while parts are under way', rows(400_000), 'UploadPart', operation => 'S3.UploadPart', hang => \1, times => undef ],
	[ 'while it is completed',     rows(200_000), 'CompleteMultipartUpload', operation => 'S3.CompleteMultipartUpload', hang => \1, times => undef ])
{
	my ($what, $query, $operation, @fault) = @$phase;

	for my $end ('pg_cancel_backend', 'pg_terminate_backend', 'again')
	{
		my $db = $athena->connect;

		$athena->clear_log;
		$athena->fault(@fault) if @fault;
		$db->query('SET statement_timeout = ' . min(patient(4000), 30_000)) if $end eq 'again';
		$db->send(copy_sql(), $query, "s3://$bucket/early/object");
		$athena->wait_for_requests("S3.$operation");
		sleep 0.2;
		$since = time;
		$main->query("SELECT $end(\$1)", $db->pid) unless $end eq 'again';
		my $error = $db->finish->{error};
		my $ms = (time - $since) * 1000;
		is($error->{sqlstate}, $end eq 'pg_terminate_backend' ? '57P01' : '57014', "$what, $end");
		is($error->{detail}, undef, 'there is nothing to tell of');
		cmp_ok($ms, '<', BOUND_MS, sprintf('%.1f ms', $ms)) unless $end eq 'again';
		is($db->value('SELECT 1'), 1, 'the backend goes on') if $end eq 'pg_cancel_backend';
		$athena->wait_until(sub { @{ open_uploads() } == 0 }, 'no upload is left');
		is(exists_already('early/'), 0, 'there is no object');
		is(how_many('AbortMultipartUpload'), 1, 'the upload was taken back once');
		$athena->clear_faults;
	}
}

# What S3 has done, though nobody was told, is undone.
for my $operation (qw(PutObject CompleteMultipartUpload))
{
	for my $overwrite ('false', 'true')
	{
		my $db = $athena->connect;

		$athena->clear_log;
		$athena->fault(operation => "S3.$operation", apply => \1, hang => \1);
		$db->send('SELECT athena_calc.copy_to_s3($1, $2, options => $3)', rows($operation eq 'PutObject' ? 10 : 200_000),
			"s3://$bucket/early/done", qq({"overwrite": $overwrite}));
		$athena->wait_until(sub { exists_already('early/done') }, 'the object is there');
		$db->cancel;
		my $error = $db->finish->{error};
		is($error->{sqlstate}, '57014', "canceled while $operation gets no answer");
		if ($overwrite eq 'true')
		{
			like($error->{detail} // '', qr{object "s3://$bucket/early/done": may have been written}, 'what may have been written over is told');
			$athena->delete_objects("s3://$bucket/early/done");
			next;
		}
		is($error->{detail}, undef, 'there is nothing to tell of');
		is(exists_already('early/done'), 0, 'the object is gone');
	}
}

# The error of a copy of ten rows that is canceled while S3 has not answered. So many looks at what is there are refused.
sub cancel_unanswered
{
	my ($key, $looks) = @_;
	my $db = $athena->connect;

	$athena->clear_log;
	$athena->faults({ %unseen, times => $looks }, { %unlisted, times => $looks }, { operation => 'S3.PutObject', hang => \1 });
	$db->send(copy_sql(), rows(10), "s3://$bucket/$key");
	$athena->wait_for_requests('S3.PutObject');
	sleep 0.2;
	$db->cancel;
	my $error = $db->finish->{error};
	$athena->clear_faults;
	return $error;
}

# What is there may be somebody else's.
for my $looks (1, undef)
{
	$athena->emulator->put_object("$bucket/early/theirs", 'theirs');
	my $error = cancel_unanswered('early/theirs', $looks);
	is($error->{sqlstate}, '57014', 'canceled while another object has the name');
	if ($looks)
	{
		is($error->{detail}, undef, 'which is seen to be another');
	}
	else
	{
		like($error->{detail} // '', qr{early/theirs": may have been written}, 'where nobody may look, that is told');
	}
	is($athena->emulator->get_object("$bucket/early/theirs"), 'theirs', 'it stays');
	$athena->delete_objects("s3://$bucket/early/theirs");
}

# It may be as long as this one, or the same: another copy may have written it.
for my $kind ('of the same length', 'of the same length, with a checksum', 'the same')
{
	my $mine = $main->value(q{SELECT string_agg(line || E'\n', '') FROM (} . rows(10) . ') AS r (line)');
	my $theirs = $kind eq 'the same' ? $mine : 'x' x length $mine;

	if ($kind =~ /checksum/) { $athena->put_text("s3://$bucket/early/same", $theirs) }
	else { $athena->emulator->put_object("$bucket/early/same", $theirs) }
	my $error = cancel_unanswered('early/same', 1);
	is($error->{sqlstate}, '57014', "canceled while an object has the name that is $kind");
	like($error->{detail}, qr{early/same": may have been written}, 'which has no mark, so that may be');
	is($athena->emulator->get_object("$bucket/early/same"), $theirs, 'it stays');

	# That of another copy is known.
	$athena->delete_objects("s3://$bucket/early/same");
	$main->query(copy_sql(), rows(10), "s3://$bucket/early/same");
	is(cancel_unanswered('early/same', 1)->{detail}, undef, "another copy's is seen to be that");
	is($athena->emulator->get_object("$bucket/early/same"), $mine, 'it stays');
	$athena->delete_objects("s3://$bucket/early/same");
}

# Of many objects a few are named. (That they are taken back all the same is for the tests that follow.)
{
	my $db = $athena->connect;

	$athena->clear_log;
	$athena->fault(operation => 'S3.AbortMultipartUpload', error => 'AccessDenied', status => 403, apply => \1, times => undef);
	$db->send('SELECT athena_calc.copy_to_s3($1, $2, options => $3)', q{SELECT repeat('x', 1000) FROM generate_series(1, 15) UNION ALL SELECT pg_sleep(60)::text},
		"s3://$bucket/early/many/", '{"max_object_size": 1000}');
	$athena->wait_until(sub { @{ open_uploads() } >= 14 }, 'uploads are there');
	$db->cancel;
	my @lines = split /\n/, $db->finish->{error}{detail};
	is(scalar(grep { /AbortMultipartUpload/ } @lines), 10, 'of many uploads that are left ten are named');
	like($lines[-1], qr/^and so [45] more$/, $lines[-1]);
	$athena->clear_faults;
}

# An upload is asked for, and its ID comes after the cancel.
{
	my $db = $athena->connect;

	$athena->clear_log;
	$athena->fault(operation => 'S3.CreateMultipartUpload', delay => 0.5);
	$db->send(copy_sql(), rows(200_000), "s3://$bucket/early/asked");
	$athena->wait_until(sub { @{ open_uploads() } > 0 }, 'the upload is there');
	$db->cancel;
	my $error = $db->finish->{error};
	is($error->{sqlstate}, '57014', 'canceled before the upload has an ID');
	is($error->{detail}, undef, 'there is nothing to tell of');
	is_deeply(open_uploads(), [], 'no upload is left');
	is(how_many('AbortMultipartUpload'), 1, 'it was waited for, and taken back');
}

# What cannot be taken back is told.
$athena->fault(operation => 'S3.AbortMultipartUpload', error => 'AccessDenied', message => 'no', status => 403);
$athena->fault(operation => 'S3.UploadPart', error => 'AccessDenied', message => 'never', status => 403);
my $error = copy(200_000, 'early/left');
is($error->{sqlstate}, '42501', 'where the upload cannot be taken back');
like($error->{message}, qr/never/, 'the error is the first one');
like($error->{detail}, qr{object "s3://$bucket/early/left", upload \S+: AbortMultipartUpload: no}, 'and says what is left');
is(scalar @{ open_uploads() }, 1, 'an upload');
$athena->clear_faults;
$athena->fault(operation => 'S3.CreateMultipartUpload', error => 'AccessDenied', status => 403);
$error = copy(200_000, 'early/refused');
is($error->{sqlstate}, '42501', 'an upload that is refused');
unlike($error->{detail} // '', qr/s3:/, 'is not left');
$athena->fault(operation => 'S3.CreateMultipartUpload', drop => 'after', times => undef);
$error = copy(200_000, 'early/unknown');
is($error->{sqlstate}, '08006', 'where nobody knows the upload');
like($error->{detail}, qr{object "s3://$bucket/early/unknown": no answer to CreateMultipartUpload}, 'the error says so, too');
$athena->clear_faults;

# An error that comes with the lock of a page, of an index for which the last of 90,000 rows is too long: others need the page while
# the upload is taken back.
{
	my $db    = $athena->connect;
	my $query = q{INSERT INTO indexed SELECT CASE WHEN i < 90000 THEN i || repeat('x', 89) ELSE 'z' || (SELECT string_agg(md5(j::text), '')
		FROM generate_series(1, 200) j) END FROM generate_series(1, 90000) i RETURNING value};

	$main->query(q{CREATE TABLE indexed (value text); CREATE INDEX ON indexed (value); INSERT INTO indexed VALUES ('z')});
	$athena->clear_log;
	$athena->fault(operation => 'S3.AbortMultipartUpload', hang => \1, times => undef);
	$db->send(copy_sql(), $query, "s3://$bucket/early/locked");
	$athena->wait_for_requests('S3.AbortMultipartUpload');
	$main->query(q{INSERT INTO indexed VALUES ('z2')});
	is($main->value('SELECT state FROM pg_stat_activity WHERE pid = $1', $db->pid), 'active', 'while an upload is taken back, no page is locked');
	is($db->finish->{error}{sqlstate}, '54000', 'the error');
	$athena->clear_faults;
}

# Settings that the query itself changes are for what comes after it.
for my $last ("'end'", '(1 / (200000 - i))::text')
{
	my $db    = $athena->connect;
	my $error = $db->error(copy_sql(),
		"SELECT $row, CASE WHEN i = 10 THEN set_config('athena_calc.s3_endpoint_url', 'http://127.0.0.1:1', false) WHEN i = 200000 THEN $last END FROM generate_series(1, 200000) i",
		"s3://$bucket/early/settings");

	is($error->{sqlstate}, $last eq "'end'" ? '00000' : '22012', 'a query that sends what comes after it elsewhere');
	is($error->{detail}, undef, 'there is nothing to tell of');
	is_deeply([ grep { /settings/ } @{ open_uploads() } ], [], 'no upload is left');
	$athena->delete_objects("s3://$bucket/early/settings");
}

# An error that is caught
$main->query(q{DO $$ BEGIN
	PERFORM athena_calc.copy_to_s3('SELECT 1000000000 + i || repeat(''x'', 89) || CASE WHEN i = 300000 THEN 1 / (i - 300000) ELSE 0 END FROM generate_series(1, 300000) i', 's3://} . $bucket . q{/caught/object');
EXCEPTION WHEN division_by_zero THEN NULL; END $$});
is(exists_already('caught/'), 0, 'a copy whose error is caught leaves nothing');
is(scalar(grep { $_ =~ /caught/ } @{ open_uploads() }), 0, 'no upload either');

# 5. A slow query: the parts go while it makes rows, and time that is ours does not count

$athena->clear_log;
is($main->error(copy_sql(), "SELECT $row, CASE WHEN i % 100000 = 0 THEN pg_sleep(2.5) END FROM generate_series(1, 300000) i", "s3://$bucket/slow/object")->{sqlstate},
	'00000', 'a query that is slower than request_timeout');
is(how_many('UploadPart'), 4, 'costs no other request');
$athena->clear_log;
# Of the ten seconds, eight are the query's; the other two are less than request_timeout, by far.
$main->query(q{SET athena_calc.request_timeout = '6s'});
$athena->fault(operation => 'S3.UploadPart', delay => 10);
is($main->error(copy_sql(), "SELECT $row, CASE WHEN i BETWEEN 84000 AND 84009 THEN pg_sleep(0.1) WHEN i = 90000 THEN pg_sleep(7) END FROM generate_series(1, 100000) i",
		"s3://$bucket/slow/answer")->{sqlstate}, '00000', 'nor one during which S3 has not answered');
is(how_many('UploadPart'), 2, 'which costs none either');
$main->query(q{SET athena_calc.request_timeout = '2s'});
$athena->clear_faults;

# 6. Nothing grows

my %grown;
for my $count (500_000, 2_000_000)
{
	my $db = $athena->connect;

	is($db->value(copy_sql(), rows($count), "s3://$bucket/memory/$count"), $count, "$count rows");
	$grown{$count} = $db->peak_memory_kb;
}
# The faster S3 is, the fewer parts are in memory: from one to four of 8 MB.
cmp_ok($grown{2_000_000} - $grown{500_000}, '<', patient(30 * 1024), "200 MB take as much memory as 50: $grown{2_000_000} kB, $grown{500_000} kB");

done_testing();
