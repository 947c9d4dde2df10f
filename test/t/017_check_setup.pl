# check_setup: each wrong set-up is named by the row where it is wrong, and by no other.

use strict;
use warnings;
use utf8;

use AthenaCalc::Connection;
use AthenaCalc::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# All rows, in their order.
my @rows = ('library', 'preload', 'configuration', 'credentials', 'region', 'endpoint', 'connection', 'clock', 'signature',
	'work group', 'engine', 'execution role', 'result location');

# What cannot be known when something before it is wrong.
my @of_work_group = @rows[ 10 .. 12 ];
my @of_answer     = @rows[ 7 .. 12 ];
my @of_request    = @rows[ 6 .. 12 ];

my $secret = AthenaCalc::Test::SECRET_KEY;
my $key    = AthenaCalc::Test::ACCESS_KEY;
my $token  = 'a-token-that-nobody-may-see';
my (@all, $error);

# Compares what is wrong ({row => what its detail says}) and what is not known ([rows]) in what check_setup says.
sub setup_is
{
	my ($db, $name, $wrong, $unknown, %options) = @_;
	my $argument = defined $options{work_group} ? "'$options{work_group}'" : '';
	my @got      = $db->query("SELECT * FROM athena_calc.check_setup($argument)");
	my %detail   = map { $_->{check} => $_->{detail} } @got;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	push @all, map { $_->{detail} // '' } @got;
	is_deeply([ map { $_->{check} } @got ], \@rows, "$name: a row for each check");
	is_deeply([ map { $_->{check} } grep { ($_->{ok} // '') eq 'f' } @got ],
		[ grep { $wrong->{$_} } @rows ], 'what is wrong');
	is_deeply([ map { $_->{check} } grep { !defined $_->{ok} } @got ], $unknown, 'what is not known');
	like($detail{$_}, $wrong->{$_}, "what $_ says") for sort keys %$wrong;
	like($detail{$_}, qr/^not (checked|known): ./, "$_ says why it is not known") for @$unknown;
	return \%detail;
}

my $athena = AthenaCalc::Test->new(
	conf     => "wal_level = replica\nmax_wal_senders = 5\n",
	emulator => [ '--credentials', "$key:$secret", '--credentials', "AKIDTEMPORARY:$secret:$token" ]);

# Settings for one look, in a fresh backend: it has learned nothing of clocks.
sub with
{
	my (%settings) = @_;
	my $db = $athena->connect;

	$db->query("SET athena_calc.$_ = '$settings{$_}'") for sort keys %settings;
	return $db;
}

sub is_wrong
{
	my ($name, $settings, $wrong, $unknown, %options) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return setup_is(with(%$settings), $name, $wrong, $unknown, %options);
}

# A right one

my $detail = is_wrong('all is right', {}, {}, []);
like($detail->{library}, qr/^athena_calc \d+\.\d+.*curl/i, 'the versions');
like($detail->{credentials}, qr/^settings; access key .*MPLE; it does not expire$/, 'where credentials come from');
is($detail->{region}, 'us-east-1, from athena_calc.region', 'where the region comes from');
is($detail->{endpoint}, $athena->setting('endpoint_url'), 'the endpoint');
is($detail->{'work group'}, 'spark', 'the work group');
is($detail->{engine}, 'PySpark engine version 3', 'its engine');
like($detail->{'execution role'}, qr/^arn:aws:iam::/, 'its role');
like($detail->{'result location'}, qr{^s3://}, 'where its results go');
like($detail->{clock}, qr/^(as AWS's|1 s (behind|ahead of) AWS's)$/, 'the clock');
is(is_wrong('a work group that is named', {}, {}, [], work_group => 'primary')->{'work group'}, 'primary', 'is looked at');
$athena->clear_log;
is_wrong('one more look', {}, {}, []);
is($athena->requests, 1, 'costs one request');

# Credentials

is_wrong('no credentials', { access_key_id => '', secret_access_key => '' },
	{ credentials => qr/^no AWS credentials were found.*athena_calc\.access_key_id/ }, \@of_request);
is_wrong('no secret', { secret_access_key => '' },
	{ credentials => qr/"athena_calc\.secret_access_key" is not set/ }, \@of_request);
is_wrong('no key ID', { access_key_id => '' },
	{ credentials => qr/"athena_calc\.access_key_id" is not set/ }, \@of_request);
is_wrong('another secret', { secret_access_key => 'another/secret' },
	{ signature => qr/signature.*Check the secret access key/s }, [ @rows[ 9 .. 12 ] ]);
is_wrong('an unknown key', { access_key_id => 'AKIDUNKNOWN' },
	{ signature => qr/AWS does not know the access key/ }, [ @rows[ 9 .. 12 ] ]);
is_wrong('a key without its token', { access_key_id => 'AKIDTEMPORARY' },
	{ signature => qr/AWS does not know the access key or the session token/ }, [ @rows[ 9 .. 12 ] ]);
my %temporary = (access_key_id => 'AKIDTEMPORARY', session_token => $token);
is_wrong('a key with its token', \%temporary, {}, []);
is_wrong('and another secret', { %temporary, secret_access_key => 'another/secret' },
	{ signature => qr/signature/ }, [ @rows[ 9 .. 12 ] ]);
$athena->emulator_settings(expired_access_keys => ['AKIDTEMPORARY']);
is_wrong('a token that has expired', \%temporary, { signature => qr/expired/ }, [ @rows[ 9 .. 12 ] ]);
$athena->emulator_settings(expired_access_keys => []);
is_wrong('a source that has none', { credential_provider => 'environment' },
	{ credentials => qr/environment has no AWS_ACCESS_KEY_ID/ }, \@of_request);
is_wrong('a profile that is not there', { credential_provider => 'profile', profile => 'nobody' },
	{ credentials => qr/nobody/ }, \@of_request);
is_wrong('a role that STS does not give', { role_arn => 'arn:aws:iam::123456789012:role/none',
		sts_endpoint_url => $athena->emulator->url },
	{ credentials => qr/^STS AssumeRole failed/ }, \@of_request);

# Region and endpoint

is_wrong('no region', { region => '' }, { region => qr/SET athena_calc\.region/ }, [ @rows[ 5 .. 12 ] ]);
is_wrong('another region', { region => 'eu-west-1' }, { signature => qr/Check .*the region/ }, [ @rows[ 9 .. 12 ] ]);
is_wrong('FIPS with an endpoint of its own', { use_fips_endpoint => 'true' }, { endpoint => qr/FIPS/ }, \@of_request);
my $port = PostgreSQL::Test::Cluster::get_free_port();
is_wrong('nobody listens', { endpoint_url => "http://127.0.0.1:$port", max_attempts => 1 },
	{ connection => qr/Check the endpoint/ }, \@of_answer);
is_wrong('a name that is none', { endpoint_url => 'http://nowhere.invalid', max_attempts => 1 },
	{ connection => qr/Check the endpoint/ }, \@of_answer);
$athena->fault(operation => '*', hang => \1);
is_wrong('nobody answers', { request_timeout => patient(100) . 'ms', max_attempts => 1 },
	{ connection => qr/request_timeout/ }, \@of_answer);
for my $answer (
	{ status => 200, headers => { 'Content-Type' => 'text/html' }, body => '<html>Welcome</html>' },
	{ status => 404, headers => { 'Content-Type' => 'text/html' }, body => '<html>Not found</html>' },
	{ status => 302, headers => { Location => '/login' } })
{
	$athena->fault(operation => '*', %$answer);
	is_wrong("somebody else answers ($answer->{status})", {},
		{ connection => qr/does not speak as Athena does/ }, [ @rows[ 8 .. 12 ] ]);
}

# The clock

$athena->emulator_settings(clock_offset_seconds => 600);
like(is_wrong('ten minutes behind', {}, { clock => qr/^(599|600|601) s behind AWS's: mend this machine's clock/ }, [])->{signature},
	qr/knows the credentials/, 'calls work all the same');
$athena->emulator_settings(clock_offset_seconds => -600);
is_wrong('ten minutes ahead', {}, { clock => qr/^(599|600|601) s ahead of AWS's: mend/ }, []);
$athena->emulator_settings(clock_offset_seconds => 60);
like(is_wrong('one minute', {}, {}, [])->{clock}, qr/^(59|60|61) s behind AWS's$/, 'is told, and nothing is wrong with it');
$athena->emulator_settings(clock_offset_seconds => 0);

# The work group

is_wrong('no work group', { work_group => '' }, { 'work group' => qr/athena_calc\.work_group/ }, \@of_work_group);
is_wrong('an unknown one', { work_group => 'nowhere' }, { 'work group' => qr/^nowhere: / }, \@of_work_group);
is_wrong('an unknown one that is named', {}, { 'work group' => qr/^nowhere: / }, \@of_work_group, work_group => 'nowhere');

$athena->emulator->work_group('sql', engine_version => 'Athena engine version 3',
	execution_role => 'arn:aws:iam::123456789012:role/etl');
is_wrong('one for SQL', {}, { engine => qr/^Athena engine version 3 is not Spark's/ }, [], work_group => 'sql');
$athena->emulator->work_group('connect', engine_version => 'Apache Spark version 3.5');
is_wrong('one for Spark Connect', {}, { engine => qr/^Apache Spark version 3\.5 has sessions, but no calculations/ }, [],
	work_group => 'connect');
$athena->emulator->work_group('disabled', state => 'DISABLED');
is_wrong('one that is disabled', {}, { 'work group' => qr/^disabled is DISABLED$/ }, [], work_group => 'disabled');
$athena->emulator->work_group('bare', execution_role => undef);
is_wrong('one without a role', {}, { 'execution role' => qr/has none/ }, [], work_group => 'bare');
$athena->emulator->work_group('bare', output_location => undef);
is_wrong('nor a place for results', {}, { 'execution role' => qr/has none/, 'result location' => qr/has none/ }, [],
	work_group => 'bare');
$athena->emulator->work_group('bare', state => 'DISABLED', engine_version => 'Athena engine version 3');
is_wrong('everything at once', {},
	{ 'work group' => qr/DISABLED/, engine => qr/Spark/, 'execution role' => qr/none/, 'result location' => qr/none/ }, [],
	work_group => 'bare');

$athena->fault(operation => 'GetWorkGroup', error => 'AccessDeniedException',
	message => 'User: arn:aws:iam::123456789012:user/etl is not authorized');
$detail = is_wrong('a key that may not look at it', {}, {}, [ @rows[ 9 .. 12 ] ]);
like($detail->{'work group'}, qr/athena:GetWorkGroup: .*user\/etl is not authorized/, 'the right that lacks is named');
like($detail->{signature}, qr/knows the credentials/, 'the credentials are known');
$athena->fault(operation => 'GetWorkGroup', body => '{}');
is_wrong('an answer without one', {}, {}, [ @rows[ 9 .. 12 ] ]);

# A service that fails has looked at no signature.
for my $failure ([ 'InternalServerException', 500 ], [ 'ThrottlingException', 400 ])
{
	my ($exception, $status) = @$failure;

	$athena->fault(operation => 'GetWorkGroup', error => $exception, status => $status, message => 'Not now.');
	my %row = map { $_->{check} => $_ } with(max_attempts => 1)->query('SELECT * FROM athena_calc.check_setup()');
	is($row{'work group'}{ok}, undef, "$exception: the work group is not known");
	is($row{signature}{ok}, undef, 'nor whether the signature is right');
}

# The configuration

my %row = map { $_->{check} => $_ } with(server => 'nowhere')->query('SELECT * FROM athena_calc.check_setup()');
is($row{'work group'}{ok}, undef, 'with no configuration nobody knows which work group it is');
is_wrong('a server that is not there', { server => 'nowhere' },
	{ configuration => qr/server "nowhere" of athena_calc\.server does not exist/ }, [ @rows[ 3 .. 12 ] ],
	work_group => 'spark');
$athena->query(q{CREATE SERVER "an account" FOREIGN DATA WRAPPER athena_calc OPTIONS (region 'us-east-1', work_group 'primary')});
$detail = is_wrong('a server', { server => 'an account' }, {}, []);
is($detail->{configuration}, 'server "an account" of athena_calc.server, with no user mapping', 'is named');
is($detail->{region}, 'us-east-1, from server "an account"', 'with what comes from it');
is($detail->{'work group'}, 'primary', 'its work group');
$athena->query(qq{CREATE USER MAPPING FOR PUBLIC SERVER "an account" OPTIONS (access_key_id 'AKIDTEMPORARY',
	secret_access_key '$secret', session_token '$token')});
$detail = is_wrong('with a mapping', { server => 'an account' }, {}, []);
like($detail->{credentials}, qr/^user mapping; access key .*RARY; /, 'and its keys');

# Who may ask

$athena->query('CREATE ROLE asker LOGIN; GRANT USAGE ON SCHEMA athena_calc TO asker');
my $asker = $athena->connect(user => 'asker');
is($asker->error('SELECT * FROM athena_calc.check_setup()')->{sqlstate}, '42501', 'not everybody may ask');
$athena->query('GRANT EXECUTE ON FUNCTION athena_calc.check_setup TO asker');
setup_is($asker, 'a role that may', {}, []);
$asker->query(q{SET athena_calc.server = 'an account'});
setup_is($asker, 'a server that it may not use', { configuration => qr/^permission denied for foreign server an account/ },
	[ @rows[ 3 .. 12 ] ], work_group => 'spark');

# It never raises
#
# Neither does it leave anything behind: what a check throws is its own.

my $db = with(secret_access_key => '', region => '');
$db->query('BEGIN READ ONLY');
setup_is($db, 'in a read-only transaction', { credentials => qr/not set/, region => qr/not set/ }, [ @rows[ 5 .. 12 ] ]);
is($db->value('SELECT 1'), 1, 'which goes on');
$db->query('COMMIT');
$db->query('BEGIN ISOLATION LEVEL SERIALIZABLE');
$db->query('CREATE TEMP TABLE kept AS SELECT * FROM athena_calc.check_setup()');
$db->query('SAVEPOINT s; SELECT * FROM athena_calc.check_setup(); ROLLBACK TO s; COMMIT');
is($db->value('SELECT count(*) FROM kept'), scalar @rows, 'in one that writes, with savepoints');
is($db->value(q{SELECT count(*) FROM athena_calc.check_setup(repeat('x', 100000))}), scalar @rows, 'with a name beyond measure');
is($db->value(q[SELECT count(*) FROM athena_calc.check_setup(E'"}\n')]), scalar @rows, 'with quotes in it');
is($db->value(q{SELECT count(*) FROM athena_calc.check_setup('')}), scalar @rows, 'with an empty one');
is_wrong('a work group with quotes', {}, { 'work group' => qr/^a"b: / }, \@of_work_group, work_group => 'a"b');

# In a loop, a backend does not grow: what the checks throw is not kept.
$db->query("SELECT count(*) FROM generate_series(1, 200), LATERAL (SELECT * FROM athena_calc.check_setup()) s");
my $memory = $db->memory_kb;
$db->query("SELECT count(*) FROM generate_series(1, 500), LATERAL (SELECT generate_series, s FROM athena_calc.check_setup() s) t")
  for 1 .. 3;
cmp_ok($db->memory_kb - $memory, '<', patient(2048), 'many looks take no memory');

# Its texts are fit for every encoding that a database may have.
for my $encoding ('LATIN1', 'EUC_JP')
{
	my $name = lc $encoding;

	$athena->query("CREATE DATABASE $name ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	my $other = $athena->connect(dbname => $name);
	$other->query('CREATE EXTENSION athena_calc');
	my $rows = eval { join "\n", map { $_->{detail} } $other->query('SELECT * FROM athena_calc.check_setup()') };
	like($rows // $@, qr/access key [ -~]*MPLE;/, "check_setup in $encoding");
	$error = $other->error(q{SET athena_calc.server = 'nowhere'; SELECT athena_calc.get_session('x')});
	like("$error->{sqlstate} " . ($error->{hint} // ''), qr/^42704 CREATE SERVER [ -~]*$/, 'and a hint');
}

# Canceling, which ends the whole statement, and no more than that

$athena->fault(operation => '*', times => undef, hang => \1);
# The request is to be there by then: where a time-out is too short for that, the next one counts.
for my $case ([ 'a cancel', 0 ], [ 'statement_timeout', patient(200), patient(2000), patient(10_000) ])
{
	my ($name, @timeouts) = @$case;
	my $began;

	for my $timeout (@timeouts)
	{
		$athena->clear_log;
		$db = with();
		$db->query("SET statement_timeout = $timeout");
		$began = time + $timeout / 1000;
		$db->send('SELECT * FROM athena_calc.check_setup()');
		if ($name eq 'a cancel')
		{
			$athena->wait_for_requests('GetWorkGroup');
			$began = time;
			$db->cancel;
		}
		$error = $db->finish->{error};
		last if $athena->requests('GetWorkGroup');
	}
	cmp_ok(scalar($athena->requests('GetWorkGroup')), '>', 0, "$name: the request is there");
	is($error->{sqlstate}, '57014', "$name while nobody answers");
	like($error->{message}, qr/^canceling statement due to/, "is PostgreSQL's own");
	cmp_ok(time - $began, '<', patient(2), 'takes effect at once');
	is($db->error('SELECT 1')->{sqlstate}, '00000', 'the session goes on');
}
$athena->clear_faults;

# On a standby

$athena->node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($athena->node, 'base', has_streaming => 1);
$standby->start;
my $there = AthenaCalc::Connection->new($standby);
setup_is($there, 'on a standby', {}, []);
$there->query(q{SET athena_calc.secret_access_key = ''});
setup_is($there, 'on a standby, with half a pair', { credentials => qr/not set/ }, \@of_request);
$standby->stop;
$athena->node->stop;

# A secret that others can read

my $late = AthenaCalc::Test->new(name => 'late', preload => 0, emulator => [ '--credentials', "$key:$secret" ]);
setup_is($late->connect, 'a secret in the file of a server that does not preload',
	{ preload => qr/"athena_calc\.secret_access_key" cannot be used.*shared_preload_libraries/,
	  credentials => qr/cannot be used from the configuration file/ }, \@of_request);
is($late->requests, 0, 'nothing was sent');
$db = $late->connect;
$db->query("SET athena_calc.secret_access_key = '$secret'");
like(setup_is($db, 'a secret of the session', {}, [])->{preload}, qr/is not in shared_preload_libraries/, 'needs no preload');
$late->node->stop;

# Another authority

my $secure = AthenaCalc::Test->new(name => 'secure', tls => 1);
like(setup_is($secure->connect, 'TLS', {}, [])->{connection}, qr/certificate is trusted/, 'is told');
my $other = AthenaCalc::Emulator->new(tls => 1);
for my $case ([ 'another authority', $other->authority ], [ "the system's", '' ], [ 'a file that is not there', '/nowhere/ca.pem' ])
{
	my ($name, $bundle) = @$case;

	$db = $secure->connect;
	$db->query("SET athena_calc.ca_bundle = '$bundle'; SET athena_calc.max_attempts = 1");
	setup_is($db, $name, { connection => qr/athena_calc\.ca_bundle/ }, \@of_answer);
}
$secure->node->stop;

# The environment

my $mistaken = AthenaCalc::Test->new(name => 'mistaken', settings => { region => undef },
	environment => { AWS_REGION => 'us east' });
setup_is($mistaken->connect, 'a region of the environment that is none',
	{ configuration => qr/environment variable AWS_REGION cannot be used/ }, [ @rows[ 3 .. 12 ] ], work_group => 'spark');
$db = $mistaken->connect;
$db->query(q{SET athena_calc.region = 'us-east-1'});
setup_is($db, 'which a setting stands for', {}, []);
$mistaken->node->stop;
my $environment = AthenaCalc::Test->new(name => 'environment', settings => { region => undef, access_key_id => undef,
	secret_access_key => undef }, environment => { AWS_REGION => 'us-east-1', AWS_ACCESS_KEY_ID => $key,
	AWS_SECRET_ACCESS_KEY => $secret });
$detail = setup_is($environment->connect, 'the environment', {}, []);
is($detail->{region}, "us-east-1, from AWS_REGION of the server's environment", 'is named');
like($detail->{credentials}, qr/^environment; access key .*MPLE/, 'as the source of the credentials');

# None of all this shows a secret, or more of a key's ID than its end.
is_deeply([ grep { /\Q$secret\E|another\/secret|Signature=/ } @all ], [], 'no row has a secret');
is(scalar(grep { /\Q$token\E/ } @all), 0, 'nor a session token, which AWS repeats when a signature is wrong');
is_deeply([ grep { /AKID|DEXAMPLE|TEMPORARY/ } @all ], [], "and none has a whole key's ID");
cmp_ok(scalar @all, '>', 400, 'in all rows of all cases');

done_testing();
