#include "tests/ports/peer.h"

#include "ports/random.h"
#include "tests/cmocka.h"

bool loop_until(struct loop *loop, const bool *flag, uint64_t limit_ms)
{
    assert_int_equal(loop_turn(loop, 0), ERR_OK);
    uint64_t end_ms = loop_now_ms(loop) + limit_ms;
    while (!*flag && loop_now_ms(loop) < end_ms) {
        assert_int_equal(loop_turn(loop, 100), ERR_OK);
    }
    return *flag;
}

static size_t chunk(size_t size, size_t chunk_max)
{
    if (chunk_max == 0) {
        return size;
    }
    size_t some = 1 + random_below((uint32_t)chunk_max);
    return some < size ? some : size;
}

/* --- the server --- */

static void echo_write(struct echo *echo)
{
    while (echo->sent < echo->size) {
        size_t size = chunk(echo->size - echo->sent, echo->server->chunk_max);
        size_t taken = 0;
        if (stream_write(echo->stream, (struct slice){echo->data + echo->sent, size}, &taken)) {
            return;
        }
        echo->sent += taken;
        if (taken < size) {
            stream_read_pause(echo->stream);
            return;
        }
    }
    stream_read_resume(echo->stream);
}

static void echo_readable(void *context)
{
    struct echo *echo = context;
    while (echo->sent == echo->size) {
        size_t size = 0;
        size_t room = chunk(sizeof echo->data, echo->server->chunk_max);
        if (stream_read(echo->stream, echo->data, room, &size)) {
            return;
        }
        echo->size = size;
        echo->sent = 0;
        echo->total += size;
        if (echo->server->close_after && echo->total >= echo->server->close_after) {
            stream_close(echo->stream);
            echo->stream = NULL;
            echo->closed = true;
            return;
        }
        echo_write(echo);
    }
}

static void echo_writable(void *context)
{
    echo_write(context);
}

static void echo_closed(void *context, enum err e, const struct why *why)
{
    struct echo *echo = context;
    assert_false(echo->closed);
    echo->closed = true;
    echo->e = e;
    echo->why = *why;
    stream_close(echo->stream);
    echo->stream = NULL;
}

static void server_accepted(void *context, struct stream *stream)
{
    static const struct stream_handler handler = {
        .on_readable = echo_readable, .on_writable = echo_writable, .on_closed = echo_closed};
    struct server *server = context;
    assert_true(server->count < SERVER_ECHO_MAX);
    struct echo *echo = &server->echoes[server->count++];
    echo->server = server;
    echo->stream = stream;
    stream_take(stream, &handler, echo);
}

void server_open(struct server *server, struct loop *loop, const char *host, struct tls *tls)
{
    struct listener_options options = {.host = host, .tls = tls};
    struct why why = {.text = ""};
    *server = (struct server){.loop = loop};
    enum err e = listener_open(&server->listener, loop, &options, server_accepted, server, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, ERR_OK);
}

void server_close(struct server *server)
{
    for (size_t i = 0; i < server->count; i++) {
        stream_close(server->echoes[i].stream);
    }
    listener_close(server->listener);
}

/* --- the client --- */

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 2654435761U >> 13);
}

static void client_write(struct client *client)
{
    uint8_t data[5000];
    while (client->sent < client->size) {
        uint64_t left = client->size - client->sent;
        size_t size = chunk(left < sizeof data ? (size_t)left : sizeof data, client->chunk_max);
        for (size_t i = 0; i < size; i++) {
            data[i] = pattern(client->sent + i);
        }
        size_t taken = 0;
        if (stream_write(client->stream, (struct slice){data, size}, &taken)) {
            return;
        }
        client->sent += taken;
        if (taken < size) {
            return;
        }
    }
}

static void client_on_open(void *context)
{
    struct client *client = context;
    assert_false(client->open);
    client->open = true;
    client_write(client);
}

static void client_on_writable(void *context)
{
    client_write(context);
}

static void client_resume(struct timer *timer)
{
    stream_read_resume(CONTAINER_OF(timer, struct client, pause)->stream);
}

static void client_on_readable(void *context)
{
    struct client *client = context;
    uint8_t data[3000];
    size_t size = 0;
    while (!stream_read(client->stream, data, chunk(sizeof data, client->chunk_max), &size)) {
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(data[i], pattern(client->received + i));
        }
        client->received += size;
        if (client->received == client->size) {
            client->finish = true;
        }
        if (client->pauses && random_below(4) == 0) {
            stream_read_pause(client->stream);
            timer_arm(&client->pause, random_below(3));
            return;
        }
    }
}

static void client_on_closed(void *context, enum err e, const struct why *why)
{
    struct client *client = context;
    assert_false(client->closed);
    client->closed = true;
    client->e = e;
    client->why = *why;
}

void client_open(struct client *client, struct loop *loop, struct names *names,
                 const struct stream_options *options, uint64_t size)
{
    static const struct stream_handler handler = {.on_open = client_on_open,
                                                  .on_readable = client_on_readable,
                                                  .on_writable = client_on_writable,
                                                  .on_closed = client_on_closed};
    size_t chunk_max = client->chunk_max;
    bool pauses = client->pauses;
    *client = (struct client){.loop = loop, .size = size, .chunk_max = chunk_max, .pauses = pauses};
    timer_init(&client->pause, loop, client_resume);
    assert_int_equal(stream_connect(&client->stream, loop, names, options, &handler, client),
                     ERR_OK);
}

void client_close(struct client *client)
{
    timer_release(&client->pause);
    stream_close(client->stream);
    client->stream = NULL;
}
