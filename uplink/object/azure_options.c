#include "ports/lib/hash.h"
#include "uplink/object/azure_impl.h"

static enum err azure_account_check(const void *value, struct why *why)
{
    const char *account = *(const char *const *)value;
    if (strspn(account, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(account)) {
        why_set(why, "account \"%.64s\" is no name of a storage account", account);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err azure_container_check(const void *value, struct why *why)
{
    const char *container = *(const char *const *)value;
    if (strspn(container, "abcdefghijklmnopqrstuvwxyz0123456789-$") != strlen(container)) {
        why_set(why,
                "container \"%.64s\" is no name of a container: it has small letters, digits "
                "and '-'",
                container);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err azure_key_check(const void *value, struct why *why)
{
    const char *key = *(const char *const *)value;
    uint8_t memory[AZURE_KEY_SIZE_MAX];
    struct out out = out_over(memory, sizeof memory);
    if (key && !hash_take_base64(slice_of_text(key), &out)) {
        why_set(why, "key is no key of a storage account: those are base64, 88 characters");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err azure_sas_check(const void *value, struct why *why)
{
    const char *sas = *(const char *const *)value;
    bool is_bad = sas && !strstr(sas, "sig=");
    for (const char *c = sas; c && *c; c++) {
        is_bad = is_bad || *c <= ' ' || *c > '~' || *c == '#';
    }
    if (is_bad) {
        why_set(why, "sas is no shared access signature: it is what stands behind the '?' of a SAS "
                     "URL, with sig=... in it");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err azure_tier_check(const void *value, struct why *why)
{
    const char *tier = *(const char *const *)value;
    if (tier &&
        strspn(tier, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(tier)) {
        why_set(why, "access_tier \"%.32s\" is none: there are Hot, Cool, Cold, Archive", tier);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

enum err azure_options_check(const void *options, struct why *why)
{
    const struct azure_options *azure = options;
    if (!azure->key == !azure->sas) {
        why_set(why, azure->key ? "key and sas are two ways to sign in: keep one of them"
                                : "key (of the account) or sas (a shared access signature) is "
                                  "needed");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

const struct option azure_table[] = {
    {.name = "account",
     .kind = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct azure_options, account),
     .min = 3,
     .max = 63,
     .check = azure_account_check,
     .help = "The storage account."},
    {.name = "container",
     .kind = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct azure_options, container),
     .min = 3,
     .max = 63,
     .check = azure_container_check,
     .help = "The container for the blobs; it must be there."},
    {.name = "key",
     .kind = OPTION_SECRET,
     .offset = offsetof(struct azure_options, key),
     .min = 4,
     .max = 344,
     .check = azure_key_check,
     .help = "A key of the account, as the portal shows it: it may do everything; better a sas."},
    {.name = "sas",
     .kind = OPTION_SECRET,
     .offset = offsetof(struct azure_options, sas),
     .min = 4,
     .max = 2048,
     .check = azure_sas_check,
     .help = "A shared access signature for the container with the rights to create and write: "
             "what stands behind the '?' of its URL."},
    {.name = "endpoint",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct azure_options, endpoint),
     .min = 8,
     .max = 400,
     .check = endpoint_check,
     .help = "URL of the account, where it is not https://ACCOUNT.blob.core.windows.net: another "
             "cloud, a private one, Azurite (http://127.0.0.1:10000/devstoreaccount1)."},
    OBJECT_ROWS(struct azure_options, object),
    {.name = "access_tier",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct azure_options, access_tier),
     .min = 3,
     .max = 16,
     .check = azure_tier_check,
     .help = "Hot, Cool, Cold or Archive. Default: the account's."},
    {.name = "create_only",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct azure_options, create_only),
     .initial = "false",
     .help = "Ask that nothing be overwritten (If-None-Match): where the rights or a policy forbid "
             "it. A blob that is there already is one of an earlier try."},
    {.name = "tls",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     .offset = offsetof(struct azure_options, tls),
     .record = tls_client_table,
     .record_size = sizeof(struct tls_options),
     .help = "TLS settings of an https endpoint."},
    {.name = NULL},
};
