/* gRPC as one unary call over HTTP needs it: the frame around a message, and the status that comes
 * in trailers. Pure. */
#ifndef WEIR_UPLINK_GOOGLE_GRPC_H
#define WEIR_UPLINK_GOOGLE_GRPC_H

#include "ports/err.h"
#include "ports/slice.h"

#define GRPC_FRAME_HEAD_SIZE 5

enum grpc_code {
    GRPC_NONE = -1, /* no grpc-status came: not what a gRPC server answers */
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
};

/* "NOT_FOUND"; "?" where there is no such code. */
const char *grpc_code_name(int code);
/* The code of that name, as REST answers have it; GRPC_UNKNOWN where there is none. */
int grpc_code_of_name(struct slice name);

#define GRPC_MESSAGE_SIZE_MAX 120

/* What an answer says of the call. Zeroed it is nothing; grpc_status_init(). */
struct grpc_status {
    int code;
    bool is_grpc;                        /* its content type says so */
    char message[GRPC_MESSAGE_SIZE_MAX]; /* printable, cut at its size */
};

void grpc_status_init(struct grpc_status *status);
/* One header or trailer, whichever it is: those that do not matter are passed over. */
void grpc_status_take(struct grpc_status *status, struct slice name, struct slice value);

/* The head of a frame around `size` bytes of message. */
void grpc_frame_head(uint8_t ret[GRPC_FRAME_HEAD_SIZE], bool is_compressed, uint32_t size);
/* Takes the first frame off *s. ERR_CORRUPT: there is no whole one. */
enum err grpc_frame_take(struct slice *s, bool *ret_is_compressed, struct slice *ret) MUST_USE;

#endif
