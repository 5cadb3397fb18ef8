#include "app/state.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/env.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/os.h"

static bool make_folders(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        int rc = mkdir(path, 0700);
        *p = '/';
        if (rc < 0 && errno != EEXIST) return false;
    }
    return true;
}

bool state_path(const char *name, struct buf *out)
{
    const char *state = env_get(ENV_XDG_STATE), *home = env_get(ENV_HOME);
    struct buf path = { 0 };
    if (state && *state == '/') buf_printf(&path, "%s/hearth/%s", state, name);
    else if (home && *home == '/') buf_printf(&path, "%s/.local/state/hearth/%s", home, name);
    bool ok = path.len && !path.bad && make_folders(path.data);
    if (ok) buf_puts(out, path.data);
    buf_release(&path);
    return ok && !out->bad;
}

int state_last_model(struct buf *out, struct err *err)
{
    struct buf path = { 0 };
    char *text = NULL;
    size_t n;
    struct json *j = NULL;
    bool there = state_path(STATE_LAST_CHAT, &path) && os_file_exists(path.data);
    int rc = there ? os_read_file(path.data, 64 << 20, &text, &n, err)
                   : err_set(err, ERR_NOTFOUND, "there is no chat to continue; `hearth run MODEL` begins one");
    if (rc == 0 && (rc = json_parse(&j, text, n, err)) < 0) rc = err_prefix(err, rc, "%s: ", path.data);
    const char *model = json_str(json_get(j, "model"), NULL);
    if (rc == 0 && !model) rc = err_set(err, ERR_FORMAT, "%s: does not say of which model it is", path.data);
    if (rc == 0) buf_puts(out, model);
    json_free(j);
    mem_free(text);
    buf_release(&path);
    return rc;
}
