/* The MQTT driver with Paho and the gate, against a broker whose packets the test writes. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "drivers/mqtt_impl.h"
#include "ports/clock.h"
#include "ports/names.h"
#include "tests/cmocka.h"
#include "tests/drivers/broker_double.h"
#include "tests/drivers/host_double.h"
#include "tests/ports/told.h"

#define WAIT_MS 60000 /* for what comes at once on a machine that is idle */

struct fixture {
    struct driver_host host;
    struct loop *loop;
    struct names *names;
    struct driver *driver;
    struct mqtt_options options;
    const char *topics[2];
    char url[40];
    struct broker broker;
    bool is_5;
    bool commits;    /* after each turn of the loop */
    bool answers;    /* PINGREQ */
    size_t pings;    /* PINGREQ that came */
    size_t acks;     /* PUBACK that came */
    uint16_t ids[8]; /* the last ones, ids[(acks - 1) % 8] */
};

static void fixture_start(struct fixture *f)
{
    struct driver_setup setup = {.host = &f->host,
                                 .loop = f->loop,
                                 .names = f->names,
                                 .agent_id = "test",
                                 .options = &f->options};
    struct why why = {{0}};
    assert_int_equal(mqtt_class.open(&f->driver, &setup, &why), ERR_OK);
}

static void fixture_stop(struct fixture *f)
{
    mqtt_class.stop(f->driver);
    mqtt_class.close(f->driver);
    f->driver = NULL;
}

static void fixture_init(struct fixture *f, bool is_5)
{
    memset(f, 0, sizeof *f);
    host_init(&f->host);
    assert_int_equal(loop_open(&f->loop), ERR_OK);
    assert_int_equal(names_open(&f->names, f->loop), ERR_OK);
    broker_init(&f->broker);
    snprintf(f->url, sizeof f->url, "mqtt://127.0.0.1:%u", f->broker.port);
    f->topics[0] = "site/#";
    f->options = (struct mqtt_options){.url = f->url,
                                       .topics = {f->topics, 1},
                                       .protocol = is_5 ? MQTT_PROTOCOL_5 : MQTT_PROTOCOL_311,
                                       .qos = 1,
                                       .keepalive_ms = 60000,
                                       .receive_max = 1000,
                                       .session_expiry_ms = 86400000,
                                       .message_size_max = 1024 * 1024};
    f->is_5 = is_5;
    f->commits = f->answers = true;
}

static void fixture_release(struct fixture *f)
{
    fixture_stop(f);
    broker_release(&f->broker);
    names_close(f->names);
    loop_close(f->loop);
    host_release(&f->host);
}

static void commit(struct fixture *f)
{
    if (f->driver) {
        mqtt_class.stored(f->driver, host_commit(&f->host));
    }
}

/* A turn of the loop and of the broker. True: a packet came that is not counted here. */
static bool turn(struct fixture *f, struct packet *ret)
{
    static const uint8_t pong[] = {0xd0, 0};
    assert_int_equal(loop_turn(f->loop, 2), ERR_OK);
    if (f->commits && f->host.ticket) {
        commit(f);
    }
    (void)broker_turn(&f->broker);
    while (broker_next(&f->broker, ret)) {
        if (ret->type == MQTT_PINGREQ) {
            f->pings++;
            if (f->answers) {
                broker_send(&f->broker, pong, sizeof pong);
            }
        } else if (ret->type == MQTT_PUBACK) {
            f->ids[f->acks++ % ARRAY_COUNT(f->ids)] = ret->id;
        } else {
            return true;
        }
    }
    return false;
}

static void run(struct fixture *f, uint64_t run_ms)
{
    struct packet packet;
    for (uint64_t end_ms = clock_monotonic_ms() + run_ms; clock_monotonic_ms() < end_ms;) {
        assert_false(turn(f, &packet));
    }
}

static void expect(struct fixture *f, unsigned type, struct packet *ret)
{
    uint64_t end_ms = clock_monotonic_ms() + WAIT_MS;
    while (!turn(f, ret)) {
        assert_true(clock_monotonic_ms() < end_ms);
    }
    assert_int_equal(ret->type, type);
}

/* The broker's part of a connection. */
static void subscribe(struct fixture *f, bool session_present)
{
    struct packet packet;
    expect(f, MQTT_CONNECT, &packet);
    broker_connack(&f->broker, session_present, 0, 0, f->is_5);
    expect(f, MQTT_SUBSCRIBE, &packet);
    broker_suback(&f->broker, packet.id, 1, f->is_5);
}

static void publish(struct fixture *f, uint16_t id, bool is_copy, const char *payload)
{
    broker_publish(&f->broker, "site/a/temp", id, is_copy, slice_of_text(payload), f->is_5);
}

static void wait_events(struct fixture *f, size_t count)
{
    struct packet packet;
    uint64_t end_ms = clock_monotonic_ms() + WAIT_MS;
    while (f->host.event_count < count) {
        assert_false(turn(f, &packet));
        assert_true(clock_monotonic_ms() < end_ms);
    }
}

static void wait_acks(struct fixture *f, size_t count)
{
    struct packet packet;
    uint64_t end_ms = clock_monotonic_ms() + WAIT_MS;
    while (f->acks < count) {
        assert_false(turn(f, &packet));
        assert_true(clock_monotonic_ms() < end_ms);
    }
    assert_int_equal(f->acks, count);
}

/* With "": until there is none. */
static void wait_fault(struct fixture *f, const char *text)
{
    struct packet packet;
    uint64_t end_ms = clock_monotonic_ms() + WAIT_MS;
    while (text[0] ? !strstr(f->host.fault, text) : f->host.fault[0] != 0) {
        assert_false(turn(f, &packet));
        assert_true(clock_monotonic_ms() < end_ms);
    }
}

/* --- acknowledgements --- */

static void an_acknowledgement_waits_for_the_commit(void **state)
{
    for (int is_5 = 0; is_5 < 2; is_5++) {
        (void)state;
        struct fixture f;
        fixture_init(&f, is_5);
        f.commits = false;
        fixture_start(&f);
        subscribe(&f, false);
        publish(&f, 11, false, "{\"v\":1}");
        publish(&f, 0, false, "{\"v\":2}");
        publish(&f, 5, false, "{\"v\":3}");
        wait_events(&f, 3);
        assert_string_equal(f.host.events[0].body, "{\"v\":1}");
        assert_string_equal(f.host.events[0].subject, "site/a/temp");
        assert_string_equal(f.host.events[0].source, "mqtt site/a/temp");
        assert_true(f.host.events[0].wants_ack);
        assert_false(f.host.events[1].wants_ack);
        run(&f, 300);
        assert_int_equal(f.acks, 0);
        commit(&f);
        wait_acks(&f, 2);
        assert_int_equal(f.ids[0], 11); /* in the order of arrival */
        assert_int_equal(f.ids[1], 5);
        assert_string_equal(f.host.fault, "");
        /* Handshake, CONNECT, SUBSCRIBE, three messages; headers of each. */
        if (wire_is_told()) {
            assert_in_range(f.host.wire_sent, 300, 3000);
            assert_in_range(f.host.wire_received, 300, 3000);
        }
        fixture_release(&f);
    }
}

static void what_is_too_large_is_skipped_and_acknowledged_in_turn(void **state)
{
    (void)state;
    struct fixture f;
    char large[5000];
    fixture_init(&f, false);
    f.options.message_size_max = 1024;
    f.commits = false;
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = 0;
    fixture_start(&f);
    subscribe(&f, false);
    publish(&f, 1, false, "1");
    publish(&f, 2, false, large);
    publish(&f, 0, false, large);
    publish(&f, 3, false, "3");
    wait_events(&f, 2);
    run(&f, 200);
    assert_int_equal(f.acks, 0);
    assert_int_equal(host_counter(&f.host, "too_large"), 2);
    commit(&f);
    wait_acks(&f, 3);
    assert_int_equal(f.ids[0], 1);
    assert_int_equal(f.ids[1], 2);
    assert_int_equal(f.ids[2], 3);
    assert_int_equal(f.host.event_count, 2);
    fixture_release(&f);
}

static void too_much_that_is_not_stored_stops_reading(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, true);
    f.commits = false;
    fixture_start(&f);
    subscribe(&f, false);
    for (uint16_t id = 1; id <= 6000; id++) {
        publish(&f, id, false, "23.4");
    }
    wait_events(&f, MQTT_UNSTORED_COUNT_MAX);
    run(&f, 300);
    assert_int_equal(f.host.event_count, MQTT_UNSTORED_COUNT_MAX);
    assert_true(f.host.commit_now_count > 0); /* it waits for nothing but the commit */
    commit(&f);
    wait_events(&f, 6000);
    f.commits = true;
    wait_acks(&f, 6000);
    /* The same in bytes: at 1 MiB, one message may go beyond. */
    static char large[100001];
    memset(large, ' ', sizeof large - 1);
    f.commits = false;
    for (uint16_t id = 6001; id <= 6030; id++) {
        publish(&f, id, false, large);
    }
    wait_events(&f, 6011);
    run(&f, 300);
    assert_int_equal(f.host.event_count, 6011);
    f.commits = true;
    wait_acks(&f, 6030);
    assert_int_equal(host_counter(&f.host, "connections"), 1);
    fixture_release(&f);
}

static void publish_many(struct fixture *f, uint16_t first, uint16_t count)
{
    size_t before = f->host.event_count;
    for (uint16_t id = first; id < first + count; id++) {
        publish(f, id, false, "23.4");
    }
    wait_events(f, before + count);
    run(f, 300);
}

/* A commit is asked for when the broker waits for nothing else, and not before. */
static void a_full_window_is_committed_early(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, true); /* the window is what the broker was told */
    f.options.receive_max = 20;
    f.commits = false;
    fixture_start(&f);
    subscribe(&f, false);
    publish_many(&f, 1, 19);
    assert_int_equal(f.host.commit_now_count, 0);
    publish_many(&f, 20, 1);
    assert_int_equal(f.host.commit_now_count, 1);
    fixture_release(&f);

    fixture_init(&f, false); /* it is learned */
    f.commits = false;
    fixture_start(&f);
    subscribe(&f, false);
    publish_many(&f, 1, 20);
    assert_int_equal(f.host.commit_now_count, 0);
    for (uint16_t id = 21; id <= 40; id++) {
        publish(&f, id, false, "23.4");
    }
    (void)broker_turn(&f.broker);
    commit(&f); /* 20 acknowledgements bring 20 messages at once: they are on their way */
    wait_events(&f, 40);
    run(&f, 300);
    assert_int_equal(f.host.commit_now_count, 1);
    commit(&f);
    wait_acks(&f, 40);
    run(&f, 100); /* and these bring none: there are no more */
    publish_many(&f, 41, 20);
    assert_int_equal(f.host.commit_now_count, 1);
    fixture_release(&f);
}

static void no_room_is_waited_for(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, true);
    f.host.room = 3; /* the key of the hash, and two messages */
    fixture_start(&f);
    subscribe(&f, false);
    for (uint16_t id = 1; id <= 5; id++) {
        publish(&f, id, false, "1");
    }
    wait_acks(&f, 2);
    run(&f, 200);
    assert_int_equal(f.host.event_count, 2);
    f.host.room = SIZE_MAX;
    mqtt_class.resume(f.driver);
    wait_acks(&f, 5);
    assert_int_equal(f.host.event_count, 5);
    fixture_release(&f);
}

/* --- keep-alive --- */

static void held_acknowledgements_and_stopped_reading_keep_the_connection(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, true);
    f.options.keepalive_ms =
        3000; /* a turn with 4096 acknowledgements may take more than a second */
    f.commits = false;
    fixture_start(&f);
    subscribe(&f, false);
    publish(&f, 1, false, "1");
    wait_events(&f, 1);
    run(&f, 7000);
    for (uint64_t end_ms = clock_monotonic_ms() + WAIT_MS; f.pings < 3;) {
        run(&f, 50);
        assert_true(clock_monotonic_ms() < end_ms);
    }
    for (uint16_t id = 2; id <= 5000; id++) {
        publish(&f, id, false, "23.4");
    }
    wait_events(&f, MQTT_UNSTORED_COUNT_MAX);
    run(&f, 7000);
    f.commits = true;
    wait_acks(&f, 5000);
    assert_int_equal(host_counter(&f.host, "connections"), 1);
    assert_false(broker_is_left(&f.broker));
    assert_int_equal(f.host.fault_count, 0);
    fixture_release(&f);
}

static void a_silent_broker_is_left(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_init(&f, true);
    f.answers = false;
    fixture_start(&f);
    expect(&f, MQTT_CONNECT, &packet);
    broker_connack(&f.broker, false, 0, 1, true); /* its own keep-alive, 1 s, is the smaller one */
    expect(&f, MQTT_SUBSCRIBE, &packet);
    broker_suback(&f.broker, packet.id, 1, true);
    uint64_t start_ms = clock_monotonic_ms();
    while (!broker_is_left(&f.broker)) {
        (void)turn(&f, &packet);
        assert_true(clock_monotonic_ms() < start_ms + WAIT_MS);
    }
    assert_true(f.pings >= 1);
    assert_true(clock_monotonic_ms() >= start_ms + 1000);
    assert_non_null(strstr(f.host.fault, "nothing came from the broker"));
    broker_hang_up(&f.broker);
    subscribe(&f, true); /* it comes again */
    wait_fault(&f, "");
    fixture_release(&f);
}

/* --- what is sent again --- */

static void a_copy_is_stored_once(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, true);
    f.commits = false;
    fixture_start(&f);
    subscribe(&f, false);
    publish(&f, 1, false, "\"a\"");
    publish(&f, 2, false, "\"b\"");
    wait_events(&f, 2);
    (void)host_commit(&f.host); /* durable; killed before the broker is told */
    fixture_stop(&f);
    broker_hang_up(&f.broker);
    host_crash(&f.host);
    f.commits = true;
    fixture_start(&f);
    subscribe(&f, true);
    publish(&f, 1, true, "\"a\"");
    publish(&f, 2, true, "\"c\""); /* DUP alone proves nothing */
    publish(&f, 3, true, "\"b\"");
    publish(&f, 1, false, "\"a\""); /* the same again, but a new one */
    wait_acks(&f, 4);
    assert_int_equal(f.host.event_count, 5);
    assert_int_equal(host_counter(&f.host, "redelivered"), 1);
    fixture_release(&f);
}

/* A birth that was stored before a crash, and comes again, still tells its names. */
static void a_copy_of_a_sparkplug_birth_is_read(void **state)
{
    (void)state;
    static const uint8_t birth[] = {0x12, 9, 0x0a, 1, 'a', 0x10, 1, 0x20, 3, 0x50, 5, 0x18, 0};
    static const uint8_t data[] = {0x12, 4, 0x10, 1, 0x50, 7, 0x18, 1};
    struct fixture f;
    fixture_init(&f, true);
    f.topics[0] = "spBv1.0/#";
    f.options.payload = MQTT_PAYLOAD_SPARKPLUG_B;
    f.commits = false;
    fixture_start(&f);
    subscribe(&f, false);
    broker_publish(&f.broker, "spBv1.0/G/NBIRTH/N", 1, false, (struct slice){birth, sizeof birth},
                   true);
    wait_events(&f, 1);
    (void)host_commit(&f.host);
    fixture_stop(&f);
    broker_hang_up(&f.broker);
    host_crash(&f.host);
    f.commits = true;
    fixture_start(&f);
    subscribe(&f, true);
    broker_publish(&f.broker, "spBv1.0/G/NBIRTH/N", 1, true, (struct slice){birth, sizeof birth},
                   true);
    broker_publish(&f.broker, "spBv1.0/G/NDATA/N", 2, false, (struct slice){data, sizeof data},
                   true);
    wait_acks(&f, 2);
    assert_int_equal(f.host.event_count, 2);
    assert_int_equal(host_counter(&f.host, "redelivered"), 1);
    assert_non_null(strstr(f.host.events[1].body, "\"name\":\"a\""));
    fixture_release(&f);
}

static void a_new_session_forgets_before_it_subscribes(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_init(&f, false);
    fixture_start(&f);
    subscribe(&f, false);
    publish(&f, 1, false, "23.4");
    wait_acks(&f, 1);
    broker_hang_up(&f.broker);
    f.commits = false;
    expect(&f, MQTT_CONNECT, &packet);
    broker_connack(&f.broker, false, 0, 0, false);
    run(&f, 500); /* nothing is subscribed to: killed now, it would know ids of the old session */
    commit(&f);
    expect(&f, MQTT_SUBSCRIBE, &packet);
    broker_suback(&f.broker, packet.id, 1, false);
    publish(&f, 1, true, "23.4"); /* the broker lost it on its way the first time */
    wait_events(&f, 2);
    f.commits = true;
    wait_acks(&f, 2);
    assert_int_equal(host_counter(&f.host, "redelivered"), 0);
    fixture_release(&f);
}

/* --- connecting --- */

static void a_broker_that_is_not_there_is_dialled_again(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_init(&f, true);
    broker_down(&f.broker);
    fixture_start(&f);
    uint64_t end_ms = clock_monotonic_ms() + WAIT_MS;
    while (!f.host.fault[0]) {
        (void)turn(&f, &packet);
        assert_true(clock_monotonic_ms() < end_ms);
    }
    assert_non_null(strstr(f.host.fault, f.url));
    broker_up(&f.broker);
    subscribe(&f, false);
    publish(&f, 1, false, "1");
    wait_acks(&f, 1);
    assert_string_equal(f.host.fault, "");
    fixture_release(&f);
}

static void a_refusal_is_told(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_init(&f, true);
    fixture_start(&f);
    expect(&f, MQTT_CONNECT, &packet);
    broker_connack(&f.broker, false, 0x86, 0, true);
    wait_fault(&f, "bad user name or password");
    broker_hang_up(&f.broker);
    expect(&f, MQTT_CONNECT, &packet);
    assert_non_null(strstr(f.host.fault, "bad user name or password")); /* until it is well again */
    broker_connack(&f.broker, false, 0, 0, true);
    expect(&f, MQTT_SUBSCRIBE, &packet);
    broker_suback(&f.broker, packet.id, 0x87, true);
    wait_fault(&f, "refuses the subscription to \"site/#\"");
    fixture_release(&f);
}

static struct mqtt_driver *driver_of(struct fixture *f)
{
    return CONTAINER_OF(f->driver, struct mqtt_driver, driver);
}

/* The broker hangs up when we do. */
static void expect_again(struct fixture *f)
{
    struct packet packet;
    uint64_t end_ms = clock_monotonic_ms() + WAIT_MS;
    while (!broker_is_left(&f->broker)) {
        (void)turn(f, &packet);
        assert_true(clock_monotonic_ms() < end_ms);
    }
    broker_hang_up(&f->broker);
}

/* Its rights may be mended without the connection ever being lost. */
static void a_refused_subscription_is_tried_again(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_init(&f, true);
    fixture_start(&f);
    driver_of(&f)->refused_ms = 300;
    expect(&f, MQTT_CONNECT, &packet);
    broker_connack(&f.broker, false, 0, 0, true);
    expect(&f, MQTT_SUBSCRIBE, &packet);
    broker_suback(&f.broker, packet.id, 0x87, true);
    expect_again(&f);
    subscribe(&f, true);
    publish(&f, 1, false, "1");
    wait_acks(&f, 1);
    assert_string_equal(f.host.fault, "");
    fixture_release(&f);
}

static void a_subscription_without_answer_is_tried_again(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_init(&f, false);
    fixture_start(&f);
    driver_of(&f)->answer_ms = 300;
    expect(&f, MQTT_CONNECT, &packet);
    broker_connack(&f.broker, false, 0, 0, false);
    expect(&f, MQTT_SUBSCRIBE, &packet);
    expect_again(&f);
    assert_non_null(strstr(f.host.fault, "no answer to SUBSCRIBE"));
    driver_of(&f)->answer_ms = WAIT_MS;
    subscribe(&f, true);
    wait_fault(&f, "");
    fixture_release(&f);
}

static void what_the_library_refuses_is_told(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_init(&f, true);
    f.options.user = "\xff";
    fixture_start(&f);
    for (uint64_t end_ms = clock_monotonic_ms() + WAIT_MS; !f.host.fault[0];) {
        (void)turn(&f, &packet);
        assert_true(clock_monotonic_ms() < end_ms);
    }
    assert_non_null(strstr(f.host.fault, "UTF-8"));
    fixture_release(&f);
}

/* Messages that the library has at that moment are left to the broker; what is stored is
 * acknowledged. */
static void stopping_under_load_acknowledges_what_is_stored(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, true);
    f.commits = false;
    fixture_start(&f);
    subscribe(&f, false);
    publish(&f, 1, false, "1");
    wait_events(&f, 1);
    for (uint16_t id = 2; id <= 200; id++) {
        publish(&f, id, false, "23.4");
    }
    (void)broker_turn(&f.broker);
    while (!mqtt_gate_is_busy(driver_of(&f)->gate)) {
        assert_int_equal(loop_turn(f.loop, 2), ERR_OK);
    }
    mqtt_class.stop(f.driver);
    size_t stored = f.host.event_count;
    assert_true(stored < 200);
    run(&f, 300);
    commit(&f);
    wait_acks(&f, stored);
    run(&f, 100);
    assert_int_equal(f.acks, stored);
    assert_int_equal(f.host.event_count, stored);
    assert_int_equal(f.host.fault_count, 0);
    fixture_release(&f);
}

static void the_reason_of_a_disconnect_is_told(void **state)
{
    (void)state;
    static const uint8_t taken_over[] = {0xe0, 2, 0x8e, 0};
    struct fixture f;
    struct packet packet;
    fixture_init(&f, true);
    fixture_start(&f);
    subscribe(&f, false);
    run(&f, 50);
    broker_send(&f.broker, taken_over, sizeof taken_over);
    wait_fault(&f, "same client id");
    broker_hang_up(&f.broker);
    expect(&f, MQTT_CONNECT, &packet);
    assert_non_null(strstr(f.host.fault, "same client id")); /* until it is well again */
    broker_connack(&f.broker, true, 0, 0, true);
    expect(&f, MQTT_SUBSCRIBE, &packet);
    broker_suback(&f.broker, packet.id, 1, true);
    wait_fault(&f, "");
    fixture_release(&f);
}

static int knock(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    char byte;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0 &&
           recv(fd, &byte, 1, 0) <= 0;
}

static void strangers_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_init(&f, true);
    fixture_start(&f);
    subscribe(&f, false);
    run(&f, 50);
    uint16_t port = mqtt_gate_port(CONTAINER_OF(f.driver, struct mqtt_driver, driver)->gate);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int refused = 0;
        for (int i = 0; i < 50; i++) {
            refused += knock(port);
        }
        _exit(refused == 50 ? 0 : 1);
    }
    int status = 0;
    uint16_t id = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        publish(&f, ++id, false, "1");
        assert_false(turn(&f, &packet));
    }
    assert_int_equal(status, 0);
    wait_acks(&f, id);
    run(&f, 1200);
    for (uint64_t end_ms = clock_monotonic_ms() + WAIT_MS;
         host_counter(&f.host, "strangers") < 50;) {
        run(&f, 50);
        assert_true(clock_monotonic_ms() < end_ms);
    }
    assert_int_equal(host_counter(&f.host, "strangers"), 50);
    assert_int_equal(host_counter(&f.host, "connections"), 1);
    assert_int_equal(f.host.event_count, id);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_acknowledgement_waits_for_the_commit),
        cmocka_unit_test(what_is_too_large_is_skipped_and_acknowledged_in_turn),
        cmocka_unit_test(too_much_that_is_not_stored_stops_reading),
        cmocka_unit_test(a_full_window_is_committed_early),
        cmocka_unit_test(no_room_is_waited_for),
        cmocka_unit_test(held_acknowledgements_and_stopped_reading_keep_the_connection),
        cmocka_unit_test(a_silent_broker_is_left),
        cmocka_unit_test(a_copy_is_stored_once),
        cmocka_unit_test(a_copy_of_a_sparkplug_birth_is_read),
        cmocka_unit_test(a_new_session_forgets_before_it_subscribes),
        cmocka_unit_test(a_broker_that_is_not_there_is_dialled_again),
        cmocka_unit_test(a_refused_subscription_is_tried_again),
        cmocka_unit_test(a_subscription_without_answer_is_tried_again),
        cmocka_unit_test(what_the_library_refuses_is_told),
        cmocka_unit_test(stopping_under_load_acknowledges_what_is_stored),
        cmocka_unit_test(a_refusal_is_told),
        cmocka_unit_test(the_reason_of_a_disconnect_is_told),
        cmocka_unit_test(strangers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
