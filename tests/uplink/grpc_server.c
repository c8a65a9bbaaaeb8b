#include "tests/uplink/grpc_server.h"

#include "tests/cmocka.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/lib/deflate.h"
#include "uplink/google/grpc.h"

struct grpc_peer {
    struct grpc_server *server;
    struct stream *stream;
    nghttp2_session *session;
    bool is_dead;
};

/* A request that is coming, and its answer. */
struct grpc_exchange {
    struct grpc_exchange *next; /* of all, for grpc_server_close() */
    struct grpc_call call;
    uint8_t *body;
    size_t size;
    int fate;
    uint8_t answer[64];
    size_t answer_size, answer_sent;
};

/* --- what came --- */

static void keep(char *ret, size_t size, const uint8_t *value, size_t value_size)
{
    (void)snprintf(ret, size, "%.*s", (int)value_size, (const char *)value);
}

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct grpc_exchange *exchange = calloc(1, sizeof *exchange);
    assert_non_null(exchange);
    exchange->body = malloc(GRPC_BODY_MAX);
    assert_non_null(exchange->body);
    struct grpc_peer *peer = context;
    exchange->next = peer->server->exchanges;
    peer->server->exchanges = exchange;
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, exchange);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t size, uint8_t flags,
                     void *context)
{
    struct grpc_exchange *exchange =
        nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    struct slice n = {name, name_size};
    struct grpc_call *call = &exchange->call;
    (void)flags;
    (void)context;
    if (slice_equal_text(n, ":path")) {
        keep(call->path, sizeof call->path, value, size);
    } else if (slice_equal_text(n, "authorization")) {
        keep(call->authorization, sizeof call->authorization, value, size);
    } else if (slice_equal_text(n, "content-type")) {
        keep(call->content_type, sizeof call->content_type, value, size);
    } else if (slice_equal_text(n, "te")) {
        keep(call->te, sizeof call->te, value, size);
    } else if (slice_equal_text(n, "grpc-encoding")) {
        keep(call->encoding, sizeof call->encoding, value, size);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t size, void *context)
{
    struct grpc_exchange *exchange = nghttp2_session_get_stream_user_data(session, id);
    (void)flags;
    (void)context;
    assert_true(exchange->size + size <= GRPC_BODY_MAX);
    memcpy(exchange->body + exchange->size, data, size);
    exchange->size += size;
    return 0;
}

/* --- what it is --- */

static void store(struct grpc_server *server, const struct publish_message *message)
{
    assert_true(server->stored_count < GRPC_STORED_MAX);
    struct grpc_stored *stored = &server->stored[server->stored_count++];
    *stored = (struct grpc_stored){.size = message->data.size};
    keep(stored->key, sizeof stored->key, message->ordering_key.data, message->ordering_key.size);
    for (size_t i = 0; i < message->attribute_count; i++) {
        const struct publish_attribute *a = &message->attributes[i];
        if (slice_equal_text(a->key, "weir_id")) {
            keep(stored->id, sizeof stored->id, a->value.data, a->value.size);
        } else if (slice_equal_text(a->key, "weir_last")) {
            keep(stored->last, sizeof stored->last, a->value.data, a->value.size);
        }
    }
    size_t size =
        message->data.size < sizeof stored->data ? message->data.size : sizeof stored->data;
    memcpy(stored->data, message->data.data, size);
}

/* Each message; the number of those, and the limits that the service has. */
static uint32_t look(struct grpc_server *server, struct slice messages, bool stores)
{
    struct publish_message message;
    struct slice whole, key = {NULL, 0};
    uint32_t count = 0;
    enum err e;
    while (!(e = publish_take_message(&messages, &whole, &message))) {
        assert_true(count == 0 || slice_equal(key, message.ordering_key));
        assert_true(message.data.size > 0 || message.attribute_count > 0);
        key = message.ordering_key;
        count++;
        if (stores) {
            store(server, &message);
        }
    }
    assert_int_equal(e, ERR_CLOSED);
    assert_in_range(count, 1, PUBLISH_MESSAGE_MAX);
    return count;
}

static void unpack(struct slice packed, bool is_gzip, struct out *raw)
{
    struct deflate_decoder *decoder = NULL;
    if (!is_gzip) {
        out_put_slice(raw, packed);
        return;
    }
    assert_int_equal(deflate_decoder_open(&decoder), ERR_OK);
    assert_int_equal(deflate_decode_gzip(decoder, packed, raw), ERR_OK);
    deflate_decoder_close(decoder);
}

static void judge(struct grpc_server *server, struct grpc_exchange *exchange)
{
    struct slice frame = {exchange->body, exchange->size}, packed;
    bool is_gzip;
    uint8_t *memory = malloc(GRPC_BODY_MAX);
    struct out raw = out_over(memory, GRPC_BODY_MAX);
    assert_int_equal(grpc_frame_take(&frame, &is_gzip, &packed), ERR_OK);
    assert_int_equal(frame.size, 0);
    assert_true(!is_gzip || strcmp(exchange->call.encoding, "gzip") == 0);
    unpack(packed, is_gzip, &raw);
    assert_false(raw.overflow);
    struct slice rest = out_slice(&raw);
    exchange->call.request = rest;
    exchange->call.body_size = exchange->size;
    assert_int_equal(publish_take_topic(&rest, &exchange->call.topic), ERR_OK);
    exchange->call.message_count = look(server, rest, false);
    server->last = exchange->call;
    server->count++;
    exchange->fate = server->fate ? server->fate(server) : 0;
    if (exchange->fate == 0) {
        (void)look(server, rest, true);
    }
    free(memory);
}

/* --- what it answers --- */

static void answer_fill(const struct grpc_server *server, struct grpc_exchange *exchange)
{
    static const uint8_t ids[] = {0x0a, 0x01, '1'};
    struct deflate_encoder *encoder = NULL;
    struct out o = out_over(exchange->answer, sizeof exchange->answer);
    bool is_gzip = server->answers_gzip && exchange->call.encoding[0];
    o.size = GRPC_FRAME_HEAD_SIZE;
    if (is_gzip) {
        assert_int_equal(deflate_encoder_open(&encoder, 6), ERR_OK);
        assert_int_equal(deflate_encode_gzip(encoder, (struct slice){ids, sizeof ids}, &o), ERR_OK);
        deflate_encoder_close(encoder);
    } else {
        out_put(&o, ids, sizeof ids);
    }
    grpc_frame_head(exchange->answer, is_gzip, (uint32_t)(o.size - GRPC_FRAME_HEAD_SIZE));
    exchange->answer_size = o.size;
}

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

static ssize_t on_answer(nghttp2_session *session, int32_t id, uint8_t *ret, size_t size,
                         uint32_t *flags, nghttp2_data_source *source, void *context)
{
    struct grpc_exchange *exchange = source->ptr;
    size_t left = exchange->answer_size - exchange->answer_sent;
    size_t take = left < size ? left : size;
    (void)context;
    memcpy(ret, exchange->answer + exchange->answer_sent, take);
    exchange->answer_sent += take;
    if (exchange->answer_sent < exchange->answer_size) {
        return (ssize_t)take;
    }
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (exchange->fate == 0) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        const nghttp2_nv trailers[] = {nv("grpc-status", "0"), nv("grpc-message", "")};
        assert_int_equal(nghttp2_submit_trailer(session, id, trailers, 2), 0);
    }
    return (ssize_t)take;
}

static void answer(struct grpc_peer *peer, int32_t id, struct grpc_exchange *exchange)
{
    int fate = exchange->fate;
    char number[16];
    const nghttp2_nv type = nv("content-type", "application/grpc");
    if (fate == GRPC_FATE_CLOSE) {
        peer->is_dead = true;
    } else if (fate == GRPC_FATE_RESET) {
        assert_int_equal(
            nghttp2_submit_rst_stream(peer->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR),
            0);
    } else if (fate >= GRPC_FATE_HTTP) {
        (void)snprintf(number, sizeof number, "%d", fate - GRPC_FATE_HTTP);
        const nghttp2_nv head[] = {nv(":status", number), nv("content-type", "text/html")};
        assert_int_equal(nghttp2_submit_response(peer->session, id, head, 2, NULL), 0);
    } else if (fate == 0 || fate == GRPC_FATE_SILENT) {
        const nghttp2_nv head[] = {nv(":status", "200"), type};
        const nghttp2_data_provider body = {.source = {.ptr = exchange},
                                            .read_callback = on_answer};
        answer_fill(peer->server, exchange);
        assert_int_equal(nghttp2_submit_response(peer->session, id, head, 2, &body), 0);
    } else {
        (void)snprintf(number, sizeof number, "%d", fate);
        const nghttp2_nv head[] = {nv(":status", "200"), type, nv("grpc-status", number),
                                   nv("grpc-message", "because%20of%20the%20test")};
        assert_int_equal(nghttp2_submit_response(peer->session, id, head, 4, NULL), 0);
    }
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct grpc_peer *peer = context;
    bool is_last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) && is_last) {
        struct grpc_exchange *exchange =
            nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
        judge(peer->server, exchange);
        answer(peer, frame->hd.stream_id, exchange);
    }
    return 0;
}

static int on_end(nghttp2_session *session, int32_t id, uint32_t code, void *context)
{
    struct grpc_exchange *exchange = nghttp2_session_get_stream_user_data(session, id);
    (void)code;
    (void)context;
    if (exchange) {
        free(exchange->body);
        exchange->body = NULL;
    }
    return 0;
}

/* --- connections --- */

static void peer_close(struct grpc_peer *peer)
{
    stream_close(peer->stream);
    peer->stream = NULL;
}

static void peer_write(struct grpc_peer *peer)
{
    const uint8_t *data;
    ssize_t size;
    while (peer->stream && (size = nghttp2_session_mem_send(peer->session, &data)) > 0) {
        size_t taken;
        assert_int_equal(stream_write(peer->stream, (struct slice){data, (size_t)size}, &taken),
                         ERR_OK);
        assert_int_equal(taken, size);
    }
}

static void on_readable(void *context)
{
    struct grpc_peer *peer = context;
    uint8_t memory[16384];
    size_t size;
    while (peer->stream && !peer->is_dead &&
           !stream_read(peer->stream, memory, sizeof memory, &size)) {
        if (nghttp2_session_mem_recv(peer->session, memory, size) < 0) {
            peer->is_dead = true;
        }
        peer_write(peer);
    }
    if (peer->is_dead) {
        peer_close(peer);
    }
}

static void on_nothing(void *context)
{
    (void)context;
}

static void on_closed(void *context, enum err e, const struct why *why)
{
    (void)e;
    (void)why;
    peer_close(context);
}

static void accepted(void *context, struct stream *stream)
{
    static const struct stream_handler calls = {on_nothing, on_readable, on_nothing, on_closed};
    struct grpc_server *server = context;
    struct grpc_peer *peer = calloc(1, sizeof *peer);
    nghttp2_session_callbacks *callbacks;
    assert_non_null(peer);
    assert_true(server->peer_count < GRPC_CONNECTION_MAX);
    server->peers[server->peer_count++] = peer;
    peer->server = server;
    peer->stream = stream;
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_end);
    assert_int_equal(nghttp2_session_server_new(&peer->session, callbacks, peer), 0);
    nghttp2_session_callbacks_del(callbacks);
    assert_int_equal(nghttp2_submit_settings(peer->session, NGHTTP2_FLAG_NONE, NULL, 0), 0);
    stream_take(stream, &calls, peer);
    peer_write(peer);
}

void grpc_server_open(struct grpc_server *server, struct loop *loop)
{
    const struct listener_options options = {.host = "127.0.0.1"};
    struct why why = {""};
    server->loop = loop;
    assert_int_equal(listener_open(&server->listener, loop, &options, accepted, server, &why),
                     ERR_OK);
    (void)snprintf(server->url, sizeof server->url, "http://127.0.0.1:%u",
                   listener_port(server->listener));
}

void grpc_server_cut(struct grpc_server *server)
{
    for (size_t i = 0; i < server->peer_count; i++) {
        peer_close(server->peers[i]);
    }
}

void grpc_server_close(struct grpc_server *server)
{
    listener_close(server->listener);
    for (size_t i = 0; i < server->peer_count; i++) {
        peer_close(server->peers[i]);
        nghttp2_session_del(server->peers[i]->session);
        free(server->peers[i]);
    }
    while (server->exchanges) {
        struct grpc_exchange *exchange = server->exchanges;
        server->exchanges = exchange->next;
        free(exchange->body);
        free(exchange);
    }
}
