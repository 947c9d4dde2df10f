# Memory that runs out, at each place where it can: the n-th allocation of a call fails, for n = 1, 2, 3 and so on until the call
# needs no more. Each time the outcome is what it is without that, or an error of the reference's table; the backend goes on,
# and nothing is left in it. test/faults/oom.c makes them fail: of malloc() under the extension and libcurl, in whatever library, and
# of PostgreSQL's palloc().
#
# Some n of each call; all of them with ATHENA_CALC_TEST_FULL, or ATHENA_CALC_TEST_FAULTS alone.

use strict;
use warnings;

use AthenaCalc::Test;
use IO::Compress::Gzip qw(gzip $GzipError);
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $full    = $ENV{ATHENA_CALC_TEST_FULL} || $ENV{ATHENA_CALC_TEST_FAULTS};
my $samples = 12;

# More than before, where there is no leak: connections to read ahead by, and the set of a socket that is waited for alone.
use constant SPARE_DESCRIPTORS => 4;

# As in oom.c.
my %kinds = (malloc => 1, palloc => 2);

# What the library needs, it is built here.
my $work    = PostgreSQL::Test::Utils::tempdir('oom');
my $library = "$work/oom.so";
my $control = "$work/control";
my ($include) = grep { -e "$_/postgres.h" } map { -x "$_/pg_config" ? `$_/pg_config --includedir-server` =~ s/\n//r : () } split /:/, $ENV{PATH};
my $words = 'the server\'s headers are not there';
plan skip_all => "test/faults/oom.c cannot be built: $words"
  unless $include
  && IPC::Run::run([ qw(gcc -O1 -g -fPIC -shared), '-Wl,-z,lazy', "-I$include", '-o', $library, 'test/faults/oom.c', '-ldl' ], '>&', \$words);

sub control { my ($pid, $kind, $n) = @_; write_control(pack 'l l q q q', $pid, $kind, $n, 0, 0); return }

# In place: the backends have it mapped.
sub write_control
{
	open my $file, '+<', $control or die "could not open $control: $!";
	syswrite $file, $_[0];
	close $file;
	return;
}

# How many allocations there were, and how many failed.
sub counted { return (unpack 'l l q q q', slurp_file($control))[ 3, 4 ] }

append_to_file($control, pack 'l l q q q', (0) x 5);

my %environment = (LD_PRELOAD => $library, ATHENA_CALC_OOM_CONTROL => $control);
my $home;
my $athena = AthenaCalc::Test->new(
	environment => \%environment,
	emulator    => [ '--sts-role', 'arn:aws:iam::123456789012:role/etl', '--metadata', '--container-token', 'token' ],
	conf        => "log_line_prefix = '%m [%p] %e '\nrestart_after_crash = on\n",
	settings    => sub { $home = $_[1]; return { sts_endpoint_url => $_[0], ec2_metadata_service_endpoint => $_[0] } });
my $url    = $athena->emulator->url;
my $bucket = 'athena-emulator';

# The table, without what a call that hangs would end with.
my %in_table = map { $_ => 1 } grep { $_ ne '57014' } slurp_file('doc/reference.md') =~ /^\| `([0-9A-Z]{5})` \|/mg;

my $session = $athena->start_session(description => 'memory');
my $done    = $athena->run($session, 'print("out")');
$athena->query('CREATE TABLE loaded (id bigint, word text)');
$athena->emulator->put_object("$bucket/in/1.csv", "1,one\n2,two\n");
gzip(\"3,three\n" => \my $gzip) or die $GzipError;
$athena->emulator->put_object("$bucket/in/2.csv.gz", $gzip);
$athena->emulator->put_object("$bucket/in.json", qq({"id": 1, "word": "one"}\n));
$athena->emulator->put_object("$bucket/code.py", "pass\n");

# A profile's files, in a directory of their own each time: they are read anew where the name is new.
sub write_profiles
{
	my ($directory) = @_;
	my ($id, $secret) = map { $athena->setting($_) } qw(access_key_id secret_access_key);

	mkdir $directory;
	write_file("$directory/credentials", "[etl]\naws_access_key_id = $id\naws_secret_access_key = $secret\n");
	write_file("$directory/config", "[profile process]\ncredential_process = /bin/cat $directory/keys\n");
	write_file("$directory/keys", qq({"Version": 1, "AccessKeyId": "$id", "SecretAccessKey": "$secret"}));
	return;
}

# The calls: what is set before, once for a backend or for each call where {n} is in it, and the statement.
my $versions = 'SELECT * FROM athena_calc.list_engine_versions()';
my %calls    = (
	'a row'    => [ '', "SELECT session_id, description FROM athena_calc.get_session('$session')" ],
	'a batch'  => [ '', "SELECT count(*) FROM athena_calc.batch_get_calculation_execution(ARRAY['$done', 'x', '$done', 'y'])" ],
	'a list'   => [ '', "SELECT count(*) FROM athena_calc.list_calculation_executions('$session', max_results => 1)" ],
	'any'      => [ '', q(SELECT athena_calc.invoke('GetWorkGroup', '{"WorkGroup": "spark"}') ->> 'x') ],
	'output'   => [ '', "SELECT athena_calc.calculation_stdout('$done')" ],
	'a look at all' => [ '', 'SELECT count(*) FROM athena_calc.check_setup()' ],
	'a run'    => [ '', "SELECT state FROM athena_calc.run_calculation('print(1)', session_id => '$session', params => '{\"a\": [1]}', timeout => '20 s')" ],
	'a run, code of S3' => [ '', "SELECT state FROM athena_calc.run_calculation(session_name => 'memory', code_s3_uri => 's3://$bucket/code.py', timeout => '20 s')" ],
	'put'      => [ '', "SELECT athena_calc.s3_put_object('s3://$bucket/put', repeat('x', 20000))" ],
	'get'      => [ '', "SELECT athena_calc.s3_get_object('s3://$bucket/in/1.csv')" ],
	'list'     => [ '', "SELECT uri FROM athena_calc.s3_list_objects('s3://$bucket/in/')" ],
	'delete'   => [ "SELECT athena_calc.s3_put_object('s3://$bucket/away/{n}', 'x'::text)", "SELECT athena_calc.s3_delete_objects('s3://$bucket/away/') > 0" ],
	'copy from' => [ '', "SELECT athena_calc.copy_from_s3('loaded', 's3://$bucket/in/')" ],
	'copy from json' => [ '', "SELECT athena_calc.copy_from_s3('loaded', 's3://$bucket/in.json', format => 'json')" ],
	'copy to'  => [ '', "SELECT athena_calc.copy_to_s3('SELECT i, i FROM generate_series(1, 2000) i', 's3://$bucket/out/', options => '{\"overwrite\": true, \"compression\": \"gzip\", \"max_object_size\": 2000}')" ],
	'copy to json, in parts' => [ '', "SELECT athena_calc.copy_to_s3('SELECT repeat(''x'', 1000000) AS x FROM generate_series(1, 9)', 's3://$bucket/parts', 'json', '{\"overwrite\": true}')" ],
	'a role'   => [ q(SET athena_calc.role_arn = 'arn:aws:iam::123456789012:role/etl'; SET athena_calc.role_session_name = 'n{n}'), $versions ],
	'a profile' => [ "SET athena_calc.credential_provider = 'profile'; SET athena_calc.shared_credentials_file = '$home/{n}/credentials'; SET athena_calc.profile = 'etl'", $versions ],
	'a process' => [ "SET athena_calc.credential_provider = 'profile'; SET athena_calc.allow_credential_process = on; SET athena_calc.config_file = '$home/{n}/config'; SET athena_calc.profile = 'process'", $versions ],
	'a container' => [ "SET athena_calc.credential_provider = 'container'; SET athena_calc.container_authorization_token = 'token'; SET athena_calc.container_credentials_full_uri = '$url/v1/credentials?{n}'", $versions ],
	'an instance' => [ q(SET athena_calc.credential_provider = 'instance'; SET athena_calc.ec2_metadata_disabled = 'no'; SET athena_calc.role_arn = 'arn:aws:iam::123456789012:role/etl'; SET athena_calc.role_session_name = 'n{n}'), $versions ]);

sub backend
{
	my $db;

	# Where one has crashed, the server comes back.
	$athena->wait_until(sub { $db = eval { $athena->connect } }, 'a backend is there');
	$db->query(q(SET statement_timeout = '60s'; SET client_min_messages = error));
	return $db;
}

my $number = 0;

# A result as text, or an error's SQLSTATE and message.
sub outcome
{
	my ($db, $sql) = @_;
	my $result = $db->send($sql)->finish;

	return "$result->{error}{sqlstate} $result->{error}{message}" if $result->{error};
	return 'nothing: the backend is gone' unless @{ $result->{columns} };
	return join "\n", 'rows', map { join "\t", map { $_ // 'NULL' } @$_ } @{ $result->{rows} };
}

# Makes a call ready, for another time.
sub prepare
{
	my ($db, $before) = @_;

	$number++;
	write_profiles("$home/$number") if $before =~ m{\Q$home\E/};
	$db->query($before =~ s/\{n\}/$number/gr) if $before;
	return;
}

# A call with the n-th allocation failing; its outcome, and what was counted.
sub attempt
{
	my ($db, $call, $kind, $n) = @_;
	my ($before, $sql) = @$call;

	prepare($db, $before);
	control($db->pid, $kinds{$kind}, $n);
	my $outcome = outcome($db, $sql);
	my ($count, $refused) = counted();
	control(0, 0, 0);
	return ($outcome, $count, $refused);
}

# The numbers of the allocations that shall fail.
sub chosen
{
	my ($count) = @_;

	return 1 .. $count if $full || $count <= $samples;
	my $step = $count / $samples;
	return map { 1 + int($_ * $step + rand $step) } 0 .. $samples - 1;
}

my (%outcomes, $trials);

# Fails the allocations of a call, of one kind: in a backend of its own each time, where all begins with it (cold), or in one.
sub survives
{
	my ($name, $kind, $cold) = @_;
	my ($call, @wrong) = $calls{$name};
	my $db = backend();
	my $since = time;

	attempt($db, $call, $kind, 0) foreach $cold ? () : 1 .. 3;
	my ($whole, $count) = attempt($db, $call, $kind, 0);
	my $descriptors = $db->descriptors;
	my @n = chosen($count);

	for my $n (@n)
	{
		$db->close if $cold;
		$db = backend() if $cold;
		my ($outcome, $now, $refused) = attempt($db, $call, $kind, $n);
		my ($state) = $outcome =~ /^([0-9A-Z]{5}) /;
		push @wrong, "allocation $n: $outcome" unless $outcome eq $whole || ($state && $in_table{$state} && $refused);
		$outcomes{ $state // ($refused ? 'result all the same' : 'not reached') }++;
		$trials++;
		last if $outcome =~ /^nothing/;
		my $next = eval { prepare($db, $call->[0]); outcome($db, $call->[1]) } // $@;
		# OpenSSL that could not begin stays so until the end of its process.
		push @wrong, "allocation $n ($outcome), then: $next" if $next ne $whole && !($cold && $kind eq 'malloc' && $next =~ /^53200 /);
		if (@wrong > 5)
		{
			push @wrong, 'and so on';
			last;
		}
	}
	my $left = $db->descriptors - $descriptors;
	push @wrong, "$left descriptors are left" if !$cold && $left > SPARE_DESCRIPTORS;
	is(join("\n", @wrong), '', sprintf '%s%s, %d of %d allocations by %s fail (%.1f s)', $name, $cold ? ', all new' : '', scalar @n, $count, $kind, time - $since);
	like($whole, qr/^rows/, 'else it succeeds') or diag($whole);
	cmp_ok($count, '>', 0, 'they are seen');
	eval { $db->close };
	return;
}

for my $name (sort keys %calls)
{
	for my $kind (sort keys %kinds)
	{
		survives($name, $kind, 0);
		survives($name, $kind, 1) if $name =~ ($full ? qr/^(?!a run|copy to json)/ : qr/^(?:a row|a role|get)$/);
	}
}
note("$trials trials: " . join ', ', map { "$outcomes{$_} $_" } sort keys %outcomes);

my $log = slurp_file($athena->node->logfile);
my $told = () = $log =~ /an upload may be left/g;
my @uploads = $athena->emulator->uploads($bucket);
cmp_ok(scalar @uploads, '<=', $told, "no upload is left but where it is told: @uploads");
my @words = $log =~ /^.*(?:PANIC|terminated by signal|server process|TRAP:| XX\d\d\d |invalid memory).*$/mg;
is(join("\n", @words), '', 'nobody crashed');

done_testing();
