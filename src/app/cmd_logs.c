#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/command.h"
#include "app/logfile.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/mem.h"

struct fields { uint32_t lines; bool follow; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "lines", NULL, 'n', OPT_U32, "N", "50", "how many of the last lines", NULL, AT(lines), 0, 1000000 },
    { "follow", NULL, 'f', OPT_FLAG, NULL, NULL, "go on as lines come, until Ctrl-C", "", AT(follow), 0, 0 },
};

/* Where the last n lines begin. */
static off_t start_of(int fd, off_t size, uint32_t n)
{
    char piece[65536];
    uint32_t seen = 0;
    for (off_t at = size; at > 0;) {
        off_t from = at > (off_t)sizeof piece ? at - (off_t)sizeof piece : 0;
        ssize_t k = pread(fd, piece, (size_t)(at - from), from);
        if (k <= 0) return 0;
        for (ssize_t i = k - 1; i >= 0; i--)
            if (piece[i] == '\n' && from + i + 1 < size && ++seen == n) return from + i + 1;
        at = from;
    }
    return 0;
}

static bool show(int fd, off_t *at)
{
    char piece[65536];
    ssize_t k;
    while ((k = pread(fd, piece, sizeof piece, *at)) > 0) {
        *at += k;
        if (!term_text(piece, (size_t)k)) return false;
    }
    return true;
}

static int follow(const char *path, int fd, off_t at)
{
    while (!signals_pending()) {
        struct pollfd p = { signals_fd(), POLLIN, 0 };
        struct stat st, now;
        poll(&p, 1, 200);
        if (!show(fd, &at)) return term_write_failed();
        if (fstat(fd, &st) == 0 && stat(path, &now) == 0 && st.st_ino != now.st_ino) {     /* begun anew */
            int fresh = open(path, O_RDONLY | O_CLOEXEC);
            if (fresh < 0) continue;
            close(fd);
            fd = fresh;
            at = 0;
        }
    }
    close(fd);
    return 128 + signals_pending();
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { .lines = 50 };
    struct parsed p;
    struct buf usual = { 0 };
    struct stat st;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 1 }, &f, &p, &rc)) return rc;
    if (!p.n_operands && !logfile_usual(&usual)) return term_usage(self->name, "name the FILE; there is no HOME");
    const char *path = p.n_operands ? p.operand[0] : usual.data;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        rc = term_fail("%s: %s", path, fd < 0 ? strerror(errno) : "not a regular file");
        if (fd >= 0) close(fd);
    } else {
        off_t at = f.lines ? start_of(fd, st.st_size, f.lines) : st.st_size;
        rc = show(fd, &at) ? EXIT_OK : term_write_failed();
        if (rc == EXIT_OK && f.follow) rc = follow(path, fd, at);
        else close(fd);
    }
    buf_release(&usual);
    return rc;
}

const struct command command_row_logs = {
    .name = "logs",
    .operands = "[FILE]",
    .summary = "what `hearth serve` has noted",
    .about = "Shows the end of the server's log: a line for each request, with times and sizes, never what was said.\n",
    .example = "",
    .more = (const char *const[]){ "hearth logs -n 200", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
