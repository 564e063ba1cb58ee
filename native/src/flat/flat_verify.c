/* Verifying: smf/flat_verify.h. go/flatverify does the same, check by check and in the same order, so
 * that both find the same fault first. */
#include <smf/flat_verify.h>

#include <stdio.h>

#include <smf/flat.h>

#define OFFSET_SIZE 4u /* a reference to a string, vector or table; also a vector's length */
#define SLOT_SIZE 2u   /* an entry of a vtable */
#define VTABLE_HEAD 4u /* vtable size and table size */

static const char reach_problem[] = "offsets point at the same data too often";
static const char past_the_end[] = "vector runs past the payload's end";
static const char bad_offset[] = "offset is out of range or not aligned";

/* One walk over a payload. Positions are relative to the payload's first byte; in a nested payload
 * they are relative to the nested one's. */
struct walk {
    const uint8_t *bytes;
    uint32_t size;
    uint32_t base;   /* position of bytes in the whole payload */
    uint32_t tables; /* how many more may be visited */
    int64_t reach;   /* how many more bytes may be seen */
    struct smf_flat_error *error;
};

/* A table whose vtable is known to be inside the payload. */
struct frame {
    const uint8_t *vtable;
    uint32_t length; /* of the vtable */
    uint32_t size;   /* of the table */
    uint32_t at;
};

/* A field of a table, for errors: field is NULL where the table itself is wrong. */
struct place {
    const struct smf_flat_table *table;
    const struct smf_flat_field *field;
    uint32_t depth; /* of the table */
};

static int check_table(struct walk *walk, const struct smf_flat_table *table, uint32_t at,
                       uint32_t depth);

__attribute__((noinline, cold)) static int fail(const struct walk *walk, const struct place *place,
                                                uint32_t position, const char *problem)
{
    if (walk->error != NULL) {
        walk->error->table = place->table->name;
        walk->error->field = place->field != NULL ? place->field->name : "";
        walk->error->problem = problem;
        walk->error->position = walk->base + position;
    }
    return SMF_EINVAL;
}

static inline uint32_t load_u32(const struct walk *walk, uint32_t at)
{
    return smf_flat_load_u32(walk->bytes + at);
}

/* Reads the offset at a position inside the payload; 0, or where it leads. Every target begins with
 * four aligned bytes, which are inside the payload. */
static inline uint32_t follow(const struct walk *walk, uint32_t at)
{
    uint32_t offset = load_u32(walk, at);
    uint64_t to = (uint64_t)at + offset;

    if (offset == 0 || to + OFFSET_SIZE > walk->size || (to & (OFFSET_SIZE - 1)) != 0)
        return 0;
    return (uint32_t)to;
}

/* Takes size bytes off what the walk may still see; 0 when that was too much. */
static inline int reaches(struct walk *walk, uint64_t size)
{
    walk->reach -= (int64_t)size;
    return walk->reach >= 0;
}

/* Finds vtable and size of the table at a position that comes from follow. Returns NULL or what is
 * wrong. */
static inline const char *find_frame(const struct walk *walk, uint32_t at, struct frame *frame_out)
{
    /* In 64 bits: the difference of the two does not fit into 32. */
    int64_t start = (int64_t)at - smf_flat_load_i32(walk->bytes + at);
    uint32_t head;

    if (start < 0 || start > (int64_t)walk->size - VTABLE_HEAD)
        return "vtable is outside the payload";
    head = load_u32(walk, (uint32_t)start);
    frame_out->vtable = walk->bytes + start;
    frame_out->length = head & 0xffff;
    frame_out->size = head >> 16;
    frame_out->at = at;
    if ((((uint32_t)start | frame_out->length) & (SLOT_SIZE - 1)) != 0)
        return "vtable is not aligned";
    if (frame_out->length < VTABLE_HEAD || frame_out->length > walk->size - (uint32_t)start)
        return "vtable size is out of range";
    if (frame_out->size < OFFSET_SIZE || frame_out->size > walk->size - at)
        return "table size is out of range";
    return NULL;
}

static int check_string(struct walk *walk, const struct place *place, uint32_t at)
{
    uint32_t length = load_u32(walk, at);
    uint64_t end = (uint64_t)at + OFFSET_SIZE + length;

    if (end >= walk->size)
        return fail(walk, place, at, "string runs past the payload's end");
    if (walk->bytes[end] != 0)
        return fail(walk, place, (uint32_t)end, "string does not end with a zero byte");
    if (!reaches(walk, length))
        return fail(walk, place, at, reach_problem);
    return SMF_OK;
}

static int check_inline_vector(struct walk *walk, const struct place *place, uint32_t at)
{
    uint32_t count = load_u32(walk, at), first = at + OFFSET_SIZE;
    uint64_t size = (uint64_t)count * place->field->size_bytes;

    if (size > walk->size - first)
        return fail(walk, place, at, past_the_end);
    if (!reaches(walk, size))
        return fail(walk, place, at, reach_problem);
    /* No element, nothing to align: builders differ in what they do for an empty vector. */
    if (count > 0 && (first & (place->field->align - 1u)) != 0)
        return fail(walk, place, first, "vector is not aligned");
    return SMF_OK;
}

/* A vector of strings or of tables. */
static int check_vector(struct walk *walk, const struct place *place, uint32_t at)
{
    uint32_t count = load_u32(walk, at), first = at + OFFSET_SIZE;

    if (count > (walk->size - first) / OFFSET_SIZE)
        return fail(walk, place, at, past_the_end);
    if (!reaches(walk, (uint64_t)count * OFFSET_SIZE))
        return fail(walk, place, at, reach_problem);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t from = first + i * OFFSET_SIZE, target = follow(walk, from);
        int status;

        if (target == 0)
            return fail(walk, place, from, "offset in a vector is out of range or not aligned");
        if (place->field->kind == SMF_FLAT_STRING_VECTOR)
            status = check_string(walk, place, target);
        else
            status = check_table(walk, place->field->table, target, place->depth + 1);
        if (status != SMF_OK)
            return status;
    }
    return SMF_OK;
}

/* The vector of bytes at a position is a payload of its own. */
static int check_nested(struct walk *walk, const struct place *place, uint32_t at)
{
    uint32_t count = load_u32(walk, at), first = at + OFFSET_SIZE, root;
    struct walk inner = *walk;
    int status;

    if (count > walk->size - first)
        return fail(walk, place, at, past_the_end);
    if (!reaches(walk, count))
        return fail(walk, place, at, reach_problem);
    if (count < OFFSET_SIZE)
        return fail(walk, place, at, "nested payload is too small");
    inner.bytes = walk->bytes + first;
    inner.size = count;
    inner.base = walk->base + first;
    inner.reach = walk->reach;
    root = follow(&inner, 0);
    if (root == 0)
        return fail(walk, place, first, "root offset is out of range");
    status = check_table(&inner, place->field->table, root, place->depth + 1);
    walk->tables = inner.tables;
    walk->reach = inner.reach;
    return status;
}

/* What the offset field at a position leads to. */
static int check_reference(struct walk *walk, const struct place *place, uint32_t at)
{
    uint32_t target = follow(walk, at);

    if (target == 0)
        return fail(walk, place, at, bad_offset);
    switch ((enum smf_flat_kind)place->field->kind) {
    case SMF_FLAT_STRING:
        return check_string(walk, place, target);
    case SMF_FLAT_TABLE:
        return check_table(walk, place->field->table, target, place->depth + 1);
    case SMF_FLAT_NESTED:
        return check_nested(walk, place, target);
    case SMF_FLAT_INLINE_VECTOR:
        return check_inline_vector(walk, place, target);
    default:
        return check_vector(walk, place, target);
    }
}

/* A struct that a union holds: it may be smaller than an offset, and less aligned. */
static int check_struct(struct walk *walk, const struct place *place,
                        const struct smf_flat_field *member, uint32_t at)
{
    uint32_t offset = load_u32(walk, at);
    uint64_t to = (uint64_t)at + offset;

    if (offset == 0 || to + member->size_bytes > walk->size || (to & (member->align - 1u)) != 0)
        return fail(walk, place, at, bad_offset);
    if (!reaches(walk, member->size_bytes))
        return fail(walk, place, at, reach_problem);
    return SMF_OK;
}

/* What a union of that type holds; NULL: nothing, or something that is not known here. */
static const struct smf_flat_field *member_of(const struct smf_flat_field *field, uint8_t type)
{
    const struct smf_flat_table *members = field->table;

    for (uint32_t i = 0; i < members->field_count; i++) {
        if (members->fields[i].slot == type)
            return &members->fields[i];
    }
    return NULL;
}

/* What the offset at a position leads to, which has to be a member of a union. */
static int check_member(struct walk *walk, const struct place *place,
                        const struct smf_flat_field *member, uint32_t at)
{
    uint32_t target;

    if (member->kind == SMF_FLAT_INLINE)
        return check_struct(walk, place, member, at);
    target = follow(walk, at);
    if (target == 0)
        return fail(walk, place, at, bad_offset);
    if (member->kind == SMF_FLAT_STRING)
        return check_string(walk, place, target);
    return check_table(walk, member->table, target, place->depth + 1);
}

/* Finds the field of a slot, which has width bytes and is aligned to them: *at_out is 0 when it is not
 * there. Returns 0 when it is outside the payload. */
static int find_slot(const struct walk *walk, const struct frame *frame, uint32_t slot,
                     uint32_t width, uint32_t *at_out)
{
    uint32_t offset;

    *at_out = 0;
    if (slot < VTABLE_HEAD || slot + SLOT_SIZE > frame->length)
        return 1;
    offset = smf_flat_load_u16(frame->vtable + slot);
    if (offset == 0)
        return 1;
    *at_out = frame->at + offset;
    return offset >= OFFSET_SIZE && (uint64_t)*at_out + width <= walk->size &&
           (*at_out & (width - 1)) == 0;
}

static const char outside_type[] = "the union's type is outside the payload";
static const char outside_types[] = "the unions' types are outside the payload";

/* The union whose offset is at a position of a table. */
static int check_union(struct walk *walk, const struct place *place, const struct frame *frame,
                       uint32_t at)
{
    const struct smf_flat_field *member;
    uint32_t type, offset;

    if (!find_slot(walk, frame, place->field->slot - SLOT_SIZE, 1, &type))
        return fail(walk, place, frame->at, outside_type);
    member = member_of(place->field, type != 0 ? walk->bytes[type] : 0);
    if (member != NULL)
        return check_member(walk, place, member, at);
    /* Nobody can read what there is, but some find out where it is before they look at the type. */
    offset = load_u32(walk, at);
    if (offset == 0 || (uint64_t)at + offset >= walk->size)
        return fail(walk, place, at, bad_offset);
    return SMF_OK;
}

/* The type, or the vector of types, of a union or a vector of them that is not there. A union of a table
 * or a string may have its type alone: builders write that for one that is nothing. */
static int check_absent(struct walk *walk, const struct place *place, const struct frame *frame)
{
    int many = place->field->kind == SMF_FLAT_UNION_VECTOR;
    const struct smf_flat_field *member;
    uint32_t type;

    if (!find_slot(walk, frame, place->field->slot - SLOT_SIZE, many ? OFFSET_SIZE : 1, &type))
        return fail(walk, place, frame->at, outside_type);
    if (type == 0)
        return SMF_OK;
    if (many)
        return fail(walk, place, type, "there are types, but no unions");
    member = member_of(place->field, walk->bytes[type]);
    if (member != NULL && member->kind == SMF_FLAT_INLINE)
        return fail(walk, place, type, "the union's struct is missing");
    return SMF_OK;
}

/* Finds the types of a vector of unions: where the first one is, and how many there are. */
static int find_types(struct walk *walk, const struct place *place, const struct frame *frame,
                      uint32_t *first_out, uint32_t *count_out)
{
    uint32_t at, target;

    if (!find_slot(walk, frame, place->field->slot - SLOT_SIZE, OFFSET_SIZE, &at))
        return fail(walk, place, frame->at, outside_types);
    if (at == 0)
        return fail(walk, place, frame->at, "there are unions, but no types");
    target = follow(walk, at);
    if (target == 0)
        return fail(walk, place, at, outside_types);
    *count_out = load_u32(walk, target);
    *first_out = target + OFFSET_SIZE;
    if (*count_out > walk->size - *first_out)
        return fail(walk, place, target, outside_types);
    return SMF_OK;
}

/* The vector of unions whose offset is at a position of a table. */
static int check_unions(struct walk *walk, const struct place *place, const struct frame *frame,
                        uint32_t at)
{
    uint32_t types = 0, types_count = 0, target, count, first;
    int status = find_types(walk, place, frame, &types, &types_count);

    if (status != SMF_OK)
        return status;
    target = follow(walk, at);
    if (target == 0)
        return fail(walk, place, at, bad_offset);
    count = load_u32(walk, target);
    first = target + OFFSET_SIZE;
    if (count != types_count)
        return fail(walk, place, target, "there are not as many unions as types");
    if (count > (walk->size - first) / OFFSET_SIZE)
        return fail(walk, place, target, past_the_end);
    if (!reaches(walk, (uint64_t)count * OFFSET_SIZE))
        return fail(walk, place, target, reach_problem);
    for (uint32_t i = 0; i < count && status == SMF_OK; i++) {
        const struct smf_flat_field *member = member_of(place->field, walk->bytes[types + i]);

        if (member != NULL) /* where there is no value, builders write a zero */
            status = check_member(walk, place, member, first + i * OFFSET_SIZE);
    }
    return status;
}

static int check_field(struct walk *walk, const struct place *place, const struct frame *frame)
{
    const struct smf_flat_field *field = place->field;
    uint32_t width = OFFSET_SIZE, align = OFFSET_SIZE, offset = 0, at;

    if (field->slot + SLOT_SIZE <= frame->length)
        offset = smf_flat_load_u16(frame->vtable + field->slot);
    if (offset == 0 && field->required)
        return fail(walk, place, frame->at, "required field is missing");
    if (offset == 0 && (field->kind == SMF_FLAT_UNION || field->kind == SMF_FLAT_UNION_VECTOR))
        return check_absent(walk, place, frame);
    if (offset == 0)
        return SMF_OK;
    if (field->kind == SMF_FLAT_INLINE) {
        width = field->size_bytes;
        align = field->align;
    }
    /* Not against the table's size: some builders let a table share the vtable, and with it the size,
     * of a smaller one whose fields begin at the same places. */
    at = frame->at + offset;
    if (offset < OFFSET_SIZE || (uint64_t)at + width > walk->size)
        return fail(walk, place, frame->at, "field is outside the payload");
    if ((at & (align - 1)) != 0)
        return fail(walk, place, at, "field is not aligned");
    switch ((enum smf_flat_kind)field->kind) {
    case SMF_FLAT_INLINE:
        return SMF_OK;
    case SMF_FLAT_UNION:
        return check_union(walk, place, frame, at);
    case SMF_FLAT_UNION_VECTOR:
        return check_unions(walk, place, frame, at);
    default:
        return check_reference(walk, place, at);
    }
}

/* The table at a position that comes from follow, and everything that its fields lead to. */
static int check_table(struct walk *walk, const struct smf_flat_table *table, uint32_t at,
                       uint32_t depth)
{
    struct place place = {table, NULL, depth};
    struct frame frame;
    const char *problem;

    if (depth > SMF_FLAT_DEPTH_MAX)
        return fail(walk, &place, at, "tables nest too deep");
    if (walk->tables == 0)
        return fail(walk, &place, at, "too many tables");
    walk->tables--;
    problem = find_frame(walk, at, &frame);
    if (problem != NULL)
        return fail(walk, &place, at, problem);
    if (!reaches(walk, frame.size))
        return fail(walk, &place, at, reach_problem);
    for (uint32_t i = 0; i < table->field_count; i++) {
        int status;

        place.field = &table->fields[i];
        status = check_field(walk, &place, &frame);
        if (status != SMF_OK)
            return status;
    }
    return SMF_OK;
}

int smf_flat_verify(const struct smf_flat_table *table, const void *payload, size_t size_bytes,
                    struct smf_flat_error *error_out)
{
    struct place place = {table, NULL, 0};
    struct walk walk = {.bytes = payload,
                        .tables = SMF_FLAT_TABLES_MAX,
                        .reach = SMF_FLAT_REACH_FLOOR_BYTES,
                        .error = error_out};
    uint32_t root;

    if (size_bytes < OFFSET_SIZE || size_bytes > SMF_FLAT_SIZE_MAX_BYTES)
        return fail(&walk, &place, 0, "payload size is out of range");
    walk.size = (uint32_t)size_bytes;
    walk.reach += (int64_t)SMF_FLAT_REACH_FACTOR * walk.size;
    root = follow(&walk, 0);
    if (root == 0)
        return fail(&walk, &place, 0, "root offset is out of range");
    return check_table(&walk, table, root, 1);
}

void smf_flat_error_text(const struct smf_flat_error *error, char *text_out, size_t size_bytes)
{
    (void)snprintf(text_out, size_bytes, "%s%s%s: %s (at byte %u)", error->table,
                   error->field[0] != '\0' ? "." : "", error->field, error->problem,
                   error->position);
}
