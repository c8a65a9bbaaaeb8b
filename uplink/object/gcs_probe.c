/* For `weir check --online`: is there a token, does the service answer, and may objects be put into the
 * bucket? By buckets.testIamPermissions, which needs no right of its own; without a token, as emulators
 * are spoken to, by a look at the bucket. Nothing is changed. */
#include <stdio.h>
#include <stdlib.h>

#include "uplink/google/google_probe.h"
#include "uplink/object/gcs_answer.h"
#include "uplink/object/gcs_options.h"

#define CREATE "storage.objects.create"
#define DELETE "storage.objects.delete" /* what replaces an object deletes it */

struct gcs_probe {
    struct google_probe google;
    const struct gcs_options *options;
    char url[GCS_URL_SIZE];
};

static struct gcs_probe *probe_of(struct service_probe *base)
{
    struct google_probe *google = CONTAINER_OF(base, struct google_probe, base);
    return CONTAINER_OF(google, struct gcs_probe, google);
}

static enum err probe_ask(struct service_probe *base, struct http_request *ret)
{
    struct gcs_probe *p = probe_of(base);
    size_t size = strlen(p->url);
    bool has_slash = size > 0 && p->url[size - 1] == '/';
    ret->method = "GET";
    ret->url = service_probe_text(
        base, "%s%sstorage/v1/b/%s%s", p->url, has_slash ? "" : "/", p->options->bucket,
        p->google.is_anonymous ? ""
                               : "/iam/testPermissions?permissions=" CREATE "&permissions=" DELETE);
    return ret->url ? google_probe_authorize(&p->google, ret) : ERR_FULL;
}

static void tell_rights(struct gcs_probe *p, const char *what, const struct http_answer *answer)
{
    struct service_probe *base = &p->google.base;
    struct gcs_object any;
    bool may_create = google_probe_may(answer->body, CREATE);
    bool may_delete = google_probe_may(answer->body, DELETE);
    if (!gcs_answer_object(answer->body, &any)) {
        service_probe_found_nonsense(base, what, answer->status);
    } else if (p->google.is_anonymous) {
        service_probe_found(base, PROBE_OK, "bucket", what,
                            "it is there; without a token nothing was asked about rights");
    } else if (!may_create) {
        service_probe_found(base, PROBE_ERROR, "bucket", what,
                            "these credentials may not put objects there (" CREATE
                            "): give the account the role Storage Object %s on the bucket",
                            p->options->create_only ? "Creator" : "User");
    } else if (!may_delete && !p->options->create_only) {
        service_probe_found(base, PROBE_ERROR, "bucket", what,
                            "these credentials may put objects there, but not replace one "
                            "(" DELETE "), which a repeated upload does: give the account the role "
                            "Storage Object User on the bucket, or set create_only");
    } else {
        service_probe_found(base, PROBE_OK, "bucket", what, "it is there, and objects may be put%s",
                            p->options->create_only ? "" : " and replaced");
    }
}

static enum service_probe_next probe_judge(struct service_probe *base,
                                           const struct http_answer *answer)
{
    struct gcs_probe *p = probe_of(base);
    struct object_said said = {.advice = ""};
    char what[PROBE_WHAT_SIZE];
    (void)snprintf(what, sizeof what, "bucket %.300s", p->options->bucket);
    if (answer->status == 200) {
        tell_rights(p, what, answer);
        return SERVICE_PROBE_NEXT;
    }
    gcs_answer_error(answer->body, &said);
    if (answer->status == 404) {
        service_probe_found(base, PROBE_ERROR, "bucket", what,
                            "it is not there: make it, or look at its name");
    } else if (answer->status == 401) {
        service_probe_found(base, PROBE_ERROR, "credentials", "login at Cloud Storage",
                            "%s: is the key still valid, and the clock right?",
                            said.message[0] ? said.message : "the token is refused");
    } else {
        bool is_busy = answer->status == 429 || answer->status >= 500;
        service_probe_found(base, is_busy ? PROBE_WARNING : PROBE_ERROR, "bucket", what,
                            "the service answers %ld %s%s%s: %s", answer->status, said.code,
                            said.message[0] ? ", " : "", said.message,
                            is_busy ? "ask again later"
                                    : "look at the project, and at the account's rights");
    }
    return SERVICE_PROBE_NEXT;
}

static void probe_free(struct service_probe *base)
{
    struct gcs_probe *p = probe_of(base);
    google_probe_release(&p->google);
    free(p);
}

static const struct service_probe_class probe_class = {
    .ask = probe_ask, .judge = probe_judge, .free = probe_free};

enum err gcs_probe_open(struct probe **ret, const struct probe_setup *setup)
{
    struct gcs_probe *p = calloc(1, sizeof *p);
    if (!p) {
        return ERR_NOMEM;
    }
    p->options = setup->options;
    p->google.is_anonymous = !gcs_url_put(p->options, p->url);
    p->google.credentials = p->options->credentials;
    p->google.scope = GCS_SCOPE;
    struct service_probe *base = &p->google.base;
    base->class_ = &probe_class;
    base->owner = setup;
    base->service = "Cloud Storage";
    base->endpoint = p->url;
    base->prefix = "";
    base->endpoint_option = "endpoint";
    base->name_option = "bucket";
    base->tls = p->options->tls.is_set ? &p->options->tls : NULL;
    enum err e = google_probe_open(&p->google);
    if (e) {
        base->probe.close(&base->probe);
        return e;
    }
    *ret = &base->probe;
    return ERR_OK;
}
