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

enum err registry_options_check(const struct registry_options *options, struct why *why)
{
    if (options->password && !options->user) {
        why_set(why, "registry.password is not used without a user: set registry.user too");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

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
    {.name = "tls",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     .offset = offsetof(struct registry_options, tls),
     .record = tls_client_table,
     .record_size = sizeof(struct tls_options),
     .help = "TLS settings of an https URL."},
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
    {.name = NULL},
};
