/* What the layout `columns` makes of a data set. usage:
 *
 * columns_bench sizes SCHEMA ROWS LINES: rows in Avro's JSON encoding, the same events as their lines of
 * JSON; standard input has batches, "FIRST COUNT". For each a line: FIRST COUNT, then bytes ready for
 * Kafka (the records of a RecordBatch): lines as they are, lines by zstd 12, Avro by zstd 12, the row
 * body, the columns, what the layout sends (all by zstd 9); and how many messages that is. What was
 * sent is decoded, and compared with the rows.
 *
 * columns_bench count SCHEMA ROWS COUNT TIMES [zstd]: encodes batches of COUNT rows, TIMES times each,
 * in columns, with "zstd" up to the bytes that leave. Prints how many events that was, and the
 * most memory of the workspace in use. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "ports/file.h"
#include "ports/lib/zstd.h"
#include "uplink/avro/encode.h"
#include "uplink/layout/columns.h"
#include "uplink/layout/layout.h"

#define FILE_SIZE_MAX (64 * 1024 * 1024)
#define MEMORY_SIZE ((size_t)64 * 1024 * 1024)
#define WORK_SIZE ((size_t)16 * 1024 * 1024)
#define ROW_MAX 65536
#define FIRST_SEQUENCE 1000000
#define PEER_LEVEL 12 /* the highest that librdkafka takes */

static const uint8_t prefix[] = {0, 0, 0, 0, 1};
static const uint8_t registry_id[] = {0, 1, 0x87, 0x1b};

struct bench {
    struct avro_schema *schema;
    struct columns_plan *plan;
    struct columns_work *work;
    struct zstd_encoder *levels[PEER_LEVEL + 1];
    struct slice lines[ROW_MAX];
    struct message rows[ROW_MAX];
    struct message messages[ROW_MAX];
    size_t count;
    struct out datums;
    struct out built;
    struct out framed;
    struct out packed;
    size_t at; /* the row that is to be decoded next */
};

static void need(enum err e, const char *what, const struct why *why)
{
    if (e) {
        fprintf(stderr, "%s: %s %s\n", what, err_name(e), why ? why->text : "");
        exit(1);
    }
}

static size_t split(struct slice text, struct slice *lines)
{
    size_t count = 0;
    while (text.size > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size;
        assert(count < ROW_MAX);
        lines[count++] = (struct slice){text.data, size};
        size += end != NULL;
        text.data += size;
        text.size -= size;
    }
    return count;
}

static struct slice read_file(const char *path)
{
    struct slice text;
    struct why why = {""};
    need(file_read(path, FILE_SIZE_MAX, &text, &why), path, &why);
    return text;
}

static void bench_open(struct bench *b, const char *schema, const char *rows)
{
    struct why why = {""};
    static struct slice lines[ROW_MAX];
    struct slice text = read_file(schema);
    need(avro_schema_parse(&b->schema, text, &why), schema, &why);
    free((void *)(uintptr_t)text.data);
    need(columns_plan_open(&b->plan, b->schema), schema, NULL);
    need(columns_work_open(&b->work, WORK_SIZE), "memory", NULL);
    need(zstd_encoder_open(&b->levels[COLUMNS_ZSTD_LEVEL], COLUMNS_ZSTD_LEVEL), "zstd", NULL);
    need(zstd_encoder_open(&b->levels[PEER_LEVEL], PEER_LEVEL), "zstd", NULL);
    struct out *outs[] = {&b->datums, &b->built, &b->framed, &b->packed};
    for (size_t i = 0; i < ARRAY_COUNT(outs); i++) {
        *outs[i] = out_over(malloc(MEMORY_SIZE), MEMORY_SIZE);
        need(outs[i]->data ? ERR_OK : ERR_NOMEM, "memory", NULL);
    }
    b->count = split(read_file(rows), lines);
    for (size_t i = 0; i < b->count; i++) {
        size_t before = b->datums.size;
        need(avro_encode_json(b->schema, lines[i], &b->datums, &why), rows, &why);
        b->rows[i] = (struct message){.body = {b->datums.data + before, b->datums.size - before},
                                      .sequence = FIRST_SEQUENCE + i,
                                      .event_count = 1};
    }
}

/* One record of a RecordBatch: no key, no headers, the time of the batch. */
static void put_record(struct out *o, size_t index, struct slice head, struct slice body)
{
    uint8_t memory[64];
    struct out start = out_over(memory, sizeof memory);
    out_put_byte(&start, 0);
    out_put_varint(&start, 0);
    out_put_varint(&start, (int64_t)index);
    out_put_varint(&start, -1);
    out_put_varint(&start, (int64_t)(head.size + body.size));
    out_put_varint(o, (int64_t)(start.size + head.size + body.size + 1));
    out_put_slice(o, out_slice(&start));
    out_put_slice(o, head);
    out_put_slice(o, body);
    out_put_varint(o, 0);
}

static size_t packed_size(struct bench *b, int level)
{
    b->packed.size = 0;
    need(zstd_encode(b->levels[level], out_slice(&b->framed), &b->packed), "zstd", NULL);
    return b->packed.size;
}

static struct columns_setup setup_of(const struct bench *b)
{
    return (struct columns_setup){
        .plan = b->plan, .work = b->work, .schema_id = {registry_id, sizeof registry_id}};
}

static size_t body_size(struct bench *b, size_t first, size_t count, enum columns_body body)
{
    struct columns_setup setup = setup_of(b);
    b->built.size = 0;
    b->framed.size = 0;
    need(columns_encode(&setup, b->rows + first, (uint32_t)count, body, &b->built), "columns",
         NULL);
    put_record(&b->framed, 0, (struct slice){prefix, sizeof prefix}, out_slice(&b->built));
    return packed_size(b, COLUMNS_ZSTD_LEVEL);
}

static enum err compare(void *context, struct slice datum, uint64_t sequence)
{
    struct bench *b = context;
    const struct message *row = &b->rows[b->at++];
    return slice_equal(datum, row->body) && sequence == row->sequence ? ERR_OK : ERR_CORRUPT;
}

/* By the layout itself, as it would be sent. */
static size_t sent_size(struct bench *b, size_t first, size_t count, size_t *ret_messages)
{
    struct layout_builder *builder;
    struct schema_info info = {.number = 1};
    struct layout_setup setup = {.layout = LAYOUT_COLUMNS,
                                 .schema = &info,
                                 .prefix = {prefix, sizeof prefix},
                                 .record_size_max = UINT32_MAX,
                                 .plan = b->plan,
                                 .work = b->work,
                                 .row_schema_id = {registry_id, sizeof registry_id}};
    uint32_t group;
    b->built.size = 0;
    need(layout_begin(&builder, &setup, &b->built, b->messages, ROW_MAX), "layout", NULL);
    for (size_t i = first; i < first + count; i++) {
        struct layout_row row = {.datum = b->rows[i].body, .sequence = b->rows[i].sequence};
        need(layout_add(builder, &row), "layout", NULL);
    }
    need(layout_finish(builder, ret_messages, &group), "layout", NULL);
    layout_close(builder);
    b->framed.size = 0;
    b->at = first;
    for (size_t i = 0; i < *ret_messages; i++) {
        struct columns_taker taker = {.row = compare, .context = b};
        struct slice body = b->messages[i].body;
        struct why why = {""};
        put_record(&b->framed, i, (struct slice){NULL, 0}, body);
        body = (struct slice){body.data + sizeof prefix, body.size - sizeof prefix};
        need(columns_decode(b->plan, body, COLUMNS_VALUE_MAX, &taker, &why), "decoded", &why);
    }
    need(b->at == first + count ? ERR_OK : ERR_CORRUPT, "decoded", NULL);
    return packed_size(b, COLUMNS_ZSTD_LEVEL);
}

static void print_sizes(struct bench *b, size_t first, size_t count)
{
    size_t messages;
    b->framed.size = 0;
    for (size_t i = 0; i < count; i++) {
        put_record(&b->framed, i, (struct slice){NULL, 0}, b->lines[first + i]);
    }
    size_t plain = b->framed.size;
    size_t packed = packed_size(b, PEER_LEVEL);
    b->framed.size = 0;
    for (size_t i = 0; i < count; i++) {
        put_record(&b->framed, i, (struct slice){prefix, sizeof prefix}, b->rows[first + i].body);
    }
    size_t avro = packed_size(b, PEER_LEVEL);
    size_t rows = body_size(b, first, count, COLUMNS_AS_ROWS);
    size_t columns = body_size(b, first, count, COLUMNS_AS_COLUMNS);
    size_t sent = sent_size(b, first, count, &messages);
    printf("%zu %zu %zu %zu %zu %zu %zu %zu %zu\n", first, count, plain, packed, avro, rows,
           columns, sent, messages);
}

static void count_work(struct bench *b, size_t count, long times, bool with_zstd)
{
    size_t events = 0;
    for (long i = 0; i < times; i++) {
        for (size_t first = 0; first + count <= b->count; first += count, events += count) {
            if (with_zstd) {
                (void)body_size(b, first, count, COLUMNS_AS_COLUMNS);
            } else {
                struct columns_setup setup = setup_of(b);
                b->built.size = 0;
                need(columns_encode(&setup, b->rows + first, (uint32_t)count, COLUMNS_AS_COLUMNS,
                                    &b->built),
                     "columns", NULL);
            }
        }
    }
    printf("%zu %zu\n", events, columns_work_peak(b->work));
}

int main(int argc, char **argv)
{
    static struct bench b;
    bool is_sizes = argc == 5 && strcmp(argv[1], "sizes") == 0;
    bool is_count = argc >= 6 && strcmp(argv[1], "count") == 0;
    size_t first;
    size_t count;
    if (!is_sizes && !is_count) {
        fprintf(stderr, "usage: columns_bench sizes SCHEMA ROWS LINES | count SCHEMA ROWS COUNT "
                        "TIMES [zstd]\n");
        return 2;
    }
    bench_open(&b, argv[2], argv[3]);
    if (is_count) {
        count_work(&b, strtoul(argv[4], NULL, 10), strtol(argv[5], NULL, 10), argc > 6);
        return 0;
    }
    if (split(read_file(argv[4]), b.lines) != b.count) {
        fprintf(stderr, "not as many lines as rows\n");
        return 2;
    }
    while (scanf("%zu %zu", &first, &count) == 2 && first + count <= b.count) {
        print_sizes(&b, first, count);
    }
    return 0;
}
