/* The configuration's text: the tree is refused, or every node lies within the text. (What is done
 * with the tree is tested by tests/config; it reads files, which a fuzzer should not.) */
#include "ports/lib/json_tree.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_tree *tree = NULL;
    struct slice input = {data, size};
    struct why why = {""};
    size_t offset = 0;
    enum err e = json_tree_open(&tree, input, &why, &offset);
    if (e) {
        assert(why.text[0] && offset <= size);
        return 0;
    }
    const struct json_node *node = json_tree_root(tree);
    for (unsigned depth = 0; node && depth < JSON_DEPTH_MAX; depth++) {
        size_t count = 0;
        for (const struct json_node *child = node->child; child; child = child->next) {
            assert(child->offset < size && child->offset > node->offset);
            assert(!child->name || json_node_find(node, child->name) == child);
            count++;
        }
        assert(count == node->count);
        node = node->child;
    }
    json_tree_close(tree);
    return 0;
}
