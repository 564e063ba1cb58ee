/* Seats: who gets a connection that somebody has accepted. */
#include <pthread.h>

#include "core/core.h"
#include "rpc/rpc_group.h"
#include "test.h"
#include "time/time_random.h"

#define SEATS 3u
#define LIMIT 1000000u
#define THREADS 3
#define TAKEN_BY_EACH 200000

/* Of a core the seats look only at whether it was stopped. */
static struct smf_core *idle_core(void)
{
    struct smf_core *core = aligned_alloc(64, (sizeof *core + 63) & ~(size_t)63);

    CHECK(core != NULL);
    memset(core, 0, sizeof *core);
    return core;
}

static struct smf__group *group_of(uint32_t count, uint32_t limit)
{
    struct smf__group *group;

    CHECK_EQ(smf__group_open(&group, count), SMF_OK);
    for (uint32_t i = 0; i < count; i++)
        smf__group_set(group, i, idle_core(), limit);
    return group;
}

static void done_with(struct smf__group *group)
{
    for (uint32_t i = 0; i < smf__group_count(group); i++)
        free(smf__group_seat(group, i)->core);
    smf__group_close(group);
}

static uint32_t taken(struct smf__group *group, uint32_t index)
{
    return smf__seat_taken(smf__group_seat(group, index));
}

static void ties_stay_and_the_fewest_get_it(void)
{
    struct smf__group *group = group_of(SEATS, LIMIT);

    CHECK_EQ(smf__group_choose(group, 1), 1); /* 0 1 0 */
    CHECK_EQ(smf__group_choose(group, 1), 2); /* 0 1 1: the next one after it */
    CHECK_EQ(smf__group_choose(group, 1), 0); /* 1 1 1 */
    CHECK_EQ(smf__group_choose(group, 0), 0); /* 2 1 1 */
    CHECK_EQ(smf__group_choose(group, 2), 2); /* 2 1 2 */
    CHECK_EQ(smf__group_choose(group, 2), 1); /* 2 2 2 */
    smf__seat_give(smf__group_seat(group, 0));
    smf__seat_give(smf__group_seat(group, 0));
    CHECK_EQ(smf__group_choose(group, 1), 0);
    CHECK_EQ(smf__group_choose(group, 2), 0);
    CHECK_EQ(smf__group_choose(group, 2), 2);
    done_with(group);
}

static void nobody_has_room_only_when_all_are_full(void)
{
    struct smf__group *group = group_of(SEATS, 2);

    for (uint32_t i = 0; i < 2 * SEATS; i++)
        CHECK_NE(smf__group_choose(group, i % 2), SMF__SEAT_NONE);
    CHECK_EQ(smf__group_choose(group, 0), SMF__SEAT_NONE);
    CHECK_EQ(smf__seat_take(smf__group_seat(group, 0)), 0);
    CHECK_EQ(smf__seat_promise(smf__group_seat(group, 0)), 0);
    smf__seat_give(smf__group_seat(group, 2));
    CHECK_EQ(smf__group_choose(group, 0), 2);
    CHECK_EQ(smf__group_choose(group, 0), SMF__SEAT_NONE);
    done_with(group);
}

static void shut_and_stopped_seats_are_left_out(void)
{
    struct smf__group *group = group_of(SEATS, 4);
    struct smf__seat *shut = smf__group_seat(group, 1), *stopped = smf__group_seat(group, 2);

    CHECK_EQ(smf__group_choose(group, 1), 1);
    smf__seat_shut(shut);
    CHECK_EQ(smf__seat_taken(shut), 1);
    stopped->core->stopped = 1;
    for (int i = 0; i < 4; i++)
        CHECK_EQ(smf__group_choose(group, 0), 0);
    CHECK_EQ(smf__group_choose(group, 0), SMF__SEAT_NONE);
    CHECK_EQ(smf__group_choose(group, 2), 2); /* it still accepts in its last turn */
    CHECK_EQ(smf__seat_promise(shut), 0);
    CHECK_EQ(smf__seat_promise(stopped), 0);
    CHECK_EQ(smf__seat_take(shut), 1); /* its own core may still connect */
    smf__seat_give(shut);
    smf__seat_give(shut);
    CHECK_EQ(smf__seat_taken(shut), 0);
    CHECK_EQ(smf__seat_promise(shut), 0);
    done_with(group);
}

/* A limit that has the bit of "shut" in it is as good as none. */
static void endless_limits(void)
{
    struct smf__group *group = group_of(2, UINT32_MAX);

    for (int i = 0; i < 10; i++)
        CHECK_NE(smf__group_choose(group, 0), SMF__SEAT_NONE);
    CHECK_EQ(taken(group, 0), 5);
    CHECK_EQ(taken(group, 1), 5);
    done_with(group);
}

/* Several accept at once. */

static struct smf__group *shared;

static void *accept_many(void *context)
{
    for (int i = 0; i < TAKEN_BY_EACH; i++)
        CHECK_NE(smf__group_choose(shared, (uint32_t)(uintptr_t)context), SMF__SEAT_NONE);
    return NULL;
}

static void seats_that_are_taken_at_once_stay_level(void)
{
    pthread_t threads[THREADS];
    uint32_t least = UINT32_MAX, most = 0, sum = 0;

    shared = group_of(SEATS, LIMIT);
    for (uintptr_t i = 0; i < THREADS; i++) /* two of them at the same core */
        CHECK_EQ(pthread_create(&threads[i], NULL, accept_many, (void *)(i / 2)), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    for (uint32_t i = 0; i < SEATS; i++) {
        least = taken(shared, i) < least ? taken(shared, i) : least;
        most = taken(shared, i) > most ? taken(shared, i) : most;
        sum += taken(shared, i);
    }
    CHECK_EQ(sum, THREADS * TAKEN_BY_EACH);
    CHECK_LE(most - least, 1);
    done_with(shared);
}

/* A place that only one can have is had by one at a time: the seats are locks then. */

static uint32_t owned[SEATS]; /* atomic */

static void own(uint32_t index)
{
    CHECK_EQ(__atomic_exchange_n(&owned[index], 1, __ATOMIC_SEQ_CST), 0);
    CHECK_EQ(taken(shared, index), 1);
    __atomic_store_n(&owned[index], 0, __ATOMIC_SEQ_CST);
    smf__seat_give(smf__group_seat(shared, index));
}

static void *take_and_give(void *context)
{
    uint32_t first = (uint32_t)(uintptr_t)context;

    for (int i = 0; i < TAKEN_BY_EACH; i++) {
        int chosen = smf__group_choose(shared, first);

        if (chosen != SMF__SEAT_NONE)
            own((uint32_t)chosen);
        if (smf__seat_promise(smf__group_seat(shared, 0)))
            own(0);
        if (smf__seat_take(smf__group_seat(shared, 1)))
            own(1);
    }
    return NULL;
}

static void one_place_is_had_by_one(void)
{
    pthread_t threads[THREADS];

    shared = group_of(2, 1);
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, take_and_give, (void *)(i % 2)), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(taken(shared, 0) + taken(shared, 1), 0);
    done_with(shared);
}

static uint32_t promised; /* atomic */

static void *promise_until_shut(void *context)
{
    while (smf__seat_promise(context))
        __atomic_add_fetch(&promised, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* Who shuts its seat knows all promises, and there is none afterwards. */
static void shutting_counts_every_promise(void)
{
    struct smf__group *group = group_of(2, LIMIT);
    struct smf__seat *seat = smf__group_seat(group, 0);
    pthread_t threads[THREADS];
    uint32_t known;

    __atomic_store_n(&promised, 0, __ATOMIC_RELAXED);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, promise_until_shut, seat), 0);
    while (smf__seat_taken(seat) < 1000)
        sched_yield();
    smf__seat_shut(seat);
    known = smf__seat_taken(seat);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(known, __atomic_load_n(&promised, __ATOMIC_RELAXED));
    CHECK_EQ(known, smf__seat_taken(seat));
    done_with(group);
}

static const struct test tests[] = {
    TEST(ties_stay_and_the_fewest_get_it),         TEST(nobody_has_room_only_when_all_are_full),
    TEST(shut_and_stopped_seats_are_left_out),     TEST(endless_limits),
    TEST(seats_that_are_taken_at_once_stay_level), TEST(one_place_is_had_by_one),
    TEST(shutting_counts_every_promise),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
