# SPDX-License-Identifier: BSD-2-Clause
# The short way to everything; Meson does the work. `make help` lists the targets.
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=

.PHONY: help all deps demo check check-quick everything kills fuzz mutants bench bench-quick install clean
.NOTPARALLEL:

all: deps ## build the library, the driver, the tools and the tests
	@scripts/build $(BUILD) --prefix=$(PREFIX)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

deps: ## install the packages that are missing (Debian; as root)
	@scripts/deps

demo: all ## watch an unprivileged process drive an NVMe controller: make demo [ISOLATE=1]
	@demo/run $(if $(ISOLATE),--isolate) $(BUILD)

check: all ## every test: gcc, clang with ASan and UBSan, valgrind, qemu-user (a quarter of an hour)
	@scripts/check $(BUILD)

check-quick: all ## the tests of one build (under 2 minutes)
	@scripts/check --quick $(BUILD)

everything: deps ## build and test every configuration: compilers, levels, foreign machines
	@scripts/everything $(BUILD)

mutants: deps ## mistakes on purpose in lib/ring and lib/dma: do the tests see each?
	@tests/mutants/mutants.py

kills: all ## kill -9 of drivers under load, and of servers: make kills [N=1000] [SEED=number]
	@for device in stub:nvme,thread stub:virtio-blk,thread qemu:nvme; do \
		tests/serve/kills.py --kills $(or $(N),1000) $(if $(SEED),--seed $(SEED)) \
			$(BUILD)/tests/serve/ring3-stub $(BUILD)/tests/serve/kill_load \
			$$device,size=4M || exit 1; \
	done

fuzz: ## look for peers that break us: make fuzz [TIME=seconds] [TARGET=name]
	@scripts/fuzz $(BUILD)-fuzz $(or $(TIME),60) $(TARGET)

# 77: the host was too busy, and it said so
bench: all ## measure everything beside its floor: a table, and BUILD/bench.json (minutes)
	@bench/run $(BUILD) || [ $$? = 77 ]

bench-quick: all ## less of it, in about a minute
	@bench/run --quick $(BUILD) || [ $$? = 77 ]

install: all ## install to DESTDIR and PREFIX
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild --quiet

clean: ## remove what was built
	rm -rf $(BUILD) $(BUILD).log $(BUILD)-*
