#include "uplink/registry/probe.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/clock.h"
#include "ports/http.h"
#include "uplink/registry/answer.h"

#define OPEN_MAX 4 /* requests at a time, once one was answered */
#define SUBJECT_UNKNOWN 40401

enum question_state {
    QUESTION_WAITING,
    QUESTION_LOOKUP,     /* is the schema there? */
    QUESTION_COMPATIBLE, /* would it be taken? */
    QUESTION_OVER,
};

/* One subject. */
struct question {
    struct question *next;
    struct registry_probe *probe;
    enum question_state state;
    bool is_open; /* the request is under way */
    char subject[REGISTRY_SUBJECT_SIZE_MAX];
    char url[REGISTRY_URL_SIZE_MAX];
    uint8_t *body;
    size_t body_size;
    struct http_request request;
};

struct registry_probe {
    struct registry_probe_setup setup;
    struct question *questions;
    bool was_reached, has_said_time;
    bool has_failed; /* told once: the other questions would get no other answer */
    unsigned open_count;
    struct timer advance;
};

static void found(struct registry_probe *p, enum probe_level level, const char *option,
                  const char *what, const char *text)
{
    char path[PROBE_OPTION_SIZE];
    (void)snprintf(path, sizeof path, "registry%s", option);
    probe_found(p->setup.probe, level, path, what, "%s", text);
}

static void found_subject(struct question *q, enum probe_level level, const char *text)
{
    char what[PROBE_WHAT_SIZE];
    (void)snprintf(what, sizeof what, "subject %.300s", q->subject);
    found(q->probe, level, "", what, text);
}

/* --- answers --- */

/* The first answer, whatever it says. */
static void tell_reached(struct registry_probe *p, const struct http_answer *answer)
{
    int64_t now_s = clock_wall_us() / 1000000;
    char text[160];
    if (p->was_reached) {
        return;
    }
    p->was_reached = true;
    (void)snprintf(text, sizeof text, "it answers%s",
                   p->setup.options->tls.insecure ? "; its certificate is not verified" : "");
    if (answer->peer_end_s) {
        (void)snprintf(text, sizeof text,
                       "it answers; its certificate is verified, good for %" PRId64 " days",
                       (answer->peer_end_s - now_s) / 86400);
        (void)probe_found_end(p->setup.probe, "registry.tls", "certificate of the schema registry",
                              answer->peer_end_s, now_s);
    }
    found(p, PROBE_OK, ".url", "schema registry", text);
    p->has_said_time = answer->date_s != 0;
    if (p->has_said_time) {
        probe_found_clock(p->setup.probe, "registry.url", "the registry's", answer->date_s);
    }
}

/* What is wrong for every subject. True: it was that. */
static bool answer_is_hopeless(struct registry_probe *p, const struct http_answer *http,
                               const struct registry_answer *answer)
{
    char text[400];
    if (http->e) {
        (void)snprintf(text, sizeof text, "no answer from %.120s: %.260s", p->setup.options->url,
                       http->why.text[0] ? http->why.text : err_name(http->e));
        found(p, PROBE_ERROR, http->e == ERR_AUTH ? ".tls" : ".url", "schema registry", text);
    } else if (http->status == 401) {
        found(p, PROBE_ERROR, p->setup.options->user ? ".user" : "", "login at the schema registry",
              p->setup.options->user
                  ? "it refuses user and password (401): check registry.user and registry.password"
                  : "it wants a login (401): set registry.user and registry.password");
    } else if (http->status == 404 && answer->error_code == 0) {
        (void)snprintf(text, sizeof text,
                       "there is none at %.300s (404): check the path of registry.url",
                       p->setup.options->url);
        found(p, PROBE_ERROR, ".url", "schema registry", text);
    } else {
        return false;
    }
    return true;
}

static void tell_refusal(struct question *q, const struct http_answer *http,
                         const struct registry_answer *answer)
{
    char text[400];
    if (http->status == 403) { /* its text may repeat what was sent */
        (void)snprintf(text, sizeof text,
                       "the registry refuses us (403): give the user the "
                       "rights on the subject");
    } else {
        (void)snprintf(text, sizeof text, "the registry answers %ld (%" PRId64 "): %s",
                       http->status, answer->error_code,
                       answer->message[0] ? answer->message : "no reason given");
    }
    found_subject(q, PROBE_ERROR, text);
    q->state = QUESTION_OVER;
}

static void lookup_answered(struct question *q, const struct http_answer *http,
                            const struct registry_answer *answer)
{
    bool may_register = q->probe->setup.options->may_register;
    char text[120];
    if (http->status == 200 && answer->has_id) {
        (void)snprintf(text, sizeof text, "it has the schema, under id %" PRIu32, answer->id);
        found_subject(q, PROBE_OK, text);
        q->state = QUESTION_OVER;
    } else if (http->status == 404 && !may_register) {
        found_subject(q, PROBE_ERROR,
                      "it does not have the schema: register it there, or set registry.register "
                      "to true");
        q->state = QUESTION_OVER;
    } else if (http->status == 404 && answer->error_code == SUBJECT_UNKNOWN) {
        found_subject(q, PROBE_OK, "it is not there yet: made when the first event is sent");
        q->state = QUESTION_OVER;
    } else if (http->status == 404) {
        q->state = QUESTION_COMPATIBLE;
    } else {
        tell_refusal(q, http, answer);
    }
}

static void compatible_answered(struct question *q, const struct http_answer *http,
                                const struct registry_answer *answer)
{
    char text[400];
    if (http->status == 200 && answer->is_compatible) {
        found_subject(q, PROBE_OK,
                      "it has other versions, and the schema is compatible: registered when the "
                      "first event is sent");
    } else if (http->status == 200) {
        (void)snprintf(text, sizeof text,
                       "the schema is not compatible with its last version and will be refused: "
                       "mend the schema, or change the subject's compatibility%s%s",
                       answer->message[0] ? "; it says: " : "", answer->message);
        found_subject(q, PROBE_ERROR, text);
    } else if (http->status == 404) {
        found_subject(q, PROBE_OK, "it has no version yet: made when the first event is sent");
    } else {
        tell_refusal(q, http, answer);
    }
    q->state = QUESTION_OVER;
}

static void question_answered(struct http_request *request, const struct http_answer *http)
{
    struct question *q = CONTAINER_OF(request, struct question, request);
    struct registry_probe *p = q->probe;
    struct registry_answer answer = {0};
    q->is_open = false;
    p->open_count--;
    timer_arm(&p->advance, 0);
    if (p->has_failed) {
        q->state = QUESTION_OVER;
        return;
    }
    if (!http->e) {
        registry_answer_parse(http->body, &answer);
    }
    if (answer_is_hopeless(p, http, &answer)) {
        p->has_failed = true;
        q->state = QUESTION_OVER;
        return;
    }
    tell_reached(p, http);
    if (q->state == QUESTION_LOOKUP) {
        lookup_answered(q, http, &answer);
    } else {
        compatible_answered(q, http, &answer);
    }
}

/* --- questions --- */

static void question_send(struct question *q)
{
    struct registry_probe *p = q->probe;
    const struct registry_options *options = p->setup.options;
    bool is_lookup = q->state == QUESTION_WAITING;
    struct out url = out_over(q->url, sizeof q->url - 1);
    registry_url_put(options, is_lookup ? "/subjects/" : "/compatibility/subjects/",
                     slice_of_text(q->subject), &url);
    out_put_text(&url, is_lookup ? "?normalize=true" : "/versions/latest?verbose=true");
    q->url[url.size] = '\0';
    q->state = is_lookup ? QUESTION_LOOKUP : QUESTION_COMPATIBLE;
    q->request = (struct http_request){
        .method = "POST",
        .url = q->url,
        .headers = {"Content-Type: application/vnd.schemaregistry.v1+json",
                    "Accept: application/vnd.schemaregistry.v1+json"},
        .body = {q->body, q->body_size},
        .tls = options->tls.is_set ? &options->tls : NULL,
        .user = options->user,
        .password = options->password,
        .timeout_ms = PROBE_ANSWER_MS,
        .done = question_answered,
    };
    enum err e = url.overflow ? ERR_FULL : http_send(p->setup.http, &q->request);
    q->is_open = e == ERR_OK;
    p->open_count += q->is_open;
    if (e) {
        found_subject(q, PROBE_ERROR, "the question could not be sent");
        q->state = QUESTION_OVER;
        timer_arm(&p->advance, 0);
    }
}

static void registry_probe_advance(struct timer *timer)
{
    struct registry_probe *p = CONTAINER_OF(timer, struct registry_probe, advance);
    unsigned room = p->was_reached ? OPEN_MAX : 1;
    bool is_over = true;
    for (struct question *q = p->questions; q; q = q->next) {
        if (p->has_failed && !q->is_open) {
            q->state = QUESTION_OVER;
        }
        if (q->state != QUESTION_OVER && !q->is_open && p->open_count < room) {
            question_send(q);
        }
        is_over = is_over && q->state == QUESTION_OVER;
    }
    if (is_over) {
        p->setup.done(p->setup.context);
    }
}

enum err registry_probe_open(struct registry_probe **ret, const struct registry_probe_setup *setup)
{
    struct registry_probe *p = calloc(1, sizeof *p);
    if (!p) {
        return ERR_NOMEM;
    }
    p->setup = *setup;
    timer_init(&p->advance, setup->probe->loop, registry_probe_advance);
    *ret = p;
    return ERR_OK;
}

enum err registry_probe_add(struct registry_probe *probe, const char *topic,
                            const struct schema_info *schema)
{
    struct question *q = calloc(1, sizeof *q);
    if (!q) {
        return ERR_NOMEM;
    }
    struct out subject = out_over(q->subject, sizeof q->subject - 1);
    enum err e = registry_subject_put((enum registry_subject)probe->setup.options->subject, topic,
                                      schema->json, &subject);
    q->probe = probe;
    struct question **at = &probe->questions;
    while (*at && strcmp((*at)->subject, q->subject) != 0) {
        at = &(*at)->next;
    }
    if (e || *at) {
        if (e) {
            found(probe, PROBE_ERROR, ".subject", topic,
                  "the schema has no name to make a subject of, or it is too long");
        }
        free(q);
        return ERR_OK;
    }
    e = registry_body(schema, &q->body, &q->body_size);
    if (e) {
        free(q);
        return e;
    }
    *at = q;
    return ERR_OK;
}

void registry_probe_begin(struct registry_probe *probe)
{
    const struct registry_options *options = probe->setup.options;
    if (options->user && strncmp(options->url, "http://", 7) == 0) {
        found(probe, PROBE_WARNING, ".url", "password",
              "it is sent as it is, and without https whoever is in between reads it");
    }
    timer_arm(&probe->advance, 0);
}

bool registry_probe_has_said_time(const struct registry_probe *probe)
{
    return probe && probe->has_said_time;
}

void registry_probe_close(struct registry_probe *probe)
{
    if (!probe) {
        return;
    }
    timer_release(&probe->advance);
    while (probe->questions) {
        struct question *q = probe->questions;
        probe->questions = q->next;
        if (q->is_open) {
            http_cancel(probe->setup.http, &q->request);
        }
        free(q->body);
        free(q);
    }
    free(probe);
}
