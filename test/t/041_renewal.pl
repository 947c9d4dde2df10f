# Credentials that are due, or are refused, while something is under way: a copy by a parallel query, an upload, what is stopped and
# taken back. When there are no others, it is told all the same what may be left.

use strict;
use warnings;

use AthenaCalc::Test;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $athena = AthenaCalc::Test->new(
	settings => { access_key_id => undef, secret_access_key => undef, profile => 'program', allow_credential_process => 'on' });
my $home = $athena->home;
my ($key, $secret) = (AthenaCalc::Test::ACCESS_KEY, AthenaCalc::Test::SECRET_KEY);

# The program fails while there is a file "broken", and what it gives is good for as many seconds as the file "seconds" says.
mkdir "$home/.aws" or die "cannot make a directory: $!";
write_file("$home/.aws/config", "[profile program]\ncredential_process = $home/program\n");
write_file("$home/seconds",     3600);
write_file("$home/program",     <<"END");
#!/bin/sh
echo run >>$home/runs
[ ! -e $home/broken ] || exit 3
expiration=\$(date -u -d "+\$(cat $home/seconds) seconds" +%Y-%m-%dT%H:%M:%SZ)
echo '{"Version": 1, "AccessKeyId": "$key", "SecretAccessKey": "$secret", "Expiration": "'\$expiration'"}'
END
chmod 0755, "$home/program";

sub runs { return -e "$home/runs" ? slurp_file("$home/runs") =~ tr/\n// : 0 }

# 1. Parts leave while the query's workers run: nothing may begin a subtransaction then, and keys that still hold are good enough.

$athena->query($_)
  for 'CREATE TABLE numbers AS SELECT i FROM generate_series(1, 1000) i', 'ANALYZE numbers',
  'ALTER TABLE numbers SET (parallel_workers = 2)', 'SET parallel_setup_cost = 0', 'SET parallel_tuple_cost = 0',
  'SET min_parallel_table_scan_size = 0';
my $query = q{SELECT i, repeat('x', 50000), pg_sleep(0.02) FROM numbers};
like(join("\n", $athena->column("EXPLAIN $query")), qr/Gather/, 'a parallel query');
write_file("$home/seconds", 4);
is($athena->value('SELECT athena_calc.copy_to_s3($1, $2)', $query, 's3://athena-emulator/numbers.csv'), 1000,
	'a copy by it outlasts the time when its credentials are due');
cmp_ok(runs(), '>=', 2, 'they were fetched anew in the end');

# A wait goes on when its credentials are due and there are no others yet; it is seen all the while.
unlink "$home/broken";
write_file("$home/seconds", 60);
$athena->reconnect;
my $wait = $athena->connect;
my $waited = $athena->start_calculation($athena->start_session, 'import time; time.sleep(6)');
write_file("$home/seconds", 6);
$wait->query(q{SET athena_calc.max_poll_interval = '200ms'});
my $fetched = runs();
$wait->send(q{SELECT (athena_calc.wait_for_calculation($1)).state}, $waited);
$athena->wait_until(sub { runs() > $fetched }, 'it has credentials');
write_file("$home/broken", '');
$athena->wait_until(sub { slurp_file($athena->node->logfile) =~ /could not refresh AWS credentials/ }, 'other credentials are asked for in vain');
is($athena->value('SELECT count(*) FROM athena_calc.activity WHERE pid = $1', $wait->pid), 1, 'a wait whose credentials cannot be renewed yet is in athena_calc.activity');
write_file("$home/seconds", 3600);
unlink "$home/broken";
my $result = $wait->finish;
is($result->{rows}[0][0], 'COMPLETED', 'it ends well') || diag($result->{error}{message});

# 2. S3 refuses to begin an upload, and there are no other credentials: nothing is waited for, for nothing was begun.

sub with_credentials
{
	unlink "$home/broken";
	write_file("$home/seconds", 3600);
	$athena->reconnect;
	$athena->clear_faults;
	$athena->identity;
	write_file("$home/broken", '');
	$athena->clear_log;
	return;
}

my $rows = q{SELECT repeat('x', 50000) FROM generate_series(1, 400)};
with_credentials();
$athena->fault(operation => 'S3.CreateMultipartUpload', error => 'ExpiredToken', status => 400);
my $since = time;
my $error = $athena->query_error('SELECT athena_calc.copy_to_s3($1, $2)', $rows, 's3://athena-emulator/refused.csv');
is($error->{sqlstate}, '28000', 'an upload that is refused, without other credentials');
unlike($error->{detail} // '', qr/may be left/, 'leaves nothing');
cmp_ok(time - $since, '<', patient(3), sprintf('%.1f s', time - $since));

# 3. What cannot be taken back is told of, with its name.

with_credentials();
$athena->fault(operation => 'S3.UploadPart',           error => 'AccessDenied', status => 403, times => undef);
$athena->fault(operation => 'S3.AbortMultipartUpload', error => 'ExpiredToken', status => 400, times => undef);
$error = $athena->query_error('SELECT athena_calc.copy_to_s3($1, $2)', $rows, 's3://athena-emulator/left.csv');
is($error->{sqlstate}, '42501', 'a part that is refused');
like($error->{detail}, qr{^object "s3://athena-emulator/left\.csv", upload \S+: AbortMultipartUpload: }m, 'and an upload that is left');

with_credentials();
unlink "$home/broken";
my $session = $athena->start_session;
my $db      = $athena->connect;
$db->send(q{SELECT state FROM athena_calc.run_calculation('import time; time.sleep(60)', session_id => $1)}, $session);
$athena->wait_for_requests('GetCalculationExecution');
my ($id) = $athena->column('SELECT calculation_execution_id FROM athena_calc.list_calculation_executions($1)', $session);
write_file("$home/broken", '');
$athena->fault(operation => 'StopCalculationExecution', error => 'ExpiredTokenException', status => 400, times => undef);
$db->cancel;
$error = $db->finish->{error};
is($error->{sqlstate}, '57014', 'a run is canceled');
like($error->{detail}, qr/^calculation \Q$id\E: StopCalculationExecution failed: /m, 'and a calculation that runs on');

# 4. Nothing can be sent any more, for what was kept is forgotten with the file that it came from: all that is left is told of.

sub lose_credentials
{
	write_file("$home/broken", '');
	write_file("$home/.aws/config", "[profile program]\n# changed\ncredential_process = $home/program\n");
	return;
}

$athena->clear_faults;
with_credentials();
unlink "$home/broken";
$session = $athena->start_session;
$db->send(q{SELECT state FROM athena_calc.run_calculation('import time; time.sleep(60)', session_id => $1)}, $session);
$athena->wait_for_requests('GetCalculationExecution');
($id) = $athena->column('SELECT calculation_execution_id FROM athena_calc.list_calculation_executions($1)', $session);
lose_credentials();
$db->cancel;
$error = $db->finish->{error};
# The cancel may come while a poll finds out.
like($error->{sqlstate}, qr/^(57014|28000)$/, 'a run is canceled that has no credentials any more');
like($error->{detail}, qr/^calculation \Q$id\E: StopCalculationExecution could not be sent\nthe program exited with status 3$/m, $error->{detail});
$db->send('SELECT pg_sleep(60)');
$athena->wait_until(sub { $athena->value(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'}) == 1 }, 'it goes on');
$since = time;
$db->cancel;
is($db->finish->{error}{sqlstate}, '57014', 'what follows can be canceled');
cmp_ok(time - $since, '<', patient(3), 'at once');

unlink "$home/broken";
$athena->clear_log;
$db->send('SELECT athena_calc.copy_to_s3($1, $2)', "$rows UNION ALL SELECT pg_sleep(0.1)::text FROM generate_series(1, 600)", 's3://athena-emulator/lost.csv');
$athena->wait_for_requests('S3.UploadPart');
lose_credentials();
$db->cancel;
$error = $db->finish->{error};
like($error->{sqlstate}, qr/^(57014|28000)$/, 'so is a copy');
like($error->{detail}, qr{^object "s3://athena-emulator/lost\.csv", upload \S+: AbortMultipartUpload: could not be sent\nthe program exited with status 3$}m, $error->{detail});

done_testing();
