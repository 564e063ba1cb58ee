/* A handler computes, with durable appends of its core under way: the loop is taken from it, and whoever
 * goes on with it hears of them and appends more, though the thread that submitted the writes makes no
 * system call and does not give its CPU away by itself. */
#include <pthread.h>
#include <stdatomic.h>

#include <smf/baton.h>

#include "test_wal_api.h"

#define ROUNDS 12
#define TOGETHER 40u /* appends under way when a handler begins, and as many behind it */
#define TAKE_OVER_NS 10000000000ull

struct scene {
    struct wal_rig rig;
    uint64_t partition;
    uint64_t appended; /* so far, by all drivers */
    atomic_int done;   /* the stand-in has heard of everything */
    int reason;
    uint64_t turns; /* of the late handler, so that nobody optimises it away */
};

static uint64_t now_ns(void)
{
    struct smf__clock clock = smf__clock_monotonic();

    return smf__clock_now_ns(&clock);
}

static void append_some(struct scene *scene)
{
    for (uint32_t i = 0; i < TOGETHER; i++) {
        uint64_t offset =
            wal_put(&scene->rig, scene->partition, "some value", SMF_WAL_DURABLE, scene->appended);

        CHECK_EQ(offset, scene->appended);
        scene->appended++;
    }
}

/* The next driver: it waits for the loop, then for what the last one has begun. */
static void *stand_in(void *context)
{
    struct scene *scene = context;

    scene->reason = smf_baton_wait(scene->rig.core);
    CHECK_NE(scene->reason, SMF_BATON_CLOSED);
    wal_await(&scene->rig, scene->appended);
    append_some(scene);
    wal_await(&scene->rig, scene->appended);
    atomic_store_explicit(&scene->done, 1, memory_order_release);
    return NULL;
}

static uint64_t enter(struct smf_core *core)
{
    struct smf_baton *baton = smf_core_baton(core);
    uint64_t state = __atomic_load_n(&baton->state, __ATOMIC_SEQ_CST);

    CHECK_EQ(state & 3, SMF_BATON_OWNED);
    state = (state + SMF_BATON_SEQ_ONE) | SMF_BATON_IN_HANDLER;
    __atomic_store_n(&baton->state, state, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&baton->watchers_asleep, __ATOMIC_SEQ_CST) != 0)
        smf_baton_kick(core);
    return state;
}

/* Still the driver? */
static int leave(struct smf_core *core, uint64_t state)
{
    return __atomic_compare_exchange_n(&smf_core_baton(core)->state, &state,
                                       (state & ~3ull) | SMF_BATON_OWNED, 0, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

static void one_round(struct scene *scene)
{
    struct smf_core *core = scene->rig.core;
    uint64_t state, until_ns = now_ns() + TAKE_OVER_NS;
    pthread_t thread;

    atomic_store(&scene->done, 0);
    append_some(scene);
    (void)wal_poll(&scene->rig, SMF_WAIT_NONE); /* they are on their way */
    CHECK_EQ(pthread_create(&thread, NULL, stand_in, scene), 0);
    state = enter(core);
    while (!atomic_load_explicit(&scene->done, memory_order_acquire)) {
        if (++scene->turns % (1u << 24) == 0 && now_ns() > until_ns)
            test_fail(__FILE__, __LINE__, "%" PRIu64 " of %" PRIu64 " appends were told of",
                      scene->rig.appended, scene->appended);
    }
    CHECK_EQ(leave(core, state), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(scene->rig.appended, scene->appended);
    CHECK_EQ(scene->rig.failed, 0);
}

static void under_a_computing_handler(void)
{
    const uint32_t disks[] = {SMF_WAL_DISK_URING, SMF_WAL_DISK_POSIX};

    for (uint32_t i = 0; i < TEST_COUNT(disks); i++) {
        struct scene scene = {0};

        if (!wal_rig_open(&scene.rig, disks[i], 1))
            continue;
        scene.partition = wal_topic(&scene.rig, "baton", 1);
        for (int round = 0; round < ROUNDS; round++)
            one_round(&scene);
        CHECK_EQ(wal_info(&scene.rig, scene.partition).durable, scene.appended);
        CHECK_EQ(wal_info(&scene.rig, scene.partition).status, SMF_OK);
        wal_rig_close(&scene.rig);
    }
}

static const struct test tests[] = {
    TEST(under_a_computing_handler),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
