# Versions of the extension: each upgrade script brings what the newest install script does, while backends are at work. There is
# none before the first release, so a version is made up here, to see that upgrades work and that what a script leaves out is
# found. And a library that meets the SQL objects of another version says so.

use strict;
use warnings;

use AthenaCalc::Catalog;
use AthenaCalc::Sample;
use AthenaCalc::Test;
use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Copy qw(copy);
use File::Path qw(make_path);
use IPC::Run qw(run);
use List::Util qw(uniq);
use PostgreSQL::Test::Utils;
use Test::More;

my $root = abs_path(dirname(__FILE__) . '/../..');
my $athena  = AthenaCalc::Test->new;
my $session = $athena->start_session;
my $engines = 'SELECT count(*) FROM athena_calc.list_engine_versions()';

sub database_with
{
	my ($name, $version) = @_;

	$athena->query("CREATE DATABASE $name");
	my $db = $athena->connect(dbname => $name);
	$db->query("CREATE EXTENSION athena_calc VERSION '$version'");
	return $db;
}

# Versions as numbers to be compared.
sub by_version
{
	my @parts = map { [ split /\./, $_ ] } @_;

	for my $i (0 .. 9)
	{
		my $order = ($parts[0][$i] // 0) <=> ($parts[1][$i] // 0);
		return $order if $order;
	}
	return 0;
}

# 1. The scripts that there are

my @scripts  = map { basename($_, '.sql') =~ s/^athena_calc--//r } glob "$root/athena_calc--*.sql";
my @versions = sort { by_version($a, $b) } grep { !/--/ } @scripts;
my @upgrades = grep { /--/ } @scripts;
my ($default) = slurp_file("$root/athena_calc.control") =~ /^default_version = '([^']+)'$/m;

is($default, $versions[-1], 'the newest install script is the default version');
for my $upgrade (@upgrades)
{
	is(scalar(grep { $upgrade =~ /--\Q$_\E$/ } @versions), 1, "$upgrade: the version has an install script, too");
}

my %fresh;

# What a version is when it is made at once.
sub fresh
{
	my ($version) = @_;

	$fresh{$version} ||= do
	{
		my $db      = database_with('fresh_' . $version =~ tr/./_/r, $version);
		my @objects = objects_of($db);

		$db->close;
		\@objects;
	};
	return $fresh{$version};
}

cmp_ok(scalar @{ fresh($_) }, '>', 500, "version $_ is installed, and can be made") for @versions;

# Makes one version into another one while backends use it. The database is left open.
sub upgrade
{
	my ($from, $to, $name) = @_;
	my $db       = database_with($name, $from);
	my $prepared = $athena->connect(dbname => $name);
	my $waiting  = $athena->connect(dbname => $name);

	$prepared->query("PREPARE engines AS $engines");
	is($prepared->value('EXECUTE engines'), 2, "$from to $to: a backend calls");
	my $id = $athena->start_calculation($session, 'import time; time.sleep(0.5)');
	$athena->clear_log;
	$waiting->send('SELECT state FROM athena_calc.wait_for_calculation($1)', $id);
	$athena->wait_for_requests('GetCalculationExecution');
	my $error = $db->error("ALTER EXTENSION athena_calc UPDATE TO '$to'");
	is($error->{sqlstate}, '00000', 'it is updated') || diag($error->{message});
	is($prepared->value('EXECUTE engines'), 2, 'the backend goes on');
	is_deeply($waiting->finish->{rows}, [ ['COMPLETED'] ], 'a call that ran then comes to its end');
	is($prepared->value('SELECT state FROM athena_calc.wait_for_calculation($1)', $id), 'COMPLETED', 'the next one is as the one before');
	$athena->wait_for_session($session, 'IDLE');
	$_->close for $prepared, $waiting;
	return $db;
}

# Each step, and all the way from each version.
for my $pair (uniq @upgrades, map { "$_--$default" } grep { $_ ne $default } @versions)
{
	my ($from, $to) = split /--/, $pair;
	my $db = upgrade($from, $to, 'from_' . "${from}_to_$to" =~ tr/./_/r);

	is(differences(fresh($to), [ objects_of($db) ]), '', 'all is as if it had been made at once');
	$db->close;
}
note('there are no upgrade scripts yet') unless @upgrades;

# 2. A version that is made up, in a directory that is asked first

# The server's own: the pg_config that is found first may be a copy elsewhere.
my ($sharedir, $libdir) = map { $athena->value('SELECT setting FROM pg_config WHERE name = $1', $_) } qw(SHAREDIR PKGLIBDIR);
my $place = PostgreSQL::Test::Utils::tempdir;
my %settings = map { $_->{name} => $_->{setting} } $athena->query(
	q{SELECT name, setting FROM pg_settings WHERE name IN ('extension_control_path', 'extension_destdir')});
my $next = '99.0';
my $changes = <<'SQL';
CREATE FUNCTION athena_calc.added(first text, second int DEFAULT 17)
RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 10000 SET search_path = pg_catalog, pg_temp
AS $$ SELECT first || second $$;
COMMENT ON FUNCTION athena_calc.added(text, int) IS 'What a later version has.';
SQL
my $comment = "COMMENT ON FUNCTION athena_calc.list_engine_versions(int) IS 'Another comment.';\n";
my $revoke  = "REVOKE ALL ON FUNCTION athena_calc.added(text, int) FROM PUBLIC;\n";

# A version beside the others: what its install script has beside the newest one's, and what its upgrade script says.
sub make_version
{
	my ($version, $install, $upgrade) = @_;
	my $extension = "$place$sharedir/extension";

	write_file("$extension/athena_calc--$version.sql", slurp_file("$root/athena_calc--$default.sql") . $install);
	write_file("$extension/athena_calc--$default--$version.sql", $upgrade);
	return;
}

SKIP:
{
	skip 'this server looks for extensions in one directory only', 1 unless %settings;

	make_path("$place$sharedir/extension", "$place$libdir");
	copy($_, "$place$sharedir/extension/") for glob "$root/athena_calc*.sql";
	write_file("$place$sharedir/extension/athena_calc.control",
		slurp_file("$root/athena_calc.control") =~ s/^default_version = .*$/default_version = '$next'/mr);
	if (exists $settings{extension_control_path})
	{
		$athena->node->append_conf('postgresql.conf', "extension_control_path = '$place$sharedir:$settings{extension_control_path}'");
	}
	else
	{
		# The library is looked for there, too.
		symlink "$settings{extension_destdir}$libdir/athena_calc.so", "$place$libdir/athena_calc.so";
		$athena->node->append_conf('postgresql.conf', "extension_destdir = '$place'");
	}
	make_version($next, "$changes$comment$revoke", "$changes$comment$revoke");
	$athena->node->reload;
	$athena->reconnect;
	my $db = upgrade($default, $next, 'next');

	is(differences(fresh($next), [ objects_of($db) ]), '', 'all is as if it had been made at once');
	is($db->value(q{SELECT athena_calc.added('it is ')}), 'it is 17', 'and has what is new');
	isnt(differences(fresh($default), fresh($next)), '', 'which is not what there was before');
	$athena->query('CREATE ROLE anyone LOGIN');
	$db->query('GRANT USAGE ON SCHEMA athena_calc TO anyone');
	is($athena->connect(dbname => 'next', user => 'anyone')->error(q{SELECT athena_calc.added('x')})->{sqlstate}, '42501', 'it is for nobody');

	# What was granted before an upgrade holds after it, and so does a dump from before.
	my $granted = database_with('granted', $default);
	$granted->query('GRANT USAGE ON SCHEMA athena_calc TO anyone; GRANT EXECUTE ON FUNCTION athena_calc.list_engine_versions TO anyone');
	my $before = dump_of($athena->node, 'granted');
	$granted->query('ALTER EXTENSION athena_calc UPDATE');
	is($granted->value(q{SELECT extversion FROM pg_extension WHERE extname = 'athena_calc'}), $next, 'an update without a version goes to the newest');
	is($athena->connect(dbname => 'granted', user => 'anyone')->value($engines), 2, 'what was granted stays granted');
	for my $dump ([ before => $before ], [ after => dump_of($athena->node, 'granted') ])
	{
		my ($when, $text) = @$dump;

		write_file("$place/dump", $text);
		$athena->query("CREATE DATABASE restored_$when");
		ok(run([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$place/dump", '-d', $athena->node->connstr("restored_$when") ], '>', \my $output),
			"a dump from $when the upgrade is restored");
		my $restored = $athena->connect(dbname => "restored_$when");
		is(differences([ objects_of($granted) ], [ objects_of($restored) ]), '', 'into the newest version, with its grants');
		ok(dump_of($athena->node, "restored_$when") eq $text, 'and dumped from there it is the same');
		$restored->close;
	}
	$_->close for $granted, $db;

	# What a script leaves out is found.
	my $number = 0;
	for my $case (
		[ 'a REVOKE',              "$changes$comment$revoke", "$changes$comment", qr/added\(.*proacl/ ],
		[ 'a comment',             "$changes$comment$revoke", "$changes$revoke", qr/^\+ .*list_engine_versions\(.*comment: The engine/m ],
		[ 'all',                   "$changes$comment$revoke", '', qr/^- .*added\(/m ],
		[ 'a default',             "$changes$comment$revoke", ($changes =~ s/ DEFAULT 17//r) . "$comment$revoke", qr/DEFAULT 17/ ],
		[ 'what it costs',         "$changes$comment$revoke", ($changes =~ s/ COST 10000//r) . "$comment$revoke", qr/procost/ ],
		[ 'the name of an argument', "$changes$comment$revoke", ($changes =~ s/second int/third int/r =~ s/second/third/r) . "$comment$revoke", qr/proargnames/ ],
		[ 'the search_path',       "$changes$comment$revoke", ($changes =~ s/ SET search_path = pg_catalog, pg_temp//r) . "$comment$revoke", qr/proconfig/ ],
		[ 'a column of a type',    'ALTER TYPE athena_calc.executor ADD ATTRIBUTE new text;', '', qr/executor: column 7: new text/ ],
		[ 'a column of a view',    'CREATE OR REPLACE VIEW athena_calc.activity AS SELECT a.pid, d.datname, r.rolname AS usename,
			a.calculation_execution_id, a.session_id, a.state, a.since, 1 AS new FROM athena_calc.activity() AS a, pg_database AS d, pg_roles AS r;',
			'', qr/activity: column 8: new/ ],
		[ 'rights on a view',      'REVOKE SELECT ON athena_calc.activity FROM PUBLIC;', '', qr/activity: relacl/ ],
		[ 'an option of the wrapper', 'ALTER FOREIGN DATA WRAPPER athena_calc NO VALIDATOR;', '', qr/wrapper athena_calc: handler -, validator -/ ],
		[ 'an operator',           'CREATE OPERATOR athena_calc.## (PROCEDURE = pg_catalog.int4pl, LEFTARG = int, RIGHTARG = int);', '',
			qr/^- operator athena_calc\.##/m ])
	{
		my ($name, $install, $upgrade, $found) = @$case;
		my $version = '99.' . ++$number;

		make_version($version, $install, $upgrade);
		my $incomplete = database_with("incomplete_$number", $default);
		$incomplete->query("ALTER EXTENSION athena_calc UPDATE TO '$version'");
		like(differences(fresh($version), [ objects_of($incomplete) ]), $found, "a script that leaves out $name is found");
		$incomplete->close;
	}
}

# 3. A library and SQL objects that do not belong together: the package is newer, and ALTER EXTENSION UPDATE has not been run; or it
# has, and a preloaded library is still the old one. Each function is declared as another version may declare it, and called.

my $id = $athena->run($session, 'print(1)');
my $db = $athena->session_backend;
my %value = (
	session_id               => "'$session'",
	calculation_execution_id => "'$id'",
	code_s3_uri              => 'NULL',
	text                     => "'s3://athena-emulator/x'",
	'text[]'                 => "'{x}'",
	jsonb                    => q('{}'),
	integer                  => 1,
	boolean                  => 'true',
	interval                 => q('1 second'),
	regclass                 => q('pg_class'),
	bytea                    => q('x'));

$db->query('CREATE SCHEMA other');
# Types of theirs, with a column less and with one more
for my $type ($db->query(q{SELECT typname AS name, string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum) AS columns
	FROM pg_type JOIN pg_attribute ON attrelid = typrelid WHERE typnamespace = 'athena_calc'::regnamespace AND typtype = 'c' AND attnum > 0 GROUP BY 1}))
{
	$db->query("CREATE TYPE other.$type->{name}_less AS (" . ($type->{columns} =~ s/, [^,]+$//r) . ')');
	$db->query("CREATE TYPE other.$type->{name}_more AS ($type->{columns}, new text)");
}

# Tests what a function says that is declared in another form, and that nothing is done by it.
sub mismatches
{
	my ($function, $arguments, $result, $name) = @_;
	my $what  = $function->{is_procedure} ? 'PROCEDURE' : 'FUNCTION';
	my @types = map { ($_->{mode} eq 'b' ? 'INOUT ' : '') . $_->{type} } @$arguments;
	my $call  = join ', ', map { ($value{ $_->{name} } // $value{ $_->{type} } // 'NULL') . "::$_->{type}" } @$arguments;

	$athena->clear_log;
	$db->query("CREATE $what other.f(" . join(', ', @types) . ") $result LANGUAGE C AS '\$libdir/athena_calc', '$function->{symbol}'");
	my $error = $db->error(($function->{is_procedure} ? 'CALL' : 'SELECT * FROM') . " other.f($call)");
	is(join('; ', @{$error}{qw(sqlstate message hint)}, grep { /^(?:Start|Stop|Terminate|S3)/ } map { $_->{operation} } $athena->requests),
		'55000; the library and the SQL objects of athena_calc do not match; '
		  . 'Run ALTER EXTENSION athena_calc UPDATE, and restart the server if the library is preloaded.',
		"$function->{name}: $name");
	$db->query("DROP $what other.f");
	return;
}

my $pid = $db->pid;
for my $function ($db->query(q{
	SELECT proname AS name, prosrc AS symbol, prokind = 'p' AS is_procedure, pronargs,
		coalesce(pg_get_function_result(p.oid), '') AS result,
		(SELECT string_agg(format('%s|%s|%s', coalesce(proargnames[n], ''), format_type(type, NULL), coalesce(proargmodes[n], 'i')), E'\n' ORDER BY n)
			FROM unnest(coalesce(proallargtypes, proargtypes::oid[])) WITH ORDINALITY AS a (type, n)
			WHERE coalesce(proargmodes[n], 'i') IN ('i', 'b')) AS arguments
	FROM pg_proc AS p WHERE pronamespace = 'athena_calc'::regnamespace AND prolang = (SELECT oid FROM pg_language WHERE lanname = 'c')
		AND proname <> 'validator' -- PostgreSQL itself says how that is declared
	ORDER BY 1, 2}))
{
	my @arguments = map { my %argument; @argument{qw(name type mode)} = split /\|/; \%argument } split /\n/, $function->{arguments} // '';
	my $result = "RETURNS $function->{result}";
	$function->{is_procedure} = $function->{is_procedure} eq 't';

	if ($function->{is_procedure})
	{
		my $row = pop @arguments;

		mismatches($function, [ @arguments[ 0 .. $_ - 1 ], $row ], '', "$_ of " . @arguments . ' arguments') for 0 .. $#arguments;
		mismatches($function, [ @arguments, { name => '', type => 'text', mode => 'i' }, $row ], '', 'an argument more');
		mismatches($function, [ @arguments, { %$row, type => $row->{type} =~ s/athena_calc(.*)/other$1_$_/r } ], '', "a column $_") for qw(less more);
		next;
	}
	mismatches($function, [ @arguments[ 0 .. $_ - 1 ] ], $result, "$_ of " . @arguments . ' arguments') for 0 .. $#arguments;
	mismatches($function, [ @arguments, { name => '', type => 'text', mode => 'i' } ], $result, 'an argument more');
	if ($function->{result} =~ /^TABLE\((.+)\)$/)
	{
		my $columns = $1;

		mismatches($function, \@arguments, 'RETURNS TABLE(' . ($columns =~ s/, [^,]+$//r) . ')', 'a column less');
		mismatches($function, \@arguments, "RETURNS TABLE($columns, new text)", 'a column more');
	}
	elsif ($function->{result} =~ /^(SETOF )?athena_calc\.(\w+)$/)
	{
		mismatches($function, \@arguments, 'RETURNS ' . ($1 // '') . "other.$2_$_", "a column $_") for qw(less more);
	}
}
is($db->value($engines), 2, 'the backend lives');
is($db->pid, $pid, 'the same');
unlike(slurp_file($athena->node->logfile), qr/terminated by signal|PANIC/, 'and no other has died');

done_testing();
