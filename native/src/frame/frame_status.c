#include <smf/code.h>
#include <smf/status.h>

const char *smf_status_name(int status)
{
    switch ((enum smf_status)status) {
    case SMF_OK:
        return "SMF_OK";
    case SMF_EINVAL:
        return "SMF_EINVAL";
    case SMF_ENOMEM:
        return "SMF_ENOMEM";
    case SMF_EADDRINUSE:
        return "SMF_EADDRINUSE";
    case SMF_EADDRESS:
        return "SMF_EADDRESS";
    case SMF_EPERMISSION:
        return "SMF_EPERMISSION";
    case SMF_ECLOSED:
        return "SMF_ECLOSED";
    case SMF_ELIMIT:
        return "SMF_ELIMIT";
    case SMF_ESYSTEM:
        return "SMF_ESYSTEM";
    case SMF_EREFUSED:
        return "SMF_EREFUSED";
    case SMF_ETIMEOUT:
        return "SMF_ETIMEOUT";
    case SMF_EUNSUPPORTED:
        return "SMF_EUNSUPPORTED";
    case SMF_EIO:
        return "SMF_EIO";
    case SMF_ENOSPACE:
        return "SMF_ENOSPACE";
    case SMF_EQUOTA:
        return "SMF_EQUOTA";
    case SMF_EREADONLY:
        return "SMF_EREADONLY";
    case SMF_ENOTFOUND:
        return "SMF_ENOTFOUND";
    case SMF_EEXIST:
        return "SMF_EEXIST";
    case SMF_ELOCKED:
        return "SMF_ELOCKED";
    case SMF_ECANCELLED:
        return "SMF_ECANCELLED";
    }
    return "SMF_E?";
}

const char *smf_code_name(uint32_t code)
{
    switch (code) {
    case SMF_CODE_OK:
        return "ok";
    case SMF_CODE_BAD_REQUEST:
        return "malformed request";
    case SMF_CODE_UNAUTHENTICATED:
        return "not authenticated";
    case SMF_CODE_PERMISSION:
        return "not permitted";
    case SMF_CODE_NOT_FOUND:
        return "not found";
    case SMF_CODE_DEADLINE:
        return "deadline passed";
    case SMF_CODE_CONFLICT:
        return "conflict";
    case SMF_CODE_PRECONDITION:
        return "precondition failed";
    case SMF_CODE_TOO_LARGE:
        return "too large";
    case SMF_CODE_MISDIRECTED:
        return "not served here";
    case SMF_CODE_LIMIT:
        return "over a limit";
    case SMF_CODE_CANCELLED:
        return "cancelled";
    case SMF_CODE_INTERNAL:
        return "handler failed";
    case SMF_CODE_NOT_IMPLEMENTED:
        return "not implemented";
    case SMF_CODE_UNAVAILABLE:
        return "unavailable";
    case SMF_CODE_LEVEL:
        return "level not supported";
    case SMF_CODE_OUT_OF_SPACE:
        return "out of space";
    default:
        return "unknown code";
    }
}
