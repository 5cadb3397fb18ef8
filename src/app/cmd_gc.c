#include "app/command.h"
#include "app/listing.h"
#include "app/term.h"

struct fields { bool remove, downloads, json; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "remove", NULL, 0, OPT_FLAG, NULL, NULL, "remove what is listed; without it nothing is", NULL, AT(remove), 0, 0 },
    { "downloads", NULL, 0, OPT_FLAG, NULL, NULL, "unfinished downloads too, which a pull would go on with", NULL,
      AT(downloads), 0, 0 },
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "one JSON object a line for each", NULL, AT(json), 0, 0 },
};

static const char *const kind_name[] = { "file of no model", "links of no model", "left of an interrupted write",
                                         "unfinished download" };

struct listing { const struct fields *f; struct buf *out; uint64_t bytes; size_t n; };

static void on_garbage(void *arg, const struct garbage *g)
{
    struct listing *l = arg;
    l->bytes += g->size;
    l->n++;
    if (l->f->json) {
        struct json *j = json_new_object();
        bool ok = json_put(j, "path", text_json(g->path));
        ok = json_put(j, "what", text_json(kind_name[g->kind])) && ok;
        ok = json_put(j, "size", json_new_int((int64_t)g->size)) && ok;
        ok = json_put(j, "removed", json_new_bool(l->f->remove)) && ok;
        if (ok) json_write(j, false, l->out);
        else l->out->bad = true;
        json_free(j);
    } else {
        put_bytes(g->size, l->out);
        buf_printf(l->out, "  %s  %s", kind_name[g->kind], g->path);
    }
    buf_putc(l->out, '\n');
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 0 }, &f, &p, &rc)) return rc;
    struct store s;
    struct err e = { 0 };
    struct buf b = { 0 };
    struct listing l = { &f, &b, 0, 0 };
    const struct gc_options o = { .remove = f.remove, .downloads = f.downloads, .fn = on_garbage, .arg = &l };
    if ((rc = store_open(&s, &e)) == 0) rc = store_gc(&s, &o, &e);
    store_close(&s);
    if (rc == 0 && !f.json) {
        if (!l.n) buf_puts(&b, "there is nothing that no model needs\n");
        else put_bytes(l.bytes, &b);
        if (!l.n || f.remove) buf_puts(&b, l.n ? " freed\n" : "");
        else buf_printf(&b, " could be freed: hearth gc --remove%s\n", f.downloads ? " --downloads" : "");
    }
    bool written = f.json ? term_put(&b) : term_put_clean(&b);
    if (rc < 0) return term_fail("%s", e.msg);
    return written ? EXIT_OK : term_write_failed();
}

const struct command command_row_gc = {
    .name = "gc",
    .operands = "",
    .summary = "list files that no model needs, and remove them when told to",
    .about = "Nothing is ever removed by itself.  While a model is being fetched or made, or a manifest cannot be read,\n"
             "nothing is removed either.\n",
    .example = "",
    .more = (const char *const[]){ "hearth gc --remove", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
