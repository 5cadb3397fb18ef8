#include "app/stop.h"

#include <string.h>

static void forget_given(struct stopper *s)
{
    if (s->given) memmove(s->held.data, s->held.data + s->given, s->held.len - s->given + 1);
    s->held.len -= s->given;
    s->given = 0;
}

/* The earliest place where a stop string begins, whole or cut off by the end of the text. */
static size_t earliest(const struct stopper *s, bool *whole)
{
    for (size_t at = 0; at < s->held.len; at++) {
        size_t left = s->held.len - at;
        bool cut = false;
        for (size_t i = 0; i < s->n; i++) {
            size_t len = strlen(s->stop[i]);
            if (memcmp(s->held.data + at, s->stop[i], len < left ? len : left)) continue;
            *whole = len <= left;
            if (*whole) return at;
            cut = true;
        }
        if (cut) return at;
    }
    *whole = false;
    return s->held.len;
}

bool stopper_push(struct stopper *s, const char *text, size_t n, const char **out, size_t *n_out)
{
    forget_given(s);
    buf_put(&s->held, text, n);
    bool whole = false;
    s->given = s->held.len ? earliest(s, &whole) : 0;
    *out = s->held.data ? s->held.data : "";
    *n_out = s->given;
    return whole;
}

void stopper_flush(struct stopper *s, const char **out, size_t *n_out)
{
    forget_given(s);
    s->given = s->held.len;
    *out = s->held.data ? s->held.data : "";
    *n_out = s->given;
}

void stopper_release(struct stopper *s) { buf_release(&s->held); }
