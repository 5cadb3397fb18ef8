# build.mk - sources are found, not listed; an instruction-set or system file that does not belong here is left out.
FOREIGN := $(foreach i,$(filter-out $(ISA),$(ISA_ALL)),%_$(i).c) $(if $(filter macos,$(SYSTEM)),%_linux.c,%_macos.c)
# x_bench.c is a benchmark of its own; src/app/cmd_bench.c is a subcommand.
BENCH_SRC := $(filter-out src/app/cmd_%,$(sort $(shell find src bench -name '*_bench.c' 2>/dev/null)))
SRC     := $(filter-out %_test.c $(BENCH_SRC) $(FOREIGN),$(sort $(shell find src -name '*.c')))
ifdef EMULATE
  SRC := $(filter-out src/base/cpu_detect.c,$(SRC)) tests/emulate/cpu_emulated.c
  $(BUILD)/tests/emulate/cpu_emulated.o: CPPFLAGS += $(EMULATE:%=-DEMULATE_%)
endif
APP_SRC := $(filter src/app/%,$(SRC))
LIB_SRC := $(filter-out src/app/%,$(SRC))
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o)
APP_OBJ := $(APP_SRC:%.c=$(BUILD)/%.o)
TEST_SRC    := $(filter-out $(if $(filter macos,$(SYSTEM)),%_linux_test.c),$(sort $(shell find src tests -name '*_test.c')))
FUZZ_SRC    := $(sort $(wildcard tests/fuzz/*.c))
EXAMPLE_SRC := $(sort $(wildcard examples/*.c))
PROGRAM := $(if $(SAN)$(CROSS)$(CCTAG)$(EMULATE),$(BUILD)/hearth,hearth)
RULES   := Makefile mk/config.mk mk/build.mk

isa-flags = $(if $(filter $(UNPACKERS),$(1)),$(FLAGS_unpack)) $(foreach i,$(ISA) ref,$(if $(filter %_$(i).c,$(1)),$(FLAGS_$(i))))

# One short line for each step; V=1 shows the commands.
Q   := $(if $(V),,@)
SAY := @$(if $(V),:,echo)

# Objects between a source and a program are kept, else make would build them again the next time.
.SECONDARY:

# Examples see what a user sees: the public header.
$(BUILD)/examples/%.o: examples/%.c $(RULES)
	@mkdir -p $(@D)
	$(SAY) "CC   $<"
	$(Q)$(CC) -Iinclude $(CFLAGS_ALL) -MMD -MP -c $< -o $@

$(BUILD)/%.o: %.c $(RULES)
	@mkdir -p $(@D)
	$(SAY) "CC   $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS_ALL) $(call isa-flags,$<) -MMD -MP -c $< -o $@

# What `hearth version` says.
$(BUILD)/src/app/cmd_version.o: CPPFLAGS += -DHEARTH_TARGET='"$(ARCH)-$(SYSTEM)"' -DHEARTH_ISA='"$(ISA)"'

# Data that is linked into the program: the assembler includes the file as it is.
SPARK := $(wildcard models/spark.gguf)
EMBED_OBJ := $(BUILD)/embed/spark.o
$(BUILD)/embed/spark.o: mk/embed.S $(SPARK) $(RULES)
	@mkdir -p $(@D)
	$(SAY) "AS   $<"
	$(Q)$(CC) $(HARDEN) $(if $(filter macos,$(SYSTEM)),-DPREFIX=_) $(if $(SPARK),,-DEMPTY) -c $< -o $@

$(BUILD)/libhearth.a: $(LIB_OBJ) $(EMBED_OBJ)
	$(SAY) "AR   $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# The program without main, for the tests of its parts.
$(BUILD)/libapp.a: $(filter-out %/main.o,$(APP_OBJ))
	$(SAY) "AR   $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

SONAME := libhearth.$(if $(filter macos,$(SYSTEM)),0.dylib,so.0)
SOLINK := libhearth.$(if $(filter macos,$(SYSTEM)),dylib,so)
SO     := $(BUILD)/$(SONAME)
SO_FLAGS := $(if $(filter macos,$(SYSTEM)),-dynamiclib -install_name $(PREFIX)/lib/$(SONAME),-shared -Wl$(comma)-soname$(comma)$(SONAME))
$(SO): $(LIB_OBJ) $(EMBED_OBJ)
	$(SAY) "LINK $@"
	$(Q)$(CC) $(SO_FLAGS) $(LDFLAGS_ALL) $^ $(LIBS) -o $@

hearth $(BUILD)/hearth: $(APP_OBJ) $(BUILD)/libhearth.a
	$(SAY) "LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(LIBS) $(EDIT_LIBS) -o $@

$(BUILD)/examples/%: $(BUILD)/examples/%.o $(BUILD)/libhearth.a
	$(SAY) "LINK $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(LIBS) -o $@
EXAMPLES := $(EXAMPLE_SRC:%.c=$(BUILD)/%)
.PHONY: examples
examples: $(EXAMPLES)
## make examples     the programs of examples/

# Every tools/gen-* writes the one file that it is for.
.PHONY: gen
gen:
	@for g in tools/gen-*; do if [ -x "$$g" ]; then echo "$$g"; "$$g" || exit 1; fi; done
## make gen          writes the generated files (*.inc) again

# Arguments: what all files share, then @FILE and its own flags for each.
.PHONY: compile_commands.json
compile_commands.json:
	@awk 'function json(s) { gsub(/[\\"]/, "\\\\&", s); return "\"" s "\"" } \
	  function end() { if (file != "") printf "%s{\"directory\":%s,\"file\":%s,\"arguments\":[\"cc\"%s%s,\"-c\",%s]}\n", \
	    n++ ? "," : "", json(dir), json(file), common, own, json(file) } \
	  BEGIN { dir = ARGV[1]; print "["; for (i = 2; i < ARGC; i++) \
	    if (ARGV[i] ~ /^@/) { end(); file = substr(ARGV[i], 2); own = "" } \
	    else if (file == "") common = common "," json(ARGV[i]); else own = own "," json(ARGV[i]); \
	    end(); print "]" }' \
	  '$(CURDIR)' $(CPPFLAGS) -I. $(TEST_CFLAGS) $(CFLAGS_ALL) \
	  $(foreach f,$(SRC) $(TEST_SRC) $(BENCH_SRC) $(FUZZ_SRC) $(EXAMPLE_SRC),'@$(f)' $(call isa-flags,$(f))) > $@
## make compile_commands.json   for editors and clangd

-include $(LIB_OBJ:.o=.d) $(APP_OBJ:.o=.d) $(EXAMPLES:=.d)
