/* The plain parts of the agent: how long to wait, how large a request may be, what is filled in when
 * packing, and an event's key. */
#include <stdlib.h>
#include <string.h>

#include "agent/backoff.h"
#include "agent/fill.h"
#include "agent/key.h"
#include "agent/link.h"
#include "tests/cmocka.h"
#include "uplink/avro/schema.h"

/* --- backoff --- */

static void waits_double_to_their_ceiling(void **state)
{
    (void)state;
    struct backoff backoff = {.ceiling_ms = 60000};
    for (unsigned i = 0; i < 100; i++) {
        int64_t most = i < 8 ? INT64_C(250) << i : 60000;
        struct backoff copy = backoff;
        assert_int_equal(backoff_next_ms(&copy, 0, 0), most / 2);
        copy = backoff;
        assert_int_equal(backoff_next_ms(&copy, 0, (uint32_t)most / 2), most);
        assert_in_range(backoff_next_ms(&backoff, 0, UINT32_MAX), most / 2, most);
    }
    backoff_clear(&backoff);
    assert_in_range(backoff_next_ms(&backoff, 0, UINT32_MAX), 125, 250);
}

static void what_the_peer_asks_for_is_kept(void **state)
{
    (void)state;
    struct backoff backoff = {.ceiling_ms = 1000};
    assert_int_equal(backoff_next_ms(&backoff, 30000, 7), 30000);
    assert_int_equal(backoff_next_ms(&backoff, INT64_MAX, 7), 3600000); /* an hour at most */
    assert_in_range(backoff_next_ms(&backoff, -5, 7), 250, 1000);
}

static void the_lowest_ceiling_is_the_first_wait(void **state)
{
    (void)state;
    struct backoff backoff = {.ceiling_ms = BACKOFF_FIRST_MS};
    for (unsigned i = 0; i < 50; i++) {
        assert_in_range(backoff_next_ms(&backoff, 0, i * 77), 125, 250);
    }
}

/* --- the link --- */

/* So many requests of the size that the link allows, one after the other, at this rate. */
static void transfer(struct link *link, uint64_t *now_ms, uint64_t rate, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t size = link_request_size(link, false);
        link_began(link, *now_ms);
        *now_ms += size * UINT64_C(1000) / rate;
        link_ended(link, *now_ms, size);
    }
}

static void requests_come_to_ten_seconds_of_the_link(void **state)
{
    (void)state;
    struct link link;
    uint64_t now_ms = 1;
    link_init(&link);
    assert_int_equal(link_request_size(&link, false), LINK_REQUEST_SIZE_START);
    transfer(&link, &now_ms, 8000, 20);
    assert_in_range(link_request_size(&link, false), 79000, 81000);
    assert_in_range(link_request_size(&link, true), 15800, 16200);
    transfer(&link, &now_ms, 800, 30); /* it became slower */
    assert_in_range(link_request_size(&link, false), 7900, 8400);
    assert_in_range(link_request_size(&link, true), 1580, 1680);
    transfer(&link, &now_ms, 10, 60);
    assert_int_equal(link_request_size(&link, false), LINK_REQUEST_SIZE_MIN);
    assert_int_equal(link_request_size(&link, true), LINK_REQUEST_SIZE_MIN);
    transfer(&link, &now_ms, 10000000, 60);
    assert_int_equal(link_request_size(&link, false), LINK_REQUEST_SIZE_MAX);
}

static void requests_grow_fourfold_at_most(void **state)
{
    (void)state;
    struct link link;
    uint64_t now_ms = 1;
    link_init(&link);
    transfer(&link, &now_ms, UINT64_C(100000000), 1);
    assert_int_equal(link_request_size(&link, false), 4 * LINK_REQUEST_SIZE_START);
}

static void failures_say_nothing_about_the_rate(void **state)
{
    (void)state;
    struct link link;
    link_init(&link);
    link_began(&link, 0);
    link_ended(&link, 1000000, 0);
    assert_int_equal(link_request_size(&link, false), LINK_REQUEST_SIZE_START);
    assert_int_equal(link.rate, 0);
}

/* Requests side by side: the rate is what all of them had together. */
static void requests_side_by_side_share_the_link(void **state)
{
    (void)state;
    struct link link;
    uint64_t now_ms = 0;
    link_init(&link);
    for (unsigned round = 0; round < 30; round++) {
        for (unsigned i = 0; i < 4; i++) {
            link_began(&link, now_ms);
        }
        for (unsigned i = 0; i < 4; i++) {
            now_ms += 1000;
            link_ended(&link, now_ms, 8000);
        }
    }
    assert_in_range(link.rate, 7900, 8100);
}

/* One is always under way, as with two backlogs: the rate that the link had an hour ago is forgotten
 * all the same. */
static void a_link_that_is_never_idle_may_become_slower(void **state)
{
    (void)state;
    struct link link;
    uint64_t now_ms = 0;
    link_init(&link);
    link_began(&link, now_ms);
    for (unsigned i = 0; i < 3600; i++) {
        link_began(&link, now_ms);
        now_ms += 1000;
        link_ended(&link, now_ms, 8000);
    }
    assert_in_range(link.rate, 7900, 8500);
    for (unsigned i = 0; i < 60; i++) {
        link_began(&link, now_ms);
        now_ms += 2000;
        link_ended(&link, now_ms, 2400);
    }
    assert_in_range(link.rate, 1150, 1400);
    link_ended(&link, now_ms, 0);
    assert_int_equal(link.under_way, 0);
}

/* --- what is filled in --- */

/* Two streams with a backlog: one request is under way at any time, for hours. */
static void a_link_that_gets_slower_is_noticed_while_it_is_busy(void **state)
{
    (void)state;
    struct link link;
    uint64_t now_ms = 1000;
    link_init(&link);
    link_began(&link, now_ms);
    while (now_ms < 10 * 3600 * 1000) {
        transfer(&link, &now_ms, 100000, 1);
    }
    assert_in_range(link.rate, 90000, 110000);
    for (uint64_t begin_ms = now_ms; now_ms < begin_ms + 3600000;) {
        transfer(&link, &now_ms, 2000, 1);
    }
    assert_in_range(link.rate, 1800, 4000);
}

static void expect_datum(const struct stored_event *event, const char *expected, size_t size)
{
    uint8_t memory[512];
    struct out out = out_over(memory, sizeof memory);
    struct slice datum;
    assert_true(fill_complete(event, "pump-7/00c0ffee", "lines", &out, &datum));
    assert_int_equal(datum.size, size);
    assert_memory_equal(datum.data, expected, size);
}

static void fields_are_filled_in_where_they_stand(void **state)
{
    (void)state;
    struct stored_event event = {.sequence = 42, .time_us = 1234567, .datum = SLICE("abcd")};
    expect_datum(&event, "abcd", 4);
    event.fill_count = 1;
    event.fills[0] = (struct fill){FILL_TIME_MILLIS, 0};
    expect_datum(&event,
                 "\xa4\x13"
                 "abcd",
                 6); /* 1234, zigzag 2468 */
    event.fills[0] = (struct fill){FILL_TIME_MICROS, 4};
    expect_datum(&event, "abcd\x8e\xda\x96\x01", 8); /* 1234567 */
    event.fills[0] = (struct fill){FILL_TIME_NANOS, 2};
    event.time_us = 1;
    expect_datum(&event,
                 "ab\xd0\x0f"
                 "cd",
                 6); /* 1000 */
    event.fill_count = 2;
    event.fills[0] = (struct fill){FILL_TIME_MILLIS, 1};
    event.fills[1] = (struct fill){FILL_ID, 1};
    event.time_us = -1; /* before 1970, and rounded down */
    expect_datum(&event, "a\x01\x30pump-7/00c0ffee/lines/42bcd", 30);
}

static void the_trust_of_a_time_is_a_word(void **state)
{
    (void)state;
    struct stored_event event = {
        .trust = TIME_PAYLOAD, .fill_count = 1, .fills = {{FILL_TIME_TRUST, 0}}};
    expect_datum(&event, "\x0epayload", 8);
    event.trust = TIME_WALL;
    expect_datum(&event,
                 "\x0a"
                 "clock",
                 6);
    event.trust = TIME_LATER;
    expect_datum(&event, "\x0alater", 6);
    event.trust = TIME_ESTIMATE;
    expect_datum(&event,
                 "\x10"
                 "estimate",
                 9);
    event.trust = TIME_BOOT; /* it is not known yet which it will be */
    assert_true(fill_needs_clock(&event));
}

static void a_small_memory_is_said(void **state)
{
    (void)state;
    uint8_t memory[6];
    struct out out = out_over(memory, sizeof memory);
    struct slice datum;
    struct stored_event event = {.datum = SLICE("abcd"), .fill_count = 1, .fills = {{FILL_ID, 0}}};
    assert_false(fill_complete(&event, "pump-7/00c0ffee", "lines", &out, &datum));
}

static void only_times_need_the_clock(void **state)
{
    (void)state;
    struct stored_event event = {.trust = TIME_BOOT, .fill_count = 1, .fills = {{FILL_ID, 0}}};
    assert_false(fill_needs_clock(&event));
    event.fills[0].kind = FILL_TIME_MICROS;
    assert_true(fill_needs_clock(&event));
    event.trust = TIME_WALL;
    assert_false(fill_needs_clock(&event));
}

/* --- keys --- */

static const char schema_text[] =
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
    "{\"name\":\"text\",\"type\":\"string\"},"
    "{\"name\":\"real\",\"type\":\"double\"},"
    "{\"name\":\"maybe\",\"type\":[\"null\",\"string\",\"long\"]},"
    "{\"name\":\"fixed\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":2}},"
    "{\"name\":\"colour\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"RED\",\"BLUE\"]"
    "}},"
    "{\"name\":\"list\",\"type\":{\"type\":\"array\",\"items\":\"int\"}},"
    "{\"name\":\"on\",\"type\":\"boolean\"},"
    "{\"name\":\"number\",\"type\":\"long\"}]}";

/* text "ab", real, maybe "x", fixed "zz", colour BLUE, list [1], on true, number -3 */
#define DATUM \
    "\x04" \
    "ab" \
    "12345678" \
    "\x02\x02x" \
    "zz" \
    "\x02" \
    "\x02\x02\x00" \
    "\x01" \
    "\x05"

static void expect_key(const struct avro_schema *schema, const char *field, struct slice datum,
                       const char *expected)
{
    uint8_t memory[64];
    struct out scratch = out_over(memory, sizeof memory);
    struct key key;
    struct why why;
    assert_int_equal(key_find(&key, schema, field, KEY_VALUE, &why), ERR_OK);
    struct slice value = key_of(&key, datum, &scratch);
    if (!expected) {
        assert_null(value.data);
        return;
    }
    assert_int_equal(value.size, strlen(expected));
    assert_memory_equal(value.data, expected, value.size);
}

static void a_key_is_the_value_of_its_field(void **state)
{
    (void)state;
    struct avro_schema *schema = NULL;
    struct slice datum = {(const uint8_t *)DATUM, sizeof DATUM - 1};
    assert_int_equal(avro_schema_parse(&schema, slice_of_text(schema_text), NULL), ERR_OK);
    expect_key(schema, "text", datum, "ab");
    expect_key(schema, "maybe", datum, "x");
    expect_key(schema, "fixed", datum, "zz");
    expect_key(schema, "colour", datum, "BLUE");
    expect_key(schema, "on", datum, "true");
    expect_key(schema, "number", datum, "-3");
    /* null, and what is cut off before the key */
    expect_key(schema, "maybe",
               (struct slice){(const uint8_t *)"\x02"
                                               "a12345678\x00",
                              11},
               NULL);
    expect_key(schema, "maybe",
               (struct slice){(const uint8_t *)"\x02"
                                               "a12345678\x04\x54",
                              12},
               "42");
    expect_key(schema, "number", (struct slice){datum.data, 9}, NULL);
    avro_schema_close(schema);
}

static void a_flag_is_a_field_that_is_true(void **state)
{
    (void)state;
    struct avro_schema *schema = NULL;
    struct key flag;
    struct why why;
    struct slice datum = {(const uint8_t *)"\x04no\x01\x02\x00", 6};
    assert_int_equal(avro_schema_parse(&schema,
                                       SLICE("{\"type\":\"record\",\"name\":\"T\",\"fields\":["
                                             "{\"name\":\"s\",\"type\":\"string\"},"
                                             "{\"name\":\"on\",\"type\":\"boolean\"},"
                                             "{\"name\":\"may\",\"type\":[\"null\",\"boolean\"]},"
                                             "{\"name\":\"or\",\"type\":[\"boolean\",\"string\"]},"
                                             "{\"name\":\"none\",\"type\":[\"null\"]}]}"),
                                       NULL),
                     ERR_OK);
    assert_int_equal(key_find(&flag, schema, "on", KEY_FLAG, &why), ERR_OK);
    assert_true(key_flag(&flag, datum));
    assert_false(key_flag(&flag, (struct slice){datum.data, 3}));
    assert_int_equal(key_find(&flag, schema, "may", KEY_FLAG, &why), ERR_OK);
    assert_false(key_flag(&flag, datum));
    assert_true(key_flag(&flag, (struct slice){(const uint8_t *)"\x00\x00\x02\x01", 4}));
    assert_false(key_flag(&flag, (struct slice){(const uint8_t *)"\x00\x01\x00", 3}));
    assert_int_equal(key_find(&flag, schema, "s", KEY_FLAG, &why), ERR_CONFIG);
    assert_int_equal(key_find(&flag, schema, "or", KEY_FLAG, &why), ERR_CONFIG);
    assert_int_equal(key_find(&flag, schema, "none", KEY_FLAG, &why), ERR_CONFIG);
    assert_int_equal(key_find(&flag, schema, "nothing", KEY_FLAG, &why), ERR_CONFIG);
    flag = (struct key){0};
    assert_false(key_flag(&flag, datum));
    avro_schema_close(schema);
}

static void not_every_field_can_be_a_key(void **state)
{
    (void)state;
    struct avro_schema *schema = NULL;
    struct key key;
    struct why why;
    assert_int_equal(avro_schema_parse(&schema, slice_of_text(schema_text), NULL), ERR_OK);
    assert_int_equal(key_find(&key, schema, "real", KEY_VALUE, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "double"));
    assert_int_equal(key_find(&key, schema, "list", KEY_VALUE, &why), ERR_CONFIG);
    assert_int_equal(key_find(&key, schema, "none", KEY_VALUE, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "no field \"none\""));
    key = (struct key){0};
    assert_null(key_of(&key, SLICE("abc"), NULL).data);
    avro_schema_close(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_to_their_ceiling),
        cmocka_unit_test(what_the_peer_asks_for_is_kept),
        cmocka_unit_test(the_lowest_ceiling_is_the_first_wait),
        cmocka_unit_test(requests_come_to_ten_seconds_of_the_link),
        cmocka_unit_test(requests_grow_fourfold_at_most),
        cmocka_unit_test(failures_say_nothing_about_the_rate),
        cmocka_unit_test(a_link_that_gets_slower_is_noticed_while_it_is_busy),
        cmocka_unit_test(requests_side_by_side_share_the_link),
        cmocka_unit_test(a_link_that_is_never_idle_may_become_slower),
        cmocka_unit_test(fields_are_filled_in_where_they_stand),
        cmocka_unit_test(the_trust_of_a_time_is_a_word),
        cmocka_unit_test(a_small_memory_is_said),
        cmocka_unit_test(only_times_need_the_clock),
        cmocka_unit_test(a_key_is_the_value_of_its_field),
        cmocka_unit_test(not_every_field_can_be_a_key),
        cmocka_unit_test(a_flag_is_a_field_that_is_true),
    };
    return cmocka_run_group_tests_name("agent/plain parts", tests, NULL, NULL);
}
