/* The server in C of go/internal/traffic, on the engine alone: unary calls, calls that are held, and
 * streams of every kind, of any bytes. What the methods do is said in service.go there, which is the
 * same in Go.
 *
 *     traffic_serve ADDRESS MEMORY_BYTES IN_FLIGHT RUNNING MESSAGE_BYTES
 *
 * prints where it listens, then answers lines of its input: "stats" with counters as one line of
 * JSON, "drain" by draining, which ends it. It ends with its input, too. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <smf/code.h>
#include <smf/core.h>
#include <smf/engine.h>
#include <smf/level2.h>

#define LOOK_US 5000 /* how exactly calls are held */
#define NS_PER_MS 1000000ull
#define DRAIN_NS 5000000000ull
#define COPY_BYTES_MAX 1024u /* what is smaller does not keep the memory that it was read into */

enum method {
    METHOD_ECHO = 7001,
    METHOD_HOLD,
    METHOD_UPLOAD,
    METHOD_LIST,
    METHOD_SYNC,
    METHOD_STALL,
};

/* Something that is to be sent, and taken back when it has left. */
struct message {
    struct message *next;
    struct smf_buffer *buffer; /* NULL: the bytes are behind this */
    const uint8_t *payload;
    uint32_t size, taken;
};

/* A call that is not answered. */
struct talk {
    struct talk *next;
    uint64_t conn, due_ns;
    uint64_t messages, bytes; /* that came */
    struct message *first, **last;
    uint32_t method, status, left; /* left: how often the first one is sent */
    uint16_t session;
    uint8_t stream, ended, compression;
};

static struct talk *talks;
static struct smf_core *core;
static int drains;
static atomic_uint running, running_max, commands; /* commands: 1 drain, 2 stop */

_Noreturn static void fail(const char *what, const char *why)
{
    fprintf(stderr, "traffic_serve: %s: %s\n", what, why);
    exit(1);
}

static void *get(size_t size)
{
    void *memory = calloc(1, size);

    if (memory == NULL)
        fail("a call", "no memory");
    return memory;
}

/* What it holds is given back. */
static void drop_first(struct talk *talk)
{
    struct message *message = talk->first;

    talk->first = message->next;
    if (talk->first == NULL)
        talk->last = &talk->first;
    smf_core_release(core, message->buffer);
    free(message);
}

static void keep(struct talk *talk, const struct smf_event *event)
{
    int copies = event->size_bytes <= COPY_BYTES_MAX;
    struct message *message = get(sizeof *message + (copies ? event->size_bytes : 0));

    if (copies) {
        message->payload = memcpy(message + 1, event->payload, event->size_bytes);
    } else {
        smf_core_retain(core, event->buffer);
        message->buffer = event->buffer;
        message->payload = event->payload;
    }
    message->size = message->taken = event->size_bytes;
    *talk->last = message;
    talk->last = &message->next;
}

static uint32_t word(const struct message *message, size_t at)
{
    uint32_t value = 0;

    if (message != NULL && message->size >= at + sizeof value)
        memcpy(&value, message->payload + at, sizeof value);
    return value;
}

static void took(struct talk *talk, uint32_t size)
{
    int status = smf_core_taken(core, talk->conn, talk->session, size);

    if (status != SMF_OK && status != SMF_ECLOSED)
        fail("smf_core_taken", "it says that this was not handed out");
}

/* Whether it could be sent; nothing else than that the turn is full is expected. */
static int put(const struct talk *talk, uint32_t status, uint8_t flags, const void *bytes,
               uint32_t size)
{
    uint8_t compression = bytes == NULL || status != SMF_CODE_OK ? 0 : talk->compression;
    int sent = smf_core_send_with(core, talk->conn, talk->session, status, flags, compression,
                                  bytes, size);

    if (sent != SMF_OK && sent != SMF_ELIMIT && sent != SMF_ENOMEM)
        fail("smf_core_send_with", "it can't be sent");
    return sent == SMF_OK;
}

static uint8_t last_flags(const struct talk *talk)
{
    return talk->stream ? SMF_FRAME_STREAM | SMF_FRAME_FIN : 0;
}

static int answer_upload(struct talk *talk)
{
    uint64_t counts[2] = {talk->messages, talk->bytes};

    return put(talk, SMF_CODE_OK, SMF_FRAME_STREAM | SMF_FRAME_FIN, counts, sizeof counts);
}

/* Sends what may be sent of an echo. 1: that was all. */
static int step_sync(struct talk *talk)
{
    while (talk->first != NULL && smf_core_writable(core, talk->conn, talk->session)) {
        struct message *message = talk->first;

        if (!put(talk, SMF_CODE_OK, SMF_FRAME_STREAM, message->payload, message->size))
            return 0;
        took(talk, message->taken);
        drop_first(talk);
    }
    return talk->first == NULL && talk->ended &&
           put(talk, SMF_CODE_OK, SMF_FRAME_STREAM | SMF_FRAME_FIN, NULL, 0);
}

static int step_list(struct talk *talk)
{
    while (talk->left != 0 && talk->first != NULL &&
           smf_core_writable(core, talk->conn, talk->session)) {
        if (!put(talk, SMF_CODE_OK, SMF_FRAME_STREAM, talk->first->payload, talk->first->size))
            return 0;
        talk->left--;
    }
    return talk->left == 0 && (talk->messages != 0 || talk->ended) &&
           put(talk, SMF_CODE_OK, SMF_FRAME_STREAM | SMF_FRAME_FIN, NULL, 0);
}

static int step_unary(struct talk *talk)
{
    return put(talk, SMF_CODE_OK, 0, talk->first == NULL ? "?" : (const void *)talk->first->payload,
               talk->first == NULL ? 1 : talk->first->size);
}

/* Does what can be done now. 1: the call is answered. */
static int step(struct talk *talk)
{
    while (talk->status != 0 && talk->first != NULL)
        drop_first(talk); /* the answer may need that memory */
    if (talk->status != 0)
        return put(talk, talk->status, last_flags(talk), NULL, 0);
    switch (talk->method) {
    case METHOD_UPLOAD:
        return talk->ended && answer_upload(talk);
    case METHOD_LIST:
        return step_list(talk);
    case METHOD_SYNC:
        return step_sync(talk);
    case METHOD_STALL:
        return 0;
    default:
        return talk->due_ns <= smf_core_turn(core)->now_ns && step_unary(talk);
    }
}

static void step_all(void)
{
    for (struct talk **at = &talks; *at != NULL;) {
        struct talk *talk = *at;

        if (!step(talk)) {
            at = &talk->next;
            continue;
        }
        *at = talk->next;
        while (talk->first != NULL)
            drop_first(talk);
        free(talk);
        running--;
    }
}

/* A message, or the end of a stream, or both. */
static void take(struct talk *talk, const struct smf_event *event)
{
    int is_stream_of_bytes = talk->method == METHOD_UPLOAD;

    talk->ended |= (event->flags & SMF_FRAME_FIN) != 0;
    if (talk->stream && event->compression > SMF_COMPRESSION_DISABLED) {
        talk->status = SMF_CODE_NOT_IMPLEMENTED; /* as a server in Go */
        return;
    }
    if (event->size_bytes == 0)
        return;
    talk->messages++;
    talk->bytes += event->size_bytes;
    if (is_stream_of_bytes)
        took(talk, event->size_bytes);
    else
        keep(talk, event);
    if (talk->method == METHOD_LIST && talk->messages == 1)
        talk->left = word(talk->first, 0);
}

static int is_stream(uint32_t method)
{
    return method >= METHOD_UPLOAD && method <= METHOD_STALL;
}

static void begin(const struct smf_event *event)
{
    struct talk *talk = get(sizeof *talk);
    int stream = (event->flags & SMF_FRAME_STREAM) != 0;

    talk->conn = event->conn;
    talk->session = event->session;
    talk->method = event->meta;
    talk->stream = (uint8_t)stream;
    talk->compression = event->compression;
    talk->last = &talk->first;
    talk->next = talks;
    talks = talk;
    if (++running > running_max)
        running_max = running;
    if (talk->method < METHOD_ECHO || talk->method > METHOD_STALL)
        talk->status = SMF_CODE_NOT_FOUND;
    else if (drains && event->level < 2) /* at level 2 the engine refuses it */
        talk->status = SMF_CODE_UNAVAILABLE;
    else if (stream != is_stream(talk->method))
        talk->status = stream ? SMF_CODE_NOT_IMPLEMENTED : SMF_CODE_BAD_REQUEST;
    take(talk, event);
    if (talk->method == METHOD_HOLD)
        talk->due_ns = smf_core_turn(core)->now_ns + word(talk->first, 0) * NS_PER_MS;
}

static struct talk *find(const struct smf_event *event)
{
    struct talk *talk = talks;

    while (talk != NULL && (talk->conn != event->conn || talk->session != event->session))
        talk = talk->next;
    return talk;
}

static void handle(const struct smf_event *event)
{
    struct talk *talk;

    switch (event->kind) {
    case SMF_EVENT_REQUEST:
        begin(event);
        break;
    case SMF_EVENT_MESSAGE:
        talk = find(event);
        if (talk != NULL)
            take(talk, event);
        break;
    case SMF_EVENT_CANCEL:
        talk = find(event);
        if (talk != NULL && talk->status == 0)
            talk->status = SMF_CODE_CANCELLED;
        break;
    case SMF_EVENT_CLOSED:
        for (talk = talks; talk != NULL; talk = talk->next) {
            if (talk->conn == event->conn)
                talk->status = SMF_CODE_CANCELLED;
        }
        break;
    default:
        break;
    }
}

static void print_stats(void)
{
    struct smf_core_stats stats;

    smf_core_stats(core, &stats);
    printf("{\"running\":%u,\"running_max\":%u,\"connections\":%llu,\"in_flight\":%llu,"
           "\"memory\":%llu,\"memory_max\":%llu,\"requests\":%llu,\"cancels\":%llu,"
           "\"closed_flood\":%llu,\"closed_bad\":%llu,\"too_many\":%llu}\n",
           running, running_max, (unsigned long long)stats.connections_open,
           (unsigned long long)stats.in_flight, (unsigned long long)stats.memory_used_bytes,
           (unsigned long long)stats.memory_used_bytes_max, (unsigned long long)stats.requests,
           (unsigned long long)stats.cancels, (unsigned long long)stats.closed[SMF_CLOSE_FLOOD],
           (unsigned long long)(stats.closed[SMF_CLOSE_BAD_FRAME] +
                                stats.closed[SMF_CLOSE_BAD_STREAM]),
           (unsigned long long)stats.refused_too_many);
    fflush(stdout);
}

static void *read_commands(void *context)
{
    char line[64];

    while (fgets(line, sizeof line, stdin) != NULL) {
        if (strcmp(line, "stats\n") == 0)
            print_stats();
        else if (strcmp(line, "drain\n") == 0)
            commands |= 1;
    }
    commands |= 2;
    smf_core_wake(core);
    return context;
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0')
        fail(text, "is no number");
    return value;
}

static void serve(void)
{
    uint64_t until_ns = UINT64_MAX; /* as a server in Go: streams may never end */

    while ((commands & 2) == 0 &&
           !(drains && (smf_core_drained(core) || smf_core_turn(core)->now_ns > until_ns))) {
        int count = smf_core_poll(core, LOOK_US);

        if (count < 0)
            return;
        for (int i = 0; i < count; i++)
            handle(&smf_core_turn(core)->events[i]);
        step_all();
        if ((commands & 1) && !drains) {
            smf_core_drain(core);
            until_ns = smf_core_turn(core)->now_ns + DRAIN_NS;
            drains = 1;
        }
    }
}

int main(int argc, char **argv)
{
    struct smf_engine_config config = {.size = sizeof config, .spin_us = -1};
    struct smf_engine *engine;
    struct smf_error error;
    pthread_t reader;
    char bound[128];

    if (argc != 6)
        fail("usage", "ADDRESS MEMORY_BYTES IN_FLIGHT RUNNING MESSAGE_BYTES");
    config.memory_bytes = number(argv[2]);
    config.in_flight_max = (uint32_t)number(argv[3]);
    config.running_max = (uint32_t)number(argv[4]);
    config.message_size_bytes_max = number(argv[5]);
    if (smf_engine_open(&engine, &config, &error) != SMF_OK)
        fail("opening", error.text);
    core = smf_engine_core(engine, 0);
    if (smf_engine_listen(engine, argv[1], bound, sizeof bound, &error) != SMF_OK)
        fail("listening", error.text);
    printf("%s\n", bound);
    fflush(stdout);
    if (pthread_create(&reader, NULL, read_commands, NULL) != 0)
        fail("a thread", "there is none");
    serve();
    if (commands & 2)
        (void)pthread_join(reader, NULL);
    while (talks != NULL) {
        struct talk *talk = talks;

        talks = talk->next;
        while (talk->first != NULL)
            drop_first(talk);
        free(talk);
    }
    smf_engine_close(engine);
    return 0;
}
