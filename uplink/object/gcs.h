/* The uplink `gcs`: objects in a bucket of Google Cloud Storage. */
#ifndef WEIR_UPLINK_OBJECT_GCS_H
#define WEIR_UPLINK_OBJECT_GCS_H

#include "ports/uplink.h"

extern const struct uplink_class gcs_uplink_class;

#endif
