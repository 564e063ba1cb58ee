/* The streams of schema/conformance in C. */
#include "conformance.h"

#include "streams.smf.h"

#define COLLECTED_MAX 1000 /* bytes of texts that Collect answers with */

typedef const struct smf_gen_conformance_Question *question_t;

/* What a stream has still to say, and what it has counted. */
struct said {
    char *text;       /* of List's answers, or of Collect's; owned */
    size_t size;      /* of the text */
    uint64_t number;  /* of messages that came */
    uint64_t bytes;   /* in them */
    uint32_t left;    /* answers of List that are to come */
    uint32_t answers; /* of List, that were sent */
    int pending;      /* an answer waits in the builder */
    int ending;       /* the end is behind it */
    int held;         /* Hold has its name, and waits for Release */
    struct conformance_named *named;
};

static char *copy_of(struct smf_flat_string text)
{
    char *copy = malloc(text.size_bytes + 1u);

    if (copy == NULL)
        conformance_fail("a text", "no memory");
    memcpy(copy, text.data, text.size_bytes);
    copy[text.size_bytes] = '\0';
    return copy;
}

static uint32_t begin(struct smf_stream *stream, void *context)
{
    struct said *said = calloc(1, sizeof *said);

    (void)context;
    if (said == NULL)
        conformance_fail("a stream", "no memory");
    smf_stream_set_user(stream, said);
    return SMF_CODE_OK;
}

static void finish(struct smf_stream *stream, uint32_t code, void *context)
{
    struct said *said = smf_stream_user(stream);

    (void)context;
    if (said == NULL)
        return;
    if (said->named != NULL)
        conformance_hold_ends(said->named, code);
    free(said->text);
    free(said);
    smf_stream_set_user(stream, NULL);
}

/* Sends what is in the builder. Returns 0 when it has to wait there; an answer that can't be sent ends the call. */
static int send_built(struct smf_stream *stream, struct said *said)
{
    int status = smf_stream_send(stream, smf_stream_builder(stream));

    said->pending = status == SMF_ELIMIT || status == SMF_ENOMEM;
    if (said->pending || status == SMF_OK)
        return !said->pending;
    smf_flat_builder_fini(smf_stream_builder(stream));
    smf_stream_end(stream, status == SMF_EINVAL ? SMF_CODE_TOO_LARGE : SMF_CODE_INTERNAL);
    return 0;
}

static int say(struct smf_stream *stream, struct said *said, const char *text, size_t size,
               uint64_t number)
{
    struct smf_flat_builder *b = smf_stream_builder(stream);
    struct smf_flat_string_ref ref = {0};

    if (size != 0)
        ref = smf_flat_build_string(b, text, size);
    smf_gen_conformance_Answer_start_table(b);
    if (size != 0)
        smf_gen_conformance_Answer_add_text(b, ref);
    smf_gen_conformance_Answer_add_number(b, number);
    smf_gen_conformance_Answer_finish_root(b, smf_gen_conformance_Answer_end_table(b));
    return send_built(stream, said);
}

/* The last answer of a stream, and its end. */
static void say_last(struct smf_stream *stream, const char *text, size_t size, uint64_t number)
{
    struct said *said = smf_stream_user(stream);

    said->ending = 1;
    if (say(stream, said, text, size, number))
        smf_stream_end(stream, SMF_CODE_OK);
}

/* Ends a stream as a question asks for. */
static uint32_t fail_as_told(struct smf_stream *stream, question_t question)
{
    char *message = copy_of(smf_gen_conformance_Question_text(question));
    char *type = copy_of(smf_gen_conformance_Question_details_type(question));
    struct smf_flat_u8_vector details = smf_gen_conformance_Question_details(question);

    uint32_t code = smf_stream_fail(
        stream, smf_gen_conformance_Question_code(question),
        &(struct smf_failure){.message = message,
                              .details = details.count == 0 ? NULL : details.data,
                              .details_size_bytes = details.count,
                              .details_type = type,
                              .retry_after_ms =
                                  smf_gen_conformance_Question_retry_after_ms(question)});
    free(message);
    free(type);
    return code;
}

/* Collect. */

static void collect(struct smf_stream *stream, question_t question, void *context)
{
    struct smf_flat_string text = smf_gen_conformance_Question_text(question);
    struct said *said = smf_stream_user(stream);

    (void)context;
    if (smf_gen_conformance_Question_code(question) != 0) {
        (void)fail_as_told(stream, question);
        return;
    }
    if (said->text == NULL && (said->text = calloc(1, 2 * COLLECTED_MAX)) == NULL)
        conformance_fail("a text", "no memory");
    said->bytes += text.size_bytes;
    if (said->bytes > COLLECTED_MAX)
        return;
    if (said->number++ > 0)
        said->text[said->size++] = ',';
    memcpy(said->text + said->size, text.data, text.size_bytes);
    said->size += text.size_bytes;
}

static void collected(struct smf_stream *stream, void *context)
{
    const struct said *said = smf_stream_user(stream);

    (void)context;
    if (said->bytes > COLLECTED_MAX)
        say_last(stream, NULL, 0, said->bytes);
    else
        say_last(stream, said->text, said->size, said->number);
}

/* List. */

static void list_on(struct smf_stream *stream, void *context)
{
    struct said *said = smf_stream_user(stream);

    (void)context;
    if (said->pending && !send_built(stream, said))
        return;
    while (said->left > 0) {
        said->left--;
        if (!say(stream, said, said->text, said->size, ++said->answers))
            return;
    }
    smf_stream_end(stream, SMF_CODE_OK);
}

static uint32_t list(struct smf_stream *stream, question_t question, void *context)
{
    uint32_t size = smf_gen_conformance_Question_size_bytes(question);
    uint32_t code = smf_gen_conformance_Question_code(question);
    struct said *said;

    (void)begin(stream, context);
    said = smf_stream_user(stream);
    said->left = smf_gen_conformance_Question_count(question);
    said->text = size != 0 ? conformance_pattern(size)
                           : copy_of(smf_gen_conformance_Question_text(question));
    said->size = strlen(said->text);
    while (code != 0 && said->left > 0) { /* few: they fit in */
        said->left--;
        (void)say(stream, said, said->text, said->size, ++said->answers);
    }
    if (code != 0)
        return fail_as_told(stream, question);
    list_on(stream, NULL);
    return SMF_CODE_OK;
}

/* Talk. */

static uint32_t talk_begins(struct smf_stream *stream, void *context)
{
    struct smf_metadata_entry entry;
    struct smf_metadata block;
    uint32_t cursor = 0;

    (void)smf_stream_metadata(stream, &block);
    while (smf_metadata_next(&block, &cursor, &entry)) {
        char *key =
            copy_of((struct smf_flat_string){(const char *)entry.key, entry.key_size_bytes});
        int status = smf_stream_add_metadata(stream, key, entry.value, entry.value_size_bytes);

        free(key);
        if (status != SMF_OK)
            return SMF_CODE_INTERNAL;
    }
    return begin(stream, context);
}

static void talk(struct smf_stream *stream, question_t question, void *context)
{
    struct smf_flat_string text = smf_gen_conformance_Question_text(question);
    uint32_t size = smf_gen_conformance_Question_size_bytes(question);
    struct said *said = smf_stream_user(stream);
    char *made = size != 0 ? conformance_pattern(size) : NULL;

    (void)context;
    if (smf_gen_conformance_Question_code(question) != 0)
        (void)fail_as_told(stream, question);
    else if (text.size_bytes == 3 && memcmp(text.data, "bye", 3) == 0)
        smf_stream_end(stream, SMF_CODE_OK);
    else if (!say(stream, said, made != NULL ? made : text.data,
                  made != NULL ? size : text.size_bytes, ++said->number) &&
             said->pending)
        smf_stream_hold(stream);
    free(made);
}

static void on_writable(struct smf_stream *stream, void *context)
{
    struct said *said = smf_stream_user(stream);

    (void)context;
    if (said->pending && !send_built(stream, said))
        return;
    if (said->ending)
        smf_stream_end(stream, SMF_CODE_OK);
    else
        smf_stream_release(stream);
}

static void talk_ends(struct smf_stream *stream, void *context)
{
    const struct said *said = smf_stream_user(stream);

    (void)context;
    say_last(stream, "end", 3, said->number);
}

/* Hold. */

static void hold(struct smf_stream *stream, question_t question, void *context)
{
    struct smf_flat_string text = smf_gen_conformance_Question_text(question);
    struct said *said = smf_stream_user(stream);

    (void)context;
    if (smf_gen_conformance_Question_code(question) != 0) {
        (void)fail_as_told(stream, question);
    } else if (said->held) {
        said->bytes += text.size_bytes;
    } else {
        said->held = 1;
        said->named = conformance_hold_begins(text, stream);
        smf_stream_hold(stream);
    }
}

static void hold_ends(struct smf_stream *stream, void *context)
{
    const struct said *said = smf_stream_user(stream);

    (void)context;
    say_last(stream, NULL, 0, said->bytes);
}

void conformance_serve_streams(struct smf_router *router)
{
    static const struct smf_gen_conformance_Streams_server server = {
        .Collect = {begin, collect, collected, on_writable, finish},
        .List = {list, list_on, finish},
        .Talk = {talk_begins, talk, talk_ends, on_writable, finish},
        .Hold = {begin, hold, hold_ends, on_writable, finish}};
    struct smf_error error = {SMF_ENOMEM, 0, "no memory"};

    if (smf_gen_conformance_Streams_serve(router, &server, &error) != SMF_OK)
        conformance_fail("serving streams", error.text);
}
