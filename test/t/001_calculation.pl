# The main story through SQL: a session, calculations in it, what they printed, lists, a stop, the end.

use strict;
use warnings;
use utf8;

use AthenaCalc::Test;
use JSON::PP;
use Test::More;

my $athena = AthenaCalc::Test->new;

sub sent
{
	my ($operation) = @_;

	return ($athena->requests($operation))[-1]{members};
}

# A session

my $notebook = '11111111-2222-4333-8444-555555555555';
my $started = $athena->row(q{
	SELECT * FROM athena_calc.start_session(
		description => 'nightly', max_concurrent_dpus => 250, coordinator_dpu_size => 1,
		default_executor_dpu_size => 1, spark_properties => '{"spark.sql.shuffle.partitions": "8"}',
		additional_configs => jsonb_build_object('NotebookId', $1::text), session_idle_timeout_in_minutes => 15,
		notebook_version => 'Athena notebook version 1',
		tags => '{"team": "etl", "cost centre": "a \"b\" ü"}')},
	$notebook);
my $session = $started->{session_id};

uuid_like($session, 'start_session gives the ID of the session');
like($started->{state}, qr/^CREAT(ING|ED)$/, 'and its state');
my $request = sent('StartSession');
is($request->{WorkGroup}, 'spark', 'the work group is that of the settings');
uuid_like($request->{ClientRequestToken}, 'the request token');
is_deeply(
	[ sort { $a->{Key} cmp $b->{Key} } @{ $request->{Tags} } ],
	[ { Key => 'cost centre', Value => 'a "b" ü' }, { Key => 'team', Value => 'etl' } ],
	'tags are sent as a list of keys and values');
ok(!exists $request->{CopyWorkGroupTags}, 'what is not given is not sent');

my $other = $athena->start_session(work_group => 'primary', max_concurrent_dpus => undef);
is_deeply(sent('StartSession')->{EngineConfiguration}, {}, 'max_concurrent_dpus NULL leaves it out');
is($athena->value('SELECT (athena_calc.get_session($1)).work_group', $other), 'primary', 'a work group given counts');

my $status = $athena->wait_for_session($session, 'IDLE');
is($status->{session_id}, $session, 'get_session_status gives the ID');
ok(defined $status->{idle_since_date_time} && !defined $status->{end_date_time}, 'and times, or NULL where there is none');

is_deeply(
	$athena->row(q{
		SELECT session_id, description, work_group, engine_version, coordinator_dpu_size,
			max_concurrent_dpus, default_executor_dpu_size, additional_configs ->> 'NotebookId' AS notebook_id,
			spark_properties, classifications, idle_timeout_seconds, session_idle_timeout_in_minutes, state,
			start_date_time BETWEEN now() - interval '1 min' AND clock_timestamp() AS just_started
		FROM athena_calc.get_session($1)}, $session),
	{
		session_id                      => $session,
		description                     => 'nightly',
		work_group                      => 'spark',
		engine_version                  => 'PySpark engine version 3',
		coordinator_dpu_size            => 1,
		max_concurrent_dpus             => 250,
		default_executor_dpu_size       => 1,
		notebook_id                     => $notebook,
		spark_properties                => '{"spark.sql.shuffle.partitions": "8"}',
		classifications                 => undef,
		idle_timeout_seconds            => 900,
		session_idle_timeout_in_minutes => 15,
		state                           => 'IDLE',
		just_started                    => 't'
	},
	'get_session gives what it was started with');

# Calculations in it

my $code = qq{import sys\ntotal = 40\nprint("grüße €", total)\nprint("warned", file=sys.stderr)};
$started = $athena->row(
	q{SELECT * FROM athena_calc.start_calculation_execution($1, $2, description => 'first')}, $session, $code);
my $first = $started->{calculation_execution_id};
uuid_like($first, 'start_calculation_execution gives the ID of the calculation');
like($started->{state}, qr/^(CREATING|CREATED|QUEUED|RUNNING|COMPLETED)$/, 'and its state');

$status = $athena->wait_for($first);
is_deeply(
	[ @$status{qw(calculation_execution_id state state_change_reason progress)} ],
	[ $first, 'COMPLETED', undef, '100%' ],
	'it comes to its end');
cmp_ok($status->{dpu_execution_in_millis}, '>', 0, 'and has cost something');

is($athena->value('SELECT athena_calc.get_calculation_execution_code($1)', $first), $code, 'its code is what was sent');
my $calculation = $athena->row('SELECT *, completion_date_time >= submission_date_time AS in_order
	FROM athena_calc.get_calculation_execution($1)', $first);
is_deeply(
	[ @$calculation{qw(calculation_execution_id session_id description state in_order)} ],
	[ $first, $session, 'first', 'COMPLETED', 't' ],
	'get_calculation_execution tells all of it');
like($calculation->{$_}, qr{^s3://athena-emulator/}, "$_ is where it can be read")
  for qw(std_out_s3_uri std_error_s3_uri result_s3_uri working_directory);

is($athena->value('SELECT athena_calc.calculation_stdout($1)', $first), "grüße € 40\n", 'standard output');
is($athena->value('SELECT athena_calc.calculation_stderr($1)', $first), "warned\n",     'standard error');
is($athena->value('SELECT athena_calc.calculation_stdout($1, max_bytes => 3)', $first), "40\n", 'the end of it');
is($athena->value('SELECT athena_calc.calculation_stdout($1, 1000)', $first),
	"grüße € 40\n", 'all of it where it is shorter');

my $second = $athena->run($session, 'print(total + 2)');
is($athena->value('SELECT athena_calc.calculation_stdout($1)', $second), "42\n", 'variables stay from one to the next');

my $failed = $athena->run($session, "total\nraise ValueError('no such customer')");
is_deeply(
	$athena->row('SELECT state, state_change_reason, std_out_s3_uri, athena_calc.calculation_stdout($1) AS output
		FROM athena_calc.get_calculation_execution($1)', $failed),
	{
		state               => 'FAILED',
		state_change_reason => 'ValueError: no such customer',
		std_out_s3_uri      => undef,
		output              => undef
	},
	'a failure has its reason, and no output where Athena shows none');

my $endless = $athena->start_calculation($session, "import time\nwhile True: time.sleep(0.01)");
$athena->wait_for($endless, 'RUNNING');
is($athena->query_error('SELECT * FROM athena_calc.start_calculation_execution($1, $2)', $session, '1')->{sqlstate},
	'SP004', 'a session takes one calculation at a time');
like($athena->value('SELECT athena_calc.stop_calculation_execution($1)', $endless), qr/^CANCEL(ING|ED)$/, 'a stop');
is($athena->wait_for($endless)->{state}, 'CANCELED', 'stops it');
is($athena->value('SELECT athena_calc.stop_calculation_execution($1)', $first), 'COMPLETED', 'what has ended stays');

# The columns' types are part of the contract: views and scripts are made of them.

sub columns_of
{
	my ($call) = @_;

	$athena->query("CREATE TEMP VIEW columns_of AS SELECT * FROM athena_calc.$call");
	my $columns = $athena->value(q{
		SELECT string_agg(attname || ' ' || replace(replace(format_type(atttypid, atttypmod),
			'timestamp with time zone', 'timestamptz'), 'integer', 'int'), ', ' ORDER BY attnum)
		FROM pg_attribute WHERE attrelid = 'columns_of'::regclass AND attnum > 0});
	$athena->query('DROP VIEW columns_of');
	return $columns;
}

my $status_columns = 'submission_date_time timestamptz, completion_date_time timestamptz, state text, '
  . 'state_change_reason text';
my $calculation_columns = 'calculation_execution_id text, session_id text, description text, working_directory text, '
  . "$status_columns, dpu_execution_in_millis bigint, progress text, std_out_s3_uri text, std_error_s3_uri text, "
  . 'result_s3_uri text, result_type text';
my $calculation_status_columns =
  "calculation_execution_id text, $status_columns, dpu_execution_in_millis bigint, progress text";
my $session_status_columns = 'start_date_time timestamptz, last_modified_date_time timestamptz, '
  . 'end_date_time timestamptz, idle_since_date_time timestamptz, state text, state_change_reason text';

is(columns_of('get_calculation_execution(NULL)'), $calculation_columns, 'columns of a calculation');
is(columns_of('batch_get_calculation_execution(NULL)'),
	"$calculation_columns, error_code text, error_message text", 'and of many');
is(columns_of('get_calculation_execution_status(NULL)'), $calculation_status_columns, 'columns of a status');
is(columns_of('batch_get_calculation_execution_status(NULL)'),
	"$calculation_status_columns, error_code text, error_message text", 'and of many');
is(columns_of('list_calculation_executions(NULL)'),
	"calculation_execution_id text, description text, $status_columns", 'columns of a list of calculations');
is(columns_of('start_calculation_execution(NULL, NULL)'), 'calculation_execution_id text, state text', 'of a start');
is(columns_of('start_session()'), 'session_id text, state text', 'of the start of a session');
is(columns_of('get_session(NULL)'),
	'session_id text, description text, work_group text, engine_version text, coordinator_dpu_size int, '
	  . 'max_concurrent_dpus int, default_executor_dpu_size int, additional_configs jsonb, spark_properties jsonb, '
	  . 'classifications jsonb, notebook_version text, execution_role text, working_directory text, '
	  . 'idle_timeout_seconds bigint, session_idle_timeout_in_minutes int, encryption_option text, kms_key text, '
	  . "monitoring_configuration jsonb, $session_status_columns, dpu_execution_in_millis bigint",
	'columns of a session');
is(columns_of('get_session_status(NULL)'), "session_id text, $session_status_columns", 'of its status');
is(columns_of('list_sessions()'),
	'session_id text, description text, selected_engine_version text, effective_engine_version text, '
	  . "notebook_version text, $session_status_columns",
	'of a list of sessions');
is(columns_of('list_executors(NULL)'),
	'executor_id text, executor_type text, start_date_time timestamptz, termination_date_time timestamptz, '
	  . 'executor_state text, executor_size bigint',
	'of a list of executors');
is(columns_of('list_notebook_sessions(NULL)'), 'session_id text, creation_time timestamptz', 'of a notebook');
is(columns_of('list_engine_versions()'), 'selected_engine_version text, effective_engine_version text', 'of engines');
is(columns_of('list_application_dpu_sizes()'), 'application_runtime_id text, supported_dpu_sizes int[]', 'of sizes');
is($athena->value(q{
	SELECT string_agg(proname || ' ' || prorettype::regtype, ', ' ORDER BY proname) FROM pg_proc
	WHERE pronamespace = 'athena_calc'::regnamespace
		AND proname ~ '^(stop_calc|terminate|get_calculation_execution_code|calculation_std|invoke)'}),
	'calculation_stderr text, calculation_stdout text, get_calculation_execution_code text, invoke jsonb, '
	  . 'stop_calculation_execution text, terminate_session text',
	'types of single values');

# Lists

is_deeply(
	[ $athena->column('SELECT calculation_execution_id FROM athena_calc.list_calculation_executions($1)', $session) ],
	[ $endless, $failed, $second, $first ],
	'all calculations of a session, the newest first');
is_deeply(
	[ $athena->column(q{SELECT calculation_execution_id FROM athena_calc.list_calculation_executions($1, 'FAILED')},
			$session) ],
	[$failed], 'those in a state');
is_deeply(
	[ $athena->column('SELECT description FROM athena_calc.list_calculation_executions($1, max_results => 2)',
			$session) ],
	[ undef, undef ], 'the first two');
is_deeply([ $athena->column('SELECT session_id FROM athena_calc.list_sessions()') ], [$session], 'sessions');
is_deeply([ $athena->column(q{SELECT session_id FROM athena_calc.list_sessions('primary', 'IDLE')}) ],
	[$other], 'those of another work group, in a state');
is_deeply([ $athena->column(q{SELECT session_id FROM athena_calc.list_sessions('primary', 'TERMINATED')}) ],
	[], 'none in another state');
is_deeply([ $athena->column('SELECT session_id FROM athena_calc.list_notebook_sessions($1)', $notebook) ],
	[$session], 'the sessions of a notebook');
is($athena->value('SELECT selected_engine_version FROM athena_calc.list_engine_versions(1)'),
	'PySpark engine version 3', 'engine versions');
is_deeply($athena->row('SELECT * FROM athena_calc.list_application_dpu_sizes()'),
	{ application_runtime_id => 'Jupyter 1.0', supported_dpu_sizes => '{1}' }, 'sizes');

# 250 executors are three pages.
$athena->clear_log;
is_deeply(
	$athena->row(q{
		SELECT count(*), count(DISTINCT executor_id) AS different, sum(executor_size) AS size,
			count(*) FILTER (WHERE start_date_time BETWEEN now() - interval '1 min' AND clock_timestamp()) AS recent
		FROM athena_calc.list_executors($1)}, $session),
	{ count => 250, different => 250, size => 250, recent => 250 },
	'a list follows its pages to the end, each row once');
my @pages = map { $_->{members} } $athena->requests('ListExecutors');
is_deeply([ map { $_->{MaxResults} } @pages ], [ 100, 100, 100 ], 'in pages as large as may be');
is_deeply([ map { exists $_->{NextToken} ? 1 : 0 } @pages ], [ 0, 1, 1 ], 'each asked for by the one before');
$athena->clear_log;
is($athena->value('SELECT count(*) FROM athena_calc.list_executors($1, max_results => 150)', $session), 150,
	'max_results is a total');
is_deeply([ map { $_->{members}{MaxResults} } $athena->requests('ListExecutors') ],
	[ 100, 50 ], 'and no more is asked for than wanted');
is($athena->value(q{SELECT count(*) FROM athena_calc.list_executors($1, 'REGISTERED', 3)}, $session), 3,
	'with a filter, too');
is($athena->value(q{SELECT count(*) FROM athena_calc.list_executors($1, 'FAILED')}, $session), 0, 'which filters');

# NULLs and numbers that mean nothing

for my $case (
	[ 'get_calculation_execution(NULL)',                   'calculation_execution_id' ],
	[ 'get_calculation_execution_status(NULL)',            'calculation_execution_id' ],
	[ 'get_calculation_execution_code(NULL)',              'calculation_execution_id' ],
	[ 'stop_calculation_execution(NULL)',                  'calculation_execution_id' ],
	[ 'calculation_stdout(NULL)',                          'calculation_execution_id' ],
	[ 'calculation_stderr(NULL)',                          'calculation_execution_id' ],
	[ q{start_calculation_execution(NULL, 'print(1)')},    'session_id' ],
	[ "start_calculation_execution('$session', NULL)",     'code_block' ],
	[ 'get_session(NULL)',                                 'session_id' ],
	[ 'get_session_status(NULL)',                          'session_id' ],
	[ 'terminate_session(NULL)',                           'session_id' ],
	[ 'list_calculation_executions(NULL)',                 'session_id' ],
	[ 'list_executors(NULL)',                              'session_id' ],
	[ 'list_notebook_sessions(NULL)',                      'notebook_id' ],
	[ 'batch_get_calculation_execution(NULL)',             'calculation_execution_ids' ],
	[ 'batch_get_calculation_execution_status(NULL)',      'calculation_execution_ids' ],
	[ 'invoke(NULL)',                                      'operation' ],
	[ q{invoke('GetSession', NULL)},                       'request' ])
{
	my ($call, $argument) = @$case;
	my $error = $athena->query_error("SELECT * FROM athena_calc.$call");

	is($error->{sqlstate}, '22004', "$call is an error");
	like($error->{message}, qr/"$argument"/, "that names $argument");
}

$athena->clear_log;
for my $call (
	"list_calculation_executions('$session', max_results => 0)", 'list_sessions(max_results => -1)',
	"list_executors('$session', max_results => 0)",              "list_notebook_sessions('$notebook', 0)",
	'list_engine_versions(0)',                                   'list_application_dpu_sizes(0)',
	"calculation_stdout('$first', 0)",                           "calculation_stderr('$first', -1)")
{
	my $error = $athena->query_error("SELECT * FROM athena_calc.$call");

	is($error->{sqlstate}, '22023', "$call is an error");
	like($error->{message}, qr/"max_(results|bytes)"/, 'that names the argument');
}
is($athena->requests, 0, 'and nothing was sent');

for my $tags ('["a"]', '{"a": 1}', '{"a": null}', '{"a": {"b": "c"}}', '"a"')
{
	is($athena->query_error('SELECT * FROM athena_calc.start_session(tags => $1)', $tags)->{sqlstate},
		'22023', "tags are an object of texts: $tags");
}

# JSON's null is as NULL: not sent.
$athena->clear_log;
$athena->value(q{SELECT session_id FROM athena_calc.start_session(spark_properties => 'null', tags => 'null')});
my ($sent) = $athena->requests('StartSession');
ok(!exists $sent->{members}{Tags}, "JSON's null is not sent");
ok(!exists $sent->{members}{EngineConfiguration}{SparkProperties}, 'nor in a structure');

# Hints for what goes wrong again and again

my $error = $athena->query_error(q{SELECT * FROM athena_calc.start_calculation_execution('print(1)', $1)}, $session);
is($error->{sqlstate}, '22023', 'swapped arguments');
like($error->{hint}, qr/swapped/, 'have a hint');
$error = $athena->query_error(q{SELECT * FROM athena_calc.start_calculation_execution('etl', 'print(1)')});
like($error->{hint}, qr/session_name/, 'so has a name in place of an ID');
for my $state ('STOPPED', 'cancelled')
{
	$error = $athena->query_error('SELECT * FROM athena_calc.list_calculation_executions($1, $2)', $session, $state);
	is($error->{sqlstate}, '22023', "the state $state");
	like($error->{hint}, qr/CANCELED/, 'has a hint');
}
for my $length (31, 129)
{
	$error = $athena->query_error(
		'SELECT * FROM athena_calc.start_calculation_execution($1, $2, client_request_token => $3)',
		$session, 'print(1)', 'x' x $length);
	is($error->{sqlstate}, '22023', "a token of $length characters");
	like($error->{hint}, qr/32 to 128/, 'has a hint');
}
$error = $athena->query_error(q{SELECT * FROM athena_calc.start_calculation_execution('etl', 'print(1)', client_request_token => 'short')});
like($error->{hint}, qr/32 to 128/, 'which comes before that for a name in place of an ID');
$error = $athena->query_error('SELECT athena_calc.get_session($1)', '00000000-0000-4000-8000-000000000000');
is($error->{hint}, undef, 'no hint where there is no reason for one');
$error = $athena->query_error(q{SELECT * FROM athena_calc.start_session('sql-only')});
like($error->{hint}, qr/PySpark engine version 3/, 'a work group of another engine has a hint');
$athena->query("SET athena_calc.work_group = ''");
for my $call ('start_session()', 'list_sessions()')
{
	$error = $athena->query_error("SELECT * FROM athena_calc.$call");
	is($error->{sqlstate}, '55000', "$call without a work group");
	like($error->{hint}, qr/athena_calc\.work_group/, 'has a hint that names the setting');
}
$athena->query('RESET athena_calc.work_group');

# Any operation by its own name

is($athena->value(q{SELECT athena_calc.invoke('GetWorkGroup', '{"WorkGroup": "spark"}') -> 'WorkGroup' ->> 'State'}),
	'ENABLED', 'invoke');
is($athena->value(q{SELECT count(*) FROM jsonb_array_elements(athena_calc.invoke('ListWorkGroups') -> 'WorkGroups')}),
	3, 'invoke without a request');
my $invoked = $athena->value(
	q{SELECT athena_calc.invoke('StartCalculationExecution', $1) ->> 'CalculationExecutionId'},
	encode_json({ SessionId => $session, CodeBlock => 'print("invoked")' }));
$athena->wait_for($invoked);
uuid_like(sent('StartCalculationExecution')->{ClientRequestToken}, 'invoke adds a request token');
$athena->wait_for($athena->value(q{SELECT athena_calc.invoke('StartCalculationExecution', $1) ->> 'CalculationExecutionId'},
	encode_json({ SessionId => $session, CodeBlock => 'print("null")', ClientRequestToken => undef })));
uuid_like(sent('StartCalculationExecution')->{ClientRequestToken}, 'also in place of one that is null');
my $token = 'my own token, of forty characters or so.';
my $with_token = encode_json({ WorkGroup => 'primary', EngineConfiguration => {}, ClientRequestToken => $token });
is($athena->value(q{SELECT athena_calc.invoke('StartSession', $1) ->> 'SessionId'}, $with_token),
	$athena->value(q{SELECT athena_calc.invoke('StartSession', $1) ->> 'SessionId'}, $with_token),
	'or keeps the one given');
is(sent('StartSession')->{ClientRequestToken}, $token, 'as it is');
$athena->value(q{SELECT athena_calc.invoke('GetSession', $1)}, encode_json({ SessionId => $session }));
is_deeply(sent('GetSession'), { SessionId => $session }, 'an operation that takes none gets none');
is($athena->query_error('SELECT athena_calc.invoke($1)', $_)->{sqlstate}, '22023', 'an operation has a name of letters')
  for '', 'Get Session', "GetSession\r\nHost: x", 'a' x 129;
is($athena->query_error(q{SELECT athena_calc.invoke('GetSession', '[]')})->{sqlstate}, '22023', 'a request is an object');
is($athena->query_error(q{SELECT athena_calc.invoke('DropEverything')})->{sqlstate},
	'SP000', 'an operation that Athena does not know');

# Many at once

is_deeply(
	[
		map { [ @$_{qw(calculation_execution_id state error_code)} ] } $athena->query(
			'SELECT * FROM athena_calc.batch_get_calculation_execution_status($1)', "{$second,$failed,$second,$endless}")
	],
	[
		[ $second,  'COMPLETED', undef ],
		[ $failed,  'FAILED',    undef ],
		[ $second,  'COMPLETED', undef ],
		[ $endless, 'CANCELED',  undef ]
	],
	'a row for each ID, in their order, repeats too');

my $unknown = '00000000-0000-4000-8000-000000000000';
my @rows = $athena->query('SELECT * FROM athena_calc.batch_get_calculation_execution($1)', "{$first,$unknown,\"\"}");
is($rows[0]{description}, 'first', 'what goes well is there');
for my $row (@rows[ 1, 2 ])
{
	is($row->{error_code}, 'InvalidRequestException', "what does not, says so: '$row->{calculation_execution_id}'");
	ok(length $row->{error_message}, 'with a message');
	is(scalar(grep { defined } values %$row), 3, 'and the rest is NULL');
}

is($athena->query('SELECT * FROM athena_calc.batch_get_calculation_execution($1)', '{}'), 0, 'no IDs, no rows');
for my $case ([ "{$first,NULL}", '22004' ], [ "{{$first},{$second}}", '2202E' ])
{
	my ($ids, $sqlstate) = @$case;

	for my $function ('batch_get_calculation_execution', 'batch_get_calculation_execution_status')
	{
		$error = $athena->query_error("SELECT * FROM athena_calc.$function(\$1)", $ids);
		is($error->{sqlstate}, $sqlstate, "$function('$ids')");
		like($error->{message}, qr/"calculation_execution_ids"/, 'names the argument');
	}
}

# The end

like($athena->value('SELECT athena_calc.terminate_session($1)', $session), qr/^TERMINAT(ING|ED)$/, 'terminate_session');
$status = $athena->wait_for_session($session, 'TERMINATED');
ok(defined $status->{end_date_time}, 'ends it');
is($athena->value('SELECT athena_calc.terminate_session($1)', $session), 'TERMINATED', 'once more changes nothing');
is($athena->query_error('SELECT * FROM athena_calc.start_calculation_execution($1, $2)', $session, '1')->{sqlstate},
	'SP005', 'it takes no calculation any more');
is($athena->value('SELECT count(*) FROM athena_calc.list_executors($1) WHERE termination_date_time IS NOT NULL', $session),
	250, 'its executors have ended');

# Every function of the interface has been there; what starts something does so once, also in (f()).*
$athena->clear_log;
$athena->query('SELECT (athena_calc.start_session()).*');
is($athena->requests('StartSession'), 1, '(start_session()).* starts one session');

done_testing();
