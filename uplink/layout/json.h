/* Rows for readers that do not know Avro: one message an event, its body the event as a line of
 * plain JSON without line end (avro_decode_plain()), and no prefix. */
#ifndef WEIR_UPLINK_LAYOUT_JSON_H
#define WEIR_UPLINK_LAYOUT_JSON_H

#include "uplink/layout/layout.h"

/* ERR_REJECTED: the message would be over `size_max`, key included, or the datum is not of this type;
 * ERR_FULL: `memory` has no room. Nothing was written then. */
enum err json_add(struct message *ret, const struct avro_node *record, const struct layout_row *row,
                  uint32_t size_max, struct out *memory) MUST_USE;

#endif
