/* A schema is cut at the types A, B and n.C: each piece is one JSON value with no more text than it
 * should have, stands behind those that it needs, and is a schema by itself when it needs none. */
#include "uplink/registry/pieces.h"

#include <stdlib.h>
#include <string.h>

#include "ports/lib/json.h"
#include "ports/option.h"
#include "uplink/avro/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_piece(const struct pieces *pieces, size_t index)
{
    static const uint32_t versions[PIECE_MAX];
    const struct piece *piece = &pieces->items[index];
    struct json_reader reader;
    struct slice whole, body;
    bool is_alone = true;
    struct avro_schema *schema = NULL;
    for (size_t i = 0; i < PIECE_MAX; i++) {
        is_alone = is_alone && !piece->needs[i];
        if (piece->needs[i] && i >= index) {
            abort();
        }
    }
    json_init(&reader, piece->text);
    if (json_skip(&reader, &whole) || json_end(&reader) != piece->text.size) {
        abort();
    }
    if (is_alone && avro_schema_parse(&schema, piece->text, NULL) == ERR_CORRUPT) {
        abort();
    }
    avro_schema_close(schema);
    if (piece_body(pieces, index, versions, &body) == ERR_OK) {
        json_init(&reader, body);
        if (json_skip(&reader, &whole) || json_end(&reader) != body.size) {
            abort();
        }
        free((void *)(uintptr_t)body.data);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"A", "B", "n.C"};
    static const char *subjects[] = {"a", "b", "c"};
    struct option_map references = {.names = names, .items = subjects, .count = 3};
    struct pieces pieces;
    if (pieces_open(&pieces, (struct slice){data, size}, &references, NULL)) {
        return 0;
    }
    for (size_t i = 0; i < pieces.count; i++) {
        check_piece(&pieces, i);
    }
    pieces_close(&pieces);
    return 0;
}
