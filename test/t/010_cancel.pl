# Canceling takes effect at once, whatever a request is doing: by the user, by statement_timeout, and by the
# end of the backend. A wait here would last for a minute.

use strict;
use warnings;

use AthenaCalc::Test;
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX qw(SIGINT);
use PostgreSQL::Test::Utils;
use Socket qw(SOMAXCONN);
use Test::More;
use Time::HiRes qw(sleep time);

# What is promised is 50 ms. The bound is wider for machines that are busy with something else; each test tells
# what it took.
use constant BOUND_MS => patient(500);

# A name server that never answers: the server's own getaddrinfo, for names of one domain.
my $directory = tempdir(CLEANUP => 1);
my $resolver = "$directory/resolver.so";

append_to_file("$directory/resolver.c", <<'END');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (node != NULL && strstr(node, "never-answers") != NULL)
		sleep(60);
	next = (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))
		dlsym(RTLD_NEXT, "getaddrinfo");
	return next(node, service, hints, result);
}
END
my $has_resolver =
  system(($ENV{CC} || 'cc'), '-shared', '-fPIC', '-o', $resolver, "$directory/resolver.c", '-ldl') == 0;

# A listener that nobody accepts from: connections are made, TLS is never spoken.
my $silent = IO::Socket::INET->new(Listen => SOMAXCONN, LocalAddr => '127.0.0.1') or die "listen: $!";

# A listener whose queue is full: further connections are not even made.
my $full = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "listen: $!";
my @waiting = map {
	IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $full->sockport, Blocking => 0)
} 1 .. 8;

$ENV{LD_PRELOAD} = $resolver if $has_resolver;
my $athena = AthenaCalc::Test->new(conf => <<'END');
athena_calc.connect_timeout = '1min'
athena_calc.request_timeout = '1min'
END
delete $ENV{LD_PRELOAD};

my $statement = 'SELECT * FROM athena_calc.list_engine_versions()';
my $batch = <<'END';
SELECT * FROM athena_calc.batch_get_calculation_execution_status(
    ARRAY(SELECT 'calculation-' || i FROM generate_series(1, 100) i))
END

my @phases = (
	{
		name     => 'resolving a name',
		skip     => $has_resolver ? undef : 'no C compiler',
		settings => "SET athena_calc.endpoint_url = 'http://never-answers.test:1'"
	},
	{
		name     => 'connecting',
		settings => "SET athena_calc.endpoint_url = 'http://127.0.0.1:" . $full->sockport . q(')
	},
	{
		name     => 'the TLS handshake',
		settings => "SET athena_calc.endpoint_url = 'https://127.0.0.1:" . $silent->sockport . q(')
	},
	{ name => 'waiting for an answer', fault => { hang => JSON::PP::true } },
	{
		name  => 'an answer that drips',
		fault => { drip_body => { bytes => 1, interval => 0.1 } }
	},
	{
		name     => 'the pause between attempts',
		settings => 'SET athena_calc.max_attempts = 20',
		fault    => {
			error   => 'ThrottlingException',
			message => 'Rate exceeded',
			headers => { 'x-amz-retry-after' => '4900' }
		}
	},
	{
		name      => 'a batch of 100',
		settings  => 'SET athena_calc.max_concurrency = 100',
		statement => $batch,
		fault     => { hang => JSON::PP::true }
	});

# Starts the statement of a phase in a backend of its own, and gives it time to get there.
sub begin_phase
{
	my ($phase, @settings) = @_;
	my $db = $athena->connect;

	$athena->clear_faults;
	$athena->fault(operation => '*', times => undef, %{ $phase->{fault} }) if $phase->{fault};
	$db->query($_) foreach grep { defined } 'LOAD $$athena_calc$$', $phase->{settings}, @settings;
	$db->send($phase->{statement} || $statement);
	return $db;
}

# What a backend waits for. It may be looked at before it gets there, and when it reads what has come.
sub wait_event
{
	my ($db) = @_;
	my $event;

	$athena->wait_until(
		sub {
			$event = $athena->value(q(SELECT wait_event_type || ' ' || wait_event FROM pg_stat_activity WHERE pid = $1), $db->pid);
			return ($event // '') =~ /^Extension /;
		},
		sub { 'it waited in the extension, not for ' . ($event // 'nothing') });
	return $event;
}

sub is_prompt
{
	my ($since, $name) = @_;
	my $took = (time - $since) * 1000;

	cmp_ok($took, '<', BOUND_MS, sprintf('%s took %.1f ms', $name, $took));
}

# What is prepared for very many is under the eye of cancels, too: nothing was sent yet.
for my $function ('batch_get_calculation_execution_status(ids)', 'wait_for_calculations(ids)')
{
	my $db = $athena->connect;

	$db->query($_) for 'LOAD $$athena_calc$$',
	  q{CREATE TEMP TABLE many AS SELECT array_agg('calculation-' || i) AS ids FROM generate_series(1, 200000) i},
	  q{SET statement_timeout = '50ms'};
	$athena->clear_log;
	my $since = time;
	is($db->error("SELECT count(*) FROM many, athena_calc.$function")->{sqlstate}, '57014', "$function for 200,000 IDs is canceled");
	my $took = (time - $since) * 1000;
	cmp_ok($took, '<', 50 + BOUND_MS, sprintf('after %.0f ms', $took));
	is($athena->requests, 0, 'while they are prepared');
}

foreach my $phase (@phases)
{
	my $name = $phase->{name};

  SKIP:
	{
		skip $phase->{skip}, 11 if $phase->{skip};

		# Ctrl-C; and the backend goes on.
		my $db = begin_phase($phase);
		sleep 0.4;
		like(wait_event($db) // '', qr/^Extension (Extension|AthenaCalcHttp)$/, "$name shows as a wait event");
		my $since = time;
		$db->cancel;
		my $error = $db->finish->{error};
		is_prompt($since, "$name, canceled:");
		is($error->{sqlstate}, '57014', 'it is a canceled query');
		is($error->{message}, 'canceling statement due to user request', "in PostgreSQL's own words");

		$athena->clear_faults;
		$db->query("SET athena_calc.endpoint_url = '" . $athena->setting('endpoint_url') . q('));
		ok(scalar $db->query($statement), 'the next call of the backend works');
		$db->close;

		# statement_timeout
		$db = begin_phase($phase, "SET statement_timeout = '400ms'");
		$since = time + 0.4;
		$error = $db->finish->{error};
		is_prompt($since, "$name, timed out:");
		is($error->{sqlstate}, '57014', 'it is a canceled query');
		is($error->{message}, 'canceling statement due to statement timeout', "in PostgreSQL's own words");
		$db->close;

		# pg_terminate_backend
		$db = begin_phase($phase);
		my $pid = $db->pid;
		sleep 0.4;
		$since = time;
		$athena->query('SELECT pg_terminate_backend($1)', $pid);
		$error = $db->finish->{error};
		is_prompt($since, "$name, terminated:");
		is($error->{sqlstate}, '57P01', 'it is a terminated backend');
		ok( $athena->node->poll_query_until(
				'postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)"),
			'it is gone');
	}
}

# A signal that comes to a thread that resolves a name would be handled in it, beside the server's own.
SKIP:
{
	skip 'no C compiler', 2 unless $has_resolver;
	my $db = begin_phase($phases[0]);
	my ($pid, $backend, @masks) = $db->pid;

	# Valgrind blocks them all, and gives them to the program itself.
	skip 'a tool has signals of its own', 2 unless readlink("/proc/$pid/exe") =~ m{/postgres$};
	my $takes_cancel = sub { return !(hex(substr $_[0], -8) >> (SIGINT - 1) & 1) };

	# A thread is there a moment before the backend, which began it, takes signals again.
	$athena->wait_until(
		sub {
			($backend, @masks) = map { slurp_file($_) =~ /^SigBlk:\s*([0-9a-f]+)$/m } "/proc/$pid/task/$pid/status",
			  grep { !m{/$pid/status$} } glob "/proc/$pid/task/*/status";
			return @masks > 0 && $takes_cancel->($backend);
		},
		'a thread resolved the name while the backend takes a cancel');
	# It acts for a moment now and then, and takes none meanwhile.
	my $taken = grep { sleep 0.01; $takes_cancel->(slurp_file("/proc/$pid/task/$pid/status") =~ /^SigBlk:\s*([0-9a-f]+)$/m) } 1 .. 20;
	cmp_ok($taken, '>=', 15, "the backend takes a cancel while a name is resolved: at $taken of 20 moments");
	is(scalar(grep { $takes_cancel->($_) } @masks), 0, 'and no thread that does it');
	$db->cancel;
	$db->finish;
	$db->close;
}

done_testing();
