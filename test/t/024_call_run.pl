# CALL run: a calculation of minutes that holds back no vacuum, for it commits before each wait.

use strict;
use warnings;

use AthenaCalc::Test;
use List::Util qw(uniq);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(sleep time);

use constant AT_ONCE => patient(3);

my $athena  = AthenaCalc::Test->new(conf => "autovacuum = off\n", emulator => [ '--credentials', AthenaCalc::Test::ACCESS_KEY . ':' . AthenaCalc::Test::SECRET_KEY, '--credentials', 'AKIDOTHER:another/secret' ]);
my $session = $athena->start_session;
my $sleep   = 'import time; time.sleep(60)';

sub quoted { return "\$code\$$_[0]\$code\$" }

# A backend whose statement has started its calculation; and the calculation.
sub begin_run
{
	my ($sql) = @_;
	my $db = $athena->connect;

	$athena->clear_log;
	$db->send($sql);
	my ($first) = $athena->wait_for_requests('GetCalculationExecution');
	return ($db, $first->{members}{CalculationExecutionId});
}

sub is_canceled
{
	my ($id, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($athena->wait_for($id)->{state}, 'CANCELED', $name);
	return $athena->wait_for_session($session, 'IDLE');
}

# The result, and what it says on the way

$athena->query('SET athena_calc.progress = on');
my $row = $athena->row(q{CALL athena_calc.run('import time; time.sleep(1); print(6 * 7)', session_id => $1, description => 'the answer')}, $session);
my @notices = $athena->notices;
my ($id) = $row->{result} =~ /^\(([0-9a-f-]{36}),/;
is($athena->value('SELECT athena_calc.calculation_stdout($1)', $id), "42\n", 'CALL gives the row of the calculation');
like($row->{result}, qr/^\($id,$session,"the answer",.*,COMPLETED,/, $row->{result});
is($notices[-1], "calculation $id: COMPLETED", 'with athena_calc.progress it tells of changes of state');
$athena->query('RESET athena_calc.progress');
$row = $athena->row(q{CALL athena_calc.run('print(params["a"])', params => '{"a": 1}', session_name => 'hourly', timeout => '1min')});
like($row->{result}, qr/,COMPLETED,/, 'with the arguments of run_calculation');
$row = $athena->row(q{CALL athena_calc.run('print(1)')});
my ($own) = $row->{result} =~ /^\([0-9a-f-]{36},([0-9a-f-]{36})/;
like($athena->value('SELECT state FROM athena_calc.get_session_status($1)', $own), qr/^TERMINAT/, 'a session of its own is terminated');

# From PL/pgSQL

$athena->query("DO \$\$
DECLARE
	done athena_calc.calculation_execution;
BEGIN
	CALL athena_calc.run('print(42)', session_id => '$session', result => done);
	RAISE NOTICE '% %', done.state, athena_calc.calculation_stdout(done.calculation_execution_id);
	CALL athena_calc.run('print(43)', session_id => '$session', result => done);
	RAISE NOTICE '% %', done.state, athena_calc.calculation_stdout(done.calculation_execution_id);
END \$\$");
is_deeply([ $athena->notices ], [ "COMPLETED 42\n", "COMPLETED 43\n" ], 'a DO block has the row in a variable, twice');
$athena->query("CREATE PROCEDURE nightly(INOUT state text DEFAULT NULL) LANGUAGE plpgsql AS \$\$
DECLARE
	done athena_calc.calculation_execution;
BEGIN
	CREATE TEMP TABLE step (n int);
	INSERT INTO step VALUES (1);
	CALL athena_calc.run('import time; time.sleep(0.5)', '$session', result => done);
	INSERT INTO step VALUES (2);
	state := done.state || ' ' || (SELECT count(*) FROM step);
END \$\$");
is($athena->value('CALL nightly()'), 'COMPLETED 2', 'a procedure goes on after it');
$athena->query('DROP TABLE step');

# What fails

my $error = $athena->query_error(q{CALL athena_calc.run('raise ValueError("no such order")', $1)}, $session);
is($error->{sqlstate}, 'SP001', 'a calculation that fails');
like($error->{message}, qr/^calculation failed: .*no such order/, $error->{message});
$error = $athena->query_error(q{CALL athena_calc.run($1, $2, timeout => '1s')}, $sleep, $session);
is($error->{sqlstate}, 'SP003', 'one that takes too long');
like($error->{detail}, qr/^calculation [0-9a-f-]{36}: CANCEL(ING|ED)$/m, $error->{detail});
$athena->wait_for_session($session, 'IDLE');

# Where it cannot commit, it says so before anything is started

my $call = "CALL athena_calc.run('1', '$session')";
$athena->query("CREATE FUNCTION calls() RETURNS void LANGUAGE plpgsql AS \$\$
DECLARE
	done athena_calc.calculation_execution;
BEGIN
	CALL athena_calc.run('1', '$session', result => done);
END \$\$");
for my $procedure ([ pinned => 'SET search_path = pg_catalog' ], [ definer => 'SECURITY DEFINER' ])
{
	my ($name, $property) = @$procedure;

	$athena->query("CREATE PROCEDURE $name() LANGUAGE plpgsql $property AS \$\$
DECLARE
	done athena_calc.calculation_execution;
BEGIN
	CALL athena_calc.run('1', '$session', result => done);
END \$\$");
}
for my $case (
	[ 'a string of several statements',    "SELECT 1; $call" ],
	[ 'a string that begins with it',      "$call; SELECT 1" ],
	[ 'a function',                        'SELECT calls()' ],
	[ 'a procedure with SET',              'CALL pinned()' ],
	[ 'a procedure that is SECURITY DEFINER', 'CALL definer()' ],
	[ 'a block with EXCEPTION',            "DO \$\$
		DECLARE done athena_calc.calculation_execution;
		BEGIN
			BEGIN
				CALL athena_calc.run('1', '$session', result => done);
			EXCEPTION WHEN SQLSTATE 'SP001' THEN NULL;
			END;
		END \$\$" ],
	[ 'a transaction block', $call, 'BEGIN' ])
{
	my ($name, $statement, $before) = @$case;

	$athena->query($before) if $before;
	$athena->clear_log;
	$error = $athena->query_error($statement);
	is($error->{sqlstate}, '2D000', "in $name");
	like($error->{hint}, qr/run_calculation/, 'the HINT has the function') if $error->{sqlstate} eq '2D000';
	like($error->{detail}, qr/SECURITY DEFINER or has SET/, 'the DETAIL what it may not be in');
	is($athena->requests, 0, 'nothing is sent');
	$athena->query('ROLLBACK');
	$athena->wait_for_session($session, 'IDLE');
}

# During a run: no snapshot, a young transaction, a wait event

my ($db, $run) = begin_run('CALL athena_calc.run(' . quoted($sleep) . ", '$session')");
my (%events, @ages, $snapshots);
for (1 .. 100)
{
	my $seen = $athena->row('
		SELECT backend_xmin, backend_xid, extract(epoch FROM clock_timestamp() - xact_start) AS age, wait_event_type, wait_event
		FROM pg_stat_activity WHERE pid = $1', $db->pid);

	$snapshots++ if defined $seen->{backend_xmin} || defined $seen->{backend_xid};
	push @ages, $seen->{age} // 0;
	$events{"$seen->{wait_event_type} $seen->{wait_event}"}++ if defined $seen->{wait_event};
	sleep 0.07;
}
is($snapshots, undef, 'backend_xmin is NULL all the time');
my ($oldest) = sort { $b <=> $a } @ages;
cmp_ok($oldest, '<', 5 + AT_ONCE, sprintf('xact_start is never older than a pause: %.2f s', $oldest));
cmp_ok((grep { $_ < 1 } @ages), '>', 0, 'and young again after each poll');
like((sort { $events{$b} <=> $events{$a} } keys %events)[0], qr/^Extension (Extension|AthenaCalcPoll)$/, 'it shows as a wait event');
is($athena->value('SELECT count(*) FROM pg_locks WHERE pid = $1 AND locktype <> $$virtualxid$$', $db->pid), '0', 'it holds no lock');
is($athena->row('SELECT * FROM athena_calc.activity WHERE pid = $1', $db->pid)->{calculation_execution_id}, $run, 'athena_calc.activity has it');

# What others update meanwhile can be vacuumed

$athena->query('CREATE TABLE orders AS SELECT i AS id, 0 AS amount FROM generate_series(1, 20000) i');

# How many dead rows a vacuum leaves after all rows were updated.
sub dead_rows_left
{
	$athena->query('UPDATE orders SET amount = amount + 1');
	$athena->query('VACUUM (VERBOSE) orders');
	my ($left) = map { /(\d+) (?:are )?dead (?:row versions cannot be removed yet|but not yet removable)/ ? $1 : () } map { "$_->{message}\n" . ($_->{detail} // '') } @{ $athena->session_backend->{notices} };
	return $left;
}

is(dead_rows_left(), 0, 'rows that died during CALL run are removed');
$db->cancel;
$error = $db->finish->{error};
is_canceled($run, 'canceled in the middle it stops the calculation');
($db, $run) = begin_run('SELECT athena_calc.run_calculation(' . quoted($sleep) . ", '$session')");
is(dead_rows_left(), 20000, 'those that died during SELECT run_calculation are not');
$db->cancel;
$db->finish;
is_canceled($run, 'and that is over');
($db, $run) = begin_run("DO \$\$ DECLARE v athena_calc.calculation_execution; BEGIN PERFORM count(*) FROM orders; CALL athena_calc.run(" . quoted($sleep) . ", '$session', result => v); END \$\$");
is(dead_rows_left(), 0, 'from a DO block, after a query, they are');
$db->cancel;
$db->finish;
is_canceled($run, 'and that is over, too');

# What a run waits for before it starts: a session, its turn

for my $wait (
	[ 'a session of its own', '',                          sub { $athena->emulator_settings(session_start_seconds => 60) } ],
	[ 'one of a name',        q{, session_name => 'slow'}, sub { } ],
	[ 'its turn',             ", '$session'",
		sub { $athena->emulator_settings(session_start_seconds => 0); $athena->start_calculation($session, 'import time; time.sleep(' . patient(4) . ')') } ])
{
	my ($what, $arguments, $begin) = @$wait;

	$begin->();
	$athena->clear_log;
	$db = $athena->connect;
	$db->send('CALL athena_calc.run(' . quoted('1') . "$arguments)");
	$athena->wait_for_requests('GetSessionStatus', 2);
	sleep 0.1;
	is($athena->value('SELECT backend_xmin FROM pg_stat_activity WHERE pid = $1', $db->pid), undef, "it holds no snapshot while it waits for $what");
	is(dead_rows_left(), 0, 'and no dead rows');
	my $since = time;
	$db->cancel;
	is($db->finish->{error}{sqlstate}, '57014', 'canceled');
	cmp_ok(time - $since, '<', AT_ONCE, sprintf('%.1f ms', (time - $since) * 1000));
	is($db->value('SELECT 1'), 1, 'the backend goes on');
}
$athena->wait_for_session($session, 'IDLE');

# The end in the middle

for my $statement ("CALL athena_calc.run(CODE, '$session')",
	"DO \$\$ DECLARE v athena_calc.calculation_execution; BEGIN CALL athena_calc.run(CODE, '$session', result => v); END \$\$")
{
	my $sql = $statement =~ s/CODE/quoted($sleep)/er;
	my ($what) = $sql =~ /^(\w+)/;

	($db, $run) = begin_run($sql);
	$athena->wait_for_requests('GetCalculationExecution', 3);
	my $since = time;
	$db->cancel;
	$error = $db->finish->{error};
	is_deeply([ @{$error}{qw(sqlstate message)} ], [ '57014', 'canceling statement due to user request' ], "$what, canceled after some polls");
	like($error->{detail}, qr/^calculation \Q$run\E: CANCEL(ING|ED)$/, $error->{detail} // 'no DETAIL');
	my ($stop) = $athena->requests('StopCalculationExecution');
	cmp_ok($stop->{time} - $since, '<', AT_ONCE, sprintf('the stop left after %.1f ms', ($stop->{time} - $since) * 1000)) if $stop;
	is_canceled($run, 'it is stopped');
	is($db->value('SELECT 1'), 1, 'the backend goes on');

	($db, $run) = begin_run($sql);
	$athena->wait_for_requests('GetCalculationExecution', 3);
	$since = time;
	$athena->query('SELECT pg_terminate_backend($1)', $db->pid);
	is($db->finish->{error}{sqlstate}, '57P01', "$what, terminated");
	($stop) = $athena->wait_for_requests('StopCalculationExecution');
	cmp_ok($stop->{time} - $since, '<', AT_ONCE, sprintf('the stop left after %.1f ms', ($stop->{time} - $since) * 1000));
	is_canceled($run, 'it is stopped');

	$db = $athena->connect;
	$db->query(q{SET statement_timeout = '2s'});
	$since = time;
	$error = $db->error($sql);
	is($error->{message}, 'canceling statement due to statement timeout', "$what, statement_timeout");
	cmp_ok(time - $since, '<', 2 + AT_ONCE, sprintf('covers all of it, commits or not: %.2f s', time - $since));
	my ($stopped) = ($error->{detail} // '') =~ /^calculation ([0-9a-f-]{36})/;
	is_canceled($stopped, 'it is stopped') if ok(defined $stopped, $error->{detail} // 'no DETAIL');
	$db->close;
}

# An error on the way of the commit itself

$athena->query('CREATE TABLE parent (id int PRIMARY KEY)');
$athena->query('CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)');
$athena->clear_log;
$error = $athena->query_error("DO \$\$ DECLARE v athena_calc.calculation_execution; BEGIN INSERT INTO child VALUES (1); CALL athena_calc.run(" . quoted($sleep) . ", '$session', result => v); END \$\$");
is($error->{sqlstate}, '23503', 'a deferred constraint that fails at its first commit');
is($athena->requests('StartCalculationExecution'), 0, 'which is before anything is started');

# What SET LOCAL has chosen holds to the end of the run, though its first commit ends it.

$athena->query('CREATE SERVER another FOREIGN DATA WRAPPER athena_calc');
$athena->query(q{CREATE USER MAPPING FOR CURRENT_USER SERVER another OPTIONS (access_key_id 'AKIDOTHER', secret_access_key 'another/secret')});
$athena->query('SELECT athena_calc.s3_put_object($1, $2)', 's3://athena-emulator/code.py', 'import sys; print("boom", file=sys.stderr); 1 / 0');
$athena->query("CREATE PROCEDURE as_another(code text, uri text) LANGUAGE plpgsql AS \$\$
DECLARE
	done athena_calc.calculation_execution;
BEGIN
	SET LOCAL athena_calc.server = 'another';
	SET LOCAL athena_calc.on_cancel = 'leave';
	CALL athena_calc.run(code, '$session', code_s3_uri => uri, result => done);
END \$\$");
$athena->emulator_settings(results_for => [ 'COMPLETED', 'FAILED' ]);
$athena->clear_log;
$error = $athena->query_error('CALL as_another(NULL, $1)', 's3://athena-emulator/code.py');
like($error->{detail}, qr/^boom$/m, 'the code is read, and what it says of its failure');
is_deeply([ uniq(map { $_->{access_key_id} } $athena->requests) ], ['AKIDOTHER'], 'with the keys of all the rest');
is($athena->requests('S3.GetObject'), 2, 'two objects');
$db = $athena->connect;
$db->send('CALL as_another($1, NULL)', $sleep);
($id) = ($athena->wait_for_requests('GetCalculationExecution', 3))[-1]{members}{CalculationExecutionId};
$db->cancel;
is($db->finish->{error}{detail}, "calculation $id: left running (athena_calc.on_cancel)", 'a cancel leaves what it is told to leave');
$db->close;
$athena->emulator_settings(results_for => ['COMPLETED']);
$athena->query('SELECT athena_calc.stop_calculation_execution($1)', $id);
is_canceled($id, 'until it is stopped');

# It holds no lock while it waits, so the extension may be gone when it has ended.

$athena->query('CREATE DATABASE dropped');
my ($waits, $drops) = map { $athena->connect(dbname => 'dropped') } 1 .. 2;
$drops->query('CREATE EXTENSION athena_calc');
$athena->clear_log;
$waits->send("CALL athena_calc.run('import time; time.sleep(3)', '$session')");
$athena->wait_for_requests('GetCalculationExecution');
my ($ran) = $drops->column("SELECT calculation_execution_id FROM athena_calc.list_calculation_executions('$session') ORDER BY submission_date_time DESC LIMIT 1");
$drops->query('DROP EXTENSION athena_calc');
$error = $waits->finish->{error};
is("$error->{sqlstate} $error->{message}", '55000 athena_calc.run was dropped while it ran', 'an extension that is dropped meanwhile');
is($error->{hint}, "Calculation $ran in session $session.", 'the HINT names what was run');
$_->close for $waits, $drops;

# Again and again in one backend: nothing grows, nothing is left

$db = $athena->connect;
$db->query("CALL athena_calc.run('1', '$session')") for 1 .. 5;
my $memory = $db->memory_kb;
$db->query("CALL athena_calc.run('1', '$session')") for 1 .. 30;
cmp_ok($db->memory_kb - $memory, '<', patient(1024), 'thirty runs need no more memory than five');
is_deeply(
	[ $athena->column('SELECT c.state FROM ' . EVERY_SESSION . q{, athena_calc.list_calculation_executions(session.session_id) c
		WHERE c.state NOT IN ('COMPLETED', 'FAILED', 'CANCELED')}) ],
	[],
	'no calculation is running');
is($athena->value(q{SELECT count(*) FROM athena_calc.list_sessions() WHERE description = 'athena_calc.run_calculation' AND state NOT IN ('TERMINATING', 'TERMINATED')}),
	'0', 'no session of a run is open');

done_testing();
