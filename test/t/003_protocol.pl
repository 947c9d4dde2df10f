# Answers in the awsJson 1.1 protocol: the official cases, and what they leave out.
#
# https://github.com/smithy-lang/smithy/tree/main/smithy-aws-protocol-tests/model/awsJson1_1

use strict;
use warnings;
use utf8;

use AthenaCalc::Test;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use Test::More;

my $athena = AthenaCalc::Test->new;

$athena->query('SET athena_calc.max_attempts = 1');

# Arranges the next answer, whatever is asked.
sub answer
{
	my (%fault) = @_;

	$athena->clear_faults;
	$athena->fault(operation => '*', %fault);
	return;
}

# The value of a column of get_session, when Athena answers so.
sub session_column
{
	my ($column, $body) = @_;

	answer(body => $body);
	return $athena->value("SELECT (athena_calc.get_session('x')).$column");
}

sub session_error
{
	my ($body, $call) = @_;

	answer(body => $body);
	my $error = $athena->query_error('SELECT * FROM athena_calc.' . ($call || "get_session('x')"));
	return $error->{sqlstate};
}

# A reader of Smithy's files, as far as test cases need it: https://smithy.io/2.0/spec/idl.html#node-values

sub read_node
{
	my ($text) = @_;

	$$text =~ /\G(?:[\s,]|\/\/[^\n]*)+/gc;
	if ($$text =~ /\G"""(.*?)"""/gcs || $$text =~ /\G"((?:[^"\\]|\\.)*)"/gcs)
	{
		my $string = $1;

		$string =~ s/\\\n\s*//g;
		$string =~ s/\\(["\\])/$1/g;
		return $string;
	}
	if ($$text =~ /\G[\[{]/gc)
	{
		my $is_object = substr($$text, pos($$text) - 1, 1) eq '{';
		my @items;

		while (1)
		{
			$$text =~ /\G(?:[\s,:]|\/\/[^\n]*)+/gc;
			last if $$text =~ /\G[\]}]/gc;
			push @items, scalar read_node($text);
		}
		return $is_object ? {@items} : \@items;
	}
	return $1 if $$text =~ /\G([\w.+-]+)/gc;
	die 'not a node value: ' . substr $$text, pos($$text) || 0, 40;
}

# The response cases for clients: each with the shape they belong to.
sub read_cases
{
	my ($file) = @_;
	my $text = PostgreSQL::Test::Utils::slurp_file($file);
	my @cases;

	while ($text =~ /^(?:apply (\w+) )?\@httpResponseTests\(/gm)
	{
		my $shape = $1;

		push @cases, map { { %$_, shape => $shape } } @{ read_node(\$text) };
	}
	return grep { ($_->{appliesTo} // 'client') eq 'client' } @cases;
}

SKIP:
{
	my $directory = abs_path(dirname(__FILE__) . '/../..') . '/../shared/vectors/smithy/awsJson1_1';
	my @cases = map { read_cases($_) } glob "$directory/*.smithy";

	skip "the official cases are not there: $directory", 1 unless @cases;
	cmp_ok(scalar(@cases), '>', 40, 'the official cases are read');

	for my $case (@cases)
	{
		my %fault = (
			status  => $case->{code} + 0,
			headers => $case->{headers} || {},
			body    => $case->{body} // '');

		if ($case->{code} >= 400)
		{
			answer(%fault);
			my $error = $athena->query_error("SELECT athena_calc.get_session('x')");
			my $exception = $case->{shape};
			my $message = $case->{params}{Message} // $exception;

			is(detail_value($error, 'exception'), $exception, "$case->{id}: the exception");
			is($error->{message}, "Athena GetSession failed: $message", "$case->{id}: the message");
			is($error->{sqlstate}, $case->{code} == 400 ? 'SP000' : '58000', "$case->{id}: the SQLSTATE");
		}
		elsif (my $time = $case->{params}{datetime})
		{
			(my $body = $case->{body}) =~ s/"datetime"/"StartDateTime"/ or die;
			is(session_column("start_date_time = to_timestamp($time)", qq({"Status": $body})), 't', $case->{id});
		}
		else
		{
			answer(%fault);
			is($athena->value('SELECT athena_calc.invoke($1) = $2::jsonb', 'AnyOperation', $case->{body} || '{}'),
				't', "$case->{id}: invoke gives the document");
			(my $body = $fault{body}) =~ s/"string"/"Description"/;
			is(session_column('description', $body), undef, "$case->{id}: null is NULL") if $body ne $fault{body};
		}
	}
}

# Where an exception's name stands: the header first, then __type, then code

for my $case (
	[ 'header before body',    { 'x-amzn-ErrorType' => 'AccessDeniedException' }, '{"__type": "OtherException"}' ],
	[ 'a header with a URI',   { 'x-amzn-errortype' => 'AccessDeniedException:http://internal/coral/' }, '{}' ],
	[ 'a header alone',        { 'X-AMZN-ERRORTYPE' => 'AccessDeniedException' }, '' ],
	[ 'a header, not JSON',    { 'X-AMZN-ERRORTYPE' => 'AccessDeniedException' }, '<html>' ],
	[ '__type before code',    {}, '{"code": "OtherException", "__type": "AccessDeniedException"}' ],
	[ 'a namespace',           {}, '{"__type": "com.amazonaws.athena#AccessDeniedException"}' ],
	[ 'nested ones are not',   {}, '{"Inner": {"__type": "OtherException"}, "__type": "AccessDeniedException"}' ],
	[ 'a null does not count', {}, '{"__type": null, "code": "AccessDeniedException"}' ])
{
	my ($name, $headers, $body) = @$case;

	answer(status => 400, headers => $headers, body => $body);
	my $error = $athena->query_error("SELECT athena_calc.get_session('x')");
	is(detail_value($error, 'exception'), 'AccessDeniedException', $name);
	is($error->{sqlstate}, '42501', 'and it counts');
}

# And its message

for my $member ('message', 'Message', 'errorMessage')
{
	answer(status => 400, body => qq({"__type": "InvalidRequestException", "$member": "No."}));
	is($athena->query_error("SELECT athena_calc.get_session('x')")->{message},
		'Athena GetSession failed: No.', "the message in $member");
}

# Members

is(session_column('description', '{"SessionId": "x", "Description": null}'), undef, 'null is NULL');
is(session_column('description', '{"SessionId": "x"}'),                      undef, 'absent is NULL');
is(session_column('state', '{"Status": null, "Statistics": null}'),          undef, 'in a structure that is null');
is(session_column('state', '{"Status": {}}'),                                undef, 'in one that is empty');
is(session_column('description', ''),                                        undef, 'in an empty answer');
is(session_column('description', '{}'),                                      undef, 'in an empty object');
is(session_column('state', '{"New": {"State": "A", "b": [1, {"c": 2}]}, "Status": {"X": 1, "State": "SLEEPING"}}'),
	'SLEEPING', 'unknown members are ignored, unknown states are text');
is(session_column('description', '{"description": "a", "DESCRIPTION": "b"}'), undef, 'names keep their case');
is(session_column('description', ' { "Description" : "a\u0020\"\\\\\/\b\f\n\r\t\u00e9\ud83d\ude00" } '),
	qq(a "\\/\b\f\n\r\t\x{e9}\x{1f600}), 'text with every escape');
is(session_column('description', '{"\u0044escription": "a"}'), 'a', 'a name with one');
is(session_column('description', "{\"Description\": \"\xe9\x{20ac}\x{1f600}\"}"), "\xe9\x{20ac}\x{1f600}", 'UTF-8');
is(session_column('description', '{"Description": ""}'), '', 'an empty text is one');
is(session_column('spark_properties', '{"EngineConfiguration": {"SparkProperties": {"a": null, "b": "c"}}}'),
	'{"a": null, "b": "c"}', 'a map is jsonb, its nulls included');
is(session_column('classifications', '{"EngineConfiguration": {"Classifications": [{"Name": "n", "Properties": {}}]}}'),
	'[{"Name": "n", "Properties": {}}]', 'so is a list of structures');

# Times: seconds since 1970, with fractions to the microsecond, or a date and time

for my $case (
	[ '1700000000',          '2023-11-14 22:13:20+00' ],
	[ '1700000000.5',        '2023-11-14 22:13:20.5+00' ],
	[ '1700000000.123456',   '2023-11-14 22:13:20.123456+00' ],
	[ '1.700000000123456E9', '2023-11-14 22:13:20.123456+00' ],
	[ '1.7e9',               '2023-11-14 22:13:20+00' ],
	[ '1700000000123456e-6', '2023-11-14 22:13:20.123456+00' ],
	[ '1700000000.1234565',  '2023-11-14 22:13:20.123457+00' ],
	[ '1700000000.9999999',  '2023-11-14 22:13:21+00' ],
	[ '0',                   '1970-01-01 00:00:00+00' ],
	[ '-0.000001',           '1969-12-31 23:59:59.999999+00' ],
	[ '-62135596800',        '0001-01-01 00:00:00+00' ],
	[ '253402300799.999999', '9999-12-31 23:59:59.999999+00' ],
	[ '"2023-11-14T22:13:20Z"',             '2023-11-14 22:13:20+00' ],
	[ '"2023-11-14T22:13:20.123456Z"',      '2023-11-14 22:13:20.123456+00' ],
	[ '"2023-11-15T00:13:20.5+02:00"',      '2023-11-14 22:13:20.5+00' ],
	[ '"2023-11-14T16:43:20-05:30"',        '2023-11-14 22:13:20+00' ],
	[ '"2000-02-29T23:59:59.9999999Z"',     '2000-03-01 00:00:00+00' ])
{
	my ($wire, $time) = @$case;

	is(session_column('start_date_time', qq({"Status": {"StartDateTime": $wire}})), $time, "the time $wire");
}
for my $wire ('true', '[]', '{}', '""', '"yesterday"', '"2023-02-29T00:00:00Z"', '"2023-11-14T22:13:20"', '1e30',
	'-1e30', '1e400', '92233720368547758070')
{
	is(session_error(qq({"Status": {"StartDateTime": $wire}})), '08P01', "no time: $wire");
}

# The two that are milliseconds
answer(body => '{"ExecutorsSummary": [{"ExecutorId": "e", "StartDateTime": 1700000000123, "ExecutorSize": 3}]}');
is($athena->value("SELECT start_date_time FROM athena_calc.list_executors('x')"), '2023-11-14 22:13:20.123+00',
	'milliseconds');

# Numbers

for my $number ('9007199254740993', '9223372036854775807', '-9223372036854775808')
{
	is(session_column('dpu_execution_in_millis', qq({"Statistics": {"DpuExecutionInMillis": $number}})),
		$number, "a long is exact: $number");
}
is(session_column('dpu_execution_in_millis', '{"Statistics": {"DpuExecutionInMillis": 1.2e3}}'), 1200, 'as 1.2e3');
for my $number ('9223372036854775808', '1e19', '1.5', '"12"', 'true', '1e400')
{
	is(session_error(qq({"Statistics": {"DpuExecutionInMillis": $number}})), '08P01', "no long: $number");
}
is(session_column('max_concurrent_dpus', '{"EngineConfiguration": {"MaxConcurrentDpus": -2147483648}}'),
	-2147483648, 'an integer');
for my $number ('2147483648', '-2147483649', '1.5', '"1"', '[]')
{
	is(session_error(qq({"EngineConfiguration": {"MaxConcurrentDpus": $number}})), '08P01', "no integer: $number");
}
answer(body => '{"ApplicationDPUSizes": [{"SupportedDPUSizes": [1, null, 4]}, {"SupportedDPUSizes": []}, {}]}');
is_deeply([ $athena->column('SELECT supported_dpu_sizes FROM athena_calc.list_application_dpu_sizes()') ],
	[ '{1,NULL,4}', '{}', undef ], 'a list of integers');

# What must be there

is(session_error($_, "start_calculation_execution('x', 'x')"), '08P01', "a start without its ID is none: '$_'")
  for '', '{}', '{"State": "CREATING"}', '{"CalculationExecutionId": null}';
is(session_error($_, 'start_session()'), '08P01', "nor is a session's: '$_'") for '', '{"SessionId": null}';

# Lists

answer(body => $_), is($athena->query('SELECT * FROM athena_calc.list_sessions()'), 0, "an empty list: '$_'")
  for '', '{}', '{"Sessions": null}', '{"Sessions": []}', '{"Sessions": [], "NextToken": null}';
is(session_error($_, 'list_sessions()'), '08P01', "no list: $_")
  for '{"Sessions": {}}', '{"Sessions": "a"}', '{"Sessions": [1]}', '{"Sessions": ["a"]}', '{"Sessions": [], "NextToken": 5}';

$athena->clear_faults;
$athena->faults(
	{ operation => 'ListSessions', body => '{"Sessions": [{"SessionId": "a"}, {"SessionId": "b"}], "NextToken": "\u00e9 \" 1"}' },
	{ operation => 'ListSessions', body => '{"Sessions": [], "NextToken": "2"}' },
	{ operation => 'ListSessions', body => '{"Sessions": [{"SessionId": "c"}]}' });
$athena->clear_log;
is_deeply([ $athena->column('SELECT session_id FROM athena_calc.list_sessions()') ], [qw(a b c)],
	'pages, one of them empty');
is_deeply([ map { $_->{members}{NextToken} } $athena->requests('ListSessions') ], [ undef, "\xe9 \" 1", '2' ],
	'each asked for with the token before it');

done_testing();
