/* The mailbox: what other threads want done by the driver. */
#include "core/core.h"

struct smf__letter {
    smf__letter_function function;
    void *context;
};

int smf__mailbox_open(struct smf_core *core)
{
    return smf__ring_open(&core->mailbox, SMF_MAILBOX_CAPACITY, sizeof(struct smf__letter));
}

int smf_core_post(struct smf_core *core, void (*function)(struct smf_core *core, void *context),
                  void *context)
{
    struct smf__letter letter = {function, context};

    if (core == NULL || function == NULL)
        return SMF_EINVAL;
    if (!smf__core_is_ours(core))
        return SMF_ECLOSED;
    if (!smf__ring_push(core->mailbox, &letter))
        return SMF_ELIMIT;
    /* The letter is in the ring before the look at sleeping; the driver sets sleeping before it looks
     * into the ring. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    smf__core_ring_bell(core);
    return SMF_OK;
}

/* At most a full ring, so that threads that post for ever do not keep the driver here. A letter may
 * collect one send or two: what would not fit waits for the next turn. */
void smf__core_read_mail(struct smf_core *core)
{
    struct smf__letter letter;

    for (uint32_t i = 0; i < SMF_MAILBOX_CAPACITY; i++) {
        if (core->turn.send_count + 2 > core->turn.send_capacity ||
            !smf__ring_pop(core->mailbox, &letter))
            return;
        letter.function(core, letter.context);
        core->counts.worked = 1;
    }
}

void smf__core_forget_mail(struct smf_core *core)
{
    struct smf__letter letter;

    while (smf__ring_pop(core->mailbox, &letter)) {
        if (core->room.forget != NULL)
            core->room.forget(core->room.context, letter.function, letter.context);
    }
}
