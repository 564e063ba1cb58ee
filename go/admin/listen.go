package admin

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Listen listens where an admin server is to be reached. "33140" and ":33140" are ports of 127.0.0.1:
// only an address that names its host, like "0.0.0.0:33140" or "[::]:33140", is open to other machines.
// Spaces around it are of no account. The error of a text that is no address is no *net.OpError: nothing
// was tried.
func Listen(address string) (net.Listener, error) {
	address = strings.TrimSpace(address)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		if !isNumber(address) {
			return nil, fmt.Errorf("not an address: a port, or host:port, like 127.0.0.1:33140")
		}
		host, port = "", address
	}
	if _, err := net.LookupPort("tcp", port); err != nil || port == "" {
		return nil, fmt.Errorf("not an address: the port is no number from 0 to 65535, nor the name of a service")
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.Listen("tcp", net.JoinHostPort(host, port))
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}
