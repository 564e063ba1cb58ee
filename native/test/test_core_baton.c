/* The baton's C side, with plain threads in the place of a language runtime's: who is late loses the
 * loop, who is not keeps it, and no take-over is ever missed. Times here are bounds after which a test
 * gives up, not expectations. */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include <smf/baton.h>
#include <smf/engine.h>

#include "core/core.h"
#include "core/core_baton.h"
#include "test.h"
#include "time/time_random.h"

#define PATIENCE_NS 10000000000ull
#define TAKE_OVER_NS 3000000000ull
#define ROUNDS 200000
#define SLEEPS_ONE_IN 4096
#define LONG_REST_ROUNDS 60
#define SWEEPS_MS 600 /* about two sweeps */
#define WATCHER_PATIENCE_NS 10000000000ull
#define PROBE_NS 40000ull  /* twice what the watcher looks for, */
#define PROBES_IN_TIME 50u /* and so often: then it is the watcher's fault */
#define US 1000ull
#define MS 1000000ull

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void nap(uint64_t ns)
{
    struct timespec pause = {.tv_sec = (time_t)(ns / 1000000000u),
                             .tv_nsec = (long)(ns % 1000000000u)};

    nanosleep(&pause, NULL);
}

static void spin(uint64_t ns)
{
    uint64_t until_ns = now_ns() + ns;

    while (now_ns() < until_ns)
        ;
}

static struct smf_engine *engine_with(uint32_t pin)
{
    struct smf_engine_config config = {.size = sizeof config,
                                       .cores = 1,
                                       .baton = 1,
                                       .pin = pin,
                                       .spin_us = -1,
                                       .memory_bytes = 8u << 20};
    struct smf_engine *engine;
    struct smf_error error;

    CHECK_EQ(smf_engine_open(&engine, &config, &error), SMF_OK);
    return engine;
}

static struct smf_core_stats stats_of(const struct smf_core *core)
{
    struct smf_core_stats stats;

    smf_core_stats(core, &stats);
    return stats;
}

/* What a driver does around a handler. */

static uint64_t state_of(struct smf_core *core)
{
    return __atomic_load_n(&smf_core_baton(core)->state, __ATOMIC_SEQ_CST);
}

static uint64_t enter(struct smf_core *core)
{
    struct smf_baton *baton = smf_core_baton(core);
    uint64_t state = state_of(core);

    CHECK_EQ(state & 3, SMF_BATON_OWNED);
    state = (state + SMF_BATON_SEQ_ONE) | SMF_BATON_IN_HANDLER;
    __atomic_store_n(&baton->state, state, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&baton->watchers_asleep, __ATOMIC_SEQ_CST) != 0)
        smf_baton_kick(core);
    return state;
}

/* 1: still the driver. */
static int leave(struct smf_core *core, uint64_t state)
{
    return __atomic_compare_exchange_n(&smf_core_baton(core)->state, &state,
                                       (state & ~3ull) | SMF_BATON_OWNED, 0, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

/* Sleeps in a handler until somebody took the loop; 0: nobody did, in all that time. */
static int sleep_until_deposed(struct smf_core *core, uint64_t state)
{
    uint64_t until_ns = now_ns() + TAKE_OVER_NS;

    while (state_of(core) == state) {
        if (now_ns() > until_ns)
            return 0;
        nap(200 * US);
    }
    return 1;
}

/* A stand-in that waits for one take-over. */
struct stand_in {
    struct smf_core *core;
    pthread_t thread;
    int reason; /* when it has ended */
};

static void *stand_in_main(void *context)
{
    struct stand_in *stand_in = context;

    stand_in->reason = smf_baton_wait(stand_in->core);
    return NULL;
}

static void stand_in_start(struct stand_in *stand_in, struct smf_core *core)
{
    stand_in->core = core;
    stand_in->reason = -1;
    CHECK_EQ(pthread_create(&stand_in->thread, NULL, stand_in_main, stand_in), 0);
}

static int stand_in_end(struct stand_in *stand_in)
{
    CHECK_EQ(pthread_join(stand_in->thread, NULL), 0);
    return stand_in->reason;
}

/* Tests. */

/* How many quick handlers in a row kept the loop. */
static int quick_handlers_kept(void)
{
    struct smf_engine *engine = engine_with(0);
    struct smf_core *core = smf_engine_core(engine, 0);
    struct stand_in stand_in;
    int kept = 0, rounds = 0;

    stand_in_start(&stand_in, core);
    CHECK_EQ(smf_core_poll(core, SMF_WAIT_NONE), 0);
    for (; rounds < 1000 && kept == rounds; rounds++) {
        uint64_t state = enter(core);

        smf_core_baton(core)->cursor = (uint32_t)rounds;
        kept += leave(core, state);
    }
    /* Unless the machine kept this thread from running for milliseconds just there. */
    CHECK_EQ((uint64_t)(rounds - kept), stats_of(core).deposed_computing);
    smf_core_stop(core);
    CHECK_EQ(stand_in_end(&stand_in), kept == rounds ? SMF_BATON_CLOSED : SMF_BATON_COMPUTED);
    smf_engine_close(engine);
    return kept;
}

static void quick_handlers_keep_the_loop(void)
{
    int kept = 0;

    for (int tries = 0; tries < 10 && kept < 1000; tries++)
        kept = quick_handlers_kept();
    CHECK_EQ(kept, 1000);
}

static void sleeping_handlers_lose_the_loop(void)
{
    struct smf_engine *engine = engine_with(0);
    struct smf_core *core = smf_engine_core(engine, 0);
    struct smf_core_stats stats;

    CHECK_EQ(smf_core_poll(core, SMF_WAIT_NONE), 0);
    for (int i = 0; i < 50; i++) {
        struct stand_in stand_in;
        uint64_t state;
        int reason;

        stand_in_start(&stand_in, core);
        state = enter(core);
        CHECK(sleep_until_deposed(core, state));
        CHECK_EQ(state_of(core), (state & ~3ull) + SMF_BATON_SEQ_ONE);
        CHECK_EQ(leave(core, state), 0);
        CHECK_EQ(smf_baton_hand_over(core, state), 0);
        reason = stand_in_end(&stand_in);
        CHECK(reason == SMF_BATON_SLEPT || reason == SMF_BATON_COMPUTED);
    }
    stats = stats_of(core);
    CHECK_EQ(stats.deposed_sleeping + stats.deposed_computing, 50);
    smf_engine_close(engine);
}

/* A thread that does what the watcher has to do in the time that it has for it: of idle priority, woken when the
 * driver enters a handler, on the driver's CPU. */
struct probe {
    struct smf_core *core;
    pthread_t thread;
    sem_t go;
    uint64_t state;                         /* atomic; 0: none to look at */
    uint32_t stop, permitted, cpu, in_time; /* atomic */
};

static void look_once(struct probe *probe, uint64_t state)
{
    uint64_t since_ns;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(__atomic_load_n(&probe->cpu, __ATOMIC_SEQ_CST), &set);
    (void)sched_setaffinity(0, sizeof set, &set);
    since_ns = now_ns();
    while (now_ns() - since_ns < PROBE_NS) {
        if (state_of(probe->core) != state)
            return;
    }
    __atomic_add_fetch(&probe->in_time, 1, __ATOMIC_SEQ_CST);
}

static void *probe_main(void *context)
{
    struct probe *probe = context;
    struct sched_param param = {0};

    __atomic_store_n(&probe->permitted, sched_setscheduler(0, SCHED_IDLE, &param) == 0,
                     __ATOMIC_SEQ_CST);
    for (;;) {
        while (sem_wait(&probe->go) != 0)
            ;
        if (__atomic_load_n(&probe->stop, __ATOMIC_SEQ_CST))
            return NULL;
        look_once(probe, __atomic_load_n(&probe->state, __ATOMIC_SEQ_CST));
        __atomic_store_n(&probe->state, 0, __ATOMIC_SEQ_CST);
    }
}

/* One that is late with the handler before does not look at this one. */
static void probe_this(struct probe *probe, uint64_t state)
{
    if (__atomic_load_n(&probe->state, __ATOMIC_SEQ_CST) != 0)
        return;
    __atomic_store_n(&probe->cpu, (uint32_t)sched_getcpu(), __ATOMIC_SEQ_CST);
    __atomic_store_n(&probe->state, state, __ATOMIC_SEQ_CST);
    sem_post(&probe->go);
}

static int watcher_wins(struct smf_core *core, struct probe *probe)
{
    struct stand_in stand_in;
    uint64_t state;

    stand_in_start(&stand_in, core);
    state = enter(core);
    probe_this(probe, state);
    CHECK(sleep_until_deposed(core, state));
    CHECK_EQ(leave(core, state), 0);
    (void)stand_in_end(&stand_in);
    return smf__baton_watcher_won(core->baton) != 0;
}

/* Where threads of idle priority get to run in time, the watcher is quicker than the monitor. */
static void the_watcher_wins(void)
{
    struct smf_engine *engine = engine_with(0);
    struct smf_core *core = smf_engine_core(engine, 0);
    struct probe probe = {.core = core};
    uint64_t until_ns;
    int won;

    CHECK_EQ(smf_core_poll(core, SMF_WAIT_NONE), 0);
    sem_init(&probe.go, 0, 0);
    CHECK_EQ(pthread_create(&probe.thread, NULL, probe_main, &probe), 0);
    until_ns = now_ns() + WATCHER_PATIENCE_NS;
    do
        won = watcher_wins(core, &probe);
    while (!won && now_ns() < until_ns);
    __atomic_store_n(&probe.stop, 1, __ATOMIC_SEQ_CST);
    sem_post(&probe.go);
    CHECK_EQ(pthread_join(probe.thread, NULL), 0);
    smf_engine_close(engine);
    if (won)
        return;
    CHECK(test_emulated() || probe.in_time < PROBES_IN_TIME);
    CHECK(probe.permitted || getenv("CI") == NULL);
    test_note("not shown: threads of idle priority %s",
              probe.permitted ? "hardly ran, or an emulator runs them" : "are forbidden");
}

static void computing_handlers_lose_the_loop(void)
{
    struct smf_engine *engine = engine_with(0);
    struct smf_core *core = smf_engine_core(engine, 0);

    CHECK_EQ(smf_core_poll(core, SMF_WAIT_NONE), 0);
    for (int i = 0; i < 20; i++) {
        struct stand_in stand_in;
        uint64_t state, until_ns = now_ns() + PATIENCE_NS;

        stand_in_start(&stand_in, core);
        state = enter(core);
        while (state_of(core) == state)
            CHECK_LT(now_ns(), until_ns);
        CHECK_EQ(leave(core, state), 0);
        CHECK_EQ(stand_in_end(&stand_in), SMF_BATON_COMPUTED);
    }
    CHECK_EQ(stats_of(core).deposed_computing, 20);
    smf_engine_close(engine);
}

static void the_loop_can_be_handed_over(void)
{
    struct smf_engine *engine = engine_with(0);
    struct smf_core *core = smf_engine_core(engine, 0);
    struct stand_in stand_in;
    uint64_t state;
    int handed;

    CHECK_EQ(smf_core_poll(core, SMF_WAIT_NONE), 0);
    do { /* a watcher may be quicker, on a machine that is slow enough */
        stand_in_start(&stand_in, core);
        state = enter(core);
        handed = smf_baton_hand_over(core, state);
        CHECK_EQ(smf_baton_hand_over(core, state), 0);
        CHECK_EQ(leave(core, state), 0);
        CHECK_EQ(stand_in_end(&stand_in) == SMF_BATON_HANDED, handed);
    } while (!handed);
    CHECK_EQ(stats_of(core).handed_over, 1);
    CHECK_EQ(smf_baton_hand_over(core, state_of(core) | SMF_BATON_IN_HANDLER), 0); /* not in one */
    smf_engine_close(engine);
}

static void stop_ends_the_wait(void)
{
    for (int i = 0; i < 20; i++) {
        struct smf_engine *engine = engine_with(0);
        struct smf_core *core = smf_engine_core(engine, 0);
        struct stand_in stand_in;

        stand_in_start(&stand_in, core);
        if (i % 2 == 0)
            nap(MS);
        smf_core_stop(core);
        CHECK_EQ(stand_in_end(&stand_in), SMF_BATON_CLOSED);
        CHECK_EQ(smf_core_poll(core, SMF_WAIT_FOREVER), SMF_ECLOSED);
        smf_engine_close(engine);
    }
}

static void a_core_without_a_baton_has_none(void)
{
    struct smf_engine_config config = {.size = sizeof config, .memory_bytes = 8u << 20};
    struct smf_engine *engine;
    struct smf_error error;

    CHECK_EQ(smf_engine_open(&engine, &config, &error), SMF_OK);
    CHECK(smf_core_baton(smf_engine_core(engine, 0)) == NULL);
    smf_engine_close(engine);
}

/* Two threads that take turns at driving: whoever sleeps in a handler goes to the end of the queue.
 * The plain counters belong to whoever drives. */
struct relay {
    struct smf_core *core;
    uint64_t rounds, sleeps, missed;
    uint64_t deposed; /* atomic */
    int longest;      /* rests that are long enough for both watchers to fall asleep */
    struct smf__random random;
};

static void *relay_main(void *context)
{
    struct relay *relay = context;

    while (smf_baton_wait(relay->core) != SMF_BATON_CLOSED) {
        for (;;) {
            uint64_t state, chance = smf__random_next(&relay->random);
            int sleeps = relay->longest != 0 || chance % SLEEPS_ONE_IN == 0;

            if (relay->rounds == ROUNDS ||
                (relay->longest != 0 && relay->sleeps == LONG_REST_ROUNDS)) {
                smf_core_stop(relay->core);
                return NULL;
            }
            relay->rounds++;
            relay->sleeps += (uint64_t)sleeps;
            if (relay->longest != 0) /* about when the monitor gives up looking */
                nap(15 * MS + chance % (15 * MS));
            else if (chance >> 20 & 1)
                spin(chance >> 32 & 0x7ff);
            state = enter(relay->core);
            if (sleeps && !sleep_until_deposed(relay->core, state)) {
                __atomic_add_fetch(&relay->missed, 1, __ATOMIC_RELAXED);
                CHECK_EQ(smf_baton_hand_over(relay->core, state), 1);
            }
            if (!leave(relay->core, state)) {
                __atomic_add_fetch(&relay->deposed, 1, __ATOMIC_RELAXED);
                break;
            }
        }
    }
    return NULL;
}

static void relay_runs(int longest)
{
    struct smf_engine *engine = engine_with(0);
    struct smf_core *core = smf_engine_core(engine, 0);
    struct relay relay = {.core = core, .longest = longest};
    struct smf_core_stats stats;
    pthread_t threads[2];
    uint64_t state;

    smf__random_seed(&relay.random, test_seed());
    CHECK_EQ(smf_core_poll(core, SMF_WAIT_NONE), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, relay_main, &relay), 0);
    state = enter(core);
    (void)smf_baton_hand_over(core, state); /* or a watcher was quicker */
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    stats = stats_of(core);
    CHECK_EQ(relay.missed, 0);
    CHECK_EQ(stats.deposed_sleeping + stats.deposed_computing + stats.handed_over,
             relay.deposed + 1);
    CHECK_GE(relay.deposed, relay.sleeps);
    CHECK_GT(relay.sleeps, 0);
    smf_engine_close(engine);
}

static void no_take_over_is_missed(void)
{
    relay_runs(0);
}

static void no_take_over_is_missed_after_a_rest(void)
{
    relay_runs(1);
}

/* Pinning. */

static int cpu_count_of(pid_t tid)
{
    cpu_set_t set;

    CHECK_EQ(sched_getaffinity(tid, sizeof set, &set), 0);
    return CPU_COUNT(&set);
}

static int can_pin(void)
{
    cpu_set_t set;
    int possible;

    CHECK_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    possible = CPU_COUNT(&set) > 1 && sched_setaffinity(0, sizeof set, &set) == 0;
    if (!possible) {
        CHECK(getenv("CI") == NULL); /* there it must be run */
        test_note("not run: needs two CPUs and leave to choose between them");
    }
    return possible;
}

/* A thread that polls once when told, and lives until told. */
struct poller {
    struct smf_core *core;
    pthread_t thread;
    pid_t tid;
    int result;
    sem_t go, done;
};

static void *poller_main(void *context)
{
    struct poller *poller = context;

    __atomic_store_n(&poller->tid, gettid(), __ATOMIC_SEQ_CST);
    for (;;) {
        sem_wait(&poller->go);
        if (poller->core == NULL)
            return NULL;
        poller->result = smf_core_poll(poller->core, SMF_WAIT_NONE);
        sem_post(&poller->done);
    }
}

static void poller_start(struct poller *poller, struct smf_core *core)
{
    memset(poller, 0, sizeof *poller);
    poller->core = core;
    sem_init(&poller->go, 0, 0);
    sem_init(&poller->done, 0, 0);
    CHECK_EQ(pthread_create(&poller->thread, NULL, poller_main, poller), 0);
}

static int poller_polls(struct poller *poller)
{
    sem_post(&poller->go);
    sem_wait(&poller->done);
    return poller->result;
}

static void poller_end(struct poller *poller)
{
    poller->core = NULL;
    sem_post(&poller->go);
    CHECK_EQ(pthread_join(poller->thread, NULL), 0);
}

static void pinning_follows_the_driver(void)
{
    struct smf_engine *engine;
    struct smf_core *core;
    struct poller first, second;
    int all = cpu_count_of(0);

    if (!can_pin())
        return;
    engine = engine_with(1);
    core = smf_engine_core(engine, 0);
    poller_start(&first, core);
    poller_start(&second, core);
    CHECK_EQ(poller_polls(&first), 0);
    CHECK_EQ(cpu_count_of(first.tid), 1);
    CHECK_EQ(cpu_count_of(0), all);
    CHECK_EQ(poller_polls(&second), 0);
    CHECK_EQ(cpu_count_of(second.tid), 1);
    CHECK_EQ(cpu_count_of(first.tid), all);
    CHECK_EQ(poller_polls(&first), 0); /* and back */
    CHECK_EQ(cpu_count_of(first.tid), 1);
    CHECK_EQ(cpu_count_of(second.tid), all);
    smf_core_stop(core);
    CHECK_EQ(poller_polls(&first), SMF_ECLOSED);
    CHECK_EQ(cpu_count_of(first.tid), all);
    poller_end(&first);
    poller_end(&second);
    smf_engine_close(engine);
}

static void threads_born_pinned_are_released(void)
{
    struct smf_engine *engine;
    struct smf_core *core;
    struct poller child;
    uint64_t until_ns;
    int all = cpu_count_of(0);

    if (!can_pin())
        return;
    engine = engine_with(1);
    core = smf_engine_core(engine, 0);
    CHECK_EQ(smf_core_poll(core, SMF_WAIT_NONE), 0);
    CHECK_EQ(cpu_count_of(0), 1);
    poller_start(&child, core);
    until_ns = now_ns() + PATIENCE_NS;
    while (__atomic_load_n(&child.tid, __ATOMIC_SEQ_CST) == 0 || cpu_count_of(child.tid) != all) {
        CHECK_LT(now_ns(), until_ns);
        (void)leave(core, enter(core)); /* traffic */
        nap(MS);
    }
    CHECK_EQ(cpu_count_of(0), 1);
    smf_core_stop(core);
    CHECK_EQ(smf_core_poll(core, SMF_WAIT_NONE), SMF_ECLOSED);
    CHECK_EQ(cpu_count_of(0), all);
    poller_end(&child);
    smf_engine_close(engine);
}

/* Cores of two engines on one CPU leave each other's drivers alone. */
static void engines_do_not_unpin_each_other(void)
{
    struct smf_engine *engines[2];
    struct smf_core *cores[2];
    struct poller pollers[2];

    if (!can_pin())
        return;
    for (int i = 0; i < 2; i++) {
        engines[i] = engine_with(1);
        cores[i] = smf_engine_core(engines[i], 0);
        poller_start(&pollers[i], cores[i]);
        CHECK_EQ(poller_polls(&pollers[i]), 0);
    }
    for (int i = 0; i < SWEEPS_MS; i++) { /* traffic, and time for sweeps */
        for (int j = 0; j < 2; j++)
            (void)leave(cores[j], enter(cores[j]));
        nap(MS);
    }
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(poller_polls(&pollers[i]), 0);
        CHECK_EQ(cpu_count_of(pollers[i].tid), 1);
    }
    for (int i = 0; i < 2; i++) {
        smf_core_stop(cores[i]);
        poller_end(&pollers[i]);
        smf_engine_close(engines[i]);
    }
}

static const struct test tests[] = {
    TEST(quick_handlers_keep_the_loop),
    TEST(sleeping_handlers_lose_the_loop),
    TEST(the_watcher_wins),
    TEST(computing_handlers_lose_the_loop),
    TEST(the_loop_can_be_handed_over),
    TEST(stop_ends_the_wait),
    TEST(a_core_without_a_baton_has_none),
    TEST(no_take_over_is_missed),
    TEST(no_take_over_is_missed_after_a_rest),
    TEST(pinning_follows_the_driver),
    TEST(threads_born_pinned_are_released),
    TEST(engines_do_not_unpin_each_other),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
