# webhook: signed webhooks for PostgreSQL
#
#   make, make install   build and install, with the pg_config of the PATH
#   make demo            see it work: receiver, retries, delivery log
#   make test            all tests; a part or a file: TESTS="pgtap server/retry"
#   make lint            what a reader should not have to look for
#   make bench, torture  measure; break it for hours (ARGS="...")
#
# demo, test, lint, bench and torture install what they need (as root, on
# Debian) and must therefore work before there is a pg_config.

PG_CONFIG ?= pg_config
export PG_CONFIG

# One place for the version: webhook.control.  (VERSION is the server's.)
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" webhook.control)

EXTENSION = webhook
MODULE_big = webhook
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard extension/*.c)))
PG_CPPFLAGS = -DWEBHOOK_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers
SHLIB_LINK = -lcurl -lssl -lcrypto
override with_llvm = no

# The install script in its pieces, in this order.
PIECES = schema access catalogue endpoint secret organization header emit health delivery \
	operate retention watch admin stats backlog views progress explain \
	metrics dashboard storage check report roles grants
PIECE_FILES = $(wildcard $(PIECES:%=extension/sql/%.sql))
SCRIPT = webhook--$(EXTVERSION).sql
DATA = $(wildcard extension/sql/webhook--*--*.sql)
DATA_built = $(SCRIPT)

REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))

EXTRA_CLEAN = webhook--*.sql extension/*.o extension/*.bc results

all:

.PHONY: demo test lint bench torture clean-tests

demo:
	@sh test/setup && sh test/demo

test:
	@sh test/setup && sh test/run $(TESTS)

lint:
	@sh test/setup lint && sh test/lint

bench:
	@sh test/setup && sh test/bench/run $(ARGS)

torture:
	@sh test/setup && sh test/torture/run $(ARGS)

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

ifneq ($(wildcard $(PGXS)),)

include $(PGXS)

# Headers are few: any change of one rebuilds all, as do the two files above.
$(OBJS): $(wildcard extension/*.h) webhook.control Makefile

$(SCRIPT): $(PIECE_FILES) webhook.control Makefile
	@{ printf '%s\n' '\echo Use "CREATE EXTENSION webhook" to load this file. \quit'; \
	   cat /dev/null $(PIECE_FILES); } > $@

clean: clean-tests

clean-tests:
	@for dir in test/unit test/bench; do \
		if [ -f $$dir/Makefile ]; then $(MAKE) -s -C $$dir clean; fi; done

.DELETE_ON_ERROR:

else

all install uninstall installcheck clean:
	@echo "$@ needs a pg_config with PGXS in the PATH, or PG_CONFIG=..." >&2
	@echo "Debian: apt-get install postgresql-server-dev-all (make test does its own set-up)" >&2
	@exit 1

.PHONY: all install uninstall installcheck clean

endif
