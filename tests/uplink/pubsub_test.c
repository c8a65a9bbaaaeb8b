/* The uplink pubsub by gRPC, against a server of our own making: order, limits, and each row of the
 * service's table of errors once through a socket. */
#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/clock.h"
#include "ports/names.h"
#include "tests/ports/told.h"
#include "tests/uplink/grpc_server.h"
#include "tests/uplink/pubsub_host.h"
#include "uplink/google/grpc.h"

#define EVENT_MAX 3000

struct scene {
    struct loop *loop;
    struct names *names;
    struct grpc_server server;
    struct uplink_host host;
    struct event events[EVENT_MAX];
    char texts[EVENT_MAX][32];
    /* For the fates: */
    unsigned turns; /* how many requests are refused */
    int fate;
    const char *key, *text; /* requests with these are */
};

static int scene_open(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    assert_int_equal(loop_open(&scene->loop), ERR_OK);
    assert_int_equal(names_open(&scene->names, scene->loop), ERR_OK);
    grpc_server_open(&scene->server, scene->loop);
    scene->server.context = scene;
    pubsub_host_open(&scene->host, scene->loop, scene->names, scene->server.url);
    *state = scene;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;
    pubsub_host_close(&scene->host);
    grpc_server_close(&scene->server);
    names_close(scene->names);
    loop_close(scene->loop);
    free(scene);
    return 0;
}

/* Events 0..count-1 with these keys in turn. */
static void scene_events(struct scene *scene, size_t count, const char *const *keys,
                         size_t key_count)
{
    assert_true(count <= EVENT_MAX);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(scene->texts[i], sizeof scene->texts[i], "event-%zu", i);
        scene->events[i] = (struct event){keys[i % key_count], scene->texts[i], 0};
    }
}

static void scene_wrap(struct scene *scene, struct pubsub_lot *lot, uint64_t first, size_t count)
{
    assert_int_equal(pubsub_lot_wrap(lot, &scene->host, first, scene->events, count), ERR_OK);
}

/* Where the event is among those that were stored; it must be there once. */
static size_t stored_at(const struct scene *scene, uint64_t sequence)
{
    char id[64];
    size_t found = SIZE_MAX;
    (void)snprintf(id, sizeof id, "pump-7/0000002a/events/%llu", (unsigned long long)sequence);
    for (size_t i = 0; i < scene->server.stored_count; i++) {
        if (strcmp(scene->server.stored[i].id, id) == 0) {
            assert_int_equal(found, SIZE_MAX);
            found = i;
        }
    }
    assert_int_not_equal(found, SIZE_MAX);
    return found;
}

/* All of them once, and in order by key. */
static void assert_all_in_order(const struct scene *scene, uint64_t first, size_t count)
{
    assert_int_equal(scene->server.stored_count, count);
    for (size_t i = 0; i < count; i++) {
        size_t at = stored_at(scene, first + i);
        const struct grpc_stored *stored = &scene->server.stored[at];
        assert_memory_equal(stored->data + stored->size - strlen(scene->texts[i]), scene->texts[i],
                            strlen(scene->texts[i]));
        for (size_t j = i + 1; j < count; j++) {
            if (strcmp(scene->events[i].key ? scene->events[i].key : "",
                       scene->events[j].key ? scene->events[j].key : "") == 0) {
                assert_true(at < stored_at(scene, first + j));
                break;
            }
        }
    }
}

/* --- fates --- */

static bool request_has(const struct scene *scene, const char *text)
{
    struct slice s = scene->server.last.request;
    size_t size = strlen(text);
    for (size_t i = 0; i + size <= s.size; i++) {
        if (memcmp(s.data + i, text, size) == 0) {
            return true;
        }
    }
    return false;
}

static int fate_of_turns(struct grpc_server *server)
{
    struct scene *scene = server->context;
    bool is_it = (!scene->key || request_has(scene, scene->key)) &&
                 (!scene->text || request_has(scene, scene->text));
    if (is_it && scene->turns > 0) {
        scene->turns--;
        return scene->fate;
    }
    return 0;
}

static void scene_fate(struct scene *scene, unsigned turns, int fate)
{
    scene->server.fate = fate_of_turns;
    scene->turns = turns;
    scene->fate = fate;
}

/* --- requests --- */

static void a_request_is_as_the_service_wants_it(void **state)
{
    struct scene *scene = *state;
    struct pubsub_lot lot;
    pubsub_host_start(&scene->host);
    scene_events(scene, 3, (const char *[]){"device-1"}, 1);
    scene_wrap(scene, &lot, 41, 3);
    assert_int_equal(pubsub_lot_deliver(&lot), SEND_OK);
    const struct grpc_call *call = &scene->server.last;
    assert_string_equal(call->path, "/google.pubsub.v1.Publisher/Publish");
    assert_string_equal(call->content_type, "application/grpc");
    assert_string_equal(call->te, "trailers");
    assert_string_equal(call->encoding, "gzip"); /* three alike events are worth it */
    assert_string_equal(call->authorization, "");
    assert_int_equal(scene->server.count, 1);
    assert_all_in_order(scene, 41, 3);
    assert_string_equal(scene->server.stored[0].key, "device-1");
    assert_memory_equal(scene->server.stored[0].data, "event-0", 7); /* the host puts no prefix */
    assert_true(!wire_is_told() || (scene->host.wire_sent > 0 && scene->host.wire_received > 0));
    pubsub_lot_release(&lot);
}

static void answers_may_be_compressed(void **state)
{
    struct scene *scene = *state;
    struct pubsub_lot lot;
    scene->server.answers_gzip = true;
    pubsub_host_start(&scene->host);
    scene_events(scene, 30, (const char *[]){"k"}, 1);
    scene_wrap(scene, &lot, 1, 30);
    assert_int_equal(pubsub_lot_deliver(&lot), SEND_OK);
    assert_all_in_order(scene, 1, 30);
    pubsub_lot_release(&lot);
}

static void a_request_has_one_ordering_key(void **state)
{
    struct scene *scene = *state;
    struct pubsub_lot lot;
    pubsub_host_start(&scene->host);
    scene_events(scene, 100, (const char *[]){"c", "a", NULL, "b"}, 4);
    scene_wrap(scene, &lot, 1, 100);
    assert_int_equal(pubsub_lot_deliver(&lot), SEND_OK);
    assert_int_equal(scene->server.count, 4);
    assert_all_in_order(scene, 1, 100);
    pubsub_lot_release(&lot);
}

static void without_order_keys_do_not_matter(void **state)
{
    struct scene *scene = *state;
    struct pubsub_lot lot;
    scene->host.options.ordering = PUBSUB_ORDER_NONE;
    pubsub_host_start(&scene->host);
    scene_events(scene, 100, (const char *[]){"c", "a", NULL, "b"}, 4);
    scene_wrap(scene, &lot, 1, 100);
    assert_int_equal(lot.batch.target.partition_count, 1);
    assert_int_equal(pubsub_lot_deliver(&lot), SEND_OK);
    assert_int_equal(scene->server.count, 1);
    assert_string_equal(scene->server.stored[0].key, "");
    assert_all_in_order(scene, 1, 100);
    pubsub_lot_release(&lot);
}

static void by_agent_all_have_its_key(void **state)
{
    struct scene *scene = *state;
    struct pubsub_lot lot;
    scene->host.options.ordering = PUBSUB_ORDER_AGENT;
    pubsub_host_start(&scene->host);
    scene_events(scene, 10, (const char *[]){"c", "a"}, 2);
    scene_wrap(scene, &lot, 1, 10);
    assert_int_equal(pubsub_lot_deliver(&lot), SEND_OK);
    assert_int_equal(scene->server.count, 1);
    assert_string_equal(scene->server.stored[9].key, "pump-7/0000002a");
    pubsub_lot_release(&lot);
}

static void a_request_has_a_thousand_messages_and_no_more(void **state)
{
    struct scene *scene = *state;
    struct pubsub_lot lot;
    pubsub_host_start(&scene->host);
    scene_events(scene, 1001, (const char *[]){"k"}, 1);
    scene_wrap(scene, &lot, 1, 1000);
    assert_int_equal(pubsub_lot_deliver(&lot), SEND_OK);
    assert_int_equal(scene->server.count, 1);
    pubsub_lot_release(&lot);
    scene->server.stored_count = 0;
    scene_wrap(scene, &lot, 1, 1001);
    assert_int_equal(pubsub_lot_deliver(&lot), SEND_OK);
    assert_int_equal(scene->server.count, 3);
    assert_all_in_order(scene, 1, 1001);
    pubsub_lot_release(&lot);
}

/* --- errors --- */

static void what_may_be_tried_again_is(void **state)
{
    struct scene *scene = *state;
    static const int fates[] = {
        GRPC_CANCELLED,          GRPC_UNKNOWN,         GRPC_DEADLINE_EXCEEDED, GRPC_ALREADY_EXISTS,
        GRPC_RESOURCE_EXHAUSTED, GRPC_ABORTED,         GRPC_INTERNAL,          GRPC_UNAVAILABLE,
        GRPC_DATA_LOSS,          GRPC_FATE_SILENT,     GRPC_FATE_CLOSE,        GRPC_FATE_RESET,
        GRPC_FATE_HTTP + 429,    GRPC_FATE_HTTP + 503, GRPC_FATE_HTTP + 502};
    pubsub_host_start(&scene->host);
    scene_events(scene, 5, (const char *[]){"k"}, 1);
    for (size_t i = 0; i < ARRAY_COUNT(fates); i++) {
        struct pubsub_lot lot;
        scene->server.count = 0;
        scene->server.stored_count = 0;
        scene_fate(scene, 1, fates[i]);
        scene_wrap(scene, &lot, 1, 5);
        assert_int_equal(pubsub_lot_deliver(&lot), SEND_OK);
        assert_true(scene->server.count == 2 || fates[i] == GRPC_FATE_CLOSE);
        bool is_no = fates[i] == GRPC_RESOURCE_EXHAUSTED || fates[i] == GRPC_FATE_HTTP + 429;
        assert_true(lot.report.is_clear == is_no || lot.tries > 1);
        assert_all_in_order(scene, 1, 5);
        pubsub_lot_release(&lot);
    }
    assert_string_equal(scene->host.fault.text, "");
    assert_int_equal(scene->host.fallbacks, 0);
}

static void what_is_wrong_parks_and_says_what_to_do(void **state)
{
    struct scene *scene = *state;
    static const struct {
        int fate, code;
        const char *text;
    } rows[] = {
        {GRPC_NOT_FOUND, GRPC_NOT_FOUND, "topic projects/p1/topics/events is missing: make it"},
        {GRPC_PERMISSION_DENIED, GRPC_PERMISSION_DENIED, "roles/pubsub.publisher"},
        {GRPC_UNAUTHENTICATED, GRPC_UNAUTHENTICATED, "check the credentials: without TLS none"},
        {GRPC_FAILED_PRECONDITION, GRPC_FAILED_PRECONDITION,
         "FAILED_PRECONDITION, because of the test"},
        {GRPC_OUT_OF_RANGE, GRPC_OUT_OF_RANGE, "OUT_OF_RANGE"},
        {GRPC_UNIMPLEMENTED, GRPC_UNIMPLEMENTED, "UNIMPLEMENTED"},
        {GRPC_FATE_HTTP + 401, GRPC_UNAUTHENTICATED, "UNAUTHENTICATED"},
        {GRPC_FATE_HTTP + 403, GRPC_PERMISSION_DENIED, "may not publish"},
    };
    pubsub_host_start(&scene->host);
    scene_events(scene, 2, (const char *[]){"k"}, 1);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct pubsub_lot lot;
        scene->server.count = 0;
        scene_fate(scene, 1, rows[i].fate);
        scene_wrap(scene, &lot, 1, 2);
        assert_int_equal(pubsub_lot_deliver(&lot), SEND_PARK);
        assert_int_equal(lot.report.code, rows[i].code);
        assert_true(lot.report.is_clear);
        assert_non_null(strstr(lot.report.text, rows[i].text));
        assert_int_equal(scene->server.count, 1);
        assert_true(scene->host.fault.text[0]);
        pubsub_lot_release(&lot);
    }
    assert_int_equal(scene->server.stored_count, 0);
}

/* Of 200 messages one is bad: it is found, all others arrive, and forward's halves send nothing
 * twice. */
static void a_bad_message_is_found_and_all_others_arrive(void **state)
{
    struct scene *scene = *state;
    struct pubsub_lot lot, half;
    pubsub_host_start(&scene->host);
    scene_events(scene, 200, (const char *[]){"k", "l"}, 2);
    scene->text = "event-37";
    scene_fate(scene, UINT32_MAX, GRPC_INVALID_ARGUMENT);
    scene_wrap(scene, &lot, 1, 200);
    assert_int_equal(pubsub_lot_deliver(&lot), SEND_REJECTED);
    assert_int_equal(lot.report.code, GRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(lot.report.text, "INVALID_ARGUMENT, because of the test"));
    assert_int_equal(scene->server.stored_count, 199);
    assert_true(scene->server.count < 40);
    pubsub_lot_release(&lot);

    /* As forward halves it, down to the one; each half is a part of its own. */
    unsigned before = scene->server.count;
    struct event *bad = &scene->events[37];
    for (size_t count = 100; count > 1; count = (count + 1) / 2) {
        size_t first = 37 < count ? 0 : 37 - count / 2;
        assert_int_equal(
            pubsub_lot_wrap(&half, &scene->host, 1 + first, scene->events + first, count), ERR_OK);
        assert_int_equal(pubsub_lot_deliver(&half), SEND_REJECTED);
        pubsub_lot_release(&half);
        if (count == 2) {
            break;
        }
    }
    assert_int_equal(pubsub_lot_wrap(&half, &scene->host, 38, bad, 1), ERR_OK);
    assert_int_equal(pubsub_lot_deliver(&half), SEND_REJECTED);
    pubsub_lot_release(&half);
    assert_int_equal(pubsub_lot_wrap(&half, &scene->host, 101, scene->events + 100, 100), ERR_OK);
    assert_int_equal(pubsub_lot_deliver(&half), SEND_OK);
    pubsub_lot_release(&half);
    assert_int_equal(scene->server.stored_count, 199);
    assert_true(scene->server.count - before <= 8); /* of the bad one alone */
}

static void when_many_are_bad_forward_finds_out(void **state)
{
    struct scene *scene = *state;
    struct pubsub_lot lot;
    pubsub_host_start(&scene->host);
    scene_events(scene, 500, (const char *[]){"k"}, 1);
    scene_fate(scene, UINT32_MAX, GRPC_INVALID_ARGUMENT);
    scene_wrap(scene, &lot, 1, 500);
    assert_int_equal(pubsub_lot_deliver(&lot), SEND_REJECTED);
    assert_true(scene->server.count < 40);
    pubsub_lot_release(&lot);
}

/* The messages of a key that fails wait for it, and those of all others do not. */
static void a_key_that_fails_waits_and_the_others_go_on(void **state)
{
    struct scene *scene = *state;
    struct pubsub_lot lot;
    pubsub_host_start(&scene->host);
    scene_events(scene, 2400, (const char *[]){"key-a", "key-b"}, 2); /* two requests each */
    scene->key = "key-a";
    scene_fate(scene, 2, GRPC_UNAVAILABLE);
    scene_wrap(scene, &lot, 1, 2400);
    assert_int_equal(pubsub_lot_deliver(&lot), SEND_OK);
    assert_int_equal(scene->server.count, 6);
    assert_string_equal(scene->server.stored[0].key, "key-b");
    assert_all_in_order(scene, 1, 2400);
    assert_int_equal(lot.tries, 1);
    pubsub_lot_release(&lot);
}

/* What is stored of a part is known when its bytes are made anew, after a long wait. */
static void what_is_stored_is_not_sent_again(void **state)
{
    struct scene *scene = *state;
    struct pubsub_lot lot;
    pubsub_host_start(&scene->host);
    scene_events(scene, 20, (const char *[]){"key-a", "key-b"}, 2);
    scene->key = "key-b";
    scene_fate(scene, 1, GRPC_PERMISSION_DENIED);
    scene_wrap(scene, &lot, 1, 20);
    assert_int_equal(pubsub_lot_deliver(&lot), SEND_PARK);
    assert_int_equal(scene->server.stored_count, 10);
    pubsub_lot_release(&lot);
    scene_wrap(scene, &lot, 1, 20);
    assert_int_equal(pubsub_lot_deliver(&lot), SEND_OK);
    assert_all_in_order(scene, 1, 20);
    assert_int_equal(scene->server.count, 3);
    pubsub_lot_release(&lot);
    /* But a later part is another one. */
    scene_wrap(scene, &lot, 21, 20);
    assert_int_equal(pubsub_lot_deliver(&lot), SEND_OK);
    assert_int_equal(scene->server.stored_count, 40);
    pubsub_lot_release(&lot);
}

static int fate_of_size(struct grpc_server *server)
{
    return server->last.body_size > 100 * 1024 ? GRPC_FATE_RESET : 0;
}

/* As a server with a small limit does it: what is too large for it is cut off. */
static void requests_that_are_cut_off_become_smaller(void **state)
{
    struct scene *scene = *state;
    struct pubsub_lot lot;
    static char large[300][1024];
    uint32_t chance = 1;
    scene->host.options.compress = false;
    scene->server.fate = fate_of_size;
    pubsub_host_start(&scene->host);
    scene_events(scene, 300, (const char *[]){"k"}, 1);
    for (size_t i = 0; i < 300; i++) {
        for (size_t j = 0; j < sizeof large[i]; j++) {
            chance = chance * 1664525 + 1013904223;
            large[i][j] = (char)(chance >> 24);
        }
        memcpy(large[i] + sizeof large[i] - strlen(scene->texts[i]), scene->texts[i],
               strlen(scene->texts[i]));
        scene->events[i] = (struct event){"k", large[i], sizeof large[i]};
    }
    scene_wrap(scene, &lot, 1, 300);
    assert_int_equal(pubsub_lot_deliver(&lot), SEND_OK);
    assert_int_equal(scene->host.halved, 2);
    assert_int_equal(scene->server.stored_count, 300);
    for (uint64_t i = 1; i <= 300; i++) {
        assert_int_equal(stored_at(scene, i), i - 1);
    }
    pubsub_lot_release(&lot);
}

static void a_stop_gives_back_what_waits(void **state)
{
    struct scene *scene = *state;
    struct pubsub_lot lot;
    pubsub_host_start(&scene->host);
    scene_events(scene, 5, (const char *[]){"k"}, 1);
    scene_fate(scene, UINT32_MAX, GRPC_UNAVAILABLE);
    scene_wrap(scene, &lot, 1, 5);
    pubsub_lot_send(&lot);
    while (scene->server.count < 4) {
        assert_int_equal(loop_turn(scene->loop, 20), ERR_OK);
    }
    assert_non_null(strstr(scene->host.fault.text, "UNAVAILABLE"));
    pubsub_uplink_class.stop(scene->host.uplink, 1000);
    assert_true(pubsub_lot_wait(&lot, 5000));
    assert_int_equal(lot.report.result, SEND_RETRY);
    pubsub_lot_release(&lot);
}

int main(void)
{
#define SCENE(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)
    const struct CMUnitTest tests[] = {
        SCENE(a_request_is_as_the_service_wants_it),
        SCENE(answers_may_be_compressed),
        SCENE(a_request_has_one_ordering_key),
        SCENE(without_order_keys_do_not_matter),
        SCENE(by_agent_all_have_its_key),
        SCENE(a_request_has_a_thousand_messages_and_no_more),
        SCENE(what_may_be_tried_again_is),
        SCENE(what_is_wrong_parks_and_says_what_to_do),
        SCENE(a_bad_message_is_found_and_all_others_arrive),
        SCENE(when_many_are_bad_forward_finds_out),
        SCENE(a_key_that_fails_waits_and_the_others_go_on),
        SCENE(what_is_stored_is_not_sent_again),
        SCENE(requests_that_are_cut_off_become_smaller),
        SCENE(a_stop_gives_back_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
