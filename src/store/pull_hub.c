/* The Hugging Face Hub: a repository's tree of files, of which some make a model. */
#include <string.h>

#include "base/env.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/os.h"
#include "store/pull.h"

enum { MAX_TREE = 20000, PAGE_MAX = 16 << 20 };

struct entry { const char *path; char digest[SHA256_HEX + 1], git[GIT_HEX + 1], chunks[SHA256_HEX + 1]; uint64_t size; };
struct tree { struct pull *p; struct entry *v; size_t n; char commit[128]; };

char *hub_token(void)
{
    const char *token = env_get(ENV_HF_TOKEN), *file = env_get(ENV_HF_TOKEN_PATH), *hf = env_get(ENV_HF_HOME);
    const char *cache = env_get(ENV_XDG_CACHE), *home = env_get(ENV_HOME);
    if (token) return mem_strdup(token, strlen(token));
    struct buf path = { 0 };
    if (file) buf_puts(&path, file);
    else if (hf) buf_printf(&path, "%s/token", hf);
    else if (cache) buf_printf(&path, "%s/huggingface/token", cache);
    else if (home) buf_printf(&path, "%s/.cache/huggingface/token", home);
    char *text = NULL;
    size_t n = 0;
    if (!path.len || path.bad || os_read_file(path.data, 4096, &text, &n, NULL) < 0) text = NULL;
    buf_release(&path);
    if (text) text[strcspn(text, " \t\r\n")] = 0;
    if (text && *text) return text;
    mem_free(text);
    return NULL;
}

const char *hub_base(const struct pull_options *o)
{
    const char *base = o->hub ? o->hub : env_get(ENV_HF_ENDPOINT);
    return base ? base : "https://huggingface.co";
}

static int set_base(struct pull *p, struct err *err)
{
    const char *base = hub_base(p->o);
    size_t n = strlen(base);
    while (n && base[n - 1] == '/') n--;
    p->token = hub_token();
    for (const char *t = p->token; t && *t; t++)
        if (*t <= 32 || *t >= 127) return err_set(err, ERR_ARG, "the token in HF_TOKEN has characters that no token has");
    return (p->base = arena_strdup(&p->arena, base, n)) ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

/* ---- the tree ---- */

static int get_json(struct pull *p, const char *url, struct json **j, struct err *err)
{
    struct buf text = { 0 };
    char what[2 * NAME_HUB_PART + 16];
    struct fetch_request r = { .url = url, .token = p->token, .alive = pull_alive, .arg = p, .stall_s = p->o->stall_s };
    fmt_into(what, sizeof what, "%s/%s/%s", p->name.host, p->name.space, p->name.model);
    *j = NULL;
    int rc = fetch_text(p->fetch, &r, PAGE_MAX, &text, err);
    if (rc < 0) rc = err_prefix(err, rc, "%s: ", what);
    if (rc == 0 && fetch_answer(p->fetch)->status != 200) rc = pull_status_error(p, what, err);
    if (rc == 0 && (rc = json_parse(j, text.data, text.len, err)) < 0) rc = err_prefix(err, rc, "%s: ", what);
    buf_release(&text);
    return rc;
}

/* The commit that main is now; all that follows is of that one. */
static int get_commit(struct tree *t, struct err *err)
{
    char url[FETCH_URL];
    struct json *j;
    size_t n;
    fmt_into(url, sizeof url, "%s/api/models/%s/%s", t->p->base, t->p->name.space, t->p->name.model);
    int rc = get_json(t->p, url, &j, err);
    if (rc < 0) return rc;
    const char *sha = json_str(json_get(j, "sha"), &n);
    bool good = sha && n == 40 && strspn(sha, "0123456789abcdef") == 40;
    if (good) fmt_into(t->commit, sizeof t->commit, "%s", sha);
    json_free(j);
    fmt_into(url, sizeof url, "%s/api/models/%s/%s/xet-read-token/%s", t->p->base, t->p->name.space, t->p->name.model, t->commit);
    if (good && !(t->p->xet = arena_strdup(&t->p->arena, url, strlen(url)))) return err_set(err, ERR_NOMEM, "out of memory");
    return good ? 0 : err_set(err, ERR_FORMAT, "the hub does not say which commit it has");
}

static int add_entry(struct tree *t, const struct json *j, struct err *err)
{
    size_t n, k;
    const struct json *lfs = json_get(j, "lfs"), *size = json_get(lfs ? lfs : j, "size");
    const char *type = json_str(json_get(j, "type"), NULL), *path = json_str(json_get(j, "path"), &n);
    const char *oid = json_str(json_get(lfs, "oid"), &k);
    if (!type || strcmp(type, "file")) return 0;
    if (!path || strlen(path) != n || !name_is_safe_path(path, NAME_FILE))
        return err_set(err, ERR_FORMAT, "the hub names a file that is no plain path: \"%.100s\"", path ? path : "");
    if (json_type(size) != JSON_INT || json_int(size) < 0)
        return err_set(err, ERR_FORMAT, "%.200s: the hub gives no size", path);
    if (oid && !sha256_is_hex(oid, k)) return err_set(err, ERR_FORMAT, "%.200s: \"%.80s\" is no SHA-256", path, oid);
    if (t->n == MAX_TREE) return err_set(err, ERR_LIMIT, "more than %d files in the repository", MAX_TREE);
    struct entry *e = &t->v[t->n];
    if (!(e->path = arena_strdup(&t->p->arena, path, n))) return err_set(err, ERR_NOMEM, "out of memory for the files");
    e->size = (uint64_t)json_int(size);
    fmt_into(e->digest, sizeof e->digest, "%s", oid ? oid : "");
    const char *git = lfs ? NULL : json_str(json_get(j, "oid"), &k);
    if (git && (k != GIT_HEX || strspn(git, "0123456789abcdef") != GIT_HEX))
        return err_set(err, ERR_FORMAT, "%.200s: \"%.80s\" is no name of git", path, git);
    fmt_into(e->git, sizeof e->git, "%s", git ? git : "");
    const char *chunks = json_str(json_get(j, "xetHash"), &k);
    if (chunks && sha256_is_hex(chunks, k)) fmt_into(e->chunks, sizeof e->chunks, "%s", chunks);
    t->n++;
    return 0;
}

static int get_tree(struct tree *t, struct err *err)
{
    char url[FETCH_URL];
    struct pull *p = t->p;
    if (!(t->v = arena_new(&p->arena, struct entry, MAX_TREE))) return err_set(err, ERR_NOMEM, "out of memory for the files");
    int rc = get_commit(t, err);
    fmt_into(url, sizeof url, "%s/api/models/%s/%s/tree/%s?recursive=true", p->base, p->name.space, p->name.model, t->commit);
    for (int page = 0; rc == 0; page++) {
        struct json *j;
        if (page == 100) return err_set(err, ERR_LIMIT, "more than 100 pages of files");
        if ((rc = get_json(p, url, &j, err)) < 0) return rc;
        for (size_t i = 0; rc == 0 && i < json_len(j); i++) rc = add_entry(t, json_at(j, i), err);
        json_free(j);
        fmt_into(url, sizeof url, "%s", fetch_answer(p->fetch)->next);
        if (!*url) break;
        if (!fetch_same_host(url, p->base)) return err_set(err, ERR_ARG, "the hub's next page is on another host; refused");
    }
    return rc;
}

/* ---- which files ---- */

static int add_file(struct tree *t, const struct entry *e, enum layer_kind kind, struct err *err)
{
    struct pull *p = t->p;
    struct buf url = { 0 };
    struct layer l = { .kind = kind, .size = e->size, .title = e->path, .type = layer_type(kind) };
    fmt_into(l.digest, sizeof l.digest, "%s", e->digest);
    buf_printf(&url, "%s/%s/%s/resolve/%s/", p->base, p->name.space, p->name.model, t->commit);
    fetch_escape(e->path, &url);
    int rc = url.bad || url.len >= FETCH_URL ? err_set(err, ERR_LIMIT, "%s: the URL is too long", e->path)
                                             : pull_add(p, &l, url.data, e->git, err);
    if (rc == 0) fmt_into(p->item[p->n - 1].chunks, sizeof p->item->chunks, "%s", e->chunks);
    buf_release(&url);
    return rc;
}

struct firsts { const struct tree *t; const size_t *at; size_t n; };

static const char *first_name(const void *arg, size_t i)
{
    const struct firsts *f = arg;
    return i < f->n ? f->t->v[f->at[i]].path : NULL;
}

static bool is_model(const struct entry *e)
{
    unsigned part, parts;
    store_part_of(e->path, &part, &parts);
    return name_ends_with(e->path, ".gguf") && part == 1 && !name_contains(e->path, "mmproj") &&
           !name_contains(e->path, "imatrix");
}

/* The parts of a split file are named alike. */
static int add_parts(struct tree *t, const struct entry *first, struct err *err)
{
    unsigned part, parts, found = 0, at;
    size_t n = strlen(first->path);
    store_part_of(first->path, &part, &parts);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < t->n; i++) {
        const struct entry *e = &t->v[i];
        unsigned of;
        store_part_of(e->path, &at, &of);
        bool same = parts > 1 && of == parts && strlen(e->path) == n && !memcmp(e->path, first->path, n - 19);
        if (!same && e != first) continue;
        found++;
        rc = add_file(t, e, LAYER_MODEL, err);
    }
    if (rc == 0 && found != parts)
        rc = err_set(err, ERR_FORMAT, "%s: %u of its %u parts are in the repository", first->path, found, parts);
    return rc;
}

/* The projector in the same folder, else any; F16 before others. */
static int add_projector(struct tree *t, const struct entry *model, struct err *err)
{
    const struct entry *best = NULL;
    int good = 0;
    size_t n = strrchr(model->path, '/') ? (size_t)(strrchr(model->path, '/') - model->path) + 1 : 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct entry *e = &t->v[i];
        if (!name_ends_with(e->path, ".gguf") || !name_contains(e->path, "mmproj")) continue;
        int how = 1 + 2 * (strlen(e->path) > n && !memcmp(e->path, model->path, n) && !strchr(e->path + n, '/')) +
                  (name_contains(e->path, "F16") && !name_contains(e->path, "BF16"));
        if (how <= good) continue;
        good = how;
        best = e;
    }
    return best ? add_file(t, best, LAYER_PROJECTOR, err) : 0;
}

static int add_gguf(struct tree *t, const size_t *at, size_t n, struct err *err)
{
    struct name *name = &t->p->name;
    struct firsts f = { t, at, n };
    size_t i = SIZE_MAX;
    for (size_t k = 0; name->file[0] && k < n; k++)
        if (!strcmp(t->v[at[k]].path, name->file)) i = k;
    if (!name->file[0]) i = store_choose(first_name, &f, name->tag);
    if (i == SIZE_MAX) {
        struct buf list = { 0 };
        for (size_t k = 0; k < n && k < 12; k++) buf_printf(&list, "%s%s", k ? ", " : "", t->v[at[k]].path);
        int rc = err_set(err, ERR_NOTFOUND, "%s/%s has no %s; it has %s", name->space, name->model,
                         name->file[0] ? name->file : name->tag, list.data ? list.data : "nothing");
        buf_release(&list);
        return rc;
    }
    const struct entry *e = &t->v[at[i]];
    if (!name->tag[0] && !name->file[0]) {
        store_quant_of(e->path, name->tag, sizeof name->tag);
        if (!name->tag[0]) fmt_into(name->file, sizeof name->file, "%s", e->path);
    }
    int rc = add_parts(t, e, err);
    return rc == 0 ? add_projector(t, e, err) : rc;
}

/* A model in safetensors: weights, and the small files that say what they are. */
static int add_folder(struct tree *t, struct err *err)
{
    static const char *const small[] = { ".json", "tokenizer.model", "merges.txt", "vocab.txt", ".jinja" };
    bool config = false, weights = false;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < t->n; i++) {
        const struct entry *e = &t->v[i];
        if (strchr(e->path, '/')) continue;
        bool wanted = name_ends_with(e->path, ".safetensors");
        weights = weights || wanted;
        config = config || !strcmp(e->path, "config.json");
        for (size_t k = 0; k < sizeof small / sizeof *small; k++) wanted = wanted || name_ends_with(e->path, small[k]);
        if (wanted) rc = add_file(t, e, LAYER_MODEL, err);
    }
    if (rc == 0 && !(config && weights))
        rc = err_set(err, ERR_UNSUPPORTED, "%s/%s has neither GGUF files nor config.json with safetensors", t->p->name.space,
                     t->p->name.model);
    return rc;
}

int pull_plan_hub(struct pull *p, struct err *err)
{
    struct tree t = { .p = p };
    if (name_equal(p->name.tag, NAME_DEFAULT_TAG)) p->name.tag[0] = 0;
    int rc = set_base(p, err);
    if (rc == 0) rc = get_tree(&t, err);
    if (rc < 0) return rc;
    size_t *at = arena_new(&p->arena, size_t, t.n + 1), n = 0;
    if (!at) return err_set(err, ERR_NOMEM, "out of memory for the files");
    for (size_t i = 0; i < t.n; i++)
        if (is_model(&t.v[i])) at[n++] = i;
    return n || p->name.tag[0] || p->name.file[0] ? add_gguf(&t, at, n, err) : add_folder(&t, err);
}

/* ---- one file by its URL ---- */

int pull_plan_url(struct pull *p, struct err *err)
{
    char url[NAME_TEXT + 1];
    fmt_into(url, sizeof url, "%s", p->name.text);
    struct fetch_request r = { .url = url, .head = true, .alive = pull_alive, .arg = p, .stall_s = p->o->stall_s };
    int rc = fetch_do(p->fetch, &r, err);
    if (rc < 0) return rc;
    const struct fetch_answer *a = fetch_answer(p->fetch);
    if (a->status != 200) return pull_status_error(p, url, err);
    struct layer l = { .kind = LAYER_MODEL, .type = layer_type(LAYER_MODEL) };
    l.size = a->linked_size != UINT64_MAX ? a->linked_size : a->length;
    if (l.size == UINT64_MAX) return err_set(err, ERR_FORMAT, "%.200s: the server does not say how long the file is", url);
    const char *tag = a->linked_etag[0] == '"' ? a->linked_etag + 1 : a->linked_etag;
    if (sha256_is_hex(tag, strcspn(tag, "\""))) fmt_into(l.digest, sizeof l.digest, "%.64s", tag);
    /* It is kept as HOST/url/FILE:latest. */
    size_t whole = strcspn(url, "?#");
    const char *base = url + whole;
    while (base > url && base[-1] != '/') base--;
    struct name *n = &p->name;
    fmt_into(n->model, NAME_PART + 1, "%.*s", (int)(url + whole - base) - 5, base);
    for (char *c = n->model; *c; c++)
        if (!((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || strchr("_.-", *c))) *c = '_';
    if (n->model[0] == '.' || n->model[0] == '-' || !n->model[0]) n->model[0] = '_';
    fmt_into(n->space, sizeof n->space, "url");
    fmt_into(n->tag, sizeof n->tag, "%s", NAME_DEFAULT_TAG);
    n->kind = NAME_REGISTRY;
    return pull_add(p, &l, url, NULL, err);
}
