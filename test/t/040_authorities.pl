# What servers are verified against: a file of certificate authorities, or a hashed directory of them.

use strict;
use warnings;

use AthenaCalc::Test;
use File::Copy qw(copy);
use IO::Socket::INET;
use IPC::Run;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

# Each call is tried once, and nothing but the authority shall be what it fails by.
my $athena = AthenaCalc::Test->new(tls => 1, settings => { max_attempts => 1, connect_timeout => '60s', request_timeout => '60s' });

my $authority = $athena->emulator->authority;

# An authority that nothing is signed by.
my $stranger = PostgreSQL::Test::Utils::tempdir . '/stranger.pem';
system_or_bail(qw(openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=stranger -keyout /dev/null -out), $stranger);

# Adds an authority to a directory, under the name by which OpenSSL looks for it. Returns the file that was made.
sub add_to_directory
{
	my ($directory, $added) = @_;
	my ($hash) = run_command([ qw(openssl x509 -noout -subject_hash -in), $added ]);

	copy($added, "$directory/$hash.0") or die "cannot copy $added: $!";
	return "$directory/$hash.0";
}

# The same for a file.
sub add_to_file
{
	my ($file, $added) = @_;

	append_to_file($file, slurp_file($added));
	return $file;
}

# The SQLSTATE of a call.
sub outcome
{
	my ($ca_bundle) = @_;

	$athena->query("SET athena_calc.ca_bundle = '$ca_bundle'");
	return $athena->query_error('SELECT * FROM athena_calc.list_sessions()')->{sqlstate};
}

# How many of so many calls at once, all but one of which need a new connection, are answered.
sub answered_at_once
{
	my ($count) = @_;

	return $athena->value(<<"SQL");
SET athena_calc.max_concurrency = $count;
SELECT count(*) FILTER (WHERE error_code = 'InvalidRequestException')
FROM athena_calc.batch_get_calculation_execution_status((SELECT array_agg(gen_random_uuid()::text) FROM generate_series(1, $count)))
SQL
}

# What holds for both kinds: makes them by $make, and adds to them by $add.
sub check_kind
{
	my ($kind, $make, $add) = @_;
	my ($with, $without) = ($make->(), $make->());

	$add->($_, $stranger) for $with, $without;
	my $added = $add->($with, $authority);
	is(outcome($without), '08001', "$kind: without the authority");
	is(outcome($with), '00000', 'with it');
	is(outcome($without), '08001', 'what was read of one is not trusted for another');
	is(outcome($with), '00000', 'and the first one is still good');

	$add->($without, $authority);
	is(outcome($without), '00000', 'an authority that was added is found without delay');

	# They are not read for each connection.
	$athena->reconnect;
	is(outcome($with), '00000', 'the first connection of a backend');
	unlink $added or die "cannot remove $added: $!";
	is(answered_at_once(20), 20, 'new connections are verified with what was read for the first');
	$athena->reconnect;
	is(outcome($with), '08001', 'another backend reads them itself');
	return;
}

check_kind('a directory', \&PostgreSQL::Test::Utils::tempdir, \&add_to_directory);
check_kind('a file', sub { return PostgreSQL::Test::Utils::tempdir . '/authorities.pem' }, \&add_to_file);

# A file that is none says why.
my $file = PostgreSQL::Test::Utils::tempdir . '/authorities.pem';

# How a call fails that is verified against the file, to which something is added before.
sub failure_with
{
	my ($added) = @_;

	append_to_file($file, $added);
	$athena->query("SET athena_calc.ca_bundle = '$file'");
	my $error = $athena->query_error('SELECT * FROM athena_calc.list_sessions()');
	return "$error->{sqlstate} $error->{message}";
}

my $pem    = slurp_file($authority);
my $broken = $pem =~ s/^(?=[A-Z])/*/mrx;
is(failure_with(''), qq(08001 Athena ListSessions failed: there is no certificate in PEM in "$file"), 'an empty file');
is(failure_with($broken), qq(08001 Athena ListSessions failed: a certificate is malformed, or there is no memory for it, in "$file"),
	'a broken one');
unlink $file or die "cannot remove $file: $!";
is(outcome($file), '08001', 'none');
like($athena->query_error('SELECT * FROM athena_calc.list_sessions()')->{message}, qr/\Qcannot be read (No such file or directory): "$file"\E/, 'says so');
append_to_file($file, $pem);
is(outcome($file), '00000', 'and it is read when it is there');

# What is at a path may become another kind within one backend.
my $base = PostgreSQL::Test::Utils::tempdir;
is(outcome("$base/changing"), '08001', 'nothing');
mkdir "$base/changing" or die "cannot make a directory: $!";
my $added = add_to_directory("$base/changing", $authority);
is(outcome("$base/changing"), '00000', 'then a directory');
unlink $added;
rmdir "$base/changing" or die "cannot remove a directory: $!";
$athena->reconnect;
mkdir "$base/changing" or die "cannot make a directory: $!";
is(outcome("$base/changing"), '08001', 'then an empty one');
rmdir "$base/changing" or die "cannot remove a directory: $!";
add_to_file("$base/changing", $authority);
is(outcome("$base/changing"), '00000', 'then a file');

# An authority that is trusted has signed for another host.
{
	my $other = PostgreSQL::Test::Utils::tempdir;
	my $port  = PostgreSQL::Test::Cluster::get_free_port();

	system_or_bail(qw(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other -addext subjectAltName=IP:127.0.0.9 -keyout),
		"$other/key.pem", '-out', "$other/certificate.pem");
	my $server = IPC::Run::start([ qw(openssl s_server -www -accept), "127.0.0.1:$port", '-cert', "$other/certificate.pem", '-key', "$other/key.pem" ],
		'<', '/dev/null', '&>', '/dev/null');
	$athena->wait_until(sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) }, 'another server listens');
	$athena->query("SET athena_calc.endpoint_url = 'https://127.0.0.1:$port'");
	is(outcome("$other/certificate.pem"), '08001', 'a certificate of another host');
	like($athena->query_error('SELECT * FROM athena_calc.list_sessions()')->{message}, qr/no alternative certificate subject name matches/, 'is what is wrong with it');
	$athena->query('RESET athena_calc.endpoint_url');
	$server->kill_kill;
}

# To OpenSSL a colon is between two directories.
mkdir "$base/$_" or die "cannot make a directory: $!" for 'ca', 'ca:dir';
add_to_directory("$base/ca", $authority);
add_to_file("$base/ca:2026.pem", $stranger);
is(outcome("$base/ca:2026.pem"), '08001', 'a file whose name begins like that of a directory, which is not trusted by that');
is(outcome("$base/ca:dir"), '08001', 'a directory with a colon');
like($athena->query_error('SELECT * FROM athena_calc.list_sessions()')->{message}, qr/must not have a colon/, 'is refused');

# A pipe has another end, which nobody waits for.
POSIX::mkfifo("$base/pipe", 0644) or die "cannot make a pipe: $!";
is(outcome("$base/pipe"), '08001', 'a pipe is no file');

done_testing();
