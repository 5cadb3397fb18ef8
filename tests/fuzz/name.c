/* A name that is accepted prints as one that means the same, and none of its parts can leave a folder. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
    if (!ok) abort();
}

static void check_part(const char *s)
{
    check(strcmp(s, "..") && strcmp(s, ".") && !strpbrk(s, "/\\"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = mem_strdup((const char *)data, n);
    struct name a, b;
    struct err e;
    if (text && name_parse(&a, text, &e) == 0) {
        struct buf full = { 0 };
        name_put(&a, &full);
        check_part(a.host);
        check_part(a.space);
        check_part(a.model);
        check_part(a.tag);
        check(!a.file[0] || name_is_safe_path(a.file, NAME_FILE));
        if (a.kind != NAME_PATH) check(name_parse(&b, full.data, &e) == 0 && name_same(&a, &b));
        buf_release(&full);
    }
    mem_free(text);
    return 0;
}
