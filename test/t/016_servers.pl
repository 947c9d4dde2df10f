# Foreign servers and user mappings: accounts by name, keys of one's own, and who may not use the server's.

use strict;
use warnings;

use AthenaCalc::Test;
use PostgreSQL::Test::Utils;
use Test::More;

use constant {
	ROLE       => 'arn:aws:iam::123456789012:role/etl',
	OTHER_ROLE => 'arn:aws:iam::123456789012:role/other',
	SHARED     => 'arn:aws:iam::123456789012:role/shared',
	JWT        => 'eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln',
};

my @offer = (
	'--credentials', 'AKIDEXAMPLE:' . AthenaCalc::Test::SECRET_KEY,
	(map { ('--credentials', "AKID$_:secret/of+$_") } qw(ALICE BOB PUBLIC MAKER)),
	'--credentials', 'AKIDTEMPORARY:secret/of+TEMPORARY:atemporarytoken',
	'--credentials', 'AKIDENVIRONMENT:secret/of+ENVIRONMENT',
	'--credentials', 'AKIDPROFILE:secret/of+PROFILE',
	'--sts-role', ROLE, '--sts-role', OTHER_ROLE, '--sts-role', SHARED . ':the-external-id',
	'--metadata', '--container-token', 'container-token');
my $athena = AthenaCalc::Test->new(emulator => \@offer);
my $call   = 'SELECT count(*) FROM athena_calc.list_engine_versions()';
my ($url, $error);

# A role that may call everything, and those of the story.
$athena->query(q{CREATE ROLE "team"; GRANT USAGE ON SCHEMA athena_calc TO team;
	GRANT EXECUTE ON ALL ROUTINES IN SCHEMA athena_calc TO team});
$athena->query("CREATE ROLE $_ LOGIN IN ROLE team") for qw(alice bob carol maker);
$athena->query('GRANT USAGE ON FOREIGN DATA WRAPPER athena_calc TO maker');

sub keys_of
{
	my ($name) = @_;

	return "access_key_id 'AKID$name', secret_access_key 'secret/of+$name'";
}

# Whose key the last call was signed with: an ID that was given, or the role of the principal.
sub signer
{
	my ($on) = @_;
	my $request = ($on->requests('ListEngineVersions'))[-1] or return 'nobody';

	return $request->{principal} =~ m{assumed-role/(\w+)/} ? "role $1" : $request->{access_key_id};
}

# What a statement that calls Athena was signed by, or the error that it was.
sub call_of
{
	my ($db, $sql) = @_;

	$athena->clear_log;
	my $error = $db->error($sql // $call);
	return $error->{sqlstate} eq '00000' ? signer($athena) : "$error->{sqlstate} $error->{message}";
}

# Whose keys the last call used to assume a role.
sub assumer
{
	my ($request) = $athena->requests('STS.AssumeRole') or return 'nobody';

	return $request->{access_key_id};
}

sub user
{
	my ($name, $server) = @_;
	my $db = $athena->connect(user => $name);

	$db->query("SET athena_calc.server = '$server'") if defined $server;
	return $db;
}

# A server is an account
#
# What it does not say, the settings do: here the endpoint and the region.

$athena->query(q{CREATE SERVER prod FOREIGN DATA WRAPPER athena_calc OPTIONS (work_group 'nightly')});
$athena->query('GRANT USAGE ON FOREIGN SERVER prod TO alice, bob, carol');
$athena->query('CREATE USER MAPPING FOR alice SERVER prod OPTIONS (' . keys_of('ALICE') . ')');
$athena->query('CREATE USER MAPPING FOR PUBLIC SERVER prod OPTIONS (' . keys_of('PUBLIC') . ')');

is(call_of(user('alice')),         'AKIDEXAMPLE', 'without a server the settings count');
is(call_of(user('alice', 'prod')), 'AKIDALICE',   'with one, the keys of the mapping');
is(call_of(user('bob', 'prod')),   'AKIDPUBLIC',  "or PUBLIC's, where there is none of one's own");
is(call_of(user('alice', '')),     'AKIDEXAMPLE', 'an empty name is none');

my $alice = user('alice', 'prod');
$athena->clear_log;
$alice->error('SELECT * FROM athena_calc.list_sessions()');
is(($athena->requests('ListSessions'))[0]{members}{WorkGroup}, 'nightly', "the server's work group");
$athena->query(q{ALTER SERVER prod OPTIONS (SET work_group 'spark', ADD region 'eu-west-1')});
$athena->clear_log;
$alice->error('SELECT * FROM athena_calc.list_sessions()');
my $request = ($athena->requests('ListSessions'))[0];
is($request->{members}{WorkGroup}, 'spark', 'a change of it counts at once, in sessions that are there');
like($request->{headers}{authorization}, qr{Credential=AKIDALICE/\d+/eu-west-1/athena/}, "as the server's region does");
$alice->query(q{SET athena_calc.region = 'us-west-2'});
$athena->clear_log;
$alice->error('SELECT * FROM athena_calc.list_sessions()');
like(($athena->requests('ListSessions'))[0]{headers}{authorization}, qr{/eu-west-1/}, 'which a setting does not change');
$athena->query('ALTER SERVER prod OPTIONS (DROP region)');
$alice->query('RESET athena_calc.region');

my $second = AthenaCalc::Emulator->new(options => \@offer);
$url = $second->url;
$athena->query("CREATE SERVER elsewhere FOREIGN DATA WRAPPER athena_calc OPTIONS (endpoint_url '$url')");
$athena->query('CREATE USER MAPPING FOR PUBLIC SERVER elsewhere OPTIONS (' . keys_of('PUBLIC') . ')');
$athena->query('GRANT USAGE ON FOREIGN SERVER elsewhere TO PUBLIC');
is(call_of(user('bob', 'elsewhere')), 'nobody', "a server's endpoint is asked in place of the settings'");
is(signer($second), 'AKIDPUBLIC', 'with the keys of its mapping');

$athena->query(q{CREATE USER MAPPING FOR bob SERVER prod OPTIONS (access_key_id 'AKIDTEMPORARY',
	secret_access_key 'secret/of+TEMPORARY', session_token 'atemporarytoken')});
is(call_of(user('bob', 'prod')), 'AKIDTEMPORARY', 'a mapping may have temporary keys');
$athena->query('ALTER USER MAPPING FOR bob SERVER prod OPTIONS (DROP session_token)');
like(call_of(user('bob', 'prod')), qr/^28000 /, 'whose token counts');
$athena->query('DROP USER MAPPING FOR bob SERVER prod');

# A name that is none of ours

$athena->query('CREATE FOREIGN DATA WRAPPER another; CREATE SERVER foreign_one FOREIGN DATA WRAPPER another');
$athena->query('GRANT USAGE ON FOREIGN SERVER foreign_one TO PUBLIC');
for my $case (
	[ 'nowhere',     '42704', 'a server that is not there' ],
	[ 'PROD',        '42704', 'a name is as it is written in quotes' ],
	[ 'foreign_one', '42704', "a server of another wrapper's" ])
{
	my ($server, $sqlstate, $name) = @$case;
	my $db = user('alice', $server);

	$athena->clear_log;
	$error = $db->error($call);
	is($error->{sqlstate}, $sqlstate, $name);
	like($error->{message}, qr/"$server"/, 'is named');
	like($error->{hint}, qr/CREATE SERVER/, 'with what to do');
	is($athena->requests, 0, 'nothing was sent');
	$db->query(q{SET athena_calc.server = 'prod'});
	is(call_of($db), 'AKIDALICE', 'and the session goes on with another');
}

# USAGE, at each call
#
# Who owns a server, or is a superuser, has it.

my $maker = user('maker', 'prod');
like(call_of($maker), qr/^42501 permission denied for foreign server prod/, 'without USAGE');
$athena->query('GRANT USAGE ON FOREIGN SERVER prod TO maker');
is(call_of($maker), 'AKIDPUBLIC', 'with it');
$athena->query('REVOKE USAGE ON FOREIGN SERVER prod FROM maker');
like(call_of($maker), qr/^42501 /, 'and without it again, in the same session');
for my $function ('check_setup()', "calculation_stdout('x')", "invoke('ListEngineVersions')",
	"batch_get_calculation_execution(ARRAY['x'])", "start_calculation_execution('x', 'x')")
{
	$athena->clear_log;
	my @rows = eval { $maker->query("SELECT * FROM athena_calc.$function") };

	is($athena->requests, 0, "no way around it by $function");
}

# Another user in the same session
#
# Keys belong to who asks: SET ROLE and SECURITY DEFINER count at once.

my $session = $athena->connect;
$session->query(q{SET athena_calc.server = 'prod'});
is(call_of($session), 'AKIDPUBLIC', 'a superuser without a mapping of his own');
$session->query('SET ROLE alice');
is(call_of($session), 'AKIDALICE', 'after SET ROLE');
$session->query('SET ROLE bob');
is(call_of($session), 'AKIDPUBLIC', 'another');
$session->query('RESET ROLE');

$athena->query('GRANT CREATE ON SCHEMA public TO alice');
user('alice')->query(qq{CREATE FUNCTION public.engines() RETURNS bigint LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp SET athena_calc.server = 'prod' AS '$call'});
is(call_of(user('carol'), 'SELECT public.engines()'), 'AKIDALICE', "a SECURITY DEFINER function has its owner's mapping");
is(call_of(user('maker'), 'SELECT public.engines()'), 'AKIDALICE', 'for those, too, who may not use the server');
is(call_of(user('carol', 'prod')), 'AKIDPUBLIC', 'what it leaves behind is nothing');

# Roles
#
# Keys of a mapping are used to assume a role; a superuser's mapping without keys uses those of the server.

$url = $athena->emulator->url;
$athena->query("ALTER SERVER prod OPTIONS (ADD sts_endpoint_url '$url')");
$athena->query("ALTER USER MAPPING FOR alice SERVER prod OPTIONS (ADD role_arn '${\ROLE}')");
$athena->query("CREATE USER MAPPING FOR bob SERVER prod OPTIONS (role_arn '${\OTHER_ROLE}')");
is(call_of($alice), 'role etl', "a mapping's role");
is(assumer(), 'AKIDALICE', 'is assumed with its own keys');
is(call_of(user('bob', 'prod')), 'role other', "a superuser's mapping with a role and no keys");
is(assumer(), 'AKIDEXAMPLE', "uses the server's credentials for that");
is(scalar(grep { ($_->{access_key_id} // '') eq 'AKIDEXAMPLE' } $athena->requests('ListEngineVersions')),
	0, 'and for nothing else');

$session->query('SET ROLE alice');
is(call_of($session), 'role etl', 'a role of one user');
$session->query('SET ROLE bob');
is(call_of($session), 'role other', 'is not the next');
$session->query('SET ROLE carol');
is(call_of($session), 'AKIDPUBLIC', 'nor that of who has none');
$session->query('SET ROLE alice');
is(call_of($session), 'role etl', 'and is there again');
is($athena->requests('STS.AssumeRole'), 0, 'without a question to STS: it was kept');
$session->query('RESET ROLE');
$athena->query('ALTER USER MAPPING FOR alice SERVER prod OPTIONS (' . join(', ', map { "SET $_" }
	split /, /, keys_of('MAKER')) . ')');
$session->query('SET ROLE alice');
is(call_of($session), 'role etl', 'when the keys of the mapping change');
is(assumer(), 'AKIDMAKER', 'the role is assumed with the new ones');
$session->query('RESET ROLE');

$athena->query("ALTER USER MAPPING FOR bob SERVER prod OPTIONS (SET role_arn '${\SHARED}')");
like(call_of(user('bob', 'prod')), qr/^42501 STS AssumeRole failed/, 'a role that asks for an external ID');
$athena->query(q{ALTER USER MAPPING FOR bob SERVER prod OPTIONS (ADD external_id 'the-external-id')});
is(call_of(user('bob', 'prod')), 'role shared', 'gets it from the mapping');

# Two mappings with one role. What one user's external ID has opened is not for who does not name it.
$athena->query("CREATE USER MAPPING FOR carol SERVER prod OPTIONS (role_arn '${\SHARED}')");
$athena->query(q{ALTER SERVER prod OPTIONS (ADD external_id 'the-external-id')});
$session->query('SET ROLE carol');
like(call_of($session), qr/^42501 /, "a mapping's role does not take the server's external ID");
$session->query('SET ROLE bob');
is(call_of($session), 'role shared', 'another user of the role');
$session->query('SET ROLE carol');
like(call_of($session), qr/^42501 /, 'and it is the same as before');
$session->query('RESET ROLE');
$athena->query('ALTER SERVER prod OPTIONS (DROP external_id); DROP USER MAPPING FOR carol SERVER prod');

# A server's own role is for all of its users.
$athena->query("CREATE SERVER roles FOREIGN DATA WRAPPER athena_calc OPTIONS (role_arn '${\ROLE}', sts_endpoint_url '$url',
	role_session_name 'nightly')");
$athena->query('GRANT USAGE ON FOREIGN SERVER roles TO bob, carol');
$athena->query('CREATE USER MAPPING FOR carol SERVER roles OPTIONS (' . keys_of('PUBLIC') . ", role_session_name 'carol')");
is(call_of(user('bob', 'roles')), 'role etl', "a server's role");
like(($athena->requests('ListEngineVersions'))[0]{principal}, qr{/nightly$}, 'under the name that the server gives');
is(call_of(user('carol', 'roles')), 'role etl', 'is assumed with keys of a mapping, where there are some');
is(assumer(), 'AKIDPUBLIC', 'and with nothing else');

# Whoever may make servers
#
# He may not choose where requests go, nor what the server's own credentials are used for.

$maker = user('maker');
$maker->query(q{CREATE SERVER own FOREIGN DATA WRAPPER athena_calc OPTIONS (region 'us-east-1', work_group 'spark')});
my %for_superusers = (
	endpoint_url           => $second->url,
	s3_endpoint_url        => $second->url,
	sts_endpoint_url       => $second->url,
	ca_bundle              => '/tmp/ca.pem',
	profile                => 'admin',
	role_arn               => ROLE,
	external_id            => 'the-external-id',
	role_session_name      => 'somebody-else',
	use_fips_endpoint      => 'true',
	use_dualstack_endpoint => 'true',
	credential_provider    => 'instance');

for my $option (sort keys %for_superusers)
{
	my $value = $for_superusers{$option};

	for my $statement (
		"CREATE SERVER own_$option FOREIGN DATA WRAPPER athena_calc OPTIONS ($option '$value')",
		"ALTER SERVER own OPTIONS (ADD $option '$value')",
		"ALTER SERVER own OPTIONS (DROP region, ADD $option '$value')")
	{
		$error = $maker->error($statement);
		is($error->{sqlstate}, '42501', $statement =~ s/$url|\Q$value\E/…/r);
		like($error->{message}, qr/"$option"/, 'the option is named');
		unlike(join(' ', map { $_ // '' } values %$error), qr/\Q$value\E/, 'and not its value')
		  if length $value > 8;
	}
}
is_deeply(
	[ $athena->column(q{SELECT unnest(srvoptions) FROM pg_foreign_server WHERE srvname LIKE 'own%' ORDER BY 1}) ],
	[ 'region=us-east-1', 'work_group=spark' ],
	'nothing of that was kept');

# What a superuser gave him he may not change: not even something beside it.
$athena->query("CREATE SERVER given FOREIGN DATA WRAPPER athena_calc OPTIONS (endpoint_url '$url');
	ALTER SERVER given OWNER TO maker");
for my $statement (
	"ALTER SERVER given OPTIONS (SET endpoint_url '" . $second->url . q{')},
	q{ALTER SERVER given OPTIONS (ADD region 'eu-west-1')})
{
	is($maker->error($statement)->{sqlstate}, '42501', $statement =~ s{http:\S+'}{…'}r);
}
is($maker->error('ALTER SERVER own OWNER TO ' . (getpwuid($>))[0])->{sqlstate}, '42501',
	'nor may he give his server to a superuser, whose servers have more rights');
is($maker->error(q{ALTER SERVER prod OPTIONS (SET work_group 'his')})->{sqlstate}, '42501', "nor change a superuser's");
is($maker->error("SET athena_calc.$_ = ''")->{sqlstate}, '42501', "nor SET athena_calc.$_")
  for qw(credential_provider role_arn sts_endpoint_url profile);

# Keys of his own he may use as he likes.
my $mapping = 'USER MAPPING FOR maker SERVER own';
for my $case (
	[ "CREATE $mapping OPTIONS (role_arn '${\ROLE}')", '42501', 'a role without keys' ],
	[ "CREATE $mapping OPTIONS (role_arn '${\ROLE}', external_id 'the-external-id')", '42501', 'nor with an external ID' ],
	[ "CREATE $mapping OPTIONS (external_id 'the-external-id')", '42501', 'nor that alone' ],
	[ "CREATE $mapping OPTIONS (role_session_name 'somebody-else')", '42501', 'nor a name for the session of another role' ],
	[ "CREATE $mapping OPTIONS (role_arn '${\ROLE}', access_key_id 'AKIDMAKER')", '42501', 'nor with half a pair' ],
	[ "CREATE $mapping OPTIONS (role_arn '${\ROLE}', secret_access_key '', access_key_id 'AKIDMAKER')", 'HV024',
		'nor with an empty one' ],
	[ "CREATE $mapping", '00000', 'a mapping without anything' ],
	[ "ALTER $mapping OPTIONS (ADD role_arn '${\ROLE}')", '42501', 'a role added to it' ],
	[ "ALTER $mapping OPTIONS (ADD access_key_id 'AKIDMAKER', ADD secret_access_key 'secret/of+MAKER')", '00000', 'keys' ],
	[ "ALTER $mapping OPTIONS (ADD role_arn '${\ROLE}', ADD role_session_name 'own')", '00000', 'a role for them' ],
	[ "ALTER $mapping OPTIONS (DROP access_key_id, DROP secret_access_key)", '42501', 'a role that is left over' ],
	[ "ALTER $mapping OPTIONS (SET role_arn '${\OTHER_ROLE}', DROP access_key_id, DROP secret_access_key)", '42501',
		'or changed meanwhile' ],
	[ "ALTER $mapping OPTIONS (DROP role_arn, DROP role_session_name)", '00000', 'the keys alone again' ])
{
	my ($statement, $sqlstate, $name) = @$case;

	is($maker->error($statement)->{sqlstate}, $sqlstate, $name);
}
$maker->query(q{SET athena_calc.server = 'own'});
is(call_of($maker), 'AKIDMAKER', 'his keys are used');
is($maker->error('CREATE USER MAPPING FOR maker SERVER prod OPTIONS (' . keys_of('MAKER') . ')')->{sqlstate},
	'42501', "a mapping of one's own wants USAGE on the server");
is($athena->connect(user => 'carol')->error('ALTER USER MAPPING FOR bob SERVER prod OPTIONS (DROP role_arn)')->{sqlstate},
	'42501', "somebody else's mapping is not his");

# A mapping stays the server's: nobody comes by the credentials of the settings through a server of a non-superuser.
sub nothing_ok
{
	my ($on, $db, $name) = @_;

	$on->clear_log;
	my $error = $db->error($call);
	is($error->{sqlstate}, '28000', $name);
	like($error->{message}, qr/has no user mapping with keys for you/, 'says why');
	is_deeply([ $on->requests ], [], 'and nobody was asked for anything');
	return;
}
$maker->query("DROP $mapping");
nothing_ok($athena, $maker, 'without a mapping his server has no credentials');
$maker->query("CREATE $mapping");
nothing_ok($athena, $maker, 'nor with one that has no keys');
$athena->query("ALTER $mapping OPTIONS (ADD role_arn '${\ROLE}')");
nothing_ok($athena, $maker, 'nor when a superuser put a role into it');
$athena->query('GRANT USAGE ON FOREIGN SERVER own TO alice');
nothing_ok($athena, user('alice', 'own'), 'nor for others');
my $superuser = $athena->connect;
$superuser->query(q{SET athena_calc.server = 'own'});
nothing_ok($athena, $superuser, 'nor for a superuser: it is about whose server it is');
$athena->query('ALTER SERVER given OWNER TO ' . (getpwuid($>))[0]);
is(call_of(user('maker', 'given')), '42501 permission denied for foreign server given', 'a server that is taken back');

$athena->query('CREATE ROLE once SUPERUSER LOGIN');
$athena->connect(user => 'once')->query('CREATE SERVER once FOREIGN DATA WRAPPER athena_calc');
$athena->query('GRANT USAGE ON FOREIGN SERVER once TO alice');
is(call_of(user('alice', 'once')), 'AKIDEXAMPLE', "a superuser's server has the server's credentials");
$athena->query('ALTER ROLE once NOSUPERUSER');
like(call_of(user('alice', 'once')), qr/^28000 /, 'and no longer when he is none');

# What may not be, and what a message says of it
#
# The text of the statement is PostgreSQL's affair (SECURITY.md); the message has no value.

for my $case (
	[ "CREATE SERVER x FOREIGN DATA WRAPPER athena_calc OPTIONS (password 'hush-hush')", 'HV00D', 'region' ],
	[ "CREATE SERVER x FOREIGN DATA WRAPPER athena_calc OPTIONS (secret_access_key 'hush-hush')", 'HV00D', 'region' ],
	[ "CREATE SERVER x FOREIGN DATA WRAPPER athena_calc OPTIONS (region 'hush hush')", 'HV024' ],
	[ "CREATE SERVER x FOREIGN DATA WRAPPER athena_calc OPTIONS (endpoint_url 'https://me:hush-hush\@host')", 'HV024',
		'scheme' ],
	[ "CREATE USER MAPPING FOR carol SERVER prod OPTIONS (endpoint_url 'hush-hush')", 'HV00D', 'access_key_id' ],
	[ "CREATE USER MAPPING FOR carol SERVER prod OPTIONS (access_key_id 'hush/hush', secret_access_key 'hush-hush')",
		'HV024' ],
	[ "CREATE USER MAPPING FOR carol SERVER prod OPTIONS (access_key_id 'hush', secret_access_key E'hush\\nhush')",
		'HV024' ],
	[ "CREATE USER MAPPING FOR carol SERVER prod OPTIONS (access_key_id 'hush-hush')", 'HV00J', 'together' ],
	[ "CREATE USER MAPPING FOR carol SERVER prod OPTIONS (secret_access_key 'hush-hush')", 'HV00J', 'together' ],
	[ "CREATE USER MAPPING FOR carol SERVER prod OPTIONS (session_token 'hush-hush')", 'HV00J', 'belongs to' ],
	[ "ALTER FOREIGN DATA WRAPPER athena_calc OPTIONS (ADD region 'hush-hush')", 'HV00D', 'no options' ],
	[ "CREATE FOREIGN TABLE x (a int) SERVER prod OPTIONS (secret_access_key 'hush-hush')", 'HV00D', 'no options' ])
{
	my ($statement, $sqlstate, $hint) = @$case;

	$error = $athena->query_error($statement);
	is($error->{sqlstate}, $sqlstate, $statement);
	unlike(join(' ', map { $_ // '' } values %$error), qr/hush/, 'no value is repeated');
	like($error->{hint}, qr/$hint/, 'the hint') if $hint;
}

# There are no foreign tables
for my $statement ('SELECT * FROM public.a_table', 'INSERT INTO public.a_table VALUES (1)', 'ANALYZE public.a_table')
{
	$athena->query('CREATE FOREIGN TABLE IF NOT EXISTS public.a_table (a int) SERVER prod');
	$error = $athena->query_error($statement);
	is("$error->{sqlstate} $error->{message}", '55000 foreign-data wrapper "athena_calc" has no handler', $statement);
}
$athena->query('DROP FOREIGN TABLE public.a_table');

# Who sees the keys of a mapping
#
# PostgreSQL shows them to whom they are for, and to superusers; a role that reads all data reads this, too.

$athena->query('CREATE ROLE reader LOGIN IN ROLE pg_read_all_settings, pg_read_all_stats, pg_monitor');
my $look = q{SELECT usename || ': ' || coalesce(umoptions::text, 'NULL') FROM pg_user_mappings
	WHERE srvname = 'prod' ORDER BY 1};
for my $case (
	[ alice  => [ alice => 'MAKER' ] ],
	[ bob    => [] ],
	[ carol  => [] ],
	[ maker  => [] ],
	[ reader => [] ],
	[ (getpwuid($>))[0] => [ alice => 'MAKER', public => 'PUBLIC' ] ])
{
	my ($name, $expected) = @$case;
	my @seen = map { /^(\w+): .*secret_access_key=secret\/of\+(\w+)/ ? ($1, $2) : () } user($name)->column($look);

	is_deeply(\@seen, $expected, "the keys that $name sees");
	is(user($name)->error('SELECT * FROM pg_user_mapping')->{sqlstate}, '42501', 'the catalog itself is closed')
	  if $name ne (getpwuid($>))[0];
}

$athena->query('CREATE ROLE all_reader LOGIN IN ROLE pg_read_all_data');
cmp_ok(scalar(grep { /secret_access_key=/ } user('all_reader')->column('SELECT umoptions::text FROM pg_user_mapping')),
	'>', 1, 'but pg_read_all_data reads all catalogs, of whomever the keys are');

# Dump and restore

$athena->query('CREATE DATABASE copied');
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump.sql';
$athena->node->command_ok([ 'pg_dump', '-d', $athena->node->connstr('postgres'), '-f', $dump ], 'pg_dump');
$athena->node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $athena->node->connstr('copied'), '-f', $dump ],
	'into another database');
my $copied = $athena->connect(dbname => 'copied');
for my $sql (
	# Options have no order.
	q{SELECT srvname || ' ' || srvowner::regrole || coalesce(srvacl::text, '') ||
		ARRAY(SELECT o FROM unnest(srvoptions) o ORDER BY o)::text FROM pg_foreign_server ORDER BY 1},
	q{SELECT srvname || ' ' || usename || ARRAY(SELECT o FROM unnest(umoptions) o ORDER BY o)::text
		FROM pg_user_mappings ORDER BY 1},
	q{SELECT fdwname || fdwvalidator::regproc || coalesce(fdwacl::text, '') FROM pg_foreign_data_wrapper ORDER BY 1})
{
	is_deeply([ $copied->column($sql) ], [ $athena->column($sql) ], $sql =~ s/.*FROM (pg_\w+).*/all of $1 is there/sr);
}
my $there = $athena->connect(user => 'alice', dbname => 'copied');
$there->query(q{SET athena_calc.server = 'prod'});
is(call_of($there), 'role etl', 'and works');

# The extension and its servers go together.
$error = $copied->error('DROP EXTENSION athena_calc');
is($error->{sqlstate}, '2BP01', 'DROP EXTENSION while there are servers');
like($error->{detail}, qr/server prod/, 'names them');
$copied->query('DROP EXTENSION athena_calc CASCADE');
is_deeply([ $copied->column('SELECT srvname FROM pg_foreign_server') ], ['foreign_one'], 'CASCADE drops them');
is_deeply([ $copied->column('SELECT srvname FROM pg_user_mappings') ], [], 'with the mappings');
$athena->node->stop;

# Every source at once: a server of a non-superuser reaches none of them
#
# Each is there, and serves the same role without a server.

my $all = AthenaCalc::Test->new(
	name     => 'sources',
	emulator => \@offer,
	settings => sub { return { ec2_metadata_disabled => undef, sts_endpoint_url => $_[0] } },
	environment => sub {
		my ($url, $home) = @_;

		mkdir "$home/.aws";
		append_to_file("$home/.aws/credentials",
			"[default]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = secret/of+PROFILE\n");
		append_to_file("$home/token", JWT);
		return {
			AWS_ACCESS_KEY_ID                  => 'AKIDENVIRONMENT',
			AWS_SECRET_ACCESS_KEY              => 'secret/of+ENVIRONMENT',
			AWS_CONTAINER_CREDENTIALS_FULL_URI => "$url/v1/credentials",
			AWS_CONTAINER_AUTHORIZATION_TOKEN  => 'container-token',
			AWS_EC2_METADATA_SERVICE_ENDPOINT  => $url
		};
	});
$all->query(q{CREATE ROLE maker LOGIN; GRANT USAGE ON SCHEMA athena_calc TO maker;
	GRANT EXECUTE ON ALL ROUTINES IN SCHEMA athena_calc TO maker; GRANT USAGE ON FOREIGN DATA WRAPPER athena_calc TO maker});
$all->connect(user => 'maker')->query('CREATE SERVER own FOREIGN DATA WRAPPER athena_calc');
for my $case (
	[ auto        => qr/^AKIDEXAMPLE$/ ],
	[ settings    => qr/^AKIDEXAMPLE$/ ],
	[ environment => qr/^AKIDENVIRONMENT$/ ],
	[ profile     => qr/^AKIDPROFILE$/ ],
	[ container   => qr/^role AthenaEmulatorContainerRole$/ ],
	[ instance    => qr/^role AthenaEmulatorRole$/ ],
	[ web_identity => qr/^role etl$/ ])
{
	my ($provider, $expected) = @$case;

	if ($provider eq 'web_identity')
	{
		$all->query("ALTER ROLE maker SET athena_calc.role_arn = '${\ROLE}'");
		$all->query("ALTER ROLE maker SET athena_calc.web_identity_token_file = '${\$all->home}/token'");
	}
	$all->query("ALTER ROLE maker SET athena_calc.credential_provider = '$provider'");
	$maker = $all->connect(user => 'maker');
	$all->clear_log;
	$maker->query($call);
	like(signer($all), $expected, "$provider: the settings' own account");
	$maker->query(q{SET athena_calc.server = 'own'});
	nothing_ok($all, $maker, "$provider: his server");
}

done_testing();
