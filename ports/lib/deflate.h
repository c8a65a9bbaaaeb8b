/* Raw deflate (RFC 1951), as Avro containers have it, within gzip (RFC 1952), as HTTP and gRPC have
 * it, and within zlib's format (RFC 1950), as AWS Glue's messages have it; deflate.c is the only file
 * that includes zlib.h. Contexts are reused. */
#ifndef WEIR_PORTS_LIB_DEFLATE_H
#define WEIR_PORTS_LIB_DEFLATE_H

#include "ports/err.h"
#include "ports/slice.h"

struct deflate_encoder;
struct deflate_decoder;

/* level 1..9. */
enum err deflate_encoder_open(struct deflate_encoder **ret, int level) MUST_USE;
void deflate_encoder_close(struct deflate_encoder *encoder);
/* ERR_FULL: does not fit into `ret`, which is unchanged. */
enum err deflate_encode(struct deflate_encoder *encoder, struct slice raw,
                        struct out *ret) MUST_USE;
/* The same as one gzip member, without name and time. */
enum err deflate_encode_gzip(struct deflate_encoder *encoder, struct slice raw,
                             struct out *ret) MUST_USE;
/* The same as one stream in zlib's format. */
enum err deflate_encode_zlib(struct deflate_encoder *encoder, struct slice raw,
                             struct out *ret) MUST_USE;

enum err deflate_decoder_open(struct deflate_decoder **ret) MUST_USE;
void deflate_decoder_close(struct deflate_decoder *decoder);
/* ERR_FULL: more than the room in `ret`; ERR_CORRUPT; `ret` is unchanged then. Bytes behind the end
 * of the stream do not matter: Apache Avro for Python and fastavro leave three of zlib's four
 * there. */
enum err deflate_decode(struct deflate_decoder *decoder, struct slice packed,
                        struct out *ret) MUST_USE;
/* One gzip member without optional fields, as deflate_encode_gzip() writes it, checked by its
 * checksum; nothing may follow. As deflate_decode(). */
enum err deflate_decode_gzip(struct deflate_decoder *decoder, struct slice packed,
                             struct out *ret) MUST_USE;

#endif
