package rpc_test

import (
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// Servers of the Java port echo the method's id where the status belongs.
func TestServersThatEchoTheMethodID(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	ended := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, err = io.Copy(conn, conn) // a request sent back is such a reply, byte for byte
		}
		ended <- err
	}()
	c := dialLevel1(t, listener.Addr().String())
	require.Equal(t, "hello", answer(t, c, 0x6ad4023d, "hello"))
	require.Equal(t, "again", answer(t, c, idEcho, "again"))
	require.NoError(t, c.Close())
	require.NoError(t, within(t, ended, "the server ends"))
}

// A status is not taken for an id because another call has that id.
func TestStatusOfAnotherMethodIsNoReply(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		frame := request(0, idEcho, "hello")
		if _, err := io.ReadFull(conn, frame); err != nil {
			return
		}
		binary.LittleEndian.PutUint32(frame[12:], idWork)
		_, _ = conn.Write(frame)
		_, _ = io.Copy(io.Discard, conn)
	}()
	c := dialLevel1(t, listener.Addr().String())
	require.EqualValues(t, idWork, fails(t, c, idEcho, "hello").Code)
}
