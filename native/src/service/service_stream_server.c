/* A server's streams: how they are opened and ended. */
#include <string.h>

#include <smf/flat.h>

#include "service/service_stream.h"

#define CODE_MIN 100u /* of what a handler may say */
#define CODE_MAX 599u

/* Returns 0 when a stream may be opened. */
static uint32_t look_at_stream(struct smf_call *call, const struct smf_stream_service *service)
{
    if (!service->implemented)
        return smf__call_refuse(call, SMF_CODE_NOT_IMPLEMENTED, "the method has no handler");
    if (call->level < 2)
        return smf__call_refuse(call, SMF_CODE_LEVEL, "the method streams, which needs level 2");
    if (!(call->flags & SMF_FRAME_STREAM))
        return smf__call_refuse(call, SMF_CODE_BAD_REQUEST, "the method streams: open a stream");
    if (call->deadline_ns != 0 && smf__clock_now_ns(&call->core->clock) >= call->deadline_ns)
        return smf__call_refuse(call, SMF_CODE_DEADLINE, "its deadline has passed");
    return smf__call_refuse_over_limit(call);
}

/* What filters have put in the place of a payload that is none. */
static void drop_put(struct smf_call *call)
{
    struct smf__filtered *filtered = (struct smf__filtered *)call->filtered;

    call->payload = NULL;
    call->buffer = NULL;
    call->size_bytes = 0;
    if (filtered == NULL)
        return;
    smf_core_release(call->core, filtered->put);
    filtered->put = NULL;
}

static void deadline_passed(struct smf__timer *timer)
{
    struct smf_stream *stream = SMF__LINK_OF(timer, struct smf_stream, deadline);

    stream->call.core->hurry = 1;
    smf__stream_end_server(stream, SMF_CODE_DEADLINE, "its deadline has passed");
}

/* A stream for a call that has passed its filters; NULL: no memory. */
static struct smf_stream *stream_for(const struct smf_call *call, const struct smf_event *event,
                                     const struct smf_stream_service *service)
{
    struct smf_stream *stream = smf__stream_new(call->core);

    if (stream == NULL)
        return NULL;
    stream->call = *call;
    stream->call.filtered = NULL; /* ours when nothing can fail any more */
    stream->deadline.fire = deadline_passed;
    stream->dispatch = service->dispatch;
    stream->handlers = service->handlers;
    stream->context = service->context;
    stream->unverified = service->unverified != 0;
    if ((call->metadata_buffer == event->buffer && call->metadata != NULL &&
         smf__stream_keep_metadata(stream, event) != SMF_OK) ||
        smf__stream_hash(stream) != SMF_OK) {
        smf__stream_free(stream);
        return NULL;
    }
    stream->call.metadata_buffer = NULL;
    stream->call.filtered = call->filtered;
    if (call->filtered != NULL)
        call->filtered->metadata = stream->call.metadata;
    if (call->deadline_ns != 0)
        smf__timer_start(call->core->timers, &stream->deadline, call->deadline_ns);
    return stream;
}

void smf_stream_serve(struct smf_core *core, const struct smf_event *event,
                      const struct smf_method *method, const struct smf_stream_service *service)
{
    uint8_t compression = SMF_COMPRESSION_NONE;
    struct smf_stream *stream;
    struct smf_call call;
    uint32_t code;

    call.problem = service->problem;
    call.context = service->context;
    smf__call_fill(&call, core, event, method);
    if (call.flags & SMF_FRAME_STREAM)
        drop_put(&call); /* filters see messages by themselves */
    code = look_at_stream(&call, service);
    if (code == 0 && core->filters != NULL)
        code = smf__call_pass_filters(&call, &compression);
    if (code != 0) {
        smf_call_end(&call, code);
        return;
    }
    drop_put(&call);
    stream = stream_for(&call, event, service);
    if (stream == NULL) {
        smf_call_end(&call, smf__call_refuse(&call, SMF_CODE_UNAVAILABLE,
                                             "there is no memory for a stream"));
        return;
    }
    smf__stream_enter(stream);
    if (!smf__stream_one_request(stream))
        smf__stream_open_with(stream, NULL);
    if (!stream->over)
        smf__stream_take(stream, event);
    smf__stream_leave(stream);
}

/* Ending. */

static struct smf__message message_of(struct smf_stream *stream, uint32_t code, uint8_t flags)
{
    struct smf__message message = {
        .conn = stream->call.conn, .session = stream->call.session, .meta = code, .flags = flags};

    if (!stream->told && stream->call.record != NULL)
        message.block = smf__record_block(stream->call.record, &message.block_size);
    return message;
}

/* The last frame: with what smf_call_fail has said; or, of a method with one reply that was not sent, with a reply
 * that says nothing. */
static int put_last(struct smf_stream *stream)
{
    const struct smf__message *message = &stream->last;
    struct smf_call *call = &stream->call;
    int status, nothing;

    if (message->meta != SMF_CODE_OK && call->failed == message->meta) {
        status = smf__message_send_built(call->core, message, &call->reply);
        if (status == SMF_OK || status == SMF_ELIMIT)
            return status;
    }
    smf_flat_builder_fini(&call->reply);
    nothing = message->meta == SMF_CODE_OK && smf__stream_one_reply(stream) && !stream->replied;
    return smf__message_send(call->core, message, nothing ? smf__empty_table : NULL,
                             nothing ? SMF__EMPTY_TABLE_SIZE_BYTES : 0);
}

void smf__stream_send_last(struct smf_stream *stream)
{
    struct smf_call *call = &stream->call;
    int status = SMF_ELIMIT;

    if (call->core->turn.send_count < SMF__STREAM_SENDS_MAX)
        status = put_last(stream);
    if (status == SMF_ELIMIT || status == SMF_ENOMEM) {
        smf__builder_keep(&call->reply); /* others who owe need memory, too */
        smf__stream_owe(stream, status);
        return;
    }
    stream->owes = 0;
    if (call->filtered != NULL)
        call->filtered->status = status;
    if (status != SMF_OK)
        smf_core_disconnect(call->core, call->conn); /* or the caller would wait for ever */
    smf__stream_leave(stream);
}

/* The code that a stream ends with, as the program has said. */
static uint32_t code_of(const struct smf_stream *stream, uint32_t code)
{
    const struct smf_call *call = &stream->call;

    if (code < CODE_MIN || code > CODE_MAX)
        return smf__call_tell(call, SMF_CODE_INTERNAL,
                              "what the stream ended with is no code: success is SMF_CODE_OK");
    if (code == SMF_CODE_OK && call->failed != 0)
        return smf__call_tell(call, SMF_CODE_INTERNAL,
                              "the call has failed, and its code is SMF_CODE_OK");
    if (code == SMF_CODE_OK && smf__stream_one_reply(stream) && !stream->replied &&
        smf__table_has_required(call->method->out))
        return smf__call_tell(call, SMF_CODE_INTERNAL,
                              "no reply was sent, and one has fields that are required");
    return code;
}

/* Has the end pass the filters. */
static uint32_t filter_end(struct smf_stream *stream, uint32_t code, struct smf__message *message)
{
    struct smf__filtered *filtered = (struct smf__filtered *)stream->call.filtered;

    smf__filter_turn(filtered);
    filtered->call.metadata = message->block;
    filtered->call.code = code;
    smf__filter_reply(filtered);
    smf__filter_metadata_of(filtered, message);
    code = filtered->call.code;
    if (code >= CODE_MIN && code <= CODE_MAX)
        return code;
    return smf__call_tell(&stream->call, SMF_CODE_INTERNAL,
                          "what a filter has made of the stream's code is none");
}

/* Tells the server's owner why it ends the stream, and its caller, unless its handler has said something. */
static void tell_problem(struct smf_stream *stream, uint32_t code, const char *problem)
{
    struct smf_call *call = &stream->call;
    const struct smf_failure failure = {.message = problem};

    if (call->failed == 0 && call->state == SMF__CALL_UNSEEN) {
        (void)smf__call_refuse(call, code, problem);
        return;
    }
    (void)smf__call_tell(call, code, problem);
    if (call->failed == 0 &&
        code != SMF_CODE_DEADLINE) /* which says it all, and may end many at once */
        (void)smf_call_fail(call, code, &failure);
}

void smf__stream_end_server(struct smf_stream *stream, uint32_t code, const char *problem)
{
    struct smf_call *call = &stream->call;
    struct smf__message message;

    if (stream->over)
        return;
    smf__stream_enter(stream);
    stream->over = 1;
    smf__stream_unhash(stream);
    smf__stream_discard(stream);
    if (problem != NULL)
        tell_problem(stream, code, problem);
    code = code_of(stream, code);
    message = message_of(stream, SMF_CODE_OK, 0);
    if (call->filtered != NULL)
        code = filter_end(stream, code, &message);
    message.meta = stream->code = code;
    if (call->state == SMF__CALL_UNSEEN && code != SMF_CODE_OK)
        message.flags = SMF_FRAME_RESET;
    else
        message.flags = SMF_FRAME_STREAM | SMF_FRAME_FIN;
    call->state = SMF__CALL_ANSWERED;
    stream->last = message;
    smf__stream_send_last(stream);
}

void smf_stream_end(struct smf_stream *stream, uint32_t code)
{
    if (stream->client == NULL)
        smf__stream_end_server(stream, code, NULL);
}

uint32_t smf_stream_fail(struct smf_stream *stream, uint32_t code,
                         const struct smf_failure *failure)
{
    if (stream->client != NULL || stream->over)
        return code;
    (void)smf_call_fail(&stream->call, code, failure);
    if (stream->opened)
        smf__stream_end_server(stream, code, NULL);
    return code;
}

int smf_stream_add_metadata(struct smf_stream *stream, const char *key, const void *value,
                            size_t value_size_bytes)
{
    if (stream->client != NULL || stream->told)
        return SMF_EINVAL;
    return smf_call_add_metadata(&stream->call, key, value, value_size_bytes);
}

int smf__stream_send_server(struct smf_stream *stream, struct smf_flat_builder *builder)
{
    struct smf__message message = message_of(stream, SMF_CODE_OK, SMF_FRAME_STREAM);
    int status = smf__stream_put(stream, &message, builder);

    if (status != SMF_OK)
        return status;
    stream->told = 1;
    stream->replied = smf__stream_one_reply(stream);
    return SMF_OK;
}
