/* repl_test.c - the chat in a pseudo-terminal: answers, commands, Ctrl-C, Ctrl-D, history. */
#define _XOPEN_SOURCE 700              /* posix_openpt and its family */
#define _DARWIN_C_SOURCE
#include "base/mem.h"
#include "tests/program.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

static char dir[64], model[512];

struct screen { int fd; pid_t pid; char text[65536]; size_t n, seen; };

/* The program with a new terminal as its controlling one. */
static void begin(struct screen *s, const char *const *args)
{
    *s = (struct screen){ .fd = posix_openpt(O_RDWR | O_NOCTTY) };
    assert_true(s->fd >= 0 && grantpt(s->fd) == 0 && unlockpt(s->fd) == 0);
    const char *name = ptsname(s->fd);
    fflush(NULL);
    s->pid = fork();
    if (s->pid == 0) {
        setsid();
        int fd = open(name, O_RDWR);
        ioctl(fd, TIOCSCTTY, 0);
        struct winsize size = { .ws_row = 24, .ws_col = 100 };
        ioctl(fd, TIOCSWINSZ, &size);
        for (int i = 0; i < 3; i++) dup2(fd, i);
        if (fd > 2) close(fd);
        close(s->fd);
        setenv("TERM", "xterm", 1);
        setenv("XDG_STATE_HOME", dir, 1);
        program_exec(args);
    }
}
#define BEGIN(s, ...) begin((s), (const char *const[]){ "run", __VA_ARGS__, NULL })

static void type(struct screen *s, const char *keys) { assert_int_equal(write(s->fd, keys, strlen(keys)), strlen(keys)); }

static bool take_more(struct screen *s, int ms)
{
    struct pollfd p = { .fd = s->fd, .events = POLLIN };
    if (poll(&p, 1, ms) <= 0) return false;
    ssize_t k = read(s->fd, s->text + s->n, sizeof s->text - 1 - s->n);
    if (k <= 0) return false;
    s->n += (size_t)k;
    s->text[s->n] = 0;
    return true;
}

/* Waits until `part` appears after what was seen so far. */
static void expect(struct screen *s, const char *part)
{
    for (;;) {
        char *at = strstr(s->text + s->seen, part);
        if (at) {
            s->seen = (size_t)(at - s->text) + strlen(part);
            return;
        }
        if (!take_more(s, 20000)) fail_msg("no \"%s\" in: %s", part, s->text + s->seen);
    }
}

static int end(struct screen *s)
{
    while (take_more(s, 5000)) { }
    close(s->fd);
    return program_wait(s->pid);
}

static void answers_commands_and_leaving(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    snprintf(model, sizeof model, "spark");
    static struct screen s;
    BEGIN(&s, model, "-n", "8", "--seed", "5", "--system", "Be kind.");
    expect(&s, "/help lists the commands");
    expect(&s, ">>> ");
    type(&s, "hello\n");
    expect(&s, "hello\r\n");
    expect(&s, ">>> ");
    type(&s, "/help\n");
    expect(&s, "/verbose");
    expect(&s, ">>> ");
    type(&s, "/set temp 7777\n");
    expect(&s, "from 0 to 100");
    type(&s, "/set temperature 0.25\n");
    expect(&s, ">>> ");
    type(&s, "/show\n");
    expect(&s, "qwen3");
    expect(&s, "Be kind.");
    expect(&s, "messages             3");
    expect(&s, "0.25");
    type(&s, "/hepl\n");
    expect(&s, "did you mean /help?");
    type(&s, "/result 7\n");
    expect(&s, "no call waits for a result");
    type(&s, "/verbose\n");
    expect(&s, "statistics are on");
    type(&s, "\"\"\"one\ntwo\"\"\"\n");
    expect(&s, "... ");
    expect(&s, "tokens/s");
    expect(&s, "seed 5");
    expect(&s, ">>> ");
    type(&s, "\033[200~pasted\rlines\007\r\033[201~ and more\n");   /* one message, although it has line feeds */
    expect(&s, "and more");
    expect(&s, "tokens/s");
    expect(&s, ">>> ");
    type(&s, "/show\n");
    expect(&s, "messages             7");
    expect(&s, ">>> ");
    type(&s, "/clear\n");
    expect(&s, "a new conversation");
    type(&s, "/show\n");
    expect(&s, "messages             1");
    expect(&s, ">>> ");
    type(&s, "/bye\n");
    assert_int_equal(end(&s), 0);
}

static void interrupts_keep_the_chat(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    /* One that never ends, where there is one. */
    if (!ref_path(model, sizeof model, "models/qwen3.gguf")) snprintf(model, sizeof model, "spark");
    static struct screen s;
    BEGIN(&s, model, "--ctx", "512");
    expect(&s, ">>> ");
    type(&s, "tell me everything\n");
    expect(&s, "everything\r\n");
    take_more(&s, 20000);                                      /* the answer has begun */
    type(&s, "\003");
    expect(&s, ">>> ");
    type(&s, "half a line\003");
    expect(&s, ">>> ");
    type(&s, "\003");
    expect(&s, ">>> ");
    type(&s, "\003");
    expect(&s, "Ctrl-D");
    expect(&s, ">>> ");
    type(&s, "/show\n");
    expect(&s, "messages");
    expect(&s, ">>> ");
    type(&s, "\004");
    assert_int_equal(end(&s), 0);
}

static void a_chat_is_saved_and_loaded(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    snprintf(model, sizeof model, "spark");
    static struct screen s;
    char line[160];
    BEGIN(&s, model, "-n", "4");
    expect(&s, ">>> ");
    type(&s, "first \xc3\xa9\n");
    expect(&s, "\r\n");
    expect(&s, ">>> ");
    snprintf(line, sizeof line, "/save %s/chat.json\n", dir);
    type(&s, line);
    expect(&s, "kept 2 messages");
    expect(&s, ">>> ");
    type(&s, "/clear\n");
    expect(&s, "new conversation");
    snprintf(line, sizeof line, "/load %s/chat.json\n", dir);
    type(&s, line);
    expect(&s, "2 messages from");
    type(&s, "/load /nonexistent.json\n");
    expect(&s, "No such file");
    expect(&s, ">>> ");
    type(&s, "\033[A\033[A\033[A\033[A\033[A\n");                 /* the first line again, from the history */
    expect(&s, "first \xc3\xa9");
    expect(&s, ">>> ");
    type(&s, "\004");
    assert_int_equal(end(&s), 0);
    char path[128], *text;
    size_t n;
    snprintf(path, sizeof path, "%s/hearth/history", dir);
    assert_int_equal(os_read_file(path, 1 << 20, &text, &n, NULL), 0);
    program_contains(text, "first \xc3\xa9\n");
    mem_free(text);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void write_file(const char *name, const char *text, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
}

static void a_chat_goes_on_another_day(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    static struct screen s;
    char line[160], path[128], *text;
    size_t n;
    struct stat st;
    write_file("note.txt", "the note says ``` tea\n", 22);
    write_file("cat.png", "\x89PNG\r\n\x1a\n....", 12);
    BEGIN(&s, "spark", "-n", "4", "--system", "Be kind.");
    expect(&s, ">>> ");
    type(&s, "the first question\n");
    expect(&s, "question\r\n");
    expect(&s, ">>> ");
    snprintf(line, sizeof line, "/file %s/cat.png\n", dir);
    type(&s, line);
    expect(&s, "is a PNG image; models that see are not supported yet");
    snprintf(line, sizeof line, "/file %s/note.txt\n", dir);
    type(&s, line);
    expect(&s, "goes with your next message");
    expect(&s, ">>> ");
    type(&s, "what does it say?\n");
    expect(&s, "say?\r\n");
    expect(&s, ">>> ");
    kill(s.pid, SIGKILL);                                        /* nothing is lost by that */
    close(s.fd);
    program_wait(s.pid);
    snprintf(path, sizeof path, "%s/hearth/last.json", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(os_read_file(path, 1 << 20, &text, &n, NULL), 0);
    program_contains(text, "what does it say?\\n\\nnote.txt:\\n````\\nthe note says ``` tea\\n````\\n");
    mem_free(text);
    BEGIN(&s, "--continue", "-n", "4");
    expect(&s, "going on after 5 messages");
    expect(&s, "what does it say?");
    expect(&s, ">>> ");
    type(&s, "/show\n");
    expect(&s, "Be kind.");
    expect(&s, "messages             5");
    expect(&s, ">>> ");
    type(&s, "\004");
    assert_int_equal(end(&s), 0);
    BEGIN(&s, "spark", "-n", "4", "--forget");
    expect(&s, ">>> ");
    type(&s, "a secret\n");
    expect(&s, "secret\r\n");
    expect(&s, ">>> ");
    type(&s, "\004");
    assert_int_equal(end(&s), 0);
    assert_int_equal(os_read_file(path, 1 << 20, &text, &n, NULL), 0);
    assert_null(strstr(text, "secret"));
    mem_free(text);
    /* One answer can go on with it, too. */
    setenv("XDG_STATE_HOME", dir, 1);
    struct result r = PROGRAM("and from a pipe", "run", "--continue", "-n", "3");
    program_expect(&r, 0);
    program_free(&r);
    assert_int_equal(os_read_file(path, 1 << 20, &text, &n, NULL), 0);
    program_contains(text, "and from a pipe");
    program_contains(text, "the first question");
    mem_free(text);
    unlink(path);
    r = PROGRAM("x", "run", "--continue");
    program_expect(&r, 1);
    program_contains(r.err, "no chat to continue");
    program_free(&r);
}

static void files_go_with_a_prompt(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    char note[128], image[128];
    snprintf(note, sizeof note, "%s/note.txt", dir);
    snprintf(image, sizeof image, "%s/cat.png", dir);
    write_file("note.txt", "line", 4);
    write_file("cat.png", "\xff\xd8\xff\xe0", 4);
    struct result want = PROGRAM(NULL, "run", "spark", "-n", "3", "--json", "--seed", "1", "hi\n\nnote.txt:\n```\nline\n```\n");
    struct result r = PROGRAM(NULL, "run", "spark", "-n", "3", "--json", "--seed", "1", "--file", note, "hi");
    program_expect(&want, 0);
    program_expect(&r, 0);
    char *a = strstr(want.out, "\"prompt_tokens\""), *b = strstr(r.out, "\"prompt_tokens\"");
    assert_non_null(a);
    assert_non_null(b);
    assert_memory_equal(a, b, strcspn(a, ","));
    program_free(&r);
    program_free(&want);
    r = PROGRAM(NULL, "run", "spark", "--file", image, "hi");
    program_expect(&r, 1);
    program_contains(r.err, "a JPEG image; models that see");
    program_free(&r);
    write_file("note.txt", "a\0b", 3);
    r = PROGRAM(NULL, "run", "spark", "--file", note, "hi");
    program_expect(&r, 1);
    program_contains(r.err, "no text in UTF-8");
    program_free(&r);
    r = PROGRAM(NULL, "run", "spark", "--file", "/nowhere/x", "hi");
    program_expect(&r, 1);
    program_contains(r.err, "No such file");
    program_free(&r);
}

static void a_signal_restores_the_terminal(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    snprintf(model, sizeof model, "spark");
    static struct screen s;
    struct termios before, after;
    BEGIN(&s, model);
    tcgetattr(s.fd, &before);
    expect(&s, ">>> ");
    kill(s.pid, SIGTERM);
    while (take_more(&s, 5000)) { }
    assert_int_equal(program_wait(s.pid), 143);
    assert_int_equal(tcgetattr(s.fd, &after), 0);
    assert_int_equal(before.c_lflag & (ECHO | ICANON), after.c_lflag & (ECHO | ICANON));
    close(s.fd);
}

static int make_dir(void **unused)
{
    (void)unused;
    snprintf(dir, sizeof dir, "/tmp/hearth-repl-%ld", (long)getpid());
    return mkdir(dir, 0700);
}

static int remove_dir(void **unused)
{
    (void)unused;
    static const char *const name[] = { "hearth/history", "hearth/last.json", "chat.json", "note.txt", "cat.png" };
    char path[128];
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, name[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/hearth", dir);
    rmdir(path);
    return rmdir(dir);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(answers_commands_and_leaving),
    cmocka_unit_test(interrupts_keep_the_chat),
    cmocka_unit_test(a_chat_is_saved_and_loaded),
    cmocka_unit_test(a_chat_goes_on_another_day),
    cmocka_unit_test(files_go_with_a_prompt),
    cmocka_unit_test(a_signal_restores_the_terminal),
};
int main(void) { return cmocka_run_group_tests_name("repl", tests, make_dir, remove_dir); }
