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
    }
    return "SMF_E?";
}
