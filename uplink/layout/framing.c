#include "uplink/layout/framing.h"

#include <string.h>

#include "uplink/layout/columns.h"

#define SINGLE_OBJECT_SIZE 10

const char *const framing_words[] = {"auto", "registry", "single_object", "none", "json", NULL};

void framing_put(enum framing framing, const struct schema_info *schema, struct target *ret)
{
    static const uint8_t batch_fingerprint[] = COLUMNS_FINGERPRINT;
    bool is_columns = ret->layout == LAYOUT_COLUMNS;
    ret->is_json = framing == FRAMING_JSON && !is_columns;
    ret->prefix_size = 0;
    if (ret->is_json || (framing == FRAMING_NONE && !is_columns)) {
        return;
    }
    ret->prefix[0] = 0xc3;
    ret->prefix[1] = 0x01;
    memcpy(ret->prefix + 2, is_columns ? batch_fingerprint : schema->fingerprint,
           sizeof schema->fingerprint);
    ret->prefix_size = SINGLE_OBJECT_SIZE;
}
