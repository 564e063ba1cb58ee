/* Calls between two engines in one thread, for counting instructions and system calls: nothing depends on
 * who is scheduled when. ./build.sh check cost runs it under valgrind, twice with different --calls: what
 * the runs differ by is what calls cost, both ends together. */
#include <getopt.h>

#include <smf/core.h>
#include <smf/engine.h>
#include <smf/level2.h>

#include "bench_program.h"

#define METHOD 1u
#define STATUS_OK 200u
#define PAYLOAD_SIZE_BYTES_MAX 4096

struct rig {
    struct smf_core *server, *client;
    uint64_t conn;
    uint32_t payload_size_bytes;
    uint32_t depth; /* calls that are sent together */
    uint64_t replies;
    int connected;
    uint8_t payload[PAYLOAD_SIZE_BYTES_MAX];
};

static void check(int status, const char *what)
{
    if (status != SMF_OK) {
        bench_fail("%s: %s", what, smf_status_name(status));
    }
}

static void poll_server(struct rig *rig)
{
    const int count = smf_core_poll(rig->server, SMF_WAIT_NONE);
    for (int i = 0; i < count; i++) {
        const struct smf_event *event = &smf_core_turn(rig->server)->events[i];
        if (event->kind == SMF_EVENT_REQUEST) {
            check(smf_core_send(rig->server, event->conn, event->session, STATUS_OK, event->payload,
                                event->size_bytes),
                  "reply");
        }
    }
}

static void poll_client(struct rig *rig)
{
    const int count = smf_core_poll(rig->client, SMF_WAIT_NONE);
    for (int i = 0; i < count; i++) {
        const struct smf_event *event = &smf_core_turn(rig->client)->events[i];
        if (event->kind == SMF_EVENT_CONNECTED) {
            rig->connected = event->level;
        } else if (event->kind == SMF_EVENT_REPLY && event->meta == STATUS_OK) {
            rig->replies++;
        } else {
            bench_fail("event %u with %u", event->kind, event->meta);
        }
    }
}

/* A round: so many calls leave together, and so do their replies. */
static void call_together(struct rig *rig)
{
    const uint64_t due = rig->replies + rig->depth;
    for (uint32_t i = 1; i <= rig->depth; i++) {
        check(smf_core_send(rig->client, rig->conn, (uint16_t)i, METHOD, rig->payload,
                            rig->payload_size_bytes),
              "call");
    }
    do {
        poll_client(rig);
        poll_server(rig);
    } while (rig->replies < due);
}

static struct smf_engine *engine_open(int level)
{
    const struct smf_engine_config config = {
        .size = sizeof(config), .spin_us = -1, .level = (uint32_t)level};
    struct smf_engine *engine;
    struct smf_error error;
    if (smf_engine_open(&engine, &config, &error) != SMF_OK) {
        bench_fail("%s", error.text);
    }
    return engine;
}

static void run(struct rig *rig, int level, uint64_t calls)
{
    struct smf_engine *server = engine_open(level);
    struct smf_engine *client = engine_open(level);
    struct smf_error error;
    char address[64];

    (void)snprintf(address, sizeof(address), "unix:@smf-call-cost-%d", (int)getpid());
    rig->server = smf_engine_core(server, 0);
    rig->client = smf_engine_core(client, 0);
    if (smf_engine_listen(server, address, NULL, 0, &error) != SMF_OK ||
        smf_core_connect_with(rig->client, address, 0, level == 2 ? SMF_CONNECT_HELLO : 0,
                              &rig->conn, &error) != SMF_OK) {
        bench_fail("%s", error.text);
    }
    while (rig->connected == 0) {
        poll_client(rig);
        poll_server(rig);
    }
    if (rig->connected != level) {
        bench_fail("the connection is of level %d", rig->connected);
    }
    while (rig->replies < calls) {
        call_together(rig);
    }
    printf("%llu calls\n", (unsigned long long)rig->replies);
    smf_engine_close(client);
    smf_engine_close(server);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"level", required_argument, NULL, 'l'},
                                            {"depth", required_argument, NULL, 'd'},
                                            {"payload", required_argument, NULL, 'p'},
                                            {"calls", required_argument, NULL, 'n'},
                                            {NULL, 0, NULL, 0}};
    static struct rig rig = {.depth = 1, .payload_size_bytes = 64};
    uint64_t calls = 1000;
    int level = 2;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'l':
            level = (int)bench_number("--level", optarg, 1, 2);
            break;
        case 'd':
            rig.depth = (uint32_t)bench_number("--depth", optarg, 1, 1024);
            break;
        case 'p':
            rig.payload_size_bytes =
                (uint32_t)bench_number("--payload", optarg, 1, PAYLOAD_SIZE_BYTES_MAX);
            break;
        case 'n':
            calls = (uint64_t)bench_number("--calls", optarg, 1, INT64_MAX);
            break;
        default:
            bench_fail("usage: %s [--level 1|2] [--depth N] [--payload BYTES] [--calls N]",
                       argv[0]);
        }
    }
    memset(rig.payload, 'x', sizeof(rig.payload));
    run(&rig, level, calls);
    return 0;
}
