#include "app/progress.h"

#include "app/signals.h"
#include "app/term.h"
#include "base/buf.h"
#include "base/os.h"

enum { PROGRESS_NS = 100000000, BAR = 30 };

/* Whether the line is to be shown now; *s: seconds since the beginning. */
static bool due(struct progress *p, bool last, double *s)
{
    uint64_t now = os_now_ns();
    if (!p->begun) p->begun = now;
    *s = (double)(now - p->begun) / 1e9;
    if (now - p->shown < PROGRESS_NS && !last) return false;
    p->shown = now;
    return true;
}

static void put_left(char *dst, size_t n, double s)
{
    unsigned v = s < 359999 ? (unsigned)(s + 0.5) : 359999;
    if (v >= 3600) fmt_into(dst, n, "%u:%02u:%02u left", v / 3600, v / 60 % 60, v % 60);
    else fmt_into(dst, n, "%u:%02u left", v / 60, v % 60);
}

/* The bar, and the time that the rest will take. */
struct look { char bar[BAR + 1], left[32]; };

static struct look look_of(uint64_t done, uint64_t total, double s)
{
    struct look l = { { 0 }, { 0 } };
    double part = total ? (double)done / (double)total : 1;
    for (int i = 0; i < BAR; i++) l.bar[i] = part * BAR >= i + 1 ? '#' : '.';
    if (s > 1 && part > 0.001) put_left(l.left, sizeof l.left, s / part - s);
    return l;
}

bool progress_bytes(void *progress, uint64_t done, uint64_t total)
{
    struct progress *p = progress;
    double s;
    if (signals_pending()) return false;
    if (!due(p, done >= total, &s)) return true;
    struct look l = look_of(done, total, s);
    term_progress("[%s] %3.0f %%, %.2f of %.2f GB, %.0f MB/s  %s", l.bar, total ? 100 * (double)done / (double)total : 100.0,
                  (double)done / 1e9, (double)total / 1e9, (double)done / (s + 1e-3) / 1e6, l.left);
    return true;
}

bool progress_parts(struct progress *p, uint64_t done, uint64_t total, const char *so_far)
{
    double s;
    if (signals_pending()) return false;
    if (!due(p, done >= total, &s)) return true;
    struct look l = look_of(done, total, s);
    term_progress("[%s] %llu of %llu  %s  %s", l.bar, (unsigned long long)done, (unsigned long long)total, so_far, l.left);
    return true;
}
