/* A core: one poll loop with everything that it owns - connections, buffers, timers.
 *
 * Cores share nothing. A core has one driver at a time: the thread that calls smf_core_poll, deals
 * with the events that come back, and calls it again. Functions below are for the driver unless they
 * say "any thread".
 *
 *     for (;;) {
 *         int count = smf_core_poll(core, SMF_WAIT_FOREVER);
 *         if (count < 0) break;
 *         const struct smf_turn *turn = smf_core_turn(core);
 *         for (int i = 0; i < count; i++) serve(core, &turn->events[i]);
 *     }
 *
 * What a turn hands out (events and the payloads they point to) is valid until the next poll. What a
 * turn collects (sends) goes out in the next poll. */
#ifndef SMF_CORE_H
#define SMF_CORE_H

#include <stddef.h>
#include <stdint.h>

#include <smf/frame.h>
#include <smf/stats.h>
#include <smf/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct smf_core;   /* one poll loop; the engine's */
struct smf_buffer; /* a piece of the core's memory, lent */
struct smf_tallied;

/* What happened. */
enum smf_event_kind {
    SMF_EVENT_REQUEST = 1,   /* a frame on an accepted connection: meta is the method id */
    SMF_EVENT_REPLY = 2,     /* a frame on a connection that we opened: meta is the status */
    SMF_EVENT_CONNECTED = 3, /* a connection that we opened is up */
    SMF_EVENT_CLOSED = 4,    /* a connection ended: meta is enum smf_close_reason; payload is the
                                peer's address as text (not terminated) */
    SMF_EVENT_WAL = 5,       /* of the core's log (smf/wal.h): payload is meta times struct
                                smf_wal_done, user the log's address, conn 0 */
    SMF_EVENT_CANCEL = 6,    /* level 2: the caller gave the request session up, which is answered
                                all the same; meta is the status that it sent */
    SMF_EVENT_MESSAGE = 7,   /* level 2: a further message of a stream, either direction */
    SMF_EVENT_WRITABLE =
        8, /* level 2: what was sent on session has left the queue that waits for credit */
    SMF_EVENT_PONG = 9, /* level 2: the answer to smf_core_ping; payload is its token, 8 bytes */
    SMF_EVENT_GOAWAY =
        10 /* level 2: the peer takes no new calls on this connection; meta says why, payload
                               is 8 bytes: why, and the last session that will be answered, u32 each
                               (0xffffffff: all that were sent) */
};

/* Why a connection ended. */
enum smf_close_reason {
    SMF_CLOSE_BY_PEER = 0,           /* in the ordinary way */
    SMF_CLOSE_BY_US = 1,             /* smf_core_disconnect, drain or close */
    SMF_CLOSE_CONNECT_FAILED = 2,    /* it was never up; the session field carries -status */
    SMF_CLOSE_BROKEN = 3,            /* the transport reported an error */
    SMF_CLOSE_BAD_COMPRESSION = 4,   /* a header says a compression over 3 */
    SMF_CLOSE_BAD_FLAGS = 5,         /* a header has flags that are not 0 */
    SMF_CLOSE_SIZE_ZERO = 6,         /* a header announces a payload of 0 bytes */
    SMF_CLOSE_CHECKSUM_ZERO = 7,     /* a header has a checksum of 0 */
    SMF_CLOSE_META_ZERO = 8,         /* a header has a method or status of 0 */
    SMF_CLOSE_CHECKSUM_MISMATCH = 9, /* a payload is not what was sent */
    SMF_CLOSE_FRAME_TOO_LARGE = 10,  /* over frame_size_bytes_max, or than memory allows */
    SMF_CLOSE_HEADER_TIMEOUT = 11,   /* a header was begun and not ended in time */
    SMF_CLOSE_BODY_TIMEOUT = 12,     /* a payload was begun and not ended in time */
    SMF_CLOSE_IDLE_TIMEOUT = 13,     /* nothing was read, and no call in flight, for that long */
    SMF_CLOSE_SLOW_READER = 14,      /* did not take its replies in time, or too many waited */
    SMF_CLOSE_NO_MEMORY = 15,        /* for what the peer has not taken, or, for too long, for a
                                        payload, or to take in a connection of another core */
    SMF_CLOSE_TOO_MANY = 16,         /* over the connection limit of all cores; closed on arrival */
    SMF_CLOSE_HELLO_TIMEOUT =
        17,                    /* opened with SMF_CONNECT_HELLO, which was not answered in time */
    SMF_CLOSE_NOT_LEVEL2 = 18, /* the same, and closed by the peer, or answered with something
                                        else: the peer speaks level 1 */
    SMF_CLOSE_BAD_FRAME = 19,  /* a frame breaks a rule of level 2: flags that may not stand
                                        together, a control frame, a metadata block, a session that
                                        is in use */
    SMF_CLOSE_BAD_STREAM = 20, /* a frame breaks a rule of streams, slices or their credit */
    SMF_CLOSE_FLOOD = 21,      /* pings and cancels of nothing, more than one turn may have */
    SMF_CLOSE_REASONS = 22     /* how many there are */
};

/* Something that happened. 48 bytes. */
struct smf_event {
    uint8_t kind;        /* enum smf_event_kind */
    uint8_t compression; /* enum smf_compression */
    uint8_t flags;       /* of the frame: enum smf_frame_flag; 0 at level 1 */
    uint8_t level;       /* of the connection: 1 or 2; 0 for SMF_EVENT_WAL alone */
    uint16_t session;    /* of the call; the caller chose it */
    uint16_t
        metadata_size_bytes;   /* of the metadata block, which ends where payload begins; 0: there
                                     is none */
    uint32_t meta;             /* by kind: see enum smf_event_kind */
    uint32_t size_bytes;       /* of the payload, without the metadata block */
    uint64_t conn;             /* generation << 32 | index; 0 for SMF_EVENT_WAL alone */
    const uint8_t *payload;    /* lent until the next poll */
    struct smf_buffer *buffer; /* what holds the payload: smf_core_retain; NULL: static storage */
    uint64_t user;             /* what the connection was given when it was opened, or 0 */
};

/* In the flags of a frame that is handed to sends: the payload is a FlatBuffer and may get zero bytes
 * at its end (should its checksum happen to be 0, which the wire does not allow). Never sent. */
#define SMF_SEND_MAY_PAD 0x80u

/* A run of whole frames for one connection, back to back in memory, checksums still empty. */
struct smf_send {
    uint64_t conn;             /* where to */
    uint8_t *frames;           /* the first frame's first byte */
    uint32_t size_bytes;       /* of all of them, headers too */
    uint32_t frame_count;      /* how many */
    struct smf_buffer *buffer; /* what holds the frames; the loan, or one got by smf_core_loan */
};

/* What one turn of a core hands out and collects. Read and written by the driver between two polls;
 * the layout is checked by the Go border when it opens an engine. */
struct smf_turn {
    struct smf_event *events; /* [event_count] */
    uint32_t event_count;     /* what the last poll returned */
    uint32_t event_capacity;  /* never more in a turn */
    struct smf_send *sends;   /* [send_count] of send_capacity */
    uint32_t send_count;      /* runs collected since the last poll */
    uint32_t send_capacity;   /* never more in a turn */
    uint8_t *loan;            /* memory to build frames in, from the top downwards */
    uint8_t
        *loan_top; /* the end of what is free: a reply takes the bytes below, and moves it down to
                          its own first byte */
    struct smf_buffer *loan_buffer; /* what holds the loan; NULL: memory is used up */
    uint64_t now_ns;                /* the clock when the last poll returned */
    uint32_t in_flight;             /* requests handed out and not answered yet, all connections */
    uint32_t connections;           /* open ones, both directions */
    uint32_t unsent;                /* connections with replies that the peer has not taken yet */
    uint32_t listeners;             /* addresses that the core listens on */
    uint32_t
        pending; /* atomic; other threads set it before they ring the bell, and a core with it set
                          does not wait */
    uint32_t sleeping; /* atomic; 1 while the driver waits in the kernel */
    struct smf_tallied
        *tallied;           /* [tallied_count]: answers that are counted when the next poll begins
                                    (smf/tally.h); NULL: the core has no tallies */
    uint32_t tallied_count; /* of this turn */
    uint32_t reserved;      /* 0 */
};

#define SMF_WAIT_NONE 0       /* look once */
#define SMF_WAIT_FOREVER (-1) /* until there is something to say */

/* One turn: sends what the last turn collected, reads, parses, runs timers, and waits (spinning
 * first, as configured) until there is something to say. Returns the number of events, 0 when the
 * wait was over (time, pending, wake), or SMF_ECLOSED after smf_core_stop or in a forked child.
 * wait_us: SMF_WAIT_NONE, SMF_WAIT_FOREVER, or microseconds.
 *
 * Threads: the driver. Ownership: events and payloads are lent until the next poll. Errors: only
 * SMF_ECLOSED. Cost: 1 system call, and 2 more per connection that had requests. */
int smf_core_poll(struct smf_core *core, int64_t wait_us);

/* Serves until smf_core_stop: polls, calls handle for each event. For programs without a loop of
 * their own. Returns SMF_OK, or SMF_EINVAL without a core or a handle. Threads: becomes the driver. Cost:
 * as smf_core_poll. */
int smf_core_run(struct smf_core *core,
                 void (*handle)(struct smf_core *core, const struct smf_event *event,
                                void *context),
                 void *context);

/* The turn's window. Constant for the core's life. Threads: any may ask, the driver uses it; pending and
 * sleeping are for all. Ownership: the core's. Cost: none. */
struct smf_turn *smf_core_turn(struct smf_core *core);

/* Any thread, and signal handlers: makes the driver come back from poll with SMF_ECLOSED, this time
 * and ever after. No other core hands connections to a core that was stopped; those that it has wait for
 * the engine to be closed. errno stays as it is. Cost: a system call when the driver sleeps. */
void smf_core_stop(struct smf_core *core);

/* Any thread, and signal handlers: sets pending and wakes the driver when it sleeps. The driver clears
 * pending (smf_turn.pending) before it looks at what the others left for it. errno stays as it is. Cost: a
 * system call when the driver sleeps. */
void smf_core_wake(struct smf_core *core);

/* Any thread: has the driver call function(core, context) at the beginning of its next poll; so a
 * reply that was worked out elsewhere reaches its connection. Functions run in the order in which they
 * were posted by one thread. Returns 0, SMF_ELIMIT when SMF_MAILBOX_CAPACITY of them wait already,
 * SMF_EINVAL without a core or a function, or SMF_ECLOSED in a forked child; what is still posted when
 * the core is closed is forgotten. Cost: no allocation; a system call only when the driver sleeps. */
int smf_core_post(struct smf_core *core, void (*function)(struct smf_core *core, void *context),
                  void *context);
#define SMF_MAILBOX_CAPACITY 4096u /* letters that wait; see smf_core_post */

/* Makes room for frames of size_bytes below loan_top, with another buffer if need be. Returns 0 or
 * SMF_ENOMEM. Needed only when loan_top - loan is too small. Threads: the driver. Cost: none. */
int smf_core_loan(struct smf_core *core, uint64_t size_bytes);

/* Takes the loan away from whoever still writes into it (a deposed handler): the core goes on with
 * another buffer. The old one is returned and must be given back by smf_core_release. NULL when there
 * is no other buffer; then the core has no loan until memory comes back. Threads: the driver. */
struct smf_buffer *smf_core_loan_detach(struct smf_core *core);

/* Keeps a payload's buffer beyond the next poll. Pair with smf_core_release. NULL is nothing.
 * Threads: the driver; others may read the payload until it is released. Cost: none now, but a small
 * payload holds the 256 KiB that it was read into: copy one that has to wait for long. */
void smf_core_retain(struct smf_core *core, struct smf_buffer *buffer);

/* Gives back what smf_core_retain kept, or smf_core_loan_detach returned. NULL is nothing. Threads: the
 * driver. Errors: aborts on a buffer that nobody holds. */
void smf_core_release(struct smf_core *core, struct smf_buffer *buffer);

/* Answers a request (or sends a call: meta is then the method id) with a copy of payload: builds the
 * frame in the loan and adds it to the sends.
 *
 * Returns 0. SMF_ELIMIT (send_capacity is reached) and SMF_ENOMEM (memory is used up): poll, and try
 * again. SMF_EINVAL: it can't be sent, ever; the payload is empty or meta 0, or the payload is larger than
 * frame_size_bytes_max, or, with its header, than an eighth of memory_bytes (rounded down to a power of
 * two). A connection that is gone is no error, see docs/c-api.md: what is sent to it is dropped, and
 * counted in stale_replies. What is sent in one turn may leave in another order. Threads: the driver.
 * Cost: one copy, no system call. */
int smf_core_send(struct smf_core *core, uint64_t conn, uint16_t session, uint32_t meta,
                  const void *payload, uint32_t size_bytes);

/* Where to build a payload of size_bytes in place, 16 bytes behind where its header will be; NULL
 * when memory is used up, and for a size that smf_core_send refuses. Commit or forget it before the next
 * one is asked for. Threads: the driver. Ownership: the core's; written to until the commit. Cost: none. */
uint8_t *smf_core_reserve(struct smf_core *core, uint32_t size_bytes);

/* Sends the payload that was built at the address smf_core_reserve returned. Threads, errors: as
 * smf_core_send; SMF_EINVAL for another address or size, too. Cost: no copy, no system call. */
int smf_core_commit(struct smf_core *core, uint64_t conn, uint16_t session, uint32_t meta,
                    uint8_t *payload, uint32_t size_bytes);

/* Opens a connection to a numeric address: "127.0.0.1:port", "[::1]:port", "unix:/path", "unix:@name";
 * "localhost:port" and ":port" are 127.0.0.1. SMF_EVENT_CONNECTED or SMF_EVENT_CLOSED follows with user
 * in it. Sends may be queued at once. Returns 0 and *conn_out, or, with *error_out filled, SMF_EADDRESS
 * (port 0, too), SMF_EREFUSED, SMF_EPERMISSION, SMF_ELIMIT, SMF_ENOMEM, SMF_EINVAL (something is NULL),
 * SMF_ESYSTEM or SMF_ECLOSED. Threads: the driver. Cost: some system calls; does not wait. */
int smf_core_connect(struct smf_core *core, const char *address, uint64_t user, uint64_t *conn_out,
                     struct smf_error *error_out);

/* Closes a connection, after the replies that are already sent have gone out. Threads: the driver.
 * Errors: none; nothing happens when it is gone. Cost: none now, the next poll closes it. */
void smf_core_disconnect(struct smf_core *core, uint64_t conn);

/* Ends in peace, over the next polls: accepts who has knocked already, stops listening, reads what was
 * sent until then, and closes each connection when its last reply has gone out. Requests that come
 * meanwhile are still handed out; who begins nothing new answers SMF_CODE_UNAVAILABLE. Done when
 * smf_core_drained; a poll that waits returns then. Threads: the driver. Errors: none. */
void smf_core_drain(struct smf_core *core);

/* 1 when a drain is over: no accepted connection is left. Threads: the driver. Cost: none. */
int smf_core_drained(const struct smf_core *core);

/* Stops listening and closes every connection at once, whatever is still due; the sockets are closed
 * in the next poll. Threads: the driver. Errors: none. */
void smf_core_disconnect_all(struct smf_core *core);

/* Bytes that the peer of a connection has not taken yet; 0 for one that is gone. Threads: the driver.
 * Cost: none. */
uint64_t smf_core_unsent_bytes(const struct smf_core *core, uint64_t conn);

/* The address of a connection's peer, as text: "127.0.0.1:40312"; "unix:(unnamed)".
 * Threads: the driver. Ownership: text_out is the caller's; 128 bytes are enough; NULL with size 0 only
 * asks whether the connection is there. Errors, with an empty text: SMF_ECLOSED for a connection that is
 * gone, SMF_EINVAL for an address that does not fit. Cost: no system call. */
int smf_core_peer(const struct smf_core *core, uint64_t conn, char *text_out, uint32_t size_bytes);

/* The reason in words: "by peer", "checksum mismatch". Threads: any. Ownership: static storage.
 * Errors: "unknown". */
const char *smf_close_reason_name(uint32_t reason);

#ifdef __cplusplus
}
#endif
#endif
