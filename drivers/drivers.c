#include "drivers/drivers.h"

const struct driver_class *const driver_classes[] = {&http_class, &mqtt_class, &replay_class,
                                                     &tail_class, NULL};
