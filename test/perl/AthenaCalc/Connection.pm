package AthenaCalc::Connection;

=head1 NAME

AthenaCalc::Connection - one backend, spoken to directly

=head1 SYNOPSIS

  my $db = $athena->connect;                       # AthenaCalc::Test

  my @rows  = $db->query('SELECT * FROM athena_calc.list_sessions()');
  print $rows[0]{state};                           # rows are hashes by column; NULL is undef
  my $row   = $db->row('SELECT * FROM athena_calc.get_session($1)', $session);
  my $state = $db->value('SELECT athena_calc.stop_calculation_execution($1)', $id);
  my @ids   = $db->column('SELECT session_id FROM athena_calc.list_sessions()');

  my $error = $db->error('SELECT athena_calc.get_session(NULL)');
  is($error->{sqlstate}, '22004');                 # also message, detail, hint

  $db->send('SELECT athena_calc.get_session_status($1)', $session);
  $db->cancel;                                     # as Ctrl-C in psql does
  $error = $db->finish->{error};

=head1 DESCRIPTION

It speaks PostgreSQL's protocol (version 3.0) over the node's socket, because psql's output has errors only as
text to be taken apart, and many tests need hundreds of statements in one backend: to see that it lives, what
it has learned, and how its memory grows. All text is UTF-8, as characters; parameters take the types that
the statement gives them. Nothing waits for longer than PostgreSQL's own tests do.

=cut

use strict;
use warnings;

use Carp;
use Errno;
use Encode qw(decode encode);
use IO::Select;
use IO::Socket::UNIX;
use POSIX ();
use PostgreSQL::Test::Utils ();

# Errors are told of the test's own lines.
our @CARP_NOT = ('AthenaCalc::Test');

use constant PROTOCOL       => 196608;
use constant CANCEL_REQUEST => 80877102;

my %ERROR_FIELDS = (C => 'sqlstate', M => 'message', D => 'detail', H => 'hint', W => 'context');

=head1 METHODS

=over

=item AthenaCalc::Connection->new($node, user => ..., dbname => ...)

A new backend of a PostgreSQL::Test::Cluster node. Dies when it is refused.

=cut

sub new
{
	my ($class, $node, %options) = @_;
	my %startup = (
		user            => (getpwuid($>))[0],
		database        => delete $options{dbname} || 'postgres',
		client_encoding => 'UTF8',
		%options);
	my $self = bless {
		path     => $node->host . '/.s.PGSQL.' . $node->port,
		received => '',
		notices  => []
	}, $class;

	$self->{socket} = $self->_open_socket;
	$self->_write(pack('N', PROTOCOL) . join('', map { "$_\0$startup{$_}\0" } keys %startup) . "\0");
	my $result = $self->finish;
	croak "could not connect: $result->{error}{message}" if $result->{error};
	return $self;
}

=item $db->query($sql, @parameters)

The rows of a statement, as a list of hashes. Without parameters it may be several statements; the rows are the
last one's. Dies when it fails.

=cut

sub query
{
	my ($self, $sql, @parameters) = @_;
	my $result = $self->send($sql, @parameters)->finish;

	croak sprintf("%s: %s\n%s", @{ $result->{error} }{qw(sqlstate message)}, $sql)
	  if $result->{error};
	return map {
		my %row;
		@row{ @{ $result->{columns} } } = @$_;
		\%row
	} @{ $result->{rows} };
}

=item $db->row($sql, @parameters), $db->value(...), $db->column(...)

The only row; the only value of the only row; the first column of all rows.

=cut

sub row
{
	my @rows = query(@_);

	croak 'expected one row, got ' . @rows . ": $_[1]" if @rows != 1;
	return $rows[0];
}

sub value
{
	my ($value) = column(@_);

	return $value;
}

sub column
{
	my ($self, $sql, @parameters) = @_;
	my $result = $self->send($sql, @parameters)->finish;

	croak sprintf("%s: %s\n%s", @{ $result->{error} }{qw(sqlstate message)}, $sql)
	  if $result->{error};
	return map { $_->[0] } @{ $result->{rows} };
}

=item $db->error($sql, @parameters)

What a statement fails with: a hash of sqlstate, message, detail, hint and context, undef where there is none. The
sqlstate is 00000 when it does not fail, so that a test of it does.

=cut

sub error
{
	my ($self, $sql, @parameters) = @_;

	return $self->send($sql, @parameters)->finish->{error} || { sqlstate => '00000', message => '' };
}

=item $db->send($sql, @parameters), $db->finish

A statement without waiting for it, and its end: a hash of columns (names), rows (lists) and error (undef for
none).

=cut

sub send
{
	my ($self, $sql, @parameters) = @_;

	$self->{notices} = [];
	$sql = encode('UTF-8', $sql);
	if (@parameters)
	{
		$self->_write("\0$sql\0" . pack('n', 0), 'P');
		$self->_execute('', @parameters);
	}
	else
	{
		$self->_write("$sql\0", 'Q');
	}
	return $self;
}

# Binds and executes a statement that was parsed under a name.
sub _execute
{
	my ($self, $name, @parameters) = @_;
	my $values = join '', map { defined $_ ? pack('N/a*', encode('UTF-8', $_)) : pack('N', 0xFFFFFFFF) } @parameters;

	$self->_write("\0$name\0" . pack('n n', 0, scalar @parameters) . $values . pack('n', 0), 'B');
	$self->_write("P\0", 'D');
	$self->_write("\0" . pack('N', 0), 'E');
	$self->_write('', 'S');
	return;
}

sub finish
{
	my ($self) = @_;
	my %result = (columns => [], rows => []);

	while (1)
	{
		my ($type, $body) = $self->_read_message;

		if ($type eq 'T')
		{
			my ($count, $rest) = unpack 'n a*', $body;

			@result{qw(columns rows)} = ([], []);
			for (1 .. $count)
			{
				(my $name, $rest) = unpack 'Z* x18 a*', $rest;
				push @{ $result{columns} }, decode('UTF-8', $name);
			}
		}
		elsif ($type eq 'D')
		{
			my ($count, $rest) = unpack 'n a*', $body;
			my @row;

			for (1 .. $count)
			{
				(my $length, $rest) = unpack 'l> a*', $rest;
				push @row, $length < 0 ? undef : decode('UTF-8', substr($rest, 0, $length, ''));
			}
			push @{ $result{rows} }, \@row;
		}
		elsif ($type eq 'E')
		{
			$result{error} = _fields($body);
		}
		elsif ($type eq 'N')
		{
			push @{ $self->{notices} }, _fields($body);
		}
		elsif ($type eq 'K')
		{
			@{$self}{qw(pid key)} = unpack 'N N', $body;
		}
		elsif ($type eq 'R' && unpack('N', $body) != 0)
		{
			croak 'the server wants a password: the node must trust its socket';
		}
		# The end of the statement, or of the backend.
		return \%result if $type eq 'Z' || $type eq '';
	}
}

=item $db->prepare($name, $sql), $db->execute($name, @parameters)

A statement under a name, as drivers prepare it (not as PREPARE does), and its rows as a list of lists. Both die when they fail.

=cut

sub prepare
{
	my ($self, $name, $sql) = @_;

	$self->_write("$name\0$sql\0" . pack('n', 0), 'P');
	$self->_write('', 'S');
	my $error = $self->finish->{error};
	croak "$error->{sqlstate}: $error->{message}" if $error;
	return;
}

sub execute
{
	my ($self, $name, @parameters) = @_;

	$self->_execute($name, @parameters);
	my $result = $self->finish;
	croak "$result->{error}{sqlstate}: $result->{error}{message}" if $result->{error};
	return @{ $result->{rows} };
}

=item $db->notices

The messages of all notices and warnings of the last statement.

=cut

sub notices
{
	return map { $_->{message} } @{ $_[0]{notices} };
}

=item $db->pid, $db->memory_kb, $db->peak_memory_kb, $db->cpu_seconds, $db->descriptors

The backend's process, the memory that it has in RAM and the most that it has had there, in kB, the CPU time that it has had, and
the number of its open descriptors (from /proc).

=cut

sub pid { return $_[0]{pid} }

sub memory_kb      { return $_[0]->_status_kb('VmRSS') }
sub peak_memory_kb { return $_[0]->_status_kb('VmHWM') }

sub _status_kb
{
	my ($self, $key) = @_;

	return PostgreSQL::Test::Utils::slurp_file("/proc/$self->{pid}/status") =~ /^$key:\s+(\d+) kB/m ? $1 : undef;
}

sub cpu_seconds
{
	my ($self) = @_;
	my (undef, $fields) = PostgreSQL::Test::Utils::slurp_file("/proc/$self->{pid}/stat") =~ /^(.*\)) (.*)/s;
	my ($user, $system) = (split ' ', $fields)[ 11, 12 ];

	return ($user + $system) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

sub descriptors
{
	my @open = glob "/proc/$_[0]{pid}/fd/*";

	return scalar @open;
}

=item $db->cancel

Asks the server to cancel the statement that runs.

=cut

sub cancel
{
	my ($self) = @_;
	my $socket = $self->_open_socket;

	syswrite $socket, pack('N N N N', 16, CANCEL_REQUEST, $self->{pid}, $self->{key});
	# The server closes it when it has passed the signal on.
	sysread $socket, my $nothing, 1;
	close $socket;
	return;
}

=item $db->close, $db->vanish

Ends the backend; leaves it without a word, as a client that crashes.

=back

=cut

sub close
{
	my ($self) = @_;

	$self->_write('', 'X');
	return $self->vanish;
}

sub vanish
{
	my ($self) = @_;

	CORE::close $self->{socket};
	return;
}

sub _open_socket
{
	my ($self) = @_;

	return IO::Socket::UNIX->new(Peer => $self->{path}) || croak "could not connect to $self->{path}: $!";
}

sub _write
{
	my ($self, $body, $type) = @_;
	my $message = (defined $type ? $type : '') . pack('N', length($body) + 4) . $body;

	while (length $message)
	{
		my $written = syswrite $self->{socket}, $message;

		# The backend may be gone already: its last words, if any, are still to be read.
		return unless $written;
		substr $message, 0, $written, '';
	}
	return;
}

# The next message, its type '' when the connection has ended.
sub _read_message
{
	my ($self) = @_;
	my $select = IO::Select->new($self->{socket});

	while (1)
	{
		if (length $self->{received} >= 5)
		{
			my ($type, $length) = unpack 'a N', $self->{received};

			if (length $self->{received} > $length)
			{
				my $message = substr $self->{received}, 0, $length + 1, '';

				return ($type, substr $message, 5);
			}
		}
		# A signal ends the wait, too: that of a child that stops, for one.
		$select->can_read($PostgreSQL::Test::Utils::timeout_default)
		  or $!{EINTR}
		  or croak "the backend has not answered for $PostgreSQL::Test::Utils::timeout_default s";
		next unless $select->can_read(0);
		sysread $self->{socket}, $self->{received}, 1 << 20, length $self->{received}
		  or return ('', '');
	}
}

sub _fields
{
	my ($body) = @_;
	my %fields = (detail => undef, hint => undef, context => undef);

	for my $field (split /\0/, $body)
	{
		my ($code, $text) = unpack 'a a*', $field;

		$fields{ $ERROR_FIELDS{$code} } = decode('UTF-8', $text) if $ERROR_FIELDS{$code};
	}
	return \%fields;
}

1;
