#include "uplink/aws/aws.h"
#include "uplink/layout/pattern.h"

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define ARN_PREFIX "arn:"

enum err aws_region_check(const void *value, struct why *why)
{
    const char *text = *(const char *const *)value;
    if (text && text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-")]) {
        why_set(why, "\"%s\" is no region: lower-case letters, digits and -, as eu-central-1",
                text);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

enum err aws_endpoint_check(const void *value, struct why *why)
{
    const char *text = *(const char *const *)value;
    if (!text) {
        return ERR_OK;
    }
    size_t scheme = strncmp(text, "https://", 8) == 0  ? 8
                    : strncmp(text, "http://", 7) == 0 ? 7
                                                       : 0;
    size_t host = strspn(text + scheme, NAME_LETTERS ":[]");
    if (scheme == 0 || host == 0 ||
        (text[scheme + host] && strcmp(text + scheme + host, "/") != 0)) {
        why_set(why,
                "\"%s\" is no endpoint: write https://host, or http://host:port, without a path",
                text);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

/* --- names --- */

bool aws_name_is_arn(const char *name)
{
    return strncmp(name, ARN_PREFIX, strlen(ARN_PREFIX)) == 0;
}

const char *aws_name_own(const char *name)
{
    const char *slash = aws_name_is_arn(name) ? strchr(name, '/') : NULL;
    return slash ? slash + 1 : name;
}

enum err aws_name_check(const void *value, struct why *why)
{
    const char *text = *(const char *const *)value;
    for (const char *c = text; *c;) {
        size_t size = strspn(c, aws_name_is_arn(text) ? NAME_LETTERS ":/" : NAME_LETTERS);
        size += pattern_word(c + size);
        if (size == 0) {
            why_set(why,
                    "\"%s\" can't be used from \"%s\" on: letters, digits, dots, _ and - are "
                    "allowed, or an ARN; {stream} and {agent} are filled in",
                    text, c);
            return ERR_CONFIG;
        }
        c += size;
    }
    return ERR_OK;
}

enum err aws_name_put(const struct aws_name *name, char *ret, size_t ret_size, struct why *why)
{
    struct out o = out_over(ret, ret_size - 1);
    const struct pattern_names names = {.stream = name->stream,
                                        .agent = slice_of_text(name->agent_id)};
    pattern_put(name->pattern, &names, NULL, &o);
    ret[o.size] = '\0';
    const char *own = aws_name_own(ret);
    size_t size = strlen(own);
    if (o.overflow || size == 0 || size > name->size_max || own[strspn(own, NAME_LETTERS)]) {
        why_set(why,
                "the name \"%s\" for stream %s is not allowed: 1 to %zu letters, digits, dots, _ "
                "and -; {stream} and {agent} are filled in",
                own, name->stream, name->size_max);
        return ERR_CONFIG;
    }
    return ERR_OK;
}
