# What a backend holds: one connection for its calls, no more descriptors than PostgreSQL lets it have, and no
# memory that grows with the calls.

use strict;
use warnings;

use AthenaCalc::Test;
use JSON::PP;
use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $athena = AthenaCalc::Test->new;
my $db     = $athena->session_backend;

# Calls of one backend share one connection, also across statements and transactions.
$athena->clear_log;
$db->query('SELECT * FROM athena_calc.list_engine_versions()') foreach 1 .. 5;
$db->query('BEGIN');
$db->query('SELECT * FROM athena_calc.list_sessions()');
$db->error('SELECT athena_calc.get_session($1)', 'no such session');
$db->query('ROLLBACK');
$db->query('SELECT count(*) FROM generate_series(1, 20) i, athena_calc.list_application_dpu_sizes(i)');
my $log = $athena->request_log;
is(scalar @{ $log->{requests} }, 27, 'all calls arrived');
is($log->{connections_opened}, 1, 'over one connection');

# 5,000 calls with errors, time-outs and cancels among them.
$athena->faults(
	{ operation => 'ListSessions',     times => undef, hang => JSON::PP::true },
	{ operation => 'GetSessionStatus', times => undef, drop => 'before' },
	{ operation => 'ListNotebookSessions', times => undef, status => 200, body => '{"NextToken": "' . 'x' x 5000 . '"}' },
	{ operation => 'GetSession', times => undef, error => 'ThrottlingException', message => 'Rate exceeded' });
$db->query(<<'END');
CREATE FUNCTION calls(n int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    failures int := 0;
BEGIN
    FOR i IN 1..n LOOP
        BEGIN
            IF i % 100 = 1 THEN     -- hangs: an attempt times out
                SET LOCAL athena_calc.request_timeout = '10ms';
                PERFORM athena_calc.list_sessions();
            ELSIF i % 100 = 2 THEN  -- the connection breaks
                PERFORM athena_calc.get_session_status('x');
            ELSIF i % 100 = 3 THEN  -- throttled
                SET LOCAL athena_calc.max_attempts = 1;
                PERFORM athena_calc.get_session('x');
            ELSIF i % 10 = 4 THEN   -- refused
                PERFORM athena_calc.get_calculation_execution('x');
            ELSIF i % 10 = 5 THEN   -- several at once
                PERFORM athena_calc.batch_get_calculation_execution_status(ARRAY['a', 'b', 'c']);
            ELSIF i % 10 = 6 THEN   -- nobody there
                SET LOCAL athena_calc.endpoint_url = 'http://127.0.0.1:1';
                SET LOCAL athena_calc.max_attempts = 1;
                PERFORM athena_calc.list_engine_versions();
            ELSIF i % 10 = 7 THEN   -- too large
                SET LOCAL athena_calc.max_response_size = '1kB';
                PERFORM athena_calc.list_notebook_sessions('x');
            ELSE
                PERFORM athena_calc.list_engine_versions();
            END IF;
        EXCEPTION WHEN OTHERS THEN
            failures := failures + 1;
        END;
        RESET athena_calc.request_timeout;
        RESET athena_calc.max_attempts;
        RESET athena_calc.endpoint_url;
        RESET athena_calc.max_response_size;
    END LOOP;
    RETURN failures;
END $$;
END

sub canceled_call
{
	$db->query("SET statement_timeout = '20ms'");
	my $error = $db->error('SELECT athena_calc.list_sessions()');
	$db->query('RESET statement_timeout');
	return $error->{sqlstate} eq '57014';
}

$db->query('SELECT calls(500)');
canceled_call() foreach 1 .. 5;
my ($memory, $descriptors) = ($db->memory_kb, $db->descriptors);
my ($failures, $canceled) = (0, 0);

foreach (1 .. 10)
{
	$failures += $db->value('SELECT calls(495)');
	$canceled += canceled_call() foreach 1 .. 5;
}
cmp_ok($failures, '>', 1000, "$failures calls failed as they should");
is($canceled, 50, 'and 50 were canceled');
cmp_ok($db->memory_kb - $memory, '<', patient(1536), sprintf('5,000 calls: resident memory grew by %d kB', $db->memory_kb - $memory));
# The set of a socket that is waited for alone may be there or not.
cmp_ok($db->descriptors, '<=', $descriptors + 1, 'and no descriptor is left');
$athena->clear_faults;

# A connection that its server ends costs nothing while another is waited for, and is not taken for another connection.
my $ending = AthenaCalc::Emulator->new;
my $asked  = 'SELECT count(*) FROM athena_calc.list_engine_versions()';
my $batch  = 'SELECT count(*) FROM athena_calc.batch_get_calculation_execution_status($1)';
$athena->fault(operation => 'GetCalculationExecutionStatus', times => 3, delay => min(patient(2), 20));
$db->query("SET athena_calc.endpoint_url = '" . $ending->url . q('));
is($db->value($asked), 2, 'a server answers') foreach 1 .. 4;
$db->query('RESET athena_calc.endpoint_url');
my $used = $db->cpu_seconds;
$db->send($batch, '{a,b,c}');
$ending->stop;
is($db->finish->{rows}[0][0], 3, 'it goes, and another answers after a while');
cmp_ok($db->cpu_seconds - $used, '<', patient(1), sprintf('waiting for that took %.2f s of CPU', $db->cpu_seconds - $used));
my @descriptors;
foreach my $round (1 .. 3)
{
	is($db->value($asked), 2, "round $round: a call") foreach 1 .. 3;
	canceled_call();
	is($db->value($batch, '{a,b,c}'), 3, 'a batch');
	push @descriptors, $db->descriptors;
}
cmp_ok($descriptors[2], '<=', $descriptors[0] + 1, 'and no descriptor is left');
$athena->clear_faults;

# A backend has a share of max_files_per_process for such sockets; requests wait for one.
my $small = AthenaCalc::Test->new(name => 'small', conf => <<'END');
max_files_per_process = 64
athena_calc.max_concurrency = 1000
END
$small->fault(operation => 'GetCalculationExecutionStatus', times => undef, delay => patient(0.1));
my $row = $small->row(<<'END');
SELECT count(*), count(*) FILTER (WHERE error_code = 'InvalidRequestException') AS asked
  FROM athena_calc.batch_get_calculation_execution_status(ARRAY(SELECT 'x' || i FROM generate_series(1, 200) i))
END
is($row->{count}, 200, 'a batch with fewer descriptors than requests has all its rows');
is($row->{asked}, 200, 'each answered by Athena');
cmp_ok($small->request_log->{max_in_flight}, '<', 64, 'over as many connections as there may be');
cmp_ok($small->request_log->{max_in_flight}, '>', 4, 'and many at once all the same');

# curl does not tell of sockets that never got connected; they do not count against the others for ever.
$small->query("SET athena_calc.endpoint_url = 'http://127.0.0.1:1'");
$small->query('SET athena_calc.max_attempts = 1');
$small->query_error('SELECT athena_calc.list_engine_versions()') foreach 1 .. 50;
$small->query('RESET athena_calc.endpoint_url');
$small->clear_log;
$row = $small->row(<<'END');
SELECT count(*) FILTER (WHERE error_code = 'InvalidRequestException') AS asked
  FROM athena_calc.batch_get_calculation_execution_status(ARRAY(SELECT 'x' || i FROM generate_series(1, 50) i))
END
is($row->{asked}, 50, 'after 50 refused connections a batch has all its rows');
cmp_ok($small->request_log->{max_in_flight}, '>', 4, 'and many at once');

# Idle connections cost another host's requests nothing: each is one attempt, and all go out at once.
my $other = AthenaCalc::Emulator->new;
$db = $athena->reconnect;
$db->query('SET athena_calc.max_concurrency = 32');
for my $server ($athena->emulator, $other)
{
	$db->query("SET athena_calc.endpoint_url = '" . $server->url . q('));
	$server->clear_log;
	$server->fault(operation => 'GetCalculationExecutionStatus', times => 64, delay => patient(0.5));
	is($db->value(q{SELECT count(*) FROM athena_calc.batch_get_calculation_execution_status(ARRAY(SELECT 'x' || i FROM generate_series(1, 64) i))}),
		64, 'a batch');
	is_deeply([ grep { $_->{headers}{'amz-sdk-request'} !~ /^attempt=1;/ } $server->requests ], [], 'each request is an attempt');
	is($server->log->{max_in_flight}, 32, 'as many at once as there may be');
}

# They give way to a program that prints credentials.
my $config = $small->home . '/.aws/config';
mkdir $small->home . '/.aws' or die "cannot make a directory: $!";
append_to_file($config, sprintf "[profile printed]\ncredential_process = /bin/echo '%s'\n", encode_json({
	Version => 1, AccessKeyId => $small->setting('access_key_id'), SecretAccessKey => $small->setting('secret_access_key') }));
$small->query(q{SET athena_calc.access_key_id = ''; SET athena_calc.secret_access_key = '';
	SET athena_calc.profile = 'printed'; SET athena_calc.allow_credential_process = on});
is($small->value('SELECT count(*) FROM athena_calc.list_engine_versions()'), 2,
	'idle connections do not keep a program from its descriptors');
$small->query("RESET athena_calc.$_") for qw(access_key_id secret_access_key profile allow_credential_process);

# And to another host's.
$small->query("SET athena_calc.endpoint_url = '" . $other->url . q('));
is($small->value('SELECT count(*) FROM athena_calc.list_engine_versions()'), 2,
	'idle connections do not keep a call to another host from its descriptor');

# Where others have taken all descriptors there are for such use, a call says so.
SKIP:
{
	skip 'dblink is not there', 3
	  if !$small->value("SELECT count(*) FROM pg_available_extensions WHERE name = 'dblink'");

	$small->reconnect;
	$small->query('CREATE EXTENSION dblink');
	my $taken = $small->value(<<'END');
CREATE FUNCTION take_descriptors() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    taken int := 0;
BEGIN
    LOOP
        PERFORM dblink_connect('connection ' || taken, 'dbname=postgres');
        taken := taken + 1;
    END LOOP;
EXCEPTION WHEN OTHERS THEN
    RETURN taken;
END $$;
SELECT take_descriptors();
END
	my $error = $small->query_error('SELECT athena_calc.list_engine_versions()');
	is($error->{sqlstate}, '53000', "no descriptor is left where $taken others are taken");
	like($error->{hint}, qr/max_files_per_process/, 'with what to raise');

	# With each that is given back the call comes further, until there are enough.
	my %seen;
	foreach my $given_back (1 .. $taken)
	{
		$small->query("SELECT dblink_disconnect('connection " . ($given_back - 1) . "')");
		my $result = $small->session_backend->send('SELECT athena_calc.list_engine_versions()')->finish;
		$seen{ $result->{error} ? $result->{error}{sqlstate} : 'rows' }++;
	}
	is_deeply([ sort keys %seen ], [qw(53000 rows)], 'some are too few, with the same error, and some are enough');
}

# Connections end with the backend.
$athena->query('SELECT * FROM athena_calc.list_engine_versions()');
cmp_ok($athena->request_log->{connections_open}, '>', 0, 'a backend keeps its connections');
$athena->session_backend->close;
my $open = 1;
for (my $tries = 0; $open > 0 && $tries < 100; $tries++)
{
	sleep 0.05;
	$open = $athena->request_log->{connections_open};
}
is($open, 0, 'and they end with it');

done_testing();
