/* Calls in flight of one connection: a slot for each, whose number is the session.
 *
 * A call that was given up keeps its slot until its reply has come, because a session is not used again
 * before; at level 2 the server is told, and a last frame comes at once. One timer serves all calls: it is
 * set for the earliest deadline and looks through the slots when it fires, which is not often, because most
 * calls end long before. */
#include "service/service_client.h"
#include "service/service_stream.h"

#include <stdlib.h>
#include <string.h>

#include <smf/flat.h>

#include "frame/frame_error.h"

#define NS_PER_US 1000u
#define CANCEL_AGAIN_NS 1000000u /* when there was no room to send one */

static void look_at_deadlines(struct smf_core *core, void *context);

int smf_client_open(struct smf_client **client_out, struct smf_core *core, uint32_t calls_max)
{
    struct smf_client *client;
    int status;

    if (calls_max > SMF_CLIENT_CALLS_MAX)
        return SMF_EINVAL;
    client = calloc(1, sizeof *client);
    if (client == NULL)
        return SMF_ENOMEM;
    client->core = core;
    client->calls_max = calls_max != 0 ? calls_max : SMF_CLIENT_CALLS_DEFAULT;
    client->due_ns = SMF__NEVER;
    smf__link_init(&client->lingering);
    client->slots = calloc((size_t)client->calls_max + 1, sizeof *client->slots);
    status = client->slots != NULL ? smf_timer_open(&client->timer, core, look_at_deadlines, client)
                                   : SMF_ENOMEM;
    if (status != SMF_OK) {
        free(client->slots);
        free(client);
        return status;
    }
    *client_out = client;
    return SMF_OK;
}

int smf_client_connect(struct smf_client *client, const char *address, struct smf_error *error_out)
{
    return smf_client_connect_with(client, address, 0, error_out);
}

int smf_client_connect_with(struct smf_client *client, const char *address, uint32_t flags,
                            struct smf_error *error_out)
{
    int status;

    if (client->closing)
        return smf__error(error_out, SMF_ECLOSED, 0, "the client is being closed");
    if (client->conn != 0)
        return smf__error(error_out, SMF_EINVAL, 0, "there is a connection already");
    status = smf_core_connect_with(client->core, address, 0, flags, &client->conn, error_out);
    if (status != SMF_OK)
        return status;
    client->level = flags & SMF_CONNECT_HELLO ? 2 : 1;
    client->goaway = 0;
    client->up = 0;
    return SMF_OK;
}

uint32_t smf_client_goaway(const struct smf_client *client)
{
    return client->goaway;
}

uint64_t smf_client_conn(const struct smf_client *client)
{
    return client->conn;
}

uint32_t smf_client_in_flight(const struct smf_client *client)
{
    return client->waiting;
}

void smf_client_unverified(struct smf_client *client, int on)
{
    client->unverified = on;
}

uint32_t smf__slot_take(struct smf_client *client)
{
    uint32_t number = client->first_free;

    if (number == 0)
        return client->slots_used < client->calls_max ? ++client->slots_used : 0;
    client->first_free = client->slots[number].next_free;
    if (client->first_free == 0)
        client->last_free = 0;
    return number;
}

void smf__slot_give(struct smf_client *client, uint32_t number)
{
    client->cancels_due -= client->slots[number].cancel_code != 0;
    client->slots[number].cancel_code = 0;
    client->slots[number].state = SMF__SLOT_FREE;
    client->slots[number].given_turn = client->core->turns + 1;
    client->slots[number].next_free = 0;
    if (client->last_free != 0)
        client->slots[client->last_free].next_free = number;
    else
        client->first_free = number;
    client->last_free = number;
}

/* Tells the caller. The callback may do everything but close the client: the slot is not touched
 * behind it. */
static void deliver(struct smf_client *client, uint32_t number, uint32_t state_after,
                    const struct smf_result *result, const void *reply)
{
    struct smf__slot call = client->slots[number];

    client->waiting--;
    if (state_after == SMF__SLOT_FREE)
        smf__slot_give(client, number);
    else
        client->slots[number].state = state_after;
    call.deliver(result, reply, call.callback, call.context);
}

static void say_nothing(struct smf_result *result)
{
    result->message = result->details_type = smf_flat_load_string(NULL);
    result->details = (struct smf_flat_u8_vector){NULL, 0};
    result->retry_after_ms = 0;
}

/* An outcome without an answer. */
static struct smf_result outcome(int status, int may_have_run)
{
    struct smf_result result = {.status = status, .may_have_run = may_have_run != 0};

    say_nothing(&result);
    return result;
}

/* Has an outcome pass the filters, and makes it what comes of it. */
static void pass_filters(struct smf__filtered *filtered, struct smf_result *result,
                         uint8_t *compression)
{
    struct smf_filter_call *passing = &filtered->call;

    if (filtered->stopped == 0) {
        smf__filter_turn(filtered);
        passing->payload = result->payload;
        passing->size_bytes = result->size_bytes;
        passing->compression = *compression;
        passing->metadata = result->metadata;
        passing->code = result->code;
        passing->status = result->status;
    }
    smf__filter_reply(filtered);
    result->status = passing->status;
    if (result->code != passing->code)
        say_nothing(result); /* it was about another code */
    result->code = passing->code;
    result->metadata = passing->metadata;
    result->payload = passing->payload;
    result->size_bytes = passing->size_bytes;
    if (filtered->put != NULL)
        result->buffer = filtered->put;
    *compression = passing->compression;
}

/* A call that streams is over, unless messages of it wait. event: its answer, or NULL. */
static void conclude_stream(struct smf_client *client, uint32_t number, uint32_t state_after,
                            const struct smf_result *result, const struct smf_event *event)
{
    struct smf_stream *stream = client->slots[number].stream;

    client->slots[number].stream = NULL;
    client->waiting--;
    if (state_after == SMF__SLOT_FREE)
        smf__slot_give(client, number);
    else
        client->slots[number].state = state_after;
    smf__stream_conclude(stream, result, event);
}

/* A call is over: looks at how, and tells the caller. */
static void conclude(struct smf_client *client, uint32_t number, uint32_t state_after,
                     struct smf_result result, uint8_t compression)
{
    const struct smf__slot *slot = &client->slots[number];
    struct smf__filtered *filtered = slot->filtered;
    const void *reply = NULL;

    if (slot->stream != NULL) {
        conclude_stream(client, number, state_after, &result, NULL);
        return;
    }
    if (filtered != NULL) {
        client->slots[number].filtered = NULL;
        pass_filters(filtered, &result, &compression);
    }
    if (result.status == SMF_OK && smf__is_compressed(compression))
        result.status = SMF_EUNSUPPORTED;
    if (result.status == SMF_OK && result.code == SMF_CODE_OK) {
        if (result.payload == NULL)
            result.status = SMF_EINVAL; /* a filter has made this of no reply */
        else if (!client->unverified)
            result.status =
                smf_flat_verify(slot->method->out, result.payload, result.size_bytes, NULL);
        if (result.status == SMF_OK)
            reply = smf_flat_root(result.payload);
    }
    deliver(client, number, state_after, &result, reply);
    if (filtered != NULL) {
        filtered->call.status = result.status;
        smf__filter_done(filtered);
    }
}

/* Those of other connections were made by callbacks that connected again. */
static void fail_all(struct smf_client *client, uint64_t conn, int status, int may_have_run)
{
    const struct smf_result failed = outcome(status, may_have_run);
    void (*pong)(int status, void *context) = client->pong;

    client->pong = NULL;
    if (pong != NULL)
        pong(SMF_ECLOSED, client->pong_context);
    for (uint32_t i = 1; i <= client->slots_used; i++) {
        if (client->slots[i].state == SMF__SLOT_FREE || client->slots[i].conn != conn)
            continue;
        if (client->slots[i].state == SMF__SLOT_GIVEN_UP)
            smf__slot_give(client, i);
        else
            conclude(client, i, SMF__SLOT_FREE, failed, SMF_COMPRESSION_NONE);
    }
}

void smf_client_close(struct smf_client *client)
{
    uint64_t conn;

    if (client == NULL)
        return;
    conn = client->conn;
    client->conn = 0;
    client->closing = 1;
    fail_all(client, conn, SMF_ECLOSED, client->up);
    /* Each is freed, and so is lingering no more: nobody is inside of one. */
    while (!smf__link_alone(&client->lingering))
        smf__stream_break_client(SMF__LINK_OF(client->lingering.next, struct smf_stream, of_conn),
                                 SMF_ECLOSED, 0);
    if (conn != 0)
        smf_core_disconnect(client->core, conn);
    smf_timer_close(client->timer);
    free(client->filters);
    free(client->slots);
    free(client);
}

static void set_timer(struct smf_client *client, uint64_t due_ns, uint64_t now_ns)
{
    client->due_ns = due_ns;
    if (due_ns != SMF__NEVER)
        smf_timer_start(client->timer,
                        due_ns > now_ns ? (due_ns - now_ns + NS_PER_US - 1) / NS_PER_US : 0);
}

void smf__slot_deadline(struct smf_client *client, struct smf__slot *slot, uint64_t timeout_us)
{
    uint64_t now_ns;

    slot->due_ns = SMF__NEVER;
    if (timeout_us == SMF_CLIENT_NO_TIMEOUT)
        return;
    now_ns = smf__clock_now_ns(&client->core->clock);
    slot->due_ns = smf__due_ns(now_ns, timeout_us);
    if (slot->due_ns < client->due_ns)
        set_timer(client, slot->due_ns, now_ns);
}

static int is_due(const struct smf__slot *slot, uint64_t now_ns)
{
    return (slot->state == SMF__SLOT_WAITS || slot->state == SMF__SLOT_STOPPED) &&
           slot->due_ns <= now_ns;
}

/* The server of level 2 hears that nobody waits any more; with the next look when there is no room now. */
static void tell_server(struct smf_client *client, uint32_t number, uint32_t code)
{
    struct smf__slot *slot = &client->slots[number];
    int status = smf_core_cancel(client->core, slot->conn, (uint16_t)number, code);

    client->cancels_due -= slot->cancel_code != 0;
    slot->cancel_code = status == SMF_ELIMIT || status == SMF_ENOMEM ? code : 0;
    client->cancels_due += slot->cancel_code != 0;
}

/* Ends a call that has no answer. */
static void end_early(struct smf_client *client, uint32_t number, int status, uint32_t code)
{
    int sent = client->slots[number].state == SMF__SLOT_WAITS;

    if (sent && client->level == 2)
        tell_server(client, number, code);
    conclude(client, number, sent ? SMF__SLOT_GIVEN_UP : SMF__SLOT_FREE, outcome(status, sent),
             SMF_COMPRESSION_NONE);
}

static void look_at_deadlines(struct smf_core *core, void *context)
{
    struct smf_client *client = context;
    uint64_t now_ns = smf__clock_now_ns(&core->clock), next_ns = SMF__NEVER;

    client->due_ns = 0; /* callbacks leave the timer to us */
    for (uint32_t i = 1; i <= client->slots_used; i++) {
        if (is_due(&client->slots[i], now_ns))
            end_early(client, i, SMF_ETIMEOUT, SMF_CODE_DEADLINE);
        else if (client->slots[i].cancel_code != 0)
            tell_server(client, i, client->slots[i].cancel_code);
    }
    for (uint32_t i = 1; i <= client->slots_used; i++) {
        if (is_due(&client->slots[i], UINT64_MAX - 1) && client->slots[i].due_ns < next_ns)
            next_ns = client->slots[i].due_ns;
    }
    if (client->cancels_due != 0 && next_ns > now_ns + CANCEL_AGAIN_NS)
        next_ns = now_ns + CANCEL_AGAIN_NS;
    set_timer(client, next_ns, now_ns);
}

void smf__slot_give_up(struct smf_client *client, uint32_t number, int status)
{
    uint64_t now_ns;

    end_early(client, number, status, SMF_CODE_CANCELLED);
    if (client->cancels_due == 0)
        return;
    now_ns = smf__clock_now_ns(&client->core->clock);
    if (client->due_ns > now_ns + CANCEL_AGAIN_NS)
        set_timer(client, now_ns + CANCEL_AGAIN_NS, now_ns);
}

int smf_client_cancel(struct smf_client *client, uint64_t call)
{
    uint32_t number = call & UINT16_MAX;
    const struct smf__slot *slot;

    if (number == 0 || number > client->slots_used)
        return SMF_ENOTFOUND;
    slot = &client->slots[number];
    if (slot->call != call || (slot->state != SMF__SLOT_WAITS && slot->state != SMF__SLOT_STOPPED))
        return SMF_ENOTFOUND;
    smf__slot_give_up(client, number, SMF_ECANCELLED);
    return SMF_OK;
}

int smf_client_ping(struct smf_client *client, void (*pong)(int status, void *context),
                    void *context)
{
    int status;

    if (client->conn == 0)
        return SMF_ECLOSED;
    if (client->pong != NULL)
        return SMF_ELIMIT;
    status = smf_core_ping(client->core, client->conn, client->pings + 1);
    if (status != SMF_OK)
        return status;
    client->pings++;
    client->pong = pong;
    client->pong_context = context;
    return SMF_OK;
}

static void take_pong(struct smf_client *client, const struct smf_event *event)
{
    void (*pong)(int status, void *context) = client->pong;

    if (pong == NULL || smf_flat_load_u64(event->payload) != client->pings)
        return; /* of a ping of the program's own */
    client->pong = NULL;
    pong(SMF_OK, client->pong_context);
}

/* What an answer of level 2 says beside its payload. */
static void read_answer(const struct smf_event *event, struct smf_result *result)
{
    struct smf__error error;

    if (event->metadata_size_bytes != 0)
        result->metadata = event->payload - event->metadata_size_bytes;
    if (event->meta != SMF_CODE_OK && !smf__is_compressed(event->compression)) {
        (void)smf__error_read(event->payload, event->size_bytes, &error, NULL);
        result->message = error.message;
        result->details = (struct smf_flat_u8_vector){error.details.data, error.details.count};
        result->details_type = error.details_type;
        result->retry_after_ms = error.retry_after_ms;
        result->may_have_run = error.may_have_run;
    }
    if (event->flags & SMF_FRAME_RESET)
        result->may_have_run = 0;
}

static void take_reply(struct smf_client *client, const struct smf_event *event)
{
    struct smf_result result = outcome(SMF_OK, 1);
    const struct smf__slot *slot;

    if (event->session == 0 || event->session > client->slots_used)
        return; /* an answer to nothing */
    slot = &client->slots[event->session];
    if (slot->state == SMF__SLOT_FREE || slot->state == SMF__SLOT_STOPPED ||
        slot->conn != event->conn)
        return;
    if (slot->state == SMF__SLOT_GIVEN_UP) {
        smf__slot_give(client, event->session);
        return;
    }
    result.code = event->meta;
    result.payload = event->payload;
    result.buffer = event->buffer;
    result.size_bytes = event->size_bytes;
    if (event->level == 2)
        read_answer(event, &result);
    if (slot->stream != NULL)
        conclude_stream(client, event->session, SMF__SLOT_FREE, &result, event);
    else
        conclude(client, event->session, SMF__SLOT_FREE, result, event->compression);
}

static void take_end(struct smf_client *client, const struct smf_event *event)
{
    uint64_t conn = client->conn;

    client->conn = 0;
    fail_all(client, conn,
             event->meta == SMF_CLOSE_CONNECT_FAILED ? -(int)event->session : SMF_ECLOSED,
             client->up);
}

int smf_client_take(struct smf_client *client, const struct smf_event *event)
{
    if (client->conn == 0 || event->conn != client->conn)
        return 0;
    switch (event->kind) {
    case SMF_EVENT_REPLY:
        take_reply(client, event);
        break;
    case SMF_EVENT_CONNECTED:
        client->up = 1;
        break;
    case SMF_EVENT_MESSAGE:
    case SMF_EVENT_WRITABLE:
        (void)smf__stream_event(client->core, event, 1);
        break;
    case SMF_EVENT_PONG:
        take_pong(client, event);
        break;
    case SMF_EVENT_GOAWAY:
        client->goaway = event->meta != 0 ? event->meta : SMF_CODE_UNAVAILABLE;
        break;
    case SMF_EVENT_CLOSED:
        take_end(client, event);
        break;
    default:
        break;
    }
    return 1;
}

void smf_client_handle(struct smf_core *core, const struct smf_event *event, void *context)
{
    (void)core;
    (void)smf_client_take(context, event);
}

int smf_client_filter(struct smf_client *client, const struct smf_filter *filter,
                      struct smf_error *error_out)
{
    struct smf_filter copy;
    int status = smf__filter_copy(filter, &copy, error_out);

    if (status != SMF_OK)
        return status;
    if (client->waiting != 0)
        return smf__error(error_out, SMF_EINVAL, 0,
                          "calls are in flight: add a client's filters before its calls");
    if (client->filters == NULL)
        client->filters = calloc(1, sizeof *client->filters);
    if (client->filters == NULL)
        return smf__error(error_out, SMF_ENOMEM, 0, "there is no memory for another filter");
    if (client->filters->count == SMF_FILTERS_MAX)
        return smf__error(error_out, SMF_ELIMIT, 0, SMF__FILTERS_ADVICE);
    smf__filters_insert(client->filters, client->filters->count, &copy);
    return SMF_OK;
}

int smf_result_metadata(const struct smf_result *result, struct smf_metadata *block_out)
{
    memset(block_out, 0, sizeof *block_out);
    return result->metadata != NULL &&
           smf_metadata_read(result->metadata, smf_flat_load_u32(result->metadata), block_out) ==
               SMF_METADATA_GOOD;
}
