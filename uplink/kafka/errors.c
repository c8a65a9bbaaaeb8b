#include "uplink/kafka/errors.h"

#include "ports/attr.h"

/* clang-format off */
static const struct kafka_error table[] = {
    /* code, name                            first              again              stored? what a person can do */
    {-1,  "UNKNOWN_SERVER_ERROR",            KAFKA_THREE_TRIES, KAFKA_DOUBT,       false, "see the broker's log"},
    {0,   "NONE",                            KAFKA_DONE,        KAFKA_DONE,        true,  ""},
    {2,   "CORRUPT_MESSAGE",                 KAFKA_ONCE_MORE,   KAFKA_ONCE_MORE,   false, "see the broker's log"},
    {3,   "UNKNOWN_TOPIC_OR_PARTITION",      KAFKA_REFRESH,     KAFKA_REFRESH,     false, "create the topic, or check its name"},
    {5,   "LEADER_NOT_AVAILABLE",            KAFKA_REFRESH,     KAFKA_REFRESH,     false, ""},
    {6,   "NOT_LEADER_OR_FOLLOWER",          KAFKA_REFRESH,     KAFKA_REFRESH,     false, ""},
    {7,   "REQUEST_TIMED_OUT",               KAFKA_RETRY,       KAFKA_RETRY,       true,  "the followers are slow"},
    {8,   "BROKER_NOT_AVAILABLE",            KAFKA_REFRESH,     KAFKA_REFRESH,     false, ""},
    {9,   "REPLICA_NOT_AVAILABLE",           KAFKA_REFRESH,     KAFKA_REFRESH,     false, ""},
    {10,  "MESSAGE_TOO_LARGE",               KAFKA_HALVE,       KAFKA_DOUBT,       false, "the topic's max.message.bytes"},
    {13,  "NETWORK_EXCEPTION",               KAFKA_RETRY,       KAFKA_RETRY,       true,  ""},
    {14,  "COORDINATOR_LOAD_IN_PROGRESS",    KAFKA_RETRY,       KAFKA_RETRY,       false, ""},
    {15,  "COORDINATOR_NOT_AVAILABLE",       KAFKA_RETRY,       KAFKA_RETRY,       false, ""},
    {16,  "NOT_COORDINATOR",                 KAFKA_RETRY,       KAFKA_RETRY,       false, ""},
    {17,  "INVALID_TOPIC_EXCEPTION",         KAFKA_PARK,        KAFKA_PARK,        false, "correct the topic's name"},
    {18,  "RECORD_LIST_TOO_LARGE",           KAFKA_HALVE,       KAFKA_DOUBT,       false, "the topic's segment.bytes"},
    {19,  "NOT_ENOUGH_REPLICAS",             KAFKA_RETRY,       KAFKA_RETRY,       false, "fewer replicas in sync than min.insync.replicas"},
    {20,  "NOT_ENOUGH_REPLICAS_AFTER_APPEND",KAFKA_RETRY,       KAFKA_RETRY,       true,  "fewer replicas in sync than min.insync.replicas"},
    {21,  "INVALID_REQUIRED_ACKS",           KAFKA_PARK,        KAFKA_PARK,        false, "a fault of this program: please report it"},
    {29,  "TOPIC_AUTHORIZATION_FAILED",      KAFKA_PARK,        KAFKA_PARK,        false, "give the user WRITE on the topic"},
    {31,  "CLUSTER_AUTHORIZATION_FAILED",    KAFKA_PARK,        KAFKA_PARK,        false, "give the user WRITE on the topic, before 2.8 also IDEMPOTENT_WRITE on the cluster"},
    {32,  "INVALID_TIMESTAMP",               KAFKA_STAMP,       KAFKA_DOUBT,       false, "this machine's clock, or the topic's message.timestamp limits"},
    {33,  "UNSUPPORTED_SASL_MECHANISM",      KAFKA_PARK,        KAFKA_PARK,        false, "choose another sasl.mechanism"},
    {34,  "ILLEGAL_SASL_STATE",              KAFKA_PARK,        KAFKA_PARK,        false, "is SASL enabled on this port of the broker?"},
    {35,  "UNSUPPORTED_VERSION",             KAFKA_PARK,        KAFKA_PARK,        false, "the broker is older than 2.1"},
    {41,  "NOT_CONTROLLER",                  KAFKA_REFRESH,     KAFKA_REFRESH,     false, ""},
    {42,  "INVALID_REQUEST",                 KAFKA_PARK,        KAFKA_PARK,        false, "a fault of this program: please report it"},
    {43,  "UNSUPPORTED_FOR_MESSAGE_FORMAT",  KAFKA_PARK,        KAFKA_PARK,        false, "the topic's message.format.version is too old"},
    {44,  "POLICY_VIOLATION",                KAFKA_RETRY,       KAFKA_RETRY,       false, ""},
    {45,  "OUT_OF_ORDER_SEQUENCE_NUMBER",    KAFKA_DOUBT,       KAFKA_DOUBT,       false, ""},
    {46,  "DUPLICATE_SEQUENCE_NUMBER",       KAFKA_DONE,        KAFKA_DONE,        true,  ""},
    {47,  "INVALID_PRODUCER_EPOCH",          KAFKA_DOUBT,       KAFKA_DOUBT,       false, ""},
    {53,  "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", KAFKA_PARK,  KAFKA_PARK,        false, "give the user WRITE on the topic"},
    {54,  "SECURITY_DISABLED",               KAFKA_PARK,        KAFKA_PARK,        false, "security is not enabled on the broker"},
    {56,  "KAFKA_STORAGE_ERROR",             KAFKA_REFRESH,     KAFKA_REFRESH,     false, "a disk of the broker"},
    {58,  "SASL_AUTHENTICATION_FAILED",      KAFKA_PARK,        KAFKA_PARK,        false, "check sasl.user and sasl.password"},
    {59,  "UNKNOWN_PRODUCER_ID",             KAFKA_DOUBT,       KAFKA_DOUBT,       false, ""},
    {72,  "LISTENER_NOT_FOUND",              KAFKA_REFRESH,     KAFKA_REFRESH,     false, ""},
    {74,  "FENCED_LEADER_EPOCH",             KAFKA_REFRESH,     KAFKA_REFRESH,     false, ""},
    {76,  "UNSUPPORTED_COMPRESSION_TYPE",    KAFKA_PARK,        KAFKA_PARK,        false, "the broker does not take zstd: set compression_level to 0"},
    {87,  "INVALID_RECORD",                  KAFKA_REFUSED,     KAFKA_DOUBT,       false, "a compacted topic wants a key"},
    {89,  "THROTTLING_QUOTA_EXCEEDED",       KAFKA_RETRY,       KAFKA_RETRY,       false, ""},
    {100, "UNKNOWN_TOPIC_ID",                KAFKA_REFRESH,     KAFKA_REFRESH,     false, ""},
};
/* clang-format on */

static const struct kafka_error unknown = {
    INT16_MIN, "an unknown error", KAFKA_RETRY, KAFKA_RETRY, true, "see the broker's log"};

const struct kafka_error *kafka_error_of(int16_t code)
{
    for (unsigned i = 0; i < ARRAY_COUNT(table); i++) {
        if (table[i].code == code) {
            return &table[i];
        }
    }
    return &unknown;
}

const struct kafka_error *kafka_error_table(unsigned *ret_count)
{
    *ret_count = ARRAY_COUNT(table);
    return table;
}
