/* Requests of a client: from a builder and options, through filters, to a frame and a slot for its reply. */
#include <string.h>

#include <smf/flat.h>

#include "core/core_settings.h"
#include "service/service_client.h"

#define ONE_WAY_SIZE_BYTES_MAX 65536u /* it goes in one frame */
#define OPTIONS_SIZE_MIN (offsetof(struct smf_call_options, call_out) + sizeof(uint64_t *))

/* Ends the way of a call that is not taken. */
static int give_up(struct smf__filtered *filtered, int status)
{
    filtered->call.status = status;
    filtered->call.size_bytes = 0;
    smf__filter_done(filtered);
    return status;
}

/* A call before it is sent. */
struct call {
    const struct smf_method *method;
    struct smf_flat_builder *request;
    uint64_t timeout_us; /* SMF_CLIENT_NO_TIMEOUT: none */
    struct smf__message message;
    struct smf__filtered *filtered; /* its way through filters, when it is sent */
};

/* A deadline needs a block to travel in. */
static void time_block(const struct smf_client *client, struct call *call)
{
    static const uint8_t no_entries[SMF_METADATA_SIZE_BYTES_MIN] = {SMF_METADATA_SIZE_BYTES_MIN};
    struct smf__message *message = &call->message;

    if (client->level != 2 || call->timeout_us > UINT32_MAX)
        return; /* one of more than 71 minutes is ours alone */
    message->time_left_us = (uint32_t)call->timeout_us;
    if (message->block != NULL)
        return;
    message->block = no_entries;
    message->block_size = sizeof no_entries;
}

/* What a filter sees. */
static void fill_passing(const struct smf_client *client, const struct call *call,
                         const uint8_t *payload, struct smf_filter_call *passing)
{
    passing->method = call->method;
    passing->conn = client->conn;
    passing->session = call->message.session;
    passing->side = SMF_FILTER_CLIENT;
    passing->payload = payload;
    passing->size_bytes = passing->request_size_bytes = smf_flat_size_bytes(call->request);
    passing->metadata = call->message.block;
    passing->level = (uint8_t)client->level;
    passing->flags = call->message.flags;
    if (client->level == 2)
        passing->compressions = smf__filter_compressions(client->core, client->conn, 1);
    if (call->timeout_us != SMF_CLIENT_NO_TIMEOUT)
        passing->deadline_ns =
            smf__due_ns(smf__clock_now_ns(&client->core->clock), call->timeout_us);
}

/* Has a request pass the filters, and sends what comes of it, unless one has stopped the call. Returns as
 * smf_core_send_built, and then, with SMF_OK, the call's way. */
static int send_filtered(struct smf_client *client, struct call *call)
{
    const uint8_t *payload = smf_flat_payload(call->request);
    struct smf_core *core = client->core;
    struct smf__filtered *filtered;
    struct smf_filter_call *passing;
    int status;

    if (payload == NULL) /* and this says why */
        return smf__message_send_built(core, &call->message, call->request);
    if (core->turn.send_count == core->turn.send_capacity)
        return SMF_ELIMIT;
    filtered = smf__filter_begin(core, client->filters);
    if (filtered == NULL)
        return SMF_ENOMEM;
    passing = &filtered->call;
    fill_passing(client, call, payload, passing);
    passing->code = smf__filter_request(filtered);
    call->filtered = filtered;
    if (filtered->stopped != 0) {
        smf_flat_builder_fini(call->request);
        return SMF_OK;
    }
    smf__filter_metadata_of(filtered, &call->message);
    time_block(client, call);
    passing->request_compression = passing->compression;
    if (filtered->put == NULL) {
        status = smf__message_send_built(core, &call->message, call->request);
    } else {
        smf_flat_builder_fini(call->request); /* first: it may hold the loan */
        status = smf__filter_send(filtered, &call->message);
    }
    return status == SMF_OK ? SMF_OK : give_up(filtered, status);
}

static int send_call(struct smf_client *client, struct call *call)
{
    if (client->filters != NULL)
        return send_filtered(client, call);
    time_block(client, call);
    return smf__message_send_built(client->core, &call->message, call->request);
}

/* Nobody hears of it any more, when it is sent. */
static int send_one_way(struct smf_client *client, struct call *call)
{
    int status;

    if (client->level != 2)
        return SMF_EUNSUPPORTED;
    if (smf_flat_payload(call->request) != NULL &&
        smf_flat_size_bytes(call->request) > ONE_WAY_SIZE_BYTES_MAX)
        return SMF_EINVAL;
    call->message.flags = SMF_FRAME_ONE_WAY;
    status = send_call(client, call);
    if (status != SMF_OK || call->filtered == NULL)
        return status;
    if (call->filtered->stopped != 0)
        return give_up(call->filtered, SMF_EPERMISSION);
    call->filtered->call.size_bytes = 0;
    smf__filter_done(call->filtered);
    return SMF_OK;
}

static int call_and_wait(struct smf_client *client, struct call *call,
                         smf_client_deliver deliver_to, smf_client_callback callback, void *context)
{
    uint32_t number = smf__slot_take(client);
    struct smf__slot *slot = &client->slots[number];
    int status;

    if (number == 0)
        return SMF_ELIMIT;
    call->message.session = (uint16_t)number;
    status = send_call(client, call);
    if (status != SMF_OK) {
        smf__slot_give(client, number);
        return status;
    }
    slot->conn = client->conn;
    slot->method = call->method;
    slot->deliver = deliver_to;
    slot->callback = callback;
    slot->context = context;
    slot->filtered = call->filtered;
    slot->state = SMF__SLOT_WAITS;
    slot->call = ++client->calls << 16 | number;
    client->waiting++;
    if (call->filtered != NULL && call->filtered->stopped != 0) {
        slot->state = SMF__SLOT_STOPPED;
        call->timeout_us = 1;
    }
    smf__slot_deadline(client, slot, call->timeout_us);
    return SMF_OK;
}

static struct call call_of(const struct smf_client *client, const struct smf_method *method,
                           struct smf_flat_builder *request, uint64_t timeout_us)
{
    if (timeout_us == 0)
        timeout_us = method->timeout_us != 0 ? method->timeout_us : SMF_CLIENT_NO_TIMEOUT;
    return (struct call){.method = method,
                         .request = request,
                         .timeout_us = timeout_us,
                         .message = {.conn = client->conn, .meta = method->id}};
}

int smf_client_call(struct smf_client *client, const struct smf_method *method,
                    struct smf_flat_builder *request, uint64_t timeout_us,
                    smf_client_deliver deliver_to, smf_client_callback callback, void *context)
{
    struct call call = call_of(client, method, request, timeout_us);

    if (client->conn == 0 || client->goaway != 0)
        return SMF_ECLOSED;
    return call_and_wait(client, &call, deliver_to, callback, context);
}

int smf__options_read(const struct smf_call_options *given, struct smf_call_options *options_out)
{
    struct smf_metadata block;
    int status;

    memset(options_out, 0, sizeof *options_out);
    if (given == NULL)
        return SMF_OK;
    status = smf__settings_read(options_out, sizeof *options_out, given, OPTIONS_SIZE_MIN,
                                "smf_call_options", NULL);
    if (status != SMF_OK)
        return status;
    if (options_out->flags & ~SMF_CALL_ONE_WAY)
        return SMF_EINVAL;
    if (options_out->metadata_size_bytes == 0) {
        options_out->metadata = NULL;
        return SMF_OK;
    }
    if (options_out->metadata == NULL ||
        smf_metadata_read(options_out->metadata, options_out->metadata_size_bytes, &block) !=
            SMF_METADATA_GOOD ||
        block.size_bytes != options_out->metadata_size_bytes)
        return SMF_EINVAL;
    return SMF_OK;
}

int smf_client_call_with(struct smf_client *client, const struct smf_method *method,
                         struct smf_flat_builder *request, const struct smf_call_options *given,
                         smf_client_deliver deliver_to, smf_client_callback callback, void *context)
{
    struct smf_call_options options;
    struct call call;
    int status = smf__options_read(given, &options), one_way = (options.flags & SMF_CALL_ONE_WAY) != 0;

    if (status == SMF_OK && one_way && callback != NULL)
        status = SMF_EINVAL;
    if (status != SMF_OK)
        return status;
    if (client->conn == 0 || client->goaway != 0)
        return SMF_ECLOSED;
    call = call_of(client, method, request, options.timeout_us);
    if (client->level == 2 && options.metadata != NULL) {
        call.message.block = options.metadata;
        call.message.block_size = options.metadata_size_bytes;
    }
    if (one_way)
        status = send_one_way(client, &call);
    else
        status = call_and_wait(client, &call, deliver_to, callback, context);
    if (status == SMF_OK && options.call_out != NULL)
        *options.call_out = one_way ? 0 : client->calls << 16 | call.message.session;
    return status;
}
