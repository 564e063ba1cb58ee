/* Streams, as far as they are the same on both sides: where they are found, messages in and out. */
#include "service/service_stream.h"

#include <stdlib.h>
#include <string.h>

#include <smf/flat.h>

#include "service/service_client.h"

#define BUCKETS_MIN 64u
#define SPARE_MAX 4096u               /* streams that a core keeps */
#define AGAIN_NS (2ull * 1000 * 1000) /* when there was no memory */
#define MESSAGE_SIZE_BYTES_MIN 8u     /* no table is smaller */

/* A connection with streams. */
struct conn {
    struct conn *next; /* of its bucket */
    uint64_t id;
    struct smf__link streams;
};

struct smf__streams {
    struct smf_stream *spare;
    struct smf_stream **buckets; /* [mask + 1], by connection and session */
    struct conn **conns;         /* [mask + 1], by connection */
    struct smf__link due;
    struct smf__link owing; /* by of_conn: they are found no more */
    uint32_t spare_count, count, mask;
};

/* The core closes: its memory goes by itself. */
static void free_all(struct smf_stream *stream)
{
    for (struct smf_stream *next; stream != NULL; stream = next) {
        next = stream->next;
        free(stream->call.filtered);
        free(stream->call.record);
        free(stream);
    }
}

static void close_streams(struct smf__streams *streams)
{
    for (struct smf_stream *at = streams->spare, *next; at != NULL; at = next) {
        next = at->next;
        free(at);
    }
    for (struct smf__link *at = streams->owing.next, *next; at != &streams->owing; at = next) {
        struct smf_stream *stream = SMF__LINK_OF(at, struct smf_stream, of_conn);

        next = at->next;
        stream->next = NULL; /* it is in no bucket */
        free_all(stream);
    }
    for (uint32_t i = 0; i <= streams->mask; i++) {
        free_all(streams->buckets[i]);
        for (struct conn *at = streams->conns[i], *next; at != NULL; at = next) {
            next = at->next;
            free(at);
        }
    }
    free(streams->buckets);
    free(streams->conns);
    free(streams);
}

static struct smf__streams *open_streams(struct smf_core *core)
{
    struct smf__streams *streams = core->streams;

    if (streams != NULL)
        return streams;
    streams = calloc(1, sizeof *streams);
    if (streams == NULL)
        return NULL;
    smf__link_init(&streams->due);
    smf__link_init(&streams->owing);
    streams->mask = BUCKETS_MIN - 1;
    streams->buckets = calloc(BUCKETS_MIN, sizeof(struct smf_stream *));
    streams->conns = calloc(BUCKETS_MIN, sizeof(struct conn *));
    if (streams->buckets == NULL || streams->conns == NULL) {
        free(streams->buckets);
        free(streams->conns);
        free(streams);
        return NULL;
    }
    core->streams = streams;
    core->streams_close = close_streams;
    return streams;
}

static void look_again(struct smf__timer *timer)
{
    smf__stream_due(SMF__LINK_OF(timer, struct smf_stream, again));
}

struct smf_stream *smf__stream_new(struct smf_core *core)
{
    struct smf__streams *streams = open_streams(core);
    struct smf_stream *stream;

    if (streams == NULL)
        return NULL;
    stream = streams->spare;
    if (stream != NULL) {
        streams->spare = stream->next;
        streams->spare_count--;
    } else {
        stream = malloc(sizeof *stream);
        if (stream == NULL)
            return NULL;
    }
    memset(stream, 0, sizeof *stream);
    stream->call.core = core;
    stream->again.fire = look_again;
    smf__link_init(&stream->of_conn);
    smf__link_init(&stream->due);
    return stream;
}

static void drop_message(struct smf_stream *stream, struct smf__stream_message *message)
{
    if (message->owned)
        smf_core_release(stream->call.core, message->buffer);
    memset(message, 0, sizeof *message);
}

void smf__stream_free(struct smf_stream *stream)
{
    struct smf_core *core = stream->call.core;
    struct smf__streams *streams = core->streams;

    smf__stream_unhash(stream);
    smf__link_remove(&stream->of_conn); /* of a client's that lingered */
    smf__stream_discard(stream);
    drop_message(stream, &stream->current);
    drop_message(stream, &stream->reply);
    smf_flat_builder_fini(&stream->call.reply);
    smf__record_give(core, stream->call.record);
    smf_core_release(core, stream->metadata_copy);
    smf_core_release(core, stream->result_buffer);
    if (streams->spare_count == SPARE_MAX) {
        free(stream);
        return;
    }
    stream->next = streams->spare;
    streams->spare = stream;
    streams->spare_count++;
}

/* Where they are found. */

static uint32_t bucket_of(const struct smf__streams *streams, uint64_t conn, uint16_t session)
{
    uint64_t mixed = ((conn ^ conn >> 32) + session) * 0x9E3779B97F4A7C15u;

    return (uint32_t)(mixed >> 32) & streams->mask;
}

struct smf_stream *smf__stream_find(const struct smf_core *core, uint64_t conn, uint16_t session)
{
    struct smf_stream *at;

    if (core->streams == NULL)
        return NULL;
    for (at = core->streams->buckets[bucket_of(core->streams, conn, session)]; at != NULL;
         at = at->next) {
        if (at->call.conn == conn && at->call.session == session)
            return at;
    }
    return NULL;
}

uint32_t smf__streams_found(const struct smf_core *core)
{
    return core->streams != NULL ? core->streams->count : 0;
}

static struct conn **find_conn(const struct smf__streams *streams, uint64_t id)
{
    struct conn **at = &streams->conns[bucket_of(streams, id, 0)];

    while (*at != NULL && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

/* Tables that stay as they are for want of memory only have longer chains. */
static void grow(struct smf__streams *streams)
{
    struct smf__streams larger = *streams;
    uint32_t size = streams->mask + 1;

    if (streams->count < size)
        return;
    larger.mask = size * 2 - 1;
    larger.buckets = calloc((size_t)size * 2, sizeof(struct smf_stream *));
    larger.conns = calloc((size_t)size * 2, sizeof(struct conn *));
    if (larger.buckets == NULL || larger.conns == NULL) {
        free(larger.buckets);
        free(larger.conns);
        return;
    }
    for (uint32_t i = 0; i < size; i++) {
        for (struct smf_stream *at = streams->buckets[i], *next; at != NULL; at = next) {
            struct smf_stream **bucket =
                &larger.buckets[bucket_of(&larger, at->call.conn, at->call.session)];

            next = at->next;
            at->next = *bucket;
            *bucket = at;
        }
        for (struct conn *at = streams->conns[i], *next; at != NULL; at = next) {
            struct conn **bucket = &larger.conns[bucket_of(&larger, at->id, 0)];

            next = at->next;
            at->next = *bucket;
            *bucket = at;
        }
    }
    free(streams->buckets);
    free(streams->conns);
    streams->buckets = larger.buckets;
    streams->conns = larger.conns;
    streams->mask = larger.mask;
}

int smf__stream_hash(struct smf_stream *stream)
{
    struct smf__streams *streams = stream->call.core->streams;
    struct smf_stream **bucket;
    struct conn **conn;

    grow(streams);
    conn = find_conn(streams, stream->call.conn);
    if (*conn == NULL) {
        *conn = calloc(1, sizeof **conn);
        if (*conn == NULL)
            return SMF_ENOMEM;
        (*conn)->id = stream->call.conn;
        smf__link_init(&(*conn)->streams);
    }
    smf__link_append(&(*conn)->streams, &stream->of_conn);
    bucket = &streams->buckets[bucket_of(streams, stream->call.conn, stream->call.session)];
    stream->next = *bucket;
    *bucket = stream;
    stream->hashed = 1;
    streams->count++;
    return SMF_OK;
}

void smf__stream_unhash(struct smf_stream *stream)
{
    struct smf__streams *streams = stream->call.core->streams;
    struct conn **conn, *gone;
    struct smf_stream **at;

    if (!stream->hashed)
        return;
    at = &streams->buckets[bucket_of(streams, stream->call.conn, stream->call.session)];
    while (*at != stream)
        at = &(*at)->next;
    *at = stream->next;
    stream->hashed = 0;
    streams->count--;
    smf__link_remove(&stream->of_conn);
    conn = find_conn(streams, stream->call.conn);
    if (*conn == NULL || !smf__link_alone(&(*conn)->streams))
        return;
    gone = *conn;
    *conn = gone->next;
    free(gone);
}

/* Room. */

/* Has everything that was sent in earlier turns left? */
static int has_left(const struct smf_stream *stream)
{
    if (stream->client != NULL && !stream->client->up)
        return 0;
    return smf_core_writable(stream->call.core, stream->call.conn, stream->call.session);
}

int smf__stream_has_room(struct smf_stream *stream, uint32_t size)
{
    const struct smf_core *core = stream->call.core;

    if (core->turn.send_count >= SMF__STREAM_SENDS_MAX)
        return 0;
    if (stream->ahead_bytes != 0 && stream->ahead_turn != core->turns && has_left(stream))
        stream->ahead_bytes = 0;
    return stream->ahead_bytes == 0 ||
           (uint64_t)stream->ahead_bytes + size <= SMF_STREAM_AHEAD_BYTES;
}

static void tell_writable(struct smf_stream *stream)
{
    stream->asked = 0;
    smf__stream_enter(stream);
    (void)stream->dispatch(stream, SMF_STREAM_WRITABLE, stream->handlers, NULL, NULL, 0,
                           stream->context);
    smf__stream_leave(stream);
}

/* A turn later: is there room now? If not, an event will tell, but of a connection that is not up. */
static void look_at_due(struct smf_stream *stream)
{
    if (stream->owes)
        smf__stream_send_last(stream);
    else if (stream->over || !stream->asked)
        return;
    else if (smf__stream_has_room(stream, stream->wanted_bytes))
        tell_writable(stream);
    else if (stream->ahead_turn == stream->call.core->turns)
        smf__stream_due(stream); /* whether that leaves is known in the next turn */
    else if (stream->client != NULL && !stream->client->up)
        smf__timer_start(stream->call.core->timers, &stream->again,
                         stream->call.core->turn.now_ns + AGAIN_NS);
}

static void move_all(struct smf__link *to, struct smf__link *from)
{
    while (!smf__link_alone(from)) {
        struct smf__link *link = from->next;

        smf__link_remove(link);
        smf__link_append(to, link);
    }
}

/* Those that find a turn's sends used up are the first ones of the next turn, so that nobody who sends a lot keeps
 * others from it. */
static void turn(struct smf_core *core)
{
    struct smf__streams *streams = core->streams;
    struct smf__link due;

    core->streams_turn = NULL;
    core->hurry = 1;
    smf__link_init(&due);
    move_all(&due, &streams->due); /* those that come to be due now are so later */
    while (!smf__link_alone(&due) && core->turn.send_count < SMF__STREAM_SENDS_MAX) {
        struct smf_stream *stream = SMF__LINK_OF(due.next, struct smf_stream, due);

        smf__link_remove(&stream->due);
        look_at_due(stream);
    }
    if (smf__link_alone(&due))
        return;
    move_all(&due, &streams->due);
    move_all(&streams->due, &due);
    core->streams_turn = turn;
}

void smf__stream_due(struct smf_stream *stream)
{
    struct smf_core *core = stream->call.core;

    smf__link_append(&core->streams->due, &stream->due);
    core->streams_turn = turn;
    core->busy = core->hurry = 1;
}

void smf__stream_owe(struct smf_stream *stream, int status)
{
    struct smf_core *core = stream->call.core;

    stream->owes = 1;
    smf__link_append(&core->streams->owing, &stream->of_conn);
    if (status == SMF_ENOMEM)
        smf__timer_start(core->timers, &stream->again, smf__clock_now_ns(&core->clock) + AGAIN_NS);
    else
        smf__stream_due(stream);
}

void smf__stream_ask(struct smf_stream *stream, uint32_t size, int status)
{
    struct smf_core *core = stream->call.core;

    stream->asked = 1;
    stream->wanted_bytes = size;
    if (status == SMF_ENOMEM)
        smf__timer_start(core->timers, &stream->again, smf__clock_now_ns(&core->clock) + AGAIN_NS);
    else
        smf__stream_due(stream);
}

int smf_stream_writable(struct smf_stream *stream)
{
    if (stream->over || smf__stream_has_room(stream, 1))
        return 1;
    smf__stream_ask(stream, 1, SMF_ELIMIT);
    return 0;
}

/* Messages that come. */

static int can_be(const struct smf_stream *stream, const struct smf_event *event)
{
    return event->size_bytes >= MESSAGE_SIZE_BYTES_MIN || stream->unverified;
}

void smf__stream_break_off(struct smf_stream *stream, uint32_t code, int status,
                           const char *problem)
{
    if (stream->client != NULL)
        smf__stream_break_client(stream, status, code);
    else
        smf__stream_end_server(stream, code, code != SMF_CODE_OK ? problem : NULL);
}

/* What filters have put is the message from now on. */
static void take_put(struct smf_stream *stream, struct smf__filtered *filtered)
{
    struct smf__stream_message *message = &stream->current;

    if (filtered->put == NULL)
        return;
    if (message->owned)
        smf_core_release(stream->call.core, message->buffer);
    message->payload = filtered->call.payload;
    message->size_bytes = filtered->call.size_bytes;
    message->compression = filtered->call.compression;
    message->buffer = filtered->put;
    message->owned = 1;
    filtered->put = NULL;
}

/* Has the current message pass the filters, and verifies it. Returns 0 when the stream is over. */
static int look_at_message(struct smf_stream *stream)
{
    struct smf__stream_message *message = &stream->current;
    struct smf__filtered *filtered = (struct smf__filtered *)stream->call.filtered;
    const struct smf_method *method = stream->call.method;
    char text[SMF_ERROR_TEXT_SIZE_BYTES];
    struct smf_flat_error error;
    uint32_t code;

    if (filtered != NULL) {
        filtered->call.payload = message->payload;
        filtered->call.size_bytes = message->size_bytes;
        filtered->call.compression = message->compression;
        code = smf__filter_message(filtered, SMF_FILTER_MESSAGE_IN);
        if (code != 0) {
            smf__stream_break_off(stream, code, SMF_OK,
                                  filtered->call.problem != NULL
                                      ? filtered->call.problem
                                      : "a filter has stopped the stream");
            return 0;
        }
        take_put(stream, filtered);
    }
    if (smf__is_compressed(message->compression)) {
        smf__stream_break_off(stream, SMF_CODE_NOT_IMPLEMENTED, SMF_EUNSUPPORTED,
                              "a message of the stream is compressed");
        return 0;
    }
    if (stream->unverified ||
        smf_flat_verify(stream->client != NULL ? method->out : method->in, message->payload,
                        message->size_bytes, &error) == SMF_OK)
        return 1;
    smf_flat_error_text(&error, text, sizeof text);
    smf__stream_break_off(stream, SMF_CODE_BAD_REQUEST, SMF_EINVAL, text);
    return 0;
}

/* The program is done with the current message. */
static void done(struct smf_stream *stream)
{
    const struct smf_call *call = &stream->call;
    uint32_t size = stream->current.taken_bytes;

    drop_message(stream, &stream->current);
    if (size != 0 && !stream->over && stream->hashed)
        (void)smf_core_taken(call->core, call->conn, call->session, size);
}

void smf__stream_open_with(struct smf_stream *stream, const void *request)
{
    uint32_t code;

    stream->call.state = SMF__CALL_SERVED;
    code = stream->dispatch(stream, SMF_STREAM_OPEN, stream->handlers, request, NULL, 0,
                            stream->context);
    if (code == SMF_CODE_OK) {
        stream->opened = 1;
        return;
    }
    smf__stream_end_server(stream, code, NULL);
}

static void keep_reply(struct smf_stream *stream)
{
    uint32_t size = stream->current.taken_bytes;

    if (stream->reply.payload != NULL) {
        smf__stream_break_client(stream, SMF_EINVAL, 0);
        return;
    }
    stream->reply = stream->current;
    memset(&stream->current, 0, sizeof stream->current);
    if (!stream->reply.owned)
        smf_core_retain(stream->call.core, stream->reply.buffer);
    stream->reply.owned = 1;
    if (size != 0 && stream->hashed)
        (void)smf_core_taken(stream->call.core, stream->call.conn, stream->call.session, size);
}

/* Hands a message out; somebody is inside. */
static void hand_out(struct smf_stream *stream, const struct smf__stream_message *message)
{
    stream->current = *message;
    if (look_at_message(stream)) {
        stream->in_message = 1;
        if (stream->client != NULL && smf__stream_one_reply(stream)) {
            keep_reply(stream);
        } else if (stream->client == NULL && smf__stream_one_request(stream)) {
            if (stream->call.state == SMF__CALL_UNSEEN)
                smf__stream_open_with(stream, smf_flat_root(stream->current.payload));
            else
                smf__stream_end_server(stream, SMF_CODE_BAD_REQUEST,
                                       "the stream has several requests, and its method takes one");
        } else {
            (void)stream->dispatch(stream, SMF_STREAM_MESSAGE, stream->handlers,
                                   smf_flat_root(stream->current.payload), NULL, 0,
                                   stream->context);
        }
        stream->in_message = 0;
    }
    if (!stream->held || stream->over)
        done(stream);
}

static void tell_fin(struct smf_stream *stream)
{
    stream->fin = 0;
    if (smf__stream_one_request(stream)) {
        if (stream->call.state == SMF__CALL_UNSEEN)
            smf__stream_end_server(stream, SMF_CODE_BAD_REQUEST,
                                   "the stream has no request; send one with its opening");
        return;
    }
    (void)stream->dispatch(stream, SMF_STREAM_HALF_CLOSED, stream->handlers, NULL, NULL, 0,
                           stream->context);
}

/* Tells the program everything that it wants to hear now; somebody is inside. */
static void drain(struct smf_stream *stream)
{
    struct smf__stream_message message;

    while (!stream->held && !stream->over &&
           smf__stream_queue_get(&stream->queue, stream->call.core, &message))
        hand_out(stream, &message);
    if (stream->held || stream->over)
        return;
    if (stream->fin && stream->client == NULL)
        tell_fin(stream);
    if (stream->ends)
        stream->over = 1;
}

/* Tells the program, which may do everything but use the stream behind it, and forgets it. */
static void finalize(struct smf_stream *stream)
{
    struct smf__filtered *filtered = (struct smf__filtered *)stream->call.filtered;
    const struct smf_result *result = NULL;
    const void *reply = NULL;

    stream->depth++;
    if (stream->client != NULL) {
        result = &stream->result;
        if (stream->result.payload != NULL && result->status == SMF_OK &&
            result->code == SMF_CODE_OK)
            reply = smf_flat_root(stream->result.payload);
    }
    if (stream->opened)
        (void)stream->dispatch(stream, SMF_STREAM_ENDED, stream->handlers, reply, result,
                               result == NULL ? stream->code : 0, stream->context);
    stream->call.filtered = NULL;
    if (filtered != NULL) {
        if (stream->client != NULL)
            filtered->call.status = stream->result.status;
        smf__filter_done(filtered);
    }
    smf__stream_free(stream);
}

void smf__stream_leave(struct smf_stream *stream)
{
    if (stream->depth == 1 && stream->drains && !stream->over) {
        stream->drains = 0;
        drain(stream);
    }
    if (--stream->depth != 0 || !stream->over)
        return;
    if (stream->client != NULL)
        smf__stream_filter_end(stream);
    finalize(stream);
}

void smf__stream_take(struct smf_stream *stream, const struct smf_event *event)
{
    struct smf__stream_message message = {.payload = event->payload,
                                          .buffer = event->buffer,
                                          .size_bytes = event->size_bytes,
                                          .taken_bytes = event->size_bytes,
                                          .compression = event->compression};
    const char *problem = NULL;
    uint32_t code = SMF_CODE_BAD_REQUEST;

    if (event->kind == SMF_EVENT_REPLY)
        message.taken_bytes = 0;
    smf__stream_enter(stream);
    if (event->size_bytes != 0 && !can_be(stream, event)) {
        problem = "a message of the stream is smaller than any table";
    } else if (event->size_bytes != 0 &&
               (stream->held || !smf__stream_queue_empty(&stream->queue))) {
        code = SMF_CODE_UNAVAILABLE;
        if (smf__stream_queue_put(&stream->queue, stream->call.core, &message) != SMF_OK)
            problem = "there is no memory for messages that wait";
    } else if (event->size_bytes != 0) {
        hand_out(stream, &message);
    }
    if (problem != NULL)
        smf__stream_break_off(stream, code, code == SMF_CODE_UNAVAILABLE ? SMF_ENOMEM : SMF_EINVAL,
                              problem);
    stream->fin |= (event->flags & SMF_FRAME_FIN) != 0;
    stream->drains = 1;
    smf__stream_leave(stream);
}

void smf_stream_hold(struct smf_stream *stream)
{
    if (stream->over)
        return;
    stream->held = 1;
    if (!stream->in_message || stream->current.owned || stream->current.payload == NULL)
        return;
    smf_core_retain(stream->call.core, stream->current.buffer);
    stream->current.owned = 1;
}

void smf_stream_release(struct smf_stream *stream)
{
    if (!stream->held || stream->over)
        return;
    stream->held = 0;
    smf__stream_enter(stream);
    if (!stream->in_message)
        done(stream);
    stream->drains = 1;
    smf__stream_leave(stream);
}

void smf__stream_discard(struct smf_stream *stream)
{
    struct smf_core *core = stream->call.core;

    smf__stream_queue_drop(&stream->queue, core);
    smf__link_remove(&stream->due);
    smf__timer_stop(core->timers, &stream->deadline);
    smf__timer_stop(core->timers, &stream->again);
}

/* What a stream ends with that its caller has given up, or that the engine has ended: the code that the caller gets. */
static uint32_t code_of_cancel(uint32_t why)
{
    switch (why) {
    case SMF_CODE_DEADLINE:
    case SMF_CODE_TOO_LARGE:
    case SMF_CODE_UNAVAILABLE:
        return why;
    default:
        return SMF_CODE_CANCELLED;
    }
}

int smf__stream_event(struct smf_core *core, const struct smf_event *event, int of_client)
{
    struct smf_stream *stream;

    if (event->kind != SMF_EVENT_MESSAGE && event->kind != SMF_EVENT_WRITABLE &&
        event->kind != SMF_EVENT_CANCEL)
        return 0;
    stream = smf__stream_find(core, event->conn, event->session);
    if (stream == NULL || (stream->client != NULL) != of_client)
        return 0;
    if (event->kind == SMF_EVENT_MESSAGE) {
        if (of_client && smf__stream_keep_metadata(stream, event) != SMF_OK)
            smf__stream_break_client(stream, SMF_ENOMEM, 0);
        else
            smf__stream_take(stream, event);
    } else if (event->kind == SMF_EVENT_WRITABLE) {
        if (stream->asked && smf__stream_has_room(stream, stream->wanted_bytes))
            tell_writable(stream);
        else if (stream->asked)
            smf__stream_due(stream); /* this turn's sends are used up */
    } else if (!of_client) {
        smf__stream_end_server(stream, code_of_cancel(event->meta), NULL);
    }
    return 1;
}

void smf__stream_conn_ended(struct smf_core *core, uint64_t id)
{
    for (;;) {
        const struct conn *conn = *find_conn(core->streams, id);
        struct smf_stream *stream;

        if (conn == NULL)
            return;
        stream = SMF__LINK_OF(conn->streams.next, struct smf_stream, of_conn);
        if (stream->client != NULL)
            return; /* a client hears of it by itself */
        smf__stream_end_server(stream, SMF_CODE_CANCELLED, NULL); /* and it is not found any more */
    }
}
