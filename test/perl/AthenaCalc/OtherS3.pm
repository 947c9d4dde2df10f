package AthenaCalc::OtherS3;

=head1 NAME

AthenaCalc::OtherS3 - an S3 that nobody here wrote, for one test

=head1 SYNOPSIS

  for my $name (AthenaCalc::OtherS3->names)
  {
    SKIP:
    {
      my $lack = AthenaCalc::OtherS3->lack($name);
      skip $lack, 1 if $lack;

      my $s3 = AthenaCalc::OtherS3->new($name);
      $s3->create_bucket('bucket');
      $athena->with($s3->settings);             # AthenaCalc::Test
      print $s3->request('GET', '/bucket?uploads');
    }
  }

=head1 DESCRIPTION

swift is OpenStack Swift with its S3 API, which verifies signatures: Debian's python3-swift, run by the python3 of Debian's
(swift_server.py, beside this). moto is PyPI's moto, which verifies none, run by $ENV{PYTHON}.

It is started with the object, as the user who runs the test and on loopback only, and ends with the test, however that ends: its
standard input is a pipe from here. Its files are in a directory that PostgreSQL's tests remove; its own words are in tmp_check/log,
beside PostgreSQL's.

=cut

use strict;
use warnings;

use AthenaCalc::Child;
use AthenaCalc::Client;
use AthenaCalc::Test ();
use Carp;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IPC::Run ();
use PostgreSQL::Test::Utils ();

# Errors are told of the test's own lines.
our @CARP_NOT = ('AthenaCalc::Test');

use constant {
	ACCESS_KEY => 'test:tester',
	SECRET_KEY => 'testing/with+signs=',
	REGION     => 'eu-central-1',
	# The keys of a page of a list, where none are asked for: S3 has a thousand, which would take long to write.
	PAGE => 60,
};

my $ROOT = abs_path(dirname(__FILE__) . '/../../..');

my $MOTO = <<'PYTHON';
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0)
server.start()
print("listening on http://127.0.0.1:%d" % server.get_host_and_port()[1], flush=True)
sys.stdin.read()
PYTHON

# How each is started, and what its Python must have.
my %SERVERS = (
	moto  => { python => $ENV{PYTHON} || 'python3', modules => ['moto.server'], command => sub { ('-c', $MOTO) } },
	swift => {
		strict  => 1,
		python  => '/usr/bin/python3',
		modules => [ 'swift.common.middleware.s3api', 'swift.proxy', 'eventlet' ],
		command => sub { ("$ROOT/test/perl/AthenaCalc/swift_server.py", PostgreSQL::Test::Utils::tempdir('swift'), REGION, ACCESS_KEY, SECRET_KEY, PAGE) }
	});

=head1 METHODS

=over

=item AthenaCalc::OtherS3->names

The servers that there are, as new() and lack() take them.

=item AthenaCalc::OtherS3->lack($name)

What is not installed that this one needs; undef where nothing lacks.

=cut

sub names { return sort keys %SERVERS }

sub lack
{
	my ($class, $name) = @_;
	my ($python, $modules) = @{ $SERVERS{$name} }{qw(python modules)};

	return if IPC::Run::run([ $python, '-c', 'import ' . join ', ', @$modules ], '>&', \my $words);
	return "$python has no $name";
}

=item AthenaCalc::OtherS3->new($name)

Starts one and waits until it answers.

=cut

sub new
{
	my ($class, $name) = @_;
	my $server = $SERVERS{$name} or croak "there is no $name";
	my $self = bless { name => $name }, $class;
	my $log = "$PostgreSQL::Test::Utils::test_logfile.$name";

	$self->{child} = AthenaCalc::Child->new({ MOTO_S3_DEFAULT_MAX_KEYS => PAGE }, $log, $server->{python}, $server->{command}->());
	($self->{url}) = $self->{child}->listens;
	my ($netloc) = $self->{url} =~ m{//(.+)};
	$self->{client} = AthenaCalc::Client->new($netloc, ACCESS_KEY, SECRET_KEY);
	# It may listen for some time before it serves, on a busy machine for longer than a request is waited for.
	AthenaCalc::Test->wait_until(sub { eval { $self->request('GET', '/'); 1 } }, sub { "$name served: $@" }, 180);
	return $self;
}

=item $s3->name, $s3->is_strict, $s3->url, $s3->virtual_url

Which one it is, whether it verifies signatures, and where it listens. At the second address buckets are in front of the
host's name, which of the two only Swift does right.

=item $s3->settings

Settings of athena_calc's, by which it reaches this S3.

=cut

sub name        { return $_[0]{name} }
sub is_strict   { return $SERVERS{ $_[0]{name} }{strict} }
sub url         { return $_[0]{url} }
sub virtual_url { return $_[0]{url} =~ s/127\.0\.0\.1/s3.localhost/r }

sub settings
{
	my ($self) = @_;

	return (s3_endpoint_url => $self->url, access_key_id => ACCESS_KEY, secret_access_key => SECRET_KEY, region => REGION);
}

=item $s3->request($method, $target, $body)

What it answers a request that is signed by a signer of the tests' own. The target is a path, encoded, with a query string if
need be. Dies where the answer is an error.

=item $s3->create_bucket($name)

Creates a bucket, for which there is no function in SQL.

=back

=cut

sub request
{
	my ($self, $method, $target, $body) = @_;

	return $self->{client}->request($method, $target, $body, REGION);
}

sub create_bucket
{
	my ($self, $bucket) = @_;

	$self->request('PUT', "/$bucket",
		'<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
		  . '<LocationConstraint>' . REGION . '</LocationConstraint></CreateBucketConfiguration>');
	return;
}

1;
