#include "text/watch.h"

#include <string.h>

#include "base/mem.h"

/* The token that the byte at `at` of the held text came from; n when nobody's. */
static size_t owner(const struct watch *w, size_t at)
{
    size_t lo = 0, hi = w->n;
    if (at >= w->held.len) return w->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (w->token[mid].at > at) hi = mid;
        else lo = mid + 1;
    }
    return lo ? lo - 1 : w->n;
}

static void forget_given(struct watch *w)
{
    size_t first = owner(w, w->given), n = w->n - first;
    if (w->given) memmove(w->held.data, w->held.data + w->given, w->held.len - w->given + 1);
    w->held.len -= w->given;
    if (first && n) memmove(w->token, w->token + first, n * sizeof *w->token);
    for (size_t i = 0; i < n; i++) w->token[i].at = w->token[i].at > w->given ? w->token[i].at - w->given : 0;
    w->n = n;
    w->given = 0;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static bool alike(const char *a, const char *b, size_t n, bool fold)
{
    if (!fold) return !memcmp(a, b, n);
    for (size_t i = 0; i < n; i++)
        if (lower(a[i]) != lower(b[i])) return false;
    return true;
}

/* The earliest place where one of the strings begins, whole or cut off by the end of the text. */
static size_t earliest(const struct watch *w, const char *const *s, size_t n, const char **whole)
{
    *whole = NULL;
    for (size_t at = 0; at < w->held.len && n; at++) {
        size_t left = w->held.len - at;
        bool cut = false;
        for (size_t i = 0; i < n; i++) {
            size_t len = strlen(s[i]);
            if (!alike(w->held.data + at, s[i], len < left ? len : left, false)) continue;
            if (len <= left) *whole = s[i];
            if (*whole) return at;
            cut = true;
        }
        if (cut) return at;
    }
    return w->held.len;
}

/* Where a whole phrase begins; the earliest beginning may still be undecided while a later one is complete. */
static size_t whole_ban(const struct watch *w)
{
    for (size_t at = 0; at < w->held.len; at++)
        for (size_t i = 0; i < w->n_ban; i++) {
            size_t len = strlen(w->ban[i]);
            if (len <= w->held.len - at && alike(w->held.data + at, w->ban[i], len, true)) return at;
        }
    return w->held.len;
}

/* Whether text[from..end) may be the beginning of a phrase. */
static bool may_be_ban(const struct watch *w, size_t from, size_t end)
{
    for (size_t i = 0; i < w->n_ban; i++)
        if (strlen(w->ban[i]) > end - from && alike(w->held.data + from, w->ban[i], end - from, true)) return true;
    return false;
}

/* The first byte that may still be taken back: the text can go back to a token in which a phrase may begin, then again to one
 * in which, seen from there, another may. */
static size_t uncertain_from(struct watch *w, size_t limit)
{
    for (size_t i = 0; i < w->n; i++) w->token[i].reached = limit < w->held.len && i == owner(w, limit);
    for (size_t k = w->n + 1; k-- > 0;) {
        if (k < w->n && !w->token[k].reached) continue;
        size_t end = k < w->n ? w->token[k].at : w->held.len;
        for (size_t from = end > WATCH_MAX_BAN ? end - WATCH_MAX_BAN : 0; from < end; from++)
            if (may_be_ban(w, from, end) && owner(w, from) < w->n) w->token[owner(w, from)].reached = true;
    }
    for (size_t i = 0; i < w->n; i++)
        if (w->token[i].reached) return w->token[i].at;
    return limit;
}

static enum watch_state take_back(struct watch *w, size_t at, struct watch_result *out)
{
    size_t first = owner(w, at);
    struct watch_token *t = &w->token[first];
    *out = (struct watch_result){ w->held.data, 0, w->n - first, t->id, NULL };
    w->held.len = t->at;
    w->held.data[t->at] = 0;
    w->d = t->before;
    w->n = first;
    return WATCH_BANNED;
}

static enum watch_state look(struct watch *w, struct watch_result *out)
{
    const char *stopped;
    *out = (struct watch_result){ .text = "", .first = -1 };
    if (!w->held.len || w->held.bad) return WATCH_GOES_ON;
    size_t limit = earliest(w, w->stop, w->n_stop, &stopped), ban = whole_ban(w);
    if (ban < w->held.len && owner(w, ban) < w->n && !(stopped && limit <= ban)) return take_back(w, ban, out);
    if (!stopped && w->n_ban) limit = uncertain_from(w, limit);
    w->given = limit;
    out->stop = stopped;
    out->text = w->held.data;
    out->n_text = limit;
    return stopped ? WATCH_STOPPED : WATCH_GOES_ON;
}

static bool begin_token(struct watch *w, int32_t id)
{
    forget_given(w);
    if (!w->n_ban) return true;
    if (w->n == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 32;
        struct watch_token *t = mem_resize(w->token, cap, sizeof *t);
        if (!t) w->held.bad = true;
        if (!t) return false;
        w->token = t;
        w->cap = cap;
    }
    w->token[w->n++] = (struct watch_token){ .id = id, .at = w->held.len, .before = w->d };
    return true;
}

enum watch_state watch_push(struct watch *w, int32_t id, struct watch_result *out)
{
    if (begin_token(w, id)) detok_push(&w->d, id, &w->held);
    return look(w, out);
}

enum watch_state watch_text(struct watch *w, const char *text, size_t n, struct watch_result *out)
{
    if (begin_token(w, -1)) buf_put(&w->held, text, n);
    return look(w, out);
}

enum watch_state watch_flush(struct watch *w, struct watch_result *out)
{
    const char *stopped = NULL;
    forget_given(w);
    if (w->d.t) detok_flush(&w->d, &w->held);
    size_t limit = w->held.bad ? 0 : earliest(w, w->stop, w->n_stop, &stopped);
    if (w->held.bad || !stopped) limit = w->held.bad ? 0 : w->held.len;
    *out = (struct watch_result){ w->held.data ? w->held.data : "", limit, 0, -1, stopped };
    w->given = w->held.len;
    w->n = 0;
    return !w->held.bad && stopped ? WATCH_STOPPED : WATCH_GOES_ON;
}

size_t watch_held(const struct watch *w)
{
    size_t gone = w->given ? owner(w, w->given) : 0;
    return w->n - gone;
}

void watch_release(struct watch *w)
{
    buf_release(&w->held);
    mem_free(w->token);
    w->token = NULL;
    w->n = w->cap = 0;
}
