/* Calls that are served: from a request to a handler, and from what it returned to a reply. */
#include <string.h>

#include <smf/client.h>
#include <smf/flat.h>

#include "frame/frame_error.h"
#include "mem/mem_count.h"
#include "rpc/rpc.h"
#include "service/service_filter.h"
#include "service/service_record.h"

#define CODE_MIN 100u /* of what a handler may return */
#define CODE_MAX 599u
#define NS_PER_US 1000u
#define MESSAGE_SIZE_BYTES_MAX 4096u /* of an error's message; longer ones are cut */

uint32_t smf__call_tell(const struct smf_call *call, uint32_t code, const char *text)
{
    if (call->problem != NULL)
        call->problem(call, code, text, call->context);
    return code;
}

static struct smf_flat_string text_of(const char *text, size_t size_max)
{
    size_t size = text != NULL ? strlen(text) : 0;

    if (size > size_max) {
        for (size = size_max; size > 0 && ((uint8_t)text[size] & 0xc0) == 0x80;) /* whole letters */
            size--;
    }
    return (struct smf_flat_string){text != NULL ? text : "", (uint32_t)size};
}

uint32_t smf__call_refuse(struct smf_call *call, uint32_t code, const char *text)
{
    struct smf__error error = {.message = text_of(text, MESSAGE_SIZE_BYTES_MAX)};

    (void)smf__call_tell(call, code, text);
    if (call->level < 2 || (call->flags & SMF_FRAME_ONE_WAY))
        return code;
    call->failed = code;
    (void)smf__error_write(&call->reply, &error);
    return code;
}

uint32_t smf__call_refuse_over_limit(struct smf_call *call)
{
    struct smf__rpc *rpc = smf__rpc_of(call->core);

    if (call->core->deferred < rpc->config.running_max)
        return 0; /* the core counts calls while their connections last */
    smf__count(rpc->stats.refused_running, 1);
    smf__count(rpc->stats.refused_too_many, 1);
    return smf__call_refuse(call, SMF_CODE_LIMIT, "too many calls run whose callers have gone");
}

/* Returns 0 when a call is worth passing filters. What they would do for another one is in vain. */
static uint32_t look_at_call(struct smf_call *call, int implemented)
{
    if (!implemented)
        return smf__call_refuse(call, SMF_CODE_NOT_IMPLEMENTED, "the method has no handler");
    if (call->flags & SMF_FRAME_STREAM)
        return smf__call_refuse(call, SMF_CODE_BAD_REQUEST,
                                "the method does not stream: call it without");
    if (call->deadline_ns != 0 && smf__clock_now_ns(&call->core->clock) >= call->deadline_ns)
        return smf__call_refuse(call, SMF_CODE_DEADLINE, "its deadline has passed");
    return smf__call_refuse_over_limit(call);
}

/* Returns 0 when a request, as filters have left it, is what its method takes. */
static uint32_t look_at_request(struct smf_call *call, uint8_t compression, int unverified)
{
    struct smf_flat_error error;
    char text[SMF_ERROR_TEXT_SIZE_BYTES];

    if (smf__is_compressed(compression))
        return smf__call_refuse(call, SMF_CODE_NOT_IMPLEMENTED, "the request is compressed");
    if (unverified ||
        smf_flat_verify(call->method->in, call->payload, call->size_bytes, &error) == SMF_OK)
        return 0;
    smf_flat_error_text(&error, text, sizeof text);
    return smf__call_refuse(call, SMF_CODE_BAD_REQUEST, text);
}

uint32_t smf__call_pass_filters(struct smf_call *call, uint8_t *compression)
{
    struct smf__filtered *filtered = smf__filter_begin(call->core, call->core->filters);
    struct smf_filter_call *passing;
    uint32_t code;

    call->core->filters = NULL; /* they are taken: what the handler dispatches has its own */
    if (filtered == NULL)
        return smf__call_refuse(call, SMF_CODE_UNAVAILABLE,
                                "there is no memory for its way through filters");
    passing = call->filtered = &filtered->call;
    passing->method = call->method;
    passing->conn = call->conn;
    passing->session = call->session;
    passing->side = SMF_FILTER_SERVER;
    passing->payload = call->payload;
    passing->size_bytes = passing->request_size_bytes = call->size_bytes;
    passing->compression = passing->request_compression = *compression;
    passing->metadata = call->metadata;
    passing->deadline_ns = call->deadline_ns;
    passing->level = call->level;
    passing->flags = call->flags & (SMF_FRAME_ONE_WAY | SMF_FRAME_STREAM);
    if (call->level == 2)
        passing->compressions = smf__filter_compressions(call->core, call->conn, 0);
    code = smf__filter_request(filtered);
    if (code != 0 && code != SMF_CODE_OK)
        return smf__call_refuse(call, code,
                                passing->problem != NULL ? passing->problem
                                                         : "a filter has stopped the call");
    if (filtered->put != NULL && code == 0) {
        call->payload = passing->payload;
        call->size_bytes = passing->size_bytes;
        call->buffer = filtered->put;
    }
    if (code == 0) {
        call->metadata = passing->metadata;
        if (filtered->blocks != 0)
            call->metadata_buffer = filtered->block;
    }
    *compression = passing->compression;
    return code;
}

/* What a frame says of its call beside the payload. */
static void begin_metadata(struct smf_call *call, const struct smf_event *event)
{
    uint32_t left_us;

    call->metadata = NULL;
    call->metadata_buffer = NULL;
    call->deadline_ns = 0;
    if (event->metadata_size_bytes == 0)
        return;
    call->metadata = event->payload - event->metadata_size_bytes;
    call->metadata_buffer = event->buffer;
    left_us = smf_flat_load_u32(call->metadata + 4);
    if (left_us != 0)
        call->deadline_ns = call->core->turn.now_ns + (uint64_t)left_us * NS_PER_US;
}

void smf__call_fill(struct smf_call *call, struct smf_core *core, const struct smf_event *event,
                    const struct smf_method *method)
{
    call->core = core;
    call->method = method;
    call->payload = event->payload;
    call->buffer = event->buffer;
    call->conn = event->conn;
    call->size_bytes = event->size_bytes;
    call->session = event->session;
    call->state = SMF__CALL_UNSEEN;
    call->filtered = NULL;
    call->record = NULL;
    call->failed = 0;
    call->level = event->level;
    call->flags = event->flags;
    call->reserved = 0;
    begin_metadata(call, event);
    smf_flat_builder_init_core(&call->reply, core);
}

const void *smf_call_begin(struct smf_call *call, struct smf_core *core,
                           const struct smf_event *event, const struct smf_method *method,
                           int implemented, int unverified)
{
    uint8_t compression = event->compression;
    uint32_t code;

    smf__call_fill(call, core, event, method);
    code = look_at_call(call, implemented);
    if (code == 0 && core->filters != NULL)
        code = smf__call_pass_filters(call, &compression);
    if (code == 0)
        code = look_at_request(call, compression, unverified);
    if (code == 0) {
        call->state = SMF__CALL_SERVED;
        return smf_flat_root(call->payload);
    }
    smf_call_end(call, code);
    return NULL;
}

int smf__table_has_required(const struct smf_flat_table *table)
{
    for (uint32_t i = 0; i < table->field_count; i++) {
        if (table->fields[i].required)
            return 1;
    }
    return 0;
}

static uint32_t nothing_was_built(const struct smf_call *call)
{
    if (!smf__table_has_required(call->method->out))
        return SMF_CODE_OK; /* nothing is what it says */
    return smf__call_tell(call, SMF_CODE_INTERNAL,
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
        return smf__call_tell(call, SMF_CODE_INTERNAL, reply->problem);
    if (!reply->finished)
        return smf__call_tell(call, SMF_CODE_INTERNAL, "the reply was begun and not finished");
    return SMF_CODE_OK;
}

/* The code that is still to be sent; 0: the reply is on its way. */
static uint32_t sent(const struct smf_call *call, int status)
{
    if (status == SMF_OK)
        return 0;
    if (status == SMF_EINVAL)
        return smf__call_tell(call, SMF_CODE_TOO_LARGE, "the reply is larger than may be sent");
    return smf__call_tell(call, SMF_CODE_INTERNAL, smf_status_name(status));
}

/* A message for the caller, with the metadata that was added to the reply. */
static struct smf__message message_of(struct smf_call *call, uint32_t code)
{
    struct smf__message message = {.conn = call->conn, .session = call->session, .meta = code};

    if (call->record != NULL)
        message.block = smf__record_block(call->record, &message.block_size);
    return message;
}

/* Likewise. */
static uint32_t send_reply(struct smf_call *call)
{
    struct smf__message message;
    int nothing;
    uint32_t code = look_at_reply(call, &nothing);

    if (code != SMF_CODE_OK || nothing)
        return code;
    message = message_of(call, SMF_CODE_OK);
    return sent(call, smf__message_send_built(call->core, &message, &call->reply));
}

/* Is a success a frame without a message? That of a stream of replies. */
static int ends_alone(const struct smf_call *call)
{
    return (call->flags & SMF_FRAME_STREAM) != 0 &&
           (call->method->flags & SMF_METHOD_STREAM_OUT) != 0;
}

/* The size of what send_code sends. */
static uint32_t code_size(const struct smf_call *call, uint32_t code)
{
    if (call->level < 2 || code == SMF_CODE_OK)
        return ends_alone(call) ? 0 : SMF__EMPTY_TABLE_SIZE_BYTES;
    return call->failed == code ? smf_flat_size_bytes(&call->reply) : 0;
}

/* Sends a code, and at level 2 what there is to say of it. message: without code and flags. */
static int send_code(struct smf_call *call, struct smf__message *message, uint32_t code)
{
    int unseen = call->state == SMF__CALL_UNSEEN, status;

    message->compression = SMF_COMPRESSION_NONE; /* not that of a reply which could not be sent */
    if (call->level < 2 || code == SMF_CODE_OK) {
        smf_flat_builder_fini(&call->reply); /* first: it may hold the loan */
        message->meta = code;
        return smf__message_send(call->core, message, ends_alone(call) ? NULL : smf__empty_table,
                                 code_size(call, code));
    }
    message->meta = code;
    if (unseen && !(call->flags & SMF_FRAME_ONE_WAY))
        message->flags = SMF_FRAME_RESET;
    if (call->failed == code) {
        status = smf__message_send_built(call->core, message, &call->reply);
        if (status == SMF_OK)
            return SMF_OK;
    }
    smf_flat_builder_fini(&call->reply);
    return smf__message_send(call->core, message, NULL, 0);
}

/* What is no code becomes 500. */
static uint32_t check_code(const struct smf_call *call, uint32_t code, const char *problem)
{
    return code < CODE_MIN || code > CODE_MAX ? smf__call_tell(call, SMF_CODE_INTERNAL, problem)
                                              : code;
}

/* Has a reply pass the filters, and sends what comes of it. Returns the code that is still to be sent, or 0. */
static uint32_t send_filtered(struct smf_call *call, uint32_t code, struct smf__message *message)
{
    struct smf__filtered *filtered = (struct smf__filtered *)call->filtered;
    struct smf_filter_call *passing = call->filtered;
    const uint8_t *built = NULL;
    int nothing = 1;

    *message = message_of(call, SMF_CODE_OK);

    if (filtered->stopped == 0) {
        smf__filter_turn(filtered);
        passing->metadata = message->block;
        if (code == SMF_CODE_OK)
            code = look_at_reply(call, &nothing);
        if (code == SMF_CODE_OK && !nothing) {
            passing->payload = built = smf_flat_payload(&call->reply);
            passing->size_bytes = smf_flat_size_bytes(&call->reply);
        }
    }
    passing->code = code;
    smf__filter_reply(filtered);
    smf__filter_metadata_of(filtered, message);
    code = check_code(call, passing->code, "what a filter has made of the reply's code is none");
    if (code != SMF_CODE_OK)
        return code;
    if ((call->flags & SMF_FRAME_STREAM) != 0) /* stopped before it was opened */
        message->flags = SMF_FRAME_STREAM | SMF_FRAME_FIN;
    if (ends_alone(call))
        return code;
    if (filtered->put != NULL) {
        smf_flat_builder_fini(&call->reply); /* first: it may hold the loan */
        passing->status = smf__filter_send(filtered, message);
    } else if (built != NULL) {
        passing->status = smf__message_send_built(call->core, message, &call->reply);
    } else {
        return nothing_was_built(call);
    }
    return sent(call, passing->status);
}

/* Tells the filters how it ended. unsent: the code of a reply without a payload, whose frame has one of size
 * bytes; 0: one with it was sent. */
static void end_filtered(struct smf_call *call, uint32_t unsent, uint32_t size, int status)
{
    struct smf_filter_call *passing = call->filtered;

    if (unsent != 0) {
        passing->code = unsent;
        passing->size_bytes = size;
        passing->compression = SMF_COMPRESSION_NONE;
        passing->status = status;
    }
    call->filtered = NULL;
    smf__filter_done((struct smf__filtered *)passing);
}

/* Sends the code of a call that passes no filters. */
static int send_unfiltered_code(struct smf_call *call, uint32_t code)
{
    struct smf__message message;

    if (call->record == NULL && (call->level < 2 || code == SMF_CODE_OK)) {
        smf_flat_builder_fini(&call->reply); /* first: it may hold the loan */
        return smf_core_send_code(call->core, call->conn, call->session, code);
    }
    message = message_of(call, code);
    return send_code(call, &message, code);
}

static void answer(struct smf_call *call, uint32_t code)
{
    struct smf__message message;
    int status = SMF_OK;
    uint32_t size = 0;

    if (code == SMF_CALL_LATER)
        code = smf__call_tell(call, SMF_CODE_INTERNAL,
                              "the handler returned SMF_CALL_LATER without smf_call_defer");
    code = check_code(call, code, "what the handler returned is no code: success is SMF_CODE_OK");
    if (call->failed != 0 && code == SMF_CODE_OK)
        code = smf__call_tell(call, SMF_CODE_INTERNAL,
                              "the call has failed, and its code is SMF_CODE_OK");
    if (call->filtered != NULL)
        code = send_filtered(call, code, &message);
    else if (code == SMF_CODE_OK)
        code = send_reply(call);
    if (code != 0 && call->filtered != NULL) {
        size = code_size(call, code);
        status = send_code(call, &message, code);
    } else if (code != 0) {
        status = send_unfiltered_code(call, code);
    }
    smf_flat_builder_fini(&call->reply);
    call->state = SMF__CALL_ANSWERED;
    if (status != SMF_OK)
        smf_core_disconnect(call->core, call->conn); /* or the caller would wait for ever */
    if (call->filtered != NULL)
        end_filtered(call, code, size, status);
    if (call->record != NULL)
        smf__record_give(call->core, call->record);
    call->record = NULL;
}

void smf_call_end(struct smf_call *call, uint32_t code)
{
    if (call->state == SMF__CALL_SERVED || call->state == SMF__CALL_UNSEEN)
        answer(call, code);
}

/* The metadata of a request may be in other memory than the rest of it. */
static struct smf_buffer *other_buffer(const struct smf_call *call)
{
    return call->metadata_buffer != call->buffer ? call->metadata_buffer : NULL;
}

uint32_t smf_call_defer(struct smf_call *call, struct smf_call *later_out)
{
    if (call->state != SMF__CALL_SERVED)
        return SMF_CALL_LATER;
    if (call->level == 2 && call->record == NULL)
        call->record = smf__record_take(call->core);
    if (call->level == 2 && call->record != NULL)
        smf__record_defer(call->core, call->record, call->conn, call->session);
    call->core->deferred++;
    *later_out = *call;
    later_out->state = SMF__CALL_LATER;
    call->state = SMF__CALL_DEFERRED;
    call->filtered = NULL;
    call->record = NULL;
    smf_flat_builder_init(&call->reply, NULL, 0); /* its memory is that of later_out */
    call->reply.grow = NULL;
    call->reply.status = SMF_EINVAL;
    call->reply.problem = "the call was deferred: build in what smf_call_defer has filled";
    smf_core_retain(call->core, call->buffer);
    smf_core_retain(call->core, other_buffer(call));
    return SMF_CALL_LATER;
}

void smf_call_answer(struct smf_call *later, uint32_t code)
{
    struct smf_buffer *buffer = later->buffer, *other = other_buffer(later);

    if (later->state != SMF__CALL_LATER)
        return;
    later->core->deferred--;
    answer(later, code);
    later->buffer = later->metadata_buffer = NULL;
    later->payload = later->metadata = NULL;
    smf_core_release(later->core, buffer);
    smf_core_release(later->core, other);
}

int smf_call_metadata(const struct smf_call *call, struct smf_metadata *block_out)
{
    memset(block_out, 0, sizeof *block_out);
    return call->metadata != NULL &&
           smf_metadata_read(call->metadata, smf_flat_load_u32(call->metadata), block_out) ==
               SMF_METADATA_GOOD;
}

uint64_t smf_call_time_left_us(const struct smf_call *call)
{
    uint64_t now_ns;

    if (call->deadline_ns == 0)
        return SMF_CLIENT_NO_TIMEOUT;
    now_ns = smf__clock_now_ns(&call->core->clock);
    return call->deadline_ns > now_ns ? (call->deadline_ns - now_ns) / NS_PER_US : 0;
}

uint32_t smf_call_fail(struct smf_call *call, uint32_t code, const struct smf_failure *failure)
{
    struct smf__error error = {.may_have_run = true};

    if (!smf__call_is_open(call))
        return code;
    smf_flat_builder_fini(&call->reply);
    call->failed = code;
    if (call->level < 2 || failure == NULL)
        return code;
    error.message = text_of(failure->message, MESSAGE_SIZE_BYTES_MAX);
    error.details_type = text_of(failure->details_type, MESSAGE_SIZE_BYTES_MAX);
    if (failure->details != NULL)
        error.details = (struct smf_flat_vector){failure->details, failure->details_size_bytes};
    error.retry_after_ms = failure->retry_after_ms;
    error.may_have_run = failure->has_not_run == 0;
    (void)smf__error_write(&call->reply, &error);
    return code;
}
