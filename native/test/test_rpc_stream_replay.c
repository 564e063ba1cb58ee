/* Runs that the explorer of test_flow_explore.h found, made again with two real cores: the programs send, take,
 * cancel and answer in the order of the run, and the cores take turns as frames arrive in it. When a core does
 * what is due is its own business; what comes of it is not: every message once and in order, one last frame,
 * and nothing left behind. */
#include "test_flow_explore.h"
#include "test_stream.h"

#define UNIT_BYTES 4096u
#define SENDS_MAX 16

/* What the run has the server's program send, before it knows of the call. */
struct answer {
    uint32_t flags, size, status;
};

struct stage {
    struct party *party;
    uint16_t session;
    int takes_due[2];
    struct answer due[SENDS_MAX];
    uint32_t due_count, due_done;
    int refuses, cancelled, early;
    uint32_t traces;
};

static struct stage stage;

static void take_what_came(struct stage *at, int of)
{
    struct talk *talk = &at->party->talks[of][at->session];

    while (at->takes_due[of] > 0 && talk->taken < talk->messages) {
        at->takes_due[of]--;
        party_take(at->party, of, at->session);
    }
}

/* The server's program answers what it knows of. */
static void answer_what_is_due(struct stage *at)
{
    struct talk *talk = &at->party->talks[SERVER][at->session];

    if (talk->requests == 0)
        return;
    while (at->due_done < at->due_count) {
        const struct answer *due = &at->due[at->due_done];

        if ((due->flags & SMF_FRAME_FIN) && talk->fins == 0 && !at->early && !at->cancelled)
            return; /* in the run it has got everything by now */
        at->due_done++;
        party_send_as(at->party, SERVER, at->session, due->status, due->flags, due->size);
    }
}

static void add_answer(struct stage *at, struct answer answer)
{
    CHECK_LT(at->due_count, SENDS_MAX);
    at->due[at->due_count++] = answer;
}

/* The program of an end sends a message that the run begins. */
static void send_one(struct stage *at, const struct model_script *script,
                     const struct model_state *state, int end)
{
    const struct model_end *from = &state->ends[end];
    struct answer answer = {.status = SMF_CODE_OK};

    if (from->flow.out_size != 0) /* a further slice: the core's business */
        return;
    if (!model_next(script, state, end, &answer.size, &answer.flags))
        return;
    answer.size *= UNIT_BYTES;
    if (end == MODEL_CALLER)
        party_call(at->party, at->session, answer.flags, answer.size);
    else
        add_answer(at, answer);
}

static void act(struct stage *at, const struct model_script *script,
                const struct model_state *state, struct model_move move)
{
    int of = move.end == MODEL_CALLER ? CLIENT : SERVER;

    switch (move.action) {
    case MODEL_SEND:
        send_one(at, script, state, move.end);
        break;
    case MODEL_TAKE:
        at->takes_due[of]++;
        break;
    case MODEL_CANCEL:
        at->cancelled = 1;
        at->party->talks[CLIENT][at->session].gave_up = 1;
        CHECK_EQ(smf_core_cancel(at->party->world.client, at->party->conn, at->session,
                                 SMF_CODE_CANCELLED),
                 SMF_OK);
        break;
    case MODEL_EARLY:
        at->early = 1;
        break;
    case MODEL_REFUSE:
        at->refuses = 1;
        add_answer(at, (struct answer){SMF_FRAME_RESET, 0, SMF_CODE_UNAVAILABLE});
        break;
    case MODEL_RECEIVE:
        (void)world_turn(&at->party->world, party_core(at->party, of));
        break;
    default: /* credit, resets and memory are the cores' business */
        break;
    }
    take_what_came(at, CLIENT);
    take_what_came(at, SERVER);
    answer_what_is_due(at);
}

/* Lets everything happen that still can: what came is taken, what is due is sent. */
static void play_out(struct stage *at, const struct model_trace *trace)
{
    const struct model_script *script = trace->script;
    struct talk *caller = &at->party->talks[CLIENT][at->session];

    for (int round = 0; round < 40; round++) {
        at->takes_due[CLIENT] = at->takes_due[SERVER] = MODEL_MESSAGES_MAX + 1;
        take_what_came(at, CLIENT);
        take_what_came(at, SERVER);
        answer_what_is_due(at);
        world_run(&at->party->world, 2);
    }
    if (caller->replies != 1)
        model_print(trace);
    CHECK_EQ(caller->replies, 1);
    CHECK_EQ(party_sessions(at->party, CLIENT), 0);
    CHECK_EQ(party_sessions(at->party, SERVER), 0);
    CHECK_EQ(smf_core_turn(at->party->world.client)->in_flight, 0);
    CHECK_EQ(smf_core_turn(at->party->world.server)->in_flight, 0);
    if (at->cancelled || at->early || at->refuses)
        return;
    CHECK_EQ(caller->status, SMF_CODE_OK);
    CHECK_EQ(caller->messages, model_messages(script, MODEL_CALLEE));
    if (!script->plain_request &&
        at->party->talks[SERVER][at->session].messages != model_messages(script, MODEL_CALLER))
        model_print(trace);
    if (!script->plain_request)
        CHECK_EQ(at->party->talks[SERVER][at->session].messages,
                 model_messages(script, MODEL_CALLER));
}

static void replay(const struct model_trace *trace, void *context)
{
    const struct model_script *script = trace->script;
    struct stage *at = context;
    struct model_state state;
    struct smf__flow_step step;

    at->session = (uint16_t)(at->session % (PARTY_SESSIONS - 1) + 1);
    for (int of = CLIENT; of <= SERVER; of++) {
        at->party->talks[of][at->session] = (struct talk){.keeps = 1};
        at->takes_due[of] = 0;
    }
    at->due_count = at->due_done = 0;
    at->refuses = at->cancelled = at->early = 0;
    if (script->plain_request)
        party_call(at->party, at->session, 0, 10);
    model_begin(script, &state);
    for (uint32_t i = 0; i < trace->count; i++) {
        act(at, script, &state, trace->moves[i]);
        CHECK(model_do(script, &state, trace->moves[i], &step));
    }
    play_out(at, trace);
    at->traces++;
}

static void replay_script(const struct model_script *script)
{
    struct smf__rpc_config limits = world_limits();
    static struct model_search search;

    limits.credit_bytes = script->window * UNIT_BYTES;
    memset(&stage, 0, sizeof stage);
    stage.party = party_open_with(&limits, 256ull << 20);
    party_connect(stage.party);
    stage.party->keeps = 1;
    model_explore(&search, script);
    (void)model_traces(&search, replay, &stage);
    model_forget(&search);
    test_note("%s: %u runs", script->name, stage.traces);
    party_close(stage.party);
}

static void what_the_model_does_the_cores_do(void)
{
    for (uint32_t i = 0; i < MODEL_SCRIPTS; i++)
        replay_script(&model_scripts[i]);
}

static const struct test tests[] = {TEST(what_the_model_does_the_cores_do)};

int main(int argc, char **argv)
{
    return test_main(argc, argv, tests, TEST_COUNT(tests));
}
