/* Stories from seeds: two cores on a simulated network, connections of either level, calls of every kind,
 * cancels, pings, slow readers, drains, memory that is short, and connections that break or fall silent after
 * some byte. Whatever happens: no call is lost without an error, none is answered twice, messages are whole and
 * in order, and nothing is left behind.
 *
 * The same stories are told each time: those of the seeds 1 to 500. SMF_SEEDS=N tells N others, from a seed
 * of the clock's on, or of --seed: so SMF_SEEDS=1 and --seed N tell one again. */
#include <smf/code.h>
#include <smf/level2.h>
#include <smf/metadata.h>

#include "test_left.h"
#include "test_level2.h"
#include "time/time_random.h"

#define SEEDS 500u
#define SEEDS_SLOWED 12u     /* where an emulator or a sanitizer runs them */
#define AGAIN_IN 16u         /* one of so many stories is told twice */
#define SEEDS_OF_SHARES 100u /* from so many on, every kind of story is among them */
#define CALLS_MAX 48u
#define LINKS_MAX 3u
#define MESSAGES_MAX 8u
#define PINGS_MAX 100u /* of a connection: each makes turns in which there may be another one */
#define SESSIONS_MAX 24u
#define MIB (1u << 20)
#define PATTERN_BYTES (3u << 19) /* 1.5 MiB */
#define BLOCK_MAX 2048u
#define TICKS 3000u
#define TIME_OVER_MS 130000 /* longer than every timer of the engine */
#define METHOD 1000u
#define CROWD 8u /* calls of a connection, where there are to be more than are allowed */

enum kind { UNARY, ONE_WAY, STREAM };
enum state { WAITING, OPEN, ANSWERED, LOST, NEVER };
enum { TO_SERVER, TO_CLIENT };

/* What the server's program knows of a call. */
struct handler {
    uint64_t conn;
    uint16_t session;
    uint32_t seen, sent, got, taken, status;
    int fin, cancelled, answered;
};

struct call {
    enum kind kind;
    enum state state;
    uint32_t link;
    uint16_t session;
    uint32_t counts[2]; /* messages that are meant to go each way */
    uint32_t sent, got, taken;
    uint32_t ended_turn; /* story->turns when it was answered */
    int fin, cancels, cancelled, slow, early;
    struct handler handler;
};

struct link {
    uint64_t conn;
    uint32_t level, pings, pongs;
    int up, ended, away, breaks;
};

struct story {
    struct world world;
    struct smf__random random;
    uint64_t seed, hash;
    uint32_t turns; /* of the client, from 1 */
    uint32_t salt, size_max, call_count, link_count, sessions;
    struct call calls[CALLS_MAX];
    struct link links[LINKS_MAX];
    int over, drains, short_memory, hangs_up, crowded; /* crowded: some calls are refused */
    uint32_t ticks;
};

/* What a run of stories was made of. */
static struct {
    uint64_t answered, lost, cancelled, refused, broken, messages, sliced, drains;
} shares;

static uint8_t pattern[PATTERN_BYTES];

static uint32_t below(struct story *story, uint32_t bound)
{
    return (uint32_t)smf__random_below(&story->random, bound);
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

/* Messages: a function of the story, the call, the direction and the count. */

struct message {
    uint32_t size, metadata_size;
    const uint8_t *bytes;
};

static struct message message_of(const struct story *story, const struct call *call, int to,
                                 uint32_t at)
{
    uint64_t hash = mix(mix(story->salt, (uint64_t)(call - story->calls)), (uint64_t)to << 32 | at);
    uint32_t limit = 2u << (hash % 21); /* of any magnitude */
    struct message message;

    limit = limit < story->size_max ? limit : story->size_max;
    message.size = 1 + (uint32_t)(hash >> 8) % limit;
    message.bytes = pattern + (hash >> 40) % (PATTERN_BYTES - MIB - 1);
    message.metadata_size = 0;
    if (story->links[call->link].level == 2) {
        if (call->kind == UNARY && (hash >> 3) % 16 == 0)
            message.size = 0;
        if ((hash >> 4) % 8 == 0)
            message.metadata_size = (uint32_t)(hash >> 50) % 1000 + 1;
    }
    return message;
}

/* What a program sends; the block is longer than metadata_size said. */
static uint32_t message_write(const struct message *message, uint8_t *bytes_out)
{
    uint32_t block =
        message->metadata_size != 0 ? block_make(bytes_out, message->metadata_size) : 0;

    memcpy(bytes_out + block, message->bytes, message->size);
    return block + message->size;
}

static void check_message(const struct message *message, const struct smf_event *event)
{
    uint8_t block[SMF_METADATA_SIZE_BYTES_MAX];
    uint32_t size = message->metadata_size != 0 ? block_make(block, message->metadata_size) : 0;

    CHECK_EQ(event->size_bytes, message->size);
    CHECK_EQ(event->metadata_size_bytes, size);
    CHECK(memcmp(event->payload, message->bytes, message->size) == 0);
    CHECK(memcmp(event->payload - size, block, size) == 0);
    shares.messages++;
    shares.sliced += message->size > 65536;
}

/* Sends a message, or none (count: of those that are meant to go). Returns 0 when it has to wait. */
static int put(struct story *story, struct call *call, int to, uint32_t meta, uint32_t flags,
               int with_message)
{
    static uint8_t bytes[MIB + SMF_METADATA_SIZE_BYTES_MAX];
    struct handler *handler = &call->handler;
    struct smf_core *core = to == TO_SERVER ? story->world.client : story->world.server;
    uint64_t conn = to == TO_SERVER ? story->links[call->link].conn : handler->conn;
    uint16_t session = to == TO_SERVER ? call->session : handler->session;
    uint32_t size = 0;
    int status;

    if (with_message) {
        struct message message =
            message_of(story, call, to, to == TO_SERVER ? call->sent : handler->sent);

        size = message_write(&message, bytes);
        flags |= message.metadata_size != 0 ? SMF_FRAME_METADATA : 0u;
    }
    if (story->links[call->link].level == 1 && size == 0) /* an error says nothing */
        bytes[size++] = 0;
    status = smf_core_send_with(core, conn, session, meta, (uint8_t)flags, 0, bytes, size);
    if (status == SMF_ELIMIT || status == SMF_ENOMEM)
        return 0;
    if (smf__conn_find(smf__rpc_of(core), conn) !=
        NULL) /* of one that is gone limits aren't known */
        CHECK_EQ(status, SMF_OK);
    if (with_message)
        *(to == TO_SERVER ? &call->sent : &handler->sent) += 1;
    return 1;
}

/* The client. */

static void open_call(struct story *story, struct call *call)
{
    uint32_t flags = call->kind == STREAM ? SMF_FRAME_STREAM : 0;
    int with_message =
        call->counts[TO_SERVER] != 0 && (call->kind != STREAM || below(story, 4) != 0);

    call->session = 0;
    if (call->kind == ONE_WAY)
        flags |= SMF_FRAME_ONE_WAY;
    while (call->kind != ONE_WAY && call->session == 0) {
        call->session = (uint16_t)(1 + below(story, story->sessions));
        for (uint32_t i = 0; i < story->call_count; i++) {
            const struct call *other = &story->calls[i];

            if (other->link == call->link && other->session == call->session &&
                (other->state == OPEN || other->ended_turn == story->turns))
                call->session = 0; /* not again in the turn in which it has ended */
        }
    }
    if (call->kind == STREAM && call->counts[TO_SERVER] == (uint32_t)with_message &&
        below(story, 2) == 0)
        flags |= SMF_FRAME_FIN;
    if (!put(story, call, TO_SERVER, METHOD + (uint32_t)(call - story->calls), flags, with_message))
        return;
    call->state = call->kind == ONE_WAY ? ANSWERED : OPEN;
    call->fin = (flags & SMF_FRAME_FIN) != 0;
}

static void take(struct story *story, struct call *call, int of)
{
    struct handler *handler = &call->handler;
    uint32_t *taken = of == TO_SERVER ? &handler->taken : &call->taken;
    uint32_t got = of == TO_SERVER ? handler->got : call->got;
    int status;

    while (*taken < got && below(story, call->slow ? 64 : 3) == 0) {
        status = smf_core_taken(of == TO_SERVER ? story->world.server : story->world.client,
                                of == TO_SERVER ? handler->conn : story->links[call->link].conn,
                                of == TO_SERVER ? handler->session : call->session,
                                message_of(story, call, of, *taken).size);
        CHECK(status == SMF_OK || status == SMF_ECLOSED);
        *taken += 1;
    }
}

static void go_on(struct story *story, struct call *call)
{
    struct link *link = &story->links[call->link];
    uint32_t method = METHOD + (uint32_t)(call - story->calls);

    take(story, call, TO_CLIENT);
    if (call->cancels && !call->cancelled && link->up && link->level == 2 && below(story, 8) == 0) {
        int status = smf_core_cancel(story->world.client, link->conn, call->session,
                                     below(story, 2) ? SMF_CODE_CANCELLED : SMF_CODE_DEADLINE);

        CHECK(status == SMF_OK || status == SMF_ELIMIT || status == SMF_ENOMEM);
        call->cancelled = status == SMF_OK;
        shares.cancelled += (uint64_t)call->cancelled;
    }
    if (call->kind != STREAM || call->fin || call->cancelled || below(story, 3) != 0)
        return;
    if (call->sent < call->counts[TO_SERVER]) {
        int last = call->sent + 1 == call->counts[TO_SERVER] && below(story, 2) == 0;

        call->fin = put(story, call, TO_SERVER, method,
                        SMF_FRAME_STREAM | (last ? SMF_FRAME_FIN : 0u), 1) &&
                    last;
        return;
    }
    call->fin = put(story, call, TO_SERVER, method, SMF_FRAME_STREAM | SMF_FRAME_FIN, 0);
}

/* Calls of a connection whose sessions are taken. Asked for by those that wait only: there are many turns. */
static uint32_t open_of(const struct story *story, uint32_t link)
{
    uint32_t open = 0;

    for (uint32_t i = 0; i < story->call_count; i++)
        open += story->calls[i].link == link &&
                (story->calls[i].state == OPEN || story->calls[i].ended_turn == story->turns);
    return open;
}

static void client_acts(struct story *story)
{
    struct smf_core *core = story->world.client;

    for (uint32_t i = 0; i < story->call_count; i++) {
        struct call *call = &story->calls[i];
        struct link *link = &story->links[call->link];

        if (link->conn == 0 || link->ended)
            continue;
        if (call->state == WAITING && link->away)
            call->state = NEVER;
        else if (call->state == WAITING && open_of(story, call->link) < story->sessions &&
                 below(story, 6) == 0)
            open_call(story, call);
        else if (call->state == OPEN)
            go_on(story, call);
    }
    for (uint32_t i = 0; i < story->link_count; i++) {
        struct link *link = &story->links[i];

        if (link->up && !link->ended && link->pings < link->pongs + 8 && link->pings < PINGS_MAX &&
            below(story, 40) == 0) {
            int status = smf_core_ping(core, link->conn, mix(i, ++link->pings));

            CHECK(status == SMF_ECLOSED ||
                  status == (link->level == 2 ? SMF_OK : SMF_EUNSUPPORTED));
        }
        if (story->hangs_up && link->up && !link->ended && below(story, 400) == 0) {
            link->breaks = 1;
            smf_core_disconnect(core, link->conn);
        }
    }
}

static struct call *open_call_of(struct story *story, const struct link *link, uint16_t session)
{
    for (uint32_t i = 0; i < story->call_count; i++) {
        struct call *call = &story->calls[i];

        if (call->state == OPEN && &story->links[call->link] == link && call->session == session)
            return call;
    }
    CHECK(!"a call that has not ended");
    return NULL;
}

static void hear_reply(struct story *story, struct call *call, const struct smf_event *event)
{
    const struct handler *handler = &call->handler;
    const struct link *link = &story->links[call->link];

    if (event->flags & SMF_FRAME_RESET) {
        CHECK_EQ(handler->seen, 0); /* as it promises */
        CHECK_NE(event->meta, SMF_CODE_OK);
        shares.refused++;
    } else if (event->meta == SMF_CODE_OK) {
        CHECK_EQ(handler->seen, 1);
        CHECK(handler->answered);
        if (call->cancelled && (call->kind == STREAM || event->size_bytes == 0)) {
            call->got =
                handler->sent; /* what was sent before the last frame may have been dropped */
        } else if (call->kind == UNARY || event->size_bytes != 0) {
            struct message message = message_of(story, call, TO_CLIENT, call->got++);

            check_message(&message, event);
        }
        CHECK(call->cancelled || call->got == call->counts[TO_CLIENT]);
    } else if (event->meta != handler->status) { /* the engine's own verdict */
        CHECK(call->cancelled || link->level == 1 || link->away || story->short_memory ||
              story->ticks > TICKS);
    }
    call->state = ANSWERED;
    call->ended_turn = story->turns;
    shares.answered++;
}

static void client_hears(struct story *story, const struct smf_event *event)
{
    struct link *link = &story->links[event->user - 1];
    struct call *call;

    switch (event->kind) {
    case SMF_EVENT_CONNECTED:
        CHECK_EQ(event->level, link->level);
        link->up = 1;
        break;
    case SMF_EVENT_CLOSED:
        CHECK(!link->ended);
        link->ended = 1;
        for (uint32_t i = 0; i < story->call_count; i++) {
            call = &story->calls[i];
            if (&story->links[call->link] != link || call->state == ANSWERED)
                continue;
            shares.lost += call->state == OPEN;
            call->state = call->state == OPEN ? LOST : NEVER;
        }
        break;
    case SMF_EVENT_REPLY:
        hear_reply(story, open_call_of(story, link, event->session), event);
        break;
    case SMF_EVENT_MESSAGE: {
        struct message message;

        call = open_call_of(story, link, event->session);
        CHECK_EQ(call->kind, STREAM);
        CHECK_LT(call->got, call->handler.sent);
        message = message_of(story, call, TO_CLIENT, call->got++);
        check_message(&message, event);
        break;
    }
    case SMF_EVENT_PONG: {
        uint64_t token = mix(event->user - 1, ++link->pongs);

        CHECK_LE(link->pongs, link->pings);
        CHECK_MEM(event->payload, &token, sizeof token);
        break;
    }
    case SMF_EVENT_GOAWAY:
        link->away = 1;
        break;
    default:
        CHECK_EQ(event->kind, SMF_EVENT_WRITABLE);
    }
}

/* The server. */

static struct call *handler_of(struct story *story, const struct smf_event *event)
{
    struct call *found = NULL; /* one that runs, or else one that was answered */

    for (uint32_t i = 0; i < story->call_count; i++) {
        struct handler *handler = &story->calls[i].handler;

        if (handler->seen != 0 && handler->conn == event->conn &&
            handler->session == event->session && (found == NULL || !handler->answered))
            found = &story->calls[i];
    }
    CHECK(found != NULL);
    return found;
}

static void hear_message(struct story *story, struct call *call, const struct smf_event *event)
{
    struct handler *handler = &call->handler;

    CHECK(!handler->fin || handler->answered);
    if (event->size_bytes != 0 || (call->kind == UNARY && call->counts[TO_SERVER] != 0)) {
        struct message message = message_of(story, call, TO_SERVER, handler->got++);

        check_message(&message, event);
    }
    handler->fin = (event->flags & SMF_FRAME_FIN) != 0;
    if (handler->fin)
        CHECK_EQ(handler->got, call->counts[TO_SERVER]);
}

static void server_hears(struct story *story, const struct smf_event *event)
{
    struct call *call;

    switch (event->kind) {
    case SMF_EVENT_REQUEST:
        CHECK(event->meta >= METHOD && event->meta < METHOD + story->call_count);
        call = &story->calls[event->meta - METHOD];
        CHECK_EQ(event->session, call->session);
        CHECK_EQ(event->level, story->links[call->link].level);
        CHECK_EQ((event->flags & SMF_FRAME_STREAM) != 0, call->kind == STREAM);
        CHECK_EQ((event->flags & SMF_FRAME_ONE_WAY) != 0, call->kind == ONE_WAY);
        CHECK_EQ(call->handler.seen++, 0);
        call->handler.conn = event->conn;
        call->handler.session = event->session;
        hear_message(story, call, event);
        break;
    case SMF_EVENT_MESSAGE:
        call = handler_of(story, event);
        CHECK_EQ(call->kind, STREAM);
        if (!call->handler.answered)
            hear_message(story, call, event);
        break;
    case SMF_EVENT_CANCEL:
        handler_of(story, event)->handler.cancelled = 1;
        break;
    default:
        CHECK(event->kind == SMF_EVENT_WRITABLE || event->kind == SMF_EVENT_CLOSED);
    }
}

static void serve(struct story *story, struct call *call)
{
    struct handler *handler = &call->handler;
    int ends = story->over || handler->cancelled || call->early;
    uint32_t left = call->counts[TO_CLIENT] - handler->sent;
    uint32_t stream = call->kind == STREAM ? SMF_FRAME_STREAM : 0;
    int last;

    if (story->links[call->link].level == 2 && !handler->answered)
        take(story, call, TO_SERVER);
    if (handler->answered || (!story->over && below(story, 4) != 0))
        return;
    if (ends && (story->over || below(story, 6) == 0)) {
        handler->answered = put(story, call, TO_CLIENT, SMF_CODE_CONFLICT,
                                stream | (stream ? SMF_FRAME_FIN : 0u), 0);
        handler->status = SMF_CODE_CONFLICT;
        return;
    }
    if (call->kind == STREAM) {
        last = handler->fin && left <= 1 && (left == 0 || below(story, 2) == 0);
        if (left == 0 && !last)
            return;
        last = put(story, call, TO_CLIENT, SMF_CODE_OK, stream | (last ? SMF_FRAME_FIN : 0u),
                   left != 0) &&
               last;
    } else {
        last = put(story, call, TO_CLIENT, SMF_CODE_OK, 0, call->kind == UNARY);
    }
    handler->answered = last;
    if (last)
        handler->status = SMF_CODE_OK;
}

static void after_turn(struct world *world, struct smf_core *core)
{
    struct story *story = world->context;

    if (core == world->client) {
        client_acts(story);
        story->turns++;
        return;
    }
    for (uint32_t i = 0; i < story->call_count; i++) {
        if (story->calls[i].handler.seen != 0)
            serve(story, &story->calls[i]);
    }
}

static void hear(struct world *world, struct smf_core *core, const struct smf_event *event)
{
    struct story *story = world->context;

    story->hash = mix(story->hash, (uint64_t)(core == world->server) << 40 |
                                       (uint64_t)event->kind << 32 | event->session);
    story->hash = mix(story->hash, (uint64_t)event->meta << 32 | event->size_bytes);
    if (core == world->server)
        server_hears(story, event);
    else
        client_hears(story, event);
}

/* Stories. */

static void draw_calls(struct story *story)
{
    for (uint32_t i = 0; i < story->call_count; i++) {
        struct call *call = &story->calls[i];

        call->link = below(story, story->link_count);
        call->kind = story->links[call->link].level == 1 ? UNARY
                     : below(story, 10) == 0             ? ONE_WAY
                     : below(story, 2) == 0              ? STREAM
                                                         : UNARY;
        call->counts[TO_SERVER] = call->counts[TO_CLIENT] = 1;
        if (call->kind == STREAM) { /* of the client, of the server, both ways */
            call->counts[TO_SERVER] = below(story, 3) == 0 ? 1 : below(story, MESSAGES_MAX);
            call->counts[TO_CLIENT] = below(story, 3) == 0 ? 1 : below(story, MESSAGES_MAX);
        }
        call->cancels = below(story, 8) == 0;
        call->slow = below(story, 8) == 0;
        call->early = below(story, 12) == 0;
    }
}

static void draw_link(struct story *story, struct smf__sim_link *link)
{
    memset(link, 0, sizeof *link);
    link->latency_ns_min = below(story, 300000);
    link->latency_ns_max = link->latency_ns_min + below(story, 300000);
    link->window_bytes = 1 + below(story, 2u << below(story, 18));
    if (story->size_max > 4096) /* or it takes for ever */
        link->window_bytes += 16384;
    if (link->window_bytes < 4096)
        link->latency_ns_min = link->latency_ns_max = below(story, 2) ? 0 : 1000;
    if (below(story, 2) == 0)
        link->recv_size_max = 1u << ((story->size_max > 4096 ? 10 : 0) + below(story, 8));
    if (below(story, 2) == 0)
        link->send_size_max = 1u << ((story->size_max > 4096 ? 10 : 0) + below(story, 8));
}

static void connect_links(struct story *story, const struct smf__sim_fault *fault)
{
    for (uint32_t i = 0; i < story->link_count; i++) {
        struct link *at = &story->links[i];
        struct smf__sim_link link;
        struct smf_error error;

        draw_link(story, &link);
        if (fault != NULL) {
            link.fault = *fault;
        } else if (below(story, 3) == 0) {
            link.fault.kind = 1 + below(story, 2);
            link.fault.direction = below(story, 2);
            link.fault.at_byte = below(story, 2u << below(story, 21));
        }
        at->breaks = link.fault.kind != SMF__SIM_NO_FAULT;
        shares.broken += (uint64_t)at->breaks;
        smf__sim_link(story->world.sim, &link);
        CHECK_EQ(smf_core_connect_with(story->world.client, WORLD_ADDRESS, i + 1,
                                       at->level == 2 ? SMF_CONNECT_HELLO : 0, &at->conn, &error),
                 SMF_OK);
    }
}

static int is_over(const struct story *story)
{
    for (uint32_t i = 0; i < story->call_count; i++) {
        const struct call *call = &story->calls[i];

        if (call->state <= OPEN || (call->handler.seen != 0 && !call->handler.answered))
            return 0;
    }
    return 1;
}

static void tell(struct story *story, uint32_t drain_at)
{
    for (; story->ticks < TICKS && !is_over(story); story->ticks++) {
        if (story->ticks == drain_at) {
            smf_core_drain(story->world.server);
            for (uint32_t i = 0; i < story->link_count; i++)
                story->links[i].away = 1; /* or will be told */
            story->drains = 1;
            shares.drains++;
        }
        world_run(&story->world, 1);
    }
    for (uint32_t i = 0; i < 200 && !is_over(story); i++, story->ticks++) {
        int waits = 0; /* for one that was not broken */

        world_run(&story->world,
                  1000); /* memory that is short, slow readers: timers deal with it */
        story->ticks = TICKS;
        for (uint32_t j = 0; j < story->call_count; j++)
            waits |= story->calls[j].state == OPEN && !story->links[story->calls[j].link].breaks;
        if (!waits)
            break;
    }
}

/* Nobody says anything more: every call has ended, once, and nothing is left. */
static void end(struct story *story)
{
    struct world *world = &story->world;

    for (uint32_t i = 0; i < story->call_count; i++) {
        const struct call *call = &story->calls[i];

        CHECK(call->state != OPEN || story->links[call->link].breaks);
    }
    for (uint32_t i = 0; i < story->link_count; i++)
        smf_core_disconnect(world->client, story->links[i].conn);
    story->over = 1;
    world_run(world, TIME_OVER_MS);
    world_run(world, TIME_OVER_MS);
    for (uint32_t i = 0; i < story->link_count; i++)
        CHECK(story->links[i].ended);
    for (uint32_t i = 0; i < story->call_count; i++) {
        const struct call *call = &story->calls[i];
        int sound = !story->links[call->link].breaks && !story->drains;

        CHECK(call->state >= ANSWERED);
        CHECK_EQ(call->handler.answered, call->handler.seen);
        CHECK_LE(call->handler.seen, 1);
        CHECK(!sound || call->state == ANSWERED);
        CHECK(!sound || call->kind != ONE_WAY || call->handler.seen == 1 || story->crowded ||
              !story->links[call->link].up); /* hung up before it was */
    }
    check_nothing_is_left(world->server);
    check_nothing_is_left(world->client);
}

/* A whole story; the same seed tells the same. fault: of every connection, or NULL: any. */
static uint64_t play(uint64_t seed, uint32_t size_max, uint32_t calls,
                     const struct smf__sim_fault *fault)
{
    static struct story story;
    struct smf__rpc_config limits = world_limits();
    uint64_t hash;

    memset(&story, 0, sizeof story);
    story.seed = seed;
    story.turns = 1;
    smf__random_seed(&story.random, seed);
    story.salt = below(&story, 1u << 30);
    story.short_memory = fault == NULL && below(&story, 4) == 0;
    story.hangs_up = fault == NULL && below(&story, 6) == 0;
    story.size_max = size_max != 0 ? size_max : 1u << (4 + below(&story, 17));
    if (story.short_memory && story.size_max > 256u << 10)
        story.size_max = 256u << 10;
    story.call_count = calls != 0 ? calls : 1 + below(&story, CALLS_MAX);
    story.link_count = fault != NULL ? 1 : 1 + below(&story, LINKS_MAX);
    story.sessions = 1 + below(&story, SESSIONS_MAX);
    limits.credit_bytes = 65536u << below(&story, 3);
    story.crowded = below(&story, 3) == 0;
    limits.in_flight_max = story.crowded ? CROWD : 4096;
    if (story.crowded && story.sessions > 2 * CROWD) /* who calls more is cut off */
        story.sessions = 2 * CROWD;
    limits.idle_timeout_ms = 100000;
    limits.body_timeout_ms = 20000;
    world_open(&story.world, seed, story.short_memory ? 8 * MIB : 64 * MIB, &limits);
    story.world.context = &story;
    story.world.handle = hear;
    story.world.after_turn = after_turn;
    for (uint32_t i = 0; i < story.link_count; i++)
        story.links[i].level = fault == NULL && below(&story, 8) == 0 ? 1 : 2;
    draw_calls(&story);
    connect_links(&story, fault);
    tell(&story, fault == NULL && below(&story, 8) == 0 ? below(&story, 100) : TICKS);
    end(&story);
    hash = mix(story.hash, smf__sim_trace(story.world.sim));
    world_close(&story.world);
    return hash;
}

static uint64_t seeds(void)
{
    const char *text = getenv("SMF_SEEDS");

    if (text != NULL)
        return strtoull(text, NULL, 0);
    return test_slowed() ? SEEDS_SLOWED : SEEDS;
}

static uint64_t first_seed(void)
{
    return getenv("SMF_SEEDS") != NULL ? test_seed() : 1;
}

/* As many stories as there are seeds. One that fails says its seed: SMF_SEEDS=1, --seed and it is told alone. */
static void stories(void)
{
    uint64_t first = first_seed(), count = seeds();

    memset(&shares, 0, sizeof shares);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t hash;

        test_state.seed = first + i;
        hash = play(first + i, 0, 0, NULL);
        if ((first + i) % AGAIN_IN == 0 || count == 1)
            CHECK_EQ(play(first + i, 0, 0, NULL), hash);
    }
    test_state.seed = first;
    test_note("%" PRIu64 " stories: %" PRIu64 " calls answered, %" PRIu64 " refused, %" PRIu64
              " cancelled, %" PRIu64 " lost; %" PRIu64 " connections break, %" PRIu64
              " drains; %" PRIu64 " messages, %" PRIu64 " in slices",
              count, shares.answered, shares.refused, shares.cancelled, shares.lost, shares.broken,
              shares.drains, shares.messages, shares.sliced);
    if (count >= SEEDS_OF_SHARES)
        CHECK(shares.refused && shares.cancelled && shares.lost && shares.drains && shares.sliced);
}

static void other_seeds_tell_something_else(void)
{
    CHECK_NE(play(first_seed(), 0, 0, NULL), play(first_seed() + 1, 0, 0, NULL));
}

/* One story of small messages, broken at each of its bytes. */
static void broken_at_every_byte(void)
{
    static const uint32_t kinds[] = {SMF__SIM_RESET, SMF__SIM_STALL};
    uint64_t seed = first_seed();

    for (uint32_t direction = SMF__SIM_FORTH; direction <= SMF__SIM_BACK; direction++) {
        for (uint32_t kind = 0; kind < 2; kind++) {
            for (uint32_t byte = 0; byte < (test_slowed() ? 200u : 1000u); byte++) {
                struct smf__sim_fault fault = {kinds[kind], direction, byte};

                (void)play(seed, 16, 6, &fault);
            }
        }
    }
}

/* One of messages in slices, broken around where slices begin, and here and there between. */
static void broken_around_slices(void)
{
    uint64_t seed = first_seed();

    for (uint32_t i = 0; i < (test_slowed() ? 20u : 150u); i++) {
        struct smf__sim_fault fault = {SMF__SIM_RESET + i % 2, i / 2 % 2,
                                       i % 3 == 0 ? i * 5003u : i * 16u % 1024 + i / 8 * 65536u};

        (void)play(seed, MIB, 6, &fault);
    }
}

static const struct test tests[] = {
    TEST(stories),
    TEST(other_seeds_tell_something_else),
    TEST(broken_at_every_byte),
    TEST(broken_around_slices),
};

int main(int argc, char **argv)
{
    for (uint32_t i = 0; i < PATTERN_BYTES; i++)
        pattern[i] = (uint8_t)mix(i / 8, i);
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
