/* Dead letters: in the commit of the event that is set aside or not at all, whatever happens; never in
 * its way. On the real store and buffer. */
#include "agent/letter.h"

#include <stdlib.h>
#include <string.h>

#include "agent/time_trust.h"
#include "ports/random.h"
#include "tests/agent/site.h"
#include "tests/cmocka.h"
#include "tests/sim/sim.h"
#include "uplink/avro/decode.h"

#define LOW 1
#define LETTERS 2 /* "alarm" of the site, which drops its oldest here */

struct scene {
    struct site *site;
    struct letters *letters;
    struct time_source time;
    char json[8192];
};

static void begin(struct scene *scene)
{
    struct site *site = scene->site;
    site_begin(site);
    assert_int_equal(time_trust_init(&scene->time, site->loop, site->store, false, NULL), ERR_OK);
    assert_int_equal(letters_open(&scene->letters, site->store), ERR_OK);
    letters_time_set(scene->letters, &scene->time);
    letters_stream_set(scene->letters, LOW, LETTERS, site->schemas[1], "low");
}

static void close_more(void *context)
{
    struct scene *scene = context;
    letters_close(scene->letters);
    time_trust_release(&scene->time);
    scene->letters = NULL;
}

static int setup(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene->site = site_open(site_number("WEIR_SEED", 1));
    scene->site->setup->streams[1].when_full = FULL_DROP_OLDEST;
    scene->site->setup->streams[1].size_max = 256 * 1024;
    *state = scene;
    return 0;
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    if (scene->letters) {
        site_end(scene->site, close_more, scene);
    }
    site_close(scene->site);
    free(scene);
    return 0;
}

static const struct schema_info datum_schema = {
    .number = 7, .fingerprint = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}};

/* Sets an event of this stream aside. ERR_FULL: not now. */
static enum err put(struct scene *scene, uint16_t stream, size_t size, bool is_datum)
{
    static uint8_t body[100000];
    uint64_t commit;
    struct aside aside = {.time_us = 1,
                          .stream = stream,
                          .kind = is_datum ? ASIDE_DATUM : ASIDE_PAYLOAD,
                          .sequence = is_datum ? 44 : 0,
                          .uplink = is_datum ? 1 : 0,
                          .size = size,
                          .source = SLICE("f.log:7"),
                          .reason = SLICE("no number"),
                          .body = {body, size}};
    struct letter_place place = {.driver = is_datum ? NULL : "lines",
                                 .uplink = is_datum ? "cloud" : NULL,
                                 .subject = is_datum ? SLICE("") : SLICE("hall/\xff"),
                                 .schema = is_datum ? &datum_schema : NULL};
    memset(body, 'b', sizeof body);
    enum err e = letters_make(scene->letters, &aside, &place, SITE_COMMIT_MS);
    e = e ? e : store_aside_put(scene->site->store, &aside, SITE_COMMIT_MS, &commit);
    if (!e) {
        letters_put(scene->letters, SITE_COMMIT_MS);
    }
    return e;
}

static void letters_read(struct scene *scene, const char *expected)
{
    static uint8_t memory[2 * EVENT_SIZE_LIMIT];
    struct stored_event events[1];
    struct rows rows = {.events = events, .event_max = 1, .arena = out_over(memory, sizeof memory)};
    struct why why;
    struct avro_schema *schema;
    struct out json = out_over(scene->json, sizeof scene->json - 1);
    struct range range = {1, UINT64_MAX / 4};
    assert_int_equal(
        buffer_read(scene->site->buffer, LETTERS, range, EVENT_SIZE_LIMIT, &rows, &why), ERR_OK);
    assert_int_equal(rows.event_count, 1);
    assert_int_equal(avro_schema_parse(&schema, letter_schema(), NULL), ERR_OK);
    struct slice datum = events[0].datum;
    assert_int_equal(avro_decode_json(avro_schema_root(schema), &datum, &json, NULL), ERR_OK);
    assert_int_equal(datum.size, 0);
    avro_schema_close(schema);
    scene->json[json.size] = '\0';
    const char *behind_time = strchr(scene->json, ',');
    assert_non_null(behind_time);
    assert_string_equal(behind_time + 1, expected);
}

static void a_letter_says_all(void **state)
{
    struct scene *scene = *state;
    begin(scene);
    assert_int_equal(put(scene, LOW, 3, false), ERR_OK);
    site_settle(scene->site);
    letters_read(scene, "\"stream\":\"low\",\"reason\":\"no number\",\"driver\":\"lines\","
                        "\"uplink\":\"\",\"source\":\"f.log:7\",\"subject\":\"hall/?\","
                        "\"sequence\":null,\"schema\":\"\",\"size\":3,\"body\":\"bbb\"}");
}

static void a_refused_datum_is_told(void **state)
{
    struct scene *scene = *state;
    begin(scene);
    assert_int_equal(put(scene, LOW, 2, true), ERR_OK);
    site_settle(scene->site);
    letters_read(scene, "\"stream\":\"low\",\"reason\":\"no number\",\"driver\":\"\","
                        "\"uplink\":\"cloud\",\"source\":\"\",\"subject\":\"\","
                        "\"sequence\":{\"long\":44},\"schema\":\"efcdab8967452301\",\"size\":2,"
                        "\"body\":\"bb\"}");
}

static void only_streams_with_a_topic_have_letters(void **state)
{
    struct scene *scene = *state;
    begin(scene);
    assert_int_equal(put(scene, LETTERS, 3, true), ERR_OK); /* a letter that is refused has none */
    assert_int_equal(put(scene, 0, 3, false), ERR_OK);      /* no stream was found */
    site_settle(scene->site);
    assert_int_equal(site_last(scene->site)->asides, 2);
    assert_int_equal(site_last(scene->site)->events, 0);
}

static uint64_t letter_count(struct scene *scene)
{
    return store_state(scene->site->store)->streams[LETTERS].sequence_next - 1;
}

/* None of it has to go for want of room. Of what is set aside together, and of what is too large for one commit, each has its letter. */
static void what_is_aside_has_its_letter_after_a_power_cut(void **state)
{
    struct scene *scene = *state;
    uint64_t told = 0;
    begin(scene);
    for (unsigned life = 0; life < 30; life++) {
        uint64_t count = 1 + sim_below(12);
        for (uint64_t i = 0; i < count; i++) {
            size_t size = sim_below(40) ? sim_below(1500) : 50000 + sim_below(50000);
            if (put(scene, LOW, size, sim_below(2)) != ERR_OK) {
                site_settle(scene->site);
            }
        }
        if (sim_below(2)) {
            site_settle(scene->site);
            told = store_state(scene->site->store)->aside_count;
        }
        site_crash(scene->site, close_more, scene);
        begin(scene);
        const struct buffer_changes *now = store_state(scene->site->store);
        uint64_t seen = now->aside_count;
        assert_true(seen >= told);
        assert_int_equal(letter_count(scene), seen);
    }
    assert_true(told > 30);
}

/* In a full buffer a letter is dropped and counted; the event is set aside. */
static void a_letter_is_never_in_the_way(void **state)
{
    struct scene *scene = *state;
    scene->site->setup->size_max = 4 * 1024 * 1024;
    scene->site->setup->streams[0].when_full = FULL_BLOCK;
    scene->site->setup->streams[1].when_full = FULL_BLOCK;
    begin(scene);
    while (!store_is_full(scene->site->store, LETTERS, 40000)) {
        (void)site_put(scene->site, LETTERS, 30000, SITE_COMMIT_MS);
        site_settle(scene->site);
    }
    uint64_t before = letter_count(scene);
    assert_int_equal(put(scene, LOW, 40000, false), ERR_OK);
    site_settle(scene->site);
    const struct buffer_changes *now = store_state(scene->site->store);
    assert_int_equal(now->aside_count, 1);
    assert_int_equal(letter_count(scene), before + 1);
    assert_int_equal(now->streams[LETTERS].dropped_count, 1);
    assert_int_equal(now->streams[LETTERS].event_count, before);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_letter_says_all),
        TEST(a_refused_datum_is_told),
        TEST(only_streams_with_a_topic_have_letters),
        TEST(what_is_aside_has_its_letter_after_a_power_cut),
        TEST(a_letter_is_never_in_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
