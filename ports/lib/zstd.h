/* zstd, behind names of ours; zstd.c is the only file that includes zstd.h. A context is used by
 * one thread at a time and reused: no allocation per call once it has reached its size. */
#ifndef WEIR_PORTS_LIB_ZSTD_H
#define WEIR_PORTS_LIB_ZSTD_H

#include "ports/err.h"
#include "ports/slice.h"

#define ZSTD_WINDOW_LOG_MAX \
    20 /* of frames we write: 1 MiB, what a decoder on a small board can keep */

struct zstd_encoder;
struct zstd_decoder;

/* level 1..19. */
enum err zstd_encoder_open(struct zstd_encoder **ret, int level) MUST_USE;
void zstd_encoder_close(struct zstd_encoder *encoder);
/* -5..19, for the frames from now on; below 1 it is faster still, and larger. */
void zstd_encoder_level_set(struct zstd_encoder *encoder, int level);
/* The window of the frames from now on is at most 2^log bytes, log 10..ZSTD_WINDOW_LOG_MAX; memory
 * goes with it. */
void zstd_encoder_window_set(struct zstd_encoder *encoder, int log);
/* One frame with its content size. ERR_FULL: does not fit into `ret`, which is unchanged. */
enum err zstd_encode(struct zstd_encoder *encoder, struct slice raw, struct out *ret) MUST_USE;
/* Room that always suffices. */
size_t zstd_bound(size_t raw_size);

enum err zstd_decoder_open(struct zstd_decoder **ret) MUST_USE;
void zstd_decoder_close(struct zstd_decoder *decoder);
/* One whole frame or several, also without content size. ERR_FULL: more than the room in `ret`;
 * ERR_CORRUPT; `ret` is unchanged then. */
enum err zstd_decode(struct zstd_decoder *decoder, struct slice frame, struct out *ret) MUST_USE;

#endif
