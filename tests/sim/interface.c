/* Network interfaces as scenarios set them: what nobody has set is up and has counted nothing. */
#include "ports/interface.h"

#include <stdio.h>
#include <string.h>

#include "ports/slice.h"
#include "tests/sim/net.h"

static struct {
    char name[INTERFACE_NAME_SIZE];
    struct interface_state state;
} interfaces[8];

static struct interface_state *interface_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(interfaces); i++) {
        if (!interfaces[i].name[0]) {
            (void)snprintf(interfaces[i].name, INTERFACE_NAME_SIZE, "%s", name);
            interfaces[i].state.is_up = true;
        }
        if (strcmp(interfaces[i].name, name) == 0) {
            return &interfaces[i].state;
        }
    }
    return &interfaces[0].state;
}

struct interface_state *net_interface(const char *name)
{
    return interface_find(name);
}

void net_interfaces_clear(void)
{
    memset(interfaces, 0, sizeof interfaces);
}

void interface_look(const char *name, struct interface_state *ret)
{
    *ret = *interface_find(name);
}
