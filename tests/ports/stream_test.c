#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ports/clock.h"
#include "ports/pacer.h"
#include "ports/random.h"
#include "tests/cmocka.h"
#include "tests/ports/peer.h"
#include "tests/ports/told.h"

struct test {
    struct loop *loop;
    struct names *names;
};

static int setup(void **state)
{
    static struct test test;
    assert_int_equal(loop_open(&test.loop), ERR_OK);
    assert_int_equal(names_open(&test.names, test.loop), ERR_OK);
    *state = &test;
    return 0;
}

static int teardown(void **state)
{
    struct test *test = *state;
    names_close(test->names);
    loop_close(test->loop);
    return 0;
}

static void an_echo_gives_every_byte_back(void **state)
{
    struct test *test = *state;
    static const struct {
        const char *listen, *connect;
        uint64_t size;
        size_t chunk_max;
    } cases[] = {
        {"127.0.0.1", "127.0.0.1", 1, 0},
        {"127.0.0.1", "localhost", 3000000, 0},
        {"127.0.0.1", "127.0.0.1", 30000, 50},
        {"", "127.0.0.1", 100000, 4000},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct server server;
        server_open(&server, test->loop, cases[i].listen, NULL);
        server.chunk_max = cases[i].chunk_max;
        struct stream_options options = {.host = cases[i].connect,
                                         .port = listener_port(server.listener),
                                         .send_buffer_size = i == 1 ? 16384 : 0};
        struct client client = {.chunk_max = cases[i].chunk_max, .pauses = i % 2 == 1};
        client_open(&client, test->loop, test->names, &options, cases[i].size);
        assert_true(loop_until(test->loop, &client.finish, PEER_WAIT_MS));
        assert_int_equal(client.received, cases[i].size);
        assert_false(client.closed);
        struct wire_count count;
        stream_wire_count(client.stream, &count);
        assert_int_equal(count.payload_sent, cases[i].size);
        assert_int_equal(count.payload_received, cases[i].size);
        if (wire_is_told()) {
            assert_in_range(count.sent, cases[i].size + 3 * 40, cases[i].size * 3 + 100000);
            assert_in_range(count.received, cases[i].size + 2 * 40, cases[i].size * 3 + 100000);
            assert_true(count.round_trip_us > 0);
        }
        assert_int_equal(strncmp(stream_peer(client.stream), "127.0.0.1:", 10), 0);
        stream_finish(client.stream); /* the server sees an end in order */
        assert_true(loop_until(test->loop, &server.echoes[0].closed, PEER_WAIT_MS));
        assert_int_equal(server.echoes[0].e, ERR_CLOSED);
        client_close(&client);
        server_close(&server);
    }
}

/* The header sizes are known on the loopback: 40 bytes and 12 for the time stamps. */
static void wire_bytes_are_close_to_what_tcp_sends(void **state)
{
    struct test *test = *state;
    if (!wire_is_told()) {
        skip();
    }
    struct server server;
    server_open(&server, test->loop, "127.0.0.1", NULL);
    struct stream_options options = {.host = "127.0.0.1", .port = listener_port(server.listener)};
    struct client client = {.chunk_max = 0};
    client_open(&client, test->loop, test->names, &options, 100);
    assert_true(loop_until(test->loop, &client.finish, PEER_WAIT_MS));
    struct wire_count count;
    stream_wire_count(client.stream, &count);
    /* out: SYN, ACK, 100 bytes, perhaps an ACK; in: SYN+ACK, ACK, 100 bytes */
    assert_in_range(count.sent, 100 + 3 * 40, 100 + 5 * 60 + 8);
    assert_in_range(count.received, 100 + 2 * 40, 100 + 4 * 60 + 8);
    assert_true(stream_unsent(client.stream) == 0);
    client_close(&client);
    server_close(&server);
}

static uint64_t paced_ms(struct test *test, struct pacer *pacer, bool is_urgent, uint64_t size,
                         struct client *client)
{
    struct server server = {.loop = test->loop};
    server_open(&server, test->loop, "127.0.0.1", NULL);
    struct stream_options options = {.host = "127.0.0.1",
                                     .port = listener_port(server.listener),
                                     .pacer = pacer,
                                     .is_urgent = is_urgent};
    uint64_t begun_ms = clock_monotonic_ms();
    client_open(client, test->loop, test->names, &options, size);
    assert_true(loop_until(test->loop, &client->finish, PEER_WAIT_MS));
    uint64_t took_ms = clock_monotonic_ms() - begun_ms;
    assert_int_equal(client->received, size);
    client_close(client);
    server_close(&server);
    return took_ms;
}

static void a_pacer_holds_it_to_its_rate(void **state)
{
    struct test *test = *state;
    struct pacer *pacer = NULL;
    struct client client = {.chunk_max = 0};
    assert_int_equal(pacer_open(&pacer, test->loop, 100000, 100000), ERR_OK);
    uint64_t took_ms = paced_ms(test, pacer, false, 100000, &client);
    assert_true(took_ms >= 850); /* less what the bucket held */
    assert_in_range(pacer_bytes(pacer), 100000, 112000);
    client = (struct client){.chunk_max = 700};
    took_ms = paced_ms(test, pacer, true, 30000, &client);
    assert_true(took_ms >= 200);
    pacer_close(pacer);
}

static void a_refused_connection_says_so(void **state)
{
    struct test *test = *state;
    if (!refusal_is_told()) {
        skip();
    }
    struct server server;
    server_open(&server, test->loop, "127.0.0.1", NULL);
    struct stream_options options = {.host = "127.0.0.1", .port = listener_port(server.listener)};
    server_close(&server);
    struct client client = {.chunk_max = 0};
    client_open(&client, test->loop, test->names, &options, 1);
    assert_false(client.closed);
    assert_true(loop_until(test->loop, &client.closed, PEER_WAIT_MS));
    assert_int_equal(client.e, ERR_CLOSED);
    assert_non_null(strstr(client.why.text, "refused"));
    assert_false(client.open);
    client_close(&client);
}

/* A listener whose queue is full answers nothing: the connection hangs half open. */
static void a_connection_that_hangs_ends_by_its_timeout(void **state)
{
    struct test *test = *state;
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    struct stream_options options = {
        .host = "127.0.0.1", .port = ntohs(address.sin_port), .connect_timeout_ms = 300};
    struct client clients[4];
    for (size_t i = 0; i < ARRAY_COUNT(clients); i++) {
        clients[i] = (struct client){.chunk_max = 0};
        client_open(&clients[i], test->loop, test->names, &options, 1);
    }
    struct client *last = &clients[ARRAY_COUNT(clients) - 1];
    assert_true(loop_until(test->loop, &last->closed, PEER_WAIT_MS));
    assert_int_equal(last->e, ERR_TIMEOUT);
    assert_non_null(strstr(last->why.text, "within 300 ms"));
    for (size_t i = 0; i < ARRAY_COUNT(clients); i++) {
        client_close(&clients[i]);
    }
    close(fd);
}

static void a_peer_may_go_at_any_byte(void **state)
{
    struct test *test = *state;
    for (int i = 0; i < 30; i++) {
        struct server server;
        server_open(&server, test->loop, "127.0.0.1", NULL);
        server.close_after = 1 + random_below(200000);
        struct stream_options options = {.host = "127.0.0.1",
                                         .port = listener_port(server.listener)};
        struct client client = {.chunk_max = 0, .pauses = i % 2};
        client_open(&client, test->loop, test->names, &options, 10000000);
        assert_true(loop_until(test->loop, &client.closed, PEER_WAIT_MS));
        assert_int_equal(client.e, ERR_CLOSED);
        assert_true(client.why.text[0]);
        size_t taken = 0;
        assert_int_equal(stream_write(client.stream, SLICE("x"), &taken), ERR_CLOSED);
        client_close(&client);
        server_close(&server);
    }
}

static void opened(void *context)
{
    *(bool *)context = true;
}

static void nothing(void *context)
{
    (void)context;
}

static void ended(void *context, enum err e, const struct why *why)
{
    (void)context;
    (void)e;
    (void)why;
}

/* Writes more than a server that does not read can take, and closes. *ret_written, and what of it
 * the server finds when it reads at last. */
static uint64_t write_and_close(struct test *test, bool forget_unsent, uint64_t *ret_written)
{
    static uint8_t data[1 << 20];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int small = 4096;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    bool is_open = false;
    struct stream_handler handler = {
        .on_open = opened, .on_readable = nothing, .on_writable = nothing, .on_closed = ended};
    struct stream_options options = {
        .host = "127.0.0.1", .port = ntohs(address.sin_port), .forget_unsent = forget_unsent};
    struct stream *stream;
    assert_int_equal(stream_connect(&stream, test->loop, test->names, &options, &handler, &is_open),
                     ERR_OK);
    assert_true(loop_until(test->loop, &is_open, PEER_WAIT_MS));
    size_t written = 0;
    assert_int_equal(stream_write(stream, (struct slice){data, sizeof data}, &written), ERR_OK);
    int peer = accept(fd, NULL, NULL);
    assert_true(peer >= 0);
    stream_close(stream);
    uint64_t found = 0;
    ssize_t got;
    while ((got = read(peer, data, sizeof data)) > 0) {
        found += (uint64_t)got;
    }
    close(peer);
    close(fd);
    *ret_written = written;
    return found;
}

static void what_is_unsent_is_forgotten_when_it_shall_be(void **state)
{
    uint64_t written = 0;
    uint64_t found = write_and_close(*state, false, &written);
    assert_int_equal(found, written);
    assert_true(written > 100000);
    found = write_and_close(*state, true, &written);
    assert_true(found < written);
}

static void a_listener_keeps_to_its_number_of_connections(void **state)
{
    struct test *test = *state;
    struct server server = {.loop = test->loop};
    server_open(&server, test->loop, "127.0.0.1", NULL);
    struct listener *unlimited = server.listener;
    struct stream_options options = {.host = "127.0.0.1", .port = listener_port(unlimited)};
    struct client clients[3];
    for (size_t i = 0; i < 3; i++) {
        clients[i] = (struct client){.chunk_max = 0};
        client_open(&clients[i], test->loop, test->names, &options, 10);
        assert_true(loop_until(test->loop, &clients[i].finish, PEER_WAIT_MS));
    }
    struct listener_counts counts;
    listener_counts(unlimited, &counts);
    assert_int_equal(counts.accepted, 3);
    assert_int_equal(counts.refused, 0);
    for (size_t i = 0; i < 3; i++) {
        client_close(&clients[i]);
    }
    server_close(&server);
}

static void never_accepted(void *context, struct stream *stream)
{
    (void)stream;
    ++*(int *)context;
}

static void a_stream_that_nobody_takes_is_closed(void **state)
{
    struct test *test = *state;
    int accepted = 0;
    struct listener *listener = NULL;
    struct why why = {.text = ""};
    struct listener_options options = {.host = "127.0.0.1", .connection_max = 1};
    assert_int_equal(
        listener_open(&listener, test->loop, &options, never_accepted, &accepted, &why), ERR_OK);
    struct stream_options to = {.host = "127.0.0.1", .port = listener_port(listener)};
    for (int i = 1; i <= 2; i++) {
        struct client client = {.chunk_max = 0};
        client_open(&client, test->loop, test->names, &to, 10);
        assert_true(loop_until(test->loop, &client.closed, PEER_WAIT_MS));
        assert_int_equal(accepted, i);
        client_close(&client);
    }
    listener_close(listener);
}

static void unix_sockets_are_taken_over_only_from_the_dead(void **state)
{
    struct test *test = *state;
    char host[] = "unix:/tmp/weir-stream-test-XXXXXX";
    int fd = mkstemp(host + 5);
    assert_true(fd >= 0);
    close(fd);
    struct listener *first = NULL;
    struct listener *second = NULL;
    struct why why = {.text = ""};
    int accepted = 0;
    struct listener_options options = {.host = host};
    assert_int_equal(listener_open(&first, test->loop, &options, never_accepted, &accepted, &why),
                     ERR_CONFIG); /* an ordinary file */
    assert_non_null(strstr(why.text, "no socket"));
    unlink(host + 5);
    assert_int_equal(listener_open(&first, test->loop, &options, never_accepted, &accepted, &why),
                     ERR_OK);
    assert_int_equal(listener_open(&second, test->loop, &options, never_accepted, &accepted, &why),
                     ERR_CONFIG);
    assert_non_null(strstr(why.text, "another process"));
    listener_close(first);
    assert_int_equal(access(host + 5, F_OK), -1);
    options.host = "example.invalid";
    assert_int_equal(listener_open(&second, test->loop, &options, never_accepted, &accepted, &why),
                     ERR_CONFIG);
}

struct asked {
    struct name_query query;
    bool found;
    enum err e;
};

static void asked_found(struct name_query *query, enum err e)
{
    struct asked *asked = CONTAINER_OF(query, struct asked, query);
    assert_false(asked->found);
    asked->found = true;
    asked->e = e;
}

static void literal_addresses_need_no_lookup(void **state)
{
    struct test *test = *state;
    static const char *const hosts[] = {"192.0.2.7", "2001:db8::7", "[2001:db8::7]"};
    for (size_t i = 0; i < ARRAY_COUNT(hosts); i++) {
        struct asked asked = {.query = {.port = 99, .found = asked_found}};
        snprintf(asked.query.host, sizeof asked.query.host, "%s", hosts[i]);
        assert_int_equal(names_query(test->names, &asked.query), ERR_OK);
        assert_false(asked.found);
        assert_int_equal(loop_turn(test->loop, 1000), ERR_OK);
        assert_true(asked.found);
        assert_int_equal(asked.e, ERR_OK);
        assert_int_equal(asked.query.address_count, 1);
        assert_int_equal(asked.query.addresses[0].storage.ss_family, i ? AF_INET6 : AF_INET);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_echo_gives_every_byte_back),
        cmocka_unit_test(wire_bytes_are_close_to_what_tcp_sends),
        cmocka_unit_test(a_pacer_holds_it_to_its_rate),
        cmocka_unit_test(a_refused_connection_says_so),
        cmocka_unit_test(a_connection_that_hangs_ends_by_its_timeout),
        cmocka_unit_test(a_peer_may_go_at_any_byte),
        cmocka_unit_test(what_is_unsent_is_forgotten_when_it_shall_be),
        cmocka_unit_test(a_listener_keeps_to_its_number_of_connections),
        cmocka_unit_test(a_stream_that_nobody_takes_is_closed),
        cmocka_unit_test(unix_sockets_are_taken_over_only_from_the_dead),
        cmocka_unit_test(literal_addresses_need_no_lookup),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
