/* Calls that are served: from a request to a handler, and from what it returned to a reply. */
#include "rpc/rpc.h"
#include "service/service_filter.h"

#define CODE_MIN 100u /* of what a handler may return */
#define CODE_MAX 599u

/* What a call's state may be; whatever else is an answered one. */
enum {
    CALL_SERVED = 1, /* by a handler, which has not returned */
    CALL_DEFERRED,   /* what the handler has is not the call any more: */
    CALL_LATER,      /* this is */
    CALL_ANSWERED
};

/* Tells the server's owner why a call is answered with a code that is not the handler's. */
static uint32_t tell(const struct smf_call *call, uint32_t code, const char *text)
{
    if (call->problem != NULL)
        call->problem(call, code, text, call->context);
    return code;
}

/* Returns 0 when a request is what its method takes. */
static uint32_t refuse(const struct smf_call *call, uint8_t compression, int implemented,
                       int unverified)
{
    struct smf_flat_error error;
    char text[SMF_ERROR_TEXT_SIZE_BYTES];

    if (!implemented)
        return tell(call, SMF_CODE_NOT_IMPLEMENTED, "the method has no handler");
    if (smf__is_compressed(compression))
        return tell(call, SMF_CODE_NOT_IMPLEMENTED, "the request is compressed");
    if (unverified ||
        smf_flat_verify(call->method->in, call->payload, call->size_bytes, &error) == SMF_OK)
        return 0;
    smf_flat_error_text(&error, text, sizeof text);
    return tell(call, SMF_CODE_BAD_REQUEST, text);
}

/* Has a request pass its filters, before anybody looks into it. Returns 0, or the code that one has stopped
 * it with. */
static uint32_t pass_filters(struct smf_call *call, uint8_t *compression)
{
    struct smf__filtered *filtered = smf__filter_begin(call->core, call->core->filters);
    struct smf_filter_call *passing;
    uint32_t code;

    call->core->filters = NULL; /* they are taken: what the handler dispatches has its own */
    if (filtered == NULL)
        return tell(call, SMF_CODE_UNAVAILABLE, "there is no memory for its way through filters");
    passing = call->filtered = &filtered->call;
    passing->method = call->method;
    passing->conn = call->conn;
    passing->session = call->session;
    passing->side = SMF_FILTER_SERVER;
    passing->payload = call->payload;
    passing->size_bytes = passing->request_size_bytes = call->size_bytes;
    passing->compression = passing->request_compression = *compression;
    code = smf__filter_request(filtered);
    if (code != 0 && code != SMF_CODE_OK)
        return tell(call, code,
                    passing->problem != NULL ? passing->problem : "a filter has stopped the call");
    if (filtered->put != NULL && code == 0) {
        call->payload = passing->payload;
        call->size_bytes = passing->size_bytes;
        call->buffer = filtered->put;
    }
    *compression = passing->compression;
    return code;
}

const void *smf_call_begin(struct smf_call *call, struct smf_core *core,
                           const struct smf_event *event, const struct smf_method *method,
                           int implemented, int unverified)
{
    uint8_t compression = event->compression;
    uint32_t code = 0;

    call->core = core;
    call->method = method;
    call->payload = event->payload;
    call->buffer = event->buffer;
    call->conn = event->conn;
    call->size_bytes = event->size_bytes;
    call->session = event->session;
    call->state = CALL_SERVED;
    call->filtered = NULL;
    smf_flat_builder_init_core(&call->reply, core);
    if (core->filters != NULL)
        code = pass_filters(call, &compression);
    if (code == 0)
        code = refuse(call, compression, implemented, unverified);
    if (code == 0)
        return smf_flat_root(call->payload);
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

/* Is what was built a reply? Returns SMF_CODE_OK, or the code in its place. *nothing_out: nothing was built, and
 * an empty table is meant. */
static uint32_t look_at_reply(const struct smf_call *call, int *nothing_out)
{
    const struct smf_flat_builder *reply = &call->reply;

    *nothing_out = reply->status == SMF_OK && reply->used == 0 && !reply->open;
    if (*nothing_out)
        return nothing_was_built(call);
    if (reply->status != SMF_OK)
        return tell(call, SMF_CODE_INTERNAL, reply->problem);
    if (!reply->finished)
        return tell(call, SMF_CODE_INTERNAL, "the reply was begun and not finished");
    return SMF_CODE_OK;
}

/* The code that is still to be sent; 0: the reply is on its way. */
static uint32_t sent(const struct smf_call *call, int status)
{
    if (status == SMF_OK)
        return 0;
    if (status == SMF_EINVAL)
        return tell(call, SMF_CODE_TOO_LARGE, "the reply is larger than may be sent");
    return tell(call, SMF_CODE_INTERNAL, smf_status_name(status));
}

/* Likewise. */
static uint32_t send_reply(struct smf_call *call)
{
    int nothing;
    uint32_t code = look_at_reply(call, &nothing);

    if (code != SMF_CODE_OK || nothing)
        return code;
    return sent(call, smf_core_send_built(call->core, call->conn, call->session, SMF_CODE_OK,
                                          &call->reply));
}

/* What is no code becomes 500. */
static uint32_t check_code(const struct smf_call *call, uint32_t code, const char *problem)
{
    return code < CODE_MIN || code > CODE_MAX ? tell(call, SMF_CODE_INTERNAL, problem) : code;
}

/* Has a reply pass the filters, and sends what comes of it. Returns the code that is still to be sent, or 0. */
static uint32_t send_filtered(struct smf_call *call, uint32_t code)
{
    struct smf__filtered *filtered = (struct smf__filtered *)call->filtered;
    struct smf_filter_call *passing = call->filtered;
    const uint8_t *built = NULL;
    int nothing = 1;

    if (filtered->stopped == 0) {
        smf__filter_turn(filtered);
        if (code == SMF_CODE_OK)
            code = look_at_reply(call, &nothing);
        if (code == SMF_CODE_OK && !nothing) {
            passing->payload = built = smf_flat_payload(&call->reply);
            passing->size_bytes = smf_flat_size_bytes(&call->reply);
        }
    }
    passing->code = code;
    smf__filter_reply(filtered);
    code = check_code(call, passing->code, "what a filter has made of the reply's code is none");
    if (code != SMF_CODE_OK)
        return code;
    if (filtered->put != NULL) {
        smf_flat_builder_fini(&call->reply); /* first: it may hold the loan */
        passing->status = smf__filter_send(filtered, call->conn, call->session, SMF_CODE_OK);
    } else if (built != NULL) {
        passing->status =
            smf_core_send_built(call->core, call->conn, call->session, SMF_CODE_OK, &call->reply);
    } else {
        return nothing_was_built(call);
    }
    return sent(call, passing->status);
}

/* Tells the filters how it ended. unsent: the code of a reply without a payload; 0: one with it was sent. */
static void end_filtered(struct smf_call *call, uint32_t unsent, int status)
{
    struct smf_filter_call *passing = call->filtered;

    if (unsent != 0) {
        passing->code = unsent;
        passing->size_bytes = SMF__EMPTY_TABLE_SIZE_BYTES;
        passing->compression = SMF_COMPRESSION_NONE;
        passing->status = status;
    }
    call->filtered = NULL;
    smf__filter_done((struct smf__filtered *)passing);
}

static void answer(struct smf_call *call, uint32_t code)
{
    int status = SMF_OK;

    if (code == SMF_CALL_LATER)
        code = tell(call, SMF_CODE_INTERNAL,
                    "the handler returned SMF_CALL_LATER without smf_call_defer");
    code = check_code(call, code, "what the handler returned is no code: success is SMF_CODE_OK");
    if (call->filtered != NULL)
        code = send_filtered(call, code);
    else if (code == SMF_CODE_OK)
        code = send_reply(call);
    smf_flat_builder_fini(&call->reply);
    call->state = CALL_ANSWERED;
    if (code != 0)
        status = smf_core_send_code(call->core, call->conn, call->session, code);
    if (status != SMF_OK)
        smf_core_disconnect(call->core, call->conn); /* or the caller would wait for ever */
    if (call->filtered != NULL)
        end_filtered(call, code, status);
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
    call->filtered = NULL;
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
