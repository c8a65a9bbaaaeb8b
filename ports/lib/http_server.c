#include "ports/lib/http_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <strings.h>
#include <sys/socket.h>

#include "ports/lib/http_server_tls.h"
#include "ports/log.h"

#define SWEEP_MS 250                  /* how often deadlines are looked at */
#define CONNECTION_MEMORY (32 * 1024) /* the library's a connection: head and a piece of body */
#define PEER_SIZE_MAX 64

/* A connection as far as its deadline goes: the library's own starts anew with each byte. */
struct http_line {
    struct http_server *server;
    struct http_line *next, **link;
    uint64_t begun_ms; /* of the request that is arriving; 0: none */
    int fd;
    bool is_first; /* nothing was answered on it yet */
    char peer[PEER_SIZE_MAX];
};

struct http_exchange {
    struct http_server *server;
    struct http_line *line;
    struct MHD_Connection *connection;
    struct MHD_Response *response; /* until it is queued */
    unsigned status;
    const char *method;
    const char *path;
    bool is_answered;
    bool is_queued;
    bool is_suspended;
    bool is_complete;
    void *kept;
};

struct http_server {
    struct loop *loop;
    struct MHD_Daemon *daemon;
    struct http_server_tls *tls;
    const struct http_server_handler *handler;
    void *context;
    struct watch watch;
    struct timer run;
    struct timer sweep;
    struct http_line *lines;
    uint32_t request_ms;
    int fd; /* listening; -1 */
    uint16_t port;
    bool has_closed; /* a connection, in this run */
};

static void http_server_turn(struct http_server *server)
{
    MHD_run(server->daemon);
    MHD_UNSIGNED_LONG_LONG wait_ms;
    if (server->has_closed) {
        /* Only the run after the one that closed a connection accepts again at the limit. */
        server->has_closed = false;
        timer_arm(&server->run, 0);
    } else if (MHD_get_timeout(server->daemon, &wait_ms) == MHD_YES) {
        timer_arm(&server->run, (uint64_t)wait_ms);
    } else {
        timer_disarm(&server->run);
    }
}

static void http_server_ready(struct watch *watch, unsigned events)
{
    (void)events;
    http_server_turn(CONTAINER_OF(watch, struct http_server, watch));
}

static void http_server_run(struct timer *timer)
{
    http_server_turn(CONTAINER_OF(timer, struct http_server, run));
}

/* Ends the connections whose request does not get finished. The library notices the end of the
 * socket by itself. */
static void http_server_sweep(struct timer *timer)
{
    struct http_server *server = CONTAINER_OF(timer, struct http_server, sweep);
    uint64_t now_ms = loop_now_ms(server->loop);
    for (struct http_line *line = server->lines; line; line = line->next) {
        if (line->begun_ms && now_ms > line->begun_ms + server->request_ms) {
            line->begun_ms = 0;
            (void)shutdown(line->fd, SHUT_RDWR); /* already gone is as good */
        }
    }
    timer_arm(&server->sweep, SWEEP_MS);
}

static void http_server_log(void *context, const char *format, va_list arguments) PRINTF_LIKE(2, 0);
static void http_server_log(void *context, const char *format, va_list arguments)
{
    (void)context;
    char text[256];
    vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = 0;
    log_debug("http", "%s", text);
}

/* --- connections --- */

static void http_line_name(struct http_line *line, const struct sockaddr *address)
{
    char text[INET6_ADDRSTRLEN] = "";
    if (address && address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
        snprintf(line->peer, sizeof line->peer, "%s:%u", text, ntohs(in->sin_port));
    } else if (address && address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)address;
        inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
        snprintf(line->peer, sizeof line->peer, "[%s]:%u", text, ntohs(in6->sin6_port));
    }
}

static void http_line_changed(void *context, struct MHD_Connection *connection, void **kept,
                              enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = context;
    struct http_line *line = *kept;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        server->has_closed = true;
        if (line) {
            *line->link = line->next;
            if (line->next) {
                line->next->link = line->link;
            }
            free(line);
        }
        *kept = NULL;
        return;
    }
    line = calloc(1, sizeof *line);
    if (!line) {
        return; /* its requests are answered with 503 */
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    line->fd = info->connect_fd;
    line->server = server;
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const char *peer = server->tls ? http_server_tls_peer(server->tls, line->fd) : NULL;
    if (peer) {
        snprintf(line->peer, sizeof line->peer, "%s", peer);
    } else {
        http_line_name(line, info ? info->client_addr : NULL);
    }
    line->begun_ms = loop_now_ms(server->loop) + 1; /* never 0 */
    line->is_first = true;
    line->next = server->lines;
    line->link = &server->lines;
    if (line->next) {
        line->next->link = &line->next;
    }
    server->lines = line;
    *kept = line;
}

static struct http_line *http_line_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* The first line of a request has arrived. */
static void *http_server_begun(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct http_server *server = context;
    (void)uri;
    struct http_line *line = http_line_of(connection);
    if (line && !line->is_first) {
        line->begun_ms = loop_now_ms(server->loop) + 1;
    }
    return NULL;
}

/* --- exchanges --- */

static enum MHD_Result http_exchange_queue(struct http_exchange *exchange)
{
    if (!exchange->response) {
        return MHD_NO; /* no memory: the library closes the connection */
    }
    enum MHD_Result result =
        MHD_queue_response(exchange->connection, exchange->status, exchange->response);
    MHD_destroy_response(exchange->response);
    exchange->response = NULL;
    exchange->is_queued = true;
    return result;
}

/* How the body's end is told. */
struct framing {
    unsigned length_count; /* Content-Length */
    bool has_coding;       /* Transfer-Encoding */
};

static enum MHD_Result http_framing_header(void *context, enum MHD_ValueKind kind, const char *name,
                                           const char *value)
{
    struct framing *framing = context;
    (void)kind;
    (void)value;
    framing->length_count += strcasecmp(name, "Content-Length") == 0;
    framing->has_coding = framing->has_coding || strcasecmp(name, "Transfer-Encoding") == 0;
    return MHD_YES;
}

/* RFC 9112, section 6.3: with two lengths, or a length and chunks, a proxy in front of us may see
 * another end of the request than we do, and its bytes would become a request of their own. The
 * library takes the first length, and chunks before a length. */
static bool http_framing_is_clear(struct MHD_Connection *connection)
{
    struct framing framing = {0};
    (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, http_framing_header, &framing);
    return framing.length_count + framing.has_coding <= 1;
}

static enum MHD_Result http_framing_refuse(struct MHD_Connection *connection)
{
    static const char text[] = "{\"error\":\"the length of the body is told twice\"}\n";
    struct MHD_Response *response = MHD_create_response_from_buffer_static(sizeof text - 1, text);
    if (!response) {
        return MHD_NO; /* the library closes the connection */
    }
    (void)MHD_add_response_header(response, "Content-Type", "application/json");
    (void)MHD_add_response_header(response, "Connection", "close");
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_BAD_REQUEST, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result http_exchange_begin(struct http_server *server,
                                           struct MHD_Connection *connection, const char *path,
                                           const char *method, void **kept)
{
    if (!http_framing_is_clear(connection)) {
        return http_framing_refuse(connection);
    }
    struct http_exchange *exchange = calloc(1, sizeof *exchange);
    if (!exchange) {
        return MHD_NO;
    }
    *kept = exchange;
    exchange->server = server;
    exchange->connection = connection;
    exchange->line = http_line_of(connection);
    exchange->method = method;
    exchange->path = path;
    server->handler->on_request(server->context, exchange);
    /* A client that sends its body without waiting for 100 Continue reads the answer behind it:
     * closing before would reset the connection, and the answer may get lost with that. */
    return exchange->is_answered && http_exchange_header(exchange, "Expect")
               ? http_exchange_queue(exchange)
               : MHD_YES;
}

/* The library calls it with the head, with each piece of the body, with nothing at the end of the
 * body, and with nothing again after a suspended connection was resumed. */
/* NOLINTNEXTLINE(readability-function-size): the parameters are the library's. */
static enum MHD_Result http_server_access(void *context, struct MHD_Connection *connection,
                                          const char *path, const char *method, const char *version,
                                          const char *piece, size_t *piece_size, void **kept)
{
    struct http_server *server = context;
    struct http_exchange *exchange = *kept;
    (void)version;
    if (!exchange) {
        return http_exchange_begin(server, connection, path, method, kept);
    }
    if (exchange->is_queued) {
        *piece_size = 0;
        return MHD_YES;
    }
    if (*piece_size) {
        struct slice s = {(const uint8_t *)piece, *piece_size};
        *piece_size = 0;
        if (!exchange->is_answered) {
            server->handler->on_body(server->context, exchange, s);
        }
        return MHD_YES; /* answered in the middle of the body: it goes out behind it */
    }
    if (!exchange->is_complete) {
        exchange->is_complete = true;
        if (exchange->line) {
            exchange->line->begun_ms = 0;
            exchange->line->is_first = false;
        }
        if (!exchange->is_answered) {
            server->handler->on_complete(server->context, exchange);
        }
    }
    if (exchange->is_answered) {
        return http_exchange_queue(exchange);
    }
    exchange->is_suspended = true;
    MHD_suspend_connection(connection);
    return MHD_YES;
}

static void http_server_completed(void *context, struct MHD_Connection *connection, void **kept,
                                  enum MHD_RequestTerminationCode code)
{
    struct http_server *server = context;
    struct http_exchange *exchange = *kept;
    (void)connection;
    (void)code;
    if (!exchange) {
        return;
    }
    if (exchange->line) {
        exchange->line->begun_ms = 0;
        exchange->line->is_first = false;
    }
    server->handler->on_gone(server->context, exchange);
    if (exchange->response) {
        MHD_destroy_response(exchange->response);
    }
    free(exchange);
    *kept = NULL;
}

void http_exchange_answer(struct http_exchange *exchange, const struct http_reply *reply)
{
    assert(!exchange->is_answered);
    exchange->is_answered = true;
    exchange->status = reply->status;
    exchange->response = MHD_create_response_from_buffer_copy(reply->body.size, reply->body.data);
    if (exchange->response) {
        /* A header that there is no memory for is left out: the status says the same. */
        (void)MHD_add_response_header(exchange->response, "Content-Type",
                                      reply->content_type ? reply->content_type
                                                          : "application/json");
        for (size_t i = 0; i < reply->header_count; i++) {
            (void)MHD_add_response_header(exchange->response, reply->headers[i].name,
                                          reply->headers[i].value);
        }
        if (reply->header_name) {
            (void)MHD_add_response_header(exchange->response, reply->header_name,
                                          reply->header_value);
        }
    }
    if (exchange->is_suspended) {
        exchange->is_suspended = false;
        MHD_resume_connection(exchange->connection);
        timer_arm(&exchange->server->run, 0);
    }
}

const char *http_exchange_method(const struct http_exchange *exchange)
{
    return exchange->method;
}

const char *http_exchange_path(const struct http_exchange *exchange)
{
    return exchange->path;
}

const char *http_exchange_header(const struct http_exchange *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

bool http_exchange_has_token(const struct http_exchange *exchange, const char *token)
{
    static const char scheme[] = "Bearer ";
    const char *header = http_exchange_header(exchange, "Authorization");
    if (!token) {
        return true;
    }
    if (!header || strncasecmp(header, scheme, sizeof scheme - 1) != 0) {
        return false;
    }
    const char *given = header + sizeof scheme - 1;
    size_t given_size = strlen(given);
    size_t token_size = strlen(token);
    volatile unsigned difference = given_size != token_size;
    for (size_t i = 0; i < given_size; i++) {
        difference |= (unsigned char)(given[i] ^ token[token_size ? i % token_size : 0]);
    }
    return difference == 0;
}

const char *http_exchange_peer(const struct http_exchange *exchange)
{
    return exchange->line ? exchange->line->peer : "";
}

void http_exchange_keep(struct http_exchange *exchange, void *value)
{
    exchange->kept = value;
}

void *http_exchange_kept(const struct http_exchange *exchange)
{
    return exchange->kept;
}

bool http_exchange_is_answered(const struct http_exchange *exchange)
{
    return exchange->is_answered;
}

/* --- the server --- */

static enum err http_server_listen(struct http_server *server,
                                   const struct http_server_options *options, struct why *why)
{
    char port[8];
    snprintf(port, sizeof port, "%u", options->port);
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *address = NULL;
    if (getaddrinfo(options->host, port, &hints, &address) != 0) {
        why_set(why, "\"%s\" is no address to listen on: write one like 127.0.0.1 or ::1",
                options->host);
        return ERR_CONFIG;
    }
    int on = 1;
    int number = 0;
    server->fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->fd < 0 || setsockopt(server->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(server->fd, address->ai_addr, address->ai_addrlen) != 0 ||
        listen(server->fd, 64) != 0) {
        number = errno;
    }
    freeaddrinfo(address);
    if (number) {
        why_set(why, "can't listen on %s port %s: %s", options->host, port, strerror(number));
        return err_of_errno(number);
    }
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } bound = {.v6 = {.sin6_port = 0}};
    socklen_t size = sizeof bound;
    if (getsockname(server->fd, &bound.any, &size) == 0) {
        server->port =
            ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
    }
    return ERR_OK;
}

static enum err http_server_start(struct http_server *server,
                                  const struct http_server_options *options, struct why *why)
{
    unsigned flags =
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | MHD_USE_NO_THREAD_SAFETY;
    if (server->fd < 0) {
        flags |= MHD_USE_NO_LISTEN_SOCKET;
    }
    server->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, http_server_access, server, MHD_OPTION_EXTERNAL_LOGGER,
        http_server_log, NULL, MHD_OPTION_CONNECTION_LIMIT, (unsigned)options->connection_max,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)((options->idle_ms + 999) / 1000),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_NOTIFY_COMPLETED,
        http_server_completed, server, MHD_OPTION_NOTIFY_CONNECTION, http_line_changed, server,
        MHD_OPTION_URI_LOG_CALLBACK, http_server_begun, server,
        server->fd < 0 ? MHD_OPTION_END : MHD_OPTION_LISTEN_SOCKET, server->fd, MHD_OPTION_END);
    if (!server->daemon) {
        why_set(why, "the HTTP server does not start");
        return ERR_NOMEM;
    }
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    assert(info);
    watch_init(&server->watch, server->loop, info->epoll_fd, http_server_ready);
    return watch_start(&server->watch, WATCH_READ);
}

static bool http_server_adopt(void *context, int fd)
{
    struct http_server *server = context;
    struct sockaddr_in nowhere = {.sin_family = AF_INET};
    bool is_taken = MHD_add_connection(server->daemon, fd, (struct sockaddr *)(void *)&nowhere,
                                       sizeof nowhere) == MHD_YES;
    timer_arm(&server->run, 0);
    return is_taken;
}

enum err http_server_open(struct http_server **ret, struct loop *loop,
                          const struct http_server_options *options,
                          const struct http_server_handler *handler, void *context, struct why *why)
{
    struct http_server *server = calloc(1, sizeof *server);
    if (!server) {
        return ERR_NOMEM;
    }
    server->loop = loop;
    server->handler = handler;
    server->context = context;
    server->request_ms = options->request_ms;
    server->fd = -1;
    timer_init(&server->run, loop, http_server_run);
    timer_init(&server->sweep, loop, http_server_sweep);
    enum err e = options->tls ? ERR_OK : http_server_listen(server, options, why);
    if (!e) {
        e = http_server_start(server, options, why);
    }
    if (!e && options->tls) {
        e = http_server_tls_open(&server->tls, loop, options, http_server_adopt, server, why);
        if (!e) {
            server->port = http_server_tls_port(server->tls);
        }
    }
    if (e) {
        http_server_close(server);
        return e;
    }
    timer_arm(&server->sweep, SWEEP_MS);
    *ret = server;
    return ERR_OK;
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

void http_server_stop(struct http_server *server)
{
    http_server_tls_stop(server->tls);
    if (server->daemon && server->fd >= 0) {
        (void)MHD_quiesce_daemon(server->daemon); /* the socket is ours, closed below */
        close(server->fd);
        server->fd = -1;
    }
}

void http_server_close(struct http_server *server)
{
    if (!server) {
        return;
    }
    if (server->daemon) {
        for (int i = 0; i < 2; i++) { /* resumed connections are served in the turn after */
            MHD_run(server->daemon);
        }
    }
    http_server_stop(server);
    http_server_tls_close(server->tls); /* sends on what the library has written */
    watch_stop(&server->watch);
    timer_release(&server->run);
    timer_release(&server->sweep);
    if (server->daemon) {
        MHD_stop_daemon(server->daemon);
    }
    if (server->fd >= 0) {
        close(server->fd);
    }
    free(server);
}
