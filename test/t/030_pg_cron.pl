# Jobs of pg_cron: one starts a calculation, one reads what has come of it into a table, one fails and says why. pg_cron runs
# jobs in background workers or through connections of its own to the server, and both must work.

use strict;
use warnings;

use AthenaCalc::Connection;
use AthenaCalc::Test;
use PostgreSQL::Test::Utils;
use Test::More;

# Before 1.5, pg_cron looks once a minute.
use constant WAIT_SECONDS => 130;

my ($libraries) = run_command([ 'pg_config', '--pkglibdir' ]);
my ($shared)    = run_command([ 'pg_config', '--sharedir' ]);
plan skip_all => 'pg_cron is not installed'
  unless glob("$libraries/pg_cron.*") && -e "$shared/extension/pg_cron.control";

# A server for each way, so that both wait for the same minute. The secrets stand in postgresql.conf alone.
sub server
{
	my ($name, $background_workers) = @_;
	my $athena = AthenaCalc::Test->new(name => $name, conf => <<"END");
shared_preload_libraries = 'athena_calc, pg_cron'
cron.use_background_workers = $background_workers
max_worker_processes = 20
END
	# Only now is it known where the server listens; the library reads this at its start.
	$athena->session_backend->close;
	$athena->node->append_conf('postgresql.conf', sprintf "cron.host = '%s'\n", $athena->node->host);
	$athena->node->restart;

	my $db = AthenaCalc::Connection->new($athena->node);
	return { name => $name, athena => $athena, db => $db };
}

my @servers = (server('workers', 'on'), server('connections', 'off'));

for my $server (@servers)
{
	my $db = $server->{db};

	$db->query('CREATE EXTENSION pg_cron');
	my ($major, $minor) = $db->value(q{SELECT extversion FROM pg_extension WHERE extname = 'pg_cron'}) =~ /^(\d+)\.(\d+)/;
	my $schedule = $major * 1000 + $minor >= 1005 ? '5 seconds' : '* * * * *';

	# A session that is started beforehand, and a role with no more rights than the jobs need.
	my $session = $db->value('SELECT session_id FROM athena_calc.start_session()');
	$server->{athena}->wait_until(
		sub { $db->value('SELECT state FROM athena_calc.get_session_status($1)', $session) eq 'IDLE' }, 'the session is IDLE');
	$db->query($_) for (
		'CREATE ROLE etl LOGIN',
		'GRANT USAGE ON SCHEMA athena_calc TO etl',
		'GRANT EXECUTE ON ALL ROUTINES IN SCHEMA athena_calc TO etl',
		'GRANT USAGE ON SCHEMA cron TO etl',
		'CREATE TABLE job (session_id text, token uuid DEFAULT gen_random_uuid(), calculation_execution_id text, state text,
			output text, failure text, backend text)',
		'GRANT SELECT, UPDATE ON job TO etl');
	$db->query('INSERT INTO job (session_id) VALUES ($1)', $session);

	# It starts once, whenever it is called again. The token is for the other jobs that change the row meanwhile: then PostgreSQL
	# evaluates the UPDATE anew, with the calls in it (021_standby.pl).
	$db->query(<<'SQL');
CREATE PROCEDURE start_it() LANGUAGE sql AS $$
	UPDATE job SET calculation_execution_id = (
		SELECT calculation_execution_id
		FROM athena_calc.start_calculation_execution(session_id, 'print(6 * 7)', client_request_token => token::text))
	WHERE calculation_execution_id IS NULL
$$
SQL

	# Both are called in the same minute: this one waits for the other, and then for the calculation, but not for ever.
	$db->query(<<'SQL');
CREATE PROCEDURE collect() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 200 LOOP
		UPDATE job SET state = status.state, output = athena_calc.calculation_stdout(status.calculation_execution_id)
		FROM job AS looked,
			LATERAL athena_calc.get_calculation_execution_status(looked.calculation_execution_id) AS status
		WHERE looked.calculation_execution_id IS NOT NULL AND status.state = 'COMPLETED';
		EXIT WHEN FOUND;
		PERFORM pg_sleep(0.1);
	END LOOP;
END
$$
SQL

	# What a job can make of an error itself.
	$db->query(<<'SQL');
CREATE PROCEDURE note_failure() LANGUAGE plpgsql AS $$
BEGIN
	PERFORM athena_calc.start_calculation_execution('no-such-session', 'print(1)');
EXCEPTION WHEN invalid_parameter_value THEN
	UPDATE job SET failure = SQLSTATE || ' ' || SQLERRM,
		backend = (SELECT backend_type FROM pg_stat_activity WHERE pid = pg_backend_pid());
END
$$
SQL

	my $etl = AthenaCalc::Connection->new($server->{athena}->node, user => 'etl');
	my %command = (
		start   => 'CALL start_it()',
		collect => 'CALL collect()',
		note    => 'CALL note_failure()',
		fail    => q{SELECT athena_calc.get_session_status('no-such-session')},
		null    => 'SELECT athena_calc.terminate_session(NULL)');
	$etl->query('SELECT cron.schedule($1, $2, $3)', $_, $schedule, $command{$_}) for sort keys %command;
	$server->{command} = \%command;
	$etl->close;
}

# The first run of a job with that status, once there is one.
sub run_of
{
	my ($server, $name, $status) = @_;
	my ($athena, $db, $command) = ($server->{athena}, $server->{db}, $server->{command}{$name});
	my $run;

	$athena->wait_until(
		sub {
			($run) = $db->query('SELECT * FROM cron.job_run_details WHERE command = $1 AND status = $2 ORDER BY runid LIMIT 1', $command, $status);
			return $run;
		},
		sub {
			join "\n", "$server->{name}: $command had $status",
			  $db->column(q{SELECT concat_ws(' ', command, status, return_message) FROM cron.job_run_details});
		},
		WAIT_SECONDS);
	return $run;
}

for my $server (@servers)
{
	my ($name, $db) = @{$server}{qw(name db)};

	is(run_of($server, 'start', 'succeeded')->{username}, 'etl', "$name: a job starts a calculation");
	is(run_of($server, 'collect', 'succeeded')->{username}, 'etl', 'a second one collects it');
	my $job = $db->row('SELECT * FROM job');
	is($job->{state},  'COMPLETED', 'its state is in the table');
	is($job->{output}, "42\n",      'and its output');
	is($db->value('SELECT count(*) FROM athena_calc.list_calculation_executions($1)', $job->{session_id}),
		1, 'it was started once');

	# A failing job stands there with what Athena said; the role that scheduled it can read it.
	my $run = run_of($server, 'fail', 'failed');
	like($run->{return_message}, qr/^ERROR: +Athena GetSessionStatus failed: \S.*no-such-session/, 'a job that fails says why');
	like($run->{return_message}, qr/^DETAIL: +exception: InvalidRequestException$/m, 'and by which exception');
	like(run_of($server, 'null', 'failed')->{return_message}, qr/^ERROR: +argument "session_id" must not be NULL/,
		'also where nothing was sent');
	my $etl = AthenaCalc::Connection->new($server->{athena}->node, user => 'etl');
	is($etl->value('SELECT return_message FROM cron.job_run_details WHERE runid = $1', $run->{runid}),
		$run->{return_message}, 'to its owner');

	# pg_cron keeps the message, not the SQLSTATE; a job that needs it catches the error.
	run_of($server, 'note', 'succeeded');
	like($db->value('SELECT failure FROM job'), qr/^22023 Athena StartCalculationExecution failed: /,
		'a job can keep the SQLSTATE itself');

	# It was neither in a command nor in the log.
	my $secret = $server->{athena}->setting('secret_access_key');
	my $shown = join ' ', slurp_file($server->{athena}->node->logfile),
		$db->column('SELECT details::text FROM cron.job_run_details AS details');
	unlike($shown, qr/\Q$secret\E/, 'the secret of postgresql.conf was used, and shown nowhere');
	$db->query('SELECT cron.unschedule(jobid) FROM cron.job');
}

# That the two servers really ran their jobs in different ways.
is($servers[1]{db}->value('SELECT backend FROM job'), 'client backend', 'the jobs of the one were connections');
isnt($servers[0]{db}->value('SELECT backend FROM job'), 'client backend', 'those of the other were not');

done_testing();
