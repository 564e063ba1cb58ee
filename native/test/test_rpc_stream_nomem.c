/* Streams that begin where malloc has nothing: their connection ends, and nothing is left of them. */
#include <stdlib.h>

#include "test_left.h"
#include "test_stream.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __wrap_free(void *memory);

#define TABLE_SIZE_BYTES sizeof(struct smf__sessions)
#define ENTRY_SIZE_BYTES sizeof(struct smf__session)
#define BUCKETS_SIZE_BYTES (16u * sizeof(struct smf__session *))
#define NOTED_MAX 16

/* Memory of the sizes that sessions ask for. */
static struct {
    size_t fails; /* of that size there is none; 0: there is */
    uint32_t failed;
    void *tables[NOTED_MAX];
} memory;

static void note_table(size_t size, void *at)
{
    for (int i = 0; at != NULL && size == TABLE_SIZE_BYTES && i < NOTED_MAX; i++) {
        if (memory.tables[i] == NULL) {
            memory.tables[i] = at;
            return;
        }
    }
}

static int tables_left(void)
{
    int count = 0;

    for (int i = 0; i < NOTED_MAX; i++)
        count += memory.tables[i] != NULL;
    return count;
}

static int there_is_none(size_t size)
{
    memory.failed += size == memory.fails;
    return size == memory.fails;
}

void *__wrap_malloc(size_t size)
{
    return there_is_none(size) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *at = there_is_none(count * size) ? NULL : __real_calloc(count, size);

    note_table(count * size, at);
    return at;
}

void __wrap_free(void *at)
{
    for (int i = 0; at != NULL && i < NOTED_MAX; i++) {
        if (memory.tables[i] == at)
            memory.tables[i] = NULL;
    }
    __real_free(at);
}

static void call(struct raw *raw)
{
    uint8_t byte = party_byte(CLIENT, 5, 0, 0);

    CHECK(raw_frame(raw,
                    (struct smf_frame){
                        .flags = SMF_FRAME_STREAM, .session = 5, .size = 1, .meta = PARTY_METHOD},
                    &byte));
    world_run(raw->world, 5);
}

static void begins_without(size_t size)
{
    struct party *party = party_open();
    struct raw *raws[2];

    memset(&memory, 0, sizeof memory);
    raws[0] = raw_open2(&party->world);
    raws[1] = raw_open2(&party->world);
    memory.fails = size;
    call(raws[0]);
    memory.fails = 0;
    CHECK_EQ(memory.failed, 1);
    CHECK_EQ(closed_for(&party->world, SMF_CLOSE_NO_MEMORY), 1);
    CHECK_EQ(party->talks[SERVER][5].requests, 0);
    CHECK_EQ(party_sessions(party, SERVER), 0);
    CHECK_EQ(tables_left(), 0);
    call(raws[1]); /* others go on, with what is kept for the next one */
    CHECK_EQ(party->talks[SERVER][5].requests, 1);
    CHECK_EQ(tables_left(), 1);
    party_answer(party, 5, SMF_FRAME_STREAM | SMF_FRAME_FIN, 0);
    raw_close(raws[1]);
    world_run(&party->world, 2000);
    CHECK_EQ(tables_left(), 0);
    smf_core_disconnect(party->world.client, party->conn);
    world_run(&party->world, 2000);
    check_nothing_is_left(party->world.server);
    party_close(party);
}

static void a_stream_begins_without_memory(void)
{
    begins_without(ENTRY_SIZE_BYTES);
    begins_without(TABLE_SIZE_BYTES);
    begins_without(BUCKETS_SIZE_BYTES);
}

static const struct test tests[] = {
    TEST(a_stream_begins_without_memory),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
