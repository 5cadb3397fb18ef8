#include "server/api_state.h"

#include <string.h>

#include "base/lock.h"
#include "base/mem.h"

struct entry { char id[API_STATE_ID]; char *user; struct api_kept kept; size_t bytes; uint64_t used; };

struct api_state {
    struct lock lock;
    struct entry *entry;               /* [n] in no order */
    size_t n, max_entries, max_bytes, bytes;
    uint64_t clock;
};

struct api_state *api_state_new(size_t max_entries, size_t max_bytes)
{
    struct api_state *s = mem_new(1, sizeof *s);
    if (!s || !(s->entry = mem_new(max_entries, sizeof *s->entry))) {
        mem_free(s);
        return NULL;
    }
    s->max_entries = max_entries;
    s->max_bytes = max_bytes;
    return s;
}

void api_kept_release(struct api_kept *k)
{
    json_free(k->messages);
    json_free(k->object);
    json_free(k->input);
    *k = (struct api_kept){ 0 };
}

static void drop(struct api_state *s, size_t i)
{
    s->bytes -= s->entry[i].bytes;
    api_kept_release(&s->entry[i].kept);
    mem_free(s->entry[i].user);
    s->entry[i] = s->entry[--s->n];
}

void api_state_free(struct api_state *s)
{
    if (!s) return;
    while (s->n) drop(s, s->n - 1);
    mem_free(s->entry);
    mem_free(s);
}

/* About what a value takes.  Parts that other entries own too count for each. */
static size_t size_of(const struct json *j)
{
    size_t n = 0, sum = 64;
    const char *key;
    struct json *value;
    if (json_str(j, &n)) return sum + n;
    if (json_type(j) == JSON_ARRAY)
        for (size_t i = 0; i < json_len(j); i++) sum += size_of(json_at(j, i));
    for (void *it = NULL; json_next(j, &it, &key, &value);) sum += strlen(key) + 64 + size_of(value);
    return sum;
}

static size_t find(const struct api_state *s, const char *user, const char *id)
{
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->entry[i].id, id) && !strcmp(s->entry[i].user, user)) return i;
    return SIZE_MAX;
}

static void make_room(struct api_state *s, size_t bytes)
{
    while (s->n && (s->n == s->max_entries || s->bytes + bytes > s->max_bytes)) {
        size_t oldest = 0;
        for (size_t i = 1; i < s->n; i++)
            if (s->entry[i].used < s->entry[oldest].used) oldest = i;
        drop(s, oldest);
    }
}

bool api_state_put(struct api_state *s, const char *user, const char *id, struct api_kept *k)
{
    size_t bytes = size_of(k->messages) + size_of(k->object) + size_of(k->input);
    char *name = mem_strdup(user, strlen(user));
    bool ok = name && bytes <= s->max_bytes && strlen(id) < API_STATE_ID;
    if (ok) {
        lock_take(&s->lock);
        size_t old = find(s, user, id);
        if (old != SIZE_MAX) drop(s, old);
        make_room(s, bytes);
        struct entry *e = &s->entry[s->n++];
        *e = (struct entry){ .user = name, .kept = *k, .bytes = bytes, .used = ++s->clock };
        memcpy(e->id, id, strlen(id) + 1);
        s->bytes += bytes;
        lock_give(&s->lock);
        *k = (struct api_kept){ 0 };
        return true;
    }
    mem_free(name);
    api_kept_release(k);
    return false;
}

bool api_state_get(struct api_state *s, const char *user, const char *id, struct api_kept *out)
{
    *out = (struct api_kept){ 0 };
    lock_take(&s->lock);
    size_t i = find(s, user, id);
    if (i != SIZE_MAX) {
        const struct api_kept *k = &s->entry[i].kept;
        *out = (struct api_kept){ json_share(k->messages), json_share(k->object), json_share(k->input) };
        s->entry[i].used = ++s->clock;
    }
    lock_give(&s->lock);
    return i != SIZE_MAX;
}

bool api_state_remove(struct api_state *s, const char *user, const char *id)
{
    lock_take(&s->lock);
    size_t i = find(s, user, id);
    if (i != SIZE_MAX) drop(s, i);
    lock_give(&s->lock);
    return i != SIZE_MAX;
}
