#include "store/pull.h"

#include <string.h>

#include "base/env.h"
#include "base/mem.h"
#include "base/os.h"
#include "store/download.h"

bool pull_alive(void *arg)
{
    struct pull *p = arg;
    return !p->o->progress || p->o->progress(p->o->arg, p->file ? p->file : "", p->before, p->total);
}

int pull_add(struct pull *p, const struct layer *l, const char *url, const char *git, struct err *err)
{
    enum { GROW = 64 };
    if (p->n == MANIFEST_MAX_LAYERS) return err_set(err, ERR_LIMIT, "more than %d files", MANIFEST_MAX_LAYERS);
    for (size_t i = 0; l->digest[0] && i < p->n; i++)
        if (!strcmp(p->item[i].layer.digest, l->digest) && !l->title) return 0;       /* the same file twice */
    if (p->n % GROW == 0) {
        struct pull_item *v = arena_new(&p->arena, struct pull_item, p->n + GROW);
        if (!v) return err_set(err, ERR_NOMEM, "out of memory for the plan");
        if (p->n) memcpy(v, p->item, p->n * sizeof *v);
        p->item = v;
    }
    struct pull_item *to = &p->item[p->n];
    to->layer = *l;
    fmt_into(to->git, sizeof to->git, "%s", git ? git : "");
    to->url = arena_strdup(&p->arena, url, strlen(url));
    to->layer.title = l->title ? arena_strdup(&p->arena, l->title, strlen(l->title)) : NULL;
    to->layer.type = arena_strdup(&p->arena, l->type, strlen(l->type));
    if (!to->url || !to->layer.type || (l->title && !to->layer.title))
        return err_set(err, ERR_NOMEM, "out of memory for the plan");
    if (l->size > ((uint64_t)1 << 50) - p->total) return err_set(err, ERR_LIMIT, "the model is larger than any disk");
    p->total += l->size;
    p->n++;
    return 0;
}

int pull_status_error(const struct pull *p, const char *what, struct err *err)
{
    const struct fetch_answer *a = fetch_answer(p->fetch);
    bool hub = p->name.kind == NAME_HUB;
    if (a->status == 404) return err_set(err, ERR_NOTFOUND, "%s: the server does not know it (HTTP status 404)", what);
    if (hub && (!strcmp(a->why, "GatedRepo") || a->status == 401 || a->status == 403))
        return err_set(err, ERR_ARG, "%s: the server wants permission (HTTP status %ld%s%s): accept the licence at "
                       "https://huggingface.co/%s/%s and set HF_TOKEN", what, a->status, a->why[0] ? ", " : "", a->why,
                       p->name.space, p->name.model);
    return err_set(err, ERR_IO, "%s: the server answers with HTTP status %ld", what, a->status);
}

/* ---- files ---- */

static bool item_path(const struct pull *p, const struct pull_item *it, char path[STORE_PATH])
{
    char key[SHA256_HEX + 1];
    if (it->layer.path) return strlen(it->layer.path) < STORE_PATH && (fmt_into(path, STORE_PATH, "%s", it->layer.path), true);
    if (it->layer.digest[0]) return store_blob_path(p->store, path, it->layer.digest);
    /* The name of a file whose digest is not known yet comes from where it lies. */
    return sha256_bytes(it->url, strlen(it->url), key, NULL) == 0 && store_blob_path(p->store, path, key);
}

bool pull_has(const struct pull *p, const struct pull_item *it)
{
    char path[STORE_PATH];
    struct fs_info info;
    return it->layer.digest[0] && item_path(p, it, path) && fs_info(path, &info) && info.regular && info.size == it->layer.size;
}

static uint64_t missing_bytes(const struct pull *p)
{
    uint64_t sum = 0;
    char path[STORE_PATH];
    for (size_t i = 0; i < p->n; i++) {
        if (pull_has(p, &p->item[i]) || !item_path(p, &p->item[i], path)) continue;
        uint64_t done = download_done(path);
        sum += p->item[i].layer.size - (done < p->item[i].layer.size ? done : p->item[i].layer.size);
    }
    return sum;
}

static bool on_progress(void *arg, uint64_t done)
{
    struct pull *p = arg;
    return !p->o->progress || p->o->progress(p->o->arg, p->file, p->before + done, p->total);
}

/* What came without a SHA-256 is compared with git's name for it, where the hub says one.  *again: it came out wrong. */
static int check_git(struct pull *p, const struct pull_item *it, struct download *d, bool *again, struct err *err)
{
    char part[STORE_PATH + 8], found[GIT_HEX + 1];
    *again = false;
    if (!it->git[0]) {
        if (p->o->unverified) ++*p->o->unverified;
        return 0;
    }
    fmt_into(part, sizeof part, "%s.part", d->path);
    int rc = git_blob_file(part, found, err);
    if (rc < 0 || !strcmp(found, it->git)) return rc;
    *again = true;
    download_drop(d);
    return err_set(err, ERR_FORMAT, "%.200s: came with git's SHA-1 %s instead of %s; nothing was kept", d->url, found, it->git);
}

static int fetch_item(struct pull *p, struct pull_item *it, struct err *err)
{
    enum { ATTEMPTS = 3 };
    char path[STORE_PATH], blob[STORE_PATH], found[SHA256_HEX + 1];
    if (!item_path(p, it, path)) return err_set(err, ERR_LIMIT, "the path of the store is too long");
    const char *digest = it->layer.digest[0] ? it->layer.digest : NULL;
    struct download d = { .url = it->url, .token = p->token, .path = path, .digest = digest,
                          .size = it->layer.size, .workers = p->o->workers, .stall_s = p->o->stall_s, .tries = p->o->tries,
                          .progress = on_progress, .arg = p };
    struct xet x = { .hub = p->xet, .token = p->token, .hash = it->chunks };
    if (p->xet && it->chunks[0] && (p->o->chunks || it->layer.size > XET_ABOVE)) d.xet = &x;
    int rc = 0;
    bool again = true;
    for (int i = 0; again && i < ATTEMPTS; i++) {
        rc = download_run(&d, found, err);
        if (rc < 0 || d.digest) break;
        rc = check_git(p, it, &d, &again, err);
    }
    xet_release(&x);
    if (rc == 0 && d.digest) return 0;
    if (rc == 0 && !store_blob_path(p->store, blob, found)) rc = err_set(err, ERR_LIMIT, "the path of the store is too long");
    if (rc == 0) fmt_into(it->layer.digest, sizeof it->layer.digest, "%s", found);
    if (rc == 0) return download_keep(&d, blob, err);
    download_leave(&d);
    return rc;
}

int pull_items(struct pull *p, struct err *err)
{
    uint64_t missing = missing_bytes(p);
    int rc = store_check_space(p->store, missing, err);
    if (rc == 0 && p->o->planned && !p->o->planned(p->o->arg, p->total, missing)) rc = err_set(err, ERR_CANCELLED, "not wanted");
    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        struct pull_item *it = &p->item[i];
        p->file = it->layer.title ? it->layer.title : it->layer.digest;
        if (!pull_has(p, it)) rc = fetch_item(p, it, err);
        p->before += it->layer.size;
        if (rc == 0 && !pull_alive(p)) rc = err_set(err, ERR_CANCELLED, "interrupted");
    }
    return rc;
}

/* ---- what it consists of ---- */

static int write_manifest(struct pull *p, struct err *err)
{
    struct manifest m = { 0 };
    struct buf text = { 0 };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        if (p->item[i].layer.path) p->manifest = NULL;          /* the registry's own does not say where that lies */
        if (!manifest_add(&m, &p->item[i].layer)) rc = err_set(err, ERR_NOMEM, "out of memory for the manifest");
    }
    if (rc == 0) rc = store_make_view(p->store, &m, err);
    if (rc == 0 && !p->manifest) manifest_write(&m, &text);
    if (rc == 0 && text.bad) rc = err_set(err, ERR_NOMEM, "out of memory for the manifest");
    if (rc == 0) rc = store_write_manifest(p->store, &p->name, p->manifest ? p->manifest : text.data,
                                           p->manifest ? p->n_manifest : text.len, err);
    buf_release(&text);
    manifest_release(&m);
    return rc;
}

int pull_plan(struct pull *p, struct err *err)
{
    if (p->name.kind == NAME_REGISTRY) return pull_plan_registry(p, err);
    if (p->name.kind == NAME_HUB) return pull_plan_hub(p, err);
    if (p->name.kind == NAME_URL) return pull_plan_url(p, err);
    return err_set(err, ERR_ARG, "\"%.200s\" is a path; there is nothing to fetch", p->name.text);
}

static int work(struct pull *p, struct err *err)
{
    int rc = store_make_blobs(p->store, err);
    if (rc == 0) rc = store_lock_shared(p->store, &p->lock, err);
    if (rc == 0) rc = fetch_open(&p->fetch, err);
    if (rc == 0) rc = pull_plan(p, err);
    if (rc == 0) rc = pull_in_place(p, err);
    if (rc == 0) rc = pull_items(p, err);
    return rc == 0 ? write_manifest(p, err) : rc;
}

void pull_release(struct pull *p)
{
    fetch_close(p->fetch);
    fs_file_close(p->lock);
    mem_free(p->token);
    arena_release(&p->arena);
}

int pull_model(struct store *s, const struct name *n, const struct pull_options *o, struct name *kept, struct err *err)
{
    struct pull p = { .store = s, .o = o, .name = *n };
    int rc = work(&p, err);
    if (kept) *kept = p.name;
    pull_release(&p);
    return rc;
}

int pull_check_host(const struct name *n, struct err *err)
{
    struct store s;
    int rc = store_open(&s, err);
    if (rc < 0) return rc;
    if (!pull_host_is_known(&s, n))
        rc = err_set(err, ERR_DENIED, "models of \"%.200s\" are not fetched for clients; a line with that host in the file "
                     "\"hosts\" of the model store allows it", n->host);
    store_close(&s);
    return rc;
}

bool pull_host_is_known(const struct store *s, const struct name *n)
{
    char path[STORE_PATH], *text;
    size_t len;
    bool known = n->kind == NAME_HUB || (n->kind == NAME_REGISTRY && !n->plain && name_equal(n->host, NAME_DEFAULT_HOST));
    if (known || n->kind == NAME_PATH || !store_path(s, path, "hosts", NULL)) return known;
    if (os_read_file(path, 1 << 20, &text, &len, NULL) < 0) return false;
    for (char *line = text, *end; *line && !known; line = end) {
        end = line + strcspn(line, "\r\n");
        if (*end) *end++ = 0;
        known = *line && name_equal(line, n->host);
    }
    mem_free(text);
    return known;
}
