/* How many messages the broker sends before it waits for acknowledgements. When that many are held,
 * and nothing arrives any more, waiting for the commit's interval is waiting in vain. The window is
 * what we told the broker (Receive Maximum), or less, as learned: when n acknowledgements bring n
 * messages at once, the broker's window is full again. Pure. */
#ifndef WEIR_DRIVERS_MQTT_WINDOW_H
#define WEIR_DRIVERS_MQTT_WINDOW_H

#include <stdbool.h>
#include <stddef.h>

struct mqtt_window {
    size_t sent;     /* what the broker was told; 0: nothing */
    size_t learned;  /* 0: not yet */
    size_t released; /* acknowledgements whose effect is being watched; 0: none */
    size_t arrived;  /* messages since then */
};

/* So many acknowledgements went out. */
void mqtt_window_released(struct mqtt_window *window, size_t count);
/* A message of quality of service 1 has come. */
void mqtt_window_arrived(struct mqtt_window *window);
/* Nothing has come for a while, and so many are held: is the broker waiting for us? */
bool mqtt_window_is_full(struct mqtt_window *window, size_t held);
/* A new connection: nothing is being watched. */
void mqtt_window_restart(struct mqtt_window *window);

#endif
