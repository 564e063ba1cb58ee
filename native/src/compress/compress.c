/* The filter: which payloads of a call it reads and writes, and a codec for every core. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <smf/compress.h>

#include "compress/compress_codec.h"

#define CORES_MAX 256u /* a power of two; those beyond have no codec of their own */
#define OPTIONS_SIZE_MIN                                                                           \
    (offsetof(struct smf_compress_options, decompressed_size_bytes_max) + sizeof(uint64_t))

/* Whose codec it is. A core has one driver at a time: nobody else touches its codec. */
struct place {
    struct smf_core *core; /* atomic; NULL: nobody's yet */
    struct smf__codec codec;
};

struct smf_compress {
    struct smf_compress_options options;
    struct smf_filter filter;
    struct place places[CORES_MAX];
};

/* The codec of a core, or NULL when all are taken by others. */
static struct smf__codec *codec_of(struct smf_compress *compress, struct smf_core *core)
{
    uint32_t start = (uint32_t)((uintptr_t)core >> 6) * 0x9e3779b1u >> 24;

    for (uint32_t i = 0; i < CORES_MAX; i++) {
        struct place *place = &compress->places[(start + i) & (CORES_MAX - 1)];
        struct smf_core *owner = __atomic_load_n(&place->core, __ATOMIC_ACQUIRE);

        if (owner == core ||
            (owner == NULL && __atomic_compare_exchange_n(&place->core, &owner, core, 0,
                                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)))
            return &place->codec;
    }
    return NULL;
}

/* Decompresses a payload. Returns 0, or a status with call->problem. */
static int unpack(struct smf_compress *compress, struct smf_filter_call *call)
{
    struct smf__codec own = {0}, *codec = codec_of(compress, call->core);
    uint32_t plain_size;
    uint8_t *plain;
    int status = smf__codec_plain_size(call->compression, call->payload, call->size_bytes,
                                       compress->options.decompressed_size_bytes_max, &plain_size,
                                       &call->problem);

    if (status != SMF_OK)
        return status;
    status = smf_filter_reserve(call, plain_size, &plain);
    if (status != SMF_OK) {
        call->problem =
            status == SMF_ELIMIT
                ? "the payload is larger than memory_bytes allows, when it is decompressed"
                : "there is no memory to decompress the payload now";
        return status;
    }
    status = smf__codec_decompress(codec != NULL ? codec : &own, call->compression, call->payload,
                                   call->size_bytes, plain, plain_size);
    smf__codec_fini(&own);
    if (status == SMF_OK)
        return smf_filter_commit(call, plain_size, SMF_COMPRESSION_NONE);
    call->problem = status == SMF_EINVAL ? "the payload can't be decompressed: it is malformed"
                                         : "there is no memory to decompress the payload now";
    return status;
}

/* Compresses a payload, if that is to be done and makes it smaller; otherwise it goes as it is. */
static void pack(struct smf_compress *compress, struct smf_filter_call *call)
{
    const struct smf_compress_options *options = &compress->options;
    struct smf__codec own = {0}, *codec;
    uint32_t size;
    uint8_t *packed;

    if (options->compression == SMF_COMPRESSION_NONE || call->payload == NULL ||
        call->compression != SMF_COMPRESSION_NONE || call->size_bytes <= options->size_bytes_min ||
        (call->compressions >> options->compression & 1) == 0 || call->size_bytes < 2 ||
        smf_filter_reserve(call, call->size_bytes - 1, &packed) != SMF_OK)
        return;
    codec = codec_of(compress, call->core);
    size = smf__codec_compress(codec != NULL ? codec : &own, options->compression, options->level,
                               call->payload, call->size_bytes, packed, call->size_bytes - 1);
    smf__codec_fini(&own);
    if (size != 0)
        (void)smf_filter_commit(call, size, options->compression);
}

static int is_packed(const struct smf_filter_call *call)
{
    return call->payload != NULL &&
           (call->compression == SMF_COMPRESSION_ZSTD || call->compression == SMF_COMPRESSION_LZ4);
}

/* Reads a payload if it is compressed. Returns 0, or the code of a call that brings what can't be read. */
static uint32_t read_packed(struct smf_filter_call *call, void *context)
{
    if (!is_packed(call))
        return 0;
    switch (unpack(context, call)) {
    case SMF_OK:
        return 0;
    case SMF_ELIMIT:
        return SMF_CODE_TOO_LARGE;
    case SMF_ENOMEM:
        return SMF_CODE_UNAVAILABLE;
    default:
        return SMF_CODE_BAD_REQUEST;
    }
}

static uint32_t on_request(struct smf_filter_call *call, void *context)
{
    if (call->side == SMF_FILTER_SERVER)
        return read_packed(call, context);
    pack(context, call);
    return 0;
}

/* A message of a stream. */
static uint32_t on_message(struct smf_filter_call *call, void *context)
{
    const struct smf_compress *compress = context;

    if (call->message == SMF_FILTER_MESSAGE_IN)
        return read_packed(call, context);
    if (compress->options.streams != 0)
        pack(context, call);
    return 0;
}

static void on_reply(struct smf_filter_call *call, void *context)
{
    if (call->side == SMF_FILTER_SERVER)
        pack(context, call);
    else if (is_packed(call))
        call->status = unpack(context, call);
}

static int fail(struct smf_error *error_out, int status, const char *text)
{
    if (error_out != NULL) {
        error_out->status = status;
        error_out->os_errno = 0;
        (void)snprintf(error_out->text, sizeof error_out->text, "%s", text);
    }
    return status;
}

static int check_options(const struct smf_compress_options *options, struct smf_error *error_out)
{
    const uint8_t *bytes = (const uint8_t *)options;

    if (options->size < OPTIONS_SIZE_MIN)
        return fail(error_out, SMF_EINVAL,
                    "the options need their size: .size = sizeof(struct smf_compress_options)");
    for (uint32_t i = sizeof *options; i < options->size; i++) {
        if (bytes[i] != 0)
            return fail(error_out, SMF_EUNSUPPORTED,
                        "the options set what this version of the library does not know");
    }
    if (options->compression != SMF_COMPRESSION_NONE &&
        options->compression != SMF_COMPRESSION_ZSTD && options->compression != SMF_COMPRESSION_LZ4)
        return fail(
            error_out, SMF_EINVAL,
            "compression is SMF_COMPRESSION_NONE, SMF_COMPRESSION_ZSTD or SMF_COMPRESSION_LZ4");
    if (!smf__codec_has_level(options->compression, options->level))
        return fail(error_out, SMF_EINVAL,
                    "level is 0 to 22 for zstd, 0 to 12 for lz4, 0 for none");
    return SMF_OK;
}

int smf_compress_open(struct smf_compress **compress_out,
                      const struct smf_compress_options *options, struct smf_error *error_out)
{
    struct smf_compress *compress;
    int status;

    if (compress_out == NULL)
        return fail(error_out, SMF_EINVAL, "smf_compress_open: compress_out is NULL");
    status = options != NULL ? check_options(options, error_out) : SMF_OK;
    if (status != SMF_OK)
        return status;
    compress = calloc(1, sizeof *compress);
    if (compress == NULL)
        return fail(error_out, SMF_ENOMEM, "there is no memory for a compression filter");
    if (options != NULL)
        memcpy(&compress->options, options,
               options->size < sizeof *options ? options->size : sizeof *options);
    if (compress->options.decompressed_size_bytes_max == 0)
        compress->options.decompressed_size_bytes_max = SMF_COMPRESS_SIZE_BYTES_MAX_DEFAULT;
    compress->filter = (struct smf_filter){.size = sizeof compress->filter,
                                           .request = on_request,
                                           .reply = on_reply,
                                           .context = compress,
                                           .message = on_message};
    *compress_out = compress;
    return SMF_OK;
}

void smf_compress_close(struct smf_compress *compress)
{
    if (compress == NULL)
        return;
    for (uint32_t i = 0; i < CORES_MAX; i++)
        smf__codec_fini(&compress->places[i].codec);
    free(compress);
}

const struct smf_filter *smf_compress_filter(const struct smf_compress *compress)
{
    return &compress->filter;
}
