# Where credentials come from, and in which order: settings, the server's environment, containers, instances,
# profiles. What is to be said of roles is in 015_roles.pl.

use strict;
use utf8;
use warnings;

use AthenaCalc::Test;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use constant {
	CONTAINER => 'AthenaEmulatorContainerRole/container',
	INSTANCE  => 'AthenaEmulatorRole/i-0123456789abcdef0',
};

sub secret_of { return "secret/of+$_[0]" }

my $athena = AthenaCalc::Test->new(
	emulator => [
		(map { ('--credentials', "$_:" . secret_of($_)) } map { "AKID$_" } qw(SETTINGS ENVIRONMENT DEFAULT BATCH CONFIG PROCESS)),
		'--credentials', 'AKIDTOKEN:' . secret_of('AKIDTOKEN') . ':a+session/token==',
		(map { ('--sts-role', "arn:aws:iam::123456789012:role/$_") } 'etl', 'second', 'third', 'guarded:door-17'),
		'--metadata', '--container-token', 'container token'
	],
	conf     => 'log_error_verbosity = verbose',
	settings => sub {
		my ($url) = @_;

		return {
			(map { $_ => undef } qw(access_key_id secret_access_key ec2_metadata_disabled)),
			sts_endpoint_url              => $url,
			ec2_metadata_service_endpoint => $url,
		};
	});
my $home = $athena->home;
my $url  = $athena->emulator->url;

# Of the sources, these settings.
my %settings  = (access_key_id => 'AKIDSETTINGS', secret_access_key => secret_of('AKIDSETTINGS'));
my %container = (container_credentials_full_uri => "$url/v1/credentials", container_authorization_token => 'container token');
my %web_identity = (web_identity_token_file => "$home/token", role_arn => 'arn:aws:iam::123456789012:role/etl');
my %environment = (AWS_ACCESS_KEY_ID => 'AKIDENVIRONMENT', AWS_SECRET_ACCESS_KEY => secret_of('AKIDENVIRONMENT'));

# The shared files, in the places where everybody looks for them.
sub write_profiles
{
	my ($credentials, $config) = @_;

	write_file("$home/.aws/credentials", $credentials // '');
	write_file("$home/.aws/config",      $config      // '');
	return;
}

sub keys_of
{
	my ($id) = @_;

	return "aws_access_key_id = $id\naws_secret_access_key = " . secret_of($id) . "\n";
}

sub check_of
{
	my ($check) = @_;

	return $athena->value(q(SELECT detail FROM athena_calc.check_setup() WHERE "check" = $1), $check);
}

mkdir "$home/.aws";
# {"alg":"none"}, {"sub":"etl","exp":4102444800}
write_file("$home/token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJldGwiLCJleHAiOjQxMDI0NDQ4MDB9.c2ln\n");

# The order, from its end: what comes before decides, and nothing else is asked.

is($athena->with->identity, INSTANCE, 'without any setting: the instance');
like(check_of('credentials'), qr/^instance; access key \.\.\..{4}; until /, 'says check_setup()');
is($athena->with(%container)->identity, CONTAINER, 'the container comes before it');
is($athena->asked, 'Container.Credentials', 'which is not asked');
write_file("$home/.aws/credentials", "[default]\n" . keys_of('AKIDDEFAULT'));
is($athena->with(%container)->identity, 'AKIDDEFAULT', 'the profile "default" of the home directory comes before it');
is($athena->asked, '', 'and nobody is asked');
is($athena->with(%container, %web_identity)->identity, 'etl/athena_calc', 'a web identity comes before it');
$athena->restart(%environment);
is($athena->with(%container, %web_identity)->identity, 'AKIDENVIRONMENT', "the environment's keys come before it");
is($athena->asked, '', 'and STS is not asked');
is($athena->with(%container, %web_identity, %settings)->identity, 'AKIDSETTINGS', 'settings come before all');
like(check_of('credentials'), qr/^settings; access key \.\.\.INGS; it does not expire$/, 'says check_setup()');

# Who names a profile means it: the environment's keys are but a default, and so is the profile that it names.
write_file("$home/.aws/credentials", "[default]\n" . keys_of('AKIDDEFAULT') . "[named]\n" . keys_of('AKIDBATCH'));
is($athena->with(profile => 'named')->identity, 'AKIDBATCH', 'a profile that is named comes before the environment');
is($athena->with(%settings, profile => 'named')->identity, 'AKIDSETTINGS', 'and keys that are named before it');
$athena->query(q{CREATE SERVER etl FOREIGN DATA WRAPPER athena_calc OPTIONS (profile 'named')});
is($athena->with(%settings, server => 'etl')->identity, 'AKIDBATCH', "but a server's profile before all");
is($athena->with(server => 'etl', credential_provider => 'environment')->identity, 'AKIDENVIRONMENT', 'unless another source is named');
$athena->query('DROP SERVER etl');
$athena->restart(%environment, AWS_PROFILE => 'named');
is($athena->with->identity, 'AKIDENVIRONMENT', "that of the environment comes after the environment's keys");
$athena->restart(%environment);

# All are configured, and one is named.
my %named = (
	settings     => 'AKIDSETTINGS',
	environment  => 'AKIDENVIRONMENT',
	web_identity => 'etl/athena_calc',
	profile      => 'AKIDDEFAULT',
	container    => CONTAINER,
	instance     => INSTANCE,
	auto         => 'AKIDSETTINGS');
for my $name (sort keys %named)
{
	my %role = $name eq 'web_identity' ? %web_identity : ();

	is($athena->with(%settings, %container, %role, credential_provider => $name)->identity, $named{$name},
		"credential_provider = $name");
}
is($athena->query_error("SET athena_calc.credential_provider = 'sso'")->{sqlstate}, '22023', 'another one is none');

# A broken one is an error, and the next is not asked.
for my $case (
	[ 'half a pair in the settings',  { access_key_id => 'AKIDSETTINGS' }, qr/"athena_calc\.secret_access_key" is not set/ ],
	[ 'the other half',               { secret_access_key => 'x' },        qr/"athena_calc\.access_key_id" is not set/ ],
	[ 'a web identity named, but not made', { credential_provider => 'web_identity' }, qr/there is no web identity token file/ ],
	[ 'settings named, but not made', { credential_provider => 'settings' }, qr/"athena_calc\.access_key_id" is not set/ ],
	[ 'a container without a URI',    { credential_provider => 'container' }, qr/no URI of a container's is set/ ],
	[ 'a web identity without a role', { credential_provider => 'web_identity', web_identity_token_file => "$home/token" },
		qr/web identity token without a role/ ],
	[ 'a profile that does not exist', { credential_provider => 'profile', profile => 'nobody' },
		qr/profile "nobody" is in none of the AWS files/ ],
	[ 'no metadata', { credential_provider => 'instance', ec2_metadata_disabled => 'on' }, qr/no EC2 instance metadata/ ])
{
	my ($name, $those, $message) = @$case;

	like($athena->with(%{ $those->{credential_provider} ? {} : \%container }, %$those)->identity, qr/^28000 .*$message/, $name);
	is($athena->requests, 0, 'and nothing is sent');
}
$athena->restart;
for my $case (
	[ 'a token file that is not there', { %web_identity, web_identity_token_file => "$home/nothing" }, qr/could not read the web/ ],
	[ 'a profile that does not exist',      { profile => 'nobody' },                         qr/profile "nobody"/ ],
	[ 'a credentials file that is not there', { shared_credentials_file => "$home/nothing" }, qr/could not read the shared AWS/ ],
	[ 'a config file that is not there',    { config_file => "$home/nothing" },              qr/could not read the AWS config/ ],
	[ 'a config file that is a directory',  { config_file => $home },                        qr/it is not a file/ ])
{
	my ($name, $those, $message) = @$case;

	like($athena->with(%container, %$those)->identity, qr/^28000 .*$message/, $name);
	is($athena->requests, 0, 'and nothing is sent');
}
unlink "$home/.aws/credentials";
$athena->fault(operation => 'Container.Credentials', status => 500, times => undef);
like($athena->with(%container)->identity, qr/^58000 Container credentials failed/, 'a container that answers 500');
is($athena->asked, 'Container.Credentials ' x 2 . 'Container.Credentials',
	'is asked three times, and then nobody else');
$athena->clear_faults;
is($athena->with(ec2_metadata_disabled => 'on')->identity, '28000 no AWS credentials were found',
	'where there are none at all');
like($athena->query_error('SELECT athena_calc.list_engine_versions()')->{hint}, qr/check_setup/, 'with what to do');

# The environment

for my $case (
	[ 'half a pair',    { AWS_ACCESS_KEY_ID     => 'AKIDENVIRONMENT' }, qr/^28000 .*environment has no AWS_SECRET_ACCESS_KEY/ ],
	[ 'the other half', { AWS_SECRET_ACCESS_KEY => 'x' },               qr/^28000 .*environment has no AWS_ACCESS_KEY_ID/ ],
	[ 'an empty variable is none', { AWS_ACCESS_KEY_ID => '', AWS_SECRET_ACCESS_KEY => '', AWS_PROFILE => '' }, INSTANCE ],
	[
		'a session token',
		{ AWS_ACCESS_KEY_ID => 'AKIDTOKEN', AWS_SECRET_ACCESS_KEY => secret_of('AKIDTOKEN'), AWS_SESSION_TOKEN => 'a+session/token==' },
		'AKIDTOKEN'
	],
	[
		'a session token by its older name',
		{ AWS_ACCESS_KEY_ID => 'AKIDTOKEN', AWS_SECRET_ACCESS_KEY => secret_of('AKIDTOKEN'), AWS_SECURITY_TOKEN => 'a+session/token==' },
		'AKIDTOKEN'
	],
	[
		'which the newer one comes before',
		{
			AWS_ACCESS_KEY_ID     => 'AKIDTOKEN',
			AWS_SECRET_ACCESS_KEY => secret_of('AKIDTOKEN'),
			AWS_SESSION_TOKEN     => 'a+session/token==',
			AWS_SECURITY_TOKEN    => 'another'
		},
		'AKIDTOKEN'
	],
	[ 'a key that cannot be one', { %environment, AWS_ACCESS_KEY_ID => 'a key' }, qr/^28000 .*environment has credentials with/ ],
	[ 'a region that cannot be one', { AWS_REGION => 'us east 1' }, qr/^55000 .*AWS_REGION cannot be used/, { region => '' } ],
	[ 'which a setting stands in for', { AWS_REGION => 'us east 1' }, INSTANCE ],
	[
		'a profile in other places',
		{ AWS_SHARED_CREDENTIALS_FILE => "$home/elsewhere", AWS_CONFIG_FILE => "$home/elsewhere.config", AWS_PROFILE => 'batch' },
		'AKIDBATCH'
	],
	[
		'a web identity',
		{ AWS_WEB_IDENTITY_TOKEN_FILE => "$home/token", AWS_ROLE_ARN => $web_identity{role_arn}, AWS_ROLE_SESSION_NAME => 'nightly' },
		'etl/nightly'
	],
	[
		'a container',
		{ AWS_CONTAINER_CREDENTIALS_FULL_URI => "$url/v1/credentials", AWS_CONTAINER_AUTHORIZATION_TOKEN => 'container token' },
		CONTAINER
	],
	[
		'a provider that is named, beside a web identity',
		{ %environment, AWS_WEB_IDENTITY_TOKEN_FILE => "$home/token" },
		'etl/athena_calc', { credential_provider => 'environment', role_arn => $web_identity{role_arn} }
	],
	[ 'no metadata', { AWS_EC2_METADATA_DISABLED => 'true' }, qr/^28000 no AWS credentials were found/ ])
{
	my ($name, $variables, $expected, $those) = @$case;

	write_file("$home/elsewhere",        "[batch]\n" . keys_of('AKIDBATCH'));
	write_file("$home/elsewhere.config", '');
	$athena->restart(%$variables);
	my $identity = $athena->with(%{ $those // {} })->identity;
	ref $expected ? like($identity, $expected, "environment: $name") : is($identity, $expected, "environment: $name");
}

# A server that is started without HOME, as Debian's are, has the home directory that the system knows.
$athena->restart(HOME => '');
my $home_of_user = (getpwuid $>)[7];
is($athena->with(profile => 'nobody')->query_error('SELECT athena_calc.list_engine_versions()')->{hint},
	qq(The files are "$home_of_user/.aws/credentials" and "$home_of_user/.aws/config".), 'environment: no HOME');
like($athena->with(shared_credentials_file => '~/.no such file')->identity, qr/"\Q$home_of_user\E\/\.no such file"/, 'and ~ is that');

# Region and endpoints of the environment, where no setting says it.
my %unset = (endpoint_url => '', region => '', sts_endpoint_url => '');
$athena->restart(
	%environment,
	AWS_REGION              => 'us-east-1',
	AWS_DEFAULT_REGION      => 'eu-west-1',
	AWS_ENDPOINT_URL        => 'http://127.0.0.1:1',
	AWS_ENDPOINT_URL_ATHENA => $url,
	AWS_ENDPOINT_URL_STS    => $url);
is($athena->with(%unset)->identity, 'AKIDENVIRONMENT', 'AWS_ENDPOINT_URL_ATHENA comes before AWS_ENDPOINT_URL');
is(check_of('region'), "us-east-1, from AWS_REGION of the server's environment",
	'AWS_REGION before AWS_DEFAULT_REGION');
is($athena->with(%unset, role_arn => $web_identity{role_arn})->identity, 'etl/athena_calc',
	'AWS_ENDPOINT_URL_STS counts for STS');
$athena->restart(%environment, AWS_DEFAULT_REGION => 'us-east-1', AWS_ENDPOINT_URL => $url);
is($athena->with(%unset, role_arn => $web_identity{role_arn})->identity, 'etl/athena_calc',
	'AWS_ENDPOINT_URL is for all services');
is(check_of('region'), "us-east-1, from AWS_DEFAULT_REGION of the server's environment", 'AWS_DEFAULT_REGION');
like($athena->with(%unset, endpoint_url => 'http://127.0.0.1:1', max_attempts => 1)->identity, qr/^08001 /,
	'a setting comes before');
$athena->restart(
	%environment,
	AWS_REGION                          => 'zz-nowhere-1',
	AWS_ENDPOINT_URL                    => $url,
	AWS_ENDPOINT_URL_ATHENA             => $url,
	AWS_IGNORE_CONFIGURED_ENDPOINT_URLS => 'true');
$athena->with(%unset, connect_timeout => '1ms', max_attempts => 1)->clear_log;
is(check_of('endpoint'), 'https://athena.zz-nowhere-1.amazonaws.com', 'AWS_IGNORE_CONFIGURED_ENDPOINT_URLS');
is($athena->requests, 0, 'nothing is sent there');
is($athena->with(region => 'us-east-1')->identity, 'AKIDENVIRONMENT', 'it does not ignore settings');
$athena->restart;

# The container

$athena->node->append_conf('postgresql.conf', "athena_calc.credential_provider = 'container'");
$athena->restart;
is($athena->with(%container)->identity, CONTAINER, 'the container, with its token');
is($athena->with(%container, container_authorization_token => 'wrong')->identity =~ s/:.*//r, '28000 Container credentials failed',
	'a wrong token');
is($athena->asked, 'Container.Credentials', 'is refused once');
like($athena->with(%container, container_authorization_token => '')->identity, qr/^28000 Container/, 'none at all');
like($athena->with(%container, container_credentials_full_uri => "$url/v1/nothing")->identity, qr/^28000 Container/,
	'another path');
is($athena->with(%container, container_credentials_full_uri => "$url/v1/credentials?of=etl")->identity, CONTAINER,
	"a query is sent");

# Its file is read anew each time, and comes before the token.
my %file = (%container, container_authorization_token_file => "$home/container-token");
write_file("$home/container-token", "container token\n");
is($athena->with(%file, container_authorization_token => 'wrong')->identity, CONTAINER,
	'the token of a file comes before the other');
write_file("$home/container-token", 'wrong');
like($athena->with(%file)->identity, qr/^28000 Container/, 'also where it is wrong');
write_file("$home/container-token", 'container token');
is($athena->identity, CONTAINER, 'the same backend reads it anew');
write_file("$home/container-token", "container\ntoken");
like($athena->with(%file)->identity, qr/^28000 .*line breaks/, 'a line break within is refused');
is($athena->requests, 0, 'and nothing is sent');
write_file("$home/container-token", '');
like($athena->with(%file)->identity, qr/^28000 /, 'an empty file');
unlink "$home/container-token";
like($athena->with(%file)->identity, qr/^28000 could not read the container authorization token file/, 'no file');
is($athena->requests, 0, 'and nothing is sent');

# Where the token may go
for my $host (qw(example.com 169.254.169.254 169.254.170.3 127.0.0.1.example.com localhost.example.com 10.0.0.1 [::2] 0.0.0.0))
{
	is($athena->with(%container, container_credentials_full_uri => "http://$host/v1/credentials")->identity,
		"28000 the host of the container's credentials is not allowed", "not to http://$host");
}
is($athena->query_error(q(SET athena_calc.container_credentials_full_uri = 'http://me@127.0.0.1/'))->{sqlstate}, '22023',
	'not with a user');
my %short = (connect_timeout => '50ms', request_timeout => '50ms');
for my $uri (qw(http://169.254.170.23/x http://[fd00:ec2::23]/x http://localhost:1/x http://127.9.9.9:1/x https://127.0.0.1:1/x))
{
	like($athena->with(%container, %short, container_credentials_full_uri => $uri)->identity,
		qr/^\d\S+ Container credentials failed/, "but to $uri");
}
my $identity = $athena->with(%container, %short, container_credentials_relative_uri => '/v2/credentials')->identity;
like($identity, qr/^\d\S+ Container credentials failed/, 'a relative URI comes before the full one');
is($athena->requests, 0, 'and does not go to its host');
is($athena->query_error("SET athena_calc.container_credentials_relative_uri = 'http://127.0.0.1/'")->{sqlstate}, '22023',
	'it is a path');

# The instance

$athena->node->append_conf('postgresql.conf', "athena_calc.credential_provider = 'instance'");
$athena->restart;
is($athena->with->identity, INSTANCE, 'the instance');
my @requests = $athena->requests;
is($athena->asked, 'Metadata.Token Metadata.Role Metadata.Credentials', 'is asked in version 2');
ok($requests[0]{headers}{'x-aws-ec2-metadata-token-ttl-seconds'} > 0, 'a token, for a time');
is_deeply([ map { exists $_->{headers}{'x-aws-ec2-metadata-token'} ? 1 : 0 } @requests ], [ 0, 1, 1, 0 ],
	'and the rest with it');
is_deeply([ map { $_->{headers}{authorization} ? 1 : 0 } @requests[ 0 .. 2 ] ], [ 0, 0, 0 ], 'nothing is signed');
$athena->identity;
is($athena->requests, 1, 'the next call asks for nothing');
is($athena->with(ec2_metadata_service_endpoint => "$url/")->identity, INSTANCE, 'an endpoint with a slash');
is($athena->with(region => '')->identity, INSTANCE, "the instance's region signs, where there is no other");
is(check_of('region'), 'us-east-1, from instance', 'says check_setup()');
like($athena->with(ec2_metadata_disabled => 'on')->identity, qr/^28000 no AWS credentials: no EC2 instance metadata/,
	'it may be disabled');
is($athena->requests, 0, 'then nothing is sent');
like($athena->with(ec2_metadata_disabled => 'on', region => '')->identity, qr/^(28000|55000) no AWS /,
	'nor for the region');
is($athena->requests, 0, 'really');

for my $case (
	[ 'Metadata.Token', { status => 403 }, qr/^28000 no AWS credentials: no EC2 instance metadata/, 'Metadata.Token' ],
	[ 'Metadata.Token', { status => 500 }, qr/^28000 no AWS credentials: no EC2 instance metadata/, 'Metadata.Token Metadata.Token' ],
	[ 'Metadata.Token', { body => '<html>Sign in</html>' }, qr/^28000 /, undef ],
	[ 'Metadata.Token', { body => '' }, qr/^28000 no AWS credentials: no EC2/, 'Metadata.Token' ],
	[ 'Metadata.Role', { status => 404 }, qr/^28000 .*the instance has no role/, 'Metadata.Token Metadata.Role' ],
	[ 'Metadata.Role', { body => '<html> </html>' }, qr/^\S+ EC2 metadata /, undef ],
	[ 'Metadata.Role', { body => '' }, qr/^08P01 EC2 metadata /, 'Metadata.Token Metadata.Role' ],
	[ 'Metadata.Role', { status => 401 }, qr/^28000 EC2 metadata GET \S+ failed/, 'Metadata.Token Metadata.Role' ],
	[ 'Metadata.Credentials', { body => '{"Code": "Failed", "Message": "not now"}' }, qr/^08P01 .*says Failed: not now/, undef ],
	[ 'Metadata.Credentials', { body => '<html>Sign in</html>' }, qr/^08P01 .*is not JSON/, undef ],
	[ 'Metadata.Credentials', { status => 404 }, qr/^28000 EC2 metadata GET/, undef ])
{
	my ($operation, $fault, $message, $asked) = @$case;
	my $name = "$operation: " . join ' ', map { "$_ $fault->{$_}" } sort keys %$fault;

	$athena->clear_faults;
	$athena->fault(operation => $operation, times => undef, %$fault);
	like($athena->with->identity, $message, $name);
	is($athena->asked, $asked, 'and nothing else is asked') if $asked;
	is($athena->requests('ListEngineVersions'), 0, 'the call is not made');
	$athena->clear_faults;
	is($athena->identity, INSTANCE, 'and the next one is');
}
$athena->faults(map { { operation => $_, status => 500 } } qw(Metadata.Token Metadata.Role Metadata.Credentials));
is($athena->with->identity, INSTANCE, 'trouble that passes');
$athena->fault(operation => 'Metadata.Token', hang => \1, times => undef);
my $since = time;
like($athena->with->identity, qr/^28000 no AWS credentials: no EC2/, 'a service that does not answer');
cmp_ok(time - $since, '<', patient(4), 'is waited for twice, a second each');
$athena->clear_faults;

# Profiles

my $role = 'role_arn = arn:aws:iam::123456789012:role';
write_profiles("[default]\n" . keys_of('AKIDDEFAULT') . "[batch]\n" . keys_of('AKIDBATCH') . "[batch-login]\n" . keys_of('AKIDBATCH'), <<"END");
[profile config]
@{[ keys_of('AKIDCONFIG') ]}
region = us-east-1
[profile batch]
@{[ keys_of('AKIDCONFIG') ]}
[profile etl]
$role/etl
source_profile = batch
[profile named]
$role/etl
source_profile = batch
role_session_name = nightly
duration_seconds = 900
[profile guarded]
$role/guarded
source_profile = batch
external_id = door-17
[profile locked]
$role/guarded
source_profile = batch
[profile second]
$role/second
source_profile = etl
[profile third]
$role/third
source_profile = second
[profile loop]
$role/etl
source_profile = pool
[profile pool]
$role/second
source_profile = loop
[profile self]
$role/etl
source_profile = self
@{[ keys_of('AKIDCONFIG') ]}
[profile keyed]
$role/second
source_profile = etl
@{[ keys_of('AKIDCONFIG') ]}
[profile from-keyed]
$role/third
source_profile = keyed
[profile hollow]
$role/etl
source_profile = hollow
[profile nowhere]
$role/etl
[profile both]
$role/etl
source_profile = batch
credential_source = Environment
[profile environment]
$role/etl
credential_source = Environment
[profile container]
$role/etl
credential_source = EcsContainer
[profile instance]
$role/etl
credential_source = Ec2InstanceMetadata
[profile moon]
$role/etl
credential_source = Moon
[profile web]
$role/etl
web_identity_token_file = $home/token
role_session_name = pod
[profile mfa]
$role/etl
source_profile = batch
mfa_serial = arn:aws:iam::123456789012:mfa/me
[profile sso]
sso_session = company
sso_account_id = 123456789012
sso_role_name = etl
[profile sso-old]
sso_start_url = https://example.awsapps.com/start
sso_role_name = etl
[profile sso-keyed]
sso_account_id = 123456789012
@{[ keys_of('AKIDCONFIG') ]}
[profile from-sso]
$role/etl
source_profile = sso-keyed
[profile sso-token]
sso_session = company
[profile login]
login_session = arn:aws:iam::123456789012:user/me
@{[ keys_of('AKIDCONFIG') ]}
[profile batch-login]
login_session = arn:aws:iam::123456789012:user/me
[profile token]
@{[ keys_of('AKIDTOKEN') ]}
aws_session_token = a+session/token==
[profile token-old]
@{[ keys_of('AKIDTOKEN') ]}
aws_security_token = a+session/token==
[profile half]
aws_access_key_id = AKIDCONFIG
[profile mute]
region = us-east-1
[profile elsewhere]
region = eu-west-1
@{[ keys_of('AKIDCONFIG') ]}
[profile wrong-region]
region = us east 1
@{[ keys_of('AKIDCONFIG') ]}
[profile large-region]
region = US-EAST-1
@{[ keys_of('AKIDCONFIG') ]}
END
$athena->node->append_conf('postgresql.conf', "athena_calc.credential_provider = 'profile'");
$athena->restart(%environment);

for my $case (
	[ default        => 'AKIDDEFAULT' ],
	[ config         => 'AKIDCONFIG' ],
	[ batch          => 'AKIDBATCH' ], # the credentials file comes first
	[ etl            => 'etl/athena_calc' ],
	[ named          => 'etl/nightly' ],
	[ guarded        => 'guarded/athena_calc' ],
	[ locked         => qr/^42501 STS AssumeRole failed/ ],
	[ second         => 'second/athena_calc' ],
	[ third          => 'third/athena_calc' ],
	[ loop           => qr/^28000 .*"loop" leads back to itself/ ],
	[ self           => 'etl/athena_calc' ],
	[ keyed          => 'second/athena_calc' ],
	[ 'from-keyed'   => 'third/athena_calc' ],
	[ hollow         => qr/^28000 .*"hollow" is its own source_profile, but has no keys/ ],
	[ nowhere        => qr/^28000 .*not one of source_profile and credential_source/ ],
	[ both           => qr/^28000 .*not one of source_profile and credential_source/ ],
	[ environment    => 'etl/athena_calc' ],
	[ container      => 'etl/athena_calc' ],
	[ instance       => 'etl/athena_calc' ],
	[ moon           => qr/^28000 .*"moon" has a credential_source that is none/ ],
	[ web            => 'etl/pod' ],
	[ mfa            => qr/^28000 .*\(mfa_serial\)/ ],
	[ sso            => qr/^28000 .*IAM Identity Center/ ],
	[ 'sso-old'      => qr/^28000 .*IAM Identity Center/ ],
	[ 'sso-keyed'    => qr/^28000 .*"sso-keyed" is one of IAM Identity Center/ ],
	[ 'from-sso'     => qr/^28000 .*"sso-keyed" is one of IAM Identity Center/ ],
	[ 'sso-token'    => qr/^28000 .*"sso-token" says nothing of credentials/ ], # for other services
	[ login          => qr/^28000 .*"login" is one of aws login/ ],
	[ 'batch-login'  => 'AKIDBATCH' ],
	[ token          => 'AKIDTOKEN' ],
	[ 'token-old'    => 'AKIDTOKEN' ],
	[ half           => qr/^28000 .*"half" has no aws_secret_access_key/ ],
	[ mute           => qr/^28000 .*"mute" says nothing of credentials/ ],
	[ 'profile etl'  => qr/^28000 .*"profile etl" is in none/ ])
{
	my ($name, $expected) = @$case;
	my $identity = $athena->with(%container, profile => $name)->identity;

	ref $expected ? like($identity, $expected, "profile $name") : is($identity, $expected, "profile $name");
}
my %sources = (environment => 'AKIDENVIRONMENT', self => 'AKIDCONFIG', etl => 'AKIDBATCH', keyed => 'AKIDBATCH', 'from-keyed' => 'AKIDCONFIG');
for my $name (sort keys %sources)
{
	$athena->with(profile => $name)->identity;
	is(($athena->requests('STS.AssumeRole'))[0]{access_key_id}, $sources{$name},
		"the role of $name is assumed with the right keys");
}
$athena->with(%container, profile => 'container')->identity;
like(($athena->requests('STS.AssumeRole'))[0]{principal}, qr/@{[CONTAINER]}$/,
	'that of "container" with the container\'s');
$athena->with(profile => 'instance')->identity;
like(($athena->requests('STS.AssumeRole'))[0]{principal}, qr/@{[INSTANCE]}$/,
	'that of "instance" with the instance\'s');
$athena->with(profile => 'third')->identity;
is_deeply(
	[ map { $_->{principal} =~ m{([^/:]+)(/athena_calc)?$} ? $1 : '' } $athena->requests('STS.AssumeRole') ],
	[qw(emulator etl second)],
	'a chain of three goes from one to the next');
$athena->query("SET athena_calc.profile = 'etl'");
is($athena->identity, 'etl/athena_calc', 'another profile gives others');
$athena->query("SET athena_calc.profile = 'third'");
is($athena->identity, 'third/athena_calc', 'the first again');
is($athena->asked, '', 'is still there');
is($athena->with(profile => 'config', role_arn => $web_identity{role_arn})->identity, 'etl/athena_calc',
	'a role beside a profile');
is(($athena->requests('STS.AssumeRole'))[0]{access_key_id}, 'AKIDCONFIG', "is assumed with the profile's keys");
$athena->with(profile => 'named')->identity;
like(($athena->requests('STS.AssumeRole'))[0]{body}, qr/&DurationSeconds=900(&|$)/, 'duration_seconds is asked for');

# The region of a profile
$athena->with(profile => 'config', region => '');
is($athena->identity, 'AKIDCONFIG', "the profile's region signs");
is(check_of('region'), 'us-east-1, from profile', 'and check_setup() tells where it is from');
is($athena->with(profile => 'elsewhere')->identity, 'AKIDCONFIG', 'a setting comes before it');
$athena->with(profile => 'elsewhere', region => '')->query_error('SELECT athena_calc.list_engine_versions()');
like(check_of('region'), qr/^eu-west-1, /, 'where there is none, the profile has the word');
like($athena->with(profile => 'large-region', region => '')->identity, qr/^55000 the region of the profile/,
	'a region in capitals, which no signature has');
like($athena->with(profile => 'wrong-region', region => '')->identity, qr/^55000 the region of the profile/,
	'a wrong one is an error');

# Keys come out of one file, and a changed file counts at the next call.
write_profiles("[default]\naws_access_key_id = AKIDDEFAULT\n", "[default]\n" . keys_of('AKIDCONFIG'));
like($athena->with->identity, qr/^28000 .*"default" has no aws_secret_access_key/,
	'half a pair is not completed by the other file');
write_profiles("[default]\n" . keys_of('AKIDDEFAULT'));
is($athena->identity, 'AKIDDEFAULT', 'a file is mended, and the same backend goes on');
write_profiles("[default]\n" . keys_of('AKIDBATCH'));
is($athena->identity, 'AKIDBATCH', 'it changes, and other keys count');
write_profiles("[default]\naws_access_key_id = AKIDTOKEN\naws_secret_access_key = @{[ secret_of('AKIDTOKEN') ]}\n"
	  . "aws_session_token = a+session/token==\n");
is($athena->identity, 'AKIDTOKEN', 'a token goes with them');
chmod 0, "$home/.aws/credentials";
SKIP:
{
	skip 'nothing is unreadable to root', 1 if $> == 0;
	like($athena->with->identity, qr/^28000 could not read .*credentials"/, 'a file that may not be read is an error');
}
write_profiles("[default]\n" . keys_of('AKIDBATCH'));

# What is malformed is named with its line.
for my $case (
	[ "[default]\nnonsense\n",                  2, 'a line that is nothing' ],
	[ "key = value\n[default]\n",               1, 'a key before any section' ],
	[ "[default]\n= value\n",                   2, 'a value without a key' ],
	[ "[default]\na = 1\na = 2\n",              3, 'a key twice' ],
	[ "[default]\na = 1\n[x]\n\n[default]\n",   5, 'a section twice' ],
	[ "[default]\na = 1\n[x\n",                 3, 'a section that does not end' ])
{
	my ($text, $line, $name) = @$case;

	write_profiles($text);
	like($athena->with->identity, qr/^28000 the AWS file "\Q$home\E\/\.aws\/credentials" is not valid: line $line: /, $name);
}
write_profiles("[default]\n" . keys_of("AKID\0"));
like($athena->with->identity, qr/^28000 /, 'a NUL');
write_profiles('x' x (1024 * 1024 + 1));
like($athena->with->identity, qr/^28000 .*it is too large/, 'a file that is too large');
# A program that prints credentials: only where that is allowed.

my $process = "$home/print credentials";
write_file($process, <<"END");
#!/bin/sh
keys='"AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "@{[ secret_of('AKIDPROCESS') ]}"'
echo run >> "$home/runs"
case \$1 in
	valid)     echo "{\\"Version\\": 1, \$keys}" ;;
	slow)      sleep 2.5; echo "{\\"Version\\": 1, \$keys, \\"Expiration\\": \\"\$(date -u -d '+15 seconds' '+%F %T%z')\\"}" ;;
	expiring)  echo "{\\"Version\\": 1, \$keys, \\"Expiration\\": \\"\$(date -u -d '+2 seconds' +%FT%TZ)\\"}" ;;
	token)     echo '{"Version": 1, "AccessKeyId": "AKIDTOKEN", "SessionToken": "a+session/token==",'
	           echo '"SecretAccessKey": "@{[ secret_of('AKIDTOKEN') ]}"}' ;;
	version)   echo "{\\"Version\\": 2, \$keys}" ;;
	unversioned) echo "{\$keys}" ;;
	keyless)   echo '{"Version": 1}' ;;
	words)     echo 'please sign in' ;;
	silent)    ;;
	timeless)  echo "{\\"Version\\": 1, \$keys, \\"Expiration\\": \\"soon\\"}" ;;
	fails)     echo "{\\"Version\\": 1, \$keys}"; echo 'the vault is closed' >&2; exit 3 ;;
	killed)    kill -KILL \$\$ ;;
	endless)   yes ;;
	sleeps)    sleep 61 & echo \$\$ \$! > "$home/pids"; wait ;;
	closes)    exec 1>&-; sleep 61 & echo \$\$ \$! > "$home/pids"; wait ;;
esac
END
chmod 0755, $process;
my @programs = qw(valid slow expiring token version unversioned keyless words silent timeless fails killed endless sleeps closes);
write_profiles(undef, join '', map { qq([profile $_]\ncredential_process = "$process" $_\n) } @programs);
append_to_file("$home/.aws/config", "[profile $_->[0]]\ncredential_process = $_->[1]\n")
  for [ gone => "$home/nothing" ], [ quote => q('never closed) ], [ shell => "echo hello; touch $home/injected" ],
  [ path => 'true' ];

sub pids { return split ' ', -e "$home/pids" ? slurp_file("$home/pids") : '' }

# Whether no process of the program is left; one that nobody has asked how it ended is none.
sub is_gone
{
	my ($pid) = @_;

	return !-e "/proc/$pid" || slurp_file("/proc/$pid/stat") =~ /\) Z /;
}

like($athena->with(profile => 'valid')->identity, qr/^28000 .*credential_process, which is not allowed to run$/,
	'a process is not run');
ok(!-e "$home/runs", 'really');
$athena->query('CREATE ROLE stranger');
is($athena->query_error('SET ROLE stranger; SET athena_calc.allow_credential_process = on')->{sqlstate}, '42501',
	'not for everyone to allow');

my %allowed = (allow_credential_process => 'on');
for my $case (
	[ valid       => 'AKIDPROCESS' ],
	[ token       => 'AKIDTOKEN' ],
	[ expiring    => 'AKIDPROCESS' ],
	[ version     => qr/^28000 .*output has no Version 1/ ],
	[ unversioned => qr/^28000 .*output has no Version 1/ ],
	[ keyless     => qr/^28000 .*output has no credentials/ ],
	[ words       => qr/^28000 .*"words" has a credential_process whose output is not JSON: see / ],
	[ silent      => qr/^28000 .*"silent" has a credential_process whose output is not JSON: see / ],
	[ timeless    => qr/^28000 .*output has an Expiration that is no time/ ],
	[ fails       => qr/^28000 the program exited with status 3$/ ],
	[ killed      => qr/^28000 the program was ended by signal 9/ ],
	[ endless     => qr/^28000 the program printed more than 65536 bytes$/ ],
	[ gone        => qr/^28000 the program cannot be started: No such file/ ],
	[ quote       => qr/^28000 .*a quote is not closed/ ],
	[ path        => qr/^28000 .*output / ],
	[ shell       => qr/^28000 .*output / ])
{
	my ($name, $expected) = @$case;
	my $identity = $athena->with(%allowed, profile => $name)->identity;

	ref $expected ? like($identity, $expected, "a process: $name") : is($identity, $expected, "a process: $name");
}
ok(!-e "$home/injected", 'there is no shell');
like(slurp_file($athena->node->logfile), qr/the vault is closed/, 'what it wrote to its standard error is in the log');

unlink "$home/runs";
$athena->with(%allowed, profile => 'valid');
$athena->identity for 1 .. 3;
is(slurp_file("$home/runs"), "run\n", 'without an Expiration it is run once');
unlink "$home/runs";
$athena->with(%allowed, profile => 'expiring')->identity;
sleep 3;
is($athena->identity, 'AKIDPROCESS', 'with one that is over');
is(slurp_file("$home/runs"), "run\nrun\n", 'it is run again');

# In the last third of their life others are fetched: from the 10th to the 12th second here.
unlink "$home/runs";
$athena->with(%allowed, profile => 'slow')->identity;
sleep 12.5;
is($athena->identity, 'AKIDPROCESS', 'while credentials still hold');
is(slurp_file("$home/runs"), "run\nrun\n", 'a program is run again');
unlike(slurp_file($athena->node->logfile), qr/could not refresh AWS credentials/, 'to its end, however long it takes');
$athena->identity;
is(slurp_file("$home/runs"), "run\nrun\n", 'and once');

# Where a profile of the config file has keys and a program, it is the program's; those of the credentials file come before it.
append_to_file("$home/.aws/config", "[profile both]\ncredential_process = \"$process\" valid\n" . keys_of('AKIDCONFIG'));
is($athena->with(%allowed, profile => 'both')->identity, 'AKIDPROCESS', 'a program comes before keys beside it');
like($athena->with(profile => 'both')->identity, qr/^28000 .*which is not allowed to run$/, 'also where it is not allowed');
write_file("$home/.aws/credentials", "[both]\n" . keys_of('AKIDBATCH'));
is($athena->with(%allowed, profile => 'both')->identity, 'AKIDBATCH', 'but not before those of the credentials file');

for my $name (qw(sleeps closes))
{
	unlink "$home/pids";
	$athena->with(%allowed, profile => $name);
	$athena->session_backend->send('SELECT athena_calc.list_engine_versions()');
	$athena->wait_until(sub { pids() == 2 }, 'the program runs');
	my $since = time;
	$athena->session_backend->cancel;
	is($athena->session_backend->finish->{error}{sqlstate}, '57014', "Ctrl-C while a program $name");
	cmp_ok(time - $since, '<', patient(1), 'takes effect at once');
	$athena->wait_until(sub { !grep { !is_gone($_) } pids() }, 'its processes are gone');
	is($athena->with(%allowed, profile => 'valid')->identity, 'AKIDPROCESS', 'leaves no process, and calls go on');

	unlink "$home/pids";
	like($athena->with(%allowed, profile => $name, request_timeout => '300ms')->identity,
		qr/^28000 the program took too long/, "request_timeout while a program $name");
	$athena->wait_until(sub { !grep { !is_gone($_) } pids() }, 'its processes are gone');
	pass('leaves no process');

	unlink "$home/pids";
	$athena->with(%allowed, profile => $name);
	$athena->session_backend->send('SELECT athena_calc.list_engine_versions()');
	$athena->wait_until(sub { pids() == 2 }, 'the program runs');
	my $pid = $athena->session_backend->pid;
	$athena->connect->query("SELECT pg_terminate_backend($pid)");
	$athena->wait_until(sub { !grep { !is_gone($_) } $pid, pids() }, 'its processes are gone');
	pass("the backend's end ends a program that $name");
	$athena->session_backend->finish;
}

my $log = join '', grep { !/statement:|STATEMENT:/ } slurp_file($athena->node->logfile) =~ /^.*\n/mg;
unlike($log, qr/ERROR:  XX|terminated by signal|PANIC|TRAP/, 'nothing bad is in the log');
unlike($log, qr/secret\/of|container token|Signature=|a\+session/, 'and no secret');

done_testing();
