#include "ports/lib/json_tree.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct json_tree {
    struct json_node *nodes;
    size_t node_count;
    struct out texts;
    /* What is open while the nodes are linked. */
    struct json_node *open[JSON_DEPTH_MAX];
    struct json_node *last[JSON_DEPTH_MAX]; /* its child so far */
    unsigned depth;
    const char *name;
    size_t name_offset;
};

/* Checks the whole text and counts its values. */
static enum err tree_count(struct json_reader *reader, struct slice input, size_t *ret_count)
{
    struct json_token token;
    size_t count = 0;
    enum err e;
    json_init(reader, input);
    while (!(e = json_next(reader, &token))) {
        count +=
            token.kind != JSON_KEY && token.kind != JSON_OBJECT_END && token.kind != JSON_ARRAY_END;
    }
    if (e != ERR_CLOSED) {
        return e;
    }
    size_t end = json_end(reader);
    if (end < input.size) {
        why_set(&reader->why, "something follows the end of the value");
        reader->error_offset = end;
        return ERR_CORRUPT;
    }
    *ret_count = count;
    return ERR_OK;
}

/* The unescaped text with a NUL behind, in the tree's own memory: no longer than it was written
 * with its quotes, so that it always fits. */
static struct slice tree_text(struct json_tree *tree, const struct json_token *token)
{
    struct slice text;
    enum err e = json_string(token, &tree->texts, &text);
    assert(!e);
    if (!token->has_escapes) {
        size_t start = tree->texts.size;
        out_put_slice(&tree->texts, text);
        text = (struct slice){tree->texts.data + start, text.size};
    }
    out_put_byte(&tree->texts, 0);
    assert(!tree->texts.overflow);
    return text;
}

static void tree_add(struct json_tree *tree, const struct json_token *token)
{
    struct json_node *node = &tree->nodes[tree->node_count++];
    bool is_string = token->kind == JSON_STRING;
    *node = (struct json_node){
        .kind = token->kind,
        .name = tree->name,
        .text = is_string ? tree_text(tree, token) : token->text,
        .name_offset = tree->name ? tree->name_offset : token->offset,
        .offset = token->offset,
    };
    tree->name = NULL;
    if (tree->depth > 0) {
        struct json_node *parent = tree->open[tree->depth - 1];
        struct json_node *last = tree->last[tree->depth - 1];
        if (last) {
            last->next = node;
        } else {
            parent->child = node;
        }
        tree->last[tree->depth - 1] = node;
        parent->count++;
    }
    if (token->kind == JSON_OBJECT_BEGIN || token->kind == JSON_ARRAY_BEGIN) {
        tree->open[tree->depth] = node;
        tree->last[tree->depth] = NULL;
        tree->depth++;
    }
}

static enum err tree_build(struct json_tree *tree, struct json_reader *reader, struct slice input)
{
    struct json_token token;
    json_init(reader, input);
    while (!json_next(reader, &token)) {
        if (token.kind == JSON_KEY) {
            struct slice name = tree_text(tree, &token);
            if (memchr(name.data, 0, name.size)) {
                why_set(&reader->why, "a name with a NUL in it");
                reader->error_offset = token.offset;
                return ERR_CORRUPT;
            }
            tree->name = (const char *)name.data;
            tree->name_offset = token.offset;
        } else if (token.kind == JSON_OBJECT_END || token.kind == JSON_ARRAY_END) {
            struct json_node *node = tree->open[--tree->depth];
            node->text.size = token.offset + 1 - node->offset;
        } else {
            tree_add(tree, &token);
        }
    }
    return ERR_OK;
}

enum err json_tree_open(struct json_tree **ret, struct slice input, struct why *why,
                        size_t *ret_error_offset)
{
    struct json_reader reader;
    struct json_tree *tree = NULL;
    size_t count = 0;
    if (input.size > JSON_TREE_SIZE_MAX) {
        why_set(why, "JSON text over %d bytes", JSON_TREE_SIZE_MAX);
        *ret_error_offset = 0;
        return ERR_REJECTED;
    }
    enum err e = tree_count(&reader, input, &count);
    if (e) {
        goto fail;
    }
    tree = malloc(sizeof *tree + count * sizeof *tree->nodes + input.size);
    if (!tree) {
        why_set(why, "no memory for %zu JSON values", count);
        return ERR_NOMEM;
    }
    tree->nodes = (struct json_node *)(void *)(tree + 1);
    tree->node_count = 0;
    tree->texts = out_over(tree->nodes + count, input.size);
    tree->depth = 0;
    tree->name = NULL;
    e = tree_build(tree, &reader, input);
    if (e) {
        goto fail;
    }
    assert(tree->node_count == count);
    *ret = tree;
    return ERR_OK;

fail:
    json_tree_close(tree);
    why_set(why, "%s", reader.why.text);
    *ret_error_offset = reader.error_offset;
    return e;
}

void json_tree_close(struct json_tree *tree)
{
    free(tree);
}

const struct json_node *json_tree_root(const struct json_tree *tree)
{
    return &tree->nodes[0];
}

bool json_node_is_object(const struct json_node *node)
{
    return node && node->kind == JSON_OBJECT_BEGIN;
}

const struct json_node *json_node_find(const struct json_node *node, const char *name)
{
    if (!json_node_is_object(node)) {
        return NULL;
    }
    for (const struct json_node *child = node->child; child; child = child->next) {
        if (strcmp(child->name, name) == 0) {
            return child;
        }
    }
    return NULL;
}

const char *json_node_text(const struct json_node *node)
{
    if (!node || node->kind != JSON_STRING || memchr(node->text.data, 0, node->text.size)) {
        return NULL;
    }
    return (const char *)node->text.data;
}

bool json_node_integer(const struct json_node *node, int64_t *ret)
{
    char text[24]; /* the longest is -9223372036854775808 */
    if (!node || node->kind != JSON_NUMBER || !slice_to_text(node->text, text, sizeof text)) {
        return false;
    }
    char *end;
    errno = 0;
    intmax_t value = strtoimax(text, &end, 10);
    if (errno || *end || value < INT64_MIN || value > INT64_MAX) {
        return false;
    }
    *ret = value;
    return true;
}
