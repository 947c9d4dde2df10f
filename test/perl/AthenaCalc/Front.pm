package AthenaCalc::Front;

=head1 NAME

AthenaCalc::Front - a server that speaks HTTP/2 in front of an emulator

=head1 SYNOPSIS

  my $lack = AthenaCalc::Front->lack;               # what is not installed; undef where nothing lacks
  my $front = AthenaCalc::Front->new($athena->emulator, 'keepalive_requests 20;');

  $athena->query("SET athena_calc.endpoint_url = '" . $front->url . "'");
  $athena->query("SET athena_calc.ca_bundle = '" . $front->authority . "'");
  my @requests = $front->requests(2);               # { version => 'HTTP/2.0', connection => 7 }
  $front->break_connections;

=head1 DESCRIPTION

It is nginx with TLS on a free port of loopback, run by the user who runs the test; whatever it is asked, it asks the emulator,
by HTTP/1.1. Further directives are those of nginx's http block. http2 => 0 leaves HTTP/2 out. It ends with the test.

=cut

use strict;
use warnings;

use AthenaCalc::Test ();
use Carp;
use IO::Socket::INET;
use IPC::Run ();
use PostgreSQL::Test::Utils ();

# Errors are told of the test's own lines.
our @CARP_NOT = ('AthenaCalc::Test');

# It is with root's programs, which a test's user need not have in the path.
my ($NGINX) = grep { -x } map { "$_/nginx" } split(/:/, $ENV{PATH}), '/usr/sbin';

=head1 METHODS

=over

=item AthenaCalc::Front->lack

=cut

sub lack { return $NGINX ? undef : 'nginx is not installed' }

=item AthenaCalc::Front->new($emulator, $directives, http2 => 1)

Starts one and waits until it answers.

=cut

sub new
{
	my ($class, $emulator, $directives, %options) = @_;
	my $directory = PostgreSQL::Test::Utils::tempdir('front');
	my $self = bless { directory => $directory }, $class;
	my $http2 = $options{http2} // 1;
	my ($minor) = run($NGINX, '-v') =~ m{nginx/1\.(\d+)};

	run(qw(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1),
		'-keyout', "$directory/key.pem", '-out', "$directory/certificate.pem");
	$self->{port} = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)->sockport;

	# From 1.25 on HTTP/2 is a directive.
	my ($listen, $on) = !$http2 ? ('ssl', '') : $minor < 25 ? ('ssl http2', '') : ('ssl', 'http2 on;');
	my $temporary = join "\n", map { "${_}_temp_path $directory/$_;" } qw(client_body proxy fastcgi uwsgi scgi);
	PostgreSQL::Test::Utils::append_to_file("$directory/nginx.conf", <<"END");
daemon on;
worker_processes 1;
pid $directory/pid;
error_log $directory/error.log;
events { worker_connections 2048; }
http {
	$temporary
	log_format versions '\$server_protocol \$connection';
	access_log $directory/access.log versions;
	ssl_certificate $directory/certificate.pem;
	ssl_certificate_key $directory/key.pem;
	${\ ($directives // '')}
	server {
		listen 127.0.0.1:$self->{port} $listen;
		$on
		location / {
			proxy_pass ${\ $emulator->url};
			proxy_http_version 1.1;
			proxy_set_header Host \$http_host;
			proxy_pass_request_headers on;
			proxy_next_upstream off;
			proxy_read_timeout 1h;
		}
	}
}
END
	$self->_nginx;
	AthenaCalc::Test->wait_until(sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}) }, 'nginx listened');
	return $self;
}

=item $front->url, $front->authority

Where it listens, and the file of the certificate that it is to be trusted by.

=item $front->requests($count), $front->clear_log

What it was asked, in the order of its answers, once there are so many; forgets that.

=item $front->break_connections

Ends all its connections in the midst of what they carry. It goes on listening.

=back

=cut

sub url       { return "https://127.0.0.1:$_[0]{port}" }
sub authority { return "$_[0]{directory}/certificate.pem" }

sub requests
{
	my ($self, $count) = @_;
	my @lines;

	# It writes down what it has answered already.
	AthenaCalc::Test->wait_until(
		sub {
			@lines = split /\n/, PostgreSQL::Test::Utils::slurp_file("$self->{directory}/access.log");
			return @lines >= $count;
		},
		"$count requests were in the log of nginx");
	return map { { version => $_->[0], connection => $_->[1] } } map { [split] } @lines;
}

sub clear_log
{
	my ($self) = @_;

	# nginx appends.
	truncate "$self->{directory}/access.log", 0 or croak "could not empty the log: $!";
	return;
}

sub break_connections
{
	my ($self) = @_;
	my ($master) = PostgreSQL::Test::Utils::slurp_file("$self->{directory}/pid") =~ /(\d+)/;

	# The master has the listening socket, and makes another worker.
	for my $worker (split ' ', PostgreSQL::Test::Utils::slurp_file("/proc/$master/task/$master/children"))
	{
		kill 'KILL', $worker;
	}
	return;
}

# What a command says.
sub run
{
	my (@command) = @_;
	my $words;

	IPC::Run::run(\@command, '>&', \$words) or croak "@command failed: $words";
	return $words;
}

sub _nginx
{
	my ($self, @arguments) = @_;
	my $directory = $self->{directory};

	run($NGINX, '-p', $directory, '-c', "$directory/nginx.conf", '-e', "$directory/error.log", @arguments);
	return;
}

sub DESTROY
{
	my ($self) = @_;

	local $?;
	# The test may have been told to stop before it was there.
	eval { $self->_nginx('-s', 'stop') } if -e "$self->{directory}/pid";
	return;
}

1;
