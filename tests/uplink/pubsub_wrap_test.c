/* Parts as the uplink pubsub makes them: each limit of the service at the limit and beyond, and what
 * goes wrong for want of memory. */
#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/http.h"
#include "ports/lib/deflate.h"
#include "ports/lib/zstd.h"
#include "ports/names.h"
#include "tests/fault_alloc.h"
#include "tests/uplink/pubsub_host.h"
#include "uplink/google/grpc.h"
#include "uplink/google/publish.h"
#include "uplink/google/pubsub.h"
#include "uplink/google/pubsub_wire.h"

#define ROOM (24 * 1024 * 1024)

struct scene {
    struct pubsub_options options;
    struct stream_info stream;
    struct schema_info schema;
    struct parcel parcel;
    struct batch batch;
    uint8_t *memory, *raw;
    size_t size;
};

static int scene_open(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene->options = (struct pubsub_options){.transport = PUBSUB_GRPC};
    scene->stream = (struct stream_info){.number = 3, .name = "events"};
    memcpy(scene->schema.fingerprint, "\x01\x23\x45\x67\x89\xab\xcd\xef", 8);
    scene->parcel = (struct parcel){
        .stream = 3, .layout = LAYOUT_ROWS, .key = PARCEL_KEY_FIELD, .part_count = 1};
    scene->batch = (struct batch){.parcel = &scene->parcel,
                                  .part = &scene->parcel.parts[0],
                                  .stream = &scene->stream,
                                  .schema = &scene->schema,
                                  .identity = "pump-7/0000002a"};
    scene->batch.target.request_size_max = ROOM;
    (void)snprintf(scene->batch.target.name, sizeof scene->batch.target.name,
                   "projects/p1/topics/t1");
    scene->memory = malloc(ROOM);
    scene->raw = malloc(ROOM);
    assert_true(scene->memory && scene->raw);
    *state = scene;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;
    free(scene->memory);
    free(scene->raw);
    free(scene);
    return 0;
}

static enum err wrap(struct scene *scene, const struct message *messages, size_t count)
{
    struct out o = out_over(scene->memory, ROOM);
    scene->batch.messages = messages;
    scene->batch.message_count = count;
    scene->batch.event_count = 0;
    for (size_t i = 0; i < count; i++) {
        scene->batch.event_count += messages[i].event_count;
    }
    scene->batch.first = messages[0].sequence;
    scene->batch.last = scene->batch.first + scene->batch.event_count - 1;
    enum err e = pubsub_wrap(&scene->options, &scene->batch, &o);
    scene->size = e ? 0 : o.size;
    return e;
}

static struct message message_of(uint64_t sequence, const void *data, size_t size, const char *key)
{
    struct message message = {.body = {data, size}, .sequence = sequence, .event_count = 1};
    if (key) {
        message.key = slice_of_text(key);
    }
    return message;
}

/* Group number `index`, and its messages as protobuf. */
static struct slice group_messages(struct scene *scene, size_t index, struct pubsub_group *group)
{
    size_t at = 0;
    for (size_t i = 0; i <= index; i++) {
        assert_true(pubsub_group_next(scene->memory, scene->size, &at, group));
    }
    struct slice frame = group->frame, packed, topic;
    bool is_gzip;
    struct out raw = out_over(scene->raw, ROOM);
    assert_int_equal(grpc_frame_take(&frame, &is_gzip, &packed), ERR_OK);
    assert_int_equal(is_gzip, group->is_gzip);
    if (is_gzip) {
        struct deflate_decoder *decoder;
        assert_int_equal(deflate_decoder_open(&decoder), ERR_OK);
        assert_int_equal(deflate_decode_gzip(decoder, packed, &raw), ERR_OK);
        deflate_decoder_close(decoder);
    } else {
        out_put_slice(&raw, packed);
    }
    assert_int_equal(raw.size, group->raw_size);
    struct slice rest = out_slice(&raw);
    assert_int_equal(publish_take_topic(&rest, &topic), ERR_OK);
    assert_true(slice_equal_text(topic, "projects/p1/topics/t1"));
    return rest;
}

static struct publish_message first_message(struct scene *scene)
{
    struct pubsub_group group;
    struct publish_message message;
    struct slice whole;
    struct slice rest = group_messages(scene, 0, &group);
    assert_int_equal(publish_take_message(&rest, &whole, &message), ERR_OK);
    return message;
}

static bool attribute_is(const struct publish_message *message, const char *key, const char *value)
{
    for (size_t i = 0; i < message->attribute_count; i++) {
        if (slice_equal_text(message->attributes[i].key, key)) {
            return value && slice_equal_text(message->attributes[i].value, value);
        }
    }
    return !value;
}

static size_t group_count(struct scene *scene)
{
    struct pubsub_group group;
    size_t at = 0, count = 0;
    while (pubsub_group_next(scene->memory, scene->size, &at, &group)) {
        count++;
    }
    return count;
}

static void attributes_are_as_chosen(void **state)
{
    struct scene *scene = *state;
    struct message one = message_of(41, "x", 1, "k");
    assert_int_equal(wrap(scene, &one, 1), ERR_OK);
    struct publish_message m = first_message(scene);
    assert_true(attribute_is(&m, "weir_id", "pump-7/0000002a/events/41"));
    assert_int_equal(m.attribute_count, 1);
    scene->options.attributes = PUBSUB_ATTRIBUTES_ALL;
    scene->parcel.lane = LANE_BACKFILL;
    assert_int_equal(wrap(scene, &one, 1), ERR_OK);
    m = first_message(scene);
    assert_true(attribute_is(&m, "stream", "events"));
    assert_true(attribute_is(&m, "schema", "efcdab8967452301")); /* as a number in hexadecimal */
    assert_true(attribute_is(&m, "type", "avro"));
    assert_true(attribute_is(&m, "weir_lane", "backfill"));
    scene->options.attributes = PUBSUB_ATTRIBUTES_NONE;
    assert_int_equal(wrap(scene, &one, 1), ERR_OK);
    m = first_message(scene);
    assert_int_equal(m.attribute_count, 0);
}

static void an_ordering_key_has_1024_bytes_of_text_or_is_a_hash(void **state)
{
    struct scene *scene = *state;
    char key[1026];
    memset(key, 'k', sizeof key);
    key[1024] = '\0';
    struct message one = message_of(1, "x", 1, key);
    assert_int_equal(wrap(scene, &one, 1), ERR_OK);
    assert_int_equal(first_message(scene).ordering_key.size, 1024);
    key[1024] = 'k';
    key[1025] = '\0';
    one = message_of(1, "x", 1, key);
    assert_int_equal(wrap(scene, &one, 1), ERR_OK);
    assert_int_equal(first_message(scene).ordering_key.size, 7 + 64);
    one = message_of(1, "x", 1, "\xff");
    assert_int_equal(wrap(scene, &one, 1), ERR_OK);
    /* sha256sum of the byte ff. */
    assert_true(slice_equal_text(
        first_message(scene).ordering_key,
        "sha256:a8100ae6aa1940d0b663bb31cd466142ebbdbd5187131b92d93818987832eb89"));
    one = message_of(1, "x", 1, NULL);
    assert_int_equal(wrap(scene, &one, 1), ERR_OK);
    assert_int_equal(first_message(scene).ordering_key.size, 0);
}

/* The most data that one request may have, and one byte more. */
static size_t data_size_max(const struct scene *scene)
{
    struct publish_message message = {
        .data = {NULL, pubsub_size_max(&scene->options) - 100},
        .attributes = {{SLICE("weir_id"), SLICE("pump-7/0000002a/events/1")}},
        .attribute_count = 1,
        .ordering_key = SLICE("k")};
    do {
        message.data.size++;
    } while (publish_message_size(&message) <= pubsub_size_max(&scene->options));
    return message.data.size - 1;
}

static void a_message_fits_a_request_or_is_refused(void **state)
{
    struct scene *scene = *state;
    uint8_t *data = calloc(1, PUBLISH_SIZE_MAX);
    assert_non_null(data);
    for (int64_t transport = PUBSUB_AUTO; transport <= PUBSUB_REST; transport++) {
        scene->options.transport = transport;
        uint32_t most = transport == PUBSUB_GRPC ? PUBLISH_SIZE_MAX : PUBLISH_REST_SIZE_MAX;
        size_t size = data_size_max(scene);
        struct pubsub_group group;
        struct message one = message_of(1, data, size, "k");
        assert_int_equal(wrap(scene, &one, 1), ERR_OK);
        (void)group_messages(scene, 0, &group);
        assert_true(group.raw_size <= most && group.raw_size > most - 8192);
        one = message_of(1, data, size + 1, "k");
        assert_int_equal(wrap(scene, &one, 1), ERR_FULL);
    }
    free(data);
}

/* Two messages of half the size are one request, and with a byte more two. */
static void requests_are_no_larger_than_they_may_be(void **state)
{
    struct scene *scene = *state;
    uint8_t *data = calloc(1, PUBLISH_SIZE_MAX);
    assert_non_null(data);
    scene->options.attributes = PUBSUB_ATTRIBUTES_NONE;
    scene->options.ordering = PUBSUB_ORDER_NONE;
    size_t around = 2 * (1 + 4 + 1 + 4); /* of a message of some MB: tag and size, twice */
    size_t most = pubsub_size_max(&scene->options);
    struct message two[2] = {message_of(1, data, (most - around) / 2, NULL),
                             message_of(2, data, (most - around) / 2, NULL)};
    assert_int_equal(wrap(scene, two, 2), ERR_OK);
    assert_int_equal(group_count(scene), 1);
    two[1].body.size += 1 + (most - around) % 2;
    assert_int_equal(wrap(scene, two, 2), ERR_OK);
    assert_int_equal(group_count(scene), 2);
    free(data);
}

static void a_part_is_no_larger_than_the_link_allows(void **state)
{
    struct scene *scene = *state;
    static const uint8_t data[1000] = {0};
    struct message two[2] = {message_of(1, data, sizeof data, "k"),
                             message_of(2, data, sizeof data, "k")};
    assert_int_equal(wrap(scene, two, 2), ERR_OK);
    scene->batch.target.request_size_max = (uint32_t)scene->size;
    assert_int_equal(wrap(scene, two, 2), ERR_OK);
    scene->batch.target.request_size_max--;
    assert_int_equal(wrap(scene, two, 2), ERR_FULL);
    scene->batch.target.request_size_max = 1;
    assert_int_equal(wrap(scene, two, 1), ERR_OK); /* what is one event can't be made smaller */
    scene->parcel.parts[0].assigned = true;        /* and what has gone out stays as it is */
    assert_int_equal(wrap(scene, two, 2), ERR_OK);
}

static void requests_are_compressed_where_that_is_smaller(void **state)
{
    struct scene *scene = *state;
    static uint8_t same[4000], chance[4000];
    struct pubsub_group group;
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof chance; i++) {
        x = x * 1664525 + 1013904223;
        chance[i] = (uint8_t)(x >> 24);
    }
    scene->options.compress = true;
    struct message one = message_of(1, same, sizeof same, "k");
    assert_int_equal(wrap(scene, &one, 1), ERR_OK);
    struct slice rest = group_messages(scene, 0, &group);
    assert_true(group.is_gzip && group.frame.size < 200 && rest.size > 4000);
    one = message_of(1, chance, sizeof chance, "k");
    assert_int_equal(wrap(scene, &one, 1), ERR_OK);
    (void)group_messages(scene, 0, &group);
    assert_false(group.is_gzip);
    scene->options.transport = PUBSUB_REST; /* it would have to be taken apart again */
    one = message_of(1, same, sizeof same, "k");
    assert_int_equal(wrap(scene, &one, 1), ERR_OK);
    (void)group_messages(scene, 0, &group);
    assert_false(group.is_gzip);
}

/* Two messages in columns: of 5 events, and of 3; of several keys, and so ordered by their bucket. */
static void columns_are_packed_and_say_their_range(void **state)
{
    struct scene *scene = *state;
    static uint8_t body[3000];
    uint8_t unpacked[4000];
    struct zstd_decoder *decoder;
    struct message two[2] = {message_of(11, body, sizeof body, NULL),
                             message_of(16, "tiny", 4, NULL)};
    two[0].event_count = 5;
    two[1].event_count = 3;
    scene->parcel.layout = LAYOUT_COLUMNS;
    scene->parcel.parts[0].partition = 9;
    assert_int_equal(wrap(scene, two, 2), ERR_OK);
    struct pubsub_group group;
    struct publish_message m;
    struct slice whole, rest = group_messages(scene, 0, &group);
    assert_int_equal(group_count(scene), 1);
    assert_int_equal(publish_take_message(&rest, &whole, &m), ERR_OK);
    assert_true(attribute_is(&m, "weir_id", "pump-7/0000002a/events/11"));
    assert_true(attribute_is(&m, "weir_last", "15"));
    assert_true(slice_equal_text(m.ordering_key, "pump-7/0000002a/9"));
    struct out o = out_over(unpacked, sizeof unpacked);
    assert_int_equal(zstd_decoder_open(&decoder), ERR_OK);
    assert_int_equal(zstd_decode(decoder, m.data, &o), ERR_OK);
    zstd_decoder_close(decoder);
    assert_true(m.data.size < 100 && o.size == sizeof body);
    assert_int_equal(publish_take_message(&rest, &whole, &m), ERR_OK);
    assert_true(slice_equal_text(m.data, "tiny")); /* smaller as it is */
    assert_true(attribute_is(&m, "weir_last", "18"));
    struct pubsub_sequences sequences = pubsub_sequences_of(&group);
    two[0].is_packed = true; /* by a dictionary, before */
    struct range range = pubsub_sequence_next(&sequences);
    assert_true(range.first == 11 && range.last == 15);
    range = pubsub_sequence_next(&sequences);
    assert_true(range.first == 16 && range.last == 18);
    assert_int_equal(wrap(scene, two, 1), ERR_OK);
    assert_int_equal(first_message(scene).data.size, sizeof body);
}

static void marks_are_kept_apart(void **state)
{
    struct scene *scene = *state;
    struct message messages[9];
    for (size_t i = 0; i < 9; i++) {
        messages[i] = message_of(i + 1, "x", 1, "k");
    }
    struct pubsub_group group;
    assert_int_equal(wrap(scene, messages, 9), ERR_OK);
    (void)group_messages(scene, 0, &group);
    for (uint32_t i = 0; i < 9; i++) {
        pubsub_mark_set(&group, i, (enum pubsub_mark)(i % 3));
    }
    pubsub_mark_set(&group, 4, PUBSUB_OPEN);
    for (uint32_t i = 0; i < 9; i++) {
        assert_int_equal(pubsub_mark_get(&group, i), i == 4 ? PUBSUB_OPEN : i % 3);
    }
    (void)group_messages(scene, 0, &group); /* nothing else was touched */
}

static void without_memory_nothing_is_made(void **state)
{
    struct scene *scene = *state;
    static uint8_t body[5000];
    struct message two[2] = {message_of(1, body, sizeof body, "k"),
                             message_of(2, body, sizeof body, "\xff")};
    scene->options.compress = true;
    for (uint8_t layout = LAYOUT_ROWS; layout <= LAYOUT_COLUMNS; layout++) {
        scene->parcel.layout = layout;
        unsigned n = 1;
        for (bool failed = true; failed; n++) {
            fault_alloc_set(n);
            enum err e = wrap(scene, two, 2);
            failed = fault_alloc_happened();
            fault_alloc_set(0);
            assert_true(failed ? e == ERR_OK || e == ERR_NOMEM : e == ERR_OK);
        }
        assert_true(n > 4);
    }
}

static void without_memory_it_does_not_open(void **state)
{
    (void)state;
    struct loop *loop;
    struct names *names;
    struct http *http; /* keeps libcurl's global state: making it does not survive failures */
    struct uplink_host host;
    assert_int_equal(loop_open(&loop), ERR_OK);
    assert_int_equal(names_open(&names, loop), ERR_OK);
    assert_int_equal(http_open(&http, loop, names), ERR_OK);
    pubsub_host_open(&host, loop, names, "https://127.0.0.1:1");
    setenv("CLOUDSDK_CONFIG", "/nowhere", 1);
    const struct uplink_setup setup = {
        .host = &host, .loop = loop, .names = names, .options = &host.options, .agent_id = "a"};
    unsigned n = 1;
    for (bool failed = true; failed; n++) {
        struct uplink *uplink = NULL;
        struct why why;
        fault_alloc_set(n);
        enum err e = pubsub_uplink_class.open(&uplink, &setup, &why);
        failed = fault_alloc_happened();
        fault_alloc_set(0);
        assert_true(failed ? e != ERR_OK && uplink == NULL : e == ERR_OK);
        if (!e) {
            pubsub_uplink_class.close(uplink);
        }
    }
    assert_true(n > 3);
    http_close(http);
    names_close(names);
    loop_close(loop);
}

static void topics_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *project, *topic, *stream, *name;
    } rows[] = {
        {"p1", "{stream}", "meters", "projects/p1/topics/meters"},
        {"p1", "site-{agent}.{stream}", "m", "projects/p1/topics/site-pump-7.m"},
        {NULL, "projects/p2/topics/{stream}", "abc", "projects/p2/topics/abc"},
        {"example.com:p1", "{stream}", "abc", "projects/example.com:p1/topics/abc"},
        {"p1", "{stream}", "ab", NULL},       /* three characters at least */
        {"p1", "{stream}", "1ab", NULL},      /* begins with a letter */
        {"p1", "{stream}", "google-x", NULL}, /* not with goog */
        {"p1", "{stream}", "a b c", NULL},
        {"p1", "a/{stream}", "abc", NULL},
        {NULL, "projects//topics/{stream}", "abc", NULL},
        {NULL, "projects/p1/subscriptions/{stream}", "abc", NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct pubsub_options options = {.project = rows[i].project, .topic = rows[i].topic};
        char name[TARGET_NAME_SIZE_MAX];
        struct why why = {""};
        enum err e = pubsub_topic_put(&options, rows[i].stream, "pump-7", name, &why);
        assert_int_equal(e, rows[i].name ? ERR_OK : ERR_CONFIG);
        if (!e) {
            assert_string_equal(name, rows[i].name);
        }
    }
    char stream[256];
    memset(stream, 'a', sizeof stream);
    const struct pubsub_options options = {.project = "p1", .topic = "{stream}"};
    for (size_t size = 229; size <= 231; size++) { /* 249 in all */
        char name[TARGET_NAME_SIZE_MAX];
        stream[size] = '\0';
        assert_int_equal(pubsub_topic_put(&options, stream, "", name, NULL),
                         size <= 230 ? ERR_OK : ERR_CONFIG);
        stream[size] = 'a';
    }
}

int main(void)
{
#define SCENE(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)
    const struct CMUnitTest tests[] = {
        SCENE(attributes_are_as_chosen),
        SCENE(an_ordering_key_has_1024_bytes_of_text_or_is_a_hash),
        SCENE(a_message_fits_a_request_or_is_refused),
        SCENE(requests_are_no_larger_than_they_may_be),
        SCENE(a_part_is_no_larger_than_the_link_allows),
        SCENE(requests_are_compressed_where_that_is_smaller),
        SCENE(columns_are_packed_and_say_their_range),
        SCENE(marks_are_kept_apart),
        SCENE(without_memory_nothing_is_made),
        cmocka_unit_test(without_memory_it_does_not_open),
        cmocka_unit_test(topics_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
