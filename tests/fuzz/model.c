/* model.c - fuzz target: a model file as far as it can be checked without computing: header, hyper-parameters, the shapes of
 * all tensors, the graph, the tokenizer. */
#include <stdint.h>

#include "engine/engine.h"
#include "format/dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct gguf *g;
    struct err err = { 0 };
    if (gguf_parse(&g, data, n, "input", &err) == 0 && dialect_translate(&g, &err) == 0) (void)engine_can_run(g, &err);
    gguf_close(g);
    return 0;
}
