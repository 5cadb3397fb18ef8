/* tiny_chat.h - one small random model of this test program, whose chat template has tools and reasoning. */
#ifndef HEARTH_TESTS_TINY_CHAT_H
#define HEARTH_TESTS_TINY_CHAT_H

#include <unistd.h>

#include "hearth.h"
#include "tests/testing.h"
#include "tests/tiny_model.h"

static char path[] = "/tmp/hearth-chat-XXXXXX";
static struct hearth_model *model;

static const char template[] =
    "{% if tools %}<|im_start|>tools\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>"
    "{% endif %}{{ m.content }}{% for c in m.tool_calls or [] %}<tool_call>{\"name\": \"{{ c.function.name }}\", "
    "\"arguments\": {{ c.function.arguments | tojson }}}</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking %}<think>\n{% endif %}{% endif %}";

static int open_all(void **state)
{
    (void)state;
    struct hearth_error e;
    int fd = mkstemp(path);
    if (fd < 0) return -1;
    close(fd);
    if (tiny_model(path, (struct tiny){ .arch = "llama", .type = DT_Q8_0, .chat = template }) < 0) return -1;
    if (hearth_model_open(&model, path, NULL, &e) == 0) return 0;
    fprintf(stderr, "%s\n", e.message);
    return -1;
}

static int close_all(void **state)
{
    (void)state;
    hearth_model_close(model);
    return unlink(path);
}

#endif
