# Many requests together: as many at once as allowed, each with its own end.

use strict;
use warnings;

use AthenaCalc::Test;
use List::Util qw(max uniq);
use Test::More;
use Time::HiRes qw(time);

my $athena  = AthenaCalc::Test->new;
my $session = $athena->start_session;
my $id      = $athena->run($session, 'print(1)');
my $batch   = 'SELECT * FROM athena_calc.batch_get_calculation_execution_status($1)';

# So many IDs that Athena does not know: rules answer for them.
sub ids
{
	my ($count) = @_;

	return map { sprintf 'calculation-%04d', $_ } 1 .. $count;
}

sub array { return '{' . join(',', @_) . '}' }

sub answer_all
{
	my (%more) = @_;

	$athena->fault(operation => 'GetCalculationExecutionStatus', times => undef,
		body => '{"Status": {"State": "COMPLETED"}}', %more);
	return;
}

# Many calculations, each answer half a second away

my $delay = patient(0.5);
my %counts = (32 => 200, 7 => 70, 1 => 5);
$athena->emulator_settings(delay_seconds => $delay);
for my $concurrency (32, 7, 1)
{
	my $count = $counts{$concurrency};

	$athena->reconnect;
	$athena->query("SET athena_calc.max_concurrency = $concurrency");
	$athena->clear_log;
	my $began = time;
	my @rows  = $athena->query($batch, array(($id) x $count));
	my $took  = time - $began;
	my $log   = $athena->request_log;

	is(scalar(grep { $_->{calculation_execution_id} eq $id && $_->{state} eq 'COMPLETED' && !defined $_->{error_code} } @rows),
		$count, "$count calculations, $concurrency at once");
	is($log->{max_in_flight}, $concurrency, 'so many at once, and no more');
	is(uniq(map { $_->{connection} } @{ $log->{requests} }), $concurrency, 'on so many connections');
	# Three times what the waiting takes at least is what a loaded machine may need; one by one 200 would be 100 s.
	cmp_ok($took, '<', 3 * $delay * ($count / $concurrency + 1), 'in the time that takes');
}
$athena->query('RESET athena_calc.max_concurrency');
$athena->emulator_settings(delay_seconds => 0);

$athena->clear_log;
$athena->query($batch, array(($id) x 32)) for 1 .. 5;
my $opened = uniq(map { $_->{connection} } $athena->requests);
cmp_ok($opened, '<=', 32, "connections are kept from one batch to the next: $opened");

# What goes wrong with one stands in its row

my %faults = (
	3  => [ { error => 'InvalidRequestException', message => 'No.' },     'InvalidRequestException', 1 ],
	5  => [ { error => 'ResourceNotFoundException', status => 404 },      'ResourceNotFoundException', 1 ],
	7  => [ { error => 'InternalServerException', status => 500 },        'InternalServerException', 2 ],
	8  => [ { status => 503 },                                            'InvalidResponse',         2 ],
	11 => [ { drop => 'before' },                                         'ConnectionFailure',       2 ],
	13 => [ { cut_body => 5 },                                            'ConnectionFailure',       2 ],
	17 => [ { hang => \1 },                                               'Timeout',                 2 ],
	19 => [ { body => 'not JSON' },                                       'InvalidResponse',         1 ],
	20 => [ { body => '{"Status": {"State": 1}}' },                       'InvalidResponse',         1 ],
	21 => [ { body => '{"Status": {"State": "\ud800"}}' },                'InvalidResponse',         1 ],
	23 => [ { status => 307, headers => { Location => '/' } },            'InvalidResponse',         1 ],
	29 => [ { error => 'AccessDeniedException', message => 'No.' },       'AccessDeniedException',   1 ],
	31 => [ { endless => \1 },                                            'InvalidResponse',         1 ],
	37 => [ { error => 'TooManyRequestsException' },                      'TooManyRequestsException', 2 ],
	41 => [ { error => 'SomethingNewException' },                         'SomethingNewException',   1 ]);
my @ids = ids(50);
$athena->query('SET athena_calc.max_attempts = 2; SET athena_calc.request_timeout = ' . patient(500) . q{;
	SET athena_calc.max_response_size = '64kB'});
$athena->clear_log;
$athena->faults(map {
	{ operation => 'GetCalculationExecutionStatus', contains => $ids[$_], times => undef, %{ $faults{$_}[0] } }
} keys %faults);
answer_all();
my @rows = $athena->query($batch, array(@ids));
$athena->clear_faults;
my %requests;
$requests{ $_->{members}{CalculationExecutionId} }++ for $athena->requests('GetCalculationExecutionStatus');

is_deeply([ map { $_->{calculation_execution_id} } @rows ], \@ids, 'rows come in the order of the IDs');
for my $i (sort { $a <=> $b } keys %faults)
{
	my (undef, $code, $attempts) = @{ $faults{$i} };
	my $row = $rows[$i];

	is($row->{error_code}, $code, "row $i has its error");
	ok(length $row->{error_message} && !defined $row->{state}, 'with a message, and nothing else');
	cmp_ok($requests{ $ids[$i] }, '>=', $attempts, 'after its retries');
}
is(scalar(grep { $_->{state} && $_->{state} eq 'COMPLETED' && !defined $_->{error_code} && !defined $_->{error_message} } @rows),
	@ids - keys %faults, 'the others are all there');
is(max(map { $requests{ $ids[$_] } } grep { !$faults{$_} } 0 .. $#ids), 1, 'and were asked for once');

# All of one kind
$athena->reconnect;
$athena->query('SET athena_calc.max_attempts = 1');
answer_all(status => 500, body => '');
@rows = $athena->query($batch, array(ids(100)));
is(scalar(grep { defined $_->{error_code} } @rows), 100, 'when all go wrong, all rows say so');
$athena->clear_faults;
$athena->query("SET athena_calc.endpoint_url = 'http://127.0.0.1:1'");
@rows = $athena->query($batch, array(ids(100)));
is(scalar(grep { $_->{error_code} eq 'ConnectionFailure' } @rows), 100, 'so it is when nobody listens');
$athena->reconnect;

# Throttled ones recover
$athena->faults(
	map { { operation => 'GetCalculationExecutionStatus', contains => $_, error => 'ThrottlingException' } } ids(20));
answer_all();
@rows = $athena->query($batch, array(ids(60)));
is(scalar(grep { defined $_->{state} } @rows), 60, 'throttled ones recover');
$athena->clear_faults;

# What concerns every ID raises

for my $code (qw(UnrecognizedClientException InvalidSignatureException ExpiredTokenException))
{
	$athena->clear_log;
	$athena->fault(operation => '*', times => undef, error => $code, message => 'No.');
	my $error = $athena->query_error($batch, array(ids(100)));
	$athena->clear_faults;
	is("$error->{sqlstate} $error->{message}", '28000 Athena GetCalculationExecutionStatus failed: No.', "$code raises");
	is((detail_keys($error))[0], 'exception', 'with its DETAIL');
	cmp_ok(scalar($athena->requests), '<', 100, 'without asking for the others');

	# What was under way is dropped, and nothing of it is kept: as many as before can be sent at once.
	$athena->clear_log;
	answer_all(delay => patient(0.5));
	$athena->query($batch, array(ids(64)));
	$athena->clear_faults;
	is($athena->request_log->{max_in_flight}, 32, 'and the next batch is as fast as any');
}
for my $setting ([ access_key_id => '28000' ], [ secret_access_key => '28000' ], [ region => '55000' ])
{
	my ($name, $sqlstate) = @$setting;

	$athena->query("SET athena_calc.$name = ''");
	is($athena->query_error($batch, array(ids(3)))->{sqlstate}, $sqlstate, "no $name");
	$athena->query("RESET athena_calc.$name");
}

# Rows are kept until the last is there: answers that are far larger than Athena's are, are bounded together
$athena->query(q{SET athena_calc.max_response_size = '128kB'});
for my $case ([ 30, '54000' ], [ 10, '00000' ])
{
	my ($count, $sqlstate) = @$case;

	answer_all(body => '{"Status": {"State": "FAILED", "StateChangeReason": "' . 'x' x 100_000 . '"}}');
	my $error = $athena->query_error($batch, array(ids($count)));
	is($error->{sqlstate}, $sqlstate, "$count answers of 100 kB, where one may have 128");
	like($error->{message}, qr/^the answers together are longer than 16 times/, $error->{message}) if $sqlstate ne '00000';
	$athena->clear_faults;
}
$athena->query('RESET athena_calc.max_response_size');

# A cancel, and the backend goes on
$athena->query(q{SET athena_calc.request_timeout = '20s'; SET athena_calc.max_attempts = 1});
$athena->clear_log;
answer_all(hang => \1);
$athena->session_backend->send($batch, array(ids(100)));
$athena->wait_until(sub { $athena->request_log->{max_in_flight} == 32 }, '32 requests are under way');
my $began = time;
$athena->session_backend->cancel;
is($athena->session_backend->finish->{error}{sqlstate}, '57014', 'a cancel');
cmp_ok(time - $began, '<', patient(2), 'takes effect at once');
$athena->clear_faults;
is($athena->row($batch, array($id))->{state}, 'COMPLETED', 'and the next batch works');

# Few descriptors: requests wait for one, they do not fail for want of it

my $small = AthenaCalc::Test->new(name => 'small', conf => "max_files_per_process = 64\nathena_calc.max_concurrency = 1000");
$small->fault(operation => 'GetCalculationExecutionStatus', times => undef, delay => patient(0.1),
	body => '{"Status": {"State": "COMPLETED"}}');
@rows = $small->query($batch, array(ids(500)));
is(scalar(grep { defined $_->{state} } @rows), 500, 'all come with max_files_per_process = 64 and max_concurrency = 1000');
my $at_once = $small->request_log->{max_in_flight};
cmp_ok($at_once, '>=', 4,  "so many at once as there are descriptors: $at_once");
cmp_ok($at_once, '<=', 64, 'and no more');
cmp_ok(scalar($small->query('SELECT pg_ls_dir($1)', '.')), '>', 0, 'PostgreSQL has descriptors left for itself');

done_testing();
