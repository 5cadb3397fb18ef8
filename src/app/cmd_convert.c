#include <string.h>

#include "app/command.h"
#include "app/convert.h"
#include "app/model_name.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/mem.h"
#include "base/os.h"
#include "format/hf.h"
#include "format/peft.h"

enum { PROGRESS_NS = 100000000, BAR = 30 };

struct fields { bool force; int expand; const char *base; };
enum { KEEP, AS_F32, AS_F16, AS_BF16 };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "expand", NULL, 0, OPT_CHOICE, "no|f32|f16|bf16", "no", "how to write quantised numbers that no GGUF "
                                                              "type holds exactly", NULL,
      AT(expand), 0, 0 },
    { "base", NULL, 0, OPT_STR, "MODEL", NULL, "the model that an adapter is for", NULL, AT(base), 0, 0 },
    { "force", NULL, 'f', OPT_FLAG, NULL, NULL, "replace FILE when it exists", NULL, AT(force), 0, 0 },
};

#define GROUPED "ssm.value_heads_grouped"

struct convert {
    const struct gguf *g, *base;       /* base: of an adapter, else NULL */
    int expand;
    struct gguf_writer *w;
    uint64_t done, total, begun, shown;
    uint32_t head, rotated;            /* rows of a head, and how many of them turn; 0: nothing is permuted */
    uint32_t n_key, n_value, dv, keys; /* delta nets: heads, numbers of a value, rows before values; n_key 0: in order */
    struct piece *piece;               /* what is written, by tensor */
    struct gguf_str *tokens;           /* padded to the rows of the embedding */
    int32_t *kinds;
    char (*pads)[24];
    const struct piece *cached;        /* whose row is in packed, and which */
    uint64_t row;
    float *values;
    uint8_t *packed, *moved;
};

/* What is moved in a tensor: rows of heads, value heads of `unit` rows behind the first ones, or those in the columns. */
enum order { AS_IT_IS, ROWS_OF_HEADS, VALUE_ROWS, VALUE_COLUMNS };
struct piece {
    struct convert *c;
    const struct gguf_tensor *t;
    enum dtype type;
    pack_fn *pack;
    enum order order;
    uint32_t first, unit;
};

/* ---- the bytes of a tensor ---- */

static bool progress(struct convert *c)
{
    uint64_t now = os_now_ns();
    if (!c->begun) c->begun = now;
    if (signals_pending()) return false;
    if (now - c->shown < PROGRESS_NS && c->done < c->total) return true;
    c->shown = now;
    char bar[BAR + 1] = { 0 };
    for (int i = 0; i < BAR; i++) bar[i] = c->done * BAR >= c->total * ((uint64_t)i + 1) ? '#' : '.';
    term_progress("[%s] %3.0f %%, %.2f of %.2f GB, %.0f MB/s", bar, 100 * (double)c->done / (double)c->total,
                  (double)c->done / 1e9,
                  (double)c->total / 1e9, (double)c->done / ((double)(now - c->begun) / 1e9 + 1e-3) / 1e6);
    return true;
}

/* Checkpoints have the value heads of a key head together; GGUF has all first ones, then all second ones. */
static uint64_t value_head_of(const struct convert *c, uint64_t i)
{
    return i % c->n_key * (c->n_value / c->n_key) + i / c->n_key;
}

/* Where row r of a permuted matrix is now: GGUF wants the two halves of each head interleaved. */
static uint64_t row_of(const struct piece *p, uint64_t r)
{
    const struct convert *c = p->c;
    if (p->order == ROWS_OF_HEADS) {
        uint64_t in = r % c->head;
        return in < c->rotated ? r - in + in / 2 + in % 2 * (c->rotated / 2) : r;
    }
    if (p->order != VALUE_ROWS || r < p->first) return r;
    return p->first + value_head_of(c, (r - p->first) / p->unit) * p->unit + (r - p->first) % p->unit;
}

/* The parts that stay whole: matrices of a stack, rows, runs of a value head, or everything. */
static uint64_t n_parts(const struct piece *p)
{
    const struct gguf_tensor *t = p->t;
    if (t->slice) return t->ne[2];
    if (p->order == AS_IT_IS) return 1;
    uint64_t rows = t->n_dims > 1 ? t->ne[1] : t->ne[0];
    return p->order == VALUE_COLUMNS ? rows * p->c->n_value : rows;
}

/* The place of byte `at` in the tensor, and how many bytes follow it there. */
static const uint8_t *place(const struct piece *p, uint64_t at, uint64_t *run)
{
    const struct gguf_tensor *t = p->t;
    uint64_t part = t->bytes / n_parts(p), i = at / part, in = at % part;
    *run = part - in;
    if (t->slice) return t->slice[i] + in;
    uint64_t heads = p->order == VALUE_COLUMNS ? p->c->n_value : 0;
    return t->data + (heads ? i - i % heads + value_head_of(p->c, i % heads) : row_of(p, i)) * part + in;
}

/* Row r of a quantised tensor as the type that is written, in c->packed. */
static int pack_row(struct piece *p, uint64_t r, struct err *err)
{
    struct convert *c = p->c;
    const struct gguf_tensor *t = p->t;
    if (c->cached == p && c->row == r) return 0;
    const uint8_t *s = t->slice ? t->slice[r / t->ne[1]] : t->data;
    uint64_t in = r % t->ne[1];
    c->cached = NULL;
    int rc = convert_row((const struct split *)(const void *)s, row_of(p, in), p->type, p->pack, c->values, c->packed, err);
    if (rc < 0) return err_prefix(err, rc, "tensor %s: ", t->name);
    if (p->order == VALUE_COLUMNS) {
        uint64_t run;
        dtype_row_bytes(p->type, c->dv, &run);
        for (uint64_t i = 0; i < c->n_value; i++) memcpy(c->moved + i * run, c->packed + value_head_of(c, i) * run, (size_t)run);
        memcpy(c->packed, c->moved, (size_t)(c->n_value * run));
    }
    c->cached = p;
    c->row = r;
    return 0;
}

static int fill_packed(void *arg, const struct gguf_tensor *t, uint64_t at, uint8_t *dst, size_t n, struct err *err)
{
    struct piece *p = arg;
    uint64_t bytes;
    dtype_row_bytes(t->type, t->ne[0], &bytes);
    for (size_t k = 0; k < n;) {
        uint64_t in = (at + k) % bytes, run = bytes - in < n - k ? bytes - in : n - k;
        int rc = pack_row(p, (at + k) / bytes, err);
        if (rc < 0) return rc;
        memcpy(dst + k, p->c->packed + in, (size_t)run);
        k += (size_t)run;
    }
    p->c->done += n;
    return progress(p->c) ? 0 : err_set(err, ERR_CANCELLED, "stopped");
}

static int fill(void *arg, const struct gguf_tensor *t, uint64_t at, uint8_t *dst, size_t n, struct err *err)
{
    struct piece *p = arg;
    (void)t;
    for (size_t k = 0; k < n;) {
        uint64_t run;
        const uint8_t *from = place(p, at + k, &run);
        if (run > n - k) run = n - k;
        memcpy(dst + k, from, (size_t)run);
        k += (size_t)run;
    }
    p->c->done += n;
    return progress(p->c) ? 0 : err_set(err, ERR_CANCELLED, "stopped");
}

/* ---- keys ---- */

static bool arch_key(const struct gguf *g, const char *key, char *dst, size_t n)
{
    struct gguf_str arch;
    if (!gguf_get_str(g, "general.architecture", &arch)) return false;
    fmt_into(dst, n, "%.*s.%s", (int)(arch.n < 64 ? arch.n : 64), arch.s, key);
    return true;
}

static uint32_t arch_u32(const struct gguf *g, const char *key)
{
    char name[160];
    uint32_t v = 0;
    if (arch_key(g, key, name, sizeof name)) gguf_get_u32(g, name, &v);
    return v;
}

/* Q and K of some architectures are stored otherwise in GGUF files; the key that says so goes. */
static void read_rotation(struct convert *c)
{
    const struct gguf *sizes = c->base ? c->base : c->g;
    char name[160];
    bool half = false;
    if (c->base) gguf_get_bool(c->g, PEFT_HALF_SPLIT, &half);
    else if (arch_key(c->g, "rope.half_split", name, sizeof name)) gguf_get_bool(c->g, name, &half);
    if (!half) return;
    c->head = arch_u32(sizes, "attention.key_length");
    if (!c->head && arch_u32(sizes, "attention.head_count"))
        c->head = arch_u32(sizes, "embedding_length") / arch_u32(sizes, "attention.head_count");
    c->rotated = arch_u32(sizes, "rope.dimension_count");
    if (!c->rotated) c->rotated = c->head;
    if (!c->head || c->rotated > c->head || c->rotated % 2) c->head = c->rotated = 0;
}

/* Value heads of Qwen 3.5 likewise. */
static void read_delta(struct convert *c)
{
    struct gguf_str arch;
    char name[160];
    bool grouped = false;
    if (arch_key(c->g, GROUPED, name, sizeof name)) gguf_get_bool(c->g, name, &grouped);
    if (!grouped || !gguf_get_str(c->g, "general.architecture", &arch) || arch.n < 6 || memcmp(arch.s, "qwen35", 6) != 0) return;
    uint32_t inner = arch_u32(c->g, "ssm.inner_size"), n_key = arch_u32(c->g, "ssm.group_count");
    c->n_value = arch_u32(c->g, "ssm.time_step_rank");
    if (!n_key || n_key > 4096 || !c->n_value || c->n_value % n_key || inner % c->n_value) return;
    c->dv = inner / c->n_value;
    c->keys = 2 * n_key * arch_u32(c->g, "ssm.state_size");
    c->n_key = n_key;
}

static bool is_key(const struct gguf_kv *kv, const char *key)
{
    return kv->key.n == strlen(key) && !memcmp(kv->key.s, key, kv->key.n);
}

/* Other programs want a token for every row of the embedding. */
static int pad_tokens(struct convert *c, const struct gguf_kv *tokens, const struct gguf_kv *kinds, struct err *err)
{
    const struct gguf_tensor *e = gguf_tensor(c->g, "token_embd.weight");
    uint64_t n = tokens->count, rows = e && e->ne[1] < 1 << 24 ? e->ne[1] : 0;
    const uint8_t *at = tokens->data;
    if (rows < n) rows = n;
    c->tokens = mem_new_array(struct gguf_str, (size_t)rows);
    c->kinds = mem_new_array(int32_t, (size_t)rows);
    c->pads = mem_new((size_t)(rows - n) + 1, sizeof *c->pads);
    if (!c->tokens || !c->kinds || !c->pads) return err_set(err, ERR_NOMEM, "out of memory for %llu tokens",
                                                            (unsigned long long)rows);
    for (uint64_t i = 0; i < rows; i++) {
        int64_t kind = 5;                    /* unused */
        if (i < n) {
            gguf_next_str(tokens, &at, &c->tokens[i]);
            if (!kinds || !gguf_item_i64(kinds, i, &kind)) kind = 1;
        } else {
            fmt_into(c->pads[i - n], sizeof c->pads[0], "[PAD%llu]", (unsigned long long)i);
            c->tokens[i] = (struct gguf_str){ c->pads[i - n], strlen(c->pads[i - n]) };
        }
        c->kinds[i] = (int32_t)kind;
    }
    gguf_put_strs(c->w, "tokenizer.ggml.tokens", c->tokens, rows);
    gguf_put_array(c->w, "tokenizer.ggml.token_type", GGUF_I32, c->kinds, rows);
    return 0;
}

static int put_scores(struct convert *c, const struct gguf_kv *kv, uint64_t n, struct err *err)
{
    float *v = mem_new_array(float, (size_t)n);
    if (!v) return err_set(err, ERR_NOMEM, "out of memory for %llu tokens", (unsigned long long)n);
    for (uint64_t i = 0; i < n; i++)
        if (!gguf_item_f32(kv, i, &v[i])) v[i] = -1000;
    gguf_put_array(c->w, "tokenizer.ggml.scores", GGUF_F32, v, n);
    mem_free(v);
    return 0;
}

static int put_keys(struct convert *c, struct err *err)
{
    const struct gguf_kv *tokens = gguf_find(c->g, "tokenizer.ggml.tokens"), *kinds = gguf_find(c->g,
                                                                                                "tokenizer.ggml.token_type");
    const struct gguf_tensor *e = gguf_tensor(c->g, "token_embd.weight");
    char half[160] = "", grouped[160] = "";
    int rc = 0;
    arch_key(c->g, "rope.half_split", half, sizeof half);
    arch_key(c->g, GROUPED, grouped, sizeof grouped);
    bool pad = tokens && e && tokens->item == GGUF_STRING && tokens->count < e->ne[1];
    for (size_t i = 0; i < gguf_n_kv(c->g) && rc == 0; i++) {
        const struct gguf_kv *kv = gguf_kv_at(c->g, i);
        const char *const own[] = { half, grouped, PEFT_HALF_SPLIT, "split.no", "split.count", "split.tensors.count" };
        bool left = false;
        for (size_t k = 0; k < sizeof own / sizeof *own; k++) left |= is_key(kv, own[k]);
        if (left) continue;
        if (!pad) gguf_copy_kv(c->w, kv);
        else if (kv == tokens) rc = pad_tokens(c, tokens, kinds, err);
        else if (is_key(kv, "tokenizer.ggml.scores")) rc = put_scores(c, kv, e->ne[1], err);
        else if (kv != kinds) gguf_copy_kv(c->w, kv);
    }
    return rc;
}

/* ---- the file ---- */

/* Half A of a pair of an adapter has the rows of its rank. */
static bool is_half_a(const char *name) { return strlen(name) > 7 && !strcmp(name + strlen(name) - 7, ".lora_a"); }

/* What is to be moved in "blk.7.attn_q.weight" and its like. */
static int choose_order(const struct convert *c, struct piece *p, struct err *err)
{
    const struct { const char *part; uint32_t first, unit; enum order order; bool is; } moved[] = {
        { ".attn_q.", 0, c->head, ROWS_OF_HEADS, c->head },           { ".attn_k.", 0, c->head, ROWS_OF_HEADS, c->head },
        { ".attn_qkv.", c->keys, c->dv, VALUE_ROWS, c->n_key },       { ".attn_gate.", 0, c->dv, VALUE_ROWS, c->n_key },
        { ".ssm_conv1d.", c->keys, c->dv, VALUE_ROWS, c->n_key },     { ".ssm_alpha.", 0, 1, VALUE_ROWS, c->n_key },
        { ".ssm_beta.", 0, 1, VALUE_ROWS, c->n_key },                 { ".ssm_a", 0, 1, VALUE_ROWS, c->n_key },
        { ".ssm_dt.", 0, 1, VALUE_ROWS, c->n_key },                   { ".ssm_out.", 0, c->dv, VALUE_COLUMNS, c->n_key },
    };
    const struct gguf_tensor *t = p->t;
    const char *part = strncmp(t->name, "blk.", 4) ? NULL : strchr(t->name + 4, '.');
    size_t i = 0, n = sizeof moved / sizeof *moved;
    while (part && i < n && !(moved[i].is && !strncmp(part, moved[i].part, strlen(moved[i].part)))) i++;
    if (!part || i == n || is_half_a(t->name)) return 0;
    p->order = moved[i].order;
    p->first = moved[i].first;
    p->unit = moved[i].unit;
    uint64_t rows = p->order == VALUE_COLUMNS ? t->ne[0] : t->n_dims > 1 ? t->ne[1] : t->ne[0];
    uint64_t whole = p->order == ROWS_OF_HEADS ? rows - rows % p->unit : p->first + (uint64_t)c->n_value * p->unit;
    if (rows != whole)
        return err_set(err, ERR_FORMAT, "%s: tensor %s: %llu rows or columns are no whole heads of %u", gguf_path(c->g), t->name,
                       (unsigned long long)rows, p->unit);
    if (p->order == VALUE_COLUMNS && c->dv % dtype_info(p->type)->block_values)
        return err_set(err, ERR_UNSUPPORTED, "%s: tensor %s: heads of %u numbers are no whole blocks of %s, and must change "
                       "places; --expand f16 (or bf16, f32) writes plain ones", gguf_path(c->g), t->name, c->dv,
                       dtype_info(p->type)->name);
    return 0;
}

/* The type that a tensor gets. */
static int choose_type(struct convert *c, const struct gguf_tensor *t, enum dtype *out, struct err *err)
{
    static const enum dtype plain[] = { [AS_F32] = DT_F32, [AS_F16] = DT_F16, [AS_BF16] = DT_BF16 };
    *out = t->type;
    if (dtype_info(t->type)->family != DTF_SPLIT) return 0;
    const struct split *s = (const struct split *)(const void *)t->data;
    if (convert_equal(s, out)) return 0;
    if (c->expand == KEEP)
        return err_set(err, ERR_UNSUPPORTED, "%s: tensor %s: no type of GGUF holds the "
                                             "numbers of %s exactly; --expand f16 (or bf16, "
                       "f32) writes plain ones", gguf_path(c->g), t->name, dtype_info(t->type)->name);
    *out = plain[c->expand];
    return 0;
}

static int put_tensors(struct convert *c, struct err *err)
{
    size_t n = gguf_n_tensors(c->g), widest = 1;
    int rc = 0;
    if (!(c->piece = mem_new_array(struct piece, n + 1))) return err_set(err, ERR_NOMEM, "out of memory for %zu tensors", n);
    for (size_t i = 0; i < n && rc == 0; i++) {
        const struct gguf_tensor *t = gguf_tensor_at(c->g, i);
        struct gguf_tensor x = *t;
        bool split = dtype_info(t->type)->family == DTF_SPLIT;
        if ((rc = choose_type(c, t, &x.type, err)) < 0) return rc;
        c->piece[i] = (struct piece){ .c = c, .t = t, .type = x.type, .pack = quant_pack(x.type) };
        if ((rc = choose_order(c, &c->piece[i], err)) < 0) return rc;
        if (split && t->ne[0] > widest) widest = (size_t)t->ne[0];
        gguf_put_filled(c->w, &x, split ? fill_packed : fill, &c->piece[i]);
    }
    c->values = mem_new_array(float, widest);
    c->packed = mem_new_array(uint8_t, 4 * widest);
    c->moved = mem_new_array(uint8_t, 4 * widest);
    return c->values && c->packed && c->moved ? 0 : err_set(err, ERR_NOMEM, "out of memory for rows of %zu values", widest);
}

/* general.file_type of a model whose matrices are plain numbers: that of most of them. */
static void put_file_type(struct convert *c)
{
    uint64_t bytes[4] = { 0 };
    static const uint32_t number[] = { 0, 1, 32 };
    size_t best = 0;
    if (gguf_find(c->g, "general.file_type")) return;
    for (size_t i = 0; i < gguf_n_tensors(c->g); i++) {
        enum dtype t = c->piece[i].type;
        size_t k = t == DT_F32 ? 0 : t == DT_F16 ? 1 : t == DT_BF16 ? 2 : 3;
        if (c->piece[i].t->n_dims > 1) bytes[k] += c->piece[i].t->bytes;
    }
    for (size_t k = 1; k < 3; k++)
        if (bytes[k] > bytes[best]) best = k;
    if (!bytes[3]) gguf_put_u32(c->w, "general.file_type", number[best]);
}

static int write_file(struct convert *c, const char *path, struct err *err)
{
    int rc = gguf_writer_open(&c->w, err);
    if (rc < 0) return rc;
    read_rotation(c);
    read_delta(c);
    rc = put_keys(c, err);
    if (rc == 0) rc = put_tensors(c, err);
    if (rc == 0) put_file_type(c);
    c->total = gguf_writer_data_bytes(c->w);
    uint64_t free = os_disk_free(path);
    if (rc == 0 && free && c->total >= free)
        rc = err_set(err, ERR_LIMIT, "%s: %.2f GB are needed, but only %.2f GB are free there", path, (double)c->total / 1e9,
                     (double)free / 1e9);
    if (rc == 0) rc = gguf_writer_save(c->w, path, err);
    gguf_writer_close(c->w);
    mem_free(c->piece);
    mem_free(c->tokens);
    mem_free(c->kinds);
    mem_free(c->pads);
    mem_free(c->values);
    mem_free(c->packed);
    mem_free(c->moved);
    return rc;
}

/* The adapter of a folder, for the model that --base names, or a model. */
static int open_input(struct convert *c, struct gguf **g, struct gguf **base, const char *path, const char *name,
                      struct err *err)
{
    struct gguf_str arch;
    *g = *base = NULL;
    if (!peft_is(path)) {
        if (name) return err_set(err, ERR_ARG, "%s: is no folder with an adapter, and --base is for those", path);
        return named_file_open(g, path, err);
    }
    if (!name) return err_set(err, ERR_ARG, "%s: is an adapter; --base MODEL says for which model", path);
    int rc = named_file_open(base, name, err);
    if (rc < 0) return rc;
    if (gguf_get_str(*base, "general.architecture", &arch) && arch.n >= 6 && !memcmp(arch.s, "qwen35", 6))
        return err_set(err, ERR_UNSUPPORTED, "%s: value heads of Qwen 3.5 have another order in GGUF, and moving those of "
                       "adapters is not supported", path);
    c->base = *base;
    return peft_open(g, path, *base, err);
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    struct err err = { 0 };
    struct gguf *g, *base;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 2, 2 }, &f, &p, &rc)) return rc;
    const char *path = p.operand[1];
    if (!f.force && os_file_exists(path)) return term_fail("%s exists already; --force replaces it", path);
    struct convert c = { .expand = f.expand };
    rc = open_input(&c, &g, &base, p.operand[0], f.base, &err);
    c.g = g;
    if (rc == 0) rc = write_file(&c, path, &err);
    term_progress_end();
    size_t n = g ? gguf_n_tensors(g) : 0;
    gguf_close(g);
    gguf_close(base);
    if (rc == ERR_CANCELLED) return 128 + signals_pending();
    if (rc < 0) return term_fail("%s", err.msg);
    struct buf b = { 0 };
    buf_printf(&b, "%s: %zu tensors, %.2f GB\n", path, n, (double)c.total / 1e9);
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

const struct command command_row_convert = {
    .name = "convert",
    .operands = "MODEL FILE",
    .summary = "write a model or an adapter as one GGUF file",
    .about = "MODEL is a folder from the Hugging Face Hub (config.json, tokenizer and safetensors), or a split GGUF file by its\n"
             "first part.  The numbers are kept as they are: nothing is quantised or rounded (quantised ones that "
             "no GGUF type can\n"
             "hold are refused, or written as --expand says).  FILE appears under its name when it is complete.  Hearth runs\n"
             "such folders without converting; a GGUF file is for other programs, and for keeping.  MODEL may also be the\n"
             "folder of an adapter (PEFT or mlx-lm), with --base: FILE is then a GGUF adapter.\n",
    .example = "Qwen3-0.6B model.gguf",
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
