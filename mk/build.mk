# build.mk - sources are found, not listed; an instruction-set or system file that does not belong here is left out.
FOREIGN := $(foreach i,$(filter-out $(ISA),$(ISA_ALL)),%_$(i).c) $(if $(filter macos,$(SYSTEM)),%/os_linux.c,%/os_macos.c)
SRC     := $(filter-out %_test.c %_bench.c $(FOREIGN),$(sort $(shell find src -name '*.c')))
APP_SRC := $(filter src/app/%,$(SRC))
LIB_SRC := $(filter-out src/app/%,$(SRC))
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o)
APP_OBJ := $(APP_SRC:%.c=$(BUILD)/%.o)
TEST_SRC  := $(sort $(shell find src tests -name '*_test.c'))
BENCH_SRC := $(sort $(shell find src bench -name '*_bench.c'))
FUZZ_SRC  := $(sort $(wildcard tests/fuzz/*.c))
PROGRAM := $(if $(SAN)$(CROSS)$(CCTAG),$(BUILD)/hearth,hearth)

isa-flags = $(foreach i,$(ISA) ref,$(if $(filter %_$(i).c,$(1)),$(FLAGS_$(i))))

$(BUILD)/%.o: %.c Makefile $(wildcard mk/*.mk)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS_ALL) $(call isa-flags,$<) -MMD -MP -c $< -o $@

# Data that is linked into the program: the assembler includes the file as it is.
EMBED_OBJ := $(if $(wildcard models/spark.gguf),$(BUILD)/embed/spark.o)
$(BUILD)/embed/spark.o: mk/embed.S models/spark.gguf Makefile
	@mkdir -p $(@D)
	$(CC) $(if $(filter macos,$(SYSTEM)),-DPREFIX=_) -c $< -o $@

$(BUILD)/libhearth.a: $(LIB_OBJ) $(EMBED_OBJ)
	rm -f $@
	$(AR) rcs $@ $^

SO := $(BUILD)/libhearth.$(if $(filter macos,$(SYSTEM)),dylib,so)
$(SO): $(LIB_OBJ) $(EMBED_OBJ)
	$(CC) -shared $(LDFLAGS_ALL) $^ $(LIBS) -o $@

hearth $(BUILD)/hearth: $(APP_OBJ) $(BUILD)/libhearth.a
	$(CC) $(LDFLAGS_ALL) $^ $(LIBS) $(EDIT_LIBS) -o $@

compile_commands.json: Makefile $(wildcard mk/*.mk)
	@{ echo '['; sep=''; for f in $(SRC); do \
	  printf '%s{"directory":"%s","file":"%s","arguments":["cc"' "$$sep" "$(CURDIR)" "$$f"; \
	  for a in $(CPPFLAGS) $(CFLAGS_ALL) -c $$f; do printf ',"%s"' "$$(printf %s "$$a" | sed 's/"/\\"/g')"; done; \
	  printf ']}'; sep=','; done; echo ']'; } > $@
## make compile_commands.json   for editors and clangd

-include $(LIB_OBJ:.o=.d) $(APP_OBJ:.o=.d)
