#include "frame/frame_hello.h"

#include <inttypes.h>
#include <stdio.h>

#include <smf/flat_verify.h>

/* Slots of the fields. */
enum {
    HELLO_LEVEL = 4,
    HELLO_FEATURES = 6,
    HELLO_COMPRESSIONS = 8,
    HELLO_FRAME_SIZE_BYTES_MAX = 10,
    HELLO_CALLS_MAX = 12,
    HELLO_CREDIT_BYTES = 14,
    HELLO_MESSAGE_SIZE_BYTES_MAX = 16,
    HELLO_SLOTS_SIZE = 14 /* bytes */
};

static const struct smf_flat_field hello_fields[] = {
    {"level", NULL, 4, HELLO_LEVEL, SMF_FLAT_INLINE, 4, 0, {0, 0, 0}},
    {"features", NULL, 8, HELLO_FEATURES, SMF_FLAT_INLINE, 8, 0, {0, 0, 0}},
    {"compressions", NULL, 4, HELLO_COMPRESSIONS, SMF_FLAT_INLINE, 4, 0, {0, 0, 0}},
    {"frame_size_bytes_max", NULL, 4, HELLO_FRAME_SIZE_BYTES_MAX, SMF_FLAT_INLINE, 4, 0, {0, 0, 0}},
    {"calls_max", NULL, 4, HELLO_CALLS_MAX, SMF_FLAT_INLINE, 4, 0, {0, 0, 0}},
    {"credit_bytes", NULL, 4, HELLO_CREDIT_BYTES, SMF_FLAT_INLINE, 4, 0, {0, 0, 0}},
    {"message_size_bytes_max",
     NULL,
     8,
     HELLO_MESSAGE_SIZE_BYTES_MAX,
     SMF_FLAT_INLINE,
     8,
     0,
     {0, 0, 0}},
};
static const struct smf_flat_table hello_table = {"Hello", hello_fields, 7, 0};

static int refuse(struct smf__hello *hello, struct smf_error *error, const char *field,
                  uint64_t has, uint64_t needs)
{
    if (error != NULL) {
        memset(error, 0, sizeof(*error));
        error->status = SMF_EINVAL;
        snprintf(error->text, sizeof(error->text),
                 "Hello.%s: %" PRIu64 " is too small: level 2 needs %" PRIu64, field, has, needs);
    }
    memset(hello, 0, sizeof(*hello));
    return SMF_EINVAL;
}

/* What keeps level 2 from working with these limits. Of level 1 they mean nothing. */
static int check(struct smf__hello *hello, struct smf_error *error)
{
    if (hello->level == 0) {
        refuse(hello, error, "level", 0, 0);
        if (error != NULL)
            snprintf(error->text, sizeof(error->text),
                     "Hello.level: 0 is no level: the lowest is 1");
        return SMF_EINVAL;
    }
    if (hello->level == 1)
        return SMF_OK;
    if (hello->frame_size_bytes_max < SMF__HELLO_FRAME_SIZE_BYTES_MIN)
        return refuse(hello, error, "frame_size_bytes_max", hello->frame_size_bytes_max,
                      SMF__HELLO_FRAME_SIZE_BYTES_MIN);
    if (hello->calls_max == 0)
        return refuse(hello, error, "calls_max", 0, 1);
    if (hello->credit_bytes < SMF__HELLO_CREDIT_BYTES_MIN)
        return refuse(hello, error, "credit_bytes", hello->credit_bytes,
                      SMF__HELLO_CREDIT_BYTES_MIN);
    if (hello->message_size_bytes_max == 0)
        return refuse(hello, error, "message_size_bytes_max", 0, 1);
    return SMF_OK;
}

int smf__hello_read(const void *payload, size_t size_bytes, struct smf__hello *hello_out,
                    struct smf_error *error_out)
{
    struct smf_flat_error problem;
    memset(hello_out, 0, sizeof(*hello_out));
    if (smf_flat_verify(&hello_table, payload, size_bytes, &problem) != SMF_OK) {
        if (error_out != NULL) {
            memset(error_out, 0, sizeof(*error_out));
            error_out->status = SMF_EINVAL;
            smf_flat_error_text(&problem, error_out->text, sizeof(error_out->text));
        }
        return SMF_EINVAL;
    }
    const void *table = smf_flat_root(payload);
    hello_out->level = smf_flat_get_u32(table, HELLO_LEVEL, 0);
    hello_out->features = smf_flat_get_u64(table, HELLO_FEATURES, 0);
    hello_out->compressions = smf_flat_get_u32(table, HELLO_COMPRESSIONS, 0);
    hello_out->frame_size_bytes_max = smf_flat_get_u32(table, HELLO_FRAME_SIZE_BYTES_MAX, 0);
    hello_out->calls_max = smf_flat_get_u32(table, HELLO_CALLS_MAX, 0);
    hello_out->credit_bytes = smf_flat_get_u32(table, HELLO_CREDIT_BYTES, 0);
    hello_out->message_size_bytes_max = smf_flat_get_u64(table, HELLO_MESSAGE_SIZE_BYTES_MAX, 0);
    return check(hello_out, error_out);
}

/* In the order of the golden bytes: what is larger first, so that nothing lies between the fields. */
int smf__hello_write(struct smf_flat_builder *builder, const struct smf__hello *hello)
{
    smf_flat_start_table(builder, HELLO_SLOTS_SIZE);
    smf_flat_add_u64(builder, HELLO_MESSAGE_SIZE_BYTES_MAX, hello->message_size_bytes_max, 0);
    smf_flat_add_u64(builder, HELLO_FEATURES, hello->features, 0);
    smf_flat_add_u32(builder, HELLO_CREDIT_BYTES, hello->credit_bytes, 0);
    smf_flat_add_u32(builder, HELLO_CALLS_MAX, hello->calls_max, 0);
    smf_flat_add_u32(builder, HELLO_FRAME_SIZE_BYTES_MAX, hello->frame_size_bytes_max, 0);
    smf_flat_add_u32(builder, HELLO_COMPRESSIONS, hello->compressions, 0);
    smf_flat_add_u32(builder, HELLO_LEVEL, hello->level, 0);
    return smf_flat_finish(builder, smf_flat_end_table(builder, NULL, 0), NULL);
}

static uint32_t lower(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

void smf__hello_agree(const struct smf__hello *ours, const struct smf__hello *theirs,
                      struct smf__hello *agreed_out)
{
    uint64_t message = ours->message_size_bytes_max < theirs->message_size_bytes_max
                           ? ours->message_size_bytes_max
                           : theirs->message_size_bytes_max;
    struct smf__hello agreed = {
        .level = lower(ours->level, theirs->level),
        .compressions = ours->compressions & theirs->compressions,
        .features = ours->features & theirs->features,
        .frame_size_bytes_max = lower(ours->frame_size_bytes_max, theirs->frame_size_bytes_max),
        .calls_max = lower(ours->calls_max, theirs->calls_max),
        .credit_bytes = lower(ours->credit_bytes, theirs->credit_bytes),
        .message_size_bytes_max = message,
    };
    *agreed_out = agreed;
}
