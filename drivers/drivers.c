#include "drivers/drivers.h"

#include "drivers_built.h"

#define CLASS(name) &name##_class,
#define TYPE(name) #name,

const struct driver_class *const driver_classes[] = {DRIVERS_BUILT(CLASS) NULL};
const char *const drivers_left_out[] = {DRIVERS_LEFT_OUT(TYPE) NULL};
