/* Building: smf/flat_build.h. Positions are counted from the end of the memory, because that is where
 * the payload is known to lie: the memory may grow at its other end. */
#include <stdlib.h>

#include <smf/flat_verify.h>

#include "flat/flat.h"

#define OFFSET_SIZE 4u    /* a reference, a vector's length, a position of a vtable */
#define SLOT_SIZE 2u      /* an entry of a vtable */
#define VTABLE_HEAD 4u    /* vtable size and table size */
#define VTABLE_MAX 65534u /* bytes; even */
#define FIELDS_MAX 65528u /* bytes: with an offset and its padding a table is 65535 at most */
#define MEMORY_MIN 256u   /* bytes of the first memory that is got */

static const char too_large[] = "a payload is 2 GiB at most";

void smf__flat_move(struct smf_flat_builder *builder, uint8_t *memory, uint32_t capacity)
{
    if (builder->noted != 0)
        memcpy(memory, builder->memory, builder->noted);
    if (builder->used != 0)
        memcpy(memory + (capacity - builder->used),
               builder->memory + (builder->capacity - builder->used), builder->used);
    builder->memory = memory;
    builder->capacity = capacity;
}

static int grow_by_malloc(struct smf_flat_builder *builder, uint32_t capacity_min)
{
    uint32_t capacity = capacity_min < MEMORY_MIN ? MEMORY_MIN : capacity_min;
    uint8_t *memory;

    if (capacity_min == 0) {
        free(builder->block);
        builder->block = builder->memory = NULL;
        builder->capacity = 0;
        return SMF_OK;
    }
    memory = malloc(capacity);
    if (memory == NULL)
        return SMF_ENOMEM;
    smf__flat_move(builder, memory, capacity);
    free(builder->block);
    builder->block = memory;
    return SMF_OK;
}

void smf_flat_builder_init(struct smf_flat_builder *builder, void *memory, uint32_t size_bytes)
{
    memset(builder, 0, sizeof *builder);
    if (memory == NULL) {
        builder->grow = grow_by_malloc;
    } else {
        builder->memory = memory;
        builder->capacity = size_bytes;
    }
    smf_flat_builder_reset(builder);
}

void smf_flat_builder_fini(struct smf_flat_builder *builder)
{
    if (builder->grow != NULL)
        (void)builder->grow(builder, 0);
    smf_flat_builder_reset(builder);
}

void smf_flat_builder_reset(struct smf_flat_builder *builder)
{
    builder->used = builder->noted = builder->begun = builder->slots_size = 0;
    builder->align = 1;
    builder->open = builder->finished = 0;
    builder->status = SMF_OK;
    builder->problem = NULL;
}

/* The first one stays. */
__attribute__((noinline, cold)) static void fail(struct smf_flat_builder *builder, int status,
                                                 const char *problem)
{
    if (builder->status != SMF_OK)
        return;
    builder->status = status;
    builder->problem = problem;
    builder->finished = 0;
}

/* Gets memory for size_bytes more. Returns 0 when there is none. */
__attribute__((noinline)) static int grow(struct smf_flat_builder *builder, uint64_t size_bytes)
{
    uint64_t needed = size_bytes + builder->used + builder->noted;
    uint64_t doubled = (uint64_t)builder->capacity * 2;

    if (needed > SMF_FLAT_SIZE_MAX_BYTES) {
        fail(builder, SMF_ELIMIT, too_large);
        return 0;
    }
    if (builder->grow == NULL) {
        fail(builder, SMF_ENOMEM,
             builder->memory != NULL ? "the memory is full: give the builder more"
                                     : "the builder has no memory: it was not initialised");
        return 0;
    }
    if (doubled > SMF_FLAT_SIZE_MAX_BYTES)
        doubled = SMF_FLAT_SIZE_MAX_BYTES;
    if (builder->grow(builder, (uint32_t)(doubled > needed ? doubled : needed)) == SMF_OK)
        return 1;
    fail(builder, SMF_ENOMEM, "there is no memory for a larger payload");
    return 0;
}

static inline int has_room(struct smf_flat_builder *builder, uint64_t size_bytes)
{
    uint64_t room = (uint64_t)builder->capacity - builder->used - builder->noted;

    return __builtin_expect(size_bytes <= room, 1) || grow(builder, size_bytes);
}

/* Where what was built up to a position begins. */
static inline uint8_t *at(const struct smf_flat_builder *builder, uint32_t position)
{
    return builder->memory + (builder->capacity - position);
}

/* Takes head + body bytes and sees that the body is aligned, with zeros behind it. Returns the first
 * byte or NULL. */
static uint8_t *take(struct smf_flat_builder *builder, uint32_t head, uint64_t body, uint32_t align)
{
    uint32_t padding = (uint32_t) - (builder->used + body) & (align - 1);
    uint64_t size = padding + body + head;

    if (!has_room(builder, size))
        return NULL;
    memset(at(builder, builder->used + padding), 0, padding);
    builder->used += (uint32_t)size;
    if (align > builder->align)
        builder->align = align;
    return at(builder, builder->used);
}

/* May something be built that is not a field? */
static int between_tables(struct smf_flat_builder *builder)
{
    if (builder->status != SMF_OK)
        return 0;
    if (builder->open)
        fail(builder, SMF_EINVAL,
             "a table is open: build what its fields refer to before starting it");
    else if (builder->finished)
        fail(builder, SMF_EINVAL, "the payload is finished: reset the builder");
    return builder->status == SMF_OK;
}

/* Returns 0 for a reference that can't be one of this payload. */
static int is_ours(struct smf_flat_builder *builder, uint32_t ref)
{
    if (ref == 0 || ref > builder->used)
        fail(builder, SMF_EINVAL, "a reference is to nothing, or is of another payload");
    return builder->status == SMF_OK;
}

struct smf_flat_string_ref smf_flat_build_string(struct smf_flat_builder *builder, const void *text,
                                                 size_t size_bytes)
{
    struct smf_flat_string_ref string = {0};
    uint8_t *to;

    if (!between_tables(builder))
        return string;
    if (size_bytes > SMF_FLAT_SIZE_MAX_BYTES) {
        fail(builder, SMF_ELIMIT, too_large);
        return string;
    }
    to = take(builder, OFFSET_SIZE, (uint64_t)size_bytes + 1, OFFSET_SIZE);
    if (to == NULL)
        return string;
    smf_flat_store_u32(to, (uint32_t)size_bytes);
    if (size_bytes != 0)
        memcpy(to + OFFSET_SIZE, text, size_bytes);
    to[OFFSET_SIZE + size_bytes] = 0;
    string.ref = builder->used;
    return string;
}

uint8_t *smf_flat_build_vector(struct smf_flat_builder *builder, uint32_t count,
                               uint32_t size_bytes, uint32_t align, uint32_t *ref_out)
{
    uint8_t *to;

    *ref_out = 0;
    if (!between_tables(builder))
        return NULL;
    to = take(builder, OFFSET_SIZE, (uint64_t)count * size_bytes,
              align > OFFSET_SIZE ? align : OFFSET_SIZE);
    if (to == NULL)
        return NULL;
    smf_flat_store_u32(to, count);
    *ref_out = builder->used;
    return to + OFFSET_SIZE;
}

uint32_t smf_flat_build_refs(struct smf_flat_builder *builder, const void *refs, uint32_t count,
                             uint32_t step_bytes, int holes)
{
    uint32_t vector, ref;
    uint8_t *to = smf_flat_build_vector(builder, count, OFFSET_SIZE, OFFSET_SIZE, &vector);

    if (to == NULL)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(&ref, (const uint8_t *)refs + (size_t)i * step_bytes, sizeof ref);
        if (ref == 0 && holes) {
            memset(to + (size_t)i * OFFSET_SIZE, 0, OFFSET_SIZE);
            continue;
        }
        if (!is_ours(builder, ref))
            return 0;
        smf_flat_store_u32(to + (size_t)i * OFFSET_SIZE,
                           vector - OFFSET_SIZE - i * OFFSET_SIZE - ref);
    }
    return vector;
}

uint8_t *smf_flat_build_struct(struct smf_flat_builder *builder, uint32_t size_bytes,
                               uint32_t align, uint32_t *ref_out)
{
    uint8_t *to;

    *ref_out = 0;
    if (!between_tables(builder))
        return NULL;
    to = take(builder, 0, size_bytes, align);
    if (to != NULL)
        *ref_out = builder->used;
    return to;
}

void smf_flat_start_table(struct smf_flat_builder *builder, uint32_t slots_size)
{
    if (!between_tables(builder))
        return;
    if (slots_size > VTABLE_MAX - VTABLE_HEAD) {
        fail(builder, SMF_ELIMIT, "a table has 32765 fields at most");
        return;
    }
    if (!has_room(builder, slots_size))
        return;
    memset(builder->memory + builder->noted, 0, slots_size);
    builder->noted += slots_size;
    builder->slots_size = slots_size;
    builder->begun = builder->used;
    builder->open = 1;
}

/* The slot of the open table that has a place in the vtable. */
static inline uint8_t *slot_at(const struct smf_flat_builder *builder, uint32_t slot)
{
    return builder->memory + builder->noted - builder->slots_size + slot - VTABLE_HEAD;
}

/* Has the open table room for a field, and not the field yet? */
static int is_missing(struct smf_flat_builder *builder, uint32_t slot)
{
    if (builder->status != SMF_OK)
        return 0;
    if (!builder->open || slot < VTABLE_HEAD || slot - VTABLE_HEAD >= builder->slots_size) {
        fail(builder, SMF_EINVAL, "a field is added to no table, or to one of another kind");
        return 0;
    }
    if (smf_flat_load_u16(slot_at(builder, slot)) != 0) {
        fail(builder, SMF_EINVAL, "a field is added twice");
        return 0;
    }
    return 1;
}

void smf_flat_leave_out(struct smf_flat_builder *builder, uint32_t slot)
{
    (void)is_missing(builder, slot);
}

uint8_t *smf_flat_add(struct smf_flat_builder *builder, uint32_t slot, uint32_t size_bytes,
                      uint32_t align)
{
    uint8_t *to;

    if (!is_missing(builder, slot))
        return NULL;
    to = take(builder, 0, size_bytes, align);
    if (to == NULL)
        return NULL;
    if (builder->used - builder->begun > FIELDS_MAX) {
        fail(builder, SMF_ELIMIT, "a table is 64 KiB at most, without what it refers to");
        return NULL;
    }
    smf_flat_store_u16(slot_at(builder, slot), (uint16_t)(builder->used - builder->begun));
    return to;
}

void smf_flat_add_ref(struct smf_flat_builder *builder, uint32_t slot, uint32_t ref)
{
    uint8_t *to;

    if (!is_missing(builder, slot) || ref == 0 || !is_ours(builder, ref))
        return;
    to = smf_flat_add(builder, slot, OFFSET_SIZE, OFFSET_SIZE);
    if (to != NULL)
        smf_flat_store_u32(to, builder->used - ref);
}

/* Where the vtable stands that has these bytes; 0: there is none yet. */
static uint32_t find_vtable(const struct smf_flat_builder *builder, const uint8_t *vtable,
                            uint32_t size)
{
    for (uint32_t i = 0; i < builder->noted; i += OFFSET_SIZE) {
        uint32_t position = smf_flat_load_u32(builder->memory + i);
        const uint8_t *other = at(builder, position);

        if (smf_flat_load_u16(other) == size && memcmp(other, vtable, size) == 0)
            return position;
    }
    return 0;
}

/* Writes the vtable of the open table, which begins at a position, and closes it. Returns where the
 * vtable stands, or 0. */
static uint32_t end_vtable(struct smf_flat_builder *builder, uint32_t table)
{
    uint32_t size = builder->slots_size, found;
    uint8_t *to;

    while (size > 0 && smf_flat_load_u16(slot_at(builder, VTABLE_HEAD + size - SLOT_SIZE)) == 0)
        size -= SLOT_SIZE;
    /* With room for noting it in place of the slots. */
    if (!has_room(builder, (uint64_t)VTABLE_HEAD + size + OFFSET_SIZE))
        return 0;
    to = at(builder, builder->used + VTABLE_HEAD + size);
    smf_flat_store_u16(to, (uint16_t)(VTABLE_HEAD + size));
    smf_flat_store_u16(to + SLOT_SIZE, (uint16_t)(table - builder->begun));
    for (uint32_t slot = VTABLE_HEAD; slot < VTABLE_HEAD + size; slot += SLOT_SIZE) {
        uint16_t field = smf_flat_load_u16(slot_at(builder, slot));

        if (field != 0)
            field = (uint16_t)(table - builder->begun - field);
        smf_flat_store_u16(to + slot, field);
    }
    builder->noted -= builder->slots_size;
    builder->open = 0;
    found = find_vtable(builder, to, VTABLE_HEAD + size);
    if (found != 0)
        return found;
    builder->used += VTABLE_HEAD + size;
    smf_flat_store_u32(builder->memory + builder->noted, builder->used);
    builder->noted += OFFSET_SIZE;
    return builder->used;
}

uint32_t smf_flat_end_table(struct smf_flat_builder *builder,
                            const struct smf_flat_required *required, uint32_t count)
{
    uint32_t table, vtable;

    if (builder->status != SMF_OK)
        return 0;
    if (!builder->open) {
        fail(builder, SMF_EINVAL, "a table is ended that was not started");
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (smf_flat_load_u16(slot_at(builder, required[i].slot)) == 0)
            fail(builder, SMF_EINVAL, required[i].problem);
    }
    if (builder->status != SMF_OK || take(builder, 0, OFFSET_SIZE, OFFSET_SIZE) == NULL)
        return 0;
    table = builder->used;
    vtable = end_vtable(builder, table);
    if (vtable == 0)
        return 0;
    smf_flat_store_u32(at(builder, table), vtable - table); /* signed: it may stand behind */
    return table;
}

int smf_flat_finish(struct smf_flat_builder *builder, uint32_t root, const char *identifier)
{
    uint32_t size = identifier != NULL ? 2 * OFFSET_SIZE : OFFSET_SIZE;
    uint32_t align = builder->align > OFFSET_SIZE ? builder->align : OFFSET_SIZE;
    uint8_t *to;

    if (!between_tables(builder) || !is_ours(builder, root))
        return builder->status;
    to = take(builder, 0, size, align);
    if (to == NULL)
        return builder->status;
    smf_flat_store_u32(to, builder->used - root);
    if (identifier != NULL)
        memcpy(to + OFFSET_SIZE, identifier, OFFSET_SIZE);
    builder->finished = 1;
    return SMF_OK;
}
