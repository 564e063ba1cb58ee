#include "core/core_baton.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/core.h"
#include "core/core_pin.h"

#define WATCH_NS 20000ull     /* the same handler for that long on an idle CPU: it sleeps */
#define TICK_NS 1000000l      /* between two looks of the monitor */
#define LATE_TICKS 2          /* the same handler at so many looks after the first: it is late */
#define SLOW_TICK_NS 4000000l /* between two looks at a driver that was not late in so many … */
#define HEALTHY_TICKS 64      /* … looks */
#define QUIET_TICKS_MAX 20    /* then the monitor sleeps until it is kicked */
#define SWEEP_TICKS 256       /* between two looks for threads that were born pinned */
#define THREAD_STACK_BYTES (64u << 10)
#define STATE_KIND 3ull
#define GIVEN_END UINT32_MAX /* in given: there will be no driver any more */

struct smf__baton {
    struct smf_baton words; /* shared with the driver; first */
    uint32_t given;         /* futex; 0, or why the stand-in takes over */
    uint32_t stopped;       /* atomic */
    int cpu;                /* atomic; where the driver was last seen */
    int driver_tid;         /* atomic */
    int watcher_started, monitor_started;
    pthread_t watcher, monitor;
    struct smf__pin *pin;
    uint64_t deposed_sleeping, deposed_computing, handed_over, kicks; /* atomic */
    uint64_t watcher_won; /* atomic; of those deposed as sleeping */
};

static void futex_wait(uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static uint32_t *watcher_asleep(struct smf__baton *baton)
{
    return (uint32_t *)&baton->words.watchers_asleep;
}

static uint32_t *monitor_asleep(struct smf__baton *baton)
{
    return (uint32_t *)&baton->words.watchers_asleep + 1;
}

static uint64_t state_of(struct smf__baton *baton)
{
    return __atomic_load_n(&baton->words.state, __ATOMIC_SEQ_CST);
}

static int in_handler(uint64_t state)
{
    return (state & STATE_KIND) == SMF_BATON_IN_HANDLER;
}

static int is_stopped(struct smf__baton *baton)
{
    return __atomic_load_n(&baton->stopped, __ATOMIC_SEQ_CST) != 0;
}

/* Takes the loop from a driver that is still in the handler it entered as state; the stand-in gets
 * it. The sequence moves on, so the late driver's compare-and-swap fails.
 *
 * Whoever deposes has read the state that the driver published behind all that it did to the core, and
 * publishes given behind that: so the stand-in sees the core as the driver left it, in whatever order
 * this machine shows stores to others. */
static int depose(struct smf__baton *baton, uint64_t state, uint32_t reason)
{
    uint64_t next = (state & ~STATE_KIND) + SMF_BATON_SEQ_ONE;

    if (!__atomic_compare_exchange_n(&baton->words.state, &state, next, 0, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST))
        return 0;
    __atomic_add_fetch(reason == SMF_BATON_SLEPT    ? &baton->deposed_sleeping
                       : reason == SMF_BATON_HANDED ? &baton->handed_over
                                                    : &baton->deposed_computing,
                       1, __ATOMIC_RELAXED);
    __atomic_store_n(&baton->given, reason, __ATOMIC_SEQ_CST);
    futex_wake(&baton->given);
    return 1;
}

static int fences_work(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

/* Sleeps until the next kick, unless the state moved on since it was read as state. */
static void sleep_untimed(struct smf__baton *baton, uint32_t *asleep, uint64_t state)
{
    __atomic_store_n(asleep, 1, __ATOMIC_SEQ_CST);
    /* The driver stores its state and looks at asleep, maybe without a barrier: give it one here. Then
     * either it sees asleep, or its store is seen below. */
    if (baton->words.fences)
        (void)syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    if (state_of(baton) == state && !is_stopped(baton))
        futex_wait(asleep, 1);
    __atomic_store_n(asleep, 0, __ATOMIC_SEQ_CST);
}

/* Does the driver's thread sleep, by the letter that the kernel gives it? A driver that was preempted
 * ('R') must not be taken for one; nor one that can't be looked at. Asked only of drivers that are late
 * already, so no file is kept open for it. */
static int driver_sleeps(struct smf__baton *baton)
{
    char text[128], *mark;
    ssize_t size;
    int fd;

    snprintf(text, sizeof text, "/proc/self/task/%d/stat",
             __atomic_load_n(&baton->driver_tid, __ATOMIC_SEQ_CST));
    fd = open(text, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0)
        return 0;
    text[size] = '\0';
    mark = strrchr(text, ')');
    return mark != NULL && mark[1] == ' ' && (mark[2] == 'S' || mark[2] == 'D');
}

static uint64_t monotonic_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void follow_driver(struct smf__baton *baton, int *cpu)
{
    cpu_set_t set;
    int now = __atomic_load_n(&baton->cpu, __ATOMIC_RELAXED);

    if (now == *cpu || now < 0)
        return;
    CPU_ZERO(&set);
    CPU_SET(now, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
    *cpu = now;
}

static int stays_same(struct smf__baton *baton, uint64_t state, int *cpu)
{
    uint64_t since_ns = monotonic_ns();

    while (monotonic_ns() - since_ns < WATCH_NS) {
        if (state_of(baton) != state || is_stopped(baton))
            return 0;
        follow_driver(baton, cpu);
    }
    return 1;
}

/* Runs only when the driver's CPU has nothing else to do. Stays in the idle class for good: without
 * privileges there is no way back, so taking over is the business of another thread. */
static void *watcher_main(void *context)
{
    struct smf__baton *baton = context;
    struct sched_param param = {0};
    int cpu = -1;

    prctl(PR_SET_NAME, "smf-watcher");
    if (sched_setscheduler(0, SCHED_IDLE, &param) != 0)
        return NULL; /* forbidden here: the monitor alone has to do */
    while (!is_stopped(baton)) {
        uint64_t state = state_of(baton);

        follow_driver(baton, &cpu);
        if (!in_handler(state))
            sleep_untimed(baton, watcher_asleep(baton), state);
        else if (stays_same(baton, state, &cpu) && driver_sleeps(baton) &&
                 depose(baton, state, SMF_BATON_SLEPT))
            __atomic_add_fetch(&baton->watcher_won, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void pause_ns(long nanoseconds)
{
    struct timespec pause = {.tv_nsec = nanoseconds};

    clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

/* Looks in ticks. A driver that was never found late in many looks is looked at less often: at
 * saturation each look takes the CPU from it for a moment. */
static void *monitor_main(void *context)
{
    struct smf__baton *baton = context;
    uint64_t last = 0;
    uint32_t same = 0, healthy = 0, looks = 0;

    prctl(PR_SET_NAME, "smf-monitor");
    while (!is_stopped(baton)) {
        uint64_t state = state_of(baton);

        same = state == last ? same + 1 : 0;
        last = state;
        healthy++;
        if (in_handler(state) && same >= LATE_TICKS) {
            depose(baton, state, driver_sleeps(baton) ? SMF_BATON_SLEPT : SMF_BATON_COMPUTED);
            healthy = 0;
        } else if (same > QUIET_TICKS_MAX) {
            if (baton->pin != NULL)
                smf__pin_sweep(baton->pin);
            sleep_untimed(baton, monitor_asleep(baton), state);
            same = 0;
        }
        if (baton->pin != NULL && ++looks % SWEEP_TICKS == 0)
            smf__pin_sweep(baton->pin);
        pause_ns(healthy > HEALTHY_TICKS && same == 0 ? SLOW_TICK_NS : TICK_NS);
    }
    return NULL;
}

/* Starts a thread that no signal of the host program ever lands on. */
static int start_thread(pthread_t *thread, void *(*main)(void *), void *context)
{
    pthread_attr_t attributes;
    sigset_t all, old;
    int result;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    result = pthread_create(thread, &attributes, main, context);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return result == 0;
}

int smf__baton_open(struct smf__baton **baton_out, struct smf__pin *pin)
{
    struct smf__baton *baton = aligned_alloc(64, (sizeof *baton + 63) & ~(size_t)63);

    if (baton == NULL)
        return SMF_ENOMEM;
    memset(baton, 0, sizeof *baton);
    baton->words.state = SMF_BATON_SEQ_ONE | SMF_BATON_OWNED;
    baton->words.fences = fences_work();
    baton->cpu = -1;
    baton->pin = pin;
    baton->watcher_started = start_thread(&baton->watcher, watcher_main, baton);
    baton->monitor_started = start_thread(&baton->monitor, monitor_main, baton);
    if (!baton->watcher_started || !baton->monitor_started) {
        smf__baton_close(baton);
        return SMF_ENOMEM;
    }
    *baton_out = baton;
    return SMF_OK;
}

void smf__baton_stop(struct smf__baton *baton)
{
    uint32_t nobody = 0;

    __atomic_store_n(&baton->stopped, 1, __ATOMIC_SEQ_CST);
    /* So that a stand-in that is about to wait finds the word changed. */
    (void)__atomic_compare_exchange_n(&baton->given, &nobody, GIVEN_END, 0, __ATOMIC_SEQ_CST,
                                      __ATOMIC_SEQ_CST);
    __atomic_store_n(watcher_asleep(baton), 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(monitor_asleep(baton), 0, __ATOMIC_SEQ_CST);
    futex_wake(watcher_asleep(baton));
    futex_wake(monitor_asleep(baton));
    futex_wake(&baton->given);
}

void smf__baton_close(struct smf__baton *baton)
{
    smf__baton_stop(baton);
    if (baton->watcher_started)
        pthread_join(baton->watcher, NULL);
    if (baton->monitor_started)
        pthread_join(baton->monitor, NULL);
    free(baton);
}

void smf__baton_note_cpu(struct smf__baton *baton)
{
    static __thread int thread_tid;
    int cpu = sched_getcpu();

    if (cpu != __atomic_load_n(&baton->cpu, __ATOMIC_RELAXED))
        __atomic_store_n(&baton->cpu, cpu, __ATOMIC_RELAXED);
    if (thread_tid == 0)
        thread_tid = gettid();
    if (thread_tid != __atomic_load_n(&baton->driver_tid, __ATOMIC_RELAXED))
        __atomic_store_n(&baton->driver_tid, thread_tid, __ATOMIC_SEQ_CST);
}

void smf__baton_stats(const struct smf__baton *baton, struct smf_core_stats *stats)
{
    stats->deposed_sleeping = __atomic_load_n(&baton->deposed_sleeping, __ATOMIC_RELAXED);
    stats->deposed_computing = __atomic_load_n(&baton->deposed_computing, __ATOMIC_RELAXED);
    stats->handed_over = __atomic_load_n(&baton->handed_over, __ATOMIC_RELAXED);
    stats->kicks = __atomic_load_n(&baton->kicks, __ATOMIC_RELAXED);
}

uint64_t smf__baton_watcher_won(const struct smf__baton *baton)
{
    return __atomic_load_n(&baton->watcher_won, __ATOMIC_SEQ_CST);
}

/* The public side. */

struct smf_baton *smf_core_baton(struct smf_core *core)
{
    return core->baton != NULL ? &core->baton->words : NULL;
}

int smf_baton_wait(struct smf_core *core)
{
    struct smf__baton *baton = core->baton;

    while (smf__core_is_ours(core)) {
        uint32_t reason = __atomic_load_n(&baton->given, __ATOMIC_SEQ_CST);

        if (reason == GIVEN_END)
            return SMF_BATON_CLOSED;
        if (reason != 0) {
            __atomic_store_n(&baton->given, 0, __ATOMIC_SEQ_CST);
            if (is_stopped(baton)) /* its word met ours */
                __atomic_store_n(&baton->given, GIVEN_END, __ATOMIC_SEQ_CST);
            smf__baton_note_cpu(baton); /* the watchers look after this thread from now on */
            return (int)reason;
        }
        futex_wait(&baton->given, 0);
    }
    return SMF_BATON_CLOSED;
}

static void wake_one(uint32_t *asleep)
{
    if (__atomic_exchange_n(asleep, 0, __ATOMIC_SEQ_CST) != 0)
        futex_wake(asleep);
}

void smf_baton_kick(struct smf_core *core)
{
    __atomic_add_fetch(&core->baton->kicks, 1, __ATOMIC_RELAXED);
    wake_one(watcher_asleep(core->baton));
    wake_one(monitor_asleep(core->baton));
}

int smf_baton_hand_over(struct smf_core *core, uint64_t state)
{
    return depose(core->baton, state, SMF_BATON_HANDED);
}
