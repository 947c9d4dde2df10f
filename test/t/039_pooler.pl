# A connection pooler, pgbouncer: clients that share a backend share what it keeps, its connection to Athena, and nothing that is
# theirs. A cancel reaches through it.

use strict;
use warnings;

use AthenaCalc::Connection;
use AthenaCalc::Pooler;
use AthenaCalc::Test;
use List::Util qw(uniq);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

plan skip_all => 'pgbouncer is not installed' unless AthenaCalc::Pooler->version;

my $athena = AthenaCalc::Test->new(
	emulator => [ '--credentials', 'AKIDEXAMPLE:' . AthenaCalc::Test::SECRET_KEY, '--credentials', 'AKIDETL:secret/of+etl',
		'--credentials', 'AKIDPUBLIC:secret/of+PUBLIC' ],
	conf => "client_connection_check_interval = '100ms'\n");
my $session = $athena->start_session;
my $call    = 'SELECT count(*) FROM athena_calc.list_engine_versions()';

$athena->query($_) for (
	'CREATE ROLE etl LOGIN; GRANT USAGE ON SCHEMA athena_calc TO etl; GRANT EXECUTE ON ALL ROUTINES IN SCHEMA athena_calc TO etl',
	'CREATE SERVER reports FOREIGN DATA WRAPPER athena_calc',
	'GRANT USAGE ON FOREIGN SERVER reports TO etl',
	q{CREATE USER MAPPING FOR etl SERVER reports OPTIONS (access_key_id 'AKIDETL', secret_access_key 'secret/of+etl')},
	q{CREATE USER MAPPING FOR PUBLIC SERVER reports OPTIONS (access_key_id 'AKIDPUBLIC', secret_access_key 'secret/of+PUBLIC')},
	q{ALTER ROLE etl SET athena_calc.server = 'reports'});

my $pooler;

sub client
{
	my ($user) = @_;

	return AthenaCalc::Connection->new($pooler, $user ? (user => $user) : ());
}

sub backend_of { return $_[0]->value('SELECT pg_backend_pid()') }

# Whose key a client's call is signed with.
sub signer
{
	my ($db) = @_;

	$athena->clear_log;
	$db->value($call);
	return ($athena->requests)[-1]{access_key_id};
}

# A canceled statement and what it leaves: tests that hold in both modes.
sub cancels
{
	my ($mode) = @_;
	my ($db, $other) = (client(), client());
	my $id = $athena->start_calculation($session, 'import time; time.sleep(60)');
	my $backend = backend_of($db);

	$athena->clear_log;
	$db->send('SELECT athena_calc.wait_for_calculation($1)', $id);
	$athena->wait_for_requests('GetCalculationExecution');
	my $begun = time;
	$db->cancel;
	is($db->finish->{error}{sqlstate}, '57014', "$mode: a wait is canceled through the pooler");
	cmp_ok(time - $begun, '<', patient(2), 'at once');
	$db->close if $mode eq 'session';
	is($other->value($call), 2, 'the next client calls');
	is(backend_of($other), $backend, 'in the same backend');
	is($athena->value('SELECT state FROM athena_calc.get_calculation_execution_status($1)', $id), 'RUNNING', 'what was waited for runs');
	$athena->query('SELECT athena_calc.stop_calculation_execution($1)', $id);
	$athena->wait_for($id);
	$athena->wait_for_session($session, 'IDLE');

	for my $statement ('SELECT * FROM athena_calc.run_calculation($1, session_id => $2)', 'CALL athena_calc.run($1, session_id => $2)')
	{
		$athena->clear_log;
		$other->send($statement, 'import time; time.sleep(60)', $session);
		$athena->wait_for_requests('GetCalculationExecution');
		$other->cancel;
		is($other->finish->{error}{sqlstate}, '57014', 'a run is canceled');
		is(scalar($athena->requests('StopCalculationExecution')), 1, 'and stops its calculation');
		$athena->wait_for_session($session, 'IDLE');
	}
	is(scalar($other->query('CALL athena_calc.run($1, session_id => $2)', 'print(1)', $session)), 1, 'the next one is run');
	$athena->wait_for_session($session, 'IDLE');

	# A client that is gone: the pooler ends the backend's connection, which it looks at as client_connection_check_interval says.
	$athena->clear_log;
	$other->send('SELECT * FROM athena_calc.run_calculation($1, session_id => $2)', 'import time; time.sleep(60)', $session);
	$athena->wait_for_requests('GetCalculationExecution');
	$other->vanish;
	is(scalar($athena->wait_for_requests('StopCalculationExecution')), 1, 'a run whose client is gone is stopped, too');
	$athena->wait_for_session($session, 'IDLE');
	$db->close if $mode ne 'session';
	$other = client();
	is($other->value($call), 2, 'and others go on');
	isnt(backend_of($other), $backend, 'in another backend');
	$other->close;
	return;
}

# 1. Transaction mode: a client has a backend for a transaction

$pooler = AthenaCalc::Pooler->new($athena->node, mode => 'transaction', users => ['etl']);
my ($first, $second) = (client(), client());
$athena->clear_log;
$_->value($call) for $first, $second, $first, $second;
is(backend_of($first), backend_of($second), 'two clients have one backend');
my ($connection, @others) = uniq(map { $_->{connection} } $athena->requests);
is(scalar(@others), 0, 'which keeps its connection to Athena from client to client');

$first->query(q{BEGIN; SET LOCAL athena_calc.server = 'reports'});
is(signer($first), 'AKIDPUBLIC', 'SET LOCAL athena_calc.server counts in the transaction');
$first->query('COMMIT');
is(signer($second), 'AKIDEXAMPLE', 'and is not for the next client');
$first->query(q{SET athena_calc.server = 'reports'});
is(signer($second), 'AKIDPUBLIC', 'SET without LOCAL is: it stays with the backend');
$second->query('DISCARD ALL');
is(signer($first), 'AKIDEXAMPLE', 'until DISCARD ALL, by whomever');
is(($athena->requests)[-1]{connection}, $connection, 'which leaves the connection to Athena as it is');
my $etl = client('etl');
is(signer($etl), 'AKIDETL', 'ALTER ROLE SET athena_calc.server counts for a role, with its mapping');
$etl->query('DISCARD ALL');
is(signer($etl), 'AKIDETL', 'after DISCARD ALL, too');
is(signer($first), 'AKIDEXAMPLE', 'and for that role only');
$etl->close;

# An error in a transaction, and its savepoint
$first->query('BEGIN; SAVEPOINT before');
is($first->error('SELECT athena_calc.get_session($1)', 'unknown')->{sqlstate}, '22023', 'an error');
$first->query('ROLLBACK TO before');
is($first->value($call), 2, 'and on in the same transaction');
$first->query('COMMIT');

# Prepared statements
$first->query("BEGIN; PREPARE engines AS $call");
is_deeply([ map { $first->value('EXECUTE engines') } 1 .. 8 ], [ (2) x 8 ], 'PREPARE within a transaction');
$first->query('DEALLOCATE engines; COMMIT');
SKIP:
{
	skip 'this pgbouncer has no named statements in transaction mode', 1 if AthenaCalc::Pooler->version < 1.021;

	for my $db ($first, $second)
	{
		$db->prepare('status', 'SELECT state FROM athena_calc.get_session_status($1)');
		$db->prepare('engines', $call);
	}
	is_deeply([ map { map { [ $_->execute('status', $session), $_->execute('engines') ] } $first, $second } 1 .. 8 ],
		[ ([ ['IDLE'], [2] ]) x 16 ], 'statements that drivers prepare, of two clients');
}
$_->close for $first, $second;
cancels('transaction');
$pooler->stop;

# 2. Session mode: a client has a backend until it leaves, and then the pooler has DISCARD ALL run

$pooler = AthenaCalc::Pooler->new($athena->node, mode => 'session', users => ['etl']);
$first = client();
my $backend = backend_of($first);
$first->query(q{SET athena_calc.server = 'reports'});
$first->query("PREPARE engines AS $call");
$first->prepare('status', 'SELECT state FROM athena_calc.get_session_status($1)');
$athena->clear_log;
is($first->value('EXECUTE engines'), 2, 'PREPARE');
is(($athena->requests)[-1]{access_key_id}, 'AKIDPUBLIC', 'with a setting of the session');
is_deeply([ map { $first->execute('status', $session) } 1 .. 8 ], [ (['IDLE']) x 8 ], 'a statement that a driver prepares');
$connection = ($athena->requests)[-1]{connection};
$first->close;
$second = client();
is(backend_of($second), $backend, 'the next client has the same backend');
is(signer($second), 'AKIDEXAMPLE', 'without the settings of the one before');
is(($athena->requests)[-1]{connection}, $connection, 'over the same connection to Athena');
is($second->error('EXECUTE engines')->{sqlstate}, '26000', 'and without its statements');
$second->close;
$etl = client('etl');
is(signer($etl), 'AKIDETL', 'ALTER ROLE SET athena_calc.server');
$etl->close;
cancels('session');
$pooler->stop;

# 3. A client that is gone, without a pooler: as the server looks for that, or not

for my $case ([ '100ms', 60, 1, 'is stopped' ], [ 0, 1, 0, 'comes to its end' ])
{
	my ($interval, $seconds, $stops, $name) = @$case;
	my $db = $athena->connect;

	$db->query("SET client_connection_check_interval = '$interval'");
	$athena->clear_log;
	$db->send('SELECT * FROM athena_calc.run_calculation($1)', "import time; time.sleep($seconds)");
	$athena->wait_for_requests('GetCalculationExecution');
	$db->vanish;
	is(scalar($athena->wait_for_requests('TerminateSession')), 1, 'the session of a run without a client is terminated');
	is(scalar($athena->requests('StopCalculationExecution')), $stops, "when the run $name");
}

done_testing();
