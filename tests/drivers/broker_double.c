#include "tests/drivers/broker_double.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/cmocka.h"

static void broker_listen(struct broker *broker)
{
    int one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(broker->port)};
    socklen_t size = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    broker->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(broker->listener >= 0);
    assert_int_equal(setsockopt(broker->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
    assert_int_equal(bind(broker->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(broker->listener, 4), 0);
    assert_int_equal(getsockname(broker->listener, (struct sockaddr *)&at, &size), 0);
    broker->port = ntohs(at.sin_port);
}

void broker_init(struct broker *broker)
{
    *broker = (struct broker){.listener = -1, .fd = -1};
    broker_listen(broker);
}

void broker_release(struct broker *broker)
{
    broker_hang_up(broker);
    broker_down(broker);
    free(broker->out);
}

void broker_down(struct broker *broker)
{
    if (broker->listener >= 0) {
        close(broker->listener);
    }
    broker->listener = -1;
}

void broker_up(struct broker *broker)
{
    broker_listen(broker);
}

static void broker_flush(struct broker *broker)
{
    while (broker->fd >= 0 && broker->out_at < broker->out_size) {
        ssize_t sent = send(broker->fd, broker->out + broker->out_at,
                            broker->out_size - broker->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent <= 0) {
            return;
        }
        broker->out_at += (size_t)sent;
    }
    broker->out_size = broker->out_at = 0;
}

bool broker_turn(struct broker *broker)
{
    if (broker->fd < 0 && broker->listener >= 0) {
        broker->fd = accept4(broker->listener, NULL, NULL, SOCK_CLOEXEC);
        broker->size = broker->out_size = broker->out_at = 0;
    }
    broker_flush(broker);
    return broker->fd >= 0;
}

void broker_hang_up(struct broker *broker)
{
    if (broker->fd >= 0) {
        close(broker->fd);
    }
    broker->fd = -1;
}

bool broker_next(struct broker *broker, struct packet *ret)
{
    if (broker->fd < 0) {
        return false;
    }
    ssize_t got = recv(broker->fd, broker->data + broker->size, sizeof broker->data - broker->size,
                       MSG_DONTWAIT);
    broker->size += got > 0 ? (size_t)got : 0;
    size_t head = 1;
    size_t size = 0;
    do {
        if (head >= broker->size) {
            return false;
        }
        size |= (size_t)(broker->data[head] & 0x7f) << (7 * (head - 1));
    } while (broker->data[head++] & 0x80);
    if (broker->size < head + size) {
        return false;
    }
    assert_true(size <= sizeof ret->body);
    *ret =
        (struct packet){.type = broker->data[0] >> 4, .flags = broker->data[0] & 15, .size = size};
    memcpy(ret->body, broker->data + head, size);
    if (size >= 2) {
        ret->id = (uint16_t)(ret->body[0] << 8 | ret->body[1]);
    }
    broker->size -= head + size;
    memmove(broker->data, broker->data + head + size, broker->size);
    return true;
}

bool broker_is_left(struct broker *broker)
{
    uint8_t byte;
    ssize_t got = recv(broker->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return got == 0 || (got < 0 && errno != EAGAIN);
}

void broker_send(struct broker *broker, const void *data, size_t size)
{
    uint8_t *larger = realloc(broker->out, broker->out_size + size);
    assert_non_null(larger);
    memcpy(larger + broker->out_size, data, size);
    broker->out = larger;
    broker->out_size += size;
    broker_flush(broker);
}

void broker_connack(struct broker *broker, bool session_present, unsigned code,
                    unsigned keep_alive_s, bool is_5)
{
    uint8_t five[] = {0x20, 6, session_present, (uint8_t)code, 3, 0x13, 0, (uint8_t)keep_alive_s};
    uint8_t plain[] = {0x20, is_5 ? 3 : 2, session_present, (uint8_t)code, 0};
    if (keep_alive_s) {
        broker_send(broker, five, sizeof five);
    } else {
        broker_send(broker, plain, is_5 ? 5 : 4);
    }
}

void broker_suback(struct broker *broker, uint16_t id, unsigned code, bool is_5)
{
    uint8_t data[6] = {0x90, is_5 ? 4 : 3, (uint8_t)(id >> 8), (uint8_t)id};
    data[is_5 ? 5 : 4] = (uint8_t)code;
    broker_send(broker, data, is_5 ? 6 : 5);
}

void broker_publish(struct broker *broker, const char *topic, uint16_t id, bool is_copy,
                    struct slice payload, bool is_5)
{
    size_t size = 2 + strlen(topic) + (id ? 2 : 0) + is_5 + payload.size;
    uint8_t *memory = malloc(size + 5);
    assert_non_null(memory);
    struct out o = out_over(memory, size + 5);
    out_put_byte(&o, (uint8_t)(0x30 | (id ? 2 : 0) | (is_copy ? 8 : 0)));
    out_put_uvarint(&o, size);
    out_put_u16_be(&o, (uint16_t)strlen(topic));
    out_put_text(&o, topic);
    if (id) {
        out_put_u16_be(&o, id);
    }
    if (is_5) {
        out_put_byte(&o, 0);
    }
    out_put_slice(&o, payload);
    assert_false(o.overflow);
    broker_send(broker, memory, o.size);
    free(memory);
}
