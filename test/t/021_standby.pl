# Where statements run: on a standby, in read-only transactions, and in everything that may plan, keep or call a function in
# its own way. Each must do what it says once: no request too many, and none left out.

use strict;
use warnings;

use AthenaCalc::Connection;
use AthenaCalc::Test;
use List::Util qw(uniq);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The node is made without replication; the last line of a name counts.
my $athena  = AthenaCalc::Test->new(name => 'primary', conf => "wal_level = replica\nmax_wal_senders = 5\n");
my $session = $athena->start_session;

sub wait_for_idle { return $athena->wait_for_session($session, 'IDLE') }

# 1. A standby: nothing of what we do writes in PostgreSQL, so all of it works in recovery. What starts something is billed by
# Athena all the same.

$athena->node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($athena->node, 'copy', has_streaming => 1);
$standby->start;
my $replica = AthenaCalc::Connection->new($standby);

ok($replica->value('SELECT pg_is_in_recovery()') eq 't', 'a standby');
is($replica->error('CREATE TABLE no (n int)')->{sqlstate}, '25006', 'which cannot write');
is($replica->value('SHOW athena_calc.secret_access_key'), '********', 'has the secret of its own postgresql.conf');

# Everything that an account may do with a session and a calculation, once.
sub use_all
{
	my ($db, $name) = @_;

	$athena->clear_log;
	my $own = $db->value('SELECT session_id FROM athena_calc.start_session(description => $1)', $name);
	ok($own, "$name: a session is started");
	$athena->wait_for_session($own, 'IDLE');
	is($db->value('SELECT description FROM athena_calc.get_session($1)', $own), $name, 'and read');
	my $id = $db->value('SELECT calculation_execution_id FROM athena_calc.start_calculation_execution($1, $2)', $own, 'print(6 * 7)');
	$athena->wait_for($id);
	is($db->value('SELECT state FROM athena_calc.get_calculation_execution($1)', $id), 'COMPLETED', 'a calculation is started and read');
	is($db->value('SELECT athena_calc.calculation_stdout($1)', $id), "42\n", 'and its output');
	is_deeply([ $db->column('SELECT state FROM athena_calc.batch_get_calculation_execution_status($1)', "{$id,$id}") ],
		[ 'COMPLETED', 'COMPLETED' ], 'a batch');
	is($db->value('SELECT calculation_execution_id FROM athena_calc.list_calculation_executions($1)', $own), $id, 'a list');
	is($db->value('SELECT athena_calc.stop_calculation_execution($1)', $id), 'COMPLETED', 'a stop');
	is($db->value(q{SELECT athena_calc.invoke('GetSessionStatus', jsonb_build_object('SessionId', $1::text)) ->> 'SessionId'}, $own),
		$own, 'invoke');
	is($db->value(q{SELECT athena_calc.s3_put_object('s3://athena-emulator/anywhere/object', 'x') IS NOT NULL}), 't', 'an object is written');
	is($db->value(q{SELECT athena_calc.s3_get_object('s3://athena-emulator/anywhere/object')}), '\x78', 'read');
	is($db->value(q{SELECT count(*) FROM athena_calc.s3_list_objects('s3://athena-emulator/anywhere/')}), 1, 'listed');
	is($db->value(q{SELECT athena_calc.s3_delete_objects('s3://athena-emulator/anywhere/')}), 1, 'and deleted');
	is($db->error('SELECT athena_calc.get_session(NULL)')->{sqlstate}, '22004', 'an error');
	like($db->value('SELECT athena_calc.terminate_session($1)', $own), qr/^TERMINAT/, 'and the session is terminated');
	is(scalar($athena->requests($_)), 1, "one $_") for qw(StartSession StartCalculationExecution TerminateSession);
	return;
}

use_all($replica, 'standby');

# A conflict with recovery ends a run as an error does, and is told again every few milliseconds until the transaction has ended. What
# was started is ended all the same, and the connection goes on.
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = 300ms\nhot_standby_feedback = off\n");
$standby->reload;
$athena->query('CREATE TABLE conflict AS SELECT generate_series(1, 1000) AS n');
$athena->node->wait_for_catchup($standby, 'replay');
$athena->clear_log;
# Which of them comes first is settled, for a session that is ended lets its calculation fail.
$athena->fault(operation => 'StopCalculationExecution', delay => 0.3);
$athena->fault(operation => 'TerminateSession', delay => 1);
$replica->send(q{SELECT state, (SELECT count(*) FROM conflict) FROM athena_calc.run_calculation('import time; time.sleep(600)')});
$athena->wait_for_requests('StartCalculationExecution');
$athena->query('DELETE FROM conflict');
$athena->query('VACUUM conflict');
my $error = $replica->finish->{error};
is($error->{sqlstate}, '40001', 'a conflict with recovery');
like($error->{detail}, qr/^calculation [0-9a-f-]{36}: (CANCEL|STOPP)\w+\nsession [0-9a-f-]{36}: TERMINAT\w+$/m, 'the answers are waited for');
is($replica->value('SELECT 1'), 1, 'and the connection goes on');
$athena->clear_faults;

# Promoted, it goes on with the connections that it has.
$standby->promote;
ok($replica->value('SELECT pg_is_in_recovery()') eq 'f', 'it is promoted');
is($replica->value('SELECT state FROM athena_calc.get_session_status($1)', $session), 'IDLE', 'the same backend goes on');
$replica->query('CREATE TABLE seen AS SELECT * FROM athena_calc.get_session_status($1)', $session);
is($replica->value('SELECT session_id FROM seen'), $session, 'and can keep what it reads');
$replica->close;
$standby->stop;

# 2. Read-only transactions: read-only is about PostgreSQL's data, not about Athena's

$athena->query('SET default_transaction_read_only = on');
is($athena->query_error('CREATE TABLE no (n int)')->{sqlstate}, '25006', 'read only');
use_all($athena->session_backend, 'read only');
$athena->query('RESET default_transaction_read_only');
$athena->query('BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE');
is($athena->value('SELECT state FROM athena_calc.get_session_status($1)', $session), 'IDLE', 'serializable, deferrable');
$athena->query('COMMIT');

# 3. What a planner may be forced to

$athena->query('CREATE TABLE many AS SELECT n FROM generate_series(1, 10000) AS n');
$athena->query('CREATE TABLE few AS SELECT $1::text AS session_id FROM generate_series(1, 5)', $session);
$athena->query('ANALYZE');
my ($forced) = $athena->column(q{SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')});
my %forced = (
	'parallel query' => {
		$forced => 'on', parallel_setup_cost => 0, parallel_tuple_cost => 0, min_parallel_table_scan_size => 0,
		max_parallel_workers_per_gather => 4
	},
	'JIT' => { jit => 'on', jit_above_cost => 0, jit_inline_above_cost => 0, jit_optimize_above_cost => 0 },
	'session_replication_role' => { session_replication_role => 'replica' },
	'generic plans'            => { plan_cache_mode => 'force_generic_plan' },
	'no memory to speak of'    => { work_mem => '64kB' });
for my $name (sort keys %forced)
{
	my $db = $athena->connect(%{ $forced{$name} });

	use_all($db, $name);
	$athena->clear_log;
	is($db->value(q{SELECT count(DISTINCT status.state) FROM few, LATERAL athena_calc.get_session_status(few.session_id) AS status}),
		1, 'a row for each row');
	is(scalar($athena->requests('GetSessionStatus')), 5, 'with a request for each');
	$athena->clear_log;
	is($db->value('SELECT count(*) FROM many WHERE n % 2500 = 0 AND (athena_calc.get_session_status($1)).state IS NOT NULL', $session),
		4, 'in a condition');
	is(scalar($athena->requests('GetSessionStatus')), 4, 'it is asked last, for it costs most');
	if ($name eq 'JIT')
	{
	  SKIP:
		{
			skip 'this server has no JIT', 1 unless $db->value('SELECT pg_jit_available()') eq 't';
			like(join("\n", $db->column("EXPLAIN (ANALYZE) SELECT (athena_calc.get_session_status('$session')).state FROM few")),
				qr/^JIT:/m, 'which was compiled');
		}
	}
	$db->close;
}
my $plans = $athena->connect(%{ $forced{'parallel query'} });
like(join("\n", $plans->column('EXPLAIN SELECT count(*) FROM many WHERE n % 2500 = 0')), qr/Gather/, 'a plan that is parallel');
unlike(join("\n", $plans->column(q{EXPLAIN SELECT count(*) FROM many WHERE (athena_calc.get_session_status('x')).state IS NOT NULL})),
	qr/Gather/, 'is not with one of our functions');
$plans->close;

# 4. What keeps a statement or its rows

# Beyond the fifth, PostgreSQL may take a generic plan. A token in it must be a new one each time, or nothing would be started.
$athena->query(q{
	PREPARE start (text) AS
	SELECT calculation_execution_id FROM athena_calc.start_calculation_execution($1, 'print(1)')});
$athena->clear_log;
my @ids;
for (1 .. 8)
{
	push @ids, $athena->value("EXECUTE start('$session')");
	$athena->wait_for($ids[-1]);
	wait_for_idle();
}
is(uniq(@ids), 8, 'a prepared start, 8 times: 8 calculations');
is(uniq(map { $_->{members}{ClientRequestToken} } $athena->requests('StartCalculationExecution')), 8, 'with 8 tokens');

my $list = 'SELECT calculation_execution_id FROM athena_calc.list_calculation_executions';
$athena->clear_log;
$athena->query('BEGIN');
$athena->query("DECLARE held SCROLL CURSOR WITH HOLD FOR $list('$session')");
$athena->query('COMMIT');
is(scalar($athena->column('FETCH 3 FROM held')), 3, 'a cursor that outlives its transaction');
my @rest = $athena->column('FETCH ALL FROM held');
is_deeply([ sort @rest, $athena->column('MOVE ABSOLUTE 0 FROM held; FETCH 3 FROM held') ], [ sort @ids ], 'has all rows');
is($athena->value('FETCH LAST FROM held'), ($athena->column("$list(\$1)", $session))[-1], 'in its order');
is(scalar($athena->requests('ListCalculationExecutions')), 2, 'from one request, and one to compare');
$athena->query('CLOSE held');
$athena->query('BEGIN');
$athena->query("DECLARE open CURSOR FOR $list('$session')");
is(scalar($athena->column('FETCH 1 FROM open')), 1, 'a cursor that is left open');
$athena->query('ROLLBACK');

$athena->clear_log;
$athena->query("CREATE MATERIALIZED VIEW kept AS $list('$session')");
is($athena->value('SELECT count(*) FROM kept') + $athena->value('SELECT count(*) FROM kept'), 16, 'a materialized view');
is(scalar($athena->requests), 1, 'asks when it is made');
$athena->query('REFRESH MATERIALIZED VIEW kept');
is(scalar($athena->requests), 2, 'and refreshed');

$athena->clear_log;
$athena->query("DO \$\$ DECLARE found text; BEGIN
	SELECT state INTO STRICT found FROM athena_calc.get_session_status('$session');
	IF found <> 'IDLE' THEN RAISE 'it is %', found; END IF;
	FOR i IN 1 .. 8 LOOP PERFORM athena_calc.get_session_status('$session'); END LOOP;
	BEGIN
		PERFORM athena_calc.get_session_status('unknown');
		RAISE 'it is known';
	EXCEPTION WHEN invalid_parameter_value THEN NULL;
	END;
END \$\$");
is(scalar($athena->requests('GetSessionStatus')), 10, 'DO, with a loop and an error that is caught');

# An UPDATE that finds its row changed by another transaction is evaluated again, with the calls in it. A start in it is sent
# twice, and only a token that stands in the row makes that one calculation.
$athena->query('CREATE TABLE job AS SELECT gen_random_uuid()::text AS token, NULL::text AS id, 0 AS changes');
my $other = $athena->connect;
my $count = scalar $athena->column("$list(\$1)", $session);
$athena->clear_log;
$athena->query('BEGIN');
$athena->query('UPDATE job SET changes = 1');
$other->send('UPDATE job SET id = (SELECT calculation_execution_id
	FROM athena_calc.start_calculation_execution($1, $$print(1)$$, client_request_token => token)) WHERE id IS NULL', $session);
$athena->wait_until(
	sub { $athena->value(q{SELECT count(*) FROM pg_locks WHERE pid = $1 AND NOT granted}, $other->pid) }, 'the other one waited');
$athena->query('COMMIT');
is($other->finish->{error}, undef, 'an UPDATE that had to wait for another');
is(scalar($athena->requests('StartCalculationExecution')), 2, 'sends its start twice');
is(scalar($athena->column("$list(\$1)", $session)), $count + 1, 'and with its token starts one calculation');
$athena->wait_for($athena->value('SELECT id FROM job'));
wait_for_idle();

# 5. Who may: a function with SECURITY DEFINER lends its owner's rights, a view does not

$athena->query($_) for (
	'CREATE ROLE etl LOGIN',
	"CREATE VIEW calculations AS SELECT * FROM athena_calc.list_calculation_executions('$session')",
	'GRANT SELECT ON calculations TO etl',
	"CREATE FUNCTION state_of_it() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
		AS \$\$ SELECT state FROM athena_calc.get_session_status('$session') \$\$");
my $etl = $athena->connect(user => 'etl');
$athena->clear_log;
is($etl->error('SELECT athena_calc.get_session_status($1)', $session)->{sqlstate}, '42501', 'a role without rights cannot call');
is($etl->error('SELECT * FROM calculations')->{sqlstate}, '42501', 'nor through a view: its functions are called by who reads it');
is(scalar($athena->requests), 0, 'and nothing is sent');
is($etl->value('SELECT state_of_it()'), 'IDLE', 'but through a function with SECURITY DEFINER');
is($athena->value('SELECT count(*) FROM calculations WHERE state = $1', 'COMPLETED'), 9, 'the view is for those who may');
$athena->query($_) for ('GRANT USAGE ON SCHEMA athena_calc TO etl',
	'GRANT EXECUTE ON FUNCTION athena_calc.list_calculation_executions TO etl');
is($etl->value('SELECT count(*) FROM calculations'), 9, 'and with a grant for all');

done_testing();
