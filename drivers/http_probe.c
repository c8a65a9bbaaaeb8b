/* The probe of `http`: is the port free, and how long is the certificate good? */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "drivers/http_impl.h"
#include "ports/clock.h"
#include "ports/listen.h"
#include "ports/stream.h"

struct http_probe {
    struct probe probe;
    struct probe_setup setup;
    struct timer end;
};

static void probe_close(struct probe *probe)
{
    struct http_probe *p = CONTAINER_OF(probe, struct http_probe, probe);
    timer_release(&p->end);
    free(p);
}

static void probe_end(struct timer *timer)
{
    struct http_probe *p = CONTAINER_OF(timer, struct http_probe, end);
    p->setup.done(p->setup.context);
}

/* Nobody comes: it is closed before the loop's next turn. */
static void accepted(void *context, struct stream *stream)
{
    (void)context;
    stream_close(stream);
}

static void tell_port(const struct probe_setup *setup)
{
    const struct http_options *options = setup->options;
    char host[LISTEN_HOST_SIZE] = "";
    char what[PROBE_WHAT_SIZE];
    struct why why = {""};
    struct listener_options listener = {.host = host};
    struct listener *open = NULL;
    (void)snprintf(what, sizeof what, "listening on %s", options->listen);
    bool is_address = listen_parse(options->listen, host, &listener.port);
    if (is_address &&
        listener_open(&open, setup->loop, &listener, accepted, NULL, &why) == ERR_OK) {
        listener_close(open);
        probe_found(setup, PROBE_OK, "listen", what, "the port is free");
    } else if (setup->agent_runs) {
        probe_found(setup, PROBE_OK, "listen", what, "in use, as it should be: the agent runs");
    } else {
        probe_found(setup, PROBE_ERROR, "listen", what,
                    "%s: end the program that has the port, or choose another address", why.text);
    }
}

static void tell_certificate(const struct probe_setup *setup)
{
    const struct http_options *options = setup->options;
    struct tls *tls = NULL;
    struct why why = {""};
    if (!options->tls.is_set) {
        return;
    }
    if (tls_open(&tls, &options->tls, TLS_SERVER, &why)) {
        probe_found(setup, PROBE_ERROR, "tls", "files of TLS", "%s", why.text);
        return;
    }
    int64_t end_s = tls_own_end_s(tls);
    int64_t now_s = clock_wall_us() / 1000000;
    tls_close(tls);
    if (!probe_found_end(setup, "tls.certificate", "own certificate", end_s, now_s)) {
        probe_found(setup, PROBE_OK, "tls.certificate", "own certificate",
                    "good for %" PRId64 " days", (end_s - now_s) / 86400);
    }
}

enum err http_probe_open(struct probe **ret, const struct probe_setup *setup)
{
    struct http_probe *p = calloc(1, sizeof *p);
    if (!p) {
        return ERR_NOMEM;
    }
    p->probe.close = probe_close;
    p->setup = *setup;
    timer_init(&p->end, setup->loop, probe_end);
    tell_port(setup);
    tell_certificate(setup);
    timer_arm(&p->end, 0);
    *ret = &p->probe;
    return ERR_OK;
}
