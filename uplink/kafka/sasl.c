#include "uplink/kafka/sasl.h"

#include <assert.h>

struct mechanism {
    const char *name;
    enum err (*next)(struct sasl *sasl, struct slice challenge, struct out *ret, struct why *why);
};

/* RFC 4616: no authorization identity, NUL, user, NUL, password. */
static enum err plain_next(struct sasl *sasl, struct slice challenge, struct out *ret,
                           struct why *why)
{
    (void)challenge;
    if (sasl->step > 0) {
        return ERR_CLOSED;
    }
    out_put_byte(ret, 0);
    out_put_text(ret, sasl->options->user);
    out_put_byte(ret, 0);
    out_put_text(ret, sasl->options->password);
    if (ret->overflow) {
        why_set(why, "sasl.user and sasl.password together are longer than %d bytes",
                SASL_TOKEN_SIZE_MAX - 2);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static const struct mechanism mechanisms[] = {
    [SASL_PLAIN] = {"PLAIN", plain_next},
};
static const char *const words[] = {"PLAIN", NULL};

const struct option sasl_table[] = {
    {.name = "mechanism",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct sasl_options, mechanism),
     .initial = "PLAIN",
     .words = words,
     .help = "How to log in. PLAIN sends the password as it is: use it with tls."},
    {.name = "user",
     .kind = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct sasl_options, user),
     .min = 1,
     .max = 1024,
     .help = "The user's name."},
    {.name = "password",
     .kind = OPTION_SECRET,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct sasl_options, password),
     .max = 2048,
     .help = "The password; \"${file:PATH}\" keeps it out of this file."},
    {.name = NULL},
};

const char *sasl_name(const struct sasl_options *options)
{
    return mechanisms[options->mechanism].name;
}

void sasl_init(struct sasl *sasl, const struct sasl_options *options)
{
    assert(options->mechanism >= 0 && (size_t)options->mechanism < ARRAY_COUNT(mechanisms));
    *sasl = (struct sasl){.options = options};
}

enum err sasl_next(struct sasl *sasl, struct slice challenge, struct out *ret, struct why *why)
{
    enum err e = mechanisms[sasl->options->mechanism].next(sasl, challenge, ret, why);
    sasl->step++;
    return e;
}
