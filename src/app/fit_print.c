#include <string.h>

#include "app/fit.h"
#include "app/listing.h"
#include "app/term.h"

void put_speed(double v, struct buf *out)
{
    buf_printf(out, v >= 100 ? "%.0f" : v >= 10 ? "%.1f" : "%.2f", v);
}

static void key(const char *name, struct buf *out) { buf_printf(out, "%-14s ", name); }

static void put_seconds(double s, struct buf *out)
{
    if (s < 1) buf_printf(out, "%.0f ms", s * 1e3);
    else if (s < 120) buf_printf(out, "%.1f s", s);
    else buf_printf(out, "%.0f min", s / 60);
}

/* ---- what it needs ---- */

static void put_model(const struct fit *f, struct buf *out)
{
    const struct hearth_needs *n = &f->needs;
    key("model", out);
    term_clean(f->operand, strlen(f->operand), out);
    if (n->name[0]) {
        buf_puts(out, " (");
        term_clean(n->name, strlen(n->name), out);
        buf_putc(out, ')');
    }
    buf_putc(out, '\n');
    key("", out);
    buf_printf(out, "%s, ", n->architecture);
    put_params(n->n_parameters, out);
    buf_puts(out, " parameters");
    if (n->n_expert) {
        buf_puts(out, ", of which ");
        put_params(n->n_active, out);
        buf_printf(out, " work on a token (%u of %u experts)", n->n_expert_used, n->n_expert);
    }
    buf_puts(out, "\n");
    key("file", out);
    put_bytes(n->file_bytes, out);
    if (f->here) buf_puts(out, ", on this machine\n");
    else {
        buf_puts(out, ", not on this machine; ");
        put_bytes(f->fetched, out);
        buf_puts(out, " of it were fetched to judge it\n");
    }
}

static void put_part(const char *name, uint64_t bytes, const char *more, struct buf *out)
{
    key("", out);
    size_t from = out->len;
    put_bytes(bytes, out);
    size_t n = out->len - from;
    buf_printf(out, "%*s%s%s\n", (int)(n < 9 ? 10 - n : 1), "", name, more);
}

static void put_memory(const struct fit *f, struct buf *out)
{
    const struct hearth_needs *n = &f->needs;
    char more[80];
    key("memory", out);
    put_bytes(f->forecast.need, out);
    buf_puts(out, " in all:\n");
    put_part("weights", n->weights, "", out);
    fmt_into(more, sizeof more, " of %u token%s", n->n_ctx, f->load.n_sessions > 1 ? "s each" : "s");
    if (!n->encoder) put_part("keys and values", n->kv, more, out);
    put_part("buffers", n->compute, "", out);
    put_part("the program, its tokenizer, the file's header", n->other, "", out);
}

/* ---- where it fits ---- */

static void put_room(const struct fit *f, struct buf *out)
{
    const struct machine *m = &f->machine;
    const struct forecast *c = &f->forecast;
    struct buf raise = { 0 };
    key("machine", out);
    term_clean(m->name, strlen(m->name), out);
    buf_printf(out, ", %s %.1f GB/s\n", m->kind == MACHINE_HOST ? "memory is read at" : "memory of", m->read / 1e9);
    key(c->fits ? "fits" : "does not fit", out);
    put_bytes(m->room, out);
    buf_puts(out, m->kind == MACHINE_APPLE ? " are what its GPU may take"
                  : m->kind == MACHINE_HOST ? " are to be had now" : " are room");
    if (m->ram) {
        buf_puts(out, ", ");
        put_bytes(m->ram, out);
        buf_puts(out, " beside the card");
    }
    if (m->kind == MACHINE_GPU && c->gpu_layers < f->load.n_layer && c->fits)
        buf_printf(out, "; %u of %u layers on the card", c->gpu_layers, f->load.n_layer);
    buf_putc(out, '\n');
    if (!c->fits && machine_raise(m, c->need, &raise)) {
        key("", out);
        buf_printf(out, "it does when the limit is raised: %s\n", raise.data);
    }
    buf_release(&raise);
    if (!f->needs.encoder && f->most_ctx && f->most_ctx != f->needs.n_ctx_train) {
        key("", out);
        buf_printf(out, "a context of up to %u tokens would fit (the model was made for %u)\n", f->most_ctx,
                   f->needs.n_ctx_train);
    }
}

/* ---- how fast ---- */

static void put_forecast(const struct fit *f, struct buf *out)
{
    const struct forecast *c = &f->forecast;
    key("writes", out);
    if (f->needs.encoder) buf_puts(out, "nothing: it makes embeddings\n");
    else {
        buf_puts(out, "about ");
        put_speed(c->decode, out);
        buf_puts(out, " tokens a second");
        if (f->load.n_sessions > 1) buf_printf(out, ", %u texts together", f->load.n_sessions);
        buf_printf(out, "; limited by %s\n", c->bound == BOUND_READ ? "reading memory" : "multiplying");
    }
    key("reads", out);
    buf_puts(out, "about ");
    put_speed(c->prefill, out);
    buf_printf(out, " tokens a second; the first token after a prompt of %u comes after ", f->load.n_prompt);
    put_seconds(c->first_s, out);
    buf_putc(out, '\n');
    if (f->machine.kind != MACHINE_APPLE && f->machine.kind != MACHINE_GPU) return;
    key("", out);
    buf_puts(out, "(with an engine that uses the GPU; Hearth computes on the processor so far)\n");
}

static void put_quants(const struct fit *f, struct buf *out)
{
    buf_printf(out, "\n%-10s %10s %10s  %-5s %12s %12s\n", "TYPE", "FILE", "MEMORY", "FITS", "writes", "reads");
    for (size_t i = 0; i < f->n_quants; i++) {
        const struct fit_quant *q = &f->quant[i];
        struct buf file = { 0 }, need = { 0 }, write = { 0 }, read = { 0 };
        put_bytes(q->bytes, &file);
        put_bytes(q->f.need, &need);
        put_speed(q->f.decode, &write);
        put_speed(q->f.prefill, &read);
        const char *fits = q->f.fits ? "yes" : q->f.fits_raised ? "yes*" : "no";
        buf_printf(out, "%-10s %10s %10s  %-5s %8s t/s %8s t/s\n", q->name, file.data ? file.data : "",
                   need.data ? need.data : "", fits, f->needs.encoder ? "-" : write.data ? write.data : "",
                   read.data ? read.data : "");
        out->bad |= file.bad || need.bad || write.bad || read.bad;
        buf_release(&file);
        buf_release(&need);
        buf_release(&write);
        buf_release(&read);
    }
    for (size_t i = 0; i < f->n_quants; i++)
        if (!f->quant[i].f.fits && f->quant[i].f.fits_raised) {
            buf_puts(out, "* when the GPU's limit is raised\n");
            return;
        }
}

/* ---- what it costs ---- */

static void put_cost(const struct fit *f, struct buf *out)
{
    const struct cost *c = &f->cost;
    buf_puts(out, "\n");
    key("energy", out);
    buf_printf(out, "%.2f kWh for a million tokens at %.0f W: %.2f", c->kwh_mtok, f->watts, c->energy_mtok);
    if (f->o->tokens_day <= 0) {
        buf_puts(out, "\n");
        return;
    }
    buf_printf(out, "; %.2f a month\n", c->energy_month);
    key("time", out);
    buf_printf(out, "%.1f hours of computing a day%s\n", c->hours_day, c->possible ? "" : ": more than a day has");
    if (c->otherwise_month <= 0) return;
    key("otherwise", out);
    buf_printf(out, "%.2f a month\n", c->otherwise_month);
    key("break even", out);
    if (!c->possible) buf_puts(out, "never: this machine is too slow for so many tokens\n");
    else if (c->months < 0) buf_puts(out, "never: the energy costs more than is paid otherwise\n");
    else buf_printf(out, "after %.1f months\n", c->months);
}

static void put_explanation(const struct fit *f, struct buf *out)
{
    const struct load *l = &f->load;
    const struct machine *m = &f->machine;
    bool cpu = m->kind == MACHINE_HOST || m->kind == MACHINE_CPU;
    buf_puts(out, "\nOne step of writing:\n");
    buf_printf(out, "  reads %.3f GB of weights, keys and values at %.1f GB/s%s: %.1f ms\n", l->decode.bytes / 1e9,
               m->read * m->share / 1e9, m->share < 1 ? " (what is reached of the data sheet)" : "", f->forecast.read_s * 1e3);
    buf_printf(out, "  multiplies %.2f G times, at best %.0f Gop/s%s: %.1f ms\n",
               (l->decode.int_macs + l->decode.float_macs) / 1e9, m->ops / 1e9,
               cpu && l->n_sessions <= 3 ? ", slower with one token and these types" : "",
               f->forecast.multiply_s * 1e3);
    if (f->forecast.layers_s > 0) buf_printf(out, "  starts %u layers: %.1f ms\n", l->n_layer, f->forecast.layers_s * 1e3);
    buf_puts(out, "  both at once take the eighth root of the sum of their eighth powers.\n");
    buf_printf(out, "A prompt of %u tokens multiplies %.0f G times at %.0f %% of %.0f Gop/s.\n", l->n_prompt,
               (l->prefill.int_macs + l->prefill.float_macs) / 1e9, 100 * forecast_prefill_share(m, l->experts), m->ops / 1e9);
    if (!f->needs.encoder)
        buf_printf(out, "A token costs %.1f kB of keys and values.\n", (double)f->needs.kv_token / 1e3);
    if (f->needs.embedding) {
        buf_puts(out, "Of the weights, ");
        put_bytes(f->needs.embedding, out);
        buf_puts(out, " are a table that is read a row at a time; not all of it need be in memory.\n");
    }
}

void fit_table(const struct fit *f, bool explain, struct buf *out)
{
    put_model(f, out);
    put_memory(f, out);
    put_room(f, out);
    put_forecast(f, out);
    put_quants(f, out);
    if (f->has_cost && !f->needs.encoder) put_cost(f, out);
    if (explain) put_explanation(f, out);
}

/* ---- for programs ---- */

static struct json *forecast_json(const struct forecast *c)
{
    struct json *j = json_new_object();
    bool ok = json_put(j, "memory_bytes", json_new_int((int64_t)c->need));
    ok = json_put(j, "fits", json_new_bool(c->fits)) && ok;
    ok = json_put(j, "fits_with_raised_limit", json_new_bool(c->fits_raised)) && ok;
    ok = json_put(j, "gpu_layers", json_new_int(c->gpu_layers)) && ok;
    ok = json_put(j, "decode_tok_s", c->decode > 0 ? json_new_real(c->decode) : json_new_null()) && ok;
    ok = json_put(j, "prefill_tok_s", json_new_real(c->prefill)) && ok;
    ok = json_put(j, "first_token_s", json_new_real(c->first_s)) && ok;
    ok = json_put(j, "limited_by", text_json(c->bound == BOUND_READ ? "memory" : "arithmetic")) && ok;
    if (ok) return j;
    json_free(j);
    return NULL;
}

static struct json *model_needs_json(const struct fit *f)
{
    const struct hearth_needs *n = &f->needs;
    struct json *j = json_new_object();
    bool ok = json_put(j, "model", text_json(f->operand));
    ok = json_put(j, "name", text_json(n->name)) && ok;
    ok = json_put(j, "architecture", text_json(n->architecture)) && ok;
    ok = json_put(j, "file_bytes", json_new_int((int64_t)n->file_bytes)) && ok;
    ok = json_put(j, "fetched_bytes", json_new_int((int64_t)f->fetched)) && ok;
    ok = json_put(j, "here", json_new_bool(f->here)) && ok;
    ok = json_put(j, "parameters", json_new_int((int64_t)n->n_parameters)) && ok;
    ok = json_put(j, "active_parameters", json_new_int((int64_t)n->n_active)) && ok;
    ok = json_put(j, "context", json_new_int(n->n_ctx)) && ok;
    ok = json_put(j, "context_trained", json_new_int(n->n_ctx_train)) && ok;
    ok = json_put(j, "context_that_fits", json_new_int(f->most_ctx)) && ok;
    ok = json_put(j, "weights_bytes", json_new_int((int64_t)n->weights)) && ok;
    ok = json_put(j, "kv_bytes", json_new_int((int64_t)n->kv)) && ok;
    ok = json_put(j, "compute_bytes", json_new_int((int64_t)n->compute)) && ok;
    ok = json_put(j, "other_bytes", json_new_int((int64_t)n->other)) && ok;
    if (ok) return j;
    json_free(j);
    return NULL;
}

static struct json *machine_json(const struct machine *m)
{
    struct json *j = json_new_object();
    bool ok = json_put(j, "name", text_json(m->name));
    ok = json_put(j, "total_bytes", json_new_int((int64_t)m->memory)) && ok;
    ok = json_put(j, "room_bytes", json_new_int((int64_t)m->room)) && ok;
    ok = json_put(j, "read_bytes_per_second", json_new_real(m->read)) && ok;
    ok = json_put(j, "ops_per_second", json_new_real(m->ops)) && ok;
    if (ok) return j;
    json_free(j);
    return NULL;
}

static struct json *cost_json(const struct fit *f)
{
    const struct cost *c = &f->cost;
    struct json *j = json_new_object();
    bool ok = json_put(j, "watts", json_new_real(f->watts));
    ok = json_put(j, "kwh_per_million_tokens", json_new_real(c->kwh_mtok)) && ok;
    ok = json_put(j, "energy_per_million_tokens", json_new_real(c->energy_mtok)) && ok;
    ok = json_put(j, "hours_per_day", json_new_real(c->hours_day)) && ok;
    ok = json_put(j, "possible", json_new_bool(c->possible)) && ok;
    ok = json_put(j, "energy_per_month", json_new_real(c->energy_month)) && ok;
    ok = json_put(j, "otherwise_per_month", json_new_real(c->otherwise_month)) && ok;
    ok = json_put(j, "months_to_break_even", c->possible && c->months >= 0 ? json_new_real(c->months) : json_new_null()) && ok;
    if (ok) return j;
    json_free(j);
    return NULL;
}

bool fit_json(const struct fit *f, struct buf *out)
{
    struct json *j = model_needs_json(f), *list = json_new_array();
    bool ok = json_put(j, "machine", machine_json(&f->machine));
    ok = json_put(j, "forecast", forecast_json(&f->forecast)) && ok;
    for (size_t i = 0; i < f->n_quants; i++) {
        struct json *q = forecast_json(&f->quant[i].f);
        ok = json_put(q, "type", text_json(f->quant[i].name)) && ok;
        ok = json_put(q, "file_bytes", json_new_int((int64_t)f->quant[i].bytes)) && ok;
        ok = json_push(list, q) && ok;
    }
    ok = json_put(j, "types", list) && ok;
    if (f->has_cost) ok = json_put(j, "cost", cost_json(f)) && ok;
    if (ok) json_write(j, true, out);
    buf_putc(out, '\n');
    json_free(j);
    return ok;
}
