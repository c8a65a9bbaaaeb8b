/* What Google's REST interfaces say of an error, as a code of gRPC. Pure, but that it takes memory. */
#ifndef WEIR_UPLINK_GOOGLE_REST_ERROR_H
#define WEIR_UPLINK_GOOGLE_REST_ERROR_H

#include "uplink/google/grpc.h"

/* The code that stands for a status of HTTP where nothing else is said; GRPC_OK for 2xx. */
int grpc_code_of_status(long status);
/* {"error":{"code":404,"message":"...","status":"NOT_FOUND"}}: the code of its status, never GRPC_OK;
 * `code` where it says none. ret_message: printable, "" where there is none. */
int rest_error_parse(struct slice body, int code, char ret_message[GRPC_MESSAGE_SIZE_MAX]);

#endif
