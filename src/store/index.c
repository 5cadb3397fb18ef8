#include "store/index.h"

#include <sqlite3.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/os.h"

struct index { sqlite3 *db; sqlite3_stmt *get, *put; };

void index_close(struct index *x)
{
    if (!x) return;
    sqlite3_finalize(x->get);
    sqlite3_finalize(x->put);
    sqlite3_close(x->db);
    mem_free(x);
}

const char *index_library(void) { return "SQLite " SQLITE_VERSION; }

static const char schema[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
    "CREATE TABLE IF NOT EXISTS file_v1(path TEXT PRIMARY KEY, device INTEGER, inode INTEGER, size INTEGER, mtime INTEGER,"
    " arch TEXT, quant TEXT, params INTEGER, context INTEGER, digest TEXT) WITHOUT ROWID;";

static bool prepare(struct index *x, const char *path)
{
    if (sqlite3_open_v2(path, &x->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, NULL)) return false;
    sqlite3_busy_timeout(x->db, 2000);
    if (sqlite3_exec(x->db, schema, NULL, NULL, NULL)) return false;
    return !sqlite3_prepare_v2(x->db, "SELECT arch, quant, params, context, digest FROM file_v1 WHERE path=?1 AND device=?2"
                               " AND inode=?3 AND size=?4 AND mtime=?5", -1, &x->get, NULL) &&
           !sqlite3_prepare_v2(x->db, "INSERT OR REPLACE INTO file_v1 VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)", -1, &x->put, NULL);
}

static void remove_all(const char *path)
{
    static const char *const ending[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < 3; i++) {
        struct buf b = { 0 };
        buf_printf(&b, "%s%s", path, ending[i]);
        if (!b.bad) os_file_remove(b.data);
        buf_release(&b);
    }
}

struct index *index_open(const char *path)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        struct index *x = mem_new(1, sizeof *x);
        if (!x) return NULL;
        if (prepare(x, path)) return x;
        int code = x->db ? sqlite3_errcode(x->db) : SQLITE_NOMEM;
        index_close(x);
        if (code != SQLITE_CORRUPT && code != SQLITE_NOTADB && code != SQLITE_ERROR) return NULL;
        remove_all(path);
    }
    return NULL;
}

static void bind_key(sqlite3_stmt *s, const char *path, const struct fs_info *file)
{
    sqlite3_bind_text(s, 1, path, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 2, (sqlite3_int64)file->device);
    sqlite3_bind_int64(s, 3, (sqlite3_int64)file->inode);
    sqlite3_bind_int64(s, 4, (sqlite3_int64)file->size);
    sqlite3_bind_int64(s, 5, file->mtime_ns);
}

static void column(sqlite3_stmt *s, int i, char *dst, size_t n)
{
    const unsigned char *t = sqlite3_column_text(s, i);
    fmt_into(dst, n, "%s", t ? (const char *)t : "");
}

bool index_get(struct index *x, const char *path, const struct fs_info *file, struct facts *out)
{
    *out = (struct facts){ 0 };
    if (!x) return false;
    bind_key(x->get, path, file);
    bool found = sqlite3_step(x->get) == SQLITE_ROW;
    if (found) {
        column(x->get, 0, out->arch, sizeof out->arch);
        column(x->get, 1, out->quant, sizeof out->quant);
        out->n_params = (uint64_t)sqlite3_column_int64(x->get, 2);
        out->context = (uint32_t)sqlite3_column_int64(x->get, 3);
        column(x->get, 4, out->digest, sizeof out->digest);
        if (!sha256_is_hex(out->digest, strlen(out->digest))) out->digest[0] = 0;
    }
    sqlite3_reset(x->get);
    return found;
}

void index_put(struct index *x, const char *path, const struct fs_info *file, const struct facts *f)
{
    if (!x) return;
    bind_key(x->put, path, file);
    sqlite3_bind_text(x->put, 6, f->arch, -1, SQLITE_STATIC);
    sqlite3_bind_text(x->put, 7, f->quant, -1, SQLITE_STATIC);
    sqlite3_bind_int64(x->put, 8, (sqlite3_int64)f->n_params);
    sqlite3_bind_int64(x->put, 9, f->context);
    sqlite3_bind_text(x->put, 10, f->digest, -1, SQLITE_STATIC);
    sqlite3_step(x->put);
    sqlite3_reset(x->put);
}

void index_begin(struct index *x)
{
    if (x) sqlite3_exec(x->db, "BEGIN", NULL, NULL, NULL);
}

void index_end(struct index *x)
{
    if (x) sqlite3_exec(x->db, "COMMIT", NULL, NULL, NULL);
}
