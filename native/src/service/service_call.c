/* Calls that are served: from a request to a handler, and from what it returned to a reply. */
#include <smf/service.h>

#define CODE_MIN 100u /* of what a handler may return */
#define CODE_MAX 599u

/* What a call's state may be; whatever else is an answered one. */
enum {
    CALL_SERVED = 1, /* by a handler, which has not returned */
    CALL_DEFERRED,   /* what the handler has is not the call any more: */
    CALL_LATER,      /* this is */
    CALL_ANSWERED
};

static int is_compressed(const struct smf_event *event)
{
    return event->compression == SMF_COMPRESSION_ZSTD || event->compression == SMF_COMPRESSION_LZ4;
}

/* Tells the server's owner why a call is answered with a code that is not the handler's. */
static uint32_t tell(const struct smf_call *call, uint32_t code, const char *text)
{
    if (call->problem != NULL)
        call->problem(call, code, text, call->context);
    return code;
}

/* Returns 0 when a request is what its method takes. */
static uint32_t refuse(const struct smf_call *call)
{
    struct smf_flat_error error;
    char text[SMF_ERROR_TEXT_SIZE_BYTES];

    if (smf_flat_verify(call->method->in, call->payload, call->size_bytes, &error) == SMF_OK)
        return 0;
    smf_flat_error_text(&error, text, sizeof text);
    return tell(call, SMF_CODE_BAD_REQUEST, text);
}

const void *smf_call_begin(struct smf_call *call, struct smf_core *core,
                           const struct smf_event *event, const struct smf_method *method,
                           int implemented, int unverified)
{
    uint32_t code = 0;

    call->core = core;
    call->method = method;
    call->payload = event->payload;
    call->buffer = event->buffer;
    call->conn = event->conn;
    call->size_bytes = event->size_bytes;
    call->session = event->session;
    call->state = CALL_SERVED;
    smf_flat_builder_init_core(&call->reply, core);
    if (!implemented)
        code = tell(call, SMF_CODE_NOT_IMPLEMENTED, "the method has no handler");
    else if (is_compressed(event))
        code = tell(call, SMF_CODE_NOT_IMPLEMENTED, "the request is compressed");
    else if (!unverified)
        code = refuse(call);
    if (code == 0)
        return smf_flat_root(event->payload);
    smf_call_end(call, code);
    return NULL;
}

static int has_required(const struct smf_flat_table *table)
{
    for (uint32_t i = 0; i < table->field_count; i++) {
        if (table->fields[i].required)
            return 1;
    }
    return 0;
}

static uint32_t nothing_was_built(const struct smf_call *call)
{
    if (!has_required(call->method->out))
        return SMF_CODE_OK; /* nothing is what it says */
    return tell(call, SMF_CODE_INTERNAL,
                "no reply was built, and one has fields that are required");
}

/* The code that is still to be sent; 0: the reply is on its way. */
static uint32_t send_reply(struct smf_call *call)
{
    struct smf_flat_builder *reply = &call->reply;
    int status;

    if (reply->status == SMF_OK && reply->used == 0 && !reply->open)
        return nothing_was_built(call);
    if (reply->status != SMF_OK)
        return tell(call, SMF_CODE_INTERNAL, reply->problem);
    if (!reply->finished)
        return tell(call, SMF_CODE_INTERNAL, "the reply was begun and not finished");
    status = smf_core_send_built(call->core, call->conn, call->session, SMF_CODE_OK, reply);
    if (status == SMF_OK)
        return 0;
    if (status == SMF_EINVAL)
        return tell(call, SMF_CODE_TOO_LARGE, "the reply is larger than may be sent");
    return tell(call, SMF_CODE_INTERNAL, smf_status_name(status));
}

static void answer(struct smf_call *call, uint32_t code)
{
    if (code == SMF_CALL_LATER)
        code = tell(call, SMF_CODE_INTERNAL,
                    "the handler returned SMF_CALL_LATER without smf_call_defer");
    else if (code < CODE_MIN || code > CODE_MAX)
        code = tell(call, SMF_CODE_INTERNAL,
                    "what the handler returned is no code: success is SMF_CODE_OK");
    else if (code == SMF_CODE_OK)
        code = send_reply(call);
    smf_flat_builder_fini(&call->reply);
    call->state = CALL_ANSWERED;
    if (code != 0 && smf_core_send_code(call->core, call->conn, call->session, code) != SMF_OK)
        smf_core_disconnect(call->core, call->conn); /* or the caller would wait for ever */
}

void smf_call_end(struct smf_call *call, uint32_t code)
{
    if (call->state == CALL_SERVED)
        answer(call, code);
}

uint32_t smf_call_defer(struct smf_call *call, struct smf_call *later_out)
{
    if (call->state != CALL_SERVED)
        return SMF_CALL_LATER;
    *later_out = *call;
    later_out->state = CALL_LATER;
    call->state = CALL_DEFERRED;
    smf_flat_builder_init(&call->reply, NULL, 0); /* its memory is that of later_out */
    call->reply.grow = NULL;
    call->reply.status = SMF_EINVAL;
    call->reply.problem = "the call was deferred: build in what smf_call_defer has filled";
    smf_core_retain(call->core, call->buffer);
    return SMF_CALL_LATER;
}

void smf_call_answer(struct smf_call *later, uint32_t code)
{
    struct smf_buffer *buffer = later->buffer;

    if (later->state != CALL_LATER)
        return;
    answer(later, code);
    later->buffer = NULL;
    later->payload = NULL;
    smf_core_release(later->core, buffer);
}
