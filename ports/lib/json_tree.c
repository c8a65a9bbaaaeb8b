#include "ports/lib/json_tree.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_SIZE_MAX 63 /* characters; cJSON reads no more of a number */

struct json_tree {
    cJSON *document; /* names and strings are its own */
    size_t node_count;
    struct json_node nodes[];
};

/* Where the tree is while places are put to cJSON's items: both go through the text in its order. */
struct tree_walk {
    struct json_tree *tree;
    struct json_reader reader;
    const cJSON *item; /* of the next value */
    const cJSON *open_item[JSON_DEPTH_MAX];
    struct json_node *open[JSON_DEPTH_MAX];
    struct json_node *last[JSON_DEPTH_MAX]; /* its child so far */
    unsigned depth;
    size_t name_offset;
};

static bool is_value(const struct json_token *token)
{
    return token->kind != JSON_KEY && token->kind != JSON_OBJECT_END &&
           token->kind != JSON_ARRAY_END;
}

static bool has_nul(struct slice text)
{
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.data[i] == '\\') {
            i++; /* at the escaped character */
            if (text.data[i] == 'u' && memcmp(text.data + i + 1, "0000", 4) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* What JSON allows and a NUL-terminated name or cJSON does not. */
static const char *token_problem(const struct json_token *token)
{
    if (token->kind == JSON_KEY && has_nul(token->text)) {
        return "a name with a NUL in it";
    }
    return token->kind == JSON_NUMBER && token->text.size > NUMBER_SIZE_MAX
               ? "a number of more than 63 characters"
               : NULL;
}

/* Checks the whole text and counts its values. */
static enum err tree_count(struct json_reader *reader, struct slice input, size_t *ret_count)
{
    struct json_token token;
    size_t count = 0;
    enum err e;
    json_init(reader, input);
    while (!(e = json_next(reader, &token))) {
        const char *problem = token_problem(&token);
        if (problem) {
            why_set(&reader->why, "%s", problem);
            reader->error_offset = token.offset;
            return ERR_CORRUPT;
        }
        count += is_value(&token);
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

static void tree_add(struct tree_walk *walk, const struct json_token *token)
{
    const cJSON *item = walk->item;
    assert(item && cJSON_IsString(item) == (token->kind == JSON_STRING));
    struct json_node *node = &walk->tree->nodes[walk->tree->node_count++];
    *node = (struct json_node){
        .kind = token->kind,
        .name = item->string,
        .text = cJSON_IsString(item) ? slice_of_text(item->valuestring) : token->text,
        .name_offset = item->string ? walk->name_offset : token->offset,
        .offset = token->offset,
        .has_nul = token->kind == JSON_STRING && has_nul(token->text),
    };
    if (walk->depth > 0) {
        struct json_node *parent = walk->open[walk->depth - 1];
        struct json_node *last = walk->last[walk->depth - 1];
        if (last) {
            last->next = node;
        } else {
            parent->child = node;
        }
        walk->last[walk->depth - 1] = node;
        parent->count++;
    }
    walk->item = item->next;
    if (token->kind == JSON_OBJECT_BEGIN || token->kind == JSON_ARRAY_BEGIN) {
        walk->open[walk->depth] = node;
        walk->open_item[walk->depth] = item;
        walk->last[walk->depth] = NULL;
        walk->depth++;
        walk->item = item->child;
    }
}

/* Puts the place and the text as written to each of cJSON's items. */
static void tree_build(struct tree_walk *walk, struct slice input)
{
    struct json_token token;
    json_init(&walk->reader, input);
    walk->item = walk->tree->document;
    while (!json_next(&walk->reader, &token)) {
        if (token.kind == JSON_KEY) {
            walk->name_offset = token.offset;
        } else if (is_value(&token)) {
            tree_add(walk, &token);
        } else {
            struct json_node *node = walk->open[--walk->depth];
            node->text.size = token.offset + 1 - node->offset;
            walk->item = walk->open_item[walk->depth]->next;
        }
    }
}

static enum err tree_open(struct json_tree **ret, struct tree_walk *walk, struct slice input,
                          struct why *why, size_t *ret_error_offset)
{
    size_t count = 0;
    enum err e = tree_count(&walk->reader, input, &count);
    if (e) {
        why_set(why, "%s", walk->reader.why.text);
        *ret_error_offset = walk->reader.error_offset;
        return e;
    }
    walk->tree = calloc(1, sizeof *walk->tree + count * sizeof walk->tree->nodes[0]);
    if (walk->tree) {
        walk->tree->document = cJSON_ParseWithLength((const char *)input.data, input.size);
    }
    if (!walk->tree || !walk->tree->document) { /* the text itself was checked above */
        why_set(why, "no memory for %zu JSON values", count);
        json_tree_close(walk->tree);
        return ERR_NOMEM;
    }
    tree_build(walk, input);
    assert(walk->tree->node_count == count);
    *ret = walk->tree;
    return ERR_OK;
}

enum err json_tree_open(struct json_tree **ret, struct slice input, struct why *why,
                        size_t *ret_error_offset)
{
    *ret_error_offset = 0;
    if (input.size > JSON_TREE_SIZE_MAX) {
        why_set(why, "JSON text over %d bytes", JSON_TREE_SIZE_MAX);
        return ERR_REJECTED;
    }
    struct tree_walk *walk = calloc(1, sizeof *walk); /* too large for the stack */
    if (!walk) {
        why_set(why, "no memory to read JSON");
        return ERR_NOMEM;
    }
    enum err e = tree_open(ret, walk, input, why, ret_error_offset);
    free(walk);
    return e;
}

void json_tree_close(struct json_tree *tree)
{
    if (tree) {
        cJSON_Delete(tree->document);
        free(tree);
    }
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
    return node && node->kind == JSON_STRING && !node->has_nul ? (const char *)node->text.data
                                                               : NULL;
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
