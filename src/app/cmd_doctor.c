#include <string.h>

#include "app/command.h"
#include "app/listing.h"
#include "app/term.h"
#include "app/this_machine.h"
#include "base/mem.h"

struct fields { bool json; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "json", NULL, 0, OPT_FLAG, NULL, NULL, "print one JSON object", NULL, AT(json), 0, 0 },
};

/* ---- for people ---- */

static void key(const char *name, struct buf *out) { buf_printf(out, "%-14s ", name); }

static void put_limit(uint64_t v, bool bytes, struct buf *out)
{
    if (v == UINT64_MAX) buf_puts(out, "any");
    else if (bytes) put_bytes(v, out);
    else buf_printf(out, "%llu", (unsigned long long)v);
}

static void put_memory(const struct host *h, struct buf *out)
{
    key("memory", out);
    put_bytes(h->memory, out);
    if (h->available) {
        buf_puts(out, ", ");
        put_bytes(h->available, out);
        buf_puts(out, " free");
    }
    buf_printf(out, ", read at %.1f GB/s\n", h->read / 1e9);
    if (!h->container) return;
    key("container", out);
    put_bytes(h->container, out);
    buf_puts(out, " of memory\n");
}

static void put_table(const struct host *h, struct buf *out)
{
    key("processor", out);
    term_clean(h->cpu, strlen(h->cpu), out);
    buf_printf(out, "%s%u core%s, %u thread%s, %s\n", h->cpu[0] ? ", " : "", h->cores, h->cores == 1 ? "" : "s", h->threads,
               h->threads == 1 ? "" : "s", h->instructions);
    key("arithmetic", out);
    buf_printf(out, "%.0f Gop/s with 8-bit integers, %.0f Gop/s with floats\n", h->int8 * 2e-9, h->f32 * 2e-9);
    put_memory(h, out);
    key("disk", out);
    if (h->disk) put_bytes(h->disk, out);
    else buf_puts(out, "unknown room");
    buf_puts(out, h->disk ? " free in " : " in ");
    term_clean(h->folder, strlen(h->folder), out);
    buf_putc(out, '\n');
    key("limits", out);
    buf_puts(out, "open files: ");
    put_limit(h->files, false, out);
    buf_puts(out, "; locked memory: ");
    put_limit(h->locked, true, out);
    buf_puts(out, "; addresses: ");
    put_limit(h->space, true, out);
    buf_putc(out, '\n');
    for (size_t i = 0; i < h->n_gpus; i++) {
        key("GPU", out);
        term_clean(h->gpu[i].name, strlen(h->gpu[i].name), out);
        if (h->gpu[i].memory) {
            buf_puts(out, ", ");
            put_bytes(h->gpu[i].memory, out);
        }
        buf_putc(out, '\n');
    }
    if (!h->n_gpus) buf_printf(out, "%-14s none found\n", "GPU");
    if (!h->gpu_share) return;
    key("shared memory", out);
    buf_puts(out, "the GPU may take ");
    put_bytes(h->gpu_share, out);
    buf_putc(out, '\n');
}

static void put_advice(const struct host *h, struct buf *out)
{
    struct host_advice a = { 0 };
    for (size_t i = 0; host_advise(h, i, &a); i++) {
        buf_printf(out, "\n%s: ", a.warning ? "warning" : "note");
        term_clean(a.text.data ? a.text.data : "", a.text.len, out);
        if (a.remedy.len) buf_printf(out, "\n  %s", a.remedy.data);
        buf_putc(out, '\n');
    }
    buf_release(&a.text);
    buf_release(&a.remedy);
}

/* ---- for programs ---- */

static struct json *number(uint64_t v) { return v == UINT64_MAX ? json_new_null() : json_new_int((int64_t)v); }

static struct json *gpus_json(const struct host *h)
{
    struct json *list = json_new_array();
    bool ok = true;
    for (size_t i = 0; i < h->n_gpus; i++) {
        struct json *g = json_new_object();
        ok = json_put(g, "name", text_json(h->gpu[i].name)) && ok;
        ok = json_put(g, "driver", text_json(h->gpu[i].driver)) && ok;
        ok = json_put(g, "memory", h->gpu[i].memory ? number(h->gpu[i].memory) : json_new_null()) && ok;
        ok = json_push(list, g) && ok;
    }
    if (ok) return list;
    json_free(list);
    return NULL;
}

static struct json *advice_json(const struct host *h)
{
    struct json *list = json_new_array();
    struct host_advice a = { 0 };
    bool ok = true;
    for (size_t i = 0; host_advise(h, i, &a); i++) {
        struct json *g = json_new_object();
        ok = json_put(g, "kind", text_json(a.warning ? "warning" : "note")) && ok;
        ok = json_put(g, "text", text_json(a.text.data ? a.text.data : "")) && ok;
        ok = json_put(g, "remedy", a.remedy.len ? text_json(a.remedy.data) : json_new_null()) && ok;
        ok = json_push(list, g) && ok;
    }
    buf_release(&a.text);
    buf_release(&a.remedy);
    if (ok) return list;
    json_free(list);
    return NULL;
}

static bool put_json(const struct host *h, struct buf *out)
{
    struct json *j = json_new_object();
    bool ok = json_put(j, "cpu", text_json(h->cpu));
    ok = json_put(j, "instructions", text_json(h->instructions)) && ok;
    ok = json_put(j, "cores", json_new_int(h->cores)) && ok;
    ok = json_put(j, "threads", json_new_int(h->threads)) && ok;
    ok = json_put(j, "memory", number(h->memory)) && ok;
    ok = json_put(j, "memory_free", number(h->available)) && ok;
    ok = json_put(j, "memory_container", h->container ? number(h->container) : json_new_null()) && ok;
    ok = json_put(j, "read_bytes_per_second", json_new_real(h->read)) && ok;
    ok = json_put(j, "int8_ops_per_second", json_new_real(2 * h->int8)) && ok;
    ok = json_put(j, "float_ops_per_second", json_new_real(2 * h->f32)) && ok;
    ok = json_put(j, "models", text_json(h->folder)) && ok;
    ok = json_put(j, "disk_free", h->disk ? number(h->disk) : json_new_null()) && ok;
    ok = json_put(j, "limit_locked", number(h->locked)) && ok;
    ok = json_put(j, "limit_files", number(h->files)) && ok;
    ok = json_put(j, "limit_addresses", number(h->space)) && ok;
    ok = json_put(j, "gpus", gpus_json(h)) && ok;
    ok = json_put(j, "gpu_share", h->gpu_share ? number(h->gpu_share) : json_new_null()) && ok;
    ok = json_put(j, "advice", advice_json(h)) && ok;
    if (ok) json_write(j, true, out);
    buf_putc(out, '\n');
    json_free(j);
    return ok;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { 0 };
    struct parsed p;
    struct err e = { 0 };
    struct buf b = { 0 };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 0 }, &f, &p, &rc)) return rc;
    struct host *h = mem_new(1, sizeof *h);
    if (!h) return term_fail("out of memory");
    rc = this_machine(h, 0, &e);
    if (rc == 0 && f.json) b.bad = !put_json(h, &b) || b.bad;
    else if (rc == 0) {
        put_table(h, &b);
        put_advice(h, &b);
    }
    mem_free(h);
    if (rc < 0) return term_fail("%s", e.msg);
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

const struct command command_row_doctor = {
    .name = "doctor",
    .operands = "",
    .summary = "what this machine is and can do, and what stands in a model's way",
    .about = "Lists processor, memory, disk, limits and GPUs, measures how fast memory is read and integers are multiplied\n"
             "(half a second), and names what should be changed, with the command that does.\n",
    .example = "",
    .more = (const char *const[]){ "hearth doctor --json", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
