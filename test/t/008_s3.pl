# What a calculation printed, read from S3: where it is, what it is called, how it is cut, what goes wrong.

use strict;
use warnings;
use utf8;

use AthenaCalc::Test;
use Encode qw(encode);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my @options = (emulator => [ '--create-bucket', 'my.bucket', '--create-bucket', 'other' ]);
my $athena  = AthenaCalc::Test->new(@options);
my $port    = $athena->emulator->port;

# Has Athena say that a calculation's output is there.
sub output_is_at
{
	my ($uri, $server) = @_;

	$server ||= $athena;
	$server->clear_faults;
	$server->fault(operation => 'GetCalculationExecution', times => undef,
		body => JSON::PP->new->encode({ Result => { StdOutS3Uri => $uri, StdErrorS3Uri => $uri } }));
	return;
}

# Puts an object; its URI.
sub put
{
	my ($bucket, $key, $bytes, $server) = @_;
	my $path = encode('UTF-8', $key);

	$path =~ s{([^A-Za-z0-9_.~/-])}{sprintf '%%%02X', ord $1}ge;
	($server || $athena)->emulator->put_object("$bucket/$path", $bytes);
	return "s3://$bucket/$key";
}

sub stdout
{
	my ($max_bytes) = @_;

	return $athena->value('SELECT athena_calc.calculation_stdout($1, $2)', 'x', $max_bytes);
}

sub stdout_error { return $athena->query_error("SELECT athena_calc.calculation_stdout('x')") }

# Where a bucket is: in the path, or in front of the host

my $plain = put('athena-emulator', 'plain', 'hello');
for my $case (
	# endpoint, bucket, host, path
	[ "http://127.0.0.1:$port",    'athena-emulator', "127.0.0.1:$port" ],
	[ "http://localhost:$port",    'athena-emulator', "localhost:$port" ],
	[ "http://s3.localhost:$port", 'athena-emulator', "athena-emulator.s3.localhost:$port" ],
	[ "http://s3.localhost:$port", 'my.bucket',       "my.bucket.s3.localhost:$port" ])
{
	my ($endpoint, $bucket, $host) = @$case;

	output_is_at(put($bucket, 'a/key', "in $bucket"));
	$athena->query("SET athena_calc.s3_endpoint_url = '$endpoint'");
	$athena->clear_log;
	is(stdout(), "in $bucket", "$bucket at $endpoint");
	my ($request) = $athena->requests('S3.GetObject');
	is($request->{headers}{host}, $host, 'is asked for at the right host');
	ok($request->{authorized}, 'with a signature that is right');
	is($athena->value(q{SELECT athena_calc.calculation_stderr('x')}), "in $bucket", 'standard error, too');
}

my $secure = AthenaCalc::Test->new(name => 'tls', tls => 1, @options);
my $secure_port = $secure->emulator->port;
$secure->query("SET athena_calc.s3_endpoint_url = 'https://s3.localhost:$secure_port'");
for my $case (
	[ 'athena-emulator', "athena-emulator.s3.localhost:$secure_port" ],
	# The certificate is for one label in front of the host.
	[ 'my.bucket', "s3.localhost:$secure_port" ])
{
	my ($bucket, $host) = @$case;

	output_is_at(put($bucket, 'key', "in $bucket", $secure), $secure);
	$secure->emulator->clear_log;
	is($secure->value(q{SELECT athena_calc.calculation_stdout('x')}), "in $bucket", "$bucket under TLS");
	is(($secure->requests('S3.GetObject'))[0]{headers}{host}, $host, 'at the right host');
}

# Keys of any characters, in both styles

my @keys = (
	'a b', 'a+b', 'a%20b', '100%', 'a&b=c', 'what?', 'a#b', 'a;b,c', q{it's "quoted"}, 'a\\b', '(a)*[b]{c}!$@:|<>^`~',
	'größe/€/😀', 'a//b', '/leading', 'trailing/', './a', 'a/./b', 'a/../b', '..', '...', ' ', "tab\there", 'K' x 1024);
for my $endpoint ("http://127.0.0.1:$port", "http://s3.localhost:$port")
{
	$athena->query("SET athena_calc.s3_endpoint_url = '$endpoint'");
	for my $key (@keys)
	{
		output_is_at(put('athena-emulator', $key, encode('UTF-8', "at $key")));
		my $error = stdout_error();
		is($error->{sqlstate}, '00000', 'the key ' . encode('UTF-8', substr $key, 0, 40)) or diag explain $error;
		is(stdout(), "at $key", 'is the right one');
	}
}
$athena->query('RESET athena_calc.s3_endpoint_url');

# What is not there, and what is not allowed

my $error;
for my $case ([ 's3://athena-emulator/nothing', 'NoSuchKey' ], [ 's3://no-such-bucket/key', 'NoSuchBucket' ])
{
	my ($uri, $exception) = @$case;

	output_is_at($uri);
	$error = stdout_error();
	is($error->{sqlstate}, '42704', $exception);
	like($error->{message}, qr/^S3 GetObject failed: The specified (key|bucket) does not exist/, 'the message is what S3 said');
	is_deeply([ detail_keys($error) ], [qw(exception http_status request_id attempts)], 'the keys of DETAIL');
	is(detail_value($error, 'exception'), $exception, 'the exception');
	is(detail_value($error, 'http_status'), 404, 'the status');
	like(detail_value($error, 'request_id'), qr/^[0-9A-F]{16}$/, 'the request');
}

$athena->query('SET athena_calc.max_attempts = 1');
for my $case (
	[ 'AccessDenied',         403, '42501' ],
	[ 'InvalidAccessKeyId',   403, '28000' ],
	[ 'SignatureDoesNotMatch', 403, '28000' ],
	[ 'ExpiredToken',         400, '28000' ],
	[ 'RequestTimeTooSkewed', 403, '28000' ],
	[ 'SlowDown',             503, '53400' ],
	[ 'InternalError',        500, '58000' ],
	[ 'InvalidObjectState',   403, 'SP000' ])
{
	my ($code, $status, $sqlstate) = @$case;

	output_is_at($plain);
	$athena->fault(operation => 'S3.GetObject', error => $code, status => $status, message => 'So it is.');
	$error = stdout_error();
	is("$error->{sqlstate} $error->{message}", "$sqlstate S3 GetObject failed: So it is.", $code);
	is(detail_value($error, 'exception'), $code, 'the exception');
}
output_is_at($plain);
$athena->fault(operation => 'S3.GetObject', cut_body => 2);
is(stdout_error()->{sqlstate}, '08006', 'an object that is cut');
$athena->query('RESET athena_calc.max_attempts');
$athena->fault(operation => 'S3.GetObject', cut_body => 2);
is(stdout(), 'hello', 'is read again');

$athena->query("SET athena_calc.secret_access_key = 'wrong'");
is(stdout_error()->{sqlstate}, '28000', 'a wrong secret');
$athena->query('RESET athena_calc.secret_access_key');

# The end of it

my $text = put('athena-emulator', 'text', encode('UTF-8', 'ab€cd€'));
output_is_at($text);
for my $case (
	[ 1,   '' ],
	[ 2,   '' ],
	[ 3,   '€' ],
	[ 4,   'd€' ],
	[ 5,   'cd€' ],
	[ 6,   'cd€' ],
	[ 7,   'cd€' ],
	[ 8,   '€cd€' ],
	[ 9,   'b€cd€' ],
	[ 10,  'ab€cd€' ],
	[ 11,  'ab€cd€' ],
	[ 2147483647, 'ab€cd€' ])
{
	my ($max_bytes, $end) = @$case;

	is(stdout($max_bytes), $end, "the last $max_bytes bytes, no half character");
	is_deeply([ $athena->notices ], [], 'without a notice');
}
$athena->clear_log;
stdout(4);
is(($athena->requests('S3.GetObject'))[0]{headers}{range}, 'bytes=-4', 'no more than that is read');
$athena->fault(operation => 'S3.GetObject', body => '0123456789');
is(stdout(3), '789', 'where a server sends more, the end of it');

output_is_at(put('athena-emulator', 'empty', ''));
is(stdout(),  '', 'an empty object');
is(stdout(5), '', 'which has no last bytes');

# What text cannot hold

output_is_at(put('athena-emulator', 'bytes', "a\xffb\0c"));
is(stdout(), "a\x{fffd}b\x{fffd}c", 'bytes that are no text are replaced');
is(scalar($athena->notices), 1, 'with a notice');
like(($athena->notices)[0], qr/^2 characters of the output do not fit the encoding UTF8 and were replaced$/, 'that counts them');
output_is_at(put('athena-emulator', 'continued', "\x82\xaca"));
is(stdout(), "\x{fffd}\x{fffd}a", 'also at the start, where nothing was cut');

$athena->query(q{CREATE DATABASE latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0});
my $latin1 = $athena->connect(dbname => 'latin1');
$latin1->query('CREATE EXTENSION athena_calc');
output_is_at(put('athena-emulator', 'latin1', encode('UTF-8', 'größe: 5 €')));
is($latin1->value("SELECT athena_calc.calculation_stdout('x')"), 'größe: 5 ?', 'what the database lacks is replaced');
is_deeply([ $latin1->notices ],
	['1 character of the output does not fit the encoding LATIN1 and was replaced'], 'with a notice');

# What is large

my $large = put('athena-emulator', 'large', join '', map { "line $_\n" } 1 .. 200_000);
output_is_at($large);
is(length stdout(), 2_288_895, 'two megabytes');
$athena->query(q{SET athena_calc.max_response_size = '1MB'});
$error = stdout_error();
is($error->{sqlstate}, '54000', 'are too many for a limit of one');
like($error->{hint}, qr/max_response_size/, 'says the hint');
is(stdout(12), "line 200000\n", 'the end of it can be read');

done_testing();
