package AthenaCalc::Page;

=head1 NAME

AthenaCalc::Page - the examples of a page of the documentation

=head1 SYNOPSIS

  my @blocks = AthenaCalc::Page::sql_blocks('doc/tutorial.md');
  AthenaCalc::Page::run_block($node, 'postgres', 'etl', $_) foreach @blocks;

=cut

use strict;
use warnings;

use Cwd qw(abs_path);
use Encode qw(encode);
use File::Basename qw(dirname);

my $ROOT = abs_path(dirname(__FILE__) . '/../../..');

=head1 FUNCTIONS

=over

=item sql_blocks($page)

The fenced blocks of SQL in their order, each with the page, the line where it begins, the section (##) and the part of
it (###) that it is in, and its text.

=cut

sub sql_blocks
{
	my ($page) = @_;
	my ($section, $part, $language) = ('', '');
	my @blocks;

	open my $handle, '<:encoding(UTF-8)', "$ROOT/$page" or die "could not read $page: $!";
	while (my $line = readline $handle)
	{
		if ($line =~ /^```(\w*)$/)
		{
			$language = defined $language ? undef : $1;
			push @blocks, { page => $page, line => $., section => $section, part => $part, text => '' }
			  if defined $language && $language eq 'sql';
		}
		elsif (defined $language)
		{
			$blocks[-1]{text} .= $line if $language eq 'sql';
		}
		elsif ($line =~ /^##(#?) (.+)$/)
		{
			($section, $part) = $1 eq '' ? ($2, '') : ($section, $2);
		}
	}
	close $handle;
	return @blocks;
}

=item run_block($node, $database, $role, $block)

Runs a block in a psql of its own, as that role after SET ROLE, until it fails. Whether it is ok, its output, in lines
with | between columns, and its errors.

=back

=cut

sub run_block
{
	my ($node, $database, $role, $block) = @_;
	my ($output, $errors) = ('', '');

	local $ENV{PGOPTIONS} = defined $role ? "-c role=$role" : '';
	my $status = $node->psql($database, encode('UTF-8', $block->{text}),
		stdout => \$output, stderr => \$errors, on_error_stop => 1);
	return { ok => $status == 0, output => $output, errors => $errors };
}

1;
