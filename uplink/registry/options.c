#include "uplink/registry/registry.h"

#include <string.h>

static const char *const subject_words[] = {"topic_name", "record_name", "topic_record_name", NULL};

/* The URL is said in texts and logs: it must hold no password. */
enum err registry_url_check(const void *value, struct why *why)
{
    const char *url = *(const char *const *)value;
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        why_set(why, "registry.url \"%s\" must begin with http:// or https://", url);
        return ERR_CONFIG;
    }
    if (strchr(url, '@')) {
        why_set(why,
                "registry.url must not hold a user and password: set registry.user and .password");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

/* It goes into a header as it is. */
static enum err token_check(const void *value, struct why *why)
{
    const char *token = *(const char *const *)value;
    for (const char *c = token; c && *c; c++) {
        if (*c <= ' ' || *c > '~') {
            why_set(why, "registry.token has a blank, a line break or another character that no "
                         "token has: check the file that it comes from");
            return ERR_CONFIG;
        }
    }
    return ERR_OK;
}

static enum err references_check(const struct option_map *references, struct why *why)
{
    const char *const *subjects = references->items;
    for (size_t i = 0; i < references->count; i++) {
        if (!references->names[i][0] || !subjects[i][0]) {
            why_set(why, "registry.references: a type's full name, and the subject that it is "
                         "registered under: neither may be empty");
            return ERR_CONFIG;
        }
    }
    return ERR_OK;
}

enum err registry_options_check(const struct registry_options *options, struct why *why)
{
    if (options->password && !options->user) {
        why_set(why, "registry.password is not used without a user: set registry.user too");
        return ERR_CONFIG;
    }
    if (options->token && options->user) {
        why_set(why, "registry.user and registry.token are two ways to log in: keep one of them");
        return ERR_CONFIG;
    }
    return references_check(&options->references, why);
}

static const struct option reference_item = {.kind = OPTION_TEXT, .min = 1, .max = 1000};

const struct option registry_table[] = {
    {.name = "url",
     .kind = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct registry_options, url),
     .min = 8,
     .max = 2048,
     .check = registry_url_check,
     .help = "Where the registry's API begins, for example https://registry.example.com or "
             "http://127.0.0.1:8080/apis/ccompat/v7."},
    {.name = "user",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct registry_options, user),
     .max = 1024,
     .help = "User for basic authentication (Confluent Cloud: the API key)."},
    {.name = "password",
     .kind = OPTION_SECRET,
     .offset = offsetof(struct registry_options, password),
     .max = 2048,
     .help = "Password for basic authentication."},
    {.name = "token",
     .kind = OPTION_SECRET,
     .offset = offsetof(struct registry_options, token),
     .min = 1,
     .max = 16384,
     .check = token_check,
     .help = "Bearer token, instead of user and password."},
    {.name = "tls",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     .offset = offsetof(struct registry_options, tls),
     .record = tls_client_table,
     .record_size = sizeof(struct tls_options),
     .help = "TLS settings of an https URL; with a certificate: mutual TLS."},
    {.name = "subject",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct registry_options, subject),
     .initial = "topic_name",
     .words = subject_words,
     .help = "Under which subject schemas are filed: <topic>-value, the record's full name, or "
             "<topic>-<full name>."},
    {.name = "register",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct registry_options, may_register),
     .initial = "true",
     .help = "Register a schema that the subject does not have. Without it, it is only looked up."},
    {.name = "ask_first",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct registry_options, ask_first),
     .initial = "true",
     .help = "Before a schema is registered: look whether it is there (which needs no right to "
             "write), and ask whether it is compatible; if not, nothing is tried, and the "
             "registry's findings are shown. Without it: one request, and the registry decides."},
    {.name = "generation",
     .kind = OPTION_INT,
     .offset = offsetof(struct registry_options, generation),
     .max = 1000000,
     .initial = "0",
     .help = "The ids that a registry gave are kept through restarts. Give another number here "
             "when it was emptied and filled anew under the same URL: then they are asked for "
             "again."},
    {.name = "references",
     .kind = OPTION_MAP,
     .offset = offsetof(struct registry_options, references),
     .max = REGISTRY_REFERENCE_MAX,
     .item = &reference_item,
     .help = "Types that have subjects of their own, for schemas that share them: the full name of "
             "a type to its subject. Where a stream's schema defines such a type, the registry "
             "gets that definition under this subject, and in the schema a reference to the "
             "version that it has there. The bytes of events stay the same."},
    {.name = NULL},
};
