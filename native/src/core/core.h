/* One poll loop: poll order, waiting, mailbox, the loan, the baton. What a core polls stands above it:
 * sockets as a room, files as what is beside it.
 *
 * Poll order of a turn: give back what the last turn lent and send what it collected; then, until
 * there is something to say: look beside, look for input, run timers. Only the room waits. */
#ifndef SMF_CORE_CORE_H
#define SMF_CORE_CORE_H

#include <stdint.h>

#include <smf/baton.h>
#include <smf/core.h>

#include "core/core_count.h"
#include "core/core_fork.h"
#include "mem/mem_pool.h"
#include "mem/mem_ring.h"
#include "time/time_clock.h"
#include "time/time_random.h"
#include "time/time_timers.h"

#define SMF__CORE_EVENTS_MAX 1536u /* of a turn */
#define SMF__CORE_SENDS_MAX 2048u  /* of a turn */
#define SMF__CORE_RETIRED_MAX (SMF__CORE_EVENTS_MAX + SMF__CORE_SENDS_MAX + 16u)
#define SMF__CORE_LOAN_SIZE_BYTES (256u << 10)
#define SMF__CPU_NONE (-1)
#define SMF__SPIN_DEFAULT_US 50

struct smf__baton;
struct smf__filters;
struct smf__pin;
struct smf__records;

/* Memory of malloc's that is kept for another time, with this in it. */
struct smf__spare {
    void *memory;
    struct smf__spare *next;
};

typedef void (*smf__letter_function)(struct smf_core *core, void *context);

/* What a core polls. */
struct smf__room {
    void *context;
    void (*begin)(
        void *context); /* a new turn: the last one's lendings come back, its sends go out */
    /* Look for input; waits at most that long, and sets turn.now_ns to when a wait has ended. */
    void (*poll)(void *context, int64_t timeout_ns);
    void (*wake)(void *context);    /* any thread: ends a wait */
    int (*fd)(const void *context); /* readable when a poll would find something, or -1 */
    /* A wait ends, too, while that descriptor is readable. Returns 0 or SMF_E…. NULL: it can't. */
    int (*watch)(void *context, int fd);
    void (*unwatch)(void *context, int fd);
    void (*stats)(const void *context, struct smf_core_stats *stats);
    /* A letter that was still unread when the core was closed; before close. */
    void (*forget)(void *context, smf__letter_function function, void *letter_context);
    void (*close)(void *context);
};

/* What a core polls beside its room, without ever waiting in it. It may add events and set hurry; who
 * gives it something to do between two polls sets busy. */
struct smf__side {
    void *context;
    int fd;                       /* readable while a poll would find something */
    void (*begin)(void *context); /* a new turn: the last one's lendings come back */
    /* Looks. Returns when it wants to look again though fd says nothing (ns of the core's clock), or
     * UINT64_MAX. */
    uint64_t (*poll)(void *context);
    void (*close)(void *context); /* with the core, unless it has left before */
    /* When fd is going to be readable, as far as can be told (ns of the core's clock); 0: that is not known.
     * A core that may spin then sleeps first and looks around that time, instead of the other way round. NULL:
     * it is never known. */
    uint64_t (*expects)(void *context);
};

struct smf__core_config {
    struct smf__clock clock;
    uint64_t random_seed; /* 0: the system's */
    uint64_t memory_bytes;
    int32_t spin_us; /* -1: never spin, -2: never sleep */
    int baton;
    int cpu; /* to pin the driver to, or SMF__CPU_NONE */
};

struct smf_core {
    struct smf_turn turn;
    struct smf__clock clock;
    struct smf__random random;
    struct smf__timers *timers;
    struct smf__pool *pool;
    struct smf__room room;
    struct smf__side side;     /* zeroes: nothing */
    uint64_t side_next_ns;     /* when it wants the next look */
    uint32_t forks;            /* before it was opened: see core_fork.h */
    struct smf__ring *mailbox; /* of struct smf__letter, from any thread */
    struct smf__baton *baton;  /* NULL: handlers never block */
    struct smf__pin *pin;      /* NULL: the driver runs where the scheduler likes */
    struct smf_buffer *retired[SMF__CORE_RETIRED_MAX]; /* full loans, until the sends are out */
    uint32_t retired_count;
    uint64_t payload_size_bytes_max;    /* that may be sent; the room sets it */
    const struct smf__filters *filters; /* around the request that a router hands out; or NULL */
    struct smf__spare *spare_calls;     /* records of filtered calls that nobody uses */
    uint32_t spare_call_count;
    uint32_t deferred; /* calls that services owe an answer, wherever their callers are */
    struct smf__records *records; /* what services keep of their calls; or NULL */
    void (*records_close)(struct smf__records *records);
    struct smf__streams *streams; /* likewise, of their streams */
    void (*streams_close)(struct smf__streams *streams);
    void (*streams_turn)(struct smf_core *core); /* called by the next poll, when what was sent has
                                                    gone; NULL: nothing is due */
    int hurry;        /* the room wants another turn soon: the poll does not wait */
    int looks_again;  /* this poll is not over after one look that finds nothing */
    int busy;         /* since the last poll began something was found or done of which only another
                         look knows that nothing follows from it: see smf_core_arm */
    int64_t spin_ns;  /* -1: for ever */
    uint32_t stopped; /* atomic */
    struct smf__core_counts counts;
    uint64_t turns, waits;
    uint64_t wakes; /* atomic */
};

/* 0 in a forked child. Any thread. */
static inline int smf__core_is_ours(const struct smf_core *core)
{
    return core->forks == smf__forks;
}

/* Opens a core without a room. Returns 0 or a status with *error_out filled. */
int smf__core_open(struct smf_core **core_out, const struct smf__core_config *config,
                   struct smf_error *error_out);

/* Closes the room, too. */
void smf__core_close(struct smf_core *core);

/* Gives the core its room; before the first poll. */
void smf__core_furnish(struct smf_core *core, const struct smf__room *room);

/* Puts something beside the core's room, until it leaves or the core is closed. Returns 0; SMF_EEXIST when
 * there is something already; or what the room's watch says, SMF_EUNSUPPORTED when it has none. */
int smf__core_furnish_side(struct smf_core *core, const struct smf__side *side);

/* Takes it away, without closing it; its fd is still open. Not from inside of its own poll. */
void smf__core_leave_side(struct smf_core *core);

/* Runs what other threads have posted. */
void smf__core_read_mail(struct smf_core *core);

/* Tells the room of what nobody will read any more. */
void smf__core_forget_mail(struct smf_core *core);

/* Wakes the driver if it sleeps; whoever calls it has left something for the driver before. */
void smf__core_ring_bell(struct smf_core *core);

int smf__mailbox_open(struct smf_core *core);

/* The room has sent what was built in the loans: they may be built in again. */
void smf__core_loans_reset(struct smf_core *core);

/* Makes a buffer of the core's pool its loan, free below top, with the caller's reference; once for each
 * frame that is sent from it. */
void smf__core_loan_adopt(struct smf_core *core, struct smf_buffer *buffer, uint8_t *top);

/* Says how the payload of the frame that was committed last is compressed, and sets flags of it. */
static inline void smf__core_mark_frame(struct smf_core *core, uint8_t compression, uint8_t flags)
{
    core->turn.loan_top[0] = compression;
    core->turn.loan_top[1] |= flags;
}

/* Guards data: never compiled out. */
#define smf__check(condition)                                                                      \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            smf__check_failed(#condition, __FILE__, __LINE__);                                     \
    } while (0)
void smf__check_failed(const char *condition, const char *file, int line)
    __attribute__((noreturn, cold));

int smf__error(struct smf_error *error_out, int status, int os_errno, const char *text);

#endif
