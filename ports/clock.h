/* The clocks. ports/linux/clock.c for the real ones, tests/sim/clock.c for the simulated. Any
 * thread. */
#ifndef WEIR_PORTS_CLOCK_H
#define WEIR_PORTS_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "ports/slice.h"

#define BOOT_ID_SIZE 16

/* CLOCK_BOOTTIME: never runs backwards, counts suspended time too. */
uint64_t clock_monotonic_us(void);
uint64_t clock_monotonic_ms(void);

/* The wall clock, microseconds since 1970-01-01T00:00:00Z. May jump, and may be wrong. */
int64_t clock_wall_us(void);

/* Does the kernel say that the wall clock is disciplined (adjtimex: not STA_UNSYNC)? */
bool clock_wall_is_synchronised(void);

/* Blocks the calling thread for so long, or somewhat less: while the program starts, and in commands,
 * never in a turn of a loop. */
void clock_pause(uint32_t ms);

/* Identifies this boot of the machine (/proc/sys/kernel/random/boot_id). */
void clock_boot_id(uint8_t ret[BOOT_ID_SIZE]);

/* "2026-03-01T12:34:56.789012Z" with 0, 3 or 6 digits of the second; proleptic Gregorian, years
 * 0001-9999, else "". */
#define CLOCK_TEXT_SIZE 32
void clock_format(int64_t wall_us, unsigned digits, char ret[CLOCK_TEXT_SIZE]);

/* The civil date of a time, without libc's tables: UTC. */
struct civil {
    int32_t year;
    uint8_t month, day, hour, minute, second; /* month and day from 1 */
    uint32_t microsecond;
    uint8_t weekday; /* 0 is Sunday */
};
void clock_civil(int64_t wall_us, struct civil *ret);
/* Days since 1970-01-01 of a date; month 1..12, day 1..31 are the caller's to check. */
int64_t clock_days(int32_t year, unsigned month, unsigned day);

#endif
