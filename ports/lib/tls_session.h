/* One TLS connection as bytes in and bytes out, for ports/linux/stream.c; and the same settings for
 * libcurl. The socket stays the caller's. Loop thread.
 *
 * ERR_AGAIN means: wait for the socket, to be writable when tls_session_wants_write() says so, else
 * to be readable. Other errors end the connection; *why is a sentence for a person, or "" when the
 * transport failed, because the transport's owner knows the reason. */
#ifndef WEIR_PORTS_LIB_TLS_SESSION_H
#define WEIR_PORTS_LIB_TLS_SESSION_H

#include "ports/slice.h"
#include "ports/tls.h"

struct tls_session;

struct tls_transport {
    void *context;
    /* ERR_OK with 0 bytes: the peer has ended. ERR_AGAIN: nothing there now. */
    enum err (*receive)(void *context, uint8_t *data, size_t size, size_t *ret_size);
    /* ERR_AGAIN: no room now. */
    enum err (*send)(void *context, struct slice data, size_t *ret_size);
};

/* `name` and `port`: of the server, on the client's side; the name is verified and sent as SNI
 * (addresses are verified only), both say which session may be resumed. */
enum err tls_session_open(struct tls_session **ret, struct tls *tls, const char *name,
                          uint16_t port, const struct tls_transport *transport) MUST_USE;
/* NULL is allowed. Sends nothing. */
void tls_session_close(struct tls_session *session);

/* ERR_OK: the connection may be used. ERR_AUTH: not verified, or the peer's alert. */
enum err tls_session_handshake(struct tls_session *session, struct why *why) MUST_USE;
/* ERR_CLOSED: the peer has ended in order. */
enum err tls_session_read(struct tls_session *session, uint8_t *data, size_t size, size_t *ret_size,
                          struct why *why) MUST_USE;
/* Takes up to one record; 0 bytes are possible while an earlier one has not gone out. */
enum err tls_session_write(struct tls_session *session, struct slice data, size_t *ret_size,
                           struct why *why) MUST_USE;
/* Hands on what was taken. */
enum err tls_session_flush(struct tls_session *session, struct why *why) MUST_USE;
/* Flushes, then says close_notify. */
enum err tls_session_finish(struct tls_session *session, struct why *why) MUST_USE;

bool tls_session_wants_write(const struct tls_session *session);
/* When the first certificate of the peer's chain expires; 0: none was verified. */
int64_t tls_session_peer_end_s(const struct tls_session *session);
/* Bytes that read() would give without the socket. */
bool tls_session_has_input(const struct tls_session *session);
/* Bytes taken by write() and not handed to the transport yet. */
size_t tls_session_unsent(const struct tls_session *session);
bool tls_session_is_resumed(const struct tls_session *session);

/* For libcurl's CURLOPT_SSL_CTX_FUNCTION: gives an mbedtls_ssl_config the authorities, certificate,
 * verification and versions of `tls`. */
void tls_apply(struct tls *tls, void *ssl_config);
/* Sessions that libcurl keeps under these settings, as bytes that only it can read: they are saved and
 * loaded with those of our own connections. A new value replaces the old one; without memory the old
 * one stays. */
void tls_kept_foreign_set(struct tls *tls, struct slice sessions);
/* Until the next call. */
struct slice tls_kept_foreign(const struct tls *tls);
/* Why the last verification under tls_apply() failed; false: it did not. Forgets it. */
bool tls_problem_take(struct tls *tls, struct why *why);
/* When the first of the certificates expires that were verified under tls_apply(); 0: none was. */
int64_t tls_applied_end_s(const struct tls *tls);
/* What a return code of mbedTLS's handshake means, as far as that tells without the connection. */
enum err tls_handshake_text(const struct tls *tls, int code, struct why *why);

#endif
