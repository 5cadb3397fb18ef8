#include "app/model_name.h"

#include <string.h>

#include "base/os.h"
#include "engine/engine.h"

int model_path(const char *operand, char path[STORE_PATH], struct err *err)
{
    struct store s;
    struct found_list l = { 0 };
    size_t at;
    if (strlen(operand) < STORE_PATH && os_file_exists(operand)) {        /* needs no store */
        fmt_into(path, STORE_PATH, "%s", operand);
        return 0;
    }
    int rc = store_open(&s, err);
    if (rc < 0) return rc;
    rc = store_lookup(&s, operand, &l, &at, path, err);
    found_release(&l);
    store_close(&s);
    return rc;
}

bool model_is_embedded(const char *operand) { return !strcmp(operand, "spark") && !os_file_exists(operand); }

int named_model_open(struct hearth_model **out, const char *operand, const struct hearth_model_options *o,
                     struct hearth_error *e)
{
    char path[STORE_PATH];
    struct err err = { 0 };
    *out = NULL;
    if (model_is_embedded(operand)) return hearth_model_open_embedded(out, o, e);
    if (model_path(operand, path, &err) == 0) return hearth_model_open(out, path, o, e);
    e->code = err.code;
    fmt_into(e->message, sizeof e->message, "%s", err.msg);
    return err.code;
}

int named_file_open(struct gguf **out, const char *operand, struct err *err)
{
    char path[STORE_PATH];
    *out = NULL;
    if (model_is_embedded(operand)) return engine_embedded_open(out, err);
    int rc = model_path(operand, path, err);
    return rc < 0 ? rc : model_file_open(out, path, err);
}

int named_gguf_open(struct gguf **out, const char *operand, struct err *err)
{
    char path[STORE_PATH];
    *out = NULL;
    if (model_is_embedded(operand)) return engine_embedded_open(out, err);
    int rc = model_path(operand, path, err);
    return rc < 0 ? rc : gguf_open(out, path, err);
}
