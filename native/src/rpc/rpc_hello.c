/* How a connection becomes one of level 2: Hello and its answer, the last frames that it has of level 1. */
#include <string.h>

#include <smf/code.h>
#include <smf/metadata.h>

#include "frame/frame_inline.h"
#include "mem/mem_count.h"
#include "rpc/rpc_hello_table.h"
#include "rpc/rpc_level2.h"

#define NS_PER_MS 1000000ull
#define HELLO_SESSION 1u
#define CHECKSUM_PAD_BYTES 4u
/* The peer can't take a slice with its metadata block and size if it takes less in a frame. */
#define FRAME_SIZE_MIN_BYTES                                                                       \
    (SMF__SLICE_SIZE_BYTES + SMF_METADATA_SIZE_BYTES_MAX + SMF_FRAME_MESSAGE_SIZE_BYTES)

static uint32_t min_u32(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

/* What we offer. */
static void ours(const struct smf__rpc *rpc, struct smf__hello *hello_out)
{
    const struct smf__rpc_config *config = &rpc->config;

    *hello_out = (struct smf__hello){
        .level = 2,
        .compressions = config->compressions,
        .frame_size_bytes_max = min_u32(config->frame_size_bytes_max, UINT32_MAX),
        .calls_max = config->in_flight_max,
        .credit_bytes = config->credit_bytes,
        .message_size_bytes_max = config->message_size_bytes_max,
    };
}

/* The lower of each, and what both have. 0: nothing can be agreed on. */
static int agree(const struct smf__rpc *rpc, const struct smf__hello *theirs,
                 struct smf_level *agreed_out)
{
    struct smf__hello us;

    ours(rpc, &us);
    *agreed_out = (struct smf_level){
        .level = 2,
        .compressions = us.compressions & theirs->compressions,
        .features = us.features & theirs->features,
        .frame_size_bytes_max = min_u32(us.frame_size_bytes_max, theirs->frame_size_bytes_max),
        .calls_max = min_u32(us.calls_max, theirs->calls_max),
        .credit_bytes = min_u32(us.credit_bytes, theirs->credit_bytes),
        .message_size_bytes_max = us.message_size_bytes_max < theirs->message_size_bytes_max
                                      ? us.message_size_bytes_max
                                      : theirs->message_size_bytes_max,
    };
    return theirs->level >= 2 && theirs->credit_bytes >= SMF__CREDIT_MIN_BYTES &&
           theirs->frame_size_bytes_max >= FRAME_SIZE_MIN_BYTES && theirs->calls_max != 0 &&
           theirs->message_size_bytes_max != 0;
}

int smf__hello_can(const struct smf__rpc *rpc)
{
    return rpc->config.level >= 2 && rpc->config.frame_size_bytes_max >= FRAME_SIZE_MIN_BYTES;
}

/* A frame of level 1: a checksum of 0 is avoided with zeros behind the payload. */
static void put_level1(struct smf__conn *conn, uint16_t session, uint32_t meta, uint8_t *payload,
                       uint32_t size, uint32_t capacity)
{
    while (smf__frame_checksum(payload, size) == 0) {
        smf__check(size + CHECKSUM_PAD_BYTES <= capacity);
        memset(payload + size, 0, CHECKSUM_PAD_BYTES);
        size += CHECKSUM_PAD_BYTES;
    }
    smf__put(conn, (struct smf_frame){.session = session, .size = size, .meta = meta}, payload);
}

/* The connection is of level 2 from the next byte on. */
static void begin_level2(struct smf__conn *conn, const struct smf_level *agreed)
{
    conn->agreed = *agreed;
    conn->level = 2;
    conn->mode = SMF__MODE_LEVEL2;
    smf__count(conn->rpc->stats.connections_level2, 1);
}

/* The peer's Hello. */
static uint32_t answer(struct smf__conn *conn, const uint8_t *payload, struct smf_level *agreed_out)
{
    struct smf__rpc *rpc = conn->rpc;
    struct smf__hello theirs;

    if (conn->frame.compression > SMF_COMPRESSION_DISABLED ||
        !smf__hello_read(payload, conn->frame.size, &theirs) || !agree(rpc, &theirs, agreed_out))
        return SMF_CODE_BAD_REQUEST;
    conn->running = smf__pool_get(rpc->core->pool, SMF__RUNNING_SIZE_BYTES);
    if (conn->running == NULL)
        return SMF_CODE_UNAVAILABLE;
    memset(conn->running->data, 0, SMF__RUNNING_SIZE_BYTES);
    return SMF_CODE_OK;
}

static int take_hello(struct smf__conn *conn, const uint8_t *payload)
{
    struct smf__rpc *rpc = conn->rpc;
    uint8_t reply[SMF__HELLO_SIZE_BYTES + 2 * CHECKSUM_PAD_BYTES];
    struct smf_level agreed;
    uint32_t status = answer(conn, payload, &agreed);
    struct smf__hello hello;

    if (status != SMF_CODE_OK) {
        smf__count(rpc->stats.hellos_refused, 1);
        memcpy(reply, smf__empty_table, sizeof smf__empty_table);
        put_level1(conn, conn->frame.session, status, reply, sizeof smf__empty_table, sizeof reply);
        return conn->state == SMF__CONN_OPEN;
    }
    smf__count(rpc->stats.hellos, 1);
    hello = (struct smf__hello){.level = 2,
                                .features = agreed.features,
                                .compressions = agreed.compressions,
                                .frame_size_bytes_max = agreed.frame_size_bytes_max,
                                .calls_max = agreed.calls_max,
                                .credit_bytes = agreed.credit_bytes,
                                .message_size_bytes_max = agreed.message_size_bytes_max};
    smf__hello_write(&hello, reply);
    put_level1(conn, conn->frame.session, SMF_CODE_OK, reply, SMF__HELLO_SIZE_BYTES, sizeof reply);
    begin_level2(conn, &agreed);
    return conn->state == SMF__CONN_OPEN;
}

/* Our side: the answer has come. What was held goes out in the order in which it was sent. */
static int take_answer(struct smf__conn *conn, const uint8_t *payload)
{
    struct smf__rpc *rpc = conn->rpc;
    const struct smf_frame *frame = &conn->frame;
    struct smf__hello theirs;
    struct smf_level agreed;

    if (frame->session != HELLO_SESSION || frame->meta != SMF_CODE_OK ||
        frame->compression > SMF_COMPRESSION_DISABLED ||
        !smf__hello_read(payload, frame->size, &theirs) || !agree(rpc, &theirs, &agreed)) {
        smf__conn_close(conn, SMF_CLOSE_NOT_LEVEL2);
        return 0;
    }
    begin_level2(conn, &agreed);
    smf__rpc_event(rpc, conn, SMF_EVENT_CONNECTED);
    while (conn->held_first != NULL && conn->state != SMF__CONN_CLOSED) {
        struct smf__segment *segment = conn->held_first;
        struct smf_send send = {
            .frames = segment->data, .size_bytes = segment->size_bytes, .buffer = segment->buffer};

        conn->held_first = segment->next;
        conn->held_bytes -= segment->size_bytes;
        smf__level2_send(conn, &send, &send + 1);
        smf__segment_free(rpc, segment);
    }
    if (conn->state == SMF__CONN_CLOSED)
        return 0;
    conn->held_last = NULL;
    smf__conn_interest(conn);
    return 1;
}

int smf__hello_take(struct smf__conn *conn, const uint8_t *payload)
{
    if (conn->mode == SMF__MODE_ASKING)
        return take_answer(conn, payload);
    conn->mode = SMF__MODE_LEVEL1;
    if (conn->frame.meta != conn->rpc->hello_method_id || !smf__hello_can(conn->rpc))
        return SMF__HELLO_IS_NONE;
    return take_hello(conn, payload);
}

void smf__hello_ask(struct smf__conn *conn)
{
    struct smf__rpc *rpc = conn->rpc;
    uint8_t request[SMF__HELLO_SIZE_BYTES + 2 * CHECKSUM_PAD_BYTES];
    struct smf__hello hello;

    ours(rpc, &hello);
    smf__hello_write(&hello, request);
    put_level1(conn, HELLO_SESSION, rpc->hello_method_id, request, SMF__HELLO_SIZE_BYTES,
               sizeof request);
    smf__put_flush(rpc);
    if (conn->state == SMF__CONN_CLOSED)
        return;
    conn->timing = SMF_CLOSE_HELLO_TIMEOUT;
    smf__timer_start(rpc->core->timers, &conn->read_timer,
                     rpc->core->turn.now_ns + SMF_HELLO_TIMEOUT_MS * NS_PER_MS);
    smf__conn_interest(conn);
}

void smf__hello_hold(struct smf__conn *conn, const struct smf_send *send)
{
    struct smf__rpc *rpc = conn->rpc;
    struct smf__segment *segment = smf__segment_new(rpc);
    struct smf_buffer *copy = smf__pool_get(rpc->core->pool, send->size_bytes);

    if (segment == NULL || copy == NULL) {
        if (copy != NULL)
            smf__buffer_unref(rpc->core->pool, copy);
        if (segment != NULL) {
            segment->next = rpc->free_segments;
            rpc->free_segments = segment;
        }
        smf__conn_close(conn, SMF_CLOSE_NO_MEMORY);
        return;
    }
    memcpy(copy->data, send->frames, send->size_bytes);
    *segment =
        (struct smf__segment){.buffer = copy, .data = copy->data, .size_bytes = send->size_bytes};
    if (conn->held_last != NULL)
        conn->held_last->next = segment;
    else
        conn->held_first = segment;
    conn->held_last = segment;
    conn->held_bytes += send->size_bytes;
}

void smf__hello_forget(struct smf__conn *conn)
{
    while (conn->held_first != NULL) {
        struct smf__segment *segment = conn->held_first;

        conn->held_first = segment->next;
        smf__segment_free(conn->rpc, segment);
    }
    conn->held_last = NULL;
    conn->held_bytes = 0;
}

uint32_t smf__hello_reason(const struct smf__conn *conn, uint32_t reason)
{
    if (conn->state != SMF__CONN_OPEN)
        return reason;
    switch (reason) {
    case SMF_CLOSE_BY_US:
    case SMF_CLOSE_HELLO_TIMEOUT:
    case SMF_CLOSE_SLOW_READER:
    case SMF_CLOSE_NO_MEMORY:
        return reason;
    default:
        return SMF_CLOSE_NOT_LEVEL2;
    }
}
