package rpc_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

// line names a line of the test that calls it: 0 is its own, 1 the next one.
func line(t testing.TB, offset int) string {
	t.Helper()
	_, file, number, ok := runtime.Caller(1)
	require.True(t, ok)
	return fmt.Sprintf("%s:%d", file, number+offset)
}

func newServer(t testing.TB) *rpc.Server {
	t.Helper()
	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return server
}

// A service that can't be is refused with what is wrong, and where it is.
func TestServicesThatCanNotBe(t *testing.T) {
	server := newServer(t)
	get := rpc.Method{Name: "Get", ID: idWork, Handle: echo}
	with := func(change func(*rpc.Method)) rpc.Service {
		m := rpc.Method{Name: "Put", ID: idMore, Handle: echo}
		change(&m)
		return rpc.Service{Name: "Store", Package: "shop", Source: "shop.fbs", Methods: []rpc.Method{get, m}}
	}
	streaming := func(s rpc.Streaming) rpc.Service {
		return with(func(m *rpc.Method) { m.Streaming = s })
	}
	const noStreams = ": its handler is HandleStream, and Handle is nil"
	for _, test := range []struct {
		service rpc.Service
		says    string
	}{
		{rpc.Service{}, "rpc: a service has no name (registered at HERE)"},
		{rpc.Service{Name: "smf", Package: "shop", Source: "shop.fbs", Methods: []rpc.Method{get}},
			"rpc: service shop.smf (shop.fbs, registered at HERE): the name is reserved for the protocol itself; rename the service"},
		{rpc.Service{Name: "Store"}, "rpc: service Store (registered at HERE): there are no methods"},
		{with(func(m *rpc.Method) { m.Name = "" }),
			"rpc: service shop.Store (shop.fbs, registered at HERE): method 2 of 2 has no name"},
		{with(func(m *rpc.Method) { m.Name = "Get" }),
			"rpc: service shop.Store (shop.fbs, registered at HERE): two methods are named Get; rename one of them"},
		{with(func(m *rpc.Method) { m.ID = idWork }),
			"rpc: service shop.Store (shop.fbs, registered at HERE): methods Get and Put have the same id 1001; rename one of them"},
		{with(func(m *rpc.Method) { m.Handle = nil }),
			"rpc: service shop.Store (shop.fbs, registered at HERE): method Put has no handler; the generated RegisterStoreServer gives every method one"},
		{streaming(rpc.StreamingClient), "rpc: service shop.Store (shop.fbs, registered at HERE): method Put streams (client)" + noStreams},
		{streaming(rpc.StreamingServer), "rpc: service shop.Store (shop.fbs, registered at HERE): method Put streams (server)" + noStreams},
		{streaming(rpc.StreamingBidi), "rpc: service shop.Store (shop.fbs, registered at HERE): method Put streams (bidi)" + noStreams},
		{streaming(200), "rpc: service shop.Store (shop.fbs, registered at HERE): method Put has the Streaming 200, which there is not"},
		{with(func(m *rpc.Method) { m.Handle, m.HandleStream = nil, streamEcho }),
			"rpc: service shop.Store (shop.fbs, registered at HERE): method Put does not stream: its handler is Handle, and HandleStream is nil"},
		{rpc.Service{Name: "Put:a:b", Methods: []rpc.Method{{Name: "Put", In: "a", Out: "b", Handle: echo}}}, // the halves of its id cancel each other out
			"rpc: service Put:a:b (registered at HERE): method Put has the id 0, which the wire format does not allow; rename it"},
	} {
		here := line(t, 1)
		err := server.Register(test.service)
		require.Error(t, err)
		require.Equal(t, test.says, strings.ReplaceAll(err.Error(), here, "HERE"))
	}
	require.Empty(t, server.Services(), "nothing of a service that was refused is registered")
	require.NoError(t, server.Register(with(func(*rpc.Method) {})))
}

// Two that are in each other's way are both named, with both places.
func TestServicesInEachOthersWay(t *testing.T) {
	server := newServer(t)
	store := rpc.Service{Name: "Store", Package: "shop", Source: "shop.fbs",
		Methods: []rpc.Method{{Name: "Get", ID: idWork, Handle: echo}, {Name: "Put", ID: idMore, Handle: echo}}}
	first := line(t, 1)
	require.NoError(t, server.Register(store))

	second := line(t, 1)
	err := server.Register(store)
	require.EqualError(t, err, "rpc: service shop.Store is registered twice (shop.fbs): at "+first+" and at "+second+"; leave one out")

	namesake := rpc.Service{Name: "Store", Package: "farm", Source: "farm.fbs", Methods: []rpc.Method{{Name: "Milk", ID: idGate, Handle: echo}}}
	second = line(t, 1)
	err = server.Register(namesake)
	require.EqualError(t, err, "rpc: two services are named Store: service shop.Store (shop.fbs, registered at "+first+
		") and service farm.Store (farm.fbs, registered at "+second+
		"); ids are made without the namespace, so rename one, or serve it from a server of its own")

	other := rpc.Service{Name: "Other", Methods: []rpc.Method{{Name: "Fine", ID: idGate, Handle: echo}, {Name: "Same", ID: idMore, Handle: echo}}}
	second = line(t, 1)
	err = server.Register(other)
	require.EqualError(t, err, "rpc: methods Put of service shop.Store (shop.fbs, registered at "+first+
		") and Same of service Other (registered at "+second+") have the same id 1003; rename one of them")

	require.Len(t, server.Services(), 1, "nothing of a service that was refused is registered")
	other.Methods = other.Methods[:1]
	require.NoError(t, server.Register(other))
}

// wrapped is a Registrar that changes what goes through it.
type wrapped struct{ rpc.Registrar }

func (w wrapped) Register(s rpc.Service) error { return w.Registrar.Register(s) }

// The place of generated code's registration is where somebody called it.
func TestGeneratedCodeNamesItsCaller(t *testing.T) {
	server := newServer(t)
	first := line(t, 1)
	require.NoError(t, registerGetterServer(server, getter(echoName)))
	second := line(t, 1)
	err := registerGetterServer(wrapped{server}, getter(echoName))
	require.EqualError(t, err, "rpc: service smf_gen.demo.SmfStorage is registered twice (smf_demo.fbs): at "+first+" and at "+second+"; leave one out")
	require.EqualError(t, registerGetterServer(server, nil), "registerGetterServer: the implementation is nil")

	changed := getterService
	changed.Methods = append(changed.Methods, changed.Methods...)
	register := func() error { return rpc.RegisterService(server, changed, nil, echo) }
	here := line(t, 1)
	err = register()
	require.EqualError(t, err, "rpc: service smf_gen.demo.SmfStorage (smf_demo.fbs, registered at "+here+
		"): it was changed after smfc wrote it; leave it as it was generated")
}

// A server that serves, or has, takes no more services.
func TestRegisteringTooLate(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{})
	require.Equal(t, "x", answer(t, dial(t, address), idEcho, "x"))
	late := rpc.Service{Name: "Late", Methods: []rpc.Method{{Name: "Get", ID: idMore, Handle: echo}}}
	here := line(t, 1)
	err := server.Register(late)
	require.EqualError(t, err, "rpc: service Late (registered at "+here+"): the server serves already; register services before Serve")

	require.NoError(t, server.Close())
	here = line(t, 1)
	err = server.Register(late)
	require.ErrorIs(t, err, rpc.ErrClosed)
	require.EqualError(t, err, "rpc: closed: service Late (registered at "+here+
		"): a server that was drained or closed does not serve again; make a new one")
	require.Len(t, server.Services(), 1, "also of a server that is closed")
}

// Services tells what the schemas say, and can't be used to change what is served.
func TestServicesAreDescribed(t *testing.T) {
	server := newServer(t)
	require.Empty(t, server.Services())
	require.NoError(t, registerGetterServer(server, getter(echoName)))
	require.NoError(t, server.Register(rpc.Service{Name: "A", Methods: []rpc.Method{{Name: "Get", In: "a.T", Out: "a.T", Handle: echo}}}))
	services := server.Services()
	require.Equal(t, "SmfStorage", services[0].Name, "in the order of registration")
	require.Equal(t, "smf_gen.demo", services[0].Package)
	require.Equal(t, "smf_demo.fbs", services[0].Source)
	require.Equal(t, demo.SmfDemoSchema, services[0].Schema)
	get := services[0].Methods[0]
	require.Equal(t, "smf_gen.demo.Request", get.In)
	require.Equal(t, "smf_gen.demo.Response", get.Out)
	require.Equal(t, demo.SmfStorageGetMethodID, get.ID)
	require.Equal(t, rpc.StreamingNone, get.Streaming)
	require.Nil(t, get.Handle)
	require.NotZero(t, services[1].Methods[0].ID, "ids are filled in")

	services[0].Name = "changed"
	services[0].Methods[0].Name = "changed"
	require.Equal(t, "SmfStorage", server.Services()[0].Name)
	require.Equal(t, "Get", server.Services()[0].Methods[0].Name)

	// What the caller has stays the caller's, too.
	mine := []rpc.Method{{Name: "Get", In: "b.T", Out: "b.T", Handle: func(context.Context, *rpc.Request, *rpc.Reply) error { return nil }}}
	require.NoError(t, server.Register(rpc.Service{Name: "B", Methods: mine}))
	require.Zero(t, mine[0].ID)
	mine[0].Name = "changed"
	require.Equal(t, "Get", server.Services()[2].Methods[0].Name)
}

func TestStreamingIsNamedAsInSchemas(t *testing.T) {
	require.Equal(t, "none client server bidi unknown", fmt.Sprint(rpc.StreamingNone, rpc.StreamingClient, rpc.StreamingServer,
		rpc.StreamingBidi, rpc.Streaming(9)))
}
