/* Building FlatBuffers, for code that smfc generates.
 *
 * A builder writes from the end of its memory to the beginning: what is referred to comes first.
 *
 *     struct smf_flat_builder builder;
 *     smf_flat_builder_init(&builder, NULL, 0);
 *     struct smf_flat_string_ref name = smf_flat_build_text(&builder, "Hello");
 *     smf_gen_demo_Request_start_table(&builder);
 *     smf_gen_demo_Request_add_name(&builder, name);
 *     smf_gen_demo_Request_finish_root(&builder, smf_gen_demo_Request_end_table(&builder));
 *     send(smf_flat_payload(&builder), smf_flat_size_bytes(&builder));
 *     smf_flat_builder_fini(&builder);
 *
 * Errors are sticky: after the first one every function does nothing and returns references to
 * nothing, and finishing returns the status. A field that is given a reference to nothing is not there.
 *
 * Threads: a builder is used by one at a time. Ownership: a builder knows its memory, which is the
 * caller's or, from malloc, its own; arguments are copied. Errors: SMF_ENOMEM, SMF_ELIMIT (a payload
 * over 2 GiB, a table over 64 KiB), SMF_EINVAL (what is called in the wrong order, a field twice). Cost: one copy of
 * the content; end_table compares with every vtable that differs from those before it. */
#ifndef SMF_FLAT_BUILD_H
#define SMF_FLAT_BUILD_H

#include <smf/flat.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A builder. Programs set force_defaults, and read status and problem. */
struct smf_flat_builder {
    uint8_t *memory;     /* what it builds in, at any address */
    uint32_t capacity;   /* bytes of memory */
    uint32_t used;       /* bytes that are built, at the end of memory */
    uint32_t noted;      /* bytes at its beginning: offsets of vtables, slots of the open table */
    uint32_t align;      /* the largest that something in it asked for */
    uint32_t begun;      /* what was used when the open table was begun */
    uint32_t slots_size; /* bytes of the open table's slots */
    uint8_t open;        /* a table is being built */
    uint8_t finished;    /* the payload is whole */
    uint8_t force_defaults; /* 1: fields that have their default value are written, too */
    uint8_t reserved;       /* 0 */
    int status;             /* of the first error, or SMF_OK */
    const char *problem;    /* a sentence that tells it, in static storage; NULL */
    /* Gets memory of capacity_min bytes at least and moves what is built there; gives it back for 0; is
     * NULL for memory that stays as it is. */
    int (*grow)(struct smf_flat_builder *builder, uint32_t capacity_min);
    void *owner; /* whatever grow wants to know */
    void *block; /* what holds the memory that grow got */
};

/* Where something that was built begins, counted from the payload's end; 0: nowhere. Generated code has
 * such a type for each table. */
struct smf_flat_string_ref {
    uint32_t ref; /* where */
};

/* Likewise, of a vector of strings. */
struct smf_flat_string_vector_ref {
    uint32_t ref; /* where */
};

/* Makes a builder over memory of the caller, which has to hold the payload and 2 bytes for each field
 * of a table and 4 for each different vtable; or, when memory is NULL, over memory from malloc that grows
 * and that smf_flat_builder_fini gives back. Errors: none. Cost: none. */
void smf_flat_builder_init(struct smf_flat_builder *builder, void *memory, uint32_t size_bytes);

/* Gives back what the builder got. The builder may be used again: it gets memory when it needs some.
 * Errors: none; of the caller's memory nothing is given back. */
void smf_flat_builder_fini(struct smf_flat_builder *builder);

/* Begins another payload in the same memory. Errors: none; forgets a status. Cost: none. */
void smf_flat_builder_reset(struct smf_flat_builder *builder);

/* Makes the payload whole: root is a table of it. identifier: 4 characters, or NULL. Generated code has a
 * finish_root for each table. Returns the status of all that was done since the reset. */
int smf_flat_finish(struct smf_flat_builder *builder, uint32_t root, const char *identifier);

/* The payload of a builder that was finished; NULL of one that was not, or that failed. Ownership: the
 * builder's memory, until it is reset. */
static inline const uint8_t *smf_flat_payload(const struct smf_flat_builder *builder)
{
    return builder->finished ? builder->memory + (builder->capacity - builder->used) : NULL;
}

/* The size of such a payload; 0 where there is none. */
static inline uint32_t smf_flat_size_bytes(const struct smf_flat_builder *builder)
{
    return builder->finished ? builder->used : 0;
}

/* A string of size bytes, of any content. */
struct smf_flat_string_ref smf_flat_build_string(struct smf_flat_builder *builder, const void *text,
                                                 size_t size_bytes);

/* A string from a zero-terminated one. */
static inline struct smf_flat_string_ref smf_flat_build_text(struct smf_flat_builder *builder,
                                                             const char *text)
{
    return smf_flat_build_string(builder, text, strlen(text));
}

/* A copy of a string that was read. */
static inline struct smf_flat_string_ref smf_flat_build_copy(struct smf_flat_builder *builder,
                                                             struct smf_flat_string text)
{
    return smf_flat_build_string(builder, text.data, text.size_bytes);
}

/* Room for a vector of count elements: returns where the first begins, to be filled before the builder
 * is used again, or NULL. *ref_out: the vector. Elements are of size_bytes, aligned to align. */
uint8_t *smf_flat_build_vector(struct smf_flat_builder *builder, uint32_t count,
                               uint32_t size_bytes, uint32_t align, uint32_t *ref_out);

/* A vector of references; those are the first members of structs that lie step_bytes apart. Some may be
 * to nothing if holes is 1: those of unions, where nothing is looked at. */
uint32_t smf_flat_build_refs(struct smf_flat_builder *builder, const void *refs, uint32_t count,
                             uint32_t step_bytes, int holes);

/* A vector of strings. */
static inline struct smf_flat_string_vector_ref
smf_flat_build_string_vector(struct smf_flat_builder *builder,
                             const struct smf_flat_string_ref *strings, uint32_t count)
{
    struct smf_flat_string_vector_ref vector = {
        smf_flat_build_refs(builder, strings, count, sizeof *strings, 0)};
    return vector;
}

/* Room for a struct of its own, which a union refers to: as smf_flat_build_vector. */
uint8_t *smf_flat_build_struct(struct smf_flat_builder *builder, uint32_t size_bytes,
                               uint32_t align, uint32_t *ref_out);

/* Begins a table with slots_size bytes of vtable entries. Until it is ended nothing else is built. */
void smf_flat_start_table(struct smf_flat_builder *builder, uint32_t slots_size);

/* A field without which a table is not ended; static storage. */
struct smf_flat_required {
    uint32_t slot;       /* which one */
    const char *problem; /* what the builder's problem is when it is missing */
};

/* Ends the table that is open. required: count fields that have to be there. Returns a reference to it. */
uint32_t smf_flat_end_table(struct smf_flat_builder *builder,
                            const struct smf_flat_required *required, uint32_t count);

/* Room for a field of the open table: where it begins, to be filled before the builder is used again,
 * or NULL. */
uint8_t *smf_flat_add(struct smf_flat_builder *builder, uint32_t slot, uint32_t size_bytes,
                      uint32_t align);

/* A field of the open table that is a reference; one to nothing is smf_flat_leave_out. */
void smf_flat_add_ref(struct smf_flat_builder *builder, uint32_t slot, uint32_t ref);

/* A field of the open table that is not written, because it has its default. */
void smf_flat_leave_out(struct smf_flat_builder *builder, uint32_t slot);

/* Scalars at any address, little endian: u8, u16, u32, u64, i8, …, f32, f64, and bool. */
static inline void smf_flat_store_u8(uint8_t *to, uint8_t value)
{
    *to = value;
}
/* @cond one is like the other */
static inline void smf_flat_store_u16(uint8_t *to, uint16_t value)
{
    value = smf_flat_load_u16(&value); /* swaps where loading does */
    memcpy(to, &value, sizeof value);
}
static inline void smf_flat_store_u32(uint8_t *to, uint32_t value)
{
    value = smf_flat_load_u32(&value);
    memcpy(to, &value, sizeof value);
}
static inline void smf_flat_store_u64(uint8_t *to, uint64_t value)
{
    value = smf_flat_load_u64(&value);
    memcpy(to, &value, sizeof value);
}
static inline void smf_flat_store_bool(uint8_t *to, bool value)
{
    *to = value;
}
static inline void smf_flat_store_i8(uint8_t *to, int8_t value)
{
    *to = (uint8_t)value;
}
static inline void smf_flat_store_i16(uint8_t *to, int16_t value)
{
    smf_flat_store_u16(to, (uint16_t)value);
}
static inline void smf_flat_store_i32(uint8_t *to, int32_t value)
{
    smf_flat_store_u32(to, (uint32_t)value);
}
static inline void smf_flat_store_i64(uint8_t *to, int64_t value)
{
    smf_flat_store_u64(to, (uint64_t)value);
}
static inline void smf_flat_store_f32(uint8_t *to, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    smf_flat_store_u32(to, bits);
}
static inline void smf_flat_store_f64(uint8_t *to, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    smf_flat_store_u64(to, bits);
}

/* @endcond */

/* For each scalar, here i32:
 *
 *     void smf_flat_put_i32(builder, slot, value)           a field of the open table
 *     void smf_flat_add_i32(builder, slot, value, absent)   likewise, unless it is the default
 *     struct smf_flat_i32_vector_ref { uint32_t ref; }
 *     struct smf_flat_i32_vector_ref smf_flat_build_i32_vector(builder, values, count)
 */
#define SMF_FLAT_SCALAR(name, type)                                                                \
    static inline void smf_flat_put_##name(struct smf_flat_builder *builder, uint32_t slot,        \
                                           type value)                                             \
    {                                                                                              \
        uint8_t *to = smf_flat_add(builder, slot, sizeof value, sizeof value);                     \
        if (to != NULL)                                                                            \
            smf_flat_store_##name(to, value);                                                      \
    }                                                                                              \
    static inline void smf_flat_add_##name(struct smf_flat_builder *builder, uint32_t slot,        \
                                           type value, type absent)                                \
    {                                                                                              \
        uint8_t ours[sizeof value], theirs[sizeof value]; /* as bytes: -0 is not 0 */              \
        smf_flat_store_##name(ours, value);                                                        \
        smf_flat_store_##name(theirs, absent);                                                     \
        if (builder->force_defaults || memcmp(ours, theirs, sizeof ours) != 0)                     \
            smf_flat_put_##name(builder, slot, value);                                             \
        else                                                                                       \
            smf_flat_leave_out(builder, slot);                                                     \
    }                                                                                              \
    struct smf_flat_##name##_vector_ref {                                                          \
        uint32_t ref;                                                                              \
    };                                                                                             \
    static inline struct smf_flat_##name##_vector_ref smf_flat_build_##name##_vector(              \
        struct smf_flat_builder *builder, const type *values, uint32_t count)                      \
    {                                                                                              \
        struct smf_flat_##name##_vector_ref vector = {0};                                          \
        uint8_t *to =                                                                              \
            smf_flat_build_vector(builder, count, sizeof(type), sizeof(type), &vector.ref);        \
        for (uint32_t i = 0; to != NULL && i < count; i++)                                         \
            smf_flat_store_##name(to + i * sizeof(type), values[i]);                               \
        return vector;                                                                             \
    }                                                                                              \
    struct smf_flat_##name##_vector_ref
/* @cond one is like the other */
SMF_FLAT_SCALAR(bool, bool);
SMF_FLAT_SCALAR(i8, int8_t);
SMF_FLAT_SCALAR(u8, uint8_t);
SMF_FLAT_SCALAR(i16, int16_t);
SMF_FLAT_SCALAR(u16, uint16_t);
SMF_FLAT_SCALAR(i32, int32_t);
SMF_FLAT_SCALAR(u32, uint32_t);
SMF_FLAT_SCALAR(i64, int64_t);
SMF_FLAT_SCALAR(u64, uint64_t);
SMF_FLAT_SCALAR(f32, float);
SMF_FLAT_SCALAR(f64, double);
/* @endcond */
#undef SMF_FLAT_SCALAR

/* A payload inside of a payload, from the builder in which it was finished; nothing, when it was not. */
static inline struct smf_flat_u8_vector_ref
smf_flat_build_nested(struct smf_flat_builder *builder, const struct smf_flat_builder *nested)
{
    struct smf_flat_u8_vector_ref vector = {0};
    uint32_t size = smf_flat_size_bytes(nested);
    uint8_t *to = NULL;

    if (size != 0)
        to = smf_flat_build_vector(builder, size, 1, nested->align, &vector.ref);
    if (to != NULL)
        memcpy(to, smf_flat_payload(nested), size);
    return vector;
}

#ifdef __cplusplus
}
#endif
#endif
