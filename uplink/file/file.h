/* The file uplink: Avro container files, each event once. */
#ifndef WEIR_UPLINK_FILE_FILE_H
#define WEIR_UPLINK_FILE_FILE_H

#include "ports/uplink.h"

extern const struct uplink_class file_uplink_class;

#endif
