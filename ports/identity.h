/* Names that a device has by itself, so that one image of a flash serves a fleet. They are read from
 * small files of the system: at start, and on a board without any network. Any thread. */
#ifndef WEIR_PORTS_IDENTITY_H
#define WEIR_PORTS_IDENTITY_H

#include "ports/err.h"
#include "ports/slice.h"

enum identity {
    IDENTITY_MACHINE,   /* machine-id(5): 32 digits, made at the first boot */
    IDENTITY_SERIAL,    /* the board's serial number: device tree, DMI, or /proc/cpuinfo */
    IDENTITY_HOST_NAME, /* gethostname(2) */
};

/* Appends it: printable ASCII without blanks. `root` is put in front of the files' paths: "" but in
 * tests. ERR_CONFIG: the device has none, *why says where it was looked for. */
enum err identity_put(enum identity identity, const char *root, struct out *ret,
                      struct why *why) MUST_USE;

#endif
