/* Framing: how a message says what it is, where no registry has a say. One place for all uplinks
 * that have the option `framing`. Pure. */
#ifndef WEIR_UPLINK_LAYOUT_FRAMING_H
#define WEIR_UPLINK_LAYOUT_FRAMING_H

#include "ports/uplink.h"

/* The header of AWS Glue's messages: its version, how the datum is packed, the UUID of the schema's
 * version. */
#define FRAMING_GLUE_VERSION 3
#define FRAMING_GLUE_PLAIN 0
#define FRAMING_GLUE_ZLIB 5

enum framing {
    FRAMING_AUTO,          /* the registry's where there is one, else single_object */
    FRAMING_REGISTRY,      /* what the registry's readers expect; its uplink does that itself */
    FRAMING_SINGLE_OBJECT, /* Avro's single-object encoding: C3 01, the schema's fingerprint */
    FRAMING_NONE,          /* the bare datum */
    FRAMING_JSON,          /* plain JSON */
};
/* The words of the option, in this order; ends with NULL. */
extern const char *const framing_words[];

/* Sets prefix, prefix_size and is_json of a target whose layout is set. Messages in columns always
 * have Avro's single-object header: they are nothing without it. */
void framing_put(enum framing framing, const struct schema_info *schema, struct target *ret);

#endif
