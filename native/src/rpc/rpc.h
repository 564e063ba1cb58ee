/* Connections that speak frames (docs/wire.md, level 1): who is connected, what was read and not yet
 * handed out, what was answered and not yet taken, limits and timers.
 *
 * A room of one core: everything here belongs to the core's driver. The public functions
 * (smf_core_send, smf_core_connect, …) are in rpc_api.c. */
#ifndef SMF_RPC_RPC_H
#define SMF_RPC_RPC_H

#include <stddef.h>
#include <stdint.h>

#include <smf/level2.h>

#include "core/core.h"
#include "net/net_ops.h"
#include "rpc/rpc_group.h"

#define SMF__RPC_NET_EVENTS_MAX 512
#define SMF__RPC_FRAMES_OF_TURN_MAX 1024u      /* the rest of a turn's events tell of connections */
#define SMF__RPC_CHUNK_SIZE_BYTES (256u << 10) /* what sockets are read into */
#define SMF__RPC_CHUNK_ROOM_MIN_BYTES (64u << 10) /* less room than that: the next chunk */
#define SMF__RPC_READ_SIZE_MAX_BYTES (192u << 10)
#define SMF__RPC_ALIGN_READS_MIN_BYTES (4u << 10) /* of larger messages a read takes whole ones */
#define SMF__RPC_CHUNKS_OF_TURN_MAX 4u /* then the other sockets wait for the next turn */
#define SMF__RPC_REST_COPY_DIVISOR 16u /* rests smaller than a chunk / this leave it */
#define SMF__RPC_BODY_RESERVE_DIVISOR                                                              \
    8u /* of the budget that unfinished payloads leave to others */
#define SMF__RPC_LISTENERS_MAX 16u
#define SMF__RPC_ACCEPTS_MAX 16u        /* in one look */
#define SMF__RPC_FIRST_READ_BYTES 4096u /* from a peer that has not sent a good header yet */
#define SMF__RPC_CALLS_MAX                                                                         \
    (1u << 30)                /* for in_flight_max and running_max: twice as many are counted */
#define SMF__RPC_FEED_MAX 16u /* connections that wait for memory, tried in one turn */
#define SMF__RPC_LINGER_READ_BYTES 16384u /* of what is thrown away, in one turn */
#define SMF__RPC_LINGER_NS 1000000000ull  /* for the peer to read its last replies and close */
#define SMF__RPC_PUT_SIZE_BYTES 4096u
#define SMF__RPC_LINGER_BYTES_MAX                                                                  \
    65536u /* thrown away of a peer that broke the rules; then it is not read any more */
#define SMF__RPC_BACKLOG_COPY_MAX_BYTES (16u << 10) /* larger rests are held, not copied */
#define SMF__CREDIT_MIN_BYTES (64u << 10)           /* a slice */
#define SMF__CREDIT_MAX_BYTES (1u << 30)
#define SMF__COMPRESSIONS_KNOWN (1u << SMF_COMPRESSION_ZSTD | 1u << SMF_COMPRESSION_LZ4)
#define SMF__RPC_BACKLOG_PAUSE_DIVISOR 16u /* reading stops at unsent_bytes_max / this */

struct smf__rpc_config {
    uint64_t frame_size_bytes_max;
    uint64_t unsent_bytes_max;
    uint32_t in_flight_max;
    uint32_t running_max;
    uint32_t connections_max;
    uint32_t header_timeout_ms, body_timeout_ms, idle_timeout_ms, send_timeout_ms;
    uint32_t level; /* the highest; below 2: Hello is nothing special */
    uint32_t credit_bytes;
    uint32_t compressions;
    uint64_t message_size_bytes_max;
};

enum smf__conn_state {
    SMF__CONN_FREE = 0,
    SMF__CONN_CONNECTING,
    SMF__CONN_OPEN,
    SMF__CONN_FINISHING, /* reads no more; closes when all that is due has gone out */
    SMF__CONN_LINGERING, /* all has gone out, our side is shut; waits for the peer to close */
    SMF__CONN_CLOSED     /* dead; its slot is given back when the turn allows */
};

enum smf__conn_pause { /* why a connection is not read; or-ed */
                       SMF__PAUSE_TURN =
                           1, /* this turn's events are full: goes on in the next one */
                       SMF__PAUSE_IN_FLIGHT = 2,
                       SMF__PAUSE_MEMORY = 4,
                       SMF__PAUSE_UNSENT = 8
};

/* In a list: a ring, with the list itself as one of its links. Linked to itself: in none. */
struct smf__link {
    struct smf__link *next, *prev;
};

static inline void smf__link_init(struct smf__link *link)
{
    link->next = link->prev = link;
}

static inline int smf__link_alone(const struct smf__link *link)
{
    return link->next == link;
}

static inline void smf__link_remove(struct smf__link *link)
{
    link->next->prev = link->prev;
    link->prev->next = link->next;
    smf__link_init(link);
}

/* Puts it last; where it is, if it is in a list already. */
static inline void smf__link_append(struct smf__link *list, struct smf__link *link)
{
    if (!smf__link_alone(link))
        return;
    link->prev = list->prev;
    link->next = list;
    list->prev->next = link;
    list->prev = link;
}

#define SMF__LINK_OF(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* A piece of what a peer has not taken yet. */
struct smf__segment {
    struct smf__segment *next;
    struct smf_buffer *buffer; /* one reference */
    uint8_t *data;
    uint32_t size_bytes;
};

enum smf__conn_list { SMF__LIST_NONE, SMF__LIST_PAUSED, SMF__LIST_HUNGRY };

enum smf__conn_goaway { SMF__GOAWAY_OF_PEER = 1, SMF__GOAWAY_OF_US = 2 };

enum smf__conn_leaving {
    SMF__LEAVING_NOT = 0,
    SMF__LEAVING_GOAWAY, /* the peer said goaway: when no call is in flight */
    SMF__LEAVING         /* the driver said so */
};

enum smf__conn_mode { /* how what comes is read; not SMF__MODE_LEVEL1: rpc_level2.h */
                      SMF__MODE_LEVEL1 = 0,
                      SMF__MODE_FIRST,  /* accepted, no frame yet: it may be Hello */
                      SMF__MODE_ASKING, /* opened: nothing is sent before Hello is answered */
                      SMF__MODE_LEVEL2
};

struct smf__conn {
    uint64_t id; /* generation << 32 | index */
    struct smf__rpc *rpc;
    struct smf__stream *stream;
    uint64_t user;
    uint8_t state;        /* enum smf__conn_state */
    uint8_t accepted;     /* 1: the peer came to us */
    uint8_t pauses;       /* enum smf__conn_pause */
    uint8_t listed;       /* enum smf__conn_list */
    uint8_t reason;       /* enum smf_close_reason, once it closes */
    uint8_t head_have;    /* bytes of an unfinished header in head */
    uint8_t have_frame;   /* frame is checked, its payload is not complete */
    uint8_t forget_calls; /* FINISHING does not wait for calls in flight */
    uint8_t draining;
    uint8_t leaving; /* in rpc->leaving, or was: enum smf__conn_leaving */
    uint8_t timing;  /* what read_timer is for: enum smf_close_reason */
    uint8_t mode;    /* enum smf__conn_mode */
    uint8_t level;   /* 1 or 2 */
    uint8_t goaway;  /* enum smf__conn_goaway; or-ed */
    uint8_t offers;  /* in Hello, beside the engine's: 1 << enum smf_compression */
    int status;      /* of a failed connect */
    uint32_t in_flight;
    uint8_t head[SMF_FRAME_HEADER_SIZE_BYTES];
    struct smf_frame frame;
    struct smf_buffer *body; /* a payload that straddles reads is put together here */
    uint32_t body_have;
    uint32_t thrown_bytes; /* LINGERING: read and thrown away */
    uint32_t rest_size;    /* bytes that were read and are not parsed yet */
    uint8_t *rest;
    struct smf_buffer *rest_buffer; /* one reference, while rest_size > 0 */
    uint64_t
        wanted_bytes; /* that have to be free before they are parsed, when it waits for memory */
    struct smf__segment *unsent_first, *unsent_last;
    uint64_t unsent_bytes;
    uint64_t active_ns; /* when something was last read */
    struct smf__timer read_timer, send_timer, idle_timer;
    struct smf_level agreed;    /* at level 2 */
    struct smf_buffer *running; /* at level 2, accepted: a bit for each session whose call runs */
    struct smf__sessions *sessions; /* at level 2: with streams or slices; NULL: none yet */
    struct smf__segment *held_first, *held_last; /* ASKING: whole frames that wait */
    uint64_t held_bytes;
    uint64_t borne_turn;           /* rpc->turns when borne was last counted */
    uint32_t borne;                /* frames of one turn that nobody needs */
    uint32_t pings;                /* of ours, not answered; <= SMF_PINGS_MAX */
    struct smf__conn *next, *prev; /* free list, paused or closed; the hungry ones, both ways */
    struct smf__conn *next_leaving;
};

struct smf__sessions;

struct smf__rpc {
    struct smf_core *core;
    struct smf__net *net;
    struct smf__rpc_config config;
    uint64_t
        frame_size_fits_max; /* what config allows, and there could be memory for in one piece */
    struct smf__conn *conns; /* [connections_max]; pages come when touched */
    uint32_t conns_used;     /* slots that were ever used */
    uint32_t slots_taken;    /* slots that are not free */
    struct smf__conn *free_conns;
    struct smf__conn *paused;
    struct smf__conn *hungry_first, *hungry_last; /* wait for memory, the longest first */
    struct smf__conn *hungry_next, *hungry_end; /* of the pass that goes on: the first that was not
                                                   tried, and the last; NULL: no pass */
    uint64_t hungry_returns;                    /* the pool's returns when it began */
    struct smf__conn *closed;
    struct smf__conn *leaving; /* disconnected in this turn, by the driver or a goaway */
    struct smf__conn *alone;   /* the only one with something to read when last looked; or NULL */
    struct smf__conn *hot;     /* it was so before, too; or NULL */
    uint64_t looked_ns;        /* when all connections were last looked at */
    uint32_t hot_looks;
    struct smf__segment *free_segments;
    struct smf_buffer *chunk; /* what sockets are read into now */
    uint32_t chunk_fill;
    uint32_t chunks_of_turn;
    struct smf_buffer *lent[2 * SMF__CORE_EVENTS_MAX + SMF__RPC_CHUNKS_OF_TURN_MAX + 1];
    uint32_t lent_count; /* bodies and full chunks that this turn's events point into */
    struct smf__listener *listeners[SMF__RPC_LISTENERS_MAX];
    struct smf__group *group; /* the cores that listen together; NULL: this one alone */
    struct smf__seat *seat;   /* in it */
    uint32_t seat_index;
    uint32_t accepted_open;        /* accepted connections that are not closed */
    uint32_t drain_turns;          /* 0: not draining; else turns begun since, plus 1 */
    int settling;                  /* draining, and all that was sent before has been read */
    int drained;                   /* and a turn has ended at once because no connection is left */
    int disconnected;              /* by smf_core_disconnect_all: nothing is accepted any more */
    int caught_up;                 /* since the turn began: see catch_up */
    int unread;                    /* the last turn did not get through all that was there */
    int starved;                   /* no memory to read into */
    uint64_t turns;                /* begun */
    struct smf__timer drain_timer; /* of connections of level 2, for the peers to close them */
    int drain_over;                /* it has fired */
    struct smf__conn *put_conn;    /* whose frames are in put; NULL: none */
    uint32_t put_size;
    uint8_t put[SMF__RPC_PUT_SIZE_BYTES]; /* small frames of the engine's, to be written together */
    struct smf__link pumping, giving, telling, over, hungry_sessions; /* see rpc_session.h */
    struct smf__link hungry_mark;     /* in hungry_sessions: how far a pass has come; or alone */
    uint64_t parked_bytes;            /* of messages in slices that wait for their memory */
    uint64_t hungry_sessions_returns; /* the pool's returns when they were last looked at */
    struct smf__session *free_sessions;
    struct smf__outgoing *free_outgoing;
    uint32_t sessions_open;
    uint32_t entries_of_peers; /* of these, on accepted connections; <= 2 x running_max, and a
                                  running call each for a reply that goes in slices */
    struct smf_core_stats stats;
    struct smf__net_event ready[SMF__RPC_NET_EVENTS_MAX];
    char texts[SMF__CORE_EVENTS_MAX][SMF__NET_ADDRESS_SIZE_BYTES]; /* peers of CLOSED events */
};

int smf__rpc_open(struct smf_core *core, struct smf__net *net, const struct smf__rpc_config *config,
                  struct smf_error *error_out);
struct smf__rpc *smf__rpc_of(struct smf_core *core);

void smf__rpc_close_listeners(struct smf__rpc *rpc);
/* A drain goes on: tells the connection's peer, if it is one of level 2. */
void smf__rpc_send_away(struct smf__conn *conn);

/* Listening; see smf__net_ops.listen. */
int smf__rpc_listen(struct smf__rpc *rpc, const char *address, const struct smf__listener *first,
                    struct smf__listener **listener_out, char *bound_out, uint32_t bound_size,
                    struct smf_error *error_out);

/* rpc_accept.c. smf__rpc_join: before anything is connected. A place is taken before a connection is
 * opened (0: there is none) and given back with its slot. */
void smf__rpc_join(struct smf__rpc *rpc, struct smf__group *group, uint32_t index);
void smf__rpc_accept(struct smf__rpc *rpc, struct smf__stream *stream);
int smf__rpc_take_place(struct smf__rpc *rpc);
void smf__rpc_give_place(struct smf__rpc *rpc);
uint32_t smf__rpc_promised(const struct smf__rpc *rpc); /* connections on their way to this core */
void smf__rpc_forget_letter(struct smf__rpc *rpc, smf__letter_function function, void *context);

/* rpc_conn.c */
struct smf__conn *smf__conn_find(struct smf__rpc *rpc, uint64_t id);
struct smf__conn *smf__conn_open(struct smf__rpc *rpc, struct smf__stream *stream, int accepted);
void smf__conn_connected(struct smf__conn *conn, int status);
void smf__conn_close(struct smf__conn *conn, uint32_t reason);
void smf__conn_finish(struct smf__conn *conn, uint32_t reason, int forget_calls);
void smf__conn_settle(struct smf__conn *conn);
void smf__conn_leave(struct smf__conn *conn, uint32_t how);
void smf__conn_leave_if_done(struct smf__conn *conn);
void smf__conn_reap(struct smf__rpc *rpc);
void smf__conn_pause(struct smf__conn *conn, uint32_t why);
void smf__conn_no_longer_hungry(struct smf__conn *conn);
int smf__conn_throws_away(const struct smf__conn *conn);
void smf__conn_interest(struct smf__conn *conn);
struct smf_event *smf__rpc_event(struct smf__rpc *rpc, struct smf__conn *conn, uint32_t kind);

/* rpc_read.c */
void smf__conn_read(struct smf__conn *conn);
void smf__rpc_resume(struct smf__rpc *rpc);
void smf__rpc_feed(struct smf__rpc *rpc);
void smf__rpc_take_back(struct smf__rpc *rpc);
/* Keeps a buffer until this turn's events are over; with the caller's reference. */
void smf__rpc_lend(struct smf__rpc *rpc, struct smf_buffer *buffer);
/* Whether there is memory for something that is not complete, and enough for everything else beside it. */
int smf__rpc_body_fits(const struct smf__rpc *rpc, uint64_t size);
/* Such memory; or NULL. */
struct smf_buffer *smf__rpc_body_get(struct smf__rpc *rpc, uint64_t size);

/* rpc_write.c */
#define SMF__EMPTY_TABLE_SIZE_BYTES 12
extern const uint8_t
    smf__empty_table[SMF__EMPTY_TABLE_SIZE_BYTES]; /* of failed replies, at level 1 */
void smf__rpc_send_collected(struct smf__rpc *rpc);
void smf__conn_flush(struct smf__conn *conn);
void smf__conn_forget_unsent(struct smf__conn *conn);
struct smf__segment *smf__segment_new(struct smf__rpc *rpc);
void smf__segment_free(struct smf__rpc *rpc, struct smf__segment *segment);

/* Memory that is written, or kept until the peer takes it. */
struct smf__piece {
    struct smf_buffer *buffer; /* NULL: it is copied when it is kept */
    uint8_t *data;
    uint32_t size;
};
#define SMF__PIECES_MAX 64
void smf__conn_write(struct smf__conn *conn, const struct smf__piece *pieces, int count);

#endif
