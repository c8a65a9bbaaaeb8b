/* From a row schema to its columns, before any row: which there are, how they are numbered, which
 * strings are known. */
#include "uplink/layout/columns_impl.h"

#include <assert.h>
#include <stdlib.h>

#include "uplink/avro/decode.h"
#include "uplink/avro/tree.h"

#define NODE_MAX 8192 /* types at all places: records in records need no columns */
#define JSON_DEPTH (AVRO_JSON_DEPTH_MAX)

struct planner {
    struct columns_plan *plan;
    struct arena scratch; /* trees of properties */
    const struct columns_words *none;
    const struct avro_node *open[COLUMNS_NEST_MAX]; /* from the root to where it is */
    uint32_t depth;
    uint32_t column_count;
    uint32_t node_count;
};

uint32_t columns_hash(struct slice s)
{
    uint64_t h = s.size * UINT64_C(0x9e3779b97f4a7c15);
    const uint8_t *p = s.data;
    size_t left = s.size;
    for (; left >= 8; left -= 8, p += 8) {
        uint64_t eight;
        memcpy(&eight, p, 8);
        h = (h ^ eight) * UINT64_C(0x9fb21c651e98df25);
        h ^= h >> 29;
    }
    uint64_t rest = 0;
    for (size_t i = 0; i < left; i++) {
        rest = rest << 8 | p[i];
    }
    h = (h ^ rest) * UINT64_C(0x9fb21c651e98df25);
    return (uint32_t)(h >> 32);
}

int32_t columns_word_find(const struct columns_words *words, struct slice word, uint32_t hash)
{
    if (words->count == 0) {
        return -1;
    }
    for (uint32_t at = hash & words->mask; words->table[at]; at = (at + 1) & words->mask) {
        uint32_t index = words->table[at] - 1;
        if (slice_equal(words->words[index], word)) {
            return (int32_t)index;
        }
    }
    return -1;
}

/* --- properties of the schema that are ours --- */

static bool text_holds(struct slice text, const char *word)
{
    size_t size = strlen(word);
    for (size_t i = 0; i + size <= text.size; i++) {
        if (text.data[i] == (uint8_t)word[0] && memcmp(text.data + i, word, size) == 0) {
            return true;
        }
    }
    return false;
}

/* The member of an object's text; NULL: it has none. */
static enum err property(struct planner *p, struct slice json, const char *key,
                         const struct tree **ret)
{
    struct tree *tree = NULL;
    struct why why = {""};
    *ret = NULL;
    if (!text_holds(json, key) && !text_holds(json, "\\u")) { /* keys may be escaped */
        return ERR_OK;
    }
    enum err e = tree_parse(&tree, &p->scratch, json, JSON_DEPTH, &why);
    assert(!e || e == ERR_NOMEM); /* it has been parsed before, within a larger text */
    *ret = e ? NULL : tree_member(tree, key);
    return e;
}

static enum err obstacle(struct planner *p, const char *sentence)
{
    p->plan->obstacle = sentence;
    return ERR_REJECTED;
}

/* The first of equal words is the one that is found. */
static enum err index_words(struct planner *p, struct columns_words *words)
{
    uint32_t size = 8;
    while (size < words->count * 2) {
        size *= 2;
    }
    uint32_t *table = arena_take(&p->plan->arena, size * sizeof *table);
    if (!table) {
        return ERR_NOMEM;
    }
    words->mask = size - 1;
    words->table = table;
    for (uint32_t i = 0; i < words->count; i++) {
        uint32_t at = columns_hash(words->words[i]) & words->mask;
        while (table[at]) {
            at = (at + 1) & words->mask;
        }
        table[at] = i + 1;
    }
    return ERR_OK;
}

static enum err known_words(struct planner *p, struct slice json, const char *key,
                            const struct columns_words **ret)
{
    const struct tree *list = NULL;
    *ret = p->none;
    enum err e = property(p, json, key, &list);
    if (e || !list) {
        return e;
    }
    if (list->kind != JSON_ARRAY_BEGIN || list->count > COLUMNS_WORD_MAX) {
        return obstacle(p, "a list of known strings is not an array of at most 2048 strings");
    }
    struct columns_words *words = arena_take(&p->plan->arena, sizeof *words);
    struct slice *texts = arena_take(&p->plan->arena, (list->count + 1) * sizeof *texts);
    size_t size = 0;
    if (!words || !texts) {
        return ERR_NOMEM;
    }
    for (const struct tree *item = list->first; item; item = item->next) {
        size += item->text.size;
        if (item->kind != JSON_STRING || size > COLUMNS_WORD_SIZE_MAX) {
            return obstacle(p, "a list of known strings holds something else, or over 16384 bytes");
        }
        texts[words->count] = arena_copy(&p->plan->arena, item->text);
        if (!texts[words->count++].data) {
            return ERR_NOMEM;
        }
    }
    words->words = texts;
    *ret = words;
    return index_words(p, words);
}

/* A decimal that the specification does not allow is plain bytes to some readers and a decimal to
 * others. */
static enum err check_decimal(struct planner *p, const struct avro_node *type)
{
    const struct tree *logical = NULL;
    enum err e = type->logical == AVRO_PLAIN && type->json.size && type->json.data[0] == '{'
                     ? property(p, type->json, "logicalType", &logical)
                     : ERR_OK;
    bool is_decimal =
        logical && logical->kind == JSON_STRING && slice_equal_text(logical->text, "decimal");
    return !e && is_decimal ? obstacle(p, "a decimal whose precision, scale or size is not valid")
                            : e;
}

/* --- the walk --- */

/* What stands around a type: the text of its field, array or map. */
static enum err plan_type(struct planner *p, const struct avro_node *type, struct slice around,
                          struct columns_node *node);

static enum err plan_children(struct planner *p, const struct avro_node *type, struct slice around,
                              struct columns_node *node)
{
    bool is_record = type->kind == AVRO_RECORD;
    node->child_count = is_record                  ? type->field_count
                        : type->kind == AVRO_UNION ? type->branch_count
                                                   : 1;
    if (node->child_count > NODE_MAX - p->node_count) {
        return obstacle(p, "it has more than 8192 types");
    }
    p->node_count += node->child_count;
    struct columns_node *children =
        arena_take(&p->plan->arena, (node->child_count + 1) * sizeof *children);
    enum err e = children ? ERR_OK : ERR_NOMEM;
    node->children = children;
    for (uint32_t i = 0; !e && i < node->child_count; i++) {
        const struct avro_node *child = is_record                  ? type->fields[i].node
                                        : type->kind == AVRO_UNION ? type->branches[i]
                                                                   : type->items;
        struct slice text = is_record                  ? type->fields[i].json
                            : type->kind == AVRO_UNION ? around
                                                       : type->json;
        e = plan_type(p, child, text, &children[i]);
    }
    return e;
}

static enum columns_kind kind_of(const struct avro_node *type)
{
    static const enum columns_kind kinds[] = {
        [AVRO_NULL] = COLUMNS_NULL,     [AVRO_BOOLEAN] = COLUMNS_BOOLEAN,
        [AVRO_INT] = COLUMNS_WHOLE,     [AVRO_LONG] = COLUMNS_WHOLE,
        [AVRO_FLOAT] = COLUMNS_FLOAT,   [AVRO_DOUBLE] = COLUMNS_DOUBLE,
        [AVRO_BYTES] = COLUMNS_BYTES,   [AVRO_STRING] = COLUMNS_TEXT,
        [AVRO_RECORD] = COLUMNS_RECORD, [AVRO_ENUM] = COLUMNS_ENUM,
        [AVRO_ARRAY] = COLUMNS_ARRAY,   [AVRO_MAP] = COLUMNS_MAP,
        [AVRO_UNION] = COLUMNS_UNION,   [AVRO_FIXED] = COLUMNS_FIXED};
    return type->logical == AVRO_DECIMAL ? COLUMNS_DECIMAL : kinds[type->kind];
}

static enum err enter(struct planner *p, const struct avro_node *type)
{
    if (p->depth == COLUMNS_NEST_MAX) {
        return obstacle(p, "its types nest deeper than 64");
    }
    for (uint32_t i = 0; type->kind == AVRO_RECORD && i < p->depth; i++) {
        if (p->open[i] == type) {
            return obstacle(p, "it is recursive");
        }
    }
    p->open[p->depth++] = type;
    return ERR_OK;
}

/* Recurses at most COLUMNS_NEST_MAX deep. */
static enum err plan_type(struct planner *p, const struct avro_node *type, struct slice around,
                          struct columns_node *node)
{
    enum err e = enter(p, type);
    if (e) {
        return e;
    }
    *node = (struct columns_node){.kind = kind_of(type), .column = p->column_count, .type = type};
    bool has_children = node->kind == COLUMNS_RECORD || node->kind == COLUMNS_UNION ||
                        node->kind == COLUMNS_ARRAY || node->kind == COLUMNS_MAP;
    bool has_column = node->kind != COLUMNS_RECORD && node->kind != COLUMNS_NULL;
    p->column_count += node->kind == COLUMNS_MAP ? 2 : has_column;
    if (p->column_count > COLUMNS_COLUMN_MAX + 1) {
        return obstacle(p, "it has more than 1000 columns");
    }
    if (node->kind == COLUMNS_TEXT) {
        e = known_words(p, around, "weir.values", &node->words);
    } else if (node->kind == COLUMNS_MAP) {
        e = known_words(p, type->json, "weir.keys", &node->words);
    } else if (node->kind == COLUMNS_BYTES || node->kind == COLUMNS_FIXED) {
        e = check_decimal(p, type);
    }
    if (!e && has_children) {
        e = plan_children(p, type, around, node);
    }
    p->depth--;
    return e;
}

enum err columns_plan_open(struct columns_plan **ret, const struct avro_schema *schema)
{
    struct columns_plan *plan = calloc(1, sizeof *plan);
    if (!plan) {
        return ERR_NOMEM;
    }
    plan->schema = schema;
    struct out id = out_over(plan->schema_id, sizeof plan->schema_id);
    out_put_u64_le(&id, avro_crc64(avro_schema_text(schema)));
    struct planner p = {.plan = plan, .column_count = 1}; /* 0: the sequence numbers */
    struct columns_node *root = arena_take(&plan->arena, sizeof *root);
    p.none = arena_take(&plan->arena, sizeof *p.none);
    enum err e = root && p.none
                     ? plan_type(&p, avro_schema_root(schema), (struct slice){NULL, 0}, root)
                     : ERR_NOMEM;
    arena_release(&p.scratch);
    if (e && e != ERR_REJECTED) {
        columns_plan_close(plan);
        return e;
    }
    plan->root = e ? NULL : root;
    plan->column_count = p.column_count;
    *ret = plan;
    return ERR_OK;
}

void columns_plan_close(struct columns_plan *plan)
{
    if (plan) {
        arena_release(&plan->arena);
        free(plan);
    }
}

const char *columns_plan_obstacle(const struct columns_plan *plan)
{
    return plan->obstacle;
}

enum err columns_check(const struct columns_plan *plan, struct slice datum)
{
    bool is_lost = datum.size == 0 && !plan->root; /* a row body of nothing is none */
    enum err e = avro_skip(avro_schema_root(plan->schema), &datum);
    return e || is_lost || datum.size > 0 ? ERR_REJECTED : ERR_OK;
}

struct slice columns_batch_schema(void)
{
    return SLICE(
        "{\"type\":\"record\",\"name\":\"Batch\",\"namespace\":\"weir.columns\","
        "\"fields\":[{\"name\":\"schema\",\"type\":[\"int\","
        "{\"type\":\"fixed\",\"name\":\"Crc64\",\"size\":8},"
        "{\"type\":\"fixed\",\"name\":\"Uuid\",\"size\":16}]},"
        "{\"name\":\"agent\",\"type\":\"string\"},{\"name\":\"count\",\"type\":\"int\"},"
        "{\"name\":\"ints\",\"type\":{\"type\":\"array\",\"items\":\"long\"}},"
        "{\"name\":\"strings\",\"type\":{\"type\":\"array\",\"items\":\"string\"}},"
        "{\"name\":\"planes\",\"type\":\"bytes\"},{\"name\":\"rows\",\"type\":\"bytes\"}]}");
}
