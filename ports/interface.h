/* A network interface, as the kernel tells of it now. ports/linux/interface.c; tests/sim/interface.c
 * in the simulation. Reads files of sysfs: no waiting. Any thread. */
#ifndef WEIR_PORTS_INTERFACE_H
#define WEIR_PORTS_INTERFACE_H

#include <stdbool.h>
#include <stdint.h>

#define INTERFACE_NAME_SIZE 16

struct interface_state {
    bool is_up;    /* it is there, has a carrier (or can't tell), and an address of its own */
    uint64_t sent; /* bytes of its frames, since it was made; counts anew when it is made anew */
    uint64_t received;
};

void interface_look(const char *name, struct interface_state *ret);

#endif
