#include "uplink/google/rest_error.h"

#include <stdio.h>

#include "ports/lib/json_tree.h"

int grpc_code_of_status(long status)
{
    static const struct {
        long status;
        int code;
    } codes[] = {{400, GRPC_INVALID_ARGUMENT},  {401, GRPC_UNAUTHENTICATED},
                 {403, GRPC_PERMISSION_DENIED}, {404, GRPC_NOT_FOUND},
                 {413, GRPC_INVALID_ARGUMENT},  {429, GRPC_RESOURCE_EXHAUSTED},
                 {503, GRPC_UNAVAILABLE},       {504, GRPC_DEADLINE_EXCEEDED}};
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        if (codes[i].status == status) {
            return codes[i].code;
        }
    }
    return status >= 200 && status < 300 ? GRPC_OK : GRPC_UNKNOWN;
}

static const char *member(const struct json_node *node, const char *name)
{
    const struct json_node *found = node ? json_node_find(node, name) : NULL;
    return found ? json_node_text(found) : NULL;
}

int rest_error_parse(struct slice body, int code, char ret_message[GRPC_MESSAGE_SIZE_MAX])
{
    struct json_tree *tree = NULL;
    struct why why;
    size_t offset;
    ret_message[0] = '\0';
    if (json_tree_open(&tree, body, &why, &offset)) {
        return code;
    }
    const struct json_node *error = json_node_find(json_tree_root(tree), "error");
    const char *name = member(error, "status");
    const char *message = member(error, "message");
    if (name) {
        int named = grpc_code_of_name(slice_of_text(name));
        code = named == GRPC_OK ? GRPC_UNKNOWN : named; /* the status of HTTP says that it is not */
    }
    (void)snprintf(ret_message, GRPC_MESSAGE_SIZE_MAX, "%s", message ? message : "");
    for (char *c = ret_message; *c; c++) {
        *c = (char)(*c >= ' ' && *c <= '~' ? *c : '?');
    }
    json_tree_close(tree);
    return code;
}
