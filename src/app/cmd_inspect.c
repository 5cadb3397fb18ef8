#include <string.h>

#include "app/command.h"
#include "app/inspect.h"
#include "app/model_name.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/json.h"
#include "base/utf8.h"
#include "engine/about.h"
#include "engine/engine.h"
#include "format/dialect.h"
#include "format/hf.h"

enum { SHORT_STRING = 72, SHORT_ARRAY = 6, SHORT_ITEM = 24 };

struct fields { bool tensors, metadata, summary, json, full, compare; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "metadata", NULL, 'm', OPT_FLAG, NULL, NULL, "the summary and all keys with their values", "", AT(metadata), 0, 0 },
    { "tensors", NULL, 't', OPT_FLAG, NULL, NULL, "the summary and all tensors: type, shape, size", NULL, AT(tensors), 0, 0 },
    { "summary", NULL, 's', OPT_FLAG, NULL, NULL, "only the summary", NULL, AT(summary), 0, 0 },
    { "full", NULL, 0, OPT_FLAG, NULL, NULL, "do not cut long strings and arrays", NULL, AT(full), 0, 0 },
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "everything as one JSON object", NULL, AT(json), 0, 0 },
    { "compare", NULL, 0, OPT_FLAG, NULL, NULL, "the keys and tensors in which two files differ, and by how much", NULL,
      AT(compare), 0, 0 },
};

static const char *const type_name[] = { "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array",
                                         "u64", "i64", "f64" };

/* ---- text ---- */

static void put_str(struct gguf_str s, size_t max, struct buf *out)
{
    size_t n = s.n;
    if (max && n > max) {
        n = max;
        while (n > 1 && ((unsigned char)s.s[n] & 0xc0) == 0x80) n--;       /* do not cut a character */
    }
    struct buf quoted = { 0 };
    json_write_str(s.s, n, &quoted);
    if (quoted.bad) out->bad = true;
    else term_clean(quoted.data, quoted.len, out);
    if (n < s.n) buf_printf(out, "... (%zu bytes)", s.n);
    buf_release(&quoted);
}

static void put_number(const struct gguf_kv *kv, enum gguf_type type, uint64_t i, struct buf *out)
{
    int64_t v = 0;
    float f = 0;
    if (type == GGUF_F32 || type == GGUF_F64) {
        gguf_item_f32(kv, i, &f);
        buf_printf(out, "%.9g", (double)f);
    } else if (!gguf_item_i64(kv, i, &v))
        buf_puts(out, "(larger than 63 bits)");
    else if (type == GGUF_BOOL)
        buf_puts(out, v ? "true" : "false");
    else
        buf_printf(out, "%lld", (long long)v);
}

void inspect_put_value(const struct gguf_kv *kv, bool full, struct buf *out)
{
    bool array = kv->type == GGUF_ARRAY;
    enum gguf_type type = array ? kv->item : kv->type;
    const uint8_t *at = kv->data;
    uint64_t shown = full || kv->count < SHORT_ARRAY ? kv->count : SHORT_ARRAY;
    size_t max = full ? 0 : array ? SHORT_ITEM : SHORT_STRING;
    if (array) buf_putc(out, '[');
    for (uint64_t i = 0; i < shown; i++) {
        struct gguf_str s;
        if (i) buf_puts(out, ", ");
        if (type != GGUF_STRING)
            put_number(kv, type, i, out);
        else if (gguf_next_str(kv, &at, &s))
            put_str(s, max, out);
    }
    if (!array) return;
    if (shown < kv->count) buf_printf(out, ", ... (%llu)", (unsigned long long)kv->count);
    buf_putc(out, ']');
}

static void put_metadata(const struct gguf *g, bool full, struct buf *out)
{
    buf_puts(out, "\nMetadata\n");
    for (size_t i = 0; i < gguf_n_kv(g); i++) {
        const struct gguf_kv *kv = gguf_kv_at(g, i);
        buf_puts(out, "  ");
        term_clean(kv->key.s, kv->key.n, out);
        buf_printf(out, "  %s%s  ", type_name[kv->type == GGUF_ARRAY ? kv->item : kv->type],
                   kv->type == GGUF_ARRAY ? "[]" : "");
        inspect_put_value(kv, full, out);
        buf_putc(out, '\n');
    }
}

static void put_size(uint64_t bytes, struct buf *out)
{
    static const char *const unit[] = { "bytes", "KB", "MB", "GB", "TB" };
    double v = (double)bytes;
    int u = 0;
    for (; v >= 1000 && u < 4; u++) v /= 1000;
    buf_printf(out, u ? "%.2f %s" : "%.0f %s", v, unit[u]);
}

static uint64_t values_of(const struct gguf_tensor *t)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < 4; i++) n *= t->ne[i] ? t->ne[i] : 1;         /* bounded: the tensor lies in the file */
    return n;
}

static void put_tensors(const struct gguf *g, struct buf *out)
{
    buf_puts(out, "\nTensors\n");
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        struct buf shape = { 0 };
        for (uint32_t d = 0; d < t->n_dims; d++)
            buf_printf(&shape, "%s%llu", d ? " x " : "", (unsigned long long)t->ne[d]);
        buf_printf(out, "  %-8s %-24s %12llu  ", dtype_info(t->type)->name, shape.data ? shape.data : "",
                   (unsigned long long)t->bytes);
        term_clean(t->name, strlen(t->name), out);
        buf_putc(out, '\n');
        buf_release(&shape);
    }
}

struct sum { uint64_t tensors, values, bytes; };

static struct sum add_up(const struct gguf *g, struct sum by_type[N_DTYPE])
{
    struct sum all = { 0 };
    memset(by_type, 0, N_DTYPE * sizeof *by_type);
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        struct sum *s = &by_type[t->type];
        *s = (struct sum){ s->tensors + 1, s->values + values_of(t), s->bytes + t->bytes };
        all = (struct sum){ all.tensors + 1, all.values + values_of(t), all.bytes + t->bytes };
    }
    return all;
}

static void put_key(const struct gguf *g, const char *label, const char *key, struct buf *out)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv) return;
    buf_printf(out, "%-14s ", label);
    struct gguf_str s;
    if (gguf_get_str(g, key, &s))
        term_clean(s.s, s.n < 200 ? s.n : 200, out);
    else
        inspect_put_value(kv, false, out);
    buf_putc(out, '\n');
}

static void put_hparams(const struct gguf *g, struct buf *out)
{
    static const struct { const char *label, *key; } fact[] = {
        { "context", "context_length" }, { "width", "embedding_length" }, { "layers", "block_count" },
        { "heads", "attention.head_count" }, { "KV heads", "attention.head_count_kv" }, { "experts", "expert_count" },
    };
    struct gguf_str arch;
    if (!gguf_get_str(g, "general.architecture", &arch)) return;
    for (size_t i = 0; i < sizeof fact / sizeof *fact; i++) {
        struct buf key = { 0 };
        buf_put(&key, arch.s, arch.n);
        buf_printf(&key, ".%s", fact[i].key);
        if (!key.bad) put_key(g, fact[i].label, key.data, out);
        buf_release(&key);
    }
    const struct gguf_kv *tokens = gguf_find(g, "tokenizer.ggml.tokens");
    if (tokens) buf_printf(out, "%-14s %llu\n", "vocabulary", (unsigned long long)tokens->count);
}

static void put_summary(const struct gguf *g, struct buf *out)
{
    struct sum by_type[N_DTYPE], all = add_up(g, by_type);
    const char *path = gguf_path(g);
    buf_printf(out, "%-14s ", "file");
    term_clean(path, strlen(path), out);
    buf_printf(out, "\n%-14s ", "format");
    if (gguf_version(g)) buf_printf(out, "GGUF version %u, ", gguf_version(g));
    else buf_puts(out, "safetensors, ");
    if (gguf_n_files(g) > 1) buf_printf(out, "%u files, ", gguf_n_files(g));
    put_size(gguf_file_bytes(g), out);
    buf_putc(out, '\n');
    put_key(g, "name", "general.name", out);
    put_key(g, "architecture", "general.architecture", out);
    put_key(g, "licence", "general.license", out);
    buf_printf(out, "%-14s %llu\n", "parameters", (unsigned long long)all.values);
    put_hparams(g, out);
    put_key(g, "tokenizer", "tokenizer.ggml.model", out);
    buf_printf(out, "%-14s %s\n", "chat template", gguf_find(g, "tokenizer.chat_template") ? "yes" : "no");
    buf_printf(out, "%-14s %zu\n", "keys", gguf_n_kv(g));
    for (int i = 0; i < N_DTYPE; i++) {
        if (!by_type[i].tensors) continue;
        buf_printf(out, "%-14s %llu tensors, ", dtype_info((enum dtype)i)->name, (unsigned long long)by_type[i].tensors);
        put_size(by_type[i].bytes, out);
        buf_putc(out, '\n');
    }
    struct err e = { 0 };
    uint32_t left_out;
    if (gguf_get_u32(g, DIALECT_IGNORED, &left_out))
        buf_printf(out, "%-14s %u tensors of parts that are not text (vision, sound, further tokens)\n", "left out", left_out);
    buf_printf(out, "%-14s ", "runs here");
    if (engine_can_run(g, &e) == 0)
        buf_puts(out, "yes");
    else {
        buf_puts(out, "no: ");
        term_clean(e.msg, strlen(e.msg), out);
    }
    buf_putc(out, '\n');
}

/* ---- JSON ---- */

static struct json *value_json(const struct gguf_kv *kv, bool full)
{
    const uint8_t *at = kv->data;
    if (kv->type != GGUF_ARRAY) return about_item(kv, 0, &at);
    struct json *list = json_new_array();
    uint64_t shown = full || kv->count < SHORT_ARRAY ? kv->count : SHORT_ARRAY;
    for (uint64_t i = 0; i < shown; i++)
        if (!json_push(list, about_item(kv, i, &at))) {
            json_free(list);
            return NULL;
        }
    if (shown == kv->count) return list;
    struct json *j = json_new_object();
    bool ok = json_put(j, "count", json_new_int((int64_t)kv->count));
    ok = json_put(j, "first", list) && ok;
    if (ok) return j;
    json_free(j);
    return NULL;
}

static struct json *metadata_json(const struct gguf *g, bool full)
{
    struct json *j = json_new_object();
    bool ok = true;
    for (size_t i = 0; i < gguf_n_kv(g); i++) {
        const struct gguf_kv *kv = gguf_kv_at(g, i);
        struct buf key = { 0 };
        utf8_put_valid(&key, kv->key.s, kv->key.n);
        ok = json_put(j, key.data ? key.data : "", value_json(kv, full)) && ok;
        buf_release(&key);
    }
    if (ok) return j;
    json_free(j);
    return NULL;
}

static struct json *tensors_json(const struct gguf *g)
{
    struct json *list = json_new_array();
    bool ok = true;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        struct json *j = json_new_object(), *shape = json_new_array();
        ok = json_put(j, "name", about_text(t->name, strlen(t->name))) && ok;
        const char *type = dtype_info(t->type)->name;
        ok = json_put(j, "type", json_new_str(type, strlen(type))) && ok;
        for (uint32_t d = 0; d < t->n_dims; d++) ok = json_push(shape, json_new_int((int64_t)t->ne[d])) && ok;
        ok = json_put(j, "shape", shape) && ok;
        ok = json_put(j, "bytes", json_new_int((int64_t)t->bytes)) && ok;
        if (t->file != GGUF_NO_FILE && !t->slice) {
            ok = json_put(j, "file", json_new_int(t->file)) && ok;
            ok = json_put(j, "offset", json_new_int((int64_t)t->offset)) && ok;
        }
        ok = json_push(list, j) && ok;
    }
    if (ok) return list;
    json_free(list);
    return NULL;
}

static bool put_json(const struct gguf *g, const struct fields *f, struct buf *out)
{
    struct sum by_type[N_DTYPE], all = add_up(g, by_type);
    struct json *j = json_new_object(), *types = json_new_object();
    struct err e = { 0 };
    int rc = engine_can_run(g, &e);
    bool ok = json_put(j, "file", about_text(gguf_path(g), strlen(gguf_path(g))));
    const char *format = gguf_version(g) ? "gguf" : "safetensors";
    ok = json_put(j, "format", about_text(format, strlen(format))) && ok;
    if (gguf_version(g)) ok = json_put(j, "version", json_new_int(gguf_version(g))) && ok;
    ok = json_put(j, "files", json_new_int(gguf_n_files(g))) && ok;
    ok = json_put(j, "bytes", json_new_int((int64_t)gguf_file_bytes(g))) && ok;
    ok = json_put(j, "parameters", json_new_int((int64_t)all.values)) && ok;
    ok = json_put(j, "runs", json_new_bool(rc == 0)) && ok;
    if (rc < 0) ok = json_put(j, "runs_not_because", about_text(e.msg, strlen(e.msg))) && ok;
    for (int i = 0; i < N_DTYPE; i++) {
        if (!by_type[i].tensors) continue;
        struct json *t = json_new_object();
        ok = json_put(t, "tensors", json_new_int((int64_t)by_type[i].tensors)) && ok;
        ok = json_put(t, "values", json_new_int((int64_t)by_type[i].values)) && ok;
        ok = json_put(t, "bytes", json_new_int((int64_t)by_type[i].bytes)) && ok;
        ok = json_put(types, dtype_info((enum dtype)i)->name, t) && ok;
    }
    ok = json_put(j, "types", types) && ok;
    ok = json_put(j, "metadata", metadata_json(g, f->full)) && ok;
    ok = json_put(j, "tensors", tensors_json(g)) && ok;
    if (ok) json_write(j, true, out);
    buf_putc(out, '\n');
    json_free(j);
    return ok;
}

static int compare(const struct fields *f, const char *const *path)
{
    struct gguf *g[2] = { NULL, NULL };
    struct err e = { 0 };
    struct buf b = { 0 };
    int rc = named_gguf_open(&g[0], path[0], &e);
    if (rc == 0) rc = named_gguf_open(&g[1], path[1], &e);
    bool ended = rc == 0 && inspect_compare(g[0], g[1], f->full, &b);
    term_progress_end();
    gguf_close(g[0]);
    gguf_close(g[1]);
    if (ended) return term_put(&b) ? EXIT_OK : term_write_failed();
    buf_release(&b);
    return rc < 0 ? term_fail("%s", e.msg) : 128 + signals_pending();
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 1, 2 }, &f, &p, &rc)) return rc;
    if (f.compare && p.n_operands < 2) return term_usage(self->name, "--compare needs two files");
    if (f.compare) return compare(&f, p.operand);
    if (p.n_operands > 1)
        return term_usage(self->name, "\"%s\" is one argument too many; --compare takes two files", p.operand[1]);
    struct gguf *g;
    struct err e = { 0 };
    if (named_file_open(&g, p.operand[0], &e) < 0) return term_fail("%s", e.msg);
    struct buf b = { 0 };
    bool ok = true;
    if (f.json)
        ok = put_json(g, &f, &b);
    else {
        bool all = !f.metadata && !f.tensors && !f.summary;
        if (all || f.metadata) put_metadata(g, f.full, &b);
        if (all || f.tensors) put_tensors(g, &b);
        put_summary(g, &b);                      /* last, where a terminal shows it */
    }
    gguf_close(g);
    if (!ok || b.bad) {
        buf_release(&b);
        return term_fail("%s: out of memory", p.operand[0]);
    }
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

const struct command command_row_inspect = {
    .name = "inspect",
    .operands = "MODEL [MODEL]",
    .summary = "what is in a model file, and whether it runs here",
    .about = "MODEL is a GGUF file, the first part of a split one, or a folder from the Hugging Face Hub (config.json and\n"
             "safetensors).  What is shown of a folder are the keys and tensors that Hearth makes of it.\n",
    .example = "model.gguf",
    .more = (const char *const[]){ "hearth inspect --compare model-F16.gguf model-Q4_K_M.gguf", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
