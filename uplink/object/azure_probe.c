/* For `weir check --online`: does the service answer, is the container there, and may the key or SAS write
 * in it? By Abort Copy Blob of a copy that was never begun, to a blob that is not there: it needs the
 * right that the uplink needs, and there is nothing that it could change. */
#include <stdio.h>
#include <stdlib.h>

#include "ports/lib/hash.h"
#include "uplink/http/service_probe.h"
#include "uplink/object/azure_impl.h"

#define NO_BLOB "weir-check-online/no-blob" /* nothing is ever put there */
#define NO_COPY "00000000-0000-0000-0000-000000000000"
#define URL_SIZE 512

struct azure_probe {
    struct service_probe base;
    const struct azure_options *options;
    char url[URL_SIZE];
    char code[OBJECT_CODE_SIZE]; /* of the answer at hand */
    bool has_dated;
};

static struct azure_probe *probe_of(struct service_probe *base)
{
    return CONTAINER_OF(base, struct azure_probe, base);
}

/* --- the question --- */

static bool put_authorization(struct azure_probe *p, struct http_request *ret, const char *path,
                              const struct azure_header headers[3])
{
    uint8_t key[AZURE_KEY_SIZE_MAX], memory[AZURE_SIGN_ROOM / 2];
    char signed_path[2 * URL_SIZE];
    struct out key_out = out_over(key, sizeof key), room = out_over(memory, sizeof memory);
    if (!hash_take_base64(slice_of_text(p->options->key), &key_out)) {
        return false;
    }
    /* behind the path each parameter of the query, sorted */
    (void)snprintf(signed_path, sizeof signed_path, "%s\ncomp:copy\ncopyid:%s", path, NO_COPY);
    const struct azure_request request = {.method = "PUT",
                                          .content_md5 = "",
                                          .content_type = AZURE_CONTENT_TYPE,
                                          .if_none_match = "",
                                          .headers = headers,
                                          .header_count = 3,
                                          .account = p->options->account,
                                          .path = slice_of_text(signed_path)};
    azure_sign(&request, out_slice(&key_out), &room);
    out_put_byte(&room, 0);
    return !room.overflow &&
           service_probe_header(&p->base, ret, "Authorization: %s", (const char *)memory);
}

static enum err probe_ask(struct service_probe *base, struct http_request *ret)
{
    struct azure_probe *p = probe_of(base);
    const char *sas = p->options->sas;
    char date[AZURE_DATE_SIZE], path[URL_SIZE];
    struct endpoint at;
    struct why why;
    azure_date(server_clock_now_s(&base->clock), date);
    const struct azure_header headers[] = {
        {"x-ms-copy-action", "abort"}, {"x-ms-date", date}, {"x-ms-version", AZURE_VERSION}};
    if (endpoint_parse(p->url, &at, &why)) {
        return ERR_CONFIG;
    }
    (void)snprintf(path, sizeof path, "%.*s/%s/%s", (int)at.path.size, (const char *)at.path.data,
                   p->options->container, NO_BLOB);
    ret->method = "PUT";
    ret->url = service_probe_text(base, "%.*s%.*s%s?comp=copy&copyid=%s%s%s", (int)at.scheme.size,
                                  (const char *)at.scheme.data, (int)at.host.size,
                                  (const char *)at.host.data, path, NO_COPY, sas ? "&" : "",
                                  !sas            ? ""
                                  : sas[0] == '?' ? sas + 1
                                                  : sas);
    bool ok = ret->url && service_probe_header(base, ret, "Content-Type: " AZURE_CONTENT_TYPE);
    for (size_t i = 0; i < ARRAY_COUNT(headers); i++) {
        ok = ok && service_probe_header(base, ret, "%s: %s", headers[i].name, headers[i].value);
    }
    ok = ok && (sas || put_authorization(p, ret, path, headers));
    p->code[0] = '\0';
    return ok ? ERR_OK : ERR_FULL;
}

static void probe_header(struct service_probe *base, struct slice name, struct slice value)
{
    struct azure_probe *p = probe_of(base);
    if (object_header_is(name, "x-ms-error-code") &&
        !slice_to_text(value, p->code, sizeof p->code)) {
        p->code[0] = '\0'; /* then the body's is taken */
    }
}

/* --- the answer --- */

static void tell_refused(struct azure_probe *p, const char *what, const struct object_said *said,
                         long status)
{
    const char *with = p->options->sas ? "sas" : "key";
    bool is_login = status == 403 || status == 401;
    bool is_busy = said->action == OBJECT_WAIT;
    if (!said->code[0]) {
        service_probe_found_nonsense(&p->base, what, status);
        return;
    }
    service_probe_found(&p->base, is_busy ? PROBE_WARNING : PROBE_ERROR,
                        is_login ? with : "container", is_login ? "login at Azure" : what,
                        "%s%s%s%s%s", said->code, said->message[0] ? ": " : "", said->message,
                        said->advice[0] ? ": " : "", said->advice);
}

static enum service_probe_next probe_judge(struct service_probe *base,
                                           const struct http_answer *answer)
{
    struct azure_probe *p = probe_of(base);
    struct object_said said;
    char what[PROBE_WHAT_SIZE];
    (void)snprintf(what, sizeof what, "container %s", p->options->container);
    azure_said_read(&said, p->code, answer);
    bool is_skewed =
        strcmp(said.code, "AuthenticationFailed") == 0 && !p->options->sas && !p->has_dated;
    if (is_skewed && server_clock_learn(&base->clock, answer->date_s)) {
        p->has_dated = true; /* as the agent does */
        return SERVICE_PROBE_MORE;
    }
    if (strcmp(said.code, "BlobNotFound") == 0 ||
        strcmp(said.code, "NoPendingCopyOperation") == 0 || answer->status == 204) {
        service_probe_found(base, PROBE_OK, "container", what,
                            "it is there, and the %s may write in it",
                            p->options->sas ? "sas" : "key");
    } else if (strcmp(said.code, "ContainerNotFound") == 0) {
        service_probe_found(base, PROBE_ERROR, "container", what,
                            "it is not there: make it, or look at its name");
    } else if (strcmp(said.code, "AuthorizationPermissionMismatch") == 0 &&
               p->options->create_only) {
        service_probe_found(base, PROBE_WARNING, "container", what,
                            "the sas is good, but has not the right w, which create_only does not "
                            "need: whether the container is there, and blobs may be made, the "
                            "first batch shows");
    } else {
        tell_refused(p, what, &said, answer->status);
    }
    return SERVICE_PROBE_NEXT;
}

/* --- life --- */

static void probe_free(struct service_probe *base)
{
    free(probe_of(base));
}

static const struct service_probe_class probe_class = {
    .ask = probe_ask, .judge = probe_judge, .header = probe_header, .free = probe_free};

enum err azure_probe_open(struct probe **ret, const struct probe_setup *setup)
{
    struct azure_probe *p = calloc(1, sizeof *p);
    if (!p) {
        return ERR_NOMEM;
    }
    p->options = setup->options;
    azure_url_put(p->options, p->url, sizeof p->url);
    p->base.class_ = &probe_class;
    p->base.owner = setup;
    p->base.service = "Azure";
    p->base.endpoint = p->url;
    p->base.prefix = "";
    p->base.endpoint_option = "endpoint";
    p->base.name_option = "container";
    p->base.tls = &p->options->tls;
    enum err e = service_probe_open(&p->base);
    if (e) {
        p->base.probe.close(&p->base.probe);
        return e;
    }
    *ret = &p->base.probe;
    return ERR_OK;
}
