#include "ports/lib/deflate.h"

#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>

#define GZIP_HEAD "\x1f\x8b\x08\0\0\0\0\0\0\xff" /* deflate, no flags, no time, any system */
#define GZIP_HEAD_SIZE 10
#define GZIP_TAIL_SIZE 8
#define ZLIB_HEAD "\x78\x9c" /* deflate, a window of 32 KiB, the usual level */
#define ZLIB_HEAD_SIZE 2

struct deflate_encoder {
    z_stream stream;
};

struct deflate_decoder {
    z_stream stream;
};

enum err deflate_encoder_open(struct deflate_encoder **ret, int level)
{
    struct deflate_encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder) {
        return ERR_NOMEM;
    }
    if (deflateInit2(&encoder->stream, level, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) !=
        Z_OK) {
        free(encoder);
        return ERR_NOMEM;
    }
    *ret = encoder;
    return ERR_OK;
}

void deflate_encoder_close(struct deflate_encoder *encoder)
{
    if (encoder) {
        deflateEnd(&encoder->stream);
        free(encoder);
    }
}

enum err deflate_encode(struct deflate_encoder *encoder, struct slice raw, struct out *ret)
{
    z_stream *stream = &encoder->stream;
    if (ret->overflow || deflateReset(stream) != Z_OK) {
        return ERR_FULL;
    }
    stream->next_in = raw.data;
    stream->avail_in = (uInt)raw.size;
    stream->next_out = ret->data + ret->size;
    stream->avail_out = (uInt)(ret->size_max - ret->size);
    if (deflate(stream, Z_FINISH) != Z_STREAM_END) {
        return ERR_FULL;
    }
    ret->size += stream->total_out;
    return ERR_OK;
}

static uint32_t crc_of(struct slice data)
{
    return (uint32_t)crc32(0, data.data, (uInt)data.size);
}

enum err deflate_encode_gzip(struct deflate_encoder *encoder, struct slice raw, struct out *ret)
{
    struct out gzip = *ret;
    out_put(&gzip, GZIP_HEAD, GZIP_HEAD_SIZE);
    enum err e = deflate_encode(encoder, raw, &gzip);
    out_put_u32_le(&gzip, crc_of(raw));
    out_put_u32_le(&gzip, (uint32_t)raw.size);
    if (e || gzip.overflow) {
        return ERR_FULL;
    }
    *ret = gzip;
    return ERR_OK;
}

enum err deflate_encode_zlib(struct deflate_encoder *encoder, struct slice raw, struct out *ret)
{
    struct out zlib = *ret;
    out_put(&zlib, ZLIB_HEAD, ZLIB_HEAD_SIZE);
    enum err e = deflate_encode(encoder, raw, &zlib);
    uLong sum = adler32(adler32(0, NULL, 0), raw.data, (uInt)raw.size);
    out_put_u32_be(&zlib, (uint32_t)sum);
    if (e || zlib.overflow) {
        return ERR_FULL;
    }
    *ret = zlib;
    return ERR_OK;
}

enum err deflate_decoder_open(struct deflate_decoder **ret)
{
    struct deflate_decoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder) {
        return ERR_NOMEM;
    }
    if (inflateInit2(&decoder->stream, -MAX_WBITS) != Z_OK) {
        free(decoder);
        return ERR_NOMEM;
    }
    *ret = decoder;
    return ERR_OK;
}

void deflate_decoder_close(struct deflate_decoder *decoder)
{
    if (decoder) {
        inflateEnd(&decoder->stream);
        free(decoder);
    }
}

enum err deflate_decode(struct deflate_decoder *decoder, struct slice packed, struct out *ret)
{
    z_stream *stream = &decoder->stream;
    if (ret->overflow || inflateReset(stream) != Z_OK) {
        return ERR_FULL;
    }
    stream->next_in = packed.data;
    stream->avail_in = (uInt)packed.size;
    stream->next_out = ret->data + ret->size;
    stream->avail_out = (uInt)(ret->size_max - ret->size);
    int end = inflate(stream, Z_FINISH);
    if (end != Z_STREAM_END) {
        return end == Z_BUF_ERROR && stream->avail_out == 0 ? ERR_FULL : ERR_CORRUPT;
    }
    ret->size += stream->total_out;
    return ERR_OK;
}

enum err deflate_decode_gzip(struct deflate_decoder *decoder, struct slice packed, struct out *ret)
{
    struct slice head, deflated, tail = packed;
    uint32_t crc = 0, size = 0;
    struct out raw = *ret;
    if (packed.size < GZIP_HEAD_SIZE + GZIP_TAIL_SIZE ||
        !slice_take(&tail, GZIP_HEAD_SIZE, &head) || memcmp(head.data, GZIP_HEAD, 4) != 0 ||
        !slice_take(&tail, tail.size - GZIP_TAIL_SIZE, &deflated) ||
        !slice_take_u32_le(&tail, &crc) || !slice_take_u32_le(&tail, &size)) {
        return ERR_CORRUPT;
    }
    enum err e = deflate_decode(decoder, deflated, &raw);
    if (e) {
        return e;
    }
    struct slice made = {ret->data + ret->size, raw.size - ret->size};
    if (made.size != size || crc_of(made) != crc) {
        return ERR_CORRUPT;
    }
    *ret = raw;
    return ERR_OK;
}
