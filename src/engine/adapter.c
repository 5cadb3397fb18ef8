/* adapter.c - adapters: LoRA's low-rank matrices and steering vectors, read from their files for one model, and the sets of them
 * that sessions use.  An adapter's numbers are copied as floats; models are never changed.
 * Source: arXiv 2106.09685; the GGUF and safetensors specifications. */
#include <math.h>
#include <string.h>

#include "base/ck.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "format/peft.h"

enum { MAX_RANK = 16384, MAX_USE = 64 };

/* What a weight is used for, by its id. */
struct target { const struct op *product, *table; };

struct reader {
    struct hearth_adapter *a;
    struct hearth_model *m;
    const struct gguf *g;             /* the adapter's file */
    struct target *target;            /* [n_id] */
    struct arena scratch;             /* of the pair that is read */
    struct low_rank **product, **table;
    uint32_t n_id;
    float alpha;
    bool turned;                      /* rows of q and k lie otherwise than in the model */
    bool from_half;                   /* in halves of heads in the file, in pairs in the model */
    struct err *err;
};

static int nomem(const struct reader *r) { return err_set(r->err, ERR_NOMEM, "%s: out of memory", gguf_path(r->g)); }

static int bad(const struct reader *r, int code, const char *name, const char *why)
{
    return err_set(r->err, code, "%s: tensor %s: %s", gguf_path(r->g), name, why);
}

/* ---- the model's side ---- */

static void see_graph(struct reader *r, const struct graph *g)
{
    for (uint32_t i = 0; i < g->n_op; i++) {
        const struct op *o = &g->op[i];
        if (!o->w || !o->w->id || o->w->id >= r->n_id) continue;
        if (o->kind == OP_MATMUL || o->kind == OP_MATMUL_ID || o->kind == OP_MATMUL_HEADS) r->target[o->w->id].product = o;
        if (o->kind == OP_EMBED) r->target[o->w->id].table = o;
    }
}

/* The id of a name; 0: the model has no such tensor. */
static uint32_t id_of(const struct reader *r, const char *name)
{
    const struct gguf_tensor *t = gguf_tensor(r->m->gguf, name);
    if (t) return (uint32_t)(t - gguf_tensor_at(r->m->gguf, 0)) + 1;
    return strcmp(name, "output.weight") ? 0 : r->n_id - 1;      /* it is the embedding */
}

/* ---- numbers ---- */

/* All numbers of a tensor, one matrix after the other. */
static float *numbers(const struct reader *r, const struct gguf_tensor *t, struct arena *arena)
{
    uint64_t part = t->ne[0] * t->ne[1], bytes = t->bytes / t->ne[2];        /* the reader has seen that all of it is there */
    float *x = arena_new(arena, float, (size_t)(part * t->ne[2]));
    for (uint64_t e = 0; x && e < t->ne[2]; e++) {
        const uint8_t *from = t->slice ? t->slice[e] : t->data + e * bytes;
        r->m->ops->unpack(t->type, from, x + e * part, (size_t)part);
    }
    return x;
}

/* Row i of a matrix of q or k as it is in the model, in the adapter's file. */
static uint64_t turned_row(const struct reader *r, uint64_t i)
{
    const uint64_t head = r->m->h.dk, rot = r->m->h.n_rot, in = i % head;
    if (in >= rot) return i;
    return r->from_half ? i - in + in / 2 + in % 2 * (rot / 2) : i - in + in % (rot / 2) * 2 + in / (rot / 2);
}

/* b[out][rank] -> [rank][out] for each of n matrices. */
static float *transposed(const struct reader *r, const struct gguf_tensor *t, const float *b, bool turn)
{
    const uint64_t rank = t->ne[0], out = t->ne[1];
    float *x = arena_new(&r->a->arena, float, (size_t)(rank * out * t->ne[2]));
    for (uint64_t e = 0; x && e < t->ne[2]; e++)
        for (uint64_t i = 0; i < out; i++) {
            const float *row = b + (e * out + (turn ? turned_row(r, i) : i)) * rank;
            for (uint64_t j = 0; j < rank; j++) x[(e * rank + j) * out + i] = row[j];
        }
    return x;
}

/* ---- LoRA ---- */

struct pair { const char *name; const struct gguf_tensor *a, *b; };

static int mismatch(const struct reader *r, const struct gguf_tensor *t, int dim, uint64_t want)
{
    return err_set(r->err, ERR_FORMAT, "%s: tensor %s: dimension %d is %llu, but %s needs %llu; the adapter was made for another "
                   "model", gguf_path(r->g), t->name, dim, (unsigned long long)t->ne[dim], gguf_path(r->m->gguf),
                   (unsigned long long)want);
}

/* Dimensions of a and b for a product: [K, rank, n] and [rank, R, n]; for a table: [rank, R] and [rank, K]. */
static int check_shape(const struct reader *r, const struct pair *p, const struct weight *w, bool table)
{
    const struct gguf_tensor *a = p->a, *b = p->b;
    const uint64_t rank = table ? a->ne[0] : a->ne[1], n = table ? 1 : w->ne[2];
    if (a->ne[3] != 1 || b->ne[3] != 1) return bad(r, ERR_FORMAT, p->name, "has four dimensions");
    if (!rank || rank > MAX_RANK)
        return err_set(r->err, ERR_LIMIT, "%s: tensor %s has rank %llu; at most %d", gguf_path(r->g), a->name,
                       (unsigned long long)rank, MAX_RANK);
    if (b->ne[0] != rank)
        return err_set(r->err, ERR_FORMAT, "%s: tensor %s has rank %llu, but %s has %llu", gguf_path(r->g), a->name,
                       (unsigned long long)rank, b->name, (unsigned long long)b->ne[0]);
    if (table && a->ne[1] != w->ne[1]) return mismatch(r, a, 1, w->ne[1]);
    if (!table && a->ne[0] != w->ne[0]) return mismatch(r, a, 0, w->ne[0]);
    if (b->ne[1] != (table ? w->ne[0] : w->ne[1])) return mismatch(r, b, 1, table ? w->ne[0] : w->ne[1]);
    if (a->ne[2] != n) return mismatch(r, a, 2, n);
    return b->ne[2] == n ? 0 : mismatch(r, b, 2, n);
}

static bool is_turned(const char *name)
{
    const char *part = strncmp(name, "blk.", 4) ? NULL : strchr(name + 4, '.');
    return part && (!strcmp(part, ".attn_q.weight") || !strcmp(part, ".attn_k.weight"));
}

static int fill_pair(struct reader *r, const struct pair *p, const struct weight *w, bool table)
{
    const uint64_t n = table ? 1 : w->ne[2];
    const float *a = numbers(r, p->a, &r->a->arena), *b = numbers(r, p->b, &r->scratch);
    const uint32_t rank = (uint32_t)p->b->ne[0];
    const bool turn = r->turned && is_turned(p->name);
    if (turn && w->ne[1] % r->m->h.dk) return bad(r, ERR_FORMAT, p->name, "its rows are no whole heads");
    struct low_rank *x = arena_new(&r->a->arena, struct low_rank, (size_t)n);
    const float *t = a && b ? transposed(r, p->b, b, turn) : NULL;
    arena_release(&r->scratch);
    if (!x || !t) return nomem(r);
    for (uint64_t e = 0; e < n; e++)
        x[e] = (struct low_rank){ .rank = rank, .scale = r->alpha != 0 ? r->alpha / (float)rank : 1,
                                  .a = a + e * rank * (table ? p->a->ne[1] : p->a->ne[0]), .b = t + e * rank * p->b->ne[1] };
    (table ? r->table : r->product)[w->id] = x;
    if (rank > r->a->rank) r->a->rank = rank;
    r->a->n_matrices++;
    return 0;
}

static int read_pair(struct reader *r, const struct pair *p)
{
    uint32_t id = id_of(r, p->name);
    const struct target *t = &r->target[id];
    if (!id || (id == r->n_id - 1 && !t->product))
        return err_set(r->err, ERR_FORMAT, "%s: adapts tensor %s, which %s does not have; the adapter was made for another "
                       "model", gguf_path(r->g), p->name, gguf_path(r->m->gguf));
    const bool table = t->table && !(t->product && p->a->ne[0] == t->product->w->ne[0]);
    const struct op *o = table ? t->table : t->product;
    if (!o || o->kind == OP_MATMUL_HEADS)
        return bad(r, ERR_UNSUPPORTED, p->name, "adapting this tensor is not supported; only matrices of layers, of experts "
                   "and of the vocabulary can be");
    int rc = check_shape(r, p, o->w, table);
    return rc < 0 ? rc : fill_pair(r, p, o->w, table);
}

static bool ends(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n > k && !strcmp(s + n - k, end);
}

/* t is an A: its B, and the name of what they adapt. */
static int find_pair(struct reader *r, const struct gguf_tensor *t, struct pair *p)
{
    char *name = arena_strdup(&r->a->arena, t->name, strlen(t->name));
    if (!name) return nomem(r);
    name[strlen(name) - 1] = 'b';
    *p = (struct pair){ .name = name, .a = t, .b = gguf_tensor(r->g, name) };
    if (!p->b) return bad(r, ERR_FORMAT, name, "is missing");
    name[strlen(name) - strlen(".lora_a")] = 0;
    return 0;
}

static int read_lora(struct reader *r)
{
    struct gguf_str type = { "", 0 };
    gguf_get_str(r->g, "adapter.type", &type);
    if (type.n != 4 || memcmp(type.s, "lora", 4))
        return err_set(r->err, ERR_UNSUPPORTED, "%s: key adapter.type is '%.*s'; only lora is known", gguf_path(r->g),
                       (int)(type.n < 40 ? type.n : 40), type.s);
    if (gguf_find(r->g, "adapter.alora.invocation_tokens"))
        return err_set(r->err, ERR_UNSUPPORTED, "%s: an adapter that some tokens switch on (key adapter.alora.invocation_tokens) "
                       "is not supported", gguf_path(r->g));
    gguf_get_f32(r->g, "adapter.lora.alpha", &r->alpha);
    if (!isfinite(r->alpha)) return err_set(r->err, ERR_FORMAT, "%s: key adapter.lora.alpha is no number", gguf_path(r->g));
    for (size_t i = 0; i < gguf_n_tensors(r->g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(r->g, i);
        struct pair p = { 0 };
        if (ends(t->name, ".lora_b")) {
            char a[64];
            size_t n = strlen(t->name);
            memcpy(a, t->name, n + 1);
            a[n - 1] = 'a';
            if (!gguf_tensor(r->g, a)) return bad(r, ERR_FORMAT, a, "is missing");
            continue;
        }
        if (!ends(t->name, ".lora_a"))
            return bad(r, ERR_UNSUPPORTED, t->name, "is no part of a LoRA (names end in .lora_a and .lora_b)");
        int rc = find_pair(r, t, &p);
        if (rc == 0) rc = read_pair(r, &p);
        if (rc < 0) return rc;
    }
    return r->a->n_matrices ? 0 : err_set(r->err, ERR_FORMAT, "%s: has no tensors", gguf_path(r->g));
}

/* ---- steering vectors ---- */

static int read_steer(struct reader *r)
{
    const struct hparams *h = &r->m->h;
    const float **steer = arena_new(&r->a->arena, const float *, h->n_layer);
    if (!steer) return nomem(r);
    for (size_t i = 0; i < gguf_n_tensors(r->g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(r->g, i);
        const char *s = strncmp(t->name, "direction.", 10) ? "" : t->name + 10;
        uint32_t l = 0;
        const char *from = s;
        for (; *s >= '0' && *s <= '9' && l < 100000; s++) l = l * 10 + (uint32_t)(*s - '0');
        if (s == from || *s || (*from == '0' && s - from > 1))
            return bad(r, ERR_FORMAT, t->name, "is no part of a steering vector (names are direction.LAYER)");
        if (l >= h->n_layer)
            return err_set(r->err, ERR_FORMAT, "%s: tensor %s: %s has layers 0 to %u only", gguf_path(r->g), t->name,
                           gguf_path(r->m->gguf), h->n_layer - 1);
        if (t->ne[0] != h->n_embd) return mismatch(r, t, 0, h->n_embd);
        if (t->ne[1] * t->ne[2] * t->ne[3] != 1) return bad(r, ERR_FORMAT, t->name, "must have one dimension");
        if (!(steer[l] = numbers(r, t, &r->a->arena))) return nomem(r);
    }
    if (!gguf_n_tensors(r->g)) return err_set(r->err, ERR_FORMAT, "%s: has no tensors", gguf_path(r->g));
    r->a->view.steer = steer;
    r->a->view.n_steer = h->n_layer;
    return 0;
}

/* ---- opening ---- */

static bool says(const struct gguf *g, const char *key, const char *word)
{
    struct gguf_str s;
    return gguf_get_str(g, key, &s) && s.n == strlen(word) && !memcmp(s.s, word, s.n);
}

static int check_arch(const struct reader *r, const char *key)
{
    struct gguf_str mine = { "", 0 }, other;
    gguf_get_str(r->m->gguf, "general.architecture", &mine);
    if (!gguf_get_str(r->g, key, &other) || (other.n == mine.n && !memcmp(other.s, mine.s, mine.n))) return 0;
    return err_set(r->err, ERR_ARG, "%s: was made for architecture '%.*s', but %s is '%.*s'", gguf_path(r->g),
                   (int)(other.n < 40 ? other.n : 40), other.s, gguf_path(r->m->gguf), (int)(mine.n < 40 ? mine.n : 40), mine.s);
}

static bool half_split(const struct gguf *g, const char *key)
{
    bool half = false;
    gguf_get_bool(g, key, &half);
    return half;
}

static void read_rotation(struct reader *r)
{
    char key[160];
    struct gguf_str arch = { "", 0 };
    gguf_get_str(r->m->gguf, "general.architecture", &arch);
    fmt_into(key, sizeof key, "%.*s.rope.half_split", (int)(arch.n < 64 ? arch.n : 64), arch.s);
    r->from_half = half_split(r->g, PEFT_HALF_SPLIT);
    r->turned = r->from_half != half_split(r->m->gguf, key) && r->m->h.n_rot >= 2;
}

/* A number that other adapters do not have: of all bytes of its tensors. */
static uint64_t hash_file(const struct gguf *g)
{
    uint64_t h = HASH_START;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        h = hash_add(h, t->name, strlen(t->name) + 1);
        if (!t->slice) h = hash_add(h, t->data, (size_t)t->bytes);
        for (uint64_t e = 0; t->slice && e < t->ne[2]; e++) h = hash_add(h, t->slice[e], (size_t)(t->bytes / t->ne[2]));
    }
    return h;
}

static int check_types(const struct reader *r)
{
    float none;
    for (size_t i = 0; i < gguf_n_tensors(r->g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(r->g, i);
        if (!r->m->ops->unpack(t->type, t->data, &none, 0))
            return err_set(r->err, ERR_UNSUPPORTED, "%s: tensor %s has type %s, which cannot be computed with", gguf_path(r->g),
                           t->name, dtype_info(t->type)->name);
    }
    return 0;
}

static int read_file(struct reader *r)
{
    struct hearth_model *m = r->m;
    r->n_id = (uint32_t)gguf_n_tensors(m->gguf) + 2;
    r->target = mem_new_array(struct target, r->n_id);
    r->product = arena_new(&r->a->arena, struct low_rank *, r->n_id);
    r->table = arena_new(&r->a->arena, struct low_rank *, r->n_id);
    if (!r->target || !r->product || !r->table) return nomem(r);
    see_graph(r, m->variant[V_TEXT].graph);
    read_rotation(r);
    r->a->view = (struct adapt){ .product = (const struct low_rank *const *)r->product, .n_id = r->n_id,
                                 .table = (const struct low_rank *const *)r->table };
    bool steers = says(r->g, "general.architecture", "controlvector");
    if (!steers && !says(r->g, "general.type", "adapter"))
        return err_set(r->err, ERR_ARG, "%s: is neither an adapter (key general.type) nor a steering vector", gguf_path(r->g));
    int rc = check_arch(r, steers ? "controlvector.model_hint" : "general.architecture");
    if (rc == 0) rc = check_types(r);
    if (rc < 0) return rc;
    r->a->key = hash_file(r->g);
    return steers ? read_steer(r) : read_lora(r);
}

int hearth_adapter_open(struct hearth_adapter **out, struct hearth_model *m, const char *path, struct hearth_error *e)
{
    struct err *err = err_of(e);
    struct gguf *g = NULL;
    const int64_t before = mem_thread_bytes();
    *out = NULL;
    struct hearth_adapter *a = mem_new(1, sizeof *a);
    if (!a) return err_set(err, ERR_NOMEM, "out of memory");
    a->m = m;
    int rc = adapter_file_open(&g, path, m->gguf, err);
    struct reader r = { .a = a, .m = m, .g = g, .err = err };
    if (rc == 0) rc = read_file(&r);
    mem_free(r.target);
    gguf_close(g);
    engine_heap(m, before);
    if (rc < 0) {
        hearth_adapter_close(a);
        return rc;
    }
    *out = a;
    return 0;
}

void hearth_adapter_close(struct hearth_adapter *a)
{
    if (!a) return;
    struct hearth_model *m = a->m;
    const int64_t before = mem_thread_bytes();
    arena_release(&a->arena);
    mem_free(a);
    engine_heap(m, before);
}

void hearth_adapter_info(const struct hearth_adapter *a, struct hearth_adapter_info *out)
{
    *out = (struct hearth_adapter_info){ .n_matrices = a->n_matrices, .rank = a->rank };
    for (uint32_t l = 0; l < a->view.n_steer; l++) out->n_steered += a->view.steer[l] != NULL;
}

/* ---- sets ---- */

void engine_adapt_release(struct adaption *d)
{
    mem_free(d->use);
    *d = (struct adaption){ 0 };
}

static int check_use(const struct hearth_model *m, const struct hearth_adapter_use *use, size_t n, struct err *err)
{
    if (n > MAX_USE) return err_set(err, ERR_LIMIT, "%zu adapters at once; at most %d", n, MAX_USE);
    for (size_t i = 0; i < n; i++) {
        if (!use[i].adapter || use[i].adapter->m != m)
            return err_set(err, ERR_ARG, "adapter %zu was opened for another model", i + 1);
        if (!isfinite(use[i].scale)) return err_set(err, ERR_ARG, "the scale of adapter %zu is no finite number", i + 1);
        if (use[i].last_layer && use[i].first_layer > use[i].last_layer)
            return err_set(err, ERR_ARG, "adapter %zu steers layers %u to %u, which are none", i + 1, use[i].first_layer,
                           use[i].last_layer);
    }
    return 0;
}

int engine_adapt_set(struct adaption *d, const struct hearth_model *m, const struct hearth_adapter_use *use, size_t n,
                     struct err *err)
{
    struct adaption x = { 0 };
    uint64_t key = HASH_START;
    *d = x;
    int rc = check_use(m, use, n, err);
    if (rc < 0) return rc;
    if (n && !(x.use = mem_new_array(struct adapt_use, n))) return err_set(err, ERR_NOMEM, "out of memory");
    x.set.use = x.use;
    for (size_t i = 0; i < n; i++) {
        const struct hearth_adapter *a = use[i].adapter;
        if (use[i].scale == 0) continue;                  /* nothing is added */
        struct adapt_use *u = &x.use[x.set.n++];
        *u = (struct adapt_use){ &a->view, use[i].scale, use[i].first_layer, use[i].last_layer ? use[i].last_layer : UINT32_MAX };
        x.rank += a->rank;
        key = hash_add(key, &a->key, sizeof a->key);
        key = hash_add(key, &u->scale, sizeof u->scale);
        key = hash_add(hash_add(key, &u->first, sizeof u->first), &u->last, sizeof u->last);
    }
    if (x.set.n) x.key = key;
    if (x.rank > MAX_RANK) {
        mem_free(x.use);
        return err_set(err, ERR_LIMIT, "the ranks of all adapters together are %u; at most %d", x.rank, MAX_RANK);
    }
    *d = x;
    return 0;
}

int engine_adapt_copy(struct adaption *d, const struct adaption *from, struct err *err)
{
    *d = (struct adaption){ 0 };
    if (!from->set.n) return 0;
    struct adapt_use *use = mem_new_array(struct adapt_use, from->set.n);
    if (!use) return err_set(err, ERR_NOMEM, "out of memory");
    memcpy(use, from->use, from->set.n * sizeof *use);
    *d = *from;
    d->set.use = d->use = use;
    return 0;
}

/* Plans are compiled for a sum of ranks: a larger one needs others. */
void engine_adapt_room(struct hearth_model *m, const struct adaption *d)
{
    if (!d->set.n || (m->adapt_rank && d->rank <= m->adapt_rank)) return;
    const int64_t before = mem_thread_bytes();
    for (int v = 0; v < N_VARIANT; v++)
        for (int b = 0; b < N_BUCKET; b++) {
            struct plan **p = &m->variant[v].adapted[b];
            if (*p) m->ops->forget(m->device, *p);
            plan_close(*p);
            *p = NULL;
        }
    engine_heap(m, before);
    m->adapt_rank = 16;
    while (m->adapt_rank < d->rank) m->adapt_rank *= 2;
}

int hearth_model_set_adapters(struct hearth_model *m, const struct hearth_adapter_use *use, size_t n, struct hearth_error *e)
{
    struct adaption x;
    int rc = engine_adapt_set(&x, m, use, n, err_of(e));
    if (rc < 0) return rc;
    lock_take(&m->lock);
    engine_adapt_room(m, &x);
    engine_adapt_release(&m->adaption);
    m->adaption = x;
    lock_give(&m->lock);
    return 0;
}

int hearth_session_set_adapters(struct hearth_session *s, const struct hearth_adapter_use *use, size_t n, struct hearth_error *e)
{
    struct adaption x;
    struct hearth_model *m = s->m;
    int rc = engine_adapt_set(&x, m, use, n, err_of(e));
    if (rc < 0) return rc;
    lock_take(&m->lock);
    rc = engine_adapt_plans(m, s, &x, err_of(e));
    lock_give(&m->lock);
    if (rc < 0) {
        engine_adapt_release(&x);
        return rc;
    }
    /* What was evaluated holds for the adapters that were there. */
    if (x.key != s->adaption.key) {
        seq_empty(&s->q);
        s->q.key.adapters = x.key;
        s->n_rows = 0;
    }
    engine_adapt_release(&s->adaption);
    s->adaption = x;
    return 0;
}
