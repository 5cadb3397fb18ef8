/* os_linux.c - what only Linux answers: processors, memory, futex, huge pages, random bytes. */
#define _GNU_SOURCE
#include <limits.h>
#include <linux/futex.h>
#include <linux/tcp.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/net.h"
#include "base/os.h"
#include "base/os_stat.h"

int64_t os_stat_ns(const struct stat *st) { return st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec; }

/* Of older systems the numbers are not there. */
bool net_unread(int fd, uint64_t *taken, bool *waits)
{
    struct tcp_info i = { 0 };
    socklen_t n = sizeof i;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &n) < 0 || n < offsetof(struct tcp_info, tcpi_notsent_bytes) + sizeof(uint32_t))
        return false;
    *taken = i.tcpi_bytes_acked;
    *waits = i.tcpi_unacked || i.tcpi_notsent_bytes;
    return true;
}

size_t os_heap_bytes(const void *p) { return malloc_usable_size((void *)(uintptr_t)p); }

unsigned os_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        int n = CPU_COUNT(&set);
        if (n > 0) return (unsigned)n;
    }
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (unsigned)n : 1;
}

/* Counts processors that are the first of their core's siblings. */
unsigned os_core_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return os_cpu_count();
    unsigned cores = 0;
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &set)) continue;
        char path[96];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", i);
        FILE *f = fopen(path, "re");
        int first = i;
        if (f) {
            if (fscanf(f, "%d", &first) != 1) first = i;
            fclose(f);
        }
        if (first == i || (first >= 0 && first < CPU_SETSIZE && !CPU_ISSET(first, &set))) cores++;
    }
    return cores ? cores : 1;
}

static uint64_t meminfo(const char *key)
{
    FILE *f = fopen("/proc/meminfo", "re");
    if (!f) return 0;
    char line[128];
    unsigned long long kb = 0;
    size_t n = strlen(key);
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, key, n) && line[n] == ':') {
            if (sscanf(line + n + 1, "%llu", &kb) != 1) kb = 0;
            break;
        }
    fclose(f);
    return (uint64_t)kb * 1024;
}

uint64_t os_memory_total(void) { return meminfo("MemTotal"); }

static bool read_u64(const char *folder, const char *name, uint64_t *out)
{
    char path[1024];
    unsigned long long v;
    snprintf(path, sizeof path, "%.900s/%s", folder, name);
    FILE *f = fopen(path, "re");
    bool ok = f && fscanf(f, "%llu", &v) == 1;              /* "max" is no number */
    if (f) fclose(f);
    if (ok) *out = v;
    return ok;
}

/* The bytes of files among what a control group uses: the kernel takes them back. */
static uint64_t group_files(const char *folder, const char *key)
{
    char path[1024], line[128];
    unsigned long long v = 0;
    size_t n = strlen(key);
    snprintf(path, sizeof path, "%.900s/memory.stat", folder);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, key, n) && line[n] == ' ' && sscanf(line + n, "%llu", &v) == 1) break;
    if (f) fclose(f);
    return v;
}

/* What a control group (of version 1 or 2) and those above it leave, at most `most`. */
static uint64_t group_leaves(char *folder, size_t n_root, bool second, uint64_t most)
{
    for (;;) {
        uint64_t limit, used;
        if (read_u64(folder, second ? "memory.max" : "memory.limit_in_bytes", &limit) &&
            read_u64(folder, second ? "memory.current" : "memory.usage_in_bytes", &used)) {
            uint64_t files = group_files(folder, second ? "file" : "total_cache");
            used -= files < used ? files : used;
            uint64_t left = limit > used ? limit - used : 0;
            if (left < most) most = left;
        }
        char *slash = strrchr(folder, '/');
        if (strlen(folder) <= n_root || !slash) return most;
        *slash = 0;
    }
}

uint64_t os_memory_available(void)
{
    static const char first[] = "/sys/fs/cgroup/memory", second[] = "/sys/fs/cgroup";
    uint64_t most = meminfo("MemAvailable");
    char line[600], folder[700];
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && fgets(line, sizeof line, f)) {
        char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        bool v2 = !strncmp(line, "0::", 3);
        if (!path || (!v2 && strncmp(names, ":memory:", 8) != 0)) continue;
        path[1 + strcspn(path + 1, "\n")] = 0;
        const char *root = v2 ? second : first;
        snprintf(folder, sizeof folder, "%s%s", root, strcmp(path + 1, "/") ? path + 1 : "");
        most = group_leaves(folder, strlen(root), v2, most);
    }
    if (f) fclose(f);
    return most;
}

uint64_t os_memory_peak(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (uint64_t)u.ru_maxrss * 1024 : 0;      /* kilobytes here */
}

uint64_t os_memory_now(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long long pages = 0;
    if (!f) return 0;
    if (fscanf(f, "%*u %llu", &pages) != 1) pages = 0;
    fclose(f);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void os_cpu_name(char *dst, size_t n)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[256];
    dst[0] = 0;
    if (!f) return;
    while (fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (!colon || (strncmp(line, "model name", 10) != 0 && strncmp(line, "Model\t", 6) != 0)) continue;
        snprintf(dst, n, "%.*s", (int)strcspn(colon + 2, "\n"), colon[1] ? colon + 2 : "");
        break;
    }
    fclose(f);
}

uint64_t os_gpu_share(void) { return 0; }

uint64_t os_random64(void)
{
    uint64_t v;
    if (getrandom(&v, sizeof v, 0) == (ssize_t)sizeof v) return v;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_nsec * 0x9e3779b97f4a7c15u ^ (uint64_t)t.tv_sec ^ (uint64_t)getpid() << 32;
}

void *os_pages_new(size_t bytes)
{
    if (!bytes) bytes = 1;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    madvise(p, bytes, MADV_HUGEPAGE);
    return p;
}

void os_pages_free(void *p, size_t bytes)
{
    if (p) munmap(p, bytes ? bytes : 1);
}

/* smaps: a line "from-to rights ..." begins each mapping, then come lines "Key: number kB". */
bool os_huge_bytes(const void *p, uint64_t n, uint64_t *huge)
{
    static const char *const key[] = { "AnonHugePages:", "FilePmdMapped:", "ShmemPmdMapped:" };
    const uint64_t at = (uint64_t)(uintptr_t)p;
    FILE *f = fopen("/proc/self/smaps", "re");
    if (!f) return false;
    char line[512];
    bool in = false, said = false;
    *huge = 0;
    while (fgets(line, sizeof line, f)) {
        unsigned long long a, b;
        char rights[5];
        if (sscanf(line, "%llx-%llx %4s", &a, &b, rights) == 3) in = a < at + n && at < b;
        for (size_t i = 0; i < sizeof key / sizeof *key; i++) {
            size_t len = strlen(key[i]);
            if (strncmp(line, key[i], len) || sscanf(line + len, "%llu", &a) != 1) continue;
            said = true;
            if (in) *huge += a * 1024;
        }
    }
    fclose(f);
    return said;
}

void os_wait(const _Atomic uint32_t *word, uint32_t expect)
{
    syscall(SYS_futex, (uint32_t *)(uintptr_t)word, FUTEX_WAIT_PRIVATE, expect, NULL, NULL, 0);
}

void os_wait_for(const _Atomic uint32_t *word, uint32_t expect, uint64_t ns)
{
    struct timespec t = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };
    syscall(SYS_futex, (uint32_t *)(uintptr_t)word, FUTEX_WAIT_PRIVATE, expect, &t, NULL, 0);
}

static void wake(const _Atomic uint32_t *word, int most)
{
    syscall(SYS_futex, (uint32_t *)(uintptr_t)word, FUTEX_WAKE_PRIVATE, most, NULL, NULL, 0);
}

void os_wake_all(const _Atomic uint32_t *word) { wake(word, INT_MAX); }
void os_wake_one(const _Atomic uint32_t *word) { wake(word, 1); }
