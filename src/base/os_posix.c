/* os_posix.c - files, memory, time and threads where POSIX is enough (Linux and macOS). */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/os.h"

int os_vformat(char *dst, size_t n, const char *fmt, va_list ap) { return vsnprintf(dst, n, fmt, ap); }

static int open_regular(const char *path, uint64_t *size, struct err *err)
{
    /* O_NONBLOCK: opening a FIFO must not hang. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(err, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "%s: %s", path, strerror(errno));
    struct stat st;
    int rc = 0;
    if (fstat(fd, &st) < 0)
        rc = err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    else if (S_ISDIR(st.st_mode))
        rc = err_set(err, ERR_ARG, "%s: is a directory, not a file", path);
    else if (!S_ISREG(st.st_mode))
        rc = err_set(err, ERR_ARG, "%s: not a regular file", path);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    *size = (uint64_t)st.st_size;
    return fd;
}

int os_map_open(struct os_map *out, const char *path, struct err *err)
{
    *out = (struct os_map){ 0 };
    uint64_t size;
    int fd = open_regular(path, &size, err);
    if (fd < 0) return fd;
    int rc = 0;
    if (size > SIZE_MAX / 2)
        rc = err_set(err, ERR_LIMIT, "%s: too large to map on this machine", path);
    else if (size) {
        void *p = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
            rc = err_set(err, ERR_IO, "%s: cannot map the file: %s", path, strerror(errno));
        else
            *out = (struct os_map){ p, size };
    }
    close(fd);
    return rc;
}

void os_map_close(struct os_map *m)
{
    if (m->data) munmap((void *)(uintptr_t)m->data, (size_t)m->size);
    *m = (struct os_map){ 0 };
}

void os_map_willneed(const struct os_map *m, uint64_t at, uint64_t bytes)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t lo = at & ~(page - 1);
    if (!m->data || at >= m->size) return;
    if (bytes > m->size - at) bytes = m->size - at;
    posix_madvise((void *)(uintptr_t)(m->data + lo), (size_t)(at + bytes - lo), POSIX_MADV_WILLNEED);
}

void os_map_done(const struct os_map *m, uint64_t at, uint64_t bytes)
{
    /* Only whole pages: the others are still in use. */
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), lo = (at + page - 1) & ~(page - 1);
    if (!m->data || at >= m->size) return;
    if (bytes > m->size - at) bytes = m->size - at;
    uint64_t hi = (at + bytes) & ~(page - 1);
    if (hi > lo) madvise((void *)(uintptr_t)(m->data + lo), (size_t)(hi - lo), MADV_DONTNEED);
}

bool os_file_exists(const char *path) { return access(path, F_OK) == 0; }

bool os_file_same(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

void os_file_remove(const char *path) { unlink(path); }

void os_file_touch(const char *path) { utimensat(AT_FDCWD, path, NULL, 0); }

bool os_is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int os_read_file(const char *path, uint64_t max, char **out, size_t *n, struct err *err)
{
    *out = NULL;
    *n = 0;
    uint64_t size;
    int fd = open_regular(path, &size, err);
    if (fd < 0) return fd;
    int rc = 0;
    char *d = NULL;
    size_t got = 0;
    if (size > max || size > SIZE_MAX - 1) {
        rc = err_set(err, ERR_LIMIT, "%s: larger than %llu bytes", path, (unsigned long long)max);
        goto done;
    }
    if (!(d = mem_new((size_t)size + 1, 1))) {
        rc = err_set(err, ERR_NOMEM, "%s: out of memory", path);
        goto done;
    }
    while (got < size) {
        ssize_t k = read(fd, d + got, (size_t)size - got);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) {
            rc = err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
            goto done;
        }
        if (k == 0) break;
        got += (size_t)k;
    }
    *out = d;
    *n = got;
    d = NULL;
done:
    mem_free(d);
    close(fd);
    return rc;
}

uint64_t os_disk_free(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? mem_strdup(path, slash == path ? 1 : (size_t)(slash - path)) : mem_strdup(".", 1);
    struct statvfs v;
    bool ok = folder && statvfs(folder, &v) == 0;
    mem_free(folder);
    return ok ? (uint64_t)v.f_bavail * v.f_frsize : 0;
}

uint64_t os_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t os_thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int64_t os_wall_s(void) { return (int64_t)time(NULL); }

int64_t os_wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

size_t os_strftime(char *dst, size_t n, const char *fmt, int64_t t)
{
    time_t tt = (time_t)t;
    struct tm tm;
    /* Through a pointer: the format is the caller's, which -Wformat=2 takes for a mistake. */
    size_t (*format)(char *, size_t, const char *, const struct tm *) = strftime;
    if (!localtime_r(&tt, &tm)) return 0;
    return format(dst, n, fmt, &tm);
}

struct os_thread { pthread_t id; void (*fn)(void *); void *arg; };

static void *thread_main(void *p)
{
    struct os_thread *t = p;
    t->fn(t->arg);
    return NULL;
}

int os_thread_start(struct os_thread **out, void (*fn)(void *), void *arg, struct err *err)
{
    *out = NULL;
    struct os_thread *t = mem_new(1, sizeof *t);
    if (!t) return err_set(err, ERR_NOMEM, "out of memory starting a thread");
    t->fn = fn;
    t->arg = arg;
    int e = pthread_create(&t->id, NULL, thread_main, t);
    if (e) {
        mem_free(t);
        return err_set(err, ERR_LIMIT, "cannot start a thread: %s", strerror(e));
    }
    *out = t;
    return 0;
}

void os_thread_join(struct os_thread *t)
{
    if (!t) return;
    pthread_join(t->id, NULL);
    mem_free(t);
}

bool os_read_begin(const char *path, char *dst, size_t n)
{
    size_t got = 0;
    dst[0] = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    while (got + 1 < n) {
        ssize_t k = read(fd, dst + got, n - 1 - got);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) break;
        got += (size_t)k;
    }
    close(fd);
    dst[got] = 0;
    return true;
}

uint64_t os_limit(enum os_limit which)
{
    struct rlimit r;
    int what = which == OS_LIMIT_LOCKED ? RLIMIT_MEMLOCK : which == OS_LIMIT_FILES ? RLIMIT_NOFILE : RLIMIT_AS;
    if (getrlimit(what, &r) != 0 || r.rlim_cur == RLIM_INFINITY) return UINT64_MAX;
    return (uint64_t)r.rlim_cur;
}
