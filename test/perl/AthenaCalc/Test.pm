package AthenaCalc::Test;

=head1 NAME

AthenaCalc::Test - a server with the extension and a local Athena for a TAP test

=head1 SYNOPSIS

  use strict;
  use warnings;

  use AthenaCalc::Test;
  use Test::More;

  my $athena  = AthenaCalc::Test->new;
  my $session = $athena->start_session;      # IDLE
  my $id      = $athena->start_calculation($session, 'print(6 * 7)');
  is($athena->wait_for($id)->{state}, 'COMPLETED');
  is($athena->value('SELECT athena_calc.calculation_stdout($1)', $id), "42\n");

  $athena->fault(operation => 'GetSession', status => 503, times => undef);
  my $error = $athena->query_error('SELECT athena_calc.get_session($1)', $session);
  is($error->{sqlstate}, '58000');
  is_deeply([ detail_keys($error) ], [qw(http_status request_id attempts)]);
  is($athena->requests('GetSession'), 3);

  done_testing();

=head1 DESCRIPTION

new() starts an emulator (AthenaCalc::Emulator) and a node of PostgreSQL::Test::Cluster whose configuration leads the
extension there, and creates the extension. Both end with the test.

Statements go to one backend unless a test connects others: what they take and give is in AthenaCalc::Connection.

To run one test: make prove_installcheck PROVE_TESTS=test/t/001_calculation.pl

=cut

use strict;
use warnings;

use AthenaCalc::Connection;
use AthenaCalc::Emulator;
use Carp;
use Exporter qw(import);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(EVERY_SESSION detail_keys detail_value patient printable uuid_like write_file);

# Errors are told of the test's own lines.
our @CARP_NOT = ('AthenaCalc::Connection', 'AthenaCalc::Emulator');

use constant {
	ACCESS_KEY   => AthenaCalc::Emulator::ACCESS_KEY,
	SECRET_KEY   => AthenaCalc::Emulator::SECRET_KEY,
	WAIT_SECONDS => 30,
	PATIENCE     => $ENV{ATHENA_CALC_TEST_PATIENCE} || 1,

	# For FROM, as "session": those that have ended, too, which a list has only by their state. One that ends meanwhile counts as ended.
	EVERY_SESSION => q{(SELECT DISTINCT ON (session_id) * FROM (
		SELECT * FROM athena_calc.list_sessions()
		UNION ALL SELECT * FROM athena_calc.list_sessions(state_filter => 'TERMINATED')
		UNION ALL SELECT * FROM athena_calc.list_sessions(state_filter => 'FAILED')) listed
		ORDER BY session_id, end_date_time) session},
};

=head1 METHODS

=over

=item AthenaCalc::Test->new(name => 'main', tls => 0, conf => '', emulator => [])

A server and an emulator. name: another one for each node of a test. conf: further lines of postgresql.conf, the
last of a name counts. emulator: further options of its command line. preload => 0 leaves the library out of
shared_preload_libraries. settings: {} of athena_calc's, beside or in place of those of the emulator, undef for none
of a name. environment: {} of the server's. Both may be a sub that gives them for the emulator's URL and the server's
home directory. install_path: where another PostgreSQL is, as PostgreSQL::Test::Cluster takes it.

=cut

sub new
{
	my ($class, %options) = @_;
	my $emulator = AthenaCalc::Emulator->new(tls => $options{tls}, options => $options{emulator});
	my $node = PostgreSQL::Test::Cluster->new($options{name} // 'main', install_path => $options{install_path});
	my ($port, $scheme) = ($emulator->port, $options{tls} ? 'https' : 'http');
	my %settings = (
		access_key_id     => ACCESS_KEY,
		secret_access_key => SECRET_KEY,
		region            => 'us-east-1',
		endpoint_url      => "$scheme://127.0.0.1:$port",
		s3_endpoint_url   => "$scheme://127.0.0.1:$port",
		work_group        => 'spark',
		ec2_metadata_disabled => 'true',
		($options{tls} ? (ca_bundle => $emulator->authority) : ()));
	my $home = PostgreSQL::Test::Utils::tempdir;
	my ($others, $environment) = map { ref $_ eq 'CODE' ? $_->($emulator->url, $home) : $_ // {} } @options{qw(settings environment)};

	@settings{ keys %$others } = values %$others;
	delete @settings{ grep { !defined $settings{$_} } keys %settings };

	# Credentials and settings of whoever runs the test are not the server's.
	delete @ENV{ grep { /^AWS_/ } keys %ENV };
	local $ENV{HOME} = $home;
	local @ENV{ keys %$environment } = values %$environment;

	my $conf = join "\n",
	  "timezone = 'UTC'",
	  "shared_preload_libraries = '" . (($options{preload} // 1) ? 'athena_calc' : '') . "'",
	  (map { "athena_calc.$_ = '$settings{$_}'" } sort keys %settings);
	my $self = bless { emulator => $emulator, node => $node, settings => \%settings, home => $home, conf => $conf }, $class;

	$self->_init_node($node, %options);
	$node->start;
	$self->query('CREATE EXTENSION athena_calc');
	return $self;
}

=item $athena->further_node($name, conf => '', init => [], install_path => ...)

A node that is configured as the first one is, of which it knows nothing: not started, without the extension. init: further
arguments of initdb.

=cut

sub further_node
{
	my ($self, $name, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name, install_path => $options{install_path});

	$self->_init_node($node, %options);
	return $node;
}

sub _init_node
{
	my ($self, $node, %options) = @_;

	$node->init(extra => $options{init} // []);
	$node->append_conf('postgresql.conf', "$self->{conf}\n" . ($options{conf} // ''));
	return;
}

=item $athena->node, $athena->emulator, $athena->setting($name), $athena->home

The PostgreSQL::Test::Cluster, the AthenaCalc::Emulator, a setting as new() wrote it, and the home directory of the
server's user, empty at first.

=cut

sub node     { return $_[0]{node} }
sub home     { return $_[0]{home} }
sub emulator { return $_[0]{emulator} }
sub setting  { return $_[0]{settings}{ $_[1] } }

=item $athena->connect(user => ..., dbname => ...)

A further backend, an AthenaCalc::Connection.

=item $athena->session_backend, $athena->reconnect

The backend that query() and the like use; a fresh one for them: without what the old one has learned about
clocks, without open connections, with a full bucket of retries.

=cut

sub connect
{
	my ($self, %options) = @_;

	return AthenaCalc::Connection->new($self->{node}, %options);
}

sub session_backend
{
	my ($self) = @_;

	return $self->{db} ||= $self->connect;
}

sub reconnect
{
	my ($self) = @_;

	$self->{db}->close if $self->{db};
	$self->{db} = undef;
	return $self->session_backend;
}

=item $athena->restart(%environment)

Starts the server anew, with these variables in its environment.

=item $athena->with(%settings)

Gives query() and the like a fresh backend that has these settings of athena_calc's. Returns the object itself.

=item $athena->identity

Makes a call, and tells whose credentials Athena took it for: an access key, or a role and the name of its session, as
in "etl/athena_calc". Where the call failed, its SQLSTATE and message, as in "28000 no AWS credentials".

=item $athena->asked

The operations that were asked for beside that call since, one behind the other in a text, as in "Metadata.Token
Metadata.Role Metadata.Credentials".

=cut

sub restart
{
	my ($self, %environment) = @_;

	$self->{db}->close if $self->{db};
	$self->{db} = undef;
	local $ENV{HOME} = $self->home;
	local @ENV{ keys %environment } = values %environment;
	$self->node->restart;
	return;
}

sub with
{
	my ($self, %settings) = @_;

	$self->reconnect;
	$self->query(join '; ', map { "SET athena_calc.$_ = '$settings{$_}'" } sort keys %settings);
	return $self;
}

sub identity
{
	my ($self) = @_;

	$self->clear_log;
	my $error = $self->query_error('SELECT * FROM athena_calc.list_engine_versions()');
	return "$error->{sqlstate} $error->{message}" if $error->{sqlstate} ne '00000';
	my $request = ($self->requests('ListEngineVersions'))[-1];
	croak 'the last request was not authorized' unless $request->{authorized};
	return $request->{principal} =~ m{:assumed-role/(.+)} ? $1 : $request->{access_key_id};
}

sub asked
{
	my ($self) = @_;

	return join ' ', grep { $_ ne 'ListEngineVersions' } map { $_->{operation} } $self->requests;
}

=item $athena->query, row, value, column, notices

As in AthenaCalc::Connection.

=item $athena->query_error($sql, @parameters)

AthenaCalc::Connection's error().

=cut

sub query       { my $self = shift; return $self->session_backend->query(@_) }
sub row         { my $self = shift; return $self->session_backend->row(@_) }
sub value       { my $self = shift; return $self->session_backend->value(@_) }
sub column      { my $self = shift; return $self->session_backend->column(@_) }
sub notices     { my $self = shift; return $self->session_backend->notices }
sub query_error { my $self = shift; return $self->session_backend->error(@_) }

=item $athena->put_text($uri, $text), $athena->put_bytes($uri, $bytes), $athena->get_bytes($uri), $athena->delete_objects($uri)

s3_put_object, s3_get_object and s3_delete_objects, with what they return.

=item $athena->list_uris($uri, $max_results)

The URIs that s3_list_objects gives.

=item $athena->call_error($call, @parameters), $athena->call_sqlstate($call, @parameters)

What a call of one of our functions fails with, as query_error() has it: call_error('s3_get_object($1)', $uri); its SQLSTATE alone.

=cut

sub put_text
{
	my ($self, $uri, $text) = @_;

	return $self->value('SELECT athena_calc.s3_put_object($1, $2::text)', $uri, $text);
}

sub put_bytes
{
	my ($self, $uri, $bytes) = @_;

	return $self->value('SELECT athena_calc.s3_put_object($1, $2::bytea)', $uri, '\\x' . unpack 'H*', $bytes);
}

sub get_bytes
{
	my ($self, $uri) = @_;

	return pack 'H*', substr $self->value('SELECT athena_calc.s3_get_object($1)', $uri), 2;
}

sub delete_objects
{
	my ($self, $uri) = @_;

	return $self->value('SELECT athena_calc.s3_delete_objects($1)', $uri);
}

sub list_uris
{
	my ($self, $uri, $max_results) = @_;

	return $self->column('SELECT uri FROM athena_calc.s3_list_objects($1, $2)', $uri, $max_results);
}

sub call_error
{
	my ($self, $call, @parameters) = @_;

	return $self->query_error("SELECT * FROM athena_calc.$call", @parameters);
}

sub call_sqlstate { my $self = shift; return $self->call_error(@_)->{sqlstate} }

=item $athena->fault, faults, clear_faults, requests, request_log, clear_log, emulator_settings

As fault, faults, clear_faults, requests, log, clear_log and settings in AthenaCalc::Emulator.

=cut

sub fault             { my $self = shift; return $self->{emulator}->fault(@_) }
sub faults            { my $self = shift; return $self->{emulator}->faults(@_) }
sub clear_faults      { my $self = shift; return $self->{emulator}->clear_faults }
sub requests          { my $self = shift; return $self->{emulator}->requests(@_) }
sub request_log       { my $self = shift; return $self->{emulator}->log }
sub clear_log         { my $self = shift; return $self->{emulator}->clear_log }
sub emulator_settings { my $self = shift; return $self->{emulator}->settings(@_) }

=item $athena->start_session(%arguments)

The id of a new session that is IDLE. Arguments are start_session's, by name.

=item $athena->start_calculation($session, $code)

The id of a new calculation.

=item $athena->wait_for($calculation, @states), $athena->wait_for_session($session, @states)

Looks until a calculation is in one of these states, or has ended where none is given; a session, until it is in one
of these states. Both give the last status row.

=cut

sub start_session
{
	my ($self, %arguments) = @_;
	my @names = sort keys %arguments;
	my $list = join ', ', map { "$names[$_] => \$" . ($_ + 1) } 0 .. $#names;
	my $session = $self->value("SELECT session_id FROM athena_calc.start_session($list)", @arguments{@names});

	$self->wait_for_session($session, 'IDLE');
	return $session;
}

sub start_calculation
{
	my ($self, $session, $code) = @_;

	return $self->value('SELECT calculation_execution_id FROM athena_calc.start_calculation_execution($1, $2)',
		$session, $code);
}

sub wait_for
{
	my ($self, $calculation, @states) = @_;

	return $self->_look('get_calculation_execution_status', $calculation,
		@states ? @states : qw(COMPLETED FAILED CANCELED));
}

sub wait_for_session
{
	my ($self, $session, @states) = @_;

	return $self->_look('get_session_status', $session, @states);
}

=item $athena->wait_until($look, $what, $seconds), AthenaCalc::Test->wait_until(...)

Calls a function until it gives something true. Dies, naming what was waited for, when it has not after patient(30) seconds, or
patient($seconds). What was waited for is a text, or a function that gives it, for what is known then only.

=item $athena->wait_for_requests($operation, $count)

Looks until the emulator's log has so many requests (1 unless given) of an operation, and gives them.

=item $athena->run($session, $code)

The id of a calculation that has ended; the session is IDLE again.

=back

=cut

sub run
{
	my ($self, $session, $code) = @_;
	my $id = $self->start_calculation($session, $code);

	$self->wait_for($id);
	$self->wait_for_session($session, 'IDLE');
	return $id;
}

sub wait_for_requests
{
	my ($self, $operation, $count) = @_;
	my @requests;

	$self->wait_until(
		sub { @requests = $self->requests($operation); return @requests >= ($count // 1) },
		($count // 1) . " requests of $operation were there");
	return @requests;
}

sub wait_until
{
	my ($class, $look, $what, $seconds) = @_;
	my $begun = time;

	until ($look->())
	{
		my $waited = time - $begun;

		croak 'it took too long until ' . (ref $what ? $what->() : $what) if $waited > patient($seconds // WAIT_SECONDS);
		# What takes a minute is not looked at, and logged, ten thousand times.
		sleep 0.005 + $waited / 200;
	}
	return;
}

sub _look
{
	my ($self, $function, $id, @wanted) = @_;
	my $row;

	$self->wait_until(
		sub {
			$row = $self->row("SELECT * FROM athena_calc.$function(\$1)", $id);
			return grep { $_ eq $row->{state} } @wanted;
		},
		"$id was @wanted");
	return $row;
}

=head1 FUNCTIONS

=over

=item detail_keys($error), detail_value($error, $key)

The keys of an error's DETAIL, in their order, and the value of one of them.

=cut

sub detail_keys
{
	my ($error) = @_;

	return map { /^([a-z_]+): / ? $1 : "no key: $_" } split /\n/, $error->{detail} // '';
}

sub detail_value
{
	my ($error, $key) = @_;

	return ($error->{detail} // '') =~ /^\Q$key\E: (.*)$/m ? $1 : undef;
}

=item patient($bound)

A bound of time or memory as a test asserts it, or a delay in which something must be done: so many times as large as
ATHENA_CALC_TEST_PATIENCE in the environment says. With sanitizers and valgrind all takes more of both.

=item write_file($path, $text)

Writes a file whole, in place of one that may be there.

=item printable($text)

The text in ASCII, for a test's name: from PostgreSQL 18 on a wide character there ends the test.

=item uuid_like($value, $name)

Passes when the value is a random UUID.

=back

=cut

sub patient
{
	my ($bound) = @_;

	return $bound * PATIENCE;
}

sub write_file
{
	my ($path, $text) = @_;

	unlink $path;
	append_to_file($path, $text);
	return;
}

sub printable
{
	my ($text) = @_;

	return $text =~ s/([^\x20-\x7e])/sprintf '\\x{%x}', ord $1/ger;
}

sub uuid_like
{
	my ($value, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return like($value, qr/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, $name);
}

1;
