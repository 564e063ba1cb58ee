#include "frame/frame_error.h"

/* Slots of the fields. */
enum {
    ERROR_MESSAGE = 4,
    ERROR_DETAILS = 6,
    ERROR_DETAILS_TYPE = 8,
    ERROR_RETRY_AFTER_MS = 10,
    ERROR_MAY_HAVE_RUN = 12,
    ERROR_SLOTS_SIZE = 10 /* bytes */
};

static const struct smf_flat_field error_fields[] = {
    {"message", NULL, 0, ERROR_MESSAGE, SMF_FLAT_STRING, 0, 0, {0, 0, 0}},
    {"details", NULL, 1, ERROR_DETAILS, SMF_FLAT_INLINE_VECTOR, 1, 0, {0, 0, 0}},
    {"details_type", NULL, 0, ERROR_DETAILS_TYPE, SMF_FLAT_STRING, 0, 0, {0, 0, 0}},
    {"retry_after_ms", NULL, 4, ERROR_RETRY_AFTER_MS, SMF_FLAT_INLINE, 4, 0, {0, 0, 0}},
    {"may_have_run", NULL, 1, ERROR_MAY_HAVE_RUN, SMF_FLAT_INLINE, 1, 0, {0, 0, 0}},
};
static const struct smf_flat_table error_table = {"Error", error_fields, 5, 0};

int smf__error_read(const void *payload, size_t size_bytes, struct smf__error *error_out,
                    struct smf_flat_error *problem_out)
{
    const void *table = NULL; /* one without fields */
    int status = SMF_OK;
    if (size_bytes != 0) {
        status = smf_flat_verify(&error_table, payload, size_bytes, problem_out);
        table = status == SMF_OK ? smf_flat_root(payload) : NULL;
    }
    error_out->message = smf_flat_get_string(table, ERROR_MESSAGE);
    error_out->details = smf_flat_get_vector(table, ERROR_DETAILS);
    error_out->details_type = smf_flat_get_string(table, ERROR_DETAILS_TYPE);
    error_out->retry_after_ms = smf_flat_get_u32(table, ERROR_RETRY_AFTER_MS, 0);
    error_out->may_have_run = smf_flat_get_bool(table, ERROR_MAY_HAVE_RUN, true);
    return status;
}

static uint32_t build_text(struct smf_flat_builder *builder, struct smf_flat_string text)
{
    return text.size_bytes != 0 ? smf_flat_build_copy(builder, text).ref : 0;
}

static void add_ref(struct smf_flat_builder *builder, uint32_t slot, uint32_t ref)
{
    if (ref != 0)
        smf_flat_add_ref(builder, slot, ref);
}

int smf__error_write(struct smf_flat_builder *builder, const struct smf__error *error)
{
    uint32_t type = build_text(builder, error->details_type), details = 0;
    if (error->details.count != 0)
        details = smf_flat_build_u8_vector(builder, error->details.data, error->details.count).ref;
    uint32_t message = build_text(builder, error->message);
    smf_flat_start_table(builder, ERROR_SLOTS_SIZE);
    smf_flat_add_u32(builder, ERROR_RETRY_AFTER_MS, error->retry_after_ms, 0);
    add_ref(builder, ERROR_DETAILS_TYPE, type);
    add_ref(builder, ERROR_DETAILS, details);
    add_ref(builder, ERROR_MESSAGE, message);
    smf_flat_add_bool(builder, ERROR_MAY_HAVE_RUN, error->may_have_run, true);
    return smf_flat_finish(builder, smf_flat_end_table(builder, NULL, 0), NULL);
}
