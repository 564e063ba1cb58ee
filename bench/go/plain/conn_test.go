package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/bench/go/workload"
	"github.com/smf-go/smf/schema/demo"
)

// dial returns the client's end of a connection that is served.
func dial(t *testing.T, typed bool) net.Conn {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	served, err := listener.Accept()
	require.NoError(t, err)
	go newConn(served, typed).serve()
	return client
}

// request is a reply's frame with a method where the status would be.
func request(session uint16, method uint32, payload []byte) []byte {
	return appendFrame(nil, session, method, payload)
}

func readFrame(t *testing.T, client net.Conn) (session uint16, status uint32, payload []byte) {
	var head [headerSize]byte
	_, err := io.ReadFull(client, head[:])
	require.NoError(t, err)
	payload = make([]byte, binary.LittleEndian.Uint32(head[4:]))
	_, err = io.ReadFull(client, payload)
	require.NoError(t, err)
	return binary.LittleEndian.Uint16(head[2:]), binary.LittleEndian.Uint32(head[12:]), payload
}

func TestEchoOfEverySize(t *testing.T) {
	client := dial(t, false)
	for session, size := range []int{1, 60, 4 << 10, 64 << 10, readSize - headerSize, readSize, sizeMax} {
		payload := bytes.Repeat([]byte{byte(size), 7, 1}, size)[:size]
		go func() { _, _ = client.Write(request(uint16(session), workload.Echo, payload)) }()
		got, status, echo := readFrame(t, client)
		require.Equal(t, uint16(session), got)
		require.Equal(t, uint32(statusOK), status)
		require.True(t, bytes.Equal(payload, echo), "size %d", size)
	}
}

// The reply of a slow method comes behind those of quick ones that were asked for later.
func TestSlowMethodsDoNotHoldUpOthers(t *testing.T) {
	client := dial(t, false)
	_, err := client.Write(append(request(1, workload.SleepMillisecond, []byte("slow")),
		request(2, workload.Echo, []byte("quick"))...))
	require.NoError(t, err)
	session, _, payload := readFrame(t, client)
	require.Equal(t, uint16(2), session)
	require.Equal(t, "quick", string(payload))
	session, _, payload = readFrame(t, client)
	require.Equal(t, uint16(1), session)
	require.Equal(t, "slow", string(payload))
}

func TestTypedEcho(t *testing.T) {
	builder := flatbuffers.NewBuilder(64)
	name := builder.CreateString("a name")
	demo.RequestStart(builder)
	demo.RequestAddName(builder, name)
	builder.Finish(demo.RequestEnd(builder))
	client := dial(t, true)
	_, err := client.Write(request(9, demo.SmfStorageGetMethodID, builder.FinishedBytes()))
	require.NoError(t, err)
	_, status, payload := readFrame(t, client)
	require.Equal(t, uint32(statusOK), status)
	require.NoError(t, demo.VerifyResponse(payload))
	require.Equal(t, "a name", string(demo.GetRootAsResponse(payload, 0).Name()))
}

func TestBadInput(t *testing.T) {
	client := dial(t, true)
	_, err := client.Write(append(request(1, 77, []byte("unknown")),
		request(2, demo.SmfStorageGetMethodID, []byte("no table at all"))...))
	require.NoError(t, err)
	_, status, _ := readFrame(t, client)
	require.Equal(t, uint32(statusNotFound), status)
	_, status, _ = readFrame(t, client)
	require.Equal(t, uint32(statusMalformed), status)

	wrong := request(3, demo.SmfStorageGetMethodID, []byte("text"))
	wrong[8]++ // the checksum
	_, err = client.Write(wrong)
	require.NoError(t, err)
	_, err = client.Read(make([]byte, 1))
	require.Error(t, err, "the connection is closed")
}
