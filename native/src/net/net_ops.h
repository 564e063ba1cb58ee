/* The net wall: endpoints and byte streams. One struct of operations, one implementation per
 * transport (net_epoll.c, net_sim.c), chosen at run time.
 *
 * Readiness, not completion: a transport says which streams may be read or written, the room above
 * reads into memory of its choosing. Nothing stays in flight inside a transport between two calls, so
 * the loop may go on in another thread.
 *
 * Threads: one at a time (the core's driver); wake() alone may be called from any thread. */
#ifndef SMF_NET_OPS_H
#define SMF_NET_OPS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <smf/status.h>

struct smf__net;      /* one core's transport */
struct smf__stream;   /* one byte stream */
struct smf__listener; /* one listening endpoint */

#define SMF__NET_ADDRESS_SIZE_BYTES 128 /* an address as text, terminated */

enum smf__net_event_kind {
    SMF__NET_READABLE = 1,  /* recv will not block: data, end of stream, or an error */
    SMF__NET_WRITABLE = 2,  /* only for streams that asked */
    SMF__NET_ACCEPTED = 4,  /* a new stream, of the listener in context */
    SMF__NET_CONNECTED = 8, /* an outbound stream is up, or (status < 0) is not */
    SMF__NET_HANGUP = 16    /* both directions are gone; said also to streams without interest */
};

struct smf__net_event {
    uint32_t kinds; /* enum smf__net_event_kind, or-ed */
    int status;     /* CONNECTED: 0 or SMF_E… */
    struct smf__stream *stream;
    void *context; /* of the stream; for ACCEPTED, of the listener */
};

/* Addresses: "127.0.0.1:port", "[::1]:port", "localhost:port" (127.0.0.1), ":port" (to listen on: every
 * address, IPv6 and IPv4; to connect to: 127.0.0.1), "unix:/path", "unix:@abstract". Names are not
 * resolved here. Port 0 lets the system choose one to listen on. */
struct smf__net_ops {
    const char *name; /* "epoll", "sim" */

    void (*close)(struct smf__net *net); /* closes every stream and listener */

    /* Waits up to timeout_ns (0: not at all; < 0: for ever, until wake) and fills events. Returns the
     * count, 0 on time-out, wake or interruption. Level-triggered: what is not dealt with is said
     * again. */
    int (*poll)(struct smf__net *net, struct smf__net_event *events, int capacity,
                int64_t timeout_ns);

    /* Any thread: makes a poll that waits, or the next one, return at once. */
    void (*wake)(struct smf__net *net);

    /* A descriptor that is readable while a poll would find something, a wake too; or -1. */
    int (*fd)(const struct smf__net *net);

    /* Has polls end, too, when a descriptor that is not this room's is readable: without an event, and as
     * long as it is readable. It stays the caller's, who unwatches it before it is closed. Returns 0 or
     * SMF_E…. Both NULL: no other descriptor can be waited for here. */
    int (*watch)(struct smf__net *net, int fd);
    void (*unwatch)(struct smf__net *net, int fd);

    /* first: NULL, or the first core's listener that this one joins: a connection that arrives is
     * accepted by one of those that have joined, as a rule one that has nothing else to do.
     * bound_out: the address with its real port. */
    int (*listen)(struct smf__net *net, const char *address, const struct smf__listener *first,
                  void *context, struct smf__listener **listener_out, char *bound_out,
                  size_t bound_size, struct smf_error *error_out);
    void (*listener_close)(struct smf__net *net, struct smf__listener *listener);

    /* Starts connecting; CONNECTED follows, never from inside this call. */
    int (*connect)(struct smf__net *net, const char *address, void *context,
                   struct smf__stream **stream_out, struct smf_error *error_out);

    /* Returns bytes > 0; 0 at the end of the stream; -EAGAIN; another -errno when it is broken. */
    int64_t (*recv)(struct smf__stream *stream, const struct iovec *vectors, int count);
    int64_t (*send)(struct smf__stream *stream, const struct iovec *vectors, int count);

    /* Has the peer ended or broken the stream, whatever may still be read of it? */
    int (*stream_ended)(const struct smf__stream *stream);

    void (*stream_context)(struct smf__stream *stream, void *context);
    void (*stream_interest)(struct smf__stream *stream, int read, int write);
    void (*stream_peer)(struct smf__stream *stream, char *text_out, size_t size);
    void (*stream_shutdown_write)(struct smf__stream *stream);
    /* Not while walking through the events of a poll, unless it is the event's own stream: a later
     * event of the same array may name it. */
    void (*stream_close)(struct smf__stream *stream);

    /* Moving a stream to another core's net of the same transport, once it was accepted and before
     * anything else was done with it. Both NULL where a stream belongs to the core at which it arrived
     * (the flows of a network card's queue): then each core keeps what it accepts, and what spreads the
     * connections is the card.
     *
     * Detached it is in no net, tells of nothing, and may be sent to another thread; it can only be
     * attached or closed there. stream_attach returns 0 or SMF_E…; then it is still detached. It has no
     * context then, and is watched for input. */
    void (*stream_detach)(struct smf__stream *stream);
    int (*stream_attach)(struct smf__net *net, struct smf__stream *stream);
};

/* What every transport's struct begins with. */
struct smf__net {
    const struct smf__net_ops *ops;
    /* System calls, or what stands for them; smf__count. A recv that finds nothing is a poll. */
    uint64_t polls, recvs, sends;
    /* How many streams one poll accepts at most, so that a flood of them does not keep the others waiting;
     * 0: as many as there is room for. The room above sets it; a transport may accept fewer. */
    uint32_t accepts_max;
};

int smf__net_epoll_open(struct smf__net **net_out, struct smf_error *error_out);

#endif
