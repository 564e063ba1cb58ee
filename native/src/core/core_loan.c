/* The loan: memory in which the driver builds frames, from the top downwards. */
#include "core/core.h"

static void loan_begin(struct smf_core *core, struct smf_buffer *buffer)
{
    core->turn.loan_buffer = buffer;
    core->turn.loan = buffer->data;
    core->turn.loan_top = buffer->data + buffer->capacity;
}

/* A loan that has frames in it stays until they are sent. There is room: a turn retires at most one
 * loan for each event and each send. */
static void loan_retire(struct smf_core *core)
{
    if (core->turn.loan_buffer == NULL)
        return;
    smf__check(core->retired_count < SMF__CORE_RETIRED_MAX);
    core->retired[core->retired_count++] = core->turn.loan_buffer;
    core->turn.loan_buffer = NULL;
    core->turn.loan = core->turn.loan_top = NULL;
}

int smf_core_loan(struct smf_core *core, uint64_t size_bytes)
{
    struct smf_buffer *buffer;

    if (core->turn.loan_buffer != NULL &&
        (uint64_t)(core->turn.loan_top - core->turn.loan) >= size_bytes)
        return SMF_OK;
    buffer = smf__pool_get(core->pool, size_bytes > SMF__CORE_LOAN_SIZE_BYTES
                                           ? size_bytes
                                           : SMF__CORE_LOAN_SIZE_BYTES);
    if (buffer == NULL)
        return SMF_ENOMEM;
    loan_retire(core);
    loan_begin(core, buffer);
    return SMF_OK;
}

void smf__core_loan_adopt(struct smf_core *core, struct smf_buffer *buffer, uint8_t *top)
{
    loan_retire(core);
    loan_begin(core, buffer);
    core->turn.loan_top = top;
}

/* The deposed handler may still write anywhere below loan_top, while frames above it wait to be sent:
 * both hold the buffer. */
struct smf_buffer *smf_core_loan_detach(struct smf_core *core)
{
    struct smf_buffer *buffer = core->turn.loan_buffer;

    if (buffer == NULL)
        return NULL;
    smf__buffer_ref(buffer);
    loan_retire(core);
    (void)smf_core_loan(core, 0);
    return buffer;
}

void smf__core_loans_reset(struct smf_core *core)
{
    struct smf_buffer *loan = core->turn.loan_buffer;

    for (uint32_t i = 0; i < core->retired_count; i++)
        smf__buffer_unref(core->pool, core->retired[i]);
    core->retired_count = 0;
    if (loan != NULL && loan->refs == 1 && loan->capacity == SMF__CORE_LOAN_SIZE_BYTES) {
        core->turn.loan_top = loan->data + loan->capacity;
        return;
    }
    if (loan != NULL) { /* a backlog still sends from it, or it was made for one large frame */
        smf__buffer_unref(core->pool, loan);
        core->turn.loan_buffer = NULL;
        core->turn.loan = core->turn.loan_top = NULL;
    }
    (void)smf_core_loan(core, 0);
}

void smf_core_retain(struct smf_core *core, struct smf_buffer *buffer)
{
    (void)core;
    if (buffer != NULL) /* a payload of static storage */
        smf__buffer_ref(buffer);
}

void smf_core_release(struct smf_core *core, struct smf_buffer *buffer)
{
    if (buffer == NULL)
        return;
    smf__buffer_unref(core->pool, buffer);
    core->busy = 1; /* somebody may have waited for memory */
}
