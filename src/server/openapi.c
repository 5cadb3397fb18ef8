/* openapi.c - GET /openapi.json: what there is, made from the tables of routes. */
#include <string.h>

#include "server/http_impl.h"

static bool put_str(struct json *o, const char *key, const char *value)
{
    return json_put(o, key, json_new_str(value, strlen(value)));
}

/* "{id*}" is written "{id}" there. */
static void plain_path(const char *path, char *dst, size_t n)
{
    size_t k = 0;
    for (; *path && k + 1 < n; path++)
        if (*path != '*') dst[k++] = *path;
    dst[k] = 0;
}

static bool put_parameters(struct json *op, const char *path)
{
    struct json *list = json_new_array();
    bool ok = list != NULL;
    for (const char *p = strchr(path, '{'); ok && p; p = strchr(p + 1, '{')) {
        struct json *o = json_new_object(), *schema = json_new_object();
        ok = json_put(o, "name", json_new_str(p + 1, strcspn(p + 1, "*}"))) && put_str(o, "in", "path") &&
             json_put(o, "required", json_new_bool(true)) && put_str(schema, "type", "string");
        ok = json_put(o, "schema", schema) && ok;
        ok = json_push(list, o) && ok;
    }
    if (ok && json_len(list)) return json_put(op, "parameters", list);
    json_free(list);
    return ok;
}

static bool put_body(struct json *op, enum body body)
{
    if (body == BODY_NONE) return true;
    struct json *o = json_new_object(), *content = json_new_object(), *media = json_new_object(), *schema = json_new_object();
    bool ok = put_str(schema, "type", body == BODY_JSON ? "object" : "string");
    ok = json_put(media, "schema", schema) && ok;
    ok = json_put(content, body == BODY_JSON ? "application/json" : "application/octet-stream", media) && ok;
    ok = json_put(o, "content", content) && ok;
    return json_put(op, "requestBody", o) && ok;
}

static bool put_responses(struct json *op)
{
    struct json *all = json_new_object(), *ok_ = json_new_object(), *bad = json_new_object();
    bool ok = put_str(ok_, "description", "the answer") && put_str(bad, "description", "an error, as this dialect writes them");
    ok = json_put(all, "200", ok_) && ok;
    ok = json_put(all, "default", bad) && ok;
    return json_put(op, "responses", all) && ok;
}

static bool put_route(struct json *paths, const struct route *r, const char *tag)
{
    char path[256], method[16];
    size_t n = 0;
    plain_path(r->path, path, sizeof path);
    for (; r->method[n] && n + 1 < sizeof method; n++) method[n] = (char)(r->method[n] | 0x20);
    method[n] = 0;
    struct json *at = json_get(paths, path);
    if (!at && !json_put(paths, path, json_new_object())) return false;
    at = json_get(paths, path);
    if (json_get(at, method)) return true;                    /* the first counts */
    struct json *op = json_new_object(), *tags = json_new_array(), *needs = json_new_array(), *key = json_new_object();
    bool ok = json_push(tags, json_new_str(tag, strlen(tag)));
    ok = json_put(op, "tags", tags) && ok;
    if (r->summary) ok = put_str(op, "summary", r->summary) && ok;
    ok = put_parameters(op, r->path) && put_body(op, r->body) && put_responses(op) && ok;
    if (r->role != ROLE_NONE) ok = json_put(key, "key", json_new_array()) && json_push(needs, json_share(key)) && ok;
    ok = json_put(op, "security", needs) && ok;
    json_free(key);
    return json_put(at, method, op) && ok;
}

static bool put_head(struct json *o)
{
    struct json *info = json_new_object(), *parts = json_new_object(), *schemes = json_new_object(), *key = json_new_object();
    bool ok = put_str(o, "openapi", "3.1.0") && put_str(info, "title", "Hearth") && put_str(info, "version", HEARTH_VERSION);
    ok = json_put(o, "info", info) && ok;
    ok = put_str(key, "type", "http") && put_str(key, "scheme", "bearer") && ok;
    ok = json_put(schemes, "key", key) && ok;
    ok = json_put(parts, "securitySchemes", schemes) && ok;
    return json_put(o, "components", parts) && ok;
}

void openapi_get(struct exchange *x)
{
    struct json *o = json_new_object(), *paths = json_new_object();
    const char *tag;
    const struct route *r;
    bool ok = o && paths && put_head(o);
    for (size_t i = 0; ok && (r = server_table(i, &tag)) != NULL; i++)
        for (; ok && r->path; r++) ok = put_route(paths, r, tag);
    ok = json_put(o, "paths", paths) && ok;
    if (!ok) json_free(o);
    exchange_json(x, 200, ok ? o : NULL);
}
