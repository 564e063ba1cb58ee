/* How a connection becomes one of level 2: Hello and its answer, the last frames that it has of level 1. */
#include <string.h>

#include <smf/code.h>

#include "frame/frame_hello.h"
#include "frame/frame_inline.h"
#include "mem/mem_count.h"
#include "rpc/rpc_level2.h"

#define NS_PER_MS 1000000ull
#define HELLO_SESSION 1u
#define CHECKSUM_PAD_BYTES 4u

_Static_assert(SMF__HELLO_CREDIT_BYTES_MIN == SMF__CREDIT_MIN_BYTES, "a slice, for both");

/* A table, with room behind it for zeros. */
struct table {
    uint8_t bytes[SMF__HELLO_SIZE_BYTES_MAX + 2 * CHECKSUM_PAD_BYTES];
    uint32_t size;
};

static void write_table(const struct smf__hello *hello, struct table *table_out)
{
    uint8_t memory[SMF__HELLO_SIZE_BYTES_MAX];
    struct smf_flat_builder builder;

    smf_flat_builder_init(&builder, memory, sizeof memory);
    smf__check(smf__hello_write(&builder, hello) == SMF_OK);
    table_out->size = (uint32_t)smf_flat_size_bytes(&builder);
    memcpy(table_out->bytes, smf_flat_payload(&builder), table_out->size);
}

_Static_assert(SMF_CONNECT_ZSTD == 1u << SMF_COMPRESSION_ZSTD, "flags are Hello's bits");
_Static_assert(SMF_CONNECT_LZ4 == 1u << SMF_COMPRESSION_LZ4, "likewise");

/* What we offer. */
static struct smf__hello ours(const struct smf__conn *conn)
{
    const struct smf__rpc_config *config = &conn->rpc->config;

    return (struct smf__hello){
        .level = 2,
        .compressions = config->compressions | conn->offers,
        .frame_size_bytes_max = (uint32_t)config->frame_size_bytes_max,
        .calls_max = config->in_flight_max,
        .credit_bytes = config->credit_bytes,
        .message_size_bytes_max = config->message_size_bytes_max,
    };
}

int smf__hello_can(const struct smf__rpc *rpc)
{
    return rpc->config.level >= 2 &&
           rpc->config.frame_size_bytes_max >= SMF__HELLO_FRAME_SIZE_BYTES_MIN;
}

/* Reads what a peer offers, and what is used then. 0: it is no Hello. */
static int agree(const struct smf__conn *conn, const uint8_t *payload,
                 struct smf__hello *agreed_out)
{
    struct smf__hello us = ours(conn), theirs;

    if (conn->frame.compression > SMF_COMPRESSION_DISABLED ||
        smf__hello_read(payload, conn->frame.size, &theirs, NULL) != SMF_OK)
        return 0;
    smf__hello_agree(&us, &theirs, agreed_out);
    return 1;
}

/* A frame of level 1: a checksum of 0 is avoided with zeros behind the table. */
static void put_level1(struct smf__conn *conn, uint16_t session, uint32_t meta, struct table *table)
{
    while (smf__frame_checksum(table->bytes, table->size) == 0) {
        smf__check(table->size + CHECKSUM_PAD_BYTES <= sizeof table->bytes);
        memset(table->bytes + table->size, 0, CHECKSUM_PAD_BYTES);
        table->size += CHECKSUM_PAD_BYTES;
    }
    smf__put(conn, (struct smf_frame){.session = session, .size = table->size, .meta = meta},
             table->bytes);
}

/* The connection is of level 2 from the next byte on. */
static void begin_level2(struct smf__conn *conn, const struct smf__hello *agreed)
{
    conn->agreed = (struct smf_level){
        .level = agreed->level,
        .compressions = agreed->compressions,
        .features = agreed->features,
        .frame_size_bytes_max = agreed->frame_size_bytes_max,
        .calls_max = agreed->calls_max,
        .credit_bytes = agreed->credit_bytes,
        .message_size_bytes_max = agreed->message_size_bytes_max,
    };
    conn->level = 2;
    conn->mode = SMF__MODE_LEVEL2;
    smf__count(conn->rpc->stats.connections_level2, 1);
}

/* What a level-2 connection that we accepted needs. */
static int get_running(struct smf__conn *conn)
{
    conn->running = smf__pool_get(conn->rpc->core->pool, SMF__RUNNING_SIZE_BYTES);
    if (conn->running == NULL)
        return 0;
    memset(conn->running->data, 0, SMF__RUNNING_SIZE_BYTES);
    return 1;
}

/* The peer's Hello. One of level 1 is told so, and stays there. */
static int take_hello(struct smf__conn *conn, const uint8_t *payload)
{
    struct smf__rpc *rpc = conn->rpc;
    struct table table;
    struct smf__hello agreed = {0};
    uint32_t status = SMF_CODE_OK;

    if (!agree(conn, payload, &agreed))
        status = SMF_CODE_BAD_REQUEST;
    else if (agreed.level >= 2 && !get_running(conn))
        status = SMF_CODE_UNAVAILABLE;
    if (status == SMF_CODE_OK) {
        write_table(&agreed, &table);
    } else {
        smf__count(rpc->stats.hellos_refused, 1);
        table.size = sizeof smf__empty_table;
        memcpy(table.bytes, smf__empty_table, table.size);
    }
    put_level1(conn, conn->frame.session, status, &table);
    if (conn->state == SMF__CONN_OPEN && status == SMF_CODE_OK && agreed.level >= 2) {
        smf__count(rpc->stats.hellos, 1);
        begin_level2(conn, &agreed);
        if (conn->draining) /* others were told when that began */
            smf__rpc_send_away(conn);
        rpc->core->hurry |= rpc->drain_over;
    }
    return conn->state == SMF__CONN_OPEN;
}

/* Our side: the answer has come. What was held goes out in the order in which it was sent. */
static int take_answer(struct smf__conn *conn, const uint8_t *payload)
{
    struct smf__rpc *rpc = conn->rpc;
    const struct smf_frame *frame = &conn->frame;
    struct smf__hello agreed;

    if (frame->session != HELLO_SESSION || frame->meta != SMF_CODE_OK ||
        !agree(conn, payload, &agreed) || agreed.level < 2) {
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
    if (conn->frame.meta != SMF__HELLO_METHOD_ID || !smf__hello_can(conn->rpc))
        return SMF__HELLO_IS_NONE;
    return take_hello(conn, payload);
}

void smf__hello_ask(struct smf__conn *conn)
{
    struct smf__rpc *rpc = conn->rpc;
    struct smf__hello hello = ours(conn);
    struct table table;

    write_table(&hello, &table);
    put_level1(conn, HELLO_SESSION, SMF__HELLO_METHOD_ID, &table);
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
