# The table of errors: what Athena says and what goes wrong on the way, as SQLSTATE, message, DETAIL and HINT.

use strict;
use warnings;
use utf8;

use AthenaCalc::Test;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use Test::More;
use Time::HiRes qw(time);

my $athena  = AthenaCalc::Test->new;
my $session = $athena->start_session;
my $call    = "SELECT athena_calc.get_session('$session')";

# One attempt, where attempts are not what a case is about.
$athena->query('SET athena_calc.max_attempts = 1');

sub error_after
{
	my ($fault, $sql) = @_;

	$athena->fault(operation => '*', times => undef, %$fault);
	my $error = $athena->query_error($sql || $call);
	$athena->clear_faults;
	return $error;
}

# What the service says

for my $case (
	# exception, status, message, SQLSTATE, what the hint is about
	[ 'InvalidRequestException',       400, 'Session x is not found.', '22023' ],
	[ 'ValidationException',           400, 'A member is missing.',    '22023' ],
	[ 'ResourceNotFoundException',     400, 'It is not there.',        '42704' ],
	[ 'SessionAlreadyExistsException', 400, 'It is there.',            '42710' ],
	[ 'AccessDeniedException',         400, 'You are not authorized to perform: athena:GetSession', '42501' ],
	[ 'AccessDeniedException',         403, 'No.', '42501' ],
	[ 'UnrecognizedClientException', 400, 'The security token included in the request is invalid.', '28000',
		'the access key or the session token.*check_setup' ],
	[ 'InvalidClientTokenId', 403, 'Unknown.', '28000', 'the access key or the session token.*check_setup' ],
	[ 'InvalidSignatureException', 400, 'The request signature we calculated does not match.', '28000',
		'the secret access key.*check_setup' ],
	[ 'SignatureDoesNotMatch',     403, 'It does not match.', '28000', 'the secret access key.*check_setup' ],
	[ 'IncompleteSignature',                 400, 'Half of it is missing.',         '28000' ],
	[ 'IncompleteSignatureException',        400, 'Half of it is missing.',         '28000' ],
	[ 'MissingAuthenticationToken',          400, 'Missing Authentication Token.',  '28000' ],
	[ 'MissingAuthenticationTokenException', 400, 'Missing Authentication Token.',  '28000' ],
	[ 'ExpiredToken',                        400, 'The token is too old.',          '28000', 'expired' ],
	[ 'ExpiredTokenException',               403, 'The token is too old.',          '28000', 'expired' ],
	[ 'RequestExpired',                      400, 'The request is too old.',        '28000', 'clock' ],
	[ 'TooManyRequestsException',            400, 'Rate exceeded.',                 '53400', 'max_attempts' ],
	[ 'ThrottlingException',                 400, 'Rate exceeded.',                 '53400', 'max_attempts' ],
	[ 'InvalidRequestException',             400, 'Maximum allowed sessions have been reached.', '53400', 'Terminate' ],
	[ 'TooManyRequestsException',            400, 'Maximum allowed sessions have been reached.', '53400', 'Terminate' ],
	[ 'InternalServerException',             500, 'It broke.',                      '58000' ],
	[ 'ServiceUnavailableException',         503, 'Not now.',                       '58000' ],
	[ 'SomethingNewException',               400, 'Nobody knew of it.',             'SP000' ],
	[ 'MetadataException',                   400, 'A service behind it said no.',   'SP000' ],
	[ 'InvalidRequestException', 400, 'Session is in the BUSY state; needs to be IDLE to accept Calculations.',
		'SP004', 'IDLE' ],
	(map { [ 'InvalidRequestException', 400, "Session is in the $_ state; needs to be IDLE to accept Calculations.",
		'SP005', 'start_session' ] } qw(TERMINATING TERMINATED FAILED DEGRADED)),
	(map { [ 'InvalidRequestException', 400, "Session is in the $_ state; needs to be IDLE to accept Calculations.",
		'22023', 'get_session_status' ] } qw(CREATING CREATED)))
{
	my ($exception, $status, $message, $sqlstate, $hint) = @$case;
	my $error = error_after({ error => $exception, status => $status, message => $message });

	is($error->{sqlstate}, $sqlstate, "$exception ($status): $message");
	is($error->{message}, "Athena GetSession failed: $message", 'the message is what Athena said');
	is_deeply([ detail_keys($error) ], [qw(exception http_status request_id attempts)], 'the keys of DETAIL');
	is(detail_value($error, 'exception'), $exception, 'the exception');
	is(detail_value($error, 'http_status'), $status, 'the status');
	like(detail_value($error, 'request_id'), qr/^[0-9a-f-]{36}$/, 'the request');
	is(detail_value($error, 'attempts'), 1, 'the attempts');
	$hint ? like($error->{hint}, qr/$hint/, 'the hint') : is($error->{hint}, undef, 'no hint');
}

my $error = error_after(
	{
		status => 400,
		body   => '{"__type": "InvalidRequestException", "Message": "No.", "AthenaErrorCode": "INVALID_INPUT"}'
	});
is_deeply([ detail_keys($error) ], [qw(exception athena_error_code http_status request_id attempts)],
	"with Athena's own error code");
is(detail_value($error, 'athena_error_code'), 'INVALID_INPUT', 'as it says');

$error = error_after({ error => 'InternalServerException', status => 500, headers => { 'x-amzn-RequestId' => undef } });
is_deeply([ detail_keys($error) ], [qw(exception http_status attempts)], 'what is not known is left out');
is($error->{message}, 'Athena GetSession failed: InternalServerException', 'an exception without a message');

$error = error_after({ status => 503 });
is($error->{sqlstate}, '58000', 'a status that speaks for itself');
is_deeply([ detail_keys($error) ], [qw(http_status request_id attempts)], 'has no exception');
is(error_after({ status => 429 })->{sqlstate}, '53400', 'so has another');

$error = error_after({ error => 'InvalidRequestException', message => "one\ntwo: three\r\nfour \x{1f600}" });
is($error->{message}, "Athena GetSession failed: one\ntwo: three\r\nfour \x{1f600}", 'a message of several lines');
is_deeply([ detail_keys($error) ], [qw(exception http_status request_id attempts)], 'changes nothing in DETAIL');
$error = error_after({ error => 'InvalidRequestException', message => 'x' x 100_000 });
cmp_ok(length $error->{message}, '<', 10_000, 'a message without measure is cut');

# Each operation is named.
for my $case (
	[ 'StartSession',                  'start_session()' ],
	[ 'GetSessionStatus',              "get_session_status('x')" ],
	[ 'TerminateSession',              "terminate_session('x')" ],
	[ 'ListSessions',                  'list_sessions()' ],
	[ 'ListExecutors',                 "list_executors('x')" ],
	[ 'ListNotebookSessions',          "list_notebook_sessions('x')" ],
	[ 'ListEngineVersions',            'list_engine_versions()' ],
	[ 'ListApplicationDPUSizes',       'list_application_dpu_sizes()' ],
	[ 'StartCalculationExecution',     "start_calculation_execution('x', 'x')" ],
	[ 'GetCalculationExecution',       "get_calculation_execution('x')" ],
	[ 'GetCalculationExecution',       "calculation_stdout('x')" ],
	[ 'GetCalculationExecutionStatus', "get_calculation_execution_status('x')" ],
	[ 'GetCalculationExecutionCode',   "get_calculation_execution_code('x')" ],
	[ 'StopCalculationExecution',      "stop_calculation_execution('x')" ],
	[ 'ListCalculationExecutions',     "list_calculation_executions('x')" ],
	[ 'BatchGetNamedQuery',            "invoke('BatchGetNamedQuery')" ])
{
	my ($operation, $function) = @$case;
	$error = error_after({ error => 'InvalidRequestException', message => 'No.' }, "SELECT athena_calc.$function");
	is("$error->{sqlstate} $error->{message}", "22023 Athena $operation failed: No.", $function);
}

# After the retries

$athena->query('SET athena_calc.max_attempts = 3');
$error = error_after({ error => 'InternalServerException', status => 500, message => 'It broke.' });
is(detail_value($error, 'attempts'), 3, 'the attempts are counted');
is($error->{sqlstate}, '58000', 'and the last one counts');
$athena->query('SET athena_calc.max_attempts = 1');

# On the way

sub no_connection_ok
{
	my ($endpoint, $name, $meanwhile) = @_;

	$athena->query("SET athena_calc.endpoint_url = '$endpoint'");
	my $db = $athena->session_backend->send($call);
	$meanwhile->() if $meanwhile;
	my $error = $db->finish->{error};
	$athena->query('RESET athena_calc.endpoint_url');
	is($error->{sqlstate}, '08001', $name);
	like($error->{message}, qr/^Athena GetSession failed: ./, 'the message says what');
	is_deeply([ detail_keys($error) ], ['attempts'], 'there is nothing else to know');
	like($error->{hint}, qr/endpoint/, 'the hint');
	return $error;
}

no_connection_ok('http://127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port(), 'nobody listens');
no_connection_ok('http://nowhere.invalid', 'a name that is none');
my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1');
no_connection_ok('https://127.0.0.1:' . $listener->sockport, 'no TLS where TLS is expected', sub {
	$listener->accept->print("HTTP/1.1 400 Bad Request\r\n\r\n");
});
$athena->query(q{SET athena_calc.connect_timeout = '50ms'});
no_connection_ok('https://127.0.0.1:' . $listener->sockport, 'a service that does not answer to TLS');
$athena->query('RESET athena_calc.connect_timeout');

my $secure = AthenaCalc::Test->new(name => 'tls', tls => 1);
is(scalar($secure->query('SELECT * FROM athena_calc.list_sessions()')), 0, 'TLS with an authority that is trusted');
$secure->query(q{SET athena_calc.ca_bundle = ''; SET athena_calc.max_attempts = 1});
$error = $secure->query_error('SELECT athena_calc.list_sessions()');
is($error->{sqlstate}, '08001', 'a certificate that is not trusted');
like($error->{hint}, qr/ca_bundle/, 'the hint');
$secure->query(q{SET athena_calc.ca_bundle = '/nowhere/ca.pem'});
$error = $secure->query_error('SELECT athena_calc.list_sessions()');
is($error->{sqlstate}, '08001', 'authorities that are not there');
like($error->{hint}, qr/ca_bundle/, 'the hint');
is($secure->requests, 1, 'nothing was sent to either');

for my $fault ({ drop => 'before' }, { drop => 'before', reset => \1 }, { drop => 'after' }, { cut => 10 }, { cut_body => 10 })
{
	$error = error_after($fault);
	is($error->{sqlstate}, '08006', 'the connection broke: ' . join ' ', %$fault);
	like($error->{message}, qr/^Athena GetSession failed: ./, 'the message says what');
	is((detail_keys($error))[-1], 'attempts', 'DETAIL');
}

$athena->query(q{SET athena_calc.request_timeout = '50ms'});
my $began = time;
$error = error_after({ hang => \1 });
is($error->{sqlstate}, '08006', 'an attempt that takes too long');
cmp_ok(time - $began, '<', patient(5), 'takes no longer');
like($error->{hint}, qr/request_timeout/, 'the hint');
$athena->query('RESET athena_calc.request_timeout');

# What the protocol does not allow

for my $case (
	[ 'not JSON',               { body   => '<html>' } ],
	[ 'another type',           { body   => '{"SessionId": 1}' } ],
	[ 'what text cannot hold',  { body   => '{"SessionId": "a\u0000b"}' } ],
	[ 'too deep',               { body   => ('[' x 1000) } ],
	[ 'a redirect',             { status => 307, headers => { Location => '/' } } ],
	[ 'an error without words', { status => 400 } ])
{
	my ($name, $fault) = @$case;

	$error = error_after($fault);
	is($error->{sqlstate}, '08P01', $name);
	like($error->{message}, qr/^Athena GetSession failed: the answer ./, 'the message says what');
	is_deeply([ detail_keys($error) ], [qw(http_status request_id attempts)], 'DETAIL');
}

$athena->query(q{SET athena_calc.max_response_size = '1kB'});
$error = error_after({ body => '{"SessionId": "' . 'x' x 1100 . '"}' });
is($error->{sqlstate}, '54000', 'an answer that is too large');
like($error->{hint}, qr/max_response_size/, 'the hint');
$athena->query('RESET athena_calc.max_response_size');

# What is missing, or cannot be

$athena->clear_log;
$athena->query(q{SET athena_calc.region = ''});
$error = $athena->query_error($call);
is($error->{sqlstate}, '55000', 'no region');
like($error->{hint}, qr/athena_calc\.region/, 'the hint names the setting');
$athena->query('RESET athena_calc.region');

for my $setting ('access_key_id', 'secret_access_key')
{
	$athena->query("SET athena_calc.$setting = ''");
	$error = $athena->query_error($call);
	is($error->{sqlstate}, '28000', "no $setting");
	like($error->{hint}, qr/athena_calc\.$setting/, 'the hint names the setting');
	$athena->query("RESET athena_calc.$setting");
}
is($athena->requests, 0, 'nothing was sent');

$athena->query(q{CREATE DATABASE latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;});
$athena->query(q{CREATE DATABASE bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0;});
my $latin1 = $athena->connect(dbname => 'latin1');
my $bytes  = $athena->connect(dbname => 'bytes', client_encoding => 'SQL_ASCII');
$_->query('CREATE EXTENSION athena_calc; SET athena_calc.max_attempts = 1') for $latin1, $bytes;

$athena->fault(operation => 'GetSession', body => '{"Description": "Grüße"}');
is($latin1->value("SELECT (athena_calc.get_session('x')).description"), 'Grüße', 'a character that LATIN1 has');
$athena->fault(operation => 'GetSession', body => '{"Description": "5 €"}');
is($latin1->error("SELECT athena_calc.get_session('x')")->{sqlstate}, '22P05', 'and one that it lacks');
$athena->fault(operation => 'GetSession', body => '{"EngineConfiguration": {"SparkProperties": {"a": "5 €"}}}');
is($latin1->error("SELECT athena_calc.get_session('x')")->{sqlstate}, '22P05', 'in jsonb, too');
$athena->fault(operation => 'GetSession', error => 'InvalidRequestException', message => '5 €');
is($latin1->error("SELECT athena_calc.get_session('x')")->{sqlstate}, '22023', 'in a message it does not matter');
$error = $bytes->error(q{SELECT athena_calc.start_session(description => E'a\\xff')});
is($error->{sqlstate}, '22021', 'bytes that are not UTF-8 are not sent');

# PostgreSQL's own

$athena->fault(operation => '*', times => undef, hang => \1);
$athena->query(q{SET statement_timeout = '50ms'});
$error = $athena->query_error($call);
is("$error->{sqlstate} $error->{message}", '57014 canceling statement due to statement timeout', 'statement_timeout');
$athena->query(q{SET statement_timeout = 0});
$athena->clear_log;
$athena->session_backend->send($call);
$athena->wait_until(sub { $athena->requests('GetSession') }, 'the request is there');
$athena->session_backend->cancel;
$error = $athena->session_backend->finish->{error};
is("$error->{sqlstate} $error->{message}", '57014 canceling statement due to user request', 'a cancel');
$athena->clear_faults;

# In PL/pgSQL

$athena->fault(operation => 'GetSession', error => 'InvalidRequestException', message => 'Session is in the BUSY state');
$athena->query(qq{
	DO \$\$
	BEGIN
		PERFORM athena_calc.get_session('$session');
		RAISE 'no error';
	EXCEPTION WHEN SQLSTATE 'SP000' THEN
		RAISE NOTICE 'caught %', SQLSTATE;
	END \$\$});
is_deeply([ $athena->notices ], ['caught SP004'], 'SP000 stands for its class');
is($athena->value("SELECT (athena_calc.get_session('$session')).state"), 'IDLE', 'after all this, a call works');

done_testing();
