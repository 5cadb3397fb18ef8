/* The protocol of Ollama's registry, which is that of container registries: a manifest by name, blobs by digest. */
#include <string.h>

#include "base/ed25519.h"
#include "base/env.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/os.h"
#include "store/pull.h"

static const char accept[] = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, "
                             "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.index.v1+json";

static const char *base_of(struct pull *p)
{
    const char *mirror = p->o->registry ? p->o->registry : env_get(ENV_REGISTRY);
    struct buf b = { 0 };
    if (mirror && name_equal(p->name.host, NAME_DEFAULT_HOST)) buf_puts(&b, mirror);
    else buf_printf(&b, "%s://%s", p->name.plain || name_is_loopback(p->name.host) ? "http" : "https", p->name.host);
    while (b.len && b.data[b.len - 1] == '/') b.len--;
    const char *base = b.bad ? NULL : arena_strdup(&p->arena, b.data, b.len);
    buf_release(&b);
    return base;
}

/* ---- permission ---- */

/* The value of key="..." in a WWW-Authenticate field. */
static bool field_of(const char *s, const char *key, char *dst, size_t n)
{
    size_t k = strlen(key);
    for (const char *at = s; (at = strstr(at, key)) != NULL; at += k) {
        if (at[k] != '=' || at[k + 1] != '"' || (at > s && at[-1] != ' ' && at[-1] != ',')) continue;
        const char *end = strchr(at + k + 2, '"');
        if (!end || (size_t)(end - at) - k - 2 >= n) return false;
        fmt_into(dst, n, "%.*s", (int)(end - at - (long)k - 2), at + k + 2);
        return true;
    }
    return false;
}

/* Who gives permission must be the registry itself, or the one that is known to do it for it: nobody else is asked, whatever the
 * answer says. */
static bool is_trusted_realm(const char *base, const char *realm)
{
    static const struct { const char *registry, *realm; } known[] = {
        { "https://registry.ollama.ai", "https://ollama.com" },
        { "https://registry-1.docker.io", "https://auth.docker.io" },
    };
    if (fetch_same_host(base, realm)) return true;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (fetch_same_host(base, known[i].registry) && fetch_same_host(realm, known[i].realm)) return true;
    return false;
}

static int read_token(struct pull *p, const struct buf *text, struct err *err)
{
    struct json *j;
    size_t n;
    int rc = json_parse(&j, text->data, text->len, err);
    if (rc < 0) return err_prefix(err, rc, "the registry's token: ");
    const char *token = json_str(json_get(j, "token"), &n);
    if (!token) token = json_str(json_get(j, "access_token"), &n);
    mem_free(p->token);
    p->token = NULL;
    bool good = token && n && n < 16384;
    for (size_t i = 0; good && i < n; i++) good = token[i] > 32 && token[i] < 127;
    if (!good) rc = err_set(err, ERR_FORMAT, "the registry gave no good token");
    else if (!(p->token = mem_strdup(token, n))) rc = err_set(err, ERR_NOMEM, "out of memory");
    json_free(j);
    return rc;
}

/* The key by which the registry knows the user: the one that Ollama made, told to ollama.com.  *there: there is one. */
static int read_key(struct ed25519 *k, bool *there, struct err *err)
{
    struct buf path = { 0 };
    const char *home = env_get(ENV_HOME);
    char *text = NULL;
    size_t n = 0;
    *there = false;
    if (!home) return 0;
    buf_printf(&path, "%s/.ollama/id_ed25519", home);
    int rc = path.bad ? err_set(err, ERR_NOMEM, "out of memory") : 0;
    if (rc == 0 && os_file_exists(path.data)) {
        *there = true;
        rc = os_read_file(path.data, 1 << 16, &text, &n, err);
        if (rc == 0 && (rc = ed25519_read(k, text, n, err)) < 0) rc = err_prefix(err, rc, "%s: ", path.data);
        if (text) memset(text, 0, n);
        mem_free(text);
    }
    buf_release(&path);
    return rc;
}

/* Adds what the signature is about to the URL, and signs: GET, the URL, and the digest of an empty body. */
static int sign_url(struct buf *url, struct buf *signature, bool *there, struct err *err)
{
    static const char empty[] = "ZTNiMGM0NDI5OGZjMWMxNDlhZmJmNGM4OTk2ZmI5MjQyN2FlNDFlNDY0OWI5MzRjYTQ5NTk5MWI3ODUyYjg1NQ==";
    struct ed25519 k;
    struct buf text = { 0 };
    int rc = read_key(&k, there, err);
    if (rc < 0 || !*there) return rc;
    buf_printf(url, "&ts=%lld&nonce=%016llx%05xg", (long long)os_wall_s(), (unsigned long long)os_random64(),
               (unsigned)(os_random64() & 0xfffff));           /* 16 bytes, as base64 reads it */
    buf_printf(&text, "GET,%s,%s", url->data, empty);
    rc = url->bad || text.bad ? err_set(err, ERR_NOMEM, "out of memory") : ed25519_sign(&k, text.data, text.len, signature, err);
    ed25519_forget(&k);
    buf_release(&text);
    return rc;
}

/* A token, as the answer with status 401 asks for: of nobody, or signed by the user.  *there: there is a key to sign with. */
static int get_token(struct pull *p, const char *auth, bool sign, bool *there, struct err *err)
{
    char realm[FETCH_FIELD], service[FETCH_FIELD] = "", scope[FETCH_FIELD] = "";
    if (strncmp(auth, "Bearer ", 7) || !field_of(auth + 7, "realm", realm, sizeof realm))
        return err_set(err, ERR_ARG, "%s wants permission in a way that is not known here", p->base);
    field_of(auth + 7, "service", service, sizeof service);
    field_of(auth + 7, "scope", scope, sizeof scope);
    if (!is_trusted_realm(p->base, realm))
        return err_set(err, ERR_ARG, "%s sends us to %.200s for permission, which does not belong to it; refused", p->base,
                       realm);
    struct buf url = { 0 }, text = { 0 }, signature = { 0 };
    buf_printf(&url, "%s%sservice=", realm, strchr(realm, '?') ? "&" : "?");
    fetch_escape(service, &url);
    buf_puts(&url, "&scope=");
    fetch_escape(scope, &url);
    int rc = url.bad ? err_set(err, ERR_NOMEM, "out of memory") : 0;
    if (rc == 0 && sign) rc = sign_url(&url, &signature, there, err);
    if (rc == 0 && (!sign || *there)) {
        struct fetch_request r = { .url = url.data, .signature = signature.data, .alive = pull_alive, .arg = p,
                                   .stall_s = p->o->stall_s };
        rc = fetch_text(p->fetch, &r, 1 << 20, &text, err);
        if (rc == 0 && fetch_answer(p->fetch)->status != 200) rc = pull_status_error(p, realm, err);
        if (rc == 0) rc = read_token(p, &text, err);
    }
    buf_release(&url);
    buf_release(&text);
    buf_release(&signature);
    return rc;
}

enum who { NOBODY, ANYBODY, USER };

/* Asks for permission as the next in this row, when *err says why the last was refused; as the user only where Ollama's key is
 * known, and only when others are refused: what is fetched is nobody's business. */
static int identify(struct pull *p, const char *auth, enum who *who, struct err *err)
{
    int rc = *who == NOBODY ? get_token(p, auth, false, NULL, err) : err->code;
    if (*who == NOBODY && (rc == 0 || rc == ERR_CANCELLED)) {
        *who = ANYBODY;
        return rc;
    }
    struct err own;
    bool there = false;
    *who = USER;
    if (!name_equal(p->name.host, NAME_DEFAULT_HOST)) return rc;
    int signing = get_token(p, auth, true, &there, &own);
    if (signing < 0) *err = own;
    return signing < 0 ? signing : there ? 0 : rc;
}

/* ---- the manifest ---- */

static int get_manifest(struct pull *p, const char *reference, struct buf *text, struct err *err)
{
    char url[FETCH_URL], what[2 * NAME_HUB_PART + NAME_HOST + NAME_PART];
    const struct name *n = &p->name;
    fmt_into(url, sizeof url, "%s/v2/%s/%s/manifests/%s", p->base, n->space, n->model, reference);
    fmt_into(what, sizeof what, "%s/%s:%s", n->space, n->model, n->tag);
    struct fetch_request r = { .url = url, .accept = accept, .alive = pull_alive, .arg = p, .stall_s = p->o->stall_s };
    char auth[FETCH_FIELD] = "";
    for (enum who who = NOBODY;;) {
        buf_release(text);
        r.token = p->token;
        int rc = fetch_text(p->fetch, &r, MANIFEST_MAX, text, err);
        if (rc < 0) return err_prefix(err, rc, "%s: ", what);
        long status = fetch_answer(p->fetch)->status;
        if (status == 200) return 0;
        bool hidden = status == 404 && strcmp(n->space, "library") != 0;
        if (status == 401 && who == NOBODY) fmt_into(auth, sizeof auth, "%s", fetch_answer(p->fetch)->auth);
        rc = pull_status_error(p, what, err);
        if (!*auth || who == USER || !(status == 401 || status == 403 || hidden)) return rc;
        if ((rc = identify(p, auth, &who, err)) < 0) return rc;
    }
}

static int read_manifest(struct pull *p, struct buf *text, struct manifest *m, struct err *err)
{
    char reference[SHA256_HEX + 8], hex[SHA256_HEX + 1];
    int rc = get_manifest(p, p->name.tag, text, err);
    if (rc == 0) rc = manifest_parse(m, text->data, text->len, true, err);
    if (rc < 0 || !m->child[0]) return rc;
    fmt_into(hex, sizeof hex, "%s", m->child);
    fmt_into(reference, sizeof reference, "sha256:%s", hex);
    manifest_release(m);
    if ((rc = get_manifest(p, reference, text, err)) < 0) return rc;
    char found[SHA256_HEX + 1];
    rc = sha256_bytes(text->data, text->len, found, err);
    if (rc == 0 && strcmp(found, hex)) rc = err_set(err, ERR_FORMAT, "the manifest has SHA-256 %s instead of %s", found, hex);
    if (rc == 0) rc = manifest_parse(m, text->data, text->len, true, err);
    if (rc == 0 && m->child[0]) rc = err_set(err, ERR_UNSUPPORTED, "a list of lists of manifests");
    return rc;
}

int pull_plan_registry(struct pull *p, struct err *err)
{
    struct buf text = { 0 };
    struct manifest m = { 0 };
    char url[FETCH_URL];
    if (!(p->base = base_of(p))) return err_set(err, ERR_NOMEM, "out of memory");
    int rc = read_manifest(p, &text, &m, err);
    bool model = false;
    for (size_t i = 0; rc == 0 && i < m.n; i++) {
        const struct layer *l = &m.layer[i];
        model = model || l->kind == LAYER_MODEL;
        fmt_into(url, sizeof url, "%s/v2/%s/%s/blobs/sha256:%s", p->base, p->name.space, p->name.model, l->digest);
        rc = pull_add(p, l, url, NULL, err);
    }
    if (rc == 0 && !model)
        rc = err_set(err, ERR_UNSUPPORTED, "%s:%s has no model in GGUF format: it runs elsewhere, or consists of other files",
                     p->name.model, p->name.tag);
    if (rc == 0 && !(p->manifest = arena_strdup(&p->arena, text.data, text.len))) rc = err_set(err, ERR_NOMEM, "out of memory");
    p->n_manifest = text.len;
    buf_release(&text);
    manifest_release(&m);
    return rc;
}
