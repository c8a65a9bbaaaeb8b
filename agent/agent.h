/* The agent: everything opened in the right order, wired together, and closed again. Nothing of it
 * is process-wide: an agent may be closed and another one opened in the same process.
 * Loop thread. */
#ifndef WEIR_AGENT_AGENT_H
#define WEIR_AGENT_AGENT_H

#include "config/config.h"
#include "ports/loop.h"

struct agent;
struct agent_keep;
struct buffer;
struct carry;
struct intake;
struct machine;
struct status_look;
struct worker;

struct agent_setup {
    struct loop *loop;
    struct config
        *config; /* lives longer than the agent; held by its drivers, which may live longer */
    struct agent_keep *keep; /* of the agent before, see agent_close_for_newer(); or NULL */
    bool is_as_before;       /* then: with its configuration, since a newer one can't be opened */
    const struct machine *machine; /* of buffer_setup; or NULL */
    const char *vfs;               /* SQLite's file system layer; NULL: the system's */
    bool *ret_may_wait;            /* see agent_open(); may be NULL */
    bool *ret_joined;              /* likewise */
    struct buffer_room *room;      /* of buffer_setup; or NULL */
    const struct carry *carry;     /* of the agent before, see agent_close_for_another(); or NULL */
    /* `weir reload`: reads the file anew, see reload.h. answer() comes once, also when nothing
     * comes of it. NULL: that is not done. */
    void (*reload)(void *context, void (*answer)(void *peer, struct slice json), void *peer);
    void *reload_context;
};

#define AGENT_RETRY_MS 5000 /* after trouble with the disk */

/* A buffer that can be read but not written, because its file system is read-only, full or failing,
 * is opened so: what is stored is sent, sources have to wait, and agent_wants_another() says when it
 * is worth while to open the agent anew.
 *
 * Opens what the configuration says and begins to work with the loop's next turns. Needs no
 * network, clock, broker or registry. *why is a sentence with the part's name.
 *
 * On failure *ret_may_wait says whether it may pass without anybody changing the configuration: the
 * disk of the buffer is full, read-only, or fails. Then it is tried again each AGENT_RETRY_MS.
 * *ret_joined is set where the buffer has the streams and uplinks of this configuration from now on:
 * it is not opened with another one then, unless somebody asks for that. */
enum err agent_open(struct agent **ret, const struct agent_setup *setup, struct why *why) MUST_USE;
/* In order: sources stop, what they gave is committed, what is being sent may end (at most
 * stop_grace), the last deliveries are committed. Then `finished`; also when nothing can be
 * committed, some seconds after stop_grace. In the midst of agent_pause() it takes the place of that,
 * whose `finished` does not come any more. */
void agent_stop(struct agent *agent, void (*finished)(void *context), void *context);
/* After `finished`, or at any time for a hard stop: what is not committed then is told to its
 * sources as lost. NULL is allowed. */
void agent_close(struct agent *agent);

/* Has the disk of the buffer changed so that another agent should be opened in its place: it can be
 * written now, or there is another file where the buffer was? Asked from time to time. */
bool agent_wants_another(const struct agent *agent);
/* Closes, and hands over what only this one knew; NULL: there is nothing. */
void agent_close_for_another(struct agent *agent, struct carry **ret);

/* --- another configuration: what needs the agent to be opened anew, around its drivers --- */

/* In order: what was taken so far is committed, what is being sent may end (at most stop_grace) while
 * sources go on, then these wait or, where they are others in `newer`, stop, and everything is
 * committed. Then `finished`, with `late` NULL. Else the disk did not take that first commit in some
 * seconds: nothing was stopped, the agent runs as before, and *late is a sentence. */
void agent_pause(struct agent *agent, const struct config *newer,
                 void (*finished)(void *context, const struct why *late), void *context);
/* Then: closes all but what goes on in the agent that is opened next, with `newer` or, should that
 * fail, with what was before: drivers that are the same, and whoever waits for the answer to a reload
 * at the control socket. That agent takes it, once it is open; *keep is the caller's. ERR_NOMEM:
 * nothing is closed. */
enum err agent_keep_open(struct agent_keep **ret) MUST_USE;
/* Before that: listens at the control socket of `newer` where that is another. What can't be listened
 * at is said while nothing is closed. */
enum err agent_keep_listen(struct agent_keep *keep, struct agent *agent, const struct config *newer,
                           struct why *why) MUST_USE;
/* It can't be opened now, and is tried again: the control socket is closed, so that tools find the
 * file free. */
void agent_keep_wait(struct agent_keep *keep);
void agent_close_for_newer(struct agent *agent, const struct config *newer, struct carry **ret,
                           struct agent_keep *keep);
/* What nobody took. NULL is allowed. */
void agent_keep_close(struct agent_keep *keep);

/* The whole status as one JSON object; agent/STATUS.md has its members. */
void agent_status(struct agent *agent, struct out *json);
/* Of one that can't be opened yet, for this reason. */
void agent_status_waiting(const struct config *config, const struct why *why, struct out *json);
/* May sources deliver? False: *why is a sentence with what to do; true: "". */
bool agent_ready(const struct agent *agent, struct why *why);
/* The ages in the status are those that it found last: who wants them as they are asks it first. */
struct status_look *agent_look(struct agent *agent);
/* The streams alone: a JSON array. */
void agent_streams(struct agent *agent, struct out *json);
/* Events of the configuration's streams that some uplink has not got yet. */
uint64_t agent_backlog(const struct agent *agent);

/* For the control socket. */
struct store *agent_store(struct agent *agent);
struct intake *agent_intake(struct agent *agent);
/* The schema of this number as text; data NULL: unknown. */
struct slice agent_schema(const struct agent *agent, uint32_t schema);
/* Of which stream it is; 0: unknown. */
uint16_t agent_schema_stream(const struct agent *agent, uint32_t schema);
int64_t agent_event_size_max(const struct agent *agent);
const struct agent_setup *agent_setup_of(const struct agent *agent);
/* "agent id/incarnation". */
const char *agent_identity(const struct agent *agent);

/* The agent's id: as configured, or the host's name. `ret` is zeroed and of that size. */
void agent_id_put(const struct config *config, char *ret, size_t size);

/* Adds to the report what config/ can't know: schemas that are no schemas, keys that are
 * no fields, files of TLS that are none. */
void agent_check(const struct config *config, struct config_report *report);
/* Adds what a start would say of the buffer's keys; nothing while the buffer is in use, or is not
 * there. */
void agent_check_keys(const struct config *config, struct config_report *report);

#endif
