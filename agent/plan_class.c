/* Which uplinks are reckoned, of those that are built. */
#include "agent/plan_impl.h"
#include "uplinks_built.h"

#define PLAN_azure_blob(DO)
#define PLAN_file(DO)
#define PLAN_firehose(DO)
#define PLAN_gcs(DO)
#define PLAN_http(DO)
#define PLAN_kafka(DO) DO(kafka)
#define PLAN_kinesis(DO) DO(kinesis)
#define PLAN_pubsub(DO) DO(pubsub)
#define PLAN_s3(DO)

#define DECLARE(name) extern const struct uplink_plan name##_uplink_plan;
#define LIST(name) &name##_uplink_plan,
#define DECLARATION(name) PLAN_##name(DECLARE)
#define PLAN(name) PLAN_##name(LIST)

UPLINKS_BUILT(DECLARATION)

static const struct uplink_plan *const plans[] = {UPLINKS_BUILT(PLAN) NULL};

const struct uplink_plan *plan_class(const struct uplink_class *class_)
{
    size_t i = 0;
    while (plans[i] && plans[i]->class_ != class_) {
        i++;
    }
    return plans[i];
}
