/* What the files of `weir run` share: run_command.c opens the agent and keeps it open, run_reload.c
 * takes up another configuration. */
#ifndef WEIR_AGENT_RUN_IMPL_H
#define WEIR_AGENT_RUN_IMPL_H

#include "agent/agent.h"
#include "agent/control.h"
#include "agent/reload.h"
#include "agent/status_server.h"
#include "buffer/buffer.h"
#include "ports/file.h"
#include "ports/identity.h"
#include "ports/notify.h"

struct running {
    struct loop *loop;
    struct notify *notify;
    struct config *config;
    struct config *newer;                /* while it is taken up; else NULL */
    struct config_difference difference; /* then: to `config` */
    struct agent_keep *keep;             /* while it is opened anew around its drivers; else NULL */
    struct reload_before *before;        /* likewise */
    void (*answer)(void *peer, struct slice json); /* for who asked for that; NULL: a signal */
    void *answer_peer;
    struct timer reload;
    bool reload_again;   /* a signal came meanwhile */
    struct agent *agent; /* NULL: it can't be opened yet */
    bool goes_on;        /* what can't be opened is tried again, and is no end as at a start */
    bool is_as_before;   /* `config` is what the agent had that was closed for `newer` */
    bool joined;         /* the buffer has what `newer` says: there is no way back */
    struct carry *carry; /* of the agent before */
    struct machine machine;
    struct buffer_room room; /* that its buffer lacked */
    struct status_server *status;
    struct control *waiting; /* tells why there is no agent; NULL: there is, or it can't be told */
    struct timer retry;
    struct why why;         /* that was logged last */
    struct file_place disk; /* where the buffer, or its nearest folder, was at the first try */
    bool disk_is_known;
    bool buffer_was_there;
    struct file_place beneath; /* the nearest folder that could be read, above one that could not */
    bool beneath_is_known;
    enum err failed;
    bool stopping;
    bool socket_said;
};

/* --- run_command.c --- */
/* Sets running->agent, or waits: it is tried again, see running->why. So where the disk does not let
 * it, where it `goes_on`, and where the buffer has joined with `newer`. ERR_CONFIG and others: it
 * can't be opened so. */
enum err run_open_agent(struct running *running) MUST_USE;
/* There is an agent: nothing tells that it is waited for. */
void run_waiting_close(struct running *running);

/* --- run_reload.c --- */
/* For the agent that is opened next; *ret_may_wait as agent_open() says it. */
struct agent_setup run_agent_setup(struct running *running, bool *ret_may_wait);
/* agent_setup.reload, with the running as context. */
void run_reload(void *context, void (*answer)(void *peer, struct slice json), void *peer);
void run_reload_fired(struct timer *timer);
/* agent_stop() was called: whoever waits for a pause hears of it. */
void run_reload_stop(struct running *running);

#endif
