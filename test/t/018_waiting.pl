# Waiting for a session, for a calculation, for a hundred: until when, how often Athena is asked, what a wait
# survives, what ends it, and who can see it.

use strict;
use warnings;
use utf8;

use AthenaCalc::Test;
use JSON::PP;
use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

# What is promised at once takes some milliseconds. The bound is for machines that are busy with something else.
use constant AT_ONCE => patient(3);

my $athena  = AthenaCalc::Test->new;
my $session = $athena->start_session;

sub new_session
{
	my ($description) = @_;

	return $athena->value('SELECT session_id FROM athena_calc.start_session(description => $1)', $description // 'a session');
}

# A calculation that runs for so many seconds, in a session of its own.
sub start_sleep
{
	my ($seconds) = @_;

	return $athena->start_calculation($athena->start_session, "import time; time.sleep($seconds)");
}

# A backend that waits, and has asked for the first time.
sub begin_wait
{
	my ($operation, $sql, @parameters) = @_;
	my $db = $athena->connect;

	$athena->clear_log;
	$db->send($sql, @parameters);
	$athena->wait_for_requests($operation);
	return $db;
}

# What a function gives, and how many seconds it took.
sub timed
{
	my ($function) = @_;
	my $since = time;
	my $result = $function->();

	return ($result, time - $since);
}

sub json { return JSON::PP->new->utf8->encode($_[0]) }

# wait_for_session: until it is IDLE

$athena->emulator_settings(session_start_seconds => 1);
my $new = new_session();
my $row = $athena->row('SELECT * FROM athena_calc.wait_for_session($1)', $new);
is_deeply([ @{$row}{qw(session_id state)} ], [ $new, 'IDLE' ], 'a session is waited for until it is IDLE');
like($row->{start_date_time}, qr/^20\d\d-/, 'the row is that of get_session_status');

$new = new_session();
$athena->query('SET athena_calc.progress = on');
$athena->query('SELECT athena_calc.wait_for_session($1)', $new);
is_deeply(
	[ $athena->notices ],
	[ map { "session $new: $_" } qw(CREATING CREATED IDLE) ],
	'with athena_calc.progress each change of state is a NOTICE');
$athena->query('RESET athena_calc.progress');
$athena->query('SELECT athena_calc.wait_for_session($1)', $new);
is_deeply([ $athena->notices ], [], 'there is none without');

my $id = $athena->start_calculation($session, 'import time; time.sleep(1)');
is($athena->value('SELECT (athena_calc.wait_for_session($1)).state', $session), 'IDLE', 'a BUSY session is waited for, too');
is($athena->wait_for($id)->{state}, 'COMPLETED', 'its calculation came to its end');

# A session that ends or is degraded

$athena->emulator_settings(session_start_seconds => 60);
for my $state (qw(DEGRADED FAILED TERMINATED))
{
	$new = new_session();
	my $db = begin_wait('GetSessionStatus', 'SELECT athena_calc.wait_for_session($1)', $new);

	$athena->emulator->force_session($new, $state, 'an executor was lost');
	my $error = $db->finish->{error};
	is($error->{sqlstate}, 'SP005', "a session that becomes $state while it is waited for");
	is($error->{message}, "session $new is $state: an executor was lost", 'the message has the state and the reason');
	$error = $athena->query_error('SELECT athena_calc.wait_for_session($1)', $new);
	is($error->{sqlstate}, 'SP005', "a session that is $state already");
}
$athena->fault(operation => 'GetSessionStatus', contains => $new, body => json({ SessionId => $new, Status => { State => 'TERMINATING' } }));
my $error = $athena->query_error('SELECT athena_calc.wait_for_session($1)', $new);
is_deeply([ @{$error}{qw(sqlstate message)} ], [ 'SP005', "session $new is TERMINATING" ], 'so is one that is about to end, without a reason');

# The time is up

$new = new_session();
($row, my $took) = timed(sub { $athena->row(q{SELECT * FROM athena_calc.wait_for_session($1, '700ms')}, $new) });
is($row->{state}, 'CREATING', 'when the time is up the row is as it stands');
cmp_ok($took, '>=', 0.7, 'not before');
cmp_ok($took, '<', 0.7 + AT_ONCE, sprintf('and not much later: %.2f s', $took));
$athena->clear_log;
is($athena->value(q{SELECT (athena_calc.wait_for_session($1, '0')).state}, $new), 'CREATING', 'no time at all is to look once');
is($athena->requests('GetSessionStatus'), 1, 'really once');
$athena->emulator_settings(session_start_seconds => 0);

# What cannot be waited for

for my $function (qw(wait_for_session wait_for_calculation))
{
	my $argument = $function eq 'wait_for_session' ? 'session_id' : 'calculation_execution_id';

	$error = $athena->query_error("SELECT athena_calc.$function(NULL)");
	is($error->{sqlstate}, '22004', "$function: NULL");
	like($error->{message}, qr/"$argument"/, 'the message names the argument');
	$error = $athena->query_error("SELECT athena_calc.$function('x', '-1s')");
	is($error->{sqlstate}, '22023', "$function: a timeout below zero");
	like($error->{message}, qr/"timeout"/, 'the message names the argument');
	($error, $took) = timed(sub { $athena->query_error("SELECT athena_calc.$function('no-such-id')") });
	is($error->{sqlstate}, '22023', "$function: an unknown ID, as Athena says it");
	cmp_ok($took, '<', AT_ONCE, 'at once');
}

# wait_for_calculation: until it has ended, in whatever state

$id = $athena->start_calculation($session, "import time; time.sleep(2); print('done')");
$athena->wait_for($id, 'RUNNING');
$athena->query('SET athena_calc.progress = on');
$row = $athena->row('SELECT * FROM athena_calc.wait_for_calculation($1)', $id);
is($row->{state}, 'COMPLETED', 'a calculation is waited for until it has ended');
is_deeply([ $athena->notices ], [ map { "calculation $id: $_" } qw(RUNNING COMPLETED) ], 'its states as NOTICEs');
is_deeply($row, $athena->row('SELECT * FROM athena_calc.get_calculation_execution($1)', $id), 'the row is that of get_calculation_execution');
$athena->query('RESET athena_calc.progress');
$athena->wait_for_session($session, 'IDLE');

$id  = $athena->start_calculation($session, "raise ValueError('no such order')");
$row = $athena->row('SELECT * FROM athena_calc.wait_for_calculation($1)', $id);
is($row->{state}, 'FAILED', 'one that fails is no error of the wait');
like($row->{state_change_reason}, qr/no such order/, 'the reason is in the row');
$athena->wait_for_session($session, 'IDLE');

$id = start_sleep(60);
my $db = begin_wait('GetCalculationExecution', 'SELECT state FROM athena_calc.wait_for_calculation($1)', $id);
$athena->query('SELECT athena_calc.stop_calculation_execution($1)', $id);
is_deeply($db->finish->{rows}, [ ['CANCELED'] ], 'one that somebody else stops');

# Athena may get states that nobody knows today. What has a completion time has ended.
my %unheard = (State => 'EVAPORATED', SubmissionDateTime => 1.7e9);
my $answer = sub { my (%more) = @_; return json({ CalculationExecutionId => 'x', Status => { %unheard, %more } }) };
$athena->faults(
	{ operation => 'GetCalculationExecution', body => $answer->(), times => 2 },
	{ operation => 'GetCalculationExecution', body => $answer->(CompletionDateTime => 1.7e9 + 1), times => undef });
$athena->clear_log;
$row = $athena->row(q{SELECT * FROM athena_calc.wait_for_calculation('x')});
is($row->{state}, 'EVAPORATED', 'an unknown state is given as it is');
is($athena->requests('GetCalculationExecution'), 3, 'it is waited for until there is a completion time');
$athena->clear_faults;

$id = start_sleep(600);
($row, $took) = timed(sub { $athena->row(q{SELECT * FROM athena_calc.wait_for_calculation($1, '700ms')}, $id) });
is($row->{state}, 'RUNNING', 'when the time is up the row is as it stands');
cmp_ok($took, '<', 0.7 + AT_ONCE, sprintf('that took %.2f s', $took));
cmp_ok($took, '>=', 0.7, 'and not less than was given');
is($athena->wait_for($id, 'RUNNING')->{state}, 'RUNNING', 'a wait that gives up stops nothing');

$athena->query(q{SET athena_calc.request_timeout = '5s'});
$athena->fault(operation => 'GetCalculationExecution', hang => \1, skip => 1);
($row, $took) = timed(sub { $athena->row(q{SELECT * FROM athena_calc.wait_for_calculation($1, '700ms')}, $id) });
cmp_ok($took, '<', 0.7 + AT_ONCE, sprintf('also while a poll has no answer: %.2f s', $took));
$athena->query('RESET athena_calc.request_timeout');
$athena->clear_faults;

# wait_for_calculations: many together

my @quick = map { $athena->run($session, "print($_)") } 1 .. 94;
my @short = map { start_sleep($_) } 0.5, 1, 1.5, 2, 2.5;
my $slow = start_sleep(5);
my @ids = (@quick, $slow, @short);
$athena->query('SET athena_calc.max_concurrency = 16');
$athena->query(q{SET athena_calc.max_poll_interval = '500ms'});
$athena->clear_log;
my @rows = $athena->query('SELECT * FROM athena_calc.wait_for_calculations($1)', '{' . join(',', @ids) . '}');
is(scalar(@rows), 100, 'a hundred calculations, one of them slow');
is_deeply([ map { $_->{calculation_execution_id} } @rows ], \@ids, 'the rows are in the order given');
is((grep { $_->{state} eq 'COMPLETED' && !defined $_->{error_code} } @rows), 100, 'all have ended');
my %asked;
$asked{ $_->{members}{CalculationExecutionId} }++ foreach $athena->requests('GetCalculationExecution');
is((grep { $asked{$_} == 1 } @quick), scalar(@quick), 'one that has ended is asked for no more');
cmp_ok($asked{$slow}, '>', 4, "the slow one is: $asked{$slow} times");
cmp_ok($asked{ $short[0] }, '<', $asked{$slow}, 'those between them less often');
cmp_ok($athena->request_log->{max_in_flight}, '<=', 16, 'no more requests at once than max_concurrency');
$athena->query("RESET athena_calc.$_") foreach qw(max_concurrency max_poll_interval);

my $wait_for_all = 'SELECT * FROM athena_calc.wait_for_calculations($1, $2)';
@rows = $athena->query($wait_for_all, "{$quick[0],no-such-id,$quick[1],$quick[0]}", undef);
is_deeply([ map { $_->{calculation_execution_id} } @rows ], [ $quick[0], 'no-such-id', @quick[ 1, 0 ] ], 'repeats have rows of their own');
is_deeply([ map { $_->{error_code} } @rows ], [ undef, 'InvalidRequestException', undef, undef ], 'what is wrong with one ID stands in its row');
like($rows[1]{error_message}, qr/no-such-id/, 'with what Athena said');
is_deeply([ map { $_->{state} } @rows ], [ 'COMPLETED', undef, 'COMPLETED', 'COMPLETED' ], 'the others are waited for all the same');
is_deeply([ $athena->query($wait_for_all, '{}', undef) ], [], 'an empty array gives no rows');
is($athena->query_error($wait_for_all, '{a,NULL}', undef)->{sqlstate}, '22004', 'an element is NULL');
is($athena->query_error($wait_for_all, undef, undef)->{sqlstate}, '22004', 'the array is');
is($athena->query_error($wait_for_all, '{{a},{b}}', undef)->{sqlstate}, '2202E', 'more than one dimension');
is($athena->query_error($wait_for_all, '{a}', '-1s')->{sqlstate}, '22023', 'a timeout below zero');
($row, $took) = timed(sub { [ $athena->query($wait_for_all, "{$id,$quick[0]}", '700ms') ] });
is_deeply([ map { $_->{state} } @$row ], [ 'RUNNING', 'COMPLETED' ], 'when the time is up the rows are as they stand');
cmp_ok($took, '<', 0.7 + AT_ONCE, sprintf('that took %.2f s', $took));

# How often Athena is asked

sub pauses
{
	my @times = map { $_->{time} } @_;

	return map { $times[$_] - $times[ $_ - 1 ] } 1 .. $#times;
}

# A busy machine makes one pause or another longer: of three waits, the shortest first pause counts, the shortest second one, ...
my @waited_for = ($id, map { start_sleep(60) } 1 .. 2);
my @waiting    = map { $athena->connect } @waited_for;
$_->query(q{SET athena_calc.max_poll_interval = '1s'}) foreach @waiting;
$athena->clear_log;
$waiting[$_]->send(q{SELECT athena_calc.wait_for_calculation($1, '8s')}, $waited_for[$_]) foreach 0 .. $#waiting;
$_->finish foreach @waiting;
my @pauses;
foreach my $calculation (@waited_for)
{
	my @seen = pauses(grep { $_->{members}{CalculationExecutionId} eq $calculation } $athena->requests('GetCalculationExecution'));

	pop @seen;    # the last one is as long as the time that was left
	$pauses[$_] = min($seen[$_], $pauses[$_] // ()) foreach 0 .. min($#seen, 5);
}
note 'pauses: ', join ' ', map { sprintf '%.3f', $_ } @pauses;
cmp_ok($pauses[0], '>', 0.19, 'the first pause is about a quarter of a second');
cmp_ok($pauses[0], '<', patient(0.6), 'and not more');
cmp_ok($pauses[2], '>', $pauses[0], 'they grow');
cmp_ok($pauses[-1], '>', 0.75, 'to max_poll_interval');
is((grep { $_ > 1 + patient(0.4) } @pauses), 0, 'and no further');
$athena->query(q{SET athena_calc.max_poll_interval = '100ms'});
$athena->clear_log;
$athena->query(q{SELECT athena_calc.wait_for_calculation($1, '2s')}, $id);
cmp_ok(scalar($athena->requests('GetCalculationExecution')), '>', 10, 'with a short max_poll_interval it is asked often from the start');

# Throttling slows a wait down and does not end it

$athena->query(q{SET athena_calc.max_poll_interval = '2s'});
my $throttled = start_sleep(3);
$athena->fault(operation => 'GetCalculationExecution', contains => $throttled, times => undef,
	error => 'ThrottlingException', message => 'Rate exceeded');
$db = $athena->connect;
$db->query(q{SET athena_calc.max_poll_interval = '2s'});
$athena->clear_log;
$db->send('SELECT state FROM athena_calc.wait_for_calculation($1)', $throttled);
sleep 10;
my $requests = () = $athena->requests('GetCalculationExecution');
cmp_ok($requests, '<', 30, "ten seconds of throttling: $requests requests");
cmp_ok(scalar($athena->wait_for_requests('GetCalculationExecution', 4)), '>', 3, 'it goes on asking');
$athena->clear_faults;
is_deeply($db->finish->{rows}, [ ['COMPLETED'] ], 'then the answer is there');

$athena->fault(operation => '*', times => undef, error => 'ThrottlingException', message => 'Rate exceeded');
for my $wait ([ 'wait_for_calculation', $throttled ], [ 'wait_for_session', $session ])
{
	($error, $took) = timed(sub { $athena->query_error("SELECT athena_calc.$wait->[0](\$1, '3s')", $wait->[1]) });
	is($error->{sqlstate}, '53400', "$wait->[0]: nothing but throttling until the time is up");
	cmp_ok($took, '<', patient(3 + 5), sprintf('%.1f s', $took));
	cmp_ok($took, '>=', 3, 'not before');
}
$athena->clear_faults;

# Trouble of the service is survived for a while

$athena->reconnect;
$athena->query(q{SET athena_calc.max_poll_interval = '1s'});
for my $trouble ({ status => 500 }, { drop => 'before' })
{
	$athena->fault(operation => 'GetCalculationExecution', contains => $quick[0], times => 7, %$trouble);
	is($athena->value('SELECT (athena_calc.wait_for_calculation($1)).state', $quick[0]), 'COMPLETED', 'wait_for_calculation survives trouble: ' . join ' ', %$trouble);
	$athena->fault(operation => 'GetSessionStatus', contains => $session, times => 7, %$trouble);
	is($athena->value('SELECT (athena_calc.wait_for_session($1)).state', $session), 'IDLE', 'so does wait_for_session');
	$athena->fault(operation => 'GetCalculationExecution', contains => $quick[0], times => 7, %$trouble);
	is_deeply([ map { $_->{state} } $athena->query($wait_for_all, "{$quick[0],$quick[1]}", undef) ],
		[ 'COMPLETED', 'COMPLETED' ], 'and wait_for_calculations, where it concerns one ID only');
}
$athena->query(q{SET athena_calc.max_poll_interval = '250ms'});
$athena->fault(operation => 'GetCalculationExecution', contains => $quick[0], times => undef, status => 500);
($error, $took) = timed(sub { $athena->query_error('SELECT athena_calc.wait_for_calculation($1)', $quick[0]) });
is($error->{sqlstate}, '58000', 'trouble without an end is an error');
cmp_ok($took, '>=', 1, 'after some of the longest pauses');
cmp_ok($took, '<', patient(15), sprintf('not for ever: %.1f s', $took));
@rows = $athena->query($wait_for_all, "{$quick[0],$quick[1]}", undef);
is_deeply([ map { $_->{state} } @rows ], [ undef, 'COMPLETED' ], 'of many, it is the error of the one that has it');
like($rows[0]{error_message}, qr/500/, $rows[0]{error_message});
$athena->clear_faults;

# The longer a wait has gone well, the longer a trouble it survives: eight looks take longer than four of the longest pauses, and are
# less than a tenth of some hundred.
$athena->reconnect;
$athena->query(q{SET athena_calc.max_poll_interval = '50ms'; SET athena_calc.max_attempts = 1});
my $long = start_sleep(20);
$athena->clear_log;
$athena->fault(operation => 'GetCalculationExecution', contains => $long, skip => 160, times => 8, status => 500);
is($athena->value('SELECT (athena_calc.wait_for_calculation($1)).state', $long), 'COMPLETED', 'a long wait survives more trouble than a short one');
is(scalar(grep { $_->{status} == 500 } $athena->requests('GetCalculationExecution')), 8, 'which there was');

# Trouble ends with an answer, and with throttling, which is borne for as long as there is time: each is counted from its beginning.
my %trouble = (status => 500);
my %throttled = (error => 'ThrottlingException', message => 'Rate exceeded');
my $soon = $athena->connect;
$soon->query("SET athena_calc.$_") foreach 'max_attempts = 1', q{max_poll_interval = '250ms'};
$athena->emulator_settings(session_start_seconds => patient(4));
my $slow_session = new_session();
$athena->emulator_settings(session_start_seconds => 0);
$athena->clear_log;
$athena->faults(map { { operation => 'GetSessionStatus', contains => $slow_session, %trouble, skip => $_ } } 0, 9);
is($soon->value('SELECT (athena_calc.wait_for_session($1)).state', $slow_session), 'IDLE', 'a session is waited for, with trouble twice');
is(scalar(grep { $_->{status} == 500 } $athena->requests('GetSessionStatus')), 2, 'which there was');
my ($first, $second) = map { start_sleep(60) } 1 .. 2;
my $busy = $athena->value('SELECT session_id FROM athena_calc.get_calculation_execution($1)', $first);
for my $wait (
	[ 'GetCalculationExecution', "SELECT (athena_calc.wait_for_calculation('$first', '5s')).state", 'RUNNING' ],
	[ 'GetCalculationExecution', "SELECT state FROM athena_calc.wait_for_calculations('{$first}', '5s')", 'RUNNING' ],
	[ 'GetSessionStatus', "SELECT (athena_calc.wait_for_session('$busy', '5s')).state", 'BUSY' ])
{
	my ($operation, $sql, $state) = @$wait;

	$athena->clear_log;
	$athena->faults(map { { operation => $operation, %$_ } } \%trouble, { %throttled, times => 6 }, \%trouble);
	is($soon->value($sql), $state, 'trouble, throttling for longer than that is borne, trouble: ' . $sql =~ s/\(.*//r);
	is(scalar(grep { $_->{status} == 500 } $athena->requests($operation)), 2, 'it was there before and after');
	$athena->clear_faults;
}
my $limit = min(patient(10), 60);
for my $ids ("{$first,$second}", "{$second,$first}")
{
	$athena->faults({ operation => 'GetCalculationExecution', contains => $first, times => undef, %throttled },
		{ operation => 'GetCalculationExecution', contains => $second, times => undef, %trouble });
	$athena->clear_log;
	$soon->query('SELECT * FROM athena_calc.wait_for_calculations($1, $2)', $ids, "${limit}s");
	my @asked = grep { $_->{members}{CalculationExecutionId} eq $second } $athena->requests('GetCalculationExecution');
	cmp_ok($asked[-1]{time} - $asked[0]{time}, '<', $limit / 2, 'the trouble of one is given up beside the throttling of another');
	$athena->clear_faults;
}
is($soon->value(q{SELECT (athena_calc.wait_for_session($1, '170000000 years')).state}, $athena->start_session), 'IDLE', 'a time-out beyond all time');

# Waits that own nothing end at once, and stop nothing

$athena->emulator_settings(session_start_seconds => 60);
my $starting = new_session('starting');
$athena->emulator_settings(session_start_seconds => 0);
for my $wait (
	[ 'wait_for_session',      'GetSessionStatus',        $starting ],
	[ 'wait_for_calculation',  'GetCalculationExecution', $id ],
	[ 'wait_for_calculations', 'GetCalculationExecution', "{$id}" ],
	[ 'acquire_session',       'GetSessionStatus',        'starting' ])
{
	my ($function, $operation, $argument) = @$wait;

	for my $hang (0, 1)
	{
		my $what = $function . ($hang ? ', no answer' : ', between two polls');

		$athena->fault(operation => $operation, times => undef, hang => \1) if $hang;
		$db = begin_wait($operation, "SELECT athena_calc.$function(\$1)", $argument);
		sleep 0.1;
		my $since = time;
		$db->cancel;
		$error = $db->finish->{error};
		cmp_ok(time - $since, '<', AT_ONCE, sprintf('%s, canceled: %.1f ms', $what, (time - $since) * 1000));
		is($error->{message}, 'canceling statement due to user request', 'in the words of PostgreSQL');
		is($error->{detail}, undef, 'there is nothing to tell of');
		is($db->value('SELECT 1'), 1, 'the backend goes on');
		$athena->clear_faults;
	}

	$db = begin_wait($operation, "SET statement_timeout = '500ms'; SELECT athena_calc.$function('$argument')");
	is($db->finish->{error}{message}, 'canceling statement due to statement timeout', "$function, statement_timeout");
	$db = begin_wait($operation, "SELECT athena_calc.$function(\$1)", $argument);
	my $since = time;
	$athena->query('SELECT pg_terminate_backend($1)', $db->pid);
	is($db->finish->{error}{sqlstate}, '57P01', "$function, terminated");
	cmp_ok(time - $since, '<', AT_ONCE, sprintf('%.1f ms', (time - $since) * 1000));
	is_deeply([ grep { $_->{operation} =~ /^(Stop|Terminate|Start)/ } $athena->requests ], [], 'nothing is stopped');
}
is($athena->wait_for($id, 'RUNNING')->{state}, 'RUNNING', 'the calculation goes on');
isnt($athena->value('SELECT state FROM athena_calc.get_session_status($1)', $starting), 'TERMINATED', 'so does the session');

# athena_calc.activity: who waits for what

sub activity
{
	my ($viewer) = @_;

	return $viewer->query('SELECT *, since BETWEEN now() - interval $$1 minute$$ AND clock_timestamp() AS is_recent FROM athena_calc.activity ORDER BY since');
}

# What another backend sees of one that waits.
sub see
{
	my ($waiting, $viewer) = @_;
	my @seen;

	$athena->wait_until(sub { @seen = grep { $_->{pid} == $waiting->pid } activity($viewer // $athena->session_backend); return @seen }, 'it is seen');
	return $seen[0];
}

sub is_gone
{
	my ($waiting, $name) = @_;

	return is((grep { $_->{pid} == $waiting->pid } activity($athena->session_backend)), 0, $name);
}

$athena->query($_) foreach 'CREATE ROLE worker LOGIN', 'CREATE ROLE watcher LOGIN IN ROLE pg_read_all_stats', 'CREATE ROLE stranger LOGIN',
  'CREATE DATABASE warehouse', 'GRANT USAGE ON SCHEMA athena_calc TO PUBLIC', 'GRANT EXECUTE ON ALL ROUTINES IN SCHEMA athena_calc TO worker';
is_deeply([ activity($athena->session_backend) ], [], 'nobody waits, nothing is shown');

$db = $athena->connect(user => 'worker');
$db->send('SELECT athena_calc.wait_for_calculation($1)', $id);
$athena->wait_until(sub { (see($db)->{state} // '') eq 'RUNNING' }, 'the state is seen');
my $seen = see($db);
is_deeply(
	[ @{$seen}{qw(datname usename calculation_execution_id session_id state is_recent)} ],
	[ 'postgres', 'worker', $id, undef, 'RUNNING', 't' ],
	'a backend that waits for a calculation');

my $stranger = $athena->connect(user => 'stranger');
is($stranger->error('SELECT * FROM athena_calc.activity')->{sqlstate}, '00000', 'any role may look, as at pg_stat_activity');
$athena->query('GRANT EXECUTE ON FUNCTION athena_calc.activity() TO PUBLIC');
$seen = see($db, $stranger);
is_deeply(
	[ @{$seen}{qw(datname usename calculation_execution_id session_id state since)} ],
	[ 'postgres', 'worker', undef, undef, undef, undef ],
	'another role sees that it waits, and not for what');
is(see($db, $athena->connect(user => 'watcher'))->{calculation_execution_id}, $id, 'members of pg_read_all_stats see all');
is(see($db, $athena->connect(user => 'worker'))->{calculation_execution_id}, $id, 'so does the same role');
$db->cancel;
$db->finish;
is_gone($db, 'gone after a cancel');

# While its own session is being ended, a run shows how its calculation did.
$db = $athena->connect;
$athena->fault(operation => 'TerminateSession', delay => 3);
$db->send(q{SELECT athena_calc.run_calculation('import time; time.sleep(1)')});
$athena->wait_until(sub { (see($db)->{state} // '') eq 'COMPLETED' }, 'the last state is seen');
pass('the state at the last look is shown to the end');
is($db->finish->{error}, undef, 'the run ends well');

$athena->node->safe_psql('warehouse', 'CREATE EXTENSION athena_calc');
$db = $athena->connect(dbname => 'warehouse');
$db->send('SELECT athena_calc.wait_for_session($1)', $starting);
$athena->wait_until(sub { (see($db)->{state} // '') =~ /^CREAT/ }, 'the state is seen');
$seen = see($db);
is_deeply([ @{$seen}{qw(datname calculation_execution_id session_id)} ], [ 'warehouse', undef, $starting ], 'one in another database that waits for a session');
$athena->query('SELECT pg_terminate_backend($1)', $db->pid);
$db->finish;
$athena->wait_until(sub { !grep { $_->{pid} == $db->pid } activity($athena->session_backend) }, 'the terminated backend is gone');
pass('gone with its backend');

$db = $athena->connect;
$db->send('SELECT athena_calc.wait_for_calculations($1)', "{$quick[0],$quick[1],$id}");
$athena->wait_until(sub { defined see($db)->{state} }, 'the state is seen');
is(see($db)->{state}, '2 of 3', 'of many it is told how many have ended');
$athena->query('SELECT athena_calc.stop_calculation_execution($1)', $id);
$db->finish;
is_gone($db, 'gone after the end');
for my $call (q{SELECT athena_calc.acquire_session('shown')}, "SELECT athena_calc.wait_for_session('$session')",
	q{SELECT athena_calc.run_calculation('print(1)')}, "SELECT athena_calc.run_calculation('print(1)', '$session')",
	"CALL athena_calc.run('print(1)', '$session')")
{
	$athena->wait_for_session($session, 'IDLE');
	is($db->error($call)->{sqlstate}, '00000', $call);
	is_gone($db, 'gone after that');
}

$new = $athena->start_session;
$athena->start_calculation($new, 'import time; time.sleep(60)');
$db = $athena->connect;
$db->send("DO \$\$
BEGIN
	PERFORM athena_calc.wait_for_session('$new');
EXCEPTION WHEN SQLSTATE 'SP005' THEN
	PERFORM pg_sleep(60);
END \$\$");
is(see($db)->{session_id}, $new, 'within a block');
$athena->emulator->force_session($new, 'DEGRADED', 'lost');
$athena->wait_until(sub { $athena->value(q{SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $1}, $db->pid) eq 't' }, 'the error is caught');
is_gone($db, 'gone after an error, also one that is caught');
$db->cancel;
$db->finish;

# An ID is cut between characters, and is text in every database; whoever looks may have another encoding.
$athena->query(q{CREATE DATABASE cellar ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0});
$athena->node->safe_psql('cellar', 'CREATE EXTENSION athena_calc');
$athena->fault(operation => 'GetSessionStatus', status => 500, times => undef);
for my $case ([ 'postgres', 'xx' . 'é' x 200, 'xx' . 'é' x 126 ], [ 'cellar', 'café', 'café' ])
{
	my ($database, $odd, $shown) = @$case;

	$db = $athena->connect(dbname => $database);
	$db->send('SELECT athena_calc.wait_for_session($1)', $odd);
	is(see($db)->{session_id}, $shown, "an odd ID, of $database");
	is($athena->value('SELECT upper(session_id) FROM athena_calc.activity WHERE pid = $1', $db->pid), uc $shown, 'is text');
	is(see($db, $athena->connect(dbname => 'cellar'))->{session_id}, $shown, 'in a database of LATIN1, too');
	$db->cancel;
	$db->finish;
}
$athena->clear_faults;

my $bare = AthenaCalc::Test->new(name => 'bare', preload => 0);
$error = $bare->query_error('SELECT * FROM athena_calc.activity');
is($error->{sqlstate}, '55000', 'without shared_preload_libraries there is no activity to see');
like($error->{hint}, qr/shared_preload_libraries/, $error->{hint} // '');
$bare->query("SET athena_calc.secret_access_key = '" . $bare->setting('secret_access_key') . q('));
is($bare->value('SELECT (athena_calc.wait_for_session($1)).state', $bare->start_session), 'IDLE', 'waiting works there, too');

# Whoever waits for hours needs no more memory than whoever waits for seconds.

# What a backend's memory contexts hold, in bytes, between two polls.
sub used_bytes
{
	my ($db) = @_;
	my $log = $athena->node->logfile;

	return min(map {
		my $offset = -s $log;
		my $used;
		$athena->value('SELECT pg_log_backend_memory_contexts($1)', $db->pid);
		$athena->wait_until(sub { ($used) = slurp_file($log, $offset) =~ /^.*Grand total: .*; (\d+) used$/m }, 'its memory');
		$used;
	} 1 .. 5);
}

my $endless = 'import time; time.sleep(120)';
my ($taken, $free) = map { $athena->start_session } 1 .. 2;
my $held = $athena->start_calculation($taken, $endless);
my %long = (
	'a calculation' => [ 'SELECT state FROM athena_calc.wait_for_calculation($1)', $held ],
	'calculations'  => [ 'SELECT state FROM athena_calc.wait_for_calculations(ARRAY[$1, $1, $1])', $held ],
	'a session'     => [ 'SELECT state FROM athena_calc.wait_for_session($1)', $taken ],
	'a run'         => [ 'SELECT athena_calc.run_calculation($1, $2)', $endless, $free ],
	'a turn'        => [ 'SELECT athena_calc.run_calculation($1, $2)', $endless, $taken ]);
my %backend = map { $_ => $athena->connect } keys %long;
for my $wait (keys %long)
{
	$backend{$wait}->query(q{SET athena_calc.max_poll_interval = '50ms'});
	$backend{$wait}->send(@{ $long{$wait} });
}
sleep 2;
my %used = map { $_ => used_bytes($backend{$_}) } keys %long;
my $polls = $athena->requests;
sleep 6;
cmp_ok($athena->requests - $polls, '>', 100, 'many polls later');
for my $wait (sort keys %long)
{
	my $grown = used_bytes($backend{$wait}) - $used{$wait};
	cmp_ok($grown, '<', 2000, "$wait: $grown bytes more are in use");
	$backend{$wait}->cancel;
	is($backend{$wait}->finish->{error}{sqlstate}, '57014', 'it still waited');
}

# Trouble before a start is not counted as that of the calculation that was started.

$athena->query(q{SET athena_calc.max_poll_interval = '1s'});
$athena->query(q{SET athena_calc.max_attempts = 1});
$athena->faults({ operation => 'StartCalculationExecution', status => 500, times => 6 },
	{ operation => 'GetCalculationExecution', status => 500, times => 5 });
my $since = time;
is($athena->row('SELECT * FROM athena_calc.run_calculation($1, $2)', 'print("after trouble")', $athena->start_session)->{state}, 'COMPLETED',
	'a start, and then its first polls, each in trouble for less than is borne');
cmp_ok(time - $since, '>', 4, 'but together for longer');
$athena->clear_faults;

# An Athena that is frozen, and one that is gone

my %waits = (
	'wait_for_session'     => [ 'SELECT athena_calc.wait_for_session($1)',     do { $athena->emulator_settings(session_start_seconds => 60); new_session() } ],
	'acquire_session'      => [ 'SELECT athena_calc.acquire_session($1)',      'starting' ],
	'wait_for_calculation' => [ 'SELECT athena_calc.wait_for_calculation($1)', do { $athena->emulator_settings(session_start_seconds => 0); start_sleep(600) } ]);
for my $end (
	# signal, seconds until it is noticed, SQLSTATEs
	[ 'STOP', 12, qr/^08006$/ ],
	[ 'KILL', 8,  qr/^0800[16]$/ ])
{
	my ($signal, $bound, $sqlstate) = @$end;
	my %backends;

	for my $wait (sort keys %waits)
	{
		$db = $backends{$wait} = $athena->connect;
		$db->query("SET athena_calc.$_") foreach q{max_poll_interval = '250ms'}, q{request_timeout = '500ms'};
		$db->send(@{ $waits{$wait} });
		see($db);
	}
	my $all = $athena->connect;
	$all->query("SET athena_calc.$_") foreach q{max_poll_interval = '250ms'}, q{request_timeout = '500ms'};
	$all->send('SELECT error_code FROM athena_calc.wait_for_calculations($1)', "{$waits{wait_for_calculation}[1]}");
	see($all);

	my $since = time;
	$athena->emulator->signal($signal);
	for my $wait (sort keys %waits)
	{
		like($backends{$wait}->finish->{error}{sqlstate}, $sqlstate, "$wait: the service gets a SIG$signal");
		cmp_ok(time - $since, '<', patient($bound), sprintf('%.1f s', time - $since));
	}
	like($all->finish->{rows}[0][0], qr/^(Timeout|ConnectionFailure)$/, 'wait_for_calculations: it stands in the rows');
	cmp_ok(time - $since, '<', patient($bound), sprintf('%.1f s', time - $since));
	$athena->emulator->signal('CONT');
}

done_testing();
