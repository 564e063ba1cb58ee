/* The service of schema/conformance in C. */
#include "conformance.h"

#include "smf_demo.smf.h"

#define NAMES_MAX 4096
#define NAME_BYTES_MAX 64

/* What is kept of a text that a row has chosen: of a Wait, or of a Count. */
struct conformance_named {
    char name[NAME_BYTES_MAX];
    char told[16];
    uint64_t counted;
    struct smf_call later;
    struct smf_stream *held; /* a Hold that waits for Release */
};

static struct conformance_named *names[NAMES_MAX];
static int name_count;

static struct conformance_named *find(struct smf_flat_string name)
{
    for (int i = 0; i < name_count; i++) {
        if (strlen(names[i]->name) == name.size_bytes &&
            memcmp(names[i]->name, name.data, name.size_bytes) == 0)
            return names[i];
    }
    if (name_count == NAMES_MAX || name.size_bytes >= NAME_BYTES_MAX)
        conformance_fail("a name", "too many, or too long");
    names[name_count] = calloc(1, sizeof *names[0]);
    if (names[name_count] == NULL)
        conformance_fail("a name", "no memory");
    memcpy(names[name_count]->name, name.data, name.size_bytes);
    snprintf(names[name_count]->told, sizeof names[0]->told, "unknown");
    return names[name_count++];
}

static uint32_t answer(struct smf_call *call, const char *text, size_t size, uint64_t number)
{
    struct smf_flat_builder *b = &call->reply;
    struct smf_flat_string_ref ref = {0};

    if (size != 0)
        ref = smf_flat_build_string(b, text, size);
    smf_gen_conformance_Answer_start_table(b);
    if (size != 0)
        smf_gen_conformance_Answer_add_text(b, ref);
    smf_gen_conformance_Answer_add_number(b, number);
    smf_gen_conformance_Answer_finish_root(b, smf_gen_conformance_Answer_end_table(b));
    return SMF_CODE_OK;
}

typedef const struct smf_gen_conformance_Question *question_t;

static uint32_t echo(struct smf_call *call, question_t question, void *context)
{
    struct smf_flat_string text = smf_gen_conformance_Question_text(question);

    (void)context;
    return answer(call, text.data, text.size_bytes, 0);
}

static char *terminated(const void *data, size_t size)
{
    char *text = malloc(size + 1);

    if (text == NULL)
        conformance_fail("a text", "no memory");
    memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

static uint32_t fail(struct smf_call *call, question_t question, void *context)
{
    struct smf_flat_string text = smf_gen_conformance_Question_text(question);
    struct smf_flat_string type = smf_gen_conformance_Question_details_type(question);
    struct smf_flat_u8_vector details = smf_gen_conformance_Question_details(question);
    char *message = terminated(text.data, text.size_bytes);
    char *details_type = terminated(type.data, type.size_bytes);
    struct smf_failure failure = {.message = message,
                                  .details = details.count == 0 ? NULL : details.data,
                                  .details_size_bytes = details.count,
                                  .details_type = details_type,
                                  .retry_after_ms =
                                      smf_gen_conformance_Question_retry_after_ms(question)};
    uint32_t code = smf_call_fail(call, smf_gen_conformance_Question_code(question), &failure);

    (void)context;
    free(message);
    free(details_type);
    return code;
}

static void gave_up(uint32_t code, void *context)
{
    struct conformance_named *named = context;

    snprintf(named->told, sizeof named->told, "%u", code);
    smf_call_answer(&named->later, code);
}

static uint32_t wait_for_end(struct smf_call *call, question_t question, void *context)
{
    struct conformance_named *named = find(smf_gen_conformance_Question_text(question));
    uint32_t later = smf_call_defer(call, &named->later);

    (void)context;
    snprintf(named->told, sizeof named->told, "waits");
    smf_call_on_cancel(&named->later, gave_up, named);
    return later;
}

static uint32_t told(struct smf_call *call, question_t question, void *context)
{
    const struct conformance_named *named = find(smf_gen_conformance_Question_text(question));

    (void)context;
    return answer(call, named->told, strlen(named->told), 0);
}

static uint32_t deadline(struct smf_call *call, question_t question, void *context)
{
    uint64_t left_us = smf_call_time_left_us(call);

    (void)question, (void)context;
    if (left_us == UINT64_MAX)
        return answer(call, "none", 4, 0);
    return answer(call, "some", 4, (left_us + 500000) / 1000000);
}

static uint32_t metadata(struct smf_call *call, question_t question, void *context)
{
    struct smf_metadata_entry entry;
    struct smf_metadata block;
    uint32_t cursor = 0;
    uint64_t count = 0;

    (void)question, (void)context;
    (void)smf_call_metadata(call, &block);
    while (smf_metadata_next(&block, &cursor, &entry)) {
        char *key = terminated(entry.key, entry.key_size_bytes);
        int status = smf_call_add_metadata(call, key, entry.value, entry.value_size_bytes);

        free(key);
        if (status != SMF_OK)
            return SMF_CODE_INTERNAL;
        count++;
    }
    return answer(call, NULL, 0, count);
}

static uint32_t count(struct smf_call *call, question_t question, void *context)
{
    (void)context;
    find(smf_gen_conformance_Question_text(question))->counted++;
    return answer(call, NULL, 0, 0);
}

static uint32_t counted(struct smf_call *call, question_t question, void *context)
{
    (void)context;
    return answer(call, NULL, 0, find(smf_gen_conformance_Question_text(question))->counted);
}

static uint32_t large(struct smf_call *call, question_t question, void *context)
{
    uint32_t size = smf_gen_conformance_Question_size_bytes(question);
    char *text = conformance_pattern(size);

    (void)context;
    (void)answer(call, text, size, smf_gen_conformance_Question_text(question).size_bytes);
    free(text);
    return SMF_CODE_OK;
}

static uint32_t drain(struct smf_call *call, question_t question, void *context)
{
    (void)question, (void)context;
    smf_core_drain(call->core);
    return answer(call, NULL, 0, 0);
}

struct conformance_named *conformance_hold_begins(struct smf_flat_string name,
                                                  struct smf_stream *stream)
{
    struct conformance_named *named = find(name);

    snprintf(named->told, sizeof named->told, "waits");
    named->held = stream;
    return named;
}

void conformance_hold_ends(struct conformance_named *named, uint32_t code)
{
    named->held = NULL;
    if (code != SMF_CODE_OK)
        snprintf(named->told, sizeof named->told, "%u", code);
}

static uint32_t release(struct smf_call *call, question_t question, void *context)
{
    struct conformance_named *named = find(smf_gen_conformance_Question_text(question));
    struct smf_stream *held = named->held;

    (void)context;
    named->held = NULL;
    if (held != NULL)
        smf_stream_release(held);
    return answer(call, NULL, 0, 0);
}

static uint32_t get(struct smf_call *call, const struct smf_gen_demo_Request *request,
                    void *context)
{
    struct smf_flat_builder *b = &call->reply;
    struct smf_flat_string_ref name = smf_flat_build_copy(b, smf_gen_demo_Request_name(request));

    (void)context;
    smf_gen_demo_Response_start_table(b);
    smf_gen_demo_Response_add_name(b, name);
    smf_gen_demo_Response_finish_root(b, smf_gen_demo_Response_end_table(b));
    return SMF_CODE_OK;
}

void conformance_serve(struct smf_router *router)
{
    static const struct smf_gen_conformance_Conformance_server server = {.Echo = echo,
                                                                         .Fail = fail,
                                                                         .Wait = wait_for_end,
                                                                         .Told = told,
                                                                         .Deadline = deadline,
                                                                         .Metadata = metadata,
                                                                         .Count = count,
                                                                         .Counted = counted,
                                                                         .Large = large,
                                                                         .Drain = drain,
                                                                         .Release = release};
    static const struct smf_gen_demo_SmfStorage_server storage = {.Get = get};
    struct smf_error error = {SMF_ENOMEM, 0, "no memory"};

    if (smf_gen_conformance_Conformance_serve(router, &server, &error) != SMF_OK ||
        smf_gen_demo_SmfStorage_serve(router, &storage, &error) != SMF_OK)
        conformance_fail("serving", error.text);
    conformance_serve_streams(router);
}
