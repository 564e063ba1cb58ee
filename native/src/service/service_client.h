/* A client's calls in flight: a slot for each, whose number is the session. What makes requests and sends them
 * (service_request.c), and what becomes of them (service_client.c). */
#ifndef SMF_SERVICE_CLIENT_H
#define SMF_SERVICE_CLIENT_H

#include <smf/timer.h>

#include "rpc/rpc.h"
#include "service/service_filter.h"

#define SMF__NEVER UINT64_MAX

enum smf__slot_state {
    SMF__SLOT_FREE = 0,
    SMF__SLOT_WAITS,
    SMF__SLOT_GIVEN_UP,
    SMF__SLOT_STOPPED /* by a filter, and never sent: its callback is due */
};

struct smf__slot {
    uint64_t conn;   /* of the call */
    uint64_t due_ns; /* of a call that waits; SMF__NEVER */
    const struct smf_method *method;
    smf_client_deliver deliver;
    smf_client_callback callback;
    void *context;
    struct smf__filtered *filtered; /* the call's way through filters, or NULL */
    uint32_t next_free;             /* of a free one; 0: it is the last */
    uint32_t state;                 /* enum smf__slot_state */
    uint32_t cancel_code;           /* that the server is to be told still; 0: nothing */
    uint64_t call;                  /* its number: count << 16 | session */
    uint64_t given_turn;            /* when it was given back, plus 1 */
    struct smf_stream *stream;      /* of a call that streams, or NULL */
};

struct smf_client {
    struct smf_core *core;
    struct smf_timer *timer;
    struct smf__slot *slots; /* [calls_max + 1]; 0 is not used */
    uint64_t conn;           /* 0: not connected */
    uint64_t due_ns;         /* what the timer is set for; SMF__NEVER: it does not run */
    uint32_t calls_max;      /* a session fits 16 bits */
    uint32_t slots_used;     /* those above were never taken */
    uint32_t first_free;     /* slots are taken here, */
    uint32_t last_free;      /* and given back there: a session rests as long as it can */
    uint32_t waiting;        /* calls in flight, without those that were given up */
    uint32_t level;          /* of the connection, or that is asked for */
    uint32_t goaway;         /* why it takes no calls any more; 0 */
    uint32_t cancels_due;    /* slots with a cancel_code */
    uint64_t calls;          /* that were made */
    uint64_t pings;          /* likewise */
    void (*pong)(int status, void *context); /* of a ping that is under way, or NULL */
    void *pong_context;
    struct smf__filters *filters; /* around its calls, or NULL */
    struct smf__link lingering;   /* streams that are answered and have messages that wait */
    int up;                       /* the connection is: what is sent may arrive */
    int unverified;
    int closing;
};

/* Returns 0 when all are taken. */
uint32_t smf__slot_take(struct smf_client *client);

void smf__slot_give(struct smf_client *client, uint32_t number);

/* Has a call that is in flight end when timeout_us are over; SMF_CLIENT_NO_TIMEOUT: never. */
void smf__slot_deadline(struct smf_client *client, struct smf__slot *slot, uint64_t timeout_us);

/* Ends a call that is in flight without an answer, with a status. */
void smf__slot_give_up(struct smf_client *client, uint32_t number, int status);

/* Checks options and copies them, as of this library's headers. */
int smf__options_read(const struct smf_call_options *given, struct smf_call_options *options_out);

/* When a timeout is over; SMF__NEVER: not while the clock runs. */
static inline uint64_t smf__due_ns(uint64_t now_ns, uint64_t timeout_us)
{
    return timeout_us < (SMF__NEVER - now_ns) / 1000 ? now_ns + timeout_us * 1000 : SMF__NEVER;
}

#endif
