#include "buffer/wal_look.h"

#include <string.h>

#include "ports/lib/crc32c.h"

#define SECTOR_SIZE 512
#define WAL_MAGIC 0x377f0682 /* the lowest bit: checksums over big-endian words */

static uint32_t u32_be(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static uint32_t u32_le(const uint8_t *bytes)
{
    return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 | bytes[0];
}

/* SQLite's: over pairs of words, chained. */
static void sum_add(const struct wal_look *look, uint32_t sum[2], const uint8_t *data, size_t size)
{
    uint32_t a = sum[0];
    uint32_t b = sum[1];
    for (size_t i = 0; i + 8 <= size; i += 8) {
        a += (look->is_big ? u32_be(data + i) : u32_le(data + i)) + b;
        b += (look->is_big ? u32_be(data + i + 4) : u32_le(data + i + 4)) + a;
    }
    sum[0] = a;
    sum[1] = b;
}

/* Goes on from `sum` with a frame. Is that what stands in it? */
static bool sum_frame(const struct wal_look *look, uint32_t sum[2], const struct wal_frame *f,
                      const uint8_t *page)
{
    uint8_t head[8];
    for (int i = 0; i < 4; i++) {
        head[i] = (uint8_t)(f->page >> (24 - 8 * i));
        head[4 + i] = (uint8_t)(f->commit >> (24 - 8 * i));
    }
    sum_add(look, sum, head, sizeof head);
    sum_add(look, sum, page, WAL_FRAME_SIZE - WAL_FRAME_HEAD_SIZE);
    return f->sum[0] == sum[0] && f->sum[1] == sum[1];
}

void wal_look_begin(struct wal_look *look, struct slice header)
{
    memset(look, 0, sizeof *look);
    if (header.size < WAL_HEADER_SIZE || (u32_be(header.data) & ~UINT32_C(1)) != WAL_MAGIC) {
        return;
    }
    look->is_big = header.data[3] & 1;
    look->salt[0] = u32_be(header.data + 16);
    look->salt[1] = u32_be(header.data + 20);
    sum_add(look, look->sum, header.data, 24);
    memcpy(look->stored, look->sum, sizeof look->stored);
    look->has_header =
        u32_be(header.data + 24) == look->sum[0] && u32_be(header.data + 28) == look->sum[1];
}

static bool salt_is(const struct wal_frame *frame, const uint32_t salt[2])
{
    return frame->salt[0] == salt[0] && frame->salt[1] == salt[1];
}

/* Checksums are chained. Behind a frame that is not as it was written, what stands in that frame may
 * still be right, or what ought to. */
static void frame_check(struct wal_look *look, struct wal_frame *f, const uint8_t *page)
{
    uint32_t from_stored[2] = {look->stored[0], look->stored[1]};
    memcpy(f->before, look->stored, sizeof f->before);
    bool is_next = f->page > 0 && sum_frame(look, look->sum, f, page);
    f->is_genuine = is_next || (f->page > 0 && sum_frame(look, from_stored, f, page));
    if (f->is_genuine && !is_next) {
        memcpy(look->sum, from_stored, sizeof from_stored);
    }
    memcpy(look->stored, f->sum, sizeof f->sum);
    if (look->first_bad == look->count) {
        look->first_bad += f->is_genuine;
        look->broken = !f->is_genuine;
    }
}

bool wal_look_frame(struct wal_look *look, struct slice frame)
{
    if (frame.size < WAL_FRAME_SIZE || look->count == WAL_LOOK_FRAME_MAX) {
        return false;
    }
    struct slice page = {frame.data + WAL_FRAME_HEAD_SIZE, WAL_FRAME_SIZE - WAL_FRAME_HEAD_SIZE};
    struct wal_frame *f = &look->frames[look->count];
    *f = (struct wal_frame){.page = u32_be(frame.data),
                            .commit = u32_be(frame.data + 4),
                            .salt = {u32_be(frame.data + 8), u32_be(frame.data + 12)},
                            .sum = {u32_be(frame.data + 16), u32_be(frame.data + 20)},
                            .crc = crc32c(0, page)};
    if (look->has_header && salt_is(f, look->salt)) {
        frame_check(look, f, page.data);
    }
    look->count++;
    return true;
}

/* A commit is followed by one more copy of its last frame, to fill up the sector. */
static bool is_copy(const struct wal_look *look, size_t index, bool before_is_copy)
{
    if (index == 0 || before_is_copy) {
        return false;
    }
    const struct wal_frame *a = &look->frames[index - 1];
    const struct wal_frame *b = &look->frames[index];
    return salt_is(a, look->salt) && a->page == b->page && a->commit == b->commit;
}

/* Does the head lie in two sectors, so that a cut can leave one half of it old? */
static bool may_be_torn(size_t index)
{
    return (WAL_HEADER_SIZE + index * WAL_FRAME_SIZE) % SECTOR_SIZE > SECTOR_SIZE - 16;
}

enum wal_verdict wal_look_end(struct wal_look *look)
{
    size_t behind = 0;
    bool copy = false;
    /* A cut can destroy the header of a log that is being begun: what stands behind it is of earlier
     * ones. */
    for (size_t i = 0; i < look->count && look->has_header; i++) {
        const struct wal_frame *f = &look->frames[i];
        bool ends = salt_is(f, look->salt) && f->commit > 0;
        bool is_behind = i > look->first_bad;
        copy = ends && is_copy(look, i, copy);
        look->end = ends ? i + 1 : look->end;
        look->whole = ends && i < look->first_bad ? i + 1 : look->whole;
        look->has_frames = look->has_frames || salt_is(f, look->salt);
        behind += ends && is_behind && !copy && !may_be_torn(i);
        look->broken = look->broken || (ends && is_behind);
    }
    return !look->broken ? WAL_WHOLE : behind > 1 ? WAL_DAMAGED : WAL_CUT;
}

bool wal_look_is_stale(const struct wal_look *look)
{
    return look->has_frames && look->whole == 0;
}

/* Is what the frame says in the database? */
static bool has(const struct wal_look *look, const struct wal_frame *f, const uint8_t *page)
{
    uint32_t sum[2] = {f->before[0], f->before[1]};
    return f->is_genuine
               ? crc32c(0, (struct slice){page, WAL_FRAME_SIZE - WAL_FRAME_HEAD_SIZE}) == f->crc
               : sum_frame(look, sum, f, page);
}

static bool has_later(const struct wal_look *look, size_t index)
{
    for (size_t i = index + 1; i < look->end; i++) {
        const struct wal_frame *f = &look->frames[i];
        if (salt_is(f, look->salt) && f->page == look->frames[index].page) {
            return true;
        }
    }
    return false;
}

bool wal_look_is_redundant(const struct wal_look *look,
                           const uint8_t *(*page)(void *context, uint32_t number), void *context)
{
    size_t same = 0;
    for (size_t i = 0; i < look->end; i++) {
        const struct wal_frame *f = &look->frames[i];
        if (!salt_is(f, look->salt) || has_later(look, i)) {
            continue;
        }
        const uint8_t *bytes = f->page > 0 ? page(context, f->page) : NULL;
        if (!bytes || !has(look, f, bytes)) {
            return false;
        }
        same++;
    }
    return same > 0;
}
