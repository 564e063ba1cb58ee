/* The bar: the fastest echo server that we know how to write in C on epoll, for the shape of work that
 * the library does, and nothing besides. One thread. Per readable connection one recv, every whole
 * frame checked, answered from a handler into memory of its own, checksummed, and one send.
 *
 * What it leaves out and a server needs: timers, limits on memory, messages between cores, handlers
 * that block, statistics. What it does not leave out: a peer that takes no replies is not read any
 * further, and bytes are never trusted before they are checked.
 *
 * One receive buffer and one send buffer serve all connections and stay in the cache; a connection
 * keeps one of its own only while it has half a frame or unsent replies. */
#include <errno.h>
#include <getopt.h>
#include <sys/epoll.h>

#include "bench_frame.h"
#include "bench_program.h"
#include "bench_table.h"

#define EVENTS_MAX 256
#define FRAME_SIZE_BYTES_MAX (BENCH_HEADER_SIZE_BYTES + (size_t)BENCH_PAYLOAD_SIZE_BYTES_MAX)
/* What one recv takes: several large frames at once, and still less than the second-level cache. */
#define RECV_SIZE_BYTES_MAX (256u << 10)
/* Replies are sent when this much waits, or when the last whole frame of a recv is answered. */
#define SEND_SIZE_BYTES (256u << 10)
/* A shorter rest of a frame than this goes to the front of the buffer for the next recv. */
#define MOVE_SIZE_BYTES (4u << 10)

struct connection {
    int fd;
    int writable_wanted; /* the kernel took only part of the replies; not read until it takes more */
    uint8_t *in;         /* half a frame, or frames that wait for unsent replies; else NULL */
    size_t in_start;
    size_t in_end;
    uint8_t *out; /* unsent replies, else NULL */
    size_t out_start;
    size_t out_end;
};

struct server {
    int epoll;
    int listener;
    int typed;
    int64_t spin_us; /* -1: never spin, -2: never sleep */
    struct bench_buffers ins;
    struct bench_buffers outs;
};

static void connection_close(struct server *server, struct connection *conn)
{
    if (conn->in != NULL) {
        bench_buffer_put(&server->ins, conn->in);
    }
    if (conn->out != NULL) {
        bench_buffer_put(&server->outs, conn->out);
    }
    close(conn->fd);
    free(conn);
}

static void connection_accept(struct server *server)
{
    int fd;
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): epoll holds the only pointer to a connection */
    while ((fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *conn = calloc(1, sizeof(*conn));
        if (conn == NULL) {
            bench_fail("out of memory");
        }
        conn->fd = fd;
        bench_nodelay(fd);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
        if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
            bench_fail("epoll_ctl: %m");
        }
    }
}

static int want(struct server *server, struct connection *conn, int writable)
{
    if (conn->writable_wanted == writable) {
        return 0;
    }
    conn->writable_wanted = writable;
    struct epoll_event event = {.events = writable ? EPOLLOUT : EPOLLIN, .data.ptr = conn};
    return epoll_ctl(server->epoll, EPOLL_CTL_MOD, conn->fd, &event);
}

/* Sends what waits. Returns 1 when all is gone, 0 when the kernel is full, -1 when the peer left. */
static int flush(struct server *server, struct connection *conn)
{
    while (conn->out_start < conn->out_end) {
        const ssize_t sent = send(conn->fd, conn->out + conn->out_start,
                                  conn->out_end - conn->out_start, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno == EAGAIN && want(server, conn, 1) == 0 ? 0 : -1;
        }
        conn->out_start += (size_t)sent;
    }
    conn->out_start = 0;
    conn->out_end = 0;
    return 1;
}

/* The echo of a table: reads the name, builds the response. Returns its size. */
static uint32_t answer_typed(const uint8_t *payload, uint32_t size_bytes, uint8_t *out,
                             uint32_t *status_out)
{
    const uint8_t *name;
    uint32_t name_size;

    if (!bench_table_name(payload, size_bytes, &name, &name_size)) {
        *status_out = BENCH_STATUS_MALFORMED;
        bench_table_build_empty(out);
        return BENCH_TABLE_EMPTY_SIZE_BYTES;
    }
    *status_out = BENCH_STATUS_OK;
    if (name == NULL) {
        bench_table_build_empty(out);
        return BENCH_TABLE_EMPTY_SIZE_BYTES;
    }
    bench_table_build(out, name, name_size);
    return bench_table_size(name_size);
}

static void answer(const struct server *server, struct connection *conn,
                   const struct bench_header *header, const uint8_t *payload)
{
    uint8_t *out = conn->out + conn->out_end;
    uint8_t *body = out + BENCH_HEADER_SIZE_BYTES;
    uint32_t size_bytes = header->size;
    uint32_t status = BENCH_STATUS_OK;

    if (server->typed) {
        size_bytes = answer_typed(payload, header->size, body, &status);
    } else {
        memcpy(body, payload, size_bytes);
    }
    bench_header_write(out, header->session, size_bytes, bench_checksum(body, size_bytes), status);
    conn->out_end += BENCH_HEADER_SIZE_BYTES + size_bytes;
}

/* Answers the whole frames in the receive buffer. Returns 0 when the connection is to be closed. A
 * table can grow when it is built anew (its sender may have shared bytes in it), by less than a
 * frame's header and front. */
static int answer_all(struct server *server, struct connection *conn)
{
    while (conn->in_end - conn->in_start >= BENCH_HEADER_SIZE_BYTES) {
        const uint8_t *frame = conn->in + conn->in_start;
        const struct bench_header header = bench_header_read(frame);
        if (!bench_header_good(&header)) {
            return 0;
        }
        const size_t size_bytes = BENCH_HEADER_SIZE_BYTES + (size_t)header.size;
        if (conn->in_end - conn->in_start < size_bytes) {
            break;
        }
        const uint8_t *payload = frame + BENCH_HEADER_SIZE_BYTES;
        if (bench_checksum(payload, header.size) != header.checksum) {
            return 0;
        }
        if (conn->out == NULL) {
            conn->out = bench_buffer_get(&server->outs);
        }
        answer(server, conn, &header, payload);
        conn->in_start += size_bytes;
        if (conn->out_end >= SEND_SIZE_BYTES) {
            const int sent = flush(server, conn);
            if (sent <= 0) {
                return sent == 0;
            }
        }
    }
    return conn->out_end == 0 || flush(server, conn) >= 0;
}

/* Gives back what the connection needs no longer, and makes room for the rest of a frame. */
static void settle(struct server *server, struct connection *conn)
{
    if (conn->out != NULL && conn->out_end == 0) {
        bench_buffer_put(&server->outs, conn->out);
        conn->out = NULL;
    }
    const size_t rest = conn->in_end - conn->in_start;
    if (conn->in == NULL) {
        return;
    }
    if (rest == 0) {
        bench_buffer_put(&server->ins, conn->in);
        conn->in = NULL;
        conn->in_start = 0;
        conn->in_end = 0;
        return;
    }
    size_t frame = BENCH_HEADER_SIZE_BYTES;
    if (rest >= BENCH_HEADER_SIZE_BYTES) {
        frame += bench_header_read(conn->in + conn->in_start).size;
    }
    if (rest < MOVE_SIZE_BYTES || conn->in_start + frame > server->ins.size_bytes) {
        memmove(conn->in, conn->in + conn->in_start, rest);
        conn->in_start = 0;
        conn->in_end = rest;
    }
}

static void connection_ready(struct server *server, struct connection *conn)
{
    if (conn->writable_wanted) {
        const int sent = flush(server, conn);
        if (sent <= 0) {
            if (sent < 0) {
                connection_close(server, conn);
            }
            return;
        }
        if (want(server, conn, 0) != 0) {
            connection_close(server, conn);
            return;
        }
    } else {
        if (conn->in == NULL) {
            conn->in = bench_buffer_get(&server->ins);
        }
        size_t room = server->ins.size_bytes - conn->in_end;
        if (room > RECV_SIZE_BYTES_MAX) {
            room = RECV_SIZE_BYTES_MAX;
        }
        const ssize_t got = recv(conn->fd, conn->in + conn->in_end, room, 0);
        if (got <= 0) {
            if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
                connection_close(server, conn);
            }
            return;
        }
        conn->in_end += (size_t)got;
    }
    if (!answer_all(server, conn)) {
        connection_close(server, conn);
        return;
    }
    settle(server, conn);
}

static void serve(struct server *server)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t last_ns = 0;

    for (;;) {
        int timeout_ms = server->spin_us == -1 ? -1 : 0;
        if (server->spin_us >= 0 && bench_now_ns() - last_ns > (uint64_t)server->spin_us * 1000) {
            timeout_ms = -1;
        }
        const int count = epoll_wait(server->epoll, events, EVENTS_MAX, timeout_ms);
        if (count < 0 && errno != EINTR) {
            bench_fail("epoll_wait: %m");
        }
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL) {
                connection_accept(server);
            } else {
                connection_ready(server, events[i].data.ptr);
            }
        }
        if (count > 0 && server->spin_us >= 0) {
            last_ns = bench_now_ns();
        }
    }
}

/* Listens on 127.0.0.1 and says where on standard output. */
static void listen_on(struct server *server, int port)
{
    const int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (server->listener < 0) {
        bench_fail("socket: %m");
    }
    setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(server->listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(server->listener, 1024) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&address, &size) != 0) {
        bench_fail("cannot listen on 127.0.0.1:%d: %m", port);
    }
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (server->epoll < 0 ||
        epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->listener, &event) != 0) {
        bench_fail("epoll: %m");
    }
    printf("listening 127.0.0.1:%d\n", ntohs(address.sin_port));
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"bytes", no_argument, NULL, 'b'},         {"typed", no_argument, NULL, 't'},
        {"port", required_argument, NULL, 'p'},    {"cpu", required_argument, NULL, 'c'},
        {"spin-us", required_argument, NULL, 's'}, {NULL, 0, NULL, 0}};
    struct server server = {.spin_us = 50,
                            .ins = {.size_bytes = FRAME_SIZE_BYTES_MAX + RECV_SIZE_BYTES_MAX},
                            .outs = {.size_bytes = FRAME_SIZE_BYTES_MAX + 64 + SEND_SIZE_BYTES}};
    int port = 0;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'b':
            server.typed = 0;
            break;
        case 't':
            server.typed = 1;
            break;
        case 'p':
            port = (int)bench_number("--port", optarg, 0, 65535);
            break;
        case 'c':
            bench_pin((int)bench_number("--cpu", optarg, 0, CPU_SETSIZE - 1));
            break;
        case 's':
            server.spin_us = bench_number("--spin-us", optarg, -2, 1000000);
            break;
        default:
            bench_fail("usage: %s [--bytes|--typed] [--port N] [--cpu N] [--spin-us N]\n"
                       "  --port 0: any free one   --spin-us -1: never spin, -2: never sleep",
                       argv[0]);
        }
    }
    listen_on(&server, port);
    serve(&server);
}
