/* The driver changes while operations are under way: whoever takes over sees them complete, though the
 * thread that submitted them computes, sleeps, or is gone. */
#include <pthread.h>
#include <stdatomic.h>

#include "mem/mem_count.h"
#include "test_disk.h"

#define TOGETHER 16u
#define FILE_BYTES (TOGETHER * DISK_BLOCK)
#define GIVE_UP_NS 20000000000ull

struct scene {
    struct rig rig;
    struct smf__disk_file *file;
    struct smf__disk_op ops[TOGETHER];
    uint8_t *data, *read;
    atomic_int submitted; /* the driver has let go */
    atomic_int seen;      /* the next one has everything */
    int stays;            /* the submitter computes until seen; 0: it ends at once */
    uint64_t turns;       /* of its computing, so that nobody optimises it away */
};

static void queue_writes(struct scene *scene, uint8_t byte)
{
    struct smf__disk *disk = scene->rig.disk;

    memset(scene->data, byte, FILE_BYTES);
    for (uint32_t i = 0; i < TOGETHER; i++) {
        scene->ops[i] = (struct smf__disk_op){.kind = SMF__DISK_WRITE,
                                              .flags = SMF__DISK_DURABLE,
                                              .file = scene->file,
                                              .offset = i * DISK_BLOCK,
                                              .size = DISK_BLOCK,
                                              .data = scene->data + i * DISK_BLOCK};
        disk->ops->queue(disk, &scene->ops[i]);
    }
    disk->ops->submit(disk);
}

/* The old driver: it makes no system call until the new one is done. */
static void *submit_and_compute(void *context)
{
    struct scene *scene = context;

    queue_writes(scene, 0x5a);
    atomic_store(&scene->submitted, 1);
    while (scene->stays && !atomic_load_explicit(&scene->seen, memory_order_acquire))
        scene->turns++;
    return NULL;
}

static void *submit_and_sleep(void *context)
{
    struct scene *scene = context;
    struct timespec moment = {0, 1000000};

    queue_writes(scene, 0xa5);
    atomic_store(&scene->submitted, 1);
    while (!atomic_load(&scene->seen))
        (void)nanosleep(&moment, NULL);
    return NULL;
}

static uint64_t now_ns(void)
{
    struct smf__clock clock = smf__clock_monotonic();

    return smf__clock_now_ns(&clock);
}

/* The new driver: by waiting, or by looking over and over again. */
static void take_over(struct scene *scene, int waits)
{
    struct smf__disk *disk = scene->rig.disk;
    struct smf__disk_op *done[TOGETHER];
    uint64_t until_ns = now_ns() + GIVE_UP_NS;
    uint32_t left = TOGETHER;

    while (!atomic_load(&scene->submitted))
        sched_yield();
    while (left > 0) {
        left -= disk->ops->poll(disk, done, left);
        if (left > 0 && waits)
            disk->ops->wait(disk, 100000000);
        else if (left > 0)
            sched_yield();
        if (now_ns() > until_ns)
            test_fail(__FILE__, __LINE__, "%s: %u of %u writes never completed", disk->ops->name,
                      left, TOGETHER);
    }
}

static void check_bytes(struct scene *scene)
{
    for (uint32_t i = 0; i < TOGETHER; i++)
        CHECK_EQ(scene->ops[i].status, SMF_OK);
    CHECK_EQ(read_from(scene->rig.disk, scene->file, 0, scene->read, FILE_BYTES), FILE_BYTES);
    CHECK_MEM(scene->read, scene->data, FILE_BYTES);
}

static void play(struct scene *scene, void *(*submitter)(void *), int rounds)
{
    for (int round = 0; round < rounds; round++) {
        pthread_t thread;

        atomic_store(&scene->submitted, 0);
        atomic_store(&scene->seen, 0);
        CHECK_EQ(pthread_create(&thread, NULL, submitter, scene), 0);
        take_over(scene, round % 2);
        atomic_store_explicit(&scene->seen, 1, memory_order_release);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        check_bytes(scene);
    }
}

static void over_all(void *(*submitter)(void *), int stays, int rounds)
{
    for (uint32_t i = 0; i < 4; i++) {
        struct smf__disk_options options = {.backend = i < 2 ? SMF__DISK_URING : SMF__DISK_POSIX,
                                            .durable_by =
                                                i % 2 ? SMF__DISK_BY_FLUSH : SMF__DISK_BY_DSYNC};
        struct scene scene = {.stays = stays};

        if (!rig_open(&scene.rig, ".", &options))
            continue;
        scene.data = aligned_bytes(FILE_BYTES);
        scene.read = aligned_bytes(FILE_BYTES);
        scene.file = make_file(scene.rig.disk, rig_path(&scene.rig, "a"), FILE_BYTES);
        play(&scene, submitter, rounds);
        close_file(scene.rig.disk, scene.file);
        rig_close(&scene.rig);
        free(scene.data);
        free(scene.read);
    }
}

static void the_submitter_computes(void)
{
    over_all(submit_and_compute, 1, 12);
}

static void the_submitter_sleeps(void)
{
    over_all(submit_and_sleep, 1, 6);
}

/* Go ends threads. What the kernel sends back then is done again by whoever drives. */
static void the_submitter_ends(void)
{
    over_all(submit_and_compute, 0, 40);
}

/* Twenty batches, each submitted by another thread than the one before, several under way at a time: the
 * ring goes from hand to hand. */
struct relay {
    struct scene *scene;
    uint32_t index;
};

static void *run_leg(void *context)
{
    struct relay *relay = context;
    struct smf__disk *disk = relay->scene->rig.disk;

    disk->ops->queue(disk, &relay->scene->ops[relay->index]);
    disk->ops->submit(disk);
    return NULL;
}

static void from_hand_to_hand(void)
{
    const uint32_t backends[] = {SMF__DISK_URING, SMF__DISK_POSIX};

    for (uint32_t b = 0; b < 2; b++) {
        struct smf__disk_options options = {.backend = backends[b]};
        struct scene scene = {0};

        if (!rig_open(&scene.rig, ".", &options))
            continue;
        scene.data = aligned_bytes(FILE_BYTES);
        scene.read = aligned_bytes(FILE_BYTES);
        scene.file = make_file(scene.rig.disk, rig_path(&scene.rig, "a"), FILE_BYTES);
        memset(scene.data, 0x77, FILE_BYTES);
        for (uint32_t i = 0; i < TOGETHER; i++) {
            struct relay relay = {&scene, i};
            pthread_t thread;

            scene.ops[i] = (struct smf__disk_op){.kind = SMF__DISK_WRITE,
                                                 .flags = SMF__DISK_DURABLE,
                                                 .file = scene.file,
                                                 .offset = i * DISK_BLOCK,
                                                 .size = DISK_BLOCK,
                                                 .data = scene.data + i * DISK_BLOCK};
            CHECK_EQ(pthread_create(&thread, NULL, run_leg, &relay), 0);
            CHECK_EQ(pthread_join(thread, NULL), 0);
        }
        await_ops(scene.rig.disk, TOGETHER);
        check_bytes(&scene);
        close_file(scene.rig.disk, scene.file);
        rig_close(&scene.rig);
        free(scene.data);
        free(scene.read);
    }
}

static const struct test tests[] = {
    TEST(the_submitter_computes),
    TEST(the_submitter_sleeps),
    TEST(the_submitter_ends),
    TEST(from_hand_to_hand),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
