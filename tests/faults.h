/* faults.h - stands between the program's parts and the files of one folder: counts, fails, and remembers what is done to them.
 *
 * The test program defines these calls of the C library itself, so that those of the store (which is linked into it) come here.
 * Calls on other files pass through.  Linux only: a file's name is that of /proc/self/fd. */
#ifndef HEARTH_TESTS_FAULTS_H
#define HEARTH_TESTS_FAULTS_H

#include "tests/testing.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum fault_op { OP_WRITE, OP_TRUNCATE, OP_SYNC, OP_SYNC_FOLDER, OP_RENAME, OP_UNLINK };

/* path, other: below the folder; ino: of the file. */
struct fault_event { enum fault_op op; char path[160], other[160]; uint64_t ino, gen, at; size_t n; char *bytes; };

enum { FAULT_EVENTS = 4096 };

static struct {
    char root[128];                        /* "" : nothing is watched */
    pthread_mutex_t lock;
    long count, fail_at;                   /* calls so far; the one that fails, 0: none */
    int error;                             /* with this; 0: a short write or read */
    bool fired;
    uint64_t room;                         /* bytes that may still be written; UINT64_MAX: any number */
    uint64_t claimed_free;                 /* what statvfs says; UINT64_MAX: the truth */
    bool record;
    struct fault_event *event;
    size_t n;
    struct { uint64_t ino, gen; } gen[512];
    size_t n_gen;
} fault = { .lock = PTHREAD_MUTEX_INITIALIZER, .room = UINT64_MAX, .claimed_free = UINT64_MAX };

static inline bool fault_path(const char *path, char out[160])
{
    size_t n = strlen(fault.root);
    if (!n || strncmp(path, fault.root, n) || strstr(path, "index.db")) return false;
    snprintf(out, 160, "%s", path + n);
    return true;
}

static inline bool fault_fd(int fd, char out[160], uint64_t *ino)
{
    char link[64], path[512];
    struct stat st;
    if (!fault.root[0]) return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t k = readlink(link, path, sizeof path - 1);
    if (k <= 0 || fstat(fd, &st) < 0) return false;
    path[k] = 0;
    *ino = st.st_ino;
    return fault_path(path, out);
}

/* A number of an inode can be used again: which of its lives this is. */
static inline uint64_t fault_gen(uint64_t ino, bool ends)
{
    for (size_t i = 0; i < fault.n_gen; i++)
        if (fault.gen[i].ino == ino) return ends ? fault.gen[i].gen++ : fault.gen[i].gen;
    if (fault.n_gen < 512) fault.gen[fault.n_gen++].ino = ino;
    return ends ? fault.gen[fault.n_gen - 1].gen++ : 0;
}

/* Whether this call fails; *n becomes shorter for a short one. */
static inline bool fault_now(size_t *n)
{
    pthread_mutex_lock(&fault.lock);
    bool now = ++fault.count == fault.fail_at;
    if (now) fault.fired = true;
    if (n && fault.room != UINT64_MAX) {
        if (*n > fault.room) now = true;
        else fault.room -= *n;
    }
    pthread_mutex_unlock(&fault.lock);
    if (!now) return false;
    if (!fault.error && n && *n > 1) {
        *n /= 2;
        return false;
    }
    errno = fault.error ? fault.error : EIO;
    return true;
}

static inline void fault_log(struct fault_event e, const void *bytes)
{
    if (!fault.record) return;
    pthread_mutex_lock(&fault.lock);
    if (fault.n < FAULT_EVENTS) {
        e.gen = e.op == OP_SYNC_FOLDER ? 0 : fault_gen(e.ino, e.op == OP_UNLINK);
        if (bytes) {
            e.bytes = malloc(e.n + 1);
            memcpy(e.bytes, bytes, e.n);
        }
        fault.event[fault.n++] = e;
    }
    pthread_mutex_unlock(&fault.lock);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    struct fault_event e = { .op = OP_WRITE, .at = (uint64_t)at };
    if (!fault_fd(fd, e.path, &e.ino)) return syscall(SYS_pwrite64, fd, p, n, at);
    if (fault_now(&n)) return -1;
    ssize_t k = syscall(SYS_pwrite64, fd, p, n, at);
    e.n = k > 0 ? (size_t)k : 0;
    if (k > 0) fault_log(e, p);
    return k;
}

ssize_t write(int fd, const void *p, size_t n)
{
    struct fault_event e = { .op = OP_WRITE };
    if (!fault_fd(fd, e.path, &e.ino)) return syscall(SYS_write, fd, p, n);
    if (fault_now(&n)) return -1;
    e.at = (uint64_t)lseek(fd, 0, SEEK_CUR);
    ssize_t k = syscall(SYS_write, fd, p, n);
    e.n = k > 0 ? (size_t)k : 0;
    if (k > 0) fault_log(e, p);
    return k;
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
    char path[160];
    uint64_t ino;
    if (fault_fd(fd, path, &ino)) {
        uint64_t room = fault.room;
        fault.room = UINT64_MAX;           /* reading needs none */
        bool now = fault_now(&n);
        fault.room = room;
        if (now) return -1;
    }
    return syscall(SYS_pread64, fd, p, n, at);
}

int fsync(int fd)
{
    struct fault_event e = { .op = OP_SYNC };
    struct stat st;
    if (fault_fd(fd, e.path, &e.ino)) {
        if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) e.op = OP_SYNC_FOLDER;
        if (fault_now(NULL)) return -1;
        fault_log(e, NULL);
    }
    return (int)syscall(SYS_fsync, fd);
}

int ftruncate(int fd, off_t size)
{
    struct fault_event e = { .op = OP_TRUNCATE, .at = (uint64_t)size };
    if (fault_fd(fd, e.path, &e.ino)) {
        if (fault_now(NULL)) return -1;
        fault_log(e, NULL);
    }
    return (int)syscall(SYS_ftruncate, fd, size);
}

int rename(const char *from, const char *to)
{
    struct fault_event e = { .op = OP_RENAME };
    struct stat st;
    if (fault_path(from, e.path) && fault_path(to, e.other) && stat(from, &st) == 0) {
        e.ino = st.st_ino;
        if (fault_now(NULL)) return -1;
        fault_log(e, NULL);
    }
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
    struct fault_event e = { .op = OP_UNLINK };
    struct stat st;
    if (fault_path(path, e.path) && lstat(path, &st) == 0) {
        e.ino = st.st_ino;
        fault_log(e, NULL);
    }
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int statvfs(const char *path, struct statvfs *out)
{
    char name[160];
    *out = (struct statvfs){ .f_frsize = 1, .f_bavail = (uint64_t)1 << 40 };
    if (fault.claimed_free != UINT64_MAX && fault_path(path, name)) out->f_bavail = fault.claimed_free;
    return 0;
}

/* What is done below root from now on; n-th call to fail with error (0: short), or 0. */
static inline void fault_watch(const char *root, long fail_at, int error)
{
    snprintf(fault.root, sizeof fault.root, "%s", root);
    fault.count = 0;
    fault.fail_at = fail_at;
    fault.error = error;
    fault.fired = false;
    fault.room = fault.claimed_free = UINT64_MAX;
}

static inline void fault_record(bool on)
{
    if (!fault.event) fault.event = calloc(FAULT_EVENTS, sizeof *fault.event);
    for (size_t i = 0; on && i < fault.n; i++) free(fault.event[i].bytes);
    if (on) fault.n = fault.n_gen = 0;
    fault.record = on;
}

#endif
