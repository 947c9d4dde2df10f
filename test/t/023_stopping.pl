# What a run has started ends with its statement: on Ctrl-C, statement_timeout and pg_terminate_backend, whatever it is
# doing just then. The request to stop leaves at once; the error is PostgreSQL's own, with what Athena answered.

use strict;
use warnings;

use AthenaCalc::Test;
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(sleep time);

# What is promised is that the request leaves within 50 ms and that its answer is waited for 5 s at most. The bounds are
# for machines that are busy with something else.
use constant {
	AT_ONCE => patient(3),
	PATIENCE => 5 + patient(5)
};

my $athena  = AthenaCalc::Test->new;
my $session = $athena->start_session;
my $code    = 'import time; time.sleep(600)';
my @latencies;

sub own_sessions
{
	return $athena->query('SELECT * FROM ' . EVERY_SESSION . q{ WHERE description = 'athena_calc.run_calculation'});
}

sub running
{
	return $athena->column('SELECT c.calculation_execution_id FROM ' . EVERY_SESSION . q{, athena_calc.list_calculation_executions(session.session_id) c
		WHERE c.state NOT IN ('COMPLETED', 'FAILED', 'CANCELED')});
}

# Passes when, soon, no calculation runs and no session of a run is open.
sub nothing_is_left
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(
		eval {
			$athena->wait_until(
				sub { return !running() && !grep { $_->{state} !~ /^(TERMINATED|FAILED)$/ } own_sessions() },
				'all has ended');
			1;
		},
		$name);
}

# The first request of an operation, which is waited for, since a time.
sub is_sent_at_once
{
	my ($operation, $since, $name) = @_;
	my ($request) = $athena->wait_for_requests($operation);
	my $took = $request->{time} - $since;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	push @latencies, $took * 1000;
	return cmp_ok($took, '<', AT_ONCE, sprintf('%s: %s after %.1f ms', $name, $operation, $took * 1000));
}

# What a run can be in the middle of. begin: before its statement; arguments of run_calculation; until: the request that
# shows it has got there, and how many of them; sends: what is to be sent when it is canceled; calculations: how many of
# them are started in all.
my @phases = (
	{
		name      => 'waiting for its own session',
		begin     => sub { $athena->emulator_settings(session_start_seconds => 60) },
		arguments => '$$CODE$$',
		until     => [ 'GetSessionStatus', 1 ],
		sends     => ['TerminateSession'],
		detail    => qr/^session [0-9a-f-]{36}: TERMINAT(ING|ED)$/
	},
	{
		name      => 'the start of its own session has no answer',
		begin     => sub { $athena->fault(operation => 'StartSession', hang => \1, apply => \1) },
		arguments => '$$CODE$$',
		until     => [ 'StartSession', 1 ],
		sends     => [ 'StartSession', 'TerminateSession' ],
		detail    => qr/^session [0-9a-f-]{36}: TERMINAT(ING|ED)$/
	},
	{
		name      => 'a poll of its own session has no answer',
		begin     => sub { $athena->fault(operation => 'GetSessionStatus', hang => \1) },
		arguments => '$$CODE$$',
		until     => [ 'GetSessionStatus', 1 ],
		sends     => ['TerminateSession'],
		detail    => qr/^session [0-9a-f-]{36}: TERMINAT(ING|ED)$/
	},
	{
		name         => 'the start of the calculation has no answer',
		begin        => sub { $athena->fault(operation => 'StartCalculationExecution', hang => \1, apply => \1) },
		arguments    => '$$CODE$$, $$SESSION$$',
		until        => [ 'StartCalculationExecution', 1 ],
		sends        => [ 'StartCalculationExecution', 'StopCalculationExecution' ],
		detail       => qr/^calculation [0-9a-f-]{36}: CANCEL(ING|ED)$/,
		calculations => 1
	},
	{
		name         => 'the start of the calculation is on its way',
		begin        => sub { $athena->fault(operation => 'StartCalculationExecution', hang => \1) },
		arguments    => '$$CODE$$, $$SESSION$$',
		until        => [ 'StartCalculationExecution', 1 ],
		sends        => [ 'StartCalculationExecution', 'StopCalculationExecution' ],
		detail       => qr/^calculation [0-9a-f-]{36}: CANCEL(ING|ED)$/,
		calculations => 1
	},
	{
		name         => 'its answer is lost again and again',
		begin        => sub {
			$athena->fault(operation => 'StartCalculationExecution', times => 3, status => 500, apply => \1);
		},
		arguments    => '$$CODE$$, $$SESSION$$',
		until        => [ 'StartCalculationExecution', 3 ],
		sends        => [ 'StartCalculationExecution', 'StopCalculationExecution' ],
		detail       => qr/^calculation [0-9a-f-]{36}: CANCEL(ING|ED)$/,
		calculations => 1
	},
	{
		name         => 'the pause between two polls',
		arguments    => '$$CODE$$, $$SESSION$$',
		until        => [ 'GetCalculationExecution', 3 ],
		sends        => ['StopCalculationExecution'],
		detail       => qr/^calculation [0-9a-f-]{36}: CANCEL(ING|ED)$/,
		calculations => 1
	},
	{
		name         => 'a poll has no answer',
		begin        => sub { $athena->fault(operation => 'GetCalculationExecution', skip => 1, hang => \1) },
		arguments    => '$$CODE$$, $$SESSION$$',
		until        => [ 'GetCalculationExecution', 2 ],
		sends        => ['StopCalculationExecution'],
		detail       => qr/^calculation [0-9a-f-]{36}: CANCEL(ING|ED)$/,
		calculations => 1
	},
	{
		name         => 'a run in a session of its own',
		arguments    => '$$CODE$$',
		until        => [ 'GetCalculationExecution', 1 ],
		sends        => [ 'StopCalculationExecution', 'TerminateSession' ],
		detail       => qr/^calculation [0-9a-f-]{36}: (CANCEL(ING|ED)|FAILED)\nsession [0-9a-f-]{36}: TERMINAT(ING|ED)$/,
		calculations => 1
	},
	{
		name         => 'a run in a session of a name',
		arguments    => '$$CODE$$, session_name => $$hourly$$',
		until        => [ 'GetCalculationExecution', 1 ],
		sends        => ['StopCalculationExecution'],
		detail       => qr/^calculation [0-9a-f-]{36}: CANCEL(ING|ED)$/,
		calculations => 1
	},
	{
		name      => 'it waits its turn',
		begin     => sub {
			$athena->start_calculation($session, 'import time; time.sleep(' . patient(3) . ')');
			$athena->wait_for_session($session, 'BUSY');
		},
		arguments => '$$CODE$$, $$SESSION$$',
		until     => [ 'GetSessionStatus', 1 ],
		sends     => [],
		detail    => undef
	});

sub statement_of
{
	my ($phase) = @_;
	my $arguments = $phase->{arguments};

	$arguments =~ s/CODE/$code/;
	$arguments =~ s/SESSION/$session/;
	return "SELECT * FROM athena_calc.run_calculation($arguments)";
}

# A backend in the middle of a phase.
sub begin_phase
{
	my ($phase, $in_what) = @_;
	my $db = $athena->connect;
	my ($operation, $count) = @{ $phase->{until} };

	$athena->clear_faults;
	$athena->emulator_settings(session_start_seconds => 0);
	$athena->wait_for_session($session, 'IDLE');
	$phase->{begin}->() if $phase->{begin};
	$athena->clear_log;
	$db->send(($in_what // '%s') =~ s/%s/statement_of($phase)/er);
	$athena->wait_for_requests($operation, $count);
	# There it is; its statement may be just before the pause.
	sleep 0.03;
	return ($db, scalar(() = $athena->requests));
}

sub is_stopped
{
	my ($phase, $since, $before) = @_;
	my $name = $phase->{name};

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @sent = grep { $_->{operation} !~ /^(Get|List)/ } ($athena->requests)[ $before .. ($athena->requests - 1) ];
	# What is said to stop or to end may be said again: an attempt that is lost is made once more.
	my %said;
	my @operations = grep { /^Start/ || !$said{$_}++ } map { $_->{operation} } @sent;
	is_deeply([ sort @operations ], [ sort @{ $phase->{sends} } ], "$name: what is sent")
	  or diag explain [ map { "$_->{operation} $_->{time}" } $athena->requests ];
	for my $request (@sent)
	{
		my $took = ($request->{time} - $since) * 1000;

		push @latencies, $took;
		cmp_ok($took, '<', AT_ONCE * 1000, sprintf('%s after %.1f ms', $request->{operation}, $took));
	}
	my @starts = $athena->requests('StartCalculationExecution');
	my %tokens = map { $_->{members}{ClientRequestToken} => 1 } @starts;
	is(keys %tokens, 1, 'all starts have one token') if @starts;
	my $calculation = $phase->{calculations} ? 1 : 0;
	my %stopped = map { $_->{members}{CalculationExecutionId} => 1 } $athena->requests('StopCalculationExecution');
	is(keys %stopped, $calculation, 'one calculation is stopped') if $calculation;
	nothing_is_left('nothing runs');
	return;
}

for my $phase (@phases)
{
	my $name = $phase->{name};

	# Ctrl-C
	my ($db, $before) = begin_phase($phase);
	my $since = time;
	$db->cancel;
	my $error = $db->finish->{error};
	my $took = time - $since;
	cmp_ok($took, '<', AT_ONCE, sprintf('%s, canceled: %.1f ms', $name, $took * 1000));
	is_deeply([ @{$error}{qw(sqlstate message)} ], [ '57014', 'canceling statement due to user request' ], 'in the words of PostgreSQL');
	$phase->{detail} ? like($error->{detail}, $phase->{detail}, $error->{detail}) : is($error->{detail}, undef, 'nothing to tell of');
	is_stopped($phase, $since, $before);
	is($db->value('SELECT 6 * 7'), 42, 'the backend goes on');
	$db->close;

	# A cancel that is caught
	($db, $before) = begin_phase($phase, "DO \$block\$
		DECLARE
			told text;
		BEGIN
			PERFORM * FROM (%s) AS r;
		EXCEPTION WHEN query_canceled THEN
			GET STACKED DIAGNOSTICS told = PG_EXCEPTION_DETAIL;
			RAISE NOTICE 'caught, %', coalesce(nullif(told, ''), 'nothing');
		END \$block\$");
	$since = time;
	# (A cancel by the protocol comes as two signals before PostgreSQL 18: the second might end the block.)
	$athena->query('SELECT pg_cancel_backend($1)', $db->pid);
	is($db->finish->{error}, undef, "$name, a cancel that is caught");
	my ($told) = map { s/^caught, //r } $db->notices;
	like($told, $phase->{detail} // qr/^nothing$/, $told);
	is_stopped($phase, $since, $before);
	$db->close;

	# pg_terminate_backend
	($db, $before) = begin_phase($phase);
	$since = time;
	$athena->query('SELECT pg_terminate_backend($1)', $db->pid);
	$error = $db->finish->{error};
	is($error->{sqlstate}, '57P01', "$name, terminated");
	$athena->wait_until(sub { $athena->value('SELECT count(*) FROM pg_stat_activity WHERE pid = $1', $db->pid) == 0 }, 'it is gone');
	cmp_ok(time - $since, '<', 2 * AT_ONCE, sprintf('it is gone after %.1f ms', (time - $since) * 1000));
	is_stopped($phase, $since, $before);
}

# statement_timeout, also over the waits that come before; idle sessions and others are left alone

for my $arguments (q{$$CODE$$}, q{$$CODE$$, $$SESSION$$})
{
	my $db = $athena->connect;
	my $statement = statement_of({ arguments => $arguments });

	$athena->clear_faults;
	$athena->wait_for_session($session, 'IDLE');
	# The calculation is to run by then, and a session of its own to have started before.
	my $limit = patient($arguments =~ /SESSION/ ? 1.5 : 4);
	$db->query('SET statement_timeout = ' . 1000 * $limit);
	$athena->clear_log;
	my $since = time;
	my $error = $db->error($statement);
	cmp_ok(time - $since, '<', $limit + AT_ONCE, sprintf('statement_timeout: %.2f s', time - $since));
	is_deeply([ @{$error}{qw(sqlstate message)} ], [ '57014', 'canceling statement due to statement timeout' ], 'in the words of PostgreSQL');
	like($error->{detail}, qr/^calculation [0-9a-f-]{36}: (CANCEL(ING|ED)|FAILED)$/m, $error->{detail} // '');
	is_sent_at_once('StopCalculationExecution', $since + $limit, 'statement_timeout');
	nothing_is_left('nothing runs');
	is($athena->value('SELECT state FROM athena_calc.get_session_status($1)', $session), 'IDLE', 'the given session is IDLE again');
}

# One cancel, two signals: before PostgreSQL 18 the postmaster signals the backend and then its process group

for my $phase (grep { $_->{name} =~ /^(the pause|its answer is lost)/ } @phases)
{
	my ($db, $before) = begin_phase($phase);

	$athena->fault(operation => $_, delay => 0.3) foreach qw(StartCalculationExecution StopCalculationExecution);
	kill 'INT', $db->pid;
	sleep 0.01;
	kill 'INT', $db->pid;
	my $error = $db->finish->{error};
	like($error->{detail}, $phase->{detail}, "$phase->{name}, canceled by two signals at once");
	$athena->clear_faults;
	is($athena->requests('StopCalculationExecution'), 1, 'it is stopped');
	$athena->query('SELECT athena_calc.stop_calculation_execution($1)', $_) foreach running();
}

# A start that never gets an answer

my ($lost) = begin_phase({ arguments => '$$CODE$$, $$SESSION$$', until => [ 'StartCalculationExecution', 1 ],
		begin => sub { $athena->fault(operation => 'StartCalculationExecution', hang => \1, apply => \1, times => undef) } });
my $begun = time;
$lost->cancel;
my $unknown = $lost->finish->{error};
cmp_ok(time - $begun, '<', PATIENCE, sprintf('a start without any answer ends after %.2f s', time - $begun));
is($unknown->{sqlstate}, '57014', 'as a canceled statement');
like($unknown->{detail}, qr/StartCalculationExecution.*\Q$session\E|\Q$session\E.*StartCalculationExecution/s, 'DETAIL says that a calculation may be running');
$athena->clear_faults;
$athena->query('SELECT athena_calc.stop_calculation_execution($1)', $_) foreach running();

# Answers that were lost, by an exception with a name, and before refusals: what was started is found and stopped

for my $case (
	[ 'a named error', 2, { error => 'InternalServerException', message => 'So it is.', status => 500 } ],
	[ 'then throttling', 4, { status => 500 }, { error => 'ThrottlingException', message => 'Rate exceeded', times => 2 } ])
{
	my ($name, $count, $loss, @more) = @$case;
	my ($db) = begin_phase(
		{
			arguments => '$$CODE$$, $$SESSION$$',
			until     => [ 'StartCalculationExecution', $count ],
			begin     => sub {
				$athena->faults(map { { operation => 'StartCalculationExecution', %$_ } } { %$loss, apply => \1, times => 2 }, @more);
			}
		},
		q{SET athena_calc.max_attempts = 2; SET athena_calc.max_poll_interval = '2s'; %s});

	$db->cancel;
	my $detail = $db->finish->{error}{detail};
	like($detail // '', qr/^calculation [0-9a-f-]{36}: CANCEL(ING|ED)$/, "a start whose answer is lost, $name: " . ($detail // ''));
	nothing_is_left('nothing runs');
}

# A stop that gets no answer

my %polling = (arguments => '$$CODE$$, $$SESSION$$', until => [ 'GetCalculationExecution', 1 ]);
my ($db) = begin_phase(\%polling);
$athena->fault(operation => 'StopCalculationExecution', hang => \1, apply => \1, times => undef);
my $since = time;
$db->cancel;
my $error = $db->finish->{error};
my $took = time - $since;
is($error->{message}, 'canceling statement due to user request', 'a stop without an answer');
cmp_ok($took, '<', PATIENCE, sprintf('is not waited for any longer: %.2f s', $took));
like($error->{detail}, qr/^calculation [0-9a-f-]{36}: no answer to StopCalculationExecution yet$/, $error->{detail});
is_sent_at_once('StopCalculationExecution', $since, 'it');
nothing_is_left('here Athena had got it');
is($db->value('SELECT 6 * 7'), 42, 'the backend goes on');

($db) = begin_phase(\%polling);
$athena->fault(operation => 'StopCalculationExecution', hang => \1, apply => \1, times => undef);
$db->cancel;
$athena->wait_for_requests('StopCalculationExecution');
sleep 0.3;
$since = time;
$db->cancel;
$error = $db->finish->{error};
cmp_ok(time - $since, '<', AT_ONCE, sprintf('a second cancel gives up: %.1f ms', (time - $since) * 1000));
is($error->{sqlstate}, '57014', 'with the error of the first');
nothing_is_left('nothing runs');
$athena->clear_faults;
is($db->value('SELECT 6 * 7'), 42, 'the backend goes on, and is not canceled again');
is($db->value('SELECT (athena_calc.wait_for_session($1)).state', $session), 'IDLE', 'it speaks with Athena as before');

($db) = begin_phase(\%polling);
$athena->fault(operation => 'StopCalculationExecution', hang => \1, apply => \1, times => undef);
$db->cancel;
$athena->wait_for_requests('StopCalculationExecution');
$since = time;
$athena->query('SELECT pg_terminate_backend($1)', $db->pid);
$db->finish;
$athena->wait_until(sub { $athena->value('SELECT count(*) FROM pg_stat_activity WHERE pid = $1', $db->pid) == 0 }, 'it is gone');
cmp_ok(time - $since, '<', PATIENCE, sprintf('pg_terminate_backend waits for the answer as long: %.1f s', time - $since));
$athena->clear_faults;

($db) = begin_phase(\%polling);
$athena->fault(operation => 'StopCalculationExecution', error => 'AccessDeniedException', message => 'Not yours.');
$db->cancel;
like($db->finish->{error}{detail}, qr/: StopCalculationExecution failed: Athena StopCalculationExecution failed: Not yours\.$|: StopCalculationExecution failed: Not yours\.$/, 'a stop that is refused is told of');
$athena->query('SELECT athena_calc.stop_calculation_execution($1)', $_) foreach running();
($db) = begin_phase(\%polling);
$athena->fault(operation => 'StopCalculationExecution', status => 503, times => 2);
$db->cancel;
like($db->finish->{error}{detail}, qr/CANCEL(ING|ED)$/, 'one that fails is tried again');
nothing_is_left('nothing runs');

# on_cancel = leave: the calculation stays, its id is told; a session of its own goes all the same

for my $way ('a cancel', 'statement_timeout', 'a timeout')
{
	for my $where ([ 'given', q{, $$SESSION$$} ], [ 'named', q{, session_name => $$hourly$$} ], [ 'own', '' ])
	{
		my ($which, $arguments) = @$where;
		# The calculation is to run by then, and a session of its own to have started before.
		my $limit = patient($which eq 'own' ? 4 : 1.5) . 's';

		$arguments .= qq{, timeout => '$limit'} if $way eq 'a timeout';
		my $statement = statement_of({ arguments => "\$\$CODE\$\$$arguments" });
		$db = $athena->connect;
		$db->query(q{SET athena_calc.on_cancel = 'leave'});
		$db->query("SET statement_timeout = '$limit'") if $way eq 'statement_timeout';
		$athena->wait_for_session($session, 'IDLE');
		$athena->clear_log;
		$db->send($statement);
		my ($id) = map { $_->{members}{CalculationExecutionId} } $athena->wait_for_requests('GetCalculationExecution');
		$db->cancel if $way eq 'a cancel';
		$error = $db->finish->{error};
		is($error->{sqlstate}, $way eq 'a timeout' ? 'SP003' : '57014', "on_cancel = leave, $way, a session that is $which");
		if ($which eq 'own')
		{
			like($error->{detail}, qr/^session [0-9a-f-]{36}: TERMINAT(ING|ED)$/m, $error->{detail});
			unlike($error->{detail}, qr/left running/, 'with which its calculation ends');
		}
		else
		{
			like($error->{detail}, qr/^calculation \Q$id\E: left running/m, $error->{detail});
			is_deeply([ running() ], [$id], 'it runs on');
			is_deeply([ grep { $_->{operation} =~ /^(Stop|Terminate)/ } $athena->requests ], [], 'nothing is stopped');
			$athena->query('SELECT athena_calc.stop_calculation_execution($1)', $id);
		}
		nothing_is_left('nothing else is left');
	}
}

($db) = begin_phase({ %polling, begin => sub { $athena->query('ALTER SYSTEM SET athena_calc.on_cancel = $$leave$$'); $athena->query('SELECT pg_reload_conf()'); sleep 0.5 } });
{
	my ($id) = running();
	$athena->query('SELECT pg_terminate_backend($1)', $db->pid);
	$db->finish;
	$athena->wait_until(sub { $athena->value('SELECT count(*) FROM pg_stat_activity WHERE pid = $1', $db->pid) == 0 }, 'it is gone');
	is($athena->requests('StopCalculationExecution'), 0, 'on_cancel = leave, pg_terminate_backend: nothing is stopped');
	$athena->query('SELECT athena_calc.stop_calculation_execution($1)', $id);
}
$athena->query('ALTER SYSTEM RESET athena_calc.on_cancel');
$athena->query('SELECT pg_reload_conf()');
nothing_is_left('nothing is left');

($db) = begin_phase((grep { $_->{name} eq 'the start of the calculation has no answer' } @phases), q{SET athena_calc.on_cancel = 'leave'; %s});
{
	$db->cancel;
	my $detail = $db->finish->{error}{detail};
	like($detail, qr/^calculation [0-9a-f-]{36}: left running/, $detail);
	is(running(), 1, 'it runs on');
}
$athena->query('SELECT athena_calc.stop_calculation_execution($1)', $_) foreach running();
nothing_is_left('nothing is left');

# What the exit of a backend has stopped stands in the server's log

($db) = begin_phase(\%polling);
my $logged = -s $athena->node->logfile;
$athena->query('SELECT pg_terminate_backend($1)', $db->pid);
$db->finish;
$athena->wait_until(sub { PostgreSQL::Test::Utils::slurp_file($athena->node->logfile, $logged) =~ /DETAIL:  calculation [0-9a-f-]{36}: CANCEL/ }, 'it is in the log');
pass('the log tells what became of the calculation of a terminated backend');
nothing_is_left('nothing is left');

# Athena freezes, or is gone, in the middle of a run: the error comes after a bounded time

for my $end ([ 'STOP', 18 ], [ 'KILL', 12 ])
{
	my ($signal, $bound) = @$end;
	my %backends = map { $_ => $athena->connect } 'SELECT athena_calc.run_calculation($$CODE$$)', 'CALL athena_calc.run($$CODE$$)';

	$athena->clear_log;
	for my $statement (sort keys %backends)
	{
		$backends{$statement}->query("SET athena_calc.$_") foreach q{max_poll_interval = '250ms'}, q{request_timeout = '500ms'};
		$backends{$statement}->send($statement =~ s/CODE/$code/r);
	}
	$athena->wait_until(
		sub {
			my %asked = map { $_->{members}{CalculationExecutionId} => 1 } $athena->requests('GetCalculationExecution');
			return keys %asked == 2;
		},
		'both run');
	my $since = time;
	$athena->emulator->signal($signal);
	for my $statement (sort keys %backends)
	{
		$error = $backends{$statement}->finish->{error};
		like($error->{sqlstate}, qr/^0800[16]$/, "SIG$signal to the service: " . $statement =~ s/\(.*//r);
		cmp_ok(time - $since, '<', patient($bound), sprintf('%.1f s', time - $since));
		like($error->{detail}, qr/^calculation [0-9a-f-]{36}: .*StopCalculationExecution/m, 'that it could not be stopped is told');
	}
	$athena->emulator->signal('CONT');
}

note sprintf 'requests to stop left after %.1f to %.1f ms, on average %.1f', (sort { $a <=> $b } @latencies)[ 0, -1 ],
  eval { my $sum = 0; $sum += $_ foreach @latencies; $sum / @latencies };

done_testing();
