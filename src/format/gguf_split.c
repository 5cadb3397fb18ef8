#include "format/gguf_split.h"

#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "format/gguf_impl.h"

/* ---- which tensor goes where ---- */

int gguf_split_plan(const struct gguf *g, const struct gguf_split_options *o, uint32_t *file, uint32_t *n_files, struct err *err)
{
    uint64_t bytes = 0, padded;
    uint32_t at = 0, tensors = 0;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        padded = t->bytes + (GGUF_DEFAULT_ALIGNMENT - t->bytes % GGUF_DEFAULT_ALIGNMENT) % GGUF_DEFAULT_ALIGNMENT;
        bool full = (o->max_bytes && bytes + padded > o->max_bytes) || (o->max_tensors && tensors == o->max_tensors);
        if (tensors && full) {
            at++;
            bytes = tensors = 0;
        }
        file[i] = at;
        bytes += padded;
        tensors++;
    }
    *n_files = at + 1;
    if (*n_files <= GGUF_MAX_FILES) return 0;
    return err_set(err, ERR_LIMIT, "%s: this would be %u files, the limit is %d", gguf_path(g), *n_files, GGUF_MAX_FILES);
}

char *gguf_split_path(const char *prefix, uint32_t i, uint32_t n)
{
    struct buf b = { 0 };
    buf_printf(&b, "%s-%05u-of-%05u.gguf", prefix, i + 1, n);
    return buf_take(&b);
}

/* ---- writing ---- */

struct job {
    const struct gguf *g;
    const struct gguf_split_options *o;
    uint64_t done, total;
};

/* What gguf_put_filled's callback needs of one tensor. */
struct copy { struct job *j; const struct gguf_tensor *t; };

static int fill(void *arg, const struct gguf_tensor *out, uint64_t at, uint8_t *dst, size_t n, struct err *err)
{
    const struct copy *c = arg;
    struct job *j = c->j;
    (void)out;
    memcpy(dst, c->t->data + at, n);
    gguf_done(j->g, c->t, at, n);
    j->done += n;
    if (j->o->progress && !j->o->progress(j->o->arg, j->done, j->total)) return err_set(err, ERR_CANCELLED, "stopped");
    return 0;
}

static bool is_key(const struct gguf_kv *kv, const char *name)
{
    size_t n = strlen(name);
    return kv->key.n >= n && !memcmp(kv->key.s, name, n);
}

/* All keys but those of splitting; or only the alignment. */
static void copy_keys(struct gguf_writer *w, const struct gguf *g, bool all)
{
    for (size_t i = 0; i < gguf_n_kv(g); i++) {
        const struct gguf_kv *kv = gguf_kv_at(g, i);
        if (all ? !is_key(kv, "split.") : is_key(kv, "general.alignment")) gguf_copy_kv(w, kv);
    }
}

static void put_scalar(struct gguf_writer *w, const char *key, enum gguf_type type, uint32_t v)
{
    uint8_t le[4] = { (uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24) };
    gguf_copy_kv(w, &(struct gguf_kv){ .key = { key, strlen(key) }, .type = type, .count = 1, .data = le,
                                       .bytes = gguf_type_bytes(type) });
}

/* The tensors of file `part` (all when file is NULL) as the writer's. */
static void put_tensors(struct job *j, struct gguf_writer *w, struct copy *copy, const uint32_t *file, uint32_t part)
{
    for (size_t i = 0; i < gguf_n_tensors(j->g); i++) {
        if (file && file[i] != part) continue;
        copy[i] = (struct copy){ j, gguf_tensor_at(j->g, i) };
        gguf_put_filled(w, copy[i].t, fill, &copy[i]);
    }
}

static uint64_t tensor_bytes(const struct gguf *g)
{
    uint64_t n = 0;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) n += gguf_tensor_at(g, i)->bytes;
    return n;
}

static int check_room(const struct gguf *g, const char *path, struct err *err)
{
    uint64_t free = os_disk_free(path), need = gguf_file_bytes(g);
    for (uint32_t i = 0; i < gguf_n_files(g); i++)
        if (os_file_same(gguf_file_path(g, i), path))
            return err_set(err, ERR_ARG, "%s: is a file of the model that is read; give the new one another name", path);
    if (!free || need <= free) return 0;
    return err_set(err, ERR_LIMIT, "%s: %.3f GB are needed, but only %.3f GB are free there", path, (double)need / 1e9,
                   (double)free / 1e9);
}

struct parts { const char *prefix; const uint32_t *file; struct copy *copy; uint32_t n; };

static int write_part(struct job *j, const struct parts *p, uint32_t i, struct err *err)
{
    struct gguf_writer *w;
    char *path = gguf_split_path(p->prefix, i, p->n);
    if (!path) return err_set(err, ERR_NOMEM, "%s: out of memory", p->prefix);
    int rc = gguf_writer_open(&w, err);
    if (rc == 0) {
        copy_keys(w, j->g, i == 0);
        put_scalar(w, "split.no", GGUF_U16, i);
        put_scalar(w, "split.count", GGUF_U16, p->n);
        put_scalar(w, "split.tensors.count", GGUF_I32, (uint32_t)gguf_n_tensors(j->g));
        put_tensors(j, w, p->copy, p->file, i);
        rc = gguf_writer_save(w, path, err);
        gguf_writer_close(w);
    }
    mem_free(path);
    return rc;
}

/* Nothing is in the way of part i: no file of the input, nothing that must not be replaced. */
static int check_part(const struct job *j, const struct parts *p, uint32_t i, struct err *err)
{
    char *path = gguf_split_path(p->prefix, i, p->n);
    if (!path) return err_set(err, ERR_NOMEM, "%s: out of memory", p->prefix);
    int rc = check_room(j->g, path, err);
    if (rc == 0 && !j->o->replace && os_file_exists(path))
        rc = err_set(err, ERR_ARG, "%s exists already; --force replaces it", path);
    mem_free(path);
    return rc;
}

static int write_parts(struct job *j, const struct parts *p, struct err *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < p->n && rc == 0; i++) rc = check_part(j, p, i, err);
    if (rc < 0) return rc;
    for (uint32_t i = 0; i < p->n && rc == 0; i++) {
        rc = write_part(j, p, i, err);
        for (uint32_t k = 0; rc < 0 && k < i; k++) {           /* some parts are no model */
            char *path = gguf_split_path(p->prefix, k, p->n);
            if (path) os_file_remove(path);
            mem_free(path);
        }
    }
    return rc;
}

int gguf_split(const struct gguf *g, const char *prefix, const struct gguf_split_options *o, uint32_t *n_files, struct err *err)
{
    struct job j = { g, o, 0, tensor_bytes(g) };
    struct parts p = { .prefix = prefix };
    size_t n = gguf_n_tensors(g) + 1;
    uint32_t *file = mem_new_array(uint32_t, n);
    p.file = file;
    p.copy = mem_new_array(struct copy, n);
    int rc = file && p.copy ? gguf_split_plan(g, o, file, &p.n, err) : err_set(err, ERR_NOMEM, "%s: out of memory", prefix);
    *n_files = p.n;
    if (rc == 0) rc = write_parts(&j, &p, err);
    mem_free(file);
    mem_free(p.copy);
    return rc;
}

int gguf_merge(const struct gguf *g, const char *path, const struct gguf_split_options *o, struct err *err)
{
    struct job j = { g, o, 0, tensor_bytes(g) };
    struct gguf_writer *w = NULL;
    struct copy *copy = mem_new_array(struct copy, gguf_n_tensors(g) + 1);
    int rc = copy ? check_room(g, path, err) : err_set(err, ERR_NOMEM, "%s: out of memory", path);
    if (rc == 0) rc = gguf_writer_open(&w, err);
    if (rc == 0) {
        copy_keys(w, g, true);
        put_tensors(&j, w, copy, NULL, 0);
        rc = gguf_writer_save(w, path, err);
    }
    gguf_writer_close(w);
    mem_free(copy);
    return rc;
}
