# Many requests as streams of one connection, where the server offers HTTP/2: who finds that out, who waits for it, and what becomes
# of requests that are lost together.

use strict;
use warnings;

use AthenaCalc::Front;
use AthenaCalc::Test;
use List::Util qw(uniq);
use Test::More;
use Time::HiRes qw(sleep time);

my $lack = AthenaCalc::Front->lack;
plan skip_all => $lack if $lack;

my $athena  = AthenaCalc::Test->new;
my $session = $athena->start_session;
my $done    = $athena->run($session, 'print(6 * 7)');
my $status  = 'SELECT state, error_code, error_message FROM athena_calc.batch_get_calculation_execution_status($1)';

# A backend that asks this front.
sub backend
{
	my ($front, %settings) = @_;
	my $db = $athena->connect;

	%settings = (
		endpoint_url    => $front->url,
		ca_bundle       => $front->authority,
		max_concurrency => 50,
		connect_timeout => patient(3) . 's',
		request_timeout => patient(30) . 's',
		%settings);
	$db->query("SET athena_calc.$_ = '$settings{$_}'") foreach sort keys %settings;
	return $db;
}

# Asks for a calculation so many times at once: how often each outcome came.
sub outcomes
{
	my ($db, $count) = @_;
	my %outcomes;

	$outcomes{ $_->{state} // "$_->{error_code}: $_->{error_message}" }++
	  foreach $db->query($status, '{' . join(',', ($done) x $count) . '}');
	return \%outcomes;
}

# Of so many requests, how many were made by each version, and over how many connections.
sub versions
{
	my ($front, $count) = @_;
	my %versions;

	$versions{ $_->{version} }++ foreach $front->requests($count);
	return \%versions;
}

sub connections { return scalar uniq map { $_->{connection} } $_[0]->requests($_[1]) }

# 1. It is learned without waiting for it, and known to all backends

my $front = AthenaCalc::Front->new($athena->emulator);
my $db = backend($front);
is_deeply(outcomes($db, 50), { COMPLETED => 50 }, 'the first batch');
is_deeply(versions($front, 50), { 'HTTP/1.1' => 49, 'HTTP/2.0' => 1 }, 'one of its requests offers HTTP/2');
$db->close;

$front->clear_log;
$db = backend($front);
is_deeply(outcomes($db, 50), { COMPLETED => 50 }, 'a batch of another backend');
is_deeply(versions($front, 50), { 'HTTP/2.0' => 50 }, 'is sent by HTTP/2');
is(connections($front, 50), 1, 'over one connection');
is_deeply(outcomes($db, 300), { COMPLETED => 300 }, 'a larger one');
is(connections($front, 350), 1, 'over the same');
$db->close;

$front->clear_log;
$db = backend($front);
is($db->value('SELECT state FROM athena_calc.get_calculation_execution_status($1)', $done), 'COMPLETED', 'a single call') for 1 .. 2;
is_deeply(versions($front, 2), { 'HTTP/1.1' => 2 }, 'is sent by HTTP/1.1');
is_deeply(outcomes(backend($front, max_concurrency => 1), 3), { COMPLETED => 3 }, 'a batch of one at a time');
is_deeply(versions($front, 5), { 'HTTP/1.1' => 5 }, 'is, too');
is_deeply(outcomes($db, 50), { COMPLETED => 50 }, 'a batch behind single calls');
is($db->value('SELECT state FROM athena_calc.get_calculation_execution_status($1)', $done), 'COMPLETED', 'a single call behind a batch');
$db->close;

# Where the library is not preloaded, each backend learns it for itself.
my $late = AthenaCalc::Test->new(name => 'late', preload => 0, settings => { secret_access_key => undef });
my $behind = AthenaCalc::Front->new($late->emulator);
for my $round (1 .. 2)
{
	$behind->clear_log;
	$late->with(secret_access_key => AthenaCalc::Test::SECRET_KEY, endpoint_url => $behind->url, ca_bundle => $behind->authority,
		connect_timeout => patient(3) . 's');
	is($late->value(q{SELECT count(error_code) FROM athena_calc.batch_get_calculation_execution_status(array_fill('nobody'::text, ARRAY[10]))}),
		10, "not preloaded, backend $round");
	my $versions = versions($behind, 10);
	# Where sending takes longer than an answer, as under a tool, those that are sent behind it know it already.
	my $knowing = patient(1) > 1 ? $versions->{'HTTP/2.0'} // 0 : 1;
	is_deeply({ 'HTTP/1.1' => 0, %$versions }, { 'HTTP/1.1' => 10 - $knowing, 'HTTP/2.0' => $knowing || 1 }, 'its first batch finds out');
}

# 2. A server that has none

my $plain = AthenaCalc::Front->new($athena->emulator, '', http2 => 0);
for my $round (1 .. 2)
{
	$plain->clear_log;
	$db = backend($plain);
	is_deeply(outcomes($db, 50), { COMPLETED => 50 }, "without HTTP/2, $round");
	is_deeply(versions($plain, 50), { 'HTTP/1.1' => 50 }, 'it is HTTP/1.1');
	$db->close;
}

# 3. Requests of one connection are their own

# Has a front's HTTP/2 known.
sub get_to_know
{
	my ($front) = @_;
	my $db = backend($front);

	outcomes($db, 2);
	$db->close;
	return;
}

get_to_know($front);
$db = backend($front, request_timeout => patient(3) . 's', max_attempts => 1, max_response_size => '1kB');
$athena->faults(
	{ operation => 'GetCalculationExecutionStatus', hang => \1 },
	{ operation => 'GetCalculationExecutionStatus', body => '{"x": "' . 'x' x 5000 . '"}' },
	{ operation => 'GetCalculationExecutionStatus', error => 'InvalidRequestException', message => 'refused' });
my %outcomes = %{ outcomes($db, 50) };
is($outcomes{COMPLETED}, 47, 'of fifty requests three go wrong');
is($outcomes{'InvalidRequestException: refused'}, 1, 'one is refused');
is((grep { /^Timeout: / } keys %outcomes), 1, 'one hangs');
is((grep { /^InvalidResponse: / } keys %outcomes), 1, 'one is answered with too much');
$athena->clear_faults;
get_to_know($front);
is_deeply(outcomes($db, 50), { COMPLETED => 50 }, 'and the next batch is as if nothing had been');
$db->close;

# 4. What a server allows at once, and how much of one connection

my $narrow = AthenaCalc::Front->new($athena->emulator, 'http2_max_concurrent_streams 4;');
get_to_know($narrow);
$db = backend($narrow);
is_deeply(outcomes($db, 60), { COMPLETED => 60 }, 'four streams for each connection');
$db->close;

# nginx says GOAWAY behind so many requests; those that it has not looked at are to be sent again.
my $brief = AthenaCalc::Front->new($athena->emulator, 'keepalive_requests 20;');
for my $round (1 .. 5)
{
	get_to_know($brief);
	$db = backend($brief);
	is_deeply(outcomes($db, 200), { COMPLETED => 200 }, "connections that take twenty requests, $round");
	$db->close;
}

# 5. All are lost with their connection: that is one loss, not fifty. The bucket of retries would not have enough for them.

get_to_know($front);
$db = backend($front, max_concurrency => 100);
$athena->faults({ operation => 'GetCalculationExecutionStatus', delay => 30, times => 100 });
$athena->clear_log;
$db->send($status, '{' . join(',', ($done) x 100) . '}');
$athena->wait_for_requests('GetCalculationExecutionStatus', 100);
$athena->clear_faults;
$front->break_connections;
my $result = $db->finish;
is($result->{error}, undef, 'a connection with a hundred requests is lost');
is((grep { $_->[0] eq 'COMPLETED' } @{ $result->{rows} }), 100, 'and all are sent again');
$db->close;

# 6. Canceled in its midst

get_to_know($front);
$db = backend($front);
$athena->faults({ operation => 'GetCalculationExecutionStatus', delay => 30, times => 50 });
$athena->clear_log;
$db->send($status, '{' . join(',', ($done) x 50) . '}');
$athena->wait_for_requests('GetCalculationExecutionStatus', 50);
my $begun = time;
$db->cancel;
is($db->finish->{error}{sqlstate}, '57014', 'a batch is canceled');
cmp_ok(time - $begun, '<', patient(1), 'at once');
$athena->clear_faults;
is_deeply(outcomes($db, 50), { COMPLETED => 50 }, 'the next one is not');
is($db->value('SELECT state FROM athena_calc.get_calculation_execution_status($1)', $done), 'COMPLETED', 'nor a single call');
$db->close;

done_testing();
