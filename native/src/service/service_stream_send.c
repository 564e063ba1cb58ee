/* Streams: what is sent, and what there is to know of one. */
#include <string.h>

#include <smf/flat.h>

#include "service/service_stream.h"

uint32_t smf__filter_message(struct smf__filtered *filtered, uint32_t which)
{
    struct smf_filter_call *call = &filtered->call;
    int to_server = (call->side == SMF_FILTER_SERVER) == (which == SMF_FILTER_MESSAGE_IN);
    uint32_t count = filtered->passed, code = 0;

    call->message = (uint8_t)which;
    call->problem = NULL;
    for (uint32_t i = 0; i < count && code == 0; i++) {
        uint32_t at = to_server ? i : count - 1 - i;
        const struct smf_filter *filter = &filtered->filters->list[at];

        call->own = &filtered->own[at];
        if (filter->message != NULL)
            code = filter->message(call, filter->context);
    }
    call->message = SMF_FILTER_MESSAGE_NONE;
    return code;
}

/* Has what is in builder pass the filters. Returns 0, or the code of the one that stops the stream. */
static uint32_t pass_filters(struct smf__filtered *filtered, const struct smf_flat_builder *builder)
{
    struct smf_filter_call *passing = &filtered->call;

    passing->payload = smf_flat_payload(builder);
    passing->size_bytes = smf_flat_size_bytes(builder);
    passing->compression = SMF_COMPRESSION_NONE;
    return smf__filter_message(filtered, SMF_FILTER_MESSAGE_OUT);
}

/* Sends what filters have made of a message. */
static int send_filtered(struct smf_core *core, struct smf__filtered *filtered,
                         const struct smf__message *message, struct smf_flat_builder *builder)
{
    struct smf__message rewritten = *message;
    int status;

    if (filtered->put == NULL)
        return smf__message_send_built(core, message, builder);
    status = smf__filter_send(filtered, &rewritten);
    if (status == SMF_OK)
        smf_flat_builder_fini(builder);
    smf_core_release(core, filtered->put);
    filtered->put = NULL;
    return status;
}

int smf__stream_put(struct smf_stream *stream, struct smf__message *message,
                    struct smf_flat_builder *builder)
{
    struct smf__filtered *filtered = (struct smf__filtered *)stream->call.filtered;
    struct smf_core *core = stream->call.core;
    uint32_t size = builder != NULL ? smf_flat_size_bytes(builder) : 0;
    uint32_t code;
    int status;

    if (builder == NULL) {
        status = smf__message_send(core, message, NULL, 0);
    } else if (filtered == NULL) {
        status = smf__message_send_built(core, message, builder);
    } else {
        code = pass_filters(filtered, builder);
        if (code != 0) {
            smf__stream_break_off(stream, code, SMF_OK,
                                  filtered->call.problem != NULL
                                      ? filtered->call.problem
                                      : "a filter has stopped the stream");
            return SMF_EPERMISSION;
        }
        status = send_filtered(core, filtered, message, builder);
    }
    if (status == SMF_OK && size != 0) {
        stream->ahead_turn = core->turns;
        stream->ahead_bytes += size;
    } else if ((status == SMF_ELIMIT || status == SMF_ENOMEM) &&
               (stream->opened || stream->client == NULL)) {
        smf__stream_ask(stream, size, status);
    }
    return status;
}

/* There is no message; without memory for it, it may be built once there is some. */
static int refuse_unbuilt(struct smf_stream *stream, struct smf_flat_builder *message)
{
    int status = message->status != SMF_OK ? message->status : SMF_EINVAL;

    if (smf__builder_may_go_on(message)) {
        smf_flat_builder_fini(message);
        smf__stream_ask(stream, 0, SMF_ENOMEM);
    }
    return status;
}

int smf_stream_send(struct smf_stream *stream, struct smf_flat_builder *message)
{
    int status;

    if (stream->over)
        return SMF_ECLOSED;
    if (stream->client != NULL && !stream->hashed)
        return SMF_ECLOSED; /* it is answered */
    if (stream->closed_send || stream->replied)
        return SMF_EINVAL;
    if (smf_flat_payload(message) == NULL)
        return refuse_unbuilt(stream, message);
    if (!smf__stream_has_room(stream, smf_flat_size_bytes(message))) {
        smf__stream_ask(stream, smf_flat_size_bytes(message), SMF_ELIMIT);
        smf__builder_keep(message);
        return SMF_ELIMIT;
    }
    smf__stream_enter(stream); /* a filter may end it */
    status = stream->client != NULL ? smf__stream_send_client(stream, message)
                                    : smf__stream_send_server(stream, message);
    if (status == SMF_ELIMIT || status == SMF_ENOMEM)
        smf__builder_keep(message);
    smf__stream_leave(stream);
    return status;
}

struct smf_flat_builder *smf_stream_builder(struct smf_stream *stream)
{
    return &stream->call.reply;
}

int smf__stream_keep_metadata(struct smf_stream *stream, const struct smf_event *event)
{
    uint32_t size = event->metadata_size_bytes;

    if (size == 0 || stream->metadata_copy != NULL)
        return SMF_OK;
    stream->metadata_copy = smf__pool_get(stream->call.core->pool, size);
    if (stream->metadata_copy == NULL)
        return SMF_ENOMEM;
    memcpy(stream->metadata_copy->data, event->payload - size, size);
    stream->call.metadata = stream->metadata_copy->data;
    return SMF_OK;
}

int smf_stream_metadata(const struct smf_stream *stream, struct smf_metadata *block_out)
{
    return smf_call_metadata(&stream->call, block_out);
}

uint64_t smf_stream_time_left_us(const struct smf_stream *stream)
{
    return smf_call_time_left_us(&stream->call);
}

void smf_stream_set_user(struct smf_stream *stream, void *user)
{
    stream->user = user;
}

void *smf_stream_user(const struct smf_stream *stream)
{
    return stream->user;
}

struct smf_core *smf_stream_core(const struct smf_stream *stream)
{
    return stream->call.core;
}

uint64_t smf_stream_conn(const struct smf_stream *stream)
{
    return stream->call.conn;
}

const struct smf_method *smf_stream_method(const struct smf_stream *stream)
{
    return stream->call.method;
}
