#include "uplink/avro/container.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ports/lib/deflate.h"
#include "ports/lib/zstd.h"
#include "uplink/avro/decode.h"
#include "uplink/avro/encode.h"

static const uint8_t magic[4] = {'O', 'b', 'j', 1};

const char *container_codec_name(enum container_codec codec)
{
    return codec == CONTAINER_NULL ? "null" : codec == CONTAINER_DEFLATE ? "deflate" : "zstandard";
}

/* --- writing --- */

void container_put_header(struct out *ret, struct slice schema, enum container_codec codec,
                          const struct container_meta *meta, size_t meta_count,
                          const uint8_t sync[CONTAINER_SYNC_SIZE])
{
    out_put(ret, magic, sizeof magic);
    out_put_varint(ret, (int64_t)meta_count + 2);
    avro_put_bytes(ret, SLICE("avro.schema"));
    avro_put_bytes(ret, schema);
    avro_put_bytes(ret, SLICE("avro.codec"));
    avro_put_bytes(ret, slice_of_text(container_codec_name(codec)));
    for (size_t i = 0; i < meta_count; i++) {
        avro_put_bytes(ret, meta[i].key);
        avro_put_bytes(ret, meta[i].value);
    }
    out_put_varint(ret, 0);
    out_put(ret, sync, CONTAINER_SYNC_SIZE);
}

struct container_packer {
    enum container_codec codec;
    struct deflate_encoder *deflate;
    struct zstd_encoder *zstd;
};

enum err container_packer_open(struct container_packer **ret, enum container_codec codec, int level)
{
    struct container_packer *packer = calloc(1, sizeof *packer);
    enum err e = packer ? ERR_OK : ERR_NOMEM;
    if (!e && codec == CONTAINER_DEFLATE) {
        e = deflate_encoder_open(&packer->deflate, level ? level : 6);
    } else if (!e && codec == CONTAINER_ZSTANDARD) {
        e = zstd_encoder_open(&packer->zstd, level ? level : 3);
    }
    if (e) {
        container_packer_close(packer);
        return e;
    }
    packer->codec = codec;
    *ret = packer;
    return ERR_OK;
}

void container_packer_close(struct container_packer *packer)
{
    if (packer) {
        deflate_encoder_close(packer->deflate);
        zstd_encoder_close(packer->zstd);
        free(packer);
    }
}

static enum err pack(struct container_packer *packer, struct slice raw, struct out *ret)
{
    if (packer->codec == CONTAINER_DEFLATE) {
        return deflate_encode(packer->deflate, raw, ret);
    }
    if (packer->codec == CONTAINER_ZSTANDARD) {
        return zstd_encode(packer->zstd, raw, ret);
    }
    out_put_slice(ret, raw);
    return ret->overflow ? ERR_FULL : ERR_OK;
}

enum err container_put_block(struct container_packer *packer, uint64_t count, struct slice raw,
                             const uint8_t sync[CONTAINER_SYNC_SIZE], struct out *ret)
{
    /* The size stands before the data and is known behind: room for its longest form, then the
     * data moves up. */
    size_t start = ret->size;
    const size_t widest = 10;
    out_put_varint(ret, (int64_t)count);
    size_t behind_count = ret->size;
    for (size_t i = 0; i < widest; i++) {
        out_put_byte(ret, 0);
    }
    enum err e = ret->overflow ? ERR_FULL : pack(packer, raw, ret);
    if (!e && ret->size_max - ret->size < CONTAINER_SYNC_SIZE) {
        e = ERR_FULL;
    }
    if (e) {
        ret->size = start;
        ret->overflow = false;
        return e;
    }
    size_t size = ret->size - behind_count - widest;
    ret->size = behind_count;
    out_put_varint(ret, (int64_t)size);
    memmove(ret->data + ret->size, ret->data + behind_count + widest, size);
    ret->size += size;
    out_put(ret, sync, CONTAINER_SYNC_SIZE);
    return ERR_OK;
}

/* --- reading --- */

#define READ_SIZE 4096

struct container_reader {
    container_read *read;
    void *context;
    uint8_t ahead[READ_SIZE];
    struct slice left; /* of ahead */
    uint64_t offset;   /* consumed */
    uint64_t good;     /* behind the last good block */
    struct avro_schema *schema;
    enum container_codec codec;
    uint8_t sync[CONTAINER_SYNC_SIZE];
    uint8_t *meta;
    size_t meta_size;
    uint8_t *packed;
    uint8_t *raw;
    size_t raw_size;
    struct deflate_decoder *deflate;
    struct zstd_decoder *zstd;
};

/* Exactly `size` bytes. *ret_got < size: the end came before. */
static enum err take(struct container_reader *r, uint8_t *data, size_t size, size_t *ret_got)
{
    size_t got = 0;
    while (got < size) {
        if (r->left.size == 0) {
            size_t count = 0;
            enum err e = r->read(r->context, r->ahead, sizeof r->ahead, &count);
            if (e) {
                return e;
            }
            if (count == 0) {
                break;
            }
            r->left = (struct slice){r->ahead, count};
        }
        size_t step = r->left.size < size - got ? r->left.size : size - got;
        memcpy(data + got, r->left.data, step);
        r->left.data += step;
        r->left.size -= step;
        r->offset += step;
        got += step;
    }
    *ret_got = got;
    return ERR_OK;
}

static enum err take_all(struct container_reader *r, uint8_t *data, size_t size)
{
    size_t got = 0;
    enum err e = take(r, data, size, &got);
    return e ? e : got < size ? ERR_CORRUPT : ERR_OK;
}

/* ERR_CLOSED: the end, before the first byte. */
static enum err take_long(struct container_reader *r, int64_t *ret)
{
    uint8_t bytes[10];
    for (size_t i = 0; i < sizeof bytes; i++) {
        size_t got = 0;
        enum err e = take(r, bytes + i, 1, &got);
        if (e) {
            return e;
        }
        if (got == 0) {
            return i == 0 ? ERR_CLOSED : ERR_CORRUPT;
        }
        if (bytes[i] < 0x80) {
            struct slice s = {bytes, i + 1};
            return slice_take_varint(&s, ret) ? ERR_OK : ERR_CORRUPT;
        }
    }
    return ERR_CORRUPT;
}

static enum err damaged(const struct container_reader *r, struct why *why, const char *what)
{
    why_set(why, "byte %llu: %s", (unsigned long long)r->offset, what);
    return ERR_CORRUPT;
}

/* Keys and values of the metadata, one behind the other as size and bytes. */
static enum err meta_take_item(struct container_reader *r)
{
    for (int part = 0; part < 2; part++) {
        int64_t size;
        enum err e = take_long(r, &size);
        if (e) {
            return e == ERR_CLOSED ? ERR_CORRUPT : e;
        }
        if (size < 0 || size > CONTAINER_META_SIZE_MAX ||
            r->meta_size + (size_t)size > CONTAINER_META_SIZE_MAX) {
            return ERR_CORRUPT;
        }
        size_t room = (size_t)size + 10;
        uint8_t *grown = realloc(r->meta, r->meta_size + room);
        if (!grown) {
            return ERR_NOMEM;
        }
        r->meta = grown;
        struct out o = {.data = r->meta, .size = r->meta_size, .size_max = r->meta_size + room};
        out_put_varint(&o, size);
        e = take_all(r, o.data + o.size, (size_t)size);
        if (e) {
            return e;
        }
        r->meta_size = o.size + (size_t)size;
    }
    return ERR_OK;
}

static enum err meta_take(struct container_reader *r)
{
    for (;;) {
        int64_t count;
        int64_t size;
        enum err e = take_long(r, &count);
        if (!e && count < 0 && count > -CONTAINER_META_SIZE_MAX) {
            count = -count;
            e = take_long(r, &size);
        }
        if (e || count < 0 || count > CONTAINER_META_SIZE_MAX) {
            return e && e != ERR_CLOSED ? e : ERR_CORRUPT;
        }
        if (count == 0) {
            return ERR_OK;
        }
        for (int64_t i = 0; i < count; i++) {
            e = meta_take_item(r);
            if (e) {
                return e;
            }
        }
    }
}

struct slice container_meta_find(const struct container_reader *reader, const char *key)
{
    struct slice rest = {reader->meta, reader->meta_size};
    struct slice name;
    struct slice value;
    while (avro_take_bytes(&rest, &name) && avro_take_bytes(&rest, &value)) {
        if (slice_equal_text(name, key)) {
            return value;
        }
    }
    return (struct slice){NULL, 0};
}

static enum err codec_open(struct container_reader *r, struct why *why)
{
    struct slice name = container_meta_find(r, "avro.codec");
    if (name.data == NULL || slice_equal_text(name, "null")) {
        r->codec = CONTAINER_NULL;
        return ERR_OK;
    }
    if (slice_equal_text(name, "deflate")) {
        r->codec = CONTAINER_DEFLATE;
        return deflate_decoder_open(&r->deflate);
    }
    if (slice_equal_text(name, "zstandard")) {
        r->codec = CONTAINER_ZSTANDARD;
        return zstd_decoder_open(&r->zstd);
    }
    why_set(why, "codec \"%.*s\" is not known here: null, deflate and zstandard are",
            (int)(name.size > 40 ? 40 : name.size), (const char *)name.data);
    return ERR_VERSION;
}

static enum err header_take(struct container_reader *r, struct why *why)
{
    uint8_t begin[4];
    enum err e = take_all(r, begin, sizeof begin);
    if (e == ERR_CORRUPT || (!e && memcmp(begin, magic, sizeof magic) != 0)) {
        return damaged(r, why, "not an Avro container file");
    }
    e = e ? e : meta_take(r);
    e = e ? e : take_all(r, r->sync, sizeof r->sync);
    if (e) {
        return e == ERR_CORRUPT ? damaged(r, why, "the header is damaged or cut short") : e;
    }
    e = codec_open(r, why);
    if (!e) {
        e = avro_schema_parse(&r->schema, container_meta_find(r, "avro.schema"), why);
    }
    r->good = r->offset;
    return e;
}

enum err container_reader_open(struct container_reader **ret, container_read *read, void *context,
                               struct why *why)
{
    struct container_reader *r = calloc(1, sizeof *r);
    if (!r) {
        return ERR_NOMEM;
    }
    r->read = read;
    r->context = context;
    enum err e = header_take(r, why);
    if (e) {
        container_reader_close(r);
        return e;
    }
    *ret = r;
    return ERR_OK;
}

void container_reader_close(struct container_reader *reader)
{
    if (reader) {
        avro_schema_close(reader->schema);
        deflate_decoder_close(reader->deflate);
        zstd_decoder_close(reader->zstd);
        free(reader->meta);
        free(reader->packed);
        free(reader->raw);
        free(reader);
    }
}

/* Unpacks into memory that grows up to the bound. */
static enum err unpack(struct container_reader *r, struct slice packed, struct slice *ret)
{
    if (r->codec == CONTAINER_NULL) {
        *ret = packed;
        return ERR_OK;
    }
    size_t room = r->raw_size ? r->raw_size : 64 * 1024;
    for (;;) {
        if (room != r->raw_size) {
            uint8_t *grown = realloc(r->raw, room);
            if (!grown) {
                return ERR_NOMEM;
            }
            r->raw = grown;
            r->raw_size = room;
        }
        struct out o = out_over(r->raw, r->raw_size);
        enum err e = r->codec == CONTAINER_DEFLATE ? deflate_decode(r->deflate, packed, &o)
                                                   : zstd_decode(r->zstd, packed, &o);
        if (e != ERR_FULL || room >= CONTAINER_BLOCK_SIZE_MAX) {
            *ret = out_slice(&o);
            return e;
        }
        room *= 2;
    }
}

enum err container_block(struct container_reader *r, uint64_t *ret_count, struct slice *ret_raw,
                         struct why *why)
{
    int64_t count;
    int64_t size;
    uint8_t sync[CONTAINER_SYNC_SIZE];
    enum err e = take_long(r, &count);
    if (e == ERR_CLOSED) {
        return e;
    }
    e = e ? e : take_long(r, &size);
    if (e || count < 0 || size < 0 || size > CONTAINER_BLOCK_SIZE_MAX) {
        return e && e != ERR_CORRUPT && e != ERR_CLOSED
                   ? e
                   : damaged(r, why, "a block's head is damaged or cut short");
    }
    uint8_t *grown = realloc(r->packed, (size_t)size + 1);
    if (!grown) {
        return ERR_NOMEM;
    }
    r->packed = grown;
    e = take_all(r, r->packed, (size_t)size);
    e = e ? e : take_all(r, sync, sizeof sync);
    if (e || memcmp(sync, r->sync, sizeof sync) != 0) {
        return e && e != ERR_CORRUPT ? e : damaged(r, why, "a block is damaged or cut short");
    }
    e = unpack(r, (struct slice){r->packed, (size_t)size}, ret_raw);
    if (e) {
        return e == ERR_NOMEM ? e : damaged(r, why, "a block does not unpack");
    }
    if ((uint64_t)count > ret_raw->size + CONTAINER_EMPTY_MAX) {
        return damaged(r, why, "a block has more records than bytes");
    }
    *ret_count = (uint64_t)count;
    r->good = r->offset;
    return ERR_OK;
}

const struct avro_schema *container_schema(const struct container_reader *reader)
{
    return reader->schema;
}

enum container_codec container_codec_of(const struct container_reader *reader)
{
    return reader->codec;
}

const uint8_t *container_sync(const struct container_reader *reader)
{
    return reader->sync;
}

uint64_t container_offset(const struct container_reader *reader)
{
    return reader->good;
}
