#include "app/fit.h"

#include <string.h>

#include "app/signals.h"
#include "app/term.h"
#include "app/this_machine.h"
#include "base/mem.h"
#include "device/device.h"
#include "format/hf.h"
#include "quant/recipe.h"
#include "store/header.h"

/* ---- the machine ---- */

int fit_machine(struct machine *out, const struct fit_options *o, struct err *err)
{
    if (o->machine) return machine_parse(out, o->machine, err);
    struct host *h = mem_new(1, sizeof *h);
    if (!h) return err_set(err, ERR_NOMEM, "out of memory");
    int rc = this_machine(h, o->threads, err);
    if (rc == 0) host_machine(h, out);
    mem_free(h);
    if (o->bandwidth > 0) out->read = (double)o->bandwidth * 1e9;
    if (o->ops > 0) out->ops = (double)o->ops * 1e9;
    return rc;
}

/* ---- the model ---- */

static struct work work_of(const struct hearth_work *w)
{
    return (struct work){ w->bytes, w->int_macs, w->float_macs, w->few_macs };
}

static struct load load_of(const struct fit *f)
{
    const struct hearth_needs *n = &f->needs;
    return (struct load){ .weights = n->weights, .kv = n->kv, .compute = n->compute, .other = n->other, .n_layer = n->n_layer,
                          .n_sessions = f->o->parallel ? f->o->parallel : 1, .n_prompt = f->o->prompt,
                          .experts = n->n_expert > 0, .encoder = n->encoder, .prefill = work_of(&n->prefill),
                          .decode = work_of(&n->decode) };
}

/* Every text longer by a token costs the same, but for layers with a window, which then count for too much. */
static uint32_t most_context(const struct fit *f)
{
    const struct hearth_needs *n = &f->needs;
    uint64_t room = f->machine.room + (f->machine.kind == MACHINE_GPU ? f->machine.ram : 0);
    uint64_t base = f->forecast.need - n->kv, token = n->kv_token * f->load.n_sessions;
    if (n->encoder || base >= room || !token) return 0;
    uint64_t most = (room - base) / token / 64 * 64;
    return (uint32_t)(n->n_ctx_train && most > n->n_ctx_train ? n->n_ctx_train : most);
}

/* ---- the same model in other mixtures ---- */

static const enum recipe_id mixture[] = {
    RECIPE_F16, RECIPE_Q8_0, RECIPE_Q6_K, RECIPE_Q5_K_M, RECIPE_Q4_K_M, RECIPE_IQ4_XS, RECIPE_Q3_K_M, RECIPE_IQ3_XXS, RECIPE_Q2_K,
    RECIPE_IQ2_XXS,
};

static uint64_t recipe_bytes(enum recipe_id r, const struct recipe_model *m, const struct gguf *g)
{
    uint64_t sum = 0, row;
    uint32_t v = 0;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        bool keeps = recipe_keeps(t);
        if (keeps || !dtype_row_bytes(recipe_type(r, m, t, v, NULL), t->ne[0], &row)) sum += t->bytes;
        else sum += row * t->ne[1] * t->ne[2] * t->ne[3];
        v += recipe_is_attn_v(t->name);
    }
    return sum;
}

/* What is read and multiplied changes with the weights; keys and values do not. */
static void judge_quant(const struct fit *f, enum recipe_id r, double ratio, struct fit_quant *q)
{
    struct load l = f->load;
    double kv_read = f->needs.decode.bytes - (double)f->needs.n_active * f->needs.weights / f->needs.n_parameters;
    if (kv_read < 0) kv_read = 0;
    double macs = l.decode.int_macs + l.decode.float_macs, few = device_cpu.few_row(recipe_at(r)->type, 2048) / 2048;
    bool plain = r == RECIPE_F16;
    l.weights = (uint64_t)((double)l.weights * ratio);
    l.prefill.bytes *= ratio;
    l.decode.bytes = (l.decode.bytes - kv_read) * ratio + kv_read;
    l.decode.few_macs = macs * few;
    double prefill = l.prefill.int_macs + l.prefill.float_macs;
    l.prefill.int_macs = plain ? 0 : prefill;
    l.prefill.float_macs = plain ? prefill : 0;
    forecast_make(&q->f, &f->machine, &l);
}

static void judge_quants(struct fit *f, const struct gguf *g)
{
    struct recipe_model m;
    uint64_t all = 0;
    recipe_read_model(&m, g, true);
    for (size_t i = 0; i < gguf_n_tensors(g); i++) all += gguf_tensor_at(g, i)->bytes;
    for (size_t i = 0; all && i < sizeof mixture / sizeof *mixture; i++) {
        struct fit_quant *q = &f->quant[f->n_quants++];
        q->name = recipe_at(mixture[i])->name;
        q->bytes = recipe_bytes(mixture[i], &m, g);
        judge_quant(f, mixture[i], (double)q->bytes / (double)all, q);
    }
}

/* ---- cost ---- */

static void judge_cost(struct fit *f)
{
    const struct fit_options *o = f->o;
    f->has_cost = o->price > 0 || o->month > 0 || o->mtok > 0 || o->tokens_day > 0;
    if (!f->has_cost) return;
    f->watts = o->watts > 0 ? (double)o->watts : f->machine.watts > 0 ? f->machine.watts : 100;
    struct cost_options c = { .price = (double)o->price, .watts = f->watts, .kwh = (double)o->kwh,
                              .tokens_day = (double)o->tokens_day, .prompt_day = (double)o->prompt_day,
                              .month = (double)o->month, .mtok = (double)o->mtok };
    cost_make(&f->cost, &c, &f->forecast);
}

/* ---- all of it ---- */

static int judge(struct fit *f, const char *path, struct err *err)
{
    const struct fit_options *o = f->o;
    struct hearth_needs_options no = { .threads = o->threads, .n_ctx = o->context, .kv_type = o->kv_type,
                                       .kv_type_v = o->kv_type_v, .n_sessions = o->parallel, .n_prompt = o->prompt };
    struct hearth_error e = { 0 };
    struct gguf *g = NULL;
    if (hearth_model_needs(path, &no, &f->needs, &e) < 0) return err_set(err, e.code, "%s", e.message);
    f->load = load_of(f);
    forecast_make(&f->forecast, &f->machine, &f->load);
    f->most_ctx = most_context(f);
    judge_cost(f);
    int rc = model_file_open(&g, path, err);
    if (rc < 0) return rc;
    judge_quants(f, g);
    gguf_close(g);
    return 0;
}

static bool still_wanted(void *arg, const char *file, uint64_t done, uint64_t total)
{
    (void)arg, (void)done, (void)total;
    if (*file) term_progress("reading the header of %s", file);
    return !signals_pending();
}

static int judge_remote(struct fit *f, struct store *s, const struct name *n, struct err *err)
{
    struct pull_options po = { .registry = f->o->registry, .hub = f->o->hub, .progress = still_wanted };
    struct header h;
    int rc = header_fetch(s, n, &po, &h, err);
    term_progress_end();
    if (rc < 0) return rc;
    f->fetched = h.fetched;
    rc = judge(f, h.path, err);
    header_remove(&h);
    return rc;
}

int fit_model(struct fit *f, struct err *err)
{
    char path[STORE_PATH];
    struct store s;
    struct found_list l = { 0 };
    struct name n;
    size_t at;
    int rc = store_open(&s, err);
    if (rc < 0) return rc;
    struct err why = { 0 };
    rc = store_lookup(&s, f->operand, &l, &at, path, &why);
    const char *near = rc == ERR_NOTFOUND ? store_nearest(&l, f->operand) : NULL;
    char meant[NAME_TEXT + 1] = "";
    if (near) fmt_into(meant, sizeof meant, "%s", near);
    found_release(&l);
    f->here = rc == 0;
    bool remote = rc == ERR_NOTFOUND && !f->o->offline && name_parse(&n, f->operand, NULL) == 0 && n.kind != NAME_PATH;
    if (rc < 0 && !remote) rc = err_set(err, why.code, "%s", why.msg);
    else rc = fit_machine(&f->machine, f->o, err);
    if (rc == 0) rc = f->here ? judge(f, path, err) : judge_remote(f, &s, &n, err);
    if (rc == ERR_NOTFOUND && remote && *meant) {
        why = *err;
        err_set(err, rc, "%.300s; did you mean %s?", why.msg, meant);
    }
    store_close(&s);
    return rc;
}
