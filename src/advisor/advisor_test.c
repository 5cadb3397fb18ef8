/* advisor_test.c - chips by name, forecasts against what was published and measured, shapes against published sizes, costs, and
 * what is read of a machine. */
#include "advisor/host.h"
#include "advisor/models.h"
#include "base/fs.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <unistd.h>

#define GIB 1073741824.0

static struct machine machine(const char *text)
{
    struct machine m;
    struct err e = { 0 };
    if (machine_parse(&m, text, &e) < 0) fail_msg("%s: %s", text, e.msg);
    return m;
}

static const struct known_model *known(const char *name)
{
    for (size_t i = 0; known_model_at(i); i++)
        if (!strcmp(known_model_at(i)->name, name)) return known_model_at(i);
    fail_msg("no model %s", name);
    return NULL;
}

static void near(double got, double want, double tolerance, const char *what)
{
    if (!(got >= want * (1 - tolerance) && got <= want * (1 + tolerance)))
        fail_msg("%s: %g, but %g was expected, within %g %%", what, got, want, 100 * tolerance);
}

/* ---- chips ---- */

static void chips_by_name(void **state)
{
    (void)state;
    struct machine m = machine("M3 Ultra 512GB");
    assert_string_equal(m.name, "Apple M3 Ultra 512 GB");
    near(m.read, 819e9, 1e-9, "bandwidth");
    near((double)m.memory, 512 * GIB, 1e-9, "memory");
    near((double)m.room, 384 * GIB, 1e-9, "the GPU's usual limit");
    assert_string_equal(machine("apple m1 max 32 GB").name, "Apple M1 Max 32 GB");
    assert_string_equal(machine("M1 16GB").name, "Apple M1 16 GB");
    /* What Metal recommends, as such machines have printed it. */
    near((double)machine("m4max36GB").room, 27 * GIB, 1e-9, "27648 MiB of 36 GB");
    near((double)machine("M1 Max 32GB").room, 21845.33 * GIB / 1024, 1e-6, "21845.33 MiB of 32 GB");
    near((double)machine("M1 Max 64GB").room, 48 * GIB, 1e-9, "49152 MiB of 64 GB");
    assert_string_equal(machine("m4max36GB").name, "Apple M4 Max 36 GB");
    assert_string_equal(machine("M4 Max 32-core 36GB").name, "Apple M4 Max 32-core 36 GB");
    assert_string_equal(machine("rtx4090").name, "RTX 4090 24 GB");
    assert_string_equal(machine("RTX 4060 Ti").name, "RTX 4060 Ti 16 GB");
    assert_string_equal(machine("DDR5-5600 x2 64GB").name, "DDR5-5600 x2 64 GB");
    m = machine("RTX 4090 + 64GB");
    near((double)m.ram, 56 * GIB, 1e-9, "memory beside the card");
    near((double)machine("EPYC Genoa 1.5TB").memory, 1536 * GIB, 1e-9, "terabytes");
}

static void wrong_chips(void **state)
{
    static const struct { const char *text, *word; } wrong[] = {
        { "", "no such chip" }, { "M9 Ultra 1TB", "no such chip" }, { "M1", "say how much memory" },
        { "M1 Max 128GB", "at most 64" }, { "RTX 4090 48GB", "at most 24" }, { "M1 Max 64GB fast", "\"fast\"" },
        { "M12 16GB", "no such chip" }, { "RTX 4090 + much", "behind +" }, { "M1 Max 0GB", "say how much" },
        { "M2 Ultra 99999999999999999999GB", "say how much" }, { "RTX", "RTX 3090" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct machine m;
        struct err e = { 0 };
        assert_int_equal(machine_parse(&m, wrong[i].text, &e), ERR_ARG);
        if (!strstr(e.msg, wrong[i].word)) fail_msg("\"%s\" is not in: %s", wrong[i].word, e.msg);
    }
    for (size_t i = 0; chip_at(i); i++) {
        const struct chip *c = chip_at(i);
        char text[64];
        struct machine m;
        snprintf(text, sizeof text, "%s %.0fGB", c->name, c->memory_gb);
        if (machine_parse(&m, text, NULL) < 0 || m.watts != c->watts || m.read != c->gb_s * 1e9) fail_msg("%s", text);
        assert_true(c->share > 0.3 && c->share < 1 && c->tops > 0 && c->watts > 0);
    }
}

static void the_gpu_limit(void **state)
{
    struct machine m = machine("M3 Ultra 512GB");
    struct buf b = { 0 };
    (void)state;
    assert_false(machine_raise(&m, 100u << 30, &b));
    assert_true(machine_raise(&m, (uint64_t)420 << 30, &b));
    assert_string_equal(b.data, "sudo sysctl iogpu.wired_limit_mb=431104");
    buf_clear(&b);
    assert_false(machine_raise(&m, (uint64_t)510 << 30, &b));
    m = machine("RTX 4090");
    assert_false(machine_raise(&m, (uint64_t)24 << 30, &b));
    buf_release(&b);
}

/* ---- shapes ---- */

static void shapes_have_their_sizes(void **state)
{
    static const struct { const char *name; double all, active; } want[] = {        /* as their makers say, in 1e9 */
        { "deepseek-r1:671b", 671, 37 }, { "qwen3-coder:480b", 480, 35 }, { "qwen3:235b", 235, 22 },
        { "gpt-oss:120b", 116.8, 5.1 },
        { "gpt-oss:20b", 20.9, 3.6 }, { "qwen3:30b", 30.5, 3.3 }, { "llama3.3:70b", 70.6, 70.6 }, { "qwen3:32b", 32.8, 32.8 },
        { "gemma3:27b", 27, 27 }, { "mistral-small3.2:24b", 23.6, 23.6 }, { "qwen3:14b", 14.8, 14.8 }, { "phi4:14b", 14.7, 14.7 },
        { "qwen3:8b", 8.2, 8.2 }, { "llama3.1:8b", 8.03, 8.03 }, { "mistral:7b", 7.25, 7.25 }, { "qwen3:4b", 4.02, 4.02 },
        { "gemma3:4b", 3.88, 3.88 }, { "llama3.2:3b", 3.21, 3.21 }, { "llama3.2:1b", 1.24, 1.24 }, { "qwen3:0.6b", 0.596, 0.596 },
        { "hf.co/unsloth/GLM-4.5-Air-GGUF:Q4_K_M", 106, 12 }, { "bge-m3", 0.568, 0.568 }, { "nomic-embed-text", 0.137, 0.137 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const struct shape *s = &known(want[i].name)->shape;
        near(shape_parameters(s) / 1e9, want[i].all, 0.035, want[i].name);
        near(shape_active(s) / 1e9, want[i].active, 0.12, want[i].name);       /* makers count the embedding, or not */
    }
    for (size_t i = 0; known_model_at(i); i++) {
        const struct known_model *m = known_model_at(i);
        double bits = 8e9 * m->gb / shape_parameters(&m->shape);
        if (!(bits > 4 && bits < 18)) fail_msg("%s: %.1f bits for a parameter", m->name, bits);
        assert_true(m->use && m->rank && m->licence[0]);
    }
    near(shape_kv(&known("llama3.1:8b")->shape, 1000), 1000 * 131072.0, 1e-9, "keys and values");
    near(shape_kv(&known("deepseek-r1:671b")->shape, 1000), 1000 * 61 * 576 * 2.0, 1e-9, "latent ones");
    near(shape_kv(&known("gpt-oss:20b")->shape, 10000), 12 * 2048.0 * (10000 + 640), 1e-9, "windows");
}

/* ---- speed ---- */

static struct forecast speed(const char *on, const char *name, double bits, uint32_t n_ctx)
{
    struct machine m = machine(on);
    const struct shape *s = &known(name)->shape;
    struct load l;
    struct forecast f;
    shape_load(&l, s, &(struct shape_load){ .weight_bytes = shape_parameters(s) * bits / 8, .n_ctx = n_ctx, .n_prompt = 512 });
    forecast_make(&f, &m, &l);
    return f;
}

/* Tokens a second as others published them (docs/advisor.md says where). */
static void published_figures(void **state)
{
    static const struct { const char *on, *name; double bits, decode, prefill; } want[] = {
        { "M3 Ultra 512GB", "deepseek-r1:671b", 4.5, 20, 0 },
        { "M3 Ultra 512GB", "deepseek-r1:671b", 4.82, 20.2, 168.9 },
        { "M3 Ultra 512GB", "qwen3-coder:480b", 4.5, 24, 0 },
        { "M1 Max 64GB", "llama3.1:8b", 4.5, 33, 0 },
        { "M1 Max 64GB", "llama3.1:8b", 4.9, 46.2, 499.6 },
        { "M4 16GB", "llama3.1:8b", 4.9, 20.9, 224.8 },
        { "M3 Ultra 256GB", "qwen3:8b", 4.5, 112.9, 0 },
        { "M3 Ultra 256GB", "qwen3:0.6b", 4.5, 387, 0 },
        { "M4 Max 64GB", "qwen3:4b", 16, 52.5, 1781 },
        { "M4 Max 64GB", "qwen3:4b", 8.5, 86.9, 1607 },
        { "M4 Max 64GB", "qwen3:4b", 4.5, 134.5, 1622 },
        { "M4 Max 64GB", "qwen3:30b", 4.5, 113.3, 1754 },
        { "M4 Max 64GB", "qwen3:30b", 8.5, 83.2, 1720 },
        { "M5 16GB", "mistral:7b", 4.54, 26.6, 608 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        char what[80];
        struct forecast f = speed(want[i].on, want[i].name, want[i].bits, 2048);
        snprintf(what, sizeof what, "%s on %s, decode", want[i].name, want[i].on);
        near(f.decode, want[i].decode, 0.25, what);
        snprintf(what, sizeof what, "%s on %s, prefill", want[i].name, want[i].on);
        if (want[i].prefill > 0) near(f.prefill, want[i].prefill, 0.35, what);
    }
}

/* On a processor: tokens a second and limits of one minute on two cores of a Zen 4, 1.24e9 parameters (docs/performance.md). */
static void measured_figures(void **state)
{
    static const struct { double gb, few, read, ops, decode; } want[] = {      /* few: 1e9 */
        { 0.763, 13.1, 54.2, 937, 39.4 }, { 0.733, 13.2, 33.3, 944, 38.9 }, { 0.733, 14.4, 32.8, 945, 33.8 },
        { 0.733, 13.2, 42.1, 937, 39.3 }, { 0.800, 11.5, 34.2, 933, 41.2 }, { 0.800, 11.5, 46.5, 925, 45.6 },
        { 2.470, 32.3, 34.4, 944, 11.9 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct machine m = { .kind = MACHINE_HOST, .read = want[i].read * 1e9, .ops = want[i].ops * 1e9, .share = 1,
                             .room = (uint64_t)1 << 40 };
        struct load l = { .n_layer = 16, .n_sessions = 1, .n_prompt = 512,
                          .decode = { .bytes = want[i].gb * 1e9, .int_macs = 1.236e9, .few_macs = want[i].few * 1e9 },
                          .prefill = { .bytes = want[i].gb * 1e9, .int_macs = 498.5e9 } };
        struct forecast f;
        forecast_make(&f, &m, &l);
        near(f.decode, want[i].decode, 0.15, "decode");
        near(f.prefill, 272, 0.1, "prefill");
    }
}

static void what_fits_where(void **state)
{
    (void)state;
    struct forecast f = speed("M3 Ultra 512GB", "deepseek-r1:671b", 4.82, 4096);
    assert_true(f.fits);
    f = speed("M3 Ultra 512GB", "deepseek-r1:671b", 5.5, 4096);
    assert_true(!f.fits && f.fits_raised);
    f = speed("M3 Ultra 512GB", "deepseek-r1:671b", 8, 4096);
    assert_true(!f.fits && !f.fits_raised);
    f = speed("RTX 4090", "qwen3:32b", 8.5, 4096);
    assert_true(!f.fits);
    struct forecast part = speed("RTX 4090 + 64GB", "qwen3:32b", 8.5, 4096);
    struct forecast whole = speed("RTX 5090 + 64GB", "qwen3:32b", 4.5, 4096);
    assert_true(part.fits && part.gpu_layers > 30 && part.gpu_layers < 50 && part.decode < 8 && part.decode > 2);
    assert_true(whole.fits && whole.gpu_layers == 64 && whole.decode > 50);
}

static void costs(void **state)
{
    struct forecast f = { .decode = 20, .prefill = 200 };
    struct cost c;
    (void)state;
    cost_make(&c, &(struct cost_options){ .price = 1200, .watts = 100, .kwh = 0.30, .tokens_day = 72000, .month = 21 }, &f);
    near(c.hours_day, 1, 1e-9, "hours");
    near(c.kwh_mtok, 1e6 / 20 / 3600 * 0.1, 1e-9, "energy of a million");
    near(c.energy_month, 30.4375 * 0.1 * 0.30, 1e-9, "energy of a month");
    near(c.months, 1200 / (21 - 30.4375 * 0.03), 1e-9, "months");
    assert_true(c.possible);
    cost_make(&c, &(struct cost_options){ .price = 1, .watts = 100, .kwh = 0.30, .tokens_day = 72000, .mtok = 0.2 }, &f);
    assert_true(c.months < 0);                       /* cheaper elsewhere than the energy here */
    cost_make(&c, &(struct cost_options){ .price = 1, .tokens_day = 72000, .prompt_day = 2e7, .month = 9 }, &f);
    near(c.hours_day, 1 + 1e5 / 3600, 1e-9, "hours with prompts");
    assert_false(c.possible);
}

/* ---- this machine ---- */

static char root[] = "/tmp/hearth-advisor-XXXXXX";

static void put(const char *path, const char *text)
{
    char full[256], folder[256];
    snprintf(full, sizeof full, "%s%s", root, path);
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(full, '/') - full), full);
    assert_int_equal(fs_make_folders(folder, NULL), 0);
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static bool advised(const struct host *h, const char *word)
{
    struct host_advice a = { 0 };
    bool found = false;
    for (size_t i = 0; host_advise(h, i, &a); i++) {
        assert_true(a.text.len && (!a.warning || a.remedy.len));
        found |= strstr(a.text.data, word) != NULL || (a.remedy.len && strstr(a.remedy.data, word));
    }
    buf_release(&a.text);
    buf_release(&a.remedy);
    return found;
}

static void what_a_machine_is(void **state)
{
    struct host h;
    (void)state;
    put("/proc/self/cgroup", "12:memory:/old\n0::/a/b\n");
    put("/sys/fs/cgroup/a/memory.max", "3221225472\n");
    put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    put("/proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t\t NVIDIA H200\nIRQ:   \t\t 41\n");
    put("/sys/class/drm/card0/device/vendor", "0x10de\n");
    put("/sys/class/drm/card1/device/vendor", "0x1002\n");
    put("/sys/class/drm/card1/device/device", "0x744c\n");
    put("/sys/class/drm/card1/device/mem_info_vram_total", "25753026560\n");
    put("/sys/class/drm/card1-DP-1/status", "connected\n");
    put("/sys/class/drm/card2/device/vendor", "0x1af4\n");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
    host_read(&h, root);
    assert_true(h.threads >= 1 && h.cores >= 1 && h.cores <= h.threads && h.memory > 0);
    assert_int_equal(h.container, (uint64_t)3 << 30);
    assert_int_equal(h.n_gpus - (h.gpu_share > 0), 2);
    assert_string_equal(h.gpu[0].name, "NVIDIA H200");
    assert_string_equal(h.gpu[1].name, "AMD GPU 0x1002:0x744c");
    assert_int_equal(h.gpu[1].memory, 25753026560u);
    assert_true(host_room(&h) <= (uint64_t)3 << 30 && h.huge_never);
    assert_true(advised(&h, "control group") && advised(&h, "madvise") && advised(&h, "does not use the GPU"));
}

static void advice(void **state)
{
    const uint64_t G = (uint64_t)1 << 30;
    struct host h = { .instructions = "avx2", .memory = 64 * G, .available = 50 * G, .disk = 500 * G, .locked = UINT64_MAX,
                      .files = UINT64_MAX, .space = UINT64_MAX, .read = 40e9 };
    struct host_advice a = { 0 };
    (void)state;
    assert_false(host_advise(&h, 0, &a));            /* nothing to say */
    h.space = 4 * G;
    assert_true(advised(&h, "ulimit -v"));
    h.files = 256;
    assert_true(advised(&h, "ulimit -n"));
    h.disk = 5 * G;
    assert_true(advised(&h, "HEARTH_MODELS"));
    h.available = G;
    assert_true(advised(&h, "close programs"));
    h.read = 5e9;
    assert_true(advised(&h, "5.0 GB/s"));
    strcpy(h.instructions, "scalar");
    assert_true(advised(&h, "-cpu host"));
    h.gpu_share = 48 * G;
    assert_true(advised(&h, "sudo sysctl iogpu.wired_limit_mb=57344"));
    assert_int_equal(host_room(&h), G - (256 << 20));
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[80];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chips_by_name), cmocka_unit_test(wrong_chips), cmocka_unit_test(the_gpu_limit),
        cmocka_unit_test(shapes_have_their_sizes), cmocka_unit_test(published_figures), cmocka_unit_test(measured_figures),
        cmocka_unit_test(what_fits_where), cmocka_unit_test(costs), cmocka_unit_test(what_a_machine_is), cmocka_unit_test(advice),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
