# Answers that mean harm, or make no sense, under any status: a clear error of the table or NULLs, never an internal
# error, a crash, a hang, or memory above the limit. All of it in one backend.

use strict;
use warnings;
use utf8;

use AthenaCalc::Test;
use MIME::Base64 qw(encode_base64);
use Test::More;
use Time::HiRes qw(time);

my $athena  = AthenaCalc::Test->new;
my $db      = $athena->session_backend;
my $session = $athena->start_session;
my $call    = "get_session('$session')";

# What max_response_size is while the test runs, and what memory may grow by.
my $limit_kb = 16 * 1024;

my %in_table = map { $_ => 1 }
  qw(00000 22023 42704 42710 42501 28000 53400 58000 08001 08006 08P01 54000 SP000 SP004 SP005 57014);

$athena->query('SET athena_calc.max_attempts = 1');
my $output = $athena->run($session, 'print("warm")');
my %stdout = (operation => 'S3.GetObject', call => "calculation_stdout('$output')");

# The backend after a hostile answer: a call works in it.
sub lives
{
	$athena->clear_faults;

	# A kept connection that has just been closed may cost an attempt: newer curl looks at it only once a second.
	$athena->query('SET athena_calc.max_attempts = 2');
	my $lives = $athena->value('SELECT (athena_calc.get_session_status($1)).session_id', $session) eq $session;
	$athena->query('SET athena_calc.max_attempts = 1');
	return $lives;
}

# Passes when a call that is answered so ends with one of these SQLSTATEs, and the backend lives.
sub ends_with
{
	my ($name, $sqlstates, $fault, %options) = @_;
	my ($operation, $function) = @options{qw(operation call)};

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$athena->fault(operation => $operation // '*', times => undef, %$fault);
	my $error = $db->error('SELECT * FROM athena_calc.' . ($function // $call));
	my $lives = lives();
	ok($in_table{ $error->{sqlstate} } && $error->{sqlstate} =~ /^(?:$sqlstates)$/ && $lives, $name)
	  or diag "$error->{sqlstate}: " . substr($error->{message}, 0, 200) . ($lives ? '' : ' (and the backend is gone)');
	return $error;
}

# The same under a status of success, of a refusal and of a failure: each has its own word for what cannot be read.
sub ends_under_any_status
{
	my ($name, $body, $success, %options) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %fault = (ref $body ? %$body : (body_base64 => encode_base64($body, '')));
	my $failure = $options{always};
	ends_with("$name (200)", $success // '08P01', { %fault, status => 200 }, %options);
	ends_with("$name (400)", $failure // '08P01', { %fault, status => 400 }, %options);
	ends_with("$name (500)", $failure // '58000', { %fault, status => 500 }, %options);
	return;
}

# Bytes in the place of a whole response.
sub raw
{
	my ($bytes) = @_;

	return { raw_base64 => encode_base64($bytes, '') };
}

# What is not JSON, or not an object

for my $case (
	[ 'words',               'Service Unavailable' ],
	[ 'HTML',                '<!DOCTYPE html><html><body>Bad Gateway</body></html>' ],
	[ 'XML',                 '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>' ],
	[ 'null',                'null' ],
	[ 'a list',              '[]' ],
	[ 'a text',              '"a"' ],
	[ 'a number',            '1' ],
	[ 'spaces',              " \r\n\t" ],
	[ 'NULs',                "\0" x 100 ],
	[ 'a NUL behind it',     "{}\0" ],
	[ 'something behind it', '{} {}' ],
	[ 'a comma too many',    '{"SessionId": "x",}' ],
	[ 'a comma too few',     '{"SessionId": "x" "Description": "y"}' ],
	[ 'no colon',            '{"SessionId" "x"}' ],
	[ 'a key without quotes', '{SessionId: "x"}' ],
	[ 'single quotes',       q({'SessionId': 'x'}) ],
	[ 'the wrong bracket',   '{"SessionId": "x"]' ],
	[ 'an open string',      '{"SessionId": "x}' ],
	[ 'a line break in it',  qq({"SessionId": "x\ny"}) ],
	[ 'a comment',           '{} // fine' ],
	[ 'a byte order mark',   "\xef\xbb\xbf{}" ],
	[ 'UTF-16',              "{\0}\0" ],
	[ 'compressed',          "\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\xae\x05\0C\xbf\xa6\xa3\x02\0\0\0" ],
	[ 'random bytes',        join '', map { chr(($_ * 7919) % 256) } 1 .. 5000 ],
	[ 'a million [',         '[' x 1_000_000 ],
	[ 'a million {"a":',     '{"a":' x 1_000_000 ],
	[ 'a million ]',         ']' x 1_000_000 ],
	[ 'a million [ within',  '{"SessionId": ' . '[' x 1_000_000 ],
	[ 'a million, closed',   '{"Unknown": ' . '[' x 1_000_000 . ']' x 1_000_000 . '}' ],
	(map { [ "the number $_", qq({"Unknown": $_}) ] } '01', '1.', '.5', '1e', '+1', '-', '0x10', 'NaN', '-Infinity'),
	(map { [ "the word $_",   qq({"Unknown": $_}) ] } 'nul', 'nullx', 'True', 'undefined'),
	(map { [ "the escape $_", qq({"Unknown": "$_"}) ] } '\\x', '\\u12', '\\u12g4', '\\'))
{
	ends_under_any_status(@$case);
}

ends_under_any_status('nothing', '', '00000');
ends_under_any_status('an object of nothing', '{}', '00000');
ends_under_any_status('a million members', '{' . join(',', map { qq("a$_":1) } 1 .. 1_000_000) . '}', '00000');
ends_under_any_status('a member a million times', '{"x":1' . ',"SessionId":"x"' x 1_000_000 . '}', '00000');
ends_under_any_status('a name without end', '{"' . 'a' x 1_000_000 . '":1}', '00000');

# Text that no text can be

for my $case (
	[ 'a NUL',                     '\u0000' ],
	[ 'half a surrogate pair',     '\ud800' ],
	[ 'the other half',            '\udc00' ],
	[ 'a pair the wrong way',      '\udc00\ud800' ],
	[ 'half a pair and a letter',  '\ud800\u0041' ],
	[ 'half a pair at the end',    'a\ud83d' ],
	[ 'a byte that is no UTF-8',   "\xff" ],
	[ 'an overlong NUL',           "\xc0\x80" ],
	[ 'an overlong slash',         "\xe0\x80\xaf" ],
	[ 'a surrogate in UTF-8',      "\xed\xa0\x80" ],
	[ 'a character above Unicode', "\xf4\x90\x80\x80" ],
	[ 'half a character',          "\xe2\x82" ],
	[ 'a lone continuation',       "\x80" ])
{
	my ($name, $text) = @$case;

	ends_under_any_status("$name in a text", qq({"Description": "$text"}));
	ends_under_any_status("$name in a name", qq({"$text": "a"}), '00000|08P01');
	ends_under_any_status("$name in jsonb", qq({"EngineConfiguration": {"SparkProperties": {"a": "$text"}}}));
	ends_with("$name through invoke", '08P01', { body_base64 => encode_base64(qq({"a": "$text"}), '') },
		call => "invoke('GetSession')");
	ends_with("$name as an exception", '08P01|SP000', { status => 400, body_base64 => encode_base64(qq({"__type": "$text"}), '') });
	ends_with("$name as a message", '22023|08P01',
		{ status => 400, body_base64 => encode_base64(qq({"__type": "InvalidRequestException", "message": "$text"}), '') });
}

# Every kind of column, each given every other kind of value

my %columns = (
	text       => 'Description',
	integer    => 'EngineConfiguration.MaxConcurrentDpus',
	bigint     => 'SessionConfiguration.IdleTimeoutSeconds',
	jsonb      => 'EngineConfiguration.SparkProperties',
	time       => 'Status.StartDateTime',
	'a parent' => 'Status');
my %values = (
	'true'   => '',
	'1'      => 'integer bigint time',
	'1.5'    => 'time',
	'"a"'    => 'text',
	'[]'     => 'jsonb',
	'[null]' => 'jsonb',
	'{}'     => 'jsonb a parent');
for my $kind (sort keys %columns)
{
	for my $value (sort keys %values)
	{
		my $body = join('', map { qq({"$_": ) } split /\./, $columns{$kind}) . $value;

		$body .= '}' x ($columns{$kind} =~ tr/.// + 1);
		ends_with("$kind: $value", $values{$value} =~ /\b$kind\b/ ? '00000' : '08P01', { body => $body });
	}
}
for my $value ('1', '"a"', '{}', 'true', '[1.5]', '["1"]', '[[1]]', '[{}]', '[2147483648]')
{
	ends_with("a list of integers: $value", '08P01',
		{ body => qq({"ApplicationDPUSizes": [{"SupportedDPUSizes": $value}]}) }, call => 'list_application_dpu_sizes()');
}
for my $value ('true', '"a"', '[]', '{}', '1e30', '9223372036854775807', '-9223372036854775808')
{
	ends_with("milliseconds: $value", '08P01', { body => qq({"ExecutorsSummary": [{"StartDateTime": $value}]}) },
		call => "list_executors('x')");
}

# Numbers and dates beyond all bounds

my @numbers = ('1e400', '-1e400', '1e-400', '1e999999999999999999999', '1e-999999999999999999999', '9' x 100_000,
	'0.' . '0' x 100_000 . '1', '1' . '0' x 1000 . 'e-1000');
for my $number (@numbers)
{
	my $name = length $number > 30 ? 'a number of ' . length($number) . ' digits' : $number;

	ends_with("$name as a time",    '00000|08P01', { body => qq({"Status": {"StartDateTime": $number}}) });
	ends_with("$name as an integer", '00000|08P01', { body => qq({"EngineConfiguration": {"MaxConcurrentDpus": $number}}) });
	ends_with("$name as a bigint",  '00000|08P01', { body => qq({"Statistics": {"DpuExecutionInMillis": $number}}) });
	ends_with("$name in jsonb",     '00000|08P01',
		{ body => qq({"EngineConfiguration": {"SparkProperties": {"a": $number}}}) });
	ends_with("$name through invoke", '00000|08P01', { body => qq({"a": $number}) }, call => "invoke('GetSession')");
}
for my $date ('9223372036854775', '-9223372036854775', '1e15', '-1e15', '9224318015999', '-210866803201',
	'"10000-01-01T00:00:00Z"', '"0000-00-00T00:00:00Z"', '"2023-13-01T00:00:00Z"', '"2023-01-32T00:00:00Z"',
	'"2023-01-01T24:00:00Z"', '"2023-01-01T00:60:00Z"', '"2023-01-01T00:00:61Z"', '"2023-01-01T00:00:00+99:00"',
	'"2023-01-01"', '"' . '2' x 100_000 . '"')
{
	ends_with('the date ' . substr($date, 0, 30), '08P01', { body => qq({"Status": {"StartDateTime": $date}}) });
}

# A true answer that ends too early, at every byte: with a length that is right for what is left, and cut off

my $answer = $athena->value(q{SELECT athena_calc.invoke('GetSession', jsonb_build_object('SessionId', $1::text))}, $session);
my @ends;
$athena->faults(map { { operation => 'GetSession', body => substr($answer, 0, $_) } } 1 .. length($answer) - 1);
$ends[$_] = $db->error("SELECT athena_calc.$call")->{sqlstate} for 1 .. length($answer) - 1;
is_deeply([ grep { $ends[$_] ne '08P01' } 1 .. $#ends ], [], 'an answer shortened at each of its ' . @ends . ' bytes');
ok(lives(), 'and the backend lives');

# The first cut that changes nothing is behind the whole response, which is below twice its body.
@ends = ();
$athena->faults(map { { operation => 'GetSession', cut => $_ } } 0 .. 2 * length $answer);
do { push @ends, $db->error("SELECT athena_calc.$call")->{sqlstate} } until $ends[-1] eq '00000';
is_deeply([ grep { $ends[$_] !~ /^(?:08006|08P01)$/ } 0 .. $#ends - 1 ],
	[], 'a response cut at each of its ' . $#ends . ' bytes');
cmp_ok($#ends, '>', length $answer, 'is none until it is whole');
ok(lives(), 'and the backend lives');

# Memory

my $before = $db->memory_kb;
my $began  = time;
ends_under_any_status('a body without end', { endless => \1 }, '54000', always => '54000');
ends_under_any_status('a body without end, of brackets', { endless => \1, endless_text => '[' }, '54000', always => '54000');
ends_under_any_status('a body without end, in chunks', { endless => \1, chunked => \1 }, '54000', always => '54000');
ends_with('an output without end', '54000', { endless => \1 }, %stdout);
cmp_ok($db->memory_kb - $before, '<', patient(3 * $limit_kb), 'memory stays within bounds');
cmp_ok(time - $began, '<', patient(20), 'and so does time');

$athena->query(q{SET athena_calc.max_response_size = '64kB'});
for my $case ([ 65536, '08P01' ], [ 65537, '54000' ])
{
	my ($bytes, $sqlstate) = @$case;

	ends_with("a body of $bytes bytes", $sqlstate, { body => ' ' x $bytes });
}
ends_with('a length beyond the limit', '54000', raw("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n{}"));
$athena->query('RESET athena_calc.max_response_size');

# Heads

ends_with("a header of $_ bytes", '00000|08P01', raw("HTTP/1.1 200 OK\r\nX: " . 'a' x $_ . "\r\nContent-Length: 2\r\n\r\n{}"))
  for 1_000, 60_000, 100_000, 1_000_000, 10_000_000;
ends_with("$_ headers", '00000|08P01',
	raw("HTTP/1.1 200 OK\r\n" . join('', map { "X-$_: a\r\n" } 1 .. $_) . "Content-Length: 2\r\n\r\n{}"))
  for 1_000, 10_000, 100_000;
ends_with('a head without end', '08P01', raw('HTTP/1.1 200 OK' . "\r\nX: a" x 500_000));
ends_with('a hundred thousand interim answers', '00000|08P01|08006',
	raw("HTTP/1.1 100 Continue\r\n\r\n" x 100_000 . "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"));
for my $case (
	[ 'not HTTP',                     "220 mail.example ESMTP\r\n" ],
	[ 'nothing but a line break',     "\r\n" ],
	[ 'NULs',                         "\0" x 1000 ],
	[ 'a body only',                  '{"SessionId": "x"}' ],
	[ 'TLS',                          "\x15\x03\x01\0\x02\x02\x46" ],
	[ 'a status that is no number',   "HTTP/1.1 abc\r\n\r\n{}" ],
	[ 'no status',                    "HTTP/1.1\r\n\r\n{}" ],
	[ 'a version that is none',       "HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}" ],
	[ 'another protocol',             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n{}" ],
	[ 'an interim answer only',       "HTTP/1.1 100 Continue\r\n\r\n" ],
	[ 'a length that is no number',   "HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n{}" ],
	[ 'a length below zero',          "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}" ],
	[ 'a length beyond 64 bits',      "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}" ],
	[ 'two lengths',                  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\n{}" ],
	[ 'a chunk of no size',           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}" ],
	[ 'a chunk beyond 64 bits',       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}" ],
	[ 'a coding that was not asked',  "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc" ],
	[ 'another coding',               "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc" ])
{
	my ($name, $bytes) = @$case;

	ends_with("$name in place of a response", '00000|08P01|08006|54000', raw($bytes));
}
ends_with("the status $_", '00000|08P01|58000|SP000', { status => $_ }) for 201, 204, 205, 304, 404, 418, 599, 600, 999;

my $error = ends_with(
	'headers of odd bytes', '42501',
	raw("HTTP/1.1 400 Bad\r\nx-amzn-RequestId: a\xff\x01\tb" . 'c' x 1000 . "\r\nx-amzn-ErrorType: AccessDeniedException\r\n"
		  . "Content-Length: 0\r\n\r\n"));
is_deeply([ detail_keys($error) ], [qw(exception http_status request_id attempts)], 'do not disturb DETAIL');
$error = ends_with('an error code of several lines', '22023',
	{ status => 400, body => '{"__type": "InvalidRequestException", "AthenaErrorCode": "A\nrequest_id: B\rattempts: 9"}' });
is_deeply([ detail_keys($error) ], [qw(exception athena_error_code http_status request_id attempts)], 'neither');
is(detail_value($error, 'attempts'), 1, 'and puts nothing in its place');

# Slowness

ends_with('a byte at a time', '00000', { drip => { bytes => 1, interval => 0.0001 } });
$athena->query(q{SET athena_calc.request_timeout = '200ms'});
$began = time;
ends_with('a byte at a time, too slowly', '08006', { drip => { bytes => 1, interval => 0.05 } });
ends_with('a body that is',               '08006', { drip_body => { bytes => 1, interval => 0.05 } });
cmp_ok(time - $began, '<', patient(2), 'takes no longer than request_timeout');
$athena->query('RESET athena_calc.request_timeout');

# Redirects are not followed: they would carry credentials elsewhere

for my $status (300, 301, 302, 303, 305, 307, 308)
{
	$athena->clear_log;
	ends_with("a redirect ($status)", '08P01',
		{ status => $status, headers => { Location => $athena->emulator->url . '/elsewhere/key' } });
	is_deeply([ grep { !/^GetSession(Status)?$/ } map { $_->{operation} } $athena->requests ], [], 'is not followed');
}

# Lists without end

$athena->clear_log;
ends_with('a page that leads to itself', '08P01', { body => '{"Sessions": [], "NextToken": "a"}' }, call => 'list_sessions()');
ends_with('with rows, too', '08P01', { body => '{"Sessions": [{}], "NextToken": "a"}' }, call => 'list_sessions()');
cmp_ok(scalar($athena->requests('ListSessions')), '<=', 4, 'it is asked for twice at most');
$athena->faults(map { { operation => 'ListSessions', body => qq({"Sessions": [], "NextToken": "$_"}) } } 1 .. 2000);
is($db->error('SELECT athena_calc.list_sessions()')->{sqlstate}, '08P01', 'empty pages without end');
ok(lives(), 'and the backend lives');
ends_with("the token $_", '08P01', { body => qq({"Sessions": [], "NextToken": $_}) }, call => 'list_sessions()')
  for '1', '[]', '{}', 'true', '"\ud800"', '"\u0000"';

# S3

my $bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
  . join('', map { my $previous = chr(ord($_) - 1); qq(<!ENTITY $_ ") . "&$previous;" x 10 . '">' } 'b' .. 'i')
  . ']><Error><Code>AccessDenied</Code><Message>&i;</Message></Error>';

$before = $db->memory_kb;
for my $case (
	[ 'nothing',               '' ],
	[ 'words',                 'Not Found' ],
	[ 'HTML',                  '<html><body><h1>404</body></html>' ],
	[ 'JSON',                  '{"__type": "AccessDeniedException"}' ],
	[ 'XML of another kind',   '<Fault><Code>AccessDenied</Code></Fault>' ],
	[ 'cut XML',               '<Error><Code>AccessDenied</Code><Message>No' ],
	[ 'an XML bomb',           $bomb ],
	[ 'a document type',       '<!DOCTYPE Error SYSTEM "file:///etc/passwd"><Error><Code>AccessDenied</Code></Error>' ],
	[ 'a hundred thousand elements deep', '<Error>' . '<a>' x 100_000 ],
	[ 'an unknown entity',     '<Error><Code>&what;</Code></Error>' ],
	[ 'invalid UTF-8',         "<Error><Code>Access\xff</Code></Error>" ],
	[ 'NULs',                  "<Error><Code>\0</Code></Error>" ],
	[ 'an empty code',         '<Error><Code></Code></Error>' ],
	[ 'a code of spaces',      '<Error><Code> a b </Code></Error>' ],
	[ 'a code without measure', '<Error><Code>' . 'A' x 1_000_000 . '</Code></Error>' ])
{
	my ($name, $body) = @$case;
	my %fault = (body_base64 => encode_base64($body, ''));

	ends_with("S3 says $name (404)", '08P01', { %fault, status => 404 }, %stdout);
	ends_with("S3 says $name (503)", '58000', { %fault, status => 503 }, %stdout);
}
ends_with('S3 says something new', 'SP000', { status => 400, body => '<Error><Code>NewCode</Code></Error>' }, %stdout);
ends_with('S3 says AccessDenied, in a million letters', '42501',
	{ status => 403, body => '<Error><Code>AccessDenied</Code><Message>' . 'a' x 1_000_000 . '</Message></Error>' }, %stdout);
ends_with('S3 redirects', '08P01',
	{
		status  => 301,
		headers => { Location => 'http://localhost/', 'x-amz-bucket-region' => 'eu-west-1' },
		body    => '<Error><Code>PermanentRedirect</Code><Message>Elsewhere.</Message></Error>'
	},
	%stdout);
cmp_ok($db->memory_kb - $before, '<', patient(3 * $limit_kb), 'memory stays within bounds');

# A part of an object, told wrongly
for my $range ('', 'bytes', 'bytes */0', 'bytes 0-', 'bytes -1-5/3', 'bytes 99999999999999999999-1/1', "\t")
{
	ends_with("the range '$range'", '00000', { status => 206, headers => { 'Content-Range' => $range }, body => 'abc' },
		operation => 'S3.GetObject', call => "calculation_stdout('$output', 3)");
}

# Where Athena says the output is

$athena->clear_log;
ends_with('the output is nowhere', '00000', { body => '{"Result": {"StdOutS3Uri": ""}}' },
	operation => 'GetCalculationExecution', call => "calculation_stdout('x')");
for my $uri ('http://127.0.0.1/key', '/etc/passwd', 's3:', 's3://', 's3://bucket', 's3://bucket/', 's3:///key', 's3://a/key',
	's3://user@host/key', 's3://bucket:80/key', 's3://buc ket/key', 's3://bucket%2f/key', 's3://bück/key',
	"s3://bucket\\r\\nHost: x/key", 's3://../key', 's3://..', 's3://bucket/' . 'k' x 1025)
{
	ends_with("the output is at '" . substr($uri, 0, 40) . "'",
		'08P01|42704', { body => qq({"Result": {"StdOutS3Uri": "$uri"}}) },
		operation => 'GetCalculationExecution', call => "calculation_stdout('x')");
}
is_deeply([ map { $_->{operation} } grep { $_->{service} ne 's3' && $_->{operation} !~ /^Get/ } $athena->requests ],
	[], 'nothing else was asked');
ends_with("a key of dots leads nowhere else", '42704',
	{ body => '{"Result": {"StdOutS3Uri": "s3://athena-emulator/../../_emulator/reset"}}' },
	operation => 'GetCalculationExecution', call => "calculation_stdout('x')");

is($db->value('SELECT pg_backend_pid()'), $db->pid, 'all of it in one backend');
unlike($athena->node->logfile && PostgreSQL::Test::Utils::slurp_file($athena->node->logfile),
	qr/XX000|terminated by signal|PANIC|TRAP/, 'and nothing bad in the log');

done_testing();
