/* Calls in flight of one connection: a slot for each, whose number is the session.
 *
 * A call that was given up keeps its slot until its reply has come, because a session is not used
 * again before. One timer serves all calls: it is set for the earliest deadline and looks through the
 * slots when it fires, which is not often, because most calls end long before. */
#include <stdlib.h>

#include <smf/timer.h>

#include "service/service_filter.h"

#define NS_PER_US 1000u
#define NEVER UINT64_MAX

enum slot_state {
    SLOT_FREE = 0,
    SLOT_WAITS,
    SLOT_GIVEN_UP,
    SLOT_STOPPED /* by a filter, and never sent: its callback is due */
};

struct slot {
    uint64_t conn;   /* of the call */
    uint64_t due_ns; /* of a call that waits; NEVER */
    const struct smf_method *method;
    smf_client_deliver deliver;
    smf_client_callback callback;
    void *context;
    struct smf__filtered *filtered; /* the call's way through filters, or NULL */
    uint32_t next_free;             /* of a free one; 0: it is the last */
    uint32_t state;                 /* enum slot_state */
};

struct smf_client {
    struct smf_core *core;
    struct smf_timer *timer;
    struct slot *slots;           /* [calls_max + 1]; 0 is not used */
    uint64_t conn;                /* 0: not connected */
    uint64_t due_ns;              /* what the timer is set for; NEVER: it does not run */
    uint32_t calls_max;           /* a session fits 16 bits */
    uint32_t slots_used;          /* those above were never taken */
    uint32_t first_free;          /* slots are taken here, */
    uint32_t last_free;           /* and given back there: a session rests as long as it can */
    uint32_t waiting;             /* calls in flight, without those that were given up */
    struct smf__filters *filters; /* around its calls, or NULL */
    int unverified;
    int closing;
};

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
    client->due_ns = NEVER;
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
    if (client->closing)
        return smf__error(error_out, SMF_ECLOSED, 0, "the client is being closed");
    if (client->conn != 0)
        return smf__error(error_out, SMF_EINVAL, 0, "there is a connection already");
    return smf_core_connect(client->core, address, 0, &client->conn, error_out);
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

/* Returns 0 when all are taken. */
static uint32_t slot_take(struct smf_client *client)
{
    uint32_t number = client->first_free;

    if (number == 0)
        return client->slots_used < client->calls_max ? ++client->slots_used : 0;
    client->first_free = client->slots[number].next_free;
    if (client->first_free == 0)
        client->last_free = 0;
    return number;
}

static void slot_give(struct smf_client *client, uint32_t number)
{
    client->slots[number].state = SLOT_FREE;
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
    struct slot call = client->slots[number];

    client->waiting--;
    if (state_after == SLOT_FREE)
        slot_give(client, number);
    else
        client->slots[number].state = state_after;
    call.deliver(result, reply, call.callback, call.context);
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
        passing->code = result->code;
        passing->status = result->status;
    }
    smf__filter_reply(filtered);
    result->status = passing->status;
    result->code = passing->code;
    result->payload = passing->payload;
    result->size_bytes = passing->size_bytes;
    if (filtered->put != NULL)
        result->buffer = filtered->put;
    *compression = passing->compression;
}

/* A call is over: looks at how, and tells the caller. */
static void conclude(struct smf_client *client, uint32_t number, uint32_t state_after,
                     struct smf_result result, uint8_t compression)
{
    const struct slot *slot = &client->slots[number];
    struct smf__filtered *filtered = slot->filtered;
    const void *reply = NULL;

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
static void fail_all(struct smf_client *client, uint64_t conn, int status)
{
    const struct smf_result failed = {.status = status};

    for (uint32_t i = 1; i <= client->slots_used; i++) {
        if (client->slots[i].state == SLOT_FREE || client->slots[i].conn != conn)
            continue;
        if (client->slots[i].state == SLOT_GIVEN_UP)
            slot_give(client, i);
        else
            conclude(client, i, SLOT_FREE, failed, SMF_COMPRESSION_NONE);
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
    fail_all(client, conn, SMF_ECLOSED);
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
    if (due_ns != NEVER)
        smf_timer_start(client->timer,
                        due_ns > now_ns ? (due_ns - now_ns + NS_PER_US - 1) / NS_PER_US : 0);
}

static int is_due(const struct slot *slot, uint64_t now_ns)
{
    return (slot->state == SLOT_WAITS || slot->state == SLOT_STOPPED) && slot->due_ns <= now_ns;
}

static void look_at_deadlines(struct smf_core *core, void *context)
{
    const struct smf_result late = {.status = SMF_ETIMEOUT};
    struct smf_client *client = context;
    uint64_t now_ns = smf__clock_now_ns(&core->clock), next_ns = NEVER;

    client->due_ns = 0; /* callbacks leave the timer to us */
    for (uint32_t i = 1; i <= client->slots_used; i++) {
        if (!is_due(&client->slots[i], now_ns))
            continue;
        conclude(client, i, client->slots[i].state == SLOT_STOPPED ? SLOT_FREE : SLOT_GIVEN_UP,
                 late, SMF_COMPRESSION_NONE);
    }
    for (uint32_t i = 1; i <= client->slots_used; i++) {
        if (is_due(&client->slots[i], UINT64_MAX - 1) && client->slots[i].due_ns < next_ns)
            next_ns = client->slots[i].due_ns;
    }
    set_timer(client, next_ns, now_ns);
}

static void take_reply(struct smf_client *client, const struct smf_event *event)
{
    const struct smf_result result = {.code = event->meta,
                                      .payload = event->payload,
                                      .buffer = event->buffer,
                                      .size_bytes = event->size_bytes};
    const struct slot *slot;

    if (event->session == 0 || event->session > client->slots_used)
        return; /* an answer to nothing */
    slot = &client->slots[event->session];
    if (slot->state == SLOT_FREE || slot->state == SLOT_STOPPED || slot->conn != event->conn)
        return;
    if (slot->state == SLOT_GIVEN_UP) {
        slot_give(client, event->session);
        return;
    }
    conclude(client, event->session, SLOT_FREE, result, event->compression);
}

static void take_end(struct smf_client *client, const struct smf_event *event)
{
    uint64_t conn = client->conn;

    client->conn = 0;
    fail_all(client, conn,
             event->meta == SMF_CLOSE_CONNECT_FAILED ? -(int)event->session : SMF_ECLOSED);
}

int smf_client_take(struct smf_client *client, const struct smf_event *event)
{
    if (client->conn == 0 || event->conn != client->conn)
        return 0;
    if (event->kind == SMF_EVENT_REPLY)
        take_reply(client, event);
    else if (event->kind == SMF_EVENT_CLOSED)
        take_end(client, event);
    return 1;
}

void smf_client_handle(struct smf_core *core, const struct smf_event *event, void *context)
{
    (void)core;
    (void)smf_client_take(context, event);
}

static void set_deadline(struct smf_client *client, struct slot *slot, uint64_t timeout_us)
{
    uint64_t now_ns;

    slot->due_ns = NEVER;
    if (timeout_us == SMF_CLIENT_NO_TIMEOUT)
        return;
    now_ns = smf__clock_now_ns(&client->core->clock);
    if (timeout_us < (NEVER - now_ns) / NS_PER_US)
        slot->due_ns = now_ns + timeout_us * NS_PER_US;
    if (slot->due_ns < client->due_ns)
        set_timer(client, slot->due_ns, now_ns);
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

/* Ends the way of a call that is not taken. */
static int give_up(struct smf__filtered *filtered, int status)
{
    filtered->call.status = status;
    filtered->call.size_bytes = 0;
    smf__filter_done(filtered);
    return status;
}

/* Has a request pass the filters, and sends what comes of it, unless one has stopped the call. Returns as
 * smf_core_send_built, and then, with SMF_OK, the call's way. */
static int send_filtered(struct smf_client *client, const struct smf_method *method,
                         uint16_t session, struct smf_flat_builder *request,
                         struct smf__filtered **filtered_out)
{
    const uint8_t *payload = smf_flat_payload(request);
    struct smf_core *core = client->core;
    struct smf__filtered *filtered;
    struct smf_filter_call *passing;
    int status;

    if (payload == NULL) /* and this says why */
        return smf_core_send_built(core, client->conn, session, method->id, request);
    if (core->turn.send_count == core->turn.send_capacity)
        return SMF_ELIMIT;
    filtered = smf__filter_begin(core, client->filters);
    if (filtered == NULL)
        return SMF_ENOMEM;
    passing = &filtered->call;
    passing->method = method;
    passing->conn = client->conn;
    passing->session = session;
    passing->side = SMF_FILTER_CLIENT;
    passing->payload = payload;
    passing->size_bytes = passing->request_size_bytes = smf_flat_size_bytes(request);
    passing->code = smf__filter_request(filtered);
    *filtered_out = filtered;
    if (filtered->stopped != 0) {
        smf_flat_builder_fini(request);
        return SMF_OK;
    }
    passing->request_compression = passing->compression;
    if (filtered->put == NULL) {
        status = smf_core_send_built(core, client->conn, session, method->id, request);
    } else {
        smf_flat_builder_fini(request); /* first: it may hold the loan */
        status = smf__filter_send(filtered, client->conn, session, method->id);
    }
    return status == SMF_OK ? SMF_OK : give_up(filtered, status);
}

int smf_client_call(struct smf_client *client, const struct smf_method *method,
                    struct smf_flat_builder *request, uint64_t timeout_us,
                    smf_client_deliver deliver_to, smf_client_callback callback, void *context)
{
    struct smf__filtered *filtered = NULL;
    uint32_t number;
    struct slot *slot;
    int status;

    if (client->conn == 0)
        return SMF_ECLOSED;
    number = slot_take(client);
    if (number == 0)
        return SMF_ELIMIT;
    if (client->filters != NULL)
        status = send_filtered(client, method, (uint16_t)number, request, &filtered);
    else
        status =
            smf_core_send_built(client->core, client->conn, (uint16_t)number, method->id, request);
    if (status != SMF_OK) {
        slot_give(client, number);
        return status;
    }
    slot = &client->slots[number];
    slot->conn = client->conn;
    slot->method = method;
    slot->deliver = deliver_to;
    slot->callback = callback;
    slot->context = context;
    slot->filtered = filtered;
    slot->state = SLOT_WAITS;
    client->waiting++;
    if (filtered != NULL && filtered->stopped != 0) {
        slot->state = SLOT_STOPPED;
        timeout_us = 1;
    } else if (timeout_us == 0) {
        timeout_us = method->timeout_us != 0 ? method->timeout_us : SMF_CLIENT_NO_TIMEOUT;
    }
    set_deadline(client, slot, timeout_us);
    return SMF_OK;
}
