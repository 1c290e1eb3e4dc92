# SPDX-License-Identifier: Apache-2.0
# portcullis: make help lists what there is. Build output goes to build/ only.

ifeq ($(origin CC),default)
CC = gcc
endif
CLANG ?= clang
B ?= build
Q = $(if $(V),,@)
SAY = @echo '  $(1)	$(2)'
SAN ?=
WARN = -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
       -Wformat=2 -Wno-format-nonliteral -Werror
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu17 $(WARN) $(CFLAGS) $(SAN) -D_GNU_SOURCE -fno-common -fstack-protector-strong \
             -Iinclude -I$(B)/gen -MMD -MP
LDLIBS = -lseccomp -lyajl -lpthread

MODULES = base memory kvm kvm/x86 bus pci vfio/host vfio devices acpi boot machine qmp cli
SRC := $(foreach m,$(MODULES),$(sort $(wildcard src/$(m)/*.c))) $(sort $(wildcard threads/*.c seccomp/*.c))
OBJ := $(SRC:%.c=$(B)/%.o)
MAIN_OBJ = $(B)/threads/main.o
LIB_OBJ = $(filter-out $(MAIN_OBJ),$(OBJ))
GEN = $(B)/gen/dsdt.h

all: $(B)/portcullis ## build build/portcullis

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 14

$(B)/portcullis: $(OBJ)
	$(call SAY,LINK,$@)
	$(Q)$(CC) $(SAN) -pie -o $@ $^ $(LDLIBS)

$(B)/libportcullis.a: $(LIB_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/%.o: %.c | $(GEN)
	@mkdir -p $(@D)
	$(call SAY,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIE -c -o $@ $<

# The DSDT: ASL -> AML -> a C array.
$(B)/gen/dsdt.h: src/acpi/dsdt.asl
	@mkdir -p $(@D)
	iasl -vs -we -p $(B)/gen/dsdt -tc $< > $(B)/gen/dsdt.log 2>&1 || { cat $(B)/gen/dsdt.log; exit 1; }
	sed 's/^unsigned char/static const unsigned char/' $(B)/gen/dsdt.hex > $@

comma := ,

# Unit tests: tests/unit/test_X.c is one cmocka program.
UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c))
UNIT = $(UNIT_SRC:%.c=$(B)/%)
# Stand in for src/kvm, so only for the tests that name them.
MACHINE_RIG = tests/unit/fake_kvm.c tests/unit/machine_rig.c
FAKE_VCPU = tests/unit/fake_vcpu.c
MEMORY_FIXTURE = tests/unit/memory_failure_fixture.c
START_FIXTURE = tests/unit/machine_start_fixture.c
UNIT_HELPERS := $(filter-out $(UNIT_SRC) $(MACHINE_RIG) $(FAKE_VCPU) $(MEMORY_FIXTURE) $(START_FIXTURE),$(sort $(wildcard tests/unit/*.c)))
UNIT_HELPER_OBJ = $(UNIT_HELPERS:%.c=$(B)/%.o)

# An archive: a test gets the fakes it names, and those stand before what they replace.
$(B)/tests/unit/libhelpers.a: $(UNIT_HELPER_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/tests/unit/test_%: $(B)/tests/unit/test_%.o $(B)/tests/unit/libhelpers.a $(B)/libportcullis.a
	$(call SAY,LINK,$@)
	$(Q)$(CC) $(SAN) -o $@ $(WRAP:%=-Wl$(comma)--wrap=%) $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(LDLIBS)

# Tests that stand between src/kvm, or src/vfio, and the kernel.
$(B)/tests/unit/test_kvm_mce $(B)/tests/unit/test_kvm_routes $(B)/tests/unit/test_vfio_device_io: WRAP = sys_ioctl

$(B)/tests/unit/test_kvm_host: WRAP = sys_ioctl sys_ioctl_int

# Tests that run a whole machine, on the fake host instead of this one.
MEMORY_TESTS = test_memory_failure_vcpu test_memory_failure_host test_memory_failure_load
START_TESTS = test_machine test_machine_end test_machine_memory
RIG_TESTS = $(START_TESTS) test_bars test_panic test_plug test_plug_slots test_port_offer test_errors test_query test_held test_stop test_vcpu $(MEMORY_TESTS)
$(RIG_TESTS:%=$(B)/tests/unit/%): $(MACHINE_RIG:%.c=$(B)/%.o)
$(RIG_TESTS:%=$(B)/tests/unit/%): WRAP = vfio_context_new
$(START_TESTS:%=$(B)/tests/unit/%): WRAP += mmap munmap madvise sched_getaffinity
$(B)/tests/unit/test_populate: WRAP = madvise sched_getaffinity
$(B)/tests/unit/test_machine: WRAP += calloc malloc realloc strdup epoll_create1
$(START_TESTS:%=$(B)/tests/unit/%): $(START_FIXTURE:%.c=$(B)/%.o)
$(B)/tests/unit/test_vcpu $(MEMORY_TESTS:%=$(B)/tests/unit/%): $(FAKE_VCPU:%.c=$(B)/%.o)
$(MEMORY_TESTS:%=$(B)/tests/unit/%): $(MEMORY_FIXTURE:%.c=$(B)/%.o)

# A whole machine with its threads among hostile guests, clients and kernels: tests/hostile/hostile.h.
HOSTILE_SRC := $(sort $(wildcard tests/hostile/*.c))
HOSTILE = $(B)/tests/hostile/hostile_machine
# What it stands between: the door to the kernel, and where a machine meets its host and its end.
HOSTILE_WRAP = sys_open sys_ioctl sys_ioctl_int sys_ioctl_once vfio_context_new vfio_device_new machine_end \
               qmp_serve qmp_free
$(HOSTILE): $(HOSTILE_SRC:%.c=$(B)/%.o) $(B)/tests/unit/libhelpers.a $(B)/libportcullis.a
	$(call SAY,LINK,$@)
	$(Q)$(CC) $(SAN) -o $@ $(HOSTILE_WRAP:%=-Wl$(comma)--wrap=%) $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(LDLIBS)

hostile-program: $(HOSTILE)

# What an access and a plug cost, counted by callgrind: tests/bench/run.
COUNTS = $(B)/tests/bench/counts
$(COUNTS): $(B)/tests/bench/counts.o $(MACHINE_RIG:%.c=$(B)/%.o) $(B)/tests/unit/libhelpers.a $(B)/libportcullis.a
	$(call SAY,LINK,$@)
	$(Q)$(CC) $(SAN) -o $@ -Wl,--wrap=vfio_context_new $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(LDLIBS)

bench-counts: deps-test ## instructions of a trapped access and of a plug, beside the kept numbers (callgrind)
	$(MAKE) -s -j2 $(COUNTS)
	tests/bench/run --build $(B)

unit: $(UNIT) ## build and run the unit tests
	@for t in $(UNIT); do ./$$t || exit 1; done

unit-programs: $(UNIT)
unit-list:
	@echo $(UNIT)

# Fuzz targets: tests/fuzz/fuzz_X.c, built by clang only, each with a kept corpus, tests/fuzz/corpus/fuzz_X
# (see tests/fuzz/run). make check uses its sanitizer build, which is instrumented as this is.
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ = $(FUZZ_SRC:%.c=$(B)/%)
FUZZ_SECONDS ?= 20
FUZZ_BUILD = B=build/fuzz CC=$(CLANG) CFLAGS='-O1 -g -fno-omit-frame-pointer' \
             SAN='-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all'

$(B)/tests/fuzz/fuzz_%.o: ALL_CFLAGS += -fsanitize=fuzzer-no-link
$(B)/tests/fuzz/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/unit/libhelpers.a $(B)/libportcullis.a
	$(call SAY,LINK,$@)
	$(Q)$(CC) $(SAN) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(LDLIBS)

fuzz-programs: $(FUZZ)

fuzz: ## fuzz every target for FUZZ_SECONDS=20; TARGET=name fuzzes one
	$(MAKE) -s -j2 $(FUZZ_BUILD) fuzz-programs
	tests/fuzz/run --seconds $(FUZZ_SECONDS) --build build/fuzz $(TARGET)

fuzz-corpus: ## as fuzz, and make the kept corpora (tests/fuzz/corpus) anew from what was learnt
	$(MAKE) -s -j2 $(FUZZ_BUILD) fuzz-programs
	tests/fuzz/run --seconds $(FUZZ_SECONDS) --build build/fuzz --keep $(TARGET)

check: deps-test ## install what is missing and run every test: lint, unit, hostile machines, fuzz, lab
	$(MAKE) -s -j2 all
	tests/check

check-quick: ## as check, without the lab
	tests/check --no-lab

HOSTILE_SECONDS ?= 30
hostile: ## machines among hostile guests, clients and kernels, HOSTILE_SECONDS=30 per sanitizer
	tests/check --hostile $(HOSTILE_SECONDS)

stress: deps-test ## what takes too long for check: threads under TSan again and again, the lab's long cases
	$(MAKE) -s -j2 all
	tests/stress

demo: deps-test ## install what is missing, build, and show a guest driving a passed-through drive
	$(MAKE) -s -j2 all
	tests/lab/demo

lab: all ## the nested lab; CASE=name runs one case, ARGS=... see tests/lab/run --help
	tests/lab/run $(CASE) $(ARGS)

bench: all ## portcullis beside QEMU on the instruction clock; on an otherwise idle machine
	tests/lab/run bench

lint: ## layer rules, header fences, roles
	tests/lint/run

docs: ## bring the generated documents up to date
	tests/lint/run --write-docs

deps-test:
	tests/deps test
deps: ## install what building needs
	tests/deps build

clean: ## remove build/
	rm -rf $(B)

format: ## clang-format every C file
	clang-format -i $$(git ls-files '*.c' '*.h')

.PHONY: docs all help hostile bench bench-counts fuzz fuzz-corpus fuzz-programs hostile-program unit unit-programs unit-list check check-quick stress demo lab lint deps deps-test clean format
.SECONDARY:
-include $(OBJ:.o=.d) $(UNIT:=.d) $(HOSTILE_SRC:%.c=$(B)/%.d) $(COUNTS).d $(FUZZ:=.d) $(UNIT_HELPER_OBJ:.o=.d) $(MACHINE_RIG:%.c=$(B)/%.d) $(FAKE_VCPU:%.c=$(B)/%.d) $(MEMORY_FIXTURE:%.c=$(B)/%.d) $(START_FIXTURE:%.c=$(B)/%.d)
