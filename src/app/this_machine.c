#include "app/this_machine.h"

#include <string.h>

#include "base/fs.h"
#include "base/os.h"
#include "device/device.h"
#include "store/store.h"

/* The speed of rented memory changes within tenths of a second: the median of many short looks. */
enum { PART = 256 << 20, PARTS = 2, LOOKS = 21, PAUSE_MS = 12 };

static double median(double *v, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0 && v[k - 1] > v[k]; k--) {
            double x = v[k];
            v[k] = v[k - 1];
            v[k - 1] = x;
        }
    return v[n / 2];
}

static int measure(struct host *h, unsigned threads, struct err *err)
{
    struct device *d;
    double read[LOOKS], int8[5], f32[5];
    size_t part = h->available && h->available < (uint64_t)8 * PART ? (size_t)(h->available / 16) : PART;
    int rc = device_cpu.open(&d, &(struct device_options){ .threads = threads }, err);
    if (rc < 0) return rc;
    uint8_t *p = device_cpu.alloc(d, PARTS * part);
    if (p) memset(p, 1, PARTS * part);
    for (size_t i = 0; p && i < LOOKS; i++) {
        read[i] = device_cpu.limit(d, DEVICE_READ, p + i % PARTS * part, part);
        fs_sleep_ms(PAUSE_MS);
    }
    for (size_t i = 0; i < 5; i++) {
        int8[i] = device_cpu.limit(d, DEVICE_INT8, NULL, 0);
        f32[i] = device_cpu.limit(d, DEVICE_F32, NULL, 0);
    }
    if (p) h->read = median(read, LOOKS);
    h->int8 = median(int8, 5);
    h->f32 = median(f32, 5);
    if (p) device_cpu.release(d, p, PARTS * part);
    else rc = err_set(err, ERR_NOMEM, "out of memory for measuring how fast memory is read");
    device_cpu.close(d);
    return rc;
}

int this_machine(struct host *out, unsigned threads, struct err *err)
{
    struct store s;
    char path[STORE_PATH];
    host_read(out, "");
    int rc = store_open(&s, err);
    if (rc < 0) return rc;
    fmt_into(out->folder, sizeof out->folder, "%s", s.root);
    /* The folder may not be there yet: the disk is that of what is above it. */
    fmt_into(path, sizeof path, "%s/x", s.root);
    for (char *slash; !(out->disk = os_disk_free(path)) && (slash = strrchr(path, '/')) != NULL && slash > path;) *slash = 0;
    store_close(&s);
    return measure(out, threads, err);
}
