/* Calls that are served: from a request to a handler, and from what it returned to a reply. */
#include <smf/service.h>

static int is_compressed(const struct smf_event *event)
{
    return event->compression == SMF_COMPRESSION_ZSTD || event->compression == SMF_COMPRESSION_LZ4;
}

const void *smf_call_begin(struct smf_call *call, struct smf_core *core,
                           const struct smf_event *event, const struct smf_method *method,
                           int implemented, int unverified)
{
    call->core = core;
    call->method = method;
    call->payload = event->payload;
    call->buffer = event->buffer;
    call->conn = event->conn;
    call->size_bytes = event->size_bytes;
    call->session = event->session;
    call->reserved = 0;
    smf_flat_builder_init_core(&call->reply, core);
    if (!implemented || is_compressed(event)) {
        smf_call_end(call, SMF_CODE_NOT_IMPLEMENTED);
        return NULL;
    }
    if (!unverified &&
        smf_flat_verify(method->in, event->payload, event->size_bytes, NULL) != SMF_OK) {
        smf_call_end(call, SMF_CODE_BAD_REQUEST);
        return NULL;
    }
    return smf_flat_root(event->payload);
}

/* The code that is still to be sent; 0: the reply is on its way. */
static uint32_t send_reply(struct smf_call *call)
{
    if (call->reply.status == SMF_OK && call->reply.used == 0)
        return SMF_CODE_OK; /* nothing was built, and nothing is what it says */
    if (smf_core_send_built(call->core, call->conn, call->session, SMF_CODE_OK, &call->reply) ==
        SMF_OK)
        return 0;
    return SMF_CODE_INTERNAL;
}

static void answer(struct smf_call *call, uint32_t code)
{
    if (code == SMF_CODE_OK)
        code = send_reply(call);
    smf_flat_builder_fini(&call->reply);
    if (code != 0 && smf_core_send_code(call->core, call->conn, call->session, code) != SMF_OK)
        smf_core_disconnect(call->core, call->conn); /* or the caller would wait for ever */
}

void smf_call_end(struct smf_call *call, uint32_t code)
{
    if (code != SMF_CALL_LATER)
        answer(call, code);
    else
        smf_flat_builder_fini(&call->reply);
}

uint32_t smf_call_defer(struct smf_call *call, struct smf_call *later_out)
{
    smf_flat_builder_fini(&call->reply);
    *later_out = *call;
    smf_core_retain(call->core, call->buffer);
    return SMF_CALL_LATER;
}

void smf_call_answer(struct smf_call *later, uint32_t code)
{
    struct smf_buffer *buffer = later->buffer;

    answer(later, code == SMF_CALL_LATER ? SMF_CODE_INTERNAL : code);
    later->buffer = NULL;
    later->payload = NULL;
    smf_core_release(later->core, buffer);
}
