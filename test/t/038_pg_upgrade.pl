# pg_upgrade, from an older server that the environment names: a database that uses all of the extension works in the new one, and
# nothing is sent to Athena on the way.
#
# ATHENA_CALC_OLD_PG_CONFIG is the older server's pg_config. ATHENA_CALC_OLD_CONFIG is a file of lines for its postgresql.conf, in the
# place of TEMP_CONFIG, which is for the newer one: where the extension is that was built for it.

use strict;
use warnings;

use AthenaCalc::Catalog;
use AthenaCalc::Connection;
use AthenaCalc::Sample;
use AthenaCalc::Test;
use Cwd qw(getcwd);
use File::Basename qw(dirname);
use IPC::Run qw(run);
use PostgreSQL::Test::Utils;
use Test::More;

my $old_config = $ENV{ATHENA_CALC_OLD_PG_CONFIG};
plan skip_all => 'no older server is named (ATHENA_CALC_OLD_PG_CONFIG)' unless $old_config;

my ($old_bindir, $new_bindir) = map { (run_command([ $_, '--bindir' ]))[0] } $old_config, 'pg_config';
my $athena;
{
	local $ENV{TEMP_CONFIG} = $ENV{ATHENA_CALC_OLD_CONFIG};
	delete $ENV{TEMP_CONFIG} unless defined $ENV{TEMP_CONFIG};
	$athena = AthenaCalc::Test->new(
		name         => 'old',
		install_path => dirname($old_bindir),
		emulator     => AthenaCalc::Sample->emulator_options);
}
my $old     = $athena->node;
my $sample  = AthenaCalc::Sample->new($athena);
my $version = $athena->value('SHOW server_version_num');

$sample->works_in($old, 'the older server');
my $dump = dump_of($old, 'sample');
$athena->session_backend->close;
$old->stop;

# It leaves scripts where it is run.
chdir PostgreSQL::Test::Utils::tempdir;

# A node to upgrade to. From 18 on new ones have checksums, which both must have or not.
sub new_node
{
	my ($name, $conf) = @_;
	my $no_checksums = `pg_config --version` =~ /(\d+)/ && $1 >= 18 && $version < 180000;

	return $athena->further_node($name, conf => $conf, init => $no_checksums ? ['--no-data-checksums'] : []);
}

# Runs pg_upgrade; what it says is returned. It fails unless it shall.
sub upgrade
{
	my ($node, $name, $fails, @arguments) = @_;
	my $output = '';

	$athena->clear_log;
	run([
			'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $node->data_dir, '-b', $old_bindir, '-B', $new_bindir,
			'-s', $node->host, '-p', $old->port, '-P', $node->port, @arguments
		],
		'<', \'', '>&', \$output);
	is($? != 0 ? 'fails' : 'runs', $fails ? 'fails' : 'runs', $name)
	  || diag($output, map { grep { /\b(?:error|ERROR|FATAL):/ } split /^/, slurp_file($_) } glob $node->data_dir . '/pg_upgrade_output.d/*/log/*');
	is(scalar($athena->requests), 0, 'nothing is sent');
	return $output;
}

SKIP:
{
	skip 'the library is where the server finds it in any case', 3
	  if !$ENV{TEMP_CONFIG} || -e (run_command([ 'pg_config', '--pkglibdir' ]))[0] . '/athena_calc.so';
	my $without = new_node('without', "shared_preload_libraries = ''\ndynamic_library_path = '\$libdir'\n"
		  . (slurp_file($ENV{TEMP_CONFIG}) =~ /^(extension_\w+) = /m ? "$1 = ''\n" : ''));

	like(upgrade($without, 'pg_upgrade --check fails where the new server has not got the extension', 1, '--check'),
		qr/loadable libraries/, 'and says that a library is missing');
}

# What is everybody's by default, and is granted by the extension's script, is no grant any more.
my $default_rights = qr/^function athena_calc\.activity\(\): (?:first rights|proacl): /;

for my $mode (qw(copy link))
{
	my $new  = new_node("new_$mode");
	my @mode = $mode eq 'link' ? '--link' : ();

	like(upgrade($new, 'pg_upgrade --check', 0, '--check'), qr/^\*Clusters are compatible\*$/m, 'finds nothing')
	  if $mode eq 'copy';
	upgrade($new, "pg_upgrade, $mode", 0, @mode);
	$new->start;
	cmp_ok(AthenaCalc::Connection->new($new)->value('SHOW server_version_num'), '>', $version, 'the server is a newer one');
	my $db = AthenaCalc::Connection->new($new, dbname => 'sample');
	is($db->value('SELECT count(*) FROM kept'), 2, 'a materialized view has its rows');
	is($db->error('SELECT * FROM empty')->{sqlstate}, '55000', 'one without rows has none');
	$db->query('ANALYZE');
	is(scalar($athena->requests), 0, 'and nothing has been asked for that');
	$db->close;
	$sample->works_in($new, $mode);

	# All is as if the dump had been restored here; and the extension as if it had been made here.
	my $postgres = AthenaCalc::Connection->new($new);
	$postgres->query("CREATE DATABASE $_") for qw(restored fresh);
	$postgres->close;
	write_file('dump', $dump);
	ok(run([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', 'dump', '-d', $new->connstr('restored') ], '>', \my $output), 'a dump is restored');
	is(differences([ split /\n/, dump_of($new, 'restored') ], [ split /\n/, dump_of($new, 'sample') ]), '', 'it has what the database has that was upgraded');
	my ($fresh, $upgraded) = map { AthenaCalc::Connection->new($new, dbname => $_) } qw(fresh postgres);
	$fresh->query('CREATE EXTENSION athena_calc VERSION '
		  . $upgraded->value(q{SELECT quote_literal(extversion) FROM pg_extension WHERE extname = 'athena_calc'}));
	is(differences(map { [ grep { !/$default_rights/ } objects_of($_) ] } $fresh, $upgraded), '',
		'the extension is as if it had been made there');
	is($upgraded->value(q{SELECT has_function_privilege('public', 'athena_calc.activity()', 'EXECUTE')}), 't', 'with its rights');
	$_->close for $fresh, $upgraded;
	$new->stop;
}

done_testing();
