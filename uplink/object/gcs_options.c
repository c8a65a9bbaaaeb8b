#include "uplink/object/gcs_options.h"

static enum err gcs_bucket_check(const void *value, struct why *why)
{
    const char *bucket = *(const char *const *)value;
    if (strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != strlen(bucket)) {
        why_set(why, "bucket \"%.64s\" is no name of a bucket", bucket);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err gcs_class_check(const void *value, struct why *why)
{
    const char *class_ = *(const char *const *)value;
    if (class_ && strspn(class_, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != strlen(class_)) {
        why_set(why,
                "storage_class \"%.32s\" is none: there are STANDARD, NEARLINE, COLDLINE, "
                "ARCHIVE",
                class_);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

enum err gcs_options_check(const void *options, struct why *why)
{
    const struct gcs_options *gcs = options;
    if (gcs->endpoint && strncmp(gcs->endpoint, "http://", 7) == 0 && !gcs->anonymous) {
        why_set(why, "tokens are not sent without TLS: write https:// in `endpoint`, or set "
                     "`anonymous`");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

const struct option gcs_table[] = {
    {.name = "bucket",
     .kind = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct gcs_options, bucket),
     .min = 3,
     .max = 222,
     .check = gcs_bucket_check,
     .help = "The bucket for the objects; it must be there."},
    {.name = "endpoint",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct gcs_options, endpoint),
     .min = 8,
     .max = 400,
     .check = endpoint_check,
     .help = "URL of the service, where it is not https://storage.googleapis.com. Default: "
             "STORAGE_EMULATOR_HOST, which is spoken to without a token."},
    {.name = "credentials",
     .kind = OPTION_PATH,
     .offset = offsetof(struct gcs_options, credentials),
     .help = "File with a service account's key or a workload identity. Not given: as Google's "
             "tools look for one."},
    {.name = "anonymous",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct gcs_options, anonymous),
     .initial = "false",
     .help = "Send no token: for emulators."},
    OBJECT_ROWS(struct gcs_options, object),
    {.name = "storage_class",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct gcs_options, storage_class),
     .min = 1,
     .max = 32,
     .check = gcs_class_check,
     .help = "For example NEARLINE. Default: the bucket's."},
    {.name = "create_only",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct gcs_options, create_only),
     .initial = "false",
     .help = "Ask that nothing be overwritten (ifGenerationMatch=0): for the role Storage Object "
             "Creator, and buckets with a retention policy. An object that is there already is "
             "one of an earlier try."},
    {.name = "tls",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     .offset = offsetof(struct gcs_options, tls),
     .record = tls_client_table,
     .record_size = sizeof(struct tls_options),
     .help = "TLS settings of an https endpoint."},
    {.name = NULL},
};
