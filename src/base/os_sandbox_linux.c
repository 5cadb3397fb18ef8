/* os_sandbox_linux.c - sandbox.h with seccomp (Linux 3.17) for system calls and Landlock (5.13) for files. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/sandbox.h"

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#else
#define THIS_ARCH 0
#endif

/* Sanitizers look into other parts of the process and at files of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
#else
enum { SANITIZED = 0 };
#endif

/* ---- system calls ---- */

enum { MAX_FILTER = 512, X32_BIT = 0x40000000 };
struct filter { struct sock_filter code[MAX_FILTER]; unsigned short n; };

static void add(struct filter *f, struct sock_filter c)
{
    if (f->n < MAX_FILTER) f->code[f->n++] = c;
}

#define LOAD(offset) add(f, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (offset)))
#define RETURN(value) add(f, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, (value)))
/* Goes on with the next instruction when the test holds, else behind the `skip` that follow. */
#define WHEN(test, value, skip) add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | (test) | BPF_K, (value), 0, (skip)))
#define UNLESS(test, value, skip) add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | (test) | BPF_K, (value), (skip), 0))
#define NR offsetof(struct seccomp_data, nr)
#define ARG(i) (offsetof(struct seccomp_data, args) + 8 * (i))         /* its low half: both machines are little-endian */
#define REFUSE(e) (SECCOMP_RET_ERRNO | (e))

static void begin(struct filter *f)
{
    f->n = 0;
    LOAD(offsetof(struct seccomp_data, arch));
    UNLESS(BPF_JEQ, THIS_ARCH, 1);
    RETURN(SECCOMP_RET_KILL_PROCESS);
    LOAD(NR);
    WHEN(BPF_JGE, X32_BIT, 1);
    RETURN(REFUSE(ENOSYS));
}

static void when(struct filter *f, unsigned nr, unsigned action)
{
    WHEN(BPF_JEQ, nr, 1);
    RETURN(action);
}

/* A call whose argument has none of these bits is allowed. */
static void allow_without_bits(struct filter *f, unsigned nr, unsigned arg, unsigned bits, int error)
{
    WHEN(BPF_JEQ, nr, 4);
    LOAD(ARG(arg));
    WHEN(BPF_JSET, bits, 1);
    RETURN(REFUSE(error));
    RETURN(SECCOMP_RET_ALLOW);
}

/* A call is allowed when its argument (all 64 bits) is this. */
static void allow_with(struct filter *f, unsigned nr, unsigned arg, uint64_t value)
{
    WHEN(BPF_JEQ, nr, 6);
    LOAD(ARG(arg));
    WHEN(BPF_JEQ, (uint32_t)value, 3);
    LOAD(ARG(arg) + 4);
    WHEN(BPF_JEQ, (uint32_t)(value >> 32), 1);
    RETURN(SECCOMP_RET_ALLOW);
    RETURN(REFUSE(EPERM));
}

static int install(struct filter *f, unsigned flags)
{
    struct sock_fprog p = { f->n, f->code };
    if (f->n == MAX_FILTER || !THIS_ARCH) return -1;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p) == 0 ? 0 : -1;
}

/* What computing, files and threads need. */
static const unsigned short compute_call[] = {
    SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_lseek, SYS_close, SYS_fstat,
    SYS_newfstatat, SYS_statx, SYS_statfs, SYS_fstatfs, SYS_getdents64, SYS_faccessat, SYS_readlinkat, SYS_getcwd,
    SYS_fsync, SYS_fdatasync, SYS_flock, SYS_fadvise64, SYS_ppoll, SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk,
    SYS_msync, SYS_mincore, SYS_membarrier, SYS_futex, SYS_sched_yield, SYS_sched_getaffinity, SYS_set_robust_list,
    SYS_set_tid_address, SYS_gettid, SYS_getpid, SYS_getppid, SYS_exit, SYS_exit_group, SYS_rt_sigaction,
    SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack, SYS_restart_syscall, SYS_nanosleep, SYS_clock_nanosleep,
    SYS_clock_gettime, SYS_clock_getres, SYS_getrandom, SYS_getrusage, SYS_sysinfo, SYS_uname, SYS_getuid, SYS_geteuid,
    SYS_getgid, SYS_getegid, SYS_recvfrom, SYS_getcpu, SYS_gettimeofday,
#ifdef SYS_rseq
    SYS_rseq,
#endif
#ifdef SYS_faccessat2
    SYS_faccessat2,
#endif
#ifdef SYS_open                        /* x86-64 has older forms of some */
    SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_poll, SYS_time,
#endif
};

/* What changes files, for who has a folder for that. */
static const unsigned short write_call[] = {
    SYS_ftruncate, SYS_fallocate, SYS_renameat, SYS_renameat2, SYS_unlinkat, SYS_mkdirat, SYS_utimensat,
#ifdef SYS_open
    SYS_rename, SYS_unlink, SYS_mkdir, SYS_rmdir,
#endif
};

static void threads_only(struct filter *f)
{
    WHEN(BPF_JEQ, SYS_clone, 4);
    LOAD(ARG(0));
    WHEN(BPF_JSET, CLONE_THREAD, 1);
    RETURN(SECCOMP_RET_ALLOW);
    RETURN(REFUSE(EPERM));
    when(f, 435 /* clone3, whose flags lie in memory: the C library then takes clone */, REFUSE(ENOSYS));
}

/* Descriptors and locks of its own.  Not who is sent a signal when a socket has something, and which signal: any process of the
 * user, SIGKILL. */
static void own_fcntl_only(struct filter *f)
{
    WHEN(BPF_JEQ, SYS_fcntl, 6);
    LOAD(ARG(1));
    UNLESS(BPF_JGT, F_SETLKW, 1);
    RETURN(SECCOMP_RET_ALLOW);
    WHEN(BPF_JEQ, F_DUPFD_CLOEXEC, 1);
    RETURN(SECCOMP_RET_ALLOW);
    RETURN(REFUSE(EPERM));
}

static int restrict_compute(bool writes)
{
    static struct filter filter;
    struct filter *f = &filter;
    unsigned to_write = writes ? 0 : O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;
    begin(f);
    for (size_t i = 0; i < sizeof compute_call / sizeof *compute_call; i++) when(f, compute_call[i], SECCOMP_RET_ALLOW);
    for (size_t i = 0; writes && i < sizeof write_call / sizeof *write_call; i++) when(f, write_call[i], SECCOMP_RET_ALLOW);
    allow_without_bits(f, SYS_openat, 2, to_write, EACCES);
#ifdef SYS_open
    allow_without_bits(f, SYS_open, 1, to_write, EACCES);
#endif
    allow_without_bits(f, SYS_mmap, 2, PROT_EXEC, EPERM);
    allow_without_bits(f, SYS_mprotect, 2, PROT_EXEC, EPERM);
    allow_with(f, SYS_sendto, 4, 0);                           /* to the other end only */
    allow_with(f, SYS_prctl, 0, PR_SET_NAME);
    allow_with(f, SYS_prlimit64, 2, 0);                        /* asks, sets nothing */
    allow_with(f, SYS_tgkill, 0, (uint64_t)getpid());          /* abort() */
    own_fcntl_only(f);
    threads_only(f);
    when(f, SYS_ioctl, REFUSE(ENOTTY));
    RETURN(REFUSE(EPERM));
    return install(f, 0);
}

/* What only those need who open connections, start programs, or look into others. */
static const unsigned short serve_call[] = {
    SYS_socket, SYS_connect, SYS_bind, SYS_listen, SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv,
    SYS_process_vm_writev, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_unshare, SYS_setns, SYS_mount, SYS_umount2,
    SYS_pivot_root, SYS_chroot, SYS_keyctl, SYS_add_key, SYS_request_key, SYS_init_module, SYS_finit_module, SYS_kexec_load,
    425 /* io_uring_setup */, 426 /* io_uring_enter */, 427 /* io_uring_register */, 434 /* pidfd_open */, 438 /* pidfd_getfd */,
    428 /* open_tree */, 429 /* move_mount */, 430 /* fsopen */, 432 /* fsmount */, 433 /* fspick */, 442 /* mount_setattr */,
    SYS_open_by_handle_at,
#ifdef SYS_fork
    SYS_fork, SYS_vfork,
#endif
};

/* Pairs of datagram sockets could send to every socket that has a name: the address of sendmsg lies in memory. */
static void stream_pairs_only(struct filter *f)
{
    WHEN(BPF_JEQ, SYS_socketpair, 5);
    LOAD(ARG(1));
    add(f, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf));       /* without its flags */
    WHEN(BPF_JEQ, SOCK_STREAM, 1);
    RETURN(SECCOMP_RET_ALLOW);
    RETURN(REFUSE(EPERM));
}

static int restrict_serve(void)
{
    static struct filter filter;
    struct filter *f = &filter;
    begin(f);
    for (size_t i = 0; i < sizeof serve_call / sizeof *serve_call; i++) when(f, serve_call[i], REFUSE(EPERM));
    allow_with(f, SYS_sendto, 4, 0);
    /* A listening socket that was shut down may be connected by data that are sent with an address. */
    allow_without_bits(f, SYS_sendmsg, 2, MSG_FASTOPEN, EPERM);
    allow_without_bits(f, SYS_sendmmsg, 3, MSG_FASTOPEN, EPERM);
    stream_pairs_only(f);
    threads_only(f);
    RETURN(SECCOMP_RET_ALLOW);
    return install(f, SECCOMP_FILTER_FLAG_TSYNC);
}

/* ---- files ---- */

/* Of <linux/landlock.h>, which not every system has in the version that its kernel has. */
struct ruleset { uint64_t files, net, scoped; };
struct __attribute__((packed)) beneath { uint64_t allowed; int32_t fd; };
enum { CREATE = 444, ADD_RULE = 445, RESTRICT = 446, BENEATH = 1 };
enum { MAY_WRITE = 1 << 1, MAY_READ = 1 << 2, MAY_LIST = 1 << 3, MAY_REMOVE = 1 << 5, MAY_MAKE_DEVICE = 1 << 6 | 1 << 11,
       MAY_MAKE_FOLDER = 1 << 7, MAY_MAKE = 1 << 8, MAY_REFER = 1 << 13, MAY_TRUNCATE = 1 << 14 };
enum { NET_BIND = 1, NET_CONNECT = 2, SCOPE_SOCKETS = 1, SCOPE_SIGNALS = 2 };

static uint64_t known_rights(int abi)
{
    return abi >= 5 ? 0xffff : abi >= 3 ? 0x7fff : abi == 2 ? 0x3fff : 0x1fff;
}

/* A path that is not there cannot be allowed; one that cannot be opened is not readable either way. */
static void allow_path(int ruleset, const char *path, uint64_t rights)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) return;
    if (fstat(fd, &st) == 0) {
        if (!S_ISDIR(st.st_mode)) rights &= MAY_READ | MAY_WRITE | MAY_TRUNCATE;
        struct beneath b = { rights, fd };
        syscall(ADD_RULE, ruleset, BENEATH, &b, 0);
    }
    close(fd);
}

static int landlock_version(void) { return (int)syscall(CREATE, NULL, 0, 1); }

static int new_ruleset(int abi, struct ruleset r)
{
    if (abi < 6) r.scoped = 0;
    if (abi < 4) r.net = 0;
    return (int)syscall(CREATE, &r, abi >= 6 ? sizeof r : abi >= 4 ? 16 : 8, 0);
}

/* Takes the descriptor. */
static int enter(int ruleset)
{
    int rc = syscall(RESTRICT, ruleset, 0) == 0 ? 0 : -1;
    close(ruleset);
    return rc;
}

static int restrict_files(const struct sandbox *s)
{
    static const char *const always[] = { "/proc/meminfo", "/proc/self/cgroup", "/sys/devices/system/cpu", "/sys/fs/cgroup" };
    int abi = landlock_version();
    if (abi < 1) return -1;
    uint64_t known = known_rights(abi);
    int fd = new_ruleset(abi, (struct ruleset){ known, NET_BIND | NET_CONNECT, SCOPE_SOCKETS | SCOPE_SIGNALS });
    if (fd < 0) return -1;
    for (size_t i = 0; i < sizeof always / sizeof *always; i++) allow_path(fd, always[i], MAY_READ | MAY_LIST);
    for (size_t i = 0; i < s->n_read; i++) allow_path(fd, s->read[i], MAY_READ | MAY_LIST);
    for (size_t i = 0; i < sizeof s->write / sizeof *s->write; i++)
        if (s->write[i])
            allow_path(fd, s->write[i], (MAY_READ | MAY_LIST | MAY_WRITE | MAY_REMOVE | MAY_MAKE | MAY_MAKE_FOLDER | MAY_REFER |
                                         MAY_TRUNCATE) & known);
    return enter(fd);
}

/* Whatever a set of rules forbids, who is inside can trace nobody outside, which /proc/PID/mem and its like ask for as well.
 * Moving between folders is forbidden by any, hence the only rule; the first version had none for it. */
bool sandbox_apart(void)
{
    int abi = landlock_version();
    if (SANITIZED || abi < 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return false;
    int fd = new_ruleset(abi, (struct ruleset){ MAY_REFER | MAY_MAKE_DEVICE, NET_CONNECT, SCOPE_SOCKETS });
    if (fd < 0) return false;
    allow_path(fd, "/", MAY_REFER);
    return enter(fd) == 0;
}

/* ---- all of it ---- */

void sandbox_keep_secrets(void)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    prctl(PR_SET_DUMPABLE, 0);
}

int sandbox_compute(const struct sandbox *s, unsigned *reached, struct err *err)
{
    *reached = 0;
    tzset();                                                   /* local time, later without a file */
    sandbox_keep_secrets();
    if (SANITIZED) return 0;
    struct rlimit r = { RLIM_INFINITY, RLIM_INFINITY };
    if (s->data_limit) {
        getrlimit(RLIMIT_DATA, &r);
        if (r.rlim_max > s->data_limit) r.rlim_max = s->data_limit;            /* a lower one cannot be raised */
        r.rlim_cur = r.rlim_max;
    }
    if (s->data_limit && setrlimit(RLIMIT_DATA, &r) < 0)
        return err_set(err, ERR_IO, "cannot limit the memory of this process: %s", strerror(errno));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return 0;
    if (restrict_files(s) == 0) *reached |= SANDBOX_FILES;
    if (restrict_compute(s->write[0] || s->write[1]) == 0) *reached |= SANDBOX_CALLS | SANDBOX_OUTBOUND;
    return 0;
}

int sandbox_serve(unsigned *reached, struct err *err)
{
    *reached = 0;
    sandbox_keep_secrets();
    if (SANITIZED) return 0;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set(err, ERR_IO, "cannot give up privileges: %s", strerror(errno));
    if (restrict_serve() == 0) *reached |= SANDBOX_CALLS | SANDBOX_OUTBOUND;
    return 0;
}

static bool tried(struct buf *out, const char *what, long result)
{
    int e = result < 0 ? errno : 0;
    buf_printf(out, "%s%s: %s", out->len ? "; " : "", what, e ? strerror(e) : "it worked");
    return e == EPERM || e == EACCES;
}

/* Arguments with which none of these does anything, should it be allowed. */
bool sandbox_try(unsigned reached, struct buf *out)
{
    bool all = true;
    if (reached & SANDBOX_CALLS) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        all = tried(out, "socket", fd) && all;
        if (fd >= 0) close(fd);
        all = tried(out, "connect", connect(-1, NULL, 0)) && all;
        all = tried(out, "execve", execve("/nowhere/at/all", (char *[]){ NULL }, (char *[]){ NULL })) && all;
        all = tried(out, "io_uring", syscall(425, 0, NULL)) && all;
        all = tried(out, "ptrace", syscall(SYS_ptrace, -1L, 0, 0, 0)) && all;
    }
    if (reached & SANDBOX_FILES) {
        int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
        all = tried(out, "open /etc/passwd", fd) && all;
        if (fd >= 0) close(fd);
    }
    return all;
}

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) close(fd);
    return ok;
}

int sandbox_no_network(struct err *err)
{
    char map[64];
    uid_t uid = getuid();
    gid_t gid = getgid();
    if (unshare(CLONE_NEWNET) == 0) return 0;                  /* root needs no more */
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return err_set(err, ERR_UNSUPPORTED, "this system gives no network of its own to a process: %s", strerror(errno));
    /* So that files of the user stay the user's. */
    write_file("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "%u %u 1", (unsigned)uid, (unsigned)uid);
    bool ok = write_file("/proc/self/uid_map", map);
    snprintf(map, sizeof map, "%u %u 1", (unsigned)gid, (unsigned)gid);
    ok = write_file("/proc/self/gid_map", map) && ok;
    return ok ? 0 : err_set(err, ERR_UNSUPPORTED, "this system does not map the user into a network of its own");
}
