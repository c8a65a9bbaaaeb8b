/* Logical types. One that is not known, or not valid where it stands, is ignored (specification:
 * "Logical Types"). */
#include "uplink/avro/number.h"
#include "uplink/avro/parse_impl.h"

static bool number_member(const struct tree *tree, const char *key, int64_t *ret)
{
    const struct tree *member = tree_member(tree, key);
    return member && member->kind == JSON_NUMBER && number_to_integer(member->text, ret) == ERR_OK;
}

/* The number of decimal digits that always fit a two's complement integer of this size. */
static int64_t fixed_digits(uint32_t size)
{
    /* log10(2), rounded down: exact for thousands of bytes, and never too many */
    return size == 0 ? 0 : (int64_t)(((uint64_t)size * 8 - 1) * 301029995 / 1000000000);
}

static void parse_decimal(const struct tree *tree, struct avro_node *node)
{
    int64_t precision = 0;
    int64_t scale = 0;
    if ((node->kind != AVRO_BYTES && node->kind != AVRO_FIXED) ||
        !number_member(tree, "precision", &precision) || precision < 1 || precision > INT32_MAX ||
        (tree_member(tree, "scale") && !number_member(tree, "scale", &scale)) || scale < 0 ||
        scale > precision || (node->kind == AVRO_FIXED && precision > fixed_digits(node->size))) {
        return;
    }
    node->logical = AVRO_DECIMAL;
    node->precision = (uint32_t)precision;
    node->scale = (uint32_t)scale;
}

void parse_logical(const struct tree *tree, struct avro_node *node)
{
    static const struct {
        const char *name;
        enum avro_kind kind;
        enum avro_logical logical;
    } table[] = {
        {"uuid", AVRO_STRING, AVRO_UUID},
        {"date", AVRO_INT, AVRO_DATE},
        {"time-millis", AVRO_INT, AVRO_TIME_MILLIS},
        {"time-micros", AVRO_LONG, AVRO_TIME_MICROS},
        {"timestamp-millis", AVRO_LONG, AVRO_TIMESTAMP_MILLIS},
        {"timestamp-micros", AVRO_LONG, AVRO_TIMESTAMP_MICROS},
        {"timestamp-nanos", AVRO_LONG, AVRO_TIMESTAMP_NANOS},
        {"local-timestamp-millis", AVRO_LONG, AVRO_LOCAL_TIMESTAMP_MILLIS},
        {"local-timestamp-micros", AVRO_LONG, AVRO_LOCAL_TIMESTAMP_MICROS},
        {"local-timestamp-nanos", AVRO_LONG, AVRO_LOCAL_TIMESTAMP_NANOS},
    };
    const struct tree *name = tree_member(tree, "logicalType");
    if (!name || name->kind != JSON_STRING) {
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        if (table[i].kind == node->kind && slice_equal_text(name->text, table[i].name)) {
            node->logical = table[i].logical;
        }
    }
    if (slice_equal_text(name->text, "decimal")) {
        parse_decimal(tree, node);
    } else if (slice_equal_text(name->text, "duration") && node->kind == AVRO_FIXED &&
               node->size == 12) {
        node->logical = AVRO_DURATION;
    } else if (slice_equal_text(name->text, "uuid") && node->kind == AVRO_FIXED &&
               node->size == 16) {
        node->logical = AVRO_UUID;
    }
}
