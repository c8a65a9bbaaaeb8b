/* The uplink against a broker that decides as Kafka does and misbehaves as told: what arrives,
 * arrives once, in order. */
#include "tests/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "ports/clock.h"
#include "ports/names.h"
#include "tests/sim/kafka_server.h"
#include "tests/uplink/kafka_host.h"
#include "uplink/kafka/errors.h"
#include "uplink/kafka/service.h"
#include "uplink/kafka/wire.h"

#define PARTITIONS 4
#define DUPLICATE 46  /* DUPLICATE_SEQUENCE_NUMBER */
#define WAIT_MS 60000 /* for what comes at once on a machine that is idle */

struct scene {
    struct loop *loop;
    struct names *names;
    struct broker *broker;
    struct kafka_server *server;
    struct uplink_host host;
    struct lot lot, second;
};

static void scene_begin(struct scene *scene, const struct broker_options *options)
{
    *scene = (struct scene){0};
    struct broker_options chosen = options ? *options : (struct broker_options){0};
    assert_int_equal(loop_open(&scene->loop), ERR_OK);
    assert_int_equal(names_open(&scene->names, scene->loop), ERR_OK);
    scene->broker = broker_open(&chosen);
    broker_topic_add(scene->broker, "events", PARTITIONS);
    scene->server = kafka_server_open(scene->broker, chosen.node_count ? chosen.node_count : 1,
                                      scene->loop, NULL, 0);
    host_init(&scene->host, scene->loop, scene->names);
    host_broker_add(&scene->host, "127.0.0.1", kafka_server_port(scene->server, 0));
    if (chosen.node_count > 1) {
        host_broker_add(&scene->host, "127.0.0.1", kafka_server_port(scene->server, 1));
    }
}

static void scene_end(struct scene *scene)
{
    if (scene->host.uplink) {
        host_close(&scene->host);
    }
    lot_release(&scene->lot);
    lot_release(&scene->second);
    kafka_server_close(scene->server);
    broker_close(scene->broker);
    names_close(scene->names);
    loop_close(scene->loop);
    free(scene);
}

/* Each of the events 1..count is there exactly once, and in order within its key. */
static void check_ledger(const struct scene *scene, uint64_t count)
{
    uint64_t seen = 0;
    uint64_t last[HOST_KEY_COUNT] = {0};
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        for (size_t i = 0; i < broker_log_count(scene->broker, "events", p); i++) {
            const struct broker_record *record = broker_log_at(scene->broker, "events", p, i);
            assert_int_equal(record->body.size, 10 + 14);
            char text[32], body[32], key[16];
            assert_true(
                slice_to_text((struct slice){record->body.data + 10, 14}, text, sizeof text));
            uint64_t number = strtoull(text + 6, NULL, 10);
            lot_event(number, body, key);
            assert_true(slice_equal_text(record->key, key));
            assert_memory_equal(record->body.data,
                                "\xc3\x01"
                                "FINGERPR",
                                10);
            uint64_t *before = &last[number % HOST_KEY_COUNT];
            assert_true(number > *before);
            *before = number;
            seen++;
        }
    }
    assert_int_equal(seen, count);
}

static void fault(struct scene *scene, int16_t api, enum broker_fault_kind kind, int16_t code,
                  uint32_t value)
{
    struct broker_fault one = {api, kind, code, value};
    broker_fault_add(scene->broker, &one);
}

/* Until that is what the broker has got. */
static void wait_requests(struct scene *scene, int16_t api, uint64_t count)
{
    uint64_t end_ms = clock_monotonic_ms() + WAIT_MS;
    while (broker_request_count(scene->broker, api) < count && clock_monotonic_ms() < end_ms) {
        host_run(&scene->host, 10);
    }
    assert_int_equal(broker_request_count(scene->broker, api), count);
}

static void wait_fault(struct scene *scene, const char *text)
{
    uint64_t end_ms = clock_monotonic_ms() + WAIT_MS;
    while (!strstr(scene->host.fault.text, text) && clock_monotonic_ms() < end_ms) {
        host_run(&scene->host, 10);
    }
    assert_non_null(strstr(scene->host.fault.text, text));
}

static void delivers_in_one_request(void **state)
{
    (void)state;
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene_begin(scene, NULL);
    scene->host.options.headers = true;
    host_open(&scene->host);
    lot_cut(&scene->lot, &scene->host, 1, 100);
    assert_true(lot_deliver(&scene->lot, WAIT_MS));
    check_ledger(scene, 100);
    assert_int_equal(broker_request_count(scene->broker, WIRE_PRODUCE), 1);
    assert_int_equal(broker_request_count(scene->broker, WIRE_METADATA), 1);
    assert_int_equal(broker_request_count(scene->broker, WIRE_API_VERSIONS), 1);
    assert_int_equal(broker_request_count(scene->broker, WIRE_INIT_PRODUCER_ID), 1);
    assert_string_equal(scene->host.fault.text, "");
    assert_true(scene->host.wire_sent > 0 && scene->host.wire_received > 0);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        if (broker_log_count(scene->broker, "events", p) > 0) {
            const struct broker_record *record = broker_log_at(scene->broker, "events", p, 0);
            assert_true(slice_starts_with(record->header, SLICE("agent-1/0badcafe/events/")));
            assert_true(record->time_ms > clock_wall_us() / 1000 - 60000);
        }
    }
    /* Nothing is said while there is nothing to send. */
    uint64_t sent = scene->host.wire_sent;
    host_run(&scene->host, 300);
    assert_int_equal(scene->host.wire_sent, sent);
    lot_cut(&scene->second, &scene->host, 101, 50);
    assert_true(lot_deliver(&scene->second, WAIT_MS));
    check_ledger(scene, 150);
    assert_int_equal(broker_request_count(scene->broker, WIRE_METADATA), 1);
    scene_end(scene);
}

static void lost_answers_store_once(void **state)
{
    (void)state;
    static const struct broker_fault faults[] = {
        {WIRE_PRODUCE, BROKER_CLOSE_STORED, 0, 0},  {WIRE_PRODUCE, BROKER_CLOSE_STORED, 0, 9},
        {WIRE_PRODUCE, BROKER_CLOSE_STORED, 0, 30}, {WIRE_PRODUCE, BROKER_CLOSE, 0, 0},
        {WIRE_PRODUCE, BROKER_SHORT, 0, 0},         {WIRE_PRODUCE, BROKER_CODE_STORED, 7, 0},
        {WIRE_PRODUCE, BROKER_CODE_STORED, 20, 0},  {WIRE_PRODUCE, BROKER_LATE, 0, 500},
        {WIRE_PRODUCE, BROKER_TWICE, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(faults); i++) {
        struct scene *scene = calloc(1, sizeof *scene);
        assert_non_null(scene);
        scene_begin(scene, NULL);
        host_open(&scene->host);
        broker_fault_add(scene->broker, &faults[i]);
        lot_cut(&scene->lot, &scene->host, 1, 60);
        assert_true(lot_deliver(&scene->lot, WAIT_MS));
        assert_int_equal(broker_fault_count(scene->broker), 0);
        lot_cut(&scene->second, &scene->host, 61, 40);
        assert_true(lot_deliver(&scene->second, WAIT_MS));
        check_ledger(scene, 100);
        scene_end(scene);
    }
}

static void silence_ends_in_a_retry(void **state)
{
    (void)state;
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene_begin(scene, NULL);
    scene->host.options.request_timeout_ms = 0; /* and 5 s margin */
    host_open(&scene->host);
    fault(scene, WIRE_PRODUCE, BROKER_NEVER, 0, 0);
    lot_cut(&scene->lot, &scene->host, 1, 20);
    assert_true(lot_assign(&scene->lot));
    scene->host.options.request_timeout_ms = 2000;
    lot_send_all(&scene->lot);
    uint64_t began_ms = loop_now_ms(scene->loop);
    assert_true(lot_wait(&scene->lot, WAIT_MS));
    assert_in_range(loop_now_ms(scene->loop) - began_ms, 4000, WAIT_MS);
    assert_true(lot_deliver(&scene->lot, WAIT_MS));
    check_ledger(scene, 20);
    scene_end(scene);
}

/* The process ends while the answer is on its way; the next life sends the same under the
 * same numbers. */
static void crash_in_flight(void **state)
{
    (void)state;
    for (unsigned stored = 0; stored < 2; stored++) {
        struct scene *scene = calloc(1, sizeof *scene);
        assert_non_null(scene);
        scene_begin(scene, NULL);
        host_open(&scene->host);
        fault(scene, WIRE_PRODUCE, stored ? BROKER_NEVER : BROKER_NEVER_LOST, 0, 0);
        lot_cut(&scene->lot, &scene->host, 1, 50);
        assert_true(lot_assign(&scene->lot));
        lot_send_all(&scene->lot);
        wait_requests(scene, WIRE_PRODUCE, 1);
        host_close(&scene->host);
        int64_t old_id = scene->lot.parcel.parts[0].producer_id;
        broker_node_stop(scene->broker,
                         0); /* the broker too: it remembers one batch of each producer */
        kafka_server_node(scene->server, 0, false);
        broker_node_start(scene->broker, 0);
        kafka_server_node(scene->server, 0, true);
        host_open(&scene->host);
        lot_revive(&scene->lot, &scene->host);
        assert_true(lot_deliver(&scene->lot, WAIT_MS));
        for (uint32_t i = 0; i < PARTITIONS; i++) {
            assert_true(scene->lot.parts[i].tries == 0 ||
                        scene->lot.parts[i].report.was_duplicate == (stored == 1));
        }
        lot_cut(&scene->second, &scene->host, 51, 50);
        assert_true(lot_deliver(&scene->second, WAIT_MS));
        check_ledger(scene, 100);
        for (uint32_t i = 0; i < PARTITIONS; i++) {
            assert_true(scene->second.parcel.parts[i].record_count == 0 ||
                        scene->second.parcel.parts[i].producer_id != old_id);
        }
        scene_end(scene);
    }
}

/* What was certainly not stored is stored under the same numbers; only where those are worth nothing
 * any more it gets a fresh producer. */
static void check_numbers(const struct part before[PARTITIONS], const struct lot *lot,
                          bool are_fresh)
{
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        const struct part *part = &lot->parcel.parts[p];
        if (lot->parts[p].tries > 0) {
            assert_true((part->producer_id != before[p].producer_id) == are_fresh);
            assert_true(are_fresh || part->base_sequence == before[p].base_sequence);
        }
    }
}

/* Each code of the table on a first send: what the caller is told, and that nothing is lost or
 * doubled after it. */
static void every_code_on_a_first_send(void **state)
{
    (void)state;
    static const enum send_result wanted[] = {
        [KAFKA_DONE] = SEND_OK,         [KAFKA_RETRY] = SEND_RETRY,
        [KAFKA_REFRESH] = SEND_RETRY,   [KAFKA_HALVE] = SEND_TOO_LARGE,
        [KAFKA_STAMP] = SEND_REASSIGN,  [KAFKA_REFUSED] = SEND_REJECTED,
        [KAFKA_ONCE_MORE] = SEND_RETRY, [KAFKA_THREE_TRIES] = SEND_RETRY,
        [KAFKA_PARK] = SEND_PARK,       [KAFKA_DOUBT] = SEND_REASSIGN,
    };
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    unsigned count;
    const struct kafka_error *table = kafka_error_table(&count);
    scene_begin(scene, NULL);
    host_open(&scene->host);
    uint64_t next = 1;
    for (unsigned i = 0; i < count; i++) {
        bool is_done = table[i].code == 0 || table[i].code == DUPLICATE; /* the leader has it */
        fault(scene, WIRE_PRODUCE, is_done ? BROKER_CODE_STORED : BROKER_CODE, table[i].code, 0);
        lot_cut(&scene->lot, &scene->host, next, 20);
        next += 20;
        assert_true(lot_assign(&scene->lot));
        struct part before[PARTITIONS];
        memcpy(before, scene->lot.parcel.parts, sizeof before);
        lot_send_all(&scene->lot);
        assert_true(lot_wait(&scene->lot, WAIT_MS));
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            struct lot_part *lp = &scene->lot.parts[p];
            struct part *part = &scene->lot.parcel.parts[p];
            if (lp->tries == 0) {
                continue;
            }
            assert_int_equal(lp->report.result, wanted[table[i].first]);
            assert_true(lp->report.text[0] != '\0');
            if (is_done) {
                assert_int_equal(lp->report.result, SEND_OK);
                continue;
            }
            assert_int_equal(lp->report.code, table[i].code);
            if (lp->report.result == SEND_RETRY || lp->report.result == SEND_PARK) {
                lp->batch.again = true;
            } else {
                part->assigned = false;
            }
            lp->answered = false;
        }
        assert_true(lot_deliver(&scene->lot, WAIT_MS));
        check_numbers(before, &scene->lot, table[i].first == KAFKA_DOUBT);
        check_ledger(scene, next - 1);
        lot_release(&scene->lot);
    }
    scene->lot = (struct lot){0};
    scene_end(scene);
}

/* The same codes after an answer was lost: a refusal proves nothing, and the stored batch is
 * not doubled. */
static void every_code_on_a_later_send(void **state)
{
    (void)state;
    static const enum send_result wanted[] = {
        [KAFKA_DONE] = SEND_OK,       [KAFKA_RETRY] = SEND_RETRY,
        [KAFKA_REFRESH] = SEND_RETRY, [KAFKA_ONCE_MORE] = SEND_RETRY,
        [KAFKA_PARK] = SEND_PARK,     [KAFKA_DOUBT] = SEND_OK, /* asked for, and found */
    };
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    unsigned count;
    const struct kafka_error *table = kafka_error_table(&count);
    scene_begin(scene, NULL);
    host_open(&scene->host);
    uint64_t next = 1;
    for (unsigned i = 0; i < count; i++) {
        fault(scene, WIRE_PRODUCE, BROKER_CLOSE_STORED, 0, 0);
        lot_cut(&scene->lot, &scene->host, next, 20);
        next += 20;
        assert_true(lot_assign(&scene->lot));
        lot_send_all(&scene->lot);
        assert_true(lot_wait(&scene->lot, WAIT_MS));
        bool is_done = table[i].code == 0 || table[i].code == DUPLICATE;
        if (table[i].code != 0) { /* else the leader finds by itself that it has it */
            fault(scene, WIRE_PRODUCE, BROKER_CODE, table[i].code, 0);
        }
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            struct lot_part *lp = &scene->lot.parts[p];
            if (lp->tries > 0) {
                assert_int_equal(lp->report.result, SEND_RETRY);
                lp->batch.again = true;
                lot_send(&scene->lot, p);
            }
        }
        assert_true(lot_wait(&scene->lot, WAIT_MS));
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            struct lot_part *lp = &scene->lot.parts[p];
            if (lp->tries > 0) {
                assert_int_equal(lp->report.result, wanted[table[i].again]);
                assert_int_equal(lp->report.was_duplicate, is_done);
                if (lp->report.result == SEND_PARK) {
                    lp->answered = false;
                }
            }
        }
        assert_true(lot_deliver(&scene->lot, WAIT_MS));
        check_ledger(scene, next - 1);
        lot_release(&scene->lot);
    }
    assert_int_equal(scene->host.in_doubt, 0);
    scene->lot = (struct lot){0};
    scene_end(scene);
}

/* Errors that hint at a fault of ours are not tried for ever: on a first send the batch is looked
 * through, on a later one the leader is asked. */
static void errors_that_are_tried_a_few_times(void **state)
{
    (void)state;
    static const struct {
        int16_t code;
        unsigned tries;
        bool again;
    } rows[] = {{-1, 3, false}, {2, 2, false}, {2, 2, true}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct scene *scene = calloc(1, sizeof *scene);
        assert_non_null(scene);
        scene_begin(scene, NULL);
        host_open(&scene->host);
        lot_cut(&scene->lot, &scene->host, 1, 20);
        assert_true(lot_assign(&scene->lot));
        for (unsigned try = 0; try < rows[i].tries + rows[i].again; try++) {
            bool is_lost = rows[i].again && try == 0;
            bool is_last = try + 1 == rows[i].tries + rows[i].again;
            fault(scene, WIRE_PRODUCE, is_lost ? BROKER_CLOSE_STORED : BROKER_CODE, rows[i].code,
                  0);
            lot_send_all(&scene->lot);
            assert_true(lot_wait(&scene->lot, WAIT_MS));
            for (uint32_t p = 0; p < PARTITIONS; p++) {
                enum send_result last = rows[i].again ? SEND_OK : SEND_REJECTED;
                assert_true(scene->lot.parts[p].tries == 0 ||
                            scene->lot.parts[p].report.result == (is_last ? last : SEND_RETRY));
                scene->lot.parts[p].batch.again = true;
            }
        }
        assert_int_equal(scene->host.in_doubt, 0);
        scene_end(scene);
    }
}

/* A broker that has just started, or a right that is missing: nothing goes out without an id. */
static void every_code_of_a_producer_id(void **state)
{
    (void)state;
    static const int16_t codes[] = {14, 15, 16, 7, -1, 41};
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        struct scene *scene = calloc(1, sizeof *scene);
        assert_non_null(scene);
        scene_begin(scene, NULL);
        host_open(&scene->host);
        fault(scene, WIRE_INIT_PRODUCER_ID, BROKER_CODE, codes[i], 0);
        lot_cut(&scene->lot, &scene->host, 1, 20);
        assert_true(lot_deliver(&scene->lot, WAIT_MS));
        assert_int_equal(broker_request_count(scene->broker, WIRE_INIT_PRODUCER_ID), 2);
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            assert_true(scene->lot.parts[p].tries == 0 ||
                        scene->lot.parcel.parts[p].producer_id >= 0);
        }
        check_ledger(scene, 20);
        scene_end(scene);
    }
}

static void too_large_is_halved_under_the_same_number(void **state)
{
    (void)state;
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    struct broker_options options = {.batch_size_max = 300};
    scene_begin(scene, &options);
    scene->host.options.compression_level = 0;
    host_open(&scene->host);
    lot_cut(&scene->lot, &scene->host, 1, 100);
    assert_true(lot_assign(&scene->lot));
    lot_send_all(&scene->lot);
    assert_true(lot_wait(&scene->lot, WAIT_MS));
    unsigned refused = 0;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        if (scene->lot.parts[p].tries > 0) {
            assert_int_equal(scene->lot.parts[p].report.result, SEND_TOO_LARGE);
            refused++;
        }
    }
    assert_true(refused > 0);
    for (uint64_t first = 1; first <= 100; first += 5) {
        lot_cut(&scene->second, &scene->host, first, 5);
        assert_true(lot_assign(&scene->second));
        for (uint32_t p = 0; first == 1 && p < PARTITIONS; p++) {
            assert_int_equal(scene->second.parcel.parts[p].base_sequence, 0);
        }
        assert_true(lot_deliver(&scene->second, WAIT_MS));
        lot_release(&scene->second);
    }
    scene->second = (struct lot){0};
    check_ledger(scene, 100);
    struct target target;
    assert_true(host_target(&scene->host, &target, WAIT_MS));
    assert_true(target.request_size_max < 4096); /* learned */
    scene_end(scene);
}

static void numbers_that_were_never_sent_are_given_again(void **state)
{
    (void)state;
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene_begin(scene, NULL);
    host_open(&scene->host);
    lot_cut(&scene->lot, &scene->host, 1, 30);
    assert_true(lot_assign(&scene->lot));
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        scene->lot.parcel.parts[p].assigned = false; /* the commit failed */
    }
    assert_true(lot_deliver(&scene->lot, WAIT_MS));
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        assert_int_equal(scene->lot.parcel.parts[p].base_sequence, 0);
    }
    check_ledger(scene, 30);
    scene_end(scene);
}

static void leaders_move(void **state)
{
    (void)state;
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    struct broker_options options = {.node_count = 3};
    scene_begin(scene, &options);
    host_open(&scene->host);
    lot_cut(&scene->lot, &scene->host, 1, 100);
    assert_true(lot_deliver(&scene->lot, WAIT_MS));
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        broker_leader_set(scene->broker, "events", p, (p + 1) % 3);
    }
    lot_cut(&scene->second, &scene->host, 101, 100);
    assert_true(lot_deliver(&scene->second, WAIT_MS));
    lot_release(&scene->second);
    broker_node_stop(scene->broker, 1);
    kafka_server_node(scene->server, 1, false);
    lot_cut(&scene->second, &scene->host, 201, 100);
    assert_true(lot_deliver(&scene->second, WAIT_MS));
    check_ledger(scene, 300);
    scene_end(scene);
}

static void partitions_added_later_change_nothing_in_flight(void **state)
{
    (void)state;
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene_begin(scene, NULL);
    broker_partitions_set(scene->broker, "events", 2);
    host_open(&scene->host);
    fault(scene, WIRE_PRODUCE, BROKER_NEVER, 0, 0);
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_int_equal(scene->lot.parcel.partition_count, 2);
    assert_true(lot_assign(&scene->lot));
    lot_send_all(&scene->lot);
    wait_requests(scene, WIRE_PRODUCE, 1);
    host_close(&scene->host);
    broker_partitions_set(scene->broker, "events", PARTITIONS);
    host_open(&scene->host);
    lot_revive(&scene->lot, &scene->host);
    struct target target;
    assert_true(host_target(&scene->host, &target, WAIT_MS));
    assert_int_equal(target.partition_count, PARTITIONS);
    assert_true(lot_deliver(&scene->lot, WAIT_MS));
    check_ledger(scene, 40);
    scene_end(scene);
}

/* A parcel may be on record in columns when `framing` becomes one that the layout does not go with: its
 * messages have their envelope all the same. */
static void columns_on_record_keep_their_envelope(void **state)
{
    (void)state;
    static const uint8_t envelope[] = {0xc3, 0x01, 0xbd, 0x94, 0x8c, 0x1e, 0x7d, 0x1f, 0xbe, 0xf6};
    static const int64_t framings[] = {FRAMING_JSON, FRAMING_NONE};
    static const uint8_t others[] = {LAYOUT_ROWS, LAYOUT_JSON};
    for (size_t i = 0; i < ARRAY_COUNT(framings); i++) {
        struct scene *scene = calloc(1, sizeof *scene);
        assert_non_null(scene);
        scene_begin(scene, NULL);
        scene->host.options.framing = framings[i];
        host_open(&scene->host);
        struct target target = {.layout = LAYOUT_COLUMNS};
        assert_true(host_target(&scene->host, &target, WAIT_MS));
        assert_false(target.is_json);
        assert_int_equal(target.layout, LAYOUT_COLUMNS);
        assert_int_equal(target.prefix_size, sizeof envelope);
        assert_memory_equal(target.prefix, envelope, sizeof envelope);
        for (size_t k = 0; k < ARRAY_COUNT(others); k++) {
            target = (struct target){.layout = others[k]};
            assert_true(host_target(&scene->host, &target, WAIT_MS));
            assert_int_equal(target.is_json, framings[i] == FRAMING_JSON);
            assert_int_equal(target.prefix_size, 0);
        }
        scene_end(scene);
    }
}

/* What is not compressed is compared as it is. */
static void a_target_says_whether_batches_are_compressed(void **state)
{
    (void)state;
    static const struct {
        int64_t service, level;
        bool is_plain;
    } cases[] = {{KAFKA_SERVICE_KAFKA, -1, false},
                 {KAFKA_SERVICE_KAFKA, 3, false},
                 {KAFKA_SERVICE_KAFKA, 0, true},
                 {KAFKA_SERVICE_EVENT_HUBS, -1, true},
                 {KAFKA_SERVICE_EVENT_HUBS, 3, true}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct scene *scene = calloc(1, sizeof *scene);
        assert_non_null(scene);
        scene_begin(scene, NULL);
        scene->host.options.service = cases[i].service;
        scene->host.options.compression_level = cases[i].level;
        host_open(&scene->host);
        struct target target = {.layout = LAYOUT_COLUMNS};
        assert_true(host_target(&scene->host, &target, WAIT_MS));
        assert_int_equal(target.is_plain, cases[i].is_plain);
        scene_end(scene);
    }
}

static void aged_part(struct lot *lot)
{
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        lot->parcel.parts[p].sent_ms -= INT64_C(25) * 60 * 60 * 1000;
    }
}

/* Older than the broker's memory can be trusted: asked for; if the broker does not know, the
 * policy decides. */
static void old_batches_are_asked_for(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        bool known = kind == 0, aside = kind == 2, mute = kind == 3;
        struct scene *scene = calloc(1, sizeof *scene);
        assert_non_null(scene);
        struct broker_options options = {.describe_max = mute ? -1 : 0};
        scene_begin(scene, &options);
        scene->host.options.in_doubt = aside ? KAFKA_IN_DOUBT_SET_ASIDE : KAFKA_IN_DOUBT_RESEND;
        host_open(&scene->host);
        fault(scene, WIRE_PRODUCE, BROKER_NEVER, 0, 0);
        lot_cut(&scene->lot, &scene->host, 1, 40);
        assert_true(lot_assign(&scene->lot));
        lot_send_all(&scene->lot);
        wait_requests(scene, WIRE_PRODUCE, 1);
        host_close(&scene->host);
        aged_part(&scene->lot);
        if (!known) {
            broker_expire(scene->broker, -1);
        }
        host_open(&scene->host);
        lot_revive(&scene->lot, &scene->host);
        lot_send_all(&scene->lot);
        assert_true(lot_wait(&scene->lot, WAIT_MS));
        unsigned sent = 0;
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            if (scene->lot.parts[p].tries == 0) {
                continue;
            }
            sent++;
            assert_int_equal(scene->lot.parts[p].report.result, known   ? SEND_OK
                                                                : aside ? SEND_ASIDE
                                                                        : SEND_REASSIGN);
        }
        assert_int_equal(broker_request_count(scene->broker, WIRE_PRODUCE), 1);
        assert_int_equal(broker_request_count(scene->broker, WIRE_DESCRIBE_PRODUCERS),
                         mute ? 0 : sent);
        assert_int_equal(scene->host.in_doubt, known ? 0 : sent);
        check_ledger(scene, 40);
        scene_end(scene);
    }
}

static void never_sent_to_another_cluster_under_old_numbers(void **state)
{
    (void)state;
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene_begin(scene, NULL);
    host_open(&scene->host);
    fault(scene, WIRE_PRODUCE, BROKER_NEVER_LOST, 0, 0);
    lot_cut(&scene->lot, &scene->host, 1, 40);
    assert_true(lot_assign(&scene->lot));
    lot_send_all(&scene->lot);
    wait_requests(scene, WIRE_PRODUCE, 1);
    host_close(&scene->host);
    broker_replace(scene->broker, "cluster-2");
    kafka_server_node(scene->server, 0, true);
    host_open(&scene->host);
    lot_cut(&scene->second, &scene->host, 41, 1); /* somebody uses the first producer ids there */
    assert_true(lot_deliver(&scene->second, WAIT_MS));
    lot_revive(&scene->lot, &scene->host);
    lot_send_all(&scene->lot);
    assert_true(lot_wait(&scene->lot, WAIT_MS));
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        assert_true(scene->lot.parts[p].tries == 0 ||
                    scene->lot.parts[p].report.result == SEND_REASSIGN);
    }
    assert_true(lot_deliver(&scene->lot, WAIT_MS));
    assert_string_equal(scene->lot.parcel.cluster_id, "cluster-2");
    uint64_t count = 0;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        count += broker_log_count(scene->broker, "events", p);
    }
    assert_int_equal(count, 41);
    scene_end(scene);
}

static void throttle_is_obeyed(void **state)
{
    (void)state;
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene_begin(scene, NULL);
    host_open(&scene->host);
    fault(scene, WIRE_PRODUCE, BROKER_THROTTLE, 0, 700);
    lot_cut(&scene->lot, &scene->host, 1, 20);
    uint64_t began_ms = loop_now_ms(scene->loop); /* before the answer that asks for the pause */
    assert_true(lot_deliver(&scene->lot, WAIT_MS));
    lot_cut(&scene->second, &scene->host, 21, 20);
    assert_true(lot_deliver(&scene->second, WAIT_MS));
    assert_true(loop_now_ms(scene->loop) - began_ms >= 700);
    check_ledger(scene, 40);
    scene_end(scene);
}

static void starts_without_a_broker(void **state)
{
    (void)state;
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene_begin(scene, NULL);
    broker_node_stop(scene->broker, 0);
    kafka_server_node(scene->server, 0, false);
    host_open(&scene->host);
    struct target target;
    struct why why;
    assert_int_equal(kafka_uplink_class.target(scene->host.uplink, &scene->host.stream,
                                               &scene->host.schema, &target, &why),
                     ERR_AGAIN);
    wait_fault(scene, "127.0.0.1");
    unsigned ready = scene->host.ready_count;
    broker_node_start(scene->broker, 0);
    kafka_server_node(scene->server, 0, true);
    lot_cut(&scene->lot, &scene->host, 1, 20);
    assert_true(scene->host.ready_count > ready);
    assert_true(lot_deliver(&scene->lot, WAIT_MS));
    assert_string_equal(scene->host.fault.text, "");
    check_ledger(scene, 20);
    scene_end(scene);
}

static void logs_in(void **state)
{
    (void)state;
    static const char *const names[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"};
    for (unsigned i = 0; i < 2 * ARRAY_COUNT(names); i++) {
        unsigned wrong = i % 2;
        struct scene *scene = calloc(1, sizeof *scene);
        assert_non_null(scene);
        struct broker_options options = {
            .user = "weir", .password = "secret-word", .mechanism = names[i / 2]};
        scene_begin(scene, &options);
        scene->host.options.sasl =
            (struct sasl_options){.is_set = true,
                                  .mechanism = i / 2, /* in the order of enum sasl_mechanism */
                                  .user = "weir",
                                  .password = wrong ? "other-word" : "secret-word"};
        host_open(&scene->host);
        if (wrong) {
            struct target target;
            uint64_t end_ms = clock_monotonic_ms() + WAIT_MS;
            while (!scene->host.fault.text[0] && clock_monotonic_ms() < end_ms) {
                assert_false(host_target(&scene->host, &target, 10));
            }
            assert_non_null(strstr(scene->host.fault.text, "sasl.password"));
            assert_false(host_target(&scene->host, &target, 200));
            assert_null(strstr(scene->host.fault.text, "other-word"));
        } else {
            lot_cut(&scene->lot, &scene->host, 1, 20);
            assert_true(lot_deliver(&scene->lot, WAIT_MS));
            check_ledger(scene, 20);
        }
        scene_end(scene);
    }
}

static void stop_gives_back(void **state)
{
    (void)state;
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene_begin(scene, NULL);
    host_open(&scene->host);
    fault(scene, WIRE_PRODUCE, BROKER_NEVER, 0, 0);
    lot_cut(&scene->lot, &scene->host, 1, 20);
    assert_true(lot_assign(&scene->lot));
    lot_send_all(&scene->lot);
    wait_requests(scene, WIRE_PRODUCE, 1);
    kafka_uplink_class.stop(scene->host.uplink, 300);
    assert_true(lot_wait(&scene->lot, WAIT_MS));
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        assert_true(scene->lot.parts[p].tries == 0 ||
                    scene->lot.parts[p].report.result == SEND_RETRY);
    }
    scene_end(scene);
}

static void topics_are_checked(void **state)
{
    (void)state;
    char topic[TARGET_NAME_SIZE_MAX];
    struct why why;
    assert_int_equal(kafka_topic_put("a.{agent}.{stream}-x", "s", "g", topic, &why), ERR_OK);
    assert_string_equal(topic, "a.g.s-x");
    assert_int_equal(kafka_topic_put("{stream}", "a b", "g", topic, &why), ERR_CONFIG);
    assert_int_equal(kafka_topic_put(".", "a", "g", topic, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "not allowed"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delivers_in_one_request),
        cmocka_unit_test(lost_answers_store_once),
        cmocka_unit_test(silence_ends_in_a_retry),
        cmocka_unit_test(crash_in_flight),
        cmocka_unit_test(every_code_on_a_first_send),
        cmocka_unit_test(every_code_on_a_later_send),
        cmocka_unit_test(errors_that_are_tried_a_few_times),
        cmocka_unit_test(every_code_of_a_producer_id),
        cmocka_unit_test(too_large_is_halved_under_the_same_number),
        cmocka_unit_test(numbers_that_were_never_sent_are_given_again),
        cmocka_unit_test(leaders_move),
        cmocka_unit_test(partitions_added_later_change_nothing_in_flight),
        cmocka_unit_test(columns_on_record_keep_their_envelope),
        cmocka_unit_test(a_target_says_whether_batches_are_compressed),
        cmocka_unit_test(old_batches_are_asked_for),
        cmocka_unit_test(never_sent_to_another_cluster_under_old_numbers),
        cmocka_unit_test(throttle_is_obeyed),
        cmocka_unit_test(starts_without_a_broker),
        cmocka_unit_test(logs_in),
        cmocka_unit_test(stop_gives_back),
        cmocka_unit_test(topics_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
