/* What the builder makes: golden bytes, and nodes that the verifier takes and readers find whole. */
#include <stdlib.h>

#include <smf/flat_build.h>

#include "flat_sample.h"
#include "test.h"

#define MEMORY_SIZE_BYTES 4096

static void check_whole(const struct smf_flat_builder *builder)
{
    struct smf_flat_error error;
    char text[128] = "";

    if (smf_flat_verify(&node_table, smf_flat_payload(builder), smf_flat_size_bytes(builder),
                        &error) != SMF_OK)
        smf_flat_error_text(&error, text, sizeof text);
    CHECK_STR(text, "");
}

static const void *root_of(const struct smf_flat_builder *builder)
{
    CHECK_EQ(builder->status, SMF_OK);
    check_whole(builder);
    return smf_flat_root(smf_flat_payload(builder));
}

/* The smallest node: a name. */
static uint32_t named(struct smf_flat_builder *builder, const char *name)
{
    struct smf_flat_string_ref text = smf_flat_build_text(builder, name);
    static const struct smf_flat_required required[] = {{NODE_NAME, "never seen"}};

    smf_flat_start_table(builder, NODE_SLOTS_SIZE);
    smf_flat_add_ref(builder, NODE_NAME, text.ref);
    return smf_flat_end_table(builder, required, 1);
}

static void the_golden_request(void)
{
    static const uint8_t golden[] = {0x0c, 0,   0,   0,   0,   0,   6,   0,   8,   0,    4,
                                     0,    6,   0,   0,   0,   4,   0,   0,   0,   0x11, 0,
                                     0,    0,   'H', 'e', 'l', 'l', 'o', ',', ' ', 's',  'm',
                                     'f',  '-', 'w', 'o', 'r', 'l', 'd', '!', 0,   0,    0};
    struct smf_flat_builder builder;

    smf_flat_builder_init(&builder, NULL, 0);
    for (int i = 0; i < 3; i++) { /* the same again in the same memory */
        struct smf_flat_string_ref name = smf_flat_build_text(&builder, "Hello, smf-world!");

        smf_flat_start_table(&builder, 2);
        smf_flat_add_ref(&builder, 4, name.ref);
        CHECK_EQ(smf_flat_finish(&builder, smf_flat_end_table(&builder, NULL, 0), NULL), SMF_OK);
        CHECK_EQ(smf_flat_size_bytes(&builder), sizeof golden);
        CHECK_MEM(smf_flat_payload(&builder), golden, sizeof golden);
        smf_flat_builder_reset(&builder);
    }
    smf_flat_builder_fini(&builder);
}

static void put_mark(uint8_t *to, float value)
{
    CHECK(to != NULL);
    for (int i = 0; i < 3; i++)
        smf_flat_store_f32(to + 4 * (size_t)i, value + (float)i);
}

/* A node with every field, whose children are built before it. */
static int build_all(struct smf_flat_builder *builder)
{
    static const int64_t numbers[] = {INT64_MIN, -1, 0, INT64_MAX};
    static const uint8_t types[] = {ANY_TEXT, 0, ANY_MARK};
    struct smf_flat_string_ref strings[3], text;
    struct smf_flat_string_vector_ref names;
    struct smf_flat_i64_vector_ref many;
    struct smf_flat_u8_vector_ref list_types;
    uint32_t children[2], vector, list, mark, refs[3], child;
    uint8_t *to;

    for (int i = 0; i < 3; i++)
        strings[i] = smf_flat_build_text(builder, i == 1 ? "" : "names");
    names = smf_flat_build_string_vector(builder, strings, 3);
    many = smf_flat_build_i64_vector(builder, numbers, 4);
    children[0] = named(builder, "first");
    children[1] = named(builder, "second");
    vector = smf_flat_build_refs(builder, children, 2, sizeof *children, 0);
    to = smf_flat_build_struct(builder, MARK_SIZE_BYTES, 4, &mark);
    if (to != NULL)
        put_mark(to, 7);
    refs[0] = strings[2].ref;
    refs[1] = 0; /* nobody looks at what has the type 0 */
    refs[2] = mark;
    list = smf_flat_build_refs(builder, refs, 3, sizeof *refs, 1);
    list_types = smf_flat_build_u8_vector(builder, types, 3);
    child = named(builder, "child");
    text = smf_flat_build_string(builder, "a\0b", 3);
    smf_flat_start_table(builder, NODE_SLOTS_SIZE);
    smf_flat_add_ref(builder, NODE_NAME, text.ref);
    smf_flat_add_i64(builder, NODE_BIG, -5, 0);
    smf_flat_add_u8(builder, NODE_SMALL, 9, 0);
    to = smf_flat_add(builder, NODE_MARK, MARK_SIZE_BYTES, 4);
    if (to != NULL)
        put_mark(to, 1);
    smf_flat_add_ref(builder, NODE_CHILD, child);
    smf_flat_add_ref(builder, NODE_NUMBERS, many.ref);
    smf_flat_add_ref(builder, NODE_NAMES, names.ref);
    smf_flat_add_ref(builder, NODE_CHILDREN, vector);
    smf_flat_add_u8(builder, NODE_ANY_TYPE, ANY_NODE, 0);
    smf_flat_add_ref(builder, NODE_ANY, children[1]);
    smf_flat_add_ref(builder, NODE_LIST_TYPE, list_types.ref);
    smf_flat_add_ref(builder, NODE_LIST, list);
    return smf_flat_finish(builder, smf_flat_end_table(builder, NULL, 0), "NODE");
}

static void check_all(const struct smf_flat_builder *builder)
{
    const void *node = root_of(builder);
    struct smf_flat_string name = smf_flat_get_string(node, NODE_NAME);
    struct smf_flat_i64_vector numbers = smf_flat_get_i64_vector(node, NODE_NUMBERS);
    struct smf_flat_string_vector names = smf_flat_get_string_vector(node, NODE_NAMES);
    struct smf_flat_vector children = smf_flat_get_vector(node, NODE_CHILDREN);
    struct smf_flat_vector list = smf_flat_get_vector(node, NODE_LIST);
    const void *second = smf_flat_table_at(children.data, children.count, 1);

    CHECK_MEM(smf_flat_payload(builder) + 4, "NODE", 4);
    CHECK_EQ(name.size_bytes, 3);
    CHECK_MEM(name.data, "a\0b", 4);
    CHECK_EQ(smf_flat_get_i64(node, NODE_BIG, 0), -5);
    CHECK_EQ(smf_flat_get_u8(node, NODE_SMALL, 0), 9);
    CHECK(smf_flat_load_f32(smf_flat_at(node, NODE_MARK) + 8) == 3.0f);
    CHECK_EQ(numbers.count, 4);
    CHECK_EQ(smf_flat_i64_vector_at(numbers, 0), INT64_MIN);
    CHECK_EQ(smf_flat_i64_vector_at(numbers, 3), INT64_MAX);
    CHECK_EQ(smf_flat_i64_vector_at(numbers, 4), 0); /* beyond the end */
    CHECK_STR(smf_flat_string_vector_at(names, 2).data, "names");
    CHECK_STR(smf_flat_string_vector_at(names, 1).data, "");
    CHECK_STR(smf_flat_string_vector_at(names, 3).data, "");
    CHECK_STR(smf_flat_get_string(second, NODE_NAME).data, "second");
    CHECK(smf_flat_table_at(children.data, children.count, 2) == NULL);
    CHECK(smf_flat_target(node, NODE_ANY) == (const uint8_t *)second);
    CHECK(smf_flat_load_f32(smf_flat_follow(list.data + 8)) == 7.0f);
    CHECK(smf_flat_at(node, NODE_NESTED) == NULL);
    CHECK(walk_table(&node_table, node) != 0);
}

static void every_kind_of_field(void)
{
    struct smf_flat_builder builder;

    smf_flat_builder_init(&builder, NULL, 0);
    CHECK_EQ(build_all(&builder), SMF_OK);
    check_all(&builder);
    CHECK_EQ(smf_flat_size_bytes(&builder) % 8, 0);
    smf_flat_builder_fini(&builder);
}

/* Memory of the caller is enough or too small, at any address; never is a byte beyond it touched. */
static void memory_of_the_caller(void)
{
    struct smf_flat_builder builder;
    uint32_t enough = 0;

    for (uint32_t size = 0; size < 600; size++) {
        uint8_t *memory = malloc(size + 1); /* a sanitizer looks at its ends */

        CHECK(memory != NULL);
        smf_flat_builder_init(&builder, memory + 1, size);
        if (build_all(&builder) == SMF_OK) {
            enough = enough != 0 ? enough : size;
            check_all(&builder);
        } else {
            CHECK_EQ(builder.status, SMF_ENOMEM);
            CHECK_STR(builder.problem, "the memory is full: give the builder more");
            CHECK(smf_flat_payload(&builder) == NULL);
            CHECK_EQ(smf_flat_size_bytes(&builder), 0);
            CHECK_EQ(enough, 0);
        }
        smf_flat_builder_fini(&builder);
        free(memory);
    }
    CHECK_GT(enough, 100);
}

static void defaults_are_left_out_unless_forced(void)
{
    struct smf_flat_builder builder;
    uint32_t small;

    smf_flat_builder_init(&builder, NULL, 0);
    for (int forced = 0; forced < 2; forced++) {
        struct smf_flat_string_ref name = smf_flat_build_text(&builder, "n");

        builder.force_defaults = (uint8_t)forced;
        smf_flat_start_table(&builder, NODE_SLOTS_SIZE);
        smf_flat_add_u8(&builder, NODE_SMALL, 3, 3);
        smf_flat_add_i64(&builder, NODE_BIG, 3, 4);
        smf_flat_add_ref(&builder, NODE_NAME, name.ref);
        (void)smf_flat_finish(&builder, smf_flat_end_table(&builder, NULL, 0), NULL);
        CHECK_EQ(smf_flat_at(root_of(&builder), NODE_SMALL) != NULL, forced);
        CHECK_EQ(smf_flat_get_u8(root_of(&builder), NODE_SMALL, 3), 3);
        CHECK_EQ(smf_flat_get_i64(root_of(&builder), NODE_BIG, 4), 3);
        small = smf_flat_size_bytes(&builder);
        CHECK_GT(small, 0);
        smf_flat_builder_reset(&builder);
    }
    smf_flat_builder_fini(&builder);
}

/* Floats are told apart by their bits: -0 is not the default 0, and a NaN may be one. */
static void defaults_of_floats(void)
{
    float nan;
    uint32_t bits = 0x7fc00000u;
    struct smf_flat_builder builder;
    const void *table;

    memcpy(&nan, &bits, sizeof nan);
    smf_flat_builder_init(&builder, NULL, 0);
    smf_flat_start_table(&builder, 6);
    smf_flat_add_f32(&builder, 4, -0.0f, 0.0f);
    smf_flat_add_f32(&builder, 6, nan, nan);
    smf_flat_add_f64(&builder, 8, 0.5, 0.0);
    CHECK_EQ(smf_flat_finish(&builder, smf_flat_end_table(&builder, NULL, 0), NULL), SMF_OK);
    table = smf_flat_root(smf_flat_payload(&builder));
    CHECK(smf_flat_at(table, 4) != NULL);
    CHECK(smf_flat_at(table, 6) == NULL);
    CHECK(smf_flat_get_f64(table, 8, 0) == 0.5);
    smf_flat_builder_fini(&builder);
}

/* Tables with the same fields at the same places share a vtable, those with others do not. */
static void vtables_are_shared(void)
{
    struct smf_flat_builder builder;
    uint32_t tables[3], before, of_one;

    smf_flat_builder_init(&builder, NULL, 0);
    (void)named(&builder, "name");
    (void)named(&builder, "name");
    before = builder.used;
    tables[0] = named(&builder, "name");
    of_one = builder.used - before;
    CHECK_EQ(of_one, 4 + 4 + 8 + 4); /* string, offset, table without a vtable */
    tables[1] = tables[0];
    smf_flat_start_table(&builder, NODE_SLOTS_SIZE);
    smf_flat_add_u8(&builder, NODE_SMALL, 1, 0);
    tables[2] = smf_flat_end_table(&builder, NULL, 0);
    CHECK_GT(builder.used - before - of_one, 8);
    (void)smf_flat_build_refs(&builder, tables, 3, sizeof *tables, 0);
    CHECK_EQ(builder.status, SMF_OK);
    smf_flat_builder_fini(&builder);
}

static void random_nodes_are_whole(void)
{
    struct smf_flat_builder builder;
    uint64_t state = test_seed() | 1;
    uint32_t nodes[64];

    smf_flat_builder_init(&builder, NULL, 0);
    for (int round = 0; round < 200; round++) {
        uint32_t count = 0;

        while (count < 64) {
            struct smf_flat_string_ref name;

            state = state * 6364136223846793005u + 1442695040888963407u;
            name = smf_flat_build_string(&builder, &state, (size_t)(state >> 61));
            smf_flat_start_table(&builder, NODE_SLOTS_SIZE);
            smf_flat_add_ref(&builder, NODE_NAME, name.ref);
            for (uint32_t bit = 0; bit < 4; bit++) {
                if (!(state >> (40 + bit) & 1))
                    continue;
                if (bit == 0)
                    smf_flat_put_u8(&builder, NODE_SMALL, 1);
                else if (bit == 1)
                    smf_flat_put_u64(&builder, NODE_BIG, state);
                else if (bit == 2)
                    put_mark(smf_flat_add(&builder, NODE_MARK, MARK_SIZE_BYTES, 4), 1);
                else if (count > 0)
                    smf_flat_add_ref(&builder, NODE_CHILD, nodes[(state >> 32) % count]);
            }
            nodes[count++] = smf_flat_end_table(&builder, NULL, 0);
        }
        if (smf_flat_finish(&builder, nodes[63], NULL) == SMF_OK)
            CHECK(walk_table(&node_table, root_of(&builder)) != UINT64_MAX);
        CHECK_EQ(builder.status, SMF_OK);
        smf_flat_builder_reset(&builder);
    }
    smf_flat_builder_fini(&builder);
}

/* What is wrong stays wrong until the reset, and finishing says what it was. */
static void the_first_error_stays(void)
{
    static const struct smf_flat_required required[] = {{NODE_NAME, "Node.name is missing"}};
    struct smf_flat_builder builder;
    struct smf_flat_string_ref text;

    smf_flat_builder_init(&builder, NULL, 0);
    smf_flat_start_table(&builder, NODE_SLOTS_SIZE);
    text = smf_flat_build_text(&builder, "inside of a table");
    CHECK_EQ(text.ref, 0);
    CHECK_STR(builder.problem,
              "a table is open: build what its fields refer to before starting it");
    CHECK_EQ(smf_flat_finish(&builder, smf_flat_end_table(&builder, NULL, 0), NULL), SMF_EINVAL);
    CHECK(smf_flat_payload(&builder) == NULL);

    smf_flat_builder_reset(&builder);
    smf_flat_start_table(&builder, NODE_SLOTS_SIZE);
    CHECK_EQ(smf_flat_end_table(&builder, required, 1), 0);
    CHECK_STR(builder.problem, "Node.name is missing");

    smf_flat_builder_reset(&builder);
    smf_flat_start_table(&builder, NODE_SLOTS_SIZE);
    smf_flat_add_ref(&builder, NODE_NAME, 0); /* a reference to nothing is no field */
    CHECK_EQ(builder.status, SMF_OK);
    smf_flat_add_ref(&builder, NODE_NAME, 100);
    CHECK_STR(builder.problem, "a reference is to nothing, or is of another payload");

    smf_flat_builder_reset(&builder);
    smf_flat_put_u8(&builder, NODE_SMALL, 1);
    CHECK_STR(builder.problem, "a field is added to no table, or to one of another kind");

    smf_flat_builder_reset(&builder);
    smf_flat_start_table(&builder, 2);
    smf_flat_put_u8(&builder, NODE_SMALL, 1);
    CHECK_STR(builder.problem, "a field is added to no table, or to one of another kind");

    smf_flat_builder_reset(&builder);
    CHECK_EQ(smf_flat_end_table(&builder, NULL, 0), 0);
    CHECK_STR(builder.problem, "a table is ended that was not started");

    smf_flat_builder_reset(&builder);
    CHECK_EQ(smf_flat_finish(&builder, named(&builder, "n"), NULL), SMF_OK);
    CHECK_EQ(smf_flat_build_text(&builder, "more").ref, 0);
    CHECK_STR(builder.problem, "the payload is finished: reset the builder");
    CHECK(smf_flat_payload(&builder) == NULL);
    smf_flat_builder_fini(&builder);
}

/* Adds a field once more to a table that has it, or not when it has the default. */
static void a_field_is_added_once(void)
{
    static const uint8_t values[] = {7, 0, 8};
    struct smf_flat_builder builder;

    smf_flat_builder_init(&builder, NULL, 0);
    for (size_t i = 0; i < sizeof values; i++) {
        smf_flat_start_table(&builder, NODE_SLOTS_SIZE);
        smf_flat_add_u8(&builder, NODE_SMALL, 7, 0);
        CHECK_EQ(builder.status, SMF_OK);
        smf_flat_add_u8(&builder, NODE_SMALL, values[i], 0);
        CHECK_EQ(builder.status, SMF_EINVAL);
        CHECK_STR(builder.problem, "a field is added twice");
        smf_flat_builder_reset(&builder);
    }
    for (int i = 0; i < 2; i++) {
        struct smf_flat_string_ref name = smf_flat_build_text(&builder, "name");

        smf_flat_start_table(&builder, NODE_SLOTS_SIZE);
        smf_flat_add_ref(&builder, NODE_NAME, name.ref);
        CHECK_EQ(builder.status, SMF_OK);
        smf_flat_add_ref(&builder, NODE_NAME, i == 0 ? name.ref : 0);
        CHECK_STR(builder.problem, "a field is added twice");
        smf_flat_builder_reset(&builder);
    }
    smf_flat_builder_fini(&builder);
}

static void a_builder_of_zeros(void)
{
    struct smf_flat_builder builder = {0};

    CHECK_EQ(smf_flat_build_text(&builder, "text").ref, 0);
    CHECK_EQ(builder.status, SMF_ENOMEM);
    CHECK_STR(builder.problem, "the builder has no memory: it was not initialised");
}

static void limits_of_sizes(void)
{
    struct smf_flat_builder builder;
    uint32_t ref;

    smf_flat_builder_init(&builder, NULL, 0);
    CHECK(smf_flat_build_vector(&builder, UINT32_MAX, UINT32_MAX, 8, &ref) == NULL);
    CHECK_EQ(builder.status, SMF_ELIMIT);
    smf_flat_builder_reset(&builder);
    CHECK_EQ(smf_flat_build_string(&builder, "x", SIZE_MAX).ref, 0);
    CHECK_EQ(builder.status, SMF_ELIMIT);
    smf_flat_builder_reset(&builder);
    smf_flat_start_table(&builder, 65532);
    CHECK_EQ(builder.status, SMF_ELIMIT);
    smf_flat_builder_reset(&builder);

    /* The largest table that there can be, and one that is larger. */
    for (uint32_t size = 65526; size <= 65530; size++) {
        smf_flat_start_table(&builder, NODE_SLOTS_SIZE);
        if (smf_flat_add(&builder, NODE_MARK, size, 1) != NULL)
            (void)smf_flat_finish(&builder, smf_flat_end_table(&builder, NULL, 0), NULL);
        CHECK_EQ(builder.status, size <= 65528 ? SMF_OK : SMF_ELIMIT);
        if (size <= 65528)
            CHECK(smf_flat_at(smf_flat_root(smf_flat_payload(&builder)), NODE_MARK) != NULL);
        smf_flat_builder_reset(&builder);
    }
    smf_flat_builder_fini(&builder);
}

/* An absent table reads as one without fields, as far as one likes to go. */
static void nothing_reads_as_nothing(void)
{
    struct smf_flat_builder builder;
    const void *node;

    smf_flat_builder_init(&builder, NULL, 0);
    CHECK_EQ(smf_flat_finish(&builder, named(&builder, "alone"), NULL), SMF_OK);
    node = smf_flat_target(smf_flat_target(root_of(&builder), NODE_CHILD), NODE_CHILD);
    CHECK(node == NULL);
    CHECK_STR(smf_flat_get_string(node, NODE_NAME).data, "");
    CHECK_EQ(smf_flat_get_u8(node, NODE_SMALL, 7), 7);
    CHECK_EQ(smf_flat_get_f64_vector(node, NODE_NUMBERS).count, 0);
    CHECK(smf_flat_f64_vector_at(smf_flat_get_f64_vector(node, NODE_NUMBERS), 0) == 0);
    smf_flat_builder_fini(&builder);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(the_golden_request),     TEST(every_kind_of_field),
        TEST(memory_of_the_caller),   TEST(defaults_are_left_out_unless_forced),
        TEST(defaults_of_floats),     TEST(vtables_are_shared),
        TEST(random_nodes_are_whole), TEST(the_first_error_stays),
        TEST(a_field_is_added_once),  TEST(a_builder_of_zeros),
        TEST(limits_of_sizes),        TEST(nothing_reads_as_nothing),
    };

    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
