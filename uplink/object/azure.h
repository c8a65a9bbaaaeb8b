/* The uplink `azure_blob`: block blobs in a container of Azure Blob Storage. */
#ifndef WEIR_UPLINK_OBJECT_AZURE_H
#define WEIR_UPLINK_OBJECT_AZURE_H

#include "ports/uplink.h"

extern const struct uplink_class azure_blob_uplink_class;

#endif
