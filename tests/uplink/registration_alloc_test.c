/* A registration with the n-th allocation failing, for every n: it says so, and leaves nothing
 * behind. */
#include "tests/cmocka.h"

#include <stdlib.h>

#include "tests/fault_alloc.h"
#include "tests/uplink/kafka_host.h"
#include "uplink/registry/pieces.h"
#include "uplink/registry/registration.h"

static const char *const names[] = {"A", "B"};
static const char *subjects[] = {"a", "b"};
static const char schema[] =
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":{\"type\":\"record\","
    "\"name\":\"A\",\"fields\":[{\"name\":\"b\",\"type\":{\"type\":\"enum\",\"name\":\"B\","
    "\"symbols\":[\"x\"]}}]}}]}";

static void pieces_fail_cleanly(void **state)
{
    (void)state;
    static const uint32_t versions[PIECE_MAX];
    struct option_map references = {.names = names, .items = subjects, .count = 2};
    unsigned n = 1;
    for (bool failed = true; failed; n++) {
        struct pieces pieces;
        struct slice body = {NULL, 0};
        fault_alloc_set(n);
        enum err e = pieces_open(&pieces, slice_of_text(schema), &references, NULL);
        bool is_open = !e;
        e = e ? e : piece_body(&pieces, 2, versions, &body);
        failed = fault_alloc_happened();
        fault_alloc_set(0);
        assert_int_equal(e, failed ? ERR_NOMEM : ERR_OK);
        free((void *)(uintptr_t)body.data);
        if (is_open) {
            pieces_close(&pieces);
        }
    }
    assert_true(n > 6);
}

static void registrations_fail_cleanly(void **state)
{
    (void)state;
    struct loop *loop;
    assert_int_equal(loop_open(&loop), ERR_OK);
    struct registry_options options = {
        .is_set = true,
        .url = "http://127.0.0.1:1",
        .token = "t",
        .references = {.names = names, .items = subjects, .count = 2}};
    struct registration_setup setup = {.loop = loop, .options = &options};
    struct schema_info info = {.json = slice_of_text(schema)};
    unsigned n = 1;
    for (bool failed = true; failed; n++) {
        struct registration *registration = NULL;
        struct why why;
        fault_alloc_set(n);
        enum err e = registration_open(&registration, &setup, "topic", &info, &why);
        failed = fault_alloc_happened();
        fault_alloc_set(0);
        assert_int_equal(e, failed ? ERR_NOMEM : ERR_OK);
        registration_close(registration);
    }
    assert_true(n > 8);
    loop_close(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_fail_cleanly),
        cmocka_unit_test(registrations_fail_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
