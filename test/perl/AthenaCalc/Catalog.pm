package AthenaCalc::Catalog;

=head1 NAME

AthenaCalc::Catalog - what the extension has put into the catalog, to be compared

=head1 SYNOPSIS

  my @upgraded = objects_of($db);                      # AthenaCalc::Connection
  ...
  is(differences(\@upgraded, [ objects_of($other) ]), '', 'they are the same');

=head1 FUNCTIONS

=over

=item objects_of($db)

Lines that say all of the extension's objects: how they are declared, who owns and may use them, what they are by their own rows
in the catalog, but for OIDs, and their comments. What somebody adds to a later version is found by that, whatever kind of object
it is.

=item differences(\@some, \@others)

The lines that are in one of two lists only, with a sign as in diff.

=back

=cut

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT = qw(differences objects_of);

my $MEMBERS = q{
	WITH member AS (
		SELECT d.classid, d.objid, i.type || ' ' || i.identity AS name
		FROM pg_depend AS d, pg_identify_object(d.classid, d.objid, d.objsubid) AS i
		WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
			AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'athena_calc'))};

# The object's own row, column by column. Expressions have OIDs in them; what they say is in the declarations below.
my $ROW = q{
	SELECT name || ': ' || attname || ': ' || CASE
		WHEN attname ~ 'owner$' THEN (value #>> '{}')::oid::regrole::text
		WHEN attname ~ 'namespace$' THEN (value #>> '{}')::oid::regnamespace::text
		WHEN attname ~ 'lang$' THEN (SELECT lanname FROM pg_language WHERE oid = (value #>> '{}')::oid)::text
		WHEN jsonb_typeof(value) = 'array' THEN (SELECT jsonb_agg(e ORDER BY CASE WHEN attname ~ 'acl$' THEN e::text END, n)
			FROM jsonb_array_elements(value) WITH ORDINALITY AS a (e, n))::text
		ELSE value::text END
	FROM %1$s AS object JOIN member ON objid = object.oid AND classid = '%1$s'::regclass,
		jsonb_each(to_jsonb(object)) JOIN pg_attribute ON attrelid = '%1$s'::regclass AND attname = key
	WHERE attname ~ '(owner|namespace|lang)$' OR atttypid <> ALL ('{oid,oidvector,"oid[]",xid,pg_node_tree}'::regtype[])};

my @SAID = (
	q{SELECT name || ': comment: ' || coalesce(obj_description(objid, classid::regclass::name), '-') FROM member},
	q{SELECT name || ': declaration: ' || pg_get_functiondef(objid) FROM member JOIN pg_proc ON objid = oid AND prokind <> 'a'
		WHERE classid = 'pg_proc'::regclass},
	q{SELECT name || ': query: ' || pg_get_viewdef(objid) FROM member JOIN pg_class ON objid = oid AND relkind IN ('v', 'm')
		WHERE classid = 'pg_class'::regclass},
	q{SELECT format('%s: column %s: %s %s, %s, %s', name, attnum, attname, format_type(atttypid, atttypmod), attnotnull,
			coalesce(col_description(c.oid, attnum), '-'))
		FROM member JOIN pg_class AS c ON classid = 'pg_class'::regclass AND objid = c.oid OR classid = 'pg_type'::regclass AND objid = reltype
			JOIN pg_attribute ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped},
	q{SELECT format('%s: handler %s, validator %s', name, fdwhandler::regproc, fdwvalidator::regproc)
		FROM member JOIN pg_foreign_data_wrapper ON objid = oid WHERE classid = 'pg_foreign_data_wrapper'::regclass},
	# What pg_dump takes for the rights that the extension itself gives.
	q{SELECT format('%s: first rights: %s', name, (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(initprivs) AS a))
		FROM member JOIN pg_init_privs ON classoid = classid AND objoid = objid});

sub objects_of
{
	my ($db) = @_;
	my @catalogs = $db->column("$MEMBERS SELECT DISTINCT classid::regclass FROM member");

	return sort(
		$db->column(q{SELECT format('extension %s, %s, %s, %s', extversion, extnamespace::regnamespace, extrelocatable, extconfig)
			FROM pg_extension WHERE extname = 'athena_calc'}),
		map { $db->column("$MEMBERS $_") } @SAID, map { sprintf $ROW, $_ } @catalogs);
}

sub differences
{
	my ($some, $others) = @_;
	my %count;

	$count{$_}++ for @$some;
	$count{$_}-- for @$others;
	return join "\n", map { ($count{$_} > 0 ? '- ' : '+ ') . $_ } grep { $count{$_} } sort keys %count;
}

1;
