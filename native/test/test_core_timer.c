/* Timers of programs, in simulated time, and what they are for: a call that must end in time. */
#include <smf/code.h>
#include <smf/timer.h>

#include "test_serving.h"

#define LATE_MAX_NS (2 * SMF__TIMER_SLOT_NS)
#define MS_US 1000u

struct alarm {
    struct world *world;
    struct smf_timer *timer;
    int fired;
    uint64_t fired_ns;
    uint64_t again_us; /* starts itself again */
    int closes;        /* closes itself */
    uint64_t conn;     /* sends a call on it */
};

static void ring(struct smf_core *core, void *context)
{
    struct alarm *alarm = context;

    alarm->fired++;
    alarm->fired_ns = alarm->world->clock.now_ns;
    if (alarm->again_us != 0)
        smf_timer_start(alarm->timer, alarm->again_us);
    if (alarm->closes)
        smf_timer_close(alarm->timer);
    if (alarm->conn != 0)
        CHECK_EQ(smf_core_send(core, alarm->conn, 77, WORLD_METHOD, "again", 5), SMF_OK);
}

static void open_alarm(struct alarm *alarm, struct world *world)
{
    *alarm = (struct alarm){.world = world};
    CHECK_EQ(smf_timer_open(&alarm->timer, world->client, ring, alarm), SMF_OK);
}

static void open_world(struct world *world, struct serving *serving)
{
    struct smf__rpc_config limits = world_limits();

    serving_open(world, serving, SERVING_MEMORY_BYTES, &limits);
}

/* A poll without an end comes back when a timer has fired, with no events. */
static void it_fires_once_and_not_early(void)
{
    struct serving serving;
    struct world world;
    struct alarm alarm;
    uint64_t due_ns;

    open_world(&world, &serving);
    open_alarm(&alarm, &world);
    due_ns = world.clock.now_ns + 50 * WORLD_MS;
    smf_timer_start(alarm.timer, 50 * MS_US);
    CHECK_EQ(smf_core_poll(world.client, SMF_WAIT_FOREVER), 0);
    CHECK_EQ(alarm.fired, 1);
    CHECK_GE(alarm.fired_ns, due_ns);
    CHECK_LE(alarm.fired_ns, due_ns + LATE_MAX_NS);
    CHECK_EQ(smf_core_poll(world.client, 100 * MS_US), 0);
    CHECK_EQ(alarm.fired, 1);
    smf_timer_close(alarm.timer);
    world_close(&world);
}

static void it_is_moved_and_stopped(void)
{
    struct serving serving;
    struct world world;
    struct alarm alarm;

    open_world(&world, &serving);
    open_alarm(&alarm, &world);
    smf_timer_start(alarm.timer, 10 * MS_US);
    smf_timer_start(alarm.timer, 100 * MS_US); /* moved, not doubled */
    world_run(&world, 50);
    CHECK_EQ(alarm.fired, 0);
    world_run(&world, 60);
    CHECK_EQ(alarm.fired, 1);
    smf_timer_start(alarm.timer, 10 * MS_US);
    smf_timer_stop(alarm.timer);
    smf_timer_stop(alarm.timer);
    smf_timer_start(alarm.timer, UINT64_MAX); /* in some centuries */
    world_run(&world, 10000);
    CHECK_EQ(alarm.fired, 1);
    smf_timer_close(alarm.timer);
    smf_timer_close(NULL);
    world_close(&world);
}

static void it_may_start_and_close_itself(void)
{
    struct serving serving;
    struct world world;
    struct alarm again, once;

    open_world(&world, &serving);
    open_alarm(&again, &world);
    open_alarm(&once, &world);
    again.again_us = 20 * MS_US;
    once.closes = 1;
    smf_timer_start(again.timer, 0);
    smf_timer_start(once.timer, 0);
    world_run(&world, 1000);
    CHECK_EQ(once.fired, 1);
    CHECK_GE(again.fired, 1000 / (20 + 8));
    CHECK_LE(again.fired, 1000 / 20 + 1);
    smf_timer_close(again.timer);
    world_close(&world);
}

/* A call that gets no answer in time; what the timer sends goes out although no event comes. */
static void a_call_that_is_late(void)
{
    struct serving serving;
    struct world world;
    struct alarm alarm;
    struct smf_error error;
    uint64_t conn;

    open_world(&world, &serving);
    open_alarm(&alarm, &world);
    CHECK_EQ(smf_core_connect(world.client, WORLD_ADDRESS, 0, &conn, &error), SMF_OK);
    world_run(&world, 10);
    serving.hold = 1;
    CHECK_EQ(smf_core_send(world.client, conn, 76, WORLD_METHOD, "call", 4), SMF_OK);
    smf_timer_start(alarm.timer, 200 * MS_US);
    world_run(&world, 100);
    CHECK_EQ(world.requests, 1);
    alarm.conn = conn;
    serving.hold = 0;
    world_run(&world, 200);
    CHECK_EQ(alarm.fired, 1);
    CHECK_EQ(world.requests, 2);
    CHECK_EQ(world.replies, 1);
    CHECK_EQ(serving.reply_session, 77);
    let_go(&world); /* the late reply still comes: its session was not free before */
    world_run(&world, 10);
    CHECK_EQ(serving.reply_session, 76);
    smf_timer_close(alarm.timer);
    world_close(&world);
}

/* Codes and addresses. */

static void fail_all(struct world *world, struct smf_core *core, const struct smf_event *event)
{
    struct serving *serving = world->context;

    if (event->kind == SMF_EVENT_REQUEST) {
        CHECK_EQ(smf_core_peer(core, event->conn, serving->closed_peer, 4), SMF_EINVAL);
        CHECK_STR(serving->closed_peer, ""); /* never a part of it */
        CHECK_EQ(
            smf_core_peer(core, event->conn, serving->closed_peer, sizeof serving->closed_peer),
            SMF_OK);
        CHECK_EQ(smf_core_send_code(core, event->conn, event->session, SMF_CODE_NOT_FOUND), SMF_OK);
    } else if (event->kind == SMF_EVENT_REPLY) {
        static const uint8_t empty[] = {8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0};

        CHECK_EQ(event->size_bytes, sizeof empty);
        CHECK_MEM(event->payload, empty, sizeof empty);
        serving->reply_meta = event->meta;
    }
}

static void a_code_and_the_address_of_a_peer(void)
{
    char text[SMF__NET_ADDRESS_SIZE_BYTES] = "left over";
    struct serving serving;
    struct world world;
    struct smf_error error;
    uint64_t conn;

    open_world(&world, &serving);
    world.handle = fail_all;
    CHECK_EQ(smf_core_connect(world.client, WORLD_ADDRESS, 0, &conn, &error), SMF_OK);
    CHECK_EQ(smf_core_send(world.client, conn, 1, WORLD_METHOD, "call", 4), SMF_OK);
    world_run(&world, 10);
    CHECK_EQ(serving.reply_meta, SMF_CODE_NOT_FOUND);
    CHECK_GT(strlen(serving.closed_peer), 3);
    CHECK_STR(smf_code_name(serving.reply_meta), "not found");
    CHECK_STR(smf_code_name(200), "ok");
    CHECK_STR(smf_code_name(0), "unknown code");
    CHECK_EQ(smf_core_peer(world.client, conn, text, sizeof text), SMF_OK);
    CHECK_STR(text, WORLD_ADDRESS);
    CHECK_EQ(smf_core_peer(world.client, conn, text, sizeof WORLD_ADDRESS), SMF_OK);
    CHECK_EQ(smf_core_peer(world.client, conn, text, sizeof WORLD_ADDRESS - 1), SMF_EINVAL);
    CHECK_STR(text, "");
    CHECK_EQ(smf_core_peer(world.client, conn, NULL, 0), SMF_OK);
    CHECK_EQ(smf_core_peer(world.client, conn, NULL, 1), SMF_EINVAL);
    CHECK_EQ(smf_core_peer(world.client, conn + 1, text, sizeof text), SMF_ECLOSED);
    CHECK_STR(text, "");
    world_close(&world);
}

static const struct test tests[] = {
    TEST(it_fires_once_and_not_early),      TEST(it_is_moved_and_stopped),
    TEST(it_may_start_and_close_itself),    TEST(a_call_that_is_late),
    TEST(a_code_and_the_address_of_a_peer),
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
