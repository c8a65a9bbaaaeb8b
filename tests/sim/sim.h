/* The simulation: what ports/linux does for the agent, on simulated time, in one thread, the same
 * again for the same seed. Link weir_sim instead of weir_linux, weir_stream, weir_tls, weir_http.
 *
 * There is one simulation in a process at a time. Two kinds of code run in it: the agent, through
 * ports/ *.h, and simulated peers, through tests/sim/net.h and their timers on sim_loop(). Time
 * stands still while code runs, and jumps to the next timer.
 *
 * A life is the agent from start to stop or crash. A crash goes like this:
 *     sim_life_crash();   from now on nothing of the agent reaches wire or disk: its timers do not
 *                         fire, its streams are dead, file_*() and the crash VFS refuse
 *     agent_close(...);   destructors run, so that no memory is lost and sanitizers stay quiet
 *     sim_life_end();     asserts that all is closed
 *     sim_life_begin(reboot);
 */
#ifndef WEIR_TESTS_SIM_SIM_H
#define WEIR_TESTS_SIM_SIM_H

#include "ports/loop.h"

void sim_open(uint64_t seed);
/* All loops must be closed. */
void sim_close(void);

/* --- time --- */

/* Since sim_open(), whatever lives and boots there were. */
uint64_t sim_now_us(void);
/* Runs all loops until `reached` says true (asked after each turn), at most `limit_ms`. False: it
 * did not. */
bool sim_run_until(bool (*reached)(void *context), void *context, uint64_t limit_ms) MUST_USE;
void sim_run_for(uint64_t ms);
/* Where peers have their timers; never crashes. */
struct loop *sim_loop(void);

/* The wall clock starts at 2026-01-01, synchronised. */
void sim_wall_set(int64_t wall_us);
void sim_wall_jump(int64_t by_us);
void sim_wall_synchronised_set(bool synchronised);

/* --- chance, apart from the agent's own --- */

uint64_t sim_random(void);
uint64_t sim_below(uint64_t below);
/* True `per_million` times in a million. */
bool sim_chance(uint32_t per_million);

/* --- lives --- */

/* sim_open() begins the first. `reboot`: another boot id, and the monotonic clock starts again. */
void sim_life_begin(bool reboot);
void sim_life_crash(void);
void sim_life_end(void);
bool sim_life_is_crashed(void);
unsigned sim_life(void);
/* Called by sim_life_crash(), before anything else: to freeze a VFS. One hook; NULL: none. */
void sim_crash_hook_set(void (*hook)(void *context), void *context);

/* Delivers a signal to the agent's ports/signals.h. */
void sim_signal(int number);

/* --- what happened --- */

/* Adds a line to the trace: part of its hash, and kept in a ring of the last 2 000 lines with those
 * of log_put(). WEIR_SIM_LOG=1 in the environment shows them as they come. */
void sim_trace(const char *format, ...) PRINTF_LIKE(1, 2);
uint64_t sim_trace_hash(void);
/* The ring to stderr, with the seed. Done by itself before abort(). */
void sim_trace_print(void);

/* An expectation of a scenario: prints seed and trace when it does not hold, and ends the process.
 */
#define SIM_EXPECT(condition) \
    do { \
        if (!(condition)) { \
            sim_failed(__FILE__, __LINE__, #condition); \
        } \
    } while (0)
void sim_failed(const char *file, int line, const char *condition) NORETURN;

#endif
