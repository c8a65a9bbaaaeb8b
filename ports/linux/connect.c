/* From a host's name to a connected stream: name, each address in turn, TLS handshake; all within
 * one time limit. */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>

#include "ports/linux/stream_impl.h"
#include "ports/names.h"

#define ATTEMPT_MS_MIN 1000 /* for one address, while others are left */

struct connector {
    struct stream *stream;
    struct names *names;
    struct name_query query;
    bool asking; /* the query is under way */
    size_t next; /* the address to try next */
    struct timer attempt;
    uint64_t end_ms;
    struct tls *tls;
    char *server_name; /* NULL: the host */
    char *interface_name;
    uint32_t send_buffer_size;
    uint32_t keepalive_s;
    bool forget_unsent;
};

static void connector_paced(struct pacer_seat *seat)
{
    stream_paced(CONTAINER_OF(seat, struct stream, seat));
}

void connector_close(struct stream *stream)
{
    struct connector *connector = stream->connector;
    if (!connector) {
        return;
    }
    if (connector->asking) {
        names_cancel(connector->names, &connector->query);
    }
    timer_release(&connector->attempt);
    free(connector->server_name);
    free(connector->interface_name);
    free(connector);
    stream->connector = NULL;
}

static void connector_connected(struct connector *connector)
{
    struct stream *stream = connector->stream;
    timer_disarm(&connector->attempt);
    watch_stop(&stream->watch);
    socket_configure(stream->fd, connector->keepalive_s, connector->send_buffer_size);
    if (connector->forget_unsent) {
        socket_forget_unsent(stream->fd);
    }
    const char *name = connector->server_name ? connector->server_name : connector->query.host;
    enum err e = stream_adopt(stream, stream->fd, connector->tls, name, connector->query.port);
    if (e) {
        stream_fail(stream, e);
        return;
    }
    stream_go_on(stream);
}

/* Notes why an address did not work, and lets go of its socket. */
static void connector_note(struct connector *connector, const char *verb, int number)
{
    struct stream *stream = connector->stream;
    stream->e = err_of_errno(number);
    why_set(&stream->why, "%s %s: %s", verb, connector->query.host, strerror(number));
    watch_stop(&stream->watch);
    if (stream->fd >= 0) {
        close(stream->fd);
        stream->fd = -1;
    }
}

static void connector_ready(struct watch *watch, unsigned events);

/* True when a connection to this address is under way, or made. */
static bool connector_start(struct connector *connector, const struct address *address)
{
    struct stream *stream = connector->stream;
    const struct sockaddr *sockaddr = (const struct sockaddr *)&address->storage;
    address_format(sockaddr, stream->peer, sizeof stream->peer);
    stream->fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (stream->fd < 0) {
        connector_note(connector, "can't make a socket for", errno);
        return false;
    }
    const char *interface = connector->interface_name;
    if (interface && setsockopt(stream->fd, SOL_SOCKET, SO_BINDTODEVICE, interface,
                                (socklen_t)strlen(interface))) {
        connector_note(connector, "can't bind to the interface that is set, for", errno);
        return false;
    }
    if (connect(stream->fd, sockaddr, address->size) != 0 && errno != EINPROGRESS) {
        connector_note(connector, "can't connect to", errno);
        return false;
    }
    watch_init(&stream->watch, stream->loop, stream->fd, connector_ready);
    enum err e = watch_start(&stream->watch, WATCH_WRITE);
    if (e) {
        connector_note(connector, "can't wait for", errno);
        return false;
    }
    return true;
}

static void connector_try(struct connector *connector)
{
    struct stream *stream = connector->stream;
    const struct name_query *query = &connector->query;
    while (connector->next < query->address_count) {
        const struct address *address = &query->addresses[connector->next++];
        if (!connector_start(connector, address)) {
            continue;
        }
        size_t left = query->address_count - connector->next + 1;
        if (left > 1) {
            uint64_t now_ms = loop_now_ms(stream->loop);
            uint64_t rest_ms = connector->end_ms > now_ms ? connector->end_ms - now_ms : 0;
            uint64_t share_ms = rest_ms / left;
            timer_arm(&connector->attempt, share_ms > ATTEMPT_MS_MIN ? share_ms : ATTEMPT_MS_MIN);
        }
        return;
    }
    stream_fail(stream, stream->e ? stream->e : ERR_CLOSED);
}

static void connector_ready(struct watch *watch, unsigned events)
{
    (void)events;
    struct stream *stream = CONTAINER_OF(watch, struct stream, watch);
    struct connector *connector = stream->connector;
    int number = 0;
    socklen_t size = sizeof number;
    if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &number, &size) != 0) {
        number = errno;
    }
    if (number == 0) {
        connector_connected(connector);
        return;
    }
    timer_disarm(&connector->attempt);
    connector_note(connector, "can't connect to", number);
    connector_try(connector);
}

static void connector_attempt_fire(struct timer *timer)
{
    struct connector *connector = CONTAINER_OF(timer, struct connector, attempt);
    connector_note(connector, "can't connect to", ETIMEDOUT);
    connector_try(connector);
}

static void connector_found(struct name_query *query, enum err e)
{
    struct connector *connector = CONTAINER_OF(query, struct connector, query);
    connector->asking = false;
    connector->stream->names_sent = query->wire_sent;
    connector->stream->names_received = query->wire_received;
    if (e) {
        connector->stream->why = query->why;
        stream_fail(connector->stream, e);
        return;
    }
    connector_try(connector);
}

static void connector_limit_fire(struct timer *timer)
{
    struct stream *stream = CONTAINER_OF(timer, struct stream, limit);
    const struct connector *connector = stream->connector;
    assert(connector);
    const char *what = connector->asking                   ? "the name servers did not answer"
                       : stream->state == STREAM_HANDSHAKE ? "the TLS handshake did not end"
                                                           : "no answer";
    why_set(&stream->why, "can't connect to %s: %s within %u ms", connector->query.host, what,
            (unsigned)stream->limit_ms);
    stream_fail(stream, ERR_TIMEOUT);
}

static char *text_copy(const char *text, bool *ret_failed)
{
    char *copy = text ? strdup(text) : NULL;
    *ret_failed = *ret_failed || (text && !copy);
    return copy;
}

static enum err connector_open(struct stream *stream, struct names *names,
                               const struct stream_options *options)
{
    struct connector *connector = calloc(1, sizeof *connector);
    if (!connector) {
        return ERR_NOMEM;
    }
    bool failed = false;
    stream->connector = connector;
    connector->stream = stream;
    connector->names = names;
    connector->tls = options->tls;
    connector->server_name = text_copy(options->server_name, &failed);
    connector->interface_name = text_copy(options->interface_name, &failed);
    connector->send_buffer_size = options->send_buffer_size;
    connector->keepalive_s = options->keepalive_s;
    connector->forget_unsent = options->forget_unsent;
    timer_init(&connector->attempt, stream->loop, connector_attempt_fire);
    stream->limit_ms =
        options->connect_timeout_ms ? options->connect_timeout_ms : STREAM_TIMEOUT_MS;
    connector->end_ms = loop_now_ms(stream->loop) + stream->limit_ms;
    connector->query.port = options->port;
    connector->query.found = connector_found;
    snprintf(connector->query.host, sizeof connector->query.host, "%s", options->host);
    return failed ? ERR_NOMEM : ERR_OK;
}

enum err stream_connect(struct stream **ret, struct loop *loop, struct names *names,
                        const struct stream_options *options, const struct stream_handler *handler,
                        void *context)
{
    assert(options->host && names);
    if (strlen(options->host) >= NAMES_HOST_SIZE_MAX || !options->host[0]) {
        return ERR_CONFIG;
    }
    struct stream *stream = NULL;
    enum err e = stream_new(&stream, loop);
    if (e) {
        return e;
    }
    stream_take(stream, handler, context);
    pacer_sit(&stream->seat, options->pacer, options->is_urgent, connector_paced);
    e = connector_open(stream, names, options);
    if (e) {
        goto fail;
    }
    e = names_query(names, &stream->connector->query);
    if (e) {
        goto fail;
    }
    stream->connector->asking = true;
    timer_init(&stream->limit, loop, connector_limit_fire);
    timer_arm(&stream->limit, stream->limit_ms);
    *ret = stream;
    return ERR_OK;

fail:
    stream_close(stream);
    return e;
}
