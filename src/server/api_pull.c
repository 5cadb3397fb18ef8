#include "server/api_pull.h"

#include <string.h>

#include "base/fs.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/proc.h"
#include "server/api_put.h"
#include "store/name.h"
#include "store/pull.h"

enum { MAX_KNOWN = 64, MAX_RUNNING = 8, MAX_LINE = 64 << 10 };

struct one { struct api_pull_info info; unsigned waiting; bool alone, used; };

struct api_pulls {
    struct lock lock;
    struct api_works *works;
    struct one one[MAX_KNOWN];
    api_pull_fn *tell;
    void *arg;
};

struct api_pulls *api_pulls_new(struct api_works *works)
{
    struct api_pulls *p = mem_new(1, sizeof *p);
    if (p) p->works = works;
    return p;
}

void api_pulls_free(struct api_pulls *p) { mem_free(p); }

void api_pulls_tell(struct api_pulls *p, api_pull_fn *fn, void *arg)
{
    p->tell = fn;
    p->arg = arg;
}

static struct one *find(struct api_pulls *p, const char *id)
{
    for (size_t i = 0; i < MAX_KNOWN; i++)
        if (p->one[i].used && !strcmp(p->one[i].info.id, id)) return &p->one[i];
    return NULL;
}

bool api_pull_info(struct api_pulls *p, const char *id, struct api_pull_info *out)
{
    lock_take(&p->lock);
    const struct one *o = find(p, id);
    if (o) *out = o->info;
    lock_give(&p->lock);
    return o != NULL;
}

void api_pull_leave(struct api_pulls *p, const char *id)
{
    lock_take(&p->lock);
    struct one *o = find(p, id);
    if (o && o->waiting) o->waiting--;
    lock_give(&p->lock);
}

/* ---- the child ---- */

struct run {
    struct api_pulls *p;
    char id[API_PULL_ID], name[API_PULL_NAME];
    struct chan *chan;
    struct proc *proc;
    struct buf line;
};

static void run_free(void *own)
{
    struct run *r = own;
    proc_free(r->proc);
    chan_close(r->chan);
    buf_release(&r->line);
    mem_free(r);
}

static void tell(const struct api_pulls *p, const struct api_pull_info *i)
{
    if (p->tell && i->id[0]) p->tell(p->arg, i);
}

static void take_line(struct run *r, const char *text, size_t n)
{
    struct json *j;
    struct api_pull_info now = { .id = "" };           /* when there is something to tell */
    if (json_parse(&j, text, n, NULL) < 0) return;
    const char *file = json_str(json_get(j, "file"), NULL), *error = json_str(json_get(j, "error"), NULL);
    lock_take(&r->p->lock);
    struct one *o = find(r->p, r->id);
    if (o && api_is(json_get(j, "status"), "success")) o->info.state = PULL_DONE;
    else if (o && error) fmt_into(o->info.message, sizeof o->info.message, "%s", error);
    else if (o && json_get(j, "total")) {
        o->info.done = (uint64_t)json_int(json_get(j, "completed"));
        o->info.total = (uint64_t)json_int(json_get(j, "total"));
        o->info.per_second = json_num(json_get(j, "bytes_per_second"));
        fmt_into(o->info.file, sizeof o->info.file, "%s", file ? file : "");
        now = o->info;
    }
    lock_give(&r->p->lock);
    tell(r->p, &now);
    json_free(j);
}

/* Whole lines of what has come; false: the child says too much in one. */
static bool take_lines(struct run *r)
{
    char *nl;
    while (r->line.len && (nl = memchr(r->line.data, '\n', r->line.len)) != NULL) {
        size_t n = (size_t)(nl - r->line.data);
        take_line(r, r->line.data, n);
        memmove(r->line.data, nl + 1, r->line.len - n - 1);
        r->line.len -= n + 1;
    }
    return !r->line.bad && r->line.len < MAX_LINE;
}

/* One that is not wanted can be joined no more. */
static bool wanted(struct run *r, const struct api_work *w)
{
    lock_take(&r->p->lock);
    struct one *o = find(r->p, r->id);
    bool yes = o && (o->waiting || o->alone) && !api_work_stopped(w);
    if (o && !yes && o->info.state == PULL_RUNNING) o->info.state = PULL_FAILED;
    lock_give(&r->p->lock);
    return yes;
}

static void finish(struct run *r, bool stopped)
{
    struct api_pull_info now = { .id = "" };
    lock_take(&r->p->lock);
    struct one *o = find(r->p, r->id);
    if (o) {
        bool good = o->info.state == PULL_DONE;
        if (good && o->info.total) o->info.done = o->info.total;
        if (!good) o->info.state = PULL_FAILED;
        if (!good && !o->info.message[0])
            fmt_into(o->info.message, sizeof o->info.message, "%s",
                     stopped ? "nobody waited for it any more" : "the download ended early");
        o->info.ended = os_wall_s();
        o->alone = false;
        now = o->info;
    }
    lock_give(&r->p->lock);
    tell(r->p, &now);
}

static void run_pull(struct api_work *w, void *own)
{
    struct run *r = own;
    char piece[4096];
    bool open = true, stopped = false;
    while (open && !stopped) {
        chan_wait(r->chan, false, 200);
        int64_t n;
        while (open && (n = chan_read(r->chan, piece, sizeof piece)) != 0) {
            if (n > 0) buf_put(&r->line, piece, (size_t)n);
            open = n != CHAN_CLOSED && take_lines(r);
        }
        stopped = !wanted(r, w);
    }
    if (stopped) proc_kill(r->proc);
    finish(r, stopped);
}

static int start(struct api_pulls *p, const char *id, const char *name, struct err *err)
{
    struct run *r = mem_new(1, sizeof *r);
    int fd = -1;
    if (!r) return err_set(err, ERR_NOMEM, "out of memory for a download");
    r->p = p;
    fmt_into(r->id, sizeof r->id, "%s", id);
    fmt_into(r->name, sizeof r->name, "%s", name);
    const char *const args[] = { "pull", "--json", "--yes", "--to-parent", "--", r->name, NULL };
    int rc = chan_pair(&r->chan, &fd, err);
    if (rc == 0) rc = proc_start(&r->proc, NULL, args, fd, err);
    if (rc == 0) return api_work_start(p->works, NULL, &(struct api_task){ run_pull, r, run_free }, err);
    run_free(r);
    return rc;
}

/* ---- who wants one ---- */

/* What a client calls a model, as `hearth pull` takes it: never a path, never an address of a file, and of a known host. */
static int name_of(const char *model, char out[API_PULL_NAME], struct err *err)
{
    struct name n;
    struct buf b = { 0 };
    int rc = name_parse(&n, model, err);
    if (rc == 0 && n.kind != NAME_REGISTRY && n.kind != NAME_HUB)
        rc = err_set(err, ERR_ARG, "\"%.100s\" is no name of a registry or hub", model);
    if (rc == 0) rc = pull_check_host(&n, err);
    if (rc < 0) return rc;
    name_put(&n, &b);
    if (b.bad || !b.data || b.len >= API_PULL_NAME) rc = err_set(err, ERR_LIMIT, "the name of the model is too long");
    else memcpy(out, b.data, b.len + 1);
    buf_release(&b);
    return rc;
}

/* A place for another; those that ended longest ago are forgotten.  NULL: too many run. */
static struct one *place(struct api_pulls *p)
{
    struct one *best = NULL;
    unsigned running = 0;
    for (size_t i = 0; i < MAX_KNOWN; i++) {
        struct one *o = &p->one[i];
        if (o->used && o->info.state == PULL_RUNNING) {
            running++;
            continue;
        }
        if (o->used && o->waiting) continue;
        if (!best || !o->used || (best->used && o->info.ended < best->info.ended)) best = o;
    }
    return running < MAX_RUNNING ? best : NULL;
}

int api_pull_begin(struct api_pulls *p, const char *model, bool wait, char id[API_PULL_ID], struct err *err)
{
    char name[API_PULL_NAME];
    bool fresh = false;
    int rc = name_of(model, name, err);
    if (rc < 0) return rc;
    lock_take(&p->lock);
    struct one *o = NULL;
    for (size_t i = 0; i < MAX_KNOWN && !o; i++)
        if (p->one[i].used && p->one[i].info.state == PULL_RUNNING && !strcmp(p->one[i].info.name, name)) o = &p->one[i];
    if (!o && (o = place(p)) != NULL) {
        fresh = true;
        *o = (struct one){ .used = true, .info = { .begun = os_wall_s() } };
        fmt_into(o->info.id, sizeof o->info.id, "job_%016llx", (unsigned long long)os_random64());
        fmt_into(o->info.name, sizeof o->info.name, "%s", name);
    }
    if (o && wait) o->waiting++;
    if (o && !wait) o->alone = true;
    if (o) memcpy(id, o->info.id, API_PULL_ID);
    lock_give(&p->lock);
    if (!o) return err_set(err, ERR_LIMIT, "%d downloads are going on already; try again when one has ended", (int)MAX_RUNNING);
    if (!fresh || (rc = start(p, id, name, err)) == 0) return 0;
    lock_take(&p->lock);
    if ((o = find(p, id)) != NULL) {
        o->info.state = PULL_FAILED;
        o->info.ended = os_wall_s();
        o->waiting = 0;
        fmt_into(o->info.message, sizeof o->info.message, "the download could not be started");
    }
    lock_give(&p->lock);
    return rc;
}
