/* The uplink `http`: each part of a parcel is one POST, with a key by which a receiver drops what
 * comes a second time. */
#ifndef WEIR_UPLINK_HTTP_HTTP_UPLINK_H
#define WEIR_UPLINK_HTTP_HTTP_UPLINK_H

#include "ports/uplink.h"

extern const struct uplink_class http_uplink_class;

#endif
