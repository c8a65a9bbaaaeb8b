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

/* Where IDENTITY_MACHINE is looked for; ends with NULL. */
extern const char *const identity_machine_files[];

/* Appends it: printable ASCII without blanks. `root` is put in front of the files' paths: "" but in
 * tests. ERR_CONFIG: the device has none, *why says where it was looked for. */
enum err identity_put(enum identity identity, const char *root, struct out *ret,
                      struct why *why) MUST_USE;

/* Which machine this is, by what stays the same from boot to boot. Each is a keyed hash of a name,
 * not the name (a short serial number can be guessed from it); zeros: the machine has none. */
#define MACHINE_MARK_SIZE 16
struct machine {
    uint8_t board[MACHINE_MARK_SIZE]; /* of IDENTITY_SERIAL */
    /* Of IDENTITY_MACHINE. Zeros where that was made for this boot only: by systemd on a read-only
     * root and until the first boot is over, by D-Bus where its folder is in memory. */
    uint8_t system[MACHINE_MARK_SIZE];
};
void identity_machine(const char *root, struct machine *ret);

#endif
