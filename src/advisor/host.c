#include "advisor/host.h"

#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/fs.h"
#include "base/os.h"

enum { PATH = 512 };
typedef unsigned long long ull;

static bool read_under(const char *root, const char *path, char *dst, size_t n)
{
    char full[PATH];
    fmt_into(full, sizeof full, "%s%s", root, path);
    return os_read_begin(full, dst, n);
}

static void trim(char *s)
{
    size_t n = strlen(s);
    while (n && (s[n - 1] == '\n' || s[n - 1] == ' ')) s[--n] = 0;
}

/* ---- control groups ---- */

static uint64_t number_in(const char *root, const char *path)
{
    char text[64];
    if (!read_under(root, path, text, sizeof text) || *text < '0' || *text > '9') return 0;
    return strtoull(text, NULL, 10);
}

/* The smallest limit from the process's own group up; "max" is none, and so is what no machine has. */
static uint64_t container_limit(const char *root)
{
    char text[4096], path[PATH];
    uint64_t least = UINT64_MAX, v;
    if (!read_under(root, "/proc/self/cgroup", text, sizeof text)) return 0;
    const char *line = strstr(text, "0::/");
    if (line && (line == text || line[-1] == '\n')) {
        char group[PATH / 2];
        fmt_into(group, sizeof group, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
        for (;;) {
            size_t n = strlen(group);
            while (n && group[n - 1] == '/') group[--n] = 0;
            fmt_into(path, sizeof path, "/sys/fs/cgroup%s/memory.max", group);
            if ((v = number_in(root, path)) && v < least) least = v;
            if (!n) break;
            *strrchr(group, '/') = 0;
        }
    }
    if ((v = number_in(root, "/sys/fs/cgroup/memory/memory.limit_in_bytes")) && v < least) least = v;
    return least < (uint64_t)1 << 60 ? least : 0;
}

/* ---- GPUs ---- */

struct search { struct host *h; const char *root; };

static struct host_gpu *new_gpu(struct host *h, const char *driver)
{
    if (h->n_gpus == HOST_GPUS) return NULL;
    struct host_gpu *g = &h->gpu[h->n_gpus++];
    *g = (struct host_gpu){ 0 };
    fmt_into(g->driver, sizeof g->driver, "%s", driver);
    return g;
}

/* "Model: \t\t NVIDIA H200" */
static int on_nvidia(void *arg, const char *name, struct err *err)
{
    struct search *s = arg;
    char path[PATH], text[1024];
    (void)err;
    fmt_into(path, sizeof path, "/proc/driver/nvidia/gpus/%s/information", name);
    if (!read_under(s->root, path, text, sizeof text)) return 0;
    const char *model = strstr(text, "Model:");
    struct host_gpu *g = new_gpu(s->h, "nvidia");
    if (!g) return 0;
    model = model ? model + 6 : "NVIDIA";
    while (*model == ' ' || *model == '\t') model++;
    fmt_into(g->name, sizeof g->name, "%.*s", (int)strcspn(model, "\n"), model);
    return 0;
}

static const char *vendor_of(const char *id)
{
    if (!strncmp(id, "0x10de", 6)) return "NVIDIA";
    if (!strncmp(id, "0x1002", 6)) return "AMD";
    if (!strncmp(id, "0x8086", 6)) return "Intel";
    return NULL;
}

/* card0, not its connectors card0-HDMI-A-1; NVIDIA's own driver has told of its cards already. */
static int on_card(void *arg, const char *name, struct err *err)
{
    struct search *s = arg;
    char path[PATH], vendor[32], device[32], product[96];
    (void)err;
    if (strncmp(name, "card", 4) != 0 || strchr(name, '-')) return 0;
    fmt_into(path, sizeof path, "/sys/class/drm/%s/device/vendor", name);
    if (!read_under(s->root, path, vendor, sizeof vendor)) return 0;
    trim(vendor);
    const char *maker = vendor_of(vendor);
    for (size_t i = 0; i < s->h->n_gpus && maker && !strcmp(maker, "NVIDIA"); i++)
        if (!strcmp(s->h->gpu[i].driver, "nvidia")) return 0;
    struct host_gpu *g = maker ? new_gpu(s->h, "drm") : NULL;
    if (!g) return 0;
    fmt_into(path, sizeof path, "/sys/class/drm/%s/device/device", name);
    read_under(s->root, path, device, sizeof device);
    trim(device);
    fmt_into(path, sizeof path, "/sys/class/drm/%s/device/product_name", name);
    read_under(s->root, path, product, sizeof product);
    trim(product);
    fmt_into(path, sizeof path, "/sys/class/drm/%s/device/mem_info_vram_total", name);
    g->memory = number_in(s->root, path);
    if (product[0]) fmt_into(g->name, sizeof g->name, "%s", product);
    else fmt_into(g->name, sizeof g->name, "%s GPU %s:%s", maker, vendor, device);
    return 0;
}

static void find_gpus(struct host *h, const char *root)
{
    struct search s = { h, root };
    char path[PATH];
    fmt_into(path, sizeof path, "%s/proc/driver/nvidia/gpus", root);
    fs_list(path, on_nvidia, &s, NULL);
    fmt_into(path, sizeof path, "%s/sys/class/drm", root);
    fs_list(path, on_card, &s, NULL);
    if ((h->gpu_share = os_gpu_share()) == 0) return;
    struct host_gpu *g = new_gpu(h, "metal");
    if (g) fmt_into(g->name, sizeof g->name, "%.80s GPU", h->cpu);
}

void host_read(struct host *h, const char *root)
{
    char text[128];
    *h = (struct host){ .threads = os_cpu_count(), .cores = os_core_count(), .memory = os_memory_total(),
                        .available = os_memory_available(), .locked = os_limit(OS_LIMIT_LOCKED),
                        .files = os_limit(OS_LIMIT_FILES), .space = os_limit(OS_LIMIT_SPACE) };
    os_cpu_name(h->cpu, sizeof h->cpu);
    fmt_into(h->instructions, sizeof h->instructions, "%s", cpu_features_name(cpu_features()));
    h->container = container_limit(root);
    find_gpus(h, root);
    h->huge_never = read_under(root, "/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof text) && strstr(text, "[never]");
}

uint64_t host_room(const struct host *h)
{
    uint64_t room = h->available, spare = 256 << 20;
    if (h->container && (!room || h->container < room)) room = h->container;
    return room > 2 * spare ? room - spare : room / 2;
}

void host_machine(const struct host *h, struct machine *out)
{
    *out = (struct machine){ .kind = MACHINE_HOST, .memory = h->memory, .room = host_room(h), .read = h->read, .share = 1,
                             .ops = 2 * h->int8 };
    out->room_raised = out->room;
    fmt_into(out->name, sizeof out->name, "this machine (%s)", h->cpu[0] ? h->cpu : h->instructions);
}

/* ---- advice ---- */

static double gb(uint64_t n) { return (double)n / 1e9; }

static bool advise_memory(const struct host *h, struct host_advice *a)
{
    if (!h->available || h->available >= (uint64_t)3 << 30) return false;
    buf_printf(&a->text, "only %.1f of %.1f GB of memory are free", gb(h->available), gb(h->memory));
    buf_puts(&a->remedy, "close programs, or take a smaller model: hearth recommend --use small");
    return true;
}

static bool advise_container(const struct host *h, struct host_advice *a)
{
    if (!h->container || (h->memory && h->container >= h->memory)) return false;
    buf_printf(&a->text, "a control group allows this process %.1f of the machine's %.1f GB of memory", gb(h->container),
               gb(h->memory));
    buf_puts(&a->remedy, "start the container with more (docker run --memory, MemoryMax= of the unit)");
    return true;
}

static bool advise_space(const struct host *h, struct host_advice *a)
{
    if (h->space == UINT64_MAX) return false;
    buf_printf(&a->text, "addresses are limited to %.1f GB; a larger model cannot be mapped", gb(h->space));
    buf_puts(&a->remedy, "ulimit -v unlimited");
    return true;
}

static bool advise_files(const struct host *h, struct host_advice *a)
{
    if (h->files >= 1024) return false;
    buf_printf(&a->text, "only %llu files may be open at once; a server needs one for each client", (ull)h->files);
    buf_puts(&a->remedy, "ulimit -n 4096");
    return true;
}

static bool advise_disk(const struct host *h, struct host_advice *a)
{
    if (!h->disk || h->disk >= 20000000000u) return false;
    buf_printf(&a->text, "only %.1f GB are free where models are kept (%s)", gb(h->disk), h->folder);
    buf_puts(&a->remedy, "set HEARTH_MODELS to a folder on a larger disk, or remove models: hearth rm NAME");
    return true;
}

static bool advise_scalar(const struct host *h, struct host_advice *a)
{
    if (strcmp(h->instructions, "scalar") != 0) return false;
    buf_puts(&a->text, "this processor shows no vector instructions that are used here; computing is many times slower");
    buf_puts(&a->remedy, "in a virtual machine: pass the host's processor through (-cpu host)");
    return true;
}

static bool advise_huge(const struct host *h, struct host_advice *a)
{
    if (!h->huge_never) return false;
    buf_puts(&a->text, "large pages are switched off; long contexts are somewhat slower");
    buf_puts(&a->remedy, "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled");
    return true;
}

/* A model of 7 B parameters in 4 bits writes at most this many GB/s / 4 tokens a second. */
static bool advise_bandwidth(const struct host *h, struct host_advice *a)
{
    if (!(h->read > 0) || h->read >= 12e9) return false;
    buf_printf(&a->text, "memory is read at only %.1f GB/s, which limits how fast any model writes", h->read / 1e9);
    buf_puts(&a->remedy, "put a memory module into every channel; in a virtual machine: give it more cores");
    return true;
}

static bool advise_share(const struct host *h, struct host_advice *a)
{
    const uint64_t G = (uint64_t)1 << 30;
    if (!h->gpu_share || h->gpu_share + 8 * G >= h->memory) return false;
    a->warning = false;
    buf_printf(&a->text, "the GPU may take %.1f of the %.1f GB that it shares with the processor", gb(h->gpu_share),
               gb(h->memory));
    buf_printf(&a->remedy, "sudo sysctl iogpu.wired_limit_mb=%llu   (until the next start)", (ull)((h->memory - 8 * G) >> 20));
    return true;
}

static bool advise_gpu(const struct host *h, struct host_advice *a)
{
    if (!h->n_gpus) return false;
    a->warning = false;
    buf_puts(&a->text, "Hearth computes on the processor; it does not use the GPU yet");
    return true;
}

bool host_advise(const struct host *h, size_t i, struct host_advice *out)
{
    static bool (*const rule[])(const struct host *, struct host_advice *) = {
        advise_scalar, advise_memory, advise_container, advise_space, advise_disk, advise_files, advise_bandwidth, advise_huge,
        advise_share, advise_gpu,
    };
    for (size_t k = 0; k < sizeof rule / sizeof *rule; k++) {
        out->warning = true;
        buf_clear(&out->text);
        buf_clear(&out->remedy);
        if (rule[k](h, out) && i-- == 0) return true;
    }
    buf_clear(&out->text);
    buf_clear(&out->remedy);
    return false;
}
