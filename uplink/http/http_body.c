#include <stdlib.h>

#include "ports/lib/deflate.h"
#include "ports/lib/zstd.h"
#include "uplink/http/http_impl.h"
#include "uplink/object/object.h"

#define GZIP_LEVEL 6
#define ZSTD_LEVEL 3
#define CONTAINER_ROOM (16 * 1024) /* around a container's records, besides the schema */

static enum err put_lines(const struct batch *batch, struct out *ret)
{
    for (size_t i = 0; i < batch->message_count; i++) {
        out_put_slice(ret, batch->messages[i].body);
        out_put_byte(ret, '\n');
    }
    return ret->overflow ? ERR_FULL : ERR_OK;
}

/* As it is before Content-Encoding. What was cut once keeps its layout, whatever the options say. */
static enum err put_plain(const struct http_uplink_options *options, const struct batch *batch,
                          struct out *ret)
{
    return batch->parcel->layout == LAYOUT_JSON
               ? put_lines(batch, ret)
               : object_put_container((enum container_codec)options->codec, (int)options->level,
                                      batch, ret);
}

static enum err put_gzip(struct slice plain, struct out *ret)
{
    struct deflate_encoder *encoder = NULL;
    enum err e = deflate_encoder_open(&encoder, GZIP_LEVEL);
    e = e ? e : deflate_encode_gzip(encoder, plain, ret);
    deflate_encoder_close(encoder);
    return e;
}

static enum err put_zstd(struct slice plain, struct out *ret)
{
    struct zstd_encoder *encoder = NULL;
    enum err e = zstd_encoder_open(&encoder, ZSTD_LEVEL);
    e = e ? e : zstd_encode(encoder, plain, ret);
    zstd_encoder_close(encoder);
    return e;
}

static enum err put_encoded(const struct http_uplink_options *options, const struct batch *batch,
                            struct out *ret)
{
    size_t size = batch->schema->json.size + CONTAINER_ROOM;
    for (size_t i = 0; i < batch->message_count; i++) {
        size += batch->messages[i].body.size + 1;
    }
    size += size / 64; /* what nothing compresses grows a little */
    uint8_t *memory = malloc(size);
    if (!memory) {
        return ERR_NOMEM;
    }
    struct out plain = out_over(memory, size);
    enum err e = put_plain(options, batch, &plain);
    if (!e) {
        e = options->encoding == HTTP_GZIP ? put_gzip(out_slice(&plain), ret)
                                           : put_zstd(out_slice(&plain), ret);
    }
    free(memory);
    return e;
}

enum err http_body_wrap(const void *options, const struct batch *batch, struct out *ret)
{
    const struct http_uplink_options *http = options;
    size_t start = ret->size;
    enum err e = http->encoding == HTTP_IDENTITY ? put_plain(http, batch, ret)
                                                 : put_encoded(http, batch, ret);
    return !e && http_base_is_too_large(batch, ret->size - start) ? ERR_FULL : e;
}
