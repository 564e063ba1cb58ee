/* The load client of the benchmarks: one thread that spins on one CPU over any number of connections.
 *
 * Closed loop: every connection keeps --depth calls in flight. A session is a slot: its reply sends the
 * next call on the same session, so replies may come in any order.
 * Open loop (--rate): call i is due at start + i / rate on connection i mod --conns, whether or not
 * earlier ones were answered, and its latency counts from then: a stall of the server or of this
 * program shows in every call that it delayed.
 *
 * Requests are sent out of one image of frames that lies ready: only session and method are written. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "bench_frame.h"
#include "bench_histogram.h"
#include "bench_program.h"
#include "bench_results.h"
#include "bench_table.h"

#define EVENTS_MAX 256
#define CONNECTIONS_MAX 20000
#define DEPTH_MAX 65535 /* a session is 16 bits, and 0 is not used */
#define IMAGE_SIZE_BYTES (256u << 10)
#define RECV_SIZE_BYTES_MAX (256u << 10)
#define MOVE_SIZE_BYTES (4u << 10)
#define VERIFY_EVERY 1024
#define SLEEP_NS_MAX 1000000l
#define DRAIN_NS 3000000000u /* how long an open loop waits for the last replies */

enum verify { VERIFY_OFF, VERIFY_SAMPLE, VERIFY_ALL };

struct options {
    const char *address;
    int conns;
    int depth;
    uint32_t payload_size_bytes; /* of the name when typed */
    int typed;
    uint32_t methods[2];
    double share2; /* percent of the calls that go to methods[1] */
    double rate;   /* calls per second of all connections; 0: closed loop */
    double seconds;
    double warmup;
    enum verify verify;
    int json;
    int sleep; /* wait for replies asleep: for a client that must leave its CPU to another one */
    int server_pid;
};

struct call {
    uint64_t start_ns;
    uint8_t method; /* index */
    uint8_t open;
};

struct connection {
    int fd;
    int writable_wanted;
    uint8_t *in; /* half a reply, else NULL */
    size_t in_start;
    size_t in_end;
    uint8_t *out; /* what the kernel did not take, else NULL */
    size_t out_start;
    size_t out_end;
    size_t out_capacity;
    struct call *calls; /* [depth + 1], by session */
    uint16_t *free;     /* sessions without a call, a stack */
    uint32_t free_count;
    uint64_t next_index; /* open loop: its next call */
};

struct client {
    struct options options;
    int epoll;
    struct connection *conns;
    uint8_t *image; /* image_frames requests, back to back */
    uint32_t image_frames;
    uint32_t frame_size_bytes;
    uint32_t request_size_bytes;
    struct bench_buffers ins;
    uint64_t replies;
    uint64_t calls; /* counts calls for the pattern of methods */
    uint32_t share2_of_2_32;
    uint64_t start_ns;
    uint64_t window_start_ns;
    uint64_t window_end_ns;
    double period_ns;   /* open loop */
    uint64_t due_index; /* open loop: calls below it are due */
    int done;
    struct bench_results results;
};

/* Whether the i-th call goes to the second method: multiples of the golden ratio are spread evenly
 * over any stretch of calls and over the connections. */
static int call_method(const struct client *client, uint64_t index)
{
    return (uint32_t)(index * 2654435769u) < client->share2_of_2_32;
}

static void image_build(struct client *client)
{
    const struct options *options = &client->options;
    const uint32_t name_size = options->payload_size_bytes;

    client->request_size_bytes = options->typed ? bench_table_size(name_size) : name_size;
    client->frame_size_bytes = BENCH_HEADER_SIZE_BYTES + client->request_size_bytes;
    client->image_frames = IMAGE_SIZE_BYTES / client->frame_size_bytes;
    if (client->image_frames > (uint32_t)options->depth) {
        client->image_frames = (uint32_t)options->depth;
    }
    if (client->image_frames == 0) {
        client->image_frames = 1;
    }
    uint8_t *name = malloc(name_size);
    client->image = malloc((size_t)client->image_frames * client->frame_size_bytes);
    if (name == NULL || client->image == NULL) {
        bench_fail("out of memory");
    }
    for (uint32_t i = 0; i < name_size; i++) {
        name[i] = options->typed ? (uint8_t)('a' + i % 26) : (uint8_t)(i * 131 + i / 256 + 1);
    }
    for (uint32_t i = 0; i < client->image_frames; i++) {
        uint8_t *frame = client->image + (size_t)i * client->frame_size_bytes;
        uint8_t *payload = frame + BENCH_HEADER_SIZE_BYTES;
        if (options->typed) {
            bench_table_build(payload, name, name_size);
        } else {
            memcpy(payload, name, name_size);
        }
        bench_header_write(frame, 0, client->request_size_bytes,
                           bench_checksum(payload, client->request_size_bytes),
                           options->methods[0]);
    }
    free(name);
}

static void want(struct client *client, struct connection *conn, int writable)
{
    if (conn->writable_wanted == writable) {
        return;
    }
    conn->writable_wanted = writable;
    struct epoll_event event = {.events = EPOLLIN | (writable ? EPOLLOUT : 0), .data.ptr = conn};
    if (epoll_ctl(client->epoll, EPOLL_CTL_MOD, conn->fd, &event) != 0) {
        bench_fail("epoll_ctl: %m");
    }
}

/* Sends as much as the kernel takes. */
static size_t send_some(const struct connection *conn, const uint8_t *bytes, size_t size_bytes)
{
    size_t sent = 0;
    while (sent < size_bytes) {
        const ssize_t count = send(conn->fd, bytes + sent, size_bytes - sent, MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN) {
            break;
        }
        if (count < 0 && errno != EINTR) {
            bench_fail("send: %m");
        }
        sent += count > 0 ? (size_t)count : 0;
    }
    return sent;
}

/* Sends frames of the image, behind what may wait already. */
static void send_frames(struct client *client, struct connection *conn, size_t size_bytes)
{
    size_t sent = 0;
    if (conn->out_end == conn->out_start) {
        sent = send_some(conn, client->image, size_bytes);
        if (sent == size_bytes) {
            return;
        }
        conn->out_start = 0;
        conn->out_end = 0;
    }
    const size_t rest = size_bytes - sent;
    if (conn->out_start != 0 && conn->out_end + rest > conn->out_capacity) {
        memmove(conn->out, conn->out + conn->out_start, conn->out_end - conn->out_start);
        conn->out_end -= conn->out_start;
        conn->out_start = 0;
    }
    if (conn->out_end + rest > conn->out_capacity) {
        conn->out_capacity = (conn->out_end + rest) * 2;
        conn->out = realloc(conn->out, conn->out_capacity);
        if (conn->out == NULL) {
            bench_fail("out of memory");
        }
    }
    memcpy(conn->out + conn->out_end, client->image + sent, rest);
    conn->out_end += rest;
    want(client, conn, 1);
}

/* Closed loop: a call on every session without one. */
static void issue_closed(struct client *client, struct connection *conn)
{
    while (conn->free_count != 0) {
        uint32_t count = conn->free_count;
        if (count > client->image_frames) {
            count = client->image_frames;
        }
        const uint64_t now_ns = bench_now_ns();
        uint8_t *frame = client->image;
        for (uint32_t i = 0; i < count; i++, frame += client->frame_size_bytes) {
            const uint16_t session = conn->free[--conn->free_count];
            const int method = call_method(client, client->calls++);
            struct call *call = &conn->calls[session];
            call->start_ns = now_ns;
            call->method = (uint8_t)method;
            call->open = 1;
            memcpy(frame + 2, &session, sizeof(session));
            memcpy(frame + 12, &client->options.methods[method], sizeof(uint32_t));
        }
        send_frames(client, conn, (size_t)count * client->frame_size_bytes);
    }
}

static uint64_t due_ns(const struct client *client, uint64_t index)
{
    return client->start_ns + (uint64_t)((double)index * client->period_ns);
}

/* Open loop: the calls of this connection that are due, as far as there are sessions for them. */
static void issue_open(struct client *client, struct connection *conn)
{
    const uint64_t step = (uint64_t)client->options.conns;
    while (conn->next_index < client->due_index) {
        uint32_t count = 0;
        uint8_t *frame = client->image;
        while (count < client->image_frames && conn->next_index < client->due_index &&
               conn->free_count != 0) {
            const uint16_t session = conn->free[--conn->free_count];
            const int method = call_method(client, conn->next_index);
            struct call *call = &conn->calls[session];
            call->start_ns = due_ns(client, conn->next_index);
            call->method = (uint8_t)method;
            call->open = 1;
            memcpy(frame + 2, &session, sizeof(session));
            memcpy(frame + 12, &client->options.methods[method], sizeof(uint32_t));
            frame += client->frame_size_bytes;
            conn->next_index += step;
            count++;
        }
        if (count == 0) {
            return;
        }
        send_frames(client, conn, (size_t)count * client->frame_size_bytes);
    }
}

static void issue_due(struct client *client, uint64_t now_ns)
{
    const uint64_t until_ns = now_ns < client->window_end_ns ? now_ns : client->window_end_ns;
    while (due_ns(client, client->due_index) < until_ns) {
        struct connection *conn =
            &client->conns[client->due_index % (uint64_t)client->options.conns];
        client->due_index++;
        client->results.held_back += conn->free_count == 0;
        issue_open(client, conn);
    }
}

/* Whether a reply's payload is the echo of the request, checksum included. */
static int reply_good(const struct client *client, const struct bench_header *header,
                      const uint8_t *payload)
{
    const uint8_t *sent = client->image + BENCH_HEADER_SIZE_BYTES;
    if (bench_checksum(payload, header->size) != header->checksum) {
        return 0;
    }
    if (!client->options.typed) {
        return memcmp(payload, sent, header->size) == 0;
    }
    const uint8_t *name;
    uint32_t name_size;
    return bench_table_name(payload, header->size, &name, &name_size) && name != NULL &&
           name_size == client->options.payload_size_bytes &&
           memcmp(name, sent + BENCH_TABLE_NAME_OFFSET, name_size) == 0;
}

static void reply_check(struct client *client, const struct bench_header *header,
                        const uint8_t *payload)
{
    const enum verify verify = client->options.verify;
    struct bench_results *results = &client->results;

    client->replies++;
    if (verify == VERIFY_OFF) {
        return;
    }
    if (header->meta != BENCH_STATUS_OK) {
        results->bad_status++;
    } else if (header->size != client->request_size_bytes ||
               ((verify == VERIFY_ALL || client->replies % VERIFY_EVERY == 1) &&
                !reply_good(client, header, payload))) {
        results->bad_content++;
    }
}

/* Closed loop: what is answered in the window counts. Open loop: what was due in it. */
static int in_window(const struct client *client, const struct call *call, uint64_t now_ns)
{
    const uint64_t when_ns = client->options.rate > 0 ? call->start_ns : now_ns;
    return when_ns >= client->window_start_ns && when_ns < client->window_end_ns;
}

static void replies_take(struct client *client, struct connection *conn)
{
    const uint64_t now_ns = bench_now_ns();
    while (conn->in_end - conn->in_start >= BENCH_HEADER_SIZE_BYTES) {
        const uint8_t *frame = conn->in + conn->in_start;
        const struct bench_header header = bench_header_read(frame);
        if (header.size > BENCH_PAYLOAD_SIZE_BYTES_MAX) {
            bench_fail("a reply of %u bytes: this is no frame", header.size);
        }
        if (conn->in_end - conn->in_start < BENCH_HEADER_SIZE_BYTES + header.size) {
            break;
        }
        conn->in_start += BENCH_HEADER_SIZE_BYTES + header.size;
        struct call *call = &conn->calls[header.session];
        if (header.session == 0 || header.session > client->options.depth || !call->open) {
            client->results.bad_session++;
            continue;
        }
        reply_check(client, &header, frame + BENCH_HEADER_SIZE_BYTES);
        if (in_window(client, call, now_ns)) {
            bench_histogram_add(&client->results.latency[call->method], now_ns - call->start_ns);
        }
        call->open = 0;
        conn->free[conn->free_count++] = header.session;
    }
}

/* Gives the buffer back, or makes room for the rest of a reply. */
static void settle(struct client *client, struct connection *conn)
{
    const size_t rest = conn->in_end - conn->in_start;
    if (rest == 0) {
        bench_buffer_put(&client->ins, conn->in);
        conn->in = NULL;
        conn->in_start = 0;
        conn->in_end = 0;
        return;
    }
    size_t frame = BENCH_HEADER_SIZE_BYTES;
    if (rest >= BENCH_HEADER_SIZE_BYTES) {
        frame += bench_header_read(conn->in + conn->in_start).size;
    }
    if (rest < MOVE_SIZE_BYTES || conn->in_start + frame > client->ins.size_bytes) {
        memmove(conn->in, conn->in + conn->in_start, rest);
        conn->in_start = 0;
        conn->in_end = rest;
    }
}

static void connection_ready(struct client *client, struct connection *conn, uint32_t events)
{
    if (events & EPOLLOUT) {
        conn->out_start +=
            send_some(conn, conn->out + conn->out_start, conn->out_end - conn->out_start);
        want(client, conn, conn->out_start < conn->out_end);
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
        return;
    }
    if (conn->in == NULL) {
        conn->in = bench_buffer_get(&client->ins);
    }
    size_t room = client->ins.size_bytes - conn->in_end;
    if (room > RECV_SIZE_BYTES_MAX) {
        room = RECV_SIZE_BYTES_MAX;
    }
    const ssize_t got = recv(conn->fd, conn->in + conn->in_end, room, 0);
    if (got == 0) {
        bench_fail("the server closed a connection");
    }
    if (got < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            bench_fail("recv: %m");
        }
        return;
    }
    conn->in_end += (size_t)got;
    replies_take(client, conn);
    settle(client, conn);
    if (client->options.rate > 0) {
        issue_open(client, conn);
    } else {
        issue_closed(client, conn);
    }
}

static void connect_all(struct client *client)
{
    struct addrinfo *found = bench_resolve(client->options.address);
    const struct timeval patience = {.tv_sec = 5};
    const uint32_t depth = (uint32_t)client->options.depth;

    client->epoll = epoll_create1(EPOLL_CLOEXEC);
    client->conns = calloc((size_t)client->options.conns, sizeof(*client->conns));
    if (client->epoll < 0 || client->conns == NULL) {
        bench_fail("cannot start: %m");
    }
    for (int i = 0; i < client->options.conns; i++) {
        struct connection *conn = &client->conns[i];
        conn->fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (conn->fd < 0) {
            bench_fail("socket: %m");
        }
        setsockopt(conn->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        if (connect(conn->fd, found->ai_addr, found->ai_addrlen) != 0) {
            bench_fail("cannot connect to %s: %m", client->options.address);
        }
        bench_nodelay(conn->fd);
        fcntl(conn->fd, F_SETFL, fcntl(conn->fd, F_GETFL) | O_NONBLOCK);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
        if (epoll_ctl(client->epoll, EPOLL_CTL_ADD, conn->fd, &event) != 0) {
            bench_fail("epoll_ctl: %m");
        }
        conn->calls = calloc((size_t)depth + 1, sizeof(*conn->calls));
        conn->free = malloc(depth * sizeof(*conn->free));
        if (conn->calls == NULL || conn->free == NULL) {
            bench_fail("out of memory");
        }
        for (uint32_t session = depth; session >= 1; session--) {
            conn->free[conn->free_count++] = (uint16_t)session;
        }
        conn->next_index = (uint64_t)i;
    }
    freeaddrinfo(found);
}

static double own_cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* User and system time of a process, in seconds; negative when it can't be read. */
static double process_cpu_seconds(int pid)
{
    char path[32];
    char line[1024];

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = pid > 0 ? fopen(path, "r") : NULL;
    if (file == NULL) {
        return -1;
    }
    const size_t size = fread(line, 1, sizeof(line) - 1, file);
    (void)fclose(file);
    line[size] = 0;
    /* The name may hold spaces and brackets; behind the last bracket come the state and ten numbers,
     * then user and system time. */
    char *field = strrchr(line, ')');
    for (int i = 0; field != NULL && i < 12; i++) {
        field = strchr(field + 1, ' ');
    }
    if (field == NULL) {
        return -1;
    }
    const unsigned long long user = strtoull(field, &field, 10);
    const unsigned long long system = strtoull(field, NULL, 10);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* Open loop: whether every call that was sent has its answer. */
static int all_answered(const struct client *client)
{
    for (int i = 0; i < client->options.conns; i++) {
        if (client->conns[i].free_count != (uint32_t)client->options.depth) {
            return 0;
        }
    }
    return 1;
}

/* Open loop: calls that were due and have no answer, whether they were sent or not. */
static uint64_t count_unanswered(const struct client *client)
{
    uint64_t count = 0;
    for (int i = 0; i < client->options.conns; i++) {
        const struct connection *conn = &client->conns[i];
        count += (uint32_t)client->options.depth - conn->free_count;
        if (conn->next_index < client->due_index) {
            count += (client->due_index - conn->next_index - 1) / (uint64_t)client->options.conns;
            count += 1;
        }
    }
    return count;
}

/* How long the next look for replies may wait: not at all, or, of a client that sleeps, until the next
 * call is due, and a millisecond at most. */
static struct timespec patience(const struct client *client)
{
    struct timespec wait = {0};

    if (!client->options.sleep) {
        return wait;
    }
    wait.tv_nsec = SLEEP_NS_MAX;
    if (client->options.rate > 0) {
        const uint64_t due = due_ns(client, client->due_index), now = bench_now_ns();
        const uint64_t left = due > now ? due - now : 0;
        wait.tv_nsec = left < SLEEP_NS_MAX ? (long)left : SLEEP_NS_MAX;
    }
    return wait;
}

/* One turn of the loop. Returns the time at its begin. */
static uint64_t turn(struct client *client)
{
    struct epoll_event events[EVENTS_MAX];
    const struct timespec wait = patience(client);
    const int count = epoll_pwait2(client->epoll, events, EVENTS_MAX, &wait, NULL);
    const uint64_t now_ns = bench_now_ns();

    if (count < 0 && errno != EINTR) {
        bench_fail("epoll_wait: %m");
    }
    for (int i = 0; i < count; i++) {
        connection_ready(client, events[i].data.ptr, events[i].events);
    }
    if (client->options.rate > 0) {
        issue_due(client, now_ns);
    }
    return now_ns;
}

static void run(struct client *client)
{
    const struct options *options = &client->options;
    struct bench_results *results = &client->results;

    client->start_ns = bench_now_ns();
    client->window_start_ns = client->start_ns + (uint64_t)(options->warmup * 1e9);
    client->window_end_ns = client->window_start_ns + (uint64_t)(options->seconds * 1e9);
    if (options->rate > 0) {
        client->period_ns = 1e9 / options->rate;
    } else {
        for (int i = 0; i < options->conns; i++) {
            issue_closed(client, &client->conns[i]);
        }
    }
    while (turn(client) < client->window_start_ns) {
    }
    const uint64_t from_ns = bench_now_ns();
    const double own = own_cpu_seconds();
    const double server = process_cpu_seconds(options->server_pid);
    while (turn(client) < client->window_end_ns) {
    }
    const double elapsed = (double)(bench_now_ns() - from_ns) / 1e9;
    const double server_end = process_cpu_seconds(options->server_pid);
    results->client_cpu = (own_cpu_seconds() - own) / elapsed * 100;
    results->server_cpu = server < 0 || server_end < 0 ? -1 : (server_end - server) / elapsed * 100;
    results->elapsed = options->seconds;
    if (options->rate > 0) {
        while (turn(client) < client->window_end_ns + DRAIN_NS && !all_answered(client)) {
        }
        results->unanswered = count_unanswered(client);
    }
}

static double decimal(const char *option, const char *text, double least, double most)
{
    char *end = NULL;
    const double value = strtod(text, &end);
    if (end == text || *end != 0 || !(value >= least && value <= most)) {
        bench_fail("%s: '%s' is not a number from %g to %g", option, text, least, most);
    }
    return value;
}

static enum verify verify_by_name(const char *name)
{
    if (strcmp(name, "off") == 0) {
        return VERIFY_OFF;
    }
    if (strcmp(name, "sample") == 0) {
        return VERIFY_SAMPLE;
    }
    if (strcmp(name, "all") == 0) {
        return VERIFY_ALL;
    }
    bench_fail("--verify: '%s' is none of off, sample, all", name);
}

__attribute__((noreturn)) static void usage(const char *program)
{
    bench_fail("usage: %s --address HOST:PORT [options]\n"
               "  --conns C --depth D        connections, calls in flight on each (1, 1)\n"
               "  --payload BYTES [--typed]  size of the payload, or of the name in a table (60)\n"
               "  --method ID                decimal or 0x (1; typed: SmfStorage.Get)\n"
               "  --method2 ID --share2 P    P percent of the calls go to another method\n"
               "  --rate R                   open loop, calls per second of all connections\n"
               "  --seconds S --warmup S     (1, 0.3)\n"
               "  --verify off|sample|all    sample: status and size of every reply, every byte\n"
               "                             of one in 1024\n"
               "  --cpu N                    stay on a CPU\n"
               "  --sleep                    sleep until a call is due, a millisecond at most,\n"
               "                             instead of spinning\n"
               "  --server-pid PID           report the server's CPU time as well\n"
               "  --json",
               program);
}

static void set_option(struct options *options, int option, const char *value)
{
    switch (option) {
    case 'a':
        options->address = value;
        break;
    case 'c':
        options->conns = (int)bench_number("--conns", value, 1, CONNECTIONS_MAX);
        break;
    case 'd':
        options->depth = (int)bench_number("--depth", value, 1, DEPTH_MAX);
        break;
    case 'p':
        options->payload_size_bytes = (uint32_t)bench_number(
            "--payload", value, 1, BENCH_PAYLOAD_SIZE_BYTES_MAX - BENCH_TABLE_NAME_OFFSET - 4);
        break;
    case 't':
        options->typed = 1;
        break;
    case 'm':
        options->methods[0] = (uint32_t)bench_number("--method", value, 1, UINT32_MAX);
        break;
    case 'M':
        options->methods[1] = (uint32_t)bench_number("--method2", value, 1, UINT32_MAX);
        break;
    case 'S':
        options->share2 = decimal("--share2", value, 0, 100);
        break;
    case 'r':
        options->rate = decimal("--rate", value, 1, 1e8);
        break;
    case 's':
        options->seconds = decimal("--seconds", value, 0.01, 86400);
        break;
    case 'w':
        options->warmup = decimal("--warmup", value, 0, 3600);
        break;
    case 'v':
        options->verify = verify_by_name(value);
        break;
    case 'u':
        bench_pin((int)bench_number("--cpu", value, 0, CPU_SETSIZE - 1));
        break;
    case 'P':
        options->server_pid = (int)bench_number("--server-pid", value, 1, INT32_MAX);
        break;
    case 'j':
        options->json = 1;
        break;
    case 'z':
        options->sleep = 1;
        break;
    default:
        usage("smf-bench-load");
    }
}

static void read_options(struct options *options, int argc, char **argv)
{
    static const struct option known[] = {{"address", required_argument, NULL, 'a'},
                                          {"conns", required_argument, NULL, 'c'},
                                          {"depth", required_argument, NULL, 'd'},
                                          {"payload", required_argument, NULL, 'p'},
                                          {"typed", no_argument, NULL, 't'},
                                          {"method", required_argument, NULL, 'm'},
                                          {"method2", required_argument, NULL, 'M'},
                                          {"share2", required_argument, NULL, 'S'},
                                          {"rate", required_argument, NULL, 'r'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"warmup", required_argument, NULL, 'w'},
                                          {"verify", required_argument, NULL, 'v'},
                                          {"cpu", required_argument, NULL, 'u'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"sleep", no_argument, NULL, 'z'},
                                          {"server-pid", required_argument, NULL, 'P'},
                                          {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        set_option(options, option, optarg);
    }
    if (options->address == NULL || optind != argc) {
        usage("smf-bench-load");
    }
    if (options->methods[0] == 0) {
        options->methods[0] = options->typed ? BENCH_METHOD_GET : 1;
    }
    if (options->depth == 0) {
        options->depth = options->rate > 0 ? 1024 : 1;
    }
    if ((options->share2 > 0) != (options->methods[1] != 0)) {
        bench_fail("--method2 and --share2 go together");
    }
}

int main(int argc, char **argv)
{
    static struct client client = {
        .options = {.conns = 1,
                    .payload_size_bytes = 60,
                    .seconds = 1,
                    .warmup = 0.3,
                    .verify = VERIFY_SAMPLE},
        .ins = {.size_bytes =
                    BENCH_HEADER_SIZE_BYTES + BENCH_PAYLOAD_SIZE_BYTES_MAX + RECV_SIZE_BYTES_MAX}};

    read_options(&client.options, argc, argv);
    const double share = client.options.share2 / 100 * 4294967296.0;
    client.share2_of_2_32 = share >= 4294967295.0 ? UINT32_MAX : (uint32_t)share;
    image_build(&client);
    connect_all(&client);
    run(&client);
    if (client.options.json) {
        bench_results_print_json(&client.results);
    } else {
        bench_results_print_text(&client.results, client.options.methods);
    }
    if (client.results.latency[0].total + client.results.latency[1].total == 0) {
        bench_fail("no call was answered in time");
    }
    return bench_results_errors(&client.results) != 0;
}
