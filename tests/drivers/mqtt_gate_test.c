/* The gate by itself, with a library whose every packet the test writes. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "drivers/mqtt_gate.h"
#include "ports/clock.h"
#include "ports/names.h"
#include "tests/cmocka.h"
#include "tests/drivers/broker_double.h"

#define WAIT_MS 60000 /* for what comes at once on a machine that is idle */

struct fixture {
    struct loop *loop;
    struct names *names;
    struct mqtt_gate *gate;
    struct broker broker;
    struct broker library; /* the same double, from the other side */
    size_t drain_count;
    uint16_t drained; /* id of the message that drain() reports; 0: none */
    uint64_t serial;
    bool is_waiting; /* connack() says false */
    struct why trouble;
};

static void on_drain(void *context)
{
    struct fixture *f = context;
    f->drain_count++;
    if (f->drained) {
        uint16_t id = f->drained;
        f->drained = 0;
        mqtt_gate_arrived(f->gate, id, 1, ++f->serial);
    }
}

static void on_unstored(void *context, size_t *ret_count, size_t *ret_size)
{
    (void)context;
    *ret_count = *ret_size = 0;
}

static bool on_connack(void *context, const struct mqtt_connack *connack)
{
    const struct fixture *f = context;
    (void)connack;
    return !f->is_waiting;
}

static void on_released(void *context, size_t count, size_t held)
{
    (void)context;
    assert_true(count > 0);
    (void)held;
}

static void on_trouble(void *context, const struct why *why)
{
    struct fixture *f = context;
    f->trouble = *why;
}

static void on_count(void *context, const char *name, uint64_t add)
{
    (void)context;
    (void)name;
    (void)add;
}

static void turn(struct fixture *f)
{
    assert_int_equal(loop_turn(f->loop, 2), ERR_OK);
    (void)broker_turn(&f->broker);
    (void)broker_turn(&f->library);
}

static void run(struct fixture *f, uint64_t run_ms)
{
    for (uint64_t end_ms = clock_monotonic_ms() + run_ms; clock_monotonic_ms() < end_ms;) {
        turn(f);
    }
}

static void expect(struct fixture *f, struct broker *at, unsigned type, struct packet *ret)
{
    uint64_t end_ms = clock_monotonic_ms() + WAIT_MS;
    while (!broker_next(at, ret)) {
        turn(f);
        assert_true(clock_monotonic_ms() < end_ms);
    }
    assert_int_equal(ret->type, type);
}

static void expect_left(struct fixture *f, struct broker *at)
{
    uint64_t end_ms = clock_monotonic_ms() + WAIT_MS;
    while (!broker_is_left(at)) {
        turn(f);
        assert_true(clock_monotonic_ms() < end_ms);
    }
}

static void library_dial(struct fixture *f)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(mqtt_gate_port(f->gate))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    broker_hang_up(&f->library);
    f->library.size = f->library.out_size = f->library.out_at = 0;
    f->library.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(f->library.fd >= 0);
    assert_int_equal(connect(f->library.fd, (struct sockaddr *)&to, sizeof to), 0);
}

/* Both sides connected, CONNECT and CONNACK through. */
static void connect_through(struct fixture *f)
{
    static const uint8_t hello[] = {0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 0, 0, 60, 0, 1, 'w'};
    struct packet packet;
    library_dial(f);
    broker_send(&f->library, hello, sizeof hello);
    expect(f, &f->broker, MQTT_CONNECT, &packet);
    assert_memory_equal(packet.body, hello + 2, sizeof hello - 2); /* unchanged */
    broker_connack(&f->broker, true, 0, 0, false);
    if (!f->is_waiting) {
        expect(f, &f->library, MQTT_CONNACK, &packet);
    }
}

static void fixture_init_with(struct fixture *f, uint32_t keepalive_s)
{
    memset(f, 0, sizeof *f);
    f->library.listener = f->library.fd = -1;
    assert_int_equal(loop_open(&f->loop), ERR_OK);
    assert_int_equal(names_open(&f->names, f->loop), ERR_OK);
    broker_init(&f->broker);
    struct mqtt_gate_options options = {
        .loop = f->loop,
        .names = f->names,
        .handler = {on_drain, on_unstored, on_connack, on_released, on_trouble, on_count},
        .context = f,
        .host = "127.0.0.1",
        .port = f->broker.port,
        .keepalive_s = keepalive_s,
        .filter_count = 2,
        .size_max = 1000,
        .unstored_count_max = 10,
        .unstored_size_max = 100000};
    struct why why;
    assert_int_equal(mqtt_gate_open(&f->gate, &options, &why), ERR_OK);
}

static void fixture_init(struct fixture *f)
{
    fixture_init_with(f, 60);
}

static void fixture_release(struct fixture *f)
{
    mqtt_gate_close(f->gate);
    broker_release(&f->broker);
    broker_release(&f->library);
    names_close(f->names);
    loop_close(f->loop);
}

static void acknowledge(struct fixture *f, uint16_t id)
{
    uint8_t data[] = {0x40, 2, (uint8_t)(id >> 8), (uint8_t)id};
    broker_send(&f->library, data, sizeof data);
}

static void forward(struct fixture *f, uint16_t id)
{
    struct packet packet;
    broker_publish(&f->broker, "t", id, false, SLICE("x"), false);
    expect(f, &f->library, MQTT_PUBLISH, &packet);
}

static void an_event_is_looked_for_when_its_acknowledgement_comes(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_init(&f);
    connect_through(&f);
    forward(&f, 7);
    f.drained = 7; /* in the inbox, and the loop has not come to it */
    acknowledge(&f, 7);
    for (uint64_t end_ms = clock_monotonic_ms() + WAIT_MS; f.serial == 0;) {
        turn(&f);
        assert_true(clock_monotonic_ms() < end_ms);
    }
    run(&f, 50);
    assert_int_equal(f.serial, 1);
    assert_false(broker_next(&f.broker, &packet)); /* it is not stored */
    mqtt_gate_stored(f.gate, 1);
    expect(&f, &f.broker, MQTT_PUBACK, &packet);
    assert_int_equal(packet.id, 7);
    assert_int_equal(mqtt_gate_held(f.gate), 0);
    fixture_release(&f);
}

static void an_acknowledgement_without_an_event_is_never_sent(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_init(&f);
    connect_through(&f);
    forward(&f, 7);
    acknowledge(&f, 7);
    expect_left(&f, &f.broker);
    expect_left(&f, &f.library);
    assert_false(broker_next(&f.broker, &packet));
    assert_non_null(strstr(f.trouble.text, "without giving it to us"));
    broker_hang_up(&f.broker);
    connect_through(&f); /* the library comes again, the broker sends again */
    forward(&f, 7);
    fixture_release(&f);
}

/* Of its sizes the library believes the broker: it would read beyond what it has, or take 256 MB. */
static void packets_that_nobody_asked_for_end_the_connection(void **state)
{
    (void)state;
    static const struct {
        uint8_t size;
        uint8_t bytes[6];
    } packets[] = {
        {4, {0x90, 2, 0, 1}},                   /* SUBACK without a code */
        {5, {0x90, 3, 0, 1, 0}},                /* with one of two */
        {6, {0x90, 0xff, 0xff, 0xff, 0x7f, 0}}, /* with 268 million */
        {6, {0xe0, 0xff, 0xff, 0xff, 0x7f, 0}}, /* such a DISCONNECT */
        {4, {0x40, 2, 0, 1}},                   /* PUBACK: we publish nothing */
        {4, {0x62, 2, 0, 1}},                   /* PUBREL */
        {4, {0xb0, 2, 0, 1}},                   /* UNSUBACK */
        {2, {0xf0, 0}},                         /* AUTH */
    };
    struct fixture f;
    struct packet packet;
    fixture_init(&f);
    for (size_t i = 0; i < ARRAY_COUNT(packets); i++) {
        connect_through(&f);
        f.trouble.text[0] = 0;
        broker_send(&f.broker, packets[i].bytes, packets[i].size);
        expect_left(&f, &f.library);
        assert_non_null(strstr(f.trouble.text, "which nobody asked for"));
        assert_false(broker_next(&f.library, &packet));
        broker_hang_up(&f.broker);
    }
    connect_through(&f);
    static const uint8_t suback[] = {0x90, 4, 0, 1, 0, 1};
    broker_send(&f.broker, suback, sizeof suback);
    expect(&f, &f.library, MQTT_SUBACK, &packet);
    assert_int_equal(packet.size, 4);
    fixture_release(&f);
}

static void a_message_that_is_left_out_ends_the_connection(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    connect_through(&f);
    forward(&f, 7);
    forward(&f, 8);
    mqtt_gate_arrived(f.gate, 8, 1, ++f.serial);
    expect_left(&f, &f.broker);
    assert_non_null(strstr(f.trouble.text, "left a message out"));
    fixture_release(&f);
}

static void what_was_not_given_is_not_acknowledged(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    connect_through(&f);
    forward(&f, 7);
    mqtt_gate_arrived(f.gate, 7, 1, ++f.serial);
    acknowledge(&f, 9);
    expect_left(&f, &f.broker);
    assert_non_null(strstr(f.trouble.text, "what it was not given"));
    fixture_release(&f);
}

static void never_past_one_that_waits(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_init(&f);
    connect_through(&f);
    for (uint16_t id = 1; id <= 3; id++) {
        forward(&f, id);
        mqtt_gate_arrived(f.gate, id, 1, ++f.serial);
    }
    mqtt_gate_stored(f.gate, 3); /* all stored, and the library is late with its own */
    run(&f, 50);
    assert_false(broker_next(&f.broker, &packet));
    for (uint16_t id = 1; id <= 3; id++) {
        acknowledge(&f, id);
        expect(&f, &f.broker, MQTT_PUBACK, &packet);
        assert_int_equal(packet.id, id);
    }
    fixture_release(&f);
}

/* What the library wrote for an earlier connection means nothing in the next. */
static void an_event_of_an_earlier_connection_is_not_acknowledged(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_init(&f);
    connect_through(&f);
    forward(&f, 7);
    broker_hang_up(&f.broker);
    expect_left(&f, &f.library);
    f.drained = 7; /* it comes with the drain before the next connection is taken */
    connect_through(&f);
    assert_int_equal(f.serial, 1);
    mqtt_gate_stored(f.gate, 1);
    run(&f, 50);
    assert_false(broker_next(&f.broker, &packet));
    forward(&f, 7); /* sent again */
    mqtt_gate_arrived(f.gate, 7, 1, ++f.serial);
    acknowledge(&f, 7);
    mqtt_gate_stored(f.gate, 2);
    expect(&f, &f.broker, MQTT_PUBACK, &packet);
    fixture_release(&f);
}

static void a_connack_waits_for_the_driver(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_init(&f);
    f.is_waiting = true;
    connect_through(&f);
    run(&f, 100);
    assert_false(broker_next(&f.library, &packet));
    mqtt_gate_go_on(f.gate);
    expect(&f, &f.library, MQTT_CONNACK, &packet);
    assert_int_equal(packet.body[0], 1);
    fixture_release(&f);
}

static void pings_of_the_library_stay_here(void **state)
{
    (void)state;
    static const uint8_t ping[] = {0xc0, 0};
    struct fixture f;
    struct packet packet;
    fixture_init(&f);
    connect_through(&f);
    for (uint16_t id = 1; id <= 11; id++) {
        broker_publish(&f.broker, "t", id, false, SLICE("x"), false);
    }
    for (uint16_t id = 1; id <= 10; id++) {
        expect(&f, &f.library, MQTT_PUBLISH, &packet);
    }
    for (uint64_t end_ms = clock_monotonic_ms() + WAIT_MS; !mqtt_gate_is_full(f.gate);) {
        turn(&f); /* the eleventh waits, its header is read */
        assert_true(clock_monotonic_ms() < end_ms);
    }
    run(&f, 50);
    assert_true(mqtt_gate_is_full(f.gate));
    broker_send(&f.library, ping, sizeof ping);
    expect(&f, &f.library, MQTT_PINGRESP, &packet);
    assert_false(broker_next(&f.broker, &packet));
    static const uint8_t pong[] = {0xd0, 0};
    mqtt_gate_arrived(f.gate, 1, 1, ++f.serial);
    acknowledge(&f, 1);
    mqtt_gate_stored(f.gate, 1);
    expect(&f, &f.library, MQTT_PUBLISH, &packet);
    broker_send(&f.broker, pong, sizeof pong); /* an answer to a ping of the gate's */
    run(&f, 50);
    assert_false(broker_next(&f.library, &packet));
    fixture_release(&f);
}

/* Nor did it ask whether the broker is there, nor read what came. */
static void a_pause_of_the_process_is_no_silence_of_the_broker(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_init_with(&f, 1);
    connect_through(&f);
    run(&f, 50);
    broker_publish(&f.broker, "t", 7, false, SLICE("x"), false);
    (void)poll(NULL, 0, 2500);
    expect(&f, &f.library, MQTT_PUBLISH, &packet);
    assert_string_equal(f.trouble.text, "");
    fixture_release(&f);
}

static void what_is_no_mqtt_ends_the_connection(void **state)
{
    (void)state;
    static const uint8_t junk[] = {0x00, 0xff, 0xff};
    static const uint8_t twice[] = {0x34, 6, 0, 1, 't', 0, 1, 'x'}; /* QoS 2 */
    struct fixture f;
    fixture_init(&f);
    connect_through(&f);
    broker_send(&f.broker, junk, sizeof junk);
    expect_left(&f, &f.broker);
    assert_non_null(strstr(f.trouble.text, "no MQTT"));
    broker_hang_up(&f.broker);
    connect_through(&f);
    broker_send(&f.broker, twice, sizeof twice);
    expect_left(&f, &f.broker);
    assert_non_null(strstr(f.trouble.text, "QoS 2"));
    broker_hang_up(&f.broker);
    connect_through(&f);
    broker_send(&f.library, junk, sizeof junk);
    expect_left(&f, &f.broker);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_looked_for_when_its_acknowledgement_comes),
        cmocka_unit_test(an_acknowledgement_without_an_event_is_never_sent),
        cmocka_unit_test(packets_that_nobody_asked_for_end_the_connection),
        cmocka_unit_test(a_message_that_is_left_out_ends_the_connection),
        cmocka_unit_test(what_was_not_given_is_not_acknowledged),
        cmocka_unit_test(never_past_one_that_waits),
        cmocka_unit_test(an_event_of_an_earlier_connection_is_not_acknowledged),
        cmocka_unit_test(a_connack_waits_for_the_driver),
        cmocka_unit_test(pings_of_the_library_stay_here),
        cmocka_unit_test(a_pause_of_the_process_is_no_silence_of_the_broker),
        cmocka_unit_test(what_is_no_mqtt_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
