package rpc

import "fmt"

// acceptsAll is what a peer decompresses of whom nobody knows it.
const acceptsAll = 0xff

// offered is what Hello says of compressions, bits 1 << compression.
func offered(option string, compressions []Compression) (bits uint32, err error) {
	for _, c := range compressions {
		if c != CompressionZstd && c != CompressionLZ4 {
			return 0, fmt.Errorf("%s has %s; it may have zstd and lz4, those that filters decompress", option, c)
		}
		bits |= 1 << c
	}
	return bits, nil
}

// PeerAccepts reports whether the other side takes payloads with a compression: in a server the caller, in a
// client the server that a call made now would go to. At level 2 of the wire format that is so where both sides
// have it among their Compressions (ServerOptions, ClientOptions). At level 1 nobody says it, and it is true for all;
// so it is in a client whose filters call through something else than a *Client. While a client has no
// connection it is false. True for CompressionNone.
//
// A call whose request is compressed because of it, and that comes to another connection of level 2 whose server
// does not take it, is not sent: it fails with CodeUnavailable, and has not run. Called again, it gets
// another answer.
//
// Cost: a few nanoseconds.
func (c *Call) PeerAccepts(compression Compression) bool {
	if compressionOf(uint8(compression)) == CompressionNone {
		return true
	}
	accepts := c.accepts
	if c.side == SideClient {
		accepts = acceptedThrough(c.caller)
	}
	bit := uint8(1) << compression // 0 for what frames can't say
	if accepts&bit == 0 {
		return false
	}
	c.relied |= bit
	return true
}

// acceptedThrough is what is decompressed where a caller's calls go to now.
func acceptedThrough(caller Caller) uint8 {
	client, direct := caller.(*Client)
	if !direct {
		return acceptsAll
	}
	if conn := client.live.Load(); conn != nil {
		return conn.accepts()
	}
	return 0
}

// accepts is what the server decompresses, of a connection that is up.
func (c *clientConn) accepts() uint8 {
	if c.limits.Level < 2 {
		return acceptsAll
	}
	return uint8(c.limits.Compressions)
}

// refuseCompression is the error of a request that was compressed for another connection's server.
func (c *clientConn) refuseCompression(r *request) error {
	if r.call == nil || r.call.relied>>r.compression&1 == 0 || c.accepts()>>r.compression&1 != 0 {
		return nil
	}
	return &Error{Code: CodeUnavailable, Message: fmt.Sprintf("the request was compressed (%s) for a connection whose server takes that, "+
		"and now goes to %s, which does not: call again", Compression(r.compression), c.address)}
}
