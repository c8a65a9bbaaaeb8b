/* From a schema's JSON to the tree of its types. */
#include "uplink/avro/parse.h"

#include <assert.h>

#include "uplink/avro/number.h"
#include "uplink/avro/parse_impl.h"

#define FIELD_MAX 4096
#define SYMBOL_MAX 4096
#define BRANCH_MAX 256

static enum err parse_type(struct parser *p, const struct tree *tree, struct slice space,
                           struct avro_node **ret);

static enum err new_node(struct parser *p, enum avro_kind kind, const struct tree *tree,
                         struct avro_node **ret)
{
    enum err e;
    if (++p->node_count > AVRO_NODE_MAX) {
        why_set(p->why, "%s: more than %d types", p->pointer, AVRO_NODE_MAX);
        return ERR_REJECTED;
    }
    struct avro_node *node = parser_take(p, sizeof *node, &e);
    if (!e) {
        node->kind = kind;
        node->symbol_default = -1;
        node->json = tree->raw;
        *ret = node;
    }
    return e;
}

static enum err parse_reference(struct parser *p, const struct tree *tree, struct slice name,
                                struct slice space, struct avro_node **ret)
{
    enum avro_kind kind;
    if (parse_primitive(name, &kind)) {
        return new_node(p, kind, tree, ret);
    }
    struct slice full;
    enum err e = parse_name_full(p, name, space, &full);
    if (e) {
        return e;
    }
    struct avro_node *node = parse_named_find(p, full);
    if (!node) {
        node = parse_named_find(p, name);
    }
    if (!node) {
        return parse_wrong_name(p, "unknown type", name);
    }
    *ret = node;
    return ERR_OK;
}

static bool same_branch(const struct avro_node *a, const struct avro_node *b)
{
    return a->kind == b->kind && (a->name.size == 0 || slice_equal(a->name, b->name));
}

static enum err parse_union(struct parser *p, const struct tree *tree, struct slice space,
                            struct avro_node **ret)
{
    struct avro_node *node;
    enum err e = new_node(p, AVRO_UNION, tree, &node);
    if (e) {
        return e;
    }
    if (tree->count > BRANCH_MAX) {
        return parse_wrong(p, "more than 256 branches");
    }
    const struct avro_node **branches =
        parser_take(p, (tree->count + 1) * sizeof(struct avro_node *), &e);
    for (const struct tree *item = tree->first; !e && item; item = item->next) {
        struct avro_node *branch = NULL;
        size_t before = parser_enter(p, NULL, node->branch_count);
        e = parse_type(p, item, space, &branch);
        assert(e || branch);
        if (!e && branch->kind == AVRO_UNION) {
            e = parse_wrong(p, "a union can't stand directly in a union");
        }
        for (uint32_t i = 0; !e && i < node->branch_count; i++) {
            if (same_branch(branches[i], branch)) {
                e = parse_wrong(p, "this type stands in the union already");
            }
        }
        if (!e) {
            branches[node->branch_count++] = branch;
            parser_leave(p, before);
        }
    }
    node->branches = branches;
    *ret = node;
    return e;
}

static struct slice doc_of(const struct tree *tree)
{
    const struct tree *doc = tree_member(tree, "doc");
    return doc && doc->kind == JSON_STRING ? doc->text : (struct slice){NULL, 0};
}

static enum err parse_field(struct parser *p, const struct tree *tree, struct avro_node *record,
                            struct avro_field *field)
{
    struct avro_node *node = NULL;
    if (tree->kind != JSON_OBJECT_BEGIN) {
        return parse_wrong(p, "a field must be an object");
    }
    enum err e = parse_text_member(p, tree, "name", true, &field->name);
    if (!e && !avro_name_is_valid(field->name)) {
        e = parse_wrong_member(p, "name", "not a valid name:", field->name);
    }
    if (!e && avro_field_find(record, field->name, 0) >= 0) {
        e = parse_wrong_member(p, "name", "a second field", field->name);
    }
    const struct tree *order = tree_member(tree, "order");
    if (!e && order &&
        (order->kind != JSON_STRING || (!slice_equal_text(order->text, "ascending") &&
                                        !slice_equal_text(order->text, "descending") &&
                                        !slice_equal_text(order->text, "ignore")))) {
        e = parse_wrong_member(p, "order", "must be \"ascending\", \"descending\" or \"ignore\"",
                               (struct slice){NULL, 0});
    }
    if (!e) {
        e = parse_aliases(p, tree, NULL, &field->aliases, &field->alias_count);
    }
    const struct tree *type = tree_member(tree, "type");
    if (!e && !type) {
        e = parse_wrong(p, "there is no \"type\"");
    }
    if (e) {
        return e;
    }
    field->doc = doc_of(tree);
    field->json = tree->raw;
    size_t before = parser_enter(p, "type", 0);
    e = parse_type(p, type, parse_name_space(record->name), &node);
    if (!e) {
        parser_leave(p, before);
    }
    field->node = node;
    return e;
}

static enum err parse_record(struct parser *p, const struct tree *tree, struct avro_node *node)
{
    const struct tree *list = tree_member(tree, "fields");
    if (!list || list->kind != JSON_ARRAY_BEGIN) {
        return parse_wrong(p, "a record must have an array of \"fields\"");
    }
    if (list->count > FIELD_MAX) {
        return parse_wrong(p, "more than 4096 fields");
    }
    enum err e;
    struct avro_field *fields = parser_take(p, (list->count + 1) * sizeof *fields, &e);
    size_t before = parser_enter(p, "fields", 0);
    node->fields = fields;
    for (const struct tree *item = list->first; !e && item; item = item->next) {
        size_t inner = parser_enter(p, NULL, node->field_count);
        e = parse_field(p, item, node, &fields[node->field_count]);
        if (!e) {
            e = default_note(p, item, &fields[node->field_count++]);
        }
        if (!e) {
            parser_leave(p, inner);
        }
    }
    if (!e) {
        parser_leave(p, before);
    }
    return e;
}

static enum err parse_symbols(struct parser *p, const struct tree *tree, struct avro_node *node)
{
    const struct tree *list = tree_member(tree, "symbols");
    if (!list || list->kind != JSON_ARRAY_BEGIN) {
        return parse_wrong(p, "an enum must have an array of \"symbols\"");
    }
    if (list->count > SYMBOL_MAX) {
        return parse_wrong(p, "more than 4096 symbols");
    }
    enum err e;
    struct slice *symbols = parser_take(p, (list->count + 1) * sizeof *symbols, &e);
    node->symbols = symbols;
    for (const struct tree *item = list->first; !e && item; item = item->next) {
        if (item->kind != JSON_STRING || !avro_name_is_valid(item->text)) {
            e = parse_wrong_member(p, "symbols", "must be an array of names",
                                   (struct slice){NULL, 0});
        } else if (avro_symbol_find(node, item->text) >= 0) {
            e = parse_wrong_member(p, "symbols", "a second symbol", item->text);
        } else {
            symbols[node->symbol_count++] = item->text;
        }
    }
    const struct tree *initial = tree_member(tree, "default");
    if (!e && initial) {
        node->symbol_default =
            initial->kind == JSON_STRING ? avro_symbol_find(node, initial->text) : -1;
        if (node->symbol_default < 0) {
            e = parse_wrong_member(p, "default", "must be one of the symbols",
                                   (struct slice){NULL, 0});
        }
    }
    return e;
}

static enum err parse_fixed(struct parser *p, const struct tree *tree, struct avro_node *node)
{
    const struct tree *size = tree_member(tree, "size");
    int64_t value = -1;
    if (!size || size->kind != JSON_NUMBER || number_to_integer(size->text, &value) || value < 0 ||
        value > AVRO_FIXED_SIZE_MAX) {
        return parse_wrong(p, "a fixed must have a \"size\", an integer from 0 to 2147483647");
    }
    node->size = (uint32_t)value;
    return ERR_OK;
}

static enum err parse_items(struct parser *p, const struct tree *tree, const char *key,
                            struct slice space, struct avro_node *node)
{
    const struct tree *type = tree_member(tree, key);
    struct avro_node *items = NULL;
    if (!type) {
        return parse_wrong_name(p, "there is no", slice_of_text(key));
    }
    size_t before = parser_enter(p, key, 0);
    enum err e = parse_type(p, type, space, &items);
    if (!e) {
        parser_leave(p, before);
    }
    node->items = items;
    return e;
}

static enum err parse_named(struct parser *p, const struct tree *tree, enum avro_kind kind,
                            struct slice space, struct avro_node **ret)
{
    struct avro_node *node = NULL;
    enum err e = new_node(p, kind, tree, &node);
    if (!e) {
        node->doc = doc_of(tree);
        e = parse_name(p, tree, space, node);
    }
    if (!e) {
        struct slice own = parse_name_space(node->name);
        e = parse_aliases(p, tree, &own, &node->aliases, &node->alias_count);
    }
    if (!e) {
        e = kind == AVRO_RECORD ? parse_record(p, tree, node)
            : kind == AVRO_ENUM ? parse_symbols(p, tree, node)
                                : parse_fixed(p, tree, node);
    }
    *ret = node;
    return e;
}

static enum err parse_object(struct parser *p, const struct tree *tree, struct slice space,
                             struct avro_node **ret)
{
    struct slice type;
    enum err e = parse_text_member(p, tree, "type", true, &type);
    if (e) {
        return e;
    }
    if (slice_equal_text(type, "record") || slice_equal_text(type, "error")) {
        return parse_named(p, tree, AVRO_RECORD, space, ret);
    }
    if (slice_equal_text(type, "enum")) {
        return parse_named(p, tree, AVRO_ENUM, space, ret);
    }
    enum avro_kind primitive;
    if (slice_equal_text(type, "fixed")) {
        e = parse_named(p, tree, AVRO_FIXED, space, ret);
    } else if (slice_equal_text(type, "array") || slice_equal_text(type, "map")) {
        bool is_array = type.data[0] == 'a';
        e = new_node(p, is_array ? AVRO_ARRAY : AVRO_MAP, tree, ret);
        return e ? e : parse_items(p, tree, is_array ? "items" : "values", space, *ret);
    } else {
        e = parse_reference(p, tree, type, space, ret);
    }
    if (!e && (slice_equal_text(type, "fixed") || parse_primitive(type, &primitive))) {
        parse_logical(tree, *ret);
    }
    return e;
}

/* Types nest: this recurses, at most AVRO_DEPTH_MAX deep. */
static enum err parse_type(struct parser *p, const struct tree *tree, struct slice space,
                           struct avro_node **ret)
{
    assert(tree);
    if (p->depth == AVRO_DEPTH_MAX) {
        why_set(p->why, "%s: types nest deeper than %d", p->pointer, AVRO_DEPTH_MAX);
        return ERR_REJECTED;
    }
    p->depth++;
    enum err e;
    if (tree->kind == JSON_STRING) {
        e = parse_reference(p, tree, tree->text, space, ret);
    } else if (tree->kind == JSON_ARRAY_BEGIN) {
        e = parse_union(p, tree, space, ret);
    } else if (tree->kind == JSON_OBJECT_BEGIN) {
        e = parse_object(p, tree, space, ret);
    } else {
        e = parse_wrong(p, "a type must be a name, an object, or an array (a union)");
    }
    p->depth--;
    return e;
}

/* The text without white space between tokens. */
static enum err compact(struct avro_schema *schema, struct slice text)
{
    uint8_t *memory = arena_take(&schema->arena, text.size + 1);
    if (!memory) {
        return ERR_NOMEM;
    }
    struct out o = out_over(memory, text.size + 1);
    bool quoted = false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
        if (quoted || !blank) {
            out_put_byte(&o, c);
        }
        if (quoted && c == '\\') {
            out_put_byte(&o, text.data[++i]);
        } else if (c == '"') {
            quoted = !quoted;
        }
    }
    schema->text = out_slice(&o);
    return ERR_OK;
}

enum err avro_parse(struct avro_schema *schema, struct slice text, struct why *why)
{
    struct parser p = {.arena = &schema->arena, .why = why};
    struct tree *tree;
    struct avro_node *root = NULL;
    struct why place = {""};
    p.defaults_end = &p.defaults;
    struct slice copy = arena_copy(&schema->arena, text);
    if (!copy.data) {
        return ERR_NOMEM;
    }
    enum err e = tree_parse(&tree, &schema->arena, copy, AVRO_JSON_DEPTH_MAX, &place);
    if (e) {
        why_set(why, "%s%s", place.text[0] == '/' ? "" : ": ", place.text);
        return e;
    }
    e = parse_type(&p, tree, (struct slice){NULL, 0}, &root);
    if (!e) {
        e = default_encode_all(&p);
    }
    if (!e) {
        e = compact(schema, copy);
    }
    schema->root = root;
    return e;
}
