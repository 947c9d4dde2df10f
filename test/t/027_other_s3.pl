# Objects in S3s that nobody here wrote: OpenStack Swift, which verifies signatures, and moto.

use strict;
use warnings;
use utf8;

use AthenaCalc::OtherS3;
use AthenaCalc::Test;
use Digest::MD5 qw(md5_hex);
use Encode qw(encode);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $athena = AthenaCalc::Test->new;

# What is tried with each of them: subs that get an AthenaCalc::OtherS3, with $athena led to it. Each has buckets of its own.
my @trials = (\&objects, \&keys_of_all_kinds, \&many_objects, \&folders, \&refusals);

sub put_bytes { my ($uri, $bytes) = @_; return $athena->value('SELECT athena_calc.s3_put_object($1, $2::bytea)', $uri, '\\x' . unpack 'H*', $bytes) }
sub put_text { return $athena->value('SELECT athena_calc.s3_put_object($1, $2::text)', @_) }
sub delete_objects { return $athena->value('SELECT athena_calc.s3_delete_objects($1)', @_) }
sub get { my ($uri) = @_; return pack 'H*', substr $athena->value('SELECT athena_calc.s3_get_object($1)', $uri), 2 }
sub listed { return $athena->column('SELECT uri FROM athena_calc.s3_list_objects($1, $2)', $_[0], $_[1]) }

# What a call of a function fails with.
sub error_of
{
	my ($call, @parameters) = @_;

	return $athena->query_error("SELECT * FROM athena_calc.$call", @parameters);
}

sub sqlstate_of { return error_of(@_)->{sqlstate} }

# The four functions, each with a call for an object or a folder.
sub calls
{
	my ($uri) = @_;

	return (
		"s3_list_objects('$uri')", "s3_get_object('$uri')",
		"s3_put_object('$uri', 'x')", "s3_delete_objects('$uri')");
}

# Objects: bytes and text, and what a list says of them.
sub objects
{
	my ($s3) = @_;
	my $large = join '', map { pack 'N', $_ * 2654435761 % 2**32 } 1 .. 5 * 2**18;

	$s3->create_bucket('objects');
	for my $case ([ 'all 256 bytes', join '', map { chr } 0 .. 255 ], [ 'nothing', '' ], [ '5 MB', $large ])
	{
		my ($name, $bytes) = @$case;
		my $uri  = "s3://objects/$name";
		my $etag = '"' . md5_hex($bytes) . '"';

		is(put_bytes($uri, $bytes), $etag, "$name: the ETag");
		ok(get($uri) eq $bytes, 'comes back');
		my $row = $athena->row('SELECT *, abs(extract(epoch FROM now() - last_modified)) < 600 AS recent FROM athena_calc.s3_list_objects($1)', $uri);
		is($row->{size}, length $bytes, 'the size in the list');
		is($row->{etag}, $etag, 'the ETag there');
		is($row->{recent}, 't', 'and when it was written');
	}
	put_text('s3://objects/jobs/code.py', "print('größe: 5 €, 😀')\n");
	is($athena->value(q{SELECT convert_from(athena_calc.s3_get_object('s3://objects/jobs/code.py'), 'UTF8')}),
		"print('größe: 5 €, 😀')\n", 'text comes back as text');
	put_text('s3://objects/jobs/code.py', 'short');
	is(get('s3://objects/jobs/code.py'), 'short', 'an object is replaced as a whole');
}

my @keys = (
	'a b', 'a+b', 'a=b', 'a%20b', '100%', '%', '%4', '%zz', 'a%2Fb', 'a&b=c', 'what?', 'a?b=c', 'a#b', 'a;b,c', q{it's "quoted"},
	'<key>&amp;]]>', 'a\\b', '(a)*[b]{c}!$@:|<>^`~', 'größe/€/😀', "e\x{301}", 'a//b', '/leading', '//', 'trailing/', '.', '..', '...',
	'./a', 'a/./b', 'a/../b', '../../up', ' ', '  two  ', "tab\there", "line\nbreak", "return\rhere", "bell\x07", "\x01\x1f",
	"delete\x7f", "\x{85}", "\x{2028}", 'K' x 1024, '€' x 341);

# What a server's own fault keeps from it: moto's router knows no line breaks.
my %impossible = (moto => qr/\n/);

# A key as the name of a test.
sub name_of { return JSON::PP->new->allow_nonref->ascii->encode(substr $_[0], 0, 40) }

# Keys, which are part of the path and of what is signed, of XML, and of a list's query.
sub keys_of_all_kinds
{
	my ($s3) = @_;
	my $impossible = $impossible{ $s3->name };
	my @possible = sort { encode('UTF-8', $a) cmp encode('UTF-8', $b) } grep { !$impossible || $_ !~ $impossible } @keys;

	$s3->create_bucket('keys');
	for my $endpoint ($s3->url, $s3->is_strict ? $s3->virtual_url : ())
	{
		$athena->with($s3->settings, s3_endpoint_url => $endpoint);
		for my $key (@possible)
		{
			my ($name, $uri) = (name_of($key), "s3://keys/$key");
			my $error = error_of('s3_put_object($1, $2::text)', $uri, "at $key");

			is($error->{sqlstate}, '00000', "the key $name is written") or diag explain $error;
			is(get($uri), encode('UTF-8', "at $key"), 'read');
			is((listed($uri, 1))[0], $uri, 'listed');
		}
		is_deeply([ listed('s3://keys') ], [ map { "s3://keys/$_" } @possible ], "at $endpoint all are listed, in order");
		# Those that end with a slash last: they would take others with them.
		for my $key ((grep { $_ !~ m{/\z} } @possible), (grep { $_ =~ m{/\z} } @possible))
		{
			is(delete_objects("s3://keys/$key"), 1, 'deleted: ' . name_of($key));
		}
		is_deeply([ listed('s3://keys') ], [], 'nothing is left');
	}
	my @short = grep { length encode('UTF-8', $_) < 1000 } @possible;
	put_text("s3://keys/a folder+/$_", '') for @short;
	put_text('s3://keys/a folder+', 'beside it');
	is(delete_objects('s3://keys/a folder+/'), scalar @short, 'a folder of such keys is deleted');
	is_deeply([ listed('s3://keys') ], ['s3://keys/a folder+'], 'and nothing else');
}

# More objects than a page of a list has, and than a request deletes.
sub many_objects
{
	my ($s3) = @_;
	my @sorted = map { "s3://many/folder/$_" } sort 1 .. 1050;

	$s3->create_bucket('many');
	is($athena->value(q{SELECT count(athena_calc.s3_put_object('s3://many/folder/' || i, i::text)) FROM generate_series(1, 1050) i}),
		1050, '1,050 objects are written');
	put_text("s3://many/$_", 'beside it') for qw(folder folders folder.txt);
	is_deeply([ listed('s3://many/folder/') ], \@sorted, 'all are listed, in the order of their keys');
	is_deeply([ listed('s3://many/folder/', $_) ], [ @sorted[ 0 .. $_ - 1 ] ], "the first $_") for 1, 1000, 1001;
	is($athena->value(q{SELECT count(*) FROM athena_calc.s3_list_objects('s3://many')}), 1053, 'the whole bucket');
	is($athena->value(q{SELECT count(*) FROM athena_calc.s3_list_objects('s3://many/folder/10')}), 62, 'the beginning of a name');
	is($athena->value(q{SELECT sum(size) FROM athena_calc.s3_list_objects('s3://many/folder/')}), 9 + 90 * 2 + 900 * 3 + 51 * 4, 'their sizes');
	is(delete_objects('s3://many/folder/'), 1050, 'the folder is deleted');
	is_deeply([ listed('s3://many') ], [ map { "s3://many/$_" } qw(folder folder.txt folders) ], 'what stands beside it is not');
	is(delete_objects('s3://many/folder/'), 0, 'a second time there is nothing');
}

# Folders, which are but names: empty ones, objects that stand for one, objects in one.
sub folders
{
	my ($s3) = @_;

	$s3->create_bucket('folders');
	is_deeply([ listed($_) ], [], "nothing is in $_") for 's3://folders', 's3://folders/', 's3://folders/empty/';
	is(delete_objects('s3://folders/empty/'), 0, 'nor to be deleted');
	put_text("s3://folders/$_", '') for 'empty/', 'full/', 'full/_SUCCESS', 'full/a', 'full/sub/', 'full/sub/b';
	is_deeply([ listed('s3://folders/empty/') ], ['s3://folders/empty/'], 'an object that stands for a folder is listed');
	is(get('s3://folders/empty/'), '', 'read');
	is_deeply([ listed('s3://folders/full/') ], [ map { "s3://folders/full/$_" } '', '_SUCCESS', 'a', 'sub/', 'sub/b' ],
		'all objects below a folder are listed');
	is(delete_objects('s3://folders/full/sub/'), 2, 'a folder in a folder is deleted with what stands for it');
	is(delete_objects('s3://folders/full'), 0, 'a folder is no object');
	is(delete_objects('s3://folders/full/'), 3, 'but deleted as a folder');
	is_deeply([ listed('s3://folders') ], ['s3://folders/empty/'], 'the other one is there');
}

# What is refused, and by which SQLSTATE.
sub refusals
{
	my ($s3) = @_;

	$s3->create_bucket('refusals');
	put_text('s3://refusals/object', 'kept');
	is(sqlstate_of($_), '42704', "no bucket: $_") for calls('s3://no-such-bucket/object'), calls('s3://no-such-bucket/folder/');
	is(sqlstate_of(q{s3_get_object('s3://refusals/no object')}), '42704', 'no object');
	is(delete_objects('s3://refusals/no object'), 0, 'which is no error where it is to be deleted');
	return unless $s3->is_strict;

	$athena->with($s3->settings, secret_access_key => 'wrong');
	is(sqlstate_of($_), '28000', "a wrong secret key: $_") for calls('s3://refusals/object');
	$athena->with($s3->settings, access_key_id => 'test:nobody');
	is(sqlstate_of($_), '28000', "an unknown access key: $_") for calls('s3://refusals/object');
	$athena->with($s3->settings, region => 'us-west-2');
	is(sqlstate_of($_), '00000', "another region: it says which it is: $_") for calls('s3://refusals/object');
}

for my $name (AthenaCalc::OtherS3->names)
{
	my $lack = AthenaCalc::OtherS3->lack($name);

	SKIP:
	{
		skip $lack, 1 if $lack;
		my $begun = time;
		my $s3    = AthenaCalc::OtherS3->new($name);

		note sprintf '%s answers after %.1f s', $name, time - $begun;
		for my $trial (@trials)
		{
			$begun = time;
			$athena->with($s3->settings);
			$trial->($s3);
			note sprintf '%s: %.1f s', $name, time - $begun;
		}
	}
}

unlike(PostgreSQL::Test::Utils::slurp_file($athena->node->logfile), qr/XX000|terminated by signal|PANIC|TRAP/, 'nothing bad in the log');

done_testing();
