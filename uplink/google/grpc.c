#include "uplink/google/grpc.h"

#include <assert.h>
#include <strings.h>

static const char *const names[] = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};

const char *grpc_code_name(int code)
{
    return code >= 0 && (size_t)code < ARRAY_COUNT(names) ? names[code] : "?";
}

int grpc_code_of_name(struct slice name)
{
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (slice_equal_text(name, names[i])) {
            return (int)i;
        }
    }
    return GRPC_UNKNOWN;
}

void grpc_status_init(struct grpc_status *status)
{
    *status = (struct grpc_status){.code = GRPC_NONE};
}

static bool name_is(struct slice name, const char *text)
{
    return name.size == strlen(text) &&
           (name.size == 0 || strncasecmp((const char *)name.data, text, name.size) == 0);
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Percent signs are decoded; what is no printable ASCII then becomes a '?', for logs. */
static void take_message(char ret[GRPC_MESSAGE_SIZE_MAX], struct slice value)
{
    size_t size = 0;
    for (size_t i = 0; i < value.size && size < GRPC_MESSAGE_SIZE_MAX - 1; i++) {
        int c = value.data[i];
        if (c == '%' && i + 2 < value.size && hex_digit(value.data[i + 1]) >= 0 &&
            hex_digit(value.data[i + 2]) >= 0) {
            c = hex_digit(value.data[i + 1]) * 16 + hex_digit(value.data[i + 2]);
            i += 2;
        }
        ret[size++] = (char)(uint8_t)(c >= ' ' && c <= '~' ? c : '?');
    }
    ret[size] = '\0';
}

/* At most three digits: codes beyond 16 are as good as UNKNOWN (gRPC over HTTP2). */
static int take_code(struct slice value)
{
    int code = 0;
    if (value.size == 0 || value.size > 3) {
        return GRPC_UNKNOWN;
    }
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return GRPC_UNKNOWN;
        }
        code = code * 10 + (value.data[i] - '0');
    }
    return (size_t)code < ARRAY_COUNT(names) ? code : GRPC_UNKNOWN;
}

void grpc_status_take(struct grpc_status *status, struct slice name, struct slice value)
{
    if (name_is(name, "grpc-status")) {
        status->code = take_code(value);
    } else if (name_is(name, "grpc-message")) {
        take_message(status->message, value);
    } else if (name_is(name, "content-type")) {
        status->is_grpc = slice_starts_with(value, SLICE("application/grpc"));
    }
}

void grpc_frame_head(uint8_t ret[GRPC_FRAME_HEAD_SIZE], bool is_compressed, uint32_t size)
{
    struct out o = out_over(ret, GRPC_FRAME_HEAD_SIZE);
    out_put_byte(&o, is_compressed);
    out_put_u32_be(&o, size);
    assert(!o.overflow);
}

enum err grpc_frame_take(struct slice *s, bool *ret_is_compressed, struct slice *ret)
{
    struct slice rest = *s;
    struct slice message;
    uint8_t flag;
    uint32_t size;
    if (!slice_take_u8(&rest, &flag) || flag > 1 || !slice_take_u32_be(&rest, &size) ||
        !slice_take(&rest, size, &message)) {
        return ERR_CORRUPT;
    }
    *ret_is_compressed = flag == 1;
    *ret = message;
    *s = rest;
    return ERR_OK;
}
