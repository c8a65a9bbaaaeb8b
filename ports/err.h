/* What can go wrong, and why it did.
 *
 * A fallible function returns enum err and is marked MUST_USE. Where the caller has to tell a
 * person, it also takes a struct why: the function that fails sets it, each layer on the way up
 * adds what it was doing, and the edge logs it once. Nothing here allocates; all of it may be used
 * on any thread. */
#ifndef WEIR_PORTS_ERR_H
#define WEIR_PORTS_ERR_H

#include "ports/attr.h"

enum err {
    ERR_OK = 0,
    ERR_AGAIN,    /* not now: the callee says when (readable, writable, kick, timer) */
    ERR_FULL,     /* no room: hold on to it until resume() */
    ERR_NOMEM,    /* no memory: nothing was changed */
    ERR_CONFIG,   /* what the user wrote can't be used */
    ERR_CORRUPT,  /* the bytes do not mean what their format says */
    ERR_IO,       /* the operating system or the device refused */
    ERR_NOSPACE,  /* the disk, or the cap on it, is full */
    ERR_READONLY, /* the file system is read-only */
    ERR_CLOSED,   /* the peer, file or device is gone, or not there (yet) */
    ERR_TIMEOUT,  /* no answer within the time allowed */
    ERR_REJECTED, /* well formed, but refused: by the schema, a limit, or the peer */
    ERR_AUTH,     /* login, certificate or rights */
    ERR_VERSION,  /* made by a newer version, or a version nobody here speaks */
    ERR_COUNT
};

/* A short name for logs and JSON: "ok", "again", "full", ... Never NULL. */
const char *err_name(enum err e);

#define WHY_SIZE_MAX 512

/* The reason of a failure, as a sentence for a person: what, which one, what to do. */
struct why {
    char text[WHY_SIZE_MAX]; /* ends with NUL; "": nothing was said; "..." at its end: it is cut */
};

/* Sets the text. `why` may be NULL: then nothing happens. */
void why_set(struct why *why, const char *format, ...) PRINTF_LIKE(2, 3);

/* Puts "FORMAT: " in front of the text that is there. `why` may be NULL. */
void why_add(struct why *why, const char *format, ...) PRINTF_LIKE(2, 3);

/* The error that fits an errno value: ENOSPC, EDQUOT → NOSPACE; EROFS → READONLY; ENOMEM → NOMEM;
 * EACCES, EPERM → AUTH; ENOENT, ECONNREFUSED, ECONNRESET, EPIPE, … → CLOSED; ETIMEDOUT → TIMEOUT;
 * EAGAIN → AGAIN; everything else → IO. */
enum err err_of_errno(int number);

#endif
