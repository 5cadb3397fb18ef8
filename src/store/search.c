#include "store/search.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "store/pull.h"

void search_release(struct search_result *r)
{
    arena_release(&r->arena);
    r->n = 0;
}

static uint64_t count_of(const struct json *j, const char *key)
{
    int64_t v = json_int(json_get(j, key));
    return v > 0 ? (uint64_t)v : 0;
}

static int add_hit(struct search_result *out, const struct json *j, struct err *err)
{
    struct search_hit *h = &out->v[out->n];
    struct name n;
    size_t len, k;
    char name[2 * NAME_HUB_PART + 16];
    const char *id = json_str(json_get(j, "id"), &len), *when = json_str(json_get(j, "lastModified"), &k);
    if (out->n == SEARCH_MOST || !id || strlen(id) != len || len > 2 * NAME_HUB_PART) return 0;
    fmt_into(name, sizeof name, NAME_HUB_HOST "/%s", id);
    if (name_parse(&n, name, NULL) < 0 || n.kind != NAME_HUB || n.tag[0] || n.file[0]) return 0;
    const struct json *gguf = json_get(j, "gguf"), *gated = json_get(j, "gated");
    const char *arch = json_str(json_get(gguf, "architecture"), NULL);
    uint64_t context = count_of(gguf, "context_length");
    *h = (struct search_hit){ .downloads = count_of(j, "downloads"), .likes = count_of(j, "likes"),
                              .n_params = count_of(gguf, "total"),
                              .context = context < UINT32_MAX ? (uint32_t)context : 0,
                              .gated = json_type(gated) == JSON_STRING || json_bool(gated) };
    fmt_into(h->arch, sizeof h->arch, "%s", arch ? arch : "");
    if (when && k >= 10) fmt_into(h->changed, sizeof h->changed, "%.10s", when);
    if (!(h->name = arena_strdup(&out->arena, name, strlen(name)))) return err_set(err, ERR_NOMEM, "out of memory");
    out->n++;
    return 0;
}

int search_parse(struct search_result *out, const char *text, size_t n, struct err *err)
{
    struct json *j;
    *out = (struct search_result){ .n = 0 };
    int rc = json_parse(&j, text, n, err);
    if (rc < 0) return err_prefix(err, rc, "the hub's answer: ");
    if (json_type(j) != JSON_ARRAY) rc = err_set(err, ERR_FORMAT, "the hub's answer is no list of models");
    for (size_t i = 0; rc == 0 && i < json_len(j); i++) rc = add_hit(out, json_at(j, i), err);
    json_free(j);
    return rc;
}

static void put_url(const struct search_query *q, const char *base, struct buf *url)
{
    static const char *const order[] = { "trendingScore", "downloads", "likes", "lastModified" };
    static const char *const wanted[] = { "downloads", "likes", "lastModified", "gated", "gguf" };
    size_t n = strlen(base);
    while (n && base[n - 1] == '/') n--;
    buf_printf(url, "%.*s/api/models?limit=%u&sort=%s&direction=-1", (int)n, base, q->limit, order[q->order]);
    if (!q->all) buf_puts(url, "&filter=gguf");
    if (q->text && *q->text) {
        buf_puts(url, "&search=");
        fetch_escape(q->text, url);
    }
    if (q->author) {
        buf_puts(url, "&author=");
        fetch_escape(q->author, url);
    }
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) buf_printf(url, "&expand%%5B%%5D=%s", wanted[i]);
}

int store_search(const struct search_query *q, struct search_result *out, struct err *err)
{
    enum { ANSWER_MAX = 8 << 20 };
    struct buf url = { 0 }, text = { 0 };
    struct fetch *f = NULL;
    char *token = hub_token();
    const struct pull_options o = { .hub = q->hub };
    *out = (struct search_result){ .n = 0 };
    put_url(q, hub_base(&o), &url);
    int rc = url.bad || url.len >= FETCH_URL ? err_set(err, ERR_LIMIT, "too long to be looked for") : fetch_open(&f, err);
    struct fetch_request r = { .url = url.data, .token = token, .alive = q->alive, .arg = q->arg };
    if (rc == 0) rc = fetch_text(f, &r, ANSWER_MAX, &text, err);
    if (rc == 0 && fetch_answer(f)->status != 200)
        rc = err_set(err, ERR_IO, "the hub answers with HTTP status %ld", fetch_answer(f)->status);
    if (rc == 0) rc = search_parse(out, text.data, text.len, err);
    fetch_close(f);
    mem_free(token);
    buf_release(&url);
    buf_release(&text);
    return rc;
}
