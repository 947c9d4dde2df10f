# run_calculation: a calculation from its code to its end in one statement; in which session, with which code, how it
# fails, and what it leaves behind: nothing.

use strict;
use warnings;
use utf8;

use AthenaCalc::Test;
use Encode qw(encode);
use JSON::PP;
use List::Util qw(uniq);
use Test::More;
use Time::HiRes qw(sleep time);

use constant {
	AT_ONCE => patient(3),
	BUSY    => 'Session is in the BUSY state; needs to be IDLE to accept Calculations.'
};

my $athena  = AthenaCalc::Test->new(emulator => [ '--create-bucket', 'elsewhere:eu-west-1', '--create-bucket', 'moved:eu-west-1' ]);
my $session = $athena->start_session(description => 'by hand');
my $json    = JSON::PP->new->utf8->canonical->allow_nonref;

sub run
{
	my ($arguments, @parameters) = @_;

	return $athena->row("SELECT * FROM athena_calc.run_calculation($arguments)", @parameters);
}

sub run_error
{
	my ($arguments, @parameters) = @_;

	return $athena->query_error("SELECT * FROM athena_calc.run_calculation($arguments)", @parameters);
}

sub stdout { return $athena->value('SELECT athena_calc.calculation_stdout($1)', $_[0]{calculation_execution_id}) }

# What a run prints.
sub printed { return stdout(run(@_)) }

# The sessions that runs started for themselves.
sub own_sessions
{
	return $athena->query('SELECT * FROM ' . EVERY_SESSION . q{ WHERE description = 'athena_calc.run_calculation'});
}

# Passes when each session that a run started for itself has ended.
sub nothing_is_left
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$athena->wait_until(sub { !grep { $_->{state} eq 'TERMINATING' } own_sessions() }, 'sessions are terminated');
	return is_deeply([ grep { $_->{state} !~ /^(TERMINATED|FAILED)$/ } own_sessions() ], [], $name);
}

# A run in a backend of its own that has started its calculation; the backend, the calculation, and its session.
sub begin_run
{
	my ($arguments, @parameters) = @_;
	my $db = $athena->connect;

	$athena->clear_log;
	$db->send("SELECT * FROM athena_calc.run_calculation($arguments)", @parameters);
	my ($first) = $athena->wait_for_requests('GetCalculationExecution');
	my $id = $first->{members}{CalculationExecutionId};
	return ($db, $id, $athena->value('SELECT session_id FROM athena_calc.get_calculation_execution($1)', $id));
}

# In a session that is given

my $row = run(q{'print(6 * 7)', session_id => $1, description => 'the answer'}, $session);
is_deeply([ @{$row}{qw(state session_id description)} ], [ 'COMPLETED', $session, 'the answer' ], 'a calculation in a session that is given');
is(stdout($row), "42\n", 'what it printed');
is_deeply($row, $athena->row('SELECT * FROM athena_calc.get_calculation_execution($1)', $row->{calculation_execution_id}), 'the row is that of get_calculation_execution');
is($athena->wait_for_session($session, 'IDLE')->{state}, 'IDLE', 'the session stays open');
is(printed(q{'x = 1', $1}, $session) . printed(q{'print(x)', $1}, $session), "1\n", 'its variables too');
$athena->clear_log;
$athena->row('SELECT (athena_calc.run_calculation($$print(1)$$, $1)).*', $session);
is($athena->requests('StartCalculationExecution'), 1, '(run_calculation()).* starts one calculation');

# In one of a name

$row = run(q{'print(1)', session_name => 'hourly', session_options => '{"max_concurrent_dpus": 4}'});
my $hourly = $row->{session_id};
is($athena->row('SELECT * FROM athena_calc.get_session($1)', $hourly)->{description}, 'hourly', 'a session of that name is started');
is($athena->row('SELECT * FROM athena_calc.get_session($1)', $hourly)->{max_concurrent_dpus}, 4, 'with its options');
is($athena->wait_for_session($hourly, 'IDLE')->{state}, 'IDLE', 'it stays open');
is(run(q{'print(1)', session_name => 'hourly'})->{session_id}, $hourly, 'for the next run');
is(run_error(q{'raise ValueError', session_name => 'hourly'})->{sqlstate}, 'SP001', 'also when that fails');

# One that has ended between being found and the start is replaced.
my %ended = (operation => 'StartCalculationExecution', error => 'InvalidRequestException',
	message => 'Session is in the TERMINATED state; needs to be IDLE to accept Calculations.');
$athena->clear_log;
$athena->fault(%ended);
is(run(q{'print(1)', session_name => 'hourly'})->{state}, 'COMPLETED', 'a session that has just ended is looked for again');
my @starts = $athena->requests('StartCalculationExecution');
is(uniq(map { $_->{members}{ClientRequestToken} } @starts), 2, 'and the start in it is another one');
$athena->fault(%ended, times => undef);
is(run_error(q{'print(1)', session_name => 'hourly'})->{sqlstate}, 'SP005', 'but not for ever');
is(run_error("'print(1)', session_id => '$hourly'")->{sqlstate}, 'SP005', 'nor is one that was given');
$athena->clear_faults;
is($athena->wait_for_session($hourly, 'IDLE')->{state}, 'IDLE', 'it is left open then, too');

# Not so where the start may have been carried out: its answer was lost, and it was tried again.
{
	my $db = $athena->connect;

	$athena->clear_log;
	$athena->faults({ operation => 'StartCalculationExecution', status => 500, apply => \1, times => 2 }, \%ended);
	$db->query("SET athena_calc.$_") foreach 'max_attempts = 2', q{max_poll_interval = '200ms'};
	my $error = $db->error(q{SELECT athena_calc.run_calculation('import time; time.sleep(600)', session_name => 'hourly', timeout => '10s')});
	is($error->{sqlstate}, 'SP005', 'a start whose answer was lost is not made anew elsewhere');
	is(uniq(map { $_->{members}{ClientRequestToken} } $athena->requests('StartCalculationExecution')), 1, 'all of its attempts have one token');
	like($error->{detail}, qr/^calculation [0-9a-f-]{36}: CANCEL(ING|ED)$/m, 'and what it has started is stopped');
	$athena->clear_faults;
	$athena->wait_for_session($hourly, 'IDLE');
}
$athena->clear_log;
is(run_error("'raise ValueError', session_id => '$hourly'")->{sqlstate}, 'SP001', 'what has failed');
is_deeply([ map { scalar(() = $athena->requests("${_}CalculationExecution")) } qw(Start Stop) ], [ 1, 0 ], 'is neither started again nor stopped');

# In one of its own, which is terminated whatever happens

$athena->clear_log;
$row = run(q{'print(1)', work_group => 'primary', session_options => '{"max_concurrent_dpus": 2, "session_idle_timeout_in_minutes": 5}'});
is($row->{state}, 'COMPLETED', 'a calculation in a session of its own');
my ($started) = $athena->requests('StartSession');
is_deeply([ @{ $started->{members} }{qw(WorkGroup SessionIdleTimeoutInMinutes)} ], [ 'primary', 5 ], 'it has the work group and the options');
$athena->wait_for_session($row->{session_id}, 'TERMINATED');
pass('it is terminated');

run(q{'print(1)'});
nothing_is_left('a run that succeeds leaves no session behind');
is(run_error(q{'raise ValueError(1)'})->{sqlstate}, 'SP001', 'one that fails');
nothing_is_left('leaves none');
my $error = run_error(q{'import time; time.sleep(60)', timeout => '2s'});
is($error->{sqlstate}, 'SP003', 'one that takes too long');
like($error->{detail}, qr/^session [0-9a-f-]+: (TERMINATING|TERMINATED)$/m, 'says that it terminated the session');
nothing_is_left('leaves none');
is($athena->query_error(q{SELECT 1 / (count(*) - 1) FROM athena_calc.run_calculation('print(1)')})->{sqlstate}, '22012', 'an error later in the statement');
nothing_is_left('leaves none');
is($athena->query_error(q{SELECT athena_calc.run_calculation(c) FROM (VALUES ('print(1)'), ('raise ValueError(2)'), ('print(3)')) v (c)})->{sqlstate}, 'SP001', 'the second of three fails');
nothing_is_left('leaves none');
my ($db, $id, $own) = begin_run(q{'import time; time.sleep(60)'});
$athena->emulator->force_session($own, 'DEGRADED', 'an executor was lost');
is($db->finish->{error}{sqlstate}, 'SP001', 'one whose session is lost');
nothing_is_left('leaves none');

# Answers that are lost

for my $operation (qw(StartSession StartCalculationExecution))
{
	my $what = $operation eq 'StartSession' ? 'a session' : 'a calculation';

	for my $loss (
		[ 'twice',                { drop   => 'after', times => 2 } ],
		[ 'five times',           { status => 500, apply => \1, times => 5 } ],
		[ 'with throttling',      { status => 429, apply => \1, times => 4 } ])
	{
		my ($name, $rule) = @$loss;
		my $before = own_sessions();

		$athena->reconnect;
		$athena->clear_log;
		$athena->fault(operation => $operation, %$rule);
		$row = run(q{'print(1)'});
		is($row->{state}, 'COMPLETED', "the answer to the start of $what is lost $name");
		is(own_sessions(), $before + 1, 'one session was started');
		is($athena->value('SELECT count(*) FROM athena_calc.list_calculation_executions($1)', $row->{session_id}), '1', 'and one calculation');
		my %tokens = map { $_->{members}{ClientRequestToken} => 1 } $athena->requests($operation);
		is(keys %tokens, 1, 'all attempts had one token');
	}
	$athena->fault(operation => $operation, body => '?', apply => \1);
	is(run_error(q{'import time; time.sleep(60)'})->{sqlstate}, '08P01', "an answer to the start of $what that nobody can read");
	nothing_is_left('what it started is terminated all the same');
}
$athena->fault(operation => 'TerminateSession', drop => 'after', times => 2);
run(q{'print(1)'});
nothing_is_left('a lost answer to TerminateSession is survived');
$athena->fault(operation => 'StartSession', error => 'AccessDeniedException', message => 'No.');
$athena->clear_log;
is(run_error(q{'print(1)'})->{sqlstate}, '42501', 'a start of a session that is refused');
is($athena->requests, 1, 'there is nothing to be terminated');
$athena->fault(operation => 'StartCalculationExecution', error => 'AccessDeniedException', message => 'No.');
$athena->clear_log;
is(run_error(q{'print(1)'})->{sqlstate}, '42501', 'a start of a calculation that is refused');
is($athena->requests('StartCalculationExecution'), 1, 'it is not sent again');
nothing_is_left('the session is terminated');

# A session takes one calculation at a time: a run waits its turn

my $first = $athena->start_calculation($session, 'import time; time.sleep(2)');
$row = run(q{'print(1)', $1}, $session);
is($row->{state}, 'COMPLETED', 'a BUSY session is waited for');
my @crowd = map { $athena->connect } 1 .. 5;
$_->send(q{SELECT state FROM athena_calc.run_calculation('import time; time.sleep(0.2)', $1)}, $session) foreach @crowd;
is_deeply([ map { $_->finish->{rows}[0][0] } @crowd ], [ ('COMPLETED') x 5 ], 'five at once come one after the other');
$athena->fault(operation => 'StartCalculationExecution', error => 'InvalidRequestException', message => BUSY, times => 4);
is(run(q{'print(1)', $1}, $session)->{state}, 'COMPLETED', 'so does one that loses the race several times');
$athena->wait_for_session($session, 'IDLE');

$first = $athena->start_calculation($session, 'import time; time.sleep(60)');
$athena->clear_log;
my $since = time;
$error = run_error(q{'print(1)', $1, timeout => '1s'}, $session);
is($error->{sqlstate}, 'SP003', 'a session that stays BUSY until the time is up');
cmp_ok(time - $since, '<', 1 + AT_ONCE, sprintf('%.2f s', time - $since));
like($error->{message}, qr/\Q$session\E is still BUSY/, $error->{message});
is_deeply([ grep { $_->{operation} =~ /^(Stop|Terminate)/ } $athena->requests ], [], 'the calculation of somebody else is not stopped');
$athena->query('SELECT athena_calc.stop_calculation_execution($1)', $first);
$athena->wait_for_session($session, 'IDLE');

# Who is told BUSY and IDLE in one breath does not flood Athena, and has no more time than others.
$athena->fault(operation => 'StartCalculationExecution', contains => $session, error => 'InvalidRequestException', message => BUSY, times => undef);
$athena->query(q{SET statement_timeout = '10s'});
$athena->clear_log;
$since = time;
$error = run_error(q{'print(1)', $1, timeout => '3s'}, $session);
is($error->{sqlstate}, 'SP003', 'a race that is lost until the time is up');
cmp_ok(time - $since, '<', 3 + AT_ONCE, sprintf('%.2f s', time - $since));
my $count = () = $athena->requests('StartCalculationExecution');
cmp_ok($count, '<', 30, "with pauses in between: $count requests");
$athena->clear_faults;
$athena->query('RESET statement_timeout');

# A session that is just starting, one that has ended, one that ends while it is waited for

$athena->emulator_settings(session_start_seconds => 1.5);
my $starting = $athena->value('SELECT session_id FROM athena_calc.start_session()');
$athena->emulator_settings(session_start_seconds => 0);
is(run_error(q{'print(1)', $1}, $starting)->{sqlstate}, '00000', 'a session that is starting is waited for');

for my $state (qw(TERMINATED FAILED DEGRADED))
{
	my $ended = $athena->start_session;

	$athena->emulator->force_session($ended, $state, 'an executor was lost');
	$since = time;
	$error = run_error(q{'print(1)', $1}, $ended);
	is($error->{sqlstate}, 'SP005', "a session that is $state");
	like($error->{message}, qr/\b$state\b/, $error->{message});
	cmp_ok(time - $since, '<', AT_ONCE, 'at once');
}
my $dying = $athena->start_session;
$athena->start_calculation($dying, 'import time; time.sleep(60)');
$db = $athena->connect;
$athena->clear_log;
$db->send(q{SELECT athena_calc.run_calculation('print(1)', $1)}, $dying);
$athena->wait_for_requests('GetSessionStatus');
$athena->emulator->force_session($dying, 'TERMINATED', 'idle for too long');
$error = $db->finish->{error};
is($error->{sqlstate}, 'SP005', 'a session that ends while it is waited for');
is($error->{message}, "session $dying is TERMINATED: idle for too long", 'with the reason');

$dying = $athena->start_session;
($db, $id) = begin_run(q{'import time; time.sleep(60)', $1}, $dying);
$athena->emulator->force_session($dying, 'DEGRADED', 'an executor was lost');
$error = $db->finish->{error};
is($error->{sqlstate}, 'SP001', 'a session that is lost while the calculation runs');
like($error->{message}, qr/^calculation failed: ./, $error->{message});

# A calculation that fails tells all there is to know

$error = run_error(q{E'print("so far")\nraise ValueError("no such order: 17")', $1}, $session);
is($error->{sqlstate}, 'SP001', 'a calculation that fails');
like($error->{message}, qr/^calculation failed: .*no such order: 17/, $error->{message});
like($error->{detail}, qr/no standard error/, 'Athena gives no standard error of it, DETAIL says so');
my ($failed) = $error->{hint} =~ /([0-9a-f-]{36}) in session \Q$session\E/;
is($athena->wait_for($failed // 'none')->{state}, 'FAILED', 'the HINT names it and its session');

$athena->emulator_settings(results_for => [ 'COMPLETED', 'FAILED' ]);
my $noise = q{import sys; [print("line %04d ü" % i, file=sys.stderr) for i in range(1000)]; raise ValueError(17)};
$error = run_error(q{$1, $2}, $noise, $session);
unlike($error->{detail}, qr/line 0700/, 'where it gives it, DETAIL has its end');
like($error->{detail}, qr/line 0999 ü/, 'in UTF-8');
cmp_ok(length encode('UTF-8', $error->{detail}), '<=', 4096 + 100, 'no more than 4 kB');
cmp_ok(length encode('UTF-8', $error->{detail}), '>', 3500, 'and not much less');
like($error->{hint}, qr{s3://athena-emulator/\S+/stderr}, 'the HINT says where all of it is');
$error = run_error(q{'import sys, traceback; sys.excepthook = None; raise SystemExit("stop here")', $1}, $session);
is($error->{sqlstate}, 'SP001', 'code that calls sys.exit has failed');
for my $trouble (
	[ { body => '' },                                                qr/^Its standard error is empty/ ],
	[ { status => 403, error => 'AccessDenied', message => 'No.' },  qr/could not be read: .*No\./ ],
	[ { status => 404, error => 'NoSuchKey', message => 'Gone.' },   qr/could not be read: .*Gone\./ ],
	[ { drop => 'before', times => 20 },                             qr/could not be read: / ])
{
	my ($rule, $detail) = @$trouble;

	$athena->fault(operation => 'S3.GetObject', %$rule);
	$error = run_error(q{'raise ValueError(18)', $1}, $session);
	is($error->{sqlstate}, 'SP001', 'whatever is wrong with its standard error, it is the failure that is told');
	like($error->{detail}, $detail, $error->{detail});
	$athena->clear_faults;
}
$athena->fault(operation => 'GetCalculationExecution', body => '{"Status": {"State": "EXPLODED", "CompletionDateTime": 1}}');
$error = run_error(q{'1', $1}, $session);
is("$error->{sqlstate} $error->{message}", 'SP001 calculation ended as EXPLODED', 'a state that nobody knows');
$athena->emulator_settings(results_for => ['COMPLETED']);
is($athena->query_error(q{DO $$
BEGIN
	PERFORM athena_calc.run_calculation('raise ValueError(19)', session_name => 'hourly');
EXCEPTION WHEN SQLSTATE 'SP003' THEN
	RAISE EXCEPTION 'it was not the time';
WHEN SQLSTATE 'SP000' THEN
	RAISE NOTICE 'caught: % %', SQLSTATE, SQLERRM;
END $$})->{sqlstate}, '00000', 'PL/pgSQL can catch it');
like(($athena->notices)[0], qr/^caught: SP001 calculation failed: .*19/, ($athena->notices)[0]);

# Somebody else stops it; the time is up

($db, $id) = begin_run(q{'import time; time.sleep(60)', $1}, $session);
$athena->query('SELECT athena_calc.stop_calculation_execution($1)', $id);
$error = $db->finish->{error};
is($error->{sqlstate}, 'SP002', 'a calculation that somebody else stops');
like($error->{message}, qr/^calculation was canceled/, $error->{message});
like($error->{hint}, qr/\Q$id\E in session \Q$session\E/, 'the HINT names it');
$athena->wait_for_session($session, 'IDLE');

$athena->clear_log;
$since = time;
$error = run_error(q{'import time; time.sleep(60)', $1, timeout => '1s'}, $session);
is($error->{sqlstate}, 'SP003', 'a calculation that takes longer than its timeout');
cmp_ok(time - $since, '<', 1 + AT_ONCE, sprintf('%.2f s', time - $since));
cmp_ok(time - $since, '>=', 1, 'not before');
($id) = map { $_->{members}{CalculationExecutionId} } $athena->requests('StopCalculationExecution');
like($error->{message}, qr/\Q$id\E/, 'the message names it');
like($error->{detail}, qr/^calculation \Q$id\E: (CANCELING|CANCELED)$/m, 'DETAIL has what Athena said to the stop');
is($athena->wait_for($id)->{state}, 'CANCELED', 'it is stopped');
is($athena->requests('TerminateSession'), 0, 'the session is not terminated');
$athena->wait_for_session($session, 'IDLE');

# Progress, and throttling on the way

$athena->query('SET athena_calc.progress = on');
$athena->emulator_settings(session_start_seconds => 1);
$row = run(q{'import time; time.sleep(1)'});
my @notices = $athena->notices;
is($notices[0],  "session $row->{session_id}: CREATING", 'with athena_calc.progress it tells of the session');
is($notices[-1], "calculation $row->{calculation_execution_id}: COMPLETED", 'and of the calculation');
ok((grep { $_ eq "session $row->{session_id}: IDLE" } @notices), 'each change of state');
$athena->query('RESET athena_calc.progress');
$athena->emulator_settings(session_start_seconds => 0);
$athena->query(q{SET athena_calc.max_poll_interval = '1s'});
$athena->fault(operation => $_, times => 5, error => 'TooManyRequestsException', message => 'Rate exceeded')
  foreach qw(StartSession GetSessionStatus StartCalculationExecution GetCalculationExecution);
is(run(q{'print(1)'})->{state}, 'COMPLETED', 'throttling of each step is survived');
nothing_is_left('and leaves no session behind');
$athena->fault(operation => $_, times => 5, status => 503) foreach qw(StartSession GetSessionStatus StartCalculationExecution GetCalculationExecution);
$athena->reconnect;
is(run(q{'print(1)'})->{state}, 'COMPLETED', 'so is trouble of the service');

# Arguments that do not go together

$athena->clear_log;
for my $case (
	[ q{'1', session_id => 'x', session_name => 'y'},              '22023', qr/session_id and session_name/ ],
	[ q{'1', session_id => 'x', session_options => '{}'},          '22023', qr/session_options/ ],
	[ q{'1', code_s3_uri => 's3://athena-emulator/x.py'},          '22023', qr/code_block and code_s3_uri/ ],
	[ q{},                                                         '22004', qr/"code_block"/ ],
	[ q{NULL, session_id => 'x'},                                  '22004', qr/"code_block"/ ],
	[ q{'1', session_id => 'x', timeout => '-1s'},                 '22023', qr/"timeout"/ ],
	[ q{'1', session_options => '{"dpus": 1}'},                    '22023', qr/"dpus"/ ],
	[ q{'1', session_options => '{"description": "mine"}'},        '22023', qr/"description"/ ],
	[ q{'1', session_name => ''},                                  '22023', qr/"session_name"/ ],
	[ q{code_s3_uri => 'https://example.com/x.py'},                '22023', qr/"code_s3_uri"/ ],
	[ q{code_s3_uri => 's3://athena-emulator'},                    '22023', qr/"code_s3_uri"/ ],
	[ q{'%%sql' || chr(10) || 'SELECT 1', params => '{"a": 1}'},   '22023', qr/params/ ])
{
	my ($arguments, $sqlstate, $message) = @$case;

	$error = run_error($arguments);
	is($error->{sqlstate}, $sqlstate, "refused: $arguments");
	like($error->{message}, $message, $error->{message});
}
is($athena->requests, 0, 'before anything is sent');

# Parameters: values for the code, and nothing but values

my $show = q{import json; print(json.dumps(params, sort_keys=True))};
for my $value (
	{ text => 'plain', number => 1, fraction => 0.5, yes => JSON::PP::true, no => JSON::PP::false, null => undef },
	{ list => [ 1, [], {}, 'x' ], deep => { a => { b => [ { c => undef } ] } } },
	[ 1, 2, 3 ], [], {}, 'text', 17, JSON::PP::true, undef,
	map { { value => $_ } }
	'"', "'", '\\', '\\"', '"""', "'''", '\\\\"', 'ends with \\', "line\nbreak", "\r\n", "tab\t", "\b\f\x{1}\x{1f}\x{7f}",
	'ü', '夜', '😀', "\x{85}\x{2028}\x{2029}\x{feff}", '\\u0022', '\\N{BULLET}', '\\x22', '%s {x} {{x}} ${x}', '%%sql', '#', ';', '$1', '/* */ --',
	'"); import os; os._exit(1) #', '\\"); import os; os._exit(1) #', "\"\"\"); import os; os._exit(1) #", "\n\"); import os; os._exit(1) #",
	'")' . "\n" . 'import os; os._exit(1)', "'); import os; os._exit(1) #")
{
	my $text = $json->encode($value);
	my $got  = printed(q{$1, $2, params => $3::jsonb}, $show, $session, Encode::decode('UTF-8', $text));

	is($json->encode($json->decode(encode('UTF-8', $got))), $text, 'params: ' . $text);
	$athena->wait_for_session($session, 'IDLE');
}
is(printed(q{'print(params)', $1, params => '{"whole": 123456789012345678901234567890, "small": -0.1}'}, $session),
	"{'small': -0.1, 'whole': 123456789012345678901234567890}\n", 'numbers are not rounded');
my $error_line = run_error(q{E'x = 1\nraise ValueError(params["a"])', $1, params => '{"a": "from params"}'}, $session);
like($error_line->{message}, qr/from params/, 'they are one line before the code');
my $many = join '', map { chr(0x4e00 + $_ % 1000) } 1 .. 5000;
is(printed(q{'print(len(params), params == params.strip())', $1, params => to_jsonb($2::text)}, $session, $many), "5000 True\n", 'many of them');
is(run(q{'%%pyspark' || chr(10) || 'print(1)', $1}, $session)->{state}, 'COMPLETED', 'a magic works without params');

# Code that is in S3

$athena->emulator->put_object('athena-emulator/jobs/nightly.py', encode('UTF-8', "print('nächtlich', 6 * 7)\n"));
is(printed(q{session_id => $1, code_s3_uri => 's3://athena-emulator/jobs/nightly.py'}, $session), "nächtlich 42\n", 'code that is in S3');
$athena->emulator->put_object('athena-emulator/jobs/sum.py', 'print(params["a"] + params["b"])');
is(printed(q{session_id => $1, code_s3_uri => 's3://athena-emulator/jobs/sum.py', params => '{"a": 40, "b": 2}'}, $session), "42\n", 'with params');
my ($sent) = ($athena->requests('StartCalculationExecution'))[-1];
ok(!exists $sent->{members}{CalculationConfiguration}, 'the deprecated member is not sent');
is(run_error(q{session_id => $1, code_s3_uri => 's3://athena-emulator/jobs/none.py'}, $session)->{sqlstate}, '42704', 'an object that is not there');
is(run_error(q{session_id => $1, code_s3_uri => 's3://no-such-bucket/none.py'}, $session)->{sqlstate}, '42704', 'a bucket that is not there');
$athena->emulator->put_object('athena-emulator/jobs/latin1.py', "print('n\xe4chtlich')");
is(run_error(q{session_id => $1, code_s3_uri => 's3://athena-emulator/jobs/latin1.py'}, $session)->{sqlstate}, '22021', 'code that is not UTF-8');
$athena->emulator->put_object('athena-emulator/jobs/nul.py', "print('\0')");
is(run_error(q{session_id => $1, code_s3_uri => 's3://athena-emulator/jobs/nul.py'}, $session)->{sqlstate}, '22021', 'code with a NUL');
$athena->emulator->put_object('athena-emulator/jobs/query.py', "%%sql\nSELECT 1");
is(run_error(q{session_id => $1, code_s3_uri => 's3://athena-emulator/jobs/query.py', params => '1'}, $session)->{sqlstate}, '22023', 'params for a magic that is there');
$athena->clear_log;
is(run_error(q{code_s3_uri => 's3://athena-emulator/jobs/none.py'})->{sqlstate}, '42704', 'it is read first');
is($athena->requests('StartSession'), 0, 'no session is started for what cannot run');

# start_calculation_execution has them, too

sub started
{
	my ($arguments, @parameters) = @_;

	$athena->wait_for_session($session, 'IDLE');
	my $id = $athena->value("SELECT calculation_execution_id FROM athena_calc.start_calculation_execution($arguments)", @parameters);
	$athena->wait_for($id);
	return $athena->value('SELECT athena_calc.calculation_stdout($1)', $id);
}

is(started(q{$1, 'print(params["table"])', params => '{"table": "orders"}'}, $session), "orders\n", 'start_calculation_execution with params');
is(started(q{$1, NULL, code_s3_uri => 's3://athena-emulator/jobs/nightly.py'}, $session), "nächtlich 42\n", 'with code in S3');
is(started(q{$1, NULL, params => '{"a": 1, "b": 2}', code_s3_uri => 's3://athena-emulator/jobs/sum.py'}, $session), "3\n", 'with both');
for my $case (
	[ q{$1, NULL},                                                       '22004' ],
	[ q{$1, '1', code_s3_uri => 's3://athena-emulator/jobs/sum.py'},     '22023' ],
	[ q{$1, '%%sql', params => '1'},                                     '22023' ],
	[ q{$1, NULL, code_s3_uri => 's3://athena-emulator/jobs/none.py'},   '42704' ])
{
	my ($arguments, $sqlstate) = @$case;

	$athena->clear_log;
	is($athena->query_error("SELECT athena_calc.start_calculation_execution($arguments)", $session)->{sqlstate}, $sqlstate, "refused: $arguments");
	is($athena->requests('StartCalculationExecution'), 0, 'nothing is started');
}

# calculation_result

sub result_is_at
{
	my ($uri) = @_;

	$athena->clear_faults;
	$athena->fault(operation => 'GetCalculationExecution', times => undef, body => $json->encode({ Result => { ResultS3Uri => $uri } })) if $uri;
	return;
}

# What there is, or the error.
sub result
{
	my $result = $athena->session_backend->send(q{SELECT athena_calc.calculation_result('x')})->finish;

	return $result->{error} ? $result->{error}{message} : $result->{rows}[0][0];
}


$row = run(q{'1 + 1', $1}, $session);
like($athena->value('SELECT athena_calc.calculation_result($1)', $row->{calculation_execution_id}), qr/"status": "ok"/, 'the result of a calculation is an object');
is($athena->value('SELECT athena_calc.calculation_result($1)', $failed), undef, 'NULL while there is none');
my @put = (
	[ 'one',     'object',           'the object itself' ],
	[ 'spark',   '_SUCCESS',         '' ],
	[ 'spark',   'part-00000.json',  '{"total": 42}' ],
	[ 'spark',   '.part-00000.crc',  'crc' ],
	[ 'spark-2', 'part-00000.json',  'a neighbour' ],
	[ 'several', '_SUCCESS',         '' ],
	[ 'several', 'part-00000.json',  '1' ],
	[ 'several', 'part-00001.json',  '2' ],
	[ 'spark',   '_temporary/0/part-00001.json', 'not yet' ],
	[ 'marked',  '_SUCCESS',         '' ],
	[ 'begun',   '_temporary/0/part-00000.json', 'not yet' ],
	[ 'a%20b',   'n%C3%A4chtlich',   'encoded' ]);
$athena->emulator->put_object("athena-emulator/$_->[0]/$_->[1]", $_->[2]) foreach @put;
for my $case (
	[ 's3://athena-emulator/one/object', 'the object itself' ],
	[ 's3://athena-emulator/spark/',     '{"total": 42}' ],
	[ 's3://athena-emulator/spark',      '{"total": 42}' ],
	[ 's3://athena-emulator/a b/',       'encoded' ])
{
	my ($uri, $content) = @$case;

	result_is_at($uri);
	is(result(), $content, "the result is at $uri");
}
for my $case (
	[ 's3://athena-emulator/several/', '21000', 'more than one object' ],
	[ 's3://athena-emulator/marked/',  '42704', 'nothing but a marker' ],
	[ 's3://athena-emulator/begun/',   '42704', 'nothing but what is not yet written' ],
	[ 's3://athena-emulator/nowhere',  '42704', 'nothing at all' ],
	[ 'https://example.com/x',         '08P01', 'no S3 URI' ])
{
	my ($uri, $sqlstate, $name) = @$case;

	result_is_at($uri);
	$error = $athena->query_error(q{SELECT athena_calc.calculation_result('x')});
	is($error->{sqlstate}, $sqlstate, "a folder with $name");
	note $error->{message};
}

result_is_at('');
$athena->fault(operation => 'GetCalculationExecution', body => '{"Result": {"ResultS3Uri": ""}}');
is(result(), undef, 'an empty URI is none');

# A bucket of another region: asked for there, once told, and the region remembered

$athena->emulator->put_object('elsewhere/results/part-0', 'from Ireland', 'eu-west-1');
for my $uri ('s3://elsewhere/results/part-0', 's3://elsewhere/results/')
{
	$athena->reconnect;
	result_is_at($uri);
	$athena->clear_log;
	is(result(), 'from Ireland', "another region: $uri");
	my @requests = grep { $_->{service} eq 's3' } $athena->requests;
	is((grep { $_->{status} >= 300 } @requests), 1, 'one request goes astray');
	my @regions = map { $_->{headers}{authorization} =~ m{Credential=[^/]+/\d+/([^/]+)/} } @requests;
	is($regions[0], 'us-east-1', 'the first');
	is((grep { $_ eq 'eu-west-1' } @regions), @requests - 1, 'the others are signed for where the bucket is');
	$athena->clear_log;
	is(result(), 'from Ireland', 'the second time');
	is((grep { $_->{service} eq 's3' && $_->{status} >= 300 } $athena->requests), 0, 'none does: the region is remembered');
}

# A Location is where others want us to go.
my $elsewhere = AthenaCalc::Emulator->new;
$athena->reconnect;
result_is_at('s3://moved/results/part-0');
$athena->fault(operation => 'S3.GetObject', status => 307, times => undef, body => '', headers => { Location => $elsewhere->url . '/moved/results/part-0' });
$athena->clear_log;
$error = $athena->query_error(q{SELECT athena_calc.calculation_result('x')});
is($error->{sqlstate}, '08P01', 'a redirect without a region is an error');
is($elsewhere->requests, 0, 'its Location is not followed');
is((grep { $_->{operation} eq 'S3.GetObject' } $athena->requests), 1, 'nor asked again');
result_is_at('s3://moved/results/part-0');
$athena->fault(operation => 'S3.GetObject', status => 301, times => undef, body => '',
	headers => { Location => $elsewhere->url . '/moved/results/part-0', 'x-amz-bucket-region' => 'eu-west-1' });
$athena->clear_log;
$error = $athena->query_error(q{SELECT athena_calc.calculation_result('x')});
isnt($error->{sqlstate}, '00000', 'a bucket that sends us on and on is an error');
is((grep { $_->{operation} eq 'S3.GetObject' } $athena->requests), 2, 'after the second request');
is($elsewhere->requests, 0, 'and its Location is not followed');
$athena->clear_faults;

# The sum of it

$athena->clear_faults;
nothing_is_left('after all of this no session of a run is open');
is_deeply(
	[ $athena->column('SELECT c.state FROM ' . EVERY_SESSION . q{, athena_calc.list_calculation_executions(session.session_id) c
		WHERE c.state NOT IN ('COMPLETED', 'FAILED', 'CANCELED')}) ],
	[],
	'and no calculation is running');

done_testing();
