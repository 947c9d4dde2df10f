# What boto3 starts the extension reads, and the other way round: they mean the same service.
# PYTHON names a Python that has boto3 where the first one on the path has it not.

use strict;
use warnings;

use AthenaCalc::Test;
use File::Temp qw(tempdir);
use IPC::Run qw(run);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $python = $ENV{PYTHON} || 'python3';

plan skip_all => "$python has no boto3" if !run [ $python, '-c', 'import boto3' ], '>&', \my $ignored;

my $athena = AthenaCalc::Test->new;
my $script = tempdir(CLEANUP => 1) . '/call.py';

# Calls one method of a boto3 client; the answer, or the error, as JSON.
append_to_file($script, <<'END');
import json, sys
import boto3, botocore.exceptions

service, endpoint, key, secret, method, arguments = sys.argv[1:]
client = boto3.client(service, endpoint_url=endpoint, region_name='us-east-1',
                      aws_access_key_id=key, aws_secret_access_key=secret)
try:
    answer = getattr(client, method)(**json.loads(arguments))
    if 'Body' in answer:
        answer['Body'] = answer['Body'].read().decode()
    del answer['ResponseMetadata']
except botocore.exceptions.ClientError as error:
    answer = {'Error': error.response['Error']}
print(json.dumps(answer, default=lambda value: value.isoformat()))
END

sub boto3
{
	my ($service, $method, %arguments) = @_;
	my @call = (
		$python, $script, $service, $athena->setting('endpoint_url'),
		$athena->setting('access_key_id'),
		$athena->setting('secret_access_key'),
		$method, encode_json(\%arguments));

	my ($answer, $trouble);

	run \@call, '>', \$answer, '2>', \$trouble or die "boto3: $trouble";
	return decode_json($answer);
}

# A session and a calculation of boto3's, read from SQL.
my $session = boto3('athena', 'start_session',
	WorkGroup => 'spark', Description => 'started by boto3', EngineConfiguration => { MaxConcurrentDpus => 4 })->{SessionId};
is($athena->value('SELECT (athena_calc.get_session($1)).description', $session),
	'started by boto3', 'a session that boto3 started');
is($athena->value('SELECT max_concurrent_dpus FROM athena_calc.get_session($1)', $session),
	4, 'has the configuration that boto3 gave it');
$athena->node->poll_query_until('postgres',
	"SELECT (athena_calc.get_session_status('$session')).state = 'IDLE'") or die 'not IDLE';

my $calculation = boto3('athena', 'start_calculation_execution',
	SessionId => $session, CodeBlock => "x = 6\nprint('x is', x)", Description => 'by boto3')->{CalculationExecutionId};
is($athena->wait_for($calculation)->{state}, 'COMPLETED', 'a calculation that boto3 started, watched from SQL');
is($athena->value('SELECT athena_calc.calculation_stdout($1)', $calculation), "x is 6\n", 'its output');
is($athena->value('SELECT athena_calc.get_calculation_execution_code($1)', $calculation),
	"x = 6\nprint('x is', x)", 'its code');

# A calculation started from SQL, in the same session, read by boto3.
my $ours = $athena->start_calculation($session, qq(print(x * 7, "\x{20AC}")));
$athena->wait_for($ours);
my $row  = $athena->row('SELECT * FROM athena_calc.get_calculation_execution($1)', $ours);
my $read = boto3('athena', 'get_calculation_execution', CalculationExecutionId => $ours);
is($read->{Status}{State}, 'COMPLETED', 'a calculation started from SQL, watched by boto3');
is($read->{Statistics}{DpuExecutionInMillis}, $row->{dpu_execution_in_millis}, 'costs the same');
is($read->{Result}{StdOutS3Uri}, $row->{std_out_s3_uri}, 'has its output in the same place');
my $submitted = $athena->value(
	q(SELECT to_char(submission_date_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS') FROM athena_calc.get_calculation_execution($1)),
	$ours);
like($read->{Status}{SubmissionDateTime}, qr/:\d\d/, 'boto3 has a time');
is( $athena->value(
		'SELECT submission_date_time = $2::timestamptz FROM athena_calc.get_calculation_execution($1)',
		$ours, $read->{Status}{SubmissionDateTime}),
	't',
	"and it is ours: $submitted");
my ($bucket, $key) = $row->{std_out_s3_uri} =~ m{^s3://([^/]+)/(.*)$};
is(boto3('s3', 'get_object', Bucket => $bucket, Key => $key)->{Body}, "42 \x{20AC}\n", 'and the same output');

# Lists agree.
my @listed = map { $_->{CalculationExecutionId} }
  @{ boto3('athena', 'list_calculation_executions', SessionId => $session)->{Calculations} };
is_deeply([ $athena->column('SELECT calculation_execution_id FROM athena_calc.list_calculation_executions($1)', $session) ],
	\@listed, 'both list the same calculations');
is_deeply(
	[ sort $athena->column("SELECT session_id FROM athena_calc.list_sessions('spark')") ],
	[ sort map { $_->{SessionId} } @{ boto3('athena', 'list_sessions', WorkGroup => 'spark')->{Sessions} } ],
	'and the same sessions');

# Errors agree.
my $error   = $athena->query_error('SELECT athena_calc.get_session($1)', 'no such session');
my $refused = boto3('athena', 'get_session', SessionId => 'no such session')->{Error};
is(detail_value($error, 'exception'), $refused->{Code}, 'both are told the same exception');
is($error->{message}, "Athena GetSession failed: $refused->{Message}", 'in the same words');

# What one ends the other sees ended.
boto3('athena', 'terminate_session', SessionId => $session);
$error = $athena->query_error('SELECT * FROM athena_calc.start_calculation_execution($1, $2)', $session, 'pass');
is($error->{sqlstate}, 'SP005', 'a session that boto3 terminated takes no calculation');

done_testing();
