/* Fuzz target: how far a header reaches.  What the reader takes whole has such a header, wherever it is cut more is wanted, and
 * nothing beyond the bytes is looked at. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "format/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct gguf *g;
    uint64_t end, less;
    enum gguf_head h = gguf_header_end(data, n, &end);
    if (h == GGUF_HEAD_WHOLE && (end > n || end < 24)) abort();
    if (h == GGUF_HEAD_WHOLE)
        for (size_t cut = 0; cut < end; cut += 1 + end / 64) {
            uint8_t *copy = mem_new(cut + 1, 1);
            if (!copy) abort();
            memcpy(copy, data, cut);
            if (gguf_header_end(copy, cut, &less) != GGUF_HEAD_MORE) abort();
            mem_free(copy);
        }
    if (gguf_parse(&g, data, n, "input", NULL) == 0 && h != GGUF_HEAD_WHOLE) abort();
    gguf_close(g);
    return 0;
}
