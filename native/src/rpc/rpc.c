/* The room: what a core's turn does for its connections. */
#include "rpc/rpc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <smf/code.h>

#include "mem/mem_count.h"
#include "rpc/rpc_level2.h"

#define DRAIN_TURNS 3u /* until the listeners are closed */
#define STARVED_PAUSE_NS 200000l
#define HOT_LOOKS 4u    /* one in so many is at all connections, not only at the hot one, */
#define HOT_NS 50000ull /* and the first one so long after the last that was */

static size_t conns_size(const struct smf__rpc *rpc)
{
    return (size_t)rpc->config.connections_max * sizeof *rpc->conns;
}

/* Peers of level 2 hear that they are to go, and have some time for it: what they have called until they
 * hear it is answered. */
void smf__rpc_send_away(struct smf__conn *conn)
{
    struct smf__rpc *rpc = conn->rpc;

    if (conn->level != 2)
        return;
    smf__level2_goaway(conn, SMF_CODE_UNAVAILABLE);
    if (!rpc->drain_over && !smf__timer_running(&rpc->drain_timer))
        smf__timer_start(rpc->core->timers, &rpc->drain_timer,
                         rpc->core->turn.now_ns + SMF__RPC_LINGER_NS);
}

static void settle_all(struct smf__rpc *rpc)
{
    for (uint32_t i = 0; i < rpc->conns_used; i++) {
        struct smf__conn *conn = &rpc->conns[i];

        if (conn->state != SMF__CONN_OPEN || !conn->accepted)
            continue;
        if (!conn->draining)
            smf__rpc_send_away(conn);
        conn->draining = 1;
        smf__conn_settle(conn);
    }
    smf__put_flush(rpc);
}

static void drain_timer_fired(struct smf__timer *timer)
{
    struct smf__rpc *rpc =
        (struct smf__rpc *)((char *)timer - offsetof(struct smf__rpc, drain_timer));

    rpc->drain_over = 1;
    settle_all(rpc);
}

void smf__rpc_close_listeners(struct smf__rpc *rpc)
{
    struct smf_turn *turn = &rpc->core->turn;

    while (turn->listeners > 0)
        rpc->net->ops->listener_close(rpc->net, rpc->listeners[--turn->listeners]);
    if (rpc->group != NULL)
        smf__seat_shut(rpc->seat);
}

/* A drain takes a few turns: one that accepts who has knocked already, one that reads what they and
 * the others have sent, more of these while a turn is not enough for it, or while connections are on
 * their way from other cores; then whoever is owed nothing is closed, and the others when their last
 * reply has gone out. */
static void drain_on(struct smf__rpc *rpc)
{
    if (rpc->drain_turns == 0)
        return;
    if (rpc->drain_turns < DRAIN_TURNS) {
        rpc->drain_turns++;
        if (rpc->drain_turns == DRAIN_TURNS)
            smf__rpc_close_listeners(rpc);
    } else if (!rpc->unread && smf__rpc_promised(rpc) == 0) {
        rpc->settling = 1;
    }
    if (!rpc->settling) {
        rpc->core->hurry = 1;
        return;
    }
    settle_all(rpc);
    if (rpc->accepted_open == 0 && !rpc->drained) {
        rpc->drained = 1;
        rpc->core->hurry = 1; /* once: whoever waits for the end looks whether this is it */
    }
}

/* Those that the driver disconnected in the last turn: its sends have gone first. Or that a goaway is
 * to end, if the driver has not called meanwhile. */
static void leave(struct smf__rpc *rpc)
{
    struct smf__conn *conn = rpc->leaving, *next;

    for (rpc->leaving = NULL; conn != NULL; conn = next) {
        uint32_t how = conn->leaving;

        next = conn->next_leaving;
        if (how == SMF__LEAVING) {
            smf__conn_finish(conn, SMF_CLOSE_BY_US, 1);
            continue;
        }
        conn->leaving = SMF__LEAVING_NOT;
        if (conn->in_flight == 0)
            smf__conn_finish(conn, SMF_CLOSE_BY_PEER, 1);
    }
}

/* Before there is time to wait: what was lent comes back, connections whose reason to pause is gone go
 * on, and those that ended (by a timer, too) are told of. */
static void catch_up(struct smf__rpc *rpc)
{
    rpc->caught_up = 1;
    smf__rpc_take_back(rpc);
    if (rpc->paused != NULL)
        smf__rpc_resume(rpc);
    if (rpc->hungry_first != NULL)
        smf__rpc_feed(rpc);
    if (rpc->closed != NULL)
        smf__conn_reap(rpc);
}

static void room_begin(void *context)
{
    struct smf__rpc *rpc = context;

    rpc->turns++;
    smf__rpc_send_collected(rpc);
    if (smf__session_is_due(rpc))
        smf__session_work(rpc, 1);
    leave(rpc);
    smf__core_loans_reset(rpc->core);
    drain_on(rpc);
    rpc->caught_up = 0;
    if (rpc->core->turn.event_count != 0) /* of refused calls; else the first look catches up */
        catch_up(rpc);
}

static void deal_with(struct smf__rpc *rpc, const struct smf__net_event *event)
{
    struct smf__conn *conn = event->context;

    if (event->kinds & SMF__NET_ACCEPTED) {
        smf__rpc_accept(rpc, event->stream);
        return;
    }
    if (conn->state == SMF__CONN_CLOSED)
        return;
    if (event->kinds & SMF__NET_CONNECTED)
        smf__conn_connected(conn, event->status);
    if ((event->kinds & SMF__NET_WRITABLE) && conn->unsent_first != NULL)
        smf__conn_flush(conn);
    if (event->kinds & SMF__NET_READABLE)
        smf__conn_read(conn);
    if ((event->kinds & SMF__NET_HANGUP) && conn->state != SMF__CONN_CLOSED &&
        (conn->state != SMF__CONN_OPEN || (conn->pauses & ~(uint32_t)SMF__PAUSE_TURN) != 0 ||
         rpc->starved)) /* else a read finds out */
        smf__conn_close(conn, SMF_CLOSE_BROKEN);
}

static void starve(struct smf__rpc *rpc)
{
    struct timespec pause = {.tv_nsec = STARVED_PAUSE_NS};

    rpc->starved = 0;
    smf__count(rpc->stats.starved, 1);
    if (rpc->core->turn.event_count == 0)
        nanosleep(&pause, NULL);
}

/* A connection that was alone with something to read twice in a row is hot: while the core will look
 * again anyway it is read without asking the transport whether there is anything, which saves a system
 * call just where somebody waits for a reply. */
static void note_hot(struct smf__rpc *rpc, int count)
{
    struct smf__conn *alone = NULL;

    if (count == 0)
        return;
    if (count == 1 && rpc->ready[0].kinds == SMF__NET_READABLE)
        alone = rpc->ready[0].context;
    rpc->hot = alone == rpc->alone ? alone : NULL;
    rpc->alone = alone;
}

/* Reads the hot connection. 0: look at all of them. */
static int read_hot(struct smf__rpc *rpc)
{
    struct smf__conn *conn = rpc->hot;

    if (conn == NULL || !rpc->core->looks_again || rpc->drain_turns != 0 ||
        ++rpc->hot_looks % HOT_LOOKS == 0 || rpc->core->turn.now_ns - rpc->looked_ns > HOT_NS)
        return 0;
    if (conn->state != SMF__CONN_OPEN || conn->pauses != 0) {
        rpc->hot = rpc->alone = NULL;
        return 0;
    }
    smf__conn_read(conn);
    rpc->core->busy = 1;
    return 1;
}

static void look_at_all(struct smf__rpc *rpc, int64_t timeout_ns)
{
    uint32_t room = rpc->core->turn.event_capacity - rpc->core->turn.event_count;
    int count;

    if (room > SMF__RPC_NET_EVENTS_MAX)
        room = SMF__RPC_NET_EVENTS_MAX;
    count = rpc->net->ops->poll(rpc->net, rpc->ready, (int)room, timeout_ns);
    if (timeout_ns != 0)
        rpc->core->turn.now_ns = smf__clock_now_ns(&rpc->core->clock);
    rpc->looked_ns = rpc->core->turn.now_ns;
    rpc->core->busy |= count != 0;
    note_hot(rpc, count);
    for (int i = 0; i < count; i++)
        deal_with(rpc, &rpc->ready[i]);
}

static void room_poll(void *context, int64_t timeout_ns)
{
    struct smf__rpc *rpc = context;

    /* In a turn's first look there may be events already, of the room beside. */
    if (rpc->core->turn.event_count == 0 || !rpc->caught_up)
        catch_up(rpc);
    if (rpc->core->turn.event_count != 0 || rpc->core->hurry)
        timeout_ns = 0;
    if (timeout_ns != 0 || !read_hot(rpc))
        look_at_all(rpc, timeout_ns);
    if (smf__session_is_due(rpc))
        smf__session_work(rpc, 0);
    rpc->unread = rpc->core->turn.event_count >= SMF__RPC_FRAMES_OF_TURN_MAX ||
                  rpc->chunks_of_turn == SMF__RPC_CHUNKS_OF_TURN_MAX;
    if (rpc->closed != NULL)
        smf__conn_reap(rpc);
    if (__builtin_expect(rpc->starved, 0))
        starve(rpc);
}

static void room_wake(void *context)
{
    struct smf__rpc *rpc = context;

    rpc->net->ops->wake(rpc->net);
}

static int room_fd(const void *context)
{
    const struct smf__rpc *rpc = context;

    return rpc->net->ops->fd(rpc->net);
}

static int room_watch(void *context, int fd)
{
    struct smf__rpc *rpc = context;

    return rpc->net->ops->watch != NULL ? rpc->net->ops->watch(rpc->net, fd) : SMF_EUNSUPPORTED;
}

static void room_unwatch(void *context, int fd)
{
    struct smf__rpc *rpc = context;

    rpc->net->ops->unwatch(rpc->net, fd);
}

static void level2_stats(const struct smf__rpc *rpc, struct smf_core_stats *stats)
{
    stats->connections_level2 = smf__counted(rpc->stats.connections_level2);
    stats->hellos = smf__counted(rpc->stats.hellos);
    stats->hellos_refused = smf__counted(rpc->stats.hellos_refused);
    stats->pings = smf__counted(rpc->stats.pings);
    stats->cancels = smf__counted(rpc->stats.cancels);
    stats->cancels_ignored = smf__counted(rpc->stats.cancels_ignored);
    stats->goaways = smf__counted(rpc->stats.goaways);
    stats->one_way = smf__counted(rpc->stats.one_way);
    stats->refused_too_many = smf__counted(rpc->stats.refused_too_many);
    stats->refused_draining = smf__counted(rpc->stats.refused_draining);
    stats->frames_dropped = smf__counted(rpc->stats.frames_dropped);
    stats->refused_running = smf__counted(rpc->stats.refused_running);
}

static void room_stats(const void *context, struct smf_core_stats *stats)
{
    const struct smf__rpc *rpc = context;

    stats->polls = smf__counted(rpc->net->polls);
    stats->recvs = smf__counted(rpc->net->recvs);
    stats->sends = smf__counted(rpc->net->sends);
    stats->requests = smf__counted(rpc->stats.requests);
    stats->replies_sent = smf__counted(rpc->stats.replies_sent);
    stats->requests_sent = smf__counted(rpc->stats.requests_sent);
    stats->replies = smf__counted(rpc->stats.replies);
    stats->bytes_received = smf__counted(rpc->stats.bytes_received);
    stats->bytes_sent = smf__counted(rpc->stats.bytes_sent);
    stats->accepted = smf__counted(rpc->stats.accepted);
    stats->connected = smf__counted(rpc->stats.connected);
    stats->frames_assembled = smf__counted(rpc->stats.frames_assembled);
    stats->reads_paused = smf__counted(rpc->stats.reads_paused);
    stats->stale_replies = smf__counted(rpc->stats.stale_replies);
    for (uint32_t i = 0; i < SMF_CLOSE_REASONS; i++)
        stats->closed[i] = smf__counted(rpc->stats.closed[i]);
    stats->paused_in_flight = smf__counted(rpc->stats.paused_in_flight);
    stats->paused_running = smf__counted(rpc->stats.paused_running);
    stats->paused_memory = smf__counted(rpc->stats.paused_memory);
    stats->paused_unsent = smf__counted(rpc->stats.paused_unsent);
    stats->starved = smf__counted(rpc->stats.starved);
    stats->send_timeouts = smf__counted(rpc->stats.send_timeouts);
    stats->unsent_exceeded = smf__counted(rpc->stats.unsent_exceeded);
    stats->connections_open = smf__counted(rpc->slots_taken);
    stats->connections_handed_in = smf__counted(rpc->stats.connections_handed_in);
    stats->connections_handed_out = smf__counted(rpc->stats.connections_handed_out);
    level2_stats(rpc, stats);
}

static void room_forget(void *context, smf__letter_function function, void *letter_context)
{
    smf__rpc_forget_letter(context, function, letter_context);
}

static void room_close(void *context)
{
    struct smf__rpc *rpc = context;

    for (uint32_t i = 0; i < rpc->conns_used; i++) {
        if (rpc->conns[i].state != SMF__CONN_FREE)
            smf__conn_close(&rpc->conns[i], SMF_CLOSE_BY_US);
    }
    smf__timer_stop(rpc->core->timers, &rpc->drain_timer);
    smf__rpc_take_back(rpc);
    smf__session_close_room(rpc);
    if (rpc->chunk != NULL)
        smf__buffer_unref(rpc->core->pool, rpc->chunk);
    while (rpc->free_segments != NULL) {
        struct smf__segment *segment = rpc->free_segments;

        rpc->free_segments = segment->next;
        free(segment);
    }
    if (rpc->net != NULL)
        rpc->net->ops->close(rpc->net);
    if (rpc->conns != NULL)
        munmap(rpc->conns, conns_size(rpc));
    free(rpc);
}

/* What may be sent in one frame: no more than is taken, or than there will ever be memory for in one
 * piece. An empty table may be sent whatever the limit is. */
static uint64_t payload_size_max(const struct smf_core *core, const struct smf__rpc_config *config)
{
    uint64_t size = smf__pool_piece_size_max(core->pool) - SMF_FRAME_HEADER_SIZE_BYTES;

    if (size > config->frame_size_bytes_max)
        size = config->frame_size_bytes_max;
    return size > SMF__EMPTY_TABLE_SIZE_BYTES ? size : SMF__EMPTY_TABLE_SIZE_BYTES;
}

int smf__rpc_open(struct smf_core *core, struct smf__net *net, const struct smf__rpc_config *config,
                  struct smf_error *error_out)
{
    struct smf__rpc *rpc = calloc(1, sizeof *rpc);
    struct smf__room room = {.context = rpc,
                             .begin = room_begin,
                             .poll = room_poll,
                             .wake = room_wake,
                             .fd = room_fd,
                             .watch = room_watch,
                             .unwatch = room_unwatch,
                             .stats = room_stats,
                             .forget = room_forget,
                             .close = room_close};

    if (rpc == NULL)
        return smf__error(error_out, SMF_ENOMEM, 0, "no memory for a core's connections");
    smf__check(config->in_flight_max <= SMF__RPC_CALLS_MAX &&
               config->running_max <= SMF__RPC_CALLS_MAX);
    rpc->core = core;
    rpc->config = *config;
    rpc->frame_size_fits_max = smf__pool_piece_size_max(core->pool);
    if (rpc->frame_size_fits_max > config->frame_size_bytes_max)
        rpc->frame_size_fits_max = config->frame_size_bytes_max;
    rpc->drain_timer.fire = drain_timer_fired;
    smf__session_open_room(rpc);
    core->payload_size_bytes_max = payload_size_max(core, config);
    rpc->conns = mmap(NULL, conns_size(rpc), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (rpc->conns == MAP_FAILED) {
        free(rpc);
        return smf__error(error_out, SMF_ENOMEM, 0,
                          "no memory for connections; lower connections_max");
    }
    rpc->net = net;
    net->accepts_max = SMF__RPC_ACCEPTS_MAX;
    smf__core_furnish(core, &room);
    return SMF_OK;
}

struct smf__rpc *smf__rpc_of(struct smf_core *core)
{
    return core->room.context;
}

int smf__rpc_listen(struct smf__rpc *rpc, const char *address, const struct smf__listener *first,
                    struct smf__listener **listener_out, char *bound_out, uint32_t bound_size,
                    struct smf_error *error_out)
{
    struct smf_turn *turn = &rpc->core->turn;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES];
    size_t size;
    int status;

    if (turn->listeners == SMF__RPC_LISTENERS_MAX)
        return smf__error(error_out, SMF_ELIMIT, 0, "a core listens on at most 16 addresses");
    status = rpc->net->ops->listen(rpc->net, address, first, NULL, listener_out, bound,
                                   sizeof bound, error_out);
    if (status != SMF_OK)
        return status;
    size = strlen(bound) + 1;
    if (bound_out != NULL && bound_size < size) {
        rpc->net->ops->listener_close(rpc->net, *listener_out);
        return smf__error(error_out, SMF_EINVAL, 0,
                          "bound_size: the address does not fit; 128 bytes are enough for any");
    }
    if (bound_out != NULL)
        memcpy(bound_out, bound, size);
    rpc->listeners[turn->listeners++] = *listener_out;
    return SMF_OK;
}
