#include "uplink/registry/probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/clock.h"
#include "ports/http.h"
#include "uplink/registry/registration.h"

#define OPEN_MAX 4 /* questions at a time, once one was answered */

/* One subject. */
struct question {
    struct question *next;
    struct registry_probe *probe;
    enum { QUESTION_WAITING, QUESTION_OPEN, QUESTION_OVER } state;
    struct registration *registration;
};

struct registry_probe {
    struct registry_probe_setup setup;
    struct question *questions;
    bool was_reached, has_said_time;
    bool has_failed; /* told once: the other questions would get no other answer */
    unsigned open_count;
    int64_t peer_end_s, date_s;           /* of the first answer; 0: not said */
    bool is_used[REGISTRY_REFERENCE_MAX]; /* which references some schema has */
    struct timer advance;
};

static void found(struct registry_probe *p, enum probe_level level, const char *option,
                  const char *what, const char *text)
{
    char path[PROBE_OPTION_SIZE];
    (void)snprintf(path, sizeof path, "registry%s", option);
    probe_found(p->setup.probe, level, path, what, "%s", text);
}

static void found_subject(struct question *q, enum probe_level level,
                          const struct registration_result *result, const char *text)
{
    char what[PROBE_WHAT_SIZE];
    (void)snprintf(what, sizeof what, "subject %.300s", result->subject);
    found(q->probe, level, "", what, text);
}

/* --- answers --- */

static void question_answered(void *context, const struct http_answer *answer)
{
    struct question *q = context;
    struct registry_probe *p = q->probe;
    if (!answer->e) {
        p->peer_end_s = p->peer_end_s ? p->peer_end_s : answer->peer_end_s;
        p->date_s = p->date_s ? p->date_s : answer->date_s;
    }
}

/* The first answer, whatever it says. */
static void tell_reached(struct registry_probe *p)
{
    int64_t now_s = clock_wall_us() / 1000000;
    char text[160];
    if (p->was_reached) {
        return;
    }
    p->was_reached = true;
    (void)snprintf(text, sizeof text, "it answers%s",
                   p->setup.options->tls.insecure ? "; its certificate is not verified" : "");
    if (p->peer_end_s) {
        (void)snprintf(text, sizeof text,
                       "it answers; its certificate is verified, good for %" PRId64 " days",
                       (p->peer_end_s - now_s) / 86400);
        (void)probe_found_end(p->setup.probe, "registry.tls", "certificate of the schema registry",
                              p->peer_end_s, now_s);
    }
    found(p, PROBE_OK, ".url", "schema registry", text);
    p->has_said_time = p->date_s != 0;
    if (p->has_said_time) {
        probe_found_clock(p->setup.probe, "registry.url", "the registry's", p->date_s);
    }
}

/* What is wrong for every subject. True: it was that. */
static bool result_is_hopeless(struct registry_probe *p, const struct registration_result *result)
{
    const struct registry_options *options = p->setup.options;
    struct why why = {""};
    registration_why(result, options, &why);
    if (result->end == REGISTRATION_LATER && result->status == 0) {
        found(p, PROBE_ERROR, result->e == ERR_AUTH ? ".tls" : ".url", "schema registry", why.text);
    } else if (result->end == REGISTRATION_NO_LOGIN) {
        found(p, PROBE_ERROR,
              options->token  ? ".token"
              : options->user ? ".user"
                              : "",
              "login at the schema registry", why.text);
    } else if (result->end == REGISTRATION_NO_REGISTRY) {
        found(p, PROBE_ERROR, ".url", "schema registry", why.text);
    } else {
        return false;
    }
    return true;
}

static void tell_possible(struct question *q, const struct registration_result *result)
{
    const char *text = "it has other versions, and the schema is compatible: registered when the "
                       "first event is sent";
    if (result->is_reference) {
        text = "it will get a version when the first event is sent; what refers to it can't be "
               "asked about before";
    } else if (result->is_new) {
        text = "it is not there yet: made when the first event is sent";
    }
    found_subject(q, PROBE_OK, result, text);
}

static void tell_result(struct question *q, const struct registration_result *result)
{
    struct why why = {""};
    registration_why(result, q->probe->setup.options, &why);
    if (result->end == REGISTRATION_THERE) {
        why_set(&why, "it has the schema, under id %" PRIu32, result->id);
        found_subject(q, PROBE_OK, result, why.text);
    } else if (result->end == REGISTRATION_POSSIBLE) {
        tell_possible(q, result);
    } else {
        found_subject(q, PROBE_ERROR, result, why.text);
    }
}

static void question_done(void *context, const struct registration_result *result)
{
    struct question *q = context;
    struct registry_probe *p = q->probe;
    q->state = QUESTION_OVER;
    p->open_count--;
    timer_arm(&p->advance, 0);
    if (p->has_failed) {
        return;
    }
    p->has_failed = result_is_hopeless(p, result);
    if (!p->has_failed) {
        tell_reached(p);
        tell_result(q, result);
    }
}

/* --- questions --- */

static void registry_probe_advance(struct timer *timer)
{
    struct registry_probe *p = CONTAINER_OF(timer, struct registry_probe, advance);
    unsigned room = p->was_reached ? OPEN_MAX : 1;
    bool is_over = true;
    for (struct question *q = p->questions; q; q = q->next) {
        if (p->has_failed && q->state == QUESTION_WAITING) {
            q->state = QUESTION_OVER;
        }
        if (q->state == QUESTION_WAITING && p->open_count < room) {
            q->state = QUESTION_OPEN;
            p->open_count++;
            registration_begin(q->registration);
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

/* Where it belongs in the list. Points at another one: its subject is there already. */
static struct question **place_of(struct registry_probe *p, const char *subject)
{
    struct question **at = &p->questions;
    while (*at && strcmp(registration_subject((*at)->registration), subject) != 0) {
        at = &(*at)->next;
    }
    return at;
}

enum err registry_probe_add(struct registry_probe *probe, const char *topic,
                            const struct schema_info *schema)
{
    struct question *q = calloc(1, sizeof *q);
    struct why why = {""};
    if (!q) {
        return ERR_NOMEM;
    }
    struct registration_setup setup = {.loop = probe->setup.probe->loop,
                                       .http = probe->setup.http,
                                       .options = probe->setup.options,
                                       .mode = REGISTRATION_ASK_ONLY,
                                       .context = q,
                                       .done = question_done,
                                       .answered = question_answered};
    q->probe = probe;
    enum err e = registration_open(&q->registration, &setup, topic, schema, &why);
    if (!e) {
        registration_mark_references(q->registration, probe->is_used);
    }
    struct question **at = e ? NULL : place_of(probe, registration_subject(q->registration));
    if (at && !*at) {
        *at = q;
        return ERR_OK;
    }
    if (e == ERR_CONFIG) {
        found(probe, PROBE_ERROR, "", topic, why.text);
        e = ERR_OK;
    }
    registration_close(q->registration);
    free(q);
    return e;
}

void registry_probe_begin(struct registry_probe *probe)
{
    const struct registry_options *options = probe->setup.options;
    if ((options->user || options->token) && strncmp(options->url, "http://", 7) == 0) {
        found(probe, PROBE_WARNING, ".url", options->token ? "token" : "password",
              "it is sent as it is, and without https whoever is in between reads it");
    }
    for (size_t i = 0; i < options->references.count; i++) {
        if (!probe->is_used[i]) {
            found(probe, PROBE_WARNING, ".references", options->references.names[i],
                  "no schema of these streams has a type of this name, with its namespace: it has "
                  "no effect");
        }
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
        registration_close(q->registration);
        free(q);
    }
    free(probe);
}
