/* What Pub/Sub answers: gRPC's headers and trailers, one a line as "name: value", and REST's errors. Codes
 * are gRPC's, messages printable. */
#include "uplink/google/rest_error.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *message, int code, int least)
{
    if (code < least || code > GRPC_UNAUTHENTICATED || strlen(message) >= GRPC_MESSAGE_SIZE_MAX) {
        abort();
    }
    for (const char *c = message; *c; c++) {
        if (*c < ' ' || *c > '~') {
            abort();
        }
    }
}

static struct slice line_of(struct slice *s)
{
    size_t size = 0;
    while (size < s->size && s->data[size] != '\n') {
        size++;
    }
    struct slice line = {s->data, size};
    size += size < s->size;
    *s = (struct slice){s->data + size, s->size - size};
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct grpc_status status;
    struct slice rest = {data, size};
    char message[GRPC_MESSAGE_SIZE_MAX];
    grpc_status_init(&status);
    while (rest.size) {
        struct slice line = line_of(&rest);
        const uint8_t *colon = line.size ? memchr(line.data, ':', line.size) : NULL;
        if (colon) {
            size_t name_size = (size_t)(colon - line.data);
            size_t skip = name_size + 1 < line.size && colon[1] == ' ' ? 2 : 1;
            grpc_status_take(
                &status, (struct slice){line.data, name_size},
                (struct slice){line.data + name_size + skip, line.size - name_size - skip});
        }
    }
    check(status.message, status.code, GRPC_NONE);
    int code = rest_error_parse((struct slice){data, size}, GRPC_UNKNOWN, message);
    check(message, code, GRPC_CANCELLED);
    struct slice frame = {data, size}, taken;
    bool is_compressed;
    if (!grpc_frame_take(&frame, &is_compressed, &taken) &&
        taken.size + frame.size + GRPC_FRAME_HEAD_SIZE != size) {
        abort();
    }
    return 0;
}
