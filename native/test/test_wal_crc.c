/* CRC-32C, by the instruction and from the table. */
#include "wal/wal_crc.h"

#include "test.h"
#include "time/time_random.h"

static uint8_t bytes[20000];

static void fill(void)
{
    struct smf__random random;
    smf__random_seed(&random, test_seed());
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)smf__random_next(&random);
}

/* From the definition, a bit at a time. */
static uint32_t by_definition(uint32_t crc, const uint8_t *data, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    return ~crc;
}

static void known_checksums_come_out(void)
{
    static const uint8_t zeroes[32];
    CHECK_EQ(smf__crc32c(0, "123456789", 9), 0xe3069283);
    CHECK_EQ(smf__crc32c_table(0, "123456789", 9), 0xe3069283);
    CHECK_EQ(smf__crc32c(0, zeroes, 32), 0x8a9136aa); /* RFC 3720, B.4 */
    CHECK_EQ(smf__crc32c(0, NULL, 0), 0);
    CHECK_EQ(smf__crc32c(77, NULL, 0), 77);
}

/* Every size around those where another loop takes over, at every alignment. */
static void every_size_agrees_with_the_definition(void)
{
    fill();
    for (size_t size = 0; size <= 7000; size += size < 1300 ? 1 : 37) {
        const uint8_t *from = bytes + size % 17;
        uint32_t start = (uint32_t)(size * 2654435761u);
        uint32_t crc = by_definition(start, from, size);
        CHECK_EQ(smf__crc32c(start, from, size), crc);
        CHECK_EQ(smf__crc32c_table(start, from, size), crc);
    }
}

static void pieces_are_the_whole(void)
{
    fill();
    uint32_t whole = smf__crc32c(0, bytes, sizeof(bytes));
    struct smf__random random;
    smf__random_seed(&random, test_seed());
    for (int i = 0; i < 1000; i++) {
        size_t cut = smf__random_below(&random, sizeof(bytes) + 1);
        uint32_t crc = smf__crc32c(0, bytes, cut);
        CHECK_EQ(smf__crc32c(crc, bytes + cut, sizeof(bytes) - cut), whole);
    }
}

static const struct test tests[] = {
    TEST(known_checksums_come_out),
    TEST(every_size_agrees_with_the_definition),
    TEST(pieces_are_the_whole),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
