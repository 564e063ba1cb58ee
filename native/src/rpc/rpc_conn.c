/* The life of a connection: slots, states, timers, closing. */
#include <string.h>

#include "mem/mem_count.h"
#include "rpc/rpc_level2.h"

#define NS_PER_MS 1000000ull

struct smf__conn *smf__conn_find(struct smf__rpc *rpc, uint64_t id)
{
    uint32_t index = (uint32_t)id;
    struct smf__conn *conn;

    if (index >= rpc->conns_used)
        return NULL;
    conn = &rpc->conns[index];
    return conn->id == id && conn->state != SMF__CONN_FREE && conn->state != SMF__CONN_CLOSED
               ? conn
               : NULL;
}

/* A new event; the caller has made sure that there is room. */
struct smf_event *smf__rpc_event(struct smf__rpc *rpc, struct smf__conn *conn, uint32_t kind)
{
    struct smf_turn *turn = &rpc->core->turn;
    struct smf_event *event = &turn->events[turn->event_count++];

    memset(event, 0, sizeof *event);
    event->kind = (uint8_t)kind;
    event->level = conn->level;
    event->conn = conn->id;
    event->user = conn->user;
    return event;
}

static struct smf__conn *of_read_timer(struct smf__timer *timer)
{
    return (struct smf__conn *)((char *)timer - offsetof(struct smf__conn, read_timer));
}

static void read_timer_fired(struct smf__timer *timer)
{
    struct smf__conn *conn = of_read_timer(timer);

    if (conn->mode == SMF__MODE_ASKING)
        smf__conn_close(conn, SMF_CLOSE_HELLO_TIMEOUT);
    else if (conn->state == SMF__CONN_OPEN)
        smf__conn_finish(conn, conn->timing, 0);
    else
        smf__conn_close(conn, conn->reason);
}

static void send_timer_fired(struct smf__timer *timer)
{
    struct smf__conn *conn =
        (struct smf__conn *)((char *)timer - offsetof(struct smf__conn, send_timer));

    smf__count(conn->rpc->stats.send_timeouts, 1);
    smf__conn_close(conn, SMF_CLOSE_SLOW_READER);
}

/* Looks at the time of the last read instead of being moved by every read. */
static void idle_timer_fired(struct smf__timer *timer)
{
    struct smf__conn *conn =
        (struct smf__conn *)((char *)timer - offsetof(struct smf__conn, idle_timer));
    struct smf__rpc *rpc = conn->rpc;
    uint64_t due_ns = conn->active_ns + rpc->config.idle_timeout_ms * NS_PER_MS;

    if (conn->in_flight != 0)
        due_ns = rpc->core->turn.now_ns + rpc->config.idle_timeout_ms * NS_PER_MS;
    if (due_ns > rpc->core->turn.now_ns)
        smf__timer_start(rpc->core->timers, timer, due_ns);
    else
        smf__conn_finish(conn, SMF_CLOSE_IDLE_TIMEOUT, 0);
}

static struct smf__conn *take_slot(struct smf__rpc *rpc)
{
    struct smf__conn *conn = rpc->free_conns;

    smf__count(rpc->slots_taken, 1u);
    if (conn != NULL) {
        rpc->free_conns = conn->next;
        return conn;
    }
    smf__check(rpc->conns_used < rpc->config.connections_max);
    conn = &rpc->conns[rpc->conns_used];
    conn->id = rpc->conns_used++; /* generation 0: never handed out */
    return conn;
}

/* The caller has taken a place for it. */
struct smf__conn *smf__conn_open(struct smf__rpc *rpc, struct smf__stream *stream, int accepted)
{
    struct smf__conn *conn = take_slot(rpc);
    uint64_t id = conn->id + (1ull << 32);

    if (id >> 32 == 0) /* the generation wrapped */
        id += 1ull << 32;
    memset(conn, 0, sizeof *conn);
    conn->id = id;
    conn->rpc = rpc;
    conn->stream = stream;
    conn->accepted = (uint8_t)accepted;
    conn->level = 1;
    conn->mode = accepted && rpc->config.level >= 2 ? SMF__MODE_FIRST : SMF__MODE_LEVEL1;
    conn->state = accepted ? SMF__CONN_OPEN : SMF__CONN_CONNECTING;
    conn->active_ns = rpc->core->turn.now_ns;
    conn->read_timer.fire = read_timer_fired;
    conn->send_timer.fire = send_timer_fired;
    conn->idle_timer.fire = idle_timer_fired;
    smf__count(rpc->core->turn.connections, 1u);
    if (accepted) {
        rpc->accepted_open++;
        smf__count(rpc->stats.accepted, 1);
        if (rpc->config.idle_timeout_ms != 0)
            smf__timer_start(rpc->core->timers, &conn->idle_timer,
                             conn->active_ns + rpc->config.idle_timeout_ms * NS_PER_MS);
    }
    return conn;
}

void smf__conn_connected(struct smf__conn *conn, int status)
{
    struct smf__rpc *rpc = conn->rpc;

    if (conn->state != SMF__CONN_CONNECTING)
        return;
    if (status != SMF_OK) {
        conn->status = status;
        smf__conn_close(conn, SMF_CLOSE_CONNECT_FAILED);
        return;
    }
    conn->state = SMF__CONN_OPEN;
    smf__count(rpc->stats.connected, 1);
    if (conn->mode == SMF__MODE_ASKING) {
        smf__hello_ask(conn);
        return;
    }
    smf__rpc_event(rpc, conn, SMF_EVENT_CONNECTED);
    smf__conn_flush(conn);
    smf__conn_interest(conn);
}

/* What a lingering peer still sends is thrown away, so that it comes to read its last replies. One that
 * broke the rules may go on at full speed: after a while it has to wait, until it closes or is closed. */
int smf__conn_throws_away(const struct smf__conn *conn)
{
    int broke_rules =
        (conn->reason >= SMF_CLOSE_BAD_COMPRESSION && conn->reason <= SMF_CLOSE_BODY_TIMEOUT) ||
        conn->reason >= SMF_CLOSE_BAD_FRAME;

    return !broke_rules || conn->thrown_bytes < SMF__RPC_LINGER_BYTES_MAX;
}

/* Tells the transport what this connection waits for. */
void smf__conn_interest(struct smf__conn *conn)
{
    uint32_t lasting = conn->pauses & ~(uint32_t)SMF__PAUSE_TURN;
    int read = (conn->state == SMF__CONN_OPEN && lasting == 0) ||
               (conn->state == SMF__CONN_LINGERING && smf__conn_throws_away(conn));

    if (conn->state == SMF__CONN_CONNECTING || conn->state == SMF__CONN_CLOSED)
        return;
    conn->rpc->net->ops->stream_interest(conn->stream, read, conn->unsent_first != NULL);
}

/* Those that wait for memory have a list of their own: there may be thousands of them, and nothing is to
 * be done for any of them until memory comes back. */
static void become_hungry(struct smf__conn *conn)
{
    struct smf__rpc *rpc = conn->rpc;

    conn->listed = SMF__LIST_HUNGRY;
    conn->next = NULL;
    conn->prev = rpc->hungry_last;
    if (rpc->hungry_last != NULL)
        rpc->hungry_last->next = conn;
    else
        rpc->hungry_first = conn;
    rpc->hungry_last = conn;
}

void smf__conn_no_longer_hungry(struct smf__conn *conn)
{
    struct smf__rpc *rpc = conn->rpc;

    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        rpc->hungry_first = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    else
        rpc->hungry_last = conn->prev;
    if (rpc->hungry_next == conn)
        rpc->hungry_next = conn == rpc->hungry_end ? NULL : conn->next;
    if (rpc->hungry_end == conn)
        rpc->hungry_end = conn->prev;
    conn->listed = SMF__LIST_NONE;
}

static void count_pause(const struct smf__conn *conn, uint32_t why)
{
    struct smf_core_stats *stats = &conn->rpc->stats;

    smf__count(stats->reads_paused, 1);
    if (why == SMF__PAUSE_MEMORY)
        smf__count(stats->paused_memory, 1);
    else if (why == SMF__PAUSE_UNSENT)
        smf__count(stats->paused_unsent, 1);
    else if (conn->in_flight >= conn->rpc->config.in_flight_max)
        smf__count(stats->paused_in_flight, 1);
    else
        smf__count(stats->paused_running, 1);
}

void smf__conn_pause(struct smf__conn *conn, uint32_t why)
{
    struct smf__rpc *rpc = conn->rpc;

    conn->pauses |= (uint8_t)why;
    if (why != SMF__PAUSE_TURN) {
        count_pause(conn, why);
        smf__conn_interest(conn);
    }
    if (conn->listed != SMF__LIST_NONE)
        return;
    if (why == SMF__PAUSE_MEMORY) {
        become_hungry(conn);
        return;
    }
    conn->listed = SMF__LIST_PAUSED;
    conn->next = rpc->paused;
    rpc->paused = conn;
}

static void forget_input(struct smf__conn *conn)
{
    struct smf__pool *pool = conn->rpc->core->pool;

    if (conn->body != NULL)
        smf__buffer_unref(pool, conn->body);
    if (conn->rest_buffer != NULL)
        smf__buffer_unref(pool, conn->rest_buffer);
    conn->body = NULL;
    conn->rest_buffer = NULL;
    conn->rest_size = 0;
    conn->head_have = conn->have_frame = 0;
    smf__timer_stop(conn->rpc->core->timers, &conn->read_timer);
}

/* What level 2 has of it. */
static void forget_level2(struct smf__conn *conn)
{
    struct smf__rpc *rpc = conn->rpc;

    smf__hello_forget(conn);
    if (rpc->put_conn == conn) {
        rpc->put_conn = NULL;
        rpc->put_size = 0;
    }
    if (conn->level != 2)
        return;
    smf__uncount(rpc->stats.connections_level2, 1);
    smf__session_forget(conn);
    if (conn->running != NULL)
        smf__buffer_unref(rpc->core->pool, conn->running);
    conn->running = NULL;
}

/* Ends the connection now. Its slot, and the event that tells, come when the turn allows. */
void smf__conn_close(struct smf__conn *conn, uint32_t reason)
{
    struct smf__rpc *rpc = conn->rpc;

    if (conn->state == SMF__CONN_CLOSED)
        return;
    if (conn->state != SMF__CONN_FINISHING && conn->state != SMF__CONN_LINGERING) {
        if (conn->mode == SMF__MODE_ASKING)
            reason = smf__hello_reason(conn, reason);
        conn->reason = (uint8_t)reason;
        smf__count(rpc->stats.closed[reason], 1);
    }
    forget_input(conn);
    forget_level2(conn);
    smf__conn_forget_unsent(conn);
    smf__timer_stop(rpc->core->timers, &conn->idle_timer);
    if (conn->accepted) {
        smf__uncount(rpc->core->turn.in_flight, conn->in_flight);
        rpc->accepted_open--;
        if (rpc->settling && rpc->accepted_open == 0)
            rpc->core->hurry = 1; /* no event tells that a drain is over */
    }
    conn->state = SMF__CONN_CLOSED;
    smf__uncount(rpc->core->turn.connections, 1u);
    if (conn->listed == SMF__LIST_HUNGRY)
        smf__conn_no_longer_hungry(conn);
    if (conn->listed == SMF__LIST_NONE) { /* else the walk over the paused ones moves it here */
        conn->next = rpc->closed;
        rpc->closed = conn;
    }
}

/* Ends the connection when what is due has gone out. Nothing more is read. */
void smf__conn_finish(struct smf__conn *conn, uint32_t reason, int forget_calls)
{
    struct smf__rpc *rpc = conn->rpc;

    if (conn->state == SMF__CONN_CLOSED || conn->state == SMF__CONN_LINGERING)
        return;
    if (rpc->put_conn == conn)
        smf__put_flush(rpc);
    conn->forget_calls |= (uint8_t)forget_calls;
    if (conn->state == SMF__CONN_CONNECTING || conn->mode == SMF__MODE_ASKING) {
        smf__conn_close(conn, reason);
        return;
    }
    if (conn->state == SMF__CONN_OPEN) {
        conn->reason = (uint8_t)reason;
        smf__count(rpc->stats.closed[reason], 1);
        conn->state = SMF__CONN_FINISHING;
        forget_input(conn);
        smf__session_forget(conn); /* no credit comes any more */
        smf__conn_interest(conn);
    }
    smf__conn_settle(conn);
}

/* Ends the connection when the next turn begins, and what was collected in this one has gone out. */
void smf__conn_leave(struct smf__conn *conn, uint32_t how)
{
    struct smf__rpc *rpc = conn->rpc;

    if (conn->leaving == SMF__LEAVING_NOT) {
        conn->next_leaving = rpc->leaving;
        rpc->leaving = conn;
        rpc->core->busy = 1;
    }
    if (how > conn->leaving)
        conn->leaving = (uint8_t)how;
}

/* The peer has said goaway: without a call in flight nothing keeps a connection that we opened. */
void smf__conn_leave_if_done(struct smf__conn *conn)
{
    if (!conn->accepted && conn->in_flight == 0)
        smf__conn_leave(conn, SMF__LEAVING_GOAWAY);
}

/* Goes on with closing, if all that was due has gone out. A peer that sent more than we read would
 * get a reset, and lose its last replies with it: so shut our side, and wait a moment for the peer. */
void smf__conn_settle(struct smf__conn *conn)
{
    struct smf__rpc *rpc = conn->rpc;

    if (conn->draining && conn->state == SMF__CONN_OPEN && conn->in_flight == 0 &&
        conn->unsent_first == NULL && !conn->have_frame && conn->rest_size == 0 &&
        (conn->level == 1 || (rpc->drain_over && !smf__session_owes(conn))))
        smf__conn_finish(conn, SMF_CLOSE_BY_US, 0);
    if (conn->state != SMF__CONN_FINISHING || conn->unsent_first != NULL)
        return;
    if (conn->in_flight != 0 && conn->accepted && !conn->forget_calls)
        return;
    if (conn->reason == SMF_CLOSE_BY_PEER || !conn->accepted) {
        smf__conn_close(conn, conn->reason);
        return;
    }
    conn->state = SMF__CONN_LINGERING;
    rpc->net->ops->stream_shutdown_write(conn->stream);
    smf__conn_interest(conn);
    conn->timing = conn->reason;
    smf__timer_start(rpc->core->timers, &conn->read_timer,
                     rpc->core->turn.now_ns + SMF__RPC_LINGER_NS);
}

/* Which ends are told: every one of a connection that we opened, else those that are not ordinary, and
 * those that leave calls of level 2 without anybody who waits for them. */
static int is_told(const struct smf__conn *conn)
{
    return !conn->accepted || conn->reason > SMF_CLOSE_BROKEN ||
           (conn->level == 2 && conn->in_flight != 0);
}

static void tell_closed(struct smf__rpc *rpc, struct smf__conn *conn)
{
    char *text = rpc->texts[rpc->core->turn.event_count];
    struct smf_event *event = smf__rpc_event(rpc, conn, SMF_EVENT_CLOSED);

    rpc->net->ops->stream_peer(conn->stream, text, SMF__NET_ADDRESS_SIZE_BYTES);
    event->meta = conn->reason;
    event->session = (uint16_t)-conn->status;
    event->payload = (const uint8_t *)text;
    event->size_bytes = (uint32_t)strlen(text);
}

/* Gives the slots of closed connections back; those that must be told wait for room. */
void smf__conn_reap(struct smf__rpc *rpc)
{
    struct smf__conn *conn = rpc->closed, *next, *kept = NULL;

    for (rpc->closed = NULL; conn != NULL; conn = next) {
        next = conn->next;
        if (conn->leaving == SMF__LEAVING_GOAWAY || /* it is in a list until the next turn */
            (is_told(conn) && rpc->core->turn.event_count == rpc->core->turn.event_capacity)) {
            conn->next = kept;
            kept = conn;
            continue;
        }
        if (is_told(conn))
            tell_closed(rpc, conn);
        rpc->net->ops->stream_close(conn->stream);
        conn->state = SMF__CONN_FREE;
        conn->next = rpc->free_conns;
        rpc->free_conns = conn;
        smf__rpc_give_place(rpc);
    }
    rpc->closed = kept;
}
