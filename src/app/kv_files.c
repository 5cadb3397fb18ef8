#include "app/kv_files.h"

#include <string.h>

#include "app/term.h"
#include "base/env.h"
#include "base/fs.h"

/* Shorter texts are read again sooner than a file is looked for; more than so many bytes of files are not kept. */
enum { SHORTEST = 256 };
#define KV_FILES_LIMIT (UINT64_C(8) << 30)

int kv_files_open(const char *option, struct buf *folder, struct err *err)
{
    const char *cache = env_get(ENV_XDG_CACHE), *home = env_get(ENV_HOME);
    if (!option || !strcmp(option, "off")) return 0;
    if (strcmp(option, "auto") != 0) buf_puts(folder, option);
    else if (cache && *cache == '/') buf_printf(folder, "%s/hearth/kv", cache);
    else if (home && *home == '/') buf_printf(folder, "%s/.cache/hearth/kv", home);
    else return err_set(err, ERR_ARG, "--kv-files auto needs HOME or XDG_CACHE_HOME; name a folder");
    if (folder->bad) return err_set(err, ERR_NOMEM, "out of memory");
    return fs_make_folders(folder->data, err);
}

size_t kv_files_find(struct hearth_session *s, const struct buf *folder, const int32_t *ids, size_t n)
{
    struct hearth_error e;
    size_t found = 0, have, same = 0;
    const int32_t *old = hearth_session_ids(s, &have);
    if (!folder->len || n < SHORTEST) return 0;
    while (same < have && same < n && old[same] == ids[same]) same++;
    if (n - same < SHORTEST) return 0;
    if (hearth_cache_load(s, folder->data, ids, n, &found, &e) < 0) term_note("hearth: %s", e.message);
    return found;
}

void kv_files_keep(struct hearth_session *s, const struct buf *folder)
{
    struct hearth_error e;
    size_t n;
    hearth_session_ids(s, &n);
    if (folder->len && n >= SHORTEST && hearth_cache_save(s, folder->data, KV_FILES_LIMIT, &e) < 0)
        term_note("hearth: the text was not kept for another time: %s", e.message);
}
