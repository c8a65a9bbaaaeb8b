#include <string.h>

#include "uplink/aws/glue.h"
#include "uplink/layout/columns.h"
#include "uplink/layout/framing.h"

/* Batches in columns are compressed as they are. */
static bool has_zlib(const struct glue_options *options, const struct target *target)
{
    return options->compression == GLUE_COMPRESSION_ZLIB && target->layout == LAYOUT_ROWS;
}

enum err glue_target(struct glue *glue, const char *topic, const struct schema_info *schema,
                     struct target *ret, struct why *why)
{
    const struct schema_info batch = {.number = GLUE_BATCH_SCHEMA, .json = columns_batch_schema()};
    enum err e = glue_prefix(glue, topic, schema, ret->prefix, why);
    if (!e && ret->layout == LAYOUT_COLUMNS) {
        memcpy(ret->row_schema_id, ret->prefix + GLUE_PREFIX_SIZE - GLUE_ID_SIZE, GLUE_ID_SIZE);
        ret->row_schema_id_size = GLUE_ID_SIZE;
        e = glue_prefix(glue, NULL, &batch, ret->prefix, why);
    }
    ret->prefix_size = e ? 0 : GLUE_PREFIX_SIZE;
    ret->has_zlib = !e && has_zlib(glue_options_of(glue), ret);
    return e;
}

void glue_target_guess(const struct glue_options *options, struct target *ret)
{
    memset(ret->prefix, 0xa5, GLUE_PREFIX_SIZE); /* ids are as random */
    ret->prefix_size = GLUE_PREFIX_SIZE;
    memset(ret->row_schema_id, 0x5a, GLUE_ID_SIZE);
    ret->row_schema_id_size = ret->layout == LAYOUT_COLUMNS ? GLUE_ID_SIZE : 0;
    ret->has_zlib = has_zlib(options, ret);
}

enum err glue_framing_check(const struct glue_options *options, int64_t framing, struct why *why)
{
    if (framing == FRAMING_REGISTRY && !options->is_set) {
        why_set(why, "framing: \"registry\" needs a registry: set `glue`");
        return ERR_CONFIG;
    }
    if (options->is_set && framing != FRAMING_REGISTRY && framing != FRAMING_AUTO) {
        why_set(why, "framing: only \"registry\" uses a registry: leave out `glue`, or `framing`");
        return ERR_CONFIG;
    }
    return options->is_set ? glue_options_check(options, why) : ERR_OK;
}
