#include "uplink/kafka/sasl.h"

#include <assert.h>

#include "ports/random.h"
#include "uplink/kafka/sasl_scram.h"

struct mechanism {
    const char *name;
    enum err (*next)(struct sasl *sasl, struct slice challenge, struct out *ret, struct why *why);
    enum hash_kind hash;
};

/* RFC 4616: no authorization identity, NUL, user, NUL, password. */
static enum err plain_next(struct sasl *sasl, struct slice challenge, struct out *ret,
                           struct why *why)
{
    (void)challenge;
    (void)why;
    if (sasl->step > 0) {
        return ERR_CLOSED;
    }
    out_put_byte(ret, 0);
    out_put_text(ret, sasl->store->options->user);
    out_put_byte(ret, 0);
    out_put_text(ret, sasl->store->options->password);
    return ERR_OK;
}

static enum err scram_mechanism_next(struct sasl *sasl, struct slice challenge, struct out *ret,
                                     struct why *why);

/* What the broker says goes into a text for a person: printable, and cut. */
static void refusal_keep(struct sasl *sasl, struct slice said)
{
    size_t size = 0;
    for (; size < said.size && size < sizeof sasl->refusal - 1; size++) {
        uint8_t c = said.data[size];
        sasl->refusal[size] = (char)(c >= ' ' && c <= '~' ? c : '?');
    }
    sasl->refusal[size] = '\0';
}

static enum err token_put(struct sasl *sasl, struct out *ret)
{
    sasl->token_number = sasl->store->token_number;
    out_put_text(ret, sasl->store->token);
    return ERR_OK;
}

/* RFC 7628. A refusal is a challenge that says why; it is answered, and then comes the error. */
static enum err oauth_next(struct sasl *sasl, struct slice challenge, struct out *ret,
                           struct why *why)
{
    const struct option_map *extensions = &sasl->store->options->oauth.extensions;
    const char *const *values = extensions->items;
    bool is_aws = sasl_is_aws(sasl->store->options);
    if (sasl->step == 0 && !is_aws && !sasl->store->token) {
        why_set(why, "the access token was refused elsewhere meanwhile");
        return ERR_TIMEOUT;
    }
    if (sasl->step == 0) {
        out_put_text(ret, "n,,\1auth=Bearer ");
        enum err e = is_aws ? sasl_aws_token_put(sasl, ret, why) : token_put(sasl, ret);
        if (e) {
            return e;
        }
        out_put_byte(ret, 1);
        for (size_t i = 0; i < extensions->count; i++) {
            out_put_text(ret, extensions->names[i]);
            out_put_byte(ret, '=');
            out_put_text(ret, values[i]);
            out_put_byte(ret, 1);
        }
        out_put_byte(ret, 1);
        return ERR_OK;
    }
    if (sasl->step == 1 && challenge.size == 0) {
        return ERR_CLOSED;
    }
    if (sasl->step == 1) {
        refusal_keep(sasl, challenge);
        out_put_byte(ret, 1);
        return ERR_OK;
    }
    why_set(why, "the broker refused the access token, and then did not: %s", sasl->refusal);
    return ERR_AUTH;
}

/* In the order of enum sasl_mechanism, as `words`. */
static const struct mechanism mechanisms[] = {
    [SASL_PLAIN] = {"PLAIN", plain_next, HASH_SHA256},
    [SASL_SCRAM_SHA_256] = {"SCRAM-SHA-256", scram_mechanism_next, HASH_SHA256},
    [SASL_SCRAM_SHA_512] = {"SCRAM-SHA-512", scram_mechanism_next, HASH_SHA512},
    [SASL_OAUTHBEARER] = {"OAUTHBEARER", oauth_next, HASH_SHA256},
    [SASL_AWS_MSK_IAM] = {"AWS_MSK_IAM", sasl_aws_next, HASH_SHA256},
};
static const char *const words[] = {"PLAIN",       "SCRAM-SHA-256", "SCRAM-SHA-512",
                                    "OAUTHBEARER", "AWS_MSK_IAM",   NULL};

static enum err scram_mechanism_next(struct sasl *sasl, struct slice challenge, struct out *ret,
                                     struct why *why)
{
    if (!sasl->scram) {
        uint8_t chance[SCRAM_NONCE_SIZE / 4 * 3];
        uint8_t nonce[SCRAM_NONCE_SIZE + 1] = {0};
        struct out o = out_over(nonce, SCRAM_NONCE_SIZE);
        random_bytes(chance, sizeof chance);
        hash_put_base64(&o, (struct slice){chance, sizeof chance});
        enum err e = scram_open(&sasl->scram, mechanisms[sasl->store->options->mechanism].hash,
                                sasl->store, (const char *)nonce);
        if (e) {
            return e;
        }
    }
    return scram_next(sasl->scram, challenge, ret, why);
}

/* The URL is said in texts and logs: it must hold no password. */
static enum err url_check(const void *value, struct why *why)
{
    const char *url = *(const char *const *)value;
    if ((strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) || strchr(url, '@')) {
        why_set(why, "sasl.oauth.url must begin with http:// or https://, and hold no user");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static const struct option extension_item = {.kind = OPTION_TEXT, .min = 1, .max = 256};

static const struct option oauth_table[] = {
    {.name = "url",
     .kind = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct oauth_options, url),
     .min = 8,
     .max = 2048,
     .check = url_check,
     .help = "The token endpoint, for example https://login.example.com/oauth2/token."},
    {.name = "client_id",
     .kind = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct oauth_options, client_id),
     .min = 1,
     .max = 1024,
     .help = "The name by which the endpoint knows this client (grant client_credentials)."},
    {.name = "client_secret",
     .kind = OPTION_SECRET,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct oauth_options, client_secret),
     .max = 2048,
     .help = "Its secret; \"${file:PATH}\" keeps it out of this file."},
    {.name = "scope",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct oauth_options, scope),
     .max = 1024,
     .help = "The scope to ask for; none when not given."},
    {.name = "extensions",
     .kind = OPTION_MAP,
     .offset = offsetof(struct oauth_options, extensions),
     .max = 16,
     .item = &extension_item,
     .help = "Extensions for the broker, such as logicalCluster and identityPoolId of Confluent "
             "Cloud."},
    {.name = "tls",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     .offset = offsetof(struct oauth_options, tls),
     .record = tls_client_table,
     .record_size = sizeof(struct tls_options),
     .help = "TLS settings of an https URL."},
    {.name = NULL},
};

const struct option sasl_table[] = {
    {.name = "mechanism",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct sasl_options, mechanism),
     .initial = "PLAIN",
     .words = words,
     .help = "How to log in. PLAIN sends the password as it is: use it with tls. SCRAM proves it, "
             "and that the broker knows it too. OAUTHBEARER shows an access token. AWS_MSK_IAM is "
             "IAM's login to Amazon MSK, with AWS's credentials (port 9098 of its brokers, and "
             "tls); MSK takes OAUTHBEARER with `credentials` there too."},
    {.name = "user",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct sasl_options, user),
     .min = 1,
     .max = 1024,
     .help = "The user's name."},
    {.name = "password",
     .kind = OPTION_SECRET,
     .offset = offsetof(struct sasl_options, password),
     .max = 2048,
     .help = "The password; \"${file:PATH}\" keeps it out of this file."},
    {.name = "oauth",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     .offset = offsetof(struct sasl_options, oauth),
     .record = oauth_table,
     .record_size = sizeof(struct oauth_options),
     .help =
         "Where OAUTHBEARER's access tokens come from: OAuth 2.0, client credentials. Without it "
         "AWS's `credentials` sign them, for Amazon MSK."},
    {.name = "region",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct sasl_options, region),
     .min = 1,
     .max = SIGV4_REGION_SIZE_MAX,
     .help = "With AWS's credentials: the cluster's region; without it the one in the broker's "
             "name, else "
             "AWS_REGION."},
    {.name = "credentials",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     .offset = offsetof(struct sasl_options, credentials),
     .record = credentials_table,
     .record_size = sizeof(struct credentials_options),
     .help =
         "Where AWS's credentials come from, for AWS_MSK_IAM, or for OAUTHBEARER to Amazon MSK; "
         "{}, or with AWS_MSK_IAM without it: the environment, AWS's shared files, a web "
         "identity, the container or the machine are asked."},
    {.name = NULL},
};

/* RFC 7628, 3.1: a name of letters that is not "auth", and visible text. */
static enum err extensions_check(const struct option_map *map, struct why *why)
{
    const char *const *values = map->items;
    size_t size = 0;
    for (size_t i = 0; i < map->count; i++) {
        const char *name = map->names[i];
        bool good = strcmp(name, "auth") != 0 && name[0];
        for (const char *c = name; *c; c++) {
            good = good && ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z'));
        }
        for (const char *c = values[i]; *c; c++) {
            good = good && *c >= ' ' && *c <= '~';
        }
        size += strlen(name) + strlen(values[i]) + 2;
        if (!good || size > SASL_EXTENSIONS_SIZE_MAX) {
            why_set(why,
                    "sasl.oauth.extensions: \"%.60s\" is none: names are letters, values printable "
                    "ASCII, all together at most %d bytes",
                    name, SASL_EXTENSIONS_SIZE_MAX);
            return ERR_CONFIG;
        }
    }
    return ERR_OK;
}

bool sasl_is_aws(const struct sasl_options *options)
{
    bool is_bearer = options->mechanism == SASL_OAUTHBEARER;
    return options->mechanism == SASL_AWS_MSK_IAM ||
           (is_bearer && !options->oauth.is_set && options->credentials.is_set);
}

enum err sasl_check(const struct sasl_options *options, const char *broker, struct why *why)
{
    if (options->mechanism == SASL_OAUTHBEARER && options->oauth.is_set) {
        if (options->credentials.is_set) {
            why_set(why,
                    "sasl: OAUTHBEARER takes its tokens by \"oauth\", or has AWS's \"credentials\" "
                    "sign them: keep one of them");
            return ERR_CONFIG;
        }
        return extensions_check(&options->oauth.extensions, why);
    }
    if (options->mechanism == SASL_OAUTHBEARER && !options->credentials.is_set) {
        why_set(why, "sasl: OAUTHBEARER needs \"oauth\" with url, client_id, client_secret, or for "
                     "Amazon MSK \"credentials\"");
        return ERR_CONFIG;
    }
    if (sasl_is_aws(options)) {
        char region[SIGV4_REGION_SIZE_MAX + 1];
        if (!sasl_region(options, slice_of_text(broker), region)) {
            why_set(why, "sasl: IAM's login needs \"region\" where neither the broker's name nor "
                         "AWS_REGION says it");
            return ERR_CONFIG;
        }
        return credentials_check(&options->credentials, why);
    }
    if (!options->user || !options->password) {
        why_set(why, "sasl: %s needs \"user\" and \"password\"", sasl_name(options));
        return ERR_CONFIG;
    }
    return ERR_OK;
}

const char *sasl_name(const struct sasl_options *options)
{
    return mechanisms[options->mechanism].name;
}

void sasl_init(struct sasl *sasl, struct sasl_store *store, struct slice host)
{
    int64_t mechanism = store->options->mechanism;
    assert(mechanism >= 0 && (size_t)mechanism < ARRAY_COUNT(mechanisms));
    *sasl = (struct sasl){.store = store, .host = host};
}

void sasl_release(struct sasl *sasl)
{
    scram_close(sasl->scram);
    sasl->scram = NULL;
}

enum err sasl_next(struct sasl *sasl, struct slice challenge, struct out *ret, struct why *why)
{
    enum err e = mechanisms[sasl->store->options->mechanism].next(sasl, challenge, ret, why);
    sasl->step += e == ERR_OK;
    return e;
}
