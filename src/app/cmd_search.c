#include <string.h>

#include "app/command.h"
#include "app/listing.h"
#include "app/signals.h"
#include "app/table.h"
#include "app/term.h"
#include "store/search.h"

struct fields { const char *author, *hub; int order; uint32_t limit; bool json, all; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "sort", NULL, 0, OPT_CHOICE, "trending|downloads|likes|new", "trending", "what comes first", NULL, AT(order), 0, 0 },
    { "limit", NULL, 'n', OPT_U32, "N", "20", "how many", NULL, AT(limit), 1, SEARCH_MOST },
    { "author", NULL, 0, OPT_STR, "USER", NULL, "only of this user or organisation", NULL, AT(author), 0, 0 },
    { "all", NULL, 0, OPT_FLAG, NULL, NULL, "also what has no GGUF files", NULL, AT(all), 0, 0 },
    { "hub", NULL, 0, OPT_STR, "URL", "HF_ENDPOINT", "server in the place of https://huggingface.co", NULL, AT(hub), 0, 0 },
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "print a JSON array", NULL, AT(json), 0, 0 },
};

static bool alive(void *arg)
{
    (void)arg;
    return !signals_pending();
}

static struct json *hit_json(const struct search_hit *h)
{
    struct json *j = json_new_object();
    bool ok = json_put(j, "name", text_json(h->name));
    ok = json_put(j, "downloads", json_new_int((int64_t)h->downloads)) && ok;
    ok = json_put(j, "likes", json_new_int((int64_t)h->likes)) && ok;
    if (h->n_params) ok = json_put(j, "parameters", json_new_int((int64_t)h->n_params)) && ok;
    if (h->arch[0]) ok = json_put(j, "architecture", text_json(h->arch)) && ok;
    if (h->context) ok = json_put(j, "context_length", json_new_int(h->context)) && ok;
    if (h->changed[0]) ok = json_put(j, "changed", text_json(h->changed)) && ok;
    ok = json_put(j, "gated", json_new_bool(h->gated)) && ok;
    if (ok) return j;
    json_free(j);
    return NULL;
}

static void put_array(const struct search_result *r, struct buf *out)
{
    struct json *list = json_new_array();
    bool ok = true;
    for (size_t i = 0; i < r->n; i++) ok = json_push(list, hit_json(&r->v[i])) && ok;
    if (ok) json_write(list, true, out);
    else out->bad = true;
    buf_putc(out, '\n');
    json_free(list);
}

static void put_table(const struct search_result *r, struct buf *out)
{
    static const char *const head[] = { "NAME", "PARAMS", "ARCHITECTURE", "CONTEXT", "DOWNLOADS", "LIKES", "CHANGED" };
    struct table t = { .columns = 7, .right = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 };
    for (size_t i = 0; i < t.columns; i++) table_cell(&t, head[i]);
    for (size_t i = 0; i < r->n; i++) {
        const struct search_hit *h = &r->v[i];
        char text[2 * NAME_HUB_PART + 32];
        struct buf params = { 0 };
        put_params(h->n_params, &params);
        fmt_into(text, sizeof text, "%s%s", h->name, h->gated ? " (gated)" : "");
        table_cell(&t, text);
        table_cell(&t, params.data ? params.data : "");
        table_cell(&t, h->arch);
        fmt_into(text, sizeof text, "%u", h->context);
        table_cell(&t, h->context ? text : "");
        fmt_into(text, sizeof text, "%llu", (unsigned long long)h->downloads);
        table_cell(&t, text);
        fmt_into(text, sizeof text, "%llu", (unsigned long long)h->likes);
        table_cell(&t, text);
        table_cell(&t, h->changed);
        buf_release(&params);
    }
    table_write(&t, out);
    table_release(&t);
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { .limit = 20 };
    struct parsed p;
    struct search_result r;
    struct err e = { 0 };
    struct buf b = { 0 }, text = { 0 };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, OPT_MAX_OPERANDS }, &f, &p, &rc)) return rc;
    for (size_t i = 0; i < p.n_operands; i++) buf_printf(&text, "%s%s", i ? " " : "", p.operand[i]);
    struct search_query q = { .text = text.data, .author = f.author, .order = (enum search_order)f.order, .limit = f.limit,
                              .all = f.all, .hub = f.hub, .alive = alive };
    rc = text.bad ? err_set(&e, ERR_NOMEM, "out of memory") : store_search(&q, &r, &e);
    if (rc == 0 && f.json) put_array(&r, &b);
    if (rc == 0 && !f.json && r.n) put_table(&r, &b);
    if (rc == 0 && !f.json && !r.n) term_note("hearth: nothing was found");
    if (!text.bad) search_release(&r);
    buf_release(&text);
    if (rc == ERR_CANCELLED && signals_pending()) return 128 + signals_pending();
    if (rc < 0) return term_fail("%s", e.msg);
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

const struct command command_row_search = {
    .name = "search",
    .operands = "[WORD ...]",
    .summary = "look for models on the Hugging Face Hub",
    .about = "Names of the first column can be given to `hearth pull` and `hearth run`.\n",
    .example = "qwen3 coder",
    .more = (const char *const[]){ "hearth search --author unsloth --sort new", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
