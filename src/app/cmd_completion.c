/* Completions for shells, made from the rows of the commands.  Names of models are asked for when they are needed; only
 * those that a shell takes as they are are offered, since anybody may have named a file. */
#include <string.h>

#include "app/command.h"
#include "app/term.h"

/* What the words of a command are: models, or files only. */
static bool takes_models(const struct command *c)
{
    return strstr(c->operands, "MODEL") || strstr(c->operands, "NAME");
}

static bool is_file(const struct opt *o)
{
    return o->kind != OPT_FLAG && (strstr(o->value, "FILE") || strstr(o->value, "FOLDER"));
}

/* The next one that is shown, from *i on; NULL at the end. */
static const struct command *next(size_t *i)
{
    const struct command *c;
    while ((c = command_at(*i)) != NULL && c->hidden) ++*i;
    return c;
}

/* "a|b" with blanks between. */
static void put_choices(const struct opt *o, struct buf *out)
{
    for (const char *p = o->value; *p; p++) buf_putc(out, *p == '|' ? ' ' : *p);
}

/* ---- bash ---- */

static void bash_options(const struct command *c, struct buf *out)
{
    for (size_t i = 0; i < c->options.n; i++) buf_printf(out, " --%s", c->options.row[i].name);
}

static void bash_values(const struct command *c, struct buf *out)
{
    for (size_t i = 0; i < c->options.n; i++) {
        const struct opt *o = &c->options.row[i];
        if (o->kind == OPT_FLAG) continue;
        buf_printf(out, "    %s:--%s", c->name, o->name);
        if (o->letter) buf_printf(out, " | %s:-%c", c->name, o->letter);
        if (o->kind == OPT_CHOICE) {
            buf_puts(out, ") list=\"");
            put_choices(o, out);
            buf_puts(out, "\" ;;\n");
        } else
            buf_puts(out, is_file(o) ? ") kind=files ;;\n" : ") return ;;\n");
    }
}

static void bash(struct buf *out)
{
    const struct command *c;
    buf_puts(out, "# Completion of hearth for bash, made by `hearth completion bash`.\n"
                  "_hearth()\n{\n"
                  "    local cur prev words cword list= kind= word\n"
                  "    if declare -F _get_comp_words_by_ref > /dev/null; then\n"
                  "        _get_comp_words_by_ref -n : cur prev words cword\n"
                  "    else\n"
                  "        words=(\"${COMP_WORDS[@]}\") cword=$COMP_CWORD\n"
                  "        cur=${words[cword]} prev=${words[cword - 1]}\n"
                  "    fi\n"
                  "    COMPREPLY=()\n"
                  "    case ${words[1]} in\n");
    for (size_t i = 0; (c = next(&i)) != NULL; i++) {
        buf_printf(out, "    %s) kind=%s list=\"--help", c->name, takes_models(c) ? "models" : "files");
        bash_options(c, out);
        buf_puts(out, "\" ;;\n");
    }
    buf_puts(out, "    esac\n    if [ \"$cword\" -eq 1 ]; then\n        kind= list=\"--help --version");
    for (size_t i = 0; (c = next(&i)) != NULL; i++) buf_printf(out, " %s", c->name);
    buf_puts(out, "\"\n    elif [[ $cur == -* ]]; then\n        kind=\n    else\n        list=\n"
                  "        case ${words[1]}:$prev in\n");
    for (size_t i = 0; (c = next(&i)) != NULL; i++) bash_values(c, out);
    buf_puts(out, "        esac\n        [ -z \"$list\" ] || kind=\n    fi\n"
                  "    [ -z \"$list\" ] || COMPREPLY=($(compgen -W \"$list\" -- \"$cur\"))\n"
                  "    if [ \"$kind\" = models ]; then\n"
                  "        while IFS= read -r word; do\n"
                  "            [[ $word == \"$cur\"* ]] && COMPREPLY+=(\"$word\")\n"
                  "        done < <(\"${words[0]}\" list --paths 2> /dev/null | cut -f1 | LC_ALL=C grep -E "
                  "'^[A-Za-z0-9._:/-]+$')\n    fi\n"
                  "    if [ -n \"$kind\" ]; then\n"
                  "        compopt -o filenames 2> /dev/null\n"
                  "        while IFS= read -r word; do COMPREPLY+=(\"$word\"); done < <(compgen -f -- \"$cur\")\n"
                  "    fi\n"
                  "    declare -F __ltrim_colon_completions > /dev/null && __ltrim_colon_completions \"$cur\"\n"
                  "    return 0\n}\ncomplete -F _hearth hearth\n");
}

/* ---- zsh ---- */

/* Inside single quotes, in a text that _arguments and _describe read. */
static void zsh_text(const char *s, struct buf *out)
{
    for (; *s; s++)
        if (*s == '\'') buf_puts(out, "'\\''");
        else if (strchr(":[]\\", *s)) buf_printf(out, "\\%c", *s);
        else buf_putc(out, *s);
}

static void zsh_option(const struct opt *o, struct buf *out)
{
    buf_puts(out, " \\\n            ");
    if (o->letter) buf_printf(out, "'(-%c --%s)'{-%c,--%s}'", o->letter, o->name, o->letter, o->name);
    else buf_printf(out, "'%s--%s", o->kind == OPT_STRS ? "*" : "", o->name);
    buf_putc(out, '[');
    zsh_text(o->help, out);
    buf_putc(out, ']');
    if (o->kind != OPT_FLAG) {
        buf_putc(out, ':');
        zsh_text(o->kind == OPT_CHOICE ? "value" : o->value, out);
        buf_putc(out, ':');
        if (o->kind == OPT_CHOICE) {
            buf_putc(out, '(');
            put_choices(o, out);
            buf_putc(out, ')');
        } else if (is_file(o))
            buf_puts(out, "_files");
    }
    buf_putc(out, '\'');
}

static void zsh(struct buf *out)
{
    const struct command *c;
    buf_puts(out, "#compdef hearth\n# Completion of hearth for zsh, made by `hearth completion zsh`.\n"
                  "_hearth_models()\n{\n    local -a names\n"
                  "    names=(${(f)\"$(hearth list --paths 2> /dev/null | cut -f1 | LC_ALL=C grep -E '^[A-Za-z0-9._:/-]+$')\"})\n"
                  "    compadd -a names\n    _files\n}\n"
                  "_hearth()\n{\n    local -a commands\n    commands=(\n");
    for (size_t i = 0; (c = next(&i)) != NULL; i++) {
        buf_printf(out, "        '%s:", c->name);
        zsh_text(c->summary, out);
        buf_puts(out, "'\n");
    }
    buf_puts(out, "    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n"
                  "    shift words\n    (( CURRENT-- ))\n    case $words[1] in\n");
    for (size_t i = 0; (c = next(&i)) != NULL; i++) {
        buf_printf(out, "    %s)\n        _arguments '(-h --help)'{-h,--help}'[show the help]'", c->name);
        for (size_t k = 0; k < c->options.n; k++) zsh_option(&c->options.row[k], out);
        buf_printf(out, " \\\n            '*:word:%s' ;;\n", takes_models(c) ? "_hearth_models" : "_files");
    }
    buf_puts(out, "    esac\n}\nif [ \"$funcstack[1]\" = _hearth ]; then _hearth \"$@\"; else compdef _hearth hearth; fi\n");
}

/* ---- fish ---- */

static void fish_text(const char *s, struct buf *out)
{
    buf_putc(out, '\'');
    for (; *s; s++) {
        if (*s == '\'' || *s == '\\') buf_putc(out, '\\');
        buf_putc(out, *s);
    }
    buf_putc(out, '\'');
}

static void fish(struct buf *out)
{
    const struct command *c;
    buf_puts(out, "# Completion of hearth for fish, made by `hearth completion fish`.\n"
                  "function __hearth_models\n    hearth list --paths 2> /dev/null | cut -f1 | "
                  "string match -r '^[A-Za-z0-9._:/-]+$'\nend\n");
    for (size_t i = 0; (c = next(&i)) != NULL; i++) {
        buf_printf(out, "complete -c hearth -f -n __fish_use_subcommand -a %s -d ", c->name);
        fish_text(c->summary, out);
        buf_putc(out, '\n');
        if (takes_models(c))
            buf_printf(out, "complete -c hearth -n '__fish_seen_subcommand_from %s' -a '(__hearth_models)'\n", c->name);
        for (size_t k = 0; k < c->options.n; k++) {
            const struct opt *o = &c->options.row[k];
            buf_printf(out, "complete -c hearth -n '__fish_seen_subcommand_from %s' -l %s", c->name, o->name);
            if (o->letter) buf_printf(out, " -s %c", o->letter);
            if (o->kind != OPT_FLAG) buf_puts(out, is_file(o) ? " -r" : " -x");
            if (o->kind == OPT_CHOICE) {
                buf_puts(out, " -a '");
                put_choices(o, out);
                buf_putc(out, '\'');
            }
            buf_puts(out, " -d ");
            fish_text(o->help, out);
            buf_putc(out, '\n');
        }
    }
}

static int run(const struct command *self, int argc, char **argv)
{
    static const struct { const char *shell; void (*put)(struct buf *out); } shell[] = { { "bash", bash }, { "zsh", zsh },
                                                                                         { "fish", fish } };
    struct parsed p;
    struct buf b = { 0 };
    size_t i = 0;
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 1, 1 }, NULL, &p, &rc)) return rc;
    while (i < 3 && strcmp(shell[i].shell, p.operand[0])) i++;
    if (i == 3) return term_usage(self->name, "there is no completion for \"%s\"; bash, zsh and fish have one", p.operand[0]);
    shell[i].put(&b);
    return term_put(&b) ? EXIT_OK : term_write_failed();
}

const struct command command_row_completion = {
    .name = "completion",
    .operands = "bash|zsh|fish",
    .summary = "print a script that completes commands, options and names of models",
    .about = "For this shell only:\n\n  source <(hearth completion bash)\n\nFor good, where no package has put it there:\n\n"
             "  hearth completion bash > ~/.local/share/bash-completion/completions/hearth\n"
             "  hearth completion zsh > \"${fpath[1]}/_hearth\"\n"
             "  hearth completion fish > ~/.config/fish/completions/hearth.fish\n",
    .example = "bash",
    .run = run,
};
