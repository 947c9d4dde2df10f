# What servers are verified against: a hashed directory of certificate authorities, as Debian's libcurl has it.

use strict;
use warnings;

use AthenaCalc::Test;
use File::Copy qw(copy);
use PostgreSQL::Test::Utils;
use Test::More;

# Each call is tried once, and nothing but the authority shall be what it fails by.
my $athena = AthenaCalc::Test->new(tls => 1, settings => { max_attempts => 1, connect_timeout => '60s', request_timeout => '60s' });

# Adds the emulator's authority to a directory, under the name by which OpenSSL looks for it. Returns the file.
sub add_authority
{
	my ($directory) = @_;
	my $authority = $athena->emulator->authority;
	my ($hash) = run_command([ qw(openssl x509 -noout -subject_hash -in), $authority ]);

	copy($authority, "$directory/$hash.0") or die "cannot copy $authority: $!";
	return "$directory/$hash.0";
}

# The SQLSTATE of a call.
sub outcome
{
	my ($directory) = @_;

	$athena->query("SET athena_calc.ca_bundle = '$directory'");
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

my $with    = PostgreSQL::Test::Utils::tempdir;
my $without = PostgreSQL::Test::Utils::tempdir;
my $file    = add_authority($with);

is(outcome($without), '08001', 'a directory without the authority');
is(outcome($with), '00000', 'a directory with it');
is(outcome($without), '08001', 'what was read of one directory is not trusted for another');
is(outcome($with), '00000', 'and the first one is still good');

add_authority($without);
is(outcome($without), '00000', 'an authority that was added is found without delay');

# The directory is not read for each connection.
$athena->reconnect;
is(outcome($with), '00000', 'the first connection of a backend');
unlink $file or die "cannot remove $file: $!";
is(answered_at_once(20), 20, 'new connections are verified with what was read for the first');
$athena->reconnect;
is(outcome($with), '08001', 'another backend reads the directory itself');

done_testing();
