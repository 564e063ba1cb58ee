/* Which batches of a file count: the golden files, whole, flipped, cut, stale, swapped; torn tails and
 * damage. */
#include "wal/wal_scan.h"

#include "test_wal_golden.h"
#include "time/time_random.h"
#include "wal/wal_crc.h"

#define BATCHES_MAX 16

struct found {
    struct smf__wal_batch batch;
    uint64_t position;
};

/* What a file says, read from its first byte to its last. */
struct reading {
    struct smf__wal_file file;
    int file_status;
    struct found batches[BATCHES_MAX];
    int count;
    int stopped_by;      /* the status behind the last batch */
    uint64_t end;        /* of that batch */
    int padding_is_zero; /* between the batches, in block 0, and behind the last batch in its block */
    int is_damage;       /* or a torn tail */
    struct smf__wal_later later;
};

static int zero_between(const uint8_t *bytes, uint64_t size, uint64_t from, uint64_t to)
{
    to = to < size ? to : size;
    return from >= to || smf__wal_is_zero(bytes + from, to - from);
}

static void read_file(const uint8_t *bytes, uint64_t size, struct reading *reading)
{
    memset(reading, 0, sizeof(*reading));
    reading->file_status = smf__wal_file_parse(bytes, size, &reading->file);
    if (reading->file_status != SMF__WAL_GOOD)
        return;
    uint64_t block = reading->file.block_bytes;
    struct smf__wal_scan scan;
    struct smf__wal_window window = {bytes, 0, size};
    smf__wal_scan_begin(&scan, &reading->file);
    reading->padding_is_zero = zero_between(bytes, size, SMF__WAL_FILE_HEADER_BYTES, block);
    for (;;) {
        struct found *found = &reading->batches[reading->count];
        uint64_t end = scan.end;
        CHECK_LT(reading->count, BATCHES_MAX);
        reading->stopped_by = smf__wal_scan_next(&scan, &window, &found->batch, &found->position);
        if (reading->stopped_by != SMF__WAL_GOOD)
            break;
        reading->padding_is_zero &= zero_between(bytes, size, end, found->position);
        uint64_t body_end = found->position + found->batch.header_bytes + found->batch.body_bytes;
        reading->padding_is_zero &= zero_between(bytes, size, body_end, scan.end);
        reading->count++;
    }
    reading->end = scan.end;
    reading->padding_is_zero &=
        zero_between(bytes, size, scan.end, (scan.end + block - 1) / block * block);
    smf__wal_later_add(&reading->later, &scan, &window);
    reading->is_damage = smf__wal_is_damage(&scan, reading->later.durable_before);
}

static struct golden segment;
static struct reading whole;

static void read_golden(const char *path)
{
    golden_read(&segment, path);
    read_file(segment.bytes, segment.size_bytes, &whole);
    CHECK_EQ(whole.file_status, SMF__WAL_GOOD);
}

static void check_whole(const struct golden *golden)
{
    uint8_t *bytes = exactly(golden->bytes, golden->size_bytes);
    int next = 0;
    read_file(bytes, golden->size_bytes, &whole);
    CHECK_EQ(whole.file_status, SMF__WAL_GOOD);
    for (int i = 0; i < golden->field_count; i++) {
        char text[128];
        if (strcmp(golden->fields[i].name, "batch") != 0)
            continue;
        CHECK_LT(next, whole.count);
        const struct found *found = &whole.batches[next++];
        snprintf(text, sizeof(text),
                 "%" PRIu64 " %" PRIu32 " %" PRIu64 " %" PRIu32 " %" PRIu64 " %" PRIu32,
                 found->position, found->batch.kind, found->batch.first_offset, found->batch.count,
                 found->batch.durable_before, found->batch.body_bytes);
        CHECK_STR(text, golden->fields[i].value);
    }
    CHECK_EQ(whole.count, next);
    CHECK_EQ(whole.stopped_by, SMF__WAL_TRUNCATED); /* the end of the file */
    CHECK(whole.padding_is_zero);
    CHECK(!whole.is_damage);
    CHECK_EQ(whole.later.batches, 0);
    free(bytes);
}

static void golden_files_are_read(void)
{
    each_golden("segment_*.hex", 1, check_whole);
    each_golden("meta_*.hex", 1, check_whole);
}

/* What was read is the beginning of what is there in truth, and nothing else. */
static void check_served(const struct reading *reading, const uint8_t *bytes)
{
    CHECK_LE(reading->count, whole.count);
    for (int i = 0; i < reading->count; i++) {
        const struct found *found = &reading->batches[i], *truth = &whole.batches[i];
        CHECK_EQ(found->position, truth->position);
        CHECK_EQ(found->batch.header_crc, truth->batch.header_crc);
        uint64_t size = (uint64_t)truth->batch.header_bytes + truth->batch.body_bytes;
        CHECK_MEM(bytes + found->position, segment.bytes + found->position, size);
    }
}

/* Every bit of a file, one at a time: each is noticed, none is served, and where later batches say that
 * the damaged one was durable it is not taken for a torn tail. */
static void flip_every_bit(const char *path)
{
    static struct reading reading;
    read_golden(path);
    uint8_t *bytes = exactly(segment.bytes, segment.size_bytes);
    uint64_t flips = 0, damages = 0;
    for (size_t bit = 0; bit < segment.size_bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        read_file(bytes, segment.size_bytes, &reading);
        if (reading.file_status == SMF__WAL_GOOD) {
            check_served(&reading, bytes);
            CHECK(reading.count < whole.count || !reading.padding_is_zero);
            uint64_t place = smf__wal_place(whole.file.number, reading.end);
            uint64_t most = 0; /* what the batches behind the one that is gone say */
            for (int i = reading.count + 1; i < whole.count; i++) {
                if (whole.batches[i].batch.durable_before > most)
                    most = whole.batches[i].batch.durable_before;
            }
            CHECK_EQ(reading.is_damage, most > place);
            damages += (uint64_t)reading.is_damage;
        }
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        flips++;
    }
    CHECK_EQ(flips, segment.size_bytes * 8);
    CHECK_GT(damages, 0);
    free(bytes);
}

static void every_flipped_bit_is_noticed(void)
{
    flip_every_bit(GOLDEN_WAL "segment_small.hex");
    flip_every_bit(GOLDEN_WAL "meta_small.hex");
}

/* Cut at every byte, in memory of exactly that size: what is whole is served, the rest is not. */
static void every_cut_is_noticed(void)
{
    static struct reading reading;
    read_golden(GOLDEN_WAL "segment_small.hex");
    for (size_t size = 0; size < segment.size_bytes; size++) {
        uint8_t *bytes = exactly(segment.bytes, size);
        read_file(bytes, size, &reading);
        if (size < SMF__WAL_FILE_HEADER_BYTES) {
            CHECK_EQ(reading.file_status, SMF__WAL_TRUNCATED);
        } else {
            int fit = 0;
            while (fit < whole.count && whole.batches[fit].position +
                                                whole.batches[fit].batch.header_bytes +
                                                whole.batches[fit].batch.body_bytes <=
                                            size)
                fit++;
            CHECK_EQ(reading.count, fit);
            CHECK(reading.stopped_by != SMF__WAL_GOOD);
            check_served(&reading, bytes);
        }
        free(bytes);
    }
}

/* Every block zeroed, filled with another one, or swapped with it. */
static void wrong_blocks_are_noticed(void)
{
    static struct reading reading;
    read_golden(GOLDEN_WAL "segment_small.hex");
    size_t blocks = segment.size_bytes / 512;
    for (size_t a = 0; a < blocks; a++) {
        for (size_t b = 0; b <= blocks; b++) {
            for (int swap = 0; swap < 2; swap++) {
                uint8_t *bytes = exactly(segment.bytes, segment.size_bytes);
                memset(bytes + a * 512, 0, 512);
                if (b < blocks)
                    memcpy(bytes + a * 512, segment.bytes + b * 512, 512);
                if (b < blocks && swap)
                    memcpy(bytes + b * 512, segment.bytes + a * 512, 512);
                read_file(bytes, segment.size_bytes, &reading);
                int same = memcmp(bytes, segment.bytes, segment.size_bytes) == 0;
                if (reading.file_status == SMF__WAL_GOOD) {
                    check_served(&reading, bytes);
                    CHECK_EQ(reading.count == whole.count && reading.padding_is_zero, same);
                }
                free(bytes);
            }
        }
    }
}

/* The blocks of a file that was recycled: whatever was left in them is not of the new file. */
static void stale_batches_never_count(void)
{
    static struct reading reading;
    read_golden(GOLDEN_WAL "segment_small.hex");
    struct smf__random random;
    smf__random_seed(&random, test_seed());
    uint8_t *bytes = exactly(segment.bytes, segment.size_bytes);
    for (int i = 0; i < 10000; i++) {
        struct smf__wal_file next = whole.file;
        next.id = smf__random_next(&random);
        if (!smf__wal_id_ok(next.id, whole.file.id))
            continue;
        CHECK_EQ(smf__wal_file_encode(&next, bytes), SMF__WAL_GOOD);
        read_file(bytes, segment.size_bytes, &reading);
        CHECK_EQ(reading.file_status, SMF__WAL_GOOD);
        CHECK_EQ(reading.count, 0);
        CHECK_EQ(reading.later.batches, 0);
    }
    free(bytes);
}

/* A batch that verifies, but follows another one than that which is here. */
static void a_batch_counts_only_behind_its_own(void)
{
    static struct reading reading;
    read_golden(GOLDEN_WAL "segment_small.hex");
    const struct found *third = &whole.batches[2];
    uint8_t *bytes = exactly(segment.bytes, segment.size_bytes);
    for (int what = 0; what < 2; what++) {
        struct smf__wal_batch other = third->batch;
        if (what == 0)
            other.prev_crc ^= 1;
        else
            other.first_offset++;
        CHECK_EQ(
            smf__wal_batch_encode(&other, &whole.file, third->position, bytes + third->position),
            SMF__WAL_GOOD);
        read_file(bytes, segment.size_bytes, &reading);
        CHECK_EQ(reading.count, 2);
        CHECK_EQ(reading.later.batches, 4); /* this one, and those behind it */
    }
    free(bytes);
}

/* --- a file that is built here -------------------------------------------------------------------- */

struct built {
    struct smf__wal_file file;
    uint8_t bytes[16384];
    uint64_t end, next_offset;
    uint32_t prev_crc;
};

static void build(struct built *built)
{
    memset(built, 0, sizeof(*built));
    built->file = (struct smf__wal_file){
        .kind = SMF__WAL_FILE_META, .block_bytes = 1024, .id = 99, .number = 4, .topic_id = 1};
    CHECK_EQ(smf__wal_file_encode(&built->file, built->bytes), SMF__WAL_GOOD);
    built->end = 1024;
}

static uint64_t here(const struct built *built)
{
    return smf__wal_place(built->file.number, built->end);
}

/* Adds a batch of so many bytes: of one record, where they are enough, or of a kind that nobody knows. Nobody
 * looks into it. Returns its place. */
static uint64_t add(struct built *built, uint32_t body_bytes, uint64_t durable_before)
{
    uint8_t *at = built->bytes + built->end;
    memset(at + SMF__WAL_BATCH_HEADER_BYTES, 'b', body_bytes);
    uint32_t count = body_bytes >= 16;
    struct smf__wal_batch batch = {
        .kind = count > 0 ? SMF__WAL_RECORDS : SMF__WAL_KIND_MAY_SKIP,
        .count = count,
        .body_bytes = body_bytes,
        .plain_bytes = body_bytes,
        .body_crc = smf__crc32c(0, at + SMF__WAL_BATCH_HEADER_BYTES, body_bytes),
        .first_offset = built->next_offset,
        .prev_crc = built->prev_crc,
        .durable_before = durable_before,
    };
    CHECK_EQ(smf__wal_batch_encode(&batch, &built->file, built->end, at), SMF__WAL_GOOD);
    uint64_t place = here(built);
    built->prev_crc = batch.header_crc;
    built->next_offset += count;
    built->end += smf__wal_batch_bytes(&batch);
    return place;
}

static void flush(struct built *built)
{
    built->end = (built->end + 1023) / 1024 * 1024;
}

static void lose(struct built *built, uint64_t place)
{
    built->bytes[smf__wal_place_position(place) + 40] ^= 1;
}

/* Several writes in flight, and the first of them is missing: nothing says that it was durable. */
static void a_lost_write_is_a_torn_tail(void)
{
    static struct built built;
    static struct reading reading;
    build(&built);
    add(&built, 100, 0);
    uint64_t durable = here(&built);
    flush(&built);
    uint64_t lost = add(&built, 100, durable);
    flush(&built);
    add(&built, 100, durable);
    add(&built, 100, durable);
    flush(&built);
    add(&built, 100, durable);
    lose(&built, lost);
    read_file(built.bytes, sizeof(built.bytes), &reading);
    CHECK_EQ(reading.count, 1);
    CHECK_EQ(reading.later.batches, 3);
    CHECK_EQ(reading.later.last_end, built.end);
    CHECK_EQ(reading.later.durable_before, durable);
    CHECK(!reading.is_damage);
}

/* The same, but one of those behind it was written when it was durable: also when that one stands in the
 * middle of a block, behind a batch that says less. */
static void a_lost_write_that_was_durable_is_damage(void)
{
    static struct built built;
    static struct reading reading;
    build(&built);
    add(&built, 100, 0);
    uint64_t before = here(&built);
    uint64_t lost = add(&built, 100, 0); /* of the same flush */
    uint64_t durable = here(&built);
    flush(&built);
    add(&built, 3000, before);
    add(&built, 0, durable);
    lose(&built, lost);
    read_file(built.bytes, sizeof(built.bytes), &reading);
    CHECK_EQ(reading.count, 1);
    CHECK_EQ(reading.later.batches, 2);
    CHECK(reading.is_damage);
}

/* The body of a batch is damaged, its header is not: what follows it in the middle of a block is found. */
static void the_batch_behind_a_damaged_body_is_found(void)
{
    static struct built built;
    static struct reading reading;
    build(&built);
    uint64_t first = add(&built, 200, 0);
    uint64_t durable = here(&built);
    add(&built, 0, durable);
    built.bytes[smf__wal_place_position(first) + SMF__WAL_BATCH_HEADER_BYTES + 7] ^= 1;
    read_file(built.bytes, sizeof(built.bytes), &reading);
    CHECK_EQ(reading.count, 0);
    CHECK_EQ(reading.stopped_by, SMF__WAL_DAMAGED_BODY);
    CHECK_EQ(reading.later.batches, 2);
    CHECK(reading.is_damage);
}

/* durable_before is where a batch ends, not the block that its flush was padded to: else the first write
 * that is lost would be damage. */
static void what_is_durable_ends_before_the_padding(void)
{
    static struct built built;
    struct smf__wal_scan scan = {.file = &built.file};
    build(&built);
    add(&built, 100, 0);
    scan.end = built.end;
    CHECK(!smf__wal_is_damage(&scan, here(&built)));
    CHECK(smf__wal_is_damage(&scan, here(&built) + 8));
    CHECK(smf__wal_is_damage(&scan, smf__wal_place(5, 1024))); /* of a file behind it */
    CHECK(!smf__wal_is_damage(&scan, smf__wal_place(3, 1u << 31)));
}

/* A file is not read at once: windows of any size, anywhere, give the same. */
static void windows_do_not_matter(void)
{
    static struct reading reading;
    static struct built built;
    struct smf__random random;
    smf__random_seed(&random, test_seed());
    build(&built);
    for (int i = 0; i < 10; i++) {
        add(&built, (uint32_t)smf__random_below(&random, 900), 0);
        if (smf__random_below(&random, 2) == 0)
            flush(&built);
    }
    uint64_t lost = add(&built, 50, 0), durable = here(&built);
    flush(&built);
    add(&built, 500, 0);
    add(&built, 0, durable);
    lose(&built, lost);
    read_file(built.bytes, sizeof(built.bytes), &reading);
    CHECK_EQ(reading.count, 10);
    CHECK(reading.is_damage);

    struct smf__wal_scan scan;
    struct smf__wal_later later = {0};
    int count = 0, status;
    uint64_t size = 0;
    smf__wal_scan_begin(&scan, &built.file);
    do {
        uint8_t *bytes = exactly(built.bytes + scan.end, size);
        struct smf__wal_window window = {bytes, scan.end, size};
        struct smf__wal_batch batch;
        uint64_t position, end = scan.end;
        status = smf__wal_scan_next(&scan, &window, &batch, &position);
        free(bytes);
        if (status == SMF__WAL_GOOD) {
            CHECK_EQ(position, reading.batches[count].position);
            count++;
            size = smf__random_below(&random, 300);
        } else {
            CHECK_EQ(scan.end, end);
            if (status == SMF__WAL_TRUNCATED)
                CHECK_GT(scan.need_bytes, size);
            size = scan.need_bytes;
        }
    } while (status == SMF__WAL_GOOD || status == SMF__WAL_TRUNCATED);
    CHECK_EQ(count, reading.count);
    CHECK_EQ(scan.end, reading.end);
    for (uint64_t at = scan.end; at + 512 <= sizeof(built.bytes); at = later.position) {
        size = 512 + smf__random_below(&random, 1024);
        size = at + size > sizeof(built.bytes) ? sizeof(built.bytes) - at : size;
        uint8_t *bytes = exactly(built.bytes + at, size);
        struct smf__wal_window window = {bytes, at, size};
        smf__wal_later_add(&later, &scan, &window);
        CHECK_GT(later.position, at);
        free(bytes);
    }
    CHECK_EQ(later.batches, reading.later.batches);
    CHECK_EQ(later.durable_before, reading.later.durable_before);
}

/* What this version can't read is whole all the same, and what is behind it is reached. */
static void unsupported_batches_are_passed(void)
{
    static struct built built;
    build(&built);
    uint64_t first = add(&built, 30, 0);
    uint8_t *at = built.bytes + smf__wal_place_position(first);
    struct smf__wal_scan scan;
    struct smf__wal_batch batch;
    uint64_t position;
    at[16] = 1; /* a flag that must be understood, written by a later version */
    uint8_t seed[16] = {99, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x04};
    uint32_t crc = smf__crc32c(smf__crc32c(0, seed, 16), at + 4, 92);
    memcpy(at, (const uint8_t[4]){crc & 255, crc >> 8 & 255, crc >> 16 & 255, crc >> 24}, 4);
    built.prev_crc = crc;
    add(&built, 30, 0);
    struct smf__wal_window window = {built.bytes, 0, sizeof(built.bytes)};
    smf__wal_scan_begin(&scan, &built.file);
    CHECK_EQ(smf__wal_scan_next(&scan, &window, &batch, &position), SMF__WAL_UNSUPPORTED);
    CHECK_EQ(scan.next_offset, 1);
    CHECK_EQ(smf__wal_scan_next(&scan, &window, &batch, &position), SMF__WAL_GOOD);
    CHECK_EQ(scan.next_offset, 2);
}

static const struct test tests[] = {
    TEST(golden_files_are_read),
    TEST(every_flipped_bit_is_noticed),
    TEST(every_cut_is_noticed),
    TEST(wrong_blocks_are_noticed),
    TEST(stale_batches_never_count),
    TEST(a_batch_counts_only_behind_its_own),
    TEST(a_lost_write_is_a_torn_tail),
    TEST(a_lost_write_that_was_durable_is_damage),
    TEST(the_batch_behind_a_damaged_body_is_found),
    TEST(what_is_durable_ends_before_the_padding),
    TEST(windows_do_not_matter),
    TEST(unsupported_batches_are_passed),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
