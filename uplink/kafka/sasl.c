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

/* In the order of enum sasl_mechanism, as `words`. */
static const struct mechanism mechanisms[] = {
    [SASL_PLAIN] = {"PLAIN", plain_next, HASH_SHA256},
    [SASL_SCRAM_SHA_256] = {"SCRAM-SHA-256", scram_mechanism_next, HASH_SHA256},
    [SASL_SCRAM_SHA_512] = {"SCRAM-SHA-512", scram_mechanism_next, HASH_SHA512},
};
static const char *const words[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", NULL};

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

const struct option sasl_table[] = {
    {.name = "mechanism",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct sasl_options, mechanism),
     .initial = "PLAIN",
     .words = words,
     .help = "How to log in. PLAIN sends the password as it is: use it with tls. SCRAM proves it, "
             "and that the broker knows it too."},
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
    {.name = NULL},
};

enum err sasl_check(const struct sasl_options *options, struct why *why)
{
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

void sasl_init(struct sasl *sasl, struct sasl_store *store)
{
    int64_t mechanism = store->options->mechanism;
    assert(mechanism >= 0 && (size_t)mechanism < ARRAY_COUNT(mechanisms));
    *sasl = (struct sasl){.store = store};
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
