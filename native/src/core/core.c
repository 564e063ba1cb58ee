#include "core/core.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include <smf/loop.h>

#include "core/core_baton.h"
#include "core/core_pin.h"
#include "mem/mem_count.h"

#define NS_PER_US 1000
#define WAKE_NS 30000 /* from the end of a sleep until the thread runs, on a virtual machine */

int smf__error(struct smf_error *error_out, int status, int os_errno, const char *text)
{
    if (error_out == NULL)
        return status;
    error_out->status = status;
    error_out->os_errno = os_errno;
    snprintf(error_out->text, sizeof error_out->text, "%s%s%s", text, os_errno ? ": " : "",
             os_errno ? strerror(os_errno) : "");
    return status;
}

void smf__check_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "smf: %s:%d: %s does not hold; this is a bug in smf\n", file, line, condition);
    abort();
}

static int open_memory(struct smf_core *core, uint64_t memory_bytes)
{
    int status = smf__pool_open(&core->pool, memory_bytes);

    if (status != SMF_OK)
        return status;
    core->turn.events = calloc(SMF__CORE_EVENTS_MAX, sizeof *core->turn.events);
    core->turn.sends = calloc(SMF__CORE_SENDS_MAX, sizeof *core->turn.sends);
    if (core->turn.events == NULL || core->turn.sends == NULL)
        return SMF_ENOMEM;
    core->turn.event_capacity = SMF__CORE_EVENTS_MAX;
    core->turn.send_capacity = SMF__CORE_SENDS_MAX;
    return smf_core_loan(core, 0);
}

int smf__core_open(struct smf_core **core_out, const struct smf__core_config *config,
                   struct smf_error *error_out)
{
    struct smf_core *core = aligned_alloc(64, (sizeof *core + 63) & ~(size_t)63);
    int32_t spin_us = config->spin_us == 0 ? SMF__SPIN_DEFAULT_US : config->spin_us;
    int status;

    if (core == NULL)
        return smf__error(error_out, SMF_ENOMEM, 0, "no memory for a core");
    memset(core, 0, sizeof *core);
    core->clock = config->clock;
    core->forks = smf__forks;
    core->spin_ns = spin_us == -2 ? -1 : spin_us < 0 ? 0 : (int64_t)spin_us * NS_PER_US;
    if (config->random_seed != 0)
        smf__random_seed(&core->random, config->random_seed);
    else
        smf__random_seed_system(&core->random);
    core->side_next_ns = UINT64_MAX;
    core->turn.now_ns = smf__clock_now_ns(&core->clock);
    status = smf__timers_open(&core->timers, core->turn.now_ns);
    if (status == SMF_OK)
        status = open_memory(core, config->memory_bytes);
    if (status == SMF_OK)
        status = smf__mailbox_open(core);
    if (status == SMF_OK && config->cpu != SMF__CPU_NONE)
        status = smf__pin_open(&core->pin, config->cpu);
    if (status == SMF_OK && config->baton && smf__baton_open(&core->baton, core->pin) != SMF_OK) {
        smf__core_close(core);
        return smf__error(error_out, SMF_ESYSTEM, errno,
                          "a core's two watching threads could not be started; raise the limit on "
                          "threads (ulimit -u)");
    }
    if (status != SMF_OK) {
        smf__core_close(core);
        return smf__error(error_out, status, 0,
                          "a core could not be opened: its memory could not be reserved; lower "
                          "memory_bytes or raise the limit on address space (ulimit -v)");
    }
    *core_out = core;
    return SMF_OK;
}

void smf__core_close(struct smf_core *core)
{
    if (core->baton != NULL)
        smf__baton_close(core->baton);
    if (core->pin != NULL)
        smf__pin_close(core->pin);
    if (core->mailbox != NULL)
        smf__core_forget_mail(core);
    if (core->side.close != NULL)
        core->side.close(core->side.context);
    if (core->room.close != NULL)
        core->room.close(core->room.context);
    if (core->turn.loan_buffer != NULL)
        smf__buffer_unref(core->pool, core->turn.loan_buffer);
    for (uint32_t i = 0; i < core->retired_count; i++)
        smf__buffer_unref(core->pool, core->retired[i]);
    if (core->pool != NULL)
        smf__pool_close(core->pool);
    if (core->mailbox != NULL)
        smf__ring_close(core->mailbox);
    if (core->timers != NULL)
        smf__timers_close(core->timers);
    smf__tallies_close(core);
    if (core->records != NULL)
        core->records_close(core->records);
    if (core->streams_close != NULL)
        core->streams_close(core->streams);
    for (struct smf__spare *spare = core->spare_calls, *next; spare != NULL; spare = next) {
        next = spare->next;
        free(spare->memory);
    }
    free(core->turn.events);
    free(core->turn.sends);
    free(core);
}

void smf__core_furnish(struct smf_core *core, const struct smf__room *room)
{
    core->room = *room;
}

int smf__core_furnish_side(struct smf_core *core, const struct smf__side *side)
{
    int status;

    if (core->side.poll != NULL)
        return SMF_EEXIST;
    if (core->room.watch == NULL)
        return SMF_EUNSUPPORTED;
    status = core->room.watch(core->room.context, side->fd);
    if (status != SMF_OK)
        return status;
    core->side = *side;
    core->busy = 1; /* it has not been looked at yet */
    return SMF_OK;
}

void smf__core_leave_side(struct smf_core *core)
{
    if (core->side.poll == NULL)
        return;
    core->room.unwatch(core->room.context, core->side.fd);
    memset(&core->side, 0, sizeof core->side);
    core->side_next_ns = UINT64_MAX;
}

struct smf_turn *smf_core_turn(struct smf_core *core)
{
    return &core->turn;
}

static int must_return(struct smf_core *core)
{
    return core->turn.event_count != 0 || core->hurry ||
           __atomic_load_n(&core->turn.pending, __ATOMIC_ACQUIRE) != 0 ||
           __atomic_load_n(&core->stopped, __ATOMIC_ACQUIRE) != 0 || smf__ring_ready(core->mailbox);
}

/* When something is to be done though nobody sends anything. */
static uint64_t next_due_ns(const struct smf_core *core)
{
    uint64_t timers_ns = smf__timers_next_ns(core->timers);

    return timers_ns < core->side_next_ns ? timers_ns : core->side_next_ns;
}

/* How much too late a sleep with a timeout ends: the thread's timer slack, and what it takes to run. */
static uint64_t wake_lead_ns(void)
{
    static _Thread_local uint64_t lead_ns;

    if (lead_ns == 0) {
        int slack_ns = prctl(PR_GET_TIMERSLACK);

        lead_ns = WAKE_NS + (slack_ns > 0 ? (uint64_t)slack_ns : 0);
    }
    return lead_ns;
}

/* When to spin: from the beginning of the poll on, unless it is known when something will come; then until
 * it should have been there for so long. */
static void spins_when(const struct smf_core *core, uint64_t entered_ns, uint64_t *from_ns_out,
                       uint64_t *until_ns_out)
{
    uint64_t expected_ns = 0, lead_ns;

    if (core->side.expects != NULL && core->spin_ns > 0)
        expected_ns = core->side.expects(core->side.context);
    lead_ns = expected_ns != 0 ? wake_lead_ns() : 0;
    if (expected_ns == 0)
        expected_ns = entered_ns;
    *from_ns_out = expected_ns > lead_ns ? expected_ns - lead_ns : 0;
    *until_ns_out = expected_ns + (uint64_t)core->spin_ns;
}

/* How long the next look for input may wait, or 0. */
static int64_t may_wait_ns(const struct smf_core *core, uint64_t entered_ns, uint64_t until_ns)
{
    uint64_t now_ns = core->turn.now_ns, from_ns, spun_ns, wake_ns;

    if (core->spin_ns < 0)
        return 0;
    spins_when(core, entered_ns, &from_ns, &spun_ns);
    if (now_ns >= from_ns && now_ns < spun_ns)
        return 0;
    wake_ns = next_due_ns(core);
    if (until_ns < wake_ns)
        wake_ns = until_ns;
    if (from_ns > now_ns && from_ns < wake_ns)
        wake_ns = from_ns;
    if (wake_ns == UINT64_MAX)
        return -1;
    return wake_ns > now_ns ? (int64_t)(wake_ns - now_ns) : 0;
}

/* Says that this core sleeps from now on. Returns 0 when it must not: others have left something for
 * it. Whoever has something for this core sets pending first and then looks at sleeping; here it is the
 * other way round, so one of the two sees the other. */
static int arm(struct smf_core *core)
{
    __atomic_store_n(&core->turn.sleeping, 1, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return __atomic_load_n(&core->turn.pending, __ATOMIC_SEQ_CST) == 0 &&
           __atomic_load_n(&core->stopped, __ATOMIC_SEQ_CST) == 0 &&
           !smf__ring_ready(core->mailbox);
}

static void disarm(struct smf_core *core)
{
    __atomic_store_n(&core->turn.sleeping, 0, __ATOMIC_SEQ_CST);
}

static void sleep_armed(struct smf_core *core, int64_t wait_ns)
{
    smf__count(core->waits, 1);
    core->room.poll(core->room.context, arm(core) ? wait_ns : 0);
    disarm(core);
}

static void look(struct smf_core *core, int64_t wait_ns)
{
    uint64_t from_ns = core->turn.now_ns;

    if (wait_ns == 0) {
        core->room.poll(core->room.context, 0);
    } else {
        smf__count_sleep(core, from_ns);
        sleep_armed(core, wait_ns);
        from_ns = core->turn.now_ns; /* the room has set it to the end of the wait */
        smf__count_wake(core, from_ns);
    }
    core->turn.now_ns = smf__clock_now_ns(&core->clock);
    smf__count_look(core, from_ns);
    core->busy |= smf__timers_run(core->timers, core->turn.now_ns) != 0;
}

/* Before each look of the room, which may wait: then its descriptor tells of what comes meanwhile. */
static void look_beside(struct smf_core *core)
{
    if (core->side.poll != NULL)
        core->side_next_ns = core->side.poll(core->side.context);
}

static void begin(struct smf_core *core)
{
    if (core->side.begin != NULL)
        core->side.begin(core->side.context);
    core->room.begin(core->room.context);
    core->turn.send_count = 0;
}

int smf_core_poll(struct smf_core *core, int64_t wait_us)
{
    uint64_t entered_ns, handed_ns = core->turn.now_ns, until_ns = UINT64_MAX;

    if (!smf__core_is_ours(core))
        return SMF_ECLOSED;
    if (core->pin != NULL)
        smf__pin_enter(core->pin);
    if (__atomic_load_n(&core->turn.sleeping, __ATOMIC_RELAXED) != 0) /* outside of a poll */
        disarm(core);
    smf__count(core->turns, 1);
    core->turn.now_ns = smf__clock_now_ns(&core->clock);
    smf__count_turn(core, handed_ns);
    core->turn.event_count = 0;
    core->hurry = core->busy = 0;
    core->looks_again = wait_us != SMF_WAIT_NONE;
    if (smf__ring_ready(core->mailbox))
        smf__core_read_mail(core);
    if (core->turn.tallied_count != 0)
        smf__tallies_settle(core, handed_ns);
    begin(core);
    if (core->streams_turn != NULL)
        core->streams_turn(core);
    entered_ns = core->turn.now_ns;
    if (wait_us > 0 && wait_us < INT64_MAX / NS_PER_US)
        until_ns = entered_ns + (uint64_t)wait_us * NS_PER_US;
    look_beside(core);
    look(core, 0);
    while (wait_us != SMF_WAIT_NONE && !must_return(core) && core->turn.now_ns < until_ns) {
        look_beside(core);
        look(core, must_return(core) ? 0 : may_wait_ns(core, entered_ns, until_ns));
    }
    if (core->baton != NULL)
        smf__baton_note_cpu(core->baton);
    if (__atomic_load_n(&core->stopped, __ATOMIC_ACQUIRE) != 0) {
        if (core->pin != NULL)
            smf__pin_leave(core->pin);
        return SMF_ECLOSED;
    }
    return (int)core->turn.event_count;
}

int smf_core_fd(const struct smf_core *core)
{
    int fd = core->room.fd(core->room.context);

    return fd >= 0 ? fd : SMF_EUNSUPPORTED;
}

int64_t smf_core_arm(struct smf_core *core)
{
    uint64_t next_ns, now_ns;
    int idle =
        !core->busy && !core->hurry && core->turn.event_count == 0 && core->turn.send_count == 0;

    if (!smf__core_is_ours(core) || (!idle && !smf__counts_asleep(core)))
        return 0;
    now_ns = smf__clock_now_ns(&core->clock);
    smf__count_unarmed(core, now_ns);
    if (!idle)
        return 0;
    next_ns = next_due_ns(core);
    if (!arm(core) || next_ns <= now_ns) {
        disarm(core);
        return 0;
    }
    smf__count(core->waits, 1);
    smf__count_armed(core, now_ns);
    if (next_ns == UINT64_MAX)
        return SMF_WAIT_FOREVER;
    return (int64_t)((next_ns - now_ns + NS_PER_US - 1) / NS_PER_US);
}

int smf_core_run(struct smf_core *core,
                 void (*handle)(struct smf_core *core, const struct smf_event *event,
                                void *context),
                 void *context)
{
    if (core == NULL || handle == NULL)
        return SMF_EINVAL;
    for (;;) {
        int count = smf_core_poll(core, SMF_WAIT_FOREVER);

        if (count < 0)
            return SMF_OK;
        __atomic_store_n(&core->turn.pending, 0, __ATOMIC_SEQ_CST);
        for (int i = 0; i < count; i++)
            handle(core, &core->turn.events[i], context);
    }
}

void smf__core_ring_bell(struct smf_core *core)
{
    if (__atomic_exchange_n(&core->turn.sleeping, 0, __ATOMIC_SEQ_CST) == 0 ||
        !smf__core_is_ours(core))
        return;
    __atomic_add_fetch(&core->wakes, 1, __ATOMIC_RELAXED);
    core->room.wake(core->room.context);
}

/* These two run in signal handlers: the errno of whoever was interrupted stays as it is. */

void smf_core_wake(struct smf_core *core)
{
    int saved_errno = errno;

    __atomic_store_n(&core->turn.pending, 1, __ATOMIC_SEQ_CST);
    smf__core_ring_bell(core);
    errno = saved_errno;
}

void smf_core_stop(struct smf_core *core)
{
    int saved_errno = errno;

    __atomic_store_n(&core->stopped, 1, __ATOMIC_SEQ_CST);
    smf__core_ring_bell(core);
    if (core->baton != NULL)
        smf__baton_stop(core->baton);
    errno = saved_errno;
}
