/* mem.h - the only place that allocates.
 *
 * All memory is zeroed at birth.  Sizes are checked for overflow; failure returns NULL and is the caller's to
 * report (ERR_NOMEM).  Threads: any.
 * The counters and the fault hook exist for tests ("decoding allocates nothing", "nothing grows", "the n-th allocation
 * fails"); they are the one piece of process-wide mutable state in the core, and atomic. */
#ifndef HEARTH_BASE_MEM_H
#define HEARTH_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

void *mem_new(size_t n, size_t size);                 /* n * size zeroed bytes */
void *mem_resize(void *p, size_t n, size_t size);     /* realloc; grown bytes are NOT zeroed; p is kept on failure */
void  mem_free(void *p);
char *mem_strdup(const char *s, size_t n);            /* copy of n bytes plus NUL */

/* align bytes (a power of two, 64 or more for kernels), zeroed; free with mem_free_aligned. */
void *mem_new_aligned(size_t bytes, size_t align);
void  mem_free_aligned(void *p);

/* Bytes that this thread has allocated and not freed; what others free stays in it.  The difference of two calls is what the code
 * between them has left behind. */
int64_t  mem_thread_bytes(void);
int64_t  mem_bytes(void);             /* of all threads */
uint64_t mem_count(void);             /* allocations since the process began */
void     mem_fail_after(int64_t n);   /* the n-th allocation from now fails, and all after it; < 0: never */

#define mem_new_array(type, n) ((type *)mem_new((n), sizeof(type)))

#endif
