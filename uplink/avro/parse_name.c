/* Names in schemas, and how a mistake is told with its place. */
#include "uplink/avro/parse_impl.h"

/* --- errors and their place --- */

size_t parser_enter(struct parser *p, const char *member, uint32_t index)
{
    size_t before = p->pointer_size;
    struct out o = out_over(p->pointer + before, sizeof p->pointer - before - 1);
    if (member) {
        out_put_format(&o, "/%s", member);
    } else {
        out_put_format(&o, "/%u", index);
    }
    p->pointer_size = o.overflow ? before : before + o.size;
    p->pointer[p->pointer_size] = 0;
    return before;
}

void parser_leave(struct parser *p, size_t before)
{
    p->pointer_size = before;
    p->pointer[before] = 0;
}

enum err parse_wrong(struct parser *p, const char *text)
{
    why_set(p->why, "%s: %s", p->pointer, text);
    return ERR_CORRUPT;
}

enum err parse_wrong_name(struct parser *p, const char *text, struct slice name)
{
    char shown[160];
    struct out o = out_over(shown, sizeof shown);
    tree_put_shown(&o, name, false);
    why_set(p->why, "%s: %s \"%.*s\"", p->pointer, text, (int)o.size, shown);
    return ERR_CORRUPT;
}

enum err parse_wrong_member(struct parser *p, const char *member, const char *text,
                            struct slice name)
{
    (void)parser_enter(p, member, 0); /* nobody goes on after an error */
    return name.data ? parse_wrong_name(p, text, name) : parse_wrong(p, text);
}

void *parser_take(struct parser *p, size_t size, enum err *ret_e)
{
    void *memory = arena_take(p->arena, size);
    *ret_e = memory ? ERR_OK : ERR_NOMEM;
    return memory;
}

/* --- names (specification: "Names") --- */

bool avro_name_is_valid(struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if (!letter && c != '_' && (i == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    return name.size > 0;
}

static bool full_name_is_valid(struct slice name)
{
    size_t start = 0;
    for (size_t i = 0; i <= name.size; i++) {
        if (i == name.size || name.data[i] == '.') {
            if (!avro_name_is_valid((struct slice){name.data + start, i - start})) {
                return false;
            }
            start = i + 1;
        }
    }
    return true;
}

static size_t name_last_dot(struct slice name)
{
    size_t at = name.size;
    while (at > 0 && name.data[at - 1] != '.') {
        at--;
    }
    return at; /* behind the last dot; 0: none */
}

struct slice parse_name_space(struct slice full)
{
    size_t at = name_last_dot(full);
    return (struct slice){full.data, at ? at - 1 : 0};
}

enum err parse_name_full(struct parser *p, struct slice name, struct slice space, struct slice *ret)
{
    if (name_last_dot(name) > 0 || space.size == 0) {
        *ret = name;
        return ERR_OK;
    }
    enum err e;
    uint8_t *memory = parser_take(p, space.size + 1 + name.size, &e);
    if (!e) {
        struct out o = out_over(memory, space.size + 1 + name.size);
        out_put_slice(&o, space);
        out_put_byte(&o, '.');
        out_put_slice(&o, name);
        *ret = out_slice(&o);
    }
    return e;
}

struct avro_node *parse_named_find(const struct parser *p, struct slice full)
{
    for (const struct named *n = p->named; n; n = n->next) {
        if (slice_equal(n->node->name, full)) {
            return n->node;
        }
    }
    return NULL;
}

bool parse_primitive(struct slice name, enum avro_kind *ret)
{
    for (int kind = AVRO_NULL; kind <= AVRO_STRING; kind++) {
        if (slice_equal_text(name, avro_kind_name((enum avro_kind)kind))) {
            *ret = (enum avro_kind)kind;
            return true;
        }
    }
    return false;
}

enum err parse_text_member(struct parser *p, const struct tree *object, const char *key,
                           bool required, struct slice *ret)
{
    const struct tree *member = tree_member(object, key);
    *ret = (struct slice){NULL, 0};
    if (!member || (!required && member->kind == JSON_NULL)) { /* Python writes null for none */
        return required ? parse_wrong_name(p, "there is no", slice_of_text(key)) : ERR_OK;
    }
    if (member->kind != JSON_STRING) {
        return parse_wrong_member(p, key, "must be a string", (struct slice){NULL, 0});
    }
    *ret = member->text;
    return ERR_OK;
}

enum err parse_name(struct parser *p, const struct tree *object, struct slice space,
                    struct avro_node *node)
{
    struct slice name;
    struct slice own;
    enum avro_kind kind;
    enum err e = parse_text_member(p, object, "name", true, &name);
    if (!e) {
        e = parse_text_member(p, object, "namespace", false, &own);
    }
    if (e) {
        return e;
    }
    if (!full_name_is_valid(name)) {
        return parse_wrong_member(p, "name", "not a valid name:", name);
    }
    bool is_full = name_last_dot(name) > 0; /* then the namespace does not count */
    if (!is_full && own.data) {
        if (own.size > 0 && !full_name_is_valid(own)) {
            return parse_wrong_member(p, "namespace", "not a valid namespace:", own);
        }
        space = own;
    }
    e = parse_name_full(p, name, space, &node->name);
    if (e) {
        return e;
    }
    /* The specification wants them in no namespace at all; Java and Python take "ns.int", and so
     * registries have it. */
    if (parse_primitive(node->name, &kind)) {
        return parse_wrong_member(p, "name", "a primitive type can't be defined anew:", name);
    }
    if (parse_named_find(p, node->name)) {
        return parse_wrong_member(p, "name", "defined twice:", node->name);
    }
    struct named *named = parser_take(p, sizeof *named, &e);
    if (!e) {
        *named = (struct named){node, p->named};
        p->named = named;
        node->ordinal = ++p->named_count;
    }
    return e;
}

enum err parse_aliases(struct parser *p, const struct tree *object, const struct slice *space,
                       const struct slice **ret, uint32_t *ret_count)
{
    const struct tree *list = tree_member(object, "aliases");
    if (!list) {
        return ERR_OK;
    }
    size_t before = parser_enter(p, "aliases", 0);
    if (list->kind != JSON_ARRAY_BEGIN) {
        return parse_wrong(p, "must be an array of names");
    }
    enum err e;
    struct slice *names = parser_take(p, (list->count + 1) * sizeof *names, &e);
    uint32_t count = 0;
    for (const struct tree *item = list->first; !e && item; item = item->next) {
        if (item->kind != JSON_STRING || (space && !full_name_is_valid(item->text))) {
            return parse_wrong(p,
                               space ? "must be an array of names" : "must be an array of texts");
        }
        names[count] = item->text;
        e = space ? parse_name_full(p, item->text, *space, &names[count]) : ERR_OK;
        count++;
    }
    parser_leave(p, before);
    *ret = names;
    *ret_count = count;
    return e;
}
