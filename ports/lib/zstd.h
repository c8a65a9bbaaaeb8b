/* zstd, behind names of ours; zstd.c is the only file that includes zstd.h. A context is used by
 * one thread at a time and reused: no allocation per call once it has reached its size. */
#ifndef WEIR_PORTS_LIB_ZSTD_H
#define WEIR_PORTS_LIB_ZSTD_H

#include "ports/err.h"
#include "ports/slice.h"

#define ZSTD_WINDOW_LOG_MAX \
    20 /* of frames we write: 1 MiB, what a decoder on a small board can keep */

#define ZSTD_DICTIONARY_SIZE_MAX (112 * 1024)

struct zstd_encoder;
struct zstd_decoder;
/* A trained dictionary (RFC 8878 section 5), which both sides must have. Constant; any thread. */
struct zstd_dictionary;

/* level 1..19. */
enum err zstd_encoder_open(struct zstd_encoder **ret, int level) MUST_USE;
void zstd_encoder_close(struct zstd_encoder *encoder);
/* -5..19, for the frames from now on; below 1 it is faster still, and larger. */
void zstd_encoder_level_set(struct zstd_encoder *encoder, int level);
/* The window of the frames from now on is at most 2^log bytes, log 10..ZSTD_WINDOW_LOG_MAX; memory
 * goes with it. */
void zstd_encoder_window_set(struct zstd_encoder *encoder, int log);
/* Gives its memory back (level 3: 0.9 MB); the next frame takes it anew. */
void zstd_encoder_trim(struct zstd_encoder *encoder);
/* One frame with its content size. ERR_FULL: does not fit into `ret`, which is unchanged;
 * ERR_NOMEM. */
enum err zstd_encode(struct zstd_encoder *encoder, struct slice raw, struct out *ret) MUST_USE;
/* The bytes are copied. For frames at this level. ERR_CORRUPT: it is no dictionary, or too large: *why
 * says which. ERR_NOMEM. */
enum err zstd_dictionary_open(struct zstd_dictionary **ret, struct slice bytes, int level,
                              struct why *why) MUST_USE;
/* NULL is allowed. */
void zstd_dictionary_close(struct zstd_dictionary *dictionary);
/* Its number, which frames carry; never 0. */
uint32_t zstd_dictionary_id(const struct zstd_dictionary *dictionary);
/* As zstd_encode(), by the dictionary and its level. */
enum err zstd_encode_by(struct zstd_encoder *encoder, const struct zstd_dictionary *dictionary,
                        struct slice raw, struct out *ret) MUST_USE;
/* Room that always suffices. */
size_t zstd_bound(size_t raw_size);

enum err zstd_decoder_open(struct zstd_decoder **ret) MUST_USE;
void zstd_decoder_close(struct zstd_decoder *decoder);
/* One whole frame or several, also without content size. ERR_FULL: more than the room in `ret`;
 * ERR_CORRUPT; `ret` is unchanged then. */
enum err zstd_decode(struct zstd_decoder *decoder, struct slice frame, struct out *ret) MUST_USE;
/* The same of one frame that may need the dictionary. */
enum err zstd_decode_by(struct zstd_decoder *decoder, const struct zstd_dictionary *dictionary,
                        struct slice frame, struct out *ret) MUST_USE;

#endif
