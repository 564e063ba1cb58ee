/* The ring: order, fullness, and many producers at once. */
#include "mem/mem_ring.h"

#include <pthread.h>
#include <sched.h>

#include <smf/status.h>

#include "test.h"

static void wrong_sizes_are_refused(void)
{
    struct smf__ring *ring = NULL;
    CHECK_EQ(smf__ring_open(&ring, 0, 8), SMF_EINVAL);
    CHECK_EQ(smf__ring_open(&ring, 1, 8), SMF_EINVAL);
    CHECK_EQ(smf__ring_open(&ring, 3, 8), SMF_EINVAL);
    CHECK_EQ(smf__ring_open(&ring, SMF__RING_CAPACITY_MAX * 2, 8), SMF_EINVAL);
    CHECK_EQ(smf__ring_open(&ring, 8, 0), SMF_EINVAL);
    CHECK_EQ(smf__ring_open(&ring, 8, SMF__RING_CELL_MAX_BYTES + 1), SMF_EINVAL);
    CHECK(ring == NULL);
    smf__ring_close(NULL);
}

static void cells_come_out_in_order(void)
{
    static const uint32_t capacities[] = {2, 4, 64};
    for (size_t c = 0; c < TEST_COUNT(capacities); c++) {
        struct smf__ring *ring = NULL;
        uint32_t capacity = capacities[c];
        CHECK_EQ(smf__ring_open(&ring, capacity, sizeof(uint32_t)), SMF_OK);
        uint32_t pushed = 0, popped = 0, value = 0;
        for (int round = 0; round < 300; round++) {
            CHECK(!smf__ring_ready(ring));
            CHECK(!smf__ring_pop(ring, &value));
            uint32_t count = 1 + (uint32_t)round % capacity;
            for (uint32_t i = 0; i < count; i++, pushed++)
                CHECK(smf__ring_push(ring, &pushed));
            CHECK_EQ(smf__ring_push(ring, &pushed), count < capacity);
            if (count < capacity) {
                pushed++;
                count++;
            }
            for (uint32_t i = 0; i < count; i++, popped++) {
                CHECK(smf__ring_ready(ring));
                CHECK(smf__ring_pop(ring, &value));
                CHECK_EQ(value, popped);
            }
        }
        CHECK_EQ(pushed, popped);
        smf__ring_close(ring);
    }
}

/* Cells of every awkward size are copied whole, and nothing behind them. */
static void cells_keep_their_bytes(void)
{
    static const uint32_t sizes[] = {1, 7, 8, 55, 56, 57, 64, 100, SMF__RING_CELL_MAX_BYTES};
    static uint8_t in[SMF__RING_CELL_MAX_BYTES], out[SMF__RING_CELL_MAX_BYTES + 1];
    for (size_t s = 0; s < TEST_COUNT(sizes); s++) {
        struct smf__ring *ring = NULL;
        CHECK_EQ(smf__ring_open(&ring, 4, sizes[s]), SMF_OK);
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < 4; i++) {
                memset(in, 16 * round + i + 1, sizes[s]);
                CHECK(smf__ring_push(ring, in));
            }
            for (int i = 0; i < 4; i++) {
                memset(in, 16 * round + i + 1, sizes[s]);
                out[sizes[s]] = 0xee;
                CHECK(smf__ring_pop(ring, out));
                CHECK_MEM(in, out, sizes[s]);
                CHECK_EQ(out[sizes[s]], 0xee);
            }
        }
        smf__ring_close(ring);
    }
}

#define PRODUCERS 4
#define MESSAGES 50000u /* of each producer */

struct message {
    uint32_t producer;
    uint32_t number;
    uint64_t check; /* torn cells are found by it */
    uint8_t *heap;  /* written by the producer before the push, read and freed behind the pop */
};

struct producer {
    struct smf__ring *ring;
    uint32_t index;
    uint64_t full; /* how often the ring was */
};

static uint64_t check_of(const struct message *message)
{
    uint64_t both = (uint64_t)message->producer << 32 | message->number;
    return (both + 1) * 0x9e3779b97f4a7c15u;
}

static void *produce(void *context)
{
    struct producer *producer = context;
    for (uint32_t i = 0; i < MESSAGES; i++) {
        struct message message = {.producer = producer->index, .number = i};
        message.check = check_of(&message);
        message.heap = malloc(1);
        CHECK(message.heap != NULL);
        *message.heap = (uint8_t)i;
        while (!smf__ring_push(producer->ring, &message)) {
            producer->full++;
            sched_yield();
        }
    }
    return NULL;
}

/* Every message arrives once, whole, in its producer's order, with all that was written before it. */
static void consume_all(struct smf__ring *ring, uint32_t *next)
{
    struct message message;
    uint64_t left = (uint64_t)PRODUCERS * MESSAGES;
    while (left > 0) {
        int ready = smf__ring_ready(ring);
        if (!smf__ring_pop(ring, &message)) {
            CHECK(!ready);
            sched_yield();
            continue;
        }
        CHECK_LT(message.producer, PRODUCERS);
        CHECK_EQ(message.number, next[message.producer]);
        CHECK_EQ(message.check, check_of(&message));
        CHECK_EQ(*message.heap, message.number & 0xff);
        free(message.heap);
        next[message.producer]++;
        left--;
    }
}

static void many_producers(uint32_t capacity)
{
    struct smf__ring *ring = NULL;
    CHECK_EQ(smf__ring_open(&ring, capacity, sizeof(struct message)), SMF_OK);
    pthread_t threads[PRODUCERS];
    struct producer producers[PRODUCERS];
    uint32_t next[PRODUCERS] = {0};
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){.ring = ring, .index = i};
        CHECK_EQ(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    consume_all(ring, next);
    uint64_t full = 0;
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
        CHECK_EQ(next[i], MESSAGES);
        full += producers[i].full;
    }
    CHECK(!smf__ring_ready(ring));
    if (capacity == 2)
        CHECK_GT(full, 0); /* or the full ring was not tested */
    smf__ring_close(ring);
}

static void producers_meet_in_a_tiny_ring(void)
{
    many_producers(2);
}

static void producers_meet_in_a_large_ring(void)
{
    many_producers(1024);
}

static const struct test tests[] = {
    TEST(wrong_sizes_are_refused),        TEST(cells_come_out_in_order),
    TEST(cells_keep_their_bytes),         TEST(producers_meet_in_a_tiny_ring),
    TEST(producers_meet_in_a_large_ring),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
