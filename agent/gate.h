/* The gate: may a schema take the place of those that events of its stream have had? It is asked
 * here, at the edge, before anything is sent under it. The versions are those that the buffer keeps,
 * the mode is the stream's `compatibility`.
 *
 * A version whose text is known was accepted before, and is again. weir.Raw, what a stream has without
 * a schema, is compared with nothing: a site begins with it, and writes a schema later. */
#ifndef WEIR_AGENT_GATE_H
#define WEIR_AGENT_GATE_H

#include "buffer/buffer.h"
#include "uplink/avro/compat.h"

#define GATE_FINDING_MAX 8 /* that are told; more are counted */
#define GATE_TEXT_SIZE 1024
#define GATE_VERSION_MAX 512 /* of a stream; one more is refused */

struct gate_version {
    uint32_t number; /* the buffer's */
    struct slice json;
};

/* Texts are cut where they are longer. */
struct gate_finding {
    uint32_t old; /* the version that does not go with it */
    bool is_forward;
    const char *kind;
    char location[160];
    char text[240];
    char way_out[240];
};

struct gate_refusal {
    enum avro_mode mode;
    uint32_t count; /* of all findings; 0: there is no answer, and `why` says why */
    struct why why;
    bool is_told; /* for who keeps it: to the centre */
    struct gate_finding findings[GATE_FINDING_MAX];
};

struct gate_answer {
    uint32_t number;              /* accepted: the buffer's number of it, once it has one; refused:
                                     that of the newest version that can be read; 0: none */
    struct gate_refusal *refusal; /* NULL: accepted; free() */
    uint32_t unread;              /* a version that can't be read and was not compared; 0: none */
};

/* Pure. Versions oldest first. */
enum err gate_check(const struct gate_version *versions, size_t count,
                    const struct avro_schema *schema, enum avro_mode mode,
                    struct gate_answer *ret) MUST_USE;
/* Checks against what the buffer keeps of the stream; what is accepted is added to it, durably. On
 * the buffer's thread. */
enum err gate_admit(struct buffer *buffer, uint16_t stream, const struct avro_schema *schema,
                    enum avro_mode mode, struct gate_answer *ret, struct why *why) MUST_USE;

/* CRC-64-AVRO of the canonical form, little-endian. ERR_NOMEM; ERR_REJECTED: that is too long. */
enum err gate_fingerprint(const struct avro_schema *schema, uint8_t ret[8]) MUST_USE;

/* What stands in the way, in one line each: "KIND LOCATION (schema 3): what is wrong: what to do".
 * False: there is no line of this index. The last says how many more there are. */
bool gate_refusal_line(const struct gate_refusal *refusal, uint32_t index, char *ret, size_t size);
/* All lines in one text, cut at its end. */
void gate_refusal_text(const struct gate_refusal *refusal, char *ret, size_t size);
/* {"compatibility":"backward","count":1,"text":"","findings":[{"schema":3,"direction":"backward",
 * "kind":"...","location":"/fields/1","text":"...","way_out":"..."}]}; `text` where there is no
 * answer. */
void gate_refusal_put(const struct gate_refusal *refusal, struct out *json);

#endif
