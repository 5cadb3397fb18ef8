#include <string.h>

#include "advisor/models.h"
#include "app/command.h"
#include "app/fit.h"
#include "app/listing.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/mem.h"

struct fields { struct fit_options o; int use; float least; uint32_t most; bool json; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "use", NULL, 'u', OPT_CHOICE, "all|general|coding|small|vision|embedding", "all", "what for", "coding", AT(use), 0, 0 },
    { "machine", "on", 'm', OPT_STR, "TEXT", "this one, measured", "another: \"M3 Ultra 512GB\", \"RTX 4090 + 64GB\"", NULL,
      AT(o.machine), 0, 0 },
    { "context", "ctx", 'c', OPT_U32, "N", "8192", "tokens of a text that must fit, too", NULL, AT(o.context), 1, 1 << 20 },
    { "speed", NULL, 0, OPT_F32, "X", "5", "tokens a second that a model must write at least", NULL, AT(least), 0, 1e6 },
    { "most", "n", 'n', OPT_U32, "N", "3", "models for each use", NULL, AT(most), 1, 100 },
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "print one JSON object", NULL, AT(json), 0, 0 },
};

static const struct { const char *name; unsigned use; } use[] = {
    { "general", USE_GENERAL }, { "coding", USE_CODING }, { "small", USE_SMALL }, { "vision", USE_VISION },
    { "embedding", USE_EMBEDDING },
};
enum { N_USE = sizeof use / sizeof *use, MAX_PICK = 100 };

struct pick { const struct known_model *m; struct forecast f; };

static bool suits(const struct known_model *m, unsigned what, const struct fields *f, const struct machine *on,
                  struct forecast *c)
{
    struct load l;
    bool encoder = m->use == USE_EMBEDDING;
    if (!(m->use & what)) return false;
    shape_load(&l, &m->shape, &(struct shape_load){ .weight_bytes = m->gb * 1e9, .n_ctx = f->o.context, .n_prompt = 512,
                                                    .n_sessions = 1, .encoder = encoder });
    forecast_make(c, on, &l);
    return c->fits && (encoder || c->decode >= (double)f->least);
}

/* The best of a use, best first. */
static size_t choose(unsigned what, const struct fields *f, const struct machine *on, struct pick *out)
{
    size_t n = 0;
    struct pick p;
    for (size_t i = 0; (p.m = known_model_at(i)) != NULL; i++) {
        if (!suits(p.m, what, f, on, &p.f)) continue;
        size_t at = n < f->most ? n++ : f->most;
        while (at > 0 && out[at - 1].m->rank < p.m->rank) {
            if (at < f->most) out[at] = out[at - 1];
            at--;
        }
        if (at < f->most) out[at] = p;
    }
    return n;
}

/* ---- as text ---- */

static void put_table(const struct fields *f, const struct machine *on, struct buf *out)
{
    struct pick pick[MAX_PICK];
    buf_puts(out, "for ");
    term_clean(on->name, strlen(on->name), out);
    buf_puts(out, ", ");
    put_bytes(on->room, out);
    buf_printf(out, " of room, %.1f GB/s, contexts of %u tokens\n", on->read / 1e9, f->o.context);
    for (size_t u = 0; u < N_USE; u++) {
        if (f->use && (size_t)f->use != u + 1) continue;
        size_t n = choose(use[u].use, f, on, pick);
        buf_printf(out, "\n%s%s\n", use[u].name, n ? "" : ": none that is known fits and is fast enough (--speed)");
        for (size_t i = 0; i < n; i++) {
            struct buf size = { 0 }, write = { 0 };
            put_bytes((uint64_t)(pick[i].m->gb * 1e9), &size);
            put_speed(pick[i].f.decode, &write);
            buf_printf(out, "  %-24s %-22s %8s", pick[i].m->title, pick[i].m->licence, size.data ? size.data : "");
            if (use[u].use != USE_EMBEDDING) buf_printf(out, " %8s t/s", write.data ? write.data : "");
            buf_printf(out, "   hearth pull %s\n", pick[i].m->name);
            out->bad |= size.bad || write.bad;
            buf_release(&size);
            buf_release(&write);
        }
    }
    if (f->use == 0 || f->use == 4) buf_puts(out, "\nHearth does not take images yet; vision models answer text meanwhile.\n");
    if (on->kind == MACHINE_APPLE || on->kind == MACHINE_GPU)
        buf_puts(out, "\nSpeeds are those of an engine that uses the GPU; Hearth computes on the processor so far.\n");
}

static bool put_json(const struct fields *f, const struct machine *on, struct buf *out)
{
    struct pick pick[MAX_PICK];
    struct json *j = json_new_object(), *uses = json_new_object();
    bool ok = json_put(j, "machine", text_json(on->name));
    ok = json_put(j, "room_bytes", json_new_int((int64_t)on->room)) && ok;
    ok = json_put(j, "context", json_new_int(f->o.context)) && ok;
    for (size_t u = 0; u < N_USE; u++) {
        if (f->use && (size_t)f->use != u + 1) continue;
        struct json *list = json_new_array();
        size_t n = choose(use[u].use, f, on, pick);
        for (size_t i = 0; i < n; i++) {
            const struct known_model *m = pick[i].m;
            struct json *k = json_new_object();
            ok = json_put(k, "name", text_json(m->name)) && ok;
            ok = json_put(k, "title", text_json(m->title)) && ok;
            ok = json_put(k, "licence", text_json(m->licence)) && ok;
            ok = json_put(k, "size", json_new_int((int64_t)(m->gb * 1e9))) && ok;
            ok = json_put(k, "parameters", json_new_int((int64_t)shape_parameters(&m->shape))) && ok;
            ok = json_put(k, "active_parameters", json_new_int((int64_t)shape_active(&m->shape))) && ok;
            ok = json_put(k, "memory_bytes", json_new_int((int64_t)pick[i].f.need)) && ok;
            ok = json_put(k, "decode_tok_s", pick[i].f.decode > 0 ? json_new_real(pick[i].f.decode) : json_new_null()) && ok;
            ok = json_put(k, "prefill_tok_s", json_new_real(pick[i].f.prefill)) && ok;
            ok = json_push(list, k) && ok;
        }
        ok = json_put(uses, use[u].name, list) && ok;
    }
    ok = json_put(j, "uses", uses) && ok;
    if (ok) json_write(j, true, out);
    buf_putc(out, '\n');
    json_free(j);
    return ok;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { .o = { .context = 8192 }, .least = 5, .most = 3 };
    struct machine on;
    struct parsed p;
    struct err e = { 0 };
    struct buf b = { 0 };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 0 }, &f, &p, &rc)) return rc;
    if ((rc = fit_machine(&on, &f.o, &e)) < 0) return term_fail("%s", e.msg);
    if (f.json) b.bad = !put_json(&f, &on, &b) || b.bad;
    else put_table(&f, &on, &b);
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

const struct command command_row_recommend = {
    .name = "recommend",
    .operands = "",
    .summary = "models that fit this machine and are fast enough on it, by use",
    .about = "Chooses from a table of well-known models: those that fit with a context of some length and write fast enough,\n"
             "the best first.  Which is best is a judgement; how fast they are is a forecast (hearth fit says it exactly).\n",
    .example = "",
    .more = (const char *const[]){ "hearth recommend --use small --speed 20", "hearth recommend --machine \"M4 Pro 48GB\" --json",
                                   NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
