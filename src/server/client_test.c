/* client_test.c - answers read, whole and broken; questions to a server that a thread plays. */
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/dial.h"
#include "base/os.h"
#include "server/client.h"
#include "tests/testing.h"

static void answers(void **unused)
{
    (void)unused;
    static const struct { const char *text, *body; int rc, status; } row[] = {
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello more", "hello", 0, 200 },
        { "HTTP/1.1 404 Not Found\r\ncontent-LENGTH:0\r\n\r\n", "", 0, 404 },
        { "HTTP/1.0 200 OK\r\n\r\nuntil the end", "until the end", 0, 200 },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\nA;x\r\n 123456789\r\n0\r\n\r\n",
          "hello 123456789", 0, 200 },
        { "HTTP/1.1 200 OK\r\nX-Content-Length: 1\r\n\r\nhello", "hello", 0, 200 },
        { "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", NULL, ERR_FORMAT, 0 },
        { "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello", NULL, ERR_FORMAT, 0 },
        { "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello", NULL, ERR_FORMAT, 0 },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello", NULL, ERR_FORMAT, 0 },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", NULL, ERR_FORMAT, 0 },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", NULL, ERR_FORMAT, 0 },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx", NULL, ERR_FORMAT, 0 },
        { "HTTP/1.1 2 OK\r\n\r\n", NULL, ERR_FORMAT, 0 },
        { "HTTP/1.1 200 OK\r\n", NULL, ERR_FORMAT, 0 },
        { "", NULL, ERR_FORMAT, 0 },
        { "SSH-2.0-OpenSSH\r\n\r\n", NULL, ERR_FORMAT, 0 },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct buf b = { 0 };
        struct err e;
        int status = 0, rc = client_read(row[i].text, strlen(row[i].text), &status, &b, &e);
        if (rc != row[i].rc) fail_msg("row %zu: %d", i, rc);
        if (rc == 0) assert_int_equal(status, row[i].status);
        if (rc == 0) assert_string_equal(b.data ? b.data : "", row[i].body);
        buf_release(&b);
    }
}

struct play { int fd; char path[64], got[1024]; const char *say; };

static void play_server(void *arg)
{
    struct play *p = arg;
    int c = accept(p->fd, NULL, NULL);
    size_t n = 0;
    ssize_t k;
    while (n < sizeof p->got - 1 && !strstr(p->got, "{}") && (k = read(c, p->got + n, sizeof p->got - 1 - n)) > 0) n += (size_t)k;
    if (write(c, p->say, strlen(p->say)) < 0) { }
    close(c);
}

static void questions(void **unused)
{
    (void)unused;
    struct play p = { .say = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]" };
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    struct os_thread *t;
    struct err e;
    struct buf b = { 0 };
    char address[256];
    int status;
    snprintf(p.path, sizeof p.path, "/tmp/hearth-client-%d", (int)getpid());
    snprintf(a.sun_path, sizeof a.sun_path, "%s", p.path);
    snprintf(address, sizeof address, "unix:%s", p.path);
    struct client_question q = { address, "POST", "/api/x", "secret", "{}", 5000 };
    assert_int_equal(client_ask(&q, &status, &b, &e), ERR_NOTFOUND);
    p.fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(bind(p.fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(p.fd, 1) == 0);
    assert_int_equal(os_thread_start(&t, play_server, &p, &e), 0);
    assert_int_equal(client_ask(&q, &status, &b, &e), 0);
    os_thread_join(t);
    assert_string_equal(b.data, "[]");
    assert_int_equal(status, 200);
    assert_non_null(strstr(p.got, "POST /api/x HTTP/1.1\r\nHost: localhost\r\n"));
    assert_non_null(strstr(p.got, "Authorization: Bearer secret\r\n"));
    assert_non_null(strstr(p.got, "Content-Length: 2\r\n"));
    buf_release(&b);
    q.timeout_ms = 50;                                         /* nobody accepts */
    assert_int_equal(client_ask(&q, &status, &b, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "does not answer"));
    buf_release(&b);
    close(p.fd);
    unlink(p.path);
}

static void addresses(void **unused)
{
    (void)unused;
    static const char *const bad[] = { "", "x", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:99999",
                                       "127.0.0.1:8x", "example.org:80", "[::1:80", "[zz]:80", "unix:", "300.1.1.1:80" };
    struct chan *c;
    struct err e;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(dial(&c, bad[i], &e), ERR_ARG);
        assert_null(c);
    }
    assert_int_equal(dial(&c, "127.0.0.1:1", &e), ERR_NOTFOUND);
    assert_int_equal(dial(&c, "unix:/nowhere/socket", &e), ERR_NOTFOUND);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(answers),
    cmocka_unit_test(questions),
    cmocka_unit_test(addresses),
};
int main(void) { return run_tests(tests); }
