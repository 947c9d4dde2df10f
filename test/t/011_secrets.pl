# Where a secret may come from, and that it cannot be read where it must not be.

use strict;
use warnings;

use AthenaCalc::Connection;
use AthenaCalc::Test;
use PostgreSQL::Test::Utils;
use Test::More;

use constant ROLE => 'arn:aws:iam::123456789012:role/etl';

my $statement = 'SELECT count(*) FROM athena_calc.list_engine_versions()';

# From postgresql.conf of a server that preloads the library: used, and shown to nobody.
my $token  = 'TOKENTOKENTOKENTOKEN';
my $athena = AthenaCalc::Test->new(
	emulator => [ '--credentials', "AKIDTOKEN:a/secret+with=signs:$token" ],
	# No proxy is asked, whatever the server's environment says.
	environment => { map { $_ => 'http://127.0.0.1:1' } qw(http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY) },
	conf        => <<"END");
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
# What AWS finds wrong it quotes.
my $long = 'password = "open sesame" #' . q(' at ') . '#' x 68_000;
$error = $athena->query_error('SELECT athena_calc.start_calculation_execution($1, $2)', $session, $long);
is($error->{message}, 'Athena StartCalculationExecution failed: 1 validation error detected: Value of ' . length($long)
	. q( bytes at 'codeBlock' failed to satisfy constraint: Member must have length less than or equal to 68000), 'of code that is refused, how long it is');
$athena->node->reload;
my $log = slurp_file($athena->node->logfile);
unlike($log, qr/\Q$secret\E|\Q$token\E/, 'the log at debug5 has no secret');
unlike($log, qr/AWS4-HMAC|Signature=/, 'and no signature');
unlike($log, qr/(?:ERROR|NOTICE|WARNING):.*sesame/, 'nor does a message have what stands in code');

# Whoever answers in AWS's place may repeat the request, under whatever name.
for my $case (
	[ 400, 'ValidationException', "X-Amz-Security-Token: $token of $token, Authorization: AWS4-HMAC-SHA256 Signature=abc", '22023',
		'X-Amz-Security-Token: ******** of ********, Authorization: AWS4-HMAC-SHA256 Signature=********' ],
	[ 403, 'Odd', "the request was\nx-amz-security-token:$token", 'SP000', "the request was\nx-amz-security-token:********" ],
	[ 400, 'IncompleteSignatureException', "it has $token", '28000', 'it has ********' ],
	[ 500, 'InternalServerException', "$token", '58000', '********' ],
	[ 400, 'ValidationException', 'x' x 8170 . ": $token", '22023', 'x' x 8170 . ': ********' ],
	[ 400, 'ValidationException', 'x' x 8174 . ": $token", '22023', 'x' x 8174 . ': ********' ], # which is cut in its midst
	[ 400, 'ValidationException', "it begins with TOKEN $token", '22023', 'it begins with TOKEN ********' ])
{
	my ($status, $exception, $message, $sqlstate, $told) = @$case;

	$athena->query('SET athena_calc.max_attempts = 1');
	$athena->fault(operation => 'ListEngineVersions', status => $status, error => $exception, message => $message);
	$error = $athena->query_error($statement);
	is("$error->{sqlstate} $error->{message}", "$sqlstate Athena ListEngineVersions failed: $told", "$exception that repeats the session token");
	$athena->fault(operation => 'S3.ListObjectsV2', status => $status, error => $exception, message => $message);
	unlike(join(' ', map { $_ // '' } values %{ $athena->query_error(q{SELECT athena_calc.s3_list_objects('s3://athena-emulator')}) }),
		qr/\Q$token\E/, 'nor does S3');
	$athena->query('RESET athena_calc.max_attempts');
}
$athena->fault(operation => 'S3.DeleteObjects',
	body => "<DeleteResult><Error><Key>k</Key><Code>AccessDenied</Code><Message>by $token</Message></Error></DeleteResult>");
$athena->query(q{SELECT athena_calc.s3_put_object('s3://athena-emulator/folder/object', 'x'::text)});
$error = $athena->query_error(q{SELECT athena_calc.s3_delete_objects('s3://athena-emulator/folder/')});
is("$error->{sqlstate} $error->{message}", '42501 S3 DeleteObjects failed: k: by ********', 'nor an error in an answer of 200');
$athena->fault(operation => 'ListEngineVersions', status => 400, headers => { 'x-amzn-RequestId' => $token },
	body => qq({"__type": "InvalidRequestException", "AthenaErrorCode": "$token", "message": "No."}));
is($athena->query_error($statement)->{detail}, "exception: InvalidRequestException\nathena_error_code: ********\nhttp_status: 400\nrequest_id: ********\nattempts: 1",
	'nor does DETAIL have it');
unlike(slurp_file($athena->node->logfile), qr/\Q$token\E/, 'nor has the log');

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

$late->node->stop;

# Every secret there can be, in one server
#
# Each account has its own keys, which the emulator knows: what STS, the metadata and the container give out are rules' fixed
# answers. Looked for is whatever of them could be read where it should not be.

my %accounts = map { uc $_ => { id => 'AKID' . uc $_, secret => "$_/secret+of=$_", token => "tokenof${_}tokenof$_" } }
  qw(setting mapping environment profile role web container instance renewed);
my $container_token = 'Bearer container/authorization=token';
my $web_identity    = 'eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.signature-of-the-web-identity';
my $secrets         = join '|', map { quotemeta }
  (map { @{$_}{qw(secret token)} } values %accounts), $container_token, $web_identity, 'signature-of-the-web-identity';

sub json_of
{
	my ($account) = @_;

	return qq({"Code": "Success", "AccessKeyId": "$account->{id}", "SecretAccessKey": "$account->{secret}", )
	  . qq("Token": "$account->{token}", "Expiration": "2099-01-01T00:00:00Z"});
}

sub xml_of
{
	my ($account, $operation) = @_;

	return "<${operation}Response><${operation}Result><Credentials><AccessKeyId>$account->{id}</AccessKeyId>"
	  . "<SecretAccessKey>$account->{secret}</SecretAccessKey><SessionToken>$account->{token}</SessionToken>"
	  . "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></${operation}Result></${operation}Response>";
}

chomp(my $share = `pg_config --sharedir`);
my $has_statements = -e "$share/extension/pg_stat_statements.control";
my $every = AthenaCalc::Test->new(
	name     => 'every',
	emulator => [
		'--metadata', '--container-token', $container_token, '--sts-role', ROLE,
		map { ('--credentials', join ':', @{$_}{qw(id secret token)}) } values %accounts
	],
	conf => join("\n",
		'shared_preload_libraries = \'athena_calc' . ($has_statements ? ', pg_stat_statements' : '') . q('),
		'log_min_messages = debug5', 'log_error_verbosity = verbose', 'wal_level = replica', 'max_wal_senders = 5'),
	settings => sub {
		my ($url, $home) = @_;

		return {
			access_key_id                 => $accounts{SETTING}{id},
			secret_access_key             => $accounts{SETTING}{secret},
			session_token                 => $accounts{SETTING}{token},
			container_authorization_token => $container_token,
			container_credentials_full_uri => "$url/v1/credentials",
			ec2_metadata_service_endpoint => $url,
			ec2_metadata_disabled         => 'false',
			sts_endpoint_url              => $url
		};
	},
	environment => sub {
		my ($url, $home) = @_;

		mkdir "$home/.aws";
		write_profile($home, $accounts{PROFILE});
		append_to_file("$home/web-identity", $web_identity);
		return {
			AWS_ACCESS_KEY_ID     => $accounts{ENVIRONMENT}{id},
			AWS_SECRET_ACCESS_KEY => $accounts{ENVIRONMENT}{secret},
			AWS_SESSION_TOKEN     => $accounts{ENVIRONMENT}{token}
		};
	});

sub write_profile
{
	my ($home, $account) = @_;

	unlink "$home/.aws/credentials";
	append_to_file("$home/.aws/credentials", "[default]\naws_access_key_id = $account->{id}\n"
		  . "aws_secret_access_key = $account->{secret}\naws_session_token = $account->{token}\n");
	return;
}

# The keys of a mapping are typed: by somebody who keeps the statement out of the log and of pg_stat_statements.
my $typist = $every->connect;
$typist->query('CREATE EXTENSION pg_stat_statements; SET pg_stat_statements.track_utility = off') if $has_statements;
$typist->query(q{SET log_statement = 'none'; SET log_min_error_statement = panic});
$typist->query(qq{CREATE SERVER account FOREIGN DATA WRAPPER athena_calc;
	CREATE USER MAPPING FOR PUBLIC SERVER account OPTIONS (access_key_id '$accounts{MAPPING}{id}',
		secret_access_key '$accounts{MAPPING}{secret}', session_token '$accounts{MAPPING}{token}')});

# What is refused is not repeated, wherever it was to be put.
for my $place (
	"SET athena_calc.%s = E'%s\\n'",
	"ALTER ROLE CURRENT_USER SET athena_calc.%s = '%s'",
	"ALTER DATABASE postgres SET athena_calc.%s = '%s'",
	"ALTER ROLE ALL IN DATABASE postgres SET athena_calc.%s = '%s'",
	"CREATE FUNCTION f() RETURNS int LANGUAGE sql SET athena_calc.%s = '%s' AS 'SELECT 1'",
	"CREATE SERVER another FOREIGN DATA WRAPPER athena_calc OPTIONS (%s '%s')",
	"ALTER SERVER account OPTIONS (ADD %s '%s')",
	"ALTER USER MAPPING FOR PUBLIC SERVER account OPTIONS (SET %s E'%s\\n')",
	"ALTER USER MAPPING FOR PUBLIC SERVER account OPTIONS (ADD %1\$s 'x', ADD %1\$s '%2\$s')")
{
	for my $name (qw(secret_access_key session_token container_authorization_token))
	{
		my $error = $typist->error(sprintf $place, $name, $accounts{SETTING}{secret});

		isnt($error->{sqlstate}, '00000', sprintf $place, $name, '…');
		unlike(join(' ', map { $_ // '' } values %$error), qr/$secrets/, 'is refused without the value');
	}
}
$typist->query(q{ALTER SYSTEM SET athena_calc.region = 'us-east-1'});
$typist->close;

# Each source is used, refused by Athena, and answers what it should not.
my %sources = (
	settings     => { account => 'SETTING' },
	environment  => { account => 'ENVIRONMENT' },
	profile      => { account => 'PROFILE' },
	container    => { account => 'CONTAINER', operation => 'Container.Credentials' },
	instance     => { account => 'INSTANCE', operation => 'Metadata.Credentials' },
	role         => { account => 'ROLE', operation => 'STS.AssumeRole',
		set => { role_arn => ROLE, credential_provider => 'settings' } },
	web_identity => { account => 'WEB', operation => 'STS.AssumeRoleWithWebIdentity',
		set => { role_arn => ROLE, web_identity_token_file => $every->home . '/web-identity' } },
	mapping => { account => 'MAPPING', set => { server => 'account', credential_provider => 'auto' } });

sub backend_of
{
	my ($source) = @_;
	my %set = (credential_provider => $source, %{ $sources{$source}{set} // {} });
	my $db = $every->connect;

	$db->query("SET athena_calc.$_ = '$set{$_}'") for sort keys %set;
	return $db;
}

# Has a source give out an account.
sub give_out
{
	my ($source, $account) = @_;
	my $operation = $sources{$source}{operation} or return;

	$every->clear_faults;
	$every->fault(operation => $operation, times => undef,
		body => $operation =~ /^STS\.(.+)/ ? xml_of($account, $1) : json_of($account));
	return;
}

$every->fault(operation => 'STS.AssumeRoleWithWebIdentity', status => 400, error => 'InvalidIdentityToken', message => "The token $web_identity is no good.");
like(backend_of('web_identity')->error($statement)->{message}, qr/: The token \*{8} is no good\.$/, 'a web identity token that STS repeats');

for my $source (sort keys %sources)
{
	my $account = $accounts{ $sources{$source}{account} };
	my $db      = backend_of($source);

	give_out($source, $account);
	is($db->value($statement), 2, "$source: a call");
	is(($every->requests('ListEngineVersions'))[-1]{access_key_id}, $account->{id}, 'with its keys');
	unlike(join(' ', map { $_ // '' } map { values %$_ } $db->query('SELECT * FROM athena_calc.check_setup()')),
		qr/$secrets/, 'check_setup shows none');
	$every->clear_faults;

	for my $operation ('ListEngineVersions', grep { defined } $sources{$source}{operation})
	{
		my $of_athena = $operation eq 'ListEngineVersions';

		for my $answer (
			{ status => 403, error => 'InvalidSignatureException', message => 'The signature does not match.' },
			{ status => 400, body => '{' . json_of($account) },
			{ status => 200, body => json_of($account) =~ s/"$account->{id}"/17/r },
			{ status => 200, body => json_of($account) =~ s/2099/soon/r },
			{ status => 200, body => xml_of($account, 'AnotherOperation') },
			{ status => 200, body => $account->{secret} })
		{
			next if $of_athena && !$answer->{error};
			$every->fault(operation => $operation, times => undef, %$answer);
			my $other = backend_of($source);
			my $error = $other->error($statement);
			isnt($error->{sqlstate}, '00000', "a bad answer to $operation");
			unlike(join(' ', map { $_ // '' } values %$error), qr/$secrets|Signature=/, 'is told without a secret');
			$every->clear_faults;
		}
	}
}

# Nobody sees them: neither in what settings show nor in what the server tells of itself.
$every->query('CREATE ROLE settings_reader LOGIN IN ROLE pg_read_all_settings; CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
	CREATE ROLE stranger LOGIN; CREATE TABLE many AS SELECT generate_series(1, 100000) AS n; ANALYZE many;
	GRANT SELECT ON many TO PUBLIC');
my @names = map { "athena_calc.$_" } qw(secret_access_key session_token container_authorization_token);
my @looks = (
	'SELECT * FROM pg_settings',
	'SELECT name, setting, boot_val, reset_val FROM pg_show_all_settings()',
	'SHOW ALL',
	'SELECT * FROM pg_db_role_setting',
	'SELECT * FROM pg_stat_activity',
	'SELECT * FROM pg_foreign_server',
	'SELECT * FROM pg_prepared_statements',
	'EXPLAIN (VERBOSE, SETTINGS) SELECT * FROM athena_calc.list_engine_versions()',
	($has_statements ? 'SELECT * FROM pg_stat_statements' : ()),
	(map { ("SHOW $_", "SELECT current_setting('$_')") } @names));
my $superuser = (getpwuid($>))[0];
for my $user ($superuser, qw(settings_reader monitor stranger))
{
	my $db = $every->connect(user => $user);

	for my $look (@looks)
	{
		next if $look =~ /athena_calc\.list/ && $user ne $superuser;
		my @rows = $db->query($look);

		is(scalar(grep { /$secrets/ } map { map { $_ // '' } values %$_ } @rows), 0, "$user: $look");
		is((values %{ $rows[0] })[0], '********', 'is a mask') if $look =~ /(SHOW|setting\(').*(key|token)/ && @rows == 1;
	}
	is($db->error('SELECT * FROM pg_file_settings')->{sqlstate}, $user eq $superuser ? '00000' : '42501',
		"$user: pg_file_settings");
	is(scalar(grep { /$secrets/ } map { map { $_ // '' } values %$_ } $db->query('SELECT * FROM pg_user_mappings')),
		$user eq $superuser ? 1 : 0, "$user: pg_user_mappings");

	# A parallel worker gets the settings of its leader.
	$db->query('SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
		SET max_parallel_workers_per_gather = 2');
	my $query = 'SELECT ' . join(" || ' ' || ", map { "current_setting('$_')" } @names) . ' AS seen, count(*) FROM many GROUP BY 1';
	cmp_ok(scalar(grep { /Workers Launched: [1-9]/ } $db->column("EXPLAIN (ANALYZE, TIMING off) $query")),
		'>', 0, "$user: a parallel query");
	is($db->row($query)->{seen}, '******** ******** ********', 'sees masks');
}
is(scalar(grep { /$secrets/ } $every->column('SELECT setting FROM pg_file_settings')),
	3, "a superuser reads the file's own text: that is PostgreSQL's");

# Another kind of backend, which has no catalogs and no extension
$every->query('CREATE ROLE walker LOGIN REPLICATION');
for my $user ($superuser, 'walker')
{
	my $walsender = $every->connect(user => $user, replication => 'database');

	is($walsender->value("SHOW $_"), '********', "$user: SHOW $_ of a walsender") for @names;
	is($walsender->value('SHOW athena_calc.region'), 'us-east-1', 'which shows other settings');
}

# What AWS says of a wrong signature repeats the headers that were signed.
$every->query(q{SET athena_calc.secret_access_key = 'wrong'});
$error = $every->query_error($statement);
is($error->{sqlstate}, '28000', 'a wrong secret beside a right token');
unlike(join(' ', map { $_ // '' } values %$error), qr/$secrets/, 'is told without the token');
like($error->{message}, qr/signature we calculated does not match/, 'but what it was is told');

my $text = slurp_file($every->node->logfile);
# From debug3 on the postmaster writes its environment down when it starts: that is PostgreSQL's. Before 18 each
# variable is a message of its own.
my ($environment, $told) = (0, 0);
/\tAWS_\w+=/ ? $environment++ : $told++ for grep { /$secrets/ } split /\n/, $text;
is($told, 0, 'the log at debug5 has none');
cmp_ok($environment, '>', 0, 'but for the environment that the server was started with');
unlike($text, qr/AWS4-HMAC|Signature=|SecretAccessKey/, 'and no signature, and no answer of a source');

# What is left in the memory of a backend
#
# A backend's memory can be read by the server's operating system user, and is in a core dump. What has been replaced has no
# business there. (Not looked for are session tokens, which are worth nothing without the key: libcurl does not wipe the
# memory of a request's headers. Nor is the mapping: PostgreSQL keeps catalogs in memory.)

# The places in a process's memory that hold some bytes, each with what is around it.
sub places
{
	my ($pid, $bytes) = @_;
	my @found;

	open my $maps, '<', "/proc/$pid/maps" or return;
	open my $memory, '<:raw', "/proc/$pid/mem" or return;
	while (my $line = <$maps>)
	{
		my ($from, $to, $name) = $line =~ /^([0-9a-f]+)-([0-9a-f]+) rw.. \S+ \S+ \S+\s*(.*)/ or next;
		no warnings 'portable';    # addresses have 64 bits
		my ($start, $length) = (hex $from, hex($to) - hex $from);
		my ($content, $at) = ('', -1);

		sysseek $memory, $start, 0;
		1 while length $content < $length && sysread $memory, $content, $length - length $content, length $content;
		while (($at = index $content, $bytes, $at + 1) >= 0)
		{
			my $near = substr $content, $at > 64 ? $at - 64 : 0, length($bytes) + 128;

			push @found, sprintf '%s+%x: %s', $name || 'anonymous', $at, $near =~ s/[^ -~]/./gr;
		}
	}
	return \@found;
}

SKIP:
{
	skip "a tool's memory would be looked at, too", 1 if patient(1) > 1;
	my $db = backend_of('instance');

	skip "another process's memory cannot be read here", 1 unless places($db->pid, 'x');

	for my $source (qw(instance container role web_identity profile environment))
	{
		my $account  = $accounts{ $sources{$source}{account} };
		my $in_place = $accounts{RENEWED};

		$db = backend_of($source);
		give_out($source, $account);
		$db->query($statement);
		cmp_ok(scalar @{ places($db->pid, $account->{secret}) }, '>', 0, "$source: a secret that is used is in memory");
		is_deeply(places($db->pid, "AWS4$account->{secret}"), [], 'what the key is derived from is not');
		next if $source eq 'environment';

		$every->emulator_settings(expired_access_keys => [ $account->{id} ]);
		give_out($source, $in_place);
		write_profile($every->home, $in_place) if $source eq 'profile';
		$db->query($statement) for 1 .. 2;
		is(($every->requests('ListEngineVersions'))[-1]{access_key_id}, $in_place->{id}, 'another takes its place');
		my $left = places($db->pid, $account->{secret});
		is_deeply($left, [], 'and of the old one nothing is left');
		$every->emulator_settings(expired_access_keys => []);
	}
}

done_testing();
