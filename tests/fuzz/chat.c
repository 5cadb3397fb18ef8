/* Fuzz target: JSON messages, and tools behind a zero byte, are put into the form of templates of all kinds of abilities (the
 * first two bytes say which).  The result is an array of messages with known roles, or an error with a message. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/chat_caps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 3) return 0;
    struct chat_caps caps = {
        .system = data[0] & 1, .developer = data[0] & 2, .tools = data[0] & 4, .calls = data[0] & 8, .results = data[0] & 16,
        .strings = data[0] & 32, .parts = data[0] & 64, .text_args = data[0] & 128, .null_content = data[1] & 1,
        .reasoning = (uint8_t)((data[1] >> 1) % 5),
    };
    const char *text = (const char *)data + 2, *end = memchr(text, 0, n - 2);
    size_t first = end ? (size_t)(end - text) : n - 2;
    struct json *messages, *tools = NULL, *out;
    struct err e = { 0 };
    bool generic = false;
    if (json_parse(&messages, text, first, NULL) < 0) return 0;
    if (end && json_parse(&tools, end + 1, n - 3 - first, NULL) < 0) tools = NULL;
    int rc = chat_normalise(&caps, messages, json_type(tools) == JSON_ARRAY ? tools : NULL, &out, &generic, &e);
    if (rc < 0 ? out || e.code != rc || !*e.msg : json_type(out) != JSON_ARRAY) abort();
    for (size_t i = 0; i < json_len(out); i++) {
        const struct json *m = json_at(out, i);
        if (!json_str(json_get(m, "role"), NULL) || !json_get(m, "content")) abort();
        if (generic && json_get(m, "tool_calls")) abort();
    }
    json_free(messages);
    json_free(tools);
    json_free(out);
    return 0;
}
