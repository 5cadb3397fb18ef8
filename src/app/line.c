#include "app/line.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "app/signals.h"
#include "app/state.h"
#include "app/term.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/utf8.h"

enum { HISTORY_LINES = 1000, HISTORY_BYTES = 1 << 20, PASTE_MAX = 1 << 20, ESCAPE_MS = 100, QUOTE = 'V' - '@' };

struct line_editor {
    EditLine *el;
    History *history;
    struct buf path;               /* of the history file; empty: not kept */
    struct buf text;
    struct buf queue;              /* bytes that come before those of the terminal, from `taken` on */
    size_t taken;
    const char *prompt;
    int fd;                        /* the terminal, opened once more: its reads never block */
    bool eof, interrupted;
};

/* ---- reading characters ---- */

/* Sleeps until there is input; false when a signal came or `ms` (-1: for ever) have passed. */
static bool wait_for_input(struct line_editor *e, int ms)
{
    struct pollfd fd[2] = { { .fd = e->fd, .events = POLLIN }, { .fd = signals_fd(), .events = POLLIN } };
    for (;;) {
        if (signals_pending()) {
            e->interrupted = true;
            return false;
        }
        int n = poll(fd, 2, ms);
        if (n > 0 && (fd[0].revents & (POLLIN | POLLHUP | POLLERR))) return true;
        if (n == 0 || (n < 0 && errno != EINTR)) return false;
    }
}

/* The next byte, or -1: a signal, the end, or nothing within ms. */
static int next_byte(struct line_editor *e, int ms)
{
    while (wait_for_input(e, ms)) {
        unsigned char c;
        ssize_t k = read(e->fd, &c, 1);
        if (k == 1) return c;
        if (k < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        e->eof = true;
        break;
    }
    return -1;
}

/* After ESC: queues what follows, or a whole pasted text between ESC[200~ and ESC[201~.  Its line feeds and tabs are
 * quoted by ^V, so that they become part of the line; its other control characters vanish. */
static void read_escape(struct line_editor *e)
{
    static const char opening[] = "\033[200~", closing[] = "\033[201~";
    enum { LEN = sizeof opening - 1 };
    buf_putc(&e->queue, '\033');
    for (size_t i = 1; i < LEN; i++) {
        int c = next_byte(e, ESCAPE_MS);
        if (c < 0) return;
        buf_putc(&e->queue, (char)c);
        if (c != opening[i]) return;
    }
    struct buf paste = { .limit = PASTE_MAX };
    int c = 0;
    while ((paste.len < LEN || memcmp(paste.data + paste.len - LEN, closing, LEN)) && (c = next_byte(e, -1)) >= 0)
        buf_putc(&paste, (char)c);
    buf_clear(&e->queue);
    size_t n = paste.bad || c < 0 ? 0 : paste.len - LEN;
    while (n && (paste.data[n - 1] == '\n' || paste.data[n - 1] == '\r')) n--;
    for (size_t i = 0; i < n; i++) {
        char k = paste.data[i] == '\r' ? '\n' : paste.data[i];
        if (k == '\n' && i && paste.data[i - 1] == '\r' && paste.data[i] == '\n') continue;
        if (k == '\n' || k == '\t') buf_putc(&e->queue, QUOTE);
        if (k == '\n' || k == '\t' || ((unsigned char)k >= 0x20 && k != 0x7f)) buf_putc(&e->queue, k);
    }
    buf_release(&paste);
}

static int take_byte(struct line_editor *e)
{
    if (e->taken < e->queue.len) return (unsigned char)e->queue.data[e->taken++];
    buf_clear(&e->queue);
    e->taken = 0;
    return next_byte(e, -1);
}

/* libedit's character source: UTF-8 from the terminal, woken by signals. */
static int next_char(EditLine *el, wchar_t *out)
{
    struct line_editor *e = NULL;
    el_get(el, EL_CLIENTDATA, &e);
    char c[4];
    size_t n = 0, len = 1;
    while (n < len) {
        bool fresh = e->taken >= e->queue.len;
        int b = take_byte(e);
        if (b < 0) return e->eof ? 0 : -1;
        if (b == '\033' && fresh && !n) {
            read_escape(e);
            continue;
        }
        c[n++] = (char)b;
        if (n == 1) len = b < 0xc2 ? 1 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : b < 0xf5 ? 4 : 1;
    }
    uint32_t cp = utf8_decode(c, n, &len);
    *out = (wchar_t)(cp == UTF8_BAD || len != n ? UTF8_REPLACEMENT : cp);
    return 1;
}

static char *prompt_of(EditLine *el)
{
    struct line_editor *e = NULL;
    el_get(el, EL_CLIENTDATA, &e);
    return (char *)(uintptr_t)e->prompt;
}

/* ---- history file ---- */

static void add_entry(struct line_editor *e, const char *text)
{
    HistEvent ev;
    if (*text) history(e->history, &ev, H_ENTER, text);
}

/* Keeps the last lines of a file that has grown too long. */
static void shorten(struct line_editor *e, const char *text, size_t n)
{
    size_t from = n, lines = 0;
    while (from && (lines += from < n && text[from - 1] == '\n') <= HISTORY_LINES / 2) from--;
    struct os_writer *w;
    if (os_write_begin_private(&w, e->path.data, NULL) == 0) {
        if (os_write(w, text + from, n - from, NULL) == 0)
            os_write_commit(w, NULL);
        else
            os_write_abort(w);
    }
}

/* One entry is one line of the file: \\n is a line feed in it and \\\\ a backslash. */
static void escape(const char *s, struct buf *out)
{
    for (; *s; s++)
        if (*s == '\n' || *s == '\\')
            buf_puts(out, *s == '\n' ? "\\n" : "\\\\");
        else
            buf_putc(out, *s);
}

static void unescape(char *s)
{
    char *to = s;
    for (; *s; s++) {
        if (*s == '\\' && s[1]) {
            s++;
            *to++ = *s == 'n' ? '\n' : *s;
        } else
            *to++ = *s;
    }
    *to = 0;
}

static void load_history(struct line_editor *e)
{
    char *text;
    size_t n;
    if (!e->path.len || os_read_file(e->path.data, 64 * (uint64_t)HISTORY_BYTES, &text, &n, NULL) < 0) return;
    if (n > HISTORY_BYTES) shorten(e, text, n);
    for (char *p = text, *end; (end = strchr(p, '\n')) != NULL; p = end + 1) {
        *end = 0;
        unescape(p);
        add_entry(e, p);
    }
    mem_free(text);
}

static void remember(struct line_editor *e, const char *text)
{
    HistEvent ev;
    if (!*text || (history(e->history, &ev, H_FIRST) == 0 && !strcmp(ev.str, text))) return;
    add_entry(e, text);
    if (!e->path.len) return;
    int fd = open(e->path.data, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return;
    struct buf b = { 0 };
    escape(text, &b);
    buf_putc(&b, '\n');
    if (!b.bad && write(fd, b.data, b.len) < 0) buf_release(&e->path);           /* do not try again */
    buf_release(&b);
    close(fd);
}

/* ---- the editor ---- */

void line_close(struct line_editor *e)
{
    if (!e) return;
    if (e->el) el_end(e->el);
    if (e->fd > 0) close(e->fd);
    if (e->history) history_end(e->history);
    buf_release(&e->path);
    buf_release(&e->text);
    buf_release(&e->queue);
    mem_free(e);
}

/* The terminal speaks UTF-8; numbers keep the C locale. */
static void choose_locale(void)
{
    static const char *const name[] = { "", "C.UTF-8", "en_US.UTF-8", "UTF-8" };
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        wchar_t c;
        if (setlocale(LC_CTYPE, name[i]) && mbtowc(&c, "\xc3\xa9", 2) == 2 && c == 0xe9) return;
    }
}

/* Ctrl-C empties the terminal's input, perhaps just after poll has seen some: a read that waits would miss the signal.
 * O_NONBLOCK on standard input itself would be the shell's too. */
static int open_terminal(void)
{
    const char *name = ttyname(0);
    int fd = name ? open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
    return fd < 0 ? 0 : fd;
}

int line_open(struct line_editor **out, struct err *err)
{
    *out = NULL;
    struct line_editor *e = mem_new_array(struct line_editor, 1);
    if (!e) return err_set(err, ERR_NOMEM, "out of memory for the line editor");
    e->fd = open_terminal();
    choose_locale();
    e->history = history_init();
    e->el = el_init("hearth", stdin, term_out_tty() ? stdout : stderr, stderr);
    if (!e->el || !e->history) {
        line_close(e);
        return err_set(err, ERR_IO, "cannot edit lines in this terminal; give the prompt as an argument");
    }
    HistEvent ev;
    history(e->history, &ev, H_SETSIZE, HISTORY_LINES);
    el_set(e->el, EL_CLIENTDATA, e);
    el_set(e->el, EL_EDITOR, "emacs");
    el_set(e->el, EL_PROMPT, prompt_of);
    el_set(e->el, EL_HIST, history, e->history);
    el_set(e->el, EL_GETCFN, next_char);
    el_set(e->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(e->el, NULL);
    state_path("history", &e->path);
    load_history(e);
    *out = e;
    return 0;
}

enum line_status line_read(struct line_editor *e, const char *prompt, const char **text, size_t *n)
{
    int count = 0;
    e->prompt = prompt;
    e->eof = e->interrupted = false;
    el_resize(e->el);
    el_set(e->el, EL_PREP_TERM, 1);            /* before the prompt: who types at once is not echoed twice */
    term_paste_marks(true);
    const char *line = el_gets(e->el, &count);
    term_paste_marks(false);
    *text = "";
    *n = 0;
    if (e->interrupted) return LINE_INTERRUPTED;
    if (!line || count <= 0) return LINE_EOF;
    buf_clear(&e->text);
    size_t len = strlen(line);
    if (len && line[len - 1] == '\n') len--;
    utf8_put_valid(&e->text, line, len);
    if (e->text.bad) return LINE_EOF;
    remember(e, e->text.len ? e->text.data : "");
    *text = e->text.len ? e->text.data : "";
    *n = e->text.len;
    return LINE_OK;
}
