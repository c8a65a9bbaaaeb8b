/* CBOR (RFC 8949), as much of it as Kinesis speaks: written with definite lengths, read one item at a
 * time in any form. Nothing allocates; any thread. */
#ifndef WEIR_UPLINK_AWS_CBOR_H
#define WEIR_UPLINK_AWS_CBOR_H

#include "ports/err.h"
#include "ports/slice.h"

#define CBOR_DEPTH_MAX 32 /* containers and tags within each other that are skipped */

enum cbor_kind {
    CBOR_UNSIGNED, /* number */
    CBOR_NEGATIVE, /* -1 - number */
    CBOR_BYTES,    /* bytes; in pieces: is_open, and each piece is an item of its own, then END */
    CBOR_TEXT,     /* likewise; not checked for UTF-8 */
    CBOR_ARRAY,    /* number of items follow; is_open: as many as come before END */
    CBOR_MAP,      /* likewise, of pairs */
    CBOR_TAG,      /* number; belongs to the item behind it */
    CBOR_SIMPLE,   /* number: 20 false, 21 true, 22 null; floats: their bits */
    CBOR_END,      /* of what is open */
};

struct cbor_item {
    enum cbor_kind kind;
    bool is_open;
    uint64_t number;
    struct slice bytes; /* points into the input */
};

/* Takes the next item's head, and the bytes of a string. ERR_CORRUPT: it is none, or is cut off;
 * nothing is taken then. */
enum err cbor_take(struct slice *s, struct cbor_item *ret) MUST_USE;
/* Takes one whole item, with all that is within. ERR_CORRUPT; ERR_REJECTED: deeper than
 * CBOR_DEPTH_MAX. *s is then anywhere. */
enum err cbor_skip(struct slice *s) MUST_USE;
/* Goes on with an array or map whose head was taken: true while another entry has to follow (of a map:
 * a pair), which the caller takes whole: there it sees that the input has ended early. False: it is
 * complete, with its END taken. *given: 0 before the first call, then ours. */
bool cbor_more(struct slice *s, const struct cbor_item *container, uint64_t *given);
/* Takes the next item where it is a text in one piece; else skips it, and *ret is empty. Tags
 * before it are passed over. */
enum err cbor_text(struct slice *s, struct slice *ret) MUST_USE;

void cbor_put_map(struct out *o, uint64_t pair_count);
void cbor_put_array(struct out *o, uint64_t count);
void cbor_put_text(struct out *o, struct slice text);
void cbor_put_bytes(struct out *o, struct slice bytes);

#endif
