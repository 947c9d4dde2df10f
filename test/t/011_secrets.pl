# Where a secret may come from, and that it cannot be read where it must not be.

use strict;
use warnings;

use AthenaCalc::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $statement = 'SELECT count(*) FROM athena_calc.list_engine_versions()';

# From postgresql.conf of a server that preloads the library: used, and shown to nobody.
my $token  = 'TOKENTOKENTOKENTOKEN';
my $athena = AthenaCalc::Test->new(
	emulator => [ '--credentials', "AKIDTOKEN:a/secret+with=signs:$token" ],
	conf     => <<"END");
athena_calc.access_key_id = 'AKIDTOKEN'
athena_calc.secret_access_key = 'a/secret+with=signs'
athena_calc.session_token = '$token'
log_min_messages = debug5
log_error_verbosity = verbose
END
my $secret = 'a/secret+with=signs';

is($athena->value($statement), 2, 'a secret from postgresql.conf signs requests where the library is preloaded');

$athena->query('CREATE ROLE reader LOGIN IN ROLE pg_read_all_settings');
$athena->query('CREATE ROLE stranger LOGIN');
foreach my $role ($athena->session_backend, $athena->connect(user => 'reader'), $athena->connect(user => 'stranger'))
{
	my $user = $role->value('SELECT current_user');

	foreach my $name (qw(secret_access_key session_token))
	{
		is($role->value("SHOW athena_calc.$name"), '********', "$user sees a mask in SHOW athena_calc.$name");
		is($role->value("SELECT current_setting('athena_calc.$name')"), '********', 'and in current_setting');
	}
	my @seen = map { join ' ', map { $_ // '' } values %$_ } $role->query('SELECT * FROM pg_settings'),
	  $role->query('SHOW ALL');
	is(scalar(grep { /\Q$secret\E|\Q$token\E/ } @seen), 0, 'and nothing in pg_settings or SHOW ALL');
}
is($athena->connect(user => 'stranger')->error('SELECT * FROM pg_file_settings')->{sqlstate},
	'42501', 'what stands in the file is not for everyone');

# What is refused, fails, or is told at the lowest level of the log names no secret.
$athena->query($statement);
$athena->fault(operation => 'ListEngineVersions', status => 403,
	body => '{"__type": "InvalidSignatureException", "message": "The signature does not match"}');
my $error = $athena->query_error($statement);
is($error->{sqlstate}, '28000', 'a refused signature');
unlike(join(' ', map { $_ // '' } values %$error), qr/\Q$secret\E|\Q$token\E|Signature=/, 'is told without a secret');
my $session = $athena->start_session;
$athena->start_calculation($session, 'password = "open sesame"');
$athena->query_error('SELECT athena_calc.get_session($1)', 'x');
$athena->node->reload;
my $log = slurp_file($athena->node->logfile);
unlike($log, qr/\Q$secret\E|\Q$token\E/, 'the log at debug5 has no secret');
unlike($log, qr/AWS4-HMAC|Signature=/, 'and no signature');

# The signature of a request with an odd secret and a token was checked by the emulator.
is($athena->value('SELECT (athena_calc.get_session_status($1)).state IS NOT NULL', $session), 't',
	'a secret with odd characters and a token sign as AWS expects');

# A session's own secret: what SET LOCAL and ROLLBACK take back comes back with its source.
$athena->query("BEGIN; SET LOCAL athena_calc.secret_access_key = 'wrong'; ROLLBACK");
is($athena->value($statement), 2, 'a secret is back after ROLLBACK');
$athena->query("SET athena_calc.secret_access_key = 'wrong'");
is($athena->query_error($statement)->{sqlstate}, '28000', 'another secret is refused by Athena');
$athena->query('RESET athena_calc.secret_access_key');
is($athena->value($statement), 2, 'and after RESET');
is( $athena->query_error(
		q(CREATE FUNCTION f() RETURNS int LANGUAGE sql SET athena_calc.secret_access_key FROM CURRENT AS 'SELECT 1'))
	  ->{sqlstate},
	'22023', 'the mask is not kept in place of a secret');

# GRANT SET ON PARAMETER lets another role bring a key of its own.
SKIP:
{
	skip 'GRANT SET ON PARAMETER is of PostgreSQL 15', 2 if $athena->node->pg_version < 15;

	$athena->query('GRANT SET ON PARAMETER athena_calc.secret_access_key TO stranger');
	$athena->query('GRANT USAGE ON SCHEMA athena_calc TO stranger');
	$athena->query('GRANT EXECUTE ON ALL ROUTINES IN SCHEMA athena_calc TO stranger');
	my $stranger = $athena->connect(user => 'stranger');
	$stranger->query("SET athena_calc.secret_access_key = '$secret'");
	is($stranger->value($statement), 2, 'a role that may set the key may bring its own');
	is($stranger->value('SHOW athena_calc.secret_access_key'), '********', 'and sees the mask');
}
$athena->node->stop;

# Without shared_preload_libraries every role can read the file's secrets, so they are not used.
my $late = AthenaCalc::Test->new(name => 'late', preload => 0);
$late->clear_log;
$error = $late->query_error($statement);
is($error->{sqlstate}, '28000', 'a secret of a server that does not preload the library is refused');
like($error->{message}, qr/"athena_calc\.secret_access_key" cannot be used from the configuration file/, 'by name');
like($error->{hint}, qr/shared_preload_libraries/, 'with what to do');
is($late->requests, 0, 'and nothing was sent');
$late->query("SET athena_calc.secret_access_key = '" . $late->setting('secret_access_key') . q('));
is($late->value($statement), 2, 'a secret of the session is used');

# A placeholder in a role's or database's settings, made before the library could refuse it.
$late->query(q(CREATE ROLE keeper SUPERUSER LOGIN));
foreach my $where ('ROLE keeper', 'DATABASE postgres', 'ROLE ALL')
{
	# A backend without the library takes it for any setting.
	my $unloaded = $late->connect;

	$unloaded->query("ALTER $where SET athena_calc.secret_access_key = 'readable'");
	$error = $late->connect(user => 'keeper')->error($statement);
	is($error->{sqlstate}, '28000', "a secret from ALTER $where is refused");
	like($error->{message}, qr/cannot be used from ALTER ROLE or ALTER DATABASE/, 'as readable by all');
	$unloaded->query("ALTER $where RESET athena_calc.secret_access_key");
}

# A placeholder that a role without rights has set is gone when the library is loaded.
$late->query('CREATE ROLE stranger LOGIN');
$late->query('GRANT USAGE ON SCHEMA athena_calc TO stranger');
$late->query('GRANT EXECUTE ON ALL ROUTINES IN SCHEMA athena_calc TO stranger');
my $stranger = $late->connect(user => 'stranger');
$stranger->query("SET athena_calc.endpoint_url = 'http://127.0.0.1:1'");
$stranger->error($statement);
is($stranger->value('SHOW athena_calc.endpoint_url'), $late->setting('endpoint_url'),
	'an endpoint set before the library was loaded does not count');

done_testing();
