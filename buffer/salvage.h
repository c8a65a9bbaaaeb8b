/* Damaged buffers. A buffer that can't be read any more is replaced, never mended: its file is moved
 * aside (PATH.bad-N), a fresh one takes its place at once, and what passes its checksum comes over
 * in the background, a little at a time. buffer_open() and buffer_commit() do the first part by
 * themselves; DAMAGE.md tells the whole of it. On the store thread, as everything of buffer.h. */
#ifndef WEIR_BUFFER_SALVAGE_H
#define WEIR_BUFFER_SALVAGE_H

#include "buffer/buffer.h"

/* One turn of what the buffer does in the background, at most about 50 ms; never while a commit's
 * changes have not been taken over by the caller, nor between the look at a gap and the commit that
 * says it is told. While a damaged file is salvaged: the next rows of it, in a commit of their own.
 * Else: one stored row is read and checked.
 *
 * ERR_OK: done, and there is more: soon again. ERR_FULL: what was found has to wait until there is
 * room in the buffer, or in a list of owed ranges. ERR_CLOSED: nothing is left to do but the check
 * of a row, which once a minute is enough for. Others as buffer_commit(). *ret_changes is set with
 * OK, FULL and CLOSED; it may be NULL. */
enum err buffer_care(struct buffer *buffer, struct buffer_changes *ret_changes,
                     struct why *why) MUST_USE;

/* Begins to salvage another file: one that was moved aside earlier and kept. What it says is owed,
 * and what of it can be read, becomes owed; buffer_care() does the work, restarts included. The
 * file is read only, and stays. Events that were salvaged and delivered before are delivered again;
 * what can't be read makes no gap, because the first salvage told it.
 * ERR_CONFIG: of another incarnation than this buffer, newer than it, its own file, or under a key
 * that it does not have; ERR_CLOSED: there is no such file; ERR_CORRUPT: nothing of it can be read;
 * ERR_FULL: a salvage is under way. */
enum err buffer_salvage_begin(struct buffer *buffer, const char *file, struct why *why) MUST_USE;

#endif
