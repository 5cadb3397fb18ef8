#include "app/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/env.h"
#include "base/fs.h"
#include "base/mem.h"

static int open_file(struct logfile *l, struct err *err)
{
    struct stat st;
    l->fd = open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (l->fd < 0) return err_set(err, ERR_IO, "%s: cannot write the log: %s", l->path, strerror(errno));
    l->size = fstat(l->fd, &st) == 0 ? (size_t)st.st_size : 0;
    return 0;
}

int logfile_open(struct logfile *l, const char *path, struct err *err)
{
    *l = (struct logfile){ .fd = STDERR_FILENO };
    if (!strcmp(path, "-")) return 0;
    const char *slash = strrchr(path, '/');
    char *folder = slash && slash > path ? mem_strdup(path, (size_t)(slash - path)) : NULL;
    int rc = folder ? fs_make_folders(folder, err) : 0;
    mem_free(folder);
    if (rc == 0 && !(l->path = mem_strdup(path, strlen(path)))) rc = err_set(err, ERR_NOMEM, "out of memory");
    return rc < 0 ? rc : open_file(l, err);
}

/* When the disk is full, lines are lost; the server goes on. */
void logfile_put(void *logfile, const char *line, size_t n)
{
    struct logfile *l = logfile;
    char old[4096];
    if (l->path && l->size + n > LOGFILE_MAX && snprintf(old, sizeof old, "%s.1", l->path) < (int)sizeof old) {
        close(l->fd);
        rename(l->path, old);
        if (open_file(l, NULL) < 0) return;
    }
    ssize_t k = l->fd >= 0 ? write(l->fd, line, n) : 0;
    if (k > 0) l->size += (size_t)k;
}

void logfile_close(struct logfile *l)
{
    if (l->path && l->fd >= 0) close(l->fd);
    mem_free(l->path);
    *l = (struct logfile){ .fd = -1 };
}

bool logfile_usual(struct buf *out)
{
    const char *state = env_get(ENV_XDG_STATE), *home = env_get(ENV_HOME);
    if (state) buf_printf(out, "%s/hearth/serve.log", state);
    else if (home) buf_printf(out, "%s/.local/state/hearth/serve.log", home);
    return out->len && !out->bad;
}
