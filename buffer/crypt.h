/* Encryption at rest: what becomes of datums, cursors and set-aside events before they are written,
 * when there is a key. Inside of the buffer; pure, no SQLite.
 *
 * Encrypted content is: u8 CRYPT_MARK, 16 bytes salt, u64 counter (little-endian), ciphertext, 16
 * bytes tag. Each opening of a buffer draws its own random salt, and derives from the key the one
 * that it encrypts with; the counter is the nonce. It rises with each use, whether the outcome
 * reaches the disk or not, and nothing of it is ever read back: so no pair of key and nonce comes
 * twice, whatever became of the file in between. */
#ifndef WEIR_BUFFER_CRYPT_H
#define WEIR_BUFFER_CRYPT_H

#include "ports/lib/aead.h"

#define CRYPT_MARK 1 /* a zstd frame begins with 0x28 */
#define SALT_SIZE 16
#define CRYPT_HEAD_SIZE (1 + SALT_SIZE + 8)
#define CRYPT_MORE (CRYPT_HEAD_SIZE + AEAD_TAG_SIZE) /* bytes beyond the plain ones */
#define KEY_PROOF_SIZE (SALT_SIZE + 16)

struct crypt;

/* `key`: what is new is encrypted with it; NULL: it is not encrypted. `old_key`: what was encrypted
 * with it can be decrypted, too; NULL: there is none. Copies them. */
enum err crypt_open(struct crypt **ret, const uint8_t *key, const uint8_t *old_key) MUST_USE;
/* Wipes the keys. NULL is allowed. */
void crypt_close(struct crypt *crypt);
/* Is what is new to be encrypted? NULL: no. */
bool crypt_writes(const struct crypt *crypt);

/* Appends the encrypted content. `beside` has to be the same when it is decrypted. */
void crypt_encrypt(struct crypt *crypt, struct slice beside, struct slice plain, struct out *ret);
/* Is this encrypted? Of content that is else a zstd frame. */
bool crypt_is_encrypted(struct slice content);
/* Appends the plain content; `ret` is not over `content`. ERR_CORRUPT: none of the keys fits, or it
 * was changed; ERR_NOMEM. NULL has no key. *ret_is_old: it is not under `key`; may be NULL. */
enum err crypt_decrypt(struct crypt *crypt, struct slice beside, struct slice content,
                       struct out *ret, bool *ret_is_old) MUST_USE;

/* --- the proof that a key is the one of a file, which does not tell the key --- */

enum err crypt_prove(const uint8_t key[AEAD_KEY_SIZE], uint8_t ret[KEY_PROOF_SIZE]) MUST_USE;
/* Is it the proof of this key? NULL: of none. */
enum err crypt_proves(const uint8_t *key, const uint8_t proof[KEY_PROOF_SIZE], bool *ret) MUST_USE;

#endif
