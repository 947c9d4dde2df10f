# The tutorial's patterns: each block of SQL, as the role that the tutorial makes, and what they promise. Without Spark.

use strict;
use warnings;

use AthenaCalc::Connection;
use AthenaCalc::Page;
use AthenaCalc::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my ($libraries) = run_command([ 'pg_config', '--pkglibdir' ]);
my ($shared)    = run_command([ 'pg_config', '--sharedir' ]);
my $has_cron = glob("$libraries/pg_cron.*") && -e "$shared/extension/pg_cron.control";

my $athena = AthenaCalc::Test->new(
	conf => $has_cron
	? "shared_preload_libraries = 'athena_calc, pg_cron'\ncron.database_name = 'patterns'\n"
	: '');
$athena->query('CREATE DATABASE patterns');
my $db     = $athena->connect(dbname => 'patterns');
my @blocks = AthenaCalc::Page::sql_blocks('doc/tutorial.md');

# Runs a block and gives what it printed.
sub runs
{
	my ($block, $role) = @_;
	my $name = "line $block->{line}: " . ($block->{part} || $block->{section});

  SKIP:
	{
		skip "$name: pg_cron is not installed", 1 if $block->{text} =~ /\bpg_cron;|\bcron\./ && !$has_cron;
		my $result = AthenaCalc::Page::run_block($athena->node, 'patterns', $role, $block);

		ok($result->{ok}, $name) || diag($result->{errors});
		return $result->{output};
	}
	return '';
}

# The blocks of a pattern, which have to be as many.
sub blocks_of
{
	my ($part, $count) = @_;
	my @found = grep { $_->{section} eq 'Patterns' && $_->{part} eq $part } @blocks;

	is(scalar @found, $count, "the blocks of: $part") || BAIL_OUT('the tutorial and this test are different');
	return @found;
}

# The sessions of these names that have not ended, with their states.
sub sessions
{
	my ($like) = @_;

	return $db->query(q{
		SELECT * FROM athena_calc.list_sessions()
		WHERE description LIKE $1 AND state NOT IN ('TERMINATING', 'TERMINATED') ORDER BY description}, $like);
}

runs($_) foreach grep { $_->{section} eq 'The database' } @blocks;
my $etl   = $athena->connect(dbname => 'patterns', user => 'etl');
my $other = $athena->connect(dbname => 'patterns', user => 'etl');

# Many calculations over a pool of sessions

my ($pool) = blocks_of('Many calculations over a pool of sessions', 1);
$athena->clear_log;
my $report = runs($pool, 'etl');
is(scalar(my @states = $report =~ /^2024-\d\d\|COMPLETED\|the report of 2024-\d\d-01$/mg), 6, 'six reports are there');
like($report, qr/^2024-05\|FAILED\|ValueError: no orders in May$/m, 'one failed, which its row says');
is(scalar $athena->requests('StartSession'), 3, 'in three sessions');
is(scalar $athena->requests('StartCalculationExecution'), 7, 'each was started once');
is(scalar sessions('report-%'), 0, 'which have ended');

# It fails in the middle of a round: the next call starts what was not started, and collects what was.
$db->query(q{INSERT INTO report (month) SELECT date '2025-01-01' + n * interval '1 month' FROM generate_series(0, 4) AS n});
$athena->clear_log;
$athena->fault(operation => 'StartCalculationExecution', error => 'AccessDeniedException', skip => 1);
is($etl->error(q{CALL make_reports('print(params["month"])', 2)})->{sqlstate}, '42501', 'the procedure fails');
is($db->value(q{SELECT count(*) FROM report WHERE calculation_execution_id IS NOT NULL AND state IS NULL}), 1,
	'what it had started is known');
$athena->clear_faults;
$etl->query(q{CALL make_reports('print(params["month"])', 2)});
is($db->value(q{SELECT string_agg(trim(E'\n' FROM output), ' ' ORDER BY month) FROM report WHERE month >= '2025-01-01'}),
	'2025-01-01 2025-02-01 2025-03-01 2025-04-01 2025-05-01', 'all are there after another call');
is(scalar(grep { $_->{status} == 200 } $athena->requests('StartCalculationExecution')), 5, 'none was started twice');
is(scalar sessions('report-%'), 2, 'the pool of the first call is left to its idle time-out');

# Start now, collect later

my ($jobs, $schedule) = blocks_of('Start now, collect later', 2);
runs($jobs, 'etl');

sub step_until_collected
{
	my ($job) = @_;

	$athena->wait_until(
		sub {
			$etl->query($_) foreach 'CALL start_job()', 'CALL collect_jobs()';
			return $db->value('SELECT coalesce(output, reason) FROM job WHERE job_id = $1', $job);
		},
		"job $job is collected");
	return $db->value('SELECT coalesce(output, reason) FROM job WHERE job_id = $1', $job);
}

is(step_until_collected(1), "144\n", 'a job is started and collected');
$etl->query(q{INSERT INTO job (code_block) VALUES ('raise ValueError("no orders")')});
is(step_until_collected(2), 'ValueError: no orders', 'so is one that fails, with its reason');
my ($warm) = sessions('jobs');
$athena->wait_for_session($warm->{session_id}, 'IDLE');

# A transaction that fails after the start: the same one again.
$etl->query(q{INSERT INTO job (code_block) VALUES ('print(3)')});
$etl->query($_) foreach 'BEGIN', 'CALL start_job()', 'ROLLBACK';
is($db->value('SELECT calculation_execution_id FROM job WHERE job_id = 3'), undef, 'a start is rolled back');
is(step_until_collected(3), "3\n", 'the job is done all the same');
is($db->value('SELECT count(*) FROM athena_calc.list_calculation_executions($1)', $warm->{session_id}), 3, 'once');

# And one whose session has ended since: it starts in another one.
$athena->wait_for_session($warm->{session_id}, 'IDLE');
$etl->query(q{INSERT INTO job (code_block) VALUES ('print(4)')});
$etl->query($_) foreach 'BEGIN', 'CALL start_job()', 'ROLLBACK';
$db->query('SELECT athena_calc.terminate_session($1)', $warm->{session_id});
is(step_until_collected(4), "4\n", 'a job whose session has ended runs in another one');
isnt((sessions('jobs'))[0]{session_id}, $warm->{session_id}, 'which is a new one');

runs($schedule, 'etl');
SKIP:
{
	skip 'pg_cron is not installed', 1 unless $has_cron;
	is(join(', ', $db->column(q{SELECT username || ' ' || schedule || ' ' || command FROM cron.job ORDER BY jobid})),
		'etl * * * * * CALL start_job(), etl * * * * * CALL collect_jobs()', 'both jobs are scheduled');
	$etl->query('SELECT cron.unschedule(jobid) FROM cron.job');
}

# A trigger, and why an outbox is better

my ($trigger, $rolled_back, $outbox) = blocks_of('A trigger, and why an outbox is better', 3);
runs($trigger,     'etl');
runs($rolled_back, 'etl');
my ($shipments) = sessions('shipments');
is($db->value('SELECT count(*) FROM shipment'), 0, 'there is no shipment');
is($db->value('SELECT count(*) FROM athena_calc.list_calculation_executions($1)', $shipments->{session_id}), 1,
	'but a calculation for it');
$athena->wait_for_session($shipments->{session_id}, 'IDLE');
my $slow = $athena->start_calculation($shipments->{session_id}, 'import time; time.sleep(30)');
$athena->wait_for($slow, 'RUNNING');
is($etl->error('INSERT INTO shipment (weight) VALUES (1)')->{sqlstate}, 'SP004', 'INSERT fails while the session is BUSY');
$db->query('SELECT athena_calc.stop_calculation_execution($1)', $slow);
$athena->wait_for($slow);

runs($outbox, 'etl');
is($db->value(q{
		SELECT string_agg(trim(E'\n' FROM athena_calc.calculation_stdout(calculation_execution_id)), ' ' ORDER BY outbox_id)
		FROM outbox}), $db->value(q{SELECT string_agg(shipment_id::text, ' ' ORDER BY shipment_id) FROM shipment}),
	'the outbox is sent, a calculation for each shipment');
$athena->clear_log;
$etl->query($_) foreach 'BEGIN', 'INSERT INTO shipment (weight) VALUES (1)', 'ROLLBACK', q{CALL send_outbox('shipments')};
is(scalar $athena->requests('StartCalculationExecution'), 0, 'a transaction that is rolled back sends nothing');

# Two at the same time, each with a session of its own.
$etl->query('INSERT INTO shipment (weight) SELECT n FROM generate_series(1, 6) AS n');
$athena->emulator_settings(calculation_start_seconds => 0.3);
$athena->clear_log;
$etl->send(q{CALL send_outbox('shipments-1')});
$other->query(q{CALL send_outbox('shipments-2')});
ok(!$etl->finish->{error}, 'two send at the same time');
$athena->emulator_settings(calculation_start_seconds => 0);
is($db->value('SELECT count(*) FROM outbox WHERE calculation_execution_id IS NULL'), 0, 'all is sent');
is(scalar $athena->requests('StartCalculationExecution'), 6, 'each once');
my %used = map { $_->{members}{SessionId} => 1 } $athena->requests('StartCalculationExecution');
is(scalar keys %used, 2, 'over both sessions');

# A failure leaves the row.
$etl->query('INSERT INTO shipment (weight) VALUES (1)');
$athena->fault(operation => 'StartCalculationExecution', error => 'AccessDeniedException');
is($etl->error(q{CALL send_outbox('shipments')})->{sqlstate}, '42501', 'sending fails');
is($db->value('SELECT count(*) FROM outbox WHERE calculation_execution_id IS NULL'), 1, 'the row is still there');
$etl->query(q{CALL send_outbox('shipments')});
is($db->value('SELECT count(*) FROM outbox WHERE calculation_execution_id IS NULL'), 0, 'for the next round');

# What a crash of the server leaves behind

my ($left) = blocks_of('What a crash of the server leaves behind', 1);
# These sessions are younger than a minute.
(my $sql = $left->{text}) =~ s/interval '1 minute'/interval '0 minutes'/;

# Starts a calculation of the backend's own, and gives its session when it runs.
sub run_for_long
{
	my ($backend, $statement) = @_;
	my $row;

	$backend->send($statement);
	$athena->wait_until(
		sub {
			($row) = $athena->query(q{SELECT * FROM athena_calc.activity WHERE pid = $1 AND state = 'RUNNING'}, $backend->pid);
			return $row && defined $row->{calculation_execution_id};
		},
		'the calculation runs');
	return $row->{session_id};
}

my $lost = run_for_long($etl, q{SELECT athena_calc.run_calculation('import time; time.sleep(60)')});
$athena->node->stop('immediate');
$athena->node->start;
$athena->reconnect;
($etl, $other) = map { $athena->connect(dbname => 'patterns', user => 'etl') } 1, 2;
my $in_use = run_for_long($other, q{CALL athena_calc.run('import time; time.sleep(60)')});
is(runs($left), '', 'sessions younger than a minute are not shown');
is(join(' ', $athena->column($sql =~ s/;\s*\z//r)), $lost, 'what a crash has left is found, not what is in use');
$athena->query('SELECT athena_calc.terminate_session($1)', $lost);
$other->cancel;
is($other->finish->{error}{sqlstate}, '57014', 'a run that is canceled');
$athena->wait_for_session($in_use, 'TERMINATED');
is(scalar sessions('athena_calc.run_calculation'), 0, 'leaves nothing');

done_testing();
