/* The layout `columns`: the worked vector of the format's description, byte for byte; both bodies; groups
 * of rows; what does not fit. */
#include "uplink/layout/columns.h"

#include "ports/lib/zstd.h"
#include "tests/cmocka.h"
#include "tests/uplink/columns_dictionary.h"
#include "uplink/avro/decode.h"
#include "uplink/avro/encode.h"
#include "uplink/layout/layout.h"

#define ROW_MAX 4096
#define MEMORY_SIZE ((size_t)4 * 1024 * 1024)

struct scene {
    struct avro_schema *schema;
    struct columns_plan *plan;
    struct columns_work *work;
    struct out datums;
    struct message rows[ROW_MAX];
    uint32_t count;
    struct out text; /* what was decoded, line by line */
    struct out record;
    uint64_t sequences[ROW_MAX];
    uint32_t taken;
    struct columns_head head;
};

static struct scene *scene_open(const char *schema)
{
    struct scene *s = calloc(1, sizeof *s);
    struct why why = {""};
    assert_non_null(s);
    enum err e = avro_schema_parse(&s->schema, slice_of_text(schema), &why);
    if (e) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(columns_plan_open(&s->plan, s->schema), ERR_OK);
    assert_int_equal(columns_work_open(&s->work, COLUMNS_WORK_SIZE), ERR_OK);
    s->datums = out_over(malloc(MEMORY_SIZE), MEMORY_SIZE);
    s->text = out_over(malloc(MEMORY_SIZE), MEMORY_SIZE);
    s->record = out_over(malloc(MEMORY_SIZE), MEMORY_SIZE);
    return s;
}

static void scene_close(struct scene *s)
{
    columns_work_close(s->work);
    columns_plan_close(s->plan);
    avro_schema_close(s->schema);
    free(s->datums.data);
    free(s->text.data);
    free(s->record.data);
    free(s);
}

static void add(struct scene *s, uint64_t sequence, const char *json)
{
    size_t before = s->datums.size;
    struct why why = {""};
    assert_true(s->count < ROW_MAX);
    if (avro_encode_json(s->schema, slice_of_text(json), &s->datums, &why)) {
        fail_msg("%s", why.text);
    }
    s->rows[s->count++] =
        (struct message){.body = {s->datums.data + before, s->datums.size - before},
                         .sequence = sequence,
                         .event_count = 1};
}

static enum err note_head(void *context, const struct columns_head *head)
{
    struct scene *s = context;
    s->head = *head;
    s->head.schema_id = (struct slice){NULL, head->schema_id.size};
    return ERR_OK;
}

static enum err note_row(void *context, struct slice datum, uint64_t sequence)
{
    struct scene *s = context;
    assert_true(s->taken < ROW_MAX);
    s->sequences[s->taken++] = sequence;
    assert_int_equal(avro_decode_json(avro_schema_root(s->schema), &datum, &s->text, NULL), ERR_OK);
    assert_int_equal(datum.size, 0);
    out_put_byte(&s->text, '\n');
    return ERR_OK;
}

static enum err decode(struct scene *s, struct slice record, struct why *why)
{
    struct columns_taker taker = {.head = note_head, .row = note_row, .context = s};
    s->taken = 0;
    s->text.size = 0;
    return columns_decode(s->plan, record, COLUMNS_VALUE_MAX, &taker, why);
}

static void encode(struct scene *s, const struct columns_setup *setup, enum columns_body body)
{
    s->record.size = 0;
    assert_int_equal(columns_encode(setup, s->rows, s->count, body, &s->record), ERR_OK);
}

/* What was decoded is what was encoded. */
static void check_same(struct scene *s, struct slice record)
{
    struct why why = {""};
    struct out expected = out_over(malloc(MEMORY_SIZE), MEMORY_SIZE);
    enum err e = decode(s, record, &why);
    if (e) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(s->taken, s->count);
    for (uint32_t i = 0; i < s->count; i++) {
        struct slice datum = s->rows[i].body;
        assert_int_equal(avro_decode_json(avro_schema_root(s->schema), &datum, &expected, NULL),
                         ERR_OK);
        out_put_byte(&expected, '\n');
        assert_int_equal(s->sequences[i], s->rows[i].sequence);
    }
    assert_true(slice_equal(out_slice(&expected), out_slice(&s->text)));
    free(expected.data);
}

static const char reading[] =
    "{\"type\":\"record\",\"name\":\"Reading\",\"fields\":[{\"name\":\"ts\",\"type\":{\"type\":"
    "\"long\","
    "\"logicalType\":\"timestamp-millis\"}},{\"name\":\"device\",\"type\":\"string\","
    "\"weir.values\":[\"north\",\"south\"]},{\"name\":\"temp\",\"type\":[\"null\",\"double\"]}]}";

static void add_readings(struct scene *s)
{
    add(s, 500, "{\"ts\":1700000000000,\"device\":\"north\",\"temp\":{\"double\":23.47}}");
    add(s, 501, "{\"ts\":1700000001000,\"device\":\"south\",\"temp\":{\"double\":23.5}}");
    add(s, 502, "{\"ts\":1700000002000,\"device\":\"south\",\"temp\":null}");
    add(s, 503, "{\"ts\":1700000003000,\"device\":\"east\",\"temp\":{\"double\":-0.0}}");
}

static void test_worked_vector(void **state)
{
    static const uint8_t expected[] = {
        0x00, 0x0e, 0x00, 0x08, 0x32, 0xd1, 0x0f, 0x0c, 0x04, 0x80, 0xa0, 0xab, 0xfe, 0xf9,
        0x62, 0xd0, 0x0f, 0x00, 0x00, 0x00, 0x02, 0x02, 0x04, 0x00, 0x02, 0x02, 0x00, 0x02,
        0x44, 0x02, 0xd6, 0x24, 0x06, 0x00, 0x00, 0x00, 0x00, 0x80, 0x80, 0x80, 0x80, 0x80,
        0x80, 0xc0, 0xc8, 0x7f, 0x00, 0x02, 0x08, 0x65, 0x61, 0x73, 0x74, 0x00, 0x00, 0x00};
    static const uint8_t id[] = {0, 0, 0, 7};
    struct scene *s = scene_open(reading);
    struct columns_setup setup = {.plan = s->plan, .work = s->work, .schema_id = {id, sizeof id}};
    (void)state;
    add_readings(s);
    for (int again = 0; again < 2; again++) {
        encode(s, &setup, COLUMNS_AS_COLUMNS);
        assert_int_equal(s->record.size, sizeof expected);
        assert_memory_equal(s->record.data, expected, sizeof expected);
    }
    check_same(s, (struct slice){expected, sizeof expected});
    assert_false(s->head.is_rows);
    assert_int_equal(s->head.count, 4);
    scene_close(s);
}

static void test_bodies(void **state)
{
    struct scene *s = scene_open(reading);
    static const uint8_t uuid[16] = {1, 2, 3};
    const struct slice ids[] = {{NULL, 0}, {uuid, sizeof uuid}};
    (void)state;
    add_readings(s);
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        struct columns_setup setup = {
            .plan = s->plan, .work = s->work, .schema_id = ids[i], .agent = SLICE("a/00000001")};
        for (enum columns_body body = COLUMNS_BETTER; body <= COLUMNS_AS_ROWS; body++) {
            encode(s, &setup, body);
            check_same(s, out_slice(&s->record));
            assert_int_equal(s->head.is_rows, body == COLUMNS_AS_ROWS);
            assert_true(slice_equal(s->head.agent, setup.agent));
            assert_int_equal(s->head.schema_id.size, i ? 16 : 8);
        }
    }
    scene_close(s);
}

static const struct {
    const char *schema;
    const char *obstacle; /* NULL: columns */
} plans[] = {
    {"\"null\"", NULL},
    {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"r\",\"type\":[\"null\",\"R\"]}]}",
     "it is recursive"},
    {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"r\",\"type\":\"string\","
     "\"weir.values\":[1]}]}",
     "a list of known strings holds something else, or over 16384 bytes"},
    {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"r\",\"type\":\"string\","
     "\"weir\\u002evalues\":\"x\"}]}",
     "a list of known strings is not an array of at most 2048 strings"},
    {"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":2,\"scale\":3}",
     "a decimal whose precision, scale or size is not valid"},
    {"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":2,\"scale\":1}", NULL},
};

static void test_plans(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(plans); i++) {
        struct scene *s = scene_open(plans[i].schema);
        const char *obstacle = columns_plan_obstacle(s->plan);
        if (plans[i].obstacle) {
            assert_string_equal(obstacle ? obstacle : "", plans[i].obstacle);
        } else {
            assert_null(obstacle);
        }
        scene_close(s);
    }
}

/* Rows of a recursive schema go as rows. */
static void test_recursive(void **state)
{
    struct scene *s = scene_open(plans[1].schema);
    struct columns_setup setup = {.plan = s->plan, .work = s->work};
    (void)state;
    add(s, 1, "{\"r\":{\"R\":{\"r\":null}}}");
    add(s, 5, "{\"r\":null}");
    assert_int_equal(columns_check(s->plan, s->rows[0].body), ERR_OK);
    encode(s, &setup, COLUMNS_BETTER);
    check_same(s, out_slice(&s->record));
    assert_true(s->head.is_rows);
    scene_close(s);
}

/* --- as a layout --- */

struct built {
    struct message messages[ROW_MAX];
    struct out memory;
    size_t count;
    uint32_t group;
};

static enum err build(struct scene *s, struct layout_setup *setup, struct built *part)
{
    struct layout_builder *builder = NULL;
    struct schema_info info = {.number = 1};
    setup->layout = LAYOUT_COLUMNS;
    setup->schema = &info;
    setup->plan = s->plan;
    setup->work = s->work;
    part->memory.size = 0;
    part->memory.overflow = false;
    assert_int_equal(layout_begin(&builder, setup, &part->memory, part->messages, ROW_MAX), ERR_OK);
    enum err e = ERR_OK;
    for (uint32_t i = 0; !e && i < s->count; i++) {
        struct layout_row row = {
            .datum = s->rows[i].body, .sequence = s->rows[i].sequence, .time_us = (int64_t)i};
        e = layout_add(builder, &row);
    }
    e = e ? e : layout_finish(builder, &part->count, &part->group);
    layout_close(builder);
    return e;
}

static void check_part(struct scene *s, const struct layout_setup *setup, const struct built *part)
{
    uint32_t seen = 0;
    for (size_t k = 0; k < part->count; k++) {
        const struct message *m = &part->messages[k];
        struct slice record = m->body;
        struct why why = {""};
        assert_true(record.size <= setup->record_size_max);
        assert_true(slice_starts_with(record, setup->prefix));
        record.data += setup->prefix.size;
        record.size -= setup->prefix.size;
        assert_int_equal(decode(s, record, &why), ERR_OK);
        assert_int_equal(m->event_count, s->taken);
        assert_true(s->taken <= part->group);
        assert_int_equal(m->sequence, s->sequences[0]);
        assert_int_equal(m->time_us, seen);
        for (uint32_t i = 0; i < s->taken; i++) {
            assert_int_equal(s->sequences[i], s->rows[seen++].sequence);
        }
    }
    assert_int_equal(seen, s->count);
}

static void test_groups(void **state)
{
    struct scene *s = scene_open(reading);
    struct built *part = calloc(1, sizeof *part);
    struct built *again = calloc(1, sizeof *again);
    (void)state;
    part->memory = out_over(malloc(MEMORY_SIZE), MEMORY_SIZE);
    again->memory = out_over(malloc(MEMORY_SIZE), MEMORY_SIZE);
    for (uint64_t i = 0; i < 2500; i++) {
        char json[160];
        uint64_t noise = i * 2654435761U % 997;
        (void)snprintf(json, sizeof json,
                       "{\"ts\":%llu,\"device\":\"d%llu\",\"temp\":{\"double\":%llu.%llu}}",
                       (unsigned long long)(1700000000000 + i * 1000 + noise % 3),
                       (unsigned long long)(noise % 7), (unsigned long long)(noise % 40),
                       (unsigned long long)(noise % 10));
        add(s, 1000 + i, json);
    }
    const struct {
        uint32_t size_max;
        uint32_t event_max;
    } limits[] = {{1000000, 0}, {1000000, 300}, {1200, 0}, {200, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(limits); i++) {
        struct layout_setup setup = {.prefix = SLICE("\0\0\0\0\1"),
                                     .record_size_max = limits[i].size_max,
                                     .events_per_record_max = limits[i].event_max};
        assert_int_equal(build(s, &setup, part), ERR_OK);
        check_part(s, &setup, part);
        setup.events_per_record = part->group;
        assert_int_equal(build(s, &setup, again), ERR_OK);
        assert_int_equal(part->count, again->count);
        assert_true(slice_equal(out_slice(&part->memory), out_slice(&again->memory)));
    }
    free(part->memory.data);
    free(again->memory.data);
    free(part);
    free(again);
    scene_close(s);
}

/* A large event that nothing makes smaller, in the memory that the agent has: its row body fits. */
static void test_large(void **state)
{
    const size_t sizes[] = {600000, 800000, 1000000};
    struct built *part = calloc(1, sizeof *part);
    (void)state;
    part->memory = out_over(malloc(2 * 1024 * 1024), 2 * 1024 * 1024);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct scene *s = scene_open("{\"type\":\"record\",\"name\":\"R\",\"fields\":["
                                     "{\"name\":\"b\",\"type\":\"bytes\"}]}");
        struct layout_setup setup = {.record_size_max = 1048000};
        uint64_t noise = 1;
        out_put_varint(&s->datums, (int64_t)sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++) {
            noise = noise * UINT64_C(6364136223846793005) + 1;
            out_put_byte(&s->datums, (uint8_t)(noise >> 56));
        }
        s->rows[s->count++] =
            (struct message){.body = out_slice(&s->datums), .sequence = 1, .event_count = 1};
        assert_int_equal(build(s, &setup, part), ERR_OK);
        check_part(s, &setup, part);
        scene_close(s);
    }
    free(part->memory.data);
    free(part);
}

/* What was cut stands: by a version that needs more memory for it as well. */
static void test_again_in_less_memory(void **state)
{
    struct scene *s = scene_open(reading);
    struct built *part = calloc(1, sizeof *part);
    struct layout_setup setup = {.record_size_max = 1000000};
    (void)state;
    part->memory = out_over(malloc(MEMORY_SIZE), MEMORY_SIZE);
    for (uint64_t i = 0; i < 2000; i++) {
        char json[160];
        (void)snprintf(
            json, sizeof json, "{\"ts\":%llu,\"device\":\"d%llu\",\"temp\":{\"double\":%llu.5}}",
            (unsigned long long)i, (unsigned long long)(i * i % 997), (unsigned long long)(i % 40));
        add(s, i, json);
    }
    assert_int_equal(build(s, &setup, part), ERR_OK);
    setup.events_per_record = part->group;
    columns_work_close(s->work);
    assert_int_equal(columns_work_open(&s->work, 32 * 1024), ERR_OK);
    size_t count = part->count;
    assert_int_equal(build(s, &setup, part), ERR_OK);
    assert_int_equal(part->count, count);
    check_part(s, &setup, part);
    free(part->memory.data);
    free(part);
    scene_close(s);
}

/* --- dictionaries --- */

static void add_few(struct scene *s, uint64_t start, uint32_t count)
{
    s->count = 0;
    for (uint64_t i = start; i < start + count; i++) {
        char json[160];
        uint64_t noise = i * 2654435761U % 997;
        (void)snprintf(json, sizeof json,
                       "{\"ts\":%llu,\"device\":\"pump in the cellar %llu\",\"temp\":{\"double\":"
                       "%llu.%llu}}",
                       (unsigned long long)(1700000000000 + i * 1000),
                       (unsigned long long)(noise % 7), (unsigned long long)(noise % 40),
                       (unsigned long long)(noise % 10));
        add(s, 1000 + i, json);
    }
}

/* What is left of `part` by the dictionary; its messages become what is in their frames. */
static size_t unpack(struct built *part, const struct zstd_dictionary *dictionary,
                     struct out *memory)
{
    struct zstd_decoder *decoder = NULL;
    size_t packed = 0;
    assert_int_equal(zstd_decoder_open(&decoder), ERR_OK);
    memory->size = 0;
    for (size_t k = 0; k < part->count; k++) {
        struct slice frame = part->messages[k].body;
        size_t start = memory->size;
        assert_true(part->messages[k].is_packed && part->messages[k].headers.size == 0);
        assert_int_equal(zstd_decode(decoder, frame, memory), ERR_CORRUPT);
        assert_int_equal(zstd_decode_by(decoder, dictionary, frame, memory), ERR_OK);
        part->messages[k].body = (struct slice){memory->data + start, memory->size - start};
        packed += frame.size;
    }
    zstd_decoder_close(decoder);
    return packed;
}

/* A dictionary of ours, and what is none. */
static struct zstd_dictionary *open_dictionary(void)
{
    struct zstd_dictionary *dictionary = NULL;
    struct zstd_dictionary *none = NULL;
    struct slice trained = {columns_dictionary, sizeof columns_dictionary};
    static uint8_t long_one[ZSTD_DICTIONARY_SIZE_MAX + 1];
    struct why why = {""};
    assert_int_equal(zstd_dictionary_open(&dictionary, trained, COLUMNS_ZSTD_LEVEL, &why), ERR_OK);
    assert_int_equal(zstd_dictionary_id(dictionary), 77);
    assert_int_equal(zstd_dictionary_open(&none, SLICE("no dictionary"), 9, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "no trained zstd dictionary"));
    assert_int_equal(zstd_dictionary_open(&none, (struct slice){NULL, 0}, 9, &why), ERR_CORRUPT);
    trained.size = 20;
    assert_int_equal(zstd_dictionary_open(&none, trained, 9, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "damaged"));
    memcpy(long_one, columns_dictionary, sizeof columns_dictionary);
    assert_int_equal(
        zstd_dictionary_open(&none, (struct slice){long_one, sizeof long_one}, 9, &why),
        ERR_CORRUPT);
    assert_non_null(strstr(why.text, "at most"));
    return dictionary;
}

static void test_dictionary(void **state)
{
    struct scene *s = scene_open(reading);
    struct built *part = calloc(1, sizeof *part);
    struct built *plain = calloc(1, sizeof *plain);
    struct out unpacked = out_over(malloc(MEMORY_SIZE), MEMORY_SIZE);
    (void)state;
    part->memory = out_over(malloc(MEMORY_SIZE), MEMORY_SIZE);
    plain->memory = out_over(malloc(MEMORY_SIZE), MEMORY_SIZE);
    struct zstd_dictionary *dictionary = open_dictionary();
    struct layout_setup setup = {.prefix = SLICE("\0\0\0\0\1"), .record_size_max = 1000000};
    const uint32_t counts[] = {1, 10, 100};
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
        add_few(s, 5000, counts[i]);
        setup.dictionary = NULL;
        size_t without = 0;
        assert_int_equal(build(s, &setup, plain), ERR_OK);
        assert_false(plain->messages[0].is_packed);
        assert_int_equal(
            columns_packed_size(s->work, out_slice(&plain->memory), &unpacked, &without), ERR_OK);
        setup.dictionary = dictionary;
        assert_int_equal(build(s, &setup, part), ERR_OK);
        assert_int_equal(part->count, plain->count);
        assert_int_equal(part->group, plain->group);
        assert_true(unpack(part, dictionary, &unpacked) < without);
        check_part(s, &setup, part);
    }
    /* Where it does not pay, messages stay as they are. */
    s->count = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        char json[160];
        (void)snprintf(json, sizeof json, "{\"ts\":%llu,\"device\":\"%llx\",\"temp\":null}",
                       (unsigned long long)(i * 7919 % 104729),
                       (unsigned long long)(i * 0x9e3779b97f4a7c15u));
        add(s, i, json);
    }
    setup.events_per_record_max = 2;
    assert_int_equal(build(s, &setup, part), ERR_OK);
    assert_false(part->messages[0].is_packed); /* 500 frames of their own */
    check_part(s, &setup, part);
    zstd_dictionary_close(dictionary);
    free(part->memory.data);
    free(plain->memory.data);
    free(unpacked.data);
    free(part);
    free(plain);
    scene_close(s);
}

static void test_refused(void **state)
{
    struct scene *s = scene_open(reading);
    struct layout_builder *builder = NULL;
    struct schema_info info = {.number = 1};
    struct message messages[2];
    uint8_t memory[1000];
    struct out out = out_over(memory, sizeof memory);
    struct layout_setup setup = {.layout = LAYOUT_COLUMNS,
                                 .schema = &info,
                                 .record_size_max = 130,
                                 .plan = s->plan,
                                 .work = s->work};
    size_t count;
    uint32_t group;
    (void)state;
    add_readings(s);
    assert_int_equal(layout_begin(&builder, &setup, &out, messages, 2), ERR_OK);
    struct layout_row row = {.key = SLICE("k"), .datum = SLICE("\x01"), .sequence = 1};
    assert_int_equal(layout_add(builder, &row), ERR_REJECTED); /* not of the schema */
    row.datum = s->rows[0].body;
    row.is_tombstone = true;
    assert_int_equal(layout_add(builder, &row), ERR_REJECTED);
    row.is_tombstone = false;
    assert_int_equal(layout_add(builder, &row), ERR_OK);
    row.key = SLICE("another");
    assert_int_equal(layout_add(builder, &row), ERR_FULL);
    row.key = SLICE("k");
    row.sequence = 2;
    assert_int_equal(layout_add(builder, &row), ERR_OK);
    assert_int_equal(layout_add(builder, &row), ERR_FULL); /* no more messages */
    assert_int_equal(layout_finish(builder, &count, &group), ERR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(messages[0].event_count, 2);
    assert_true(slice_equal_text(messages[0].key, "k"));
    layout_close(builder);
    setup.record_size_max = 90;
    assert_int_equal(layout_begin(&builder, &setup, &out, messages, 2), ERR_OK);
    assert_int_equal(layout_add(builder, &row), ERR_REJECTED); /* too large alone */
    layout_close(builder);
    scene_close(s);
}

/* Messages of a stream without a schema: their shape once, and a column for each number. */
static void test_shapes(void **state)
{
    static const char raw[] = "{\"type\":\"record\",\"name\":\"Raw\",\"fields\":[{\"name\":"
                              "\"body\",\"type\":\"bytes\"}]}";
    static const uint8_t expected[] = {
        0x00, 0x0e, 0x00, 0x06, 0x1c, 0xd1, 0x0f,       /* id 7, 3 rows from 500; 14 integers */
        0x06, 0x06, 0x01,                               /* as texts, as shapes, all the first one */
        0x00, 0x02, 0x02, 0x8e, 0x03, 0x01,             /* whole; of order 1: 1, 199, -1 */
        0x04, 0x00, 0xd6, 0x24, 0x97, 0x07, 0xca, 0x01, /* two digits; 2347, -460, 101 */
        0x00, 0x02, 0x20, '{',  '"',  'n',  '"',  ':',  ' ',  0x01, ',',
        ' ',  '"',  'v',  '"',  ':',  ' ',  0x01, '}',  0x00, 0x00, 0x00};
    static const uint8_t id[] = {0, 0, 0, 7};
    struct scene *s = scene_open(raw);
    struct columns_setup setup = {.plan = s->plan, .work = s->work, .schema_id = {id, sizeof id}};
    (void)state;
    add(s, 500, "{\"body\":\"{\\\"n\\\": 1, \\\"v\\\": 23.47}\"}");
    add(s, 501, "{\"body\":\"{\\\"n\\\": 200, \\\"v\\\": -4.60}\"}");
    add(s, 502, "{\"body\":\"{\\\"n\\\": 199, \\\"v\\\": 1.01}\"}");
    encode(s, &setup, COLUMNS_AS_COLUMNS);
    assert_int_equal(s->record.size, sizeof expected);
    assert_memory_equal(s->record.data, expected, sizeof expected);
    check_same(s, out_slice(&s->record));
    scene_close(s);
}

/* What does not change takes an integer a column, and the record little else. */
static void test_constant(void **state)
{
    static const uint8_t id[] = {0, 0, 0, 7};
    char schema[1024];
    struct out text = out_over(schema, sizeof schema);
    char row[256];
    struct out json = out_over(row, sizeof row);
    (void)state;
    out_put_text(&text, "{\"type\":\"record\",\"name\":\"C\",\"fields\":[");
    for (int i = 0; i < 10; i++) {
        char field[96];
        bool is_text = i % 2;
        (void)snprintf(field, sizeof field, "%s{\"name\":\"f%d\",\"type\":\"%s\"%s}", i ? "," : "",
                       i, is_text ? "string" : "boolean",
                       is_text ? ",\"weir.values\":[\"on\",\"off\"]" : "");
        out_put_text(&text, field);
        (void)snprintf(field, sizeof field, "%s\"f%d\":%s", i ? "," : "{", i,
                       is_text ? "\"off\"" : "true");
        out_put_text(&json, field);
    }
    out_put(&text, "]}", 3);
    out_put(&json, "}", 2);
    assert_false(text.overflow || json.overflow);
    struct scene *s = scene_open(schema);
    struct columns_setup setup = {.plan = s->plan, .work = s->work, .schema_id = {id, sizeof id}};
    for (uint64_t i = 0; i < 10; i++) {
        add(s, 500 + i, row);
    }
    encode(s, &setup, COLUMNS_BETTER);
    check_same(s, out_slice(&s->record));
    assert_true(s->record.size <= 28);
    scene_close(s);
}

static enum err count_row(void *context, struct slice datum, uint64_t sequence)
{
    (void)datum;
    (void)sequence;
    ++*(uint32_t *)context;
    return ERR_OK;
}

/* A million keys in a few bytes, at a distance that a plain product sends to one place. */
static void test_equal_distances(void **state)
{
    struct scene *s = scene_open("{\"type\":\"record\",\"name\":\"R\",\"fields\":["
                                 "{\"name\":\"a\",\"type\":\"long\"},"
                                 "{\"name\":\"b\",\"type\":\"long\"}]}");
    struct slice record = SLICE("\x00\x0e\x00\x80\x89\x7a\x0e\x01\x0c\x04\x00\x85\xb3\xc4"
                                "\xec\xcc\x87\xbe\xa1\x1c\x88\x02\x00\x00\x00\x00\x00");
    uint32_t count = 0;
    struct columns_taker taker = {.row = count_row, .context = &count};
    struct why why = {""};
    (void)state;
    enum err e = columns_decode(s->plan, record, COLUMNS_VALUE_MAX, &taker, &why);
    assert_int_equal(e, ERR_OK);
    assert_int_equal(count, 1000000);
    scene_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_vector),   cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_plans),           cmocka_unit_test(test_recursive),
        cmocka_unit_test(test_groups),          cmocka_unit_test(test_refused),
        cmocka_unit_test(test_shapes),          cmocka_unit_test(test_constant),
        cmocka_unit_test(test_large),           cmocka_unit_test(test_again_in_less_memory),
        cmocka_unit_test(test_equal_distances), cmocka_unit_test(test_dictionary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
