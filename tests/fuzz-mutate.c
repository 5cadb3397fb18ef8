/* fuzz-mutate.c - searches with a fuzz target where there is no libFuzzer: changes its seeds at random for some seconds.
 * Usage: TARGET SECONDS SEED LAST PATH...   LAST: a file that always holds the input at work (zero bytes follow it), and so
 * the one that crashed. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MAX_SEEDS = 4096, MOST_BYTES = 1 << 16, SLOW_S = 10 };
struct input { uint8_t *data; size_t n; };

static struct input seed[MAX_SEEDS];
static size_t n_seeds;
static uint64_t state;

static uint32_t draw(size_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return n ? (uint32_t)((state >> 33) % n) : 0;
}

static void add_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *d = malloc(MOST_BYTES);
    if (!f || !d || n_seeds == MAX_SEEDS) {
        perror(path);
        exit(1);
    }
    seed[n_seeds++] = (struct input){ d, fread(d, 1, MOST_BYTES, f) };
    fclose(f);
}

static void add_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        add_file(path);
        return;
    }
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char sub[4096];
        if (e->d_name[0] == '.') continue;
        snprintf(sub, sizeof sub, "%s/%s", path, e->d_name);
        add_path(sub);
    }
    if (dir) closedir(dir);
}

/* Takes bytes out, puts others in, copies a part of another seed, repeats a part, changes bits and digits. */
static void mutate(struct input *x)
{
    static const char *const word[] = { "{", "}", "[", "]", "\"", "\\", "(", ")", "{%", "%}", "{{", "}}", "-1", "0", "99999999",
                                        "1e309", "\xff", "\xc3", "null", "|", "::=", "*", "{1,9999}", "$ref", "<", ">",
                                        "\\u0000" };
    const struct input *other = &seed[draw(n_seeds)];
    size_t at = draw(x->n + 1), n = draw(x->n - at + 1), from = draw(other->n + 1), more = draw(other->n - from + 1);
    const uint8_t *put = NULL;
    uint8_t copy[256], byte;
    if (n > 64 && draw(4)) n = draw(16);
    if (more > 256 && draw(4)) more = draw(64);
    switch (draw(6)) {
    case 0: more = 0; break;
    case 1: put = other->data + from; n = draw(2) ? n : 0; break;
    case 2:
        put = (const uint8_t *)word[draw(sizeof word / sizeof *word)];
        more = strlen((const char *)put);
        n = draw(2) ? more : 0;
        if (n > x->n - at) n = x->n - at;
        break;
    case 3:
        more = n < sizeof copy ? n : sizeof copy;
        memcpy(copy, x->data + at, more);
        put = copy;
        n = 0;
        break;
    case 4:
        for (unsigned k = 1 + draw(4); k && x->n; k--) x->data[draw(x->n)] ^= (uint8_t)(1u << draw(8));
        return;
    default:
        byte = (uint8_t)draw(256);
        put = &byte;
        more = 1;
        n = n > 1 ? 1 : n;
        break;
    }
    if (x->n - n + more > MOST_BYTES) return;
    memmove(x->data + at + more, x->data + at + n, x->n - at - n);
    if (more) memcpy(x->data + at, put, more);
    x->n += more - n;
}

static void too_slow(int sig)
{
    static const char text[] = "an input takes more than 10 s\n";
    (void)sig;
    if (write(2, text, sizeof text - 1) < 0) _exit(1);
    abort();
}

int main(int argc, char **argv)
{
    if (argc < 5) return 2;
    const time_t end = time(NULL) + atoi(argv[1]);
    const char *last = argv[3];
    state = strtoull(argv[2], NULL, 10) + 1;
    for (int i = 4; i < argc; i++) add_path(argv[i]);
    int fd = open(last, O_RDWR | O_CREAT | O_TRUNC, 0600);
    uint8_t *shown = fd >= 0 && ftruncate(fd, MOST_BYTES) == 0 ? mmap(NULL, MOST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                                                              : MAP_FAILED;
    if (shown == MAP_FAILED || !n_seeds) {
        perror(last);
        return 1;
    }
    signal(SIGALRM, too_slow);
    struct input x = { malloc(MOST_BYTES), 0 };
    unsigned long runs = 0;
    double worst = 0;
    for (; x.data && time(NULL) < end; runs++) {
        const struct input *from = &seed[draw(n_seeds)];
        x.n = from->n;
        memcpy(x.data, from->data, x.n);
        for (unsigned k = 1 + draw(6); k; k--) mutate(&x);
        memcpy(shown, x.data, x.n);
        if (x.n < MOST_BYTES) memset(shown + x.n, 0, MOST_BYTES - x.n);
        uint8_t *exact = malloc(x.n ? x.n : 1);             /* so that reading behind its end is seen */
        if (!exact) return 1;
        memcpy(exact, x.data, x.n);
        struct timespec a, b;
        alarm(SLOW_S);
        clock_gettime(CLOCK_MONOTONIC, &a);
        LLVMFuzzerTestOneInput(exact, x.n);
        clock_gettime(CLOCK_MONOTONIC, &b);
        alarm(0);
        double s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9;
        if (s > worst) worst = s;
        free(exact);
    }
    printf("%lu inputs, the slowest took %.3f s\n", runs, worst);
    unlink(last);
    free(x.data);
    return 0;
}
