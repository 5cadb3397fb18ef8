#include "app/term.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/os.h"
#include "base/utf8.h"

static int out_error;                  /* errno of the first failed write to standard output */
static bool progress_shown;

bool term_in_tty(void) { return isatty(0) == 1; }
bool term_out_tty(void) { return isatty(1) == 1; }
bool term_err_tty(void) { return isatty(2) == 1; }

static bool dumb(void)
{
    const char *term = env_get(ENV_TERM);
    return !term || !strcmp(term, "dumb");
}

static bool colours(void) { return term_err_tty() && !dumb() && !env_get(ENV_NO_COLOR); }

/* ---- cleaning ---- */

static bool steers(uint32_t cp)
{
    return (cp >= 0x80 && cp < 0xa0) || cp == 0x61c || cp == 0x200e || cp == 0x200f || (cp >= 0x202a && cp <= 0x202e) ||
           (cp >= 0x2066 && cp <= 0x2069) || cp == UTF8_BAD;
}

void term_clean(const char *s, size_t n, struct buf *out)
{
    for (size_t i = 0, len; i < n; i += len) {
        uint32_t cp = utf8_decode(s + i, n - i, &len);
        if (cp == '\r' && i + 1 < n && s[i + 1] == '\n') continue;
        if (cp == '\n' || cp == '\t')
            buf_putc(out, (char)cp);
        else if (cp < 0x20 || cp == 0x7f) {                    /* U+2400 + c; DEL is U+2421 */
            char picture[3] = { '\xe2', '\x90', (char)(0x80 + (cp == 0x7f ? 0x21 : cp)) };
            buf_put(out, picture, 3);
        } else if (steers(cp))
            buf_puts(out, "\xef\xbf\xbd");
        else
            buf_put(out, s + i, len);
    }
}

/* ---- standard output ---- */

static int write_all(int fd, const char *s, size_t n)
{
    while (n) {
        ssize_t k = write(fd, s, n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return errno;
        s += k;
        n -= (size_t)k;
    }
    return 0;
}

bool term_write(const char *s, size_t n)
{
    if (!out_error) out_error = write_all(1, s, n);
    return !out_error;
}

bool term_puts(const char *s) { return term_write(s, strlen(s)); }

bool term_put(struct buf *b)
{
    if (b->bad && !out_error) out_error = ENOMEM;
    bool ok = term_write(b->data ? b->data : "", b->len);
    buf_release(b);
    return ok;
}

bool term_put_clean(struct buf *b)
{
    struct buf clean = { .bad = b->bad };
    term_clean(b->data ? b->data : "", b->len, &clean);
    buf_release(b);
    return term_put(&clean);
}

bool term_closed(void) { return out_error == EPIPE; }

bool term_text(const char *s, size_t n)
{
    if (!term_out_tty()) return term_write(s, n);
    struct buf b = { 0 };
    term_clean(s, n, &b);
    return term_put(&b);
}

/* ---- standard error ---- */

static void message(const char *before, const char *after, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));
static void message(const char *before, const char *after, const char *fmt, va_list ap)
{
    char text[1536];
    os_vformat(text, sizeof text, fmt, ap);
    term_progress_end();
    struct buf b = { 0 };
    buf_puts(&b, before);
    term_clean(text, strlen(text), &b);
    buf_puts(&b, after);
    if (!b.bad) write_all(2, b.data, b.len);
    buf_release(&b);
}

int term_fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    message("hearth: ", "\n", fmt, ap);
    va_end(ap);
    return EXIT_RUN;
}

int term_usage(const char *command, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    message("hearth: ", "\n", fmt, ap);
    va_end(ap);
    struct buf b = { 0 };
    buf_printf(&b, "Try: hearth %s%s--help\n", command ? command : "", command ? " " : "");
    if (!b.bad) write_all(2, b.data, b.len);
    buf_release(&b);
    return EXIT_USAGE;
}

void term_note(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    message(colours() ? "\033[2m" : "", colours() ? "\033[0m\n" : "\n", fmt, ap);
    va_end(ap);
}

int term_write_failed(void)
{
    if (term_closed()) return 128 + 13;                        /* as if SIGPIPE had ended the program */
    return term_fail("cannot write the output: %s", strerror(out_error));
}

void term_dim(bool on)
{
    if (term_out_tty() && !dumb() && !env_get(ENV_NO_COLOR)) term_puts(on ? "\033[2m" : "\033[0m");
}

void term_paste_marks(bool on)
{
    if (!dumb() && (term_out_tty() || term_err_tty())) write_all(term_out_tty() ? 1 : 2, on ? "\033[?2004h" : "\033[?2004l", 8);
}

void term_progress(const char *fmt, ...)
{
    if (!term_err_tty() || dumb()) return;
    va_list ap;
    va_start(ap, fmt);
    progress_shown = false;                                    /* the line is replaced, not ended */
    message("\r\033[K", "", fmt, ap);
    va_end(ap);
    progress_shown = true;
}

void term_progress_end(void)
{
    if (!progress_shown) return;
    progress_shown = false;
    write_all(2, "\r\033[K", 4);
}
