/* PublishRequests: bytes as protobuf's own library makes them, and back. */
#include "tests/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "ports/lib/hash.h"
#include "uplink/google/grpc.h"
#include "uplink/google/publish.h"

static const struct publish_message hello = {
    .data = {(const uint8_t *)"hello", 5},
    .ordering_key = {(const uint8_t *)"k", 1},
    .attributes = {{{(const uint8_t *)"id", 2}, {(const uint8_t *)"7", 1}}},
    .attribute_count = 1,
};

/* Made by google-cloud-pubsub's generated classes. */
static void a_frame_is_as_published(void **state)
{
    (void)state;
    uint8_t memory[128];
    char hex[256];
    struct out o = out_over(memory, sizeof memory);
    o.size = GRPC_FRAME_HEAD_SIZE;
    publish_put_topic(&o, SLICE("projects/p1/topics/t1"));
    size_t before = o.size;
    publish_put_message(&o, &hello);
    assert_int_equal(o.size - before, publish_message_size(&hello));
    grpc_frame_head(memory, false, (uint32_t)(o.size - GRPC_FRAME_HEAD_SIZE));
    struct out text = out_over(hex, sizeof hex);
    hash_put_hex(&text, out_slice(&o));
    assert_true(slice_equal_text(
        out_slice(&text), "000000002c0a1570726f6a656374732f70312f746f706963732f743112130a0568656c"
                          "6c6f12070a0269641201372a016b"));
}

static void what_was_put_is_taken(void **state)
{
    (void)state;
    uint8_t memory[4096];
    static uint8_t large[1500];
    struct out o = out_over(memory, sizeof memory);
    struct publish_message messages[3] = {
        hello, {.data = {large, sizeof large}}, {.data = {NULL, 0}}};
    publish_put_topic(&o, SLICE("projects/p1/topics/t1"));
    for (size_t i = 0; i < 3; i++) {
        size_t before = o.size;
        publish_put_message(&o, &messages[i]);
        assert_int_equal(o.size - before, publish_message_size(&messages[i]));
    }
    struct slice rest = out_slice(&o);
    struct slice topic, whole;
    assert_int_equal(publish_take_topic(&rest, &topic), ERR_OK);
    assert_true(slice_equal_text(topic, "projects/p1/topics/t1"));
    for (size_t i = 0; i < 3; i++) {
        struct publish_message message;
        assert_int_equal(publish_take_message(&rest, &whole, &message), ERR_OK);
        assert_int_equal(whole.size, publish_message_size(&messages[i]));
        assert_true(slice_equal(message.data, messages[i].data));
        assert_true(slice_equal(message.ordering_key, messages[i].ordering_key));
        assert_int_equal(message.attribute_count, messages[i].attribute_count);
    }
    struct publish_message none;
    assert_int_equal(publish_take_message(&rest, &whole, &none), ERR_CLOSED);
}

static void what_is_cut_is_not_taken(void **state)
{
    (void)state;
    uint8_t memory[64];
    struct out o = out_over(memory, sizeof memory);
    publish_put_message(&o, &hello);
    for (size_t size = 1; size < o.size; size++) {
        uint8_t *copy = malloc(size); /* of its exact size, for the sanitizer */
        assert_non_null(copy);
        memcpy(copy, memory, size);
        struct slice rest = {copy, size};
        struct slice whole;
        struct publish_message message;
        assert_int_equal(publish_take_message(&rest, &whole, &message), ERR_CORRUPT);
        assert_int_equal(rest.size, size);
        free(copy);
    }
}

static void json_is_what_the_rest_interface_takes(void **state)
{
    (void)state;
    uint8_t memory[256];
    char text[512];
    struct out o = out_over(memory, sizeof memory);
    struct out json = out_over(text, sizeof text);
    const struct publish_message bare = {.data = {(const uint8_t *)"\0\xff", 2}};
    publish_put_message(&o, &hello);
    publish_put_message(&o, &bare);
    assert_int_equal(publish_put_json(&json, out_slice(&o)), ERR_OK);
    assert_true(slice_equal_text(
        out_slice(&json), "{\"messages\":[{\"data\":\"aGVsbG8=\",\"attributes\":{\"id\":\"7\"},"
                          "\"orderingKey\":\"k\"},{\"data\":\"AP8=\"}]}"));
    assert_true(json.size <= publish_json_size_max(out_slice(&o)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_is_as_published),
        cmocka_unit_test(what_was_put_is_taken),
        cmocka_unit_test(what_is_cut_is_not_taken),
        cmocka_unit_test(json_is_what_the_rest_interface_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
