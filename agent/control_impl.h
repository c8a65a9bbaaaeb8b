/* Inside of the control socket: control.c has the connections, control_tool.c the tools behind
 * them, control_import.c the events that a peer brings. */
#ifndef WEIR_AGENT_CONTROL_IMPL_H
#define WEIR_AGENT_CONTROL_IMPL_H

#include "agent/control.h"
#include "agent/import.h"
#include "agent/status_look.h"
#include "agent/store.h"
#include "agent/tool.h"
#include "ports/stream.h"

struct import_session;
struct replay_session;

struct peer {
    struct control *control;
    struct stream *stream;
    char request[TOOL_LINE_MAX];
    size_t request_size;
    bool has_request;
    bool gone;         /* the peer left while a job or a commit is under way */
    bool working;      /* a job is under way */
    uint64_t commit;   /* awaited; 0: none */
    struct out answer; /* of its own, or the tool's */
    bool owns_answer;
    size_t sent;
    bool is_last; /* nothing comes behind the answer */
    struct tool *tool;
    size_t ordered; /* of the tool's orders, those that were put */
    bool orders_wait;
    struct job job;
    struct look_waiter look;       /* it waits for its status */
    struct import_session *import; /* NULL: the peer brings nothing */
    struct replay_session *replay; /* NULL: it replays nothing */
    bool takes_asides; /* replays or drops them: one at a time, both would take the same ones */
};

struct control {
    struct loop *loop;
    struct agent *agent;      /* NULL: it can't be opened yet, */
    struct why waits;         /* for this reason */
    struct agent_setup setup; /* of the one that waits; else zero */
    struct listener *listener;
    char path[300];
    struct peer *peers[CONTROL_PEER_MAX];
};

/* --- control.c --- */
/* Sends what the connection's answer has, then peer_sent() follows. */
void peer_send(struct peer *c);
/* Frees it unless something of it is under way. */
void peer_close(struct peer *c);
/* Ends it with a frame, behind what is being sent. */
/* FRAME_PROGRESS; with FRAME_END behind it when it is the last. */
void peer_answer_progress(struct peer *c, uint64_t done, bool is_last);
void peer_refuse(struct peer *c, enum err e, const struct why *why);

/* Memory for an answer of its own, instead of what it had. False: there is none, and the peer is gone. */
bool peer_answer_begin(struct peer *c, size_t size);

/* --- control_tool.c --- */
/* May the peer do what takes something out of the agent's hands: is it root, or the agent's user? */
bool peer_is_trusted(const struct peer *c);
void peer_tool(struct peer *c, const char *line);
/* The answer has left: the next step. */
void peer_tool_sent(struct peer *c);
void peer_tool_committed(struct peer *c);

/* --- control_import.c --- */
/* A tool tells the peer where its file stands; batches follow. */
enum err import_session_open(struct peer *c, const struct tool_request *request) MUST_USE;
void import_session_close(struct import_session *session);
/* The tool has ended: the answer that tells so goes out, then batches come. */
void import_session_begin(struct peer *c);
/* Reads what is there. */
void peer_import_read(struct peer *c);
void peer_import_sent(struct peer *c);
void peer_import_committed(struct peer *c, uint64_t commit);

/* --- control_replay.c --- */
/* A tool reads set-aside events, and the loop offers them again. */
enum err replay_session_open(struct peer *c) MUST_USE;
void replay_session_close(struct replay_session *session);
/* The tool has done a step. */
void peer_replay_stepped(struct peer *c);
void peer_replay_committed(struct peer *c);

#endif
