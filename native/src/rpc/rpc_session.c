/* The table of a connection's sessions, and what frames that come mean for them. */
#include "rpc/rpc_session.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include <smf/code.h>

#include "mem/mem_count.h"

#define BUCKETS_MIN 16u
#define SESSIONS_OF_CALLS 2u /* sessions with an entry, for each call that may be in flight */

void smf__session_open_room(struct smf__rpc *rpc)
{
    smf__link_init(&rpc->pumping);
    smf__link_init(&rpc->giving);
    smf__link_init(&rpc->telling);
    smf__link_init(&rpc->over);
    smf__link_init(&rpc->hungry_sessions);
    smf__link_init(&rpc->hungry_mark);
}

void smf__session_close_room(struct smf__rpc *rpc)
{
    while (rpc->free_sessions != NULL) {
        struct smf__session *session = rpc->free_sessions;

        rpc->free_sessions = session->next;
        free(session);
    }
    while (rpc->free_outgoing != NULL) {
        struct smf__outgoing *outgoing = rpc->free_outgoing;

        rpc->free_outgoing = outgoing->next;
        free(outgoing);
    }
}

/* The table. Session numbers are given out one after the other: they are their own hash. */

static struct smf__session **bucket_of(const struct smf__sessions *sessions, uint16_t id)
{
    return &sessions->buckets[id & sessions->mask];
}

struct smf__session *smf__session_find(const struct smf__conn *conn, uint16_t id)
{
    struct smf__session *session;

    if (conn->sessions == NULL)
        return NULL;
    for (session = *bucket_of(conn->sessions, id); session != NULL; session = session->next) {
        if (session->id == id)
            return session;
    }
    return NULL;
}

static struct smf__sessions *sessions_new(struct smf__conn *conn)
{
    struct smf__sessions *sessions = calloc(1, sizeof *sessions);

    if (sessions == NULL)
        return NULL;
    sessions->buckets = calloc(BUCKETS_MIN, sizeof(struct smf__session *));
    if (sessions->buckets == NULL) {
        free(sessions);
        return NULL;
    }
    sessions->mask = BUCKETS_MIN - 1;
    sessions->conn = conn;
    sessions->ahead_bytes = conn->unsent_bytes;
    smf__link_init(&sessions->pumping);
    smf__link_init(&sessions->ready);
    smf__link_init(&sessions->waiting);
    return sessions;
}

static void sessions_free(struct smf__sessions *sessions)
{
    sessions->conn->sessions = NULL;
    if (sessions->conn->draining) /* that was what it waited for */
        sessions->conn->rpc->core->hurry = 1;
    smf__link_remove(&sessions->pumping);
    free(sessions->buckets);
    free(sessions);
}

/* A table that stays as it is for want of memory only has longer chains. */
static void grow(struct smf__sessions *sessions)
{
    uint32_t size = sessions->mask + 1;
    struct smf__session **buckets, **old = sessions->buckets;

    if (sessions->count < size)
        return;
    buckets = calloc((size_t)size * 2, sizeof(struct smf__session *));
    if (buckets == NULL)
        return;
    sessions->buckets = buckets;
    sessions->mask = size * 2 - 1;
    for (uint32_t i = 0; i < size; i++) {
        for (struct smf__session *at = old[i], *next; at != NULL; at = next) {
            struct smf__session **bucket = bucket_of(sessions, at->id);

            next = at->next;
            at->next = *bucket;
            *bucket = at;
        }
    }
    free(old);
}

static void timed_out(struct smf__timer *timer);

static struct smf__session *take_entry(struct smf__rpc *rpc)
{
    struct smf__session *session = rpc->free_sessions;

    if (session != NULL)
        rpc->free_sessions = session->next;
    else
        session = malloc(sizeof *session);
    if (session == NULL)
        return NULL;
    memset(session, 0, sizeof *session);
    smf__link_init(&session->ready);
    smf__link_init(&session->giving);
    smf__link_init(&session->telling);
    smf__link_init(&session->over);
    smf__link_init(&session->hungry);
    session->timer.fire = timed_out;
    return session;
}

static void give_entry(struct smf__rpc *rpc, struct smf__session *session)
{
    session->next = rpc->free_sessions;
    rpc->free_sessions = session;
}

struct smf__session *smf__session_new(struct smf__conn *conn, uint16_t id, uint32_t role,
                                      uint32_t stream)
{
    struct smf__session *session, **bucket;

    session = take_entry(conn->rpc);
    if (session != NULL && conn->sessions == NULL)
        conn->sessions = sessions_new(conn);
    if (session == NULL || conn->sessions == NULL) {
        if (session != NULL)
            give_entry(conn->rpc, session);
        smf__conn_close(conn, SMF_CLOSE_NO_MEMORY);
        return NULL;
    }
    grow(conn->sessions);
    session->of = conn->sessions;
    session->id = id;
    smf__flow_open(&session->flow, role, stream, conn->agreed.credit_bytes, SMF__SLICE_SIZE_BYTES);
    bucket = bucket_of(conn->sessions, id);
    session->next = *bucket;
    *bucket = session;
    conn->sessions->count++;
    smf__count(conn->rpc->sessions_open, 1u);
    conn->rpc->entries_of_peers += conn->accepted;
    return session;
}

void smf__session_free(struct smf__session *session)
{
    struct smf__sessions *sessions = session->of;
    struct smf__rpc *rpc = sessions->conn->rpc;
    struct smf__session **at = bucket_of(sessions, session->id);

    while (*at != session)
        at = &(*at)->next;
    *at = session->next;
    smf__session_drop_queue(session);
    smf__session_drop_body(session);
    if (session->copies != NULL)
        smf__buffer_unref(rpc->core->pool, session->copies);
    smf__session_stop_slicing(session);
    smf__link_remove(&session->ready);
    smf__link_remove(&session->giving);
    smf__link_remove(&session->telling);
    smf__link_remove(&session->over);
    give_entry(rpc, session);
    smf__uncount(rpc->sessions_open, 1u);
    if (rpc->sessions_open == 0) /* nobody is left whom a pass could come to */
        smf__link_remove(&rpc->hungry_mark);
    rpc->entries_of_peers -= sessions->conn->accepted;
    if (--sessions->count == 0)
        sessions_free(sessions);
}

int smf__session_free_if_over(struct smf__session *session)
{
    struct smf__rpc *rpc = session->of->conn->rpc;

    if (!smf__flow_over(&session->flow))
        return 0;
    if (session->of->conn->accepted) {
        smf__session_free(session);
        return 1;
    }
    /* What the driver sends on the stream before it hears of the end must not open another one. */
    smf__session_drop_queue(session);
    smf__link_append(&rpc->over, &session->over);
    return 1;
}

void smf__session_forget(struct smf__conn *conn)
{
    for (uint32_t i = 0; conn->sessions != NULL && i <= conn->sessions->mask;) {
        struct smf__session *session = conn->sessions->buckets[i];

        if (session == NULL) {
            i++;
            continue;
        }
        if (conn->accepted && !session->told && !session->answered)
            (void)smf__level2_answered(conn, session->id); /* nobody else will */
        /* A stream's handler may wait for what can't come any more: the end of the connection tells it. */
        if (conn->accepted && session->told && !session->answered && session->flow.stream)
            conn->forget_calls = 1;
        smf__session_free(session);
    }
}

int smf__session_owes(const struct smf__conn *conn)
{
    for (uint32_t i = 0; conn->sessions != NULL && i <= conn->sessions->mask; i++) {
        for (const struct smf__session *at = conn->sessions->buckets[i]; at != NULL;
             at = at->next) {
            if (at->out_first != NULL)
                return 1;
        }
    }
    return 0;
}

int smf__session_bad(struct smf__conn *conn)
{
    smf__conn_finish(conn, SMF_CLOSE_BAD_STREAM, 0);
    return 0;
}

/* A message was begun too long ago. One that waits for us is not the peer's fault. */
static void timed_out(struct smf__timer *timer)
{
    struct smf__session *session = SMF__LINK_OF(timer, struct smf__session, timer);
    struct smf__conn *conn = session->of->conn;
    struct smf__rpc *rpc = conn->rpc;
    struct smf_turn *turn = &rpc->core->turn;

    if (session->flow.untaken != 0 || session->flow.holds ||
        (conn->pauses & SMF__PAUSE_MEMORY) != 0 || turn->event_count == turn->event_capacity) {
        smf__timer_start(rpc->core->timers, timer,
                         turn->now_ns + rpc->config.body_timeout_ms * 1000000ull);
        return;
    }
    smf__session_overrule(session, SMF_CODE_DEADLINE);
    smf__put_flush(rpc);
}

/* Frames that come. */

static int take_credit(struct smf__session *session, const uint8_t *payload)
{
    uint32_t size;

    if (session == NULL ||
        smf__flow_over(&session->flow)) /* it was on its way when the call ended */
        return 1;
    memcpy(&size, payload, sizeof size);
    if (smf__flow_credit(&session->flow, le32toh(size)) != SMF__FLOW_GOOD)
        return smf__session_bad(session->of->conn);
    if (session->out_first != NULL)
        smf__session_mark_ready(session);
    return 1;
}

/* Whether a frame of a session without an entry makes one. 0: it is as others; -1: it breaks a rule. */
static int makes_entry(const struct smf__conn *conn, uint32_t flags)
{
    if (flags & SMF_FRAME_RESET)
        return 0;
    if (!conn->accepted && (flags & SMF_FRAME_STREAM))
        return -1; /* we know all that we opened */
    return (flags & (SMF_FRAME_STREAM | SMF_FRAME_MORE)) != 0;
}

/* Whether the peer may have one entry more: calls that are over may leave some for a while, not that many. Of
 * a connection that we opened the program decides how many calls there are. 0: the connection ends. */
static int may_have_entry(struct smf__conn *conn)
{
    const struct smf__rpc *rpc = conn->rpc;
    uint32_t calls = conn->agreed.calls_max;

    if (!conn->accepted && conn->in_flight > calls)
        calls = conn->in_flight;
    if (conn->sessions != NULL && conn->sessions->count >= SESSIONS_OF_CALLS * calls)
        return smf__session_bad(conn);
    if (conn->accepted && rpc->entries_of_peers >= SESSIONS_OF_CALLS * rpc->config.running_max) {
        smf__conn_finish(conn, SMF_CLOSE_NO_MEMORY, 0);
        return 0;
    }
    return 1;
}

/* The entry for a call that begins, or for the reply to a plain one. NULL: the connection ends. */
static struct smf__session *make_entry(struct smf__conn *conn)
{
    const struct smf_frame *frame = &conn->frame;
    struct smf__session *session;

    if (!may_have_entry(conn))
        return NULL;
    session =
        smf__session_new(conn, frame->session, conn->accepted ? SMF__FLOW_CALLEE : SMF__FLOW_CALLER,
                         (frame->flags & SMF_FRAME_STREAM) != 0);
    if (session == NULL)
        return NULL;
    session->method = frame->meta;
    if (!conn->accepted) {
        smf__flow_request_is_over(&session->flow);
        return session;
    }
    session->answered = 1; /* it is not what runs, if the session does */
    if (smf__level2_admit(conn, frame->session, frame->flags)) {
        session->answered = 0;
        return session;
    }
    if (conn->state != SMF__CONN_OPEN)
        return NULL;
    (void)smf__flow_reset(&session->flow); /* the caller may go on until it hears of it */
    return session;
}

/* Is the message in slices that this frame begins one that will have to be put together? */
static int is_wanted(const struct smf__conn *conn, const struct smf__session *session,
                     uint64_t size)
{
    return (session == NULL || !session->flow.discards) &&
           size <= conn->agreed.message_size_bytes_max &&
           smf__pool_could_fit(conn->rpc->core->pool, size);
}

static uint32_t read_u32(const uint8_t *bytes)
{
    uint32_t value;

    memcpy(&value, bytes, sizeof value);
    return le32toh(value);
}

/* What a frame is, before it is known whether it keeps the rules. */
struct arrival {
    const uint8_t *payload; /* the metadata block, if any */
    uint16_t metadata_size;
    int begins; /* a message in slices */
    struct smf__flow_frame frame;
};

/* 0: the connection ends. */
static int look_at(struct smf__conn *conn, const struct smf__session *session,
                   const uint8_t *payload, struct arrival *arrival)
{
    const struct smf_frame *frame = &conn->frame;

    memset(arrival, 0, sizeof *arrival);
    arrival->payload = payload;
    if (frame->flags & SMF_FRAME_METADATA) {
        if (session != NULL && session->flow.in_size != 0 && !(frame->flags & SMF_FRAME_RESET))
            return smf__session_bad(conn); /* only a message's first frame has a block */
        if (!smf__level2_metadata(conn, payload, frame->size, &arrival->metadata_size))
            return 0;
    }
    arrival->frame.flags = frame->flags;
    arrival->frame.size = frame->size - arrival->metadata_size;
    arrival->begins = session != NULL ? smf__flow_begins_slices(&session->flow, frame->flags)
                                      : (frame->flags & SMF_FRAME_MORE) != 0;
    if (!arrival->begins)
        return 1;
    if (arrival->frame.size <= SMF__FLOW_PREFIX_SIZE_BYTES)
        return smf__session_bad(conn);
    arrival->frame.whole_size = read_u32(payload + arrival->metadata_size);
    return 1;
}

/* The message in slices that begins gets its memory; or the call ends for want of it. */
static void begin_body(struct smf__session *session, const struct arrival *arrival)
{
    struct smf__conn *conn = session->of->conn;
    const struct smf_frame *frame = &conn->frame;
    uint32_t size = arrival->frame.whole_size;

    if (!is_wanted(conn, session, (uint64_t)arrival->metadata_size + size))
        return;
    session->body = smf__session_body(session, arrival->metadata_size, size);
    if (session->body == NULL)
        return;
    session->in_metadata_size = arrival->metadata_size;
    session->in_meta = frame->meta;
    session->in_flags = (uint8_t)(frame->flags & ~(uint32_t)SMF_FRAME_MORE);
    session->in_compression = frame->compression;
    memcpy(session->body->data, arrival->payload, arrival->metadata_size);
    smf__timer_start(conn->rpc->core->timers, &session->timer,
                     conn->rpc->core->turn.now_ns + conn->rpc->config.body_timeout_ms * 1000000ull);
}

/* Does what the rules say that a frame means. Returns what smf__level2_emit does. */
static int take_step(struct smf__session *session, const struct arrival *arrival,
                     const struct smf__flow_step *step, struct smf_buffer *buffer)
{
    struct smf__conn *conn = session->of->conn;
    const uint8_t *bytes = arrival->payload + arrival->metadata_size;

    if (arrival->begins)
        bytes += SMF__FLOW_PREFIX_SIZE_BYTES;
    if ((step->meaning & SMF__FLOW_PLACE) && session->body == NULL) {
        int fits =
            is_wanted(conn, session, (uint64_t)arrival->metadata_size + arrival->frame.whole_size);

        smf__session_overrule(session, fits ? SMF_CODE_UNAVAILABLE : SMF_CODE_TOO_LARGE);
    } else {
        if (step->meaning & SMF__FLOW_PLACE)
            smf__session_placed(session, step, bytes);
        if (!smf__session_deliver(session, step, bytes, arrival->metadata_size, buffer))
            return 0;
    }
    if (conn->state != SMF__CONN_OPEN)
        return 0;
    if (!smf__session_free_if_over(session))
        smf__session_mark_giving(session);
    return 1;
}

int smf__session_emit(struct smf__conn *conn, const uint8_t *payload, struct smf_buffer *buffer)
{
    const struct smf_frame *frame = &conn->frame;
    struct smf__session *session = smf__session_find(conn, frame->session);
    struct smf__flow_step step;
    struct arrival arrival;

    if (frame->flags & SMF_FRAME_CREDIT)
        return take_credit(session, payload);
    if (session == NULL) {
        int makes = makes_entry(conn, frame->flags);

        if (makes == 0)
            return SMF__SESSION_NONE;
        if (makes < 0)
            return smf__session_bad(conn);
    }
    if (!look_at(conn, session, payload, &arrival))
        return 0;
    if (session == NULL)
        session = make_entry(conn);
    if (session == NULL)
        return 0;
    if (conn->accepted && !(frame->flags & SMF_FRAME_RESET) && frame->meta != session->method)
        return smf__session_bad(conn);
    if (arrival.begins && !session->flow.discards)
        begin_body(session, &arrival);
    if (smf__flow_receive(&session->flow, &arrival.frame, &step) != SMF__FLOW_GOOD)
        return smf__session_bad(conn);
    return take_step(session, &arrival, &step, buffer);
}
