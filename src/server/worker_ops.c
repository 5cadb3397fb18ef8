/* worker_ops.c - what the engine process can be asked for, and the answers that are quick. */
#include <string.h>

#include "base/mem.h"
#include "server/worker_impl.h"

static int no_memory(struct err *err) { return err_set(err, ERR_NOMEM, "out of memory for the answer"); }

/* Takes the answer; ok: it is complete. */
static int answer(struct task *t, struct json *o, bool ok, struct err *err)
{
    if (ok) task_done(t, o);
    else json_free(o);
    return ok ? 0 : no_memory(err);
}

static int status_run(struct task *t, struct err *err)
{
    struct task_head f = { 0 };
    int rc = task_read(t, &(struct read_table){ NULL, 0 }, &f, err);
    if (rc < 0) return rc;
    struct json *o = json_new_object(), *memory = json_new_object();
    bool ok = models_status(t->w->models, o) && put_int(memory, "total", os_memory_total()) &&
              put_int(memory, "available", os_memory_available()) && put_int(memory, "peak", os_memory_peak());
    ok = json_put(o, "memory", memory) && ok;
    return answer(t, o, ok, err);
}

static const struct op op[] = {
    { "generate", generate_run },
    { "template", template_run },
    { "status", status_run },
};

const struct op *op_find(const char *name)
{
    for (size_t i = 0; i < sizeof op / sizeof *op; i++)
        if (!strcmp(op[i].name, name)) return &op[i];
    return NULL;
}
