/* The drivers that this build has. */
#ifndef WEIR_DRIVERS_DRIVERS_H
#define WEIR_DRIVERS_DRIVERS_H

#include "ports/driver.h"

extern const struct driver_class tail_class;
extern const struct driver_class http_class;
extern const struct driver_class replay_class;

/* All of them; ends with NULL. */
extern const struct driver_class *const driver_classes[];

#endif
