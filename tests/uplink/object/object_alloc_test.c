/* Object stores and plain HTTP with the n-th allocation failing, for every n: each says so, and leaves
 * nothing behind. */
#include "tests/cmocka.h"

#include "ports/http.h"
#include "tests/fault_alloc.h"
#include "tests/uplink/object/scene.h"
#include "uplink/http/http_impl.h"
#include "uplink/http/http_uplink.h"
#include "uplink/object/azure.h"
#include "uplink/object/azure_impl.h"

static const char url[] = "http://127.0.0.1:1";
static struct azure_options azure = {
    .account = "account1",
    .container = "container1",
    .key = "c2VjcmV0",
    .endpoint = url,
    .object = {.name = "{stream}/{agent}-{incarnation}-{first}-{last}.avro",
               .codec = CONTAINER_DEFLATE,
               .timeout_ms = 5000}};
static struct http_uplink_options http = {.url = url,
                                          .format = HTTP_AVRO,
                                          .encoding = HTTP_ZSTD,
                                          .codec = CONTAINER_NULL,
                                          .size_max = 1 << 20,
                                          .timeout_ms = 5000};

static const struct {
    const struct uplink_class *class_;
    const void *options;
} kinds[] = {{&azure_blob_uplink_class, &azure}, {&http_uplink_class, &http}};

static void open_fails_cleanly(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct scene *scene = scene_open(kinds[i].class_);
        struct http *client; /* keeps libcurl's global state: making it does not survive failures */
        unsigned n = 1;
        assert_int_equal(http_open(&client, scene->loop, scene->names), ERR_OK);
        struct uplink_setup setup = {.host = &scene->host,
                                     .loop = scene->loop,
                                     .names = scene->names,
                                     .options = kinds[i].options,
                                     .agent_id = "a"};
        for (bool failed = true; failed; n++) {
            struct uplink *uplink = NULL;
            struct why why = {""};
            fault_alloc_set(n);
            enum err e = kinds[i].class_->open(&uplink, &setup, &why);
            failed = fault_alloc_happened();
            fault_alloc_set(0);
            assert_true(failed ? e != ERR_OK && uplink == NULL : e == ERR_OK);
            if (!e) {
                kinds[i].class_->close(uplink);
            }
        }
        assert_true(n > 3);
        http_close(client);
        scene_close(scene);
    }
}

static void nothing_found(void *context, const struct probe_finding *finding)
{
    (void)context;
    (void)finding;
}

static void never_done(void *context)
{
    (void)context;
    fail_msg("it is over within opening");
}

static void probes_fail_cleanly(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct scene *scene = scene_open(kinds[i].class_);
        struct http *client; /* as above */
        unsigned n = 1;
        assert_int_equal(http_open(&client, scene->loop, scene->names), ERR_OK);
        const struct probe_stream stream = {.name = "meters", .schema = &scene_schema};
        const struct probe_setup setup = {.loop = scene->loop,
                                          .names = scene->names,
                                          .options = kinds[i].options,
                                          .agent_id = "a",
                                          .streams = &stream,
                                          .stream_count = 1,
                                          .found = nothing_found,
                                          .done = never_done};
        for (bool failed = true; failed; n++) {
            struct probe *probe = NULL;
            fault_alloc_set(n);
            enum err e = kinds[i].class_->probe(&probe, &setup);
            failed = fault_alloc_happened();
            fault_alloc_set(0);
            assert_int_equal(e, failed ? ERR_NOMEM : ERR_OK);
            assert_true(failed == !probe);
            if (probe) {
                probe->close(probe); /* before anything was asked */
            }
        }
        assert_true(n > 2);
        http_close(client);
        scene_close(scene);
    }
}

static void wrap_fails_cleanly(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct scene *scene = scene_open(kinds[i].class_);
        struct lot lot;
        unsigned n = 1;
        scene_life(scene, kinds[i].options);
        assert_int_equal(lot_make(&lot, scene, kinds[i].options, 1, 50, 20), ERR_OK);
        size_t size = lot.batch.wire.size;
        for (bool failed = true; failed; n++) {
            fault_alloc_set(n);
            enum err e = lot_wrap(&lot, scene, kinds[i].options);
            failed = fault_alloc_happened();
            fault_alloc_set(0);
            assert_true(failed ? e == ERR_NOMEM : e == ERR_OK);
        }
        assert_true(n > 2);
        assert_int_equal(lot.batch.wire.size, size);
        lot_release(&lot);
        scene_close(scene);
    }
}

/* Without memory for it a batch comes back, and goes at the next try. */
static void send_fails_cleanly(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&azure_blob_uplink_class);
    struct azure_options options = azure;
    struct lot lot;
    options.endpoint = scene->url;
    scene_life(scene, &options);
    assert_int_equal(lot_make(&lot, scene, &options, 1, 50, 20), ERR_OK);
    for (unsigned n = 1; n <= 3; n++) { /* the job's, the request's text, the room to sign in */
        unsigned before = scene->host.done_count;
        fault_alloc_set(n);
        azure_blob_uplink_class.send(scene->uplink, &lot.batch);
        while (!fault_alloc_happened() && scene->host.done_count == before) {
            assert_int_equal(loop_turn(scene->loop, 10), ERR_OK);
        }
        fault_alloc_set(0);
        while (scene->host.done_count == before) {
            assert_int_equal(loop_turn(scene->loop, 10), ERR_OK);
        }
        assert_int_equal(scene->host.report.result, SEND_RETRY);
    }
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    lot_release(&lot);
    scene_close(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_fails_cleanly),
        cmocka_unit_test(probes_fail_cleanly),
        cmocka_unit_test(wrap_fails_cleanly),
        cmocka_unit_test(send_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
