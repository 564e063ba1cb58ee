/* What the verifier says of payloads that are wrong in one place, and where its limits are. That it says
 * what the Go one does is tested from Go. */
#include <stdlib.h>

#include <smf/flat_build.h>

#include "flat_sample.h"
#include "test.h"

static volatile uint64_t read_sum; /* so that no read is left out */

/* The verdict in words; "" for a good payload. */
static const char *verdict(const void *payload, size_t size)
{
    static char text[160];
    struct smf_flat_error error;

    if (smf_flat_verify(&node_table, payload, size, &error) == SMF_OK)
        return "";
    smf_flat_error_text(&error, text, sizeof text);
    CHECK_EQ(smf_flat_verify(&node_table, payload, size, NULL), SMF_EINVAL);
    return text;
}

/* {name: "abc"}: vtable at 6, table at 12, string at 20. */
static const uint8_t good[] = {12, 0, 0, 0, 0, 0, 6, 0, 8, 0, 4,   0,   6,   0,
                               0,  0, 4, 0, 0, 0, 3, 0, 0, 0, 'a', 'b', 'c', 0};

static void each_fault_has_its_sentence(void)
{
    static const struct {
        uint32_t at, value; /* a byte */
        const char *says;
    } faults[] = {
        {0, 0, "Node: root offset is out of range (at byte 0)"},
        {0, 13, "Node: root offset is out of range (at byte 0)"},
        {3, 1, "Node: root offset is out of range (at byte 0)"},
        {12, 14, "Node: vtable is outside the payload (at byte 12)"},
        {15, 0x80, "Node: vtable is outside the payload (at byte 12)"},
        {12, 7, "Node: vtable is not aligned (at byte 12)"},
        {6, 7, "Node: vtable is not aligned (at byte 12)"},
        {6, 2, "Node: vtable size is out of range (at byte 12)"},
        {6, 24, "Node: vtable size is out of range (at byte 12)"},
        {8, 3, "Node: table size is out of range (at byte 12)"},
        {8, 17, "Node: table size is out of range (at byte 12)"},
        {10, 0, "Node.name: required field is missing (at byte 12)"},
        {6, 4, "Node.name: required field is missing (at byte 12)"},
        {10, 3, "Node.name: field is outside the payload (at byte 12)"},
        {10, 13, "Node.name: field is outside the payload (at byte 12)"},
        {10, 5, "Node.name: field is not aligned (at byte 17)"},
        {16, 0, "Node.name: offset is out of range or not aligned (at byte 16)"},
        {16, 5, "Node.name: offset is out of range or not aligned (at byte 16)"},
        {16, 12, "Node.name: offset is out of range or not aligned (at byte 16)"},
        {20, 4, "Node.name: string runs past the payload's end (at byte 20)"},
        {23, 0xff, "Node.name: string runs past the payload's end (at byte 20)"},
        {27, 1, "Node.name: string does not end with a zero byte (at byte 27)"},
    };
    uint8_t bytes[sizeof good];

    CHECK_STR(verdict(good, sizeof good), "");
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        memcpy(bytes, good, sizeof good);
        bytes[faults[i].at] = (uint8_t)faults[i].value;
        CHECK_STR(verdict(bytes, sizeof bytes), faults[i].says);
    }
    CHECK_STR(verdict(good, 3), "Node: payload size is out of range (at byte 0)");
    CHECK_STR(verdict(NULL, 0), "Node: payload size is out of range (at byte 0)");
    CHECK_STR(verdict(good, (size_t)1 << 31), "Node: payload size is out of range (at byte 0)");
}

/* Alignment is that of the payload, not of the machine. */
static void any_address_will_do(void)
{
    uint8_t bytes[sizeof good + 8];

    for (uint32_t shift = 0; shift < 8; shift++) {
        memcpy(bytes + shift, good, sizeof good);
        CHECK_STR(verdict(bytes + shift, sizeof good), "");
        CHECK_STR(smf_flat_get_string(smf_flat_root(bytes + shift), NODE_NAME).data, "abc");
    }
}

/* Builds a chain of so many nodes through a slot. */
static void build_chain(struct smf_flat_builder *builder, int depth, uint32_t slot)
{
    uint32_t name = smf_flat_build_text(builder, "link").ref, node = 0;

    for (int i = 0; i < depth; i++) {
        smf_flat_start_table(builder, NODE_SLOTS_SIZE);
        smf_flat_add_ref(builder, NODE_NAME, name);
        if (slot == NODE_ANY && node != 0)
            smf_flat_put_u8(builder, NODE_ANY_TYPE, ANY_NODE);
        smf_flat_add_ref(builder, slot, node);
        node = smf_flat_end_table(builder, NULL, 0);
    }
    CHECK_EQ(smf_flat_finish(builder, node, NULL), SMF_OK);
}

static void tables_nest_64_deep(void)
{
    static const uint32_t slots[] = {NODE_CHILD, NODE_ANY};
    struct smf_flat_builder builder;

    smf_flat_builder_init(&builder, NULL, 0);
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        build_chain(&builder, 64, slots[i]);
        CHECK_STR(verdict(smf_flat_payload(&builder), smf_flat_size_bytes(&builder)), "");
        smf_flat_builder_reset(&builder);
        build_chain(&builder, 65, slots[i]);
        CHECK(strncmp(verdict(smf_flat_payload(&builder), smf_flat_size_bytes(&builder)),
                      "Node: tables nest too deep", 26) == 0);
        smf_flat_builder_reset(&builder);
    }
    smf_flat_builder_fini(&builder);
}

/* Payloads inside of payloads: positions count from the outermost, and depth does, too. */
static void nested_payloads(void)
{
    struct smf_flat_builder inner, outer;
    uint8_t copy[256];
    uint32_t size, at;

    smf_flat_builder_init(&inner, NULL, 0);
    smf_flat_builder_init(&outer, NULL, 0);
    for (int depth = 1; depth <= 65; depth++) {
        uint32_t name, bytes = 0, node;

        name = smf_flat_build_text(&outer, "nest").ref;
        if (depth > 1)
            bytes = smf_flat_build_u8_vector(&outer, smf_flat_payload(&inner),
                                             smf_flat_size_bytes(&inner))
                        .ref;
        smf_flat_start_table(&outer, NODE_SLOTS_SIZE);
        smf_flat_add_ref(&outer, NODE_NAME, name);
        smf_flat_add_ref(&outer, NODE_NESTED, bytes);
        node = smf_flat_end_table(&outer, NULL, 0);
        CHECK_EQ(smf_flat_finish(&outer, node, NULL), SMF_OK);
        if (depth <= 64)
            CHECK_STR(verdict(smf_flat_payload(&outer), smf_flat_size_bytes(&outer)), "");
        else
            CHECK(strstr(verdict(smf_flat_payload(&outer), smf_flat_size_bytes(&outer)),
                         "nest too deep") != NULL);
        if (depth == 2) { /* break the inner name's end */
            size = smf_flat_size_bytes(&outer);
            memcpy(copy, smf_flat_payload(&outer), size);
            at = (uint32_t)(smf_flat_get_vector(smf_flat_root(copy), NODE_NESTED).data - copy);
            at += smf_flat_size_bytes(&inner) - 4;
            CHECK_EQ(copy[at], 0);
            copy[at] = 1;
            snprintf((char *)copy + size, 80,
                     "Node.name: string does not end with a zero byte (at byte %u)", at);
            CHECK_STR(verdict(copy, size), (char *)copy + size);
        }
        smf_flat_builder_fini(&inner);
        inner = outer;
        smf_flat_builder_init(&outer, NULL, 0);
    }
    smf_flat_builder_fini(&inner);
}

/* A vector whose elements are all the same table, which has another such vector: data that a walk sees
 * grows with the power of the depth, and the payload does not. */
static void data_is_not_seen_too_often(void)
{
    struct smf_flat_builder builder;
    uint32_t nodes[100], name, vector = 0;

    smf_flat_builder_init(&builder, NULL, 0);
    name = smf_flat_build_text(&builder, "again and again").ref;
    for (int depth = 0; depth < 8; depth++) {
        smf_flat_start_table(&builder, NODE_SLOTS_SIZE);
        smf_flat_add_ref(&builder, NODE_NAME, name);
        smf_flat_add_ref(&builder, NODE_CHILDREN, vector);
        nodes[0] = smf_flat_end_table(&builder, NULL, 0);
        for (int i = 1; i < 100; i++)
            nodes[i] = nodes[0];
        vector = smf_flat_build_refs(&builder, nodes, 100, sizeof *nodes, 0);
    }
    CHECK_EQ(smf_flat_finish(&builder, nodes[0], NULL), SMF_OK);
    CHECK_LT(smf_flat_size_bytes(&builder), 8192);
    CHECK(strstr(verdict(smf_flat_payload(&builder), smf_flat_size_bytes(&builder)),
                 "too many tables") != NULL);
    smf_flat_builder_fini(&builder);
}

/* A large string that many point to. */
static void a_string_is_not_read_too_often(void)
{
    struct smf_flat_builder builder;
    struct smf_flat_string_ref *names = calloc(4096, sizeof *names);
    char *text = calloc(1, 64u << 10);

    CHECK(names != NULL && text != NULL);
    for (uint32_t count = 512; count <= 4096; count *= 8) {
        struct smf_flat_string_ref name;
        struct smf_flat_string_vector_ref vector;

        smf_flat_builder_init(&builder, NULL, 0);
        name = smf_flat_build_string(&builder, text, 64u << 10);
        for (uint32_t i = 0; i < count; i++)
            names[i] = name;
        vector = smf_flat_build_string_vector(&builder, names, count);
        smf_flat_start_table(&builder, NODE_SLOTS_SIZE);
        smf_flat_add_ref(&builder, NODE_NAME, name.ref);
        smf_flat_add_ref(&builder, NODE_NAMES, vector.ref);
        (void)smf_flat_finish(&builder, smf_flat_end_table(&builder, NULL, 0), NULL);
        CHECK_EQ(strstr(verdict(smf_flat_payload(&builder), smf_flat_size_bytes(&builder)),
                        "offsets point at the same data too often") != NULL,
                 count == 4096);
        smf_flat_builder_fini(&builder);
    }
    free(names);
    free(text);
}

/* Any change of a byte: what the verifier takes can be read, in memory that has no byte more. */
static void what_passes_can_be_read(void)
{
    uint8_t *bytes = malloc(sizeof good);
    uint64_t state = test_seed() | 1;
    int taken = 0, refused = 0;

    CHECK(bytes != NULL);
    for (int i = 0; i < 200000; i++) {
        memcpy(bytes, good, sizeof good);
        for (int changes = 0; changes < 1 + i % 3; changes++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            bytes[(state >> 40) % sizeof good] = (uint8_t)((state >> 33) % 32);
        }
        if (smf_flat_verify(&node_table, bytes, sizeof good, NULL) == SMF_OK) {
            read_sum = walk_table(&node_table, smf_flat_root(bytes));
            taken++;
        } else {
            refused++;
        }
    }
    CHECK_GT(taken, 1000);
    CHECK_GT(refused, 1000);
    free(bytes);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(each_fault_has_its_sentence), TEST(any_address_will_do),
        TEST(tables_nest_64_deep),         TEST(nested_payloads),
        TEST(data_is_not_seen_too_often),  TEST(a_string_is_not_read_too_often),
        TEST(what_passes_can_be_read),
    };

    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
