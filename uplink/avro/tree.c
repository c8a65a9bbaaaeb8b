#include "uplink/avro/tree.h"

#include <assert.h>
#include <string.h>

struct tree_builder {
    struct arena *arena;
    struct slice input;
    struct tree *open[JSON_DEPTH_MAX + 1];
    struct tree *last[JSON_DEPTH_MAX + 1]; /* newest child of open[i] */
    unsigned depth;
    struct slice key;
    struct tree *root;
};

static enum err tree_text(struct tree_builder *b, const struct json_token *token, struct slice *ret)
{
    uint8_t *memory = arena_take(b->arena, token->text.size + 1);
    if (!memory) {
        return ERR_NOMEM;
    }
    struct out scratch = out_over(memory, token->text.size + 1);
    return json_string(token, &scratch, ret);
}

static struct tree *tree_add(struct tree_builder *b, const struct json_token *token)
{
    struct tree *node = arena_take(b->arena, sizeof *node);
    if (!node) {
        return NULL;
    }
    node->kind = token->kind;
    node->text = token->text;
    node->raw = (struct slice){b->input.data + token->offset, 0};
    node->key = b->key;
    b->key = (struct slice){NULL, 0};
    if (b->depth == 0) {
        b->root = node;
        return node;
    }
    unsigned top = b->depth - 1;
    if (b->last[top]) {
        b->last[top]->next = node;
    } else {
        b->open[top]->first = node;
    }
    b->last[top] = node;
    b->open[top]->count++;
    return node;
}

static void tree_end(struct tree *node, size_t end, struct slice input)
{
    node->raw.size = end - (size_t)(node->raw.data - input.data);
}

static enum err tree_token(struct tree_builder *b, struct json_reader *reader,
                           const struct json_token *token)
{
    if (token->kind == JSON_KEY) {
        return tree_text(b, token, &b->key);
    }
    if (token->kind == JSON_OBJECT_END || token->kind == JSON_ARRAY_END) {
        assert(b->depth > 0);
        tree_end(b->open[--b->depth], reader->at, b->input);
        return ERR_OK;
    }
    struct tree *node = tree_add(b, token);
    if (!node) {
        return ERR_NOMEM;
    }
    tree_end(node, reader->at, b->input);
    if (token->kind == JSON_OBJECT_BEGIN || token->kind == JSON_ARRAY_BEGIN) {
        assert(b->depth <= JSON_DEPTH_MAX);
        b->last[b->depth] = NULL;
        b->open[b->depth++] = node;
        return ERR_OK;
    }
    return token->kind == JSON_STRING ? tree_text(b, token, &node->text) : ERR_OK;
}

enum err tree_parse(struct tree **ret, struct arena *arena, struct slice input, struct why *why)
{
    struct json_reader *reader = arena_take(arena, sizeof *reader); /* too large for a stack */
    struct json_token token;
    struct tree_builder b = {.arena = arena, .input = input};
    enum err e;
    if (!reader) {
        return ERR_NOMEM;
    }
    json_init(reader, input);
    while ((e = json_next(reader, &token)) == ERR_OK) {
        e = tree_token(&b, reader, &token);
        if (e) {
            break;
        }
    }
    unsigned line;
    unsigned column;
    if (e != ERR_CLOSED) {
        json_place(input, reader->error_offset, &line, &column);
        why_set(why, "line %u, column %u: %s", line, column,
                e == ERR_NOMEM ? "no memory" : reader->why.text);
        return e;
    }
    size_t end = json_end(reader);
    if (end != input.size) {
        json_place(input, end, &line, &column);
        why_set(why, "line %u, column %u: something follows behind the value", line, column);
        return ERR_CORRUPT;
    }
    *ret = b.root;
    return ERR_OK;
}

const struct tree *tree_member(const struct tree *object, const char *key)
{
    if (!object || object->kind != JSON_OBJECT_BEGIN) {
        return NULL;
    }
    for (const struct tree *member = object->first; member; member = member->next) {
        if (slice_equal_text(member->key, key)) {
            return member;
        }
    }
    return NULL;
}

#define SHOWN_SIZE_MAX 64

void tree_put_shown(struct out *o, struct slice text, bool is_pointer)
{
    for (size_t i = 0; i < text.size && i < SHOWN_SIZE_MAX; i++) {
        uint8_t c = text.data[i];
        if (is_pointer && (c == '/' || c == '~')) {
            out_put_text(o, c == '/' ? "~1" : "~0");
        } else {
            out_put_byte(o, c < 0x20 || c == 0x7f ? '?' : c);
        }
    }
}
