#include "uplink/registry/registration.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/http.h"
#include "uplink/registry/pieces.h"

#define REQUEST_TIMEOUT_MS 20000
#define ANSWER_SIZE_MAX (1024 * 1024) /* it may repeat the schema, and the one before */
#define CODE_NO_SUBJECT 40401
#define CODE_NO_VERSION 40402
#define CODE_NO_SCHEMA 40403

/* What a request asks. */
enum question {
    ASKS_IS_IT_THERE,       /* as it is written */
    ASKS_IS_THE_LIKE_THERE, /* written in another way */
    ASKS_MAY_IT_BE,         /* by what the subject's level demands */
    ASKS_MAY_IT_BE_LATEST,  /* as older registries understand it */
    ASKS_TAKE_IT,
    ASKS_WHICH_VERSION,
};

struct registration {
    struct registration_setup setup;
    struct pieces pieces;
    uint32_t versions[PIECE_MAX]; /* of the pieces that are done */
    size_t at;                    /* the piece that is being asked for */
    enum question question;
    bool is_made; /* this piece was registered, under this id: */
    uint32_t id;
    bool is_open;        /* the request is under way */
    struct timer failed; /* what could not even be sent */
    enum err failure;
    struct http_request request;
    struct slice body;
    char *authorization; /* header; NULL: none */
    uint64_t origin;
    char subject[REGISTRY_SUBJECT_SIZE_MAX];
    char url[REGISTRY_URL_SIZE_MAX];
    struct registration_result result;
};

static void registration_ask(struct registration *r, enum question question);

static const struct piece *piece_of(const struct registration *r)
{
    assert(r->at < r->pieces.count);
    return &r->pieces.items[r->at];
}

static const char *piece_subject(const struct registration *r)
{
    return piece_of(r)->subject ? piece_of(r)->subject : r->subject;
}

/* --- ends --- */

static void registration_end(struct registration *r, enum registration_end end)
{
    r->result.end = end;
    r->result.subject = piece_subject(r);
    r->result.is_reference = piece_of(r)->subject != NULL;
    r->setup.done(r->setup.context, &r->result); /* may close it */
}

/* A piece has its id. */
static void piece_done(struct registration *r, uint32_t version)
{
    r->versions[r->at] = version;
    free((void *)(uintptr_t)r->body.data);
    r->body = (struct slice){NULL, 0};
    if (r->at + 1 < r->pieces.count) {
        r->at++;
        r->is_made = false;
        registration_begin(r);
        return;
    }
    r->result.id = r->id;
    r->result.version = version;
    registration_end(r, r->is_made ? REGISTRATION_MADE : REGISTRATION_THERE);
}

/* What no question gets another answer to. True: it was that. */
static bool answer_is_common(struct registration *r, const struct http_answer *http)
{
    if (http->e) {
        (void)snprintf(r->result.message, sizeof r->result.message, "%s",
                       http->why.text[0] ? http->why.text : err_name(http->e));
        registration_end(r, REGISTRATION_LATER);
    } else if (http->status == 401) {
        registration_end(r, REGISTRATION_NO_LOGIN);
    } else if (http->status == 408 || http->status == 429 || http->status >= 500) {
        registration_end(r, REGISTRATION_LATER);
    } else {
        return false;
    }
    return true;
}

static void end_by_status(struct registration *r, const struct http_answer *http)
{
    if (http->status == 403) {
        registration_end(r, REGISTRATION_FORBIDDEN);
    } else if (http->status == 404) {
        registration_end(r, REGISTRATION_NO_REGISTRY);
    } else if (http->status == 409) {
        registration_end(r, REGISTRATION_REFUSED);
    } else if (http->status == 400 || http->status == 422) {
        registration_end(r, REGISTRATION_INVALID);
    } else {
        registration_end(r, REGISTRATION_LATER);
    }
}

/* --- answers --- */

static bool may_register(const struct registration *r)
{
    return r->setup.mode == REGISTRATION_FULL && r->setup.options->may_register;
}

static void it_is_not_there(struct registration *r, const struct registry_answer *answer)
{
    if (!r->setup.options->may_register) {
        registration_end(r, REGISTRATION_UNKNOWN);
    } else if (answer->error_code == CODE_NO_SUBJECT) {
        r->result.is_new = true;
        if (may_register(r)) {
            registration_ask(r, ASKS_TAKE_IT);
        } else {
            registration_end(r, REGISTRATION_POSSIBLE);
        }
    } else {
        registration_ask(r, r->setup.options->ask_first || !may_register(r) ? ASKS_MAY_IT_BE
                                                                            : ASKS_TAKE_IT);
    }
}

static void lookup_answered(struct registration *r, const struct http_answer *http,
                            const struct registry_answer *answer)
{
    bool is_usable = answer->has_id && (answer->version || !piece_of(r)->subject);
    if (http->status == 200 && is_usable) {
        r->id = answer->id;
        piece_done(r, answer->version);
    } else if (http->status == 404 && answer->error_code == CODE_NO_SUBJECT) {
        it_is_not_there(r, answer);
    } else if (http->status == 404 && answer->error_code != 0) {
        if (r->question == ASKS_IS_IT_THERE) {
            registration_ask(r, ASKS_IS_THE_LIKE_THERE);
        } else {
            it_is_not_there(r, answer);
        }
    } else if (http->status >= 400 && may_register(r)) {
        registration_ask(r, ASKS_TAKE_IT); /* who may write only; who has no look-up */
    } else {
        end_by_status(r, http);
    }
}

/* Only a clear no counts: else the registration decides. */
static void compatible_answered(struct registration *r, const struct http_answer *http,
                                const struct registry_answer *answer)
{
    bool is_verdict = http->status == 200 && answer->has_verdict;
    bool is_new = http->status == 404 &&
                  (answer->error_code == CODE_NO_SUBJECT || answer->error_code == CODE_NO_VERSION);
    bool is_old = (http->status == 404 && !is_new) || http->status == 405;
    if (is_verdict && !answer->is_compatible) {
        registration_end(r, REGISTRATION_REFUSED);
    } else if (is_old && r->question == ASKS_MAY_IT_BE) {
        registration_ask(r, ASKS_MAY_IT_BE_LATEST);
    } else if (may_register(r)) {
        registration_ask(r, ASKS_TAKE_IT);
    } else if (is_verdict || is_new) {
        r->result.is_new = is_new;
        registration_end(r, REGISTRATION_POSSIBLE);
    } else {
        end_by_status(r, http);
    }
}

static void registered_answered(struct registration *r, const struct http_answer *http,
                                const struct registry_answer *answer)
{
    bool wants_version = piece_of(r)->subject || r->setup.wants_version;
    if (http->status != 200 || !answer->has_id) {
        end_by_status(r, http);
        return;
    }
    r->is_made = true;
    r->id = answer->id;
    if (wants_version && answer->version == 0) {
        registration_ask(r, ASKS_WHICH_VERSION);
    } else {
        piece_done(r, answer->version);
    }
}

static void version_answered(struct registration *r, const struct http_answer *http,
                             const struct registry_answer *answer)
{
    if (http->status == 200 && answer->version) {
        piece_done(r, answer->version);
    } else {
        registration_end(r, REGISTRATION_LATER);
    }
}

/* Some answers repeat what was sent to them. */
static bool has_secret(const struct registration *r, const char *message)
{
    const struct registry_options *o = r->setup.options;
    return strstr(message, "Basic ") || strstr(message, "Bearer ") ||
           (o->token && strstr(message, o->token)) ||
           (o->password && o->password[0] && strstr(message, o->password));
}

/* By status first, then by what the body has; never by texts, which differ between registries. */
static void registration_answered(struct http_request *request, const struct http_answer *http)
{
    struct registration *r = CONTAINER_OF(request, struct registration, request);
    struct registry_answer answer = {0};
    r->is_open = false;
    if (r->setup.answered) {
        r->setup.answered(r->setup.context, http);
    }
    if (!http->e) {
        registry_answer_parse(http->body, &answer);
    }
    r->result = (struct registration_result){.e = http->e,
                                             .status = http->e ? 0 : http->status,
                                             .error_code = answer.error_code,
                                             .retry_after_ms = http->retry_after_ms};
    if (has_secret(r, answer.message)) {
        (void)snprintf(r->result.message, sizeof r->result.message,
                       "its text is not shown: it repeats the login");
    } else {
        memcpy(r->result.message, answer.message, sizeof answer.message);
    }
    if (answer_is_common(r, http)) {
        return;
    }
    switch (r->question) {
    case ASKS_IS_IT_THERE:
    case ASKS_IS_THE_LIKE_THERE:
        lookup_answered(r, http, &answer);
        break;
    case ASKS_MAY_IT_BE:
    case ASKS_MAY_IT_BE_LATEST:
        compatible_answered(r, http, &answer);
        break;
    case ASKS_TAKE_IT:
        registered_answered(r, http, &answer);
        break;
    case ASKS_WHICH_VERSION:
        version_answered(r, http, &answer);
        break;
    }
}

/* --- questions --- */

static bool put_url(struct registration *r, enum question question)
{
    static const char *const before[] = {[ASKS_MAY_IT_BE] = "/compatibility/subjects/",
                                         [ASKS_MAY_IT_BE_LATEST] = "/compatibility/subjects/",
                                         [ASKS_WHICH_VERSION] = NULL};
    /* Registries compare texts: some find what was registered as it is only by the same text, some
     * what was registered with other white space only by what they make of it. */
    static const char *const behind[] = {
        [ASKS_IS_IT_THERE] = "",
        [ASKS_IS_THE_LIKE_THERE] = "?normalize=true",
        [ASKS_MAY_IT_BE] = "/versions?verbose=true",
        [ASKS_MAY_IT_BE_LATEST] = "/versions/latest?verbose=true",
        [ASKS_TAKE_IT] = "/versions",
        [ASKS_WHICH_VERSION] = "",
    };
    struct out url = out_over(r->url, sizeof r->url - 1);
    registry_url_put(r->setup.options, before[question] ? before[question] : "/subjects/",
                     slice_of_text(piece_subject(r)), &url);
    out_put_text(&url, behind[question]);
    r->url[url.size] = '\0';
    return !url.overflow;
}

static void registration_ask(struct registration *r, enum question question)
{
    const struct registry_options *options = r->setup.options;
    enum err e = r->body.data ? ERR_OK : piece_body(&r->pieces, r->at, r->versions, &r->body);
    bool fits = put_url(r, question); /* registration_open() has looked */
    assert(fits && !r->is_open);
    r->question = question;
    r->request = (struct http_request){
        .method = "POST",
        .url = r->url,
        .headers = {"Content-Type: application/vnd.schemaregistry.v1+json",
                    "Accept: application/vnd.schemaregistry.v1+json", r->authorization},
        .body = r->body,
        .tls = options->tls.is_set ? &options->tls : NULL,
        .user = options->user,
        .password = options->password,
        .timeout_ms = REQUEST_TIMEOUT_MS,
        .answer_size_max = ANSWER_SIZE_MAX,
        .done = registration_answered,
    };
    e = e ? e : http_send(r->setup.http, &r->request);
    r->is_open = e == ERR_OK;
    if (e) {
        r->failure = e;
        timer_arm(&r->failed, 0);
    }
}

static void registration_failed(struct timer *timer)
{
    struct registration *r = CONTAINER_OF(timer, struct registration, failed);
    r->result = (struct registration_result){.e = r->failure};
    (void)snprintf(r->result.message, sizeof r->result.message, "no request could be begun: %s",
                   err_name(r->failure));
    registration_end(r, REGISTRATION_LATER);
}

void registration_begin(struct registration *r)
{
    bool is_known_to_be_there = r->is_made;
    bool looks = piece_of(r)->subject || r->setup.options->ask_first || !may_register(r);
    registration_ask(r, is_known_to_be_there ? ASKS_WHICH_VERSION
                        : looks              ? ASKS_IS_IT_THERE
                                             : ASKS_TAKE_IT);
}

/* --- opening --- */

static enum err open_subject(struct registration *r, const char *topic,
                             const struct schema_info *schema, struct why *why)
{
    struct out subject = out_over(r->subject, sizeof r->subject - 1);
    enum registry_subject kind =
        topic ? (enum registry_subject)r->setup.options->subject : REGISTRY_RECORD_NAME;
    enum err e = registry_subject_put(kind, topic, schema->json, &subject);
    r->subject[subject.size] = '\0';
    if (e) {
        why_set(why, e == ERR_CORRUPT ? "the schema has no name to make a registry subject of"
                                      : "the registry's subject would be too long");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err open_pieces(struct registration *r, const struct schema_info *schema,
                            struct why *why)
{
    enum err e = pieces_open(&r->pieces, schema->json, &r->setup.options->references, why);
    while (!e && put_url(r, ASKS_MAY_IT_BE_LATEST) && r->at + 1 < r->pieces.count) {
        r->at++;
    }
    if (!e && !put_url(r, ASKS_MAY_IT_BE_LATEST)) {
        why_set(why, "the registry's URL and subject %.100s are too long", piece_subject(r));
        e = ERR_CONFIG;
    }
    r->at = 0;
    return e;
}

static void set_origin(struct registration *r)
{
    struct out url = out_over(r->url, sizeof r->url);
    registry_url_put(r->setup.options, "/subjects/", slice_of_text(r->subject), &url);
    r->origin = slice_hash(out_slice(&url));
    r->origin += (uint64_t)r->setup.options->generation;
    for (size_t i = 0; i + 1 < r->pieces.count; i++) {
        const struct piece *piece = &r->pieces.items[i];
        r->origin = 31 * r->origin + slice_hash(slice_of_text(piece->name));
        r->origin = 31 * r->origin + slice_hash(slice_of_text(piece->subject));
    }
}

static enum err open_authorization(struct registration *r)
{
    static const char before[] = "Authorization: Bearer ";
    const char *token = r->setup.options->token;
    if (!token) {
        return ERR_OK;
    }
    size_t size = sizeof before + strlen(token);
    r->authorization = malloc(size);
    if (!r->authorization) {
        return ERR_NOMEM;
    }
    (void)snprintf(r->authorization, size, "%s%s", before, token);
    return ERR_OK;
}

enum err registration_open(struct registration **ret, const struct registration_setup *setup,
                           const char *topic, const struct schema_info *schema, struct why *why)
{
    struct registration *r = calloc(1, sizeof *r);
    if (!r) {
        return ERR_NOMEM;
    }
    r->setup = *setup;
    timer_init(&r->failed, setup->loop, registration_failed);
    enum err e = open_subject(r, topic, schema, why);
    e = e ? e : open_pieces(r, schema, why);
    e = e ? e : open_authorization(r);
    if (e) {
        registration_close(r);
        return e;
    }
    set_origin(r);
    *ret = r;
    return ERR_OK;
}

void registration_close(struct registration *r)
{
    if (!r) {
        return;
    }
    if (r->is_open) {
        http_cancel(r->setup.http, &r->request);
    }
    timer_release(&r->failed);
    pieces_close(&r->pieces);
    free((void *)(uintptr_t)r->body.data);
    free(r->authorization);
    free(r);
}

uint64_t registration_origin(const struct registration *r)
{
    return r->origin;
}

void registration_mark_references(const struct registration *r, bool used[REGISTRY_REFERENCE_MAX])
{
    const struct option_map *references = &r->setup.options->references;
    for (size_t i = 0; i + 1 < r->pieces.count; i++) {
        for (size_t j = 0; j < references->count && j < REGISTRY_REFERENCE_MAX; j++) {
            used[j] = used[j] || references->names[j] == r->pieces.items[i].name;
        }
    }
}

const char *registration_subject(const struct registration *r)
{
    return r->subject;
}
