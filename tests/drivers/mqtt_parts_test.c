/* The pure parts of the MQTT driver: packets, remembered ids, the window, filters, addresses. */
#include "drivers/mqtt_impl.h"
#include "tests/cmocka.h"

/* --- SipHash --- */

static void test_siphash(void **state)
{
    (void)state;
    uint8_t key[16];
    uint8_t text[15];
    for (uint8_t i = 0; i < 16; i++) {
        key[i] = i;
    }
    for (uint8_t i = 0; i < 15; i++) {
        text[i] = i;
    }
    /* The example of the paper, appendix A; and split anywhere it is the same. */
    for (size_t at = 0; at <= sizeof text; at++) {
        struct slice first = {text, at};
        struct slice second = {text + at, sizeof text - at};
        assert_true(mqtt_siphash(key, first, second) == UINT64_C(0xa129ca6149be45e5));
    }
}

/* --- remembered ids --- */

struct disk {
    bool has[MQTT_IDS_KEY_COUNT + 1];
    uint8_t values[MQTT_IDS_KEY_COUNT + 1][MQTT_IDS_VALUE_SIZE];
    size_t sizes[MQTT_IDS_KEY_COUNT + 1];
    size_t writes;
};

static void disk_put(struct disk *disk, uint32_t key, struct slice value)
{
    assert_true(key <= MQTT_IDS_KEY_COUNT && value.size <= MQTT_IDS_VALUE_SIZE);
    disk->has[key] = true;
    disk->sizes[key] = value.size;
    memcpy(disk->values[key], value.data, value.size);
    disk->writes++;
}

static void disk_put_head(struct disk *disk, const struct mqtt_ids *ids)
{
    uint8_t head[MQTT_IDS_HEAD_SIZE];
    mqtt_ids_head(ids, head);
    disk_put(disk, MQTT_IDS_KEY_HEAD, (struct slice){head, sizeof head});
}

static void disk_read(const struct disk *disk, struct mqtt_ids *ids, uint8_t key_byte)
{
    uint8_t key[16];
    memset(key, key_byte, sizeof key);
    assert_int_equal(mqtt_ids_init(ids, key), ERR_OK);
    for (uint32_t k = 0; k <= MQTT_IDS_KEY_COUNT; k++) {
        if (disk->has[k]) {
            mqtt_ids_restore(ids, k, (struct slice){disk->values[k], disk->sizes[k]});
        }
    }
    mqtt_ids_restored(ids);
}

static void keep(struct mqtt_ids *ids, struct disk *disk, uint16_t id, uint64_t hash)
{
    uint32_t key;
    struct slice value;
    mqtt_ids_stage(ids, id, hash, &key, &value);
    disk_put(disk, key, value);
    mqtt_ids_keep(ids);
}

static void test_ids_known(void **state)
{
    (void)state;
    struct mqtt_ids ids;
    struct disk *disk = calloc(1, sizeof *disk);
    uint32_t key;
    struct slice value;
    assert_non_null(disk);
    disk_read(disk, &ids, 1);
    assert_true(mqtt_ids_is_empty(&ids));
    uint64_t a = mqtt_ids_hash(&ids, SLICE("site/a"), SLICE("23.4"));
    assert_false(mqtt_ids_is_known(&ids, 7, a));
    mqtt_ids_stage(&ids, 7, a, &key, &value);
    assert_false(mqtt_ids_is_known(&ids, 7, a)); /* it was offered, and there was no room */
    keep(&ids, disk, 7, a);
    assert_true(mqtt_ids_is_known(&ids, 7, a));
    assert_false(mqtt_ids_is_known(&ids, 8, a));
    assert_false(mqtt_ids_is_known(&ids, 7, mqtt_ids_hash(&ids, SLICE("site/a"), SLICE("23.5"))));
    assert_true(a != mqtt_ids_hash(&ids, SLICE("site/"), SLICE("a23.4")));
    keep(&ids, disk, 7, a + 1); /* what is stored replaces what was remembered under its id */
    assert_false(mqtt_ids_is_known(&ids, 7, a));
    assert_true(mqtt_ids_is_known(&ids, 7, a + 1));
    /* An id of the same bucket. */
    keep(&ids, disk, 7 + MQTT_IDS_MAX, a + 2);
    assert_true(mqtt_ids_is_known(&ids, 7, a + 1));
    assert_true(mqtt_ids_is_known(&ids, 7 + MQTT_IDS_MAX, a + 2));
    mqtt_ids_release(&ids);
    free(disk);
}

static uint16_t id_of(uint64_t n)
{
    return (uint16_t)(1 + n % 65535);
}

/* Equal payloads, so equal hashes; ids wrap twice; a crash every so often. What is sent again of
 * the newest 4096 is known, what is new is not. */
static void test_ids_wrap(void **state)
{
    (void)state;
    struct mqtt_ids ids;
    struct disk *disk = calloc(1, sizeof *disk);
    assert_non_null(disk);
    disk_read(disk, &ids, 1);
    uint64_t hash = mqtt_ids_hash(&ids, SLICE("t"), SLICE("23.4"));
    disk_put_head(disk, &ids);
    for (uint64_t n = 0; n < 150000; n++) {
        assert_false(mqtt_ids_is_known(&ids, id_of(n), hash));
        keep(&ids, disk, id_of(n), hash);
        if (n % 1361 == 1360) {
            mqtt_ids_release(&ids);
            disk_read(disk, &ids, 2); /* the key that was stored counts */
            assert_true(ids.has_head);
            assert_true(hash == mqtt_ids_hash(&ids, SLICE("t"), SLICE("23.4")));
        }
        if (n % 977 == 976) {
            /* A group is written over as a whole, so a restart may know 15 ids less. */
            uint64_t oldest =
                n + MQTT_IDS_GROUP > MQTT_IDS_MAX ? n + MQTT_IDS_GROUP - MQTT_IDS_MAX : 0;
            for (uint64_t k = oldest; k <= n; k++) {
                assert_true(mqtt_ids_is_known(&ids, id_of(k), hash));
            }
            if (n >= MQTT_IDS_MAX) {
                assert_false(mqtt_ids_is_known(&ids, id_of(n - MQTT_IDS_MAX), hash));
            }
        }
    }
    mqtt_ids_release(&ids);
    free(disk);
}

static void test_ids_forget(void **state)
{
    (void)state;
    struct mqtt_ids ids;
    struct disk *disk = calloc(1, sizeof *disk);
    assert_non_null(disk);
    disk_read(disk, &ids, 1);
    for (uint64_t n = 0; n < 5000; n++) {
        keep(&ids, disk, id_of(n), n);
    }
    mqtt_ids_forget(&ids);
    assert_true(mqtt_ids_is_empty(&ids));
    assert_false(mqtt_ids_is_known(&ids, id_of(4999), 4999));
    disk_put_head(disk, &ids);
    mqtt_ids_release(&ids);
    disk_read(disk, &ids, 1); /* killed right after */
    assert_true(mqtt_ids_is_empty(&ids));
    for (uint64_t n = 0; n < 5000; n++) {
        assert_false(mqtt_ids_is_known(&ids, id_of(n), n));
    }
    for (uint64_t n = 0; n < 20; n++) {
        keep(&ids, disk, id_of(n), 100000 + n);
    }
    mqtt_ids_release(&ids);
    disk_read(disk, &ids, 1);
    for (uint64_t n = 0; n < 5000; n++) {
        assert_false(mqtt_ids_is_known(&ids, id_of(n), n));
        assert_int_equal(mqtt_ids_is_known(&ids, id_of(n), 100000 + n), n < 20);
    }
    mqtt_ids_release(&ids);
    free(disk);
}

/* Cursors of no sense are left out, whatever is in them. */
static void test_ids_damaged(void **state)
{
    (void)state;
    struct mqtt_ids ids;
    uint8_t key[16] = {0};
    uint8_t value[MQTT_IDS_VALUE_SIZE];
    memset(value, 0xff, sizeof value);
    assert_int_equal(mqtt_ids_init(&ids, key), ERR_OK);
    mqtt_ids_restore(&ids, 3, (struct slice){value, sizeof value}); /* group 2^32-1 is of key 255 */
    mqtt_ids_restore(&ids, 4, (struct slice){value, 10});
    mqtt_ids_restore(&ids, 100000, (struct slice){value, sizeof value});
    mqtt_ids_restore(&ids, MQTT_IDS_KEY_HEAD, (struct slice){value, 3});
    mqtt_ids_restored(&ids);
    assert_true(mqtt_ids_is_empty(&ids));
    assert_false(mqtt_ids_is_known(&ids, 0xffff, UINT64_MAX));
    mqtt_ids_release(&ids);
}

/* --- the window --- */

static void release_and_get(struct mqtt_window *w, size_t released, size_t arrived)
{
    mqtt_window_released(w, released);
    for (size_t i = 0; i < arrived; i++) {
        mqtt_window_arrived(w);
    }
}

static void test_window(void **state)
{
    (void)state;
    struct mqtt_window w = {.sent = 1000};
    assert_false(mqtt_window_is_full(&w, 0));
    assert_false(mqtt_window_is_full(&w, 999));
    assert_true(mqtt_window_is_full(&w, 1000)); /* what the broker was told */
    w = (struct mqtt_window){0};
    assert_false(mqtt_window_is_full(&w, 20)); /* nothing is known */
    release_and_get(&w, 20, 20);
    assert_true(mqtt_window_is_full(&w, 20)); /* 20 made room for 20: that is the window */
    assert_false(mqtt_window_is_full(&w, 19));
    release_and_get(&w, 20, 12);
    assert_false(mqtt_window_is_full(&w, 12)); /* more than half: it stays */
    assert_true(mqtt_window_is_full(&w, 20));
    release_and_get(&w, 20, 9);
    assert_false(mqtt_window_is_full(&w, 20)); /* less than half: forgotten */
    /* A slow source: a message now and then is no window. */
    for (int i = 0; i < 10; i++) {
        release_and_get(&w, 1, 0);
        assert_false(mqtt_window_is_full(&w, 0));
        mqtt_window_arrived(&w);
        assert_false(mqtt_window_is_full(&w, 1));
    }
    /* A smaller one than was told: brokers have limits of their own. */
    w = (struct mqtt_window){.sent = 1000};
    release_and_get(&w, 32, 32);
    assert_true(mqtt_window_is_full(&w, 32));
    release_and_get(&w, 32, 5);
    mqtt_window_restart(&w);
    assert_true(mqtt_window_is_full(&w, 32)); /* a lost connection tells nothing about it */
}

/* --- filters, addresses, names --- */

static void test_filters(void **state)
{
    (void)state;
    struct why why;
    static const char *const good[] = {"a",          "a/b",  "#",         "+",
                                       "a/+/c/#",    "/",    "$SYS/#",    "$share/g/a/+",
                                       "$share/g/#", "a//b", "\xc3\xa4/+"};
    static const char *const bad[] = {
        "",        "a#",        "a/#/b",       "a/b+",      "+a/b",   "$share/g",
        "$share/", "$share//a", "$share/g+/a", "$share/g/", "a/\xff", "##"};
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        assert_int_equal(mqtt_filter_check(good[i], &why), ERR_OK);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_int_equal(mqtt_filter_check(bad[i], &why), ERR_CONFIG);
    }
    assert_true(mqtt_filter_covers("#", "a/b"));
    assert_true(mqtt_filter_covers("a/#", "a"));
    assert_true(mqtt_filter_covers("a/#", "a/+/c"));
    assert_true(mqtt_filter_covers("a/+", "a/b"));
    assert_true(mqtt_filter_covers("a/b", "a/b"));
    assert_false(mqtt_filter_covers("a/+", "a/#"));
    assert_false(mqtt_filter_covers("a/+", "a/b/c"));
    assert_false(mqtt_filter_covers("a/b/c", "a/b"));
    assert_false(mqtt_filter_covers("a/b", "a/+"));
    assert_false(mqtt_filter_covers("#", "$SYS/x"));
    assert_false(mqtt_filter_covers("#", "$share/g/a"));
    assert_false(mqtt_filter_covers("+/a", "b/+"));
}

static void test_urls(void **state)
{
    (void)state;
    struct mqtt_url url;
    struct why why;
    assert_int_equal(mqtt_url_parse("mqtt://broker", &url, &why), ERR_OK);
    assert_false(url.is_tls);
    assert_string_equal(url.host, "broker");
    assert_int_equal(url.port, 1883);
    assert_int_equal(mqtt_url_parse("mqtts://10.0.0.1", &url, &why), ERR_OK);
    assert_true(url.is_tls);
    assert_int_equal(url.port, 8883);
    assert_int_equal(mqtt_url_parse("mqtts://[2001:db8::1]:1", &url, &why), ERR_OK);
    assert_string_equal(url.host, "2001:db8::1");
    assert_int_equal(url.port, 1);
    static const char *const bad[] = {"",           "broker",       "http://b",    "mqtt://",
                                      "mqtt://:1",  "mqtt://b:0",   "mqtt://b:",   "mqtt://b:65536",
                                      "mqtt://b/x", "mqtt://u:p@b", "mqtt://[::1", "mqtt://[::1]x",
                                      "mqtt://u@b"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_int_equal(mqtt_url_parse(bad[i], &url, &why), ERR_CONFIG);
        assert_true(why.text[0]);
    }
}

static void test_client_id(void **state)
{
    (void)state;
    struct mqtt_options o = {.protocol = MQTT_PROTOCOL_5};
    char id[MQTT_CLIENT_ID_SIZE];
    char other[MQTT_CLIENT_ID_SIZE];
    mqtt_client_id(&o, "pump-station-7", "broker", id);
    assert_string_equal(id, "weir-pump-station-7-broker");
    mqtt_client_id(&o, "site/7", "broker", id);
    assert_int_equal(strlen(id), 20);
    assert_int_equal(strspn(id, "weir0123456789abcdef"), 20);
    mqtt_client_id(&o, "site/7b", "roker", other);
    assert_string_not_equal(id, other);
    o.protocol = MQTT_PROTOCOL_311;
    mqtt_client_id(&o, "pump-7", "broker", id);
    assert_string_equal(id, "weir-pump-7-broker");
    mqtt_client_id(&o, "pump-station-7", "broker", id);
    assert_int_equal(strlen(id), 20);
    o.client_id = "mine";
    mqtt_client_id(&o, "pump-station-7", "broker", id);
    assert_string_equal(id, "mine");
}

/* --- packets --- */

/* All pieces of the input, cut every `step` bytes: their bytes again, and the last packet's id. */
static enum err scan_all(struct slice input, size_t step, struct out *bytes, size_t *packets,
                         struct mqtt_scan *scan)
{
    *scan = (struct mqtt_scan){0};
    while (input.size) {
        struct slice part;
        struct mqtt_piece piece;
        enum err e;
        assert_true(slice_take(&input, step < input.size ? step : input.size, &part));
        while ((e = mqtt_scan_next(scan, &part, &piece)) == ERR_OK) {
            out_put_slice(bytes, piece.bytes);
            *packets += piece.is_end;
        }
        if (e != ERR_AGAIN) {
            return e;
        }
    }
    return ERR_OK;
}

static void test_packets(void **state)
{
    (void)state;
    /* CONNACK, PUBLISH QoS 1 "a/b" id 0x1234 "xyz", PUBLISH QoS 0, PINGRESP, PUBACK 0x0102 */
    static const uint8_t bytes[] = {0x20, 2,    1,    0,   0x32, 10,  0,    3, 'a', '/',
                                    'b',  0x12, 0x34, 'x', 'y',  'z', 0x30, 4, 0,   1,
                                    'c',  '!',  0xd0, 0,   0x40, 2,   1,    2};
    struct slice input = {bytes, sizeof bytes};
    for (size_t step = 1; step <= sizeof bytes; step++) {
        uint8_t memory[sizeof bytes];
        struct out out = out_over(memory, sizeof memory);
        struct mqtt_scan scan;
        size_t packets = 0;
        assert_int_equal(scan_all(input, step, &out, &packets, &scan), ERR_OK);
        assert_int_equal(packets, 5);
        assert_true(slice_equal(out_slice(&out), input)); /* nothing is added or left out */
        assert_int_equal(scan.id, 0x0102);
        packets = 0;
        out.size = 0;
        assert_int_equal(scan_all((struct slice){bytes, 16}, step, &out, &packets, &scan), ERR_OK);
        assert_int_equal(scan.id, 0x1234);
    }
    static const uint8_t bad[][8] = {
        {0x00, 0},                         /* no such type */
        {0x36, 6, 0, 1, 'a', 0, 1, 'x'},   /* QoS 3 */
        {0x30, 0xff, 0xff, 0xff, 0xff, 1}, /* a length of five bytes */
        {0x32, 5, 0, 9, 'a', 0, 1},        /* a topic longer than the packet */
        {0x32, 5, 0, 1, 'a', 0, 0},        /* id 0 */
        {0x40, 1, 1},                      /* half an id */
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        uint8_t memory[8];
        struct out out = out_over(memory, sizeof memory);
        struct mqtt_scan scan;
        size_t packets = 0;
        assert_int_equal(scan_all((struct slice){bad[i], 8}, 8, &out, &packets, &scan),
                         ERR_CORRUPT);
    }
}

static void test_connack(void **state)
{
    (void)state;
    struct mqtt_connack c;
    static const uint8_t plain[] = {1, 0};
    assert_int_equal(mqtt_connack_read((struct slice){plain, 2}, false, &c), ERR_OK);
    assert_true(c.session_present && c.code == 0 && !c.has_keep_alive);
    /* Receive Maximum, a user property, Server Keep Alive 30, Reason String */
    static const uint8_t five[] = {0, 0,   19,   0x21, 0,  10,   0x26, 0, 1,   'a', 0,
                                   1, 'b', 0x13, 0,    30, 0x1f, 0,    3, 'x', 'y', 'z'};
    assert_int_equal(mqtt_connack_read((struct slice){five, sizeof five}, true, &c), ERR_OK);
    assert_true(!c.session_present && c.has_keep_alive);
    assert_int_equal(c.keep_alive_s, 30);
    assert_int_equal(mqtt_connack_read((struct slice){five, 1}, true, &c), ERR_CORRUPT);
    for (size_t size = 2; size < sizeof five; size++) {
        assert_int_equal(mqtt_connack_read((struct slice){five, size}, true, &c), ERR_OK);
    }
    for (int code = 0; code < 256; code++) {
        assert_non_null(mqtt_refusal_text((uint8_t)code));
        assert_true(code == 0 || mqtt_disconnect_text((uint8_t)code));
    }
    assert_null(mqtt_disconnect_text(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash),     cmocka_unit_test(test_ids_known),
        cmocka_unit_test(test_ids_wrap),    cmocka_unit_test(test_ids_forget),
        cmocka_unit_test(test_ids_damaged), cmocka_unit_test(test_window),
        cmocka_unit_test(test_filters),     cmocka_unit_test(test_urls),
        cmocka_unit_test(test_client_id),   cmocka_unit_test(test_packets),
        cmocka_unit_test(test_connack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
