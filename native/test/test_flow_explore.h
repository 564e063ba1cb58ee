/* Visits every state that the two ends of test_flow_model.h can reach, each way of going on from it, and checks
 * it there; then tells of runs that together have every kind of transition. */
#ifndef SMF_TEST_FLOW_EXPLORE_H
#define SMF_TEST_FLOW_EXPLORE_H

#include "test_flow_model.h"

/* States, packed: all that differs within a script. */

#define MODEL_PACKED_SIZE_BYTES 80

static inline uint8_t *model_pack_end(const struct model_end *end, uint8_t *at)
{
    const struct smf__flow *flow = &end->flow;

    *at++ = (uint8_t)flow->credit;
    *at++ = (uint8_t)flow->out_size;
    *at++ = (uint8_t)flow->out_done;
    *at++ = (uint8_t)flow->room;
    *at++ = (uint8_t)flow->owed;
    *at++ = (uint8_t)flow->in_size;
    *at++ = (uint8_t)flow->in_done;
    *at++ = (uint8_t)flow->untaken;
    *at++ = (uint8_t)flow->discount;
    *at++ = (uint8_t)(flow->out | flow->in << 2 | flow->out_torn << 4 | flow->in_plain << 5 |
                      flow->discards << 6 | end->opened << 7);
    *at++ = (uint8_t)(end->next | end->got << 3 | flow->holds << 6);
    *at++ = end->got_bytes;
    *at++ = (uint8_t)(end->taken | end->lasts << 4 | end->gave_up << 5 | end->early << 6 |
                      end->refused << 7);
    return at;
}

static inline void model_pack(const struct model_state *state, uint8_t *packed)
{
    uint8_t *at = packed;

    memset(packed, 0, MODEL_PACKED_SIZE_BYTES);
    for (int end = 0; end < 2; end++) {
        at = model_pack_end(&state->ends[end], at);
        *at++ = state->to[end].count;
        memcpy(at, state->to[end].frames, sizeof state->to[end].frames);
        at += sizeof state->to[end].frames;
    }
    CHECK_LE(at - packed, MODEL_PACKED_SIZE_BYTES);
}

/* The explorer: depth first. */

struct model_node {
    uint8_t packed[MODEL_PACKED_SIZE_BYTES];
    uint32_t parent;
    uint32_t child; /* one of those that follow; the node itself: final */
    struct model_move by, child_by;
    uint8_t on_path, next_move;
};

/* A kind of transition, and the node that it was first seen from. */
struct model_kind {
    uint64_t key;
    uint32_t node;
    struct model_move move;
    uint8_t covered;
};

struct model_search {
    const struct model_script *script;
    struct model_node *nodes;
    uint32_t *table; /* node + 1 by hash */
    uint32_t count, capacity, finals;
    uint64_t transitions;
    struct model_kind kinds[MODEL_KINDS_MAX];
    uint32_t kind_count;
};

static inline uint32_t model_slot(const struct model_search *search, const uint8_t *packed)
{
    uint64_t hash = 0x9e3779b97f4a7c15ull, word;
    uint32_t mask = search->capacity * 2 - 1, slot;

    for (int i = 0; i < MODEL_PACKED_SIZE_BYTES; i += 8) {
        memcpy(&word, packed + i, 8);
        hash = (hash ^ word) * 0xff51afd7ed558ccdull;
        hash ^= hash >> 32;
    }
    slot = (uint32_t)hash & mask;
    while (search->table[slot] != 0 && memcmp(search->nodes[search->table[slot] - 1].packed, packed,
                                              MODEL_PACKED_SIZE_BYTES) != 0)
        slot = (slot + 1) & mask;
    return slot;
}

static inline void model_grow(struct model_search *search)
{
    search->capacity = search->capacity != 0 ? search->capacity * 2 : 1u << 14;
    search->nodes = realloc(search->nodes, search->capacity * sizeof *search->nodes);
    free(search->table);
    search->table = calloc((size_t)search->capacity * 2, sizeof *search->table);
    CHECK(search->nodes != NULL && search->table != NULL);
    for (uint32_t i = 0; i < search->count; i++)
        search->table[model_slot(search, search->nodes[i].packed)] = i + 1;
}

/* Finds a state, or adds it; *added_out says which. */
static inline uint32_t model_node(struct model_search *search, const struct model_state *state,
                                  int *added_out)
{
    uint8_t packed[MODEL_PACKED_SIZE_BYTES];
    uint32_t slot;

    if (search->count == search->capacity)
        model_grow(search);
    model_pack(state, packed);
    slot = model_slot(search, packed);
    *added_out = search->table[slot] == 0;
    if (*added_out) {
        struct model_node *node = &search->nodes[search->count++];

        memset(node, 0, sizeof *node);
        memcpy(node->packed, packed, sizeof packed);
        node->child = UINT32_MAX;
        search->table[slot] = search->count;
    }
    return search->table[slot] - 1;
}

/* What makes two transitions different for who replays them. */
static inline uint64_t model_key(const struct model_state *before, struct model_move move,
                                 const struct smf__flow_step *step)
{
    const struct smf__flow *flow = &before->ends[move.end].flow;
    const struct model_channel *channel = &before->to[move.end];
    uint64_t key = move.action | (uint64_t)move.end << 4 | (uint64_t)flow->out << 5 |
                   (uint64_t)flow->in << 7 | (uint64_t)flow->discards << 9 |
                   (uint64_t)(flow->out_size != 0) << 10 | (uint64_t)(flow->in_size != 0) << 11 |
                   (uint64_t)(flow->untaken != 0) << 12 | (uint64_t)flow->out_torn << 13 |
                   (uint64_t)flow->stream << 14 | (uint64_t)flow->holds << 15 |
                   (uint64_t)step->meaning << 16;

    return move.action == MODEL_RECEIVE ? key | (uint64_t)channel->frames[0].flags << 32 : key;
}

static inline struct model_kind *model_kind(struct model_search *search, uint64_t key)
{
    for (uint32_t i = 0; i < search->kind_count; i++) {
        if (search->kinds[i].key == key)
            return &search->kinds[i];
    }
    CHECK_LT(search->kind_count, MODEL_KINDS_MAX);
    search->kinds[search->kind_count] = (struct model_kind){.key = key, .node = UINT32_MAX};
    return &search->kinds[search->kind_count++];
}

static inline void model_note(struct model_search *search, uint32_t node, struct model_move move,
                              uint64_t key)
{
    struct model_kind *kind = model_kind(search, key);

    if (kind->node != UINT32_MAX)
        return;
    kind->node = node;
    kind->move = move;
}

static inline void model_path_to(const struct model_search *search, uint32_t node,
                                 struct model_trace *trace)
{
    uint32_t count = 0;

    for (uint32_t at = node; at != 0; at = search->nodes[at].parent)
        count++;
    CHECK_LE(count, MODEL_TRACE_MAX);
    trace->script = search->script;
    trace->count = count;
    for (uint32_t at = node; at != 0; at = search->nodes[at].parent)
        trace->moves[--count] = search->nodes[at].by;
}

static inline void model_print(const struct model_trace *trace)
{
    static const char *const actions[MODEL_ACTIONS] = {
        [MODEL_SEND] = "sends",       [MODEL_RECEIVE] = "receives", [MODEL_GIVE] = "gives credit",
        [MODEL_TAKE] = "takes",       [MODEL_RESET] = "resets",     [MODEL_CANCEL] = "cancels",
        [MODEL_EARLY] = "ends early", [MODEL_REFUSE] = "refuses",   [MODEL_FEED] = "gets memory"};

    fprintf(stderr, "%s:", trace->script->name);
    for (uint32_t i = 0; i < trace->count; i++)
        fprintf(stderr, "%s %s %s", i != 0 ? "," : "",
                trace->moves[i].end == MODEL_CALLER ? "caller" : "callee",
                actions[trace->moves[i].action]);
    fprintf(stderr, "\n");
}

/* The state of a node: its run from the beginning, done again. */
static inline struct model_state model_state_of(const struct model_search *search, uint32_t node)
{
    struct model_state state;
    struct model_trace trace;
    struct smf__flow_step step;

    model_path_to(search, node, &trace);
    model_begin(search->script, &state);
    for (uint32_t i = 0; i < trace.count; i++)
        CHECK(model_do(search->script, &state, trace.moves[i], &step));
    return state;
}

static inline struct model_move model_move(uint32_t number)
{
    return (struct model_move){(uint8_t)(number / 2), (uint8_t)(number % 2)};
}

#define MODEL_MOVES (2u * MODEL_ACTIONS)

/* Goes on from the state at the end of the path, in a way that was not tried. 0: all were. */
static inline int model_step(struct model_search *search, struct model_state *states,
                             uint32_t *path, uint32_t *depth)
{
    uint32_t at = path[*depth];
    struct model_node *node = &search->nodes[at];

    while (node->next_move < MODEL_MOVES) {
        struct model_move move = model_move(node->next_move++);
        struct model_state after = states[*depth];
        struct smf__flow_step step;
        uint32_t next;
        int added;

        if (!model_do(search->script, &after, move, &step))
            continue;
        search->transitions++;
        model_note(search, at, move, model_key(&states[*depth], move, &step));
        model_check(search->script, &after);
        next = model_node(search, &after, &added);
        node = &search->nodes[at];
        CHECK(!search->nodes[next].on_path); /* it would never have to end */
        if (node->child == UINT32_MAX) {
            node->child = next;
            node->child_by = move;
        }
        if (!added)
            continue;
        search->nodes[next].parent = at;
        search->nodes[next].by = move;
        search->nodes[next].on_path = 1;
        CHECK_LT(*depth + 1, MODEL_TRACE_MAX);
        path[++*depth] = next;
        states[*depth] = after;
        return 1;
    }
    return 0;
}

static inline void model_explore(struct model_search *search, const struct model_script *script)
{
    static struct model_state states[MODEL_TRACE_MAX];
    static uint32_t path[MODEL_TRACE_MAX];
    uint32_t depth = 0;
    int added, more = 1;

    memset(search, 0, sizeof *search);
    search->script = script;
    model_begin(script, &states[0]);
    path[0] = model_node(search, &states[0], &added);
    search->nodes[0].on_path = 1;
    while (more) {
        struct model_node *node;

        if (model_step(search, states, path, &depth))
            continue;
        node = &search->nodes[path[depth]];
        node->on_path = 0;
        if (node->child == UINT32_MAX) { /* nothing can happen any more */
            if (!model_is_final(&states[depth])) {
                struct model_trace trace;

                model_path_to(search, path[depth], &trace);
                model_print(&trace);
            }
            CHECK(model_is_final(&states[depth]));
            node->child = path[depth];
            search->finals++;
        }
        more = depth != 0;
        depth -= depth != 0;
    }
}

static inline void model_forget(struct model_search *search)
{
    free(search->nodes);
    free(search->table);
}

/* Traces. */

/* A run that has the kind, from the beginning to the end. Says which kinds it has. */
static inline void model_run_of(struct model_search *search, const struct model_kind *kind,
                                struct model_trace *trace)
{
    struct model_state state;
    struct smf__flow_step step;
    uint32_t node;
    int added;

    model_path_to(search, kind->node, trace);
    state = model_state_of(search, kind->node);
    trace->moves[trace->count++] = kind->move;
    CHECK(model_do(search->script, &state, kind->move, &step));
    for (node = model_node(search, &state, &added); search->nodes[node].child != node;
         node = search->nodes[node].child) {
        CHECK_LT(trace->count, MODEL_TRACE_MAX);
        trace->moves[trace->count++] = search->nodes[node].child_by;
    }
    model_begin(search->script, &state);
    for (uint32_t i = 0; i < trace->count; i++) {
        struct model_state before = state;

        CHECK(model_do(search->script, &state, trace->moves[i], &step));
        model_kind(search, model_key(&before, trace->moves[i], &step))->covered = 1;
    }
    CHECK(model_is_final(&state));
}

/* Calls tell with runs that together have every kind of transition of what was explored. Returns how
 * many. */
static inline uint32_t model_traces(struct model_search *search,
                                    void (*tell)(const struct model_trace *trace, void *context),
                                    void *context)
{
    struct model_trace trace;
    uint32_t count = 0;

    for (uint32_t i = 0; i < search->kind_count; i++) {
        if (search->kinds[i].covered)
            continue;
        model_run_of(search, &search->kinds[i], &trace);
        CHECK(search->kinds[i].covered);
        tell(&trace, context);
        count++;
    }
    return count;
}

#endif
