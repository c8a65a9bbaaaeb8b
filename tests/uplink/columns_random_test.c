/* Properties of the layout `columns` over generated schemas and rows: what was encoded is decoded, bit
 * for bit, from both bodies; twice the same bytes; damage is one clean error; a failing allocation
 * harms nobody. WEIR_SEED, WEIR_SEEDS. */
#include "uplink/layout/columns.h"

#include <stdlib.h>

#include "tests/cmocka.h"
#include "tests/fault_alloc.h"
#include "tests/uplink/columns_generate.h"
#include "uplink/avro/schema.h"

#define ROW_MAX 512
#define MEMORY_SIZE ((size_t)2 * 1024 * 1024)
#define WORK_SIZE ((size_t)1024 * 1024)
#define DAMAGED_VALUE_MAX 100000
#define DAMAGED_COUNT 20

struct scene {
    uint64_t seed;
    struct chance chance;
    struct avro_schema *schema;
    struct columns_plan *plan;
    struct columns_work *work;
    struct message rows[ROW_MAX];
    uint32_t count;
    uint32_t taken;
    bool is_exact; /* what is taken must be the rows */
    struct out datums;
    struct out records[2];
    struct out damaged;
};

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void scene_open(struct scene *s)
{
    *s = (struct scene){.count = 0};
    struct out *outs[] = {&s->datums, &s->records[0], &s->records[1], &s->damaged};
    for (size_t i = 0; i < ARRAY_COUNT(outs); i++) {
        *outs[i] = out_over(malloc(MEMORY_SIZE), MEMORY_SIZE);
        assert_non_null(outs[i]->data);
    }
    assert_int_equal(columns_work_open(&s->work, WORK_SIZE), ERR_OK);
}

static void scene_close(struct scene *s)
{
    columns_work_close(s->work);
    free(s->datums.data);
    free(s->records[0].data);
    free(s->records[1].data);
    free(s->damaged.data);
}

/* A schema and its rows. */
static void generate(struct scene *s, uint64_t seed)
{
    static const uint32_t counts[] = {0,  1,  2,  3,  7,  8,  10,  15,  16, 17,
                                      24, 40, 64, 65, 66, 67, 100, 130, 300};
    static char memory[256 * 1024];
    struct out text = out_over(memory, sizeof memory);
    struct why why = {""};
    s->seed = seed;
    s->chance.state = seed;
    generate_schema(&s->chance, &text);
    enum err e = avro_schema_parse(&s->schema, out_slice(&text), &why);
    if (e) {
        fail_msg("seed %llu: %s in %.*s", (unsigned long long)seed, why.text, (int)text.size,
                 memory);
    }
    assert_int_equal(columns_plan_open(&s->plan, s->schema), ERR_OK);
    s->count = counts[chance_below(&s->chance, ARRAY_COUNT(counts))];
    s->datums.size = 0;
    uint64_t first = chance_below(&s->chance, 1U << 31);
    uint32_t gap = chance_below(&s->chance, 4) ? 1 : 3;
    for (uint32_t i = 0; i < s->count; i++) {
        size_t before = s->datums.size;
        generate_row(&s->chance, seed, i, avro_schema_root(s->schema), &s->datums);
        s->rows[i] = (struct message){.body = {s->datums.data + before, s->datums.size - before},
                                      .sequence = first + i * gap + (i > 5)};
        assert_int_equal(columns_check(s->plan, s->rows[i].body), ERR_OK);
    }
    assert_false(s->datums.overflow);
}

static void forget(struct scene *s)
{
    columns_plan_close(s->plan);
    avro_schema_close(s->schema);
    s->plan = NULL;
    s->schema = NULL;
}

static enum err take(void *context, struct slice datum, uint64_t sequence)
{
    struct scene *s = context;
    if (s->is_exact) {
        const struct message *row = &s->rows[s->taken];
        assert_true(s->taken < s->count);
        if (!slice_equal(datum, row->body) || sequence != row->sequence) {
            fail_msg("seed %llu: row %u is another one", (unsigned long long)s->seed, s->taken);
        }
    } else {
        assert_int_equal(columns_check(s->plan, datum), ERR_OK);
    }
    s->taken++;
    return ERR_OK;
}

static enum err decode(struct scene *s, struct slice record, uint64_t value_max, struct why *why)
{
    struct columns_taker taker = {.row = take, .context = s};
    s->taken = 0;
    return columns_decode(s->plan, record, value_max, &taker, why);
}

static void check_damaged(struct scene *s, struct slice record)
{
    struct why why = {""};
    s->is_exact = false;
    for (unsigned i = 0; i < DAMAGED_COUNT; i++) {
        s->damaged.size = 0;
        out_put_slice(&s->damaged, record);
        for (uint32_t k = chance_below(&s->chance, 4) + 1; k > 0 && s->damaged.size > 0; k--) {
            uint32_t at = chance_below(&s->chance, (uint32_t)s->damaged.size);
            switch (chance_below(&s->chance, 4)) {
            case 0:
                s->damaged.size = at;
                break;
            case 1:
                s->damaged.data[at] = (uint8_t)chance_below(&s->chance, 256);
                break;
            case 2:
                memmove(s->damaged.data + at, s->damaged.data + at + 1, s->damaged.size - at - 1);
                s->damaged.size--;
                break;
            default:
                s->damaged.data[at] ^= (uint8_t)(1U << chance_below(&s->chance, 8));
                break;
            }
        }
        enum err e = decode(s, out_slice(&s->damaged), DAMAGED_VALUE_MAX, &why);
        assert_true(e == ERR_OK || (e == ERR_CORRUPT && why.text[0] && s->taken == 0));
    }
    s->is_exact = true;
}

static void check(struct scene *s)
{
    static const uint8_t id[] = {0, 1, 0x87, 0x1b, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    static const size_t id_sizes[] = {0, 4, 16};
    struct columns_setup setup = {
        .plan = s->plan, .work = s->work, .agent = SLICE("site-7/0000002a")};
    struct why why = {""};
    setup.schema_id = (struct slice){id, id_sizes[chance_below(&s->chance, 3)]};
    s->is_exact = true;
    for (enum columns_body body = COLUMNS_BETTER; body <= COLUMNS_AS_ROWS; body++) {
        for (unsigned twice = 0; twice < 2; twice++) {
            s->records[twice].size = 0;
            enum err e = columns_encode(&setup, s->rows, s->count, body, &s->records[twice]);
            assert_int_equal(e, ERR_OK);
        }
        assert_true(slice_equal(out_slice(&s->records[0]), out_slice(&s->records[1])));
        enum err e = decode(s, out_slice(&s->records[0]), COLUMNS_VALUE_MAX, &why);
        if (e || s->taken != s->count) {
            fail_msg("seed %llu: %s", (unsigned long long)s->seed, why.text);
        }
        check_damaged(s, out_slice(&s->records[0]));
    }
}

static void test_round_trips(void **state)
{
    static struct scene s;
    uint64_t first = number_from("WEIR_SEED", 1);
    uint64_t count = number_from("WEIR_SEEDS", 400);
    (void)state;
    scene_open(&s);
    for (uint64_t seed = first; seed < first + count; seed++) {
        generate(&s, seed);
        check(&s);
        forget(&s);
    }
    scene_close(&s);
}

/* With ever less memory: it fits or it is ERR_FULL, a single row always fits. */
static void test_small_memory(void **state)
{
    static struct scene s;
    (void)state;
    scene_open(&s);
    for (uint64_t seed = 1; seed < 60; seed++) {
        generate(&s, seed);
        s.is_exact = true;
        for (size_t size = 2048; size <= 65536; size *= 2) {
            struct columns_setup setup = {.plan = s.plan};
            struct why why = {""};
            assert_int_equal(columns_work_open(&setup.work, size), ERR_OK);
            s.records[0].size = 0;
            enum err e = columns_encode(&setup, s.rows, s.count, COLUMNS_BETTER, &s.records[0]);
            assert_true(e == ERR_OK || (e == ERR_FULL && s.count > 1 && s.records[0].size == 0));
            if (!e) {
                assert_int_equal(decode(&s, out_slice(&s.records[0]), COLUMNS_VALUE_MAX, &why),
                                 ERR_OK);
                assert_int_equal(s.taken, s.count);
            }
            columns_work_close(setup.work);
        }
        forget(&s);
    }
    scene_close(&s);
}

/* Where nothing compresses it, the smaller body as it is: not always the one that zstd makes smaller. */
static void test_plain(void **state)
{
    static struct scene s;
    unsigned other_count = 0;
    (void)state;
    scene_open(&s);
    for (uint64_t seed = 1; seed < 300; seed++) {
        struct columns_setup setup = {.work = s.work, .is_plain = true};
        size_t sizes[COLUMNS_AS_ROWS + 1];
        generate(&s, seed);
        setup.plan = s.plan;
        for (enum columns_body body = COLUMNS_BETTER; body <= COLUMNS_AS_ROWS; body++) {
            s.records[0].size = 0;
            assert_int_equal(columns_encode(&setup, s.rows, s.count, body, &s.records[0]), ERR_OK);
            sizes[body] = s.records[0].size;
        }
        size_t smaller = sizes[COLUMNS_AS_COLUMNS] < sizes[COLUMNS_AS_ROWS]
                             ? sizes[COLUMNS_AS_COLUMNS]
                             : sizes[COLUMNS_AS_ROWS];
        bool has_datums = s.datums.size > 0; /* without them there is no choice */
        assert_true(sizes[COLUMNS_BETTER] == smaller || !has_datums);
        setup.is_plain = false;
        s.records[0].size = 0;
        assert_int_equal(columns_encode(&setup, s.rows, s.count, COLUMNS_BETTER, &s.records[0]),
                         ERR_OK);
        other_count += has_datums && s.records[0].size > smaller;
        forget(&s);
    }
    assert_true(other_count > 0);
    scene_close(&s);
}

/* Everything from the plan on, with the n-th allocation failing until none does. */
static enum err all_of(struct scene *s)
{
    struct columns_setup setup = {.plan = NULL};
    struct columns_plan *plan = NULL;
    struct columns_taker taker = {.row = take, .context = s};
    enum err e = columns_plan_open(&plan, s->schema);
    setup.plan = plan;
    e = e ? e : columns_work_open(&setup.work, WORK_SIZE);
    s->records[0].size = 0;
    e = e ? e : columns_encode(&setup, s->rows, s->count, COLUMNS_BETTER, &s->records[0]);
    s->taken = 0;
    e = e ? e : columns_decode(plan, out_slice(&s->records[0]), COLUMNS_VALUE_MAX, &taker, NULL);
    columns_work_close(setup.work);
    columns_plan_close(plan);
    return e;
}

static void test_allocations(void **state)
{
    static struct scene s;
    (void)state;
    scene_open(&s);
    for (uint64_t seed = 1; seed < 12; seed++) {
        generate(&s, seed);
        s.is_exact = true;
        for (unsigned n = 1;; n++) {
            fault_alloc_set(n);
            enum err e = all_of(&s);
            bool happened = fault_alloc_happened();
            fault_alloc_set(0);
            assert_int_equal(e, happened ? ERR_NOMEM : ERR_OK);
            if (!happened) {
                break;
            }
        }
        forget(&s);
    }
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_small_memory),
        cmocka_unit_test(test_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
