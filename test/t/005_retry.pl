# What is tried again, how often, and when: AWS's standard mode.
#
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html

use strict;
use warnings;

use AthenaCalc::Test;
use List::Util qw(max uniq);
use PostgreSQL::Test::Cluster;
use Test::More;
use Time::HiRes qw(time);

my $athena  = AthenaCalc::Test->new;
my $session = $athena->start_session;
my $call    = "SELECT athena_calc.get_session('$session')";

# The SQLSTATE that a call ends with while this goes wrong, and the requests it took.
sub call_during
{
	my (%fault) = @_;

	$athena->clear_log;
	$athena->fault(operation => 'GetSession', %fault) if %fault;
	my $error = $athena->query_error($call);
	$athena->clear_faults;
	return ($error, $athena->requests('GetSession'));
}

# A batch of which each ID has a fault of its own and a good answer after it; gives the requests, by ID.
sub batch_during
{
	my (@faults) = @_;
	my $operation = 'GetCalculationExecutionStatus';
	my @ids = map { sprintf 'calculation-%04d', $_ } 0 .. $#faults;
	my %requests;

	$athena->clear_log;
	$athena->faults(
		(map { { operation => $operation, contains => $ids[$_], %{ $faults[$_] } } } 0 .. $#faults),
		{ operation => $operation, times => undef, body => '{"Status": {"State": "COMPLETED"}}' });
	my @rows = $athena->query("SELECT * FROM athena_calc.batch_get_calculation_execution_status(\$1)",
		'{' . join(',', @ids) . '}');
	$athena->clear_faults;
	push @{ $requests{ $_->{members}{CalculationExecutionId} } }, $_ for $athena->requests($operation);
	return (\@rows, map { $requests{$_} } @ids);
}

sub pause_between
{
	my ($first, $second) = @{ $_[0] };

	return $second->{time} - $first->{time};
}

# strftime would speak the environment's language.
sub http_date
{
	my ($second, $minute, $hour, $day, $month, $year, $weekday) = gmtime $_[0];

	return sprintf '%s, %02d %s %d %02d:%02d:%02d GMT', (qw(Sun Mon Tue Wed Thu Fri Sat))[$weekday], $day,
	  (qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec))[$month], $year + 1900, $hour, $minute, $second;
}

sub describe
{
	my ($fault) = @_;

	return join ', ', map { "$_ $fault->{$_}" } grep { !ref $fault->{$_} } sort keys %$fault;
}

# Trouble that passes

for my $fault (
	{ drop => 'before' },
	{ drop => 'before', reset => \1 },
	{ drop => 'after' },
	{ drop => 'after', reset => \1 },
	{ cut => 0 },
	{ cut => 20 },
	{ cut_body => 0 },
	{ cut_body => 20 },
	{ cut_body => 20, reset => \1 },
	(map { { status => $_ } } 500, 502, 503, 504),
	{ status => 502, body => '<html>Bad Gateway</html>' },
	{ status => 500, error => 'InternalServerException' },
	(map { { status => 400, error => $_ } } qw(RequestTimeout RequestTimeoutException InternalError)))
{
	my ($error, @requests) = call_during(%$fault);

	is($error->{sqlstate}, '00000', 'passes: ' . describe($fault));
	is(@requests, 2, 'with the second attempt');
}

# Trouble that stays: three attempts, told apart and belonging together

my ($error, @requests) = call_during(status => 500, times => undef);
is($error->{sqlstate}, '58000', 'trouble that stays');
is(detail_value($error, 'attempts'), 3, 'three attempts, says DETAIL');
is_deeply([ map { $_->{headers}{'amz-sdk-request'} } @requests ],
	[ 'attempt=1; max=3', 'attempt=2; max=3', 'attempt=3; max=3' ], 'and each says so');
is(uniq(map { $_->{headers}{'amz-sdk-invocation-id'} } @requests), 1, 'they belong to one invocation');
uuid_like($requests[0]{headers}{'amz-sdk-invocation-id'}, 'its ID');
is(uniq(map { $_->{headers}{authorization} } @requests), 3, 'each is signed anew');
is_deeply([ grep { !$_->{authorized} } @requests ], [], 'and rightly');
my ($other) = (call_during())[1];
isnt($other->{headers}{'amz-sdk-invocation-id'}, $requests[0]{headers}{'amz-sdk-invocation-id'}, 'another call is another');

for my $attempts (1, 2, 5)
{
	$athena->query("SET athena_calc.max_attempts = $attempts");
	($error, @requests) = call_during(status => 500, times => undef);
	is(@requests, $attempts, "max_attempts = $attempts");
	is($requests[-1]{headers}{'amz-sdk-request'}, "attempt=$attempts; max=$attempts", 'and the last says so');
}

# A kept connection that ends without an answer: curl would send the request again by itself.
$athena->reconnect;
$athena->query('SET athena_calc.max_attempts = 1');
foreach my $times (1 .. 10)
{
	call_during();
	($error, @requests) = call_during(drop => 'after', times => undef);
	is(@requests, 1, "one attempt is one request, on a kept connection, too ($times)");
	is($error->{sqlstate}, '08006', 'and its end an error');
}
$athena->query('RESET athena_calc.max_attempts');

$athena->query(q{SET athena_calc.request_timeout = '50ms'});
($error, @requests) = call_during(hang => \1, times => undef);
is($error->{sqlstate}, '08006', 'time-outs');
is(@requests, 3, 'are tried again');
$athena->query('RESET athena_calc.request_timeout');

$athena->query("SET athena_calc.endpoint_url = 'http://127.0.0.1:" . PostgreSQL::Test::Cluster::get_free_port() . q{'});
$error = $athena->query_error($call);
is($error->{sqlstate}, '08001', 'so is a connection refused');
is(detail_value($error, 'attempts'), 3, 'three times');
$athena->query('RESET athena_calc.endpoint_url');

# What will not be better the second time

for my $fault (
	{ error => 'InvalidRequestException' },
	{ error => 'ResourceNotFoundException', status => 404 },
	{ error => 'AccessDeniedException',     status => 403 },
	{ error => 'ExpiredTokenException' },
	{ error => 'InvalidSignatureException' },
	{ error => 'SomethingNewException' },
	{ status => 400 },
	{ status => 404, body => '<html>Not Found</html>' },
	{ body => 'not JSON' },
	{ body => '{"SessionId": 1}' },
	(map { { status => $_, headers => { Location => '/' } } } 301, 302, 307))
{
	($error, @requests) = call_during(%$fault, times => undef);
	isnt($error->{sqlstate}, '00000', 'stays: ' . describe($fault));
	is(@requests, 1, 'and is not tried again');
}
$athena->query(q{SET athena_calc.max_response_size = '1kB'});
($error, @requests) = call_during(endless => \1, times => undef);
is(@requests, 1, 'nor is an answer that is too large');
$athena->query('RESET athena_calc.max_response_size');

# Throttling: longer pauses. Together, since each takes up to a second.

$athena->reconnect;
$athena->query('SET athena_calc.max_attempts = 2');
my @throttling = (
	(map { { status => 400, error => $_ } }
		qw(Throttling ThrottlingException ThrottledException RequestThrottledException TooManyRequestsException
		ProvisionedThroughputExceededException TransactionInProgressException RequestLimitExceeded
		BandwidthLimitExceeded LimitExceededException RequestThrottled SlowDown PriorRequestNotComplete
		EC2ThrottledException)),
	{ status => 429 },
	{ status => 429, body => '<html>slow down</html>' },
	{ status => 503, error => 'SlowDown' });
my ($rows, @by_id) = batch_during(@throttling);
is(@{ $by_id[$_] }, 2, 'is tried again: ' . describe($throttling[$_])) for 0 .. $#throttling;
is_deeply([ grep { $_->{state} ne 'COMPLETED' } @$rows ], [], 'all come to their end');
my @pauses = map { pause_between($_) } @by_id;
cmp_ok(max(@pauses), '<', patient(3), 'a first pause is up to a second');
cmp_ok(max(@pauses), '>', 0.1, 'and not just a moment');

# Other trouble passes sooner.
($rows, @by_id) = batch_during(({ status => 500 }) x 10);
cmp_ok(max(map { pause_between($_) } @by_id), '<', patient(0.5), 'after an error of the server the pause is up to 50 ms');
cmp_ok(scalar(uniq(map { sprintf '%.3f', pause_between($_) } @by_id)), '>', 3, 'and up to chance');

# What the server wishes, within bounds

my %wishes = (
	'none'                 => [ {},                                                            0,   0.5 ],
	'in milliseconds'      => [ { 'x-amz-retry-after' => '400' },                              0.4, 1 ],
	'in seconds'           => [ { 'Retry-After' => '1' },                                      1,   1.6 ],
	'both'                 => [ { 'Retry-After' => '3', 'x-amz-retry-after' => '600' },        0.6, 1.2 ],
	'a date'               => [ { 'Retry-After' => http_date(time + 3) },    1.5, 4 ],
	'a date that is past'  => [ { 'Retry-After' => 'Thu, 01 Jan 1970 00:00:00 GMT' },          0,   0.5 ],
	'nonsense'             => [ { 'Retry-After' => 'soon', 'x-amz-retry-after' => '-1' },      0,   0.5 ],
	'a number beyond all'  => [ { 'x-amz-retry-after' => '9' x 30 },                           0,   5.5 ],
	'an hour'              => [ { 'x-amz-retry-after' => '3600000' },                          5,   5.8 ]);
my @names = sort keys %wishes;
($rows, @by_id) = batch_during(map { { status => 503, headers => $wishes{$_}[0] } } @names);
for my $i (0 .. $#names)
{
	my (undef, $least, $most) = @{ $wishes{ $names[$i] } };
	my $pause = pause_between($by_id[$i]);

	ok($pause >= $least && $pause <= $most, "the server's wish: $names[$i]") or diag $pause;
}

# The bucket of retries: a service that is down is not hammered

for my $case ([ 500, 35 ], [ 429, 100 ])
{
	my ($status, $retries) = @$case;

	$athena->reconnect;
	$athena->query('SET athena_calc.max_attempts = 2');
	($rows, @by_id) = batch_during(({ status => $status, times => undef }) x 110);
	is(scalar(grep { @$_ == 2 } @by_id), $retries, "of 110 calls that get $status, $retries are tried again");
	is(scalar(grep { @$_ == 1 } @by_id), 110 - $retries, 'and the others not any more');
	$athena->fault(operation => 'S3.ListObjectsV2', status => $status);
	is($athena->query_error("SELECT athena_calc.s3_list_objects('s3://a-bucket/')")->{sqlstate}, '42704',
		'the trouble of one service is not that of another, which is asked again');
	is($athena->requests('S3.ListObjectsV2'), 2, 'and then says that there is no such bucket');
}
$athena->reconnect;

# A clock that is wrong is mended once, and stays mended

$athena->emulator_settings(clock_offset_seconds => 3600);
($error, @requests) = call_during();
is($error->{sqlstate}, '00000', 'a clock that is an hour behind');
is_deeply([ map { $_->{authorized} ? 1 : 0 } @requests ], [ 0, 1 ], 'is mended after the first refusal');
($error, @requests) = call_during();
is_deeply([ map { $_->{authorized} ? 1 : 0 } @requests ], [1], 'and stays so');
my $id = $athena->run($session, 'print(1)');
is($athena->value('SELECT athena_calc.calculation_stdout($1)', $id), "1\n", 'for S3, too');
$athena->emulator_settings(clock_offset_seconds => -3600);
($error, @requests) = call_during();
is_deeply([ map { $_->{authorized} ? 1 : 0 } @requests ], [ 0, 1 ], 'a clock that is set is mended again');
$athena->reconnect;
is($athena->value('SELECT athena_calc.calculation_stdout($1)', $id), "1\n", 'S3 may be the first to tell');
$athena->emulator_settings(clock_offset_seconds => 0);
$athena->reconnect;

$athena->query('SET athena_calc.max_attempts = 5');
($error, @requests) = call_during(
	error   => 'InvalidSignatureException',
	headers => { Date => 'Sat, 01 Jan 2000 00:00:00 GMT' },
	times   => undef);
is($error->{sqlstate}, '28000', 'a refusal that the clock does not explain');
is(@requests, 2, 'is tried again once at most');
for my $date (undef, '', 'yesterday', 'Sat, 99 Jan 9999 99:99:99 GMT', 'Sat, 01 Jan 10000 00:00:00 GMT')
{
	$athena->reconnect;
	($error, @requests) = call_during(error => 'RequestExpired', headers => { Date => $date }, times => undef);
	is(@requests, 1, 'not at all when the server tells no time: ' . ($date // 'none'));
}
is($athena->query_error($call)->{sqlstate}, '00000', 'and nothing wrong is learned from it');

done_testing();
