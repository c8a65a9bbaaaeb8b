#include "uplink/aws/glue.h"

static const char *const compression_words[] = {"none", "zlib", NULL};
static const char *const name_words[] = {"topic", "record", "topic_record", NULL};
const char *const glue_compatibility_words[] = {"NONE",         "DISABLED", "BACKWARD",
                                                "BACKWARD_ALL", "FORWARD",  "FORWARD_ALL",
                                                "FULL",         "FULL_ALL", NULL};

/* The URL is said in texts and logs: it must hold no password. */
static enum err url_check(const void *value, struct why *why)
{
    const char *url = *(const char *const *)value;
    if ((strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) || strchr(url, '@')) {
        why_set(why, "glue.url must begin with http:// or https://, and hold no user");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

#define ROW(member, ...) \
    { \
        .name = #member, .offset = offsetof(struct glue_options, member), __VA_ARGS__ \
    }

const struct option glue_table[] = {
    ROW(region, .kind = OPTION_TEXT, .min = 1, .max = SIGV4_REGION_SIZE_MAX,
        .help = "The registry's region; without it AWS_REGION."),
    ROW(registry, .kind = OPTION_TEXT, .min = 1, .max = 255, .initial = "default-registry",
        .help = "The registry's name."),
    ROW(schema_name, .kind = OPTION_CHOICE, .initial = "topic", .words = name_words,
        .help = "What a schema is called there: as the topic, which AWS's own libraries expect; as "
                "the record's full name; or both, with a - between them."),
    ROW(compatibility, .kind = OPTION_CHOICE, .initial = "BACKWARD",
        .words = glue_compatibility_words,
        .help = "Of schemas that are made here; one that is there keeps its own."),
    ROW(compression, .kind = OPTION_CHOICE, .initial = "none", .words = compression_words,
        .help =
            "Of single events in `rows`, by Glue's own header (03 05). zlib: each datum that it "
            "makes smaller, for readers of AWS's alone and destinations that compress nothing; "
            "it helps from some hundred bytes an event on. Leave it at none for Kafka with "
            "its usual compression_level: zstd over the whole batch packs several times "
            "better, and what zlib has packed it can't pack again. Batches in `columns` never "
            "have it."),
    {.name = "register",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct glue_options, may_register),
     .initial = "true",
     .help = "Register a schema that is not there. Without it, it is only looked up."},
    ROW(ask_first, .kind = OPTION_BOOL, .initial = "true",
        .help = "Compare a schema with the versions that are there, by the schema's own "
                "compatibility, before it is registered: Glue has no question for that, and keeps "
                "each failed try as a version. Without it Glue decides."),
    ROW(url, .kind = OPTION_TEXT, .min = 8, .max = 255, .check = url_check,
        .help = "Instead of the region's, for a VPC endpoint."),
    ROW(tls, .kind = OPTION_RECORD, .flags = OPTION_MISSING_OK, .record = tls_client_table,
        .record_size = sizeof(struct tls_options), .help = "TLS settings of an https URL."),
    ROW(credentials, .kind = OPTION_RECORD, .flags = OPTION_MISSING_OK, .record = credentials_table,
        .record_size = sizeof(struct credentials_options),
        .help = "Where AWS's credentials come from; without it the environment, AWS's shared "
                "files, a web identity, the container or the machine are asked."),
    {.name = NULL},
};

enum err glue_options_check(const struct glue_options *options, struct why *why)
{
    if (!credentials_region(options->region)) {
        why_set(why, "glue needs \"region\" where AWS_REGION does not say it");
        return ERR_CONFIG;
    }
    return credentials_check(&options->credentials, why);
}
