/* The moment at which a watcher falls asleep, where a wake-up could be lost: looked at from inside, for
 * no amount of traffic hits it reliably. */
#include "core/core_baton.c" /* NOLINT(bugprone-suspicious-include): the file under test */

#include "test.h"

/* A state that moved on after the watcher had read it: it must not sleep. If it does, nobody wakes it
 * and the test runs into its time limit. */
static void a_state_that_moved_on_keeps_it_awake(void)
{
    struct smf__baton baton = {.words = {.state = 5ull * SMF_BATON_SEQ_ONE | SMF_BATON_IN_HANDLER}};

    sleep_untimed(&baton, watcher_asleep(&baton), 4ull * SMF_BATON_SEQ_ONE);
    CHECK_EQ(baton.words.watchers_asleep, 0);
}

static void a_stop_keeps_it_awake(void)
{
    struct smf__baton baton = {.stopped = 1};

    sleep_untimed(&baton, monitor_asleep(&baton), 0);
    CHECK_EQ(baton.words.watchers_asleep, 0);
}

static void *sleep_main(void *context)
{
    struct smf__baton *baton = context;

    sleep_untimed(baton, watcher_asleep(baton), 0);
    return NULL;
}

static uint64_t asleep(struct smf__baton *baton)
{
    return __atomic_load_n(&baton->words.watchers_asleep, __ATOMIC_SEQ_CST);
}

/* It says that it sleeps before it does, so that a driver which looks afterwards kicks it. */
static void it_sleeps_until_it_is_kicked(void)
{
    static struct smf__baton baton;
    struct smf_core core = {.baton = &baton};
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, sleep_main, &baton), 0);
    while (asleep(&baton) == 0)
        sched_yield();
    smf_baton_kick(&core);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(asleep(&baton), 0);
    CHECK_EQ(baton.kicks, 1);
}

/* The stand-in has looked, found nothing, and is about to wait when the stop comes: the word that it
 * waits on has changed. If not, this waits for ever. */
static void a_stop_ends_a_wait_that_begins(void)
{
    static struct smf__baton baton;
    struct smf_core core = {.baton = &baton};

    smf__baton_stop(&baton);
    futex_wait(&baton.given, 0);
    CHECK_EQ(smf_baton_wait(&core), SMF_BATON_CLOSED);
    CHECK_EQ(smf_baton_wait(&core), SMF_BATON_CLOSED);
}

/* The loop was given to the stand-in before: it drives, and the one after it is told. */
static void a_stop_does_not_undo_a_take_over(void)
{
    static struct smf__baton baton = {.words = {.state = SMF_BATON_SEQ_ONE | SMF_BATON_IN_HANDLER}};
    struct smf_core core = {.baton = &baton};

    CHECK_EQ(smf_baton_hand_over(&core, SMF_BATON_SEQ_ONE | SMF_BATON_IN_HANDLER), 1);
    smf__baton_stop(&baton);
    CHECK_EQ(smf_baton_wait(&core), SMF_BATON_HANDED);
    CHECK_EQ(smf_baton_wait(&core), SMF_BATON_CLOSED);
}

static const struct test tests[] = {
    TEST(a_stop_ends_a_wait_that_begins),       TEST(a_stop_does_not_undo_a_take_over),
    TEST(a_state_that_moved_on_keeps_it_awake), TEST(a_stop_keeps_it_awake),
    TEST(it_sleeps_until_it_is_kicked),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
