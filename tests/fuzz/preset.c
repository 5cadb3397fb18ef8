/* A preset that is accepted has good settings and is the same after it was written and read; search results are names of the
 * Hub. */
#include <stdlib.h>
#include <string.h>

#include "store/params.h"
#include "store/preset.h"
#include "store/search.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
    if (!ok) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct preset p, again;
    struct buf left = { 0 }, text = { 0 };
    struct search_result *r = malloc(sizeof *r);
    if (preset_parse(&p, (const char *)data, n, &left, NULL) == 0) {
        check(params_check(p.settings, NULL) == 0 && strlen(p.name) <= PRESET_NAME);
        json_write(p.all, true, &text);
        check(!text.bad && (text.len > PRESET_MAX || preset_parse(&again, text.data, text.len, NULL, NULL) == 0));
        if (text.len <= PRESET_MAX) {
            check(json_len(again.settings) == json_len(p.settings) && !again.system == !p.system);
            preset_release(&again);
        }
        preset_release(&p);
    }
    if (r && search_parse(r, (const char *)data, n, NULL) == 0)
        for (size_t i = 0; i < r->n; i++) {
            struct name name;
            check(name_parse(&name, r->v[i].name, NULL) == 0 && name.kind == NAME_HUB);
        }
    if (r) search_release(r);
    free(r);
    buf_release(&left);
    buf_release(&text);
    return 0;
}
