package AthenaCalc::Client;

=head1 NAME

AthenaCalc::Client - signed requests that are not the extension's

=head1 SYNOPSIS

  my $client = AthenaCalc::Client->new('127.0.0.1:9000', 'AKIDEXAMPLE', $secret_key, '/a/certificate/authority.pem');

  $client->request('PUT', '/bucket/key', $bytes, 'us-east-1');
  my $bytes = $client->request('GET', '/bucket/key', '', 'us-east-1');
  my $log = $client->request('GET', '/_emulator/log');                  # unsigned

=head1 DESCRIPTION

Signs with a signer of the tests' own (client_server.py, beside this). That is a process which begins with the first request
and ends with the object.

=cut

use strict;
use warnings;

use AthenaCalc::Child;
use Carp;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use JSON::PP;

# Errors are told of the test's own lines.
our @CARP_NOT = ('AthenaCalc::Emulator', 'AthenaCalc::OtherS3', 'AthenaCalc::Test');

my $HERE = abs_path(dirname(__FILE__));
my $json = JSON::PP->new->utf8;

=head1 METHODS

=over

=item AthenaCalc::Client->new($netloc, $access_key, $secret_key, $authority)

For a server at host and port; under TLS with the file of its certificate authority.

=cut

sub new
{
	my ($class, $netloc, $access_key, $secret_key, $authority) = @_;

	return bless { netloc => $netloc, arguments => [ $netloc, $authority // '', $access_key, $secret_key ] }, $class;
}

=item $client->request($method, $target, $body, $region)

The body of an answer. The target is a path, encoded, with a query string if need be. The request is signed for S3 in a region,
or not at all without one. Dies where there is no answer, and where it is an error.

=back

=cut

sub request
{
	my ($self, $method, $target, $body, $region) = @_;
	my $answer = '';

	$body //= '';
	my $child = $self->{child} //= $self->_start;
	print { $child->stdin } $json->encode([ $method, $target, $region, length $body ]), "\n", $body;
	my ($status, $length) = (readline($child->stdout) // '') =~ /^(\d+) (\d+)$/
	  or croak "the client of $self->{netloc} has ended";
	read($child->stdout, $answer, $length) == $length or croak "the client of $self->{netloc} has ended";
	croak "$self->{netloc} refused $method $target: $answer" if $status < 200 || $status > 299;
	return $answer;
}

sub _start
{
	my ($self) = @_;
	my $child = AthenaCalc::Child->new({ PYTHONPATH => abs_path("$HERE/../../emulator") }, undef,
		'python3', "$HERE/client_server.py", @{ $self->{arguments} });

	binmode $_ foreach $child->stdin, $child->stdout;
	$child->stdin->autoflush(1);
	return $child;
}

1;
