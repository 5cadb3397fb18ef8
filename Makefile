# Hearth.  `make` builds ./hearth; `make help` lists the rest.
#   SAN=address,undefined | SAN=thread    sanitizer build in its own folder
#   CROSS=aarch64-linux-gnu-              cross build (NEON), tests run under qemu
#   CC=clang-14                           another compiler
#   V=1                                   shows the commands
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

include mk/config.mk
include mk/build.mk
include mk/test.mk
include mk/install.mk

.DEFAULT_GOAL := all
.PHONY: all check clean help
all: $(PROGRAM) $(BUILD)/libhearth.a

check: tests
	@$(RUN_TESTS) tools/selftest tools/selftest-compare tools/check-layers tools/check-style tools/check-packages $(TESTS)

clean:
	rm -rf build hearth compile_commands.json

help:
	@sed -n 's/^## //p' Makefile mk/*.mk
## make              build ./hearth and libhearth.a
## make check        style and layer checks and all tests
## make clean        remove everything that was built
