# A soak: 20 backends that make random calls, while answers go wrong, statements are canceled, backends terminated, the
# emulator and the server restarted, and the configuration reloaded. At its end nobody crashed or hung, nothing has grown, no
# calculation has run twice, and no session or upload is left but of backends that were killed.
#
# ATHENA_CALC_SOAK_SECONDS says how long (test/soak/run), ATHENA_CALC_SOAK_SEED makes the choices those of an earlier run.

use strict;
use warnings;

use AthenaCalc::Test;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => 'the seconds are not said: ATHENA_CALC_SOAK_SECONDS' unless $ENV{ATHENA_CALC_SOAK_SECONDS};

use constant {
	WORKERS   => 20,
	NAMES     => 4,               # of sessions that are shared
	BUCKET    => 'athena-emulator',
	WARM      => 40,              # calls until a backend has its caches
	GROWTH_KB => 40 * 1024,       # that a backend may take more after it is warm: an upload's four parts, which malloc keeps
};

my $seed = $ENV{ATHENA_CALC_SOAK_SEED} // int rand 1_000_000;
srand $seed;
note("seed $seed");

my $deadline = time + $ENV{ATHENA_CALC_SOAK_SECONDS};
my $work     = PostgreSQL::Test::Utils::tempdir('soak');
my $port     = PostgreSQL::Test::Cluster::get_free_port();
my @emulator = ('--port', $port, '--create-bucket', 'other');
my $athena   = AthenaCalc::Test->new(
	emulator => \@emulator,
	conf     => <<'END');
max_connections = 60
log_line_prefix = '%m [%p] %e '
athena_calc.connect_timeout = '1s'
athena_calc.request_timeout = '2s'
athena_calc.max_poll_interval = '200ms'
statement_timeout = '40s'
END
$athena->query('CREATE TABLE loaded (id bigint, word text)');
$SIG{PIPE} = 'IGNORE';

sub one_of { return $_[ rand @_ ] }

#
# What a worker does
#

# Leaves its marker where it runs: twice for one that runs twice.
sub code
{
	my ($marker, $more) = @_;

	return "open('$work/marks', 'a').write('$marker\\n')\n" . ($more // '');
}

# A call by chance: its name, its SQL with parameters, and the marker of the calculation that it starts, if any.
sub choose
{
	my ($worker, $count) = @_;
	my $marker = "$worker.$count." . int rand 1e9;
	my $name   = 'soak ' . int rand NAMES;
	my $folder = 's3://' . BUCKET . '/' . $worker;
	my @calls  = (
		[ 10, 'list_sessions',        'SELECT count(*) FROM athena_calc.list_sessions()' ],
		[ 5,  'list_engine_versions', 'SELECT count(*) FROM athena_calc.list_engine_versions()' ],
		[ 5,  'get_session',          'SELECT athena_calc.get_session($1)', 'nobody' ],
		[ 5,  'batch',                q{SELECT count(*) FROM athena_calc.batch_get_calculation_execution_status(ARRAY(SELECT 'x' || i FROM generate_series(1, 50) i))} ],
		[ 5,  'batch of a session',   q{SELECT count(*) FROM athena_calc.batch_get_calculation_execution(ARRAY(SELECT calculation_execution_id
			FROM athena_calc.list_calculation_executions(athena_calc.acquire_session($1, timeout => '5 s'), max_results => 30)))}, $name ],
		[ 2,  'check_setup',          'SELECT count(*) FROM athena_calc.check_setup()' ],
		[ 10, 'run_calculation',      q{SELECT athena_calc.calculation_stdout(calculation_execution_id)
			FROM athena_calc.run_calculation($1, session_name => $2, timeout => '15 s')}, code($marker, 'print(1)'), $name ],
		[ 3, 'run_calculation, long', q{SELECT FROM athena_calc.run_calculation($1, session_name => $2, timeout => '10 s')},
			code($marker, "import time\ntime.sleep(1)"), $name ],
		[ 2, 'run_calculation, own',  q{SELECT FROM athena_calc.run_calculation($1, timeout => '15 s')}, code($marker) ],
		[ 3, 'start',                 q{SELECT athena_calc.start_calculation_execution(athena_calc.acquire_session($2, timeout => '5 s'), $1)}, code($marker), $name ],
		[ 3, 'run',                   q{CALL athena_calc.run($1, session_name => $2, timeout => '15 s')}, code($marker), $name ],
		[ 8, 's3_put_object',         'SELECT athena_calc.s3_put_object($1, repeat(\'x\', 10000))', "$folder/put/" . int rand 20 ],
		[ 8, 's3_get_object',         'SELECT length(athena_calc.s3_get_object($1))', "$folder/put/" . int rand 20 ],
		[ 5, 's3_list_objects',       'SELECT count(*) FROM athena_calc.s3_list_objects($1)', one_of("$folder/", 's3://' . BUCKET) ],
		[ 2, 's3_delete_objects',     'SELECT athena_calc.s3_delete_objects($1)', "$folder/" . one_of('put/', 'many/', "put/1") ],
		[ 5, 'copy_to_s3',            q{SELECT athena_calc.copy_to_s3('SELECT i, ''word '' || i FROM generate_series(1, 1000) i', $1, options => '{"overwrite": true}')}, "$folder/csv/one.csv.gz" ],
		[ 3, 'copy_to_s3, folder',    q{SELECT athena_calc.copy_to_s3('SELECT i, ''word '' || i FROM generate_series(1, 20000) i', $1, options => '{"overwrite": true, "max_object_size": 100000}')}, "$folder/many/" ],
		[ 2, 'copy_to_s3, parts',     q{SELECT athena_calc.copy_to_s3('SELECT i, repeat(''x'', 1000) FROM generate_series(1, 10000) i', $1, options => '{"overwrite": true}')}, "$folder/parts/$marker" ],
		[ 5, 'copy_from_s3',          'SELECT athena_calc.copy_from_s3(\'loaded\', $1)', "$folder/" . one_of('csv/', 'many/', 'csv/one.csv.gz') ],
		[ 1, 'forget',                'TRUNCATE loaded' ]);
	my ($sum, $chosen) = (0);

	$sum += $_->[0] foreach @calls;
	my $at = rand $sum;
	($chosen) = grep { ($at -= $_->[0]) < 0 } @calls;
	my ($weight, $what, $sql, @parameters) = @$chosen;
	return ($what, (grep { /\Q$marker\E/ && /open/ } @parameters) ? $marker : '', $sql, @parameters);
}

# A backend's own memory in kB, without the shared buffers that it has seen, and its descriptors, where it is still there.
sub holds
{
	my ($db) = @_;

	# One that is gone has a status for a while, but no memory.
	return eval { slurp_file('/proc/' . $db->pid . '/status') =~ /^RssAnon:\s+(\d+) kB/m ? ($1, $db->descriptors) : () };
}

sub is_there { return eval { @{ $_[0]->send('SELECT 1')->finish->{rows} } == 1 } }

# Calls until the time is up: a line for each, and one for each backend that was warm, in the worker's file.
sub work
{
	my ($worker) = @_;
	my ($db, $calls, @warm, $life);

	srand $seed + $worker;
	open my $out, '>', "$work/worker.$worker" or die;
	$out->autoflush(1);
	my $part = sub {
		my @now = @warm ? holds($db) : ();

		print {$out} join("\t", 'backend', $calls, $now[0] - $warm[0], $now[1] - $warm[1]), "\n" if @now == 2;
		$db->close if $db && $_[0];
		$db = undef;
		@warm = ();
	};

	for (my $count = 0; time < $deadline; $count++)
	{
		if (!$db)
		{
			$db = eval { $athena->connect };
			# The server is on its way down or up.
			sleep 0.2 unless $db;
			next unless $db;
			($calls, $life) = (0, one_of(20, 300, 3000));
		}
		my ($what, $marker, $sql, @parameters) = choose($worker, $count);
		my $begun = time;
		my $result = eval { $db->send($sql, @parameters)->finish };
		my $hung = !$result && $@;
		my $state = $hung ? 'hung' : $result->{error} ? $result->{error}{sqlstate} : '00000';
		my $message = $hung || ($result->{error} ? $result->{error}{message} : '');
		my $took = time - $begun;
		# Once more where a cancel came late, and met this.
		my $alive = !$hung && grep { is_there($db) } 1 .. 2;

		$state = 'lost' if !$alive && $state eq '00000';
		print {$out} join("\t", 'call', $what, $state, sprintf('%.1f', $took), $marker, $message =~ s/\s+/ /gr), "\n";
		$calls++;
		# What the last one took in memory is the last one's.
		@warm = holds($db) if $alive && $calls == WARM;
		$part->($alive) if !$alive || $calls >= $life;
	}
	$part->(1);
	close $out;
	return;
}

#
# What becomes of it
#

my %stopped = map { $_ => 0 } qw(canceled terminated reloads emulators servers faults);
my (%excused_sessions, %excused_uploads);

# Faults of requests that start, read and write. What stops and takes back is spared: it has 5 seconds, and then what it
# leaves is no fault of its.
sub fault
{
	my @operations = qw(StartSession GetSession GetSessionStatus ListSessions ListEngineVersions StartCalculationExecution
	  GetCalculationExecution GetCalculationExecutionStatus ListCalculationExecutions S3.GetObject S3.PutObject
	  S3.ListObjectsV2 S3.HeadObject S3.DeleteObjects S3.UploadPart S3.CompleteMultipartUpload);
	my @rules = (
		{ drop => 'before' }, { drop => 'after' }, { drop => 'after', reset => \1 }, { cut => 'random' }, { cut_body => 'random' },
		{ cut_body => 'random', stall => \1 }, { status => 500, body => '' }, { status => 503, error => 'SlowDown' },
		{ error => 'ThrottlingException' }, { hang => \1 }, { hang => \1, apply => \1 }, { delay => 1 },
		{ drip => { bytes => 10, interval => 0.01 } }, { body => 'no JSON, no XML' }, { body => '{}' },
		{ raw_base64 => 'AAECAw==' }, { endless => \1 }, { status => 403, body => '<Error><Code>AccessDenied</Code></Error>' });
	my $operation = one_of(@operations);

	$athena->fault(operation => $operation, times => $operation eq 'StartSession' ? 1 : one_of(1, 1, 2, 5), %{ one_of(@rules) });
	$stopped{faults}++;
	return;
}

# A backend of the workers, by a connection of our own.
sub signal_one
{
	my ($function, $what) = @_;

	$stopped{$what} += $athena->value(
		"SELECT count(*) FROM (SELECT $function(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
			AND state = 'active' ORDER BY random() LIMIT 1) s");
	return;
}

sub own_sessions
{
	return $athena->column(
		q(SELECT session_id FROM athena_calc.list_sessions() WHERE description = 'athena_calc.run_calculation' AND state NOT IN ('TERMINATED', 'TERMINATING', 'FAILED', 'DEGRADED')));
}

sub restart_server
{
	$athena->{db} = undef;
	$athena->node->stop('immediate');
	$athena->node->start;
	$athena->clear_faults;
	# What killed backends had is left, and nobody knows of it.
	my $session_list = eval { [ own_sessions() ] } || [];
	$excused_sessions{$_} = 1 foreach @$session_list;
	$excused_uploads{$_}  = 1 foreach $athena->emulator->uploads(BUCKET);
	$stopped{servers}++;
	return;
}

sub restart_emulator
{
	$athena->emulator->signal('KILL') if rand() < 0.5;
	$athena->emulator->stop;
	$athena->{emulator} = AthenaCalc::Emulator->new(options => \@emulator);
	$stopped{emulators}++;
	return;
}

my %workers;
for my $worker (1 .. WORKERS)
{
	my $pid = fork // die "could not fork: $!";

	if (!$pid)
	{
		eval { $athena->emulator->leave_to_parent; work($worker); 1 } or do { append_to_file("$work/died.$worker", $@); POSIX::_exit(1) };
		POSIX::_exit(0);
	}
	$workers{$pid} = $worker;
}

my @events = ([ 0.7, \&fault ], [ 0.5, sub { signal_one('pg_cancel_backend', 'canceled') } ], [ 3, sub { signal_one('pg_terminate_backend', 'terminated') } ],
	[ 10, sub { $athena->node->reload; $stopped{reloads}++ } ], [ 45, \&restart_emulator ], [ 70, \&restart_server ]);
my %next = map { $_ => time + rand 2 * $events[$_][0] } 0 .. $#events;

# The last seconds pass undisturbed, so that what shall come to its end can.
while (time < $deadline - 5)
{
	for my $i (grep { $next{$_} < time } 0 .. $#events)
	{
		my ($seconds, $event) = @{ $events[$i] };

		eval { $event->(); 1 } or do { diag("event $i: $@"); $athena->{db} = undef };
		$next{$i} = time + $seconds * (0.5 + rand);
	}
	sleep 0.05;
}
eval { $athena->clear_faults };

for my $pid (keys %workers)
{
	waitpid $pid, 0;
	is($?, 0, "worker $workers{$pid} came to its end");
}

#
# What is left
#

my %in_table = map { $_ => 1 } slurp_file('doc/reference.md') =~ /^\| `([0-9A-Z]{5})` \|/mg;
# COPY's words for what is no data; the ends of backends and of the server.
my %others = map { $_ => 1 } qw(00000 22021 22P02 22P04 57P01 57P02 57P03 lost);
my (%states, %completed, @unknown, @hung, @grown, $backends);

for my $file (sort glob "$work/worker.*")
{
	for my $line (split /\n/, slurp_file($file))
	{
		my ($kind, @fields) = split /\t/, $line;

		if ($kind eq 'backend')
		{
			my ($calls, $memory, $descriptors) = @fields;

			$backends++;
			push @grown, "$calls calls: $memory kB, $descriptors descriptors" if $memory > GROWTH_KB || $descriptors > 40;
			next;
		}
		my ($what, $state, $took, $marker, $message) = @fields;

		$states{$state}++;
		$completed{$marker} = $what if $marker && $state eq '00000';
		push @unknown, "$what: $state $message" unless $in_table{$state} || $others{$state};
		push @hung, "$what: $took s, $state" if $state eq 'hung' || $took > 60;
	}
}
note(join ', ', map { "$stopped{$_} $_" } sort keys %stopped);
note(join ', ', map { "$states{$_} $_" } sort keys %states);
cmp_ok($states{'00000'} // 0, '>', 10, 'calls succeeded');
is(join("\n", @unknown), '', 'all errors are of the table');
is(join("\n", @hung), '', 'nothing hung');
is(join("\n", @grown), '', ($backends // 0) . ' backends that were warm have not grown');

my %marks;
$marks{$_}++ foreach split /\n/, -e "$work/marks" ? slurp_file("$work/marks") : '';
is(join(' ', grep { $marks{$_} > 1 } sort keys %marks), '', scalar(keys %marks) . ' calculations have run, none twice');
is(join(' ', map { "$_: $completed{$_}" } grep { !$marks{$_} && $completed{$_} ne 'start' } sort keys %completed), '', 'those of runs that were COMPLETED have run');

my @left;
for (1 .. 100)
{
	@left = grep { !$excused_sessions{$_} } own_sessions();
	last unless @left;
	sleep 0.2;
}
is(join("\n", @left), '', 'no session of a run is left, but of killed backends');
is(join(' ', grep { !$excused_uploads{$_} } $athena->emulator->uploads(BUCKET)), '', 'no upload is left, but of killed backends');
is($athena->value(q(SELECT count(*) FROM athena_calc.activity WHERE calculation_execution_id IS NOT NULL OR session_id IS NOT NULL)), 0, 'nothing is under way');

my @words = slurp_file($athena->node->logfile) =~ /^.*(?:PANIC|terminated by signal|server process|TRAP:| XX\d\d\d |invalid memory).*$/mg;
is(join("\n", @words), '', 'nobody crashed');

done_testing();
