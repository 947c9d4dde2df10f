package AthenaCalc::Pooler;

=head1 NAME

AthenaCalc::Pooler - pgbouncer in front of a server

=head1 SYNOPSIS

  plan skip_all => 'pgbouncer is not installed' unless AthenaCalc::Pooler->version;

  my $pooler = AthenaCalc::Pooler->new($node, mode => 'transaction', users => ['etl']);
  my $db     = AthenaCalc::Connection->new($pooler);       # through the pooler, in the place of a node
  $pooler->stop;

=head1 DESCRIPTION

Each user's pool of a database has one backend, so that clients share it. It listens on a socket in a directory of its own, and ends
with the test, however that ends.

=cut

use strict;
use warnings;

use AthenaCalc::Test ();
use Carp;
use IO::Socket::UNIX;
use IPC::Open3;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

# Errors are told of the test's own lines.
our @CARP_NOT = ('AthenaCalc::Test');

# It is where a user without more rights need not look.
my ($PROGRAM) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin';

=head1 METHODS

=over

=item AthenaCalc::Pooler->version

Its version as a number, 1.021 for 1.21; undef where it is not installed.

=item AthenaCalc::Pooler->new($node, mode => 'transaction', users => [...])

Starts one; the user who runs the test is always let in. mode: session or transaction.

=cut

sub version
{
	return undef unless $PROGRAM;
	return `$PROGRAM --version` =~ /^PgBouncer (\d+)\.(\d+)/m ? sprintf('%d.%03d', $1, $2) : undef;
}

sub new
{
	my ($class, $node, %options) = @_;
	my $self = bless { host => PostgreSQL::Test::Utils::tempdir_short, port => PostgreSQL::Test::Cluster::get_free_port() }, $class;
	my $log = "$PostgreSQL::Test::Utils::test_logfile.pooler";

	append_to_file("$self->{host}/users", qq("$_" ""\n)) for (getpwuid($>))[0], @{ $options{users} // [] };
	append_to_file("$self->{host}/pgbouncer.ini", join "\n",
		'[databases]',
		'* = host=' . $node->host . ' port=' . $node->port,
		'[pgbouncer]',
		"pool_mode = $options{mode}",
		'default_pool_size = 1',
		'server_reset_query = DISCARD ALL',
		"unix_socket_dir = $self->{host}",
		"listen_port = $self->{port}",
		'auth_type = trust',
		"auth_file = $self->{host}/users",
		# Named statements in transaction mode, which versions before 1.21 do not have.
		($class->version >= 1.021 ? 'max_prepared_statements = 10' : ()), '');
	open my $output, '>>', $log or croak "could not write $log: $!";
	open my $nothing, '<', '/dev/null' or croak "could not read /dev/null: $!";
	# It shall end with the test, also with one that is killed.
	$self->{pid} = open3('<&' . fileno($nothing), '>&' . fileno($output), undef,
		'setpriv', '--pdeathsig', 'TERM', $PROGRAM, "$self->{host}/pgbouncer.ini");
	AthenaCalc::Test->wait_until(sub { IO::Socket::UNIX->new(Peer => "$self->{host}/.s.PGSQL.$self->{port}") }, "the pooler listened; see $log");
	return $self;
}

=item $pooler->host, $pooler->port, $pooler->stop

As those of a node.

=back

=cut

sub host { return $_[0]{host} }
sub port { return $_[0]{port} }

sub stop
{
	my ($self) = @_;

	return unless $self->{pid};
	# At once: the ends of its clients are not waited for.
	kill 'TERM', $self->{pid};
	# The exit status of the test must stay its own.
	local $?;
	waitpid delete $self->{pid}, 0;
	return;
}

sub DESTROY { $_[0]->stop }

1;
