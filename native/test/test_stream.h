/* Two programs that talk in streams and large messages over two real cores, on a simulated network: what each
 * session brought is checked byte by byte, and taken at once, or when the test says so. */
#ifndef SMF_TEST_STREAM_H
#define SMF_TEST_STREAM_H

#include "rpc/rpc_session.h"
#include "test_level2.h"

#define PARTY_SESSIONS 512
#define PARTY_TAKES_MAX 256
#define PARTY_METHOD WORLD_METHOD

enum { CLIENT, SERVER };

/* What one program knows of a session. */
struct talk {
    uint32_t requests, messages; /* events; messages of the peer that were not empty */
    uint64_t bytes;
    uint32_t fins, replies, cancels, writables;
    uint32_t status, flags; /* of the reply, or of the cancel */
    uint32_t sent;          /* messages */
    int keeps;              /* does not take */
    int gave_up;            /* what the reply brings is not looked at */
    uint32_t sizes[PARTY_TAKES_MAX];
    uint32_t taken; /* messages */
};

struct party {
    struct world world;
    uint64_t conn;        /* the client's */
    uint64_t server_conn; /* of the last request */
    uint64_t used[2];     /* of the pools, before there was any session */
    struct talk talks[2][PARTY_SESSIONS];
    int keeps;  /* nobody takes */
    int echoes; /* the server sends back what it gets, and fin for fin */
    void (*heard)(struct party *party, int of, const struct smf_event *event); /* or NULL */
};

static uint8_t party_memory[(66u << 20)];

static inline uint8_t party_byte(int from, uint16_t session, uint32_t message, uint32_t at)
{
    return (uint8_t)((uint32_t)from * 101 + session * 31u + message * 17u + at * 7u + (at >> 8));
}

static inline struct smf_core *party_core(const struct party *party, int of)
{
    return of == SERVER ? party->world.server : party->world.client;
}

static inline void party_send_as(struct party *party, int from, uint16_t session, uint32_t meta,
                                 uint32_t flags, uint32_t size)
{
    struct talk *talk = &party->talks[from][session];

    CHECK_LE(size, sizeof party_memory);
    for (uint32_t i = 0; i < size; i++)
        party_memory[i] = party_byte(from, session, talk->sent, i);
    talk->sent += size != 0;
    CHECK_EQ(smf_core_send_with(party_core(party, from),
                                from == SERVER ? party->server_conn : party->conn, session, meta,
                                (uint8_t)flags, 0, party_memory, size),
             SMF_OK);
}

/* A call, or a further message of it. */
static inline void party_call(struct party *party, uint16_t session, uint32_t flags, uint32_t size)
{
    party_send_as(party, CLIENT, session, PARTY_METHOD, flags, size);
}

static inline void party_answer(struct party *party, uint16_t session, uint32_t flags,
                                uint32_t size)
{
    party_send_as(party, SERVER, session, SMF_CODE_OK, flags, size);
}

static inline void party_take(struct party *party, int of, uint16_t session)
{
    struct talk *talk = &party->talks[of][session];

    CHECK_LT(talk->taken, talk->messages);
    CHECK_EQ(smf_core_taken(party_core(party, of), of == SERVER ? party->server_conn : party->conn,
                            session, talk->sizes[talk->taken++ % PARTY_TAKES_MAX]),
             SMF_OK);
}

static inline void party_echo(struct party *party, const struct smf_event *event)
{
    struct talk *talk = &party->talks[SERVER][event->session];
    uint32_t flags = event->flags & (SMF_FRAME_STREAM | SMF_FRAME_FIN);

    if (event->kind == SMF_EVENT_CANCEL) {
        party_send_as(party, SERVER, event->session, SMF_CODE_CANCELLED,
                      SMF_FRAME_STREAM | SMF_FRAME_FIN, 0);
        return;
    }
    talk->sent += event->size_bytes != 0;
    for (uint32_t i = 0; i < event->size_bytes; i++)
        party_memory[i] = (uint8_t)(event->payload[i] + 101); /* as the server's own */
    if (event->size_bytes != 0 || flags & SMF_FRAME_FIN || flags == 0)
        CHECK_EQ(smf_core_send_with(party->world.server, event->conn, event->session, SMF_CODE_OK,
                                    (uint8_t)flags, 0, party_memory, event->size_bytes),
                 SMF_OK);
}

static inline void party_hear_message(struct party *party, int of, const struct smf_event *event)
{
    struct talk *talk = &party->talks[of][event->session];

    if (event->size_bytes == 0)
        return;
    for (uint32_t i = 0; i < event->size_bytes; i++) {
        if (event->payload[i] != party_byte(!of, event->session, talk->messages, i))
            CHECK_EQ(i, event->size_bytes); /* the first byte that differs */
    }
    talk->sizes[talk->messages++ % PARTY_TAKES_MAX] = event->size_bytes;
    talk->bytes += event->size_bytes;
    if (!party->keeps && !talk->keeps && event->kind != SMF_EVENT_REPLY)
        party_take(party, of, event->session);
}

static inline void party_handle(struct world *world, struct smf_core *core,
                                const struct smf_event *event)
{
    struct party *party = world->context;
    int of = core == world->server ? SERVER : CLIENT;
    struct talk *talk = &party->talks[of][event->session % PARTY_SESSIONS];

    if (event->kind == SMF_EVENT_REQUEST) {
        party->server_conn = event->conn;
        talk->requests++;
    }
    talk->replies += event->kind == SMF_EVENT_REPLY;
    talk->cancels += event->kind == SMF_EVENT_CANCEL;
    talk->writables += event->kind == SMF_EVENT_WRITABLE;
    if (event->kind == SMF_EVENT_REPLY || event->kind == SMF_EVENT_CANCEL) {
        talk->status = event->meta;
        talk->flags = event->flags;
    }
    if (event->kind == SMF_EVENT_REQUEST || event->kind == SMF_EVENT_MESSAGE ||
        (event->kind == SMF_EVENT_REPLY && !(event->flags & SMF_FRAME_RESET) && !talk->gave_up)) {
        talk->fins += (event->flags & SMF_FRAME_FIN) != 0;
        party_hear_message(party, of, event);
    }
    if (party->heard != NULL)
        party->heard(party, of, event);
    if (party->echoes && of == SERVER &&
        (event->kind == SMF_EVENT_REQUEST || event->kind == SMF_EVENT_MESSAGE ||
         event->kind == SMF_EVENT_CANCEL))
        party_echo(party, event);
}

static inline uint64_t party_used(const struct party *party, int of)
{
    struct smf__pool_stats stats;

    smf__pool_stats(party_core(party, of)->pool, &stats);
    return stats.used_bytes;
}

static inline struct party *party_open_with(const struct smf__rpc_config *limits,
                                            uint64_t memory_bytes)
{
    static struct party party;

    memset(&party, 0, sizeof party);
    world_open(&party.world, test_seed(), memory_bytes, limits);
    party.world.context = &party;
    party.world.handle = party_handle;
    return &party;
}

static inline void party_connect(struct party *party)
{
    struct smf_error error;

    CHECK_EQ(smf_core_connect_with(party->world.client, WORLD_ADDRESS, 7, SMF_CONNECT_HELLO,
                                   &party->conn, &error),
             SMF_OK);
    world_run(&party->world, 20);
    CHECK_EQ(smf__conn_find(smf__rpc_of(party->world.client), party->conn)->level, 2);
    party->used[CLIENT] = party_used(party, CLIENT);
    party->used[SERVER] = party_used(party, SERVER);
}

static inline struct party *party_open(void)
{
    struct smf__rpc_config limits = world_limits();
    struct party *party = party_open_with(&limits, 1ull << 30);

    party_connect(party);
    return party;
}

static inline uint32_t party_sessions(const struct party *party, int of)
{
    return smf__rpc_of(party_core(party, of))->sessions_open;
}

/* No session is left, no call is in flight, and no memory but what is read into and built in. */
static inline void party_check_clean(struct party *party)
{
    const struct smf__conn *conn = smf__conn_find(smf__rpc_of(party->world.client), party->conn);

    world_run(&party->world, 5);
    if (conn != NULL)
        CHECK_EQ(conn->in_flight, 0);
    for (int of = CLIENT; of <= SERVER; of++) {
        CHECK_EQ(party_sessions(party, of), 0);
        CHECK_EQ(smf_core_turn(party_core(party, of))->in_flight, 0);
        CHECK_LE(party_used(party, of), party->used[of] + (1u << 20));
    }
}

static inline void party_close(struct party *party)
{
    party_check_clean(party);
    world_close(&party->world);
}

#endif
