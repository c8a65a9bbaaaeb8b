#include "uplink/google/google_probe.h"

#include <string.h>

#include "ports/lib/json_tree.h"

static void token_changed(void *context)
{
    struct google_probe *p = context;
    service_probe_go(&p->base);
}

static void no_wire_bytes(void *context, uint64_t sent, uint64_t received)
{
    (void)context;
    (void)sent;
    (void)received;
}

static void token_missing(struct google_probe *p, const char *text)
{
    service_probe_found(&p->base, PROBE_ERROR, "credentials", "access token", "%s", text);
    service_probe_end(&p->base);
}

enum err google_probe_open(struct google_probe *p)
{
    struct why why = {""};
    enum err e = service_probe_open(&p->base);
    if (e || p->is_anonymous) {
        return e;
    }
    const struct google_token_setup setup = {.loop = p->base.setup.loop,
                                             .names = p->base.setup.names,
                                             .http = p->base.http,
                                             .tls = p->base.tls,
                                             .clock = &p->base.clock,
                                             .credentials = p->credentials,
                                             .scope = p->scope,
                                             .audience = p->audience,
                                             .context = p,
                                             .changed = token_changed,
                                             .wire_bytes = no_wire_bytes};
    e = google_token_open(&p->token, &setup, &why);
    if (e && e != ERR_NOMEM) {
        token_missing(p, why.text);
        e = ERR_OK;
    }
    return e;
}

void google_probe_release(struct google_probe *p)
{
    google_token_close(p->token);
}

enum err google_probe_authorize(struct google_probe *p, struct http_request *ret)
{
    const char *text;
    uint64_t number;
    enum err fault_e;
    if (p->is_anonymous) {
        return ERR_OK;
    }
    enum err e = google_token_get(p->token, &text, &number);
    const struct why *fault = google_token_fault(p->token, &fault_e);
    if (e && fault) {
        token_missing(p, fault->text);
        return ERR_AGAIN;
    }
    if (e) {
        return e;
    }
    if (!p->is_told) {
        p->is_told = true;
        service_probe_found(&p->base, PROBE_OK, "credentials", "access token", "from %s",
                            google_token_source(p->token));
    }
    return service_probe_header(&p->base, ret, "Authorization: Bearer %s", text) ? ERR_OK
                                                                                 : ERR_FULL;
}

bool google_probe_may(struct slice body, const char *permission)
{
    struct json_tree *tree = NULL;
    struct why why;
    size_t offset;
    bool may = false;
    if (json_tree_open(&tree, body, &why, &offset)) {
        return false;
    }
    const struct json_node *list = json_node_find(json_tree_root(tree), "permissions");
    for (const struct json_node *node = list ? list->child : NULL; node; node = node->next) {
        const char *text = json_node_text(node);
        may = may || (text && strcmp(text, permission) == 0);
    }
    json_tree_close(tree);
    return may;
}
