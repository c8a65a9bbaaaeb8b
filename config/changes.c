/* What another reading of the file has that is not in force. */
#include <string.h>

#include "config/config.h"
#include "config/memory.h"
#include "ports/lib/json_tree.h"

#define PATH_SIZE 256

/* Sections whose members have names that the file gives. */
static const char *const named[] = {"streams", "drivers", "uplinks", "links"};
/* What a restart only takes up: other names for what is in the buffer, and another buffer. */
static const char *const kept[] = {"$.agent.id", "$.buffer.path"};

static bool is_among(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The next byte that counts: white space does so in a string only. False: that was all. */
static bool next_byte(struct slice *text, bool *in_string, bool *escaped, uint8_t *ret)
{
    while (slice_take_u8(text, ret)) {
        if (*in_string) {
            bool ends = *ret == '"' && !*escaped;
            *escaped = *ret == '\\' && !*escaped;
            *in_string = !ends;
            return true;
        }
        if (!memchr(" \t\r\n", *ret, 4)) {
            *in_string = *ret == '"';
            *escaped = false;
            return true;
        }
    }
    return false;
}

static bool is_same(const struct json_node *a, const struct json_node *b)
{
    bool a_string = false, b_string = false, a_escaped = false, b_escaped = false;
    if (!a || !b || a->kind != b->kind) {
        return !a && !b;
    }
    if (a->kind != JSON_OBJECT_BEGIN && a->kind != JSON_ARRAY_BEGIN) {
        return slice_equal(a->text, b->text);
    }
    struct slice a_text = a->text;
    struct slice b_text = b->text;
    for (;;) {
        uint8_t a_byte = 0, b_byte = 0;
        bool a_more = next_byte(&a_text, &a_string, &a_escaped, &a_byte);
        bool b_more = next_byte(&b_text, &b_string, &b_escaped, &b_byte);
        if (a_more != b_more || a_byte != b_byte) {
            return false;
        }
        if (!a_more) {
            return true;
        }
    }
}

struct telling {
    void (*each)(void *context, const char *path, bool is_taken);
    void *context;
};

/* Members that differ; those of `newer` first, then those that it has no more. */
static void compare(const struct telling *t, const char *path, const struct json_node *older,
                    const struct json_node *newer)
{
    const struct json_node *lists[] = {newer, older};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        const struct json_node *node = lists[i] ? lists[i]->child : NULL;
        for (; node; node = node->next) {
            const struct json_node *a = json_node_find(older, node->name);
            const struct json_node *b = json_node_find(newer, node->name);
            if ((i == 1 && b) || is_same(a, b)) {
                continue;
            }
            char place[PATH_SIZE];
            struct out o = out_over(place, sizeof place - 1);
            out_put_format(&o, "%s.%s", path, node->name);
            place[o.size] = '\0';
            t->each(t->context, place, !is_among(place, kept, ARRAY_COUNT(kept)));
        }
    }
}

/* Streams, drivers, uplinks: those that both have member by member. */
static void compare_named(const struct telling *t, const char *path, const struct json_node *older,
                          const struct json_node *newer)
{
    const struct json_node *lists[] = {newer, older};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        const struct json_node *node = lists[i] ? lists[i]->child : NULL;
        for (; node; node = node->next) {
            const struct json_node *a = json_node_find(older, node->name);
            const struct json_node *b = json_node_find(newer, node->name);
            char place[PATH_SIZE];
            struct out o = out_over(place, sizeof place - 1);
            out_put_format(&o, "%s.%s", path, node->name);
            place[o.size] = '\0';
            if (a && b && i == 0) {
                compare(t, place, a, b);
            } else if (!a || !b) {
                t->each(t->context, place, true);
            }
        }
    }
}

static void compare_roots(const struct telling *t, const struct json_node *older,
                          const struct json_node *newer)
{
    static const char *const sections[] = {"agent",   "buffer",  "status", "streams",
                                           "drivers", "uplinks", "links"};
    for (size_t i = 0; i < ARRAY_COUNT(sections); i++) {
        char path[PATH_SIZE];
        struct out o = out_over(path, sizeof path - 1);
        const struct json_node *a = json_node_find(older, sections[i]);
        const struct json_node *b = json_node_find(newer, sections[i]);
        out_put_format(&o, "$.%s", sections[i]);
        path[o.size] = '\0';
        if (is_among(sections[i], named, ARRAY_COUNT(named))) {
            compare_named(t, path, a, b);
        } else {
            compare(t, path, a, b);
        }
    }
}

enum err config_changes(const struct config *config, const struct config *newer,
                        void (*each)(void *context, const char *path, bool is_taken), void *context)
{
    struct telling t = {each, context};
    struct json_tree *a = NULL;
    struct json_tree *b = NULL;
    size_t offset;
    enum err e = json_tree_open(&a, config->text, NULL, &offset);
    e = e ? e : json_tree_open(&b, newer->text, NULL, &offset);
    if (!e) {
        compare_roots(&t, json_tree_root(a), json_tree_root(b));
    }
    json_tree_close(a);
    json_tree_close(b);
    return e;
}

/* --- taking up --- */

static bool is_same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

enum err config_take_streams(struct config *config, const struct config *newer)
{
    config->agent.stop_grace_ms = newer->agent.stop_grace_ms;
    for (size_t i = 0; i < config->stream_count; i++) {
        struct stream_config *mine = &config->streams[i].options;
        int at = config_stream_index(newer, config->streams[i].name);
        const struct stream_config *theirs = at >= 0 ? &newer->streams[at].options : mine;
        if (!is_same_text(mine->schema, theirs->schema)) {
            const char *copy =
                theirs->schema ? memory_text(config->memory, slice_of_text(theirs->schema)) : NULL;
            if (theirs->schema && !copy) {
                return ERR_NOMEM;
            }
            mine->schema = copy;
        }
        mine->compatibility = theirs->compatibility;
        mine->unknown_fields = theirs->unknown_fields;
        mine->missing_fields = theirs->missing_fields;
    }
    return ERR_OK;
}

enum err config_keep(const struct config *config, struct config *newer)
{
    const char *id =
        config->agent.id ? memory_text(newer->memory, slice_of_text(config->agent.id)) : NULL;
    const char *path = memory_text(newer->memory, slice_of_text(config->buffer.path));
    const char *socket = memory_text(newer->memory, slice_of_text(config->agent.socket));
    if ((config->agent.id && !id) || !path || !socket) {
        return ERR_NOMEM;
    }
    newer->agent.id = id;
    if (!is_same_text(config->buffer.path, newer->buffer.path)) { /* it may stand beside */
        newer->buffer.path = path;
        newer->agent.socket = socket;
    }
    return ERR_OK;
}
