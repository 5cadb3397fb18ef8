#include <string.h>

#include "app/bench.h"
#include "app/term.h"
#include "base/json.h"

static const char *kind_name(const struct bench_result *r)
{
    return r->kind == BENCH_PREFILL ? "prefill" : r->kind == BENCH_DECODE ? "decode" : "parallel";
}
const char *const bench_kv_name[] = { "auto", "f16", "f32", "bf16", "q8_0", "q4_0" };

struct kv_name { char s[16]; };
static struct kv_name kv_name(const struct bench_result *r)
{
    struct kv_name n;
    const char *k = bench_kv_name[r->kv & 255], *v = bench_kv_name[r->kv >> 8];
    fmt_into(n.s, sizeof n.s, k == v ? "%s" : "%s/%s", k, v);
    return n;
}

/* A multiply-add counts as two operations, as the makers of processors count. */
static double giga_ops(double macs) { return 2 * macs / 1e9; }

/* ---- for people ---- */

static void put_bytes(uint64_t n, struct buf *out)
{
    if (n < 1000000000) buf_printf(out, "%.1f MB", (double)n / 1e6);
    else buf_printf(out, "%.2f GB", (double)n / 1e9);
}

static void put_head(const struct bench *b, const char *line_end, struct buf *out)
{
    term_clean(b->model, strlen(b->model), out);
    buf_puts(out, ": ");
    term_clean(b->name, strlen(b->name), out);
    buf_printf(out, ", %s, %.2f M parameters, ", b->arch, (double)b->n_parameters / 1e6);
    put_bytes(b->file_bytes, out);
    buf_printf(out, ", %s%s", b->instructions, line_end);
    buf_printf(out, "load %.0f ms", b->load_s * 1e3);
    if (b->first_tokens && b->first_s > 0)
        buf_printf(out, ", first token after %.0f ms (a prompt of %u)", b->first_s * 1e3, b->first_tokens);
    buf_puts(out, ", at most ");
    put_bytes(b->peak_bytes, out);
    buf_puts(out, " in memory");
    if (b->huge_bytes != UINT64_MAX) {
        buf_puts(out, ", ");
        put_bytes(b->huge_bytes, out);
        buf_puts(out, " of the file in huge pages");
    }
    buf_puts(out, line_end);
    for (size_t i = 0; i < b->n_limits; i++) {
        const struct bench_limits *l = &b->limits[i];
        if (l->read.max <= 0) continue;
        buf_printf(out, "limit of %u thread%s: read %.1f GB/s (%.1f to %.1f), 8-bit %.0f, 16-bit %.0f, float %.0f Gop/s%s",
                   l->threads, l->threads == 1 ? "" : "s", l->read.median / 1e9, l->read.min / 1e9, l->read.max / 1e9,
                   giga_ops(l->int8.median), giga_ops(l->int16.median), giga_ops(l->f32.median), line_end);
    }
}

static void put_table(const struct bench *b, struct buf *out)
{
    put_head(b, "\n", out);
    buf_printf(out, "\n%-8s %6s %6s %5s %7s %9s %10s %21s %10s\n", "test", "tokens", "depth", "batch", "threads", "kv",
               "tokens/s", "min .. max", "% of limit");
    for (size_t i = 0; i < b->n_results; i++) {
        const struct bench_result *r = &b->result[i];
        buf_printf(out, "%-8s %6u %6u %5u %7u %9s %10.2f %9.2f .. %8.2f %10.1f\n", kind_name(r), r->tokens, r->depth, r->batch,
                   r->threads, kv_name(r).s, r->tok_s.median, r->tok_s.min, r->tok_s.max, r->pct.median);
    }
}

static void put_markdown(const struct bench *b, struct buf *out)
{
    put_head(b, "  \n", out);
    buf_puts(out, "\n| test | tokens | depth | batch | threads | kv | tokens/s | min..max | % of limit |\n"
                  "|---|---:|---:|---:|---:|---|---:|---:|---:|\n");
    for (size_t i = 0; i < b->n_results; i++) {
        const struct bench_result *r = &b->result[i];
        buf_printf(out, "| %s | %u | %u | %u | %u | %s | %.2f | %.2f..%.2f | %.1f |\n", kind_name(r), r->tokens, r->depth,
                   r->batch, r->threads, kv_name(r).s, r->tok_s.median, r->tok_s.min, r->tok_s.max, r->pct.median);
    }
}

/* ---- for programs ---- */

static void put_csv(const struct bench *b, struct buf *out)
{
    buf_puts(out, "model,test,tokens,depth,batch,threads,kv,repetitions,tok_s,tok_s_min,tok_s_max,pct_of_limit,"
                  "pct_of_limit_min,pct_of_limit_max\n");
    for (size_t i = 0; i < b->n_results; i++) {
        const struct bench_result *r = &b->result[i];
        buf_putc(out, '"');
        for (const char *s = b->model; *s; s++) buf_printf(out, *s == '"' ? "\"\"" : "%c", *s);
        buf_printf(out, "\",%s,%u,%u,%u,%u,%s,%u,%.4f,%.4f,%.4f,%.3f,%.3f,%.3f\n", kind_name(r), r->tokens, r->depth, r->batch,
                   r->threads, kv_name(r).s, r->repeat, r->tok_s.median, r->tok_s.min, r->tok_s.max, r->pct.median, r->pct.min,
                   r->pct.max);
    }
}

static struct json *json_text(const char *s) { return json_new_str(s, strlen(s)); }

static struct json *json_stat(struct bench_stat s, double factor)
{
    struct json *j = json_new_object();
    bool ok = json_put(j, "median", json_new_real(s.median * factor));
    ok = json_put(j, "min", json_new_real(s.min * factor)) && ok;
    ok = json_put(j, "max", json_new_real(s.max * factor)) && ok;
    ok = json_put(j, "first", json_new_real(s.first * factor)) && ok;
    ok = json_put(j, "last", json_new_real(s.last * factor)) && ok;
    if (ok) return j;
    json_free(j);
    return NULL;
}

static struct json *json_result(const struct bench_result *r)
{
    struct json *j = json_new_object();
    bool ok = json_put(j, "test", json_text(kind_name(r)));
    ok = json_put(j, "tokens", json_new_int(r->tokens)) && ok;
    ok = json_put(j, "depth", json_new_int(r->depth)) && ok;
    ok = json_put(j, "batch", json_new_int(r->batch)) && ok;
    ok = json_put(j, "threads", json_new_int(r->threads)) && ok;
    ok = json_put(j, "kv", json_text(kv_name(r).s)) && ok;
    ok = json_put(j, "repetitions", json_new_int(r->repeat)) && ok;
    ok = json_put(j, "tok_s", json_stat(r->tok_s, 1)) && ok;
    ok = json_put(j, "pct_of_limit", json_stat(r->pct, 1)) && ok;
    if (ok) return j;
    json_free(j);
    return NULL;
}

static struct json *json_limits(const struct bench_limits *l)
{
    struct json *j = json_new_object();
    bool ok = json_put(j, "threads", json_new_int(l->threads));
    ok = json_put(j, "read_gb_s", json_stat(l->read, 1e-9)) && ok;
    ok = json_put(j, "int8_gop_s", json_stat(l->int8, 2e-9)) && ok;
    ok = json_put(j, "int16_gop_s", json_stat(l->int16, 2e-9)) && ok;
    ok = json_put(j, "float_gop_s", json_stat(l->f32, 2e-9)) && ok;
    if (ok) return j;
    json_free(j);
    return NULL;
}

static struct json *number_or_null(const struct bench_result *r, double v) { return r ? json_new_real(v) : json_new_null(); }

static void put_json(const struct bench *b, struct buf *out)
{
    const struct bench_result *p = bench_main_result(b, BENCH_PREFILL), *d = bench_main_result(b, BENCH_DECODE);
    struct json *j = json_new_object(), *limits = json_new_array(), *results = json_new_array();
    bool ok = json_put(j, "model", json_text(b->model));
    ok = json_put(j, "name", json_text(b->name)) && ok;
    ok = json_put(j, "architecture", json_text(b->arch)) && ok;
    ok = json_put(j, "parameters", json_new_int((int64_t)b->n_parameters)) && ok;
    ok = json_put(j, "file_bytes", json_new_int((int64_t)b->file_bytes)) && ok;
    ok = json_put(j, "cpu", json_text(b->instructions)) && ok;
    ok = json_put(j, "prefill_tok_s", number_or_null(p, p ? p->tok_s.median : 0)) && ok;
    ok = json_put(j, "decode_tok_s", number_or_null(d, d ? d->tok_s.median : 0)) && ok;
    ok = json_put(j, "prefill_pct_of_limit", number_or_null(p, p ? p->pct.median : 0)) && ok;
    ok = json_put(j, "decode_pct_of_limit", number_or_null(d, d ? d->pct.median : 0)) && ok;
    ok = json_put(j, "load_ms", json_new_real(b->load_s * 1e3)) && ok;
    ok = json_put(j, "first_token_ms", json_new_real(b->first_s * 1e3)) && ok;
    ok = json_put(j, "first_token_prompt", json_new_int(b->first_tokens)) && ok;
    ok = json_put(j, "peak_memory_bytes", json_new_int((int64_t)b->peak_bytes)) && ok;
    struct json *huge = b->huge_bytes == UINT64_MAX ? json_new_null() : json_new_int((int64_t)b->huge_bytes);
    ok = json_put(j, "huge_page_bytes", huge) && ok;
    for (size_t i = 0; i < b->n_limits; i++) ok = json_push(limits, json_limits(&b->limits[i])) && ok;
    for (size_t i = 0; i < b->n_results; i++) ok = json_push(results, json_result(&b->result[i])) && ok;
    ok = json_put(j, "limits", limits) && ok;
    ok = json_put(j, "results", results) && ok;
    if (ok) json_write(j, true, out);
    else out->bad = true;
    buf_putc(out, '\n');
    json_free(j);
}

void bench_print(const struct bench *b, enum bench_format format, struct buf *out)
{
    switch (format) {
    case BENCH_TABLE: put_table(b, out); break;
    case BENCH_JSON: put_json(b, out); break;
    case BENCH_CSV: put_csv(b, out); break;
    case BENCH_MARKDOWN: put_markdown(b, out); break;
    }
}
