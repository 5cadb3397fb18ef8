#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/command.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/os.h"
#include "base/os_proc.h"
#include "base/sandbox.h"
#include "server/client.h"

/* A server in a network of its own that leads nowhere, asked over a Unix socket; then what its processes gave up, as the kernel
 * tells it of them, and what comes of trying to get out. */

enum { WAIT_MS = 60000, TICK_MS = 20, MAX_PROCS = 16 };

struct fields { const char *prompt; };

#define AT(field) offsetof(struct fields, field)
static const struct opt row[] = {
    { "prompt", NULL, 0, OPT_STR, "TEXT", "Say hello.", "what the model is asked meanwhile", NULL, AT(prompt), 0, 0 },
};

struct proof { char folder[64], address[96]; pid_t server; bool alone, good; };

static void say(struct proof *p, bool good, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void say(struct proof *p, bool good, const char *fmt, ...)
{
    struct err line;
    struct buf b = { 0 };
    va_list ap;
    va_start(ap, fmt);
    os_vformat(line.msg, sizeof line.msg, fmt, ap);
    va_end(ap);
    buf_printf(&b, "%s  %s\n", good ? "ok " : "NO ", line.msg);
    term_put(&b);
    p->good = p->good && good;
}

/* ---- the server ---- */

static int start_server(struct proof *p, const char *model, struct err *err)
{
    char host[128], self[4096];
    if (!os_self_path(self, sizeof self)) return err_set(err, ERR_IO, "cannot find the file of this program");
    snprintf(p->folder, sizeof p->folder, "/tmp/hearth-prove-XXXXXX");
    if (!mkdtemp(p->folder)) return err_set(err, ERR_IO, "cannot make a folder in /tmp: %s", strerror(errno));
    snprintf(p->address, sizeof p->address, "unix:%s/socket", p->folder);
    snprintf(host, sizeof host, "--host=%s", p->address);
    char *argv[] = { (char *)(uintptr_t)"hearth", (char *)(uintptr_t)"serve", host, (char *)(uintptr_t)"--log=-",
                     (char *)(uintptr_t)model, NULL };
    p->server = fork();
    if (p->server == 0) {
        int null = open("/dev/null", O_RDWR);
        for (int i = 0; i < 3; i++) dup2(null, i);
        execv(self, argv);
        _exit(127);
    }
    return p->server < 0 ? err_set(err, ERR_IO, "cannot start a process: %s", strerror(errno)) : 0;
}

static int wait_for_server(struct proof *p, struct err *err)
{
    struct client_question q = { p->address, "GET", "/health", NULL, NULL, 2000 };
    for (int ms = 0; ms < WAIT_MS && !signals_pending(); ms += TICK_MS) {
        struct buf b = { 0 };
        int status = 0, code, rc = client_ask(&q, &status, &b, err);
        buf_release(&b);
        if (rc == 0 && status == 200) return 0;
        if (waitpid(p->server, &code, WNOHANG) == p->server) {
            p->server = 0;
            return err_set(err, ERR_IO, "the server ended as it began; `hearth serve` says why");
        }
        fs_sleep_ms(TICK_MS);
    }
    return err_set(err, ERR_IO, "the server did not begin within %d s", WAIT_MS / 1000);
}

static void stop_server(struct proof *p)
{
    char path[128];
    if (p->server > 0) {
        kill(p->server, SIGTERM);
        waitpid(p->server, NULL, 0);
    }
    snprintf(path, sizeof path, "%s/socket", p->folder);
    unlink(path);
    rmdir(p->folder);
}

/* ---- a conversation ---- */

static int chat(struct proof *p, const char *prompt, struct err *err)
{
    struct buf body = { 0 }, answer = { 0 };
    struct json *j = NULL;
    int status = 0;
    buf_puts(&body, "{\"messages\":[{\"role\":\"user\",\"content\":");
    json_write_str(prompt, strlen(prompt), &body);
    buf_puts(&body, "}],\"max_tokens\":40,\"temperature\":0,\"stream\":false}");
    struct client_question q = { p->address, "POST", "/v1/chat/completions", NULL, body.data, WAIT_MS };
    int rc = body.bad ? err_set(err, ERR_NOMEM, "out of memory") : client_ask(&q, &status, &answer, err);
    if (rc == 0) rc = json_parse(&j, answer.data ? answer.data : "", answer.len, err);
    const struct json *message = json_get(json_at(json_get(j, "choices"), 0), "message");
    const char *text = json_str(json_get(message, "content"), NULL);
    if (rc == 0) say(p, status == 200 && text, "a conversation over the socket: \"%.200s\"", text ? text : answer.data);
    json_free(j);
    buf_release(&body);
    buf_release(&answer);
    return rc;
}

/* ---- what its processes gave up ---- */

struct status { char name[32]; int parent, seccomp, no_new_privs; };

static bool read_status(int pid, struct status *out)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "re");
    *out = (struct status){ .parent = -1, .seccomp = -1, .no_new_privs = -1 };
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "Name: %31s", out->name) == 1) continue;
        if (sscanf(line, "PPid: %d", &out->parent) == 1) continue;
        if (sscanf(line, "NoNewPrivs: %d", &out->no_new_privs) == 1) continue;
        if (sscanf(line, "Seccomp: %d", &out->seccomp) == 1) continue;
    }
    if (f) fclose(f);
    return f != NULL;
}

struct family { int pid[MAX_PROCS]; size_t n; };

static int add_child(void *arg, const char *name, struct err *err)
{
    struct family *f = arg;
    struct status s;
    int pid = atoi(name);
    (void)err;
    if (pid <= 0 || !read_status(pid, &s) || f->n == MAX_PROCS) return 0;
    bool child = false, known = false;
    for (size_t i = 0; i < f->n; i++) {
        child = child || f->pid[i] == s.parent;
        known = known || f->pid[i] == pid;
    }
    if (child && !known) f->pid[f->n++] = pid;
    return 0;
}

static void look_at_processes(struct proof *p)
{
    struct family f = { { (int)p->server }, 1 };
    for (int depth = 0; depth < 3; depth++) fs_list("/proc", add_child, &f, NULL);
    for (size_t i = 0; i < f.n; i++) {
        struct status s;
        if (!read_status(f.pid[i], &s)) continue;
        /* The keeper starts the two others, and talks with nobody else. */
        bool keeper = !strcmp(s.name, "hearth-keeper");
        const char *what = i == 0 ? "which strangers talk to" : keeper ? "which starts the others" : "which computes";
        bool shut = s.seccomp == 2 && s.no_new_privs == 1;
        say(p, keeper || shut, "process %d (%s, %s): system calls are %s", f.pid[i], i ? s.name : "hearth", what,
            shut ? "filtered for good" : "not filtered");
    }
}

/* ---- trying to get out ---- */

static void try_network(struct proof *p)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(443), .sin_addr.s_addr = htonl(0xc0000201) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), rc = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&a, sizeof a), why = errno;
    if (fd >= 0) close(fd);
    say(p, rc < 0, "dialling 192.0.2.1:443 from the same network: %s", rc < 0 ? strerror(why) : "it worked");
}

/* The same code as in the server's processes, in one that ends with it. */
static void try_sandbox(struct proof *p, const char *whose, bool computes)
{
    int fd[2];
    char text[512] = "";
    if (pipe(fd) < 0) return;
    pid_t pid = fork();
    if (pid == 0) {
        struct sandbox s = { .read = NULL };
        struct buf b = { 0 };
        unsigned reached = 0;
        int rc = computes ? sandbox_compute(&s, &reached, NULL) : sandbox_serve(&reached, NULL);
        bool good = rc == 0 && reached & SANDBOX_CALLS && sandbox_try(reached, &b);
        if (!reached) buf_puts(&b, "this system or this build cannot do it");
        if (write(fd[1], b.data ? b.data : "", b.len) < 0) { }
        _exit(good ? 0 : 1);
    }
    close(fd[1]);
    int status = 1;
    for (ssize_t k, n = 0; (k = read(fd[0], text + n, sizeof text - 1 - (size_t)n)) > 0; n += k) text[n + k] = 0;
    close(fd[0]);
    waitpid(pid, &status, 0);
    say(p, status == 0, "%s: %s", whose, text);
}

static int run(const struct command *self, int argc, char **argv)
{
    struct fields f = { .prompt = "Say hello." };
    struct parsed args;
    struct err e = { 0 };
    struct proof p = { .good = true };
    int rc;
    if (!command_parse(self, argc, argv, (struct command_operands){ 0, 1 }, &f, &args, &rc)) return rc;
    p.alone = sandbox_no_network(&e) == 0;
    if (p.alone) say(&p, true, "a network of its own for the server, which leads nowhere");
    else term_note("hearth: %s; what follows is shown with the network that there is", e.msg);
    rc = start_server(&p, args.n_operands ? args.operand[0] : NULL, &e);
    if (rc == 0) rc = wait_for_server(&p, &e);
    if (rc == 0) say(&p, true, "a server that listens at %s only", p.address);
    if (rc == 0) rc = chat(&p, f.prompt, &e);
    if (rc == 0) {
        look_at_processes(&p);
        if (p.alone) try_network(&p);
        try_sandbox(&p, "what the process that strangers talk to may not do", false);
        try_sandbox(&p, "what the process that computes may not do", true);
    }
    stop_server(&p);
    if (rc < 0) return term_fail("%s", e.msg);
    if (!p.good) return term_fail("not everything is shut; see the lines that begin with NO");
    return term_puts("Nothing of this can leave the machine.\n") ? EXIT_OK : term_write_failed();
}

const struct command command_row_prove = {
    .name = "prove",
    .operands = "[MODEL]",
    .summary = "show that a server cannot send anything anywhere",
    .about = "Starts `hearth serve` in a network of its own that leads nowhere, with a Unix socket as the only way in, has a\n"
             "conversation, and shows what its processes have given up: as the kernel tells it, and by trying.\n",
    .example = "",
    .more = (const char *const[]){ "hearth prove qwen3:0.6b --prompt 'Who are you?'", NULL },
    .options = { row, sizeof row / sizeof *row },
    .run = run,
};
