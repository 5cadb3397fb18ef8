/* os_fs.c - fs.h where there is POSIX. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/os_stat.h"

bool fs_info(const char *path, struct fs_info *out)
{
    struct stat st;
    if (stat(path, &st) < 0) return false;
    *out = (struct fs_info){ .size = (uint64_t)st.st_size, .device = (uint64_t)st.st_dev, .inode = (uint64_t)st.st_ino,
                             .mtime = (int64_t)st.st_mtime, .mtime_ns = os_stat_ns(&st), .folder = S_ISDIR(st.st_mode),
                             .regular = S_ISREG(st.st_mode) };
    return true;
}

bool fs_is_link(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

/* ---- folders ---- */

struct names { char **v; size_t n, cap; };

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int read_names(DIR *d, const char *folder, struct names *out, struct err *err)
{
    enum { MAX_ENTRIES = 100000 };
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        if (out->n == MAX_ENTRIES) return err_set(err, ERR_LIMIT, "%s: more than %d entries", folder, MAX_ENTRIES);
        if (out->n == out->cap) {
            size_t cap = out->cap ? 2 * out->cap : 32;
            char **v = mem_resize(out->v, cap, sizeof *v);
            if (!v) return err_set(err, ERR_NOMEM, "%s: out of memory", folder);
            out->v = v;
            out->cap = cap;
        }
        if (!(out->v[out->n] = mem_strdup(e->d_name, strlen(e->d_name))))
            return err_set(err, ERR_NOMEM, "%s: out of memory", folder);
        out->n++;
    }
    return 0;
}

int fs_list(const char *folder, fs_entry_fn *fn, void *arg, struct err *err)
{
    DIR *d = opendir(folder);
    if (!d && (errno == ENOENT || errno == ENOTDIR)) return 0;
    if (!d) return err_set(err, ERR_IO, "%s: cannot read the folder: %s", folder, strerror(errno));
    struct names all = { 0 };
    int rc = read_names(d, folder, &all, err);
    closedir(d);
    if (rc == 0 && all.n) qsort(all.v, all.n, sizeof *all.v, by_bytes);
    for (size_t i = 0; rc == 0 && i < all.n; i++) rc = fn(arg, all.v[i], err);
    for (size_t i = 0; i < all.n; i++) mem_free(all.v[i]);
    mem_free(all.v);
    return rc;
}

struct files { const char *folder; fs_file_fn *fn; void *arg; };

static int file_entry(void *arg, const char *name, struct err *err)
{
    struct files *f = arg;
    struct buf path = { 0 };
    struct fs_info info;
    buf_printf(&path, "%s/%s", f->folder, name);
    bool wanted = !path.bad && fs_info(path.data, &info) && info.regular && !fs_is_link(path.data);
    int rc = path.bad ? err_set(err, ERR_NOMEM, "%s: out of memory", f->folder) : 0;
    buf_release(&path);
    return wanted ? f->fn(f->arg, name, &info, err) : rc;
}

int fs_list_files(const char *folder, fs_file_fn *fn, void *arg, struct err *err)
{
    return fs_list(folder, file_entry, &(struct files){ folder, fn, arg }, err);
}

int fs_sync_folder(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* writing is allowed there, reading is not: nothing can be done */
    if (fd < 0 && errno == EACCES) return 0;
    if (fd < 0) return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    int rc = 0;
    if (fsync(fd) < 0 && errno != EINVAL && errno != EROFS)
        rc = err_set(err, ERR_IO, "%s: cannot sync the folder to disk: %s", path, strerror(errno));
    close(fd);
    return rc;
}

/* The folder in which path lies, the caller's. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? mem_strdup(path, slash == path ? 1 : (size_t)(slash - path)) : mem_strdup(".", 1);
}

static int sync_above(const char *path, struct err *err)
{
    char *folder = folder_of(path);
    if (!folder) return err_set(err, ERR_NOMEM, "%s: out of memory", path);
    int rc = fs_sync_folder(folder, err);
    mem_free(folder);
    return rc;
}

int fs_make_folders(const char *path, struct err *err)
{
    char *p = mem_strdup(path, strlen(path));
    if (!p) return err_set(err, ERR_NOMEM, "%s: out of memory", path);
    int rc = 0;
    for (char *at = p + 1; rc == 0; at++) {
        if (*at && *at != '/') continue;
        char old = *at;
        *at = 0;
        if (mkdir(p, 0777) == 0) rc = sync_above(p, err);
        else if (errno != EEXIST && errno != EISDIR)
            rc = err_set(err, ERR_IO, "%s: cannot make the folder: %s", p, strerror(errno));
        if (!(*at = old)) break;
    }
    mem_free(p);
    return rc;
}

/* And syncs the folder of `to`. */
static int rename_file(const char *from, const char *to, struct err *err)
{
    char *folder = folder_of(to);                      /* first: what is renamed is not undone */
    if (!folder) return err_set(err, ERR_NOMEM, "%s: out of memory", to);
    int rc = rename(from, to) < 0 ? err_set(err, ERR_IO, "%s: cannot rename into place: %s", to, strerror(errno)) : 0;
    if (rc == 0) rc = fs_sync_folder(folder, err);
    mem_free(folder);
    return rc;
}

int fs_link_relative(const char *target, const char *path, struct err *err)
{
    if (fs_is_link(path)) unlink(path);
    if (symlink(target, path) < 0) return err_set(err, ERR_IO, "%s: cannot link: %s", path, strerror(errno));
    return 0;
}

bool fs_remove_folder(const char *path) { return rmdir(path) == 0; }

bool fs_real_path(const char *path, struct buf *out)
{
    char *p = realpath(path, NULL);
    if (!p) return false;
    buf_puts(out, p);
    mem_free(p);
    return !out->bad;
}

/* ---- a file ---- */

struct fs_file { int fd; char *path; };

void fs_file_close(struct fs_file *f)
{
    if (!f) return;
    if (f->fd >= 0) close(f->fd);
    mem_free(f->path);
    mem_free(f);
}

int fs_file_open(struct fs_file **out, const char *path, enum fs_mode mode, struct err *err)
{
    *out = NULL;
    struct fs_file *f = mem_new(1, sizeof *f);
    if (f) f->fd = -1;
    if (!f || !(f->path = mem_strdup(path, strlen(path)))) {
        fs_file_close(f);
        return err_set(err, ERR_NOMEM, "%s: out of memory", path);
    }
    /* O_NONBLOCK: opening a FIFO must not hang.  O_NOFOLLOW: what is written in place is never somebody else's file. */
    f->fd = mode == FS_READ ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
                            : open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0666);
    struct stat st;
    int rc = 0;
    if (f->fd < 0) rc = err_set(err, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "%s: %s", path, strerror(errno));
    else if (fstat(f->fd, &st) < 0 || !S_ISREG(st.st_mode)) rc = err_set(err, ERR_ARG, "%s: not a regular file", path);
    if (rc < 0) fs_file_close(f);
    else *out = f;
    return rc;
}

uint64_t fs_file_size(const struct fs_file *f)
{
    struct stat st;
    return fstat(f->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

int fs_file_read(struct fs_file *f, uint64_t at, void *p, size_t n, struct err *err)
{
    for (char *to = p; n;) {
        ssize_t k = pread(f->fd, to, n, (off_t)at);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return err_set(err, ERR_IO, "%s: read failed: %s", f->path, strerror(errno));
        if (k == 0) return err_set(err, ERR_IO, "%s: ends at byte %llu, %zu bytes too early", f->path, (unsigned long long)at, n);
        to += k;
        at += (uint64_t)k;
        n -= (size_t)k;
    }
    return 0;
}

int fs_file_write(struct fs_file *f, uint64_t at, const void *p, size_t n, struct err *err)
{
    for (const char *from = p; n;) {
        ssize_t k = pwrite(f->fd, from, n, (off_t)at);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return err_set(err, ERR_IO, "%s: write failed: %s", f->path, strerror(k < 0 ? errno : ENOSPC));
        from += k;
        at += (uint64_t)k;
        n -= (size_t)k;
    }
    return 0;
}

int fs_file_resize(struct fs_file *f, uint64_t size, struct err *err)
{
    if (ftruncate(f->fd, (off_t)size) < 0)
        return err_set(err, ERR_IO, "%s: cannot be made %llu bytes long: %s", f->path, (unsigned long long)size, strerror(errno));
    return 0;
}

bool fs_file_lock(struct fs_file *f) { return flock(f->fd, LOCK_EX | LOCK_NB) == 0; }

bool fs_file_share(struct fs_file *f) { return flock(f->fd, LOCK_SH | LOCK_NB) == 0; }

bool fs_file_is(const struct fs_file *f, const char *path)
{
    struct stat a, b;
    return fstat(f->fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Into place: the bytes are on the disk before the name is. */
static int publish(int fd, const char *from, const char *to, bool protect, struct err *err)
{
    if (fsync(fd) < 0 && errno != EINVAL && errno != EROFS)
        return err_set(err, ERR_IO, "%s: cannot sync to disk: %s", to, strerror(errno));
    int rc = rename_file(from, to, err);
    /* A file system without modes refuses; nothing is lost by that. */
    if (rc == 0 && protect && fchmod(fd, 0444) < 0) return 0;
    return rc;
}

int fs_file_publish(struct fs_file *f, const char *from, const char *to, bool protect, struct err *err)
{
    return publish(f->fd, from, to, protect, err);
}

int fs_take_back(const char *from, const char *to, struct err *err)
{
    /* A file system without modes refuses; opening it for writing tells. */
    if (chmod(from, 0644) < 0 && errno == ENOENT) return err_set(err, ERR_NOTFOUND, "%s: %s", from, strerror(errno));
    return rename_file(from, to, err);
}

/* ---- a new file ---- */

struct os_writer { int fd; char *path, *tmp; bool protect; };

void os_write_abort(struct os_writer *w)
{
    if (!w) return;
    if (w->fd >= 0) {
        close(w->fd);
        unlink(w->tmp);
    }
    mem_free(w->path);
    mem_free(w->tmp);
    mem_free(w);
}

static int write_begin(struct os_writer **out, const char *path, mode_t mode, struct err *err)
{
    *out = NULL;
    struct os_writer *w = mem_new(1, sizeof *w);
    struct buf tmp = { 0 };
    buf_printf(&tmp, "%s.tmp-%ld-%016llx", path, (long)getpid(), (unsigned long long)os_random64());
    if (w) {
        w->fd = -1;
        w->path = mem_strdup(path, strlen(path));
        w->tmp = buf_take(&tmp);
    }
    buf_release(&tmp);
    if (!w || !w->path || !w->tmp) {
        os_write_abort(w);
        return err_set(err, ERR_NOMEM, "%s: out of memory", path);
    }
    w->fd = open(w->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (w->fd < 0) {
        int rc = err_set(err, ERR_IO, "%s: cannot create: %s", path, strerror(errno));
        os_write_abort(w);
        return rc;
    }
    *out = w;
    return 0;
}

int os_write_begin(struct os_writer **out, const char *path, struct err *err) { return write_begin(out, path, 0666, err); }

int os_write_begin_private(struct os_writer **out, const char *path, struct err *err)
{
    return write_begin(out, path, 0600, err);
}

void os_write_protect(struct os_writer *w) { w->protect = true; }

int os_write(struct os_writer *w, const void *p, size_t n, struct err *err)
{
    for (const char *at = p; n;) {
        ssize_t k = write(w->fd, at, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return err_set(err, ERR_IO, "%s: write failed: %s", w->path, strerror(k < 0 ? errno : ENOSPC));
        at += k;
        n -= (size_t)k;
    }
    return 0;
}

int os_write_commit(struct os_writer *w, struct err *err) { return os_write_commit_as(w, w->path, err); }

int os_write_commit_as(struct os_writer *w, const char *path, struct err *err)
{
    int rc = publish(w->fd, w->tmp, path, w->protect, err);
    if (rc == 0) {
        close(w->fd);
        w->fd = -1;
    }
    os_write_abort(w);
    return rc;
}

void fs_sleep_ms(unsigned ms)
{
    struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };
    nanosleep(&t, NULL);
}
