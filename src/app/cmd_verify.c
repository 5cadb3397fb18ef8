#include <string.h>

#include "app/command.h"
#include "app/listing.h"
#include "app/progress.h"
#include "app/pulling.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/mem.h"
#include "base/os.h"
#include "store/store.h"

struct fields { bool json, all, repair; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "all", NULL, 0, OPT_FLAG, NULL, NULL, "without a NAME: those of other programs too", NULL, AT(all), 0, 0 },
    { "repair", NULL, 0, OPT_FLAG, NULL, NULL, "fetch again what is wrong or missing of Hearth's own files", NULL,
      AT(repair), 0, 0 },
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "one JSON object a line for each file", NULL, AT(json), 0, 0 },
};

static const char *const state_name[] = { "good", "wrong", "wrong size", "missing", "nothing to compare with" };

struct checking {
    struct progress p;
    const char *name;
    bool json, repair;
    struct buf *out;
    size_t files, unknown, bad;
    struct arena arena;                    /* of the model at work: */
    struct bad_blob *blob;
    size_t n_blob;
};

static void put_json(const struct checking *c, const struct verified *v)
{
    struct json *j = json_new_object();
    bool ok = json_put(j, "model", text_json(c->name));
    ok = json_put(j, "file", text_json(v->title)) && ok;
    ok = json_put(j, "path", text_json(v->path)) && ok;
    ok = json_put(j, "size", json_new_int((int64_t)v->size)) && ok;
    ok = json_put(j, "state", text_json(v->state == VERIFY_UNKNOWN ? "unknown" : v->state == VERIFY_SIZE ? "size"
                                                                              : state_name[v->state])) && ok;
    if (*v->want) ok = json_put(j, "digest", text_json(v->want)) && ok;
    if (*v->found) ok = json_put(j, "found", text_json(v->found)) && ok;
    if (ok) json_write(j, false, c->out);
    else c->out->bad = true;
    buf_putc(c->out, '\n');
    json_free(j);
}

/* A bad file that can be fetched again; what cannot be noted stays bad. */
static void note_bad(struct checking *c, const struct verified *v)
{
    enum { GROW = 16 };
    if (!c->repair || !v->ours || v->state == VERIFY_GOOD || v->state == VERIFY_UNKNOWN) return;
    if (c->n_blob % GROW == 0) {
        struct bad_blob *more = arena_new(&c->arena, struct bad_blob, c->n_blob + GROW);
        if (!more) return;
        if (c->n_blob) memcpy(more, c->blob, c->n_blob * sizeof *more);
        c->blob = more;
    }
    struct bad_blob *b = &c->blob[c->n_blob];
    uint64_t size = v->size;
    *b = (struct bad_blob){ .size = size, .title = arena_strdup(&c->arena, v->title, strlen(v->title)) };
    fmt_into(b->digest, sizeof b->digest, "%s", v->want);
    if (b->title) c->n_blob++;
}

static void on_file(void *arg, const struct verified *v)
{
    struct checking *c = arg;
    c->p = (struct progress){ 0 };
    c->files++;
    c->unknown += v->state == VERIFY_UNKNOWN;
    note_bad(c, v);
    if (c->json) {
        put_json(c, v);
        return;
    }
    if (v->state == VERIFY_GOOD || v->state == VERIFY_UNKNOWN) return;
    buf_printf(c->out, "%s: %s: %s", c->name, v->path, state_name[v->state]);
    if (v->state == VERIFY_WRONG) buf_printf(c->out, ": SHA-256 %s instead of %s", v->found, v->want);
    buf_putc(c->out, '\n');
}

static bool on_progress(void *arg, uint64_t done, uint64_t total)
{
    struct checking *c = arg;
    return progress_bytes(&c->p, done, total);
}

/* How many of the bad files of a model are good now. */
static size_t repair(struct store *s, const struct found *f, struct checking *c, struct err *err)
{
    size_t good = 0;
    for (size_t i = 0; i < c->n_blob; i++) {
        struct pulling how = { .yes = true, .quiet = true };
        struct err e;
        pulling_tell(&how);
        int rc = pull_repair(s, f, &c->blob[i], &how.o, &e);
        term_progress_end();
        if (rc == ERR_CANCELLED) {
            err_set(err, ERR_CANCELLED, "interrupted");
            break;
        }
        good += rc == 0;
        struct buf *out = c->out;
        if (c->json) {
            struct json *j = json_new_object();
            bool ok = json_put(j, "model", text_json(f->name));
            ok = json_put(j, "file", text_json(c->blob[i].title)) && ok;
            ok = json_put(j, "state", text_json(rc == 0 ? "repaired" : "not repaired")) && ok;
            if (rc < 0) ok = json_put(j, "error", text_json(e.msg)) && ok;
            if (ok) json_write(j, false, out);
            else out->bad = true;
            json_free(j);
        } else if (rc == 0)
            buf_printf(out, "%s: %s: was fetched again and is good", f->name, c->blob[i].title);
        else
            buf_printf(out, "%s: %s: cannot be fetched again: %s", f->name, c->blob[i].title, e.msg);
        buf_putc(out, '\n');
    }
    return good;
}

static int check(struct store *s, const struct found *f, struct checking *c, struct err *err)
{
    const struct verify_options o = { .fn = on_file, .progress = on_progress, .arg = c };
    size_t bad = 0, unknown = c->unknown;
    c->name = f->name;
    c->n_blob = 0;
    int rc = store_verify(s, f, &o, &bad, err);
    term_progress_end();
    struct err stopped = { 0 };
    size_t good = rc == 0 ? repair(s, f, c, &stopped) : 0;
    arena_release(&c->arena);
    c->bad += bad - good;
    if (rc == 0 && stopped.code < 0) rc = err_set(err, stopped.code, "%s", stopped.msg);
    if (rc < 0 || c->json || (bad && bad == good)) return rc;
    if (bad && f->ours && !c->repair)
        buf_printf(c->out, "%s: `hearth verify --repair %s` fetches them again\n", f->name, f->name);
    else if (bad && f->ours)
        buf_printf(c->out, "%s: is not whole\n", f->name);
    else if (bad) buf_printf(c->out, "%s: belongs to %s, which can fetch it again\n", f->name, f->owner);
    else buf_printf(c->out, "%s: %s\n", f->name, c->unknown > unknown ? "read; its digest was not known, and is from now "
                                                                        "on" : "good");
    return 0;
}

static int check_all(struct store *s, const struct fields *f, struct checking *c, struct err *err)
{
    struct found_list l = { 0 };
    int rc = f->all ? store_find(s, &l, err) : store_find_ours(s, &l, err);
    for (size_t i = 0; rc == 0 && i < l.n; i++) rc = check(s, &l.v[i], c, err);
    for (size_t i = 0; i < l.n_unread && i < FOUND_UNREAD; i++)
        buf_printf(c->out, "%s: a manifest that cannot be read\n", l.unread[i] ? l.unread[i] : "?");
    c->bad += l.n_unread;
    found_release(&l);
    return rc;
}

static int check_one(struct store *s, const char *operand, struct checking *c, struct err *err)
{
    struct found_list l;
    char path[STORE_PATH];
    size_t at;
    int rc = store_lookup(s, operand, &l, &at, path, err);
    if (rc < 0 && at != SIZE_MAX) rc = 0;                        /* what is incomplete is said file by file */
    const struct found own = { .name = path, .owner = "file", .path = path, .file = "", .files = 1 };
    if (rc == 0) rc = check(s, at == SIZE_MAX ? &own : &l.v[at], c, err);
    found_release(&l);
    return rc;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, OPT_MAX_OPERANDS }, &f, &p, &rc)) return rc;
    struct store s;
    struct err e = { 0 };
    struct buf b = { 0 };
    struct checking c = { .json = f.json, .repair = f.repair, .out = &b };
    if ((rc = store_open(&s, &e)) == 0 && !p.n_operands) rc = check_all(&s, &f, &c, &e);
    for (size_t i = 0; rc == 0 && i < p.n_operands; i++) rc = check_one(&s, p.operand[i], &c, &e);
    store_close(&s);
    term_progress_end();
    bool written = f.json ? term_put(&b) : term_put_clean(&b);
    if (rc == ERR_CANCELLED && signals_pending()) return 128 + signals_pending();
    if (rc < 0) return term_fail("%s", e.msg);
    if (!written) return term_write_failed();
    return c.bad ? EXIT_RUN : EXIT_OK;
}

const struct command command_row_verify = {
    .name = "verify",
    .operands = "[NAME ...]",
    .summary = "read files again and compare their digests",
    .about = "Without a NAME all models that Hearth keeps.  Files are compared with the SHA-256 of the manifest or of the Hub's\n"
             "cache; of others the digest is remembered now, so that a later change is seen.  The exit code is 1 when a file is\n"
             "wrong or missing; nothing is removed.  With --repair what Hearth itself keeps is fetched again: of a large file\n"
             "only the MBs that are wrong.  Files of other programs are theirs to repair.\n",
    .example = "qwen3:30b",
    .more = (const char *const[]){ "hearth verify --repair", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
