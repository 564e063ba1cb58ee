/* The simulated network. Every direction of a connection is a queue of segments with arrival times;
 * an end looks at its own queue only, so that all effects pass through time. */
#include "net/net_sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem/mem_count.h"
#include "time/time_random.h"

#define NEVER UINT64_MAX
#define NS_PER_SECOND 1000000000ull
#define ADDRESSES_MAX 64

/* Bytes under way, or the end of them (size 0). */
struct segment {
    struct segment *next;
    uint64_t arrive_ns;
    uint32_t size, taken;
    uint8_t data[];
};

struct smf__listener {
    struct net_sim *net;
    struct smf__listener *next; /* of the simulation */
    void *context;
    char address[SMF__NET_ADDRESS_SIZE_BYTES];
};

struct smf__stream {
    struct smf__sim *sim;
    struct net_sim *net;      /* NULL: detached */
    struct smf__stream *peer; /* NULL: the other end was closed */
    void *context;
    struct smf__listener *listener; /* of one that was not accepted yet */
    struct segment *first, *last;   /* towards this end */
    uint64_t ready_ns;              /* accepted or connected at this time; NEVER once it was told */
    uint64_t reset_ns;              /* when this end hears of a reset; NEVER: no reset */
    uint64_t fin_ns;                /* when the other end's last byte has arrived */
    uint64_t last_arrival_ns;       /* of what was sent from here */
    uint64_t sent_bytes;
    uint64_t unread_bytes; /* sent from here and not received by the peer; at most the window */
    struct smf__sim_link link;
    uint32_t ordinal;
    uint32_t index;     /* in the net's streams */
    int connecting;     /* 1: ready_ns is the end of a connect */
    int connect_status; /* what it will say */
    int read, write;    /* interest */
    int shut;           /* this end sends no more */
    int stalled;        /* what this end sends goes nowhere */
    int loses;          /* a reset takes what has arrived with it */
    char address[SMF__NET_ADDRESS_SIZE_BYTES];
};

struct net_sim {
    struct smf__net base;
    struct smf__sim *sim;
    struct net_sim *next;
    struct smf__stream **streams;
    uint32_t stream_count, stream_capacity;
    uint32_t woken; /* atomic */
};

struct smf__sim {
    struct smf__clock_manual *clock;
    struct smf__random random;
    struct smf__sim_link link;
    struct net_sim *nets;
    struct smf__listener *listeners;
    uint32_t ordinals;
    uint32_t streams; /* that are not closed */
    uint32_t attach_fails;
    uint64_t trace;
};

/* Memory of a test that is not there ends the test. */
static void *must(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "smf: simulation: no memory\n");
        abort();
    }
    return memory;
}

enum note {
    NOTE_CONNECT = 1,
    NOTE_SEND,
    NOTE_RECV,
    NOTE_FIN,
    NOTE_RESET,
    NOTE_CLOSE,
    NOTE_EVENT,
    NOTE_DETACH,
    NOTE_ATTACH
};

static void mix(struct smf__sim *sim, uint64_t value)
{
    sim->trace = (sim->trace ^ value) * 0x9e3779b97f4a7c15u;
    sim->trace ^= sim->trace >> 29;
}

static void note(const struct smf__stream *stream, enum note what, uint64_t value)
{
    struct smf__sim *sim = stream->sim;

    mix(sim, (uint64_t)what << 32 | stream->ordinal);
    mix(sim, value);
    mix(sim, sim->clock->now_ns);
}

static uint64_t latency_ns(struct smf__sim *sim, const struct smf__sim_link *link)
{
    uint64_t width = link->latency_ns_max > link->latency_ns_min
                         ? link->latency_ns_max - link->latency_ns_min
                         : 0;

    return link->latency_ns_min + (width != 0 ? smf__random_below(&sim->random, width + 1) : 0);
}

static uint64_t now_ns(const struct smf__stream *stream)
{
    return stream->sim->clock->now_ns;
}

static uint32_t shortened(struct smf__stream *stream, uint64_t size, uint32_t size_max)
{
    uint64_t most = size;

    if (size_max != 0)
        most = 1 + smf__random_below(&stream->sim->random, size_max);
    return (uint32_t)(most < size ? most : size);
}

/* Pipes. */

static struct segment *append(struct smf__stream *to, uint32_t size, uint64_t arrive_ns)
{
    struct segment *segment = must(malloc(sizeof *segment + size));

    segment->next = NULL;
    segment->arrive_ns = arrive_ns;
    segment->size = size;
    segment->taken = 0;
    if (to->last != NULL)
        to->last->next = segment;
    else
        to->first = segment;
    to->last = segment;
    return segment;
}

static void drop_first(struct smf__stream *stream)
{
    struct segment *segment = stream->first;

    stream->first = segment->next;
    if (stream->first == NULL)
        stream->last = NULL;
    free(segment);
}

/* When size bytes that leave this end now arrive at the other. */
static uint64_t arrival_ns(struct smf__stream *stream, uint32_t size)
{
    uint64_t at_ns = now_ns(stream) + latency_ns(stream->sim, &stream->link);

    if (at_ns < stream->last_arrival_ns)
        at_ns = stream->last_arrival_ns;
    if (stream->link.bytes_per_second != 0)
        at_ns += size * NS_PER_SECOND / stream->link.bytes_per_second;
    stream->last_arrival_ns = at_ns;
    return at_ns;
}

static int reset_arrived(const struct smf__stream *stream)
{
    return stream->reset_ns <= now_ns(stream);
}

static int data_arrived(const struct smf__stream *stream)
{
    return stream->first != NULL && stream->first->arrive_ns <= now_ns(stream);
}

/* This end will hear of a reset, behind everything that is under way to it. */
static void reset_end(struct smf__stream *stream, uint64_t at_ns)
{
    if (stream->last != NULL && stream->last->arrive_ns > at_ns)
        at_ns = stream->last->arrive_ns;
    if (stream->reset_ns != NEVER)
        return;
    stream->reset_ns = at_ns;
    stream->loses = (int)smf__random_below(&stream->sim->random, 2);
    note(stream, NOTE_RESET, at_ns);
}

/* The fault of this direction comes true once the bytes before it were sent. */
static void break_if_due(struct smf__stream *stream)
{
    const struct smf__sim_fault *fault = &stream->link.fault;

    if (fault->kind == SMF__SIM_NO_FAULT || stream->sent_bytes < fault->at_byte || stream->stalled)
        return;
    stream->stalled = 1;
    if (fault->kind != SMF__SIM_RESET)
        return;
    reset_end(stream, now_ns(stream) + latency_ns(stream->sim, &stream->link));
    if (stream->peer != NULL)
        reset_end(stream->peer, now_ns(stream) + latency_ns(stream->sim, &stream->link));
}

static void send_fin(struct smf__stream *stream)
{
    if (stream->shut)
        return;
    stream->shut = 1;
    note(stream, NOTE_FIN, 0);
    if (stream->peer != NULL && !stream->stalled) {
        stream->peer->fin_ns = arrival_ns(stream, 0);
        (void)append(stream->peer, 0, stream->peer->fin_ns);
    }
}

static void gather(uint8_t *to, uint32_t size, const struct iovec *vectors)
{
    for (; size > 0; vectors++) {
        uint32_t part = vectors->iov_len < size ? (uint32_t)vectors->iov_len : size;

        if (part != 0)
            memcpy(to, vectors->iov_base, part);
        to += part;
        size -= part;
    }
}

static uint64_t total_of(const struct iovec *vectors, int count)
{
    uint64_t total = 0;

    for (int i = 0; i < count; i++)
        total += vectors[i].iov_len;
    return total;
}

static int64_t stream_send(struct smf__stream *stream, const struct iovec *vectors, int count)
{
    uint64_t total = total_of(vectors, count);
    uint64_t room = stream->link.window_bytes - stream->unread_bytes;
    struct segment *segment;
    uint32_t size, passes;

    smf__count(stream->net->base.sends, 1);
    if (reset_arrived(stream))
        return -ECONNRESET;
    if (stream->shut)
        return -EPIPE;
    if (stream->connecting || (room == 0 && total != 0))
        return -EAGAIN;
    size = passes = shortened(stream, total < room ? total : room, stream->link.send_size_max);
    note(stream, NOTE_SEND, size);
    if (stream->peer == NULL) { /* nobody is there: that is what comes back */
        reset_end(stream, now_ns(stream) + 2 * latency_ns(stream->sim, &stream->link));
        return size;
    }
    if (stream->link.fault.kind != SMF__SIM_NO_FAULT &&
        stream->sent_bytes + size > stream->link.fault.at_byte)
        passes = stream->stalled ? 0 : (uint32_t)(stream->link.fault.at_byte - stream->sent_bytes);
    if (passes != 0) {
        segment = append(stream->peer, passes, arrival_ns(stream, passes));
        gather(segment->data, passes, vectors);
        for (uint32_t i = 0; i < passes; i++)
            mix(stream->sim, segment->data[i]);
    }
    stream->sent_bytes += size;
    stream->unread_bytes += size;
    break_if_due(stream);
    return size;
}

/* Moves up to size bytes that have arrived into the vectors. */
static uint32_t scatter(struct smf__stream *stream, const struct iovec *vectors, uint32_t size)
{
    uint32_t done = 0;
    uint64_t filled = 0; /* of the first vector */

    while (done < size && data_arrived(stream) && stream->first->size != 0) {
        struct segment *segment = stream->first;
        uint32_t part = segment->size - segment->taken;

        while (filled == vectors->iov_len) {
            vectors++;
            filled = 0;
        }
        if (part > size - done)
            part = size - done;
        if (part > vectors->iov_len - filled)
            part = (uint32_t)(vectors->iov_len - filled);
        memcpy((uint8_t *)vectors->iov_base + filled, segment->data + segment->taken, part);
        segment->taken += part;
        filled += part;
        done += part;
        if (segment->taken == segment->size)
            drop_first(stream);
    }
    return done;
}

static int64_t stream_recv(struct smf__stream *stream, const struct iovec *vectors, int count)
{
    uint32_t size;

    if (!reset_arrived(stream) && !data_arrived(stream)) {
        smf__count(stream->net->base.polls, 1);
        return -EAGAIN;
    }
    smf__count(stream->net->base.recvs, 1);
    if (reset_arrived(stream) && (stream->loses || !data_arrived(stream)))
        return -ECONNRESET;
    if (stream->first->size == 0)
        return 0; /* stays in the queue: the end of the stream is said again and again */
    size = shortened(stream, total_of(vectors, count), stream->link.recv_size_max);
    size = scatter(stream, vectors, size);
    if (stream->peer != NULL)
        stream->peer->unread_bytes -= size;
    note(stream, NOTE_RECV, size);
    return size;
}

static int stream_ended(const struct smf__stream *stream)
{
    return reset_arrived(stream) || (stream->last != NULL && stream->last->size == 0 &&
                                     stream->last->arrive_ns <= now_ns(stream));
}

/* Streams. */

static void put_in(struct net_sim *net, struct smf__stream *stream)
{
    if (net->stream_count == net->stream_capacity) {
        net->stream_capacity = net->stream_capacity * 2 + 16;
        /* NOLINTNEXTLINE(bugprone-sizeof-expression): they are pointers */
        net->streams = must(realloc(net->streams, net->stream_capacity * sizeof *net->streams));
    }
    stream->net = net;
    stream->index = net->stream_count;
    net->streams[net->stream_count++] = stream;
}

static void take_out(struct smf__stream *stream)
{
    struct net_sim *net = stream->net;

    net->streams[stream->index] = net->streams[--net->stream_count];
    net->streams[stream->index]->index = stream->index;
    stream->net = NULL;
}

static struct smf__stream *stream_new(struct net_sim *net, const struct smf__sim_link *link)
{
    struct smf__stream *stream = must(calloc(1, sizeof *stream));

    stream->sim = net->sim;
    stream->link = *link;
    if (stream->link.window_bytes == 0)
        stream->link.window_bytes = SMF__SIM_WINDOW_DEFAULT_BYTES;
    stream->ordinal = ++net->sim->ordinals;
    net->sim->streams++;
    stream->reset_ns = stream->fin_ns = NEVER;
    stream->read = 1;
    put_in(net, stream);
    return stream;
}

/* As kernels do: who closes with bytes unread resets the connection. */
static void stream_close(struct smf__stream *stream)
{
    struct smf__stream *peer = stream->peer;
    int unread = stream->first != NULL && stream->first->size != 0;

    note(stream, NOTE_CLOSE, (uint64_t)unread);
    if (!unread)
        send_fin(stream);
    else if (peer != NULL && !stream->stalled)
        reset_end(peer, now_ns(stream) + latency_ns(stream->sim, &stream->link));
    if (peer != NULL)
        peer->peer = NULL;
    while (stream->first != NULL)
        drop_first(stream);
    if (stream->net != NULL)
        take_out(stream);
    stream->sim->streams--;
    free(stream);
}

static void stream_detach(struct smf__stream *stream)
{
    note(stream, NOTE_DETACH, 0);
    take_out(stream);
}

static int stream_attach(struct smf__net *base, struct smf__stream *stream)
{
    struct net_sim *net = (struct net_sim *)base;

    if (net->sim->attach_fails != 0) {
        net->sim->attach_fails--;
        return SMF_ENOMEM;
    }
    put_in(net, stream);
    stream->read = 1;
    note(stream, NOTE_ATTACH, 0);
    return SMF_OK;
}

static void stream_context(struct smf__stream *stream, void *context)
{
    stream->context = context;
}

static void stream_interest(struct smf__stream *stream, int read, int write)
{
    stream->read = read;
    stream->write = write;
}

static void stream_peer(struct smf__stream *stream, char *text_out, size_t size)
{
    snprintf(text_out, size, "%s", stream->address);
}

/* Opening. */

static struct smf__listener *choose_listener(struct smf__sim *sim, const char *address)
{
    struct smf__listener *found[ADDRESSES_MAX];
    uint32_t count = 0;

    for (struct smf__listener *at = sim->listeners; at != NULL && count < ADDRESSES_MAX;
         at = at->next) {
        if (strcmp(at->address, address) == 0)
            found[count++] = at;
    }
    return count == 0 ? NULL : found[smf__random_below(&sim->random, count)];
}

static int fail(struct smf_error *error_out, int status, const char *address, const char *text)
{
    error_out->status = status;
    error_out->os_errno = 0;
    snprintf(error_out->text, sizeof error_out->text, "%.80s: %s", address, text);
    return status;
}

static int net_connect(struct smf__net *base, const char *address, void *context,
                       struct smf__stream **stream_out, struct smf_error *error_out)
{
    struct net_sim *net = (struct net_sim *)base;
    struct smf__sim *sim = net->sim;
    struct smf__stream *near, *far;
    struct smf__listener *listener;
    struct smf__sim_link forth = sim->link, back = sim->link;

    if (strlen(address) >= SMF__NET_ADDRESS_SIZE_BYTES)
        return fail(error_out, SMF_EADDRESS, address, "the address is too long");
    listener = choose_listener(sim, address);
    if (sim->link.fault.direction == SMF__SIM_FORTH)
        back.fault.kind = SMF__SIM_NO_FAULT;
    else
        forth.fault.kind = SMF__SIM_NO_FAULT;
    near = stream_new(net, &forth);
    near->context = context;
    near->connecting = 1;
    near->connect_status = listener != NULL ? SMF_OK : SMF_EREFUSED;
    near->ready_ns = sim->clock->now_ns + latency_ns(sim, &forth);
    snprintf(near->address, sizeof near->address, "%s", address);
    note(near, NOTE_CONNECT, listener != NULL);
    if (listener != NULL) {
        far = stream_new(listener->net, &back);
        far->listener = listener;
        far->ready_ns = near->ready_ns;
        snprintf(far->address, sizeof far->address, "sim:%u", near->ordinal);
        near->ready_ns += latency_ns(sim, &back);
        near->peer = far;
        far->peer = near;
        break_if_due(near);
        break_if_due(far);
    }
    *stream_out = near;
    return SMF_OK;
}

static int net_listen(struct smf__net *base, const char *address, const struct smf__listener *first,
                      void *context, struct smf__listener **listener_out, char *bound_out,
                      size_t bound_size, struct smf_error *error_out)
{
    struct net_sim *net = (struct net_sim *)base;
    struct smf__listener *listener;

    if (strlen(address) == 0 || strlen(address) >= SMF__NET_ADDRESS_SIZE_BYTES)
        return fail(error_out, SMF_EADDRESS, address, "addresses have 1 to 127 bytes");
    for (listener = net->sim->listeners; listener != NULL; listener = listener->next) {
        if (strcmp(listener->address, address) == 0 && first == NULL)
            return fail(error_out, SMF_EADDRINUSE, address, "somebody else listens there");
    }
    listener = must(calloc(1, sizeof *listener));
    listener->net = net;
    listener->context = context;
    snprintf(listener->address, sizeof listener->address, "%s", address);
    snprintf(bound_out, bound_size, "%s", address);
    listener->next = net->sim->listeners;
    net->sim->listeners = listener;
    *listener_out = listener;
    return SMF_OK;
}

/* Another listener of the same address, of this net or (NULL) of any; or NULL. */
static struct smf__listener *joined(const struct smf__listener *listener, const struct net_sim *net)
{
    struct smf__listener *at = listener->net->sim->listeners;

    while (at != NULL && (at == listener || (net != NULL && at->net != net) ||
                          strcmp(at->address, listener->address) != 0))
        at = at->next;
    return at;
}

/* Who has knocked and was not accepted yet will be accepted by another one. */
static void pass_on(struct smf__stream *stream, struct smf__listener *to)
{
    take_out(stream);
    put_in(to->net, stream);
    stream->listener = to;
}

static void net_listener_close(struct smf__net *base, struct smf__listener *listener)
{
    struct net_sim *net = (struct net_sim *)base;
    struct smf__listener **at = &net->sim->listeners, *other = joined(listener, NULL);

    for (uint32_t i = net->stream_count; i-- > 0;) {
        struct smf__stream *stream = net->streams[i];

        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): a closed one leaves the array */
        if (stream->listener != listener)
            continue;
        if (other != NULL) {
            pass_on(stream, other);
            continue;
        }
        if (stream->peer != NULL)
            reset_end(stream->peer, now_ns(stream) + latency_ns(net->sim, &stream->link));
        stream_close(stream);
    }
    while (*at != listener)
        at = &(*at)->next;
    *at = listener->next;
    free(listener);
}

/* Polling. */

static int is_ready(const struct smf__stream *stream)
{
    return stream->ready_ns <= now_ns(stream);
}

static struct smf__net_event look_at(struct smf__stream *stream)
{
    struct smf__net_event event = {.stream = stream, .context = stream->context};

    if (stream->listener != NULL || stream->connecting) {
        int reset = stream->connecting && reset_arrived(stream);

        if (!is_ready(stream) && !reset)
            return event;
        event.kinds = stream->connecting ? SMF__NET_CONNECTED : SMF__NET_ACCEPTED;
        event.status = reset ? SMF_EREFUSED : stream->connect_status;
        if (stream->listener != NULL)
            event.context = stream->listener->context;
        stream->listener = NULL;
        stream->connecting = 0;
        stream->ready_ns = NEVER;
        return event;
    }
    if (stream->read && data_arrived(stream))
        event.kinds |= SMF__NET_READABLE;
    if (stream->write && stream->unread_bytes < stream->link.window_bytes)
        event.kinds |= SMF__NET_WRITABLE;
    if (reset_arrived(stream) || (stream->shut && stream->fin_ns <= now_ns(stream)))
        event.kinds |=
            SMF__NET_HANGUP | SMF__NET_READABLE | (stream->write ? SMF__NET_WRITABLE : 0);
    return event;
}

/* Accepts, in the place of others that have joined the same listener, whom they have not accepted yet;
 * or leaves them to it. */
static void help_others(struct net_sim *net)
{
    for (struct net_sim *other = net->sim->nets; other != NULL; other = other->next) {
        for (uint32_t i = other->stream_count; other != net && i-- > 0;) {
            struct smf__stream *stream = other->streams[i];
            struct smf__listener *ours =
                stream->listener != NULL && is_ready(stream) ? joined(stream->listener, net) : NULL;

            if (ours != NULL && smf__random_below(&net->sim->random, 2) != 0)
                pass_on(stream, ours);
        }
    }
}

static int collect(struct net_sim *net, struct smf__net_event *events, int capacity)
{
    struct smf__random *random = &net->sim->random;
    uint32_t total, start;
    int count = 0;

    help_others(net);
    total = net->stream_count;
    start = total != 0 ? (uint32_t)smf__random_below(random, total) : 0;
    for (uint32_t i = 0; i < total && count < capacity; i++) {
        struct smf__net_event event = look_at(net->streams[(start + i) % total]);

        if (event.kinds != 0)
            events[count++] = event;
    }
    for (int i = count - 1; i > 0; i--) { /* in any order */
        int other = (int)smf__random_below(random, (uint64_t)i + 1);
        struct smf__net_event kept = events[i];

        events[i] = events[other];
        events[other] = kept;
    }
    for (int i = 0; i < count; i++)
        note(events[i].stream, NOTE_EVENT, events[i].kinds);
    return count;
}

static uint64_t sooner(uint64_t best_ns, uint64_t at_ns, uint64_t after_ns)
{
    return at_ns > after_ns && at_ns < best_ns ? at_ns : best_ns;
}

static uint64_t net_next_ns(const struct net_sim *net)
{
    uint64_t now = net->sim->clock->now_ns, best = NEVER;

    for (uint32_t i = 0; i < net->stream_count; i++) {
        const struct smf__stream *stream = net->streams[i];

        best = sooner(best, stream->ready_ns, now);
        best = sooner(best, stream->reset_ns, now);
        if (stream->first != NULL)
            best = sooner(best, stream->first->arrive_ns, now);
    }
    return best;
}

static int net_poll(struct smf__net *base, struct smf__net_event *events, int capacity,
                    int64_t timeout_ns)
{
    struct net_sim *net = (struct net_sim *)base;
    struct smf__clock_manual *clock = net->sim->clock;
    uint64_t until_ns = timeout_ns < 0 ? NEVER : clock->now_ns + (uint64_t)timeout_ns;

    smf__count(base->polls, 1);
    for (;;) {
        int woken = __atomic_exchange_n(&net->woken, 0, __ATOMIC_SEQ_CST) != 0;
        int count = collect(net, events, capacity);
        uint64_t next_ns;

        if (count != 0 || woken || clock->now_ns >= until_ns)
            return count;
        next_ns = net_next_ns(net);
        if (next_ns == NEVER && until_ns == NEVER) {
            fprintf(stderr, "smf: simulation: a wait without end, and nothing is under way\n");
            abort();
        }
        clock->now_ns = next_ns < until_ns ? next_ns : until_ns;
    }
}

static void net_wake(struct smf__net *base)
{
    __atomic_store_n(&((struct net_sim *)base)->woken, 1, __ATOMIC_SEQ_CST);
}

static int net_fd(const struct smf__net *base)
{
    (void)base;
    return -1; /* simulated time does not pass while a program sleeps */
}

static void net_close(struct smf__net *base)
{
    struct net_sim *net = (struct net_sim *)base, **at = &net->sim->nets;
    struct smf__listener *listener = net->sim->listeners, *next;

    for (; listener != NULL; listener = next) {
        next = listener->next;
        if (listener->net == net)
            net_listener_close(base, listener);
    }
    while (net->stream_count > 0)
        stream_close(net->streams[net->stream_count - 1]); /* NOLINT(clang-analyzer-unix.Malloc) */
    while (*at != net)
        at = &(*at)->next;
    *at = net->next;
    free(net->streams);
    free(net);
}

static const struct smf__net_ops net_sim_ops = {
    .name = "sim",
    .close = net_close,
    .poll = net_poll,
    .wake = net_wake,
    .fd = net_fd,
    .listen = net_listen,
    .listener_close = net_listener_close,
    .connect = net_connect,
    .recv = stream_recv,
    .send = stream_send,
    .stream_ended = stream_ended,
    .stream_context = stream_context,
    .stream_interest = stream_interest,
    .stream_peer = stream_peer,
    .stream_shutdown_write = send_fin,
    .stream_close = stream_close,
    .stream_detach = stream_detach,
    .stream_attach = stream_attach,
};

int smf__sim_net_open(struct smf__sim *sim, struct smf__net **net_out)
{
    struct net_sim *net = calloc(1, sizeof *net);

    if (net == NULL)
        return SMF_ENOMEM;
    net->base.ops = &net_sim_ops;
    net->sim = sim;
    net->next = sim->nets;
    sim->nets = net;
    *net_out = &net->base;
    return SMF_OK;
}

/* The simulation. */

int smf__sim_open(struct smf__sim **sim_out, struct smf__clock_manual *clock, uint64_t seed)
{
    struct smf__sim *sim = calloc(1, sizeof *sim);

    if (sim == NULL)
        return SMF_ENOMEM;
    sim->clock = clock;
    smf__random_seed(&sim->random, seed);
    *sim_out = sim;
    return SMF_OK;
}

void smf__sim_close(struct smf__sim *sim)
{
    if (sim->nets != NULL) {
        fprintf(stderr, "smf: simulation: closed before its nets\n");
        abort();
    }
    if (sim->streams != 0) {
        fprintf(stderr, "smf: simulation: %u streams were left detached\n", sim->streams);
        abort();
    }
    free(sim);
}

void smf__sim_link(struct smf__sim *sim, const struct smf__sim_link *link)
{
    sim->link = *link;
}

void smf__sim_fail_attach(struct smf__sim *sim, uint32_t times)
{
    sim->attach_fails = times;
}

uint64_t smf__sim_next_ns(const struct smf__sim *sim)
{
    uint64_t best = NEVER;

    for (const struct net_sim *net = sim->nets; net != NULL; net = net->next)
        best = sooner(best, net_next_ns(net), 0);
    return best;
}

uint64_t smf__sim_trace(const struct smf__sim *sim)
{
    return sim->trace;
}
