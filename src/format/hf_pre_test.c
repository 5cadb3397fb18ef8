#include "format/hf_impl.h"

#include <stdlib.h>

#include "tests/testing.h"

#define LINES "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static void expect(const char *stages, bool ignore_merges, const char *name)
{
    const char *got = hf_pre_name(stages, ignore_merges);
    if (name ? !got || strcmp(got, name) : got != NULL) fail_msg("%s: %s, not %s", stages, got ? got : "none", name ? name
                                                                 : "none");
}

static void rules_are_found_by_their_expressions(void **state)
{
    (void)state;
    static const char llama3[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
                                 "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" LINES;
    expect(llama3, true, "llama-bpe");
    expect(llama3, false, "smaug-bpe");
    expect(hf_pre_gpt2, false, "gpt-2");
    expect("'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| "
           "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+", false, "qwen2");
    expect("'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| "
           "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
           true, "llama-bpe");
    expect("\\p{N}\n's|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", false, "starcoder");
}

/* One character makes another rule, or none. */
static void near_misses_are_none(void **state)
{
    (void)state;
    static const char *const none[] = {
        "", "\\s+", "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,2}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" LINES,
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}*|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" LINES,
        "\\p{N}\n\\p{N}\n's|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
        "[+]+\n[++]",
    };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) expect(none[i], false, NULL);
    char *deep = malloc(100000);
    memset(deep, '+', 99999);
    deep[99999] = 0;
    expect(deep, false, NULL);
    free(deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_found_by_their_expressions),
        cmocka_unit_test(near_misses_are_none),
    };
    return run_tests(tests);
}
