#include "uplink/google/credentials.h"

#include <stdio.h>
#include <stdlib.h>

#include "ports/file.h"
#include "ports/lib/json_tree.h"
#include "ports/lib/sign.h"

#define USER_TOKEN_URL "https://oauth2.googleapis.com/token"
#define IMPERSONATION_S 3600
#define IMPERSONATION_S_MIN 600
#define IMPERSONATION_S_MAX 43200

/* --- members --- */

static const char *member(const struct json_node *node, const char *name)
{
    const struct json_node *found = node ? json_node_find(node, name) : NULL;
    return found ? json_node_text(found) : NULL;
}

/* False, and *why: it is missing. */
static bool take(const struct json_node *node, const char *name, const char **ret, struct why *why)
{
    *ret = member(node, name);
    if (!*ret || !**ret) {
        why_set(why, "it has no text \"%s\"", name);
        return false;
    }
    return true;
}

static bool starts_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Secrets go to it: by TLS, or without leaving the machine. */
static bool url_is_safe(const char *url, const char *name, struct why *why)
{
    static const char *const safe[] = {"https://", "http://127.0.0.1:", "http://127.0.0.1/",
                                       "http://localhost:", "http://localhost/"};
    for (size_t i = 0; i < ARRAY_COUNT(safe); i++) {
        if (starts_with(url, safe[i])) {
            return true;
        }
    }
    why_set(why, "its \"%s\" is no https:// address", name);
    return false;
}

/* --- the kinds --- */

static enum err parse_service_account(struct credentials *c, const struct json_node *root,
                                      struct why *why)
{
    const char *pem;
    if (!take(root, "client_email", &c->email, why) ||
        !take(root, "private_key_id", &c->key_id, why) || !take(root, "private_key", &pem, why)) {
        return ERR_CONFIG;
    }
    enum err e = sign_key_open(&c->key, slice_of_text(pem), why);
    if (e == ERR_CONFIG) {
        why_add(why, "its \"private_key\"");
    }
    return e;
}

static bool parse_source_headers(struct credentials *c, const struct json_node *source)
{
    const struct json_node *headers = json_node_find(source, "headers");
    for (const struct json_node *h = headers ? headers->child : NULL; h; h = h->next) {
        const char *value = json_node_text(h);
        if (c->header_count == CREDENTIALS_HEADER_MAX || !h->name || !value ||
            strpbrk(h->name, "\r\n:") || strpbrk(value, "\r\n")) {
            return false;
        }
        c->header_names[c->header_count] = h->name;
        c->header_values[c->header_count++] = value;
    }
    return true;
}

static enum err parse_source(struct credentials *c, const struct json_node *source, struct why *why)
{
    c->source_path = member(source, "file");
    c->source_url = member(source, "url");
    if (!c->source_path == !c->source_url) {
        why_set(why, "its \"credential_source\" has to have a \"file\" or a \"url\": other sources "
                     "are not supported");
        return ERR_CONFIG;
    }
    if (c->source_url && !starts_with(c->source_url, "http://") &&
        !starts_with(c->source_url, "https://")) {
        why_set(why, "the \"url\" of its \"credential_source\" is none");
        return ERR_CONFIG;
    }
    const struct json_node *format = json_node_find(source, "format");
    const char *type = member(format, "type");
    bool is_json = type && strcmp(type, "json") == 0;
    if (is_json && !take(format, "subject_token_field_name", &c->source_field, why)) {
        return ERR_CONFIG;
    }
    if (!parse_source_headers(c, source)) {
        why_set(why, "the \"headers\" of its \"credential_source\" are not up to %d texts",
                CREDENTIALS_HEADER_MAX);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err parse_external(struct credentials *c, const struct json_node *root, struct why *why)
{
    if (!take(root, "audience", &c->audience, why) ||
        !take(root, "subject_token_type", &c->subject_type, why) ||
        !take(root, "token_url", &c->token_url, why) ||
        !url_is_safe(c->token_url, "token_url", why)) {
        return ERR_CONFIG;
    }
    c->impersonation_url = member(root, "service_account_impersonation_url");
    if (c->impersonation_url &&
        !url_is_safe(c->impersonation_url, "service_account_impersonation_url", why)) {
        return ERR_CONFIG;
    }
    const struct json_node *more = json_node_find(root, "service_account_impersonation");
    const struct json_node *seconds = more ? json_node_find(more, "token_lifetime_seconds") : NULL;
    c->impersonation_s = IMPERSONATION_S;
    if (seconds &&
        (!json_node_integer(seconds, &c->impersonation_s) ||
         c->impersonation_s < IMPERSONATION_S_MIN || c->impersonation_s > IMPERSONATION_S_MAX)) {
        why_set(why, "its \"token_lifetime_seconds\" is not %d to %d", IMPERSONATION_S_MIN,
                IMPERSONATION_S_MAX);
        return ERR_CONFIG;
    }
    const struct json_node *source = json_node_find(root, "credential_source");
    if (!source || !json_node_is_object(source)) {
        why_set(why, "it has no object \"credential_source\"");
        return ERR_CONFIG;
    }
    return parse_source(c, source, why);
}

static enum err parse_user(struct credentials *c, const struct json_node *root, struct why *why)
{
    c->token_url = member(root, "token_uri");
    c->token_url = c->token_url ? c->token_url : USER_TOKEN_URL;
    return take(root, "client_id", &c->client_id, why) &&
                   take(root, "client_secret", &c->client_secret, why) &&
                   take(root, "refresh_token", &c->refresh_token, why) &&
                   url_is_safe(c->token_url, "token_uri", why)
               ? ERR_OK
               : ERR_CONFIG;
}

static enum err parse_root(struct credentials *c, const struct json_node *root, struct why *why)
{
    static const struct {
        const char *type;
        enum credentials_kind kind;
        enum err (*parse)(struct credentials *c, const struct json_node *root, struct why *why);
    } kinds[] = {{"service_account", CREDENTIALS_SERVICE_ACCOUNT, parse_service_account},
                 {"external_account", CREDENTIALS_EXTERNAL, parse_external},
                 {"authorized_user", CREDENTIALS_USER, parse_user}};
    const char *type = member(root, "type");
    for (size_t i = 0; type && i < ARRAY_COUNT(kinds); i++) {
        if (strcmp(type, kinds[i].type) == 0) {
            c->kind = kinds[i].kind;
            return kinds[i].parse(c, root, why);
        }
    }
    why_set(why, "its \"type\" is none of service_account, external_account and authorized_user");
    return ERR_CONFIG;
}

enum err credentials_parse(struct credentials *ret, struct slice text, struct why *why)
{
    struct credentials c = {.text = text};
    size_t offset;
    enum err e = json_tree_open(&c.tree, text, why, &offset);
    if (e == ERR_CORRUPT || e == ERR_REJECTED) {
        why_set(why, "it is no JSON"); /* not what stands there: it is a secret */
        e = ERR_CONFIG;
    }
    e = e ? e : parse_root(&c, json_tree_root(c.tree), why);
    if (e) {
        credentials_release(&c);
        return e;
    }
    *ret = c;
    return ERR_OK;
}

void credentials_release(struct credentials *credentials)
{
    sign_key_close(credentials->key);
    json_tree_close(credentials->tree);
    free((void *)(uintptr_t)credentials->text.data);
    *credentials = (struct credentials){.kind = CREDENTIALS_METADATA};
}

/* --- the file --- */

/* Where gcloud puts what `gcloud auth application-default login` made. */
static bool well_known_path(char *ret, size_t size)
{
    const char *config = getenv("CLOUDSDK_CONFIG");
    const char *home = getenv("HOME");
    int written = -1;
    if (config && config[0]) {
        written = snprintf(ret, size, "%s/application_default_credentials.json", config);
    } else if (home && home[0]) {
        written =
            snprintf(ret, size, "%s/.config/gcloud/application_default_credentials.json", home);
    }
    return written >= 0 && (size_t)written < size;
}

static enum err find(const char *path, char *ret, size_t size, bool *ret_may_miss, struct why *why)
{
    const char *named = getenv("GOOGLE_APPLICATION_CREDENTIALS");
    const char *chosen = path ? path : named && named[0] ? named : NULL;
    *ret_may_miss = !chosen;
    ret[0] = '\0';
    if (chosen) {
        int written = snprintf(ret, size, "%s", chosen);
        if (written < 0 || (size_t)written >= size) {
            why_set(why, "the path of the credentials is too long");
            return ERR_CONFIG;
        }
    } else if (!well_known_path(ret, size)) {
        ret[0] = '\0';
    }
    return ERR_OK;
}

enum err credentials_load(struct credentials *ret, const char *path, char *ret_path,
                          size_t path_size, struct why *why)
{
    struct slice text;
    bool may_miss;
    enum err e = find(path, ret_path, path_size, &may_miss, why);
    if (e) {
        return e;
    }
    e = ret_path[0] ? file_read_secret(ret_path, CREDENTIALS_SIZE_MAX, &text, why) : ERR_CLOSED;
    if (e == ERR_CLOSED && may_miss) {
        *ret = (struct credentials){.kind = CREDENTIALS_METADATA};
        ret_path[0] = '\0';
        return ERR_OK;
    }
    if (e) {
        why_add(why, "credentials");
        return e;
    }
    e = credentials_parse(ret, text, why);
    if (e == ERR_CONFIG) {
        why_add(why, "the credentials in %s can't be used", ret_path);
    }
    return e;
}
