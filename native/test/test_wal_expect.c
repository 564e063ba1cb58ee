/* How long writes and flushes take is learned by kind and size, so that it is known when the next of what is
 * under way will end. */
#include "test.h"
#include "wal/wal_log.h"

#define MS 1000000ull

struct bench {
    struct smf__wal wal;
    struct smf__clock_manual clock;
};

static void open_bench(struct bench *bench)
{
    memset(bench, 0, sizeof *bench);
    bench->clock.now_ns = 5 * MS;
    bench->wal.options.clock = smf__clock_from_manual(&bench->clock);
}

static void start(struct bench *bench, struct smf__wal_io *io, uint32_t kind, uint32_t flags,
                  uint64_t size)
{
    *io = (struct smf__wal_io){.op = {.kind = kind, .flags = flags, .size = size}};
    smf__wal_expect(&bench->wal, io);
    bench->wal.under_way++;
}

static void end(struct bench *bench, struct smf__wal_io *io)
{
    bench->wal.now_ns = bench->clock.now_ns;
    bench->wal.under_way--;
    smf__wal_expected(&bench->wal, io);
}

/* One operation that takes so long. */
static void take(struct bench *bench, uint32_t kind, uint32_t flags, uint64_t size, uint64_t ns)
{
    struct smf__wal_io io;
    start(bench, &io, kind, flags, size);
    bench->clock.now_ns += ns;
    end(bench, &io);
}

/* How long one of these is expected to take; 0: that is not known. */
static uint64_t known(struct bench *bench, uint32_t kind, uint32_t flags, uint64_t size)
{
    struct smf__wal_io io;
    start(bench, &io, kind, flags, size);
    uint64_t expected_ns = smf__wal_expects(&bench->wal);
    io.op.status = SMF_EIO; /* nothing is learned from that */
    end(bench, &io);
    CHECK_EQ(smf__wal_expects(&bench->wal), 0);
    return expected_ns == 0 ? 0 : expected_ns - bench->clock.now_ns;
}

static void kinds_and_sizes_are_told_apart(void)
{
    static const struct {
        uint32_t kind, flags;
        uint64_t size, ns;
    } all[] = {
        {SMF__DISK_FLUSH, 0, 0, 1 * MS},
        {SMF__DISK_WRITE, 0, 4096, 2 * MS},
        {SMF__DISK_WRITE, 0, 8192, 3 * MS},
        {SMF__DISK_WRITE, 0, 131072, 4 * MS},
        {SMF__DISK_WRITE, 0, 1 << 20, 5 * MS},
        {SMF__DISK_WRITE, SMF__DISK_DURABLE, 512, 6 * MS},
        {SMF__DISK_WRITE, SMF__DISK_DURABLE, 8192, 7 * MS},
        {SMF__DISK_WRITE, SMF__DISK_DURABLE, 131072, 8 * MS},
        {SMF__DISK_WRITE, SMF__DISK_DURABLE, 64 << 20, 9 * MS},
    };
    struct bench bench;
    open_bench(&bench);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        CHECK_EQ(known(&bench, all[i].kind, all[i].flags, all[i].size), 0);
        take(&bench, all[i].kind, all[i].flags, all[i].size, all[i].ns);
    }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        CHECK_EQ(known(&bench, all[i].kind, all[i].flags, all[i].size), all[i].ns);
    take(&bench, SMF__DISK_READ, 0, 4096, 50 * MS); /* nobody waits for that */
    CHECK_EQ(known(&bench, SMF__DISK_READ, 0, 4096), 0);
}

static void it_follows_the_device_and_forgives_a_hiccup(void)
{
    struct bench bench;
    open_bench(&bench);
    for (int i = 0; i < 100; i++)
        take(&bench, SMF__DISK_FLUSH, 0, 0, 2 * MS);
    CHECK_EQ(known(&bench, SMF__DISK_FLUSH, 0, 0), 2 * MS);
    take(&bench, SMF__DISK_FLUSH, 0, 0, 8000 * MS);
    CHECK_LE(known(&bench, SMF__DISK_FLUSH, 0, 0), 3 * MS);
    for (int i = 0; i < 100; i++)
        take(&bench, SMF__DISK_FLUSH, 0, 0, 40 * MS);
    CHECK_GE(known(&bench, SMF__DISK_FLUSH, 0, 0), 39 * MS);
}

static void the_first_of_several_counts(void)
{
    struct smf__wal_io flush, write;
    struct bench bench;
    open_bench(&bench);
    take(&bench, SMF__DISK_FLUSH, 0, 0, 3 * MS);
    take(&bench, SMF__DISK_WRITE, 0, 4096, 1 * MS);
    uint64_t began_ns = bench.clock.now_ns;
    start(&bench, &flush, SMF__DISK_FLUSH, 0, 0);
    CHECK_EQ(smf__wal_expects(&bench.wal), began_ns + 3 * MS);
    start(&bench, &write, SMF__DISK_WRITE, 0, 4096);
    CHECK_EQ(smf__wal_expects(&bench.wal), began_ns + 1 * MS);
    bench.clock.now_ns += 2 * MS;
    end(&bench, &write);
    start(&bench, &write, SMF__DISK_WRITE, 0, 4096); /* what was expected has passed */
    CHECK_GT(smf__wal_expects(&bench.wal), bench.clock.now_ns);
    end(&bench, &flush);
    end(&bench, &write);
    CHECK_EQ(smf__wal_expects(&bench.wal), 0);
}

static const struct test tests[] = {
    TEST(kinds_and_sizes_are_told_apart),
    TEST(it_follows_the_device_and_forgives_a_hiccup),
    TEST(the_first_of_several_counts),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
