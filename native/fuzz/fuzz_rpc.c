/* Any bytes, cut anywhere, as what a client sends to a server that echoes: no crash, every reply is a
 * whole frame that is due, and when the client has gone all memory is back.
 *
 * The input: a byte of settings, then pieces: a byte for their length and what happens behind them,
 * and the bytes. A checksum of 0xffffffff is replaced by the right one when the whole payload is in
 * the input, or no frame would ever pass. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <smf/core.h>

#include "core/core.h"
#include "net/net_sim.h"
#include "rpc/rpc.h"

#define IN_FLIGHT_MAX 8
#define ADDRESS "server"
#define INPUT_MAX_BYTES (64u << 10) /* replies are no larger than their requests */
#define SECOND_NS 1000000000ull

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

struct story {
    struct smf__clock_manual clock;
    struct smf__sim *sim;
    struct smf__net *peer;
    struct smf__stream *stream; /* NULL: over */
    struct smf_core *server;
    uint64_t requests, replies;
    int holds; /* calls are answered when a piece says so, not at once */
    int held_count;
    struct {
        uint64_t conn;
        uint16_t session;
    } held[IN_FLIGHT_MAX];
    uint8_t got[INPUT_MAX_BYTES + 1];
    size_t got_size;
};

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "fuzz_rpc: %s\n", what);
    abort();
}

static void open_server(struct story *story)
{
    struct smf__core_config config = {.clock = smf__clock_from_manual(&story->clock),
                                      .random_seed = 1,
                                      .memory_bytes = SMF__POOL_BUDGET_MIN_BYTES,
                                      .spin_us = -1,
                                      .cpu = SMF__CPU_NONE};
    struct smf__rpc_config limits = {.frame_size_bytes_max = 64u << 10,
                                     .unsent_bytes_max = 1u << 20,
                                     .in_flight_max = IN_FLIGHT_MAX,
                                     .running_max = 100,
                                     .connections_max = 4,
                                     .header_timeout_ms = 1000,
                                     .body_timeout_ms = 2000,
                                     .idle_timeout_ms = 5000,
                                     .send_timeout_ms = 3000};
    struct smf__listener *listener;
    struct smf_error error;
    struct smf__net *net;
    char bound[SMF__NET_ADDRESS_SIZE_BYTES];

    require(smf__core_open(&story->server, &config, &error) == SMF_OK, "open");
    require(smf__sim_net_open(story->sim, &net) == SMF_OK, "open");
    require(smf__rpc_open(story->server, net, &limits, &error) == SMF_OK, "open");
    require(smf__rpc_listen(smf__rpc_of(story->server), ADDRESS, NULL, &listener, bound,
                            sizeof bound, &error) == SMF_OK,
            "listen");
}

static void open_story(struct story *story, uint8_t settings)
{
    struct smf__sim_link link = {.recv_size_max = settings & 3 ? 1u << (settings & 15) : 0,
                                 .send_size_max = settings & 16 ? 100 : 0,
                                 .window_bytes = settings & 32 ? 64 : 0,
                                 .latency_ns_max = settings & 64 ? 1000000 : 0};
    struct smf_error error;

    memset(story, 0, sizeof *story);
    story->clock.now_ns = 1000 * SECOND_NS;
    story->holds = (settings & 128) != 0;
    require(smf__sim_open(&story->sim, &story->clock, settings) == SMF_OK, "open");
    require(smf__sim_net_open(story->sim, &story->peer) == SMF_OK, "open");
    open_server(story);
    smf__sim_link(story->sim, &link);
    require(story->peer->ops->connect(story->peer, ADDRESS, NULL, &story->stream, &error) == SMF_OK,
            "connect");
}

static void answer(struct story *story, uint64_t conn, uint16_t session, const void *payload,
                   uint32_t size)
{
    require(smf_core_send(story->server, conn, session, 200, payload, size) == SMF_OK, "send");
}

static void let_go(struct story *story)
{
    for (int i = 0; i < story->held_count; i++)
        answer(story, story->held[i].conn, story->held[i].session, "late", 4);
    story->held_count = 0;
}

static void serve(struct story *story)
{
    int count = smf_core_poll(story->server, SMF_WAIT_NONE);
    const struct smf_turn *turn = smf_core_turn(story->server);

    for (int i = 0; i < count; i++) {
        const struct smf_event *event = &turn->events[i];

        if (event->kind != SMF_EVENT_REQUEST)
            continue;
        story->requests++;
        require(smf_frame_checksum(event->payload, event->size_bytes) != 0, "checksum");
        if (story->holds) {
            require(story->held_count < IN_FLIGHT_MAX, "more calls in flight than allowed");
            story->held[story->held_count].conn = event->conn;
            story->held[story->held_count++].session = event->session;
            continue;
        }
        answer(story, event->conn, event->session, event->payload, event->size_bytes);
    }
}

static void listen_to_server(struct story *story)
{
    struct smf__net_event event;
    struct iovec vector = {story->got + story->got_size, sizeof story->got - story->got_size};
    int64_t size;

    if (story->peer->ops->poll(story->peer, &event, 1, 0) == 0 || story->stream == NULL ||
        !(event.kinds & SMF__NET_READABLE))
        return;
    size = story->peer->ops->recv(story->stream, &vector, 1);
    if (size > 0)
        story->got_size += (size_t)size;
    else if (size == 0 || size != -EAGAIN) {
        story->peer->ops->stream_close(story->stream);
        story->stream = NULL;
    }
}

/* One turn of everybody; when nothing happens, the clock goes on. 0: nothing can happen any more. */
static int turn_all(struct story *story, uint64_t until_ns)
{
    uint64_t before = smf__sim_trace(story->sim), next_ns, timer_ns;

    serve(story);
    listen_to_server(story);
    if (smf__sim_trace(story->sim) != before || smf_core_turn(story->server)->send_count != 0)
        return 1;
    next_ns = smf__sim_next_ns(story->sim);
    timer_ns = smf__timers_next_ns(story->server->timers);
    if (timer_ns < next_ns)
        next_ns = timer_ns;
    if (next_ns > until_ns)
        return 0;
    if (next_ns > story->clock.now_ns)
        story->clock.now_ns = next_ns;
    return 1;
}

static void run(struct story *story, uint64_t ns)
{
    uint64_t until_ns = story->clock.now_ns + ns;

    while (turn_all(story, until_ns))
        ;
    story->clock.now_ns = until_ns;
}

static void say(struct story *story, const uint8_t *bytes, size_t size)
{
    struct iovec vector = {(void *)bytes, size};

    while (vector.iov_len > 0 && story->stream != NULL) {
        int64_t sent = story->peer->ops->send(story->stream, &vector, 1);

        if (sent == -EAGAIN) {
            if (!turn_all(story, story->clock.now_ns + SECOND_NS))
                return;
            continue;
        }
        if (sent < 0)
            return;
        vector.iov_base = (uint8_t *)vector.iov_base + sent;
        vector.iov_len -= (size_t)sent;
    }
}

/* Walks over the frames as a server would, and puts the checksums right that ask for it. */
static void mend(uint8_t *bytes, size_t size)
{
    size_t at = 0;

    while (size - at >= SMF_FRAME_HEADER_SIZE_BYTES) {
        struct smf_frame frame;

        smf_frame_decode(bytes + at, &frame);
        if (frame.size > size - at - SMF_FRAME_HEADER_SIZE_BYTES)
            return;
        if (frame.checksum == UINT32_MAX) {
            frame.checksum =
                smf_frame_checksum(bytes + at + SMF_FRAME_HEADER_SIZE_BYTES, frame.size);
            smf_frame_encode(&frame, bytes + at);
        }
        at += SMF_FRAME_HEADER_SIZE_BYTES + frame.size;
    }
}

static void check_replies(struct story *story)
{
    size_t at = 0;

    while (story->got_size - at >= SMF_FRAME_HEADER_SIZE_BYTES) {
        struct smf_frame frame;

        smf_frame_decode(story->got + at, &frame);
        require(smf_frame_check_level1(&frame) == SMF_FRAME_GOOD, "a bad header was sent");
        at += SMF_FRAME_HEADER_SIZE_BYTES;
        if (frame.size > story->got_size - at)
            break;
        require(smf_frame_checksum(story->got + at, frame.size) == frame.checksum, "a bad reply");
        at += frame.size;
        story->replies++;
    }
    require(story->replies <= story->requests, "more replies than requests");
}

static void tell(struct story *story, const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size + 1), *ends = calloc(1, size + 1);
    size_t total = 0, begin = 0;

    require(bytes != NULL && ends != NULL, "memory");
    while (size > 0) { /* ends[i]: what happens behind byte i */
        size_t piece = 1 + (*data & 63u);

        if (piece > size - 1)
            piece = size - 1;
        memcpy(bytes + total, data + 1, piece);
        total += piece;
        if (total > 0)
            ends[total - 1] = 1 + (*data >> 6);
        data += piece + 1;
        size -= piece + 1;
    }
    mend(bytes, total);
    for (size_t i = 0; i < total; i++) {
        if (ends[i] == 0)
            continue;
        say(story, bytes + begin, i + 1 - begin);
        begin = i + 1;
        if (ends[i] == 4)
            let_go(story);
        if (ends[i] > 1)
            run(story, ends[i] == 2 ? 1000 : ends[i] == 3 ? SECOND_NS / 1000 : SECOND_NS / 2);
    }
    free(bytes);
    free(ends);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static struct story story;
    struct smf_core_stats stats;

    if (size_bytes < 2 || size_bytes > INPUT_MAX_BYTES)
        return 0;
    open_story(&story, data[0]);
    run(&story, SECOND_NS / 1000);
    tell(&story, data + 1, size_bytes - 1);
    if (data[0] & 8) /* waits for its replies, or leaves as it is */
        run(&story, SECOND_NS / 100);
    check_replies(&story);
    if (story.stream != NULL)
        story.peer->ops->stream_close(story.stream);
    story.stream = NULL;
    run(&story, SECOND_NS);
    while (story.held_count != 0) { /* what was paused goes on when these are answered */
        let_go(&story);
        run(&story, SECOND_NS);
    }
    run(&story, 20 * SECOND_NS);
    require(smf_core_turn(story.server)->connections == 0, "a connection is left");
    require(smf_core_turn(story.server)->in_flight == 0, "a call is left");
    require(smf_core_turn(story.server)->unsent == 0, "unsent bytes are left");
    smf_core_stats(story.server, &stats);
    require(stats.memory_used_bytes <= 2 * SMF__RPC_CHUNK_SIZE_BYTES, "memory is left");
    smf__core_close(story.server);
    story.peer->ops->close(story.peer);
    smf__sim_close(story.sim);
    return 0;
}
