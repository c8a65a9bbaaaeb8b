#include "uplink/object/s3_impl.h"

static const char *const s3_styles[] = {"auto", "path", "host", NULL};
static const char *const s3_checksums[] = {"md5", "crc32c", "none", NULL};
static const char *const s3_encryptions[] = {"bucket", "AES256", "aws:kms", NULL};

static enum err s3_bucket_check(const void *value, struct why *why)
{
    const char *bucket = *(const char *const *)value;
    bool is_bad = strstr(bucket, "..") || bucket[0] == '.' || bucket[0] == '-';
    if (is_bad || strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-_"
                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(bucket)) {
        why_set(why, "bucket \"%.64s\" is no name of a bucket", bucket);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

/* It goes into a header, and into a host's name. */
static enum err s3_word_check(const void *value, struct why *why)
{
    const char *word = *(const char *const *)value;
    for (const char *c = word; c && *c; c++) {
        if (*c <= ' ' || *c > '~') {
            why_set(why, "\"%.64s\" has a blank or another character that can't be in it", word);
            return ERR_CONFIG;
        }
    }
    return ERR_OK;
}

enum err s3_options_check(const void *options, struct why *why)
{
    const struct s3_options *s3 = options;
    if (s3->kms_key && s3->encryption != S3_ENCRYPTION_KMS) {
        why_set(why, "kms_key is used with encryption \"aws:kms\" only: set it, or take the key "
                     "away");
        return ERR_CONFIG;
    }
    return credentials_check(&s3->credentials, why);
}

const struct option s3_table[] = {
    {.name = "bucket",
     .kind = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct s3_options, bucket),
     .min = 3,
     .max = 63,
     .check = s3_bucket_check,
     .help = "The bucket for the objects; it must be there."},
    {.name = "region",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct s3_options, region),
     .min = 1,
     .max = SIGV4_REGION_SIZE_MAX,
     .check = s3_word_check,
     .help = "The bucket's region. Default: AWS_REGION, AWS_DEFAULT_REGION, us-east-1."},
    {.name = "endpoint",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct s3_options, endpoint),
     .min = 8,
     .max = 400,
     .check = endpoint_check,
     .help = "URL of another store than Amazon's, or of a VPC endpoint: http://127.0.0.1:9000."},
    {.name = "style",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct s3_options, style),
     .initial = "auto",
     .words = s3_styles,
     .help = "Where the bucket stands: in the URL's path, or in front of the host's name. auto: in "
             "the path with an endpoint of one's own, and where the bucket's name has a dot."},
    OBJECT_ROWS(struct s3_options, object),
    {.name = "checksum",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct s3_options, checksum),
     .initial = "md5",
     .words = s3_checksums,
     .help = "By what the store checks that it has what was sent, besides the signature over the "
             "body's SHA-256: md5 (Content-MD5, known to all), crc32c (x-amz-checksum-crc32c, kept "
             "with the object), or nothing more."},
    {.name = "storage_class",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct s3_options, storage_class),
     .min = 1,
     .max = 64,
     .check = s3_word_check,
     .help = "For example STANDARD_IA or GLACIER_IR. Default: the bucket's."},
    {.name = "encryption",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct s3_options, encryption),
     .initial = "bucket",
     .words = s3_encryptions,
     .help = "Encryption at rest by the store: as the bucket has it, or with this said of each "
             "object."},
    {.name = "kms_key",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct s3_options, kms_key),
     .min = 1,
     .max = 256,
     .check = s3_word_check,
     .help = "Id or ARN of the key for aws:kms. Default: the bucket's or Amazon's own."},
    {.name = "create_only",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct s3_options, create_only),
     .initial = "false",
     .help = "Ask that nothing be overwritten (If-None-Match): where the rights or the bucket's "
             "lock forbid it. An object that is there already is one of an earlier try."},
    {.name = "credentials",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     .offset = offsetof(struct s3_options, credentials),
     .record = credentials_table,
     .record_size = sizeof(struct credentials_options),
     .help = "Whose rights. Not given: as Amazon's tools look for them."},
    {.name = "tls",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     .offset = offsetof(struct s3_options, tls),
     .record = tls_client_table,
     .record_size = sizeof(struct tls_options),
     .help = "TLS settings of an https endpoint."},
    {.name = NULL},
};
