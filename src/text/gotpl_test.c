/* gotpl_test.c - templates of Go: what they give, as the package text/template gave it for the same templates and variables. */
#include "tests/testing.h"

#include <stdlib.h>

#include "base/mem.h"
#include "text/chat_turn.h"
#include "text/template.h"

static const char talk[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":\"Hi\"},"
    "{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"hm\",\"tool_calls\":[{\"id\":\"c1\",\"function"
    "\":{\"name\":\"get_time\","
    "\"arguments\":{\"zone\":\"<CET>\",\"at\":12345678,\"deep\":[1.5,null,true]}}}]},"
    "{\"role\":\"tool\",\"tool_name\":\"get_time\",\"content\":\"noon\"},"
    "{\"role\":\"user\",\"content\":\"Thanks\"},{\"role\":\"user\",\"content\":\"&bye\"}],"
    "\"tools\":[{\"function\":{\"parameters\":{\"properties\":{\"zone\":{\"description\":\"where\",\"type\":\"string\",\"x\":1},"
    "\"at\":{\"type\":[\"integer\",\"null\"]}},\"required\":[\"zone\"],\"type\":\"object\"},\"name\":\"get_time\","
    "\"description\":\"the time\"},\"type\":\"function\"}],"
    "\"s\":\"h\\u00e9llo\",\"n\":3,\"f\":0.1,\"big\":1e21,"
    "\"l\":[\"a\",\"b\",\"c\"],\"m\":{\"b\":1,\"a\":\"x\"},\"t\":true,\"z\":null}";

static int render_with(const char *source, const char *vars_text, const struct template_limits *lim, struct buf *out,
  struct err *e)
{
    struct template *tp;
    struct json *vars;
    *out = (struct buf){ 0 };
    *e = (struct err){ 0 };
    assert_int_equal(json_parse(&vars, vars_text, strlen(vars_text), e), 0);
    if (!template_is_go(source, strlen(source))) fail_msg("not taken for Go: %s", source);
    int rc = template_compile(&tp, source, strlen(source), e);
    if (rc == 0) rc = template_render(tp, vars, lim, out, e);
    else assert_null(tp);
    template_free(tp);
    json_free(vars);
    return rc;
}

struct pair { const char *source, *want; };

static void check_with(const struct pair *p, size_t n, const char *vars)
{
    for (size_t i = 0; i < n; i++) {
        struct buf out;
        struct err e;
        struct template_limits lim = { .now = 1795339800 };
        if (render_with(p[i].source, vars, &lim, &out, &e) < 0) fail_msg("%s: %s", p[i].source, e.msg);
        if (strcmp(out.data ? out.data : "", p[i].want) != 0)
            fail_msg("%s\n  gives \"%s\"\n  not   \"%s\"", p[i].source, out.data ? out.data : "", p[i].want);
        buf_release(&out);
    }
}
#define CHECK(table) check_with((table), sizeof (table) / sizeof *(table), talk)

/* Read .Messages, so that the template runs once. */
#define GO "{{/* .Messages */}}{{ with $.Messages }}{{ end }}"

static void statements(void **state)
{
    (void)state;
    static const struct pair row[] = {
        { GO "a {{- 1 -}} b", "a1b" }, { GO "a {{ 1 }} b", "a 1 b" }, { GO " {{- /* x */ -}} b", "b" },
        { GO "{{if .s}}y{{else}}n{{end}}{{if .z}}y{{else if .Missing}}m{{else}}n{{end}}", "yn" },
        { GO "{{with .s}}{{.}}{{end}}{{with .z}}{{else with .t}}{{.}}{{else}}x{{end}}", "h\xc3\xa9llotrue" },
        { GO "{{range .l}}{{.}},{{end}}{{range .m}}{{.}};{{end}}{{range $k, $v := .m}}{{$k}}={{$v}} {{end}}",
          "a,b,c,x;1;a=x b=1 " },
        { GO "{{range $i, $x := .l}}{{if eq $x \"b\"}}{{continue}}{{end}}{{$i}}{{$x}}{{end}}", "0a2c" },
        { GO "{{range .l}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}{{range .z}}{{else}}none{{end}}", "anone" },
        { GO "{{range 3}}{{.}}{{end}}{{range $i, $_ := .l}}{{len (slice $.l $i)}}{{end}}", "012321" },
        { GO "{{$x := 1}}{{range .l}}{{$x = 2}}{{$x := 5}}{{end}}{{$x}}{{if $y := .s}}{{$y}}{{end}}", "2h\xc3\xa9llo" },
        { GO "{{define \"q\"}}<{{.}}{{with $}}{{.}}{{end}}>{{end}}{{template \"q\" .s}}{{template \"q\"}}",
          "<h\xc3\xa9lloh\xc3\xa9llo><<no value>>" },
        { GO "{{block \"b\" .n}}[{{.}}]{{end}}{{template \"b\" 7}}", "[3][7]" },
        { GO "{{define \"down\"}}{{if .}}{{len .}}{{template \"down\" (slice . 1)}}{{end}}{{end}}{{template "
          "\"down\" \"abc\"}}", "321" },
    };
    CHECK(row);
}

static void values(void **state)
{
    (void)state;
    static const struct pair row[] = {
        { GO "{{1}} {{-1}} {{0x1f}} {{1_000}} {{1.5}} {{'a'}} {{\"q\\n\\u00e9\\x41\"}} {{`r\\n`}} {{true}}",
          "1 -1 31 1000 1.5 97 q\n\xc3\xa9" "A r\\n true" },
        { GO "{{.z}}|{{.Missing}}|{{print .z}}|{{.l}}|{{.m}}|{{.f}}|{{.big}}|{{.n}}|{{index .Messages 0}}|{{print (ind"
          "ex .Messages 0)}}",
          "<no value>|<no value>|<nil>|[a b c]|map[a:x b:1]|0.1|1e+21|3|{system Be brief.  [] []  }|&{system Be brief."
          "  [] []  }" },
        { GO "{{and 0 1}}{{and 1 \"\"}}{{or 0 \"x\" 2}}{{or \"\" 0}}{{not .l}}{{not .Missing}}", "0x0falsetrue" },
        { GO "{{or true (index .l 9)}}{{and false (index .l 9)}}", "truefalse" },
        { GO "{{eq 1 1}}{{eq .s \"x\" \"h\xc3\xa9llo\"}}{{ne 1 2}}{{lt 1 2}}{{le \"a\" \"b\"}}{{gt 1.5 0.5}}{{ge 1 2}}"
          "{{eq nil .z}}{{eq \"\" .z}}",
          "truetruetruetruetruetruefalsetruefalse" },
        { GO "{{len .s}} {{len .l}} {{len .m}} {{index .l 1}} {{index .m \"a\"}} {{index .m \"q\"}} {{slice .s 0 1}} {"
          "{slice .l 1}} {{index .s 1}}",
          "6 3 2 b x <no value> h [b c] 195" },
        { GO "{{print 1 2 \"a\" \"b\" 3}}{{println 1 \"a\"}}{{print}}", "1 2ab31 a\n" },
        { GO "{{printf \"%s|%v|%5d|%-4s|%q|%t|%03d|%.2f|%%|%x\" .s .l 7 \"a\" \"x\\\"\" true 5 1.255 255}}",
          "h\xc3\xa9llo|[a b c]|    7|a   |\"x\\\"\"|true|005|1.25|%|ff" },
        { GO "{{.s | printf \"%s-%s\" \"a\" | len}} {{(index .l 0) | eq \"a\"}}", "8 true" },
        { GO "{{json .m}} {{json .l}} {{json .z}} {{json .f}} {{json .big}} {{json 1}} {{json \"<a&b>"
          "\\n\\u2028\\x01\"}} {{.m | json}}",
          "{\"a\":\"x\",\"b\":1} [\"a\",\"b\",\"c\"] null 0.1 1e+21 1 \"\\u003ca\\u0026b"
          "\\u003e\\n\\u2028\\u0001\" {\"a\":\"x\",\"b\":1}" },
        { GO "{{currentDate}} {{yesterdayDate}}", "2026-11-22 2026-11-21" },
    };
    CHECK(row);
}

/* Entries that are null are empty ones, as Go reads them. */
static void nothing_where_a_struct_belongs(void **state)
{
    (void)state;
    static const char vars[] =
        "{\"messages\":[null,{\"role\":\"user\",\"content\":\"x\",\"tool_calls\":[null,{\"function\":null}]},null],"
        "\"tools\":[null,{\"function\":{\"parameters\":{\"properties\":{\"p\":null,\"q\":{\"anyOf\":[null]}}}}}]}";
    static const struct pair row[] = {
        { "{{range .Messages}}[{{.Role}}{{.Content}}{{range .ToolCalls}}<{{.Function.Name}}>{{end}}]{{end}}", "[][userx<><>][]" },
        { "{{range .Messages}}{{end}}{{range .Tools}}{{.Type}}:{{range $k, $v := .Function.Parameters.Properties}}{{$k}}"
          "{{toTypeScriptType $v}};{{end}}{{end}}", "function:function:pany;qany;" },
        { "{{.System}}{{.Prompt}}|{{.Response}}", "x|" },
    };
    check_with(row, sizeof row / sizeof *row, vars);
}

static void messages_and_tools(void **state)
{
    (void)state;
    static const struct pair row[] = {
        { "{{.System}}|{{range .Messages}}{{.Role}}:{{.Content}}{{.Thinking}}{{.ToolName}};{{end}}",
          "Be brief.|system:Be brief.;user:Hi;assistant:hm;tool:noonget_time;user:Thanks\n\n&bye;" },
        { "{{range .Messages}}{{range .ToolCalls}}{{.ID}} {{.Function.Name}} {{.Function.Arguments}} {{json .}}"
          "{{range $k, $v := .Function.Arguments}} {{$k}}={{$v}}{{end}}{{end}}{{end}}",
          "c1 get_time {\"at\":12345678,\"deep\":[1.5,null,true],\"zone\":\"\\u003cCET"
          "\\u003e\"} {\"id\":\"c1\",\"function\":{\"name\":\"get_time\","
          "\"arguments\":{\"at\":12345678,\"deep\":[1.5,null,true],\"zone\":\"\\u003cCET\\u003e\"}}} at=1.2345678e+07 "
          "deep=[1.5 <nil> true] zone=<CET>" },
        { "{{/* .Messages */}}{{with .Messages}}{{end}}{{range .Tools}}{{.}}{{end}}",
          "{\"type\":\"function\",\"function\":{\"name\":\"get_time\",\"description\":\"the time\",\"parameters"
          "\":{\"type\":\"object\",\"required\":[\"zone\"],"
          "\"properties\":{\"at\":{\"type\":[\"integer\",\"null\"]},\"zone\":{\"type\":\"string\",\"description"
          "\":\"where\",\"x\":1}}}}}" },
        { GO "{{range .Tools}}{{with .Function}}{{.Name}}{{range $n, $p := .Parameters.Properties}} {{$n}}:{{$p.Type}}"
          ":{{toTypeScriptType $p}}{{end}}"
          "{{.Parameters.Required}}{{end}}{{end}}", "get_time at:[integer null]:number | null zone:string:string[zone]" },
        { GO "{{.Think}}{{.ThinkLevel}}{{.IsThinkSet}}", "falsefalse" },
    };
    CHECK(row);
    static const struct pair think[] = {
        { "{{if .Messages}}{{end}}{{.Think}} {{.ThinkLevel}} {{.IsThinkSet}} {{json .Tools}} {{json .Messages}}",
          "true high true null null" } };
    check_with(think, 1, "{\"messages\":[],\"reasoning_effort\":\"high\"}");
    check_with(&(struct pair){ "{{.Think}} {{.IsThinkSet}}{{.Response}}", "false true" }, 1,
      "{\"enable_thinking\":false,\"messages\":[]}");
}

#define CHATML "{{ if .System }}<|s|>{{ .System }}\n{{ end }}{{ if .Prompt }}<|u|>{{ .Prompt }}\n{{ end }}" \
               "<|a|>{{ .Response }}<|end|>\n"

static void older_templates(void **state)
{
    (void)state;
    static const struct { const char *source, *vars, *want; } row[] = {
        { CHATML, "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}", "<|u|>Hi\n<|a|>" },
        { CHATML, "{\"messages\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"system\",\"content"
          "\":\"T\"},{\"role\":\"user\",\"content\":\"Hi\"},"
          "{\"role\":\"assistant\",\"content\":\"Ho\"},{\"role\":\"user\",\"content"
          "\":\"A\"},{\"role\":\"user\",\"content\":\"B\"}]}",
          "<|s|>S\n\nT\n<|u|>Hi\n<|a|>Ho<|end|>\n<|u|>A\n\nB\n<|a|>" },
        { CHATML, "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content"
          "\":\"So f\"}]}", "<|u|>Hi\n<|a|>So f" },
        { CHATML, "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"system\",\"content\":\"late\"}]}",
          "<|u|>Hi\n<|a|><|end|>\n<|s|>late\n<|a|>" },
        { CHATML, "{\"prompt\":\"P\",\"system\":\"S\"}", "<|s|>S\n<|u|>P\n<|a|>" },
        { "{{ .Prompt }}:", "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},"
          "{\"role\":\"user\",\"content\":\"c\"}]}", "a:bc:" },
        { "{{if .Prompt}}[{{.Prompt}}]{{if .Response}}{{.Response}}|{{end}}{{else}}?{{end}}end", "{\"prompt\":\"x\"}", "[x]" },
        { "<P>{{ .Prompt }}<S>{{ .Suffix }}<M>", "{\"prompt\":\"a\",\"suffix\":\"b\"}", "<P>a<S>b<M>" },
        { "{{if .Suffix}}<P>{{ .Prompt }}<S>{{ .Suffix }}<M>{{else}}[{{.Prompt}}]{{end}}", "{\"prompt\":\"a\"}", "[a]" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) check_with(&(struct pair){ row[i].source, row[i].want }, 1,
      row[i].vars);
}

static void errors_say_where(void **state)
{
    (void)state;
    static const struct pair row[] = {
        { GO "{{if .x}}", "line 1, column 59: this block has no end" }, { "{{.X", "line 1, column 5: this tag is not closed" },
        { "a\nb{{ .X | }}", "line 2, column 9: a value is missing before }}" }, { "{{ .X }}{{ }}",
          "column 11: a value is missing" },
        { "{{ .X }}\n{{ foo 1 }}", "line 2, column 4: there is no function \"foo\"" }, { "{{ $x }}",
          "column 4: the variable $x is not set" },
        { "{{ .X }}{{end}}", "column 11: expected a value, found end" }, { "{{if .X}}{{else}}{{else}}{{end}}",
          "expected end, found else" },
        { "{{ .X }}{{break}}", "break outside of range" }, { "{{range .X}}{{define \"a\"}}{{end}}{{end}}",
          "expected a value, found define" },
        { "{{.X}}{{\"a}}", "not closed on its line" }, { "{{.X}}{{`a}}", "not closed by `" }, { "{{/* a }}", "not closed by */" },
        { "{{/* a */ b}}", "a remark must end its tag" }, { "{{.X}}{{(.X}}", "expected ), found }}" }, { "{{.X}}{{.X)}}",
          "expected }}, found )" },
        { "{{.X}}{{1.X}}", "is no number" }, { "{{.X}}{{\"a\".X}}", "this value has no fields" }, { "{{.X | 1}}",
          "must be a function" },
        { "{{.X}}{{12ab}}", "\"12ab\" is no number" }, { "{{.X}}{{99999999999999999999}}", "is no number" },
          { "{{.X}}{{\"\\q\"}}", "no escape" },
        { "{{.X}}{{\"\\xff\"}}", "no UTF-8" }, { "{{.X}}{{'ab'}}", "one character" }, { "{{.X}}{{.X#}}", "no meaning here" },
        { "{{$a, $b := .X}}", "expected :=, found ," }, { "{{.X}}{{template 1}}", "expected a string" },
          { "{{.X}}{{.A\"b\"}}", "a space must stand" },
        { "{{define \"a\"}}1{{end}}{{define \"a\"}}2{{end}}{{.X}}", "two templates \"a\"" }, { "{{html .X}}",
          "no function \"html\"" },
        { GO "{{ len 3 }}", "column 53: len: a int has no length" }, { GO "{{ index .l 3 }}",
          "position 3 is outside of what has 3" },
        { GO "{{ .s.x }}", "a string has no field x" }, { GO "{{ .z.x }}", "the field x of nil" },
          { GO "{{range .Messages}}{{.Nope}}{{end}}",
          "a message has no field Nope" }, { GO "{{ eq 1 \"a\" }}", "a int cannot be compared with a string" },
          { GO "{{ eq .l .l }}", "compared" },
        { GO "{{ lt true false }}", "compared" }, { GO "{{ len }}", "len: 0 arguments" }, { GO "{{ .s 1 }}",
          "only functions take arguments" },
        { GO "{{ range .s }}{{end}}", "range cannot go over a string" }, { GO "{{ slice .s 2 }}", "cuts a character in two" },
        { GO "{{ slice .l 2 1 }}", "slice: from 2 to 1" }, { GO "{{ template \"q\" }}", "there is no template \"q\"" },
          { GO "{{ nil }}", "nil is no command" },
        { GO "{{ printf \"%d\" .s }}", "%d of a string" }, { GO "{{ printf \"%d\" }}", "more than 0 values" },
          { GO "{{ printf \"a\" 1 }}", "asks for 0" },
        { GO "{{ range $i, $x := 3 }}{{end}}", "sets one variable" }, { GO "{{ index .z 1 }}", "index: of nil" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct buf out;
        struct err e;
        int rc = render_with(row[i].source, talk, NULL, &out, &e);
        if (rc == 0) fail_msg("%s gives \"%s\", no error", row[i].source, out.data ? out.data : "");
        if (rc != ERR_FORMAT || !strstr(e.msg, row[i].want) || !strstr(e.msg, "template: line "))
            fail_msg("%s: %d: %s\n  does not say %s", row[i].source, rc, e.msg, row[i].want);
        assert_int_equal(out.len, 0);
        buf_release(&out);
    }
}

static void budgets(void **state)
{
    (void)state;
    static const struct { const char *source, *want; struct template_limits lim; } row[] = {
        { GO "{{define \"r\"}}{{template \"r\" .}}{{end}}{{template \"r\" .}}", "levels of calls", { .depth = 50 } },
        { GO "{{range 1000000000}}{{range 1000000000}}{{end}}{{end}}", "more than 1000000 steps", { .ms = 100000 } },
        { GO "{{range 1000000}}0123456789{{end}}", "more than 1000 bytes of output", { .output = 1000 } },
        { GO "{{$x := \"0123456789\"}}{{range 100}}{{$x = print $x $x}}{{end}}", "longer than", { .output = 100000 } },
        { GO "{{$x := .l}}{{range 1000}}{{$y := slice $x 0}}{{end}}", "bytes of values", { .memory = 20000 } },
        { GO "{{printf \"%9999d\" 1}}", "wider than 1000", { 0 } },
        { GO "{{range 100000}}{{range 100}}{{end}}{{end}}", "it took more than 1 ms", { .ms = 1, .steps = 1u << 30 } },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct buf out;
        struct err e;
        int rc = render_with(row[i].source, talk, &row[i].lim, &out, &e);
        if (rc != ERR_LIMIT || !strstr(e.msg, row[i].want)) fail_msg("%s: %d: %s", row[i].source, rc, e.msg);
        assert_int_equal(out.len, 0);
        buf_release(&out);
    }
    struct buf deep = { 0 }, out;
    struct err e;
    for (int i = 0; i < 200; i++) buf_puts(&deep, "{{if .X}}");
    assert_int_equal(render_with(deep.data, talk, NULL, &out, &e), ERR_LIMIT);
    buf_clear(&deep);
    buf_puts(&deep, "{{.X}}{{");
    for (int i = 0; i < 200; i++) buf_putc(&deep, '(');
    assert_int_equal(render_with(deep.data, talk, NULL, &out, &e), ERR_LIMIT);
    buf_clear(&deep);
    buf_puts(&deep, "{{.X}}");
    for (int i = 0; i < 300; i++) buf_printf(&deep, "{{$v%d := 1}}", i);
    assert_int_equal(render_with(deep.data, talk, NULL, &out, &e), ERR_FORMAT);
    assert_non_null(strstr(e.msg, "more than 256 variables"));
    buf_release(&deep);
}

static bool mark(const void *arg, const char *s, size_t n, struct buf *out)
{
    (void)arg;
    for (size_t i = 0; i < n; i++) {
        buf_putc(out, '\xff');
        buf_putc(out, s[i]);
    }
    return n > 0;
}

/* The marks of text from outside are there in the output and nowhere else. */
static void marks(void **state)
{
    (void)state;
    static const struct template_guard guard = { mark, NULL, NULL };
    static const struct template_limits lim = { .guard = &guard };
    static const struct pair row[] = {
        { "{{range .Messages}}{{.Role}}{{end}}", "\xffu\xffs\xff" "e\xffr" },
        { GO "{{len .s}}{{eq .s \"abc\"}}{{index .s 1}}{{slice .s 1 2 | len}}{{(index .Messages 0).Role | eq \"user\"}}",
          "3true981true" },
        { GO "{{slice .s 1 2}}|{{json .s}}|{{.m.k}}{{index .m \"k\"}}{{range $k, $v := .m}}{{eq $k \"k\"}}{{end}}",
          "b\xff|\"\xff" "a\xff" "b\xff" "c\"|\xffv\xffvtrue" },
        { "{{.Prompt}}", "\xffh\xffi" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct buf out;
        struct err e;
        if (render_with(row[i].source, "{\"messages\":[{\"role\":\"user\",\"content"
          "\":\"hi\"}],\"s\":\"abc\",\"m\":{\"k\":\"v\"}}", &lim, &out, &e) < 0)
            fail_msg("%s: %s", row[i].source, e.msg);
        if (strcmp(out.data, row[i].want)) fail_msg("%s gives %s", row[i].source, out.data);
        buf_release(&out);
    }
}

/* What a chat finds out of a template by trying it. */
static void styles(void **state)
{
    (void)state;
    static const char qwen[] =
        "{{ if or .System .Tools }}<|im_start|>system\n{{ .System }}{{ range .Tools }}\n{{ json . }}{{ end }}<|im_end|"
        ">\n{{ end }}"
        "{{ range $i, $m := .Messages }}{{ if eq .Role \"user\" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n"
        "{{ else if eq .Role \"assistant\" }}<|im_start|>assistant\n{{ if .Thinking }}<think>{{ .Thinking }}</think>{{"
        " end }}{{ .Content }}"
        "{{ range .ToolCalls }}<tool_call>{\"name\": \"{{ .Function.Name }}\", \"arguments\": {{ .Function.Arguments }"
        "}}</tool_call>{{ end }}<|im_end|>\n"
        "{{ else if eq .Role \"tool\" }}<|im_start|>user\n<tool_response>{{ .Content }}</tool_response><|im_end|>"
        "\n{{ end }}{{ end }}"
        "<|im_start|>assistant\n{{ if and .IsThinkSet (not .Think) }}<think></think>{{ end }}";
    struct template *tp;
    struct chat_style s;
    assert_int_equal(template_compile(&tp, qwen, sizeof qwen - 1, NULL), 0);
    chat_style_find(tp, qwen, sizeof qwen - 1, &s);
    assert_true(s.caps.system && s.caps.tools && s.caps.calls && s.caps.results && s.caps.strings && !s.caps.parts &&
      !s.caps.text_args);
    assert_int_equal(s.caps.reasoning, REASONING_THINKING);
    assert_string_equal(s.dialect.form->name, "hermes");
    assert_string_equal(s.dialect.think_open, "<think>");
    assert_true(s.says_thinking && !s.says_effort && !template_fills(tp));
    template_free(tp);
    assert_int_equal(template_compile(&tp, CHATML, sizeof CHATML - 1, NULL), 0);
    chat_style_find(tp, CHATML, sizeof CHATML - 1, &s);
    assert_true(s.caps.system && !s.caps.tools && !s.caps.calls && !s.caps.results && s.caps.strings && !s.caps.developer);
    assert_false(s.says_thinking);
    template_free(tp);
}

static void languages_of_templates(void **state)
{
    (void)state;
    static const char *const go[] = { "{{ .Prompt }}", "{{- if .System }}x{{ end }}", "a{{range .Messages}}",
                                      "{{ $x := 1 }}", "{{end}}",
                                      "{{-   else }}", "{{/* remark */}}", "{{ json .Tools }}", "{{ messages }}{{ .X }}",
                                      "{{ and .X 1 }}",
                                      "{{ not (eq $.X 1) }}", "{{-if .X}}" };
    static const char *const jinja[] = { "{{ messages }}", "{% if x %}{{ x }}{% endif %}", "{{ '.x' }}", "no template", "{{",
                                         "{{ end_of }}",
                                         "{{ end.x }}", "{{ range(3) }}", "{{ ifx }}", "{{ json(x) }}", "{{-bos_token }}",
                                         "{{ a .b }}", "{{ 'x .Y' }}", "{{ x }} .Y $z" };
    for (size_t i = 0; i < sizeof go / sizeof *go; i++)
        if (!template_is_go(go[i], strlen(go[i]))) fail_msg("not taken for Go: %s", go[i]);
    for (size_t i = 0; i < sizeof jinja / sizeof *jinja; i++)
        if (template_is_go(jinja[i], strlen(jinja[i]))) fail_msg("taken for Go: %s", jinja[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements), cmocka_unit_test(values), cmocka_unit_test(nothing_where_a_struct_belongs),
        cmocka_unit_test(messages_and_tools),
          cmocka_unit_test(older_templates),
        cmocka_unit_test(errors_say_where), cmocka_unit_test(budgets), cmocka_unit_test(marks), cmocka_unit_test(styles),
        cmocka_unit_test(languages_of_templates),
    };
    return run_tests(tests);
}
