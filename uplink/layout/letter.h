/* Dead letters: what was set aside, for readers who look after it. One message an event: its body is
 * the field `body` of the record as it is, and each other field is a header "weir_" and its name:
 * text as it is, everything else as plain JSON writes it; no header for null and for empty text. A
 * body that would make the message too large is cut: a letter is for people, and what it is about is
 * kept whole elsewhere. The message has the key of its row. */
#ifndef WEIR_UPLINK_LAYOUT_LETTER_H
#define WEIR_UPLINK_LAYOUT_LETTER_H

#include "uplink/layout/layout.h"

#define LETTER_BODY "body"
#define LETTER_HEADER "weir_"

/* `record` has a field `body` of bytes; else, or with a datum that is not of it, or headers over
 * `size_max`: ERR_REJECTED. ERR_FULL: `memory` has no room. Nothing was written then. */
enum err letter_add(struct message *ret, const struct avro_node *record,
                    const struct layout_row *row, uint32_t size_max, struct out *memory) MUST_USE;

#endif
