# Dumps: what pg_dump, pg_dumpall and a subscription carry to another database or server works there. What calls Athena is not
# called by that, but for what has to be filled: a materialized view with rows.

use strict;
use warnings;

use AthenaCalc::Catalog;
use AthenaCalc::Connection;
use AthenaCalc::Sample;
use AthenaCalc::Test;
use IPC::Run qw(run);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $athena = AthenaCalc::Test->new(
	emulator => AthenaCalc::Sample->emulator_options,
	conf     => "wal_level = logical\nmax_wal_senders = 5\nmax_replication_slots = 5\n");
my $sample = AthenaCalc::Sample->new($athena);
my $node   = $athena->node;
my $place  = PostgreSQL::Test::Utils::tempdir;
my ($mapping, $public) = (AthenaCalc::Sample::MAPPING_SECRET, AthenaCalc::Sample::PUBLIC_SECRET);

# A secret in each place that a server keeps settings in: one is in postgresql.conf.
$athena->query(q{ALTER SYSTEM SET athena_calc.container_authorization_token = 'a-token-of-the-settings'});
$node->reload;
my $in_settings = join '|', map { quotemeta } AthenaCalc::Test::SECRET_KEY, 'a-token-of-the-settings';

# What a program of PostgreSQL's has to say; it fails unless it shall.
sub client
{
	my ($name, $fails, @command) = @_;
	my ($output, $errors) = ('', '');

	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	run(\@command, '<', \'', '>', \$output, '2>', \$errors);
	is($? != 0 ? 'fails' : 'runs', $fails ? 'fails' : 'runs', $name) || diag($errors);
	return $output . $errors;
}

# Whether a dump of a database is the text that was expected.
sub dumps_as
{
	my ($server, $database, $expected, $name, @arguments) = @_;
	my $text = dump_of($server, $database, @arguments);

	return ok($text eq $expected, $name) || diag(differences([ split /\n/, $expected ], [ split /\n/, $text ]));
}

my @psql = (qw(psql -X -q -o), "$place/output", '-v', 'ON_ERROR_STOP=1');

sub new_database
{
	my ($name) = @_;

	$athena->query("CREATE DATABASE $name");
	return $name;
}

# 1. Into another database of the server

my $everything = client('pg_dumpall', 0, 'pg_dumpall');
my $original   = dump_of($node, 'sample');
like($original, qr/^CREATE EXTENSION IF NOT EXISTS athena_calc WITH SCHEMA athena_calc;$/m, 'a dump has the extension');
unlike($original, qr/CREATE (FUNCTION|TYPE|VIEW|FOREIGN DATA WRAPPER) "?athena_calc\b/, 'and not what it is made of');

write_file("$place/plain", $original);
for my $how (
	[ 'plain',     sub { client('plain text is read', 0, @psql, '-d', $_[0], '-f', "$place/plain") } ],
	[ 'custom',    sub { client('the format custom is', 0, 'pg_restore', '--exit-on-error', '-d', $_[0], "$place/custom") } ],
	[ 'directory', sub { client('a directory is, by two at once', 0, 'pg_restore', '--exit-on-error', '-j', 2, '-d', $_[0], "$place/directory") } ])
{
	my ($format, $restore) = @$how;
	my $database = new_database("from_$format");

	client("dumped as $format", 0, 'pg_dump', "--format=$format", ($format eq 'directory' ? ('-j', 2) : ()), '-f', "$place/$format", 'sample')
	  if $format ne 'plain';
	$athena->clear_log;
	is($restore->($database), '', 'without a word');
	is_deeply([ map { $_->{operation} } $athena->requests ], ['ListEngineVersions'],
		'one request is sent: by the REFRESH of the materialized view that had rows');
	dumps_as($node, $database, $original, 'what is dumped from there is the same');
	my $db = $athena->connect(dbname => $database);
	is($db->value('SELECT count(*) FROM kept'), 2, 'that view has them again');
	is($db->error('SELECT * FROM empty')->{sqlstate}, '55000', 'the other one is as empty as it was');
	$db->close;
}

# Over what is there
client('and restored over itself', 0, 'pg_restore', '--exit-on-error', '--clean', '--if-exists', '-d', 'from_custom', "$place/custom");
dumps_as($node, 'from_custom', $original, 'it is the same again');

# 2. Where Athena does not answer, all comes but the rows of that view

new_database('from_far');
$athena->fault(operation => 'ListEngineVersions', status => 403, error => 'AccessDeniedException', message => 'No.', times => undef);
my $said = client('Athena refuses', 1, 'pg_restore', '-d', 'from_far', "$place/custom");
like($said, qr/Athena ListEngineVersions failed: No\..*errors ignored on restore: 1\n/s, 'that is one error, which is told');
$athena->clear_faults;
my $far = $athena->connect(dbname => 'from_far');
is($far->value('SELECT count(*) FROM job'), 2, 'all else is there');
is($far->error('SELECT * FROM kept')->{sqlstate}, '55000', 'but no rows of the view');
$far->query('REFRESH MATERIALIZED VIEW kept');
is($far->value('SELECT count(*) FROM kept'), 2, 'until it is refreshed');
dumps_as($node, 'from_far', $original, 'then it is the same');
$far->close;

# Who wants no request at all leaves those rows out.
sub without_refresh { return $_[0] =~ s/^--\n-- Name: kept; Type: MATERIALIZED VIEW DATA;.*?;\n\n\n//msr }

my @list = grep { !/ MATERIALIZED VIEW DATA / } split /^/, client('a list of what there is', 0, 'pg_restore', '-l', "$place/custom");
write_file("$place/list", join '', @list);
new_database('without_rows');
$athena->clear_log;
is(client('restored without rows of materialized views', 0, 'pg_restore', '--exit-on-error', '-L', "$place/list", '-d', 'without_rows', "$place/custom"),
	'', 'without a word');
is(scalar($athena->requests), 0, 'nothing is sent');
dumps_as($node, 'without_rows', without_refresh($original), 'and all else is the same');

# 3. Less than all

my $schema = dump_of($node, 'sample', '--schema-only');
unlike($schema, qr/an-id/, 'a schema has no rows');
like($schema, qr/\Q$mapping\E/, 'but the mappings with their keys');
new_database('schema_only');
write_file("$place/schema", $schema);
$athena->clear_log;
client('a schema is restored', 0, @psql, '-d', 'schema_only', '-f', "$place/schema");
is(scalar($athena->requests), 0, 'nothing is sent');
dumps_as($node, 'schema_only', $schema, 'it is the same', '--schema-only');

# Rows alone go into tables that have their triggers.
for my $case ([ 2, 'called for each row' ], [ 0, 'not called', '--disable-triggers' ])
{
	my ($requests, $name, @arguments) = @$case;

	write_file("$place/rows", dump_of($node, 'sample', '--data-only', '--table=job', @arguments));
	$athena->connect(dbname => 'schema_only')->query('TRUNCATE job');
	$athena->clear_log;
	client("rows are restored, @arguments", 0, @psql, '-d', 'schema_only', '-f', "$place/rows");
	is(scalar($athena->requests), $requests, "a trigger is $name");
}

write_file("$place/unprivileged", dump_of($node, 'sample', '--no-privileges', '--no-owner'));
new_database('no_privileges');
client('without privileges it is restored', 0, @psql, '-d', 'no_privileges', '-f', "$place/unprivileged");
my $etl = $athena->connect(dbname => 'no_privileges', user => 'etl');
is($etl->error('SELECT * FROM athena_calc.list_engine_versions()')->{sqlstate}, '42501', "then nothing is granted, for nothing is PUBLIC's");
is($etl->error('SELECT athena_calc.activity()')->{sqlstate}, '42501', 'the schema is closed');
is($athena->connect(dbname => 'no_privileges')->value('SELECT engines()'), 2, 'and a superuser calls');
$etl->close;

# 4. Secrets

unlike($everything, qr/$in_settings/, 'settings of the server are in no dump');
like($everything, qr/^ALTER ROLE etl SET "athena_calc\.server" TO 'reports';$/m, 'those of a role are');
like($everything, qr/\Q$mapping\E/, 'as are the keys of mappings');

# Another role than a superuser may dump all that it may read. Of a mapping it sees no options.
my $audited = dump_of($node, 'sample', '-U', 'auditor');
unlike($audited, qr/\Q$mapping\E|\Q$public\E|$in_settings/, 'a dump of another role has no key');
like($audited, qr/^CREATE USER MAPPING FOR etl SERVER reports;$/m, 'its mappings are empty');
like($audited, qr/^2\t\(an-id,/m, 'though it has the rows');

# Such a mapping would take what the server has, in the name of a superuser's server.
new_database('audited');
write_file("$place/audited", $audited);
client('it is restored', 0, @psql, '-d', 'audited', '-f', "$place/audited");
$etl = $athena->connect(dbname => 'audited', user => 'etl');
$athena->clear_log;
$etl->query('SELECT * FROM athena_calc.list_engine_versions()');
is(($athena->requests)[0]{access_key_id}, 'AKIDEXAMPLE', "and calls with the server's keys where the mapping's were");
$etl->close;

# 5. Into another server: roles, their settings, and all databases

my $another = $athena->further_node('another');
$another->start;
write_file("$place/all", $everything);
$athena->clear_log;
{
	my ($output, $errors) = ('', '');

	run([ 'psql', '-X', '-q', '-d', $another->connstr('postgres'), '-f', "$place/all" ], '>', \$output, '2>', \$errors);
	my $superuser = (getpwuid($>))[0];
	is($errors =~ s/^psql:[^:]*:\d+: //mgr, qq{ERROR:  role "$superuser" already exists\n}, 'a whole server is restored into another');
}
is_deeply([ grep { $_ ne 'ListEngineVersions' } map { $_->{operation} } $athena->requests ], [], 'nothing but what REFRESH asks is sent');
dumps_as($another, 'sample', $original, 'the database is the same');
$sample->works_in($another, 'another server');

# Where the library is not preloaded, settings of roles come before it is known.
my $late = $athena->further_node('late', conf => "shared_preload_libraries = ''\nathena_calc.secret_access_key = ''\n");
$late->start;
client('in a server that does not preload', 0, 'psql', '-X', '-q', '-d', $late->connstr('postgres'), '-f', "$place/all");
is(AthenaCalc::Connection->new($late, dbname => 'sample', user => 'etl')->value('SHOW athena_calc.server'), 'reports', 'they are there, too');
dumps_as($late, 'sample', without_refresh($original), 'and the database is the same, but for the rows of the view: there were no keys');
$_->stop for $late;

# 6. A subscription

my $publisher = $athena->connect(dbname => 'sample');
$publisher->query('CREATE PUBLICATION jobs FOR TABLE job');
my $subscriber = AthenaCalc::Connection->new($another, dbname => 'sample');
$subscriber->query('TRUNCATE job');
$subscriber->query(sprintf q{CREATE SUBSCRIPTION jobs CONNECTION '%s' PUBLICATION jobs}, $node->connstr('sample') =~ s/'/''/gr);
$another->wait_for_subscription_sync($node, 'jobs', 'sample');
my $rows = 'SELECT job::text FROM job ORDER BY id';
is_deeply([ $subscriber->column($rows) ], [ $publisher->column($rows) ], 'a subscription copies the table');
$publisher->query(q{INSERT INTO job (id, run.state, objects) VALUES (3, 'CREATED', ARRAY[ROW('s3://bucket/other', 2, NULL, NULL)]::athena_calc.s3_object[])});
$publisher->query(q{UPDATE job SET run.state = 'COMPLETED' WHERE id >= 2});
$node->wait_for_catchup('jobs');
is_deeply([ $subscriber->column($rows) ], [ $publisher->column($rows) ], 'and follows its changes');
$subscriber->query('DROP SUBSCRIPTION jobs');
$publisher->query('DROP PUBLICATION jobs; DELETE FROM job WHERE id = 3');
$_->close for $publisher, $subscriber;
$another->stop;

# 7. The extension goes, and what is built on it

my $db = $athena->connect(dbname => 'sample');
my $open = $athena->connect(dbname => 'sample');
$open->query('PREPARE engines AS SELECT count(*) FROM athena_calc.list_engine_versions()');
is($open->value('EXECUTE engines'), 2, 'a backend calls');
my $error = $db->error('DROP EXTENSION athena_calc');
is($error->{sqlstate}, '2BP01', 'it is not dropped while something needs it');
like($error->{detail}, qr/^server reports depends on foreign-data wrapper athena_calc$/m, 'which is named');
$db->query('DROP EXTENSION athena_calc CASCADE');
is_deeply([ $db->column('SELECT attname FROM pg_attribute WHERE attrelid = \'job\'::regclass AND attnum > 0 AND NOT attisdropped') ],
	[qw(id pair)], 'with CASCADE columns of its types go, and tables stay');
is($db->value('SELECT count(*) FROM job'), 2, 'with their rows');
is_deeply([ $db->column(q{SELECT oid::regclass FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')}) ], [], 'views go');
is_deeply([ $db->column(q{SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace}) ], ['count_engines'],
	'so do functions, but for those whose body is text');
is($db->value('SELECT count(*) FROM pg_user_mapping'), 0, 'servers and mappings go');
is($open->error('EXECUTE engines')->{sqlstate}, '42883', 'a backend that is open knows it');
is($open->value('SHOW athena_calc.region'), 'us-east-1', 'the settings are of the library, which stays');
is($db->value(q{SELECT count(*) FROM pg_namespace WHERE nspname = 'athena_calc'}), 1, 'and so does the schema');
$db->query('CREATE EXTENSION athena_calc');
is($open->value('EXECUTE engines'), 2, 'made anew, it is there for all');

done_testing();
