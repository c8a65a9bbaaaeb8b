#include "ports/lib/zstd.h"

#include <assert.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

struct zstd_encoder {
    ZSTD_CCtx *context; /* NULL: trimmed */
    int level;
    int window_log;
};

struct zstd_decoder {
    ZSTD_DCtx *context;
};

struct zstd_dictionary {
    ZSTD_CDict *digested;
    uint32_t id;
    size_t size;
    uint8_t bytes[];
};

static bool has_context(struct zstd_encoder *encoder)
{
    if (encoder->context) {
        return true;
    }
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (!context ||
        ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, encoder->level)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, encoder->window_log))) {
        ZSTD_freeCCtx(context);
        return false;
    }
    encoder->context = context;
    return true;
}

enum err zstd_encoder_open(struct zstd_encoder **ret, int level)
{
    struct zstd_encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder) {
        return ERR_NOMEM;
    }
    encoder->level = level;
    encoder->window_log = ZSTD_WINDOW_LOG_MAX;
    if (!has_context(encoder)) {
        zstd_encoder_close(encoder);
        return ERR_NOMEM;
    }
    *ret = encoder;
    return ERR_OK;
}

/* Between two frames every level and window can be set. */
static void parameter_set(struct zstd_encoder *encoder, ZSTD_cParameter parameter, int value)
{
    size_t set = encoder->context ? ZSTD_CCtx_setParameter(encoder->context, parameter, value) : 0;
    assert(!ZSTD_isError(set));
    (void)set;
}

void zstd_encoder_level_set(struct zstd_encoder *encoder, int level)
{
    assert(level >= -5 && level <= 19 && level != 0);
    encoder->level = level;
    parameter_set(encoder, ZSTD_c_compressionLevel, level);
}

void zstd_encoder_window_set(struct zstd_encoder *encoder, int log)
{
    assert(log >= 10 && log <= ZSTD_WINDOW_LOG_MAX);
    encoder->window_log = log;
    parameter_set(encoder, ZSTD_c_windowLog, log);
}

void zstd_encoder_trim(struct zstd_encoder *encoder)
{
    ZSTD_freeCCtx(encoder->context);
    encoder->context = NULL;
}

void zstd_encoder_close(struct zstd_encoder *encoder)
{
    if (encoder) {
        ZSTD_freeCCtx(encoder->context);
        free(encoder);
    }
}

static enum err encoded(size_t size, struct out *ret)
{
    if (ZSTD_isError(size)) {
        return ZSTD_getErrorCode(size) == ZSTD_error_memory_allocation ? ERR_NOMEM : ERR_FULL;
    }
    ret->size += size;
    return ERR_OK;
}

static enum err decoded(size_t size, struct out *ret)
{
    if (ZSTD_isError(size)) {
        return ZSTD_getErrorCode(size) == ZSTD_error_dstSize_tooSmall ? ERR_FULL : ERR_CORRUPT;
    }
    ret->size += size;
    return ERR_OK;
}

enum err zstd_encode(struct zstd_encoder *encoder, struct slice raw, struct out *ret)
{
    if (ret->overflow) {
        return ERR_FULL;
    }
    if (!has_context(encoder)) {
        return ERR_NOMEM;
    }
    size_t size = ZSTD_compress2(encoder->context, ret->data + ret->size, ret->size_max - ret->size,
                                 raw.data, raw.size);
    return encoded(size, ret);
}

/* --- dictionaries --- */

enum err zstd_dictionary_open(struct zstd_dictionary **ret, struct slice bytes, int level,
                              struct why *why)
{
    uint32_t id = bytes.size ? ZSTD_getDictID_fromDict(bytes.data, bytes.size) : 0;
    if (id == 0) {
        why_set(why, "it is no trained zstd dictionary with a number of its own");
        return ERR_CORRUPT;
    }
    if (bytes.size > ZSTD_DICTIONARY_SIZE_MAX) {
        why_set(why, "%zu bytes, and a dictionary has at most %d", bytes.size,
                ZSTD_DICTIONARY_SIZE_MAX);
        return ERR_CORRUPT;
    }
    struct zstd_dictionary *dictionary = calloc(1, sizeof *dictionary + bytes.size);
    if (!dictionary) {
        return ERR_NOMEM;
    }
    dictionary->id = id;
    dictionary->size = bytes.size;
    memcpy(dictionary->bytes, bytes.data, bytes.size);
    dictionary->digested = ZSTD_createCDict(bytes.data, bytes.size, level);
    if (!dictionary->digested) { /* also for want of memory, which it does not tell apart */
        zstd_dictionary_close(dictionary);
        why_set(why, "it begins as a zstd dictionary, and is damaged");
        return ERR_CORRUPT;
    }
    *ret = dictionary;
    return ERR_OK;
}

void zstd_dictionary_close(struct zstd_dictionary *dictionary)
{
    if (dictionary) {
        ZSTD_freeCDict(dictionary->digested);
        free(dictionary);
    }
}

uint32_t zstd_dictionary_id(const struct zstd_dictionary *dictionary)
{
    return dictionary->id;
}

enum err zstd_encode_by(struct zstd_encoder *encoder, const struct zstd_dictionary *dictionary,
                        struct slice raw, struct out *ret)
{
    if (ret->overflow) {
        return ERR_FULL;
    }
    if (!has_context(encoder)) {
        return ERR_NOMEM;
    }
    size_t size =
        ZSTD_compress_usingCDict(encoder->context, ret->data + ret->size, ret->size_max - ret->size,
                                 raw.data, raw.size, dictionary->digested);
    return encoded(size, ret);
}

enum err zstd_decode_by(struct zstd_decoder *decoder, const struct zstd_dictionary *dictionary,
                        struct slice frame, struct out *ret)
{
    if (ret->overflow) {
        return ERR_FULL;
    }
    size_t size = ZSTD_decompress_usingDict(decoder->context, ret->data + ret->size,
                                            ret->size_max - ret->size, frame.data, frame.size,
                                            dictionary->bytes, dictionary->size);
    return frame.size ? decoded(size, ret) : ERR_CORRUPT;
}

size_t zstd_bound(size_t raw_size)
{
    return ZSTD_compressBound(raw_size);
}

enum err zstd_decoder_open(struct zstd_decoder **ret)
{
    struct zstd_decoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder) {
        return ERR_NOMEM;
    }
    decoder->context = ZSTD_createDCtx();
    if (!decoder->context) {
        zstd_decoder_close(decoder);
        return ERR_NOMEM;
    }
    *ret = decoder;
    return ERR_OK;
}

void zstd_decoder_close(struct zstd_decoder *decoder)
{
    if (decoder) {
        ZSTD_freeDCtx(decoder->context);
        free(decoder);
    }
}

enum err zstd_decode(struct zstd_decoder *decoder, struct slice frame, struct out *ret)
{
    if (ret->overflow) {
        return ERR_FULL;
    }
    if (frame.size == 0) {
        return ERR_CORRUPT; /* zstd takes nothing for a frame of nothing */
    }
    /* All at once: no window is allocated, however large the frame says that it is. */
    size_t size = ZSTD_decompressDCtx(decoder->context, ret->data + ret->size,
                                      ret->size_max - ret->size, frame.data, frame.size);
    return decoded(size, ret);
}
