/* Parsing Canonical Form and CRC-64-AVRO. */
#include <assert.h>

#include "uplink/avro/schema.h"

struct writer {
    struct out *out;
    uint32_t written; /* ordinal of the last named type written out: they come in their order */
    unsigned depth;
};

static void write_node(struct writer *w, const struct avro_node *node);

static void write_name(struct writer *w, struct slice name)
{
    out_put_byte(w->out, '"');
    out_put_slice(w->out, name);
    out_put_byte(w->out, '"');
}

static void write_fields(struct writer *w, const struct avro_node *node)
{
    out_put_text(w->out, ",\"fields\":[");
    for (uint32_t i = 0; i < node->field_count; i++) {
        out_put_text(w->out, i ? ",{\"name\":" : "{\"name\":");
        write_name(w, node->fields[i].name);
        out_put_text(w->out, ",\"type\":");
        write_node(w, node->fields[i].node);
        out_put_byte(w->out, '}');
    }
    out_put_byte(w->out, ']');
}

static void write_named(struct writer *w, const struct avro_node *node)
{
    if (node->ordinal <= w->written) {
        write_name(w, node->name);
        return;
    }
    w->written = node->ordinal;
    out_put_text(w->out, "{\"name\":");
    write_name(w, node->name);
    out_put_format(w->out, ",\"type\":\"%s\"", avro_kind_name(node->kind));
    if (node->kind == AVRO_RECORD) {
        write_fields(w, node);
    } else if (node->kind == AVRO_FIXED) {
        out_put_format(w->out, ",\"size\":%u", node->size);
    } else {
        out_put_text(w->out, ",\"symbols\":[");
        for (uint32_t i = 0; i < node->symbol_count; i++) {
            out_put_text(w->out, i ? "," : "");
            write_name(w, node->symbols[i]);
        }
        out_put_byte(w->out, ']');
    }
    out_put_byte(w->out, '}');
}

/* Recurses as deep as types nest, at most AVRO_DEPTH_MAX: a type inside itself is
 * written by name. */
static void write_node(struct writer *w, const struct avro_node *node)
{
    assert(w->depth <= AVRO_DEPTH_MAX);
    w->depth++;
    if (node->name.size) {
        write_named(w, node);
    } else if (node->kind == AVRO_ARRAY || node->kind == AVRO_MAP) {
        out_put_format(w->out, "{\"type\":\"%s\",\"%s\":", avro_kind_name(node->kind),
                       node->kind == AVRO_ARRAY ? "items" : "values");
        write_node(w, node->items);
        out_put_byte(w->out, '}');
    } else if (node->kind == AVRO_UNION) {
        out_put_byte(w->out, '[');
        for (uint32_t i = 0; i < node->branch_count; i++) {
            out_put_text(w->out, i ? "," : "");
            write_node(w, node->branches[i]);
        }
        out_put_byte(w->out, ']');
    } else {
        out_put_format(w->out, "\"%s\"", avro_kind_name(node->kind));
    }
    w->depth--;
}

void avro_canonical(const struct avro_schema *schema, struct out *ret)
{
    struct writer w = {.out = ret};
    write_node(&w, avro_schema_root(schema));
}

/* Specification, "Schema Fingerprints": the Rabin fingerprint over the polynomial EMPTY,
 * byte by byte. */
uint64_t avro_crc64(struct slice bytes)
{
    const uint64_t empty = UINT64_C(0xc15d213aa4d7a795);
    uint64_t crc = empty;
    for (size_t i = 0; i < bytes.size; i++) {
        crc ^= bytes.data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (empty & (0 - (crc & 1)));
        }
    }
    return crc;
}
