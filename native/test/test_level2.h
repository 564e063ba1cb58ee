/* A server core, a client core and raw peers that speak level 2, on the simulated network. What happens is
 * noted, event by event; requests are echoed at once, unless the test holds them. */
#ifndef SMF_TEST_LEVEL2_H
#define SMF_TEST_LEVEL2_H

#include <smf/code.h>
#include <smf/level2.h>
#include <smf/metadata.h>

#include "frame/frame_hello.h"
#include "rpc/rpc_level2.h"
#include "test_sim.h"

#define NOTES_MAX 8192
#define NOTE_BYTES_MAX 64
#define FRAME_MAX (SMF_METADATA_SIZE_BYTES_MAX + 4096u)
#define LEVEL2_MEMORY_BYTES (32ull << 20)

/* What an event said. */
struct note {
    int of_server;
    uint32_t kind, level, flags, session, meta, size, metadata_size;
    uint64_t conn;
    uint8_t bytes[NOTE_BYTES_MAX]; /* of block and payload, as far as they go */
};

struct notes {
    int hold; /* requests are not answered */
    int count;
    struct note all[NOTES_MAX];
};

static inline void notes_handle(struct world *world, struct smf_core *core,
                                const struct smf_event *event)
{
    struct notes *notes = world->context;
    struct note *note = &notes->all[notes->count];
    uint32_t whole = event->size_bytes + event->metadata_size_bytes;

    CHECK_LT(notes->count, NOTES_MAX);
    notes->count++;
    *note = (struct note){.of_server = core == world->server,
                          .kind = event->kind,
                          .level = event->level,
                          .flags = event->flags,
                          .session = event->session,
                          .meta = event->meta,
                          .size = event->size_bytes,
                          .metadata_size = event->metadata_size_bytes,
                          .conn = event->conn};
    if (whole != 0)
        memcpy(note->bytes, event->payload - event->metadata_size_bytes,
               whole < NOTE_BYTES_MAX ? whole : NOTE_BYTES_MAX);
    if (event->kind == SMF_EVENT_REQUEST && !notes->hold)
        CHECK_EQ(smf_core_send_with(core, event->conn, event->session, SMF_CODE_OK,
                                    event->flags & SMF_FRAME_METADATA, event->compression,
                                    event->payload - event->metadata_size_bytes, whole),
                 SMF_OK);
}

static inline struct notes *level2_open(struct world *world, const struct smf__rpc_config *limits)
{
    static struct notes notes;

    memset(&notes, 0, sizeof notes);
    world_open(world, test_seed(), LEVEL2_MEMORY_BYTES, limits);
    world->context = &notes;
    world->handle = notes_handle;
    return &notes;
}

/* How many events of a kind a core has had. */
static inline int noted(const struct world *world, int of_server, uint32_t kind)
{
    const struct notes *notes = world->context;
    int count = 0;

    for (int i = 0; i < notes->count; i++)
        count += notes->all[i].of_server == of_server && notes->all[i].kind == kind;
    return count;
}

/* The last one; there is one. */
static inline const struct note *last_note(const struct world *world, int of_server, uint32_t kind)
{
    const struct notes *notes = world->context;

    for (int i = notes->count - 1; i >= 0; i--) {
        if (notes->all[i].of_server == of_server && notes->all[i].kind == kind)
            return &notes->all[i];
    }
    CHECK(!"such an event");
    return NULL;
}

static inline uint64_t closed_for(const struct world *world, uint32_t reason)
{
    return world_stats(world->server).closed[reason];
}

/* Frames. */

static inline size_t level2_frame(uint8_t *bytes_out, struct smf_frame frame, const void *payload)
{
    frame.checksum = smf_frame_checksum_level2(&frame, payload, frame.size);
    smf_frame_encode(&frame, bytes_out);
    if (payload != NULL)
        memcpy(bytes_out + HEADER, payload, frame.size);
    return HEADER + frame.size;
}

static inline int raw_frame(struct raw *raw, struct smf_frame frame, const void *payload)
{
    static uint8_t bytes[HEADER + FRAME_MAX];

    CHECK_LE(frame.size, FRAME_MAX);
    return raw_send(raw, bytes, level2_frame(bytes, frame, payload));
}

/* A plain call. */
static inline void raw_call2(struct raw *raw, uint16_t session, uint8_t flags)
{
    char payload[32];
    int size = snprintf(payload, sizeof payload, "request %u", session);

    CHECK(raw_frame(
        raw,
        (struct smf_frame){
            .flags = flags, .session = session, .size = (uint32_t)size, .meta = WORLD_METHOD},
        payload));
}

static inline void raw_control(struct raw *raw, uint32_t what, uint64_t payload)
{
    (void)raw_frame(raw, (struct smf_frame){.flags = SMF_FRAME_CONTROL, .size = 8, .meta = what},
                    &payload);
}

static inline void raw_cancel(struct raw *raw, uint16_t session)
{
    (void)raw_frame(raw,
                    (struct smf_frame){
                        .flags = SMF_FRAME_RESET, .session = session, .meta = SMF_CODE_CANCELLED},
                    "");
}

/* The frame at *at of what a peer got; 0: there is no whole one. Its checksum is checked. */
static inline int raw_next2(const struct raw *raw, size_t *at, struct smf_frame *frame_out,
                            const uint8_t **payload_out)
{
    if (raw->got_size - *at < HEADER)
        return 0;
    smf_frame_decode(raw->got + *at, frame_out);
    if (raw->got_size - *at - HEADER < frame_out->size)
        return 0;
    *payload_out = raw->got + *at + HEADER;
    CHECK_EQ(smf_frame_check_level2(frame_out), SMF_FRAME_GOOD);
    CHECK_EQ(smf_frame_checksum_level2(frame_out, *payload_out, frame_out->size),
             frame_out->checksum);
    *at += HEADER + frame_out->size;
    return 1;
}

/* Forgets what a peer got. */
static inline void raw_forget(struct raw *raw)
{
    raw->got_size = 0;
}

/* The only frame that a peer got since it forgot; forgets it. */
static inline struct smf_frame raw_only(struct raw *raw, uint8_t *payload_out)
{
    struct smf_frame frame;
    const uint8_t *payload;
    size_t at = 0;

    CHECK(raw_next2(raw, &at, &frame, &payload));
    CHECK_EQ(at, raw->got_size);
    if (payload_out != NULL)
        memcpy(payload_out, payload, frame.size);
    raw_forget(raw);
    return frame;
}

/* Hello. */

static inline struct smf__hello hello_good(void)
{
    return (struct smf__hello){.level = 2,
                               .frame_size_bytes_max = 16u << 20,
                               .calls_max = 4096,
                               .credit_bytes = 256u << 10,
                               .message_size_bytes_max = 64u << 20};
}

/* Writes the table to bytes_out, of SMF__HELLO_SIZE_BYTES_MAX; returns its size. */
static inline uint32_t hello_table(uint8_t *bytes_out, const struct smf__hello *hello)
{
    uint8_t memory[SMF__HELLO_SIZE_BYTES_MAX];
    struct smf_flat_builder builder;

    smf_flat_builder_init(&builder, memory, sizeof memory);
    CHECK_EQ(smf__hello_write(&builder, hello), SMF_OK);
    memcpy(bytes_out, smf_flat_payload(&builder), smf_flat_size_bytes(&builder));
    return (uint32_t)smf_flat_size_bytes(&builder);
}

static inline size_t hello_frame(uint8_t *bytes_out, const struct smf__hello *hello)
{
    uint8_t payload[SMF__HELLO_SIZE_BYTES_MAX];
    uint32_t size = hello_table(payload, hello);

    return frame_make(bytes_out, 1, SMF__HELLO_METHOD_ID, payload, size);
}

/* Sends Hello, and reads the answer, which is of level 1: its status, and the table if it is 200. */
static inline uint32_t raw_hello(struct raw *raw, const struct smf__hello *hello,
                                 struct smf__hello *answer_out)
{
    uint8_t bytes[256];
    struct smf_frame frame;
    const uint8_t *payload;
    size_t at = 0;

    CHECK(raw_send(raw, bytes, hello_frame(bytes, hello)));
    world_run(raw->world, 5);
    CHECK(raw_next(raw, &at, &frame, &payload));
    CHECK_EQ(at, raw->got_size);
    CHECK_EQ(frame.session, 1);
    if (frame.meta == SMF_CODE_OK)
        CHECK_EQ(smf__hello_read(payload, frame.size, answer_out, NULL), SMF_OK);
    raw_forget(raw);
    return frame.meta;
}

/* A peer of level 2. */
static inline struct raw *raw_open2(struct world *world)
{
    struct raw *raw = raw_open(world);
    struct smf__hello hello = hello_good(), answer;

    CHECK_EQ(raw_hello(raw, &hello, &answer), SMF_CODE_OK);
    return raw;
}

/* A connection of the client core, of level 2. */
static inline uint64_t client_open2(struct world *world)
{
    struct smf_error error;
    uint64_t conn;

    CHECK_EQ(
        smf_core_connect_with(world->client, WORLD_ADDRESS, 7, SMF_CONNECT_HELLO, &conn, &error),
        SMF_OK);
    world_run(world, 5);
    CHECK_EQ(last_note(world, 0, SMF_EVENT_CONNECTED)->conn, conn);
    return conn;
}

/* A metadata block with one entry; returns its size. */
static inline uint32_t block_make(uint8_t *bytes_out, uint32_t value_size)
{
    struct smf_metadata_writer writer;
    static uint8_t value[SMF_METADATA_SIZE_BYTES_MAX];
    uint32_t size;

    memset(value, 'v', sizeof value);
    smf_metadata_begin(&writer, bytes_out, SMF_METADATA_SIZE_BYTES_MAX, 250000);
    CHECK_EQ(smf_metadata_add(&writer, "key", 3, value, value_size), SMF_OK);
    CHECK_EQ(smf_metadata_end(&writer, &size), SMF_OK);
    return size;
}

#endif
