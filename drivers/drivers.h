/* The drivers. */
#ifndef WEIR_DRIVERS_DRIVERS_H
#define WEIR_DRIVERS_DRIVERS_H

#include "ports/driver.h"

extern const struct driver_class tail_class;
extern const struct driver_class http_class;
extern const struct driver_class replay_class;
extern const struct driver_class mqtt_class;

/* The port that an http driver listens on: with port 0 in its settings the system chooses. */
uint16_t http_driver_port(const struct driver *driver);

/* All that this build has, and the types of those that it was built without (WEIR_DRIVER_NAME); each
 * ends with NULL. */
extern const struct driver_class *const driver_classes[];
extern const char *const drivers_left_out[];

#endif
