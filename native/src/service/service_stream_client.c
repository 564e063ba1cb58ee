/* A client's streams: how they are opened, and how they end. */
#include <string.h>

#include <smf/flat.h>

#include "service/service_client.h"
#include "service/service_stream.h"

/* A stream that is being opened. */
struct opening {
    struct smf_client *client;
    struct smf_stream *stream;
    struct smf_flat_builder *request; /* or NULL */
    struct smf_call_options options;
    uint64_t timeout_us; /* SMF_CLIENT_NO_TIMEOUT: none */
    uint32_t number;     /* of its slot */
};

/* Has the opening pass the filters. Returns 0, or a status. */
static int pass_filters(struct opening *opening, struct smf__message *message)
{
    const struct smf_client *client = opening->client;
    struct smf_call *call = &opening->stream->call;
    struct smf__filtered *filtered = smf__filter_begin(client->core, client->filters);
    struct smf_filter_call *passing;

    if (filtered == NULL)
        return SMF_ENOMEM;
    passing = &filtered->call;
    call->filtered = passing;
    passing->method = call->method;
    passing->conn = call->conn;
    passing->session = call->session;
    passing->side = SMF_FILTER_CLIENT;
    passing->metadata = message->block;
    passing->deadline_ns = call->deadline_ns;
    passing->level = 2;
    passing->flags = SMF_FRAME_STREAM;
    passing->compressions = smf__filter_compressions(client->core, client->conn, 1);
    passing->code = smf__filter_request(filtered);
    smf_core_release(client->core, filtered->put); /* there is no payload to replace */
    filtered->put = NULL;
    passing->payload = NULL;
    passing->size_bytes = 0;
    passing->compression = SMF_COMPRESSION_NONE;
    if (filtered->stopped == 0)
        smf__filter_metadata_of(filtered, message);
    return SMF_OK;
}

/* A deadline needs a block to travel in. */
static void time_block(const struct opening *opening, struct smf__message *message)
{
    static const uint8_t no_entries[SMF_METADATA_SIZE_BYTES_MIN] = {SMF_METADATA_SIZE_BYTES_MIN};

    if (opening->timeout_us > UINT32_MAX)
        return; /* one of more than 71 minutes is ours alone */
    message->time_left_us = (uint32_t)opening->timeout_us;
    if (message->block != NULL)
        return;
    message->block = no_entries;
    message->block_size = sizeof no_entries;
}

/* Sends the first frame, unless a filter has stopped it. */
static int send_opening(struct opening *opening)
{
    struct smf_stream *stream = opening->stream;
    struct smf_call *call = &stream->call;
    struct smf__message message = {.conn = call->conn,
                                   .session = call->session,
                                   .meta = call->method->id,
                                   .flags = SMF_FRAME_STREAM};
    int status = SMF_OK;

    if (opening->options.metadata != NULL) {
        message.block = opening->options.metadata;
        message.block_size = opening->options.metadata_size_bytes;
    }
    if (opening->client->filters != NULL)
        status = pass_filters(opening, &message);
    if (status != SMF_OK ||
        (call->filtered != NULL && ((struct smf__filtered *)call->filtered)->stopped != 0))
        return status;
    time_block(opening, &message);
    if (opening->request != NULL) {
        message.flags |= SMF_FRAME_FIN;
        stream->closed_send = 1;
    }
    status = smf__stream_hash(stream);
    return status == SMF_OK ? smf__stream_put(stream, &message, opening->request) : status;
}

/* It was not opened: nobody hears of it. */
static void forget(const struct opening *opening, int status)
{
    struct smf_call *call = &opening->stream->call;
    struct smf__filtered *filtered = (struct smf__filtered *)call->filtered;

    call->filtered = NULL;
    if (filtered != NULL) {
        filtered->call.status = status;
        filtered->call.size_bytes = 0;
        smf__filter_done(filtered);
    }
    smf__stream_free(opening->stream);
    smf__slot_give(opening->client, opening->number);
}

/* From now on the call is in flight. */
static void settle(const struct opening *opening)
{
    struct smf_client *client = opening->client;
    struct smf_stream *stream = opening->stream;
    struct smf__slot *slot = &client->slots[opening->number];
    const struct smf__filtered *filtered = (struct smf__filtered *)stream->call.filtered;
    uint64_t timeout_us = opening->timeout_us;

    memset(slot, 0, sizeof *slot);
    slot->conn = client->conn;
    slot->method = stream->call.method;
    slot->stream = stream;
    slot->state = SMF__SLOT_WAITS;
    slot->call = ++client->calls << 16 | opening->number;
    client->waiting++;
    stream->opened = 1;
    if (stream->call.filtered != NULL)
        stream->call.filtered->metadata = NULL; /* it was lent, and messages have none */
    if (filtered != NULL && filtered->stopped != 0) {
        slot->state = SMF__SLOT_STOPPED;
        stream->closed_send = 1;
        timeout_us = 1;
    }
    smf__slot_deadline(client, slot, timeout_us);
}

/* Takes a slot that may be used for a stream in this turn, or 0. */
static uint32_t take_slot(struct smf_client *client)
{
    uint32_t number = smf__slot_take(client);

    if (number == 0 || client->slots[number].given_turn != client->core->turns + 1)
        return number;
    smf__slot_give(client, number); /* the core has not forgotten its last call yet */
    return client->slots_used < client->calls_max ? ++client->slots_used : 0;
}

static int may_open(const struct smf_client *client, const struct smf_method *method,
                    struct smf_flat_builder *request, const struct smf_call_options *options)
{
    int one_request = !(method->flags & SMF_METHOD_STREAM_IN);

    if ((request != NULL) != one_request)
        return SMF_EINVAL;
    if (client->conn == 0 || client->goaway != 0)
        return SMF_ECLOSED;
    if (client->level != 2 || (options->flags & SMF_CALL_ONE_WAY))
        return SMF_EUNSUPPORTED;
    if (request == NULL || smf_flat_payload(request) != NULL)
        return SMF_OK;
    return request->status != SMF_OK ? request->status : SMF_EINVAL;
}

int smf_client_stream(struct smf_client *client, const struct smf_method *method,
                      struct smf_flat_builder *request, const struct smf_call_options *options,
                      smf_stream_dispatch dispatch, const void *handlers, void *context,
                      struct smf_stream **stream_out)
{
    struct opening opening = {.client = client, .request = request};
    struct smf_call *call;
    int status = smf__options_read(options, &opening.options);

    if (status == SMF_OK)
        status = may_open(client, method, request, &opening.options);
    if (status != SMF_OK)
        return status;
    opening.number = take_slot(client);
    if (opening.number == 0)
        return SMF_ELIMIT;
    opening.stream = smf__stream_new(client->core);
    if (opening.stream == NULL) {
        smf__slot_give(client, opening.number);
        return SMF_ENOMEM;
    }
    opening.timeout_us = opening.options.timeout_us;
    if (opening.timeout_us == 0)
        opening.timeout_us = method->timeout_us != 0 ? method->timeout_us : SMF_CLIENT_NO_TIMEOUT;
    call = &opening.stream->call;
    call->method = method;
    call->conn = client->conn;
    call->session = (uint16_t)opening.number;
    call->state = SMF__CALL_SERVED;
    call->level = 2;
    if (opening.timeout_us != SMF_CLIENT_NO_TIMEOUT)
        call->deadline_ns =
            smf__due_ns(smf__clock_now_ns(&client->core->clock), opening.timeout_us);
    smf_flat_builder_init_core(&call->reply, client->core);
    opening.stream->client = client;
    opening.stream->dispatch = dispatch;
    opening.stream->handlers = handlers;
    opening.stream->context = context;
    opening.stream->unverified = client->unverified != 0;
    status = send_opening(&opening);
    if (status != SMF_OK) {
        forget(&opening, status);
        return status;
    }
    settle(&opening);
    if (stream_out != NULL)
        *stream_out = opening.stream;
    if (opening.options.call_out != NULL)
        *opening.options.call_out = client->slots[opening.number].call;
    return SMF_OK;
}

/* Sending. */

static struct smf__message message_of(const struct smf_stream *stream, uint8_t flags)
{
    return (struct smf__message){.conn = stream->call.conn,
                                 .session = stream->call.session,
                                 .meta = stream->call.method->id,
                                 .flags = flags};
}

int smf__stream_send_client(struct smf_stream *stream, struct smf_flat_builder *builder)
{
    struct smf__message message = message_of(stream, SMF_FRAME_STREAM);

    return smf__stream_put(stream, &message, builder);
}

int smf_stream_close(struct smf_stream *stream)
{
    struct smf__message message = message_of(stream, SMF_FRAME_STREAM | SMF_FRAME_FIN);
    int status;

    if (stream->client == NULL)
        return SMF_EUNSUPPORTED;
    if (stream->over || !stream->hashed)
        return SMF_ECLOSED;
    if (stream->closed_send)
        return SMF_OK;
    status = smf__stream_put(stream, &message, NULL);
    if (status == SMF_OK)
        stream->closed_send = 1;
    return status;
}

/* Ending. */

void smf__stream_break_client(struct smf_stream *stream, int status, uint32_t code)
{
    if (stream->over || !stream->opened)
        return;
    stream->code = status == SMF_OK ? code : 0;
    if (stream->hashed) {
        smf__slot_give_up(stream->client, stream->call.session, status);
        return;
    }
    stream->result.status = status;
    stream->result.code = stream->code;
    smf__stream_discard(stream);
    stream->over = 1;
    smf__stream_enter(stream);
    smf__stream_leave(stream);
}

void smf_stream_cancel(struct smf_stream *stream)
{
    if (stream->client == NULL || stream->over)
        return;
    if (stream->hashed || stream->ends)
        smf__stream_break_client(stream, SMF_ECANCELLED, 0);
    else /* a filter has stopped it */
        smf__slot_give_up(stream->client, stream->call.session, SMF_ECANCELLED);
}

void smf__stream_conclude(struct smf_stream *stream, const struct smf_result *result,
                          const struct smf_event *event)
{
    smf__stream_unhash(stream);
    stream->result = *result;
    stream->result.payload = NULL;
    stream->result.buffer = NULL;
    stream->result.size_bytes = 0;
    if (event == NULL) {
        stream->result.code = stream->code;
        smf__stream_discard(stream);
        stream->over = 1;
        smf__stream_enter(stream);
        smf__stream_leave(stream);
        return;
    }
    smf_core_retain(stream->call.core, event->buffer);
    stream->result_buffer = event->buffer;
    if (stream->call.metadata == NULL)
        stream->call.metadata = result->metadata;
    else
        stream->result.metadata = stream->call.metadata;
    stream->ends = stream->closed_send = 1;
    smf__link_append(&stream->client->lingering, &stream->of_conn);
    if (event->meta == SMF_CODE_OK && event->size_bytes != 0) {
        smf__stream_take(stream, event);
        return;
    }
    smf__stream_enter(stream);
    stream->drains = 1;
    smf__stream_leave(stream);
}

/* What a method with one reply has brought. */
static void complete(struct smf_stream *stream)
{
    struct smf_result *result = &stream->result;

    if (result->status != SMF_OK || result->code != SMF_CODE_OK || !smf__stream_one_reply(stream))
        return;
    if (stream->reply.payload == NULL) {
        result->status = SMF_EINVAL;
        return;
    }
    result->payload = stream->reply.payload;
    result->size_bytes = stream->reply.size_bytes;
    result->buffer = stream->reply.buffer;
}

void smf__stream_filter_end(struct smf_stream *stream)
{
    struct smf__filtered *filtered = (struct smf__filtered *)stream->call.filtered;
    struct smf_result *result = &stream->result;
    struct smf_filter_call *passing;

    complete(stream);
    if (filtered == NULL)
        return;
    passing = &filtered->call;
    if (filtered->stopped == 0) {
        smf__filter_turn(filtered);
        passing->metadata = result->metadata;
        passing->code = result->code;
        passing->status = result->status;
    }
    smf__filter_reply(filtered);
    result->status = passing->status;
    result->metadata = passing->metadata;
    if (result->status == SMF_OK && passing->code == SMF_CODE_OK && smf__stream_one_reply(stream) &&
        result->payload == NULL)
        result->status = SMF_EINVAL; /* a success without the reply that belongs to it */
    if (result->code == passing->code)
        return;
    result->code = passing->code;
    result->message = result->details_type = smf_flat_load_string(NULL);
    result->details = (struct smf_flat_u8_vector){NULL, 0};
    result->retry_after_ms = 0;
}
