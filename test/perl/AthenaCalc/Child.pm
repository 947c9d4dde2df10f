package AthenaCalc::Child;

=head1 NAME

AthenaCalc::Child - a process that ends with its object

=head1 SYNOPSIS

  my $child = AthenaCalc::Child->new({ PYTHONPATH => $directory }, $log, 'python3', '-m', 'emulator');
  my ($url, @said) = $child->listens;
  print { $child->stdin } "a request\n";
  my $answer = readline $child->stdout;

=head1 DESCRIPTION

Its standard input is a pipe from here, at the end of which it ends: with the object or with the test, however that ends.

=cut

use strict;
use warnings;

use Carp;
use IPC::Open3;

# Errors are told of the test's own lines.
our @CARP_NOT = ('AthenaCalc::Client', 'AthenaCalc::Emulator', 'AthenaCalc::OtherS3', 'AthenaCalc::Test');

=head1 METHODS

=over

=item AthenaCalc::Child->new(\%environment, $log, @command)

Starts it, with further variables. What it writes to standard error goes to the end of a file, or where the test's goes
without one.

=cut

sub new
{
	my ($class, $environment, $log, @command) = @_;
	my $self = bless { log => $log }, $class;
	my $errors = \*STDERR;

	local @ENV{ keys %$environment } = values %$environment;
	local $ENV{PYTHONDONTWRITEBYTECODE} = 1;
	if (defined $log)
	{
		undef $errors;
		open $errors, '>>', $log or croak "could not write $log: $!";
	}
	$self->{pid} = open3($self->{stdin}, $self->{stdout}, '>&' . fileno($errors), @command);
	return $self;
}

=item $child->stdin, $child->stdout, $child->pid

=item $child->listens

The URL of the line "listening on URL", for which it is waited, and the lines before it.

=item $child->stop

Ends it and waits for its end. Nothing happens the second time.

=back

=cut

sub stdin  { return $_[0]{stdin} }
sub stdout { return $_[0]{stdout} }
sub pid    { return $_[0]{pid} }

sub listens
{
	my ($self) = @_;
	my @said;

	while (my $line = readline $self->{stdout})
	{
		return ($1, @said) if $line =~ /^listening on (\S+)$/;
		push @said, $line;
	}
	croak 'it did not start; see ' . ($self->{log} // 'above');
}

sub stop
{
	my ($self) = @_;

	return unless $self->{pid};
	close $self->{stdin};
	kill 'CONT', $self->{pid}; # where a test that stopped it died
	# The exit status of the test must stay its own.
	local $?;
	waitpid delete $self->{pid}, 0;
	return;
}

sub DESTROY { $_[0]->stop }

1;
