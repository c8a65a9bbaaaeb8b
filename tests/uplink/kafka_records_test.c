/* RecordBatch: golden bytes, round trips, what is patched at the time of sending, the
 * layout rows. */
#include "tests/cmocka.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ports/lib/deflate.h"
#include "ports/lib/zstd.h"
#include "uplink/avro/schema.h"
#include "uplink/kafka/records.h"
#include "uplink/layout/layout.h"

static const struct message two[] = {
    {.key = {(const uint8_t *)"k", 1},
     .body = {(const uint8_t *)"ab", 2},
     .sequence = 7,
     .time_us = 1000000,
     .event_count = 1},
    {.key = {NULL, 0},
     .body = {(const uint8_t *)"", 0},
     .sequence = 8,
     .time_us = 3000999,
     .event_count = 1},
};

static void batch_is_golden(void **state)
{
    (void)state;
    uint8_t memory[256];
    struct out o = out_over(memory, sizeof memory);
    struct records_options options = {0};
    assert_int_equal(records_build(&options, two, 2, &o), ERR_OK);
    struct records_numbers numbers = {
        .producer_id = 0x0102030405060708, .epoch = 3, .base_sequence = 9, .sent_ms = 1000};
    records_patch(o.data, o.size, &numbers);
    static const uint8_t head[] = {0,    0,    0,    0,    0, 0, 0, 0, /* base offset */
                                   0,    0,    0,    66,               /* length */
                                   0xff, 0xff, 0xff, 0xff, 2};         /* leader epoch, magic */
    static const uint8_t rest[] = {0,  0, 0, 0, 0, 1,                  /* attributes, last delta */
                                   0,  0, 0, 0, 0, 0,   3, 0xe8,       /* base time */
                                   0,  0, 0, 0, 0, 0,   3, 0xe8,       /* max time */
                                   1,  2, 3, 4, 5, 6,   7, 8,    0,   3, /* producer id, epoch */
                                   0,  0, 0, 9, 0, 0,   0, 2,            /* sequence, count */
                                   18, 0, 0, 0, 2, 'k', 4, 'a',  'b', 0, 12, 0, 0, 2, 1, 0, 0};
    assert_int_equal(o.size, sizeof head + 4 + sizeof rest);
    assert_memory_equal(o.data, head, sizeof head);
    assert_memory_equal(o.data + 21, rest, sizeof rest);
    struct records_head parsed;
    assert_int_equal(records_head_parse(out_slice(&o), &parsed), ERR_OK);
    o.data[o.size - 1] ^= 1;
    assert_int_equal(records_head_parse(out_slice(&o), &parsed), ERR_CORRUPT);
}

static void check_records(struct slice records, bool headers, bool event_time)
{
    struct record record;
    assert_int_equal(records_next(&records, &record), ERR_OK);
    assert_true(slice_equal_text(record.key, "k") && slice_equal_text(record.body, "ab"));
    assert_int_equal(record.header_count, headers);
    if (headers) {
        assert_true(slice_equal_text(record.header_name, "weir_id"));
        assert_true(slice_equal_text(record.header_value, "a/0badcafe/s/7"));
    }
    assert_int_equal(records_next(&records, &record), ERR_OK);
    assert_null(record.key.data);
    assert_non_null(record.body.data);
    assert_int_equal(record.offset_delta, 1);
    assert_int_equal(record.time_delta_ms, event_time ? 2000 : 0);
    assert_int_equal(records_next(&records, &record), ERR_CLOSED);
}

static void batches_round_trip(void **state)
{
    (void)state;
    struct zstd_decoder *decoder;
    assert_int_equal(zstd_decoder_open(&decoder), ERR_OK);
    for (unsigned kind = 0; kind < 8; kind++) {
        bool headers = kind & 1, event_time = kind & 2, packed = kind & 4;
        struct records_options options = {.compression_level = packed ? 3 : 0,
                                          .event_time = event_time,
                                          .identity = headers ? "a/0badcafe" : NULL,
                                          .stream_name = "s"};
        uint8_t memory[512], plain_memory[512];
        struct out o = out_over(memory, sizeof memory);
        assert_int_equal(records_build(&options, two, 2, &o), ERR_OK);
        struct records_numbers numbers = {.sent_ms = 77000, .event_time = event_time};
        records_patch(o.data, o.size, &numbers);
        struct records_head head;
        assert_int_equal(records_head_parse(out_slice(&o), &head), ERR_OK);
        assert_int_equal(head.attributes, packed ? 4 : 0);
        assert_int_equal(head.base_time_ms, event_time ? 1000 : 77000);
        assert_int_equal(head.max_time_ms, event_time ? 3000 : 77000);
        struct out plain = out_over(plain_memory, sizeof plain_memory);
        if (packed) {
            assert_int_equal(zstd_decode(decoder, head.records, &plain), ERR_OK);
        } else {
            out_put_slice(&plain, head.records);
        }
        check_records(out_slice(&plain), headers, event_time);
    }
    zstd_decoder_close(decoder);
}

static size_t size_by(int level, int small_level, struct slice body)
{
    static uint8_t memory[16384];
    struct message message = {.body = body, .event_count = 1};
    struct records_options options = {.compression_level = level, .small_level = small_level};
    struct out o = out_over(memory, sizeof memory);
    assert_int_equal(records_build(&options, &message, 1, &o), ERR_OK);
    return o.size;
}

/* What is small is compressed harder, what is not as ever. */
static void small_batches_are_pressed_harder(void **state)
{
    (void)state;
    uint8_t text[RECORDS_SMALL_SIZE];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (uint8_t)(i * i / 7 % 41 * (i % 3 + 1));
    }
    struct slice small = {text, sizeof text - 16}, large = {text, sizeof text};
    assert_true(size_by(19, 0, small) < size_by(1, 0, small));
    assert_int_equal(size_by(1, 19, small), size_by(19, 0, small));
    assert_int_equal(size_by(1, 19, large), size_by(1, 0, large));
    assert_int_equal(size_by(0, 19, small), size_by(0, 0, small));
}

/* A key without a value, and headers that are the same for each record. */
static void tombstones_and_headers(void **state)
{
    (void)state;
    uint8_t memory[256], header_memory[64];
    struct out headers = out_over(header_memory, sizeof header_memory);
    records_header_put(&headers, SLICE("site"), SLICE("north"));
    records_header_put(&headers, SLICE("e"), SLICE(""));
    struct message messages[] = {{.key = SLICE("k"), .sequence = 7, .event_count = 1},
                                 {.key = SLICE("k"), .body = SLICE("x"), .sequence = 8}};
    for (unsigned kind = 0; kind < 4; kind++) {
        bool identity = kind & 1, packed = kind & 2;
        struct records_options options = {.compression_level = packed ? 3 : 0,
                                          .identity = identity ? "a/1" : NULL,
                                          .stream_name = "s",
                                          .headers = out_slice(&headers),
                                          .header_count = 2};
        struct out o = out_over(memory, sizeof memory);
        assert_int_equal(records_build(&options, messages, 2, &o), ERR_OK);
        if (kind == 0) {
            static const uint8_t rest[] = {42,  0,   0,   0,   2,   'k', 1,   4, /* value -1 */
                                           8,   's', 'i', 't', 'e', 10,  'n', 'o',
                                           'r', 't', 'h', 2,   'e', 0};
            assert_memory_equal(o.data + RECORDS_HEAD_SIZE, rest, sizeof rest);
        }
        struct records_numbers numbers = {.sent_ms = 1};
        records_patch(o.data, o.size, &numbers);
        struct records_head head;
        assert_int_equal(records_head_parse(out_slice(&o), &head), ERR_OK);
        if (packed) {
            continue;
        }
        struct record record;
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(records_next(&head.records, &record), ERR_OK);
            assert_true(slice_equal_text(record.key, "k"));
            assert_int_equal(record.body.data == NULL, i == 0);
            assert_int_equal(record.header_count, identity ? 3 : 2);
            assert_true(slice_equal_text(record.header_name, identity ? "weir_id" : "site"));
        }
    }
}

static void small_room_overflows(void **state)
{
    (void)state;
    uint8_t memory[256];
    struct records_options options = {0};
    for (size_t room = 0; room < 61 + 17; room++) {
        struct out o = out_over(memory, room);
        assert_int_equal(records_build(&options, two, 2, &o), ERR_FULL);
    }
}

static void sequences_go_round(void **state)
{
    (void)state;
    assert_int_equal(records_sequence_add(0, 5), 5);
    assert_int_equal(records_sequence_add(INT32_MAX, 1), 0);
    assert_int_equal(records_sequence_add(INT32_MAX - 2, 5), 2);
}

static void rows_lays_out(void **state)
{
    (void)state;
    struct schema_info schema = {.number = 1};
    uint8_t memory[16];
    struct out room = out_over(memory, sizeof memory);
    struct message messages[3];
    struct layout_setup setup = {
        .layout = LAYOUT_ROWS, .schema = &schema, .prefix = SLICE("PP"), .record_size_max = 8};
    struct layout_builder *builder;
    assert_int_equal(layout_begin(&builder, &setup, &room, messages, 3), ERR_OK);
    struct layout_row row = {
        .key = SLICE("k"), .datum = SLICE("12345"), .sequence = 4, .time_us = 5};
    assert_int_equal(layout_add(builder, &row), ERR_OK);
    row.datum = SLICE("123456"); /* 2 + 1 + 6: over record_size_max */
    assert_int_equal(layout_add(builder, &row), ERR_REJECTED);
    row.datum = SLICE("abcde");
    assert_int_equal(layout_add(builder, &row), ERR_OK);
    assert_int_equal(layout_add(builder, &row), ERR_FULL); /* 2 bytes of room are left */
    row.is_tombstone = true;
    assert_int_equal(layout_add(builder, &row), ERR_OK);
    size_t count;
    uint32_t per_record;
    assert_int_equal(layout_finish(builder, &count, &per_record), ERR_OK);
    layout_close(builder);
    assert_int_equal(count, 3);
    assert_int_equal(per_record, 1);
    assert_true(slice_equal_text(messages[2].key, "k"));
    assert_null(messages[2].body.data);
    assert_int_equal(messages[2].body.size, 0);
    assert_true(slice_equal_text(messages[0].body, "PP12345"));
    assert_true(slice_equal_text(messages[1].body, "PPabcde"));
    assert_int_equal(messages[0].sequence, 4);
}

/* Each datum that zlib makes smaller, and the header says so; no message grows. */
static void rows_by_zlib(void **state)
{
    (void)state;
    struct schema_info schema = {.number = 1};
    struct deflate_encoder *zlib;
    uint8_t memory[200], again[64];
    char many[61] = "";
    struct out room = out_over(memory, sizeof memory), packed = out_over(again, sizeof again);
    struct message messages[4];
    assert_int_equal(deflate_encoder_open(&zlib, 6), ERR_OK);
    struct layout_setup setup = {.layout = LAYOUT_ROWS,
                                 .schema = &schema,
                                 .prefix = {(const uint8_t *)"\3\0uuuuuuuuuuuuuuuu", 18},
                                 .record_size_max = 78,
                                 .zlib = zlib};
    struct layout_builder *builder;
    assert_int_equal(layout_begin(&builder, &setup, &room, messages, 4), ERR_OK);
    memset(many, 'm', sizeof many - 1);
    struct layout_row row = {.datum = slice_of_text(many)};
    assert_int_equal(layout_add(builder, &row), ERR_OK);
    row.datum = SLICE("0123456789");
    assert_int_equal(layout_add(builder, &row), ERR_OK);
    row.datum = (struct slice){NULL, 0};
    assert_int_equal(layout_add(builder, &row), ERR_OK);
    row.key = SLICE("k");
    row.is_tombstone = true;
    assert_int_equal(layout_add(builder, &row), ERR_OK);
    layout_close(builder);
    assert_int_equal(deflate_encode_zlib(zlib, slice_of_text(many), &packed), ERR_OK);
    assert_int_equal(messages[0].body.size, 18 + packed.size);
    assert_memory_equal(messages[0].body.data, "\3\5uuuuuuuuuuuuuuuu", 18);
    assert_memory_equal(messages[0].body.data + 18, again, packed.size);
    assert_int_equal(messages[1].body.size, 28);
    assert_memory_equal(messages[1].body.data, "\3\0uuuuuuuuuuuuuuuu0123456789", 28);
    assert_int_equal(messages[2].body.size, 18);
    assert_null(messages[3].body.data);
    assert_int_equal(room.size, 18 + packed.size + 28 + 18);
    deflate_encoder_close(zlib);
}

/* What is refused leaves no trace in the memory of those before it. */
static void json_lays_out(void **state)
{
    (void)state;
    struct schema_info schema = {.number = 1};
    struct avro_schema *parsed;
    uint8_t memory[20];
    struct out room = out_over(memory, sizeof memory);
    struct message messages[4];
    assert_int_equal(avro_schema_parse(&parsed, SLICE("[\"null\",\"string\"]"), NULL), ERR_OK);
    struct layout_setup setup = {.layout = LAYOUT_JSON,
                                 .schema = &schema,
                                 .record = avro_schema_root(parsed),
                                 .prefix = SLICE("PP"), /* is not used */
                                 .record_size_max = 9};
    struct layout_builder *builder;
    assert_int_equal(layout_begin(&builder, &setup, &room, messages, 4), ERR_OK);
    struct layout_row row = {.key = SLICE("k"), .datum = SLICE("\2\14abcdef"), .sequence = 4};
    assert_int_equal(layout_add(builder, &row), ERR_OK);
    row.datum = SLICE("\2\16abcdefg"); /* 1 + 9: over record_size_max */
    assert_int_equal(layout_add(builder, &row), ERR_REJECTED);
    row.datum = SLICE("\2\14abcdefg"); /* a byte is left over */
    assert_int_equal(layout_add(builder, &row), ERR_REJECTED);
    row.datum = SLICE("\4\14abcdef"); /* no such branch */
    assert_int_equal(layout_add(builder, &row), ERR_REJECTED);
    row.datum = (struct slice){(const uint8_t *)"", 1};
    assert_int_equal(layout_add(builder, &row), ERR_OK);
    row.datum = SLICE("\2\14ghijkl");
    assert_int_equal(layout_add(builder, &row), ERR_OK);
    assert_int_equal(layout_add(builder, &row), ERR_FULL); /* no room is left */
    row.is_tombstone = true;
    assert_int_equal(layout_add(builder, &row), ERR_OK);
    assert_int_equal(layout_add(builder, &row), ERR_FULL); /* nor a message */
    layout_close(builder);
    assert_true(slice_equal_text(messages[0].body, "\"abcdef\""));
    assert_true(slice_equal_text(messages[1].body, "null"));
    assert_true(slice_equal_text(messages[2].body, "\"ghijkl\""));
    assert_null(messages[3].body.data);
    setup.record = NULL; /* a schema of another version */
    row.is_tombstone = false;
    assert_int_equal(layout_begin(&builder, &setup, &room, messages, 4), ERR_OK);
    assert_int_equal(layout_add(builder, &row), ERR_REJECTED);
    layout_close(builder);
    avro_schema_close(parsed);
}

/* Also as Kafka's records: the letter's own headers behind those of all. */
static void letters_lay_out(void **state)
{
    (void)state;
    struct schema_info schema = {.number = 1};
    struct avro_schema *parsed;
    uint8_t memory[64], wire[256];
    struct out room = out_over(memory, sizeof memory), records = out_over(wire, sizeof wire);
    struct message messages[3];
    struct slice text =
        SLICE("{\"type\":\"record\",\"name\":\"L\",\"fields\":[{\"name\":\"reason\",\"type\":"
              "\"string\"},{\"name\":\"n\",\"type\":[\"null\",\"long\"]},{\"name\":\"body\","
              "\"type\":\"bytes\"},{\"name\":\"size\",\"type\":\"long\"}]}");
    assert_int_equal(avro_schema_parse(&parsed, text, NULL), ERR_OK);
    struct layout_setup setup = {.layout = LAYOUT_LETTER,
                                 .schema = &schema,
                                 .record = avro_schema_root(parsed),
                                 .prefix = SLICE("PP"), /* is not used */
                                 .record_size_max = 40};
    struct layout_builder *builder;
    assert_int_equal(layout_begin(&builder, &setup, &room, messages, 3), ERR_OK);
    struct layout_row row = {.datum = SLICE("\4no\0\4{}\4"), .sequence = 4, .time_us = 5};
    assert_int_equal(layout_add(builder, &row), ERR_OK);
    row.datum = SLICE("\4no\0\4{}"); /* the size lacks */
    assert_int_equal(layout_add(builder, &row), ERR_REJECTED);
    row.datum = SLICE("\4no\0\4{}\4\4"); /* a byte is left over */
    assert_int_equal(layout_add(builder, &row), ERR_REJECTED);
    row.datum = SLICE("\0\2\24\60"
                      "123456789012345678901234\4"); /* over record_size_max: is cut */
    assert_int_equal(layout_add(builder, &row), ERR_OK);
    row.datum = SLICE("\6why\0\4{}\4");
    assert_int_equal(layout_add(builder, &row), ERR_FULL); /* no room is left */
    layout_close(builder);
    assert_true(slice_equal_text(messages[0].body, "{}"));
    assert_int_equal(messages[0].header_count, 2); /* null is none */
    assert_true(slice_equal_text(messages[0].headers, "\13weir_reason\2no\11weir_size\0012"));
    assert_true(slice_equal_text(messages[1].body, "12345678901234")); /* 40 - 22 - 4 */
    assert_int_equal(messages[1].header_count, 2);                     /* nor is empty text */
    assert_true(slice_equal_text(messages[1].headers, "\6weir_n\00210\11weir_size\0012"));
    uint8_t common[16];
    struct out headers = out_over(common, sizeof common);
    records_header_put(&headers, SLICE("a"), SLICE("b"));
    struct records_options options = {.headers = out_slice(&headers), .header_count = 1};
    assert_int_equal(records_build(&options, messages, 2, &records), ERR_OK);
    struct records_numbers numbers = {.producer_id = 1};
    records_patch(records.data, records.size, &numbers);
    struct records_head head;
    assert_int_equal(records_head_parse(out_slice(&records), &head), ERR_OK);
    struct slice expected = SLICE("\116\0\0\0\1\4{}\6\2a\2b\26weir_reason\4no\22weir_size\0022");
    assert_memory_equal(head.records.data, expected.data, expected.size);
    struct record record;
    assert_int_equal(records_next(&head.records, &record), ERR_OK);
    assert_int_equal(records_next(&head.records, &record), ERR_OK);
    assert_int_equal(record.header_count, 3);
    assert_int_equal(records_next(&head.records, &record), ERR_CLOSED);
    setup.record = avro_schema_root(parsed)->fields[0].node; /* no record */
    assert_int_equal(layout_begin(&builder, &setup, &room, messages, 3), ERR_OK);
    assert_int_equal(layout_add(builder, &row), ERR_REJECTED);
    layout_close(builder);
    avro_schema_close(parsed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_is_golden),
        cmocka_unit_test(batches_round_trip),
        cmocka_unit_test(small_room_overflows),
        cmocka_unit_test(sequences_go_round),
        cmocka_unit_test(json_lays_out),
        cmocka_unit_test(rows_lays_out),
        cmocka_unit_test(rows_by_zlib),
        cmocka_unit_test(tombstones_and_headers),
        cmocka_unit_test(small_batches_are_pressed_harder),
        cmocka_unit_test(letters_lay_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
