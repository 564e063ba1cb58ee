/* Tables with a field of every kind, as smfc would describe them, and a walk that reads all of them. */
#ifndef SMF_TEST_FLAT_SAMPLE_H
#define SMF_TEST_FLAT_SAMPLE_H

#include <smf/flat.h>
#include <smf/flat_verify.h>

/* Slots of a node. */
enum {
    NODE_NAME = 4,
    NODE_SMALL = 6,
    NODE_BIG = 8,
    NODE_MARK = 10,
    NODE_CHILD = 12,
    NODE_NUMBERS = 14,
    NODE_NAMES = 16,
    NODE_CHILDREN = 18,
    NODE_NESTED = 20,
    NODE_ANY_TYPE = 22,
    NODE_ANY = 24,
    NODE_LIST_TYPE = 26,
    NODE_LIST = 28,
    NODE_SLOTS_SIZE = 26 /* bytes */
};

/* What a union holds. */
enum { ANY_NODE = 1, ANY_TEXT = 2, ANY_MARK = 3 };

#define MARK_SIZE_BYTES 12u /* three floats */
#define FIELD_COUNT(fields) (uint32_t)(sizeof(fields) / sizeof(*(fields)))

static const struct smf_flat_table node_table;

static const struct smf_flat_field any_fields[] = {
    {.name = "Node", .table = &node_table, .slot = ANY_NODE, .kind = SMF_FLAT_TABLE},
    {.name = "text", .slot = ANY_TEXT, .kind = SMF_FLAT_STRING},
    {.name = "Mark",
     .size_bytes = MARK_SIZE_BYTES,
     .slot = ANY_MARK,
     .kind = SMF_FLAT_INLINE,
     .align = 4},
};

static const struct smf_flat_table any_table = {"Any", any_fields, FIELD_COUNT(any_fields), 0};

static const struct smf_flat_field node_fields[] = {
    {.name = "name", .slot = NODE_NAME, .kind = SMF_FLAT_STRING, .required = 1},
    {.name = "small", .size_bytes = 1, .slot = NODE_SMALL, .kind = SMF_FLAT_INLINE, .align = 1},
    {.name = "big", .size_bytes = 8, .slot = NODE_BIG, .kind = SMF_FLAT_INLINE, .align = 8},
    {.name = "mark",
     .size_bytes = MARK_SIZE_BYTES,
     .slot = NODE_MARK,
     .kind = SMF_FLAT_INLINE,
     .align = 4},
    {.name = "child", .table = &node_table, .slot = NODE_CHILD, .kind = SMF_FLAT_TABLE},
    {.name = "numbers",
     .size_bytes = 8,
     .slot = NODE_NUMBERS,
     .kind = SMF_FLAT_INLINE_VECTOR,
     .align = 8},
    {.name = "names", .slot = NODE_NAMES, .kind = SMF_FLAT_STRING_VECTOR},
    {.name = "children",
     .table = &node_table,
     .slot = NODE_CHILDREN,
     .kind = SMF_FLAT_TABLE_VECTOR},
    {.name = "nested", .table = &node_table, .slot = NODE_NESTED, .kind = SMF_FLAT_NESTED},
    {.name = "any_type",
     .size_bytes = 1,
     .slot = NODE_ANY_TYPE,
     .kind = SMF_FLAT_INLINE,
     .align = 1},
    {.name = "any", .table = &any_table, .slot = NODE_ANY, .kind = SMF_FLAT_UNION},
    {.name = "list_type",
     .size_bytes = 1,
     .slot = NODE_LIST_TYPE,
     .kind = SMF_FLAT_INLINE_VECTOR,
     .align = 1},
    {.name = "list", .table = &any_table, .slot = NODE_LIST, .kind = SMF_FLAT_UNION_VECTOR},
};

static const struct smf_flat_table node_table = {"Node", node_fields, FIELD_COUNT(node_fields), 0};

/* Reads size bytes, so that a sanitizer sees whether they may be. Returns a sum of them. */
static inline uint64_t walk_bytes(const void *at, size_t size)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum += ((const uint8_t *)at)[i];
    return sum;
}

static inline uint64_t walk_string(struct smf_flat_string string)
{
    return walk_bytes(string.data, string.size_bytes) + (uint64_t)string.data[string.size_bytes];
}

static inline uint64_t walk_table(const struct smf_flat_table *table, const void *at);

static inline uint64_t walk_member(const struct smf_flat_table *members, uint8_t type,
                                   const uint8_t *at)
{
    for (uint32_t i = 0; i < members->field_count; i++) {
        const struct smf_flat_field *member = &members->fields[i];

        if (member->slot != type)
            continue;
        if (member->kind == SMF_FLAT_TABLE)
            return walk_table(member->table, smf_flat_follow(at));
        if (member->kind == SMF_FLAT_STRING)
            return walk_string(smf_flat_load_string(smf_flat_follow(at)));
        return walk_bytes(smf_flat_follow(at), member->size_bytes);
    }
    return 0;
}

static inline uint64_t walk_vector(const struct smf_flat_field *field, const void *table)
{
    struct smf_flat_vector vector = smf_flat_get_vector(table, field->slot);

    struct smf_flat_string_vector strings = {vector.data, vector.count};
    struct smf_flat_vector types = {NULL, 0};
    uint64_t sum = 0;

    if (field->kind == SMF_FLAT_INLINE_VECTOR)
        return walk_bytes(vector.data, (size_t)vector.count * field->size_bytes);
    if (field->kind == SMF_FLAT_UNION_VECTOR)
        types = smf_flat_get_vector(table, field->slot - 2u);
    for (uint32_t i = 0; i < vector.count; i++) {
        if (field->kind == SMF_FLAT_STRING_VECTOR)
            sum += walk_string(smf_flat_string_vector_at(strings, i));
        else if (field->kind == SMF_FLAT_TABLE_VECTOR)
            sum += walk_table(field->table, smf_flat_table_at(vector.data, vector.count, i));
        else
            sum += walk_member(field->table, types.data[i], vector.data + 4 * (size_t)i);
    }
    return sum;
}

static inline uint64_t walk_field(const struct smf_flat_field *field, const void *table)
{
    const uint8_t *at = smf_flat_at(table, field->slot);
    struct smf_flat_vector bytes;

    if (at == NULL)
        return 0;
    switch ((enum smf_flat_kind)field->kind) {
    case SMF_FLAT_INLINE:
        return walk_bytes(at, field->size_bytes);
    case SMF_FLAT_STRING:
        return walk_string(smf_flat_get_string(table, field->slot));
    case SMF_FLAT_TABLE:
        return walk_table(field->table, smf_flat_target(table, field->slot));
    case SMF_FLAT_NESTED:
        bytes = smf_flat_get_vector(table, field->slot);
        return bytes.count != 0 ? walk_table(field->table, smf_flat_root(bytes.data)) : 0;
    case SMF_FLAT_UNION:
        return walk_member(field->table, smf_flat_get_u8(table, field->slot - 2u, 0), at);
    default:
        return walk_vector(field, table);
    }
}

/* Reads all that a table's accessors can reach. */
static inline uint64_t walk_table(const struct smf_flat_table *table, const void *at)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < table->field_count; i++)
        sum += walk_field(&table->fields[i], at);
    return sum;
}

#endif
