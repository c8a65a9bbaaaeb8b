#include <stdlib.h>

#include "uplink/aws/credentials_impl.h"

/* The URL is said in texts and logs: it must hold no password. */
static enum err url_check(const void *value, struct why *why)
{
    const char *url = *(const char *const *)value;
    if ((strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) || strchr(url, '@')) {
        why_set(why, "credentials.sts_url must begin with http:// or https://, and hold no user");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

/* What stands in a header or a URL. */
static enum err word_check(const void *value, struct why *why)
{
    const char *text = *(const char *const *)value;
    if (credentials_is_word(slice_of_text(text), OPTION_TEXT_SIZE_MAX)) {
        return ERR_OK;
    }
    why_set(why, "letters, digits and signs of ASCII only, without spaces");
    return ERR_CONFIG;
}

static enum err host_check(const void *value, struct why *why)
{
    const char *text = *(const char *const *)value;
    if (text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]")]) {
        why_set(why, "\"%.100s\" is no host: write it without a scheme and without a path", text);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

/* A name as IAM and AWS IoT have them, for a path. */
static enum err name_check(const void *value, struct why *why)
{
    const char *text = *(const char *const *)value;
    if (text[strspn(text,
                    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_=,@.:-")]) {
        why_set(why, "\"%.100s\" is no name: letters, digits and _=,@.:- only", text);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

#define IOT_ROW(member, ...) \
    { \
        .name = #member, .offset = offsetof(struct credentials_iot_options, member), __VA_ARGS__ \
    }

static const struct option iot_table[] = {
    IOT_ROW(endpoint, .kind = OPTION_TEXT, .flags = OPTION_REQUIRED, .min = 1, .max = 255,
            .check = host_check,
            .help = "The account's host, as `aws iot describe-endpoint --endpoint-type "
                    "iot:CredentialProvider` says it."),
    IOT_ROW(role_alias, .kind = OPTION_TEXT, .flags = OPTION_REQUIRED, .min = 1, .max = 128,
            .check = name_check,
            .help = "The role alias; the certificate's policy must allow "
                    "iot:AssumeRoleWithCertificate on it."),
    IOT_ROW(thing_name, .kind = OPTION_TEXT, .min = 1, .max = 128, .check = name_check,
            .help = "The thing's name, where the policy looks at it; the certificate must be "
                    "attached to this thing."),
    IOT_ROW(tls, .kind = OPTION_RECORD, .flags = OPTION_MISSING_OK, .record = tls_client_table,
            .record_size = sizeof(struct tls_options),
            .help = "TLS settings, with the device's certificate and key."),
    {.name = NULL},
};

#define ROW(member, ...) \
    { \
        .name = #member, .offset = offsetof(struct credentials_options, member), __VA_ARGS__ \
    }

const struct option credentials_table[] = {
    ROW(access_key_id, .kind = OPTION_TEXT, .min = 1, .max = CREDENTIALS_KEY_SIZE_MAX,
        .check = word_check, .help = "The id of an access key."),
    ROW(secret_access_key, .kind = OPTION_SECRET, .max = CREDENTIALS_KEY_SIZE_MAX,
        .check = word_check, .help = "Its secret; \"${file:PATH}\" keeps it out of this file."),
    ROW(session_token, .kind = OPTION_SECRET, .max = CREDENTIALS_TOKEN_SIZE_MAX,
        .check = word_check,
        .help = "The session token of a temporary key. Such a key ends, and nobody renews it: for "
                "trying things out."),
    ROW(profile, .kind = OPTION_TEXT, .min = 1, .max = 128,
        .help = "A profile of AWS's shared files, with keys, a credential_process, or role_arn "
                "and source_profile, credential_source or web_identity_token_file; without it "
                "AWS_PROFILE, else \"default\"."),
    ROW(credentials_file, .kind = OPTION_PATH,
        .help = "Instead of AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials; refused when "
                "others may read it."),
    ROW(config_file, .kind = OPTION_PATH, .help = "Instead of AWS_CONFIG_FILE or ~/.aws/config."),
    ROW(role_arn, .kind = OPTION_TEXT, .min = 20, .max = 2048, .check = word_check,
        .help = "The role that the web identity takes; without it AWS_ROLE_ARN."),
    ROW(role_session_name, .kind = OPTION_TEXT, .min = 2, .max = 64, .check = word_check,
        .help = "How the session is called in CloudTrail; without it AWS_ROLE_SESSION_NAME, else "
                "\"weir\"."),
    ROW(web_identity_token_file, .kind = OPTION_PATH, .flags = OPTION_DATA,
        .help = "A file with the token of an OpenID Connect provider, read anew each time; refused "
                "when others may read it. Without it AWS_WEB_IDENTITY_TOKEN_FILE."),
    ROW(sts_url, .kind = OPTION_TEXT, .min = 8, .max = 255, .check = url_check,
        .help = "The Security Token Service; without it AWS_ENDPOINT_URL_STS, else the region's."),
    ROW(iot, .kind = OPTION_RECORD, .flags = OPTION_MISSING_OK, .record = iot_table,
        .record_size = sizeof(struct credentials_iot_options),
        .help = "AWS IoT Core's credentials provider: the device's certificate is its login, and "
                "no secret of AWS is kept here."),
    {.name = NULL},
};

enum err credentials_check(const struct credentials_options *options, struct why *why)
{
    bool has_key = options->access_key_id || options->secret_access_key || options->session_token;
    bool has_file = options->profile || options->credentials_file || options->config_file;
    int sources =
        has_key + has_file + (options->web_identity_token_file != NULL) + options->iot.is_set;
    if (sources > 1) {
        why_set(why, "credentials: either access_key_id and secret_access_key, or a profile, or "
                     "web_identity_token_file, or iot");
        return ERR_CONFIG;
    }
    if (has_key && (!options->access_key_id || !options->secret_access_key)) {
        why_set(why, "credentials: access_key_id and secret_access_key belong together");
        return ERR_CONFIG;
    }
    if (options->iot.is_set && (!options->iot.tls.certificate || !options->iot.tls.key)) {
        why_set(why, "credentials.iot needs tls.certificate and tls.key, the device's own");
        return ERR_CONFIG;
    }
    if (options->web_identity_token_file && !options->role_arn &&
        !credentials_environment("AWS_ROLE_ARN")) {
        why_set(why, "credentials: web_identity_token_file needs role_arn");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

const char *credentials_environment(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

const char *credentials_region(const char *option)
{
    const char *region = option ? option : credentials_environment("AWS_REGION");
    return region ? region : credentials_environment("AWS_DEFAULT_REGION");
}
