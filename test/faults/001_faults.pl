# Faults, systematically: every function that calls out, each request that it makes, and everything that can become of the
# answer. The outcome is rows, NULL or an error of the reference's table; the backend goes on, and nothing is left in it. Then
# answers that are cut, at every byte of them.
#
# A request gets each fourth fault, another fourth than the request before, where it takes long each twenty-fourth, and an upload is
# cut at some bytes; all of them with ATHENA_CALC_TEST_FULL, or ATHENA_CALC_TEST_FAULTS alone.

use strict;
use warnings;

use AthenaCalc::Test;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $full = $ENV{ATHENA_CALC_TEST_FULL} || $ENV{ATHENA_CALC_TEST_FAULTS};

# One fault in so many.
my $faults_of = $full ? 1 : 4;

use constant SLOW_FAULTS_OF => 24;

# Beyond this a call hangs; a run tries for a minute to terminate its session.
use constant GUARD => '100s';

# What a backend may grow by, in kB: caches of PostgreSQL's and buffers of the largest answers.
use constant GROWTH_KB => 8 * 1024;

my $url;
my $athena = AthenaCalc::Test->new(
	conf     => "log_line_prefix = '%m [%p] %e '\nrestart_after_crash = off\n",
	emulator => [ '--sts-role', 'arn:aws:iam::123456789012:role/etl', '--metadata', '--container-token', 'token' ],
	settings => sub { $url = $_[0]; return { sts_endpoint_url => $_[0], ec2_metadata_service_endpoint => $_[0] } });
my $bucket = 'athena-emulator';

# The table of the reference, and what COPY says of data that is none.
my %in_table = map { $_ => 1 } slurp_file('doc/reference.md') =~ /^\| `([0-9A-Z]{5})` \|/mg;
my %of_copy = map { $_ => 1 } qw(22021 22P02 22P04);

cmp_ok(scalar keys %in_table, '>', 25, 'the reference has its table');
delete $in_table{57014};    # the guard

# Two backends: one with keys, one whose credentials come from afar.
my @settings = (
	'athena_calc.max_attempts = 1',
	q(athena_calc.request_timeout = '150ms'),
	q(athena_calc.max_response_size = '64kB'),
	q(athena_calc.max_poll_interval = '50ms'),
	'statement_timeout = \'' . GUARD . q('),
	'client_min_messages = error');

sub backend
{
	my $db = $athena->connect;

	$db->query("SET $_") foreach @settings;
	return $db;
}

my ($db, $stranger) = map { backend() } 1 .. 2;

# What the calls are about

my $session = $athena->start_session(description => 'faults');
my $gone    = $athena->start_session;
my $done    = $athena->run($session, 'print("out"); import sys; print("err", file=sys.stderr)');

$athena->query('SELECT athena_calc.terminate_session($1)', $gone);
$athena->query('CREATE TABLE loaded (id bigint, word text)');
$athena->emulator->put_object("$bucket/one.csv", "1,one\n2,two\n");
$athena->emulator->put_object("$bucket/in/$_.csv", "$_,part\n") for 1 .. 3;
$athena->emulator->put_object("$bucket/one.py", "pass\n");

# A row of so many bytes: what is larger than 8 MB goes in parts.
sub large { return "SELECT repeat('x', $_[0])" }

# Every function: what it is called with, by the name of the function with what tells it from another call of it behind it. A
# call that is undone by its own success is made ready first. {n} is another number each time.
my $of   = 'SELECT * FROM athena_calc.';
my %call = (
	get_session                            => "${of}get_session('$session')",
	get_session_status                     => "${of}get_session_status('$session')",
	list_sessions                          => "${of}list_sessions()",
	list_executors                         => "${of}list_executors('$session')",
	list_notebook_sessions                 => "${of}list_notebook_sessions('00000000-0000-4000-8000-000000000000')",
	terminate_session                      => "${of}terminate_session('$gone')",
	start_session                          => "${of}start_session(description => 'one of many')",
	start_calculation_execution            => "${of}start_calculation_execution('$session', 'pass')",
	'start_calculation_execution of S3'    => "${of}start_calculation_execution('$session', NULL, code_s3_uri => 's3://$bucket/one.py')",
	get_calculation_execution              => "${of}get_calculation_execution('$done')",
	get_calculation_execution_status       => "${of}get_calculation_execution_status('$done')",
	get_calculation_execution_code         => "${of}get_calculation_execution_code('$done')",
	stop_calculation_execution             => "${of}stop_calculation_execution('$done')",
	list_calculation_executions            => "${of}list_calculation_executions('$session', max_results => 3)",
	batch_get_calculation_execution        => "${of}batch_get_calculation_execution(ARRAY['$done', 'nobody', '$done'])",
	batch_get_calculation_execution_status => "${of}batch_get_calculation_execution_status(ARRAY['$done', 'nobody'])",
	calculation_stdout                     => "${of}calculation_stdout('$done')",
	'calculation_stdout, its end'          => "${of}calculation_stdout('$done', 2)",
	calculation_stderr                     => "${of}calculation_stderr('$done')",
	calculation_result                     => "${of}calculation_result('$done')",
	list_engine_versions                   => "${of}list_engine_versions()",
	list_application_dpu_sizes             => "${of}list_application_dpu_sizes()",
	invoke                                 => "${of}invoke('GetWorkGroup', '{\"WorkGroup\": \"spark\"}')",
	check_setup                            => "${of}check_setup()",
	wait_for_session                       => "${of}wait_for_session('$session', '{s}')",
	wait_for_calculation                   => "${of}wait_for_calculation('$done', '{s}')",
	wait_for_calculations                  => "${of}wait_for_calculations(ARRAY['$done', 'nobody'], '{s}')",
	acquire_session                        => "${of}acquire_session('faults', timeout => '{s}')",
	run_calculation                        => "${of}run_calculation('print(1)', session_id => '$session', timeout => '{s}')",
	'run_calculation, it fails'            => "${of}run_calculation('1 / 0', session_id => '$session', timeout => '{s}')",
	'run_calculation in a session of its own' => "${of}run_calculation('pass', timeout => '{s}')",
	run                                    => "CALL athena_calc.run('print(1)', session_name => 'faults', timeout => '{s}')",
	s3_list_objects                        => "${of}s3_list_objects('s3://$bucket/in/')",
	s3_get_object                          => "${of}s3_get_object('s3://$bucket/one.csv')",
	s3_put_object                          => "${of}s3_put_object('s3://$bucket/put', 'text'::text)",
	'delete, one'                          => "${of}s3_delete_objects('s3://$bucket/put')",
	s3_delete_objects                      => "SELECT athena_calc.s3_put_object('s3://$bucket/away/1', 'text'::text); ${of}s3_delete_objects('s3://$bucket/away/')",
	copy_from_s3                           => "${of}copy_from_s3('loaded', 's3://$bucket/one.csv')",
	'copy_from_s3, a folder'               => "${of}copy_from_s3('loaded', 's3://$bucket/in/')",
	copy_to_s3                             => "${of}copy_to_s3('VALUES (1)', 's3://$bucket/out{n}')",
	'copy_to_s3, a folder again'           => "${of}copy_to_s3('VALUES (1)', 's3://$bucket/all/', options => '{\"overwrite\": true}')",
	'copy_to_s3, in parts'                 => "${of}copy_to_s3('" . large(8_500_000) =~ s/'/''/gr . "', 's3://$bucket/parts', options => '{\"overwrite\": true}')");

# Not with each fourth fault: they take longer than all others together.
sub is_slow { return $_[0] =~ /^(?:run|wait|acquire|start_session|copy_to_s3, in parts|a container|an instance)/ }

sub takes_a_minute { return $_[0] =~ /session of its own/ && $_[1] eq 'TerminateSession' }

# Credentials that each call has to fetch anew.
my $role = q(SET athena_calc.role_arn = 'arn:aws:iam::123456789012:role/etl'; SET athena_calc.role_session_name = 'n{n}'; );
my %credentials = (
	'a role'    => "$role$call{list_engine_versions}",
	'a container' => q(SET athena_calc.credential_provider = 'container'; )
	  . "SET athena_calc.container_authorization_token = 'token'; SET athena_calc.container_credentials_full_uri = '$url/v1/credentials?{n}'; $call{list_engine_versions}",
	'an instance' => q(SET athena_calc.credential_provider = 'instance'; SET athena_calc.ec2_metadata_disabled = 'no'; )
	  . "$role$call{list_engine_versions}");
my $as_ever = join '; ', map { "RESET athena_calc.$_" }
  qw(role_arn role_session_name credential_provider container_credentials_full_uri container_authorization_token ec2_metadata_disabled);

# What is no call: it looks into shared memory, or at options.
my @local = qw(activity validator);
my %known = map { (split /[ ,]/)[0] => 1 } keys %call;
is_deeply(
	[ grep { !$known{$_} } $athena->column(q(SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = 'athena_calc'::regnamespace ORDER BY 1)) ],
	\@local, 'every function is called here');

# The faults

sub raw  { return (raw_base64 => encode_base64(join('', @_), '')) }
sub body { return (body_base64 => encode_base64($_[0], '')) }

my %bodies = (
	nothing => '',
	'JSON'  => '{"__type": "InternalServerException", "message": "x"}',
	'XML'   => '<?xml version="1.0"?><Error><Code>InternalError</Code><Message>x</Message></Error>',
	'HTML'  => '<html><body>Bad Gateway</body></html>');
my $gzip = pack 'H*', '1f8b0800000000000003abae050043bfa6a302000000';
my $head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\n";
my @faults = (
	(map { my $status = $_; map { [ "$status with $_", status => $status, body($bodies{$_}) ] } sort keys %bodies }
	  200, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 409, 412, 416, 429, 500, 501, 502, 503, 504, 599, 600, 999),
	[ 'a redirect', status => 307, headers => { Location => "$url/_emulator/reset" } ],
	[ 'throttled', error => 'ThrottlingException', status => 400 ],
	[ 'slow down', error => 'SlowDown', status => 503 ],
	[ 'expired',   error => 'ExpiredTokenException' ],
	[ 'an error in a success', error => 'InternalError', status => 200 ],
	# What is not what it should be
	[ 'JSON that is cut',     body('{"SessionId": "x') ],
	[ 'an empty object',      body('{}') ],
	[ 'wrong types',          body('{"Status": 1, "SessionId": {}, "State": [], "Calculations": {}, "Sessions": "x", "NextToken": 1, "WorkGroup": 2, "Result": true}') ],
	[ 'wrong types within',   body('{"Status": {"State": 1, "SubmissionDateTime": "x"}, "Result": {"StdOutS3Uri": 1, "ResultS3Uri": []}, "Calculations": [1], "Sessions": [null]}') ],
	[ 'unknown states',       body('{"Status": {"State": "PUZZLED"}, "State": "PUZZLED", "CalculationExecutionId": "x", "SessionId": "x"}') ],
	[ 'no URIs',              body('{"Status": {"State": "COMPLETED"}, "Result": {"StdOutS3Uri": "x", "StdErrorS3Uri": "s3://", "ResultS3Uri": "http://x/y"}}') ],
	[ 'huge numbers',         body('{"Status": {"SubmissionDateTime": 1e308, "StartDateTime": -1e308}, "Statistics": {"DpuExecutionInMillis": ' . '9' x 400 . '}}') ],
	[ 'deep nesting',         body('{"Status": ' . '[' x 30_000) ],
	[ 'the same page for ever', body('{"Calculations": [], "Sessions": [], "NextToken": "again"}') ],
	[ 'deep XML',             body('<a>' x 15_000) ],
	[ 'XML of another kind',  body('<?xml version="1.0"?><Other><Key>x</Key></Other>') ],
	[ 'XML with entities',    body('<!DOCTYPE a [<!ENTITY b "cccccccccc"><!ENTITY d "&b;&b;&b;&b;">]><ListBucketResult><Name>&d;</Name></ListBucketResult>') ],
	[ 'a list of others',     body("<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken><Contents><Key>../x</Key><Size>-1</Size></Contents></ListBucketResult>") ],
	[ 'a size that is huge',  body("<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>in/x</Key><Size>" . '9' x 40 . '</Size></Contents></ListBucketResult>') ],
	[ 'NULs',                 body("\0" x 1000) ],
	[ 'no UTF-8',             body("{\"State\": \"\xff\xfe\"}") ],
	[ 'too large',            body('{"x": "' . 'x' x 100_000 . '"}') ],
	[ 'gzip',                 body($gzip), headers => { 'Content-Encoding' => 'gzip' } ],
	[ 'no gzip',              body('{}'), headers => { 'Content-Encoding' => 'gzip' } ],
	[ 'an unknown encoding',  body('{}'), headers => { 'Content-Encoding' => 'br, x-puzzle' } ],
	# Lengths and headers of the true answer
	[ 'a length too large',   set_headers => { 'Content-Length' => '100000' }, close => \1 ],
	[ 'a length too small',   set_headers => { 'Content-Length' => '1' }, close => \1 ],
	[ 'no length',            set_headers => { 'Content-Length' => undef }, close => \1 ],
	[ 'a length of words',    set_headers => { 'Content-Length' => 'many' }, close => \1 ],
	[ 'a negative length',    set_headers => { 'Content-Length' => '-1' }, close => \1 ],
	[ 'a length of 30 digits', set_headers => { 'Content-Length' => '9' x 30 }, close => \1 ],
	[ 'chunks that are none', set_headers => { 'Content-Length' => undef, 'Transfer-Encoding' => 'chunked' }, close => \1 ],
	[ 'an unknown transfer',  set_headers => { 'Transfer-Encoding' => 'puzzle' }, close => \1 ],
	[ 'odd headers',          set_headers => { Date => 'never', ETag => '', 'Content-Range' => 'bytes 9-1/0', 'Last-Modified' => 'x' x 9000, 'Retry-After' => '99999999999' } ],
	[ 'without its headers',  set_headers => { ETag => undef, Date => undef, 'Content-Type' => undef, 'Last-Modified' => undef } ],
	[ 'and close',            close => \1 ],
	# The connection
	(map { my ($when) = $_; map { [ "drop $when" . ($_ ? ', reset' : ''), drop => $when, ($_ ? (reset => \1) : ()) ] } 0, 1 } qw(before after)),
	[ 'hang',                 hang => \1 ],
	[ 'hang, carried out',    hang => \1, apply => \1 ],
	[ 'late',                 delay => 0.3 ],
	[ 'a head that is cut',   cut => 20 ],
	[ 'cut behind a line',    cut => 17 ],
	[ 'cut, reset',           cut => 100, reset => \1 ],
	[ 'cut, and no end',      cut => 60, stall => \1 ],
	[ 'no byte of the body',  cut_body => 0 ],
	[ 'one byte of the body', cut_body => 1 ],
	[ 'a body without end',   cut_body => 1, stall => \1 ],
	[ 'cut anywhere',         cut => 'random' ],
	[ 'byte for byte',        drip => { bytes => 1, interval => 0.01 } ],
	[ 'slowly',               drip_body => { bytes => 50, interval => 0.01 } ],
	[ 'spaces first',         processing => { spaces => 20, interval => 0.001 } ],
	[ 'endless',              endless => \1 ],
	[ 'endless chunks',       endless => \1, chunked => \1 ],
	[ 'endless JSON',         endless => \1, endless_text => '[' ],
	[ 'an endless failure',   endless => \1, status => 500 ],
	# No HTTP, or not quite
	[ 'no answer',            raw('') ],
	[ 'words',                raw("SSH-2.0-OpenSSH_9.2\r\n") ],
	[ 'noise',                raw(map { chr(($_ * 7919 + $_ * $_ * 31) % 256) } 1 .. 5000) ],
	[ 'noise without end',    raw("\xff" x 3_000_000) ],
	[ 'an alert of TLS',      raw("\x15\x03\x01\0\x02\x02\x28") ],
	[ 'HTTP/2',               raw("\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\x04\0\0\xff\xff\0\x05\0\0\x40\0") ],
	[ 'HTTP/1.0',             raw("HTTP/1.0 200 OK\r\n\r\n{}") ],
	[ 'HTTP/0.9',             raw('{}') ],
	[ 'HTTP/9.9',             raw("HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}") ],
	[ 'a status of words',    raw("HTTP/1.1 fine\r\n\r\n{}") ],
	[ 'the status 0',         raw("HTTP/1.1 000 \r\nContent-Length: 2\r\n\r\n{}") ],
	[ 'line feeds alone',     raw("HTTP/1.1 200 OK\nContent-Length: 2\n\n{}") ],
	[ '100, and nothing',     raw("HTTP/1.1 100 Continue\r\n\r\n") ],
	[ '100, again and again', raw("HTTP/1.1 100 Continue\r\n\r\n" x 20_000) ],
	[ '101',                  raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\0\0\0") ],
	[ '103, then an answer',  raw("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", $head, "Content-Length: 2\r\n\r\n{}") ],
	[ 'a head without end',   raw($head, map { "X-$_: " . 'x' x 1000 . "\r\n" } 1 .. 2000) ],
	[ 'one header without end', raw($head, 'X: ', 'x' x 1_000_000) ],
	[ 'many headers',         raw($head, (map { "X-$_: x\r\n" } 1 .. 20_000), "Content-Length: 2\r\n\r\n{}") ],
	[ 'a header without colon', raw($head, "puzzle\r\n\r\n{}") ],
	[ 'NULs in the head',     raw($head, "X: \0\0\r\n\r\n{}") ],
	[ 'two lengths',          raw($head, "Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}") ],
	[ 'length and chunks',    raw($head, "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n") ],
	[ 'chunks, cut',          raw($head, "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n") ],
	[ 'a chunk too short',    raw($head, "Transfer-Encoding: chunked\r\n\r\nff\r\n{}\r\n0\r\n\r\n") ],
	[ 'a chunk that is huge', raw($head, "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}") ],
	[ 'a negative chunk',     raw($head, "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n") ],
	[ 'trailers without end', raw($head, "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", "X: y\r\n" x 50_000) ],
	[ 'bytes behind it',      raw($head, "Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n{}"), close => \0 ]);

# The trials

my $number = 0;

# A statement that is another each time, and waits as long as that.
sub numbered
{
	my ($sql, $wait) = @_;

	$number++;
	return $sql =~ s/\{n\}/$number/gr =~ s/\{s\}/$wait/r;
}

# The requests of a call that nothing disturbs, each once.
sub operations
{
	my ($connection, $name, $sql) = @_;
	my %seen;

	$connection->query("SET athena_calc.request_timeout = '3s'");
	$athena->clear_log;
	my $error = $connection->error(numbered($sql, '20 s'));
	my @operations = grep { !$seen{$_}++ } map { $_->{operation} } $athena->requests;
	$athena->wait_for_session($session, 'IDLE');
	is($error->{sqlstate}, $name =~ /it fails/ ? 'SP001' : '00000', "$name, undisturbed") or diag($error->{message});
	$connection->query("SET athena_calc.request_timeout = '150ms'");
	return @operations;
}

# What keeps a backend from its next call, which no fault strikes; nothing for what should be.
sub problem
{
	my ($connection) = @_;
	# A connection that stalls behind its answer costs an attempt, one that was closed there another.
	my $sql = "SET athena_calc.max_attempts = 4; SET athena_calc.request_timeout = '3s'; $of" . 'list_engine_versions()';
	my $result = $connection->send($sql)->finish;

	$connection->query("SET $_") foreach @settings[ 0, 1 ];
	return if !$result->{error} && @{ $result->{rows} } == 2;
	return $result->{error} ? "$result->{error}{sqlstate} $result->{error}{message}" : 'no rows';
}

my ($trials, %outcomes) = 0;

# Passes when all faults of an operation's that are its turn leave a call with an outcome of the table.
sub survives
{
	my ($connection, $name, $sql, $operation, $turn) = @_;
	my ($every, @wrong) = is_slow($name) && !$full ? SLOW_FAULTS_OF : $faults_of;
	my $since = time;

	for my $i (grep { $_ % $every == $turn % $every } 0 .. $#faults)
	{
		my ($what, %rule) = @{ $faults[$i] };

		# COPY takes a line of up to 1 GB.
		next if !$full && $name =~ /copy_from/ && $rule{endless};
		$athena->fault(operation => $operation, times => undef, %rule);
		my $begun = time;
		my $error = $connection->error(numbered($sql, '0.3 s'));
		note(sprintf '%.1f s: %s, %s', time - $begun, $name, $what) if time - $begun > 2;
		my $state = $error->{sqlstate} // 'none';
		$athena->clear_faults;
		$connection->query($as_ever) if $connection == $stranger;
		$begun = time;
		my $problem = eval { problem($connection) } || $@;
		note(sprintf '%.1f s: the call after that, %s, %s', time - $begun, $name, $what) if time - $begun > 2;
		push @wrong, "$what: $state $error->{message}"
		  unless $state eq '00000' || $in_table{$state} || ($name =~ /copy_from/ && $of_copy{$state});
		push @wrong, "$what ($state), then: $problem" if $problem;
		$outcomes{$state}++;
		$trials++;
		# Sessions that answers which went wrong have left.
		$athena->emulator->force_session($_, 'TERMINATED', 'left') foreach $name =~ /start_session|session of its own/
		  ? $athena->column(q(SELECT session_id FROM athena_calc.list_sessions('spark') WHERE description <> 'faults' AND state IN ('IDLE', 'BUSY', 'CREATED', 'CREATING')))
		  : ();
		last if @wrong > 20;
	}
	is(join("\n", @wrong), '', sprintf '%s, faults of %s (%.1f s)', $name, $operation, time - $since);
	return;
}

my $turn = 0;
my %before;

for my $group ([ $db, \%call ], [ $stranger, \%credentials ])
{
	my ($connection, $calls) = @$group;
	my %operations = map { $_ => [ operations($connection, $_, $calls->{$_}) ] } sort keys %$calls;

	$connection->query($as_ever);
	# What a backend keeps for good comes with the first faults.
	for my $round (0, 1)
	{
		@before{ 'memory', 'descriptors' } = ($connection->memory_kb, $connection->descriptors) if $round;
		for my $name ($round ? sort keys %$calls : (sort keys %$calls)[0])
		{
			survives($connection, $name, $calls->{$name}, $_, $turn++) foreach grep { $full || !takes_a_minute($name, $_) } @{ $operations{$name} };
		}
	}
	cmp_ok($connection->memory_kb - $before{memory}, '<', GROWTH_KB, sprintf 'memory grew by %d kB', $connection->memory_kb - $before{memory});
	# A connection, and the set of a socket that is waited for alone.
	cmp_ok($connection->descriptors, '<=', $before{descriptors} + 2, "$before{descriptors} descriptors before, " . $connection->descriptors . ' now');
}
note("$trials trials: " . join ', ', map { "$outcomes{$_} $_" } sort keys %outcomes);

# Cut at every byte

# The results of a call as text, or the error's SQLSTATE.
sub outcome
{
	my ($connection, $sql) = @_;
	my $result = $connection->send(numbered($sql, '20 s'))->finish;

	return 'error ' . $result->{error}{sqlstate} if $result->{error};
	return join "\n", map { join "\t", map { $_ // 'NULL' } @$_ } @{ $result->{rows} };
}

# A call whose answer to one operation is cut, once behind each byte, comes to its result only where nothing is missing.
sub survives_cuts
{
	my ($connection, $name, $sql, $operation, %options) = @_;
	my $bytes_of = $full ? 1 : $options{bytes_of} // 1;
	my ($cut, %seen, @wrong) = int rand $bytes_of;
	my $whole = outcome($connection, $sql);
	my $since = time;
	my $done;

	# Until one that is not cut; the answers' heads are some hundred bytes.
	until ($done || $cut > 10_000)
	{
		my @cuts = map { $cut + $_ * $bytes_of } 0 .. 99;

		$athena->faults(map { { operation => $operation, cut => $_, ($_ % 2 ? (reset => \1) : ()) } } @cuts);
		for my $here (@cuts)
		{
			my $outcome = outcome($connection, $sql);

			$seen{ $outcome eq $whole ? 'whole' : $outcome }++;
			push @wrong, "cut behind byte $here: $outcome" if $outcome ne $whole && $outcome !~ /^error (?:08006|08P01|08001)$/;
			$done = $here if $outcome eq $whole;
			last if $done;
		}
		$athena->clear_faults;
		$cut += 100 * $bytes_of;
	}
	$connection->query($as_ever) if $connection == $stranger;
	splice @wrong, 20 if @wrong > 20;
	is(join("\n", @wrong), '', sprintf '%s, whose answer is cut (%.1f s)', $name, time - $since);
	cmp_ok($done // 0, '>', 60, 'until nothing is missing behind byte ' . ($done // '?') . ': ' . join ', ', map { "$seen{$_} $_" } sort keys %seen);
	is(problem($connection), undef, 'and the backend goes on');
	return;
}

survives_cuts($db, 'a row', $call{get_session}, 'GetSession');
survives_cuts($db, 'a list', "${of}list_sessions(max_results => 2)", 'ListSessions');
survives_cuts($stranger, 'a role', $credentials{'a role'}, 'STS.AssumeRole');
survives_cuts($db, 'a list of objects', $call{s3_list_objects}, 'S3.ListObjectsV2');
survives_cuts($db, 'an object', $call{s3_get_object}, 'S3.GetObject');
survives_cuts($db, 'an upload', $call{'copy_to_s3, in parts'}, 'S3.CompleteMultipartUpload', bytes_of => 23);

# What is left

my %alive = map { $_->pid => 1 } $db, $stranger;
my @children = map { [ split ' ', $_ ] } grep { /\S/ } split /\n/, `ps -o pid=,stat= --ppid @{[ join ',', keys %alive ]}`;
is_deeply(\@children, [], 'no process is left');
my $log = slurp_file($athena->node->logfile);
my @words = $log =~ /^.*(?:PANIC|terminated by signal|server process|TRAP:|XX\d\d\d|invalid memory).*$/mg;
is(join("\n", @words), '', 'nothing in the server\'s log is a fault of ours');

done_testing();
