package AthenaCalc::Sample;

=head1 NAME

AthenaCalc::Sample - a database that uses all of the extension that dumps and upgrades have to carry

=head1 SYNOPSIS

  my $sample = AthenaCalc::Sample->new($athena);     # AthenaCalc::Test; the database "sample"

  $athena->clear_log;
  ...                                                # it comes to another server in some way
  is($athena->requests, 0, 'nothing was sent');
  $sample->works_in($node, 'restored');              # tests
  is(dump_of($node, 'sample'), dump_of($athena->node, 'sample'));

=head1 DESCRIPTION

new() makes roles and the database: tables with the extension's types, with rows; views, functions with bodies of every kind,
a trigger, materialized views with and without rows; grants, a foreign server, user mappings with keys; settings of roles and
of the database.

=cut

use strict;
use warnings;

use AthenaCalc::Connection;
use AthenaCalc::Test;
use Exporter qw(import);
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(dump_of);

use constant {
	DATABASE       => 'sample',
	MAPPING_KEY    => 'AKIDMAPPING',
	MAPPING_SECRET => 'a/secret+of=the-mapping',
	PUBLIC_SECRET  => 'a/secret+of=everybody',
};

my @GLOBAL = (
	'CREATE ROLE etl LOGIN',
	'CREATE ROLE report_owner',
	'CREATE ROLE auditor LOGIN IN ROLE pg_read_all_data',
	q{ALTER ROLE etl SET athena_calc.server = 'reports'},
	q{ALTER ROLE etl IN DATABASE sample SET athena_calc.max_attempts = 2},
	q{ALTER DATABASE sample SET athena_calc.region = 'us-east-1'},
	q{ALTER DATABASE sample SET athena_calc.request_timeout = '20s'});

my @LOCAL = (
	'CREATE EXTENSION athena_calc',
	'GRANT CREATE ON SCHEMA public TO etl',

	# Types in tables, in arrays, in a domain, in another type
	'CREATE DOMAIN ended AS athena_calc.calculation_execution_status CHECK ((VALUE).state IN (\'COMPLETED\', \'FAILED\'))',
	'CREATE TYPE pair AS (session athena_calc.session_status, executors athena_calc.executor[])',
	'CREATE TABLE job (id int PRIMARY KEY, run athena_calc.calculation_execution, status ended, pair pair,
		objects athena_calc.s3_object[], session athena_calc.session)',
	q{INSERT INTO job (id) VALUES (1)},
	q{INSERT INTO job (id, run.calculation_execution_id, run.description, run.submission_date_time, run.dpu_execution_in_millis)
		VALUES (2, 'an-id', E'"quoted", (in brackets)\n\\ and K\u00f6ln \u6771\u4eac', '2024-05-01 12:00:00.123456+00', 9007199254740993)},
	q{UPDATE job SET status = ROW('an-id', now(), NULL, 'COMPLETED', '', 17, NULL)::athena_calc.calculation_execution_status,
		pair = ROW(ROW('a-session', NULL, NULL, NULL, NULL, 'IDLE', NULL), ARRAY[ROW('1', 'WORKER', NULL, NULL, 'CREATED', 3)]::athena_calc.executor[]),
		objects = ARRAY[ROW('s3://bucket/key', 1, '2024-05-01', '"etag"'), NULL]::athena_calc.s3_object[],
		session.session_id = 'a-session', session.spark_properties = '{"a.b": ["c", null]}' WHERE id = 2},

	# What calls functions: when it is used, not when it is made
	q{CREATE VIEW engine AS SELECT * FROM athena_calc.list_engine_versions()},
	q{CREATE VIEW waits AS SELECT pid, state FROM athena_calc.activity},
	q{CREATE FUNCTION engines() RETURNS bigint LANGUAGE sql BEGIN ATOMIC
		SELECT count(*) FROM athena_calc.list_engine_versions(max_results => 100); END},
	q{CREATE FUNCTION engines_of_owner() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
		SET athena_calc.server = 'reports' BEGIN ATOMIC SELECT count(*) FROM athena_calc.list_engine_versions(); END},
	'ALTER FUNCTION engines_of_owner() OWNER TO report_owner',
	q{CREATE FUNCTION state_of(run athena_calc.calculation_execution DEFAULT NULL) RETURNS text LANGUAGE sql AS 'SELECT run.state'},
	q{CREATE PROCEDURE nightly(INOUT run athena_calc.calculation_execution DEFAULT NULL) LANGUAGE plpgsql AS $$
		BEGIN CALL athena_calc.run('print(6 * 7)', result => run); END $$},
	q{CREATE FUNCTION count_engines() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN PERFORM athena_calc.list_engine_versions(); RETURN NEW; END $$},
	'CREATE TRIGGER counting BEFORE INSERT OR UPDATE ON job FOR EACH ROW EXECUTE FUNCTION count_engines()',
	q{CREATE MATERIALIZED VIEW kept AS SELECT * FROM athena_calc.list_engine_versions()},
	q{CREATE MATERIALIZED VIEW empty AS SELECT * FROM athena_calc.list_sessions() WITH NO DATA},

	# Who may
	'GRANT USAGE ON SCHEMA athena_calc TO etl, report_owner',
	'GRANT EXECUTE ON FUNCTION athena_calc.list_engine_versions TO etl WITH GRANT OPTION',
	'GRANT EXECUTE ON FUNCTION athena_calc.list_engine_versions TO report_owner',
	'GRANT EXECUTE ON PROCEDURE athena_calc.run TO etl',
	'REVOKE EXECUTE ON FUNCTION athena_calc.activity() FROM PUBLIC',
	'REVOKE SELECT ON athena_calc.activity FROM PUBLIC',
	'GRANT USAGE ON TYPE athena_calc.s3_object TO etl',
	'GRANT SELECT ON engine, kept TO etl',
	'REVOKE EXECUTE ON FUNCTION engines() FROM PUBLIC',
	q{CREATE SERVER reports FOREIGN DATA WRAPPER athena_calc OPTIONS (region 'us-east-1', work_group 'spark')},
	q{COMMENT ON SERVER reports IS 'The account of the reports'},
	'GRANT USAGE ON FOREIGN SERVER reports TO etl, report_owner',
	'GRANT USAGE ON FOREIGN DATA WRAPPER athena_calc TO etl',
	(map {
			"CREATE USER MAPPING FOR $_ SERVER reports OPTIONS (access_key_id '"
			  . MAPPING_KEY . "', secret_access_key '" . MAPPING_SECRET . q{')}
	} qw(etl report_owner)),
	q{CREATE USER MAPPING FOR PUBLIC SERVER reports OPTIONS (access_key_id 'AKIDPUBLIC', secret_access_key '} . PUBLIC_SECRET . q{')},
	'ALTER MATERIALIZED VIEW kept OWNER TO etl');

=head1 METHODS

=over

=item AthenaCalc::Sample->emulator_options

What the emulator has to know: options of its command line, for AthenaCalc::Test->new(emulator => [...]).

=item AthenaCalc::Sample->new($athena)

Makes roles and the database.

=cut

sub emulator_options
{
	return [
		'--credentials', 'AKIDEXAMPLE:' . AthenaCalc::Test::SECRET_KEY, '--credentials', MAPPING_KEY . ':' . MAPPING_SECRET,
		'--credentials', 'AKIDPUBLIC:' . PUBLIC_SECRET
	];
}

sub new
{
	my ($class, $athena) = @_;

	$athena->query('CREATE DATABASE ' . DATABASE);
	$athena->query($_) for @GLOBAL;
	my $db = $athena->connect(dbname => DATABASE);
	$db->query($_) for @LOCAL;
	my $self = bless { athena => $athena, rows => _rows($db) }, $class;
	$db->close;
	return $self;
}

sub _rows
{
	my ($db) = @_;

	return [ $db->column('SELECT job::text FROM job ORDER BY id') ];
}

=item $sample->works_in($node, $name)

Tests that the database in that server has its rows, grants, mappings and settings, and calls Athena.

=back

=cut

sub works_in
{
	my ($self, $node, $name) = @_;
	my $athena = $self->{athena};
	my $db     = AthenaCalc::Connection->new($node, dbname => DATABASE);
	my $etl    = AthenaCalc::Connection->new($node, dbname => DATABASE, user => 'etl');
	my $signer = sub { return join ' ', map { $_->{access_key_id} } $athena->requests('ListEngineVersions') };

	is_deeply(_rows($db), $self->{rows}, "$name: the table has its rows");
	is($db->value('SELECT (run).dpu_execution_in_millis FROM job WHERE id = 2'), '9007199254740993', 'of the types they were of');
	$athena->clear_log;
	is($db->value('SELECT count(*) FROM engine'), 2, 'a view calls Athena');
	is($signer->(), 'AKIDEXAMPLE', "with the server's keys");
	is($db->value('SELECT engines()'), 2, 'a function does');
	$athena->clear_log;
	is($db->value('SELECT engines_of_owner()'), 2, 'and one with the rights of its owner');
	is($signer->(), MAPPING_KEY, 'with the keys of his mapping');
	$athena->clear_log;
	is($etl->value('SELECT count(*) FROM athena_calc.list_engine_versions()'), 2, 'a role has what was granted');
	is($signer->(), MAPPING_KEY, 'its server, and its mapping there');
	is($etl->error($_)->{sqlstate}, '42501', "and no more: $_")
	  for 'SELECT engines()', 'SELECT * FROM athena_calc.list_sessions()', 'SELECT * FROM athena_calc.activity()';
	is_deeply([ map { $etl->value("SHOW athena_calc.$_") } qw(server max_attempts region request_timeout) ],
		[qw(reports 2 us-east-1 20s)], 'with settings of roles and database');
	is($db->value('SHOW athena_calc.secret_access_key'), '********', "and the server's own");
	is($db->row('CALL nightly()')->{run} =~ /COMPLETED/, 1, 'a calculation is run');
	$athena->clear_log;
	$db->query('INSERT INTO job (id) VALUES (3)');
	is(scalar($athena->requests), 1, 'a trigger calls');
	$db->query('DELETE FROM job WHERE id = 3');
	$_->close for $db, $etl;
	return;
}

=head1 FUNCTIONS

=over

=item dump_of($node, $database, @arguments)

What the tests' pg_dump writes of any server, without what differs each time, and the server's version.

=back

=cut

sub dump_of
{
	my ($node, $database, @arguments) = @_;
	my ($text, $errors);

	IPC::Run::run([ 'pg_dump', @arguments, '-d', $node->connstr($database) ], '>', \$text, '2>', \$errors)
	  or die "pg_dump failed: $errors";
	# Minor versions from 2025 on have a random word there.
	$text =~ s/^\\(?:un)?restrict \w+\n//mg;
	return $text =~ s/^-- Dumped from database version .*\n//mr;
}

1;
