/* The TLS sessions of clients in a file, so that the first handshake after a restart costs some hundred
 * bytes instead of some thousand. They are secrets: the file is for its owner only (0600), encrypted
 * where the buffer is, and nothing of it is logged. It is not synced: after a power cut it may be an
 * older one or damaged. What can't be read is forgotten: handshakes are full ones then. Written 10 s
 * after a session has come, each hour at most, and when it is closed. Loop thread. */
#ifndef WEIR_PORTS_TICKETS_H
#define WEIR_PORTS_TICKETS_H

#include "ports/loop.h"
#include "ports/slice.h"

struct tickets;
struct tls;

#define TICKETS_OWNER_MAX 32
#define TICKETS_SIZE_MAX (64 * 1024) /* of one owner's sessions */

/* Reads the file, if there is one. `key`: AEAD_KEY_SIZE bytes, copied; NULL: it is not encrypted. */
enum err tickets_open(struct tickets **ret, struct loop *loop, const char *path,
                      const uint8_t *key) MUST_USE;
/* Everybody has left. NULL is allowed. */
void tickets_close(struct tickets *tickets);

/* Gives `tls`, a client's, the sessions that were kept under this name, and keeps its new ones until
 * tickets_leave(). When there is no room or no memory it goes without. tickets NULL: likewise. */
void tickets_join(struct tickets *tickets, const char *name, struct tls *tls);
/* Before tls_close(). Who has not joined is left alone; NULL is allowed for both. */
void tickets_leave(struct tickets *tickets, struct tls *tls);

#endif
