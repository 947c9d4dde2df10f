# Roles and other credentials that end: STS, what it may answer, refreshing in time, and what a refusal brings about.
# PYTHON names a Python that has moto, an STS that is not ours, where the first one on the path has it not.

use strict;
use utf8;
use warnings;

use AthenaCalc::Test;
use HTTP::Tiny;
use IPC::Run ();
use JSON::PP;
use List::Util qw(min uniq);
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my ($key_id, $secret) = ('AKIDEXAMPLE', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY');
my $athena = AthenaCalc::Test->new(
	environment => { AWS_ACCESS_KEY_ID => $key_id, AWS_SECRET_ACCESS_KEY => $secret },
	emulator    => [
		(map { ('--sts-role', "arn:aws:iam::123456789012:role/$_") } 'etl', 'second', 'guarded:door-17'),
		'--metadata', '--container-token', 'container token'
	],
	conf     => 'log_error_verbosity = verbose',
	settings => sub {
		my ($url) = @_;

		return { sts_endpoint_url => $url, ec2_metadata_service_endpoint => $url, ec2_metadata_disabled => undef };
	});
my $home = $athena->home;
my $url  = $athena->emulator->url;
my $call = 'SELECT * FROM athena_calc.list_engine_versions()';

# Each source whose credentials end: its settings, the request that it asks for credentials with, whose they are.
my $etl     = 'arn:aws:iam::123456789012:role/etl';
my %sources = (
	role         => { settings => { role_arn => $etl }, request => 'STS.AssumeRole', identity => 'etl/athena_calc' },
	web_identity => {
		settings => {
			credential_provider     => 'web_identity',
			web_identity_token_file => "$home/token",
			role_arn                => $etl,
			role_session_name       => 'pod'
		},
		request  => 'STS.AssumeRoleWithWebIdentity',
		identity => 'etl/pod'
	},
	container => {
		settings => {
			credential_provider            => 'container',
			container_credentials_full_uri => "$url/v1/credentials",
			container_authorization_token  => 'container token'
		},
		request  => 'Container.Credentials',
		identity => 'AthenaEmulatorContainerRole/container'
	},
	instance => {
		settings => { credential_provider => 'instance' },
		request  => 'Metadata.Credentials',
		identity => 'AthenaEmulatorRole/i-0123456789abcdef0'
	});

# A web identity token, as Kubernetes writes one, that holds until then.
sub token
{
	my ($until) = @_;

	my @parts = ({ alg => 'none' }, { sub => 'etl', exp => int $until });

	return join '.', (map { encode_base64(encode_json($_), '') =~ tr{+/=}{-_}dr } @parts), 'c2ln';
}

# A fresh backend that has its credentials from there; the identity of a call.
sub from
{
	my ($source, %settings) = @_;

	return $athena->with(%{ $sources{$source}{settings} }, %settings)->identity;
}

# What a call ends with while requests for credentials go wrong like this, and how many there were.
sub from_during
{
	my ($source, $fault, %settings) = @_;

	$athena->clear_faults;
	$athena->fault(operation => $sources{$source}{request}, times => undef, %$fault);
	my $identity = from($source, %settings);
	$athena->clear_faults;
	return ($identity, scalar $athena->requests($sources{$source}{request}));
}

write_file("$home/token", token(time + 3600) . "\n");

# A role

is(from('role'), 'etl/athena_calc', 'a role, with the keys of the settings; its session is called athena_calc');
is($athena->asked, 'STS.AssumeRole', 'STS is asked once');
my ($assumed) = $athena->requests('STS.AssumeRole');
is($assumed->{access_key_id}, $key_id, 'signed with those keys');
ok($assumed->{authorized}, 'and rightly');
like($athena->value(q(SELECT detail FROM athena_calc.check_setup() WHERE "check" = 'credentials')),
	qr/^settings, role \Q$etl\E; access key \.\.\..{4}; until 20/, 'check_setup() tells of it');
is(from('role', role_session_name => 'nightly+1'), 'etl/nightly+1', 'role_session_name');
like(from('role', role_arn => "${etl}2"), qr/^42501 STS AssumeRole failed: User: /, 'a role that is not ours');
is($athena->asked, 'STS.AssumeRole', 'is asked for once, and Athena not at all');
like($athena->query_error($call)->{hint}, qr/trust policy/, 'with what to look at');
like(from('role', role_arn => "$etl/../guarded"), qr/^42501 /, 'nor is another way to write one');
is(from('role', sts_endpoint_url => "$url/", region => ''), 'etl/athena_calc',
	"an endpoint with a slash, and the instance's region");
my %guarded = (role_arn => 'arn:aws:iam::123456789012:role/guarded');
is(from('role', %guarded, external_id => 'door-17'), 'guarded/athena_calc', 'external_id opens what asks for it');
like(from('role', %guarded), qr/^42501 /, 'without it, no');
like(from('role', %guarded, external_id => 'door-18'), qr/^42501 /, 'nor with another');
like(from('role', secret_access_key => 'wrong'), qr/^28000 STS AssumeRole failed/, 'a wrong secret is refused by STS');
like(from('role', access_key_id => 'AKIDNOBODY'), qr/^28000 STS AssumeRole failed/, 'so is a key that nobody knows');
is(from('role', %{ $sources{$_}{settings} }, role_arn => $etl, role_session_name => 'on'), 'etl/on', "a role beside a $_")
  for qw(container instance);
is(($athena->requests('STS.AssumeRole'))[0]{principal} =~ s/.*role\///r, $sources{instance}{identity},
	'is assumed with its credentials');
for my $wrong ([ role_arn => 'etl' ], [ role_session_name => 'x' ], [ role_session_name => 'a b' ], [ external_id => 'a b' ])
{
	is($athena->query_error("SET athena_calc.$wrong->[0] = '$wrong->[1]'")->{sqlstate}, '22023',
		"$wrong->[0] is never '$wrong->[1]'");
}

# A web identity

is(from('web_identity'), 'etl/pod', 'a web identity');
($assumed) = $athena->requests('STS.AssumeRoleWithWebIdentity');
is($assumed->{headers}{authorization}, undef, 'is not signed');
is($assumed->{access_key_id}, undef, 'by nobody');
my ($first) = $assumed->{body} =~ /WebIdentityToken=([^&]+)/;
write_file("$home/token", token(time + 1800));
is($athena->identity, 'etl/pod', 'while its credentials hold');
is($athena->asked, '', 'the file does not matter');
$athena->fault(operation => 'ListEngineVersions', error => 'ExpiredTokenException');
is($athena->identity, 'etl/pod', 'when others are needed');
my ($second) = ($athena->requests('STS.AssumeRoleWithWebIdentity'))[0]{body} =~ /WebIdentityToken=([^&]+)/;
isnt($second, $first, 'it is read anew');
like(from('web_identity', role_arn => "${etl}2"), qr/^42501 STS AssumeRoleWithWebIdentity failed/,
	'a role that is not ours');
for my $case (
	[ 'a token that has expired', token(time - 60), qr/^28000 STS \w+ failed: Token expired/ ],
	[ 'what is no token',         'password',       qr/^28000 STS \w+ failed: The ID Token/ ],
	[ 'an empty file',            "\n",             qr/^28000 the web identity token file "\Q$home\E\/token" has no token/ ],
	[ 'a NUL',                    "a\0b",           qr/^28000 .* has no token/ ],
	[ 'two lines',                "root\nbin",      qr/^28000 .* has no token/ ],
	[ 'words',                    'a b',            qr/^28000 .* has no token/ ],
	[ 'a token of 30,000 letters', 'a' x 30_000,    qr/^22023 STS / ])
{
	my ($name, $text, $expected) = @$case;

	write_file("$home/token", $text);
	like(from('web_identity'), $expected, $name);
	is($athena->requests('STS.AssumeRoleWithWebIdentity'), 0, 'nor is STS') if $expected =~ /has no token/;
	is($athena->requests('ListEngineVersions'), 0, 'and Athena is not asked');
}
unlink "$home/token";
mkdir "$home/token";
like(from('web_identity'), qr/^28000 could not read the web identity token file .*: it is not a file/, 'a directory');
rmdir "$home/token";
write_file("$home/token", token(time + 3600));

# What STS refuses, and what passes; in both its formats.

for my $format ('xml', 'json', undef)
{
	my $name = $format // 'as asked for';

	$athena->emulator_settings(sts_format => $format);
	for my $source (qw(role web_identity))
	{
		is(from($source), $sources{$source}{identity}, "$source, $name");
		for my $case (
			[ { error => 'AccessDenied', status => 403 },             qr/^42501 STS/, 1 ],
			[ { error => 'ExpiredTokenException' },                   qr/^28000 STS/, 1 ],
			[ { error => 'InvalidIdentityToken' },                    qr/^28000 STS/, 1 ],
			[ { error => 'ValidationError', message => 'too long' },  qr/^22023 STS \w+ failed: too long$/, 1 ],
			[ { error => 'RegionDisabledException', status => 403 },  qr/^55000 STS/, 1 ],
			[ { error => 'PackedPolicyTooLarge' },                    qr/^SP000 STS/, 1 ],
			[ { error => 'InternalFailure', status => 500 },          qr/^58000 STS/, 3 ],
			[ { status => 502, body => '<html></html>' },             qr/^58000 STS/, 3 ],
			[ { status => 400, body => '<html></html>' },             qr/^08P01 STS/, 1 ],
			[ { status => 500, times => 2 }, qr/^etl/, 3 ],
			[ { drop   => 'before', times => 1 }, qr/^etl/, 2 ])
		{
			my ($fault, $expected, $requests) = @$case;
			my ($identity, $count) = from_during($source, $fault);
			my $what = join ' ', map { "$_ $fault->{$_}" } sort keys %$fault;

			like($identity, $expected, "$source, $name: $what");
			is($count, $requests, "is asked for $requests times");
		}
	}
	my ($identity, $count) = from_during('role', { error => 'Throttling', message => 'Rate exceeded', times => 1 });
	is($identity, 'etl/athena_calc', "role, $name: throttling passes");
	is($count, 2, 'with the second attempt');
}
$athena->emulator_settings(sts_format => undef);
my ($identity, $count) = from_during('role', { error => 'Throttling' }, max_attempts => 2);
like($identity, qr/^53400 STS/, 'throttling that stays');
is($count, 2, 'is tried as often as max_attempts says');

# One fetch is for many calls, and what was fetched is kept.

from('role');
$athena->identity for 1 .. 5;
is($athena->asked, '', 'a role is assumed once for many calls');
$athena->query("SET athena_calc.role_arn = 'arn:aws:iam::123456789012:role/second'");
is($athena->identity, 'second/athena_calc', 'another role gives others');
is($athena->asked, 'STS.AssumeRole', 'from STS');
$athena->query("SET athena_calc.role_arn = '$etl'");
is($athena->identity, 'etl/athena_calc', 'the first one again');
is($athena->asked, '', 'is still there');
$athena->query("SET athena_calc.role_session_name = 'nightly'");
is($athena->identity, 'etl/nightly', 'another name of the session gives others');
$athena->query("CREATE SERVER second FOREIGN DATA WRAPPER athena_calc OPTIONS (role_arn 'arn:aws:iam::123456789012:role/second')");
$athena->query("SET athena_calc.server = 'second'");
is($athena->identity, 'second/nightly', 'so does a server');
$athena->query('RESET athena_calc.server');
is($athena->identity, 'etl/nightly', 'and without the server');
is($athena->asked, '', 'all is as before');

# Credentials that Athena says have expired are fetched anew, once.

for my $source (sort keys %sources)
{
	from($source);
	$athena->fault(operation => 'ListEngineVersions', error => 'ExpiredTokenException', status => 400);
	is($athena->identity, $sources{$source}{identity}, "$source: refused as expired");
	is($athena->requests($sources{$source}{request}), 1, 'other credentials are asked for');
	is($athena->requests('ListEngineVersions'), 2, 'and the call is made again');
	$athena->fault(operation => 'ListEngineVersions', error => 'ExpiredTokenException', status => 400, times => undef);
	like($athena->identity, qr/^28000 Athena ListEngineVersions failed/, 'refused again');
	is($athena->requests($sources{$source}{request}), 1, 'no more than that');
	is($athena->requests('ListEngineVersions'), 2, 'is done');
	$athena->clear_faults;
	is($athena->identity, $sources{$source}{identity}, 'and the backend goes on');
}
from('role');
my ($old) = ($athena->requests('ListEngineVersions'))[0]{access_key_id};
$athena->emulator_settings(expired_access_keys => [$old]);
is($athena->identity, 'etl/athena_calc', 'a key that has really expired');
is_deeply([ map { $_->{access_key_id} eq $old ? 1 : 0 } $athena->requests('ListEngineVersions') ], [ 1, 0 ],
	'gives way to another');
$athena->emulator_settings(expired_access_keys => []);
$athena->faults(
	{ operation => 'ListEngineVersions', error => 'ExpiredTokenException' },
	{ operation => 'STS.AssumeRole', error => 'AccessDenied' });
like($athena->identity, qr/^42501 STS AssumeRole failed/, 'where there are no others, that is the error');
is($athena->identity, 'etl/athena_calc', 'and the next call goes on');
for my $provider (qw(settings environment))
{
	$athena->with(credential_provider => $provider);
	$athena->fault(operation => 'ListEngineVersions', error => 'ExpiredTokenException');
	like($athena->identity, qr/^28000 Athena/, "$provider: there are no other keys");
	is($athena->requests, 1, 'and the call is not made again');
}

# In a batch, those that were refused; of a start, one calculation.
from('role');
my $operation = 'GetCalculationExecutionStatus';
my @ids       = map { "calculation-$_" } 1 .. 5;
$athena->faults(
	(map { { operation => $operation, contains => $ids[$_], error => 'ExpiredTokenException' } } 1, 3),
	{ operation => $operation, times => undef, body => '{"Status": {"State": "COMPLETED"}}' });
$athena->clear_log;
my @states = $athena->column(q(SELECT coalesce(state, error_code) FROM athena_calc.batch_get_calculation_execution_status($1)),
	'{' . join(',', @ids) . '}');
$athena->clear_faults;
is_deeply(\@states, [ ('COMPLETED') x 5 ], 'a batch of which two are refused');
my %sent;
$sent{ $_->{members}{CalculationExecutionId} }++ for $athena->requests($operation);
is_deeply([ map { $sent{$_} } @ids ], [ 1, 2, 1, 2, 1 ], 'those two are sent again');
is($athena->requests('STS.AssumeRole'), 1, 'with one set of credentials');

my $session = $athena->start_session;
$athena->fault(operation => 'StartCalculationExecution', error => 'ExpiredTokenException');
$athena->clear_log;
$athena->start_calculation($session, 'print(1)');
my @starts = $athena->requests('StartCalculationExecution');
is(@starts, 2, 'a start that is refused is sent again');
is(uniq(map { $_->{members}{ClientRequestToken} } @starts), 1, 'with the same token');
is($athena->value('SELECT count(*) FROM athena_calc.list_calculation_executions($1)', $session), 1,
	'and starts one calculation');

# Credentials that end while calls go on: not one call fails. All sources at once.

$athena->emulator_settings(credential_lifetime_seconds => 2);
my %backends = map { $_ => $athena->connect } keys %sources;
for my $source (keys %sources)
{
	my %settings = %{ $sources{$source}{settings} };

	$backends{$source}->query(join '; ', map { "SET athena_calc.$_ = '$settings{$_}'" } keys %settings);
}
$athena->clear_log;
# The sets of credentials that a source has signed with.
sub used
{
	my ($source) = @_;

	return uniq(map { $_->{access_key_id} } grep { $_->{principal} =~ /\Q$sources{$source}{identity}\E$/ } $athena->requests('ListEngineVersions'));
}

my ($calls, @failed) = (0);
for (my $begun = time; time < $begun + 7 || (time < $begun + patient(7) && grep { used($_) < 3 } keys %sources); sleep 0.05)
{
	for my $source (sort keys %sources)
	{
		my $error = $backends{$source}->error($call);

		push @failed, "$source: $error->{sqlstate} $error->{message}" if $error->{sqlstate} ne '00000';
		$calls++;
	}
}
is_deeply(\@failed, [], "not one of $calls calls fails while credentials live for 2 s");
for my $source (sort keys %sources)
{
	my $used = used($source);

	cmp_ok($used, '>', 2, "$source: $used sets of credentials were used");
}
$_->close for values %backends;

# While credentials hold, a refresh that fails is the log's. One that hangs may be canceled as anything else.
my $slowness = min(patient(1), 6);
$athena->emulator_settings(credential_lifetime_seconds => 9 * $slowness);
from('role', max_attempts => 1);
my $other = $athena->connect;
$other->query("SET athena_calc.role_arn = '$etl'");
$other->query($call);
$other->query('SET statement_timeout = ' . 300 * $slowness);
my $offset = -s $athena->node->logfile;
# They are refreshed within a ninth of their life from its two thirds on, in whole seconds.
sleep($slowness == 1 ? 6.2 : 7 * $slowness);
$athena->fault(operation => 'STS.AssumeRole', hang => \1, times => undef);
is($other->error($call)->{sqlstate}, '57014', 'STS hangs, and statement_timeout ends the wait for it');
$athena->clear_faults;
is($other->error('SELECT 1')->{sqlstate}, '00000', 'that leaves no transaction behind');
is($other->error('ROLLBACK')->{sqlstate}, '00000', 'so that ROLLBACK has nothing to do');
is(eval { $other->value('SELECT 1') }, 1, 'and the backend lives');
$athena->fault(operation => 'STS.AssumeRole', status => 500, error => 'InternalFailure', message => 'out of order', times => undef);
is_deeply([ uniq(map { sleep 0.05; $athena->identity } 1 .. 5) ], ['etl/athena_calc'], 'STS fails, and calls go on');
my $log = substr slurp_file($athena->node->logfile), $offset;
like($log, qr/LOG:  .*could not refresh AWS credentials, which hold for another \d+ s: STS AssumeRole failed: out of order/,
	'the log says so');
my @complaints = $log =~ /could not refresh/g;
cmp_ok(scalar @complaints, '<=', 2, 'not for each call');
sleep 3 * $slowness;
like($athena->identity, qr/^58000 STS AssumeRole failed: out of order/, 'when they have ended, it is an error');
$athena->clear_faults;
is($athena->identity, 'etl/athena_calc', 'until STS is back');

# EC2 may give credentials that have ended, for want of others: they are used, and Athena has the last word.
$athena->emulator_settings(credential_lifetime_seconds => 1);
from('instance');
$athena->emulator_settings(metadata_stale => \1, clock_offset_seconds => -120);
sleep 2;
is($athena->with(%{ $sources{instance}{settings} })->identity, $sources{instance}{identity},
	'stale ones of the instance are used');
$athena->identity for 1 .. 3;
is($athena->asked, '', 'and not asked for at each call');
$athena->emulator_settings(metadata_stale => \0, clock_offset_seconds => 0, credential_lifetime_seconds => undef);

# Fetching credentials obeys the laws of all calls: Ctrl-C, statement_timeout, max_response_size.

for my $source (sort keys %sources)
{
	my %patient = (%{ $sources{$source}{settings} }, connect_timeout => '1min', request_timeout => '1min');

	$athena->fault(operation => $sources{$source}{request}, hang => \1, times => undef);
	$athena->with(%patient)->clear_log;
	my $backend = $athena->session_backend;
	$backend->send($call);
	$athena->wait_until(sub { scalar $athena->requests($sources{$source}{request}) }, "$source is asked");
	my $since = time;
	$backend->cancel;
	is($backend->finish->{error}{sqlstate}, '57014', "$source: Ctrl-C");
	cmp_ok(time - $since, '<', patient(1), 'takes effect at once');
	$athena->query("SET statement_timeout = '300ms'");
	$since = time;
	is($athena->query_error($call)->{sqlstate}, '57014', "$source: statement_timeout");
	cmp_ok(time - $since, '<', patient(1.3), 'takes effect in time');
	$athena->query('RESET statement_timeout');
	$athena->clear_faults;
	is($athena->identity, $sources{$source}{identity}, 'and the next call works');
	for my $chunked (\0, \1)
	{
		my ($ended) = from_during($source, { endless => \1, chunked => $chunked }, max_response_size => '8kB');

		like($ended, qr/^54000 /, "$source: an answer without end");
	}
}

# What comes in place of credentials is refused, whatever it is; the next call works.

my $keys = '"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "x"';
my @json = (
	'', ' ', 'null', '[]', '{}', '1', '"text"', '{', "{$keys", "{$keys}}", '[' x 100_000, '{"a":' x 100_000, "\0", "{$keys}\0",
	qq({$keys, "Token": "a\\u0000b", "Expiration": "2099-01-01T00:00:00Z"}),
	qq({"AccessKeyId": "AK\\u0000ID", "SecretAccessKey": "x", "Token": "t"}),
	qq({"AccessKeyId": "AK\\nID", "SecretAccessKey": "x", "Token": "t"}),
	qq({"AccessKeyId": "AKÄ", "SecretAccessKey": "x", "Token": "t"}),
	qq({"AccessKeyId": 1, "SecretAccessKey": "x", "Token": "t"}),
	qq({"AccessKeyId": "", "SecretAccessKey": "x", "Token": "t"}),
	qq({"AccessKeyId": "AKID", "SecretAccessKey": null, "Token": "t"}),
	qq({"AccessKeyId": {"a": "b"}, "SecretAccessKey": ["x"], "Token": "t"}),
	(map { qq({$keys, "Token": "t", "Expiration": $_}) } '"soon"', '{}', '[1]', 'true', '1e400', '"2099-13-01T00:00:00Z"'));
my @xml = (
	'<', '<a>' x 100_000, '<html><body>Sign in', '<html></html>', "<AssumeRoleResponse>\0</AssumeRoleResponse>",
	'<!DOCTYPE a [<!ENTITY a "b">]><AssumeRoleResponse/>',
	map { "<AssumeRoleResponse><AssumeRoleResult><Credentials>$_</Credentials></AssumeRoleResult></AssumeRoleResponse>" } '',
	'<AccessKeyId>AKID</AccessKeyId><SecretAccessKey>x</SecretAccessKey>',
	'<AccessKeyId>AKID</AccessKeyId><SecretAccessKey>x</SecretAccessKey><Expiration>soon</Expiration>',
	'<AccessKeyId>AKID</AccessKeyId><Expiration>2099-01-01T00:00:00Z</Expiration>',
	'<AccessKeyId>AK&#10;ID</AccessKeyId><SecretAccessKey>x</SecretAccessKey><Expiration>2099-01-01T00:00:00Z</Expiration>',
	'<AccessKeyId><b>AKID</b></AccessKeyId><SecretAccessKey>x</SecretAccessKey><Expiration>2099-01-01T00:00:00Z</Expiration>');
for my $source (sort keys %sources)
{
	my $sts = $sources{$source}{request} =~ /^STS\.(.+)/ ? $1 : undef;
	my @bodies = $sts ? (@xml, map { qq({"${sts}Response": {"${sts}Result": {"Credentials": $_}}}) } @json) : (@json, @xml);

	$athena->with(%{ $sources{$source}{settings} }, max_attempts => 1);
	my $pid = $athena->value('SELECT pg_backend_pid()');
	my %ends;
	for my $body (@bodies)
	{
		utf8::encode(my $bytes = $body =~ s/AssumeRole/$sts || 'AssumeRole'/ger);
		$athena->fault(operation => $sources{$source}{request}, body_base64 => encode_base64($bytes, ''));
		my $ended = $athena->query_error($call);
		$ends{ $ended->{sqlstate} } .= substr($body, 0, 120) . "\n";
		$athena->clear_faults;
	}
	delete $ends{'08P01'};
	is_deeply(\%ends, {}, "$source: @{[ scalar @bodies ]} hostile answers are protocol violations");
	is($athena->identity, $sources{$source}{identity}, 'and the backend goes on');
	is($athena->value('SELECT pg_backend_pid()'), $pid, 'the same one');
	$athena->fault(operation => $sources{$source}{request}, status => 302, headers => { Location => "$url/v1/credentials" });
	like(from($source), qr/^08P01 .* is a redirect/, "$source: a redirect is not followed");
	$athena->clear_faults;
}

my $text_of_setup = q(SELECT convert_from(convert_to(detail, 'UTF8'), 'UTF8') FROM athena_calc.check_setup());
for my $case ([ 'long', '€' x 300 ], [ 'short', 'für später' ])
{
	my ($name, $words) = @$case;

	$athena->with(%{ $sources{instance}{settings} });
	$athena->fault(operation => 'Metadata.Credentials', body => qq({"Code": "Failed", "Message": "$words"}), times => undef);
	is($athena->query_error($text_of_setup)->{sqlstate}, '00000',
		"a $name message of EC2's is text when check_setup() tells it");
	$athena->clear_faults;
}
write_file("$home/bytes", "[default]\nrole_arn = $etl\nsource_profile = \xff\xfe\n");
$athena->with(credential_provider => 'profile', shared_credentials_file => "$home/bytes");
is($athena->query_error($text_of_setup)->{sqlstate}, '00000', 'so is the name of a profile that is no text');
{
	my ($ended) = from_during('role', { body => qq({"AssumeRoleResponse": {"AssumeRoleResult": {"Credentials": {$keys}}}}) });
	like($ended, qr/^08P01 /, 'STS without an Expiration is refused in JSON, too');
}

# moto's STS has a mind of its own about both formats; what it gives out Athena does not know.

my $python = $ENV{PYTHON} || 'python3';
SKIP:
{
	skip "$python has no moto", 4 if !IPC::Run::run([ $python, '-c', 'import moto.server' ], '>&', \my $ignored);
	my $words = '';
	my $moto  = IPC::Run::start([ $python, '-m', 'moto.server', '-p', 0 ], '>', \my $out, '2>', \$words);
	my $http  = HTTP::Tiny->new(timeout => 5, keep_alive => 0, proxy => undef, http_proxy => undef);

	$athena->wait_until(
		sub {
			$moto->pump_nb;
			return $words =~ m{Running on (http://127\.0\.0\.1:\d+)} && $http->get("$1/moto-api/")->{success};
		},
		'moto serves');
	my ($moto_url) = $words =~ m{Running on (http://127\.0\.0\.1:\d+)};
	for my $source (qw(role web_identity))
	{
		like(from($source, sts_endpoint_url => $moto_url), qr/^28000 Athena ListEngineVersions failed/,
			"moto: $source gets credentials");
		like($athena->value(q(SELECT detail FROM athena_calc.check_setup() WHERE "check" = 'credentials')),
			qr/; access key \.\.\..{4}; until 20\d\d-/, 'that end some day');
	}
	$moto->kill_kill;
}

# What a backend's first call takes with each source, for whoever wonders. In turns: what comes first is slower.
my $pair = join ', ', map { qq("$_->[0]": "$_->[1]") } [ AccessKeyId => $key_id ], [ SecretAccessKey => $secret ];
write_file("$home/process", qq(#!/bin/sh\necho '{"Version": 1, $pair}'\n));
chmod 0755, "$home/process";
write_file("$home/profiles", "[default]\naws_access_key_id = $key_id\naws_secret_access_key = $secret\n"
	  . "[process]\ncredential_process = $home/process\n");
my %profile = (credential_provider => 'profile', shared_credentials_file => "$home/profiles");
my %measured = (
	(map { $_ => $sources{$_}{settings} } keys %sources),
	settings    => {},
	environment => { credential_provider => 'environment' },
	profile     => \%profile,
	# Valgrind keeps its descriptors from being closed, so no program can be begun under it.
	(patient(1) > 1 ? () : (process => { %profile, profile => 'process', allow_credential_process => 'on' })));
my %took;
for my $source ((sort keys %measured) x 6)
{
	$athena->with(%{ $measured{$source} });
	my $since = time;
	$athena->query($call);
	push @{ $took{$source} }, (time - $since) * 1000;
}
for my $source (sort keys %took)
{
	my (undef, @runs) = @{ $took{$source} };

	note sprintf 'first call of a backend, %s: %.2f ms', $source, (sort { $a <=> $b } @runs)[2];
}

$log = join '', grep { !/statement:|STATEMENT:/ } slurp_file($athena->node->logfile) =~ /^.*\n/mg;
unlike($log, qr/(ERROR|FATAL):  XX|terminated by signal|PANIC|TRAP/, 'nothing bad is in the log');
unlike($log, qr/\Q$secret\E|container token|Signature=|eyJ/, 'and no secret');

done_testing();
