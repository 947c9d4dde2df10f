package AthenaCalc::Emulator;

=head1 NAME

AthenaCalc::Emulator - a local Athena and S3 for one test

=head1 SYNOPSIS

  my $emulator = AthenaCalc::Emulator->new(tls => 0, options => ['--create-bucket', 'other']);

  $emulator->fault(operation => 'GetSession', status => 500, times => 2);   # emulator/README.md, Rules
  $emulator->faults({...}, {...});                                          # several, in this order
  $emulator->clear_faults;

  $emulator->settings(clock_offset_seconds => 3600);                        # emulator/README.md, Settings
  my @requests = $emulator->requests('GetSession');                         # of the log; all without a name
  my $log = $emulator->log;                                                 # with max_in_flight and the like
  $emulator->clear_log;
  $emulator->force_session($session, 'DEGRADED', 'lost');
  $emulator->put_object('athena-emulator/a/key', $bytes);
  my $bytes = $emulator->get_object('athena-emulator/a/key');
  is_deeply([ $emulator->uploads('athena-emulator') ], [], 'no upload is left');

  $emulator->cut_transfers('key', 10);                                      # GetObject broken off at random, ten times
  $emulator->replace_object('key', 'another', skip => 1);                   # before the second GetObject of it

=head1 DESCRIPTION

It is started with the object and ends with the test, however that ends: its standard input is a pipe from here.
Its own words are in tmp_check/log, beside PostgreSQL's.

=cut

use strict;
use warnings;

use AthenaCalc::Child;
use AthenaCalc::Client;
use Carp;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils ();

# Errors are told of the test's own lines.
our @CARP_NOT = ('AthenaCalc::Test');

my $ROOT = abs_path(dirname(__FILE__) . '/../../..');

# The keys that an emulator knows of itself.
use constant {
	ACCESS_KEY => 'AKIDEXAMPLE',
	SECRET_KEY => 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
	REGION     => 'us-east-1',
};

my $json = JSON::PP->new->utf8->allow_nonref;

=head1 METHODS

=over

=item AthenaCalc::Emulator->new(tls => 0, options => [])

Starts one, with further command-line options, and waits until it serves.

=cut

sub new
{
	my ($class, %options) = @_;
	my $self = bless {}, $class;
	my $log = "$PostgreSQL::Test::Utils::test_logfile.emulator";
	my @command = (
		'python3', '-m', 'emulator', '--port', '0', '--control', '--exit-with-parent',
		($options{tls} ? '--tls' : ()),
		@{ $options{options} || [] });

	# On a kept connection its two writes a request would meet Nagle's algorithm: 40 ms each time.
	$self->{http} = HTTP::Tiny->new(timeout => 30, keep_alive => 0, proxy => undef, http_proxy => undef);

	$self->{child} = AthenaCalc::Child->new({ PYTHONPATH => $ROOT }, $log, @command);
	($self->{url}, my @said) = $self->{child}->listens;
	($self->{authority}) = map { /^certificate authority (.+)$/ } @said;
	my ($netloc) = $self->{url} =~ m{//(.+)};
	$self->{client} = AthenaCalc::Client->new($netloc, ACCESS_KEY, SECRET_KEY, $self->{authority});
	return $self;
}

=item $emulator->url, $emulator->port, $emulator->authority

Where it listens, and the file of its certificate authority under TLS.

=cut

sub url       { return $_[0]{url} }
sub port      { return $_[0]{url} =~ /:(\d+)$/ ? $1 : undef }
sub authority { return $_[0]{authority} }

=item $emulator->stop, $emulator->signal($name)

Ends it, which happens by itself, too; sends its process a signal, such as STOP.

=item $emulator->leave_to_parent

For a process that was forked off: from here nothing keeps the emulator running any more.

=cut

sub signal { my ($self, $name) = @_; return kill $name, $self->{child}->pid }
sub stop   { return $_[0]{child}->stop }

sub leave_to_parent { return close $_[0]{child}->stdin }

=item $emulator->fault(%rule), $emulator->faults(@rules), $emulator->clear_faults

Rules by which answers go wrong; the first that fits a request and has times left strikes. True and false are
\1 and \0.

=cut

sub fault { my ($self, %rule) = @_; return $self->faults(\%rule) }
sub faults       { my ($self, @rules) = @_; return $self->_control('POST', 'faults', \@rules) }
sub clear_faults { return $_[0]->_control('DELETE', 'faults') }

=item $emulator->settings(%changes)

Changes settings and gives all of them as they are then.

=cut

sub settings { my ($self, %changes) = @_; return $self->_control('POST', 'settings', \%changes) }

=item $emulator->log, $emulator->clear_log, $emulator->requests($operation)

What it was sent. Of a request, body is text, members is what it says where it is JSON, and headers have lower-case
names.

=cut

sub log       { return $_[0]->_control('GET', 'log') }
sub clear_log { return $_[0]->_control('DELETE', 'log') }

sub requests
{
	my ($self, $operation) = @_;
	my @requests = grep { !defined $operation || $_->{operation} eq $operation } @{ $self->log->{requests} };

	for my $request (@requests)
	{
		my $headers = $request->{headers};

		$request->{headers} = { map { lc $_ => $headers->{$_} } keys %$headers };
		$request->{members} = eval { JSON::PP->new->decode($request->{body}) };
	}
	return @requests;
}

=item $emulator->force_session($session_id, $state, $reason)

A session's end, as if it had happened to it.

=cut

sub force_session
{
	my ($self, $session, $state, $reason) = @_;

	return $self->_control('POST', 'session', { session_id => $session, state => $state, reason => $reason });
}

=item $emulator->work_group($name, %changes)

Adds a work group, or changes one (emulator/README.md, Work groups).

=cut

sub work_group { my ($self, $name, %changes) = @_; return $self->_control('POST', 'work_group', { name => $name, %changes }) }

=item $emulator->put_object($path, $bytes, $region)

Writes an object. The path is bucket/key, the key percent-encoded where it must be; the region is the bucket's,
us-east-1 unless given.

=item $emulator->get_object($path, $region), $emulator->uploads($bucket, $region)

An object's bytes; the keys of the uploads in parts that have neither been completed nor aborted.

=item $emulator->cut_transfers($text, $times, %rule), $emulator->replace_object($text, $bytes, %rule)

GetObject with that text in path and query, or in any with '': broken off at a random byte so many times; of an object that
gets these bytes before the request is carried out. Further members of the rule may follow.

=back

=cut

sub put_object
{
	my ($self, $path, $bytes, $region) = @_;

	$self->{client}->request('PUT', "/$path", $bytes, $region // REGION);
	return;
}

sub get_object { my ($self, $path, $region) = @_; return $self->{client}->request('GET', "/$path", '', $region // REGION) }

sub uploads
{
	my ($self, $bucket, $region) = @_;

	return $self->{client}->request('GET', "/$bucket?uploads", '', $region // REGION) =~ m{<Upload><Key>([^<]*)</Key>}g;
}

sub cut_transfers
{
	my ($self, $text, $times, %rule) = @_;

	return $self->fault(operation => 'S3.GetObject', contains => $text, cut_body => 'random', times => $times, %rule);
}

sub replace_object
{
	my ($self, $text, $bytes, %rule) = @_;

	return $self->fault(
		operation      => 'S3.GetObject',
		contains       => $text,
		replace_base64 => encode_base64($bytes, ''),
		%rule);
}

sub _control
{
	my ($self, $method, $path, $value) = @_;
	my $body = defined $value ? $json->encode($value) : '';

	# Perl's core does not speak TLS.
	return $json->decode($self->{client}->request($method, "/_emulator/$path", $body)) if $self->{authority};
	my $response = $self->{http}->request($method, "$self->{url}/_emulator/$path", { content => $body });

	croak "the emulator refused $method $path: $response->{content}" unless $response->{success};
	return $json->decode($response->{content});
}

1;
