#include "app/running.h"

#include "base/env.h"
#include "server/client.h"

enum { TIMEOUT_MS = 60000 };

static int refused(int status, const struct buf *body, struct err *err)
{
    struct json *j = NULL;
    const char *text = NULL;
    if (body->data && json_parse(&j, body->data, body->len, NULL) == 0) {
        const struct json *e = json_get(j, "error");
        text = json_type(e) == JSON_OBJECT ? json_str(json_get(e, "message"), NULL) : json_str(e, NULL);
    }
    err_set(err, status == 404 ? ERR_NOTFOUND : ERR_IO, "the server said %d: %.300s", status, text ? text : "no more");
    json_free(j);
    return err ? err->code : ERR_IO;
}

int running_ask(const struct running *r, const char *method, const char *path, const char *body, struct json **answer,
                struct err *err)
{
    struct client_question q = { r->host ? r->host : "127.0.0.1:11434", method, path,
                                 r->key ? r->key : env_get(ENV_API_KEY), body, TIMEOUT_MS };
    struct buf b = { 0 };
    int status = 0;
    *answer = NULL;
    int rc = client_ask(&q, &status, &b, err);
    if (rc == ERR_NOTFOUND)
        err_set(err, rc, "no server answers at %.100s; start one with `hearth serve`, or say --host", q.address);
    if (rc == 0 && status / 100 != 2) rc = refused(status, &b, err);
    else if (rc == 0) rc = json_parse(answer, b.data ? b.data : "", b.len, err);
    buf_release(&b);
    return rc;
}
