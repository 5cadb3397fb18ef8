#include "tests/testing.h"

#include "app/args.h"
#include "app/command.h"

struct fields {
    bool flag, other;
    const char *text;
    struct opt_strs list;
    int32_t i;
    uint32_t u;
    uint64_t big;
    float f;
    int choice;
};
#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "flag", NULL, 'f', OPT_FLAG, NULL, NULL, "a flag", "", AT(flag), 0, 0 },
    { "other", NULL, 'o', OPT_FLAG, NULL, NULL, "another", NULL, AT(other), 0, 0 },
    { "text", NULL, 't', OPT_STR, "TEXT", NULL, "a text", "it is", AT(text), 0, 0 },
    { "list", NULL, 0, OPT_STRS, "TEXT", NULL, "texts", NULL, AT(list), 0, 0 },
    { "int", NULL, 'i', OPT_I32, "N", "5", "a number", "7", AT(i), -10, 100 },
    { "count", NULL, 0, OPT_U32, "N", NULL, "a count", NULL, AT(u), 1, 4294967295.0 },
    { "big", NULL, 0, OPT_U64, "N", NULL, "a big number", NULL, AT(big), 0, 9223372036854774784.0 },
    { "temp", "temperature", 0, OPT_F32, "X", NULL, "a fraction", "0.5", AT(f), 0, 2 },
    { "choice", NULL, 0, OPT_CHOICE, "red|green|blue", "red", "a colour", NULL, AT(choice), 0, 0 },
};
static const struct opt_table table = { row, sizeof row / sizeof *row };

enum { MAX_WORDS = 24 };
static int parse(const char *line, struct fields *f, struct parsed *p, struct err *e)
{
    static char copy[512];
    char *argv[MAX_WORDS] = { copy };
    int argc = 1;
    snprintf(copy, sizeof copy, "x|%s", line);
    copy[1] = 0;
    for (char *w = copy + 2; *w && argc < MAX_WORDS;) {       /* words are separated by | */
        argv[argc++] = w;
        w += strcspn(w, "|");
        if (*w) *w++ = 0;
    }
    *f = (struct fields){ .i = 5 };
    *e = (struct err){ 0 };
    return args_parse(&table, argc, argv, f, p, e);
}

static void values_arrive(void **unused)
{
    (void)unused;
    struct fields f;
    struct parsed p;
    struct err e;
    assert_int_equal(parse("one|--flag|--text=a=b|two|-i|-3|--count|4294967295|--temperature|1.5|--choice=green", &f, &p, &e), 0);
    assert_true(f.flag && !f.other);
    assert_string_equal(f.text, "a=b");
    assert_int_equal(f.i, -3);
    assert_true(f.u == 4294967295u);
    assert_true(f.f == 1.5f);
    assert_int_equal(f.choice, 1);
    assert_int_equal(p.n_operands, 2);
    assert_string_equal(p.operand[1], "two");
    assert_true(args_given(&table, &p, "temp") && args_given(&table, &p, "temperature") && !args_given(&table, &p, "big"));
    assert_int_equal(parse("-fo|-i7|--list|a|--list=|--|--flag|-", &f, &p, &e), 0);
    assert_true(f.flag && f.other);
    assert_int_equal(f.i, 7);
    assert_int_equal(f.list.n, 2);
    assert_string_equal(f.list.s[1], "");
    assert_int_equal(p.n_operands, 2);
    assert_string_equal(p.operand[0], "--flag");
    assert_string_equal(p.operand[1], "-");
    assert_int_equal(parse("--help|-h", &f, &p, &e), 0);
    assert_true(p.help);
    assert_int_equal(parse("--big=9223372036854774784", &f, &p, &e), 0);
    assert_true(f.big == 9223372036854774784u);
    assert_int_equal(parse("", &f, &p, &e), 0);
    assert_int_equal(f.i, 5);
}

static void mistakes_are_explained(void **unused)
{
    (void)unused;
    static const struct { const char *line, *word; } bad[] = {
        { "--flga", "did you mean --flag?" },
        { "--temprature=1", "did you mean --temperature?" },
        { "--cho=red", "did you mean --choice?" },
        { "--zzzzzzzz", "unknown option --zzzzzzzz" },
        { "-q", "unknown option -q" },
        { "--flag=1", "--flag takes no value" },
        { "--text", "--text needs a value (TEXT)" },
        { "-t", "-t needs a value" },
        { "--int=101", "from -10 to 100, not \"101\"" },
        { "--int=-11", "from -10 to 100" },
        { "--int=1x", "whole number" },
        { "--int=", "whole number" },
        { "--int=99999999999999999999", "from -10 to 100" },
        { "--count=0", "from 1 to 4294967295" },
        { "--count=-1", "from 1" },
        { "--big=-1", "from 0" },
        { "--big=18446744073709551615", "from 0" },
        { "--temp=nan", "a number from 0 to 2" },
        { "--temp=inf", "a number from 0 to 2" },
        { "--temp=2.5", "a number from 0 to 2" },
        { "--temp=1,5", "a number from 0 to 2" },
        { "--temp=", "a number from 0 to 2" },
        { "--choice=gree", "one of red|green|blue, not \"gree\"" },
        { "--choice=red|--choice=", "one of red|green|blue" },
        { "1|2|3|4|5|6|7|8|9", "too many arguments at \"9\"" },
        { "--averyveryveryveryveryveryveryveryveryveryveryveryveryverylongname", "unknown option" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fields f;
        struct parsed p;
        struct err e;
        assert_int_equal(parse(bad[i].line, &f, &p, &e), ERR_ARG);
        if (!strstr(e.msg, bad[i].word)) fail_msg("%s: %s", bad[i].line, e.msg);
    }
}

static void values_print_as_they_are_read(void **unused)
{
    (void)unused;
    struct fields f;
    struct parsed p;
    struct err e;
    assert_int_equal(parse("--int=-7|--count=9|--big=12345678901|--temp=0.25|--choice=blue|--text=abc|-f", &f, &p, &e), 0);
    static const char *const want[] = { "on", "off", "abc", "0", "-7", "9", "12345678901", "0.25", "blue" };
    for (size_t i = 0; i < table.n; i++) {
        struct buf b = { 0 };
        args_format(&row[i], &f, &b);
        assert_string_equal(b.data, want[i]);
        buf_release(&b);
    }
}

static void help_shows_each_row(void **unused)
{
    (void)unused;
    struct buf b = { 0 };
    args_help(&table, &b);
    for (size_t i = 0; i < table.n; i++) {
        assert_non_null(strstr(b.data, row[i].name));
        assert_non_null(strstr(b.data, row[i].help));
    }
    buf_release(&b);
    args_example(&table, &b);
    assert_string_equal(b.data, " --flag --text 'it is' --int 7 --temp 0.5");
    buf_release(&b);
}

/* Splits like a shell, as far as the examples need: blanks, '...' and "...". */
static int split(char *s, char **argv)
{
    int argc = 0;
    while (*s && argc < MAX_WORDS) {
        char end = *s == '\'' || *s == '"' ? *s++ : ' ';
        argv[argc++] = s;
        while (*s && *s != end) s++;
        if (*s) *s++ = 0;
        while (*s == ' ') s++;
    }
    return argc;
}

/* The example of each command's help must be a command line that it accepts. */
static void generated_examples_are_valid(void **unused)
{
    (void)unused;
    const struct command *c;
    int seen = 0;
    for (size_t i = 0; (c = command_at(i)) != NULL; i++) {
        assert_ptr_equal(command_find(c->name), c);
        assert_true(c->options.n <= 128);
        if (!c->example) continue;
        struct buf b = { 0 };
        buf_puts(&b, c->name);
        args_example(&c->options, &b);
        buf_printf(&b, " %s", c->example);
        char *argv[MAX_WORDS];
        int argc = split(b.data, argv);
        struct parsed p;
        struct err e = { 0 };
        uint64_t fields[1024] = { 0 };                         /* room for any command's fields */
        if (args_parse(&c->options, argc, argv, fields, &p, &e) < 0) fail_msg("%s: %s", c->name, e.msg);
        assert_true(!*c->example || p.n_operands >= 1);
        buf_release(&b);
        seen++;
    }
    assert_true(seen >= 4);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(values_arrive),
    cmocka_unit_test(mistakes_are_explained),
    cmocka_unit_test(values_print_as_they_are_read),
    cmocka_unit_test(help_shows_each_row),
    cmocka_unit_test(generated_examples_are_valid),
};
int main(void) { return run_tests(tests); }
