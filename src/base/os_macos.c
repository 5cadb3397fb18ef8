/* os_macos.c - what only macOS answers: processors, memory, waiting on an address, random bytes. */
#include <mach/mach.h>
#include <malloc/malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysctl.h>
#include <unistd.h>

#include "base/os.h"
#include "base/os_stat.h"

/* libSystem's address wait, present since 10.12 and what os_unfair_lock and libc++ are built on. */
extern int __ulock_wait(uint32_t op, void *addr, uint64_t value, uint32_t timeout_us);
extern int __ulock_wake(uint32_t op, void *addr, uint64_t wake);
enum { UL_COMPARE_AND_WAIT = 1, ULF_WAKE_ALL = 0x100 };

static uint64_t sysctl_u64(const char *name)
{
    uint64_t v = 0;
    size_t n = sizeof v;
    if (sysctlbyname(name, &v, &n, NULL, 0) != 0) return 0;
    return n == 4 ? (uint32_t)v : v;
}

int64_t os_stat_ns(const struct stat *st) { return st->st_mtimespec.tv_sec * INT64_C(1000000000) + st->st_mtimespec.tv_nsec; }

size_t os_heap_bytes(const void *p) { return p ? malloc_size(p) : 0; }

unsigned os_cpu_count(void)
{
    uint64_t n = sysctl_u64("hw.logicalcpu");
    return n ? (unsigned)n : 1;
}

/* Performance cores only: an efficiency core would hold the others back at every barrier. */
unsigned os_core_count(void)
{
    uint64_t n = sysctl_u64("hw.perflevel0.physicalcpu");
    if (!n) n = sysctl_u64("hw.physicalcpu");
    return n ? (unsigned)n : 1;
}

uint64_t os_memory_total(void) { return sysctl_u64("hw.memsize"); }

uint64_t os_memory_available(void)
{
    vm_statistics64_data_t s;
    mach_msg_type_number_t n = HOST_VM_INFO64_COUNT;
    if (host_statistics64(mach_host_self(), HOST_VM_INFO64, (host_info64_t)&s, &n) != KERN_SUCCESS) return 0;
    uint64_t pages = (uint64_t)s.free_count + s.inactive_count + s.purgeable_count;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t os_memory_peak(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (uint64_t)u.ru_maxrss : 0;             /* bytes here */
}

uint64_t os_memory_now(void)
{
    struct mach_task_basic_info info;
    mach_msg_type_number_t n = MACH_TASK_BASIC_INFO_COUNT;
    if (task_info(mach_task_self(), MACH_TASK_BASIC_INFO, (task_info_t)&info, &n) != KERN_SUCCESS) return 0;
    return info.resident_size;
}

void os_cpu_name(char *dst, size_t n)
{
    size_t got = n;
    if (sysctlbyname("machdep.cpu.brand_string", dst, &got, NULL, 0) != 0 || !n) got = 0;
    if (n) dst[got < n ? got : n - 1] = 0;
}

/* The limit that was set (0: none), else what Metal calls recommended, as machines have printed it: three quarters from 36 GB on
 * (27 of 36, 48 of 64, 72 of 96), two thirds below (10.7 of 16, 21.3 of 32).  advisor/machine.c has the same rule. */
uint64_t os_gpu_share(void)
{
    uint64_t total = os_memory_total(), mb = sysctl_u64("iogpu.wired_limit_mb");
    if (!sysctl_u64("hw.optional.arm64")) return 0;
    if (mb) return mb << 20;
    return total >= (uint64_t)36 << 30 ? total / 4 * 3 : total / 3 * 2;
}

bool os_huge_bytes(const void *p, uint64_t n, uint64_t *huge)
{
    (void)p, (void)n, (void)huge;
    return false;
}

bool net_unread(int fd, uint64_t *taken, bool *waits)
{
    (void)fd, (void)taken, (void)waits;
    return false;
}

uint64_t os_random64(void)
{
    uint64_t v;
    arc4random_buf(&v, sizeof v);
    return v;
}

void *os_pages_new(size_t bytes)
{
    void *p = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void os_pages_free(void *p, size_t bytes)
{
    if (p) munmap(p, bytes ? bytes : 1);
}

void os_wait(const _Atomic uint32_t *word, uint32_t expect)
{
    __ulock_wait(UL_COMPARE_AND_WAIT, (void *)(uintptr_t)word, expect, 0);
}

void os_wait_for(const _Atomic uint32_t *word, uint32_t expect, uint64_t ns)
{
    uint64_t us = (ns + 999) / 1000;
    if (us) __ulock_wait(UL_COMPARE_AND_WAIT, (void *)(uintptr_t)word, expect, us < UINT32_MAX ? (uint32_t)us : UINT32_MAX);
}

void os_wake_all(const _Atomic uint32_t *word)
{
    __ulock_wake(UL_COMPARE_AND_WAIT | ULF_WAKE_ALL, (void *)(uintptr_t)word, 0);
}

void os_wake_one(const _Atomic uint32_t *word) { __ulock_wake(UL_COMPARE_AND_WAIT, (void *)(uintptr_t)word, 0); }
