#include "uplink/object/gcs_answer.h"

#include <stdio.h>

#include "ports/lib/json_tree.h"

static void take_text(const struct json_node *node, const char *name, char *ret, size_t ret_size)
{
    const char *text = json_node_text(json_node_find(node, name));
    (void)snprintf(ret, ret_size, "%s", text ? text : ""); /* cut is fine */
}

/* NULL: it is none. */
static const struct json_node *tree_open(struct slice json, struct json_tree **ret)
{
    struct why why;
    size_t offset = 0;
    *ret = NULL;
    return json_tree_open(ret, json, &why, &offset) ? NULL : json_tree_root(*ret);
}

bool gcs_answer_object(struct slice json, struct gcs_object *ret)
{
    struct json_tree *tree;
    const struct json_node *root = tree_open(json, &tree);
    bool is_object = json_node_is_object(root);
    take_text(root, "md5Hash", ret->md5, sizeof ret->md5);
    take_text(root, "crc32c", ret->crc32c, sizeof ret->crc32c);
    json_tree_close(tree);
    return is_object;
}

void gcs_answer_error(struct slice json, struct object_said *ret)
{
    struct json_tree *tree;
    const struct json_node *error = json_node_find(tree_open(json, &tree), "error");
    const struct json_node *errors = json_node_find(error, "errors");
    take_text(error, "message", ret->message, sizeof ret->message);
    take_text(errors ? errors->child : NULL, "reason", ret->code, sizeof ret->code);
    json_tree_close(tree);
}
