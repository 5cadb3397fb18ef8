/* hf_pre.c - which named splitting rule of GGUF does what the stages of a tokenizer.json do.
 *
 * Stages are regular expressions, one a line, each applied to the pieces that the one before it made.  They are compared as
 * text: a rule is only taken when the expression is the very one that it was written for. */
#include <string.h>

#include "format/hf_impl.h"

#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES "\\s+(?!\\S)|\\s+"
#define LINES "\\s*[\\r\\n]+|" SPACES
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|" SPACES
#define LETTERS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define REST " ?[^\\s\\p{L}\\p{N}]+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define PREFIX "[^\\r\\n\\p{L}\\p{N}]?"
#define GPT4O PREFIX UPPER "*" LOWER "+" CONTRACTION "?|" PREFIX UPPER "+" LOWER "*" CONTRACTION "?|\\p{N}{1,3}|" \
    REST "[\\r\\n/]*|" LINES
#define DEEPSEEK3 "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|" \
    " ?[\\p{P}\\p{S}]+[\\r\\n]*|" LINES

const char hf_pre_gpt2[] = GPT2;

static const struct rule { const char *stages, *name; } rules[] = {
    { GPT2, "gpt-2" },
    { CONTRACTION "|" LETTERS "|\\p{N}{1,3}|" REST "[\\r\\n]*|" LINES, "llama-bpe" },
    { CONTRACTION "|" LETTERS "|\\p{N}|" REST "[\\r\\n]*|" LINES, "qwen2" },
    { CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINES, "qwen35" },
    { GPT4O, "gpt-4o" },
    { PREFIX UPPER "*" LOWER "+|" PREFIX UPPER "+" LOWER "*|\\p{N}|" REST "[\\r\\n/]*|" LINES, "tekken" },
    { "\\p{N}{1,3}\n[一-龥\xe3\x81\x80-ゟ゠-ヿ]+\n" DEEPSEEK3, "deepseek-v3" },
    { "[\\r\\n]\n\\s?\\p{L}+\n\\s?\\p{P}+\n[一-龥ࠀ-一가-\xed\x9f\xbf]+\n\\p{N}", "deepseek-coder" },
    { "\\p{N}\n" GPT2, "starcoder" },
    { "[\\p{P}\\$\\+<=>\\^~\\|`]+\n" GPT2 "\n[0-9][0-9][0-9]", "falcon" },
    { " ?[^(\\s|.,!?…。，、।۔،)]+", "bloom" },
    { " ?[^(\\s|[.,!?…。，、।۔،])]+", "bloom" },
    { " ?[^(\\s|.,!?…。，、।۔،)]+\n\\p{N}", "viking" },
    { " ?[^(\\s|[.,!?…。，、।۔،])]+\n\\p{N}", "viking" },
    { CONTRACTION "|" LETTERS "|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" LINES, "seed-coder" },
    { CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}|" REST "[\\r\\n/]?|" LINES, "exaone-moe" },
    { "\\p{N}+\n(?=(\\d{3})+(?!\\d))", "superbpe" },
    { "\\d{1,3}(?=(?:\\d{3})*\\b)\n" GPT4O, "tiny_aya" },
};

/* The same contraction, written otherwise. */
static const char *const same_contraction[] = {
    "'(?i:[sdmt]|ll|ve|re)", "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])",
};

static const char *skip(const char *s, const char *text) { return strncmp(s, text, strlen(text)) ? NULL : s + strlen(text); }

/* A common spelling: no possessive quantifiers (what follows them here never begins with what they took), one line break or
 * several after white space (which takes the others), one way to write the contraction. */
static void simplify(const char *s, char *dst, size_t n)
{
    size_t k = 0;
    bool set = false;                       /* inside [ ] */
    const char *end;
    for (size_t i = 0; k == 0 && i < sizeof same_contraction / sizeof *same_contraction; i++)
        if ((end = skip(s, same_contraction[i])) != NULL) {
            fmt_into(dst, n, "%s", CONTRACTION);
            k = strlen(dst);
            s = end;
        }
    while (*s && k + 8 < n) {
        if ((end = skip(s, "|\\s*[\\r\\n]|")) != NULL && !set) {
            memcpy(dst + k, "|\\s*[\\r\\n]+", 11);
            k += 11;
            s = end - 1;
            continue;
        }
        bool escaped = *s == '\\' && s[1], counted = *s == '}' && k && dst[k - 1] >= '0' && dst[k - 1] <= '9';
        bool quantifier = !set && !escaped && (*s == '?' || *s == '+' || *s == '*' || counted);
        if (!escaped && *s == '[') set = true;
        if (!escaped && *s == ']') set = false;
        if (escaped) dst[k++] = *s++;
        dst[k++] = *s++;
        if (quantifier && *s == '+') s++;
    }
    dst[k] = 0;
}

static bool equal(const char *stages, const char *rule)
{
    char simple[2048];
    if (!strcmp(stages, rule)) return true;
    if (strlen(stages) + 16 > sizeof simple) return false;
    simplify(stages, simple, sizeof simple);
    return !strcmp(simple, rule);
}

/* DeepSeek V2 and before; the letters, all cased ones of some version of Unicode, are not compared. */
static bool is_deepseek_llm(const char *stages)
{
    static const char first[] = "[\\r\\n]\n\\s?[A-Za-z\xc2\xb5";
    static const char rest[] = "]+\n\\s?[!-/:-~！-／：-～‘-‟　-。]+\n\\s+$\n[一-龥ࠀ-一가-\xed\x9f\xbf]+\n\\p{N}";
    size_t n = strlen(stages), k = strlen(rest);
    const char *letters = skip(stages, first);
    return letters && n > sizeof first + k && !strcmp(stages + n - k, rest) && strcspn(letters, "]") == n - k - sizeof first + 1;
}

const char *hf_pre_name(const char *stages, bool ignore_merges)
{
    if (is_deepseek_llm(stages)) return "deepseek-llm";
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (!equal(stages, rules[i].stages)) continue;
        return !strcmp(rules[i].name, "llama-bpe") && !ignore_merges ? "smaug-bpe" : rules[i].name;
    }
    return NULL;
}
