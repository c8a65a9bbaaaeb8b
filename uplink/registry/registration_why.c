/* What a person is told about a registration that did not succeed. */
#include <inttypes.h>

#include "uplink/registry/registration.h"

static void why_login(const struct registry_options *options, struct why *ret)
{
    if (options->token) {
        why_set(ret, "the schema registry refuses the token (401): check registry.token");
    } else if (options->user) {
        why_set(ret, "the schema registry refuses user and password (401): check registry.user and "
                     ".password");
    } else {
        why_set(ret, "the schema registry wants a login (401): set registry.user and "
                     "registry.password, or registry.token");
    }
}

/* The same for every subject: what changes is logged. */
static void why_later(const struct registration_result *result,
                      const struct registry_options *options, struct why *ret)
{
    if (result->status == 0) {
        why_set(ret, "no answer from the schema registry at %.200s: %s", options->url,
                result->message);
    } else if (result->status < 400) {
        why_set(ret,
                "what answers at %.200s is no schema registry (%ld, without what it should say): "
                "check registry.url, and what is in between",
                options->url, result->status);
    } else {
        why_set(ret, "the schema registry at %.200s answers %ld: %s", options->url, result->status,
                result->message[0] ? result->message : "no reason given");
    }
}

void registration_why(const struct registration_result *result,
                      const struct registry_options *options, struct why *ret)
{
    const char *says = result->message[0] ? result->message : "no reason given";
    const char *what = result->is_reference ? "the type that the schema refers to" : "the schema";
    switch (result->end) {
    case REGISTRATION_THERE:
    case REGISTRATION_MADE:
    case REGISTRATION_POSSIBLE:
        why_set(ret, "%s", "");
        break;
    case REGISTRATION_UNKNOWN:
        why_set(ret,
                "%s is not registered under %.150s: register it there (weir schema register), or "
                "set registry.register to true",
                what, result->subject);
        break;
    case REGISTRATION_REFUSED:
        why_set(ret,
                "the schema registry finds %s incompatible with subject %.150s: mend the schema, "
                "or ease the subject's compatibility; it says: %s",
                what, result->subject, says);
        break;
    case REGISTRATION_INVALID:
        why_set(ret, "the schema registry does not take %s under %.150s (%ld/%" PRId64 "): %s",
                what, result->subject, result->status, result->error_code, says);
        break;
    case REGISTRATION_NO_LOGIN:
        why_login(options, ret);
        break;
    case REGISTRATION_FORBIDDEN: /* its text may repeat what was sent */
        why_set(
            ret,
            "the schema registry refuses us subject %.150s (403): give the user the rights on it "
            "(registry.user, registry.token)",
            result->subject);
        break;
    case REGISTRATION_NO_REGISTRY:
        why_set(ret, "there is no schema registry at %.300s (404): check the path of registry.url",
                options->url);
        break;
    case REGISTRATION_LATER:
        why_later(result, options, ret);
        break;
    }
}
