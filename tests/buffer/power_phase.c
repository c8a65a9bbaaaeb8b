#include "tests/buffer/power_phase.h"

#include "buffer/damage.h"

struct watch_state {
    struct crash_vfs *vfs;
    unsigned now;
    unsigned armed; /* bit; 0: none */
    unsigned armed_n;
};

static struct watch_state *watched(void)
{
    static struct watch_state state;
    return &state;
}

const char *power_phase_name(enum power_phase phase)
{
    static const char *const names[PHASE_COUNT] = {
        [PHASE_APPEND] = "append",         [PHASE_SEAL] = "seal",
        [PHASE_DELETE] = "delete",         [PHASE_EVICT] = "evict",
        [PHASE_CHECKPOINT] = "checkpoint", [PHASE_RECOVERY] = "recovery",
        [PHASE_SALVAGE] = "salvage"};
    return names[phase];
}

void power_phase_watch(struct crash_vfs *vfs)
{
    *watched() = (struct watch_state){.vfs = vfs};
}

unsigned power_phase_now(void)
{
    return watched()->now;
}

/* What follows the freeze is done by a program that is dead already. */
static void phase_set(unsigned now)
{
    if (watched()->vfs && !crash_vfs_is_frozen(watched()->vfs)) {
        watched()->now = now;
    }
}

void power_phase_arm(enum power_phase phase, unsigned n)
{
    watched()->armed = n ? 1u << phase : 0;
    watched()->armed_n = n;
}

static void fire_if_armed(enum power_phase phase)
{
    if (watched()->vfs && watched()->armed == 1u << phase) {
        watched()->armed = 0;
        crash_vfs_freeze_after(watched()->vfs, watched()->armed_n);
    }
}

static void phase_add(enum power_phase phase)
{
    fire_if_armed(phase);
    phase_set(watched()->now | 1u << phase);
}

/* --- wraps: the linker calls these instead --- */

enum err __real_buffer_open(struct buffer **ret, const struct buffer_setup *setup, struct why *why);
enum err __wrap_buffer_open(struct buffer **ret, const struct buffer_setup *setup, struct why *why);
enum err __wrap_buffer_open(struct buffer **ret, const struct buffer_setup *setup, struct why *why)
{
    phase_set(1u << PHASE_RECOVERY);
    enum err e = __real_buffer_open(ret, setup, why);
    phase_set(0);
    return e;
}

enum err __real_buffer_commit(struct buffer *b, const struct buffer_write *write,
                              struct buffer_changes *ret_changes, struct why *why);
enum err __wrap_buffer_commit(struct buffer *b, const struct buffer_write *write,
                              struct buffer_changes *ret_changes, struct why *why);
enum err __wrap_buffer_commit(struct buffer *b, const struct buffer_write *write,
                              struct buffer_changes *ret_changes, struct why *why)
{
    unsigned before = watched()->now;
    phase_set(before | 1u << PHASE_APPEND);
    enum err e = __real_buffer_commit(b, write, ret_changes, why);
    phase_set(before);
    return e;
}

enum err __real_damage_replace_at_open(struct buffer *b, const struct buffer_setup *setup,
                                       int number, struct why *why);
enum err __wrap_damage_replace_at_open(struct buffer *b, const struct buffer_setup *setup,
                                       int number, struct why *why);
enum err __wrap_damage_replace_at_open(struct buffer *b, const struct buffer_setup *setup,
                                       int number, struct why *why)
{
    unsigned before = watched()->now;
    phase_add(PHASE_SALVAGE);
    enum err e = __real_damage_replace_at_open(b, setup, number, why);
    phase_set(before);
    return e;
}

/* Only while there is something to salvage: else it looks at a row. */
enum err __real_buffer_care(struct buffer *b, struct buffer_changes *ret_changes, struct why *why);
enum err __wrap_buffer_care(struct buffer *b, struct buffer_changes *ret_changes, struct why *why);
enum err __wrap_buffer_care(struct buffer *b, struct buffer_changes *ret_changes, struct why *why)
{
    unsigned before = watched()->now;
    if (b->salvage || b->file_damaged) {
        phase_add(PHASE_SALVAGE);
    }
    enum err e = __real_buffer_care(b, ret_changes, why);
    phase_set(before);
    return e;
}

enum err __real_seal(struct buffer *b, struct slice new_sections, struct why *why);
enum err __wrap_seal(struct buffer *b, struct slice new_sections, struct why *why);
enum err __wrap_seal(struct buffer *b, struct slice new_sections, struct why *why)
{
    phase_add(PHASE_SEAL);
    return __real_seal(b, new_sections, why);
}

enum err __real_row_delete(struct buffer *b, uint16_t stream, uint64_t first, struct why *why);
enum err __wrap_row_delete(struct buffer *b, uint16_t stream, uint64_t first, struct why *why);
enum err __wrap_row_delete(struct buffer *b, uint16_t stream, uint64_t first, struct why *why)
{
    phase_add(PHASE_DELETE);
    return __real_row_delete(b, stream, first, why);
}

void __real_record_put_drop(struct record_writer *w, const struct gap *gap);
void __wrap_record_put_drop(struct record_writer *w, const struct gap *gap);
void __wrap_record_put_drop(struct record_writer *w, const struct gap *gap)
{
    phase_add(PHASE_EVICT);
    __real_record_put_drop(w, gap);
}

int __real_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *frames,
                                     int *moved);
int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *frames,
                                     int *moved);
int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *frames,
                                     int *moved)
{
    unsigned before = watched()->now;
    if (!(before & 1u << PHASE_RECOVERY)) {
        phase_set(1u << PHASE_CHECKPOINT);
        fire_if_armed(PHASE_CHECKPOINT);
    }
    int code = __real_sqlite3_wal_checkpoint_v2(db, name, mode, frames, moved);
    phase_set(before);
    return code;
}
