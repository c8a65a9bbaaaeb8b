#include "uplink/kafka/probe.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ports/clock.h"
#include "ports/http.h"
#include "uplink/aws/glue_probe.h"
#include "uplink/kafka/cluster.h"
#include "uplink/kafka/probe_impl.h"
#include "uplink/kafka/tokens.h"
#include "uplink/registry/probe.h"

static void probe_close(struct probe *probe)
{
    struct kafka_probe *p = CONTAINER_OF(probe, struct kafka_probe, probe);
    timer_release(&p->end);
    timer_release(&p->again);
    while (p->brokers) {
        struct probe_broker *b = p->brokers;
        p->brokers = b->next;
        if (b->is_asking) {
            names_cancel(p->setup.names, &b->query);
        }
        connection_close(b->connection);
        free(b);
    }
    if (WEIR_HTTP_CLIENT) {
        registry_probe_close(p->registry);
        glue_probe_close(p->glue);
        tokens_close(p->tokens);
        http_close(p->http);
    }
    tls_close(p->tls);
    kafka_probe_topics_release(p);
    free(p);
}

/* Brokers never say their time. */
static void probe_end(struct timer *timer)
{
    struct kafka_probe *p = CONTAINER_OF(timer, struct kafka_probe, end);
    bool is_said = WEIR_HTTP_CLIENT &&
                   (registry_probe_has_said_time(p->registry) || glue_probe_has_said_time(p->glue));
    if (!p->is_clock_told && !is_said) {
        probe_found_no_clock(&p->setup, !WEIR_HTTP_CLIENT ? "brokers don't say theirs"
                                        : p->registry || p->glue
                                            ? "brokers don't say theirs, nor did the registry"
                                            : "brokers don't say theirs, and no registry "
                                              "is set, which would");
    }
    p->setup.done(p->setup.context);
}

/* An entry that fails is an error when no other one leads to the cluster. */
static void tell_entries(struct kafka_probe *p)
{
    bool any = false;
    for (const struct probe_broker *b = p->brokers; b; b = b->next) {
        if (b->is_entry && !b->is_over) {
            return;
        }
        any = any || (b->is_entry && b->is_ready);
    }
    p->entries_told = true;
    for (struct probe_broker *b = p->brokers; b; b = b->next) {
        if (b->is_entry && !b->is_ready) {
            b->failure.level = any ? PROBE_WARNING : PROBE_ERROR;
            p->setup.found(p->setup.context, &b->failure);
        }
    }
}

void kafka_probe_less(struct kafka_probe *p)
{
    assert(p->pending > 0);
    p->pending--;
    if (!p->entries_told) {
        tell_entries(p);
    }
    if (p->pending == 0) {
        timer_arm(&p->end, 0);
    }
}

static void broker_over(struct probe_broker *b)
{
    if (!b->is_over) {
        b->is_over = true;
        kafka_probe_less(b->probe);
    }
}

static void broker_failed(struct probe_broker *b, const char *option, const char *what,
                          const struct why *why)
{
    struct probe_finding *f = &b->failure;
    char said[PROBE_WHAT_SIZE]; /* by the connection, in front of its reason */
    (void)snprintf(said, sizeof said, "no connection to %s: ", b->name);
    bool is_said = strncmp(why->text, said, strlen(said)) == 0;
    *f = (struct probe_finding){.level = PROBE_ERROR};
    why_set(&f->why, "%s", why->text + (is_said ? strlen(said) : 0));
    (void)snprintf(f->option, sizeof f->option, "%s", option);
    (void)snprintf(f->what, sizeof f->what, "%s %s", what, b->name);
    if (!b->is_entry) {
        struct probe_setup *setup = &b->probe->setup;
        probe_found(setup, PROBE_ERROR, option, f->what,
                    "the cluster sends us there (broker %" PRId32
                    ", its advertised.listeners), and: %s",
                    b->id, f->why.text);
    }
    broker_over(b);
}

/* --- connections --- */

static void tell_tls(struct probe_broker *b)
{
    struct kafka_probe *p = b->probe;
    const struct tls_options *tls = &p->options->tls;
    int64_t now_s = clock_wall_us() / 1000000;
    int64_t end_s = connection_peer_end_s(b->connection);
    char what[PROBE_WHAT_SIZE];
    (void)snprintf(what, sizeof what, "certificate of %s", b->name);
    if (tls->insecure) {
        probe_found(&p->setup, PROBE_WARNING, "tls.insecure", what,
                    "it is not verified: whoever is in between reads and changes everything");
    } else if (end_s == 0) {
        probe_found(&p->setup, PROBE_OK, "tls", what, "verified");
    } else if (!probe_found_end(&p->setup, "tls", what, end_s, now_s)) {
        probe_found(&p->setup, PROBE_OK, "tls", what, "verified, good for %" PRId64 " days",
                    (end_s - now_s) / 86400);
    }
}

static void broker_ready(void *context)
{
    struct probe_broker *b = context;
    struct kafka_probe *p = b->probe;
    if (b->is_ready) {
        return; /* there is room again: nothing waits for it */
    }
    char what[PROBE_WHAT_SIZE];
    b->is_ready = true;
    (void)snprintf(what, sizeof what, "connection to %s", b->name);
    probe_found(&p->setup, PROBE_OK, b->option, what, "%s", p->tls ? "open, with TLS" : "open");
    if (p->tls) {
        tell_tls(b);
    }
    if (p->options->sasl.is_set) {
        (void)snprintf(what, sizeof what, "login at %s", b->name);
        probe_found(&p->setup, PROBE_OK, "sasl", what, "done, by %s", sasl_name(&p->options->sasl));
    }
    if (!p->asker) {
        p->asker = b;
        kafka_probe_ask(p);
    } else {
        connection_close(b->connection);
        b->connection = NULL;
    }
    broker_over(b);
}

static void broker_closed(void *context, enum err e, const struct why *why)
{
    struct probe_broker *b = context;
    struct kafka_probe *p = b->probe;
    bool was_open = connection_was_open(b->connection);
    bool has_served = connection_has_served(b->connection);
    connection_close(b->connection);
    b->connection = NULL;
    if (b->is_ready) { /* it was being asked */
        char what[PROBE_WHAT_SIZE];
        bool wants_login = !has_served && !p->options->sasl.is_set;
        (void)snprintf(what, sizeof what, "questions to %s", b->name);
        probe_found(&p->setup, PROBE_ERROR, wants_login ? "sasl" : b->option, what, "%s",
                    why->text);
    } else if (!was_open) {
        broker_failed(b, e == ERR_AUTH ? "tls" : b->option,
                      e == ERR_AUTH ? "TLS with" : "connection to", why);
    } else {
        broker_failed(b, p->options->sasl.is_set && e != ERR_VERSION ? "sasl" : b->option,
                      p->options->sasl.is_set ? "login at" : "connection to", why);
    }
}

static const struct connection_handler broker_calls = {.on_ready = broker_ready,
                                                       .on_closed = broker_closed};

static void name_found(struct name_query *query, enum err e)
{
    struct probe_broker *b = CONTAINER_OF(query, struct probe_broker, query);
    struct kafka_probe *p = b->probe;
    char addresses[PROBE_ADDRESSES_SIZE_MAX];
    b->is_asking = false;
    if (e) {
        broker_failed(b, b->option, "name of", &query->why);
        return;
    }
    probe_addresses(query, addresses);
    if (strcmp(addresses, b->host) != 0) {
        char what[PROBE_WHAT_SIZE];
        (void)snprintf(what, sizeof what, "name of %s", b->name);
        probe_found(&p->setup, PROBE_OK, b->option, what, "%s", addresses);
    }
    e = connection_open(&b->connection, &p->settings, b->host, b->port, &broker_calls, b);
    if (e) {
        struct why why;
        why_set(&why, "it could not be begun: %s", err_name(e));
        broker_failed(b, b->option, "connection to", &why);
    }
}

static struct probe_broker *broker_add(struct kafka_probe *p, struct slice host, uint16_t port)
{
    struct probe_broker *b = p->broker_count < PROBE_BROKER_MAX ? calloc(1, sizeof *b) : NULL;
    if (!b || !slice_to_text(host, b->host, sizeof b->host)) {
        free(b);
        return NULL;
    }
    b->probe = p;
    b->port = port;
    b->id = -1;
    (void)snprintf(b->name, sizeof b->name, strchr(b->host, ':') ? "[%s]:%u" : "%s:%u", b->host,
                   port);
    (void)snprintf(b->option, sizeof b->option, "brokers");
    struct probe_broker **at = &p->brokers;
    while (*at) {
        at = &(*at)->next;
    }
    *at = b;
    p->broker_count++;
    return b;
}

static void broker_begin(struct probe_broker *b)
{
    struct kafka_probe *p = b->probe;
    p->pending++;
    (void)snprintf(b->query.host, sizeof b->query.host, "%s", b->host);
    b->query.port = b->port;
    b->query.found = name_found;
    enum err e = names_query(p->setup.names, &b->query);
    b->is_asking = e == ERR_OK;
    if (e) {
        struct why why;
        why_set(&why, "it could not be asked for: %s", err_name(e));
        broker_failed(b, b->option, "name of", &why);
    }
}

void kafka_probe_learn(struct kafka_probe *p, int32_t id, struct slice host, uint16_t port)
{
    for (struct probe_broker *b = p->brokers; b; b = b->next) {
        if (b->port == port && slice_equal_text(host, b->host)) {
            b->id = id;
            return;
        }
    }
    struct probe_broker *b = broker_add(p, host, port);
    if (b) { /* else there are very many: those that were looked at will do */
        b->id = id;
        broker_begin(b);
    }
}

/* --- opening --- */

static void no_wire_bytes(void *context, uint64_t sent, uint64_t received)
{
    (void)context;
    (void)sent;
    (void)received;
}

static void token_changed(void *context)
{
    (void)context; /* the connections look for it */
}

static void token_dated(void *context, int64_t date_s)
{
    struct kafka_probe *p = context;
    if (!p->is_clock_told) {
        p->is_clock_told = true;
        probe_found_clock(&p->setup, "sasl.oauth.url", "the token endpoint's", date_s);
    }
}

/* What is wrong with the settings of a token is told, and the rest looked at. */
static enum err open_http(struct kafka_probe *p)
{
    const struct sasl_options *sasl = &p->options->sasl;
    const char *const *brokers = p->options->brokers.items;
    struct tokens_setup tokens = {.loop = p->setup.loop,
                                  .names = p->setup.names,
                                  .options = sasl,
                                  .store = &p->sasl,
                                  .broker = brokers[0],
                                  .context = p,
                                  .changed = token_changed,
                                  .wire_bytes = no_wire_bytes,
                                  .dated = token_dated};
    struct why why = {""};
    if (!WEIR_HTTP_CLIENT) { /* nothing that needs it is set */
        return ERR_OK;
    }
    enum err e = http_open(&p->http, p->setup.loop, p->setup.names);
    tokens.http = p->http;
    if (!e && tokens_are_needed(sasl)) {
        e = tokens_open(&p->tokens, &tokens, &why);
    }
    if (e == ERR_CONFIG) {
        probe_found(&p->setup, PROBE_ERROR, "sasl", "login", "%s", why.text);
    }
    return e;
}

static void registry_done(void *context)
{
    kafka_probe_less(context);
}

/* Dead letters have no schema of their own. */
static enum err glue_topic(const struct probe_setup *setup, const struct probe_stream *stream,
                           char ret[TARGET_NAME_SIZE_MAX], struct why *why)
{
    const struct kafka_options *options = setup->options;
    ret[0] = '\0';
    return stream->letter_topic
               ? ERR_OK
               : kafka_topic_put(options->topic, stream->name, setup->agent_id, ret, why);
}

static enum err open_glue(struct kafka_probe *p)
{
    const struct glue_probe_setup setup = {.probe = &p->setup,
                                           .options = &p->options->glue,
                                           .topic = glue_topic,
                                           .context = p,
                                           .done = registry_done};
    enum err e = glue_probe_open(&p->glue, &setup);
    if (!e) {
        p->pending++;
    }
    return e;
}

static enum err open_registry(struct kafka_probe *p)
{
    if (WEIR_HTTP_CLIENT && p->options->glue.is_set) {
        return open_glue(p);
    }
    if (!WEIR_HTTP_CLIENT || !p->options->registry.is_set) {
        return ERR_OK;
    }
    struct registry_probe_setup setup = {
        .probe = &p->setup, .options = &p->options->registry, .context = p, .done = registry_done};
    setup.http = p->http;
    enum err e = registry_probe_open(&p->registry, &setup);
    for (size_t i = 0; !e && i < p->setup.stream_count; i++) {
        char topic[TARGET_NAME_SIZE_MAX];
        const struct probe_stream *stream = &p->setup.streams[i];
        if (!stream->letter_topic &&
            !kafka_topic_put(p->options->topic, stream->name, p->setup.agent_id, topic, NULL)) {
            e = registry_probe_add(p->registry, topic, stream->schema);
        }
    }
    if (!e) {
        p->pending++;
        registry_probe_begin(p->registry);
    }
    return e;
}

/* False: without TLS no connection is worth trying. */
static bool open_tls(struct kafka_probe *p)
{
    const struct tls_options *options = &p->options->tls;
    struct why why = {""};
    if (!options->is_set) {
        return true;
    }
    if (tls_open(&p->tls, options, TLS_CLIENT, &why)) {
        probe_found(&p->setup, PROBE_ERROR, "tls", "files of TLS", "%s", why.text);
        return false;
    }
    int64_t end_s = tls_own_end_s(p->tls);
    if (end_s) {
        (void)probe_found_end(&p->setup, "tls.certificate", "own certificate", end_s,
                              clock_wall_us() / 1000000);
    }
    return true;
}

/* What whoever reads it can log in with. */
static void tell_readable(const struct kafka_probe *p)
{
    const struct kafka_options *o = p->options;
    bool is_plain = o->sasl.mechanism == SASL_PLAIN;
    bool is_bearer = o->sasl.mechanism == SASL_OAUTHBEARER;
    bool is_aws = o->sasl.mechanism == SASL_AWS_MSK_IAM;
    if (o->sasl.is_set && !o->tls.is_set && (is_plain || is_bearer || is_aws)) {
        probe_found(&p->setup, PROBE_WARNING, "sasl.mechanism",
                    is_plain    ? "password"
                    : is_bearer ? "access token"
                                : "signed login",
                    "%s sends it as it is, and without tls whoever is in between reads it%s: set "
                    "tls%s",
                    sasl_name(&o->sasl), is_plain ? "" : ", and can log in with it until it ends",
                    is_plain ? ", or a SCRAM mechanism" : "");
    }
}

static enum err open_brokers(struct kafka_probe *p)
{
    const char *const *texts = p->options->brokers.items;
    for (size_t i = 0; i < p->options->brokers.count; i++) {
        struct slice host;
        uint16_t port;
        enum err e = cluster_broker_parse(texts[i], &host, &port, NULL);
        assert(!e); /* the option's check */
        struct probe_broker *b = e ? NULL : broker_add(p, host, port);
        if (!b) {
            return ERR_NOMEM;
        }
        b->is_entry = true;
        (void)snprintf(b->option, sizeof b->option, "brokers[%zu]", i);
    }
    for (struct probe_broker *b = p->brokers; b; b = b->next) {
        broker_begin(b);
    }
    return ERR_OK;
}

enum err kafka_probe_open(struct probe **ret, const struct probe_setup *setup)
{
    struct kafka_probe *p = calloc(1, sizeof *p);
    if (!p) {
        return ERR_NOMEM;
    }
    p->probe.close = probe_close;
    p->setup = *setup;
    p->options = setup->options;
    p->creates_topics = -1;
    timer_init(&p->end, setup->loop, probe_end);
    timer_init(&p->again, setup->loop, kafka_probe_again);
    p->pending = 1; /* opening */
    bool is_usable = open_tls(p);
    tell_readable(p);
    p->sasl.options = &p->options->sasl;
    enum err e = open_http(p);
    is_usable = is_usable && !e;
    e = e == ERR_CONFIG ? ERR_OK : e;
    p->settings = (struct connection_settings){
        .loop = setup->loop,
        .names = setup->names,
        .tls = p->tls,
        .server_name = p->options->tls.server_name,
        .sasl = p->options->sasl.is_set ? &p->sasl : NULL,
        .tokens = p->tokens,
        .client_id = p->options->client_id,
        .answer_timeout_ms = PROBE_ANSWER_MS,
        .context = p,
        .wire_bytes = no_wire_bytes,
    };
    e = e ? e : kafka_probe_topics(p);
    e = e ? e : open_registry(p);
    e = e || !is_usable ? e : open_brokers(p);
    if (e) {
        probe_close(&p->probe);
        return e;
    }
    kafka_probe_less(p);
    *ret = &p->probe;
    return ERR_OK;
}
