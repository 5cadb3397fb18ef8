#include "server/feed.h"

#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "server/api_put.h"

#define PING_NS UINT64_C(15000000000)

enum status { UNLOADED, LOADING, LOADED };
struct feed_one { char path[512], name[SERVER_MODEL_NAME]; enum status status; };

/* With the lock held; NULL: out of memory. */
static struct feed_one *one_of(struct feed *f, const char *path)
{
    for (size_t i = 0; i < FEED_MODELS; i++)
        if (f->one[i] && !strcmp(f->one[i]->path, path)) return f->one[i];
    struct feed_one *fresh = mem_new(1, sizeof *fresh);
    if (!fresh || strlen(path) >= sizeof fresh->path) {
        mem_free(fresh);
        return NULL;
    }
    struct feed_one **at = &f->one[f->n_made++ % FEED_MODELS];
    mem_free(*at);
    *at = fresh;
    fmt_into(fresh->path, sizeof fresh->path, "%s", path);
    fmt_into(fresh->name, sizeof fresh->name, "%s", fs_base_name(path));     /* folders are nobody's business */
    return fresh;
}

void feed_name(struct feed *f, const char *path, const char *name)
{
    lock_take(&f->lock);
    struct feed_one *one = one_of(f, path);
    if (one && strcmp(one->name, name)) fmt_into(one->name, sizeof one->name, "%s", name);
    lock_give(&f->lock);
}

/* ---- speaking ---- */

/* With the lock held.  One that does not take it is let go when it is looked at next. */
static void write_all(struct feed *f, const struct buf *b)
{
    if (b->bad) return;
    for (size_t i = 0; i < f->n; i++) exchange_write(f->listener[i], b->data, b->len);
    f->spoke = os_now_ns();
}

static void say(struct feed *f, const char *model, const char *event, const char *data)
{
    struct buf b = { 0 };
    if (!f->n) return;
    buf_puts(&b, "data: ");
    api_put(&b, "{'model':%s,'event':%s,'data':%r}", model, event, data);
    buf_puts(&b, "\n\n");
    write_all(f, &b);
    buf_release(&b);
}

void feed_say(struct feed *f, const char *model, const char *event, const char *data)
{
    lock_take(&f->lock);
    say(f, model, event, data);
    lock_give(&f->lock);
}

static void say_form(struct feed *f, const char *model, const char *event, const struct buf *data)
{
    if (!data->bad) say(f, model, event, data->data);
}

/* A model that has gone because something went wrong. */
static void fails(struct feed *f, struct feed_one *one)
{
    one->status = UNLOADED;
    say(f, one->name, "model_status", "{\"status\":\"unloaded\",\"failed\":true,\"exit_code\":1}");
}

void feed_model(struct feed *f, const struct json *event)
{
    const char *path = json_str(json_get(event, "model"), NULL);
    const struct json *state = json_get(event, "state");
    lock_take(&f->lock);
    for (size_t i = 0; !event && i < FEED_MODELS; i++)
        if (f->one[i] && f->one[i]->status != UNLOADED) fails(f, f->one[i]);
    struct feed_one *one = path ? one_of(f, path) : NULL;
    if (one && (api_is(state, "loading") || api_is(state, "waiting"))) {
        struct buf b = { 0 };
        one->status = LOADING;
        api_put(&b, "{'status':'loading','progress':{'done':%d,'total':%d}}", json_int(json_get(event, "done")),
                json_int(json_get(event, "total")));
        say_form(f, one->name, "model_status", &b);
        buf_release(&b);
    } else if (one && api_is(state, "ready")) {
        one->status = LOADED;
        say(f, one->name, "model_status", "{\"status\":\"loaded\"}");
    } else if (one && api_is(state, "gone")) {
        one->status = UNLOADED;
        say(f, one->name, "model_status", "{\"status\":\"unloaded\",\"exit_code\":0}");
    } else if (one)
        fails(f, one);
    lock_give(&f->lock);
}

void feed_pull(struct feed *f, const struct api_pull_info *i)
{
    struct buf b = { 0 };
    if (i->state == PULL_RUNNING)
        api_put(&b, "{'progress':{%s:{'done':%u,'total':%u}}}", i->file, i->done, i->total);
    else if (i->state == PULL_FAILED) api_put(&b, "{'error':%s}", i->message);
    else buf_puts(&b, "{}");
    lock_take(&f->lock);
    say_form(f, i->name, i->state == PULL_RUNNING ? "download_progress" : i->state == PULL_DONE ? "download_finished"
                                                                                               : "download_failed", &b);
    lock_give(&f->lock);
    buf_release(&b);
}

/* ---- listening ---- */

void feed_get(struct exchange *x)
{
    struct feed *f = server_feed(exchange_server(x));
    lock_take(&f->lock);
    bool stopped = f->stopped, full = f->n == FEED_LISTENERS;
    if (!stopped && !full) {
        exchange_hold(x, NULL);
        exchange_stream(x, "text/event-stream");
        exchange_write(x, ":\n\n", 3);                        /* so that its head goes out */
        f->listener[f->n++] = x;
    }
    lock_give(&f->lock);
    if (stopped) exchange_fail(x, 503, "draining", "the server is shutting down");
    else if (full) exchange_fail(x, 429, "busy", "too many listen already");
}

/* Takes those out who have gone, or all. */
static void let_go(struct feed *f, bool all)
{
    struct exchange *gone[FEED_LISTENERS];
    size_t n = 0, kept = 0;
    lock_take(&f->lock);
    for (size_t i = 0; i < f->n; i++) {
        struct exchange *x = f->listener[i];
        if (all || exchange_gone(x)) gone[n++] = x;
        else f->listener[kept++] = x;
    }
    f->n = kept;
    lock_give(&f->lock);
    for (size_t i = 0; i < n; i++) exchange_release(gone[i]);  /* which ends the stream */
}

void feed_look(struct feed *f, uint64_t now)
{
    lock_take(&f->lock);
    bool any = f->n > 0;
    struct buf b = { 0 };
    if (any && now > f->spoke && now - f->spoke > PING_NS) {
        buf_puts(&b, ":\n\n");
        write_all(f, &b);
    }
    lock_give(&f->lock);
    buf_release(&b);
    if (any) let_go(f, false);
}

void feed_stop(struct feed *f)
{
    lock_take(&f->lock);
    f->stopped = true;
    lock_give(&f->lock);
    let_go(f, true);
}

void feed_free(struct feed *f)
{
    for (size_t i = 0; i < FEED_MODELS; i++) mem_free(f->one[i]);
}
