/* A manifest that is accepted has good digests and titles, and is the same after it was written and read again. */
#include <stdlib.h>
#include <string.h>

#include "store/manifest.h"
#include "store/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
    if (!ok) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct manifest m, again;
    struct err e;
    if (manifest_parse(&m, (const char *)data, n, true, &e) < 0) return 0;
    struct buf text = { 0 };
    manifest_write(&m, &text);
    if (!m.child[0]) {
        check(manifest_parse(&again, text.data, text.len, true, &e) == 0 && again.n == m.n);
        for (size_t i = 0; i < m.n; i++) {
            check(sha256_is_hex(m.layer[i].digest, strlen(m.layer[i].digest)) && !m.layer[i].path);
            check(!m.layer[i].title || name_is_safe_path(m.layer[i].title, NAME_FILE));
            check(!strcmp(m.layer[i].digest, again.layer[i].digest) && m.layer[i].size == again.layer[i].size);
            check(m.layer[i].kind == again.layer[i].kind);
        }
        manifest_release(&again);
    }
    buf_release(&text);
    manifest_release(&m);
    return 0;
}
