# athena_calc: Amazon Athena for Apache Spark calculations from SQL
#
#   make && make install        builds and installs, for the server of PG_CONFIG
#   make installcheck           runs the regression tests in a running server
#   scripts/check               runs all tests, from nothing

EXTENSION = athena_calc
DATA = athena_calc--1.0.sql
MODULE_big = athena_calc
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))

REGRESS = $(sort $(patsubst sql/%.sql,%,$(wildcard sql/*.sql)))
TAP_TESTS = 1

PG_CONFIG ?= pg_config

# The server's headers are not ours to warn about; only what SQL calls is exported.
PG_CPPFLAGS = -I$(srcdir)/src -isystem $(shell $(PG_CONFIG) --includedir-server)
PG_CFLAGS = -fvisibility=hidden -std=gnu99 -Wall -Wextra
SHLIB_LINK = -lcurl -lssl -lcrypto -lexpat

EXTRA_CLEAN = test/unit/build

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(wildcard src/*.h src/*/*.h)
