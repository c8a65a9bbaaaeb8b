/* Container files: bytes of the header, all codecs there and back, damage of every kind. */
#include "uplink/avro/container.h"

#include <stdlib.h>
#include <string.h>

#include "tests/avro/help.h"
#include "tests/cmocka.h"
#include "tests/fault_alloc.h"
#include "uplink/avro/encode.h"

#define FILE_SIZE_MAX ((size_t)1024 * 1024)
#define BLOCKS 5
#define BLOCK_RECORDS 40

static const uint8_t sync_marker[CONTAINER_SYNC_SIZE] = "0123456789abcdef";
static const char schema_text[] = "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"n\","
                                  "\"type\":\"long\"},{\"name\":\"s\",\"type\":\"string\"}]}";

/* A file in memory that is read in pieces of 1 to 7 bytes, or of all that there is. */
struct source {
    struct slice data;
    size_t at;
    bool in_pieces;
    size_t fail_at; /* an error of the disk; 0: none */
};

static enum err source_read(void *context, uint8_t *data, size_t size, size_t *ret_size)
{
    struct source *s = context;
    size_t left = s->data.size - s->at;
    size_t step = s->in_pieces ? 1 + s->at % 7 : size;
    step = step < left ? step : left;
    step = step < size ? step : size;
    if (s->fail_at && s->at >= s->fail_at) {
        return ERR_IO;
    }
    memcpy(data, s->data.data + s->at, step);
    s->at += step;
    *ret_size = step;
    return ERR_OK;
}

static void put_records(struct out *raw, int block)
{
    for (int i = 0; i < BLOCK_RECORDS; i++) {
        out_put_varint(raw, block * BLOCK_RECORDS + i);
        avro_put_bytes(raw, SLICE("the same text again and again"));
    }
}

/* A file of BLOCKS blocks. ends[b]: offset behind block b; ends[BLOCKS]: of the header. */
static struct out file_of(enum container_codec codec, size_t ends[BLOCKS + 1])
{
    struct out file = out_over(malloc(FILE_SIZE_MAX), FILE_SIZE_MAX);
    struct container_packer *packer = NULL;
    const struct container_meta meta[] = {{SLICE("weir.agent"), SLICE("a1")}};
    assert_int_equal(container_packer_open(&packer, codec, 0), ERR_OK);
    container_put_header(&file, slice_of_text(schema_text), codec, meta, 1, sync_marker);
    ends[BLOCKS] = file.size;
    for (int b = 0; b < BLOCKS; b++) {
        uint8_t memory[4096];
        struct out raw = out_over(memory, sizeof memory);
        put_records(&raw, b);
        assert_false(raw.overflow);
        assert_int_equal(
            container_put_block(packer, BLOCK_RECORDS, out_slice(&raw), sync_marker, &file),
            ERR_OK);
        ends[b] = file.size;
    }
    container_packer_close(packer);
    return file;
}

/* Reads a file to its end or its damage; each block that it gets must be right. */
static enum err read_all(struct source *source, int *ret_blocks, uint64_t *ret_offset)
{
    struct container_reader *reader = NULL;
    struct why why = {""};
    *ret_blocks = 0;
    *ret_offset = 0;
    enum err e = container_reader_open(&reader, source_read, source, &why);
    while (!e) {
        uint64_t count = 0;
        struct slice raw;
        uint8_t memory[4096];
        struct out expected = out_over(memory, sizeof memory);
        e = container_block(reader, &count, &raw, &why);
        if (!e) {
            put_records(&expected, *ret_blocks);
            assert_int_equal(count, BLOCK_RECORDS);
            assert_true(slice_equal(raw, out_slice(&expected)));
            ++*ret_blocks;
        }
        *ret_offset = container_offset(reader);
    }
    assert_true(e == ERR_CLOSED || e == ERR_NOMEM || e == ERR_IO || why.text[0]);
    container_reader_close(reader);
    return e;
}

static void test_header(void **state)
{
    (void)state;
    uint8_t memory[256];
    struct out file = out_over(memory, sizeof memory);
    container_put_header(&file, SLICE("\"int\""), CONTAINER_NULL, NULL, 0, sync_marker);
    assert_string_equal(hex_of(out_slice(&file)), "4f626a01"
                                                  "04"
                                                  "166176726f2e736368656d61"
                                                  "0a22696e7422"
                                                  "146176726f2e636f646563"
                                                  "086e756c6c"
                                                  "00"
                                                  "30313233343536373839616263646566");
    struct container_packer *packer = NULL;
    assert_int_equal(container_packer_open(&packer, CONTAINER_NULL, 0), ERR_OK);
    size_t before = file.size;
    assert_int_equal(container_put_block(packer, 3, SLICE("\x02\x04\x06"), sync_marker, &file),
                     ERR_OK);
    assert_string_equal(hex_of((struct slice){memory + before, file.size - before}),
                        "0606"
                        "020406"
                        "30313233343536373839616263646566");
    /* no room: nothing of the block stays */
    for (size_t room = before; room < file.size; room++) {
        struct out small = {.data = memory, .size = before, .size_max = room};
        assert_int_equal(container_put_block(packer, 3, SLICE("\x02\x04\x06"), sync_marker, &small),
                         ERR_FULL);
        assert_int_equal(small.size, before);
        assert_false(small.overflow);
    }
    container_packer_close(packer);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const enum container_codec codecs[] = {CONTAINER_NULL, CONTAINER_DEFLATE,
                                                  CONTAINER_ZSTANDARD};
    for (size_t i = 0; i < ARRAY_COUNT(codecs); i++) {
        size_t ends[BLOCKS + 1];
        struct out file = file_of(codecs[i], ends);
        for (int in_pieces = 0; in_pieces < 2; in_pieces++) {
            struct source source = {.data = out_slice(&file), .in_pieces = in_pieces};
            int blocks;
            uint64_t offset;
            assert_int_equal(read_all(&source, &blocks, &offset), ERR_CLOSED);
            assert_int_equal(blocks, BLOCKS);
            assert_true(offset == file.size);
        }
        struct source source = {.data = out_slice(&file)};
        struct container_reader *reader = NULL;
        struct why why;
        assert_int_equal(container_reader_open(&reader, source_read, &source, &why), ERR_OK);
        assert_int_equal(container_codec_of(reader), codecs[i]);
        assert_memory_equal(container_sync(reader), sync_marker, CONTAINER_SYNC_SIZE);
        assert_true(slice_equal_text(container_meta_find(reader, "weir.agent"), "a1"));
        assert_null(container_meta_find(reader, "other").data);
        assert_true(slice_equal_text(avro_schema_text(container_schema(reader)), schema_text));
        container_reader_close(reader);
        free(file.data);
    }
}

/* Cut anywhere: the whole blocks before, then an error; at a block's end, the orderly end. */
static void test_cut(void **state)
{
    (void)state;
    size_t ends[BLOCKS + 1];
    struct out file = file_of(CONTAINER_DEFLATE, ends);
    for (size_t size = 0; size < file.size; size++) {
        struct source source = {.data = {file.data, size}};
        int whole = 0;
        int blocks;
        uint64_t offset;
        while (whole < BLOCKS && ends[whole] <= size) {
            whole++;
        }
        bool at_end = size == ends[BLOCKS] || (whole > 0 && size == ends[whole - 1]);
        assert_int_equal(read_all(&source, &blocks, &offset), at_end ? ERR_CLOSED : ERR_CORRUPT);
        assert_int_equal(blocks, whole);
        assert_true(size < ends[BLOCKS] || offset == (whole ? ends[whole - 1] : ends[BLOCKS]));
    }
    struct source source = {.data = out_slice(&file), .fail_at = 1};
    int blocks;
    uint64_t offset;
    source.in_pieces = true;
    assert_int_equal(read_all(&source, &blocks, &offset), ERR_IO);
    free(file.data);
}

/* Any bit of a block's frame turned: the blocks before are good. Deflate has no checksum, so a
 * block itself may come out different; here only what surrounds it is damaged. */
static void test_damage(void **state)
{
    (void)state;
    size_t ends[BLOCKS + 1];
    struct out file = file_of(CONTAINER_ZSTANDARD, ends);
    for (size_t at = ends[1] - CONTAINER_SYNC_SIZE; at < ends[1]; at++) {
        for (int bit = 0; bit < 8; bit++) {
            struct source source = {.data = out_slice(&file)};
            int blocks;
            uint64_t offset;
            file.data[at] ^= (uint8_t)(1 << bit);
            assert_int_equal(read_all(&source, &blocks, &offset), ERR_CORRUPT);
            assert_int_equal(blocks, 1);
            assert_true(offset == ends[0]);
            file.data[at] ^= (uint8_t)(1 << bit);
        }
    }
    free(file.data);
}

static enum err read_hex(const char *hex, struct why *why)
{
    uint8_t memory[512];
    struct out file = out_over(memory, sizeof memory);
    struct container_reader *reader = NULL;
    uint64_t count;
    struct slice raw;
    hex_put(&file, hex);
    struct source source = {.data = out_slice(&file)};
    enum err e = container_reader_open(&reader, source_read, &source, why);
    e = e ? e : container_block(reader, &count, &raw, why);
    container_reader_close(reader);
    return e;
}

#define SCHEMA_META \
    "166176726f2e736368656d61" \
    "0a22696e7422"
#define SYNC "30313233343536373839616263646566"

static const struct {
    const char *hex;
    enum err e;
} hostile[] = {
    {"", ERR_CORRUPT},
    {"4f626a02", ERR_CORRUPT},
    {"4f626a01"
     "02" SCHEMA_META "00" SYNC,
     ERR_CLOSED}, /* no codec: null */
    {"4f626a01"
     "012e" SCHEMA_META "00" SYNC,
     ERR_CLOSED}, /* a block with its size */
    {"4f626a01"
     "00" SYNC,
     ERR_CORRUPT}, /* no schema */
    {"4f626a01"
     "02"
     "02610100",
     ERR_CORRUPT}, /* a size of -1 */
    {"4f626a01"
     "02"
     "fefffffffffffffffe01",
     ERR_CORRUPT}, /* a size of 2^62 */
    {"4f626a01"
     "feffffffffffffffff01",
     ERR_CORRUPT}, /* that many entries */
    {"4f626a01"
     "02" SCHEMA_META "00" SYNC "02",
     ERR_CORRUPT}, /* cut */
    {"4f626a01"
     "02" SCHEMA_META "00" SYNC "01020a" SYNC,
     ERR_CORRUPT}, /* count -1 */
    {"4f626a01"
     "02" SCHEMA_META "00" SYNC "0201",
     ERR_CORRUPT}, /* size -1 */
    {"4f626a01"
     "02" SCHEMA_META "00" SYNC "02feffffffffffffffff01",
     ERR_CORRUPT},
    {"4f626a01"
     "02" SCHEMA_META "00" SYNC "feffffffffffffffff0100" SYNC,
     ERR_CORRUPT},
    {"4f626a01"
     "04" SCHEMA_META "146176726f2e636f646563"
     "0c736e61707079"
     "00" SYNC,
     ERR_VERSION}, /* snappy */
    {"4f626a01"
     "04" SCHEMA_META "146176726f2e636f646563"
     "0e6465666c617465"
     "00" SYNC "0204ffff" SYNC,
     ERR_CORRUPT},
    {"4f626a01"
     "04" SCHEMA_META "146176726f2e636f646563"
     "127a7374616e64617264"
     "00" SYNC "0204ffff" SYNC,
     ERR_CORRUPT},
};

static void test_hostile(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(hostile); i++) {
        struct why why = {""};
        if (read_hex(hostile[i].hex, &why) != hostile[i].e) {
            fail_msg("%s", hostile[i].hex);
        }
        assert_true(hostile[i].e == ERR_CLOSED || why.text[0]);
    }
}

/* As Apache Avro for Python and fastavro write it: a part of zlib's checksum is left behind the
 * deflate stream. */
static void test_bytes_behind(void **state)
{
    (void)state;
    struct why why = {""};
    assert_int_equal(read_hex("4f626a01"
                              "04" SCHEMA_META "146176726f2e636f646563"
                              "0e6465666c617465"
                              "00" SYNC "06"
                              "10"
                              "6362626300"
                              "001500" SYNC,
                              &why),
                     ERR_OK);
}

/* Metadata up to its bound, and one byte more. */
static void test_large_meta(void **state)
{
    (void)state;
    uint8_t *value = calloc(1, CONTAINER_META_SIZE_MAX);
    struct out file = out_over(malloc(4 * FILE_SIZE_MAX), 4 * FILE_SIZE_MAX);
    for (size_t i = 0; i < 3; i++) {
        size_t size = i == 0 ? CONTAINER_META_SIZE_MAX - 100 : CONTAINER_META_SIZE_MAX / 2 + i;
        struct container_meta meta[2] = {{SLICE("a"), {value, size}}, {SLICE("b"), {value, size}}};
        struct container_reader *reader = NULL;
        struct why why = {""};
        file.size = 0;
        container_put_header(&file, SLICE("\"int\""), CONTAINER_NULL, meta, i ? 2 : 1, sync_marker);
        struct source source = {.data = out_slice(&file)};
        assert_int_equal(container_reader_open(&reader, source_read, &source, &why),
                         i ? ERR_CORRUPT : ERR_OK);
        container_reader_close(reader);
    }
    free(file.data);
    free(value);
}

static void test_no_memory(void **state)
{
    (void)state;
    size_t ends[BLOCKS + 1];
    struct out file = file_of(CONTAINER_ZSTANDARD, ends);
    for (unsigned n = 1;; n++) {
        struct source source = {.data = out_slice(&file)};
        int blocks;
        uint64_t offset;
        fault_alloc_set(n);
        enum err e = read_all(&source, &blocks, &offset);
        bool happened = fault_alloc_happened();
        fault_alloc_set(0);
        assert_int_equal(e, happened ? ERR_NOMEM : ERR_CLOSED);
        if (!happened) {
            assert_true(n > 5);
            break;
        }
    }
    for (int codec = CONTAINER_NULL; codec <= CONTAINER_ZSTANDARD; codec++) {
        for (unsigned n = 1;; n++) {
            struct container_packer *packer = NULL;
            fault_alloc_set(n);
            enum err e = container_packer_open(&packer, (enum container_codec)codec, 0);
            bool happened = fault_alloc_happened();
            fault_alloc_set(0);
            container_packer_close(packer);
            assert_int_equal(e, happened ? ERR_NOMEM : ERR_OK);
            if (!happened) {
                break;
            }
        }
    }
    free(file.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),     cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_cut),        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_hostile),    cmocka_unit_test(test_bytes_behind),
        cmocka_unit_test(test_large_meta), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
