/* What probes find of the clock; apart, because it needs one. */
#include <inttypes.h>

#include "ports/clock.h"
#include "ports/probe.h"

#define CLOCK_NEAR_S 60
#define CLOCK_FAR_S 3600 /* brokers refuse time stamps that are so far ahead */

void probe_found_clock(const struct probe_setup *setup, const char *option, const char *whose,
                       int64_t date_s)
{
    int64_t ahead_s = clock_wall_us() / 1000000 - date_s;
    int64_t off_s = ahead_s < 0 ? -ahead_s : ahead_s;
    if (off_s <= CLOCK_NEAR_S) {
        probe_found(setup, PROBE_OK, option, "clock", "it agrees with %s", whose);
        return;
    }
    probe_found(setup, off_s > CLOCK_FAR_S ? PROBE_ERROR : PROBE_WARNING, option, "clock",
                "it is %" PRId64 " s %s %s: set it (NTP); time stamps and certificates depend on "
                "it",
                off_s, ahead_s < 0 ? "behind" : "ahead of", whose);
}

void probe_found_no_clock(const struct probe_setup *setup, const char *why)
{
    bool is_synchronised = clock_wall_is_synchronised();
    probe_found(setup, is_synchronised ? PROBE_OK : PROBE_WARNING, "", "clock",
                is_synchronised
                    ? "the kernel says that it is synchronised; its difference can't be told: %s"
                    : "its difference can't be told: %s; and the kernel does not say that it is "
                      "synchronised: set up NTP, or compare `date -u` here and there",
                why);
}
