/* fs.h - folders and files that are written in place: what the store needs of a file system, beside os.h.
 * Paths are UTF-8; errors name the path and the system's reason.  Threads: any; a file handle may be read and written by several
 * threads at different places. */
#ifndef HEARTH_BASE_FS_H
#define HEARTH_BASE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"

struct fs_info { uint64_t size, device, inode; int64_t mtime, mtime_ns; bool folder, regular; };      /* since 1970: s, ns */
bool fs_info(const char *path, struct fs_info *out);                 /* symbolic links are followed; false: not there */
bool fs_is_link(const char *path);

/* What stands behind the last slash of a path. */
static inline const char *fs_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Calls fn for each entry but . and .. in the order of their bytes; a folder that is not there has none.  At most 100,000. */
typedef int fs_entry_fn(void *arg, const char *name, struct err *err);
int  fs_list(const char *folder, fs_entry_fn *fn, void *arg, struct err *err);

/* The same for regular files that are no links. */
typedef int fs_file_fn(void *arg, const char *name, const struct fs_info *info, struct err *err);
int  fs_list_files(const char *folder, fs_file_fn *fn, void *arg, struct err *err);

int  fs_make_folders(const char *path, struct err *err);             /* with all above it, for good */
int  fs_sync_folder(const char *path, struct err *err);              /* names in it survive a loss of power */
int  fs_link_relative(const char *target, const char *path, struct err *err);   /* a symbolic link; an older one is replaced */
bool fs_remove_folder(const char *path);                             /* only an empty one */
bool fs_real_path(const char *path, struct buf *out);                /* appended; false: not there */

enum fs_mode { FS_READ, FS_WRITE };                                  /* FS_WRITE: read too, created when missing */
struct fs_file;
int  fs_file_open(struct fs_file **out, const char *path, enum fs_mode mode, struct err *err);
void fs_file_close(struct fs_file *f);                               /* gives the lock back; NULL is fine */
uint64_t fs_file_size(const struct fs_file *f);
/* All n bytes or an error. */
int  fs_file_read(struct fs_file *f, uint64_t at, void *p, size_t n, struct err *err);
int  fs_file_write(struct fs_file *f, uint64_t at, const void *p, size_t n, struct err *err);
int  fs_file_resize(struct fs_file *f, uint64_t size, struct err *err);
/* Its bytes, then its name `to` survive a loss of power; it had the name `from`.  Read-only from then on when protect is set. */
int  fs_file_publish(struct fs_file *f, const char *from, const char *to, bool protect, struct err *err);
/* The reverse: the file `from` is called `to` again, and its owner may write to it. */
int  fs_take_back(const char *from, const char *to, struct err *err);
bool fs_file_lock(struct fs_file *f);                                /* alone on this file, or false at once */
bool fs_file_share(struct fs_file *f);                               /* with others who share, or false at once */
bool fs_file_is(const struct fs_file *f, const char *path);          /* path still names this file */

void fs_sleep_ms(unsigned ms);

#endif
