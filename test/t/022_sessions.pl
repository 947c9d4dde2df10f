# Sessions by name: acquire_session finds the one that is there or starts one, and two callers at once do not
# start two.

use strict;
use warnings;
use utf8;

use AthenaCalc::Test;
use JSON::PP;
use List::Util qw(uniq);
use Test::More;
use Time::HiRes qw(sleep time);

use constant AT_ONCE => patient(3);

my $athena = AthenaCalc::Test->new(emulator => [ '--work-group', 'spark', '--work-group', 'night' ]);
my $acquire = 'SELECT athena_calc.acquire_session($1)';

sub start_named
{
	my ($name, $work_group) = @_;

	return $athena->start_session(description => $name, work_group => $work_group // 'spark');
}

# A session that has something to do.
sub keep_busy
{
	my ($session) = @_;

	$athena->start_calculation($session, 'import time; time.sleep(60)');
	$athena->wait_for_session($session, 'BUSY');
	return $session;
}

sub sessions_of
{
	my ($name) = @_;

	return grep { ($_->{description} // '') eq $name } $athena->query('SELECT * FROM ' . EVERY_SESSION);
}

sub starts { return map { $_->{members} } $athena->requests('StartSession') }

# Sessions by name

my $etl = $athena->value($acquire, 'etl');
my $row = $athena->row('SELECT * FROM athena_calc.get_session($1)', $etl);
is_deeply([ @{$row}{qw(description state work_group)} ], [ 'etl', 'IDLE', 'spark' ], 'where there is none of the name, one is started and waited for');
is($athena->value($acquire, 'etl'), $etl, 'the next caller gets the same');
isnt(my $etl2 = $athena->value($acquire, 'etl 2'), $etl, 'another name is another session');
isnt($athena->value($acquire, 'ETL'), $etl, 'a name is taken as it is written');
is($athena->value($acquire, 'Müller’s, 夜 "x" \\'), $athena->value($acquire, 'Müller’s, 夜 "x" \\'), 'whatever is in it');
isnt(my $night = $athena->value('SELECT athena_calc.acquire_session($1, $2)', 'etl', 'night'), $etl, 'a name belongs to its work group');
is($athena->value('SELECT athena_calc.acquire_session($1, $2)', 'etl', 'night'), $night, 'where it is found again');
is($athena->row('SELECT * FROM athena_calc.get_session($1)', $night)->{work_group}, 'night', 'really there');
is($athena->value(q{SELECT athena_calc.acquire_session('etl', session_options => '{"work_group": "night"}')}), $night, 'the work group may be one of the options');

# Which one of several

my @same = map { start_named('several') } 1 .. 3;
keep_busy($same[0]);
$athena->emulator_settings(session_start_seconds => 2);
my $starting = $athena->value(q{SELECT session_id FROM athena_calc.start_session(description => 'several')});
$athena->emulator_settings(session_start_seconds => 0);
keep_busy($same[2]);
is($athena->value($acquire, 'several'), $same[1], 'an IDLE one comes first');
keep_busy($same[1]);
is($athena->value($acquire, 'several'), $starting, 'then one that is starting');
is($athena->value('SELECT state FROM athena_calc.get_session_status($1)', $starting), 'IDLE', 'it is waited for');
keep_busy($starting);
$athena->clear_log;
my $since = time;
ok((grep { $_ eq $athena->value($acquire, 'several') } @same, $starting), 'then a BUSY one');
cmp_ok(time - $since, '<', 2 * AT_ONCE, 'which is not waited for');
is(starts(), 0, 'nothing is started');

# Which ones are passed over

my @ended = map { start_named('nightly') } 1 .. 3;
$athena->emulator->force_session($ended[0], 'DEGRADED',   'lost');
$athena->emulator->force_session($ended[1], 'FAILED',     'lost');
$athena->emulator->force_session($ended[2], 'TERMINATED', 'expired');
my $others = start_named('nightly-2');
my $new = $athena->value($acquire, 'nightly');
is((grep { $_ eq $new } @ended, $others), 0, 'sessions that have ended or are degraded, and other names, are passed over');
is($athena->row('SELECT * FROM athena_calc.get_session($1)', $new)->{state}, 'IDLE', 'a new one is started');
is($athena->value($acquire, 'nightly'), $new, 'once');
is($athena->row('SELECT * FROM athena_calc.get_session($1)', $others)->{state}, 'IDLE', 'what has another name is not touched');
is((grep { $_->{operation} =~ /^(Terminate|Stop)/ } $athena->requests), 0, 'nothing is ended');

# Two callers at once, also of two databases

$athena->query($_) foreach 'CREATE DATABASE warehouse';
$athena->node->safe_psql('warehouse', 'CREATE EXTENSION athena_calc');
$athena->emulator_settings(session_start_seconds => 1, delay_seconds => 0.2);
$athena->clear_log;
my @callers = map { $athena->connect(dbname => $_) } ('postgres') x 4, ('warehouse') x 4;
$_->send($acquire, 'crowd') foreach @callers;
my @got = map { $_->finish->{rows}[0][0] } @callers;
is(uniq(@got), 1, 'eight callers at once get one session');
ok(defined $got[0], 'each of them');
is(starts(), 1, 'one is started');
is(sessions_of('crowd'), 1, 'and there is one');
$athena->emulator_settings(session_start_seconds => 0, delay_seconds => 0);

# A lost answer starts no second one

$athena->clear_log;
$athena->fault(operation => 'StartSession', drop => 'after', times => 2);
my $lost = $athena->value($acquire, 'lost answers');
is(sessions_of('lost answers'), 1, 'where answers are lost one session is started');
is((uniq map { $_->{ClientRequestToken} } starts()), 1, 'all attempts have one token');

# Options: the arguments of start_session by name

my %options = (
	max_concurrent_dpus             => 4,
	coordinator_dpu_size            => 1,
	default_executor_dpu_size       => 1,
	spark_properties                => { 'spark.sql.shuffle.partitions' => '4' },
	additional_configs              => { NotebookId => 'notebook-1' },
	session_idle_timeout_in_minutes => 30,
	notebook_version                => 'Athena notebook version 1',
	copy_work_group_tags            => JSON::PP::true,
	tags                            => { team => 'etl' },
	execution_role                  => undef);
my $with = 'SELECT athena_calc.acquire_session($1, session_options => $2)';
$athena->clear_log;
$athena->value($with, 'options', JSON::PP->new->encode(\%options));
my ($sent) = starts();
is_deeply(
	$sent->{EngineConfiguration},
	{
		MaxConcurrentDpus      => 4,
		CoordinatorDpuSize     => 1,
		DefaultExecutorDpuSize => 1,
		SparkProperties        => { 'spark.sql.shuffle.partitions' => '4' },
		AdditionalConfigs      => { NotebookId => 'notebook-1' }
	},
	'options of a session: numbers and maps');
is_deeply(
	[ @{$sent}{qw(SessionIdleTimeoutInMinutes NotebookVersion CopyWorkGroupTags)} ],
	[ 30, 'Athena notebook version 1', JSON::PP::true ],
	'a text, a boolean');
is_deeply($sent->{Tags}, [ { Key => 'team', Value => 'etl' } ], 'tags');
ok(!exists $sent->{ExecutionRole}, 'null leaves an option out');
$athena->clear_log;
$athena->value($with, 'no options', '{}');
is((starts())[0]{EngineConfiguration}{MaxConcurrentDpus}, 20, 'the default is that of start_session');

my $number = 0;
for my $case (
	[ '{"max_dpus": 4}',                      qr/"max_dpus"/,             'an option that there is none of' ],
	[ '{"client_request_token": "x"}',        qr/"client_request_token"/, 'the token is ours' ],
	[ '{"description": "x"}',                 qr/"description"/,          'the description is the name' ],
	[ '{"max_concurrent_dpus": "4"}',         qr/"max_concurrent_dpus"/,  'a text for a number' ],
	[ '{"max_concurrent_dpus": true}',        qr/"max_concurrent_dpus"/,  'a boolean for a number' ],
	[ '{"max_concurrent_dpus": 4.5}',         qr/"max_concurrent_dpus" must be a whole number/, 'a part of a number' ],
	[ '{"notebook_version": 1}',              qr/"notebook_version"/,     'a number for a text' ],
	[ '{"copy_work_group_tags": "yes"}',      qr/"copy_work_group_tags"/, 'a text for a boolean' ],
	[ '{"spark_properties": "x"}',            qr/"spark_properties"/,     'a text for an object' ],
	[ '{"tags": {"team": 1}}',                qr/tags/,                   'a tag that is a number' ],
	[ '[]',                                   qr/session_options/,        'an array' ],
	[ '"x"',                                  qr/session_options/,        'a text' ])
{
	my ($options, $message, $name) = @$case;

	$athena->clear_log;
	my $error = $athena->query_error($with, 'refused ' . ++$number, $options);
	is($error->{sqlstate}, '22023', "$name is refused: $options");
	like($error->{message}, $message, $error->{message});
	is($athena->requests, 0, 'before anything is sent') unless $name eq 'a tag that is a number';
	is(starts(), 0, 'nothing is started');
}
is($athena->query_error($with, 'refused', '{"max_concurrent_dpus": 12345678901}')->{sqlstate}, '22023', 'a number that is too large');
is($athena->query_error(q{SELECT athena_calc.acquire_session('x', 'spark', '{"work_group": "night"}')})->{sqlstate}, '22023', 'two work groups');
like($athena->query_error($with, 'refused', '{"max_dpus": 4}')->{hint}, qr/start_session/, 'the HINT says where the options are');
is($athena->query_error($acquire, undef)->{sqlstate}, '22004', 'no name');
is($athena->query_error($acquire, '')->{sqlstate}, '22023', 'an empty name');
is($athena->query_error(q{SELECT athena_calc.acquire_session('x', timeout => '-1s')})->{sqlstate}, '22023', 'a timeout below zero');
is($athena->query_error('SELECT athena_calc.acquire_session($1, $2)', 'x', 'no-such-group')->{sqlstate}, '22023', 'an unknown work group');

# The time is up; a session that fails to start

$athena->emulator_settings(session_start_seconds => 60);
$since = time;
$starting = $athena->value(q{SELECT athena_calc.acquire_session('slow', timeout => '700ms')});
cmp_ok(time - $since, '<', 0.7 + 2 * AT_ONCE, sprintf('a session that takes long to start is given as it is: %.2f s', time - $since));
cmp_ok(time - $since, '>=', 0.7, 'when the time is up');
is($athena->value(q{SELECT athena_calc.acquire_session('slow', timeout => '100ms')}), $starting, 'the next caller gets the same');

my $db = $athena->connect;
$athena->clear_log;
$db->send($acquire, 'fails');
$athena->wait_for_requests('GetSessionStatus');
my ($failing) = sessions_of('fails');
$athena->emulator->force_session($failing->{session_id}, 'FAILED', 'no capacity');
my $error = $db->finish->{error};
is($error->{sqlstate}, 'SP005', 'a session that fails to start');
is($error->{message}, "session $failing->{session_id} is FAILED: no capacity", 'the message has the reason');
$athena->emulator_settings(session_start_seconds => 0);
isnt($athena->value($acquire, 'fails'), $failing->{session_id}, 'the next caller gets another');

# A new one that comes up without a healthy coordinator is of no use to anybody; one that was found is its owner's.
$athena->emulator_settings(session_start_seconds => 60);
for my $is_new (1, 0)
{
	my $name = $is_new ? 'degraded' : 'degraded before';

	$athena->value('SELECT athena_calc.start_session(description => $1)', $name) unless $is_new;
	$athena->clear_log;
	$db->send($acquire, $name);
	$athena->wait_for_requests('GetSessionStatus');
	my ($degraded) = sessions_of($name);
	$athena->emulator->force_session($degraded->{session_id}, 'DEGRADED', 'no coordinator');
	$error = $db->finish->{error};
	is("$error->{sqlstate} $error->{message}", "SP005 session $degraded->{session_id} is DEGRADED: no coordinator", 'a session that is degraded');
	is(scalar($athena->requests('TerminateSession')), $is_new, $is_new ? 'which was new, is terminated' : 'which was there, is left');
}
$athena->fault(operation => 'TerminateSession', error => 'AccessDeniedException', message => 'not allowed');
$athena->clear_log;
$db = $athena->connect;
$db->send($acquire, 'lives on');
$athena->wait_for_requests('GetSessionStatus');
$athena->emulator->force_session((sessions_of('lives on'))[0]{session_id}, 'DEGRADED', 'no coordinator');
$error = $db->finish->{error};
is($error->{detail}, 'It could not be terminated: not allowed', 'a new one that cannot be terminated is told of');
like($error->{hint}, qr/^Terminate it with /, $error->{hint});
$athena->emulator_settings(session_start_seconds => 0);

# Whoever waits for the turn of another backend: a timeout, a cancel, the end of the other one

sub hold_the_turn
{
	my ($name) = @_;
	my $holder = $athena->connect;

	$athena->clear_log;
	$athena->fault(operation => 'StartSession', contains => $name, hang => \1);
	$holder->send($acquire, $name);
	$athena->wait_for_requests('StartSession');
	return $holder;
}

my $holder = hold_the_turn('turn');
$error = $athena->query_error(q{SELECT athena_calc.acquire_session('turn', timeout => '500ms')});
is($error->{sqlstate}, 'SP003', 'another backend is at it until the time is up');
like($error->{message}, qr/"turn"/, $error->{message});
$db = $athena->connect;
$db->send($acquire, 'turn');
sleep 0.3;
$since = time;
$db->cancel;
is($db->finish->{error}{message}, 'canceling statement due to user request', 'whoever waits for that can be canceled');
cmp_ok(time - $since, '<', AT_ONCE, sprintf('%.1f ms', (time - $since) * 1000));
$db->send($acquire, 'turn');
sleep 0.1;
$holder->cancel;
is($holder->finish->{error}{message}, 'canceling statement due to user request', 'so can the one that is at it');
my $turn = $db->finish->{rows}[0][0];
is($athena->value('SELECT state FROM athena_calc.get_session_status($1)', $turn), 'IDLE', 'then it is the turn of the one that waits');
is(sessions_of('turn'), 1, 'and there is one session');

$holder = hold_the_turn('turn 2');
$athena->query('SELECT pg_terminate_backend($1)', $holder->pid);
$holder->finish;
ok(defined $athena->value($acquire, 'turn 2'), 'a backend that is terminated gives its turn away');
$holder = hold_the_turn('turn 3');
ok(defined $athena->value($acquire, 'not turn 3'), 'other names need not wait');
$holder->cancel;
$holder->finish;
$athena->clear_faults;
$athena->fault(operation => 'StartSession', error => 'AccessDeniedException', message => 'No.');
is($athena->query_error($acquire, 'turn 4')->{sqlstate}, '42501', 'one that is refused');
is($athena->value('SELECT count(*) FROM pg_locks WHERE locktype = $$advisory$$'), '0', 'no lock is left behind');
$athena->query('BEGIN');
ok(defined $athena->value($acquire, 'turn 4'), 'in a transaction');
is($athena->connect->error(q{SELECT athena_calc.acquire_session('turn 4', timeout => '5s')})->{sqlstate}, '00000', 'the turn is over before its end');
$athena->query('ROLLBACK');

# Whoever pauses because Athena throttles keeps nobody from the name: his account may be another one. It is seen that he waits.
$holder = $athena->connect;
$holder->query(q{SET athena_calc.max_poll_interval = '1h'});
for my $operation ('StartSession', 'ListSessions')
{
	$athena->fault(operation => $operation, error => 'TooManyRequestsException', message => 'Rate exceeded', times => undef);
	$athena->clear_log;
	$holder->send($acquire, "throttled $operation");
	$athena->wait_until(sub { $athena->value('SELECT count(*) FROM athena_calc.activity WHERE pid = $1', $holder->pid) }, 'it is seen that it waits');
	is($athena->value('SELECT count(*) FROM pg_locks WHERE locktype = $$advisory$$'), 0, 'without a lock');
	$athena->clear_faults;
	is($athena->connect->error(qq{SELECT athena_calc.acquire_session('throttled $operation', timeout => '10s')})->{sqlstate}, '00000', "others get a session while one pauses: $operation");
	$holder->cancel;
	$holder->finish;
	is(sessions_of("throttled $operation"), 1, 'there is one session');
}

# A name and a work group the other way round are another session.
$holder = hold_the_turn('night');
ok(defined $athena->connect->value('SELECT athena_calc.acquire_session($1, $2)', $athena->setting('work_group'), 'night'), 'a work group by the name of a session');
$holder->cancel;
$holder->finish;
$athena->clear_faults;

# Throttling, and trouble for a while

$athena->query(q{SET athena_calc.max_poll_interval = '1s'});
for my $operation ('StartSession', 'ListSessions')
{
	for my $trouble ({ error => 'TooManyRequestsException', message => 'Rate exceeded' }, { status => 500 })
	{
		$athena->fault(operation => $operation, times => 5, %$trouble);
		ok(defined $athena->value($acquire, 'trouble ' . ++$number), "survived of $operation: " . join ' ', %$trouble);
		is(sessions_of("trouble $number"), 1, 'one session is started');
	}
}

# A list that has no answer in time is not an empty one: nothing is started.
$athena->fault(operation => 'ListSessions', hang => \1, times => undef);
is($athena->query_error(q{SELECT athena_calc.acquire_session('no list', timeout => '500ms')})->{sqlstate},
	'08006', 'a list without an answer in time');
$athena->clear_faults;
is(sessions_of('no list'), 0, 'starts no session');

# Nor is one started when the time is up while there is no room.
$athena->fault(operation => 'StartSession', error => 'TooManyRequestsException', message => 'Rate exceeded', times => undef);
$error = $athena->query_error(q{SELECT athena_calc.acquire_session('no room', timeout => '500ms')});
is("$error->{sqlstate} $error->{message}", 'SP003 timed out: no session could be started: Rate exceeded', 'no room in time');
$athena->clear_faults;
is(sessions_of('no room'), 0, 'starts no session');

# A quota that is used up is told at once: waiting mends nothing.
$athena->fault(operation => 'StartSession', error => 'TooManyRequestsException', message => 'Maximum allowed sessions', times => undef);
$since = time;
$error = $athena->query_error($acquire, 'quota');
is($error->{sqlstate}, '53400', 'a quota that is used up');
like($error->{hint}, qr/Terminate sessions/, 'with what to do');
cmp_ok(time - $since, '<', patient(15), 'is no throttling to wait for');
$athena->clear_faults;

# What is left of the time for a session is its own: what comes behind it has the time of any call.
my $later = $athena->connect;
is($later->error(q{SELECT athena_calc.acquire_session('etl', timeout => '300ms')})->{sqlstate}, '00000', 'a session is found in a short time');
sleep 1.5;
is($later->error('SELECT count(*) FROM athena_calc.list_sessions()')->{sqlstate}, '00000', 'which is not that of the next statement');

done_testing();
