# What could be billed and left behind: answers that are lost and then refused, services that hang or are busy, settings
# that change in the midst of a run.

use strict;
use warnings;

use AthenaCalc::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my $athena = AthenaCalc::Test->new(emulator => [ '--credentials', 'AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
	'--credentials', 'AKIDOTHER:another/secret' ]);
my $endless = q{'import time; time.sleep(60)'};

# The sessions of runs that have not ended.
sub left
{
	return $athena->column(q{SELECT state FROM athena_calc.list_sessions()
		WHERE description = 'athena_calc.run_calculation' AND state NOT IN ('TERMINATING', 'TERMINATED')});
}

sub nothing_is_left
{
	my ($name) = @_;

	$athena->clear_faults;
	is_deeply([ left() ], [], $name);
	return;
}

# Starts a run in a backend of its own, and cancels it when a request has come.
sub cancel_after
{
	my ($operation, $count) = @_;
	my $db = $athena->connect;

	$athena->clear_log;
	$db->query(q{SET athena_calc.max_poll_interval = '500ms'});
	$db->send("SELECT * FROM athena_calc.run_calculation($endless)");
	$athena->wait_until(sub { $athena->requests($operation) >= $count }, "$operation came");
	$db->cancel;
	return $db->finish->{error};
}

# The answer is lost, and what follows it is refused: a session may have been started all the same.
$athena->faults({ operation => 'StartSession', drop => 'after' },
	{ operation => 'StartSession', error => 'ThrottlingException', times => 5 });
my $error = cancel_after('StartSession', 3);
is($error->{sqlstate}, '57014', 'canceled while the start is throttled');
like($error->{detail}, qr/^session [0-9a-f-]{36}: TERMINAT/m, 'it is learned what the lost answer said');
nothing_is_left('the session of the lost answer is terminated');

$athena->faults({ operation => 'StartSession', drop => 'after' },
	{ operation => 'StartSession', error => 'TooManyRequestsException', message => 'Maximum allowed sessions', times => 2 });
is($athena->query_error("SELECT * FROM athena_calc.run_calculation($endless)")->{sqlstate}, '53400', 'a quota that is used up by it');
nothing_is_left('is given back');

# Plain refusals leave nothing that would have to be learned about: no start is sent any more when the time is up or somebody cancels.
my %no_room = (operation => 'StartSession', error => 'TooManyRequestsException', message => 'You have reached the maximum number of DPUs', times => undef);
for my $name ('', q(, session_name => 'crowded'))
{
	$athena->fault(%no_room);
	# An attempt that the end of the time cuts off would be a start without an answer. Each poll has a second at least.
	$athena->query(q{SET athena_calc.max_attempts = 1; SET athena_calc.max_poll_interval = '500ms'; SET athena_calc.progress = on});
	$athena->clear_log;
	$error = $athena->query_error("SELECT * FROM athena_calc.run_calculation($endless, timeout => '2s'$name)");
	is($error->{sqlstate}, 'SP003', 'there is no room for a session until the time is up');
	is($error->{message}, 'timed out: no session could be started: You have reached the maximum number of DPUs', 'why');
	is($error->{detail}, undef, 'nothing was started, and nothing is said of it');
	is_deeply([ $athena->notices ], ['session not started: You have reached the maximum number of DPUs'], 'with athena_calc.progress one is told meanwhile');
	$athena->query('RESET athena_calc.max_attempts; RESET athena_calc.max_poll_interval; RESET athena_calc.progress');

	# It is seen that it waits from its pause on: no request is under way then.
	my $db = $athena->connect;
	$db->query(q{SET athena_calc.max_poll_interval = '1min'});
	$athena->clear_log;
	$db->send("SELECT * FROM athena_calc.run_calculation($endless$name)");
	$athena->wait_until(sub { $athena->value('SELECT count(*) FROM athena_calc.activity WHERE pid = $1', $db->pid) }, 'it waits');
	is($athena->value('SELECT count(*) FROM athena_calc.activity WHERE pid = $1', $db->pid), 1, 'others see that it waits');
	my $asked = $athena->requests('StartSession');
	$db->cancel;
	$error = $db->finish->{error};
	is($error->{sqlstate}, '57014', 'canceled meanwhile');
	is($error->{detail}, undef, 'nothing is said of it either');
	is(scalar($athena->requests('StartSession')), $asked, 'and it is asked for no more');
	nothing_is_left('no session is there');
}

# Nor does what never left.
$athena->query(q{SET athena_calc.endpoint_url = 'http://127.0.0.1:1'; SET athena_calc.max_poll_interval = '200ms'});
$error = $athena->query_error("SELECT * FROM athena_calc.run_calculation($endless)");
is($error->{sqlstate}, '08001', 'nobody is there');
unlike($error->{detail} // '', qr/may have started/, 'nothing was started');
$athena->query('RESET athena_calc.endpoint_url; RESET athena_calc.max_poll_interval');

# The session is known, and the calculation's start hangs: the session comes first.
$athena->fault(operation => 'StartCalculationExecution', hang => \1, times => undef);
$error = cancel_after('StartCalculationExecution', 1);
like($error->{detail}, qr/^session [0-9a-f-]{36}: TERMINAT/m, 'a session is terminated whose calculation has not started');
nothing_is_left('so that it is gone');

# What never left is not learned about.
$athena->clear_log;
$athena->query(q{SET athena_calc.work_group = ''});
$error = $athena->query_error("SELECT * FROM athena_calc.run_calculation($endless)");
is($error->{sqlstate}, '55000', 'no work group');
is($error->{detail}, undef, 'nothing was started, and nothing is said of it');
is($athena->requests, 0, 'nothing was sent');
$athena->query('RESET athena_calc.work_group');

# A termination that is throttled is tried on, after success and after failure.
for my $case ([ q{'print(1)'}, '00000' ], [ q{'1/0'}, 'SP001' ])
{
	my ($code, $sqlstate) = @$case;

	$athena->fault(operation => 'TerminateSession', error => 'ThrottlingException', times => 4);
	is($athena->query_error("SELECT * FROM athena_calc.run_calculation($code)")->{sqlstate}, $sqlstate, "a run that ends with $sqlstate");
	nothing_is_left('terminates its session when it may');
}

# Also where that takes longer than the run had time for: its end has a time of its own.
{
	my $db = $athena->connect;

	$db->query("SET athena_calc.$_") foreach 'max_attempts = 1', q{max_poll_interval = '500ms'};
	$athena->fault(operation => 'TerminateSession', error => 'ThrottlingException', message => 'Rate exceeded', times => 12);
	is($db->error(q{SELECT athena_calc.run_calculation('print(1)', timeout => '} . patient(5) . q{s')})->{sqlstate}, '00000', 'a run that ends shortly before its time');
	is_deeply([ $db->notices ], [], 'with nothing to tell of');
	nothing_is_left('terminates its session after it');
	$athena->clear_faults;
}

# A run goes on as it began, whatever becomes of settings of the transaction that it began in.
$athena->clear_log;
$athena->query(q{DO $$ DECLARE v athena_calc.calculation_execution; BEGIN
	PERFORM set_config('athena_calc.access_key_id', 'AKIDOTHER', true), set_config('athena_calc.secret_access_key', 'another/secret', true);
	CALL athena_calc.run('import time; time.sleep(1)', result => v);
END $$});
is_deeply([ sort keys %{ { map { $_->{access_key_id} => 1 } $athena->requests } } ], ['AKIDOTHER'], 'all of a run has one key');
nothing_is_left('which ends its session, too');

# Throttling does not hide what was known.
my $session = $athena->start_session;
my $id = $athena->start_calculation($session, 'import time; time.sleep(60)');
$athena->fault(operation => 'GetCalculationExecution', error => 'ThrottlingException', times => undef, skip => 2);
is($athena->value(q{SELECT state FROM athena_calc.wait_for_calculation($1, '3s')}, $id), 'RUNNING', 'the row as it was, when the time is up');
$athena->clear_faults;
$athena->query('SELECT athena_calc.stop_calculation_execution($1)', $id);

done_testing();
