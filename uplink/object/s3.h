/* The uplink `s3`: objects in a bucket of Amazon S3, or of any store that speaks as it does. */
#ifndef WEIR_UPLINK_OBJECT_S3_H
#define WEIR_UPLINK_OBJECT_S3_H

#include "ports/uplink.h"

extern const struct uplink_class s3_uplink_class;

#endif
