#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"

static atomic_uint_fast64_t n_alloc;
static atomic_int_fast64_t fail_in = -1;
static _Thread_local int64_t thread_bytes;
static atomic_int_fast64_t all_bytes;

static bool may_allocate(void)
{
    atomic_fetch_add_explicit(&n_alloc, 1, memory_order_relaxed);
    int64_t left = atomic_load_explicit(&fail_in, memory_order_relaxed);
    if (left < 0) return true;
    if (left == 0) return false;
    atomic_store_explicit(&fail_in, left - 1, memory_order_relaxed);
    return true;
}

static void count(int64_t bytes)
{
    thread_bytes += bytes;
    atomic_fetch_add_explicit(&all_bytes, bytes, memory_order_relaxed);
}

static void *counted(void *p)
{
    count((int64_t)os_heap_bytes(p));
    return p;
}

void *mem_new(size_t n, size_t size)
{
    if (!may_allocate()) return NULL;
    return counted(calloc(n ? n : 1, size ? size : 1));
}

void *mem_resize(void *p, size_t n, size_t size)
{
    if (size && n > SIZE_MAX / size) return NULL;
    if (!may_allocate()) return NULL;
    size_t bytes = n * size, old = os_heap_bytes(p);
    void *q = realloc(p, bytes ? bytes : 1);
    if (q) count(-(int64_t)old);
    return q ? counted(q) : NULL;
}

void mem_free(void *p)
{
    count(-(int64_t)os_heap_bytes(p));
    free(p);
}

char *mem_strdup(const char *s, size_t n)
{
    if (n == SIZE_MAX) return NULL;
    char *d = mem_new(n + 1, 1);
    if (d && n) memcpy(d, s, n);
    return d;
}

void *mem_new_aligned(size_t bytes, size_t align)
{
    if (!may_allocate() || bytes > SIZE_MAX - align) return NULL;
    size_t n = (bytes + align - 1) & ~(align - 1);
    void *p = aligned_alloc(align, n ? n : align);
    if (p) memset(p, 0, n);
    return counted(p);
}

void mem_free_aligned(void *p) { mem_free(p); }

int64_t mem_thread_bytes(void) { return thread_bytes; }
int64_t mem_bytes(void) { return atomic_load(&all_bytes); }

uint64_t mem_count(void) { return atomic_load(&n_alloc); }
void mem_fail_after(int64_t n) { atomic_store(&fail_in, n); }
