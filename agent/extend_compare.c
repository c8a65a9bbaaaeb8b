/* Is a schema an extension of another? Their texts are read side by side. */
#include <stdlib.h>
#include <string.h>

#include "agent/extend.h"
#include "ports/lib/json.h"

struct comparing {
    struct json_reader base;
    struct json_reader more;
    struct json_frame base_deep[AVRO_JSON_DEPTH_MAX - JSON_DEPTH_MAX];
    struct json_frame more_deep[AVRO_JSON_DEPTH_MAX - JSON_DEPTH_MAX];
    struct slice text;                       /* of `more` */
    bool is_fields[AVRO_JSON_DEPTH_MAX + 1]; /* by depth: what is open is the list of "fields" */
    uint32_t count;
};

/* As extend_schema() writes a field. Each has a default, those of new records, too. */
static bool is_added_field(struct slice field, uint32_t *count)
{
    static const char begin[] = "{\"name\":\"";
    static const char type[] = "\"type\":[\"null\",";
    static const char end[] = "],\"default\":null}";
    const size_t end_size = sizeof end - 1;
    struct slice rest = field;
    struct slice taken;
    if (!slice_starts_with(field, slice_of_text(begin)) || field.size < end_size ||
        memcmp(field.data + field.size - end_size, end, end_size) != 0 ||
        !slice_take(&rest, sizeof begin - 1, &taken)) {
        return false;
    }
    const uint8_t *quote = memchr(rest.data, '"', rest.size);
    if (!quote || !slice_take(&rest, (size_t)(quote - rest.data) + 2, &taken) ||
        !slice_starts_with(rest, slice_of_text(type))) {
        return false;
    }
    const uint8_t *at;
    while ((at = memmem(rest.data, rest.size, end, end_size))) {
        ++*count;
        rest.size -= (size_t)(at + 1 - rest.data);
        rest.data = at + 1;
    }
    return true;
}

/* The fields that `more` has at the end of a list; *token is the first one's brace, then the list's
 * end. */
static bool take_added(struct comparing *c, struct json_token *token)
{
    struct json_reader *r = &c->more;
    unsigned depth = r->depth;
    while (token->kind == JSON_OBJECT_BEGIN) {
        size_t start = token->offset;
        while (r->depth >= depth) {
            if (json_next(r, token)) {
                return false;
            }
        }
        if (!is_added_field((struct slice){c->text.data + start, r->at - start}, &c->count) ||
            json_next(r, token)) {
            return false;
        }
    }
    return token->kind == JSON_ARRAY_END;
}

static bool compare(struct comparing *c)
{
    struct json_token base;
    struct json_token more;
    bool is_key = false;
    enum err e;
    while ((e = json_next(&c->base, &base)) == ERR_OK) {
        if (json_next(&c->more, &more)) {
            return false;
        }
        if (base.kind == JSON_ARRAY_END && more.kind == JSON_OBJECT_BEGIN &&
            c->is_fields[c->base.depth + 1] && !take_added(c, &more)) {
            return false;
        }
        if (base.kind != more.kind || !slice_equal(base.text, more.text)) {
            return false;
        }
        if (base.kind == JSON_OBJECT_BEGIN || base.kind == JSON_ARRAY_BEGIN) {
            c->is_fields[c->base.depth] = is_key && base.kind == JSON_ARRAY_BEGIN;
        }
        is_key = base.kind == JSON_KEY && slice_equal_text(base.text, "fields");
    }
    return e == ERR_CLOSED && json_next(&c->more, &more) == ERR_CLOSED;
}

enum err extend_is_of(struct slice schema, struct slice base, bool *ret, uint32_t *ret_count)
{
    struct comparing *c = calloc(1, sizeof *c);
    if (!c) {
        return ERR_NOMEM;
    }
    json_init_deep(&c->base, base, c->base_deep, ARRAY_COUNT(c->base_deep));
    json_init_deep(&c->more, schema, c->more_deep, ARRAY_COUNT(c->more_deep));
    c->text = schema;
    *ret = compare(c);
    *ret_count = *ret ? c->count : 0;
    free(c);
    return ERR_OK;
}
