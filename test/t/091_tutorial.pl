# The tutorial, from an empty database to scheduled ETL, with Spark really running: every block of SQL in order, then pg_cron
# rounds, failures, runs that overlap, a session that dies, the night and a crash.

use strict;
use warnings;
use utf8;

use AthenaCalc::Connection;
use AthenaCalc::Page;
use AthenaCalc::Test;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# Before 1.5, pg_cron looks once a minute.
use constant WAIT_SECONDS => 100;

my $python = $ENV{PYTHON} // 'python3';
my ($libraries) = run_command([ 'pg_config', '--pkglibdir' ]);
my ($shared)    = run_command([ 'pg_config', '--sharedir' ]);

plan skip_all => 'pyspark is not installed'
  if system(qq{"$python" -c 'import pyspark' >/dev/null 2>&1}) != 0;
plan skip_all => 'there is no Java' if !$ENV{JAVA_HOME} && system('java -version >/dev/null 2>&1') != 0;
plan skip_all => 'pg_cron is not installed'
  unless glob("$libraries/pg_cron.*") && -e "$shared/extension/pg_cron.control";

my $athena = AthenaCalc::Test->new(
	emulator => [ '--python', $python, '--create-bucket', 'a-bucket' ],
	conf     => "shared_preload_libraries = 'athena_calc, pg_cron'\ncron.database_name = 'shop'\n");
my $node = $athena->node;
my $user = (getpwuid($>))[0];

# Only now is it known where the server listens; the library reads this at its start. pg_cron comes in as in the tutorial.
$athena->query('CREATE DATABASE shop');
$athena->session_backend->close;
$node->append_conf('postgresql.conf', sprintf "cron.host = '%s'\n", $node->host);
$node->append_conf('pg_ident.conf',   "cron $user etl\n");
my $others = slurp_file($node->data_dir . '/pg_hba.conf');
unlink $node->data_dir . '/pg_hba.conf';
$node->append_conf('pg_hba.conf', "local shop etl peer map=cron\n$others");
$node->restart;
$athena->reconnect;
my $db = $athena->connect(dbname => 'shop');
my ($etl, $schedule);

my $running = q{SELECT count(*) FROM cron.job_run_details WHERE status NOT IN ('succeeded', 'failed')};

# The only row and column of a query, each time until it is what it shall be.
sub becomes
{
	my ($sql, $expected, $name) = @_;
	my $value;

	$athena->wait_until(
		sub { $value = $db->value($sql); return ($value // '') eq $expected },
		sub {
			join "\n", "$expected came of $sql, not " . ($value // 'NULL'),
			  $db->column(q{SELECT concat_ws(' ', command, status, return_message) FROM cron.job_run_details});
		},
		WAIT_SECONDS);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($value, $expected, $name);
}

# Until a backend waits for a calculation that is RUNNING.
sub wait_for_running
{
	my ($what) = @_;

	$athena->wait_until(
		sub {
			$db->value(q{SELECT count(*) FROM athena_calc.activity
				WHERE calculation_execution_id IS NOT NULL AND state = 'RUNNING'});
		},
		$what);
	return;
}

sub revenue
{
	return join ', ', $db->column(q{
		SELECT concat_ws(' ', day, country, order_count, amount) FROM revenue ORDER BY day, country});
}

# What is looked at after the block that has this text in it; the others only have to run.
my @looks = (
	[ 'CREATE ROLE etl' => sub { $etl = $athena->connect(dbname => 'shop', user => 'etl') } ],
	[ 'CREATE EXTENSION pg_cron' => sub {
		my ($major, $minor) = $db->value(q{SELECT extversion FROM pg_extension WHERE extname = 'pg_cron'}) =~ /^(\d+)\.(\d+)/;
		$schedule = $major * 1000 + $minor >= 1005 ? '5 seconds' : '* * * * *';
	} ],
	[ q{'a first run'} => sub {
		my ($output) = @_;
		my ($id) = $output =~ /^\(([0-9a-f-]{36}),/m;

		is($db->value('SELECT athena_calc.calculation_stdout($1)', $id), "499500\n", 'Spark ran');
		is($db->value('SELECT description FROM athena_calc.get_calculation_execution($1)', $id), 'a first run',
			'a calculation with that description');
	} ],
	[ 'AS squares (' => sub { is($_[0], "0|0\n1|1\n2|4", 'the lines of JSON are rows') } ],
	[ 'CREATE PROCEDURE count_orders' => sub {
		like($_[0], qr/^2024-03-01\|DE\|2\|19\.75\n2024-03-01\|FR\|1\|99\.99\n2024-03-02\|FR\|1\|0\.01$/m,
			'the orders are counted by day and country');
		is($db->value('SELECT count(DISTINCT counted_by) FROM orders WHERE counted_by IS NOT NULL'), 1, 'by one calculation');
		is($db->value('SELECT count(*) FROM orders WHERE counted_by IS NULL'), 0, 'all of them');
	} ],
	[ q{cron.schedule('count orders'} => sub {
		is(join(', ', $db->column('SELECT schedule FROM cron.job WHERE username = $1 ORDER BY jobid', 'etl')),
			'*/10 6-21 * * *, 15 22 * * *, 30 22 * * *', 'the jobs are scheduled, as the role');
	} ],
	[ q{cron.schedule('a failure'} => \&look_at_pg_cron ],
	[ q{WHERE status = 'failed'} => sub {
		like($_[0], qr/calculation failed: ValueError: no rate for XYZ/, 'the query for failures gives the message');
	} ],
	[ q{cron.unschedule('a failure')} => sub {
		is($db->value(q{SELECT count(*) FROM cron.job WHERE jobname = 'a failure'}), 0, 'it is not scheduled any more');
		becomes($running, 0, 'and does not run');
	} ],
	[ 'athena_calc.activity AS waiting' => sub { is($_[0], '', 'nothing waits between runs') } ],
	[ 'CREATE PROCEDURE find_best_days' => sub {
		like($_[0], qr/^DE\|2024-03-01\|19\.75\nFR\|2024-03-01\|99\.99\nIT\|2024-03-03\|\d\.\d0\z/m, 'a table went to Spark and came back');
	} ],
);

# Rounds of pg_cron: what is due while the test waits runs more often than in the tutorial.
sub look_at_pg_cron
{
	my $rounds = $schedule eq '5 seconds' ? 3 : 1;

	$etl->query('SELECT cron.schedule($1, $2, command) FROM cron.job WHERE jobname = $1', $_, $schedule)
	  foreach 'a failure', 'count orders';
	foreach my $round (1 .. $rounds)
	{
		$etl->query(q{INSERT INTO orders (ordered_at, country, amount) VALUES ('2024-03-03 10:00', 'IT', 1.10)});
		becomes(q{SELECT concat_ws(' ', order_count, amount) FROM revenue WHERE country = 'IT'},
			sprintf('%d %.2f', $round, $round * 1.10), "round $round of pg_cron counts a new order");
	}
	becomes(q{
		SELECT string_agg(DISTINCT username || ' ' || status, ', ')
		FROM cron.job_run_details WHERE command = 'CALL count_orders()' AND status IN ('succeeded', 'failed')},
		'etl succeeded', 'as a job that succeeds');
	becomes(q{SELECT count(*) > 0 FROM cron.job_run_details WHERE status = 'failed'}, 't', 'the other job fails');
	my $run = $db->row(q{SELECT * FROM cron.job_run_details WHERE status = 'failed' ORDER BY runid LIMIT 1});
	like($run->{return_message}, qr/^ERROR: +calculation failed: ValueError: no rate for XYZ/, 'and says why');
	like($run->{return_message}, qr/^HINT: +Calculation [0-9a-f-]{36} in session/m, 'and in which calculation');
	is($etl->value('SELECT count(*) FROM cron.job_run_details WHERE runid = $1', $run->{runid}), 1, 'to its owner');

	# A job that is running still would be in the way of what comes.
	$etl->query(q{SELECT cron.unschedule('count orders')});
	becomes("$running AND command = 'CALL count_orders()'", 0, 'no round of it runs any more');
	return;
}

# Every block

my $role;
foreach my $block (grep { $_->{section} ne 'Patterns' } AthenaCalc::Page::sql_blocks('doc/tutorial.md'))
{
	my $result = AthenaCalc::Page::run_block($node, 'shop', $role, $block);
	my ($look) = grep { index($block->{text}, $_->[0]) >= 0 } @looks;

	ok($result->{ok}, "line $block->{line}: $block->{section}") || diag($result->{errors});
	$role = 'etl' if $block->{text} =~ /^SET ROLE etl;$/m;
	next unless $look;
	@looks = grep { $_ != $look } @looks;
	$look->[1]->($result->{output});
}
is_deeply([ map { $_->[0] } @looks ], [], 'the tutorial has every block that is looked at');

# More rounds, by hand, in one session

my $before = revenue();
foreach my $n (1 .. 3)
{
	$etl->query(q{INSERT INTO orders (ordered_at, country, amount) VALUES ('2024-03-04 10:00', 'ES', $1)}, $n + 0.01);
	$etl->query('CALL count_orders()');
}
is(revenue(), "$before, 2024-03-04 ES 3 6.03", 'three more rounds add up');
$athena->clear_log;
$etl->query('CALL count_orders()');
is(scalar $athena->requests, 0, 'a round without orders asks Athena for nothing');
is($db->value(q{SELECT count(*) FROM athena_calc.list_sessions() WHERE description LIKE 'etl-%'}), 1,
	'all runs shared one session');

# An order that the code refuses

$etl->query(q{INSERT INTO orders (country, amount) VALUES ('', 5), ('PT', 6)});
my $error = $etl->error('CALL count_orders()');
is($error->{sqlstate}, 'SP001', 'an order that the code refuses fails the run');
like($error->{message}, qr/^calculation failed: ValueError: order \d+ has no country$/, 'with the words of the code');
is($db->value('SELECT count(*) FROM orders WHERE counted_by IS NULL'), 2, 'nothing of the batch is counted');
is(scalar(my @locks = $db->query(q{SELECT FROM pg_locks WHERE locktype = 'advisory'})), 1, 'in psql the lock stays');
is($etl->value('SELECT pg_advisory_unlock_all()'), '', 'until it is released');
$etl->query(q{DELETE FROM orders WHERE country = ''});
$etl->query('CALL count_orders()');
is($db->value(q{SELECT amount FROM revenue WHERE country = 'PT'}), '6.00', 'the others are counted when it is gone');

# What is printed is no JSON

my $code = $db->value('SELECT code_block FROM spark_code');
$etl->query(q{UPDATE spark_code SET code_block = 'print("no JSON")'});
$etl->query(q{INSERT INTO orders (country, amount) VALUES ('PT', 1)});
is($etl->error('CALL count_orders()')->{sqlstate}, '22P02', 'output that is no JSON fails the run');
is($db->value('SELECT count(*) FROM orders WHERE counted_by IS NULL'), 1, 'and counts nothing');
$etl->query('SELECT pg_advisory_unlock_all()');

# A long run: others skip, and vacuum is not held back

$etl->query('UPDATE spark_code SET code_block = $1', 'import time; time.sleep(' . patient(10) . ")\n$code");
$etl->send('CALL count_orders()');
wait_for_running('the long run is waiting');

my $other = $athena->connect(dbname => 'shop', user => 'etl');
my $begun = time;
$other->query('CALL count_orders()');
cmp_ok(time - $begun, '<', patient(5), 'a run that overlaps does not wait');
is(join(' ', $other->notices), 'skipped: another run has not ended', 'and says that it skips');
my ($block) = grep { $_->{text} =~ /athena_calc\.activity AS waiting/ } AthenaCalc::Page::sql_blocks('doc/tutorial.md');
like(AthenaCalc::Page::run_block($node, 'shop', 'etl', $block)->{output},
	qr/^[0-9a-f-]{36}\|RUNNING\|\|(00:00:0\d\.\d+)?$/, 'the long one has no snapshot, and no old transaction');
$db->query('CREATE TABLE churn AS SELECT n FROM generate_series(1, 1000) AS n');
$db->query('UPDATE churn SET n = n + 1');
$db->query('VACUUM (VERBOSE) churn');
like(join("\n", $db->notices), qr/\b0 (?:are dead but not yet removable|dead row versions cannot be removed yet)/,
	'what was deleted meanwhile can be vacuumed');
ok(!$etl->finish->{error}, 'the long run comes to its end');
is($db->value(q{SELECT concat_ws(' ', order_count, amount) FROM revenue WHERE country = 'PT'}), '2 7.00', 'and has counted');

# A session that dies

$etl->query(q{INSERT INTO orders (country, amount) VALUES ('PT', 3)});
my $session = $db->value(q{SELECT session_id FROM athena_calc.list_sessions() WHERE description LIKE 'etl-%'});
$etl->send('CALL count_orders()');
wait_for_running('it is being used');
$athena->emulator->force_session($session, 'FAILED', 'lost');
like($etl->finish->{error}{sqlstate}, qr/^SP00[15]$/, 'a run whose session dies fails');
is($db->value('SELECT count(*) FROM orders WHERE counted_by IS NULL'), 1, 'and counts nothing');
$etl->query('SELECT pg_advisory_unlock_all()');
$etl->query('UPDATE spark_code SET code_block = $1', $code);
$etl->query('CALL count_orders()');
is($db->value(q{SELECT concat_ws(' ', order_count, amount) FROM revenue WHERE country = 'PT'}), '3 10.00',
	'the next one has another session');

# The night

my %command = map { $_->{jobname} => $_->{command} } $db->query('SELECT * FROM cron.job');
is(join(' ', sort keys %command), 'best days end sessions forget runs', 'the jobs of the night are scheduled');
$etl->query($command{'end sessions'});
becomes(q{SELECT count(*) FROM athena_calc.list_sessions() WHERE description LIKE 'etl-%'
	AND state IN ('CREATING', 'CREATED', 'IDLE', 'BUSY')}, 0, 'the one ends the session');
$db->query(q{UPDATE cron.job_run_details SET end_time = now() - interval '15 days' WHERE status = 'failed'});
my $kept = $db->value(q{SELECT count(*) FROM cron.job_run_details WHERE status = 'succeeded'});
$etl->query($command{'forget runs'});
is($db->value(q{SELECT string_agg(DISTINCT status, ' ') FROM cron.job_run_details}), 'succeeded',
	'the other forgets old runs');
is($db->value('SELECT count(*) FROM cron.job_run_details'), $kept, 'and no others');

# A crash of the server, with a job in the midst of its run

$db->query(q{UPDATE cron.job_run_details SET status = 'running', return_message = NULL
	WHERE runid = (SELECT max(runid) FROM cron.job_run_details)});
$node->stop('immediate');
$node->start;
$db = $athena->connect(dbname => 'shop');
becomes(q{SELECT status || ': ' || return_message FROM cron.job_run_details ORDER BY runid DESC LIMIT 1},
	'failed: server restarted', 'a run that a crash has ended is a failure');

done_testing();
