#include "ports/lib/deflate.h"

#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>

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
