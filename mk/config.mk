# config.mk - what compiler, what machine, which optional parts.  Everything is found here and nowhere else.
VERSION := 0.1.0
PREFIX ?= /usr/local

ifdef CROSS
  CC := $(CROSS)gcc
  AR := $(CROSS)ar
  # Debian's own libc for the architecture where it is installed: the cross compiler's loader beside it hangs in pthread_create.
  EMULATOR ?= qemu-aarch64$(if $(wildcard /lib/ld-linux-aarch64.so.1),, -L /usr/aarch64-linux-gnu)
  PKG_CONFIG_LIBDIR := /usr/lib/$(patsubst %-,%,$(CROSS))/pkgconfig:/usr/share/pkgconfig
  export PKG_CONFIG_LIBDIR
  # Older versions of make export nothing to $(shell).
  PKG_CONFIG := PKG_CONFIG_LIBDIR=$(PKG_CONFIG_LIBDIR) pkg-config
else ifeq ($(origin CC),default)
  CC := cc
endif
PKG_CONFIG ?= pkg-config

TARGET  := $(shell $(CC) -dumpmachine)
ARCH    := $(firstword $(subst -, ,$(TARGET)))
ifneq (,$(findstring darwin,$(TARGET))$(findstring apple,$(TARGET)))
  SYSTEM := macos
else
  SYSTEM := linux
endif
ifeq ($(ARCH),arm64)
  ARCH := aarch64
endif

comma := ,
SANTAG := $(if $(SAN),-$(subst $(comma),-,$(SAN)))
CCTAG  := $(if $(filter clang%,$(notdir $(CC))),-clang)
BUILD  := build/$(ARCH)-$(SYSTEM)$(SANTAG)$(CCTAG)$(if $(EMULATE),-emulated-$(subst $(eval) ,-,$(strip $(EMULATE))))

# Instruction-set files are chosen by their name's ending and compiled with their own flags.
ISA_x86_64  := avx2 avxvnni avx512
ISA_aarch64 := neon i8mm
ISA         := $(ISA_$(ARCH))
ISA_ALL     := avx2 avxvnni avx512 neon i8mm simd128
FLAGS_avx2   := -mavx2 -mfma -mf16c -mbmi2
FLAGS_avxvnni := $(FLAGS_avx2) -mavxvnni
FLAGS_avx512 := $(FLAGS_avx2) -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mprefer-vector-width=512
FLAGS_i8mm   := -march=armv8.2-a+dotprod+fp16+i8mm
FLAGS_neon   := $(if $(filter linux,$(SYSTEM)),-march=armv8.2-a+dotprod+fp16)
# EMULATE='avx512 avxvnni', or one of them: those files are compiled with their intrinsics replaced by plain C, so that any
# x86-64 can test them.  EVEX: by the same instructions of 256 bits in the encoding of AVX-512, where the processor has it.
ifneq (,$(filter avx512,$(EMULATE)))
  $(BUILD)/src/kernel/matmul/peak_avx512.o: FLAGS_avx512 := $(FLAGS_avx512)
  FLAGS_avx512 := $(FLAGS_avx2) -I. -include tests/emulate/avx512.h -Wno-psabi
endif
ifneq (,$(filter avxvnni,$(EMULATE)))
  EVEX ?= $(shell grep -qsw avx512_vnni /proc/cpuinfo && echo 1)
  FLAGS_avxvnni := $(FLAGS_avx2) -I. -include tests/emulate/avxvnni.h $(if $(EVEX),-DEVEX)
endif
# Integer kernels unpack blocks by loops in C that the compiler makes into vectors; so do packers.
# Under sanitizers they compile sooner by -O1 than by -Og; nobody watches the life of their locals, which are thousands.
FLAGS_unpack := $(if $(SAN),$(if $(findstring address,$(SAN)),-O1 -fno-sanitize-address-use-after-scope),-O3)
UNPACKERS    := src/kernel/matmul/dot_% src/kernel/matmul/panel_% src/kernel/matmul/lanes_% src/quant/pack%
# References define the result: nothing clever may happen to them.
FLAGS_ref    := -fno-tree-vectorize -fno-tree-slp-vectorize

PKGS := jansson libutf8proc libcurl sqlite3 libcrypto libmicrohttpd
ifeq ($(SYSTEM),macos)
  BREW := $(shell brew --prefix 2>/dev/null)
  PKG_CONFIG_PATH := $(PKG_CONFIG_PATH):$(BREW)/lib/pkgconfig:$(BREW)/opt/curl/lib/pkgconfig:$(BREW)/opt/sqlite/lib/pkgconfig:$(BREW)/opt/openssl@3/lib/pkgconfig
  export PKG_CONFIG_PATH
endif
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null || echo -ljansson -lutf8proc -lcurl -lsqlite3 -lcrypto -lmicrohttpd)
EDIT_LIBS  := -ledit
TEST_LIBS  := $(shell $(PKG_CONFIG) --libs cmocka 2>/dev/null || echo -lcmocka)
TEST_CFLAGS := $(shell $(PKG_CONFIG) --cflags cmocka 2>/dev/null)

# A warning is an error, but not for who only wants to use it, with a compiler that came later: ./run and ./test.
WERROR ?= 1
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual \
        -Wwrite-strings -Wvla -Wundef -Wformat=2 $(if $(WERROR),-Werror)
# Sanitizers: unrolled kernels with checks take minutes to optimise, and gcc warns of what its own checks do.
OPT  := $(if $(SAN),-Og $(if $(CCTAG),,-Wno-maybe-uninitialized),-O2)
CPPFLAGS += -Isrc -Iinclude -Ibuild/gen -D_DEFAULT_SOURCE -DHEARTH_VERSION='"$(VERSION)"' $(PKG_CFLAGS)
CFLAGS_ALL := -std=c11 $(OPT) -g $(WARN) -fPIC -pthread -ffp-contract=off -fno-math-errno -fno-strict-aliasing \
        -fstack-protector-strong -fvisibility=hidden $(CFLAGS)
ifdef SAN
  CFLAGS_ALL  += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
  LDFLAGS_ALL += -fsanitize=$(SAN)
  # An allocation that cannot be answers NULL, and a crash is the sanitizer's to report, not cmocka's.
  export ASAN_OPTIONS  ?= allocator_may_return_null=1:handle_segv=2:handle_sigbus=2
  export TSAN_OPTIONS  ?= allocator_may_return_null=1
  export UBSAN_OPTIONS ?= print_stacktrace=1
else
  # Where the compiler and the C library have them: calls arrive only where they may, returns only where they came from, and
  # copies are checked against sizes that are known at run time, too.
  has = $(shell echo 'int main(void) { return 0; }' | $(CC) -O2 -Werror -include string.h $(1) -x c -c -o /dev/null - \
                2>/dev/null && echo '$(1)')
  HARDEN  := $(if $(filter linux,$(SYSTEM)),$(call has,$(if $(filter x86_64,$(ARCH)),-fcf-protection,-mbranch-protection=standard)))
  FORTIFY := $(or $(if $(filter linux,$(SYSTEM)),$(call has,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)),\
                  -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
  CFLAGS_ALL += $(HARDEN)
  CPPFLAGS   += $(FORTIFY)
endif
# Addresses of functions are found at once and then read-only; a program is loaded anywhere.
LDFLAGS_ALL += -pthread $(if $(filter linux,$(SYSTEM)),-Wl$(comma)-z$(comma)relro$(comma)-z$(comma)now) $(LDFLAGS)
LIBS := $(PKG_LIBS) -lm
