# athena_calc: Amazon Athena for Apache Spark calculations from SQL
#
#   make && make install        builds and installs, for the server of PG_CONFIG
#   make installcheck           runs the regression tests in a running server
#   make prove_installcheck     runs the TAP tests, each with a server and an emulator of its own
#   make dist                   writes the release's archives, of what is committed
#   scripts/check               runs all tests, from nothing

EXTENSION = athena_calc
DATA = $(sort $(wildcard athena_calc--*.sql))
MODULE_big = athena_calc
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))

REGRESS_OPTS = --load-extension=athena_calc
REGRESS = $(sort $(patsubst sql/%.sql,%,$(wildcard sql/*.sql)))

PG_CONFIG ?= pg_config

# The server's headers are not ours to warn about; only what SQL calls is exported.
PG_CPPFLAGS = -I$(srcdir)/src -isystem $(shell $(PG_CONFIG) --includedir-server)
PG_CFLAGS = -fvisibility=hidden -std=gnu99 -Wall -Wextra
SHLIB_LINK = -lcurl -lssl -lcrypto -lexpat -lz -lzstd

EXTRA_CLEAN = test/unit/build test/fuzz/build tmp_check

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(wildcard src/*.h src/*/*.h)

# Not PGXS's TAP_TESTS: that would make installcheck need Perl's IPC::Run.
PROVE ?= prove
.PHONY: prove_installcheck
prove_installcheck:
	rm -rf $(CURDIR)/tmp_check
	cd $(srcdir) && TESTDIR='$(CURDIR)' TESTDATADIR='$(CURDIR)/tmp_check' TESTLOGDIR='$(CURDIR)/tmp_check/log' \
		PATH="$(bindir):$$PATH" \
		PG_REGRESS='$(top_builddir)/src/test/regress/pg_regress' \
		$(PROVE) -I test/perl -I $(top_srcdir)/src/test/perl $(PROVE_FLAGS) \
		$(or $(PROVE_TESTS),$(wildcard test/t/*.pl))

# META.json is where the version is from.
RELEASE = $(EXTENSION)-$(shell sed -n 's/^   "version": "\(.*\)",$$/\1/p' $(srcdir)/META.json)

.PHONY: dist
dist:
	for form in zip tar.gz; do \
		git -C $(srcdir) archive --format=$$form --prefix=$(RELEASE)/ --output='$(CURDIR)/$(RELEASE)'.$$form HEAD || exit; \
	done
