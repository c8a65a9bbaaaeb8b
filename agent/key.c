#include "agent/key.h"

#include "uplink/avro/decode.h"

static bool can_be_key(const struct avro_node *node)
{
    switch (node->kind) {
    case AVRO_STRING:
    case AVRO_BYTES:
    case AVRO_FIXED:
    case AVRO_ENUM:
    case AVRO_INT:
    case AVRO_LONG:
    case AVRO_BOOLEAN:
    case AVRO_NULL:
        return true;
    case AVRO_UNION:
        for (uint32_t i = 0; i < node->branch_count; i++) {
            if (!can_be_key(node->branches[i])) { /* one level: a union holds no union */
                return false;
            }
        }
        return true;
    case AVRO_FLOAT:
    case AVRO_DOUBLE:
    case AVRO_RECORD:
    case AVRO_ARRAY:
    case AVRO_MAP:
        return false;
    }
    return false;
}

static bool can_be_flag(const struct avro_node *node)
{
    bool has_boolean = node->kind == AVRO_BOOLEAN;
    for (uint32_t i = 0; node->kind == AVRO_UNION && i < node->branch_count; i++) {
        if (node->branches[i]->kind != AVRO_BOOLEAN && node->branches[i]->kind != AVRO_NULL) {
            return false;
        }
        has_boolean = has_boolean || node->branches[i]->kind == AVRO_BOOLEAN;
    }
    return has_boolean;
}

enum err key_find(struct key *ret, const struct avro_schema *schema, const char *field,
                  enum key_use use, struct why *why)
{
    static const char *const wanted[] = {
        [KEY_VALUE] = "a key is a string, bytes, fixed, enum, int, long or boolean, or one of "
                      "these or null",
        [KEY_FLAG] = "a boolean is wanted, or null or a boolean"};
    const struct avro_node *root = avro_schema_root(schema);
    int32_t index = root->kind == AVRO_RECORD ? avro_field_find(root, slice_of_text(field), 0) : -1;
    if (index < 0) {
        why_set(why, "the schema has no field \"%s\"", field);
        return ERR_CONFIG;
    }
    const struct avro_node *node = root->fields[index].node;
    if (!(use == KEY_FLAG ? can_be_flag(node) : can_be_key(node))) {
        why_set(why, "field \"%s\" is a %s: %s", field, avro_kind_name(node->kind), wanted[use]);
        return ERR_CONFIG;
    }
    *ret = (struct key){schema, (uint32_t)index};
    return ERR_OK;
}

static struct slice number_text(int64_t number, struct out *scratch)
{
    size_t start = scratch->size;
    out_put_format(scratch, "%lld", (long long)number);
    return (struct slice){scratch->data + start, scratch->size - start};
}

static struct slice key_value(const struct avro_node *node, struct slice datum, struct out *scratch)
{
    struct slice value = {NULL, 0};
    int64_t number = 0;
    uint8_t byte = 0;
    if (node->kind == AVRO_UNION) {
        if (!slice_take_varint(&datum, &number) || number < 0 ||
            number >= (int64_t)node->branch_count) {
            return value;
        }
        node = node->branches[number];
    }
    if (node->kind == AVRO_STRING || node->kind == AVRO_BYTES) {
        (void)!avro_take_bytes(&datum, &value); /* stays empty when it is not there */
    } else if (node->kind == AVRO_FIXED) {
        (void)!slice_take(&datum, node->size, &value);
    } else if (node->kind == AVRO_BOOLEAN) {
        value = !slice_take_u8(&datum, &byte) ? value : byte ? SLICE("true") : SLICE("false");
    } else if (node->kind != AVRO_NULL && slice_take_varint(&datum, &number)) {
        bool is_symbol =
            node->kind == AVRO_ENUM && number >= 0 && number < (int64_t)node->symbol_count;
        value = is_symbol ? node->symbols[number] : number_text(number, scratch);
    }
    return value;
}

struct slice key_of(const struct key *key, struct slice datum, struct out *scratch)
{
    struct slice none = {NULL, 0};
    if (!key->schema) {
        return none;
    }
    const struct avro_node *root = avro_schema_root(key->schema);
    for (uint32_t i = 0; i < key->field; i++) {
        if (avro_skip(root->fields[i].node, &datum)) {
            return none;
        }
    }
    return key_value(root->fields[key->field].node, datum, scratch);
}

bool key_flag(const struct key *flag, struct slice datum)
{
    struct out none = out_over(NULL, 0);
    return slice_equal_text(key_of(flag, datum, &none), "true");
}
