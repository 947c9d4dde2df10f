# Databases in other encodings, and servers with other settings: the wire is UTF-8 all the same, what comes back
# is the same characters, and what a database cannot hold is told and not mangled.

use strict;
use warnings;
use utf8;

use AthenaCalc::Test;
use Encode qw(encode);
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils;
use POSIX qw(LC_ALL localeconv setlocale);
use Test::More;

my $json   = JSON::PP->new;
my $athena = AthenaCalc::Test->new;

# What each database holds, and what it lacks.
my @databases = (
	[ 'utf8',      'UTF8',      q{größe, 漢字, 😀 and \\ "quoted"} ],
	[ 'latin1',    'LATIN1',    q{größe, ÿ, £ and \\ "quoted"}, '€' ],
	[ 'euc_jp',    'EUC_JP',    q{ひらがな, 漢字, ｶﾅ, ö and \\ "quoted"}, '😀' ],
	# It takes bytes for what they are, so it can hold anything.
	[ 'sql_ascii', 'SQL_ASCII', q{größe, 漢字, 😀 and \\ "quoted"} ]);
my %backend;

for my $database (@databases)
{
	my ($name, $encoding) = @$database;

	$athena->query("CREATE DATABASE $name ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	$backend{$name} = $athena->connect(dbname => $name);
	$backend{$name}->query('CREATE EXTENSION athena_calc');
}

sub clear
{
	$athena->clear_faults;
	$athena->clear_log;
	return;
}

# What the last request of an operation said.
sub sent
{
	my ($operation) = @_;

	return ($athena->requests($operation))[-1]{members};
}

# An answer of a service is UTF-8, with or without escapes; both say the same.
my %form = (raw => JSON::PP->new->utf8, escaped => JSON::PP->new->ascii);

sub answer
{
	my ($operation, $value, $form, %more) = @_;

	$athena->fault(operation => $operation, body_base64 => encode_base64($form{ $form || 'raw' }->encode($value), ''), %more);
	return;
}

# A name is the same in all of them: of two that look for a session of that name at once, only one starts it.
$athena->fault(operation => 'ListSessions', delay => 0.5, times => 2);
$backend{$_}->send(q{SELECT athena_calc.acquire_session($1)}, 'größe') for qw(utf8 latin1);
my @ids = map { $backend{$_}->finish->{rows}[0][0] } qw(utf8 latin1);
is($ids[0], $ids[1], 'a session of a name is one for all encodings');
is(scalar($athena->requests('StartSession')), 1, 'and started once');

# 1. What a database has goes out and comes back

for my $database (@databases)
{
	my ($name, $encoding, $text) = @$database;
	my $db = $backend{$name};
	my $properties = $json->encode({ 'spark.app.name' => $text });

	clear();
	my $session = $db->value(q{
		SELECT session_id FROM athena_calc.start_session(description => $1, spark_properties => $2, tags => $3)},
		$text, $properties, $json->encode({ $text => $text }));
	my $request = sent('StartSession');
	is($request->{Description}, $text, "$encoding: a description goes out as UTF-8");
	is($request->{EngineConfiguration}{SparkProperties}{'spark.app.name'}, $text, 'so does jsonb');
	is_deeply($request->{Tags}, [ { Key => $text, Value => $text } ], 'and tags, keys too');

	$athena->wait_for_session($session, 'IDLE');
	my $row = $db->row('SELECT * FROM athena_calc.get_session($1)', $session);
	is($row->{description}, $text, 'the description comes back');
	is($json->decode($row->{spark_properties})->{'spark.app.name'}, $text, 'and the jsonb');
	is($db->value('SELECT octet_length(description) FROM athena_calc.get_session($1)', $session),
		length encode({ UTF8 => 'UTF-8', LATIN1 => 'latin1', EUC_JP => 'euc-jp', SQL_ASCII => 'UTF-8' }->{$encoding}, $text),
		'in the encoding of the database');

	my $code = 'print(' . $json->encode($text) . ')';
	my $id = $db->value('SELECT calculation_execution_id FROM athena_calc.start_calculation_execution($1, $2, $3)',
		$session, $code, $text);
	is(sent('StartCalculationExecution')->{CodeBlock}, $code, 'code goes out');
	is($athena->wait_for($id)->{state}, 'COMPLETED', 'and runs');
	is($db->value('SELECT athena_calc.get_calculation_execution_code($1)', $id), $code, 'the code comes back');
	is($db->value('SELECT athena_calc.calculation_stdout($1)', $id), "$text\n", 'so does what it prints');
	is_deeply([ $db->notices ], [], 'without a notice');
	is($db->value('SELECT description FROM athena_calc.list_calculation_executions($1)', $session), $text, 'a list has it');
	is($db->value('SELECT description FROM athena_calc.batch_get_calculation_execution(ARRAY[$1])', $id), $text, 'and a batch');

	my $invoked = $db->value(q{SELECT athena_calc.invoke('GetSession', jsonb_build_object('SessionId', $1::text))}, $session);
	is($json->decode($invoked)->{Description}, $text, 'and invoke');
	clear();
	$db->error(q{SELECT athena_calc.invoke('GetSession', $1)}, $json->encode({ SessionId => $text }));
	is(sent('GetSession')->{SessionId}, $text, 'which sends it, too');

	for my $form (sort keys %form)
	{
		answer('GetSession', { Description => $text, EngineConfiguration => { SparkProperties => { $text => $text } } }, $form);
		$row = $db->row(q{SELECT * FROM athena_calc.get_session('x')});
		is($row->{description}, $text, "an answer that is $form: text");
		is_deeply($json->decode($row->{spark_properties} // 'null'), { $text => $text }, 'jsonb');
		answer('GetSession', { $text => $text }, $form);
		is_deeply($json->decode($db->value(q{SELECT athena_calc.invoke('GetSession', '{"SessionId": "x"}')})),
			{ $text => $text }, 'invoke');
	}

	# Errors tell what Athena said. Our own words must be ASCII: they are in no encoding of any database.
	clear();
	$athena->fault(operation => 'GetSession', error => 'InvalidRequestException', message => "It is $text.");
	my $error = $db->error(q{SELECT athena_calc.get_session('x')});
	is("$error->{sqlstate} $error->{message}", "22023 Athena GetSession failed: It is $text.", 'errors say what Athena said');
	$athena->fault(operation => 'StartCalculationExecution', error => 'InvalidRequestException',
		message => 'Session is in the TERMINATED state; needs to be IDLE to accept Calculations.');
	$error = $db->error(q{SELECT athena_calc.start_calculation_execution($1, '1')}, 'x');
	is($error->{sqlstate}, 'SP005', 'an error with a hint') || diag($error->{message});
	like($error->{hint}, qr/^Start another session: [\x20-\x7E]+$/, 'which is ASCII');

	# A NextToken is nobody's text: it goes back as it came, also where the database could not hold it.
	clear();
	answer('ListSessions', { Sessions => [], NextToken => 'größe 漢字 😀' });
	answer('ListSessions', { Sessions => [] });
	$db->query('SELECT athena_calc.list_sessions()');
	is(sent('ListSessions')->{NextToken}, 'größe 漢字 😀', 'a NextToken goes back as it came');

	$athena->query('SELECT athena_calc.terminate_session($1)', $session);
}

# 2. What a database lacks

my $session = $athena->start_session(description => 'plain');
for my $database (grep { defined $_->[3] } @databases)
{
	my ($name, $encoding, undef, $lacking) = @$database;
	my $db    = $backend{$name};
	my $words = "with a character that the encoding $encoding lacks";
	my $text  = "5 $lacking";

	# Somebody with another database described and ran these.
	clear();
	my $fits = $athena->run($session, 'print(1)');
	my $id = $athena->value('SELECT calculation_execution_id FROM athena_calc.start_calculation_execution($1, $2, $3)',
		$session, "print('$text')", $text);
	$athena->wait_for($id);
	$athena->wait_for_session($session, 'IDLE');

	for my $case (
		[ 'GetCalculationExecution', 'Description', 'SELECT athena_calc.get_calculation_execution($1)', $id ],
		[ 'GetCalculationExecutionCode', 'CodeBlock', 'SELECT athena_calc.get_calculation_execution_code($1)', $id ],
		[ 'ListCalculationExecutions', 'Description', 'SELECT athena_calc.list_calculation_executions($1)', $session ])
	{
		my ($operation, $member, $sql, $argument) = @$case;
		my $error = $db->error($sql, $argument);

		is($error->{sqlstate}, '22P05', "$encoding: a character that it lacks, $operation");
		is($error->{message}, "Athena $operation failed: the answer has a $member $words", 'the message names the member');
	}
	is($db->value('SELECT state FROM athena_calc.get_calculation_execution_status($1)', $id), 'COMPLETED',
		'what does not have it can be read');

	my @rows = $db->query('SELECT * FROM athena_calc.batch_get_calculation_execution($1)', "{$fits,$id,$fits}");
	is_deeply([ map { $_->{calculation_execution_id} } @rows ], [ $fits, $id, $fits ], 'a batch has all IDs');
	is_deeply([ map { $_->{state} } @rows ], [ 'COMPLETED', undef, 'COMPLETED' ], 'the others are fine');
	is_deeply([ map { $_->{error_code} } @rows ], [ undef, 'InvalidResponse', undef ], 'it stands in the row of its ID');
	like($rows[1]{error_message}, qr/^the answer has a Description \Q$words\E$/, 'with the member');
	is(scalar(grep { defined } values %{ $rows[1] }), 3, 'and nothing else');

	# What Athena says of a failure is for people, and hides nothing.
	$athena->fault(operation => 'GetCalculationExecutionStatus', body_base64 => encode_base64($form{raw}->encode(
		{ Status => { State => 'FAILED', StateChangeReason => "It costs $text." } }), ''));
	is_deeply([ @{ $db->row('SELECT * FROM athena_calc.get_calculation_execution_status($1)', $id) }{qw(state state_change_reason)} ],
		[ 'FAILED', 'It costs 5 ?.' ], 'in a reason it is replaced');
	# Nor do others' names hide a session's.
	my $theirs = $athena->start_session(description => $text);
	my $ours   = $db->value(q{SELECT athena_calc.acquire_session('plain ' || $1)}, $name);
	is($db->value(q{SELECT athena_calc.acquire_session('plain ' || $1)}, $name), $ours, 'a session is found by its name beside one whose name it cannot hold');
	is($db->error('SELECT athena_calc.list_sessions()')->{sqlstate}, '22P05', 'a list of all tells of that');
	isnt($db->value(q{SELECT athena_calc.acquire_session('5 ?')}), $theirs, 'which is none of a name that looks like it');
	$athena->query("SELECT athena_calc.terminate_session('$_')") for $theirs, $ours;

	is($db->value('SELECT athena_calc.calculation_stdout($1)', $id), "5 ?\n", 'in what was printed it is replaced');
	is_deeply([ $db->notices ], ["1 character of the output does not fit the encoding $encoding and was replaced"],
		'with a notice');

	for my $form (sort keys %form)
	{
		my $member = 'EngineConfiguration.SparkProperties';

		answer('GetSession', { EngineConfiguration => { SparkProperties => { a => $text } } }, $form);
		my $error = $db->error(q{SELECT athena_calc.get_session('x')});
		is("$error->{sqlstate} $error->{message}", "22P05 Athena GetSession failed: the answer has a $member $words", "jsonb, $form");
		answer('GetSession', { $text => 1 }, $form);
		$error = $db->error(q{SELECT athena_calc.invoke('GetSession', '{"SessionId": "x"}')});
		is("$error->{sqlstate} $error->{message}", "22P05 Athena GetSession failed: the answer has a member $words", "invoke, $form");

		# An error is never lost for its words.
		answer('GetSession', { __type => 'InvalidRequestException', Message => "It costs $text.", AthenaErrorCode => $text },
			$form, status => 400);
		$error = $db->error(q{SELECT athena_calc.get_session('x')});
		is("$error->{sqlstate} $error->{message}", '22023 Athena GetSession failed: It costs 5 ?.', "a message, $form");
		is(detail_value($error, 'athena_error_code'), '5 ?', 'and its code');
	}
}

# 3. Bytes that are no text, which only SQL_ASCII has

my $ascii = $backend{sql_ascii};
my $bytes = q{convert_from('\x612d' || $1::bytea, 'SQL_ASCII')};
clear();
# Half a character; Latin 1; a NUL written long; a surrogate.
for my $broken ('\xe2', '\xe9', '\xc080', '\xeda080')
{
	for my $call (
		"athena_calc.start_session(description => $bytes)",
		"athena_calc.start_calculation_execution('x', $bytes)",
		"athena_calc.get_session($bytes)",
		"athena_calc.list_sessions($bytes)",
		"athena_calc.batch_get_calculation_execution(ARRAY['x', $bytes])",
		qq{athena_calc.start_session(tags => ('{"a":"' || $bytes || '"}')::jsonb)},
		qq{athena_calc.invoke('GetSession', ('{"SessionId":"' || $bytes || '"}')::jsonb)})
	{
		my $error = $ascii->error("SELECT $call", $broken);

		is($error->{sqlstate}, '22021', "$broken in " . ($call =~ /(\w+)\(/)[0]) || diag($error->{message});
	}
}
is(scalar($athena->requests), 0, 'nothing was sent');
is($ascii->value("SELECT state FROM athena_calc.get_session_status('$session')"), 'IDLE', 'and the backend goes on');

$athena->emulator->put_object('athena-emulator/bytes', "a\xffb\0c\xc3\xa9");
$athena->fault(operation => 'GetCalculationExecution', times => undef,
	body => $json->encode({ Result => { StdOutS3Uri => 's3://athena-emulator/bytes' } }));
is($ascii->value(q{SELECT athena_calc.calculation_stdout('x')}), 'a?b?cé', 'printed bytes that are no text are replaced there');
is_deeply([ $ascii->notices ], ['2 characters of the output do not fit the encoding SQL_ASCII and were replaced'], 'with a notice');

# Much of it: the time that takes is that of so many bytes. What is looked at again for each of them takes a minute and more.
my %much = (
	'bytes that are no text'  => [ 'utf8',   "caf\xe9 " x 400_000 ],
	'characters it lacks'     => [ 'latin1', encode('UTF-8', '漢字') x 400_000 ],
	'some of them'            => [ 'latin1', encode('UTF-8', 'a漢') x 400_000 ]);
for my $what (sort keys %much)
{
	my ($name, $output) = @{ $much{$what} };
	my $db = $backend{$name};

	$athena->emulator->put_object('athena-emulator/bytes', $output);
	$db->query('SET statement_timeout = ' . patient(15_000));
	is($db->value(q{SELECT length(athena_calc.calculation_stdout('x'))}), $name eq 'utf8' ? 2_000_000 : 800_000, "$what, two MB of them");
	is(scalar(my @told = $db->notices), 1, 'a notice');
	$db->query('RESET statement_timeout');
}
clear();

# 4. Settings that change how values are written and read

# All that a user does, with one backend; what was sent, and what came of it in a form that no setting changes.
sub work
{
	my ($db, $work_session) = @_;
	my $text = q{it's \\n "quoted" $1 %s ö};
	my $properties = $json->canonical->encode({ 'spark.a' => '1.5', 'spark.b' => $text });
	my @values;

	clear();
	# Written by hand: Perl's own numbers have fewer digits.
	my $quoted = $json->encode($text);
	$athena->fault(operation => 'GetSession', body_base64 => encode_base64(encode('UTF-8', <<"END"), ''));
{"SessionId": "x", "Description": $quoted, "EngineConfiguration": {"MaxConcurrentDpus": 20, "SparkProperties": {"a": $quoted}},
 "Status": {"StartDateTime": 1700000000.123456}, "Statistics": {"DpuExecutionInMillis": 9007199254740993}}
END
	push @values, $db->value(q{
		SELECT jsonb_build_array(description, max_concurrent_dpus, spark_properties, extract(epoch FROM start_date_time),
			dpu_execution_in_millis)
		FROM athena_calc.get_session('x')});
	answer('ListExecutors', { ExecutorsSummary => [ { ExecutorId => 'e', StartDateTime => 1700000000123 } ] });
	push @values, $db->value(q{SELECT extract(epoch FROM start_date_time) = 1700000000.123 FROM athena_calc.list_executors('x')});
	answer('GetSession', { A => [ 1.5, 1e3, 9007199254740993, $text ] });
	push @values, $db->value(q{SELECT athena_calc.invoke('GetSession', '{"SessionId": "x", "N": 1.5}')});
	push @values, $db->value(q{SELECT state FROM athena_calc.start_session('spark', $1, 20, spark_properties => $2, tags => $3,
			session_idle_timeout_in_minutes => 5)}, $text, $properties, $json->canonical->encode({ "k$text" => $text }));
	my $id = $db->value('SELECT calculation_execution_id FROM athena_calc.start_calculation_execution($1, $2, $3)',
		$work_session, 'print(1 / 4, "a\\\\b")', $text);
	$athena->wait_for($id);
	push @values, $db->value('SELECT athena_calc.calculation_stdout($1)', $id);
	push @values, $db->value('SELECT athena_calc.get_calculation_execution_code($1)', $id);
	push @values, $db->value(q{
		SELECT submission_date_time BETWEEN now() - interval '00:05:00' AND now() + interval '00:05:00'
		FROM athena_calc.get_calculation_execution($1)}, $id);
	my @sent;
	for my $request (grep { ($_->{service} // '') ne 's3' } $athena->requests)
	{
		my $members = $request->{members} or next;
		next if $request->{operation} =~ /Status$/;
		delete @{$members}{qw(ClientRequestToken CalculationExecutionId)};
		push @sent, [ $request->{operation}, $members ];
	}
	$athena->wait_for_session($work_session, 'IDLE');
	return { values => \@values, sent => \@sent };
}

my $usual = work($athena->connect, $session);
is($usual->{values}[0],
	q{["it's \\\\n \"quoted\" $1 %s ö", 20, {"a": "it's \\\\n \"quoted\" $1 %s ö"}, 1700000000.123456, 9007199254740993]},
	'values with the settings that are usual');
is($usual->{values}[4], "0.25 a\\b\n", 'and what is printed');
cmp_ok(scalar @{ $usual->{sent} }, '>=', 6, 'requests were seen');

for my $change (
	[ standard_conforming_strings => 'off' ],
	[ bytea_output                => 'escape' ],
	[ DateStyle                   => 'SQL, DMY' ],
	[ DateStyle                   => 'German' ],
	[ IntervalStyle               => 'sql_standard' ],
	[ TimeZone                    => 'Asia/Kathmandu' ],
	[ extra_float_digits          => '-15' ],
	[ array_nulls                 => 'off' ],
	[ quote_all_identifiers       => 'on' ],
	[ xmloption                   => 'document' ],
	[ search_path                 => '' ])
{
	my ($name, $value) = @$change;
	my $db = $athena->connect($name => $value);

	is_deeply(work($db, $session), $usual, "the same with $name = '$value'");
	$db->close;
}

# The extension's own script reads the same where backslashes are escapes.
my $definitions = q{
	SELECT string_agg(concat(pg_get_functiondef(oid), obj_description(oid, 'pg_proc')), '' ORDER BY oid::regprocedure::text)
	FROM pg_proc WHERE pronamespace = 'athena_calc'::regnamespace AND prokind IN ('f', 'p')};
$athena->query('CREATE DATABASE escapes');
$athena->query('ALTER DATABASE escapes SET standard_conforming_strings = off');
my $escapes = $athena->connect(dbname => 'escapes');
$escapes->query('SET escape_string_warning = on');
$escapes->query('CREATE EXTENSION athena_calc');
is_deeply([ $escapes->notices ], [], 'CREATE EXTENSION with standard_conforming_strings off: no warning');
$escapes->query('SET standard_conforming_strings = on');
is($escapes->value($definitions), $athena->value($definitions), 'and the same functions');

# 5. A locale with a decimal comma. Turkish has one, and lower-cases I in its own way: header and member names must not care.

my @locales = split /\n/, `locale -a`;
my %found;
for my $locale (grep { /utf-?8$/i } @locales)
{
	next unless setlocale(LC_ALL, $locale);
	my $point = localeconv()->{decimal_point} // '.';

	$found{ $locale =~ /^tr_/ ? 'Turkish' : 'other' } //= $locale if $point ne '.';
}
setlocale(LC_ALL, 'C');
for my $kind (qw(other Turkish))
{
  SKIP:
	{
		my $locale = $found{$kind};
		my $name   = lc "locale_$kind";

		skip($kind eq 'Turkish' ? 'this machine has no Turkish locale' : 'this machine has no locale with a decimal comma', 3)
		  unless defined $locale;
		$athena->query("CREATE DATABASE $name ENCODING 'UTF8' LOCALE '$locale' TEMPLATE template0");
		$athena->query("ALTER DATABASE $name SET $_ = '$locale'") for qw(lc_numeric lc_messages lc_monetary lc_time);
		my $db = $athena->connect(dbname => $name);
		$db->query('CREATE EXTENSION athena_calc');
		like($db->value(q{SELECT to_char(1.5, '0D0')}), qr/1,5/, "in $locale a number has a comma");
		$db->query(q{SET athena_calc.request_timeout = '29.5s'});
		is_deeply(work($db, $session), $usual, 'the requests and values are the same');
		$athena->fault(operation => 'GetSession', error => 'InvalidRequestException', message => 'INVALID IT IS.');
		my $error = $db->error(q{SELECT athena_calc.get_session('x')});
		is("$error->{sqlstate} $error->{message}", '22023 Athena GetSession failed: INVALID IT IS.', 'and the errors');
	}
}

done_testing();
