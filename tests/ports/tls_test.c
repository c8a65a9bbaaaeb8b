/* TLS on both sides over real sockets, with certificates of a test CA made anew for each run. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <mbedtls/x509_crt.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ports/clock.h"
#include "ports/lib/tls_impl.h"
#include "ports/pacer.h"
#include "ports/random.h"
#include "ports/tickets.h"
#include "tests/cmocka.h"
#include "tests/ports/peer.h"
#include "tests/ports/told.h"

struct test {
    struct loop *loop;
    struct names *names;
    char folder[64];
};

static const char *file_of(const struct test *test, const char *name)
{
    static char paths[32][128];
    static size_t next;
    char *path = paths[next++ % ARRAY_COUNT(paths)];
    snprintf(path, sizeof paths[0], "%s/%s", test->folder, name);
    return path;
}

static int setup(void **state)
{
    static struct test test;
    snprintf(test.folder, sizeof test.folder, "/tmp/weir-tls-test-XXXXXX");
    assert_non_null(mkdtemp(test.folder));
    char command[256];
    snprintf(command, sizeof command, "tests/services/certs.sh %s >/dev/null && chmod 600 %s/*.key",
             test.folder, test.folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(loop_open(&test.loop), ERR_OK);
    assert_int_equal(names_open(&test.names, test.loop), ERR_OK);
    *state = &test;
    return 0;
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *walk)
{
    (void)s;
    (void)type;
    (void)walk;
    return remove(path);
}

static int teardown(void **state)
{
    struct test *test = *state;
    names_close(test->names);
    loop_close(test->loop);
    return nftw(test->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct tls *tls_of(const struct tls_options *options, enum tls_side side)
{
    struct tls *tls = NULL;
    struct why why = {.text = ""};
    enum err e = tls_open(&tls, options, side, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, ERR_OK);
    return tls;
}

static struct tls *server_tls(const struct test *test, const char *name, bool wants_client,
                              bool only_13)
{
    char certificate[32];
    char key[32];
    snprintf(certificate, sizeof certificate, "%s.pem", name);
    snprintf(key, sizeof key, "%s.key", name);
    struct tls_options options = {.certificate = file_of(test, certificate),
                                  .key = file_of(test, key),
                                  .client_ca = wants_client ? file_of(test, "ca.pem") : NULL,
                                  .version_min = only_13};
    return tls_of(&options, TLS_SERVER);
}

/* A client that speaks TLS 1.2 only, which no option asks for. */
static void tls_limit_to_12(struct tls *tls)
{
    mbedtls_ssl_conf_max_tls_version(&tls->config, MBEDTLS_SSL_VERSION_TLS1_2);
}

static void every_byte_comes_back_through_tls(void **state)
{
    struct test *test = *state;
    for (int version = 12; version <= 13; version++) {
        struct tls *of_server = server_tls(test, "server", true, false);
        struct tls_options options = {.ca = file_of(test, "ca.pem"),
                                      .certificate = file_of(test, "client.pem"),
                                      .key = file_of(test, "client.key"),
                                      .version_min = version == 13};
        struct tls *of_client = tls_of(&options, TLS_CLIENT);
        if (version == 12) {
            tls_limit_to_12(of_client);
        }
        static const uint64_t sizes[] = {1, 5000, 1000000, 20000};
        for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
            struct server server;
            server_open(&server, test->loop, "127.0.0.1", of_server);
            server.chunk_max = i == 3 ? 30 : 0;
            struct stream_options to = {.host = i % 2 ? "localhost" : "127.0.0.1",
                                        .port = listener_port(server.listener),
                                        .tls = of_client,
                                        .send_buffer_size = i == 2 ? 8192 : 0};
            struct client client = {.chunk_max = i == 3 ? 30 : 0, .pauses = i >= 2};
            client_open(&client, test->loop, test->names, &to, sizes[i]);
            assert_true(loop_until(test->loop, &client.finish, PEER_WAIT_MS));
            assert_int_equal(client.received, sizes[i]);
            struct wire_count count;
            stream_wire_count(client.stream, &count);
            assert_int_equal(count.payload_sent, sizes[i]);
            assert_int_equal(count.payload_received, sizes[i]);
            assert_true(!wire_is_told() ||
                        (count.sent > sizes[i] + 500 && count.received > sizes[i] + 500));
            stream_finish(client.stream);
            assert_true(loop_until(test->loop, &server.echoes[0].closed, PEER_WAIT_MS));
            assert_int_equal(server.echoes[0].e, ERR_CLOSED);
            assert_non_null(strstr(server.echoes[0].why.text, "the peer ended the connection"));
            client_close(&client);
            server_close(&server);
        }
        tls_close(of_client);
        tls_close(of_server);
    }
}

static void the_second_connection_resumes_the_session(void **state)
{
    struct test *test = *state;
    for (int version = 12; version <= 13; version++) {
        struct tls *of_server = server_tls(test, "server", false, false);
        struct tls_options options = {.ca = file_of(test, "ca.pem")};
        struct tls *of_client = tls_of(&options, TLS_CLIENT);
        if (version == 12) {
            tls_limit_to_12(of_client);
        }
        struct server server;
        server_open(&server, test->loop, "127.0.0.1", of_server);
        struct stream_options to = {
            .host = "localhost", .port = listener_port(server.listener), .tls = of_client};
        uint64_t received[3];
        for (int i = 0; i < 3; i++) {
            struct client client = {.chunk_max = 0};
            client_open(&client, test->loop, test->names, &to, 100);
            assert_true(loop_until(test->loop, &client.finish, PEER_WAIT_MS));
            struct wire_count count;
            stream_wire_count(client.stream, &count);
            assert_int_equal(count.resumed, i > 0);
            /* Ten years; a session that is resumed shows no certificate. */
            int64_t left_s = stream_peer_end_s(client.stream) - clock_wall_us() / 1000000;
            assert_true(i > 0 ? stream_peer_end_s(client.stream) == 0
                              : left_s > 3640 * 86400 && left_s <= 3650 * 86400);
            received[i] = count.received;
            client_close(&client);
        }
        assert_true(!wire_is_told() || received[1] + 200 < received[0]); /* no certificate */
        server_close(&server);
        tls_close(of_client);
        tls_close(of_server);
    }
}

/* Whoever shares the link waits for what a handshake took. */
static void handshakes_are_told_to_the_pacer(void **state)
{
    struct test *test = *state;
    if (!wire_is_told()) {
        skip();
    }
    struct pacer *pacer = NULL;
    struct tls *of_server = server_tls(test, "server", false, false);
    struct tls_options options = {.ca = file_of(test, "ca.pem")};
    struct tls *tls = tls_of(&options, TLS_CLIENT);
    struct server server;
    server_open(&server, test->loop, "127.0.0.1", of_server);
    assert_int_equal(pacer_open(&pacer, test->loop, 1000000, 100000), ERR_OK);
    struct stream_options to = {
        .host = "localhost", .port = listener_port(server.listener), .tls = tls, .pacer = pacer};
    struct client client = {.chunk_max = 0};
    client_open(&client, test->loop, test->names, &to, 1);
    assert_true(loop_until(test->loop, &client.finish, PEER_WAIT_MS));
    struct wire_count count;
    stream_wire_count(client.stream, &count);
    assert_in_range(pacer_bytes(pacer), count.sent / 2, count.sent);
    assert_true(pacer_bytes(pacer) > 300);
    client_close(&client);
    pacer_close(pacer);
    tls_close(tls);
    server_close(&server);
    tls_close(of_server);
}

/* One connection of a client of its own, whose sessions are in the file; was it resumed? */
static bool resumes(struct test *test, uint16_t port, const struct tls_options *options,
                    bool only_12, const uint8_t *key, uint64_t *ret_received)
{
    struct tickets *tickets = NULL;
    struct tls *tls = tls_of(options, TLS_CLIENT);
    if (only_12) {
        tls_limit_to_12(tls);
    }
    assert_int_equal(tickets_open(&tickets, test->loop, file_of(test, "tickets"), key), ERR_OK);
    tickets_join(tickets, "cloud", tls);
    struct stream_options to = {.host = "localhost", .port = port, .tls = tls};
    struct client client = {.chunk_max = 0};
    client_open(&client, test->loop, test->names, &to, 100);
    assert_true(loop_until(test->loop, &client.finish, PEER_WAIT_MS));
    struct wire_count count;
    stream_wire_count(client.stream, &count);
    client_close(&client);
    tickets_leave(tickets, tls);
    tls_close(tls);
    tickets_close(tickets);
    *ret_received = count.sent + count.received;
    return count.resumed;
}

static long size_of(const char *path)
{
    struct stat s;
    return stat(path, &s) ? -1 : (long)s.st_size;
}

static void damage(const char *path)
{
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, 100), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 100), 1);
    close(fd);
}

/* Sessions survive the process in a file of their owner's alone, and in nobody's who trusts others. */
static void sessions_survive_a_restart(void **state)
{
    struct test *test = *state;
    static const uint8_t keys[2][32] = {{1}, {2}};
    char path[128];
    snprintf(path, sizeof path, "%s", file_of(test, "tickets")); /* longer than others' turns */
    for (int kind = 0; kind < 4; kind++) {
        bool only_12 = kind & 1;
        const uint8_t *key = kind & 2 ? keys[0] : NULL;
        struct tls *of_server = server_tls(test, "server", false, false);
        struct tls_options options = {.ca = file_of(test, "ca.pem")};
        struct tls_options careless = {.ca = file_of(test, "ca.pem"), .insecure = true};
        struct server server;
        server_open(&server, test->loop, "127.0.0.1", of_server);
        uint16_t port = listener_port(server.listener);
        uint64_t full, again;
        (void)unlink(path);
        assert_false(resumes(test, port, &options, only_12, key, &full));
        struct stat s;
        assert_int_equal(stat(path, &s), 0);
        assert_int_equal(s.st_mode & 0777, 0600);
        for (int i = 0; i < 3; i++) {
            assert_true(resumes(test, port, &options, only_12, key, &again));
            assert_true(!wire_is_told() || again + 200 < full);
        }
        print_message("TLS 1.%d: %llu bytes, resumed after a restart %llu; the file %ld\n",
                      only_12 ? 2 : 3, (unsigned long long)full, (unsigned long long)again,
                      size_of(path));
        /* Who was not verified must not pass as one who was. */
        assert_false(resumes(test, port, &careless, only_12, key, &again));
        assert_true(resumes(test, port, &careless, only_12, key, &again));
        assert_false(resumes(test, port, &options, only_12, key, &again));
        damage(path);
        assert_false(resumes(test, port, &options, only_12, key, &again));
        assert_int_equal(chmod(path, 0644), 0); /* others might have written it */
        assert_false(resumes(test, port, &options, only_12, key, &again));
        assert_true(resumes(test, port, &options, only_12, key, &again));
        assert_false(resumes(test, port, &options, only_12, keys[1], &again));
        server_close(&server);
        tls_close(of_server);
    }
}

/* A session is only offered where it came from: after the server has lost its ticket keys the
 * handshake is a full one again. */
static void a_server_that_forgot_the_session_is_no_problem(void **state)
{
    struct test *test = *state;
    struct tls_options options = {.ca = file_of(test, "ca.pem")};
    struct tls *of_client = tls_of(&options, TLS_CLIENT);
    uint16_t port = 0;
    for (int i = 0; i < 2; i++) {
        struct tls *of_server = server_tls(test, "server", false, false);
        struct server server = {.loop = test->loop};
        struct listener_options listen = {.host = "127.0.0.1", .tls = of_server, .port = port};
        server_open(&server, test->loop, "127.0.0.1", of_server);
        (void)listen;
        struct stream_options to = {
            .host = "localhost", .port = listener_port(server.listener), .tls = of_client};
        if (i == 1) { /* as if it were the same port */
            for (size_t k = 0; k < TLS_SESSION_KEPT_MAX; k++) {
                if (of_client->kept[k]) {
                    of_client->kept[k]->port = to.port;
                }
            }
        }
        struct client client = {.chunk_max = 0};
        client_open(&client, test->loop, test->names, &to, 100);
        assert_true(loop_until(test->loop, &client.finish, PEER_WAIT_MS));
        struct wire_count count;
        stream_wire_count(client.stream, &count);
        assert_false(count.resumed);
        client_close(&client);
        server_close(&server);
        tls_close(of_server);
    }
    tls_close(of_client);
}

/* The listener hears of a handshake's end after the client has ended it. */
static void wait_failed(struct test *test, struct listener *listener, struct listener_counts *ret)
{
    uint64_t end_ms = clock_monotonic_ms() + PEER_WAIT_MS;
    do {
        assert_int_equal(loop_turn(test->loop, 100), ERR_OK);
        listener_counts(listener, ret);
    } while (ret->failed == 0 && clock_monotonic_ms() < end_ms);
}

static void a_bad_certificate_is_refused_with_its_reason(void **state)
{
    struct test *test = *state;
    static const struct {
        const char *server, *host, *name, *says;
        bool insecure;
    } cases[] = {
        {"server", "127.0.0.1", NULL, NULL, false},
        {"server", "localhost", NULL, NULL, false},
        {"self", "localhost", NULL, "no authority that is trusted here", false},
        {"expired", "localhost", NULL, "expired on 2020-02-01T00:00:00Z", false},
        {"wrong-name", "localhost", NULL, "not for the name localhost", false},
        {"wrong-name", "127.0.0.1", NULL, "not for the name 127.0.0.1", false},
        {"wrong-name", "127.0.0.1", "elsewhere.invalid", NULL, false},
        {"self", "localhost", NULL, NULL, true},
        {"expired", "localhost", NULL, NULL, true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct tls *of_server = server_tls(test, cases[i].server, false, i % 2);
        struct tls_options options = {.ca = file_of(test, "ca.pem"),
                                      .server_name = cases[i].name,
                                      .insecure = cases[i].insecure};
        struct tls *of_client = tls_of(&options, TLS_CLIENT);
        struct server server;
        server_open(&server, test->loop, "127.0.0.1", of_server);
        struct stream_options to = {
            .host = cases[i].host, .port = listener_port(server.listener), .tls = of_client};
        struct client client = {.chunk_max = 0};
        client_open(&client, test->loop, test->names, &to, 100);
        if (cases[i].says) {
            assert_true(loop_until(test->loop, &client.closed, PEER_WAIT_MS));
            assert_int_equal(client.e, ERR_AUTH);
            assert_false(client.open);
            if (!strstr(client.why.text, cases[i].says)) {
                fail_msg("\"%s\" does not say \"%s\"", client.why.text, cases[i].says);
            }
            struct listener_counts counts;
            wait_failed(test, server.listener, &counts);
            assert_int_equal(counts.failed, 1);
            assert_int_equal(counts.accepted, 0);
            if (!strstr(counts.last_failure.text, "the client refused") &&
                !strstr(counts.last_failure.text, "the client broke off")) {
                fail_msg("case %zu: \"%s\"", i, counts.last_failure.text);
            }
        } else {
            assert_true(loop_until(test->loop, &client.finish, PEER_WAIT_MS));
        }
        client_close(&client);
        server_close(&server);
        tls_close(of_client);
        tls_close(of_server);
    }
}

static void a_client_without_certificate_is_told(void **state)
{
    struct test *test = *state;
    for (int version = 12; version <= 13; version++) {
        struct tls *of_server = server_tls(test, "server", true, false);
        struct tls_options options = {.ca = file_of(test, "ca.pem")};
        struct tls *of_client = tls_of(&options, TLS_CLIENT);
        if (version == 12) {
            tls_limit_to_12(of_client);
        }
        struct server server;
        server_open(&server, test->loop, "127.0.0.1", of_server);
        struct stream_options to = {
            .host = "localhost", .port = listener_port(server.listener), .tls = of_client};
        struct client client = {.chunk_max = 0};
        client_open(&client, test->loop, test->names, &to, 100);
        assert_true(loop_until(test->loop, &client.closed, PEER_WAIT_MS));
        assert_int_equal(client.e, ERR_AUTH);
        assert_non_null(strstr(client.why.text, "certificate"));
        struct listener_counts counts;
        listener_counts(server.listener, &counts);
        assert_non_null(strstr(counts.last_failure.text, "showed no certificate"));
        assert_int_equal(counts.accepted, 0);
        client_close(&client);
        server_close(&server);
        tls_close(of_client);
        tls_close(of_server);
    }
}

static void plain_text_on_either_side_is_recognised(void **state)
{
    struct test *test = *state;
    struct tls_options options = {.ca = file_of(test, "ca.pem")};
    struct tls *of_client = tls_of(&options, TLS_CLIENT);
    struct tls *of_server = server_tls(test, "server", false, false);
    for (int i = 0; i < 2; i++) {
        struct server server;
        server_open(&server, test->loop, "127.0.0.1", i ? of_server : NULL);
        struct stream_options to = {.host = "localhost",
                                    .port = listener_port(server.listener),
                                    .tls = i ? NULL : of_client};
        struct client client = {.chunk_max = 0};
        client_open(&client, test->loop, test->names, &to, 100);
        assert_true(loop_until(test->loop, &client.closed, PEER_WAIT_MS));
        if (i == 0) { /* the echo of a ClientHello */
            assert_int_equal(client.e, ERR_IO);
            assert_non_null(strstr(client.why.text, "is TLS spoken on that port?"));
        }
        client_close(&client);
        server_close(&server);
    }
    tls_close(of_client);
    tls_close(of_server);
}

static void a_peer_may_go_at_any_byte_of_tls(void **state)
{
    struct test *test = *state;
    struct tls_options options = {.ca = file_of(test, "ca.pem")};
    struct tls *of_client = tls_of(&options, TLS_CLIENT);
    struct tls *of_server = server_tls(test, "server", false, false);
    for (int i = 0; i < 20; i++) {
        struct server server;
        /* i odd: a plain echo, so that the handshake itself is cut */
        server_open(&server, test->loop, "127.0.0.1", i % 2 ? NULL : of_server);
        server.close_after = 1 + random_below(i % 2 ? 200 : 100000);
        struct stream_options to = {
            .host = "localhost", .port = listener_port(server.listener), .tls = of_client};
        struct client client = {.chunk_max = 0};
        client_open(&client, test->loop, test->names, &to, 10000000);
        assert_true(loop_until(test->loop, &client.closed, PEER_WAIT_MS));
        assert_int_not_equal(client.e, ERR_OK);
        assert_true(client.why.text[0]);
        client_close(&client);
        server_close(&server);
    }
    tls_close(of_client);
    tls_close(of_server);
}

static void files_that_are_no_use_are_named(void **state)
{
    struct test *test = *state;
    assert_int_equal(chmod(file_of(test, "client.key"), 0604), 0);
    const struct {
        struct tls_options options;
        enum tls_side side;
        enum err e;
        const char *says;
    } cases[] = {
        {{.ca = "/nowhere/ca.pem"}, TLS_CLIENT, ERR_CLOSED, "/nowhere/ca.pem"},
        {{.ca = file_of(test, "ca.key")}, TLS_CLIENT, ERR_CONFIG, "no certificate"},
        {{.ca = file_of(test, "ca.pem"), .certificate = file_of(test, "client.pem")},
         TLS_CLIENT,
         ERR_CONFIG,
         "tls.key is missing"},
        {{.certificate = file_of(test, "server.pem"), .key = file_of(test, "client.key")},
         TLS_SERVER,
         ERR_AUTH,
         "chmod 600"},
        {{.certificate = file_of(test, "wrong-name.pem"), .key = file_of(test, "server.key")},
         TLS_SERVER,
         ERR_CONFIG,
         "does not belong"},
        {{.certificate = file_of(test, "client.pem"), .key = file_of(test, "client.pem")},
         TLS_CLIENT,
         ERR_AUTH,
         "client.pem"},
        {{.certificate = file_of(test, "client.pem"), .key = file_of(test, "server.key")},
         TLS_SERVER,
         ERR_CONFIG,
         "not for servers"},
        {{.is_set = true}, TLS_SERVER, ERR_CONFIG, "needs tls.certificate"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct tls *tls = NULL;
        struct why why = {.text = ""};
        enum err e = tls_open(&tls, &cases[i].options, cases[i].side, &why);
        if (e != cases[i].e) {
            fail_msg("case %zu: %s, \"%s\"", i, err_name(e), why.text);
        }
        assert_null(tls);
        if (!strstr(why.text, cases[i].says)) {
            fail_msg("\"%s\" does not say \"%s\"", why.text, cases[i].says);
        }
    }
    assert_int_equal(chmod(file_of(test, "client.key"), 0600), 0);
}

static void a_clock_that_is_behind_is_suspected(void **state)
{
    (void)state;
    struct tls_problem problem = {.flags = MBEDTLS_X509_BADCERT_FUTURE,
                                  .subject = "CN=x",
                                  .from_us = INT64_C(4070908800000000)};
    struct why why = {.text = ""};
    tls_problem_text(&problem, "x", &why);
    assert_non_null(strstr(why.text, "not valid before 2099-01-01T00:00:00Z"));
    assert_non_null(strstr(why.text, "is the clock right?"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_comes_back_through_tls),
        cmocka_unit_test(the_second_connection_resumes_the_session),
        cmocka_unit_test(sessions_survive_a_restart),
        cmocka_unit_test(handshakes_are_told_to_the_pacer),
        cmocka_unit_test(a_server_that_forgot_the_session_is_no_problem),
        cmocka_unit_test(a_bad_certificate_is_refused_with_its_reason),
        cmocka_unit_test(a_client_without_certificate_is_told),
        cmocka_unit_test(plain_text_on_either_side_is_recognised),
        cmocka_unit_test(a_peer_may_go_at_any_byte_of_tls),
        cmocka_unit_test(files_that_are_no_use_are_named),
        cmocka_unit_test(a_clock_that_is_behind_is_suspected),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
