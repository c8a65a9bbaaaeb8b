/* What tools see of a buffer: its rows, whether they are whole, and the file as it is. */
#include "buffer/look.h"

#include <stdio.h>
#include <string.h>

#include "tests/buffer/bench.h"

static void fill(struct bench *b, uint64_t total)
{
    while (b->next[1] <= total) {
        assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    }
}

/* Rows, then the tail: together every sequence once. */
static void test_rows_one_behind_the_other(void **state)
{
    struct bench *b = *state;
    struct row_info row;
    fill(b, 6010);
    uint64_t at = 1;
    unsigned sealed = 0;
    unsigned tail = 0;
    uint64_t last = b->next[1] - 1;
    while (buffer_row_next(b->buffer, 1, at, &row, &b->why) == ERR_OK) {
        assert_int_equal(row.range.first, at);
        assert_true(row.range.last >= at);
        assert_int_equal(row.schema, b->schema[1]);
        assert_false(!row.is_tail && tail);
        *(row.is_tail ? &tail : &sealed) += 1;
        struct row_info within; /* from its middle it is the same one */
        assert_int_equal(buffer_row_next(b->buffer, 1, row.range.last, &within, &b->why), ERR_OK);
        assert_int_equal(within.range.first, row.range.first);
        at = row.range.last + 1;
    }
    assert_int_equal(at, last + 1);
    assert_true(sealed > 3);
    assert_true(tail > 0);
    assert_int_equal(buffer_row_next(b->buffer, 2, 1, &row, &b->why), ERR_CLOSED);
}

struct finding {
    unsigned count;
    char place[160];
};

static void found(void *context, const char *place, const char *text)
{
    struct finding *f = context;
    f->count++;
    (void)snprintf(f->place, sizeof f->place, "%s", place);
    assert_true(text[0] != 0);
}

static struct buffer_verify verify(struct bench *b, struct finding *f)
{
    struct buffer_verify v = {.with_pages = true};
    enum err e;
    memset(f, 0, sizeof *f);
    while ((e = buffer_verify_step(b->buffer, &v, found, f, &b->why)) == ERR_OK) {
    }
    assert_int_equal(e, ERR_CLOSED);
    assert_int_equal(v.bad, f->count);
    return v;
}

static void test_verify(void **state)
{
    struct bench *b = *state;
    struct finding f;
    fill(b, 6000);
    struct aside aside = {.kind = ASIDE_PAYLOAD, .reason = SLICE("no"), .body = SLICE("{}")};
    struct cursor_change cursor = {1, 2, SLICE("here")};
    struct buffer_write write = {
        .asides = &aside, .aside_count = 1, .cursors = &cursor, .cursor_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    fill(b, 9000);
    struct buffer_verify v = verify(b, &f);
    assert_int_equal(v.bad, 0);
    assert_true(v.rows > 5);
    assert_int_equal(v.asides, 1);
    assert_int_equal(v.cursors, 1);
    uint64_t tail = 0;
    struct buffer_figures figures;
    buffer_figures(b->buffer, &figures);
    tail = figures.tail_events;
    assert_int_equal(v.events + tail, b->next[1] - 1);

    bench_sql(b, "UPDATE batch SET t1=t1+1 WHERE id=(SELECT min(id)+0 FROM batch)");
    v = verify(b, &f);
    assert_int_equal(v.bad, 1);
    assert_string_equal(strstr(f.place, "stream low, sequences 1..") ? "there" : f.place, "there");
    bench_sql(b, "UPDATE batch SET t1=t1-1 WHERE id=(SELECT min(id)+0 FROM batch);"
                 "UPDATE aside SET body=x'00'");
    v = verify(b, &f);
    assert_int_equal(v.bad, 1);
    assert_string_equal(f.place, "set-aside event 1");
    bench_sql(b, "DELETE FROM aside; UPDATE cursor SET k=3");
    v = verify(b, &f);
    assert_int_equal(v.bad, 1);
    assert_string_equal(f.place, "cursor 3 of driver 1");
}

static void count_lines(void *context, const char *place, const char *text)
{
    unsigned *counts = context; /* findings, of pages, of pages that are lost */
    assert_null(strchr(text, '\n'));
    assert_null(strstr(text, "in database"));
    counts[0]++;
    counts[1] += strcmp(place, "pages") == 0;
    counts[2] += strstr(text, "pages can't be reached") != NULL;
}

/* A page near the root is destroyed: what lay behind it is one finding, however many pages that are,
 * and what SQLite says of the tree is another. */
static void test_pages_that_are_lost_are_counted(void **state)
{
    struct bench *b = *state;
    struct buffer_setup tool = {
        .path = BENCH_PATH, .vfs = "bench", .as_it_is = true, .read_only = true};
    struct buffer_verify v = {.with_pages = true};
    unsigned counts[3] = {0};
    uint64_t size = 0;
    fill(b, 20000);
    bench_reopen(b); /* the page is not in the log any more */
    buffer_close(b->buffer);
    b->buffer = NULL;
    uint8_t *bytes = crash_vfs_file(b->vfs, BENCH_PATH, &size);
    uint64_t page = 1;
    while (bytes[page * 4096] != 5) { /* an inner page of a table: the root of the rows */
        page++;
    }
    memset(bytes + page * 4096, 0xa5, 4096);
    assert_int_equal(buffer_open(&b->buffer, &tool, &b->why), ERR_OK);
    enum err e = ERR_OK;
    while (!e) {
        e = buffer_verify_step(b->buffer, &v, count_lines, counts, &b->why);
    }
    assert_int_equal(e, ERR_CLOSED);
    assert_int_equal(v.bad, counts[0]);
    assert_in_range(counts[1], 2, 25);
    assert_int_equal(counts[2], 1);
}

static unsigned owners;

static void count_owners(void *context, uint16_t stream, uint32_t schema, struct slice json)
{
    (void)context;
    (void)stream;
    (void)schema;
    (void)json;
    owners++;
}

/* A tool opens what is there, without a configuration, and leaves everything as it was. */
static void test_the_file_as_it_is(void **state)
{
    struct bench *b = *state;
    struct buffer_setup tool = {.path = BENCH_PATH, .vfs = "bench", .as_it_is = true};
    fill(b, 3000);
    uint32_t incarnation = buffer_incarnation(b->buffer);
    uint64_t next = b->next[1];
    buffer_close(b->buffer);
    b->buffer = NULL;
    for (int is_looking = 1; is_looking >= 0; is_looking--) {
        struct buffer_changes changes;
        char name[STREAM_NAME_SIZE_MAX];
        tool.read_only = is_looking;
        assert_int_equal(buffer_open(&b->buffer, &tool, &b->why), ERR_OK);
        buffer_state(b->buffer, &changes);
        assert_int_equal(changes.streams[1].sequence_next, next);
        assert_int_equal(buffer_stream_number(b->buffer, "low"), 1);
        assert_int_equal(buffer_uplink_number(b->buffer, "files"), 2);
        assert_int_equal(buffer_uplink_find(b->buffer, "cloud"), 1);
        assert_int_equal(buffer_uplink_find(b->buffer, "none"), 0);
        buffer_uplink_name(b->buffer, 2, name);
        assert_string_equal(name, "files");
        assert_true(buffer_carries(b->buffer, 1, 2));
        assert_false(buffer_carries(b->buffer, 2, 2));
        assert_int_equal(buffer_incarnation(b->buffer), incarnation);
        buffer_agent_id(b->buffer, name, sizeof name);
        assert_string_equal(name, "test");
        struct buffer_figures figures;
        buffer_figures(b->buffer, &figures);
        assert_int_equal(figures.size_max, b->setup->size_max);
        owners = 0;
        buffer_schema_each(b->buffer, count_owners, NULL);
        assert_int_equal(owners, 2);
        buffer_close(b->buffer);
        b->buffer = NULL;
    }
    bench_reopen(b);
    bench_check(b, 1, 1, next - 1);
    assert_int_equal(b->changes.gap_count, 0);
}

/* It keeps to the cap that the agent was given, and to the reserve. */
static void test_a_tool_keeps_to_the_cap(void **state)
{
    struct bench *b = *state;
    struct buffer_setup tool = {.path = BENCH_PATH, .vfs = "bench", .as_it_is = true};
    b->setup->size_max = 5 << 20;
    bench_begin(b);
    buffer_close(b->buffer);
    b->buffer = NULL;
    assert_int_equal(buffer_open(&b->buffer, &tool, &b->why), ERR_OK);
    buffer_state(b->buffer, &b->changes);
    bench_fill(b, 1, 50, 1000000);
    struct buffer_figures figures;
    buffer_figures(b->buffer, &figures);
    assert_true(figures.pages * figures.page_size + (2 << 20) <= 5 << 20);
    assert_true(b->changes.gap_count == 0); /* nothing gave way */
    uint64_t last = b->next[1] - 1;
    assert_true(last > 1000);
    bench_reopen(b);
    bench_check(b, 1, 1, last);
}

/* There is nothing to be looked at: nothing is made either. */
static void test_no_file_and_an_empty_one(void **state)
{
    struct bench *b = *state;
    struct buffer *none = NULL;
    struct buffer_setup tool = {.path = "other.db", .vfs = "bench", .as_it_is = true};
    assert_int_not_equal(buffer_open(&none, &tool, &b->why), ERR_OK);
    tool.read_only = true;
    assert_int_not_equal(buffer_open(&none, &tool, &b->why), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows_one_behind_the_other, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_verify, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_pages_that_are_lost_are_counted, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_the_file_as_it_is, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_tool_keeps_to_the_cap, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_no_file_and_an_empty_one, bench_open, bench_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
