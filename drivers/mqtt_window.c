#include "drivers/mqtt_window.h"

void mqtt_window_released(struct mqtt_window *window, size_t count)
{
    window->released = count;
    window->arrived = 0;
}

void mqtt_window_arrived(struct mqtt_window *window)
{
    window->arrived++;
}

bool mqtt_window_is_full(struct mqtt_window *window, size_t held)
{
    if (window->released && window->arrived >= window->released) {
        window->learned = held;
    } else if (window->released && window->arrived * 2 < window->released) {
        window->learned = 0; /* it had no more to send */
    }
    window->released = 0;
    return held &&
           ((window->sent && held >= window->sent) || (window->learned && held >= window->learned));
}

void mqtt_window_restart(struct mqtt_window *window)
{
    window->released = window->arrived = 0;
}
