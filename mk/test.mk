# test.mk - each *_test.c is one program (cmocka, TAP output); tools/run-tests adds their results up.
TESTS := $(TEST_SRC:%.c=$(BUILD)/%)
TEST_APP_OBJ := $(filter-out %/main.o,$(APP_OBJ))

$(BUILD)/%_test: $(BUILD)/%_test.o $(TEST_APP_OBJ) $(BUILD)/libhearth.a
	$(CC) $(LDFLAGS_ALL) $^ $(LIBS) $(EDIT_LIBS) $(TEST_LIBS) -o $@
$(BUILD)/%_test.o: CPPFLAGS += $(TEST_CFLAGS) -I.

$(BUILD)/%_bench: $(BUILD)/%_bench.o $(BUILD)/libhearth.a
	$(CC) $(LDFLAGS_ALL) $^ $(LIBS) -o $@

.PHONY: test tests bench check-style
tests: $(TESTS)
test: $(TESTS) $(PROGRAM)
	@EMULATOR='$(EMULATOR)' BUILD='$(BUILD)' PROGRAM='./$(PROGRAM)' tools/run-tests $(ONLY)
## make test         all tests; ONLY=word runs those whose name contains it

bench: $(BENCH_SRC:%.c=$(BUILD)/%) $(PROGRAM)
	@for b in $(BENCH_SRC:%.c=$(BUILD)/%); do echo "== $$b"; $$b || exit 1; done
## make bench        all benchmarks (each prints ratios to a limit of the machine)

check-style:
	@tools/check-layers
	@tools/check-style

# Fuzzing: `make fuzz` needs clang; the corpora are replayed by `make fuzz-replay` with any compiler.
FUZZ := $(FUZZ_SRC:%.c=$(BUILD)/%)
$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/libhearth.a $(if $(FUZZ_LINK),,$(BUILD)/tests/fuzz-main.o)
	$(CC) $(LDFLAGS_ALL) $(FUZZ_LINK) $^ $(LIBS) -o $@
$(BUILD)/tests/fuzz/%.o: CPPFLAGS += -I.
.PHONY: fuzz fuzz-replay
fuzz-replay: $(FUZZ)
	@for f in $(FUZZ); do n=$$(basename $$f); echo "replay $$n"; $$f tests/corpus/$$n || exit 1; done
## make fuzz-replay  runs every file of tests/corpus through its target (use with SAN=address,undefined)

FUZZ_CC ?= clang
FUZZ_SECONDS ?= 60
fuzz:
	$(MAKE) CC=$(FUZZ_CC) SAN=address,undefined,fuzzer-no-link FUZZ_LINK=-fsanitize=fuzzer fuzz-run
fuzz-run: $(FUZZ)
	@for f in $(FUZZ); do n=$$(basename $$f); mkdir -p build/fuzz/$$n tests/corpus/$$n; \
	  $$f -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=512 -timeout=5 -artifact_prefix=build/fuzz/$$n- \
	    build/fuzz/$$n tests/corpus/$$n || exit 1; done
.PHONY: fuzz-run
## make fuzz         each fuzz target for FUZZ_SECONDS (60) under clang's sanitizers (needs clang)

-include $(TESTS:=.d) $(FUZZ:=.d)
