/* A Modelfile that is accepted has a FROM, and each of its values can be written between """ and read again. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "store/modelfile.h"
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
    if (!ok) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct modelfile m, again;
    struct err e;
    struct buf text = { 0 };
    if (modelfile_parse(&m, (const char *)data, n, &e) < 0) return 0;
    bool from = false, plain = true;
    for (size_t i = 0; i < m.n; i++) {
        from = from || m.v[i].word == WORD_FROM;
        plain = plain && !strstr(m.v[i].value, "\"\"\"") && (!*m.v[i].value || m.v[i].value[strlen(m.v[i].value) - 1] != '"');
        buf_printf(&text, "%s %s \"\"\"%s\"\"\"\n", modelfile_word(m.v[i].word), m.v[i].key, m.v[i].value);
    }
    check(from);
    if (plain && text.len < MODELFILE_MAX) {
        check(modelfile_parse(&again, text.data, text.len, &e) == 0 && again.n == m.n);
        for (size_t i = 0; i < m.n; i++) check(!strcmp(m.v[i].value, again.v[i].value));
        modelfile_release(&again);
    }
    buf_release(&text);
    modelfile_release(&m);
    return 0;
}
