#include "uplink/avro/tree.h"

#include <assert.h>
#include <string.h>

#define POINTER_SIZE_MAX 256

struct level {
    struct tree *open;
    struct tree *last; /* its newest child */
};

struct tree_builder {
    struct arena *arena;
    struct slice input;
    struct level *levels;
    unsigned depth;
    unsigned depth_max;
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
    struct level *top = &b->levels[b->depth - 1];
    if (top->last) {
        top->last->next = node;
    } else {
        top->open->first = node;
    }
    top->last = node;
    top->open->count++;
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
        tree_end(b->levels[--b->depth].open, reader->at, b->input);
        return ERR_OK;
    }
    struct tree *node = tree_add(b, token);
    if (!node) {
        return ERR_NOMEM;
    }
    tree_end(node, reader->at, b->input);
    if (token->kind == JSON_OBJECT_BEGIN || token->kind == JSON_ARRAY_BEGIN) {
        assert(b->depth < b->depth_max);
        b->levels[b->depth++] = (struct level){.open = node};
        return ERR_OK;
    }
    return token->kind == JSON_STRING ? tree_text(b, token, &node->text) : ERR_OK;
}

/* Where reading ended: the innermost value that is open, or the last that has room. */
static void put_place(struct out *o, const struct tree_builder *b)
{
    for (unsigned i = 1; i < b->depth; i++) {
        size_t before = o->size;
        const struct level *outer = &b->levels[i - 1];
        out_put_byte(o, '/');
        if (outer->open->kind == JSON_OBJECT_BEGIN) {
            tree_put_shown(o, outer->last->key, true);
        } else {
            out_put_format(o, "%u", outer->open->count - 1);
        }
        if (o->overflow) {
            o->size = before;
            return;
        }
    }
}

static void say_where(struct why *why, const struct tree_builder *b, size_t offset,
                      const char *text)
{
    char memory[POINTER_SIZE_MAX];
    struct out pointer = out_over(memory, sizeof memory);
    unsigned line;
    unsigned column;
    put_place(&pointer, b);
    json_place(b->input, offset, &line, &column);
    why_set(why, "%.*s%sline %u, column %u: %s", (int)pointer.size, memory,
            pointer.size ? ": " : "", line, column, text);
}

enum err tree_parse(struct tree **ret, struct arena *arena, struct slice input, unsigned depth_max,
                    struct why *why)
{
    struct json_reader *reader = arena_take(arena, sizeof *reader); /* too large for a stack */
    struct json_token token;
    struct tree_builder b = {.arena = arena, .input = input, .depth_max = depth_max};
    unsigned deep_count = depth_max - JSON_DEPTH_MAX;
    struct json_frame *deep = arena_take(arena, (deep_count + 1) * sizeof *deep);
    enum err e;
    assert(depth_max >= JSON_DEPTH_MAX);
    b.levels = arena_take(arena, depth_max * sizeof *b.levels);
    if (!b.levels) {
        return ERR_NOMEM;
    }
    json_init_deep(reader, input, deep, deep_count);
    while ((e = json_next(reader, &token)) == ERR_OK) {
        e = tree_token(&b, reader, &token);
        if (e) {
            break;
        }
    }
    if (e != ERR_CLOSED) {
        say_where(why, &b, reader->error_offset, e == ERR_NOMEM ? "no memory" : reader->why.text);
        return e;
    }
    size_t end = json_end(reader);
    if (end != input.size) {
        say_where(why, &b, end, "something follows behind the value");
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
