# Nothing is started twice: all attempts of one call carry one token, and Athena starts one thing for a token.

use strict;
use warnings;

use AthenaCalc::Test;
use List::Util qw(uniq);
use Test::More;

my $athena  = AthenaCalc::Test->new;
my $session = $athena->start_session;

sub calculations
{
	return $athena->column('SELECT calculation_execution_id FROM athena_calc.list_calculation_executions($1)', $session);
}

sub sessions { return $athena->column('SELECT session_id FROM athena_calc.list_sessions()') }

sub tokens
{
	my ($operation) = @_;

	return map { $_->{members}{ClientRequestToken} } $athena->requests($operation);
}

# An answer that is lost after the start was carried out, in all the ways there are

my @losses = (
	[ 'an error of the server',       { status => 500, apply => \1 } ],
	[ 'an error it has a name for',   { status => 500, apply => \1, error => 'InternalServerException' } ],
	[ 'a gateway that gives up',      { status => 504, apply => \1, body => '<html>Gateway Timeout</html>' } ],
	[ 'throttling, of all things',    { status => 429, apply => \1, headers => { 'x-amz-retry-after' => '1' } } ],
	[ 'a connection that is closed',  { drop => 'after' } ],
	[ 'a connection that is reset',   { drop => 'after', reset => \1 } ],
	[ 'a head that is cut',           { cut => 40 } ],
	[ 'an answer that is cut',        { cut_body => 20 } ],
	[ 'a cut with a reset',           { cut_body => 20, reset => \1 } ],
	[ 'an answer that never comes',   { hang => \1, apply => \1 } ],
	[ 'an answer that comes too late', { delay => 0.6 } ],
	[ 'two losses',                   { drop => 'after', times => 2 } ]);

$athena->query(q{SET athena_calc.request_timeout = '300ms'});
for my $loss (@losses)
{
	my ($name, $fault) = @$loss;
	my $attempts = 1 + ($fault->{times} // 1);
	my @before = calculations();

	$athena->clear_log;
	$athena->fault(operation => 'StartCalculationExecution', %$fault);
	my $id = $athena->start_calculation($session, 'print(1)');
	my @tokens = tokens('StartCalculationExecution');

	is(@tokens, $attempts, "$name: the start is tried again");
	is(uniq(@tokens), 1, 'with the same token');
	uuid_like($tokens[0], 'the token');
	is_deeply([ calculations() ], [ $id, @before ], 'there is one calculation, and its ID is known');
	$athena->wait_for($id);
	$athena->wait_for_session($session, 'IDLE');

	@before = sessions();
	$athena->clear_log;
	$athena->fault(operation => 'StartSession', %$fault);
	my $started = $athena->value('SELECT session_id FROM athena_calc.start_session(description => $1)', $name);
	is(uniq(tokens('StartSession')), 1, 'so it is with sessions');
	is_deeply([ sessions() ], [ $started, @before ], 'one is there');

	$athena->clear_log;
	$athena->fault(operation => 'StartSession', %$fault);
	$athena->query(q{SELECT athena_calc.invoke('StartSession', '{"WorkGroup": "primary", "EngineConfiguration": {}}')});
	is(tokens('StartSession'), $attempts, 'and with invoke, tried again');
	is(uniq(tokens('StartSession')), 1, 'with the same token');
}
is($athena->value(q{SELECT count(*) FROM athena_calc.list_sessions('primary')}), scalar(@losses), 'each of them once');
$athena->query('RESET athena_calc.request_timeout');

# Where all attempts are lost, nobody knows; with the same token one can ask again

my $token = 'a token of ours, of some length, 1';
my $start = 'SELECT calculation_execution_id FROM athena_calc.start_calculation_execution($1, $2, client_request_token => $3)';
my @before = calculations();
$athena->fault(operation => 'StartCalculationExecution', status => 500, apply => \1, times => 3);
is($athena->query_error($start, $session, 'print(2)', $token)->{sqlstate}, '58000', 'all attempts are lost');
my $id = $athena->value($start, $session, 'print(2)', $token);
is_deeply([ calculations() ], [ $id, @before ], 'asked again with its token, the one calculation is there');
is_deeply([ uniq(tokens('StartCalculationExecution'))]->[-1], $token, 'the token is sent as it was given');
$athena->wait_for($id);
is($athena->value($start, $session, 'print(2)', $token), $id, 'and again, when it has ended');
is($athena->query_error($start, $session, 'print(3)', $token)->{sqlstate}, '22023', 'a token stands for one code only');

$token = 'a token of ours, of some length, 2';
my $start_session = 'SELECT session_id FROM athena_calc.start_session(client_request_token => $1)';
is($athena->value($start_session, $token), $athena->value($start_session, $token), 'so it is with sessions');

# Calls are told apart

$athena->clear_log;
$athena->wait_for($athena->start_calculation($session, 'print(4)')), $athena->wait_for_session($session, 'IDLE')
  for 1 .. 3;
is(uniq(tokens('StartCalculationExecution')), 3, 'calls with the same code have tokens of their own');
$athena->clear_log;
$athena->query(q{SELECT s.session_id FROM generate_series(1, 3) i, athena_calc.start_session(description => i::text) s});
is(uniq(tokens('StartSession')), 3, 'also in one statement');

# A refusal is none: the next call is another

$athena->clear_log;
$athena->fault(operation => 'StartCalculationExecution', error => 'InvalidRequestException', message => 'No.');
is($athena->query_error('SELECT athena_calc.start_calculation_execution($1, $2)', $session, '5')->{sqlstate},
	'22023', 'a start that is refused');
is(tokens('StartCalculationExecution'), 1, 'is not tried again');

# ROLLBACK takes nothing back

@before = calculations();
$athena->query('BEGIN');
$id = $athena->start_calculation($session, 'print(6)');
$athena->query('ROLLBACK');
is_deeply([ calculations() ], [ $id, @before ], 'a start stays after ROLLBACK');

done_testing();
