/* sandbox_linux_test.c - what a process can and cannot do once it has shut itself in.  Each test works in a child, which says
 * what came out by its exit code. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sandbox.h"
#include "tests/testing.h"

static char dir[400];

enum { NOT_REACHED = 77 };

/* Runs check in a child; its exit code is 0, the line that failed, or NOT_REACHED. */
static void in_child(int (*check)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) _exit(check());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) fail_msg("signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) == NOT_REACHED) {
        print_message("# this system, or this build, cannot do it\n");
        skip();
    }
    if (WEXITSTATUS(status)) fail_msg("line %d (modulo 256) failed", WEXITSTATUS(status));
}
#define CHECK(x) do { if (!(x)) return __LINE__ % 256 == NOT_REACHED ? 1 : __LINE__ % 256; } while (0)

static int setup(void **unused)
{
    (void)unused;
    snprintf(dir, sizeof dir, "%s/hearth-sandbox-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(dir)) return -1;
    char path[512];
    for (int i = 0; i < 3; i++) {
        static const char *const name[] = { "models", "cache", "other" };
        snprintf(path, sizeof path, "%s/%s", dir, name[i]);
        mkdir(path, 0700);
        snprintf(path, sizeof path, "%s/%s/file", dir, name[i]);
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        if (fd < 0 || write(fd, "text", 4) != 4) return -1;
        close(fd);
    }
    return 0;
}

static int open_in(const char *name, int flags)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, flags, 0600);
    if (fd >= 0) close(fd);
    return fd >= 0 ? 0 : errno;
}

static unsigned enter(bool writes)
{
    static char models[512], cache[512];
    static const char *const read[] = { models, "/nowhere" };
    unsigned reached;
    snprintf(models, sizeof models, "%s/models", dir);
    snprintf(cache, sizeof cache, "%s/cache", dir);
    struct sandbox s = { read, 2, { NULL, writes ? cache : NULL }, 0 };
    return sandbox_compute(&s, &reached, NULL) < 0 ? 0 : reached;
}

static int no_way_out(void)
{
    struct buf b = { 0 };
    unsigned reached = enter(true);
    if (!(reached & SANDBOX_CALLS)) return NOT_REACHED;
    CHECK(sandbox_try(reached, &b));
    CHECK(strstr(b.data, "socket: Operation not permitted; connect: Operation not permitted; execve: "));
    for (int domain = 1; domain < 45; domain++) CHECK(socket(domain, SOCK_STREAM, 0) < 0 && errno == EPERM);
    int fd[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0 && errno == EPERM);
    CHECK(fork() < 0 && errno == EPERM);
    CHECK(kill(getppid(), 0) < 0 && errno == EPERM);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED && mprotect(p, 4096, PROT_READ | PROT_EXEC) < 0);
    /* Whoever owns a socket is sent the signal of its choice when something comes. */
    CHECK(fcntl(0, F_SETOWN, getppid()) < 0 && errno == EPERM);
    CHECK(fcntl(0, F_SETSIG, SIGKILL) < 0 && errno == EPERM);
    CHECK(fcntl(0, F_GETFL) >= 0);
    return 0;
}
static void a_computing_process_cannot_get_out(void **unused) { (void)unused; in_child(no_way_out); }

static int files(void)
{
    if (!(enter(true) & SANDBOX_FILES)) return NOT_REACHED;
    CHECK(open_in("models/file", O_RDONLY) == 0);
    CHECK(open_in("models/file", O_RDWR) == EACCES);
    CHECK(open_in("models/new", O_CREAT | O_WRONLY) == EACCES);
    CHECK(open_in("other/file", O_RDONLY) == EACCES);
    CHECK(open_in("models/../other/file", O_RDONLY) == EACCES);
    CHECK(open_in("cache/file", O_RDWR) == 0);
    CHECK(open_in("cache/new", O_CREAT | O_RDWR) == 0);
    CHECK(open("/proc/self/environ", O_RDONLY) < 0);
    CHECK(os_memory_available() > 0 && os_core_count() > 0);
    char a[512], b[512];
    snprintf(a, sizeof a, "%s/cache/new", dir);
    snprintf(b, sizeof b, "%s/cache/newer", dir);
    CHECK(rename(a, b) == 0 && unlink(b) == 0);
    snprintf(a, sizeof a, "%s/models/file", dir);
    CHECK(unlink(a) < 0);
    return 0;
}
static void only_its_folders_are_there(void **unused) { (void)unused; in_child(files); }

static int no_writing(void)
{
    if (!(enter(false) & SANDBOX_CALLS)) return NOT_REACHED;
    CHECK(open_in("models/file", O_RDONLY) == 0);
    CHECK(open_in("cache/file", O_WRONLY) == EACCES);
    CHECK(open_in("cache/new", O_CREAT | O_RDWR) == EACCES);
    /* Also where files are not guarded by themselves: the calls are refused before anybody looks at the file. */
    CHECK(unlink("/nowhere/file") < 0 && errno == EPERM);
    CHECK(rename("/nowhere/file", "/nowhere/other") < 0 && errno == EPERM);
    CHECK(mkdir("/nowhere/folder", 0700) < 0 && errno == EPERM);
    return 0;
}
static void without_a_folder_nothing_is_written(void **unused) { (void)unused; in_child(no_writing); }

static _Atomic int counted;
static void count(void *arg)
{
    (void)arg;
    void *p = mem_new(1 << 20, 1);
    if (p) counted++;
    mem_free(p);
}

static int work(void)
{
    struct os_thread *t[4];
    char when[64];
    if (!enter(true)) return NOT_REACHED;
    for (int i = 0; i < 4; i++) CHECK(os_thread_start(&t[i], count, NULL, NULL) == 0);
    for (int i = 0; i < 4; i++) os_thread_join(t[i]);
    CHECK(counted == 4);
    CHECK(os_strftime(when, sizeof when, "%Y", os_wall_s()) == 4);
    CHECK(os_random64() != os_random64());
    void *p = os_pages_new(8 << 20);
    CHECK(p);
    memset(p, 1, 8 << 20);
    os_pages_free(p, 8 << 20);
    CHECK(write(2, "", 0) == 0);
    return 0;
}
static void threads_and_memory_are_there(void **unused) { (void)unused; in_child(work); }

static int limit(void)
{
    unsigned reached;
    struct sandbox s = { .data_limit = 64 << 20 };
    CHECK(sandbox_compute(&s, &reached, NULL) == 0);
    if (!reached) return NOT_REACHED;
    CHECK(os_pages_new(256 << 20) == NULL);
    CHECK(mem_new(256 << 20, 1) == NULL);
    void *p = mem_new(1 << 20, 1);
    CHECK(p);
    mem_free(p);
    return 0;
}
static void memory_has_a_limit(void **unused) { (void)unused; in_child(limit); }

/* A limit that is there already, and lower, stays. */
static int lower_limit(void)
{
    unsigned reached;
    struct rlimit r = { 128 << 20, 128 << 20 };
    struct sandbox s = { .data_limit = (uint64_t)1 << 40 };
    CHECK(setrlimit(RLIMIT_DATA, &r) == 0);
    if (getuid() == 0) CHECK(setgid(65534) == 0 && setuid(65534) == 0);
    CHECK(sandbox_compute(&s, &reached, NULL) == 0);
    if (!reached) return NOT_REACHED;
    CHECK(os_pages_new(256 << 20) == NULL);
    return 0;
}
static void a_lower_limit_stays(void **unused) { (void)unused; in_child(lower_limit); }

static void spin(void *arg)
{
    _Atomic int *state = arg;
    while (*state == 0) { }
    int fd = socket(AF_INET, SOCK_STREAM, 0);                  /* a thread that was there before */
    *state = fd < 0 && errno == EPERM ? 2 : 3;
}

static int serving(void)
{
    _Atomic int state = 0;
    struct os_thread *t;
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof a;
    unsigned reached;
    int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), pipefd[2];
    CHECK(l >= 0 && bind(l, (struct sockaddr *)&a, sizeof a) == 0 && listen(l, 4) == 0);
    CHECK(getsockname(l, (struct sockaddr *)&a, &n) == 0 && connect(c, (struct sockaddr *)&a, sizeof a) == 0);
    CHECK(pipe(pipefd) == 0);
    CHECK(os_thread_start(&t, spin, &state, NULL) == 0);
    CHECK(sandbox_serve(&reached, NULL) == 0);
    if (!(reached & SANDBOX_OUTBOUND)) {
        state = 1;
        os_thread_join(t);
        return NOT_REACHED;
    }
    struct buf b = { 0 };
    char byte = 0;
    CHECK(sandbox_try(reached, &b));
    int s = accept(l, NULL, NULL);                             /* what others open is served */
    CHECK(s >= 0 && send(c, "x", 1, 0) == 1 && recv(s, &byte, 1, 0) == 1 && byte == 'x');
    CHECK(sendto(s, "y", 1, 0, NULL, 0) == 1);
    CHECK(connect(c, (struct sockaddr *)&a, sizeof a) < 0 && errno == EPERM);
    CHECK(sendto(c, "y", 1, 0, (struct sockaddr *)&a, sizeof a) < 0 && errno == EPERM);
    state = 1;
    os_thread_join(t);
    CHECK(state == 2);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pipefd) == 0);
    /* One of datagrams could send to any socket that has a name. */
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pipefd) < 0 && errno == EPERM);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pipefd) < 0 && errno == EPERM);
    CHECK(fork() < 0 && errno == EPERM);
    CHECK(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) < 0 && errno == EPERM);
    CHECK(os_thread_start(&t, count, NULL, NULL) == 0);
    os_thread_join(t);
    return 0;
}
static void a_serving_process_cannot_dial(void **unused) { (void)unused; in_child(serving); }

/* A socket that no longer listens can be connected anew, by the data that are sent with it. */
static int dialled(bool shut_in)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) }, b = a;
    socklen_t n = sizeof a;
    unsigned reached = SANDBOX_OUTBOUND;
    char byte[] = "z";
    struct iovec part = { byte, 1 };
    struct mmsghdr two = { .msg_hdr = { .msg_name = &b, .msg_namelen = n, .msg_iov = &part, .msg_iovlen = 1 } };
    int l = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(l >= 0 && bind(l, (struct sockaddr *)&a, n) == 0 && listen(l, 4) == 0);
    CHECK(other >= 0 && bind(other, (struct sockaddr *)&b, n) == 0 && listen(other, 4) == 0);
    CHECK(getsockname(other, (struct sockaddr *)&b, &n) == 0);
    if (shut_in) CHECK(sandbox_serve(&reached, NULL) == 0);
    if (!(reached & SANDBOX_OUTBOUND)) return NOT_REACHED;
    CHECK(shutdown(l, SHUT_RDWR) == 0);
    if (!shut_in) return sendmsg(l, &two.msg_hdr, MSG_FASTOPEN) == 1 && accept(other, NULL, NULL) >= 0 ? 0 : NOT_REACHED;
    CHECK(sendmsg(l, &two.msg_hdr, MSG_FASTOPEN) < 0 && errno == EPERM);
    CHECK(sendmmsg(l, &two, 1, MSG_FASTOPEN) < 0 && errno == EPERM);
    return 0;
}
static int would_dial(void) { return dialled(false); }
static int does_not_dial(void) { return dialled(true); }
static void a_listener_is_not_made_to_dial(void **unused)
{
    (void)unused;
    in_child(does_not_dial);
    in_child(would_dial);                                      /* this is what was prevented */
}

/* The process that was forked before stands for those that may still do what this one has given up. */
static int other_memory(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    int fd = open(path, O_RDWR);
    if (fd >= 0) close(fd);
    return fd;
}

static int apart(void)
{
    pid_t pid = fork();
    if (pid == 0) for (;;) pause();
    bool could = other_memory(pid) >= 0, inside = sandbox_apart();
    bool can = other_memory(pid) >= 0;
    char a[512], b[512];
    snprintf(a, sizeof a, "%s/other/file", dir);
    snprintf(b, sizeof b, "%s/cache/moved", dir);
    bool moves = rename(a, b) == 0 && rename(b, a) == 0, kills = kill(pid, SIGKILL) == 0;
    CHECK(waitpid(pid, NULL, 0) == pid);
    if (!could || !inside) return NOT_REACHED;
    CHECK(!can);
    CHECK(moves && kills);                                     /* all else goes on */
    CHECK(other_memory(getpid()) >= 0);
    return 0;
}
static void a_process_apart_looks_into_no_other(void **unused) { (void)unused; in_child(apart); }

static int alone(void)
{
    struct err e;
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x08080808) };
    if (sandbox_no_network(&e) < 0) return e.code == ERR_UNSUPPORTED ? NOT_REACHED : 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) < 0 && errno == ENETUNREACH);
    CHECK(open_in("other/file", O_RDWR) == 0);
    return 0;
}
static void a_network_that_leads_nowhere(void **unused) { (void)unused; in_child(alone); }

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_computing_process_cannot_get_out),
    cmocka_unit_test(only_its_folders_are_there),
    cmocka_unit_test(without_a_folder_nothing_is_written),
    cmocka_unit_test(threads_and_memory_are_there),
    cmocka_unit_test(memory_has_a_limit),
    cmocka_unit_test(a_lower_limit_stays),
    cmocka_unit_test(a_serving_process_cannot_dial),
    cmocka_unit_test(a_listener_is_not_made_to_dial),
    cmocka_unit_test(a_process_apart_looks_into_no_other),
    cmocka_unit_test(a_network_that_leads_nowhere),
};
int main(void) { return cmocka_run_group_tests(tests, setup, NULL); }
