/* os.h - everything the core asks of an operating system, implemented in os_<system>.c.
 *
 * Paths are UTF-8.  Sizes of files are 64 bits.  Errors name the path and the system's reason.
 * Threads: any, unless said otherwise. */
#ifndef HEARTH_BASE_OS_H
#define HEARTH_BASE_OS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* vsnprintf of the C library; the only use of stdio formatting in the core. */
int os_vformat(char *dst, size_t n, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));

/* ---- files ---- */

/* A file mapped read-only.  data is NULL for an empty file.  Pipes, directories and devices are refused. */
struct os_map { const uint8_t *data; uint64_t size; };
int  os_map_open(struct os_map *out, const char *path, struct err *err);
void os_map_close(struct os_map *m);
void os_map_willneed(const struct os_map *m, uint64_t at, uint64_t bytes);   /* start reading ahead; a hint */
void os_map_done(const struct os_map *m, uint64_t at, uint64_t bytes);       /* the memory may be used otherwise; a hint */

bool os_file_exists(const char *path);
bool os_file_same(const char *a, const char *b);       /* both exist and are one file, whatever their names */
void os_file_remove(const char *path);                 /* nothing happens when it cannot be */
bool os_is_folder(const char *path);
void os_file_touch(const char *path);                  /* changed now */
/* The whole file, NUL added, at most max bytes (ERR_LIMIT).  *out is the caller's (mem_free). */
int  os_read_file(const char *path, uint64_t max, char **out, size_t *n, struct err *err);

/* The beginning of a file, at most n - 1 bytes, NUL added; also of those that the system makes up as they are read.  False: it
 * cannot be read, and dst is "". */
bool os_read_begin(const char *path, char *dst, size_t n);

/* A new file that appears under its name only when complete: written to "path.tmp-PID-X", synced, renamed, its folder synced. */
struct os_writer;
int  os_write_begin(struct os_writer **out, const char *path, struct err *err);
int  os_write_begin_private(struct os_writer **out, const char *path, struct err *err);   /* only the user may read it */
void os_write_protect(struct os_writer *w);                      /* nobody may write to it any more */
int  os_write(struct os_writer *w, const void *p, size_t n, struct err *err);
int  os_write_commit(struct os_writer *w, struct err *err);      /* releases w either way */
int  os_write_commit_as(struct os_writer *w, const char *path, struct err *err);          /* under another name of that disk */
void os_write_abort(struct os_writer *w);                        /* removes the temporary file; NULL is fine */

/* Bytes that may still be written to the folder where this file is, or would be; 0 = unknown. */
uint64_t os_disk_free(const char *path);

/* ---- time, machine ---- */
uint64_t os_now_ns(void);                  /* monotonic */
uint64_t os_thread_ns(void);               /* processor time that this thread has used */
int64_t  os_wall_s(void);                  /* seconds since 1970, UTC */
int64_t  os_wall_us(void);                 /* the same in microseconds */
/* Local broken-down time of `t` formatted as strftime does. */
size_t   os_strftime(char *dst, size_t n, const char *fmt, int64_t t);
unsigned os_cpu_count(void);               /* logical processors this process may use, >= 1 */
unsigned os_core_count(void);              /* physical cores among them, >= 1 */
uint64_t os_memory_total(void);            /* bytes; 0 = unknown */
uint64_t os_memory_available(void);        /* bytes that can be had without swapping; 0 = unknown */
uint64_t os_memory_peak(void);             /* most bytes that this process ever had in memory, mapped files included */
uint64_t os_memory_now(void);              /* the bytes of this process that are in memory now; 0 = unknown */
/* The processor's name, for people; "" = unknown. */
void     os_cpu_name(char *dst, size_t n);
/* What the system lets this process have at most; UINT64_MAX: as much as there is. */
enum os_limit { OS_LIMIT_LOCKED, OS_LIMIT_FILES, OS_LIMIT_SPACE };      /* bytes in memory for good; open files; addresses */
uint64_t os_limit(enum os_limit which);
/* Memory that processor and GPU share: the bytes that the GPU may take of it.  0: there is no such memory. */
uint64_t os_gpu_share(void);
uint64_t os_random64(void);

/* Bytes that the C library set aside for a block of its heap; NULL: 0. */
size_t os_heap_bytes(const void *p);

/* ---- anonymous memory in large pages where the system has them; zeroed ---- */
void *os_pages_new(size_t bytes);
void  os_pages_free(void *p, size_t bytes);
/* How much of the mappings that [p, p + n) touches, of files or anonymous, is in huge pages.  False: the system does not say. */
bool  os_huge_bytes(const void *p, uint64_t n, uint64_t *huge);

/* ---- threads ---- */
struct os_thread;
int  os_thread_start(struct os_thread **out, void (*fn)(void *), void *arg, struct err *err);
void os_thread_join(struct os_thread *t);  /* waits, then releases */
/* Sleeps while *word == expect (may wake without reason); wake releases all sleepers. */
void os_wait(const _Atomic uint32_t *word, uint32_t expect);
/* At most so many nanoseconds. */
void os_wait_for(const _Atomic uint32_t *word, uint32_t expect, uint64_t ns);
void os_wake_all(const _Atomic uint32_t *word);
void os_wake_one(const _Atomic uint32_t *word);

#endif
