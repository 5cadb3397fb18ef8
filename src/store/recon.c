#include "store/recon.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/sha256.h"

/* The fetches of one xorb. */
struct xorb_key { const char *hash; size_t fetch, n; };

struct reader { struct recon *r; struct xorb_key *key; size_t n_keys, n_ranges; bool v1; };

/* A whole number from 0 to most. */
static bool number(const struct json *j, uint64_t most, uint64_t *v)
{
    if (json_type(j) != JSON_INT || json_int(j) < 0 || (uint64_t)json_int(j) > most) return false;
    *v = (uint64_t)json_int(j);
    return true;
}

static bool chunks_of(const struct json *j, uint32_t *first, uint32_t *end)
{
    uint64_t a, b;
    const uint64_t most = 1 << 24;
    if (!number(json_get(j, "start"), most, &a) || !number(json_get(j, "end"), most, &b) || a >= b) return false;
    *first = (uint32_t)a;
    *end = (uint32_t)b;
    return true;
}

static int read_range(struct recon_range *to, const struct json *chunks, const struct json *bytes, struct err *err)
{
    const uint64_t most = (uint64_t)1 << 40;
    if (chunks_of(chunks, &to->first, &to->end) && number(json_get(bytes, "start"), most, &to->from) &&
        number(json_get(bytes, "end"), most, &to->to) && to->from <= to->to) return 0;
    return err_set(err, ERR_FORMAT, "a range has no chunks and bytes from a start to an end");
}

static int read_fetch(struct reader *x, const struct json *j, struct err *err)
{
    struct recon *r = x->r;
    struct recon_fetch *f = &r->fetch[r->n_fetch];
    const struct json *list = json_get(j, "ranges");
    size_t n;
    const char *url = json_str(json_get(j, "url"), &n);
    if (!url || strlen(url) != n) return err_set(err, ERR_FORMAT, "a fetch has no URL");
    f->n = x->v1 ? 1 : json_len(list);
    if (!f->n || f->n > RECON_RANGES || f->n > RECON_MANY - x->n_ranges)
        return err_set(err, ERR_LIMIT, "a fetch has %zu ranges, 1 to %d are allowed, and %d in all", f->n, RECON_RANGES,
                       RECON_MANY);
    f->url = arena_strdup(&r->arena, url, n);
    f->range = arena_new(&r->arena, struct recon_range, f->n);
    if (!f->url || !f->range) return err_set(err, ERR_NOMEM, "out of memory for the ranges");
    int rc = x->v1 ? read_range(f->range, json_get(j, "range"), json_get(j, "url_range"), err) : 0;
    for (size_t i = 0; !x->v1 && rc == 0 && i < f->n; i++)
        rc = read_range(&f->range[i], json_get(json_at(list, i), "chunks"), json_get(json_at(list, i), "bytes"), err);
    x->n_ranges += f->n;
    r->n_fetch++;
    return rc;
}

static int read_xorbs(struct reader *x, const struct json *xorbs, struct err *err)
{
    struct recon *r = x->r;
    size_t n = json_len(xorbs);
    const char *hash;
    struct json *list;
    if (json_type(xorbs) != JSON_OBJECT || n > RECON_MANY)
        return err_set(err, ERR_FORMAT, "there are no xorbs, or more than %d", RECON_MANY);
    x->key = arena_new(&r->arena, struct xorb_key, n + 1);
    r->fetch = arena_new(&r->arena, struct recon_fetch, RECON_MANY);
    if (!x->key || !r->fetch) return err_set(err, ERR_NOMEM, "out of memory for the xorbs");
    int rc = 0;
    for (void *it = NULL; rc == 0 && json_next(xorbs, &it, &hash, &list);) {
        struct xorb_key *k = &x->key[x->n_keys++];
        *k = (struct xorb_key){ arena_strdup(&r->arena, hash, strlen(hash)), r->n_fetch, json_len(list) };
        if (!k->hash) return err_set(err, ERR_NOMEM, "out of memory for the xorbs");
        if (k->n > RECON_MANY - r->n_fetch) return err_set(err, ERR_LIMIT, "more than %d fetches", RECON_MANY);
        for (size_t i = 0; rc == 0 && i < k->n; i++) rc = read_fetch(x, json_at(list, i), err);
    }
    return rc;
}

static int by_hash(const void *a, const void *b)
{
    return strcmp(((const struct xorb_key *)a)->hash, ((const struct xorb_key *)b)->hash);
}

static const struct recon_range *range_of(const struct reader *x, const struct xorb_key *k, const struct recon_term *t)
{
    for (size_t i = k->fetch; i < k->fetch + k->n; i++)
        for (size_t j = 0; j < x->r->fetch[i].n; j++) {
            const struct recon_range *g = &x->r->fetch[i].range[j];
            if (g->first <= t->first && t->end <= g->end) return g;
        }
    return NULL;
}

static int read_term(struct reader *x, const struct json *j, struct err *err)
{
    struct recon *r = x->r;
    struct recon_term *t = &r->term[r->n_terms];
    size_t n;
    const char *hash = json_str(json_get(j, "hash"), &n);
    if (!hash || !sha256_is_hex(hash, n)) return err_set(err, ERR_FORMAT, "its xorb is not named by 64 digits");
    if (!chunks_of(json_get(j, "range"), &t->first, &t->end)) return err_set(err, ERR_FORMAT, "has no range of chunks");
    if (!number(json_get(j, "unpacked_length"), (uint64_t)1 << 36, &t->length) || !t->length)
        return err_set(err, ERR_FORMAT, "has no length");
    const struct xorb_key want = { .hash = hash };
    const struct xorb_key *k = x->n_keys ? bsearch(&want, x->key, x->n_keys, sizeof want, by_hash) : NULL;
    t->range = k ? range_of(x, k, t) : NULL;
    if (!t->range)
        return err_set(err, ERR_FORMAT, "chunks %u to %u of xorb %.16s... are nowhere to be had", t->first, t->end - 1, hash);
    t->at = r->length;
    r->length += t->length;                                     /* 2^14 times 2^36 */
    r->n_terms++;
    return 0;
}

static int read_all(struct reader *x, const struct json *j, struct err *err)
{
    struct recon *r = x->r;
    const struct json *terms = json_get(j, "terms"), *xorbs = json_get(j, "xorbs");
    size_t n = json_len(terms);
    x->v1 = !xorbs;
    if (!number(json_get(j, "offset_into_first_range"), (uint64_t)1 << 36, &r->skip))
        return err_set(err, ERR_FORMAT, "offset_into_first_range is missing");
    if (json_type(terms) != JSON_ARRAY || n > RECON_MANY)
        return err_set(err, ERR_FORMAT, "there are no terms, or more than %d", RECON_MANY);
    int rc = read_xorbs(x, x->v1 ? json_get(j, "fetch_info") : xorbs, err);
    if (rc < 0) return rc;
    qsort(x->key, x->n_keys, sizeof *x->key, by_hash);
    r->term = arena_new(&r->arena, struct recon_term, n + 1);
    if (!r->term) return err_set(err, ERR_NOMEM, "out of memory for the terms");
    for (size_t i = 0; rc == 0 && i < n; i++)
        if ((rc = read_term(x, json_at(terms, i), err)) < 0) rc = err_prefix(err, rc, "term %zu: ", i);
    return rc;
}

int recon_parse(struct recon *r, const char *text, size_t n, struct err *err)
{
    *r = (struct recon){ .arena = { .limit = 4 * RECON_TEXT } };
    struct reader x = { .r = r };
    struct json *j;
    int rc = json_parse(&j, text, n, err);
    if (rc == 0) {
        rc = read_all(&x, j, err);
        json_free(j);
    }
    if (rc == 0) return 0;
    recon_release(r);
    return err_prefix(err, rc, "the list of chunks: ");
}

void recon_release(struct recon *r)
{
    arena_release(&r->arena);
    *r = (struct recon){ .n_terms = 0 };
}
