/* Messages between threads: order, nothing lost while the driver falls asleep, a full box. */
#include <pthread.h>

#include <smf/engine.h>

#include "test.h"

#define THREADS 3
#define LETTERS 20000u

struct counter {
    uint32_t next[THREADS]; /* what each thread's next letter must carry; the driver's */
    uint32_t total;
};

struct sender {
    struct smf_core *core;
    uint32_t index;
};

static struct counter counter;

static void read_letter(struct smf_core *core, void *context)
{
    uintptr_t letter = (uintptr_t)context;
    uint32_t thread = (uint32_t)(letter >> 32), number = (uint32_t)letter;

    CHECK_EQ(number, counter.next[thread]);
    counter.next[thread]++;
    if (++counter.total == THREADS * LETTERS)
        smf_core_stop(core);
}

static void *send_letters(void *context)
{
    const struct sender *sender = context;

    for (uint32_t i = 0; i < LETTERS; i++) {
        void *letter = (void *)((uintptr_t)sender->index << 32 | i);
        while (smf_core_post(sender->core, read_letter, letter) != SMF_OK)
            sched_yield();
        if (i % 1000 == 0)
            usleep(200); /* lets the driver fall asleep */
    }
    return NULL;
}

static struct smf_engine *open_engine(void)
{
    struct smf_engine_config config = {.size = sizeof config, .spin_us = -1};
    struct smf_engine *engine;
    struct smf_error error;

    CHECK_EQ(smf_engine_open(&engine, &config, &error), SMF_OK);
    return engine;
}

static void no_event(struct smf_core *core, const struct smf_event *event, void *context)
{
    (void)core;
    (void)event;
    (void)context;
}

static void letters_arrive_in_order_and_wake_the_driver(void)
{
    struct smf_engine *engine = open_engine();
    struct sender senders[THREADS];
    pthread_t threads[THREADS];

    memset(&counter, 0, sizeof counter);
    for (uint32_t i = 0; i < THREADS; i++) {
        senders[i] = (struct sender){smf_engine_core(engine, 0), i};
        CHECK_EQ(pthread_create(&threads[i], NULL, send_letters, &senders[i]), 0);
    }
    CHECK_EQ(smf_core_run(smf_engine_core(engine, 0), no_event, NULL), SMF_OK);
    CHECK_EQ(counter.total, THREADS * LETTERS);
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    smf_engine_close(engine);
}

static void count_letter(struct smf_core *core, void *context)
{
    (void)core;
    ++*(uint32_t *)context;
}

static void a_full_box_refuses_and_loses_nothing(void)
{
    struct smf_engine *engine = open_engine();
    struct smf_core *core = smf_engine_core(engine, 0);
    uint32_t read = 0;

    for (uint32_t i = 0; i < SMF_MAILBOX_CAPACITY; i++)
        CHECK_EQ(smf_core_post(core, count_letter, &read), SMF_OK);
    CHECK_EQ(smf_core_post(core, count_letter, &read), SMF_ELIMIT);
    CHECK_EQ(smf_core_poll(core, SMF_WAIT_NONE), 0);
    CHECK_EQ(read, SMF_MAILBOX_CAPACITY);
    CHECK_EQ(smf_core_post(core, count_letter, &read), SMF_OK);
    CHECK_EQ(smf_core_poll(core, SMF_WAIT_NONE), 0);
    CHECK_EQ(read, SMF_MAILBOX_CAPACITY + 1);
    smf_engine_close(engine);
}

static const struct test tests[] = {TEST(letters_arrive_in_order_and_wake_the_driver),
                                    TEST(a_full_box_refuses_and_loses_nothing)};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
