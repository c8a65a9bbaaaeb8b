/* gRPC's frame and status, as servers send them. */
#include "tests/cmocka.h"

#include <string.h>

#include "uplink/google/grpc.h"

static struct grpc_status status_of(const char *code, const char *message)
{
    struct grpc_status status;
    grpc_status_init(&status);
    if (code) {
        grpc_status_take(&status, SLICE("grpc-status"), slice_of_text(code));
    }
    grpc_status_take(&status, SLICE("Grpc-Message"), slice_of_text(message));
    return status;
}

static void codes_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
    } examples[] = {
        {"0", GRPC_OK},         {"3", GRPC_INVALID_ARGUMENT}, {"16", GRPC_UNAUTHENTICATED},
        {"17", GRPC_UNKNOWN},   {"", GRPC_UNKNOWN},           {"-1", GRPC_UNKNOWN},
        {"1000", GRPC_UNKNOWN}, {"0x0", GRPC_UNKNOWN},        {NULL, GRPC_NONE}};
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        assert_int_equal(status_of(examples[i].text, "").code, examples[i].code);
    }
}

static void messages_are_decoded_and_printable(void **state)
{
    (void)state;
    assert_string_equal(status_of("5", "Topic not found (resource%3Dt1)").message,
                        "Topic not found (resource=t1)");
    assert_string_equal(status_of("5", "50%25 %zz %4").message, "50% %zz %4");
    assert_string_equal(status_of("5", "a%0Ab\xc3\xa4%00").message, "a?b???");
    char text[400];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(strlen(status_of("5", text).message), GRPC_MESSAGE_SIZE_MAX - 1);
}

static void content_types_tell_grpc(void **state)
{
    (void)state;
    struct grpc_status status;
    grpc_status_init(&status);
    grpc_status_take(&status, SLICE("content-type"), SLICE("text/html"));
    assert_false(status.is_grpc);
    grpc_status_take(&status, SLICE("Content-Type"), SLICE("application/grpc+proto"));
    assert_true(status.is_grpc);
}

static void names_and_codes_belong_together(void **state)
{
    (void)state;
    for (int code = 0; code <= 16; code++) {
        assert_int_equal(grpc_code_of_name(slice_of_text(grpc_code_name(code))), code);
    }
    assert_string_equal(grpc_code_name(17), "?");
    assert_string_equal(grpc_code_name(-1), "?");
    assert_int_equal(grpc_code_of_name(SLICE("NOT_THERE")), GRPC_UNKNOWN);
}

static void frames_are_taken_whole_or_not(void **state)
{
    (void)state;
    uint8_t bytes[GRPC_FRAME_HEAD_SIZE + 3];
    grpc_frame_head(bytes, true, 3);
    memcpy(bytes + GRPC_FRAME_HEAD_SIZE, "abc", 3);
    assert_memory_equal(bytes, "\1\0\0\0\3abc", 8);
    struct slice message;
    bool is_compressed = false;
    for (size_t size = 0; size < sizeof bytes; size++) {
        struct slice s = {bytes, size};
        assert_int_equal(grpc_frame_take(&s, &is_compressed, &message), ERR_CORRUPT);
        assert_int_equal(s.size, size);
    }
    struct slice s = {bytes, sizeof bytes};
    assert_int_equal(grpc_frame_take(&s, &is_compressed, &message), ERR_OK);
    assert_true(is_compressed && slice_equal_text(message, "abc"));
    assert_int_equal(s.size, 0);
    bytes[0] = 2;
    s = (struct slice){bytes, sizeof bytes};
    assert_int_equal(grpc_frame_take(&s, &is_compressed, &message), ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_read),
        cmocka_unit_test(messages_are_decoded_and_printable),
        cmocka_unit_test(content_types_tell_grpc),
        cmocka_unit_test(names_and_codes_belong_together),
        cmocka_unit_test(frames_are_taken_whole_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
