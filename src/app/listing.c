#include "app/listing.h"

#include <string.h>

#include "app/table.h"
#include "base/os.h"
#include "base/utf8.h"

void put_bytes(uint64_t n, struct buf *out)
{
    if (n >= 1000000000) buf_printf(out, "%.1f GB", (double)n / 1e9);
    else if (n >= 1000000) buf_printf(out, "%.0f MB", (double)n / 1e6);
    else buf_printf(out, "%.1f kB", (double)n / 1e3);
}

void put_params(uint64_t n, struct buf *out)
{
    if (n >= 1000000000) buf_printf(out, "%.1f B", (double)n / 1e9);
    else if (n >= 1000000) buf_printf(out, "%.0f M", (double)n / 1e6);
    else if (n) buf_printf(out, "%.0f k", (double)n / 1e3);
}

const char *equal_model(const struct found_list *l, size_t i)
{
    for (size_t k = 0; l->v[i].digest[0] && k < i; k++)
        if (!strcmp(l->v[k].digest, l->v[i].digest)) return l->v[k].name;
    return NULL;
}

static void put_row(struct table *t, const struct found *f, const struct facts *x)
{
    char when[32] = "";
    struct buf b[3] = { { 0 } };
    put_params(x->n_params, &b[0]);
    put_bytes(f->size, &b[1]);
    buf_printf(&b[2], "%s%s", f->owner, f->broken ? " (incomplete)" : "");
    os_strftime(when, sizeof when, "%Y-%m-%d", f->mtime);
    const char *const cell[] = { f->name, b[0].data, x->quant, b[1].data, b[2].data, when };
    for (size_t i = 0; i < t->columns; i++) table_cell(t, cell[i] ? cell[i] : "");
    for (size_t i = 0; i < 3; i++) buf_release(&b[i]);
}

void put_models(struct store *s, const struct found_list *l, struct buf *out)
{
    static const char *const head[] = { "NAME", "PARAMS", "TYPE", "SIZE", "OWNER", "CHANGED" };
    struct table t = { .columns = 6, .right = 1 << 1 | 1 << 3 };
    for (size_t i = 0; i < t.columns; i++) table_cell(&t, head[i]);
    index_begin(store_index(s));
    for (size_t i = 0; i < l->n; i++) {
        struct facts x;
        store_facts(s, &l->v[i], &x);
        put_row(&t, &l->v[i], &x);
    }
    index_end(store_index(s));
    table_write(&t, out);
    table_release(&t);
}

void put_made(const struct name *n, bool json, struct buf *out)
{
    if (json) buf_puts(out, "{\"status\":\"success\",\"name\":\"");
    name_put_short(n, out);                                      /* letters, digits and _.-:/ */
    buf_puts(out, json ? "\"}\n" : ": made\n");
}

struct json *text_json(const char *s)
{
    struct buf b = { 0 };
    utf8_put_valid(&b, s, strlen(s));
    struct json *j = b.bad ? NULL : json_new_str(b.data ? b.data : "", b.len);
    buf_release(&b);
    return j;
}

struct json *model_json(const struct found *f, const struct facts *x, const char *same_as)
{
    char when[40] = "";
    struct json *j = json_new_object();
    os_strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S%z", f->mtime);
    bool ok = json_put(j, "name", text_json(f->name));
    ok = json_put(j, "owner", text_json(f->owner)) && ok;
    ok = json_put(j, "path", text_json(f->path)) && ok;
    ok = json_put(j, "size", json_new_int((int64_t)f->size)) && ok;
    ok = json_put(j, "files", json_new_int(f->files)) && ok;
    if (f->mtime) ok = json_put(j, "modified_at", text_json(when)) && ok;
    if (x->digest[0]) ok = json_put(j, "digest", text_json(x->digest)) && ok;
    if (f->id[0]) ok = json_put(j, "id", text_json(f->id)) && ok;
    if (x->arch[0]) ok = json_put(j, "architecture", text_json(x->arch)) && ok;
    if (x->quant[0]) ok = json_put(j, "quantization", text_json(x->quant)) && ok;
    if (x->n_params) ok = json_put(j, "parameters", json_new_int((int64_t)x->n_params)) && ok;
    if (x->context) ok = json_put(j, "context_length", json_new_int(x->context)) && ok;
    if (f->projector) ok = json_put(j, "projector", text_json(f->projector)) && ok;
    if (same_as) ok = json_put(j, "same_as", text_json(same_as)) && ok;
    ok = json_put(j, "ours", json_new_bool(f->ours)) && ok;
    ok = json_put(j, "complete", json_new_bool(!f->broken)) && ok;
    if (ok) return j;
    json_free(j);
    return NULL;
}
