/* The pool against a model that knows every byte that is lent. */
#include "mem/mem_pool.h"

#include <smf/status.h>

#include <sys/resource.h>

#include "test.h"
#include "time/time_random.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static struct smf__pool *open_pool(uint64_t budget_bytes)
{
    struct smf__pool *pool = NULL;
    CHECK_EQ(smf__pool_open(&pool, budget_bytes), SMF_OK);
    return pool;
}

static struct smf__pool_stats stats_of(const struct smf__pool *pool)
{
    struct smf__pool_stats stats;
    smf__pool_stats(pool, &stats);
    return stats;
}

static void budget_out_of_range_is_refused(void)
{
    struct smf__pool *pool = NULL;
    CHECK_EQ(smf__pool_open(&pool, 0), SMF_EINVAL);
    CHECK_EQ(smf__pool_open(&pool, 8 * MIB - 1), SMF_EINVAL);
    CHECK_EQ(smf__pool_open(&pool, 64 * GIB + 1), SMF_EINVAL);
    CHECK(pool == NULL);
}

static void budget_is_rounded_to_largest_blocks(void)
{
    static const struct {
        uint64_t asked, given, largest;
    } cases[] = {
        {8 * MIB, 8 * MIB, MIB},       {9 * MIB + 5, 9 * MIB, MIB},
        {16 * MIB - 1, 15 * MIB, MIB}, {16 * MIB, 16 * MIB, 2 * MIB},
        {GIB, GIB, 128 * MIB},         {GIB + 130 * MIB, GIB + 128 * MIB, 128 * MIB},
    };
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        struct smf__pool *pool = open_pool(cases[i].asked);
        CHECK_EQ(stats_of(pool).budget_bytes, cases[i].given);
        CHECK(smf__pool_could_fit(pool, 0));
        CHECK(smf__pool_could_fit(pool, cases[i].largest));
        CHECK(!smf__pool_could_fit(pool, cases[i].largest + 1));
        CHECK(!smf__pool_could_fit(pool, UINT64_MAX));
        smf__pool_close(pool);
    }
    smf__pool_close(NULL);
}

static void sizes_are_rounded_up_and_aligned(void)
{
    static const struct {
        uint64_t size;
        uint32_t capacity;
    } cases[] = {
        {0, 4096},      {1, 4096},       {4096, 4096},   {4097, 8192}, {60000, 65536},
        {65536, 65536}, {65537, 131072}, {MIB - 1, MIB}, {MIB, MIB},
    };
    struct smf__pool *pool = open_pool(8 * MIB);
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        struct smf_buffer *buffer = smf__pool_get(pool, cases[i].size);
        CHECK(buffer != NULL);
        CHECK_EQ(buffer->capacity, cases[i].capacity);
        CHECK_EQ(buffer->refs, 1);
        CHECK_EQ((uintptr_t)buffer->data % buffer->capacity, 0);
        CHECK_EQ(stats_of(pool).used_bytes, cases[i].capacity);
        memset(buffer->data, 0x5a, buffer->capacity);
        smf__buffer_unref(pool, buffer);
        CHECK_EQ(buffer->capacity, 0);
        CHECK_EQ(buffer->refs, 0);
    }
    CHECK_EQ(stats_of(pool).used_bytes, 0);
    CHECK_EQ(stats_of(pool).used_bytes_max, MIB);
    smf__pool_close(pool);
}

static void what_can_never_fit_is_refused(void)
{
    struct smf__pool *pool = open_pool(8 * MIB);
    CHECK(smf__pool_get(pool, MIB + 1) == NULL);
    CHECK(smf__pool_get(pool, 1ull << 40) == NULL);
    CHECK(smf__pool_get(pool, UINT64_MAX) == NULL);
    CHECK_EQ(stats_of(pool).refused, 3);
    CHECK_EQ(stats_of(pool).used_bytes, 0);
    smf__pool_close(pool);
}

/* Every byte of the budget can be lent, in blocks of any one size, again and again. */
static void whole_budget_can_be_lent(void)
{
    enum { BUDGET = 9 << 20 };
    static struct smf_buffer *buffers[BUDGET / 4096];
    struct smf__pool *pool = open_pool(BUDGET);
    for (int round = 0; round < 2; round++) {
        for (uint64_t size = 4096; size <= MIB; size *= 2) {
            size_t count = BUDGET / size;
            for (size_t i = 0; i < count; i++) {
                buffers[i] = smf__pool_get(pool, size);
                CHECK(buffers[i] != NULL);
                memset(buffers[i]->data, (int)i, 16);
            }
            CHECK_EQ(stats_of(pool).used_bytes, BUDGET);
            uint64_t refused = stats_of(pool).refused;
            CHECK(smf__pool_get(pool, 1) == NULL);
            CHECK_EQ(stats_of(pool).refused, refused + 1);
            for (size_t i = 0; i < count; i++) {
                CHECK_EQ(buffers[i]->data[0], i & 0xff);
                smf__buffer_unref(pool, buffers[i]);
            }
            CHECK_EQ(stats_of(pool).used_bytes, 0);
        }
    }
    CHECK_EQ(stats_of(pool).used_bytes_max, BUDGET);
    smf__pool_close(pool);
}

static void references_keep_a_buffer(void)
{
    struct smf__pool *pool = open_pool(8 * MIB);
    struct smf_buffer *buffer = smf__pool_get(pool, 100);
    smf__buffer_ref(buffer);
    smf__buffer_ref(buffer);
    CHECK_EQ(buffer->refs, 3);
    smf__buffer_unref(pool, buffer);
    smf__buffer_unref(pool, buffer);
    CHECK_EQ(buffer->capacity, 4096);
    CHECK_EQ(stats_of(pool).used_bytes, 4096);
    struct smf_buffer *other = smf__pool_get(pool, 100);
    CHECK(other != buffer);
    smf__buffer_unref(pool, other);
    smf__buffer_unref(pool, buffer);
    CHECK_EQ(stats_of(pool).used_bytes, 0);
    smf__pool_close(pool);
}

/* A size that is used over and over gets the same, cached, memory. */
static void freed_block_is_lent_again_first(void)
{
    struct smf__pool *pool = open_pool(8 * MIB);
    struct smf_buffer *first = smf__pool_get(pool, 5000);
    uint8_t *data = first->data;
    for (int i = 0; i < 1000; i++) {
        smf__buffer_unref(pool, first);
        first = smf__pool_get(pool, 8000);
        CHECK(first->data == data);
    }
    smf__buffer_unref(pool, first);
    smf__pool_close(pool);
}

#define MODEL_BUDGET (24 * MIB)
#define MODEL_LENT_MAX 2048

struct lent {
    struct smf_buffer *buffer;
    uint64_t mark;
    uint32_t refs;
};

struct model {
    struct smf__pool *pool;
    struct smf__random random;
    struct lent lent[MODEL_LENT_MAX];
    size_t count;
    uint64_t used_bytes;
    uint8_t *low; /* the pool's first byte: the first block of all is cut from there */
    uint8_t *high;
    uint8_t taken[MODEL_BUDGET / 4096]; /* by smallest block, counted from low */
};

/* First and last bytes of a block say who has it: two owners of a byte would overwrite each other. */
static void mark(const struct lent *lent)
{
    memcpy(lent->buffer->data, &lent->mark, 8);
    memcpy(lent->buffer->data + lent->buffer->capacity / 2, &lent->mark, 8);
    memcpy(lent->buffer->data + lent->buffer->capacity - 8, &lent->mark, 8);
}

static void check_mark(const struct lent *lent)
{
    CHECK_MEM(lent->buffer->data, &lent->mark, 8);
    CHECK_MEM(lent->buffer->data + lent->buffer->capacity / 2, &lent->mark, 8);
    CHECK_MEM(lent->buffer->data + lent->buffer->capacity - 8, &lent->mark, 8);
}

static void set_taken(struct model *model, const struct smf_buffer *buffer, uint8_t taken)
{
    uint8_t *first = &model->taken[(buffer->data - model->low) / 4096];
    for (uint32_t i = 0; i < buffer->capacity / 4096; i++) {
        CHECK_NE(first[i], taken);
        first[i] = taken;
    }
}

/* A request is refused only when every place where it could lie has somebody in it. */
static void check_refusal(const struct model *model, uint64_t size)
{
    uint32_t blocks = 1;
    while ((uint64_t)blocks * 4096 < size)
        blocks *= 2;
    for (uint32_t i = 0; i < MODEL_BUDGET / 4096; i += blocks)
        CHECK(memchr(&model->taken[i], 1, blocks) != NULL);
}

static void model_get(struct model *model)
{
    uint64_t size = 1 + smf__random_below(&model->random, 4096);
    size <<= smf__random_below(&model->random, 10);
    struct smf_buffer *buffer = smf__pool_get(model->pool, size);
    if (buffer == NULL) {
        check_refusal(model, size);
        return;
    }
    CHECK_GE(buffer->capacity, size);
    CHECK(buffer->capacity == 4096 || buffer->capacity / 2 < size);
    CHECK_EQ((uintptr_t)buffer->data % buffer->capacity, 0);
    CHECK_EQ(buffer->refs, 1);
    if (model->low == NULL)
        model->low = buffer->data;
    CHECK(buffer->data >= model->low);
    if (buffer->data + buffer->capacity > model->high)
        model->high = buffer->data + buffer->capacity;
    CHECK_LE(model->high - model->low, MODEL_BUDGET);
    set_taken(model, buffer, 1);
    struct lent *lent = &model->lent[model->count++];
    *lent = (struct lent){buffer, smf__random_next(&model->random), 1};
    model->used_bytes += buffer->capacity;
    mark(lent);
}

static void model_ref(struct model *model)
{
    struct lent *lent = &model->lent[smf__random_below(&model->random, model->count)];
    smf__buffer_ref(lent->buffer);
    lent->refs++;
}

static void model_unref(struct model *model)
{
    struct lent *lent = &model->lent[smf__random_below(&model->random, model->count)];
    check_mark(lent);
    CHECK_EQ(lent->buffer->refs, lent->refs);
    if (--lent->refs > 0) {
        smf__buffer_unref(model->pool, lent->buffer);
    } else {
        model->used_bytes -= lent->buffer->capacity;
        set_taken(model, lent->buffer, 0);
        smf__buffer_unref(model->pool, lent->buffer);
        *lent = model->lent[--model->count];
    }
}

/* Gets, refs and unrefs at random, in phases that fill the pool and phases that empty it. */
static void random_use_matches_the_model(void)
{
    static struct model model;
    model.pool = open_pool(MODEL_BUDGET);
    smf__random_seed(&model.random, test_seed());
    uint64_t refused = 0;
    for (int step = 0; step < 200000; step++) {
        int filling = step / 5000 % 2 == 0;
        uint64_t roll = smf__random_below(&model.random, 10);
        if (model.count < MODEL_LENT_MAX && (model.count == 0 || roll < (filling ? 7 : 3))) {
            model_get(&model);
        } else if (roll == 9) {
            model_ref(&model);
        } else {
            model_unref(&model);
        }
        CHECK_EQ(stats_of(model.pool).used_bytes, model.used_bytes);
    }
    refused = stats_of(model.pool).refused;
    CHECK_GT(refused, 0); /* or the pool was never full, and this test tests too little */
    while (model.count > 0)
        model_unref(&model);

    /* Everything has merged again, or can: twelve of the largest blocks are the whole budget. */
    struct smf_buffer *all[12];
    for (int i = 0; i < 12; i++) {
        all[i] = smf__pool_get(model.pool, 2 * MIB);
        CHECK(all[i] != NULL);
    }
    CHECK_EQ(stats_of(model.pool).used_bytes, MODEL_BUDGET);
    CHECK_EQ(stats_of(model.pool).used_bytes_max, MODEL_BUDGET);
    for (int i = 0; i < 12; i++)
        smf__buffer_unref(model.pool, all[i]);
    smf__pool_close(model.pool);
}

static void unref_twice(void *context)
{
    struct smf__pool *pool = context;
    struct smf_buffer *buffer = smf__pool_get(pool, 1);
    smf__buffer_unref(pool, buffer);
    smf__buffer_unref(pool, buffer);
}

static void unref_foreign(void *context)
{
    static struct smf_buffer buffer = {.refs = 1, .capacity = 4096};
    smf__buffer_unref(context, &buffer);
}

static void giving_back_wrongly_aborts(void)
{
    char text[256];
    struct smf__pool *pool = open_pool(8 * MIB);
    int status = test_in_child(unref_twice, pool, text, sizeof(text));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(strstr(text, "more often than it was taken") != NULL);
    status = test_in_child(unref_foreign, pool, text, sizeof(text));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(strstr(text, "another pool") != NULL);
    smf__pool_close(pool);
}

#ifdef SMF_INVARIANTS
static void write_after_giving_back(void *context)
{
    struct smf__pool *pool = context;
    struct smf_buffer *buffer = smf__pool_get(pool, 1);
    uint8_t *data = buffer->data;
    smf__buffer_unref(pool, buffer);
    data[100] = 1;
    (void)smf__pool_get(pool, 1);
}

static void ref_of_nothing(void *context)
{
    struct smf__pool *pool = context;
    struct smf_buffer *buffer = smf__pool_get(pool, 1);
    smf__buffer_unref(pool, buffer);
    smf__buffer_ref(buffer);
}

static void close_with_lent(void *context)
{
    (void)smf__pool_get(context, 1);
    smf__pool_close(context);
}

static void invariants_are_watched(void)
{
    char text[256];
    struct smf__pool *pool = open_pool(8 * MIB);
    struct smf_buffer *buffer = smf__pool_get(pool, 8192);
    uint8_t *data = buffer->data;
    memset(data, 0, 8192);
    smf__buffer_unref(pool, buffer);
    if (!TEST_WITH_ASAN) {
        CHECK_EQ(data[0], 0xdb);
        CHECK_EQ(data[4095], 0xdb);
        CHECK_EQ(data[4096], 0);
        int status = test_in_child(write_after_giving_back, pool, text, sizeof(text));
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        CHECK(strstr(text, "written to after") != NULL);
    }
    int status = test_in_child(ref_of_nothing, pool, NULL, 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    status = test_in_child(close_with_lent, pool, text, sizeof(text));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(strstr(text, "4096 bytes are still lent") != NULL);
    smf__pool_close(pool);
}
#endif

#if TEST_WITH_ASAN
static void touch_freed(void *context)
{
    struct smf__pool *pool = context;
    struct smf_buffer *buffer = smf__pool_get(pool, 65536);
    volatile uint8_t *data = buffer->data;
    smf__buffer_unref(pool, buffer);
    (void)data[65535];
}

static void touch_behind(void *context)
{
    struct smf__pool *pool = context;
    volatile uint8_t *data = smf__pool_get(pool, 4096)->data;
    data[4095] = 1;
    data[4096] = 1; /* the neighbour, never lent */
}

static void memory_that_is_not_lent_is_poisoned(void)
{
    char text[512];
    struct smf__pool *pool = open_pool(8 * MIB);
    int status = test_in_child(touch_freed, pool, text, sizeof(text));
    CHECK(status != 0 && strstr(text, "use-after-poison") != NULL);
    status = test_in_child(touch_behind, pool, text, sizeof(text));
    CHECK(status != 0 && strstr(text, "use-after-poison") != NULL);
    smf__pool_close(pool);
}
#endif

/* Resident memory of this process. */
static int64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL);
    char line[256];
    CHECK(fgets(line, sizeof(line), file) != NULL);
    fclose(file);
    const char *second = strchr(line, ' '); /* pages: all, resident, … */
    CHECK(second != NULL);
    return strtoll(second, NULL, 10) * sysconf(_SC_PAGESIZE);
}

static void untouched_pool_costs_no_memory(void)
{
    if (TEST_WITH_TSAN || test_emulated()) {
        test_note("not measured: the sanitizer's or emulator's own memory is counted too");
        return;
    }
    (void)resident_bytes(); /* the first call's buffers are not the pool's */
    int64_t before = resident_bytes();
    struct smf__pool *pool = open_pool(GIB);
    CHECK_LT(resident_bytes() - before, (int64_t)MIB);
    if (!TEST_WITH_ASAN) { /* which needs shadow memory for what is lent */
        struct smf_buffer *small = smf__pool_get(pool, 1);
        struct smf_buffer *large = smf__pool_get(pool, 64 * MIB);
        CHECK(small != NULL && large != NULL);
        CHECK_LT(resident_bytes() - before, (int64_t)MIB);
#ifndef SMF_INVARIANTS
        smf__buffer_unref(pool, large);
        smf__buffer_unref(pool, small);
        CHECK_LT(resident_bytes() - before, (int64_t)MIB);
#else
        smf__buffer_unref(pool, large);
        smf__buffer_unref(pool, small);
#endif
    }
    smf__pool_close(pool);
}

/* Memory that was used is lent again before untouched memory is. */
static void working_set_stays_small(void)
{
    enum { COUNT = 200, BLOCK = 16384 };
    static struct smf_buffer *buffers[COUNT];
    struct smf__pool *pool = open_pool(64 * MIB);
    uint8_t *low = NULL, *high = NULL;
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < COUNT; i++) {
            buffers[i] = smf__pool_get(pool, BLOCK);
            CHECK(buffers[i] != NULL);
            if (low == NULL || buffers[i]->data < low)
                low = buffers[i]->data;
            if (buffers[i]->data + BLOCK > high)
                high = buffers[i]->data + BLOCK;
        }
        for (int i = 0; i < COUNT; i++)
            smf__buffer_unref(pool, buffers[(i * 7) % COUNT]);
    }
    CHECK_LE(high - low, 8 * MIB); /* the largest block that the first one was cut from */
    smf__pool_close(pool);
}

static void largest_budget_opens(void)
{
    FILE *file = fopen("/proc/sys/vm/overcommit_memory", "r");
    int mode = file == NULL ? '0' : fgetc(file);
    if (file != NULL)
        fclose(file);
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_AS, &limit), 0);
    if (mode == '2' || limit.rlim_cur != RLIM_INFINITY) {
        test_note("not run: this machine limits address space");
        return;
    }
    struct smf__pool *pool = open_pool(64 * GIB);
    CHECK_EQ(stats_of(pool).budget_bytes, 64 * GIB);
    CHECK(smf__pool_could_fit(pool, 2 * GIB));
    CHECK(!smf__pool_could_fit(pool, 2 * GIB + 1));
    if (!TEST_WITH_ASAN) {
        struct smf_buffer *buffer = smf__pool_get(pool, 2 * GIB);
        CHECK(buffer != NULL);
        CHECK_EQ(buffer->capacity, 2 * GIB);
        buffer->data[0] = 1;
        buffer->data[2 * GIB - 1] = 1;
        smf__buffer_unref(pool, buffer);
    }
    smf__pool_close(pool);
}

static void open_without_address_space(void *context)
{
    (void)context;
    struct rlimit limit = {.rlim_cur = 1 << 28, .rlim_max = 1 << 28};
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    struct smf__pool *pool = NULL;
    _exit(smf__pool_open(&pool, 4 * GIB) == SMF_ENOMEM ? 42 : 43);
}

static void no_address_space_is_a_status(void)
{
    if (TEST_WITH_ASAN || TEST_WITH_TSAN || test_emulated()) {
        test_note("not run: the sanitizer needs address space itself, and emulators set no limit");
        return;
    }
    int status = test_in_child(open_without_address_space, NULL, NULL, 0);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 42);
}

static const struct test tests[] = {
    TEST(budget_out_of_range_is_refused),
    TEST(budget_is_rounded_to_largest_blocks),
    TEST(sizes_are_rounded_up_and_aligned),
    TEST(what_can_never_fit_is_refused),
    TEST(whole_budget_can_be_lent),
    TEST(references_keep_a_buffer),
    TEST(freed_block_is_lent_again_first),
    TEST(random_use_matches_the_model),
    TEST(giving_back_wrongly_aborts),
#ifdef SMF_INVARIANTS
    TEST(invariants_are_watched),
#endif
#if TEST_WITH_ASAN
    TEST(memory_that_is_not_lent_is_poisoned),
#endif
    TEST(untouched_pool_costs_no_memory),
    TEST(working_set_stays_small),
    TEST(largest_budget_opens),
    TEST(no_address_space_is_a_status),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
