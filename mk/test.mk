# test.mk - each *_test.c is one program (cmocka, TAP output); tools/run-tests adds their results up.
TESTS   := $(TEST_SRC:%.c=$(BUILD)/%)
BENCHES := $(BENCH_SRC:%.c=$(BUILD)/%)

# Tests of the program's own parts are linked with these; the order matters to old versions of make.
$(BUILD)/src/app/%_test: $(BUILD)/src/app/%_test.o $(BUILD)/libapp.a $(BUILD)/libhearth.a
	$(SAY) "LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(LIBS) $(EDIT_LIBS) $(TEST_LIBS) -o $@
$(BUILD)/%_test: $(BUILD)/%_test.o $(BUILD)/libhearth.a
	$(SAY) "LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(LIBS) $(TEST_LIBS) -o $@
# Under sanitizers tests run a part of what they repeat with other numbers (tests/testing.h).
$(BUILD)/%_test.o: CPPFLAGS += $(TEST_CFLAGS) -I. -DTEST_SHARE=$(if $(SAN),4,1)

$(BUILD)/%_bench: $(BUILD)/%_bench.o $(BUILD)/libhearth.a
	$(SAY) "LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(LIBS) -o $@

# What ONLY asks for is all that is built.
WANTED := $(if $(ONLY),$(foreach t,$(TESTS),$(if $(strip $(foreach w,$(ONLY),$(findstring $(w),$(t)))),$(t))),$(TESTS))

.PHONY: test tests bench check-style
tests: $(WANTED) $(EXAMPLES) $(PROGRAM)
RUN_TESTS = ONLY='$(ONLY)' EMULATOR='$(EMULATOR)' BUILD='$(BUILD)' PROGRAM='./$(PROGRAM)' tools/run-tests
test: tests
	@$(RUN_TESTS) $(WANTED)
## make test         all tests; ONLY='word...' runs those whose name contains one of the words

bench: $(BENCHES) $(PROGRAM)
	@for b in $(BENCHES); do echo "== $$b"; PROGRAM=./$(PROGRAM) $$b || exit 1; done
## make bench        all benchmarks (each prints ratios to a limit of the machine)

# Long runs, for before a release: the bits of one prompt, 64 sequences at random, models that take each other's place; the server.
SOAK_RUNS ?= 1000
SOAK_SECONDS ?= 3600
SOAK_ROUNDS ?= 200
.PHONY: soak soak-server
soak: $(BUILD)/src/engine/determinism_test $(BUILD)/src/engine/sched_test $(BUILD)/src/engine/models_test
	$(EMULATOR) $(BUILD)/src/engine/determinism_test $(SOAK_RUNS)
	$(EMULATOR) $(BUILD)/src/engine/models_test $(SOAK_ROUNDS)
	$(EMULATOR) $(BUILD)/src/engine/sched_test $(SOAK_SECONDS)
## make soak         an hour of random requests and a thousand runs for one hash (SOAK_SECONDS, SOAK_RUNS, SOAK_ROUNDS)
SERVER_SECONDS ?= 600
SERVER_SWAPS ?= 1000
soak-server: $(BUILD)/bench/serve_bench $(BUILD)/tests/link_storm_test $(PROGRAM)
	@PROGRAM=./$(PROGRAM) $(BUILD)/bench/serve_bench soak $(SERVER_SECONDS)
	@PROGRAM=./$(PROGRAM) $(BUILD)/tests/link_storm_test 10 $(SERVER_SWAPS)
## make soak-server  the server under mixed load for SERVER_SECONDS (600), and SERVER_SWAPS (1000) changes of models: same texts, no growth

SOAK_DEPLOY ?= 300
.PHONY: soak-deploy
soak-deploy: $(BUILD)/tests/replicas_test $(PROGRAM)
	@PROGRAM=./$(PROGRAM) $(BUILD)/tests/replicas_test $(SOAK_DEPLOY)
## make soak-deploy  four replicas behind HAProxy, of which one is killed every 5 seconds, for SOAK_DEPLOY seconds (300)
.PHONY: load-test
load-test: $(BUILD)/bench/serve_bench $(BUILD)/bench/siege_bench $(PROGRAM)
	@PROGRAM=./$(PROGRAM) $(BUILD)/bench/serve_bench
	@PROGRAM=./$(PROGRAM) $(BUILD)/bench/siege_bench all
## make load-test    what the server adds and what it bears, at full size (three minutes; the numbers are in docs/server.md)

check-style:
	@tools/selftest
	@tools/check-layers
	@tools/check-style
## make check-style  the rules of layers and of CONTRIBUTING.md that a program can check

.PHONY: template-diff
TEMPLATES ?= 2000
template-diff: $(PROGRAM)
	@HEARTH=./$(PROGRAM) tools/template-diff messages
	@HEARTH=./$(PROGRAM) tools/template-diff random $(TEMPLATES)
## make template-diff  chat templates against Python's jinja2 (python3-jinja2; development only)

# Fuzzing: `make fuzz` needs clang; the corpora are replayed by `make fuzz-replay` with any compiler.
FUZZ := $(FUZZ_SRC:%.c=$(BUILD)/%)
$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/libhearth.a $(if $(FUZZ_LINK),,$(BUILD)/tests/fuzz-main.o)
	$(SAY) "LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $(FUZZ_LINK) $^ $(LIBS) -o $@
$(BUILD)/tests/fuzz/%.o: CPPFLAGS += -I.
.PHONY: fuzz fuzz-run fuzz-replay fuzz-replay-build
fuzz-replay-build: $(FUZZ)
fuzz-replay: $(FUZZ)
	@pass=0; fail=0; for f in $(FUZZ); do n=$${f##*/}; \
	  if $(EMULATOR) $$f tests/corpus/$$n > $$f.log 2>&1; then pass=$$((pass + 1)); echo "ok    $$n: $$(tail -n 1 $$f.log)"; \
	  else fail=$$((fail + 1)); echo "FAIL  $$n"; tail -n 100 $$f.log | sed 's/^/  | /'; fi; done; \
	echo "$$pass passed, $$fail failed, 0 skipped"; [ $$fail -eq 0 ]
## make fuzz-replay  runs every file of tests/corpus through its target (use with SAN=address,undefined)

# A search without clang, for one target.
FUZZ_TARGET ?= template
SECONDS ?= 30
FUZZ_SEED ?= 1
$(BUILD)/tests/mutate/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/libhearth.a $(BUILD)/tests/fuzz-mutate.o
	@mkdir -p $(@D)
	$(SAY) "LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(LIBS) -o $@
.PHONY: fuzz-mutate
fuzz-mutate: $(BUILD)/tests/mutate/$(FUZZ_TARGET)
	@mkdir -p build/fuzz
	@$< $(SECONDS) $(FUZZ_SEED) build/fuzz/$(FUZZ_TARGET)-last tests/corpus/$(FUZZ_TARGET)
## make fuzz-mutate  FUZZ_TARGET=name SECONDS=30: changes the corpus of one target at random (use with SAN=address,undefined)

FUZZ_CC ?= clang
FUZZ_SECONDS ?= 60
fuzz:
	$(MAKE) CC=$(FUZZ_CC) SAN=address,undefined,fuzzer-no-link FUZZ_LINK=-fsanitize=fuzzer fuzz-run
fuzz-run: $(FUZZ)
	@for f in $(FUZZ); do n=$${f##*/}; mkdir -p build/fuzz/$$n tests/corpus/$$n; \
	  $$f -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=512 -timeout=5 -artifact_prefix=build/fuzz/$$n- \
	    build/fuzz/$$n tests/corpus/$$n || exit 1; done
## make fuzz         each fuzz target for FUZZ_SECONDS (60) under clang's sanitizers (needs clang)

-include $(TESTS:=.d) $(BENCHES:=.d) $(FUZZ:=.d) $(BUILD)/tests/fuzz-main.d
