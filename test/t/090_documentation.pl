# The documentation: its examples run, and what it says of functions, types, settings and versions is so.

use strict;
use warnings;
use utf8;

use AthenaCalc::Connection;
use AthenaCalc::Test;
use Cwd qw(abs_path);
use Encode qw(encode);
use File::Basename qw(basename dirname);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root  = abs_path(dirname(__FILE__) . '/../..');
my @pages = (qw(README.md SECURITY.md CONTRIBUTING.md CHANGELOG.md),
	map { 'doc/' . basename($_) } sort glob "$root/doc/*.md");

# What pg_settings does not show.
my @hidden_settings = map { "athena_calc.$_" } qw(secret_access_key session_token container_authorization_token);

# Pages

sub read_text
{
	my ($file) = @_;

	open my $handle, '<:encoding(UTF-8)', "$root/$file" or die "could not read $file: $!";
	local $/ = undef;
	return scalar readline $handle;
}

# A page's lines, each with its number, the headings it stands under, and whether it is in a fenced block.
sub lines_of
{
	my ($page) = @_;
	my ($number, $fence, $language) = (0, undef, undef);
	my @headings;
	my @lines;

	for my $text (split /\n/, read_text($page))
	{
		$number++;
		if ($text =~ /^( *)```(\w*)$/)
		{
			($fence, $language) = defined $fence ? () : ($number, $2);
			next;
		}
		if (!defined $fence && $text =~ /^(#+) (.+)$/)
		{
			splice @headings, length($1) - 1;
			$headings[ length($1) - 1 ] = $2;
			push @lines, { text => $text, heading => $2, headings => [@headings], number => $number };
			next;
		}
		push @lines,
		  { text => $text, fence => $fence, language => $language, headings => [@headings], number => $number };
	}
	die "$page has a block without an end" if defined $fence;
	return @lines;
}

# The fenced blocks of a page, in their order.
sub blocks_of
{
	my ($page) = @_;
	my @blocks;

	for my $line (grep { defined $_->{fence} } lines_of($page))
	{
		push @blocks, { line => $line->{fence}, language => $line->{language}, headings => $line->{headings}, text => '' }
		  if !@blocks || $blocks[-1]{line} != $line->{fence};
		$blocks[-1]{text} .= "$line->{text}\n";
	}
	return @blocks;
}

# The rows of the tables under a heading of a page, as lists of cells.
sub table_under
{
	my ($page, @path) = @_;
	my @rows;

	for my $line (grep { !defined $_->{fence} } lines_of($page))
	{
		next if join('/', grep { defined } @{ $line->{headings} }[ 1 .. 5 ]) ne join('/', @path);
		next unless $line->{text} =~ /^\| (.*?) ?\|$/;
		push @rows, [ map { s/^ +| +$//gr } split /(?<!\\)\|/, $1, -1 ];
	}
	return grep { $_->[0] !~ /^-+$/ } @rows;
}

# A node without any setting of ours, to see defaults in; and what it has installed.

my $plain = PostgreSQL::Test::Cluster->new('plain');
$plain->init;
$plain->append_conf('postgresql.conf', "shared_preload_libraries = 'athena_calc'\n");
$plain->start;
my $catalog = AthenaCalc::Connection->new($plain);
$catalog->query('CREATE EXTENSION athena_calc');
# It refuses to be loaded this late, but in other words than a file that is not there.
my $has_cron = $catalog->error(q{LOAD 'pg_cron'})->{sqlstate} ne '58P01';

# 1. Examples

my $athena = AthenaCalc::Test->new(
	emulator => [ '--create-bucket', 'a-bucket' ],
	conf => $has_cron
	? "shared_preload_libraries = 'athena_calc, pg_cron'\ncron.database_name = 'readme'\ncron.use_background_workers = on\n"
	: '');

# Runs a page's SQL, block by block, in one psql on a database of its own. What it printed is returned.
sub run_examples
{
	my ($page) = @_;
	my $database = lc basename($page, '.md');
	my @blocks = grep { $_->{language} eq 'sql' } blocks_of($page);
	my $script = '';
	my ($output, $errors) = ('', '');

	return '' unless @blocks;
	$athena->query("CREATE DATABASE $database");
	$athena->connect(dbname => $database)->query('CREATE EXTENSION athena_calc')
	  unless grep { $_->{text} =~ /CREATE EXTENSION athena_calc;/ } @blocks;

	# A statement that a block leaves open spoils the one that marks its end.
	for my $block (@blocks)
	{
		$block->{skipped} = $block->{text} =~ /\bcron\.|\bpg_cron;/ && !$has_cron;
		$script .= "$block->{text}\nSELECT '=$block->{line} ran=';\n" unless $block->{skipped};
	}
	$athena->node->psql($database, encode('UTF-8', $script), stdout => \$output, stderr => \$errors, on_error_stop => 1);
	for my $block (@blocks)
	{
		my $name = "$page, line $block->{line}: the example runs";

	  SKIP:
		{
			skip "$name: pg_cron is not installed", 1 if $block->{skipped};
			ok($output =~ /^=$block->{line} ran=$/m, $name) || ($errors && diag($errors));
			$errors = '';
		}
	}
	return $output;
}

# The tutorial is run by tests of its own.
my %output = map { $_ => run_examples($_) } grep { $_ ne 'doc/tutorial.md' } @pages;

like($output{'README.md'}, qr/^0\|0\n1\|1\n2\|4$/m, 'the first calculation gives its rows');
like($output{'README.md'}, qr/^COMPLETED\|\d+\|2024-05-01$/m, 'the second has its parameter');
like($output{'README.md'}, qr/^COMPLETED\|42$/m, 'what is started is collected');
like($output{'doc/reference.md'}, qr/^one\ntwo\nthree\n/m, 'calculation_stdout in the reference');
like($output{'doc/reference.md'}, qr/^CANCELED\|/m, 'stop_calculation_execution in the reference');
like($output{'doc/reference.md'}, qr/^COMPLETED\|42\n/m, 'run_calculation in the reference');
like($output{'doc/reference.md'}, qr/^Athena\|6\nSpark\|5$/m, 'printed JSON becomes rows in the reference');
like($output{'doc/reference.md'}, qr/^42\n/m, 'code_s3_uri in the reference');
like($output{'README.md'}, qr{^s3://a-bucket/orders/in/may.csv\|20\|id,amount\n1,10\n2,32\n}m, 'the README puts an object and reads it');
like($output{'doc/reference.md'}, qr/^id,name\n1,K.+ln\n2,.+/m, 's3_get_object in the reference');
like($output{'doc/reference.md'}, qr/^1\|K.+ln\n2\|/m, 'copy_from_s3 in the reference');
like($output{'doc/reference.md'}, qr/^SP005\nAthena StartCalculationExecution failed: .*\nexception: \w+\n.*^Start another/ms,
	'an error in the reference');
is($athena->value(q{SELECT count(*) FROM athena_calc.list_sessions()
		WHERE description = 'athena_calc.run_calculation' AND state NOT IN ('TERMINATING', 'TERMINATED')}),
	0, 'no run leaves a session of its own');

# What a page shows as typed into psql fails as it is shown, but for IDs.

sub without_ids
{
	my ($text) = @_;
	my $hex = qr/[0-9a-f]/;

	return $text =~ s/$hex{8}-$hex{4}-$hex{4}-$hex{4}-$hex{12}/ID/gr;
}

for my $page (@pages)
{
	for my $block (grep { $_->{language} eq 'console' && $_->{text} =~ /^=> / } blocks_of($page))
	{
		my ($statement, $shown) = $block->{text} =~ /^=> (.*?;)\n(.*)\z/s;
		my ($output, $errors) = ('', '');

		$athena->node->psql('postgres', encode('UTF-8', $statement), stdout => \$output, stderr => \$errors);
		$errors =~ s/^psql:<stdin>:\d+: //mg;
		is(without_ids("$errors\n"), without_ids($shown), "$page, line $block->{line}: it fails as shown");
	}
}

# The jobs of the README, as pg_cron takes them, and one that fails. Here they come every minute: pg_cron looks no more often.

SKIP:
{
	skip 'pg_cron is not installed', 3 unless $has_cron;
	my $readme = $athena->connect(dbname => 'readme');

	is($readme->value(q{SELECT string_agg(jobname || ' ' || schedule, ', ' ORDER BY jobname) FROM cron.job}),
		'nightly 0 2 * * *, squares */10 * * * *', 'pg_cron has the jobs');
	$readme->query('TRUNCATE square');
	$readme->query(q{SELECT cron.schedule(jobname, '* * * * *', command) FROM cron.job});
	$readme->query(q{SELECT cron.schedule('fails', '* * * * *',
		$$SELECT athena_calc.run_calculation('int("forty-two")', session_name => 'etl')$$)});
	my $runs = sub { return $readme->column(q{SELECT concat_ws(' ', command, status, return_message) FROM cron.job_run_details}) };
	$athena->wait_until(
		sub { $readme->value(q{SELECT count(DISTINCT jobid) FROM cron.job_run_details WHERE status IN ('succeeded', 'failed')}) == 3 },
		sub { join "\n", 'the three jobs had ended', $runs->() },
		180);
	is_deeply(
		[ map { without_ids($_) =~ s/\n.*//sr =~ s/ +/ /gr } $readme->column(q{
			SELECT DISTINCT concat_ws(' ', jobname, status, CASE status WHEN 'failed' THEN return_message END)
			FROM cron.job_run_details JOIN cron.job USING (jobid) WHERE status IN ('succeeded', 'failed') ORDER BY 1}) ],
		[ q{fails failed ERROR: calculation failed: ValueError: invalid literal for int() with base 10: 'forty-two'},
			'nightly succeeded', 'squares succeeded' ], 'which run, and tell why they fail')
	  || diag(join "\n", $runs->());
	is($readme->value('SELECT sum(square) FROM square'), 285, 'and bring their rows');
	$readme->query('SELECT cron.unschedule(jobid) FROM cron.job');
	$readme->close;
}

# 2. The reference and the catalog

# Declarations as they are written by hand.
sub normalize
{
	my ($text) = @_;

	$text =~ s/\binteger\b/int/g;
	$text =~ s/\btimestamp with time zone\b/timestamptz/g;
	$text =~ s/::[a-z][\w.]*(\[\])?//g;
	$text =~ s/([(,] ?)IN /$1/g;
	$text =~ s/\s+/ /g;
	$text =~ s/ ?([(),]) ?/$1/g;
	return $text;
}

my %signature;
for my $block (grep { $_->{language} eq '' } blocks_of('doc/reference.md'))
{
	my $name = $block->{headings}[2];

	# A block has all declarations of a name, each on lines of its own.
	$signature{$name} = [ map { normalize(s/\s+\z//r) } split /^(?=athena_calc\.)/m, $block->{text} ]
	  if defined $name && !exists $signature{$name};
}

my @functions = $catalog->query(q{
	SELECT p.proname AS name, obj_description(p.oid, 'pg_proc') AS comment,
		format('athena_calc.%s(%s)', p.proname, pg_get_function_arguments(p.oid))
			|| coalesce(' RETURNS ' || pg_get_function_result(p.oid), '') AS declaration
	FROM pg_proc AS p
	WHERE p.pronamespace = 'athena_calc'::regnamespace
	ORDER BY p.proname});
cmp_ok(scalar @functions, '>=', 20, 'the schema has functions');
for my $function (@functions)
{
	my $declaration = normalize($function->{declaration});

	ok((grep { $_ eq $declaration } @{ $signature{ $function->{name} } }), "$function->{name} is in the reference, as declared")
	  or diag explain { declared => $declaration, documented => $signature{ $function->{name} } };
	like($function->{comment}, qr/\w{3,}.*\.(\s|$)/, 'and has a comment');
}
is_deeply([ sort map { ($_) x @{ $signature{$_} } } keys %signature ], [ sort map { $_->{name} } @functions ],
	'the reference has no other functions');

my %columns;
push @{ $columns{ $_->{type} } }, "$_->{name} " . normalize($_->{kind})
  for $catalog->query(q{
	SELECT c.relname AS type, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS kind
	FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
	WHERE c.relnamespace = 'athena_calc'::regnamespace AND c.relkind = 'c' AND a.attnum > 0
	ORDER BY c.relname, a.attnum});
my %documented_columns;
for my $line (lines_of('doc/reference.md'))
{
	my (undef, undef, $type) = @{ $line->{headings} };

	next unless defined $line->{heading} && defined $type && $line->{headings}[1] eq 'Types';
	my (undef, @rows) = table_under('doc/reference.md', 'Types', $type);
	$documented_columns{$type} = [ map { $_->[0] =~ s/`//gr . " $_->[1]" } @rows ];
}
is_deeply($documented_columns{$_}, $columns{$_}, "the columns of the type $_ are in the reference") for sort keys %columns;
is_deeply([ sort keys %documented_columns ], [ sort keys %columns ], 'the reference has no other types');

my %view;
push @{ $view{ $_->{view} } }, "$_->{name} " . normalize($_->{kind})
  for $catalog->query(q{
	SELECT c.relname AS view, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS kind
	FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
	WHERE c.relnamespace = 'athena_calc'::regnamespace AND c.relkind = 'v' AND a.attnum > 0
	ORDER BY c.relname, a.attnum});
is_deeply([ sort keys %view ], ['activity'], 'the schema has one view');
my (undef, @view_columns) = table_under('doc/reference.md', 'Waiting and running', 'activity');
is_deeply([ map { $_->[0] =~ s/`//gr . " $_->[1]" } @view_columns ], $view{activity}, 'its columns are in the reference');

# Comments: what \df+ and \dT+ show begins as the reference does, and names the same page of AWS's.

# What stands under a heading, without blocks.
my %section;
for my $line (grep { !defined $_->{fence} && !defined $_->{heading} } lines_of('doc/reference.md'))
{
	$section{ $line->{headings}[-1] } .= "$line->{text}\n" if @{ $line->{headings} };
}

# The first sentence of a text, without Markdown's marks.
sub first_sentence
{
	my ($text) = @_;

	$text =~ s/\[([^\]]*)\]\([^)]*\)/$1/g;
	$text =~ tr/`//d;
	$text =~ s/^\s+|\s+$//g;
	$text =~ s/\s+/ /g;
	return $text =~ /^(.*?\.)(?: |$)/ ? $1 : $text;
}

sub begins_as_documented
{
	my ($comment, $heading, $object) = @_;
	my $text = $section{$heading} // '';
	my ($named)      = $comment =~ m{(https://docs\.aws\.amazon\.com/\S+)$};
	my ($documented) = $text    =~ m{AWS:\s+\[[^\]]+\]\((\S+?)\)};

	is(first_sentence($comment), first_sentence($text), "$object: the comment begins as the reference");
	is($named, $documented, 'and names the same page of AWS');
}

begins_as_documented($_->{comment}, $_->{name}, "function $_->{name}") for @functions;
begins_as_documented($_->{comment}, $_->{name}, "$_->{kind} $_->{name}") for $catalog->query(q{
	SELECT c.relname AS name, CASE c.relkind WHEN 'v' THEN 'view' ELSE 'type' END AS kind,
		CASE c.relkind WHEN 'v' THEN obj_description(c.oid, 'pg_class') ELSE obj_description(c.reltype, 'pg_type') END AS comment
	FROM pg_class AS c
	WHERE c.relnamespace = 'athena_calc'::regnamespace AND c.relkind IN ('c', 'v')
	ORDER BY c.relname});
begins_as_documented(
	$catalog->value(q{SELECT obj_description(oid, 'pg_foreign_data_wrapper') FROM pg_foreign_data_wrapper WHERE fdwname = 'athena_calc'}),
	'Servers and user mappings', 'foreign-data wrapper athena_calc');

# Settings: name, default, who may set it, and between which bounds

my %setting =
  map { $_->{name} => $_ } $catalog->query(q{SELECT * FROM pg_settings WHERE name LIKE 'athena\_calc.%'});
my (undef, @documented) = table_under('doc/reference.md', 'Settings');
$catalog->query('CREATE ROLE anyone LOGIN');
my $anyone = AthenaCalc::Connection->new($plain, user => 'anyone');

# What PostgreSQL makes of a value, in the setting's own unit; or why it takes none.
sub setting_for
{
	my ($name, $value) = @_;
	my $error = $catalog->error('SELECT set_config($1, $2, false)', $name, $value);
	my $setting = $catalog->value('SELECT setting FROM pg_settings WHERE name = $1', $name);

	$catalog->query("RESET $name");
	return $error->{sqlstate} eq '00000' ? $setting : $error->{message};
}

is_deeply(
	[ sort map { $_->[0] =~ s/`//gr } @documented ],
	[ sort keys %setting, @hidden_settings ],
	'the settings of the reference are those that exist');
for my $row (@documented)
{
	my ($name, $default, $who, $text) = @$row;

	$name    =~ s/`//g;
	$default =~ s/`//g;
	$default =~ s/^'(.*)'$/$1/;
	if ($setting{$name})
	{
		is(setting_for($name, $default), $setting{$name}{boot_val}, "the default of $name");
	}
	else
	{
		is($catalog->value("SHOW $name"), $default, "the default of $name");
	}
	is($anyone->error('SELECT set_config($1, $2, false)', $name, $default)->{sqlstate},
		$who eq 'superuser' ? '42501' : '00000', "$name is for $who");
	next unless defined $setting{$name} && defined $setting{$name}{min_val};
	my $number = qr/\d+(?: (?:ms|s|h|d|kB|MB))?/;
	my @bounds = $text =~ /\b($number) to ($number)/;
	is_deeply([ map { setting_for($name, $_) } @bounds ], [ @{ $setting{$name} }{qw(min_val max_val)} ], "the bounds of $name");
}

# Errors: the README has no others than the reference

my %sqlstate = map { $_ => 1 } map { $_->[0] =~ /`(\w{5})`/ } table_under('doc/reference.md', 'Errors');
my @in_readme = map { $_->[0] =~ /\b([0-9A-Z]{5})\b/g } table_under('README.md', 'When something fails');
cmp_ok(scalar @in_readme, '>', 10, 'the README has errors');
is_deeply([ grep { !$sqlstate{$_} } @in_readme ], [], 'which all are in the reference');

# The house of the architecture has every module.

my ($house) = map { $_->{text} } grep { ($_->{headings}[1] // '') eq 'The house' } blocks_of('doc/architecture.md');
for my $folder (map { basename($_) } sort grep { -d } glob "$root/src/*")
{
	my ($rooms) = $house =~ m{^src/\Q$folder\E/(.*?)(?=^\S|\z)}ms;

	is_deeply([ grep { $rooms !~ /\b\Q$_\E\b/ } map { basename($_, '.c') } glob "$root/src/$folder/*.c" ],
		[], "the modules of src/$folder are in the architecture");
}

# What is written as athena_calc.something exists; links lead somewhere.

my %known = map { $_ => 1 } (
	(map { $_->{name} } @functions), keys %columns,
	(map { s/^athena_calc\.//r } keys %setting, @hidden_settings),
	qw(c conf control so));

sub anchors_of
{
	my ($page) = @_;

	return map { lc($_) =~ s/[^\w -]//gr =~ tr/ /-/r } grep { defined } map { $_->{heading} } lines_of($page);
}

for my $page (@pages)
{
	my $text = read_text($page);
	my @broken;

	is_deeply([ grep { !$known{$_} } $text =~ /\bathena_calc\.(\w+)/g ], [],
		"$page names what exists");
	for my $link (map { $_->{text} =~ /\]\(([^)\s]+)\)/g } grep { !defined $_->{fence} } lines_of($page))
	{
		next if $link =~ /^https:/;
		my ($file, $anchor) = $link =~ /^([^#]*)#?(.*)$/;
		my $target = $file eq '' ? $page : dirname($page) . "/$file";

		1 while $target =~ s{(^|/)(?:\.|[^/.]+/\.\.)/}{$1};
		push @broken, $link
		  if !-e "$root/$target" || ($anchor ne '' && !grep { $_ eq $anchor } anchors_of($target));
	}
	is_deeply(\@broken, [], "the links of $page lead somewhere");
}

# 3. Versions

my $meta = eval { decode_json(encode('UTF-8', read_text('META.json'))) };
ok(defined $meta, 'META.json is JSON') || diag($@);
my ($control_version) = read_text('athena_calc.control') =~ /^default_version = '([^']+)'$/m;
my ($newest_version) = read_text('CHANGELOG.md') =~ /^## \[([^\]]+)\]/m;
my ($minor_version) = $meta->{version} =~ /^(\d+\.\d+)\.\d+$/;

is($minor_version, $control_version, 'the version of META.json is that of the extension');
is($newest_version, $meta->{version}, 'and the newest of CHANGELOG.md');
is($catalog->value(q{SELECT extversion FROM pg_extension WHERE extname = 'athena_calc'}), $control_version, 'and what is installed');
is($meta->{provides}{athena_calc}{version}, $meta->{version}, 'and what is provided');
like(read_text('debian/changelog'), qr/^athena-calc \(\Q$meta->{version}\E-\d/, 'and the newest of debian/changelog');
ok(-e "$root/$meta->{provides}{athena_calc}{$_}", "META.json: the $_ exists") for qw(file docfile);
ok(length $meta->{$_}, "META.json has its $_") for qw(abstract maintainer license);
is($meta->{name},                               'athena_calc', 'META.json: the name');
is($meta->{'meta-spec'}{version},               '1.0.0',       'META.json: its form');
is($meta->{release_status},                     'stable',      'META.json: what is released is stable');
is($meta->{prereqs}{runtime}{requires}{PostgreSQL}, '14.0.0',  'META.json: the oldest PostgreSQL');
like(read_text('README.md'), qr/PostgreSQL 14 to \d+/, 'is that of the README');

done_testing();
